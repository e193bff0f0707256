//! `peers`: the load test's organisation and questions through other engines, beside this project's.
//!
//! A crate and a workspace of its own: nothing else builds these engines.

#![forbid(unsafe_code)]

mod casbin;
mod cedar;
mod cerbos;
mod engines;
mod grants;
mod peer;
mod published;
mod rego;
mod report;
mod world;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;

use report::Told;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The same questions through other engines, each answer held against ours
#[derive(Debug, clap::Parser)]
#[command(name = "peers", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Cedar, regorus and casbin in this process
    Engines(EnginesArgs),
    /// The applications that Cedar's authors measure it with, as their policy and as ours
    Published(PublishedArgs),
    /// A Cerbos server beside this one, over gRPC
    Cerbos(CerbosArgs),
}

#[derive(Debug, clap::Args)]
struct EnginesArgs {
    /// How many assignments the policy has; 100,000 is what the targets are for
    #[arg(long, default_value_t = 10_000)]
    size: u64,
    /// The seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many rounds, at least five
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How many questions are measured in a round; as many are asked before
    #[arg(long, default_value_t = 5_000)]
    questions: usize,
    /// How many of those are asked of what goes through every assignment
    #[arg(long, default_value_t = 20)]
    slow_questions: usize,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct PublishedArgs {
    /// How many there are of each kind: people, groups, documents and so on
    #[arg(long, default_value_t = 50)]
    entities: u64,
    /// How probable a connection between two is
    #[arg(long, default_value_t = 0.05)]
    connected: f64,
    /// The seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many rounds, at least five
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How many questions are measured in a round; as many are asked before
    #[arg(long, default_value_t = 5_000)]
    questions: usize,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct CerbosArgs {
    /// How many assignments the policy has
    #[arg(long, default_value_t = 10_000)]
    size: u64,
    /// The seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many rounds, at least five
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each server is measured in a round, in milliseconds
    #[arg(long, default_value_t = 1_000)]
    milliseconds: u64,
    /// How many connections
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// How many requests are under way on each connection
    #[arg(long, default_value_t = 8)]
    in_flight: usize,
    /// How many questions there are
    #[arg(long, default_value_t = 5_000)]
    questions: usize,
    /// The Cerbos binary; without it the one of the npm registry is fetched, once, with npm
    #[arg(long, env = "PDP_CERBOS", value_name = "FILE")]
    binary: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct Output {
    /// Print JSON instead of the table
    #[arg(long)]
    json: bool,
    /// Also write the JSON to a file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    match Cli::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is gone there is nobody to tell.
            writeln!(std::io::stderr(), "peers: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

fn progress(text: &str) {
    // Where standard error is gone there is nobody to tell.
    writeln!(std::io::stderr(), "{text}").ok();
}

// === impl Command ===

impl Command {
    fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Engines(args) => args.run(),
            Self::Published(args) => args.run(),
            Self::Cerbos(args) => args.run(),
        }
    }
}

// === impl EnginesArgs ===

impl EnginesArgs {
    fn run(self) -> anyhow::Result<()> {
        let Self { size, seed, rounds, questions, slow_questions, output } = self;
        let settings = engines::Settings { size, seed, rounds, questions, slow_questions };
        let report = engines::measure(&settings, &mut progress)?;
        let text = report.text();
        output.tell(&Told::here(report), &text)
    }
}

// === impl PublishedArgs ===

impl PublishedArgs {
    fn run(self) -> anyhow::Result<()> {
        let Self { entities, connected, seed, rounds, questions, output } = self;
        let settings = published::Settings { entities, connected, seed, rounds, questions };
        let report = published::measure(&settings, &mut progress)?;
        let text = report.text();
        output.tell(&Told::here(report), &text)
    }
}

// === impl CerbosArgs ===

impl CerbosArgs {
    fn run(self) -> anyhow::Result<()> {
        let settings = cerbos::Settings {
            size: self.size,
            seed: self.seed,
            rounds: self.rounds,
            slice: Duration::from_millis(self.milliseconds),
            connections: self.connections,
            in_flight: self.in_flight,
            questions: self.questions,
        };
        let binary = match self.binary {
            Some(binary) => binary,
            None => cerbos::fetch(&mut progress)?,
        };
        let report = cerbos::measure(&settings, &binary, &mut progress)?;
        let text = report.text();
        self.output.tell(&Told::here(report), &text)
    }
}

// === impl Output ===

impl Output {
    fn tell<T: serde::Serialize>(&self, told: &Told<T>, text: &str) -> anyhow::Result<()> {
        let json = serde_json::to_string_pretty(told)? + "\n";
        if let Some(path) = &self.out {
            std::fs::write(path, &json)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        let shown = if self.json { json } else { format!("{}{text}", told.head()) };
        Ok(std::io::stdout().lock().write_all(shown.as_bytes())?)
    }
}
