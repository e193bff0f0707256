//! A tenant's sessions in memory, and the changes to them that a step makes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use pdp_engine::id::{AccountId, GroupId, PersonId, SessionId};
use pdp_engine::query::Revision;
use pdp_engine::session::{JitAccount, OpenSessions};
use pdp_engine::time::Timestamp;

use super::{
    Happened, Privilege, RETAINED_SESSIONS, RequestKey, RevocationKind, Session, SessionEvent,
};
use crate::audit::{Entry, Event, Stamp};

/// A tenant's sessions.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// By number.
    sessions: BTreeMap<u64, Arc<Session>>,
    by_id: HashMap<SessionId, u64>,
    by_key: HashMap<RequestKey, u64>,
    /// Those that are open or have outstanding work.
    unfinished: BTreeSet<u64>,
    /// Those that have ended and left no work, in the order in which that came.
    finished: BTreeSet<(Timestamp, u64)>,
    /// The work to be done.
    outstanding: BTreeSet<(u64, RevocationKind)>,
    /// The session whose end made it due that an account leaves a group; there is at most one.
    removals: HashMap<(AccountId, GroupId), u64>,
    /// The accounts that were made for sessions and not deleted.
    accounts: HashMap<AccountId, JitAccount>,
    /// What decisions see.
    open: OpenSessions,
    pub(super) next: Numbers,
}

/// The numbers that the next session and the next account get. No number is ever given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) session: u64,
    pub(crate) account: u64,
}

/// What one step changes, to be made durable before it is taken into the book.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// Sessions as they are afterwards.
    pub(crate) sessions: Vec<Session>,
    /// The numbers of sessions that are forgotten.
    pub(crate) forgotten: Vec<u64>,
    /// Accounts made for sessions: as they are afterwards, or deleted.
    pub(crate) accounts: Vec<(AccountId, Option<JitAccount>)>,
    /// The next numbers, if some were given.
    pub(crate) next: Option<Numbers>,
    /// What the audit is to say, with the person whose session it is.
    pub(crate) events: Vec<(PersonId, SessionEvent)>,
}

/// A tenant's sessions as they were stored.
#[derive(Debug, Default)]
pub(crate) struct StoredSessions {
    pub(crate) sessions: Vec<Session>,
    pub(crate) accounts: Vec<JitAccount>,
    pub(crate) next: Numbers,
}

// === impl Numbers ===

impl Default for Numbers {
    fn default() -> Self {
        Self { session: 1, account: 1 }
    }
}

// === impl Turn ===

impl Turn {
    /// Whether there is work to hand out that there was not before, or some is no more.
    pub(crate) fn gives_work(&self) -> bool {
        self.sessions.iter().any(|session| !session.revocations.is_empty())
    }

    /// Whether some session ends.
    pub(crate) fn ends(&self) -> bool {
        self.events.iter().any(|(_, event)| matches!(event.what, Happened::Ended { .. }))
    }

    /// What the audit is to say of it.
    pub(crate) fn entries(&self, revision: Revision, stamp: Stamp<'_>) -> Vec<Entry> {
        let Stamp { at, caller } = stamp;
        let entry = |(person, event): &(PersonId, SessionEvent)| Entry {
            at,
            revision,
            person: Some(person.clone()),
            caller: caller.cloned(),
            event: Event::Session(event.clone()),
        };
        self.events.iter().map(entry).collect()
    }

    /// Whether nothing changes.
    pub(crate) fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.accounts.is_empty() && self.forgotten.is_empty()
    }
}

// === impl Book ===

impl Book {
    /// What was stored.
    pub(crate) fn load(stored: StoredSessions) -> Self {
        let StoredSessions { sessions, accounts, next } = stored;
        let mut book = Self::default();
        let accounts = accounts.into_iter().map(|account| (account.id.clone(), Some(account)));
        let accounts = accounts.collect();
        book.take(Turn { sessions, accounts, next: Some(next), ..Turn::default() });
        book
    }

