//! What a server does that is asked five times what it can do: whether those whom it takes on are
//! answered as quickly as before, whether it does as much as before, whether it keeps its memory, and
//! whether it says that it is well.
//!
//! One thread decides, so that a core is left for the client, and where the machine has two, each stays on its own.
//! Batches are asked, because they cost the client little: one that sends single Checks has no time left to send five
//! times too many. Client and server are one process, whose memory is both of theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::uri::PathAndQuery;
use pdp_engine::compile::compile;
use pdp_engine::facts::Change;
use pdp_engine::query::Revision;
use pdp_server::config::{DEFAULT_MAX_QUEUE, GrpcThreads, Settings as Served};
use prost::bytes::Bytes;
use tokio::runtime::Runtime;

use crate::cores::Cores;
use crate::drive::{Connection, Script, Timing, closed_loop, open_loop};
use crate::embedded::{Embedded, Filled};
use crate::memory::resident;
use crate::organisation::{NOW, Organisation};
use crate::pace::Schedule;
use crate::questions::{Mix, hold, sample};
use crate::random::Skew;
use crate::shape::Shape;
use crate::tally::Summary;
use crate::targets::served::until_ready;
use crate::targets::{Bound, MIN_ROUNDS, Spread, TargetsError};
use crate::wire::{MAX_BATCH, Requests};

/// How many times what the server can do is asked.
const TIMES: f64 = 5.0;

/// How much longer the p99 of what is taken on may be than at half load.
const MAX_P99: f64 = 3.0;

/// Which part of what the server can do it must still do.
const LEAST_GOODPUT: f64 = 0.8;

/// By how much memory may grow, in MiB: a few seconds of what is sent would be more.
const MAX_GROWTH_MIB: f64 = 256.0;

/// How often health is asked for, and after how long an answer does not count.
const HEALTH_EVERY: Duration = Duration::from_millis(20);
const HEALTH_PATIENCE: Duration = Duration::from_secs(1);

/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// On how many connections it is asked what the server can do, one request at a time on each: it always has a next
/// one, and refuses none.
const CLOSED: usize = 2;

/// The load at which it is almost too much.
const BUSY: f64 = 0.9;

/// What is measured, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How many assignments the policy has.
    pub size: u64,
    /// The seed of the policy and of the questions.
    pub seed: u64,
    /// How long each load is measured in a round.
    pub slice: Duration,
    /// How many connections ask.
    pub connections: usize,
    /// How many questions each request asks.
    pub batch: usize,
    /// How many questions there are.
    pub questions: usize,
    /// How long the server lets a request wait, in milliseconds.
    pub max_queue_ms: u64,
    /// Whether it is asked over HTTP, for AuthZEN's evaluations.
    pub http: bool,
    /// Whether requests come by chance, as of many callers, and not evenly.
    pub by_chance: bool,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Overloaded {
    /// Whether client and server had cores of their own.
    pub apart: bool,
    /// Over the rounds, those with a bound first.
    pub figures: Vec<Figure>,
    /// How many times health was asked for in all, and how often it was told in time.
    pub health: Health,
}

/// One round: the loads, one after the other.
struct Round {
    /// Requests a second in a closed loop.
    can: f64,
    /// At half of that.
    half: Summary,
    /// At nine tenths, where some are refused that could have been answered later.
    busy: Summary,
    /// At five times that.
    over: Summary,
    /// By how many bytes memory grew.
    growth: Option<u64>,
    /// Health under overload.
    health: Health,
}

/// A figure over the rounds.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Figure {
    /// What it is.
    pub name: &'static str,
    /// What came out; `None` where the operating system does not tell.
    pub value: Option<Spread>,
    /// What it is held against; `None` for what is only reported.
    pub bound: Option<Bound>,
    /// Whether it holds; always, for what is only reported.
    pub met: bool,
}

/// Answers to health checks.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize)]
pub struct Health {
    /// How often it was asked for.
    pub asked: u64,
    /// How often it was told in time.
    pub told: u64,
    /// The longest time that it took, in microseconds.
    pub worst_us: f64,
}

// === impl Settings ===

impl Default for Settings {
    /// A size that takes less than a minute, and whose answers cost more than to refuse them.
    fn default() -> Self {
        Self {
            size: 100_000,
            seed: 1,
            slice: Duration::from_secs(3),
            connections: 8,
            batch: MAX_BATCH,
            questions: 20_000,
            max_queue_ms: DEFAULT_MAX_QUEUE.as_millis() as u64,
            http: false,
            by_chance: false,
        }
    }
}

