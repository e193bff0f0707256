//! The publisher: where a change set becomes policy. It holds every tenant's facts and compiled
//! snapshot, and is the one place where the two change: validate, compile, commit, swap,
//! acknowledge, in that order, in [`Publisher::apply`]. Compiling comes before the commit because it
//! may refuse: what cannot be compiled within the limits must not be stored, as nothing could load it.
//!
//! Reading a snapshot takes no lock. Old snapshots are dropped by writers, never by a reader.
//! Tenants share nothing but the file they are stored in. Nothing here knows of doors or callers.

mod audit;
mod delegated;
mod failure;
mod graveyard;
mod measure;
mod sessions;
mod tenant;
mod watch;

#[cfg(test)]
mod durability;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};
use pdp_engine::compile::{CompileLimits, recompile_within};
use pdp_engine::facts::{Applied, Change, FactKey, Facts};
use pdp_engine::id::{AccountId, PersonId, TenantId};
use pdp_engine::query::Revision;
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;

pub use crate::receipt::{ChangeKind, Counts, MAX_LISTED_CHANGES, Receipt, RequestId};
pub use crate::store::{Journaled, Position};
pub use delegated::{MAX_REFUSED_LISTED, Refusal, RefusedChange};
pub use failure::{
    AccessError, ApplyError, AuditError, Broken, PublishError, TenantError, UnknownTenant,
    WaitError, WatchError,
};

use crate::audit::Digest;
use crate::audit::{CallerName, Stamp};
use crate::clock::Clock;
use crate::session::Book;
use crate::store::{self, BackupError, Commit, Remembered, Store, StoreError};
use graveyard::Graveyard;
pub(crate) use measure::Compiles;
pub use measure::PolicyState;
use sessions::Pace;
pub use sessions::{SessionError, SessionFilter, Watcher, Work};
use tenant::Tenant;
pub use watch::PolicyWatch;

/// The tenant that exists from the start and cannot be deleted.
pub const DEFAULT_TENANT: &str = "default";

/// How many tenants there may be. Each keeps its facts and its snapshot in memory, and creating one
/// copies the table of all.
pub const MAX_TENANTS: usize = 10_000;

/// Holds and changes the policy of every tenant, for a caller whom the audit names, or for nobody in
/// particular. Cloning it copies pointers.
#[derive(Clone)]
pub struct Publisher(Arc<Inner>, Option<CallerName>);