    /// Takes a turn that is durable.
    pub(crate) fn take(&mut self, turn: Turn) {
        let Turn { sessions, forgotten, accounts, next, events: _ } = turn;
        self.next = next.unwrap_or(self.next);
        for (id, account) in accounts {
            match account {
                Some(account) => {
                    self.open.keep(account.clone());
                    self.accounts.insert(id, account);
                }
                None => {
                    self.open.drop_account(&id);
                    self.accounts.remove(&id);
                }
            }
        }
        for session in sessions {
            self.put(session);
        }
        for number in forgotten {
            if let Some(session) = self.sessions.remove(&number) {
                self.by_id.remove(&session.id);
                self.by_key.remove(&session.request_key);
                self.finished.remove(&(session.last_instant(), number));
            }
        }
    }

    fn put(&mut self, session: Session) {
        let number = session.number;
        if let Some(before) = self.sessions.get(&number) {
            self.open.end(&before.as_open());
        }
        if session.ended.is_none() {
            self.open.open(session.as_open());
        }
        for kind in RevocationKind::ALL {
            self.outstanding.remove(&(number, kind));
        }
        self.outstanding.extend(session.outstanding().map(|it| (number, it.kind)));
        if let Some(Privilege { account, group, .. }) = &session.privilege {
            let pair = (account.clone(), group.clone());
            if session.has_to_leave() {
                self.removals.insert(pair, number);
            } else if self.removals.get(&pair) == Some(&number) {
                self.removals.remove(&pair);
            }
        }
        if session.is_finished() {
            self.unfinished.remove(&number);
            self.finished.insert((session.last_instant(), number));
        } else {
            self.unfinished.insert(number);
        }
        self.by_id.insert(session.id.clone(), number);
        self.by_key.insert(session.request_key.clone(), number);
        self.sessions.insert(number, Arc::new(session));
    }

    /// What decisions see.
    pub(crate) fn open_sessions(&self) -> OpenSessions {
        self.open.clone()
    }

    /// The session of this id.
    pub(crate) fn by_id(&self, id: &str) -> Option<&Arc<Session>> {
        self.by_id.get(id).and_then(|number| self.sessions.get(number))
    }

    /// The session that this key opened.
    pub(crate) fn by_key(&self, key: &RequestKey) -> Option<&Arc<Session>> {
        self.by_key.get(key).and_then(|number| self.sessions.get(number))
    }

    /// The sessions behind a number, in the order in which they were opened.
    pub(crate) fn after(&self, number: u64) -> impl Iterator<Item = &Arc<Session>> {
        self.sessions.range(number.saturating_add(1)..).map(|(_, session)| session)
    }

    /// The sessions that have not been ended, in the order in which they were opened.
    pub(crate) fn not_ended(&self) -> impl Iterator<Item = &Arc<Session>> {
        let unfinished = self.unfinished.iter().filter_map(|number| self.sessions.get(number));
        unfinished.filter(|session| session.ended.is_none())
    }

    /// The work to be done, with its session.
    pub(crate) fn outstanding(&self) -> impl Iterator<Item = (&Arc<Session>, RevocationKind)> {
        let session = |number| self.sessions.get(number);
        self.outstanding.iter().filter_map(move |(number, kind)| Some((session(number)?, *kind)))
    }

    /// The session whose end made it due that the account leaves the group, if that is to be done.
    pub(super) fn removal(&self, account: &AccountId, group: &GroupId) -> Option<&Arc<Session>> {
        let number = self.removals.get(&(account.clone(), group.clone()))?;
        self.sessions.get(number)
    }

    /// How many sessions have not been ended or have outstanding work.
    pub(crate) fn unfinished(&self) -> usize {
        self.unfinished.len()
    }

    /// How many accounts were made for sessions and not deleted.
    pub(super) fn accounts(&self) -> usize {
        self.accounts.len()
    }

    /// The account, if it was made for a session and not deleted.
    pub(crate) fn account(&self, id: &AccountId) -> Option<&JitAccount> {
        self.accounts.get(id)
    }

    /// The oldest of the finished sessions, if one more makes them too many.
    pub(super) fn to_forget(&self, more: usize) -> Vec<u64> {
        let surplus = (self.finished.len() + more).saturating_sub(RETAINED_SESSIONS);
        self.finished.iter().take(surplus).map(|(_, number)| *number).collect()
    }
}
