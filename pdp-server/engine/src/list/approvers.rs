//! Who could agree to what a decision says needs an approval? (D6)

use super::candidates::Candidates;
use super::subjects::{counting_as, holders};
use super::{ListError, Pace, Part, wanted_to_the_end};
use crate::actor::ActorRef;
use crate::arena::ActorIx;
use crate::check::{Target, check, subject, target};
use crate::delegate::{Asked, Delegation, DelegationQuestion, Of, admit};
use crate::id::PersonId;
use crate::permission::{PermissionKind, Qualifier};
use crate::query::{Malformed, PermissionRef, Question, SubjectRef};
use crate::session::{SessionQuestion, check_session};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::walk::{Who, shards_above};

/// The operation that approvers of a session hold on the computer (D6).
pub const APPROVE_USE: &str = "ApproveUse";

/// What would be approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApprovalQuestion<'a> {
    /// A delegation.
    Delegation(DelegationQuestion<'a>),
    /// A dual check.
    Dual(Question<'a>),
    /// A session.
    Session(SessionQuestion<'a>),
}

/// Every enabled person who could approve, by id. Nobody approves their own wish; nobody at all is
/// an empty list, and never an allow (D6).
///
/// # Errors
/// [`Malformed`] if the question is not one.
pub fn list_approvers(
    snapshot: &Snapshot,
    question: &ApprovalQuestion<'_>,
    now: Timestamp,
) -> Result<Vec<PersonId>, Malformed> {
    wanted_to_the_end(list_approvers_part(snapshot, question, Part::whole(), now))
}

/// A part of [`list_approvers`].
///
/// # Errors
/// [`ListError`] as for the whole, or if the part is not wanted any more.
pub fn list_approvers_part(
    snapshot: &Snapshot,
    question: &ApprovalQuestion<'_>,
    part: Part<'_, &str>,
    now: Timestamp,
) -> Result<Vec<PersonId>, ListError> {
    match question {
        ApprovalQuestion::Delegation(question) => of_delegation(snapshot, question, part, now),
        ApprovalQuestion::Dual(question) => of_dual(snapshot, question, part, now),
        ApprovalQuestion::Session(question) => of_session(snapshot, question, part, now),
    }
}

/// The people among the candidates of the part who pass, until it is full.
fn passing(
    snapshot: &Snapshot,
    candidates: Candidates<'_, ActorIx>,
    part: Part<'_, &str>,
    pace: &Pace<'_>,
    passes: impl Fn(ActorIx, &PersonId) -> Result<bool, Malformed>,
) -> Result<Vec<PersonId>, ListError> {
    let person = |actor: ActorIx| match &snapshot.cold.actors[actor] {
        ActorRef::Person(id) => Some(id),
        _ => None,
    };
    let after = part.after;
    let passed =
        |actor| person(actor).is_some_and(|id| after.is_some_and(|after| id.as_str() <= after));
    let mut approvers = Vec::new();
    for candidate in candidates.past(passed) {
        let Some(id) = person(candidate) else { break };
        if approvers.len() >= part.limit {
            break;
        }
        pace.step()?;
        if passes(candidate, id)? {
            approvers.push(id.clone());
        }
    }
    Ok(approvers)
}

fn of_delegation(
    snapshot: &Snapshot,
    question: &DelegationQuestion<'_>,
    part: Part<'_, &str>,
    now: Timestamp,
) -> Result<Vec<PersonId>, ListError> {
    let pace = part.pace();
    pace.step()?;
    question.validate()?;
    let Ok((delegator, delegation)) = admit(snapshot, question) else { return Ok(Vec::new()) };
    if delegation.resource.is_empty() {
        return Ok(Vec::new());
    }
    let owner = snapshot.subjects[delegator].owner;
    let candidates = candidates(snapshot, &delegation, now, &pace)?;
    passing(snapshot, candidates, part, &pace, |person, _| {
        let is_another = person != delegator && Some(person) != owner;
        Ok(is_another && delegation.allows(snapshot, &Who::new(snapshot, person, now), question))
    })
}

/// Subjects to whom something allows an operation on one object of the sides. Every object has to
/// be held, so those who hold the one that the fewest hold are enough to look at.
fn candidates<'a>(
    snapshot: &'a Snapshot,
    delegation: &Delegation,
    now: Timestamp,
    pace: &Pace<'_>,
) -> Result<Candidates<'a, ActorIx>, ListError> {
    let mut fewest: Option<Candidates<'a, ActorIx>> = None;
    for asked in delegation.recipient.iter().chain(&delegation.resource) {
        pace.step()?;
        let found = of_asked(snapshot, asked, now, pace)?;
        let is_fewer =
            fewest.as_ref().is_none_or(|fewest| found.upper_bound() < fewest.upper_bound());
        if is_fewer {
            if found.upper_bound() == 0 {
                return Ok(found);
            }
            fewest = Some(found);
        }
    }
    Ok(fewest.unwrap_or_else(|| Candidates::new(snapshot)))
}

