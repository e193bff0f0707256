//! Change sets on behalf of a person (D7): every change is decided for that person, on the
//! snapshot that the change set builds upon, while no other writer is at work.

#[cfg(test)]
mod tests;

use pdp_engine::actor::ActorRef;
use pdp_engine::delegate::{
    DelegationAction, DelegationQuestion, RecipientRef, ScopeRef, check_delegation,
};
use pdp_engine::facts::{Change, Delta, Fact, FactKey, Facts};
use pdp_engine::id::PersonId;
use pdp_engine::level::{Assignment, Scope};
use pdp_engine::list::{ApprovalQuestion, list_approvers};
use pdp_engine::query::{Decision, Effect, ObjectRef, Reason, Revision, SubjectRef};
use pdp_engine::share::{Entity, Share, VaultAction};
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;
use pdp_engine::vault::{VaultQuestion, check_vault};

use crate::clock::Clock;
use crate::receipt::ChangeKind;

/// How many refused changes are told with who could make them. Looking for approvers takes its
/// time, other writers wait meanwhile, and no more would fit into an answer.
pub const MAX_REFUSED_LISTED: usize = 20;

/// Who a change set is applied on behalf of.
#[derive(Debug, Clone, Copy)]
pub struct OnBehalfOf<'a> {
    /// The person.
    pub person: &'a PersonId,
    /// Tells the instant of the decisions, once it is the writer's turn.
    pub clock: &'a Clock,
}

/// Why a change set was not applied on behalf of a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} of the changes may not be made on behalf of person `{person}`", .total)]
pub struct Refusal {
    /// The person.
    pub person: PersonId,
    /// The revision that was decided on.
    pub revision: Revision,
    /// What is wrong with the person themselves: unknown or disabled.
    pub decision: Option<Decision>,
    /// The first refused changes, in the order of the keys; at most [`MAX_REFUSED_LISTED`].
    pub refused: Vec<RefusedChange>,
    /// How many changes were refused.
    pub total: usize,
}

/// One change that the person may not make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedChange {
    /// The fact that would differ.
    pub key: FactKey,
    /// What would become of it.
    pub kind: ChangeKind,
    /// The position of the last change about the fact; `None` for what a cascade brought about.
    pub position: Option<usize>,
    /// What was decided; `None` where the change is neither of an assignment nor of a share.
    pub decision: Option<Decision>,
    /// Of an assignment: who may make the same change (D6).
    pub approvers: Vec<PersonId>,
}

/// Whether the person may do anything at all (Q6, A8), judged on the committed facts.
pub(super) fn admit(
    person: &PersonId,
    facts: &Facts,
    revision: Revision,
) -> Result<(), Box<Refusal>> {
    let reason = match facts.person(person) {
        None => Reason::UnknownSubject,
        Some(found) if !found.enabled => Reason::SubjectDisabled,
        Some(_) => return Ok(()),
    };
    let decision = Some(Decision { effect: Effect::Deny, reason, revision });
    let person = person.clone();
    Err(Box::new(Refusal { person, revision, decision, refused: Vec::new(), total: 0 }))
}

/// Decides every difference that a change set makes.
pub(super) fn decide(
    snapshot: &Snapshot,
    person: &PersonId,
    changes: &[Change],
    deltas: &[Delta],
    now: Timestamp,
) -> Result<(), Box<Refusal>> {
    let decider = Decider { snapshot, person, now };
    let mut refused = Vec::new();
    let mut total = 0;
    for delta in deltas {
        let Some((decision, asked)) = decider.refuses(delta) else { continue };
        total += 1;
        if refused.len() < MAX_REFUSED_LISTED {
            let position = changes.iter().rposition(|change| change.key() == delta.key);
            let approvers = asked.map(|asked| decider.approvers(&asked)).unwrap_or_default();
            let (key, kind) = (delta.key.clone(), ChangeKind::of(delta));
            refused.push(RefusedChange { key, kind, position, decision, approvers });
        }
    }
    if total == 0 {
        return Ok(());
    }
    let (person, revision) = (person.clone(), snapshot.revision());
    Err(Box::new(Refusal { person, revision, decision: None, refused, total }))
}

struct Decider<'a> {
    snapshot: &'a Snapshot,
    person: &'a PersonId,
    now: Timestamp,
}

