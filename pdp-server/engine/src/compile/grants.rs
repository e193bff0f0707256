//! What is granted where: levels as tables, assignments by what they cover, resources by what
//! covers them (C1 to C3, Q1 to Q8).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::arena::{
    ActorIx, AssignmentIx, CoverIx, Handle, Keyed, LevelIx, Lists, LocationIx, PermissionIx,
    ResourceIx, ShardIx, Table, TypeIx, WindowIx,
};
use crate::facts::Facts;
use crate::id::{LocationId, PermissionName};
use crate::level::{AccessLevel, Assignment, Relative, Scope};
use crate::permission::{Pattern, Qualifier};
use crate::snapshot::{Grant, GrantLists, Kind, Object, PlacedBy, Placement, RelativeGrant, Timed};
use crate::time::Window;

use super::names::Names;
use super::places::Places;

pub(super) struct Grants {
    pub(super) kinds: Table<TypeIx, Kind>,
    pub(super) says: Lists<LevelIx, Option<Qualifier>>,
    pub(super) level_kind: Table<LevelIx, TypeIx>,
    pub(super) levels_of: Lists<TypeIx, LevelIx>,
    pub(super) windows: Table<WindowIx, Window>,
    pub(super) assignments: Table<AssignmentIx, Arc<Assignment>>,
    pub(super) direct: GrantLists<ResourceIx>,
    pub(super) merged: GrantLists<CoverIx>,
    pub(super) shards: GrantLists<ShardIx>,
    pub(super) shard_location: Table<ShardIx, LocationIx>,
    pub(super) relative: Lists<TypeIx, RelativeGrant>,
    pub(super) grants_of: Lists<ActorIx, Grant>,
    pub(super) resources: Table<ResourceIx, Object>,
    pub(super) covers: Lists<CoverIx, ShardIx>,
    pub(super) covers_timed: Lists<CoverIx, Timed<ShardIx>>,
    pub(super) placements: Lists<CoverIx, Placement>,
    pub(super) shards_of: Lists<TypeIx, (u32, ShardIx)>,
    pub(super) placed: Lists<TypeIx, (u32, ResourceIx)>,
}

pub(super) fn compile(facts: &Facts, names: &Names, places: &Places) -> Grants {
    let mut kinds = kinds(facts, names);
    let (says, levels_of) = levels(facts, names, &mut kinds);
    let sorted = Sorted::new(facts, names);
    let covers = Covers::new(facts, names, places, &sorted.shard_of);
    let shards_of = sorted.shards_of(names, places);
    let placed = covers.placed(names, places);
    let shards = Lists::from_pairs(sorted.shard_location.len(), sorted.shards);
    let (merged, covers_always) = merge(&shards, &covers.always);
    let by_assignee = |grant: &Grant| grant.assignee;
    Grants {
        shards_of,
        placed,
        kinds,
        says,
        level_kind: facts.access_levels().map(|level| names.types[&level.name.type_name]).collect(),
        levels_of,
        windows: sorted.windows,
        assignments: sorted.assignments,
        direct: Keyed::new(
            Lists::from_pairs(names.resource_rows.len(), sorted.direct),
            by_assignee,
        ),
        merged: Keyed::new(merged, by_assignee),
        shards: Keyed::new(shards, by_assignee),
        shard_location: sorted.shard_location,
        relative: Lists::from_pairs(names.type_rows.len(), sorted.relative),
        grants_of: Lists::from_pairs(names.actor_rows.len(), sorted.grants_of),
        resources: covers.resources,
        covers: covers_always,
        covers_timed: covers.timed,
        placements: covers.placements,
    }
}

impl Grants {
    /// Whether some assignment is resolved by the positions of everything that a subject counts as.
    pub(super) fn asks_reached_positions(&self) -> bool {
        self.assignments.iter().any(|(_, assignment)| {
            let asks = [Relative::MyLocationsAndAbove, Relative::MyLocationsAndBelow];
            matches!(&assignment.scope, Scope::Relative(relative) if asks.contains(relative))
        })
    }
}

/// The types with their permissions and objects.
fn kinds(facts: &Facts, names: &Names) -> Table<TypeIx, Kind> {
    let mut kinds: Table<TypeIx, Kind> = names
        .type_rows
        .iter()
        .map(|(_, name)| {
            let mut kind = Kind::default();
            if let Some(declared) = facts.resource_type(name) {
                let mut number =
                    |name: &PermissionName| (name.to_shared(), kind.deniable.push(false));
                let operations = declared.operations.iter().map(&mut number).collect();
                let rights = declared.rights.iter().map(&mut number).collect();
                kind.operations = operations;
                kind.rights = rights;
            }
            kind
        })
        .collect();
    for (resource, name) in names.resource_rows.iter() {
        // Nobody finds by name what has none.
        if resource != names.besides.object {
            kinds[names.types[&name.type_name]].objects.insert(name.id.as_str(), resource);
        }
    }
    kinds
}

