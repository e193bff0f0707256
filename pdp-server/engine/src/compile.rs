//! Facts to snapshot: everything that can be worked out before a question is asked.
//!
//! [`compile`] does it for a whole policy. [`recompile`] does it for a change set: what the change set
//! touches is worked out anew, all else is shared with the snapshot before. Both come to the same
//! answers, which the property tests of the project hold.
//!
//! INVARIANT: facts are referentially whole ([`Facts::apply`] and [`Facts::load`] see to it), so
//! every look-up of a name in here succeeds.

mod actors;
mod budget;
mod covers;
mod delta;
mod grants;
mod handles;
mod levels;
mod names;
mod places;
mod psm;
mod reach;
mod timeset;
mod touch;
mod vault;

use std::num::NonZeroUsize;
use std::sync::Arc;

pub use budget::{CompileLimits, TooLarge};
pub use delta::{recompile, recompile_within};
pub use touch::{sessions_touch, touches};

use crate::arena::{Lists, ResourceIx, TypeIx, Unions, side_by_side};
use crate::facts::Facts;
use crate::query::Revision;
use crate::snapshot::{Cold, Policy, Sessions, Snapshot, Vault};

use actors::Actors;
use budget::Budget;
use covers::Covers;
use grants::Grants;
use levels::Levels;
use names::Names;
use places::Places;

/// Compiles the whole policy, however large it gets.
#[must_use]
#[expect(clippy::expect_used, reason = "INVARIANT: without limits nothing is over one")]
pub fn compile(facts: &Facts, revision: Revision) -> Snapshot {
    compile_within(NonZeroUsize::MIN, facts, revision, CompileLimits::NONE)
        .expect("there are no limits")
}

/// The same by so many threads, of which it uses two: for a policy that nobody is answered from yet, as at a
/// start.
#[must_use]
#[expect(clippy::expect_used, reason = "INVARIANT: without limits nothing is over one")]
pub fn compile_on(threads: NonZeroUsize, facts: &Facts, revision: Revision) -> Snapshot {
    compile_within(threads, facts, revision, CompileLimits::NONE).expect("there are no limits")
}

/// Compiles the whole policy, by so many threads. The cost grows with the facts, with what each subject
/// counts as, and with the positions times the Business Role and Location pairs above them.
///
/// # Errors
/// [`TooLarge`] if it would be more than the limits allow.
pub fn compile_within(
    threads: NonZeroUsize,
    facts: &Facts,
    revision: Revision,
    limits: CompileLimits,
) -> Result<Snapshot, TooLarge> {
    let names = Names::new(threads, facts);
    let places = places::compile(facts, &names);
    let levels = levels::compile(facts, &names);
    let (granted, counted) = at_once(
        threads,
        || Granted::new(facts, &names, &places, &levels),
        || Counted::new(facts, &names, &places, limits),
    );
    let Granted { grants, covers, placed } = granted;
    let Counted { actors, cold, vault, psm, mut budget } = counted?;
    let asked = grants.asks_reached_positions;
    let reached_positions = actors.reached_positions(asked, &mut budget)?;
    let cold = Cold {
        placed: placed.into(),
        covers_placed: covers.placed.into(),
        unplaced: covers.unplaced,
        asks_reached_positions: asked,
        spent: budget.spent(),
        levels: facts.access_levels().map(|level| level.name.clone()).collect(),
        ..cold
    };
    let mut policy = Policy {
        revision,
        vault,
        psm,
        besides: names.besides,
        people: names.people,
        accounts: names.accounts,
        types: Arc::new(names.types),
        kinds: levels.kinds,
        objects: names.objects,
        subjects: actors.subjects,
        closure: actors.closure,
        closure_timed: actors.closure_timed,
        resources: covers.resources,
        direct: grants.direct,
        merged: grants.merged,
        unions: Unions::default(),
        relative_unions: Unions::default(),
        covers: grants.apart,
        covers_timed: covers.timed,
        shards: grants.shards,
        relative: grants.relative,
        says: levels.says,
        windows: grants.windows,
        locations: places.places.into(),
        placements: covers.placements,
        positions: actors.positions,
        reached_positions,
        cold: Cold {
            edges: actors.edges,
            roles: places.roles.into(),
            actors: names.actor_rows.into(),
            resources: names.resource_rows.into(),
            level_kind: levels.kind_of,
            levels_of: levels.of,
            shard_location: grants.shard_location,
            shard_merged: grants.shard_merged,
            assignments: grants.assignments,
            grants_of: grants.grants_of,
            shards_of: grants.shards_of,
            ..cold
        }
        .into(),
    };
    policy.unite();
    policy.foretell();
    Ok(Snapshot::new(policy))
}

