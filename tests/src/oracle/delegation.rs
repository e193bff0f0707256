//! Section 5: may this person hand out this Access Level, or take it away?

use pdp_engine::actor::ActorRef;
use pdp_engine::delegate::{DelegationAction, DelegationQuestion, RecipientRef, ScopeRef};
use pdp_engine::id::{
    AccountId, BusinessRoleId, GroupId, LevelName, LocationId, ManagementRoleDefinitionId,
    ManagementRoleId, PersonId, SetGroupId, TypeName,
};
use pdp_engine::level::{LevelRef, Relative, Scope};
use pdp_engine::permission::{PermissionKind, Qualifier};
use pdp_engine::query::{Effect, Reason};
use pdp_engine::resource::ResourceRef;

use super::{Answer, Asked, Oracle, Refused, object, strongest, subject};

/// A delegation with names in place of strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegation {
    /// Who would do it.
    pub delegator: ActorRef,
    /// Give or take.
    pub action: DelegationAction,
    /// What.
    pub level: LevelRef,
    /// To or from whom.
    pub recipient: ActorRef,
    /// Over what.
    pub scope: Scope,
}

/// What a side is asked of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    /// A resource.
    Resource(ResourceRef),
    /// A type at a location (D1).
    TypeAt(TypeName, LocationId),
}

/// What a side comes to (D3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Some operation is denied.
    Denied,
    /// None is denied, and some operation is allowed.
    Held,
    /// Neither.
    Missing,
}

/// One side: what is asked, and the operations of which any one suffices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// Everything that is asked; all of it has to hold.
    pub of: Vec<Of>,
    /// The operations.
    pub operations: Vec<String>,
}

// === impl Delegation ===

impl Delegation {
    /// The question with names.
    ///
    /// # Errors
    /// [`Refused`] where a name cannot be one, or the scope does not go with the level's type (C0, D0).
    pub fn new(question: &DelegationQuestion<'_>) -> Result<Self, Refused> {
        let type_name = TypeName::new(question.type_name).map_err(|_| Refused)?;
        let scope = match question.scope {
            ScopeRef::On(name) => Scope::On(object(name)?),
            ScopeRef::In(id) => Scope::In(LocationId::new(id).map_err(|_| Refused)?),
            ScopeRef::Relative(relative) => Scope::Relative(relative),
        };
        let fits = match &scope {
            Scope::On(name) => name.type_name == type_name,
            Scope::In(_) => true,
            Scope::Relative(relative) => takes(&type_name, *relative),
        };
        let name = LevelName::new(question.level).map_err(|_| Refused)?;
        let delegation = Self {
            delegator: subject(question.delegator)?,
            action: question.action,
            level: LevelRef { type_name, name },
            recipient: recipient(question.recipient)?,
            scope,
        };
        if fits { Ok(delegation) } else { Err(Refused) }
    }

    /// What is asked on the resource's side: the table of section 5.
    pub(crate) fn resource_side(&self, roots: Vec<LocationId>) -> Demand {
        let (verb, link) = self.words();
        let level = token(self.level.name.as_str());
        let of_type = |location| Of::TypeAt(self.level.type_name.clone(), location);
        match &self.scope {
            Scope::On(resource) => {
                let mut operations =
                    vec![format!("{verb}{link}{level}"), "ManageAnyResourceRole".to_owned()];
                if let Some(actor) = actor_token(&self.recipient) {
                    operations.insert(0, format!("{verb}{actor}{link}{level}"));
                }
                Demand { of: vec![Of::Resource(resource.clone())], operations }
            }
            Scope::In(location) => Demand {
                of: vec![of_type(location.clone())],
                operations: vec![
                    format!("{verb}{link}{level}InLocation"),
                    "ManageAnyResourceRoleAssignmentByLocation".to_owned(),
                ],
            },
            Scope::Relative(_) => Demand {
                of: roots.into_iter().map(of_type).collect(),
                operations: vec![format!("{verb}{link}{level}InRelativeResource")],
            },
        }
    }

