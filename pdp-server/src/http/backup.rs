//! A backup of the store, sent while it is read: by one read transaction, for one caller at a time. And
//! giving back what the store's file has no use for.

use std::io::{self, Write};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Shared, authzen};
use crate::store::StoreError;

/// How much is sent at once, in bytes.
const PIECE: usize = 256 << 10;

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
    let Some(door) = shared.door.upgrade() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n").into_response();
    };
    let publisher = match door.everywhere(request.extensions()) {
        Ok(publisher) => publisher.clone(),
        Err(failure) => return authzen::Refused::from(failure).into_response(),
    };
    let Ok(turn) = Arc::clone(&shared.backups).try_acquire_owned() else { return busy(BUSY) };
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
    let Some(door) = shared.door.upgrade() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n").into_response();
    };
    let publisher = match door.everywhere(request.extensions()) {
        Ok(publisher) => publisher.clone(),
        Err(failure) => return authzen::Refused::from(failure).into_response(),
    };
    let Ok(turn) = Arc::clone(&shared.backups).try_acquire_owned() else { return busy(BUSY) };
    // It goes on to its end, whether somebody waits for it or not.
    let compacted = tokio::task::spawn_blocking(move || {
        let compacted = publisher.compact();
        drop(turn);
        compacted
    });
    match compacted.await {
        Ok(Ok(bytes)) => {
            tracing::info!(bytes, "the store was compacted");
            format!("{bytes}\n").into_response()
        }
        Ok(Err(error @ StoreError::InUse)) => busy(&format!("{error}\n")),
        Ok(Err(error)) => {
            tracing::error!(%error, "the store was not compacted");
            (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
        }
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal error\n").into_response(),
    }
}

fn busy(said: &str) -> Response {
    let again = [(header::RETRY_AFTER, "10")];
    (StatusCode::SERVICE_UNAVAILABLE, again, said.to_owned()).into_response()
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
