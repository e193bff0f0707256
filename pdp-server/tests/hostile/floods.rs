//! Floods: header fields without end, requests that are taken back.

use pdp_proto::v1::Effect;
use pdp_server::config::Settings;

use crate::frames::{
    ACK, CONTINUATION, DATA, EMPTY, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, HEALTH,
    MAX_CONCURRENT_STREAMS, MAX_FRAME, REFUSED_STREAM, RST_STREAM, Raw, SETTINGS, call, fields,
    frame, gone_away,
};
use crate::served::{Served, folder, question, settings};

/// What a reset says: the caller has no use for it any more.
const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// A header field of so many bytes.
fn long(bytes: usize) -> Vec<u8> {
    fields("POST", HEALTH, &[("x-long", &"x".repeat(bytes))])
}

/// The frames of a long head; the last ends it, or none does.
fn in_parts(stream: u32, block: &[u8], ends: bool) -> Vec<u8> {
    let parts: Vec<&[u8]> = block.chunks(MAX_FRAME).collect();
    let each = parts.iter().enumerate().map(|(at, part)| {
        let last = ends && at + 1 == parts.len();
        let kind = if at == 0 { HEADERS } else { CONTINUATION };
        frame(kind, if last { END_HEADERS } else { 0 }, stream, part)
    });
    each.collect::<Vec<_>>().concat()
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_and_the_connection_goes_on() {
    let folder = folder();
    let served = Served::start(&folder).await;
    for (address, is_grpc) in [(served.grpc, true), (served.http, false)] {
        let mut raw = Raw::begin(address, &[]).await;
        raw.send(&in_parts(1, &long(40_000), true)).await;
        let refused = raw.answer(1).await;
        // `:status 200` would be one byte, 0x88, of the static table (RFC 7541, appendix A).
        let answered = refused[0].kind == HEADERS && refused[0].payload[0] == 0x88;
        assert!(!answered, "{refused:?}");
        assert!(refused.iter().all(|it| it.kind != DATA), "{refused:?}");
        if is_grpc {
            raw.is_healthy(3).await;
        } else {
            let head = fields("GET", "/healthz/live", &[]);
            raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &head)).await;
            let answer = raw.answer(3).await;
            assert!(answer.iter().any(|it| it.payload == b"live\n"), "{answer:?}");
        }
    }
    served.stop().await;
}

#[tokio::test]
async fn a_head_without_an_end_ends_the_connection() {
    let folder = folder();
    let served = Served::start(&folder).await;
    for address in [served.grpc, served.http] {
        let mut raw = Raw::begin(address, &[]).await;
        raw.send(&in_parts(1, &long(4 << 20), false)).await;
        // What it says before it goes may be lost, as it does not wait to be read.
        let last = gone_away(&raw.rest().await);
        assert!(last.is_none_or(|error| error != 0), "{last:?}");
    }
    assert_eq!(served.check(question("ana", "View", "absence")).await.effect(), Effect::Allow);
    served.stop().await;
}

/// How many requests a connection may have in flight is said at its beginning, and held.
#[tokio::test]
async fn a_connection_has_so_many_requests_in_flight_and_no_more() {
    const MOST: u32 = 4;
    let folder = folder();
    let few = Settings { max_connection_requests: Some(MOST), ..settings(folder.path()) };
    let served = Served::with(few).await;
    for address in [served.grpc, served.http] {
        let mut raw = Raw::begin(address, &[]).await;
        let said = raw.any().await.unwrap();
        assert_eq!(said.kind, SETTINGS);
        let streams =
            said.payload.chunks(6).find(|it| it[..2] == MAX_CONCURRENT_STREAMS.to_be_bytes());
        assert_eq!(streams.unwrap()[2..], MOST.to_be_bytes());
        raw.send(&frame(SETTINGS, ACK, 0, &[])).await;
        // The bodies of these do not come yet.
        let heads: Vec<u8> = (0..=MOST).flat_map(|n| call(2 * n + 1, HEALTH)).collect();
        raw.send(&heads).await;
        let beyond = 2 * MOST + 1;
        let refused = raw.answer(beyond).await;
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert_eq!(
            (refused[0].kind, &refused[0].payload[..]),
            (RST_STREAM, &REFUSED_STREAM.to_be_bytes()[..])
        );
        raw.send(&frame(RST_STREAM, 0, 1, &CANCEL)).await;
        // There is room for one again.
        raw.send(&call(beyond + 2, HEALTH)).await;
        raw.send(&frame(DATA, END_STREAM, beyond + 2, &EMPTY)).await;
        let answer = raw.answer(beyond + 2).await;
        assert!(answer.iter().all(|it| it.kind != RST_STREAM), "{answer:?}");
    }
    served.stop().await;
}

/// Under overload most requests are answered before their bodies have come.
#[tokio::test]
async fn bodies_that_come_behind_their_answers_are_let_come_and_the_connection_goes_on() {
    const REQUESTS: u32 = 400;
    let folder = folder();
    let many = Settings { max_connection_requests: Some(2 * REQUESTS), ..settings(folder.path()) };
    let served = Served::with(many).await;
    for (address, path) in [(served.grpc, "/pdp.v1.DecisionService/Nix"), (served.http, "/nix")] {
        let mut raw = Raw::begin(address, &[]).await;
        let heads: Vec<u8> = (0..REQUESTS).flat_map(|n| call(2 * n + 1, path)).collect();
        raw.send(&heads).await;
        let mut answered = 0;
        while answered < REQUESTS {
            let frame = raw.next().await.unwrap();
            assert_ne!(frame.kind, RST_STREAM, "{path}: {frame:?}");
            answered += u32::from(frame.flags & END_STREAM > 0);
        }
        for number in 0..REQUESTS {
            raw.send(&frame(DATA, END_STREAM, 2 * number + 1, &[0; 2_000])).await;
        }
        if address == served.grpc {
            raw.is_healthy(2 * REQUESTS + 1).await;
        } else {
            let head = fields("GET", "/healthz/live", &[]);
            let stream = 2 * REQUESTS + 1;
            raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &head)).await;
            let answer = raw.answer(stream).await;
            assert!(answer.iter().any(|it| it.payload == b"live\n"), "{answer:?}");
        }
    }
    served.stop().await;
}

#[tokio::test]
async fn requests_that_are_taken_back_at_once_end_the_connection() {
    let folder = folder();
    let served = Served::start(&folder).await;
    for address in [served.grpc, served.http] {
        let mut raw = Raw::begin(address, &[]).await;
        let pair = |n: u32| [call(2 * n + 1, HEALTH), frame(RST_STREAM, 0, 2 * n + 1, &CANCEL)];
        let flood: Vec<u8> = (0..5_000).flat_map(pair).flatten().collect();
        let (mut reads, mut writes) = raw.0.into_split();
        let sent = tokio::spawn(async move {
            tokio::io::AsyncWriteExt::write_all(&mut writes, &flood).await.ok();
            writes
        });
        let mut answered = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut reads, &mut answered).await.ok();
        // The connection ended from the other side, although ours is still open.
        let writes = sent.await.unwrap();
        let calm = ENHANCE_YOUR_CALM.to_be_bytes();
        let told = answered.windows(4).any(|part| part == calm);
        assert!(told || answered.len() < 5_000, "{} bytes", answered.len());
        drop(writes);
        raw = Raw::begin(address, &[]).await;
        drop(raw);
    }
    assert_eq!(served.check(question("ana", "View", "absence")).await.effect(), Effect::Allow);
    served.stop().await;
}
