//! Facts and changes as they arrive, to the engine's own. Nothing here looks at a policy: what a
//! conversion refuses, no policy could accept. Every conversion takes its message apart field by
//! field, so that a new field does not compile until it is dealt with.

mod psm;
mod vault;

use std::collections::BTreeMap;

use pdp_engine::actor::{
    Account, ActorRef, BusinessRole, Group, ManagementRole, ManagementRoleDefinition, Membership,
    Person, Position, SetGroup,
};
use pdp_engine::facts::{Change, Fact, FactKey, FactKind};
use pdp_engine::id::{
    AccountId, AssignmentId, BusinessRoleId, GroupId, LevelName, LocationId,
    ManagementRoleDefinitionId, ManagementRoleId, ObjectId, PermissionLevelId, PermissionName,
    PersonId, ResourceGroupId, SetGroupId, TypeName,
};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Relative, Scope};
use pdp_engine::permission::{Pattern, Qualifier};
use pdp_engine::resource::{Location, Resource, ResourceRef, ResourceType};
use pdp_engine::time::{Timestamp, Window};
use pdp_proto::v1;

use super::malformed::{Malformed, all, name, names, one, optional_name, value_of};

/// 0001-01-01T00:00:00Z, the first second that `google.protobuf.Timestamp` can say.
const FIRST_SECOND: i64 = -62_135_596_800;

/// 9999-12-31T23:59:59Z, the last one.
const LAST_SECOND: i64 = 253_402_300_799;

/// One step of a change set.
pub(crate) fn change(wire: v1::Change) -> Result<Change, Malformed> {
    let v1::Change { change } = wire;
    match change.ok_or_else(|| Malformed::new("", "is neither `put` nor `delete`"))? {
        v1::change::Change::Put(wire) => {
            fact(wire).map(Change::Put).map_err(|malformed| malformed.inside("put"))
        }
        v1::change::Change::Delete(v1::Delete { key: wire, cascade }) => one("key", wire, key)
            .map(|key| Change::Delete { key, cascade })
            .map_err(|malformed| malformed.inside("delete")),
    }
}

/// One fact.
pub(crate) fn fact(wire: v1::Fact) -> Result<Fact, Malformed> {
    use v1::fact::Fact as Wire;
    let v1::Fact { fact } = wire;
    let (field, converted) = match fact.ok_or_else(|| Malformed::new("", "is of no kind"))? {
        Wire::ResourceType(wire) => ("resource_type", resource_type(wire).map(Fact::from)),
        Wire::Location(wire) => ("location", location(wire).map(Fact::from)),
        Wire::BusinessRole(wire) => ("business_role", business_role(wire).map(Fact::from)),
        Wire::AccessLevel(wire) => ("access_level", access_level(wire).map(Fact::from)),
        Wire::Person(wire) => ("person", person(wire).map(Fact::from)),
        Wire::Account(wire) => ("account", account(wire).map(Fact::from)),
        Wire::Group(wire) => ("group", group(wire).map(Fact::from)),
        Wire::SetGroup(wire) => ("set_group", set_group(wire).map(Fact::from)),
        Wire::ManagementRoleDefinition(wire) => {
            ("management_role_definition", definition(wire).map(Fact::from))
        }
        Wire::ManagementRole(wire) => ("management_role", management_role(wire).map(Fact::from)),
        Wire::Resource(wire) => ("resource", resource(wire).map(Fact::from)),
        Wire::Assignment(wire) => ("assignment", assignment(wire).map(Fact::from)),
        Wire::ResourceGroup(wire) => {
            ("resource_group", vault::resource_group(wire).map(Fact::from))
        }
        Wire::Share(wire) => ("share", vault::share(wire).map(Fact::from)),
        Wire::PermissionLevel(wire) => {
            ("permission_level", psm::permission_level(wire).map(Fact::from))
        }
        Wire::Psm(wire) => ("psm", psm::psm(wire).map(Fact::from)),
        Wire::Eligibility(wire) => ("eligibility", psm::eligibility(wire).map(Fact::from)),
    };
    converted.map_err(|malformed| malformed.inside(field))
}

