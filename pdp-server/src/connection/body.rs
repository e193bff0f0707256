//! The body of an answer, watched as it is taken: whether its maker or its taker is waited for.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame, SizeHint};

use crate::tls::Peer;

/// A request that is not answered to the end, until it is dropped.
pub(super) struct Open(Peer);

/// The body of an answer.
pub(crate) struct Watched<B> {
    body: B,
    /// Something was handed over, and nobody has asked for more.
    handed_over: bool,
    open: Open,
}

// === impl Open ===

impl Open {
    pub(super) fn new(peer: &Peer) -> Self {
        peer.activity().opened();
        Self(peer.clone())
    }

    pub(super) const fn peer(&self) -> &Peer {
        &self.0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.activity().closed();
    }
}

// === impl Watched ===

impl<B: Body> Watched<B> {
    pub(super) fn new(body: B, open: Open) -> Self {
        // A body is first asked for something when there is room for it.
        let handed_over = !body.is_end_stream();
        if handed_over {
            open.0.activity().handed_over();
        }
        Self { body, handed_over, open }
    }
}

impl<B> Watched<B> {
    fn taken(&mut self) {
        if std::mem::take(&mut self.handed_over) {
            self.open.0.activity().taken();
        }
    }
}

impl<B: Body + Unpin> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        // Whoever asks for more has room for it: what came before is on its way.
        self.taken();
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if matches!(&frame, Some(Ok(frame)) if frame.is_data()) {
            self.handed_over = true;
            self.open.0.activity().handed_over();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Watched<B> {
    fn drop(&mut self) {
        self.taken();
    }
}
