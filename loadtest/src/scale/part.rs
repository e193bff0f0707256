//! What is measured in one process: the policy in memory, a store, a start.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use pdp_engine::check::check;
use pdp_engine::compile::compile;
use pdp_engine::facts::{Change, Facts};
use pdp_engine::query::Revision;
use pdp_engine::snapshot::Snapshot;
use pdp_server::store::FILE_NAME;
use tokio::runtime::Runtime;

use super::{Each, ScaleError};
use crate::drive::Connection;
use crate::embedded::{Embedded, fill};
use crate::memory::{peak, resident};
use crate::organisation::{NOW, Organisation};
use crate::questions::{Ask, Mix, Workload as _, hold, sample};
use crate::random::{Dice, Purpose, Skew};
use crate::shape::Shape;
use crate::targets::miss::Chase;
use crate::targets::{Spread, TargetsError, served, startup};
use crate::wire::Requests;

/// How many questions stay in the caches, and how often they are asked in a round.
const HOT: usize = 64;
const HOT_CHECKS: usize = 200_000;

/// How long compiling is repeated; it is done once at least.
const COMPILING: Duration = Duration::from_secs(30);

/// A part of a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Facts, compiling and checks in process.
    Policy,
    /// Writing a store.
    Store,
    /// Starting a server on it.
    Start,
}

/// What the policy costs in process.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct PolicyFigures {
    /// How many facts there are, assignments and everything else.
    pub facts: u64,
    /// Validating the facts as one change set, in milliseconds.
    pub validate_ms: f64,
    /// Compiling all of it, in milliseconds.
    pub compile_ms: f64,
    /// A check of one of a few questions that stay in the caches, in nanoseconds.
    pub hot_ns: f64,
    /// A check of questions with uniform keys, each asked once a round, in nanoseconds.
    pub cold_ns: f64,
    /// One dependent access to memory, in nanoseconds.
    pub miss_ns: f64,
    /// What the facts take, in bytes resident.
    pub facts_bytes: Option<u64>,
    /// How much more is resident with the compiled snapshot; nothing where it fits into what loading the
    /// facts gave back to the allocator.
    pub snapshot_bytes: Option<u64>,
    /// The most memory that the process had.
    pub peak_bytes: Option<u64>,
}

/// What the store costs.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct StoreFigures {
    /// Writing the policy as one change set, compiled, durable and visible, in milliseconds.
    pub write_ms: f64,
    /// The size of the file, in bytes.
    pub file_bytes: u64,
    /// The most memory that the process had.
    pub peak_bytes: Option<u64>,
}

/// What a start costs.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct StartFigures {
    /// Until the first answer, the file being out of the file cache, in milliseconds.
    pub ready_ms: f64,
    /// Reading a file of as many bytes in one go, out of the file cache, too.
    pub read_ms: f64,
    /// What the process has in memory when it is ready.
    pub ready_bytes: Option<u64>,
    /// The most memory that the process had.
    pub peak_bytes: Option<u64>,
}

// === impl Part ===

impl Part {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Store => "store",
            Self::Start => "start",
        }
    }
}

impl PolicyFigures {
    /// Measures it.
    ///
    /// # Errors
    /// [`ScaleError`] if there is no such policy.
    pub fn measure(size: u64, each: &Each) -> Result<Self, ScaleError> {
        let organisation = organisation(size, each)?;
        let chase = Chase::new(each.buffer_mib.saturating_mul(1 << 20), each.seed);
        let before = resident();
        let begun = Instant::now();
        let held = hold(organisation.facts());
        let facts = held.map_err(|rejected| TargetsError::Rejected(rejected.to_string()))?;
        let validate_ms = ms(begun);
        let with_facts = resident();
        let (snapshot, compile_ms) = compiled(&facts, each.rounds);
        let with_snapshot = resident();
        let count = facts.len() as u64;
        let mix = Mix { skew: Skew::Uniform, allow: 0.5, count: each.questions, seed: each.seed };
        let asks = sample(&organisation, &snapshot, mix, NOW).map_err(TargetsError::from)?;
        drop(facts);
        let some = asks.get(..HOT.min(asks.len())).unwrap_or_default();
        let (mut hot, mut cold, mut misses) = (vec![], vec![], vec![]);
        for round in 0..each.rounds {
            misses.push(chase.miss_ns(round as u32));
            cold.push(check_ns(&snapshot, &asks, 1));
            hot.push(check_ns(&snapshot, some, HOT_CHECKS / HOT));
        }
        let beside = |less: Option<u64>, more: Option<u64>| Some(more?.saturating_sub(less?));
        Ok(Self {
            facts: count,
            validate_ms,
            compile_ms,
            hot_ns: median(&hot),
            cold_ns: median(&cold),
            miss_ns: median(&misses),
            facts_bytes: beside(before, with_facts),
            snapshot_bytes: beside(with_facts, with_snapshot).filter(|more| *more > 0),
            peak_bytes: peak(),
        })
    }
}

