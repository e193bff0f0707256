//! The same questions through every engine in this process, by turns, each answer held against ours.

use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use pdp_engine::check::check;
use pdp_engine::compile::compile;
use pdp_engine::facts::{Fact, Facts};
use pdp_engine::level::Scope;
use pdp_engine::query::{Effect, Revision};
use pdp_engine::snapshot::Snapshot;
use pdp_loadtest::organisation::{NOW, Organisation};
use pdp_loadtest::questions::{Ask, Mix, hold, sample};
use pdp_loadtest::random::Skew;
use pdp_loadtest::shape::Shape;
use pdp_loadtest::targets::{MIN_ROUNDS, Spread};

use crate::casbin::Casbin;
use crate::cedar::{ByPermission, Cedar, Links};
use crate::grants::{Grants, Lists};
use crate::peer::{Ours, Peer};
use crate::rego::Rego;
use crate::report::{EnginesReport, Line};
use crate::world::World;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// How many assignments.
    pub(crate) size: u64,
    pub(crate) seed: u64,
    pub(crate) rounds: usize,
    /// How many questions a round.
    pub(crate) questions: usize,
    /// How many of those engines are asked that go through every assignment.
    pub(crate) slow_questions: usize,
}

/// An engine with what it takes.
struct Side {
    peer: Box<dyn Peer>,
    /// Whether it is one of few questions.
    slow: bool,
    /// The target: how many times faster ours has to be.
    target: Option<f64>,
    load_ms: f64,
    p50: Vec<f64>,
    p99: Vec<f64>,
    asked: usize,
}

/// A question, and whether its answer depends on a relative scope.
struct Asked {
    ask: Ask,
    relative: bool,
}

