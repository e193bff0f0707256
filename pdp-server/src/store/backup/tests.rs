use super::*;
use crate::store::disk::Disk;
use crate::store::sample::put;
use crate::store::tests::{AT, commit, created, tenant};

/// A store with a tenant and so many people.
fn store(people: u64) -> Store {
    let store = Store::with_backend(Disk::default()).unwrap();
    store.create_tenant(&tenant(), AT).unwrap();
    for number in 0..people {
        commit(&store, number, &[created(&put(&format!("p-{number}")))]).unwrap();
    }
    store
}

fn backup_of(store: &Store) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.backup(&mut bytes).unwrap();
    bytes
}

/// A folder with a file of these bytes.
fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backup");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

#[test]
fn what_is_restored_is_what_was_there() {
    let before = store(40);
    let bytes = backup_of(&before);
    // What is written after that is not in it.
    commit(&before, 40, &[created(&put("later"))]).unwrap();
    let (folder, path) = file(&bytes);
    let data = folder.path().join("new").join("data");
    let rows = Store::restore(&path, &data).unwrap();
    assert_eq!(verify_backup(&path).unwrap(), rows);
    let after = Store::open_existing(&data).unwrap();
    let [tenant] = &after.load().unwrap()[..] else { panic!("one tenant") };
    assert_eq!((tenant.revision.get(), tenant.facts.len()), (40, 40));
    assert!(after.verify_audits().unwrap().iter().all(|(_, chain)| chain.broken.is_none()));
    // The same rows once more, byte for byte.
    assert_eq!(backup_of(&after), bytes);
    // And it goes on.
    commit(&after, 40, &[created(&put("later"))]).unwrap();
}

#[test]
fn a_damaged_backup_restores_nothing() {
    let bytes = backup_of(&store(3));
    let last = bytes.len() - 1;
    let flips = (0..bytes.len()).step_by(7).chain([last]);
    let flipped = flips.map(|at| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        bytes
    });
    let cut = [0, 1, 16, 24, bytes.len() / 2, last].map(|at| bytes[..at].to_vec());
    let longer = [&bytes[..], &[0]].concat();
    for damaged in flipped.chain(cut).chain([longer]) {
        let (folder, path) = file(&damaged);
        let data = folder.path().join("data");
        let refused = Store::restore(&path, &data).unwrap_err();
        let known = matches!(refused, BackupError::Damaged { .. } | BackupError::Newer { .. });
        assert!(known, "{refused}");
        assert!(!data.exists(), "nothing is made");
    }
}

#[test]
fn a_newer_backup_is_refused_by_its_format() {
    let mut bytes = backup_of(&store(1));
    bytes[16..24].copy_from_slice(&(FORMAT + 1).to_le_bytes());
    let (folder, path) = file(&bytes);
    let refused = Store::restore(&path, &folder.path().join("data")).unwrap_err();
    assert!(matches!(refused, BackupError::Newer { found, .. } if found == FORMAT + 1));
    let said = refused.to_string();
    assert!(said.contains("restore it with the version that wrote it"), "{said}");
}

#[test]
fn a_folder_with_something_in_it_is_left_alone() {
    let (folder, path) = file(&backup_of(&store(1)));
    let refused = Store::restore(&path, folder.path()).unwrap_err();
    assert!(matches!(refused, BackupError::NotEmpty(_)), "{refused}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    // A server that runs there is something, too.
    let data = folder.path().join("data");
    let _running = Store::open(&data).unwrap();
    let refused = Store::restore(&path, &data).unwrap_err();
    assert!(matches!(refused, BackupError::NotEmpty(_)), "{refused}");
}

#[test]
fn a_stopped_store_gives_its_unused_space_back() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = Store::open(folder.path()).unwrap();
        store.create_tenant(&tenant(), AT).unwrap();
        let many: Vec<_> = crate::store::sample::bulk(3_000).iter().map(created).collect();
        commit(&store, 0, &many).unwrap();
        let running = Store::compact(folder.path()).unwrap_err();
        assert!(matches!(running, StoreError::Locked { .. }), "{running}");
        store.delete_tenant(&tenant(), AT).unwrap();
        store.create_tenant(&tenant(), AT).unwrap();
    }
    let given_back = Store::compact(folder.path()).unwrap();
    assert!(given_back > 1_000_000, "{given_back} bytes");
    assert_eq!(Store::open(folder.path()).unwrap().load().unwrap().len(), 1);
    assert!(Store::compact(&folder.path().join("nowhere")).is_err());
}
