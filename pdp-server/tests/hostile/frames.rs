//! HTTP/2 written by hand (RFC 9113), for clients that do what no library does.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// How many streams a peer may have at a time (RFC 9113, section 6.5.2).
pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;

/// That a stream was not looked at (RFC 9113, section 7).
pub(crate) const REFUSED_STREAM: u32 = 7;

/// That a peer makes too much work (RFC 9113, section 7).
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// The largest payload that needs no leave.
pub(crate) const MAX_FRAME: usize = 16_384;

/// The path of a health check, whose message is empty.
pub(crate) const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// A message of no fields.
pub(crate) const EMPTY: [u8; 5] = [0; 5];

/// A frame that came.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// A connection whose every byte the test chooses.
pub(crate) struct Raw(pub(crate) TcpStream);

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The header fields of a request, as literals that are not remembered (RFC 7541, section 6.2.2).
pub(crate) fn fields(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    let own = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "pdp")];
    for (name, value) in own.iter().chain(more) {
        block.push(0);
        text(&mut block, name);
        text(&mut block, value);
    }
    block
}

/// A text with its length, which is an integer of a prefix of 7 bits (RFC 7541, section 5.1).
fn text(block: &mut Vec<u8>, text: &str) {
    if text.len() < 127 {
        block.push(u8::try_from(text.len()).unwrap());
    } else {
        block.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            block.push(u8::try_from(rest % 128).unwrap() | 128);
            rest /= 128;
        }
        block.push(u8::try_from(rest).unwrap());
    }
    block.extend(text.as_bytes());
}

/// The head of a gRPC request.
pub(crate) fn call(stream: u32, path: &str) -> Vec<u8> {
    let more = [("content-type", "application/grpc"), ("te", "trailers")];
    frame(HEADERS, END_HEADERS, stream, &fields("POST", path, &more))
}

// === impl Raw ===

impl Raw {
    /// Connects and says how it speaks, with these settings.
    pub(crate) async fn begin(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap(), settings).await
    }

    /// The same over a connection that there is.
    pub(crate) async fn over(stream: TcpStream, settings: &[(u16, u32)]) -> Self {
        let mut raw = Self(stream);
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        raw.send(&frame(SETTINGS, 0, 0, &payload)).await;
        raw
    }

    /// Sends bytes. A server that has gone is noticed when it is read from.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.ok();
    }

    /// The next frame, whatever it is, unanswered; `None` at the end.
    pub(crate) async fn any(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut payload).await.ok()?;
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame, settings and pings answered and left out; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = self.any().await?;
            match frame.kind {
                SETTINGS if frame.flags & ACK == 0 => {
                    self.send(&self::frame(SETTINGS, ACK, 0, &[])).await;
                }
                PING if frame.flags & ACK == 0 => {
                    self.send(&self::frame(PING, ACK, 0, &frame.payload)).await;
                }
                SETTINGS | PING => {}
                _ => return Some(frame),
            }
        }
    }

    /// Everything until the end.
    pub(crate) async fn rest(&mut self) -> Vec<Frame> {
        let mut all = Vec::new();
        while let Some(frame) = self.next().await {
            all.push(frame);
        }
        all
    }

    /// Everything of a stream until it ends.
    pub(crate) async fn answer(&mut self, stream: u32) -> Vec<Frame> {
        let mut all = Vec::new();
        while let Some(frame) = self.next().await {
            let ends = frame.kind == RST_STREAM
                || matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM > 0;
            if frame.stream == stream {
                all.push(frame);
                if ends {
                    return all;
                }
            }
        }
        panic!("the connection ended before stream {stream}: {all:?}");
    }

    /// Asks for the health over this connection, which is still good.
    pub(crate) async fn is_healthy(&mut self, stream: u32) {
        let answer = self.health(stream).await;
        assert!(says_serving(&answer), "{answer:?}");
    }

    /// What comes for a question about health over this connection.
    pub(crate) async fn health(&mut self, stream: u32) -> Vec<Frame> {
        self.send(&call(stream, HEALTH)).await;
        self.send(&frame(DATA, END_STREAM, stream, &EMPTY)).await;
        self.answer(stream).await
    }
}

/// Whether the answer to a question about health is SERVING.
pub(crate) fn says_serving(answer: &[Frame]) -> bool {
    let data = answer.iter().filter(|it| it.kind == DATA).flat_map(|it| &it.payload);
    // The message's one field is 1: SERVING.
    data.copied().collect::<Vec<u8>>() == [0, 0, 0, 0, 2, 8, 1]
}

/// The error of the last GOAWAY.
pub(crate) fn gone_away(frames: &[Frame]) -> Option<u32> {
    let last = frames.iter().rfind(|frame| frame.kind == GOAWAY)?;
    Some(u32::from_be_bytes(last.payload[4..8].try_into().unwrap()))
}
