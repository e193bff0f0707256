//! The chains as they are stored: what is noticed, what is listed, and a file of the time before.

use std::collections::BTreeMap;

use pdp_engine::id::PersonId;
use proptest::prelude::*;
use redb::{Builder, ReadableDatabase as _, TableHandle as _};

use super::*;
use crate::audit::{CallerName, Kind};
use crate::store::FORMAT;
use crate::store::disk::Disk;
use crate::store::journal::JOURNAL;
use crate::store::rows::{FACTS, FORMAT_KEY, META, REQUEST_ORDER, REQUESTS};
use crate::store::sample::put;
use crate::store::session::{ACCOUNTS, NUMBERS, SESSIONS};
use crate::store::tests::{AT, changed, closed, commit, created, edited, tenant};

fn acme() -> Chain {
    Chain::Tenant(tenant())
}

fn open(bytes: Vec<u8>) -> Store {
    Store::with_backend(Disk::holding(bytes)).unwrap()
}

/// Where a chain is broken after an edit behind the store's back.
fn broken(edit: impl FnOnce(&WriteTransaction)) -> Option<(u64, Problem)> {
    let verified = open(edited(edit)).verify_audit(&acme()).unwrap();
    verified.broken.map(|Break { sequence, problem }| (sequence, problem))
}

/// A record of a chain as it is stored.
fn row(txn: &WriteTransaction, sequence: u64) -> ([u8; 32], Vec<u8>) {
    let table = txn.open_table(AUDIT).unwrap();
    let row = table.get(("acme", sequence)).unwrap().unwrap();
    let (hash, bytes) = row.value();
    (*hash, bytes.to_vec())
}

fn put_row(txn: &WriteTransaction, sequence: u64, hash: &[u8; 32], bytes: &[u8]) {
    txn.open_table(AUDIT).unwrap().insert(("acme", sequence), (hash, bytes)).unwrap();
}

#[test]
fn a_flipped_byte_of_a_record_is_found() {
    assert_eq!(broken(|_| {}), None);
    let store = open(closed());
    let lengths: Vec<usize> = store
        .audit_page(&acme(), &Query::default(), 0, 10)
        .unwrap()
        .records
        .iter()
        .map(|record| encode_entry(record.sequence, &record.entry).len())
        .collect();
    assert_eq!(lengths.len(), 2);
    let mut flipped = 0;
    for (sequence, length) in (1..).zip(lengths) {
        for at in 0..32 + length {
            let found = broken(|txn| {
                let (mut hash, mut bytes) = row(txn, sequence);
                match at.checked_sub(32) {
                    None => hash[at] ^= 1,
                    Some(at) => bytes[at] ^= 1,
                }
                put_row(txn, sequence, &hash, &bytes);
            });
            assert_eq!(found, Some((sequence, Problem::Altered)), "byte {at}");
            flipped += 1;
        }
    }
    println!("{flipped} flipped bytes, each found");
}

#[test]
fn a_record_that_is_missing_moved_or_too_many_is_found() {
    let take = |txn: &WriteTransaction, sequence: u64| {
        txn.open_table(AUDIT).unwrap().remove(("acme", sequence)).unwrap().unwrap();
    };
    assert_eq!(broken(|txn| take(txn, 1)), Some((1, Problem::Missing)));
    assert_eq!(broken(|txn| take(txn, 2)), Some((2, Problem::Missing)));
    let both = broken(|txn| {
        take(txn, 1);
        take(txn, 2);
    });
    assert_eq!(both, Some((1, Problem::Missing)));
    let moved = broken(|txn| {
        let (hash, bytes) = row(txn, 2);
        take(txn, 2);
        put_row(txn, 3, &hash, &bytes);
    });
    assert_eq!(moved, Some((2, Problem::Missing)));
    // A record that fits, which the chain does not know of.
    let extra = broken(|txn| {
        let (before, _) = row(txn, 2);
        let bytes = encode_entry(3, &changed(2));
        put_row(txn, 3, &link(&Digest(before), &bytes).0, &bytes);
    });
    assert_eq!(extra, Some((3, Problem::Surplus)));
    assert_eq!(broken(|txn| put_row(txn, 0, &[0; 32], &[])), Some((1, Problem::Surplus)));
    let headless = broken(|txn| {
        txn.open_table(AUDIT_HEADS).unwrap().remove("acme").unwrap().unwrap();
    });
    assert_eq!(headless, Some((3, Problem::Missing)));
}

