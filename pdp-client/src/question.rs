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

/// What the subject would do. Each kind is a name space of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Something done through the platform.
    Operation(String),
    /// A native permission of the protected system.
    Right(String),
    /// An action on a vault entity, such as `view_password`. The resource is the entity; for a
    /// resource group see [`Resource::group`].
    VaultAction(String),
    /// Opening a privileged session on a computer with this permission level, or with none.
    Session(Option<String>),
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
    /// The second object of a dual check: the operation is asked of both. Only with an operation.
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

    pub(crate) fn to_wire(&self) -> v1::Subject {
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

    /// An action on a vault entity.
    pub fn vault_action(name: impl Into<String>) -> Self {
        Self::VaultAction(name.into())
    }

    /// A privileged session with this permission level.
    pub fn session(level: impl Into<String>) -> Self {
        Self::Session(Some(level.into()))
    }

    /// A session without a permission level.
    #[must_use]
    pub const fn unprivileged_session() -> Self {
        Self::Session(None)
    }

    /// The name of the operation, right, action or permission level; `none` for no level.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Operation(name) | Self::Right(name) | Self::VaultAction(name) => name,
            Self::Session(level) => level.as_deref().unwrap_or("none"),
        }
    }

    fn to_wire(&self) -> v1::question::Permission {
        match self {
            Self::Operation(name) => v1::question::Permission::Operation(name.clone()),
            Self::Right(name) => v1::question::Permission::Right(name.clone()),
            Self::VaultAction(name) => v1::question::Permission::VaultAction(name.clone()),
            Self::Session(level) => v1::question::Permission::Session(session(level.as_ref())),
        }
    }
}

pub(crate) fn session(level: Option<&String>) -> v1::SessionPermission {
    v1::SessionPermission { level: level.cloned() }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operation(name) => f.write_str(name),
            Self::Right(name) => write!(f, "right:{name}"),
            Self::VaultAction(name) => write!(f, "vault:{name}"),
            Self::Session(_) => write!(f, "session:{}", self.name()),
        }
    }
}

// === impl Resource ===

impl Resource {
    /// The resource of this type and id.
    pub fn new(type_name: impl Into<String>, id: impl Into<String>) -> Self {
        Self { type_name: type_name.into(), id: id.into() }
    }

    /// The resource group of this id, for questions about vault actions.
    pub fn group(id: impl Into<String>) -> Self {
        Self::new("resource_group", id)
    }

    pub(crate) fn to_wire(&self) -> v1::ResourceRef {
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

    #[test]
    fn every_kind_of_permission_travels_and_is_told_apart() {
        use v1::question::Permission as Wire;
        let session = |level: Option<&str>| {
            Wire::Session(v1::SessionPermission { level: level.map(str::to_owned) })
        };
        for (permission, wire, text) in [
            (Permission::operation("View"), Wire::Operation("View".into()), "View"),
            (Permission::right("Read"), Wire::Right("Read".into()), "right:Read"),
            (Permission::vault_action("share"), Wire::VaultAction("share".into()), "vault:share"),
            (Permission::session("root"), session(Some("root")), "session:root"),
            (Permission::unprivileged_session(), session(None), "session:none"),
        ] {
            assert_eq!((permission.to_wire(), permission.to_string()), (wire, text.to_owned()));
        }
        assert_eq!(Resource::group("web").to_string(), "resource_group:web");
    }
}
