//! The sessions of a tenant: one step at a time is worked out, made durable, and only then shown to
//! decisions and taken into the book.
//!
//! Sessions take turns of their own and do not wait for a change set that is being compiled; the two
//! meet where the snapshot is swapped. A step is decided on the snapshot that is visible when its turn
//! comes. If a change set becomes visible in between, P12 voids what it forbids at once.

#[cfg(test)]
mod faults;
mod handout;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod races;

use std::sync::{Arc, PoisonError};

use pdp_engine::id::{AccountId, SessionId, TenantId};
use pdp_engine::query::Revision;
use pdp_engine::session::OpenSessions;
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;
use tokio::sync::watch;

use super::log::{LogError, Proposed, Tried};
use super::tenant::Tenant;
use super::{AccessError, ApplyError, Broken, PublishError, Publisher, UnknownTenant};
use crate::audit::Chain;
use crate::session::{
    Book, Open, Opened, Outcome, Renewed, RequestKey, RevocationId, Selection, Session, StepError,
    StoredSessions, Turn,
};
use crate::store::{Draft, Say, Store, StoreError};
use crate::sync::{Mutex, MutexGuard, RwLock};
use handout::Leases;
pub use handout::{Watcher, Work};

/// How many sessions one step of the sweep, or of a forced end, changes: a transaction of some
/// milliseconds, so that others get their turn in between.
const SWEPT_AT_ONCE: usize = 1_000;

/// How long after the last time every open session is judged again where the policy has not changed, in
/// microseconds: 3 seconds. What the passing of time does is mostly known in advance (P7), and a decision
/// never waits for it (P12).
const THOROUGH_MICROS: i64 = 3_000_000;

/// The sessions of a tenant.
pub(super) struct Sessions {
    /// Makes steps take turns, from the look at the book to the swap.
    pub(super) turn: Mutex<Pace>,
    /// Written only by the step at work, for a moment.
    book: RwLock<Book>,
    /// Counts the steps, for those who wait for work.
    steps: watch::Sender<u64>,
    /// Who is at which work.
    leases: Mutex<Leases>,
}

/// What only the step at work touches.
#[derive(Default)]
pub(super) struct Pace {
    /// The tenant is gone.
    pub(super) deleted: bool,
    /// When every open session was last judged, and on which revision.
    judged: Option<(Timestamp, Revision)>,
}

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// There is no such tenant.
    #[error(transparent)]
    UnknownTenant(#[from] UnknownTenant),
    /// The request is not to be taken.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The store did not take it. After [`StoreError::OutcomeUnknown`] it may or may not be there once
    /// the server has been restarted.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log does not take it.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A step panicked half-way through.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// Which sessions to list. What is left out does not narrow the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// Of this person, on this computer, with this level.
    pub selection: Selection,
    /// Open, or ended.
    pub open: Option<bool>,
    /// With outstanding work.
    pub outstanding: bool,
}

// === impl SessionError ===

impl From<AccessError> for SessionError {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::UnknownTenant(error) => Self::UnknownTenant(error),
            AccessError::Broken(error) => Self::Broken(error),
        }
    }
}

// === impl Sessions ===

impl Sessions {
    pub(super) fn new(stored: StoredSessions) -> Self {
        Self {
            turn: Mutex::default(),
            book: RwLock::new(Book::load(stored)),
            steps: watch::Sender::new(0),
            leases: Mutex::default(),
        }
    }

    /// Becomes what is stored.
    pub(super) fn reload(&self, stored: StoredSessions) -> Result<(), Broken> {
        *self.book.write().map_err(|_: PoisonError<_>| Broken)? = Book::load(stored);
        self.steps.send_modify(|steps| *steps += 1);
        Ok(())
    }

    /// What decisions see.
    pub(super) fn open(&self) -> OpenSessions {
        self.book.read().map(|book| book.open_sessions()).unwrap_or_default()
    }

    /// Waits for one's turn. It goes on where a step panicked: what a step works out changes nothing, and
    /// a book that was left half-done is not read any more.
    pub(super) fn turn(&self) -> MutexGuard<'_, Pace> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `read` on the book.
    pub(super) fn read<R>(&self, read: impl FnOnce(&Book) -> R) -> Result<R, Broken> {
        self.book.read().map(|book| read(&book)).map_err(|_| Broken)
    }