/// Writes the second record anew, with a hash that fits and a head that agrees.
fn forge(txn: &WriteTransaction, sequence: u64, entry: &Entry) {
    let (before, _) = row(txn, 1);
    let bytes = encode_entry(sequence, entry);
    let hash = link(&Digest(before), &bytes);
    put_row(txn, 2, &hash.0, &bytes);
    let head = Head { records: 2, at: entry.at, hash };
    txn.open_table(AUDIT_HEADS).unwrap().insert("acme", head.to_bytes().as_slice()).unwrap();
}

#[test]
fn a_chain_that_is_written_anew_has_to_make_sense() {
    let honest = changed(1);
    assert_eq!(broken(|txn| forge(txn, 2, &honest)), None);
    assert_eq!(broken(|txn| forge(txn, 3, &honest)), Some((2, Problem::Misplaced(3))));
    let earlier = Entry { at: Timestamp::from_micros(6), ..honest.clone() };
    assert_eq!(broken(|txn| forge(txn, 2, &earlier)), Some((2, Problem::Earlier)));
    let (before, found) = (Revision::ZERO, Revision::new(2));
    let skipping = Problem::Revision { before, found };
    assert_eq!(broken(|txn| forge(txn, 2, &changed(2))), Some((2, skipping)));
    let silent = Entry { revision: Revision::ZERO, event: Event::Began, ..honest };
    let unrecorded = Problem::Unrecorded { stored: Revision::new(1), last: Revision::ZERO };
    assert_eq!(broken(|txn| forge(txn, 2, &silent)), Some((3, unrecorded)));
}

#[test]
fn a_broken_end_takes_no_more_records() {
    let headless = edited(|txn| {
        txn.open_table(AUDIT_HEADS).unwrap().remove("acme").unwrap().unwrap();
    });
    let store = open(headless);
    let error = commit(&store, 1, &[created(&put("bo"))]).unwrap_err();
    assert!(error.to_string().contains("the audit of tenant `acme` is missing"), "{error}");
    let error = commit(&store, 1, &[created(&put("bo"))]).unwrap_err();
    assert!(matches!(error, StoreError::Stopped { .. }), "{error}");
    let store = open(edited(|txn| put_row(txn, 3, &[0; 32], &[])));
    let error = commit(&store, 1, &[created(&put("bo"))]).unwrap_err();
    assert!(error.to_string().contains("goes on behind its end"), "{error}");
}

#[test]
fn every_chain_is_verified_and_nothing_else_is_there() {
    let names = |store: &Store| -> Vec<(String, u64)> {
        let verified = store.verify_audits().unwrap();
        assert!(verified.iter().all(|(_, verified)| verified.broken.is_none()));
        verified.iter().map(|(chain, verified)| (chain.to_string(), verified.records)).collect()
    };
    let store = open(closed());
    let two = [("the server".to_owned(), 1), ("tenant `acme`".to_owned(), 2)];
    assert_eq!(names(&store), two);
    for edit in [
        |txn: &WriteTransaction| {
            let head = Head { records: 1, at: AT, hash: Digest([0; 32]) }.to_bytes();
            txn.open_table(AUDIT_HEADS).unwrap().insert("gone", head.as_slice()).unwrap();
        },
        |txn: &WriteTransaction| {
            let mut table = txn.open_table(AUDIT).unwrap();
            table.insert(("gone", 1), (&[0; 32], &[][..])).unwrap();
        },
    ] {
        let error = open(edited(edit)).verify_audits().unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    }
}

