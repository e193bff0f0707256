//! Counts what random decisions were about, so that a rule which nothing exercises is noticed.

use std::collections::BTreeMap;

use pdp_engine::level::{Assignment, Relative, Scope};
use pdp_engine::permission::Qualifier;
use pdp_engine::query::{Effect, Question, Reason};

use crate::oracle::{Answer, Oracle, asked, strongest};
use crate::proof;

/// The actor kinds that an assignment may be made to.
const ASSIGNEES: [&str; 7] = [
    "person",
    "account",
    "group",
    "set_group",
    "business_role",
    "management_role",
    "management_role_definition",
];

/// The reasons of section 4.
pub const ACCESS_REASONS: [Reason; 12] = [
    Reason::Granted,
    Reason::ExplicitDeny,
    Reason::Disabled,
    Reason::NotGranted,
    Reason::UnknownSubject,
    Reason::SubjectDisabled,
    Reason::UnknownResource,
    Reason::UnknownPermission,
    Reason::MissingOnResource,
    Reason::MissingOnCounterpart,
    Reason::MissingOnBoth,
    Reason::SelfDelegation,
];

/// The reasons of section 5.
pub const DELEGATION_REASONS: [Reason; 12] = [
    Reason::Granted,
    Reason::ExplicitDeny,
    Reason::UnknownSubject,
    Reason::SubjectDisabled,
    Reason::UnknownLevel,
    Reason::UnknownResource,
    Reason::UnknownLocation,
    Reason::UnknownRecipient,
    Reason::SelfDelegation,
    Reason::MissingOnResource,
    Reason::MissingOnRecipient,
    Reason::MissingOnBoth,
];

/// The reasons of section 6.
pub const VAULT_REASONS: [Reason; 8] = [
    Reason::Granted,
    Reason::UnknownSubject,
    Reason::SubjectDisabled,
    Reason::UnknownResource,
    Reason::NotShared,
    Reason::LevelTooLow,
    Reason::RemoteAppUnsupported,
    Reason::RemoteAppNotPrivileged,
];

/// The reasons of section 7.
pub const SESSION_REASONS: [Reason; 13] = [
    Reason::Granted,
    Reason::UnknownSubject,
    Reason::SubjectDisabled,
    Reason::UnknownResource,
    Reason::PsmDisabled,
    Reason::LevelNotOffered,
    Reason::LevelNotMapped,
    Reason::Excluded,
    Reason::NotEligible,
    Reason::NoAccount,
    Reason::SessionLimit,
    Reason::NeedsApproval,
    Reason::UnprivilegedNotAllowed,
];

/// How often each thing of one family occurred, and what has to.
#[derive(Debug, Clone, Default)]
pub struct FamilyTally {
    decisions: u64,
    counts: BTreeMap<String, u64>,
}

// === impl FamilyTally ===

impl FamilyTally {
    /// Notes one decision and, with it, other things that it was about.
    pub fn note(&mut self, reason: Reason, others: impl IntoIterator<Item = String>) {
        self.decisions += 1;
        *self.counts.entry(format!("reason {}", reason.as_str())).or_default() += 1;
        for other in others {
            *self.counts.entry(other).or_default() += 1;
        }
    }

    /// Notes a question that was refused as malformed.
    pub fn note_refused(&mut self) {
        *self.counts.entry("refused as malformed".to_owned()).or_default() += 1;
    }

    /// Adds another tally to this one.
    pub fn add(&mut self, other: &Self) {
        self.decisions += other.decisions;
        for (key, count) in &other.counts {
            *self.counts.entry(key.clone()).or_default() += count;
        }
    }

    /// Prints the table.
    ///
    /// # Panics
    /// If anything that must occur was rarer than so many per cent of the decisions.
    pub fn hold(&self, reasons: &[Reason], others: &[&str], rarest: f64) {
        let share =
            |key: &str| per_cent(self.counts.get(key).copied().unwrap_or(0), self.decisions);
        println!("{} decisions", self.decisions);
        for (key, count) in &self.counts {
            println!("{key:<45} {count:>9} {:>7.2} %", share(key));
        }
        let mut expected: Vec<String> =
            reasons.iter().map(|it| format!("reason {}", it.as_str())).collect();
        expected.extend(others.iter().map(|it| (*it).to_owned()));
        expected.push("refused as malformed".to_owned());
        let rarest = proof::least_share(rarest);
        expected.retain(|key| share(key) < rarest);
        assert!(expected.is_empty(), "rarer than {rarest} % of the decisions: {expected:?}");
    }
}

