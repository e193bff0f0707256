//! Clients that are slow on purpose, connections that do nothing, and those that have become old. Limits
//! are short where a test waits for what is ended by them; whatever goes on meanwhile may be met by
//! them too on a machine that is busy, and is tried again.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use pdp_engine::time::Timestamp;
use pdp_proto::v1::{self, Effect};
use pdp_server::clock::Clock;
use pdp_server::config::Settings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_stream::StreamExt as _;

use crate::frames::{
    ACK, DATA, EMPTY, END_HEADERS, END_STREAM, HEADERS, HEALTH, PING, Raw, call, fields, frame,
    gone_away, says_serving,
};
use crate::guarded::{Guarded, Tls, ask, caller, key, outcome, until};
use crate::served::{NOW, Served, folder, question, settings};

/// How large a stream's window is at first (RFC 9113, section 6.5.2).
const INITIAL_WINDOW: u16 = 4;

/// How long the server waits in these tests, in milliseconds.
const SHORT_MS: u64 = 300;

/// Longer than any test takes, in milliseconds.
const LONG_MS: u64 = 600_000;

/// A server with limits that may end the test's own connections, too.
async fn strict(settings: Settings) -> Served {
    let clock = Clock::fixed(Timestamp::from_micros(NOW));
    let mut served = Served::begin(settings, clock);
    served.now = Arc::new(AtomicI64::new(NOW));
    is_asked(&served).await;
    served
}

/// That a question is answered, if not over this connection, then over the next.
async fn is_asked(served: &Served) {
    until("an answer", async || {
        let question = Some(question("ana", "View", "absence"));
        let request = v1::CheckRequest { question, ..Default::default() };
        let answered = served.decisions().check(request).await;
        answered.is_ok_and(|it| it.into_inner().decision.unwrap().effect() == Effect::Allow)
    })
    .await;
}

/// A server that waits for nobody for long.
async fn impatient(folder: &tempfile::TempDir) -> Served {
    let short = Settings {
        grpc_timeout_ms: Some(SHORT_MS),
        http_timeout_ms: Some(SHORT_MS),
        ..settings(folder.path())
    };
    strict(short).await
}

/// What comes over a connection of HTTP/1.1 until the server ends it.
async fn until_it_ends(mut stream: TcpStream) -> String {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.ok();
    String::from_utf8(all).unwrap()
}

/// A connection of HTTP/1.1 that has asked once and been answered. One that is ended before that, as the
/// machine is busy, is followed by another.
async fn asked_once(served: &Served) -> TcpStream {
    loop {
        let mut stream = TcpStream::connect(served.http).await.unwrap();
        let asked = stream.write_all(b"GET /healthz/live HTTP/1.1\r\nhost: pdp\r\n\r\n").await;
        let mut answer = Vec::new();
        while asked.is_ok() && !answer.ends_with(b"live\n") {
            let mut part = [0; 256];
            match stream.read(&mut part).await {
                Ok(0) | Err(_) => break,
                Ok(length) => answer.extend(&part[..length]),
            }
        }
        if answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(b"live\n") {
            return stream;
        }
    }
}

#[tokio::test]
async fn who_does_not_say_how_it_speaks_loses_the_connection() {
    let folder = folder();
    let served = impatient(&folder).await;
    for address in [served.grpc, served.http] {
        let mut silent = TcpStream::connect(address).await.unwrap();
        // Ends when the server closes the connection, and not before.
        silent.read_to_end(&mut Vec::new()).await.ok();
    }
    served.stop().await;
}

#[tokio::test]
async fn who_does_not_take_what_it_asked_for_loses_the_connection() {
    let folder = folder();
    let served = impatient(&folder).await;
    for (address, head, ends) in [
        (served.grpc, call(1, HEALTH), false),
        (
            served.http,
            {
                let fields = fields("GET", "/metrics", &[]);
                frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields)
            },
            true,
        ),
    ] {
        let mut raw = Raw::begin(address, &[(INITIAL_WINDOW, 0)]).await;
        raw.send(&head).await;
        if !ends {
            raw.send(&frame(DATA, END_STREAM, 1, &EMPTY)).await;
        }
        let frames = raw.rest().await;
        assert!(frames.iter().all(|frame| frame.kind != DATA), "{frames:?}");
    }
    is_asked(&served).await;
    served.stop().await;
}

