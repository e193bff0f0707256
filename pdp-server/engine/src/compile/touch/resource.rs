//! What everybody may do on one resource: whether a fact that changed can play a part in it.

use std::collections::HashSet;

use super::subject::is_on;
use super::{both, handle, leads_to};
use crate::actor::{ActorRef, Position};
use crate::arena::{ActorIx, ResourceIx};
use crate::check::object;
use crate::delegate::location;
use crate::facts::{Delta, Fact};
use crate::id::{LocationId, ResourceGroupId};
use crate::level::Scope;
use crate::list::{SubjectKinds, covering, grants_on};
use crate::psm::{COMPUTER, EligibilityScope};
use crate::query::ObjectRef;
use crate::resource::{BuiltInType, ResourceRef};
use crate::share::Entity;
use crate::snapshot::Snapshot;

/// A resource as it is after a change set.
pub(super) struct OfResource<'a> {
    snapshot: &'a Snapshot,
    named: ObjectRef<'a>,
    object: Option<ResourceIx>,
    /// The resource and what it lies in as a vault entity.
    entities: Vec<ResourceRef>,
    /// The resource groups that it, or what it lies in, is a member of; the one that is watched itself.
    groups: Vec<ResourceGroupId>,
    /// To whom something is given on it, whatever it is.
    given_to: HashSet<ActorIx>,
    /// Some grant covers it by how a subject stands to it.
    by_relation: bool,
    /// It is a computer that takes sessions.
    takes_sessions: bool,
}

// === impl OfResource ===

impl<'a> OfResource<'a> {
    /// `None` if the accounts told count as things by sessions.
    pub(super) fn new(
        snapshot: &'a Snapshot,
        named: ObjectRef<'a>,
        kinds: SubjectKinds,
    ) -> Option<Self> {
        if kinds == SubjectKinds::PeopleAndAccounts && snapshot.sessions().groups().next().is_some()
        {
            return None;
        }
        let mut it = Self {
            snapshot,
            named,
            object: object(snapshot, named).ok(),
            entities: Vec::new(),
            groups: Vec::new(),
            given_to: HashSet::new(),
            by_relation: false,
            takes_sessions: false,
        };
        match it.object {
            Some(object) => it.look_at(object),
            None => it.look_at_group(),
        }
        Some(it)
    }

    fn look_at(&mut self, object: ResourceIx) {
        let snapshot = self.snapshot;
        let vault = &snapshot.vault;
        self.given_to.extend(grants_on(snapshot, object).map(|grant| grant.assignee));
        let kind = snapshot.resources[object].kind;
        self.by_relation = !snapshot.relative.run(kind).items.is_empty();
        self.takes_sessions = snapshot.psm.computer(object).is_some();
        self.given_to.extend(covering(snapshot, object).map(|eligible| eligible.to));
        for entity in std::iter::once(object).chain(vault.entities[object].parent) {
            self.entities.push(snapshot.cold.resources[entity].clone());
            self.given_to.extend(vault.entities[entity].owner);
            self.given_to.extend(vault.shares[entity].iter().map(|shared| shared.to));
            for group in &vault.groups_of[entity] {
                self.groups.push(vault.group_names[*group].clone());
                self.given_to.extend(vault.group_shares[*group].iter().map(|shared| shared.to));
            }
        }
    }

    fn look_at_group(&mut self) {
        let vault = &self.snapshot.vault;
        if self.named.type_name == Entity::GROUP_WORD
            && let Some(group) = vault.groups.get(self.named.id)
        {
            self.groups.push(vault.group_names[*group].clone());
            self.given_to.extend(vault.group_shares[*group].iter().map(|shared| shared.to));
        }
    }

    pub(super) fn is_touched(&self, delta: &Delta) -> bool {
        both(delta).any(|fact| self.is_itself(fact) || self.is_given(fact))
            || self.counts_otherwise(delta)
    }

    fn is_called(&self, built_in: BuiltInType, id: &str) -> bool {
        self.named.type_name == built_in.as_str() && self.named.id == id
    }

    fn is_resource(&self, resource: &ResourceRef) -> bool {
        self.named.type_name == resource.type_name.as_str() && self.named.id == resource.id.as_str()
    }

    /// The resource, or what it lies in.
    fn is_itself(&self, fact: &Fact) -> bool {
        use BuiltInType as Type;
        match fact {
            Fact::Resource(it) => self.is_resource(&it.name) || self.entities.contains(&it.name),
            Fact::ResourceGroup(group) => {
                self.groups.contains(&group.id)
                    || (self.named.type_name == Entity::GROUP_WORD
                        && self.named.id == group.id.as_str())
                    || group.members.iter().any(|it| self.entities.contains(it))
            }
            Fact::Person(it) => self.is_called(Type::Person, it.id.as_str()),
            Fact::Account(it) => self.is_called(Type::UserAccount, it.id.as_str()),
            Fact::Group(it) => self.is_called(Type::Group, it.id.as_str()),
            Fact::SetGroup(it) => self.is_called(Type::SetGroup, it.id.as_str()),
            Fact::ManagementRole(it) => self.is_called(Type::ManagementRole, it.id.as_str()),
            Fact::ManagementRoleDefinition(it) => {
                self.is_called(Type::ManagementRoleDefinition, it.id.as_str())
            }
            Fact::Psm(it) => self.is_called_computer(it.computer.as_str()),
            _ => false,
        }
    }

