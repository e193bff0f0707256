//! Connections without end: who is let in, who is told what beyond the limits, and who always is heard.

use std::net::{IpAddr, SocketAddr};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use pdp_proto::v1;
use pdp_server::config::Settings;
use prost::Message as _;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tonic::{Code, Status};

use crate::crowded::{EVALUATION, told};
use crate::frames::{EMPTY, HEALTH, Raw};
use crate::guarded::until;
use crate::sent::{Reply, send_over};
use crate::served::{Served, folder, question, settings};

const ONE: [u8; 4] = [127, 0, 0, 1];
const OTHER: [u8; 4] = [127, 0, 0, 2];

/// A connection from an address of this machine.
async fn from(address: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(IpAddr::from(address), 0)).unwrap();
    socket.connect(to).await.unwrap()
}

/// Calls a method over a connection of its own: the status that came of it.
async fn call(stream: TcpStream, path: &str, message: Vec<u8>) -> Status {
    let stream = TokioIo::new(stream);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::post(format!("http://pdp{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from(message)))
        .unwrap();
    let answered = sender.send_request(request).await.unwrap();
    if let Some(status) = Status::from_header_map(answered.headers()) {
        return status;
    }
    let whole = answered.into_body().collect().await.unwrap();
    Status::from_header_map(whole.trailers().unwrap()).unwrap()
}

async fn check(stream: TcpStream) -> Status {
    let question = Some(question("ana", "View", "absence"));
    let message = v1::CheckRequest { question, ..Default::default() }.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    call(stream, "/pdp.v1.DecisionService/Check", [&[0], &length[..], &message].concat()).await
}

async fn is_healthy(served: &Served, address: [u8; 4]) {
    let health = call(from(address, served.grpc).await, HEALTH, EMPTY.to_vec()).await;
    assert_eq!(health.code(), Code::Ok, "{health:?}");
    for path in ["/healthz/live", "/healthz/ready"] {
        let reply = send_over(from(address, served.http).await, "GET", path, &[], "").await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
}

async fn evaluate(served: &Served, address: [u8; 4]) -> Reply {
    let stream = from(address, served.http).await;
    send_over(stream, "POST", "/access/v1/evaluation", &[], EVALUATION).await
}

/// That a question is answered, once the server has noticed that connections have ended.
async fn is_asked_again(served: &Served, address: [u8; 4]) {
    until("there is room again", async || {
        check(from(address, served.grpc).await).await.code() == Code::Ok
            && evaluate(served, address).await.status == 200
    })
    .await;
}

/// Connections that say how they speak and nothing more, from one address, to both doors.
async fn held(served: &Served, address: [u8; 4], count: usize) -> Vec<Raw> {
    let mut held = Vec::new();
    for door in [served.grpc, served.http] {
        for _ in 0..count {
            held.push(Raw::over(from(address, door).await, &[]).await);
        }
    }
    held
}

async fn metric(served: &Served, series: &str) -> u64 {
    // Metrics are told beyond the limits, too.
    let reply = send_over(from(OTHER, served.http).await, "GET", "/metrics", &[], "").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let value = reply.body.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {series}")).parse().unwrap()
}

fn too_many(status: &Status, limit: &str) -> bool {
    let expected = "TOO_MANY_CONNECTIONS".to_owned();
    status.code() != Code::Ok
        && told(status) == (Code::ResourceExhausted, expected, limit.to_owned(), true)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_holds_what_it_may_and_another_is_served() {
    let folder = folder();
    // One of them is the test's own.
    let few = Settings { max_address_connections: Some(4), ..settings(folder.path()) };
    let served = Served::with(few).await;
    let held = held(&served, ONE, 4).await;
    let limit = "max_address_connections";
    until("the address has all that it may have", async || {
        too_many(&check(from(ONE, served.grpc).await).await, limit)
            && evaluate(&served, ONE).await.status == 429
    })
    .await;
    let refused = evaluate(&served, ONE).await;
    assert!(refused.body.contains("4 connections of this address"), "{refused:?}");
    is_healthy(&served, ONE).await;
    is_healthy(&served, OTHER).await;
    assert_eq!(check(from(OTHER, served.grpc).await).await.code(), Code::Ok);
    assert_eq!(evaluate(&served, OTHER).await.status, 200);
    for port in ["grpc", "http"] {
        let series = format!(
            "pdp_connections_refused_total{{port=\"{port}\",reason=\"address_connections\"}}"
        );
        assert!(metric(&served, &series).await > 0, "{port}");
    }
    drop(held);
    is_asked_again(&served, ONE).await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_connections_are_held_and_a_probe_still_gets_its_answer() {
    let folder = folder();
    let few = Settings { max_connections: Some(3), ..settings(folder.path()) };
    let served = Served::with(few).await;
    let held = held(&served, ONE, 3).await;
    until("there are no more connections", async || {
        too_many(&check(from(OTHER, served.grpc).await).await, "max_connections")
            && evaluate(&served, OTHER).await.status == 503
    })
    .await;
    is_healthy(&served, ONE).await;
    is_healthy(&served, OTHER).await;
    for port in ["grpc", "http"] {
        let series =
            format!("pdp_connections_refused_total{{port=\"{port}\",reason=\"connections\"}}");
        assert!(metric(&served, &series).await > 0, "{port}");
        let open = metric(&served, &format!("pdp_open_connections{{port=\"{port}\"}}")).await;
        assert!(open >= 3, "{port}: {open}");
    }
    assert!(metric(&served, "pdp_requests_shed_total{reason=\"connections\"}").await > 0);
    drop(held);
    is_asked_again(&served, OTHER).await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_floods_what_is_kept_for_probes_makes_room_for_them() {
    let folder = folder();
    let few = Settings { max_connections: Some(1), ..settings(folder.path()) };
    let served = Served::with(few).await;
    let _held = held(&served, ONE, 1).await;
    for door in [served.grpc, served.http] {
        let mut silent = Vec::new();
        // Several times what is kept.
        for _ in 0..200 {
            silent.push(from(ONE, door).await);
        }
        is_healthy(&served, OTHER).await;
        // The first of them had to go.
        silent[0].read_to_end(&mut Vec::new()).await.ok();
    }
    served.stop().await;
}
