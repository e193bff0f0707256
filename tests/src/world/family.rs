//! Questions about delegations, vault entities and sessions, aimed like all others.

use pdp_engine::actor::ActorRef;
use pdp_engine::delegate::{DelegationAction, DelegationQuestion, RecipientRef, ScopeRef};
use pdp_engine::id::{ObjectId, PersonId};
use pdp_engine::level::Scope;
use pdp_engine::psm::{Eligibility, EligibilityScope};
use pdp_engine::query::{ObjectRef, SubjectRef};
use pdp_engine::session::SessionQuestion;
use pdp_engine::share::{Entity, Share, VaultAction};
use pdp_engine::time::Timestamp;
use pdp_engine::vault::VaultQuestion;

use super::open::about;
use super::question::{Prober, bare};
use super::session::LEVELS;
use super::{Gene, INSTANTS, Reader, at};
use crate::oracle::{Delegation, Existing};

/// A subject that holds its string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedSubject {
    by_account: bool,
    id: String,
}

/// A question about a delegation that holds its strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedDelegation {
    /// Who would do it.
    pub delegator: OwnedSubject,
    /// Give or take.
    pub action: DelegationAction,
    /// Type and name of the level.
    pub level: (String, String),
    /// To or from whom.
    pub recipient: ActorRef,
    /// Over what.
    pub scope: Scope,
    /// Whether approval may be asked for.
    pub routing: bool,
}

/// A question about a vault entity that holds its strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedVault {
    /// Who.
    pub subject: OwnedSubject,
    /// What.
    pub action: String,
    /// Type and id.
    pub entity: (String, String),
}

/// A question about a session that holds its strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedSession {
    /// Who.
    pub subject: OwnedSubject,
    /// With which permission level.
    pub level: Option<String>,
    /// Type and id.
    pub computer: (String, String),
    /// Whether approval may be asked for.
    pub routing: bool,
}

// === impl OwnedSubject ===

impl OwnedSubject {
    /// Of this actor.
    #[must_use]
    pub fn new(actor: &ActorRef) -> Self {
        Self { by_account: matches!(actor, ActorRef::Account(_)), id: bare(actor) }
    }

    /// As the engine takes it.
    #[must_use]
    pub fn ask(&self) -> SubjectRef<'_> {
        if self.by_account { SubjectRef::Account(&self.id) } else { SubjectRef::Person(&self.id) }
    }
}

// === impl OwnedDelegation ===

impl OwnedDelegation {
    /// The question as the engine takes it.
    #[must_use]
    pub fn ask(&self) -> DelegationQuestion<'_> {
        let recipient = match &self.recipient {
            ActorRef::Person(id) => RecipientRef::Person(id.as_str()),
            ActorRef::Account(id) => RecipientRef::Account(id.as_str()),
            ActorRef::Group(id) => RecipientRef::Group(id.as_str()),
            ActorRef::SetGroup(id) => RecipientRef::SetGroup(id.as_str()),
            ActorRef::BusinessRoleLocation(role, location) => {
                RecipientRef::BusinessRoleLocation(role.as_str(), location.as_str())
            }
            ActorRef::ManagementRole(id) => RecipientRef::ManagementRole(id.as_str()),
            ActorRef::ManagementRoleDefinition(id) => {
                RecipientRef::ManagementRoleDefinition(id.as_str())
            }
        };
        let scope = match &self.scope {
            Scope::On(name) => {
                ScopeRef::On(ObjectRef { type_name: name.type_name.as_str(), id: name.id.as_str() })
            }
            Scope::In(location) => ScopeRef::In(location.as_str()),
            Scope::Relative(relative) => ScopeRef::Relative(*relative),
        };
        DelegationQuestion {
            delegator: self.delegator.ask(),
            action: self.action,
            type_name: &self.level.0,
            level: &self.level.1,
            recipient,
            scope,
            routing: self.routing,
        }
    }
}

// === impl OwnedVault ===

impl OwnedVault {
    /// The question as the engine takes it.
    #[must_use]
    pub fn ask(&self) -> VaultQuestion<'_> {
        let entity = ObjectRef { type_name: &self.entity.0, id: &self.entity.1 };
        VaultQuestion { subject: self.subject.ask(), action: &self.action, entity }
    }
}

// === impl OwnedSession ===

impl OwnedSession {
    /// The question as the engine takes it.
    #[must_use]
    pub fn ask(&self) -> SessionQuestion<'_> {
        SessionQuestion {
            subject: self.subject.ask(),
            level: self.level.as_deref(),
            computer: ObjectRef { type_name: &self.computer.0, id: &self.computer.1 },
            routing: self.routing,
        }
    }

    /// The subject, if it is a person.
    pub(super) fn person(&self) -> Option<PersonId> {
        PersonId::new(&self.subject.id).ok().filter(|_| !self.subject.by_account)
    }
}

