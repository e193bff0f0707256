//! Questions and answers: what a caller asks of a snapshot, and what a decision says.

use crate::id::{IdError, validate_id, validate_type_name};
use crate::permission::PermissionKind;

/// A tenant's policy counts its changes: 0 is the empty policy, then 1, 2, 3 (semantics, section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(u64);

impl Revision {
    /// The policy before its first change.
    pub const ZERO: Self = Self(0);

    /// The revision of this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Who asks: only people and accounts do (semantics, section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectRef<'a> {
    /// A person, by id.
    Person(&'a str),
    /// An account, by id.
    Account(&'a str),
}

impl<'a> SubjectRef<'a> {
    /// The id.
    #[must_use]
    pub const fn id(self) -> &'a str {
        match self {
            Self::Person(id) | Self::Account(id) => id,
        }
    }
}

/// What is asked about, by type and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef<'a> {
    /// The resource type's name.
    pub type_name: &'a str,
    /// The id within the type.
    pub id: &'a str,
}

impl std::fmt::Display for ObjectRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.type_name, self.id)
    }
}

/// What the subject would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PermissionRef<'a> {
    /// An operation or a right (Q5).
    pub kind: PermissionKind,
    /// Its name.
    pub name: &'a str,
}

/// May this subject do this to that? Names are borrowed: asking copies nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question<'a> {
    /// Who.
    pub subject: SubjectRef<'a>,
    /// What.
    pub permission: PermissionRef<'a>,
    /// To what.
    pub resource: ObjectRef<'a>,
    /// The second object of a dual check (Q7).
    pub counterpart: Option<ObjectRef<'a>>,
    /// Whether a dual check may answer `REQUIRES_APPROVAL`; without routing that becomes `DENY`.
    pub routing: bool,
}

impl<'a> Question<'a> {
    /// A question about one object.
    #[must_use]
    pub const fn new(
        subject: SubjectRef<'a>,
        permission: PermissionRef<'a>,
        resource: ObjectRef<'a>,
    ) -> Self {
        Self { subject, permission, resource, counterpart: None, routing: true }
    }

    /// Whether every name could name something.
    ///
    /// # Errors
    /// [`Malformed`] names the first part that could not: that is the caller's mistake and not a
    /// decision (Q6).
    pub fn validate(&self) -> Result<(), Malformed> {
        let part = |field, outcome: Result<(), IdError>| {
            outcome.map_err(|source| Malformed::Name { field, source })
        };
        let what = match self.subject {
            SubjectRef::Person(_) => "person id",
            SubjectRef::Account(_) => "account id",
        };
        part("subject", validate_id(what, self.subject.id()))?;
        part("permission", validate_id(self.permission.kind.as_str(), self.permission.name))?;
        part("resource", validate_object(self.resource))?;
        if let Some(counterpart) = self.counterpart {
            if self.permission.kind == PermissionKind::Right {
                return Err(Malformed::RightWithCounterpart);
            }
            part("counterpart", validate_object(counterpart))?;
        }
        Ok(())
    }
}

pub(crate) fn validate_object(object: ObjectRef<'_>) -> Result<(), IdError> {
    validate_type_name("resource type", object.type_name)?;
    validate_id("resource id", object.id)
}

/// A question that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A name is not well formed.
    #[error("{source}")]
    Name {
        /// `subject`, `permission`, `resource` or `counterpart`.
        field: &'static str,
        /// What is wrong with it.
        source: IdError,
    },
    /// The scope is not one that the level's type takes (C0, D0).
    #[error("`{scope}` does not go with a level of type `{type_name}`")]
    ScopeType {
        /// The scope as asked.
        scope: String,
        /// The level's type.
        type_name: String,
    },
    /// Not one of the actions on vault entities, or not one that this entity takes (V2, V5).
    #[error("`{action}` is not an action on {on}; those are {actions}")]
    UnknownAction {
        /// The action as asked.
        action: String,
        /// What it was asked of.
        on: &'static str,
        /// The actions.
        actions: &'static str,
    },
    /// A dual check asks an operation; rights have none (Q7).
    #[error("a counterpart goes with an operation, not with a right")]
    RightWithCounterpart,
}

impl Malformed {
    /// The part of the question that is wrong.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Name { field, .. } => field,
            Self::ScopeType { .. } => "scope",
            Self::UnknownAction { .. } => "permission",
            Self::RightWithCounterpart => "counterpart",
        }
    }
}

/// What a decision comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Go ahead.
    Allow,
    /// Do not.
    Deny,
    /// Not yet: somebody else has to agree (Q7).
    RequiresApproval,
}

impl Effect {
    /// Every effect.
    pub const ALL: [Self; 3] = [Self::Allow, Self::Deny, Self::RequiresApproval];

    /// The effect's code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "ALLOW",
            Self::Deny => "DENY",
            Self::RequiresApproval => "REQUIRES_APPROVAL",
        }
    }
}

