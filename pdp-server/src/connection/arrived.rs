//! The body of a request, counted as it is read: what all requests hold that are under way is bounded,
//! however many there are and however large each may be.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use http::Request;
use http_body::{Body, Frame, SizeHint};
use hyper::body::{Bytes, Incoming};
use tokio::runtime::Handle;

use crate::admission::Shed;
use crate::tls::Peer;

/// What comes whole and has no more bytes than that is not counted: the number of requests bounds it,
/// and a question costs no more than before.
const SMALL: usize = 16 << 10;

/// What is held until it is applied, and takes as long as that takes, within limits of its own.
pub(crate) const IMPORT: &str = "/pdp.v1.PolicyService/Import";

/// How much of a body that nobody reads is let come, in bytes, and for how long.
const MOST_DISCARDED: usize = 1 << 20;
const RUNS_OUT_WITHIN: Duration = Duration::from_secs(30);

/// That a request was answered, and its bytes are not counted any more.
const ANSWERED: usize = usize::MAX;

/// The body of a request. Where it is answered before all of it has come, the rest is let come in and
/// discarded: to stop its sender would be a fault of the stream, and a connection is ended for too many of
/// these, with all that is under way on it.
pub(crate) struct Arrived {
    body: Rest,
    /// Something was read.
    begun: bool,
    meter: Option<Arc<Meter>>,
}

/// What of a body has not been read; taken once nobody reads it any more.
struct Rest(Option<Incoming>);

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
        Self { body: Rest(Some(body)), begun: false, meter }
    }
}

impl Body for Arrived {
    type Data = Bytes;
    type Error = Unread;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Unread>>> {
        let Some(frame) = ready!(self.body.poll(context)) else {
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
        self.body.0.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

// === impl Rest ===

impl Rest {
    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.0 {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Body::is_end_stream)
    }

    /// Discards what has come, and says how much more may; `None` once nothing is left to come.
    fn discard(&mut self, mut most: usize, context: &mut Context<'_>) -> Option<usize> {
        while let Poll::Ready(frame) = self.poll(context) {
            let bytes = frame?.ok()?.into_data().map_or(0, |data| data.len());
            most = most.checked_sub(bytes)?;
        }
        Some(most)
    }

    /// Discards what is still to come, within bounds.
    async fn run_out(mut self, mut most: usize) {
        let all = poll_fn(|context| match self.discard(most, context) {
            Some(left) => {
                most = left;
                Poll::Pending
            }
            None => Poll::Ready(()),
        });
        tokio::time::timeout(RUNS_OUT_WITHIN, all).await.ok();
    }
}

impl Drop for Arrived {
    fn drop(&mut self) {
        let mut rest = Rest(self.body.0.take());
        // Mostly it is there already.
        let mut context = Context::from_waker(Waker::noop());
        if !rest.is_end_stream()
            && let Some(most) = rest.discard(MOST_DISCARDED, &mut context)
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(rest.run_out(most));
        }
    }
}
