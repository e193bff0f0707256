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

/// Requests of a caller, until this is dropped.
pub(crate) struct Held {
    quota: Arc<Quota>,
    count: usize,
}

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
        let (held, shed) = self.take_some(1, now);
        shed.map_or(Ok(held), Err)
    }

    /// Takes as many of so many more requests of this caller on as there may be; why not more, if so.
    /// What comes together costs as much as if it came one by one.
    pub(crate) fn take_some(self: &Arc<Self>, count: usize, now: Instant) -> (Held, Option<Shed>) {
        let (held, shed) = self.taken(count, self.all.nanos(now));
        if let Some(shed) = shed {
            let refused = u64::try_from(count - held.count).unwrap_or(u64::MAX);
            self.all.shed_many(shed, refused);
        }
        (held, shed)
    }

    fn taken(self: &Arc<Self>, count: usize, now_ns: u64) -> (Held, Option<Shed>) {
        let limits = self.all.limits();
        let held = |count| Held { quota: Arc::clone(self), count };
        let most = limits.caller_requests;
        let room = most.saturating_sub(self.in_flight.load(Relaxed)).min(count);
        let (rate, shed) = (limits.caller_rate, Shed::Caller { maximum: most });
        if room == 0 {
            return (held(0), (count > 0).then_some(shed));
        }
        let wanted = u64::try_from(room).unwrap_or(u64::MAX);
        let interval_ns = SECOND_NS / rate.max(1);
        let ahead_ns = SECOND_NS - interval_ns;
        let mut within = 0;
        let next = |due_ns: u64| {
            let due_ns = due_ns.max(now_ns);
            let left_ns = ahead_ns.checked_sub(due_ns - now_ns);
            within = left_ns.map_or(0, |left_ns| (left_ns / interval_ns.max(1)).saturating_add(1));
            within = within.min(wanted);
            (within > 0).then_some(due_ns.saturating_add(within.saturating_mul(interval_ns)))
        };
        let before_ns = self.due_ns.fetch_update(Relaxed, Relaxed, next);
        let taken = usize::try_from(within).unwrap_or(room);
        self.in_flight.fetch_add(taken, Relaxed);
        let shed = match before_ns {
            _ if taken == count => None,
            _ if taken == room => Some(shed),
            Ok(before_ns) | Err(before_ns) => {
                let due_ns =
                    before_ns.max(now_ns).saturating_add(within.saturating_mul(interval_ns));
                let after = due_ns.saturating_sub(now_ns).saturating_sub(ahead_ns);
                Some(Shed::Rate { maximum: rate, after: Duration::from_nanos(after) })
            }
        };
        (held(taken), shed)
    }
}

// === impl Held ===

impl Held {
    /// How many.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.quota.in_flight.fetch_sub(self.count, Relaxed);
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
            buffered_bytes: usize::MAX,
            patience: Duration::MAX,
        };
        Admission::new(limits, Arc::new(Metrics::new()))
    }

    impl Quota {
        /// One more, which is not held on to.
        fn one(self: &Arc<Self>, now_ns: u64) -> Option<Shed> {
            self.taken(1, now_ns).1
        }
    }

    #[test]
    fn a_second_may_come_at_once_and_then_one_after_the_other() {
        let quota = Quota::new(&admission(1_000, 10));
        let start = 5 * SECOND_NS;
        assert!((0..10).all(|_| quota.one(start).is_none()));
        let after = Duration::from_millis(100);
        assert_eq!(quota.one(start), Some(Shed::Rate { maximum: 10, after }));
        assert!(quota.one(start + SECOND_NS / 10).is_none());
        assert!(quota.one(start + SECOND_NS / 10).is_some());
        assert!((0..10).all(|_| quota.one(start + 3 * SECOND_NS).is_none()), "unused is not lost");
        assert!(quota.one(start + 3 * SECOND_NS).is_some(), "and is not saved up");
    }

    #[test]
    fn requests_at_a_time_are_counted_until_they_end() {
        let quota = Quota::new(&admission(2, 1_000));
        let held: Vec<_> = (0..2).map(|_| quota.taken(1, 0).0).collect();
        assert_eq!(quota.one(0), Some(Shed::Caller { maximum: 2 }));
        drop(held);
        assert!(quota.one(0).is_none());
    }

    #[test]
    fn what_comes_together_costs_as_much_as_one_by_one() {
        let quota = Quota::new(&admission(6, 10));
        let (held, shed) = quota.taken(8, 0);
        assert_eq!((held.count(), shed), (6, Some(Shed::Caller { maximum: 6 })));
        assert_eq!(quota.taken(1, 0).0.count(), 0);
        drop(held);
        let (held, shed) = quota.taken(5, 0);
        let after = Duration::from_millis(100);
        assert_eq!((held.count(), shed), (4, Some(Shed::Rate { maximum: 10, after })));
        drop(held);
        assert_eq!(quota.taken(3, SECOND_NS / 5).0.count(), 2);
        assert_eq!(quota.in_flight.load(Relaxed), 0);
        assert_eq!(quota.taken(0, 0).1, None);
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
