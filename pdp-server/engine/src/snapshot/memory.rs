//! How much memory a snapshot takes.

use super::{Cold, Policy, Snapshot};

/// The bytes of a compiled policy's tables, without what change sets have laid beside them since the policy
/// was compiled as a whole or a table was made anew, and without the names themselves, which it shares
/// with the facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// The tables of names that questions are looked up in.
    pub names: usize,
    /// What a check of an operation or a right reads besides.
    pub hot: usize,
    /// What only explanations, lists and the compiler read.
    pub cold: usize,
}

// === impl Snapshot ===

impl Snapshot {
    /// How much memory the tables of Access Level decisions take, and those of explanations and lists.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let Policy { people, accounts, objects, cold, .. } = self.policy();
        let names = [people.bytes(), accounts.bytes(), objects.bytes()].into_iter().sum();
        Memory { names, hot: self.policy().hot_bytes(), cold: cold.bytes() }
    }
}

// === impl Policy ===

impl Policy {
    fn hot_bytes(&self) -> usize {
        [
            self.subjects.bytes(),
            self.closure.bytes(),
            self.closure_timed.bytes(),
            self.resources.bytes(),
            self.covers.bytes(),
            self.unions.bytes(),
            self.relative_unions.bytes(),
            self.covers_timed.bytes(),
            self.direct.bytes(),
            self.merged.bytes(),
            self.shards.bytes(),
            self.relative.bytes(),
            self.says.bytes(),
            self.windows.bytes(),
            self.locations.bytes(),
            self.placements.bytes(),
            self.positions.bytes(),
            self.reached_positions.bytes(),
        ]
        .into_iter()
        .sum()
    }
}

// === impl Cold ===

impl Cold {
    fn bytes(&self) -> usize {
        [
            self.actors.bytes(),
            self.resources.bytes(),
            self.logins.bytes(),
            self.edges.bytes(),
            self.subjects_of.bytes(),
            self.object_of.bytes(),
            self.reports.bytes(),
            self.owned.bytes(),
            self.assignments.bytes(),
            self.grants_of.bytes(),
            self.shards_of.bytes(),
            self.placed.bytes(),
            self.covers_placed.bytes(),
            self.pairs_of.bytes(),
        ]
        .into_iter()
        .sum()
    }
}
