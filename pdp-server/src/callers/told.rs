//! Requests without leave: counted by reason, told in a log that they cannot flood, and kept from
//! costing more than they are worth. No line holds what was sent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::Denied;
use crate::telemetry::Metrics;

/// How many lines about it a log gets in a second; the next one says how many were left out.
const MAX_LINES: u64 = 5;

/// How many signatures may be found wrong in a second, before tokens that were not seen before have to
/// wait: that many take a core less than a tenth of a second. Callers with keys, with certificates and
/// with tokens that were verified notice nothing.
const MAX_WRONG_SIGNATURES: u64 = 500;

/// What came of those who have no leave.
pub(super) struct Failures {
    metrics: Arc<Metrics>,
    start: Instant,
    lines: Second,
    left_out: AtomicU64,
    wrong_signatures: Second,
}

/// A count within the second at hand: the second in the upper half, the count in the lower.
#[derive(Default)]
struct Second(AtomicU64);

// === impl Failures ===

impl Failures {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        let (lines, wrong_signatures) = (Second::default(), Second::default());
        let left_out = AtomicU64::new(0);
        Self { metrics, start: Instant::now(), lines, left_out, wrong_signatures }
    }

    /// Counts and tells of a request that is refused.
    pub(super) fn refused(&self, denied: Denied, of: &str, peer: Option<SocketAddr>) {
        self.metrics.unauthenticated(denied.label());
        self.tell(|left_out| {
            let reason = denied.label().as_str();
            let peer = peer.map(tracing::field::display);
            tracing::warn!(reason, request = of, peer, left_out, "a caller was not let in");
        });
    }

    /// Tells of a caller who lacks a role.
    pub(super) fn forbidden(&self, caller: &str, of: &str) {
        self.metrics.forbidden();
        self.tell(|left_out| {
            tracing::warn!(caller, request = of, left_out, "a caller lacks a role");
        });
    }

    fn tell(&self, line: impl FnOnce(u64)) {
        if self.lines.add(self.start) <= MAX_LINES {
            line(self.left_out.swap(0, Ordering::Relaxed));
        } else {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether one more signature may be verified.
    pub(super) fn may_verify(&self) -> Result<(), Denied> {
        if self.wrong_signatures.get(self.start) < MAX_WRONG_SIGNATURES {
            return Ok(());
        }
        Err(Denied::Busy)
    }

    /// Notes a signature that is wrong.
    pub(super) fn verified(&self, denied: Denied) {
        if denied == Denied::Signature {
            self.wrong_signatures.add(self.start);
        }
    }
}

// === impl Second ===

impl Second {
    fn now(start: Instant) -> u64 {
        start.elapsed().as_secs() << 32
    }

    /// Counts one more; how many there were in this second, with it.
    fn add(&self, start: Instant) -> u64 {
        let second = Self::now(start);
        let next = |value: u64| if value >> 32 == second >> 32 { value + 1 } else { second + 1 };
        let before = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |value| Some(next(value)))
            .unwrap_or_else(|value| value);
        next(before) & u64::from(u32::MAX)
    }

    fn get(&self, start: Instant) -> u64 {
        let (value, second) = (self.0.load(Ordering::Relaxed), Self::now(start));
        if value >> 32 == second >> 32 { value & u64::from(u32::MAX) } else { 0 }
    }
}
