//! One connection of a flood: what is sent is gathered and written at once, and what comes is read as frames.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use prost::bytes::Bytes;

use crate::drive::DriveError;
use crate::frames::{
    ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEAD, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, data, enveloped, frame, remembered,
};
use crate::wire::{Reads, Requests};

/// How long a server has for its settings.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many bytes may wait to be written: what is due then is held back.
const MOST_UNWRITTEN: usize = 1 << 20;

/// The largest window there is (RFC 9113, 6.9.1), and the one that each connection begins with.
const WINDOW: u32 = (1 << 31) - 1;
const FIRST_WINDOW: u32 = 65_535;

/// After how many bytes the server is told that it may send as many again.
const TAKEN: u32 = 1 << 20;

/// Settings (RFC 9113, 6.5.2).
const HEADER_TABLE_SIZE: u16 = 1;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// How many streams a server takes that does not say: it should take no fewer (RFC 9113, 6.5.2).
const USUAL_STREAMS: u32 = 100;

/// `grpc-status` with 0 and with 8 as they come where nothing is remembered (RFC 7541, 5.2): eight bytes of a name in
/// Huffman's code, and one of its value.
const GRPC_OK: &[u8] = &[0x88, 0x9a, 0xca, 0xc8, 0xb2, 0x12, 0x34, 0xda, 0x8f, 0x81, 0x07];
const GRPC_EXHAUSTED: &[u8] = &[0x88, 0x9a, 0xca, 0xc8, 0xb2, 0x12, 0x34, 0xda, 0x8f, 0x81, 0x7b];

/// `:status` 200, which everybody knows, and the values 429 and 503.
const HTTP_OK: u8 = 0x88;
const HTTP_LATER: [&[u8]; 2] = [&[0x83, 0x68, 0x4f, 0xff], &[0x83, 0x6c, 0x0c, 0xff]];

/// A request that was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// Which one.
    pub(super) number: usize,
    /// When it was meant to be sent.
    pub(super) at: Duration,
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Outcome {
    /// This message.
    Answer(Bytes),
    /// The server has too much to do.
    Refused,
    /// Another error.
    Failed,
}

/// One connection.
pub(super) struct Lane {
    socket: TcpStream,
    /// Not written yet; from there on.
    out: Vec<u8>,
    written: usize,
    /// Nothing can be written at the moment.
    blocked: bool,
    /// Read and not understood yet.
    come: Vec<u8>,
    /// How many requests it may have under way, and how many it has.
    most: u32,
    under_way: u32,
    /// How many bytes of messages may be sent.
    window: i64,
    /// How many bytes of messages have come since the server was told.
    taken: u32,
    /// The streams from the oldest one on that is open.
    oldest: u32,
    streams: VecDeque<Option<Stream>>,
    fields: [u8; 6],
    /// What the first request has in their place.
    first: Option<Vec<u8>>,
    grpc: bool,
}

struct Stream {
    asked: Asked,
    fields: Vec<u8>,
    body: Vec<u8>,
}

// === impl Lane ===

