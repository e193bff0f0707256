//! Facts to snapshot: everything that can be worked out before a question is asked.
//!
//! INVARIANT: facts are referentially whole ([`Facts::apply`] and [`Facts::load`] see to it), so
//! every look-up of a name in here succeeds.

mod actors;
mod budget;
mod grants;
mod names;
mod places;
mod psm;
mod timeset;
mod vault;

pub use budget::{CompileLimits, TooLarge};

use crate::facts::Facts;
use crate::query::Revision;
use crate::snapshot::{Cold, Policy, Snapshot};

use budget::Budget;

/// Compiles the whole policy, however large it gets.
#[must_use]
#[expect(clippy::expect_used, reason = "INVARIANT: without limits nothing is over one")]
pub fn compile(facts: &Facts, revision: Revision) -> Snapshot {
    compile_within(facts, revision, CompileLimits::NONE).expect("there are no limits")
}

/// Compiles the whole policy. The cost grows with the facts, with what each subject counts as, and
/// with the positions times the Business Role and Location pairs above them.
///
/// # Errors
/// [`TooLarge`] if it would be more than the limits allow.
pub fn compile_within(
    facts: &Facts,
    revision: Revision,
    limits: CompileLimits,
) -> Result<Snapshot, TooLarge> {
    let mut budget = Budget::new(limits);
    let names = names::Names::new(facts);
    let places = places::compile(facts, &names);
    let natives = psm::natives(facts, &names);
    let actors = actors::compile(facts, &names, &places, &natives, &mut budget)?;
    let grants = grants::compile(facts, &names, &places);
    let asked = grants.asks_reached_positions();
    let reached_positions = actors.reached_positions(&names, asked, &mut budget)?;
    let subjects_of = actors.subjects_of(&names);
    let held_at = actors.held_at(&names, &places);
    let reports = actors.by(|subject| subject.manager);
    let owned = actors.by(|subject| subject.owner);
    let object_of = names.object_of();
    let logins = names.logins(facts);
    Ok(Snapshot::new(Policy {
        revision,
        vault: vault::compile(facts, &names),
        psm: psm::compile(facts, &names, natives, actors.native, actors.native_timed),
        besides: names.besides,
        people: names.people(facts),
        accounts: names.accounts(facts),
        types: names.types.iter().map(|(name, ix)| (name.to_shared(), ix)).collect(),
        subjects: actors.subjects,
        closure: actors.closure,
        closure_timed: actors.closure_timed,
        resources: grants.resources,
        direct: grants.direct,
        merged: grants.merged,
        covers: grants.covers,
        covers_timed: grants.covers_timed,
        shards: grants.shards,
        relative: grants.relative,
        says: grants.says,
        windows: grants.windows,
        locations: places.places,
        placements: grants.placements,
        positions: actors.positions,
        reached_positions,
        cold: Cold {
            types: names.type_rows,
            resources: names.resource_rows,
            locations: facts.locations().map(|location| location.id.clone()).collect(),
            roles: places.roles,
            levels: facts.access_levels().map(|level| level.name.clone()).collect(),
            level_kind: grants.level_kind,
            levels_of: grants.levels_of,
            shard_location: grants.shard_location,
            edges: actors.edges,
            assignments: grants.assignments,
            grants_of: grants.grants_of,
            shards_of: grants.shards_of,
            placed: grants.placed,
            logins,
            held_at,
            reports,
            owned,
            object_of,
            subjects_of,
            actors: names.actor_rows,
        },
        kinds: grants.kinds,
    }))
}
