//! Following the log: a copy takes every entry over, in order, as if it had been written here.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use pdp_engine::compile::{CompileLimits, compile, recompile_within};
use pdp_engine::id::TenantId;
use pdp_engine::snapshot::Snapshot;

use super::log::{Behind, FollowError, Log, LogError};
use super::tenant::Tenant;
use super::{
    AccessError, DEFAULT_TENANT, MAX_TENANTS, PublishError, Publisher, TenantError, Tenants, broken,
};
use crate::audit::{Chain, Digest, Entry};
use crate::clock::Clock;
use crate::session::Turn;
use crate::store::{Commit, Logged, Place, PolicyEntry, Store, StoreError, decode_logged};

/// How many checkpoints in a row may be taken away while they are read: one whose parts are gone for good is not
/// looked for for ever.
const MOST_SUPERSEDED: usize = 8;

/// An entry that was read, and where one is with it.
struct Read<'a> {
    chain: &'a Chain,
    before: Digest,
    then: Place,
    audit: Vec<Entry>,
}

// === impl Publisher ===

impl Publisher {
    /// Loads and compiles what the store has of a log. It may be less than the log has, and nothing at all:
    /// [`Publisher::catch_up`] brings the rest.
    ///
    /// # Errors
    /// A store that cannot be read, or is no copy.
    pub fn open_copy(store: Store, clock: Clock, log: Arc<dyn Log>) -> Result<Self, PublishError> {
        store.copy()?;
        // Of the time before there was a log.
        store.remove_image();
        Self::load(store, clock, Some(log))
    }

    /// Takes over whatever the log has and this copy does not, and says how many entries that were. It waits
    /// for the log and for the disk.
    ///
    /// # Errors
    /// [`FollowError`]; what was taken over until then stays.
    pub fn catch_up(&self) -> Result<usize, FollowError> {
        let mut taken = self.follow(&Chain::Server)?;
        for (tenant, _) in self.tenants() {
            taken += self.follow(&Chain::Tenant(tenant))?;
        }
        Ok(taken)
    }

    /// The same for those logs alone whose heads are told.
    ///
    /// # Errors
    /// As [`Publisher::catch_up`].
    pub fn catch_up_to(&self, heads: &[Place]) -> Result<usize, FollowError> {
        let heads: HashMap<u64, &Place> = heads.iter().map(|head| (head.log, head)).collect();
        let is_behind = |chain: &Chain| {
            let at = self.0.store.place(chain)?;
            let head = at.and_then(|at| heads.get(&at.log));
            Ok::<_, StoreError>(head.is_some_and(|head| at != Some(**head)))
        };
        let mut taken = 0;
        if is_behind(&Chain::Server)? {
            taken += self.follow(&Chain::Server)?;
        }
        for (tenant, _) in self.tenants() {
            let chain = Chain::Tenant(tenant);
            if is_behind(&chain)? {
                taken += self.follow(&chain)?;
            }
        }
        Ok(taken)
    }

    /// How far this copy is in every log.
    ///
    /// # Errors
    /// The store does not give it.
    pub fn places(&self) -> Result<Vec<Place>, FollowError> {
        Ok(self.0.store.places()?)
    }

    /// Makes the default tenant if the log has none yet.
    ///
    /// # Errors
    /// [`FollowError`].
    pub fn begin_log(&self) -> Result<(), FollowError> {
        let unusable = |error: &dyn std::fmt::Display| LogError::Unusable(error.to_string());
        let default = TenantId::new(DEFAULT_TENANT).map_err(|error| unusable(&error))?;
        if self.snapshot(DEFAULT_TENANT).is_some() {
            return Ok(());
        }
        match self.create_tenant(&default) {
            // Another server was first.
            Ok(()) | Err(TenantError::Exists(_)) => Ok(()),
            Err(TenantError::Log(error)) => Err(error.into()),
            Err(TenantError::Store(error)) => Err(error.into()),
            Err(TenantError::Broken(error)) => Err(error.into()),
            Err(error) => Err(unusable(&error).into()),
        }
    }

    /// The same for what concerns one tenant: its log, and the server's, which tells whether it is there.
    pub(super) fn catch_up_with(&self, tenant: &TenantId) -> Result<usize, FollowError> {
        Ok(self.follow(&Chain::Server)? + self.follow(&Chain::Tenant(tenant.clone()))?)
    }

