//! A server that goes away as a request is on its way to it: what it has not taken on is asked again, as
//! nobody has looked at it (RFC 9113, section 6.8). Frames are written by hand, so that it happens each time.

#![expect(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pdp_client::{
    ChangeSet, Client, Code, Error, Permission, Question, Resource, Retries, Subject,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

const NO_ERROR: u32 = 0;
const PROTOCOL_ERROR: u32 = 1;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// What the server answers a request with.
#[derive(Clone, Copy)]
struct With {
    kind: u8,
    reason: u32,
}

fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length.get(1..).unwrap().to_vec();
    frame.extend([kind, 0]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Answers each request of a connection, and ends that where it says so.
async fn answer(mut stream: TcpStream, with: With, asked: Arc<AtomicUsize>) -> std::io::Result<()> {
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface).await?;
    stream.write_all(&frame(SETTINGS, 0, &[])).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let [a, b, c, kind, _flags, id @ ..] = head;
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap()];
        stream.read_exact(&mut payload).await?;
        if kind != HEADERS {
            continue;
        }
        asked.fetch_add(1, Ordering::Relaxed);
        let reason = with.reason.to_be_bytes();
        let answer = match with.kind {
            GOAWAY => frame(GOAWAY, 0, &[[0; 4], reason].concat()),
            kind => frame(kind, u32::from_be_bytes(id), &reason),
        };
        stream.write_all(&answer).await?;
        if with.kind == GOAWAY {
            return stream.shutdown().await;
        }
    }
}

/// A client of a server that answers so, and how many requests that has got.
async fn serve(kind: u8, reason: u32) -> (Client, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let requests = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, With { kind, reason }, Arc::clone(&requests)));
        }
    });
    let retries = Retries { first_backoff: Duration::from_millis(1), ..Retries::default() };
    let client = Client::builder(format!("http://{address}")).retries(retries);
    (client.connect_lazy().unwrap(), asked)
}

fn question() -> Question {
    Question::new(
        Subject::person("ana"),
        Permission::operation("View"),
        Resource::new("Report", "absence"),
    )
}

#[tokio::test]
async fn what_a_server_that_goes_has_not_taken_on_is_asked_again() {
    for (kind, reason) in [(GOAWAY, NO_ERROR), (RST_STREAM, REFUSED_STREAM)] {
        let (client, asked) = serve(kind, reason).await;
        let error = client.check(&question()).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
        assert_eq!(asked.load(Ordering::Relaxed), 4);
    }
}

#[tokio::test]
async fn what_may_be_sent_once_is_sent_once() {
    let (client, asked) = serve(GOAWAY, NO_ERROR).await;
    let set = ChangeSet::new(Vec::new()).without_request_id();
    let error = client.apply(set).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_request_that_breaks_the_protocol_is_not_asked_again_and_no_silence() {
    // Without an error, but in the middle of an answer, is broken off, too.
    for (kind, reason) in
        [(GOAWAY, PROTOCOL_ERROR), (RST_STREAM, PROTOCOL_ERROR), (RST_STREAM, NO_ERROR)]
    {
        let (client, asked) = serve(kind, reason).await;
        let error = client.check(&question()).await.unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn a_server_that_is_asked_too_much_has_its_word() {
    let (client, asked) = serve(RST_STREAM, ENHANCE_YOUR_CALM).await;
    let error = client.check(&question()).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}
