//! How long a server is left out that could not be reached.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::millis;
use crate::client::MAX_DEADLINE;

/// How long an endpoint is left out whose connection failed, or which answered `UNAVAILABLE`, where there are
/// others. One call tries it then; when that fails too, the next pause is twice as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ejection {
    /// The longest first pause. Each is drawn evenly between half of its longest and its longest, so that clients
    /// do not come back all at once.
    pub base_time: Duration,
    /// No pause is longer, unless the server asks for it.
    pub max_time: Duration,
}

/// Whether a server is left out, in one word: how often in a row it failed, and until when it is left out, in
/// milliseconds on the balancer's clock. 0 where nothing is wrong.
#[derive(Debug, Default)]
pub(super) struct Ejected(AtomicU64);

/// How many bits of the word say until when.
const UNTIL_BITS: u32 = 48;

const MAX_UNTIL: u64 = (1 << UNTIL_BITS) - 1;

/// Failures are counted this far. The pauses do not grow any more then.
const MAX_FAILURES: u32 = 60;

// === impl Ejection ===

impl Ejection {
    /// The pause after this many failures in a row, from 1: `part`, 0 to 1, of the way from half of the longest
    /// to the longest.
    pub(super) fn pause(&self, failures: u32, part: f64) -> Duration {
        let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let longest = self.base_time.saturating_mul(doubled).min(self.max_time).min(MAX_DEADLINE);
        longest.mul_f64(0.5 + 0.5 * part.clamp(0.0, 1.0))
    }
}

impl Default for Ejection {
    /// Pauses of up to 1 second to up to 30 seconds.
    fn default() -> Self {
        Self { base_time: Duration::from_secs(1), max_time: Duration::from_secs(30) }
    }
}

// === impl Ejected ===

impl Ejected {
    /// Whether calls have to go elsewhere at this time.
    pub(super) fn is_out(&self, now: Duration) -> bool {
        let (failures, until) = unpacked(self.0.load(Ordering::Relaxed));
        failures > 0 && millis(now) < until
    }

    /// Whether a call may go there. Where the server was left out and its pause is over, to the first who asks
    /// only: the others wait for what becomes of that call, or for the next pause.
    pub(super) fn admit(&self, now: Duration, pause: impl Fn(u32) -> Duration) -> bool {
        let word = self.0.load(Ordering::Relaxed);
        let (failures, until) = unpacked(word);
        if failures == 0 {
            return true;
        }
        if millis(now) < until {
            return false;
        }
        let next = after(failures, now, pause);
        self.0.compare_exchange(word, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// The server cannot be reached. What many calls say at once counts once.
    pub(super) fn eject(
        &self,
        now: Duration,
        pause: impl Fn(u32) -> Duration,
        asked: Option<Duration>,
    ) {
        let asked = asked.map_or(0, |asked| millis(now.saturating_add(asked.min(MAX_DEADLINE))));
        let asked = asked.min(MAX_UNTIL);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        let ejected = |word| {
            let (failures, until) = unpacked(word);
            if failures > 0 && millis(now) < until {
                return (asked > until).then(|| packed(failures, asked));
            }
            let (failures, until) = unpacked(after(failures, now, &pause));
            Some(packed(failures, until.max(asked)))
        };
        // An error is that nothing was to be changed.
        let _ = self.0.fetch_update(set, fetch, ejected);
    }

    /// The server can be reached.
    pub(super) fn clear(&self) {
        // In the usual case it is only read.
        if self.0.load(Ordering::Relaxed) != 0 {
            self.0.store(0, Ordering::Relaxed);
        }
    }
}

/// The word after one more failure.
fn after(failures: u32, now: Duration, pause: impl Fn(u32) -> Duration) -> u64 {
    let failures = failures.saturating_add(1).min(MAX_FAILURES);
    packed(failures, millis(now.saturating_add(pause(failures))))
}

fn packed(failures: u32, until: u64) -> u64 {
    u64::from(failures) << UNTIL_BITS | until.min(MAX_UNTIL)
}

fn unpacked(word: u64) -> (u32, u64) {
    (u32::try_from(word >> UNTIL_BITS).unwrap_or(MAX_FAILURES), word & MAX_UNTIL)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EJECTION: Ejection =
        Ejection { base_time: Duration::from_secs(1), max_time: Duration::from_secs(4) };

    fn longest(failures: u32) -> Duration {
        EJECTION.pause(failures, 1.0)
    }

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn pauses_grow_to_a_ceiling_and_are_never_nothing() {
        let seconds = |failures| longest(failures).as_secs();
        assert_eq!([1, 2, 3, 4, 60].map(seconds), [1, 2, 4, 4, 4]);
        assert_eq!(EJECTION.pause(1, 0.0), at(500));
        let endless = Ejection { base_time: Duration::MAX, max_time: Duration::MAX };
        assert_eq!(endless.pause(1, 1.0), MAX_DEADLINE);
    }

    #[test]
    fn one_call_tries_a_server_whose_pause_is_over() {
        let ejected = Ejected::default();
        assert!(!ejected.is_out(at(0)) && ejected.admit(at(0), longest));
        for _ in 0..100 {
            ejected.eject(at(0), longest, None);
        }
        assert!(ejected.is_out(at(999)) && !ejected.admit(at(999), longest));
        assert!(!ejected.is_out(at(1_000)), "a hundred calls that fail at once are one failure");
        assert!(ejected.admit(at(1_000), longest));
        assert!(!ejected.admit(at(1_000), longest), "somebody else tries it");
        ejected.eject(at(1_100), longest, None);
        assert!(ejected.is_out(at(2_999)) && !ejected.is_out(at(3_000)));
        assert!(ejected.admit(at(3_000), longest));
        ejected.clear();
        assert!(ejected.admit(at(3_001), longest) && ejected.admit(at(3_001), longest));
    }

    #[test]
    fn a_server_that_asks_for_time_gets_it() {
        let ejected = Ejected::default();
        ejected.eject(at(0), longest, Some(at(7_000)));
        assert!(ejected.is_out(at(6_999)) && !ejected.is_out(at(7_000)));
        ejected.eject(at(6_000), longest, Some(at(2_000)));
        assert!(ejected.is_out(at(7_999)) && !ejected.is_out(at(8_000)));
        ejected.eject(at(9_000), longest, Some(Duration::MAX));
        assert!(ejected.is_out(at(9_000) + MAX_DEADLINE - at(1)));
        assert!(!ejected.is_out(at(9_000) + MAX_DEADLINE));
    }
}
