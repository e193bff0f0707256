//! Privileged sessions as the server remembers them, and what changes them (semantics, P10 to P12).
//!
//! A book holds a tenant's sessions. Each step of a session is a turn: worked out from the
//! book, made durable by the store, and only then taken into the book. Shared by the store, the
//! publisher and the doors; it knows none of the three, and reads no clock.

mod book;
mod event;
#[cfg(test)]
pub(crate) mod sample;
mod step;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use pdp_engine::id::{
    AccountId, GroupId, IdError, ObjectId, PermissionLevelId, PersonId, SessionId, validate_id,
};
use pdp_engine::query::{Decision, Malformed, Reason};
use pdp_engine::session::{AccountMode, Obligations, OpenSession, Privileged};
use pdp_engine::time::Timestamp;

pub(crate) use book::{Book, Numbers, StoredSessions, Turn};
pub use event::{Happened, SessionEvent};

/// How many sessions a tenant may have that are open or have outstanding work. Each is held in memory
/// and looked at by the sweep.
pub const MAX_SESSIONS: usize = 100_000;

/// How many sessions may use one account at once. Each is judged anew whenever the account asks something
/// (P12).
pub const MAX_SESSIONS_OF_ACCOUNT: usize = 100;

/// How many accounts that were made for sessions a tenant may have; each is held in memory.
pub const MAX_ACCOUNTS: usize = 100_000;

/// How many sessions that have ended and left no work are remembered, with the keys of their requests;
/// the oldest is forgotten for each new one. The audit keeps all of them.
pub const RETAINED_SESSIONS: usize = 10_000;

/// How long work is not handed out again after the first failure, in microseconds: 1 second. Twice as
/// long after each further one.
const FIRST_BACK_OFF_MICROS: i64 = 1_000_000;

/// How long work is not handed out again at most, in microseconds: 5 minutes.
const LONGEST_BACK_OFF_MICROS: i64 = 300_000_000;

/// How long the message of a failure may be, in bytes.
pub const MAX_FAILURE_BYTES: usize = 1_000;

/// The name that a broker gives a request to open a session. 1 to 128 bytes, no control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestKey(Arc<str>);

/// The longest request key, in bytes.
pub const MAX_REQUEST_KEY_BYTES: usize = 128;

/// One session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its number among the tenant's sessions, from 1, in the order in which they were opened.
    pub number: u64,
    /// Names it.
    pub id: SessionId,
    /// Who opened it.
    pub person: PersonId,
    /// On which computer.
    pub computer: ObjectId,
    /// What it is privileged to, for a session with a permission level.
    pub privilege: Option<Privilege>,
    /// When it was opened.
    pub opened: Timestamp,
    /// When it ends at the latest.
    pub not_after: Timestamp,
    /// How it ended, if it has.
    pub ended: Option<Ended>,
    /// The key of the request that opened it.
    pub request_key: RequestKey,
    /// The work that its end made due; at most one of each kind.
    pub revocations: Vec<Revocation>,
}

/// What a session with a permission level is about (P7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Privilege {
    /// The level.
    pub level: PermissionLevelId,
    /// The native group.
    pub group: GroupId,
    /// The account.
    pub account: AccountId,
    /// Whether the account was made for a session.
    pub jit: bool,
    /// Whether it was made for an earlier one, and kept.
    pub reused: bool,
    /// Whether the account is to be deleted when the session ends.
    pub delete_account: bool,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// From when on it does not count.
    pub at: Timestamp,
    /// Why.
    pub why: End,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// Its broker closed it.
    Closed,
    /// Its time was over.
    Expired,
    /// An administrator ended it.
    Forced,
    /// Its person could not open it any more, for this reason (P12).
    Revoked(Reason),
}

/// An item of work that the end of a session made due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// What is to be done.
    pub kind: RevocationKind,
    /// When it became due.
    pub due: Timestamp,
    /// How often a broker failed at it.
    pub failures: u32,
    /// What the last failure was.
    pub last_failure: String,
    /// Not handed out before this instant.
    pub not_before: Option<Timestamp>,
    /// What became of it, if it is not outstanding.
    pub settled: Option<Settled>,
}

/// What is to be done after a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RevocationKind {
    /// Take the account out of the native group.
    RemoveFromGroup,
    /// Delete the account.
    DeleteAccount,
}

