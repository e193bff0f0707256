//! The facts about privileged sessions (semantics, section 7): permission levels, what computers
//! offer, and who is eligible.

use std::collections::BTreeMap;
use std::fmt;

use crate::actor::ActorRef;
use crate::id::{GroupId, LocationId, ObjectId, PermissionLevelId};
use crate::time::Window;

/// The type of the resources that sessions are opened on.
pub const COMPUTER: &str = "Computer";

/// The account store on which just-in-time accounts can be made (P4).
pub const LOCAL_WINDOWS_SERVER: &str = "local_windows_server";

/// How long a session lasts at most unless the computer says otherwise: 8 hours.
pub const DEFAULT_MAX_SESSION_MICROS: i64 = 8 * 3600 * 1_000_000;

/// What a person can be privileged to on a computer, such as local administration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermissionLevel {
    /// Names the level; never `none`.
    pub id: PermissionLevelId,
    /// Display name.
    pub name: Option<String>,
}

/// Just-in-time accounts on a computer (P4, P7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Jit {
    /// Whether accounts are made for sessions.
    pub enabled: bool,
    /// Whether the account is deleted when the session ends.
    pub delete_on_end: bool,
    /// Whether an account kept from an earlier session is used again.
    pub reuse_existing: bool,
}

/// A computer's settings for privileged sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Psm {
    /// The computer: the id of a resource of type `Computer`.
    pub computer: ObjectId,
    /// Whether sessions can be opened at all (P2).
    pub enabled: bool,
    /// Whether sessions without a permission level can be opened (P8).
    pub allow_unprivileged: bool,
    /// Where the computer's accounts are kept; `local_windows_server` can make them just in time.
    pub account_store: Option<String>,
    /// How long a session lasts at most, in microseconds; positive.
    pub max_session_micros: i64,
    /// How many sessions may be open at once; 0 is no limit (P5).
    pub max_concurrent: u32,
    /// Just-in-time accounts.
    pub jit: Jit,
    /// The permission levels offered, each with the native group that it maps to, or not mapped yet.
    pub levels: BTreeMap<PermissionLevelId, Option<GroupId>>,
}

/// What an eligibility says (P3, P6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EligibilityKind {
    /// May ask; needs an approval.
    Eligible,
    /// May open without an approval.
    PreApproved,
    /// As `eligible`, and shown first.
    Suggested,
    /// May not, whatever else says so.
    Excluded,
    /// The record of an approval: of one person, on one computer, until some time.
    Approved,
}

impl EligibilityKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Eligible, Self::PreApproved, Self::Suggested, Self::Excluded, Self::Approved];

    /// Whether it makes somebody eligible (P3); the record of an approval does not.
    #[must_use]
    pub const fn makes_eligible(self) -> bool {
        match self {
            Self::Eligible | Self::PreApproved | Self::Suggested => true,
            Self::Excluded | Self::Approved => false,
        }
    }

    /// The word that bundles use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eligible => "eligible",
            Self::PreApproved => "pre_approved",
            Self::Suggested => "suggested",
            Self::Excluded => "excluded",
            Self::Approved => "approved",
        }
    }

    /// The kind of this word, if it is one.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Which computers an eligibility speaks of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EligibilityScope {
    /// One computer, by its id.
    On(ObjectId),
    /// Every computer placed in or below a location.
    In(LocationId),
}

impl fmt::Display for EligibilityScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On(computer) => write!(f, "on {COMPUTER}:{computer}"),
            Self::In(location) => write!(f, "in {location}"),
        }
    }
}

/// Names an eligibility: there is at most one of each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EligibilityKey {
    /// Who.
    pub to: ActorRef,
    /// For which permission level.
    pub level: PermissionLevelId,
    /// On which computers.
    pub scope: EligibilityScope,
    /// What it says.
    pub kind: EligibilityKind,
}

impl fmt::Display for EligibilityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} for {} {}", self.kind.as_str(), self.to, self.level, self.scope)
    }
}

/// Says who may open sessions with a permission level where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eligibility {
    /// Who, what and where.
    pub key: EligibilityKey,
    /// When it counts.
    pub window: Window,
}
