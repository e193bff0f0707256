//! What a tenant's sessions should be after some steps, decided straight from the rules P1 to P12 by
//! looking at everything. It shares only plain data with the server.

use std::collections::{BTreeMap, BTreeSet};

use pdp_engine::id::{AccountId, GroupId, ObjectId, PersonId, SessionId};
use pdp_engine::psm::{EligibilityKind, LOCAL_WINDOWS_SERVER, Psm};
use pdp_engine::query::{Effect, Reason};
use pdp_engine::time::Timestamp;

use super::Out;
use crate::session::sample::{IN_THE_WAY, SECOND, World, at, level};
use crate::session::{
    End, Ended, Happened, Privilege, RequestKey, Revocation, RevocationKind, Session, SessionEvent,
    Settled, Settlement,
};

#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) world: World,
    pub(super) sessions: BTreeMap<u64, Session>,
    /// The accounts that were made and not deleted: whose, where, and whether they are kept.
    pub(super) made: BTreeMap<String, (String, String, bool)>,
    next: (u64, u64),
    /// What the audit says.
    pub(super) told: Vec<(PersonId, SessionEvent)>,
    /// The instant of the audit's last record.
    seen: Timestamp,
    pub(super) revision: u64,
    /// Sessions whose end could not be stored: they have ended for decisions.
    pub(super) void: BTreeSet<u64>,
}