    /// Ends, before anybody asks, what has run out, and what begins later than now: the clock was set
    /// back, and how long such a session has lasted is not known (P11). `seen` is how far time had come.
    pub(super) fn resume(
        &self,
        store: &Store,
        tenant: &Tenant,
        seen: Timestamp,
        clock: Timestamp,
    ) -> Result<(), PublishError> {
        let now = seen.max(clock);
        let over = |it: &&Arc<Session>| is_over(it, seen, clock);
        let ids: Vec<_> =
            self.read(|book| book.not_ended().filter(over).map(|it| it.id.clone()).collect())?;
        let snapshot = tenant.snapshot.load_full();
        // All of them first: where the store fails below, none is left to decisions.
        tenant.void(&self.read(|book| book.expire(&snapshot, &ids, now))?);
        for some in ids.chunks(SWEPT_AT_ONCE) {
            let turn = self.read(|book| book.expire(&snapshot, some, now))?;
            if let Err(error) = store.commit_sessions(&tenant.id, &turn, now) {
                // Nobody is kept from deciding by it, and no decision honours what has ended.
                tracing::error!(tenant = %tenant.id, %error, "sessions that are over could not be ended");
                return Ok(());
            }
            self.book.write().map_err(|_: PoisonError<_>| Broken)?.take(turn);
        }
        if !ids.is_empty() {
            tenant.show_sessions(self.open());
        }
        Ok(())
    }

    /// Takes the turn where accounts of the policy are to be created, so that no session's account gets
    /// one of their names.
    ///
    /// # Errors
    /// [`ApplyError::SessionAccount`] if one that was made for a session has the name.
    pub(super) fn keep_names(
        &self,
        created: Vec<&AccountId>,
    ) -> Result<Option<MutexGuard<'_, Pace>>, ApplyError> {
        if created.is_empty() {
            return Ok(None);
        }
        let turn = self.turn();
        let taken =
            |book: &Book| created.into_iter().find(|id| book.account(id).is_some()).cloned();
        match self.read(taken)? {
            Some(account) => Err(ApplyError::SessionAccount(account)),
            None => Ok(Some(turn)),
        }
    }
}

/// Whether a session that was not ended is over at a start, where time had come to `seen`: its own has run out, or
/// the clock was set back before it.
fn is_over(session: &Session, seen: Timestamp, clock: Timestamp) -> bool {
    !session.is_open(seen.max(clock)) || clock < session.opened
}

/// The stored sessions that decisions see at a start, before those that are over are ended.
pub(super) fn open_by_now(
    stored: StoredSessions,
    seen: Timestamp,
    clock: Timestamp,
) -> OpenSessions {
    let book = Book::load(stored);
    let mut open = book.open_sessions();
    let over = book.not_ended().filter(|session| is_over(session, seen, clock));
    over.for_each(|session| open.end(&session.as_open()));
    open
}

// === impl Publisher ===

impl Publisher {
    /// Opens a session, if that is allowed. It waits for the disk.
    ///
    /// # Errors
    /// [`SessionError`] says what the caller can do about it.
    pub fn open_session(
        &self,
        tenant: &TenantId,
        request: Open<'_>,
        id: SessionId,
    ) -> Result<Opened, SessionError> {
        let step = |book: &Book, snapshot: &_, now| book.open(snapshot, request, id.clone(), now);
        self.step(&*self.tenant(tenant)?, step)
    }

    /// Renews a session, or ends it if it may not go on; says on which revision. It waits for the disk.
    ///
    /// # Errors
    /// As [`Publisher::open_session`].
    pub fn renew_session(
        &self,
        tenant: &TenantId,
        id: &str,
    ) -> Result<(Renewed, Revision), SessionError> {
        self.step(&*self.tenant(tenant)?, |book, snapshot, now| {
            let (renewed, turn) = book.renew(snapshot, id, now)?;
            Ok(((renewed, snapshot.revision()), turn))
        })
    }

