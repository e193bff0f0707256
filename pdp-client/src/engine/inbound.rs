//! Facts as they arrive, to the engine's own. Every conversion takes its message apart field by
//! field, so that a new field does not compile until it is dealt with.

use std::collections::BTreeMap;

use pdp_engine::actor::{
    Account, ActorRef, BusinessRole, Group, ManagementRole, ManagementRoleDefinition, Membership,
    Person, Position, SetGroup,
};
use pdp_engine::facts::{Fact, FactKey};
use pdp_engine::id::{
    AccountId, AssignmentId, BusinessRoleId, GroupId, IdError, LevelName, LocationId,
    ManagementRoleDefinitionId, ManagementRoleId, ObjectId, PermissionLevelId, PermissionName,
    PersonId, ResourceGroupId, SetGroupId, TypeName,
};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Relative, Scope};
use pdp_engine::permission::{Pattern, Qualifier};
use pdp_engine::resource::{Location, Resource, ResourceRef, ResourceType};
use pdp_engine::time::{Timestamp, Window};

use super::{psm, vault};
use crate::call::Error;
use crate::v1;

/// One fact.
pub(super) fn fact(wire: v1::Fact) -> Result<Fact, Error> {
    use v1::fact::Fact as Wire;
    let v1::Fact { fact } = wire;
    match present("a fact's kind", fact)? {
        Wire::ResourceType(wire) => resource_type(wire).map(Fact::from),
        Wire::Location(wire) => location(wire).map(Fact::from),
        Wire::BusinessRole(wire) => business_role(wire).map(Fact::from),
        Wire::AccessLevel(wire) => access_level(wire).map(Fact::from),
        Wire::Person(wire) => person(wire).map(Fact::from),
        Wire::Account(wire) => account(wire).map(Fact::from),
        Wire::Group(wire) => group(wire).map(Fact::from),
        Wire::SetGroup(wire) => set_group(wire).map(Fact::from),
        Wire::ManagementRoleDefinition(wire) => definition(wire).map(Fact::from),
        Wire::ManagementRole(wire) => management_role(wire).map(Fact::from),
        Wire::Resource(wire) => resource(wire).map(Fact::from),
        Wire::ResourceGroup(wire) => vault::resource_group(wire).map(Fact::from),
        Wire::Assignment(wire) => assignment(Some(wire)).map(Fact::from),
        Wire::Share(wire) => vault::share(wire).map(Fact::from),
        Wire::PermissionLevel(wire) => psm::permission_level(wire).map(Fact::from),
        Wire::Psm(wire) => psm::settings(wire).map(Fact::from),
        Wire::Eligibility(wire) => psm::eligibility(wire).map(Fact::from),
    }
}

/// The name of one fact.
pub(super) fn key(wire: v1::FactKey) -> Result<FactKey, Error> {
    use v1::fact_key::Key as Wire;
    let v1::FactKey { key } = wire;
    Ok(match present("a fact's kind", key)? {
        Wire::ResourceType(id) => FactKey::ResourceType(name(&id, TypeName::new)?),
        Wire::Location(id) => FactKey::Location(name(&id, LocationId::new)?),
        Wire::BusinessRole(id) => FactKey::BusinessRole(name(&id, BusinessRoleId::new)?),
        Wire::AccessLevel(wire) => FactKey::AccessLevel(level(Some(wire))?),
        Wire::Person(id) => FactKey::Person(name(&id, PersonId::new)?),
        Wire::Account(id) => FactKey::Account(name(&id, AccountId::new)?),
        Wire::Group(id) => FactKey::Group(name(&id, GroupId::new)?),
        Wire::SetGroup(id) => FactKey::SetGroup(name(&id, SetGroupId::new)?),
        Wire::ManagementRoleDefinition(id) => {
            FactKey::ManagementRoleDefinition(name(&id, ManagementRoleDefinitionId::new)?)
        }
        Wire::ManagementRole(id) => FactKey::ManagementRole(name(&id, ManagementRoleId::new)?),
        Wire::Resource(wire) => FactKey::Resource(resource_ref(Some(wire))?),
        Wire::ResourceGroup(id) => FactKey::ResourceGroup(name(&id, ResourceGroupId::new)?),
        Wire::Assignment(id) => FactKey::Assignment(name(&id, AssignmentId::new)?),
        Wire::Share(wire) => FactKey::Share(vault::share_key(Some(wire))?),
        Wire::PermissionLevel(id) => FactKey::PermissionLevel(name(&id, PermissionLevelId::new)?),
        Wire::Psm(computer) => FactKey::Psm(name(&computer, ObjectId::new)?),
        Wire::Eligibility(wire) => FactKey::Eligibility(psm::eligibility_key(Some(wire))?),
    })
}

