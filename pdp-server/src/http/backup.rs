//! A backup of the store, sent while it is read: by one read transaction, for one caller at a time. And
//! giving back what the store's file has no use for.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::{Shared, authzen};
use crate::publish::Publisher;

/// How much is sent at once, in bytes.
const PIECE: usize = 256 << 10;

/// How long a compaction waits for whoever reads, and how long at a time.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

/// What is said where it is not one's turn.
const BUSY: &str = "a backup or a compaction is under way already; try again\n";

/// How many pieces may wait for a slow caller before the reading waits, too.
const WAITING_PIECES: usize = 4;

/// Hands over what is written, piece by piece.
struct Pieces {
    send: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

/// Answers with a backup. Half of one has no end, and nothing takes it for a whole one.
pub(super) async fn backup(State(shared): State<Shared>, request: Request) -> Response {
    let (publisher, turn) = match taken(&shared, &request) {
        Ok(taken) => taken,
        Err(refused) => return *refused,
    };
    let (send, pieces) = mpsc::channel(WAITING_PIECES);
    tokio::task::spawn_blocking(move || {
        let mut out = Pieces { send, piece: Vec::with_capacity(PIECE) };
        match publisher.backup(&mut out) {
            Ok(rows) => tracing::info!(rows, "a backup was taken"),
            Err(error) => {
                tracing::error!(%error, "a backup was not taken");
                out.send.blocking_send(Err(io::Error::other("the backup failed"))).ok();
            }
        }
        drop(turn);
    });
    let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
    (kind, Body::from_stream(ReceiverStream::new(pieces))).into_response()
}

/// Makes the store's file as short as it can be, and answers with how many bytes that gave back.
pub(super) async fn compact(State(shared): State<Shared>, request: Request) -> Response {
    let (publisher, turn) = match taken(&shared, &request) {
        Ok(taken) => taken,
        Err(refused) => return *refused,
    };
    let before = publisher.store_bytes();
    let begun = Instant::now();
    let compacted = loop {
        let publisher = publisher.clone();
        let tried = tokio::task::spawn_blocking(move || {
            publisher.try_compact().inspect_err(|error| {
                tracing::error!(%error, "the store was not compacted");
            })
        });
        match tried.await {
            // Something reads or writes a few records, and is done soon.
            Ok(Ok(false)) if begun.elapsed() < PATIENCE => tokio::time::sleep(PAUSE).await,
            tried => break tried,
        }
    };
    drop(turn);
    match compacted {
        Ok(Ok(true)) => {
            let shorter = before.zip(publisher.store_bytes());
            let bytes = shorter.map_or(0, |(before, after)| before.saturating_sub(after));
            tracing::info!(bytes, "the store was compacted");
            format!("{bytes}\n").into_response()
        }
        Ok(Ok(false)) => busy("something goes on reading or writing the store; try again\n"),
        Ok(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal error\n").into_response(),
    }
}

/// The one turn there is, for who may do this for every tenant.
fn taken(
    shared: &Shared,
    request: &Request,
) -> Result<(Publisher, OwnedSemaphorePermit), Box<Response>> {
    let Some(door) = shared.door.upgrade() else {
        return Err((StatusCode::SERVICE_UNAVAILABLE, "shutting down\n").into_response().into());
    };
    let publisher = door.everywhere(request.extensions());
    let publisher = publisher.map_err(|it| authzen::Refused::from(it).into_response())?.clone();
    let turn = Arc::clone(&shared.backups).try_acquire_owned().map_err(|_| busy(BUSY))?;
    Ok((publisher, turn))
}

fn busy(said: &'static str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "10")], said).into_response()
}

// === impl Pieces ===

impl Pieces {
    fn pass(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        let sent = self.send.blocking_send(Ok(piece.into()));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.piece.len() >= PIECE {
            self.pass()?;
        }
        self.piece.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() { Ok(()) } else { self.pass() }
    }
}
