//! One tenant in memory: its facts for writers, its snapshot for readers.

use std::sync::{Arc, Mutex, MutexGuard};

use arc_swap::ArcSwap;
use pdp_engine::compile::{CompileLimits, TooLarge, compile, compile_within};
use pdp_engine::facts::Facts;
use pdp_engine::id::TenantId;
use pdp_engine::query::Revision;
use pdp_engine::snapshot::Snapshot;
use tokio::sync::watch;

use super::graveyard::Graveyard;
use super::{AccessError, Broken, UnknownTenant, broken};
use crate::store::StoredTenant;

/// One tenant. `writer` is taken before `held`, and both before the store's transaction.
pub(super) struct Tenant {
    pub(super) id: TenantId,
    /// Makes writers take turns, from validation to acknowledgement.
    pub(super) writer: Mutex<Writer>,
    /// Taken from validation to commit.
    held: Mutex<Held>,
    /// What questions are answered from.
    pub(super) snapshot: ArcSwap<Snapshot>,
    /// The revision of `snapshot`, for those who wait for one; `None` once the tenant is deleted.
    pub(super) visible: watch::Sender<Option<Revision>>,
}

/// What only the writer at work touches.
#[derive(Default)]
pub(super) struct Writer {
    /// Snapshots that were replaced.
    pub(super) old: Graveyard<Snapshot>,
    /// The tenant is gone; a writer that waited must not write to it.
    pub(super) deleted: bool,
}

/// The committed facts, and during validation and commit those that may become it.
pub(super) struct Held {
    pub(super) revision: Revision,
    pub(super) facts: Arc<Facts>,
}

// === impl Tenant ===

impl Tenant {
    pub(super) fn load(stored: StoredTenant) -> Result<Self, TooLarge> {
        let StoredTenant { id, revision, facts } = stored;
        let snapshot = compile_within(&facts, revision, CompileLimits::DEFAULT)?;
        Ok(Self::new(id, revision, facts, snapshot))
    }

    pub(super) fn empty(id: TenantId) -> Self {
        let (revision, facts) = (Revision::ZERO, Facts::default());
        let snapshot = compile(&facts, revision);
        Self::new(id, revision, facts, snapshot)
    }

    fn new(id: TenantId, revision: Revision, facts: Facts, snapshot: Snapshot) -> Self {
        Self {
            id,
            writer: Mutex::default(),
            held: Mutex::new(Held { revision, facts: Arc::new(facts) }),
            snapshot: ArcSwap::from_pointee(snapshot),
            visible: watch::Sender::new(Some(revision)),
        }
    }

    /// Waits for one's turn to write.
    pub(super) fn write(&self) -> Result<MutexGuard<'_, Writer>, AccessError> {
        let writer = self.writer.lock().map_err(broken)?;
        if writer.deleted {
            return Err(UnknownTenant(self.id.to_string()).into());
        }
        Ok(writer)
    }

    /// Takes hold of the facts.
    pub(super) fn hold(&self) -> Result<MutexGuard<'_, Held>, Broken> {
        self.held.lock().map_err(broken)
    }
}

// === impl Held ===

impl Held {
    /// The facts, to be changed. If somebody is reading them, their tables are copied first.
    pub(super) fn change(&mut self) -> &mut Facts {
        Arc::make_mut(&mut self.facts)
    }
}
