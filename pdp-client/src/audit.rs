//! The audit: what was changed, when, by which caller, and on whose behalf. A record that is not understood is an
//! error and never left out.

mod session;

use std::collections::VecDeque;
use std::fmt;
use std::time::SystemTime;

use pdp_proto::v1;

use crate::attempt::Repeat;
use crate::balance::Subchannel;
use crate::behalf::FactChange;
use crate::call::Error;
use crate::client::Client;
use crate::decision::Revision;
use crate::policy::following;

pub use session::{AuditedSession, SessionEvent};

/// How many records are asked for at once: the most that the server gives.
const PAGE_SIZE: u32 = 1_000;

/// Which records to list: every one of the tenant's chain, unless told otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct AuditQuery {
    of_server: bool,
    from: Option<SystemTime>,
    until: Option<SystemTime>,
    person: Option<String>,
    caller: Option<String>,
    kind: Option<AuditKind>,
    session: Option<String>,
    computer: Option<String>,
}

/// What a record tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuditKind {
    /// The audit began.
    Began,
    /// A tenant was created.
    TenantCreated,
    /// A tenant was deleted.
    TenantDeleted,
    /// A change set was applied.
    PolicyChanged,
    /// A session was opened.
    SessionOpened,
    /// A session was renewed.
    SessionRenewed,
    /// A session ended.
    SessionEnded,
    /// The end of a session made work due.
    RevocationDue,
    /// Work was done, or another session superseded it.
    RevocationSettled,
    /// A broker failed at work.
    RevocationFailed,
}

/// One record.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRecord {
    /// Its number in its chain, from 1, without gaps.
    pub sequence: u64,
    /// When it was written, by the server's clock.
    pub at: SystemTime,
    /// The tenant's revision afterwards; 0 in the server's own chain.
    pub revision: Revision,
    /// The id of the person on whose behalf it was done, or whose session it is.
    pub person: Option<String>,
    /// The name of the caller who sent it, where callers are known.
    pub caller: Option<String>,
    /// The hash of the record before it and of this one.
    pub hash: AuditHash,
    /// What happened.
    pub event: AuditEvent,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum AuditEvent {
    /// The audit began; what was there before is not in it.
    Began,
    /// A tenant was created.
    TenantCreated {
        /// The tenant's id.
        tenant: String,
    },
    /// A tenant was deleted, and its chain with it.
    TenantDeleted {
        /// The tenant's id.
        tenant: String,
        /// How many records its chain had.
        records: u64,
        /// The hash of the last one.
        head: AuditHash,
    },
    /// A change set was applied.
    PolicyChanged(AuditedChangeSet),
    /// Something happened to a session.
    Session(AuditedSession),
}

/// A change set that was applied.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditedChangeSet {
    /// How many facts it created.
    pub created: u64,
    /// How many facts it changed.
    pub changed: u64,
    /// How many facts it removed.
    pub removed: u64,
    /// A digest of the change set as it was sent.
    pub digest: AuditHash,
    /// Its request id.
    pub request_id: Option<String>,
    /// On behalf of a person: the facts that differ, 1,000 at most. Otherwise none.
    pub changes: Vec<(v1::FactKey, FactChange)>,
}

/// A SHA-256; it prints as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AuditHash([u8; 32]);

/// What became of verifying a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditVerified {
    /// How many records, from the first, are as they were written.
    pub records: u64,
    /// The hash of the last of those. Kept elsewhere, it shows later that nothing up to here was
    /// changed.
    pub head: AuditHash,
    /// Where the chain is broken; `None`: nowhere.
    pub broken: Option<AuditBreak>,
}

/// Where a chain is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditBreak {
    /// The number of the first record that is wrong or missing.
    pub sequence: u64,
    /// What is wrong with it.
    pub problem: String,
}

/// The records of a list, page by page. Each page is a call with a deadline of its own.
#[derive(Debug)]
#[must_use]
pub struct AuditRecords {
    client: Client,
    query: AuditQuery,
    next: Option<String>,
    waiting: VecDeque<AuditRecord>,
}

// === impl AuditQuery ===

impl AuditQuery {
    /// Of the server's own chain, which says what happened to tenants.
    pub const fn of_server(mut self) -> Self {
        self.of_server = true;
        self
    }

    /// Only records of this instant or later, to the microsecond.
    pub const fn from(mut self, from: SystemTime) -> Self {
        self.from = Some(from);
        self
    }

    /// Only records before this instant, to the microsecond.
    pub const fn until(mut self, until: SystemTime) -> Self {
        self.until = Some(until);
        self
    }

    /// Only what the caller of this name sent.
    pub fn caller(mut self, caller: impl Into<String>) -> Self {
        self.caller = Some(caller.into());
        self
    }

    /// Only what was done on behalf of the person of this id, and what happened to their sessions.
    pub fn person(mut self, person: impl Into<String>) -> Self {
        self.person = Some(person.into());
        self
    }