    /// What is asked of the recipient as a resource: the table of section 5, and D2.
    pub(crate) fn recipient_side(&self) -> Demand {
        let (verb, link) = self.words();
        let level = token(self.level.name.as_str());
        let of = match &self.recipient {
            ActorRef::Person(id) => vec![resource("Person", id.as_str())],
            ActorRef::Account(id) => vec![resource("UserAccount", id.as_str())],
            ActorRef::Group(id) => vec![resource("Group", id.as_str())],
            ActorRef::SetGroup(id) => vec![resource("SetGroup", id.as_str())],
            ActorRef::BusinessRoleLocation(role, location) => {
                vec![
                    resource("BusinessRole", role.as_str()),
                    resource("Location", location.as_str()),
                ]
            }
            ActorRef::ManagementRole(id) => vec![resource("ManagementRole", id.as_str())],
            ActorRef::ManagementRoleDefinition(id) => {
                vec![resource("ManagementRoleDefinition", id.as_str())]
            }
        };
        let operations = match (&self.recipient, actor_token(&self.recipient), &self.scope) {
            (ActorRef::ManagementRole(_), _, _) => {
                vec!["ManageManagementRoleAssignments".to_owned()]
            }
            (ActorRef::ManagementRoleDefinition(_), _, _) => {
                vec!["ManageManagementRoleDefinitionAssignments".to_owned()]
            }
            (_, Some(actor), Scope::On(_)) => vec![
                format!("{verb}{actor}{link}{level}"),
                format!("{verb}{actor}{link}ResourceRole"),
            ],
            (_, Some(actor), Scope::In(_)) => {
                vec![format!("{verb}{actor}{link}ResourceRoleAssignmentByLocation")]
            }
            (_, Some(actor), Scope::Relative(_)) => {
                vec![format!("{verb}{actor}{link}RelativeResourceRole")]
            }
            (_, None, _) => Vec::new(),
        };
        Demand { of, operations }
    }

    fn words(&self) -> (&'static str, &'static str) {
        match self.action {
            DelegationAction::Grant => ("Add", "To"),
            DelegationAction::Revoke => ("Remove", "From"),
        }
    }
}

// === impl Oracle ===

