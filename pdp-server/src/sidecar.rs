//! What a sidecar knows of the server that it follows: whether it was heard of lately, tenant by tenant. Who
//! decides asks here before deciding; who follows says so here. Nothing here knows how the server is spoken
//! with.

use std::collections::HashMap;
use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pdp_engine::id::TenantId;

use crate::publish::{Behind, Draft, Log, LogError, Place, Standing};

/// The server that is followed.
#[derive(Debug)]
pub(crate) struct Followed {
    tenants: HashMap<TenantId, Tenant>,
    begun: Instant,
    /// How long nothing may have been heard of it.
    limit: Duration,
}

/// What is known of a tenant's policy.
#[derive(Debug, Default)]
struct Tenant {
    /// When the server was last heard of, with what is kept being all there was; 0 while nothing is kept.
    heard: AtomicU64,
    connected: AtomicBool,
}

/// An instant of a [`Followed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

// === impl Followed ===

impl Followed {
    /// Nothing was heard yet.
    pub(crate) fn new(tenants: &[TenantId], limit: Duration) -> Self {
        let tenants = tenants.iter().map(|tenant| (tenant.clone(), Tenant::default()));
        Self { tenants: tenants.collect(), begun: Instant::now(), limit }
    }

    /// Whose policies are kept.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = &TenantId> {
        self.tenants.keys()
    }

    /// This instant.
    pub(crate) fn now(&self) -> Moment {
        // 0 is never.
        Moment(u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX).max(1))
    }

    /// The server said then that what is kept of a tenant's policy is what there was.
    pub(crate) fn hear(&self, tenant: &TenantId, at: Moment) {
        if let Some(tenant) = self.tenants.get(tenant) {
            tenant.heard.store(at.0, Ordering::Release);
            tenant.connected.store(true, Ordering::Relaxed);
        }
    }

    /// The connection is gone. What is kept ages from now on.
    pub(crate) fn lose(&self, tenant: &TenantId) {
        if let Some(tenant) = self.tenants.get(tenant) {
            tenant.connected.store(false, Ordering::Relaxed);
        }
    }

    /// Nothing is kept any more.
    pub(crate) fn forget(&self, tenant: &TenantId) {
        self.lose(tenant);
        if let Some(tenant) = self.tenants.get(tenant) {
            tenant.heard.store(0, Ordering::Release);
        }
    }

    /// Whether what is kept of a tenant's policy may be decided on. It takes no lock.
    pub(crate) fn is_fresh(&self, tenant: &str) -> bool {
        let heard = self.tenants.get(tenant).map(|tenant| tenant.heard.load(Ordering::Acquire));
        heard.filter(|heard| *heard > 0).is_some_and(|heard| self.since(heard) < self.limit)
    }

    fn since(&self, heard: u64) -> Duration {
        self.begun.elapsed().saturating_sub(Duration::from_micros(heard))
    }
}

/// The log of a publisher that keeps what another server has: nothing is put into it, and what it has comes
/// another way.
impl Log for Followed {
    fn append(&self, _: &Draft) -> Result<bool, LogError> {
        Err(not_here())
    }

    fn read(&self, _: &Place) -> Result<Behind, LogError> {
        Err(not_here())
    }

    fn checkpoint(&self) -> Result<Box<dyn Read + '_>, LogError> {
        Err(not_here())
    }

    fn claim(&self, _: u64, _: &str, _: u64, _: Duration) -> Result<bool, LogError> {
        Err(not_here())
    }

    fn unclaim(&self, _: u64, _: &str, _: Option<u64>) {}

    /// That of the tenant that was not heard of for longest.
    fn standing(&self) -> Standing {
        let heard = |tenant: &Tenant| tenant.heard.load(Ordering::Acquire);
        let oldest = self.tenants.values().map(heard).min().unwrap_or_default();
        let connected = |tenant: &Tenant| tenant.connected.load(Ordering::Relaxed);
        Standing {
            age: self.since(oldest),
            heard: oldest > 0,
            reachable: self.tenants.values().all(connected),
            diverged: false,
            limit: Some(self.limit),
        }
    }
}

fn not_here() -> LogError {
    LogError::Unusable("a sidecar has no log of its own".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_fresh_for_as_long_as_the_limit_says() {
        let [one, other] = ["one", "other"].map(|name| TenantId::new(name).unwrap());
        let tenants = [one.clone(), other.clone()];
        let followed = Followed::new(&tenants, Duration::from_secs(3_600));
        assert!(!followed.is_fresh("one") && followed.standing().is_stale());
        followed.hear(&one, followed.now());
        assert!(followed.is_fresh("one") && !followed.is_fresh("other"));
        assert!(followed.standing().is_stale() && !followed.is_fresh("third"));
        followed.hear(&other, followed.now());
        let standing = followed.standing();
        assert!(!standing.is_stale() && standing.reachable);
        followed.lose(&one);
        assert!(followed.is_fresh("one") && !followed.standing().reachable);
        followed.forget(&one);
        assert!(!followed.is_fresh("one") && followed.is_fresh("other"));

        let never = Followed::new(&tenants, Duration::ZERO);
        never.hear(&one, never.now());
        assert!(!never.is_fresh("one"));
    }
}