    fn is_called_computer(&self, id: &str) -> bool {
        self.named.type_name == COMPUTER && self.named.id == id
    }

    /// What is given on it.
    fn is_given(&self, fact: &Fact) -> bool {
        match fact {
            Fact::Assignment(it) => {
                it.level.type_name.as_str() == self.named.type_name
                    && match &it.scope {
                        Scope::On(resource) => self.is_resource(resource),
                        Scope::In(location) => self.lies_in(location),
                        Scope::Relative(_) => true,
                    }
            }
            Fact::AccessLevel(level) => level.name.type_name.as_str() == self.named.type_name,
            Fact::Share(share) => match &share.key.on {
                Entity::Group(group) => {
                    self.groups.contains(group)
                        || (self.named.type_name == Entity::GROUP_WORD
                            && self.named.id == group.as_str())
                }
                on @ Entity::Resource(resource) => {
                    self.is_resource(resource) || self.entities.iter().any(|it| is_on(on, it))
                }
            },
            Fact::Eligibility(eligibility) => match &eligibility.key.scope {
                EligibilityScope::On(computer) => self.is_called_computer(computer.as_str()),
                EligibilityScope::In(location) => {
                    self.named.type_name == COMPUTER && self.lies_in(location)
                }
            },
            _ => false,
        }
    }

    /// Whether it is placed in a location or below it, now or at some time.
    fn lies_in(&self, outer: &LocationId) -> bool {
        let snapshot = self.snapshot;
        let Some(outer) = location(snapshot, outer.as_str()) else { return true };
        // Of what is not there any more its own fact tells.
        let Some(object) = self.object else { return false };
        let placements = &snapshot.placements[snapshot.resources[object].cover];
        placements.iter().any(|placement| snapshot.lies_in(placement.location, outer))
    }

    /// Whether somebody may count otherwise as somebody to whom something is given on it.
    fn counts_otherwise(&self, delta: &Delta) -> bool {
        // Where a position led that is held no more is not asked; those that are held are followed.
        let after = positions(delta.after.as_ref());
        let gave_up = positions(delta.before.as_ref()).iter().any(|it| !after.contains(it));
        let is_actor = both(delta).any(|fact| {
            matches!(
                fact,
                Fact::Person(_)
                    | Fact::Account(_)
                    | Fact::Group(_)
                    | Fact::SetGroup(_)
                    | Fact::ManagementRole(_)
                    | Fact::ManagementRoleDefinition(_)
            )
        });
        let is_subject = both(delta).any(|it| matches!(it, Fact::Person(_) | Fact::Account(_)));
        is_actor
            && (self.by_relation
                || (self.takes_sessions && is_subject)
                || gave_up
                || both(delta).flat_map(ways).any(|actor| self.is_given_to(&actor)))
    }

    /// Whether whoever counts as the actor counts as somebody to whom something is given on it; of an actor
    /// that is gone nobody knows.
    fn is_given_to(&self, actor: &ActorRef) -> bool {
        match handle(self.snapshot, actor) {
            Some(actor) => leads_to(self.snapshot, actor, &self.given_to),
            None => true,
        }
    }
}

fn positions(fact: Option<&Fact>) -> &[Position] {
    match fact {
        Some(Fact::Person(person)) => &person.positions,
        Some(Fact::Group(group)) => &group.positions,
        _ => &[],
    }
}

/// The actor of a fact, and what it leads on to by what the fact itself says.
fn ways(fact: &Fact) -> Vec<ActorRef> {
    match fact {
        Fact::Person(it) => vec![ActorRef::Person(it.id.clone())],
        Fact::Account(it) => vec![ActorRef::Account(it.id.clone())],
        Fact::Group(it) => vec![ActorRef::Group(it.id.clone())],
        Fact::SetGroup(it) => vec![ActorRef::SetGroup(it.id.clone())],
        Fact::ManagementRoleDefinition(it) => {
            vec![ActorRef::ManagementRoleDefinition(it.id.clone())]
        }
        Fact::ManagementRole(it) => {
            let included = it.includes.iter().cloned().map(ActorRef::ManagementRole);
            let definition = it.definition.iter().cloned();
            let definition = definition.map(ActorRef::ManagementRoleDefinition);
            let itself = std::iter::once(ActorRef::ManagementRole(it.id.clone()));
            itself.chain(included).chain(definition).collect()
        }
        _ => Vec::new(),
    }
}
