//! Runs a property over many random worlds on every core, and shrinks the world that breaks it.

use std::env;
use std::sync::Mutex;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::world::Genome;

/// Raises the number of worlds: a whole number that multiplies it.
pub const WORLDS_FACTOR: &str = "PDP_TEST_WORLDS_FACTOR";

/// Changes which worlds are made: a whole number, 0 if absent.
pub const WORLDS_SEED: &str = "PDP_TEST_WORLDS_SEED";

/// The worlds are split into this many runs, each with a seed of its own, so that the same worlds
/// are made whatever the number of cores.
const SHARDS: u8 = 8;

/// Checks `property` on `worlds` random worlds of `questions` questions each.
///
/// # Panics
/// With the smallest world found on which the property fails.
pub fn for_worlds(
    worlds: u32,
    questions: usize,
    property: impl Fn(&Genome) -> Result<(), String> + Sync,
) {
    let cases = (worlds * setting(WORLDS_FACTOR).unwrap_or(1)).div_ceil(u32::from(SHARDS));
    let seed = setting(WORLDS_SEED).unwrap_or(0);
    let shards = Mutex::new((0..SHARDS).collect::<Vec<u8>>());
    let next = || shards.lock().ok().and_then(|mut left| left.pop());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(shard) = next() {
                    if let Err(failure) = run_shard(shard, seed, cases, questions, &property)
                        && let Ok(mut failures) = failures.lock()
                    {
                        failures.push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_default();
    if let Some(first) = failures.first() {
        panic!("{} of {SHARDS} runs found a counterexample; the first:\n{first}", failures.len());
    }
}

fn run_shard(
    shard: u8,
    seed: u32,
    cases: u32,
    questions: usize,
    property: &(impl Fn(&Genome) -> Result<(), String> + Sync),
) -> Result<(), String> {
    let mut bytes = [shard; 32];
    bytes[..4].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config =
        Config { cases, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let checked = |genome: Genome| property(&genome).map_err(TestCaseError::fail);
    match runner.run(&Genome::strategy(questions), checked) {
        Ok(()) => Ok(()),
        Err(TestError::Fail(why, genome)) => Err(format!("{why}\n{}", shown(&genome))),
        Err(TestError::Abort(why)) => Err(format!("gave up: {why}")),
    }
}

/// The world, for a reader.
fn shown(genome: &Genome) -> String {
    genome.facts().iter().map(|fact| format!("{fact:?}\n")).collect()
}

fn setting(name: &str) -> Option<u32> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is `{value}`; write a whole number")))
}
