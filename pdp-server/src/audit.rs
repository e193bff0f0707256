//! The audit: what was changed, when, by which caller, and on whose behalf, as a chain of records for each tenant and
//! one for the server itself. Shared by the store, which keeps the chains, the publisher, which
//! writes them, and the doors, which show them; it knows none of the three.

use std::fmt;
use std::sync::Arc;

use pdp_engine::facts::FactKey;
use pdp_engine::id::{ObjectId, PersonId, SessionId, TenantId};
use pdp_engine::query::Revision;
use pdp_engine::time::Timestamp;

use crate::receipt::{ChangeKind, RequestId};
use crate::session::{Happened, SessionEvent};

/// How many changed facts a record of a change set names: as many as fit into an answer, however
/// long their names are. The digest and the counts cover the rest.
pub const MAX_AUDITED_CHANGES: usize = 1_000;

/// Whose chain it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Chain {
    /// The server's own: which tenants came and went.
    Server,
    /// A tenant's.
    Tenant(TenantId),
}

/// What a record says, before it has its place in a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it happened. A chain never goes back: an earlier instant than the last record's becomes
    /// that one.
    pub at: Timestamp,
    /// The tenant's revision afterwards; 0 in the server's chain.
    pub revision: Revision,
    /// The person on whose behalf it was done.
    pub person: Option<PersonId>,
    /// The caller who sent it. None where nobody is asked who they are, and where the server did it.
    pub caller: Option<CallerName>,
    /// What happened.
    pub event: Event,
}

/// The name of a caller, as whoever let them in knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerName(Arc<str>);

/// When something is done, and by whom.
#[derive(Debug, Clone, Copy)]
pub struct Stamp<'a> {
    /// When.
    pub at: Timestamp,
    /// Who sent it.
    pub caller: Option<&'a CallerName>,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The audit began, in a store of a version that had none.
    Began,
    /// A tenant was created: in its own chain and in the server's.
    TenantCreated(TenantId),
    /// A tenant was deleted, and its chain with it: in the server's chain.
    TenantDeleted {
        /// The tenant.
        tenant: TenantId,
        /// How many records its chain had.
        records: u64,
        /// The hash of the last one.
        head: Digest,
    },
    /// A change set was applied, and made the revision.
    PolicyChanged(PolicyChanged),
    /// Something happened to a session. The person is whose session it is.
    Session(SessionEvent),
}

/// A change set that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyChanged {
    /// How many facts it created.
    pub created: u64,
    /// How many facts it changed.
    pub changed: u64,
    /// How many facts it removed.
    pub removed: u64,
    /// A digest of the change set as it was sent.
    pub digest: Digest,
    /// Its request id.
    pub request_id: Option<RequestId>,
    /// On behalf of a person: the first facts that differ, in the order of the keys, at most
    /// [`MAX_AUDITED_CHANGES`]. Otherwise none.
    pub changes: Vec<(FactKey, ChangeKind)>,
}

/// The kinds of [`Event`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// [`Event::Began`].
    Began,
    /// [`Event::TenantCreated`].
    TenantCreated,
    /// [`Event::TenantDeleted`].
    TenantDeleted,
    /// [`Event::PolicyChanged`].
    PolicyChanged,
    /// [`Event::Session`]: it was opened.
    SessionOpened,
    /// [`Event::Session`]: it was renewed.
    SessionRenewed,
    /// [`Event::Session`]: it ended.
    SessionEnded,
    /// [`Event::Session`]: its end made work due.
    RevocationDue,
    /// [`Event::Session`]: work was done or superseded.
    RevocationSettled,
    /// [`Event::Session`]: a broker failed at work.
    RevocationFailed,
}

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

/// A record in its chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number, from 1.
    pub sequence: u64,
    /// What it says.
    pub entry: Entry,
    /// The hash of the record before it and of this one.
    pub hash: Digest,
}

/// Which records to list. What is left out does not narrow the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Of this instant or later.
    pub from: Option<Timestamp>,
    /// Before this instant.
    pub until: Option<Timestamp>,
    /// On behalf of this person.
    pub person: Option<PersonId>,
    /// Sent by this caller.
    pub caller: Option<CallerName>,
    /// Of this kind.
    pub kind: Option<Kind>,
    /// About sessions on this computer.
    pub computer: Option<ObjectId>,
    /// About this session.
    pub session: Option<SessionId>,
}

