//! Whether somebody who was let in still would be. A request is over before that can change; a stream is
//! not, and its caller's key may be taken back, their token end, or their roles change meanwhile. So
//! what they proved is kept with the stream and looked at with each message, which costs one number's
//! comparison for as long as nothing has changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap};
use pdp_engine::time::Timestamp;

use super::asker::{Asker, Forbidden};
use super::{Denied, Gate, Undecided};
use crate::connection::Arrival;
use crate::tls::Peer;

/// How often callers or keys of issuers were read anew in this process.
static CHANGES: AtomicU64 = AtomicU64::new(0);

/// What the caller of a stream proved.
pub(crate) struct Standing {
    gate: Arc<Gate>,
    /// Their credentials, if they sent any.
    headers: HeaderMap,
    peer: Option<Peer>,
    asker: Asker,
    /// What the stream is called in logs.
    of: &'static str,
    /// What there was when it was looked at last; `None` before the first time.
    seen: Option<u64>,
    /// When what they proved ends by itself.
    ends: Option<Timestamp>,
}

/// Why somebody would not be let in any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Lost {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
}

/// Says that callers or keys were read anew: called once they count.
pub(super) fn changed() {
    CHANGES.fetch_add(1, Ordering::Release);
}

// === impl Standing ===

impl Standing {
    /// Of whoever sent a request, which the stream named `of` came of.
    pub(crate) fn new(
        gate: &Arc<Gate>,
        headers: &HeaderMap,
        extensions: &Extensions,
        of: &'static str,
    ) -> Result<Self, Forbidden> {
        let asker = Asker::of(extensions)?.clone();
        let mut credentials = HeaderMap::new();
        for value in headers.get_all(AUTHORIZATION) {
            credentials.append(AUTHORIZATION, value.clone());
        }
        let peer = extensions.get::<Arrival>().map(|arrival| arrival.peer.clone());
        let (gate, headers) = (Arc::clone(gate), credentials);
        // What has changed since they were let in is not known: the first look is thorough.
        Ok(Self { gate, headers, peer, asker, of, seen: None, ends: None })
    }

    /// Who asks, as it is now.
    pub(crate) const fn asker(&self) -> &Asker {
        &self.asker
    }

    /// Looks again; whether something may have changed.
    pub(crate) fn look(&mut self) -> Result<bool, Lost> {
        // Before anything else is looked at: what changes meanwhile is seen the next time.
        let changes = CHANGES.load(Ordering::Acquire);
        let lasts = self.ends.is_none_or(|ends| self.gate.clock.now() < ends);
        if self.seen == Some(changes) && lasts {
            return Ok(false);
        }
        let found = self.gate.find(&self.headers, self.peer.as_ref());
        let found = found.map_err(|undecided| match undecided {
            Undecided::Denied(denied) => denied,
            Undecided::KeyOf(_) => Denied::UnknownKeyId,
        });
        let found = found.inspect_err(|denied| {
            let address = self.peer.as_ref().and_then(Peer::address);
            self.gate.failures.refused(*denied, self.of, address);
        })?;
        let asker = self.asker.as_now(found.known);
        let could = asker.could();
        could.inspect_err(|_| self.gate.failures.forbidden(asker.name(), self.of))?;
        (self.asker, self.seen, self.ends) = (asker, Some(changes), found.ends);
        Ok(true)
    }
}
