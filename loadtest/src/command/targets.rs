//! `loadtest targets`.

use std::process::ExitCode;
use std::time::Duration;

use pdp_loadtest::report::{Machine, TargetsReport};
use pdp_loadtest::targets::{Settings, measure};

use super::{Output, progress};

#[derive(Debug, clap::Args)]
pub(super) struct TargetsArgs {
    /// How many assignments the policy has; a million is what the targets are for
    #[arg(long, default_value_t = 10_000)]
    size: u64,
    /// The seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many rounds, at least five
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each side is measured in a round, in milliseconds
    #[arg(long, default_value_t = 1_000)]
    milliseconds: u64,
    /// How many connections
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// How many requests are under way on each connection
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    /// How large the buffer is in which memory latency is measured, in MiB
    #[arg(long, default_value_t = 256)]
    buffer_mib: usize,
    /// How many questions of each mix
    #[arg(long, default_value_t = 100_000)]
    questions: usize,
    #[command(flatten)]
    output: Output,
}

// === impl TargetsArgs ===

impl TargetsArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let settings = Settings {
            size: self.size,
            seed: self.seed,
            rounds: self.rounds,
            duration: Duration::from_millis(self.milliseconds),
            connections: self.connections,
            in_flight: self.in_flight,
            buffer_bytes: self.buffer_mib.saturating_mul(1 << 20),
            questions: self.questions,
        };
        let targets = measure(&settings, &mut progress)?;
        let missed = targets.iter().any(|target| target.verdict == "not met");
        let Settings { size, seed, rounds, .. } = settings;
        let report = TargetsReport { machine: Machine::this(), size, seed, rounds, targets };
        self.output.give(&report, &report.text(), missed)
    }
}
