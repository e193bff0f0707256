//! The facts about who can be granted something (semantics, section 1): people, accounts, groups,
//! set groups, business roles, management roles and their definitions.

use std::collections::BTreeSet;
use std::fmt;

use crate::id::{
    AccountId, BusinessRoleId, GroupId, LocationId, ManagementRoleDefinitionId, ManagementRoleId,
    ObjectId, PersonId, SetGroupId,
};
use crate::share::VaultPrivilege;
use crate::time::Window;

/// Names one actor. Written `kind:id`, and `business_role:ROLE@LOCATION` for a pair.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActorRef {
    /// A person.
    Person(PersonId),
    /// An account.
    Account(AccountId),
    /// A group.
    Group(GroupId),
    /// A set group.
    SetGroup(SetGroupId),
    /// A Business Role and Location pair.
    BusinessRoleLocation(BusinessRoleId, LocationId),
    /// A management role.
    ManagementRole(ManagementRoleId),
    /// A management role definition.
    ManagementRoleDefinition(ManagementRoleDefinitionId),
}

/// Why a string does not name an actor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActorRefError {
    /// There is no `kind:` in front, or it is not one of the kinds.
    #[error("`{shown}` does not name an actor; write one of {}", ActorRef::FORMS)]
    UnknownKind {
        /// The string as given.
        shown: String,
    },
    /// A business role pair without `@`.
    #[error("`{shown}` names no location; write `business_role:ROLE@LOCATION`")]
    NoLocation {
        /// The string as given.
        shown: String,
    },
    /// The part after the kind is not a name.
    #[error(transparent)]
    Id(#[from] crate::id::IdError),
}

impl ActorRef {
    /// The written forms, for messages.
    pub const FORMS: &'static str = "`person:ID`, `account:ID`, `group:ID`, `set_group:ID`, \
         `business_role:ROLE@LOCATION`, `management_role:ID`, `management_role_definition:ID`";

    /// Reads the written form.
    ///
    /// # Errors
    /// [`ActorRefError`] says what was expected.
    pub fn parse(text: &str) -> Result<Self, ActorRefError> {
        let shown = || text.chars().take(300).collect::<String>().escape_debug().to_string();
        let unknown = || ActorRefError::UnknownKind { shown: shown() };
        let (kind, id) = text.split_once(':').ok_or_else(unknown)?;
        Ok(match kind {
            "person" => Self::Person(PersonId::new(id)?),
            "account" => Self::Account(AccountId::new(id)?),
            "group" => Self::Group(GroupId::new(id)?),
            "set_group" => Self::SetGroup(SetGroupId::new(id)?),
            "business_role" => {
                let (role, location) = id
                    .split_once('@')
                    .ok_or_else(|| ActorRefError::NoLocation { shown: shown() })?;
                Self::BusinessRoleLocation(BusinessRoleId::new(role)?, LocationId::new(location)?)
            }
            "management_role" => Self::ManagementRole(ManagementRoleId::new(id)?),
            "management_role_definition" => {
                Self::ManagementRoleDefinition(ManagementRoleDefinitionId::new(id)?)
            }
            _ => return Err(unknown()),
        })
    }

    /// The kind as written before the colon.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Person(_) => "person",
            Self::Account(_) => "account",
            Self::Group(_) => "group",
            Self::SetGroup(_) => "set_group",
            Self::BusinessRoleLocation(..) => "business_role",
            Self::ManagementRole(_) => "management_role",
            Self::ManagementRoleDefinition(_) => "management_role_definition",
        }
    }
}

impl fmt::Display for ActorRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.kind())?;
        match self {
            Self::Person(id) => write!(f, "{id}"),
            Self::Account(id) => write!(f, "{id}"),
            Self::Group(id) => write!(f, "{id}"),
            Self::SetGroup(id) => write!(f, "{id}"),
            Self::BusinessRoleLocation(role, location) => write!(f, "{role}@{location}"),
            Self::ManagementRole(id) => write!(f, "{id}"),
            Self::ManagementRoleDefinition(id) => write!(f, "{id}"),
        }
    }
}

/// One listing of a member; it exists while its window is open (A9).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Membership {
    /// The member.
    pub of: ActorRef,
    /// When the listing counts.
    pub window: Window,
}

