//! Disk records of sessions and of the accounts that were made for them.

mod event;

use pdp_engine::id::{AccountId, GroupId, ObjectId, PermissionLevelId, PersonId, SessionId};
use pdp_engine::query::Reason;
use pdp_engine::session::JitAccount;
use pdp_engine::time::Timestamp;
use prost::Message;

use super::{RecordError, read};
use crate::session::{
    End, Ended, Privilege, RequestKey, Revocation, RevocationKind, Session, Settled, Settlement,
};
pub(super) use event::SessionEventRecord;

#[derive(Clone, PartialEq, Message)]
struct SessionRecord {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(string, tag = "2")]
    id: String,
    #[prost(string, tag = "3")]
    person: String,
    #[prost(string, tag = "4")]
    computer: String,
    #[prost(message, optional, tag = "5")]
    privilege: Option<PrivilegeRecord>,
    /// Microseconds since 1970, as every instant here.
    #[prost(sint64, tag = "6")]
    opened: i64,
    #[prost(sint64, tag = "7")]
    not_after: i64,
    #[prost(message, optional, tag = "8")]
    ended: Option<EndedRecord>,
    #[prost(string, tag = "9")]
    request_key: String,
    #[prost(message, repeated, tag = "10")]
    revocations: Vec<RevocationRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct PrivilegeRecord {
    #[prost(string, tag = "1")]
    level: String,
    #[prost(string, tag = "2")]
    group: String,
    #[prost(string, tag = "3")]
    account: String,
    #[prost(bool, tag = "4")]
    jit: bool,
    #[prost(bool, tag = "5")]
    delete_account: bool,
    #[prost(bool, tag = "6")]
    reused: bool,
}

/// How a session ended; the audit uses it, too.
#[derive(Clone, PartialEq, Message)]
struct EndedRecord {
    #[prost(sint64, tag = "1")]
    at: i64,
    #[prost(enumeration = "EndNumber", tag = "2")]
    why: i32,
    /// The code of the reason, for a session that was revoked.
    #[prost(string, tag = "3")]
    reason: String,
}

