//! Whatever the history, what was compiled change set by change set answers as what is compiled as a whole
//! does: every decision, every explanation, every list (house rule 14).

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Mutex;

use pdp_engine::compile::{compile, compile_on, recompile};
use pdp_engine::facts::FactKind;
use pdp_engine::query::Revision;
use pdp_tests::history::{Draws, agree, change_set, pool};
use pdp_tests::proof::{for_worlds, for_worlds_of_size};
use pdp_tests::world::Genome;

/// How many change sets a history has at most.
const STEPS: usize = 24;

fn hold_histories(genome: &Genome, seen: &Mutex<BTreeMap<FactKind, u64>>) -> Result<(), String> {
    let whole = genome.facts();
    let pool = pool(genome);
    let mut draws = Draws::new(pool.len() as u64 * 77 + whole.assignments().len() as u64);
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
        // By one thread and by two in turn, as at a start.
        let threads = NonZeroUsize::new(1 + step % 2).unwrap();
        let whole = compile_on(threads, &facts, revision);
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
