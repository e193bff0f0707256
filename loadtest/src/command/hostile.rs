//! `loadtest hostile`.

use std::process::ExitCode;
use std::time::Duration;

use pdp_loadtest::hostile::Settings;
use pdp_loadtest::report::{HostileReport, Machine};

use super::{Output, progress};

#[derive(Debug, clap::Args)]
pub(super) struct HostileArgs {
    /// How many assignments the policy has
    #[arg(long, default_value_t = 10_000)]
    size: u64,
    /// The seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many rounds, at least five
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long is measured with each guest, and without, in a round, in milliseconds
    #[arg(long, default_value_t = 1_000)]
    milliseconds: u64,
    /// How many connections ask
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// At which part of what the server can do is asked
    #[arg(long, default_value_t = 0.25)]
    load: f64,
    /// How many questions there are
    #[arg(long, default_value_t = 20_000)]
    questions: usize,
    #[command(flatten)]
    output: Output,
}

// === impl HostileArgs ===

impl HostileArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let Self { size, seed, rounds, connections, load, questions, .. } = self;
        let slice = Duration::from_millis(self.milliseconds);
        let settings = Settings { size, seed, rounds, slice, connections, load, questions };
        let evening = settings.measure(&mut progress)?;
        let missed = evening.felt.iter().any(|felt| !felt.met);
        let report = HostileReport { machine: Machine::this(), size, seed, rounds, evening };
        self.output.give(&report, &report.text(), missed)
    }
}
