//! What is left of sessions after a crash at every operation on the disk, a full disk, and an internal
//! error.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use pdp_engine::id::{SessionId, TenantId};

use super::open_by_now;
use crate::audit::Chain;
use crate::clock::Clock;
use crate::publish::durability::{Dice, cut};
use crate::publish::{
    Apply, ApplyError, DEFAULT_TENANT, Publisher, SessionError, SessionFilter, TenantError,
};
use crate::session::sample::{HOUR, SECOND, World, at, is_member};
use crate::session::{
    Open, Opened, Outcome, RequestKey, RevocationId, RevocationKind, Selection, Session,
};
use crate::store::disk::Disk;
use crate::store::{Store, StoreError};

const START: i64 = 100 * HOUR;

fn tenant() -> TenantId {
    TenantId::new(DEFAULT_TENANT).unwrap()
}

fn publisher(disk: &Disk, now: &Arc<AtomicI64>) -> Publisher {
    let now = Arc::clone(now);
    let clock = Clock::from_fn(move || at(now.load(Ordering::SeqCst)));
    Publisher::open(Store::with_backend(disk.clone()).unwrap(), clock).unwrap()
}

fn apply(publisher: &Publisher, before: Option<&World>, world: &World) -> Result<(), ApplyError> {
    let changes = before.map_or_else(|| world.whole(), |before| world.changes(before));
    let (expected, dry_run, request_id, on_behalf_of) = (None, false, None, None);
    let apply = Apply { changes: &changes, expected, dry_run, request_id, on_behalf_of };
    publisher.apply(&tenant(), apply).map(|_| ())
}

fn open(publisher: &Publisher, name: &str, computer: &str) -> Result<Opened, SessionError> {
    let (key, id) = (RequestKey::new(name).unwrap(), SessionId::new(name).unwrap());
    let request = Open { key: &key, person: "p0", computer, level: Some("l0") };
    publisher.open_session(&tenant(), request, id)
}

fn acknowledge(publisher: &Publisher, name: &str, kind: RevocationKind, outcome: Outcome<'_>) {
    let id = RevocationId { session: SessionId::new(name).unwrap(), kind };
    publisher.acknowledge(&tenant(), &id, outcome).unwrap();
}

fn shown(publisher: &Publisher) -> Vec<Session> {
    let all = publisher.sessions(&tenant(), &SessionFilter::default(), 0, 100, at(0)).unwrap();
    all.iter().map(|session| Session::clone(session)).collect()
}

type Step = fn(&Publisher, &AtomicI64);

/// Every kind of step, in an order in which each changes something.
const STEPS: [Step; 14] = [
    |publisher, _| apply(publisher, None, &World::open()).unwrap(),
    |publisher, _| drop(open(publisher, "own", "c0").unwrap()),
    |publisher, _| drop(open(publisher, "kept", "c1").unwrap()),
    |publisher, _| drop(open(publisher, "deleted", "c2").unwrap()),
    |publisher, now| {
        now.fetch_add(SECOND, Ordering::SeqCst);
        publisher.renew_session(&tenant(), "own").unwrap();
    },
    |publisher, _| drop(publisher.close_session(&tenant(), "own").unwrap()),
    |publisher, _| {
        let failed = Outcome::Failed("no answer");
        acknowledge(publisher, "own", RevocationKind::RemoveFromGroup, failed);
    },
    |publisher, _| drop(open(publisher, "again", "c0").unwrap()),
    |publisher, _| drop(publisher.close_session(&tenant(), "deleted").unwrap()),
    |publisher, _| {
        acknowledge(publisher, "deleted", RevocationKind::DeleteAccount, Outcome::Done);
    },
    |publisher, _| {
        let world = World::open();
        apply(publisher, Some(&world), &world.with(|it| it.exclude("p0", "l0", "c1"))).unwrap();
    },
    |publisher, _| publisher.sweep_sessions().unwrap(),
    |publisher, _| {
        let everybody = Selection::default();
        assert_eq!(publisher.end_sessions(&tenant(), &everybody, "a note").unwrap(), 1);
    },
    |publisher, _| {
        acknowledge(publisher, "again", RevocationKind::RemoveFromGroup, Outcome::Done);
    },
];

