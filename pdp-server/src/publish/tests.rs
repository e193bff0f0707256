//! The publisher as its callers see it: every answer of `apply`, waiting, reading, tenants.

use std::pin::pin;
use std::sync::{Barrier, Weak};
use std::task::{Context, Poll, Waker};

use pdp_engine::check::check;
use pdp_engine::facts::{FactKey, Problem};
use pdp_engine::id::PersonId;
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::{Effect, ObjectRef, PermissionRef, Question, SubjectRef};
use pdp_engine::time::Timestamp;

use super::*;
use crate::store::disk::Disk;
use crate::store::sample::{crowd, delete, grant, put};

fn publisher() -> Publisher {
    Publisher::open(Store::with_backend(Disk::default()).unwrap(), clock()).unwrap()
}

fn clock() -> Clock {
    Clock::system()
}

fn default() -> TenantId {
    TenantId::new(DEFAULT_TENANT).unwrap()
}

fn tenant(id: &str) -> TenantId {
    TenantId::new(id).unwrap()
}

fn plain(changes: &[Change]) -> Apply<'_> {
    Apply { changes, expected: None, dry_run: false, request_id: None, on_behalf_of: None }
}

fn named<'a>(request_id: &'a RequestId, changes: &'a [Change]) -> Apply<'a> {
    Apply { request_id: Some(request_id), ..plain(changes) }
}

fn people(publisher: &Publisher, tenant: &TenantId) -> Vec<String> {
    let ids = |_, facts: &Facts| facts.people().map(|person| person.id.to_string()).collect();
    publisher.read(tenant, ids).unwrap()
}

fn key(person: &str) -> FactKey {
    FactKey::Person(PersonId::new(person).unwrap())
}

#[test]
fn there_is_a_limit_to_tenants() {
    let publisher = publisher();
    let full = (0..MAX_TENANTS).map(|n| tenant(&format!("t{n}")));
    let full = full.map(|id| (id.clone(), Arc::new(Tenant::empty(id)))).collect();
    publisher.0.tenants.store(Arc::new(full));
    let refused = publisher.create_tenant(&tenant("one-more")).unwrap_err();
    assert_eq!(refused.to_string(), "there are 10000 tenants already; the limit is 10000");
}

/// What is answered where ana asks to view.
fn ana_views(publisher: &Publisher) -> (Effect, Revision) {
    let question = Question::new(
        SubjectRef::Person("ana"),
        PermissionRef { kind: PermissionKind::Operation, name: "View" },
        ObjectRef { type_name: "Report", id: "absence" },
    );
    let snapshot = publisher.snapshot(DEFAULT_TENANT).unwrap();
    let decision = check(&snapshot, &question, Timestamp::from_micros(0)).unwrap();
    (decision.effect, decision.revision)
}

/// It is checked and compiled by several threads.
#[test]
fn what_fills_an_empty_policy_is_visible_however_much_it_is() {
    let publisher = publisher();
    let many = [grant("ana"), crowd("p", 20_000)].concat();
    let receipt = publisher.apply(&default(), plain(&many)).unwrap();
    assert_eq!(receipt.counts.created, many.len() as u64);
    assert_eq!(ana_views(&publisher), (Effect::Allow, Revision::new(1)));
    assert_eq!(people(&publisher, &default()).len(), 20_001);
}

#[test]
fn what_is_acknowledged_is_visible() {
    let publisher = publisher();
    let ana_views = || ana_views(&publisher);
    assert_eq!(ana_views(), (Effect::Deny, Revision::ZERO));
    let receipt = publisher.apply(&default(), plain(&grant("ana"))).unwrap();
    assert_eq!(receipt.revision, Revision::new(1));
    assert_eq!(receipt.changes.len(), 5);
    assert!(receipt.changes.iter().all(|(_, change)| *change == ChangeKind::Created));
    assert!(!receipt.replayed && !receipt.dry_run);
    assert_eq!(ana_views(), (Effect::Allow, Revision::new(1)));
    assert_eq!(publisher.revision(DEFAULT_TENANT), Some(Revision::new(1)));
    assert!(publisher.snapshot("nobody").is_none() && publisher.revision("nobody").is_none());
}

