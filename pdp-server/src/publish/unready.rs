//! Whether a server that has its policy should be asked, or another one rather.

use super::Publisher;

/// Why a server that has its policy is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unready {
    /// Decisions are made upon an image of the policy.
    #[error("the policy is being loaded; until then only decisions are made")]
    Loading,
    /// What decides goes on from memory.
    #[error("the store takes no writes; the log says why")]
    ReadingOnly,
    /// Decisions are those of the copy.
    #[error("this server and the log have different histories; the log says more")]
    Diverged,
    /// Not even decisions should be asked for.
    #[error(
        "what is followed has not answered for longer than max_stale_ms, or follow_max_stale_ms of a sidecar"
    )]
    Stale,
}

// === impl Publisher ===

impl Publisher {
    /// Why it is not ready; `None` where it is.
    #[must_use]
    pub fn unready(&self) -> Option<Unready> {
        let standing = self.standing();
        if standing.is_some_and(|standing| standing.is_stale()) {
            Some(Unready::Stale)
        } else if !self.is_writable() {
            Some(Unready::ReadingOnly)
        } else if standing.is_some_and(|standing| standing.diverged) {
            Some(Unready::Diverged)
        } else {
            None
        }
    }
}
