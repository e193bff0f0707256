//! May somebody open a privileged session on a computer? (semantics, section 7)

use std::cell::OnceCell;
use std::collections::BTreeSet;

use crate::actor::ActorRef;
use crate::arena::{ActorIx, ResourceIx};
use crate::check::{object, subject};
use crate::id::{AccountId, GroupId, ObjectId, PermissionLevelId, PersonId, validate_id};
use crate::psm::{COMPUTER, EligibilityKind};
use crate::query::{Decision, Effect, Malformed, ObjectRef, Reason, SubjectRef, validate_object};
use crate::snapshot::{Computer, Eligible, Offer, Snapshot, Timed};
use crate::time::Timestamp;
use crate::walk::{Who, run};

/// May this person open a session on that computer with this permission level, or with none?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionQuestion<'a> {
    /// Who; only people open sessions (P2).
    pub subject: SubjectRef<'a>,
    /// The permission level, or none.
    pub level: Option<&'a str>,
    /// The computer.
    pub computer: ObjectRef<'a>,
    /// Whether the answer may be `REQUIRES_APPROVAL`; without routing that becomes `DENY`.
    pub routing: bool,
}

/// A session as far as decisions about others ask (P5, P7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSession {
    /// Who opened it.
    pub person: PersonId,
    /// Where.
    pub computer: ObjectId,
    /// The account it uses, if it has a level.
    pub account: Option<AccountId>,
    /// When it was opened; it counts from then on.
    pub opened: Timestamp,
    /// When it ends at the latest; it does not count from then on.
    pub not_after: Timestamp,
}

/// What exists besides the policy: the sessions that have not been closed, and the just-in-time
/// accounts that earlier sessions left.
#[derive(Debug, Clone, Copy, Default)]
pub struct SessionFacts<'a> {
    /// Sessions that were not closed; whether they have expired is for the decision to ask.
    pub sessions: &'a [OpenSession],
    /// Kept just-in-time accounts: whose, on which computer, which.
    pub kept_accounts: &'a [(PersonId, ObjectId, AccountId)],
}

/// What goes with an ALLOW (P7, P8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obligations {
    /// For a session with a level.
    pub privileged: Option<Privileged>,
    /// When the session has to end.
    pub not_after: Timestamp,
}

/// What a session with a level does on the computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Privileged {
    /// The native group that the account is put into.
    pub group: GroupId,
    /// Which account.
    pub account: AccountMode,
    /// Whether the account is deleted when the session ends; it is always taken out of the group.
    pub delete_account: bool,
}

/// Which account a session uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountMode {
    /// The person's own account on the computer.
    Existing(AccountId),
    /// One made for the session.
    JitNew,
    /// One kept from an earlier session.
    JitReuse(AccountId),
}

impl AccountMode {
    /// The mode's code.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Existing(_) => "EXISTING",
            Self::JitNew => "JIT_NEW",
            Self::JitReuse(_) => "JIT_REUSE",
        }
    }
}

/// A decision about a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionDecision {
    /// The decision.
    pub decision: Decision,
    /// With an ALLOW, what goes with it.
    pub obligations: Option<Obligations>,
}

/// A decision about a session with everything that led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionExplanation {
    /// The same decision that [`check_session`] gives.
    pub decided: SessionDecision,
    /// The instant it was computed for.
    pub evaluated_at: Timestamp,
    /// Every eligibility for the level on the computer that applies to the person.
    pub eligibilities: Vec<AppliedEligibility>,
    /// The permission levels that the person can choose from on the computer (P9).
    pub visible_levels: Vec<PermissionLevelId>,
}

/// An eligibility that applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedEligibility {
    /// Who it is to.
    pub to: ActorRef,
    /// What it says.
    pub kind: EligibilityKind,
    /// How the person counts as that actor.
    pub subject_path: Vec<crate::explain::Hop>,
}

/// Decides at the instant `now` (P1 to P8).
///
/// # Errors
/// [`Malformed`] if a part could not name anything.
pub fn check_session(
    snapshot: &Snapshot,
    question: &SessionQuestion<'_>,
    facts: SessionFacts<'_>,
    now: Timestamp,
) -> Result<SessionDecision, Malformed> {
    validate(question)?;
    let outcome = Asked::new(snapshot, question, facts)
        .and_then(|asked| asked.decide(now).map(|reason| (asked, reason)));
    let decision = |effect, reason| Decision { effect, reason, revision: snapshot.revision() };
    let (effect, reason, obligations) = match outcome {
        Err(reason) => (Effect::Deny, reason, None),
        Ok((asked, Reason::Granted)) => {
            (Effect::Allow, Reason::Granted, Some(asked.obligations(now)))
        }
        Ok((_, reason)) if question.routing => (Effect::RequiresApproval, reason, None),
        Ok((_, reason)) => (Effect::Deny, reason, None),
    };
    Ok(SessionDecision { decision: decision(effect, reason), obligations })
}

