//! May somebody hand out an Access Level, or take it back? Whether a name is well formed is for the
//! server to say.

use std::fmt;

use pdp_proto::v1;

use crate::attempt::Repeat;
use crate::balance::Subchannel;
use crate::call::Error;
use crate::client::Client;
use crate::decision::{Decision, Revision};
use crate::question::{Resource, Subject};

/// Handing out or taking back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DelegationAction {
    /// Give the level.
    Grant,
    /// Take the level away.
    Revoke,
}

/// An Access Level Definition. Written `Type/Name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Level {
    /// The resource type that it belongs to.
    pub type_name: String,
    /// Its name within the type.
    pub name: String,
}

/// Who would get or lose the level: any actor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Recipient {
    /// A person, by id.
    Person(String),
    /// An account, by id.
    Account(String),
    /// A group, by id.
    Group(String),
    /// A set group, by id.
    SetGroup(String),
    /// A business role at a location, by their ids.
    BusinessRoleLocation {
        /// The business role's id.
        business_role: String,
        /// The location's id.
        location: String,
    },
    /// A management role, by id.
    ManagementRole(String),
    /// A management role definition, by id.
    ManagementRoleDefinition(String),
}

/// What the level would cover.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One resource, of the level's type.
    On(Resource),
    /// Everything of the level's type in or below this location.
    In(String),
    /// What stands in a relation to whoever has the level.
    Relative(Relative),
}

/// The relations of relative scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Relative {
    /// The subject's own Person.
    Myself,
    /// The Person of the subject's manager.
    Manager,
    /// People whose manager is the subject.
    DirectReports,
    /// Accounts that the subject owns.
    OwnAccounts,
    /// Accounts owned by the subject's direct reports.
    AccountsOfDirectReports,
    /// Resources in or below the location of one of the subject's own positions.
    InMyLocations,
    /// Locations of the subject's positions, and those above.
    MyLocationsAndAbove,
    /// Locations of the subject's positions, and those below.
    MyLocationsAndBelow,
    /// Resources in or below the organization around one of the subject's own positions.
    InMyOrganization,
}

/// May this person or account hand out (or take back) this Access Level?
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DelegationQuestion {
    /// Who would do it.
    pub delegator: Subject,
    /// Grant or revoke.
    pub action: DelegationAction,
    /// The Access Level Definition.
    pub level: Level,
    /// Who would get or lose it.
    pub recipient: Recipient,
    /// What it covers.
    pub scope: Scope,
    /// Whether the answer may be `REQUIRES_APPROVAL`; without routing that becomes `DENY`.
    pub routing: bool,
}

/// A decision about a delegation with everything that led to it.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct DelegationExplanation {
    /// The decision, the same that a check gives.
    pub decision: Decision,
    /// Everything, as it travelled.
    pub message: v1::DelegationExplanation,
}

// === impl DelegationAction ===

impl DelegationAction {
    /// `grant` or `revoke`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Revoke => "revoke",
        }
    }
}

// === impl Level ===

impl Level {
    /// The level of this name of this resource type.
    pub fn new(type_name: impl Into<String>, name: impl Into<String>) -> Self {
        Self { type_name: type_name.into(), name: name.into() }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.type_name, self.name)
    }
}

// === impl Recipient ===

impl Recipient {
    fn to_wire(&self) -> v1::ActorRef {
        use v1::actor_ref::Actor as Wire;
        let actor = match self.clone() {
            Self::Person(id) => Wire::Person(id),
            Self::Account(id) => Wire::Account(id),
            Self::Group(id) => Wire::Group(id),
            Self::SetGroup(id) => Wire::SetGroup(id),
            Self::BusinessRoleLocation { business_role, location } => {
                Wire::BusinessRoleLocation(v1::BusinessRoleLocation { business_role, location })
            }
            Self::ManagementRole(id) => Wire::ManagementRole(id),
            Self::ManagementRoleDefinition(id) => Wire::ManagementRoleDefinition(id),
        };
        v1::ActorRef { actor: Some(actor) }
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(id) => write!(f, "person:{id}"),
            Self::Account(id) => write!(f, "account:{id}"),
            Self::Group(id) => write!(f, "group:{id}"),
            Self::SetGroup(id) => write!(f, "set_group:{id}"),
            Self::BusinessRoleLocation { business_role, location } => {
                write!(f, "business_role:{business_role}@{location}")
            }
            Self::ManagementRole(id) => write!(f, "management_role:{id}"),
            Self::ManagementRoleDefinition(id) => write!(f, "management_role_definition:{id}"),
        }
    }
}

