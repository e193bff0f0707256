//! Questions that own their names: what a case file holds and a command line builds. One type for
//! each family, and [`AnyQuestion`] for whichever it is.

mod delegation;
mod permission;
mod session;
mod vault;

use std::fmt;

pub use delegation::{OwnedDelegation, OwnedRecipient, OwnedScope};
pub use permission::{WrittenPermission, parse_permission};
pub use session::OwnedSession;
pub use vault::OwnedVault;

use pdp_engine::actor::ActorRef;
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::{ObjectRef, PermissionRef, Question, SubjectRef};

use crate::diagnostic::shown;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OwnedSubject {
    /// A person, by id.
    Person(String),
    /// An account, by id.
    Account(String),
}

/// What is asked about, by type and id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnedObject {
    /// The resource type's name.
    pub type_name: String,
    /// The id within the type.
    pub id: String,
}

/// May this subject do this to that? The names may be anything: whether they are names at all is
/// part of the answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnedQuestion {
    /// Who.
    pub subject: OwnedSubject,
    /// An operation or a right.
    pub kind: PermissionKind,
    /// Its name.
    pub permission: String,
    /// To what.
    pub resource: OwnedObject,
    /// The second object of a dual check.
    pub counterpart: Option<OwnedObject>,
    /// Whether a dual check may answer `REQUIRES_APPROVAL`.
    pub routing: bool,
}

/// A question of whichever family.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AnyQuestion {
    /// About an operation or a right.
    Access(OwnedQuestion),
    /// About handing out an Access Level.
    Delegation(OwnedDelegation),
    /// About an action on a vault entity.
    Vault(OwnedVault),
    /// About a privileged session.
    Session(OwnedSession),
}

/// Why a string does not name who asks or what is asked about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Not `person:ID` or `account:ID`.
    #[error("`{shown}` does not name a subject; write `person:ID` or `account:ID`")]
    Subject {
        /// The string, shortened.
        shown: String,
    },
    /// Not `Type:id`.
    #[error("`{shown}` does not name a resource; write `Type:id`")]
    Object {
        /// The string, shortened.
        shown: String,
    },
    /// Not `Type/Name`.
    #[error("`{shown}` does not name an access level; write `Type/Name`")]
    Level {
        /// The string, shortened.
        shown: String,
    },
    /// None of the forms of actors.
    #[error("`{shown}` does not name an actor; write one of {}", ActorRef::FORMS)]
    Recipient {
        /// The string, shortened.
        shown: String,
    },
    /// A business role pair without `@`.
    #[error("`{shown}` names no location; write `business_role:ROLE@LOCATION`")]
    NoLocation {
        /// The string, shortened.
        shown: String,
    },
}

// === impl AnyQuestion ===

impl fmt::Display for AnyQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Access(question) => question.fmt(f),
            Self::Delegation(question) => question.fmt(f),
            Self::Vault(question) => question.fmt(f),
            Self::Session(question) => question.fmt(f),
        }
    }
}

impl From<OwnedQuestion> for AnyQuestion {
    fn from(question: OwnedQuestion) -> Self {
        Self::Access(question)
    }
}

impl From<OwnedDelegation> for AnyQuestion {
    fn from(question: OwnedDelegation) -> Self {
        Self::Delegation(question)
    }
}

impl From<OwnedVault> for AnyQuestion {
    fn from(question: OwnedVault) -> Self {
        Self::Vault(question)
    }
}

impl From<OwnedSession> for AnyQuestion {
    fn from(question: OwnedSession) -> Self {
        Self::Session(question)
    }
}

// === impl OwnedSubject ===

impl OwnedSubject {
    /// Reads `person:ID` or `account:ID`. The id may be malformed.
    ///
    /// # Errors
    /// [`FormError`] if it is of neither form.
    pub fn parse(text: &str) -> Result<Self, FormError> {
        match text.split_once(':') {
            Some(("person", id)) => Ok(Self::Person(id.to_owned())),
            Some(("account", id)) => Ok(Self::Account(id.to_owned())),
            _ => Err(FormError::Subject { shown: shown(text) }),
        }
    }

    /// The subject as the engine takes it.
    #[must_use]
    pub fn as_ref(&self) -> SubjectRef<'_> {
        match self {
            Self::Person(id) => SubjectRef::Person(id),
            Self::Account(id) => SubjectRef::Account(id),
        }
    }
}

impl fmt::Display for OwnedSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(id) => write!(f, "person:{id}"),
            Self::Account(id) => write!(f, "account:{id}"),
        }
    }
}

// === impl OwnedObject ===

impl OwnedObject {
    /// Reads `Type:id`; only the first colon separates. Both parts may be malformed.
    ///
    /// # Errors
    /// [`FormError`] if there is no colon.
    pub fn parse(text: &str) -> Result<Self, FormError> {
        let (type_name, id) =
            text.split_once(':').ok_or_else(|| FormError::Object { shown: shown(text) })?;
        Ok(Self { type_name: type_name.to_owned(), id: id.to_owned() })
    }

    /// The object as the engine takes it.
    #[must_use]
    pub fn as_ref(&self) -> ObjectRef<'_> {
        ObjectRef { type_name: &self.type_name, id: &self.id }
    }
}

impl fmt::Display for OwnedObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.type_name, self.id)
    }
}

// === impl OwnedQuestion ===

impl OwnedQuestion {
    /// A question about one object, with routing.
    #[must_use]
    pub fn new(
        subject: OwnedSubject,
        kind: PermissionKind,
        permission: impl Into<String>,
        resource: OwnedObject,
    ) -> Self {
        let permission = permission.into();
        Self { subject, kind, permission, resource, counterpart: None, routing: true }
    }

    /// The question as the engine takes it.
    #[must_use]
    pub fn as_question(&self) -> Question<'_> {
        Question {
            subject: self.subject.as_ref(),
            permission: PermissionRef { kind: self.kind, name: &self.permission },
            resource: self.resource.as_ref(),
            counterpart: self.counterpart.as_ref().map(OwnedObject::as_ref),
            routing: self.routing,
        }
    }
}

/// `person:ana, operation View, Report:absence`.
impl fmt::Display for OwnedQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, kind, permission, resource, counterpart, routing } = self;
        write!(f, "{subject}, {} {permission}, {resource}", kind.as_str())?;
        if let Some(counterpart) = counterpart {
            write!(f, ", counterpart {counterpart}")?;
        }
        f.write_str(routed(*routing))
    }
}

/// What a question says of routing, at its end.
const fn routed(routing: bool) -> &'static str {
    if routing { "" } else { ", without routing" }
}
