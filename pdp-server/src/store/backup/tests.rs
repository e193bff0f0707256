use super::restore::Unnamed;
use super::*;
use crate::store::disk::Disk;
use crate::store::sample::put;
use crate::store::tests::{AT, commit, created, tenant};
use crate::store::{FILE_NAME, NEXT, REPLACED, RESTORING};

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

/// A row of a backup: the number of its table, its key and its value.
type Row = (u8, Vec<u8>, Vec<u8>);

fn last_of(rows: &mut [Row], table: u8) -> &mut Row {
    rows.iter_mut().rfind(|row| row.0 == table).unwrap()
}

/// A backup after `edit`, under a checksum that fits.
fn edited(bytes: &[u8], edit: impl FnOnce(&mut Vec<Row>)) -> Vec<u8> {
    let (head, mut rest) = bytes.split_at(24);
    let mut rows = Vec::new();
    while rest[0] != END {
        let length = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap()) as usize;
        let (key, value) = (length(1), length(5));
        rows.push((rest[0], rest[9..9 + key].to_vec(), rest[9 + key..9 + key + value].to_vec()));
        rest = &rest[9 + key + value..];
    }
    edit(&mut rows);
    let mut bytes = head.to_vec();
    for (table, key, value) in &rows {
        bytes.push(*table);
        for part in [key, value] {
            bytes.extend_from_slice(&u32::try_from(part.len()).unwrap().to_le_bytes());
        }
        bytes.extend([&key[..], value].concat());
    }
    bytes.push(END);
    bytes.extend_from_slice(&(rows.len() as u64).to_le_bytes());
    let digest = Sha256::digest(&bytes);
    [&bytes[..], &digest].concat()
}

/// The numbers of tables in backups.
const OF_TENANTS: u8 = 2;
const OF_FACTS: u8 = 3;
const OF_AUDIT: u8 = 6;

#[test]
fn what_does_not_hold_together_is_not_restored_whatever_its_checksum_says() {
    let bytes = backup_of(&store(3));
    assert_eq!(edited(&bytes, |_| {}), bytes);
    // The last byte of a record of the audit is the last of its text.
    let altered = edited(&bytes, |rows| *last_of(rows, OF_AUDIT).2.last_mut().unwrap() ^= 1);
    let unread = edited(&bytes, |rows| last_of(rows, OF_FACTS).2.push(7));
    let without = |table| {
        edited(&bytes, |rows| {
            let last = rows.iter().rposition(|row| row.0 == table).unwrap();
            rows.remove(last);
        })
    };
    let [missing, lost, gone] = [OF_AUDIT, OF_FACTS, OF_TENANTS].map(without);
    let strange = edited(&bytes, |rows| rows.push((99, vec![1], vec![1])));
    for (damaged, said) in [
        (altered, "the audit of tenant `acme`"),
        (missing, "the audit of"),
        (lost, "is of no use, and nothing was restored"),
        (unread, "is of no use, and nothing was restored"),
        (gone, "is of no use, and nothing was restored"),
        (strange, "it has a table that there is none of"),
    ] {
        let (folder, path) = file(&damaged);
        verify_backup(&path).unwrap();
        let refused = Store::restore(&path, &folder.path().join("a").join("data")).unwrap_err();
        assert!(refused.to_string().contains(said), "{said}: {refused}");
        assert!(!folder.path().join("a").exists(), "{said}: something is left");
        // A folder that was there stays, and stays empty.
        let data = folder.path().join("there");
        std::fs::create_dir(&data).unwrap();
        Store::restore(&path, &data).unwrap_err();
        assert_eq!(std::fs::read_dir(&data).unwrap().count(), 0, "{said}");
    }
}

#[test]
fn one_that_was_killed_before_it_had_its_name_is_not_started_on_and_begins_anew() {
    let (folder, path) = file(&backup_of(&store(3)));
    let data = folder.path().join("data");
    let killed = Unnamed::new(&data).unwrap();
    killed.fill(&path).unwrap();
    // As by SIGKILL: nothing is tidied up.
    std::mem::forget(killed);
    assert!(data.join(RESTORING).exists() && !data.join(FILE_NAME).exists());
    let refused = Store::open(&data).unwrap_err().to_string();
    assert!(refused.contains("did not end; run it again"), "{refused}");
    assert!(matches!(Store::open_existing(&data), Err(StoreError::NoStore { .. })));

    // While it is at work, a second one is refused.
    let working = File::open(data.join(RESTORING)).unwrap();
    working.lock().unwrap();
    let refused = Store::restore(&path, &data).unwrap_err().to_string();
    assert!(refused.contains("another pdp-server has"), "{refused}");
    drop(working);
    Store::restore(&path, &data).unwrap();
    assert!(!data.join(RESTORING).exists());
    assert_eq!(Store::open_existing(&data).unwrap().load().unwrap()[0].facts.len(), 3);
}

