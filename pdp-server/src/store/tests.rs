//! The store as a store: what it keeps, what it refuses to open, and what it says then.

use std::collections::BTreeMap;

use pdp_engine::facts::{Change, Delta};
use pdp_engine::id::RecentNames;
use proptest::prelude::*;
use redb::{ReadableTable as _, ReadableTableMetadata as _};

use super::disk::Disk;
use super::record::kind_number;
use super::sample::{fact, put};
use super::*;
use crate::audit::{Event, PolicyChanged};
use crate::receipt::{ChangeKind, Counts};

pub(super) const AT: Timestamp = Timestamp::from_micros(7);

pub(super) fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

pub(super) fn created(change: &Change) -> Delta {
    let Change::Put(fact) = change else { panic!("only puts create") };
    Delta { key: fact.key(), before: None, after: Some(fact.clone()) }
}

/// What the audit says of a change set that made this revision.
pub(super) fn changed(revision: u64) -> Entry {
    let event = Event::PolicyChanged(PolicyChanged {
        created: 1,
        changed: 0,
        removed: 0,
        digest: Digest([1; 32]),
        request_id: None,
        changes: Vec::new(),
    });
    Entry { at: AT, revision: Revision::new(revision), person: None, caller: None, event }
}

pub(super) fn commit(store: &Store, from: u64, deltas: &[Delta]) -> Result<(), StoreError> {
    store.commit(&Commit {
        tenant: &tenant(),
        from: Revision::new(from),
        to: Revision::new(from + 1),
        deltas,
        request: None,
        audit: &[changed(from + 1)],
    })
}

/// A closed store with one tenant and one person, as bytes.
pub(super) fn closed() -> Vec<u8> {
    let disk = Disk::default();
    let store = Store::with_backend(disk.clone()).unwrap();
    store.create_tenant(&tenant(), AT).unwrap();
    commit(&store, 0, &[created(&put("ana"))]).unwrap();
    drop(store);
    disk.live()
}

/// The bytes of a closed store after `edit` was committed to it behind the store's back.
pub(super) fn edited(edit: impl FnOnce(&WriteTransaction)) -> Vec<u8> {
    let disk = Disk::holding(closed());
    let db = Builder::new().create_with_backend(disk.clone()).unwrap();
    let txn = db.begin_write().unwrap();
    edit(&txn);
    txn.commit().unwrap();
    drop(db);
    disk.live()
}

fn refusal(bytes: Vec<u8>) -> StoreError {
    match Store::with_backend(Disk::holding(bytes)).and_then(|store| store.load()) {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

#[test]
fn what_is_stored_comes_back() {
    let store = Store::with_backend(Disk::holding(closed())).unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.len(), 1);
    assert_eq!((&loaded[0].id, loaded[0].revision), (&tenant(), Revision::new(1)));
    let people: Vec<_> = loaded[0].facts.people().map(|person| person.id.as_str()).collect();
    assert_eq!(people, ["ana"]);
}

#[test]
fn a_second_server_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data").join("nested");
    let first = Store::open(&dir).unwrap();
    let error = Store::open(&dir).unwrap_err();
    assert!(matches!(&error, StoreError::Locked { dir: locked } if *locked == dir), "{error}");
    assert_eq!(
        error.to_string(),
        format!(
            "another pdp-server has `{}` open; stop it, or give this one a data folder of its own",
            dir.display()
        )
    );
    drop(first);
    Store::open(&dir).unwrap();
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Store::open(&file).unwrap_err();
    assert!(matches!(error, StoreError::Folder { .. }), "{error}");
    assert!(error.to_string().contains(&*file.to_string_lossy()), "{error}");
}

#[test]
fn a_newer_format_is_refused() {
    let bytes = edited(|txn| {
        txn.open_table(META).unwrap().insert(FORMAT_KEY, FORMAT + 1).unwrap();
    });
    let error = refusal(bytes);
    assert!(matches!(error, StoreError::NewerFormat { found } if found == FORMAT + 1), "{error}");
    assert!(error.to_string().contains("start the newer server that wrote it"), "{error}");
}