#[test]
fn a_crash_after_any_operation_leaves_a_step_whole_or_undone() {
    let (disk, now) = (Disk::default(), Arc::new(AtomicI64::new(START)));
    let publisher = self::publisher(&disk, &now);
    let state = |publisher: &Publisher| {
        let records = publisher.verify_audit(&Chain::Tenant(tenant())).unwrap();
        assert_eq!(records.broken, None);
        (shown(publisher), publisher.revision(DEFAULT_TENANT).unwrap(), records.records)
    };
    disk.mark(0);
    let mut states = vec![state(&publisher)];
    for (number, step) in STEPS.iter().enumerate() {
        step(&publisher, &now);
        disk.mark(number + 1);
        states.push(state(&publisher));
    }
    drop(publisher);
    let mut changed = states.windows(2).filter(|pair| pair[0] != pair[1]);
    assert_eq!(changed.by_ref().count(), STEPS.len(), "each changes something");

    let mut seen = BTreeMap::new();
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let crashes = cut(&[], &disk.log(), &mut dice, &mut |image, acknowledged| {
        let Some(acknowledged) = acknowledged else { return Ok(()) };
        let publisher = self::publisher(&Disk::holding(image), &now);
        let found = state(&publisher);
        let steps = [acknowledged, acknowledged + 1];
        let steps = steps.into_iter().find(|steps| states.get(*steps) == Some(&found));
        let Some(steps) = steps else {
            return Err(format!("{acknowledged} steps were acknowledged: {found:#?}"));
        };
        let how = if steps > acknowledged { "done all the same" } else { "as acknowledged" };
        *seen.entry(how).or_insert(0) += 1;
        Ok(())
    });
    let crashes = crashes.unwrap();
    println!("{} steps, {crashes} crashes: {seen:?}", STEPS.len());
    assert!(crashes > 500 && seen["done all the same"] > 10, "{crashes}: {seen:?}");
}

