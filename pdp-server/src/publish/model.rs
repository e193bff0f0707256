//! The publisher under a scheduler that decides who goes on: wherever a thread comes to a lock or to the pointer of a
//! snapshot ([`crate::sync`]), another one may. Orders are drawn from a seed (`PDP_TEST_SCHEDULES` is how many for each
//! test), half of them with few changes of turn at places that are drawn, which find what needs just these; and where
//! a test is small, every order there is is tried.
//!
//! What is run is the code that serves, with a store in memory. The store is one step: no order goes through the
//! middle of a commit, which redb lets no two be in. Channels of `tokio` are one step, too; whoever waits on one
//! without an end and is never woken is found, as then nobody is left who could go on. The clock stands still, and no
//! timer fires. What the processor may make of the orders of its memory is beyond this, and so is a log that servers
//! share.

use std::collections::HashSet;
use std::sync::{Mutex, Weak};
use std::time::Duration;

use pdp_engine::id::SessionId;
use shuttle::future::block_on;
use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler};
use shuttle::{Runner, thread};

use super::*;
use crate::session::sample::{HOUR, World, at, is_member};
use crate::session::{Open, Opened, Outcome, RequestKey, RevocationId};
use crate::store::disk::Disk;

/// How many orders are drawn for each test where `PDP_TEST_SCHEDULES` does not say.
const SCHEDULES: usize = 400;

/// How often the turn changes at places that are drawn, in half of the orders.
const TURNS: usize = 3;

/// The account of a person's own, and the group that a session makes it a member of.
const MEMBER: (&str, &str) = ("a0", "g0");

/// Runs a test in many orders.
fn in_many_orders(test: impl Fn() + Send + Sync + 'static) {
    let schedules = std::env::var("PDP_TEST_SCHEDULES");
    let schedules = schedules.map_or(SCHEDULES, |count| count.parse().unwrap());
    // Whoever waits may name a time as well, for which `tokio` wants a clock.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    let (test, half) = (Arc::new(test), schedules.div_ceil(2));
    let same = Arc::clone(&test);
    let drawn = Runner::new(RandomScheduler::new_from_seed(2026, half), config());
    let mut orders = drawn.run(move || same());
    orders +=
        Runner::new(PctScheduler::new_from_seed(2026, TURNS, half), config()).run(move || test());
    println!("{orders} orders");
}

/// Runs a test in every order that there is.
fn in_every_order(test: impl Fn() + Send + Sync + 'static) {
    let orders = Runner::new(DfsScheduler::new(None, false), config()).run(test);
    println!("{orders} orders, which are all");
}

fn config() -> shuttle::Config {
    let mut config = shuttle::Config::new();
    // Compiling goes deep.
    config.stack_size = 1 << 20;
    config
}

fn publisher(world: &World) -> Publisher {
    let store = Store::with_backend(Disk::default()).unwrap();
    let publisher = Publisher::open(store, Clock::fixed(at(HOUR))).unwrap();
    apply(&publisher, &world.whole()).unwrap();
    publisher
}

fn tenant() -> TenantId {
    TenantId::new(DEFAULT_TENANT).unwrap()
}

fn apply(publisher: &Publisher, changes: &[Change]) -> Result<Receipt, ApplyError> {
    apply_to(publisher, &tenant(), changes, None)
}

fn apply_to(
    publisher: &Publisher,
    tenant: &TenantId,
    changes: &[Change],
    expected: Option<Revision>,
) -> Result<Receipt, ApplyError> {
    let request = Apply { changes, expected, dry_run: false, request_id: None, on_behalf_of: None };
    publisher.apply(tenant, request)
}

fn open(publisher: &Publisher, name: &str, person: &str, computer: &str) -> Opened {
    let (key, id) = (RequestKey::new(name).unwrap(), SessionId::new(name).unwrap());
    let request = Open { key: &key, person, computer, level: Some("l0") };
    publisher.open_session(&tenant(), request, id).unwrap()
}

/// The revision that decisions are made on, and whether the account is a member at it.
fn seen(publisher: &Publisher) -> (u64, bool) {
    let snapshot = publisher.snapshot(DEFAULT_TENANT).unwrap();
    let (account, group) = MEMBER;
    (snapshot.revision().get(), is_member(&snapshot, account, group, publisher.now()))
}

/// Whether the account is a member for decisions.
fn is_member_now(publisher: &Publisher, (account, group): (&str, &str)) -> bool {
    is_member(&publisher.snapshot(DEFAULT_TENANT).unwrap(), account, group, publisher.now())
}

