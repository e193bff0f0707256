//! What exists besides the policy: the sessions that have been opened and not ended, and the accounts
//! that were made for sessions.
//!
//! Opening and ending a session changes a few nodes of maps that share all the rest with the maps
//! before, so that neither costs more where there are many sessions, and a reader keeps the set that
//! it began with. Whether a session has run out is for each decision to ask.

use std::hash::Hash;
use std::sync::Arc;

use rpds::{HashTrieMapSync, HashTrieSetSync, RedBlackTreeMapSync, RedBlackTreeSetSync};

use crate::id::{AccountId, GroupId, ObjectId, PermissionLevelId, PersonId, SessionId};
use crate::time::Timestamp;

/// A session that has not been ended (P5, P7, P10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSession {
    /// Names it.
    pub id: SessionId,
    /// Who opened it.
    pub person: PersonId,
    /// Where.
    pub computer: ObjectId,
    /// With which permission level; `None` without one.
    pub level: Option<PermissionLevelId>,
    /// The native group that its account was put into. Without a group the session makes its account
    /// a member of nothing.
    pub group: Option<GroupId>,
    /// The account it uses, if it has a level.
    pub account: Option<AccountId>,
    /// When it was opened; it counts from then on.
    pub opened: Timestamp,
    /// When it ends at the latest; it does not count from then on.
    pub not_after: Timestamp,
}

/// An account that was made for a session. It is an actor without an owner, and no fact names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JitAccount {
    /// The account.
    pub id: AccountId,
    /// Whose session it was made for.
    pub person: PersonId,
    /// On which computer.
    pub computer: ObjectId,
    /// Whether it is kept when no session uses it, so that another session may (P7).
    pub kept: bool,
}

/// The sessions that have not been ended, and the accounts made for sessions. Cloning it copies a few
/// pointers.
#[derive(Debug, Clone, Default)]
pub struct OpenSessions {
    by_account: HashTrieMapSync<AccountId, ById>,
    by_computer: HashTrieMapSync<ObjectId, ById>,
    /// The accounts that some session puts into a group.
    by_group: HashTrieMapSync<GroupId, HashTrieSetSync<AccountId>>,
    accounts: HashTrieMapSync<AccountId, Arc<JitAccount>>,
    /// The least of them is the one that is used again.
    kept: HashTrieMapSync<(ObjectId, PersonId), RedBlackTreeSetSync<AccountId>>,
}

/// In the order of the ids, so that what is told of an account is the same each time.
type ById = RedBlackTreeMapSync<SessionId, Arc<OpenSession>>;

// === impl OpenSession ===

impl OpenSession {
    /// Whether its time has come and is not over (P11).
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.opened <= now && now < self.not_after
    }
}

// === impl OpenSessions ===

impl OpenSessions {
    /// These sessions and accounts.
    #[must_use]
    pub fn new(
        sessions: impl IntoIterator<Item = OpenSession>,
        accounts: impl IntoIterator<Item = JitAccount>,
    ) -> Self {
        let mut all = Self::default();
        sessions.into_iter().for_each(|session| all.open(session));
        accounts.into_iter().for_each(|account| all.keep(account));
        all
    }

    /// Adds a session. One with the same id is replaced.
    pub fn open(&mut self, session: OpenSession) {
        let session = Arc::new(session);
        if let (Some(account), Some(group)) = (&session.account, &session.group) {
            let members = self.by_group.get(group).cloned().unwrap_or_default();
            self.by_group.insert_mut(group.clone(), members.insert(account.clone()));
        }
        if let Some(account) = &session.account {
            put(&mut self.by_account, account, &session);
        }
        put(&mut self.by_computer, &session.computer, &session);
    }

    /// Takes a session away; one that is not there is gone already.
    pub fn end(&mut self, session: &OpenSession) {
        take(&mut self.by_computer, &session.computer, &session.id);
        let Some(account) = &session.account else { return };
        take(&mut self.by_account, account, &session.id);
        let Some(group) = &session.group else { return };
        if !self.of_account(account.as_str()).any(|it| it.group.as_ref() == Some(group))
            && let Some(members) = self.by_group.get(group)
        {
            let members = members.remove(account);
            if members.is_empty() {
                self.by_group.remove_mut(group);
            } else {
                self.by_group.insert_mut(group.clone(), members);
            }
        }
    }

    /// Adds an account that was made for a session, or changes whether it is kept.
    pub fn keep(&mut self, account: JitAccount) {
        self.drop_account(&account.id);
        let account = Arc::new(account);
        if account.kept {
            let of = (account.computer.clone(), account.person.clone());
            let kept = self.kept.get(&of).cloned().unwrap_or_default();
            self.kept.insert_mut(of, kept.insert(account.id.clone()));
        }
        self.accounts.insert_mut(account.id.clone(), account);
    }

