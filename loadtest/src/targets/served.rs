//! Targets over the network: Check, CheckStream and BatchCheck beside the empty echo, and beside the same
//! server on the transport's default runtime, by turns.

use pdp_engine::compile::compile;
use pdp_engine::facts::Change;
use pdp_engine::query::Revision;
use pdp_server::config::GrpcThreads;
use prost::bytes::Bytes;
use tokio::runtime::Runtime;

use super::{Bound, Settings, Target, TargetsError, observed, ratios};
use crate::drive::{
    Connection, Manners, Script, Timing, closed_loop, is_clean, open_loop, stream_loop, try_once,
};
use crate::embedded::{Embedded, Filled};
use crate::floor::{self, Floor};
use crate::organisation::{NOW, Organisation};
use crate::pace::Schedule;
use crate::questions::{Mix, hold, sample};
use crate::random::Skew;
use crate::shape::Shape;
use crate::tally::Summary;
use crate::wire::{Reads, Requests};

/// How many questions a batch asks.
const BATCH: usize = floor::BATCH;

/// How many questions of a stream are unanswered, for each request that is under way otherwise: they are
/// bytes, and no calls.
const UNANSWERED: usize = 8;

/// How many slices a side is measured in, in a round.
const SLICES: u32 = 5;

/// How many requests an open loop sends at least, however slow the server is.
const LEAST_REQUESTS: f64 = 10.0;

/// What is asked of whom.
struct Sides {
    echo: Script,
    zipf: Script,
    uniform: Script,
    batch: Script,
    stream: Script,
}

/// Who is asked.
struct Connections {
    floor: Vec<Connection>,
    server: Vec<Connection>,
    /// The same server, on the transport's default runtime.
    shared: Vec<Connection>,
}

/// One figure for each round.
#[derive(Default)]
struct Rounds {
    echo: Vec<f64>,
    zipf: Vec<f64>,
    uniform: Vec<f64>,
    batch: Vec<f64>,
    stream: Vec<f64>,
    shared: Vec<f64>,
    alone: Pair,
    half: Pair,
}

/// Latencies of the echo and of the server.
#[derive(Default)]
struct Pair {
    echo_p50: Vec<f64>,
    echo_p99: Vec<f64>,
    check_p50: Vec<f64>,
    check_p99: Vec<f64>,
}

