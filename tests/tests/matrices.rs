//! Every cell of the real access matrices, loaded through change sets and decided. Built only with
//! the feature `access-matrices`; `PDP_ACCESS_MATRICES` names the folder (tests/README.md).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::env;
use std::path::PathBuf;
use std::time::Instant;

use pdp_client::{Effect, Permission, Question, Resource, Subject};
use pdp_engine::time::Timestamp;
use pdp_server::clock::Clock;
use pdp_server::publish::{DEFAULT_TENANT, Publisher};
use pdp_server::store::Store;
use pdp_tests::door::Server;
use pdp_tests::matrix::{Matrix, OPERATION, TYPE};

const NOW: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

/// The matrix, held against the counts that its publication names.
fn read(name: &str, users: usize, permissions: usize, pairs: usize, roles: usize) -> Matrix {
    let folder = env::var("PDP_ACCESS_MATRICES").expect("PDP_ACCESS_MATRICES names no folder");
    let matrix = Matrix::read(&PathBuf::from(folder), name);
    let counts = [matrix.users.len(), matrix.permissions.len(), matrix.pairs(), matrix.roles.len()];
    assert_eq!(counts, [users, permissions, pairs, roles], "{name}");
    matrix
}

/// In process, on a store of its own.
fn decide(matrix: &Matrix) {
    let folder = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let publisher = matrix.publish(folder.path());
    let loaded_ms = begun.elapsed().as_millis();
    let decided = matrix.decide_every_cell(&publisher.snapshot(DEFAULT_TENANT).unwrap(), NOW);
    println!(
        "{}: {} cells, {} allowed, {} denied, all as the pairs say; {:.0} ns a decision (median \
         over users); loaded in {loaded_ms} ms",
        matrix.name,
        decided.allows + decided.denies,
        decided.allows,
        decided.denies,
        decided.median_ns,
    );
    assert_eq!(decided.allows, matrix.pairs());
    drop(publisher);

    // What was acknowledged is there after a restart.
    let begun = Instant::now();
    let publisher = Publisher::open(Store::open(folder.path()).unwrap(), Clock::system()).unwrap();
    let opened_ms = begun.elapsed().as_millis();
    let again = matrix.decide_every_cell(&publisher.snapshot(DEFAULT_TENANT).unwrap(), NOW);
    assert_eq!(again.allows, decided.allows);
    let files = std::fs::read_dir(folder.path()).unwrap();
    let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    println!(
        "{}: started again in {opened_ms} ms (store opened, policy loaded and compiled) from \
         {:.1} MiB of store; every cell as before",
        matrix.name,
        bytes as f64 / f64::from(1 << 20),
    );
}

/// Over gRPC: Apply, then BatchCheck.
fn decide_through_the_door(matrix: &Matrix) {
    let server = Server::start();
    server.set_clock(NOW);
    let door = server.tenant("matrix", &matrix.changes()).unwrap();
    let question = |user: &String, permission: &String| {
        let operation = Permission::operation(OPERATION.name);
        Question::new(Subject::person(user), operation, Resource::new(TYPE, permission))
    };
    let mut cells = 0;
    for (user, allowed) in matrix.users.iter().zip(&matrix.allowed) {
        let row: Vec<Question> =
            matrix.permissions.iter().map(|permission| question(user, permission)).collect();
        for (at, effect) in door.effects(&row).into_iter().enumerate() {
            let expected = if allowed.contains(&at) { Effect::Allow } else { Effect::Deny };
            assert_eq!(effect, expected, "{:?}", row[at]);
            cells += 1;
        }
    }
    assert_eq!(cells, matrix.users.len() * matrix.permissions.len());
    println!("{}: {cells} cells over gRPC, all as the pairs say", matrix.name);
    server.stop();
}

#[test]
fn every_cell_of_domino() {
    let matrix = read("domino", 79, 231, 730, 20);
    decide(&matrix);
    decide_through_the_door(&matrix);
}

#[test]
fn every_cell_of_hc() {
    let matrix = read("hc", 46, 46, 1_486, 14);
    decide(&matrix);
    decide_through_the_door(&matrix);
}

#[test]
fn every_cell_of_fire1() {
    let matrix = read("fire1", 365, 709, 31_951, 66);
    decide(&matrix);
    decide_through_the_door(&matrix);
}

/// 5.5 million cells: with optimisation only.
#[cfg(not(debug_assertions))]
#[test]
fn every_cell_of_americas_small() {
    decide(&read("americas_small", 3_477, 1_587, 105_205, 178));
}
