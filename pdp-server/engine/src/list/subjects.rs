//! Who may do something on one object?

use std::collections::BTreeSet;

use super::candidates::Candidates;
use super::{AnyPermission, ListError, Pace, Part, allows, wanted_to_the_end};
use crate::actor::ActorRef;
use crate::arena::{ActorIx, LevelIx, LocationIx, NativeIx, PermissionIx, ResourceIx};
use crate::check::{Target, object, target};
use crate::id::{AccountId, GroupId, validate_id};
use crate::level::Relative;
use crate::permission::Qualifier;
use crate::query::{Malformed, ObjectRef, SubjectRef, validate_object};
use crate::resource::BuiltInType;
use crate::session::{OpenSessions, takes_sessions};
use crate::share::{Entity, ShareLevel, VaultAction};
use crate::snapshot::{Eligible, Grant, Is, Shared, Snapshot};
use crate::time::Timestamp;
use crate::walk::open;

/// Which subjects are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectKinds {
    /// People only.
    People,
    /// People and accounts.
    PeopleAndAccounts,
}

/// What is asked of an object: one permission, or whichever it may be.
#[derive(Clone, Copy)]
pub(super) struct Sought {
    pub(super) object: ResourceIx,
    pub(super) permission: Option<PermissionIx>,
}

impl From<Target> for Sought {
    fn from(Target { object, permission }: Target) -> Self {
        Self { object, permission: Some(permission) }
    }
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
    let whole = Part::whole();
    wanted_to_the_end(list_subjects_part(snapshot, permission, object_ref, kinds, whole, now))
}

/// A part of [`list_subjects`].
///
/// # Errors
/// [`ListError`] as for the whole, or if the part is not wanted any more.
pub fn list_subjects_part(
    snapshot: &Snapshot,
    permission: AnyPermission<'_>,
    object_ref: ObjectRef<'_>,
    kinds: SubjectKinds,
    part: Part<'_, SubjectRef<'_>>,
    now: Timestamp,
) -> Result<Vec<ActorRef>, ListError> {
    let pace = part.pace();
    pace.step()?;
    // Asked of somebody, so that a question that is none is refused with nobody to list.
    allows(snapshot, SubjectRef::Person("?"), permission, object_ref, now)?;
    let mut grantees = Vec::new();
    let mut candidates = match permission {
        AnyPermission::Access(permission) => match target(snapshot, object_ref, permission) {
            Ok(target) => {
                let target = Sought::from(target);
                grantees = assignees(snapshot, target, now, &pace)?;
                holders_with(snapshot, &grantees, target, now, &pace)?
            }
            Err(_) => Candidates::new(snapshot),
        },
        AnyPermission::Vault(action) => {
            let action = VaultAction::from_name(action);
            let gives = |level: ShareLevel| action.is_some_and(|action| level.gives(action));
            let owners = vault_grantees(snapshot, object_ref, gives, &mut grantees);
            let mut found = counting_as(snapshot, grantees.clone());
            found.singles(owners);
            found
        }
        AnyPermission::Session(level) => session_candidates(snapshot, object_ref, level, now),
    };
    let besides = match kinds {
        SubjectKinds::People => Vec::new(),
        SubjectKinds::PeopleAndAccounts => in_sessions(snapshot, grantees, &mut candidates),
    };
    // Whether the computer has room (P5) was asked once for all.
    let roomy = match permission {
        AnyPermission::Session(_) => snapshot.with_sessions(OpenSessions::default()),
        AnyPermission::Access(_) | AnyPermission::Vault(_) => snapshot.clone(),
    };
    let passed =
        |actor| part.after.is_some_and(|after| subject_ref(snapshot, actor) <= Some(after));
    let wanted = |subject: &SubjectRef<'_>| {
        kinds == SubjectKinds::PeopleAndAccounts || matches!(subject, SubjectRef::Person(_))
    };
    let in_policy = candidates.past(passed).map_while(|actor| subject_ref(snapshot, actor));
    let besides = besides.iter().map(|id| SubjectRef::Account(id.as_str()));
    let besides = besides.filter(|id| part.after.is_none_or(|after| *id > after));
    let mut listed = Vec::new();
    for subject in merged(in_policy.take_while(wanted), besides) {
        if listed.len() >= part.limit {
            break;
        }
        pace.step()?;
        if allows(&roomy, subject, permission, object_ref, now)? {
            listed.extend(actor(snapshot, subject));
        }
    }
    Ok(listed)
}