/// Opens a session on a disk that fails after `good` operations.
fn open_on_failing(good: usize, only_syncs: bool) -> Result<(), &'static str> {
    let (disk, now) = (Disk::default(), Arc::new(AtomicI64::new(START)));
    let publisher = self::publisher(&disk, &now);
    apply(&publisher, None, &World::open()).unwrap();
    open(&publisher, "first", "c1").unwrap();
    let before = shown(&publisher);
    disk.fail_after(good, only_syncs);
    let error = match open(&publisher, "second", "c0") {
        Ok(Opened::New(..)) => return Ok(()),
        Ok(other) => panic!("{other:?}"),
        Err(error) => error,
    };
    let member = |publisher: &Publisher, account| {
        let snapshot = publisher.snapshot(DEFAULT_TENANT).unwrap();
        is_member(&snapshot, account, "g0", publisher.now())
    };
    assert_eq!(shown(&publisher), before);
    assert!(!member(&publisher, "a0"), "no grant is stranded");
    assert!(member(&publisher, "c1/lana_000000000001"), "and none is lost");
    let close = publisher.close_session(&tenant(), "first").unwrap_err();
    assert!(matches!(close, SessionError::Store(StoreError::Stopped { .. })), "{close}");
    // What runs out is void all the same.
    now.fetch_add(9 * HOUR, Ordering::SeqCst);
    assert!(!member(&publisher, "c1/lana_000000000001"));
    publisher.sweep_sessions().unwrap_err();
    now.fetch_sub(9 * HOUR, Ordering::SeqCst);
    drop(publisher);

    // With room again.
    let publisher = self::publisher(&Disk::holding(disk.live()), &now);
    let key = RequestKey::new("second").unwrap();
    let found = publisher.session_by_key(&tenant(), &key).unwrap();
    assert_eq!(member(&publisher, "a0"), found.is_some(), "{error}");
    assert_eq!(shown(&publisher).len(), 1 + usize::from(found.is_some()));
    let again = open(&publisher, "second", "c0").unwrap();
    assert_eq!(matches!(again, Opened::Replayed(..)), found.is_some());
    assert!(member(&publisher, "a0"));
    match error {
        SessionError::Store(StoreError::OutcomeUnknown(_)) => Err("the outcome is unknown"),
        SessionError::Store(StoreError::Database(_)) => {
            assert_eq!(found, None);
            Err("nothing was committed")
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_full_disk_opens_no_session_and_strands_no_grant() {
    let mut failures = BTreeMap::new();
    for only_syncs in [false, true] {
        let mut good = 0;
        while let Err(kind) = open_on_failing(good, only_syncs) {
            *failures.entry(kind).or_insert(0) += 1;
            good += 1;
        }
    }
    println!("full disks: {failures:?}");
    assert!(failures["the outcome is unknown"] > 1, "{failures:?}");
}

#[test]
fn a_clock_that_is_set_back_revives_nothing() {
    for back in [SECOND, 7 * HOUR, 50 * HOUR] {
        let (disk, now) = (Disk::default(), Arc::new(AtomicI64::new(START)));
        let publisher = self::publisher(&disk, &now);
        apply(&publisher, None, &World::open()).unwrap();
        open(&publisher, "old", "c1").unwrap();
        // By the time of the last record its time was over, which nobody has noticed.
        now.fetch_add(8 * HOUR, Ordering::SeqCst);
        open(&publisher, "new", "c0").unwrap();
        drop(publisher);
        now.fetch_sub(back, Ordering::SeqCst);
        // What is decided upon while the policy is loaded, and then.
        let store = Store::with_backend(Disk::holding(disk.live())).unwrap();
        let stored = store.load().unwrap().remove(0);
        let early = open_by_now(stored.sessions, stored.seen, at(now.load(Ordering::SeqCst)));
        let early = World::open().compiled(stored.revision.get()).with_sessions(early);
        drop(store);
        let publisher = self::publisher(&Disk::holding(disk.live()), &now);
        let ended = |id| publisher.session(&tenant(), id).unwrap().unwrap().ended.is_some();
        assert!(ended("old"), "it had run out");
        assert!(ended("new"), "it begins later than now, so that its time is not known");
        let snapshot = publisher.snapshot(DEFAULT_TENANT).unwrap();
        for passed in [0, back, 2 * back] {
            let now = at(now.load(Ordering::SeqCst) + passed);
            for snapshot in [&early, &**snapshot] {
                assert!(!is_member(snapshot, "c1/lana_000000000001", "g0", now));
                assert!(!is_member(snapshot, "a0", "g0", now));
            }
        }
        assert_eq!(shown(&publisher).iter().flat_map(Session::outstanding).count(), 2);
    }
}

#[test]
fn an_account_of_a_session_keeps_its_name_and_its_tenant() {
    let (disk, now) = (Disk::default(), Arc::new(AtomicI64::new(START)));
    let publisher = self::publisher(&disk, &now);
    let world = World::open();
    apply(&publisher, None, &world).unwrap();
    open(&publisher, "s", "c1").unwrap();
    let revision = publisher.revision(DEFAULT_TENANT);
    let taken = world.with(|world| {
        world.owners.insert("c1/lana_000000000001", Some("p1"));
    });
    for dry_run in [true, false] {
        let changes = taken.changes(&world);
        let (expected, request_id, on_behalf_of) = (None, None, None);
        let apply = Apply { changes: &changes, expected, dry_run, request_id, on_behalf_of };
        let error = publisher.apply(&tenant(), apply).unwrap_err();
        assert!(matches!(error, ApplyError::SessionAccount(_)), "{error}");
    }
    assert_eq!(publisher.revision(DEFAULT_TENANT), revision);
    let acme = TenantId::new("acme").unwrap();
    publisher.create_tenant(&acme).unwrap();
    let (expected, dry_run, request_id, on_behalf_of) = (None, false, None, None);
    let changes = world.whole();
    let whole = Apply { changes: &changes, expected, dry_run, request_id, on_behalf_of };
    publisher.apply(&acme, whole).unwrap();
    let (key, id) = (RequestKey::new("k").unwrap(), SessionId::new("s").unwrap());
    let request = Open { key: &key, person: "p0", computer: "c2", level: Some("l0") };
    publisher.open_session(&acme, request, id).unwrap();
    let refused = |publisher: &Publisher| {
        let error = publisher.delete_tenant(&acme).unwrap_err();
        assert!(matches!(error, TenantError::HasSessions { sessions: 1, .. }), "{error}");
    };
    refused(&publisher);
    publisher.close_session(&acme, "s").unwrap();
    refused(&publisher);
    for kind in RevocationKind::ALL {
        let id = RevocationId { session: SessionId::new("s").unwrap(), kind };
        publisher.acknowledge(&acme, &id, Outcome::Done).unwrap();
    }
    publisher.delete_tenant(&acme).unwrap();
    assert!(matches!(publisher.close_session(&acme, "s"), Err(SessionError::UnknownTenant(_))));
}

#[test]
fn an_internal_error_of_a_step_keeps_nobody_from_the_next() {
    let (disk, now) = (Disk::default(), Arc::new(AtomicI64::new(START)));
    let publisher = self::publisher(&disk, &now);
    let world = World::open();
    apply(&publisher, None, &world).unwrap();
    let tenants = publisher.0.tenants.load();
    let sessions = &tenants[&tenant()].sessions;
    std::thread::scope(|scope| {
        let step = scope.spawn(|| {
            let _turn = sessions.turn();
            panic!("as a step might")
        });
        step.join().unwrap_err();
    });
    assert!(matches!(open(&publisher, "s", "c0").unwrap(), Opened::New(..)));
    let more = world.with(|world| {
        world.owners.insert("another", None);
    });
    apply(&publisher, Some(&world), &more).unwrap();
    publisher.sweep_sessions().unwrap();
    assert_eq!(shown(&publisher).len(), 1);
}

/// Ends a session on a disk that fails after `good` operations.
fn close_on_failing(good: usize) -> Result<(), SessionError> {
    let (disk, now) = (Disk::default(), Arc::new(AtomicI64::new(START)));
    let publisher = self::publisher(&disk, &now);
    let world = World::open();
    apply(&publisher, None, &world).unwrap();
    open(&publisher, "s", "c0").unwrap();
    let member = |publisher: &Publisher| {
        let snapshot = publisher.snapshot(DEFAULT_TENANT).unwrap();
        is_member(&snapshot, "a0", "g0", publisher.now())
    };
    assert!(member(&publisher));
    disk.fail_after(good, false);
    let outcome = publisher.close_session(&tenant(), "s");
    assert!(!member(&publisher), "whatever became of it, it has ended for decisions");
    publisher.sweep_sessions().ok();
    apply(&publisher, Some(&world), &world.with(|it| it.exclude("p1", "l0", "c0"))).ok();
    assert!(!member(&publisher), "and it stays so");
    outcome.map(|_| ())
}

#[test]
fn a_session_that_cannot_be_ended_on_the_disk_has_ended_for_decisions() {
    let failures = (0..).map(close_on_failing).take_while(Result::is_err).count();
    println!("{failures} full disks");
    assert!(failures > 1);
}
