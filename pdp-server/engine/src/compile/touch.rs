//! Whether a change set can have changed what somebody watches, without working out what is held.
//!
//! Only the snapshot after the change set is looked at. That is enough: whatever is not in it any more was
//! taken away by the change set, and each rule below looks at a fact both as it was and as it became.

mod resource;
mod subject;

use std::collections::HashSet;

use crate::actor::{ActorRef, Membership};
use crate::arena::ActorIx;
use crate::check::object;
use crate::facts::{Delta, Fact, FactKind};
use crate::list::{About, SubjectKinds};
use crate::query::{ObjectRef, SubjectRef};
use crate::resource::BuiltInType;
use crate::session::OpenSessions;
use crate::snapshot::{Is, Snapshot};

use resource::OfResource;
use subject::OfSubject;

/// Whether what is watched may be otherwise than before the deltas, of one change set or of several that
/// came one after the other; `after` is the policy that they led to, with any sessions. `false` is certain:
/// at every instant the effective permissions are those of before. `true` is a guess.
#[must_use]
pub fn touches(deltas: &[Delta], after: &Snapshot, about: About<'_>) -> bool {
    // They place, number or name what everything else refers to.
    let is_for_all = |kind| {
        matches!(
            kind,
            FactKind::ResourceType
                | FactKind::Location
                | FactKind::BusinessRole
                | FactKind::PermissionLevel
        )
    };
    if deltas.iter().any(|delta| is_for_all(delta.key.kind())) {
        return true;
    }
    match about {
        About::Subject { subject, type_name } => {
            let Some(watched) = OfSubject::new(after, subject, type_name) else {
                // Whose memberships come of sessions: these stand on what their people are eligible for.
                return true;
            };
            deltas.iter().any(|delta| watched.is_touched(delta))
        }
        About::Resource { resource, kinds } => match OfResource::new(after, resource, kinds) {
            None => true,
            Some(watched) => deltas.iter().any(|delta| watched.is_touched(delta)),
        },
    }
}

/// Whether what is watched may be otherwise because sessions, or the accounts made for them, differ.
#[must_use]
pub fn sessions_touch(before: &OpenSessions, after: &OpenSessions, about: About<'_>) -> bool {
    match about {
        // The room on computers (P5).
        About::Subject { subject: SubjectRef::Person(_), type_name } => {
            type_name.is_none_or(|name| name == crate::psm::COMPUTER)
        }
        About::Subject { subject: SubjectRef::Account(id), type_name: _ } => {
            !before.of_account(id).eq(after.of_account(id))
                || before.jit_account(id) != after.jit_account(id)
        }
        About::Resource { resource, kinds } => {
            // Any account may have become a member of a group.
            kinds == SubjectKinds::PeopleAndAccounts
                || (resource.type_name == crate::psm::COMPUTER
                    && !before.on_computer(resource.id).eq(after.on_computer(resource.id)))
        }
    }
}

/// The fact as it was and as it became, as far as each is there.
fn both(delta: &Delta) -> impl Iterator<Item = &Fact> {
    delta.before.iter().chain(&delta.after)
}

/// Whether something differs between the fact before and the fact after; of one that is not there it is the
/// default.
fn differs<'a, T: PartialEq + Default>(delta: &'a Delta, of: impl Fn(&'a Fact) -> T) -> bool {
    let of = |fact: Option<&'a Fact>| fact.map(&of).unwrap_or_default();
    of(delta.before.as_ref()) != of(delta.after.as_ref())
}

/// The members of a group, a set group or a management role.
fn members(fact: &Fact) -> &[Membership] {
    match fact {
        Fact::Group(group) => &group.members,
        Fact::SetGroup(group) => &group.members,
        Fact::ManagementRole(role) => &role.members,
        _ => &[],
    }
}

/// The handle of an actor, if it is known; a pair is not looked for.
fn handle(snapshot: &Snapshot, actor: &ActorRef) -> Option<ActorIx> {
    let named = |built_in: BuiltInType, id: &str| {
        let named = ObjectRef { type_name: built_in.as_str(), id };
        match snapshot.resources[object(snapshot, named).ok()?].is {
            Is::Actor(actor) => Some(actor),
            _ => None,
        }
    };
    match actor {
        ActorRef::Person(id) => snapshot.people.get(id.as_str()).copied(),
        ActorRef::Account(id) => snapshot.accounts.get(id.as_str()).copied(),
        ActorRef::Group(id) => named(BuiltInType::Group, id.as_str()),
        ActorRef::SetGroup(id) => named(BuiltInType::SetGroup, id.as_str()),
        ActorRef::ManagementRole(id) => named(BuiltInType::ManagementRole, id.as_str()),
        ActorRef::ManagementRoleDefinition(id) => {
            named(BuiltInType::ManagementRoleDefinition, id.as_str())
        }
        ActorRef::BusinessRoleLocation(..) => None,
    }
}

/// Whether whoever counts as an actor counts as one of those, now or at some time.
fn leads_to(snapshot: &Snapshot, from: ActorIx, those: &HashSet<ActorIx>) -> bool {
    let mut seen = HashSet::from([from]);
    let mut next = vec![from];
    while let Some(actor) = next.pop() {
        if those.contains(&actor) {
            return true;
        }
        let edges = snapshot.cold.edges[actor].iter().map(|edge| edge.to);
        next.extend(edges.filter(|to| seen.insert(*to)));
    }
    false
}
