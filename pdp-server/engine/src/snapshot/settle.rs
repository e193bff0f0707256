//! Tables of which change sets have altered much are made anew, so that reading them costs about what it does
//! after a full compile.

use super::{Cold, Policy};
use crate::arena::Sets;

// === impl Policy ===

impl Policy {
    /// Makes tables anew of which much has changed; `says_otherwise` is whether levels say something else
    /// than before.
    pub(crate) fn settle(&mut self, says_otherwise: bool) {
        let Self {
            revision: _,
            people,
            accounts,
            types: _,
            kinds,
            objects,
            subjects,
            closure,
            closure_timed,
            resources,
            direct,
            merged,
            covers,
            unions,
            relative_unions: _,
            covers_timed,
            shards,
            relative,
            says,
            windows,
            locations: _,
            placements,
            positions,
            reached_positions,
            vault,
            psm,
            besides: _,
            cold,
        } = self;
        let _anew = people.settle() | accounts.settle();
        let is_named_anew = objects.settle();
        kinds.settle();
        subjects.settle();
        closure.settle();
        closure_timed.settle();
        resources.settle();
        let _anew = direct.settle();
        let _anew = merged.settle();
        covers.settle();
        covers_timed.settle();
        let is_anew = shards.settle() | relative.settle();
        let is_outgrown = unions.is_outgrown();
        if says_otherwise {
            // Every check reads them.
            kinds.rebase();
            says.rebase();
        }
        says.settle();
        windows.settle();
        placements.settle();
        positions.settle();
        reached_positions.settle();
        vault.settle();
        psm.settle();
        cold.settle();
        if is_anew || is_outgrown || says_otherwise {
            self.unite();
        }
        if is_named_anew {
            self.foretell();
        }
    }
}

// === impl Cold ===

impl Cold {
    fn settle(&mut self) {
        let Self {
            actors,
            resources,
            locations: _,
            roles: _,
            types: _,
            levels,
            level_kind,
            levels_of,
            shard_location,
            shard_merged,
            covers_placed,
            unplaced,
            pairs_of,
            edges,
            assignments,
            grants_of,
            shards_of,
            // It settles by itself.
            held_at: _,
            reports,
            owned,
            object_of,
            subjects_of,
            logins,
            placed,
            asks_reached_positions: _,
            fresh: _,
            spent: _,
            spare: _,
        } = self;
        actors.settle();
        resources.settle();
        levels.settle();
        level_kind.settle();
        levels_of.settle();
        shard_location.settle();
        shard_merged.settle();
        covers_placed.settle();
        unplaced.settle();
        pairs_of.settle();
        edges.settle();
        assignments.settle();
        grants_of.settle();
        shards_of.settle();
        [reports, owned, subjects_of].into_iter().for_each(Sets::settle);
        object_of.settle();
        logins.settle();
        placed.settle();
    }
}
