//! What was measured: latencies in histograms, allowed and denied apart, and what went wrong.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::wire::{Answered, Reads, Requests};

/// The longest latency that is told apart: a minute. A longer one counts as this.
const LONGEST_NS: u64 = 60_000_000_000;

/// How many digits of a latency are kept.
const DIGITS: u8 = 3;

/// Latencies and counts of a run, or of one connection of it.
#[derive(Debug, Clone)]
pub struct Tally {
    allow: Histogram<u64>,
    deny: Histogram<u64>,
    /// Batches, floors: what is neither allowed nor denied as a whole.
    other: Histogram<u64>,
    write: Histogram<u64>,
    questions: u64,
    errors: u64,
    refused: u64,
    wrong: u64,
    first_error: Option<String>,
    /// What is told where there is no other error.
    first_refusal: Option<String>,
}

/// A distribution of latencies, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize)]
pub struct Latency {
    /// How many.
    pub count: u64,
    /// The mean.
    pub mean_us: f64,
    /// The median.
    pub p50_us: f64,
    /// Nine of ten are no longer.
    pub p90_us: f64,
    /// 99 of a hundred are no longer.
    pub p99_us: f64,
    /// 999 of a thousand are no longer.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
}

/// A run in numbers.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize)]
pub struct Summary {
    /// How long was measured, in seconds.
    pub seconds: f64,
    /// Requests answered.
    pub requests: u64,
    /// Requests answered a second.
    pub requests_per_second: f64,
    /// Questions answered a second.
    pub questions_per_second: f64,
    /// All requests but writes.
    pub all: Latency,
    /// Checks that were allowed.
    pub allow: Latency,
    /// Checks that were denied, or need approval.
    pub deny: Latency,
    /// Change sets.
    pub write: Latency,
    /// Requests and questions without an answer that can be used.
    pub errors: u64,
    /// Those among the errors of which the server said that it has too much to do.
    pub refused: u64,
    /// Answers that were not the expected ones.
    pub wrong: u64,
    /// Requests that were due and not sent before the run had to end.
    pub unsent: u64,
    /// The first error in words.
    pub first_error: Option<String>,
}

// === impl Tally ===

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

impl Tally {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        let empty = empty();
        Self {
            allow: empty.clone(),
            deny: empty.clone(),
            other: empty.clone(),
            write: empty,
            questions: 0,
            errors: 0,
            refused: 0,
            wrong: 0,
            first_error: None,
            first_refusal: None,
        }
    }

    /// Whether nothing was taken down yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let histograms = [&self.allow, &self.deny, &self.other, &self.write];
        self.errors == 0 && histograms.iter().all(|histogram| histogram.is_empty())
    }

    /// Takes an answer down.
    pub fn answered(&mut self, requests: &Requests, answered: Answered, latency: Duration) {
        let ns = ns(latency);
        self.errors += u64::from(answered.errors);
        self.wrong += u64::from(answered.wrong);
        let histogram = match requests.reads {
            // Errors have no place among the latencies of decisions.
            Reads::Check | Reads::Stream if answered.errors > 0 => return,
            Reads::Check | Reads::Stream if answered.allows > 0 => &mut self.allow,
            Reads::Check | Reads::Stream => &mut self.deny,
            Reads::Batch | Reads::Evaluations | Reads::Nothing => &mut self.other,
            Reads::Apply => &mut self.write,
        };
        histogram.saturating_record(ns);
        self.questions += match requests.reads {
            Reads::Check | Reads::Stream | Reads::Batch | Reads::Evaluations => {
                u64::from(answered.allows + answered.denies)
            }
            Reads::Nothing => u64::from(requests.questions),
            Reads::Apply => 0,
        };
    }

    /// Takes down that there is no answer.
    pub fn failed(&mut self, why: impl FnOnce() -> String) {
        self.errors += 1;
        self.first_error.get_or_insert_with(why);
    }

    /// Takes down that the server has too much to do.
    pub fn refused(&mut self, why: impl FnOnce() -> String) {
        self.refused += 1;
        self.errors += 1;
        self.first_refusal.get_or_insert_with(why);
    }

    /// Takes all of another one in.
    pub fn merge(&mut self, other: Self) {
        let Self {
            allow,
            deny,
            other: rest,
            write,
            questions,
            errors,
            refused,
            wrong,
            first_error,
            first_refusal,
        } = other;
        for (own, other) in [
            (&mut self.allow, allow),
            (&mut self.deny, deny),
            (&mut self.other, rest),
            (&mut self.write, write),
        ] {
            // Both have the same bounds, so nothing is out of them.
            own.add(other).ok();
        }
        self.questions += questions;
        self.errors += errors;
        self.refused += refused;
        self.wrong += wrong;
        self.first_error = self.first_error.take().or(first_error);
        self.first_refusal = self.first_refusal.take().or(first_refusal);
    }

    /// The numbers, over so much time.
    #[must_use]
    pub fn summary(&self, over: Duration, unsent: u64) -> Summary {
        let seconds = over.as_secs_f64().max(1e-9);
        let mut all = self.allow.clone();
        all.add(&self.deny).ok();
        all.add(&self.other).ok();
        let requests = all.len() + self.write.len();
        Summary {
            seconds,
            requests,
            requests_per_second: requests as f64 / seconds,
            questions_per_second: self.questions as f64 / seconds,
            all: Latency::of(&all),
            allow: Latency::of(&self.allow),
            deny: Latency::of(&self.deny),
            write: Latency::of(&self.write),
            errors: self.errors,
            refused: self.refused,
            wrong: self.wrong,
            unsent,
            first_error: self.first_error.clone().or_else(|| self.first_refusal.clone()),
        }
    }
}