#[derive(Clone, PartialEq, Message)]
struct RevocationRecord {
    #[prost(enumeration = "KindNumber", tag = "1")]
    kind: i32,
    #[prost(sint64, tag = "2")]
    due: i64,
    #[prost(uint32, tag = "3")]
    failures: u32,
    #[prost(string, tag = "4")]
    last_failure: String,
    #[prost(sint64, optional, tag = "5")]
    not_before: Option<i64>,
    #[prost(message, optional, tag = "6")]
    settled: Option<SettledRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct SettledRecord {
    #[prost(sint64, tag = "1")]
    at: i64,
    #[prost(enumeration = "SettlementNumber", tag = "2")]
    how: i32,
}

#[derive(Clone, PartialEq, Message)]
struct AccountRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    person: String,
    #[prost(string, tag = "3")]
    computer: String,
    #[prost(bool, tag = "4")]
    kept: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
enum EndNumber {
    Absent = 0,
    Closed = 1,
    Expired = 2,
    Forced = 3,
    Revoked = 4,
}

/// What is to be done after a session; the audit uses it, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
enum KindNumber {
    Absent = 0,
    RemoveFromGroup = 1,
    DeleteAccount = 2,
}

/// How work stopped being outstanding; the audit uses it, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
enum SettlementNumber {
    Absent = 0,
    Done = 1,
    Superseded = 2,
}

/// The bytes of a session.
pub(in crate::store) fn encode_session(session: &Session) -> Vec<u8> {
    let Session {
        number,
        id,
        person,
        computer,
        privilege,
        opened,
        not_after,
        ended,
        request_key,
        revocations,
    } = session;
    SessionRecord {
        number: *number,
        id: id.to_string(),
        person: person.to_string(),
        computer: computer.to_string(),
        privilege: privilege.as_ref().map(privilege_record),
        opened: opened.as_micros(),
        not_after: not_after.as_micros(),
        ended: ended.map(ended_record),
        request_key: request_key.to_string(),
        revocations: revocations.iter().map(revocation_record).collect(),
    }
    .encode_to_vec()
}

/// The session in `bytes`, which lies under this number.
pub(in crate::store) fn decode_session(at: u64, bytes: &[u8]) -> Result<Session, RecordError> {
    let SessionRecord {
        number,
        id,
        person,
        computer,
        privilege,
        opened,
        not_after,
        ended,
        request_key,
        revocations,
    } = read(bytes)?;
    if number != at {
        let value = i64::try_from(number).unwrap_or(i64::MAX);
        return Err(RecordError::UnknownNumber { field: "number", value });
    }
    Ok(Session {
        number,
        id: SessionId::new(id)?,
        person: PersonId::new(person)?,
        computer: ObjectId::new(computer)?,
        privilege: privilege.map(into_privilege).transpose()?,
        opened: Timestamp::from_micros(opened),
        not_after: Timestamp::from_micros(not_after),
        ended: ended.map(into_ended).transpose()?,
        request_key: RequestKey::new(request_key)?,
        revocations: revocations.into_iter().map(into_revocation).collect::<Result<_, _>>()?,
    })
}

/// The bytes of an account that was made for a session.
pub(in crate::store) fn encode_account(account: &JitAccount) -> Vec<u8> {
    let JitAccount { id, person, computer, kept } = account;
    AccountRecord {
        id: id.to_string(),
        person: person.to_string(),
        computer: computer.to_string(),
        kept: *kept,
    }
    .encode_to_vec()
}

/// The account in `bytes`, which lies under this name.
pub(in crate::store) fn decode_account(at: &str, bytes: &[u8]) -> Result<JitAccount, RecordError> {
    let AccountRecord { id, person, computer, kept } = read(bytes)?;
    if id != at {
        return Err(RecordError::Missing("id"));
    }
    Ok(JitAccount {
        id: AccountId::new(id)?,
        person: PersonId::new(person)?,
        computer: ObjectId::new(computer)?,
        kept,
    })
}

fn privilege_record(privilege: &Privilege) -> PrivilegeRecord {
    let Privilege { level, group, account, jit, reused, delete_account } = privilege;
    PrivilegeRecord {
        level: level.to_string(),
        group: group.to_string(),
        account: account.to_string(),
        jit: *jit,
        delete_account: *delete_account,
        reused: *reused,
    }
}

fn into_privilege(record: PrivilegeRecord) -> Result<Privilege, RecordError> {
    let PrivilegeRecord { level, group, account, jit, delete_account, reused } = record;
    Ok(Privilege {
        level: PermissionLevelId::new(level)?,
        group: GroupId::new(group)?,
        account: AccountId::new(account)?,
        jit,
        reused,
        delete_account,
    })
}

fn ended_record(ended: Ended) -> EndedRecord {
    let Ended { at, why } = ended;
    let (why, reason) = match why {
        End::Closed => (EndNumber::Closed, ""),
        End::Expired => (EndNumber::Expired, ""),
        End::Forced => (EndNumber::Forced, ""),
        End::Revoked(reason) => (EndNumber::Revoked, reason.as_str()),
    };
    EndedRecord { at: at.as_micros(), why: why.into(), reason: reason.to_owned() }
}

fn into_ended(record: EndedRecord) -> Result<Ended, RecordError> {
    let EndedRecord { at, why, reason } = record;
    let unknown = RecordError::UnknownNumber { field: "why", value: why.into() };
    let why = match EndNumber::try_from(why) {
        Ok(EndNumber::Closed) => End::Closed,
        Ok(EndNumber::Expired) => End::Expired,
        Ok(EndNumber::Forced) => End::Forced,
        Ok(EndNumber::Revoked) => {
            let known = Reason::ALL.into_iter().find(|it| it.as_str() == reason);
            End::Revoked(known.ok_or(RecordError::UnknownContent)?)
        }
        Ok(EndNumber::Absent) | Err(_) => return Err(unknown),
    };
    Ok(Ended { at: Timestamp::from_micros(at), why })
}

fn revocation_record(revocation: &Revocation) -> RevocationRecord {
    let Revocation { kind, due, failures, last_failure, not_before, settled } = revocation;
    RevocationRecord {
        kind: KindNumber::from(*kind).into(),
        due: due.as_micros(),
        failures: *failures,
        last_failure: last_failure.clone(),
        not_before: not_before.map(Timestamp::as_micros),
        settled: settled.map(|Settled { at, how }| SettledRecord {
            at: at.as_micros(),
            how: SettlementNumber::from(how).into(),
        }),
    }
}

fn into_revocation(record: RevocationRecord) -> Result<Revocation, RecordError> {
    let RevocationRecord { kind, due, failures, last_failure, not_before, settled } = record;
    let settled = settled.map(|SettledRecord { at, how }| {
        Ok::<_, RecordError>(Settled { at: Timestamp::from_micros(at), how: into_settlement(how)? })
    });
    Ok(Revocation {
        kind: into_kind(kind)?,
        due: Timestamp::from_micros(due),
        failures,
        last_failure,
        not_before: not_before.map(Timestamp::from_micros),
        settled: settled.transpose()?,
    })
}

fn into_kind(number: i32) -> Result<RevocationKind, RecordError> {
    match KindNumber::try_from(number) {
        Ok(KindNumber::RemoveFromGroup) => Ok(RevocationKind::RemoveFromGroup),
        Ok(KindNumber::DeleteAccount) => Ok(RevocationKind::DeleteAccount),
        Ok(KindNumber::Absent) | Err(_) => {
            Err(RecordError::UnknownNumber { field: "kind", value: number.into() })
        }
    }
}

fn into_settlement(number: i32) -> Result<Settlement, RecordError> {
    match SettlementNumber::try_from(number) {
        Ok(SettlementNumber::Done) => Ok(Settlement::Done),
        Ok(SettlementNumber::Superseded) => Ok(Settlement::Superseded),
        Ok(SettlementNumber::Absent) | Err(_) => {
            Err(RecordError::UnknownNumber { field: "how", value: number.into() })
        }
    }
}

impl From<RevocationKind> for KindNumber {
    fn from(kind: RevocationKind) -> Self {
        match kind {
            RevocationKind::RemoveFromGroup => Self::RemoveFromGroup,
            RevocationKind::DeleteAccount => Self::DeleteAccount,
        }
    }
}

impl From<Settlement> for SettlementNumber {
    fn from(how: Settlement) -> Self {
        match how {
            Settlement::Done => Self::Done,
            Settlement::Superseded => Self::Superseded,
        }
    }
}
