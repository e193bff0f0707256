//! Why a decision is what it is.

use std::fmt;

#[cfg(feature = "local")]
use pdp_engine::query;
use pdp_proto::v1;

/// Why: exactly one a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Something allows and nothing denies.
    Granted,
    /// Something denies; that beats every allow.
    ExplicitDeny,
    /// Nothing allows, and something disables.
    Disabled,
    /// Nothing speaks for it.
    NotGranted,
    /// No such person or account.
    UnknownSubject,
    /// The person, the account or the account's owner is disabled.
    SubjectDisabled,
    /// No such resource.
    UnknownResource,
    /// The resource's type declares no such operation or right.
    UnknownPermission,
    /// Dual check: allowed of the counterpart only.
    MissingOnResource,
    /// Dual check: allowed of the resource only.
    MissingOnCounterpart,
    /// Dual check: allowed of neither.
    MissingOnBoth,
    /// Nobody hands access to themselves.
    SelfDelegation,
    /// No such Access Level Definition.
    UnknownLevel,
    /// No such location.
    UnknownLocation,
    /// No such recipient.
    UnknownRecipient,
    /// Delegation: held of the resource only.
    MissingOnRecipient,
    /// Nothing is shared with the subject.
    NotShared,
    /// The share that decides does not give the action.
    LevelTooLow,
    /// The platform has no remote apps.
    RemoteAppUnsupported,
    /// The subject may not use remote apps.
    RemoteAppNotPrivileged,
    /// No computer, or no sessions on it.
    PsmDisabled,
    /// The computer does not offer the permission level.
    LevelNotOffered,
    /// The permission level has no native group on the computer yet.
    LevelNotMapped,
    /// Somebody excluded the person.
    Excluded,
    /// Nothing makes the person eligible.
    NotEligible,
    /// The person owns no enabled account on the computer.
    NoAccount,
    /// As many sessions are open as the computer takes.
    SessionLimit,
    /// Eligible, and somebody has to agree.
    NeedsApproval,
    /// The computer takes no sessions without a permission level.
    UnprivilegedNotAllowed,
    /// A reason that this version of the client does not know, by its number on the wire. Never
    /// with [`Effect::Allow`](crate::Effect::Allow).
    Unrecognized(i32),
}

// === impl Reason ===

impl Reason {
    /// The reason's code; `UNRECOGNIZED` for one that this client does not know.
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
            Self::Unrecognized(_) => "UNRECOGNIZED",
        }
    }

    pub(crate) fn from_wire(number: i32) -> Self {
        use v1::Reason as Wire;
        match Wire::try_from(number) {
            Ok(Wire::Granted) => Self::Granted,
            Ok(Wire::ExplicitDeny) => Self::ExplicitDeny,
            Ok(Wire::Disabled) => Self::Disabled,
            Ok(Wire::NotGranted) => Self::NotGranted,
            Ok(Wire::UnknownSubject) => Self::UnknownSubject,
            Ok(Wire::SubjectDisabled) => Self::SubjectDisabled,
            Ok(Wire::UnknownResource) => Self::UnknownResource,
            Ok(Wire::UnknownPermission) => Self::UnknownPermission,
            Ok(Wire::MissingOnResource) => Self::MissingOnResource,
            Ok(Wire::MissingOnCounterpart) => Self::MissingOnCounterpart,
            Ok(Wire::MissingOnBoth) => Self::MissingOnBoth,
            Ok(Wire::SelfDelegation) => Self::SelfDelegation,
            Ok(Wire::UnknownLevel) => Self::UnknownLevel,
            Ok(Wire::UnknownLocation) => Self::UnknownLocation,
            Ok(Wire::UnknownRecipient) => Self::UnknownRecipient,
            Ok(Wire::MissingOnRecipient) => Self::MissingOnRecipient,
            Ok(Wire::NotShared) => Self::NotShared,
            Ok(Wire::LevelTooLow) => Self::LevelTooLow,
            Ok(Wire::RemoteAppUnsupported) => Self::RemoteAppUnsupported,
            Ok(Wire::RemoteAppNotPrivileged) => Self::RemoteAppNotPrivileged,
            Ok(Wire::PsmDisabled) => Self::PsmDisabled,
            Ok(Wire::LevelNotOffered) => Self::LevelNotOffered,
            Ok(Wire::LevelNotMapped) => Self::LevelNotMapped,
            Ok(Wire::Excluded) => Self::Excluded,
            Ok(Wire::NotEligible) => Self::NotEligible,
            Ok(Wire::NoAccount) => Self::NoAccount,
            Ok(Wire::SessionLimit) => Self::SessionLimit,
            Ok(Wire::NeedsApproval) => Self::NeedsApproval,
            Ok(Wire::UnprivilegedNotAllowed) => Self::UnprivilegedNotAllowed,
            Ok(Wire::Unspecified) | Err(_) => Self::Unrecognized(number),
        }
    }
}

#[cfg(feature = "local")]
impl From<query::Reason> for Reason {
    fn from(reason: query::Reason) -> Self {
        match reason {
            query::Reason::Granted => Self::Granted,
            query::Reason::ExplicitDeny => Self::ExplicitDeny,
            query::Reason::Disabled => Self::Disabled,
            query::Reason::NotGranted => Self::NotGranted,
            query::Reason::UnknownSubject => Self::UnknownSubject,
            query::Reason::SubjectDisabled => Self::SubjectDisabled,
            query::Reason::UnknownResource => Self::UnknownResource,
            query::Reason::UnknownPermission => Self::UnknownPermission,
            query::Reason::MissingOnResource => Self::MissingOnResource,
            query::Reason::MissingOnCounterpart => Self::MissingOnCounterpart,
            query::Reason::MissingOnBoth => Self::MissingOnBoth,
            query::Reason::SelfDelegation => Self::SelfDelegation,
            query::Reason::UnknownLevel => Self::UnknownLevel,
            query::Reason::UnknownLocation => Self::UnknownLocation,
            query::Reason::UnknownRecipient => Self::UnknownRecipient,
            query::Reason::MissingOnRecipient => Self::MissingOnRecipient,
            query::Reason::NotShared => Self::NotShared,
            query::Reason::LevelTooLow => Self::LevelTooLow,
            query::Reason::RemoteAppUnsupported => Self::RemoteAppUnsupported,
            query::Reason::RemoteAppNotPrivileged => Self::RemoteAppNotPrivileged,
            query::Reason::PsmDisabled => Self::PsmDisabled,
            query::Reason::LevelNotOffered => Self::LevelNotOffered,
            query::Reason::LevelNotMapped => Self::LevelNotMapped,
            query::Reason::Excluded => Self::Excluded,
            query::Reason::NotEligible => Self::NotEligible,
            query::Reason::NoAccount => Self::NoAccount,
            query::Reason::SessionLimit => Self::SessionLimit,
            query::Reason::NeedsApproval => Self::NeedsApproval,
            query::Reason::UnprivilegedNotAllowed => Self::UnprivilegedNotAllowed,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unrecognized(number) => write!(f, "{}({number})", self.as_str()),
            _ => f.write_str(self.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_the_wire_has_its_name() {
        for number in 1..=29 {
            let name = v1::Reason::try_from(number).unwrap().as_str_name();
            assert_eq!(format!("REASON_{}", Reason::from_wire(number)), name);
        }
        assert!(v1::Reason::try_from(30).is_err());
    }
}
