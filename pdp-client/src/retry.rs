//! When to try again: how often, after how long, and when to stop because everybody retries.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::client::MAX_DEADLINE;

/// How calls that are safe to send twice are retried on `UNAVAILABLE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// How often a call is sent at most, the first time included. 1: never again.
    pub max_attempts: u32,
    /// The longest first pause. Each further pause may be twice as long; each is drawn evenly
    /// between nothing and its longest, so that callers do not come back all at once.
    pub first_backoff: Duration,
    /// No pause is longer, unless the server asks for it. Another server is not waited for as long as one that
    /// cannot be reached asks.
    pub max_backoff: Duration,
}

/// How many requests a client and its clones send beyond one a call at most, retries and hedges together: a server
/// that is down is not asked several times as often as one that is up.
///
/// It is a balance, in requests: each call adds `percent` of one, each retry and each hedge takes one and is
/// not sent where there is none. What differs from `floor` fades within a `window`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryBudget {
    /// How many there may be for a hundred calls; up to 100.
    pub percent: u32,
    /// How many there may be before there were calls, and again after a window; up to 1,000. Without it,
    /// who calls seldom would never retry.
    pub floor: u32,
    /// How long a call counts: after this time about a third of what it added is left. 1 second or more.
    pub window: Duration,
}

/// What is left of a budget, in one word: when that was, in milliseconds from `begun` and without what does not
/// fit, and how much, in millionths of a request.
#[derive(Debug)]
pub(crate) struct Balance {
    budget: RetryBudget,
    begun: Instant,
    word: AtomicU64,
}

/// A request, in the units of a balance.
const REQUEST: u32 = 1_000_000;

/// The most that is saved. It fits into half a word.
const MAX_BALANCE: u32 = 4_000 * REQUEST;

const MAX_FLOOR: u32 = 1_000;

/// More than this, in milliseconds, is not the time that passed: it is a minute back.
const MAX_PASSED: u32 = u32::MAX - 60_000;

const MIN_WINDOW: Duration = Duration::from_secs(1);

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

// === impl RetryBudget ===

impl RetryBudget {
    /// Neither retries nor hedges.
    pub const NONE: Self = Self { percent: 0, floor: 0, window: MIN_WINDOW };

    /// The same within its bounds.
    fn bounded(self) -> Self {
        Self {
            percent: self.percent.min(100),
            floor: self.floor.min(MAX_FLOOR),
            window: self.window.max(MIN_WINDOW),
        }
    }
}

impl Default for RetryBudget {
    /// 20 for a hundred calls, and 10, over 10 seconds.
    fn default() -> Self {
        Self { percent: 20, floor: 10, window: Duration::from_secs(10) }
    }
}

// === impl Balance ===

impl Balance {
    pub(crate) fn new(budget: RetryBudget) -> Self {
        let budget = budget.bounded();
        let word = AtomicU64::new(packed(0, budget.floor * REQUEST));
        Self { budget, begun: Instant::now(), word }
    }

    /// Notes a call.
    pub(crate) fn deposit(&self) {
        self.deposit_at(self.begun.elapsed());
    }

    /// Takes what one more request costs; says whether it may be sent.
    pub(crate) fn withdraw(&self) -> bool {
        self.withdraw_at(self.begun.elapsed())
    }

    fn deposit_at(&self, now: Duration) {
        let added = self.budget.percent * (REQUEST / 100);
        self.update(now, |balance| Some(balance.saturating_add(added).min(MAX_BALANCE)));
    }

    fn withdraw_at(&self, now: Duration) -> bool {
        self.update(now, |balance| balance.checked_sub(REQUEST))
    }

    fn update(&self, now: Duration, change: impl Fn(u32) -> Option<u32>) -> bool {
        let now = low(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
        let changed = |word: u64| {
            let (then, balance) = (low(word >> 32), low(word));
            // Another thread may have looked at the clock later, and been here before.
            let passed = Some(now.wrapping_sub(then)).filter(|passed| *passed < MAX_PASSED);
            let balance = self.faded(balance, passed.unwrap_or_default());
            Some(packed(passed.map_or(then, |_| now), change(balance)?))
        };
        self.word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed).is_ok()
    }

    /// What is left of a balance after some time: it comes closer to the floor, from above and from below.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it lies between two numbers that fit"
    )]
    fn faded(&self, balance: u32, passed_ms: u32) -> u32 {
        if passed_ms == 0 {
            return balance;
        }
        let floor = f64::from(self.budget.floor * REQUEST);
        let windows = f64::from(passed_ms) / 1_000.0 / self.budget.window.as_secs_f64();
        let left = (-windows).exp();
        (floor + (f64::from(balance) - floor) * left).round() as u32
    }
}

fn packed(millis: u32, balance: u32) -> u64 {
    u64::from(millis) << 32 | u64::from(balance)
}

fn low(word: u64) -> u32 {
    u32::try_from(word & u64::from(u32::MAX)).unwrap_or_default()
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

    const BUDGET: RetryBudget =
        RetryBudget { percent: 20, floor: 5, window: Duration::from_secs(10) };

    fn withdrawn(balance: &Balance, tries: usize, now: Duration) -> usize {
        (0..tries).filter(|_| balance.withdraw_at(now)).count()
    }

    #[test]
    fn retries_are_a_share_of_the_calls() {
        let (balance, now) = (Balance::new(BUDGET), Duration::ZERO);
        assert_eq!(withdrawn(&balance, 100, now), 5, "the floor");
        for _ in 0..100 {
            balance.deposit_at(now);
        }
        assert_eq!(withdrawn(&balance, 100, now), 20);
        assert_eq!(withdrawn(&Balance::new(RetryBudget::NONE), 100, now), 0);
    }

    #[test]
    fn a_balance_fades_to_the_floor() {
        let balance = Balance::new(BUDGET);
        assert_eq!(withdrawn(&balance, 100, Duration::ZERO), 5);
        let later = Duration::from_secs(100);
        assert_eq!(withdrawn(&balance, 100, later), 4, "from below, and never quite");
        for _ in 0..1_000 {
            balance.deposit_at(later);
        }
        let left = withdrawn(&balance, 1_000, later + BUDGET.window);
        assert!((70..=80).contains(&left), "{left}: about a third of 200, and the floor");
        balance.deposit_at(later);
        assert_eq!(withdrawn(&balance, 1, later), 0, "a clock that was read earlier gives nothing");
    }

    #[test]
    fn an_outage_is_not_multiplied_however_long_it_is() {
        let balance = Balance::new(BUDGET);
        let retries: usize = (0..60_000)
            .map(|millis| {
                let now = Duration::from_millis(millis);
                balance.deposit_at(now);
                withdrawn(&balance, 3, now)
            })
            .sum();
        // A fifth, and the floor, at the beginning and once more in each window.
        assert!((11_000..=12_035).contains(&retries), "{retries}");
    }

    #[test]
    fn nothing_is_lost_or_made_between_threads() {
        let budget = RetryBudget { percent: 100, floor: 0, window: Duration::MAX };
        let balance = Balance::new(budget);
        let withdrawn: usize = std::thread::scope(|scope| {
            let once = || {
                balance.deposit();
                balance.withdraw()
            };
            let each = move || (0..1_000).filter(|_| once()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(each)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(withdrawn, 4_000);
        assert!(!balance.withdraw());
    }
}
