//! When a connection is ended from this side: looked at now and then, from numbers that its requests
//! leave behind.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::Terms;

/// How often a connection is looked at, at least and at most.
const OFTEN: Duration = Duration::from_millis(10);
const SELDOM: Duration = Duration::from_secs(5);

/// By which part an age may be longer or shorter: connections that began together do not end together.
const JITTER: f64 = 0.1;

/// What goes over a connection.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    /// Requests that are not answered to the end.
    open: AtomicUsize,
    /// Requests that came.
    asked: AtomicU64,
    /// Answers of which a part waits to be taken.
    waiting: AtomicUsize,
    /// How many parts were taken.
    taken: AtomicU64,
}

/// What is to become of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Stays,
    /// It is told to go away, and finishes what it has begun.
    Leaves,
    Cut,
}

/// What was seen of a connection.
pub(super) struct Watch {
    terms: Terms,
    /// When it is old.
    old: Instant,
    asked: (u64, Instant),
    taken: (u64, Instant),
    /// Until when it may finish, once it is told to go away.
    leaves: Option<Instant>,
}

// === impl Activity ===

impl Activity {
    pub(super) fn opened(&self) {
        self.open.fetch_add(1, Relaxed);
        self.asked.fetch_add(1, Relaxed);
    }

    pub(super) fn closed(&self) {
        self.open.fetch_sub(1, Relaxed);
    }

    pub(super) fn handed_over(&self) {
        self.waiting.fetch_add(1, Relaxed);
    }

    pub(super) fn taken(&self) {
        self.waiting.fetch_sub(1, Relaxed);
        self.taken.fetch_add(1, Relaxed);
    }
}

// === impl Watch ===

impl Watch {
    /// Of a connection that begins; `drawn` is between 0 and 1, and says how old it becomes.
    pub(super) fn begin(terms: Terms, now: Instant, drawn: f64) -> Self {
        let age = terms.age.mul_f64(1.0 - JITTER + 2.0 * JITTER * drawn.clamp(0.0, 1.0));
        Self { terms, old: now + age, asked: (0, now), taken: (0, now), leaves: None }
    }

    /// How often it is to be looked at.
    pub(super) fn every(&self) -> Duration {
        let Terms { patience, idle, age, farewell, .. } = self.terms;
        let shortest = patience.min(idle).min(age).min(farewell.max(OFTEN * 4));
        (shortest / 4).clamp(OFTEN, SELDOM)
    }

    /// Looks at it.
    pub(super) fn look(&mut self, now: Instant, activity: &Activity) -> Verdict {
        let taken = activity.taken.load(Relaxed);
        if activity.waiting.load(Relaxed) == 0 || taken != self.taken.0 {
            self.taken = (taken, now);
        }
        if now - self.taken.1 >= self.terms.patience {
            return Verdict::Cut;
        }
        let open = activity.open.load(Relaxed) > 0;
        let asked = activity.asked.load(Relaxed);
        if open || asked != self.asked.0 {
            self.asked = (asked, now);
        }
        match self.leaves {
            Some(end) if now >= end => Verdict::Cut,
            Some(_) => Verdict::Stays,
            None if now >= self.old || now - self.asked.1 >= self.terms.idle => {
                self.leaves = Some(now + self.terms.farewell);
                Verdict::Leaves
            }
            None => Verdict::Stays,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Ping;

    const TERMS: Terms = Terms {
        connections: 1,
        address_connections: 1,
        streams: 1,
        patience: Duration::from_secs(30),
        idle: Duration::from_secs(100),
        age: Duration::from_secs(1_000),
        farewell: Duration::from_secs(10),
        ping: Ping { interval: Duration::from_secs(30), timeout: Duration::from_secs(20) },
    };

    fn watch(drawn: f64) -> (Watch, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        (Watch::begin(TERMS, start, drawn), move |seconds| start + Duration::from_secs(seconds))
    }

    #[test]
    fn a_connection_leaves_when_it_is_old_and_is_cut_when_it_does_not_go() {
        for (drawn, age) in [(0.0, 900), (0.5, 1_000), (1.0, 1_100)] {
            let (mut watch, at) = watch(drawn);
            let activity = Activity::default();
            activity.opened();
            assert_eq!(watch.look(at(age - 1), &activity), Verdict::Stays);
            assert_eq!(watch.look(at(age), &activity), Verdict::Leaves);
            assert_eq!(watch.look(at(age + 9), &activity), Verdict::Stays);
            assert_eq!(watch.look(at(age + 10), &activity), Verdict::Cut);
        }
    }

    #[test]
    fn a_connection_on_which_nothing_is_asked_leaves() {
        let (mut watch, at) = watch(0.5);
        let activity = Activity::default();
        assert_eq!(watch.look(at(99), &activity), Verdict::Stays);
        activity.opened();
        activity.closed();
        assert_eq!(watch.look(at(100), &activity), Verdict::Stays);
        activity.opened();
        assert_eq!(watch.look(at(300), &activity), Verdict::Stays, "an answer is still open");
        activity.closed();
        assert_eq!(watch.look(at(399), &activity), Verdict::Stays);
        assert_eq!(watch.look(at(400), &activity), Verdict::Leaves);
    }

    #[test]
    fn a_connection_that_takes_nothing_is_cut() {
        let (mut watch, at) = watch(0.5);
        let activity = Activity::default();
        activity.opened();
        assert_eq!(watch.look(at(40), &activity), Verdict::Stays, "nothing is there to be taken");
        activity.handed_over();
        assert_eq!(watch.look(at(69), &activity), Verdict::Stays);
        activity.taken();
        activity.handed_over();
        assert_eq!(watch.look(at(70), &activity), Verdict::Stays, "it goes on");
        assert_eq!(watch.look(at(99), &activity), Verdict::Stays);
        assert_eq!(watch.look(at(100), &activity), Verdict::Cut);
    }

    #[test]
    fn it_is_looked_at_often_enough_and_not_all_the_time() {
        let every = |patience, age| {
            let terms = Terms { patience, age, ..TERMS };
            Watch::begin(terms, Instant::now(), 0.5).every()
        };
        assert_eq!(every(Duration::from_secs(30), TERMS.age), Duration::from_millis(2_500));
        assert_eq!(every(Duration::from_millis(100), TERMS.age), Duration::from_millis(25));
        assert_eq!(every(TERMS.patience, Duration::ZERO), OFTEN);
    }
}