    /// Takes over what the log of a chain has and this copy does not.
    fn follow(&self, chain: &Chain) -> Result<usize, FollowError> {
        let Some(log) = &self.0.log else { return Ok(0) };
        let (mut taken, mut superseded) = (0, 0);
        loop {
            let Some(at) = self.0.store.place(chain)? else { return Ok(taken) };
            match log.read(&at)? {
                Behind::Entries(entries) if entries.is_empty() => return Ok(taken),
                Behind::Entries(entries) => {
                    for (number, entry) in (at.entries + 1..).zip(entries) {
                        self.take(chain, number, &entry)?;
                        taken += 1;
                    }
                }
                Behind::Trimmed => match self.take_checkpoint(log.as_ref(), chain, &at) {
                    // The newer one is there by now.
                    Err(FollowError::Store(StoreError::Superseded))
                        if superseded < MOST_SUPERSEDED =>
                    {
                        superseded += 1;
                    }
                    outcome => {
                        outcome?;
                        (taken, superseded) = (taken + 1, 0);
                    }
                },
                Behind::Ended => return Ok(taken),
            }
        }
    }

    /// Takes one entry over, unless it is there already.
    fn take(&self, chain: &Chain, number: u64, bytes: &[u8]) -> Result<(), FollowError> {
        let decoded = decode_logged(bytes).map_err(|source| {
            let place = format!("entry {number} of the log of {chain}");
            StoreError::Record { place, source }
        })?;
        let (before, mark, audit, what) = decoded;
        let Some(at) = self.0.store.place(chain)? else { return Ok(()) };
        let bytes = at.bytes + u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let then = Place { entries: number, bytes, mark, ..at };
        let read = Read { chain, before, then, audit };
        match (what, chain) {
            (Logged::Policy(policy), Chain::Tenant(id)) => self.take_policy(id, &read, policy),
            (Logged::Sessions(turn), Chain::Tenant(id)) => self.take_turn(id, &read, turn),
            (Logged::TenantCreated(id), Chain::Server) => self.take_tenant(&id, &read),
            (Logged::TenantDeleted(id), Chain::Server) => self.take_deletion(&id, &read),
            (_, chain) => Err(diverged(format!("entry {number} is none of the log of {chain}"))),
        }
    }

    /// Whether an entry is the next one: if so it has to build upon what is here. To be asked where nothing
    /// else can take it.
    fn is_next(&self, read: &Read<'_>) -> Result<bool, FollowError> {
        let Some(at) = self.0.store.place(read.chain)? else { return Ok(false) };
        if (at.log, at.entries + 1) != (read.then.log, read.then.entries) {
            return Ok(false);
        }
        if at.mark != read.before {
            let (entry, chain) = (read.then.entries, read.chain);
            return Err(diverged(format!(
                "entry {entry} of the log of {chain} does not build upon what is here"
            )));
        }
        Ok(true)
    }

    fn take_policy(
        &self,
        id: &TenantId,
        read: &Read<'_>,
        entry: PolicyEntry,
    ) -> Result<(), FollowError> {
        let PolicyEntry { from, to, changes, request } = entry;
        let Some(tenant) = self.0.tenants.load().get(id).cloned() else { return Ok(()) };
        let _writer = match tenant.write() {
            Ok(writer) => writer,
            // It was deleted meanwhile.
            Err(AccessError::UnknownTenant(_)) => return Ok(()),
            Err(AccessError::Broken(error)) => return Err(error.into()),
        };
        let mut held = tenant.hold()?;
        if !self.is_next(read)? {
            return Ok(());
        }
        if held.revision != from {
            let at = held.revision;
            return Err(diverged(format!("a change set of {from} came at revision {at}")));
        }
        let applied = held.change().apply(&changes);
        let applied =
            applied.map_err(|error| diverged(format!("a change set is refused: {error}")))?;
        let compiled = compiled(&tenant, &held, &applied.deltas, to);
        let snapshot = match compiled {
            Ok(snapshot) => snapshot,
            Err(error) => {
                held.change().undo(applied);
                return Err(error);
            }
        };
        let commit = Commit {
            tenant: id,
            from,
            to,
            deltas: &applied.deltas,
            request: request.as_ref().map(|(id, remembered)| (id, remembered)),
            audit: &read.audit,
        };
        if let Err(error) = self.0.store.copy_commit(&commit, &read.then) {
            held.change().undo(applied);
            return Err(error.into());
        }
        held.revision = to;
        if let Some(snapshot) = snapshot {
            // Behind what was not shown, nobody knows all that led here.
            let deltas = (!held.unshown).then_some(applied.deltas.as_slice());
            held.unshown = false;
            tenant.show_committed(held, &snapshot, (to, deltas));
        }
        Ok(())
    }

    fn take_turn(&self, id: &TenantId, read: &Read<'_>, turn: Turn) -> Result<(), FollowError> {
        let Some(tenant) = self.0.tenants.load().get(id).cloned() else { return Ok(()) };
        let _pace = tenant.sessions.turn();
        if !self.is_next(read)? {
            return Ok(());
        }
        tenant.void(&turn);
        self.0.store.copy_sessions(id, &turn, &read.audit, &read.then)?;
        Ok(tenant.show_turn(turn)?)
    }

