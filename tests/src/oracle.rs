//! A slow decision procedure, written straight from sections 2 to 7 of the semantics.
//!
//! It knows the facts and nothing else: no index, no cache, nothing of the engine but its plain
//! types. Everything is found by reading all facts again, so that each rule stands here as a
//! sentence that can be held against its text. The compiled engine is compared with this.

mod closure;
mod delegation;
mod list;
mod open;
mod scope;
mod session;
mod vault;

use std::collections::BTreeSet;

use pdp_engine::actor::ActorRef;
use pdp_engine::facts::Facts;
use pdp_engine::id::{
    AccountId, BusinessRoleId, GroupId, LocationId, ManagementRoleDefinitionId, ManagementRoleId,
    ObjectId, PersonId, SetGroupId, TypeName,
};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef};
use pdp_engine::permission::{Pattern, PermissionKind, Qualifier};
use pdp_engine::query::{Effect, ObjectRef, PermissionRef, Question, Reason, SubjectRef};
use pdp_engine::resource::ResourceRef;
use pdp_engine::time::{Timestamp, Window};

pub use delegation::{Delegation, Demand, Of, Standing};
pub use open::Existing;
pub use vault::{Found, Holdings};

/// The facts, at an instant.
#[derive(Debug, Clone, Copy)]
pub struct Oracle<'a> {
    facts: &'a Facts,
    existing: &'a Existing,
    now: Timestamp,
}

/// What the oracle answers: the effect and its reason.
pub type Answer = (Effect, Reason);

/// The question is not one (Q6: an error, not a decision).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

/// A part of a question that is unknown (Q6).
type Unknown = Reason;

/// A question with names in place of strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// A person or an account.
    pub subject: ActorRef,
    /// Operation or right.
    pub kind: PermissionKind,
    /// Its name.
    pub permission: String,
    /// The resource.
    pub object: ResourceRef,
}

// === impl Oracle ===

impl<'a> Oracle<'a> {
    /// The oracle over these facts at this instant, with nothing besides them.
    #[must_use]
    pub const fn new(facts: &'a Facts, now: Timestamp) -> Self {
        Self { facts, existing: &open::NOTHING, now }
    }

    /// The same with these sessions and accounts besides the facts.
    #[must_use]
    pub const fn beside(self, existing: &'a Existing) -> Self {
        Self { existing, ..self }
    }

    /// Decides a question: Q6, then Q1 to Q4 or Q7.
    ///
    /// # Errors
    /// [`Refused`] where a name cannot be one, or a right is asked with a counterpart.
    pub fn decide(&self, question: &Question<'_>) -> Result<Answer, Refused> {
        let subject = subject(question.subject)?;
        let permission = named(question.permission)?;
        let resource = object(question.resource)?;
        let counterpart = question.counterpart.map(object).transpose()?;
        let kind = question.permission.kind;
        if counterpart.is_some() && kind == PermissionKind::Right {
            return Err(Refused);
        }
        if let Err(unknown) = self.know_subject(&subject) {
            return Ok((Effect::Deny, unknown));
        }
        for side in [Some(&resource), counterpart.as_ref()].into_iter().flatten() {
            if let Err(unknown) = self.know_object(side, kind, &permission) {
                return Ok((Effect::Deny, unknown));
            }
        }
        let about = |object: &ResourceRef| Asked {
            subject: subject.clone(),
            kind,
            permission: permission.clone(),
            object: object.clone(),
        };
        let one = self.outcome(&about(&resource));
        let Some(counterpart) = counterpart else { return Ok(single(one)) };
        let other = self.outcome(&about(&counterpart));
        let (effect, reason) = dual(one, other);
        // Q7, SELF_DELEGATION: only what would not have been a denial anyway.
        if effect != Effect::Deny
            && permission.starts_with("Add")
            && (self.is_own(&subject, &resource) || self.is_own(&subject, &counterpart))
        {
            return Ok((Effect::Deny, Reason::SelfDelegation));
        }
        if effect == Effect::RequiresApproval && !question.routing {
            return Ok((Effect::Deny, reason));
        }
        Ok((effect, reason))
    }

    /// Q1 to Q4 for one object that is known.
    #[must_use]
    pub fn outcome(&self, asked: &Asked) -> Reason {
        strongest(self.entries(asked).into_iter().map(|(_, qualifier)| qualifier))
    }

