//! A real Cerbos server beside this project's, each with its own form of the same questions, asked by the
//! same client over as many connections, by turns.

mod encode;
mod server;
mod wire;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use pdp_engine::compile::compile;
use pdp_engine::facts::Change;
use pdp_engine::query::{Effect, Revision};
use pdp_loadtest::drive::{Connection, Script, Timing, closed_loop, is_clean};
use pdp_loadtest::embedded::{Embedded, Filled};
use pdp_loadtest::organisation::{NOW, Organisation};
use pdp_loadtest::questions::{Ask, Mix, hold, sample};
use pdp_loadtest::random::Skew;
use pdp_loadtest::shape::Shape;
use pdp_loadtest::tally::Summary;
use pdp_loadtest::targets::{MIN_ROUNDS, Spread};
use pdp_loadtest::wire::{Prepared, Reads, Requests};
use prost::Message as _;
use prost::bytes::Bytes;

pub(crate) use server::fetch;

use crate::grants::{Grants, Lists};
use crate::report::{put, shown};
use crate::world::World;
use encode::Encoder;
use server::Server;
use wire::CheckResourcesResponse;

/// How long a server may take until it answers.
const READY: Duration = Duration::from_secs(60);

/// How long is waited between two tries.
const AGAIN: Duration = Duration::from_millis(50);

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) size: u64,
    pub(crate) seed: u64,
    pub(crate) rounds: usize,
    pub(crate) slice: Duration,
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
    pub(crate) questions: usize,
}

/// One server under one load.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub(crate) struct Line {
    name: String,
    per_second: Spread,
    p50_us: Spread,
    p99_us: Spread,
}

/// Both servers.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub(crate) struct CerbosReport {
    version: &'static str,
    size: u64,
    seed: u64,
    rounds: usize,
    questions: usize,
    /// How long a request is, in bytes on average: ours and theirs.
    request_bytes: [f64; 2],
    lines: Vec<Line>,
}

#[derive(Default)]
struct Rounds {
    per_second: Vec<f64>,
    p50_us: Vec<f64>,
    p99_us: Vec<f64>,
}

/// A server that is asked.
struct Side {
    name: &'static str,
    to: Vec<Connection>,
    script: Script,
}

