//! The long comparison of engine and oracle (`differential`), for a short time; and with mistakes made on
//! purpose, which it has to find, make small and write down.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::fs;
use std::process::Command;
use std::time::Duration;

use pdp_bundle::case::{CaseFile, run_in_process};
use pdp_engine::time::Timestamp;
use pdp_tests::differential::{Difference, Fault, Plan};

/// A difference of one fact needs about so many more: whom, what, where, and their types.
const SMALL: usize = 12;

fn plan(checks: u64) -> Plan {
    Plan {
        seed: 0,
        first: 0,
        checks,
        time: Duration::MAX,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        fault: None,
        steps: 40,
    }
}

#[test]
fn the_engine_decides_as_the_oracle_does() {
    let report = plan(20_000).run(|_| {});
    println!("{}", report.tally);
    assert!(report.difference.is_none(), "{}", report.difference.unwrap().text);
    assert!(report.tally.checks() >= 20_000 && report.tally.steps() > 0);
    for family in ["access", "delegation", "vault", "session"] {
        assert!(report.tally.answered(family, "GRANTED") > 0, "nothing of {family} is granted");
    }
}

#[test]
fn the_same_seed_asks_the_same() {
    let [one, other] = [plan(2_000), Plan { threads: 1, ..plan(2_000) }]
        .map(|it| Plan { threads: 1, ..it }.run(|_| {}).tally.to_string());
    assert_eq!(one, other);
    let third = Plan { seed: 1, threads: 1, ..plan(2_000) }.run(|_| {}).tally.to_string();
    assert_ne!(one, third);
}

fn found(fault: Fault) -> Difference {
    let plan = Plan { fault: Some(fault), threads: 1, ..plan(u64::MAX) };
    plan.run(|_| {}).difference.unwrap()
}

/// What the file says fails against the engine, which is right, and is small.
fn fails_small(difference: &Difference) {
    assert!(difference.replays, "{}", difference.text);
    let case = CaseFile::parse("case", &difference.text, |_| Err(String::new()));
    let case = case.unwrap_or_else(|error| panic!("{error}\n{}", difference.text));
    let report = run_in_process(&case, Timestamp::MIN).unwrap();
    assert_eq!((report.failed(), report.passed()), (1, 0), "{}", difference.text);
    let facts = case.bundle.changes().len();
    assert!(facts <= SMALL, "{facts} facts are not small:\n{}", difference.text);
}

#[test]
fn a_denial_that_is_not_heard_is_found_and_made_small() {
    let difference = found(Fault::SkippedDeny);
    fails_small(&difference);
    assert!(difference.text.contains("denied"), "{}", difference.text);
}

#[test]
fn a_window_that_ends_late_is_found_and_made_small() {
    let difference = found(Fault::LateEnd);
    fails_small(&difference);
    assert!(difference.text.contains("valid_until"), "{}", difference.text);
}

#[test]
fn groups_that_are_not_followed_are_found_and_made_small() {
    fails_small(&found(Fault::FlatGroups));
}

#[test]
fn what_stays_after_a_delete_is_found_and_its_history_made_short() {
    let difference = found(Fault::StaleDelete);
    assert!(!difference.replays);
    let text = &difference.text;
    // What goes stale, its delete, and whatever shows it.
    let short = (2..=4).any(|sets| text.contains(&format!("after {sets} change sets")));
    assert!(short && text.contains("delete "), "{text}");
}

#[test]
fn the_program_ends_with_1_and_writes_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("found.yaml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_differential"));
    command.args(["--fault", "skipped-deny", "--threads", "1", "--out"]).arg(&file);
    let output = command.output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("seed 0") && told.contains("pdpctl test"), "{told}");
    let text = fs::read_to_string(&file).unwrap();
    fails_small(&Difference { world: 0, text, replays: true });
    let mut command = Command::new(env!("CARGO_BIN_EXE_differential"));
    let output = command.args(["--checks", "500"]).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("no difference"), "{told}");
}
