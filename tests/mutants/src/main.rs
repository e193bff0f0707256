//! Mutation testing of the engine: takes every mutant that cargo-mutants lists, builds all of them at once, each
//! behind a switch, and asks the tests that take no server about one after the other. What cannot stand behind a
//! switch is built by itself, as cargo-mutants does.
//!
//! A line for each mutant stays in `target/mutants/results.jsonl`.

mod instrument;
mod judge;
mod listed;
mod tree;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use serde::{Deserialize, Serialize};

use crate::judge::{Timed, Verdict, judge, retimed, timed};
use crate::listed::Mutant;
use crate::tree::Tree;

const PACKAGE: &str = "pdp-engine";
const LIBRARY: &str = "pdp-server/engine/src/lib.rs";

#[derive(Debug, Parser)]
#[command(about)]
struct Arguments {
    /// The root of the tree.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// Only mutants whose name, which begins with the file, holds this text; may be repeated.
    #[arg(long)]
    only: Vec<String>,
    /// Only mutants that were missed, or not asked about, in the runs before.
    #[arg(long)]
    again: bool,
    /// Only mutants that were not asked about in the runs before.
    #[arg(long, conflicts_with = "again")]
    rest: bool,
    /// Only suites that take at most so many seconds without a mutant.
    #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..))]
    within: u64,
    /// How many mutants are asked about at a time.
    #[arg(long, default_value = "2")]
    jobs: NonZeroUsize,
}

/// A line of the results.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line {
    name: String,
    verdict: Verdict,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let root = arguments.root.canonicalize()?;
    let folder = root.join("target/mutants");
    fs::create_dir_all(&folder)?;
    let results = folder.join("results.jsonl");
    let known = read(&results)?;
    let chosen = |mutant: &Mutant| {
        (arguments.only.is_empty() || arguments.only.iter().any(|only| mutant.name.contains(only)))
            && match known.get(&mutant.name) {
                None => true,
                Some(Verdict::Missed) => !arguments.rest,
                Some(_) => !arguments.rest && !arguments.again,
            }
    };
    let listed = listed::list(&root, PACKAGE)?;
    let mutants: Vec<Mutant> = listed.iter().filter(|mutant| chosen(mutant)).cloned().collect();
    let mut sources = BTreeMap::new();
    for file in listed.iter().map(|mutant| mutant.file.as_str()).chain([LIBRARY]) {
        sources
            .insert(file.to_owned(), fs::read_to_string(root.join(file)).context(file.to_owned())?);
    }
    let tree = Tree::copy(&root, &folder, LIBRARY)?;
    let sorted = tree.instrument(&mutants, &sources)?;
    eprintln!(
        "{} mutants: {} in one build, {} one by one, {} do not compile",
        mutants.len(),
        sorted.together.len(),
        sorted.alone.len(),
        sorted.unviable.len()
    );
    let log =
        Log { file: Mutex::new(OpenOptions::new().create(true).append(true).open(&results)?) };
    for number in &sorted.unviable {
        log.say(&mutants[*number].name, Verdict::Unviable)?;
    }
    let suites = tree.suites()?.context("the tests do not build")?;
    let suites = timed(suites, Duration::from_secs(arguments.within))?;
    together(&suites, &sorted.together, &mutants, &log, arguments.jobs)?;
    for number in &sorted.alone {
        let mutant = &mutants[*number];
        let built = if tree.alone(mutant, &sources)? { tree.suites()? } else { None };
        let verdict = match built {
            Some(built) => judge(&retimed(built, &suites), &mutant.file, None)?,
            None => Verdict::Unviable,
        };
        log.say(&mutant.name, verdict)?;
    }
    report(&mutants, &read(&results)?);
    Ok(())
}

/// Asks about those in the build, `jobs` at a time.
fn together(
    suites: &[Timed],
    numbers: &[usize],
    mutants: &[Mutant],
    log: &Log,
    jobs: NonZeroUsize,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let work = || -> Result<()> {
            while let Some(number) = numbers.get(next.fetch_add(1, Ordering::Relaxed)) {
                let Mutant { name, file, .. } = &mutants[*number];
                log.say(name, judge(suites, file, Some(*number))?)?;
            }
            Ok(())
        };
        let workers: Vec<_> = (0..jobs.get()).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })
}

/// Where each verdict is written as soon as it is there.
struct Log {
    file: Mutex<File>,
}

impl Log {
    fn say(&self, name: &str, verdict: Verdict) -> Result<()> {
        if verdict == Verdict::Missed {
            println!("missed: {name}");
        }
        let line = serde_json::to_string(&Line { name: name.to_owned(), verdict })?;
        let mut file = self.file.lock().unwrap_or_else(|poison| poison.into_inner());
        Ok(writeln!(file, "{line}")?)
    }
}

/// The last verdict on each.
fn read(results: &Path) -> Result<BTreeMap<String, Verdict>> {
    let Ok(text) = fs::read_to_string(results) else { return Ok(BTreeMap::new()) };
    let lines =
        text.lines().map(|line| serde_json::from_str(line).context("a line of the results"));
    lines.map(|line| line.map(|Line { name, verdict }| (name, verdict))).collect()
}

/// A row for each file, of how many were caught, missed, endless and not viable.
fn report(mutants: &[Mutant], known: &BTreeMap<String, Verdict>) {
    let mut files: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    for mutant in mutants {
        let row = files.entry(&mutant.file).or_default();
        match known.get(&mutant.name) {
            Some(Verdict::Caught(_)) => row[0] += 1,
            Some(Verdict::Endless(_)) => row[1] += 1,
            Some(Verdict::Missed) => row[2] += 1,
            Some(Verdict::Unviable) => row[3] += 1,
            None => {}
        }
    }
    println!("{:60} {:>7} {:>7} {:>7} {:>8}", "file", "caught", "endless", "missed", "unviable");
    let mut all = [0; 4];
    for (file, row) in &files {
        println!("{file:60} {:>7} {:>7} {:>7} {:>8}", row[0], row[1], row[2], row[3]);
        all.iter_mut().zip(row).for_each(|(all, one)| *all += one);
    }
    println!("{:60} {:>7} {:>7} {:>7} {:>8}", "all", all[0], all[1], all[2], all[3]);
}