    /// Ends a session. It waits for the disk.
    ///
    /// # Errors
    /// As [`Publisher::open_session`].
    pub fn close_session(&self, tenant: &TenantId, id: &str) -> Result<Arc<Session>, SessionError> {
        self.step(&*self.tenant(tenant)?, |book, snapshot, now| book.close(snapshot, id, now))
    }

    /// Ends every session of a selection; how many there were. It waits for the disk, and for others in
    /// between.
    ///
    /// # Errors
    /// As [`Publisher::open_session`].
    pub fn end_sessions(
        &self,
        tenant: &TenantId,
        selection: &Selection,
        note: &str,
    ) -> Result<usize, SessionError> {
        let tenant = self.tenant(tenant)?;
        let mut total = 0;
        loop {
            let ended = self.step(&tenant, |book, snapshot, now| {
                Ok(book.force_end(snapshot, selection, note, SWEPT_AT_ONCE, now))
            })?;
            total += ended;
            if ended < SWEPT_AT_ONCE {
                return Ok(total);
            }
        }
    }

    /// Takes what a broker says of an item of work. It waits for the disk.
    ///
    /// # Errors
    /// As [`Publisher::open_session`].
    pub fn acknowledge(
        &self,
        tenant: &TenantId,
        id: &RevocationId,
        outcome: Outcome<'_>,
    ) -> Result<Arc<Session>, SessionError> {
        let tenant = self.tenant(tenant)?;
        let session =
            self.step(&tenant, |book, snapshot, now| book.acknowledge(snapshot, id, outcome, now))?;
        tenant.sessions.release(|leases| leases.answered(id));
        self.unclaim(&tenant.id, None, std::slice::from_ref(id));
        Ok(session)
    }

    /// The session of this id.
    ///
    /// # Errors
    /// [`AccessError`] if there is no such tenant.
    pub fn session(
        &self,
        tenant: &TenantId,
        id: &str,
    ) -> Result<Option<Arc<Session>>, AccessError> {
        Ok(self.tenant(tenant)?.sessions.read(|book| book.by_id(id).cloned())?)
    }

    /// The session that this key opened.
    ///
    /// # Errors
    /// As [`Publisher::session`].
    pub fn session_by_key(
        &self,
        tenant: &TenantId,
        key: &RequestKey,
    ) -> Result<Option<Arc<Session>>, AccessError> {
        Ok(self.tenant(tenant)?.sessions.read(|book| book.by_key(key).cloned())?)
    }

