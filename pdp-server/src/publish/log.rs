//! The log that several servers share, as the publisher sees it. Where there is one, what a writer decided
//! becomes real by being put behind what it was decided on: if another entry is there already, the writer
//! takes it over and decides anew. Without one, the store is both log and state.

use std::io::Read;
use std::time::Duration;

use pdp_engine::id::TenantId;

use super::{ApplyError, Broken, PublishError, Publisher, SessionError, TenantError};
use crate::audit::{Chain, Entry, Stamp};
use crate::store::{Draft, Place, Say, StoreError};

/// How often a writer decides anew because others were first, before it gives up: more often than there are
/// servers that could be first.
const MAX_ATTEMPTS: usize = 64;

/// A log that several servers share.
pub trait Log: Send + Sync {
    /// Puts an entry behind what it builds upon; `false` if another one is there.
    ///
    /// # Errors
    /// [`LogError`]; whether the entry is there is not known then.
    fn append(&self, draft: &Draft) -> Result<bool, LogError>;

    /// What is behind a place.
    ///
    /// # Errors
    /// [`LogError`], also where what is at the place is not what the copy has.
    fn read(&self, at: &Place) -> Result<Behind, LogError>;

    /// Gives the newest checkpoint: a backup of a copy. Reading it ends with [`NotFound`](std::io::ErrorKind::NotFound)
    /// where a newer one has taken its place meanwhile.
    ///
    /// # Errors
    /// [`LogError`].
    fn checkpoint(&self) -> Result<Box<dyn Read + '_>, LogError>;

    /// Claims work of the tenant of a log for a watcher of this server, for so long at most; `false` if it is
    /// somebody's.
    ///
    /// # Errors
    /// [`LogError`].
    fn claim(&self, log: u64, work: &str, watcher: u64, time: Duration) -> Result<bool, LogError>;

    /// Gives work back that is a watcher's, or whoever's. It waits for nothing: a claim ends by itself.
    fn unclaim(&self, log: u64, work: &str, watcher: Option<u64>);

    /// How the log and this server stand.
    fn standing(&self) -> Standing;
}

/// What is behind a place in a log.
#[derive(Debug)]
pub enum Behind {
    /// The next entries, in their order; none if it is the end.
    Entries(Vec<Vec<u8>>),
    /// What is next is only in the checkpoint.
    Trimmed,
    /// The log has ended: its tenant was deleted.
    Ended,
}

/// How a log and a server that follows it stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// How long ago the server knew that it had everything, or began without knowing it.
    pub age: Duration,
    /// Whether it has known that at all.
    pub heard: bool,
    /// Whether the log answers.
    pub reachable: bool,
    /// Whether the log and the copy have different histories.
    pub diverged: bool,
    /// How old what the server knows may be for it to be ready; `None` for any age.
    pub limit: Option<Duration>,
}

/// Why a log does not take or give entries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// It does not answer.
    #[error(
        "the log is out of reach ({0}), and whether it has the change is not known; send it again, with the same request id"
    )]
    Unavailable(String),
    /// It has no room for more.
    #[error(
        "the log has no room ({0}); give it room, and send the change again, with the same request id"
    )]
    Full(String),
    /// It is no log to rely on, or refuses this server.
    #[error("the log cannot be used: {0}")]
    Unusable(String),
    /// The copy and the log have different histories.
    #[error("this server's copy and the log have different histories: {0}")]
    Diverged(String),
}

/// What became of an attempt to decide.
pub(super) enum Tried<T> {
    /// It holds: the log has it.
    Done(T),
    /// It holds if this copy is where the log is.
    Unproven(T),
    /// Another was first.
    Lost,
}

/// What became of a proposal.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and it is taken apart at once"
)]
pub(super) enum Proposed {
    /// There is no log, and the store is to have it.
    Alone,
    /// The log has it.
    Logged(Draft),
    /// Another entry is there.
    Lost,
}

/// An error that does not depend on how far the copy is.
pub(super) trait Outright {
    /// Whether it is one.
    fn is_outright(&self) -> bool;
}

