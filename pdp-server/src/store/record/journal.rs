//! Disk records of the journal: the change sets that were committed last.

use pdp_engine::facts::{Change, Delta};
use pdp_engine::id::RecentNames;
use pdp_engine::time::Timestamp;
use prost::Message;

use super::place::{key, kind_number, name};
use super::{RecordError, decode, encode, read};
use crate::audit::Digest;

/// What is kept of a change set beside its changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Heading {
    /// When it was committed.
    pub(in crate::store) at: Timestamp,
    /// The hash of its record in the audit, which covers all of the history before it.
    pub(in crate::store) mark: Digest,
    /// How many changes it has.
    pub(in crate::store) changes: u64,
    /// How many rows hold them; none where they were too many to be kept.
    pub(in crate::store) parts: u32,
}

#[derive(Clone, PartialEq, Message)]
struct HeadingRecord {
    /// Microseconds since 1970.
    #[prost(int64, tag = "1")]
    at: i64,
    #[prost(bytes = "vec", tag = "2")]
    mark: Vec<u8>,
    #[prost(uint64, tag = "3")]
    changes: u64,
    #[prost(uint32, tag = "4")]
    parts: u32,
}

#[derive(Clone, PartialEq, Message)]
struct PartRecord {
    #[prost(message, repeated, tag = "1")]
    changes: Vec<FactChangeRecord>,
}

/// What became of one fact.
#[derive(Clone, PartialEq, Message)]
struct FactChangeRecord {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(string, tag = "2")]
    name: String,
    /// The fact as it lies in the table of facts; absent where it was removed.
    #[prost(bytes = "vec", optional, tag = "3")]
    fact: Option<Vec<u8>>,
}

/// Changes that are being put together for a row.
#[derive(Debug, Default)]
pub(in crate::store) struct Part(PartRecord, usize);

// === impl Heading ===

impl Heading {
    pub(in crate::store) fn to_bytes(self) -> Vec<u8> {
        let Self { at, mark: Digest(mark), changes, parts } = self;
        HeadingRecord { at: at.as_micros(), mark: mark.to_vec(), changes, parts }.encode_to_vec()
    }

    pub(in crate::store) fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let HeadingRecord { at, mark, changes, parts } = read(bytes)?;
        let mark = mark.try_into().map_err(|_| RecordError::Missing("mark"))?;
        Ok(Self { at: Timestamp::from_micros(at), mark: Digest(mark), changes, parts })
    }
}

// === impl Part ===

impl Part {
    /// Adds what became of a fact, and says how large the part is now, in bytes.
    pub(in crate::store) fn add(&mut self, delta: &Delta) -> usize {
        let Delta { key, before: _, after } = delta;
        let (kind, name) = (u32::from(kind_number(key.kind())), name(key));
        let change = FactChangeRecord { kind, name, fact: after.as_ref().map(encode) };
        self.1 += change.encoded_len();
        self.0.changes.push(change);
        self.1
    }

    pub(in crate::store) fn into_bytes(self) -> Vec<u8> {
        self.0.encode_to_vec()
    }
}

/// The changes in the bytes of a part.
pub(in crate::store) fn decode_part(bytes: &[u8]) -> Result<Vec<Change>, RecordError> {
    let PartRecord { changes } = read(bytes)?;
    let mut recent = RecentNames::default();
    let change = |FactChangeRecord { kind, name, fact }| match fact {
        None => Ok(Change::Delete { key: key(kind, &name)?, cascade: false }),
        Some(bytes) => {
            let field = "kind";
            let unknown = |_| RecordError::UnknownNumber { field, value: i64::from(kind) };
            let kind = u8::try_from(kind).map_err(unknown)?;
            Ok(Change::Put(decode(kind, &name, &bytes, &mut recent)?))
        }
    };
    changes.into_iter().map(change).collect()
}
