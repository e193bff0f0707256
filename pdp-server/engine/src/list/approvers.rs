//! Who could agree to what a decision says needs an approval? (D6)

use super::AnyPermission;
use super::subjects::{SubjectKinds, holders, list_subjects};
use crate::actor::ActorRef;
use crate::arena::ActorIx;
use crate::check::{Target, check, object, subject, target};
use crate::delegate::{Delegation, DelegationQuestion, admit};
use crate::id::PersonId;
use crate::permission::{PermissionKind, Qualifier};
use crate::query::{Malformed, ObjectRef, PermissionRef, Question, SubjectRef};
use crate::session::{SessionQuestion, check_session};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::walk::{Who, shards_about};

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
    match question {
        ApprovalQuestion::Delegation(question) => of_delegation(snapshot, question, now),
        ApprovalQuestion::Dual(question) => of_dual(snapshot, question, now),
        ApprovalQuestion::Session(question) => of_session(snapshot, question, now),
    }
}

fn of_delegation(
    snapshot: &Snapshot,
    question: &DelegationQuestion<'_>,
    now: Timestamp,
) -> Result<Vec<PersonId>, Malformed> {
    question.validate()?;
    let Ok((delegator, delegation)) = admit(snapshot, question) else { return Ok(Vec::new()) };
    let owner = snapshot.subjects[delegator].owner;
    let others = candidates(snapshot, &delegation, now)
        .into_iter()
        .filter(|person| *person != delegator && Some(*person) != owner)
        .filter(|person| delegation.allows(snapshot, &Who::new(snapshot, *person, now), question));
    Ok(people(snapshot, others))
}

/// People to whom something allows an operation of the resource side. Every object of the side has
/// to be held, so those who hold the first are enough to look at.
fn candidates(snapshot: &Snapshot, delegation: &Delegation, now: Timestamp) -> Vec<ActorIx> {
    use crate::delegate::Of;
    let mut found = Vec::new();
    if let Some(asked) = delegation.resource.first() {
        for permission in asked.operations.iter().filter_map(|(_, permission)| *permission) {
            match asked.of {
                Of::Object(object) => {
                    found.extend(holders(snapshot, Target { object, permission }, now));
                }
                Of::TypeAt(kind, location) => {
                    let (above, _) = shards_about(snapshot, kind, location);
                    for grant in above.iter().flat_map(|shard| &snapshot.shards[*shard]) {
                        if snapshot.says(grant.level, permission) == Some(Qualifier::Allowed) {
                            found.extend(&snapshot.cold.subjects_of[grant.assignee]);
                        }
                    }
                }
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found.retain(|subject| snapshot.subjects[*subject].is_person);
    found
}

fn of_dual(
    snapshot: &Snapshot,
    question: &Question<'_>,
    now: Timestamp,
) -> Result<Vec<PersonId>, Malformed> {
    check(snapshot, question, now)?;
    let Ok(asker) = subject(snapshot, question.subject) else { return Ok(Vec::new()) };
    if question.counterpart.is_none() {
        return Ok(Vec::new());
    }
    let Ok(target) = target(snapshot, question.resource, question.permission) else {
        return Ok(Vec::new());
    };
    let mut approvers = Vec::new();
    for candidate in holders(snapshot, target, now) {
        let ActorRef::Person(id) = &snapshot.cold.actors[candidate] else { continue };
        let theirs = Question { subject: SubjectRef::Person(id.as_str()), ..*question };
        if candidate != asker && check(snapshot, &theirs, now)?.is_allow() {
            approvers.push(id.clone());
        }
    }
    Ok(approvers)
}

fn of_session(
    snapshot: &Snapshot,
    question: &SessionQuestion<'_>,
    now: Timestamp,
) -> Result<Vec<PersonId>, Malformed> {
    check_session(snapshot, question, now)?;
    if subject(snapshot, question.subject).is_err() || object(snapshot, question.computer).is_err()
    {
        return Ok(Vec::new());
    }
    let ObjectRef { type_name, id } = question.computer;
    let permission = PermissionRef { kind: PermissionKind::Operation, name: APPROVE_USE };
    let allowed = list_subjects(
        snapshot,
        AnyPermission::Access(permission),
        ObjectRef { type_name, id },
        SubjectKinds::People,
        now,
    )?;
    let others = allowed.into_iter().filter_map(|actor| match actor {
        ActorRef::Person(id) if SubjectRef::Person(id.as_str()) != question.subject => Some(id),
        _ => None,
    });
    Ok(others.collect())
}

fn people(snapshot: &Snapshot, actors: impl Iterator<Item = ActorIx>) -> Vec<PersonId> {
    let names = actors.filter_map(|actor| match &snapshot.cold.actors[actor] {
        ActorRef::Person(id) => Some(id.clone()),
        _ => None,
    });
    names.collect()
}
