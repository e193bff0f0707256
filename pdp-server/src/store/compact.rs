//! Giving back the room that changes have left unused in the file.

use std::path::Path;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use redb::CompactionError;

use super::{FILE_NAME, Store, StoreError};

/// How long is waited for whoever reads.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long at a time: what reads a few records is done.
const PAUSE: Duration = Duration::from_millis(5);

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
        store.compact_within(PATIENCE)?;
        drop(store);
        let after = std::fs::metadata(&file).map_err(folder)?.len();
        Ok(before.saturating_sub(after))
    }

    /// The same while it is in use: whoever begins to read or to write waits until it is done.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if something goes on reading, [`StoreError::Stopped`], or the database fails; after
    /// that nothing more is written.
    pub(crate) fn compact_in_use(&self) -> Result<u64, StoreError> {
        self.compact_within(PATIENCE)
    }

    fn compact_within(&self, patience: Duration) -> Result<u64, StoreError> {
        let before = self.bytes();
        let begun = Instant::now();
        // One pass moves what lies last to where there is room; it is done when nothing moves.
        loop {
            if let Some(reason) = self.stopped() {
                return Err(StoreError::Stopped { reason: reason.to_owned() });
            }
            let passed = self.db.write().unwrap_or_else(PoisonError::into_inner).compact();
            match passed {
                Ok(true) => {}
                Ok(false) => break,
                Err(CompactionError::TransactionInProgress) if begun.elapsed() < patience => {
                    std::thread::sleep(PAUSE);
                }
                Err(CompactionError::TransactionInProgress) => return Err(StoreError::InUse),
                Err(error) => {
                    let error = StoreError::from(error);
                    self.stopped.get_or_init(|| error.to_string());
                    return Err(error);
                }
            }
        }
        let shorter = before.zip(self.bytes()).map(|(before, after)| before.saturating_sub(after));
        Ok(shorter.unwrap_or_default())
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
        let given = store.compact_in_use().unwrap();
        assert!(given > bytes / 4, "{given} of {bytes}");
        assert_eq!(store.bytes(), Some(bytes - given));
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
    fn whoever_reads_is_waited_for_and_not_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let reading = store.begin_read().unwrap();
        let refused = store.compact_within(Duration::ZERO);
        assert!(matches!(refused, Err(StoreError::InUse)), "{refused:?}");
        // Nothing is wrong with the store, and it takes writes meanwhile.
        commit(&store, 2, &[created(&put("later"))]).unwrap();
        std::thread::scope(|scope| {
            let compacting = scope.spawn(|| store.compact_within(Duration::MAX));
            drop(reading);
            assert!(compacting.join().unwrap().is_ok());
        });
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
            for _ in 0..5 {
                store.compact_within(Duration::MAX).unwrap();
            }
        });
        assert_eq!(store.load().unwrap()[0].facts.len(), STAY + 50);
    }
}
