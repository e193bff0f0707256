//! What one caller may take on: so many requests at a time, and so many a second. A caller's numbers
//! lie with the caller, so that a request finds them without looking anything up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use dashmap::DashMap;

use super::{Admission, Shed};

/// How many callers are kept in mind that nobody is at the moment.
const MAX_KEPT: usize = 10_000;

const SECOND_NS: u64 = 1_000_000_000;

/// What a caller has in flight, and when the next request of theirs is due (the generic cell rate
/// algorithm, which is a token bucket in one number). A second's worth may come at once.
#[repr(align(128))]
pub(crate) struct Quota {
    all: Arc<Admission>,
    in_flight: AtomicUsize,
    due_ns: AtomicU64,
}

/// One more request of a caller, until it is dropped.
pub(crate) struct Held(Arc<Quota>);

/// The quotas of callers by name: whoever is read anew, or proves themselves anew, has the quota that
/// they had. Looked at when somebody is made known, and not with each request.
pub(crate) struct Quotas {
    all: Arc<Admission>,
    kept: DashMap<(Box<str>, Box<str>), Arc<Quota>>,
}

// === impl Quota ===

impl Quota {
    /// Of somebody who has sent nothing yet.
    pub(crate) fn new(all: &Arc<Admission>) -> Arc<Self> {
        let (in_flight, due_ns) = (AtomicUsize::new(0), AtomicU64::new(0));
        Arc::new(Self { all: Arc::clone(all), in_flight, due_ns })
    }

    /// Takes one more request of this caller on.
    pub(crate) fn take(self: &Arc<Self>, now: Instant) -> Result<Held, Shed> {
        self.taken(self.all.nanos(now)).inspect_err(|shed| self.all.shed(*shed))
    }

    fn taken(self: &Arc<Self>, now_ns: u64) -> Result<Held, Shed> {
        let limits = self.all.limits();
        let maximum = limits.caller_requests;
        if self.in_flight.load(Relaxed) >= maximum {
            return Err(Shed::Caller { maximum });
        }
        let maximum = limits.caller_rate;
        let interval_ns = SECOND_NS / maximum.max(1);
        let ahead_ns = SECOND_NS - interval_ns;
        let next = |due_ns: u64| {
            let due_ns = due_ns.max(now_ns);
            (due_ns - now_ns <= ahead_ns).then_some(due_ns.saturating_add(interval_ns))
        };
        self.due_ns.fetch_update(Relaxed, Relaxed, next).map_err(|due_ns| {
            let after = due_ns.saturating_sub(now_ns).saturating_sub(ahead_ns);
            Shed::Rate { maximum, after: Duration::from_nanos(after) }
        })?;
        self.in_flight.fetch_add(1, Relaxed);
        Ok(Held(Arc::clone(self)))
    }
}

// === impl Held ===

impl Drop for Held {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

// === impl Quotas ===

impl Quotas {
    /// Nobody's yet.
    pub(crate) fn new(all: &Arc<Admission>) -> Self {
        Self { all: Arc::clone(all), kept: DashMap::new() }
    }

    /// The quota of a caller, whom an issuer names; the server's own file is the issuer without a name.
    pub(crate) fn of(&self, issuer: &str, name: &str) -> Arc<Quota> {
        if self.kept.len() >= MAX_KEPT {
            self.kept.retain(|_, quota| Arc::strong_count(quota) > 1);
        }
        let kept = self.kept.entry((issuer.into(), name.into()));
        Arc::clone(&kept.or_insert_with(|| Quota::new(&self.all)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::AdmissionLimits;
    use crate::telemetry::Metrics;

    fn admission(caller_requests: usize, caller_rate: u64) -> Arc<Admission> {
        let limits = AdmissionLimits {
            thread_requests: usize::MAX,
            requests: usize::MAX,
            queue: Duration::MAX,
            caller_requests,
            caller_rate,
        };
        Admission::new(limits, Arc::new(Metrics::new()))
    }

    #[test]
    fn a_second_may_come_at_once_and_then_one_after_the_other() {
        let quota = Quota::new(&admission(1_000, 10));
        let start = 5 * SECOND_NS;
        assert!((0..10).all(|_| quota.taken(start).is_ok()));
        let refused = quota.taken(start).err();
        let after = Duration::from_millis(100);
        assert_eq!(refused, Some(Shed::Rate { maximum: 10, after }));
        assert!(quota.taken(start + SECOND_NS / 10).is_ok());
        assert!(quota.taken(start + SECOND_NS / 10).is_err());
        assert!((0..10).all(|_| quota.taken(start + 3 * SECOND_NS).is_ok()), "unused is not lost");
        assert!(quota.taken(start + 3 * SECOND_NS).is_err(), "and is not saved up");
    }

    #[test]
    fn requests_at_a_time_are_counted_until_they_end() {
        let quota = Quota::new(&admission(2, 1_000));
        let held: Vec<_> = (0..2).map(|_| quota.taken(0).unwrap()).collect();
        assert_eq!(quota.taken(0).err(), Some(Shed::Caller { maximum: 2 }));
        drop(held);
        assert!(quota.taken(0).is_ok());
    }

    #[test]
    fn a_caller_keeps_the_quota_and_those_that_are_gone_are_forgotten() {
        let quotas = Quotas::new(&admission(1, 10));
        let here = quotas.of("", "desk");
        assert!(Arc::ptr_eq(&here, &quotas.of("", "desk")));
        assert!(!Arc::ptr_eq(&here, &quotas.of("https://login", "desk")));
        for number in 0..2 * MAX_KEPT {
            drop(quotas.of("https://login", &number.to_string()));
            assert!(quotas.kept.len() <= MAX_KEPT);
        }
        assert!(Arc::ptr_eq(&here, &quotas.of("", "desk")));
    }
}
