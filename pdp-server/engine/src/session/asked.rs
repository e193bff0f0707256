//! A question about a session in handles: the rules P2 to P9 and P12, one function each.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::{
    AccountMode, AppliedEligibility, Obligations, OpenSession, Privileged, SessionQuestion,
};
use crate::arena::{ActorIx, NativeIx, ResourceIx};
use crate::check::{object, subject};
use crate::explain::Paths;
use crate::id::{AccountId, GroupId, PermissionLevelId, PersonId};
use crate::psm::{COMPUTER, EligibilityKind};
use crate::query::{ObjectRef, Reason, SubjectRef};
use crate::snapshot::{Computer, Eligible, Offer, Snapshot, Timed};
use crate::time::Timestamp;
use crate::walk::{Who, run};

/// A question past P2.
pub(super) struct Asked<'a> {
    snapshot: &'a Snapshot,
    person: ActorIx,
    /// The person's name.
    named: &'a str,
    computer: ResourceIx,
    settings: &'a Computer,
    level: Option<&'a str>,
    /// The eligibilities that can apply, whatever the level: everybody else's are left out once and
    /// for all. Gathered only where many instants or levels are asked about.
    theirs: OnceCell<Vec<&'a Eligible>>,
}

/// What the eligibilities that apply at one instant come to (P3, P6).
#[derive(Default)]
struct Heard {
    excluded: bool,
    eligible: bool,
    settled: bool,
}

/// Whether anybody at all could be allowed a session: what P2, P3, P5 and P8 say of the computer,
/// whoever asks.
pub(super) fn takes_sessions(
    snapshot: &Snapshot,
    computer: ResourceIx,
    level: Option<&str>,
    now: Timestamp,
) -> bool {
    let Some(settings) = snapshot.psm.computer(computer) else { return false };
    let offered = match level {
        None => settings.allow_unprivileged,
        Some(level) => settings.offers.get(level).is_some_and(|offer| offer.group.is_some()),
    };
    settings.enabled && offered && !is_full(snapshot, settings, now)
}

/// P5. Without a limit nothing is counted, and with one no further than to it.
fn is_full(snapshot: &Snapshot, settings: &Computer, now: Timestamp) -> bool {
    let limit = usize::try_from(settings.max_concurrent).unwrap_or(usize::MAX);
    limit > 0 && open_on(snapshot, settings, now).take(limit).count() == limit
}

/// The sessions that are open on a computer.
fn open_on<'a>(
    snapshot: &'a Snapshot,
    settings: &'a Computer,
    now: Timestamp,
) -> impl Iterator<Item = &'a OpenSession> {
    let sessions = snapshot.sessions().on_computer(settings.id.as_str()).map(AsRef::as_ref);
    sessions.filter(move |session: &&OpenSession| session.is_open(now))
}

/// The lists of eligibilities that cover a computer, each sorted by actor. One may come twice.
fn covering(snapshot: &Snapshot, computer: ResourceIx) -> impl Iterator<Item = &[Eligible]> {
    let places = snapshot.placements[snapshot.resources[computer].cover].iter();
    let within = places.flat_map(|placement| {
        std::iter::successors(Some(placement.location), |at| snapshot.locations[*at].parent)
    });
    let within = within.filter_map(|at| snapshot.psm.within.get(&at));
    snapshot.psm.on.get(&computer).into_iter().chain(within).map(AsRef::as_ref)
}

/// The eligibilities that cover a computer and are to something that the person counts as at some
/// time, each once. Each list is sorted by actor; the shorter side is gone through.
fn theirs(snapshot: &Snapshot, person: ActorIx, computer: ResourceIx) -> Vec<&Eligible> {
    let mut lists = BTreeSet::new();
    let sometimes = snapshot.closure_timed[person].iter().map(|timed| timed.item);
    let mut actors: Vec<ActorIx> =
        snapshot.closure[person].iter().copied().chain(sometimes).collect();
    actors.sort_unstable();
    actors.dedup();
    let mut theirs = Vec::new();
    for list in covering(snapshot, computer).filter(|list| lists.insert(list.as_ptr())) {
        if list.len() <= actors.len() {
            theirs.extend(list.iter().filter(|it| actors.binary_search(&it.to).is_ok()));
        } else {
            theirs.extend(actors.iter().flat_map(|actor| run(list, |it| it.to, *actor)));
        }
    }
    theirs
}

