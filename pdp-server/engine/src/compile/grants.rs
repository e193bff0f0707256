//! What is granted where: assignments by what they cover (C1 to C3).

use std::collections::HashMap;
use std::sync::Arc;

use crate::arena::{
    ActorIx, AssignmentIx, CoverIx, Handle, Keyed, Lists, ListsBuilder, LocationIx, ResourceIx,
    Rows, ShardIx, Table, TypeIx, WindowIx,
};
use crate::facts::Facts;
use crate::level::{Assignment, Relative, Scope};
use crate::snapshot::{Grant, GrantLists, RelativeGrant, RelativeLists};
use crate::time::Window;

use super::covers::{CoverRows, Covers, MERGED_PER_GRANT};
use super::handles::Handles;
use super::levels::Levels;
use super::names::Names;
use super::places::Places;

pub(super) struct Grants {
    pub(super) windows: Table<WindowIx, Window>,
    pub(super) assignments: Table<AssignmentIx, Arc<Assignment>>,
    pub(super) direct: GrantLists<ResourceIx>,
    pub(super) merged: GrantLists<CoverIx>,
    pub(super) shards: GrantLists<ShardIx>,
    pub(super) shard_location: Table<ShardIx, LocationIx>,
    pub(super) shard_merged: Table<ShardIx, bool>,
    pub(super) relative: RelativeLists,
    pub(super) grants_of: Lists<ActorIx, Grant>,
    /// The shards of each cover that stay by themselves.
    pub(super) apart: Lists<CoverIx, ShardIx>,
    pub(super) covers: Covers,
    pub(super) shards_of: Lists<TypeIx, (u32, ShardIx)>,
    /// Whether some assignment is resolved by the positions of everything that a subject counts as.
    pub(super) asks_reached_positions: bool,
}

pub(super) fn compile(facts: &Facts, names: &Names, places: &Places, levels: &Levels) -> Grants {
    let sorted = Sorted::new(facts, names, levels);
    let covers = Covers::new(facts, names, places, &sorted.shard_of);
    let shards_of = sorted.shards_of(names, places);
    let assignee = |grant: &Grant| grant.assignee;
    let shard_count = sorted.shard_location.len();
    let shards = Lists::sorted(shard_count, &sorted.shards, assignee);
    let shard_merged = covers.merged(&shards);
    // Room that is not used takes no memory.
    let room = shards.total().saturating_mul(MERGED_PER_GRANT);
    let shards = GrantLists::from(shards);
    let all = covers.always.handles();
    let mut merged = ListsBuilder::with_capacity(all.size_hint().0, room);
    let mut apart = ListsBuilder::default();
    for cover in all {
        let always = &covers.always[cover];
        let (together, alone) = CoverRows::merge(always, &shards, |shard| shard_merged[shard]);
        merged.push(together);
        apart.push(alone);
    }
    Grants {
        asks_reached_positions: sorted.asks_reached_positions,
        shards_of,
        windows: sorted.windows.into(),
        assignments: sorted.assignments.into(),
        direct: Lists::sorted(names.resource_rows.len(), &sorted.direct, assignee).into(),
        merged: Keyed::from(Lists::from(merged)),
        shards,
        shard_location: sorted.shard_location.into(),
        shard_merged,
        relative: Lists::sorted(
            names.type_rows.len(),
            &sorted.relative,
            |entry: &RelativeGrant| entry.grant.assignee,
        )
        .into(),
        grants_of: Lists::scattered(names.actor_rows.len(), || {
            sorted.grants_of.iter().map(|grant| (grant.assignee, *grant))
        }),
        apart: apart.into(),
        covers,
    }
}

/// Whether an assignment is resolved by the positions of everything that a subject counts as.
pub(super) fn asks_reached_positions(assignment: &Assignment) -> bool {
    let asks = [Relative::MyLocationsAndAbove, Relative::MyLocationsAndBelow];
    matches!(&assignment.scope, Scope::Relative(relative) if asks.contains(relative))
}

/// The assignments, sorted by what they cover.
struct Sorted {
    windows: Rows<WindowIx, Window>,
    assignments: Rows<AssignmentIx, Arc<Assignment>>,
    direct: Vec<(ResourceIx, Grant)>,
    shards: Vec<(ShardIx, Grant)>,
    shard_of: HashMap<(LocationIx, TypeIx), ShardIx>,
    shard_location: Rows<ShardIx, LocationIx>,
    relative: Vec<(TypeIx, RelativeGrant)>,
    grants_of: Vec<Grant>,
    asks_reached_positions: bool,
}

// === impl Sorted ===

impl Sorted {
    fn new(facts: &Facts, names: &Names, levels: &Levels) -> Self {
        let all = facts.assignments().len();
        let mut sorted = Self {
            windows: std::iter::once(Window::ALWAYS).collect(),
            assignments: Rows::with_capacity(all),
            // Room that is not used takes no memory.
            direct: Vec::with_capacity(all),
            shards: Vec::with_capacity(all),
            shard_of: HashMap::new(),
            shard_location: Rows::default(),
            relative: Vec::new(),
            grants_of: Vec::with_capacity(all),
            asks_reached_positions: false,
        };
        let mut windows = HashMap::from([(Window::ALWAYS, WindowIx::from_index(0))]);
        for assignment in facts.shared_assignments() {
            let window = match assignment.window.is_always() {
                true => WindowIx::from_index(0),
                false => *windows
                    .entry(assignment.window)
                    .or_insert_with(|| sorted.windows.push(assignment.window)),
            };
            let grant = Grant {
                assignee: names.actor(&assignment.to),
                level: names.level(&assignment.level),
                window,
                assignment: sorted.assignments.push(Arc::clone(assignment)),
            };
            sorted.add(names, levels, assignment, grant);
        }
        sorted
    }

    fn shards_of(&self, names: &Names, places: &Places) -> Lists<TypeIx, (u32, ShardIx)> {
        let first = |shard: ShardIx| places.places[self.shard_location[shard]].first;
        let shards = self.shard_of.iter().map(|((_, kind), ix)| (*kind, (first(*ix), *ix)));
        let mut shards: Vec<_> = shards.collect();
        shards.sort_unstable();
        Lists::from_pairs(names.type_rows.len(), shards)
    }

    fn add(&mut self, names: &Names, levels: &Levels, assignment: &Assignment, grant: Grant) {
        let kind = levels.kind_of[grant.level];
        self.grants_of.push(grant);
        self.asks_reached_positions |= asks_reached_positions(assignment);
        match &assignment.scope {
            Scope::On(resource) => self.direct.push((names.resource(resource), grant)),
            Scope::In(location) => {
                let location = names.location(location);
                let shard = *self
                    .shard_of
                    .entry((location, kind))
                    .or_insert_with(|| self.shard_location.push(location));
                self.shards.push((shard, grant));
            }
            Scope::Relative(relative) => {
                self.relative.push((kind, RelativeGrant { relative: *relative, grant }));
            }
        }
    }
}