#[test]
fn an_unknown_tenant_is_refused() {
    let error = publisher().apply(&tenant("acme"), plain(&[put("ana")])).unwrap_err();
    assert!(matches!(&error, ApplyError::UnknownTenant(UnknownTenant(id)) if id == "acme"));
    assert_eq!(error.to_string(), "tenant `acme` does not exist");
    let error = publisher().read(&tenant("acme"), |_, _| ()).unwrap_err();
    assert!(matches!(error, AccessError::UnknownTenant(_)));
}

#[test]
fn another_revision_than_the_expected_one_is_refused() {
    let publisher = publisher();
    let changes = [put("ana")];
    let expecting = |revision| Apply { expected: Some(Revision::new(revision)), ..plain(&changes) };
    let error = publisher.apply(&default(), expecting(1)).unwrap_err();
    assert!(
        matches!(error, ApplyError::RevisionMismatch { expected, actual }
            if expected == Revision::new(1) && actual == Revision::ZERO),
        "{error}"
    );
    assert!(people(&publisher, &default()).is_empty());
    publisher.apply(&default(), expecting(0)).unwrap();
    assert_eq!(people(&publisher, &default()), ["ana"]);
}

#[test]
fn an_invalid_change_set_changes_nothing() {
    let publisher = publisher();
    publisher.apply(&default(), plain(&[put("ana")])).unwrap();
    let before = publisher.snapshot(DEFAULT_TENANT).unwrap();
    let changes = [put("bo"), delete("carl")];
    let error = publisher.apply(&default(), plain(&changes)).unwrap_err();
    let ApplyError::Rejected(rejected) = error else { panic!("{error}") };
    assert_eq!(rejected.rejections[0].change, 1);
    assert_eq!(rejected.rejections[0].problem, Problem::NothingToDelete);
    assert_eq!(people(&publisher, &default()), ["ana"]);
    assert!(Arc::ptr_eq(&before, &publisher.snapshot(DEFAULT_TENANT).unwrap()));
}

#[test]
fn a_repeated_request_returns_the_first_receipt_even_after_a_restart() {
    let disk = Disk::default();
    let id = RequestId::new("r-1").unwrap();
    let changes = [put("ana")];
    let request =
        Apply { expected: Some(Revision::ZERO), request_id: Some(&id), ..plain(&changes) };
    let first = {
        let publisher =
            Publisher::open(Store::with_backend(disk.clone()).unwrap(), clock()).unwrap();
        let first = publisher.apply(&default(), request).unwrap();
        publisher.apply(&default(), plain(&[delete("ana"), put("bo")])).unwrap();
        let again = publisher.apply(&default(), request).unwrap();
        assert_eq!(again, Receipt { replayed: true, ..first.clone() });
        first
    };
    let publisher = Publisher::open(Store::with_backend(disk).unwrap(), clock()).unwrap();
    let again = publisher.apply(&default(), request).unwrap();
    assert_eq!(again, Receipt { replayed: true, ..first });
    assert_eq!(people(&publisher, &default()), ["bo"]);
    assert_eq!(publisher.revision(DEFAULT_TENANT), Some(Revision::new(2)));
    publisher.create_tenant(&tenant("acme")).unwrap();
    let elsewhere = publisher.apply(&tenant("acme"), request).unwrap();
    assert!(!elsewhere.replayed, "tenants share nothing");
}

#[test]
fn a_request_id_stands_for_one_change_set() {
    let publisher = publisher();
    let id = RequestId::new("r-1").unwrap();
    publisher.apply(&default(), named(&id, &[put("ana")])).unwrap();
    let error = publisher.apply(&default(), named(&id, &[put("bo")])).unwrap_err();
    assert!(matches!(&error, ApplyError::RequestIdReused(reused) if *reused == id), "{error}");
    assert!(error.to_string().contains("request id `r-1`"));
    assert_eq!(people(&publisher, &default()), ["ana"]);
}

