//! `loadtest shards`.

use std::process::ExitCode;

use pdp_loadtest::report::ShardsReport;
use pdp_loadtest::shards::Settings;

use super::{json, tell};

#[derive(Debug, clap::Args)]
pub(super) struct ShardsArgs {
    /// How many tenants there are
    #[arg(long, default_value_t = 10_000, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=100_000))]
    tenants: usize,
    /// How many shards there are before one is added
    #[arg(long, default_value_t = 8, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=256))]
    shards: usize,
    /// The seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON instead of the table
    #[arg(long)]
    json: bool,
}

// === impl ShardsArgs ===

impl ShardsArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let Self { tenants, shards, seed, json: as_json } = self;
        let simulated = Settings { tenants, shards, seed }.simulate();
        let report = ShardsReport { tenants, shards, seed, simulated };
        tell(&if as_json { json(&report)? } else { report.text() })?;
        Ok(ExitCode::SUCCESS)
    }
}