/// Whether the decision is ALLOW; what goes with it is not worked out.
///
/// # Errors
/// [`Malformed`] as for [`check_session`].
pub(crate) fn allows_session(
    snapshot: &Snapshot,
    question: &SessionQuestion<'_>,
    facts: SessionFacts<'_>,
    now: Timestamp,
) -> Result<bool, Malformed> {
    validate(question)?;
    let asked = Asked::new(snapshot, question, facts);
    Ok(asked.is_ok_and(|asked| asked.decide(now) == Ok(Reason::Granted)))
}

/// Decides at the instant `now` and says why.
///
/// # Errors
/// [`Malformed`] as for [`check_session`].
pub fn explain_session(
    snapshot: &Snapshot,
    question: &SessionQuestion<'_>,
    facts: SessionFacts<'_>,
    now: Timestamp,
) -> Result<SessionExplanation, Malformed> {
    let decided = check_session(snapshot, question, facts, now)?;
    let mut eligibilities = Vec::new();
    let mut visible_levels = Vec::new();
    if let Ok(asked) = Asked::new(snapshot, question, facts) {
        let paths = crate::explain::Paths::new(snapshot, asked.person, now);
        let applied = asked.eligible().filter(|eligible| asked.applies(eligible, now));
        eligibilities.extend(applied.map(|eligible| AppliedEligibility {
            to: snapshot.cold.actors[eligible.to].clone(),
            kind: eligible.kind,
            subject_path: paths.to(eligible.to),
        }));
        visible_levels = asked.visible_levels(now);
    }
    Ok(SessionExplanation { decided, evaluated_at: now, eligibilities, visible_levels })
}

fn validate(question: &SessionQuestion<'_>) -> Result<(), Malformed> {
    let part = |field, outcome: Result<(), crate::id::IdError>| {
        outcome.map_err(|source| Malformed::Name { field, source })
    };
    part("subject", validate_id("subject id", question.subject.id()))?;
    if let Some(level) = question.level {
        part("permission", validate_id("permission level id", level))?;
    }
    part("resource", validate_object(question.computer))
}

/// A question in handles, past P2.
struct Asked<'a> {
    snapshot: &'a Snapshot,
    person: ActorIx,
    computer: ResourceIx,
    settings: &'a Computer,
    level: Option<&'a str>,
    facts: SessionFacts<'a>,
    /// The eligibilities that can apply, whatever the level: everybody else's are left out once and
    /// for all. Gathered when first asked for; a session without a level never asks.
    theirs: OnceCell<Vec<&'a Eligible>>,
}

/// P5.
fn is_full(settings: &Computer, open: usize) -> bool {
    let limit = settings.max_concurrent;
    limit > 0 && u32::try_from(open).map_or(true, |open| open >= limit)
}

/// The sessions that are open on a computer.
fn open_on<'a>(
    snapshot: &'a Snapshot,
    computer: ResourceIx,
    facts: SessionFacts<'a>,
    now: Timestamp,
) -> impl Iterator<Item = &'a OpenSession> {
    let computer = &snapshot.cold.resources[computer].id;
    facts.sessions.iter().filter(move |session| {
        session.computer == *computer && session.opened <= now && now < session.not_after
    })
}

/// Whether anybody at all could be allowed a session: what P2, P3, P5 and P8 say of the computer,
/// whoever asks.
pub(crate) fn takes_sessions(
    snapshot: &Snapshot,
    computer: ResourceIx,
    level: Option<&str>,
    facts: SessionFacts<'_>,
    now: Timestamp,
) -> bool {
    let Some(settings) = snapshot.psm.computers.get(&computer) else { return false };
    let offered = match level {
        None => settings.allow_unprivileged,
        Some(level) => settings.offers.get(level).is_some_and(|offer| offer.group.is_some()),
    };
    settings.enabled
        && offered
        && !is_full(settings, open_on(snapshot, computer, facts, now).count())
}

