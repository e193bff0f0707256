//! Targets in process: a Check in units of memory misses, what unrelated data costs, compiling,
//! explaining, listing.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use pdp_engine::batch::check_batch;
use pdp_engine::check::check;
use pdp_engine::compile::{compile, compile_on};
use pdp_engine::explain::explain;
use pdp_engine::facts::{Fact, Facts};
use pdp_engine::list::{AnyPermission, list_resources};
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::{PermissionRef, Revision, SubjectRef};
use pdp_engine::snapshot::Snapshot;

use super::change;
use super::miss::Chase;
use super::{Bound, Settings, Target, TargetsError, ratios};
use crate::organisation::{NOW, Organisation};
use crate::questions::{Ask, Mix, hold, sample};
use crate::random::Skew;
use crate::shape::Shape;

/// How many questions a batch has.
const BATCH: usize = 100;

/// In how many parts a round is measured, so that all sides see the same noise.
const TURNS: usize = 10;

/// How many questions stay in the caches.
const HOT: usize = 64;

/// How many checks the hot questions are asked in a round.
const HOT_CHECKS: usize = 200_000;

/// How many times smaller the policy is that unrelated data is added to, and the one that shows
/// whether compiling is linear.
const GROWTH: u64 = 100;
const LINEAR: u64 = 10;

/// How much more an assignment may cost to compile at the full size than at a tenth of it: caches
/// are allowed for, a higher power is not.
const LINEAR_WITHIN: f64 = 2.0;

/// How long explanations, and lists, are asked for in a round: both grow with the policy.
const PATIENCE: Duration = Duration::from_secs(3);

/// How many questions are explained in a round, and how many lists asked for.
const EXPLAINED: usize = 2_000;
const LISTS: usize = 200;

/// The seed of the data that has nothing to do with the questions.
const UNRELATED: u64 = 0x0e;

