//! How large the store is, and how long its commits take.

use std::time::Duration;

use metrics::Histogram;

use super::Store;

// === impl Store ===

impl Store {
    /// From now on notes here how long each commit takes, from its turn to write until it is durable.
    /// Only the first such place is kept.
    pub(crate) fn measured_by(&self, commit_seconds: Histogram) {
        self.commit_seconds.get_or_init(|| commit_seconds);
    }

    /// How large the file is, in bytes; `None` if there is no file, or none can be seen.
    pub(crate) fn bytes(&self) -> Option<u64> {
        let file = std::fs::metadata(self.file.as_ref()?);
        file.ok().map(|file| file.len())
    }

    pub(super) fn committed(&self, took: Duration) {
        if let Some(histogram) = self.commit_seconds.get() {
            histogram.record(took);
        }
    }
}
