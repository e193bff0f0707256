//! Change sets are atomic and leave a valid policy, whatever they hold (semantics, section 9).

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Mutex;

use pdp_engine::actor::ActorRef;
use pdp_engine::check::check;
use pdp_engine::compile::compile;
use pdp_engine::delegate::check_delegation;
use pdp_engine::facts::{Applied, Change, Fact, FactKey, Facts};
use pdp_engine::level::Assignment;
use pdp_engine::permission::Qualifier;
use pdp_engine::psm::{Eligibility, EligibilityKey, EligibilityKind, EligibilityScope};
use pdp_engine::query::{Decision, Malformed, Revision};
use pdp_engine::resource::ResourceRef;
use pdp_engine::session::check_session;
use pdp_engine::share::{Entity, Share};
use pdp_engine::time::Timestamp;
use pdp_engine::vault::check_vault;
use pdp_tests::oracle::{Answer, Existing, Oracle, Refused};
use pdp_tests::proof::for_worlds;
use pdp_tests::world::{Genome, OwnedQuestion};

/// The policy as one change set is accepted, and gives the same policy.
fn is_valid(facts: &Facts) -> Result<(), String> {
    let changes: Vec<Change> = facts.iter().map(Change::Put).collect();
    let mut again = Facts::default();
    again.apply(&changes).map_err(|rejected| format!("the state is not valid: {rejected}"))?;
    if again == *facts { Ok(()) } else { Err("the state is not as it would be written".into()) }
}

/// Whether the actor is the deleted thing, or half of it.
fn rests_on(to: &ActorRef, deleted: &FactKey) -> bool {
    match (to, deleted) {
        (ActorRef::Person(id), FactKey::Person(key)) => id == key,
        (ActorRef::Account(id), FactKey::Account(key)) => id == key,
        (ActorRef::Group(id), FactKey::Group(key)) => id == key,
        (ActorRef::SetGroup(id), FactKey::SetGroup(key)) => id == key,
        (ActorRef::BusinessRoleLocation(id, _), FactKey::BusinessRole(key)) => id == key,
        (ActorRef::BusinessRoleLocation(_, id), FactKey::Location(key)) => id == key,
        (ActorRef::ManagementRole(id), FactKey::ManagementRole(key)) => id == key,
        (ActorRef::ManagementRoleDefinition(id), FactKey::ManagementRoleDefinition(key)) => {
            id == key
        }
        _ => false,
    }
}

/// Whether the object is the deleted thing.
fn is_of(object: &ResourceRef, deleted: &FactKey) -> bool {
    match (object.type_name.as_str(), deleted) {
        ("UserAccount", FactKey::Account(id)) => id.as_str() == object.id.as_str(),
        (_, FactKey::Resource(name)) => name == object,
        _ => false,
    }
}

/// Whether the share is to the deleted thing or of it.
fn shares_with_or_of(share: &Share, deleted: &FactKey) -> bool {
    let of = match (&share.key.on, deleted) {
        (Entity::Group(id), FactKey::ResourceGroup(key)) => id == key,
        (Entity::Resource(name), key) => is_of(name, key),
        (Entity::Group(_), _) => false,
    };
    of || rests_on(&share.key.to.actor(), deleted)
}

/// Whether the eligibility is to the deleted thing, on it, in it or for it.
fn names(eligibility: &Eligibility, deleted: &FactKey) -> bool {
    let EligibilityKey { to, level, scope, kind: _ } = &eligibility.key;
    let scope = match (scope, deleted) {
        (EligibilityScope::On(id), key) => is_of(&ResourceRef::computer(id), key),
        (EligibilityScope::In(id), FactKey::Location(key)) => id == key,
        (EligibilityScope::In(_), _) => false,
    };
    let level = matches!(deleted, FactKey::PermissionLevel(key) if level == key);
    scope || level || rests_on(to, deleted)
}

