//! What a fact refers to, listed once: checking references, finding referrers and cascading all
//! go by this list.

use super::{Fact, FactKey};
use crate::actor::{ActorRef, ManagementRole, Membership, Position};
use crate::id::{
    AccountId, BusinessRoleId, GroupId, LocationId, ManagementRoleDefinitionId, ManagementRoleId,
    ObjectId, PersonId, SetGroupId, TypeName,
};
use crate::level::{Assignment, Scope};
use crate::psm::{Eligibility, EligibilityScope, Psm};
use crate::resource::{BuiltInType, Resource, ResourceRef};
use crate::share::{Entity, Share};

/// Calls `visit` with the field and the target of every reference that `fact` makes. Built-in
/// resource types always exist and are left out.
pub(super) fn references(fact: &Fact, visit: &mut dyn FnMut(&'static str, FactKey)) {
    match fact {
        Fact::ResourceType(_) => {}
        Fact::Location(location) => {
            if let Some(parent) = &location.parent {
                visit("parent", FactKey::Location(parent.clone()));
            }
        }
        Fact::BusinessRole(role) => {
            if let Some(parent) = &role.parent {
                visit("parent", FactKey::BusinessRole(parent.clone()));
            }
            places(&role.locations, visit);
        }
        Fact::AccessLevel(level) => type_name("type", &level.name.type_name, visit),
        Fact::Person(person) => {
            if let Some(manager) = &person.manager {
                visit("manager", FactKey::Person(manager.clone()));
            }
            places(&person.locations, visit);
            positions(&person.positions, visit);
        }
        Fact::Account(account) => {
            if let Some(owner) = &account.owner {
                visit("owner", FactKey::Person(owner.clone()));
            }
            if let Some(id) = &account.computer {
                visit("computer", computer(id));
            }
            places(&account.locations, visit);
        }
        Fact::Group(group) => {
            members(&group.members, visit);
            positions(&group.positions, visit);
            places(&group.locations, visit);
        }
        Fact::SetGroup(group) => {
            members(&group.members, visit);
            places(&group.locations, visit);
        }
        Fact::ManagementRoleDefinition(definition) => places(&definition.locations, visit),
        Fact::ManagementRole(role) => self::management_role(role, visit),
        Fact::Resource(resource) => self::resource(resource, visit),
        Fact::ResourceGroup(group) => {
            for member in &group.members {
                visit("members", object(member));
            }
        }
        Fact::Share(share) => self::share(share, visit),
        Fact::PermissionLevel(_) => {}
        Fact::Psm(psm) => self::psm(psm, visit),
        Fact::Eligibility(eligibility) => self::eligibility(eligibility, visit),
        Fact::Assignment(assignment) => self::assignment(assignment, visit),
    }
}

fn resource(resource: &Resource, visit: &mut dyn FnMut(&'static str, FactKey)) {
    type_name("type", &resource.name.type_name, visit);
    places(&resource.locations, visit);
    if let Some(owner) = &resource.owner {
        visit("owner", FactKey::Person(owner.clone()));
    }
    if let Some(parent) = &resource.parent {
        visit("parent", FactKey::Resource(parent.clone()));
    }
}

fn management_role(role: &ManagementRole, visit: &mut dyn FnMut(&'static str, FactKey)) {
    if let Some(definition) = &role.definition {
        visit("definition", FactKey::ManagementRoleDefinition(definition.clone()));
    }
    members(&role.members, visit);
    for included in &role.includes {
        visit("includes", FactKey::ManagementRole(included.clone()));
    }
    places(&role.locations, visit);
}

fn share(share: &Share, visit: &mut dyn FnMut(&'static str, FactKey)) {
    actor("to", &share.key.to.actor(), visit);
    match &share.key.on {
        Entity::Resource(resource) => visit("on", object(resource)),
        Entity::Group(group) => visit("on", FactKey::ResourceGroup(group.clone())),
    }
}

fn psm(psm: &Psm, visit: &mut dyn FnMut(&'static str, FactKey)) {
    visit("computer", computer(&psm.computer));
    for (level, group) in &psm.levels {
        visit("levels", FactKey::PermissionLevel(level.clone()));
        if let Some(group) = group {
            visit("levels", FactKey::Group(group.clone()));
        }
    }
}

fn eligibility(eligibility: &Eligibility, visit: &mut dyn FnMut(&'static str, FactKey)) {
    actor("to", &eligibility.key.to, visit);
    visit("level", FactKey::PermissionLevel(eligibility.key.level.clone()));
    match &eligibility.key.scope {
        EligibilityScope::On(id) => visit("on", computer(id)),
        EligibilityScope::In(location) => visit("in", FactKey::Location(location.clone())),
    }
}

fn assignment(assignment: &Assignment, visit: &mut dyn FnMut(&'static str, FactKey)) {
    actor("to", &assignment.to, visit);
    visit("level", FactKey::AccessLevel(assignment.level.clone()));
    match &assignment.scope {
        Scope::On(resource) => visit("on", object(resource)),
        Scope::In(location) => visit("in", FactKey::Location(location.clone())),
        Scope::Relative(_) => {}
    }
}

fn computer(id: &ObjectId) -> FactKey {
    FactKey::Resource(ResourceRef::computer(id))
}

/// The fact behind a resource's name: a resource, or the actor, role or location of a built-in type.
pub(super) fn object(resource: &ResourceRef) -> FactKey {
    let id = resource.id.as_str();
    let built_in = BuiltInType::from_name(resource.type_name.as_str());
    let key = built_in.and_then(|built_in| match built_in {
        BuiltInType::Person => PersonId::new(id).ok().map(FactKey::Person),
        BuiltInType::UserAccount => AccountId::new(id).ok().map(FactKey::Account),
        BuiltInType::Group => GroupId::new(id).ok().map(FactKey::Group),
        BuiltInType::SetGroup => SetGroupId::new(id).ok().map(FactKey::SetGroup),
        BuiltInType::BusinessRole => BusinessRoleId::new(id).ok().map(FactKey::BusinessRole),
        BuiltInType::Location => LocationId::new(id).ok().map(FactKey::Location),
        BuiltInType::ManagementRole => ManagementRoleId::new(id).ok().map(FactKey::ManagementRole),
        BuiltInType::ManagementRoleDefinition => {
            ManagementRoleDefinitionId::new(id).ok().map(FactKey::ManagementRoleDefinition)
        }
    });
    // An id that no object of the built-in type can have dangles like any other wrong name.
    key.unwrap_or_else(|| FactKey::Resource(resource.clone()))
}

/// The facts that must exist for an actor to exist: a pair needs its role and its location.
pub(super) fn actor(
    field: &'static str,
    actor: &ActorRef,
    visit: &mut dyn FnMut(&'static str, FactKey),
) {
    match actor {
        ActorRef::Person(id) => visit(field, FactKey::Person(id.clone())),
        ActorRef::Account(id) => visit(field, FactKey::Account(id.clone())),
        ActorRef::Group(id) => visit(field, FactKey::Group(id.clone())),
        ActorRef::SetGroup(id) => visit(field, FactKey::SetGroup(id.clone())),
        ActorRef::BusinessRoleLocation(role, location) => {
            visit(field, FactKey::BusinessRole(role.clone()));
            visit(field, FactKey::Location(location.clone()));
        }
        ActorRef::ManagementRole(id) => visit(field, FactKey::ManagementRole(id.clone())),
        ActorRef::ManagementRoleDefinition(id) => {
            visit(field, FactKey::ManagementRoleDefinition(id.clone()));
        }
    }
}

/// Whether the actor exists only as long as the fact of `key` does.
pub(super) fn actor_rests_on(actor_ref: &ActorRef, key: &FactKey) -> bool {
    let mut rests = false;
    actor("of", actor_ref, &mut |_, target| rests |= target == *key);
    rests
}

fn type_name(field: &'static str, name: &TypeName, visit: &mut dyn FnMut(&'static str, FactKey)) {
    if BuiltInType::from_name(name.as_str()).is_none() {
        visit(field, FactKey::ResourceType(name.clone()));
    }
}

fn places(locations: &[LocationId], visit: &mut dyn FnMut(&'static str, FactKey)) {
    for location in locations {
        visit("locations", FactKey::Location(location.clone()));
    }
}

fn positions(positions: &[Position], visit: &mut dyn FnMut(&'static str, FactKey)) {
    for position in positions {
        visit("positions", FactKey::BusinessRole(position.business_role.clone()));
        visit("positions", FactKey::Location(position.location.clone()));
    }
}

fn members(members: &[Membership], visit: &mut dyn FnMut(&'static str, FactKey)) {
    for member in members {
        actor("members", &member.of, visit);
    }
}
