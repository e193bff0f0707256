//! What a subject may do: whether a fact that changed can play a part in it.

use std::collections::HashSet;

use super::{both, differs, members};
use crate::actor::{ActorRef, Membership};
use crate::arena::{ActorIx, TypeIx};
use crate::facts::{Delta, Fact};
use crate::id::PersonId;
use crate::level::Scope;
use crate::psm::COMPUTER;
use crate::query::SubjectRef;
use crate::resource::{BuiltInType, ResourceRef};
use crate::share::Entity;
use crate::snapshot::Snapshot;

/// A subject as it is after a change set.
pub(super) struct OfSubject<'a> {
    snapshot: &'a Snapshot,
    named: SubjectRef<'a>,
    type_name: Option<&'a str>,
    /// Everything it counts as at some time, itself included.
    actors: HashSet<ActorRef>,
    handles: Vec<ActorIx>,
    /// Some of them hold a position. Which pairs they count as is not asked: a pair that nothing names any
    /// more is forgotten.
    in_positions: bool,
    /// An account's owner (A8).
    owner: Option<ActorRef>,
    /// Something of the vault is its own or shared with it.
    in_vault: bool,
    /// It is eligible for sessions.
    eligible: bool,
    is_person: bool,
}

// === impl OfSubject ===

impl<'a> OfSubject<'a> {
    /// `None` if sessions make it count as something.
    pub(super) fn new(
        snapshot: &'a Snapshot,
        named: SubjectRef<'a>,
        type_name: Option<&'a str>,
    ) -> Option<Self> {
        let (itself, handle) = match named {
            SubjectRef::Person(id) => {
                (PersonId::new(id).ok().map(ActorRef::Person), snapshot.people.get(id))
            }
            SubjectRef::Account(id) => {
                if snapshot.sessions().of_account(id).next().is_some() {
                    return None;
                }
                let itself = crate::id::AccountId::new(id).ok().map(ActorRef::Account);
                (itself, snapshot.accounts.get(id))
            }
        };
        let mut handles = Vec::new();
        let mut owner = None;
        let mut in_vault = false;
        if let Some(subject) = handle.copied() {
            handles.push(subject);
            handles.extend(&snapshot.closure[subject]);
            handles.extend(snapshot.closure_timed[subject].iter().map(|timed| timed.item));
            handles.sort_unstable();
            handles.dedup();
            owner = snapshot.subjects[subject].owner;
            in_vault = !snapshot.vault.owned[subject].is_empty();
        }
        let any = |of: &dyn Fn(ActorIx) -> bool| handles.iter().any(|actor| of(*actor));
        in_vault |= any(&|actor| {
            let vault = &snapshot.vault;
            !vault.shared_with[actor].is_empty() || !vault.groups_shared_with[actor].is_empty()
        });
        let names = &snapshot.cold.actors;
        Some(Self {
            actors: handles.iter().map(|actor| names[*actor].clone()).chain(itself).collect(),
            in_positions: any(&|actor| !snapshot.positions[actor].is_empty()),
            eligible: any(&|actor| !snapshot.psm.eligible_for[actor].is_empty()),
            owner: owner.map(|owner| names[owner].clone()),
            is_person: matches!(named, SubjectRef::Person(_)),
            snapshot,
            named,
            type_name,
            handles,
            in_vault,
        })
    }

    pub(super) fn is_touched(&self, delta: &Delta) -> bool {
        both(delta).any(|fact| self.is_itself(fact))
            || self.counts_otherwise(delta)
            || both(delta).any(|fact| self.is_granted(fact))
            || self.object_differs(delta)
    }

    fn counts_as(&self, actor: &ActorRef) -> bool {
        match actor {
            ActorRef::BusinessRoleLocation(..) => self.in_positions || self.actors.contains(actor),
            _ => self.actors.contains(actor),
        }
    }

    fn is(&self, person: Option<&PersonId>) -> bool {
        let watched = match self.named {
            SubjectRef::Person(id) => Some(id),
            SubjectRef::Account(_) => None,
        };
        watched.is_some() && person.map(PersonId::as_str) == watched
    }

    /// The subject, an account of its own, or its owner.
    fn is_itself(&self, fact: &Fact) -> bool {
        match (fact, self.named) {
            (Fact::Person(person), SubjectRef::Account(_)) => self
                .owner
                .as_ref()
                .is_some_and(|owner| matches!(owner, ActorRef::Person(id) if *id == person.id)),
            (Fact::Person(person), SubjectRef::Person(_)) => self.is(Some(&person.id)),
            (Fact::Account(account), SubjectRef::Account(id)) => account.id.as_str() == id,
            (Fact::Account(account), SubjectRef::Person(_)) => self.is(account.owner.as_ref()),
            _ => false,
        }
    }