#[test]
fn what_is_restored_over_a_store_takes_its_place_when_nobody_has_it_open() {
    let (folder, path) = file(&backup_of(&store(3)));
    let data = folder.path().join("data");
    let nothing = Store::restore_over(&path, &data).unwrap_err();
    assert!(matches!(nothing, BackupError::Store(StoreError::NoStore { .. })), "{nothing}");
    let running = Store::open(&data).unwrap();
    running.create_tenant(&tenant(), AT).unwrap();
    Store::restore_over(&path, &data).unwrap();
    assert!(data.join(NEXT).exists() && !data.join(RESTORING).exists());
    // The one that runs goes on, and is not taken the folder from.
    commit(&running, 0, &[created(&put("ana"))]).unwrap();
    let locked = Store::open(&data).unwrap_err();
    assert!(matches!(locked, StoreError::Locked { .. }), "{locked}");
    drop(running);
    let facts = |store: &Store| store.load().unwrap()[0].facts.len();
    let restored = Store::open_existing(&data).unwrap();
    assert_eq!(facts(&restored), 3);
    assert!(!data.join(NEXT).exists());
    drop(restored);
    // What was there is kept.
    std::fs::create_dir(folder.path().join("kept")).unwrap();
    let kept = folder.path().join("kept");
    std::fs::copy(data.join(REPLACED), kept.join(FILE_NAME)).unwrap();
    assert_eq!(facts(&Store::open_existing(&kept).unwrap()), 1);

    // That one is not overwritten by another restore.
    let refused = Store::restore_over(&path, &data).unwrap_err();
    assert!(matches!(refused, BackupError::Kept(_)), "{refused}");
    std::fs::remove_file(data.join(REPLACED)).unwrap();

    // A crash before the new one had the name, where a file can have two, and where it cannot.
    for crash in [std::fs::hard_link, |from: PathBuf, to: PathBuf| std::fs::rename(from, to)] {
        Store::restore_over(&path, &data).unwrap();
        crash(data.join(FILE_NAME), data.join(REPLACED)).unwrap();
        assert_eq!(facts(&Store::open_existing(&data).unwrap()), 3);
        assert!(!data.join(NEXT).exists());
        std::fs::remove_file(data.join(REPLACED)).unwrap();
    }
    // Another file in the way of what is to be kept: nothing is replaced.
    Store::restore_over(&path, &data).unwrap();
    std::fs::write(data.join(REPLACED), "mine").unwrap();
    let refused = Store::open(&data).unwrap_err().to_string();
    assert!(refused.contains("is to be kept under that name; move it away"), "{refused}");
    assert_eq!(std::fs::read(data.join(REPLACED)).unwrap(), b"mine");
    std::fs::remove_file(data.join(REPLACED)).unwrap();
    std::fs::remove_file(data.join(NEXT)).unwrap();
    // Of what is damaged nothing is left.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    Store::restore_over(&path, &data).unwrap_err();
    assert!(!data.join(NEXT).exists() && !data.join(RESTORING).exists());
}

#[test]
fn of_many_who_start_at_once_on_what_is_to_be_replaced_one_does() {
    let (folder, path) = file(&backup_of(&store(3)));
    let data = folder.path().join("data");
    for _ in 0..20 {
        drop(Store::open(&data).unwrap());
        Store::restore_over(&path, &data).unwrap();
        // They stay open until all of them have tried.
        let all = std::sync::Barrier::new(4);
        let opened = std::thread::scope(|scope| {
            let tries = [(); 4].map(|()| {
                scope.spawn(|| {
                    let opened = Store::open(&data);
                    all.wait();
                    match opened {
                        Ok(store) => store.load().unwrap()[0].facts.len(),
                        Err(StoreError::Locked { .. }) => 0,
                        Err(other) => panic!("{other}"),
                    }
                })
            });
            tries.map(|it| it.join().unwrap())
        });
        assert_eq!(opened.iter().sum::<usize>(), 3, "{opened:?}");
        assert_eq!(opened.iter().filter(|facts| **facts > 0).count(), 1, "{opened:?}");
        std::fs::remove_file(data.join(REPLACED)).unwrap();
    }
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
