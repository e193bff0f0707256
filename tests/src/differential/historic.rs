//! Histories: change set after change set is published, and every snapshot is asked.

use pdp_bundle::export::{export, stream};
use pdp_engine::compile::{compile, recompile};
use pdp_engine::facts::{Change, Facts};
use pdp_engine::id::TenantId;
use pdp_engine::query::Revision;
use pdp_engine::snapshot::Snapshot;
use pdp_server::clock::Clock;
use pdp_server::publish::{Apply, Publisher};
use pdp_server::store::Store;
use redb::backends::InMemoryBackend;

use super::case::Case;
use super::{Difference, Fault, Plan, Tally};
use crate::asked::Asked;
use crate::history::{Draws, agree, change_set, pool};
use crate::oracle::Oracle;
use crate::world::{Genome, NOON};

/// How many questions of each family are put to every snapshot of a history.
const QUESTIONS: usize = 3;

/// One history in so many is this much longer.
const LONGER: (u64, usize) = (8, 10);

/// How many change sets of a history are written out.
const LISTED: usize = 20;

/// How often a shorter history is tried at most.
const MAX_ATTEMPTS: usize = 400;

/// The tenant whose policy it is.
const TENANT: &str = "default";

/// Shows the policy after each change set.
struct Shown {
    publisher: Publisher,
    tenant: TenantId,
    /// With the mistake: a snapshot that grew without what was deleted.
    stale: Option<Snapshot>,
}

// === impl Shown ===

impl Shown {
    fn new(fault: Option<Fault>) -> Self {
        let store = Store::with_backend(InMemoryBackend::new()).expect("memory takes everything");
        let publisher = Publisher::open(store, Clock::fixed(NOON)).expect("an empty store opens");
        let tenant = TenantId::new(TENANT).expect("a name");
        let empty = compile(&Facts::default(), Revision::ZERO);
        Self { publisher, tenant, stale: (fault == Some(Fault::StaleDelete)).then_some(empty) }
    }

    /// Publishes; `None` where the change set is refused.
    fn publish(&mut self, changes: &[Change]) -> Option<Revision> {
        let apply =
            Apply { changes, expected: None, dry_run: false, request_id: None, on_behalf_of: None };
        self.publisher.apply(&self.tenant, apply).ok().map(|receipt| receipt.revision)
    }

    /// The snapshot; `facts` and `changes` are what it was made of.
    fn snapshot(&mut self, before: &Facts, changes: &[Change]) -> Snapshot {
        match &mut self.stale {
            Some(grown) => {
                *grown = grow(grown, &mut before.clone(), changes, true);
                grown.clone()
            }
            None => {
                let shown = self.publisher.snapshot(TENANT).expect("the tenant is there");
                Snapshot::clone(&shown)
            }
        }
    }
}

/// The snapshot after a change set, if it is accepted.
fn grow(grown: &Snapshot, facts: &mut Facts, changes: &[Change], stale: bool) -> Snapshot {
    let Ok(mut applied) = facts.apply(changes) else { return grown.clone() };
    if applied.deltas.is_empty() {
        return grown.clone();
    }
    if stale {
        applied.deltas.retain(|delta| delta.after.is_some());
    }
    recompile(grown, facts, &applied.deltas, grown.revision().next())
}

// === impl Plan ===

impl Plan {
    /// Publishes change set after change set and asks every snapshot.
    pub(super) fn history(
        &self,
        world: u64,
        genome: &Genome,
        tally: &mut Tally,
    ) -> Result<(), Difference> {
        tally.history();
        let (pool, mut draws) = (pool(genome), Draws::new(self.seed ^ world.rotate_left(32)));
        let longer = (world / super::HISTORIES).is_multiple_of(LONGER.0);
        let steps = self.steps * if longer { LONGER.1 } else { 1 };
        let (mut facts, mut shown) = (Facts::default(), Shown::new(self.fault));
        let mut log: Vec<Vec<Change>> = Vec::new();
        for step in 0..steps {
            let changes = match step {
                0 => genome.changes(),
                _ => change_set(&mut draws, &facts, &pool),
            };
            let before = facts.clone();
            let applied = facts.apply(&changes).is_ok();
            let published = shown.publish(&changes);
            assert_eq!(applied, published.is_some(), "world {world}, step {step}: {changes:?}");
            let Some(revision) = published else { continue };
            let grown = shown.snapshot(&before, &changes);
            log.push(changes);
            tally.step();
            let asking = genome.asking(step * QUESTIONS, QUESTIONS);
            if let Err(case) = self.ask(&asking, &facts, &grown, tally) {
                if self.differs(&case) {
                    return Err(self.difference(world, *case));
                }
                let why = format!("{} is answered otherwise", case.question);
                return Err(self.grown_wrong(world, log, &why, &|facts, grown| {
                    Self::grew_apart(&case, facts, grown)
                }));
            }
            let whole = compile(&facts, revision);
            if let Err(why) = agree(&asking, &facts, &whole, &grown) {
                return Err(self.grown_wrong(world, log, &why, &|facts, grown| {
                    let whole = compile(facts, grown.revision());
                    agree(&asking, facts, &whole, grown).is_err()
                }));
            }
        }
        Ok(())
    }

