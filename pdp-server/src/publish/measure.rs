//! What operators see of the policies: how large and how old they are, and how long changing them takes.

use std::time::Duration;

use metrics::Histogram;
use pdp_engine::id::TenantId;
use pdp_engine::query::Revision;

use super::Publisher;

/// The policy of a tenant, as questions are answered from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyState {
    /// The tenant.
    pub tenant: TenantId,
    /// The revision of its snapshot.
    pub revision: Revision,
    /// How many facts it was compiled from.
    pub facts: usize,
    /// How long ago it was compiled: by the last change, or at the start.
    pub age: Duration,
}

// === impl Publisher ===

impl Publisher {
    /// From now on notes in these how long compiling a change set takes, and a commit of the store.
    pub(crate) fn measured_by(&self, compile_seconds: Histogram, commit_seconds: Histogram) {
        self.0.compile_seconds.get_or_init(|| compile_seconds);
        self.0.store.measured_by(commit_seconds);
    }

    /// How large the store's file is, in bytes.
    pub(crate) fn store_bytes(&self) -> Option<u64> {
        self.0.store.bytes()
    }

    /// The policy of every tenant, in the order of the names.
    pub(crate) fn policies(&self) -> Vec<PolicyState> {
        let tenants = self.0.tenants.load();
        let mut list: Vec<_> = tenants.values().map(|tenant| tenant.state()).collect();
        list.sort_by(|one, other| one.tenant.cmp(&other.tenant));
        list
    }

    pub(super) fn compiled(&self, effective: bool, took: Duration) {
        if let Some(histogram) = self.0.compile_seconds.get().filter(|_| effective) {
            histogram.record(took);
        }
    }
}
