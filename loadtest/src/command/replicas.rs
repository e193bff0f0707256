//! `loadtest replicas`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use pdp_loadtest::replicas::Settings;
use pdp_loadtest::report::{Machine, ReplicasReport};

use super::{Output, progress};

/// Names etcd's program where no option does.
const ETCD: &str = "PDP_ETCD";

#[derive(Debug, clap::Args)]
pub(super) struct ReplicasArgs {
    /// How many assignments the policy has
    #[arg(long, default_value_t = 100_000)]
    size: u64,
    /// The seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many changes are followed from one server to another
    #[arg(long, default_value_t = 1_000)]
    changes: u64,
    /// How long is waited between two of them, in milliseconds
    #[arg(long, default_value_t = 10)]
    pause_ms: u64,
    /// How long so many servers are asked in each of five rounds, in milliseconds
    #[arg(long, default_value_t = 2_000)]
    milliseconds: u64,
    /// How many connections ask, in all
    #[arg(long, default_value_t = 6)]
    connections: usize,
    /// How many requests are under way on each connection
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    /// How many questions there are
    #[arg(long, default_value_t = 20_000)]
    questions: u64,
    /// etcd's program; the one that `PDP_ETCD` names unless said
    #[arg(long, value_name = "FILE")]
    etcd: Option<PathBuf>,
    /// The server's program; `pdp-server` beside this one unless said
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// Where data goes while it is measured; a disk, as commits wait for it
    #[arg(long, value_name = "FOLDER", default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    #[command(flatten)]
    output: Output,
}

// === impl ReplicasArgs ===

impl ReplicasArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let Self { size, seed, changes, connections, in_flight, questions, .. } = self;
        let etcd = self.etcd.or_else(|| std::env::var_os(ETCD).map(PathBuf::from));
        let etcd = etcd.with_context(|| format!("name etcd's program: `--etcd`, or `{ETCD}`"))?;
        let beside =
            || Ok::<_, std::io::Error>(std::env::current_exe()?.with_file_name("pdp-server"));
        let settings = Settings {
            size,
            seed,
            changes,
            pause: Duration::from_millis(self.pause_ms),
            slice: Duration::from_millis(self.milliseconds),
            connections,
            in_flight,
            questions,
            etcd,
            server: self.server.map_or_else(beside, Ok)?,
            folder: self.folder,
        };
        let runtime = tokio::runtime::Runtime::new()?;
        let replicated = runtime.block_on(settings.measure(&mut progress))?;
        let missed = !replicated.is_shown_in_time() || !replicated.has_room();
        let report = ReplicasReport { machine: Machine::this(), size, seed, replicated };
        self.output.give(&report, &report.text(), missed)
    }
}