/// How often each thing occurred.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    decisions: u64,
    refused: u64,
    counts: BTreeMap<String, u64>,
}

// === impl Tally ===

impl Tally {
    /// Notes one decision; entries are those of the oracle.
    pub fn note(&mut self, oracle: &Oracle<'_>, question: &Question<'_>, answer: Answer) {
        self.decisions += 1;
        let (effect, reason) = answer;
        self.count(format!("reason {}", reason.as_str()));
        if reason_precedes_entries(reason) {
            return;
        }
        if question.counterpart.is_some() {
            let routing = if question.routing { "" } else { ", no routing" };
            self.count(format!("dual {}{routing}", effect.as_str()));
        }
        for object in [Some(question.resource), question.counterpart].into_iter().flatten() {
            let Ok(asked) = asked(question.subject, question.permission, object) else { continue };
            let entries = oracle.entries(&asked);
            let outcome = strongest(entries.iter().map(|(_, qualifier)| *qualifier));
            for (assignment, qualifier) in entries {
                self.count(format!("qualifier {}", qualifier.as_str()));
                self.count(format!("scope {}", scope_word(assignment)));
                self.count(format!("assignee {}", assignment.to.kind()));
                if outcome == strongest([qualifier]) && qualifier != Qualifier::Unassigned {
                    self.count(format!("deciding {}", scope_word(assignment)));
                }
            }
        }
    }

    /// Notes a question that was refused as malformed.
    pub fn note_refused(&mut self) {
        self.refused += 1;
    }

    /// How many decisions were noted.
    #[must_use]
    pub const fn decisions(&self) -> u64 {
        self.decisions
    }

    /// Adds another tally to this one.
    pub fn add(&mut self, other: &Self) {
        self.decisions += other.decisions;
        self.refused += other.refused;
        for (key, count) in &other.counts {
            *self.counts.entry(key.clone()).or_default() += count;
        }
    }

    fn count(&mut self, key: String) {
        *self.counts.entry(key).or_default() += 1;
    }

    /// Everything that must occur.
    fn expected() -> Vec<String> {
        let relatives = Relative::ALL.into_iter().map(|it| format!("relative {}", it.as_str()));
        let scopes: Vec<String> = ["on".into(), "in".into()].into_iter().chain(relatives).collect();
        let mut keys: Vec<String> = Vec::new();
        keys.extend(ACCESS_REASONS.into_iter().map(|it| format!("reason {}", it.as_str())));
        keys.extend(Effect::ALL.into_iter().map(|it| format!("dual {}", it.as_str())));
        keys.extend(Qualifier::ALL.into_iter().map(|it| format!("qualifier {}", it.as_str())));
        keys.extend(scopes.iter().map(|it| format!("scope {it}")));
        keys.extend(scopes.iter().map(|it| format!("deciding {it}")));
        keys.extend(ASSIGNEES.into_iter().map(|it| format!("assignee {it}")));
        keys
    }

    /// The table, one line a thing.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text =
            format!("{} decisions, {} refused as malformed\n", self.decisions, self.refused);
        let mut keys: Vec<String> = Self::expected();
        keys.extend(
            self.counts.keys().filter(|key| !keys.contains(key)).cloned().collect::<Vec<_>>(),
        );
        for key in keys {
            let count = self.counts.get(&key).copied().unwrap_or(0);
            let share = self.share(count);
            text.push_str(&format!("{key:<45} {count:>9} {share:>7.2} %\n"));
        }
        text
    }

    /// What must occur and was rarer than so many per cent of the decisions.
    #[must_use]
    pub fn rarer_than(&self, per_cent: f64) -> Vec<String> {
        let mut keys = Self::expected();
        keys.retain(|key| self.share(self.counts.get(key).copied().unwrap_or(0)) < per_cent);
        if self.refused == 0 {
            keys.push("refused as malformed".to_owned());
        }
        keys
    }

    fn share(&self, count: u64) -> f64 {
        per_cent(count, self.decisions)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn per_cent(count: u64, all: u64) -> f64 {
    100.0 * count as f64 / all.max(1) as f64
}

/// Q6: decided before any assignment was looked at.
#[must_use]
pub const fn reason_precedes_entries(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::UnknownSubject
            | Reason::SubjectDisabled
            | Reason::UnknownResource
            | Reason::UnknownPermission
    )
}

fn scope_word(assignment: &Assignment) -> String {
    match &assignment.scope {
        Scope::On(_) => "on".to_owned(),
        Scope::In(_) => "in".to_owned(),
        Scope::Relative(relative) => format!("relative {}", relative.as_str()),
    }
}
