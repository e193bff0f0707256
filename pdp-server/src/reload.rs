//! Files that are read again when they change. A file is looked at by what the file system says of
//! it, so that replacing it, writing into it and moving a link, as orchestrators do with secrets, are
//! all seen.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often files are looked at.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// What tells a file from what was there before; `None` where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp(Option<[i64; 6]>);

/// Files that are looked at together, because they belong together.
#[derive(Debug)]
pub(crate) struct Watched {
    paths: Vec<PathBuf>,
    seen: Option<Vec<Stamp>>,
}

// === impl Stamp ===

impl Stamp {
    /// Of the file at a path, through links.
    pub(crate) fn of(path: &Path) -> Self {
        let number = |n: u64| i64::from_ne_bytes(n.to_ne_bytes());
        Self(std::fs::metadata(path).ok().map(|it| {
            let place = [number(it.dev()), number(it.ino()), number(it.size())];
            let [device, inode, size] = place;
            [device, inode, size, it.mtime(), it.mtime_nsec(), it.ctime_nsec()]
        }))
    }
}

// === impl Watched ===

impl Watched {
    /// These files; the first look finds them changed.
    pub(crate) const fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, seen: None }
    }

    /// Whether one of them is not what it was at the last look.
    pub(crate) fn changed(&mut self) -> bool {
        let now: Vec<Stamp> = self.paths.iter().map(|path| Stamp::of(path)).collect();
        let changed = self.seen.as_ref() != Some(&now);
        self.seen = Some(now);
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut watched = Watched::new(vec![path.clone()]);
        assert!(watched.changed() && !watched.changed());
        std::fs::write(&path, "1").unwrap();
        assert!(watched.changed() && !watched.changed());
        let other = folder.path().join("b");
        std::fs::write(&other, "2").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert!(watched.changed() && !watched.changed());
        std::fs::remove_file(&path).unwrap();
        assert!(watched.changed() && !watched.changed());
    }
}
