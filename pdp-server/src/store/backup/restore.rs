//! Making a data folder of a backup. Until everything in it has been read as a server would read it, what
//! is written has a name that no server starts on, and whatever is wrong, nothing of it stays.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use redb::Durability;

use super::super::folder::sync_names;
use super::super::image::WRITING;
use super::super::{
    COPY_FORMAT, FILE_NAME, IMAGE_NAME, NEXT, REPLACED, RESTORING, Store, StoreError, builder,
};
use super::{BackupError, END, Fill, Rows, each, opened, verify_backup};

/// A store that has not got its name yet. Dropped, it is taken away again, with the folders that were
/// made for it.
pub(super) struct Unnamed<'a> {
    dir: &'a Path,
    half: PathBuf,
    /// The name that it gets.
    name: &'static str,
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
        Unnamed::new(dir)?.take(backup)
    }

    /// The same in the place of what a data folder has, which a server may have open: whoever opens the folder
    /// after it finds what was restored. What was there is kept as `pdp.redb.replaced`.
    ///
    /// # Errors
    /// As [`Store::restore`], [`StoreError::NoStore`] where the folder has none to replace, [`BackupError::Kept`] and
    /// [`BackupError::OfCopy`].
    pub fn restore_over(backup: &Path, dir: &Path) -> Result<u64, BackupError> {
        verify_backup(backup)?;
        if Rows::begin(backup, &mut opened(backup)?)?.format == COPY_FORMAT {
            return Err(BackupError::OfCopy(backup.to_owned()));
        }
        Unnamed::beside(dir)?.take(backup)
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
            let name = entry.map_err(folder)?.file_name();
            // Of one that was killed something may be left, and is begun anew. An image is of another store.
            if ![RESTORING, IMAGE_NAME, WRITING].iter().any(|own| name == *own) {
                return Err(BackupError::NotEmpty(dir.to_owned()));
            }
        }
        Self::begin(dir, FILE_NAME, new_folders)
    }

    /// Beside the store that the folder has.
    fn beside(dir: &'a Path) -> Result<Self, BackupError> {
        let [file, next, replaced] = [FILE_NAME, NEXT, REPLACED].map(|name| dir.join(name));
        if !file.is_file() && !next.is_file() {
            return Err(StoreError::NoStore { file }.into());
        }
        if replaced.exists() {
            return Err(BackupError::Kept(replaced));
        }
        Self::begin(dir, NEXT, 0)
    }

    fn begin(dir: &'a Path, name: &'static str, new_folders: usize) -> Result<Self, BackupError> {
        let folder = |source| BackupError::Folder { dir: dir.to_owned(), source };
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
        Ok(Self { dir, half, name, new_folders, is_named: false })
    }

    /// Becomes what the backup says.
    fn take(self, backup: &Path) -> Result<u64, BackupError> {
        let rows = self.fill(backup)?;
        self.hold(backup)?;
        self.named()?;
        Ok(rows)
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
        std::fs::rename(&self.half, self.dir.join(self.name)).map_err(folder)?;
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