// === impl Scope ===

impl Scope {
    fn to_wire(&self) -> v1::Scope {
        use v1::scope::Scope as Wire;
        let scope = match self {
            Self::On(resource) => Wire::OnResource(resource.to_wire()),
            Self::In(location) => Wire::InLocation(location.clone()),
            Self::Relative(relative) => Wire::Relative(relative.to_wire().into()),
        };
        v1::Scope { scope: Some(scope) }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On(resource) => write!(f, "on {resource}"),
            Self::In(location) => write!(f, "in {location}"),
            Self::Relative(relative) => write!(f, "relative {}", relative.as_str()),
        }
    }
}

// === impl Relative ===

impl Relative {
    /// Every relation.
    pub const ALL: [Self; 9] = [
        Self::Myself,
        Self::Manager,
        Self::DirectReports,
        Self::OwnAccounts,
        Self::AccountsOfDirectReports,
        Self::InMyLocations,
        Self::MyLocationsAndAbove,
        Self::MyLocationsAndBelow,
        Self::InMyOrganization,
    ];

    /// The word that bundles use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Myself => "self",
            Self::Manager => "manager",
            Self::DirectReports => "direct_reports",
            Self::OwnAccounts => "own_accounts",
            Self::AccountsOfDirectReports => "accounts_of_direct_reports",
            Self::InMyLocations => "in_my_locations",
            Self::MyLocationsAndAbove => "my_locations_and_above",
            Self::MyLocationsAndBelow => "my_locations_and_below",
            Self::InMyOrganization => "in_my_organization",
        }
    }

    const fn to_wire(self) -> v1::RelativeScope {
        match self {
            Self::Myself => v1::RelativeScope::Self_,
            Self::Manager => v1::RelativeScope::Manager,
            Self::DirectReports => v1::RelativeScope::DirectReports,
            Self::OwnAccounts => v1::RelativeScope::OwnAccounts,
            Self::AccountsOfDirectReports => v1::RelativeScope::AccountsOfDirectReports,
            Self::InMyLocations => v1::RelativeScope::InMyLocations,
            Self::MyLocationsAndAbove => v1::RelativeScope::MyLocationsAndAbove,
            Self::MyLocationsAndBelow => v1::RelativeScope::MyLocationsAndBelow,
            Self::InMyOrganization => v1::RelativeScope::InMyOrganization,
        }
    }
}

// === impl DelegationQuestion ===

impl DelegationQuestion {
    /// May `delegator` hand out the level?
    #[must_use]
    pub const fn grant(
        delegator: Subject,
        level: Level,
        recipient: Recipient,
        scope: Scope,
    ) -> Self {
        let action = DelegationAction::Grant;
        Self { delegator, action, level, recipient, scope, routing: true }
    }

    /// May `delegator` take the level back?
    #[must_use]
    pub const fn revoke(
        delegator: Subject,
        level: Level,
        recipient: Recipient,
        scope: Scope,
    ) -> Self {
        let action = DelegationAction::Revoke;
        Self { delegator, action, level, recipient, scope, routing: true }
    }

    /// The same question with `DENY` where the answer would be `REQUIRES_APPROVAL`.
    #[must_use]
    pub const fn without_routing(mut self) -> Self {
        self.routing = false;
        self
    }

