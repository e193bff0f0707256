//! What an overloaded server does, for people and for machines.

use super::{Machine, put, shown};
use crate::overload::{Figure, Health, Overloaded};
use crate::targets::MIN_ROUNDS;

/// A run with overload.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct OverloadReport {
    /// Where.
    pub machine: Machine,
    /// The size of the policy, in assignments.
    pub size: u64,
    /// The seed.
    pub seed: u64,
    /// How many questions each request asks.
    pub batch: usize,
    /// Whether it was asked over HTTP.
    pub http: bool,
    /// Whether requests came by chance, and not evenly.
    pub by_chance: bool,
    /// What came out.
    pub overloaded: Overloaded,
}

// === impl OverloadReport ===

impl OverloadReport {
    /// A line a figure.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { machine, size, seed, batch, http, by_chance, overloaded } = self;
        let Overloaded { apart, figures, health } = overloaded;
        let cores = if *apart {
            "a core for the server alone"
        } else {
            "client and server share the cores"
        };
        let door = if *http { "HTTP" } else { "gRPC" };
        let how = if *by_chance { "by chance" } else { "evenly" };
        let asked = match batch {
            1 => "single questions".to_owned(),
            _ => format!("batches of {batch}"),
        };
        let mut out = format!("{}\n", machine.text());
        put(
            &mut out,
            format_args!(
                "{size} assignments, seed {seed}; {asked} over {door}, {how}; {cores}; {MIN_ROUNDS} rounds: median (least to most)\n"
            ),
        );
        for Figure { name, value, bound, met } in figures {
            let value = value.map_or_else(
                || "not told".to_owned(),
                |it| format!("{} ({} to {})", shown(it.median), shown(it.least), shown(it.most)),
            );
            let verdict = match bound {
                Some(bound) => format!("{bound:>8}   {}", if *met { "met" } else { "not met" }),
                None => String::new(),
            };
            put(&mut out, format_args!("{name:<44}{value:<28}{verdict}"));
        }
        let Health { asked, told, worst_us } = health;
        put(
            &mut out,
            format_args!(
                "health: told {told} of {asked} times, after {} us at worst",
                shown(*worst_us)
            ),
        );
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::{Bound, Spread};

    #[test]
    fn a_figure_is_a_line_with_its_bound() {
        let bound = Some(Bound::AtLeast(0.8));
        let value = Some(Spread { median: 0.9, least: 0.7, most: 1.0 });
        let met = Figure { name: "answers", value, bound, met: true };
        let unknown = Figure { name: "memory", value: None, bound, met: false };
        let reported = Figure { name: "refused", value, bound: None, met: true };
        let health = Health { asked: 3, told: 3, worst_us: 1_500.0 };
        let figures = vec![met, unknown, reported];
        let overloaded = Overloaded { apart: true, figures, health };
        let machine = Machine::this();
        let report = OverloadReport {
            machine,
            size: 10,
            seed: 1,
            batch: 7,
            http: true,
            by_chance: true,
            overloaded,
        };
        let text = report.text();
        assert!(
            text.contains(
                "batches of 7 over HTTP, by chance; a core for the server alone; 5 rounds"
            ),
            "{text}"
        );
        let line = |name| text.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line("answers").ends_with(" met") && line("answers").contains(">= 0.8"), "{text}");
        assert!(line("answers").contains("0.90 (0.70 to 1.00)"), "{text}");
        assert!(line("memory").contains("not told") && line("memory").ends_with("not met"));
        assert!(!line("refused").contains("met"), "{text}");
        assert!(line("health").contains("told 3 of 3"), "{text}");
    }
}