/// What a cascading delete must never take: what bars an actor that stays, be it an assignment
/// that denies something or an exclusion.
fn kept_denials(before: &Facts, applied: &Applied, deleted: &FactKey) -> Result<(), String> {
    let denies = |assignment: &Assignment| {
        let level = before.access_level(&assignment.level).unwrap();
        level.operations.values().chain(level.rights.values()).any(|it| *it == Qualifier::Denied)
    };
    for delta in &applied.deltas {
        if let (Some(Fact::Assignment(gone)), None) = (&delta.before, &delta.after)
            && delta.key != *deleted
            && denies(gone)
            && !rests_on(&gone.to, deleted)
        {
            return Err(format!("deleting {deleted} took the denial {} along", gone.id));
        }
        if let (Some(Fact::Eligibility(gone)), None) = (&delta.before, &delta.after)
            && delta.key != *deleted
            && gone.key.kind == EligibilityKind::Excluded
            && !rests_on(&gone.key.to, deleted)
        {
            return Err(format!("deleting {deleted} took the exclusion {} along", gone.key));
        }
    }
    Ok(())
}

/// Nothing is gone but the deleted thing, assignments, and shares and eligibilities that name it;
/// and of what settings for sessions, computers of accounts and parents say, nothing is changed.
fn only_links_went(applied: &Applied, deleted: &FactKey) -> Result<(), String> {
    for delta in applied.deltas.iter().filter(|delta| delta.key != *deleted) {
        let as_it_should = match (&delta.before, &delta.after) {
            (Some(Fact::Assignment(_)), None) => true,
            (Some(Fact::Share(gone)), None) => shares_with_or_of(gone, deleted),
            (Some(Fact::Eligibility(gone)), None) => names(gone, deleted),
            (Some(Fact::Account(was)), Some(Fact::Account(is))) => was.computer == is.computer,
            (Some(Fact::Resource(was)), Some(Fact::Resource(is))) => was.parent == is.parent,
            (Some(Fact::Psm(_)), _) | (_, None) => false,
            _ => true,
        };
        if !as_it_should {
            return Err(format!("deleting {deleted} took {} along", delta.key));
        }
        if let (Some(Fact::Account(was)), Some(Fact::Account(is))) = (&delta.before, &delta.after)
            && was.owner.is_some()
            && is.owner.is_none()
            && is.enabled
        {
            return Err(format!("{} lost its owner and is still enabled", delta.key));
        }
    }
    Ok(())
}

/// What went with the deleted thing, in words.
fn took(applied: &Applied, deleted: &FactKey) -> Vec<&'static str> {
    let others = || applied.deltas.iter().filter(|delta| delta.key != *deleted);
    let went = |kind: fn(&FactKey) -> bool| {
        others().any(|delta| delta.after.is_none() && kind(&delta.key))
    };
    let mut words = vec![if others().next().is_some() { "took links along" } else { "alone" }];
    words.extend(went(|key| matches!(key, FactKey::Share(_))).then_some("took shares along"));
    words.extend(
        went(|key| matches!(key, FactKey::Eligibility(_))).then_some("took eligibilities along"),
    );
    words
}

#[test]
fn deletes_are_all_or_nothing_and_leave_a_valid_policy() {
    let seen: Mutex<BTreeMap<&str, u64>> = Mutex::default();
    for_worlds(240, 0, |genome| {
        let facts = genome.facts();
        for key in facts.iter().map(|fact| fact.key()) {
            for cascade in [false, true] {
                let mut after = facts.clone();
                let change = Change::Delete { key: key.clone(), cascade };
                let words = match after.apply(&[change]) {
                    Err(_) if after != facts => {
                        return Err(format!("a refused delete of {key} left something"));
                    }
                    Err(_) => vec!["refused"],
                    Ok(applied) => {
                        is_valid(&after).map_err(|why| format!("without {key}: {why}"))?;
                        kept_denials(&facts, &applied, &key)?;
                        only_links_went(&applied, &key)?;
                        let words = took(&applied, &key);
                        after.undo(applied);
                        if after != facts {
                            return Err(format!("undoing the delete of {key} left something"));
                        }
                        words
                    }
                };
                let mut seen = seen.lock().unwrap();
                words.into_iter().for_each(|word| *seen.entry(word).or_default() += 1);
            }
        }
        Ok(())
    });
    let seen = seen.into_inner().unwrap();
    println!("deletes: {seen:?}");
    assert_eq!(seen.len(), 5, "{seen:?}");
}

