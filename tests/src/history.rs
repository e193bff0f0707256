//! Histories of random change sets, and whether two snapshots of one policy answer alike: every decision,
//! every explanation, every list.

use std::fmt::Debug;

use pdp_engine::check::check;
use pdp_engine::delegate::{check_delegation, explain_delegation};
use pdp_engine::explain::{Explanation, Gap, NearMiss, explain};
use pdp_engine::facts::{Change, Fact, FactKind, Facts};
use pdp_engine::list::{
    AnyPermission, ApprovalQuestion, SubjectKinds, list_approvers, list_permissions,
    list_resources, list_subjects,
};
use pdp_engine::query::{ObjectRef, SubjectRef};
use pdp_engine::session::{check_session, explain_session};
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;
use pdp_engine::vault::{check_vault, explain_vault};

use crate::world::Genome;

/// Two snapshots of one policy.
struct Pair<'a> {
    whole: &'a Snapshot,
    grown: &'a Snapshot,
}

impl Pair<'_> {
    fn agree<T: PartialEq + Debug>(
        &self,
        what: &str,
        asked: &dyn Debug,
        ask: impl Fn(&Snapshot) -> T,
    ) -> Result<(), String> {
        let (whole, grown) = (ask(self.whole), ask(self.grown));
        if whole == grown {
            return Ok(());
        }
        Err(format!("{what} {asked:?}: compiled as a whole {whole:#?}, grown {grown:#?}"))
    }

    /// The lists around a permission, a subject and an object.
    fn lists(
        &self,
        subject: SubjectRef<'_>,
        permission: AnyPermission<'_>,
        object: ObjectRef<'_>,
        now: Timestamp,
    ) -> Result<(), String> {
        let asked = (subject, permission, object);
        let kinds = [SubjectKinds::People, SubjectKinds::PeopleAndAccounts];
        for kinds in kinds {
            self.agree("subjects of", &asked, |it| {
                list_subjects(it, permission, object, kinds, now)
            })?;
        }
        self.agree("resources of", &asked, |it| {
            list_resources(it, subject, permission, object.type_name, now)
        })?;
        self.agree("permissions of", &asked, |it| list_permissions(it, subject, object, now))
    }

    fn approvers(&self, question: &ApprovalQuestion<'_>, now: Timestamp) -> Result<(), String> {
        self.agree("approvers of", question, |it| list_approvers(it, question, now))
    }
}

/// An explanation but for which near misses it chose among too many, and in which order.
fn told(explanation: Explanation) -> Explanation {
    let sorted = |misses: &[NearMiss], gap: Gap| {
        let mut those: Vec<_> = misses.iter().filter(|miss| miss.gap == gap).cloned().collect();
        those.sort_by(|one, other| one.assignment.cmp(&other.assignment));
        if those.len() < pdp_engine::explain::MAX_NEAR_MISSES_PER_GAP { those } else { Vec::new() }
    };
    let mut explanation = explanation;
    for side in &mut explanation.sides {
        let misses = std::mem::take(&mut side.near_misses);
        let all = [Gap::Window, Gap::Assignee, Gap::Scope].map(|gap| sorted(&misses, gap));
        side.near_misses = all.concat();
    }
    explanation
}

/// Asks both snapshots everything that the world has questions for.
///
/// # Errors
/// What the first question is that they answer differently, and how.
pub fn agree(
    genome: &Genome,
    facts: &Facts,
    whole: &Snapshot,
    grown: &Snapshot,
) -> Result<(), String> {
    let existing = genome.existing(facts);
    let (whole, grown) =
        (whole.with_sessions(existing.open()), grown.with_sessions(existing.open()));
    let pair = Pair { whole: &whole, grown: &grown };
    for (question, now) in genome.questions(facts) {
        let asked = question.ask();
        pair.agree("check", &question, |it| check(it, &asked, now))?;
        pair.agree("explain", &question, |it| explain(it, &asked, now).map(told))?;
        pair.lists(asked.subject, AnyPermission::Access(asked.permission), asked.resource, now)?;
        if asked.counterpart.is_some() {
            pair.approvers(&ApprovalQuestion::Dual(asked), now)?;
        }
    }
    for (question, now) in genome.delegations(facts) {
        let asked = question.ask();
        pair.agree("check", &question, |it| check_delegation(it, &asked, now))?;
        pair.agree("explain", &question, |it| explain_delegation(it, &asked, now))?;
        pair.approvers(&ApprovalQuestion::Delegation(asked), now)?;
    }
    for (question, now) in genome.vault(facts) {
        let asked = question.ask();
        pair.agree("check", &question, |it| check_vault(it, &asked, now))?;
        pair.agree("explain", &question, |it| explain_vault(it, &asked, now))?;
        pair.lists(asked.subject, AnyPermission::Vault(asked.action), asked.entity, now)?;
    }
    for (question, existing, now) in genome.sessions(facts) {
        let (whole, grown) =
            (whole.with_sessions(existing.open()), grown.with_sessions(existing.open()));
        let pair = Pair { whole: &whole, grown: &grown };
        let asked = question.ask();
        pair.agree("check", &question, |it| check_session(it, &asked, now))?;
        pair.agree("explain", &question, |it| explain_session(it, &asked, now))?;
        pair.lists(asked.subject, AnyPermission::Session(asked.level), asked.computer, now)?;
        pair.approvers(&ApprovalQuestion::Session(asked), now)?;
    }
    Ok(())
}

/// A source of choices, the same for the same number.
#[derive(Debug, Clone)]
pub struct Draws(u64);

// === impl Draws ===

impl Draws {
    /// The source of this number.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `count`; 0 where there is none.
    ///
    /// # Panics
    /// Where memory is addressed with fewer than 31 bits.
    pub fn below(&mut self, count: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % count.max(1)
    }
}

/// Facts of the world as they are, or might have been: what histories put.
#[must_use]
pub fn pool(genome: &Genome) -> Vec<Fact> {
    (0..4).flat_map(|by| genome.rearranged(by).facts().iter().collect::<Vec<_>>()).collect()
}

/// A change set out of facts of the pool, and deletes.
pub fn change_set(draws: &mut Draws, facts: &Facts, pool: &[Fact]) -> Vec<Change> {
    let present: Vec<_> = facts.iter().map(|fact| fact.key()).collect();
    let structural = |kind: FactKind| {
        matches!(kind, FactKind::Location | FactKind::BusinessRole | FactKind::ResourceType)
    };
    let size = [1, 1, 1, 2, 5][draws.below(5)];
    let mut changes = Vec::new();
    while changes.len() < size {
        let put = present.is_empty() || draws.below(3) > 0;
        let (key, change) = if put {
            let fact = pool[draws.below(pool.len())].clone();
            (fact.key(), Change::Put(fact))
        } else {
            let key = present[draws.below(present.len())].clone();
            (key.clone(), Change::Delete { key, cascade: draws.below(4) > 0 })
        };
        // With those the whole policy is compiled, which is to happen now and then only.
        if !structural(key.kind()) || draws.below(12) == 0 {
            changes.push(change);
        }
    }
    changes
}
