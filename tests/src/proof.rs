//! Runs a property over many random worlds on every core, and shrinks the world that breaks it.

use std::env;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::world::Genome;

/// Raises the number of worlds: a whole number that multiplies it.
pub const WORLDS_FACTOR: &str = "PDP_TEST_WORLDS_FACTOR";

/// Changes which worlds are made: a whole number, 0 if absent.
pub const WORLDS_SEED: &str = "PDP_TEST_WORLDS_SEED";

/// Makes one in so many of the worlds only, where a test is run very often: a whole number from 1 on, 1 if absent.
pub const WORLDS_PART: &str = "PDP_TEST_WORLDS_PART";

/// Says how often a world that breaks a property is made smaller, at most: 5,000 times if absent.
pub const SHRINKS: &str = "PDP_TEST_SHRINKS";

/// The worlds are split into this many runs, each with a seed of its own, so that the same worlds
/// are made whatever the number of cores.
const SHARDS: u8 = 8;

/// Checks `property` on `worlds` random worlds of `questions` questions each. Most are small, as
/// rules meet most often in small worlds.
///
/// # Panics
/// With the smallest world found on which the property fails.
pub fn for_worlds(
    worlds: u32,
    questions: usize,
    property: impl Fn(&Genome) -> Result<(), String> + Sync,
) {
    for_worlds_of_size(worlds, 1, questions, property);
}

/// Like [`for_worlds`], with worlds so many times as large.
///
/// # Panics
/// With the smallest world found on which the property fails.
pub fn for_worlds_of_size(
    worlds: u32,
    size: usize,
    questions: usize,
    property: impl Fn(&Genome) -> Result<(), String> + Sync,
) {
    let worlds = worlds * setting(WORLDS_FACTOR).unwrap_or(1) / part();
    let cases = worlds.div_ceil(u32::from(SHARDS));
    let seed = setting(WORLDS_SEED).unwrap_or(0);
    let shards = Mutex::new((0..SHARDS).collect::<Vec<u8>>());
    let next = || shards.lock().ok().and_then(|mut left| left.pop());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let failure = Mutex::new(None);
    // The first run that fails is shrunk; the others have nothing to add and end early.
    let failing = AtomicU8::new(SHARDS);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(shard) = next() {
                    let attempt = |genome: &Genome| match failing.load(Ordering::Relaxed) {
                        first if first == SHARDS || first == shard => property(genome)
                            .inspect_err(|_| failing.store(shard, Ordering::Relaxed)),
                        _ => Ok(()),
                    };
                    if let Err(found) =
                        run_shard((shard, seed), cases, Genome::strategy(size, questions), &attempt)
                        && let Ok(mut failure) = failure.lock()
                    {
                        *failure = Some(found);
                    }
                }
            });
        }
    });
    if let Some(found) = failure.into_inner().unwrap_or_default() {
        panic!("a counterexample, made as small as it gets:\n{found}");
    }
}

/// What has to have been seen at least, where so much has to be in all worlds.
#[must_use]
pub fn least_seen(in_all: u64) -> u64 {
    in_all / u64::from(part())
}

/// Which share it has to have at least; in a part of the worlds it may be half of that, by chance.
#[must_use]
pub fn least_share(in_all: f64) -> f64 {
    if part() == 1 { in_all } else { in_all / 2.0 }
}

fn part() -> u32 {
    let part = setting(WORLDS_PART).unwrap_or(1);
    assert!(part > 0, "{WORLDS_PART} is 0; write a whole number from 1 on");
    part
}

fn run_shard(
    (shard, seed): (u8, u32),
    cases: u32,
    genomes: impl Strategy<Value = Genome>,
    property: &(impl Fn(&Genome) -> Result<(), String> + Sync),
) -> Result<(), String> {
    let mut bytes = [shard; 32];
    bytes[..4].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let max_shrink_iters = setting(SHRINKS).unwrap_or(5_000);
    let config = Config { cases, failure_persistence: None, max_shrink_iters, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let checked = |genome: Genome| property(&genome).map_err(TestCaseError::fail);
    match runner.run(&genomes, checked) {
        Ok(()) => Ok(()),
        Err(TestError::Fail(why, genome)) => Err(format!("{why}\n{}", shown(&genome))),
        Err(TestError::Abort(why)) => Err(format!("gave up: {why}")),
    }
}

/// The world, for a reader: a bundle to start a case file from.
fn shown(genome: &Genome) -> String {
    pdp_bundle::export::export(&genome.facts())
}

fn setting(name: &str) -> Option<u32> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is `{value}`; write a whole number")))
}