type Levels = (Lists<LevelIx, Option<Qualifier>>, Lists<TypeIx, LevelIx>);

/// What each level says about every permission of its type; an exact name overrides `*`.
fn levels(facts: &Facts, names: &Names, kinds: &mut Table<TypeIx, Kind>) -> Levels {
    let mut says = Lists::default();
    let mut levels_of = Vec::new();
    for level in facts.access_levels() {
        let of = names.types[&level.name.type_name];
        let list = said_by(level, facts);
        for (index, qualifier) in list.iter().enumerate() {
            if *qualifier == Some(Qualifier::Denied) {
                kinds[of].deniable[PermissionIx::from_index(index)] = true;
            }
        }
        let handle = says.push(list);
        kinds[of].levels.insert(level.name.name.to_shared(), handle);
        levels_of.push((of, handle));
    }
    (says, Lists::from_pairs(names.type_rows.len(), levels_of))
}

fn said_by(level: &AccessLevel, facts: &Facts) -> Vec<Option<Qualifier>> {
    let Some(declared) = facts.resource_type(&level.name.type_name) else { return Vec::new() };
    let operations = declared.operations.iter().map(|name| (name, &level.operations));
    let rights = declared.rights.iter().map(|name| (name, &level.rights));
    operations
        .chain(rights)
        .map(|(name, said)| {
            let exact = said.get(&Pattern::Name(name.clone()));
            exact.or_else(|| said.get(&Pattern::All)).copied()
        })
        .collect()
}

/// The assignments, sorted by what they cover.
struct Sorted {
    windows: Table<WindowIx, Window>,
    assignments: Table<AssignmentIx, Arc<Assignment>>,
    direct: Vec<(ResourceIx, Grant)>,
    shards: Vec<(ShardIx, Grant)>,
    shard_of: HashMap<(LocationIx, TypeIx), ShardIx>,
    shard_location: Table<ShardIx, LocationIx>,
    relative: Vec<(TypeIx, RelativeGrant)>,
    grants_of: Vec<(ActorIx, Grant)>,
}

impl Sorted {
    fn new(facts: &Facts, names: &Names) -> Self {
        let mut sorted = Self {
            windows: std::iter::once(Window::ALWAYS).collect(),
            assignments: Table::default(),
            direct: Vec::new(),
            shards: Vec::new(),
            shard_of: HashMap::new(),
            shard_location: Table::default(),
            relative: Vec::new(),
            grants_of: Vec::new(),
        };
        let mut windows = HashMap::from([(Window::ALWAYS, WindowIx::from_index(0))]);
        for assignment in facts.shared_assignments() {
            let window = *windows
                .entry(assignment.window)
                .or_insert_with(|| sorted.windows.push(assignment.window));
            let grant = Grant {
                assignee: names.actors[&assignment.to],
                level: names.levels[&assignment.level],
                window,
                assignment: sorted.assignments.push(Arc::clone(assignment)),
            };
            sorted.add(names, assignment, grant);
        }
        // Lists keep the order of their pairs: within each list, by assignee.
        sorted.direct.sort_by_key(|(_, grant)| grant.assignee);
        sorted.shards.sort_by_key(|(_, grant)| grant.assignee);
        sorted.relative.sort_by_key(|(_, relative)| relative.grant.assignee);
        sorted
    }

    fn shards_of(&self, names: &Names, places: &Places) -> Lists<TypeIx, (u32, ShardIx)> {
        let first = |shard: ShardIx| places.places[self.shard_location[shard]].first;
        let shards = self.shard_of.iter().map(|((_, kind), ix)| (*kind, (first(*ix), *ix)));
        let mut shards: Vec<_> = shards.collect();
        shards.sort_unstable_by_key(|(_, numbered)| *numbered);
        Lists::from_pairs(names.type_rows.len(), shards)
    }

