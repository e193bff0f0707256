//! Open-loop load: when each request is meant to be sent, whatever became of those before it, and a
//! dispatcher that keeps to it. A request that is sent late keeps its intended time, so a server that
//! stalls is charged for everybody who would have waited (no coordinated omission).

use std::time::{Duration, Instant};

use crate::random::{Dice, Purpose};

/// The most requests a second: beyond it the dispatcher alone would take a core.
pub const MAX_RATE: f64 = 2_000_000.0;

/// Waiting shorter than this is spent looking at the clock: waking up takes about as long, and more
/// would take time from what is measured on a machine with few cores.
const SPIN: Duration = Duration::from_micros(10);

/// Tells the time of a run and waits for it.
pub trait Clock {
    /// Nanoseconds since the start.
    fn now_ns(&self) -> u64;

    /// Returns when it is so late.
    fn wait_until(&self, at_ns: u64);
}

/// The real time since an instant.
#[derive(Debug, Clone, Copy)]
pub struct Since(pub Instant);

/// Has the operating system wake this thread when it is meant to, where it can be told so: by default
/// it may be 50 microseconds late, to wake several threads at once.
pub fn wake_up_in_time() {
    #[cfg(target_os = "linux")]
    {
        // Where it is refused, requests are sent later, and their latencies say so.
        rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1)).ok();
    }
}

/// Intended send times: a rate that goes evenly from one value to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    from: f64,
    to: f64,
    seconds: f64,
    /// With this seed, times are as if each came by itself.
    by_chance: Option<u64>,
}

impl Clock for Since {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn wait_until(&self, at_ns: u64) {
        loop {
            let left = Duration::from_nanos(at_ns.saturating_sub(self.now_ns()));
            if left.is_zero() {
                return;
            }
            if left > SPIN {
                std::thread::park_timeout(left - SPIN);
            } else {
                std::thread::yield_now();
            }
        }
    }
}

// === impl Schedule ===

impl Schedule {
    /// So many requests a second, evenly.
    #[must_use]
    pub fn constant(rate: f64, duration: Duration) -> Self {
        Self::ramp(rate, rate, duration)
    }

    /// A rate that goes evenly from one value to another. Rates are held to more than 0 and at most
    /// [`MAX_RATE`].
    #[must_use]
    pub fn ramp(from: f64, to: f64, duration: Duration) -> Self {
        let held = |rate: f64| if rate.is_finite() { rate.clamp(0.001, MAX_RATE) } else { 0.001 };
        let seconds = duration.as_secs_f64();
        Self { from: held(from), to: held(to), seconds, by_chance: None }
    }

    /// The same rate, but as many callers make it who do not know of each other (a Poisson process): now and then
    /// several come at once, and then none for a while.
    #[must_use]
    pub fn by_chance(self, seed: u64) -> Self {
        Self { by_chance: Some(seed), ..self }
    }

    /// When each is meant to be sent, in nanoseconds from the start, in order.
    pub fn times(&self) -> impl Iterator<Item = u64> {
        let mut dice = self.by_chance.map(|seed| Dice::at(seed, Purpose::Arrival, 0));
        let mut come = 0.0;
        (0..self.count()).map(move |n| {
            if let Some(dice) = &mut dice {
                // Between two of them, in units of the mean.
                come -= (1.0 - dice.unit()).ln();
            } else {
                come = n as f64;
            }
            self.at_ns(come)
        })
    }

    /// How many requests it sends.
    #[must_use]
    pub fn count(&self) -> u64 {
        ((self.from + self.to) / 2.0 * self.seconds).floor() as u64
    }

    /// When so many have been sent, in nanoseconds from the start.
    fn at_ns(&self, n: f64) -> u64 {
        let growth = (self.to - self.from) / self.seconds.max(f64::MIN_POSITIVE);
        // So many have been sent after t seconds: from * t + growth * t * t / 2.
        let seconds = if growth.abs() < 1e-9 {
            n / self.from
        } else {
            ((self.from * self.from + 2.0 * growth * n).max(0.0).sqrt() - self.from) / growth
        };
        (seconds * 1e9).round() as u64
    }
}