fn resource_type(wire: v1::ResourceType) -> Result<ResourceType, Error> {
    let v1::ResourceType { name: type_name, operations, rights } = wire;
    Ok(ResourceType {
        name: name(&type_name, TypeName::new)?,
        operations: names(&operations, PermissionName::new)?,
        rights: names(&rights, PermissionName::new)?,
    })
}

fn location(wire: v1::Location) -> Result<Location, Error> {
    let v1::Location { id, parent, organization, block_inheritance } = wire;
    Ok(Location {
        id: name(&id, LocationId::new)?,
        parent: optional_name(parent.as_deref(), LocationId::new)?,
        organization,
        block_inheritance,
    })
}

fn business_role(wire: v1::BusinessRole) -> Result<BusinessRole, Error> {
    let v1::BusinessRole { id, parent, locations } = wire;
    Ok(BusinessRole {
        id: name(&id, BusinessRoleId::new)?,
        parent: optional_name(parent.as_deref(), BusinessRoleId::new)?,
        locations: names(&locations, LocationId::new)?,
    })
}

fn access_level(wire: v1::AccessLevel) -> Result<AccessLevel, Error> {
    let v1::AccessLevel { name, operations, rights } = wire;
    Ok(AccessLevel {
        name: level(name)?,
        operations: qualified(operations)?,
        rights: qualified(rights)?,
    })
}

fn qualified(wires: Vec<v1::QualifiedPermission>) -> Result<BTreeMap<Pattern, Qualifier>, Error> {
    let mut qualifiers = BTreeMap::new();
    for wire in wires {
        let v1::QualifiedPermission { name: permission, qualifier: says } = wire;
        let pattern = match permission.as_str() {
            "*" => Pattern::All,
            text => Pattern::Name(name(text, PermissionName::new)?),
        };
        if qualifiers.insert(pattern, qualifier(says)?).is_some() {
            return Err(Error::protocol(format!("a definition qualifies `{permission}` twice")));
        }
    }
    Ok(qualifiers)
}

pub(super) fn qualifier(number: i32) -> Result<Qualifier, Error> {
    Ok(match v1::Qualifier::try_from(number) {
        Ok(v1::Qualifier::Unassigned) => Qualifier::Unassigned,
        Ok(v1::Qualifier::Disabled) => Qualifier::Disabled,
        Ok(v1::Qualifier::Allowed) => Qualifier::Allowed,
        Ok(v1::Qualifier::Denied) => Qualifier::Denied,
        Ok(v1::Qualifier::Unspecified) | Err(_) => return Err(unknown("qualifier", number)),
    })
}

fn person(wire: v1::Person) -> Result<Person, Error> {
    let v1::Person {
        id,
        name: display,
        login,
        disabled,
        manager,
        locations,
        positions: held,
        vault_privileges,
    } = wire;
    Ok(Person {
        id: name(&id, PersonId::new)?,
        name: display,
        login,
        enabled: !disabled,
        manager: optional_name(manager.as_deref(), PersonId::new)?,
        locations: names(&locations, LocationId::new)?,
        positions: positions(held)?,
        vault_privileges: vault::privileges(vault_privileges)?,
    })
}

fn account(wire: v1::Account) -> Result<Account, Error> {
    let v1::Account { id, owner, disabled, locations, computer } = wire;
    Ok(Account {
        id: name(&id, AccountId::new)?,
        owner: optional_name(owner.as_deref(), PersonId::new)?,
        enabled: !disabled,
        computer: optional_name(computer.as_deref(), ObjectId::new)?,
        locations: names(&locations, LocationId::new)?,
    })
}

