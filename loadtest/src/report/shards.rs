//! How tenants lie in several etcds, for people and for machines.

use super::{put, shown};
use crate::shards::{Placed, Placement, Simulated};

/// A simulation.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ShardsReport {
    /// How many tenants there are.
    pub tenants: usize,
    /// How many shards, before one is added.
    pub shards: usize,
    /// The seed.
    pub seed: u64,
    /// What came out.
    pub simulated: Simulated,
}

// === impl ShardsReport ===

impl ShardsReport {
    /// A line for each way to place tenants.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { tenants, shards, seed, simulated: Simulated { largest, placed } } = self;
        let mut out = String::new();
        let largest = shown(*largest);
        put(
            &mut out,
            format_args!(
                "{tenants} tenants in {shards} shards, seed {seed}; the largest tenant has {largest} times a shard's mean\n"
            ),
        );
        let head = ["peak", "tenants", "rebalanced", "moved", "peak after"];
        let head: String = head.iter().map(|it| format!("{it:>12}")).collect();
        put(&mut out, format_args!("{:<12}{head}", ""));
        for Placed { placement, peak, crowded, rebalanced, moved, peak_after } in placed {
            let name = match placement {
                Placement::Modulo => "modulo",
                Placement::Rendezvous => "rendezvous",
                Placement::Table => "table",
            };
            let times = [*peak, *crowded].map(shown);
            let shares = [*rebalanced, *moved].map(|it| format!("{:.1} %", it * 100.0));
            let cells = times.iter().chain(&shares).map(|it| format!("{it:>12}"));
            let cells: String = cells.chain([format!("{:>12}", shown(*peak_after))]).collect();
            put(&mut out, format_args!("{name:<12}{cells}"));
        }
        out
    }
}