/// Measures; `say` is told what is going on.
///
/// # Errors
/// If a server does not run, or an answer is not the expected one: then with the question.
pub(crate) fn measure(
    settings: &Settings,
    binary: &Path,
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<CerbosReport> {
    ensure!(settings.rounds >= MIN_ROUNDS, "`rounds` must be {MIN_ROUNDS} at least");
    say("the policy and its questions");
    let organisation = Organisation::new(Shape::sized(settings.size), settings.seed)?;
    let filled = Filled::with(&organisation.changes().collect::<Vec<Change>>())?;
    let facts = hold(organisation.facts())?;
    let snapshot = compile(&facts, Revision::new(1));
    let (count, seed) = (settings.questions, settings.seed);
    let mix = Mix { skew: Skew::Uniform, allow: 0.5, count, seed };
    let asks = sample(&organisation, &snapshot, mix, NOW)?;
    drop(snapshot);
    let world = World::at(&facts, NOW);
    let grants = Grants::of(&world, Lists::Assignees);
    let theirs = theirs(&Encoder { world: &world, grants: &grants }, &asks)?;
    drop((facts, world));
    let mut ours = Requests::checks("", &asks).unexpected();
    // Both sides read nothing of an answer while they are measured: they were held to it before.
    ours.reads = Reads::Nothing;
    let bytes = [mean_bytes(&ours), mean_bytes(&theirs)];
    say("both servers");
    let embedded = Embedded::start(filled.path())?;
    let mut cerbos = Server::start(binary, &encode::policies())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let lines = runtime.block_on(async {
        let our_first = Requests::checks("", &asks);
        let mut sides = [
            Side { name: "pdp", to: Vec::new(), script: Script::of(ours) },
            Side { name: "cerbos", to: Vec::new(), script: Script::of(theirs) },
        ];
        let endpoints = [embedded.endpoint(), cerbos.endpoint()].map(str::to_owned);
        for (side, endpoint) in sides.iter_mut().zip(&endpoints) {
            side.to = ready(endpoint, settings.connections, &side.script, &mut cerbos).await?;
        }
        say("every question once, and the answers");
        let [our_side, their_side] = &mut sides;
        agree(our_side, &asks, &|answer, n| {
            let prepared = our_first.prepared.get(n)?;
            Some(our_first.read(prepared, answer).wrong == 0)
        })
        .await?;
        agree(their_side, &asks, &|answer, n| {
            let allowed = allowed(answer)?;
            Some(allowed == (asks.get(n)?.expected == Effect::Allow))
        })
        .await?;
        rounds(settings, &sides, say).await
    })?;
    drop(runtime);
    drop(cerbos);
    embedded.stop()?;
    let Settings { size, seed, rounds, questions, .. } = *settings;
    let version = server::VERSION;
    Ok(CerbosReport { version, size, seed, rounds, questions, request_bytes: bytes, lines })
}

fn theirs(encoder: &Encoder<'_>, asks: &[Ask]) -> anyhow::Result<Requests> {
    let mut requests = Requests::floor(wire::CHECK_RESOURCES, Bytes::new(), 1);
    let one = |ask: &Ask| -> anyhow::Result<Prepared> {
        let body = encoder.request(ask)?.encode_to_vec().into();
        Ok(Prepared { body, expected: Vec::new() })
    };
    requests.prepared = asks.iter().map(one).collect::<Result<_, _>>()?;
    Ok(requests)
}

fn mean_bytes(requests: &Requests) -> f64 {
    let bytes: usize = requests.prepared.iter().map(|it| it.body.len()).sum();
    bytes as f64 / requests.prepared.len().max(1) as f64
}

/// What Cerbos says about the one action that it was asked for.
fn allowed(answer: Bytes) -> Option<bool> {
    let answer = CheckResourcesResponse::decode(answer).ok()?;
    let effect = answer.results.first()?.actions.values().next()?;
    Some(*effect == wire::ALLOW)
}

async fn ready(
    endpoint: &str,
    count: usize,
    script: &Script,
    cerbos: &mut Server,
) -> anyhow::Result<Vec<Connection>> {
    let begun = Instant::now();
    let prepared = script.requests.prepared.first().context("there are questions")?;
    loop {
        let answered = match Connection::open(endpoint).await {
            Ok(mut to) => to.call(&script.requests.path, prepared.body.clone()).await.is_ok(),
            Err(_) => false,
        };
        if answered {
            return Ok(Connection::open_many(endpoint, count).await?);
        }
        ensure!(!cerbos.has_ended(), "Cerbos has ended: {}", cerbos.log());
        ensure!(begun.elapsed() < READY, "{endpoint} does not answer: {}", cerbos.log());
        tokio::time::sleep(AGAIN).await;
    }
}

/// Asks every question once; `right` says whether an answer is, and nothing if it cannot be read.
async fn agree(
    side: &mut Side,
    asks: &[Ask],
    right: &dyn Fn(Bytes, usize) -> Option<bool>,
) -> anyhow::Result<()> {
    let to = side.to.first_mut().context("there are connections")?;
    let prepared = side.script.requests.prepared.iter();
    for (n, (ask, prepared)) in asks.iter().zip(prepared).enumerate() {
        let answer = to.call(&side.script.requests.path, prepared.body.clone()).await?;
        match right(answer, n) {
            Some(true) => {}
            Some(false) => {
                bail!("{} disagrees, ours is the first word: {}", side.name, ask.to_line())
            }
            None => bail!("{} gives no answer to {}", side.name, ask.to_line()),
        }
    }
    Ok(())
}

async fn rounds(
    settings: &Settings,
    sides: &[Side],
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<Vec<Line>> {
    let timing = Timing::new(settings.slice / 5, settings.slice);
    let loads = [(1, 1), (settings.connections, settings.in_flight)];
    let mut all: Vec<(String, Rounds)> = Vec::new();
    for round in 1..=settings.rounds {
        say(&format!("round {round} of {}", settings.rounds));
        let mut at = 0;
        for (connections, in_flight) in loads {
            for side in sides {
                let to = side.to.get(..connections).context("there are connections")?;
                let summary = closed_loop(to, &side.script, in_flight, timing).await?;
                ensure!(is_clean(&summary), "{}: {:?}", side.name, summary.first_error);
                if all.len() == at {
                    let name = format!("{}, {connections} x {in_flight}", side.name);
                    all.push((name, Rounds::default()));
                }
                if let Some((_, rounds)) = all.get_mut(at) {
                    rounds.push(&summary);
                }
                at += 1;
            }
        }
    }
    let line = |(name, rounds): (String, Rounds)| {
        let spread = |values: &[f64]| Spread::of(values).context("there are rounds");
        let (p50_us, p99_us) = (spread(&rounds.p50_us)?, spread(&rounds.p99_us)?);
        Ok(Line { name, per_second: spread(&rounds.per_second)?, p50_us, p99_us })
    };
    all.into_iter().map(line).collect()
}

// === impl Rounds ===

impl Rounds {
    fn push(&mut self, summary: &Summary) {
        self.per_second.push(summary.requests_per_second);
        self.p50_us.push(summary.all.p50_us);
        self.p99_us.push(summary.all.p99_us);
    }
}

// === impl CerbosReport ===

impl CerbosReport {
    /// A line a server and load.
    pub(crate) fn text(&self) -> String {
        let Self { version, size, seed, rounds, questions, request_bytes, lines } = self;
        let mut out = String::new();
        put(
            &mut out,
            format_args!(
                "Cerbos {version}; {size} assignments, seed {seed}; {questions} questions, every answer agrees; medians of \
                 {rounds} rounds, least to most\n"
            ),
        );
        let head = ["a second", "p50, us", "p99, us"];
        let head: String = head.iter().map(|it| format!("{it:>12}")).collect();
        put(&mut out, format_args!("{:<24}{head}", "server, connections x each"));
        for Line { name, per_second, p50_us, p99_us } in lines {
            let cells = [per_second, p50_us, p99_us].map(|it| shown(it.median));
            let cells: String = cells.iter().map(|it| format!("{it:>12}")).collect();
            let spread = format!("{} to {}", shown(per_second.least), shown(per_second.most));
            put(&mut out, format_args!("{name:<26}{cells}   {spread} a second"));
        }
        let [ours, theirs] = request_bytes;
        put(
            &mut out,
            format_args!(
                "\na request has {ours:.0} bytes for pdp, and {theirs:.0} for Cerbos, which is told what it needs to know"
            ),
        );
        out
    }
}