/// The eligibilities that cover a computer and are to something that the person counts as at some
/// time. Each list is sorted by actor; the shorter side is gone through.
fn theirs(snapshot: &Snapshot, person: ActorIx, computer: ResourceIx) -> Vec<&Eligible> {
    let cover = snapshot.resources[computer].cover;
    let mut locations = BTreeSet::new();
    for placement in &snapshot.placements[cover] {
        let mut at = Some(placement.location);
        while let Some(location) = at.filter(|location| locations.insert(*location)) {
            at = snapshot.locations[location].parent;
        }
    }
    let within = locations.iter().filter_map(|at| snapshot.psm.within.get(at));
    let lists = snapshot.psm.on.get(&computer).into_iter().chain(within);
    let sometimes = snapshot.closure_timed[person].iter().map(|timed| timed.item);
    let mut actors: Vec<ActorIx> =
        snapshot.closure[person].iter().copied().chain(sometimes).collect();
    actors.sort_unstable();
    actors.dedup();
    let mut theirs = Vec::new();
    for list in lists {
        if list.len() <= actors.len() {
            theirs.extend(list.iter().filter(|it| actors.binary_search(&it.to).is_ok()));
        } else {
            theirs.extend(actors.iter().flat_map(|actor| run(list, |it| it.to, *actor)));
        }
    }
    theirs
}

impl<'a> Asked<'a> {
    /// P2, in its order.
    fn new(
        snapshot: &'a Snapshot,
        question: &SessionQuestion<'a>,
        facts: SessionFacts<'a>,
    ) -> Result<Self, Reason> {
        let person = subject(snapshot, question.subject)?;
        let computer = object(snapshot, question.computer)?;
        if matches!(question.subject, SubjectRef::Account(_)) {
            return Err(Reason::UnknownSubject);
        }
        let settings = snapshot.psm.computers.get(&computer).filter(|settings| settings.enabled);
        let settings = settings.ok_or(Reason::PsmDisabled)?;
        let (level, theirs) = (question.level, OnceCell::new());
        Ok(Self { snapshot, person, computer, settings, level, facts, theirs })
    }

    /// P3 to P6, or P8; `Ok` is `Granted` or `NeedsApproval`.
    fn decide(&self, now: Timestamp) -> Result<Reason, Reason> {
        let Some(level) = self.level else {
            if !self.settings.allow_unprivileged {
                return Err(Reason::UnprivilegedNotAllowed);
            }
            self.room(now)?;
            return Ok(Reason::Granted);
        };
        self.eligibility(level, now)?;
        if self.settings.jit.is_none() && self.own_account().is_none() {
            return Err(Reason::NoAccount);
        }
        self.room(now)?;
        let settled = self.eligible().any(|eligible| {
            let kinds = [EligibilityKind::PreApproved, EligibilityKind::Approved];
            kinds.contains(&eligible.kind) && self.applies(eligible, now)
        });
        Ok(if settled { Reason::Granted } else { Reason::NeedsApproval })
    }

