//! Questions as a caller writes them. Whether a name is well formed is for the server to say.

use std::fmt;

use pdp_proto::v1;

/// Who asks: a person or an account.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A person, by id. A person counts as their enabled accounts too.
    Person(String),
    /// An account, by id. An account does not count as its owner.
    Account(String),
}

/// What the subject would do. Operations and rights are separate name spaces.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Something done through the platform.
    Operation(String),
    /// A native permission of the protected system.
    Right(String),
}

/// What it would be done to. Written `Type:id`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Resource {
    /// The resource type's name.
    pub type_name: String,
    /// The id within the type.
    pub id: String,
}

/// May this subject do this to that?
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// Who.
    pub subject: Subject,
    /// What.
    pub permission: Permission,
    /// To what.
    pub resource: Resource,
    /// The second object of a dual check: the operation is asked of both. Not with a right.
    pub counterpart: Option<Resource>,
    /// Whether the answer may be `REQUIRES_APPROVAL`; without routing that becomes `DENY`.
    pub routing: bool,
}

// === impl Subject ===

impl Subject {
    /// A person.
    pub fn person(id: impl Into<String>) -> Self {
        Self::Person(id.into())
    }

    /// An account.
    pub fn account(id: impl Into<String>) -> Self {
        Self::Account(id.into())
    }

    fn to_wire(&self) -> v1::Subject {
        let subject = match self {
            Self::Person(id) => v1::subject::Subject::Person(id.clone()),
            Self::Account(id) => v1::subject::Subject::Account(id.clone()),
        };
        v1::Subject { subject: Some(subject) }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(id) => write!(f, "person:{id}"),
            Self::Account(id) => write!(f, "account:{id}"),
        }
    }
}

// === impl Permission ===

impl Permission {
    /// An operation.
    pub fn operation(name: impl Into<String>) -> Self {
        Self::Operation(name.into())
    }

    /// A native right.
    pub fn right(name: impl Into<String>) -> Self {
        Self::Right(name.into())
    }

    /// The name of the operation or right.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Operation(name) | Self::Right(name) => name,
        }
    }

    fn to_wire(&self) -> v1::question::Permission {
        match self {
            Self::Operation(name) => v1::question::Permission::Operation(name.clone()),
            Self::Right(name) => v1::question::Permission::Right(name.clone()),
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operation(name) => f.write_str(name),
            Self::Right(name) => write!(f, "right:{name}"),
        }
    }
}

// === impl Resource ===

impl Resource {
    /// The resource of this type and id.
    pub fn new(type_name: impl Into<String>, id: impl Into<String>) -> Self {
        Self { type_name: type_name.into(), id: id.into() }
    }

    fn to_wire(&self) -> v1::ResourceRef {
        v1::ResourceRef { r#type: self.type_name.clone(), id: self.id.clone() }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.type_name, self.id)
    }
}

// === impl Question ===

impl Question {
    /// A question about one object.
    #[must_use]
    pub const fn new(subject: Subject, permission: Permission, resource: Resource) -> Self {
        Self { subject, permission, resource, counterpart: None, routing: true }
    }

    /// The same question as a dual check with this second object.
    #[must_use]
    pub fn with_counterpart(mut self, counterpart: Resource) -> Self {
        self.counterpart = Some(counterpart);
        self
    }

    /// The same question with `DENY` where the answer would be `REQUIRES_APPROVAL`.
    #[must_use]
    pub const fn without_routing(mut self) -> Self {
        self.routing = false;
        self
    }

    pub(crate) fn to_wire(&self) -> v1::Question {
        let Self { subject, permission, resource, counterpart, routing } = self;
        v1::Question {
            subject: Some(subject.to_wire()),
            permission: Some(permission.to_wire()),
            resource: Some(resource.to_wire()),
            counterpart: counterpart.as_ref().map(Resource::to_wire),
            no_routing: !routing,
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.subject, self.permission, self.resource)?;
        if let Some(counterpart) = &self.counterpart {
            write!(f, " counterpart {counterpart}")?;
        }
        if self.routing { Ok(()) } else { f.write_str(" without routing") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_travels_whole() {
        let question = Question::new(
            Subject::account("corp/ana"),
            Permission::right("ReadData"),
            Resource::new("Report", "absence"),
        )
        .with_counterpart(Resource::new("Person", "bo"))
        .without_routing();
        let wire = question.to_wire();
        let subject = wire.subject.and_then(|subject| subject.subject);
        assert_eq!(subject, Some(v1::subject::Subject::Account("corp/ana".into())));
        assert_eq!(wire.permission, Some(v1::question::Permission::Right("ReadData".into())));
        assert_eq!(
            wire.resource.map(|r| (r.r#type, r.id)),
            Some(("Report".into(), "absence".into()))
        );
        assert_eq!(wire.counterpart.map(|r| r.id), Some("bo".into()));
        assert!(wire.no_routing);
        assert_eq!(
            question.to_string(),
            "account:corp/ana right:ReadData Report:absence counterpart Person:bo without routing"
        );
    }
}
