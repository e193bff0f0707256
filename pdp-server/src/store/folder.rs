//! The folder of the store.

use std::fs::{File, TryLockError, hard_link, rename};
use std::io::{self, ErrorKind};
use std::path::Path;

use super::{FILE_NAME, StoreError};

/// The name of a store that is being restored: no server starts on it, nor beside it.
pub(super) const RESTORING: &str = "pdp.redb.restoring";

/// The name of one that was restored beside another: whoever opens the folder next puts it in that one's place.
pub(super) const NEXT: &str = "pdp.redb.next";

/// The name of the one that was there before.
pub(super) const REPLACED: &str = "pdp.redb.replaced";

/// Holds the folder until a file in it is opened and locked by itself, and puts what was restored in its place.
pub(super) fn claim(dir: &Path) -> Result<Option<File>, StoreError> {
    let unusable = |source: io::Error| match source.kind() {
        ErrorKind::WouldBlock => StoreError::Locked { dir: dir.to_owned() },
        _ => StoreError::Folder { dir: dir.to_owned(), source },
    };
    let held = hold(dir).map_err(unusable)?;
    replace(dir).map_err(unusable)?;
    Ok(held)
}

/// Holds the folder, so that no two open what is in it at once: [`ErrorKind::WouldBlock`] where another does.
fn hold(dir: &Path) -> io::Result<Option<File>> {
    let held = File::open(dir).map_err(TryLockError::Error);
    match held.and_then(|folder| folder.try_lock().map(|()| folder)) {
        Ok(folder) => Ok(Some(folder)),
        Err(TryLockError::WouldBlock) => Err(ErrorKind::WouldBlock.into()),
        // Where folders cannot be held, nothing is replaced.
        Err(TryLockError::Error(error)) if dir.join(NEXT).exists() => Err(error),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Puts a store that was restored beside another in that one's place, and keeps that one under another
/// name. While a server has that one open, nothing is done: it is then found to be locked. The folder is
/// held. A crash in between leaves one of the two under the name, and the new one for the next time.
fn replace(dir: &Path) -> io::Result<()> {
    let [next, file, replaced] = [NEXT, FILE_NAME, REPLACED].map(|name| dir.join(name));
    if !next.is_file() {
        return Ok(());
    }
    match File::options().read(true).write(true).open(&file) {
        Ok(before) => match before.try_lock() {
            Ok(()) => {
                keep(&file, &replaced)?;
                sync_names(dir, 0)?;
            }
            Err(TryLockError::WouldBlock) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    rename(&next, &file)?;
    sync_names(dir, 0)?;
    tracing::warn!(
        replaced = %replaced.display(),
        "what was restored is in the place of what was there, which is kept"
    );
    Ok(())
}

/// Gives a file a second name, so that it goes on having the first one until that is another's.
fn keep(file: &Path, replaced: &Path) -> io::Result<()> {
    match hard_link(file, replaced) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            // It has it already where this was interrupted.
            if is_same(file, replaced)? {
                return Ok(());
            }
            let (file, replaced) = (file.display(), replaced.display());
            let said = format!(
                "`{replaced}` is there, and `{file}` is to be kept under that name; move it away"
            );
            Err(io::Error::new(ErrorKind::AlreadyExists, said))
        }
        // Not every file system gives a file two names.
        Err(_) if !replaced.exists() => rename(file, replaced),
        Err(error) => Err(error),
    }
}

/// Whether two names are those of one file.
#[cfg(unix)]
fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let [one, other] = [one.metadata()?, other.metadata()?].map(|it| (it.dev(), it.ino()));
    Ok(one == other)
}

#[cfg(not(unix))]
fn is_same(_: &Path, _: &Path) -> io::Result<bool> {
    Ok(false)
}

/// Makes the names of a new file and of new folders around it durable: what is in the file is of no
/// use without them.
#[cfg(unix)]
pub(super) fn sync_names(dir: &Path, new_folders: usize) -> std::io::Result<()> {
    for folder in std::fs::canonicalize(dir)?.ancestors().take(new_folders + 1) {
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Elsewhere folders cannot be opened, and names are durable with the file.
#[cfg(not(unix))]
pub(super) fn sync_names(_: &Path, _: usize) -> std::io::Result<()> {
    Ok(())
}
