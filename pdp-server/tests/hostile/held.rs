//! What many requests hold together: bytes that are not read to the end, watches that do not end.

use std::convert::Infallible;

use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use pdp_server::config::Settings;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;

use crate::crowded::{is_healthy, told, too_many};
use crate::frames::Raw;
use crate::guarded::until;
use crate::sent::send;
use crate::served::{Served, folder, question, settings};

/// A part of a message, and how much it says to be.
const PART: usize = 40 << 10;
const WHOLE: u32 = 60 << 10;

/// What a call's message is made of, piece by piece.
type Pieces = mpsc::Sender<Result<Frame<Bytes>, Infallible>>;

/// A call whose message does not come to its end; what came of it, if it was refused.
struct Call {
    _pieces: Pieces,
    refused: tokio::task::JoinHandle<Option<Status>>,
}

// === impl Call ===

impl Call {
    /// Sends a part of a change set.
    async fn begin(served: &Served) -> Self {
        let stream = TokioIo::new(TcpStream::connect(served.grpc).await.unwrap());
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        let (pieces, sent) = mpsc::channel(1);
        let request = hyper::Request::post("http://pdp/pdp.v1.PolicyService/Apply")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(StreamBody::new(ReceiverStream::new(sent)))
            .unwrap();
        let answered = sender.send_request(request);
        let part = [&[0], &WHOLE.to_be_bytes()[..], &vec![0; PART]].concat();
        pieces.send(Ok(Frame::data(Bytes::from(part)))).await.unwrap();
        let refused = tokio::spawn(async move {
            // The connection lives for as long as somebody may send.
            let _sender = sender;
            Status::from_header_map(answered.await.ok()?.headers())
        });
        Self { _pieces: pieces, refused }
    }
}

async fn buffered(served: &Served) -> usize {
    let metrics = send(served.http, "GET", "/metrics", &[], "").await.body;
    let line = metrics.lines().find_map(|line| line.strip_prefix("pdp_buffered_bytes "));
    line.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_of_all_requests_together_are_bounded() {
    let folder = folder();
    let small = Settings {
        max_message_bytes: Some(64 << 10),
        max_body_bytes: Some(64 << 10),
        max_buffered_bytes: Some(64 << 10),
        ..settings(folder.path())
    };
    let served = Served::with(small).await;
    let first = Call::begin(&served).await;
    until("its part has been read", async || buffered(&served).await >= PART).await;
    let second = Call::begin(&served).await.refused.await.unwrap().expect("it was refused");
    assert_eq!(told(&second), too_many("max_buffered_bytes"), "{second:?}");
    // Just too much together, so that nothing of it is left unread.
    let body = format!("{{\"x\": \"{}\"}}", "x".repeat((64 << 10) - PART));
    let path = "/access/v1/evaluation";
    let over_http = send(served.http, "POST", path, &[], &body).await;
    assert_eq!(over_http.status, 503, "{over_http:?}");
    assert!(over_http.body.contains("65536 bytes of requests"), "{over_http:?}");
    // What is small and whole is no burden.
    assert_eq!(served.check(question("ana", "View", "absence")).await.revision, 1);
    is_healthy(&served).await;
    let metrics = send(served.http, "GET", "/metrics", &[], "").await.body;
    assert!(metrics.contains("pdp_requests_shed_total{reason=\"buffered_bytes\"} 2"), "{metrics}");
    first.refused.abort();
    drop(first);
    until("its bytes are given back", async || buffered(&served).await == 0).await;
    let malformed = send(served.http, "POST", path, &[], &body).await;
    assert_eq!(malformed.status, 400, "it is read: {malformed:?}");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_of_health_and_reflections_are_bounded() {
    for (limit, most, most_of_connection) in
        [("max_health_streams", 2, 100), ("max_connection_health_streams", 100, 2)]
    {
        let folder = folder();
        let few = Settings {
            max_health_streams: Some(most),
            max_connection_health_streams: Some(most_of_connection),
            ..settings(folder.path())
        };
        let served = Served::with(few).await;
        let mut health = HealthClient::new(served.channel.clone());
        let mut reflection = ServerReflectionClient::new(served.channel.clone());
        let mut held = Vec::new();
        // The test's own watch, by which it waited for the server, is gone once that is noticed.
        while held.len() < 2 {
            match health.watch(HealthCheckRequest::default()).await {
                Ok(watch) => held.push(watch.into_inner()),
                Err(refused) => assert_eq!(told(&refused).2, limit),
            }
        }
        let many = (Code::ResourceExhausted, "TOO_MANY_STREAMS".to_owned(), limit.to_owned(), true);
        let refused = health.watch(HealthCheckRequest::default()).await.unwrap_err();
        assert_eq!(told(&refused), many, "{refused:?}");
        let endless = tokio_stream::pending::<ServerReflectionRequest>();
        let refused = reflection.server_reflection_info(endless).await.unwrap_err();
        assert_eq!(told(&refused), many, "{refused:?}");
        // A check is none of them, and another connection has its own.
        is_healthy(&served).await;
        let mut other = Raw::begin(served.grpc, &[]).await;
        other.is_healthy(1).await;
        let metrics = send(served.http, "GET", "/metrics", &[], "").await.body;
        assert!(metrics.contains("\npdp_health_streams 2\n"), "{metrics}");
        for rpc in ["Health/Watch", "ServerReflection/ServerReflectionInfo"] {
            let series =
                format!("pdp_rpc_failures_total{{rpc=\"{rpc}\",code=\"RESOURCE_EXHAUSTED\"}} 0");
            assert!(!metrics.contains(&series), "{series}");
        }
        let first = held[0].next().await.unwrap();
        assert!(first.is_ok(), "those that are open go on: {first:?}");
        drop(held);
        until("they are given back", async || {
            health.watch(HealthCheckRequest::default()).await.is_ok()
        })
        .await;
        served.stop().await;
    }
}