/// A file as the version before the audit wrote it: a tenant with a person, at revision 1.
fn of_format_1() -> Vec<u8> {
    let tables = edited(|txn| {
        txn.delete_table(AUDIT).unwrap();
        txn.delete_table(AUDIT_HEADS).unwrap();
        txn.delete_table(SESSIONS).unwrap();
        txn.delete_table(ACCOUNTS).unwrap();
        txn.delete_table(NUMBERS).unwrap();
        txn.delete_table(JOURNAL).unwrap();
        txn.open_table(META).unwrap().insert(FORMAT_KEY, 1).unwrap();
    });
    let db = Builder::new().create_with_backend(Disk::holding(tables.clone())).unwrap();
    let txn = db.begin_read().unwrap();
    let mut names: Vec<_> =
        txn.list_tables().unwrap().map(|table| table.name().to_owned()).collect();
    names.sort();
    let mut known =
        [META.name(), TENANTS.name(), FACTS.name(), REQUESTS.name(), REQUEST_ORDER.name()];
    known.sort_unstable();
    assert_eq!(names, known);
    tables
}

#[test]
fn a_file_of_the_time_before_the_audit_opens_and_the_audit_begins() {
    let disk = Disk::holding(of_format_1());
    let store = Store::with_backend(disk.clone()).unwrap();
    assert!(matches!(store.verify_audits(), Err(StoreError::Unaudited)));
    store.upgrade(AT).unwrap();
    commit(&store, 1, &[created(&put("bo"))]).unwrap();
    drop(store);
    let store = open(disk.live());
    // It begins once.
    store.upgrade(AT).unwrap();
    assert_eq!(store.format().unwrap(), Some(FORMAT));
    assert_eq!(store.load().unwrap()[0].facts.len(), 2);
    let page = store.audit_page(&acme(), &Query::default(), 0, 10).unwrap();
    let told: Vec<_> =
        page.records.iter().map(|one| (one.entry.revision.get(), one.entry.event.kind())).collect();
    assert_eq!(told, [(1, Kind::Began), (2, Kind::PolicyChanged)]);
    let verified = store.verify_audits().unwrap();
    assert_eq!(verified.len(), 2);
    assert!(verified.iter().all(|(_, verified)| verified.broken.is_none()), "{verified:?}");
    store.create_tenant(&TenantId::new("later").unwrap(), AT).unwrap();
    assert_eq!(store.verify_audit(&Chain::Server).unwrap().records, 2);
}

#[test]
fn a_file_of_the_time_before_callers_keeps_its_chain_and_goes_on_with_their_names() {
    let before = open(closed()).verify_audits().unwrap();
    let disk = Disk::holding(edited(|txn| {
        txn.open_table(META).unwrap().insert(FORMAT_KEY, 2).unwrap();
    }));
    let store = Store::with_backend(disk.clone()).unwrap();
    // A stopped server's file is verified as it is.
    assert_eq!(store.verify_audits().unwrap(), before);
    assert_eq!(store.format().unwrap(), Some(2));
    store.upgrade(AT).unwrap();
    assert_eq!(store.format().unwrap(), Some(FORMAT));
    assert_eq!(store.verify_audits().unwrap(), before);
    let caller = CallerName::new("desk").unwrap();
    let later = TenantId::new("later").unwrap();
    store.create_tenant(&later, Stamp { at: AT, caller: Some(&caller) }).unwrap();
    drop(store);

    let store = open(disk.live());
    let page = store.audit_page(&Chain::Server, &Query::default(), 0, 10).unwrap();
    let told: Vec<_> = page.records.iter().map(|one| one.entry.caller.as_ref()).collect();
    assert_eq!(told.split_last(), Some((&Some(&caller), vec![None; told.len() - 1].as_slice())));
    let by_caller = Query { caller: Some(caller), ..Query::default() };
    let page = store.audit_page(&Chain::Server, &by_caller, 0, 10).unwrap();
    assert_eq!(page.records.len(), 1);
    assert!(store.verify_audits().unwrap().iter().all(|(_, it)| it.broken.is_none()));
}