    /// Section 3: every assignment that applies and whose definition mentions the permission.
    #[must_use]
    pub fn entries(&self, asked: &Asked) -> Vec<(&'a Assignment, Qualifier)> {
        let counts_as = self.counts_as(&asked.subject);
        self.facts
            .assignments()
            .filter(|assignment| counts_as.contains(&assignment.to))
            .filter(|assignment| self.open(&assignment.window))
            .filter(|assignment| self.covers(assignment, &asked.subject, &asked.object))
            .filter_map(|assignment| {
                let qualifier = self.qualifier(&assignment.level, asked.kind, &asked.permission)?;
                Some((assignment, qualifier))
            })
            .collect()
    }

    /// What a definition says about a permission: an exact name overrides `*`.
    #[must_use]
    pub fn qualifier(
        &self,
        level: &LevelRef,
        kind: PermissionKind,
        permission: &str,
    ) -> Option<Qualifier> {
        let definition: &AccessLevel = self.facts.access_level(level)?;
        let lines = match kind {
            PermissionKind::Operation => &definition.operations,
            PermissionKind::Right => &definition.rights,
        };
        let names_it =
            |line: &Pattern| matches!(line, Pattern::Name(it) if it.as_str() == permission);
        let exact = lines.iter().find(|(line, _)| names_it(line)).map(|(_, says)| says);
        let star =
            lines.get(&Pattern::All).filter(|_| self.declares(&level.type_name, kind, permission));
        exact.or(star).copied()
    }

    /// Whether the subject is known and enabled (Q6, A8).
    fn know_subject(&self, subject: &ActorRef) -> Result<(), Unknown> {
        let known = match subject {
            ActorRef::Person(id) => self.facts.person(id).is_some(),
            ActorRef::Account(id) => self.knows_account(id),
            _ => false,
        };
        match (known, self.is_disabled(subject)) {
            (false, _) => Err(Reason::UnknownSubject),
            (true, true) => Err(Reason::SubjectDisabled),
            (true, false) => Ok(()),
        }
    }

    /// An account of the policy, or one made for a session (P10).
    fn knows_account(&self, id: &AccountId) -> bool {
        self.facts.account(id).is_some() || self.made(id.as_str()).is_some()
    }

    /// Whether the resource exists and its type declares the permission (Q6).
    fn know_object(
        &self,
        object: &ResourceRef,
        kind: PermissionKind,
        permission: &str,
    ) -> Result<(), Unknown> {
        if !self.exists(object) {
            return Err(Reason::UnknownResource);
        }
        if !self.declares(&object.type_name, kind, permission) {
            return Err(Reason::UnknownPermission);
        }
        Ok(())
    }

    fn declares(&self, of: &TypeName, kind: PermissionKind, permission: &str) -> bool {
        self.facts.resource_types().filter(|declared| declared.name == *of).any(|declared| {
            match kind {
                PermissionKind::Operation => {
                    declared.operations.iter().any(|it| it.as_str() == permission)
                }
                PermissionKind::Right => declared.rights.iter().any(|it| it.as_str() == permission),
            }
        })
    }

    /// Section 1: every actor is also a resource, of its built-in type.
    fn exists(&self, object: &ResourceRef) -> bool {
        let (facts, id) = (self.facts, object.id.as_str());
        match object.type_name.as_str() {
            "Person" => PersonId::new(id).is_ok_and(|id| facts.person(&id).is_some()),
            "UserAccount" => AccountId::new(id).is_ok_and(|id| self.knows_account(&id)),
            "Group" => GroupId::new(id).is_ok_and(|id| facts.group(&id).is_some()),
            "SetGroup" => SetGroupId::new(id).is_ok_and(|id| facts.set_group(&id).is_some()),
            "BusinessRole" => {
                BusinessRoleId::new(id).is_ok_and(|id| facts.business_role(&id).is_some())
            }
            "Location" => LocationId::new(id).is_ok_and(|id| facts.location(&id).is_some()),
            "ManagementRole" => {
                ManagementRoleId::new(id).is_ok_and(|id| facts.management_role(&id).is_some())
            }
            "ManagementRoleDefinition" => ManagementRoleDefinitionId::new(id)
                .is_ok_and(|id| facts.management_role_definition(&id).is_some()),
            _ => facts.resources().any(|resource| resource.name == *object),
        }
    }