#[test]
fn a_refused_request_does_not_use_up_its_id() {
    let publisher = publisher();
    let id = RequestId::new("r-1").unwrap();
    publisher.apply(&default(), named(&id, &[delete("ana")])).unwrap_err();
    publisher.apply(&default(), named(&id, &[put("ana")])).unwrap();
    assert_eq!(people(&publisher, &default()), ["ana"]);
}

#[test]
fn a_dry_run_says_what_would_happen_and_changes_nothing() {
    let publisher = publisher();
    publisher.apply(&default(), plain(&[put("ana")])).unwrap();
    let id = RequestId::new("r-1").unwrap();
    let changes = [put("bo"), delete("ana")];
    let dry = Apply { dry_run: true, request_id: Some(&id), ..plain(&changes) };
    let receipt = publisher.apply(&default(), dry).unwrap();
    assert_eq!(receipt.revision, Revision::new(1));
    assert!(receipt.dry_run && !receipt.replayed);
    let mut expected = [(key("ana"), ChangeKind::Removed), (key("bo"), ChangeKind::Created)];
    expected.sort();
    assert_eq!(receipt.changes, expected);
    assert_eq!(people(&publisher, &default()), ["ana"]);
    assert_eq!(publisher.revision(DEFAULT_TENANT), Some(Revision::new(1)));

    let real = publisher.apply(&default(), Apply { dry_run: false, ..dry }).unwrap();
    assert_eq!((real.replayed, real.revision), (false, Revision::new(2)));
    let invalid = [delete("carl")];
    let error =
        publisher.apply(&default(), Apply { dry_run: true, ..plain(&invalid) }).unwrap_err();
    assert!(matches!(error, ApplyError::Rejected(_)), "{error}");
}

#[test]
fn a_change_set_without_effect_makes_no_revision_but_uses_its_id() {
    let publisher = publisher();
    publisher.apply(&default(), plain(&[put("ana")])).unwrap();
    let id = RequestId::new("r-1").unwrap();
    let changes = [put("ana"), put("bo"), delete("bo")];
    let request = Apply { request_id: Some(&id), ..plain(&changes) };
    for replayed in [false, true] {
        let receipt = publisher.apply(&default(), request).unwrap();
        assert_eq!(receipt.changes, []);
        assert_eq!((receipt.revision, receipt.replayed), (Revision::new(1), replayed));
        publisher.apply(&default(), plain(&[delete("ana"), put("carl")])).ok();
    }
    assert_eq!(people(&publisher, &default()), ["carl"]);
    assert_eq!(publisher.apply(&default(), plain(&[])).unwrap().revision, Revision::new(2));
}

#[test]
fn of_writers_racing_on_one_revision_exactly_one_wins() {
    const WRITERS: usize = 4;
    let publisher = publisher();
    for round in 0..25 {
        let start = Barrier::new(WRITERS);
        let race = |writer: usize| {
            let changes = [put(&format!("{round}-{writer}"))];
            let expected = Some(Revision::new(round));
            start.wait();
            publisher.apply(&default(), Apply { expected, ..plain(&changes) })
        };
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let race = &race;
            let writers: Vec<_> =
                (0..WRITERS).map(|writer| scope.spawn(move || race(writer))).collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        let late = outcomes.iter().filter(|outcome| {
            matches!(outcome, Err(ApplyError::RevisionMismatch { expected, actual })
                if expected.get() == round && actual.get() == round + 1)
        });
        assert_eq!((won, late.count()), (1, WRITERS - 1), "{outcomes:?}");
    }
    assert_eq!(people(&publisher, &default()).len(), 25);
}

#[test]
fn writers_of_many_tenants_do_not_disturb_each_other() {
    let publisher = publisher();
    let tenants = ["a", "b", "c"].map(tenant);
    std::thread::scope(|scope| {
        for tenant in &tenants {
            let publisher = &publisher;
            scope.spawn(move || {
                publisher.create_tenant(tenant).unwrap();
                for n in 0..20 {
                    publisher.apply(tenant, plain(&[put(&format!("{tenant}{n:02}"))])).unwrap();
                }
            });
        }
    });
    for tenant in &tenants {
        let expected: Vec<_> = (0..20).map(|n| format!("{tenant}{n:02}")).collect();
        assert_eq!(people(&publisher, tenant), expected);
    }
    let revisions: Vec<_> = publisher.tenants().iter().map(|(_, r)| r.get()).collect();
    assert_eq!(revisions, [20, 20, 20, 0]);
}

