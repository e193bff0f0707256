//! The engine's facts and explanations, as they leave. Every conversion takes its value apart field
//! by field, so that a new field does not compile until it is dealt with.

pub(super) mod psm;
pub(super) mod vault;

use std::collections::BTreeMap;

use pdp_engine::actor::{
    Account, ActorRef, BusinessRole, Group, ManagementRole, ManagementRoleDefinition, Membership,
    Person, Position, SetGroup,
};
use pdp_engine::facts::{Fact, FactKey};
use pdp_engine::id::LocationId;
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Relative, Scope};
use pdp_engine::permission::{Pattern, Qualifier};
use pdp_engine::resource::{Location, Resource, ResourceRef, ResourceType};
use pdp_engine::time::{Timestamp, Window};
use pdp_proto::v1;

use crate::publish::ChangeKind;

/// One fact.
pub(crate) fn fact(fact: &Fact) -> v1::Fact {
    use v1::fact::Fact as Wire;
    v1::Fact {
        fact: Some(match fact {
            Fact::ResourceType(fact) => Wire::ResourceType(resource_type(fact)),
            Fact::Location(fact) => Wire::Location(location(fact)),
            Fact::BusinessRole(fact) => Wire::BusinessRole(business_role(fact)),
            Fact::AccessLevel(fact) => Wire::AccessLevel(access_level(fact)),
            Fact::Person(fact) => Wire::Person(person(fact)),
            Fact::Account(fact) => Wire::Account(account(fact)),
            Fact::Group(fact) => Wire::Group(group(fact)),
            Fact::SetGroup(fact) => Wire::SetGroup(set_group(fact)),
            Fact::ManagementRoleDefinition(fact) => {
                Wire::ManagementRoleDefinition(definition(fact))
            }
            Fact::ManagementRole(fact) => Wire::ManagementRole(management_role(fact)),
            Fact::Resource(fact) => Wire::Resource(resource(fact)),
            Fact::Assignment(fact) => Wire::Assignment(assignment(fact)),
            Fact::ResourceGroup(fact) => Wire::ResourceGroup(vault::resource_group(fact)),
            Fact::Share(fact) => Wire::Share(vault::share(fact)),
            Fact::PermissionLevel(fact) => Wire::PermissionLevel(psm::permission_level(fact)),
            Fact::Psm(fact) => Wire::Psm(psm::psm(fact)),
            Fact::Eligibility(fact) => Wire::Eligibility(psm::eligibility(fact)),
        }),
    }
}

/// The name of one fact.
pub(crate) fn key(key: &FactKey) -> v1::FactKey {
    use v1::fact_key::Key as Wire;
    v1::FactKey {
        key: Some(match key {
            FactKey::ResourceType(id) => Wire::ResourceType(id.to_string()),
            FactKey::Location(id) => Wire::Location(id.to_string()),
            FactKey::BusinessRole(id) => Wire::BusinessRole(id.to_string()),
            FactKey::AccessLevel(level_ref) => Wire::AccessLevel(level(level_ref)),
            FactKey::Person(id) => Wire::Person(id.to_string()),
            FactKey::Account(id) => Wire::Account(id.to_string()),
            FactKey::Group(id) => Wire::Group(id.to_string()),
            FactKey::SetGroup(id) => Wire::SetGroup(id.to_string()),
            FactKey::ManagementRoleDefinition(id) => Wire::ManagementRoleDefinition(id.to_string()),
            FactKey::ManagementRole(id) => Wire::ManagementRole(id.to_string()),
            FactKey::Resource(name) => Wire::Resource(resource_ref(name)),
            FactKey::Assignment(id) => Wire::Assignment(id.to_string()),
            FactKey::ResourceGroup(id) => Wire::ResourceGroup(id.to_string()),
            FactKey::Share(key) => Wire::Share(vault::share_key(key)),
            FactKey::PermissionLevel(id) => Wire::PermissionLevel(id.to_string()),
            FactKey::Psm(computer) => Wire::Psm(computer.to_string()),
            FactKey::Eligibility(key) => Wire::Eligibility(psm::eligibility_key(key)),
        }),
    }
}

/// What a change set did to a fact.
pub(super) fn change_kind(kind: ChangeKind) -> v1::ChangeKind {
    match kind {
        ChangeKind::Created => v1::ChangeKind::Created,
        ChangeKind::Changed => v1::ChangeKind::Changed,
        ChangeKind::Removed => v1::ChangeKind::Removed,
    }
}