/// What became of an item of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// When.
    pub at: Timestamp,
    /// How.
    pub how: Settlement,
}

/// How an item of work stopped being outstanding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Settlement {
    /// A broker did it.
    Done,
    /// Another session of the account and group was opened before it was done.
    Superseded,
}

/// Names an item of work: by its session and what is to be done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevocationId {
    /// The session.
    pub session: SessionId,
    /// What is to be done.
    pub kind: RevocationKind,
}

/// A request to open a session.
#[derive(Debug, Clone, Copy)]
pub struct Open<'a> {
    /// The broker's key.
    pub key: &'a RequestKey,
    /// Who.
    pub person: &'a str,
    /// Where.
    pub computer: &'a str,
    /// With which permission level.
    pub level: Option<&'a str>,
}

/// What became of a request to open a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// It may not be.
    Denied(Decision),
    /// It is open.
    New(Arc<Session>, Decision, Obligations),
    /// It was opened by an earlier request with the same key. If it is open, whether it still stands.
    Replayed(Arc<Session>, Option<Result<(), Reason>>),
}

/// What became of renewing a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// The session as it is now.
    pub session: Arc<Session>,
    /// What was decided; `None` if it had ended before.
    pub decided: Option<Result<(), Reason>>,
}

/// Which sessions an administrator ends: those that everything given here fits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Of this person.
    pub person: Option<PersonId>,
    /// On this computer.
    pub computer: Option<ObjectId>,
    /// With this permission level.
    pub level: Option<PermissionLevelId>,
}

/// What a broker says of an item of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// It is done.
    Done,
    /// It failed, for this reason.
    Failed(&'a str),
}

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The question is none.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The key stands for a session that another question opened.
    #[error("request key `{0}` opened a session for another question; give each request its own")]
    KeyReused(RequestKey),
    /// As many sessions are open or have outstanding work as may be.
    #[error(
        "there are {0} sessions that are open or have outstanding work; the limit is {MAX_SESSIONS}"
    )]
    TooMany(usize),
    /// As many sessions use the account as may.
    #[error(
        "{MAX_SESSIONS_OF_ACCOUNT} sessions use account `{0}` already, which is the limit; end one first"
    )]
    TooManyOfAccount(AccountId),
    /// As many accounts were made for sessions as may be.
    #[error(
        "there are {0} accounts that were made for sessions; the limit is {MAX_ACCOUNTS}; have them deleted or used again"
    )]
    TooManyAccounts(usize),
    /// There is no such session.
    #[error("session `{0}` is not known")]
    UnknownSession(String),
    /// There is no such item of work.
    #[error("revocation `{0}` is not known")]
    UnknownRevocation(String),
    /// The account that would be made has no name.
    #[error("the session's account cannot be named after its computer and person: {0}")]
    AccountName(#[from] IdError),
}

// === impl RequestKey ===

impl RequestKey {
    /// Checks and takes a request key.
    ///
    /// # Errors
    /// [`IdError`] says what is wrong with the string.
    pub fn new(key: impl AsRef<str>) -> Result<Self, IdError> {
        let key = key.as_ref();
        validate_id("request key", key)?;
        if key.len() > MAX_REQUEST_KEY_BYTES {
            return Err(IdError::TooLong { what: "request key", actual: key.len() });
        }
        Ok(Self(Arc::from(key)))
    }

    /// The key as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Session ===

impl Session {
    /// Whether it counts at `now`.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.ended.is_none() && now < self.not_after
    }