/// One position: a business role held at a location (A5).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The role.
    pub business_role: BusinessRoleId,
    /// Where it is held.
    pub location: LocationId,
    /// Descriptive: primary and secondary positions count equally (A5).
    pub primary: bool,
    /// When the position is held.
    pub window: Window,
}

/// A human being.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Names the person, as actor and as `Person:ID`.
    pub id: PersonId,
    /// Display name.
    pub name: Option<String>,
    /// Login name; just-in-time accounts are named after it.
    pub login: Option<String>,
    /// A disabled person is granted nothing (A8).
    pub enabled: bool,
    /// The person this one reports to; not themselves (C0).
    pub manager: Option<PersonId>,
    /// Where the person is placed as a resource, besides the places of the positions.
    pub locations: Vec<LocationId>,
    /// Business roles held at locations.
    pub positions: Vec<Position>,
    /// What lets the person use remote apps (V6).
    pub vault_privileges: BTreeSet<VaultPrivilege>,
}

/// An account in some system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Names the account, as actor and as `UserAccount:ID`.
    pub id: AccountId,
    /// The person who owns it; that person counts as the account too (A2).
    pub owner: Option<PersonId>,
    /// A disabled account is granted nothing and counts for nobody (A8).
    pub enabled: bool,
    /// The computer it is an account on: the id of a resource of type `Computer`. It makes the
    /// account a vault account (section 6), and lets its owner open sessions there (P4).
    pub computer: Option<ObjectId>,
    /// Where it is placed as a resource.
    pub locations: Vec<LocationId>,
}

/// A group; groups nest without limit (A3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Names the group, as actor and as `Group:ID`.
    pub id: GroupId,
    /// People, accounts and groups.
    pub members: Vec<Membership>,
    /// Business roles that every member holds at a location.
    pub positions: Vec<Position>,
    /// Nothing can be shared with a default group with `full` (V1).
    pub default: bool,
    /// Where it is placed as a resource.
    pub locations: Vec<LocationId>,
}

/// A set group; set groups do not nest (A4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetGroup {
    /// Names the set group, as actor and as `SetGroup:ID`.
    pub id: SetGroupId,
    /// People, accounts and groups.
    pub members: Vec<Membership>,
    /// Where it is placed as a resource.
    pub locations: Vec<LocationId>,
}

/// A node of the business role forest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusinessRole {
    /// Names the role; as a resource it is `BusinessRole:ID`.
    pub id: BusinessRoleId,
    /// The broader role; holders of this one hold that one too (A5).
    pub parent: Option<BusinessRoleId>,
    /// Where it is placed as a resource.
    pub locations: Vec<LocationId>,
}

/// A definition that management roles are made from (A7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagementRoleDefinition {
    /// Names the definition, as actor and as `ManagementRoleDefinition:ID`.
    pub id: ManagementRoleDefinitionId,
    /// Where it is placed as a resource.
    pub locations: Vec<LocationId>,
}

/// A management role (A6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagementRole {
    /// Names the role, as actor and as `ManagementRole:ID`.
    pub id: ManagementRoleId,
    /// Its definition, which every member counts as too (A7).
    pub definition: Option<ManagementRoleDefinitionId>,
    /// People, accounts, groups, set groups and Business Role and Location pairs.
    pub members: Vec<Membership>,
    /// Roles bundled in this one: its people have them too, never the reverse (A6).
    pub includes: Vec<ManagementRoleId>,
    /// Where it is placed as a resource.
    pub locations: Vec<LocationId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_reads_back_as_written() {
        for text in [
            "person:ana",
            "account:corp/ana",
            "group:web-07/Administrators",
            "set_group:all-staff",
            "business_role:teller@zu@rich",
            "management_role:helpdesk:zurich",
            "management_role_definition:helpdesk",
        ] {
            assert_eq!(ActorRef::parse(text).map(|a| a.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn a_wrong_reference_says_what_is_expected() {
        assert!(matches!(ActorRef::parse("ana"), Err(ActorRefError::UnknownKind { .. })));
        assert!(matches!(ActorRef::parse("user:ana"), Err(ActorRefError::UnknownKind { .. })));
        assert!(matches!(ActorRef::parse("person:"), Err(ActorRefError::Id(_))));
        assert!(matches!(
            ActorRef::parse("business_role:teller"),
            Err(ActorRefError::NoLocation { .. })
        ));
    }
}
