//! How many instructions a decision takes, in process, on a fixed workload, counted by callgrind: a
//! number that neither the machine nor what else it does can change. One that grows by more than a tenth fails.
//!
//! The workload is `pdp-server/engine/examples/counted.rs`, built as a release is. After a change
//! that is meant to cost, or one that saves:
//!
//! ```console
//! $ PDP_RECORD_INSTRUCTIONS=1 cargo test -p pdp-tests --test instructions
//! ```

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pdp_tests::tree::{root, text};

/// What is counted, the function that the counter counts in, and how many questions that answers.
const KINDS: [(&str, &str); 4] = [
    ("allowed", "*counted_checks*"),
    ("denied", "*counted_checks*"),
    ("not-granted", "*counted_checks*"),
    ("explain", "*counted_explanations*"),
];

/// As in the example.
const QUESTIONS: u64 = 1_000;

/// How much more a decision may take than was recorded, in percent.
const WITHIN: u64 = 10;

/// Where the counts are recorded, a line for each kind.
const RECORD: &str = "tests/instructions.txt";

const HOW: &str = "PDP_RECORD_INSTRUCTIONS=1 cargo test -p pdp-tests --test instructions";

/// Builds the workload as a release is built, and says where it is.
fn build() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let arguments = ["build", "--release", "--locked", "--quiet", "-p", "pdp-engine"];
    let built = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--example", "counted", "--target-dir"])
        .arg(target)
        .current_dir(root())
        .status()
        .unwrap();
    assert!(built.success(), "the workload does not build");
    target.join("release/examples/counted")
}

/// Instructions a question.
fn count(workload: &Path, kind: &str, function: &str) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("counts");
    let counted = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--quiet"])
        .arg(format!("--toggle-collect={function}"))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(workload)
        .arg(kind)
        .output()
        .unwrap_or_else(|error| panic!("valgrind does not run ({error}): install `valgrind`"));
    let said = String::from_utf8_lossy(&counted.stderr);
    assert!(counted.status.success(), "{kind}: {said}");
    let counts = fs::read_to_string(out).unwrap();
    let total = counts.lines().find_map(|line| line.strip_prefix("totals: "));
    let total: u64 = total.unwrap_or_else(|| panic!("{kind}: no total")).trim().parse().unwrap();
    assert!(total > QUESTIONS, "{kind}: nothing was counted in `{function}`");
    total / QUESTIONS
}

fn compiler() -> String {
    let version = Command::new("rustc").arg("--version").output().unwrap();
    String::from_utf8(version.stdout).unwrap().trim().to_owned()
}

fn recorded() -> (String, BTreeMap<String, u64>) {
    let text = text(Path::new(RECORD));
    let compiler = text.lines().find_map(|line| line.strip_prefix("# compiler: "));
    let counts = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (kind, count) = line.split_once(' ').unwrap_or_else(|| panic!("{RECORD}: `{line}`"));
        (kind.to_owned(), count.trim().parse().unwrap())
    });
    (compiler.unwrap_or_default().to_owned(), counts.collect())
}

fn record(counts: &[(&str, u64)]) {
    let mut text = format!(
        "# Instructions a question, counted by callgrind; tests/tests/instructions.rs holds them.\n\
         # {HOW}\n# compiler: {}\n",
        compiler()
    );
    for (kind, count) in counts {
        writeln!(text, "{kind} {count}").unwrap();
    }
    fs::write(root().join(RECORD), text).unwrap();
}

#[test]
fn no_decision_takes_a_tenth_more_instructions_than_recorded() {
    let workload = build();
    let counts = KINDS.map(|(kind, function)| (kind, count(&workload, kind, function)));
    if std::env::var_os("PDP_RECORD_INSTRUCTIONS").is_some() {
        record(&counts);
    }
    let (compiler_then, bounds) = recorded();
    let kinds: Vec<&str> = counts.iter().map(|(kind, _)| *kind).collect();
    assert!(
        bounds.len() == kinds.len() && kinds.iter().all(|kind| bounds.contains_key(*kind)),
        "{RECORD} is not about {kinds:?}; record it: {HOW}"
    );
    let mut worse = Vec::new();
    for (kind, count) in counts {
        let bound = bounds.get(kind).copied().unwrap();
        println!("instructions a question, {kind}: {count}, recorded {bound}");
        if count * 100 > bound * (100 + WITHIN) {
            worse.push(format!("{kind}: {count} instructions, {bound} were recorded"));
        }
    }
    assert!(
        worse.is_empty(),
        "more than {WITHIN} % more than with {compiler_then}, and this is {}:\n  {}\n\
         if that is meant: {HOW}",
        compiler(),
        worse.join("\n  ")
    );
}
