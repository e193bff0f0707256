//! What exists besides a world's policy (semantics, section 7): sessions that somebody opened at some
//! time, many of which the policy would not have opened as it is now, and the accounts made for them.

use std::fmt;

use pdp_engine::actor::ActorRef;
use pdp_engine::facts::Facts;
use pdp_engine::id::{AccountId, ObjectId, PersonId, SessionId};
use pdp_engine::psm::{Eligibility, EligibilityKind, EligibilityScope, Psm};
use pdp_engine::session::{JitAccount, OpenSession, OpenSessions};
use pdp_engine::time::Timestamp;

use super::question::{Prober, rotated};
use super::{Genome, NOON, OwnedSession, Reader, at};
use crate::oracle::Existing;

/// Distances from [`NOON`] in microseconds at which sessions were opened.
const OPENED: [i64; 8] = [-10, -10, -1, -1, 0, 0, 1, 10];

/// How long they last at most, in microseconds.
const LASTS: [i64; 7] = [1, 1, 10, 11, 20, i64::MAX, i64::MAX];

// === impl Existing ===

impl Existing {
    /// As a snapshot takes it.
    #[must_use]
    pub fn open(&self) -> OpenSessions {
        OpenSessions::new(self.sessions.iter().cloned(), self.accounts.iter().cloned())
    }

    /// Every account that a session uses or that was made for one, each once.
    #[must_use]
    pub fn all_accounts(&self) -> Vec<AccountId> {
        let used = self.sessions.iter().filter_map(|session| session.account.clone());
        let mut ids: Vec<AccountId> =
            used.chain(self.accounts.iter().map(|it| it.id.clone())).collect();
        ids.sort();
        ids.dedup();
        ids
    }

    /// Adds an account, unless there is one of that name.
    fn make(&mut self, account: JitAccount) {
        if self.accounts.iter().all(|it| it.id != account.id) {
            self.accounts.push(account);
        }
    }
}

impl fmt::Display for Existing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#?}")
    }
}

/// What exists besides the genome's policy.
pub(super) fn existing(genome: &Genome, facts: &Facts) -> Existing {
    let (nothing, mut found) = (Existing::default(), Existing::default());
    let mut prober = Prober::new(facts, &nothing);
    for (n, gene) in genome.open.iter().enumerate() {
        let id = SessionId::new(format!("s{n}")).unwrap();
        if let Some(session) = prober.opened(id, &mut Reader::new(gene), &mut found) {
            found.sessions.push(session);
        }
    }
    found
}

// === impl Prober ===

