//! Brokers that race: for the last place on a computer, and against a change of the policy.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use pdp_engine::facts::Change;
use pdp_engine::id::{SessionId, TenantId};
use pdp_engine::query::Reason;

use crate::clock::Clock;
use crate::publish::{Apply, DEFAULT_TENANT, Publisher, SessionFilter};
use crate::session::sample::{COMPUTERS, HOUR, PEOPLE, World, at, is_member};
use crate::session::{Open, Opened, RequestKey};
use crate::store::Store;
use crate::store::disk::Disk;

const BROKERS: usize = 100;

fn tenant() -> TenantId {
    TenantId::new(DEFAULT_TENANT).unwrap()
}

fn publisher(world: &World) -> Publisher {
    let store = Store::with_backend(Disk::default()).unwrap();
    let publisher = Publisher::open(store, Clock::fixed(at(HOUR))).unwrap();
    apply(&publisher, &world.whole());
    publisher
}

fn apply(publisher: &Publisher, changes: &[Change]) {
    let apply =
        Apply { changes, expected: None, dry_run: false, request_id: None, on_behalf_of: None };
    publisher.apply(&tenant(), apply).unwrap();
}

fn open(publisher: &Publisher, name: &str, person: &str, computer: &str) -> Opened {
    let (key, id) = (RequestKey::new(name).unwrap(), SessionId::new(name).unwrap());
    let request = Open { key: &key, person, computer, level: Some("l0") };
    publisher.open_session(&tenant(), request, id).unwrap()
}

fn open_now(publisher: &Publisher) -> usize {
    let filter = SessionFilter { open: Some(true), ..SessionFilter::default() };
    publisher.sessions(&tenant(), &filter, 0, usize::MAX, publisher.now()).unwrap().len()
}

#[test]
fn a_hundred_brokers_never_open_one_session_too_many() {
    let mut races = 0;
    for computer in COMPUTERS {
        for limit in [1, 2, 7, 50, 99] {
            let world = World::open().with(|world| world.computer(computer).max_concurrent = limit);
            let publisher = publisher(&world);
            for round in 0..2 {
                let (start, opened) = (Barrier::new(BROKERS), AtomicUsize::new(0));
                std::thread::scope(|scope| {
                    for broker in 0..BROKERS {
                        let (publisher, start, opened) = (&publisher, &start, &opened);
                        scope.spawn(move || {
                            let name = format!("{round}-{broker}");
                            start.wait();
                            match open(publisher, &name, PEOPLE[broker % 3], computer) {
                                Opened::New(..) => {
                                    opened.fetch_add(1, Ordering::SeqCst);
                                }
                                Opened::Denied(denied) => {
                                    assert_eq!(denied.reason, Reason::SessionLimit);
                                }
                                Opened::Replayed(session, _) => panic!("{session:?}"),
                            }
                            // What is seen at any time is never more than the limit.
                            assert!(open_now(publisher) <= limit as usize);
                        });
                    }
                });
                assert_eq!(opened.into_inner(), limit as usize, "on {computer}");
                assert_eq!(open_now(&publisher), limit as usize);
                races += 1;
                let everybody = crate::session::Selection::default();
                let ended = publisher.end_sessions(&tenant(), &everybody, "").unwrap();
                assert_eq!(ended, limit as usize);
                assert_eq!(open_now(&publisher), 0);
            }
        }
    }
    println!("{races} races of {BROKERS} brokers");
}

#[test]
fn a_repeated_request_that_races_itself_opens_one_session() {
    let publisher = publisher(&World::open());
    for round in 0..20 {
        let (start, opened) = (Barrier::new(8), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    match open(&publisher, &format!("r{round}"), "p0", "c1") {
                        Opened::New(..) => {
                            opened.fetch_add(1, Ordering::SeqCst);
                        }
                        Opened::Replayed(session, _) => {
                            assert_eq!(session.request_key.as_str(), format!("r{round}"));
                        }
                        Opened::Denied(decision) => panic!("{decision:?}"),
                    }
                });
            }
        });
        assert_eq!(opened.into_inner(), 1);
    }
    assert_eq!(open_now(&publisher), 20);
}

#[test]
fn whoever_is_excluded_while_opening_is_no_member_afterwards() {
    let (mut first, mut second) = (0, 0);
    for round in 0..100 {
        let world = World::open();
        let publisher = publisher(&world);
        let excluded = world.with(|world| world.exclude("p0", "l0", "c0"));
        let changes = excluded.changes(&world);
        let start = Barrier::new(2);
        // Either may come first; one of them is held back a little more each time.
        let hold_back = |how_long: usize| (0..how_long * 500).for_each(|_| std::hint::spin_loop());
        let opened = std::thread::scope(|scope| {
            let opening = scope.spawn(|| {
                start.wait();
                hold_back(round % 50);
                open(&publisher, "k", "p0", "c0")
            });
            start.wait();
            hold_back((99 - round) % 50);
            apply(&publisher, &changes);
            opening.join().unwrap()
        });
        match opened {
            Opened::New(..) => first += 1,
            Opened::Denied(denied) => {
                assert_eq!(denied.reason, Reason::Excluded);
                second += 1;
            }
            Opened::Replayed(session, _) => panic!("{session:?}"),
        }
        let snapshot = publisher.snapshot(DEFAULT_TENANT).unwrap();
        assert!(!is_member(&snapshot, "a0", "g0", publisher.now()));
        drop(snapshot);
        publisher.sweep_sessions().unwrap();
        assert_eq!(open_now(&publisher), 0, "and the sweep ends what was opened");
    }
    println!("opened before the exclusion {first} times, after it {second} times");
    assert_eq!(first + second, 100);
}
