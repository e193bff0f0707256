//! More work than a thread has time for: who would wait too long is refused and told so, the others are answered, and
//! health is told meanwhile. How fast the machine is does not matter: bursts come until one is too much.

use std::net::SocketAddr;
use std::num::NonZeroUsize;

use futures_util::future::join_all;
use http_body_util::{BodyExt as _, Full};
use hyper::Response;
use hyper::body::Bytes;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use pdp_proto::v1;
use pdp_proto::v1::batch_check_result::Result as Outcome;
use pdp_server::config::{GrpcThreads, Settings};
use prost::Message as _;
use tokio::net::TcpStream;
use tonic::{Code, Status};

use crate::crowded::{EVALUATION, is_healthy, told};
use crate::guarded::until;
use crate::sent::send;
use crate::served::{Served, folder, question, settings};

/// How many batches come at once, and how many questions each has.
const BURST: usize = 64;
const BATCH: usize = 1_000;

/// What all requests of a burst are.
struct Asked {
    path: &'static str,
    content_type: &'static str,
    body: Bytes,
    /// Whether it was answered; anything but a right answer or the refusal that is meant fails the test.
    is_answered: fn(&Response<Bytes>) -> bool,
}

fn batch() -> Asked {
    let questions = vec![question("ana", "View", "absence"); BATCH];
    let message = v1::BatchCheckRequest { questions, ..Default::default() }.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let is_answered = |response: &Response<Bytes>| {
        let Some(refused) = Status::from_header_map(response.headers()) else {
            let answer = v1::BatchCheckResponse::decode(&response.body()[5..]).unwrap();
            let granted = |result: &v1::BatchCheckResult| match &result.result {
                Some(Outcome::Decision(decision)) => decision.reason() == v1::Reason::Granted,
                Some(Outcome::Error(_)) | None => false,
            };
            assert!(answer.results.len() == BATCH && answer.results.iter().all(granted));
            return true;
        };
        let (reason, limit) = ("OVERLOADED".to_owned(), "max_queue_ms".to_owned());
        assert_eq!(told(&refused), (Code::ResourceExhausted, reason, limit, true), "{refused:?}");
        false
    };
    let path = "/pdp.v1.DecisionService/BatchCheck";
    let body = [&[0], &length[..], &message].concat().into();
    Asked { path, content_type: "application/grpc", body, is_answered }
}

fn evaluations() -> Asked {
    let body = format!("{{\"evaluations\": [{}]}}", [EVALUATION; BATCH].join(",")).into();
    let is_answered = |response: &Response<Bytes>| {
        let body = str::from_utf8(response.body()).unwrap();
        if response.status() == 200 {
            assert_eq!(body.matches(r#"{"decision":true}"#).count(), BATCH, "{body}");
            return true;
        }
        assert_eq!(response.status(), 503, "{body}");
        assert_eq!(response.headers()["retry-after"], "1");
        assert!(body.contains("the server is overloaded: the wait is longer than 1 ms"), "{body}");
        false
    };
    let (path, content_type) = ("/access/v1/evaluations", "application/json");
    Asked { path, content_type, body, is_answered }
}

/// Sends one over this connection; whether it was answered.
async fn ask(connection: &SendRequest<Full<Bytes>>, asked: &Asked) -> bool {
    let request = hyper::Request::post(format!("http://pdp{}", asked.path))
        .header("content-type", asked.content_type)
        .header("te", "trailers")
        .body(Full::new(asked.body.clone()))
        .unwrap();
    let (head, body) = connection.clone().send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (asked.is_answered)(&Response::from_parts(head, body))
}

/// Asks in bursts until one is too much, with health in between, and returns how many were refused.
async fn until_too_much(served: &Served, address: SocketAddr, asked: &Asked) -> usize {
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (connection, driven) = handshake(TokioExecutor::new(), stream).await.unwrap();
    let driven = tokio::spawn(driven);
    let [mut answered, mut refused] = [0; 2];
    until("some are refused and some are answered", async || {
        let burst = join_all((0..BURST).map(|_| ask(&connection, asked)));
        let (burst, ()) = tokio::join!(burst, is_healthy(served));
        answered += burst.iter().filter(|answered| **answered).count();
        refused += burst.iter().filter(|answered| !**answered).count();
        answered > 0 && refused > 0
    })
    .await;
    // Whoever comes later finds a server with time.
    until("there is time again", async || {
        let answered = ask(&connection, asked).await;
        refused += usize::from(!answered);
        answered
    })
    .await;
    drop(connection);
    driven.await.unwrap().unwrap();
    refused
}

#[tokio::test(flavor = "multi_thread")]
async fn who_would_wait_too_long_is_refused_and_the_others_are_answered() {
    let folder = folder();
    let own = Settings {
        grpc_threads: Some(GrpcThreads::Count(NonZeroUsize::MIN)),
        max_queue_ms: Some(1),
        ..settings(folder.path())
    };
    let served = Served::with(own).await;
    let refused = until_too_much(&served, served.grpc, &batch()).await
        + until_too_much(&served, served.http, &evaluations()).await;
    let metrics = send(served.http, "GET", "/metrics", &[], "").await.body;
    let shed = "pdp_requests_shed_total{reason=\"queue\"} ";
    let shed = metrics.lines().find_map(|line| line.strip_prefix(shed));
    assert_eq!(shed, Some(refused.to_string().as_str()), "each is counted once");
    served.stop().await;
}
