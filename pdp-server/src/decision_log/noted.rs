//! A question as it is noted. It is one shape for three uses: with texts that are borrowed from the
//! request, with places in a record's bytes, and with texts that are borrowed from those again.

use pdp_engine::delegate::{DelegationAction, DelegationQuestion, RecipientRef, ScopeRef};
use pdp_engine::level::Relative;
use pdp_engine::query::{ObjectRef, SubjectRef};

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noted<T> {
    /// May this subject do this to that?
    Check {
        subject: NotedSubject<T>,
        permission: NotedPermission<T>,
        resource: NotedObject<T>,
        counterpart: Option<NotedObject<T>>,
        routing: bool,
    },
    /// May this person or account hand out this Access Level?
    Delegation {
        delegator: NotedSubject<T>,
        action: DelegationAction,
        type_name: T,
        level: T,
        recipient: NotedRecipient<T>,
        scope: NotedScope<T>,
        routing: bool,
    },
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotedSubject<T> {
    Person(T),
    Account(T),
    /// Of a type that no subject has, with an id.
    Nobody(T, T),
}

/// What they would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotedPermission<T> {
    Operation(T),
    Right(T),
    Vault(T),
    /// With a permission level, or without one.
    Session(Option<T>),
}

/// Type and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotedObject<T> {
    pub(crate) type_name: T,
    pub(crate) id: T,
}

/// Who would get a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotedRecipient<T> {
    /// The kind of actor, and its id.
    One(&'static str, T),
    /// A business role and a location.
    Pair(T, T),
}

/// What it would cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotedScope<T> {
    On(NotedObject<T>),
    In(T),
    Relative(Relative),
}

// === impl Noted ===

impl<T> Noted<T> {
    /// The same question with other texts. They are taken in the order of the fields.
    pub(super) fn map<U>(self, f: &mut impl FnMut(T) -> U) -> Noted<U> {
        match self {
            Self::Check { subject, permission, resource, counterpart, routing } => Noted::Check {
                subject: subject.map(f),
                permission: match permission {
                    NotedPermission::Operation(name) => NotedPermission::Operation(f(name)),
                    NotedPermission::Right(name) => NotedPermission::Right(f(name)),
                    NotedPermission::Vault(action) => NotedPermission::Vault(f(action)),
                    NotedPermission::Session(level) => NotedPermission::Session(level.map(&mut *f)),
                },
                resource: resource.map(f),
                counterpart: counterpart.map(|object| object.map(f)),
                routing,
            },
            Self::Delegation { delegator, action, type_name, level, recipient, scope, routing } => {
                Noted::Delegation {
                    delegator: delegator.map(f),
                    action,
                    type_name: f(type_name),
                    level: f(level),
                    recipient: match recipient {
                        NotedRecipient::One(kind, id) => NotedRecipient::One(kind, f(id)),
                        NotedRecipient::Pair(role, location) => {
                            NotedRecipient::Pair(f(role), f(location))
                        }
                    },
                    scope: match scope {
                        NotedScope::On(object) => NotedScope::On(object.map(f)),
                        NotedScope::In(location) => NotedScope::In(f(location)),
                        NotedScope::Relative(relative) => NotedScope::Relative(relative),
                    },
                    routing,
                }
            }
        }
    }
}

impl<'a> From<DelegationQuestion<'a>> for Noted<&'a str> {
    fn from(question: DelegationQuestion<'a>) -> Self {
        let DelegationQuestion { delegator, action, type_name, level, recipient, scope, routing } =
            question;
        let recipient = match recipient {
            RecipientRef::Person(id) => NotedRecipient::One("person", id),
            RecipientRef::Account(id) => NotedRecipient::One("account", id),
            RecipientRef::Group(id) => NotedRecipient::One("group", id),
            RecipientRef::SetGroup(id) => NotedRecipient::One("set_group", id),
            RecipientRef::BusinessRoleLocation(role, location) => {
                NotedRecipient::Pair(role, location)
            }
            RecipientRef::ManagementRole(id) => NotedRecipient::One("management_role", id),
            RecipientRef::ManagementRoleDefinition(id) => {
                NotedRecipient::One("management_role_definition", id)
            }
        };
        let scope = match scope {
            ScopeRef::On(object) => NotedScope::On(object.into()),
            ScopeRef::In(location) => NotedScope::In(location),
            ScopeRef::Relative(relative) => NotedScope::Relative(relative),
        };
        let delegator = delegator.into();
        Self::Delegation { delegator, action, type_name, level, recipient, scope, routing }
    }
}

// === impl NotedSubject ===

impl<T> NotedSubject<T> {
    fn map<U>(self, f: &mut impl FnMut(T) -> U) -> NotedSubject<U> {
        match self {
            Self::Person(id) => NotedSubject::Person(f(id)),
            Self::Account(id) => NotedSubject::Account(f(id)),
            Self::Nobody(kind, id) => NotedSubject::Nobody(f(kind), f(id)),
        }
    }
}

impl<'a> From<SubjectRef<'a>> for NotedSubject<&'a str> {
    fn from(subject: SubjectRef<'a>) -> Self {
        match subject {
            SubjectRef::Person(id) => Self::Person(id),
            SubjectRef::Account(id) => Self::Account(id),
        }
    }
}

// === impl NotedObject ===

impl<T> NotedObject<T> {
    fn map<U>(self, f: &mut impl FnMut(T) -> U) -> NotedObject<U> {
        NotedObject { type_name: f(self.type_name), id: f(self.id) }
    }
}

impl<'a> From<ObjectRef<'a>> for NotedObject<&'a str> {
    fn from(object: ObjectRef<'a>) -> Self {
        let ObjectRef { type_name, id } = object;
        Self { type_name, id }
    }
}