impl Model {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            world: World::open(),
            sessions: BTreeMap::new(),
            made: BTreeMap::new(),
            next: (1, 1),
            told: Vec::new(),
            seen: now,
            revision: 1,
            void: BTreeSet::new(),
        }
    }

    fn tell(&mut self, session: &Session, what: Happened, now: Timestamp) {
        let event = SessionEvent {
            session: session.id.clone(),
            computer: session.computer.clone(),
            level: session.privilege.as_ref().map(|it| it.level.clone()),
            account: session.privilege.as_ref().map(|it| it.account.clone()),
            what,
        };
        self.told.push((session.person.clone(), event));
        self.wrote(now);
    }

    fn wrote(&mut self, now: Timestamp) {
        self.seen = self.seen.max(now);
    }

    // === decisions ===

    fn settings(&self, person: &str, computer: &str) -> Result<&Psm, Reason> {
        if self.world.disabled.contains(person) {
            return Err(Reason::SubjectDisabled);
        }
        let settings = self.world.computers.get(computer).ok_or(Reason::UnknownResource)?;
        if settings.enabled { Ok(settings) } else { Err(Reason::PsmDisabled) }
    }

    fn has_jit(settings: &Psm) -> bool {
        settings.jit.enabled && settings.account_store.as_deref() == Some(LOCAL_WINDOWS_SERVER)
    }

    fn own(&self, person: &str, computer: &str) -> Option<&'static str> {
        let mut own = self.world.owners.iter().filter(|(_, owner)| **owner == Some(person));
        own.next().map(|(account, _)| *account).filter(|_| computer == "c0")
    }

    /// P2 to P6, or P8; `full` is what P5 says.
    fn judge(
        &self,
        (person, computer): (&str, &str),
        of: Option<&str>,
        t: Timestamp,
        full: bool,
    ) -> Result<Option<GroupId>, Reason> {
        let settings = self.settings(person, computer)?;
        let Some(of) = of else {
            return match (settings.allow_unprivileged, full) {
                (false, _) => Err(Reason::UnprivilegedNotAllowed),
                (true, true) => Err(Reason::SessionLimit),
                (true, false) => Ok(None),
            };
        };
        let group = settings.levels.get(&level(of)).ok_or(Reason::LevelNotOffered)?;
        let group = group.clone().ok_or(Reason::LevelNotMapped)?;
        let holds = |kinds: &[EligibilityKind]| {
            self.world.grants.iter().any(|((p, l, c, kind), until)| {
                (*p, *l, *c) == (person, of, computer)
                    && kinds.contains(kind)
                    && until.is_none_or(|until| t < until)
            })
        };
        use EligibilityKind::{Approved, Eligible, Excluded, PreApproved, Suggested};
        if holds(&[Excluded]) {
            return Err(Reason::Excluded);
        }
        if !holds(&[Eligible, Suggested, PreApproved]) {
            return Err(Reason::NotEligible);
        }
        if !Self::has_jit(settings) && self.own(person, computer).is_none() {
            return Err(Reason::NoAccount);
        }
        if full {
            return Err(Reason::SessionLimit);
        }
        if holds(&[PreApproved, Approved]) { Ok(Some(group)) } else { Err(Reason::NeedsApproval) }
    }

    pub(super) fn open_on(&self, computer: &str, t: Timestamp) -> usize {
        let open = |it: &&Session| it.computer.as_str() == computer && is_open(it, t);
        self.sessions.values().filter(open).count()
    }

    fn is_full(&self, computer: &str, t: Timestamp) -> bool {
        let limit = self.world.computers.get(computer).map_or(0, |it| it.max_concurrent as usize);
        limit > 0 && self.open_on(computer, t) >= limit
    }

    /// P12.
    fn stands(&self, session: &Session, t: Timestamp) -> Result<(), Reason> {
        let (person, computer) = (session.person.as_str(), session.computer.as_str());
        let Some(privilege) = &session.privilege else {
            return self.judge((person, computer), None, t, false).map(|_| ());
        };
        let of = privilege.level.as_str();
        let judged = self.judge((person, computer), Some(of), t, false);
        // What is found of the level and of who is eligible comes first, approval comes last.
        if !matches!(judged, Ok(_) | Err(Reason::NoAccount | Reason::NeedsApproval)) {
            return judged.map(|_| ());
        }
        let settings = self.settings(person, computer)?;
        if settings.levels.get(&privilege.level) != Some(&Some(privilege.group.clone())) {
            return Err(Reason::LevelNotMapped);
        }
        let account = privilege.account.as_str();
        let still_theirs = match self.world.owners.get(account) {
            Some(owner) => *owner == Some(person) && computer == "c0",
            None => self.made.contains_key(account),
        };
        if judged != Err(Reason::NoAccount) && !still_theirs {
            return Err(Reason::NoAccount);
        }
        judged.map(|_| ())
    }

    /// The first instant at which the passing of time makes it fail, or `longest`.
    fn until(
        &self,
        (now, longest): (Timestamp, Timestamp),
        fails: impl Fn(Timestamp) -> bool,
    ) -> Timestamp {
        let ends = self.world.grants.values().filter_map(|until| *until);
        let begins = self.sessions.values().map(|session| session.opened);
        let mut instants: Vec<_> =
            ends.chain(begins).filter(|t| now < *t && *t < longest).collect();
        instants.sort();
        instants.into_iter().find(|t| fails(*t)).unwrap_or(longest)
    }

    /// Whether an account counts as a member of a group.
    pub(super) fn is_member(&self, account: &str, group: &str, t: Timestamp) -> bool {
        let known = match self.world.owners.get(account) {
            Some(owner) => owner.is_none_or(|owner| !self.world.disabled.contains(owner)),
            None => self.made.contains_key(account),
        };
        let by_session = |session: &Session| {
            let of = session.privilege.as_ref();
            of.is_some_and(|it| it.account.as_str() == account && it.group.as_str() == group)
                && is_open(session, t)
                && !self.void.contains(&session.number)
                && self.stands(session, t).is_ok()
        };
        let listed = self.world.listed.iter().any(|(a, g)| (*a, *g) == (account, group));
        known && (listed || self.sessions.values().any(by_session))
    }

    /// Whether the policy itself makes a session's account a member of the group.
    pub(super) fn lists(&self, session: &Session) -> bool {
        let pair = session.privilege.as_ref().map(|it| (it.account.as_str(), it.group.as_str()));
        self.world.listed.iter().any(|listed| Some(*listed) == pair)
    }

    // === steps ===

    pub(super) fn open(
        &mut self,
        key: &str,
        (person, computer): (&str, &str),
        of: Option<&str>,
        id: &SessionId,
        now: Timestamp,
    ) -> Out {
        if let Some(known) = self.sessions.values().find(|it| it.request_key.as_str() == key) {
            let same = known.privilege.as_ref().map(|it| it.level.as_str()) == of
                && (known.person.as_str(), known.computer.as_str()) == (person, computer);
            return if same { Out::Replayed(known.clone()) } else { Out::KeyReused };
        }
        let group = match self.judge((person, computer), of, now, self.is_full(computer, now)) {
            Err(Reason::NeedsApproval) => {
                return Out::Denied(Effect::RequiresApproval, Reason::NeedsApproval);
            }
            Err(reason) => return Out::Denied(Effect::Deny, reason),
            Ok(group) => group,
        };
        let settings = self.world.computers[computer].clone();
        let longest = at(now.as_micros() + settings.max_session_micros);
        let not_after = match of {
            None => longest,
            Some(_) => self.until((now, longest), |t| {
                self.judge((person, computer), of, t, self.is_full(computer, t)).is_err()
            }),
        };
        let made = self.next.1;
        let privilege = group.map(|group| {
            let jit = Self::has_jit(&settings);
            let account = match jit {
                false => self.own(person, computer).unwrap().to_owned(),
                true => self.account_for(person, computer, &settings, now),
            };
            let delete_account = jit && settings.jit.delete_on_end;
            let reused = jit && self.next.1 == made;
            if jit {
                let made = (person.to_owned(), computer.to_owned(), !delete_account);
                self.made.insert(account.clone(), made);
            }
            let account = AccountId::new(account).unwrap();
            let level = level(of.unwrap());
            Privilege { level, group, account, jit, reused, delete_account }
        });
        let session = Session {
            number: self.next.0,
            id: id.clone(),
            person: PersonId::new(person).unwrap(),
            computer: ObjectId::new(computer).unwrap(),
            privilege,
            opened: now,
            not_after,
            ended: None,
            request_key: RequestKey::new(key).unwrap(),
            revocations: Vec::new(),
        };
        self.next.0 += 1;
        let group = session.privilege.as_ref().map(|it| it.group.clone());
        self.tell(&session, Happened::Opened { group, not_after }, now);
        self.supersede(&session, now);
        self.sessions.insert(session.number, session.clone());
        Out::Opened(session)
    }

    /// P7 and P10: a kept account that nobody uses, or a new one.
    fn account_for(&mut self, person: &str, computer: &str, of: &Psm, now: Timestamp) -> String {
        let login = if person == "p0" { "lana" } else { person };
        let used = |account: &str| {
            let uses = |it: &Privilege| it.account.as_str() == account;
            let mut open = self.sessions.values().filter(|it| is_open(it, now));
            open.any(|it| it.privilege.as_ref().is_some_and(uses))
        };
        let mut kept = self.made.iter().filter(|(account, (p, c, kept))| {
            *kept && (p.as_str(), c.as_str()) == (person, computer) && !used(account)
        });
        if of.jit.reuse_existing
            && !of.jit.delete_on_end
            && let Some((account, _)) = kept.next()
        {
            return account.clone();
        }
        loop {
            let account = format!("{computer}/{login}_{:012}", self.next.1);
            self.next.1 += 1;
            if account != IN_THE_WAY {
                return account;
            }
        }
    }

    fn supersede(&mut self, by: &Session, now: Timestamp) {
        for number in self.sessions.keys().copied().collect::<Vec<_>>() {
            let session = self.sessions.get_mut(&number).unwrap();
            if !same_pair(session, by) {
                continue;
            }
            let Some(work) = session.revocations.iter_mut().find(|it| is_removal_due(it)) else {
                continue;
            };
            let how = Settlement::Superseded;
            work.settled = Some(Settled { at: now, how });
            let session = session.clone();
            let what = Happened::RevocationSettled(RevocationKind::RemoveFromGroup, how);
            self.tell(&session, what, now);
        }
    }

    pub(super) fn renew(&mut self, number: u64, now: Timestamp) -> Out {
        let session = self.sessions[&number].clone();
        if session.ended.is_some() || session.not_after <= now {
            return Out::Renewed(self.end(number, End::Expired, "", now), None);
        }
        if let Err(reason) = self.stands(&session, now) {
            let ended = self.end(number, End::Revoked(reason), "", now);
            return Out::Renewed(ended, Some(Err(reason)));
        }
        let longest = self.world.computers[session.computer.as_str()].max_session_micros;
        let longest = at(session.opened.as_micros() + longest);
        let not_after = match session.privilege {
            None => longest,
            Some(_) => self.until((now, longest), |t| self.stands(&session, t).is_err()),
        };
        if not_after <= now {
            return Out::Renewed(self.end(number, End::Expired, "", now), None);
        }
        let renewed = Session { not_after, ..session };
        self.tell(&renewed, Happened::Renewed { not_after }, now);
        self.sessions.insert(number, renewed.clone());
        Out::Renewed(renewed, Some(Ok(())))
    }

    /// P11: whatever ends it, it ended when its time was over, if it was.
    pub(super) fn end(&mut self, number: u64, why: End, note: &str, now: Timestamp) -> Session {
        let mut session = self.sessions[&number].clone();
        if session.ended.is_some() {
            return session;
        }
        let ended = match session.not_after <= now {
            true => Ended { at: session.not_after, why: End::Expired },
            false => Ended { at: now, why },
        };
        session.ended = Some(ended);
        self.sessions.insert(number, session.clone());
        let note = if ended.why == End::Forced { note } else { "" }.to_owned();
        self.tell(&session, Happened::Ended { at: ended.at, why: ended.why, note }, now);
        let mut due = Vec::new();
        if let Some(privilege) = &session.privilege {
            let needed = |it: &Session| {
                same_pair(it, &session)
                    && (is_open(it, now) || it.revocations.iter().any(is_removal_due))
            };
            if !self.lists(&session) && !self.sessions.values().any(needed) {
                due.push(RevocationKind::RemoveFromGroup);
            }
            if privilege.delete_account {
                due.push(RevocationKind::DeleteAccount);
            }
        }
        for kind in due {
            session.revocations.push(Revocation {
                kind,
                due: ended.at,
                failures: 0,
                last_failure: String::new(),
                not_before: None,
                settled: None,
            });
            self.tell(&session, Happened::RevocationDue(kind), now);
        }
        self.sessions.insert(number, session.clone());
        session
    }

    /// Ends what has run out or does not stand; how much that was.
    pub(super) fn sweep(&mut self, now: Timestamp) -> usize {
        let mut ended = 0;
        for number in self.sessions.keys().copied().collect::<Vec<_>>() {
            let session = self.sessions[&number].clone();
            let why = match self.stands(&session, now) {
                _ if session.ended.is_some() => continue,
                _ if session.not_after <= now => End::Expired,
                Err(reason) => End::Revoked(reason),
                Ok(()) => continue,
            };
            self.end(number, why, "", now);
            ended += 1;
        }
        ended
    }

    pub(super) fn force(
        &mut self,
        (person, computer, of): (Option<&str>, Option<&str>, Option<&str>),
        now: Timestamp,
    ) -> Out {
        let mut ended = 0;
        for number in self.sessions.keys().copied().collect::<Vec<_>>() {
            let session = &self.sessions[&number];
            let of_level = session.privilege.as_ref().map(|it| it.level.as_str());
            if is_open(session, now)
                && person.is_none_or(|it| it == session.person.as_str())
                && computer.is_none_or(|it| it == session.computer.as_str())
                && (of.is_none() || of == of_level)
            {
                self.end(number, End::Forced, "forced", now);
                ended += 1;
            }
        }
        Out::Ended(ended)
    }

    pub(super) fn acknowledge(
        &mut self,
        number: u64,
        kind: RevocationKind,
        failure: Option<&str>,
        now: Timestamp,
    ) -> Out {
        let session = self.sessions.get_mut(&number).unwrap();
        let Some(work) = session.revocations.iter_mut().find(|it| it.kind == kind) else {
            return Out::Unknown;
        };
        // A failure that is told before the work is handed out again was told before.
        if work.settled.is_some() || (failure.is_some() && is_put_off(work, now)) {
            return Out::Acknowledged(session.clone());
        }
        let what = match failure {
            None => {
                work.settled = Some(Settled { at: now, how: Settlement::Done });
                Happened::RevocationSettled(kind, Settlement::Done)
            }
            Some(message) => {
                let wait = (SECOND << work.failures.min(20)).min(300 * SECOND);
                work.failures += 1;
                work.last_failure = message.to_owned();
                work.not_before = Some(at(now.as_micros() + wait));
                Happened::RevocationFailed { kind, message: message.to_owned() }
            }
        };
        let session = session.clone();
        let privilege = session.privilege.as_ref().unwrap();
        if privilege.delete_account && session.revocations.iter().all(|it| it.settled.is_some()) {
            self.made.remove(privilege.account.as_str());
        }
        self.tell(&session, what, now);
        Out::Acknowledged(session)
    }

    pub(super) fn change(&mut self, world: World, now: Timestamp) -> Out {
        let changed = !world.changes(&self.world).is_empty();
        self.world = world;
        if changed {
            self.revision += 1;
            self.wrote(now);
        }
        Out::Applied(changed)
    }

    /// A restart: what has run out by then is void, and so is what the clock, set back, says was not
    /// opened yet.
    pub(super) fn restart(&mut self, now: Timestamp) {
        let latest = self.seen.max(now);
        for number in self.sessions.keys().copied().collect::<Vec<_>>() {
            let session = &self.sessions[&number];
            if session.ended.is_none() && (session.not_after <= latest || now < session.opened) {
                self.end(number, End::Expired, "", latest);
            }
        }
    }
}

fn is_open(session: &Session, t: Timestamp) -> bool {
    session.ended.is_none() && session.opened <= t && t < session.not_after
}

fn is_removal_due(work: &Revocation) -> bool {
    work.kind == RevocationKind::RemoveFromGroup && work.settled.is_none()
}

/// Whether work that failed waits: five minutes at most, whatever the clock said when it failed.
pub(super) fn is_put_off(work: &Revocation, now: Timestamp) -> bool {
    let left = work.not_before.map_or(0, |it| it.as_micros() - now.as_micros());
    0 < left && left <= 300 * SECOND
}

/// Whether two sessions put the same account into the same group.
fn same_pair(one: &Session, other: &Session) -> bool {
    let pair =
        |it: &Session| it.privilege.as_ref().map(|it| (it.account.clone(), it.group.clone()));
    pair(one).is_some() && pair(one) == pair(other)
}
