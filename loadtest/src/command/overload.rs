//! `loadtest overload`.

use std::process::ExitCode;
use std::time::Duration;

use pdp_loadtest::overload::Settings;
use pdp_loadtest::report::{Machine, OverloadReport};

use super::{Output, progress};

#[derive(Debug, clap::Args)]
pub(super) struct OverloadArgs {
    /// How many assignments the policy has
    #[arg(long, default_value_t = Settings::default().size)]
    size: u64,
    /// The seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long each of the four loads is measured in each of five rounds, in milliseconds
    #[arg(long, default_value_t = Settings::default().slice.as_millis() as u64)]
    milliseconds: u64,
    /// How many connections ask
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// How many questions each request asks
    #[arg(long, default_value_t = Settings::default().batch)]
    batch: usize,
    /// How many questions there are
    #[arg(long, default_value_t = 20_000)]
    questions: usize,
    /// How long the server lets a request wait, in milliseconds
    #[arg(long, default_value_t = Settings::default().max_queue_ms)]
    max_queue_ms: u64,
    /// How many requests the server takes on a connection at once
    #[arg(long, default_value_t = Settings::default().max_connection_requests)]
    max_connection_requests: u32,
    /// Ask over HTTP, for evaluations of AuthZEN
    #[arg(long)]
    http: bool,
    /// Let requests come by chance, as of many callers (a Poisson process), and not evenly
    #[arg(long)]
    by_chance: bool,
    #[command(flatten)]
    output: Output,
}

// === impl OverloadArgs ===

impl OverloadArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let Self { size, seed, connections, batch, questions, max_queue_ms, .. } = self;
        let Self { max_connection_requests, http, by_chance, .. } = self;
        let slice = Duration::from_millis(self.milliseconds);
        let settings = Settings {
            size,
            seed,
            slice,
            connections,
            batch,
            questions,
            max_queue_ms,
            max_connection_requests,
            http,
            by_chance,
        };
        let overloaded = settings.measure(&mut progress)?;
        let missed = overloaded.figures.iter().any(|figure| !figure.met);
        let machine = Machine::this();
        let report = OverloadReport { machine, size, seed, batch, http, by_chance, overloaded };
        self.output.give(&report, &report.text(), missed)
    }
}