/// How many snapshots and tables of tenants are kept for somebody.
fn buried(publisher: &Publisher) -> usize {
    let tenant = publisher.tenant(&tenant()).unwrap();
    let replaced = tenant.replaced.lock().unwrap_or_else(PoisonError::into_inner).len();
    let registry = publisher.0.registry.lock().unwrap_or_else(PoisonError::into_inner);
    replaced + registry.maps.len() + registry.snapshots.len()
}

/// The policy, and the same with the account listed as a member.
fn listed() -> (World, World) {
    let world = World::open();
    let listed = world.with(|world| world.listed.extend([MEMBER]));
    (world, listed)
}

#[test]
fn an_answer_is_of_one_revision_and_what_is_acknowledged_is_in_the_next() {
    let (world, listed) = listed();
    let sets = [(listed.changes(&world), true), (world.changes(&listed), false)];
    in_many_orders(move || {
        let publisher = publisher(&world);
        // Whether the account is a member, by revision, as the writers were told.
        let told = Arc::new(Mutex::new(vec![(1, false)]));
        let writers = sets.clone().map(|(changes, is_member)| {
            let (publisher, told) = (publisher.clone(), Arc::clone(&told));
            thread::spawn(move || {
                let revision = apply(&publisher, &changes).unwrap().revision.get();
                told.lock().unwrap().push((revision, is_member));
                assert!(seen(&publisher).0 >= revision, "it was acknowledged");
            })
        });
        let readers = [(); 2].map(|()| {
            let publisher = publisher.clone();
            thread::spawn(move || {
                [(); 2].map(|()| {
                    let answer = seen(&publisher);
                    let stored = publisher.position(&tenant(), Revision::new(answer.0)).unwrap();
                    assert!(stored.mark.is_some(), "what is seen survives a crash");
                    answer
                })
            })
        });
        // Whoever waits for a revision decides on it once told, though the writers are not done.
        let waiter = {
            let publisher = publisher.clone();
            thread::spawn(move || {
                block_on(publisher.wait_for(DEFAULT_TENANT, Revision::new(2))).unwrap();
                assert!(seen(&publisher).0 >= 2, "it was told to who waits");
            })
        };
        let answers = readers.map(|reader| reader.join().unwrap());
        waiter.join().unwrap();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        let told = told.lock().unwrap();
        for answers in answers {
            assert!(answers.is_sorted_by_key(|answer| answer.0), "{answers:?}");
            assert!(answers.iter().all(|answer| told.contains(answer)), "{answers:?} of {told:?}");
        }
        publisher.sweep();
        assert_eq!(buried(&publisher), 0, "nobody looks at anything old");
    });
}

#[test]
fn of_writers_who_expect_one_revision_one_wins() {
    let (world, listed) = listed();
    let changes = listed.changes(&world);
    in_many_orders(move || {
        let publisher = publisher(&world);
        let writers = [(); 3].map(|()| {
            let (publisher, changes) = (publisher.clone(), changes.clone());
            thread::spawn(move || {
                match apply_to(&publisher, &tenant(), &changes, Some(Revision::new(1))) {
                    Ok(receipt) => assert_eq!(receipt.revision.get(), 2),
                    Err(ApplyError::RevisionMismatch { actual, .. }) => {
                        assert_eq!(actual.get(), 2);
                        // Whoever is told of a revision finds it, once it is shown.
                        block_on(publisher.wait_for(DEFAULT_TENANT, actual)).unwrap();
                        assert_eq!(seen(&publisher), (2, true));
                        return 0;
                    }
                    Err(error) => panic!("{error}"),
                }
                1
            })
        });
        assert_eq!(writers.map(|writer| writer.join().unwrap()).iter().sum::<usize>(), 1);
        assert_eq!(seen(&publisher), (2, true));
    });
}

#[test]
fn a_session_and_a_policy_that_are_shown_at_once_are_both_seen() {
    let (world, listed) = listed();
    let changes = listed.changes(&world);
    in_many_orders(move || {
        let publisher = publisher(&world);
        let writer = {
            let (publisher, changes) = (publisher.clone(), changes.clone());
            thread::spawn(move || apply(&publisher, &changes).unwrap().revision)
        };
        let broker = {
            let publisher = publisher.clone();
            thread::spawn(move || {
                let opened = open(&publisher, "k", "p1", "c0");
                assert!(matches!(opened, Opened::New(..)), "{opened:?}");
                is_member_now(&publisher, ("a1", "g0"))
            })
        };
        assert!(broker.join().unwrap(), "the session was acknowledged");
        let revision = writer.join().unwrap();
        assert_eq!(seen(&publisher), (revision.get(), true));
        assert!(is_member_now(&publisher, ("a1", "g0")), "and is not lost to the policy");
    });
}