// === impl Heard ===

impl Heard {
    fn hear(&mut self, kind: EligibilityKind) {
        match kind {
            EligibilityKind::Excluded => self.excluded = true,
            EligibilityKind::Eligible | EligibilityKind::Suggested => self.eligible = true,
            EligibilityKind::PreApproved => (self.eligible, self.settled) = (true, true),
            // The record of an approval makes nobody eligible.
            EligibilityKind::Approved => self.settled = true,
        }
    }
}

// === impl Asked ===

impl<'a> Asked<'a> {
    /// P2, in its order.
    pub(super) fn new(
        snapshot: &'a Snapshot,
        question: &SessionQuestion<'a>,
    ) -> Result<Self, Reason> {
        let person = subject(snapshot, question.subject)?;
        let computer = object(snapshot, question.computer)?;
        let SubjectRef::Person(named) = question.subject else {
            return Err(Reason::UnknownSubject);
        };
        let settings = snapshot.psm.computer(computer).filter(|settings| settings.enabled);
        let settings = settings.ok_or(Reason::PsmDisabled)?;
        let (level, theirs) = (question.level, OnceCell::new());
        Ok(Self { snapshot, person, named, computer, settings, level, theirs })
    }

    /// The question that opened a session, asked again.
    pub(super) fn of(snapshot: &'a Snapshot, session: &'a OpenSession) -> Result<Self, Reason> {
        let question = SessionQuestion {
            subject: SubjectRef::Person(session.person.as_str()),
            level: session.level.as_ref().map(PermissionLevelId::as_str),
            computer: ObjectRef { type_name: COMPUTER, id: session.computer.as_str() },
            routing: true,
        };
        Self::new(snapshot, &question)
    }

    /// P3 to P6, or P8; `Ok` is `Granted` or `NeedsApproval`.
    pub(super) fn decide(&self, now: Timestamp) -> Result<Reason, Reason> {
        let Some(level) = self.level else {
            self.unprivileged()?;
            self.room(now)?;
            return Ok(Reason::Granted);
        };
        let (_, heard) = self.eligibility(level, now)?;
        if self.settings.jit.is_none() && self.own_account().is_none() {
            return Err(Reason::NoAccount);
        }
        self.room(now)?;
        Ok(if heard.settled { Reason::Granted } else { Reason::NeedsApproval })
    }

    /// P12: P2 to P4 and P6, or P8 without P5, for a session that is open. The native group that its
    /// account is in then.
    pub(super) fn stands(
        &self,
        session: &OpenSession,
        now: Timestamp,
    ) -> Result<Option<NativeIx>, Reason> {
        let Some(level) = self.level else {
            self.unprivileged()?;
            return Ok(None);
        };
        let (offer, heard) = self.eligibility(level, now)?;
        let native = match (&offer.group, &session.group) {
            (Some((group, native)), Some(opened_on)) if group == opened_on => *native,
            _ => return Err(Reason::LevelNotMapped),
        };
        if self.settings.jit.is_none() && self.own_account().is_none() {
            return Err(Reason::NoAccount);
        }
        self.same_account(session)?;
        if heard.settled { Ok(Some(native)) } else { Err(Reason::NeedsApproval) }
    }

