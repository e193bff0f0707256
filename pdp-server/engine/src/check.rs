//! May this subject do this? The answer alone: no allocation, no lock, no clock.

use std::ops::ControlFlow;

use crate::ahead;
use crate::arena::{ActorIx, CoverIx, Handle as _, LocationIx, PermissionIx, ResourceIx, TypeIx};
use crate::permission::{PermissionKind, Qualifier};
use crate::query::{
    Decision, Effect, Malformed, ObjectRef, PermissionRef, Question, Reason, SubjectRef,
};
use crate::resource::BuiltInType;
use crate::snapshot::{Fingerprint, Grant, Is, LookUp, NameTable, Snapshot};
use crate::time::Timestamp;
use crate::walk::{Via, Visit, Who, walk, walk_location};

/// Decides a question at the instant `now` (rules Q1 to Q7).
///
/// # Errors
/// [`Malformed`] if a part of the question could not name anything; that is no decision (Q6).
pub fn check(
    snapshot: &Snapshot,
    question: &Question<'_>,
    now: Timestamp,
) -> Result<Decision, Malformed> {
    let resolved = resolve(snapshot, question)?;
    if let Resolved::Asked(asked) = &resolved {
        ahead::lists(snapshot, asked);
    }
    Ok(decide(snapshot, question, &resolved, now))
}

/// The decision on a question whose names have been looked up.
pub(crate) fn decide(
    snapshot: &Snapshot,
    question: &Question<'_>,
    resolved: &Resolved,
    now: Timestamp,
) -> Decision {
    let asked = match resolved {
        Resolved::Asked(asked) => asked,
        Resolved::Settled(reason) => return decision(snapshot, Effect::Deny, *reason),
    };
    let who = Who::named(snapshot, asked.subject, question.subject, now);
    let outcome = |target| outcome_of(strongest(snapshot, &who, target));
    let resource = outcome(asked.resource);
    let counterpart = asked.counterpart.map(outcome);
    let (effect, reason) = conclude(snapshot, question, asked, resource, counterpart);
    decision(snapshot, effect, reason)
}

fn decision(snapshot: &Snapshot, effect: Effect, reason: Reason) -> Decision {
    Decision { effect, reason, revision: snapshot.revision() }
}

/// A question's names, ready to be looked for.
#[derive(Clone, Copy)]
pub(crate) struct Named {
    subject: Fingerprint,
    object: Option<Fingerprint>,
    permission: Option<PermissionIx>,
}

/// A question's names, being looked for.
#[derive(Clone, Copy)]
pub(crate) struct Looked {
    subject: LookUp<ActorIx>,
    object: Option<LookUp<ResourceIx>>,
    permission: Option<PermissionIx>,
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

/// Names to handles, in the order of Q6.
pub(crate) fn resolve(snapshot: &Snapshot, question: &Question<'_>) -> Result<Resolved, Malformed> {
    let looked = Named::new(snapshot, question).look(snapshot, question);
    looked.fetch(snapshot);
    looked.found(snapshot, question)
}

/// The subject's handle, if it is known and enabled (Q6, A8).
pub(crate) fn subject(snapshot: &Snapshot, named: SubjectRef<'_>) -> Result<ActorIx, Reason> {
    enabled(snapshot, named, subjects(snapshot, named).get(named.id()).copied())
}

/// The table that knows a subject.
fn subjects<'a>(snapshot: &'a Snapshot, named: SubjectRef<'_>) -> &'a NameTable<ActorIx> {
    match named {
        SubjectRef::Person(_) => &snapshot.people,
        SubjectRef::Account(_) => &snapshot.accounts,
    }
}

/// The subject that was found in its table, or made for a session (P10), if it is enabled.
fn enabled(
    snapshot: &Snapshot,
    named: SubjectRef<'_>,
    found: Option<ActorIx>,
) -> Result<ActorIx, Reason> {
    let subject = match (found, named) {
        (Some(subject), _) => subject,
        (None, SubjectRef::Account(id)) if snapshot.sessions().jit_account(id).is_some() => {
            snapshot.besides.actor
        }
        (None, SubjectRef::Account(_) | SubjectRef::Person(_)) => {
            return Err(Reason::UnknownSubject);
        }
    };
    if snapshot.is_enabled(subject) { Ok(subject) } else { Err(Reason::SubjectDisabled) }
}

/// The handle of an object, if it is known (Q6).
pub(crate) fn object(snapshot: &Snapshot, named: ObjectRef<'_>) -> Result<ResourceIx, Reason> {
    let kind = snapshot.types.get(named.type_name).ok_or(Reason::UnknownResource)?;
    known(snapshot, named, snapshot.object(*kind, named.id))
}

/// The object that was found in its table, or made for a session.
fn known(
    snapshot: &Snapshot,
    named: ObjectRef<'_>,
    found: Option<ResourceIx>,
) -> Result<ResourceIx, Reason> {
    if let Some(object) = found {
        return Ok(object);
    }
    // An account made for a session is an object, too, and nothing covers it (P10).
    let is_account = named.type_name == BuiltInType::UserAccount.as_str();
    match snapshot.sessions().jit_account(named.id) {
        Some(_) if is_account => Ok(snapshot.besides.object),
        Some(_) | None => Err(Reason::UnknownResource),
    }
}

/// What is asked of an object, if both are known (Q6).
pub(crate) fn target(
    snapshot: &Snapshot,
    object: ObjectRef<'_>,
    permission: PermissionRef<'_>,
) -> Result<Target, Reason> {
    let object = self::object(snapshot, object)?;
    let kind = snapshot.resources[object].kind;
    let permission = self::permission(snapshot, kind, permission);
    Ok(Target { object, permission: permission.ok_or(Reason::UnknownPermission)? })
}

/// The handle of a permission of a type.
fn permission(
    snapshot: &Snapshot,
    kind: TypeIx,
    permission: PermissionRef<'_>,
) -> Option<PermissionIx> {
    let kind = &snapshot.kinds[kind];
    let names = match permission.kind {
        PermissionKind::Operation => &kind.operations,
        PermissionKind::Right => &kind.rights,
    };
    names.get(permission.name).copied()
}

// === impl Named ===

impl Named {
    /// What needs no memory but the names' own and that of the few types.
    pub(crate) fn new(snapshot: &Snapshot, question: &Question<'_>) -> Self {
        let kind = snapshot.types.get(question.resource.type_name).copied();
        Self {
            subject: Fingerprint::of(question.subject.id()),
            object: kind.map(|kind| Fingerprint::of_type(kind, question.resource.id)),
            permission: kind.and_then(|kind| permission(snapshot, kind, question.permission)),
        }
    }

