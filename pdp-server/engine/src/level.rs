//! The facts about Access Levels: definitions and their assignments (semantics, sections 3 and 4).

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest, Sha256};

use crate::actor::ActorRef;
use crate::id::{AssignmentId, IdError, LevelName, LocationId, TypeName};
use crate::permission::{Pattern, PermissionKind, Qualifier};
use crate::resource::{BuiltInType, ResourceRef};
use crate::time::Window;

/// Names an Access Level Definition. Written `Type/Name`; only the first slash separates.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LevelRef {
    /// The resource type it belongs to.
    pub type_name: TypeName,
    /// Its name within the type.
    pub name: LevelName,
}

/// Why a string does not name an Access Level Definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LevelRefError {
    /// There is no slash.
    #[error("`{shown}` does not name an access level; write `Type/Name`")]
    NoType {
        /// The string as given.
        shown: String,
    },
    /// The type or the name is not a name.
    #[error(transparent)]
    Id(#[from] IdError),
}

impl LevelRef {
    /// Reads `Type/Name`.
    ///
    /// # Errors
    /// [`LevelRefError`] says what was expected.
    pub fn parse(text: &str) -> Result<Self, LevelRefError> {
        let (type_name, name) = text.split_once('/').ok_or_else(|| LevelRefError::NoType {
            shown: text.chars().take(300).collect::<String>().escape_debug().to_string(),
        })?;
        Ok(Self { type_name: TypeName::new(type_name)?, name: LevelName::new(name)? })
    }

    /// The level's token in delegation operations: the ASCII alphanumeric words of its name,
    /// joined, each word's first letter upper-cased (`Co-Owner` is `CoOwner`; section 5).
    #[must_use]
    pub fn token(&self) -> String {
        let mut token = String::with_capacity(self.name.as_str().len());
        for word in self.name.as_str().split(|c: char| !c.is_ascii_alphanumeric()) {
            let mut letters = word.chars();
            token.extend(letters.next().map(|first| first.to_ascii_uppercase()));
            token.extend(letters);
        }
        token
    }
}

impl fmt::Display for LevelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.type_name, self.name)
    }
}

/// An Access Level Definition: what it says about the operations and rights of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLevel {
    /// Its name.
    pub name: LevelRef,
    /// What it says about operations.
    pub operations: BTreeMap<Pattern, Qualifier>,
    /// What it says about native rights; only `allowed` and `denied` (Q5).
    pub rights: BTreeMap<Pattern, Qualifier>,
}

impl AccessLevel {
    /// What it says about the permissions of one kind.
    #[must_use]
    pub fn qualifiers(&self, kind: PermissionKind) -> &BTreeMap<Pattern, Qualifier> {
        match kind {
            PermissionKind::Operation => &self.operations,
            PermissionKind::Right => &self.rights,
        }
    }

    /// Whether it denies anything.
    #[must_use]
    pub fn denies(&self) -> bool {
        self.operations.values().chain(self.rights.values()).any(|q| *q == Qualifier::Denied)
    }
}

/// Scopes that are resolved against the subject (C3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relative {
    /// The subject's own Person.
    Myself,
    /// The subject's manager's Person.
    Manager,
    /// People whose manager is the subject.
    DirectReports,
    /// Accounts that the subject owns.
    OwnAccounts,
    /// Accounts owned by the subject's direct reports.
    AccountsOfDirectReports,
    /// Resources in or below the location of one of the subject's own positions.
    InMyLocations,
    /// Locations where something the subject counts as holds a position, or above one.
    MyLocationsAndAbove,
    /// Locations where something the subject counts as holds a position, or below one.
    MyLocationsAndBelow,
    /// Resources in or below the organization of one of the subject's own positions.
    InMyOrganization,
}

impl Relative {
    /// Every relative scope.
    pub const ALL: [Self; 9] = [
        Self::Myself,
        Self::Manager,
        Self::DirectReports,
        Self::OwnAccounts,
        Self::AccountsOfDirectReports,
        Self::InMyLocations,
        Self::MyLocationsAndAbove,
        Self::MyLocationsAndBelow,
        Self::InMyOrganization,
    ];