    /// Whether the snapshot that grew answers the question otherwise than the oracle.
    fn grew_apart(case: &Case, facts: &Facts, grown: &Snapshot) -> bool {
        let asked = Asked::of(&case.question);
        let oracle = Oracle::new(facts, case.now).beside(&case.existing);
        let grown = grown.with_sessions(case.existing.open());
        asked.decide(&grown, case.now) != asked.put_to(&oracle)
    }

    /// What led to a snapshot that answers otherwise than one compiled whole, as short as it gets.
    fn grown_wrong(
        &self,
        world: u64,
        log: Vec<Vec<Change>>,
        why: &str,
        wrong: &dyn Fn(&Facts, &Snapshot) -> bool,
    ) -> Difference {
        let stale = self.fault == Some(Fault::StaleDelete);
        let still = |log: &[Vec<Change>]| {
            let (mut facts, mut grown) =
                (Facts::default(), compile(&Facts::default(), Revision::ZERO));
            for changes in log {
                grown = grow(&grown, &mut facts, changes, stale);
            }
            wrong(&facts, &grown)
        };
        let short = if still(&log) { thinned(shortened(log, &still), &still) } else { log };
        let mut facts = Facts::default();
        let mut sets = String::new();
        let last = short.len().saturating_sub(LISTED);
        for (n, changes) in short.iter().enumerate() {
            if n == last {
                sets.push_str(&format!("policy after {n} change sets:\n{}", export(&facts)));
            }
            if n >= last {
                sets.push_str(&format!("change set {}:\n{}", n + 1, worded(changes)));
            }
            // A change set that lost what it built upon is refused, here as above.
            drop(facts.apply(changes));
        }
        let text = format!(
            "world {world} of seed {}: a snapshot that grew is not what the policy says, after {} \
             change sets: {why}\n{sets}",
            self.seed,
            short.len()
        );
        Difference { world, text, replays: false }
    }
}

/// The change sets without whatever can go of each.
fn thinned(log: Vec<Vec<Change>>, still: &dyn Fn(&[Vec<Change>]) -> bool) -> Vec<Vec<Change>> {
    let mut log = log;
    for set in 0..log.len() {
        for change in (0..log[set].len()).rev() {
            let mut without = log.clone();
            without[set].remove(change);
            if still(&without) {
                log = without;
            }
        }
    }
    log
}

/// A change set, a line a change.
fn worded(changes: &[Change]) -> String {
    let line = |change: &Change| match change {
        Change::Put(fact) => stream([fact.clone()]).collect::<String>(),
        Change::Delete { key, cascade: true } => format!("delete {key}, cascade\n"),
        Change::Delete { key, cascade: false } => format!("delete {key}\n"),
    };
    changes.iter().map(line).collect()
}

/// The history without whatever can go: runs of change sets, ever shorter ones.
fn shortened(log: Vec<Vec<Change>>, still: &dyn Fn(&[Vec<Change>]) -> bool) -> Vec<Vec<Change>> {
    let (mut log, mut left) = (log, MAX_ATTEMPTS);
    let mut run = log.len().div_ceil(2);
    while run > 0 {
        let mut at = 0;
        while at < log.len() && left > 0 {
            let end = (at + run).min(log.len());
            let without = [&log[..at], &log[end..]].concat();
            left -= 1;
            if still(&without) { log = without } else { at = end }
        }
        run /= 2;
    }
    log
}
