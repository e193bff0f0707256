//! What the audit says of each write, and that it says nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use pdp_engine::facts::Change;
use pdp_engine::id::{PersonId, TenantId};
use pdp_engine::query::Revision;
use pdp_engine::time::Timestamp;

use super::*;
use crate::audit::{Kind, Record};
use crate::clock::Clock;
use crate::publish::{Apply, ApplyError, DEFAULT_TENANT};
use crate::receipt::ChangeKind;
use crate::store::Store;
use crate::store::disk::Disk;
use crate::store::sample::{delete, put};

fn tenant(id: &str) -> TenantId {
    TenantId::new(id).unwrap()
}

fn chain(id: &str) -> Chain {
    Chain::Tenant(tenant(id))
}

fn open(disk: &Disk, now: &Arc<AtomicI64>) -> Publisher {
    let now = Arc::clone(now);
    let clock = Clock::from_fn(move || Timestamp::from_micros(now.load(Ordering::SeqCst)));
    Publisher::open(Store::with_backend(disk.clone()).unwrap(), clock).unwrap()
}

fn plain<'a>(changes: &'a [Change]) -> Apply<'a> {
    Apply { changes, expected: None, dry_run: false, request_id: None, on_behalf_of: None }
}

fn apply(publisher: &Publisher, request: Apply<'_>) -> Result<Receipt, ApplyError> {
    publisher.apply(&tenant(DEFAULT_TENANT), request)
}

fn records(publisher: &Publisher, chain: &Chain) -> Vec<Record> {
    let page = publisher.audit(chain, &Query::default(), 0, 10_000).unwrap();
    assert_eq!(page.next, None);
    let verified = publisher.verify_audit(chain).unwrap();
    assert_eq!(verified.broken, None);
    assert_eq!(verified.records, page.records.len() as u64);
    assert_eq!(page.records.last().map(|record| record.hash), Some(verified.head));
    page.records
}

#[test]
fn every_change_set_with_an_effect_has_one_record_and_nothing_else_has() {
    let (disk, now) = (Disk::default(), Arc::new(AtomicI64::new(1)));
    let publisher = open(&disk, &now);
    let id = RequestId::new("r-1").unwrap();
    let both = [put("ana"), put("bo")];
    let first = Apply { request_id: Some(&id), ..plain(&both) };
    now.store(2, Ordering::SeqCst);
    apply(&publisher, first).unwrap();
    // A replay, a dry run, no effect, another content, a rejected one, another revision.
    assert!(apply(&publisher, first).unwrap().replayed);
    let third = [put("carl")];
    apply(&publisher, Apply { dry_run: true, ..plain(&third) }).unwrap();
    apply(&publisher, plain(&both)).unwrap();
    let named = RequestId::new("r-2").unwrap();
    apply(&publisher, Apply { request_id: Some(&named), ..plain(&both) }).unwrap();
    apply(&publisher, Apply { request_id: Some(&id), ..plain(&third) }).unwrap_err();
    apply(&publisher, plain(&[delete("zoe")])).unwrap_err();
    apply(&publisher, Apply { expected: Some(Revision::ZERO), ..plain(&third) }).unwrap_err();
    let nobody = PersonId::new("zoe").unwrap();
    let refused = apply(&publisher, Apply { on_behalf_of: Some(&nobody), ..plain(&third) });
    assert!(matches!(refused, Err(ApplyError::Refused(_))));
    now.store(3, Ordering::SeqCst);
    apply(&publisher, plain(&[delete("ana")])).unwrap();

    let told = records(&publisher, &chain(DEFAULT_TENANT));
    let at = |record: &Record| (record.sequence, record.entry.at.as_micros());
    assert_eq!(told.iter().map(at).collect::<Vec<_>>(), [(1, 1), (2, 2), (3, 3)]);
    assert_eq!(told[0].entry.event, Event::TenantCreated(tenant(DEFAULT_TENANT)));
    let [Event::PolicyChanged(added), Event::PolicyChanged(removed)] =
        [&told[1].entry.event, &told[2].entry.event]
    else {
        panic!("{told:?}")
    };
    assert_eq!((added.created, added.changed, added.removed), (2, 0, 0));
    assert_eq!(added.request_id, Some(id));
    assert_eq!(added.digest, crate::store::digest(&both));
    assert_eq!((removed.created, removed.changed, removed.removed), (0, 0, 1));
    assert_eq!((&removed.request_id, removed.changes.len()), (&None, 0));
    assert_eq!(told[2].entry.revision, Revision::new(2));
}

