//! Where resources are placed, and by what location scopes cover them (C2). Resources of one type and
//! the same placements share one cover.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::BuildHasherDefault;

use crate::actor::{Person, Position};
use crate::arena::{
    CoverIx, Lists, ListsBuilder, LocationIx, ResourceIx, Rows, ShardIx, Spread, Table, TypeIx,
};
use crate::facts::Facts;
use crate::id::LocationId;
use crate::snapshot::{Grant, GrantLists, Object, PlacedBy, Placement, Timed};
use crate::time::Window;

use super::handles::Handles;
use super::names::Names;
use super::places::Places;

/// How many grants a shard may have to be merged with others. A check then searches one list where it
/// would search one for each location on the way up.
pub(super) const SMALL_SHARD: usize = 64;

/// How many covers a shard may cover to be merged: a change of one grant changes the lists of all of them.
pub(super) const FEW_COVERS: usize = 256;

/// How much larger than the shards the merged lists may be: a grant stands in the list of every place
/// below its location.
pub(super) const MERGED_PER_GRANT: usize = 8;

/// The covers, and the resources with their covers.
#[derive(Default)]
pub(super) struct Covers {
    pub(super) resources: Table<ResourceIx, Object>,
    pub(super) always: Lists<CoverIx, ShardIx>,
    pub(super) timed: Lists<CoverIx, Timed<ShardIx>>,
    pub(super) placements: Lists<CoverIx, Placement>,
    /// Where the covers of each type are placed: numbers of a walk of the forest, in order.
    pub(super) placed: Lists<TypeIx, (u32, CoverIx)>,
    pub(super) unplaced: Table<TypeIx, Option<CoverIx>>,
}

/// What covers the resources of one cover.
#[derive(Default)]
pub(super) struct CoverRows {
    pub(super) always: Vec<ShardIx>,
    pub(super) timed: Vec<Timed<ShardIx>>,
}

// === impl CoverRows ===

impl CoverRows {
    /// What covers resources that are placed so; `parent` and `shard_at` tell of the resources' type.
    pub(super) fn new(
        placed: &[Placement],
        parent: impl Fn(LocationIx) -> Option<LocationIx>,
        shard_at: impl Fn(LocationIx) -> Option<ShardIx>,
    ) -> Self {
        let (mut always, mut seen) = (Vec::new(), HashSet::new());
        let mut timed = BTreeSet::new();
        for placement in placed {
            let up = std::iter::successors(Some(placement.location), |at| parent(*at));
            for shard in up.filter_map(&shard_at) {
                if !placement.window.is_always() {
                    timed.insert(Timed { item: shard, window: placement.window });
                } else if seen.insert(shard) {
                    always.push(shard);
                }
            }
        }
        timed.retain(|shard| !seen.contains(&shard.item));
        Self { always, timed: timed.into_iter().collect() }
    }

    /// The grants of the shards that are merged, and the shards that stay by themselves.
    pub(super) fn merge(
        always: &[ShardIx],
        shards: &GrantLists<ShardIx>,
        is_merged: impl Fn(ShardIx) -> bool,
    ) -> (Vec<Grant>, Vec<ShardIx>) {
        let (mut together, mut apart) = (Vec::new(), Vec::new());
        for shard in always {
            if is_merged(*shard) {
                together.extend_from_slice(&shards[*shard]);
            } else {
                apart.push(*shard);
            }
        }
        together.sort_by_key(|grant| (grant.assignee, grant.assignment));
        (together, apart)
    }
}

// === impl Covers ===

impl Covers {
    pub(super) fn new(
        facts: &Facts,
        names: &Names,
        places: &Places,
        shard_of: &HashMap<(LocationIx, TypeIx), ShardIx>,
    ) -> Self {
        let mut building = Building {
            places,
            shard_of,
            known: names.type_rows.iter().map(|_| HashMap::new()).collect(),
            in_one_place: HashMap::default(),
            resources: Rows::with_capacity(names.resource_rows.len()),
            always: ListsBuilder::default(),
            timed: ListsBuilder::default(),
            placements: ListsBuilder::default(),
            placed: Vec::new(),
            unplaced: names.type_rows.iter().map(|_| None).collect(),
        };
        let mut placing = Placing { handles: names, placed: Vec::new() };
        let mut objects = names
            .resource_rows
            .iter()
            .map(|(object, _)| (names.resource_kind[object], names.resource_is[object]));
        placing.each(facts, &mut |placed| {
            if let Some((kind, is)) = objects.next() {
                let cover = building.cover(kind, placed);
                building.resources.push(Object { kind, cover, is });
            }
        });
        building.placed.sort_unstable();
        building.placed.dedup();
        Self {
            resources: building.resources.into(),
            always: building.always.into(),
            timed: building.timed.into(),
            placements: building.placements.into(),
            placed: Lists::from_pairs(names.type_rows.len(), building.placed),
            unplaced: building.unplaced.into(),
        }
    }

    /// Where the resources of each type are placed: numbers of a walk of the forest, in order.
    pub(super) fn placed_resources(
        &self,
        names: &Names,
        places: &Places,
    ) -> Lists<TypeIx, (u32, ResourceIx)> {
        let mut placed: Vec<_> = self
            .resources
            .iter()
            .flat_map(|(resource, object)| {
                let at = self.placements[object.cover].iter();
                at.map(move |placement| {
                    (object.kind, (places.places[placement.location].first, resource))
                })
            })
            .collect();
        placed.sort_unstable();
        placed.dedup();
        Lists::scattered(names.type_rows.len(), || placed.iter().copied())
    }

