//! What lies under which key in etcd, below one prefix.
//!
//! | key | value |
//! |---|---|
//! | `head/LOG` | how far the log goes: moved by every entry, and what every writer compares with |
//! | `entry/LOG/NUMBER` | an entry, or where its chunks are |
//! | `chunk/LOG/NUMBER-NONCE/N` | a part of what is too large for one request |
//! | `staging/LOG/NUMBER-NONCE` | that somebody is writing chunks; goes by itself |
//! | `kept/LOG/NUMBER-NONCE` | that an entry or a checkpoint has the chunks |
//! | `checkpoint` | where the chunks of the newest checkpoint are, and how far in every log it goes |
//! | `claim/LOG/WORK` | whose an item of work after a session is; goes by itself |
//! | `checkpointing` | that a server is writing one; goes by itself |

use super::etcd::Range;

/// The log whose chunks are those of checkpoints: no tenant's has its number.
pub(super) const CHECKPOINTS: u64 = u64::MAX;

/// The names of keys.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: String,
}

// === impl Keys ===

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.trim_end_matches('/').to_owned() }
    }

    /// What all keys are below.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn head(&self, log: u64) -> String {
        format!("{}/head/{log:016x}", self.prefix)
    }

    pub(super) fn heads(&self) -> Range {
        Range::below(&format!("{}/head/", self.prefix))
    }

    pub(super) fn entry(&self, log: u64, number: u64) -> String {
        format!("{}/entry/{log:016x}/{number:016x}", self.prefix)
    }

    /// The entries from a number on.
    pub(super) fn entries_from(&self, log: u64, number: u64) -> Range {
        let Range { to, .. } = Range::below(&format!("{}/entry/{log:016x}/", self.prefix));
        Range { from: self.entry(log, number).into(), to }
    }

    /// Everything that entries up to a number have; everything of the log where there is none.
    pub(super) fn of_entries(&self, log: u64, up_to: Option<u64>) -> [Range; 3] {
        ["entry", "chunk", "kept"].map(|kind| {
            let all = Range::below(&format!("{}/{kind}/{log:016x}/", self.prefix));
            let behind =
                |number: u64| format!("{}/{kind}/{log:016x}/{:016x}", self.prefix, number + 1);
            let to = up_to.map_or(all.to, |number| behind(number).into());
            Range { from: all.from, to }
        })
    }

    pub(super) fn chunk(&self, id: &str, number: u64) -> String {
        format!("{}/chunk/{id}/{number:08x}", self.prefix)
    }

    pub(super) fn chunks(&self, id: &str) -> Range {
        Range::below(&format!("{}/chunk/{id}/", self.prefix))
    }

    pub(super) fn all_chunks(&self) -> Range {
        Range::below(&format!("{}/chunk/", self.prefix))
    }

    /// The name of the chunks that a key is of.
    pub(super) fn chunks_of<'a>(&self, key: &'a str) -> Option<&'a str> {
        let rest = key.strip_prefix(self.prefix.as_str())?.strip_prefix("/chunk/")?;
        rest.rsplit_once('/').map(|(id, _)| id)
    }

    pub(super) fn staging(&self, id: &str) -> String {
        format!("{}/staging/{id}", self.prefix)
    }

    pub(super) fn kept(&self, id: &str) -> String {
        format!("{}/kept/{id}", self.prefix)
    }

    pub(super) fn claim(&self, log: u64, work: &str) -> String {
        format!("{}/claim/{log:016x}/{work}", self.prefix)
    }

    pub(super) fn checkpoint(&self) -> String {
        format!("{}/checkpoint", self.prefix)
    }

    pub(super) fn checkpointing(&self) -> String {
        format!("{}/checkpointing", self.prefix)
    }
}