impl Oracle<'_> {
    /// D0, D4 and D5, in this order.
    ///
    /// # Errors
    /// [`Refused`] where the question is not one.
    pub fn decide_delegation(&self, question: &DelegationQuestion<'_>) -> Result<Answer, Refused> {
        let delegation = Delegation::new(question)?;
        if let Err(unknown) = self.know_delegation(&delegation) {
            return Ok((Effect::Deny, unknown));
        }
        if delegation.action == DelegationAction::Grant && self.is_to_themselves(&delegation) {
            return Ok((Effect::Deny, Reason::SelfDelegation));
        }
        let [resource, recipient] = self.demands(&delegation);
        let resource = self.stands(&delegation.delegator, &resource);
        let recipient = self.stands(&delegation.delegator, &recipient);
        let reason = match (resource, recipient) {
            (Standing::Denied, _) | (_, Standing::Denied) => {
                return Ok((Effect::Deny, Reason::ExplicitDeny));
            }
            (Standing::Held, Standing::Held) => return Ok((Effect::Allow, Reason::Granted)),
            (Standing::Missing, Standing::Held) => Reason::MissingOnResource,
            (Standing::Held, Standing::Missing) => Reason::MissingOnRecipient,
            (Standing::Missing, Standing::Missing) => Reason::MissingOnBoth,
        };
        let effect = if question.routing { Effect::RequiresApproval } else { Effect::Deny };
        Ok((effect, reason))
    }

    /// What is asked on the side of the resource, and on the side of the recipient.
    #[must_use]
    pub fn demands(&self, delegation: &Delegation) -> [Demand; 2] {
        let roots = self.facts.locations().filter(|location| location.parent.is_none());
        let roots = roots.map(|location| location.id.clone()).collect();
        [delegation.resource_side(roots), delegation.recipient_side()]
    }

    /// D0.
    fn know_delegation(&self, delegation: &Delegation) -> Result<(), Reason> {
        self.know_subject(&delegation.delegator)?;
        if self.facts.access_level(&delegation.level).is_none() {
            return Err(Reason::UnknownLevel);
        }
        match &delegation.scope {
            Scope::On(resource) if !self.exists(resource) => return Err(Reason::UnknownResource),
            Scope::In(location) if self.facts.location(location).is_none() => {
                return Err(Reason::UnknownLocation);
            }
            _ => {}
        }
        if self.knows_actor(&delegation.recipient) { Ok(()) } else { Err(Reason::UnknownRecipient) }
    }

    fn knows_actor(&self, actor: &ActorRef) -> bool {
        let facts = self.facts;
        match actor {
            ActorRef::Person(id) => facts.person(id).is_some(),
            ActorRef::Account(id) => self.knows_account(id),
            ActorRef::Group(id) => facts.group(id).is_some(),
            ActorRef::SetGroup(id) => facts.set_group(id).is_some(),
            ActorRef::BusinessRoleLocation(role, location) => {
                facts.business_role(role).is_some() && facts.location(location).is_some()
            }
            ActorRef::ManagementRole(id) => facts.management_role(id).is_some(),
            ActorRef::ManagementRoleDefinition(id) => {
                facts.management_role_definition(id).is_some()
            }
        }
    }

    /// D4.
    fn is_to_themselves(&self, delegation: &Delegation) -> bool {
        let owner = self.owner_of(&delegation.delegator);
        self.counts_as(&delegation.delegator).contains(&delegation.recipient)
            || owner.is_some_and(|owner| self.counts_as(&owner).contains(&delegation.recipient))
    }

    /// The owner of a subject that is an account.
    pub(super) fn owner_of(&self, subject: &ActorRef) -> Option<ActorRef> {
        let ActorRef::Account(id) = subject else { return None };
        self.facts.account(id)?.owner.clone().map(ActorRef::Person)
    }

    /// D3 over everything that a side asks: a denial anywhere denies, and all of it must hold.
    #[must_use]
    pub fn stands(&self, delegator: &ActorRef, demand: &Demand) -> Standing {
        let each: Vec<Standing> =
            demand.of.iter().map(|of| self.stands_on(delegator, of, &demand.operations)).collect();
        if each.contains(&Standing::Denied) {
            Standing::Denied
        } else if !each.is_empty() && each.iter().all(|one| *one == Standing::Held) {
            Standing::Held
        } else {
            Standing::Missing
        }
    }

    /// D3 for one thing.
    #[must_use]
    pub fn stands_on(&self, delegator: &ActorRef, of: &Of, operations: &[String]) -> Standing {
        let outcomes: Vec<Reason> = operations
            .iter()
            .map(|operation| {
                let says = self.heard(delegator, of, operation);
                strongest(says.into_iter().map(|(_, qualifier)| qualifier))
            })
            .collect();
        if outcomes.contains(&Reason::ExplicitDeny) {
            Standing::Denied
        } else if outcomes.contains(&Reason::Granted) {
            Standing::Held
        } else {
            Standing::Missing
        }
    }

    /// Every assignment, by id, that says something about the operation there.
    #[must_use]
    pub fn heard(
        &self,
        delegator: &ActorRef,
        of: &Of,
        operation: &str,
    ) -> Vec<(String, Qualifier)> {
        let kind = PermissionKind::Operation;
        match of {
            Of::Resource(resource) => {
                let asked = Asked {
                    subject: delegator.clone(),
                    kind,
                    permission: operation.to_owned(),
                    object: resource.clone(),
                };
                let entries = self.entries(&asked).into_iter();
                entries.map(|(it, qualifier)| (it.id.to_string(), qualifier)).collect()
            }
            Of::TypeAt(type_name, location) => {
                self.heard_at(delegator, type_name, location, operation)
            }
        }
    }

    /// D1: by-location assignments of the type at the location or above, and the denials below it.
    fn heard_at(
        &self,
        delegator: &ActorRef,
        type_name: &TypeName,
        location: &LocationId,
        operation: &str,
    ) -> Vec<(String, Qualifier)> {
        let counts_as = self.counts_as(delegator);
        let mut found = Vec::new();
        for assignment in self.facts.assignments() {
            let Scope::In(at) = &assignment.scope else { continue };
            let applies = counts_as.contains(&assignment.to)
                && self.open(&assignment.window)
                && assignment.level.type_name == *type_name;
            let says = self.qualifier(&assignment.level, PermissionKind::Operation, operation);
            let (true, Some(says)) = (applies, says) else { continue };
            let serves = self.lies_in(location, at);
            let denies_below = self.lies_in(at, location) && says == Qualifier::Denied;
            if serves || denies_below {
                found.push((assignment.id.to_string(), says));
            }
        }
        found
    }
}

