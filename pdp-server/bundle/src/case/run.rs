//! Running a case file against whoever answers, and against the engine in process.

use std::collections::BTreeSet;
use std::fmt;

use pdp_engine::check::check;
use pdp_engine::compile::compile;
use pdp_engine::explain::{Explanation, Standing, explain};
use pdp_engine::facts::Facts;
use pdp_engine::query::{Effect, Reason, Revision};
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;

use super::{CaseFile, Check, ErrorCode, Expectation};
use crate::diagnostic::{BundleError, Place};
use crate::question::OwnedQuestion;
use crate::render::render_explanation;
use crate::time::format_time;

/// What came back for one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A decision.
    Decision {
        /// Its effect.
        effect: Effect,
        /// Its reason.
        reason: Reason,
        /// The rest, if it was asked for.
        why: Option<Why>,
    },
    /// A refusal.
    Error {
        /// The status code's name, as `INVALID_ARGUMENT`.
        code: String,
        /// What was said.
        message: String,
    },
}

/// What an explanation adds to a decision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Why {
    /// The ids of the assignments that decided.
    pub deciding: BTreeSet<String>,
    /// The ids of the assignments that a deny masked.
    pub masked: BTreeSet<String>,
    /// The explanation, as a text of several lines.
    pub text: String,
}

/// What became of every check of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The file.
    pub source: String,
    /// The evaluation time.
    pub now: Timestamp,
    /// One a check, in the order of the file.
    pub outcomes: Vec<Outcome>,
}

/// What became of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The check's name.
    pub name: Option<String>,
    /// Where it stands.
    pub place: Place,
    /// The question, in words.
    pub question: String,
    /// What is wrong with the answer; `None` if it is as expected.
    pub failure: Option<Failure>,
}

/// An answer that is not the expected one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What was expected, in words.
    pub expected: String,
    /// What came back, in words.
    pub actual: String,
    /// The explanation, if there is one.
    pub explanation: Option<String>,
}

// === impl CaseFile ===

impl CaseFile {
    /// Puts every question to `ask` and compares the answers. `ask` is given the question, the
    /// evaluation time (the file's, else `default_now`) and whether the explanation is wanted; an
    /// answer that fails without one is asked for again with it.
    pub fn run(
        &self,
        default_now: Timestamp,
        mut ask: impl FnMut(&OwnedQuestion, Timestamp, bool) -> Answer,
    ) -> Report {
        let now = self.now.unwrap_or(default_now);
        let outcomes = self.checks.iter().map(|check| {
            let mut answer = ask(&check.question, now, check.expect.needs_explanation());
            let mut failure = check.judge(&answer);
            if failure.is_some() && matches!(answer, Answer::Decision { why: None, .. }) {
                answer = ask(&check.question, now, true);
                failure = check.judge(&answer).or(failure);
            }
            Outcome {
                name: check.name.clone(),
                place: check.place,
                question: check.question.to_string(),
                failure,
            }
        });
        Report { source: self.source.clone(), now, outcomes: outcomes.collect() }
    }
}

/// Runs a case file against the engine itself.
///
/// # Errors
/// [`BundleError`] if the file's policy is not valid.
pub fn run_in_process(case: &CaseFile, default_now: Timestamp) -> Result<Report, BundleError> {
    let mut facts = Facts::default();
    facts
        .apply(&case.bundle.changes())
        .map_err(|rejected| case.bundle.explain_rejection(&rejected))?;
    let snapshot = compile(&facts, Revision::new(1));
    Ok(case
        .run(default_now, |question, now, explained| answer(&snapshot, question, now, explained)))
}

fn answer(
    snapshot: &Snapshot,
    question: &OwnedQuestion,
    now: Timestamp,
    explained: bool,
) -> Answer {
    let asked = question.as_question();
    let answered = if explained {
        explain(snapshot, &asked, now).map(|explanation| Answer::explained(&explanation, question))
    } else {
        check(snapshot, &asked, now).map(|decision| Answer::Decision {
            effect: decision.effect,
            reason: decision.reason,
            why: None,
        })
    };
    answered.unwrap_or_else(|malformed| Answer::Error {
        code: ErrorCode::InvalidArgument.as_str().to_owned(),
        message: malformed.to_string(),
    })
}

// === impl Answer ===

impl Answer {
    /// The answer that an explanation of the engine gives.
    #[must_use]
    pub fn explained(explanation: &Explanation, question: &OwnedQuestion) -> Self {
        let of = |standing: Standing| {
            let entries = explanation.sides.iter().flat_map(|side| &side.entries);
            let entries = entries.filter(|entry| entry.standing == standing);
            entries.map(|entry| entry.assignment.to_string()).collect()
        };
        Self::Decision {
            effect: explanation.decision.effect,
            reason: explanation.decision.reason,
            why: Some(Why {
                deciding: of(Standing::Deciding),
                masked: of(Standing::Masked),
                text: render_explanation(explanation, question),
            }),
        }
    }
}

