//! One tenant in memory: its facts for writers, its snapshot for readers.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use pdp_engine::compile::{compile, compile_on};
use pdp_engine::facts::{Delta, Facts};
use pdp_engine::id::TenantId;
use pdp_engine::query::Revision;
use pdp_engine::session::OpenSessions;
use pdp_engine::snapshot::Snapshot;
use tokio::sync::watch;

use super::graveyard::Graveyard;
use super::recent::Recent;
use super::sessions::Sessions;
use super::{AccessError, Broken, PolicyState, UnknownTenant, broken};
use crate::session::{StoredSessions, Turn};
use crate::store::{StoredTenant, threads_for};
use crate::sync::{ArcSwap, Mutex, MutexGuard};

/// One tenant. `writer` is taken before `held`, and both before the store's transaction.
pub(super) struct Tenant {
    pub(super) id: TenantId,
    /// Makes writers take turns, from validation to acknowledgement.
    pub(super) writer: Mutex<Writer>,
    /// Taken from validation to commit.
    held: Mutex<Held>,
    /// What questions are answered from. Changed under `replaced` only.
    pub(super) snapshot: ArcSwap<Snapshot>,
    /// What is told of the policy of `snapshot`; taken for the moment of looking or noting.
    shown: Mutex<Shown>,
    /// Snapshots that were replaced; taken for the moment of a swap, by change sets and by sessions.
    pub(super) replaced: Mutex<Graveyard<Snapshot>>,
    pub(super) sessions: Sessions,
    /// The revision of `snapshot`, for those who wait for one; `None` once the tenant is deleted.
    pub(super) visible: watch::Sender<Option<Revision>>,
    /// Tells that `snapshot` was changed, and how often its sessions were.
    pub(super) changed: watch::Sender<u64>,
    /// The last deltas, for those who watch; taken for the moment of looking or noting.
    recent: Mutex<Recent>,
}

/// When a policy was shown, and of how many facts.
struct Shown {
    at: Instant,
    facts: usize,
}

/// What only the writer at work touches.
#[derive(Default)]
pub(super) struct Writer {
    /// The tenant is gone; a writer that waited must not write to it.
    pub(super) deleted: bool,
}

/// The committed facts, and during validation and commit those that may become it.
pub(super) struct Held {
    pub(super) revision: Revision,
    pub(super) facts: Arc<Facts>,
    /// They are of an earlier revision than decisions see, as a checkpoint of the log was: until the log has
    /// brought them there, they are not shown, and nothing is built upon them.
    pub(super) unshown: bool,
}

// === impl Tenant ===

impl Tenant {
    pub(super) fn load(stored: StoredTenant) -> Self {
        let StoredTenant { id, revision, facts, sessions, seen: _ } = stored;
        let sessions = Sessions::new(sessions);
        // What is stored was within the limits when it came, change set by change set.
        let snapshot = compile_on(threads_for(facts.len()), &facts, revision);
        let snapshot = snapshot.with_sessions(sessions.open());
        Self::new(id, revision, facts, snapshot, sessions)
    }

    pub(super) fn empty(id: TenantId) -> Self {
        let (revision, facts) = (Revision::ZERO, Facts::default());
        let snapshot = compile(&facts, revision);
        Self::new(id, revision, facts, snapshot, Sessions::new(StoredSessions::default()))
    }

    /// One whose policy is another server's.
    pub(super) fn kept(id: TenantId, facts: Facts, policy: Snapshot) -> Self {
        let sessions = Sessions::new(StoredSessions::default());
        Self::new(id, policy.revision(), facts, policy, sessions)
    }

