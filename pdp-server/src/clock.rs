//! The evaluation time. Decisions never read a clock themselves: a door reads this one once per
//! request. Callers cannot choose it; tests give the server a clock of their own.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use pdp_engine::time::Timestamp;

/// Tells the time, to the microsecond.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

// === impl Clock ===

impl Clock {
    /// The real time.
    #[must_use]
    pub fn system() -> Self {
        Self::from_fn(|| at(SystemTime::now()))
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
    use std::time::Duration;

    use super::*;

    #[test]
    fn microseconds_count_from_1970_in_both_directions() {
        assert_eq!(at(UNIX_EPOCH + Duration::from_micros(7)), Timestamp::from_micros(7));
        assert_eq!(at(UNIX_EPOCH - Duration::from_micros(7)), Timestamp::from_micros(-7));
        assert!(Clock::system().now() > Timestamp::from_micros(0));
        let fixed = Clock::fixed(Timestamp::from_micros(3));
        assert_eq!(fixed.now(), Timestamp::from_micros(3));
    }
}
