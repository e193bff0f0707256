//! Checks an explanation against the facts, independently of who made it (semantics, section 8).
//!
//! An explanation names facts. So each hop is looked up as the fact that it claims to be, each
//! chain is followed from where it must begin to where it must end, and the entries are held
//! against the oracle's. Nothing here knows how the engine finds its paths.

mod chain;
mod coverage;
mod family;
mod miss;

use std::fmt::Display;

use pdp_engine::explain::{Entry, Explanation, Side, Standing};
use pdp_engine::facts::Facts;
use pdp_engine::level::{Assignment, LevelRef};
use pdp_engine::permission::Qualifier;
use pdp_engine::query::{Question, Reason};
use pdp_engine::time::Timestamp;

pub use miss::{repair, repair_id};

use crate::oracle::{Asked, Existing, Oracle, asked, strongest};
use crate::tally::reason_precedes_entries;

/// What is wrong with an explanation.
pub type Verdict = Result<(), String>;

/// Checks explanations of one policy at one instant.
#[derive(Debug, Clone, Copy)]
pub struct Verifier<'a> {
    facts: &'a Facts,
    now: Timestamp,
    oracle: Oracle<'a>,
}

// === impl Verifier ===

impl<'a> Verifier<'a> {
    /// For this policy at this instant.
    #[must_use]
    pub const fn new(facts: &'a Facts, now: Timestamp) -> Self {
        Self { facts, now, oracle: Oracle::new(facts, now) }
    }

    /// With these sessions and accounts besides the policy.
    #[must_use]
    pub const fn beside(self, existing: &'a Existing) -> Self {
        Self { oracle: self.oracle.beside(existing), ..self }
    }

    /// The whole explanation.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn explanation(&self, question: &Question<'_>, explanation: &Explanation) -> Verdict {
        let decision = explanation.decision;
        same("evaluated_at", &explanation.evaluated_at, &self.now)?;
        let answer = self.oracle.decide(question).map_err(|_| "the oracle refuses the question")?;
        same("decision", &(decision.effect, decision.reason), &answer)?;
        if reason_precedes_entries(decision.reason) {
            return same("number of sides", &explanation.sides.len(), &0);
        }
        let objects = [Some(question.resource), question.counterpart].into_iter().flatten();
        let objects: Vec<_> = objects.collect();
        same("number of sides", &explanation.sides.len(), &objects.len())?;
        for (side, object) in explanation.sides.iter().zip(objects) {
            let asked = asked(question.subject, question.permission, object)
                .map_err(|_| "a name of the question is none")?;
            self.side(&asked, side).map_err(|why| format!("{}: {why}", side.object))?;
        }
        Ok(())
    }

    fn side(&self, asked: &Asked, side: &Side) -> Verdict {
        same("object", &side.object, &asked.object)?;
        let expected = self.oracle.entries(asked);
        let outcome = strongest(expected.iter().map(|(_, qualifier)| *qualifier));
        same("outcome", &side.outcome, &outcome)?;
        let ids = |list: &[Entry]| -> Vec<String> {
            list.iter().map(|entry| entry.assignment.to_string()).collect()
        };
        let expected_ids: Vec<String> =
            expected.iter().map(|(assignment, _)| assignment.id.to_string()).collect();
        same("entries", &ids(&side.entries), &expected_ids)?;
        for (entry, (assignment, qualifier)) in side.entries.iter().zip(expected) {
            self.entry(asked, outcome, entry, assignment, qualifier)
                .map_err(|why| format!("entry {}: {why}", entry.assignment))?;
        }
        same("granting levels", &side.granting_levels, &self.granting_levels(asked, outcome))?;
        self.near_misses(asked, side)
    }

    fn entry(
        &self,
        asked: &Asked,
        outcome: Reason,
        entry: &Entry,
        assignment: &Assignment,
        qualifier: Qualifier,
    ) -> Verdict {
        same("to", &entry.to, &assignment.to)?;
        same("level", &entry.level, &assignment.level)?;
        same("scope", &entry.scope, &assignment.scope)?;
        same("window", &entry.window, &assignment.window)?;
        same("qualifier", &entry.qualifier, &qualifier)?;
        same("standing", &entry.standing, &standing(outcome, qualifier))?;
        self.subject_path(&asked.subject, &entry.subject_path, &assignment.to, true)?;
        self.coverage(asked, &assignment.scope, &entry.coverage)
    }

    /// For `NOT_GRANTED`, the levels of the type that allow the permission, by name.
    fn granting_levels(&self, asked: &Asked, outcome: Reason) -> Vec<LevelRef> {
        if outcome != Reason::NotGranted {
            return Vec::new();
        }
        let names = self.facts.access_levels().map(|level| &level.name);
        names
            .filter(|name| name.type_name == asked.object.type_name && self.allows(asked, name))
            .cloned()
            .collect()
    }

    fn allows(&self, asked: &Asked, level: &LevelRef) -> bool {
        self.oracle.qualifier(level, asked.kind, &asked.permission) == Some(Qualifier::Allowed)
    }
}

/// The rule that decided tells what became of a qualifier.
fn standing(outcome: Reason, qualifier: Qualifier) -> Standing {
    match (outcome, qualifier) {
        (Reason::ExplicitDeny, Qualifier::Denied)
        | (Reason::Granted, Qualifier::Allowed)
        | (Reason::Disabled, Qualifier::Disabled) => Standing::Deciding,
        (Reason::ExplicitDeny, Qualifier::Allowed) => Standing::Masked,
        _ => Standing::Outweighed,
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, actual: &T, expected: &T) -> Verdict {
    if actual == expected {
        return Ok(());
    }
    Err(format!("{what} is {actual:?}, and should be {expected:?}"))
}

fn hold(claim: bool, why: impl Display) -> Verdict {
    if claim { Ok(()) } else { Err(why.to_string()) }
}
