//! Change sets are atomic and leave a valid policy, whatever they hold (semantics, section 9).

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::collections::BTreeMap;
use std::sync::Mutex;

use pdp_engine::actor::ActorRef;
use pdp_engine::check::check;
use pdp_engine::compile::compile;
use pdp_engine::facts::{Applied, Change, Fact, FactKey, Facts};
use pdp_engine::level::Assignment;
use pdp_engine::permission::Qualifier;
use pdp_engine::query::Revision;
use pdp_tests::oracle::{Oracle, Refused};
use pdp_tests::proof::for_worlds;

/// The policy as one change set is accepted, and gives the same policy.
fn is_valid(facts: &Facts) -> Result<(), String> {
    let changes: Vec<Change> = facts.iter().map(Change::Put).collect();
    let mut again = Facts::default();
    again.apply(&changes).map_err(|rejected| format!("the state is not valid: {rejected}"))?;
    if again == *facts { Ok(()) } else { Err("the state is not as it would be written".into()) }
}

/// What a cascading delete must never take: an assignment that denies something to another actor.
fn kept_denials(before: &Facts, applied: &Applied, deleted: &FactKey) -> Result<(), String> {
    let denies = |assignment: &Assignment| {
        let level = before.access_level(&assignment.level).unwrap();
        level.operations.values().chain(level.rights.values()).any(|it| *it == Qualifier::Denied)
    };
    let own = |to: &ActorRef| match (to, deleted) {
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
    };
    for delta in &applied.deltas {
        if let (Some(Fact::Assignment(gone)), None) = (&delta.before, &delta.after)
            && delta.key != *deleted
            && denies(gone)
            && !own(&gone.to)
        {
            return Err(format!("deleting {deleted} took the denial {} along", gone.id));
        }
    }
    Ok(())
}

/// What is left names the deleted thing nowhere, and nothing but it and assignments are gone.
fn only_links_went(applied: &Applied, deleted: &FactKey) -> Result<(), String> {
    for delta in &applied.deltas {
        let gone = delta.after.is_none() && delta.key != *deleted;
        if gone && !matches!(delta.key, FactKey::Assignment(_)) {
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

#[test]
fn deletes_are_all_or_nothing_and_leave_a_valid_policy() {
    let seen: Mutex<BTreeMap<&str, u64>> = Mutex::default();
    for_worlds(240, 0, |genome| {
        let facts = genome.facts();
        for key in facts.iter().map(|fact| fact.key()) {
            for cascade in [false, true] {
                let mut after = facts.clone();
                let change = Change::Delete { key: key.clone(), cascade };
                let word = match after.apply(&[change]) {
                    Err(_) if after != facts => {
                        return Err(format!("a refused delete of {key} left something"));
                    }
                    Err(_) => "refused",
                    Ok(applied) => {
                        is_valid(&after).map_err(|why| format!("without {key}: {why}"))?;
                        kept_denials(&facts, &applied, &key)?;
                        only_links_went(&applied, &key)?;
                        let links = applied.deltas.len() > 1;
                        after.undo(applied);
                        if after != facts {
                            return Err(format!("undoing the delete of {key} left something"));
                        }
                        if links { "took links along" } else { "alone" }
                    }
                };
                *seen.lock().unwrap().entry(word).or_default() += 1;
            }
        }
        Ok(())
    });
    let seen = seen.into_inner().unwrap();
    println!("deletes: {seen:?}");
    assert_eq!(seen.len(), 3, "{seen:?}");
}

/// Facts of the world put in one by one, and half of them taken out again: what is refused leaves
/// nothing, and what the engine decides from what is left is what the oracle decides.
#[test]
fn any_sequence_of_writes_leaves_what_the_oracle_decides_from() {
    let counts: Mutex<(u64, u64, u64)> = Mutex::default();
    for_worlds(400, 40, |genome| {
        let whole = genome.facts();
        let mut facts = whole.clone();
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
            let snapshot = compile(&facts, Revision::new(1));
            let oracle = Oracle::new(&facts, now).decide(&question.ask());
            let engine = check(&snapshot, &question.ask(), now);
            let engine = engine.map(|it| (it.effect, it.reason)).map_err(|_| Refused);
            if oracle != engine {
                let policy = pdp_bundle::export::export(&facts);
                return Err(format!("{question}: {oracle:?}, not {engine:?}\n{policy}"));
            }
            decided += 1;
        }
        is_valid(&facts)?;
        let mut counts = counts.lock().unwrap();
        *counts = (counts.0 + taken, counts.1 + refused, counts.2 + decided);
        Ok(())
    });
    println!("(taken, refused, decided): {:?}", counts.into_inner().unwrap());
}