/// Two lists in order as one.
pub(super) fn merged<T: Ord>(
    first: impl Iterator<Item = T>,
    second: impl Iterator<Item = T>,
) -> impl Iterator<Item = T> {
    let (mut first, mut second) = (first.peekable(), second.peekable());
    std::iter::from_fn(move || match (first.peek(), second.peek()) {
        (Some(left), Some(right)) if right < left => second.next(),
        (Some(_), _) => first.next(),
        (None, _) => second.next(),
    })
}

/// The accounts that open sessions make count as one of these actors: those of the policy go to the
/// candidates, those that were made for sessions are the answer, in order.
pub(super) fn in_sessions(
    snapshot: &Snapshot,
    mut grantees: Vec<ActorIx>,
    candidates: &mut Candidates<'_, ActorIx>,
) -> Vec<AccountId> {
    grantees.sort_unstable();
    let granted = |actor: &ActorIx| grantees.binary_search(actor).is_ok();
    let mut besides = BTreeSet::new();
    for (group, accounts) in snapshot.sessions().groups() {
        let Some(native) = native_named(snapshot, group) else { continue };
        let timed = snapshot.psm.native_timed[native].iter().map(|timed| &timed.item);
        if snapshot.psm.native[native].iter().chain(timed).any(granted) {
            for account in accounts.iter() {
                match snapshot.accounts.get(account.as_str()) {
                    Some(known) => candidates.singles([*known]),
                    None => {
                        besides.insert(account.clone());
                    }
                }
            }
        }
    }
    besides.into_iter().collect()
}

/// The native group of this name.
pub(super) fn native_named(snapshot: &Snapshot, group: &GroupId) -> Option<NativeIx> {
    let named = ObjectRef { type_name: BuiltInType::Group.as_str(), id: group.as_str() };
    match snapshot.resources[object(snapshot, named).ok()?].is {
        Is::Actor(group) => snapshot.psm.native_of.get(&group).copied(),
        _ => None,
    }
}

/// The subject as an actor.
pub(super) fn actor(snapshot: &Snapshot, subject: SubjectRef<'_>) -> Option<ActorRef> {
    let known = match subject {
        SubjectRef::Person(id) => snapshot.people.get(id),
        SubjectRef::Account(id) => snapshot.accounts.get(id),
    };
    match known {
        Some(known) => Some(snapshot.cold.actors[*known].clone()),
        None => {
            let account = snapshot.sessions().jit_account(subject.id())?;
            Some(ActorRef::Account(account.id.clone()))
        }
    }
}

/// The subject of this handle; nothing else is one.
pub(super) fn subject_ref(snapshot: &Snapshot, actor: ActorIx) -> Option<SubjectRef<'_>> {
    match &snapshot.cold.actors[actor] {
        ActorRef::Person(id) => Some(SubjectRef::Person(id.as_str())),
        ActorRef::Account(id) => Some(SubjectRef::Account(id.as_str())),
        ActorRef::Group(_)
        | ActorRef::SetGroup(_)
        | ActorRef::BusinessRoleLocation(..)
        | ActorRef::ManagementRole(_)
        | ActorRef::ManagementRoleDefinition(_) => None,
    }
}

pub(super) fn validate(subject: SubjectRef<'_>, object: ObjectRef<'_>) -> Result<(), Malformed> {
    let part = |field, outcome: Result<(), crate::id::IdError>| {
        outcome.map_err(|source| Malformed::Name { field, source })
    };
    part("subject", validate_id("subject id", subject.id()))?;
    part("resource", validate_object(object))
}

/// Every subject to whom something allows the target; a deny may still be heard.
pub(super) fn holders<'a>(
    snapshot: &'a Snapshot,
    target: Target,
    now: Timestamp,
    pace: &Pace<'_>,
) -> Result<Candidates<'a, ActorIx>, ListError> {
    let target = Sought::from(target);
    let assignees = assignees(snapshot, target, now, pace)?;
    holders_with(snapshot, &assignees, target, now, pace)
}

fn allows_target(snapshot: &Snapshot, grant: &Grant, target: Sought, now: Timestamp) -> bool {
    let allows = match target.permission {
        Some(permission) => snapshot.says(grant.level, permission) == Some(Qualifier::Allowed),
        None => allows_anything(snapshot, grant.level),
    };
    allows && snapshot.windows[grant.window].contains(now)
}

