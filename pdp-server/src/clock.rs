//! The evaluation time. Decisions never read a clock themselves: a door reads this one once per
//! request. Callers cannot choose it; tests give the server a clock of their own.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pdp_engine::time::Timestamp;

/// Tells the time, to the microsecond.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

// === impl Clock ===

impl Clock {
    /// The real time, which never goes back: where the system's clock is set back, it goes on at its own
    /// pace from where it was until the system's clock is ahead again. So what has run out stays so
    /// (P11). A restart begins with the system's clock anew.
    #[must_use]
    pub fn system() -> Self {
        let (start, steady) = (Instant::now(), Steady::default());
        Self::from_fn(move || {
            // In this order: were the thread held back between the two the other way round, the clock
            // would be ahead by that for good.
            let system = at(SystemTime::now());
            steady.tell(start.elapsed(), system)
        })
    }

    /// Always the same time.
    #[must_use]
    pub fn fixed(now: Timestamp) -> Self {
        Self::from_fn(move || now)
    }

    /// Whatever the function says.
    #[must_use]
    pub fn from_fn(tell: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

/// Makes of a clock that may be set back one that is not.
struct Steady {
    /// What the clock would have shown when the time elapsed began, in microseconds: the latest of all.
    origin: AtomicI64,
}

// === impl Steady ===

impl Default for Steady {
    fn default() -> Self {
        Self { origin: AtomicI64::new(i64::MIN) }
    }
}

impl Steady {
    /// The time, after so much of it has elapsed, where the system's clock shows `system`.
    fn tell(&self, elapsed: Duration, system: Timestamp) -> Timestamp {
        let elapsed = i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX);
        let origin = system.as_micros().saturating_sub(elapsed);
        let latest = self.origin.load(Ordering::Relaxed);
        if origin <= latest {
            return Timestamp::from_micros(latest.saturating_add(elapsed));
        }
        // Clocks drift apart by some microseconds a second, so that this is rare.
        self.origin.fetch_max(origin, Ordering::Relaxed);
        system
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

fn at(time: SystemTime) -> Timestamp {
    let micros = |duration: std::time::Duration| i64::try_from(duration.as_micros());
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => micros(since).map_or(Timestamp::MAX, Timestamp::from_micros),
        Err(before) => {
            micros(before.duration()).map_or(Timestamp::MIN, |n| Timestamp::from_micros(-n))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_goes_on_from_where_it_was() {
        let steady = Steady::default();
        let tell = |elapsed, system| {
            let told = steady.tell(Duration::from_micros(elapsed), Timestamp::from_micros(system));
            told.as_micros()
        };
        assert_eq!(tell(0, 1_000), 1_000);
        assert_eq!(tell(10, 1_010), 1_010);
        assert_eq!(tell(20, 500), 1_020, "set back");
        assert_eq!(tell(30, 510), 1_030);
        assert_eq!(tell(40, 5_000), 5_000, "set forward");
        assert_eq!(tell(50, 1_050), 5_010, "and back to the right time");
    }

    #[test]
    fn microseconds_count_from_1970_in_both_directions() {
        assert_eq!(at(UNIX_EPOCH + Duration::from_micros(7)), Timestamp::from_micros(7));
        assert_eq!(at(UNIX_EPOCH - Duration::from_micros(7)), Timestamp::from_micros(-7));
        assert!(Clock::system().now() > Timestamp::from_micros(0));
        let fixed = Clock::fixed(Timestamp::from_micros(3));
        assert_eq!(fixed.now(), Timestamp::from_micros(3));
    }
}
