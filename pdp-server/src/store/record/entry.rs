//! Records of the log that several servers share: what one commit writes, as every copy of the store takes it.
//!
//! An entry says on which end of its audit chain it builds and which end it makes, so that a copy that is
//! not what the writer wrote on refuses it.

use pdp_engine::facts::Delta;
use pdp_engine::id::{AccountId, TenantId};
use pdp_engine::query::Revision;
use prost::Message;

use super::audit::{decode_entry, encode_entry};
use super::journal::{Part, decode_part};
use super::{
    RecordError, Remembered, decode_account, decode_session, encode_account, encode_session, read,
};
use crate::audit::{Digest, Entry};
use crate::receipt::RequestId;
use crate::session::{Numbers, Turn};
use crate::store::log::{Logged, Place, PolicyEntry};

/// Where a copy is in a log.
#[derive(Clone, PartialEq, Message)]
struct PlaceRecord {
    #[prost(uint64, tag = "1")]
    log: u64,
    #[prost(uint64, tag = "2")]
    entries: u64,
    #[prost(uint64, tag = "3")]
    bytes: u64,
    #[prost(bytes = "vec", tag = "4")]
    mark: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct EntryRecord {
    /// Drawn by the writer: it tells its entry from another's.
    #[prost(bytes = "vec", tag = "1")]
    nonce: Vec<u8>,
    /// The hash of the audit chain that it builds upon.
    #[prost(bytes = "vec", tag = "2")]
    before: Vec<u8>,
    /// The hash that it makes.
    #[prost(bytes = "vec", tag = "3")]
    after: Vec<u8>,
    /// The records of the audit, as they lie there.
    #[prost(bytes = "vec", repeated, tag = "4")]
    audit: Vec<Vec<u8>>,
    #[prost(oneof = "What", tags = "5, 6, 7, 8")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum What {
    #[prost(message, tag = "5")]
    Policy(PolicyRecord),
    #[prost(message, tag = "6")]
    Sessions(SessionsRecord),
    #[prost(string, tag = "7")]
    TenantCreated(String),
    #[prost(string, tag = "8")]
    TenantDeleted(String),
}

#[derive(Clone, PartialEq, Message)]
struct PolicyRecord {
    #[prost(uint64, tag = "1")]
    from: u64,
    #[prost(uint64, tag = "2")]
    to: u64,
    /// The net changes, as a part of the journal has them.
    #[prost(bytes = "vec", tag = "3")]
    changes: Vec<u8>,
    #[prost(string, optional, tag = "4")]
    request_id: Option<String>,
    #[prost(bytes = "vec", optional, tag = "5")]
    remembered: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct SessionsRecord {
    #[prost(message, repeated, tag = "1")]
    sessions: Vec<NumberedRecord>,
    #[prost(uint64, repeated, tag = "2")]
    forgotten: Vec<u64>,
    #[prost(message, repeated, tag = "3")]
    accounts: Vec<NamedRecord>,
    #[prost(message, optional, tag = "4")]
    next: Option<NumbersRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct NumberedRecord {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(bytes = "vec", tag = "2")]
    session: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedRecord {
    #[prost(string, tag = "1")]
    id: String,
    /// Absent where it is deleted.
    #[prost(bytes = "vec", optional, tag = "2")]
    account: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct NumbersRecord {
    #[prost(uint64, tag = "1")]
    session: u64,
    #[prost(uint64, tag = "2")]
    account: u64,
}

/// The ends of a chain that an entry builds upon and makes, and its records.
pub(in crate::store) struct Link<'a> {
    pub(in crate::store) before: Digest,
    pub(in crate::store) after: Digest,
    /// With the number of the first in its chain.
    pub(in crate::store) audit: (u64, &'a [Entry]),
}

/// What an entry is to say.
#[derive(Clone, Copy)]
pub(crate) enum Say<'a> {
    /// A change set, or a request without effect that is remembered.
    Policy {
        from: Revision,
        to: Revision,
        deltas: &'a [Delta],
        request: Option<(&'a RequestId, &'a Remembered)>,
    },
    /// A step of sessions.
    Sessions(&'a Turn),
    /// A tenant came.
    TenantCreated(&'a TenantId),
    /// A tenant went.
    TenantDeleted(&'a TenantId),
}

/// The bytes of an entry.
pub(in crate::store) fn encode_logged(nonce: [u8; 16], link: &Link<'_>, say: Say<'_>) -> Vec<u8> {
    let what = match say {
        Say::Policy { from, to, deltas, request } => {
            let mut part = Part::default();
            for delta in deltas {
                part.add(delta);
            }
            What::Policy(PolicyRecord {
                from: from.get(),
                to: to.get(),
                changes: part.into_bytes(),
                request_id: request.map(|(id, _)| id.to_string()),
                remembered: request.map(|(_, remembered)| remembered.to_bytes()),
            })
        }
        Say::Sessions(turn) => What::Sessions(sessions_record(turn)),
        Say::TenantCreated(tenant) => What::TenantCreated(tenant.to_string()),
        Say::TenantDeleted(tenant) => What::TenantDeleted(tenant.to_string()),
    };
    let Link { before, after, audit: (first, entries) } = link;
    let numbered = (*first..).zip(entries.iter());
    EntryRecord {
        nonce: nonce.to_vec(),
        before: before.0.to_vec(),
        after: after.0.to_vec(),
        audit: numbered.map(|(sequence, entry)| encode_entry(sequence, entry)).collect(),
        what: Some(what),
    }
    .encode_to_vec()
}

/// The entry in `bytes`: the end that it builds upon, the end that it makes, its records and what it says.
pub(crate) fn decode_logged(
    bytes: &[u8],
) -> Result<(Digest, Digest, Vec<Entry>, Logged), RecordError> {
    let EntryRecord { nonce: _, before, after, audit, what } = read(bytes)?;
    let entries = audit.iter().map(|bytes| decode_entry(bytes).map(|(_, entry)| entry));
    let entries = entries.collect::<Result<_, _>>()?;
    let what = match what.ok_or(RecordError::UnknownContent)? {
        What::Policy(PolicyRecord { from, to, changes, request_id, remembered }) => {
            let request = match (request_id, remembered) {
                (None, None) => None,
                (Some(id), Some(bytes)) => {
                    Some((RequestId::new(id)?, Remembered::from_bytes(&bytes)?))
                }
                (Some(_), None) => return Err(RecordError::Missing("remembered")),
                (None, Some(_)) => return Err(RecordError::Missing("request_id")),
            };
            let (from, to) = (Revision::new(from), Revision::new(to));
            Logged::Policy(PolicyEntry { from, to, changes: decode_part(&changes)?, request })
        }
        What::Sessions(record) => Logged::Sessions(turn(record)?),
        What::TenantCreated(tenant) => Logged::TenantCreated(TenantId::new(tenant)?),
        What::TenantDeleted(tenant) => Logged::TenantDeleted(TenantId::new(tenant)?),
    };
    Ok((digest("before", before)?, digest("after", after)?, entries, what))
}

fn sessions_record(turn: &Turn) -> SessionsRecord {
    // What the audit is to say stands in the entry's own records.
    let Turn { sessions, forgotten, accounts, next, events: _ } = turn;
    let sessions = sessions.iter();
    let accounts = accounts.iter();
    SessionsRecord {
        sessions: sessions
            .map(|it| NumberedRecord { number: it.number, session: encode_session(it) })
            .collect(),
        forgotten: forgotten.clone(),
        accounts: accounts
            .map(|(id, account)| NamedRecord {
                id: id.to_string(),
                account: account.as_ref().map(encode_account),
            })
            .collect(),
        next: next.map(|Numbers { session, account }| NumbersRecord { session, account }),
    }
}

fn turn(record: SessionsRecord) -> Result<Turn, RecordError> {
    let SessionsRecord { sessions, forgotten, accounts, next } = record;
    let sessions = sessions.iter().map(|NumberedRecord { number, session }| {
        let session = decode_session(*number, session)?;
        Ok::<_, RecordError>(session)
    });
    let accounts = accounts.into_iter().map(|NamedRecord { id, account }| {
        let account = account.map(|bytes| decode_account(&id, &bytes)).transpose()?;
        Ok::<_, RecordError>((AccountId::new(id)?, account))
    });
    Ok(Turn {
        sessions: sessions.collect::<Result<_, _>>()?,
        forgotten,
        accounts: accounts.collect::<Result<_, _>>()?,
        next: next.map(|NumbersRecord { session, account }| Numbers { session, account }),
        events: Vec::new(),
    })
}

fn digest(field: &'static str, bytes: Vec<u8>) -> Result<Digest, RecordError> {
    bytes.try_into().map(Digest).map_err(|_| RecordError::Missing(field))
}

// === impl Place ===

impl Place {
    /// The bytes of it, as they lie in the store and in the log: the same for every copy.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let Self { log, entries, bytes, mark: Digest(mark) } = self;
        PlaceRecord { log, entries, bytes, mark: mark.to_vec() }.encode_to_vec()
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`RecordError`] if the bytes are none.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let PlaceRecord { log, entries, bytes, mark } = read(bytes)?;
        Ok(Self { log, entries, bytes, mark: digest("mark", mark)? })
    }
}