    /// P3.
    fn eligibility(&self, level: &str, now: Timestamp) -> Result<&'a Offer, Reason> {
        let offer = self.settings.offers.get(level).ok_or(Reason::LevelNotOffered)?;
        if offer.group.is_none() {
            return Err(Reason::LevelNotMapped);
        }
        let mut eligible = false;
        for applied in self.eligible_for(level).filter(|applied| self.applies(applied, now)) {
            match applied.kind {
                EligibilityKind::Excluded => return Err(Reason::Excluded),
                EligibilityKind::Eligible
                | EligibilityKind::Suggested
                | EligibilityKind::PreApproved => eligible = true,
                // The record of an approval makes nobody eligible.
                EligibilityKind::Approved => {}
            }
        }
        if eligible { Ok(offer) } else { Err(Reason::NotEligible) }
    }

    fn eligible(&self) -> impl Iterator<Item = &'a Eligible> + '_ {
        self.level.into_iter().flat_map(|level| self.eligible_for(level))
    }

    /// The eligibilities for a level that cover the computer and are to something that the person
    /// counts as at some time.
    fn eligible_for<'s>(&'s self, level: &'s str) -> impl Iterator<Item = &'a Eligible> + 's {
        let gathered = || theirs(self.snapshot, self.person, self.computer);
        let theirs = self.theirs.get_or_init(gathered).iter().copied();
        theirs.filter(move |eligible| eligible.level.as_str() == level)
    }

    fn applies(&self, eligible: &Eligible, now: Timestamp) -> bool {
        eligible.window.contains(now) && Who::new(self.snapshot, self.person, now).is(eligible.to)
    }

    /// The byte-wise least of the person's enabled accounts on the computer (P7).
    fn own_account(&self) -> Option<ActorIx> {
        let accounts = &self.snapshot.psm.accounts[self.person];
        accounts.iter().find(|(computer, _)| *computer == self.computer).map(|(_, id)| *id)
    }

    /// P5.
    fn room(&self, now: Timestamp) -> Result<(), Reason> {
        let open = self.open_sessions(now).count();
        if is_full(self.settings, open) { Err(Reason::SessionLimit) } else { Ok(()) }
    }

    fn open_sessions(&self, now: Timestamp) -> impl Iterator<Item = &'a OpenSession> + '_ {
        open_on(self.snapshot, self.computer, self.facts, now)
    }

    /// P7 and P8.
    fn obligations(&self, now: Timestamp) -> Obligations {
        let offer = self.level.and_then(|level| self.settings.offers.get(level));
        let group = offer.and_then(|offer| offer.group.clone());
        let privileged = group.map(|group| Privileged {
            group,
            account: self.account(now),
            delete_account: self.settings.jit.is_some_and(|jit| jit.delete_on_end),
        });
        Obligations { privileged, not_after: self.not_after(now) }
    }

    fn account(&self, now: Timestamp) -> AccountMode {
        let names = &self.snapshot.cold.actors;
        let Some(jit) = self.settings.jit else {
            return match self.own_account().map(|account| &names[account]) {
                Some(ActorRef::Account(id)) => AccountMode::Existing(id.clone()),
                // INVARIANT: P4 found an account before this was asked.
                _ => AccountMode::JitNew,
            };
        };
        let computer = &self.snapshot.cold.resources[self.computer].id;
        let ActorRef::Person(person) = &names[self.person] else { return AccountMode::JitNew };
        let in_use = |account: &AccountId| {
            self.open_sessions(now).any(|session| session.account.as_ref() == Some(account))
        };
        let kept = self.facts.kept_accounts.iter();
        let free = kept
            .filter(|(of, on, account)| of == person && on == computer && !in_use(account))
            .map(|(_, _, account)| account);
        match free.min() {
            Some(least) if jit.reuse_existing && !jit.delete_on_end => {
                AccountMode::JitReuse(least.clone())
            }
            _ => AccountMode::JitNew,
        }
    }

    /// The earliest of the longest session and the first instant at which the passing of time
    /// alone would make the answer another.
    fn not_after(&self, now: Timestamp) -> Timestamp {
        let longest = now.as_micros().saturating_add(self.settings.max_session_micros);
        let longest = Timestamp::from_micros(longest);
        if self.level.is_none() {
            // P8: of a session without a level nothing else is asked.
            return longest;
        }
        // The answer can only change where some window opens or closes.
        let memberships = &self.snapshot.closure_timed[self.person];
        let memberships = memberships.iter().map(|Timed { window, .. }| *window);
        let windows = self.eligible().map(|eligible| eligible.window).chain(memberships);
        // Or where a session takes the last room (P5): one that is recorded as opened later on.
        let begin = self.facts.sessions.iter().map(|session| session.opened);
        let mut instants: Vec<_> = windows
            .flat_map(|window| [window.from, window.until])
            .flatten()
            .chain(begin)
            .filter(|instant| now < *instant && *instant < longest)
            .collect();
        instants.sort_unstable();
        instants.dedup();
        let ends = |instant: &Timestamp| self.decide(*instant) != Ok(Reason::Granted);
        instants.into_iter().find(ends).unwrap_or(longest)
    }

    /// P9.
    fn visible_levels(&self, now: Timestamp) -> Vec<PermissionLevelId> {
        let offers = self.settings.offers.iter();
        let visible = offers.filter(|(level, _)| self.eligibility(level, now).is_ok());
        let mut levels: Vec<_> = visible.map(|(_, offer)| offer.level.clone()).collect();
        levels.sort();
        levels
    }
}

/// The levels that a person can choose from on a computer (P9); empty where P2 fails.
#[must_use]
pub fn visible_levels(
    snapshot: &Snapshot,
    person: &str,
    computer: &str,
    now: Timestamp,
) -> Vec<PermissionLevelId> {
    let question = SessionQuestion {
        subject: SubjectRef::Person(person),
        level: None,
        computer: ObjectRef { type_name: COMPUTER, id: computer },
        routing: true,
    };
    Asked::new(snapshot, &question, SessionFacts::default())
        .map(|asked| asked.visible_levels(now))
        .unwrap_or_default()
}
