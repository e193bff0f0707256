//! May this subject do this? The answer alone: no allocation, no lock, no clock.

use std::ops::ControlFlow;

use crate::arena::{ActorIx, LocationIx, PermissionIx, ResourceIx, TypeIx};
use crate::permission::{PermissionKind, Qualifier};
use crate::query::{
    Decision, Effect, Malformed, ObjectRef, PermissionRef, Question, Reason, SubjectRef,
};
use crate::snapshot::{Grant, Is, Snapshot};
use crate::time::Timestamp;
use crate::walk::{Via, Visit, walk, walk_location};

/// Decides a question at the instant `now` (rules Q1 to Q7).
///
/// # Errors
/// [`Malformed`] if a part of the question could not name anything; that is no decision (Q6).
pub fn check(
    snapshot: &Snapshot,
    question: &Question<'_>,
    now: Timestamp,
) -> Result<Decision, Malformed> {
    let asked = match resolve(snapshot, question)? {
        Resolved::Asked(asked) => asked,
        Resolved::Settled(reason) => return Ok(decision(snapshot, Effect::Deny, reason)),
    };
    let outcome = |target| outcome_of(strongest(snapshot, asked.subject, target, now));
    let resource = outcome(asked.resource);
    let counterpart = asked.counterpart.map(outcome);
    let (effect, reason) = conclude(snapshot, question, &asked, resource, counterpart);
    Ok(decision(snapshot, effect, reason))
}

fn decision(snapshot: &Snapshot, effect: Effect, reason: Reason) -> Decision {
    Decision { effect, reason, revision: snapshot.revision() }
}

/// A question in handles.
pub(crate) struct Asked {
    pub(crate) subject: ActorIx,
    pub(crate) resource: Target,
    pub(crate) counterpart: Option<Target>,
}

/// One object and what is asked of it.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) object: ResourceIx,
    pub(crate) permission: PermissionIx,
}

pub(crate) enum Resolved {
    Asked(Asked),
    /// Denied before any assignment is looked at (Q6).
    Settled(Reason),
}

/// Names to handles, in the order of Q6. A name that is found is well formed, so only where one is
/// not found does the form have to be looked at.
pub(crate) fn resolve(snapshot: &Snapshot, question: &Question<'_>) -> Result<Resolved, Malformed> {
    if question.counterpart.is_some() && question.permission.kind == PermissionKind::Right {
        return Err(Malformed::RightWithCounterpart);
    }
    let settled = |reason| question.validate().map(|()| Resolved::Settled(reason));
    let subject = match subject(snapshot, question.subject) {
        Ok(subject) => subject,
        Err(reason) => return settled(reason),
    };
    let resource = match target(snapshot, question.resource, question.permission) {
        Ok(target) => target,
        Err(reason) => return settled(reason),
    };
    let counterpart = match question.counterpart {
        Some(object) => match target(snapshot, object, question.permission) {
            Ok(target) => Some(target),
            Err(reason) => return settled(reason),
        },
        None => None,
    };
    Ok(Resolved::Asked(Asked { subject, resource, counterpart }))
}

/// The subject's handle, if it is known and enabled (Q6, A8).
pub(crate) fn subject(snapshot: &Snapshot, named: SubjectRef<'_>) -> Result<ActorIx, Reason> {
    let subject = match named {
        SubjectRef::Person(id) => snapshot.people.get(id),
        SubjectRef::Account(id) => snapshot.accounts.get(id),
    };
    let subject = *subject.ok_or(Reason::UnknownSubject)?;
    if snapshot.subjects[subject].enabled { Ok(subject) } else { Err(Reason::SubjectDisabled) }
}

/// The handle of an object, if it is known (Q6).
pub(crate) fn object(snapshot: &Snapshot, named: ObjectRef<'_>) -> Result<ResourceIx, Reason> {
    let kind = snapshot.types.get(named.type_name).ok_or(Reason::UnknownResource)?;
    snapshot.kinds[*kind].objects.get(named.id).copied().ok_or(Reason::UnknownResource)
}

/// What is asked of an object, if both are known (Q6).
pub(crate) fn target(
    snapshot: &Snapshot,
    object: ObjectRef<'_>,
    permission: PermissionRef<'_>,
) -> Result<Target, Reason> {
    let object = self::object(snapshot, object)?;
    let kind = &snapshot.kinds[snapshot.resources[object].kind];
    let names = match permission.kind {
        PermissionKind::Operation => &kind.operations,
        PermissionKind::Right => &kind.rights,
    };
    let permission = names.get(permission.name).ok_or(Reason::UnknownPermission)?;
    Ok(Target { object, permission: *permission })
}

