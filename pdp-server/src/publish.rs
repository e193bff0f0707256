//! The publisher: where a change set becomes policy. It holds every tenant's facts and compiled
//! snapshot, and is the one place where the two change: validate, compile, commit, swap,
//! acknowledge, in that order, in [`Publisher::apply`]. Compiling comes before the commit because it
//! may refuse: what cannot be compiled within the limits must not be stored, as nothing could load it.
//!
//! Reading a snapshot takes no lock. Old snapshots are dropped by writers, never by a reader.
//! Tenants share nothing but the file they are stored in. Nothing here knows of doors or callers.

mod apply;
mod audit;
mod delegated;
mod early;
mod failure;
mod follow;
mod graveyard;
mod kept;
mod log;
mod measure;
mod recent;
mod sessions;
mod shown;
mod tenant;
mod tenants;
mod unready;
mod watch;

#[cfg(test)]
mod durability;
#[cfg(test)]
#[cfg(feature = "model")]
mod model;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Instant;

use pdp_engine::facts::{Change, Facts};
use pdp_engine::id::{PersonId, TenantId};
use pdp_engine::query::Revision;
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;

pub use crate::receipt::{ChangeKind, Counts, MAX_LISTED_CHANGES, Receipt, RequestId};
pub use crate::store::{Draft, Journaled, Place, Position, With};
pub use delegated::{MAX_REFUSED_LISTED, Refusal, RefusedChange};
pub use failure::{
    AccessError, ApplyError, AuditError, Broken, PublishError, TenantError, UnknownTenant,
    WaitError, WatchError,
};

use crate::audit::{CallerName, Stamp};
use crate::clock::Clock;
use crate::store::{BackupError, Store, StoreError};
use crate::sync::{ArcSwap, Guard, Mutex};
pub(crate) use early::Early;
use graveyard::Graveyard;
pub(crate) use kept::KeepError;
pub use log::{Behind, FollowError, Log, LogError, Standing};
pub(crate) use measure::Compiles;
pub use measure::PolicyState;
pub use sessions::{SessionError, SessionFilter, Watcher, Work};
pub use shown::SnapshotWatch;
use tenant::Tenant;
pub use unready::Unready;
pub use watch::PolicyWatch;

/// The tenant that exists from the start and cannot be deleted.
pub const DEFAULT_TENANT: &str = "default";

/// How many tenants there may be. Each keeps its facts and its snapshot in memory, and creating one
/// copies the table of all.
pub const MAX_TENANTS: usize = 10_000;

/// From how many facts on an image of them is written: fewer are loaded in less than a tenth of a second.
const WORTH_AN_IMAGE: usize = 1 << 14;

/// Holds and changes the policy of every tenant, for a caller whom the audit names, or for nobody in
/// particular. Cloning it copies pointers.
#[derive(Clone)]
pub struct Publisher(Arc<Inner>, Option<CallerName>);

struct Inner {
    store: Store,
    /// The log that the store is a copy of, where several servers share one.
    log: Option<Arc<dyn Log>>,
    /// Tells the instants of writes.
    clock: Clock,
    tenants: ArcSwap<Tenants>,
    /// Held while tenants come and go.
    registry: Mutex<Registry>,
    /// Where it is noted how compiling goes, once somebody wants to know.
    compiles: OnceLock<Compiles>,
}

/// What readers may still look at of tenants that came or went.
#[derive(Default)]
struct Registry {
    maps: Graveyard<Tenants>,
    snapshots: Graveyard<Snapshot>,
}

type Tenants = HashMap<TenantId, Arc<Tenant>>;

/// A change set and how to apply it.
#[derive(Debug, Clone, Copy)]
pub struct Apply<'a> {
    /// The steps, in order.
    pub changes: &'a [Change],
    /// Refuse unless the tenant is at this revision.
    pub expected: Option<Revision>,
    /// Only say what would happen. The revision and the request id stay unused, and an earlier use
    /// of the request id plays no part.
    pub dry_run: bool,
    /// Makes it safe to send the change set again.
    pub request_id: Option<&'a RequestId>,
    /// Refuse what this person may not hand out or take back (D7).
    pub on_behalf_of: Option<&'a PersonId>,
}

