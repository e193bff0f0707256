//! Questions from arguments, and to the client.

use pdp_bundle::question::{
    AnyQuestion, OwnedDelegation, OwnedObject, OwnedQuestion, OwnedRecipient, OwnedScope,
    OwnedSession, OwnedSubject, OwnedVault,
};
use pdp_client as client;
use pdp_client::Revision;
use pdp_engine::delegate::DelegationAction;
use pdp_engine::id::{IdError, validate_id, validate_type_name};
use pdp_engine::level::Relative;
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::Malformed;
use pdp_engine::share::Entity;

use crate::args;
use crate::problem::Problem;

/// A question, well formed, and how fresh its answer must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) question: AnyQuestion,
    pub(crate) at_least: Revision,
}

/// What may be asked of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Access(PermissionKind, String),
    Vault(String),
    Session(Option<String>),
}

// === impl Asked ===

impl Asked {
    pub(crate) fn check(args: args::Question) -> Result<Self, Problem> {
        let args::Question {
            subject,
            permission,
            resource,
            right,
            vault,
            session,
            counterpart,
            no_routing,
            at_least,
        } = args;
        let flag = [
            right.map(|name| ("--right", What::Access(PermissionKind::Right, name))),
            vault.map(|action| ("--vault", What::Vault(action))),
            session.map(|level| ("--session", What::Session(OwnedSession::parse_level(&level)))),
        ];
        let (argument, what, resource) = match (flag.into_iter().flatten().next(), resource) {
            (Some((flag, what)), None) => (flag, what, permission),
            (Some((flag, _)), Some(_)) => {
                let message =
                    format!("`{permission}` and {flag} both say what is asked; leave one out");
                return Err(Problem::argument("PERMISSION", message));
            }
            (None, resource) => {
                ("PERMISSION", What::parse(&permission), resource.unwrap_or_default())
            }
        };
        let subject = self::subject("SUBJECT", &subject)?;
        let resource = object("RESOURCE", &resource)?;
        let counterpart = counterpart.map(|text| object("--counterpart", &text)).transpose()?;
        if counterpart.is_some() && !matches!(what, What::Access(..)) {
            let message = "a counterpart goes with an operation only".to_owned();
            return Err(Problem::argument("--counterpart", message));
        }
        let routing = !no_routing;
        let question = match what.of(subject, resource) {
            AnyQuestion::Access(question) => {
                AnyQuestion::Access(OwnedQuestion { counterpart, routing, ..question })
            }
            AnyQuestion::Vault(question) => OwnedVault { routing, ..question }.into(),
            AnyQuestion::Session(question) => OwnedSession { routing, ..question }.into(),
            AnyQuestion::Delegation(question) => question.into(),
        };
        validate(&question, argument)?;
        Ok(Self { question, at_least: Revision::new(at_least) })
    }

    pub(crate) fn delegation(args: args::DelegationQuestion) -> Result<Self, Problem> {
        let args::DelegationQuestion { action, level, delegator, to, scope, no_routing, at_least } =
            args;
        let args::Scope { on, location, relative } = scope;
        let (argument, scope) = match (on, location, relative) {
            (Some(text), _, _) => ("--on", OwnedScope::On(object("--on", &text)?)),
            (None, Some(location), _) => ("--in", OwnedScope::In(location)),
            (None, None, Some(relative)) => ("--relative", OwnedScope::Relative(relative)),
            (None, None, None) => {
                let message = "one of --on, --in and --relative is needed".to_owned();
                return Err(Problem::argument("--on", message));
            }
        };
        let (type_name, level) = OwnedDelegation::parse_level(&level)
            .map_err(|error| Problem::argument("LEVEL", error.to_string()))?;
        let question = OwnedDelegation {
            delegator: subject("--as", &delegator)?,
            action: match action {
                args::DelegationAction::Grant => DelegationAction::Grant,
                args::DelegationAction::Revoke => DelegationAction::Revoke,
            },
            type_name,
            level,
            recipient: OwnedRecipient::parse(&to)
                .map_err(|error| Problem::argument("--to", error.to_string()))?,
            scope,
            routing: !no_routing,
        };
        let question = AnyQuestion::Delegation(question);
        validate(&question, argument)?;
        Ok(Self { question, at_least: Revision::new(at_least) })
    }
}

