//! `loadtest soak`, and the hidden command that is its server.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use pdp_loadtest::report::{Machine, SoakReport};
use pdp_loadtest::soak::{ServerProcess, Settings, serve_until_told};

use super::{Output, progress};

#[derive(Debug, clap::Args)]
pub(super) struct Soak {
    /// How many assignments the policy has
    #[arg(long, default_value_t = Settings::default().size)]
    size: u64,
    /// The seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long is measured, in seconds
    #[arg(long, default_value_t = Settings::default().duration.as_secs())]
    seconds: u64,
    /// How long the server works before, in seconds
    #[arg(long, default_value_t = Settings::default().warm_up.as_secs())]
    warm_up: u64,
    /// How many questions there are
    #[arg(long, default_value_t = Settings::default().questions)]
    questions: usize,
    /// How many sessions have come and gone before
    #[arg(long, default_value_t = Settings::default().sessions_before)]
    sessions_before: usize,
    #[command(flatten)]
    output: Output,
}

/// The server of a soak.
#[derive(Debug, clap::Args)]
pub(super) struct SoakServer {
    /// Where the store is
    #[arg(long)]
    folder: PathBuf,
}

// === impl Soak ===

impl Soak {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let Self { size, seed, questions, sessions_before, .. } = self;
        let [warm_up, duration] = [self.warm_up, self.seconds].map(Duration::from_secs);
        let settings = Settings { size, seed, warm_up, duration, questions, sessions_before };
        let start = |folder: &std::path::Path| {
            let name = "soak-server";
            ServerProcess::start(&[name.as_ref(), OsStr::new("--folder"), folder.as_os_str()])
        };
        let soaked = settings.measure(start, &mut progress)?;
        let missed = soaked.grown.iter().any(|grown| !grown.met);
        let report = SoakReport { machine: Machine::this(), size, seed, soaked };
        self.output.give(&report, &report.text(), missed)
    }
}

// === impl SoakServer ===

impl SoakServer {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        serve_until_told(&self.folder, &mut io::stdout().lock())?;
        Ok(ExitCode::SUCCESS)
    }
}