#[test]
fn an_unknown_format_is_refused() {
    for bytes in [
        edited(|txn| drop(txn.open_table(META).unwrap().insert(FORMAT_KEY, 0).unwrap())),
        edited(|txn| drop(txn.open_table(META).unwrap().remove(FORMAT_KEY).unwrap())),
        edited(|txn| assert!(txn.delete_table(META).unwrap())),
    ] {
        let error = refusal(bytes);
        assert!(matches!(error, StoreError::Foreign), "{error}");
    }
}

#[test]
fn another_program_s_database_is_refused() {
    let disk = Disk::default();
    let db = Builder::new().create_with_backend(disk.clone()).unwrap();
    let txn = db.begin_write().unwrap();
    let table: redb::TableDefinition<&str, &str> = redb::TableDefinition::new("meta");
    txn.open_table(table).unwrap().insert("format", "other").unwrap();
    txn.commit().unwrap();
    drop(db);
    let error = refusal(disk.live());
    assert!(matches!(error, StoreError::Foreign), "{error}");
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE_NAME);
    std::fs::write(&file, "people:\n  - {id: ana}\n").unwrap();
    let error = Store::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains(&*file.to_string_lossy()), "{error}");
    assert!(error.to_string().contains("restore a backup"), "{error}");
    let StoreError::File { source, .. } = error else { panic!("{error}") };
    assert!(matches!(*source, StoreError::Corrupt { .. }), "{source}");
}

#[test]
fn a_start_that_fails_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE_NAME);
    for bytes in [
        edited(|txn| drop(txn.open_table(META).unwrap().insert(FORMAT_KEY, FORMAT + 1).unwrap())),
        edited(|txn| drop(txn.open_table(FACTS).unwrap().pop_first().unwrap())),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let error = Store::open(folder.path()).and_then(|store| store.load()).unwrap_err();
        assert!(matches!(error, StoreError::File { .. }), "{error}");
        assert!(error.to_string().contains(&*file.to_string_lossy()), "{error}");
    }
}

#[test]
fn a_truncated_file_is_refused() {
    let bytes = closed();
    for kept in [1, 100, 4096, bytes.len() / 2, bytes.len() - 4096] {
        let error = refusal(bytes[..kept].to_vec());
        assert!(matches!(error, StoreError::Corrupt { .. }), "{kept} bytes: {error}");
    }
}

#[test]
fn a_record_that_cannot_be_read_stops_the_start() {
    let person = kind_number(pdp_engine::facts::FactKind::Person);
    let good = record::encode(&super::sample::person("bo"));
    let unknown_field = [good.as_slice(), &[0xfa, 0x01, 0x01, 0x00]].concat();
    for (what, kind, name, bytes) in [
        ("no message", person, "bo", b"\xff\xff".to_vec()),
        ("an unknown kind", person, "bo", vec![0xfa, 0x01, 0x01, 0x00]),
        ("an unknown field", person, "bo", unknown_field),
        ("another name", person, "bob", good.clone()),
        ("another kind", person + 1, "bo", good.clone()),
        ("nothing", person, "bo", Vec::new()),
    ] {
        let bytes = edited(|txn| {
            let mut facts = txn.open_table(FACTS).unwrap();
            facts.insert(("acme", kind, name), bytes.as_slice()).unwrap();
        });
        let error = refusal(bytes);
        assert!(matches!(error, StoreError::Record { .. }), "{what}: {error}");
        assert!(error.to_string().contains(&format!("fact `{name}` of tenant `acme`")), "{error}");
    }
}

#[test]
fn a_lost_or_a_foreign_fact_stops_the_start() {
    let person = kind_number(pdp_engine::facts::FactKind::Person);
    let lost = edited(|txn| {
        txn.open_table(FACTS).unwrap().remove(("acme", person, "ana")).unwrap().unwrap();
    });
    let unowned = edited(|txn| {
        let bytes = record::encode(&super::sample::person("bo"));
        txn.open_table(FACTS).unwrap().insert(("other", person, "bo"), bytes.as_slice()).unwrap();
    });
    for bytes in [lost, unowned] {
        let error = refusal(bytes);
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    }
}

