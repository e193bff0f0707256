//! Clients that are slow on purpose, connections that do nothing, and those that have become old.

use pdp_proto::v1::Effect;
use pdp_server::config::Settings;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_stream::StreamExt as _;

use crate::frames::{
    DATA, EMPTY, END_HEADERS, END_STREAM, HEADERS, HEALTH, Raw, call, fields, frame, gone_away,
};
use crate::guarded::{Guarded, Tls, ask, caller, key, outcome};
use crate::served::{Served, folder, question, settings};

/// How large a stream's window is at first (RFC 9113, section 6.5.2).
const INITIAL_WINDOW: u16 = 4;

/// How long the server waits in these tests, in milliseconds.
const SHORT_MS: u64 = 300;

/// A server that waits for nobody for long.
async fn impatient(folder: &tempfile::TempDir) -> Served {
    let short = Settings {
        grpc_timeout_ms: Some(SHORT_MS),
        http_timeout_ms: Some(SHORT_MS),
        ..settings(folder.path())
    };
    Served::with(short).await
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
    assert_eq!(served.check(question("ana", "View", "absence")).await.effect(), Effect::Allow);
    served.stop().await;
}

#[tokio::test]
async fn a_request_that_does_not_end_is_ended() {
    let folder = folder();
    let short = Settings { max_deadline_ms: Some(SHORT_MS), ..settings(folder.path()) };
    let served = Served::with(short).await;
    let mut raw = Raw::begin(served.grpc, &[]).await;
    raw.send(&call(1, "/pdp.v1.DecisionService/Check")).await;
    // The first byte of a message, and no more.
    raw.send(&frame(DATA, 0, 1, &[0])).await;
    let answer = raw.answer(1).await;
    assert_eq!(answer[0].kind, HEADERS, "{answer:?}");
    raw.is_healthy(3).await;
    served.stop().await;
}

#[tokio::test]
async fn a_connection_on_which_nothing_is_asked_is_told_to_go() {
    let folder = folder();
    let short = Settings { connection_idle_ms: Some(SHORT_MS), ..settings(folder.path()) };
    let served = Served::with(short).await;
    for address in [served.grpc, served.http] {
        let mut raw = Raw::begin(address, &[]).await;
        assert_eq!(gone_away(&raw.rest().await), Some(0), "without an error, at {address}");
    }
    // A client that is told so connects anew.
    assert_eq!(served.check(question("ana", "View", "absence")).await.effect(), Effect::Allow);
    served.stop().await;
}

#[tokio::test]
async fn an_old_connection_is_told_to_go_and_nobody_notices() {
    let folder = folder();
    let short = Settings {
        max_connection_age_ms: Some(SHORT_MS),
        connection_farewell_ms: Some(SHORT_MS),
        ..settings(folder.path())
    };
    let served = Served::with(short).await;
    for address in [served.grpc, served.http] {
        let mut raw = Raw::begin(address, &[]).await;
        assert_eq!(gone_away(&raw.rest().await), Some(0), "without an error, at {address}");
    }
    // A stream that does not end by itself is ended a while after its connection was told to go.
    let mut watch = served.watch_health("").await;
    while let Some(told) = watch.next().await {
        if told.is_err() {
            break;
        }
    }
    // Whoever asks all the time goes on over one connection after the other.
    for _ in 0..500 {
        assert_eq!(served.check(question("ana", "View", "absence")).await.effect(), Effect::Allow);
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_is_not_taken_ends_and_holds_nobody_up() {
    let folder = folder();
    let tls = Tls::new(folder.path());
    let (authorization, entry) = key();
    let callers = format!("callers:\n{}", caller("desk", &entry, "{default: [check]}"));
    let short = Settings {
        tls_handshake_ms: Some(SHORT_MS),
        tls_client_auth: Some(pdp_server::config::ClientAuth::Optional),
        ..tls.settings()
    };
    let identity = tls.authority.issue(folder.path(), "desk", &[], 2100);
    let guarded = Guarded::with_tls(folder, &callers, short, &tls, &identity).await;
    let mut silent = Vec::new();
    for address in [guarded.served.grpc, guarded.served.http] {
        for _ in 0..10 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
    }
    let channel = tls.connect(&guarded.served, Some(&identity)).await.unwrap();
    let asked = ask(&channel, Some(&authorization), "default").await;
    assert_eq!(outcome(&asked), "REASON_GRANTED");
    for mut stream in silent {
        stream.read_to_end(&mut Vec::new()).await.ok();
    }
    guarded.served.stop().await;
}
