//! Handing out the work that the ends of sessions make due: each item to one watcher at a time, and to
//! another once that one is gone or has not answered in time.
//!
//! Who is at what is kept in memory only: after a restart everything that is outstanding is handed out
//! again. So each item is handed out at least once, and what is done twice does no harm. Where several servers
//! share a log, an item is claimed there first, so that the watchers of all of them are one crowd.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pdp_engine::id::{ObjectId, TenantId};
use pdp_engine::session::is_listed_member;
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Sessions;
use crate::audit::Chain;
use crate::clock::Clock;
use crate::publish::tenant::Tenant;
use crate::publish::{AccessError, Broken, FollowError, Publisher};
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

/// Who is at which work. What a lease that is over was about is free again.
#[derive(Debug, Default)]
pub(super) struct Leases(HashMap<RevocationId, Lease>);

/// Who is at an item of work, and how long it stays theirs.
#[derive(Debug, Clone, Copy)]
struct Lease {
    watcher: u64,
    until: Instant,
}

/// Somebody who takes work. What it holds is free again when it is dropped.
pub struct Watcher {
    tenant: Arc<Tenant>,
    clock: Clock,
    id: u64,
    /// Whose work it takes; `None` for every computer's.
    computers: Option<HashSet<ObjectId>>,
    lease: Duration,
    max_outstanding: usize,
    steps: watch::Receiver<u64>,
    visible: watch::Receiver<Option<pdp_engine::query::Revision>>,
    publisher: Publisher,
    /// Work that is being claimed, where others may be after it.
    claiming: Option<JoinHandle<Claimed>>,
}

/// What of some work is this watcher's, and what is with somebody else's.
struct Claimed {
    won: Vec<Work>,
    lost: Vec<RevocationId>,
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
        computers: Option<HashSet<ObjectId>>,
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
            publisher: self.clone(),
            claiming: None,
        })
    }

    /// Claims work that nobody here is at. It waits for the log.
    fn claim(&self, tenant: &TenantId, watcher: u64, work: Vec<Work>, lease: Duration) -> Claimed {
        let mut claimed = Claimed { won: Vec::new(), lost: Vec::new() };
        for item in work {
            match self.claim_one(tenant, watcher, &item.id(), lease) {
                Ok(true) => claimed.won.push(item),
                Ok(false) => claimed.lost.push(item.id()),
                Err(error) => {
                    tracing::debug!(%error, "work is not claimed");
                    claimed.lost.push(item.id());
                }
            }
        }
        claimed
    }

    fn claim_one(
        &self,
        tenant: &TenantId,
        watcher: u64,
        work: &RevocationId,
        lease: Duration,
    ) -> Result<bool, FollowError> {
        let Some(log) = &self.0.log else { return Ok(true) };
        let place = self.0.store.place(&Chain::Tenant(tenant.clone()))?;
        let Some(place) = place else { return Ok(false) };
        Ok(log.claim(place.log, &work.to_string(), watcher, lease)?)
    }

    /// Gives claims back: a watcher's, or whoever's where the work was answered.
    pub(super) fn unclaim(&self, tenant: &TenantId, watcher: Option<u64>, work: &[RevocationId]) {
        let Some(log) = &self.0.log else { return };
        if let Ok(Some(place)) = self.0.store.place(&Chain::Tenant(tenant.clone())) {
            work.iter().for_each(|work| log.unclaim(place.log, &work.to_string(), watcher));
        }
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
            if let Some(claiming) = &mut self.claiming {
                let claimed = claiming.await;
                self.claiming = None;
                let Claimed { won, lost } = claimed.map_err(|_| Broken)?;
                let later = Instant::now() + PATIENCE;
                self.tenant.sessions.leases.lock().map_err(|_| Broken)?.put_off(&lost, later);
                if !won.is_empty() {
                    return Ok(won);
                }
            }
            self.steps.mark_unchanged();
            if self.visible.borrow().is_none() {
                return Err(crate::publish::UnknownTenant(self.tenant.id.to_string()).into());
            }
            let work = self.take()?;
            if !work.is_empty() && self.publisher.0.log.is_none() {
                return Ok(work);
            }
            if !work.is_empty() {
                let (publisher, tenant) = (self.publisher.clone(), self.tenant.id.clone());
                let (id, lease) = (self.id, self.lease);
                let claiming = move || publisher.claim(&tenant, id, work, lease);
                self.claiming = Some(tokio::task::spawn_blocking(claiming));
                continue;
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
        leases.expire(instant);
        let room = self.max_outstanding.saturating_sub(leases.held_by(self.id));
        let snapshot = self.tenant.snapshot.load();
        sessions.read(|book| {
            let due = book.outstanding().filter(|(session, kind)| {
                self.wants(session)
                    && is_due(session, *kind, now)
                    && !is_listed(&snapshot, session, *kind, now)
            });
            let works = due.map(|(session, kind)| Work { session: Arc::clone(session), kind });
            let until = instant + self.lease;
            works.filter(|work| leases.take(work.id(), self.id, until)).take(room).collect()
        })
    }

    fn wants(&self, session: &Session) -> bool {
        let computers = self.computers.as_ref();
        computers.is_none_or(|computers| computers.contains(&session.computer))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut left = Vec::new();
        self.tenant.sessions.release(|leases| left = leases.leave(self.id));
        self.publisher.unclaim(&self.tenant.id, Some(self.id), &left);
    }
}