/// What is granted where, and on what.
struct Granted {
    grants: Grants,
    covers: Covers,
    placed: Lists<TypeIx, (u32, ResourceIx)>,
}

// === impl Granted ===

impl Granted {
    fn new(facts: &Facts, names: &Names, places: &Places, levels: &Levels) -> Self {
        let mut grants = grants::compile(facts, names, places, levels);
        let mut covers = std::mem::take(&mut grants.covers);
        let (merged, apart) = (&mut grants.merged, &mut grants.apart);
        side_by_side([merged, apart, &mut covers.timed, &mut covers.placements]);
        let placed = covers.placed_resources(names, places);
        Self { grants, covers, placed }
    }
}

/// Who counts as what, and what takes neither that nor what is granted.
struct Counted {
    actors: Actors,
    cold: Cold,
    vault: Vault,
    psm: Sessions,
    budget: Budget,
}

// === impl Counted ===

impl Counted {
    fn new(
        facts: &Facts,
        names: &Names,
        places: &Places,
        limits: CompileLimits,
    ) -> Result<Self, TooLarge> {
        let mut budget = Budget::new(limits);
        let natives = psm::natives(facts, names);
        let mut actors = actors::compile(facts, names, places, &natives, &mut budget)?;
        let Actors { closure, closure_timed, positions, .. } = &mut actors;
        side_by_side([closure, closure_timed, positions]);
        let cold = cold(facts, names, places, &actors);
        let vault = vault::compile(facts, names);
        let natives_of = actors.natives_of().into();
        let native = std::mem::take(&mut actors.native);
        let native_timed = std::mem::take(&mut actors.native_timed);
        let psm = psm::compile(facts, names, natives, native, native_timed, natives_of);
        Ok(Self { actors, cold, vault, psm, budget })
    }
}

/// Does two things, at once where there are threads for it.
fn at_once<A: Send, B>(
    threads: NonZeroUsize,
    one: impl Fn() -> A + Sync,
    other: impl FnOnce() -> B,
) -> (A, B) {
    if threads == NonZeroUsize::MIN {
        return (one(), other());
    }
    std::thread::scope(|scope| {
        // Where the operating system gives no thread, one comes after the other.
        let beside = std::thread::Builder::new().spawn_scoped(scope, &one);
        let other = other();
        match beside.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(one)) => (one, other),
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(_) => (one(), other),
        }
    })
}

/// What follows for explanations and lists from names, places and actors alone.
fn cold(facts: &Facts, names: &Names, places: &Places, actors: &Actors) -> Cold {
    Cold {
        types: names.type_rows.iter().map(|(_, name)| name.clone()).collect(),
        locations: facts.locations().map(|location| location.id.clone()).collect(),
        logins: names.logins(facts),
        held_at: actors.held_at(places).into_iter().collect(),
        reports: actors.by(|subject| subject.manager).into(),
        owned: actors.by(|subject| subject.owner).into(),
        object_of: names.object_of().into(),
        subjects_of: actors.subjects_of().into(),
        pairs_of: names.pairs_of.clone(),
        fresh: names.fresh(facts),
        ..Cold::default()
    }
}