/// The name of one fact.
pub(crate) fn key(wire: v1::FactKey) -> Result<FactKey, Malformed> {
    use v1::fact_key::Key as Wire;
    let v1::FactKey { key } = wire;
    Ok(match key.ok_or_else(|| Malformed::new("", "is of no kind"))? {
        Wire::ResourceType(id) => FactKey::ResourceType(name("resource_type", &id, TypeName::new)?),
        Wire::Location(id) => FactKey::Location(name("location", &id, LocationId::new)?),
        Wire::BusinessRole(id) => {
            FactKey::BusinessRole(name("business_role", &id, BusinessRoleId::new)?)
        }
        Wire::AccessLevel(wire) => FactKey::AccessLevel(one("access_level", Some(wire), level)?),
        Wire::Person(id) => FactKey::Person(name("person", &id, PersonId::new)?),
        Wire::Account(id) => FactKey::Account(name("account", &id, AccountId::new)?),
        Wire::Group(id) => FactKey::Group(name("group", &id, GroupId::new)?),
        Wire::SetGroup(id) => FactKey::SetGroup(name("set_group", &id, SetGroupId::new)?),
        Wire::ManagementRoleDefinition(id) => FactKey::ManagementRoleDefinition(name(
            "management_role_definition",
            &id,
            ManagementRoleDefinitionId::new,
        )?),
        Wire::ManagementRole(id) => {
            FactKey::ManagementRole(name("management_role", &id, ManagementRoleId::new)?)
        }
        Wire::Resource(wire) => FactKey::Resource(one("resource", Some(wire), resource_ref)?),
        Wire::Assignment(id) => FactKey::Assignment(name("assignment", &id, AssignmentId::new)?),
        Wire::ResourceGroup(id) => {
            FactKey::ResourceGroup(name("resource_group", &id, ResourceGroupId::new)?)
        }
        Wire::Share(wire) => FactKey::Share(one("share", Some(wire), vault::share_key)?),
        Wire::PermissionLevel(id) => {
            FactKey::PermissionLevel(name("permission_level", &id, PermissionLevelId::new)?)
        }
        Wire::Psm(computer) => FactKey::Psm(name("psm", &computer, ObjectId::new)?),
        Wire::Eligibility(wire) => {
            FactKey::Eligibility(one("eligibility", Some(wire), psm::eligibility_key)?)
        }
    })
}

/// A kind of fact, by number.
pub(crate) fn kind(field: &str, number: i32) -> Result<FactKind, Malformed> {
    Ok(match value_of(field, number)? {
        v1::FactKind::Unspecified => return Err(Malformed::new(field, "is required")),
        v1::FactKind::ResourceType => FactKind::ResourceType,
        v1::FactKind::Location => FactKind::Location,
        v1::FactKind::BusinessRole => FactKind::BusinessRole,
        v1::FactKind::AccessLevel => FactKind::AccessLevel,
        v1::FactKind::Person => FactKind::Person,
        v1::FactKind::Account => FactKind::Account,
        v1::FactKind::Group => FactKind::Group,
        v1::FactKind::SetGroup => FactKind::SetGroup,
        v1::FactKind::ManagementRoleDefinition => FactKind::ManagementRoleDefinition,
        v1::FactKind::ManagementRole => FactKind::ManagementRole,
        v1::FactKind::Resource => FactKind::Resource,
        v1::FactKind::ResourceGroup => FactKind::ResourceGroup,
        v1::FactKind::Assignment => FactKind::Assignment,
        v1::FactKind::Share => FactKind::Share,
        v1::FactKind::PermissionLevel => FactKind::PermissionLevel,
        v1::FactKind::Psm => FactKind::Psm,
        v1::FactKind::Eligibility => FactKind::Eligibility,
    })
}

