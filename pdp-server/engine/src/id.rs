//! The names things go by outside the engine: one newtype per kind of thing.
//!
//! A name is checked once, where it enters; whoever holds one of these types holds a well-formed
//! name. Cloning is a reference count. Nothing here knows what a name stands for.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The longest name accepted, in bytes of UTF-8 (semantics, section 1).
pub const MAX_ID_BYTES: usize = 256;

/// The longest name of a resource type, in bytes (semantics, section 1).
pub const MAX_TYPE_NAME_BYTES: usize = 64;

/// Why a string is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The string is empty.
    #[error("an empty {what}; give it 1 to {MAX_ID_BYTES} bytes")]
    Empty {
        /// What the name was to be.
        what: &'static str,
    },
    /// The string is longer than [`MAX_ID_BYTES`].
    #[error("a {what} of {actual} bytes; the limit is {MAX_ID_BYTES}")]
    TooLong {
        /// What the name was to be.
        what: &'static str,
        /// Its length in bytes.
        actual: usize,
    },
    /// The string holds a control character.
    #[error("the {what} `{shown}` holds a control character")]
    ControlCharacter {
        /// What the name was to be.
        what: &'static str,
        /// The string, its control characters escaped.
        shown: String,
    },
    /// The string holds a character that this kind of name reserves.
    #[error("the {what} `{shown}` may not hold `{reserved}`")]
    Reserved {
        /// What the name was to be.
        what: &'static str,
        /// The string.
        shown: String,
        /// The reserved text.
        reserved: &'static str,
    },
    /// The string is not the name of a resource type.
    #[error(
        "`{shown}` is not a resource type name: a letter, then up to {} letters, digits, `_` or `-`",
        MAX_TYPE_NAME_BYTES - 1
    )]
    NotATypeName {
        /// The string, its control characters escaped.
        shown: String,
    },
}

/// Whether `id` may name a thing: 1 to 256 bytes, no control characters.
///
/// # Errors
/// Says which of the two it breaks; `what` is the kind of name for the message.
pub fn validate_id(what: &'static str, id: &str) -> Result<(), IdError> {
    if id.is_empty() {
        return Err(IdError::Empty { what });
    }
    if id.len() > MAX_ID_BYTES {
        return Err(IdError::TooLong { what, actual: id.len() });
    }
    // Most names are ASCII, which is quicker to look through.
    let plain = id.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if !plain && id.chars().any(char::is_control) {
        return Err(IdError::ControlCharacter { what, shown: id.escape_debug().to_string() });
    }
    Ok(())
}

fn validate_business_role(what: &'static str, id: &str) -> Result<(), IdError> {
    validate_id(what, id)?;
    if id.contains('@') {
        return Err(IdError::Reserved { what, shown: id.to_owned(), reserved: "@" });
    }
    Ok(())
}

/// Whether `name` may name a resource type: `[A-Za-z][A-Za-z0-9_-]{0,63}`, not `resource_group`.
///
/// # Errors
/// Says what a type name looks like.
pub fn validate_type_name(_what: &'static str, name: &str) -> Result<(), IdError> {
    let mut bytes = name.bytes();
    let starts = bytes.next().is_some_and(|b| b.is_ascii_alphabetic());
    let goes_on = bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if starts && goes_on && name.len() <= MAX_TYPE_NAME_BYTES && name != "resource_group" {
        return Ok(());
    }
    let shown = name.chars().take(80).collect::<String>().escape_debug().to_string();
    Err(IdError::NotATypeName { shown })
}

fn validate_permission(what: &'static str, id: &str) -> Result<(), IdError> {
    validate_id(what, id)?;
    if id == "*" {
        return Err(IdError::Reserved { what, shown: id.to_owned(), reserved: "*" });
    }
    Ok(())
}

fn validate_permission_level(what: &'static str, id: &str) -> Result<(), IdError> {
    validate_id(what, id)?;
    if id == "none" {
        return Err(IdError::Reserved { what, shown: id.to_owned(), reserved: "none" });
    }
    Ok(())
}

/// How many names are kept to be shared: those of every type, level and place, as a rule.
const RECENT_NAMES: usize = 1 << 13;

/// Names that were met lately, so that the same characters are kept once where many facts are read
/// that name the same things. It keeps so many and no more.
#[derive(Debug)]
pub struct RecentNames(Vec<Option<Arc<str>>>);

// === impl RecentNames ===

impl Default for RecentNames {
    fn default() -> Self {
        Self(vec![None; RECENT_NAMES])
    }
}

