//! One question of whichever family, put to the engine and to the reference.

use pdp_bundle::question::{
    AnyQuestion, OwnedDelegation, OwnedObject, OwnedQuestion, OwnedRecipient, OwnedScope,
    OwnedSession, OwnedSubject, OwnedVault,
};
use pdp_engine::check::check;
use pdp_engine::delegate::{DelegationQuestion, RecipientRef, ScopeRef, check_delegation};
use pdp_engine::query::{Decision, ObjectRef, Question, SubjectRef};
use pdp_engine::session::{Obligations, SessionQuestion, check_session};
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;
use pdp_engine::vault::{VaultQuestion, check_vault};

use crate::oracle::{Answer, Oracle, Refused};

/// A question that borrows its names.
#[derive(Debug, Clone, Copy)]
pub enum Asked<'a> {
    /// An operation or a right.
    Access(Question<'a>),
    /// Handing out an Access Level.
    Delegation(DelegationQuestion<'a>),
    /// An action on a vault entity.
    Vault(VaultQuestion<'a>),
    /// A privileged session.
    Session(SessionQuestion<'a>),
}

/// What comes back: effect, reason and, for a session, what goes with it; or a refusal.
pub type Told = Result<(Answer, Option<Obligations>), Refused>;

// === impl Asked ===

impl<'a> Asked<'a> {
    /// The question that a case file holds.
    #[must_use]
    pub fn of(question: &'a AnyQuestion) -> Self {
        match question {
            AnyQuestion::Access(it) => Self::Access(it.as_question()),
            AnyQuestion::Delegation(it) => Self::Delegation(it.as_question()),
            AnyQuestion::Vault(it) => Self::Vault(it.as_question()),
            AnyQuestion::Session(it) => Self::Session(it.as_question()),
        }
    }

    /// The question's family, as tables call it.
    #[must_use]
    pub const fn family(&self) -> &'static str {
        match self {
            Self::Access(_) => "access",
            Self::Delegation(_) => "delegation",
            Self::Vault(_) => "vault",
            Self::Session(_) => "session",
        }
    }

    /// The same with names of its own.
    #[must_use]
    pub fn owned(&self) -> AnyQuestion {
        match *self {
            Self::Access(Question { subject, permission, resource, counterpart, routing }) => {
                AnyQuestion::Access(OwnedQuestion {
                    subject: owned_subject(subject),
                    kind: permission.kind,
                    permission: permission.name.to_owned(),
                    resource: owned_object(resource),
                    counterpart: counterpart.map(owned_object),
                    routing,
                })
            }
            Self::Delegation(it) => AnyQuestion::Delegation(OwnedDelegation {
                delegator: owned_subject(it.delegator),
                action: it.action,
                type_name: it.type_name.to_owned(),
                level: it.level.to_owned(),
                recipient: owned_recipient(it.recipient),
                scope: match it.scope {
                    ScopeRef::On(object) => OwnedScope::On(owned_object(object)),
                    ScopeRef::In(location) => OwnedScope::In(location.to_owned()),
                    ScopeRef::Relative(relative) => OwnedScope::Relative(relative),
                },
                routing: it.routing,
            }),
            Self::Vault(VaultQuestion { subject, action, entity }) => {
                AnyQuestion::Vault(OwnedVault {
                    subject: owned_subject(subject),
                    action: action.to_owned(),
                    entity: owned_object(entity),
                    routing: true,
                })
            }
            Self::Session(SessionQuestion { subject, level, computer, routing }) => {
                AnyQuestion::Session(OwnedSession {
                    subject: owned_subject(subject),
                    level: level.map(str::to_owned),
                    computer: owned_object(computer),
                    routing,
                })
            }
        }
    }

    /// What the engine says.
    ///
    /// # Errors
    /// [`Refused`] where the question is not one.
    pub fn decide(&self, snapshot: &Snapshot, now: Timestamp) -> Told {
        let plain = |it: Decision| ((it.effect, it.reason), None);
        let told = match self {
            Self::Access(it) => check(snapshot, it, now).map(plain),
            Self::Delegation(it) => check_delegation(snapshot, it, now).map(plain),
            Self::Vault(it) => check_vault(snapshot, it, now).map(plain),
            Self::Session(it) => check_session(snapshot, it, now)
                .map(|it| ((it.decision.effect, it.decision.reason), it.obligations)),
        };
        told.map_err(|_| Refused)
    }

    /// What the oracle says.
    ///
    /// # Errors
    /// [`Refused`] where the question is not one.
    pub fn put_to(&self, oracle: &Oracle<'_>) -> Told {
        match self {
            Self::Access(it) => Ok((oracle.decide(it)?, None)),
            Self::Delegation(it) => Ok((oracle.decide_delegation(it)?, None)),
            Self::Vault(it) => Ok((oracle.decide_vault(it)?, None)),
            Self::Session(it) => oracle.decide_session(it),
        }
    }
}

fn owned_subject(subject: SubjectRef<'_>) -> OwnedSubject {
    match subject {
        SubjectRef::Person(id) => OwnedSubject::Person(id.to_owned()),
        SubjectRef::Account(id) => OwnedSubject::Account(id.to_owned()),
    }
}

fn owned_object(object: ObjectRef<'_>) -> OwnedObject {
    OwnedObject { type_name: object.type_name.to_owned(), id: object.id.to_owned() }
}

fn owned_recipient(recipient: RecipientRef<'_>) -> OwnedRecipient {
    match recipient {
        RecipientRef::Person(id) => OwnedRecipient::Person(id.to_owned()),
        RecipientRef::Account(id) => OwnedRecipient::Account(id.to_owned()),
        RecipientRef::Group(id) => OwnedRecipient::Group(id.to_owned()),
        RecipientRef::SetGroup(id) => OwnedRecipient::SetGroup(id.to_owned()),
        RecipientRef::BusinessRoleLocation(role, location) => {
            OwnedRecipient::BusinessRoleLocation(role.to_owned(), location.to_owned())
        }
        RecipientRef::ManagementRole(id) => OwnedRecipient::ManagementRole(id.to_owned()),
        RecipientRef::ManagementRoleDefinition(id) => {
            OwnedRecipient::ManagementRoleDefinition(id.to_owned())
        }
    }
}
