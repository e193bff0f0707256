//! The body of a request, counted as it is read: what all requests hold that are under way is bounded,
//! however many there are and however large each may be.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use http::Request;
use http_body::{Body, Frame, SizeHint};
use hyper::body::{Bytes, Incoming};

use crate::admission::Shed;
use crate::tls::Peer;

/// What comes whole and has no more bytes than that is not counted: the number of requests bounds it,
/// and a question costs no more than before.
const SMALL: usize = 16 << 10;

/// What is held until it is applied, and takes as long as that takes, within limits of its own.
pub(crate) const IMPORT: &str = "/pdp.v1.PolicyService/Import";

/// That a request was answered, and its bytes are not counted any more.
const ANSWERED: usize = usize::MAX;

/// The body of a request.
pub(crate) struct Arrived {
    body: Incoming,
    /// Something was read.
    begun: bool,
    meter: Option<Arc<Meter>>,
}

/// How much of a request is held, until it is answered: what follows on a stream is let go of message by
/// message.
pub(super) struct Meter {
    peer: Peer,
    held: AtomicUsize,
}

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unread {
    /// Its connection.
    #[error(transparent)]
    Connection(#[from] hyper::Error),
    /// There is too much to be held.
    #[error(transparent)]
    Shed(#[from] Shed),
}

// === impl Meter ===

impl Meter {
    /// Of a request that may hold more than a little.
    pub(super) fn of(request: &Request<Incoming>, peer: &Peer) -> Option<Arc<Self>> {
        let body = request.body();
        let most = body.size_hint().upper().and_then(|most| usize::try_from(most).ok());
        if body.is_end_stream() || most.is_some_and(|most| most <= SMALL) {
            return None;
        }
        let is_counted = request.uri().path() != IMPORT;
        is_counted.then(|| Arc::new(Self { peer: peer.clone(), held: AtomicUsize::new(0) }))
    }

    fn hold(&self, bytes: usize) -> Result<(), Shed> {
        if self.held.load(Relaxed) == ANSWERED {
            return Ok(());
        }
        let all = self.peer.load().all();
        all.buffer(bytes)?;
        let more = |held| (held != ANSWERED).then_some(held + bytes);
        if self.held.fetch_update(Relaxed, Relaxed, more).is_err() {
            // It was answered meanwhile.
            all.let_go(bytes);
        }
        Ok(())
    }

    /// The request is answered.
    pub(super) fn answered(&self) {
        let held = self.held.swap(ANSWERED, Relaxed);
        if held != ANSWERED {
            self.peer.load().all().let_go(held);
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.answered();
    }
}

// === impl Arrived ===

impl Arrived {
    pub(super) const fn new(body: Incoming, meter: Option<Arc<Meter>>) -> Self {
        Self { body, begun: false, meter }
    }
}

impl Body for Arrived {
    type Data = Bytes;
    type Error = Unread;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Unread>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)) else {
            return Poll::Ready(None);
        };
        let frame = frame?;
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        let is_whole = !std::mem::replace(&mut self.begun, true) && self.body.is_end_stream();
        if let Some(meter) = &self.meter
            && !(is_whole && bytes <= SMALL)
        {
            meter.hold(bytes)?;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