    /// Takes an account away that was made for a session.
    pub fn drop_account(&mut self, id: &AccountId) {
        if let Some(account) = self.accounts.get(id).cloned() {
            self.accounts.remove_mut(id);
            let of = (account.computer.clone(), account.person.clone());
            if let Some(kept) = self.kept.get(&of) {
                let kept = kept.remove(id);
                if kept.is_empty() {
                    self.kept.remove_mut(&of);
                } else {
                    self.kept.insert_mut(of, kept);
                }
            }
        }
    }

    /// Whether nothing exists besides the policy.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_computer.is_empty() && self.accounts.is_empty()
    }

    /// The sessions on a computer, by id; some may have run out.
    pub fn on_computer(&self, computer: &str) -> impl Iterator<Item = &Arc<OpenSession>> {
        self.by_computer.get(computer).into_iter().flat_map(|sessions| sessions.values())
    }

    /// The sessions that use an account, by id; some may have run out.
    pub fn of_account(&self, account: &str) -> impl Iterator<Item = &Arc<OpenSession>> {
        self.by_account.get(account).into_iter().flat_map(|sessions| sessions.values())
    }

    /// The account of this id, if it was made for a session.
    #[must_use]
    pub fn jit_account(&self, account: &str) -> Option<&JitAccount> {
        self.accounts.get(account).map(AsRef::as_ref)
    }

    /// The kept accounts of a person on a computer, in the order of their names.
    pub(crate) fn kept_for<'s>(
        &'s self,
        computer: &ObjectId,
        person: &PersonId,
    ) -> impl Iterator<Item = &'s AccountId> + use<'s> {
        self.kept.get(&(computer.clone(), person.clone())).into_iter().flat_map(|kept| kept.iter())
    }

    /// The groups that some session puts an account into, with those accounts, in no order.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&GroupId, &HashTrieSetSync<AccountId>)> {
        self.by_group.iter()
    }
}

fn put<K: Clone + Eq + Hash>(
    all: &mut HashTrieMapSync<K, ById>,
    key: &K,
    session: &Arc<OpenSession>,
) {
    let sessions = all.get(key).cloned().unwrap_or_default();
    all.insert_mut(key.clone(), sessions.insert(session.id.clone(), Arc::clone(session)));
}

fn take<K: Clone + Eq + Hash>(all: &mut HashTrieMapSync<K, ById>, key: &K, id: &SessionId) {
    let Some(sessions) = all.get(key) else { return };
    let rest = sessions.remove(id);
    if rest.is_empty() {
        all.remove_mut(key);
    } else {
        all.insert_mut(key.clone(), rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: &str, account: &str, group: &str) -> OpenSession {
        OpenSession {
            id: SessionId::new(id).unwrap(),
            person: PersonId::new("ana").unwrap(),
            computer: ObjectId::new("srv").unwrap(),
            level: Some(PermissionLevelId::new("admin").unwrap()),
            group: Some(GroupId::new(group).unwrap()),
            account: Some(AccountId::new(account).unwrap()),
            opened: Timestamp::from_micros(1),
            not_after: Timestamp::from_micros(9),
        }
    }

    #[test]
    fn what_ends_leaves_no_trace_and_what_was_read_before_stays() {
        let (first, second) = (session("s1", "a", "g"), session("s2", "a", "g"));
        let mut open = OpenSessions::new([first.clone(), second.clone()], []);
        let before = open.clone();
        open.end(&first);
        assert!(!open.is_empty());
        assert_eq!(open.on_computer("srv").count(), 1);
        let members: Vec<_> = open.groups().map(|(_, members)| members.size()).collect();
        assert_eq!(members, [1], "the second session still puts the account into the group");
        open.end(&second);
        open.end(&second);
        assert!(open.is_empty() && open.groups().next().is_none());
        assert_eq!((before.of_account("a").count(), before.on_computer("srv").count()), (2, 2));
    }

    #[test]
    fn a_session_is_open_from_its_first_instant_to_before_its_last() {
        let session = session("s", "a", "g");
        let open = |micros| session.is_open(Timestamp::from_micros(micros));
        assert_eq!([0, 1, 8, 9].map(open), [false, true, true, false]);
    }

    #[test]
    fn a_kept_account_is_kept_until_it_is_dropped() {
        let account = |kept| JitAccount {
            id: AccountId::new("srv/ana_000000000001").unwrap(),
            person: PersonId::new("ana").unwrap(),
            computer: ObjectId::new("srv").unwrap(),
            kept,
        };
        let mut open = OpenSessions::new([], [account(true)]);
        let (computer, person) = (account(true).computer, account(true).person);
        assert_eq!(open.kept_for(&computer, &person).count(), 1);
        open.keep(account(false));
        assert_eq!(open.kept_for(&computer, &person).count(), 0);
        assert!(open.jit_account("srv/ana_000000000001").is_some() && !open.is_empty());
        open.drop_account(&account(true).id);
        assert!(open.is_empty());
    }
}