#[test]
fn the_last_place_is_given_once() {
    let world = World::open().with(|world| world.computer("c1").max_concurrent = 1);
    in_many_orders(move || {
        let publisher = publisher(&world);
        let brokers = ["p0", "p1", "p2"].map(|person| {
            let publisher = publisher.clone();
            thread::spawn(move || matches!(open(&publisher, person, person, "c1"), Opened::New(..)))
        });
        let opened = brokers.map(|broker| usize::from(broker.join().unwrap()));
        assert_eq!(opened.iter().sum::<usize>(), 1);
        assert_eq!(publisher.session_counts().0, 1);
    });
}

#[test]
fn whoever_is_excluded_while_opening_is_no_member_afterwards() {
    let world = World::open();
    let changes = world.with(|world| world.exclude("p0", "l0", "c0")).changes(&world);
    in_many_orders(move || {
        let publisher = publisher(&world);
        let broker = {
            let publisher = publisher.clone();
            thread::spawn(move || drop(open(&publisher, "k", "p0", "c0")))
        };
        let sweeper = {
            let publisher = publisher.clone();
            thread::spawn(move || publisher.sweep_sessions().unwrap())
        };
        apply(&publisher, &changes).unwrap();
        broker.join().unwrap();
        assert!(!is_member_now(&publisher, MEMBER), "whatever the sweeper has seen");
        sweeper.join().unwrap();
        publisher.sweep_sessions().unwrap();
        assert_eq!(publisher.session_counts().0, 0);
    });
}

/// The work that watchers are at, as they see it themselves.
type Hands = Arc<Mutex<HashSet<RevocationId>>>;

/// Waits for an item of work, which then is in nobody else's hands.
fn taken(watcher: &mut Watcher, hands: &Hands) -> RevocationId {
    let work = block_on(watcher.next()).unwrap();
    let [Work { session, kind }] = work.as_slice() else { panic!("{work:?}") };
    let id = RevocationId { session: session.id.clone(), kind: *kind };
    assert!(hands.lock().unwrap().insert(id.clone()), "{id} is with somebody else");
    id
}

/// Answers an item of work, or goes and leaves it to others.
fn given_back(
    publisher: &Publisher,
    watcher: Watcher,
    hands: &Hands,
    id: &RevocationId,
    done: bool,
) {
    assert!(hands.lock().unwrap().remove(id));
    if done {
        publisher.acknowledge(&tenant(), id, Outcome::Done).unwrap();
    }
    drop(watcher);
}

fn watch(publisher: &Publisher) -> Watcher {
    publisher.watch_work(&tenant(), None, Duration::from_secs(3_600), 1).unwrap()
}

/// That the two items of work of a session are done.
fn is_all_done(publisher: &Publisher) {
    let session = publisher.session(&tenant(), "k").unwrap().unwrap();
    assert_eq!((session.revocations.len(), session.outstanding().count()), (2, 0));
}

#[test]
fn work_is_in_one_watcher_s_hands_until_it_is_done() {
    let world = World::open();
    in_many_orders(move || {
        let publisher = publisher(&world);
        open(&publisher, "k", "p0", "c2");
        let hands = Hands::default();
        // Two items come to be due. The first watcher does one; the second goes with one that is not done, and
        // comes back for one.
        let spells: [&[bool]; 2] = [&[true], &[false, true]];
        let watchers = spells.map(|spells| {
            let (publisher, hands) = (publisher.clone(), Arc::clone(&hands));
            thread::spawn(move || {
                for done in spells {
                    let mut watcher = watch(&publisher);
                    let id = taken(&mut watcher, &hands);
                    given_back(&publisher, watcher, &hands, &id, *done);
                }
            })
        });
        publisher.close_session(&tenant(), "k").unwrap();
        for watcher in watchers {
            watcher.join().unwrap();
        }
        is_all_done(&publisher);
    });
}

#[test]
fn nobody_waits_in_vain_for_work_that_is_let_go_of() {
    let world = World::open();
    in_many_orders(move || {
        let publisher = publisher(&world);
        open(&publisher, "k", "p0", "c2");
        publisher.close_session(&tenant(), "k").unwrap();
        let hands = Hands::default();
        let mut first = watch(&publisher);
        let id = taken(&mut first, &hands);
        let second = {
            let (publisher, hands) = (publisher.clone(), Arc::clone(&hands));
            thread::spawn(move || {
                for _ in 0..2 {
                    let mut watcher = watch(&publisher);
                    let id = taken(&mut watcher, &hands);
                    given_back(&publisher, watcher, &hands, &id, true);
                }
            })
        };
        given_back(&publisher, first, &hands, &id, false);
        second.join().unwrap();
        is_all_done(&publisher);
    });
}

