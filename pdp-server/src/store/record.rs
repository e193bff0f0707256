//! What facts look like on disk: one protobuf message a fact, declared here and nowhere else.
//!
//! These are the disk's types, not the wire's: the two evolve apart. They evolve by adding fields:
//! an absent field must mean what its absence always meant. A record that does not decode, or that
//! holds something this version does not know, is an error: reading past an unknown restriction
//! could give access.

mod actor;
mod audit;
mod entry;
mod journal;
mod level;
mod place;
mod probe;
mod psm;
mod quick;
mod request;
mod resource;
mod session;
mod vault;

#[cfg(test)]
mod golden;

use pdp_engine::actor::ActorRefError;
use pdp_engine::facts::{Change, Fact, FactKey};
use pdp_engine::id::{IdError, RecentNames};
use pdp_engine::level::LevelRefError;
use pdp_engine::resource::ResourceRefError;
use prost::Message;
use sha2::{Digest, Sha256};

pub(super) use audit::{Head, decode_entry, encode_entry};
pub(super) use entry::{Link, encode_logged};
pub(crate) use entry::{Say, decode_logged};
pub(super) use journal::{Heading, Part as JournalPart, decode_part};
pub(super) use place::{kind_number, name};
pub use probe::read_back;
pub(crate) use request::Remembered;
pub(super) use request::TenantRecord;
pub(super) use session::{decode_account, decode_session, encode_account, encode_session};