impl Lane {
    /// Connects, and waits for the server's settings.
    pub(super) fn open(address: &str, requests: &Requests) -> Result<Self, DriveError> {
        let none = || DriveError::Address(address.to_owned());
        let authority = address.strip_prefix("http://").ok_or_else(none)?;
        let grpc = requests.reads != Reads::Evaluations;
        let content_type = if grpc { "application/grpc" } else { "application/json" };
        let (first, fields) = remembered(authority, requests.path.path(), content_type);
        let socket = TcpStream::connect(authority).map_err(DriveError::System)?;
        socket.set_nodelay(true).map_err(DriveError::System)?;
        let mut out = PREFACE.to_vec();
        let mut settings = Vec::new();
        // Nothing is remembered of answers, so that they can be told by their bytes.
        for (name, value) in [(HEADER_TABLE_SIZE, 0), (INITIAL_WINDOW_SIZE, WINDOW)] {
            settings.extend(name.to_be_bytes());
            settings.extend(value.to_be_bytes());
        }
        frame(&mut out, SETTINGS, 0, 0, &settings);
        frame(&mut out, WINDOW_UPDATE, 0, 0, &(WINDOW - FIRST_WINDOW).to_be_bytes());
        let mut lane = Self {
            socket,
            out,
            written: 0,
            blocked: false,
            come: Vec::new(),
            most: 0,
            under_way: 0,
            window: i64::from(FIRST_WINDOW),
            taken: 0,
            oldest: 1,
            streams: VecDeque::new(),
            fields,
            first: Some(first),
            grpc,
        };
        lane.flush()?;
        lane.socket.set_read_timeout(Some(PATIENCE)).map_err(DriveError::System)?;
        let (began, mut buffer) = (Instant::now(), [0; 1_024]);
        while lane.most == 0 {
            if began.elapsed() > PATIENCE || lane.read(&mut buffer)? == 0 {
                return Err(DriveError::Protocol("no settings in time"));
            }
            lane.understand(&mut |_, _| {})?;
        }
        lane.socket.set_nonblocking(true).map_err(DriveError::System)?;
        Ok(lane)
    }

    /// How many requests have no answer.
    pub(super) const fn under_way(&self) -> usize {
        self.under_way as usize
    }

    /// Has it told under that token when there is something to read, and when it can be written to again.
    pub(super) fn register(&self, registry: &Registry, token: Token) -> Result<(), DriveError> {
        let both = Interest::READABLE | Interest::WRITABLE;
        let socket = self.socket.as_raw_fd();
        registry.register(&mut SourceFd(&socket), token, both).map_err(DriveError::System)
    }

    /// It can be written to again.
    pub(super) const fn unblock(&mut self) {
        self.blocked = false;
    }

    /// Sends a request with the next flush; `false` if it has to be held back.
    pub(super) fn ask(&mut self, requests: &Requests, asked: Asked) -> bool {
        let Some(prepared) = requests.prepared.get(asked.number) else { return false };
        // An envelope has five bytes.
        let length = prepared.body.len() as i64 + if self.grpc { 5 } else { 0 };
        let unwritten = self.out.len() - self.written;
        if self.under_way >= self.most || length > self.window || unwritten > MOST_UNWRITTEN {
            return false;
        }
        let stream = self.oldest + 2 * self.streams.len() as u32;
        let first = self.first.take();
        let fields = first.as_deref().unwrap_or(&self.fields);
        frame(&mut self.out, HEADERS, END_HEADERS, stream, fields);
        match self.grpc {
            true => data(&mut self.out, stream, &enveloped(&prepared.body)),
            false => data(&mut self.out, stream, &prepared.body),
        }
        self.window -= length;
        self.under_way += 1;
        let (fields, body) = (Vec::new(), Vec::new());
        self.streams.push_back(Some(Stream { asked, fields, body }));
        true
    }

    /// Writes what can be written.
    pub(super) fn flush(&mut self) -> Result<(), DriveError> {
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            if self.blocked {
                return Ok(());
            }
            match self.socket.write(rest) {
                Ok(0) => return Err(DriveError::Protocol("the connection was closed")),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.blocked = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(DriveError::System(error)),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    /// Takes all that has come; `told` hears of each request that is done.
    pub(super) fn receive(
        &mut self,
        buffer: &mut [u8],
        mut told: impl FnMut(Asked, Outcome),
    ) -> Result<(), DriveError> {
        loop {
            let read = self.read(buffer)?;
            if read > 0 {
                self.understand(&mut told)?;
            }
            // There is no more than that, and of the next it is told anew.
            if read < buffer.len() {
                return Ok(());
            }
        }
    }

    /// Reads once; how much there was.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, DriveError> {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => return Err(DriveError::Protocol("the connection was closed")),
                Ok(count) => {
                    self.come.extend_from_slice(buffer.get(..count).unwrap_or_default());
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(DriveError::System(error)),
            }
        }
    }

