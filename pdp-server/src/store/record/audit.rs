//! Disk records of the audit. The hash of a record lies beside its bytes and covers them as they
//! are; nothing needs to be encoded again to verify it.

use pdp_engine::id::{PersonId, TenantId};
use pdp_engine::query::Revision;
use pdp_engine::time::Timestamp;
use prost::Message;

use super::request::{ChangeRecord, change_from_record, change_record};
use super::session::SessionEventRecord;
use super::{RecordError, read};
use crate::audit::{CallerName, Digest, Entry, Event, PolicyChanged};
use crate::receipt::RequestId;

/// Where a chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Head {
    /// How many records it has.
    pub(in crate::store) records: u64,
    /// The instant of the last one.
    pub(in crate::store) at: Timestamp,
    /// The hash of the last one.
    pub(in crate::store) hash: Digest,
}

#[derive(Clone, PartialEq, Message)]
struct HeadRecord {
    #[prost(uint64, tag = "1")]
    records: u64,
    #[prost(int64, tag = "2")]
    at: i64,
    #[prost(bytes = "vec", tag = "3")]
    hash: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct EntryRecord {
    #[prost(uint64, tag = "1")]
    sequence: u64,
    /// Microseconds since 1970.
    #[prost(int64, tag = "2")]
    at: i64,
    #[prost(uint64, tag = "3")]
    revision: u64,
    #[prost(string, optional, tag = "4")]
    person: Option<String>,
    #[prost(oneof = "EventRecord", tags = "5, 6, 7, 8, 9")]
    event: Option<EventRecord>,
    #[prost(string, optional, tag = "10")]
    caller: Option<String>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum EventRecord {
    #[prost(message, tag = "5")]
    Began(BeganRecord),
    #[prost(message, tag = "6")]
    TenantCreated(TenantCreatedRecord),
    #[prost(message, tag = "7")]
    TenantDeleted(TenantDeletedRecord),
    #[prost(message, tag = "8")]
    PolicyChanged(PolicyChangedRecord),
    #[prost(message, tag = "9")]
    Session(SessionEventRecord),
}

#[derive(Clone, PartialEq, Message)]
struct BeganRecord {}

#[derive(Clone, PartialEq, Message)]
struct TenantCreatedRecord {
    #[prost(string, tag = "1")]
    tenant: String,
}

#[derive(Clone, PartialEq, Message)]
struct TenantDeletedRecord {
    #[prost(string, tag = "1")]
    tenant: String,
    #[prost(uint64, tag = "2")]
    records: u64,
    #[prost(bytes = "vec", tag = "3")]
    head: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct PolicyChangedRecord {
    #[prost(uint64, tag = "1")]
    created: u64,
    #[prost(uint64, tag = "2")]
    changed: u64,
    #[prost(uint64, tag = "3")]
    removed: u64,
    #[prost(bytes = "vec", tag = "4")]
    digest: Vec<u8>,
    #[prost(string, optional, tag = "5")]
    request_id: Option<String>,
    #[prost(message, repeated, tag = "6")]
    changes: Vec<ChangeRecord>,
}

// === impl Head ===

impl Head {
    pub(in crate::store) fn to_bytes(self) -> Vec<u8> {
        let Self { records, at, hash: Digest(hash) } = self;
        HeadRecord { records, at: at.as_micros(), hash: hash.to_vec() }.encode_to_vec()
    }

    pub(in crate::store) fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let HeadRecord { records, at, hash } = read(bytes)?;
        Ok(Self { records, at: Timestamp::from_micros(at), hash: digest("hash", hash)? })
    }
}

/// The bytes of an entry that has this number in its chain.
pub(in crate::store) fn encode_entry(sequence: u64, entry: &Entry) -> Vec<u8> {
    let Entry { at, revision, person, caller, event } = entry;
    EntryRecord {
        sequence,
        at: at.as_micros(),
        revision: revision.get(),
        person: person.as_ref().map(ToString::to_string),
        event: Some(event.into()),
        caller: caller.as_ref().map(|caller| caller.as_str().to_owned()),
    }
    .encode_to_vec()
}

/// The entry in `bytes`, and the number that it says it has.
pub(in crate::store) fn decode_entry(bytes: &[u8]) -> Result<(u64, Entry), RecordError> {
    let EntryRecord { sequence, at, revision, person, event, caller } = read(bytes)?;
    let entry = Entry {
        at: Timestamp::from_micros(at),
        revision: Revision::new(revision),
        person: person.map(PersonId::new).transpose()?,
        caller: caller.and_then(|caller| CallerName::new(&caller)),
        event: event.ok_or(RecordError::UnknownContent)?.try_into()?,
    };
    Ok((sequence, entry))
}

impl From<&Event> for EventRecord {
    fn from(event: &Event) -> Self {
        match event {
            Event::Began => Self::Began(BeganRecord {}),
            Event::TenantCreated(tenant) => {
                Self::TenantCreated(TenantCreatedRecord { tenant: tenant.to_string() })
            }
            Event::TenantDeleted { tenant, records, head: Digest(head) } => {
                Self::TenantDeleted(TenantDeletedRecord {
                    tenant: tenant.to_string(),
                    records: *records,
                    head: head.to_vec(),
                })
            }
            Event::PolicyChanged(changed) => {
                let PolicyChanged { created, changed, removed, digest, request_id, changes } =
                    changed;
                Self::PolicyChanged(PolicyChangedRecord {
                    created: *created,
                    changed: *changed,
                    removed: *removed,
                    digest: digest.0.to_vec(),
                    request_id: request_id.as_ref().map(ToString::to_string),
                    changes: changes.iter().map(change_record).collect(),
                })
            }
            Event::Session(event) => Self::Session(event.into()),
        }
    }
}

impl TryFrom<EventRecord> for Event {
    type Error = RecordError;

    fn try_from(record: EventRecord) -> Result<Self, RecordError> {
        Ok(match record {
            EventRecord::Began(BeganRecord {}) => Self::Began,
            EventRecord::TenantCreated(TenantCreatedRecord { tenant }) => {
                Self::TenantCreated(TenantId::new(tenant)?)
            }
            EventRecord::TenantDeleted(TenantDeletedRecord { tenant, records, head }) => {
                let (tenant, head) = (TenantId::new(tenant)?, digest("head", head)?);
                Self::TenantDeleted { tenant, records, head }
            }
            EventRecord::PolicyChanged(PolicyChangedRecord {
                created,
                changed,
                removed,
                digest: set,
                request_id,
                changes,
            }) => Self::PolicyChanged(PolicyChanged {
                created,
                changed,
                removed,
                digest: digest("digest", set)?,
                request_id: request_id.map(RequestId::new).transpose()?,
                changes: changes.into_iter().map(change_from_record).collect::<Result<_, _>>()?,
            }),
            EventRecord::Session(record) => Self::Session(record.try_into()?),
        })
    }
}

fn digest(field: &'static str, bytes: Vec<u8>) -> Result<Digest, RecordError> {
    bytes.try_into().map(Digest).map_err(|_| RecordError::Missing(field))
}
