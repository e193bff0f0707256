//! Policies of another server, kept in memory: shown to decisions, stored nowhere, and written through
//! nobody's hands. What has to come to the same here as there and does not is not built upon.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Instant;

use pdp_engine::compile::{CompileLimits, compile_within, recompile_within};
use pdp_engine::facts::{Change, Facts};
use pdp_engine::id::TenantId;
use pdp_engine::query::Revision;

use super::tenant::Tenant;
use super::{Broken, Log, PublishError, Publisher, Tenants, broken};
use crate::clock::Clock;
use crate::store::{Store, threads_for};

/// What came of another server cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("what the server sent cannot be kept: {0}")]
pub(crate) struct KeepError(String);

// === impl Publisher ===

impl Publisher {
    /// Has no policy of its own: those that another server has are given to it as they come. Of how that
    /// goes, `followed` tells, and it takes no writes.
    pub(crate) fn keeping(clock: Clock, followed: Arc<dyn Log>) -> Result<Self, PublishError> {
        Self::load(Store::in_memory()?, clock, Some(followed))
    }

    /// Keeps a tenant's policy, in place of what was kept of it. It compiles: call it where that may take its
    /// time.
    pub(crate) fn keep(
        &self,
        id: &TenantId,
        revision: Revision,
        facts: Facts,
    ) -> Result<(), KeepError> {
        let policy =
            compile_within(threads_for(facts.len()), &facts, revision, CompileLimits::DEFAULT);
        let tenant = Tenant::kept(id.clone(), facts, policy.map_err(KeepError::of)?);
        self.exchange(id, Some(tenant))
    }

    /// Keeps what a change set makes of it. Where that fails, what is kept is to be let go of.
    pub(crate) fn keep_on(
        &self,
        id: &TenantId,
        changes: &[Change],
        to: Revision,
    ) -> Result<(), KeepError> {
        let began = Instant::now();
        let tenant = self.tenant(id).map_err(KeepError::of)?;
        let mut held = tenant.hold().map_err(KeepError::of)?;
        if held.revision.next() != to {
            let at = held.revision;
            return Err(KeepError::of(format!("revision {to} came behind {at}")));
        }
        let applied = held.change().apply(changes).map_err(KeepError::of)?;
        if applied.deltas.len() != changes.len() {
            return Err(KeepError::of(format!("revision {to} changes less than the server says")));
        }
        let (shown, limits) = (tenant.snapshot.load_full(), CompileLimits::DEFAULT);
        let next = recompile_within(&shown, &held.facts, &applied.deltas, to, limits);
        let next = next.map_err(KeepError::of)?;
        self.compiled(true, began.elapsed());
        // Watches of permissions are passed on to the server.
        tenant.show_committed(held, &next, (to, None));
        Ok(())
    }

    /// Keeps nothing of a tenant any more.
    pub(crate) fn let_go(&self, id: &TenantId) -> Result<(), KeepError> {
        self.exchange(id, None)
    }

    fn exchange(&self, id: &TenantId, kept: Option<Tenant>) -> Result<(), KeepError> {
        let mut registry = self.0.registry.lock().map_err(broken).map_err(KeepError::from)?;
        let mut tenants = Tenants::clone(&self.0.tenants.load());
        let before = match kept {
            Some(kept) => tenants.insert(id.clone(), Arc::new(kept)),
            None => tenants.remove(id),
        };
        // What is old lives on for those who are looking at it.
        if let Some(before) = &before {
            before.give_up(&mut registry.snapshots).map_err(KeepError::from)?;
        }
        registry.maps.bury(self.0.tenants.swap(Arc::new(tenants)));
        if let Some(before) = before {
            before.visible.send_replace(None);
        }
        Ok(())
    }
}

// === impl KeepError ===

impl KeepError {
    pub(crate) fn of(error: impl Display) -> Self {
        Self(error.to_string())
    }
}

impl From<Broken> for KeepError {
    fn from(broken: Broken) -> Self {
        Self::of(broken)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::publish::Unready;
    use crate::session::sample::{World, at};
    use crate::sidecar::Followed;

    fn tenant() -> TenantId {
        TenantId::new("acme").unwrap()
    }

    fn facts(world: &World) -> Facts {
        let mut facts = Facts::default();
        facts.apply(&world.whole()).unwrap();
        facts
    }

    #[test]
    fn what_is_kept_goes_on_change_set_by_change_set_and_no_other_way() {
        let followed = Arc::new(Followed::new(&[tenant()], Duration::from_secs(3_600)));
        let publisher = Publisher::keeping(Clock::fixed(at(0)), followed.clone()).unwrap();
        assert!(publisher.tenants().is_empty(), "not even the default one");
        assert_eq!(publisher.unready(), Some(Unready::Stale));
        let (world, more) = (World::open(), World::open());
        let more = more.with(|world| world.listed.extend([("a0", "g0")]));
        publisher.keep(&tenant(), Revision::new(7), facts(&world)).unwrap();
        followed.hear(&tenant(), followed.now());
        assert_eq!(
            (publisher.revision("acme"), publisher.unready()),
            (Some(Revision::new(7)), None)
        );

        let changes = more.changes(&world);
        let gap = publisher.keep_on(&tenant(), &changes, Revision::new(9)).unwrap_err();
        assert!(gap.to_string().contains("revision 9 came behind 7"), "{gap}");
        publisher.keep_on(&tenant(), &changes, Revision::new(8)).unwrap();
        assert_eq!(publisher.revision("acme"), Some(Revision::new(8)));
        let again = publisher.keep_on(&tenant(), &changes, Revision::new(9)).unwrap_err();
        assert!(again.to_string().contains("changes less than the server says"), "{again}");

        publisher.let_go(&tenant()).unwrap();
        assert_eq!(publisher.revision("acme"), None);
        publisher.keep(&tenant(), Revision::new(2), facts(&more)).unwrap();
        assert_eq!(publisher.revision("acme"), Some(Revision::new(2)), "another history");
        publisher.sweep_sessions().unwrap();
        publisher.sweep();
    }

    #[test]
    fn nothing_is_written_through_it() {
        let followed = Arc::new(Followed::new(&[tenant()], Duration::from_secs(3_600)));
        let publisher = Publisher::keeping(Clock::fixed(at(0)), followed).unwrap();
        publisher.keep(&tenant(), Revision::new(7), Facts::default()).unwrap();
        publisher.create_tenant(&TenantId::new("other").unwrap()).unwrap_err();
        let changes = World::open().whole();
        let request = crate::publish::Apply {
            changes: &changes,
            expected: None,
            dry_run: false,
            request_id: None,
            on_behalf_of: None,
        };
        publisher.apply(&tenant(), request).unwrap_err();
        assert_eq!(publisher.revision("acme"), Some(Revision::new(7)));
    }
}