#[test]
fn a_wait_ends_when_the_revision_is_visible() {
    let publisher = publisher();
    let mut context = Context::from_waker(Waker::noop());
    let mut at_once = pin!(publisher.wait_for(DEFAULT_TENANT, Revision::ZERO));
    assert_eq!(at_once.as_mut().poll(&mut context), Poll::Ready(Ok(())));
    let mut second = pin!(publisher.wait_for(DEFAULT_TENANT, Revision::new(2)));
    assert_eq!(second.as_mut().poll(&mut context), Poll::Pending);
    publisher.apply(&default(), plain(&[put("ana")])).unwrap();
    assert_eq!(second.as_mut().poll(&mut context), Poll::Pending);
    publisher.apply(&default(), plain(&[put("bo")])).unwrap();
    assert_eq!(second.as_mut().poll(&mut context), Poll::Ready(Ok(())));
    let unknown = WaitError::UnknownTenant(UnknownTenant("acme".to_owned()));
    let mut nowhere = pin!(publisher.wait_for("acme", Revision::ZERO));
    assert_eq!(nowhere.as_mut().poll(&mut context), Poll::Ready(Err(unknown.clone())));
    publisher.create_tenant(&tenant("acme")).unwrap();
    let mut deleted = pin!(publisher.wait_for("acme", Revision::new(1)));
    assert_eq!(deleted.as_mut().poll(&mut context), Poll::Pending);
    publisher.delete_tenant(&tenant("acme")).unwrap();
    assert_eq!(deleted.as_mut().poll(&mut context), Poll::Ready(Err(unknown)));
}

#[test]
fn tenants_come_and_go() {
    let disk = Disk::default();
    let publisher = Publisher::open(Store::with_backend(disk.clone()).unwrap(), clock()).unwrap();
    let acme = tenant("acme");
    publisher.create_tenant(&acme).unwrap();
    let error = publisher.create_tenant(&acme).unwrap_err();
    assert!(matches!(&error, TenantError::Exists(id) if *id == acme), "{error}");
    let error = publisher.create_tenant(&default()).unwrap_err();
    assert!(matches!(error, TenantError::Exists(_)), "{error}");
    let error = publisher.delete_tenant(&default()).unwrap_err();
    assert!(matches!(error, TenantError::Default), "{error}");
    let error = publisher.delete_tenant(&tenant("other")).unwrap_err();
    assert!(matches!(error, TenantError::UnknownTenant(_)), "{error}");

    publisher.apply(&acme, plain(&[put("ana")])).unwrap();
    publisher.delete_tenant(&acme).unwrap();
    assert!(publisher.snapshot("acme").is_none());
    assert_eq!(publisher.tenants(), [(default(), Revision::ZERO)]);
    publisher.create_tenant(&acme).unwrap();
    assert_eq!(publisher.revision("acme"), Some(Revision::ZERO));
    assert!(people(&publisher, &acme).is_empty());
    drop(publisher);
    let publisher = Publisher::open(Store::with_backend(disk).unwrap(), clock()).unwrap();
    assert_eq!(publisher.tenants(), [(acme, Revision::ZERO), (default(), Revision::ZERO)]);
}

#[test]
fn a_writer_that_waited_for_a_deleted_tenant_writes_nothing() {
    let publisher = publisher();
    let acme = tenant("acme");
    publisher.create_tenant(&acme).unwrap();
    let waiting = publisher.tenant(&acme).unwrap();
    publisher.delete_tenant(&acme).unwrap();
    assert_eq!(
        waiting.write().map(|_| ()).unwrap_err(),
        AccessError::UnknownTenant(UnknownTenant("acme".to_owned()))
    );
}