#[tokio::test]
async fn who_does_not_take_it_over_http_1_1_loses_the_connection() {
    let folder = folder();
    let served = impatient(&folder).await;
    let mut stream = TcpStream::connect(served.http).await.unwrap();
    // So many answers, and none of them is read, that no buffer on the way holds them.
    let many = b"GET /metrics HTTP/1.1\r\nhost: pdp\r\n\r\n".repeat(100);
    while stream.write_all(&many).await.is_ok() {}
    is_asked(&served).await;
    served.stop().await;
}

#[tokio::test]
async fn a_request_that_does_not_end_is_ended() {
    let folder = folder();
    let short = Settings { max_deadline_ms: Some(SHORT_MS), ..settings(folder.path()) };
    let served = strict(short).await;
    let mut raw = Raw::begin(served.grpc, &[]).await;
    raw.send(&call(1, "/pdp.v1.DecisionService/Check")).await;
    // The first byte of a message, and no more.
    raw.send(&frame(DATA, 0, 1, &[0])).await;
    let answer = raw.answer(1).await;
    assert_eq!(answer[0].kind, HEADERS, "{answer:?}");
    // The connection goes on: what is asked over it is answered, sooner or later in time.
    let mut stream = 3;
    while !says_serving(&raw.health(stream).await) {
        stream += 2;
    }
    served.stop().await;
}

#[tokio::test]
async fn a_request_that_does_not_end_over_http_1_1_is_ended() {
    let folder = folder();
    let served = impatient(&folder).await;
    let head = "POST /access/v1/evaluation HTTP/1.1\r\nhost: pdp\r\n";
    let begun = format!("{head}content-type: application/json\r\ncontent-length: 99\r\n\r\n{{");
    for (sent, said) in [(head, ""), (begun.as_str(), "HTTP/1.1 408 ")] {
        let mut stream = TcpStream::connect(served.http).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let answer = until_it_ends(stream).await;
        assert!(answer.starts_with(said), "{answer}");
    }
    is_asked(&served).await;
    served.stop().await;
}

#[tokio::test]
async fn a_connection_on_which_nothing_is_asked_is_told_to_go() {
    let folder = folder();
    let short = Settings { connection_idle_ms: Some(SHORT_MS), ..settings(folder.path()) };
    let served = strict(short).await;
    for address in [served.grpc, served.http] {
        let mut raw = Raw::begin(address, &[]).await;
        assert_eq!(gone_away(&raw.rest().await), Some(0), "without an error, at {address}");
    }
    // A client that is told so connects anew.
    is_asked(&served).await;
    served.stop().await;
}

#[tokio::test]
async fn a_connection_of_http_1_1_on_which_nothing_is_asked_ends() {
    let folder = folder();
    let short = Settings {
        connection_idle_ms: Some(SHORT_MS),
        // Not by this one, which ends connections as well.
        http_timeout_ms: Some(LONG_MS),
        ..settings(folder.path())
    };
    let served = strict(short).await;
    let stream = asked_once(&served).await;
    assert_eq!(until_it_ends(stream).await, "");
    served.stop().await;
}

#[tokio::test]
async fn who_does_not_say_that_it_is_there_loses_the_connection() {
    let folder = folder();
    let short = Settings {
        ping_interval_ms: Some(SHORT_MS),
        ping_timeout_ms: Some(SHORT_MS),
        // Not by these, which end connections as well.
        connection_idle_ms: Some(LONG_MS),
        grpc_timeout_ms: Some(LONG_MS),
        http_timeout_ms: Some(LONG_MS),
        ..settings(folder.path())
    };
    let served = strict(short).await;
    for address in [served.grpc, served.http] {
        let mut raw = Raw::begin(address, &[]).await;
        let mut pings = 0;
        while let Some(frame) = raw.any().await {
            pings += u32::from(frame.kind == PING && frame.flags & ACK == 0);
        }
        assert_eq!(pings, 1, "at {address}");
    }
    is_asked(&served).await;
    served.stop().await;
}

#[tokio::test]
async fn an_old_connection_is_told_to_go_and_nobody_notices() {
    let folder = folder();
    let short = Settings {
        max_connection_age_ms: Some(SHORT_MS),
        // What is in flight has all the time that it needs.
        connection_farewell_ms: Some(LONG_MS),
        ..settings(folder.path())
    };
    let served = Served::with(short).await;
    for address in [served.grpc, served.http] {
        let mut raw = Raw::begin(address, &[]).await;
        assert_eq!(gone_away(&raw.rest().await), Some(0), "without an error, at {address}");
    }
    // Whoever asks all the time goes on over one connection after the other.
    for _ in 0..500 {
        assert_eq!(served.check(question("ana", "View", "absence")).await.effect(), Effect::Allow);
    }
    served.stop().await;
}