impl Settings {
    fn check(&self) -> Result<(), TargetsError> {
        for (name, given, least, most) in [
            ("size", self.size, 100, 100_000_000),
            ("questions", self.questions as u64, MAX_BATCH as u64, 10_000_000),
            ("batch", self.batch as u64, 1, MAX_BATCH as u64),
            ("milliseconds", self.slice.as_millis() as u64, 10, 20_000),
        ] {
            if !(least..=most).contains(&given) {
                return Err(TargetsError::Bounds { name, given, least, most });
            }
        }
        Ok(())
    }

    fn timing(&self) -> Timing {
        Timing::new(self.slice / 3, self.slice)
    }

    /// Measures what the server can do, half of that, nine tenths and five times that, in rounds; `say` is told what is
    /// going on.
    ///
    /// # Errors
    /// [`TargetsError`] if the server does not run, or if there is a wrong answer or another error than a refusal.
    pub fn measure(&self, say: &mut dyn FnMut(&str)) -> Result<Overloaded, TargetsError> {
        self.check()?;
        say("the policy and its questions");
        let organisation = Organisation::new(Shape::sized(self.size), self.seed)?;
        let filled = Filled::with(&organisation.changes().collect::<Vec<Change>>())?;
        let facts = hold(organisation.facts());
        let facts = facts.map_err(|rejected| TargetsError::Rejected(rejected.to_string()))?;
        let (count, seed) = (self.questions, self.seed);
        let mix = Mix { skew: Skew::Uniform, allow: 0.5, count, seed };
        let asks = sample(&organisation, &compile(&facts, Revision::new(1)), mix, NOW)?;
        let script = Script::of(match self.http {
            true => Requests::evaluations(&asks, self.batch),
            false => Requests::batches("", &asks, self.batch),
        });
        let threads = Some(GrpcThreads::Count(std::num::NonZeroUsize::MIN));
        // `Embedded` would let every request wait.
        let max_queue_ms = Some(self.max_queue_ms);
        let served = Served { grpc_threads: threads, max_queue_ms, ..Served::default() };
        let cores = Cores::parted();
        let server = cores.server(|| Embedded::start_with(filled.path(), served))?;
        let rounds =
            cores.client(|| Runtime::new()?.block_on(self.rounds(&server, &script, say)))?;
        server.stop()?;
        let (apart, figures) = (cores.are_parted(), figures(&rounds));
        Ok(Overloaded { apart, figures, health: Health::of(&rounds) })
    }

    async fn rounds(
        &self,
        server: &Embedded,
        script: &Script,
        say: &mut dyn FnMut(&str),
    ) -> Result<Vec<Round>, TargetsError> {
        let door = if self.http { server.http() } else { server.endpoint() };
        let mut to = Connection::open_many(door, self.connections).await?;
        if let Some(first) = to.first_mut() {
            until_ready(first, &script.requests).await?;
        }
        let endpoint = server.endpoint();
        let mut rounds = Vec::new();
        for number in 1..=MIN_ROUNDS {
            say(&format!("round {number} of {MIN_ROUNDS}"));
            rounds.push(self.round(endpoint, &to, script).await?);
        }
        Ok(rounds)
    }

    async fn round(
        &self,
        endpoint: &str,
        to: &[Connection],
        script: &Script,
    ) -> Result<Round, TargetsError> {
        let alone = to.get(..CLOSED).unwrap_or(to);
        let can = closed_loop(alone, script, 1, self.timing()).await?.requests_per_second;
        let half = self.ask("half load", to, script, can / 2.0).await?;
        let busy = self.ask("nine tenths", to, script, can * BUSY).await?;
        let before = resident();
        let watched = Watched::begin(Connection::open(endpoint).await?);
        let over = self.ask("overload", to, script, can * TIMES).await?;
        let (health, most) = watched.end().await;
        let growth = before.zip(most).map(|(before, most)| most.saturating_sub(before));
        Ok(Round { can, half, busy, over, growth, health })
    }

    /// An open loop, in which there is no wrong answer and no other error than a refusal.
    async fn ask(
        &self,
        what: &'static str,
        to: &[Connection],
        script: &Script,
        rate: f64,
    ) -> Result<Summary, TargetsError> {
        let timing = self.timing();
        let schedule = Schedule::constant(rate.max(10.0), timing.warm_up + timing.duration);
        let schedule = if self.by_chance { schedule.by_chance(self.seed) } else { schedule };
        let summary = open_loop(to, script, schedule, timing).await?;
        if summary.wrong == 0 && summary.refused >= summary.errors {
            return Ok(summary);
        }
        let Summary { errors, refused, wrong, first_error, .. } = summary;
        let first = first_error.map_or_else(String::new, |said| format!("; {said}"));
        Err(TargetsError::Unclean { what, errors: errors - refused, wrong, unsent: 0, first })
    }
}

