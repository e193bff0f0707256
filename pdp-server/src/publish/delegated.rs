//! Change sets on behalf of a person (D7): every change is decided for that person, on the
//! snapshot that the change set builds upon, while no other writer is at work.

#[cfg(test)]
mod tests;

use std::sync::Arc;

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

use crate::receipt::ChangeKind;

/// How many refused changes are told with who could make them. Looking for approvers takes its
/// time, other writers wait meanwhile, and no more would fit into an answer.
pub const MAX_REFUSED_LISTED: usize = 20;

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

/// Decides every difference that a change set makes. Of what is refused, nobody looks for approvers
/// here: that takes its time, and other writers wait.
pub(super) fn decide(
    snapshot: &Arc<Snapshot>,
    person: &PersonId,
    changes: &[Change],
    deltas: &[Delta],
    now: Timestamp,
) -> Result<(), Refused> {
    let decider = Decider { snapshot, person, now };
    let mut refused = Refused {
        snapshot: Arc::clone(snapshot),
        person: person.clone(),
        now,
        changes: Vec::new(),
        total: 0,
    };
    for delta in deltas {
        let Some(decision) = decider.refuses(delta) else { continue };
        refused.total += 1;
        if refused.changes.len() < MAX_REFUSED_LISTED {
            let position = changes.iter().rposition(|change| change.key() == delta.key);
            refused.changes.push((delta.clone(), position, decision));
        }
    }
    if refused.total == 0 { Ok(()) } else { Err(refused) }
}

/// What was refused, before anybody has looked for approvers.
pub(super) struct Refused {
    snapshot: Arc<Snapshot>,
    person: PersonId,
    now: Timestamp,
    changes: Vec<(Delta, Option<usize>, Option<Decision>)>,
    total: usize,
}

// === impl Refused ===

impl Refused {
    /// Looks for those who may make each refused change.
    pub(super) fn with_approvers(self) -> Box<Refusal> {
        let Self { snapshot, person, now, changes, total } = self;
        let decider = Decider { snapshot: &snapshot, person: &person, now };
        let told = |(delta, position, decision): (Delta, _, _)| {
            let (approvers, kind) = (decider.approvers(&delta), ChangeKind::of(&delta));
            RefusedChange { key: delta.key, kind, position, decision, approvers }
        };
        let refused = changes.into_iter().map(told).collect();
        let revision = snapshot.revision();
        Box::new(Refusal { person: person.clone(), revision, decision: None, refused, total })
    }
}

struct Decider<'a> {
    snapshot: &'a Snapshot,
    person: &'a PersonId,
    now: Timestamp,
}

// === impl Decider ===

impl<'a> Decider<'a> {
    /// What stands against a difference, if anything does: without a decision the change is of a
    /// kind that nobody may make on behalf of a person.
    fn refuses(&self, delta: &Delta) -> Option<Option<Decision>> {
        match &delta.key {
            FactKey::Assignment(_) => {
                steps(delta).into_iter().find_map(|step| self.refuses_delegation(step))
            }
            FactKey::Share(_) => {
                let facts = delta.before.iter().chain(&delta.after);
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
            | FactKey::Eligibility(_) => Some(None),
        }
    }

    fn refuses_delegation(&self, (fact, action): Step<'_>) -> Option<Option<Decision>> {
        let Some(question) = self.question(fact, action) else { return Some(None) };
        match check_delegation(self.snapshot, &question, self.now) {
            Ok(decision) if decision.is_allow() => None,
            Ok(decision) => Some(Some(decision)),
            // INVARIANT: a valid assignment makes a question. If it did not, that is no ALLOW.
            Err(_) => Some(None),
        }
    }

    fn question<'f>(
        &self,
        fact: &'f Fact,
        action: DelegationAction,
    ) -> Option<DelegationQuestion<'f>>
    where
        'a: 'f,
    {
        let Fact::Assignment(assignment) = fact else { return None };
        let Assignment { id: _, to, level, scope, window: _ } = assignment.as_ref();
        Some(DelegationQuestion {
            delegator: self.subject(),
            action,
            type_name: level.type_name.as_str(),
            level: level.name.as_str(),
            recipient: recipient(to),
            scope: self::scope(scope),
            routing: true,
        })
    }

    fn refuses_share(&self, fact: &Fact) -> Option<Option<Decision>> {
        let Fact::Share(share) = fact else { return Some(None) };
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
            Ok(decision) => Some(Some(decision)),
            // INVARIANT: a valid share makes a question. If it did not, that is no ALLOW.
            Err(_) => Some(None),
        }
    }

    /// Those who may make the whole difference (D6): of a changed assignment, who may both take the
    /// old one back and hand the new one out. Of a share, D6 names nobody.
    fn approvers(&self, delta: &Delta) -> Vec<PersonId> {
        let lists = steps(delta).into_iter().filter_map(|(fact, action)| {
            let question = ApprovalQuestion::Delegation(self.question(fact, action)?);
            // INVARIANT: it was a question a moment ago.
            Some(list_approvers(self.snapshot, &question, self.now).unwrap_or_default())
        });
        let both = |all: Vec<PersonId>, more: Vec<PersonId>| {
            all.into_iter().filter(|id| more.binary_search(id).is_ok()).collect()
        };
        lists.reduce(both).unwrap_or_default()
    }

    fn subject(&self) -> SubjectRef<'a> {
        SubjectRef::Person(self.person.as_str())
    }
}

/// An assignment that is handed out or taken back.
type Step<'a> = (&'a Fact, DelegationAction);

/// What a difference of an assignment comes to: the old one is taken back, the new one handed out.
fn steps(delta: &Delta) -> Vec<Step<'_>> {
    let Delta { key, before, after } = delta;
    if !matches!(key, FactKey::Assignment(_)) {
        return Vec::new();
    }
    let taken = before.iter().map(|fact| (fact, DelegationAction::Revoke));
    taken.chain(after.iter().map(|fact| (fact, DelegationAction::Grant))).collect()
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