#[test]
fn a_tenant_is_deleted_before_a_writer_or_after_it_and_answers_no_more() {
    let changes = World::open().whole();
    in_many_orders(move || {
        let store = Store::with_backend(Disk::default()).unwrap();
        let publisher = Publisher::open(store, Clock::fixed(at(HOUR))).unwrap();
        let acme = TenantId::new("acme").unwrap();
        publisher.create_tenant(&acme).unwrap();
        let old: Weak<Tenant> = Arc::downgrade(&publisher.tenant(&acme).unwrap());
        let writer = {
            let (publisher, acme, changes) = (publisher.clone(), acme.clone(), changes.clone());
            thread::spawn(move || match apply_to(&publisher, &acme, &changes, None) {
                Ok(_) | Err(ApplyError::UnknownTenant(_)) => {}
                Err(error) => panic!("{error}"),
            })
        };
        let waiter = {
            let publisher = publisher.clone();
            thread::spawn(move || {
                let two = publisher.wait_for("acme", Revision::new(2));
                assert!(matches!(block_on(two), Err(WaitError::UnknownTenant(_))));
            })
        };
        let reader = {
            let publisher = publisher.clone();
            thread::spawn(move || {
                let Some(looked) = publisher.snapshot("acme") else { return };
                let (revision, member) = (looked.revision(), MEMBER);
                let weak = Arc::downgrade(&looked);
                thread::yield_now();
                // Whatever became of the tenant, what is looked at is whole.
                assert!(weak.upgrade().is_some() && looked.revision() == revision);
                assert!(!is_member(&looked, member.0, member.1, publisher.now()));
            })
        };
        publisher.delete_tenant(&acme).unwrap();
        assert!(publisher.snapshot("acme").is_none(), "it is gone when that is acknowledged");
        writer.join().unwrap();
        waiter.join().unwrap();
        assert!(publisher.snapshot("acme").is_none(), "and no writer brings it back");
        publisher.create_tenant(&acme).unwrap();
        assert_eq!(publisher.revision("acme"), Some(Revision::ZERO), "nothing of it is in another");
        assert_eq!(publisher.read(&acme, |_, facts| facts.len()).unwrap(), 0);
        reader.join().unwrap();
        publisher.sweep();
        assert!(old.upgrade().is_none() && buried(&publisher) == 0, "it is kept for nobody");
    });
}

#[test]
fn a_name_is_given_to_one_tenant_at_a_time() {
    in_many_orders(|| {
        let store = Store::with_backend(Disk::default()).unwrap();
        let publisher = Publisher::open(store, Clock::fixed(at(HOUR))).unwrap();
        let acme = TenantId::new("acme").unwrap();
        let creators = [(); 3].map(|()| {
            let (publisher, acme) = (publisher.clone(), acme.clone());
            thread::spawn(move || match publisher.create_tenant(&acme) {
                Ok(()) => 1,
                Err(TenantError::Exists(_)) => {
                    assert!(publisher.snapshot("acme").is_some(), "who is told of it finds it");
                    0
                }
                Err(error) => panic!("{error}"),
            })
        });
        assert_eq!(creators.map(|creator| creator.join().unwrap()).iter().sum::<usize>(), 1);
        assert_eq!(publisher.tenants().len(), 2);
    });
}

#[test]
fn a_graveyard_drops_what_nobody_looks_at_and_nothing_else() {
    in_every_order(|| {
        let shown = Arc::new(ArcSwap::from_pointee(0));
        let buried = Arc::new(crate::sync::Mutex::new(Graveyard::default()));
        let writers = [1, 2].map(|n| {
            let (shown, buried) = (Arc::clone(&shown), Arc::clone(&buried));
            thread::spawn(move || {
                let mut graveyard = buried.lock().unwrap();
                graveyard.bury(shown.swap(Arc::new(n)));
            })
        });
        let looked = shown.load();
        let weak = Arc::downgrade(&looked);
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        assert!(weak.upgrade().is_some(), "somebody looks at it");
        let is_shown = Arc::ptr_eq(&looked, &shown.load());
        drop(looked);
        buried.lock().unwrap().sweep();
        assert_eq!(weak.upgrade().is_some(), is_shown);
        assert_eq!(buried.lock().unwrap().len(), 0);
    });
}
