//! Watching what decisions are answered from: the snapshot of a tenant, whenever its policy or its sessions
//! change.

use std::sync::Arc;

use pdp_engine::facts::Delta;
use pdp_engine::id::TenantId;
use pdp_engine::query::Revision;
use pdp_engine::snapshot::Snapshot;
use tokio::sync::watch;

use super::tenant::Tenant;
use super::{Publisher, UnknownTenant};

/// Somebody who watches the snapshot of a tenant. It keeps none: whoever looks gets the one that there is.
pub struct SnapshotWatch {
    tenant: Arc<Tenant>,
    visible: watch::Receiver<Option<Revision>>,
    changed: watch::Receiver<u64>,
}

// === impl Publisher ===

impl Publisher {
    /// Watches the snapshot of a tenant from now on.
    ///
    /// # Errors
    /// There is no such tenant.
    pub fn watch_snapshot(&self, id: &TenantId) -> Result<SnapshotWatch, UnknownTenant> {
        let tenant = self.tenant(id)?;
        let (visible, changed) = (tenant.visible.subscribe(), tenant.changed.subscribe());
        Ok(SnapshotWatch { tenant, visible, changed })
    }
}

// === impl SnapshotWatch ===

impl SnapshotWatch {
    /// The snapshot as it is, and a number that is another one once the sessions in it may be others.
    ///
    /// # Errors
    /// The tenant was deleted.
    pub fn look(&mut self) -> Result<(Arc<Snapshot>, u64), UnknownTenant> {
        if self.visible.borrow_and_update().is_none() {
            return Err(UnknownTenant(self.tenant.id.to_string()));
        }
        // The number first: what comes in between is looked at once more.
        let turns = *self.changed.borrow_and_update();
        Ok((self.tenant.snapshot.load_full(), turns))
    }

    /// Waits until there may be another snapshot than the last one that was looked at, or the tenant is
    /// deleted.
    pub async fn changed(&mut self) {
        // INVARIANT: the senders are the tenant's, which is held.
        tokio::select! {
            _ = self.visible.changed() => {}
            _ = self.changed.changed() => {}
        }
    }

    /// What led from one revision to another, change set by change set; `None` where that is not kept any
    /// more.
    #[must_use]
    pub fn deltas(&self, after: Revision, to: Revision) -> Option<Vec<Arc<[Delta]>>> {
        self.tenant.recent().between(after, to)
    }
}

impl Drop for SnapshotWatch {
    fn drop(&mut self) {
        // Whoever comes meanwhile finds that it is not all known, and works out anew what it watches.
        if self.tenant.changed.receiver_count() == 1 {
            self.tenant.recent().forget();
        }
    }
}

impl std::fmt::Debug for SnapshotWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotWatch").field("tenant", &self.tenant.id).finish_non_exhaustive()
    }
}