/// A store whose tenant has records at these instants, of people in turn.
fn filled(steps: &[(u8, u8)]) -> (Store, Vec<Entry>) {
    let store = open(closed());
    let mut at = AT.as_micros();
    let entries: Vec<Entry> = steps
        .iter()
        .map(|(later, person)| {
            at += i64::from(*later);
            let person = (*person > 0).then(|| PersonId::new(format!("p-{person}")).unwrap());
            let event = if *later == 0 { Event::Began } else { changed(1).event };
            let (at, revision) = (Timestamp::from_micros(at), Revision::new(1));
            Entry { at, revision, person, caller: None, event }
        })
        .collect();
    store.transaction(|txn| append(txn, &acme(), Start::Exists, &entries).map(drop)).unwrap();
    (store, entries)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Page by page, a list is what a look at every record gives.
    #[test]
    fn a_list_is_every_record_that_is_asked_for(
        steps in proptest::collection::vec((0..3_u8, 0..3_u8), 0..40),
        from in proptest::option::of(5..60_i64),
        until in proptest::option::of(5..60_i64),
        person in proptest::option::of(1..4_u8),
        began in any::<bool>(),
        limit in 1..7_usize,
    ) {
        let (store, _) = filled(&steps);
        let query = Query {
            from: from.map(Timestamp::from_micros),
            until: until.map(Timestamp::from_micros),
            person: person.map(|person| PersonId::new(format!("p-{person}")).unwrap()),
            kind: began.then_some(Kind::Began),
            ..Query::default()
        };
        let all = store.audit_page(&acme(), &Query::default(), 0, 1_000).unwrap();
        prop_assert_eq!((all.records.len(), all.next), (steps.len() + 2, None));
        let inside = |at: Timestamp| {
            query.from.is_none_or(|from| from <= at) && query.until.is_none_or(|until| at < until)
        };
        let wanted: Vec<_> = all
            .records
            .iter()
            .filter(|one| inside(one.entry.at) && query.selects(&one.entry))
            .cloned()
            .collect();
        let (mut listed, mut after) = (Vec::new(), 0);
        loop {
            let page = store.audit_page(&acme(), &query, after, limit).unwrap();
            prop_assert!(page.records.len() <= limit);
            listed.extend(page.records);
            let Some(next) = page.next else { break };
            prop_assert!(next > after);
            after = next;
        }
        prop_assert_eq!(listed, wanted);
    }
}

#[test]
fn a_page_looks_at_so_many_records_and_says_where_to_go_on() {
    let steps: Vec<(u8, u8)> = (0..MAX_SCANNED + 10).map(|n| (1, u8::from(n == 0))).collect();
    let (store, _) = filled(&steps);
    let nobody = Query { person: Some(PersonId::new("p-2").unwrap()), ..Query::default() };
    let page = store.audit_page(&acme(), &nobody, 0, 10).unwrap();
    assert_eq!((page.records.len(), page.next), (0, Some(MAX_SCANNED as u64)));
    let rest = store.audit_page(&acme(), &nobody, MAX_SCANNED as u64, 10).unwrap();
    assert_eq!((rest.records.len(), rest.next), (0, None));
    let page = store.audit_page(&acme(), &Query::default(), 0, usize::MAX).unwrap();
    let bytes: BTreeMap<_, usize> = page
        .records
        .iter()
        .map(|one| (one.sequence, encode_entry(one.sequence, &one.entry).len()))
        .collect();
    let total: usize = bytes.values().sum();
    assert!((MAX_PAGE_BYTES..MAX_PAGE_BYTES + 100).contains(&total), "{total}");
}