/// Facts of the world put in one by one, and half of them taken out again: what is refused leaves
/// nothing, and what the engine decides from what is left is what the oracle decides.
#[test]
fn any_sequence_of_writes_leaves_what_the_oracle_decides_from() {
    let counts: Mutex<(u64, u64, u64)> = Mutex::default();
    for_worlds(400, 40, |genome| {
        let whole = genome.facts();
        let (mut facts, existing) = (whole.clone(), genome.existing(&whole));
        let (mut taken, mut refused, mut decided) = (0, 0, 0);
        // Questions bring the choices along: each has a number from its own text.
        for (n, (question, now)) in genome.questions(&whole).into_iter().enumerate() {
            let keys: Vec<FactKey> = whole.iter().map(|fact| fact.key()).collect();
            let pick = question.to_string().bytes().map(usize::from).sum::<usize>() * 31 + n * 7;
            let key = &keys[pick % keys.len()];
            let change = match (facts.get(key), whole.get(key)) {
                (None, Some(fact)) => Change::Put(fact),
                _ => Change::Delete { key: key.clone(), cascade: n % 3 != 0 },
            };
            let before = facts.clone();
            match facts.apply(&[change]) {
                Ok(_) => taken += 1,
                Err(_) if facts == before => refused += 1,
                Err(rejected) => return Err(format!("{rejected} left something")),
            }
            let outcome = agrees(&facts, &existing, &question, now).and_then(|()| match n % 8 {
                0 => families_agree(&facts, genome, n / 8),
                _ => Ok(()),
            });
            outcome.map_err(|why| format!("{why}\n{}", pdp_bundle::export::export(&facts)))?;
            decided += 1;
        }
        is_valid(&facts)?;
        let mut counts = counts.lock().unwrap();
        *counts = (counts.0 + taken, counts.1 + refused, counts.2 + decided);
        Ok(())
    });
    println!("(taken, refused, decided): {:?}", counts.into_inner().unwrap());
}

fn agrees(
    facts: &Facts,
    existing: &Existing,
    question: &OwnedQuestion,
    now: Timestamp,
) -> Result<(), String> {
    let snapshot = compile(facts, Revision::new(1)).with_sessions(existing.open());
    let oracle = Oracle::new(facts, now).beside(existing).decide(&question.ask());
    same(question, oracle, check(&snapshot, &question.ask(), now))
}

/// One question of each other family, in the same words whatever has been written since.
fn families_agree(facts: &Facts, genome: &Genome, n: usize) -> Result<(), String> {
    let whole = genome.facts();
    let existing = genome.existing(&whole);
    let snapshot = compile(facts, Revision::new(1)).with_sessions(existing.open());
    if let Some((question, now)) = genome.delegations(&whole).into_iter().nth(n) {
        let oracle = Oracle::new(facts, now).beside(&existing).decide_delegation(&question.ask());
        same(&question, oracle, check_delegation(&snapshot, &question.ask(), now))?;
    }
    if let Some((question, now)) = genome.vault(&whole).into_iter().nth(n) {
        let oracle = Oracle::new(facts, now).beside(&existing).decide_vault(&question.ask());
        same(&question, oracle, check_vault(&snapshot, &question.ask(), now))?;
    }
    if let Some((question, existing, now)) = genome.sessions(&whole).into_iter().nth(n) {
        let oracle = Oracle::new(facts, now).beside(&existing).decide_session(&question.ask());
        let snapshot = snapshot.with_sessions(existing.open());
        let engine = check_session(&snapshot, &question.ask(), now);
        let oracle = oracle.map(|(answer, _)| answer);
        same(&question, oracle, engine.map(|decided| decided.decision))?;
    }
    Ok(())
}

fn same(
    question: &impl Debug,
    oracle: Result<Answer, Refused>,
    engine: Result<Decision, Malformed>,
) -> Result<(), String> {
    let engine = engine.map(|it| (it.effect, it.reason)).map_err(|_| Refused);
    if oracle == engine {
        return Ok(());
    }
    Err(format!("{question:?}: {oracle:?}, not {engine:?}"))
}
