//! The bytes of sessions, of the accounts that were made for them, and of what the audit says of both.

use pdp_engine::id::{AccountId, GroupId, ObjectId, PermissionLevelId, PersonId, SessionId};
use pdp_engine::query::{Reason, Revision};
use pdp_engine::session::JitAccount;
use pdp_engine::time::Timestamp;

use super::*;
use crate::audit::{Entry, Event};
use crate::session::{
    End, Ended, Happened, Privilege, RequestKey, Revocation, RevocationKind, Session, SessionEvent,
    Settled, Settlement,
};

const ENDS: [End; 4] = [End::Closed, End::Expired, End::Forced, End::Revoked(Reason::Excluded)];

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn privilege() -> Privilege {
    Privilege {
        level: PermissionLevelId::new("v").unwrap(),
        group: GroupId::new("g").unwrap(),
        account: AccountId::new("a").unwrap(),
        jit: true,
        reused: true,
        delete_account: true,
    }
}

fn revocation(kind: RevocationKind, how: Settlement) -> Revocation {
    Revocation {
        kind,
        due: at(4),
        failures: 5,
        last_failure: "f".to_owned(),
        not_before: Some(at(6)),
        settled: Some(Settled { at: at(7), how }),
    }
}

fn session(ended: Option<End>) -> Session {
    Session {
        number: 1,
        id: SessionId::new("s").unwrap(),
        person: PersonId::new("p").unwrap(),
        computer: ObjectId::new("c").unwrap(),
        privilege: None,
        opened: at(-1),
        not_after: at(2),
        ended: ended.map(|why| Ended { at: at(3), why }),
        request_key: RequestKey::new("k").unwrap(),
        revocations: Vec::new(),
    }
}

/// A session with nothing in it, one of each end, and one with something in every field.
fn sessions() -> Vec<Session> {
    let mut all = vec![session(None)];
    all.extend(ENDS.map(|end| session(Some(end))));
    let [group, account] = RevocationKind::ALL;
    let revocations =
        vec![revocation(group, Settlement::Superseded), revocation(account, Settlement::Done)];
    all.push(Session { privilege: Some(privilege()), revocations, ..session(Some(End::Closed)) });
    all
}

const SESSIONS: &[&str] = &[
    "08011201731a0170220163300138044a016b",
    "08011201731a0170220163300138044204080610014a016b",
    "08011201731a0170220163300138044204080610024a016b",
    "08011201731a0170220163300138044204080610034a016b",
    "08011201731a017022016330013804420e080610041a084558434c554445444a016b",
    "08011201731a01702201632a0f0a01761201671a0161200128013001300138044204080610014a01\
     6b5211080110081805220166280c3204080e10025211080210081805220166280c3204080e1001",
];

const ACCOUNT: &str = "0a01611201701a01632001";

/// One entry for each thing that happens, with something in every field.
fn events() -> Vec<Entry> {
    let [group, account] = RevocationKind::ALL;
    let opened = |group| Happened::Opened { group, not_after: at(2) };
    let mut what = vec![
        opened(Some(GroupId::new("g").unwrap())),
        opened(None),
        Happened::Renewed { not_after: at(2) },
        Happened::RevocationDue(group),
        Happened::RevocationSettled(account, Settlement::Done),
        Happened::RevocationSettled(group, Settlement::Superseded),
        Happened::RevocationFailed { kind: account, message: "m".to_owned() },
    ];
    what.extend(ENDS.map(|why| Happened::Ended { at: at(3), why, note: "n".to_owned() }));
    let entry = |what| {
        let event = SessionEvent {
            session: SessionId::new("s").unwrap(),
            computer: ObjectId::new("c").unwrap(),
            level: Some(PermissionLevelId::new("v").unwrap()),
            account: Some(AccountId::new("a").unwrap()),
            what,
        };
        Entry {
            at: at(-1),
            revision: Revision::new(4),
            person: Some(PersonId::new("p").unwrap()),
            caller: None,
            event: Event::Session(event),
        }
    };
    what.into_iter().map(entry).collect()
}

const EVENTS: &[&str] = &[
    "080510ffffffffffffffffff0118042201704a130a01731201631a01762201612a050a01671004",
    "080510ffffffffffffffffff0118042201704a100a01731201631a01762201612a021004",
    "080510ffffffffffffffffff0118042201704a100a01731201631a017622016132020804",
    "080510ffffffffffffffffff0118042201704a100a01731201631a017622016142020801",
    "080510ffffffffffffffffff0118042201704a120a01731201631a01762201614a0408021001",
    "080510ffffffffffffffffff0118042201704a120a01731201631a01762201614a0408011002",
    "080510ffffffffffffffffff0118042201704a130a01731201631a01762201615205080212016d",
    "080510ffffffffffffffffff0118042201704a170a01731201631a01762201613a090a0408061001\
     12016e",
    "080510ffffffffffffffffff0118042201704a170a01731201631a01762201613a090a0408061002\
     12016e",
    "080510ffffffffffffffffff0118042201704a170a01731201631a01762201613a090a0408061003\
     12016e",
    "080510ffffffffffffffffff0118042201704a210a01731201631a01762201613a130a0e08061004\
     1a084558434c5544454412016e",
];

#[test]
fn a_session_has_its_bytes_and_reads_back() {
    let written: Vec<String> = sessions().iter().map(|it| hex(&encode_session(it))).collect();
    assert_eq!(written, SESSIONS, "{written:#?}");
    for session in sessions() {
        assert_eq!(decode_session(1, &encode_session(&session)), Ok(session));
    }
}

#[test]
fn an_account_that_was_made_has_its_bytes_and_reads_back() {
    let account = JitAccount {
        id: AccountId::new("a").unwrap(),
        person: PersonId::new("p").unwrap(),
        computer: ObjectId::new("c").unwrap(),
        kept: true,
    };
    assert_eq!(hex(&encode_account(&account)), ACCOUNT);
    assert_eq!(decode_account("a", &encode_account(&account)), Ok(account));
}

#[test]
fn what_the_audit_says_of_sessions_has_its_bytes_and_reads_back() {
    let written: Vec<String> = events().iter().map(|it| hex(&encode_entry(5, it))).collect();
    assert_eq!(written, EVENTS, "{written:#?}");
    for entry in events() {
        assert_eq!(decode_entry(&encode_entry(5, &entry)), Ok((5, entry)));
    }
}

#[test]
fn a_record_that_this_version_did_not_write_is_refused() {
    let good = encode_session(&sessions()[5]);
    let unknown = [good.as_slice(), &[0xfa, 0x01, 0x01, 0x00]].concat();
    assert_eq!(decode_session(1, &unknown), Err(RecordError::UnknownContent));
    let moved = RecordError::UnknownNumber { field: "number", value: 1 };
    assert_eq!(decode_session(2, &good), Err(moved));
    assert!(matches!(decode_session(0, &[]), Err(RecordError::Id(_))));
    // An end of a kind that this version does not know.
    let ended = encode_session(&sessions()[1]);
    let end = ended.windows(2).rposition(|pair| pair == [0x10, 0x01]).unwrap() + 1;
    let mut other = ended.clone();
    other[end] = 9;
    let unknown = RecordError::UnknownNumber { field: "why", value: 9 };
    assert_eq!(decode_session(1, &other), Err(unknown));
}
