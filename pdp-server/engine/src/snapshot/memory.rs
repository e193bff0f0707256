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
        let names = people.bytes() + accounts.bytes() + objects.bytes();
        Memory { names, hot: self.policy().hot_bytes(), cold: cold.bytes() }
    }
}

// === impl Policy ===

impl Policy {
    fn hot_bytes(&self) -> usize {
        let subjects = self.subjects.bytes() + self.closure.bytes() + self.closure_timed.bytes();
        let covers = self.resources.bytes() + self.covers.bytes() + self.covers_timed.bytes();
        let grants = self.direct.bytes() + self.merged.bytes() + self.shards.bytes();
        let said = self.relative.bytes() + self.says.bytes() + self.windows.bytes();
        let places = self.locations.bytes() + self.placements.bytes();
        let positions = self.positions.bytes() + self.reached_positions.bytes();
        subjects + covers + grants + said + places + positions
    }
}

// === impl Cold ===

impl Cold {
    fn bytes(&self) -> usize {
        let names = self.actors.bytes() + self.resources.bytes() + self.logins.bytes();
        let actors = self.edges.bytes() + self.subjects_of.bytes() + self.object_of.bytes();
        let people = self.reports.bytes() + self.owned.bytes();
        let grants = self.assignments.bytes() + self.grants_of.bytes() + self.shards_of.bytes();
        let places = self.placed.bytes() + self.covers_placed.bytes() + self.pairs_of.bytes();
        names + actors + people + grants + places
    }
}
