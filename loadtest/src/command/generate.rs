//! `loadtest generate`.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use pdp_bundle::export;
use pdp_engine::compile::compile;
use pdp_engine::query::Revision;
use pdp_loadtest::matrix::ScaledMatrix;
use pdp_loadtest::organisation::{NOW, Organisation};
use pdp_loadtest::questions::{self, Mix, Workload, hold, sample};
use pdp_loadtest::random::Skew;
use pdp_loadtest::shape::Shape;

use super::progress;

/// How questions are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum SkewArg {
    /// Every key as often as every other
    Uniform,
    /// Few keys often: Zipf's law
    Zipf,
}

impl From<SkewArg> for Skew {
    fn from(skew: SkewArg) -> Self {
        match skew {
            SkewArg::Uniform => Self::Uniform,
            SkewArg::Zipf => Self::Zipf,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Generate {
    /// The seed: the same seed and shape make the same bytes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Take the usual proportions for so many assignments, instead of the shape below
    #[arg(long, value_name = "ASSIGNMENTS", conflicts_with = "Shape")]
    size: Option<u64>,
    #[command(flatten)]
    shape: Shape,
    /// Take an access matrix instead: the files DIR/NAME.pairs.txt and DIR/NAME.roles.txt
    #[arg(long, value_name = "DIR/NAME", conflicts_with_all = ["size", "Shape"])]
    from_matrix: Option<PathBuf>,
    /// How many copies of the matrix
    #[arg(long, default_value_t = 1, requires = "from_matrix")]
    scale: u64,
    /// Where the bundle goes
    #[arg(long, value_name = "FILE.yaml")]
    out: PathBuf,
    /// Where questions go, one a line; this holds the policy in memory to answer them
    #[arg(long, value_name = "FILE")]
    questions: Option<PathBuf>,
    /// How many questions
    #[arg(long, default_value_t = 100_000)]
    count: usize,
    /// How questions are drawn
    #[arg(long, value_enum, default_value_t = SkewArg::Uniform)]
    skew: SkewArg,
    /// The share of questions that are answered ALLOW
    #[arg(long, default_value_t = 0.5)]
    allow: f64,
}

// === impl Generate ===

impl Generate {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let workload: Box<dyn Workload> = match &self.from_matrix {
            Some(base) => Box::new(ScaledMatrix::read(base, self.scale)?),
            None => {
                let shape = self.size.map_or_else(|| self.shape.clone(), Shape::sized);
                Box::new(Organisation::new(shape, self.seed)?)
            }
        };
        self.write(&*workload)?;
        if let Some(path) = &self.questions {
            self.write_questions(&*workload, path)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn write(&self, workload: &dyn Workload) -> anyhow::Result<()> {
        let told = || format!("cannot write {}", self.out.display());
        let mut out = BufWriter::new(File::create(&self.out).with_context(told)?);
        let (mut facts, mut bytes) = (0_u64, 0_u64);
        for line in export::stream(workload.all()) {
            out.write_all(line.as_bytes()).with_context(told)?;
            facts += 1;
            bytes += line.len() as u64;
        }
        out.flush().with_context(told)?;
        progress(&format!("{}: {facts} facts, {bytes} bytes", self.out.display()));
        Ok(())
    }

    fn write_questions(&self, workload: &dyn Workload, path: &Path) -> anyhow::Result<()> {
        let snapshot = compile(&hold(workload.all())?, Revision::new(1));
        let (allow, count, seed) = (self.allow, self.count, self.seed);
        let mix = Mix { skew: self.skew.into(), allow, count, seed };
        let asks = sample(workload, &snapshot, mix, NOW)?;
        let told = || format!("cannot write {}", path.display());
        let mut out = BufWriter::new(File::create(path).with_context(told)?);
        questions::write(&asks, &mut out).with_context(told)?;
        out.flush().with_context(told)?;
        progress(&format!("{}: {count} questions", path.display()));
        Ok(())
    }
}