/// `{A}`.
fn actor_token(recipient: &ActorRef) -> Option<&'static str> {
    match recipient {
        ActorRef::Person(_) => Some("Person"),
        ActorRef::Account(_) => Some("Account"),
        ActorRef::Group(_) => Some("Group"),
        ActorRef::SetGroup(_) => Some("SetGroup"),
        ActorRef::BusinessRoleLocation(..) => Some("OrgRoleOrgZone"),
        ActorRef::ManagementRole(_) | ActorRef::ManagementRoleDefinition(_) => None,
    }
}

/// `{L}`: the ASCII alphanumeric words joined, each word's first letter upper-cased.
fn token(name: &str) -> String {
    let mut text = String::new();
    let mut starts = true;
    for letter in name.chars() {
        if !letter.is_ascii_alphanumeric() {
            starts = true;
            continue;
        }
        text.push(if starts { letter.to_ascii_uppercase() } else { letter });
        starts = false;
    }
    text
}

/// C0 for relative scopes.
fn takes(type_name: &TypeName, relative: Relative) -> bool {
    match relative {
        Relative::Myself | Relative::Manager | Relative::DirectReports => {
            type_name.as_str() == "Person"
        }
        Relative::OwnAccounts | Relative::AccountsOfDirectReports => {
            type_name.as_str() == "UserAccount"
        }
        Relative::MyLocationsAndAbove | Relative::MyLocationsAndBelow => {
            type_name.as_str() == "Location"
        }
        Relative::InMyLocations | Relative::InMyOrganization => true,
    }
}

fn recipient(recipient: RecipientRef<'_>) -> Result<ActorRef, Refused> {
    Ok(match recipient {
        RecipientRef::Person(id) => ActorRef::Person(PersonId::new(id).map_err(|_| Refused)?),
        RecipientRef::Account(id) => ActorRef::Account(AccountId::new(id).map_err(|_| Refused)?),
        RecipientRef::Group(id) => ActorRef::Group(GroupId::new(id).map_err(|_| Refused)?),
        RecipientRef::SetGroup(id) => ActorRef::SetGroup(SetGroupId::new(id).map_err(|_| Refused)?),
        RecipientRef::BusinessRoleLocation(role, location) => ActorRef::BusinessRoleLocation(
            BusinessRoleId::new(role).map_err(|_| Refused)?,
            LocationId::new(location).map_err(|_| Refused)?,
        ),
        RecipientRef::ManagementRole(id) => {
            ActorRef::ManagementRole(ManagementRoleId::new(id).map_err(|_| Refused)?)
        }
        RecipientRef::ManagementRoleDefinition(id) => ActorRef::ManagementRoleDefinition(
            ManagementRoleDefinitionId::new(id).map_err(|_| Refused)?,
        ),
    })
}

fn resource(type_name: &str, id: &str) -> Of {
    let name = object(pdp_engine::query::ObjectRef { type_name, id });
    Of::Resource(name.expect("ids of actors are ids of resources"))
}
