//! `loadtest run`.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use pdp_engine::compile::compile;
use pdp_engine::facts::Change;
use pdp_engine::id::AssignmentId;
use pdp_engine::query::Revision;
use pdp_engine::time::{Timestamp, Window};
use pdp_loadtest::drive::{
    Connection, Script, Timing, closed_loop, is_clean, open_loop, stream_loop, try_once,
};
use pdp_loadtest::embedded::{Embedded, Filled};
use pdp_loadtest::organisation::{NOW, Organisation};
use pdp_loadtest::pace::{MAX_RATE, Schedule};
use pdp_loadtest::questions::{Ask, Mix, hold, read, sample};
use pdp_loadtest::report::{Machine, Report, Step, plot};
use pdp_loadtest::shape::Shape;
use pdp_loadtest::wire::Requests;

use super::generate::SkewArg;
use super::{json, progress, save, tell};

/// How many assignments are written over and over by a mix with writes: the policy stays as large.
const WRITTEN: u64 = 1_000;

/// At which parts of what the server can do a curve is measured.
const CURVE: [f64; 6] = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9];

/// How long a server may take until it answers, in milliseconds.
const READY_MS: u32 = 600_000;

/// How requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// So many under way at a time: what the server can do
    Closed,
    /// At a rate, whatever comes back: latencies without coordinated omission
    Open,
    /// Closed, and then open at parts of what that came to
    Curve,
}

#[derive(Debug, clap::Args)]
pub(super) struct Run {
    /// The server, such as `http://127.0.0.1:7070`; it holds the policy that the questions are about
    #[arg(long, value_name = "URL", required_unless_present = "embedded")]
    server: Option<String>,
    /// Start a server in this process, on loopback, with the organisation of --size and --seed
    #[arg(long, conflicts_with = "server")]
    embedded: bool,
    /// The tenant; empty means the default one
    #[arg(long, default_value = "")]
    tenant: String,
    /// How many assignments the organisation has that questions and changes are made for
    #[arg(long, default_value_t = 10_000)]
    size: u64,
    /// The seed of the organisation and of the questions
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Questions from a file of `loadtest generate` instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["count", "skew", "allow"])]
    questions: Option<PathBuf>,
    /// How many questions to draw
    #[arg(long, default_value_t = 100_000)]
    count: usize,
    /// How questions are drawn
    #[arg(long, value_enum, default_value_t = SkewArg::Uniform)]
    skew: SkewArg,
    /// The share of questions that are answered ALLOW
    #[arg(long, default_value_t = 0.5)]
    allow: f64,
    /// How requests are sent
    #[arg(long, value_enum, default_value_t = Mode::Curve)]
    mode: Mode,
    /// How many connections
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// How many requests are under way on each connection, in a closed loop
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    /// Requests a second, in an open loop; several make several steps
    #[arg(long, value_delimiter = ',')]
    rate: Vec<f64>,
    /// In an open loop, go evenly from the first rate to this one
    #[arg(long)]
    ramp_to: Option<f64>,
    /// How long each step is measured, in seconds; hours make a soak
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// How long before each step nothing is measured, in seconds
    #[arg(long, default_value_t = 2.0)]
    warm_up: f64,
    /// Ask in batches of so many
    #[arg(long)]
    batch: Option<usize>,
    /// Ask over streams, one on each connection; `in-flight` questions of each are unanswered at a time
    #[arg(long, conflicts_with_all = ["batch", "writes"])]
    stream: bool,
    /// The share of requests that are change sets of one assignment
    #[arg(long, default_value_t = 0.0)]
    writes: f64,
    /// Print JSON instead of the table
    #[arg(long)]
    json: bool,
    /// Also write the JSON to a file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write a plot of latency against load
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
}

// === impl Run ===