#[test]
fn a_change_set_on_behalf_of_a_person_is_recorded_with_the_person_and_what_changed() {
    let (disk, now) = (Disk::default(), Arc::new(AtomicI64::new(1)));
    let publisher = open(&disk, &now);
    let policy = r#"
        resource_types: {Report: {operations: [View]}}
        people: [{id: ana}]
        groups: [{id: hr}]
        resources: [{type: Report, id: r, owner: ana}]
    "#;
    let bundle: pdp_bundle::Bundle = pdp_bundle::parse("test", policy).unwrap();
    apply(&publisher, plain(&bundle.changes())).unwrap();
    let groups: Vec<String> = (0..=MAX_AUDITED_CHANGES).map(|n| format!("g-{n:05}")).collect();
    let listed = |line: &dyn Fn(&String) -> String| groups.iter().map(line).collect::<String>();
    let made = format!("groups:\n{}", listed(&|id| format!("  - {{id: {id}}}\n")));
    let made: pdp_bundle::Bundle = pdp_bundle::parse("test", &made).unwrap();
    apply(&publisher, plain(&made.changes())).unwrap();

    let line = |id: &String| format!("  - {{to: \"group:{id}\", on: \"Report:r\", level: view}}\n");
    let shares: pdp_bundle::Bundle =
        pdp_bundle::parse("test", &format!("shares:\n{}", listed(&line))).unwrap();
    let shares = shares.changes();
    let ana = PersonId::new("ana").unwrap();
    let delegated = |changes| Apply { on_behalf_of: Some(&ana), ..plain(changes) };
    apply(&publisher, delegated(&shares)).unwrap();
    apply(&publisher, delegated(&[Change::Delete { key: shares[3].key(), cascade: false }]))
        .unwrap();

    let told = records(&publisher, &chain(DEFAULT_TENANT));
    let people: Vec<_> = told.iter().map(|record| record.entry.person.as_ref()).collect();
    assert_eq!(people, [None, None, None, Some(&ana), Some(&ana)]);
    let [Event::PolicyChanged(many), Event::PolicyChanged(one)] =
        [&told[3].entry.event, &told[4].entry.event]
    else {
        panic!("{told:?}")
    };
    assert_eq!((many.created, many.changes.len()), (1_001, MAX_AUDITED_CHANGES));
    assert_eq!(many.changes[0], (shares[0].key(), ChangeKind::Created));
    assert_eq!(one.changes, [(shares[3].key(), ChangeKind::Removed)]);

    let by_ana = Query { person: Some(ana), kind: Some(Kind::PolicyChanged), ..Query::default() };
    // So long a record ends its page.
    let page = publisher.audit(&chain(DEFAULT_TENANT), &by_ana, 0, 1).unwrap();
    assert_eq!((page.records.len(), page.next), (1, Some(4)));
    let rest = publisher.audit(&chain(DEFAULT_TENANT), &by_ana, 4, 10).unwrap();
    assert_eq!((rest.records.as_slice(), rest.next), (&told[4..], None));
}

#[test]
fn time_never_goes_back_and_a_restart_goes_on() {
    let (disk, now) = (Disk::default(), Arc::new(AtomicI64::new(100)));
    let publisher = open(&disk, &now);
    now.store(50, Ordering::SeqCst);
    apply(&publisher, plain(&[put("ana")])).unwrap();
    drop(publisher);
    now.store(-1, Ordering::SeqCst);
    let publisher = open(&disk, &now);
    apply(&publisher, plain(&[put("bo")])).unwrap();
    now.store(101, Ordering::SeqCst);
    apply(&publisher, plain(&[put("carl")])).unwrap();
    let told = records(&publisher, &chain(DEFAULT_TENANT));
    let at: Vec<_> = told.iter().map(|record| record.entry.at.as_micros()).collect();
    assert_eq!(at, [100, 100, 100, 101]);
}

#[test]
fn a_deletion_does_not_take_its_own_trace_along() {
    let (disk, now) = (Disk::default(), Arc::new(AtomicI64::new(1)));
    let publisher = open(&disk, &now);
    publisher.create_tenant(&tenant("acme")).unwrap();
    publisher.apply(&tenant("acme"), plain(&[put("ana")])).unwrap();
    let told = records(&publisher, &chain("acme"));
    publisher.delete_tenant(&tenant("acme")).unwrap();
    let error = publisher.audit(&chain("acme"), &Query::default(), 0, 1).unwrap_err();
    assert!(matches!(error, AuditError::UnknownTenant(_)), "{error}");
    let error = publisher.verify_audit(&chain("acme")).unwrap_err();
    assert!(matches!(error, AuditError::UnknownTenant(_)), "{error}");
    publisher.create_tenant(&tenant("acme")).unwrap();
    assert_eq!(records(&publisher, &chain("acme")).len(), 1, "it begins anew");

    drop(publisher);
    let publisher = open(&disk, &now);
    let of_server = records(&publisher, &Chain::Server);
    let events: Vec<_> = of_server.iter().map(|record| record.entry.event.clone()).collect();
    let acme = || tenant("acme");
    let deleted =
        Event::TenantDeleted { tenant: acme(), records: 2, head: told.last().unwrap().hash };
    let created = Event::TenantCreated;
    assert_eq!(
        events,
        [created(tenant(DEFAULT_TENANT)), created(acme()), deleted, created(acme())]
    );
}
