//! What a server does that is asked five times what it can do: whether those whom it takes on are
//! answered as quickly as before, whether it does as much as before, whether it keeps its memory, and
//! whether it says that it is well.
//!
//! One thread decides, so that a core is left for the client, and where the machine has two, each stays on its own.
//! The client is one that costs little ([`flood`]), as it has to send five times what the server can do. Client and
//! server are one process, whose memory is both of theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::uri::PathAndQuery;
use pdp_engine::compile::compile;
use pdp_engine::facts::Change;
use pdp_engine::query::Revision;
use pdp_server::config::{
    DEFAULT_MAX_CONNECTION_REQUESTS, DEFAULT_MAX_QUEUE, GrpcThreads, Settings as Served,
};
use prost::bytes::Bytes;
use tokio::runtime::Runtime;

use crate::cores::Cores;
use crate::drive::{Connection, Timing};
use crate::embedded::{Embedded, Filled};
use crate::flood::{Flooded, Pace, flood};
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

/// How many requests are under way while it is asked what the server can do, or so many questions: it always has a next
/// one, and refuses none.
const CLOSED: usize = 2;
const CLOSED_QUESTIONS: usize = 64;

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
    /// How many requests the server takes on a connection at once.
    pub max_connection_requests: u32,
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
    half: Flooded,
    /// At nine tenths, where some are refused that could have been answered later.
    busy: Flooded,
    /// At five times that.
    over: Flooded,
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
    /// A size that takes a minute and a half, and what is asked most: Checks, one by one.
    fn default() -> Self {
        Self {
            size: 100_000,
            seed: 1,
            slice: Duration::from_secs(3),
            connections: 8,
            batch: 1,
            questions: 20_000,
            max_queue_ms: DEFAULT_MAX_QUEUE.as_millis() as u64,
            max_connection_requests: DEFAULT_MAX_CONNECTION_REQUESTS,
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
        let requests = match (self.http, self.batch) {
            (true, batch) => Requests::evaluations(&asks, batch),
            (false, 1) => Requests::checks("", &asks),
            (false, batch) => Requests::batches("", &asks, batch),
        };
        let threads = Some(GrpcThreads::Count(std::num::NonZeroUsize::MIN));
        // `Embedded` would let every request wait.
        let max_queue_ms = Some(self.max_queue_ms);
        let max_connection_requests = Some(self.max_connection_requests);
        let served = Served {
            grpc_threads: threads,
            max_queue_ms,
            max_connection_requests,
            ..Served::default()
        };
        let cores = Cores::parted();
        let server = cores.server(|| Embedded::start_with(filled.path(), served))?;
        let rounds =
            cores.client(|| Runtime::new()?.block_on(self.rounds(&server, &requests, say)))?;
        server.stop()?;
        let (apart, figures) = (cores.are_parted(), figures(&rounds));
        Ok(Overloaded { apart, figures, health: Health::of(&rounds) })
    }

    async fn rounds(
        &self,
        server: &Embedded,
        requests: &Requests,
        say: &mut dyn FnMut(&str),
    ) -> Result<Vec<Round>, TargetsError> {
        let door = if self.http { server.http() } else { server.endpoint() };
        until_ready(&mut Connection::open(door).await?, requests).await?;
        let mut rounds = Vec::new();
        for number in 1..=MIN_ROUNDS {
            say(&format!("round {number} of {MIN_ROUNDS}"));
            rounds.push(self.round(server.endpoint(), door, requests).await?);
        }
        Ok(rounds)
    }

    /// The loads keep this thread; what watches them has another one.
    async fn round(
        &self,
        endpoint: &str,
        door: &str,
        requests: &Requests,
    ) -> Result<Round, TargetsError> {
        let under_way = (CLOSED_QUESTIONS / self.batch).max(CLOSED);
        let alone = self.connections.min(under_way);
        let closed = Pace::Closed((under_way / alone).max(1));
        let can = flood(door, alone, requests, closed, self.timing())?.summary.requests_per_second;
        let half = self.ask("half load", door, requests, can / 2.0)?;
        let busy = self.ask("nine tenths", door, requests, can * BUSY)?;
        let before = resident();
        let watched = Watched::begin(Connection::open(endpoint).await?);
        let over = self.ask("overload", door, requests, can * TIMES)?;
        let (health, most) = watched.end().await;
        let growth = before.zip(most).map(|(before, most)| most.saturating_sub(before));
        Ok(Round { can, half, busy, over, growth, health })
    }

    /// An open loop, in which there is no wrong answer and no other error than a refusal.
    fn ask(
        &self,
        what: &'static str,
        door: &str,
        requests: &Requests,
        rate: f64,
    ) -> Result<Flooded, TargetsError> {
        let timing = self.timing();
        let schedule = Schedule::constant(rate.max(10.0), timing.warm_up + timing.duration);
        let schedule = if self.by_chance { schedule.by_chance(self.seed) } else { schedule };
        let flooded = flood(door, self.connections, requests, Pace::Open(schedule), timing)?;
        let Summary { errors, refused, wrong, ref first_error, .. } = flooded.summary;
        if wrong == 0 && refused >= errors {
            return Ok(flooded);
        }
        let first = first_error.as_ref().map_or_else(String::new, |said| format!("; {said}"));
        Err(TargetsError::Unclean { what, errors: errors - refused, wrong, unsent: 0, first })
    }
}

/// The share of requests that were refused or held back.
fn refused(Flooded { summary, held_back }: &Flooded) -> f64 {
    let without = summary.refused + held_back;
    without as f64 / (summary.requests + without).max(1) as f64
}

fn p99(flooded: &Flooded) -> f64 {
    flooded.summary.all.p99_us
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
            &|round| Some(p99(&round.over) / p99(&round.half)),
        ),
        bounded(
            "answers a second / what the server can do",
            Bound::AtLeast(LEAST_GOODPUT),
            median,
            &|round| Some(round.over.summary.requests_per_second / round.can),
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
        reported("p99 at half load, us", &|round| p99(&round.half)),
        reported("p99 at nine tenths, us", &|round| p99(&round.busy)),
        reported("p99 at five times, us", &|round| p99(&round.over)),
        reported("refused at half load, %", &|round| 100.0 * refused(&round.half)),
        reported("refused at nine tenths, %", &|round| 100.0 * refused(&round.busy)),
        reported("refused at five times, a second", &|round| {
            round.over.summary.refused as f64 / round.over.summary.seconds
        }),
        reported("held back at five times, a second", &|round| {
            round.over.held_back as f64 / round.over.summary.seconds
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
