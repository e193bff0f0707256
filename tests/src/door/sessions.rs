//! The sessions of case files, opened on a server.
//!
//! A server knows the sessions that it opened itself, when it opened them. So the clock goes from one
//! `opened` of a file to the next, and each session is asked for under a policy that gives it what the
//! file says it has: the file's own policy but for the few facts that this takes. What was changed is
//! changed back before anything of the file is asked.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use pdp_bundle::case::{CaseFile, CaseSession, Check};
use pdp_bundle::question::AnyQuestion;
use pdp_client::engine::change_to_wire;
use pdp_client::{ChangeSet, Error, OpenRequest, Privileges};
use pdp_engine::actor::ActorRef;
use pdp_engine::facts::{Change, Fact, FactKey, Facts};
use pdp_engine::id::{GroupId, PermissionLevelId, PersonId};
use pdp_engine::psm::{
    Eligibility, EligibilityKey, EligibilityKind, EligibilityScope, Jit, LOCAL_WINDOWS_SERVER, Psm,
};
use pdp_engine::time::{Timestamp, Window};

use super::{Door, Server};
use crate::oracle::{Existing, Oracle};

/// Why a server cannot be asked a check that stands beside sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unservable {
    /// The file has a session that was opened after the evaluation time. A server opens none ahead of
    /// its clock, and ends those that it finds ahead of a clock that was set back.
    NotBegun,
    /// The policy lists an account that was made for a session. A server refuses to list it.
    Listed,
    /// The answer depends on whether a session that does not stand any more (P12) has been ended, by its
    /// place (P5) or its account (P7). The server's sweep does that when it comes to it.
    UntilSwept,
}

/// What keeps a server from being asked a check of a file; `None` if nothing does.
///
/// # Panics
/// If the file's policy is not valid.
#[must_use]
pub fn unservable(case: &CaseFile, now: Timestamp, check: &Check) -> Option<Unservable> {
    if case.open_sessions.iter().any(|session| session.opened > now) {
        return Some(Unservable::NotBegun);
    }
    let facts = policy(case);
    let mut made =
        case.open_sessions.iter().filter(|it| it.jit).filter_map(|it| it.account.as_ref());
    if made.any(|account| facts.account(account).is_some()) {
        return Some(Unservable::Listed);
    }
    let AnyQuestion::Session(question) = &check.question else { return None };
    let sessions = case.sessions_at(&facts, now);
    let existing = Existing { sessions: sessions.sessions, accounts: sessions.accounts };
    let oracle = Oracle::new(&facts, now).beside(&existing);
    let computer = question.as_question().computer.id;
    let psm = facts.psm().find(|psm| psm.computer.as_str() == computer)?;
    let counts = psm.max_concurrent > 0 || psm.jit.reuse_existing;
    let there = |it: &&pdp_engine::session::OpenSession| it.computer.as_str() == computer;
    let mut there = existing.sessions.iter().filter(there);
    let void = there.any(|session| oracle.is_open(session) && oracle.fate(session).is_err());
    (counts && void).then_some(Unservable::UntilSwept)
}

// === impl Server ===

impl Server {
    /// A new tenant with the policy of a file and its sessions, at the evaluation time.
    ///
    /// # Errors
    /// What the server says to a change set.
    ///
    /// # Panics
    /// If a session does not come out as the file has it.
    pub fn case(&self, tenant: &str, case: &CaseFile, now: Timestamp) -> Result<Door<'_>, Error> {
        let sessions = in_order(&case.open_sessions);
        let first = sessions.first().map_or(now, |session| session.opened);
        self.set_clock(first);
        let mut door = self.tenant(tenant, &case.bundle.changes())?;
        if sessions.is_empty() {
            return Ok(door);
        }
        let facts = policy(case);
        let mut current = facts.clone();
        for n in 1..=sessions.len() {
            let session = sessions[n - 1];
            let earlier = earlier(&facts, &sessions[..n]);
            // First the clock: what has run out by then need not stand under the next policy.
            self.set_clock(session.opened);
            door.change(&changes(&current, &earlier))?;
            current = earlier;
            door.open(session, group(&facts, session));
        }
        self.set_clock(now);
        let opened = door.client.sessions();
        for session in sessions {
            let told = opened.get_by_key(session.id.as_str());
            let told = self.runtime.block_on(told).unwrap();
            assert_eq!(told.is_open(), now < session.not_after, "{}: {told:?}", case.source);
        }
        door.change(&changes(&current, &facts))?;
        assert_eq!(door.export(), facts, "{}: the policy is the file's again", case.source);
        Ok(door)
    }
}

