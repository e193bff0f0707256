//! How long a decision takes in process, on an access matrix of 3,477 users and 1,587 permissions:
//! the real one if `PDP_ACCESS_MATRICES` names its folder, else a made-up one of that shape.
//!
//! Run with `cargo bench -p pdp-tests`. Each question is new: the questions of a bench are walked
//! in an order without pattern, so that caches and branch predictors find what they would in
//! service.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "a measurement")]

use std::env;
use std::path::PathBuf;
use std::sync::LazyLock;

use divan::{Bencher, black_box};
use pdp_engine::check::check;
use pdp_engine::compile::compile;
use pdp_engine::explain::explain;
use pdp_engine::facts::Facts;
use pdp_engine::list::{AnyPermission, SubjectKinds, list_resources, list_subjects};
use pdp_engine::query::{ObjectRef, Revision, SubjectRef};
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;
use pdp_tests::matrix::{Matrix, OPERATION, TYPE};

const NOW: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

/// How many cells of each kind are asked about in turn.
const CELLS: usize = 1 << 16;

struct World {
    matrix: Matrix,
    facts: Facts,
    snapshot: Snapshot,
    allowed: Vec<(usize, usize)>,
    denied: Vec<(usize, usize)>,
    uniform: Vec<(usize, usize)>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let matrix = match env::var("PDP_ACCESS_MATRICES") {
        Ok(folder) => Matrix::read(&PathBuf::from(folder), "americas_small"),
        Err(_) => Matrix::synthetic(3, 3_477, 1_587, 178),
    };
    let mut facts = Facts::default();
    facts.apply(&matrix.changes()).unwrap();
    let snapshot = compile(&facts, Revision::new(1));
    let (users, permissions) = (matrix.users.len(), matrix.permissions.len());
    // Multiples of a number that shares no factor with the size visit every cell in a wild order.
    let cells = users * permissions;
    let step = (2_654_435_761_usize..).find(|step| gcd(*step, cells) == 1).unwrap();
    let wild = (0..cells).map(|n| n * step % cells).map(|n| (n / permissions, n % permissions));
    let is_allowed =
        |(user, permission): &(usize, usize)| matrix.allowed[*user].contains(permission);
    let allowed = wild.clone().filter(is_allowed).take(CELLS).collect();
    let denied = wild.clone().filter(|cell| !is_allowed(cell)).take(CELLS).collect();
    let uniform = wild.take(CELLS).collect();
    World { matrix, facts, snapshot, allowed, denied, uniform }
});

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn main() {
    LazyLock::force(&WORLD);
    divan::main();
}

/// Asks about one cell after the other, for ever.
fn decide(bencher: Bencher<'_, '_>, cells: &[(usize, usize)]) {
    let mut turn = cells.iter().cycle();
    bencher.with_inputs(|| turn.next().copied().unwrap()).bench_local_values(
        |(user, permission)| {
            check(&WORLD.snapshot, black_box(&WORLD.matrix.question(user, permission)), NOW)
        },
    );
}

#[divan::bench(sample_size = 1_000, sample_count = 200)]
fn check_allow(bencher: Bencher<'_, '_>) {
    decide(bencher, &WORLD.allowed);
}

#[divan::bench(sample_size = 1_000, sample_count = 200)]
fn check_deny(bencher: Bencher<'_, '_>) {
    decide(bencher, &WORLD.denied);
}

#[divan::bench(sample_size = 1_000, sample_count = 200)]
fn check_uniform(bencher: Bencher<'_, '_>) {
    decide(bencher, &WORLD.uniform);
}

/// To be held against `check_uniform`.
#[divan::bench(sample_size = 10, sample_count = 100)]
fn explain_uniform(bencher: Bencher<'_, '_>) {
    let mut turn = WORLD.uniform.iter().cycle();
    bencher.with_inputs(|| turn.next().copied().unwrap()).bench_local_values(
        |(user, permission)| {
            explain(&WORLD.snapshot, black_box(&WORLD.matrix.question(user, permission)), NOW)
        },
    );
}

/// Everything that one user may use: complete, in order, each candidate checked.
#[divan::bench(sample_size = 1, sample_count = 200)]
fn list_resources_of_a_user(bencher: Bencher<'_, '_>) {
    let mut users = WORLD.matrix.users.iter().cycle();
    bencher.with_inputs(|| users.next().unwrap()).bench_local_values(|user| {
        let subject = SubjectRef::Person(user);
        let permission = AnyPermission::Access(OPERATION);
        list_resources(&WORLD.snapshot, subject, permission, TYPE, NOW)
    });
}

/// Everybody who may use one thing.
#[divan::bench(sample_size = 1, sample_count = 200)]
fn list_subjects_of_a_resource(bencher: Bencher<'_, '_>) {
    let mut permissions = WORLD.matrix.permissions.iter().cycle();
    bencher.with_inputs(|| permissions.next().unwrap()).bench_local_values(|id| {
        let object = ObjectRef { type_name: TYPE, id };
        let (permission, kinds) = (AnyPermission::Access(OPERATION), SubjectKinds::People);
        list_subjects(&WORLD.snapshot, permission, object, kinds, NOW)
    });
}

#[divan::bench(sample_count = 20)]
fn compile_whole() -> Snapshot {
    compile(black_box(&WORLD.facts), Revision::new(2))
}
