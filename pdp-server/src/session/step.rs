//! The steps: each works out what changes, and changes nothing.

use std::sync::Arc;

use pdp_engine::id::{AccountId, GroupId, PermissionLevelId, PersonId, SessionId};
use pdp_engine::psm::COMPUTER;
use pdp_engine::query::{ObjectRef, SubjectRef};
use pdp_engine::session::{
    AccountMode, JitAccount, Obligations, SessionQuestion, check_session, is_listed_member,
    jit_account_id, recheck, stands,
};
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;

use super::book::{Book, Turn};
use super::{
    End, Ended, Happened, MAX_ACCOUNTS, MAX_SESSIONS, MAX_SESSIONS_OF_ACCOUNT, Open, Opened,
    Outcome, Privilege, Renewed, Revocation, RevocationId, RevocationKind, Selection, Session,
    Settled, Settlement, StepError,
};

/// A step in the making.
struct Draft<'a> {
    book: &'a Book,
    snapshot: &'a Snapshot,
    now: Timestamp,
    turn: Turn,
}

// === impl Book ===

impl Book {
    /// Opens a session, if the decision is ALLOW (P1 to P8, P10).
    ///
    /// # Errors
    /// [`StepError`] says what is wrong with the request.
    pub(crate) fn open(
        &self,
        snapshot: &Snapshot,
        request: Open<'_>,
        id: SessionId,
        now: Timestamp,
    ) -> Result<(Opened, Turn), StepError> {
        let Open { key, person, computer, level } = request;
        let question = SessionQuestion {
            subject: SubjectRef::Person(person),
            level,
            computer: ObjectRef { type_name: COMPUTER, id: computer },
            routing: true,
        };
        if let Some(session) = self.by_key(key) {
            let same_level = session.privilege.as_ref().map(|it| it.level.as_str()) == level;
            let same = session.person.as_str() == person && session.computer.as_str() == computer;
            if !same || !same_level {
                return Err(StepError::KeyReused(key.clone()));
            }
            let decided = session.is_open(now).then(|| stands(snapshot, &session.as_open(), now));
            return Ok((Opened::Replayed(Arc::clone(session), decided), Turn::default()));
        }
        let decided = check_session(snapshot, &question, now)?;
        let Some(obligations) = decided.obligations else {
            return Ok((Opened::Denied(decided.decision), Turn::default()));
        };
        if self.unfinished() >= MAX_SESSIONS {
            return Err(StepError::TooMany(self.unfinished()));
        }
        let mut draft = Draft { book: self, snapshot, now, turn: Turn::default() };
        let mut next = self.next;
        let mut session = Session {
            number: next.session,
            id,
            person: PersonId::new(person)?,
            computer: pdp_engine::id::ObjectId::new(computer)?,
            privilege: None,
            opened: now,
            not_after: obligations.not_after,
            ended: None,
            request_key: key.clone(),
            revocations: Vec::new(),
        };
        next.session += 1;
        session.privilege = draft.privilege(&session, level, &obligations, &mut next.account)?;
        draft.turn.next = Some(next);
        let group = session.privilege.as_ref().map(|it| it.group.clone());
        let not_after = session.not_after;
        draft.tell(&session, Happened::Opened { group, not_after });
        if let Some(Privilege { account, group, .. }) = &session.privilege {
            draft.supersede(account, group);
        }
        draft.turn.sessions.push(session.clone());
        Ok((Opened::New(Arc::new(session), decided.decision, obligations), draft.turn))
    }

    /// Renews a session that still stands, and ends one that does not (P12).
    ///
    /// # Errors
    /// [`StepError::UnknownSession`].
    pub(crate) fn renew(
        &self,
        snapshot: &Snapshot,
        id: &str,
        now: Timestamp,
    ) -> Result<(Renewed, Turn), StepError> {
        let mut draft = Draft { book: self, snapshot, now, turn: Turn::default() };
        let session = self.named(id)?;
        if session.ended.is_some() || !session.is_open(now) {
            let session = draft.end(session, End::Expired, "");
            return Ok((Renewed { session, decided: None }, draft.turn));
        }
        let (session, decided) = match recheck(snapshot, &session.as_open(), now) {
            Err(reason) => (draft.end(session, End::Revoked(reason), ""), Err(reason)),
            Ok(not_after) if not_after <= now => {
                let session = draft.end(session, End::Expired, "");
                return Ok((Renewed { session, decided: None }, draft.turn));
            }
            Ok(not_after) => {
                let renewed = Session { not_after, ..Session::clone(session) };
                draft.tell(&renewed, Happened::Renewed { not_after });
                draft.turn.sessions.push(renewed.clone());
                (Arc::new(renewed), Ok(()))
            }
        };
        Ok((Renewed { session, decided: Some(decided) }, draft.turn))
    }