    /// Whether nothing of it is left to do.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.ended.is_some() && self.outstanding().next().is_none()
    }

    /// How it ended, as seen at `now`: a session whose time is over has ended, whether or not anybody
    /// has noticed (P11).
    #[must_use]
    pub fn ended_by(&self, now: Timestamp) -> Option<Ended> {
        let over = || Ended { at: self.not_after, why: End::Expired };
        self.ended.or_else(|| (self.not_after <= now).then(over))
    }

    /// The last instant at which something happened to it, as far as it is known.
    fn last_instant(&self) -> Timestamp {
        let settled = self.revocations.iter().filter_map(|it| it.settled.map(|it| it.at));
        let ended = self.ended.map(|ended| ended.at);
        settled.chain(ended).max().unwrap_or(self.opened)
    }

    /// The work that is to be done.
    pub fn outstanding(&self) -> impl Iterator<Item = &Revocation> {
        self.revocations.iter().filter(|revocation| revocation.settled.is_none())
    }

    /// Whether its account is to be taken out of the native group.
    fn has_to_leave(&self) -> bool {
        self.outstanding().any(|it| it.kind == RevocationKind::RemoveFromGroup)
    }

    /// The session as decisions take it.
    #[must_use]
    pub fn as_open(&self) -> OpenSession {
        let privilege = self.privilege.as_ref();
        OpenSession {
            id: self.id.clone(),
            person: self.person.clone(),
            computer: self.computer.clone(),
            level: privilege.map(|it| it.level.clone()),
            group: privilege.map(|it| it.group.clone()),
            account: privilege.map(|it| it.account.clone()),
            opened: self.opened,
            not_after: self.not_after,
        }
    }

    /// What went with the ALLOW that opened it (P7), up to when it lasts now.
    #[must_use]
    pub fn obligations(&self) -> Obligations {
        let privileged = self.privilege.as_ref().map(|it| Privileged {
            group: it.group.clone(),
            account: match (it.jit, it.reused) {
                (false, _) => AccountMode::Existing(it.account.clone()),
                (true, true) => AccountMode::JitReuse(it.account.clone()),
                (true, false) => AccountMode::JitNew,
            },
            delete_account: it.delete_account,
        });
        Obligations { privileged, not_after: self.not_after }
    }

    fn event(&self, what: Happened) -> SessionEvent {
        SessionEvent {
            session: self.id.clone(),
            computer: self.computer.clone(),
            level: self.privilege.as_ref().map(|it| it.level.clone()),
            account: self.privilege.as_ref().map(|it| it.account.clone()),
            what,
        }
    }
}

// === impl Selection ===

impl Selection {
    /// Whether it says anything at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn selects(&self, session: &Session) -> bool {
        let Self { person, computer, level } = self;
        let of_level = |level: &PermissionLevelId| {
            session.privilege.as_ref().is_some_and(|privilege| privilege.level == *level)
        };
        person.as_ref().is_none_or(|person| session.person == *person)
            && computer.as_ref().is_none_or(|computer| session.computer == *computer)
            && level.as_ref().is_none_or(of_level)
    }
}

// === impl RevocationKind ===

impl RevocationKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::RemoveFromGroup, Self::DeleteAccount];

    /// The word that stands for it in the names of work.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RemoveFromGroup => "group",
            Self::DeleteAccount => "account",
        }
    }
}

// === impl RevocationId ===

impl RevocationId {
    /// Reads a name such as `2f9c...:group`; `None` if it could not be one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (session, kind) = text.rsplit_once(':')?;
        let kind = RevocationKind::ALL.into_iter().find(|it| it.as_str() == kind)?;
        Some(Self { session: SessionId::new(session).ok()?, kind })
    }
}

impl fmt::Display for RevocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.session, self.kind.as_str())
    }
}

// === impl Revocation ===

impl Revocation {
    fn new(kind: RevocationKind, due: Timestamp) -> Self {
        let last_failure = String::new();
        Self { kind, due, failures: 0, last_failure, not_before: None, settled: None }
    }

    /// Whether it is to be handed out at `now`. What was put off while the clock was ahead waits no
    /// longer than any other work.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        let left = |until: Timestamp| until.as_micros().saturating_sub(now.as_micros());
        let waits = |until| (1..=LONGEST_BACK_OFF_MICROS).contains(&left(until));
        self.settled.is_none() && !self.not_before.is_some_and(waits)
    }

    fn fail(&mut self, message: &str, now: Timestamp) {
        let doubled = FIRST_BACK_OFF_MICROS.checked_shl(self.failures.min(16));
        let wait = doubled.unwrap_or(LONGEST_BACK_OFF_MICROS).min(LONGEST_BACK_OFF_MICROS);
        self.failures = self.failures.saturating_add(1);
        message.clone_into(&mut self.last_failure);
        let at = now.as_micros().saturating_add(wait);
        self.not_before = Some(Timestamp::from_micros(at));
    }
}
