//! What the journal keeps, and what it says of what it does not keep.

use super::*;
use crate::audit::Entry;
use crate::store::disk::Disk;
use crate::store::sample::{bulk, crowd, delete, put};
use crate::store::tests::{AT, changed, closed, commit, created, edited, tenant};

fn revision(revision: u64) -> Revision {
    Revision::new(revision)
}

fn store(retained: u64) -> Store {
    let store = Store::with_backend(Disk::default()).unwrap().with_retained(retained);
    store.create_tenant(&tenant(), AT).unwrap();
    store
}

/// Commits a change set of one or more new people on top of `from`.
fn add(store: &Store, from: u64, changes: &[Change]) {
    commit(store, from, &changes.iter().map(created).collect::<Vec<_>>()).unwrap();
}

/// The change sets behind a revision, parts put together.
fn behind(store: &Store, from: u64, to: u64) -> Option<Vec<(u64, Vec<Change>)>> {
    let mut cursor = Cursor::behind(revision(from));
    let mut sets: Vec<(u64, Vec<Change>)> = Vec::new();
    let mut goes_on = false;
    while cursor.revision <= revision(to) {
        let (read, next) = store.journaled(&tenant(), cursor, revision(to)).unwrap()?;
        for Journaled { position, at, changes, more } in read {
            assert_eq!((at, position.mark.is_some()), (AT, true));
            match sets.last_mut().filter(|_| goes_on) {
                Some((of, set)) if *of == position.revision.get() => set.extend(changes),
                _ => sets.push((position.revision.get(), changes)),
            }
            goes_on = more;
        }
        cursor = next;
    }
    assert!(!goes_on, "the last change set is cut short");
    Some(sets)
}

#[test]
fn change_sets_come_back_as_they_were_committed() {
    let store = store(100);
    let (crowd, ana) = (crowd("p", 3), put("ana"));
    add(&store, 0, &crowd);
    add(&store, 1, std::slice::from_ref(&ana));
    let mut gone = created(&ana);
    (gone.before, gone.after) = (gone.after, None);
    commit(&store, 2, &[gone]).unwrap();
    let all = vec![(1, crowd), (2, vec![ana]), (3, vec![delete("ana")])];
    assert_eq!(behind(&store, 0, 3), Some(all.clone()));
    assert_eq!(behind(&store, 2, 3), Some(all[2..].to_vec()));
    assert_eq!(
        behind(&store, 0, 2),
        Some(all[..2].to_vec()),
        "what is not visible yet is not told"
    );
    assert_eq!(behind(&store, 3, 3), Some(Vec::new()));
}

#[test]
fn a_large_change_set_comes_in_parts() {
    let store = store(10_000);
    let bulk = bulk(2_000);
    add(&store, 0, &bulk);
    add(&store, 1, &[put("ana")]);
    let first = store.journaled(&tenant(), Cursor::behind(revision(0)), revision(2)).unwrap();
    let (parts, _) = first.unwrap();
    assert!(parts.len() > 2 && parts.iter().all(|part| part.more), "{}", parts.len());
    assert_eq!(behind(&store, 0, 2), Some(vec![(1, bulk), (2, vec![put("ana")])]));
}

#[test]
fn the_oldest_change_sets_are_forgotten_whole() {
    let store = store(5);
    add(&store, 0, &crowd("a", 2));
    add(&store, 1, &crowd("b", 3));
    assert!(behind(&store, 0, 2).is_some());
    add(&store, 2, &[put("ana")]);
    assert_eq!(behind(&store, 0, 3), None);
    assert_eq!(behind(&store, 1, 3).unwrap().len(), 2);
    for from in 3..40 {
        add(&store, from, &[put(&format!("q{from}"))]);
        // The three of revision 2 go together.
        let oldest = if from < 4 { 1 } else { (from + 1).saturating_sub(5).max(2) };
        assert!(behind(&store, oldest, from + 1).is_some(), "{from}");
        assert_eq!(behind(&store, oldest - 1, from + 1), None, "{from}");
        // Who is there is known of everything that can be gone on from, and of nothing else.
        assert!(store.mark(&tenant(), revision(oldest)).unwrap().is_some());
        assert!(store.mark(&tenant(), revision(oldest - 1)).unwrap().is_none());
    }
    let rows = store.begin_read().unwrap().open_table(JOURNAL).unwrap();
    assert_eq!(rows.iter().unwrap().count(), 6 + 5, "headings and parts of five, and a heading");
}