/// Why: exactly one a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Something allows, nothing denies (Q2, Q7).
    Granted,
    /// Something denies (Q1).
    ExplicitDeny,
    /// Nothing allows, and something disables (Q3).
    Disabled,
    /// Nothing speaks for it (Q4).
    NotGranted,
    /// No such person or account (Q6).
    UnknownSubject,
    /// The person, the account or the account's owner is disabled (A8).
    SubjectDisabled,
    /// No such resource (Q6).
    UnknownResource,
    /// The resource's type declares no such operation or right (Q6).
    UnknownPermission,
    /// Dual check: allowed of the counterpart only (Q7).
    MissingOnResource,
    /// Dual check: allowed of the resource only (Q7).
    MissingOnCounterpart,
    /// Dual check: allowed of neither (Q7).
    MissingOnBoth,
    /// Nobody hands access to themselves (Q7, D4).
    SelfDelegation,
    /// No such Access Level Definition (D0).
    UnknownLevel,
    /// No such location (D0).
    UnknownLocation,
    /// No such recipient (D0).
    UnknownRecipient,
    /// Delegation: held of the resource only (D5).
    MissingOnRecipient,
    /// Nothing is shared with the subject (V7).
    NotShared,
    /// The share that decides does not give the action (V5, V7).
    LevelTooLow,
    /// The platform has no remote apps (V6).
    RemoteAppUnsupported,
    /// The subject may not use remote apps (V6).
    RemoteAppNotPrivileged,
    /// No computer, or no sessions on it (P2).
    PsmDisabled,
    /// The computer does not offer the permission level (P3).
    LevelNotOffered,
    /// The permission level has no native group on the computer yet (P3).
    LevelNotMapped,
    /// Somebody excluded the person (P3).
    Excluded,
    /// Nothing makes the person eligible (P3).
    NotEligible,
    /// The person owns no enabled account on the computer (P4).
    NoAccount,
    /// As many sessions are open as the computer takes (P5).
    SessionLimit,
    /// Eligible, and somebody has to agree (P6).
    NeedsApproval,
    /// The computer takes no sessions without a permission level (P8).
    UnprivilegedNotAllowed,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 29] = [
        Self::Granted,
        Self::ExplicitDeny,
        Self::Disabled,
        Self::NotGranted,
        Self::UnknownSubject,
        Self::SubjectDisabled,
        Self::UnknownResource,
        Self::UnknownPermission,
        Self::MissingOnResource,
        Self::MissingOnCounterpart,
        Self::MissingOnBoth,
        Self::SelfDelegation,
        Self::UnknownLevel,
        Self::UnknownLocation,
        Self::UnknownRecipient,
        Self::MissingOnRecipient,
        Self::NotShared,
        Self::LevelTooLow,
        Self::RemoteAppUnsupported,
        Self::RemoteAppNotPrivileged,
        Self::PsmDisabled,
        Self::LevelNotOffered,
        Self::LevelNotMapped,
        Self::Excluded,
        Self::NotEligible,
        Self::NoAccount,
        Self::SessionLimit,
        Self::NeedsApproval,
        Self::UnprivilegedNotAllowed,
    ];

    /// The reason's code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "GRANTED",
            Self::ExplicitDeny => "EXPLICIT_DENY",
            Self::Disabled => "DISABLED",
            Self::NotGranted => "NOT_GRANTED",
            Self::UnknownSubject => "UNKNOWN_SUBJECT",
            Self::SubjectDisabled => "SUBJECT_DISABLED",
            Self::UnknownResource => "UNKNOWN_RESOURCE",
            Self::UnknownPermission => "UNKNOWN_PERMISSION",
            Self::MissingOnResource => "MISSING_ON_RESOURCE",
            Self::MissingOnCounterpart => "MISSING_ON_COUNTERPART",
            Self::MissingOnBoth => "MISSING_ON_BOTH",
            Self::SelfDelegation => "SELF_DELEGATION",
            Self::UnknownLevel => "UNKNOWN_LEVEL",
            Self::UnknownLocation => "UNKNOWN_LOCATION",
            Self::UnknownRecipient => "UNKNOWN_RECIPIENT",
            Self::MissingOnRecipient => "MISSING_ON_RECIPIENT",
            Self::NotShared => "NOT_SHARED",
            Self::LevelTooLow => "LEVEL_TOO_LOW",
            Self::RemoteAppUnsupported => "REMOTE_APP_UNSUPPORTED",
            Self::RemoteAppNotPrivileged => "REMOTE_APP_NOT_PRIVILEGED",
            Self::PsmDisabled => "PSM_DISABLED",
            Self::LevelNotOffered => "LEVEL_NOT_OFFERED",
            Self::LevelNotMapped => "LEVEL_NOT_MAPPED",
            Self::Excluded => "EXCLUDED",
            Self::NotEligible => "NOT_ELIGIBLE",
            Self::NoAccount => "NO_ACCOUNT",
            Self::SessionLimit => "SESSION_LIMIT",
            Self::NeedsApproval => "NEEDS_APPROVAL",
            Self::UnprivilegedNotAllowed => "UNPRIVILEGED_NOT_ALLOWED",
        }
    }
}

/// An answer. A value with its reason, never a bool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What it comes to.
    pub effect: Effect,
    /// Why.
    pub reason: Reason,
    /// The policy revision it was computed on.
    pub revision: Revision,
}

impl Decision {
    /// Whether to go ahead: only `ALLOW` is.
    #[must_use]
    pub const fn is_allow(&self) -> bool {
        matches!(self.effect, Effect::Allow)
    }
}