/// Whether a level allows any permission at all.
pub(super) fn allows_anything(snapshot: &Snapshot, level: LevelIx) -> bool {
    snapshot.says[level].contains(&Some(Qualifier::Allowed))
}

/// Everybody to whom something that is not relative allows the target, in no order.
pub(super) fn assignees(
    snapshot: &Snapshot,
    target: Sought,
    now: Timestamp,
    pace: &Pace<'_>,
) -> Result<Vec<ActorIx>, ListError> {
    let row = &snapshot.resources[target.object];
    let always = snapshot.covers[row.cover].iter().copied();
    let timed = open(&snapshot.covers_timed[row.cover], now);
    let placed = always.chain(timed).flat_map(|shard| &snapshot.shards[shard]);
    let mut assignees = Vec::new();
    let merged = &snapshot.merged[row.cover];
    for grant in snapshot.direct[target.object].iter().chain(merged).chain(placed) {
        pace.step()?;
        if allows_target(snapshot, grant, target, now) {
            assignees.push(grant.assignee);
        }
    }
    Ok(assignees)
}

/// The subjects that count as one of the assignees, or stand in a relation that allows the target.
pub(super) fn holders_with<'a>(
    snapshot: &'a Snapshot,
    assignees: &[ActorIx],
    target: Sought,
    now: Timestamp,
    pace: &Pace<'_>,
) -> Result<Candidates<'a, ActorIx>, ListError> {
    let row = &snapshot.resources[target.object];
    let mut found = counting_as(snapshot, assignees.to_vec());
    let mut looked_at = BTreeSet::new();
    let relative = snapshot.relative[row.kind].iter();
    for entry in relative.filter(|entry| allows_target(snapshot, &entry.grant, target, now)) {
        if looked_at.insert((entry.relative, entry.grant.assignee)) {
            related(
                snapshot,
                (entry.relative, entry.grant.assignee),
                target.object,
                pace,
                &mut found,
            )?;
        }
    }
    Ok(found)
}

/// The subjects that count as one of the actors, always or at times.
pub(super) fn counting_as(
    snapshot: &Snapshot,
    mut actors: Vec<ActorIx>,
) -> Candidates<'_, ActorIx> {
    actors.sort_unstable();
    actors.dedup();
    let mut found = Candidates::new(snapshot);
    actors.into_iter().for_each(|actor| found.run(snapshot.cold.subjects_of.of(actor)));
    found
}

/// The subjects that may stand in the relation to the object, or those that count as the assignee,
/// whichever are fewer.
fn related<'a>(
    snapshot: &'a Snapshot,
    (relative, assignee): (Relative, ActorIx),
    object: ResourceIx,
    pace: &Pace<'_>,
    found: &mut Candidates<'a, ActorIx>,
) -> Result<(), ListError> {
    let manager_of = |actor: ActorIx| snapshot.subjects[actor].manager;
    let owner_of = |actor: ActorIx| snapshot.subjects[actor].owner;
    match (relative, snapshot.resources[object].is) {
        (Relative::Myself, Is::Person(person)) => found.singles([person]),
        (Relative::Manager, Is::Person(person)) => found.run(snapshot.cold.reports.of(person)),
        (Relative::DirectReports, Is::Person(person)) => found.singles(manager_of(person)),
        (Relative::OwnAccounts, Is::Account(account)) => found.singles(owner_of(account)),
        (Relative::AccountsOfDirectReports, Is::Account(account)) => {
            found.singles(owner_of(account).and_then(manager_of));
        }
        _ => {
            let near = holders_near(snapshot, relative, object, pace)?;
            let reach =
                matches!(relative, Relative::MyLocationsAndAbove | Relative::MyLocationsAndBelow);
            let mut related = if reach {
                counting_as(snapshot, near)
            } else {
                let mut related = Candidates::new(snapshot);
                let is_subject = |actor: &ActorIx| subject_ref(snapshot, *actor).is_some();
                related.singles(near.into_iter().filter(is_subject));
                related
            };
            let counting = snapshot.cold.subjects_of.of(assignee);
            if counting.len() < related.upper_bound() {
                related = Candidates::new(snapshot);
                related.run(counting);
            }
            found.append(related);
        }
    }
    Ok(())
}