/// The share of requests that were refused.
fn refused(summary: &Summary) -> f64 {
    summary.refused as f64 / (summary.requests + summary.refused).max(1) as f64
}

fn figures(rounds: &[Round]) -> Vec<Figure> {
    let of = |value: &dyn Fn(&Round) -> Option<f64>| {
        Spread::of(&rounds.iter().filter_map(value).filter(|it| it.is_finite()).collect::<Vec<_>>())
    };
    let bounded =
        |name, bound: Bound, judged: fn(Spread) -> f64, value: &dyn Fn(&Round) -> Option<f64>| {
            let value = of(value);
            let met = value.is_some_and(|value| bound.holds(judged(value)));
            Figure { name, value, bound: Some(bound), met }
        };
    let reported = |name, value: &dyn Fn(&Round) -> f64| Figure {
        name,
        value: of(&|round| Some(value(round))),
        bound: None,
        met: true,
    };
    let median = |spread: Spread| spread.median;
    vec![
        bounded(
            "p99 of what is taken on / at half load",
            Bound::AtMost(MAX_P99),
            median,
            &|round| Some(round.over.all.p99_us / round.half.all.p99_us),
        ),
        bounded(
            "answers a second / what the server can do",
            Bound::AtLeast(LEAST_GOODPUT),
            median,
            &|round| Some(round.over.requests_per_second / round.can),
        ),
        bounded(
            "growth of memory, MiB",
            Bound::AtMost(MAX_GROWTH_MIB),
            |spread| spread.most,
            &|round| round.growth.map(|bytes| bytes as f64 / f64::from(1 << 20)),
        ),
        bounded(
            "health told in time / asked for",
            Bound::AtLeast(1.0),
            |spread| spread.least,
            &|round| Some(round.health.told as f64 / round.health.asked as f64),
        ),
        reported("requests a second that it can answer", &|round| round.can),
        reported("p99 at half load, us", &|round| round.half.all.p99_us),
        reported("p99 at nine tenths, us", &|round| round.busy.all.p99_us),
        reported("p99 at five times, us", &|round| round.over.all.p99_us),
        reported("refused at half load, %", &|round| 100.0 * refused(&round.half)),
        reported("refused at nine tenths, %", &|round| 100.0 * refused(&round.busy)),
        reported("refused at five times, a second", &|round| {
            round.over.refused as f64 / round.over.seconds
        }),
    ]
}

/// Health and memory, looked at beside everything else.
struct Watched {
    end: Arc<AtomicBool>,
    health: tokio::task::JoinHandle<Health>,
    memory: tokio::task::JoinHandle<Option<u64>>,
}

// === impl Health ===

impl Health {
    fn of(rounds: &[Round]) -> Self {
        rounds.iter().fold(Self::default(), |all, Round { health, .. }| Self {
            asked: all.asked + health.asked,
            told: all.told + health.told,
            worst_us: all.worst_us.max(health.worst_us),
        })
    }
}

// === impl Watched ===

impl Watched {
    fn begin(connection: Connection) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let health = tokio::spawn(health(connection, Arc::clone(&end)));
        let ended = Arc::clone(&end);
        let memory = tokio::spawn(async move {
            let mut most = None;
            while !ended.load(Ordering::Relaxed) {
                most = most.max(resident());
                tokio::time::sleep(LOOK_EVERY).await;
            }
            most
        });
        Self { end, health, memory }
    }

    async fn end(self) -> (Health, Option<u64>) {
        self.end.store(true, Ordering::Relaxed);
        (self.health.await.unwrap_or_default(), self.memory.await.ok().flatten())
    }
}

async fn health(mut connection: Connection, end: Arc<AtomicBool>) -> Health {
    let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
    let mut health = Health::default();
    while !end.load(Ordering::Relaxed) {
        let began = Instant::now();
        let asked = connection.call(&path, Bytes::new());
        let told = tokio::time::timeout(HEALTH_PATIENCE, asked).await;
        health.asked += 1;
        health.told += u64::from(matches!(told, Ok(Ok(_))));
        health.worst_us = health.worst_us.max(began.elapsed().as_secs_f64() * 1e6);
        tokio::time::sleep(HEALTH_EVERY).await;
    }
    health
}