pub(super) fn measure(
    settings: &Settings,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<Target>, TargetsError> {
    let mut targets = Vec::new();
    say("in process: the policy and its questions");
    let organisation = Organisation::new(Shape::sized(settings.size), settings.seed)?;
    let facts = load(organisation.facts())?;
    let snapshot = compile(&facts, Revision::new(1));
    let asks = questions(settings, &organisation, &snapshot)?;
    say("in process: checks, explanations and lists");
    targets.extend(checks(settings, &snapshot, &asks));
    targets.extend(change::memory(&facts, &snapshot));
    say("in process: compiling");
    targets.extend(compiling(settings, &facts)?);
    say("in process: readers beside a writer");
    targets.extend(change::readers(settings, &facts, &asks)?);
    say("in process: one change after the other");
    let mut facts = facts;
    targets.extend(change::one_change(settings, &mut facts, snapshot)?);
    drop(facts);
    say("in process: unrelated data");
    targets.extend(unrelated(settings)?);
    Ok(targets)
}

fn load(facts: impl Iterator<Item = Fact>) -> Result<Facts, TargetsError> {
    hold(facts).map_err(|rejected| TargetsError::Rejected(rejected.to_string()))
}

fn questions(
    settings: &Settings,
    organisation: &Organisation,
    snapshot: &Snapshot,
) -> Result<Vec<Ask>, TargetsError> {
    let (count, seed) = (settings.questions, settings.seed);
    let mix = Mix { skew: Skew::Uniform, allow: 0.5, count, seed };
    Ok(sample(organisation, snapshot, mix, NOW)?)
}

/// Nanoseconds a check, over these questions once.
fn check_ns(snapshot: &Snapshot, asks: &[Ask]) -> f64 {
    let begun = Instant::now();
    for ask in asks {
        // Whether it is a question was held when it was drawn.
        black_box(&check(snapshot, &ask.as_question(), NOW).is_ok());
    }
    begun.elapsed().as_nanos() as f64 / asks.len().max(1) as f64
}

/// The same in batches.
fn batched_ns(snapshot: &Snapshot, asks: &[Ask]) -> f64 {
    let mut questions = Vec::with_capacity(BATCH);
    let begun = Instant::now();
    for batch in asks.chunks(BATCH) {
        questions.clear();
        questions.extend(batch.iter().map(Ask::as_question));
        check_batch(snapshot, &questions, NOW, |_, answer| {
            black_box(&answer.is_ok());
        });
    }
    begun.elapsed().as_nanos() as f64 / asks.len().max(1) as f64
}

/// The cost of a check one by one and in batches, in accesses to memory.
fn in_misses(settings: &Settings, snapshot: &Snapshot, asks: &[Ask]) -> Vec<Target> {
    let chase = Chase::new(settings.buffer_bytes, settings.seed);
    let (mut misses, mut cold, mut batched) = (vec![], vec![], vec![]);
    let part = asks.len().div_ceil(TURNS).max(1);
    for round in 0..settings.rounds {
        let mut sums = [0.0; 3];
        for (turn, part) in asks.chunks(part).enumerate() {
            // Nobody is asked about the same part twice in a row: it has left the caches by then.
            let other = asks.chunks(part.len()).cycle().nth(turn + TURNS / 2).unwrap_or(part);
            let measured = [
                chase.miss_ns((round * TURNS + turn) as u32),
                check_ns(snapshot, part),
                batched_ns(snapshot, other),
            ];
            sums.iter_mut().zip(measured).for_each(|(sum, ns)| *sum += ns / TURNS as f64);
        }
        let [miss, one, many] = sums;
        misses.push(miss);
        cold.push(one);
        batched.push(many);
    }
    let held = |name, values: &[f64], bound| {
        Target::held(5, name, &ratios(values, &misses), Bound::AtMost(bound), "misses")
    };
    vec![
        Target::reported(5, "one dependent access to memory", &misses, "ns"),
        Target::reported(5, "check, cold uniform", &cold, "ns"),
        Target::reported(5, "check in batches, cold uniform", &batched, "ns"),
        held("check, cold uniform, in memory misses", &cold, 6.0),
        held("check in batches, cold uniform, in memory misses", &batched, 2.5),
    ]
}

fn checks(settings: &Settings, snapshot: &Snapshot, asks: &[Ask]) -> Vec<Target> {
    let mut targets = in_misses(settings, snapshot, asks);
    let some = asks.get(..EXPLAINED.min(asks.len())).unwrap_or_default();
    let (mut same, mut explained, mut lists, mut items) = (vec![], vec![], vec![], vec![]);
    for _ in 0..settings.rounds {
        let (explanation, count) = explain_ns(snapshot, some);
        explained.push(explanation);
        same.push(check_ns(snapshot, some.get(..count).unwrap_or_default()));
        let (a_list, an_item) = listing(snapshot, some);
        lists.push(a_list / 1e3);
        items.push(an_item);
    }
    let times = ratios(&explained, &same);
    targets.extend([
        Target::held(13, "explain / check", &times, Bound::AtMost(20.0), "times"),
        Target::reported(13, "list of a subject's resources of a type", &lists, "us"),
        Target::reported(13, "the same, an item of the answer", &items, "ns"),
    ]);
    targets
}

/// Nanoseconds an explanation, and how many questions were explained within [`PATIENCE`].
fn explain_ns(snapshot: &Snapshot, asks: &[Ask]) -> (f64, usize) {
    let (begun, mut count) = (Instant::now(), 0);
    for ask in asks {
        black_box(&explain(snapshot, &ask.as_question(), NOW).is_ok());
        count += 1;
        if begun.elapsed() > PATIENCE {
            break;
        }
    }
    (begun.elapsed().as_nanos() as f64 / count.max(1) as f64, count)
}

/// Nanoseconds a list, and an item of it.
fn listing(snapshot: &Snapshot, asks: &[Ask]) -> (f64, f64) {
    let (mut items, mut lists) = (0_usize, 0_usize);
    let begun = Instant::now();
    for ask in asks.iter().filter(|ask| !ask.account && ask.kind == PermissionKind::Operation) {
        if lists == LISTS || begun.elapsed() > PATIENCE {
            break;
        }
        let permission = PermissionRef { kind: ask.kind, name: &ask.permission };
        let permission = AnyPermission::Access(permission);
        let subject = SubjectRef::Person(&ask.subject);
        let listed = list_resources(snapshot, subject, permission, &ask.type_name, NOW);
        items += listed.map_or(0, |listed| listed.len());
        lists += 1;
    }
    let ns = begun.elapsed().as_nanos() as f64;
    (ns / lists.max(1) as f64, ns / items.max(1) as f64)
}

fn compiling(settings: &Settings, facts: &Facts) -> Result<Vec<Target>, TargetsError> {
    let size = (settings.size / LINEAR).max(1);
    let small = load(Organisation::new(Shape::sized(size), settings.seed)?.facts())?;
    let processors = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let once = |threads, facts: &Facts| {
        let begun = Instant::now();
        let snapshot = compile_on(threads, facts, Revision::new(1));
        let taken = begun.elapsed().as_nanos() as f64 / 1e3;
        drop(snapshot);
        taken / facts.assignments().len().max(1) as f64
    };
    let (mut whole, mut alone, mut tenth) = (vec![], vec![], vec![]);
    for _ in 0..settings.rounds {
        whole.push(once(processors, facts));
        alone.push(once(NonZeroUsize::MIN, facts));
        // The small one as often as it takes to be as long.
        let times = LINEAR as usize;
        tenth.push((0..times).map(|_| once(processors, &small)).sum::<f64>() / times as f64);
    }
    let linear = ratios(&whole, &tenth);
    Ok(vec![
        Target::held(
            8,
            "full compile as at a start, an assignment",
            &whole,
            Bound::AtMost(1.5),
            "us",
        ),
        Target::reported(8, "the same by one thread", &alone, "us"),
        Target::held(
            8,
            "as at a start / at a tenth of the size",
            &linear,
            Bound::AtMost(LINEAR_WITHIN),
            "times",
        ),
    ])
}

fn unrelated(settings: &Settings) -> Result<Vec<Target>, TargetsError> {
    let size = (settings.size / GROWTH).max(1);
    let related = Organisation::new(Shape::sized(size), settings.seed)?;
    let rest = Shape::sized(settings.size.saturating_sub(size).max(1));
    let rest = Organisation::new(rest, settings.seed ^ UNRELATED)?.with_prefix("z-")?;
    let alone = compile(&load(related.facts())?, Revision::new(1));
    let among = compile(&load(related.facts().chain(rest.facts()))?, Revision::new(1));
    let asks = questions(settings, &related, &alone)?;
    let hot = asks.get(..HOT.min(asks.len())).unwrap_or_default();
    let times = HOT_CHECKS / TURNS / hot.len().max(1);
    let hot_ns = |snapshot| (0..times).map(|_| check_ns(snapshot, hot)).sum::<f64>();
    let (mut hot_alone, mut hot_among) = (vec![], vec![]);
    let (mut all_alone, mut all_among) = (vec![], vec![]);
    for _ in 0..settings.rounds {
        let turns = (0..TURNS).map(|_| (hot_ns(&alone), hot_ns(&among)));
        let (one, other) = turns.fold((0.0, 0.0), |sum, turn| (sum.0 + turn.0, sum.1 + turn.1));
        hot_alone.push(one);
        hot_among.push(other);
        all_alone.push(check_ns(&alone, &asks));
        all_among.push(check_ns(&among, &asks));
    }
    Ok(vec![
        Target::held(
            7,
            "check with 100 times the data / without, in cache",
            &ratios(&hot_among, &hot_alone),
            Bound::AtMost(1.5),
            "times",
        ),
        Target::reported(
            7,
            "the same, all questions, with the effect of the caches",
            &ratios(&all_among, &all_alone),
            "times",
        ),
    ])
}