// === impl Latency ===

impl Latency {
    /// Of these.
    #[must_use]
    pub fn over(latencies: &[Duration]) -> Self {
        let mut histogram = empty();
        latencies.iter().for_each(|latency| histogram.saturating_record(ns(*latency)));
        Self::of(&histogram)
    }

    fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let us = |ns: u64| ns as f64 / 1e3;
        let at = |quantile| us(histogram.value_at_quantile(quantile));
        Self {
            count: histogram.len(),
            mean_us: histogram.mean() / 1e3,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: us(histogram.max()),
        }
    }
}

#[expect(clippy::expect_used, reason = "INVARIANT: the bounds are constants that are in order")]
fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).expect("bounds that are in order")
}

fn ns(latency: Duration) -> u64 {
    u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Requests;

    #[test]
    fn allowed_and_denied_are_told_apart_and_errors_from_both() {
        let checks = Requests::checks("", &[]);
        let mut tally = Tally::new();
        let allowed = Answered { allows: 1, ..Answered::default() };
        let denied = Answered { denies: 1, wrong: 1, ..Answered::default() };
        for ms in 1..=100 {
            tally.answered(&checks, allowed, Duration::from_millis(ms));
        }
        tally.answered(&checks, denied, Duration::from_secs(3_600));
        tally.answered(&checks, Answered { errors: 1, ..Answered::default() }, Duration::ZERO);
        let mut both = Tally::new();
        both.failed(|| "gone".to_owned());
        both.merge(tally);
        let summary = both.summary(Duration::from_secs(2), 3);
        assert_eq!((summary.allow.count, summary.deny.count, summary.all.count), (100, 1, 101));
        assert_eq!((summary.errors, summary.wrong, summary.unsent), (2, 1, 3));
        assert!((summary.allow.p50_us - 50_000.0).abs() < 100.0, "{summary:?}");
        assert!(summary.deny.max_us >= 60e6, "{summary:?}");
        assert!((summary.requests_per_second - 50.5).abs() < 1e-6);
        assert_eq!(summary.first_error.as_deref(), Some("gone"));
        assert_eq!(Tally::new().summary(Duration::ZERO, 0).all, Latency::default());
    }
}
