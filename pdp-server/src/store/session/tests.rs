//! The rows of sessions: what comes back, what stops the start, and a file of the time before.

use std::collections::BTreeMap;

use pdp_engine::id::{AccountId, GroupId, ObjectId, PermissionLevelId, PersonId, SessionId};
use pdp_engine::query::Reason;
use pdp_engine::session::JitAccount;
use pdp_engine::time::Timestamp;
use redb::{Builder, ReadableTableMetadata as _};

use super::*;
use crate::session::{
    End, Ended, Happened, Privilege, RequestKey, Revocation, RevocationKind, Session, SessionEvent,
    Settled, Settlement,
};
use crate::store::audit::{AUDIT, AUDIT_HEADS};
use crate::store::disk::Disk;
use crate::store::rows::{FORMAT_KEY, META};
use crate::store::tests::{AT, closed, tenant};

/// A session of each end, with work in each state.
fn sessions() -> Vec<Session> {
    let ends = [
        None,
        Some(End::Closed),
        Some(End::Expired),
        Some(End::Forced),
        Some(End::Revoked(Reason::Excluded)),
    ];
    let session = |(number, why): (u64, Option<End>)| {
        let privilege = Privilege {
            level: PermissionLevelId::new("admin").unwrap(),
            group: GroupId::new("g").unwrap(),
            account: AccountId::new(format!("c/p_{number:012}")).unwrap(),
            jit: number % 2 == 0,
            reused: number == 2,
            delete_account: number % 4 == 0,
        };
        let kinds = RevocationKind::ALL.into_iter().take(usize::try_from(number % 3).unwrap());
        let settled = [None, Some(Settlement::Done), Some(Settlement::Superseded)];
        let work = |(n, kind): (usize, _)| Revocation {
            kind,
            due: AT,
            failures: 2,
            last_failure: "no answer".to_owned(),
            not_before: Some(Timestamp::from_micros(-9)),
            settled: settled[n].map(|how| Settled { at: AT, how }),
        };
        Session {
            number,
            id: SessionId::new(format!("s-{number}")).unwrap(),
            person: PersonId::new("p").unwrap(),
            computer: ObjectId::new("c").unwrap(),
            privilege: (number != 3).then_some(privilege),
            opened: Timestamp::from_micros(-1),
            not_after: Timestamp::from_micros(i64::MAX),
            ended: why.map(|why| Ended { at: AT, why }),
            request_key: RequestKey::new(format!("k-{number}")).unwrap(),
            revocations: if why.is_some() { kinds.enumerate().map(work).collect() } else { vec![] },
        }
    };
    (1..).zip(ends).map(session).collect()
}

fn account(name: &str) -> JitAccount {
    JitAccount {
        id: AccountId::new(name).unwrap(),
        person: PersonId::new("p").unwrap(),
        computer: ObjectId::new("c").unwrap(),
        kept: true,
    }
}

/// A step that writes all of that.
fn turn() -> Turn {
    let event = SessionEvent {
        session: SessionId::new("s-1").unwrap(),
        computer: ObjectId::new("c").unwrap(),
        level: None,
        account: None,
        what: Happened::Renewed { not_after: AT },
    };
    Turn {
        sessions: sessions(),
        forgotten: Vec::new(),
        accounts: vec![
            (account("a").id, Some(account("a"))),
            (account("b").id, Some(account("b"))),
        ],
        next: Some(Numbers { session: 6, account: 4 }),
        events: vec![(PersonId::new("p").unwrap(), event)],
    }
}

fn open(bytes: Vec<u8>) -> Store {
    Store::with_backend(Disk::holding(bytes)).unwrap()
}

/// The bytes of a closed store with those sessions.
fn with_sessions() -> Vec<u8> {
    let disk = Disk::holding(closed());
    let store = Store::with_backend(disk.clone()).unwrap();
    store.commit_sessions(&tenant(), &turn(), AT).unwrap();
    drop(store);
    disk.live()
}