// === impl Leases ===

impl Leases {
    /// Frees what has not been answered in time.
    fn expire(&mut self, now: Instant) {
        self.0.retain(|_, lease| now < lease.until);
    }

    /// How much is with a watcher.
    fn held_by(&self, watcher: u64) -> usize {
        self.0.values().filter(|lease| lease.watcher == watcher).count()
    }

    /// Gives an item to a watcher, unless somebody is at it.
    fn take(&mut self, work: RevocationId, watcher: u64, until: Instant) -> bool {
        match self.0.entry(work) {
            Entry::Occupied(_) => false,
            Entry::Vacant(free) => {
                free.insert(Lease { watcher, until });
                true
            }
        }
    }

    /// Frees an item that was answered.
    pub(super) fn answered(&mut self, work: &RevocationId) {
        self.0.remove(work);
    }

    /// Frees everything that is with a watcher, and says what that was.
    fn leave(&mut self, watcher: u64) -> Vec<RevocationId> {
        self.0.extract_if(|_, lease| lease.watcher == watcher).map(|(work, _)| work).collect()
    }

    /// What somebody of another server is at is looked at again later.
    fn put_off(&mut self, work: &[RevocationId], until: Instant) {
        for work in work {
            if let Some(lease) = self.0.get_mut(work) {
                lease.until = lease.until.min(until);
            }
        }
    }
}

// === impl Sessions ===

impl Sessions {
    /// Frees work, and wakes those who wait for some.
    pub(super) fn release(&self, free: impl FnOnce(&mut Leases)) {
        let Ok(mut leases) = self.leases.lock() else { return };
        let before = leases.0.len();
        free(&mut leases);
        if leases.0.len() < before {
            self.steps.send_modify(|steps| *steps += 1);
        }
    }
}

/// Whether the policy lists the account as a member of the group by now: then it is to stay there (P7).
fn is_listed(snapshot: &Snapshot, session: &Session, kind: RevocationKind, now: Timestamp) -> bool {
    kind == RevocationKind::RemoveFromGroup
        && session.privilege.as_ref().is_some_and(|privilege| {
            is_listed_member(snapshot, &privilege.account, &privilege.group, now, false)
        })
}

fn is_due(session: &Session, kind: RevocationKind, now: Timestamp) -> bool {
    session.revocations.iter().any(|it| it.kind == kind && it.is_due(now))
}

#[cfg(test)]
mod tests {
    use pdp_engine::id::SessionId;

    use super::*;

    fn work(session: &str) -> RevocationId {
        let session = SessionId::new(session).unwrap();
        RevocationId { session, kind: RevocationKind::RemoveFromGroup }
    }

    #[test]
    fn an_item_is_with_one_watcher_until_it_answers_leaves_or_is_late() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut leases = Leases::default();
        assert!(leases.take(work("s"), 1, at(5)));
        assert!(!leases.take(work("s"), 2, at(5)), "the first is at it");
        assert!(!leases.take(work("s"), 1, at(9)), "nor is it given to the same one twice");
        assert!(leases.take(work("t"), 2, at(9)));
        leases.expire(at(4));
        assert_eq!((leases.held_by(1), leases.held_by(2)), (1, 1));

        leases.expire(at(5));
        assert_eq!((leases.held_by(1), leases.held_by(2)), (0, 1), "late at that very instant");
        assert!(leases.take(work("s"), 2, at(20)), "another one gets it");
        leases.answered(&work("s"));
        assert_eq!(leases.held_by(2), 1);
        assert!(leases.take(work("s"), 1, at(20)));

        leases.leave(2);
        assert_eq!((leases.held_by(1), leases.held_by(2)), (1, 0));
        assert!(leases.take(work("t"), 1, at(20)), "what it had is free");
    }
}