    /// The word that bundles use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Myself => "self",
            Self::Manager => "manager",
            Self::DirectReports => "direct_reports",
            Self::OwnAccounts => "own_accounts",
            Self::AccountsOfDirectReports => "accounts_of_direct_reports",
            Self::InMyLocations => "in_my_locations",
            Self::MyLocationsAndAbove => "my_locations_and_above",
            Self::MyLocationsAndBelow => "my_locations_and_below",
            Self::InMyOrganization => "in_my_organization",
        }
    }

    /// The type that the level has to be of, if the scope goes with one only (C0).
    #[must_use]
    pub const fn needs(self) -> Option<BuiltInType> {
        match self {
            Self::Myself | Self::Manager | Self::DirectReports => Some(BuiltInType::Person),
            Self::OwnAccounts | Self::AccountsOfDirectReports => Some(BuiltInType::UserAccount),
            Self::MyLocationsAndAbove | Self::MyLocationsAndBelow => Some(BuiltInType::Location),
            Self::InMyLocations | Self::InMyOrganization => None,
        }
    }

    /// The relative scope of this word, if it is one.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|relative| relative.as_str() == word)
    }
}

/// What an assignment covers (C0): exactly one of these.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// One resource (C1).
    On(ResourceRef),
    /// Every resource of the level's type placed in or below a location (C2).
    In(LocationId),
    /// Resources that stand in a relation to the subject (C3).
    Relative(Relative),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On(resource) => write!(f, "on {resource}"),
            Self::In(location) => write!(f, "in {location}"),
            Self::Relative(relative) => write!(f, "relative {}", relative.as_str()),
        }
    }
}

/// Gives an actor an Access Level over a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Names the assignment.
    pub id: AssignmentId,
    /// The assignee.
    pub to: ActorRef,
    /// The definition.
    pub level: LevelRef,
    /// What it covers.
    pub scope: Scope,
    /// When it counts.
    pub window: Window,
}

impl Assignment {
    /// The id of an assignment that was written without one: `auto-` and 128 bits of a SHA-256
    /// over the rest, so that the same assignment always has the same id.
    ///
    /// # Errors
    /// None in practice: the form is always a name.
    pub fn derived_id(
        to: &ActorRef,
        level: &LevelRef,
        scope: &Scope,
        window: &Window,
    ) -> Result<AssignmentId, IdError> {
        let mut hash = Sha256::new();
        // INVARIANT: names hold no control characters, so a newline cannot be part of one.
        hash.update(format!("{to}\n{level}\n{scope}\n"));
        for bound in [window.from, window.until] {
            hash.update([u8::from(bound.is_some())]);
            hash.update(bound.map_or(0, super::time::Timestamp::as_micros).to_be_bytes());
        }
        let hex: String = hash.finalize().iter().take(16).map(|b| format!("{b:02x}")).collect();
        AssignmentId::new(format!("auto-{hex}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_joins_the_words_of_the_name() {
        for (name, token) in [
            ("Co-Owner", "CoOwner"),
            ("Send As in Outlook", "SendAsInOutlook"),
            ("use", "Use"),
            ("v2 reader", "V2Reader"),
            ("--", ""),
            ("lève", "LVe"),
        ] {
            let level = LevelRef::parse(&format!("Report/{name}")).unwrap();
            assert_eq!(level.token(), token, "{name}");
        }
    }

    #[test]
    fn a_derived_id_depends_on_everything() {
        let to = ActorRef::parse("person:ana").unwrap();
        let level = LevelRef::parse("Report/Viewer").unwrap();
        let scope = Scope::Relative(Relative::InMyLocations);
        let id = |to: &ActorRef, level: &LevelRef, scope: &Scope, window: &Window| {
            Assignment::derived_id(to, level, scope, window).unwrap()
        };
        let base = id(&to, &level, &scope, &Window::ALWAYS);
        assert_eq!(base.as_str(), "auto-984099c312948c6cf7d50313ba9adc19");
        let until = Some(crate::time::Timestamp::from_micros(0));
        let others = [
            id(&ActorRef::parse("group:ana").unwrap(), &level, &scope, &Window::ALWAYS),
            id(&to, &LevelRef::parse("Report/Editor").unwrap(), &scope, &Window::ALWAYS),
            id(&to, &level, &Scope::In(LocationId::new("zurich").unwrap()), &Window::ALWAYS),
            id(&to, &level, &scope, &Window { from: None, until }),
            id(&to, &level, &scope, &Window { from: until, until: None }),
        ];
        assert!(others.iter().all(|other| *other != base));
    }
}
