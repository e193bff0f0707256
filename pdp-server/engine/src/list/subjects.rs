//! Who may do something on one object?

use super::{AnyPermission, allows};
use crate::actor::ActorRef;
use crate::arena::ActorIx;
use crate::check::{Target, object, target};
use crate::id::validate_id;
use crate::level::Relative;
use crate::permission::Qualifier;
use crate::query::{Malformed, ObjectRef, SubjectRef, validate_object};
use crate::share::Entity;
use crate::snapshot::{Grant, Is, Snapshot};
use crate::time::Timestamp;
use crate::walk::{open, relates};

/// Which subjects are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectKinds {
    /// People only.
    People,
    /// People and accounts.
    PeopleAndAccounts,
}

/// Everybody who may do something on the object, people first, each kind by id. Empty for an
/// object or a permission that is not known.
///
/// # Errors
/// [`Malformed`] if a name could not name anything.
pub fn list_subjects(
    snapshot: &Snapshot,
    permission: AnyPermission<'_>,
    object_ref: ObjectRef<'_>,
    kinds: SubjectKinds,
    now: Timestamp,
) -> Result<Vec<ActorRef>, Malformed> {
    // Asked of somebody, so that a question that is none is refused with nobody to list.
    allows(snapshot, SubjectRef::Person("?"), permission, object_ref, now)?;
    let candidates = match permission {
        AnyPermission::Access(permission) => match target(snapshot, object_ref, permission) {
            Ok(target) => holders(snapshot, target, now),
            Err(_) => Vec::new(),
        },
        AnyPermission::Vault(_) => vault_candidates(snapshot, object_ref),
        AnyPermission::Session(level) => session_candidates(snapshot, object_ref, level),
    };
    let mut listed = Vec::new();
    for candidate in candidates {
        let subject = match &snapshot.cold.actors[candidate] {
            ActorRef::Person(id) => SubjectRef::Person(id.as_str()),
            ActorRef::Account(id) if kinds == SubjectKinds::PeopleAndAccounts => {
                SubjectRef::Account(id.as_str())
            }
            _ => continue,
        };
        if allows(snapshot, subject, permission, object_ref, now)? {
            listed.push(snapshot.cold.actors[candidate].clone());
        }
    }
    Ok(listed)
}

pub(super) fn validate(subject: SubjectRef<'_>, object: ObjectRef<'_>) -> Result<(), Malformed> {
    let part = |field, outcome: Result<(), crate::id::IdError>| {
        outcome.map_err(|source| Malformed::Name { field, source })
    };
    part("subject", validate_id("subject id", subject.id()))?;
    part("resource", validate_object(object))
}

fn sorted(mut actors: Vec<ActorIx>) -> Vec<ActorIx> {
    actors.sort_unstable();
    actors.dedup();
    actors
}

/// Every subject to whom something allows the target; a deny may still be heard. Sorted.
pub(super) fn holders(snapshot: &Snapshot, target: Target, now: Timestamp) -> Vec<ActorIx> {
    let row = &snapshot.resources[target.object];
    let allows = |grant: &Grant| {
        snapshot.says(grant.level, target.permission) == Some(Qualifier::Allowed)
            && snapshot.windows[grant.window].contains(now)
    };
    let always = snapshot.covers[row.cover].iter().copied();
    let timed = open(&snapshot.covers_timed[row.cover], now);
    let placed = always.chain(timed).flat_map(|shard| &snapshot.shards[shard]);
    let mut found = Vec::new();
    for grant in snapshot.direct[target.object].iter().chain(placed).filter(|grant| allows(grant)) {
        found.extend(&snapshot.cold.subjects_of[grant.assignee]);
    }
    for entry in snapshot.relative[row.kind].iter().filter(|entry| allows(&entry.grant)) {
        related(snapshot, entry.relative, entry.grant.assignee, target, now, &mut found);
    }
    sorted(found)
}

/// The subjects that stand in the relation to the object, or those that count as the assignee,
/// whichever the snapshot can tell faster.
fn related(
    snapshot: &Snapshot,
    relative: Relative,
    assignee: ActorIx,
    target: Target,
    now: Timestamp,
    found: &mut Vec<ActorIx>,
) {
    let manager_of = |actor: ActorIx| snapshot.subjects[actor].manager;
    let owner_of = |actor: ActorIx| snapshot.subjects[actor].owner;
    match (relative, snapshot.resources[target.object].is) {
        (Relative::Myself, Is::Person(person)) => found.push(person),
        (Relative::Manager, Is::Person(person)) => found.extend(&snapshot.cold.reports[person]),
        (Relative::DirectReports, Is::Person(person)) => found.extend(manager_of(person)),
        (Relative::OwnAccounts, Is::Account(account)) => found.extend(owner_of(account)),
        (Relative::AccountsOfDirectReports, Is::Account(account)) => {
            found.extend(owner_of(account).and_then(manager_of));
        }
        _ => found.extend(snapshot.cold.subjects_of[assignee].iter().filter(|subject| {
            snapshot.subjects[**subject].is_person
                && relates(snapshot, relative, **subject, target.object, now)
        })),
    }
}

fn vault_candidates(snapshot: &Snapshot, object_ref: ObjectRef<'_>) -> Vec<ActorIx> {
    let vault = &snapshot.vault;
    let mut found = Vec::new();
    if object_ref.type_name == Entity::GROUP_WORD {
        if let Some(group) = vault.groups.get(object_ref.id) {
            let shares = vault.group_shares[*group].iter();
            found.extend(shares.flat_map(|shared| &snapshot.cold.subjects_of[shared.to]));
        }
        return sorted(found);
    }
    let Ok(resource) = object(snapshot, object_ref) else { return Vec::new() };
    let resource_and_parent = std::iter::once(resource).chain(vault.entities[resource].parent);
    for resource in resource_and_parent {
        found.extend(vault.entities[resource].owner);
        let groups = vault.groups_of[resource].iter();
        let of_groups = groups.flat_map(|group| &vault.group_shares[*group]);
        for shared in vault.shares[resource].iter().chain(of_groups) {
            found.extend(&snapshot.cold.subjects_of[shared.to]);
        }
    }
    sorted(found)
}

fn session_candidates(
    snapshot: &Snapshot,
    object_ref: ObjectRef<'_>,
    level: Option<&str>,
) -> Vec<ActorIx> {
    let Ok(computer) = object(snapshot, object_ref) else { return Vec::new() };
    let Some(level) = level else {
        // Eligibility plays no part (P8), so everybody is a candidate and most are the answer.
        return snapshot.subjects.iter().map(|(subject, _)| subject).collect();
    };
    let cover = snapshot.resources[computer].cover;
    let places = snapshot.placements[cover].iter().flat_map(|placement| {
        std::iter::successors(Some(placement.location), |at| snapshot.locations[*at].parent)
    });
    let within = places.filter_map(|at| snapshot.psm.within.get(&at));
    let all = snapshot.psm.on.get(&computer).into_iter().chain(within).flatten();
    let mut found = Vec::new();
    for eligible in all.filter(|eligible| eligible.level.as_str() == level) {
        found.extend(&snapshot.cold.subjects_of[eligible.to]);
    }
    sorted(found)
}
