//! Disk records of people, accounts, groups and roles.

use pdp_engine::actor::{
    Account, ActorRef, BusinessRole, Group, ManagementRole, ManagementRoleDefinition, Membership,
    Person, Position, SetGroup,
};
use pdp_engine::id::{
    AccountId, BusinessRoleId, GroupId, LocationId, ManagementRoleDefinitionId, ManagementRoleId,
    ObjectId, PersonId, SetGroupId,
};
use pdp_engine::time::{Timestamp, Window};

use super::RecordError;
use super::resource::{into_places, places};
use super::vault::{VaultPrivilegeNumber, privilege_of};

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PersonRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
    #[prost(string, optional, tag = "3")]
    login: Option<String>,
    #[prost(bool, tag = "4")]
    enabled: bool,
    #[prost(string, optional, tag = "5")]
    manager: Option<String>,
    #[prost(string, repeated, tag = "6")]
    locations: Vec<String>,
    #[prost(message, repeated, tag = "7")]
    positions: Vec<PositionRecord>,
    #[prost(enumeration = "VaultPrivilegeNumber", repeated, tag = "8")]
    vault_privileges: Vec<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AccountRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, optional, tag = "2")]
    owner: Option<String>,
    #[prost(bool, tag = "3")]
    enabled: bool,
    #[prost(string, repeated, tag = "4")]
    locations: Vec<String>,
    #[prost(string, optional, tag = "5")]
    computer: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct GroupRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, repeated, tag = "2")]
    members: Vec<MembershipRecord>,
    #[prost(message, repeated, tag = "3")]
    positions: Vec<PositionRecord>,
    #[prost(string, repeated, tag = "4")]
    locations: Vec<String>,
    #[prost(bool, tag = "5")]
    default: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SetGroupRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, repeated, tag = "2")]
    members: Vec<MembershipRecord>,
    #[prost(string, repeated, tag = "3")]
    locations: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct BusinessRoleRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, optional, tag = "2")]
    parent: Option<String>,
    #[prost(string, repeated, tag = "3")]
    locations: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ManagementRoleDefinitionRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, repeated, tag = "2")]
    locations: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ManagementRoleRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, optional, tag = "2")]
    definition: Option<String>,
    #[prost(message, repeated, tag = "3")]
    members: Vec<MembershipRecord>,
    #[prost(string, repeated, tag = "4")]
    includes: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    locations: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MembershipRecord {
    #[prost(message, optional, tag = "1")]
    of: Option<ActorRecord>,
    #[prost(message, optional, tag = "2")]
    window: Option<WindowRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PositionRecord {
    #[prost(string, tag = "1")]
    business_role: String,
    #[prost(string, tag = "2")]
    location: String,
    #[prost(bool, tag = "3")]
    primary: bool,
    #[prost(message, optional, tag = "4")]
    window: Option<WindowRecord>,
}

/// A validity window; a fact that always counts has none.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct WindowRecord {
    #[prost(int64, optional, tag = "1")]
    from_micros: Option<i64>,
    #[prost(int64, optional, tag = "2")]
    until_micros: Option<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ActorRecord {
    #[prost(oneof = "ActorName", tags = "1, 2, 3, 4, 5, 6, 7")]
    name: Option<ActorName>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum ActorName {
    #[prost(string, tag = "1")]
    Person(String),
    #[prost(string, tag = "2")]
    Account(String),
    #[prost(string, tag = "3")]
    Group(String),
    #[prost(string, tag = "4")]
    SetGroup(String),
    #[prost(message, tag = "5")]
    BusinessRoleLocation(PairRecord),
    #[prost(string, tag = "6")]
    ManagementRole(String),
    #[prost(string, tag = "7")]
    ManagementRoleDefinition(String),
}

#[derive(Clone, PartialEq, prost::Message)]
struct PairRecord {
    #[prost(string, tag = "1")]
    business_role: String,
    #[prost(string, tag = "2")]
    location: String,
}

// === impl PersonRecord ===

impl From<&Person> for PersonRecord {
    fn from(fact: &Person) -> Self {
        let Person { id, name, login, enabled, manager, locations, positions, vault_privileges } =
            fact;
        Self {
            id: id.as_str().to_owned(),
            name: name.clone(),
            login: login.clone(),
            enabled: *enabled,
            manager: manager.as_ref().map(|id| id.as_str().to_owned()),
            locations: places(locations),
            positions: positions.iter().map(Into::into).collect(),
            vault_privileges: vault_privileges
                .iter()
                .map(|privilege| VaultPrivilegeNumber::from(*privilege).into())
                .collect(),
        }
    }
}

impl PersonRecord {
    pub(super) fn into_fact(self) -> Result<Person, RecordError> {
        let Self { id, name, login, enabled, manager, locations, positions, vault_privileges } =
            self;
        Ok(Person {
            id: PersonId::new(id)?,
            name,
            login,
            enabled,
            manager: manager.map(PersonId::new).transpose()?,
            locations: into_places(locations)?,
            positions: into_positions(positions)?,
            vault_privileges: vault_privileges
                .into_iter()
                .map(privilege_of)
                .collect::<Result<_, _>>()?,
        })
    }
}

// === impl AccountRecord ===

impl From<&Account> for AccountRecord {
    fn from(fact: &Account) -> Self {
        let Account { id, owner, enabled, computer, locations } = fact;
        Self {
            id: id.as_str().to_owned(),
            owner: owner.as_ref().map(|id| id.as_str().to_owned()),
            enabled: *enabled,
            locations: places(locations),
            computer: computer.as_ref().map(|id| id.as_str().to_owned()),
        }
    }
}

impl AccountRecord {
    pub(super) fn into_fact(self) -> Result<Account, RecordError> {
        let Self { id, owner, enabled, locations, computer } = self;
        Ok(Account {
            id: AccountId::new(id)?,
            owner: owner.map(PersonId::new).transpose()?,
            enabled,
            computer: computer.map(ObjectId::new).transpose()?,
            locations: into_places(locations)?,
        })
    }
}

// === impl GroupRecord ===

impl From<&Group> for GroupRecord {
    fn from(fact: &Group) -> Self {
        let Group { id, members, positions, default, locations } = fact;
        Self {
            id: id.as_str().to_owned(),
            members: members.iter().map(Into::into).collect(),
            positions: positions.iter().map(Into::into).collect(),
            locations: places(locations),
            default: *default,
        }
    }
}

impl GroupRecord {
    pub(super) fn into_fact(self) -> Result<Group, RecordError> {
        let Self { id, members, positions, locations, default } = self;
        Ok(Group {
            id: GroupId::new(id)?,
            members: into_members(members)?,
            positions: into_positions(positions)?,
            default,
            locations: into_places(locations)?,
        })
    }
}

// === impl SetGroupRecord ===

impl From<&SetGroup> for SetGroupRecord {
    fn from(fact: &SetGroup) -> Self {
        let SetGroup { id, members, locations } = fact;
        Self {
            id: id.as_str().to_owned(),
            members: members.iter().map(Into::into).collect(),
            locations: places(locations),
        }
    }
}

impl SetGroupRecord {
    pub(super) fn into_fact(self) -> Result<SetGroup, RecordError> {
        let Self { id, members, locations } = self;
        Ok(SetGroup {
            id: SetGroupId::new(id)?,
            members: into_members(members)?,
            locations: into_places(locations)?,
        })
    }
}

// === impl BusinessRoleRecord ===

impl From<&BusinessRole> for BusinessRoleRecord {
    fn from(fact: &BusinessRole) -> Self {
        let BusinessRole { id, parent, locations } = fact;
        Self {
            id: id.as_str().to_owned(),
            parent: parent.as_ref().map(|id| id.as_str().to_owned()),
            locations: places(locations),
        }
    }
}

impl BusinessRoleRecord {
    pub(super) fn into_fact(self) -> Result<BusinessRole, RecordError> {
        let Self { id, parent, locations } = self;
        Ok(BusinessRole {
            id: BusinessRoleId::new(id)?,
            parent: parent.map(BusinessRoleId::new).transpose()?,
            locations: into_places(locations)?,
        })
    }
}

// === impl ManagementRoleDefinitionRecord ===

impl From<&ManagementRoleDefinition> for ManagementRoleDefinitionRecord {
    fn from(fact: &ManagementRoleDefinition) -> Self {
        let ManagementRoleDefinition { id, locations } = fact;
        Self { id: id.as_str().to_owned(), locations: places(locations) }
    }
}

impl ManagementRoleDefinitionRecord {
    pub(super) fn into_fact(self) -> Result<ManagementRoleDefinition, RecordError> {
        let Self { id, locations } = self;
        Ok(ManagementRoleDefinition {
            id: ManagementRoleDefinitionId::new(id)?,
            locations: into_places(locations)?,
        })
    }
}

// === impl ManagementRoleRecord ===

impl From<&ManagementRole> for ManagementRoleRecord {
    fn from(fact: &ManagementRole) -> Self {
        let ManagementRole { id, definition, members, includes, locations } = fact;
        Self {
            id: id.as_str().to_owned(),
            definition: definition.as_ref().map(|id| id.as_str().to_owned()),
            members: members.iter().map(Into::into).collect(),
            includes: includes.iter().map(|id| id.as_str().to_owned()).collect(),
            locations: places(locations),
        }
    }
}

impl ManagementRoleRecord {
    pub(super) fn into_fact(self) -> Result<ManagementRole, RecordError> {
        let Self { id, definition, members, includes, locations } = self;
        Ok(ManagementRole {
            id: ManagementRoleId::new(id)?,
            definition: definition.map(ManagementRoleDefinitionId::new).transpose()?,
            members: into_members(members)?,
            includes: includes.into_iter().map(ManagementRoleId::new).collect::<Result<_, _>>()?,
            locations: into_places(locations)?,
        })
    }
}

// === impl MembershipRecord ===

impl From<&Membership> for MembershipRecord {
    fn from(membership: &Membership) -> Self {
        let Membership { of, window } = membership;
        Self { of: Some(of.into()), window: WindowRecord::of(window) }
    }
}

impl MembershipRecord {
    fn into_membership(self) -> Result<Membership, RecordError> {
        let Self { of, window } = self;
        Ok(Membership {
            of: of.ok_or(RecordError::Missing("of"))?.into_actor()?,
            window: WindowRecord::into_window(window),
        })
    }
}

fn into_members(members: Vec<MembershipRecord>) -> Result<Vec<Membership>, RecordError> {
    members.into_iter().map(MembershipRecord::into_membership).collect()
}

// === impl PositionRecord ===

impl From<&Position> for PositionRecord {
    fn from(position: &Position) -> Self {
        let Position { business_role, location, primary, window } = position;
        Self {
            business_role: business_role.as_str().to_owned(),
            location: location.as_str().to_owned(),
            primary: *primary,
            window: WindowRecord::of(window),
        }
    }
}

impl PositionRecord {
    fn into_position(self) -> Result<Position, RecordError> {
        let Self { business_role, location, primary, window } = self;
        Ok(Position {
            business_role: BusinessRoleId::new(business_role)?,
            location: LocationId::new(location)?,
            primary,
            window: WindowRecord::into_window(window),
        })
    }
}

fn into_positions(positions: Vec<PositionRecord>) -> Result<Vec<Position>, RecordError> {
    positions.into_iter().map(PositionRecord::into_position).collect()
}

// === impl WindowRecord ===

impl WindowRecord {
    pub(super) fn of(window: &Window) -> Option<Self> {
        let Window { from, until } = window;
        let record = Self {
            from_micros: from.map(Timestamp::as_micros),
            until_micros: until.map(Timestamp::as_micros),
        };
        (!window.is_always()).then_some(record)
    }

    pub(super) fn into_window(record: Option<Self>) -> Window {
        let Some(Self { from_micros, until_micros }) = record else { return Window::ALWAYS };
        Window {
            from: from_micros.map(Timestamp::from_micros),
            until: until_micros.map(Timestamp::from_micros),
        }
    }
}

// === impl ActorRecord ===

impl From<&ActorRef> for ActorRecord {
    fn from(actor: &ActorRef) -> Self {
        let name = match actor {
            ActorRef::Person(id) => ActorName::Person(id.as_str().to_owned()),
            ActorRef::Account(id) => ActorName::Account(id.as_str().to_owned()),
            ActorRef::Group(id) => ActorName::Group(id.as_str().to_owned()),
            ActorRef::SetGroup(id) => ActorName::SetGroup(id.as_str().to_owned()),
            ActorRef::BusinessRoleLocation(role, location) => {
                ActorName::BusinessRoleLocation(PairRecord {
                    business_role: role.as_str().to_owned(),
                    location: location.as_str().to_owned(),
                })
            }
            ActorRef::ManagementRole(id) => ActorName::ManagementRole(id.as_str().to_owned()),
            ActorRef::ManagementRoleDefinition(id) => {
                ActorName::ManagementRoleDefinition(id.as_str().to_owned())
            }
        };
        Self { name: Some(name) }
    }
}

impl ActorRecord {
    pub(super) fn into_actor(self) -> Result<ActorRef, RecordError> {
        let Self { name } = self;
        Ok(match name.ok_or(RecordError::Missing("actor"))? {
            ActorName::Person(id) => ActorRef::Person(PersonId::new(id)?),
            ActorName::Account(id) => ActorRef::Account(AccountId::new(id)?),
            ActorName::Group(id) => ActorRef::Group(GroupId::new(id)?),
            ActorName::SetGroup(id) => ActorRef::SetGroup(SetGroupId::new(id)?),
            ActorName::BusinessRoleLocation(PairRecord { business_role, location }) => {
                ActorRef::BusinessRoleLocation(
                    BusinessRoleId::new(business_role)?,
                    LocationId::new(location)?,
                )
            }
            ActorName::ManagementRole(id) => ActorRef::ManagementRole(ManagementRoleId::new(id)?),
            ActorName::ManagementRoleDefinition(id) => {
                ActorRef::ManagementRoleDefinition(ManagementRoleDefinitionId::new(id)?)
            }
        })
    }
}