    /// Q7: the subject's own Person or one of the subject's own accounts; for an account subject,
    /// its owner's, and itself.
    fn is_own(&self, subject: &ActorRef, object: &ResourceRef) -> bool {
        let person = match subject {
            ActorRef::Account(id) => self.facts.account(id).and_then(|found| found.owner.as_ref()),
            ActorRef::Person(id) => Some(id),
            _ => None,
        };
        let id = object.id.as_str();
        match object.type_name.as_str() {
            "Person" => person.is_some_and(|person| person.as_str() == id),
            "UserAccount" => {
                let itself = matches!(subject, ActorRef::Account(own) if own.as_str() == id);
                let owned = self.facts.accounts().any(|account| {
                    account.id.as_str() == id
                        && person.is_some()
                        && account.owner.as_ref() == person
                });
                itself || owned
            }
            _ => false,
        }
    }

    /// A9: `from` inclusive, `until` exclusive.
    fn open(&self, window: &Window) -> bool {
        let begun = window.from.is_none_or(|from| from <= self.now);
        let over = window.until.is_some_and(|until| until <= self.now);
        begun && !over
    }

    /// A(s), section 2; empty for a disabled subject (A8).
    #[must_use]
    pub fn counts_as(&self, subject: &ActorRef) -> BTreeSet<ActorRef> {
        if self.is_disabled(subject) { BTreeSet::new() } else { self.closure(subject) }
    }
}

/// Q1 to Q4, in their order.
#[must_use]
pub fn strongest(qualifiers: impl IntoIterator<Item = Qualifier>) -> Reason {
    let heard: Vec<Qualifier> = qualifiers.into_iter().collect();
    if heard.contains(&Qualifier::Denied) {
        Reason::ExplicitDeny
    } else if heard.contains(&Qualifier::Allowed) {
        Reason::Granted
    } else if heard.contains(&Qualifier::Disabled) {
        Reason::Disabled
    } else {
        Reason::NotGranted
    }
}

fn single(outcome: Reason) -> Answer {
    let effect = if outcome == Reason::Granted { Effect::Allow } else { Effect::Deny };
    (effect, outcome)
}

/// Q7 for two known sides, before self-delegation and routing.
fn dual(resource: Reason, counterpart: Reason) -> Answer {
    if resource == Reason::ExplicitDeny || counterpart == Reason::ExplicitDeny {
        return (Effect::Deny, Reason::ExplicitDeny);
    }
    match (resource == Reason::Granted, counterpart == Reason::Granted) {
        (true, true) => (Effect::Allow, Reason::Granted),
        (false, true) => (Effect::RequiresApproval, Reason::MissingOnResource),
        (true, false) => (Effect::RequiresApproval, Reason::MissingOnCounterpart),
        (false, false) => (Effect::RequiresApproval, Reason::MissingOnBoth),
    }
}

/// The subject as an actor.
///
/// # Errors
/// [`Refused`] where the id cannot be one.
pub fn subject(subject: SubjectRef<'_>) -> Result<ActorRef, Refused> {
    match subject {
        SubjectRef::Person(id) => PersonId::new(id).map(ActorRef::Person).map_err(|_| Refused),
        SubjectRef::Account(id) => AccountId::new(id).map(ActorRef::Account).map_err(|_| Refused),
    }
}

/// The permission's name: any id may be asked about, `*` too, which no type declares.
fn named(permission: PermissionRef<'_>) -> Result<String, Refused> {
    ObjectId::new(permission.name).map(|name| name.to_string()).map_err(|_| Refused)
}

/// The object by name.
///
/// # Errors
/// [`Refused`] where the type or the id cannot be one.
pub fn object(object: ObjectRef<'_>) -> Result<ResourceRef, Refused> {
    Ok(ResourceRef {
        type_name: TypeName::new(object.type_name).map_err(|_| Refused)?,
        id: ObjectId::new(object.id).map_err(|_| Refused)?,
    })
}

/// A question about one object, with names in place of strings.
///
/// # Errors
/// [`Refused`] where a name cannot be one.
pub fn asked(
    of: SubjectRef<'_>,
    permission: PermissionRef<'_>,
    about: ObjectRef<'_>,
) -> Result<Asked, Refused> {
    Ok(Asked {
        subject: subject(of)?,
        kind: permission.kind,
        permission: named(permission)?,
        object: object(about)?,
    })
}
