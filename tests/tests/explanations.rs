//! Explanations hold against the facts, and what they imply comes true (semantics, section 8).

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
use pdp_engine::explain::{Entry, Explanation, Gap, HopKind, Side, Standing, explain};
use pdp_engine::facts::{Change, FactKey, Facts};
use pdp_engine::id::AccountId;
use pdp_engine::query::{Question, Reason, Revision};
use pdp_engine::time::{Timestamp, Window};
use pdp_tests::oracle::{Asked, Existing, Oracle, asked, strongest};
use pdp_tests::proof::for_worlds;
use pdp_tests::verify::{Verifier, repair};
use pdp_tests::world::Genome;

const REVISION: Revision = Revision::new(3);

/// A policy and what exists besides it.
#[derive(Clone, Copy)]
struct World<'a> {
    facts: &'a Facts,
    existing: &'a Existing,
}

impl<'a> World<'a> {
    fn verifier(self, now: Timestamp) -> Verifier<'a> {
        Verifier::new(self.facts, now).beside(self.existing)
    }

    /// Whether an assignment can name the subject and the object: none names an account that was made
    /// for a session.
    fn can_name(self, asked: &Asked) -> bool {
        let of_policy =
            |id: &str| AccountId::new(id).is_ok_and(|id| self.facts.account(&id).is_some());
        let subject = match &asked.subject {
            ActorRef::Account(id) => of_policy(id.as_str()),
            _ => true,
        };
        let is_account = asked.object.type_name.as_str() == "UserAccount";
        subject && (!is_account || of_policy(asked.object.id.as_str()))
    }
}

/// Explains every question of the world and hands what is explained to `property`.
fn for_explanations(
    worlds: u32,
    property: impl Fn(World<'_>, &Question<'_>, Timestamp, &Explanation) -> Result<(), String> + Sync,
) {
    for_worlds(worlds, 60, |genome: &Genome| {
        let facts = genome.facts();
        let existing = genome.existing(&facts);
        let snapshot = compile(&facts, REVISION).with_sessions(existing.open());
        let world = World { facts: &facts, existing: &existing };
        for (question, now) in genome.questions(&facts) {
            let asked = question.ask();
            let Ok(explanation) = explain(&snapshot, &asked, now) else { continue };
            property(world, &asked, now, &explanation).map_err(|why| {
                let at = now.as_micros();
                format!("{question} at {at} beside {existing}: {why}\n{explanation:#?}")
            })?;
        }
        Ok(())
    });
}

/// How often each thing was seen, printed and held to have been seen at all.
#[derive(Default)]
struct Seen(Mutex<BTreeMap<String, u64>>);

impl Seen {
    fn count(&self, key: &str) {
        *self.0.lock().unwrap().entry(key.to_owned()).or_default() += 1;
    }

    fn all_of(&self, keys: impl IntoIterator<Item = String>) {
        let seen = self.0.lock().unwrap();
        for (key, count) in &*seen {
            println!("{key:<40} {count:>9}");
        }
        for key in keys {
            assert!(seen.contains_key(&key), "{key} never occurred");
        }
    }
}

#[test]
fn every_hop_entry_and_near_miss_is_a_fact() {
    let seen = Seen::default();
    for_explanations(4_000, |world, question, now, explanation| {
        for side in &explanation.sides {
            for entry in &side.entries {
                seen.count(&format!("standing {}", entry.standing.as_str()));
                let coverage = entry.coverage.relation.iter().chain(&entry.coverage.placement);
                for hop in entry.subject_path.iter().chain(coverage) {
                    seen.count(&format!("hop {:?}", hop.kind));
                }
            }
            for miss in &side.near_misses {
                seen.count(&format!("gap {}", miss.gap.as_str()));
            }
        }
        world.verifier(now).explanation(question, explanation)
    });
    let standings = [Standing::Deciding, Standing::Masked, Standing::Outweighed];
    let gaps = [Gap::Window, Gap::Assignee, Gap::Scope];
    seen.all_of(
        (HopKind::ALL.iter().map(|kind| format!("hop {kind:?}")))
            .chain(standings.iter().map(|it| format!("standing {}", it.as_str())))
            .chain(gaps.iter().map(|gap| format!("gap {}", gap.as_str()))),
    );
}

fn set<T>(slot: Option<&mut T>, value: T) -> Option<()> {
    *slot? = value;
    Some(())
}

fn first_entry(explanation: &mut Explanation) -> Option<&mut Entry> {
    explanation.sides.first_mut()?.entries.first_mut()
}