/// Why the bytes of a record are not what this version wrote.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RecordError {
    /// Not a protobuf message of the kind.
    #[error(transparent)]
    Malformed(#[from] prost::DecodeError),
    /// Written by a version that knows more than this one.
    #[error("it holds something that this version does not know")]
    UnknownContent,
    /// A part that every version writes is not there.
    #[error("its `{0}` is missing")]
    Missing(&'static str),
    /// A number that stands for nothing this version knows.
    #[error("its `{field}` is {value}, which this version does not know")]
    UnknownNumber {
        /// The part.
        field: &'static str,
        /// The number.
        value: i64,
    },
    /// The fact in the record is not the one that the key names.
    #[error("it holds {0}")]
    Misplaced(FactKey),
    /// A name in it is not a name.
    #[error(transparent)]
    Id(#[from] IdError),
    /// An Access Level's name in it is not one.
    #[error(transparent)]
    Level(#[from] LevelRefError),
    /// A resource's name in it is not one.
    #[error(transparent)]
    Resource(#[from] ResourceRefError),
    /// An actor's name in it is not one.
    #[error(transparent)]
    Actor(#[from] ActorRefError),
}

/// One fact. The tag of a kind is also the number of the kind in keys; see [`place`].
#[derive(Clone, PartialEq, Message)]
struct FactRecord {
    #[prost(oneof = "Body", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17")]
    body: Option<Body>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Body {
    #[prost(message, tag = "1")]
    ResourceType(resource::ResourceTypeRecord),
    #[prost(message, tag = "2")]
    Location(resource::LocationRecord),
    #[prost(message, tag = "3")]
    BusinessRole(actor::BusinessRoleRecord),
    #[prost(message, tag = "4")]
    AccessLevel(level::AccessLevelRecord),
    #[prost(message, tag = "5")]
    Person(actor::PersonRecord),
    #[prost(message, tag = "6")]
    Account(actor::AccountRecord),
    #[prost(message, tag = "7")]
    Group(actor::GroupRecord),
    #[prost(message, tag = "8")]
    SetGroup(actor::SetGroupRecord),
    #[prost(message, tag = "9")]
    ManagementRoleDefinition(actor::ManagementRoleDefinitionRecord),
    #[prost(message, tag = "10")]
    ManagementRole(actor::ManagementRoleRecord),
    #[prost(message, tag = "11")]
    Resource(resource::ResourceRecord),
    #[prost(message, tag = "12")]
    Assignment(level::AssignmentRecord),
    #[prost(message, tag = "13")]
    ResourceGroup(vault::ResourceGroupRecord),
    #[prost(message, tag = "14")]
    Share(vault::ShareRecord),
    #[prost(message, tag = "15")]
    PermissionLevel(psm::PermissionLevelRecord),
    #[prost(message, tag = "16")]
    Psm(psm::PsmRecord),
    #[prost(message, tag = "17")]
    Eligibility(psm::EligibilityRecord),
}

/// The bytes of a fact.
pub(super) fn encode(fact: &Fact) -> Vec<u8> {
    record(fact).encode_to_vec()
}

/// The fact in `bytes`, which lies under this kind and name.
pub(super) fn decode(
    kind: u8,
    name: &str,
    bytes: &[u8],
    recent: &mut RecentNames,
) -> Result<Fact, RecordError> {
    match quick::fact(kind, name, bytes, recent) {
        Some(fact) => Ok(fact),
        None => decode_any(kind, name, bytes),
    }
}

fn decode_any(kind: u8, name: &str, bytes: &[u8]) -> Result<Fact, RecordError> {
    let record: FactRecord = read(bytes)?;
    let FactRecord { body } = record;
    let fact = fact(body.ok_or(RecordError::UnknownContent)?)?;
    let key = fact.key();
    if kind_number(key.kind()) != kind || place::name(&key) != name {
        return Err(RecordError::Misplaced(key));
    }
    Ok(fact)
}

/// A digest of a change set: equal exactly when the change sets are, change by change.
pub(super) fn digest(changes: &[Change]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut part = |mark: u8, bytes: &[u8]| {
        hash.update([mark]);
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    for change in changes {
        match change {
            Change::Put(fact) => part(0, &encode(fact)),
            Change::Delete { key, cascade } => {
                part(1 + u8::from(*cascade), &[kind_number(key.kind())]);
                part(3, place::name(key).as_bytes());
            }
        }
    }
    hash.finalize().into()
}

/// Decodes a message and makes sure that nothing in it was passed over: what it encodes to again
/// is as long as what was read.
fn read<M: Message + Default>(bytes: &[u8]) -> Result<M, RecordError> {
    let message = M::decode(bytes)?;
    if message.encoded_len() != bytes.len() {
        return Err(RecordError::UnknownContent);
    }
    Ok(message)
}

fn record(fact: &Fact) -> FactRecord {
    let body = match fact {
        Fact::ResourceType(fact) => Body::ResourceType(fact.as_ref().into()),
        Fact::Location(fact) => Body::Location(fact.as_ref().into()),
        Fact::BusinessRole(fact) => Body::BusinessRole(fact.as_ref().into()),
        Fact::AccessLevel(fact) => Body::AccessLevel(fact.as_ref().into()),
        Fact::Person(fact) => Body::Person(fact.as_ref().into()),
        Fact::Account(fact) => Body::Account(fact.as_ref().into()),
        Fact::Group(fact) => Body::Group(fact.as_ref().into()),
        Fact::SetGroup(fact) => Body::SetGroup(fact.as_ref().into()),
        Fact::ManagementRoleDefinition(fact) => {
            Body::ManagementRoleDefinition(fact.as_ref().into())
        }
        Fact::ManagementRole(fact) => Body::ManagementRole(fact.as_ref().into()),
        Fact::Resource(fact) => Body::Resource(fact.as_ref().into()),
        Fact::Assignment(fact) => Body::Assignment(fact.as_ref().into()),
        Fact::ResourceGroup(fact) => Body::ResourceGroup(fact.as_ref().into()),
        Fact::Share(fact) => Body::Share(fact.as_ref().into()),
        Fact::PermissionLevel(fact) => Body::PermissionLevel(fact.as_ref().into()),
        Fact::Psm(fact) => Body::Psm(fact.as_ref().into()),
        Fact::Eligibility(fact) => Body::Eligibility(fact.as_ref().into()),
    };
    FactRecord { body: Some(body) }
}

fn fact(body: Body) -> Result<Fact, RecordError> {
    Ok(match body {
        Body::ResourceType(record) => record.into_fact()?.into(),
        Body::Location(record) => record.into_fact()?.into(),
        Body::BusinessRole(record) => record.into_fact()?.into(),
        Body::AccessLevel(record) => record.into_fact()?.into(),
        Body::Person(record) => record.into_fact()?.into(),
        Body::Account(record) => record.into_fact()?.into(),
        Body::Group(record) => record.into_fact()?.into(),
        Body::SetGroup(record) => record.into_fact()?.into(),
        Body::ManagementRoleDefinition(record) => record.into_fact()?.into(),
        Body::ManagementRole(record) => record.into_fact()?.into(),
        Body::Resource(record) => record.into_fact()?.into(),
        Body::Assignment(record) => record.into_fact()?.into(),
        Body::ResourceGroup(record) => record.into_fact()?.into(),
        Body::Share(record) => record.into_fact()?.into(),
        Body::PermissionLevel(record) => record.into_fact()?.into(),
        Body::Psm(record) => record.into_fact()?.into(),
        Body::Eligibility(record) => record.into_fact()?.into(),
    })
}
