//! What grows in a server that works for long, for people and for machines.

use super::{Machine, put, shown};
use crate::soak::{Done, Grown, Soaked};

/// A soak.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct SoakReport {
    /// Where.
    pub machine: Machine,
    /// The size of the policy, in assignments.
    pub size: u64,
    /// The seed.
    pub seed: u64,
    /// What came out.
    pub soaked: Soaked,
}

// === impl SoakReport ===

impl SoakReport {
    /// What was done, and a line for each thing that could grow.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { machine, size, seed, soaked: Soaked { done, grown, looks } } = self;
        let Done { checks, batched, streamed, change_sets, sessions, watches, visits } = done;
        let mut out = format!("{}\n", machine.text());
        let seconds = looks.last().map_or(0.0, |look| look.seconds);
        put(
            &mut out,
            format_args!(
                "{size} assignments, seed {seed}; {} looks in {seconds:.0} s",
                looks.len()
            ),
        );
        put(
            &mut out,
            format_args!(
                "{checks} checks, {batched} in batches, {streamed} on streams; {change_sets} change sets, \
                 {sessions} sessions, {watches} watches, {visits} connections for one check\n"
            ),
        );
        let head = ["first", "last", "least", "most", "an hour", "bound", ""];
        let head: String = head.iter().map(|it| format!("{it:>12}")).collect();
        put(&mut out, format_args!("{:<16}{head}", ""));
        for Grown { name, unit, first, last, least, most, an_hour, bound, met } in grown {
            let cells = [*first, *last, *least, *most, *an_hour].map(shown);
            let cells: String = cells.iter().map(|it| format!("{it:>12}")).collect();
            let (bound, verdict) = (bound.to_string(), if *met { "met" } else { "not met" });
            let name = if unit.is_empty() { (*name).to_owned() } else { format!("{name}, {unit}") };
            put(&mut out, format_args!("{name:<16}{cells}{bound:>12}{verdict:>12}"));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::Look;
    use crate::targets::Bound;

    #[test]
    fn what_grows_is_a_line_with_its_verdict() {
        let grown = Grown {
            name: "memory",
            unit: "MiB",
            first: 100.0,
            last: 101.0,
            least: 99.0,
            most: 102.0,
            an_hour: 4.0,
            bound: Bound::AtMost(16.0),
            met: true,
        };
        let looks = vec![Look { seconds: 900.0, resident_bytes: 1.0, handles: 1.0 }];
        let done = Done { sessions: 77, ..Done::default() };
        let soaked = Soaked { done, grown: vec![grown], looks };
        let report = SoakReport { machine: Machine::this(), size: 10, seed: 1, soaked };
        let text = report.text();
        assert!(text.contains("1 looks in 900 s") && text.contains("77 sessions"), "{text}");
        let line = text.lines().find(|line| line.starts_with("memory, MiB")).unwrap();
        assert!(
            line.contains("4.00") && line.contains("<= 16") && line.ends_with(" met"),
            "{line}"
        );
    }
}