/// Subjects to whom something allows an operation that is asked of one object.
fn of_asked<'a>(
    snapshot: &'a Snapshot,
    asked: &Asked,
    now: Timestamp,
    pace: &Pace<'_>,
) -> Result<Candidates<'a, ActorIx>, ListError> {
    let mut found = Candidates::new(snapshot);
    let mut assignees = Vec::new();
    for permission in asked.operations.iter().filter_map(|(_, permission)| *permission) {
        match asked.of {
            Of::Object(object) => {
                found.append(holders(snapshot, Target { object, permission }, now, pace)?);
            }
            Of::TypeAt(kind, location) => {
                for grant in
                    shards_above(snapshot, kind, location).flat_map(|shard| &snapshot.shards[shard])
                {
                    pace.step()?;
                    if snapshot.says(grant.level, permission) == Some(Qualifier::Allowed)
                        && snapshot.windows[grant.window].contains(now)
                    {
                        assignees.push(grant.assignee);
                    }
                }
            }
        }
    }
    found.append(counting_as(snapshot, assignees));
    Ok(found)
}

fn of_dual(
    snapshot: &Snapshot,
    question: &Question<'_>,
    part: Part<'_, &str>,
    now: Timestamp,
) -> Result<Vec<PersonId>, ListError> {
    let pace = part.pace();
    pace.step()?;
    check(snapshot, question, now)?;
    let Ok(asker) = subject(snapshot, question.subject) else { return Ok(Vec::new()) };
    let Some(counterpart) = question.counterpart else { return Ok(Vec::new()) };
    let target = |object| target(snapshot, object, question.permission);
    let (Ok(resource), Ok(counterpart)) = (target(question.resource), target(counterpart)) else {
        return Ok(Vec::new());
    };
    // Both have to be held: the side that fewer hold is enough to look at.
    let [one, other] =
        [holders(snapshot, resource, now, &pace)?, holders(snapshot, counterpart, now, &pace)?];
    let fewer = if other.upper_bound() < one.upper_bound() { other } else { one };
    passing(snapshot, fewer, part, &pace, |person, id| {
        let theirs = Question { subject: SubjectRef::Person(id.as_str()), ..*question };
        Ok(person != asker && check(snapshot, &theirs, now)?.is_allow())
    })
}

fn of_session(
    snapshot: &Snapshot,
    question: &SessionQuestion<'_>,
    part: Part<'_, &str>,
    now: Timestamp,
) -> Result<Vec<PersonId>, ListError> {
    let pace = part.pace();
    pace.step()?;
    check_session(snapshot, question, now)?;
    let Ok(asker) = subject(snapshot, question.subject) else { return Ok(Vec::new()) };
    let permission = PermissionRef { kind: PermissionKind::Operation, name: APPROVE_USE };
    let Ok(target) = target(snapshot, question.computer, permission) else {
        return Ok(Vec::new());
    };
    let candidates = holders(snapshot, target, now, &pace)?;
    passing(snapshot, candidates, part, &pace, |person, id| {
        let subject = SubjectRef::Person(id.as_str());
        let approves = Question::new(subject, permission, question.computer);
        Ok(person != asker && check(snapshot, &approves, now)?.is_allow())
    })
}