fn group(wire: v1::Group) -> Result<Group, Error> {
    let v1::Group { id, members: listed, positions: held, locations, default } = wire;
    Ok(Group {
        id: name(&id, GroupId::new)?,
        members: members(listed)?,
        positions: positions(held)?,
        default,
        locations: names(&locations, LocationId::new)?,
    })
}

fn set_group(wire: v1::SetGroup) -> Result<SetGroup, Error> {
    let v1::SetGroup { id, members: listed, locations } = wire;
    Ok(SetGroup {
        id: name(&id, SetGroupId::new)?,
        members: members(listed)?,
        locations: names(&locations, LocationId::new)?,
    })
}

fn definition(wire: v1::ManagementRoleDefinition) -> Result<ManagementRoleDefinition, Error> {
    let v1::ManagementRoleDefinition { id, locations } = wire;
    Ok(ManagementRoleDefinition {
        id: name(&id, ManagementRoleDefinitionId::new)?,
        locations: names(&locations, LocationId::new)?,
    })
}

fn management_role(wire: v1::ManagementRole) -> Result<ManagementRole, Error> {
    let v1::ManagementRole { id, definition, members: listed, includes, locations } = wire;
    Ok(ManagementRole {
        id: name(&id, ManagementRoleId::new)?,
        definition: optional_name(definition.as_deref(), ManagementRoleDefinitionId::new)?,
        members: members(listed)?,
        includes: names(&includes, ManagementRoleId::new)?,
        locations: names(&locations, LocationId::new)?,
    })
}

fn resource(wire: v1::Resource) -> Result<Resource, Error> {
    let v1::Resource { name, locations, platform, owner, parent } = wire;
    Ok(Resource {
        name: resource_ref(name)?,
        locations: names(&locations, LocationId::new)?,
        platform,
        owner: optional_name(owner.as_deref(), PersonId::new)?,
        parent: parent.map(|parent| resource_ref(Some(parent))).transpose()?,
    })
}

pub(super) fn assignment(wire: Option<v1::Assignment>) -> Result<Assignment, Error> {
    let v1::Assignment { id, to, level: level_ref, scope: covered, window: open } =
        present("an assignment", wire)?;
    Ok(Assignment {
        id: name(&id, AssignmentId::new)?,
        to: actor(to)?,
        level: level(level_ref)?,
        scope: scope(covered)?,
        window: window(open)?,
    })
}

pub(super) fn actor(wire: Option<v1::ActorRef>) -> Result<ActorRef, Error> {
    use v1::actor_ref::Actor as Wire;
    let v1::ActorRef { actor } = present("an actor", wire)?;
    Ok(match present("an actor's kind", actor)? {
        Wire::Person(id) => ActorRef::Person(name(&id, PersonId::new)?),
        Wire::Account(id) => ActorRef::Account(name(&id, AccountId::new)?),
        Wire::Group(id) => ActorRef::Group(name(&id, GroupId::new)?),
        Wire::SetGroup(id) => ActorRef::SetGroup(name(&id, SetGroupId::new)?),
        Wire::BusinessRoleLocation(pair) => {
            let v1::BusinessRoleLocation { business_role, location } = pair;
            let role = name(&business_role, BusinessRoleId::new)?;
            ActorRef::BusinessRoleLocation(role, name(&location, LocationId::new)?)
        }
        Wire::ManagementRole(id) => ActorRef::ManagementRole(name(&id, ManagementRoleId::new)?),
        Wire::ManagementRoleDefinition(id) => {
            ActorRef::ManagementRoleDefinition(name(&id, ManagementRoleDefinitionId::new)?)
        }
    })
}

