//! What the publisher refuses, as what a caller is told.

use pdp_engine::query::Revision;

use super::super::session;
use super::{Fact, Failure};
use crate::publish::{
    AccessError, ApplyError, AuditError, MAX_TENANTS, SessionError, TenantError, WaitError,
    WatchError,
};
use crate::session::StepError;

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::UnknownTenant(error) => error.into(),
            SessionError::Step(StepError::Malformed(error)) => session::refused(&error).into(),
            SessionError::Step(error) => Self::Step(error),
            SessionError::Store(error) => Self::Store(error.to_string()),
            SessionError::Log(error) => Self::Log(error),
            SessionError::Broken(error) => Self::Broken(error.to_string()),
        }
    }
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::UnknownTenant(error) => Self::UnknownTenant(error),
            ApplyError::RevisionMismatch { expected, actual } => {
                Self::RevisionConflict { expected, actual }
            }
            ApplyError::Rejected(rejected) => Self::Rejected(rejected),
            ApplyError::Refused(refusal) => Self::Refused(refusal),
            ApplyError::RequestIdReused(id) => Self::RequestIdReused(id),
            ApplyError::SessionAccount(account) => Self::SessionAccount(account),
            ApplyError::TooLarge(error) => Self::PolicyTooLarge(error.to_string()),
            ApplyError::Store(error) => Self::Store(error.to_string()),
            ApplyError::Log(error) => Self::Log(error),
            ApplyError::Broken(error) => Self::Broken(error.to_string()),
        }
    }
}

impl From<AccessError> for Failure {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::UnknownTenant(error) => Self::UnknownTenant(error),
            AccessError::Broken(error) => Self::Broken(error.to_string()),
        }
    }
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::UnknownTenant(error) => Self::UnknownTenant(error),
            AuditError::Store(error) => Self::Store(error.to_string()),
        }
    }
}

impl From<WaitError> for Failure {
    fn from(error: WaitError) -> Self {
        match error {
            WaitError::UnknownTenant(error) => Self::UnknownTenant(error),
        }
    }
}

impl From<WatchError> for Failure {
    fn from(error: WatchError) -> Self {
        match error {
            WatchError::UnknownTenant(error) => error.into(),
            WatchError::Store(error) => Self::Store(error.to_string()),
            error @ WatchError::TooOld { .. } => Self::PositionTooOld(Box::new(error)),
            error @ WatchError::Unknown { .. } => Self::PositionUnknown(Box::new(error)),
        }
    }
}

impl From<TenantError> for Failure {
    fn from(error: TenantError) -> Self {
        match error {
            TenantError::Exists(tenant) => Self::TenantExists(tenant),
            TenantError::UnknownTenant(error) => Self::UnknownTenant(error),
            TenantError::TooMany(actual) => Self::Limit {
                limit: "max_tenants",
                field: "id",
                unit: "tenants",
                maximum: MAX_TENANTS,
                actual,
            },
            error @ TenantError::HasSessions { .. } => Self::TenantHasSessions(error.to_string()),
            TenantError::Default => Self::TenantProtected,
            TenantError::Store(error) => Self::Store(error.to_string()),
            TenantError::Log(error) => Self::Log(error),
            TenantError::Broken(error) => Self::Broken(error.to_string()),
        }
    }
}

/// What a program needs to know of a position that cannot be gone on from.
pub(super) fn of_position(error: &WatchError) -> Vec<Fact> {
    let told = |(after, actual): (Revision, Revision)| {
        vec![("after", after.to_string()), ("actual", actual.to_string())]
    };
    error.revisions().map(told).unwrap_or_default()
}
