//! The facts about what is protected and where things are (semantics, section 1): resource types,
//! resources and locations.

use std::collections::BTreeSet;
use std::fmt;

use crate::id::{IdError, LocationId, ObjectId, PermissionName, PersonId, TypeName};

/// The resource types whose objects are the actors, roles and locations themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BuiltInType {
    /// Objects are people.
    Person,
    /// Objects are accounts.
    UserAccount,
    /// Objects are groups.
    Group,
    /// Objects are set groups.
    SetGroup,
    /// Objects are business roles.
    BusinessRole,
    /// Objects are locations.
    Location,
    /// Objects are management roles.
    ManagementRole,
    /// Objects are management role definitions.
    ManagementRoleDefinition,
}

impl BuiltInType {
    /// Every built-in type.
    pub const ALL: [Self; 8] = [
        Self::Person,
        Self::UserAccount,
        Self::Group,
        Self::SetGroup,
        Self::BusinessRole,
        Self::Location,
        Self::ManagementRole,
        Self::ManagementRoleDefinition,
    ];

    /// The type's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "Person",
            Self::UserAccount => "UserAccount",
            Self::Group => "Group",
            Self::SetGroup => "SetGroup",
            Self::BusinessRole => "BusinessRole",
            Self::Location => "Location",
            Self::ManagementRole => "ManagementRole",
            Self::ManagementRoleDefinition => "ManagementRoleDefinition",
        }
    }

    /// What its objects are, for messages.
    #[must_use]
    pub const fn objects(self) -> &'static str {
        match self {
            Self::Person => "people",
            Self::UserAccount => "accounts",
            Self::Group => "groups",
            Self::SetGroup => "set groups",
            Self::BusinessRole => "business roles",
            Self::Location => "locations",
            Self::ManagementRole => "management roles",
            Self::ManagementRoleDefinition => "management role definitions",
        }
    }

    /// The built-in type of this name, if it is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|built_in| built_in.as_str() == name)
    }
}

/// Names one resource. Written `Type:id`; only the first colon separates.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceRef {
    /// The resource's type.
    pub type_name: TypeName,
    /// Its id within the type.
    pub id: ObjectId,
}

/// Why a string does not name a resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResourceRefError {
    /// There is no colon.
    #[error("`{shown}` does not name a resource; write `Type:id`")]
    NoType {
        /// The string as given.
        shown: String,
    },
    /// The type or the id is not a name.
    #[error(transparent)]
    Id(#[from] IdError),
}

impl ResourceRef {
    /// The computer of this id.
    #[must_use]
    pub fn computer(id: &ObjectId) -> Self {
        Self { type_name: TypeName::computer(), id: id.clone() }
    }

    /// Reads `Type:id`.
    ///
    /// # Errors
    /// [`ResourceRefError`] says what was expected.
    pub fn parse(text: &str) -> Result<Self, ResourceRefError> {
        let (type_name, id) = text.split_once(':').ok_or_else(|| ResourceRefError::NoType {
            shown: text.chars().take(300).collect::<String>().escape_debug().to_string(),
        })?;
        Ok(Self { type_name: TypeName::new(type_name)?, id: ObjectId::new(id)? })
    }
}

impl fmt::Display for ResourceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.type_name, self.id)
    }
}

/// What a resource type declares. Declaring a type again adds to it (semantics, section 9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceType {
    /// The type's name.
    pub name: TypeName,
    /// Operations that may be asked of its resources.
    pub operations: BTreeSet<PermissionName>,
    /// Native rights that may be asked of its resources.
    pub rights: BTreeSet<PermissionName>,
}

/// A protected thing of a declared type. Objects of built-in types have no entry here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// The resource's name.
    pub name: ResourceRef,
    /// Where it is placed; a resource without a location is covered by no location scope (C2).
    pub locations: Vec<LocationId>,
    /// What it runs on, such as `windows`; remote apps need one that has them (V6).
    pub platform: Option<String>,
    /// The person who owns it, who has `full` on it and on its vault accounts (V3).
    pub owner: Option<PersonId>,
    /// The resource that this is a vault account of; that one has no parent (section 6).
    pub parent: Option<ResourceRef>,
}

/// A node of the location forest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Names the location; as a resource it is `Location:ID`.
    pub id: LocationId,
    /// The location around this one.
    pub parent: Option<LocationId>,
    /// Marks the top of an organization for `in_my_organization` (C3).
    pub organization: bool,
    /// Positions held here or below do not count above this location (A5).
    pub block_inheritance: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_colon_separates() {
        let name = ResourceRef::parse("Report:2026:q1").unwrap();
        assert_eq!((name.type_name.as_str(), name.id.as_str()), ("Report", "2026:q1"));
        assert_eq!(name.to_string(), "Report:2026:q1");
        assert!(matches!(ResourceRef::parse("Report"), Err(ResourceRefError::NoType { .. })));
        assert!(matches!(ResourceRef::parse("Report:"), Err(ResourceRefError::Id(_))));
    }
}