fn resource_type(wire: v1::ResourceType) -> Result<ResourceType, Malformed> {
    let v1::ResourceType { name: type_name, operations, rights } = wire;
    Ok(ResourceType {
        name: name("name", &type_name, TypeName::new)?,
        operations: names("operations", &operations, PermissionName::new)?,
        rights: names("rights", &rights, PermissionName::new)?,
    })
}

fn location(wire: v1::Location) -> Result<Location, Malformed> {
    let v1::Location { id, parent, organization, block_inheritance } = wire;
    Ok(Location {
        id: name("id", &id, LocationId::new)?,
        parent: optional_name("parent", parent.as_deref(), LocationId::new)?,
        organization,
        block_inheritance,
    })
}

fn business_role(wire: v1::BusinessRole) -> Result<BusinessRole, Malformed> {
    let v1::BusinessRole { id, parent, locations } = wire;
    Ok(BusinessRole {
        id: name("id", &id, BusinessRoleId::new)?,
        parent: optional_name("parent", parent.as_deref(), BusinessRoleId::new)?,
        locations: places(&locations)?,
    })
}

fn access_level(wire: v1::AccessLevel) -> Result<AccessLevel, Malformed> {
    let v1::AccessLevel { name, operations, rights } = wire;
    Ok(AccessLevel {
        name: one("name", name, level)?,
        operations: qualified("operations", operations)?,
        rights: qualified("rights", rights)?,
    })
}

fn qualified(
    field: &str,
    wires: Vec<v1::QualifiedPermission>,
) -> Result<BTreeMap<Pattern, Qualifier>, Malformed> {
    let mut qualifiers = BTreeMap::new();
    for (index, wire) in wires.into_iter().enumerate() {
        let v1::QualifiedPermission { name: permission, qualifier } = wire;
        let outside = |malformed: Malformed| malformed.inside(&format!("{field}[{index}]"));
        let pattern = match permission.as_str() {
            "*" => Pattern::All,
            text => Pattern::Name(name("name", text, PermissionName::new).map_err(outside)?),
        };
        let qualifier = match value_of("qualifier", qualifier).map_err(outside)? {
            v1::Qualifier::Unspecified | v1::Qualifier::Unassigned => Qualifier::Unassigned,
            v1::Qualifier::Disabled => Qualifier::Disabled,
            v1::Qualifier::Allowed => Qualifier::Allowed,
            v1::Qualifier::Denied => Qualifier::Denied,
        };
        if qualifiers.insert(pattern, qualifier).is_some() {
            let message = format_args!("`{permission}` stands in the list already");
            return Err(outside(Malformed::new("name", message)));
        }
    }
    Ok(qualifiers)
}

fn person(wire: v1::Person) -> Result<Person, Malformed> {
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
        id: name("id", &id, PersonId::new)?,
        name: display,
        login,
        enabled: !disabled,
        manager: optional_name("manager", manager.as_deref(), PersonId::new)?,
        locations: places(&locations)?,
        positions: positions(held)?,
        vault_privileges: vault::vault_privileges(vault_privileges)?,
    })
}

fn account(wire: v1::Account) -> Result<Account, Malformed> {
    let v1::Account { id, owner, disabled, locations, computer } = wire;
    Ok(Account {
        id: name("id", &id, AccountId::new)?,
        owner: optional_name("owner", owner.as_deref(), PersonId::new)?,
        enabled: !disabled,
        computer: optional_name("computer", computer.as_deref(), ObjectId::new)?,
        locations: places(&locations)?,
    })
}

fn group(wire: v1::Group) -> Result<Group, Malformed> {
    let v1::Group { id, members: listed, positions: held, locations, default } = wire;
    Ok(Group {
        id: name("id", &id, GroupId::new)?,
        members: members(listed)?,
        positions: positions(held)?,
        default,
        locations: places(&locations)?,
    })
}

fn set_group(wire: v1::SetGroup) -> Result<SetGroup, Malformed> {
    let v1::SetGroup { id, members: listed, locations } = wire;
    Ok(SetGroup {
        id: name("id", &id, SetGroupId::new)?,
        members: members(listed)?,
        locations: places(&locations)?,
    })
}

