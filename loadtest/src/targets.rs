//! The targets that the project holds itself to, one command for all. Each is a ratio whose two
//! sides are measured by turns in one run, as a median over rounds with its spread; what cannot be
//! measured yet says why, and counts as nothing.

mod change;
mod inside;
pub(crate) mod miss;
mod observed;
pub(crate) mod served;
pub(crate) mod startup;

use std::time::Duration;

use crate::drive::{DriveError, Timing};
use crate::embedded::EmbeddedError;
use crate::floor::FloorError;
use crate::questions::QuestionsError;
use crate::shape::ShapeError;

/// The least rounds: a median of fewer says little.
pub const MIN_ROUNDS: usize = 5;

/// The most of anything that is measured over and over.
const MAX_ROUNDS: usize = 1_000;

/// The largest policy, in assignments.
const MAX_SIZE: u64 = 100_000_000;

/// What is measured, and how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How many assignments the policy has; the rest is in proportion.
    pub size: u64,
    /// The seed of the policy and of the questions.
    pub seed: u64,
    /// How many rounds, [`MIN_ROUNDS`] at least.
    pub rounds: usize,
    /// How long each side is measured in a round over the network.
    pub duration: Duration,
    /// How many connections.
    pub connections: usize,
    /// How many requests are under way on each.
    pub in_flight: usize,
    /// How large the buffer is in which memory latency is measured, in bytes.
    pub buffer_bytes: usize,
    /// How many questions of each mix.
    pub questions: usize,
}

/// What a value is held against.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// It must be no less.
    AtLeast(f64),
    /// It must be no more.
    AtMost(f64),
}