    fn take_tenant(&self, id: &TenantId, read: &Read<'_>) -> Result<(), FollowError> {
        let mut registry = self.0.registry.lock().map_err(broken)?;
        if !self.is_next(read)? {
            return Ok(());
        }
        let mut tenants = Tenants::clone(&self.0.tenants.load());
        let ([entry], false) = (read.audit.as_slice(), tenants.contains_key(id)) else {
            return Err(diverged(format!("tenant `{id}` is here before it is created")));
        };
        if tenants.len() >= MAX_TENANTS {
            return Err(diverged(format!("tenant `{id}` is one more than there may be")));
        }
        self.0.store.copy_tenant(id, entry, &read.then)?;
        tenants.insert(id.clone(), Arc::new(Tenant::empty(id.clone())));
        registry.maps.bury(self.0.tenants.swap(Arc::new(tenants)));
        Ok(())
    }

    fn take_deletion(&self, id: &TenantId, read: &Read<'_>) -> Result<(), FollowError> {
        let mut registry = self.0.registry.lock().map_err(broken)?;
        if !self.is_next(read)? {
            return Ok(());
        }
        let mut tenants = Tenants::clone(&self.0.tenants.load());
        let ([entry], Some(tenant)) = (read.audit.as_slice(), tenants.remove(id)) else {
            return Err(diverged(format!("tenant `{id}` is deleted and is not here")));
        };
        let mut writer = tenant.writer.lock().map_err(broken)?;
        let mut pace = tenant.sessions.turn();
        self.0.store.copy_deletion(id, entry, &read.then)?;
        (writer.deleted, pace.deleted) = (true, true);
        tenant.give_up(&mut registry.snapshots)?;
        registry.maps.bury(self.0.tenants.swap(Arc::new(tenants)));
        tenant.visible.send_replace(None);
        Ok(())
    }

    /// Becomes what the checkpoint says, where the log has less than what follows upon `at`.
    fn take_checkpoint(&self, log: &dyn Log, chain: &Chain, at: &Place) -> Result<(), FollowError> {
        let mut registry = self.0.registry.lock().map_err(broken)?;
        let before = self.0.tenants.load_full();
        let mut locked = Vec::new();
        for tenant in before.values() {
            let writer = tenant.writer.lock().map_err(broken)?;
            locked.push((tenant, writer, tenant.sessions.turn()));
        }
        if self.0.store.place(chain)? != Some(*at) {
            return Ok(());
        }
        let mut logs = HashMap::new();
        for id in before.keys() {
            let place = self.0.store.place(&Chain::Tenant(id.clone()))?;
            logs.insert(id.clone(), place.map(|place| place.log));
        }
        tracing::info!(%chain, "taking the checkpoint of the log over");
        self.0.store.take_over(&mut log.checkpoint()?, chain, at)?;
        let mut tenants = Tenants::new();
        for stored in self.0.store.load()? {
            let id = stored.id.clone();
            let log = self.0.store.place(&Chain::Tenant(id.clone()))?.map(|place| place.log);
            let same = before.get(&id).filter(|_| logs.get(&id) == Some(&log));
            let tenant = match same {
                Some(tenant) => {
                    tenant.become_stored(stored)?;
                    Arc::clone(tenant)
                }
                None => Arc::new(Tenant::load(stored)),
            };
            tenants.insert(id, tenant);
        }
        let mut gone = Vec::new();
        for (tenant, mut writer, mut pace) in locked {
            let stays = tenants.get(&tenant.id).is_some_and(|now| Arc::ptr_eq(now, tenant));
            if !stays {
                (writer.deleted, pace.deleted) = (true, true);
                tenant.give_up(&mut registry.snapshots)?;
                gone.push(tenant);
            }
        }
        registry.maps.bury(self.0.tenants.swap(Arc::new(tenants)));
        for tenant in gone {
            tenant.visible.send_replace(None);
        }
        Ok(())
    }
}

/// The policy after a change set, to be shown; `None` where nothing changes, or where what is shown is ahead.
fn compiled(
    tenant: &Tenant,
    held: &super::tenant::Held,
    deltas: &[pdp_engine::facts::Delta],
    to: pdp_engine::query::Revision,
) -> Result<Option<Snapshot>, FollowError> {
    let shown = tenant.snapshot.load_full();
    if deltas.is_empty() || (held.unshown && to < shown.revision()) {
        return Ok(None);
    }
    if held.unshown {
        return Ok(Some(compile(&held.facts, to)));
    }
    let compiled = recompile_within(&shown, &held.facts, deltas, to, CompileLimits::DEFAULT);
    compiled.map(Some).map_err(|error| diverged(error.to_string()))
}

fn diverged(detail: String) -> FollowError {
    LogError::Diverged(detail).into()
}
