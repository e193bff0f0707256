//! What happens to sessions, as the audit tells it.

use pdp_engine::id::{AccountId, GroupId, ObjectId, PermissionLevelId, SessionId};
use pdp_engine::time::Timestamp;

use super::{End, RevocationKind, Settlement};

/// Something that happened to a session, for the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionEvent {
    /// The session.
    pub session: SessionId,
    /// Its computer.
    pub computer: ObjectId,
    /// Its permission level.
    pub level: Option<PermissionLevelId>,
    /// Its account.
    pub account: Option<AccountId>,
    /// What happened.
    pub what: Happened,
}

/// What can happen to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// It was opened, with this native group, until then.
    Opened {
        /// The native group.
        group: Option<GroupId>,
        /// When it ends at the latest.
        not_after: Timestamp,
    },
    /// It was renewed until then.
    Renewed {
        /// When it ends at the latest.
        not_after: Timestamp,
    },
    /// It ended.
    Ended {
        /// From when on it does not count.
        at: Timestamp,
        /// Why.
        why: End,
        /// What the administrator said who ended it.
        note: String,
    },
    /// Work became due.
    RevocationDue(RevocationKind),
    /// Work was done, or superseded.
    RevocationSettled(RevocationKind, Settlement),
    /// A broker failed at work.
    RevocationFailed {
        /// What was to be done.
        kind: RevocationKind,
        /// What the broker said.
        message: String,
    },
}
