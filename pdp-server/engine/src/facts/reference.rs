//! What a fact refers to, listed once: checking references, finding referrers and cascading all
//! go by this list.

use super::{FactKey, FactRef, Facts};
use crate::actor::{ActorRef, ManagementRole, Membership, Position};
use crate::id::{
    AccountId, BusinessRoleId, GroupId, LocationId, ManagementRoleDefinitionId, ManagementRoleId,
    ObjectId, PermissionLevelId, PersonId, ResourceGroupId, SetGroupId, TypeName,
};
use crate::level::{Assignment, LevelRef, Scope};
use crate::psm::{Eligibility, EligibilityScope, Psm};
use crate::resource::{BuiltInType, Resource, ResourceRef};
use crate::share::{Entity, Share};

/// What a reference leads to, borrowed from the fact that refers: nothing is copied to look it up.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target<'a> {
    ResourceType(&'a TypeName),
    Location(&'a LocationId),
    BusinessRole(&'a BusinessRoleId),
    AccessLevel(&'a LevelRef),
    Person(&'a PersonId),
    Account(&'a AccountId),
    Group(&'a GroupId),
    SetGroup(&'a SetGroupId),
    ManagementRoleDefinition(&'a ManagementRoleDefinitionId),
    ManagementRole(&'a ManagementRoleId),
    Resource(&'a ResourceRef),
    /// An object of a built-in type: the actor, role or location of that id.
    Object(BuiltInType, &'a ResourceRef),
    /// The resource of this id that sessions are opened on.
    Computer(&'a ObjectId),
    ResourceGroup(&'a ResourceGroupId),
    PermissionLevel(&'a PermissionLevelId),
}

// === impl Target ===

impl Target<'_> {
    /// Whether it is among the facts.
    pub(super) fn exists(self, facts: &Facts) -> bool {
        match self {
            Self::ResourceType(name) => facts.resource_type(name).is_some(),
            Self::Location(id) => facts.location(id).is_some(),
            Self::BusinessRole(id) => facts.business_role(id).is_some(),
            Self::AccessLevel(name) => facts.access_level(name).is_some(),
            Self::Person(id) => facts.person(id).is_some(),
            Self::Account(id) => facts.account(id).is_some(),
            Self::Group(id) => facts.group(id).is_some(),
            Self::SetGroup(id) => facts.set_group(id).is_some(),
            Self::ManagementRoleDefinition(id) => facts.management_role_definition(id).is_some(),
            Self::ManagementRole(id) => facts.management_role(id).is_some(),
            Self::Resource(name) => facts.resource(name).is_some(),
            Self::Object(built_in, name) => facts.has_object(built_in, name.id.as_str()),
            Self::Computer(id) => facts.resource(&ResourceRef::computer(id)).is_some(),
            Self::ResourceGroup(id) => facts.resource_group(id).is_some(),
            Self::PermissionLevel(id) => facts.permission_level(id).is_some(),
        }
    }

    /// Its kind, from 1, and where its name lies in memory; `None` for what is named too rarely for
    /// that to be of use.
    fn place(self) -> Option<(u8, usize, usize)> {
        let at = |name: &str| name.as_ptr().addr();
        Some(match self {
            Self::ResourceType(name) => (1, at(name.as_str()), 0),
            Self::Location(id) => (2, at(id.as_str()), 0),
            Self::BusinessRole(id) => (3, at(id.as_str()), 0),
            Self::AccessLevel(level) => (4, at(level.type_name.as_str()), at(level.name.as_str())),
            Self::Person(id) => (5, at(id.as_str()), 0),
            Self::Account(id) => (6, at(id.as_str()), 0),
            Self::Group(id) => (7, at(id.as_str()), 0),
            Self::SetGroup(id) => (8, at(id.as_str()), 0),
            Self::ManagementRoleDefinition(id) => (9, at(id.as_str()), 0),
            Self::ManagementRole(id) => (10, at(id.as_str()), 0),
            Self::PermissionLevel(id) => (11, at(id.as_str()), 0),
            Self::Resource(_) | Self::Object(..) | Self::Computer(_) | Self::ResourceGroup(_) => {
                return None;
            }
        })
    }

    /// Whether it is the fact of this key.
    pub(super) fn is(self, key: &FactKey) -> bool {
        match (self, key) {
            (Self::ResourceType(name), FactKey::ResourceType(key)) => name == key,
            (Self::Location(id), FactKey::Location(key)) => id == key,
            (Self::BusinessRole(id), FactKey::BusinessRole(key)) => id == key,
            (Self::AccessLevel(name), FactKey::AccessLevel(key)) => name == key,
            (Self::Person(id), FactKey::Person(key)) => id == key,
            (Self::Account(id), FactKey::Account(key)) => id == key,
            (Self::Group(id), FactKey::Group(key)) => id == key,
            (Self::SetGroup(id), FactKey::SetGroup(key)) => id == key,
            (Self::ManagementRoleDefinition(id), FactKey::ManagementRoleDefinition(key)) => {
                id == key
            }
            (Self::ManagementRole(id), FactKey::ManagementRole(key)) => id == key,
            (Self::Resource(name), FactKey::Resource(key)) => name == key,
            (Self::Computer(id), FactKey::Resource(key)) => {
                key.id == *id && key.type_name.as_str() == crate::psm::COMPUTER
            }
            (Self::ResourceGroup(id), FactKey::ResourceGroup(key)) => id == key,
            (Self::PermissionLevel(id), FactKey::PermissionLevel(key)) => id == key,
            (Self::Object(built_in, name), key) => object_is(built_in, name, key),
            _ => false,
        }
    }

    /// The key of the fact that it leads to, whether that exists or not.
    pub(super) fn key(self) -> FactKey {
        match self {
            Self::ResourceType(name) => FactKey::ResourceType(name.clone()),
            Self::Location(id) => FactKey::Location(id.clone()),
            Self::BusinessRole(id) => FactKey::BusinessRole(id.clone()),
            Self::AccessLevel(name) => FactKey::AccessLevel(name.clone()),
            Self::Person(id) => FactKey::Person(id.clone()),
            Self::Account(id) => FactKey::Account(id.clone()),
            Self::Group(id) => FactKey::Group(id.clone()),
            Self::SetGroup(id) => FactKey::SetGroup(id.clone()),
            Self::ManagementRoleDefinition(id) => FactKey::ManagementRoleDefinition(id.clone()),
            Self::ManagementRole(id) => FactKey::ManagementRole(id.clone()),
            Self::Resource(name) | Self::Object(_, name) => object(name),
            Self::Computer(id) => FactKey::Resource(ResourceRef::computer(id)),
            Self::ResourceGroup(id) => FactKey::ResourceGroup(id.clone()),
            Self::PermissionLevel(id) => FactKey::PermissionLevel(id.clone()),
        }
    }

    /// The fact behind a resource's name.
    pub(super) fn of(resource: &ResourceRef) -> Target<'_> {
        match BuiltInType::from_name(resource.type_name.as_str()) {
            Some(built_in) => Target::Object(built_in, resource),
            None => Target::Resource(resource),
        }
    }
}

/// How many targets are remembered: those of every type, level and place, as a rule.
const REMEMBERED: usize = 1 << 12;

/// Targets that were found to exist, while the facts stay as they are. Names are remembered by where
/// their characters lie: what was read together shares them.
pub(super) struct Existing<'a> {
    facts: &'a Facts,
    found: Vec<(u8, usize, usize)>,
}

// === impl Existing ===

impl<'a> Existing<'a> {
    pub(super) fn among(facts: &'a Facts) -> Self {
        Self { facts, found: vec![(0, 0, 0); REMEMBERED] }
    }

    /// Whether the target is among the facts. It has to outlive the facts' being looked at, so that
    /// no other name comes to lie where it lies.
    pub(super) fn has(&mut self, target: Target<'a>) -> bool {
        let Some(place) = target.place() else { return target.exists(self.facts) };
        let (kind, first, second) = place;
        let spread = (first ^ second.rotate_left(7) ^ usize::from(kind)).wrapping_mul(0x9e37_79b1);
        match self.found.get_mut((spread >> 12) % REMEMBERED) {
            Some(found) if *found == place => true,
            Some(found) => {
                let exists = target.exists(self.facts);
                if exists {
                    *found = place;
                }
                exists
            }
            None => target.exists(self.facts),
        }
    }
}

/// Calls `visit` with the field and the target of every reference that `fact` makes. Built-in
/// resource types always exist and are left out.
pub(super) fn references<'a>(fact: FactRef<'a>, visit: &mut dyn FnMut(&'static str, Target<'a>)) {
    match fact {
        FactRef::ResourceType(_) => {}
        FactRef::Location(location) => {
            if let Some(parent) = &location.parent {
                visit("parent", Target::Location(parent));
            }
        }
        FactRef::BusinessRole(role) => {
            if let Some(parent) = &role.parent {
                visit("parent", Target::BusinessRole(parent));
            }
            places(&role.locations, visit);
        }
        FactRef::AccessLevel(level) => type_name("type", &level.name.type_name, visit),
        FactRef::Person(person) => {
            if let Some(manager) = &person.manager {
                visit("manager", Target::Person(manager));
            }
            places(&person.locations, visit);
            positions(&person.positions, visit);
        }
        FactRef::Account(account) => {
            if let Some(owner) = &account.owner {
                visit("owner", Target::Person(owner));
            }
            if let Some(id) = &account.computer {
                visit("computer", Target::Computer(id));
            }
            places(&account.locations, visit);
        }
        FactRef::Group(group) => {
            members(&group.members, visit);
            positions(&group.positions, visit);
            places(&group.locations, visit);
        }
        FactRef::SetGroup(group) => {
            members(&group.members, visit);
            places(&group.locations, visit);
        }
        FactRef::ManagementRoleDefinition(definition) => places(&definition.locations, visit),
        FactRef::ManagementRole(role) => self::management_role(role, visit),
        FactRef::Resource(resource) => self::resource(resource, visit),
        FactRef::ResourceGroup(group) => {
            for member in &group.members {
                visit("members", Target::of(member));
            }
        }
        FactRef::Share(share) => self::share(share, visit),
        FactRef::PermissionLevel(_) => {}
        FactRef::Psm(psm) => self::psm(psm, visit),
        FactRef::Eligibility(eligibility) => self::eligibility(eligibility, visit),
        FactRef::Assignment(assignment) => self::assignment(assignment, visit),
    }
}

/// Whether the fact refers to the one of this key.
pub(super) fn refers(fact: FactRef<'_>, key: &FactKey) -> bool {
    let mut refers = false;
    references(fact, &mut |_, target| refers |= target.is(key));
    refers
}

fn resource<'a>(resource: &'a Resource, visit: &mut dyn FnMut(&'static str, Target<'a>)) {
    type_name("type", &resource.name.type_name, visit);
    places(&resource.locations, visit);
    if let Some(owner) = &resource.owner {
        visit("owner", Target::Person(owner));
    }
    if let Some(parent) = &resource.parent {
        visit("parent", Target::Resource(parent));
    }
}

fn management_role<'a>(role: &'a ManagementRole, visit: &mut dyn FnMut(&'static str, Target<'a>)) {
    if let Some(definition) = &role.definition {
        visit("definition", Target::ManagementRoleDefinition(definition));
    }
    members(&role.members, visit);
    for included in &role.includes {
        visit("includes", Target::ManagementRole(included));
    }
    places(&role.locations, visit);
}

fn share<'a>(share: &'a Share, visit: &mut dyn FnMut(&'static str, Target<'a>)) {
    match &share.key.to {
        crate::share::Grantee::Person(id) => visit("to", Target::Person(id)),
        crate::share::Grantee::Group(id) => visit("to", Target::Group(id)),
    }
    match &share.key.on {
        Entity::Resource(resource) => visit("on", Target::of(resource)),
        Entity::Group(group) => visit("on", Target::ResourceGroup(group)),
    }
}

fn psm<'a>(psm: &'a Psm, visit: &mut dyn FnMut(&'static str, Target<'a>)) {
    visit("computer", Target::Computer(&psm.computer));
    for (level, group) in &psm.levels {
        visit("levels", Target::PermissionLevel(level));
        if let Some(group) = group {
            visit("levels", Target::Group(group));
        }
    }
}

fn eligibility<'a>(eligibility: &'a Eligibility, visit: &mut dyn FnMut(&'static str, Target<'a>)) {
    actor("to", &eligibility.key.to, visit);
    visit("level", Target::PermissionLevel(&eligibility.key.level));
    match &eligibility.key.scope {
        EligibilityScope::On(id) => visit("on", Target::Computer(id)),
        EligibilityScope::In(location) => visit("in", Target::Location(location)),
    }
}

fn assignment<'a>(assignment: &'a Assignment, visit: &mut dyn FnMut(&'static str, Target<'a>)) {
    actor("to", &assignment.to, visit);
    visit("level", Target::AccessLevel(&assignment.level));
    match &assignment.scope {
        Scope::On(resource) => visit("on", Target::of(resource)),
        Scope::In(location) => visit("in", Target::Location(location)),
        Scope::Relative(_) => {}
    }
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

/// Whether the object of a built-in type is the fact of this key.
fn object_is(built_in: BuiltInType, name: &ResourceRef, key: &FactKey) -> bool {
    let id = name.id.as_str();
    match (built_in, key) {
        (BuiltInType::Person, FactKey::Person(key)) => key.as_str() == id,
        (BuiltInType::UserAccount, FactKey::Account(key)) => key.as_str() == id,
        (BuiltInType::Group, FactKey::Group(key)) => key.as_str() == id,
        (BuiltInType::SetGroup, FactKey::SetGroup(key)) => key.as_str() == id,
        (BuiltInType::BusinessRole, FactKey::BusinessRole(key)) => key.as_str() == id,
        (BuiltInType::Location, FactKey::Location(key)) => key.as_str() == id,
        (BuiltInType::ManagementRole, FactKey::ManagementRole(key)) => key.as_str() == id,
        (BuiltInType::ManagementRoleDefinition, FactKey::ManagementRoleDefinition(key)) => {
            key.as_str() == id
        }
        _ => false,
    }
}

/// The facts that must exist for an actor to exist: a pair needs its role and its location.
pub(super) fn actor<'a>(
    field: &'static str,
    actor: &'a ActorRef,
    visit: &mut dyn FnMut(&'static str, Target<'a>),
) {
    match actor {
        ActorRef::Person(id) => visit(field, Target::Person(id)),
        ActorRef::Account(id) => visit(field, Target::Account(id)),
        ActorRef::Group(id) => visit(field, Target::Group(id)),
        ActorRef::SetGroup(id) => visit(field, Target::SetGroup(id)),
        ActorRef::BusinessRoleLocation(role, location) => {
            visit(field, Target::BusinessRole(role));
            visit(field, Target::Location(location));
        }
        ActorRef::ManagementRole(id) => visit(field, Target::ManagementRole(id)),
        ActorRef::ManagementRoleDefinition(id) => {
            visit(field, Target::ManagementRoleDefinition(id));
        }
    }
}

/// Whether the actor exists only as long as the fact of `key` does.
pub(super) fn actor_rests_on(actor_ref: &ActorRef, key: &FactKey) -> bool {
    let mut rests = false;
    actor("of", actor_ref, &mut |_, target| rests |= target.is(key));
    rests
}

fn type_name<'a>(
    field: &'static str,
    name: &'a TypeName,
    visit: &mut dyn FnMut(&'static str, Target<'a>),
) {
    if BuiltInType::from_name(name.as_str()).is_none() {
        visit(field, Target::ResourceType(name));
    }
}

fn places<'a>(locations: &'a [LocationId], visit: &mut dyn FnMut(&'static str, Target<'a>)) {
    for location in locations {
        visit("locations", Target::Location(location));
    }
}

fn positions<'a>(positions: &'a [Position], visit: &mut dyn FnMut(&'static str, Target<'a>)) {
    for position in positions {
        visit("positions", Target::BusinessRole(&position.business_role));
        visit("positions", Target::Location(&position.location));
    }
}

fn members<'a>(members: &'a [Membership], visit: &mut dyn FnMut(&'static str, Target<'a>)) {
    for member in members {
        actor("members", &member.of, visit);
    }
}