    /// Up to `limit` sessions behind a number, in the order in which they were opened, as they stand
    /// at `now`.
    ///
    /// # Errors
    /// As [`Publisher::session`].
    pub fn sessions(
        &self,
        tenant: &TenantId,
        filter: &SessionFilter,
        after: u64,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Arc<Session>>, AccessError> {
        let listed = |book: &Book| {
            let fits = |session: &&Arc<Session>| filter.selects(session, now);
            book.after(after).filter(fits).take(limit).cloned().collect()
        };
        Ok(self.tenant(tenant)?.sessions.read(listed)?)
    }

    /// How many sessions are open, and how much work is outstanding, of all tenants.
    #[must_use]
    pub fn session_counts(&self) -> (usize, usize) {
        let tenants = self.0.tenants.load();
        let counts = tenants.values().filter_map(|tenant| {
            tenant.sessions.read(|book| (book.not_ended().count(), book.outstanding().count())).ok()
        });
        counts.fold((0, 0), |(open, work), (more, works)| (open + more, work + works))
    }

    /// Ends every session whose time is over, and those that do not stand any more (P11, P12). It waits
    /// for the disk.
    ///
    /// # Errors
    /// The first that there was; the other tenants are swept all the same.
    pub fn sweep_sessions(&self) -> Result<(), SessionError> {
        if self.is_cut_off() {
            // Nothing can be ended, and no decision honours what has run out or does not stand.
            return Ok(());
        }
        let tenants: Vec<Arc<Tenant>> = self.0.tenants.load().values().cloned().collect();
        let mut outcome = Ok(());
        for tenant in tenants {
            match self.sweep_tenant(&tenant) {
                // It was deleted meanwhile.
                Ok(()) | Err(SessionError::UnknownTenant(_)) => {}
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }

    fn sweep_tenant(&self, tenant: &Tenant) -> Result<(), SessionError> {
        let open: Vec<_> = tenant.sessions.read(|book| book.not_ended().cloned().collect())?;
        if open.is_empty() {
            return Ok(());
        }
        // Judged without keeping anybody waiting; whoever falls is judged again in the step.
        let (now, snapshot) = (self.0.clock.now(), tenant.snapshot.load_full());
        let thorough = {
            let pace = tenant.sessions.turn();
            let since = |at: Timestamp| now.as_micros().saturating_sub(at.as_micros());
            pace.judged.is_none_or(|(at, revision)| {
                revision != snapshot.revision() || !(0..THOROUGH_MICROS).contains(&since(at))
            })
        };
        let falls = |session: &&Arc<Session>| {
            if thorough { session.falls(&snapshot, now).is_some() } else { !session.is_open(now) }
        };
        let ids: Vec<_> = open.iter().filter(falls).map(|session| session.id.clone()).collect();
        for some in ids.chunks(SWEPT_AT_ONCE) {
            self.step(tenant, |book, snapshot, now| Ok(((), book.sweep(snapshot, some, now))))?;
        }
        if thorough {
            tenant.sessions.turn().judged = Some((now, snapshot.revision()));
        }
        Ok(())
    }

    /// Takes one step: works it out, makes it durable, shows it.
    fn step<R>(
        &self,
        tenant: &Tenant,
        work_out: impl Fn(&Book, &Snapshot, Timestamp) -> Result<(R, Turn), StepError>,
    ) -> Result<R, SessionError> {
        self.decided(&tenant.id, || self.try_step(tenant, &work_out))
    }

    fn try_step<R>(
        &self,
        tenant: &Tenant,
        work_out: impl Fn(&Book, &Snapshot, Timestamp) -> Result<(R, Turn), StepError>,
    ) -> Result<Tried<R>, SessionError> {
        let sessions = &tenant.sessions;
        let pace = sessions.turn();
        if pace.deleted {
            return Err(UnknownTenant(tenant.id.to_string()).into());
        }
        // INVARIANT: only steps change the sessions, and it is this one's turn, so that the snapshot
        // shows the sessions of the book, but for those whose end could not be stored.
        let (now, snapshot) = (self.0.clock.now(), tenant.snapshot.load_full());
        let (result, turn) = sessions.read(|book| work_out(book, &snapshot, now))??;
        if turn.is_empty() {
            return Ok(Tried::Unproven(result));
        }
        let stamp = self.stamp(now);
        let chain = Chain::Tenant(tenant.id.clone());
        let proposed = self.propose(&chain, Say::Sessions(&turn), stamp, Vec::new())?;
        // What ends, ends for decisions before it is durable, and where it cannot be made durable it has
        // ended for as long as this server runs: the store then takes no more steps.
        match proposed {
            Proposed::Lost => return Ok(Tried::Lost),
            Proposed::Alone => {
                tenant.void(&turn);
                self.0.store.commit_sessions(&tenant.id, &turn, stamp)?;
            }
            Proposed::Logged(Draft { audit, then, .. }) => {
                tenant.void(&turn);
                self.0.store.copy_sessions(&tenant.id, &turn, &audit, &then)?;
            }
        }
        tenant.show_turn(turn)?;
        drop(pace);
        Ok(Tried::Done(result))
    }
}

// === impl Tenant ===

impl Tenant {
    /// Shows a step that is durable: a reader of the book and a decision see it, in this order.
    pub(super) fn show_turn(&self, turn: Turn) -> Result<(), Broken> {
        let (sessions, gives_work) = (&self.sessions, turn.gives_work());
        let open = {
            let mut book = sessions.book.write().map_err(|_: PoisonError<_>| Broken)?;
            book.take(turn);
            book.open_sessions()
        };
        self.show_sessions(open);
        if gives_work {
            sessions.steps.send_modify(|steps| *steps += 1);
        }
        Ok(())
    }
}

// === impl SessionFilter ===

impl SessionFilter {
    fn selects(&self, session: &Session, now: Timestamp) -> bool {
        let Self { selection, open, outstanding } = self;
        selection.selects(session)
            && open.is_none_or(|open| session.is_open(now) == open)
            && (!outstanding || session.outstanding().next().is_some())
    }
}