    /// Asks for the first places that the subject and the object are looked for at.
    #[inline]
    pub(crate) fn fetch(self, snapshot: &Snapshot, question: &Question<'_>) {
        subjects(snapshot, question.subject).fetch(self.subject);
        if let Some(object) = self.object {
            snapshot.objects.fetch(object);
        }
    }

    /// Begins to look for the subject and the object, which wait for memory together.
    pub(crate) fn look(self, snapshot: &Snapshot, question: &Question<'_>) -> Looked {
        let Self { subject, object, permission } = self;
        Looked {
            subject: subjects(snapshot, question.subject).begin(subject),
            object: object.map(|object| snapshot.objects.begin(object)),
            permission,
        }
    }
}

// === impl Looked ===

impl Looked {
    /// Asks for the rows of what was found.
    #[inline]
    pub(crate) fn fetch(self, snapshot: &Snapshot) {
        let cover = |it: &LookUp<_>| CoverIx::from_index(it.next() as usize);
        let object = self.object.and_then(|it| Some((it.first()?, cover(&it))));
        ahead::rows(snapshot, self.subject.first(), object);
    }

    /// What was found, in the order of Q6. A name that is found is well formed, so only where one is
    /// not found does the form have to be looked at.
    pub(crate) fn found(
        self,
        snapshot: &Snapshot,
        question: &Question<'_>,
    ) -> Result<Resolved, Malformed> {
        if question.counterpart.is_some() && question.permission.kind == PermissionKind::Right {
            return Err(Malformed::RightWithCounterpart);
        }
        let settled = |reason| question.validate().map(|()| Resolved::Settled(reason));
        let subject = subjects(snapshot, question.subject).end(self.subject);
        let subject = match enabled(snapshot, question.subject, subject) {
            Ok(subject) => subject,
            Err(reason) => return settled(reason),
        };
        let object = match self.object {
            Some(object) => known(snapshot, question.resource, snapshot.objects.end(object)),
            None => Err(Reason::UnknownResource),
        };
        let resource = match (object, self.permission) {
            (Ok(object), Some(permission)) => Target { object, permission },
            (Ok(_), None) => return settled(Reason::UnknownPermission),
            (Err(reason), _) => return settled(reason),
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
    if question.permission.name.starts_with("Add") && concerns_self(snapshot, question, asked) {
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
fn concerns_self(snapshot: &Snapshot, question: &Question<'_>, asked: &Asked) -> bool {
    let subject = asked.subject;
    let row = &snapshot.subjects[subject];
    let person = if row.is_person { Some(subject) } else { row.owner };
    let own = |target: Target, named: ObjectRef<'_>| match snapshot.resources[target.object].is {
        Is::Person(id) => person == Some(id),
        // All accounts besides the policy share a row: their names tell them apart.
        Is::Account(id) if id == snapshot.besides.actor => {
            id == subject && named.id == question.subject.id()
        }
        Is::Account(id) => {
            id == subject || (person.is_some() && snapshot.subjects[id].owner == person)
        }
        Is::Actor(_) | Is::BusinessRole(_) | Is::Location(_) | Is::Plain => false,
    };
    let counterpart = asked.counterpart.zip(question.counterpart);
    own(asked.resource, question.resource)
        || counterpart.is_some_and(|(target, named)| own(target, named))
}

/// The strongest qualifier of everything that applies to a subject and a target.
pub(crate) fn strongest(snapshot: &Snapshot, who: &Who<'_>, target: Target) -> Option<Qualifier> {
    let kind = snapshot.resources[target.object].kind;
    let mut strongest = Strongest::new(snapshot, kind, target.permission, who.t);
    // Whether the walk broke off or ended, what it found is the answer.
    let (ControlFlow::Break(()) | ControlFlow::Continue(())) =
        walk(snapshot, who, target.object, &mut strongest);
    strongest.found
}

/// The strongest qualifier of a permission asked of a type at a location (D1).
pub(crate) fn strongest_at(
    snapshot: &Snapshot,
    who: &Who<'_>,
    (kind, location): (TypeIx, LocationIx),
    permission: PermissionIx,
) -> Option<Qualifier> {
    let mut strongest = Strongest::new(snapshot, kind, permission, who.t);
    let (ControlFlow::Break(()) | ControlFlow::Continue(())) =
        walk_location(snapshot, who, kind, location, &mut strongest);
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

    fn asks(&self) -> Option<PermissionIx> {
        Some(self.permission)
    }
}
