//! The snapshot that a request is answered from.

use std::sync::Arc;
use std::time::Duration;

use pdp_engine::id::TenantId;
use pdp_engine::query::Revision;
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;
use tonic::metadata::MetadataMap;

use super::Door;
use super::failure::Failure;
use super::malformed::name;
use super::patience::patience;
use crate::callers::Granted;
use crate::publish::{Publisher, UnknownTenant};
use crate::sync::Guard;

// === impl Door ===

impl Door {
    /// The time.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The tenant's snapshot, loaded once, and the instant to decide for. Nothing may be waited for
    /// before the guard is gone.
    pub(crate) fn snapshot(
        &self,
        granted: Granted<'_>,
    ) -> Result<(Guard<Arc<Snapshot>>, Timestamp), Failure> {
        let snapshot = match self.behind.by(granted) {
            Ok(publisher) => current(publisher, granted.tenant())?,
            Err(_starting) => match self.early(granted) {
                Some(snapshot) => snapshot?,
                // It may have been opened meanwhile.
                None => current(self.behind.by(granted)?, granted.tenant())?,
            },
        };
        Ok((snapshot, self.clock.now()))
    }

    /// The tenant's snapshot while the policy is being loaded, if there is an image of it.
    #[cold]
    fn early(&self, granted: Granted<'_>) -> Option<Result<Guard<Arc<Snapshot>>, Failure>> {
        let early = self.behind.early_by(granted)?;
        let snapshot = early.snapshot(granted.tenant()).cloned();
        Some(snapshot.map(Guard::from_inner).ok_or_else(|| unknown(granted.tenant())))
    }

    /// Waits for the policy while decisions are made upon an image of it.
    pub(super) async fn loaded(&self) {
        if self.behind.is_early() {
            self.behind.opened().await;
        }
    }

    /// Loads the tenant's snapshot, waiting first if it is not as fresh as wanted.
    pub(super) async fn fresh(
        &self,
        granted: Granted<'_>,
        at_least: u64,
        metadata: &MetadataMap,
    ) -> Result<Guard<Arc<Snapshot>>, Failure> {
        let at_least = Revision::new(at_least);
        let tenant = granted.tenant();
        if let Ok(publisher) = self.behind.by(granted)
            && let Some(snapshot) = visible(publisher, tenant, at_least)?
        {
            return Ok(snapshot);
        }
        self.wait(granted, at_least, patience(metadata, self.max_wait)).await?;
        let snapshot = visible(self.behind.by(granted)?, tenant, at_least)?;
        snapshot.ok_or_else(|| self.not_reached(tenant, at_least))
    }

    /// Waits until the tenant's snapshot is as fresh as wanted, no longer than this.
    pub(super) async fn wait(
        &self,
        granted: Granted<'_>,
        at_least: Revision,
        patience: Duration,
    ) -> Result<(), Failure> {
        let reached = async {
            self.loaded().await;
            let publisher = self.behind.by(granted)?;
            publisher.wait_for(granted.tenant(), at_least).await.map_err(Failure::from)
        };
        tokio::time::timeout(patience, reached).await.unwrap_or(Ok(()))
    }

    /// That it has not become so.
    pub(super) fn not_reached(&self, tenant: &str, at_least: Revision) -> Failure {
        let Some(publisher) = self.publisher() else { return Failure::Starting };
        let actual = publisher.revision(tenant).unwrap_or_default();
        Failure::RevisionNotReached { at_least, actual }
    }
}

/// The tenant's snapshot, if it is as fresh as wanted.
fn visible(
    publisher: &Publisher,
    tenant: &str,
    at_least: Revision,
) -> Result<Option<Guard<Arc<Snapshot>>>, Failure> {
    let snapshot = current(publisher, tenant)?;
    Ok((snapshot.revision() >= at_least).then_some(snapshot))
}

/// The tenant's snapshot.
fn current(publisher: &Publisher, tenant: &str) -> Result<Guard<Arc<Snapshot>>, Failure> {
    if let Some(snapshot) = publisher.snapshot(tenant) {
        return Ok(snapshot);
    }
    Err(unknown(tenant))
}

/// That there is no such tenant. Only here is the name looked at: a name that cannot be one is the caller's
/// mistake.
fn unknown(tenant: &str) -> Failure {
    match name("tenant", tenant, TenantId::new) {
        Ok(_) => UnknownTenant(tenant.to_owned()).into(),
        Err(malformed) => malformed.into(),
    }
}