    /// Only records of this kind.
    pub const fn kind(mut self, kind: AuditKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Only what happened to the session of this id.
    pub fn session(mut self, session: impl Into<String>) -> Self {
        self.session = Some(session.into());
        self
    }

    /// Only what happened to sessions on the computer of this id.
    pub fn computer(mut self, computer: impl Into<String>) -> Self {
        self.computer = Some(computer.into());
        self
    }

    fn to_wire(&self, tenant: &str, page_token: &str) -> v1::AuditServiceListRequest {
        let Self { of_server, from, until, person, caller, kind, session, computer } = self;
        let kind = kind.map_or(v1::AuditKind::Unspecified, AuditKind::to_wire);
        v1::AuditServiceListRequest {
            tenant: named(tenant, *of_server),
            of_server: *of_server,
            from: from.map(instant),
            until: until.map(instant),
            person: person.clone(),
            caller: caller.clone(),
            kind: kind.into(),
            page_size: PAGE_SIZE,
            page_token: page_token.to_owned(),
            session: session.clone(),
            computer: computer.clone(),
        }
    }
}

// === impl AuditKind ===

impl AuditKind {
    const fn to_wire(self) -> v1::AuditKind {
        match self {
            Self::Began => v1::AuditKind::AuditBegan,
            Self::TenantCreated => v1::AuditKind::TenantCreated,
            Self::TenantDeleted => v1::AuditKind::TenantDeleted,
            Self::PolicyChanged => v1::AuditKind::PolicyChanged,
            Self::SessionOpened => v1::AuditKind::SessionOpened,
            Self::SessionRenewed => v1::AuditKind::SessionRenewed,
            Self::SessionEnded => v1::AuditKind::SessionEnded,
            Self::RevocationDue => v1::AuditKind::RevocationDue,
            Self::RevocationSettled => v1::AuditKind::RevocationSettled,
            Self::RevocationFailed => v1::AuditKind::RevocationFailed,
        }
    }
}

// === impl Client ===

impl Client {
    /// Lists records of the tenant's audit, or of the server's, in the order in which they were
    /// written.
    pub fn audit(&self, query: AuditQuery) -> AuditRecords {
        AuditRecords {
            client: self.for_pages(),
            query,
            next: Some(String::new()),
            waiting: VecDeque::new(),
        }
    }

    /// Has the server read the tenant's whole audit and say whether it is as it was written. It
    /// takes as long as the audit is: give a long one a longer deadline.
    ///
    /// # Errors
    /// [`Error`] if there is no answer. A chain that is broken is an answer.
    pub async fn verify_audit(&self) -> Result<AuditVerified, Error> {
        self.verify(false).await
    }

    /// The same for the server's own chain.
    ///
    /// # Errors
    /// As [`Client::verify_audit`].
    pub async fn verify_server_audit(&self) -> Result<AuditVerified, Error> {
        self.verify(true).await
    }

    async fn verify(&self, of_server: bool) -> Result<AuditVerified, Error> {
        let request =
            || v1::AuditServiceVerifyRequest { tenant: named(self.tenant(), of_server), of_server };
        let send = |server: &Subchannel, request| {
            let mut service = server.audits();
            async move { service.verify(request).await }
        };
        let response = self.unary(Repeat::Idempotent, request, send).await?;
        let v1::AuditServiceVerifyResponse { records, head, broken } = response;
        let broken =
            broken.map(|v1::AuditBreak { sequence, problem }| AuditBreak { sequence, problem });
        Ok(AuditVerified { records, head: AuditHash::from_wire(head)?, broken })
    }
}

// === impl AuditRecords ===

impl AuditRecords {
    /// The next record; `None` after the last.
    ///
    /// # Errors
    /// [`Error`] if a page cannot be read.
    pub async fn next(&mut self) -> Result<Option<AuditRecord>, Error> {
        loop {
            if let Some(record) = self.waiting.pop_front() {
                return Ok(Some(record));
            }
            let Some(page_token) = self.next.clone() else { return Ok(None) };
            self.page(page_token).await?;
        }
    }

    /// Reads the list to its end.
    ///
    /// # Errors
    /// As [`AuditRecords::next`].
    pub async fn collect(mut self) -> Result<Vec<AuditRecord>, Error> {
        let mut records = Vec::new();
        while let Some(record) = self.next().await? {
            records.push(record);
        }
        Ok(records)
    }