#[test]
fn a_change_set_that_is_too_large_is_not_kept_and_is_gone_on_from() {
    let store = store(5);
    add(&store, 0, &[put("ana")]);
    add(&store, 1, &crowd("b", 6));
    assert_eq!((behind(&store, 0, 2), behind(&store, 1, 2)), (None, None));
    assert!(store.mark(&tenant(), revision(2)).unwrap().is_some());
    add(&store, 2, &crowd("c", 5));
    assert_eq!(behind(&store, 2, 3).unwrap().len(), 1);
    add(&store, 3, &[put("bo")]);
    assert_eq!((behind(&store, 2, 4), behind(&store, 3, 4).map(|it| it.len())), (None, Some(1)));
}

#[test]
fn histories_that_differ_have_other_marks() {
    let (one, other) = (store(5), store(5));
    add(&one, 0, &[put("ana")]);
    add(&other, 0, &[put("ana")]);
    let mark = |of: &Store, at| of.mark(&super::tests::tenant(), revision(at)).unwrap();
    assert_eq!(mark(&one, 1), mark(&other, 1));
    add(&one, 1, &[put("bo")]);
    // The same facts, and another record in the audit.
    let audit = [Entry { at: Timestamp::from_micros(8), ..changed(2) }];
    let (deltas, tenant) = ([created(&put("bo"))], tenant());
    let (from, to) = (revision(1), revision(2));
    let set = Commit { tenant: &tenant, from, to, deltas: &deltas, request: None, audit: &audit };
    other.commit(&set).unwrap();
    assert_ne!(mark(&one, 2), mark(&other, 2));
    assert_eq!(mark(&one, 0), None, "nothing made the empty policy");
}

#[test]
fn what_is_deleted_takes_its_journal_along() {
    let store = store(5);
    add(&store, 0, &[put("ana")]);
    store.delete_tenant(&tenant(), AT).unwrap();
    store.create_tenant(&tenant(), AT).unwrap();
    assert_eq!((behind(&store, 0, 1), store.mark(&tenant(), revision(1)).unwrap()), (None, None));
}

#[test]
fn the_journal_of_an_earlier_store_begins_with_its_upgrade() {
    let bytes = edited(|txn| {
        txn.delete_table(JOURNAL).unwrap();
        let format = super::super::UNJOURNALED_FORMAT;
        let mut meta = txn.open_table(super::super::rows::META).unwrap();
        meta.insert(super::super::rows::FORMAT_KEY, format).unwrap();
        let before = TenantRecord { revision: 1, facts: 1, ..TenantRecord::default() };
        let mut tenants = txn.open_table(super::super::rows::TENANTS).unwrap();
        tenants.insert("acme", prost::Message::encode_to_vec(&before).as_slice()).unwrap();
    });
    let store = Store::with_backend(Disk::holding(bytes)).unwrap().with_retained(1);
    store.upgrade(AT).unwrap();
    assert_eq!(store.format().unwrap(), Some(super::super::FORMAT));
    assert_eq!(behind(&store, 0, 1), None);
    for from in 1..5 {
        add(&store, from, &[put(&format!("p{from}"))]);
        assert!(behind(&store, from, from + 1).is_some());
        assert_eq!(behind(&store, from - 1, from + 1), None);
    }
    assert_eq!(store.load().unwrap()[0].facts.len(), 5);
}

#[test]
fn a_damaged_row_is_an_error() {
    let bytes = edited(|txn| {
        txn.open_table(JOURNAL).unwrap().insert(("acme", 1, 1), &b"\x0a\x02\x08"[..]).unwrap();
    });
    let store = Store::with_backend(Disk::holding(bytes)).unwrap();
    let read = store.journaled(&tenant(), Cursor::behind(revision(0)), revision(1));
    assert_eq!(
        read.unwrap_err().to_string(),
        "the store holds a record that cannot be read: revision 1 in the journal of tenant `acme`: failed to decode Protobuf message: PartRecord.changes: buffer underflow; restore a backup, or start the version that wrote it"
    );
    assert!(behind(&Store::with_backend(Disk::holding(closed())).unwrap(), 0, 1).is_some());
}