    fn new(
        id: TenantId,
        revision: Revision,
        facts: Facts,
        snapshot: Snapshot,
        sessions: Sessions,
    ) -> Self {
        Self {
            id,
            writer: Mutex::default(),
            shown: Mutex::new(Shown::now(facts.len())),
            held: Mutex::new(Held { revision, facts: Arc::new(facts), unshown: false }),
            snapshot: ArcSwap::from_pointee(snapshot),
            replaced: Mutex::default(),
            sessions,
            visible: watch::Sender::new(Some(revision)),
            changed: watch::Sender::new(0),
            recent: Mutex::new(Recent::since(revision)),
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

    /// Shows a policy to decisions, with the sessions as they are.
    pub(super) fn show_policy(&self, policy: &Snapshot, facts: usize) {
        self.show(|shown| policy.with_sessions(shown.sessions().clone()));
        self.changed.send_modify(|_| {});
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Shown::now(facts);
        self.sweep();
    }

    /// Shows what is committed: facts, whose policy this is, and the deltas that led to them, where they are
    /// known.
    pub(super) fn show_committed(
        &self,
        mut held: MutexGuard<'_, Held>,
        policy: &Snapshot,
        (revision, deltas): (Revision, Option<&[Delta]>),
    ) {
        // Whoever sees the policy finds how it came to be.
        let deltas = deltas.filter(|_| self.changed.receiver_count() > 0);
        self.recent().note(revision, deltas);
        held.revision = revision;
        let facts = held.facts.len();
        drop(held);
        self.show_policy(policy, facts);
        self.visible.send_replace(Some(revision));
    }

    /// Becomes what is stored. No decision goes back in revision: what is earlier than what they see is not
    /// shown.
    pub(super) fn become_stored(&self, stored: StoredTenant) -> Result<(), Broken> {
        let StoredTenant { id: _, revision, facts, sessions, seen: _ } = stored;
        let mut held = self.hold()?;
        self.sessions.reload(sessions)?;
        held.facts = Arc::new(facts);
        held.revision = revision;
        held.unshown = revision < self.snapshot.load().revision();
        if !held.unshown {
            let policy = compile(&held.facts, revision);
            self.show_committed(held, &policy, (revision, None));
            self.show_sessions(self.sessions.open());
        }
        Ok(())
    }

    /// What is told of its policy.
    pub(super) fn state(&self) -> PolicyState {
        let revision = self.snapshot.load().revision();
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let (facts, age) = (shown.facts, shown.at.elapsed());
        PolicyState { tenant: self.id.clone(), revision, facts, age }
    }

    /// Shows sessions to decisions, with the policy as it is. It never waits for a policy to be
    /// dropped: whoever waits for a session should not.
    pub(super) fn show_sessions(&self, sessions: OpenSessions) {
        self.show(|shown| shown.with_sessions(sessions));
        self.changed.send_modify(|turns| *turns += 1);
    }

    /// Keeps from decisions what a turn ends.
    pub(super) fn void(&self, turn: &Turn) {
        let ended: Vec<_> = turn.sessions.iter().filter(|it| it.ended.is_some()).collect();
        if !ended.is_empty() {
            self.show(|shown| {
                let mut sessions = shown.sessions().clone();
                ended.iter().for_each(|session| sessions.end(&session.as_open()));
                shown.with_sessions(sessions)
            });
            self.changed.send_modify(|turns| *turns += 1);
        }
    }

    /// What is noted of the last deltas; whatever happened meanwhile, each note is whole.
    pub(super) fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It goes on where somebody panicked with the lock: what is swapped is always whole.
    fn show(&self, change: impl FnOnce(&Snapshot) -> Snapshot) {
        let mut replaced = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&self.snapshot.load());
        replaced.lay(self.snapshot.swap(Arc::new(changed)));
    }

    /// Drops snapshots that nobody looks at any more, unless one is being replaced.
    pub(super) fn sweep(&self) {
        let unshared = match self.replaced.try_lock() {
            Ok(mut replaced) => replaced.unshared(),
            Err(_) => return,
        };
        // A policy takes its time, and nobody waits for it.
        drop(unshared);
    }

    /// Gives up what was replaced, and with it the last snapshot.
    pub(super) fn give_up(&self, to: &mut Graveyard<Snapshot>) -> Result<(), Broken> {
        to.take_over(&mut *self.replaced.lock().map_err(broken)?);
        to.bury(self.snapshot.load_full());
        Ok(())
    }

    /// Takes hold of the facts.
    pub(super) fn hold(&self) -> Result<MutexGuard<'_, Held>, Broken> {
        self.held.lock().map_err(broken)
    }
}

// === impl Shown ===

impl Shown {
    fn now(facts: usize) -> Self {
        Self { at: Instant::now(), facts }
    }
}

// === impl Held ===

impl Held {
    /// The facts, to be changed. If somebody is reading them, their tables are copied first.
    pub(super) fn change(&mut self) -> &mut Facts {
        Arc::make_mut(&mut self.facts)
    }
}