/// Measures; `say` is told what is going on.
///
/// # Errors
/// If an engine does not load, or answers otherwise than ours: then with the question.
pub(crate) fn measure(
    settings: &Settings,
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<EnginesReport> {
    ensure!(settings.rounds >= MIN_ROUNDS, "`rounds` must be {MIN_ROUNDS} at least");
    ensure!(settings.questions >= 10, "`questions` must be 10 at least");
    ensure!(settings.slow_questions >= 1, "`slow-questions` must be 1 at least");
    say("the policy and its questions");
    let organisation = Organisation::new(Shape::sized(settings.size), settings.seed)?;
    let facts = hold(organisation.facts())?;
    let snapshot = compile(&facts, Revision::new(1));
    let asked = questions(settings, &organisation, &snapshot)?;
    let mut sides = load(&facts, snapshot, say)?;
    drop(facts);
    for round in 0..settings.rounds {
        say(&format!("round {} of {}", round + 1, settings.rounds));
        // Half of them are asked before anything is measured.
        let (from, count) = (round * 2 * settings.questions, 2 * settings.questions);
        let part = asked.get(from..from + count).context("too few questions")?;
        // Each begins by turns: nobody always runs on the caches that another leaves.
        let count = sides.len();
        for n in 0..count {
            let Some(side) = sides.get_mut((n + round) % count) else { continue };
            side.round(part, if side.slow { settings.slow_questions } else { settings.questions })?;
        }
    }
    report(settings, &asked, &sides)
}

fn questions(
    settings: &Settings,
    organisation: &Organisation,
    snapshot: &Snapshot,
) -> anyhow::Result<Vec<Asked>> {
    let count = 2 * settings.questions * settings.rounds;
    let mix = Mix { skew: Skew::Uniform, allow: 0.5, count, seed: settings.seed };
    let asks = sample(organisation, snapshot, mix, NOW)?;
    let absolute = |fact: &Fact| match fact {
        Fact::Assignment(assignment) => !matches!(assignment.scope, Scope::Relative(_)),
        _ => true,
    };
    let facts = hold(organisation.facts().filter(absolute))?;
    let without = compile(&facts, Revision::new(1));
    let one = |ask: Ask| {
        let relative = check(&without, &ask.as_question(), NOW)?.effect != ask.expected;
        Ok(Asked { ask, relative })
    };
    asks.into_iter().map(one).collect()
}

fn load(facts: &Facts, snapshot: Snapshot, say: &mut dyn FnMut(&str)) -> anyhow::Result<Vec<Side>> {
    say("the policy as the others take it");
    let world = World::at(facts, NOW);
    let grants = Grants::of(&world, Lists::Holdings);
    let runtime = tokio::runtime::Runtime::new()?;
    let mut sides = Vec::new();
    let mut add = |say: &mut dyn FnMut(&str),
                   slow: bool,
                   target: Option<f64>,
                   load: &mut dyn FnMut() -> anyhow::Result<Box<dyn Peer>>|
     -> anyhow::Result<()> {
        let begun = Instant::now();
        let peer = load()?;
        let load_ms = begun.elapsed().as_secs_f64() * 1e3;
        say(&format!("{}: loaded in {load_ms:.0} ms", peer.name()));
        let (p50, p99, asked) = (Vec::new(), Vec::new(), 0);
        sides.push(Side { peer, slow, target, load_ms, p50, p99, asked });
        Ok(())
    };
    // Ours is there already: what it took is what compiling takes once more.
    let mut snapshot = Some(snapshot);
    add(say, false, None, &mut || {
        let snapshot = snapshot.take().context("there is one snapshot")?;
        drop(compile(facts, Revision::new(1)));
        Ok(Box::new(Ours::new(snapshot)))
    })?;
    for by in [ByPermission::Tags, ByPermission::Attributes] {
        add(say, false, Some(25.0), &mut || Ok(Box::new(Cedar::load(&world, &grants, by)?)))?;
    }
    add(say, false, Some(30.0), &mut || Ok(Box::new(Rego::load(&world, &grants)?)))?;
    add(say, true, Some(10_000.0), &mut || Ok(Box::new(runtime.block_on(Casbin::load(&world))?)))?;
    add(say, true, None, &mut || Ok(Box::new(Links::load(&world)?)))?;
    Ok(sides)
}

fn report(settings: &Settings, asked: &[Asked], sides: &[Side]) -> anyhow::Result<EnginesReport> {
    let ours = sides.first().context("there is our side")?;
    let line = |side: &Side| -> anyhow::Result<Line> {
        let ratios: Vec<f64> =
            side.p50.iter().zip(&ours.p50).map(|(their, our)| their / our.max(1e-9)).collect();
        let spread = |values: &[f64]| Spread::of(values).context("there are rounds");
        Ok(Line {
            name: side.peer.name(),
            load_ms: Some(side.load_ms),
            asked: side.asked,
            p50_us: spread(&side.p50)?,
            p99_us: spread(&side.p99)?,
            ratio: spread(&ratios)?,
            target: side.target,
            knows_relative: side.peer.knows_relative(),
        })
    };
    let share = |is: &dyn Fn(&Asked) -> bool| {
        asked.iter().filter(|it| is(it)).count() as f64 / asked.len().max(1) as f64
    };
    Ok(EnginesReport {
        size: settings.size,
        seed: settings.seed,
        rounds: settings.rounds,
        questions: asked.len(),
        allowed: share(&|it| it.ask.expected == Effect::Allow),
        relative: share(&|it| it.relative),
        clock_ns: clock_ns(),
        lines: sides.iter().map(line).collect::<Result<_, _>>()?,
    })
}

/// What looking at the clock twice takes, in nanoseconds: it is part of every figure.
fn clock_ns() -> f64 {
    let mut taken: Vec<u64> = (0..10_001).map(|_| nanoseconds(Instant::now())).collect();
    taken.sort_unstable();
    quantile(&taken, 0.5)
}

fn nanoseconds(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// A quantile of sorted values.
pub(crate) fn quantile(sorted: &[u64], quantile: f64) -> f64 {
    let at = ((sorted.len() as f64 * quantile) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(0.0, |value| *value as f64)
}

/// Asks an engine all questions one by one; returns the nanoseconds of each but the first ones, sorted. Those
/// have it run on its own caches, as it would alone in a process, whoever was asked before.
///
/// # Errors
/// If an answer is not the expected one.
pub(crate) fn ask_all(
    peer: &mut dyn Peer,
    asks: &[Ask],
    unmeasured: usize,
) -> anyhow::Result<Vec<u64>> {
    peer.take(asks)?;
    let (mut taken, mut answers) = (Vec::with_capacity(asks.len()), Vec::with_capacity(asks.len()));
    for n in 0..asks.len() {
        let begun = Instant::now();
        let answer = peer.decide(n);
        taken.push(nanoseconds(begun));
        answers.push(answer?);
    }
    for (ask, allowed) in asks.iter().zip(answers) {
        if allowed != (ask.expected == Effect::Allow) {
            bail!("{} disagrees, ours is the first word: {}", peer.name(), ask.to_line());
        }
    }
    let mut taken = taken.split_off(unmeasured.min(taken.len()));
    taken.sort_unstable();
    Ok(taken)
}

// === impl Side ===

impl Side {
    fn round(&mut self, part: &[Asked], count: usize) -> anyhow::Result<()> {
        let knows = self.peer.knows_relative();
        let asks = part.iter().filter(|it| knows || !it.relative).take(2 * count);
        let asks: Vec<Ask> = asks.map(|it| it.ask.clone()).collect();
        let taken = ask_all(&mut *self.peer, &asks, count)?;
        self.p50.push(quantile(&taken, 0.5) / 1e3);
        self.p99.push(quantile(&taken, 0.99) / 1e3);
        self.asked += taken.len();
        Ok(())
    }
}
