//! `differential`: the engine against the oracle, for as long as you like.

#![forbid(unsafe_code)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser as _;
use pdp_tests::differential::{Fault, Plan, Tally};

/// How often progress is told.
const TOLD: Duration = Duration::from_secs(30);

/// Put the questions of random worlds to the engine and to the oracle until they differ, or until
/// enough was asked. Exit status 1 for a difference, which is made small and written as a case file
/// that `pdpctl test` replays
#[derive(Debug, clap::Parser)]
#[command(name = "differential", version)]
struct Differential {
    /// Which worlds are made: the same seed makes the same worlds
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The first world, to go on from one that a run named
    #[arg(long, value_name = "N", default_value_t = 0)]
    first: u64,
    /// Enough are so many checks
    #[arg(long, value_name = "N")]
    checks: Option<u64>,
    /// Enough are so many seconds; 60 if nothing says what is enough
    #[arg(long, value_name = "S")]
    seconds: Option<u64>,
    /// On so many threads; on every core if absent
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// How many change sets a history has; one history in eight has ten times as many
    #[arg(long, value_name = "N", default_value_t = 200)]
    steps: usize,
    /// Where a difference is written
    #[arg(long, value_name = "FILE", default_value = "difference.yaml")]
    out: PathBuf,
    /// Make a mistake on purpose, to see that it is found
    #[arg(long, value_name = "MISTAKE", value_parser = fault, hide = true)]
    fault: Option<Fault>,
}

fn fault(word: &str) -> Result<Fault, String> {
    let found = Fault::ALL.into_iter().find(|fault| fault.as_str() == word);
    let words = || Fault::ALL.map(Fault::as_str).join(", ");
    found.ok_or_else(|| format!("expected one of {}", words()))
}

// === impl Differential ===

impl Differential {
    fn plan(&self) -> Plan {
        let seconds = self.seconds.or(self.checks.is_none().then_some(60));
        Plan {
            seed: self.seed,
            first: self.first,
            checks: self.checks.unwrap_or(u64::MAX),
            time: seconds.map_or(Duration::MAX, Duration::from_secs),
            threads: self
                .threads
                .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
            fault: self.fault,
            steps: self.steps,
        }
    }

    fn run(&self) -> anyhow::Result<ExitCode> {
        let (begun, told) = (Instant::now(), Mutex::new(Instant::now()));
        let report = self.plan().run(|tally| {
            // Whoever finds it taken leaves it to the other.
            let Ok(mut told) = told.try_lock() else { return };
            if told.elapsed() >= TOLD {
                *told = Instant::now();
                progress(tally, begun);
            }
        });
        let took = begun.elapsed().as_secs_f64();
        let Self { seed, first, .. } = self;
        let mut out = std::io::stdout().lock();
        writeln!(out, "seed {seed}, from world {first} on, in {took:.1} s")?;
        write!(out, "{}", report.tally)?;
        let Some(difference) = report.difference else {
            writeln!(out, "no difference")?;
            return Ok(ExitCode::SUCCESS);
        };
        std::fs::write(&self.out, &difference.text)
            .with_context(|| format!("cannot write {}", self.out.display()))?;
        let (world, file) = (difference.world, self.out.display());
        if difference.replays {
            writeln!(out, "a difference in world {world}; replay it with `pdpctl test {file}`")?;
        } else {
            writeln!(out, "a difference in world {world} that no case file can hold: see {file}")?;
        }
        Ok(ExitCode::FAILURE)
    }
}

fn progress(tally: &Tally, begun: Instant) {
    let (checks, worlds) = (tally.checks(), tally.worlds());
    let took = begun.elapsed().as_secs();
    // Where standard error is gone there is nobody to tell.
    writeln!(std::io::stderr(), "{checks} checks in {worlds} worlds after {took} s").ok();
}

fn main() -> ExitCode {
    match Differential::parse().run() {
        Ok(exit) => exit,
        Err(error) => {
            writeln!(std::io::stderr(), "differential: {error:#}").ok();
            ExitCode::from(2)
        }
    }
}