/// What was decided, and the question about a delegation if it was one. Without a decision the
/// change is of a kind that nobody may make on their own behalf.
type Refused<'a> = (Option<Decision>, Option<DelegationQuestion<'a>>);

// === impl Decider ===

impl<'a> Decider<'a> {
    /// What stands against a difference, if anything does.
    fn refuses(&self, delta: &'a Delta) -> Option<Refused<'a>> {
        let Delta { key, before, after } = delta;
        match key {
            FactKey::Assignment(_) => {
                let steps = [
                    (before.as_ref(), DelegationAction::Revoke),
                    (after.as_ref(), DelegationAction::Grant),
                ];
                let mut steps =
                    steps.into_iter().filter_map(|(fact, action)| Some((fact?, action)));
                steps.find_map(|(fact, action)| self.refuses_delegation(fact, action))
            }
            FactKey::Share(_) => {
                let facts = before.iter().chain(after);
                facts.into_iter().find_map(|fact| self.refuses_share(fact))
            }
            FactKey::ResourceType(_)
            | FactKey::Location(_)
            | FactKey::BusinessRole(_)
            | FactKey::AccessLevel(_)
            | FactKey::Person(_)
            | FactKey::Account(_)
            | FactKey::Group(_)
            | FactKey::SetGroup(_)
            | FactKey::ManagementRoleDefinition(_)
            | FactKey::ManagementRole(_)
            | FactKey::Resource(_)
            | FactKey::ResourceGroup(_)
            | FactKey::PermissionLevel(_)
            | FactKey::Psm(_)
            | FactKey::Eligibility(_) => Some((None, None)),
        }
    }

    fn refuses_delegation(&self, fact: &'a Fact, action: DelegationAction) -> Option<Refused<'a>> {
        let Fact::Assignment(assignment) = fact else { return Some((None, None)) };
        let Assignment { id: _, to, level, scope, window: _ } = assignment.as_ref();
        let question = DelegationQuestion {
            delegator: self.subject(),
            action,
            type_name: level.type_name.as_str(),
            level: level.name.as_str(),
            recipient: recipient(to),
            scope: self::scope(scope),
            routing: true,
        };
        match check_delegation(self.snapshot, &question, self.now) {
            Ok(decision) if decision.is_allow() => None,
            Ok(decision) => Some((Some(decision), Some(question))),
            // INVARIANT: a valid assignment makes a question. If it did not, that is no ALLOW.
            Err(_) => Some((None, None)),
        }
    }

    fn refuses_share(&self, fact: &'a Fact) -> Option<Refused<'a>> {
        let Fact::Share(share) = fact else { return Some((None, None)) };
        let Share { key, level: _ } = share.as_ref();
        let entity = match &key.on {
            Entity::Resource(name) => {
                ObjectRef { type_name: name.type_name.as_str(), id: name.id.as_str() }
            }
            Entity::Group(id) => ObjectRef { type_name: Entity::GROUP_WORD, id: id.as_str() },
        };
        let action = VaultAction::Share.as_str();
        let question = VaultQuestion { subject: self.subject(), action, entity };
        match check_vault(self.snapshot, &question, self.now) {
            Ok(decision) if decision.is_allow() => None,
            Ok(decision) => Some((Some(decision), None)),
            // INVARIANT: a valid share makes a question. If it did not, that is no ALLOW.
            Err(_) => Some((None, None)),
        }
    }

    fn approvers(&self, question: &DelegationQuestion<'_>) -> Vec<PersonId> {
        let question = ApprovalQuestion::Delegation(*question);
        // INVARIANT: it was a question a moment ago.
        list_approvers(self.snapshot, &question, self.now).unwrap_or_default()
    }

    fn subject(&self) -> SubjectRef<'a> {
        SubjectRef::Person(self.person.as_str())
    }
}

fn recipient(actor: &ActorRef) -> RecipientRef<'_> {
    match actor {
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
    }
}

fn scope(scope: &Scope) -> ScopeRef<'_> {
    match scope {
        Scope::On(name) => {
            ScopeRef::On(ObjectRef { type_name: name.type_name.as_str(), id: name.id.as_str() })
        }
        Scope::In(location) => ScopeRef::In(location.as_str()),
        Scope::Relative(relative) => ScopeRef::Relative(*relative),
    }
}