// === impl Expectation ===

impl Expectation {
    /// Whether only an explanation can show that an answer is as expected.
    #[must_use]
    pub const fn needs_explanation(&self) -> bool {
        match self {
            Self::Decision { deciding, masked, .. } => deciding.is_some() || masked.is_some(),
            Self::Error { .. } => false,
        }
    }
}

/// `DENY EXPLICIT_DENY, deciding [a-1], masked []`.
impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error { code } => write!(f, "error {}", code.as_str()),
            Self::Decision { effect, reason, deciding, masked } => {
                f.write_str(effect.as_str())?;
                if let Some(reason) = reason {
                    write!(f, " {}", reason.as_str())?;
                }
                if let Some(ids) = deciding {
                    write!(f, ", deciding {}", listed(ids))?;
                }
                if let Some(ids) = masked {
                    write!(f, ", masked {}", listed(ids))?;
                }
                Ok(())
            }
        }
    }
}

fn listed(ids: &BTreeSet<String>) -> String {
    format!("[{}]", ids.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
}

// === impl Check ===

impl Check {
    /// What is wrong with an answer; `None` if it is as expected. An expectation that needs the
    /// explanation is not met by an answer without one.
    #[must_use]
    pub fn judge(&self, answer: &Answer) -> Option<Failure> {
        let met = match (&self.expect, answer) {
            (Expectation::Error { code }, Answer::Error { code: actual, .. }) => {
                code.as_str() == actual
            }
            (
                Expectation::Decision { effect, reason, deciding, masked },
                Answer::Decision { effect: actual, reason: actual_reason, why },
            ) => {
                let agrees = |expected: &Option<BTreeSet<String>>,
                              of: fn(&Why) -> &BTreeSet<String>| {
                    expected
                        .as_ref()
                        .is_none_or(|ids| why.as_ref().is_some_and(|why| of(why) == ids))
                };
                effect == actual
                    && reason.is_none_or(|reason| reason == *actual_reason)
                    && agrees(deciding, |why| &why.deciding)
                    && agrees(masked, |why| &why.masked)
            }
            (Expectation::Error { .. }, Answer::Decision { .. })
            | (Expectation::Decision { .. }, Answer::Error { .. }) => false,
        };
        (!met).then(|| Failure {
            expected: self.expect.to_string(),
            actual: self.told(answer),
            explanation: match answer {
                Answer::Decision { why, .. } => why.as_ref().map(|why| why.text.clone()),
                Answer::Error { .. } => None,
            },
        })
    }

    /// The answer in the words of the expectation.
    fn told(&self, answer: &Answer) -> String {
        match answer {
            Answer::Error { code, message } => format!("error {code}: {message}"),
            Answer::Decision { effect, reason, why } => {
                let compared = self.expect.needs_explanation();
                let why = why.as_ref().filter(|_| compared);
                Expectation::Decision {
                    effect: *effect,
                    reason: Some(*reason),
                    deciding: why.map(|why| why.deciding.clone()),
                    masked: why.map(|why| why.masked.clone()),
                }
                .to_string()
            }
        }
    }
}

// === impl Report ===

impl Report {
    /// How many checks got the expected answer.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.outcomes.len() - self.failed()
    }

    /// How many did not.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.failure.is_some()).count()
    }

    /// Whether all did.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.failed() == 0
    }
}

/// A line with the counts, after everything about each check that failed.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for outcome in &self.outcomes {
            let Some(failure) = &outcome.failure else { continue };
            write!(f, "{}:{}:{}: ", self.source, outcome.place.line, outcome.place.column)?;
            if let Some(name) = &outcome.name {
                write!(f, "{name}: ")?;
            }
            writeln!(f, "{}", outcome.question)?;
            writeln!(f, "  expected  {}", failure.expected)?;
            writeln!(f, "  actual    {}", failure.actual)?;
            for line in failure.explanation.iter().flat_map(|text| text.lines()) {
                writeln!(f, "{}{line}", if line.is_empty() { "" } else { "  " })?;
            }
            writeln!(f)?;
        }
        let (failed, total, now) = (self.failed(), self.outcomes.len(), format_time(self.now));
        match failed {
            0 => write!(f, "{}: {total} checks hold at {now}", self.source),
            _ => write!(f, "{}: {failed} of {total} checks do not hold at {now}", self.source),
        }
    }
}
