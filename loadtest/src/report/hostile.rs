//! What the others feel of a guest, for people and for machines.

use super::{Machine, put, shown};
use crate::hostile::{Evening, Felt};

/// A run with guests.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct HostileReport {
    /// Where.
    pub machine: Machine,
    /// The size of the policy, in assignments.
    pub size: u64,
    /// The seed.
    pub seed: u64,
    /// How many rounds.
    pub rounds: usize,
    /// What came out.
    pub evening: Evening,
}

// === impl HostileReport ===

impl HostileReport {
    /// A line a guest.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { machine, size, seed, rounds, evening } = self;
        let Evening { can, rate, felt } = evening;
        let mut out = format!("{}\n", machine.text());
        put(
            &mut out,
            format_args!(
                "{size} assignments, seed {seed}; checks at {rate:.0}/s of {can:.0}/s; medians of {rounds} rounds, \
                 least to most\n"
            ),
        );
        let head = ["p99 with, us", "without, us", "ratio", "bound", ""];
        let head: String = head.iter().map(|it| format!("{it:>14}")).collect();
        put(&mut out, format_args!("{:<22}{head}", "guest"));
        for Felt { guest, with_us, without_us, ratio, bound, met, done } in felt {
            let cells = [with_us.median, without_us.median, ratio.median].map(shown);
            let cells: String = cells.iter().map(|it| format!("{it:>14}")).collect();
            let verdict = if *met { "met" } else { "not met" };
            let spread = format!("{} to {}", shown(ratio.least), shown(ratio.most));
            put(
                &mut out,
                format_args!(
                    "{:<22}{cells}{:>14}{verdict:>14}   {spread}; {done} {}",
                    guest.as_str(),
                    bound.to_string(),
                    guest.unit()
                ),
            );
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hostile::Guest;
    use crate::targets::{Bound, Spread};

    #[test]
    fn a_guest_is_a_line_with_what_it_did() {
        let spread = |median| Spread { median, least: median, most: median };
        let felt = Felt {
            guest: Guest::Garbage,
            with_us: spread(150.0),
            without_us: spread(100.0),
            ratio: spread(1.5),
            bound: Bound::AtMost(1.5),
            met: true,
            done: 77,
        };
        let evening = Evening { can: 100.0, rate: 25.0, felt: vec![felt] };
        let machine = Machine::this();
        let report = HostileReport { machine, size: 10, seed: 1, rounds: 5, evening };
        let text = report.text();
        let line = text.lines().find(|line| line.starts_with("garbage")).unwrap();
        assert!(line.contains("<= 1.5") && line.ends_with("77 connections"), "{line}");
        assert!(line.contains(" met "), "{line}");
    }
}