/// The same after `edit` was committed to it behind the store's back.
fn edited(bytes: Vec<u8>, edit: impl FnOnce(&WriteTransaction)) -> Vec<u8> {
    let disk = Disk::holding(bytes);
    let db = Builder::new().create_with_backend(disk.clone()).unwrap();
    let txn = db.begin_write().unwrap();
    edit(&txn);
    txn.commit().unwrap();
    drop(db);
    disk.live()
}

fn loaded(store: &Store) -> StoredSessions {
    let mut tenants = store.load().unwrap();
    let at = tenants.iter().position(|it| it.id == tenant()).unwrap();
    tenants.swap_remove(at).sessions
}

#[test]
fn sessions_and_their_accounts_come_back() {
    let store = open(with_sessions());
    let StoredSessions { sessions: read, accounts, next } = loaded(&store);
    assert_eq!((read, next), (sessions(), Numbers { session: 6, account: 4 }));
    assert_eq!(accounts, [account("a"), account("b")]);
    assert_eq!(store.load().unwrap()[0].seen, AT, "the audit says how far time had come");

    let turn = Turn {
        sessions: vec![sessions().remove(1)],
        forgotten: vec![3],
        accounts: vec![(account("a").id, None)],
        ..Turn::default()
    };
    store.commit_sessions(&tenant(), &turn, AT).unwrap();
    let StoredSessions { sessions: read, accounts, next } = loaded(&store);
    assert_eq!(read.iter().map(|it| it.number).collect::<Vec<_>>(), [1, 2, 4, 5]);
    assert_eq!((accounts, next.session), (vec![account("b")], 6));
    let other = TenantId::new("other").unwrap();
    let error = store.commit_sessions(&other, &turn, AT).unwrap_err();
    assert!(matches!(error, StoreError::NoTenant(_)), "{error}");
}

#[test]
fn a_file_of_the_time_before_sessions_opens_and_takes_some() {
    let without = |txn: &WriteTransaction| {
        assert!(txn.delete_table(SESSIONS).unwrap());
        assert!(txn.delete_table(ACCOUNTS).unwrap());
        assert!(txn.delete_table(NUMBERS).unwrap());
    };
    let audited = edited(closed(), without);
    let unaudited = edited(closed(), |txn| {
        without(txn);
        txn.delete_table(AUDIT).unwrap();
        txn.delete_table(AUDIT_HEADS).unwrap();
        txn.open_table(META).unwrap().insert(FORMAT_KEY, 1).unwrap();
    });
    for bytes in [audited, unaudited] {
        let store = open(bytes);
        store.upgrade(AT).unwrap();
        let StoredSessions { sessions: read, accounts, next } = loaded(&store);
        assert!(read.is_empty() && accounts.is_empty());
        assert_eq!(next, Numbers::default());
        store.commit_sessions(&tenant(), &turn(), AT).unwrap();
        assert_eq!(loaded(&store).sessions, sessions());
        store.delete_tenant(&tenant(), AT).unwrap();
    }
    // What was never written to is deleted, too.
    let store = open(edited(closed(), without));
    store.delete_tenant(&tenant(), AT).unwrap();
}

#[test]
fn a_record_of_a_session_that_cannot_be_read_stops_the_start() {
    let good = encode_session(&sessions()[0]);
    let unknown = [good.as_slice(), &[0xfa, 0x01, 0x01, 0x00]].concat();
    let put = |number: u64, bytes: &[u8]| {
        edited(with_sessions(), |txn| {
            txn.open_table(SESSIONS).unwrap().insert(("acme", number), bytes).unwrap();
        })
    };
    let account_record = encode_account(&account("a"));
    let put_account = |name: &str, bytes: &[u8]| {
        edited(with_sessions(), |txn| {
            txn.open_table(ACCOUNTS).unwrap().insert(("acme", name), bytes).unwrap();
        })
    };
    for (what, bytes, place) in [
        ("no message", put(1, b"\xff\xff"), "session 1 of"),
        ("an unknown field", put(1, &unknown), "session 1 of"),
        ("another number", put(2, &good), "session 2 of"),
        ("nothing", put(5, b""), "session 5 of"),
        ("no message", put_account("a", b"\xff\xff"), "session account `a` of"),
        ("another name", put_account("b", &account_record), "session account `b` of"),
    ] {
        let error = open(bytes).load().unwrap_err();
        assert!(matches!(error, StoreError::Record { .. }), "{what}: {error}");
        assert!(error.to_string().contains(&format!("{place} tenant `acme`")), "{error}");
        assert!(error.to_string().contains("restore a backup"), "{error}");
    }
}