    /// Ends a session; one that has ended stays as it is.
    ///
    /// # Errors
    /// [`StepError::UnknownSession`].
    pub(crate) fn close(
        &self,
        snapshot: &Snapshot,
        id: &str,
        now: Timestamp,
    ) -> Result<(Arc<Session>, Turn), StepError> {
        let mut draft = Draft { book: self, snapshot, now, turn: Turn::default() };
        let session = draft.end(self.named(id)?, End::Closed, "");
        Ok((session, draft.turn))
    }

    /// Ends up to `limit` sessions of a selection; how many there were.
    pub(crate) fn force_end(
        &self,
        snapshot: &Snapshot,
        selection: &Selection,
        note: &str,
        limit: usize,
        now: Timestamp,
    ) -> (usize, Turn) {
        let mut draft = Draft { book: self, snapshot, now, turn: Turn::default() };
        // What has run out is the sweep's: it ended then, and by itself.
        let open = self.not_ended().filter(|session| session.is_open(now));
        let selected = open.filter(|session| selection.selects(session));
        let selected: Vec<_> = selected.take(limit).collect();
        for session in &selected {
            draft.end(session, End::Forced, note);
        }
        (selected.len(), draft.turn)
    }

    /// Ends those of the sessions whose time is over or that do not stand any more (P11, P12).
    pub(crate) fn sweep(&self, snapshot: &Snapshot, ids: &[SessionId], now: Timestamp) -> Turn {
        let mut draft = Draft { book: self, snapshot, now, turn: Turn::default() };
        for session in ids.iter().filter_map(|id| self.by_id(id.as_str())) {
            if let Some(why) = session.falls(snapshot, now) {
                draft.end(session, why, "");
            }
        }
        draft.turn
    }

    /// Ends these sessions: their time is over, or by a clock that was set back it has not come.
    pub(crate) fn expire(&self, snapshot: &Snapshot, ids: &[SessionId], now: Timestamp) -> Turn {
        let mut draft = Draft { book: self, snapshot, now, turn: Turn::default() };
        for session in ids.iter().filter_map(|id| self.by_id(id.as_str())) {
            draft.end(session, End::Expired, "");
        }
        draft.turn
    }

    /// Takes what a broker says of an item of work.
    ///
    /// # Errors
    /// [`StepError::UnknownRevocation`].
    pub(crate) fn acknowledge(
        &self,
        snapshot: &Snapshot,
        id: &RevocationId,
        outcome: Outcome<'_>,
        now: Timestamp,
    ) -> Result<(Arc<Session>, Turn), StepError> {
        let unknown = || StepError::UnknownRevocation(id.to_string());
        let session = self.by_id(id.session.as_str()).ok_or_else(unknown)?;
        let mut draft = Draft { book: self, snapshot, now, turn: Turn::default() };
        let mut changed = Session::clone(session);
        let mut all = changed.revocations.iter_mut();
        let revocation = all.find(|it| it.kind == id.kind).ok_or_else(unknown)?;
        // It is not handed out before it is due: a failure that is told by then was told before.
        let told = matches!(outcome, Outcome::Failed(_)) && !revocation.is_due(now);
        if revocation.settled.is_some() || told {
            return Ok((Arc::clone(session), draft.turn));
        }
        let happened = match outcome {
            Outcome::Done => {
                revocation.settled = Some(Settled { at: now, how: Settlement::Done });
                Happened::RevocationSettled(id.kind, Settlement::Done)
            }
            Outcome::Failed(message) => {
                revocation.fail(message, now);
                Happened::RevocationFailed { kind: id.kind, message: message.to_owned() }
            }
        };
        // The account's name is free once nothing is to be done with it any more.
        if let Some(privilege) = changed.privilege.as_ref().filter(|it| it.delete_account)
            && changed.is_finished()
        {
            draft.turn.accounts.push((privilege.account.clone(), None));
        }
        draft.tell(&changed, happened);
        draft.put(changed.clone());
        Ok((Arc::new(changed), draft.turn))
    }

    fn named(&self, id: &str) -> Result<&Arc<Session>, StepError> {
        self.by_id(id).ok_or_else(|| StepError::UnknownSession(id.to_owned()))
    }
}

// === impl Session ===

impl Session {
    /// Why it has to be ended, if it has: its time is over, or P12 does not hold any more.
    pub(crate) fn falls(&self, snapshot: &Snapshot, now: Timestamp) -> Option<End> {
        if self.ended.is_some() {
            None
        } else if !self.is_open(now) {
            Some(End::Expired)
        } else {
            stands(snapshot, &self.as_open(), now).err().map(End::Revoked)
        }
    }
}

// === impl Draft ===

