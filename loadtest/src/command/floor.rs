//! `loadtest floor`.

use std::process::ExitCode;
use std::time::Duration;

use pdp_loadtest::drive::{Connection, Script, Timing, closed_loop, stream_loop};
use pdp_loadtest::floor::{BATCH, EMPTY, Floor, MANY, ONE, STREAM};
use pdp_loadtest::questions::Ask;
use pdp_loadtest::report::{Machine, Report, Step};
use pdp_loadtest::wire::Requests;
use pdp_server::config::GrpcThreads;
use prost::bytes::Bytes;

use super::{json, tell};

/// How many questions of a stream are unanswered, for each request that is under way otherwise: they are
/// bytes, and no calls.
const UNANSWERED: usize = 8;

#[derive(Debug, clap::Args)]
pub(super) struct FloorArgs {
    /// How many connections
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// How many requests are under way on each connection
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    /// How long each is measured, in milliseconds
    #[arg(long, default_value_t = 2_000)]
    milliseconds: u64,
    /// The threads that serve it, as the server's setting of this name
    #[arg(long, default_value_t)]
    grpc_threads: GrpcThreads,
    /// Print JSON instead of the table
    #[arg(long)]
    json: bool,
}

// === impl FloorArgs ===

impl FloorArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let floor = Floor::start(self.grpc_threads)?;
        let runtime = tokio::runtime::Runtime::new()?;
        let steps = runtime.block_on(self.measure(&floor))?;
        let about = "the transport alone: echoes that do nothing".to_owned();
        let report = Report { machine: Machine::this(), about, steps };
        tell(&if self.json { json(&report)? } else { report.text() })?;
        Ok(ExitCode::SUCCESS)
    }

    async fn measure(&self, floor: &Floor) -> anyhow::Result<Vec<Step>> {
        // A question of the usual length.
        let line = "DENY\tperson:p12345\toperation:Export\tDoc05:r123456";
        let ask = Ask::from_line(line).map_err(anyhow::Error::msg)?;
        let body = |requests: &Requests| requests.at(0).map(|it| it.body.clone());
        let one = body(&Requests::checks("", std::slice::from_ref(&ask))).unwrap_or_default();
        let asks = vec![ask; BATCH];
        let many = body(&Requests::batches("", &asks, BATCH)).unwrap_or_default();
        let (all, alone) = ((self.connections, self.in_flight), (1, 1));
        let batches = (self.connections, self.in_flight.min(4));
        let streams = (self.connections, self.in_flight * UNANSWERED);
        let questions = BATCH as u32;
        let mut steps = Vec::new();
        for (label, path, body, questions, load) in [
            ("empty echo", EMPTY, Bytes::new(), 1, all),
            ("echo of a Check's bytes", ONE, one.clone(), 1, all),
            ("echo of a batch of 100, questions", MANY, many, questions, batches),
            ("stream of a Check's bytes", STREAM, one.clone(), 1, streams),
            ("empty echo", EMPTY, Bytes::new(), 1, alone),
            ("echo of a Check's bytes", ONE, one, 1, alone),
        ] {
            let (connections, in_flight) = load;
            let label = format!("{label}, {connections} x {in_flight}");
            let to = Connection::open_many(floor.endpoint(), connections).await?;
            let duration = Duration::from_millis(self.milliseconds);
            let timing = Timing::new(duration / 5, duration);
            let script = Script::of(Requests::floor(path, body, questions));
            let summary = match path {
                STREAM => stream_loop(&to, &script, in_flight, timing).await?,
                _ => closed_loop(&to, &script, in_flight, timing).await?,
            };
            steps.push(Step { label, rate: None, summary });
        }
        Ok(steps)
    }
}