#[test]
fn facts_that_do_not_hold_together_stop_the_start() {
    let disk = Disk::default();
    let store = Store::with_backend(disk.clone()).unwrap();
    store.create_tenant(&tenant(), AT).unwrap();
    let mut grant = super::sample::grant("ana");
    grant.retain(|change| change.key().kind() != pdp_engine::facts::FactKind::Person);
    let deltas: Vec<Delta> = grant.iter().map(created).collect();
    commit(&store, 0, &deltas).unwrap();
    drop(store);
    let error = refusal(disk.live());
    assert!(matches!(error, StoreError::Invalid { .. }), "{error}");
    assert!(error.to_string().contains("person `ana`, which does not exist"), "{error}");
}

#[test]
fn a_commit_on_the_wrong_revision_or_tenant_changes_nothing() {
    let store = Store::with_backend(Disk::holding(closed())).unwrap();
    let error = commit(&store, 0, &[created(&put("bo"))]).unwrap_err();
    assert!(matches!(error, StoreError::Diverged { stored: 1, .. }), "{error}");
    let other = TenantId::new("other").unwrap();
    let (from, to) = (Revision::ZERO, Revision::new(1));
    let nowhere = Commit { tenant: &other, from, to, deltas: &[], request: None, audit: &[] };
    let error = store.commit(&nowhere).unwrap_err();
    assert!(matches!(error, StoreError::NoTenant(_)), "{error}");
    commit(&store, 1, &[created(&put("bo"))]).unwrap();
    assert_eq!(store.load().unwrap()[0].facts.len(), 2);
}

#[test]
fn only_the_last_requests_are_remembered() {
    let store = Store::with_backend(Disk::holding(closed())).unwrap();
    // As if all but two of the retained requests, and the two before them, had been made already.
    store
        .transaction(|txn| {
            let record = TenantRecord {
                revision: 1,
                facts: 1,
                requests: RETAINED_REQUESTS,
                ..TenantRecord::default()
            };
            txn.open_table(TENANTS)?.insert("acme", record.encode_to_vec().as_slice())?;
            let mut order = txn.open_table(REQUEST_ORDER)?;
            let mut requests = txn.open_table(REQUESTS)?;
            for (number, id) in [(0, "oldest"), (1, "second")] {
                order.insert(("acme", number), id)?;
                requests.insert(("acme", id), b"".as_slice())?;
            }
            Ok(())
        })
        .unwrap();
    let request = RequestId::new("newest").unwrap();
    let remembered = Remembered {
        digest: [7; 32],
        revision: Revision::new(1),
        changes: vec![(put("ana").key(), ChangeKind::Created)],
        counts: Counts { created: 1, ..Counts::default() },
        on_behalf_of: None,
    };
    let at = Revision::new(1);
    let request = Some((&request, &remembered));
    store
        .commit(&Commit { tenant: &tenant(), from: at, to: at, deltas: &[], request, audit: &[] })
        .unwrap();

    let txn = store.begin_read().unwrap();
    let order = txn.open_table(REQUEST_ORDER).unwrap();
    let kept: Vec<_> = order.iter().unwrap().map(|row| row.unwrap().1.value().to_owned()).collect();
    assert_eq!(kept, ["second", "newest"]);
    assert_eq!(txn.open_table(REQUESTS).unwrap().len().unwrap(), 2);
    let newest = RequestId::new("newest").unwrap();
    assert_eq!(store.remembered(&tenant(), &newest).unwrap(), Some(remembered));
}

#[test]
fn deleting_a_tenant_takes_its_rows_and_no_others() {
    let store = Store::with_backend(Disk::holding(closed())).unwrap();
    let neighbours = ["acm", "acme2", "acme\u{20}"].map(|id| TenantId::new(id).unwrap());
    let request = RequestId::new("r").unwrap();
    let remembered = Remembered {
        digest: [0; 32],
        revision: Revision::new(1),
        changes: vec![],
        counts: Counts::default(),
        on_behalf_of: None,
    };
    let deltas = [created(&put("ana"))];
    for id in neighbours.iter().chain([&tenant()]) {
        let from = if *id == tenant() { Revision::new(1) } else { Revision::ZERO };
        if *id != tenant() {
            store.create_tenant(id, AT).unwrap();
        }
        let deltas = if *id == tenant() { &[][..] } else { &deltas };
        let request = Some((&request, &remembered));
        store
            .commit(&Commit { tenant: id, from, to: from.next(), deltas, request, audit: &[] })
            .unwrap();
    }
    store.delete_tenant(&tenant(), AT).unwrap();
    let left: Vec<_> = store.load().unwrap().into_iter().map(|t| (t.id, t.facts.len())).collect();
    assert_eq!(left.len(), neighbours.len());
    assert!(left.iter().all(|(id, facts)| neighbours.contains(id) && *facts == 1), "{left:?}");
    assert!(store.remembered(&tenant(), &request).unwrap().is_none());
    for id in &neighbours {
        assert!(store.remembered(id, &request).unwrap().is_some());
    }
    let txn = store.begin_read().unwrap();
    assert_eq!(txn.open_table(REQUEST_ORDER).unwrap().len().unwrap(), neighbours.len() as u64);
}