    async fn page(&mut self, page_token: String) -> Result<(), Error> {
        let request = || self.query.to_wire(self.client.tenant(), &page_token);
        let send = |server: &Subchannel, request| {
            let mut service = server.audits();
            async move { service.list(request).await }
        };
        let response = self.client.unary(Repeat::Read, request, send).await?;
        let v1::AuditServiceListResponse { records, next_page_token } = response;
        let next = following(&page_token, next_page_token)?;
        for record in records {
            self.waiting.push_back(AuditRecord::from_wire(record)?);
        }
        self.next = next;
        Ok(())
    }
}

// === impl AuditRecord ===

impl AuditRecord {
    fn from_wire(wire: v1::AuditRecord) -> Result<Self, Error> {
        let v1::AuditRecord { sequence, at, revision, person, hash, event, caller } = wire;
        let at = at.ok_or_else(|| Error::protocol("an audit record has no time"))?;
        let at = SystemTime::try_from(at)
            .map_err(|error| Error::protocol(format!("the time of an audit record: {error}")))?;
        let event = event.ok_or_else(|| {
            Error::protocol("an audit record tells of something that this version does not know")
        })?;
        Ok(Self {
            sequence,
            at,
            revision: Revision::new(revision),
            person,
            caller,
            hash: AuditHash::from_wire(hash)?,
            event: AuditEvent::from_wire(event)?,
        })
    }
}

// === impl AuditEvent ===

impl AuditEvent {
    fn from_wire(wire: v1::audit_record::Event) -> Result<Self, Error> {
        use v1::audit_record::Event as Wire;
        Ok(match wire {
            Wire::AuditBegan(v1::AuditBegan {}) => Self::Began,
            Wire::TenantCreated(v1::AuditTenantCreated { tenant }) => {
                Self::TenantCreated { tenant }
            }
            Wire::TenantDeleted(v1::AuditTenantDeleted { tenant, records, head }) => {
                Self::TenantDeleted { tenant, records, head: AuditHash::from_wire(head)? }
            }
            Wire::PolicyChanged(wire) => Self::PolicyChanged(AuditedChangeSet::from_wire(wire)?),
            Wire::Session(wire) => Self::Session(AuditedSession::from_wire(wire)?),
        })
    }
}

// === impl AuditedChangeSet ===

impl AuditedChangeSet {
    fn from_wire(wire: v1::AuditPolicyChanged) -> Result<Self, Error> {
        let v1::AuditPolicyChanged { created, changed, removed, digest, request_id, changes } =
            wire;
        let change = |v1::ChangedFact { key, kind }| {
            let unknown = || {
                Error::protocol("an audit record names a change that this version does not know")
            };
            Ok((key.ok_or_else(unknown)?, FactChange::from_wire(kind).ok_or_else(unknown)?))
        };
        Ok(Self {
            created,
            changed,
            removed,
            digest: AuditHash::from_wire(digest)?,
            request_id: (!request_id.is_empty()).then_some(request_id),
            changes: changes.into_iter().map(change).collect::<Result<_, Error>>()?,
        })
    }
}

// === impl AuditHash ===

impl AuditHash {
    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn from_wire(bytes: Vec<u8>) -> Result<Self, Error> {
        bytes.try_into().map(Self).map_err(|bytes: Vec<u8>| {
            Error::protocol(format!("a hash of {} bytes in place of 32", bytes.len()))
        })
    }
}

impl fmt::Display for AuditHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for AuditHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The tenant that is named; the server's chain is no tenant's.
fn named(tenant: &str, of_server: bool) -> String {
    if of_server { String::new() } else { tenant.to_owned() }
}

/// The microsecond that the instant lies in, or begins.
fn instant(at: SystemTime) -> prost_types::Timestamp {
    let at = prost_types::Timestamp::from(at);
    prost_types::Timestamp { nanos: at.nanos - at.nanos % 1_000, ..at }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn record() -> v1::AuditRecord {
        let head = vec![7; 32];
        let deleted = v1::AuditTenantDeleted { tenant: "acme".into(), records: 3, head };
        v1::AuditRecord {
            sequence: 2,
            at: Some(prost_types::Timestamp { seconds: 1, nanos: 5_000 }),
            revision: 0,
            person: None,
            caller: None,
            hash: vec![9; 32],
            event: Some(v1::audit_record::Event::TenantDeleted(deleted)),
        }
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        let read = AuditRecord::from_wire(record()).unwrap();
        assert_eq!(read.at, UNIX_EPOCH + Duration::from_micros(1_000_005));
        assert_eq!(read.hash.to_string(), "09".repeat(32));
        let AuditEvent::TenantDeleted { records: 3, head, .. } = read.event else {
            panic!("{read:?}")
        };
        assert_eq!(head.as_bytes(), &[7; 32]);
        let changed = |kind, key| {
            let changes = vec![v1::ChangedFact { key, kind }];
            let digest = vec![0; 32];
            let changed = v1::AuditPolicyChanged { digest, changes, ..Default::default() };
            Some(v1::audit_record::Event::PolicyChanged(changed))
        };
        for wrong in [
            v1::AuditRecord { at: None, ..record() },
            v1::AuditRecord { hash: vec![9; 31], ..record() },
            v1::AuditRecord { event: None, ..record() },
            v1::AuditRecord { event: changed(99, Some(v1::FactKey::default())), ..record() },
            v1::AuditRecord { event: changed(1, None), ..record() },
        ] {
            let error = AuditRecord::from_wire(wrong).unwrap_err();
            assert!(matches!(error, Error::Protocol { .. }), "{error}");
        }
    }

    #[test]
    fn an_instant_is_told_to_the_microsecond() {
        let at = UNIX_EPOCH + Duration::from_nanos(1_999);
        assert_eq!(instant(at), prost_types::Timestamp { seconds: 0, nanos: 1_000 });
    }
}
