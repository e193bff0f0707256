//! May this person hand out this Access Level? (semantics, section 5)
//!
//! Two sides are asked: the thing that access is given to, and the recipient as a resource. Each
//! side has operations of which one suffices.

mod explain;
mod sides;

use crate::arena::ActorIx;
use crate::check::{object, subject};
use crate::id::{validate_id, validate_type_name};
use crate::level::Relative;
use crate::query::{Decision, Effect, Malformed, ObjectRef, Reason, SubjectRef, validate_object};
use crate::resource::BuiltInType;
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::walk::Who;

pub use explain::{
    Alternative, AskedOf, DelegationExplanation, DelegationSide, MAX_OBJECTS, ObjectSide,
    explain_delegation,
};
pub use sides::Status;
use sides::resolve;
pub(crate) use sides::{Asked, Delegation, Of};

/// Handing out or taking back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DelegationAction {
    /// Give the level.
    Grant,
    /// Take the level away.
    Revoke,
}

/// Who would get the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecipientRef<'a> {
    /// A person.
    Person(&'a str),
    /// An account.
    Account(&'a str),
    /// A group.
    Group(&'a str),
    /// A set group.
    SetGroup(&'a str),
    /// A Business Role and Location pair.
    BusinessRoleLocation(&'a str, &'a str),
    /// A management role.
    ManagementRole(&'a str),
    /// A management role definition.
    ManagementRoleDefinition(&'a str),
}

/// What the level would cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScopeRef<'a> {
    /// One resource, of the level's type.
    On(ObjectRef<'a>),
    /// Everything of the level's type in or below a location.
    In(&'a str),
    /// What stands in a relation to whoever has the level.
    Relative(Relative),
}

/// May this person or account hand out (or take back) this level?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DelegationQuestion<'a> {
    /// Who would do it.
    pub delegator: SubjectRef<'a>,
    /// Grant or revoke.
    pub action: DelegationAction,
    /// The level's resource type.
    pub type_name: &'a str,
    /// The level's name.
    pub level: &'a str,
    /// Who would get or lose it.
    pub recipient: RecipientRef<'a>,
    /// What it covers.
    pub scope: ScopeRef<'a>,
    /// Whether the answer may be `REQUIRES_APPROVAL`; without routing that becomes `DENY`.
    pub routing: bool,
}

impl DelegationQuestion<'_> {
    /// Whether the question is one.
    ///
    /// # Errors
    /// [`Malformed`] names the first part that is not (D0).
    pub fn validate(&self) -> Result<(), Malformed> {
        let part = |field, outcome: Result<(), crate::id::IdError>| {
            outcome.map_err(|source| Malformed::Name { field, source })
        };
        part("delegator", validate_id("subject id", self.delegator.id()))?;
        part("level", validate_type_name("resource type", self.type_name))?;
        part("level", validate_id("access level name", self.level))?;
        let (first, second) = self.recipient.ids();
        part("recipient", validate_id("recipient id", first))?;
        if let Some(second) = second {
            part("recipient", validate_id("location id", second))?;
        }
        match self.scope {
            ScopeRef::On(object) => part("scope", validate_object(object))?,
            ScopeRef::In(location) => part("scope", validate_id("location id", location))?,
            ScopeRef::Relative(_) => {}
        }
        let needs = match self.scope {
            ScopeRef::On(object) => Some(object.type_name),
            ScopeRef::In(_) => None,
            ScopeRef::Relative(relative) => relative.needs().map(BuiltInType::as_str),
        };
        if needs.is_some_and(|needs| needs != self.type_name) {
            let scope = match self.scope {
                ScopeRef::On(object) => format!("on {object}"),
                ScopeRef::In(location) => format!("in {location}"),
                ScopeRef::Relative(relative) => format!("relative {}", relative.as_str()),
            };
            return Err(Malformed::ScopeType { scope, type_name: self.type_name.to_owned() });
        }
        Ok(())
    }
}

impl<'a> RecipientRef<'a> {
    fn ids(self) -> (&'a str, Option<&'a str>) {
        match self {
            Self::BusinessRoleLocation(role, location) => (role, Some(location)),
            Self::Person(id)
            | Self::Account(id)
            | Self::Group(id)
            | Self::SetGroup(id)
            | Self::ManagementRole(id)
            | Self::ManagementRoleDefinition(id) => (id, None),
        }
    }

    /// The token that stands for the kind in the names of delegation operations (section 5).
    pub(crate) const fn token(self) -> Option<&'static str> {
        match self {
            Self::Person(_) => Some("Person"),
            Self::Account(_) => Some("Account"),
            Self::Group(_) => Some("Group"),
            Self::SetGroup(_) => Some("SetGroup"),
            Self::BusinessRoleLocation(..) => Some("OrgRoleOrgZone"),
            Self::ManagementRole(_) | Self::ManagementRoleDefinition(_) => None,
        }
    }

    /// The recipient as resources: the pair is both its role and its location (D2).
    pub(crate) fn objects(self) -> (ObjectRef<'a>, Option<ObjectRef<'a>>) {
        let object = |built_in: BuiltInType, id| ObjectRef { type_name: built_in.as_str(), id };
        match self {
            Self::Person(id) => (object(BuiltInType::Person, id), None),
            Self::Account(id) => (object(BuiltInType::UserAccount, id), None),
            Self::Group(id) => (object(BuiltInType::Group, id), None),
            Self::SetGroup(id) => (object(BuiltInType::SetGroup, id), None),
            Self::BusinessRoleLocation(role, location) => (
                object(BuiltInType::BusinessRole, role),
                Some(object(BuiltInType::Location, location)),
            ),
            Self::ManagementRole(id) => (object(BuiltInType::ManagementRole, id), None),
            Self::ManagementRoleDefinition(id) => {
                (object(BuiltInType::ManagementRoleDefinition, id), None)
            }
        }
    }
}

/// Decides a delegation at the instant `now` (D0 to D5).
///
/// # Errors
/// [`Malformed`] if the question is not one: a name that could not name anything, or a scope that
/// the level's type does not take.
pub fn check_delegation(
    snapshot: &Snapshot,
    question: &DelegationQuestion<'_>,
    now: Timestamp,
) -> Result<Decision, Malformed> {
    question.validate()?;
    let (effect, reason) = match admit(snapshot, question) {
        Err(reason) => (Effect::Deny, reason),
        Ok((delegator, delegation)) => {
            let who = Who::named(snapshot, delegator, question.delegator, now);
            delegation.decide(snapshot, &who, question)
        }
    };
    Ok(Decision { effect, reason, revision: snapshot.revision() })
}

/// D0: everything that the question names is known, in the order of the rule.
pub(crate) fn admit(
    snapshot: &Snapshot,
    question: &DelegationQuestion<'_>,
) -> Result<(ActorIx, Delegation), Reason> {
    let delegator = subject(snapshot, question.delegator)?;
    let kind = snapshot.types.get(question.type_name).ok_or(Reason::UnknownLevel)?;
    let level = snapshot.kinds[*kind].levels.get(question.level).ok_or(Reason::UnknownLevel)?;
    match question.scope {
        ScopeRef::On(named) => {
            object(snapshot, named)?;
        }
        ScopeRef::In(id) => {
            location(snapshot, id).ok_or(Reason::UnknownLocation)?;
        }
        ScopeRef::Relative(_) => {}
    }
    let (first, second) = question.recipient.objects();
    for named in std::iter::once(first).chain(second) {
        object(snapshot, named).map_err(|_| Reason::UnknownRecipient)?;
    }
    Ok((delegator, resolve(snapshot, question, (*kind, *level))?))
}

pub(crate) fn location(snapshot: &Snapshot, id: &str) -> Option<crate::arena::LocationIx> {
    let named = ObjectRef { type_name: BuiltInType::Location.as_str(), id };
    match snapshot.resources[object(snapshot, named).ok()?].is {
        crate::snapshot::Is::Location(location) => Some(location),
        _ => None,
    }
}
