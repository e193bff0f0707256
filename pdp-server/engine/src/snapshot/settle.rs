//! Tables of which change sets have altered much are made anew, so that reading them costs what it does
//! after a full compile.

use super::{Cold, NameTable, Policy};
use crate::arena::Sets;

// === impl Policy ===

impl Policy {
    /// Makes tables anew of which much has changed.
    pub(crate) fn settle(&mut self) {
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
        [people, accounts].into_iter().for_each(NameTable::settle);
        objects.settle();
        kinds.settle();
        subjects.settle();
        closure.settle();
        closure_timed.settle();
        resources.settle();
        direct.settle();
        merged.settle();
        covers.settle();
        covers_timed.settle();
        shards.settle();
        relative.settle();
        says.settle();
        windows.settle();
        placements.settle();
        positions.settle();
        reached_positions.settle();
        vault.settle();
        psm.settle();
        cold.settle();
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