/// Calls `send` for each request of the schedule with its number and intended time, never before
/// that time; returns how many were sent before `until_ns` came.
pub fn dispatch(
    clock: &impl Clock,
    schedule: &Schedule,
    until_ns: u64,
    mut send: impl FnMut(u64, u64),
) -> u64 {
    for (n, at_ns) in (0..).zip(schedule.times()) {
        if clock.now_ns() >= until_ns {
            return n;
        }
        clock.wait_until(at_ns);
        send(n, at_ns);
    }
    schedule.count()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A time that goes on only when somebody waits for it, or works.
    #[derive(Default)]
    struct Scripted(Cell<u64>);

    impl Clock for Scripted {
        fn now_ns(&self) -> u64 {
            self.0.get()
        }

        fn wait_until(&self, at_ns: u64) {
            self.0.set(self.0.get().max(at_ns));
        }
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_constant_rate_is_even() {
        let schedule = Schedule::constant(1000.0, Duration::from_secs(2));
        let (clock, mut sent) = (Scripted::default(), Vec::new());
        let count = dispatch(&clock, &schedule, u64::MAX, |n, at| sent.push((n, at)));
        assert_eq!(count, 2000);
        assert_eq!(sent.len(), 2000);
        for (n, at) in sent {
            assert_eq!(at / 1000, n * 1000, "request {n}");
        }
    }

    #[test]
    fn a_stall_keeps_intended_times_and_catches_up() {
        let schedule = Schedule::constant(100.0, Duration::from_secs(1));
        let (clock, mut late) = (Scripted::default(), Vec::new());
        dispatch(&clock, &schedule, u64::MAX, |n, at| {
            late.push(clock.now_ns() - at);
            if n == 9 {
                // What is sent takes half a second to be sent.
                clock.0.set(clock.now_ns() + SECOND / 2);
            }
        });
        assert_eq!(late.len(), 100);
        assert!(late[..10].iter().all(|late| *late == 0));
        // The request after the stall is late by all of it but one interval, and those after it by
        // one interval less each.
        assert_eq!(late[10] / 1_000_000, 490);
        assert_eq!(late[30] / 1_000_000, 290);
        assert_eq!(late[60], 0);
    }

    #[test]
    fn a_ramp_sends_as_many_as_its_mean_rate() {
        let schedule = Schedule::ramp(100.0, 300.0, Duration::from_secs(10));
        assert_eq!(schedule.count(), 2000);
        assert_eq!(schedule.times().filter(|at| *at < 5 * SECOND).count(), 750);
        assert!(schedule.times().is_sorted());
        let down = Schedule::ramp(300.0, 100.0, Duration::from_secs(10));
        assert!(down.times().all(|at| at <= 10 * SECOND));
    }

    #[test]
    fn what_comes_by_chance_comes_at_the_same_rate_and_not_evenly() {
        let even = Schedule::constant(1_000.0, Duration::from_secs(100));
        let times: Vec<u64> = even.by_chance(1).times().collect();
        assert_eq!(times, even.by_chance(1).times().collect::<Vec<_>>());
        assert_ne!(times, even.by_chance(2).times().collect::<Vec<_>>());
        assert!(times.is_sorted());
        let last = times.last().unwrap() / SECOND;
        assert!((98..=102).contains(&last), "{last} s");
        // Of one each millisecond, e^-1 come none, and as many by themselves.
        let mut come = vec![0_u32; 110_000];
        times.iter().for_each(|at| come[(at / 1_000_000) as usize] += 1);
        let share = |count| come[..90_000].iter().filter(|come| **come == count).count() / 900;
        assert_eq!([0, 1, 2].map(share), [36, 36, 18]);
    }

    #[test]
    fn it_ends_in_time_however_late() {
        let schedule = Schedule::constant(1000.0, Duration::from_secs(1));
        let clock = Scripted::default();
        let sent = dispatch(&clock, &schedule, SECOND, |_, _| {
            clock.0.set(clock.now_ns() + SECOND / 4);
        });
        assert_eq!(sent, 4);
        assert_eq!(Schedule::constant(f64::NAN, Duration::from_secs(1)).count(), 0);
    }
}
