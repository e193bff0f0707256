//! May somebody open a privileged session on a computer, and what does one that is open do?
//! (semantics, section 7)

mod asked;
mod open;

pub use open::{JitAccount, OpenSession, OpenSessions};

use crate::actor::ActorRef;
use crate::arena::{NativeIx, ResourceIx};
use crate::id::{AccountId, GroupId, IdError, ObjectId, PermissionLevelId, PersonId, validate_id};
use crate::psm::{COMPUTER, EligibilityKind};
use crate::query::{Decision, Effect, Malformed, ObjectRef, Reason, SubjectRef, validate_object};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

use asked::Asked;

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
    now: Timestamp,
) -> Result<SessionDecision, Malformed> {
    validate(question)?;
    let outcome = Asked::new(snapshot, question)
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
    now: Timestamp,
) -> Result<bool, Malformed> {
    validate(question)?;
    let asked = Asked::new(snapshot, question);
    Ok(asked.is_ok_and(|asked| asked.decide(now) == Ok(Reason::Granted)))
}

/// What the decision comes to, with routing; what goes with it is not worked out.
///
/// # Errors
/// [`Malformed`] as for [`check_session`].
pub(crate) fn session_effect(
    snapshot: &Snapshot,
    question: &SessionQuestion<'_>,
    now: Timestamp,
) -> Result<Effect, Malformed> {
    validate(question)?;
    let decided = Asked::new(snapshot, question).and_then(|asked| asked.decide(now));
    Ok(match decided {
        Err(_) => Effect::Deny,
        Ok(Reason::Granted) => Effect::Allow,
        Ok(_) => Effect::RequiresApproval,
    })
}

/// Whether anybody at all could be allowed a session: what P2, P3, P5 and P8 say of the computer,
/// whoever asks.
pub(crate) fn takes_sessions(
    snapshot: &Snapshot,
    computer: ResourceIx,
    level: Option<&str>,
    now: Timestamp,
) -> bool {
    asked::takes_sessions(snapshot, computer, level, now)
}

/// Whether an open session still stands, and until when (P12): what P2 to P4 and P6 say of its person
/// now, on the same native group and the same account. `first_opened` bounds how long it may last.
/// Nothing is said of the session's own `not_after`, nor of P5: it has its place already.
///
/// # Errors
/// The reason why it does not.
pub fn recheck(
    snapshot: &Snapshot,
    session: &OpenSession,
    now: Timestamp,
) -> Result<Timestamp, Reason> {
    let asked = Asked::of(snapshot, session)?;
    asked.stands(session, now)?;
    Ok(asked.stands_until(session, now))
}

/// Whether an open session still stands (P12); what [`recheck`] says without working out until when.
///
/// # Errors
/// The reason why it does not.
pub fn stands(snapshot: &Snapshot, session: &OpenSession, now: Timestamp) -> Result<(), Reason> {
    Asked::of(snapshot, session)?.stands(session, now).map(|_| ())
}

/// The native group that a session makes its account a member of at the instant `now`, if it does
/// (P10 to P12).
pub(crate) fn membership(
    snapshot: &Snapshot,
    session: &OpenSession,
    now: Timestamp,
) -> Option<NativeIx> {
    if !session.is_open(now) || session.group.is_none() {
        return None;
    }
    Asked::of(snapshot, session).ok()?.stands(session, now).ok()?
}

/// The name of an account that is made for a session (P10): the computer, then the person's login, or
/// the id where there is none, then the number. `None` if the policy has an account of that name.
///
/// # Errors
/// [`IdError`] if that is too long for a name.
pub fn jit_account_id(
    snapshot: &Snapshot,
    computer: &ObjectId,
    person: &PersonId,
    number: u64,
) -> Result<Option<AccountId>, IdError> {
    let known = snapshot.people.get(person.as_str());
    let login = known.and_then(|person| snapshot.cold.logins[*person].as_ref());
    let login = login.map_or(person.as_str(), AsRef::as_ref);
    let id = AccountId::new(format!("{computer}/{login}_{number:012}"))?;
    Ok(Some(id).filter(|id| !snapshot.accounts.contains_key(id.as_str())))
}

/// Whether the policy itself lists an account as a member of a group at the instant `now` (P7); with
/// `for_good`, without an end.
#[must_use]
pub fn is_listed_member(
    snapshot: &Snapshot,
    account: &AccountId,
    group: &GroupId,
    now: Timestamp,
    for_good: bool,
) -> bool {
    let Some(account) = snapshot.accounts.get(account.as_str()) else { return false };
    snapshot.cold.edges[*account].iter().any(|edge| {
        let to = &snapshot.cold.actors[edge.to];
        edge.window.contains(now)
            && (!for_good || edge.window.until.is_none())
            && matches!(to, ActorRef::Group(id) if id == group)
    })
}

/// Decides at the instant `now` and says why.
///
/// # Errors
/// [`Malformed`] as for [`check_session`].
pub fn explain_session(
    snapshot: &Snapshot,
    question: &SessionQuestion<'_>,
    now: Timestamp,
) -> Result<SessionExplanation, Malformed> {
    let decided = check_session(snapshot, question, now)?;
    let mut eligibilities = Vec::new();
    let mut visible_levels = Vec::new();
    if let Ok(asked) = Asked::new(snapshot, question) {
        eligibilities = asked.applied(now);
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
    Asked::new(snapshot, &question).map(|asked| asked.visible_levels(now)).unwrap_or_default()
}