struct Inner {
    store: Store,
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
        store.upgrade(clock.now())?;
        let mut tenants = Tenants::new();
        let began = Instant::now();
        let loaded = store.load()?;
        let read = began.elapsed();
        for stored in loaded {
            let id = stored.id.clone();
            let seen = stored.seen;
            let tenant = Tenant::load(stored);
            // Time had come that far: a clock that was set back revives no session (P11).
            tenant.sessions.resume(&store, &tenant, seen, clock.now())?;
            tenants.insert(id, Arc::new(tenant));
        }
        let (read_ms, compile_ms) = (read.as_millis(), (began.elapsed() - read).as_millis());
        tracing::info!(tenants = tenants.len(), read_ms, compile_ms, "policies loaded");
        let default = TenantId::new(DEFAULT_TENANT)?;
        if !tenants.contains_key(&default) {
            store.create_tenant(&default, clock.now())?;
            tenants.insert(default.clone(), Arc::new(Tenant::empty(default)));
        }
        let inner = Inner {
            store,
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

    /// Applies a change set: all of it, durable and visible to the next look at the snapshot when
    /// this returns, or none of it. It waits for the disk: call it where blocking is allowed.
    ///
    /// A change set without net effect succeeds and makes no revision; its request id is
    /// remembered all the same, so that repeating it later still applies nothing.
    ///
    /// # Errors
    /// [`ApplyError`] says what the writer can do about it.
    pub fn apply(&self, tenant: &TenantId, request: Apply<'_>) -> Result<Receipt, ApplyError> {
        let Apply { changes, expected, dry_run, request_id, on_behalf_of: person } = request;
        let tenant = self.tenant(tenant)?;
        let writer = tenant.write()?;
        let now = self.0.clock.now();
        let request_id = request_id.filter(|_| !dry_run);
        if let Some(receipt) = self.repeated(&tenant.id, request_id, changes, person)? {
            return Ok(receipt);
        }

        // Validate: the facts themselves change, and are taken back if anything below fails.
        let mut held = tenant.hold()?;
        let from = held.revision;
        if let Some(expected) = expected.filter(|expected| *expected != from) {
            return Err(ApplyError::RevisionMismatch { expected, actual: from });
        }
        if let Some(person) = person {
            delegated::admit(person, &held.facts, from)?;
        }
        let applied = held.change().apply(changes)?;
        if let Some(person) = person {
            // INVARIANT: it is this writer's turn, so that the snapshot shows the revision that the
            // change set builds upon and nothing comes in between.
            let snapshot = tenant.snapshot.load_full();
            let decided = delegated::decide(&snapshot, person, changes, &applied.deltas, now);
            if let Err(refused) = decided {
                held.change().undo(applied);
                // Looking for approvers takes its time: others may write meanwhile.
                drop((held, writer));
                return Err(refused.with_approvers().into());
            }
        }
        let effective = !applied.deltas.is_empty();
        let to = if effective && !dry_run { from.next() } else { from };
        let began = Instant::now();
        let (snapshot, turn) = match prepare(&tenant, &held.facts, &applied, to) {
            Ok(prepared) => {
                self.compiled(effective, began.elapsed());
                prepared
            }
            Err(error) => {
                self.not_compiled(&error);
                held.change().undo(applied);
                return Err(error);
            }
        };
        let receipt = receipt(to, &applied, dry_run, person);
        if dry_run {
            held.change().undo(applied);
            return Ok(receipt);
        }

        // Commit: from here on the change set and the record of it survive a crash.
        let committed = self.commit(&tenant.id, from, &applied, &receipt, request, now);
        if let Err(error) = committed {
            held.change().undo(applied);
            return Err(error.into());
        }
        let Some(snapshot) = snapshot else { return Ok(receipt) };
        held.revision = to;
        let facts = held.facts.len();
        drop(held);

        // Swap, acknowledge: every look at the snapshot from here on sees it.
        tenant.show_policy(&snapshot, facts);
        drop(turn);
        tenant.visible.send_replace(Some(to));
        Ok(receipt)
    }

    /// Makes a change set durable, with what the audit says of it and what its request id stands for.
    fn commit(
        &self,
        tenant: &TenantId,
        from: Revision,
        applied: &Applied,
        receipt: &Receipt,
        request: Apply<'_>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Apply { changes, request_id, .. } = request;
        let effective = !applied.deltas.is_empty();
        if !effective && request_id.is_none() {
            return Ok(());
        }
        let digest = store::digest(changes);
        let remembered = remembered(receipt, digest);
        let record = effective.then(|| audit::entry(self.stamp(now), receipt, digest, request_id));
        self.0.store.commit(&Commit {
            tenant,
            from,
            to: receipt.revision,
            deltas: &applied.deltas,
            request: request_id.map(|id| (id, &remembered)),
            audit: record.as_slice(),
        })
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

    /// Creates an empty tenant, at revision 0. It waits for the disk.
    ///
    /// # Errors
    /// [`TenantError`] if it exists or the store refuses.
    pub fn create_tenant(&self, id: &TenantId) -> Result<(), TenantError> {
        let mut registry = self.0.registry.lock().map_err(broken)?;
        let mut tenants = Tenants::clone(&self.0.tenants.load());
        if tenants.contains_key(id) {
            return Err(TenantError::Exists(id.clone()));
        }
        if tenants.len() >= MAX_TENANTS {
            return Err(TenantError::TooMany(tenants.len()));
        }
        self.0.store.create_tenant(id, self.stamp(self.0.clock.now()))?;
        tenants.insert(id.clone(), Arc::new(Tenant::empty(id.clone())));
        registry.maps.bury(self.0.tenants.swap(Arc::new(tenants)));
        Ok(())
    }

    /// Deletes a tenant and everything of it. It waits for the disk, and for a writer of the
    /// tenant that is at work.
    ///
    /// # Errors
    /// [`TenantError`] if there is no such tenant, it is the default one, or the store refuses.
    pub fn delete_tenant(&self, id: &TenantId) -> Result<(), TenantError> {
        if id.as_str() == DEFAULT_TENANT {
            return Err(TenantError::Default);
        }
        let mut registry = self.0.registry.lock().map_err(broken)?;
        let mut tenants = Tenants::clone(&self.0.tenants.load());
        let tenant = tenants.remove(id).ok_or_else(|| UnknownTenant(id.to_string()))?;
        let mut writer = tenant.write()?;
        let mut turn = tenant.sessions.turn.lock().map_err(broken)?;
        let sessions = tenant.sessions.read(Book::unfinished)?;
        if sessions > 0 {
            return Err(TenantError::HasSessions { tenant: id.clone(), sessions });
        }
        self.0.store.delete_tenant(id, self.stamp(self.0.clock.now()))?;
        (writer.deleted, turn.deleted) = (true, true);
        // What is old lives on for those who are looking at it.
        tenant.give_up(&mut registry.snapshots)?;
        registry.maps.bury(self.0.tenants.swap(Arc::new(tenants)));
        tenant.visible.send_replace(None);
        Ok(())
    }

    /// Writes a backup of every tenant's policy, sessions and audit as they are now, and says how many
    /// rows it has. Nothing waits for it.
    ///
    /// # Errors
    /// The store does not give its rows, or `out` does not take them.
    pub fn backup(&self, out: &mut impl std::io::Write) -> Result<u64, BackupError> {
        self.0.store.backup(out)
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

    /// The first receipt of a request id that was used before.
    fn repeated(
        &self,
        tenant: &TenantId,
        request_id: Option<&RequestId>,
        changes: &[Change],
        person: Option<&PersonId>,
    ) -> Result<Option<Receipt>, ApplyError> {
        let Some(id) = request_id else { return Ok(None) };
        let Some(Remembered { digest, revision, changes: listed, counts, on_behalf_of }) =
            self.0.store.remembered(tenant, id)?
        else {
            return Ok(None);
        };
        if Digest(digest) != store::digest(changes) || on_behalf_of.as_ref() != person {
            return Err(ApplyError::RequestIdReused(id.clone()));
        }
        let (changes, replayed, dry_run) = (listed, true, false);
        Ok(Some(Receipt { revision, changes, counts, replayed, dry_run, on_behalf_of }))
    }
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").field("tenants", &self.tenants()).finish_non_exhaustive()
    }
}

/// The policy compiled, if it changes; and the turn of the sessions where accounts are created: names of
/// accounts that were made for sessions stay theirs, and none is made meanwhile.
fn prepare<'a>(
    tenant: &'a Tenant,
    facts: &Facts,
    applied: &Applied,
    to: Revision,
) -> Result<(Option<Snapshot>, Option<MutexGuard<'a, Pace>>), ApplyError> {
    let snapshot = match applied.deltas.as_slice() {
        [] => None,
        deltas => {
            // INVARIANT: it is this writer's turn, so that the snapshot shows the policy that the change
            // set builds upon.
            let shown = tenant.snapshot.load_full();
            Some(recompile_within(&shown, facts, deltas, to, CompileLimits::DEFAULT)?)
        }
    };
    Ok((snapshot, tenant.sessions.keep_names(made(applied))?))
}

/// The accounts that a change set creates.
fn made(applied: &Applied) -> Vec<&AccountId> {
    let created = applied.deltas.iter().filter(|delta| delta.before.is_none());
    let key = created.filter_map(|delta| match &delta.key {
        FactKey::Account(id) => Some(id),
        _ => None,
    });
    key.collect()
}

fn broken<T>(_: PoisonError<T>) -> Broken {
    Broken
}

fn receipt(
    revision: Revision,
    applied: &Applied,
    dry_run: bool,
    person: Option<&PersonId>,
) -> Receipt {
    let changes = applied.deltas.iter().map(|delta| (delta.key.clone(), ChangeKind::of(delta)));
    let changes = changes.take(MAX_LISTED_CHANGES).collect();
    let counts = Counts::of(applied.deltas.iter().map(ChangeKind::of));
    let on_behalf_of = person.cloned();
    Receipt { revision, changes, counts, replayed: false, dry_run, on_behalf_of }
}

fn remembered(receipt: &Receipt, Digest(digest): Digest) -> Remembered {
    let Receipt { revision, changes, counts, replayed: _, dry_run: _, on_behalf_of } = receipt;
    let (changes, on_behalf_of) = (changes.clone(), on_behalf_of.clone());
    Remembered { digest, revision: *revision, changes, counts: *counts, on_behalf_of }
}