    /// Whether it may count as something else than before. The first edge of a way that is gone, or new,
    /// begins at something that it still counts as.
    fn counts_otherwise(&self, delta: &Delta) -> bool {
        let its = |fact: &Fact| -> Vec<Membership> {
            members(fact).iter().filter(|it| self.counts_as(&it.of)).cloned().collect()
        };
        if differs(delta, its) {
            return true;
        }
        // What leads on from something that it counts as.
        match (&delta.before, &delta.after) {
            (Some(Fact::Group(before)), Some(Fact::Group(after))) => {
                before.positions != after.positions
                    && self.actors.contains(&ActorRef::Group(after.id.clone()))
            }
            (Some(Fact::ManagementRole(before)), Some(Fact::ManagementRole(after))) => {
                (&before.includes, &before.definition) != (&after.includes, &after.definition)
                    && self.actors.contains(&ActorRef::ManagementRole(after.id.clone()))
            }
            // Of one that came or went, the members tell.
            _ => false,
        }
    }

    /// What is given to something that it counts as.
    fn is_granted(&self, fact: &Fact) -> bool {
        match fact {
            Fact::Assignment(it) => {
                self.may_be_told(it.level.type_name.as_str()) && self.counts_as(&it.to)
            }
            Fact::AccessLevel(level) => {
                let snapshot = self.snapshot;
                let grants = self.handles.iter().flat_map(|actor| &snapshot.cold.grants_of[*actor]);
                self.may_be_told(level.name.type_name.as_str())
                    && grants
                        .map(|grant| &snapshot.cold.assignments[grant.assignment].level)
                        .any(|name| *name == level.name)
            }
            Fact::Share(share) => self.counts_as(&share.key.to.actor()),
            Fact::Eligibility(eligibility) => self.counts_as(&eligibility.key.to),
            Fact::Psm(psm) => self.is_person && (psm.allow_unprivileged || self.eligible),
            Fact::ResourceGroup(group) => {
                let snapshot = self.snapshot;
                let shared =
                    self.handles.iter().flat_map(|it| &snapshot.vault.groups_shared_with[*it]);
                shared.map(|it| &snapshot.vault.group_names[*it]).any(|id| *id == group.id)
            }
            _ => false,
        }
    }

    fn may_be_told(&self, type_name: &str) -> bool {
        self.type_name.is_none_or(|asked| asked == type_name)
    }

    /// An object that it may have something on, or that says how it stands to one.
    fn object_differs(&self, delta: &Delta) -> bool {
        both(delta).any(|fact| match fact {
            Fact::Resource(resource) => {
                self.reaches(resource.name.type_name.as_str(), Some(&resource.name))
                    || self.in_vault
                    || self.is(resource.owner.as_ref())
                    || (self.eligible && resource.name.type_name.as_str() == COMPUTER)
            }
            Fact::Person(person) => {
                self.reaches_built_in(BuiltInType::Person, person.id.as_str())
                    // Whose accounts somebody's manager has.
                    || self.reaches(BuiltInType::UserAccount.as_str(), None)
            }
            Fact::Account(account) => {
                self.reaches_built_in(BuiltInType::UserAccount, account.id.as_str())
                    || self.in_vault
            }
            Fact::Group(group) => self.reaches_built_in(BuiltInType::Group, group.id.as_str()),
            Fact::SetGroup(group) => {
                self.reaches_built_in(BuiltInType::SetGroup, group.id.as_str())
            }
            Fact::ManagementRole(role) => {
                self.reaches_built_in(BuiltInType::ManagementRole, role.id.as_str())
            }
            Fact::ManagementRoleDefinition(definition) => {
                self.reaches_built_in(BuiltInType::ManagementRoleDefinition, definition.id.as_str())
            }
            _ => false,
        })
    }

    fn reaches_built_in(&self, built_in: BuiltInType, id: &str) -> bool {
        let id = crate::id::ObjectId::new(id).ok();
        let type_name = crate::id::TypeName::new(built_in.as_str()).ok();
        let named = type_name.zip(id).map(|(type_name, id)| ResourceRef { type_name, id });
        self.reaches(built_in.as_str(), named.as_ref())
    }

    /// Whether it has a grant of the type that may cover the object, or, of none, one with a relative scope.
    fn reaches(&self, type_name: &str, object: Option<&ResourceRef>) -> bool {
        let snapshot = self.snapshot;
        let Some(kind): Option<TypeIx> = snapshot.types.get(type_name).copied() else {
            return true;
        };
        let grants = self.handles.iter().flat_map(|actor| &snapshot.cold.grants_of[*actor]);
        let of_kind = grants.filter(|grant| snapshot.cold.level_kind[grant.level] == kind);
        let mut scopes = of_kind.map(|grant| &snapshot.cold.assignments[grant.assignment].scope);
        self.may_be_told(type_name)
            && scopes.any(|scope| match (scope, object) {
                (Scope::On(it), Some(object)) => it == object,
                (Scope::In(_), Some(_)) | (Scope::Relative(_), _) => true,
                (Scope::On(_) | Scope::In(_), None) => false,
            })
    }
}

/// Whether a vault entity is this resource.
pub(super) fn is_on(entity: &Entity, resource: &ResourceRef) -> bool {
    matches!(entity, Entity::Resource(it) if it == resource)
}
