//! What a run came to, for people and for machines: a table, JSON, a plot.

mod hostile;
mod overload;
mod plot;
mod replicas;
mod scale;
mod shards;
mod soak;

use std::fmt::Write as _;
use std::fs;

pub use hostile::HostileReport;
pub use overload::OverloadReport;
pub use plot::{PlotError, plot};
pub use replicas::ReplicasReport;
pub use scale::{ScaleReport, plot_scale};
pub use shards::ShardsReport;
pub use soak::SoakReport;

use crate::tally::{Latency, Summary};
use crate::targets::Target;

/// Where something was measured.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Machine {
    /// The processor, as the operating system calls it.
    pub processor: String,
    /// How many cores.
    pub cores: usize,
    /// The memory, in MiB.
    pub memory_mib: u64,
    /// The operating system.
    pub system: String,
    /// The version of this program.
    pub version: &'static str,
    /// Whether it was built with optimisation.
    pub optimised: bool,
}

/// A step of a run: some load, and what came of it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Step {
    /// What was asked, and how.
    pub label: String,
    /// The intended rate, in requests a second; `None` in a closed loop.
    pub rate: Option<f64>,
    /// What came of it.
    pub summary: Summary,
}

/// A run.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// What was asked of what.
    pub about: String,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

/// A run of the targets.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct TargetsReport {
    /// Where.
    pub machine: Machine,
    /// The size of the policy, in assignments.
    pub size: u64,
    /// The seed.
    pub seed: u64,
    /// How many rounds.
    pub rounds: usize,
    /// The table.
    pub targets: Vec<Target>,
}

// === impl Machine ===

impl Machine {
    /// This one. What the operating system does not tell is empty.
    #[must_use]
    pub fn this() -> Self {
        let line = |file: &str, key: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let found = text.lines().find_map(|line| line.strip_prefix(key)?.split_once(':'));
            found.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let memory = line("/proc/meminfo", "MemTotal");
        let kib: u64 = memory.split(' ').next().and_then(|it| it.parse().ok()).unwrap_or_default();
        Self {
            processor: line("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_mib: kib >> 10,
            system: std::env::consts::OS.to_owned(),
            version: env!("CARGO_PKG_VERSION"),
            optimised: !cfg!(debug_assertions),
        }
    }

    /// In a line.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { processor, cores, memory_mib, system, version, optimised } = self;
        let build = if *optimised { "" } else { "; built without optimisation: no figure counts" };
        format!("{processor}, {cores} cores, {memory_mib} MiB, {system}; version {version}{build}")
    }
}

// === impl Report ===

impl Report {
    /// A table for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = format!("{}\n{}\n\n", self.about, self.machine.text());
        let head = ["per second", "p50", "p90", "p99", "p99.9", "max", "count"];
        let head: String = head.iter().fold(String::new(), |head, it| head + &format!("{it:>11}"));
        put(&mut out, format_args!("{:<38}{head}   (latencies in us)", ""));
        for Step { label, rate, summary } in &self.steps {
            let rate = rate.map(|rate| format!(" at {rate:.0}/s")).unwrap_or_default();
            row(&mut out, &format!("{label}{rate}"), summary.questions_per_second, &summary.all);
            for (name, latency) in
                [("allow", &summary.allow), ("deny", &summary.deny), ("write", &summary.write)]
            {
                if latency.count > 0 {
                    let each = latency.count as f64 / summary.seconds.max(1e-9);
                    row(&mut out, &format!("  {name}"), each, latency);
                }
            }
            let Summary { errors, wrong, unsent, first_error, .. } = summary;
            if errors + wrong + unsent > 0 {
                let first = first_error.as_deref().unwrap_or("no error");
                put(
                    &mut out,
                    format_args!("  {errors} errors, {wrong} wrong, {unsent} not sent; {first}"),
                );
            }
        }
        out
    }
}

// === impl TargetsReport ===

impl TargetsReport {
    /// A line a target: number, name, value with its spread, bound, verdict.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { machine, size, seed, rounds, targets } = self;
        let mut out = format!("{}\n", machine.text());
        put(
            &mut out,
            format_args!(
                "{size} assignments, seed {seed}; medians of {rounds} rounds, least to most\n"
            ),
        );
        for Target { number, name, value, bound, note, verdict } in targets {
            let bound = bound.map(|bound| format!("{bound}")).unwrap_or_default();
            match value {
                Some(value) => {
                    let median = shown(value.median);
                    let spread = format!("{} to {}", shown(value.least), shown(value.most));
                    put(
                        &mut out,
                        format_args!(
                            "{number:>2}  {name:<58} {median:>10} {note:<9} {bound:<9} {verdict:<12} {spread}"
                        ),
                    );
                }
                None => put(
                    &mut out,
                    format_args!(
                        "{number:>2}  {name:<58} {:>10} {:<9} {bound:<9} {verdict}: {note}",
                        "-", ""
                    ),
                ),
            }
        }
        out
    }
}

fn row(out: &mut String, label: &str, rate: f64, latency: &Latency) {
    let Latency { count, mean_us: _, p50_us, p90_us, p99_us, p999_us, max_us } = latency;
    put(
        out,
        format_args!(
            "{label:<38}{rate:>11.0}{p50_us:>11.1}{p90_us:>11.1}{p99_us:>11.1}{p999_us:>11.1}{max_us:>11.1}{count:>11}"
        ),
    );
}

fn put(out: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    writeln!(out, "{line}").ok();
}

/// Three digits that say something.
fn shown(value: f64) -> String {
    match value.abs() {
        it if it >= 100.0 => format!("{value:.0}"),
        it if it >= 10.0 => format!("{value:.1}"),
        it if it >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::Bound;

    #[test]
    fn a_target_is_a_line_with_its_verdict() {
        let targets = vec![
            Target::held(1, "ratio", &[0.95, 0.91, 0.99], Bound::AtLeast(0.9), "times"),
            Target::unmeasured(3, "other", Bound::AtMost(2.0), "nobody does it"),
        ];
        let machine = Machine::this();
        let report = TargetsReport { machine, size: 10, seed: 1, rounds: 3, targets };
        let text = report.text();
        let line = |name| text.lines().find(|line| line.contains(name)).unwrap().to_owned();
        let measured = line("ratio");
        for part in ["0.95", ">= 0.9", " met", "0.91 to 0.99"] {
            assert!(measured.contains(part), "{measured}");
        }
        assert!(line("other").ends_with("<= 2      not measured: nobody does it"), "{text}");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["targets"][0]["value"]["median"], 0.95);
        assert_eq!(json["targets"][0]["bound"]["at_least"], 0.9);
        assert_eq!(json["targets"][1]["verdict"], "not measured");
    }

    #[test]
    fn errors_are_told() {
        let summary =
            Summary { errors: 2, first_error: Some("gone".to_owned()), ..Summary::default() };
        let step = Step { label: "check".to_owned(), rate: Some(100.0), summary };
        let about = "a run".to_owned();
        let report = Report { machine: Machine::this(), about, steps: vec![step] };
        assert!(report.text().contains("2 errors, 0 wrong, 0 not sent; gone"));
        assert!(report.text().contains("check at 100/s"));
    }
}