impl RecentNames {
    fn share(&mut self, id: &str) -> Arc<str> {
        let spread = |hash: usize, byte: u8| (hash ^ usize::from(byte)).wrapping_mul(0x0100_0193);
        let hash = id.bytes().fold(0x811c_9dc5, spread);
        let place = (hash ^ (hash >> 15)) % RECENT_NAMES;
        let Some(slot) = self.0.get_mut(place) else { return Arc::from(id) };
        match slot {
            Some(known) if **known == *id => Arc::clone(known),
            _ => Arc::clone(slot.insert(Arc::from(id))),
        }
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $what:literal, $validate:path;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Eq)]
        pub struct $name(Arc<str>);

        // Names are shared wherever that is cheap: then looking at the characters is saved.
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                if Arc::ptr_eq(&self.0, &other.0) {
                    return Ordering::Equal;
                }
                self.0.cmp(&other.0)
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.0.hash(state);
            }
        }

        impl $name {
            /// Checks and takes a name.
            ///
            /// # Errors
            /// [`IdError`] says what is wrong with the string.
            pub fn new(id: impl AsRef<str>) -> Result<Self, IdError> {
                let id = id.as_ref();
                $validate($what, id)?;
                Ok(Self(Arc::from(id)))
            }

            /// Checks and takes a name, sharing its characters with the same name where that was
            /// met lately.
            ///
            /// # Errors
            /// [`IdError`] says what is wrong with the string.
            pub fn shared(id: &str, recent: &mut RecentNames) -> Result<Self, IdError> {
                $validate($what, id)?;
                Ok(Self(recent.share(id)))
            }

            /// The name as written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The same characters, shared and not copied.
            #[must_use]
            pub fn to_shared(&self) -> Arc<str> {
                Arc::clone(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), &*self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )+};
}

names! {
    /// A person.
    PersonId, "person id", validate_id;
    /// An account, which is also a resource of type `UserAccount`.
    AccountId, "account id", validate_id;
    /// A group.
    GroupId, "group id", validate_id;
    /// A set group.
    SetGroupId, "set group id", validate_id;
    /// A business role; it contains no `@`.
    BusinessRoleId, "business role id", validate_business_role;
    /// A location.
    LocationId, "location id", validate_id;
    /// A management role.
    ManagementRoleId, "management role id", validate_id;
    /// A management role definition.
    ManagementRoleDefinitionId, "management role definition id", validate_id;
    /// A resource's id within its type.
    ObjectId, "resource id", validate_id;
    /// A resource type.
    TypeName, "resource type", validate_type_name;
    /// An Access Level Definition's name within its resource type.
    LevelName, "access level name", validate_id;
    /// An operation or a native right; never `*`.
    PermissionName, "operation or right name", validate_permission;
    /// An assignment.
    AssignmentId, "assignment id", validate_id;
    /// A resource group.
    ResourceGroupId, "resource group id", validate_id;
    /// A permission level; never `none`.
    PermissionLevelId, "permission level id", validate_permission_level;
    /// A session.
    SessionId, "session id", validate_id;
    /// A tenant.
    TenantId, "tenant id", validate_id;
}

impl ObjectId {
    /// The id of an actor, role or location as the id of a resource of its built-in type.
    pub(crate) fn from_shared(id: Arc<str>) -> Self {
        Self(id)
    }
}

impl AccountId {
    /// The name of no account: no id is empty. The policy keeps a row under it for every account
    /// that exists besides the policy.
    pub(crate) fn besides_the_policy() -> Self {
        Self(Arc::from(""))
    }
}

impl TypeName {
    /// The type of the resources that sessions are opened on.
    #[must_use]
    pub fn computer() -> Self {
        Self(Arc::from(crate::psm::COMPUTER))
    }
}

impl crate::resource::BuiltInType {
    /// The type's name, as a name.
    #[must_use]
    pub fn type_name(self) -> TypeName {
        TypeName(Arc::from(self.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_1_to_256_bytes_and_no_control_character() {
        assert!(PersonId::new("ana").is_ok());
        assert!(PersonId::new("é".repeat(128)).is_ok());
        assert_eq!(PersonId::new(""), Err(IdError::Empty { what: "person id" }));
        assert_eq!(
            PersonId::new("é".repeat(129)),
            Err(IdError::TooLong { what: "person id", actual: 258 })
        );
        assert!(matches!(PersonId::new("a\u{7f}"), Err(IdError::ControlCharacter { .. })));
        assert!(matches!(PersonId::new("a\u{85}b"), Err(IdError::ControlCharacter { .. })));
    }

    #[test]
    fn reserved_characters_are_refused_where_they_would_be_ambiguous() {
        assert!(matches!(BusinessRoleId::new("a@b"), Err(IdError::Reserved { .. })));
        assert!(LocationId::new("a@b").is_ok());
        assert!(matches!(PermissionName::new("*"), Err(IdError::Reserved { .. })));
    }

    #[test]
    fn names_met_lately_share_their_characters() {
        let mut recent = RecentNames::default();
        let first = LocationId::shared("zurich", &mut recent).unwrap();
        let again = LocationId::shared("zurich", &mut recent).unwrap();
        assert!(Arc::ptr_eq(&first.0, &again.0));
        assert!(matches!(
            LocationId::shared("a\n", &mut recent),
            Err(IdError::ControlCharacter { .. })
        ));
        // Whatever was met in between, a name is itself.
        for number in 0..4 * RECENT_NAMES {
            let name = format!("n{number}");
            assert_eq!(PersonId::shared(&name, &mut recent).unwrap().as_str(), name);
        }
        assert_eq!(LocationId::shared("zurich", &mut recent).unwrap(), first);
    }

    #[test]
    fn a_type_name_is_a_short_word() {
        assert!(TypeName::new("Report").is_ok());
        assert!(TypeName::new("A".repeat(64)).is_ok());
        for bad in ["", "9a", "a b", "resource_group", "é", "a:b", &"A".repeat(65)] {
            assert!(matches!(TypeName::new(bad), Err(IdError::NotATypeName { .. })), "{bad}");
        }
    }
}