/// Q1 to Q4: what the strongest qualifier comes to.
pub(crate) fn outcome_of(strongest: Option<Qualifier>) -> Reason {
    match strongest {
        Some(Qualifier::Denied) => Reason::ExplicitDeny,
        Some(Qualifier::Allowed) => Reason::Granted,
        Some(Qualifier::Disabled) => Reason::Disabled,
        Some(Qualifier::Unassigned) | None => Reason::NotGranted,
    }
}

/// The decision from what each object's assignments come to (Q1 to Q4, and Q7 for two objects).
pub(crate) fn conclude(
    snapshot: &Snapshot,
    question: &Question<'_>,
    asked: &Asked,
    resource: Reason,
    counterpart: Option<Reason>,
) -> (Effect, Reason) {
    let Some(counterpart) = counterpart else {
        let effect = if resource == Reason::Granted { Effect::Allow } else { Effect::Deny };
        return (effect, resource);
    };
    if resource == Reason::ExplicitDeny || counterpart == Reason::ExplicitDeny {
        return (Effect::Deny, Reason::ExplicitDeny);
    }
    if question.permission.name.starts_with("Add") && concerns_self(snapshot, asked) {
        return (Effect::Deny, Reason::SelfDelegation);
    }
    let reason = match (resource == Reason::Granted, counterpart == Reason::Granted) {
        (true, true) => return (Effect::Allow, Reason::Granted),
        (false, true) => Reason::MissingOnResource,
        (true, false) => Reason::MissingOnCounterpart,
        (false, false) => Reason::MissingOnBoth,
    };
    (if question.routing { Effect::RequiresApproval } else { Effect::Deny }, reason)
}

/// Whether either object is the subject's own Person or one of the subject's own accounts; for an
/// account as subject, its owner's, and the account itself (Q7).
fn concerns_self(snapshot: &Snapshot, asked: &Asked) -> bool {
    let subject = asked.subject;
    let row = &snapshot.subjects[subject];
    let person = if row.is_person { Some(subject) } else { row.owner };
    let own = |target: Target| match snapshot.resources[target.object].is {
        Is::Person(id) => person == Some(id),
        Is::Account(id) => {
            id == subject || (person.is_some() && snapshot.subjects[id].owner == person)
        }
        Is::Actor(_) | Is::BusinessRole(_) | Is::Location(_) | Is::Plain => false,
    };
    own(asked.resource) || asked.counterpart.is_some_and(own)
}

/// The strongest qualifier of everything that applies to a subject and a target.
pub(crate) fn strongest(
    snapshot: &Snapshot,
    subject: ActorIx,
    target: Target,
    now: Timestamp,
) -> Option<Qualifier> {
    let kind = snapshot.resources[target.object].kind;
    let mut strongest = Strongest::new(snapshot, kind, target.permission, now);
    // Whether the walk broke off or ended, what it found is the answer.
    let (ControlFlow::Break(()) | ControlFlow::Continue(())) =
        walk(snapshot, subject, target.object, now, &mut strongest);
    strongest.found
}

/// The strongest qualifier of a permission asked of a type at a location (D1).
pub(crate) fn strongest_at(
    snapshot: &Snapshot,
    subject: ActorIx,
    (kind, location): (TypeIx, LocationIx),
    permission: PermissionIx,
    now: Timestamp,
) -> Option<Qualifier> {
    let mut strongest = Strongest::new(snapshot, kind, permission, now);
    let (ControlFlow::Break(()) | ControlFlow::Continue(())) =
        walk_location(snapshot, subject, kind, location, now, &mut strongest);
    strongest.found
}

/// Keeps the strongest qualifier, and stops once nothing can be stronger.
struct Strongest<'a> {
    snapshot: &'a Snapshot,
    permission: PermissionIx,
    now: Timestamp,
    deniable: bool,
    found: Option<Qualifier>,
}

impl<'a> Strongest<'a> {
    fn new(snapshot: &'a Snapshot, kind: TypeIx, permission: PermissionIx, now: Timestamp) -> Self {
        let deniable = snapshot.kinds[kind].deniable[permission];
        Self { snapshot, permission, now, deniable, found: None }
    }
}

impl Visit for Strongest<'_> {
    fn grant(&mut self, grant: &Grant, via: Via) -> ControlFlow<()> {
        let says = self.snapshot.says(grant.level, self.permission);
        if matches!(via, Via::Below(_)) && says != Some(Qualifier::Denied) {
            return ControlFlow::Continue(());
        }
        if says > self.found && self.snapshot.windows[grant.window].contains(self.now) {
            self.found = says;
            let last = if self.deniable { Qualifier::Denied } else { Qualifier::Allowed };
            if says >= Some(last) {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}