    /// An account of the policy has to be the person's still, enabled and on the computer, even where
    /// one of the same name was made for sessions; one that was only made for sessions is nobody's.
    fn same_account(&self, session: &OpenSession) -> Result<(), Reason> {
        let Some(account) = &session.account else { return Ok(()) };
        let theirs =
            |(computer, id): &(ResourceIx, AccountId)| *computer == self.computer && id == account;
        let made = !self.snapshot.accounts.contains_key(account.as_str())
            && self.snapshot.sessions().jit_account(account.as_str()).is_some();
        if made || self.snapshot.psm.accounts[self.person].iter().any(theirs) {
            Ok(())
        } else {
            Err(Reason::NoAccount)
        }
    }

    /// P8.
    fn unprivileged(&self) -> Result<(), Reason> {
        let allowed = self.settings.allow_unprivileged;
        if allowed { Ok(()) } else { Err(Reason::UnprivilegedNotAllowed) }
    }

    /// P3.
    fn eligibility(&self, level: &str, now: Timestamp) -> Result<(&'a Offer, Heard), Reason> {
        let offer = self.settings.offers.get(level).ok_or(Reason::LevelNotOffered)?;
        if offer.group.is_none() {
            return Err(Reason::LevelNotMapped);
        }
        let heard = self.heard(level, now);
        if heard.excluded {
            return Err(Reason::Excluded);
        }
        if heard.eligible { Ok((offer, heard)) } else { Err(Reason::NotEligible) }
    }

    fn heard(&self, level: &str, now: Timestamp) -> Heard {
        let mut heard = Heard::default();
        let who = Who::new(self.snapshot, self.person, now);
        let mut hear = |eligible: &Eligible| {
            if eligible.level.as_str() == level && eligible.window.contains(now) {
                heard.hear(eligible.kind);
            }
        };
        if let Some(theirs) = self.theirs.get() {
            theirs.iter().filter(|eligible| who.is(eligible.to)).for_each(|it| hear(it));
            return heard;
        }
        for list in covering(self.snapshot, self.computer) {
            // It never breaks off.
            let (ControlFlow::Continue(()) | ControlFlow::Break(())) = who.meet(
                list,
                |eligible| eligible.to,
                |eligible| {
                    hear(eligible);
                    ControlFlow::Continue(())
                },
            );
        }
        heard
    }

    /// The eligibilities for the level that cover the computer and are to something that the person
    /// counts as at some time.
    fn eligible(&self) -> impl Iterator<Item = &'a Eligible> + '_ {
        let level = self.level.unwrap_or_default();
        self.theirs().iter().copied().filter(move |eligible| eligible.level.as_str() == level)
    }

    fn theirs(&self) -> &[&'a Eligible] {
        self.theirs.get_or_init(|| theirs(self.snapshot, self.person, self.computer))
    }

    /// The eligibilities for the level that apply, with how.
    pub(super) fn applied(&self, now: Timestamp) -> Vec<AppliedEligibility> {
        let who = Who::new(self.snapshot, self.person, now);
        let paths = Paths::new(self.snapshot, &who);
        let applied = self.eligible().filter(|it| it.window.contains(now) && who.is(it.to));
        let mut applied: Vec<_> = applied.collect();
        applied.sort_by(|one, other| {
            let by_actor = self.snapshot.actor_order(one.to, other.to);
            by_actor.then_with(|| one.kind.cmp(&other.kind))
        });
        let told = applied.into_iter().map(|eligible| AppliedEligibility {
            to: self.snapshot.cold.actors[eligible.to].clone(),
            kind: eligible.kind,
            subject_path: paths.to(eligible.to),
        });
        told.collect()
    }

    /// The byte-wise least of the person's enabled accounts on the computer (P7).
    fn own_account(&self) -> Option<&AccountId> {
        let accounts = &self.snapshot.psm.accounts[self.person];
        accounts.iter().find(|(computer, _)| *computer == self.computer).map(|(_, id)| id)
    }

    /// P5.
    fn room(&self, now: Timestamp) -> Result<(), Reason> {
        let full = is_full(self.snapshot, self.settings, now);
        if full { Err(Reason::SessionLimit) } else { Ok(()) }
    }