fn definition(wire: v1::ManagementRoleDefinition) -> Result<ManagementRoleDefinition, Malformed> {
    let v1::ManagementRoleDefinition { id, locations } = wire;
    Ok(ManagementRoleDefinition {
        id: name("id", &id, ManagementRoleDefinitionId::new)?,
        locations: places(&locations)?,
    })
}

fn management_role(wire: v1::ManagementRole) -> Result<ManagementRole, Malformed> {
    let v1::ManagementRole { id, definition, members: listed, includes, locations } = wire;
    let definition = definition.as_deref();
    Ok(ManagementRole {
        id: name("id", &id, ManagementRoleId::new)?,
        definition: optional_name("definition", definition, ManagementRoleDefinitionId::new)?,
        members: members(listed)?,
        includes: names("includes", &includes, ManagementRoleId::new)?,
        locations: places(&locations)?,
    })
}

fn resource(wire: v1::Resource) -> Result<Resource, Malformed> {
    let v1::Resource { name, locations, platform, owner, parent } = wire;
    let parent = parent.map(|parent| one("parent", Some(parent), resource_ref));
    Ok(Resource {
        name: one("name", name, resource_ref)?,
        locations: places(&locations)?,
        platform,
        owner: optional_name("owner", owner.as_deref(), PersonId::new)?,
        parent: parent.transpose()?,
    })
}

fn assignment(wire: v1::Assignment) -> Result<Assignment, Malformed> {
    let v1::Assignment { id, to, level: level_wire, scope: scope_wire, window: window_wire } = wire;
    let to = one("to", to, actor)?;
    let level = one("level", level_wire, level)?;
    let scope = one("scope", scope_wire, scope)?;
    let window = window(window_wire)?;
    let id = match id.as_str() {
        "" => Assignment::derived_id(&to, &level, &scope, &window),
        given => AssignmentId::new(given),
    };
    let id = id.map_err(|error| Malformed::new("id", error))?;
    Ok(Assignment { id, to, level, scope, window })
}

fn actor(wire: v1::ActorRef) -> Result<ActorRef, Malformed> {
    use v1::actor_ref::Actor as Wire;
    let v1::ActorRef { actor } = wire;
    Ok(match actor.ok_or_else(|| Malformed::new("", "names no actor"))? {
        Wire::Person(id) => ActorRef::Person(name("person", &id, PersonId::new)?),
        Wire::Account(id) => ActorRef::Account(name("account", &id, AccountId::new)?),
        Wire::Group(id) => ActorRef::Group(name("group", &id, GroupId::new)?),
        Wire::SetGroup(id) => ActorRef::SetGroup(name("set_group", &id, SetGroupId::new)?),
        Wire::BusinessRoleLocation(pair) => {
            let v1::BusinessRoleLocation { business_role, location } = pair;
            let inside = |malformed: Malformed| malformed.inside("business_role_location");
            ActorRef::BusinessRoleLocation(
                name("business_role", &business_role, BusinessRoleId::new).map_err(inside)?,
                name("location", &location, LocationId::new).map_err(inside)?,
            )
        }
        Wire::ManagementRole(id) => {
            ActorRef::ManagementRole(name("management_role", &id, ManagementRoleId::new)?)
        }
        Wire::ManagementRoleDefinition(id) => ActorRef::ManagementRoleDefinition(name(
            "management_role_definition",
            &id,
            ManagementRoleDefinitionId::new,
        )?),
    })
}

