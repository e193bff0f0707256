//! Disk records of a tenant and of a remembered request.

use pdp_engine::facts::FactKey;
use pdp_engine::id::PersonId;
use pdp_engine::query::Revision;
use prost::Message;

use super::place::{key, kind_number, name};
use super::{RecordError, read};
use crate::receipt::{ChangeKind, Counts};

/// What the store keeps of a tenant beside its facts.
#[derive(Clone, PartialEq, Message)]
pub(in crate::store) struct TenantRecord {
    /// The tenant's revision.
    #[prost(uint64, tag = "1")]
    pub(in crate::store) revision: u64,
    /// How many facts the tenant has: a store that lost some is noticed.
    #[prost(uint64, tag = "2")]
    pub(in crate::store) facts: u64,
    /// How many requests were ever remembered; the number of the next one.
    #[prost(uint64, tag = "3")]
    pub(in crate::store) requests: u64,
    /// The revision behind which all change sets are in the journal.
    #[prost(uint64, tag = "4")]
    pub(in crate::store) journal_from: u64,
    /// How many changes these have.
    #[prost(uint64, tag = "5")]
    pub(in crate::store) journaled: u64,
}

/// The first result of a request id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// A digest of the change set.
    pub(crate) digest: [u8; 32],
    /// The revision that was answered.
    pub(crate) revision: Revision,
    /// The net effect that was answered: as much of it as a receipt lists.
    pub(crate) changes: Vec<(FactKey, ChangeKind)>,
    /// How many facts differed.
    pub(crate) counts: Counts,
    /// The person on whose behalf it was applied.
    pub(crate) on_behalf_of: Option<PersonId>,
}

#[derive(Clone, PartialEq, Message)]
struct RequestRecord {
    #[prost(bytes = "vec", tag = "1")]
    digest: Vec<u8>,
    #[prost(uint64, tag = "2")]
    revision: u64,
    #[prost(message, repeated, tag = "3")]
    changes: Vec<ChangeRecord>,
    #[prost(string, optional, tag = "4")]
    on_behalf_of: Option<String>,
    /// How many facts differed, where not all of them are listed; otherwise the list says it.
    #[prost(uint64, tag = "5")]
    created: u64,
    #[prost(uint64, tag = "6")]
    changed: u64,
    #[prost(uint64, tag = "7")]
    removed: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ChangeRecord {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(enumeration = "ChangeNumber", tag = "3")]
    change: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
enum ChangeNumber {
    Absent = 0,
    Created = 1,
    Changed = 2,
    Removed = 3,
}

// === impl TenantRecord ===

impl TenantRecord {
    pub(in crate::store) fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        read(bytes)
    }
}

// === impl Remembered ===

impl Remembered {
    pub(in crate::store) fn to_bytes(&self) -> Vec<u8> {
        let Self { digest, revision, changes, counts, on_behalf_of } = self;
        let listed = Counts::of(changes.iter().map(|(_, change)| *change));
        let Counts { created, changed, removed } =
            if listed == *counts { Counts::default() } else { *counts };
        RequestRecord {
            digest: digest.to_vec(),
            revision: revision.get(),
            changes: changes.iter().map(change_record).collect(),
            on_behalf_of: on_behalf_of.as_ref().map(|id| id.as_str().to_owned()),
            created,
            changed,
            removed,
        }
        .encode_to_vec()
    }

    pub(in crate::store) fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let RequestRecord { digest, revision, changes, on_behalf_of, created, changed, removed } =
            read(bytes)?;
        let changes: Vec<_> =
            changes.into_iter().map(change_from_record).collect::<Result<_, _>>()?;
        let counts = match (Counts { created, changed, removed }) {
            counts if counts.total() == 0 => Counts::of(changes.iter().map(|(_, change)| *change)),
            counts => counts,
        };
        Ok(Self {
            digest: digest.try_into().map_err(|_| RecordError::Missing("digest"))?,
            revision: Revision::new(revision),
            changes,
            counts,
            on_behalf_of: on_behalf_of.map(PersonId::new).transpose()?,
        })
    }
}

/// What became of one fact.
pub(super) fn change_record((key, change): &(FactKey, ChangeKind)) -> ChangeRecord {
    ChangeRecord {
        kind: u32::from(kind_number(key.kind())),
        name: name(key),
        change: ChangeNumber::from(*change).into(),
    }
}

pub(super) fn change_from_record(
    record: ChangeRecord,
) -> Result<(FactKey, ChangeKind), RecordError> {
    let ChangeRecord { kind, name, change } = record;
    Ok((key(kind, &name)?, change_of(change)?))
}

impl From<ChangeKind> for ChangeNumber {
    fn from(change: ChangeKind) -> Self {
        match change {
            ChangeKind::Created => Self::Created,
            ChangeKind::Changed => Self::Changed,
            ChangeKind::Removed => Self::Removed,
        }
    }
}

fn change_of(number: i32) -> Result<ChangeKind, RecordError> {
    let unknown = RecordError::UnknownNumber { field: "change", value: i64::from(number) };
    match ChangeNumber::try_from(number) {
        Ok(ChangeNumber::Created) => Ok(ChangeKind::Created),
        Ok(ChangeNumber::Changed) => Ok(ChangeKind::Changed),
        Ok(ChangeNumber::Removed) => Ok(ChangeKind::Removed),
        Ok(ChangeNumber::Absent) | Err(_) => Err(unknown),
    }
}
