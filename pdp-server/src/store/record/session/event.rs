//! What the audit says of sessions, on disk.

use pdp_engine::id::{AccountId, GroupId, ObjectId, PermissionLevelId, SessionId};
use pdp_engine::time::Timestamp;
use prost::Message;

use super::super::RecordError;
use super::{
    EndedRecord, KindNumber, SettlementNumber, ended_record, into_ended, into_kind, into_settlement,
};
use crate::session::{Ended, Happened, SessionEvent};

#[derive(Clone, PartialEq, Message)]
pub(in crate::store::record) struct SessionEventRecord {
    #[prost(string, tag = "1")]
    session: String,
    #[prost(string, tag = "2")]
    computer: String,
    #[prost(string, optional, tag = "3")]
    level: Option<String>,
    #[prost(string, optional, tag = "4")]
    account: Option<String>,
    #[prost(oneof = "HappenedRecord", tags = "5, 6, 7, 8, 9, 10")]
    what: Option<HappenedRecord>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum HappenedRecord {
    #[prost(message, tag = "5")]
    Opened(OpenedRecord),
    #[prost(message, tag = "6")]
    Renewed(RenewedRecord),
    #[prost(message, tag = "7")]
    Ended(EndedEventRecord),
    #[prost(message, tag = "8")]
    Due(DueRecord),
    #[prost(message, tag = "9")]
    Settled(SettledEventRecord),
    #[prost(message, tag = "10")]
    Failed(FailedRecord),
}

#[derive(Clone, PartialEq, Message)]
struct OpenedRecord {
    #[prost(string, optional, tag = "1")]
    group: Option<String>,
    #[prost(sint64, tag = "2")]
    not_after: i64,
}

#[derive(Clone, PartialEq, Message)]
struct RenewedRecord {
    #[prost(sint64, tag = "1")]
    not_after: i64,
}

#[derive(Clone, PartialEq, Message)]
struct EndedEventRecord {
    #[prost(message, optional, tag = "1")]
    ended: Option<EndedRecord>,
    #[prost(string, tag = "2")]
    note: String,
}

#[derive(Clone, PartialEq, Message)]
struct DueRecord {
    #[prost(enumeration = "KindNumber", tag = "1")]
    kind: i32,
}

#[derive(Clone, PartialEq, Message)]
struct SettledEventRecord {
    #[prost(enumeration = "KindNumber", tag = "1")]
    kind: i32,
    #[prost(enumeration = "SettlementNumber", tag = "2")]
    how: i32,
}

#[derive(Clone, PartialEq, Message)]
struct FailedRecord {
    #[prost(enumeration = "KindNumber", tag = "1")]
    kind: i32,
    #[prost(string, tag = "2")]
    message: String,
}

impl From<&SessionEvent> for SessionEventRecord {
    fn from(event: &SessionEvent) -> Self {
        let SessionEvent { session, computer, level, account, what } = event;
        let what = match what {
            Happened::Opened { group, not_after } => HappenedRecord::Opened(OpenedRecord {
                group: group.as_ref().map(ToString::to_string),
                not_after: not_after.as_micros(),
            }),
            Happened::Renewed { not_after } => {
                HappenedRecord::Renewed(RenewedRecord { not_after: not_after.as_micros() })
            }
            Happened::Ended { at, why, note } => HappenedRecord::Ended(EndedEventRecord {
                ended: Some(ended_record(Ended { at: *at, why: *why })),
                note: note.clone(),
            }),
            Happened::RevocationDue(kind) => {
                HappenedRecord::Due(DueRecord { kind: KindNumber::from(*kind).into() })
            }
            Happened::RevocationSettled(kind, how) => HappenedRecord::Settled(SettledEventRecord {
                kind: KindNumber::from(*kind).into(),
                how: SettlementNumber::from(*how).into(),
            }),
            Happened::RevocationFailed { kind, message } => HappenedRecord::Failed(FailedRecord {
                kind: KindNumber::from(*kind).into(),
                message: message.clone(),
            }),
        };
        Self {
            session: session.to_string(),
            computer: computer.to_string(),
            level: level.as_ref().map(ToString::to_string),
            account: account.as_ref().map(ToString::to_string),
            what: Some(what),
        }
    }
}

impl TryFrom<SessionEventRecord> for SessionEvent {
    type Error = RecordError;

    fn try_from(record: SessionEventRecord) -> Result<Self, RecordError> {
        let SessionEventRecord { session, computer, level, account, what } = record;
        let what = match what.ok_or(RecordError::UnknownContent)? {
            HappenedRecord::Opened(OpenedRecord { group, not_after }) => Happened::Opened {
                group: group.map(GroupId::new).transpose()?,
                not_after: Timestamp::from_micros(not_after),
            },
            HappenedRecord::Renewed(RenewedRecord { not_after }) => {
                Happened::Renewed { not_after: Timestamp::from_micros(not_after) }
            }
            HappenedRecord::Ended(EndedEventRecord { ended, note }) => {
                let Ended { at, why } = into_ended(ended.ok_or(RecordError::Missing("ended"))?)?;
                Happened::Ended { at, why, note }
            }
            HappenedRecord::Due(DueRecord { kind }) => Happened::RevocationDue(into_kind(kind)?),
            HappenedRecord::Settled(SettledEventRecord { kind, how }) => {
                Happened::RevocationSettled(into_kind(kind)?, into_settlement(how)?)
            }
            HappenedRecord::Failed(FailedRecord { kind, message }) => {
                Happened::RevocationFailed { kind: into_kind(kind)?, message }
            }
        };
        Ok(Self {
            session: SessionId::new(session)?,
            computer: ObjectId::new(computer)?,
            level: level.map(PermissionLevelId::new).transpose()?,
            account: account.map(AccountId::new).transpose()?,
            what,
        })
    }
}