// === impl Door ===

impl Door<'_> {
    fn change(&mut self, changes: &[Change]) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        let set = ChangeSet::new(changes.iter().map(change_to_wire).collect());
        let revision = self.runtime.block_on(self.client.apply(set))?.revision;
        self.client = self.client.at_least(revision);
        Ok(())
    }

    /// Opens a session of a file, which must be as the file has it.
    fn open(&self, session: &CaseSession, group: Option<GroupId>) {
        let CaseSession { id, person, computer, level, account, jit, opened, not_after, .. } =
            session;
        let mut request = OpenRequest::new(id.as_str(), person.as_str(), computer.as_str());
        if let Some(level) = level {
            request = request.level(level.as_str());
        }
        let sessions = self.client.sessions();
        let answer = self.runtime.block_on(sessions.open(&request)).unwrap();
        let Some(told) = answer.open() else { panic!("{id} is not opened: {answer:?}") };
        let gives = told.privileges.as_ref().map(|it| {
            let Privileges { level, group, account, jit, .. } = it;
            (level.as_str(), group.as_str(), account.as_str(), *jit)
        });
        let expected = level.as_ref().zip(group.as_ref()).zip(account.as_ref()).map(
            |((level, group), account)| (level.as_str(), group.as_str(), account.as_str(), *jit),
        );
        assert_eq!(gives, expected, "what {id} gives");
        let times = (moment(told.opened), moment(told.not_after));
        assert_eq!(times, (*opened, *not_after), "when {id} is open");
    }
}

/// The file's policy.
fn policy(case: &CaseFile) -> Facts {
    let mut facts = Facts::default();
    facts.apply(&case.bundle.changes()).unwrap();
    facts
}

/// The order in which sessions are opened: by time. Of those opened at once, the ones with accounts of
/// the policy come first, and among them the greatest account: each has to be the least of those that its
/// person has by then (P7), and none may be taken away from a session that is open.
fn in_order(sessions: &[CaseSession]) -> Vec<&CaseSession> {
    let mut sessions: Vec<_> = sessions.iter().collect();
    sessions
        .sort_by_key(|it| (it.opened, it.jit, Reverse(it.account.as_ref().filter(|_| !it.jit))));
    sessions
}

/// The native group that a session was opened on.
fn group(facts: &Facts, session: &CaseSession) -> Option<GroupId> {
    let mapped = || {
        let psm = facts.psm_of(&session.computer)?;
        psm.levels.get(session.level.as_ref()?)?.clone()
    };
    session.group.clone().or_else(mapped)
}

/// The policy under which the last of these sessions is opened as the file has it, and all before it stand.
fn earlier(facts: &Facts, opened: &[&CaseSession]) -> Facts {
    let mut edits = Vec::new();
    for it in facts.eligibilities().filter(|it| it.key.kind == EligibilityKind::Excluded) {
        edits.push(delete(FactKey::Eligibility(it.key.clone())));
    }
    accounts(facts, opened, &mut edits);
    for session in opened {
        edits.push(put(Fact::Person(Arc::new(person(facts, opened, &session.person)))));
        edits.push(put(Fact::Psm(Arc::new(settings(facts, opened, session)))));
        if let Some(level) = session.level.clone() {
            let key = EligibilityKey {
                to: ActorRef::Person(session.person.clone()),
                level,
                scope: EligibilityScope::On(session.computer.clone()),
                kind: EligibilityKind::PreApproved,
            };
            let eligibility = Eligibility { key, window: Window::ALWAYS };
            edits.push(put(Fact::Eligibility(Arc::new(eligibility))));
        }
    }
    let mut earlier = facts.clone();
    earlier.apply(&edits).unwrap();
    earlier
}

