//! What one change costs the facts of a large policy, kind by kind: validating it, applying it and
//! taking it back, without compiling and without the disk.
//!
//! Run with `cargo bench -p pdp-loadtest --bench changes -- ASSIGNMENTS`; a million without a number.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use pdp_engine::facts::{Change, Fact, FactKind, Facts};
use pdp_engine::id::LocationId;
use pdp_loadtest::organisation::Organisation;
use pdp_loadtest::shape::Shape;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How many facts of each kind are changed, one at a time.
const SAMPLES: usize = 101;

/// How long one kind may take before fewer samples have to do.
const PATIENCE: Duration = Duration::from_secs(3);

fn main() {
    let size = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    let organisation = Organisation::new(Shape::sized(size), 1).unwrap();
    let begun = Instant::now();
    let threads = std::thread::available_parallelism().unwrap();
    let mut facts = Facts::load_on(threads, organisation.facts()).unwrap();
    println!("{} facts made and loaded in {:.1?}", facts.len(), begun.elapsed());
    for kind in [
        FactKind::Assignment,
        FactKind::Group,
        FactKind::Person,
        FactKind::Resource,
        FactKind::Share,
        FactKind::Eligibility,
        FactKind::Location,
        FactKind::ManagementRole,
    ] {
        let all: Vec<Fact> = facts.of_kind(kind).collect();
        let some: Vec<&Fact> = all.iter().step_by((all.len() / SAMPLES).max(1)).collect();
        let put = |fact: &Fact| vec![Change::Put(moved(fact))];
        report(&mut facts, kind, "changed", &some, put);
        let delete = |fact: &Fact| vec![Change::Delete { key: fact.key(), cascade: false }];
        report(&mut facts, kind, "deleted", &some, delete);
        let taken = |fact: &Fact| vec![Change::Delete { key: fact.key(), cascade: true }];
        report(&mut facts, kind, "deleted with cascade", &some, taken);
    }
}

/// Applies a change set for each of these facts and takes it back; a refusal counts as well.
fn report(
    facts: &mut Facts,
    kind: FactKind,
    what: &str,
    some: &[&Fact],
    changes: impl Fn(&Fact) -> Vec<Change>,
) {
    let (mut times, mut refused, begun) = (Vec::new(), 0, Instant::now());
    for fact in some {
        let changes = changes(fact);
        let started = Instant::now();
        let applied = facts.apply(&changes);
        times.push(started.elapsed());
        match applied {
            Ok(applied) => facts.undo(applied),
            Err(_) => refused += 1,
        }
        if begun.elapsed() > PATIENCE {
            break;
        }
    }
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    let (median, late) = (at(50), at(99));
    let name = format!("{} {what}", kind.as_str());
    println!(
        "{name:40} median {median:>10.1?}  p99 {late:>10.1?}  {refused} of {} refused",
        times.len()
    );
}

/// The fact with something about it changed.
fn moved(fact: &Fact) -> Fact {
    let place = LocationId::new("l0").unwrap();
    match fact.clone() {
        Fact::Assignment(mut it) => {
            let assignment = Arc::make_mut(&mut it);
            assignment.window.until = Some(pdp_engine::time::Timestamp::MAX);
            Fact::Assignment(it)
        }
        Fact::Group(mut it) => {
            Arc::make_mut(&mut it).members.pop();
            Fact::Group(it)
        }
        Fact::Person(mut it) => {
            Arc::make_mut(&mut it).locations.push(place);
            Fact::Person(it)
        }
        Fact::Resource(mut it) => {
            Arc::make_mut(&mut it).locations.push(place);
            Fact::Resource(it)
        }
        Fact::ManagementRole(mut it) => {
            Arc::make_mut(&mut it).members.pop();
            Fact::ManagementRole(it)
        }
        Fact::Eligibility(mut it) => {
            Arc::make_mut(&mut it).window.until = Some(pdp_engine::time::Timestamp::MAX);
            Fact::Eligibility(it)
        }
        other => other,
    }
}
