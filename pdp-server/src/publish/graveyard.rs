//! Where what readers may still look at waits until nobody does.

use std::sync::Arc;

/// Keeps what was replaced until it is shared with nobody, so that the writer pays for dropping
/// it: dropping the last reference to a large snapshot takes tens of milliseconds.
///
/// INVARIANT: what is buried can no longer be reached except through references that exist
/// already. So once this one is the only one, no other can appear.
pub(super) struct Graveyard<T> {
    buried: Vec<Arc<T>>,
}

// === impl Graveyard ===

impl<T> Graveyard<T> {
    /// Takes what was replaced, and drops what nobody looks at any more.
    pub(super) fn bury(&mut self, replaced: Arc<T>) {
        self.lay(replaced);
        self.sweep();
    }

    /// Takes what was replaced, and drops nothing.
    pub(super) fn lay(&mut self, replaced: Arc<T>) {
        self.buried.push(replaced);
    }

    /// Gives out what nobody looks at any more, to be dropped.
    pub(super) fn unshared(&mut self) -> Vec<Arc<T>> {
        self.buried.extract_if(.., |replaced| Arc::strong_count(replaced) == 1).collect()
    }

    /// Drops what nobody looks at any more.
    pub(super) fn sweep(&mut self) {
        drop(self.unshared());
    }

    /// Takes over what another one keeps.
    pub(super) fn take_over(&mut self, other: &mut Self) {
        self.buried.append(&mut other.buried);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.buried.len()
    }
}

impl<T> Default for Graveyard<T> {
    fn default() -> Self {
        Self { buried: Vec::new() }
    }
}