/// The accounts of sessions are their persons', and no other is where one of these would be taken.
fn accounts(facts: &Facts, opened: &[&CaseSession], edits: &mut Vec<Change>) {
    for account in facts.accounts() {
        let mut theirs = opened.iter().filter(|it| it.account.as_ref() == Some(&account.id));
        let mut own = opened.iter().filter(|it| it.account.is_some() && !it.jit);
        let mut account = account.clone();
        if let Some(session) = theirs.next() {
            account.owner = Some(session.person.clone());
            account.computer = Some(session.computer.clone());
            account.enabled = true;
        } else if own.any(|it| {
            account.owner.as_ref() == Some(&it.person)
                && account.computer.as_ref() == Some(&it.computer)
        }) {
            account.enabled = false;
        }
        edits.push(put(Fact::Account(Arc::new(account))));
    }
}

/// A person of a session is enabled, and has the login that the last account made for them is named after.
fn person(facts: &Facts, opened: &[&CaseSession], id: &PersonId) -> pdp_engine::actor::Person {
    let mut person = facts.person(id).unwrap().clone();
    person.enabled = true;
    let made = opened.iter().rev().filter(|it| it.jit && it.person == *id);
    let login = made.filter_map(|it| {
        let name = it.account.as_ref()?.as_str().strip_prefix(it.computer.as_str())?;
        Some(name.strip_prefix('/')?.rsplit_once('_')?.0)
    });
    match login.into_iter().next() {
        Some(login) if login != person.login.as_deref().unwrap_or(id.as_str()) => {
            person.login = Some(login.to_owned());
        }
        _ => {}
    }
    person
}

/// The settings of a session's computer when the last of its sessions is opened.
fn settings(facts: &Facts, opened: &[&CaseSession], session: &CaseSession) -> Psm {
    let there: Vec<_> = opened.iter().filter(|it| it.computer == session.computer).collect();
    let (last, before) = there.split_last().unwrap();
    let mut levels: BTreeMap<PermissionLevelId, Option<GroupId>> = BTreeMap::new();
    for it in &there {
        let Some(level) = it.level.clone() else { continue };
        let group = group(facts, it);
        let same = levels.insert(level, group.clone()).is_none_or(|other| other == group);
        assert!(same, "{}: its level was mapped to another group while one was open", it.id);
    }
    // A session without a level leaves accounts as they are.
    let with_level = there.iter().rev().find(|it| it.level.is_some());
    let made = with_level.is_some_and(|it| it.jit);
    let needed = before.iter().any(|it| it.jit && last.opened < it.not_after);
    assert!(made || !needed, "{}: accounts are not made while one is in use", last.id);
    Psm {
        computer: session.computer.clone(),
        enabled: true,
        allow_unprivileged: true,
        account_store: Some(LOCAL_WINDOWS_SERVER.to_owned()),
        max_session_micros: last.not_after.as_micros() - last.opened.as_micros(),
        max_concurrent: 0,
        jit: Jit {
            enabled: made,
            // Accounts of case files are kept.
            delete_on_end: false,
            reuse_existing: before.iter().any(|it| it.account == last.account),
        },
        levels,
    }
}

/// What leads from one policy to another.
fn changes(from: &Facts, to: &Facts) -> Vec<Change> {
    let gone = from.iter().map(|fact| fact.key()).filter(|key| to.get(key).is_none()).map(delete);
    let other = to.iter().filter(|fact| from.get(&fact.key()).as_ref() != Some(fact)).map(put);
    gone.chain(other).collect()
}

const fn put(fact: Fact) -> Change {
    Change::Put(fact)
}

const fn delete(key: FactKey) -> Change {
    Change::Delete { key, cascade: false }
}

/// An instant of the client, which is no earlier than 1970 here.
fn moment(at: SystemTime) -> Timestamp {
    let since = at.duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
}