/// A value: the median over the rounds, and the extremes.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Target {
    /// The number of the target.
    pub number: u8,
    /// What is measured.
    pub name: String,
    /// What came out; `None` if it was not measured.
    pub value: Option<Spread>,
    /// What it is held against; `None` for what is only reported.
    pub bound: Option<Bound>,
    /// The unit, or the reason why it was not measured.
    pub note: String,
    /// `met`, `not met`, `reported` or `not measured`.
    pub verdict: &'static str,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum TargetsError {
    /// A setting outside of its bounds.
    #[error("`{name}` is {given}; it must be {least} to {most}")]
    Bounds {
        /// The setting.
        name: &'static str,
        /// What was given.
        given: u64,
        /// The least it may be.
        least: u64,
        /// The most it may be.
        most: u64,
    },
    /// The organisation cannot be made.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The policy is refused.
    #[error("the policy is refused: {0}")]
    Rejected(String),
    /// There are no questions.
    #[error(transparent)]
    Questions(#[from] QuestionsError),
    /// The server does not run.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// The floor does not run.
    #[error(transparent)]
    Floor(#[from] FloorError),
    /// The load does not run.
    #[error(transparent)]
    Drive(#[from] DriveError),
    /// The server answered wrongly or not at all: its figures mean nothing.
    #[error("{what}: {errors} errors, {wrong} wrong answers, {unsent} not sent{first}")]
    Unclean {
        /// What was measured.
        what: &'static str,
        /// How many errors.
        errors: u64,
        /// How many wrong answers.
        wrong: u64,
        /// How many were not sent in time.
        unsent: u64,
        /// The first error, in words.
        first: String,
    },
    /// A file or a thread.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Measures every target that can be measured, in the order of their numbers; `say` is told what is
/// going on.
///
/// # Errors
/// [`TargetsError`] if a side cannot be measured, or the server answers wrongly.
pub fn measure(
    settings: &Settings,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<Target>, TargetsError> {
    settings.check()?;
    let mut targets = served::measure(settings, say)?;
    targets.extend(inside::measure(settings, say)?);
    targets.extend(startup::measure(settings, say)?);
    targets.extend(unmeasured());
    targets.sort_by_key(|target| target.number);
    Ok(targets)
}

/// What nothing implements yet, or nothing here measures.
fn unmeasured() -> Vec<Target> {
    let none = |number, name: &str, bound, why: &str| Target::unmeasured(number, name, bound, why);
    vec![none(
        6,
        "other engines / check, same questions",
        Bound::AtLeast(25.0),
        "`loadtest/peers` measures it, a workspace of its own",
    )]
}

// === impl Settings ===

impl Default for Settings {
    /// A size that takes about two minutes.
    fn default() -> Self {
        Self {
            size: 10_000,
            seed: 1,
            rounds: MIN_ROUNDS,
            duration: Duration::from_secs(1),
            connections: 8,
            in_flight: 64,
            buffer_bytes: 256 << 20,
            questions: 100_000,
        }
    }
}

impl Settings {
    fn check(&self) -> Result<(), TargetsError> {
        for (name, given, least, most) in [
            ("size", self.size, 100, MAX_SIZE),
            ("rounds", self.rounds as u64, MIN_ROUNDS as u64, MAX_ROUNDS as u64),
            ("questions", self.questions as u64, 100, 10_000_000),
            ("buffer-mib", self.buffer_bytes as u64 >> 20, 1, 64 << 10),
            ("milliseconds", self.duration.as_millis() as u64, 10, 3_600_000),
        ] {
            if given < least || given > most {
                return Err(TargetsError::Bounds { name, given, least, most });
            }
        }
        Ok(())
    }

    fn timing(&self) -> Timing {
        Timing::new(self.duration / 5, self.duration)
    }
}

// === impl Spread ===

impl Spread {
    /// Of these values; `None` if there are none.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let upper = *sorted.get(sorted.len() / 2)?;
        let lower = *sorted.get((sorted.len() - 1) / 2)?;
        Some(Self { median: f64::midpoint(lower, upper), least, most })
    }
}

// === impl Target ===

impl Target {
    /// A value for each round, held against a bound.
    #[must_use]
    pub fn held(number: u8, name: &str, values: &[f64], bound: Bound, unit: &str) -> Self {
        let value = Spread::of(values);
        let met = value.map(|value| bound.holds(value.median));
        let verdict = match met {
            Some(true) => "met",
            Some(false) => "not met",
            None => "not measured",
        };
        let (name, note) = (name.to_owned(), unit.to_owned());
        Self { number, name, value, bound: Some(bound), note, verdict }
    }

    /// A value for each round, held against nothing.
    #[must_use]
    pub fn reported(number: u8, name: &str, values: &[f64], unit: &str) -> Self {
        let value = Spread::of(values);
        let verdict = if value.is_some() { "reported" } else { "not measured" };
        let (name, note) = (name.to_owned(), unit.to_owned());
        Self { number, name, value, bound: None, note, verdict }
    }

    /// What was not measured, and why.
    #[must_use]
    pub fn unmeasured(number: u8, name: &str, bound: Bound, why: &str) -> Self {
        let (name, note) = (name.to_owned(), why.to_owned());
        Self { number, name, value: None, bound: Some(bound), note, verdict: "not measured" }
    }
}

// === impl Bound ===

impl Bound {
    /// Whether a value keeps to it.
    pub(crate) fn holds(self, value: f64) -> bool {
        // What is not a number holds nothing.
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, ">= {least}"),
            Self::AtMost(most) => write!(f, "<= {most}"),
        }
    }
}

/// One side over the other, round by round.
pub(crate) fn ratios(over: &[f64], under: &[f64]) -> Vec<f64> {
    over.iter().zip(under).map(|(over, under)| over / under.max(f64::MIN_POSITIVE)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_has_its_spread() {
        let spread = Spread::of(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!((spread.median, spread.least, spread.most), (2.0, 1.0, 3.0));
        assert_eq!(Spread::of(&[1.0, 2.0]).unwrap().median, 1.5);
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn nothing_is_met_that_was_not_measured() {
        let verdict = |values: &[f64], bound| Target::held(1, "x", values, bound, "").verdict;
        assert_eq!(verdict(&[1.0], Bound::AtMost(1.0)), "met");
        assert_eq!(verdict(&[1.1], Bound::AtMost(1.0)), "not met");
        assert_eq!(verdict(&[0.9], Bound::AtLeast(1.0)), "not met");
        assert_eq!(verdict(&[f64::NAN], Bound::AtLeast(1.0)), "not met");
        assert_eq!(verdict(&[f64::NAN], Bound::AtMost(1.0)), "not met");
        assert_eq!(verdict(&[], Bound::AtMost(1.0)), "not measured");
        for target in unmeasured() {
            assert_eq!((target.verdict, target.value), ("not measured", None));
            assert!(!target.note.is_empty());
        }
        let few = Settings { rounds: 4, ..Settings::default() };
        assert!(matches!(few.check(), Err(TargetsError::Bounds { name: "rounds", .. })));
    }
}
