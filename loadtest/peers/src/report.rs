//! What came out, for people and for machines.

use std::fmt::Write as _;

use pdp_loadtest::report::Machine;
use pdp_loadtest::targets::Spread;

/// An engine's figures.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    /// What loading the policy took, where it says something.
    pub(crate) load_ms: Option<f64>,
    /// How many questions were measured, in all rounds.
    pub(crate) asked: usize,
    pub(crate) p50_us: Spread,
    pub(crate) p99_us: Spread,
    /// Its p50 over ours, round by round.
    pub(crate) ratio: Spread,
    /// How many times faster ours has to be at 100,000 assignments.
    pub(crate) target: Option<f64>,
    /// Whether it was asked questions whose answer depends on a relative scope.
    pub(crate) knows_relative: bool,
}

/// Engines in one process.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub(crate) struct EnginesReport {
    pub(crate) size: u64,
    pub(crate) seed: u64,
    pub(crate) rounds: usize,
    /// How many questions there were in all rounds.
    pub(crate) questions: usize,
    /// The share that is allowed.
    pub(crate) allowed: f64,
    /// The share whose answer depends on a relative scope.
    pub(crate) relative: f64,
    /// What looking at the clock costs, which is part of every figure.
    pub(crate) clock_ns: f64,
    pub(crate) lines: Vec<Line>,
}

/// A report with where it was made.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Told<T> {
    pub(crate) machine: Machine,
    /// The versions of the engines.
    pub(crate) versions: String,
    pub(crate) report: T,
}

impl<T> Told<T> {
    /// Of this machine and this build.
    pub(crate) fn here(report: T) -> Self {
        let engines = ["cedar-policy", "regorus", "casbin"];
        let versions: Vec<String> =
            engines.iter().map(|name| format!("{name} {}", version(name))).collect();
        Self { machine: Machine::this(), versions: versions.join(", "), report }
    }

    /// The lines before any table.
    pub(crate) fn head(&self) -> String {
        format!("{}\n{}\n", self.machine.text(), self.versions)
    }
}

/// The version that was built in.
fn version(of: &str) -> &'static str {
    let mut lines = include_str!("../Cargo.lock").lines();
    let name = format!("name = \"{of}\"");
    let found = lines.by_ref().any(|line| line == name);
    let line = lines.next().filter(|_| found);
    line.and_then(|line| line.split('"').nth(1)).unwrap_or("of an unknown version")
}

/// Three digits that say something.
pub(crate) fn shown(value: f64) -> String {
    match value.abs() {
        it if it >= 100.0 => format!("{value:.0}"),
        it if it >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A line of a table: writing to a string does not fail.
pub(crate) fn put(out: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(out, "{line}").ok();
}

/// A table of engines: p50, p99, and how many times faster ours is.
pub(crate) fn table(out: &mut String, lines: &[Line]) {
    let head = ["load, ms", "asked", "p50, us", "p99, us", "pdp faster by", "target"];
    let head: String = head.iter().map(|it| format!("{it:>14}")).collect();
    put(out, format_args!("{:<34}{head}", "engine"));
    for line in lines {
        let Line { name, load_ms, asked, p50_us, p99_us, ratio, target, knows_relative: _ } = line;
        let cells = [
            load_ms.map_or_else(|| "-".to_owned(), shown),
            asked.to_string(),
            shown(p50_us.median),
            shown(p99_us.median),
        ];
        let cells: String = cells.iter().map(|it| format!("{it:>14}")).collect();
        let target = target.map_or_else(String::new, |it| format!(">= {it}"));
        let spread = format!("{} to {}", shown(ratio.least), shown(ratio.most));
        put(
            out,
            format_args!("{name:<34}{cells}{:>14}{target:>14}   {spread}", shown(ratio.median)),
        );
    }
}

// === impl EnginesReport ===

impl EnginesReport {
    /// The table and what has to be said with it.
    pub(crate) fn text(&self) -> String {
        let Self { size, seed, rounds, questions, allowed, relative, clock_ns, lines } = self;
        let mut out = String::new();
        put(
            &mut out,
            format_args!(
                "{size} assignments, seed {seed}; {questions} questions in {rounds} rounds, {:.0} % allowed; \
                 medians of the rounds, least to most\n",
                allowed * 100.0
            ),
        );
        table(&mut out, lines);
        let without: Vec<&str> =
            lines.iter().filter(|line| !line.knows_relative).map(|line| line.name).collect();
        put(
            &mut out,
            format_args!(
                "\nevery answer agrees. {:.1} % of the questions depend on a relative scope, and were not asked of: {}",
                relative * 100.0,
                without.join(", ")
            ),
        );
        put(
            &mut out,
            format_args!("every figure has {clock_ns:.0} ns of looking at the clock in it"),
        );
        put(
            &mut out,
            format_args!(
                "the others get their questions in their own form, made beforehand; pdp gets names"
            ),
        );
        out
    }
}