/// What comes of flipping one bit: every one of the header, and one in each few bytes in use.
fn flip_bits(bytes: &[u8]) -> BTreeMap<&'static str, Vec<(usize, usize)>> {
    let mut outcomes: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let header = (0..320).flat_map(|at| (0..8).map(move |bit| (at, bit)));
    let pages = (320..bytes.len()).filter(|at| bytes[*at] != 0).step_by(7);
    for (at, bit) in header.chain(pages.map(|at| (at, at % 8))) {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1 << bit;
        let loaded = Store::with_backend(Disk::holding(flipped)).and_then(|store| store.load());
        let outcome = match loaded {
            Err(StoreError::Corrupt { .. } | StoreError::FileFormat { .. }) => "noticed",
            Err(other) => panic!("bit {bit} of byte {at}: {other}"),
            Ok(tenants) => {
                let read: Vec<_> =
                    tenants.iter().map(|t| (t.revision.get(), t.facts.len())).collect();
                match read.as_slice() {
                    [(2, 2)] => "harmless",
                    [(1, 1)] => "one commit back",
                    other => panic!("bit {bit} of byte {at}: {other:?}"),
                }
            }
        };
        outcomes.entry(outcome).or_default().push((at, bit));
    }
    outcomes
}

#[test]
fn a_flipped_bit_is_noticed_or_harmless() {
    let disk = Disk::holding(closed());
    let store = Store::with_backend(disk.clone()).unwrap();
    commit(&store, 1, &[created(&put("bo"))]).unwrap();
    let killed = disk.live();
    drop(store);
    for (how, bytes) in [("killed", killed), ("closed", disk.live())] {
        let outcomes = flip_bits(&bytes);
        for (outcome, bits) in &outcomes {
            println!("a {how} server's file, {} flipped bits: {outcome}", bits.len());
        }
        assert!(!outcomes.contains_key("one commit back"), "{outcomes:?}");
        assert!(outcomes["noticed"].len() > 500);
    }
}

proptest! {
    #[test]
    fn every_fact_reads_back_as_written(fact in fact()) {
        let key = fact.key();
        let bytes = record::encode(&fact);
        let read = record::decode(
            kind_number(key.kind()),
            &record::name(&key),
            &bytes,
            &mut RecentNames::default(),
        );
        prop_assert_eq!(read, Ok(fact));
    }

    #[test]
    fn a_remembered_request_reads_back_as_written(
        facts in proptest::collection::vec((fact(), 0..3_usize), 0..5),
        digest in any::<[u8; 32]>(),
        revision in any::<u64>(),
        unlisted in 0..3_u64,
        on_behalf_of in proptest::option::of("[a-z]{1,8}"),
    ) {
        let on_behalf_of = on_behalf_of.map(|id| pdp_engine::id::PersonId::new(id).unwrap());
        let kinds = [ChangeKind::Created, ChangeKind::Changed, ChangeKind::Removed];
        let changes: Vec<_> = facts.iter().map(|(fact, kind)| (fact.key(), kinds[*kind])).collect();
        let mut counts = Counts::of(changes.iter().map(|(_, kind)| *kind));
        counts.created += unlisted;
        let revision = Revision::new(revision);
        let remembered = Remembered { digest, revision, changes, counts, on_behalf_of };
        prop_assert_eq!(Remembered::from_bytes(&remembered.to_bytes()), Ok(remembered));
    }

    #[test]
    fn change_sets_have_one_digest_each(
        one in super::sample::change_set(),
        other in super::sample::change_set(),
    ) {
        prop_assert_eq!(one == other, digest(&one) == digest(&other));
    }
}