/// Reads `person:ID` or `account:ID`.
pub(crate) fn subject(name: &'static str, text: &str) -> Result<OwnedSubject, Problem> {
    let wrong = |error: String| Problem::argument(name, error);
    let subject = OwnedSubject::parse(text).map_err(|error| wrong(error.to_string()))?;
    well_formed_subject(&subject).map_err(|error| wrong(error.to_string()))?;
    Ok(subject)
}

/// Reads `Type:id`.
pub(crate) fn object(name: &'static str, text: &str) -> Result<OwnedObject, Problem> {
    let wrong = |error: String| Problem::argument(name, error);
    let object = OwnedObject::parse(text).map_err(|error| wrong(error.to_string()))?;
    well_formed_entity(&object).map_err(|error| wrong(error.to_string()))?;
    Ok(object)
}

fn well_formed_subject(subject: &OwnedSubject) -> Result<(), IdError> {
    match subject {
        OwnedSubject::Person(id) => validate_id("person id", id),
        OwnedSubject::Account(id) => validate_id("account id", id),
    }
}

fn well_formed_entity(object: &OwnedObject) -> Result<(), IdError> {
    if object.type_name == Entity::GROUP_WORD {
        return validate_id("resource group id", &object.id);
    }
    validate_type_name("resource type", &object.type_name)?;
    validate_id("resource id", &object.id)
}

/// What is malformed, by the argument that is at fault: `argument` is the one that says what is
/// asked, or the scope of a delegation.
fn validate(question: &AnyQuestion, argument: &'static str) -> Result<(), Problem> {
    let malformed = match question {
        AnyQuestion::Access(question) => question.as_question().validate(),
        AnyQuestion::Delegation(question) => question.as_question().validate(),
        AnyQuestion::Vault(question) => what("vault action", &question.action),
        AnyQuestion::Session(question) => {
            let level = question.level.as_ref();
            let formed = level.map_or(Ok(()), |level| what("permission level id", level));
            formed.and_then(|()| {
                let malformed = |source| Malformed::Name { field: "resource", source };
                let type_name = &question.computer.type_name;
                validate_type_name("resource type", type_name).map_err(malformed)
            })
        }
    };
    malformed.map_err(|malformed| {
        let name = match malformed.field() {
            "subject" => "SUBJECT",
            "resource" => "RESOURCE",
            "counterpart" => "--counterpart",
            "delegator" => "--as",
            "level" => "LEVEL",
            "recipient" => "--to",
            _ => argument,
        };
        Problem::argument(name, malformed.to_string())
    })
}

fn what(what: &'static str, name: &str) -> Result<(), Malformed> {
    let malformed = |source| Malformed::Name { field: "permission", source };
    validate_id(what, name).map_err(malformed)
}

// === impl What ===

impl What {
    /// Reads `NAME`, `operation:NAME`, `right:NAME`, `vault:ACTION`, `session:LEVEL`.
    pub(crate) fn parse(text: &str) -> Self {
        match text.split_once(':') {
            Some(("operation", name)) => Self::Access(PermissionKind::Operation, name.to_owned()),
            Some(("right", name)) => Self::Access(PermissionKind::Right, name.to_owned()),
            Some(("vault", action)) => Self::Vault(action.to_owned()),
            Some(("session", level)) => Self::Session(OwnedSession::parse_level(level)),
            Some(_) | None => Self::Access(PermissionKind::Operation, text.to_owned()),
        }
    }

    /// The same, refused where it could name nothing.
    pub(crate) fn read(text: &str) -> Result<Self, Problem> {
        let read = Self::parse(text);
        let formed = match &read {
            Self::Access(kind, name) => what(kind.as_str(), name),
            Self::Vault(action) => what("vault action", action),
            Self::Session(level) => {
                level.as_ref().map_or(Ok(()), |level| what("permission level id", level))
            }
        };
        formed.map_err(|error| Problem::argument("PERMISSION", error.to_string()))?;
        Ok(read)
    }

    /// The question whether this subject may do it to that.
    pub(crate) fn of(self, subject: OwnedSubject, resource: OwnedObject) -> AnyQuestion {
        let routing = true;
        match self {
            Self::Access(kind, name) => OwnedQuestion::new(subject, kind, name, resource).into(),
            Self::Vault(action) => OwnedVault { subject, action, entity: resource, routing }.into(),
            Self::Session(level) => {
                OwnedSession { subject, level, computer: resource, routing }.into()
            }
        }
    }

