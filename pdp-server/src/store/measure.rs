//! How large the store is, how long its commits take, and how many fail.

use std::time::Duration;

use metrics::{Counter, Histogram};

use super::Store;

/// Where it is noted how commits go.
pub(crate) struct Commits {
    /// How long each takes, from its turn to write until it is durable.
    pub(crate) seconds: Histogram,
    /// Those that failed.
    pub(crate) failures: Counter,
}

// === impl Store ===

impl Store {
    /// From now on notes here how commits go. Only the first such place is kept.
    pub(crate) fn measured_by(&self, commits: Commits) {
        self.commits.get_or_init(|| commits);
    }

    /// How large the file is, in bytes; `None` if there is no file, or none can be seen.
    pub(crate) fn bytes(&self) -> Option<u64> {
        let file = std::fs::metadata(self.file.as_ref()?);
        file.ok().map(|file| file.len())
    }

    pub(super) fn committed(&self, took: Duration) {
        if let Some(Commits { seconds, failures: _ }) = self.commits.get() {
            seconds.record(took);
        }
    }

    pub(super) fn commit_failed(&self) {
        if let Some(Commits { seconds: _, failures }) = self.commits.get() {
            failures.increment(1);
        }
    }
}

impl std::fmt::Debug for Commits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commits").finish_non_exhaustive()
    }
}
