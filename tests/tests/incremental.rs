//! Whatever the history, what was compiled change set by change set answers as what is compiled as a whole
//! does: every decision, every explanation, every list (house rule 14).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Mutex;

use pdp_engine::check::check;
use pdp_engine::compile::{compile, recompile};
use pdp_engine::delegate::{check_delegation, explain_delegation};
use pdp_engine::explain::{Explanation, Gap, NearMiss, explain};
use pdp_engine::facts::{Change, Fact, FactKind, Facts};
use pdp_engine::list::{
    AnyPermission, ApprovalQuestion, SubjectKinds, list_approvers, list_permissions,
    list_resources, list_subjects,
};
use pdp_engine::query::{ObjectRef, Revision, SubjectRef};
use pdp_engine::session::{check_session, explain_session};
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;
use pdp_engine::vault::{check_vault, explain_vault};
use pdp_tests::proof::{for_worlds, for_worlds_of_size};
use pdp_tests::world::Genome;

/// How many change sets a history has at most.
const STEPS: usize = 24;

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
fn agree(genome: &Genome, facts: &Facts, whole: &Snapshot, grown: &Snapshot) -> Result<(), String> {
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

/// A source of choices.
struct Draws(u64);

impl Draws {
    fn below(&mut self, count: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % count.max(1)
    }
}

/// A change set out of facts as they are, or might have been, and deletes.
fn change_set(draws: &mut Draws, facts: &Facts, pool: &[Fact]) -> Vec<Change> {
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

fn hold_histories(genome: &Genome, seen: &Mutex<BTreeMap<FactKind, u64>>) -> Result<(), String> {
    let whole = genome.facts();
    let pool: Vec<Fact> =
        (0..4).flat_map(|by| genome.rearranged(by).facts().iter().collect::<Vec<_>>()).collect();
    let mut draws = Draws(pool.len() as u64 * 77 + whole.assignments().len() as u64);
    let mut facts = whole;
    let mut grown = compile(&facts, Revision::new(1));
    let mut touched: BTreeMap<FactKind, u64> = BTreeMap::new();
    for step in 0..STEPS {
        let changes = change_set(&mut draws, &facts, &pool);
        let Ok(applied) = facts.apply(&changes) else { continue };
        let revision = Revision::new(2 + step as u64);
        grown = recompile(&grown, &facts, &applied.deltas, revision);
        for delta in &applied.deltas {
            *touched.entry(delta.key.kind()).or_default() += 1;
        }
        let whole = compile(&facts, revision);
        agree(genome, &facts, &whole, &grown).map_err(|why| {
            let shown: Vec<_> = applied.deltas.iter().map(|delta| format!("{delta:?}")).collect();
            format!(
                "after step {step}, {}\n{why}\n{}",
                shown.join("\n"),
                pdp_bundle::export::export(&facts)
            )
        })?;
    }
    let mut seen = seen.lock().unwrap();
    touched.into_iter().for_each(|(kind, count)| *seen.entry(kind).or_default() += count);
    Ok(())
}

#[test]
fn a_policy_that_grew_answers_as_one_that_was_compiled_whole() {
    let seen = Mutex::default();
    for_worlds(600, 12, |genome| hold_histories(genome, &seen));
    let seen = seen.into_inner().unwrap();
    println!("facts changed: {seen:?}");
    let never: Vec<_> = FactKind::ALL.iter().filter(|kind| !seen.contains_key(kind)).collect();
    // The library of types does not change in these worlds.
    assert!(never.iter().all(|kind| **kind == FactKind::ResourceType), "never changed: {never:?}");
}

#[test]
fn it_does_in_large_worlds_too() {
    let seen = Mutex::default();
    for_worlds_of_size(16, 6, 40, |genome| hold_histories(genome, &seen));
}
