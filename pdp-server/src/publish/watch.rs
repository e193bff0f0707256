//! Following the policy of a tenant: its change sets as they were committed, from a position on.

use pdp_engine::id::TenantId;
use pdp_engine::query::Revision;
use tokio::sync::watch;

use super::tenant::Tenant;
use super::{Publisher, UnknownTenant, WatchError};
use crate::store::{Cursor, Journaled, Position};

/// Somebody who follows the policy of a tenant.
#[derive(Debug)]
pub struct PolicyWatch {
    publisher: Publisher,
    tenant: TenantId,
    visible: watch::Receiver<Option<Revision>>,
    /// Behind what was told.
    next: Cursor,
    /// The last that was told whole.
    at: Position,
}

// === impl Publisher ===

impl Publisher {
    /// Follows the policy of a tenant from behind a position, or from now on.
    ///
    /// # Errors
    /// [`WatchError`] if there is no such tenant, or no going on from there.
    pub fn watch_policy(
        &self,
        id: &TenantId,
        after: Option<Position>,
    ) -> Result<PolicyWatch, WatchError> {
        let tenant = self.tenant(id)?;
        let visible = tenant.visible.subscribe();
        let now = self.current(&tenant)?;
        let at = match after {
            None => now,
            Some(after) => self.known(id, after, now)?,
        };
        let (publisher, next) = (self.clone(), Cursor::behind(at.revision));
        let watch = PolicyWatch { publisher, tenant: id.clone(), visible, next, at };
        // Whoever cannot go on is told at once.
        if at.revision < now.revision {
            watch.read(at.revision.next())?;
        }
        Ok(watch)
    }

    /// The place of a revision in the history of a tenant.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn position(&self, tenant: &TenantId, revision: Revision) -> Result<Position, WatchError> {
        Ok(Position { revision, mark: self.0.store.mark(tenant, revision)? })
    }

    fn current(&self, tenant: &Tenant) -> Result<Position, WatchError> {
        let revision = *tenant.visible.borrow();
        let revision = revision.ok_or_else(|| UnknownTenant(tenant.id.to_string()))?;
        self.position(&tenant.id, revision)
    }

    /// A position that somebody says they are at, held against what is known of it.
    fn known(
        &self,
        tenant: &TenantId,
        after: Position,
        now: Position,
    ) -> Result<Position, WatchError> {
        let Position { revision, mark: given } = after;
        let actual = now.revision;
        if revision > actual {
            return Err(WatchError::Unknown { after: revision, actual });
        }
        let mark = self.0.store.mark(tenant, revision)?;
        match (given, mark) {
            (Some(given), Some(mark)) if given != mark => {
                Err(WatchError::Unknown { after: revision, actual })
            }
            // Nobody knows any more whether it is the same history.
            (Some(_), None) => Err(WatchError::TooOld { after: revision, actual }),
            (Some(_) | None, _) => Ok(Position { revision, mark }),
        }
    }
}

// === impl PolicyWatch ===

impl PolicyWatch {
    /// The position up to which everything was told.
    #[must_use]
    pub fn position(&self) -> Position {
        self.at
    }

    /// The newest revision that is visible, which may be ahead of what was told.
    #[must_use]
    pub fn latest(&self) -> Revision {
        self.visible.borrow().unwrap_or(self.at.revision).max(self.at.revision)
    }

    /// The next change sets, or parts of them, of which the last may be cut short; waits until there are
    /// some. It may be dropped at any point and asked again.
    ///
    /// # Errors
    /// [`WatchError`] once the tenant is deleted, or the next change set is not kept any more.
    pub async fn next(&mut self) -> Result<Vec<Journaled>, WatchError> {
        let unknown = || UnknownTenant(self.tenant.to_string());
        let told = self.at.revision;
        let reached = self.visible.wait_for(|it| it.is_none_or(|revision| revision > told)).await;
        let reached = reached.map_err(|_| unknown())?.ok_or_else(unknown)?;
        let (publisher, tenant, next, told) =
            (self.publisher.clone(), self.tenant.clone(), self.next, self.at.revision);
        let read =
            tokio::task::spawn_blocking(move || read(&publisher, &tenant, (told, next), reached));
        let (journaled, next) = match read.await {
            Ok(read) => read?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        self.next = next;
        if let Some(last) = journaled.iter().rfind(|it| !it.more) {
            self.at = last.position;
        }
        Ok(journaled)
    }

    fn read(&self, to: Revision) -> Result<(Vec<Journaled>, Cursor), WatchError> {
        read(&self.publisher, &self.tenant, (self.at.revision, self.next), to)
    }
}

/// What comes behind a cursor, for somebody who was told everything up to a revision.
fn read(
    publisher: &Publisher,
    tenant: &TenantId,
    (after, next): (Revision, Cursor),
    to: Revision,
) -> Result<(Vec<Journaled>, Cursor), WatchError> {
    let read = publisher.0.store.journaled(tenant, next, to)?;
    read.ok_or(WatchError::TooOld { after, actual: to })
}