/// Some of the records that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The records, in the order of their numbers.
    pub records: Vec<Record>,
    /// The number behind which to go on; `None` after the last page.
    pub next: Option<u64>,
}

/// What became of verifying a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How many records, from the first, are as they were written.
    pub records: u64,
    /// The hash of the last of them; of none, what the chain begins with.
    pub head: Digest,
    /// Where the chain is broken, if it is.
    pub broken: Option<Break>,
}

/// The first place where a chain is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {sequence} {problem}")]
pub struct Break {
    /// The number of the record.
    pub sequence: u64,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// There is none of this number, and there was.
    #[error("is missing")]
    Missing,
    /// The chain has fewer, by its own count.
    #[error("is beyond the end of the chain")]
    Surplus,
    /// Its hash is another one.
    #[error("is not as it was written: its hash does not fit")]
    Altered,
    /// Its hash fits, and it cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// It says that it has another number.
    #[error("says that it is record {0}")]
    Misplaced(u64),
    /// It is earlier than the one before.
    #[error("is earlier than the record before it")]
    Earlier,
    /// The chain leaves a revision out, or has one twice.
    #[error("is of revision {found}, after revision {before}")]
    Revision {
        /// The revision of the record before.
        before: Revision,
        /// Its own.
        found: Revision,
    },
    /// The tenant is further than its chain.
    #[error("is missing: the tenant is at revision {stored}, and its chain ends at {last}")]
    Unrecorded {
        /// The tenant's revision.
        stored: Revision,
        /// The revision of the last record.
        last: Revision,
    },
}

// === impl Chain ===

impl Chain {
    /// The name that the chain is kept under: the tenant's id. Empty, which no id is, for the
    /// server's.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Server => "",
            Self::Tenant(id) => id.as_str(),
        }
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => f.write_str("the server"),
            Self::Tenant(id) => write!(f, "tenant `{id}`"),
        }
    }
}

// === impl CallerName ===

impl CallerName {
    /// The name, if it is one: an empty text is nobody's.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        (!name.is_empty()).then(|| Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === impl Stamp ===

/// What the server does itself.
impl From<Timestamp> for Stamp<'_> {
    fn from(at: Timestamp) -> Self {
        Self { at, caller: None }
    }
}

// === impl Event ===

impl Event {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Began => Kind::Began,
            Self::TenantCreated(_) => Kind::TenantCreated,
            Self::TenantDeleted { .. } => Kind::TenantDeleted,
            Self::PolicyChanged(_) => Kind::PolicyChanged,
            Self::Session(event) => match event.what {
                Happened::Opened { .. } => Kind::SessionOpened,
                Happened::Renewed { .. } => Kind::SessionRenewed,
                Happened::Ended { .. } => Kind::SessionEnded,
                Happened::RevocationDue(_) => Kind::RevocationDue,
                Happened::RevocationSettled(..) => Kind::RevocationSettled,
                Happened::RevocationFailed { .. } => Kind::RevocationFailed,
            },
        }
    }
}

// === impl Digest ===

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl Query ===

impl Query {
    /// Whether the list holds this, its instant aside.
    pub(crate) fn selects(&self, entry: &Entry) -> bool {
        let Self { from: _, until: _, person, caller, kind, computer, session } = self;
        let by_caller = caller.as_ref().is_none_or(|caller| entry.caller.as_ref() == Some(caller));
        let of_person = person.as_ref().is_none_or(|person| entry.person.as_ref() == Some(person));
        let about = match &entry.event {
            Event::Session(event) => {
                computer.as_ref().is_none_or(|computer| event.computer == *computer)
                    && session.as_ref().is_none_or(|session| event.session == *session)
            }
            Event::Began
            | Event::TenantCreated(_)
            | Event::TenantDeleted { .. }
            | Event::PolicyChanged(_) => computer.is_none() && session.is_none(),
        };
        of_person && by_caller && about && kind.is_none_or(|kind| entry.event.kind() == kind)
    }
}