    pub(crate) fn to_wire(&self) -> v1::DelegationQuestion {
        let Self { delegator, action, level, recipient, scope, routing } = self;
        let action = match action {
            DelegationAction::Grant => v1::DelegationAction::Grant,
            DelegationAction::Revoke => v1::DelegationAction::Revoke,
        };
        let Level { type_name, name } = level;
        v1::DelegationQuestion {
            delegator: Some(delegator.to_wire()),
            action: action.into(),
            level: Some(v1::LevelRef { r#type: type_name.clone(), name: name.clone() }),
            recipient: Some(recipient.to_wire()),
            scope: Some(scope.to_wire()),
            no_routing: !routing,
        }
    }
}

impl fmt::Display for DelegationQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { delegator, action, level, recipient, scope, routing } = self;
        let to = match action {
            DelegationAction::Grant => "to",
            DelegationAction::Revoke => "from",
        };
        write!(f, "{delegator} {} {level} {scope} {to} {recipient}", action.as_str())?;
        if *routing { Ok(()) } else { f.write_str(" without routing") }
    }
}

// === impl DelegationExplanation ===

impl DelegationExplanation {
    pub(crate) fn from_wire(
        message: v1::DelegationExplanation,
        at_least: Revision,
    ) -> Result<Self, Error> {
        let decision = Decision::from_wire(message.decision.clone(), at_least)?;
        Ok(Self { decision, message })
    }
}

// === impl Client ===

impl Client {
    /// Decides whether somebody may hand out an Access Level, or take it back.
    ///
    /// An unknown delegator, level, resource, location or recipient is a decision (`DENY`) and not
    /// an error; a scope that the level's type does not take is an error.
    ///
    /// # Errors
    /// [`Error`] if there is no decision: treat it as neither `ALLOW` nor `DENY`.
    pub async fn check_delegation(&self, question: &DelegationQuestion) -> Result<Decision, Error> {
        let request = || v1::CheckDelegationRequest {
            tenant: self.tenant().to_owned(),
            question: Some(question.to_wire()),
            at_least: self.oldest().get(),
        };
        let send = |server: &Subchannel, request| {
            let mut service = server.decisions();
            async move { service.check_delegation(request).await }
        };
        let v1::CheckDelegationResponse { decision } =
            self.unary(Repeat::Read, request, send).await?;
        Decision::from_wire(decision, self.oldest())
    }

    /// Decides as [`Client::check_delegation`] does, and tells both sides, the operations tried and
    /// what is missing.
    ///
    /// # Errors
    /// As [`Client::check_delegation`].
    pub async fn explain_delegation(
        &self,
        question: &DelegationQuestion,
    ) -> Result<DelegationExplanation, Error> {
        let request = || v1::ExplainDelegationRequest {
            tenant: self.tenant().to_owned(),
            question: Some(question.to_wire()),
            at_least: self.oldest().get(),
        };
        let send = |server: &Subchannel, request| {
            let mut service = server.decisions();
            async move { service.explain_delegation(request).await }
        };
        let response = self.unary(Repeat::Read, request, send).await?;
        let v1::ExplainDelegationResponse { explanation } = response;
        let message = explanation.ok_or_else(|| Error::protocol("it holds no explanation"))?;
        DelegationExplanation::from_wire(message, self.oldest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_travels_whole() {
        let question = DelegationQuestion::revoke(
            Subject::person("ana"),
            Level::new("Report", "Viewer"),
            Recipient::BusinessRoleLocation {
                business_role: "teller".into(),
                location: "zurich".into(),
            },
            Scope::On(Resource::new("Report", "absence")),
        )
        .without_routing();
        assert_eq!(
            question.to_string(),
            "person:ana revoke Report/Viewer on Report:absence from business_role:teller@zurich without routing"
        );
        let wire = question.to_wire();
        assert_eq!((wire.action, wire.no_routing), (2, true));
        assert_eq!(
            wire.level.map(|l| (l.r#type, l.name)),
            Some(("Report".into(), "Viewer".into()))
        );
        let Some(v1::actor_ref::Actor::BusinessRoleLocation(pair)) =
            wire.recipient.and_then(|actor| actor.actor)
        else {
            panic!("no pair");
        };
        assert_eq!((pair.business_role.as_str(), pair.location.as_str()), ("teller", "zurich"));
    }

    #[test]
    fn every_relation_travels_under_its_name() {
        for relative in Relative::ALL {
            let name = relative.to_wire().as_str_name();
            let word = relative.as_str().to_uppercase();
            assert_eq!(name, format!("RELATIVE_SCOPE_{word}"));
        }
    }
}