fn resource_type(fact: &ResourceType) -> v1::ResourceType {
    let ResourceType { name, operations, rights } = fact;
    v1::ResourceType {
        name: name.to_string(),
        operations: operations.iter().map(ToString::to_string).collect(),
        rights: rights.iter().map(ToString::to_string).collect(),
    }
}

fn location(fact: &Location) -> v1::Location {
    let Location { id, parent, organization, block_inheritance } = fact;
    v1::Location {
        id: id.to_string(),
        parent: parent.as_ref().map(ToString::to_string),
        organization: *organization,
        block_inheritance: *block_inheritance,
    }
}

fn business_role(fact: &BusinessRole) -> v1::BusinessRole {
    let BusinessRole { id, parent, locations } = fact;
    v1::BusinessRole {
        id: id.to_string(),
        parent: parent.as_ref().map(ToString::to_string),
        locations: places(locations),
    }
}

fn access_level(fact: &AccessLevel) -> v1::AccessLevel {
    let AccessLevel { name, operations, rights } = fact;
    v1::AccessLevel {
        name: Some(level(name)),
        operations: qualified(operations),
        rights: qualified(rights),
    }
}

fn qualified(qualifiers: &BTreeMap<Pattern, Qualifier>) -> Vec<v1::QualifiedPermission> {
    let line = |(pattern, qualifier): (&Pattern, &Qualifier)| v1::QualifiedPermission {
        name: pattern.to_string(),
        qualifier: self::qualifier(*qualifier).into(),
    };
    qualifiers.iter().map(line).collect()
}

fn person(fact: &Person) -> v1::Person {
    let Person { id, name, login, enabled, manager, locations, positions, vault_privileges } = fact;
    v1::Person {
        id: id.to_string(),
        name: name.clone(),
        login: login.clone(),
        disabled: !enabled,
        manager: manager.as_ref().map(ToString::to_string),
        locations: places(locations),
        positions: held(positions),
        vault_privileges: vault_privileges
            .iter()
            .map(|privilege| vault::vault_privilege(*privilege).into())
            .collect(),
    }
}

fn account(fact: &Account) -> v1::Account {
    let Account { id, owner, enabled, computer, locations } = fact;
    v1::Account {
        id: id.to_string(),
        owner: owner.as_ref().map(ToString::to_string),
        disabled: !enabled,
        locations: places(locations),
        computer: computer.as_ref().map(ToString::to_string),
    }
}

fn group(fact: &Group) -> v1::Group {
    let Group { id, members, positions, default, locations } = fact;
    v1::Group {
        id: id.to_string(),
        members: listed(members),
        positions: held(positions),
        locations: places(locations),
        default: *default,
    }
}

fn set_group(fact: &SetGroup) -> v1::SetGroup {
    let SetGroup { id, members, locations } = fact;
    v1::SetGroup { id: id.to_string(), members: listed(members), locations: places(locations) }
}

fn definition(fact: &ManagementRoleDefinition) -> v1::ManagementRoleDefinition {
    let ManagementRoleDefinition { id, locations } = fact;
    v1::ManagementRoleDefinition { id: id.to_string(), locations: places(locations) }
}

fn management_role(fact: &ManagementRole) -> v1::ManagementRole {
    let ManagementRole { id, definition, members, includes, locations } = fact;
    v1::ManagementRole {
        id: id.to_string(),
        definition: definition.as_ref().map(ToString::to_string),
        members: listed(members),
        includes: includes.iter().map(ToString::to_string).collect(),
        locations: places(locations),
    }
}

fn resource(fact: &Resource) -> v1::Resource {
    let Resource { name, locations, platform, owner, parent } = fact;
    v1::Resource {
        name: Some(resource_ref(name)),
        locations: places(locations),
        platform: platform.clone(),
        owner: owner.as_ref().map(ToString::to_string),
        parent: parent.as_ref().map(resource_ref),
    }
}

fn assignment(fact: &Assignment) -> v1::Assignment {
    let Assignment { id, to, level: level_ref, scope: covered, window: open } = fact;
    v1::Assignment {
        id: id.to_string(),
        to: Some(actor(to)),
        level: Some(level(level_ref)),
        scope: Some(scope(covered)),
        window: window(open),
    }
}

