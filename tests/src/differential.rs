//! The engine against the oracle without end: random worlds of every family, and histories of change sets
//! in which every published snapshot has to answer as the oracle does, and as one compiled whole.
//!
//! World `n` of a seed is the same on every machine. A difference is made small and written as a case
//! file ([`case`]) that expects what the oracle says.

pub mod case;
mod fault;
mod historic;
mod shrink;
mod tally;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pdp_engine::compile::compile;
use pdp_engine::facts::Facts;
use pdp_engine::query::Revision;
use pdp_engine::snapshot::Snapshot;
use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::asked::{Asked, Told};
use case::{Case, fails, worded};
pub use fault::Fault;
use shrink::shrunk;
pub use tally::Tally;

use crate::oracle::{Existing, Oracle};
use crate::world::Genome;

/// How many questions of each family are put to a world.
const QUESTIONS: usize = 100;

/// One world in so many has a history.
const HISTORIES: u64 = 16;

/// One in so many is a few times as large, and one much larger.
const LARGER: (u64, u64) = (8, 64);

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which worlds are made.
    pub seed: u64,
    /// The first of them.
    pub first: u64,
    /// When so many checks have been made, the worlds that are begun are finished.
    pub checks: u64,
    /// The same after this time.
    pub time: Duration,
    /// On so many threads.
    pub threads: usize,
    /// With this mistake.
    pub fault: Option<Fault>,
    /// How many change sets a history has.
    pub steps: usize,
}

/// A difference, made small.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The world in which it was found.
    pub world: u64,
    /// The case file, or for a snapshot that grew wrong what led there.
    pub text: String,
    /// The text is a case file that fails where it is run.
    pub replays: bool,
}

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was asked.
    pub tally: Tally,
    /// The first difference.
    pub difference: Option<Difference>,
}

// === impl Plan ===

impl Plan {
    /// Does it; `progress` is told what there is so far after every world.
    ///
    /// # Panics
    /// If a thread does.
    pub fn run(&self, progress: impl Fn(&Tally) + Sync) -> Report {
        let (next, over) = (AtomicU64::new(self.first), AtomicBool::new(false));
        let (total, found) = (Mutex::new(Tally::default()), Mutex::new(None));
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        let world = next.fetch_add(1, Ordering::Relaxed);
                        let (tally, outcome) = self.world(world);
                        let mut total = total.lock().unwrap();
                        total.add(&tally);
                        progress(&total);
                        let enough = total.checks() >= self.checks || begun.elapsed() >= self.time;
                        if let Err(difference) = outcome {
                            found.lock().unwrap().get_or_insert(difference);
                            over.store(true, Ordering::Relaxed);
                        }
                        if enough {
                            over.store(true, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        Report { tally: total.into_inner().unwrap(), difference: found.into_inner().unwrap() }
    }

    /// World `n` of the seed.
    fn genome(&self, n: u64) -> Genome {
        let size = match n {
            _ if n % LARGER.1 == 5 => 6,
            _ if n % LARGER.0 == 3 => 2,
            _ => 1,
        };
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&n.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let tree = Genome::strategy(size, QUESTIONS).new_tree(&mut runner);
        tree.expect("every genome is one").current()
    }

    fn world(&self, n: u64) -> (Tally, Result<(), Difference>) {
        let (genome, mut tally) = (self.genome(n), Tally::default());
        tally.world();
        let outcome = if n % HISTORIES == HISTORIES - 1 {
            self.history(n, &genome, &mut tally)
        } else {
            let facts = genome.facts();
            let snapshot = compile(&facts, Revision::new(1));
            let found = self.ask(&genome, &facts, &snapshot, &mut tally);
            found.map_err(|case| self.difference(n, *case))
        };
        (tally, outcome)
    }

    /// The policy as the reference has it.
    fn reference(&self, facts: &Facts) -> Option<Facts> {
        self.fault.map(|fault| fault.misread(facts))
    }

    /// Asks a snapshot and the oracle everything that the world has questions for.
    fn ask(
        &self,
        genome: &Genome,
        facts: &Facts,
        snapshot: &Snapshot,
        tally: &mut Tally,
    ) -> Result<(), Box<Case>> {
        let existing = genome.existing(facts);
        let misread = self.reference(facts);
        let read = misread.as_ref().unwrap_or(facts);
        let beside = snapshot.with_sessions(existing.open());
        let mut put = |asked: Asked<'_>, snapshot: &Snapshot, existing: &Existing, now| {
            let expected = asked.put_to(&Oracle::new(read, now).beside(existing));
            if asked.decide(snapshot, now) == expected {
                tally.note(asked.family(), &expected);
                return Ok(());
            }
            let (facts, existing) = (facts.clone(), existing.clone());
            Err(Box::new(Case { facts, existing, question: asked.owned(), now }))
        };
        for (question, now) in genome.questions(facts) {
            put(Asked::Access(question.ask()), &beside, &existing, now)?;
        }
        for (question, now) in genome.delegations(facts) {
            put(Asked::Delegation(question.ask()), &beside, &existing, now)?;
        }
        for (question, now) in genome.vault(facts) {
            put(Asked::Vault(question.ask()), &beside, &existing, now)?;
        }
        for (question, existing, now) in genome.sessions(facts) {
            let snapshot = snapshot.with_sessions(existing.open());
            put(Asked::Session(question.ask()), &snapshot, &existing, now)?;
        }
        Ok(())
    }

    /// What the reference says.
    fn expected(&self, case: &Case) -> Told {
        let misread = self.reference(&case.facts);
        let facts = misread.as_ref().unwrap_or(&case.facts);
        Asked::of(&case.question).put_to(&Oracle::new(facts, case.now).beside(&case.existing))
    }

    /// Whether the engine, compiled whole, says something else.
    fn differs(&self, case: &Case) -> bool {
        let snapshot = compile(&case.facts, Revision::new(1));
        let snapshot = snapshot.with_sessions(case.existing.open());
        Asked::of(&case.question).decide(&snapshot, case.now) != self.expected(case)
    }

    /// The case as its file says it, if that still differs and its file fails.
    fn written(&self, case: &Case, about: &str) -> Option<String> {
        let read = Case::read(&case.text(&self.expected(case), about))?;
        let text = read.text(&self.expected(&read), about);
        (self.differs(&read) && fails(&text)).then_some(text)
    }

    fn difference(&self, world: u64, case: Case) -> Difference {
        let about = format!("world {world} of seed {}", self.seed);
        // What a file has no words for may go while it is made small.
        let small = if self.written(&case, &about).is_some() {
            shrunk(case, &|case| self.written(case, &about).is_some())
        } else {
            let small = shrunk(case, &|case| self.differs(case));
            match self.written(&small, &about) {
                Some(_) => shrunk(small, &|case| self.written(case, &about).is_some()),
                None => small,
            }
        };
        if let Some(text) = self.written(&small, &about) {
            return Difference { world, text, replays: true };
        }
        let Case { facts, existing, question, now } = &small;
        let told = Asked::of(question)
            .decide(&compile(facts, Revision::new(1)).with_sessions(existing.open()), *now);
        let text = format!(
            "{about}: a case file has no words for this\n{question} at {} microseconds\n\
             the oracle says {}, the engine {}\nbeside the policy: {existing}\n{}",
            now.as_micros(),
            worded(&self.expected(&small)),
            worded(&told),
            pdp_bundle::export::export(facts)
        );
        Difference { world, text, replays: false }
    }
}
