//! Questions as the engine takes them, to questions as the client library does.

use pdp_client::{
    DelegationAction, DelegationQuestion, Level, Permission, Question, Recipient, Relative,
    Resource, Scope, Subject,
};
use pdp_engine::delegate::{self, RecipientRef, ScopeRef};
use pdp_engine::level;
use pdp_engine::list::{AnyPermission, ApprovalQuestion, ListedPermission};
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::{self, ObjectRef, PermissionRef, SubjectRef};
use pdp_engine::session::SessionQuestion;
use pdp_engine::vault::VaultQuestion;

/// A question about an operation or a right.
#[must_use]
pub fn access(question: &query::Question<'_>) -> Question {
    let query::Question { subject: who, permission, resource, counterpart, routing } = *question;
    Question {
        subject: subject(who),
        permission: any_permission(AnyPermission::Access(permission)),
        resource: object(resource),
        counterpart: counterpart.map(object),
        routing,
    }
}

/// A question about a vault action.
#[must_use]
pub fn vault(question: &VaultQuestion<'_>) -> Question {
    let VaultQuestion { subject: who, action, entity } = *question;
    Question::new(subject(who), any_permission(AnyPermission::Vault(action)), object(entity))
}

/// A question about a session.
#[must_use]
pub fn session(question: &SessionQuestion<'_>) -> Question {
    let SessionQuestion { subject: who, level, computer, routing } = *question;
    let permission = any_permission(AnyPermission::Session(level));
    Question { routing, ..Question::new(subject(who), permission, object(computer)) }
}

/// A question about handing out an Access Level.
#[must_use]
pub fn delegation(question: &delegate::DelegationQuestion<'_>) -> DelegationQuestion {
    let delegate::DelegationQuestion {
        delegator,
        action,
        type_name,
        level,
        recipient: to,
        scope: of,
        routing,
    } = *question;
    DelegationQuestion {
        delegator: subject(delegator),
        action: match action {
            delegate::DelegationAction::Grant => DelegationAction::Grant,
            delegate::DelegationAction::Revoke => DelegationAction::Revoke,
        },
        level: Level::new(type_name, level),
        recipient: recipient(to),
        scope: match of {
            ScopeRef::On(name) => Scope::On(object(name)),
            ScopeRef::In(location) => Scope::In(location.to_owned()),
            ScopeRef::Relative(word) => Scope::Relative(relative(word)),
        },
        routing,
    }
}

/// What approvers are asked about.
#[must_use]
pub fn approval(question: &ApprovalQuestion<'_>) -> pdp_client::ApprovalQuestion {
    match question {
        ApprovalQuestion::Delegation(question) => delegation(question).into(),
        ApprovalQuestion::Dual(question) => access(question).into(),
        ApprovalQuestion::Session(question) => session(question).into(),
    }
}

/// Who asks.
#[must_use]
pub fn subject(subject: SubjectRef<'_>) -> Subject {
    match subject {
        SubjectRef::Person(id) => Subject::person(id),
        SubjectRef::Account(id) => Subject::account(id),
    }
}

/// What is asked about.
#[must_use]
pub fn object(object: ObjectRef<'_>) -> Resource {
    Resource::new(object.type_name, object.id)
}

/// A permission of whichever family.
#[must_use]
pub fn any_permission(permission: AnyPermission<'_>) -> Permission {
    match permission {
        AnyPermission::Access(PermissionRef { kind, name }) => match kind {
            PermissionKind::Operation => Permission::operation(name),
            PermissionKind::Right => Permission::right(name),
        },
        AnyPermission::Vault(action) => Permission::vault_action(action),
        AnyPermission::Session(level) => Permission::Session(level.map(str::to_owned)),
    }
}

/// A permission of a list.
#[must_use]
pub fn listed_permission(listed: &ListedPermission) -> Permission {
    any_permission(listed.ask())
}

fn recipient(recipient: RecipientRef<'_>) -> Recipient {
    match recipient {
        RecipientRef::Person(id) => Recipient::Person(id.to_owned()),
        RecipientRef::Account(id) => Recipient::Account(id.to_owned()),
        RecipientRef::Group(id) => Recipient::Group(id.to_owned()),
        RecipientRef::SetGroup(id) => Recipient::SetGroup(id.to_owned()),
        RecipientRef::BusinessRoleLocation(role, location) => Recipient::BusinessRoleLocation {
            business_role: role.to_owned(),
            location: location.to_owned(),
        },
        RecipientRef::ManagementRole(id) => Recipient::ManagementRole(id.to_owned()),
        RecipientRef::ManagementRoleDefinition(id) => {
            Recipient::ManagementRoleDefinition(id.to_owned())
        }
    }
}

fn relative(relative: level::Relative) -> Relative {
    let found = Relative::ALL.into_iter().find(|it| it.as_str() == relative.as_str());
    found.expect("the client has a word for every relation")
}
