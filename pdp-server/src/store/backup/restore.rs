//! Making a data folder of a backup. Until everything in it has been read as a server would read it, what
//! is written has a name that no server starts on, and whatever is wrong, nothing of it stays.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use redb::Durability;

use super::super::folder::sync_names;
use super::super::{FILE_NAME, RESTORING, Store, StoreError, builder};
use super::{BackupError, END, Fill, Rows, each, opened, verify_backup};

/// A store that has not got its name yet. Dropped, it is taken away again, with the folders that were
/// made for it.
pub(super) struct Unnamed<'a> {
    dir: &'a Path,
    half: PathBuf,
    new_folders: usize,
    is_named: bool,
}

// === impl Store ===

impl Store {
    /// Makes a data folder of a backup, and says how many rows it has. The backup is looked at from
    /// beginning to end before anything is written. What was written is loaded, and the chains of its
    /// audit are verified, before it gets the name that servers start on.
    ///
    /// # Errors
    /// [`BackupError`] if the backup is damaged or newer, if what is in it does not hold together, or if
    /// the folder is not empty.
    pub fn restore(backup: &Path, dir: &Path) -> Result<u64, BackupError> {
        verify_backup(backup)?;
        let unnamed = Unnamed::new(dir)?;
        let rows = unnamed.fill(backup)?;
        unnamed.hold(backup)?;
        unnamed.named()?;
        Ok(rows)
    }
}

// === impl Unnamed ===

impl<'a> Unnamed<'a> {
    pub(super) fn new(dir: &'a Path) -> Result<Self, BackupError> {
        let folder = |source| BackupError::Folder { dir: dir.to_owned(), source };
        let is_new = |it: &&Path| !it.as_os_str().is_empty() && !it.exists();
        let new_folders = dir.ancestors().take_while(is_new).count();
        std::fs::create_dir_all(dir).map_err(folder)?;
        for entry in std::fs::read_dir(dir).map_err(folder)? {
            // Of one that was killed something may be left, and is begun anew.
            if entry.map_err(folder)?.file_name() != RESTORING {
                return Err(BackupError::NotEmpty(dir.to_owned()));
            }
        }
        let half = dir.join(RESTORING);
        if let Ok(left) = File::open(&half) {
            match left.try_lock() {
                Ok(()) => std::fs::remove_file(&half).map_err(folder)?,
                Err(TryLockError::WouldBlock) => {
                    return Err(StoreError::Locked { dir: dir.to_owned() }.into());
                }
                Err(TryLockError::Error(source)) => return Err(folder(source)),
            }
        }
        Ok(Self { dir, half, new_folders, is_named: false })
    }

    /// Writes the rows of a backup, and says how many there are.
    pub(super) fn fill(&self, backup: &Path) -> Result<u64, BackupError> {
        let db = builder().create(&self.half).map_err(StoreError::from)?;
        let mut txn = db.begin_write().map_err(StoreError::from)?;
        txn.set_durability(Durability::Immediate).map_err(StoreError::from)?;
        txn.set_two_phase_commit(true);
        let mut input = opened(backup)?;
        let mut rows = Rows::begin(backup, &mut input)?;
        rows.next()?;
        each(&mut Fill { txn: &txn, rows: &mut rows })?;
        let (left, count) = (rows.table, rows.count);
        if left != END {
            return Err(rows.damaged("it has a table that there is none of"));
        }
        txn.commit().map_err(StoreError::from)?;
        Ok(count)
    }

    /// Holds that a server could go on with it: facts and sessions load, and every chain of the audit is
    /// as it was written and ends at the revision of its policy.
    fn hold(&self, backup: &Path) -> Result<(), BackupError> {
        let file = || backup.to_owned();
        let unusable = |source| BackupError::Unusable { file: file(), source: Box::new(source) };
        let db = builder().open(&self.half).map_err(|error| unusable(error.into()))?;
        let store = Store::prepare(db).map_err(unusable)?;
        store.load().map_err(unusable)?;
        let chains = match store.verify_audits() {
            // It was written before there was an audit.
            Err(StoreError::Unaudited) => return Ok(()),
            chains => chains.map_err(unusable)?,
        };
        let broken = chains.into_iter().find_map(|(chain, it)| Some((chain, it.broken?)));
        match broken {
            Some((chain, problem)) => Err(BackupError::Audit { file: file(), chain, problem }),
            None => Ok(()),
        }
    }

    /// Gives it its name, once it is on the disk.
    fn named(mut self) -> Result<(), BackupError> {
        let folder = |source| BackupError::Folder { dir: self.dir.to_owned(), source };
        File::open(&self.half).and_then(|half| half.sync_all()).map_err(folder)?;
        std::fs::rename(&self.half, self.dir.join(FILE_NAME)).map_err(folder)?;
        self.is_named = true;
        sync_names(self.dir, self.new_folders).map_err(folder)
    }
}

impl Drop for Unnamed<'_> {
    fn drop(&mut self) {
        if self.is_named {
            return;
        }
        std::fs::remove_file(&self.half).ok();
        for folder in self.dir.ancestors().take(self.new_folders) {
            // Only what is empty goes.
            std::fs::remove_dir(folder).ok();
        }
    }
}