#[test]
fn reading_holds_up_neither_writers_nor_checks() {
    let publisher = publisher();
    publisher.apply(&default(), plain(&[put("ana")])).unwrap();
    let seen = publisher.read(&default(), |revision, facts| {
        let receipt = std::thread::scope(|scope| {
            let changes = [put("bo")];
            let publisher = &publisher;
            let writer = scope.spawn(move || publisher.apply(&default(), plain(&changes)));
            writer.join().unwrap().unwrap()
        });
        assert_eq!(receipt.revision, Revision::new(2));
        (revision, facts.people().count())
    });
    assert_eq!(seen.unwrap(), (Revision::new(1), 1));
    assert_eq!(people(&publisher, &default()), ["ana", "bo"]);

    let tenant = publisher.tenant(&default()).unwrap();
    let _writer = tenant.write().unwrap();
    let _held = tenant.hold().unwrap();
    assert_eq!(publisher.snapshot(DEFAULT_TENANT).unwrap().revision(), Revision::new(2));
}

#[test]
fn a_reader_never_drops_a_snapshot() {
    let publisher = publisher();
    publisher.create_tenant(&tenant("acme")).unwrap();
    let mut old: Vec<Weak<Snapshot>> = Vec::new();
    let mut readers = Vec::new();
    for n in 0..3 {
        for id in [DEFAULT_TENANT, "acme"] {
            publisher.apply(&tenant(id), plain(&[put(&n.to_string())])).unwrap();
            let guard = publisher.snapshot(id).unwrap();
            old.push(Arc::downgrade(&guard));
            readers.push(guard);
        }
    }
    publisher.apply(&default(), plain(&[put("last")])).unwrap();
    publisher.delete_tenant(&tenant("acme")).unwrap();
    publisher.sweep();
    assert_eq!(publisher.tenant(&default()).unwrap().replaced.lock().unwrap().len(), 3);
    assert_eq!(publisher.0.registry.lock().unwrap().snapshots.len(), 3);
    drop(readers);
    assert!(old.iter().all(|snapshot| snapshot.strong_count() == 1), "kept for a writer to drop");
    publisher.sweep();
    assert!(old.iter().all(|snapshot| snapshot.strong_count() == 0));
}

#[test]
fn a_write_drops_what_nobody_looks_at() {
    let publisher = publisher();
    let old = Arc::downgrade(&publisher.snapshot(DEFAULT_TENANT).unwrap());
    publisher.apply(&default(), plain(&[put("ana")])).unwrap();
    assert_eq!(old.strong_count(), 0);
    assert_eq!(publisher.tenant(&default()).unwrap().replaced.lock().unwrap().len(), 0);
}

#[test]
fn readers_see_whole_revisions_in_order() {
    let publisher = publisher();
    publisher.apply(&default(), plain(&crowd("p", 50))).unwrap();
    let writing = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = Revision::ZERO;
            while writing.load(std::sync::atomic::Ordering::Relaxed) {
                let revision = publisher.revision(DEFAULT_TENANT).unwrap();
                assert!(revision >= last);
                last = revision;
                let (at, count) = publisher.read(&default(), |r, f| (r, f.len())).unwrap();
                assert_eq!(count as u64, 49 + at.get());
            }
        });
        for n in 0..100 {
            publisher.apply(&default(), plain(&[put(&n.to_string())])).unwrap();
        }
        writing.store(false, std::sync::atomic::Ordering::Relaxed);
        reader.join().unwrap();
    });
}

#[test]
fn after_a_panic_in_a_writer_the_tenant_takes_no_more() {
    let publisher = publisher();
    publisher.create_tenant(&tenant("acme")).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let tenant = publisher.tenant(&default()).unwrap();
            let _writer = tenant.write().unwrap();
            let _held = tenant.hold().unwrap();
            std::panic::resume_unwind(Box::new("an internal error"));
        });
        writer.join().unwrap_err();
    });
    let error = publisher.apply(&default(), plain(&[put("ana")])).unwrap_err();
    assert!(matches!(error, ApplyError::Broken(_)), "{error}");
    let error = publisher.read(&default(), |_, _| ()).unwrap_err();
    assert!(matches!(error, AccessError::Broken(_)), "{error}");
    assert!(publisher.snapshot(DEFAULT_TENANT).is_some(), "checks go on");
    publisher.apply(&tenant("acme"), plain(&[put("ana")])).unwrap();
}