#[test]
fn numbers_that_could_be_given_twice_stop_the_start() {
    for numbers in [None, Some((5, 4))] {
        let bytes = edited(with_sessions(), |txn| {
            let mut table = txn.open_table(NUMBERS).unwrap();
            table.remove("acme").unwrap().unwrap();
            if let Some(numbers) = numbers {
                table.insert("acme", numbers).unwrap();
            }
        });
        let error = open(bytes).load().unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains("session 5 of tenant `acme`"), "{error}");
    }
}

#[test]
fn deleting_a_tenant_takes_its_sessions_and_no_others() {
    let store = open(with_sessions());
    let neighbours = ["acm", "acme2", "acme\u{20}"].map(|id| TenantId::new(id).unwrap());
    for id in &neighbours {
        store.create_tenant(id, AT).unwrap();
        store.commit_sessions(id, &turn(), AT).unwrap();
    }
    store.delete_tenant(&tenant(), AT).unwrap();
    let txn = store.begin_read().unwrap();
    let each = |count: u64| count * neighbours.len() as u64;
    assert_eq!(txn.open_table(SESSIONS).unwrap().len().unwrap(), each(5));
    assert_eq!(txn.open_table(ACCOUNTS).unwrap().len().unwrap(), each(2));
    assert_eq!(txn.open_table(NUMBERS).unwrap().len().unwrap(), each(1));
    for stored in store.load().unwrap() {
        assert!(neighbours.contains(&stored.id));
        assert_eq!(stored.sessions.sessions, sessions());
    }
    // Created again, it begins anew.
    store.create_tenant(&tenant(), AT).unwrap();
    assert_eq!(loaded(&store).next, Numbers::default());
    assert!(loaded(&store).sessions.is_empty());
}

/// What comes of flipping a bit in each few bytes in use.
fn flip_bits(bytes: &[u8], before: &[Session]) -> BTreeMap<&'static str, usize> {
    let mut outcomes = BTreeMap::new();
    let used = (0..bytes.len()).filter(|at| bytes[*at] != 0);
    for at in used.step_by(5) {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1 << (at % 8);
        let loaded = Store::with_backend(Disk::holding(flipped)).and_then(|store| store.load());
        let outcome = match loaded {
            Err(StoreError::Corrupt { .. } | StoreError::FileFormat { .. }) => "noticed",
            Err(other) => panic!("byte {at}: {other}"),
            Ok(tenants) => match tenants.first().map(|it| it.sessions.sessions.as_slice()) {
                Some(read) if read == sessions() => "harmless",
                Some(read) if read == before => "one step back",
                other => panic!("byte {at}: {other:?}"),
            },
        };
        *outcomes.entry(outcome).or_insert(0) += 1;
    }
    outcomes
}

#[test]
fn a_flipped_bit_of_a_session_is_noticed_or_harmless() {
    let closed = flip_bits(&with_sessions(), &[]);
    println!("a closed server's file: {closed:?}");
    assert!(!closed.contains_key("one step back") && closed["noticed"] > 300, "{closed:?}");

    // A server that was killed right after a session has ended. What only opens or renews is written in
    // one phase, and damage there can pass for a step that never finished.
    let disk = Disk::holding(with_sessions());
    let store = Store::with_backend(disk.clone()).unwrap();
    let mut before = sessions();
    before[1].ended = None;
    let open = Turn { sessions: before.clone(), ..turn() };
    store.commit_sessions(&tenant(), &open, AT).unwrap();
    let what = Happened::Ended { at: AT, why: End::Closed, note: String::new() };
    let mut ends = turn();
    ends.events[0].1.what = what;
    store.commit_sessions(&tenant(), &ends, AT).unwrap();
    let killed = flip_bits(&disk.live(), &before);
    println!("a killed server's file, after a session has ended: {killed:?}");
    assert!(!killed.contains_key("one step back") && killed["noticed"] > 300, "{killed:?}");
}
