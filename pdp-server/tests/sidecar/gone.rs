//! A server that is gone, stale or another one.

use std::sync::atomic::Ordering;

use pdp_proto::v1;
use pdp_server::config::{Settings, SidecarSettings};
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::beside::Beside;
use crate::guarded::{reason, until};
use crate::served::{self, A_1_ENDS, Served, put_person, question};

fn at(address: std::net::SocketAddr, folder: &tempfile::TempDir) -> Settings {
    Settings { grpc: Some(address), ..served::settings(folder.path()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_it_decides_on_and_catches_up_once_there_is_one() {
    let folder = served::folder();
    let served = Served::start(&folder).await;
    let beside = Beside::start(served.grpc).ready().await;
    let (address, asked) = (served.grpc, question("ana", "View", "absence"));
    served.stop().await;

    let decided = beside.check(asked.clone(), 0).await.unwrap();
    assert_eq!((decided.reason(), decided.revision), (v1::Reason::Granted, 1));
    assert!(beside.serves().await, "it is fresh for an hour");
    // What it cannot decide has no answer, and the error says why and when to try again.
    let gone = beside.check(asked.clone(), 2).await.unwrap_err();
    assert_eq!((gone.code(), reason(&gone).as_str()), (Code::Unavailable, "SERVER_UNREACHABLE"));
    assert!(gone.get_details_retry_info().unwrap().retry_delay.is_some());
    let explain = v1::ExplainRequest { question: Some(asked.clone()), ..Default::default() };
    let gone = beside.decisions().explain(explain).await.unwrap_err();
    assert_eq!((gone.code(), reason(&gone).as_str()), (Code::Unavailable, "SERVER_UNREACHABLE"));
    let questions = [0, 2].map(|at_least| v1::CheckStreamRequest {
        question: Some(asked.clone()),
        at_least,
        ..Default::default()
    });
    let stream = beside.decisions().check_stream(tokio_stream::iter(questions)).await.unwrap();
    let answers: Vec<_> = stream.into_inner().collect().await;
    let [Ok(here), Ok(there)] = &answers[..] else { panic!("{answers:?}") };
    let v1::check_stream_response::Result::Decision(here) = here.result.clone().unwrap() else {
        panic!("{here:?}")
    };
    assert_eq!(here.reason(), v1::Reason::Granted);
    let v1::check_stream_response::Result::Error(there) = there.result.clone().unwrap() else {
        panic!("{there:?}")
    };
    assert_eq!((there.code, there.reason.as_str()), (14, "SERVER_UNREACHABLE"));
    assert!(there.retry_delay.is_some());

    let served = Served::with(at(address, &folder)).await;
    served.now.store(A_1_ENDS, Ordering::SeqCst);
    served.apply(vec![put_person("eve")]).await.unwrap();
    beside.decides_at(2).await;
    beside.stop().await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stale_is_not_decided_on() {
    let folder = served::folder();
    let served = Served::start(&folder).await;
    served.now.store(A_1_ENDS, Ordering::SeqCst);
    let stale = SidecarSettings { follow_max_stale_ms: Some(0), ..Default::default() };
    let beside = Beside::with(served.grpc, stale);
    let asked = question("ana", "View", "absence");
    // The server decides, before the policy is kept and afterwards.
    until("the policy is kept", async || {
        let decided = beside.check(asked.clone(), 0).await.unwrap();
        assert_eq!(decided.reason(), v1::Reason::NotGranted);
        let metrics = crate::sent::send(beside.http, "GET", "/metrics", &[], "").await;
        metrics.body.contains("tenant=\"default\"")
    })
    .await;
    assert_eq!(beside.check(asked.clone(), 0).await.unwrap().reason(), v1::Reason::NotGranted);
    assert!(!beside.serves().await);
    let ready = crate::sent::send(beside.http, "GET", "/healthz/ready", &[], "").await;
    assert_eq!(ready.status, 503, "{ready:?}");
    served.stop().await;
    let gone = beside.check(asked, 0).await.unwrap_err();
    assert_eq!((gone.code(), reason(&gone).as_str()), (Code::Unavailable, "SERVER_UNREACHABLE"));
    beside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_of_another_history_is_read_anew() {
    let folder = served::folder();
    let served = Served::start(&folder).await;
    let address = served.grpc;
    for person in ["dan", "eve"] {
        served.apply(vec![put_person(person)]).await.unwrap();
    }
    let beside = Beside::start(address).ready().await;
    let asked = question("eve", "View", "absence");
    let decided = beside.check(asked.clone(), 3).await.unwrap();
    assert_eq!((decided.reason(), decided.revision), (v1::Reason::NotGranted, 3));
    served.stop().await;

    let other = served::folder();
    let served = Served::with(at(address, &other)).await;
    until("it has the other one", async || {
        let decided = beside.check(asked.clone(), 0).await.unwrap();
        decided.revision == 1 && decided.reason() == v1::Reason::UnknownSubject
    })
    .await;
    // And goes on with that one.
    served.apply(vec![put_person("eve")]).await.unwrap();
    served.now.store(A_1_ENDS, Ordering::SeqCst);
    beside.decides_at(2).await;
    beside.stop().await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_is_passed_on_ends_with_the_sidecar() {
    let folder = served::folder();
    let served = Served::start(&folder).await;
    let beside = Beside::start(served.grpc).ready().await;
    let watch = v1::PolicyServiceWatchRequest::default();
    let mut watch = beside.policy().watch(watch).await.unwrap().into_inner();
    watch.next().await.unwrap().unwrap();
    let (running, folder) = beside.shut_down();
    let ended = watch.next().await.unwrap().unwrap_err();
    assert_eq!((ended.code(), reason(&ended).as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    running.await.unwrap().unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    served.stop().await;
}