fn resource_ref(wire: v1::ResourceRef) -> Result<ResourceRef, Malformed> {
    let v1::ResourceRef { r#type, id } = wire;
    Ok(ResourceRef {
        type_name: name("type", &r#type, TypeName::new)?,
        id: name("id", &id, ObjectId::new)?,
    })
}

fn level(wire: v1::LevelRef) -> Result<LevelRef, Malformed> {
    let v1::LevelRef { r#type, name: level_name } = wire;
    Ok(LevelRef {
        type_name: name("type", &r#type, TypeName::new)?,
        name: name("name", &level_name, LevelName::new)?,
    })
}

fn scope(wire: v1::Scope) -> Result<Scope, Malformed> {
    use v1::scope::Scope as Wire;
    let v1::Scope { scope } = wire;
    Ok(match scope.ok_or_else(|| Malformed::new("", "covers nothing"))? {
        Wire::OnResource(wire) => Scope::On(one("on_resource", Some(wire), resource_ref)?),
        Wire::InLocation(id) => Scope::In(name("in_location", &id, LocationId::new)?),
        Wire::Relative(number) => Scope::Relative(relative(number)?),
    })
}

/// A relative scope.
pub(super) fn relative(number: i32) -> Result<Relative, Malformed> {
    Ok(match value_of("relative", number)? {
        v1::RelativeScope::Unspecified => return Err(Malformed::new("relative", "is required")),
        v1::RelativeScope::Self_ => Relative::Myself,
        v1::RelativeScope::Manager => Relative::Manager,
        v1::RelativeScope::DirectReports => Relative::DirectReports,
        v1::RelativeScope::OwnAccounts => Relative::OwnAccounts,
        v1::RelativeScope::AccountsOfDirectReports => Relative::AccountsOfDirectReports,
        v1::RelativeScope::InMyLocations => Relative::InMyLocations,
        v1::RelativeScope::MyLocationsAndAbove => Relative::MyLocationsAndAbove,
        v1::RelativeScope::MyLocationsAndBelow => Relative::MyLocationsAndBelow,
        v1::RelativeScope::InMyOrganization => Relative::InMyOrganization,
    })
}

fn places(wire: &[String]) -> Result<Vec<LocationId>, Malformed> {
    names("locations", wire, LocationId::new)
}

fn members(wires: Vec<v1::Membership>) -> Result<Vec<Membership>, Malformed> {
    all("members", wires, |wire| {
        let v1::Membership { of, window: window_wire } = wire;
        Ok(Membership { of: one("of", of, actor)?, window: window(window_wire)? })
    })
}

fn positions(wires: Vec<v1::Position>) -> Result<Vec<Position>, Malformed> {
    all("positions", wires, |wire| {
        let v1::Position { business_role, location, primary, window: window_wire } = wire;
        Ok(Position {
            business_role: name("business_role", &business_role, BusinessRoleId::new)?,
            location: name("location", &location, LocationId::new)?,
            primary,
            window: window(window_wire)?,
        })
    })
}

fn window(wire: Option<v1::Window>) -> Result<Window, Malformed> {
    let Some(v1::Window { valid_from, valid_until }) = wire else { return Ok(Window::ALWAYS) };
    let bound = |field: &str, wire: Option<prost_types::Timestamp>| {
        wire.map(|wire| instant(field, wire)).transpose()
    };
    let window = || {
        Ok(Window {
            from: bound("valid_from", valid_from)?,
            until: bound("valid_until", valid_until)?,
        })
    };
    window().map_err(|malformed: Malformed| malformed.inside("window"))
}

pub(super) fn instant(field: &str, wire: prost_types::Timestamp) -> Result<Timestamp, Malformed> {
    let prost_types::Timestamp { seconds, nanos } = wire;
    let wrong = |message: &str| Malformed::new(field, message);
    if !(FIRST_SECOND..=LAST_SECOND).contains(&seconds) {
        return Err(wrong("lies outside of the years 1 to 9999"));
    }
    if !(0..1_000_000_000).contains(&nanos) {
        return Err(wrong("has nanoseconds outside of 0 to 999999999"));
    }
    if nanos % 1_000 != 0 {
        return Err(wrong("is finer than a microsecond"));
    }
    // INVARIANT: the range above keeps this far within 64 bits.
    Ok(Timestamp::from_micros(seconds * 1_000_000 + i64::from(nanos / 1_000)))
}