/// Who holds a position where the relation could come from: the people and groups that hold one at
/// a location on the way up from a placement of the object, or, for relations that begin at a
/// location and look down or up from there, on the way down.
fn holders_near(
    snapshot: &Snapshot,
    relative: Relative,
    object: ResourceIx,
    pace: &Pace<'_>,
) -> Result<Vec<ActorIx>, ListError> {
    let row = &snapshot.resources[object];
    let starts: Vec<LocationIx> = match (relative, row.is) {
        (Relative::MyLocationsAndAbove | Relative::MyLocationsAndBelow, Is::Location(place)) => {
            vec![place]
        }
        (Relative::InMyLocations | Relative::InMyOrganization, _) => {
            snapshot.placements[row.cover].iter().map(|placement| placement.location).collect()
        }
        _ => Vec::new(),
    };
    let upwards = starts
        .iter()
        .flat_map(|start| std::iter::successors(Some(*start), |at| snapshot.locations[*at].parent));
    let whole = |at: LocationIx| (snapshot.locations[at].first, snapshot.locations[at].after);
    let itself = |at: LocationIx| (snapshot.locations[at].first, snapshot.locations[at].first + 1);
    let spans: BTreeSet<(u32, u32)> = match relative {
        Relative::MyLocationsAndAbove => starts.iter().map(|at| whole(*at)).collect(),
        Relative::InMyOrganization => upwards
            .filter(|at| snapshot.locations[*at].organization == Some(*at))
            .map(whole)
            .collect(),
        _ => upwards.map(itself).collect(),
    };
    let held = snapshot.cold.held_at.all();
    let mut found = Vec::new();
    for (first, after) in spans {
        let within = held.past(|(number, _)| *number < first).first(|(number, _)| *number < after);
        for (_, holder) in within.iter() {
            pace.step()?;
            found.push(holder);
        }
    }
    Ok(found)
}

/// Whoever has a share that gives what is asked, on whatever layer, and the owners.
pub(super) fn vault_grantees(
    snapshot: &Snapshot,
    object_ref: ObjectRef<'_>,
    asked: impl Fn(ShareLevel) -> bool,
    grantees: &mut Vec<ActorIx>,
) -> Vec<ActorIx> {
    let vault = &snapshot.vault;
    let gives = |shares: &[Shared]| {
        let giving = shares.iter().filter(|shared| asked(shared.level));
        giving.map(|shared| shared.to).collect::<Vec<_>>()
    };
    if object_ref.type_name == Entity::GROUP_WORD {
        if let Some(group) = vault.groups.get(object_ref.id) {
            grantees.extend(gives(&vault.group_shares[*group]));
        }
        return Vec::new();
    }
    let Ok(resource) = object(snapshot, object_ref) else { return Vec::new() };
    let resource_and_parent = std::iter::once(resource).chain(vault.entities[resource].parent);
    let mut owners = Vec::new();
    for resource in resource_and_parent {
        owners.extend(vault.entities[resource].owner);
        grantees.extend(gives(&vault.shares[resource]));
        for group in &vault.groups_of[resource] {
            grantees.extend(gives(&vault.group_shares[*group]));
        }
    }
    owners
}

pub(super) fn session_candidates<'a>(
    snapshot: &'a Snapshot,
    object_ref: ObjectRef<'_>,
    level: Option<&str>,
    now: Timestamp,
) -> Candidates<'a, ActorIx> {
    let mut found = Candidates::new(snapshot);
    let Ok(computer) = object(snapshot, object_ref) else { return found };
    if !takes_sessions(snapshot, computer, level, now) {
        return found;
    }
    let Some(level) = level else {
        // Eligibility plays no part (P8), so everybody is a candidate and most are the answer.
        let people = snapshot.subjects.iter().filter(|(_, row)| row.is_person && row.enabled);
        found.singles(people.map(|(subject, _)| subject));
        return found;
    };
    let cover = snapshot.resources[computer].cover;
    let places = snapshot.placements[cover].iter().flat_map(|placement| {
        std::iter::successors(Some(placement.location), |at| snapshot.locations[*at].parent)
    });
    let places: BTreeSet<LocationIx> = places.collect();
    let within = places.iter().filter_map(|at| snapshot.psm.within.get(at));
    let all = snapshot.psm.on.get(&computer).into_iter().chain(within).flat_map(|list| list.iter());
    let counts = |eligible: &&Eligible| {
        eligible.kind.makes_eligible()
            && eligible.window.contains(now)
            && eligible.level.as_str() == level
    };
    counting_as(snapshot, all.filter(counts).map(|eligible| eligible.to).collect())
}
