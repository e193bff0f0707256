//! Every cell of a made-up access matrix, in process and over gRPC; the real ones are in
//! `matrices.rs`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use pdp_client::{Effect, Permission, Question, Resource, Subject};
use pdp_engine::time::Timestamp;
use pdp_server::clock::Clock;
use pdp_server::publish::{DEFAULT_TENANT, Publisher};
use pdp_server::store::Store;
use pdp_tests::door::Server;
use pdp_tests::matrix::{Matrix, OPERATION, TYPE};

const NOW: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

#[test]
fn every_cell_is_decided_as_the_pairs_say() {
    let matrix = Matrix::synthetic(1, 400, 300, 60);
    let folder = tempfile::tempdir().unwrap();
    let publisher = matrix.publish(folder.path());
    let decided = matrix.decide_every_cell(&publisher.snapshot(DEFAULT_TENANT).unwrap(), NOW);
    println!(
        "{} users, {} permissions, {} roles: {} allowed, {} denied, {:.0} ns a decision",
        matrix.users.len(),
        matrix.permissions.len(),
        matrix.roles.len(),
        decided.allows,
        decided.denies,
        decided.median_ns
    );
    assert_eq!(decided.allows, matrix.pairs());
    assert!(decided.denies > decided.allows && decided.allows > 10_000, "{decided:?}");
    drop(publisher);
    let publisher = Publisher::open(Store::open(folder.path()).unwrap(), Clock::system()).unwrap();
    let again = matrix.decide_every_cell(&publisher.snapshot(DEFAULT_TENANT).unwrap(), NOW);
    assert_eq!(again.allows, decided.allows);
}

#[test]
fn every_cell_is_decided_over_grpc_as_the_pairs_say() {
    let matrix = Matrix::synthetic(2, 80, 60, 20);
    let server = Server::start();
    server.set_clock(NOW);
    let door = server.tenant("matrix", &matrix.changes()).unwrap();
    let mut cells = Vec::new();
    for (user, allowed) in matrix.users.iter().zip(&matrix.allowed) {
        for (at, permission) in matrix.permissions.iter().enumerate() {
            let operation = Permission::operation(OPERATION.name);
            let resource = Resource::new(TYPE, permission);
            let question = Question::new(Subject::person(user), operation, resource);
            let expected = if allowed.contains(&at) { Effect::Allow } else { Effect::Deny };
            cells.push((question, expected));
        }
    }
    let questions: Vec<Question> = cells.iter().map(|(question, _)| question.clone()).collect();
    for ((question, expected), actual) in cells.iter().zip(door.effects(&questions)) {
        assert_eq!(actual, *expected, "{question:?}");
    }
    println!("{} cells over gRPC", cells.len());
    server.stop();
}
