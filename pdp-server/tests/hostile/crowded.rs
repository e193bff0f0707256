//! More requests than are taken on: who is refused, what they are told, and who never is.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use pdp_proto::v1;
use pdp_server::config::{GrpcThreads, Settings};
use prost::Message;
use tokio::net::TcpStream;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use crate::frames::{DATA, END_STREAM, Raw, call, frame};
use crate::guarded::{Guarded, ask, caller, key, outcome, until};
use crate::sent::send;
use crate::served::{Served, folder, put_person, question, settings};

/// What a refusal says: its code, reason, limit, and whether to come again.
pub(crate) fn told(status: &Status) -> (Code, String, String, bool) {
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    let limit = info.metadata.get("limit").cloned().unwrap_or_default();
    (status.code(), info.reason.clone(), limit, details.retry_info().is_some())
}

pub(crate) fn too_many(limit: &str) -> (Code, String, String, bool) {
    (Code::ResourceExhausted, "TOO_MANY_REQUESTS".to_owned(), limit.to_owned(), true)
}

/// A question that waits for a revision.
fn waits_for(revision: u64) -> v1::CheckRequest {
    let question = Some(question("ana", "View", "absence"));
    v1::CheckRequest { question, at_least: revision, ..Default::default() }
}

pub(crate) const EVALUATION: &str = r#"{"subject": {"type": "user", "id": "ana"}, "action": {"name": "View"},
    "resource": {"type": "Report", "id": "absence"}}"#;

pub(crate) async fn is_healthy(served: &Served) {
    let request = HealthCheckRequest::default();
    HealthClient::new(served.channel.clone()).check(request).await.unwrap();
    for path in ["/healthz/live", "/healthz/ready"] {
        assert_eq!(send(served.http, "GET", path, &[], "").await.status, 200, "{path}");
    }
}

async fn crowded(limited: Settings, limit: &str, everywhere: bool) {
    let folder = folder();
    let own = Settings {
        grpc_threads: Some(GrpcThreads::Count(std::num::NonZeroUsize::MIN)),
        ..settings(folder.path())
    };
    let served = Served::with(limited.or(own)).await;
    let mut decisions = served.decisions();
    let mut waiting = Box::pin(decisions.check(waits_for(2)));
    tokio::select! {
        biased;
        answer = &mut waiting => panic!("there is no revision 2: {answer:?}"),
        // Sent later over the same connection: once this is answered, the question has arrived.
        () = is_healthy(&served) => {}
    }
    let refused = served.decisions().check(waits_for(0)).await.unwrap_err();
    assert_eq!(told(&refused), too_many(limit), "{refused:?}");
    let over_http = send(served.http, "POST", "/access/v1/evaluation", &[], EVALUATION).await;
    let expected = if everywhere { 503 } else { 200 };
    assert_eq!(over_http.status, expected, "{over_http:?}");
    is_healthy(&served).await;
    // Nor are metrics, which are wanted most now.
    let metrics = send(served.http, "GET", "/metrics", &[], "").await;
    assert_eq!(metrics.status, 200, "{metrics:?}");
    for queue in ["turns", "lists", "work"] {
        let depth = format!("\npdp_queue_depth{{queue=\"{queue}\"}} ");
        assert!(metrics.body.contains(&depth), "{queue}: {}", metrics.body);
    }
    drop(waiting);
    // Its place is free once the server knows that it is gone.
    let mut freed = served.decisions().check(waits_for(0)).await;
    while let Err(refused) = freed {
        assert_eq!(told(&refused), too_many(limit), "{refused:?}");
        freed = served.decisions().check(waits_for(0)).await;
    }
    let metrics = send(served.http, "GET", "/metrics", &[], "").await.body;
    let reason = limit.trim_start_matches("max_");
    let shed = metrics
        .lines()
        .find(|line| line.starts_with(&format!("pdp_requests_shed_total{{reason=\"{reason}\"}}")));
    assert!(shed.is_some_and(|line| !line.ends_with(" 0")), "{shed:?}");
    assert!(metrics.contains("\npdp_requests_in_flight 1\n"), "this one alone: {metrics}");
    served.stop().await;
}

#[tokio::test]
async fn requests_in_flight_are_bounded_in_all() {
    let one = Settings { max_requests: Some(1), ..Settings::default() };
    crowded(one, "max_requests", true).await;
}

#[tokio::test]
async fn requests_in_flight_are_bounded_on_a_thread() {
    let one = Settings { max_thread_requests: Some(1), ..Settings::default() };
    crowded(one, "max_thread_requests", false).await;
}

