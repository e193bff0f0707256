//! What a run asked: checks by family and reason, worlds, histories.

use std::collections::BTreeMap;
use std::fmt;

use super::Told;
use crate::oracle::Refused;

/// How often each thing occurred.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    worlds: u64,
    histories: u64,
    steps: u64,
    checks: u64,
    answers: BTreeMap<(&'static str, String), u64>,
}

// === impl Tally ===

impl Tally {
    /// How many questions the engine and the oracle answered alike.
    #[must_use]
    pub const fn checks(&self) -> u64 {
        self.checks
    }

    /// How many change sets were published, each snapshot held against one compiled whole.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// In how many worlds.
    #[must_use]
    pub const fn worlds(&self) -> u64 {
        self.worlds
    }

    /// How often a family was answered with a reason.
    #[must_use]
    pub fn answered(&self, family: &'static str, reason: &str) -> u64 {
        self.answers.get(&(family, reason.to_owned())).copied().unwrap_or(0)
    }

    pub(super) const fn world(&mut self) {
        self.worlds += 1;
    }

    pub(super) const fn history(&mut self) {
        self.histories += 1;
    }

    pub(super) const fn step(&mut self) {
        self.steps += 1;
    }

    pub(super) fn note(&mut self, family: &'static str, told: &Told) {
        self.checks += 1;
        let reason = match told {
            Ok(((_, reason), _)) => reason.as_str().to_owned(),
            Err(Refused) => "refused as malformed".to_owned(),
        };
        *self.answers.entry((family, reason)).or_default() += 1;
    }

    /// Adds another tally to this one.
    pub fn add(&mut self, other: &Self) {
        self.worlds += other.worlds;
        self.histories += other.histories;
        self.steps += other.steps;
        self.checks += other.checks;
        for (key, count) in &other.answers {
            *self.answers.entry(key.clone()).or_default() += count;
        }
    }
}

/// The counts, and a line for each reason of each family with its share of all checks.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { worlds, histories, steps, checks, answers } = self;
        writeln!(
            f,
            "{checks} checks in {worlds} worlds, {histories} of them with a history; \
             {steps} snapshots published and held against one compiled whole"
        )?;
        for ((family, reason), count) in answers {
            writeln!(f, "{family:<12}{reason:<28}{count:>12} {:>7.3} %", share(*count, *checks))?;
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn share(count: u64, all: u64) -> f64 {
    100.0 * count as f64 / all.max(1) as f64
}