    /// Which shards are merged: those that are small and cover few. Where the lists would be too long
    /// together, only smaller ones.
    pub(super) fn merged(&self, shards: &Lists<ShardIx, Grant>) -> Table<ShardIx, bool> {
        let mut covered: Rows<ShardIx, usize> = shards.handles().map(|_| 0).collect();
        for shard in self.always.handles().flat_map(|cover| &self.always[cover]) {
            covered[*shard] += 1;
        }
        let few = |(_, covered): &(ShardIx, &usize)| **covered <= FEW_COVERS;
        let size = |small: usize| -> usize {
            let each = covered.iter().filter(few).map(|(ix, covered)| (shards[ix].len(), covered));
            each.filter(|(length, _)| *length <= small)
                .map(|(length, covered)| length * covered)
                .sum()
        };
        let budget = shards.total().saturating_mul(MERGED_PER_GRANT);
        let mut small = SMALL_SHARD;
        while small > 0 && size(small) > budget {
            small /= 2;
        }
        let merged = covered.iter().map(|shard| few(&shard) && shards[shard.0].len() <= small);
        merged.collect()
    }
}

/// Covers that are being put together.
struct Building<'a> {
    places: &'a Places,
    shard_of: &'a HashMap<(LocationIx, TypeIx), ShardIx>,
    known: Rows<TypeIx, HashMap<Box<[Placement]>, CoverIx>>,
    /// The same for what is listed in one place, as most is.
    in_one_place: HashMap<(TypeIx, LocationIx), CoverIx, BuildHasherDefault<Spread>>,
    resources: Rows<ResourceIx, Object>,
    always: ListsBuilder<CoverIx, ShardIx>,
    timed: ListsBuilder<CoverIx, Timed<ShardIx>>,
    placements: ListsBuilder<CoverIx, Placement>,
    placed: Vec<(TypeIx, (u32, CoverIx))>,
    unplaced: Rows<TypeIx, Option<CoverIx>>,
}

// === impl Building ===

impl Building<'_> {
    fn cover(&mut self, kind: TypeIx, placed: &[Placement]) -> CoverIx {
        let one_place = match placed {
            [Placement { location, window, by: PlacedBy::Listing }] if window.is_always() => {
                Some((kind, *location))
            }
            _ => None,
        };
        let known = match &one_place {
            Some(place) => self.in_one_place.get(place),
            None => self.known[kind].get(placed),
        };
        if let Some(cover) = known {
            return *cover;
        }
        let places = self.places;
        let rows = CoverRows::new(
            placed,
            |at| places.places[at].parent,
            |at| self.shard_of.get(&(at, kind)).copied(),
        );
        self.always.push(rows.always);
        self.timed.push(rows.timed);
        let cover = self.placements.push(placed.iter().copied());
        let number = |placement: &Placement| places.places[placement.location].first;
        self.placed.extend(placed.iter().map(|placement| (kind, (number(placement), cover))));
        if placed.is_empty() {
            self.unplaced[kind] = Some(cover);
        }
        match one_place {
            Some(place) => self.in_one_place.insert(place, cover),
            None => self.known[kind].insert(placed.into(), cover),
        };
        cover
    }
}

/// Tells where objects are placed.
pub(super) struct Placing<'a, N> {
    pub(super) handles: &'a N,
    pub(super) placed: Vec<Placement>,
}

// === impl Placing ===

impl<N: Handles> Placing<'_, N> {
    /// Where every object is placed, in the order of the handles.
    fn each(&mut self, facts: &Facts, take: &mut dyn FnMut(&[Placement])) {
        for person in facts.people() {
            take(self.person(person));
        }
        for account in facts.accounts() {
            take(self.listed(&account.locations));
        }
        // What stands for the accounts besides the policy is nowhere.
        take(&[]);
        for location in facts.locations() {
            take(self.itself(&location.id));
        }
        let groups = facts.groups().map(|group| &group.locations);
        let groups = groups.chain(facts.set_groups().map(|group| &group.locations));
        let roles = facts.business_roles().map(|role| &role.locations);
        let roles = roles.chain(facts.management_roles().map(|role| &role.locations));
        let definitions = facts.management_role_definitions().map(|it| &it.locations);
        let resources = facts.resources().map(|resource| &resource.locations);
        for locations in groups.chain(roles).chain(definitions).chain(resources) {
            take(self.listed(locations));
        }
    }

    /// Where a person is placed: where they are listed, and where they hold positions.
    pub(super) fn person(&mut self, person: &Person) -> &[Placement] {
        self.listed(&person.locations);
        let handles = self.handles;
        let at = |position: &Position| Placement {
            location: handles.location(&position.location),
            window: position.window,
            by: PlacedBy::Position,
        };
        self.placed.extend(person.positions.iter().map(at));
        self.placed.sort_unstable();
        self.placed.dedup();
        &self.placed
    }

    /// Where an object is placed that is placed where it is listed.
    pub(super) fn listed(&mut self, locations: &[LocationId]) -> &[Placement] {
        let handles = self.handles;
        let at = |id: &LocationId| Placement {
            location: handles.location(id),
            window: Window::ALWAYS,
            by: PlacedBy::Listing,
        };
        self.placed.clear();
        self.placed.extend(locations.iter().map(at));
        self.placed.sort_unstable();
        &self.placed
    }

    /// Where a location is placed.
    pub(super) fn itself(&mut self, location: &LocationId) -> &[Placement] {
        let location = self.handles.location(location);
        self.placed.clear();
        self.placed.push(Placement { location, window: Window::ALWAYS, by: PlacedBy::Itself });
        &self.placed
    }
}