#[tokio::test]
async fn an_old_connection_of_http_1_1_is_told_so_with_an_answer() {
    let folder = folder();
    let short = Settings {
        max_connection_age_ms: Some(SHORT_MS),
        connection_farewell_ms: Some(LONG_MS),
        connection_idle_ms: Some(LONG_MS),
        http_timeout_ms: Some(LONG_MS),
        ..settings(folder.path())
    };
    let served = Served::with(short).await;
    // One that asks nothing more is ended.
    assert_eq!(until_it_ends(asked_once(&served).await).await, "");
    // One whose request is on its way is answered, and told that it is the last.
    let body = r#"{"subject": {"type": "user", "id": "ana"}, "action": {"name": "View"}, "resource": {"type": "Report", "id": "absence"}}"#;
    let (first, rest) = body.split_at(10);
    let length = body.len();
    let head = format!(
        "POST /access/v1/evaluation HTTP/1.1\r\nhost: pdp\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    loop {
        let mut stream = TcpStream::connect(served.http).await.unwrap();
        stream.write_all(format!("{head}{first}").as_bytes()).await.unwrap();
        // Those that begin later have become old and have gone: so has this one, but for its request.
        for _ in 0..2 {
            assert_eq!(until_it_ends(asked_once(&served).await).await, "");
        }
        stream.write_all(rest.as_bytes()).await.ok();
        let answer = until_it_ends(stream).await;
        // Where the machine is busy it was old before its request was seen.
        if answer.is_empty() {
            continue;
        }
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.to_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
        break;
    }
    served.stop().await;
}

#[tokio::test]
async fn a_stream_on_an_old_connection_is_ended_after_a_while() {
    let folder = folder();
    let short = Settings {
        max_connection_age_ms: Some(SHORT_MS),
        connection_farewell_ms: Some(SHORT_MS),
        ..settings(folder.path())
    };
    let served = strict(short).await;
    let mut watched = false;
    until("a watch that began and was ended", async || {
        let request = tonic_health::pb::HealthCheckRequest::default();
        let mut client = tonic_health::pb::health_client::HealthClient::new(served.channel.clone());
        let Ok(watch) = client.watch(request).await else { return false };
        let mut watch = watch.into_inner();
        while let Some(told) = watch.next().await {
            if told.is_err() {
                return watched;
            }
            watched = true;
        }
        panic!("it does not end well");
    })
    .await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_is_not_taken_ends_and_holds_nobody_up() {
    let folder = folder();
    let tls = Tls::new(folder.path());
    let (authorization, entry) = key();
    let callers = format!("callers:\n{}", caller("desk", &entry, "{default: [check]}"));
    let identity = tls.authority.issue(folder.path(), "desk", &[], 2100);
    let optional = || Settings {
        tls_client_auth: Some(pdp_server::config::ClientAuth::Optional),
        ..tls.settings()
    };
    let long = Settings { tls_handshake_ms: Some(LONG_MS), ..optional() };
    let guarded = Guarded::with_tls(folder, &callers, long, &tls, &identity).await;
    let mut silent = Vec::new();
    for address in [guarded.served.grpc, guarded.served.http] {
        for _ in 0..100 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
    }
    let channel = tls.connect(&guarded.served, Some(&identity)).await.unwrap();
    let asked = ask(&channel, Some(&authorization), "default").await;
    assert_eq!(outcome(&asked), "REASON_GRANTED");
    drop((silent, channel));
    guarded.served.stop().await;

    let folder = crate::served::folder();
    let short = Settings { tls_handshake_ms: Some(SHORT_MS), ..optional() };
    std::fs::write(folder.path().join("callers.yaml"), &callers).unwrap();
    let own =
        Settings { callers: Some(folder.path().join("callers.yaml")), ..settings(folder.path()) };
    let served = Served::begin(short.or(own), Clock::fixed(Timestamp::from_micros(NOW)));
    for address in [served.grpc, served.http] {
        let mut silent = TcpStream::connect(address).await.unwrap();
        silent.read_to_end(&mut Vec::new()).await.ok();
    }
    served.stop().await;
}
