//! May this person or account hand out this Access Level? The names may be anything.

use std::fmt;

use pdp_engine::delegate::{DelegationAction, DelegationQuestion, RecipientRef, ScopeRef};
use pdp_engine::level::Relative;

use super::{FormError, OwnedObject, OwnedSubject, routed};
use crate::diagnostic::shown;

/// A question about handing out or taking back an Access Level.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnedDelegation {
    /// Who would do it.
    pub delegator: OwnedSubject,
    /// Grant or revoke.
    pub action: DelegationAction,
    /// The level's resource type.
    pub type_name: String,
    /// The level's name.
    pub level: String,
    /// Who would get or lose it.
    pub recipient: OwnedRecipient,
    /// What it covers.
    pub scope: OwnedScope,
    /// Whether the answer may be `REQUIRES_APPROVAL`.
    pub routing: bool,
}

/// Who would get a level.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OwnedRecipient {
    /// A person.
    Person(String),
    /// An account.
    Account(String),
    /// A group.
    Group(String),
    /// A set group.
    SetGroup(String),
    /// A Business Role and Location pair.
    BusinessRoleLocation(String, String),
    /// A management role.
    ManagementRole(String),
    /// A management role definition.
    ManagementRoleDefinition(String),
}

/// What a level would cover.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OwnedScope {
    /// One resource.
    On(OwnedObject),
    /// Everything of the level's type in or below a location.
    In(String),
    /// What stands in a relation to whoever has the level.
    Relative(Relative),
}

// === impl OwnedDelegation ===

impl OwnedDelegation {
    /// Splits `Type/Name`; only the first slash separates. Both parts may be malformed.
    ///
    /// # Errors
    /// [`FormError`] if there is no slash.
    pub fn parse_level(text: &str) -> Result<(String, String), FormError> {
        let (type_name, name) =
            text.split_once('/').ok_or_else(|| FormError::Level { shown: shown(text) })?;
        Ok((type_name.to_owned(), name.to_owned()))
    }

    /// The question as the engine takes it.
    #[must_use]
    pub fn as_question(&self) -> DelegationQuestion<'_> {
        DelegationQuestion {
            delegator: self.delegator.as_ref(),
            action: self.action,
            type_name: &self.type_name,
            level: &self.level,
            recipient: self.recipient.as_ref(),
            scope: self.scope.as_ref(),
            routing: self.routing,
        }
    }
}

/// `person:ana, grant Report/Viewer on Report:absence, to group:hr`.
impl fmt::Display for OwnedDelegation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { delegator, action, type_name, level, recipient, scope, routing } = self;
        let (verb, to) = match action {
            DelegationAction::Grant => ("grant", "to"),
            DelegationAction::Revoke => ("revoke", "from"),
        };
        write!(f, "{delegator}, {verb} {type_name}/{level} {scope}, {to} {recipient}")?;
        f.write_str(routed(*routing))
    }
}

// === impl OwnedRecipient ===

impl OwnedRecipient {
    /// Reads the written form of an actor. The ids may be malformed.
    ///
    /// # Errors
    /// [`FormError`] if it is of none of the forms.
    pub fn parse(text: &str) -> Result<Self, FormError> {
        let unknown = || FormError::Recipient { shown: shown(text) };
        let (kind, id) = text.split_once(':').ok_or_else(unknown)?;
        let id = id.to_owned();
        Ok(match kind {
            "person" => Self::Person(id),
            "account" => Self::Account(id),
            "group" => Self::Group(id),
            "set_group" => Self::SetGroup(id),
            "business_role" => {
                let (role, location) = id
                    .split_once('@')
                    .ok_or_else(|| FormError::NoLocation { shown: shown(text) })?;
                Self::BusinessRoleLocation(role.to_owned(), location.to_owned())
            }
            "management_role" => Self::ManagementRole(id),
            "management_role_definition" => Self::ManagementRoleDefinition(id),
            _ => return Err(unknown()),
        })
    }

    /// The recipient as the engine takes it.
    #[must_use]
    pub fn as_ref(&self) -> RecipientRef<'_> {
        match self {
            Self::Person(id) => RecipientRef::Person(id),
            Self::Account(id) => RecipientRef::Account(id),
            Self::Group(id) => RecipientRef::Group(id),
            Self::SetGroup(id) => RecipientRef::SetGroup(id),
            Self::BusinessRoleLocation(role, location) => {
                RecipientRef::BusinessRoleLocation(role, location)
            }
            Self::ManagementRole(id) => RecipientRef::ManagementRole(id),
            Self::ManagementRoleDefinition(id) => RecipientRef::ManagementRoleDefinition(id),
        }
    }
}

impl fmt::Display for OwnedRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(id) => write!(f, "person:{id}"),
            Self::Account(id) => write!(f, "account:{id}"),
            Self::Group(id) => write!(f, "group:{id}"),
            Self::SetGroup(id) => write!(f, "set_group:{id}"),
            Self::BusinessRoleLocation(role, location) => {
                write!(f, "business_role:{role}@{location}")
            }
            Self::ManagementRole(id) => write!(f, "management_role:{id}"),
            Self::ManagementRoleDefinition(id) => write!(f, "management_role_definition:{id}"),
        }
    }
}

// === impl OwnedScope ===

impl OwnedScope {
    /// The scope as the engine takes it.
    #[must_use]
    pub fn as_ref(&self) -> ScopeRef<'_> {
        match self {
            Self::On(object) => ScopeRef::On(object.as_ref()),
            Self::In(location) => ScopeRef::In(location),
            Self::Relative(relative) => ScopeRef::Relative(*relative),
        }
    }
}

impl fmt::Display for OwnedScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On(object) => write!(f, "on {object}"),
            Self::In(location) => write!(f, "in {location}"),
            Self::Relative(relative) => write!(f, "relative {}", relative.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipient_reads_back_as_written() {
        for text in [
            "person:ana",
            "account:corp/ana",
            "group:",
            "set_group:a:b",
            "business_role:teller@zu@rich",
            "management_role:m",
            "management_role_definition:d",
        ] {
            assert_eq!(OwnedRecipient::parse(text).map(|it| it.to_string()), Ok(text.to_owned()));
        }
        assert!(matches!(OwnedRecipient::parse("ana"), Err(FormError::Recipient { .. })));
        assert!(matches!(OwnedRecipient::parse("user:a"), Err(FormError::Recipient { .. })));
        assert!(matches!(
            OwnedRecipient::parse("business_role:teller"),
            Err(FormError::NoLocation { .. })
        ));
    }
}