/// The explanation made wrong in every way there is to try on it.
fn falsified(right: &Explanation) -> Vec<(&'static str, Explanation)> {
    let mut wrong = Vec::new();
    let mut attempt = |what, change: &dyn Fn(&mut Explanation) -> Option<()>| {
        let mut changed = right.clone();
        if change(&mut changed).is_some() && changed != *right {
            wrong.push((what, changed));
        }
    };
    let other_time = Timestamp::from_micros(42);
    let other_window = Window { from: Some(other_time), until: None };
    attempt("time", &|it| set(Some(&mut it.evaluated_at), other_time));
    attempt("reason", &|it| set(Some(&mut it.decision.reason), Reason::MissingOnBoth));
    attempt("side left out", &|it| it.sides.pop().map(drop));
    attempt("outcome", &|it| {
        set(it.sides.first_mut().map(|side| &mut side.outcome), Reason::UnknownSubject)
    });
    attempt("entry left out", &|it| it.sides.last_mut()?.entries.pop().map(drop));
    attempt("entry twice", &|it| {
        let entries = &mut it.sides.first_mut()?.entries;
        entries.push(entries.first()?.clone());
        Some(())
    });
    attempt("standing", &|it| {
        set(first_entry(it).map(|entry| &mut entry.standing), Standing::Masked)
    });
    attempt("path cut short", &|it| first_entry(it)?.subject_path.pop().map(drop));
    attempt("path without its start", &|it| {
        let path = &mut first_entry(it)?.subject_path;
        (!path.is_empty()).then(|| drop(path.remove(0)))
    });
    attempt("window of a hop", &|it| {
        let hop = first_entry(it)?.subject_path.last_mut();
        set(hop.map(|hop| &mut hop.window), other_window)
    });
    attempt("kind of a hop", &|it| {
        let hop = first_entry(it)?.subject_path.last_mut();
        set(hop.map(|hop| &mut hop.kind), HopKind::ReportsTo)
    });
    attempt("placement cut short", &|it| first_entry(it)?.coverage.placement.pop().map(drop));
    attempt("relation left out", &|it| set(Some(&mut first_entry(it)?.coverage.relation), vec![]));
    attempt("granting level left out", &|it| it.sides.first_mut()?.granting_levels.pop().map(drop));
    attempt("near misses left out", &|it| {
        let misses = &mut it.sides.first_mut()?.near_misses;
        let close = misses.iter().any(|miss| miss.subject_path.is_empty());
        close.then(|| misses.clear())
    });
    attempt("gap of a near miss", &|it| {
        let miss = it.sides.first_mut()?.near_misses.first_mut()?;
        let gap = if miss.gap == Gap::Scope { Gap::Window } else { Gap::Scope };
        set(Some(&mut miss.gap), gap)
    });
    wrong
}

#[test]
fn a_falsified_explanation_is_found_out() {
    let seen = Seen::default();
    for_explanations(400, |world, question, now, explanation| {
        for (what, wrong) in falsified(explanation) {
            if world.verifier(now).explanation(question, &wrong).is_ok() {
                return Err(format!("{what}: not noticed in {wrong:#?}"));
            }
            seen.count(what);
        }
        Ok(())
    });
    seen.all_of(["path cut short", "relation left out", "gap of a near miss"].map(str::to_owned));
}

/// What the engine and the oracle both decide for one side after some changes.
fn after(
    world: World<'_>,
    changes: &[Change],
    question: &Question<'_>,
    side: &Side,
    now: Timestamp,
) -> Result<Reason, String> {
    let mut facts = world.facts.clone();
    facts.apply(changes).map_err(|rejected| format!("refused: {rejected}"))?;
    let object = pdp_engine::query::ObjectRef {
        type_name: side.object.type_name.as_str(),
        id: side.object.id.as_str(),
    };
    let alone = Question::new(question.subject, question.permission, object);
    let snapshot = compile(&facts, REVISION.next()).with_sessions(world.existing.open());
    let engine = check(&snapshot, &alone, now);
    let oracle = Oracle::new(&facts, now).beside(world.existing).decide(&alone);
    match (engine, oracle) {
        (Ok(engine), Ok((effect, reason)))
            if (engine.effect, engine.reason) == (effect, reason) =>
        {
            Ok(reason)
        }
        (engine, oracle) => Err(format!("the engine says {engine:?}, the oracle {oracle:?}")),
    }
}

#[test]
fn without_the_deciding_entries_the_rest_decides() {
    let seen = Seen::default();
    for_explanations(1_500, |world, question, now, explanation| {
        for side in &explanation.sides {
            let decides = |standing: Standing| standing == Standing::Deciding;
            let (deciding, rest): (Vec<_>, Vec<_>) =
                side.entries.iter().partition(|entry| decides(entry.standing));
            if deciding.is_empty() {
                continue;
            }
            let changes: Vec<Change> = deciding
                .iter()
                .map(|entry| Change::Delete {
                    key: FactKey::Assignment(entry.assignment.clone()),
                    cascade: false,
                })
                .collect();
            let implied = strongest(rest.iter().map(|entry| entry.qualifier));
            let actual = after(world, &changes, question, side, now)?;
            if actual != implied {
                return Err(format!("without the deciding entries it is {actual:?}"));
            }
            seen.count(&format!("{} becomes {}", side.outcome.as_str(), actual.as_str()));
        }
        Ok(())
    });
    let all = [("EXPLICIT_DENY", "GRANTED"), ("GRANTED", "DISABLED"), ("DISABLED", "NOT_GRANTED")];
    seen.all_of(all.map(|(from, to)| format!("{from} becomes {to}")));
}

#[test]
fn a_near_miss_repaired_grants() {
    let seen = Seen::default();
    for_explanations(1_500, |world, question, now, explanation| {
        for side in &explanation.sides {
            for miss in &side.near_misses {
                let object = pdp_engine::query::ObjectRef {
                    type_name: side.object.type_name.as_str(),
                    id: side.object.id.as_str(),
                };
                let asked = asked(question.subject, question.permission, object)
                    .map_err(|_| "a name of the question is none".to_owned())?;
                if !world.can_name(&asked) {
                    continue;
                }
                let repaired = after(world, &[repair(&asked, miss, now)], question, side, now)
                    .map_err(|why| format!("repairing {}: {why}", miss.assignment))?;
                if repaired != Reason::Granted {
                    return Err(format!("repairing {} gives {repaired:?}", miss.assignment));
                }
                seen.count(&format!("repaired {}", miss.gap.as_str()));
            }
        }
        Ok(())
    });
    seen.all_of(["WINDOW", "ASSIGNEE", "SCOPE"].map(|gap| format!("repaired {gap}")));
}
