//! What an overloaded server does, for people and for machines.

use super::{Machine, put, shown};
use crate::overload::{Figure, Health, Overloaded};

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
    /// What came out.
    pub overloaded: Overloaded,
}

// === impl OverloadReport ===

impl OverloadReport {
    /// A line a figure.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { machine, size, seed, batch, overloaded } = self;
        let Overloaded { can, half, over, figures, health } = overloaded;
        let mut out = format!("{}\n", machine.text());
        put(
            &mut out,
            format_args!(
                "{size} assignments, seed {seed}; batches of {batch}: {can:.0}/s can be answered; p99 {} us at half, \
                 {} us at five times that, where {:.0}/s were refused\n",
                shown(half.all.p99_us),
                shown(over.all.p99_us),
                over.refused as f64 / over.seconds
            ),
        );
        for Figure { name, value, bound, met } in figures {
            let value = value.map_or_else(|| "not told".to_owned(), shown);
            let verdict = if *met { "met" } else { "not met" };
            put(
                &mut out,
                format_args!("{name:<44}{value:>10}{:>10}   {verdict}", bound.to_string()),
            );
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
    use crate::tally::Summary;
    use crate::targets::Bound;

    #[test]
    fn a_figure_is_a_line_with_its_bound() {
        let bound = Bound::AtLeast(0.8);
        let met = Figure { name: "answers", value: Some(0.9), bound, met: true };
        let unknown = Figure { name: "memory", value: None, bound, met: false };
        let overloaded = Overloaded {
            can: 100.0,
            half: Summary::default(),
            over: Summary { seconds: 2.0, refused: 10, ..Summary::default() },
            figures: vec![met, unknown],
            health: Health { asked: 3, told: 3, worst_us: 1_500.0 },
        };
        let machine = Machine::this();
        let report = OverloadReport { machine, size: 10, seed: 1, batch: 7, overloaded };
        let text = report.text();
        assert!(text.contains("batches of 7") && text.contains("where 5/s were refused"), "{text}");
        let line = |name| text.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line("answers").ends_with(" met") && line("answers").contains(">= 0.8"), "{text}");
        assert!(line("memory").contains("not told") && line("memory").ends_with("not met"));
        assert!(line("health").contains("told 3 of 3"), "{text}");
    }
}
