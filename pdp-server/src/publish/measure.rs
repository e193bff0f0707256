//! What operators see of the policies: how large and how old they are, and how long changing them takes.

use std::time::Duration;

use metrics::{Counter, Histogram};
use pdp_engine::id::TenantId;
use pdp_engine::query::Revision;

use super::{ApplyError, Publisher};
use crate::store::Commits;

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

/// Where it is noted how compiling goes.
pub(crate) struct Compiles {
    /// How long the policy of each change set takes.
    pub(crate) seconds: Histogram,
    /// Those that were refused, as the policy would compile to more than a server holds.
    pub(crate) failures: Counter,
}

// === impl Publisher ===

impl Publisher {
    /// From now on notes in these how compiling change sets goes, and commits of the store.
    pub(crate) fn measured_by(&self, compiles: Compiles, commits: Commits) {
        self.0.compiles.get_or_init(|| compiles);
        self.0.store.measured_by(commits);
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
        if let Some(Compiles { seconds, failures: _ }) = self.0.compiles.get().filter(|_| effective)
        {
            seconds.record(took);
        }
    }

    /// The change set is refused; by the compiler, or because of something else.
    pub(super) fn not_compiled(&self, error: &ApplyError) {
        if let (ApplyError::TooLarge(_), Some(compiles)) = (error, self.0.compiles.get()) {
            compiles.failures.increment(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use pdp_engine::compile::TooLarge;
    use pdp_engine::time::Timestamp;

    use super::*;
    use crate::clock::Clock;
    use crate::publish::Apply;
    use crate::store::Store;
    use crate::store::disk::Disk;
    use crate::store::sample::put;

    #[test]
    fn what_fails_is_counted_once() {
        let (disk, clock) = (Disk::default(), Clock::fixed(Timestamp::from_micros(7)));
        let store = Store::with_backend(disk.clone()).unwrap();
        let publisher = Publisher::open(store, clock).unwrap();
        let [compiles, commits] = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
        let counter = |count: &Arc<AtomicU64>| Counter::from_arc(Arc::clone(count));
        publisher.measured_by(
            Compiles { seconds: Histogram::noop(), failures: counter(&compiles) },
            Commits { seconds: Histogram::noop(), failures: counter(&commits) },
        );
        let counts = || [&compiles, &commits].map(|count| count.load(Ordering::Relaxed));
        publisher.not_compiled(&TooLarge { what: "pairs", limit: 1 }.into());
        assert_eq!(counts(), [1, 0]);

        let tenant = TenantId::new("default").unwrap();
        let apply = |name| {
            let change_set = Apply {
                changes: &[put(name)],
                expected: None,
                dry_run: false,
                request_id: None,
                on_behalf_of: None,
            };
            publisher.apply(&tenant, change_set).map(drop)
        };
        apply("ana").unwrap();
        disk.fail_after(0, false);
        apply("bo").unwrap_err();
        assert_eq!(counts(), [1, 1]);
        // No commit is tried any more.
        apply("cy").unwrap_err();
        assert_eq!(counts(), [1, 1]);
    }
}