// === impl Prober ===

impl Prober<'_> {
    /// Somebody who counts as the actor, if anybody does.
    fn somebody(&mut self, like: &ActorRef, now: Timestamp, offset: usize) -> Option<ActorRef> {
        let subjects = self.in_turn(offset);
        let found = subjects.iter().find(|it| self.closure(it, now).contains(like)).cloned();
        found.or_else(|| subjects.into_iter().next())
    }

    pub(super) fn delegation(
        &mut self,
        gene: &Gene,
        plans: &[Delegation],
    ) -> Option<(OwnedDelegation, Timestamp)> {
        let reader = &mut Reader::new(gene);
        let now = at(reader.of(&INSTANTS)?);
        let plan = reader.of(plans)?;
        let offset = reader.byte();
        let delegator = self.somebody(&plan.delegator, now, offset)?;
        let level = (plan.level.type_name.to_string(), plan.level.name.to_string());
        let mut question = OwnedDelegation {
            delegator: OwnedSubject::new(&delegator),
            action: plan.action,
            level,
            recipient: plan.recipient.clone(),
            scope: plan.scope.clone(),
            routing: !reader.chance(40),
        };
        match reader.byte() {
            0..=84 => {}
            // To an account in a session.
            85..=90 => {
                question.recipient = reader.of(&self.in_sessions).unwrap_or(question.recipient);
            }
            91..=105 => question.delegator = OwnedSubject::new(&reader.of(&self.subjects)?),
            106..=130 => {
                let recipient = reader.of(plans).map(|it| it.recipient);
                question.recipient = recipient.unwrap_or(question.recipient);
            }
            131..=150 => {
                let others = plans.iter().filter(|it| it.level.type_name == plan.level.type_name);
                let scopes: Vec<Scope> = others.map(|it| it.scope.clone()).collect();
                question.scope = reader.of(&scopes)?;
            }
            151..=175 => {
                let counts_as: Vec<ActorRef> =
                    self.closure(&delegator, now).iter().cloned().collect();
                question.recipient = reader.of(&counts_as).unwrap_or(question.recipient);
            }
            176..=200 => {
                let of_type: Vec<Scope> = self
                    .objects
                    .iter()
                    .filter(|it| it.type_name == plan.level.type_name)
                    .map(|it| Scope::On(it.clone()))
                    .collect();
                question.scope = reader.of(&of_type).unwrap_or(question.scope);
            }
            201..=215 => {
                let places: Vec<Scope> =
                    self.facts.locations().map(|it| Scope::In(it.id.clone())).collect();
                question.scope = reader.of(&places).unwrap_or(question.scope);
            }
            wrong => misname(&mut question, wrong),
        }
        if reader.chance(12) {
            "nobody".clone_into(&mut question.delegator.id);
        }
        Some((question, now))
    }

    pub(super) fn vault(&mut self, gene: &Gene) -> Option<(OwnedVault, Timestamp)> {
        let reader = &mut Reader::new(gene);
        let now = at(reader.of(&INSTANTS)?);
        let facts = self.facts;
        let shares: Vec<&Share> = facts.shares().collect();
        let aim = reader.of(&shares)?;
        let offset = reader.byte();
        let subject = self.somebody(&aim.key.to.actor(), now, offset)?;
        let mut entity = entity_name(&aim.key.on);
        let below: Vec<(String, String)> = self.below(&aim.key.on).collect();
        if reader.chance(128) {
            entity = reader.of(&below).unwrap_or(entity);
        }
        let mut question = OwnedVault {
            subject: OwnedSubject::new(&subject),
            action: reader.of(&VaultAction::ALL)?.as_str().to_owned(),
            entity,
        };
        match reader.byte() {
            0..=150 => {}
            151..=175 => question.subject = OwnedSubject::new(&reader.of(&self.subjects)?),
            176..=210 => {
                let any = reader.of(&self.objects)?;
                question.entity = (any.type_name.to_string(), any.id.to_string());
            }
            211..=235 => {
                let owned: Vec<_> = facts.resources().filter(|it| it.owner.is_some()).collect();
                if let Some((resource, owner)) =
                    reader.of(&owned).and_then(|it| Some((it, it.owner.clone()?)))
                {
                    question.subject = OwnedSubject::new(&ActorRef::Person(owner));
                    question.entity =
                        (resource.name.type_name.to_string(), resource.name.id.to_string());
                    let below: Vec<_> =
                        self.below(&Entity::Resource(resource.name.clone())).collect();
                    if reader.chance(128) {
                        question.entity = reader.of(&below).unwrap_or(question.entity);
                    }
                }
            }
            236..=240 => "nobody".clone_into(&mut question.subject.id),
            241..=245 => "nothing".clone_into(&mut question.entity.1),
            246..=248 => "Nowhere".clone_into(&mut question.entity.0),
            249..=252 => "open".clone_into(&mut question.action),
            253 => question.entity.1.clear(),
            _ => "9".clone_into(&mut question.entity.0),
        }
        Some((question, now))
    }

    /// Everything that has the entity on a layer, but itself.
    fn below(&self, entity: &Entity) -> impl Iterator<Item = (String, String)> {
        let entity = entity.clone();
        let facts = self.facts;
        self.objects.iter().filter_map(move |object| {
            let resource = facts.resources().find(|it| it.name == *object);
            let account = facts.accounts().find(|it| {
                object.type_name.as_str() == "UserAccount" && it.id.as_str() == object.id.as_str()
            });
            let computer = account.and_then(|it| it.computer.clone());
            let parent = resource
                .and_then(|it| it.parent.clone())
                .or(computer.map(|it| pdp_engine::resource::ResourceRef::computer(&it)));
            let top = parent.clone().unwrap_or_else(|| object.clone());
            let on_layer = match &entity {
                Entity::Resource(name) => parent.as_ref() == Some(name),
                Entity::Group(id) => {
                    facts.resource_group(id).is_some_and(|it| it.members.contains(&top))
                }
            };
            on_layer.then(|| (object.type_name.to_string(), object.id.to_string()))
        })
    }

    pub(super) fn session(&mut self, gene: &Gene) -> Option<(OwnedSession, Existing, Timestamp)> {
        let reader = &mut Reader::new(gene);
        let now = at(reader.of(&INSTANTS)?);
        let facts = self.facts;
        let eligibilities: Vec<&Eligibility> = facts.eligibilities().collect();
        let computers: Vec<ObjectId> = facts.psm().map(|it| it.computer.clone()).collect();
        let aim = reader.of(&eligibilities)?;
        let offset = reader.byte();
        let subject = self.somebody(&aim.key.to, now, offset)?;
        let any = reader.of(&computers);
        let computer = match &aim.key.scope {
            EligibilityScope::On(id) => Some(id.clone()),
            EligibilityScope::In(_) => any.clone(),
        };
        let computer = computer.filter(|it| computers.contains(it)).or(any)?;
        let mut question = OwnedSession {
            subject: OwnedSubject::new(&subject),
            level: Some(aim.key.level.to_string()).filter(|_| !reader.chance(50)),
            computer: ("Computer".to_owned(), computer.to_string()),
            routing: !reader.chance(40),
        };
        match reader.byte() {
            0..=180 => {}
            181..=200 => question.level = reader.of(&LEVELS).map(str::to_owned),
            201..=220 => question.subject = OwnedSubject::new(&reader.of(&self.subjects)?),
            221..=230 => {
                let any = reader.of(&self.objects)?;
                question.computer = (any.type_name.to_string(), any.id.to_string());
            }
            231..=235 => "nobody".clone_into(&mut question.subject.id),
            236..=240 => "nothing".clone_into(&mut question.computer.1),
            241..=245 => question.level = Some("unheard of".to_owned()),
            246..=248 => question.level = Some("none".to_owned()),
            249..=251 => question.computer.0.clear(),
            _ => question.subject.id.clear(),
        }
        let people: Vec<PersonId> = facts.people().map(|it| it.id.clone()).collect();
        let mut existing = self.existing.clone();
        about(&question, now, &people, reader, &mut existing);
        Some((question, existing, now))
    }
}