impl Draft<'_> {
    fn tell(&mut self, session: &Session, happened: Happened) {
        self.turn.events.push((session.person.clone(), session.event(happened)));
    }

    /// A session as it is now, in place of an earlier draft of it.
    fn put(&mut self, session: Session) {
        if session.is_finished() {
            let finished = self.turn.sessions.iter().filter(|it| it.is_finished()).count();
            self.turn.forgotten = self.book.to_forget(finished + 1);
        }
        match self.turn.sessions.iter_mut().find(|it| it.number == session.number) {
            Some(draft) => *draft = session,
            None => self.turn.sessions.push(session),
        }
    }

    /// What a session with a level is about; an account that is made gets the next number (P10).
    fn privilege(
        &mut self,
        session: &Session,
        level: Option<&str>,
        obligations: &Obligations,
        next_account: &mut u64,
    ) -> Result<Option<Privilege>, StepError> {
        let (Some(level), Some(privileged)) = (level, &obligations.privileged) else {
            return Ok(None);
        };
        let (account, jit, reused) = match &privileged.account {
            AccountMode::Existing(account) => (account.clone(), false, false),
            AccountMode::JitReuse(account) => (account.clone(), true, true),
            AccountMode::JitNew => (self.new_account(session, next_account)?, true, false),
        };
        let used = self.book.open_sessions().of_account(account.as_str()).count();
        if used >= MAX_SESSIONS_OF_ACCOUNT {
            return Err(StepError::TooManyOfAccount(account));
        }
        if jit {
            let (person, computer) = (session.person.clone(), session.computer.clone());
            let kept = !privileged.delete_account;
            let made = JitAccount { id: account.clone(), person, computer, kept };
            self.turn.accounts.push((account.clone(), Some(made)));
        }
        Ok(Some(Privilege {
            level: PermissionLevelId::new(level)?,
            group: privileged.group.clone(),
            account,
            jit,
            reused,
            delete_account: jit && privileged.delete_account,
        }))
    }

    fn new_account(&self, session: &Session, next: &mut u64) -> Result<AccountId, StepError> {
        if self.book.accounts() >= MAX_ACCOUNTS {
            return Err(StepError::TooManyAccounts(self.book.accounts()));
        }
        loop {
            let number = *next;
            *next += 1;
            let id = jit_account_id(self.snapshot, &session.computer, &session.person, number)?;
            if let Some(id) = id.filter(|id| self.book.account(id).is_none()) {
                return Ok(id);
            }
        }
    }

    /// Taking the account out of the group is not due while another session needs it there.
    fn supersede(&mut self, account: &AccountId, group: &GroupId) {
        let Some(session) = self.book.removal(account, group) else { return };
        let mut session = Session::clone(session);
        let (kind, how) = (RevocationKind::RemoveFromGroup, Settlement::Superseded);
        for revocation in session.revocations.iter_mut().filter(|it| it.kind == kind) {
            revocation.settled = Some(Settled { at: self.now, how });
        }
        self.tell(&session, Happened::RevocationSettled(kind, how));
        self.put(session);
    }

    /// Ends a session, and makes due what its end makes due. A session whose time is over ended then,
    /// whoever ends it now (P11).
    fn end(&mut self, session: &Arc<Session>, why: End, note: &str) -> Arc<Session> {
        if session.ended.is_some() {
            return Arc::clone(session);
        }
        let ended = match session.ended_by(self.now) {
            Some(expired) => expired,
            None => Ended { at: self.now, why },
        };
        let mut session = Session::clone(session);
        session.ended = Some(ended);
        let note = if ended.why == End::Forced { note.to_owned() } else { String::new() };
        self.tell(&session, Happened::Ended { at: ended.at, why: ended.why, note });
        for kind in self.due(&session) {
            session.revocations.push(Revocation::new(kind, ended.at));
            self.tell(&session, Happened::RevocationDue(kind));
        }
        self.put(session.clone());
        Arc::new(session)
    }

    /// The work that the end of a session makes due (P7).
    fn due(&self, session: &Session) -> Vec<RevocationKind> {
        let Some(privilege) = &session.privilege else { return Vec::new() };
        let Privilege { group, account, delete_account, .. } = privilege;
        let mut due = Vec::new();
        if !self.is_needed(session.number, account, group)
            && !is_listed_member(self.snapshot, account, group, self.now, true)
        {
            due.push(RevocationKind::RemoveFromGroup);
        }
        if *delete_account {
            due.push(RevocationKind::DeleteAccount);
        }
        due
    }

    /// Whether another session needs the account in the group, or taking it out is due already.
    fn is_needed(&self, number: u64, account: &AccountId, group: &GroupId) -> bool {
        let drafted = |number: u64| self.turn.sessions.iter().find(|it| it.number == number);
        let sessions = self.book.open_sessions();
        let open = sessions.of_account(account.as_str()).filter_map(|open| {
            let of_group = open.group.as_ref() == Some(group) && open.is_open(self.now);
            self.book.by_id(open.id.as_str()).filter(|_| of_group)
        });
        let mut others = open.map(|other| drafted(other.number).unwrap_or(other));
        let is_due = |session: &Session| {
            let of_pair = |it: &Privilege| it.account == *account && it.group == *group;
            session.has_to_leave() && session.privilege.as_ref().is_some_and(of_pair)
        };
        others.any(|other| other.number != number && other.ended.is_none())
            || self.turn.sessions.iter().any(is_due)
            || self.book.removal(account, group).is_some_and(|it| drafted(it.number).is_none())
    }
}
