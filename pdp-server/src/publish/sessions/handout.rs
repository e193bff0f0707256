//! Handing out the work that the ends of sessions make due: each item to one watcher at a time, and to
//! another once that one is gone or has not answered in time.
//!
//! Who is at what is kept in memory only: after a restart everything that is outstanding is handed out
//! again. So each item is handed out at least once, and what is done twice does no harm.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pdp_engine::id::TenantId;
use pdp_engine::time::Timestamp;
use tokio::sync::watch;

use super::Sessions;
use crate::clock::Clock;
use crate::publish::tenant::Tenant;
use crate::publish::{AccessError, Broken, Publisher};
use crate::session::{RevocationId, RevocationKind, Session};

/// How long a watcher with nothing to do waits before it looks at the clock again.
const PATIENCE: Duration = Duration::from_secs(1);

/// Numbers the watchers of this process.
static NEXT_WATCHER: AtomicU64 = AtomicU64::new(0);

/// An item of work, with the session that it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The session.
    pub session: Arc<Session>,
    /// What is to be done.
    pub kind: RevocationKind,
}

/// Who is at an item of work, and how long it stays theirs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    watcher: u64,
    until: Instant,
}

/// Somebody who takes work. What it holds is free again when it is dropped.
pub struct Watcher {
    tenant: Arc<Tenant>,
    clock: Clock,
    id: u64,
    /// Whose work it takes; `None` for every computer's.
    computers: Option<HashSet<String>>,
    lease: Duration,
    max_outstanding: usize,
    steps: watch::Receiver<u64>,
    visible: watch::Receiver<Option<pdp_engine::query::Revision>>,
}

// === impl Work ===

impl Work {
    fn id(&self) -> RevocationId {
        RevocationId { session: self.session.id.clone(), kind: self.kind }
    }
}

// === impl Publisher ===

impl Publisher {
    /// Takes work of these computers, or of all. An item is handed out again after `lease`, and no more
    /// than `max_outstanding` belong to this watcher at once.
    ///
    /// # Errors
    /// [`AccessError`] if there is no such tenant.
    pub fn watch_work(
        &self,
        tenant: &TenantId,
        computers: Option<HashSet<String>>,
        lease: Duration,
        max_outstanding: usize,
    ) -> Result<Watcher, AccessError> {
        let tenant = self.tenant(tenant)?;
        Ok(Watcher {
            steps: tenant.sessions.steps.subscribe(),
            visible: tenant.visible.subscribe(),
            clock: self.0.clock.clone(),
            id: NEXT_WATCHER.fetch_add(1, Ordering::Relaxed),
            tenant,
            computers,
            lease,
            max_outstanding,
        })
    }
}

// === impl Watcher ===

impl Watcher {
    /// The next items of work; waits until there are some. It may be dropped at any point and asked
    /// again.
    ///
    /// # Errors
    /// [`AccessError::UnknownTenant`] once the tenant is deleted.
    pub async fn next(&mut self) -> Result<Vec<Work>, AccessError> {
        loop {
            self.steps.mark_unchanged();
            if self.visible.borrow().is_none() {
                return Err(crate::publish::UnknownTenant(self.tenant.id.to_string()).into());
            }
            let work = self.take()?;
            if !work.is_empty() {
                return Ok(work);
            }
            tokio::select! {
                _ = self.steps.changed() => {}
                _ = self.visible.changed() => {}
                () = tokio::time::sleep(PATIENCE) => {}
            }
        }
    }

    /// Takes what is to be done and nobody is at.
    fn take(&self) -> Result<Vec<Work>, Broken> {
        let sessions = &self.tenant.sessions;
        let (now, instant) = (self.clock.now(), Instant::now());
        let mut leases = sessions.leases.lock().map_err(|_| Broken)?;
        let mine = |lease: &Lease| lease.watcher == self.id && instant < lease.until;
        let mut room =
            self.max_outstanding.saturating_sub(leases.values().filter(|it| mine(it)).count());
        let taken = sessions.read(|book| {
            let mut taken = Vec::new();
            for (session, kind) in book.outstanding() {
                if room == 0 {
                    break;
                }
                let work = Work { session: Arc::clone(session), kind };
                if self.wants(session)
                    && is_due(session, kind, now)
                    && is_free(&leases, &work, instant)
                {
                    room -= 1;
                    leases
                        .insert(work.id(), Lease { watcher: self.id, until: instant + self.lease });
                    taken.push(work);
                }
            }
            taken
        })?;
        Ok(taken)
    }

    fn wants(&self, session: &Session) -> bool {
        let computers = self.computers.as_ref();
        computers.is_none_or(|computers| computers.contains(session.computer.as_str()))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.tenant.sessions.release(|_, lease| lease.watcher == self.id);
    }
}

// === impl Sessions ===

impl Sessions {
    /// Frees work, and wakes those who wait for some.
    pub(super) fn release(&self, free: impl Fn(&RevocationId, &Lease) -> bool) {
        let Ok(mut leases) = self.leases.lock() else { return };
        let before = leases.len();
        leases.retain(|id, lease| !free(id, lease));
        if leases.len() < before {
            self.steps.send_modify(|steps| *steps += 1);
        }
    }
}

fn is_due(session: &Session, kind: RevocationKind, now: Timestamp) -> bool {
    session.revocations.iter().any(|it| it.kind == kind && it.is_due(now))
}

fn is_free(leases: &HashMap<RevocationId, Lease>, work: &Work, now: Instant) -> bool {
    leases.get(&work.id()).is_none_or(|lease| lease.until <= now)
}