fn entity_name(entity: &Entity) -> (String, String) {
    match entity {
        Entity::Resource(name) => (name.type_name.to_string(), name.id.to_string()),
        Entity::Group(id) => ("resource_group".to_owned(), id.to_string()),
    }
}

fn misname(question: &mut OwnedDelegation, wrong: usize) {
    match wrong {
        216..=221 => "nobody".clone_into(&mut question.delegator.id),
        222..=227 => "Nothing".clone_into(&mut question.level.1),
        228..=233 => {
            let name = format!("{}:nothing", question.level.0);
            question.scope = Scope::On(pdp_engine::resource::ResourceRef::parse(&name).unwrap());
        }
        234..=239 => {
            question.scope = Scope::In(pdp_engine::id::LocationId::new("nowhere").unwrap());
        }
        240..=248 => {
            let kinds = [
                "person:nobody",
                "account:nobody",
                "group:nobody",
                "set_group:nobody",
                "business_role:x0@nowhere",
                "business_role:nothing@x0",
                "management_role:nobody",
                "management_role_definition:nobody",
                "group:x99",
            ];
            question.recipient = ActorRef::parse(kinds[wrong - 240]).unwrap();
        }
        249 | 250 => question.level.1.clear(),
        251 | 252 => "SetGroup".clone_into(&mut question.level.0),
        253 => question.delegator.id.clear(),
        _ => question.level.0.push('!'),
    }
}
