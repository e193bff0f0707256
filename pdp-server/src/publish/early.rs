//! What is decided upon while the policy is still being loaded: the image that the last server has left beside the
//! store, with the sessions as they are stored.

use std::collections::HashMap;
use std::sync::Arc;

use pdp_engine::id::TenantId;
use pdp_engine::snapshot::Snapshot;

use super::sessions::open_by_now;
use crate::clock::Clock;
use crate::store::{ImageReading, Store, StoreError};

/// Every tenant's policy, to be decided upon and for nothing else.
pub(crate) struct Early(HashMap<TenantId, Arc<Snapshot>>);

// === impl Early ===

impl Early {
    /// What an image has; `None` where there is none of what is stored.
    ///
    /// # Errors
    /// The store does not give what it has besides.
    pub(crate) fn of(
        store: &Store,
        image: ImageReading,
        clock: &Clock,
    ) -> Result<Option<Self>, StoreError> {
        let Some(imaged) = store.imaged(image)? else { return Ok(None) };
        let opened = imaged.into_iter().map(|(beside, policy)| {
            let sessions = open_by_now(beside.sessions, beside.seen, clock.now());
            (beside.id, Arc::new(policy.with_sessions(sessions)))
        });
        Ok(Some(Self(opened.collect())))
    }

    /// The policies of all.
    pub(super) fn snapshots(&self) -> impl Iterator<Item = &Arc<Snapshot>> {
        self.0.values()
    }

    /// The tenant's policy; `None` if there is no such tenant.
    pub(crate) fn snapshot(&self, tenant: &str) -> Option<&Arc<Snapshot>> {
        self.0.get(tenant)
    }
}