impl Prober<'_> {
    /// A session of somebody who is, or once was, eligible for it.
    fn opened(
        &mut self,
        id: SessionId,
        reader: &mut Reader<'_>,
        found: &mut Existing,
    ) -> Option<OpenSession> {
        let facts = self.facts;
        let eligibilities: Vec<&Eligibility> = facts.eligibilities().collect();
        let agreed = |it: &&Eligibility| {
            matches!(it.key.kind, EligibilityKind::PreApproved | EligibilityKind::Approved)
        };
        let agreed: Vec<&Eligibility> = eligibilities.iter().copied().filter(agreed).collect();
        let settled = reader.chance(210) && !agreed.is_empty();
        let aim = reader.of(if settled { &agreed } else { &eligibilities })?;
        let computers: Vec<&Psm> = facts.psm().collect();
        let any = reader.of(&computers)?;
        let psm = match &aim.key.scope {
            EligibilityScope::On(id) => computers.into_iter().find(|psm| psm.computer == *id),
            EligibilityScope::In(_) => None,
        };
        let psm = psm.unwrap_or(any);
        let person = self.person(&aim.key.to, reader)?;
        let opened = reader.of(&OPENED)?;
        let not_after = opened.saturating_add(reader.of(&LASTS)?);
        let mut session = OpenSession {
            id,
            computer: psm.computer.clone(),
            level: Some(aim.key.level.clone()).filter(|_| !reader.chance(12)),
            group: None,
            account: None,
            opened: at(opened),
            not_after: at(not_after),
            person,
        };
        if let Some(level) = &session.level {
            let groups: Vec<_> = facts.groups().map(|group| group.id.clone()).collect();
            // It was mapped to another group then, now and then.
            let other = if reader.chance(20) { reader.of(&groups) } else { None };
            session.group = other.or_else(|| psm.levels.get(level)?.clone());
            session.account = Some(self.account(&session, reader, found));
        }
        // Now and then somebody has closed it: only an account that was made for it is left.
        Some(session).filter(|_| !reader.chance(20))
    }

    /// Mostly somebody who counts as the actor.
    fn person(&mut self, like: &ActorRef, reader: &mut Reader<'_>) -> Option<PersonId> {
        let people: Vec<PersonId> = self.facts.people().map(|person| person.id.clone()).collect();
        let people = rotated(&people, reader.byte());
        let mut counts =
            |id: &PersonId| self.closure(&ActorRef::Person(id.clone()), NOON).contains(like);
        let found = people.iter().find(|id| counts(id)).cloned();
        found.filter(|_| !reader.chance(20)).or_else(|| people.into_iter().next())
    }

    /// The account of a session: the person's own there, one made for it, one that another session has,
    /// or one that is no longer what it was.
    fn account(
        &mut self,
        session: &OpenSession,
        reader: &mut Reader<'_>,
        found: &mut Existing,
    ) -> AccountId {
        let (person, computer) = (&session.person, &session.computer);
        let made = |id: AccountId, kept: bool| JitAccount {
            id,
            person: person.clone(),
            computer: computer.clone(),
            kept,
        };
        let (kind, kept) = (reader.byte(), reader.chance(128));
        let used: Vec<AccountId> =
            found.sessions.iter().filter_map(|session| session.account.clone()).collect();
        let all: Vec<AccountId> = self.facts.accounts().map(|it| it.id.clone()).collect();
        let theirs = self.facts.accounts().filter(|it| {
            it.owner.as_ref() == Some(person) && it.computer.as_ref() == Some(computer)
        });
        let theirs: Vec<AccountId> = theirs.map(|it| it.id.clone()).collect();
        let fresh = AccountId::new(format!("{computer}/{person}_{:012}", reader.byte())).unwrap();
        let picked = match kind {
            0..=40 => reader.of(&used),
            41..=130 => reader.of(&theirs),
            131..=160 => reader.of(&all),
            // One that is in the policy by now.
            161..=166 => {
                let id = reader.of(&all);
                id.into_iter().for_each(|id| found.make(made(id, kept)));
                reader.of(&all)
            }
            // One that was deleted.
            167..=182 => return fresh,
            _ => None,
        };
        picked.unwrap_or_else(|| {
            found.make(made(fresh.clone(), kept));
            fresh
        })
    }
}

/// A few more sessions and kept accounts, most of them about the question's person and computer.
pub(super) fn about(
    question: &OwnedSession,
    now: Timestamp,
    people: &[PersonId],
    reader: &mut Reader<'_>,
    found: &mut Existing,
) {
    let (sessions, kept) = (reader.byte(), reader.byte());
    for n in 0..sessions % 4 {
        let byte = sessions / 4 + n * 37;
        let person = people.get(byte % people.len().max(1)).cloned();
        let name = if byte % 5 == 4 { "elsewhere" } else { &question.computer.1 };
        let (Some(person), Ok(computer)) = (person, ObjectId::new(name)) else { continue };
        // Now and then one is recorded that begins only later.
        let passed = [0, 1, 5, -3][byte % 4];
        let left = [0, 1, 3, 12, i64::MAX, -1][byte % 6];
        let account = AccountId::new(format!("{name}/kept{}", byte % 3)).ok();
        found.sessions.push(OpenSession {
            id: SessionId::new(format!("about{n}")).unwrap(),
            person,
            computer,
            level: None,
            group: None,
            account: account.filter(|_| byte % 7 != 0),
            opened: Timestamp::from_micros(now.as_micros().saturating_sub(passed)),
            not_after: Timestamp::from_micros(now.as_micros().saturating_add(left)),
        });
    }
    for n in 0..kept % 4 {
        let byte = kept / 4 + n * 23;
        let own = question.person().filter(|_| byte % 5 != 4);
        let person = own.or_else(|| people.get(byte % people.len().max(1)).cloned());
        let name = if byte % 7 == 6 { "elsewhere" } else { &question.computer.1 };
        let (Some(person), Ok(computer)) = (person, ObjectId::new(name)) else { continue };
        let Ok(id) = AccountId::new(format!("{name}/kept{}", byte % 3)) else { continue };
        found.make(JitAccount { id, person, computer, kept: byte % 11 != 0 });
    }
}