pub(super) fn measure(
    settings: &Settings,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<Target>, TargetsError> {
    say("served: the policy and its questions");
    let (filled, sides) = prepare(settings)?;
    let copy = filled.copied()?;
    let server = Embedded::start(filled.path())?;
    let shared = Embedded::start_on(copy.path(), GrpcThreads::Shared)?;
    let floor = Floor::start(GrpcThreads::default())?;
    let runtime = Runtime::new()?;
    let (mut rounds, plain) = (Rounds::default(), Manners::default());
    let to = runtime.block_on(async {
        Ok::<_, TargetsError>(Connections {
            floor: Connection::open_many(floor.endpoint(), settings.connections).await?,
            server: ready(server.endpoint(), settings, &sides.uniform, &plain).await?,
            shared: ready(shared.endpoint(), settings, &sides.uniform, &plain).await?,
        })
    })?;
    for round in 1..=settings.rounds {
        say(&format!("served: round {round} of {}", settings.rounds));
        runtime.block_on(rounds.one(settings, &sides, &to))?;
    }
    drop((to, floor));
    server.stop()?;
    shared.stop()?;
    let mut targets = rounds.targets();
    targets.extend(observed::measure(settings, (&filled, &sides.uniform), say)?);
    Ok(targets)
}

fn prepare(settings: &Settings) -> Result<(Filled, Sides), TargetsError> {
    let organisation = Organisation::new(Shape::sized(settings.size), settings.seed)?;
    let changes: Vec<Change> = organisation.changes().collect();
    let filled = Filled::with(&changes)?;
    drop(changes);
    let facts = hold(organisation.facts());
    let facts = facts.map_err(|rejected| TargetsError::Rejected(rejected.to_string()))?;
    let snapshot = compile(&facts, Revision::new(1));
    drop(facts);
    let of = |skew| {
        let (count, seed) = (settings.questions, settings.seed);
        sample(&organisation, &snapshot, Mix { skew, allow: 0.5, count, seed }, NOW)
    };
    let (zipf, uniform) = (of(Skew::Zipf)?, of(Skew::Uniform)?);
    let sides = Sides {
        echo: Script::of(Requests::floor(floor::EMPTY, Bytes::new(), 1)),
        zipf: Script::of(Requests::checks("", &zipf)),
        uniform: Script::of(Requests::checks("", &uniform)),
        batch: Script::of(Requests::batches("", &uniform, BATCH)),
        stream: Script::of(Requests::streamed("", &uniform)),
    };
    Ok((filled, sides))
}

/// Connections to a server that has loaded its policy.
pub(super) async fn ready(
    endpoint: &str,
    settings: &Settings,
    script: &Script,
    manners: &Manners,
) -> Result<Vec<Connection>, TargetsError> {
    let count = settings.connections;
    let mut connections = Connection::open_many_with(endpoint, count, manners).await?;
    if let Some(first) = connections.first_mut() {
        until_ready(first, &script.requests).await?;
    }
    Ok(connections)
}

/// Asks until the server answers; gives up after ten minutes, which is longer than any policy loads.
pub(crate) async fn until_ready(
    connection: &mut Connection,
    requests: &Requests,
) -> Result<(), TargetsError> {
    let begun = std::time::Instant::now();
    loop {
        match try_once(connection, requests).await {
            Ok(()) => return Ok(()),
            Err(error) if begun.elapsed().as_secs() > 600 => return Err(error.into()),
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
        }
    }
}

pub(crate) fn clean(what: &'static str, summary: Summary) -> Result<Summary, TargetsError> {
    if is_clean(&summary) && summary.requests > 0 {
        return Ok(summary);
    }
    let Summary { errors, wrong, unsent, first_error, .. } = summary;
    let first = first_error.map_or_else(String::new, |said| format!("; the first: {said}"));
    Err(TargetsError::Unclean { what, errors, wrong, unsent, first })
}

// === impl Rounds ===

impl Rounds {
    async fn one(
        &mut self,
        settings: &Settings,
        sides: &Sides,
        to: &Connections,
    ) -> Result<(), TargetsError> {
        let timing = settings.timing();
        let uniform = self.throughput(settings, sides, to).await?;
        let (floor, server) = (to.floor.as_slice(), to.server.as_slice());
        let first = |connections: &[Connection]| connections.get(..1).unwrap_or_default().to_vec();
        let echo = closed_loop(&first(floor), &sides.echo, 1, timing).await?;
        let echo = clean("echo, alone", echo)?;
        let check = closed_loop(&first(server), &sides.uniform, 1, timing).await?;
        self.alone.push(&echo, &clean("check, alone", check)?);

        let half = (uniform / 2.0).max(LEAST_REQUESTS / timing.duration.as_secs_f64());
        let half = Schedule::constant(half, timing.warm_up + timing.duration);
        let echo = open_loop(floor, &sides.echo, half, timing).await?;
        let check = open_loop(server, &sides.uniform, half, timing).await?;
        self.half.push(&clean("echo, half load", echo)?, &clean("check, half load", check)?);
        Ok(())
    }

    /// How much each side does in a second, by turns in short slices, so that what else the machine
    /// does meets all of them; returns that of Check.
    async fn throughput(
        &mut self,
        settings: &Settings,
        sides: &Sides,
        to: &Connections,
    ) -> Result<f64, TargetsError> {
        let Connections { floor, server, shared } = to;
        let slice = settings.duration / SLICES;
        let (timing, many) = (Timing::new(slice / 5, slice), settings.in_flight);
        // Few batches fill a server; each slot would otherwise wait behind hundreds of thousands.
        let (few, unanswered) = (many.min(4), many * UNANSWERED);
        let mut whole = [0.0; 6];
        for _ in 0..SLICES {
            for (whole, (what, to, script, in_flight)) in whole.iter_mut().zip([
                ("echo", floor, &sides.echo, many),
                ("check, zipf", server, &sides.zipf, many),
                ("check, uniform", server, &sides.uniform, many),
                ("batch", server, &sides.batch, few),
                ("check, default runtime", shared, &sides.uniform, many),
                ("stream", server, &sides.stream, unanswered),
            ]) {
                let summary = match script.requests.reads {
                    Reads::Stream => stream_loop(to, script, in_flight, timing).await?,
                    _ => closed_loop(to, script, in_flight, timing).await?,
                };
                let summary = clean(what, summary)?;
                *whole += summary.questions_per_second / f64::from(SLICES);
            }
        }
        let [echo, zipf, uniform, batch, shared, stream] = whole;
        self.echo.push(echo);
        self.zipf.push(zipf);
        self.uniform.push(uniform);
        self.batch.push(batch);
        self.shared.push(shared);
        self.stream.push(stream);
        Ok(uniform)
    }

    fn targets(&self) -> Vec<Target> {
        let reported = |name, values: &[f64]| Target::reported(1, name, values, "a second");
        let least = |number, name, over: &[f64], bound| {
            Target::held(number, name, &ratios(over, &self.echo), Bound::AtLeast(bound), "times")
        };
        let mut targets = vec![
            reported("empty echo", &self.echo),
            reported("check, zipf", &self.zipf),
            reported("check, uniform", &self.uniform),
            least(1, "check, zipf / empty echo, throughput", &self.zipf, 0.90),
            least(1, "check, uniform / empty echo, throughput", &self.uniform, 0.80),
            Target::reported(3, "check, default runtime", &self.shared, "a second"),
            Target::held(
                3,
                "this server / the transport's default runtime, throughput",
                &ratios(&self.uniform, &self.shared),
                Bound::AtLeast(1.7),
                "times",
            ),
            Target::reported(4, "stream, checks", &self.stream, "a second"),
            least(4, "stream of checks / empty echo, checks a second", &self.stream, 5.0),
            Target::reported(4, "batch of 100, checks", &self.batch, "a second"),
            least(4, "batch of 100 / empty echo, checks a second", &self.batch, 10.0),
        ];
        targets.extend(self.alone.targets("1 x 1"));
        targets.extend(self.half.targets("half load, open loop"));
        targets
    }
}

// === impl Pair ===

impl Pair {
    fn push(&mut self, echo: &Summary, check: &Summary) {
        self.echo_p50.push(echo.all.p50_us);
        self.echo_p99.push(echo.all.p99_us);
        self.check_p50.push(check.all.p50_us);
        self.check_p99.push(check.all.p99_us);
    }

    fn targets(&self, load: &str) -> Vec<Target> {
        let held = |quantile, check: &[f64], echo: &[f64], bound| {
            let name = format!("check / empty echo, {quantile}, {load}");
            Target::held(2, &name, &ratios(check, echo), Bound::AtMost(bound), "times")
        };
        let reported =
            |name, values: &[f64]| Target::reported(2, &format!("{name}, {load}"), values, "us");
        vec![
            reported("check, p50", &self.check_p50),
            reported("check, p99", &self.check_p99),
            held("p50", &self.check_p50, &self.echo_p50, 1.10),
            held("p99", &self.check_p99, &self.echo_p99, 1.20),
        ]
    }
}
