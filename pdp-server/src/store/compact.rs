//! Giving back the room that changes have left unused in the file.

use std::path::Path;
use std::sync::TryLockError;

use redb::CompactionError;

use super::{FILE_NAME, Store, StoreError};

// === impl Store ===

impl Store {
    /// Gives the space back that changes have left unused in the file of a stopped server, and says by
    /// how many bytes it is shorter.
    ///
    /// # Errors
    /// As [`Store::open_existing`].
    pub fn compact(dir: &Path) -> Result<u64, StoreError> {
        let store = Self::open_existing(dir)?;
        let file = dir.join(FILE_NAME);
        let folder = |source| StoreError::Folder { dir: dir.to_owned(), source };
        let before = std::fs::metadata(&file).map_err(folder)?.len();
        // Nobody else has it.
        store.try_compact()?;
        drop(store);
        let after = std::fs::metadata(&file).map_err(folder)?.len();
        Ok(before.saturating_sub(after))
    }

    /// The same while it is in use: whoever begins to read or to write waits until it is done. `false` where
    /// something reads or writes: nothing was done, and it may be tried again.
    ///
    /// # Errors
    /// [`StoreError::Stopped`], or the database fails; after that nothing more is written.
    pub(crate) fn try_compact(&self) -> Result<bool, StoreError> {
        if let Some(reason) = self.stopped() {
            return Err(StoreError::Stopped { reason: reason.to_owned() });
        }
        // It does not queue for its turn: whoever came after it would have to wait for whoever is before it.
        let mut db = match self.db.try_write() {
            Ok(db) => db,
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        };
        loop {
            match db.compact() {
                Ok(true) => {}
                Ok(false) => return Ok(true),
                Err(CompactionError::TransactionInProgress) => return Ok(false),
                Err(error) => {
                    let error = StoreError::from(error);
                    self.commit_failed();
                    self.stopped.get_or_init(|| error.to_string());
                    return Err(error);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pdp_engine::facts::Delta;

    use super::*;
    use crate::store::sample::put;
    use crate::store::tests::{AT, commit, created, tenant};

    const STAY: usize = 10;

    /// A store in a folder from which much was taken away.
    fn store(folder: &Path) -> Store {
        let store = Store::open(folder).unwrap();
        store.create_tenant(&tenant(), AT).unwrap();
        let people = (0..3_000).map(|number| created(&put(&format!("p-{number}"))));
        let people: Vec<Delta> = people.collect();
        commit(&store, 0, &people).unwrap();
        let gone = people.into_iter().skip(STAY);
        let gone =
            gone.map(|Delta { key, before, after }| Delta { key, before: after, after: before });
        commit(&store, 1, &gone.collect::<Vec<_>>()).unwrap();
        store
    }

    fn rows(store: &Store) -> Vec<u8> {
        let mut rows = Vec::new();
        store.backup(&mut rows).unwrap();
        rows
    }

    #[test]
    fn what_is_not_used_is_given_back_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let (before, bytes) = (rows(&store), store.bytes().unwrap());
        assert!(store.try_compact().unwrap());
        let after = store.bytes().unwrap();
        assert!(after < bytes / 4 * 3, "{after} of {bytes}");
        assert_eq!(rows(&store), before);
        // It goes on, and starts again.
        commit(&store, 2, &[created(&put("later"))]).unwrap();
        drop(store);
        let store = Store::open_existing(folder.path()).unwrap();
        let [tenant] = &store.load().unwrap()[..] else { panic!("one tenant") };
        assert_eq!((tenant.revision.get(), tenant.facts.len()), (3, STAY + 1));
        assert!(store.verify_audits().unwrap().iter().all(|(_, chain)| chain.broken.is_none()));
    }

    #[test]
    fn while_something_reads_nothing_is_moved_and_nothing_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let reading = store.begin_read().unwrap();
        assert!(!store.try_compact().unwrap());
        commit(&store, 2, &[created(&put("later"))]).unwrap();
        drop(reading);
        assert!(store.try_compact().unwrap());
    }

    #[test]
    fn who_reads_and_who_writes_meanwhile_is_served() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..50 {
                    commit(&store, 2 + number, &[created(&put(&format!("n-{number}")))]).unwrap();
                }
            });
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(store.load().unwrap().len(), 1);
                }
            });
            let mut done = 0;
            while done < 5 {
                done += usize::from(store.try_compact().unwrap());
            }
        });
        assert_eq!(store.load().unwrap()[0].facts.len(), STAY + 50);
    }
}