/// An actor's name.
pub(super) fn actor(actor: &ActorRef) -> v1::ActorRef {
    use v1::actor_ref::Actor as Wire;
    v1::ActorRef {
        actor: Some(match actor {
            ActorRef::Person(id) => Wire::Person(id.to_string()),
            ActorRef::Account(id) => Wire::Account(id.to_string()),
            ActorRef::Group(id) => Wire::Group(id.to_string()),
            ActorRef::SetGroup(id) => Wire::SetGroup(id.to_string()),
            ActorRef::BusinessRoleLocation(role, location) => {
                Wire::BusinessRoleLocation(v1::BusinessRoleLocation {
                    business_role: role.to_string(),
                    location: location.to_string(),
                })
            }
            ActorRef::ManagementRole(id) => Wire::ManagementRole(id.to_string()),
            ActorRef::ManagementRoleDefinition(id) => {
                Wire::ManagementRoleDefinition(id.to_string())
            }
        }),
    }
}

/// A resource's name.
pub(super) fn resource_ref(name: &ResourceRef) -> v1::ResourceRef {
    let ResourceRef { type_name, id } = name;
    v1::ResourceRef { r#type: type_name.to_string(), id: id.to_string() }
}

/// An Access Level Definition's name.
pub(super) fn level(level: &LevelRef) -> v1::LevelRef {
    let LevelRef { type_name, name } = level;
    v1::LevelRef { r#type: type_name.to_string(), name: name.to_string() }
}

/// What an assignment covers.
pub(super) fn scope(scope: &Scope) -> v1::Scope {
    use v1::scope::Scope as Wire;
    v1::Scope {
        scope: Some(match scope {
            Scope::On(name) => Wire::OnResource(resource_ref(name)),
            Scope::In(location) => Wire::InLocation(location.to_string()),
            Scope::Relative(relative) => Wire::Relative(self::relative(*relative).into()),
        }),
    }
}

fn relative(relative: Relative) -> v1::RelativeScope {
    match relative {
        Relative::Myself => v1::RelativeScope::Self_,
        Relative::Manager => v1::RelativeScope::Manager,
        Relative::DirectReports => v1::RelativeScope::DirectReports,
        Relative::OwnAccounts => v1::RelativeScope::OwnAccounts,
        Relative::AccountsOfDirectReports => v1::RelativeScope::AccountsOfDirectReports,
        Relative::InMyLocations => v1::RelativeScope::InMyLocations,
        Relative::MyLocationsAndAbove => v1::RelativeScope::MyLocationsAndAbove,
        Relative::MyLocationsAndBelow => v1::RelativeScope::MyLocationsAndBelow,
        Relative::InMyOrganization => v1::RelativeScope::InMyOrganization,
    }
}

/// What a definition says.
pub(super) fn qualifier(qualifier: Qualifier) -> v1::Qualifier {
    match qualifier {
        Qualifier::Unassigned => v1::Qualifier::Unassigned,
        Qualifier::Disabled => v1::Qualifier::Disabled,
        Qualifier::Allowed => v1::Qualifier::Allowed,
        Qualifier::Denied => v1::Qualifier::Denied,
    }
}

/// A window; absent if it is always open.
pub(super) fn window(window: &Window) -> Option<v1::Window> {
    let Window { from, until } = *window;
    (!window.is_always())
        .then(|| v1::Window { valid_from: from.map(instant), valid_until: until.map(instant) })
}

/// What became of one fact.
pub(crate) fn changed_fact((key, kind): &(FactKey, ChangeKind)) -> v1::ChangedFact {
    v1::ChangedFact { key: Some(self::key(key)), kind: change_kind(*kind).into() }
}

/// An instant.
pub(super) fn instant(at: Timestamp) -> prost_types::Timestamp {
    let micros = at.as_micros();
    let within = micros.rem_euclid(1_000_000);
    prost_types::Timestamp {
        seconds: micros.div_euclid(1_000_000),
        // INVARIANT: less than a million, so that a thousand times as much fits into 32 bits.
        nanos: i32::try_from(within).unwrap_or_default() * 1_000,
    }
}

fn places(locations: &[LocationId]) -> Vec<String> {
    locations.iter().map(ToString::to_string).collect()
}

fn listed(members: &[Membership]) -> Vec<v1::Membership> {
    let listing = |member: &Membership| {
        let Membership { of, window: open } = member;
        v1::Membership { of: Some(actor(of)), window: window(open) }
    };
    members.iter().map(listing).collect()
}

fn held(positions: &[Position]) -> Vec<v1::Position> {
    let position = |position: &Position| {
        let Position { business_role, location, primary, window: open } = position;
        v1::Position {
            business_role: business_role.to_string(),
            location: location.to_string(),
            primary: *primary,
            window: window(open),
        }
    };
    positions.iter().map(position).collect()
}