// === impl Publisher ===

impl Publisher {
    /// Loads and compiles every tenant; makes the default one if it does not exist yet.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn open(store: Store, clock: Clock) -> Result<Self, PublishError> {
        store.own()?;
        store.upgrade(clock.now())?;
        let publisher = Self::load(store, clock, None)?;
        publisher.begin_log()?;
        Ok(publisher)
    }

    fn load(store: Store, clock: Clock, log: Option<Arc<dyn Log>>) -> Result<Self, PublishError> {
        let mut tenants = Tenants::new();
        let began = Instant::now();
        let loaded = store.load()?;
        let read = began.elapsed();
        for stored in loaded {
            let id = stored.id.clone();
            let seen = stored.seen;
            let tenant = Tenant::load(stored);
            if log.is_none() {
                // Time had come that far: a clock that was set back revives no session (P11). The clocks
                // of several servers say nothing of each other.
                tenant.sessions.resume(&store, &tenant, seen, clock.now())?;
            }
            tenants.insert(id, Arc::new(tenant));
        }
        let (read_ms, compile_ms) = (read.as_millis(), (began.elapsed() - read).as_millis());
        tracing::info!(tenants = tenants.len(), read_ms, compile_ms, "policies loaded");
        let inner = Inner {
            store,
            log,
            clock,
            tenants: ArcSwap::from_pointee(tenants),
            registry: Mutex::default(),
            compiles: OnceLock::new(),
        };
        Ok(Self(Arc::new(inner), None))
    }

    /// The same for a caller: what it changes is recorded under their name.
    #[must_use]
    pub fn called_by(&self, caller: Option<CallerName>) -> Self {
        Self(Arc::clone(&self.0), caller)
    }

    /// What is done now, and by whom.
    fn stamp(&self, at: Timestamp) -> Stamp<'_> {
        Stamp { at, caller: self.1.as_ref() }
    }

    /// The tenant's snapshot, to be loaded once per RPC. It takes no lock and never waits.
    ///
    /// The guard is cheaper than a counted pointer and meant for the length of one answer; to keep
    /// a snapshot across an await, take `Arc::clone(&guard)`.
    #[must_use]
    pub fn snapshot(&self, tenant: &str) -> Option<Guard<Arc<Snapshot>>> {
        self.0.tenants.load().get(tenant).map(|tenant| tenant.snapshot.load())
    }

    /// The revision that the tenant's snapshot shows.
    #[must_use]
    pub fn revision(&self, tenant: &str) -> Option<Revision> {
        self.snapshot(tenant).map(|snapshot| snapshot.revision())
    }

    /// Waits until the tenant's snapshot shows `at_least`. It may wait for ever: the caller
    /// applies its deadline.
    ///
    /// # Errors
    /// [`WaitError::UnknownTenant`] if there is no such tenant, or none any more.
    pub async fn wait_for(&self, tenant: &str, at_least: Revision) -> Result<(), WaitError> {
        let unknown = || UnknownTenant(tenant.to_owned());
        let mut visible = {
            let tenants = self.0.tenants.load();
            tenants.get(tenant).ok_or_else(unknown)?.visible.subscribe()
        };
        let reached = visible
            .wait_for(|visible| visible.is_none_or(|revision| revision >= at_least))
            .await
            .map_err(|_| unknown())?;
        match *reached {
            Some(_) => Ok(()),
            None => Err(unknown().into()),
        }
    }

    /// Runs `read` on the tenant's facts, all of one revision, which is committed and may be a
    /// moment ahead of the snapshot. It may wait for a commit, and `read` may take its time: call
    /// it where blocking is allowed. While `read` runs nobody waits for it; a writer that comes
    /// meanwhile copies the tables of the facts (pointers, not the facts) once.
    ///
    /// # Errors
    /// [`AccessError`] if there is no such tenant, or an internal error has left it unusable.
    pub fn read<R>(
        &self,
        tenant: &TenantId,
        read: impl FnOnce(Revision, &Facts) -> R,
    ) -> Result<R, AccessError> {
        let (revision, facts) = {
            let tenant = self.tenant(tenant)?;
            let held = tenant.hold()?;
            (held.revision, Arc::clone(&held.facts))
        };
        Ok(read(revision, &facts))
    }

    /// Writes a backup of every tenant's policy, sessions and audit as they are now, and says how many
    /// rows it has. Nothing waits for it.
    ///
    /// # Errors
    /// The store does not give its rows, or `out` does not take them.
    pub fn backup(&self, out: &mut impl std::io::Write) -> Result<u64, BackupError> {
        self.0.store.backup(out)
    }

    /// Gives the room that changes have left unused in the store's file back. Writes and whoever reads the
    /// store wait for it; decisions do not. `false` where something reads the store, as for a backup.
    ///
    /// # Errors
    /// The store fails.
    pub(crate) fn try_compact(&self) -> Result<bool, StoreError> {
        self.0.store.try_compact()
    }

    /// Leaves an image of every policy beside the store, if loading them would take a while, so that the next
    /// start can decide before it has.
    pub(crate) fn leave_image(&self) {
        let tenants = self.0.tenants.load();
        let facts: usize = tenants.values().map(|tenant| tenant.state().facts).sum();
        if facts < WORTH_AN_IMAGE {
            return;
        }
        let policies = || {
            let tenants = self.0.tenants.load();
            let shown = tenants.iter().map(|(id, it)| (id.clone(), it.snapshot.load_full()));
            let mut policies: Vec<_> = shown.collect();
            policies.sort_by(|(one, _), (other, _)| one.cmp(other));
            policies
        };
        let began = Instant::now();
        match self.0.store.keep_image(policies) {
            Ok(Some(bytes)) => {
                let took_ms = began.elapsed().as_millis();
                tracing::info!(bytes, took_ms, "the image of the policy is written");
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "no image of the policy is written"),
        }
    }

    /// Keeps what was decided upon until nobody looks at it any more.
    pub(crate) fn bury(&self, early: &Early) {
        let mut registry = self.0.registry.lock().unwrap_or_else(PoisonError::into_inner);
        early.snapshots().for_each(|snapshot| registry.snapshots.lay(Arc::clone(snapshot)));
    }

    /// Whether writes are taken. Once they are not, they are not until a restart; decisions go on.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.0.store.stopped().is_none()
    }

    /// The time, by the server's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Every tenant with its revision, in the order of the names.
    #[must_use]
    pub fn tenants(&self) -> Vec<(TenantId, Revision)> {
        let tenants = self.0.tenants.load();
        let mut list: Vec<_> = tenants
            .iter()
            .map(|(id, tenant)| (id.clone(), tenant.snapshot.load().revision()))
            .collect();
        list.sort();
        list
    }

    /// Drops what was replaced and is looked at by nobody any more. Every write does it for its
    /// own tenant; this does it for all, where no write comes. It does not wait for writers.
    pub fn sweep(&self) {
        if let Ok(mut registry) = self.0.registry.try_lock() {
            registry.maps.sweep();
            registry.snapshots.sweep();
        }
        let tenants: Vec<Arc<Tenant>> = self.0.tenants.load().values().cloned().collect();
        for tenant in tenants {
            tenant.sweep();
        }
    }

    fn tenant(&self, id: &TenantId) -> Result<Arc<Tenant>, UnknownTenant> {
        self.0.tenants.load().get(id).cloned().ok_or_else(|| UnknownTenant(id.to_string()))
    }
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").field("tenants", &self.tenants()).finish_non_exhaustive()
    }
}

fn broken<T>(_: PoisonError<T>) -> Broken {
    Broken
}
