//! The compiled engine decides what the oracle decides, on random worlds (house rule 14).

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::sync::Mutex;
use std::time::Instant;

use pdp_engine::check::check;
use pdp_engine::compile::compile;
use pdp_engine::explain::explain;
use pdp_engine::query::{Question, Revision};
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;
use pdp_tests::oracle::{Answer, Oracle, Refused};
use pdp_tests::proof::{for_worlds, for_worlds_of_size};
use pdp_tests::tally::Tally;
use pdp_tests::world::Genome;

const REVISION: Revision = Revision::new(7);

/// What must be asked about at least this often, in per cent of the decisions.
const RAREST: f64 = 0.2;

/// The engine's answer; `check` and `explain` must agree on it.
fn engine(
    snapshot: &Snapshot,
    question: &Question<'_>,
    now: Timestamp,
) -> Result<Result<Answer, Refused>, String> {
    let decided = check(snapshot, question, now);
    let explained = explain(snapshot, question, now).map(|explanation| explanation.decision);
    if decided != explained {
        return Err(format!("check says {decided:?} and explain says {explained:?}"));
    }
    match decided {
        Ok(decision) if decision.revision != REVISION => {
            Err(format!("the decision names revision {}", decision.revision))
        }
        Ok(decision) => Ok(Ok((decision.effect, decision.reason))),
        Err(_) => Ok(Err(Refused)),
    }
}

/// Asks a world everything it has questions for.
fn hold_to_the_oracle(genome: &Genome, total: &Mutex<Tally>) -> Result<(), String> {
    let facts = genome.facts();
    let existing = genome.existing(&facts);
    let snapshot = compile(&facts, REVISION).with_sessions(existing.open());
    let mut tally = Tally::default();
    for (question, now) in genome.questions(&facts) {
        let oracle = Oracle::new(&facts, now).beside(&existing);
        let asked = question.ask();
        let at = now.as_micros();
        let expected = oracle.decide(&asked);
        let actual =
            engine(&snapshot, &asked, now).map_err(|why| format!("{question} at {at}: {why}"))?;
        if expected != actual {
            return Err(format!(
                "{question} at {at}: the oracle says {expected:?}, the engine {actual:?}"
            ));
        }
        match expected {
            Ok(answer) => tally.note(&oracle, &asked, answer),
            Err(Refused) => tally.note_refused(),
        }
    }
    total.lock().unwrap().add(&tally);
    Ok(())
}

#[test]
fn check_and_explain_decide_as_the_oracle_does() {
    let (total, begun) = (Mutex::new(Tally::default()), Instant::now());
    for_worlds(8_000, 150, |genome| hold_to_the_oracle(genome, &total));
    let total = total.into_inner().unwrap();
    println!("{}\nin {:.1} s", total.table(), begun.elapsed().as_secs_f64());
    let rare = total.rarer_than(RAREST);
    assert!(rare.is_empty(), "rarer than {RAREST} % of the decisions: {rare:?}");
}

#[test]
fn they_do_in_large_worlds_too() {
    let (total, begun) = (Mutex::new(Tally::default()), Instant::now());
    for_worlds_of_size(48, 7, 60, |genome| hold_to_the_oracle(genome, &total));
    let total = total.into_inner().unwrap();
    let took = begun.elapsed().as_secs_f64();
    println!("{} decisions in large worlds in {took:.1} s", total.decisions());
}