pub(super) fn resource_ref(wire: Option<v1::ResourceRef>) -> Result<ResourceRef, Error> {
    let v1::ResourceRef { r#type, id } = present("a resource", wire)?;
    Ok(ResourceRef { type_name: name(&r#type, TypeName::new)?, id: name(&id, ObjectId::new)? })
}

pub(super) fn level(wire: Option<v1::LevelRef>) -> Result<LevelRef, Error> {
    let v1::LevelRef { r#type, name: level_name } = present("an access level", wire)?;
    Ok(LevelRef {
        type_name: name(&r#type, TypeName::new)?,
        name: name(&level_name, LevelName::new)?,
    })
}

fn scope(wire: Option<v1::Scope>) -> Result<Scope, Error> {
    use v1::scope::Scope as Wire;
    let v1::Scope { scope } = present("a scope", wire)?;
    Ok(match present("a scope's kind", scope)? {
        Wire::OnResource(wire) => Scope::On(resource_ref(Some(wire))?),
        Wire::InLocation(id) => Scope::In(name(&id, LocationId::new)?),
        Wire::Relative(number) => Scope::Relative(relative(number)?),
    })
}

fn relative(number: i32) -> Result<Relative, Error> {
    use v1::RelativeScope as Wire;
    Ok(match Wire::try_from(number) {
        Ok(Wire::Self_) => Relative::Myself,
        Ok(Wire::Manager) => Relative::Manager,
        Ok(Wire::DirectReports) => Relative::DirectReports,
        Ok(Wire::OwnAccounts) => Relative::OwnAccounts,
        Ok(Wire::AccountsOfDirectReports) => Relative::AccountsOfDirectReports,
        Ok(Wire::InMyLocations) => Relative::InMyLocations,
        Ok(Wire::MyLocationsAndAbove) => Relative::MyLocationsAndAbove,
        Ok(Wire::MyLocationsAndBelow) => Relative::MyLocationsAndBelow,
        Ok(Wire::InMyOrganization) => Relative::InMyOrganization,
        Ok(Wire::Unspecified) | Err(_) => return Err(unknown("relative scope", number)),
    })
}

fn members(wires: Vec<v1::Membership>) -> Result<Vec<Membership>, Error> {
    let member = |wire: v1::Membership| {
        let v1::Membership { of, window: open } = wire;
        Ok(Membership { of: actor(of)?, window: window(open)? })
    };
    wires.into_iter().map(member).collect()
}

fn positions(wires: Vec<v1::Position>) -> Result<Vec<Position>, Error> {
    let position = |wire: v1::Position| {
        let v1::Position { business_role, location, primary, window: open } = wire;
        Ok(Position {
            business_role: name(&business_role, BusinessRoleId::new)?,
            location: name(&location, LocationId::new)?,
            primary,
            window: window(open)?,
        })
    };
    wires.into_iter().map(position).collect()
}

pub(super) fn window(wire: Option<v1::Window>) -> Result<Window, Error> {
    let Some(v1::Window { valid_from, valid_until }) = wire else { return Ok(Window::ALWAYS) };
    Ok(Window {
        from: valid_from.map(instant).transpose()?,
        until: valid_until.map(instant).transpose()?,
    })
}

pub(super) fn instant(wire: prost_types::Timestamp) -> Result<Timestamp, Error> {
    let prost_types::Timestamp { seconds, nanos } = wire;
    let micros = seconds
        .checked_mul(1_000_000)
        .filter(|_| (0..1_000_000_000).contains(&nanos) && nanos % 1_000 == 0)
        .and_then(|micros| micros.checked_add(i64::from(nanos / 1_000)));
    let micros = micros.ok_or_else(|| {
        Error::protocol(format!("{seconds} s and {nanos} ns are no time in microseconds"))
    })?;
    Ok(Timestamp::from_micros(micros))
}

pub(super) fn present<T>(what: &str, wire: Option<T>) -> Result<T, Error> {
    wire.ok_or_else(|| Error::protocol(format!("{what} is missing")))
}

pub(super) fn unknown(what: &str, number: i32) -> Error {
    Error::protocol(format!("the {what} {number} is not a known one"))
}

pub(super) fn name<'a, T>(
    text: &'a str,
    new: impl FnOnce(&'a str) -> Result<T, IdError>,
) -> Result<T, Error> {
    new(text).map_err(|error| Error::protocol(error.to_string()))
}

pub(super) fn optional_name<'a, T>(
    text: Option<&'a str>,
    new: impl FnOnce(&'a str) -> Result<T, IdError>,
) -> Result<Option<T>, Error> {
    text.map(|text| new(text).map_err(|error| Error::protocol(error.to_string()))).transpose()
}

fn names<'a, T, C: FromIterator<T>>(
    texts: &'a [String],
    new: impl Fn(&'a str) -> Result<T, IdError>,
) -> Result<C, Error> {
    let each = texts.iter().map(|text| new(text));
    each.collect::<Result<C, IdError>>().map_err(|error| Error::protocol(error.to_string()))
}