impl Outright for ApplyError {
    fn is_outright(&self) -> bool {
        matches!(self, Self::Store(_) | Self::Log(_) | Self::Broken(_) | Self::TooLarge(_))
    }
}

impl Outright for SessionError {
    fn is_outright(&self) -> bool {
        matches!(self, Self::Store(_) | Self::Log(_) | Self::Broken(_))
    }
}

impl Outright for TenantError {
    fn is_outright(&self) -> bool {
        matches!(self, Self::Store(_) | Self::Log(_) | Self::Broken(_) | Self::Default)
    }
}

// === impl LogError ===

impl LogError {
    /// What is wrong, without what that means for a change that was sent.
    pub(crate) fn detail(&self) -> &str {
        match self {
            Self::Unavailable(detail)
            | Self::Full(detail)
            | Self::Unusable(detail)
            | Self::Diverged(detail) => detail,
        }
    }
}

// === impl Publisher ===

impl Publisher {
    /// Decides on what the log has: anew where another was first, and where what was decided without an
    /// entry was decided on less than there is.
    pub(super) fn decided<T, E>(
        &self,
        tenant: &TenantId,
        attempt: impl Fn() -> Result<Tried<T>, E>,
    ) -> Result<T, E>
    where
        E: Outright + From<FollowError>,
    {
        for _ in 0..MAX_ATTEMPTS {
            let tried = attempt();
            let unproven = match tried {
                Ok(Tried::Done(done)) => return Ok(done),
                Ok(Tried::Unproven(done)) if self.0.log.is_none() => return Ok(done),
                Err(error) if self.0.log.is_none() || error.is_outright() => return Err(error),
                Ok(Tried::Unproven(done)) => Some(Ok(done)),
                Err(error) => Some(Err(error)),
                Ok(Tried::Lost) => None,
            };
            let taken = self.catch_up_with(tenant)?;
            if let Some(outcome) = unproven.filter(|_| taken == 0) {
                return outcome;
            }
        }
        let detail = "others were first at every attempt";
        Err(FollowError::from(LogError::Unavailable(detail.to_owned())).into())
    }

    /// Puts an entry in the log, if there is one.
    pub(super) fn propose(
        &self,
        chain: &Chain,
        say: Say<'_>,
        stamp: Stamp<'_>,
        audit: Vec<Entry>,
    ) -> Result<Proposed, FollowError> {
        let Some(log) = &self.0.log else { return Ok(Proposed::Alone) };
        if let Some(reason) = self.0.store.stopped() {
            // What the log has and the store does not take would be known to others alone.
            return Err(StoreError::Stopped { reason: reason.to_owned() }.into());
        }
        let Some(draft) = self.0.store.draft(chain, say, stamp, audit)? else {
            return Ok(Proposed::Lost);
        };
        Ok(if log.append(&draft)? { Proposed::Logged(draft) } else { Proposed::Lost })
    }

    /// How the log and this server stand, where there is a log.
    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        self.0.log.as_ref().map(|log| log.standing())
    }

    /// Whether there is a log and it does not answer.
    pub(super) fn is_cut_off(&self) -> bool {
        self.standing().is_some_and(|standing| !standing.reachable)
    }
}

// === impl Standing ===

impl Standing {
    /// Whether what the server knows is too old for it to be asked.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.limit.is_some_and(|limit| !self.heard || self.age > limit)
    }
}

/// Why a copy does not go with its log.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The log does not give it.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The store does not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A writer panicked half-way through.
    #[error(transparent)]
    Broken(#[from] Broken),
}

// Whoever writes is told the same in their own words.
macro_rules! tell {
    ($($Error:ty),+) => {$(
        impl From<FollowError> for $Error {
            fn from(error: FollowError) -> Self {
                match error {
                    FollowError::Log(error) => error.into(),
                    FollowError::Store(error) => error.into(),
                    FollowError::Broken(error) => error.into(),
                }
            }
        }
    )+};
}
tell!(ApplyError, PublishError, SessionError, TenantError);