    /// P7 and P8.
    pub(super) fn obligations(&self, now: Timestamp) -> Obligations {
        let offer = self.level.and_then(|level| self.settings.offers.get(level));
        let group = offer.and_then(|offer| offer.group.clone());
        let privileged = group.map(|(group, _): (GroupId, _)| Privileged {
            group,
            account: self.account(now),
            delete_account: self.settings.jit.is_some_and(|jit| jit.delete_on_end),
        });
        Obligations { privileged, not_after: self.not_after(now) }
    }

    fn account(&self, now: Timestamp) -> AccountMode {
        let Some(jit) = self.settings.jit else {
            // INVARIANT: P4 found an account before this was asked.
            return self.own_account().cloned().map_or(AccountMode::JitNew, AccountMode::Existing);
        };
        if !jit.reuse_existing || jit.delete_on_end {
            return AccountMode::JitNew;
        }
        let sessions = self.snapshot.sessions();
        let is_free = |account: &&AccountId| {
            !sessions.of_account(account.as_str()).any(|session| session.is_open(now))
        };
        // INVARIANT: the policy has somebody of the name.
        let Ok(person) = PersonId::new(self.named) else { return AccountMode::JitNew };
        match sessions.kept_for(&self.settings.id, &person).find(is_free) {
            Some(least) => AccountMode::JitReuse(least.clone()),
            None => AccountMode::JitNew,
        }
    }

    /// The earliest of the longest session and the first instant at which the passing of time
    /// alone would make the answer another (P7); of a session without a level nothing else is asked
    /// (P8).
    fn not_after(&self, now: Timestamp) -> Timestamp {
        // A session takes the last room (P5): one that is recorded as opened later on.
        let others = self.snapshot.sessions().on_computer(self.settings.id.as_str());
        let begin = others.map(|session| session.opened);
        let ends = |at: Timestamp| self.decide(at) != Ok(Reason::Granted);
        self.first_end(now, self.longest(now), begin, ends)
    }

    /// The same for a session that is open: it has its room.
    pub(super) fn stands_until(&self, session: &OpenSession, now: Timestamp) -> Timestamp {
        let ends = |at: Timestamp| self.stands(session, at).is_err();
        self.first_end(now, self.longest(session.opened), std::iter::empty(), ends)
    }

    fn longest(&self, from: Timestamp) -> Timestamp {
        let longest = from.as_micros().saturating_add(self.settings.max_session_micros);
        Timestamp::from_micros(longest)
    }

    /// The first instant from `now` to `longest` at which `ends`.
    fn first_end(
        &self,
        now: Timestamp,
        longest: Timestamp,
        others: impl Iterator<Item = Timestamp>,
        ends: impl Fn(Timestamp) -> bool,
    ) -> Timestamp {
        if self.level.is_none() {
            return longest;
        }
        // The answer can only change where some window opens or closes.
        let memberships = &self.snapshot.closure_timed[self.person];
        let memberships = memberships.iter().map(|Timed { window, .. }| *window);
        let windows = self.eligible().map(|eligible| eligible.window).chain(memberships);
        let mut instants: Vec<_> = windows
            .flat_map(|window| [window.from, window.until])
            .flatten()
            .chain(others)
            .filter(|instant| now < *instant && *instant < longest)
            .collect();
        instants.sort_unstable();
        instants.dedup();
        instants.into_iter().find(|instant| ends(*instant)).unwrap_or(longest)
    }

    /// P9.
    pub(super) fn visible_levels(&self, now: Timestamp) -> Vec<PermissionLevelId> {
        self.theirs();
        let offers = self.settings.offers.iter();
        let visible = offers.filter(|(level, _)| self.eligibility(level, now).is_ok());
        let mut levels: Vec<_> = visible.map(|(_, offer)| offer.level.clone()).collect();
        levels.sort();
        levels
    }
}