    /// Goes through the frames that are there whole.
    fn understand(&mut self, told: &mut impl FnMut(Asked, Outcome)) -> Result<(), DriveError> {
        let come = std::mem::take(&mut self.come);
        let mut rest = come.as_slice();
        while let Some((head, behind)) = rest.split_first_chunk::<HEAD>() {
            let [l2, l1, l0, kind, flags, s3, s2, s1, s0] = *head;
            let length = u32::from_be_bytes([0, l2, l1, l0]) as usize;
            let stream = u32::from_be_bytes([s3, s2, s1, s0]) & WINDOW;
            let Some((payload, next)) = behind.split_at_checked(length) else { break };
            self.take(kind, flags, stream, payload, told)?;
            rest = next;
        }
        self.come = rest.to_vec();
        Ok(())
    }

    fn take(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
        told: &mut impl FnMut(Asked, Outcome),
    ) -> Result<(), DriveError> {
        match kind {
            SETTINGS if flags & ACK == 0 => {
                self.settings(payload);
                frame(&mut self.out, SETTINGS, ACK, 0, &[]);
            }
            PING if flags & ACK == 0 => frame(&mut self.out, PING, ACK, 0, payload),
            WINDOW_UPDATE if stream == 0 => self.window += i64::from(number(payload)),
            GOAWAY => return Err(DriveError::Protocol("the server ends the connection")),
            DATA | HEADERS => {
                let Some(open) = self.stream(stream) else {
                    return Err(DriveError::Protocol("an answer to nothing"));
                };
                let into = if kind == DATA { &mut open.body } else { &mut open.fields };
                into.extend_from_slice(payload);
                if kind == DATA {
                    self.taken += payload.len() as u32;
                    if self.taken >= TAKEN {
                        let taken = std::mem::take(&mut self.taken).to_be_bytes();
                        frame(&mut self.out, WINDOW_UPDATE, 0, 0, &taken);
                    }
                }
                if flags & END_STREAM != 0
                    && let Some(Stream { asked, fields, body }) = self.end(stream)
                {
                    told(asked, outcome(self.grpc, &fields, body));
                }
            }
            RST_STREAM => {
                if let Some(Stream { asked, .. }) = self.end(stream) {
                    told(asked, Outcome::Failed);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn settings(&mut self, payload: &[u8]) {
        if self.most == 0 {
            self.most = USUAL_STREAMS;
        }
        for setting in payload.chunks_exact(6) {
            let (name, value) = setting.split_at(2);
            if name == MAX_CONCURRENT_STREAMS.to_be_bytes() {
                self.most = number(value).max(1);
            }
        }
    }

    fn stream(&mut self, stream: u32) -> Option<&mut Stream> {
        let at = stream.checked_sub(self.oldest)? / 2;
        self.streams.get_mut(at as usize)?.as_mut()
    }

    fn end(&mut self, stream: u32) -> Option<Stream> {
        let at = stream.checked_sub(self.oldest)? / 2;
        let ended = self.streams.get_mut(at as usize)?.take()?;
        self.under_way -= 1;
        while self.streams.front().is_some_and(Option::is_none) {
            self.streams.pop_front();
            self.oldest += 2;
        }
        Some(ended)
    }
}

/// What an answer comes to by its header fields, trailers included, and its body.
fn outcome(grpc: bool, fields: &[u8], body: Vec<u8>) -> Outcome {
    let has = |value: &[u8]| fields.windows(value.len()).any(|part| part == value);
    let body = Bytes::from(body);
    if !grpc {
        return match fields.iter().take(2).any(|byte| *byte == HTTP_OK) {
            true => Outcome::Answer(body),
            false if HTTP_LATER.into_iter().any(has) => Outcome::Refused,
            false => Outcome::Failed,
        };
    }
    if has(GRPC_EXHAUSTED) {
        Outcome::Refused
    } else if has(GRPC_OK) && body.len() >= 5 {
        Outcome::Answer(body.slice(5..))
    } else {
        Outcome::Failed
    }
}

fn number(payload: &[u8]) -> u32 {
    payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes) & WINDOW)
}
