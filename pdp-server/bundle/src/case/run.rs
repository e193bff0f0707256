//! Running a case file against whoever answers, and against the engine in process.

use std::fmt;

use pdp_engine::check::check;
use pdp_engine::compile::compile;
use pdp_engine::delegate::{check_delegation, explain_delegation};
use pdp_engine::explain::explain;
use pdp_engine::facts::Facts;
use pdp_engine::list::{ApprovalQuestion, list_approvers};
use pdp_engine::query::{Decision, Malformed, Revision};
use pdp_engine::session::{check_session, explain_session};
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;
use pdp_engine::vault::{check_vault, explain_vault};

use super::{Answer, CaseFile, CaseSessions, Check, ErrorCode};
use crate::diagnostic::{BundleError, Place};
use crate::question::AnyQuestion;
use crate::time::format_time;

/// What an answer has to say beside the decision and its obligations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Detail {
    /// The explanation.
    pub explanation: bool,
    /// Who could approve.
    pub approvers: bool,
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
    /// evaluation time (the file's, else `default_now`) and what is wanted; an answer that fails
    /// without an explanation is asked for again with it. The sessions of the file are for whoever
    /// answers to take into account ([`CaseFile::sessions_at`]).
    pub fn run(
        &self,
        default_now: Timestamp,
        mut ask: impl FnMut(&AnyQuestion, Timestamp, Detail) -> Answer,
    ) -> Report {
        let now = self.now.unwrap_or(default_now);
        let outcomes = self.checks.iter().map(|check| {
            let mut detail = Detail {
                explanation: check.expect.needs_explanation(),
                approvers: check.expect.needs_approvers(),
            };
            let mut answer = ask(&check.question, now, detail);
            let mut failure = check.judge(&answer);
            if failure.is_some() && matches!(answer, Answer::Decision { why: None, .. }) {
                detail.explanation = true;
                answer = ask(&check.question, now, detail);
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

    /// What the file's sessions come to at an instant beside the file's policy.
    #[must_use]
    pub fn sessions_at(&self, facts: &Facts, now: Timestamp) -> CaseSessions {
        CaseSessions::at(&self.open_sessions, facts, now)
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
    let sessions = case.sessions_at(&facts, case.now.unwrap_or(default_now));
    let snapshot = compile(&facts, Revision::new(1)).with_sessions(sessions.open());
    Ok(case.run(default_now, |question, now, detail| {
        answer(&snapshot, question, now, detail).unwrap_or_else(|malformed| Answer::Error {
            code: ErrorCode::InvalidArgument.as_str().to_owned(),
            message: malformed.to_string(),
        })
    }))
}

fn answer(
    snapshot: &Snapshot,
    question: &AnyQuestion,
    now: Timestamp,
    detail: Detail,
) -> Result<Answer, Malformed> {
    let decided = |decision: Decision| Answer::decided(decision.effect, decision.reason);
    let (answer, approval) = match question {
        AnyQuestion::Access(question) => {
            let asked = question.as_question();
            let answer = if detail.explanation {
                Answer::explained(&explain(snapshot, &asked, now)?, question)
            } else {
                decided(check(snapshot, &asked, now)?)
            };
            (answer, Some(ApprovalQuestion::Dual(asked)))
        }
        AnyQuestion::Delegation(question) => {
            let asked = question.as_question();
            let answer = if detail.explanation {
                let explanation = explain_delegation(snapshot, &asked, now)?;
                Answer::explained_delegation(&explanation, question)
            } else {
                decided(check_delegation(snapshot, &asked, now)?)
            };
            (answer, Some(ApprovalQuestion::Delegation(asked)))
        }
        AnyQuestion::Vault(question) => {
            let asked = question.as_question();
            let answer = if detail.explanation {
                Answer::explained_vault(&explain_vault(snapshot, &asked, now)?, question)
            } else {
                decided(check_vault(snapshot, &asked, now)?)
            };
            (answer, None)
        }
        AnyQuestion::Session(question) => {
            let asked = question.as_question();
            let answer = if detail.explanation {
                let explanation = explain_session(snapshot, &asked, now)?;
                Answer::explained_session(&explanation, question)
            } else {
                let session = check_session(snapshot, &asked, now)?;
                decided(session.decision).with_obligations(session.obligations)
            };
            (answer, Some(ApprovalQuestion::Session(asked)))
        }
    };
    match approval.filter(|_| detail.approvers) {
        Some(approval) => Ok(answer.with_approvers(list_approvers(snapshot, &approval, now)?)),
        None => Ok(answer),
    }
}

// === impl Check ===

impl Check {
    /// What is wrong with an answer; `None` if it is as expected. An expectation that needs the
    /// explanation or the approvers is not met by an answer without them.
    #[must_use]
    pub fn judge(&self, answer: &Answer) -> Option<Failure> {
        (!self.expect.is_met_by(answer)).then(|| Failure {
            expected: self.expect.to_string(),
            actual: self.expect.told(answer),
            explanation: match answer {
                Answer::Decision { why, .. } => why.as_ref().map(|why| why.text.clone()),
                Answer::Error { .. } => None,
            },
        })
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