#[tokio::test]
async fn requests_in_flight_are_bounded_for_a_caller() {
    let one = Settings { max_caller_requests: Some(1), ..Settings::default() };
    crowded(one, "max_caller_requests", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_may_send_so_many_in_a_second_and_others_do_not_feel_it() {
    let [(greedy, one), (modest, two)] = [key(), key()];
    let roles = "{default: [check]}";
    let callers =
        format!("callers:\n{}{}", caller("greedy", &one, roles), caller("modest", &two, roles));
    let slow = Settings { max_caller_rate: Some(1), ..Settings::default() };
    let guarded = Guarded::with(folder(), &callers, slow).await;
    let channel = guarded.served.channel.clone();
    let refused = loop {
        if let Err(refused) = ask(&channel, Some(&greedy), "default").await {
            break refused;
        }
    };
    let (code, reason, limit, again) = told(&refused);
    assert_eq!((code, reason.as_str()), (Code::ResourceExhausted, "RATE_LIMITED"));
    assert_eq!((limit.as_str(), again), ("max_caller_rate", true));
    let delay = refused.get_error_details().retry_info().unwrap().retry_delay.unwrap();
    assert!(delay <= Duration::from_secs(1), "{delay:?}");
    // The limit is the caller's, not the connection's or the server's.
    assert_eq!(outcome(&ask(&channel, Some(&modest), "default").await), "REASON_GRANTED");
    loop {
        let headers = [("authorization", greedy.as_str())];
        let path = "/access/v1/evaluation";
        let reply = send(guarded.served.http, "POST", path, &headers, EVALUATION).await;
        if reply.status == 429 {
            break;
        }
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    is_healthy(&guarded.served).await;
    guarded.served.stop().await;
}

/// Sends a message whose time is over. A client of gRPC would not even send it.
async fn too_late(address: SocketAddr, path: &str, message: &impl Message) -> Status {
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let body = [&[0], &length[..], &message].concat();
    let request = hyper::Request::post(format!("http://pdp{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "0m")
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    let answered = sender.send_request(request).await.unwrap();
    Status::from_header_map(answered.headers()).expect("it was refused unread")
}

#[tokio::test]
async fn a_deadline_is_cut_to_what_the_server_lets_it_be() {
    let folder = folder();
    let short = Settings { max_deadline_ms: Some(50), ..settings(folder.path()) };
    let served = Served::with(short).await;
    for timeout in [None, Some("1H")] {
        let mut request = Request::new(waits_for(2));
        if let Some(timeout) = timeout {
            request.metadata_mut().insert("grpc-timeout", timeout.parse().unwrap());
        }
        let refused = served.decisions().check(request).await.unwrap_err();
        let (code, reason, ..) = told(&refused);
        assert_eq!((code, reason.as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    }
    let apply = v1::ApplyRequest { changes: vec![put_person("dee")], ..Default::default() };
    let refused = too_late(served.grpc, "/pdp.v1.PolicyService/Apply", &apply).await;
    let (code, reason, ..) = told(&refused);
    assert_eq!((code, reason.as_str()), (Code::DeadlineExceeded, "DEADLINE_EXPIRED"));
    // However slow the machine is: it is tried until it is in time.
    let mut revision = None;
    until("a decision in time", async || {
        revision = served.decisions().check(waits_for(0)).await.ok();
        revision.is_some()
    })
    .await;
    let decision = revision.and_then(|answer| answer.into_inner().decision).unwrap();
    assert_eq!(decision.revision, 1, "nothing was applied");
    assert_eq!(unseen(&served, "deadline_expired").await, 1);
    assert!(unseen(&served, "deadline_exceeded").await >= 2);
    served.stop().await;
}

/// How many requests were refused for this reason before their service saw them.
async fn unseen(served: &Served, reason: &str) -> u64 {
    let metrics = send(served.http, "GET", "/metrics", &[], "").await.body;
    let series = format!("pdp_requests_refused_total{{reason=\"{reason}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&series)).unwrap().parse().unwrap()
}

#[tokio::test]
async fn messages_that_are_too_large_or_none_are_counted() {
    let folder = folder();
    let small = Settings {
        max_message_bytes: Some(64 << 10),
        max_body_bytes: Some(16 << 10),
        ..settings(folder.path())
    };
    let served = Served::with(small).await;
    let long = |bytes| {
        let question = Some(question(&"x".repeat(bytes), "View", "absence"));
        v1::CheckRequest { question, ..Default::default() }
    };
    let unary = served.decisions().check(long(64 << 10)).await.unwrap_err();
    assert_eq!(told(&unary).2, "max_message_bytes");
    let v1::CheckRequest { question, .. } = long(16 << 10);
    let streamed = v1::CheckStreamRequest { question, ..Default::default() };
    let opened = served.decisions().check_stream(tokio_stream::iter([streamed])).await;
    let ended = opened.unwrap().into_inner().message().await.unwrap_err();
    assert_eq!(told(&ended).2, "max_question_bytes", "{ended:?}");
    let body = "x".repeat(17 << 10);
    let over_http = send(served.http, "POST", "/access/v1/evaluation", &[], &body).await;
    assert_eq!(over_http.status, 413);
    assert_eq!(unseen(&served, "message_too_large").await, 3);
    let nonsense = [&[0, 0, 0, 0, 1][..], &[0xFF]].concat();
    let mut raw = Raw::begin(served.grpc, &[]).await;
    raw.send(&call(1, "/pdp.v1.PolicyService/Get")).await;
    raw.send(&frame(DATA, END_STREAM, 1, &nonsense)).await;
    raw.answer(1).await;
    assert_eq!(unseen(&served, "message_malformed").await, 1);
    served.stop().await;
}

#[tokio::test]
async fn a_batch_and_a_change_set_hold_what_the_settings_say() {
    let folder = folder();
    let small = Settings { max_batch: Some(2), max_changes: Some(1), ..settings(folder.path()) };
    let served = Served::with(small).await;
    let batch = |count| v1::BatchCheckRequest {
        questions: vec![question("ana", "View", "absence"); count],
        ..Default::default()
    };
    let answered = served.decisions().batch_check(batch(2)).await.unwrap().into_inner();
    assert_eq!(answered.results.len(), 2);
    let refused = served.decisions().batch_check(batch(3)).await.unwrap_err();
    let (code, reason, limit, _) = told(&refused);
    assert_eq!((code, reason.as_str()), (Code::InvalidArgument, "LIMIT_EXCEEDED"));
    assert_eq!(limit, "max_batch");
    let refused = served.apply(vec![put_person("dee"), put_person("eve")]).await.unwrap_err();
    assert_eq!(told(&refused).2, "max_changes");
    served.apply(vec![put_person("dee")]).await.unwrap();
    served.stop().await;
}
