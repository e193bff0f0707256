//! When to try again: how often, after how long, and when to stop because everybody retries.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::client::MAX_DEADLINE;

/// How calls that are safe to send twice are retried on `UNAVAILABLE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// How often a call is sent at most, the first time included. 1: never again.
    pub max_attempts: u32,
    /// The longest first pause. Each further pause may be twice as long; each is drawn evenly
    /// between nothing and its longest, so that callers do not come back all at once.
    pub first_backoff: Duration,
    /// No pause is longer, unless the server asks for it.
    pub max_backoff: Duration,
}

/// A budget for the retries of one client and its clones. Each failed attempt takes a token, each
/// answered call gives a tenth back, and there are no retries while it is at most half full: a
/// server that is down for good is not asked several times as often as one that is up.
#[derive(Debug)]
pub(crate) struct Budget {
    tenths: AtomicU32,
}

const FULL_TENTHS: u32 = 100;

// === impl Retries ===

impl Retries {
    /// No retries at all.
    pub const NONE: Self =
        Self { max_attempts: 1, first_backoff: Duration::ZERO, max_backoff: Duration::ZERO };

    /// The longest pause after the attempt of this number, from 1.
    fn ceiling(&self, attempt: u32) -> Duration {
        let doubled = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first_backoff.saturating_mul(doubled).min(self.max_backoff).min(MAX_DEADLINE)
    }

    /// The pause after the attempt of this number, from 1: `part` of the longest, 0 to 1, and no
    /// less than the server asks for.
    pub(crate) fn pause(&self, attempt: u32, part: f64, asked: Option<Duration>) -> Duration {
        let drawn = self.ceiling(attempt).mul_f64(part.clamp(0.0, 1.0));
        asked.map_or(drawn, |asked| asked.saturating_add(drawn))
    }
}

impl Default for Retries {
    /// Up to 4 attempts, with pauses from up to 50 milliseconds to up to 2 seconds.
    fn default() -> Self {
        Self {
            max_attempts: 4,
            first_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(2),
        }
    }
}

// === impl Budget ===

impl Budget {
    pub(crate) const fn full() -> Self {
        Self { tenths: AtomicU32::new(FULL_TENTHS) }
    }

    /// Notes an answered call.
    pub(crate) fn earn(&self) {
        // A full budget, the usual case, is only read.
        if self.tenths.load(Ordering::Relaxed) < FULL_TENTHS {
            self.update(|tenths| (tenths + 1).min(FULL_TENTHS));
        }
    }

    /// Notes a failed attempt; says whether another may be made.
    pub(crate) fn spend(&self) -> bool {
        self.update(|tenths| tenths.saturating_sub(10)) > FULL_TENTHS / 2
    }

    fn update(&self, change: impl Fn(u32) -> u32) -> u32 {
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        match self.tenths.fetch_update(set, fetch, |tenths| Some(change(tenths))) {
            Ok(before) | Err(before) => change(before),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_ceiling_and_respect_the_server() {
        let retries = Retries::default();
        let longest = |attempt| retries.pause(attempt, 1.0, None).as_millis();
        assert_eq!([1, 2, 3, 7, 90].map(longest), [50, 100, 200, 2000, 2000]);
        let patient =
            Retries { first_backoff: Duration::MAX, max_backoff: Duration::MAX, ..retries };
        assert_eq!(patient.pause(1, 1.0, None), MAX_DEADLINE);
        assert_eq!(retries.pause(1, 0.5, None), Duration::from_millis(25));
        let asked = Some(Duration::from_secs(1));
        assert_eq!(retries.pause(1, 0.0, asked), Duration::from_secs(1));
        assert_eq!(retries.pause(1, 1.0, asked), Duration::from_millis(1050));
    }

    #[test]
    fn a_spent_budget_stops_retries_until_calls_succeed() {
        let budget = Budget::full();
        let granted = (0..20).filter(|_| budget.spend()).count();
        assert_eq!(granted, 4);
        for _ in 0..59 {
            budget.earn();
        }
        assert!(!budget.spend());
        for _ in 0..30 {
            budget.earn();
        }
        assert!(budget.spend());
    }
}