    fn add(&mut self, names: &Names, assignment: &Assignment, grant: Grant) {
        let kind = names.types[&assignment.level.type_name];
        self.grants_of.push((grant.assignee, grant));
        match &assignment.scope {
            Scope::On(resource) => self.direct.push((names.resources[resource], grant)),
            Scope::In(location) => {
                let location = names.locations[location];
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

/// The resources, with what location scopes cover them by. Resources of one type and the same
/// placements share one entry.
#[derive(Default)]
struct Covers {
    resources: Table<ResourceIx, Object>,
    always: Lists<CoverIx, ShardIx>,
    timed: Lists<CoverIx, Timed<ShardIx>>,
    placements: Lists<CoverIx, Placement>,
}

impl Covers {
    fn new(
        facts: &Facts,
        names: &Names,
        places: &Places,
        shard_of: &HashMap<(LocationIx, TypeIx), ShardIx>,
    ) -> Self {
        let mut covers = Self::default();
        let mut known: HashMap<(TypeIx, Vec<Placement>), CoverIx> = HashMap::new();
        for (placed, (resource, name)) in
            placed(facts, names).iter().zip(names.resource_rows.iter())
        {
            let kind = names.types[&name.type_name];
            let cover = *known
                .entry((kind, placed.clone()))
                .or_insert_with(|| covers.add(kind, placed, places, shard_of));
            covers.resources.push(Object { kind, cover, is: names.resource_is[resource] });
        }
        covers
    }

    fn add(
        &mut self,
        kind: TypeIx,
        placed: &[Placement],
        places: &Places,
        shard_of: &HashMap<(LocationIx, TypeIx), ShardIx>,
    ) -> CoverIx {
        let (mut always, mut seen) = (Vec::new(), HashSet::new());
        let mut timed = BTreeSet::new();
        for placement in placed {
            for location in places.location_and_above(placement.location) {
                let Some(shard) = shard_of.get(&(location, kind)) else { continue };
                if !placement.window.is_always() {
                    timed.insert(Timed { item: *shard, window: placement.window });
                } else if seen.insert(*shard) {
                    always.push(*shard);
                }
            }
        }
        timed.retain(|shard| !seen.contains(&shard.item));
        self.always.push(always);
        self.timed.push(timed);
        self.placements.push(placed.iter().copied())
    }
}

impl Covers {
    fn placed(&self, names: &Names, places: &Places) -> Lists<TypeIx, (u32, ResourceIx)> {
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
        Lists::from_pairs(names.type_rows.len(), placed)
    }
}

/// How many grants a shard may have to be merged with others. A check then searches one list where it
/// would search one for each location on the way up.
const SMALL_SHARD: usize = 64;

/// How much larger than the shards the merged lists may be: a grant stands in the list of every place
/// below its location.
const MERGED_PER_GRANT: usize = 8;

/// The grants of the small shards of each cover in one list, and the shards that stay by themselves. Where
/// the lists would be too long together, only smaller shards are merged.
fn merge(
    shards: &Lists<ShardIx, Grant>,
    covers: &Lists<CoverIx, ShardIx>,
) -> (Lists<CoverIx, Grant>, Lists<CoverIx, ShardIx>) {
    let budget = shards.total().saturating_mul(MERGED_PER_GRANT);
    let every = || covers.handles().flat_map(|cover| &covers[cover]);
    let mut small = SMALL_SHARD;
    let size = |small: usize| -> usize {
        every().map(|shard| shards[*shard].len()).filter(|length| *length <= small).sum()
    };
    while small > 0 && size(small) > budget {
        small /= 2;
    }
    let (mut merged, mut alone) = (Lists::default(), Lists::default());
    for cover in covers.handles() {
        let (mut together, mut apart) = (Vec::new(), Vec::new());
        for shard in &covers[cover] {
            if shards[*shard].len() <= small {
                together.extend_from_slice(&shards[*shard]);
            } else {
                apart.push(*shard);
            }
        }
        together.sort_by_key(|grant| (grant.assignee, grant.assignment));
        merged.push(together);
        alone.push(apart);
    }
    (merged, alone)
}

/// Where every resource is placed, in the order of the handles (C2).
fn placed(facts: &Facts, names: &Names) -> Vec<Vec<Placement>> {
    let at = |id: &LocationId, window: Window, by: PlacedBy| Placement {
        location: names.locations[id],
        window,
        by,
    };
    let listed = |list: &[LocationId]| -> Vec<Placement> {
        list.iter().map(|id| at(id, Window::ALWAYS, PlacedBy::Listing)).collect()
    };
    let mut placed = Vec::with_capacity(names.resource_rows.len());
    for person in facts.people() {
        let mut places = listed(&person.locations);
        places.extend(
            person
                .positions
                .iter()
                .map(|position| at(&position.location, position.window, PlacedBy::Position)),
        );
        places.sort();
        places.dedup();
        placed.push(places);
    }
    placed.extend(facts.accounts().map(|account| listed(&account.locations)));
    // What stands for the accounts besides the policy is nowhere.
    placed.push(Vec::new());
    placed.extend(facts.locations().map(|l| vec![at(&l.id, Window::ALWAYS, PlacedBy::Itself)]));
    placed.extend(facts.groups().map(|group| listed(&group.locations)));
    placed.extend(facts.set_groups().map(|group| listed(&group.locations)));
    placed.extend(facts.business_roles().map(|role| listed(&role.locations)));
    placed.extend(facts.management_roles().map(|role| listed(&role.locations)));
    placed.extend(facts.management_role_definitions().map(|d| listed(&d.locations)));
    placed.extend(facts.resources().map(|resource| listed(&resource.locations)));
    placed
}
