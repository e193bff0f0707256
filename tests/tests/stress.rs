//! Readers ask while writers publish as fast as they can: every answer is the oracle's at the answer's own
//! revision, and revisions never go back (semantics, sections 8 and 9).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use pdp_engine::facts::{Change, Facts};
use pdp_engine::id::TenantId;
use pdp_engine::query::Revision;
use pdp_server::clock::Clock;
use pdp_server::publish::{Apply, Publisher};
use pdp_server::store::Store;
use pdp_tests::asked::Asked;
use pdp_tests::history::{Draws, change_set, pool};
use pdp_tests::oracle::{Existing, Oracle};
use pdp_tests::world::{Genome, NOON};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use redb::backends::InMemoryBackend;

/// How many change sets each tenant is sent.
const CHANGE_SETS: usize = 3_000;

/// How many questions of a family a reader puts to one snapshot.
const QUESTIONS: usize = 2;

/// How many readers each tenant has.
const READERS: usize = 2;

/// A tenant: what its policy was at every revision.
struct Tenant {
    id: TenantId,
    genome: Genome,
    facts: Mutex<BTreeMap<Revision, Arc<Facts>>>,
    done: AtomicBool,
}

// === impl Tenant ===

impl Tenant {
    fn new(name: &str, genome: Genome) -> Self {
        let facts = Mutex::new(BTreeMap::from([(Revision::ZERO, Arc::default())]));
        let id = TenantId::new(name).unwrap();
        Self { id, genome, facts, done: AtomicBool::new(false) }
    }

    fn at(&self, revision: Revision) -> Arc<Facts> {
        Arc::clone(self.facts.lock().unwrap().get(&revision).unwrap())
    }

    /// Publishes change set after change set.
    fn write(&self, publisher: &Publisher, seed: u64) {
        let (pool, mut draws) = (pool(&self.genome), Draws::new(seed));
        let (mut facts, mut revision) = (Facts::default(), Revision::ZERO);
        for n in 0..CHANGE_SETS {
            let changes: Vec<Change> = match n {
                0 => self.genome.changes(),
                _ => change_set(&mut draws, &facts, &pool),
            };
            let Ok(applied) = facts.apply(&changes) else { continue };
            if !applied.deltas.is_empty() {
                revision = revision.next();
                // A reader may see it before whoever wrote it is told.
                self.facts.lock().unwrap().insert(revision, Arc::new(facts.clone()));
            }
            let apply = Apply {
                changes: &changes,
                expected: None,
                dry_run: false,
                request_id: None,
                on_behalf_of: None,
            };
            let receipt = publisher.apply(&self.id, apply).unwrap();
            assert_eq!(receipt.revision, revision);
            assert_eq!(publisher.revision(self.id.as_str()), Some(revision), "not visible");
        }
        self.done.store(true, Ordering::Release);
    }

    /// Asks until nothing is written any more, and once more then; returns how many checks and revisions.
    fn read(&self, publisher: &Publisher) -> (u64, u64) {
        let (mut checks, mut revisions, mut last) = (0, 0, None);
        let (mut turn, nothing) = (0, Existing::default());
        loop {
            let done = self.done.load(Ordering::Acquire);
            let snapshot = publisher.snapshot(self.id.as_str()).unwrap();
            let revision = snapshot.revision();
            assert!(last <= Some(revision), "after revision {last:?} came {revision}");
            revisions += u64::from(last != Some(revision));
            last = Some(revision);
            let facts = self.at(revision);
            let asking = self.genome.asking(turn, QUESTIONS);
            turn += QUESTIONS;
            let mut put = |asked: Asked<'_>, now| {
                let expected = asked.put_to(&Oracle::new(&facts, now).beside(&nothing));
                assert_eq!(
                    asked.decide(&snapshot, now),
                    expected,
                    "{} at {revision}",
                    asked.owned()
                );
                checks += 1;
            };
            let (access, vault) = (asking.questions(&facts), asking.vault(&facts));
            access.iter().for_each(|(it, now)| put(Asked::Access(it.ask()), *now));
            vault.iter().for_each(|(it, now)| put(Asked::Vault(it.ask()), *now));
            let (handed, sessions) = (asking.delegations(&facts), asking.sessions(&facts));
            handed.iter().for_each(|(it, now)| put(Asked::Delegation(it.ask()), *now));
            sessions.iter().for_each(|(it, _, now)| put(Asked::Session(it.ask()), *now));
            if done {
                return (checks, revisions);
            }
        }
    }
}

#[test]
fn every_answer_is_the_oracle_s_at_its_own_revision_while_others_write() {
    let store = Store::with_backend(InMemoryBackend::new()).unwrap();
    let publisher = Publisher::open(store, Clock::fixed(NOON)).unwrap();
    let mut runner = TestRunner::deterministic();
    let genomes = Genome::strategy(1, 60);
    let tenants: Vec<Tenant> = ["one", "other"]
        .into_iter()
        .map(|name| Tenant::new(name, genomes.new_tree(&mut runner).unwrap().current()))
        .collect();
    let (checks, revisions) = (AtomicU64::new(0), AtomicU64::new(0));
    for tenant in &tenants {
        publisher.create_tenant(&tenant.id).unwrap();
    }
    std::thread::scope(|scope| {
        for (n, tenant) in tenants.iter().enumerate() {
            let publisher = &publisher;
            let (checks, revisions) = (&checks, &revisions);
            scope.spawn(move || tenant.write(publisher, n as u64));
            for _ in 0..READERS {
                scope.spawn(move || {
                    let (asked, seen) = tenant.read(publisher);
                    checks.fetch_add(asked, Ordering::Relaxed);
                    revisions.fetch_add(seen, Ordering::Relaxed);
                });
            }
        }
    });
    let (checks, revisions) = (checks.into_inner(), revisions.into_inner());
    println!("{checks} checks at {revisions} revisions, as readers saw them");
    assert!(checks > 0);
}
