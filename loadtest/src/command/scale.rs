//! `loadtest scale`, and the hidden command that measures one part of one size for it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use pdp_loadtest::memory;
use pdp_loadtest::report::{Machine, ScaleReport, plot_scale};
use pdp_loadtest::scale::{Children, Each, Part, Plan, PolicyFigures, StartFigures, StoreFigures};

use super::{json, progress, save, tell};

/// The size that is measured only if it is asked for: it takes tens of gigabytes.
const LARGEST: u64 = 10_000_000;

#[derive(Debug, clap::Args)]
pub(super) struct Scale {
    /// How many assignments the policies have, from small to large
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 30_000, 100_000, 300_000, 1_000_000])]
    sizes: Vec<u64>,
    /// Also measure 10,000,000 assignments, if memory allows
    #[arg(long)]
    largest: bool,
    #[command(flatten)]
    each: Each,
    /// How long one part of one size may take, in minutes
    #[arg(long, default_value_t = 20)]
    minutes: u64,
    /// Print JSON instead of the table
    #[arg(long)]
    json: bool,
    /// Also write the JSON to a file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Draw the curves
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
}

/// One part of one size.
#[derive(Debug, clap::Args)]
pub(super) struct ScalePart {
    /// Which
    #[arg(value_enum)]
    part: Part,
    /// How many assignments
    #[arg(long)]
    size: u64,
    #[command(flatten)]
    each: Each,
    /// Where the store is
    #[arg(long)]
    folder: Option<PathBuf>,
}

// === impl Scale ===

impl Scale {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut sizes = self.sizes;
        sizes.extend(Some(LARGEST).filter(|size| self.largest && !sizes.contains(size)));
        let patience = Duration::from_secs(self.minutes.saturating_mul(60));
        let plan = Plan { sizes, each: self.each, patience };
        let mut children = Children::new(self.each, patience)?;
        let rows = plan.measure(&mut children, &mut progress)?;
        let Each { seed, rounds, .. } = self.each;
        let (machine, caches) = (Machine::this(), memory::caches());
        let report = ScaleReport { machine, caches, seed, rounds, rows };
        if let Some(path) = &self.out {
            save(path, &json(&report)?)?;
        }
        if let Some(path) = &self.svg {
            save(path, &plot_scale(&report)?)?;
        }
        tell(&if self.json { json(&report)? } else { report.text() })?;
        Ok(ExitCode::SUCCESS)
    }
}

// === impl ScalePart ===

impl ScalePart {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let Self { part, size, each, folder } = self;
        let folder = || folder.as_deref().context("`--folder` is missing");
        tell(&match part {
            Part::Policy => json(&PolicyFigures::measure(size, &each)?)?,
            Part::Store => json(&StoreFigures::measure(size, &each, folder()?)?)?,
            Part::Start => json(&StartFigures::measure(size, &each, folder()?)?)?,
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
