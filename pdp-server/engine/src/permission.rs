//! What a definition says about an operation or a right, and the one way such sayings merge.

use crate::id::PermissionName;

/// What an Access Level Definition says about one operation or right.
///
/// INVARIANT: declared weakest first. The strongest saying decides (rules Q1 to Q4), so merging
/// two qualifiers is taking the greater one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Qualifier {
    /// Says nothing either way; counts as not mentioned (Q4).
    Unassigned = 1,
    /// Denies unless something else allows (Q3).
    Disabled = 2,
    /// Grants unless something denies (Q2).
    Allowed = 3,
    /// Denies, whatever else allows (Q1).
    Denied = 4,
}

impl Qualifier {
    /// Every qualifier, weakest first.
    pub const ALL: [Self; 4] = [Self::Unassigned, Self::Disabled, Self::Allowed, Self::Denied];

    /// The word that bundles use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unassigned => "unassigned",
            Self::Disabled => "disabled",
            Self::Allowed => "allowed",
            Self::Denied => "denied",
        }
    }
}

/// Operations and native rights are separate name spaces (Q5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PermissionKind {
    /// Something done through the platform.
    Operation,
    /// A native permission of the protected system.
    Right,
}

impl PermissionKind {
    /// `operation` or `right`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operation => "operation",
            Self::Right => "right",
        }
    }
}

/// Which operations (or rights) a line of a definition speaks of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pattern {
    /// `*`: every one that the resource type declares and that the definition does not name.
    All,
    /// One, by name.
    Name(PermissionName),
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Name(name) => f.write_str(name.as_str()),
        }
    }
}
