//! Why the publisher does not do what it is asked to.

use pdp_engine::compile::TooLarge;
use pdp_engine::facts::Rejected;
use pdp_engine::id::{AccountId, TenantId};
use pdp_engine::query::Revision;

use super::{DEFAULT_TENANT, LogError, MAX_TENANTS, Refusal};
use crate::receipt::RequestId;
use crate::store::StoreError;

/// Why the publisher could not start.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The store does not give its facts.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log that the servers share does not give its entries.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A tenant's sessions cannot be looked at.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// Why a change set was not applied. Unless it says otherwise, nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// There is no such tenant.
    #[error(transparent)]
    UnknownTenant(#[from] UnknownTenant),
    /// Another change set came first.
    #[error("the policy is at revision {actual}, not {expected} as expected; read it again")]
    RevisionMismatch {
        /// The revision that the writer expects.
        expected: Revision,
        /// The revision that the tenant is at.
        actual: Revision,
    },
    /// The state that would result is not valid.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The person on whose behalf it was to be applied may not make it (D7).
    #[error(transparent)]
    Refused(#[from] Box<Refusal>),
    /// The request id stands for another change set.
    #[error("request id `{0}` was used for another change set; give each change set its own")]
    RequestIdReused(RequestId),
    /// An account of this name was made for a session, and the name stays its.
    #[error("account `{0}` was made for a session; choose another id")]
    SessionAccount(AccountId),
    /// The policy would compile to more than a server holds.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The store did not take it. After [`StoreError::OutcomeUnknown`] it may or may not be there
    /// once the server has been restarted.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log that the servers share does not take it.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A writer panicked half-way through.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// A tenant that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tenant `{0}` does not exist")]
pub struct UnknownTenant(pub String);

/// An internal error of an earlier writer: what it left half-done is not built upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an earlier change set ended in an internal error; the tenant takes no more until the server is restarted"
)]
pub struct Broken;

/// Why a tenant cannot be looked into.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// There is no such tenant.
    #[error(transparent)]
    UnknownTenant(#[from] UnknownTenant),
    /// A writer panicked half-way through.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// Why a wait for a revision ended without it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    /// There is no such tenant, or it was deleted meanwhile.
    #[error(transparent)]
    UnknownTenant(#[from] UnknownTenant),
}

/// Why nobody can follow a policy from where they are.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// There is no such tenant, or it was deleted meanwhile.
    #[error(transparent)]
    UnknownTenant(#[from] UnknownTenant),
    /// What changed behind the position is not kept any more.
    #[error(
        "the changes behind revision {after} are not kept any more, and the policy is at revision {actual}; export it and go on from there"
    )]
    TooOld {
        /// The revision to go on behind.
        after: Revision,
        /// The revision that the policy is at.
        actual: Revision,
    },
    /// The policy has not been at the position.
    #[error(
        "the policy is at revision {actual} and has not been at this revision {after}, as after a backup was restored; export it and go on from there"
    )]
    Unknown {
        /// The revision to go on behind.
        after: Revision,
        /// The revision that the policy is at.
        actual: Revision,
    },
    /// The store does not give what changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a tenant was not created or deleted.
#[derive(Debug, thiserror::Error)]
pub enum TenantError {
    /// There is one of this name already.
    #[error("tenant `{0}` exists already")]
    Exists(TenantId),
    /// There is no such tenant.
    #[error(transparent)]
    UnknownTenant(#[from] UnknownTenant),
    /// There are as many as there may be.
    #[error("there are {0} tenants already; the limit is {MAX_TENANTS}")]
    TooMany(usize),
    /// What the tenant's sessions granted would stay for ever.
    #[error(
        "tenant `{tenant}` has {sessions} sessions that are open or have outstanding work; end them and acknowledge their work first"
    )]
    HasSessions {
        /// The tenant.
        tenant: TenantId,
        /// How many.
        sessions: usize,
    },
    /// The default tenant always exists.
    #[error("tenant `{DEFAULT_TENANT}` cannot be deleted")]
    Default,
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log that the servers share does not take it.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A writer panicked half-way through.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// Why the audit is not shown.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// There is no such tenant.
    #[error(transparent)]
    UnknownTenant(#[from] UnknownTenant),
    /// The store does not give it.
    #[error(transparent)]
    Store(StoreError),
}

// === impl WatchError ===

impl WatchError {
    /// The revision that was to be gone on behind, and the one that the policy is at.
    pub(crate) fn revisions(&self) -> Option<(Revision, Revision)> {
        match self {
            Self::TooOld { after, actual } | Self::Unknown { after, actual } => {
                Some((*after, *actual))
            }
            Self::UnknownTenant(_) | Self::Store(_) => None,
        }
    }
}

// === impl AuditError ===

impl From<StoreError> for AuditError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoTenant(id) => UnknownTenant(id.to_string()).into(),
            error => Self::Store(error),
        }
    }
}

// === impl ApplyError ===

impl From<AccessError> for ApplyError {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::UnknownTenant(error) => Self::UnknownTenant(error),
            AccessError::Broken(error) => Self::Broken(error),
        }
    }
}

// === impl TenantError ===

impl From<AccessError> for TenantError {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::UnknownTenant(error) => Self::UnknownTenant(error),
            AccessError::Broken(error) => Self::Broken(error),
        }
    }
}
