//! The command line: one file a command. Results go to standard output, progress to standard error.

mod floor;
mod generate;
mod hostile;
mod overload;
mod replicas;
mod run;
mod scale;
mod shards;
mod soak;
mod targets;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

/// Load tests of the policy decision point: organisations, load, floors, targets
#[derive(Debug, clap::Parser)]
#[command(name = "loadtest", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write a seeded organisation as a policy bundle, with questions if you like
    Generate(generate::Generate),
    /// Load a server and report latencies
    Run(run::Run),
    /// Measure what the transport costs: an echo that does nothing, alone and in batches
    Floor(floor::FloorArgs),
    /// Measure the targets, and say which are met
    Targets(targets::TargetsArgs),
    /// Measure how cost grows with the policy, and draw it
    Scale(scale::Scale),
    /// Measure what other clients feel of one that behaves badly, or asks for much
    Hostile(hostile::HostileArgs),
    /// Measure what the server does that is asked five times what it can do
    Overload(overload::OverloadArgs),
    /// Measure what grows in a server that works for long
    Soak(soak::Soak),
    /// The server of a soak
    #[command(hide = true)]
    SoakServer(soak::SoakServer),
    /// Measure servers that share a log in etcd: how soon a change counts at another, what etcd holds
    Replicas(replicas::ReplicasArgs),
    /// Simulate in which of several etcds tenants live
    Shards(shards::ShardsArgs),
    /// One part of one size, for `scale`
    #[command(hide = true)]
    ScalePart(scale::ScalePart),
}

// === impl Cli ===

impl Cli {
    /// Runs the command.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Generate(it) => it.run(),
            Command::Run(it) => it.run(),
            Command::Floor(it) => it.run(),
            Command::Targets(it) => it.run(),
            Command::Scale(it) => it.run(),
            Command::Hostile(it) => it.run(),
            Command::Overload(it) => it.run(),
            Command::Soak(it) => it.run(),
            Command::SoakServer(it) => it.run(),
            Command::Replicas(it) => it.run(),
            Command::Shards(it) => it.run(),
            Command::ScalePart(it) => it.run(),
        }
    }
}

/// Where the report of a measurement goes.
#[derive(Debug, clap::Args)]
struct Output {
    /// Print JSON instead of the table
    #[arg(long)]
    json: bool,
    /// Also write the JSON to a file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Exit with 1 if a bound is not met
    #[arg(long)]
    strict: bool,
}

// === impl Output ===

impl Output {
    /// Gives a report as it is wanted; `missed` is whether a bound is not met.
    fn give(
        &self,
        report: &impl serde::Serialize,
        text: &str,
        missed: bool,
    ) -> anyhow::Result<ExitCode> {
        let json = json(report)?;
        if let Some(path) = &self.out {
            save(path, &json)?;
        }
        tell(if self.json { &json } else { text })?;
        Ok(if missed && self.strict { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn tell(text: &str) -> anyhow::Result<()> {
    Ok(io::stdout().lock().write_all(text.as_bytes())?)
}

fn progress(text: &str) {
    // Where standard error is gone there is nobody to tell.
    writeln!(io::stderr(), "{text}").ok();
}

fn save(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn json<T: serde::Serialize>(value: &T) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}