    pub(crate) fn to_client(&self) -> client::Permission {
        match self.clone() {
            Self::Access(PermissionKind::Operation, name) => client::Permission::Operation(name),
            Self::Access(PermissionKind::Right, name) => client::Permission::Right(name),
            Self::Vault(action) => client::Permission::VaultAction(action),
            Self::Session(level) => client::Permission::Session(level),
        }
    }
}

/// A question as the client takes it.
pub(crate) enum ToClient {
    Check(client::Question),
    Delegation(client::DelegationQuestion),
}

// === impl ToClient ===

impl ToClient {
    pub(crate) fn new(question: &AnyQuestion) -> Self {
        let check = |subject, what: What, resource, counterpart: Option<&OwnedObject>, routing| {
            Self::Check(client::Question {
                subject: subject_to_client(subject),
                permission: what.to_client(),
                resource: object_to_client(resource),
                counterpart: counterpart.map(object_to_client),
                routing,
            })
        };
        match question {
            AnyQuestion::Access(question) => {
                let OwnedQuestion { subject, kind, permission, resource, counterpart, routing } =
                    question;
                let what = What::Access(*kind, permission.clone());
                check(subject, what, resource, counterpart.as_ref(), *routing)
            }
            AnyQuestion::Vault(question) => {
                let OwnedVault { subject, action, entity, routing } = question;
                check(subject, What::Vault(action.clone()), entity, None, *routing)
            }
            AnyQuestion::Session(question) => {
                let OwnedSession { subject, level, computer, routing } = question;
                check(subject, What::Session(level.clone()), computer, None, *routing)
            }
            AnyQuestion::Delegation(question) => Self::Delegation(delegation_to_client(question)),
        }
    }
}

pub(crate) fn subject_to_client(subject: &OwnedSubject) -> client::Subject {
    match subject {
        OwnedSubject::Person(id) => client::Subject::person(id),
        OwnedSubject::Account(id) => client::Subject::account(id),
    }
}

pub(crate) fn object_to_client(object: &OwnedObject) -> client::Resource {
    client::Resource::new(&object.type_name, &object.id)
}

fn delegation_to_client(question: &OwnedDelegation) -> client::DelegationQuestion {
    let OwnedDelegation { delegator, action, type_name, level, recipient, scope, routing } =
        question;
    client::DelegationQuestion {
        delegator: subject_to_client(delegator),
        action: match action {
            DelegationAction::Grant => client::DelegationAction::Grant,
            DelegationAction::Revoke => client::DelegationAction::Revoke,
        },
        level: client::Level::new(type_name, level),
        recipient: match recipient.clone() {
            OwnedRecipient::Person(id) => client::Recipient::Person(id),
            OwnedRecipient::Account(id) => client::Recipient::Account(id),
            OwnedRecipient::Group(id) => client::Recipient::Group(id),
            OwnedRecipient::SetGroup(id) => client::Recipient::SetGroup(id),
            OwnedRecipient::BusinessRoleLocation(business_role, location) => {
                client::Recipient::BusinessRoleLocation { business_role, location }
            }
            OwnedRecipient::ManagementRole(id) => client::Recipient::ManagementRole(id),
            OwnedRecipient::ManagementRoleDefinition(id) => {
                client::Recipient::ManagementRoleDefinition(id)
            }
        },
        scope: match scope {
            OwnedScope::On(object) => client::Scope::On(object_to_client(object)),
            OwnedScope::In(location) => client::Scope::In(location.clone()),
            OwnedScope::Relative(relative) => client::Scope::Relative(to_client(*relative)),
        },
        routing: *routing,
    }
}

const fn to_client(relative: Relative) -> client::Relative {
    match relative {
        Relative::Myself => client::Relative::Myself,
        Relative::Manager => client::Relative::Manager,
        Relative::DirectReports => client::Relative::DirectReports,
        Relative::OwnAccounts => client::Relative::OwnAccounts,
        Relative::AccountsOfDirectReports => client::Relative::AccountsOfDirectReports,
        Relative::InMyLocations => client::Relative::InMyLocations,
        Relative::MyLocationsAndAbove => client::Relative::MyLocationsAndAbove,
        Relative::MyLocationsAndBelow => client::Relative::MyLocationsAndBelow,
        Relative::InMyOrganization => client::Relative::InMyOrganization,
    }
}