impl StoreFigures {
    /// Writes a store into the folder.
    ///
    /// # Errors
    /// [`ScaleError`] if there is no such policy or the disk fails.
    pub fn measure(size: u64, each: &Each, folder: &Path) -> Result<Self, ScaleError> {
        let changes: Vec<Change> = organisation(size, each)?.changes().collect();
        let begun = Instant::now();
        fill(folder, &changes).map_err(TargetsError::from)?;
        let write_ms = ms(begun);
        let file_bytes = std::fs::metadata(folder.join(FILE_NAME))?.len();
        Ok(Self { write_ms, file_bytes, peak_bytes: peak() })
    }
}

impl StartFigures {
    /// Starts a server on the store in the folder.
    ///
    /// # Errors
    /// [`ScaleError`] if it does not start.
    pub fn measure(size: u64, each: &Each, folder: &Path) -> Result<Self, ScaleError> {
        let organisation = organisation(size, each)?;
        let mut dice = Dice::at(each.seed, Purpose::Question, 0);
        let ask = organisation.any(&mut dice, Skew::Uniform);
        let requests = Requests::checks("", &[ask]).unexpected();
        let (store, flat) = (folder.join(FILE_NAME), folder.join("flat"));
        std::fs::copy(&store, &flat)?;
        startup::forget(&flat)?;
        let begun = Instant::now();
        startup::read(&flat)?;
        let read_ms = ms(begun);
        let runtime = Runtime::new()?;
        startup::forget(&store)?;
        let begun = Instant::now();
        let server = Embedded::start(folder).map_err(TargetsError::from)?;
        runtime.block_on(async {
            let mut connection = Connection::open(server.endpoint()).await?;
            served::until_ready(&mut connection, &requests).await
        })?;
        let ready_ms = ms(begun);
        let ready_bytes = resident();
        server.stop().map_err(TargetsError::from)?;
        Ok(Self { ready_ms, read_ms, ready_bytes, peak_bytes: peak() })
    }
}

fn organisation(size: u64, each: &Each) -> Result<Organisation, ScaleError> {
    Ok(Organisation::new(Shape::sized(size), each.seed).map_err(TargetsError::from)?)
}

/// Compiles again and again, each time into memory that the one before has given back.
fn compiled(facts: &Facts, rounds: usize) -> (Snapshot, f64) {
    let (begun, mut taken) = (Instant::now(), Vec::new());
    loop {
        let one = Instant::now();
        let snapshot = compile(facts, Revision::new(1));
        taken.push(ms(one));
        if taken.len() >= rounds || begun.elapsed() > COMPILING {
            return (snapshot, median(&taken));
        }
    }
}

/// Nanoseconds a check, over these questions so many times.
fn check_ns(snapshot: &Snapshot, asks: &[Ask], times: usize) -> f64 {
    let begun = Instant::now();
    for ask in (0..times).flat_map(|_| asks) {
        // Whether it is a question was held when it was drawn.
        black_box(&check(snapshot, &ask.as_question(), NOW).is_ok());
    }
    begun.elapsed().as_nanos() as f64 / (asks.len() * times).max(1) as f64
}

fn ms(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}

fn median(values: &[f64]) -> f64 {
    Spread::of(values).map_or(0.0, |spread| spread.median)
}
