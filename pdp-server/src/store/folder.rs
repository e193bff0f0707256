//! The folder of the store.

use std::path::Path;

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
