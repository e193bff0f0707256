//! Runs the suites with a mutant on until one notices.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::tree::Suite;

/// How long a suite may take that is asked about every mutant.
const SMALL: Duration = Duration::from_secs(1);

/// One in so many worlds has to do: all of them take four times as long where nothing is noticed.
const WORLDS_PART: &str = "4";

/// Which of the others are asked about the mutants of which files, by how the path within the engine begins.
const LARGE: [(&str, &[&str]); 15] = [
    ("arena", &["exhaustive", "writes"]),
    ("compile", &["expiry", "exhaustive", "writes", "incremental"]),
    ("compile/touch", &["effective"]),
    ("delegate", &["families"]),
    ("explain", &["explanations"]),
    ("facts", &["writes"]),
    ("list", &["lists", "effective"]),
    ("psm", &["lists", "families"]),
    ("session", &["memberships", "lists", "families"]),
    ("snapshot", &["writes", "lists", "incremental"]),
    ("share", &["shares", "families"]),
    ("vault", &["shares", "families"]),
    ("batch", &["batches", "equivalence"]),
    ("check", &["expiry", "exhaustive", "equivalence"]),
    ("walk", &["expiry", "batches", "exhaustive", "equivalence"]),
];

/// What becomes of a mutant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// This test of this suite fails.
    Caught(String),
    /// This suite breaks off: it takes more time or memory than it may, or overflows its stack.
    Endless(String),
    /// All suites pass.
    Missed,
    /// It does not compile.
    Unviable,
}

/// A suite and the time it takes without a mutant.
#[derive(Debug)]
pub(crate) struct Timed {
    suite: Suite,
    took: Duration,
}

/// Runs each suite without a mutant: all have to pass, and the quick ones come first from now on. Those that take
/// longer than `within` are left out.
pub(crate) fn timed(suites: Vec<Suite>, within: Duration) -> Result<Vec<Timed>> {
    let mut timed = Vec::new();
    for suite in suites {
        let begin = Instant::now();
        let verdict = run(&suite, None, within.saturating_mul(2))?;
        let took = begin.elapsed();
        if took > within || matches!(verdict, Some(Verdict::Endless(_))) {
            eprintln!("{} is left out: it takes longer than {} s", suite.name, within.as_secs());
            continue;
        }
        ensure!(verdict.is_none(), "{} fails without a mutant: {verdict:?}", suite.name);
        timed.push(Timed { suite, took });
    }
    timed.sort_by_key(|it| it.took);
    for it in &timed {
        eprintln!("{} takes {:.2} s", it.suite.name, it.took.as_secs_f64());
    }
    Ok(timed)
}

/// The same suites of another build, in the same order.
pub(crate) fn retimed(suites: Vec<Suite>, like: &[Timed]) -> Vec<Timed> {
    // Two packages may have suites of one name.
    let is = |one: &Suite, other: &Suite| (&one.name, &one.folder) == (&other.name, &other.folder);
    let took = |suite: &Suite| like.iter().find(|it| is(&it.suite, suite)).map(|it| it.took);
    let timed = suites.into_iter().filter_map(|suite| Some(Timed { took: took(&suite)?, suite }));
    let mut timed: Vec<_> = timed.collect();
    timed.sort_by_key(|it| it.took);
    timed
}

/// Whether a suite is asked about the mutants of a file.
fn is_asked(suite: &Timed, file: &str) -> bool {
    let within = file.rsplit_once("/src/").map_or(file, |(_, within)| within);
    let near = LARGE.iter().filter(|(begin, _)| within.starts_with(begin));
    suite.took <= SMALL
        || near.flat_map(|(_, suites)| *suites).any(|name| *name == suite.suite.name)
}

/// What the suites say of a mutant of a file that is in their build, or of the one that is all there is.
pub(crate) fn judge(suites: &[Timed], file: &str, mutant: Option<usize>) -> Result<Verdict> {
    for Timed { suite, took } in suites.iter().filter(|suite| is_asked(suite, file)) {
        // Two at a time, each on all cores: so much processor time is more than a pass takes.
        if let Some(verdict) = run(suite, mutant, Duration::from_secs(3) + *took * 10)? {
            return Ok(verdict);
        }
    }
    Ok(Verdict::Missed)
}

/// Limits of the processor's time, which goes on only while the run does, and of memory.
fn run(suite: &Suite, mutant: Option<usize>, limit: Duration) -> Result<Option<Verdict>> {
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -t \"$1\" && ulimit -v 6000000 && exec \"$0\""])
        .arg(&suite.binary)
        .arg(limit.as_secs().to_string())
        .env("PDP_TEST_SHRINKS", "0")
        .env("PDP_TEST_WORLDS_PART", WORLDS_PART)
        .env("PROPTEST_MAX_SHRINK_ITERS", "0")
        .current_dir(&suite.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(mutant) = mutant {
        command.env("PDP_MUTANT", mutant.to_string());
    }
    let mut child = command.spawn().context("cannot run sh")?;
    let stdout = child.stdout.take().context("no output")?;
    let mut failed = None;
    for line in BufReader::new(stdout).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        if let Some(test) =
            line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            failed = Some(format!("{}::{test}", suite.name));
            child.kill()?;
            break;
        }
    }
    let status = child.wait()?;
    Ok(match (failed, status.code()) {
        (Some(test), _) => Some(Verdict::Caught(test)),
        (None, Some(0)) => None,
        // By a signal: a limit, or the end of memory or of the stack.
        (None, None) => Some(Verdict::Endless(suite.name.clone())),
        (None, Some(_)) => bail!("{} ends with {status}, and no test of it has failed", suite.name),
    })
}
