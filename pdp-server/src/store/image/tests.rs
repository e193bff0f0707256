//! An image is used for exactly the state of the store that it was written of, and by the engine that wrote it.

use std::fs;

use pdp_engine::compile::compile;

use super::*;
use crate::audit::Event;
use crate::store::Commit;
use crate::store::sample::put;
use crate::store::tests::{AT, changed, commit, created, tenant};

/// A store in a folder, with so many people.
fn store(people: u64) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    store.create_tenant(&tenant(), AT).unwrap();
    // Its policy is empty.
    store.create_tenant(&TenantId::new("zero").unwrap(), AT).unwrap();
    for number in 0..people {
        commit(&store, number, &[created(&put(&format!("p-{number}")))]).unwrap();
    }
    (folder, store)
}

fn policies(store: &Store) -> Vec<(TenantId, Arc<Snapshot>)> {
    let stored = store.load().unwrap().into_iter();
    stored.map(|it| (it.id, Arc::new(compile(&it.facts, it.revision)))).collect()
}

/// Writes an image of what is stored.
fn keep(store: &Store) -> u64 {
    store.keep_image(|| policies(store)).unwrap().unwrap()
}

/// The revisions of the policies that a start would decide upon.
fn imaged(folder: &Path, store: &Store) -> Option<Vec<u64>> {
    let imaged = store.imaged(Reading::begin(folder)).unwrap()?;
    Some(imaged.iter().map(|(_, policy)| policy.revision().get()).collect())
}

#[test]
fn what_is_written_is_read_once_and_not_after_something_is_committed() {
    let (folder, store) = store(3);
    let image = folder.path().join(IMAGE_NAME);
    assert_eq!(imaged(folder.path(), &store), None, "there is none");
    assert_eq!(keep(&store), fs::metadata(&image).unwrap().len());
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(imaged(folder.path(), &store), Some(vec![3, 0]));
    assert!(!image.exists(), "a start uses it up");
    keep(&store);
    let before = policies(&store);
    commit(&store, 3, &[created(&put("dee"))]).unwrap();
    assert_eq!(imaged(folder.path(), &store), None, "it is of an earlier state");
    assert!(!image.exists());
    assert_eq!(store.keep_image(|| before).unwrap(), None, "none of what is no more");
    keep(&store);
    assert_eq!(imaged(folder.path(), &store), Some(vec![4, 0]));
    keep(&store);
    store.create_tenant(&TenantId::new("another").unwrap(), AT).unwrap();
    assert_eq!(imaged(folder.path(), &store), None, "it lacks a tenant");
    keep(&store);
    store.delete_tenant(&TenantId::new("another").unwrap(), AT).unwrap();
    assert_eq!(imaged(folder.path(), &store), None, "it has a tenant too many");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
}

/// Commits another change set than the others of these tests.
fn commit_another(store: &Store, from: u64, id: &str) {
    let mut entry = changed(from + 1);
    let Event::PolicyChanged(event) = &mut entry.event else { panic!("it is one") };
    event.digest = Digest([2; 32]);
    let (tenant, deltas, audit) = (&tenant(), &[created(&put(id))], &[entry]);
    let (from, to) = (Revision::new(from), Revision::new(from + 1));
    store.commit(&Commit { tenant, from, to, deltas, request: None, audit }).unwrap();
}

#[test]
fn one_of_another_history_is_passed_over_whatever_its_revision() {
    let (folder, store) = store(2);
    keep(&store);
    // A tenant of the name that came to as many change sets in another way.
    store.delete_tenant(&tenant(), AT).unwrap();
    store.create_tenant(&tenant(), AT).unwrap();
    commit_another(&store, 0, "p-0");
    commit(&store, 1, &[created(&put("p-1"))]).unwrap();
    assert_eq!(imaged(folder.path(), &store), None);

    // Another store in its place.
    let (folder, store) = self::store(2);
    keep(&store);
    let (other, another) = self::store(1);
    commit_another(&another, 1, "other");
    fs::copy(folder.path().join(IMAGE_NAME), other.path().join(IMAGE_NAME)).unwrap();
    assert_eq!(imaged(other.path(), &another), None);
    assert_eq!(imaged(folder.path(), &store), Some(vec![2, 0]));
}

#[test]
fn what_is_damaged_in_any_place_is_passed_over() {
    let (folder, store) = store(2);
    keep(&store);
    let file = folder.path().join(IMAGE_NAME);
    let whole = fs::read(&file).unwrap();
    for at in (0..whole.len()).step_by(41).chain([whole.len() - 1]) {
        let mut altered = whole.clone();
        altered[at] ^= 0x10;
        fs::write(&file, &altered).unwrap();
        assert_eq!(imaged(folder.path(), &store), None, "altered at {at}");
        fs::write(&file, &whole[..at]).unwrap();
        assert_eq!(imaged(folder.path(), &store), None, "cut off at {at}");
    }
    fs::write(&file, [whole.as_slice(), b"more"].concat()).unwrap();
    assert_eq!(imaged(folder.path(), &store), None, "something follows");
    fs::write(&file, &whole).unwrap();
    assert_eq!(imaged(folder.path(), &store), Some(vec![2, 0]));
    // What was being written when a server died goes as well.
    fs::write(folder.path().join(WRITING), b"half").unwrap();
    assert_eq!(imaged(folder.path(), &store), None);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn that_of_another_build_is_passed_over() {
    let (folder, store) = store(1);
    keep(&store);
    let file = folder.path().join(IMAGE_NAME);
    let mut image = fs::read(&file).unwrap();
    image[BEGIN.len() - 2] ^= 1;
    let signed = image.len() - DIGEST;
    let digest = Sha256::digest(&image[..signed]);
    image[signed..].copy_from_slice(&digest);
    fs::write(&file, image).unwrap();
    let error = Reading::begin(folder.path()).end(store.states().unwrap().as_deref()).unwrap_err();
    assert_eq!(error.to_string(), "another version has written it");
    assert_eq!(imaged(folder.path(), &store), None);
    assert!(!file.exists(), "it is of no use to anybody");
}

#[test]
fn what_is_committed_while_one_is_written_makes_it_go() {
    let (folder, store) = store(1);
    let policies = || {
        let policies = policies(&store);
        commit(&store, 1, &[created(&put("late"))]).unwrap();
        policies
    };
    assert_eq!(store.keep_image(policies).unwrap(), None);
    assert!(!folder.path().join(IMAGE_NAME).exists());
}

#[test]
fn a_copy_of_a_log_and_an_older_store_use_none() {
    let (folder, store) = store(1);
    for format in [super::super::COPY_FORMAT, super::super::UNJOURNALED_FORMAT] {
        store
            .transaction(|txn| {
                txn.open_table(super::super::META)?.insert(super::super::FORMAT_KEY, format)?;
                Ok(())
            })
            .unwrap();
        keep(&store);
        assert_eq!(imaged(folder.path(), &store), None);
    }
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, store) = store(1);
    keep(&store);
    let mode = fs::metadata(folder.path().join(IMAGE_NAME)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