impl Run {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        ensure!(
            (0.0..=1.0).contains(&self.writes),
            "`writes` is {}; it must be 0 to 1",
            self.writes
        );
        ensure!(
            !self.stream || self.mode == Mode::Closed,
            "`stream` goes with `--mode closed`: there is no schedule that a stream keeps"
        );
        self.check_rates()?;
        let [duration, warm_up] = [("seconds", self.seconds), ("warm-up", self.warm_up)]
            .map(|(name, seconds)| seconds_of(name, seconds));
        let (duration, warm_up) = (duration?, warm_up?);
        let organisation = Organisation::new(Shape::sized(self.size), self.seed)?;
        let script = self.script(&organisation)?;
        let filled = match self.embedded {
            true => Some(Filled::with(&organisation.changes().collect::<Vec<Change>>())?),
            false => None,
        };
        let embedded = filled.as_ref().map(|it| Embedded::start(it.path())).transpose()?;
        let endpoint = match (&embedded, &self.server) {
            (Some(embedded), _) => embedded.endpoint().to_owned(),
            (None, Some(server)) => server.clone(),
            (None, None) => bail!("say --server or --embedded"),
        };
        let runtime = tokio::runtime::Runtime::new()?;
        let steps = runtime.block_on(self.measure(&endpoint, &script, warm_up, duration))?;
        drop(runtime);
        embedded.map(Embedded::stop).transpose()?;
        self.report(steps)
    }

    fn check_rates(&self) -> anyhow::Result<()> {
        let open = self.mode == Mode::Open;
        ensure!(
            open != self.rate.is_empty(),
            "`rate` goes with `--mode open`, and that with `rate`"
        );
        let ramp = self.ramp_to.is_none() || self.rate.len() == 1;
        ensure!(ramp, "`ramp-to` goes with one `rate`");
        for rate in self.rate.iter().chain(&self.ramp_to) {
            let held = *rate > 0.0 && *rate <= MAX_RATE;
            ensure!(held, "a rate is {rate}; it must be more than 0 and at most {MAX_RATE}");
        }
        Ok(())
    }

    fn script(&self, organisation: &Organisation) -> anyhow::Result<Script> {
        let asks = match &self.questions {
            Some(path) => {
                let told = || format!("cannot read {}", path.display());
                let file = File::open(path).with_context(told)?;
                read(BufReader::new(file)).with_context(told)?
            }
            None => {
                progress("drawing questions");
                self.sample(organisation)?
            }
        };
        let requests = match self.batch {
            None if self.stream => Requests::streamed(&self.tenant, &asks),
            Some(size) => Requests::batches(&self.tenant, &asks, size),
            None => Requests::checks(&self.tenant, &asks),
        };
        if self.writes == 0.0 {
            return Ok(Script::of(requests));
        }
        let writes = Requests::applies(&self.tenant, &written(organisation, self.size)?);
        Ok(Script::with_writes(requests, writes, self.writes))
    }

    fn sample(&self, organisation: &Organisation) -> anyhow::Result<Vec<Ask>> {
        let snapshot = compile(&hold(organisation.facts())?, Revision::new(1));
        let (allow, count, seed) = (self.allow, self.count, self.seed);
        let mix = Mix { skew: self.skew.into(), allow, count, seed };
        Ok(sample(organisation, &snapshot, mix, NOW)?)
    }

    async fn measure(
        &self,
        endpoint: &str,
        script: &Script,
        warm_up: Duration,
        duration: Duration,
    ) -> anyhow::Result<Vec<Step>> {
        let to = connect(endpoint, self.connections, script).await?;
        let (connections, in_flight) = (self.connections, self.in_flight);
        let timing = Timing::new(warm_up, duration);
        let what = match self.batch {
            Some(size) => format!("batch of {size}"),
            None if self.stream => "stream".to_owned(),
            None => "check".to_owned(),
        };
        let mut steps = Vec::new();
        if self.mode != Mode::Open {
            let label = format!("{what}, closed, {connections} x {in_flight}");
            progress(&label);
            let summary = match self.stream {
                true => stream_loop(&to, script, in_flight, timing).await?,
                false => closed_loop(&to, script, in_flight, timing).await?,
            };
            steps.push(Step { label, rate: None, summary });
        }
        let can = steps.first().map_or(0.0, |step| step.summary.requests_per_second);
        let rates: Vec<(f64, f64)> = match (self.mode, self.ramp_to) {
            (Mode::Closed, _) => Vec::new(),
            (Mode::Curve, _) => CURVE.iter().map(|part| (can * part, can * part)).collect(),
            (Mode::Open, Some(to)) => {
                self.rate.first().map(|from| (*from, to)).into_iter().collect()
            }
            (Mode::Open, None) => self.rate.iter().map(|rate| (*rate, *rate)).collect(),
        };
        for (from, until) in rates {
            let label = match from == until {
                true => format!("{what}, open"),
                false => format!("{what}, open, {from:.0} to {until:.0}/s"),
            };
            progress(&format!("{label} at {from:.0}/s"));
            let schedule = Schedule::ramp(from, until, warm_up + duration);
            let summary = open_loop(&to, script, schedule, timing).await?;
            steps.push(Step { label, rate: Some(f64::midpoint(from, until)), summary });
        }
        Ok(steps)
    }

    fn report(&self, steps: Vec<Step>) -> anyhow::Result<ExitCode> {
        let of = self.server.as_deref().unwrap_or("an embedded server");
        let skew = pdp_loadtest::random::Skew::from(self.skew).as_str();
        let asked = match &self.questions {
            Some(path) => format!("questions of {}", path.display()),
            None => format!("{skew} questions, {} allowed, size {}", self.allow, self.size),
        };
        let about = format!("{of}, {asked}, {} of requests write", self.writes);
        let report = Report { machine: Machine::this(), about, steps };
        if let Some(path) = &self.out {
            save(path, &json(&report)?)?;
        }
        if let Some(path) = &self.svg {
            save(path, &plot(&report)?)?;
        }
        tell(&if self.json { json(&report)? } else { report.text() })?;
        let clean = |step: &Step| is_clean(&step.summary);
        Ok(if report.steps.iter().all(clean) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Connections to a server that answers.
async fn connect(endpoint: &str, count: usize, script: &Script) -> anyhow::Result<Vec<Connection>> {
    let mut connections = Connection::open_many(endpoint, count).await?;
    if let Some(first) = connections.first_mut() {
        let mut waited = 0;
        while let Err(error) = try_once(first, &script.requests).await {
            let loading = matches!(&error, pdp_loadtest::drive::DriveError::Refused(status)
                if status.code() == pdp_client::Code::Unavailable);
            ensure!(loading && waited < READY_MS, error);
            tokio::time::sleep(Duration::from_millis(10)).await;
            waited += 10;
        }
    }
    Ok(connections)
}

/// Assignments to write over and over: those of the organisation under names of their own, which end
/// at another time each time around.
fn written(organisation: &Organisation, size: u64) -> anyhow::Result<Vec<Change>> {
    let change = |n: u64| {
        let mut assignment = organisation.grant((n % WRITTEN) % size.max(1)).assignment;
        assignment.id = AssignmentId::new(format!("loadtest-write-{}", n % WRITTEN))?;
        let until = NOW.as_micros().saturating_add(3_600_000_000 * (n.cast_signed() + 1));
        assignment.window = Window { from: None, until: Some(Timestamp::from_micros(until)) };
        Ok(Change::Put(assignment.into()))
    };
    (0..WRITTEN * 10).map(change).collect()
}

fn seconds_of(name: &str, seconds: f64) -> anyhow::Result<Duration> {
    ensure!(seconds.is_finite() && seconds >= 0.0, "`{name}` is {seconds}; it must be 0 or more");
    Ok(Duration::try_from_secs_f64(seconds)?)
}
