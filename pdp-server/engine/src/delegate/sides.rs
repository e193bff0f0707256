//! The two sides of a delegation, and what they come to (D1 to D5).

use std::sync::Arc;

use super::{DelegationAction, DelegationQuestion, RecipientRef, ScopeRef, location};
use crate::arena::{ActorIx, LevelIx, LocationIx, PermissionIx, ResourceIx, RoleIx, TypeIx};
use crate::check::{Target, object, strongest, strongest_at};
use crate::permission::Qualifier;
use crate::query::{Effect, Reason, SubjectRef};
use crate::snapshot::{Is, Snapshot};
use crate::walk::{Who, open};

/// What one side comes to (D3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Some operation of the side is denied.
    Denied,
    /// Some operation is allowed, and none denied.
    Held,
    /// Neither.
    Missing,
}

impl Status {
    /// The status's code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "DENIED",
            Self::Held => "HELD",
            Self::Missing => "MISSING",
        }
    }

    /// What several objects come to together: every one of them must be held, and there must be one.
    pub(super) fn of_all(statuses: impl Iterator<Item = Self> + Clone) -> Self {
        if statuses.clone().any(|status| status == Self::Denied) {
            Self::Denied
        } else if statuses.clone().next().is_some() && statuses.clone().all(|s| s == Self::Held) {
            Self::Held
        } else {
            Self::Missing
        }
    }
}

/// What an operation is asked of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    Object(ResourceIx),
    TypeAt(TypeIx, LocationIx),
}

/// An object with the operations of which one suffices; a name that the type does not declare has
/// no handle and is not held (D3).
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) of: Of,
    pub(crate) operations: Arc<[(String, Option<PermissionIx>)]>,
}

/// A delegation in handles.
#[derive(Debug)]
pub(crate) struct Delegation {
    pub(crate) resource: Vec<Asked>,
    pub(crate) recipient: Vec<Asked>,
    who: Recipient,
}

#[derive(Debug, Clone, Copy)]
enum Recipient {
    Actor(ActorIx),
    Pair(RoleIx, LocationIx),
}

/// The names of the operations of one delegation.
struct Words<'a> {
    question: &'a DelegationQuestion<'a>,
    token: String,
}

impl Words<'_> {
    /// `Add{A}{to}` or `Remove{A}{from}`; a recipient without a token has none.
    fn actor(&self, to: &str) -> Option<String> {
        let actor = self.question.recipient.token()?;
        Some(match self.question.action {
            DelegationAction::Grant => format!("Add{actor}To{to}"),
            DelegationAction::Revoke => format!("Remove{actor}From{to}"),
        })
    }

    fn level(&self, suffix: &str) -> String {
        let verb = match self.question.action {
            DelegationAction::Grant => "AddTo",
            DelegationAction::Revoke => "RemoveFrom",
        };
        format!("{verb}{}{suffix}", self.token)
    }

    fn on_resource(&self) -> Vec<String> {
        match self.question.scope {
            ScopeRef::On(_) => self
                .actor(&self.token)
                .into_iter()
                .chain([self.level(""), "ManageAnyResourceRole".to_owned()])
                .collect(),
            ScopeRef::In(_) => vec![
                self.level("InLocation"),
                "ManageAnyResourceRoleAssignmentByLocation".to_owned(),
            ],
            ScopeRef::Relative(_) => vec![self.level("InRelativeResource")],
        }
    }

    fn on_recipient(&self) -> Vec<String> {
        match self.question.recipient {
            RecipientRef::ManagementRole(_) => {
                return vec!["ManageManagementRoleAssignments".to_owned()];
            }
            RecipientRef::ManagementRoleDefinition(_) => {
                return vec!["ManageManagementRoleDefinitionAssignments".to_owned()];
            }
            RecipientRef::Person(_)
            | RecipientRef::Account(_)
            | RecipientRef::Group(_)
            | RecipientRef::SetGroup(_)
            | RecipientRef::BusinessRoleLocation(..) => {}
        }
        let names = match self.question.scope {
            ScopeRef::On(_) => vec![self.actor(&self.token), self.actor("ResourceRole")],
            ScopeRef::In(_) => vec![self.actor("ResourceRoleAssignmentByLocation")],
            ScopeRef::Relative(_) => vec![self.actor("RelativeResourceRole")],
        };
        names.into_iter().flatten().collect()
    }
}

/// The delegation in handles; what it names is known (D0).
pub(crate) fn resolve(
    snapshot: &Snapshot,
    question: &DelegationQuestion<'_>,
    (kind, level): (TypeIx, LevelIx),
) -> Result<Delegation, Reason> {
    let words = Words { question, token: snapshot.cold.levels[level].token() };
    let of: Vec<Of> = match question.scope {
        ScopeRef::On(named) => vec![Of::Object(object(snapshot, named)?)],
        ScopeRef::In(id) => {
            vec![Of::TypeAt(kind, location(snapshot, id).ok_or(Reason::UnknownLocation)?)]
        }
        ScopeRef::Relative(_) => {
            let roots = snapshot.locations.iter().filter(|(_, place)| place.parent.is_none());
            roots.map(|(root, _)| Of::TypeAt(kind, root)).collect()
        }
    };
    let on_resource = words.on_resource();
    // However many there are, they are objects of one type, and asked the same.
    let first = of.first().map(|first| asked(snapshot, *first, &on_resource).operations);
    let resource = first.map_or_else(Vec::new, |operations| {
        let each = of.into_iter().map(|of| Asked { of, operations: Arc::clone(&operations) });
        each.collect()
    });
    let (first, second) = question.recipient.objects();
    let on_recipient = words.on_recipient();
    let mut recipient = Vec::new();
    for named in std::iter::once(first).chain(second) {
        let object = object(snapshot, named).map_err(|_| Reason::UnknownRecipient)?;
        recipient.push(asked(snapshot, Of::Object(object), &on_recipient));
    }
    let who = who(snapshot, &recipient).ok_or(Reason::UnknownRecipient)?;
    Ok(Delegation { resource, recipient, who })
}

fn asked(snapshot: &Snapshot, of: Of, names: &[String]) -> Asked {
    let kind = match of {
        Of::Object(object) => snapshot.resources[object].kind,
        Of::TypeAt(kind, _) => kind,
    };
    let declared = &snapshot.kinds[kind].operations;
    let operations =
        names.iter().map(|name| (name.clone(), declared.get(name.as_str()).copied())).collect();
    Asked { of, operations }
}

fn who(snapshot: &Snapshot, recipient: &[Asked]) -> Option<Recipient> {
    let mut is = recipient.iter().filter_map(|asked| match asked.of {
        Of::Object(object) => Some(snapshot.resources[object].is),
        Of::TypeAt(..) => None,
    });
    match (is.next()?, is.next()) {
        (Is::Person(actor) | Is::Account(actor) | Is::Actor(actor), None) => {
            Some(Recipient::Actor(actor))
        }
        (Is::BusinessRole(role), Some(Is::Location(location))) => {
            Some(Recipient::Pair(role, location))
        }
        _ => None,
    }
}

// === impl Delegation ===

impl Delegation {
    /// D4 and D5.
    pub(crate) fn decide(
        &self,
        snapshot: &Snapshot,
        who: &Who<'_>,
        question: &DelegationQuestion<'_>,
    ) -> (Effect, Reason) {
        let status = |asked: &[Asked]| {
            let statuses: Vec<_> = asked.iter().map(|asked| asked.status(snapshot, who)).collect();
            Status::of_all(statuses.into_iter())
        };
        if self.is_self_delegation(snapshot, who, question) {
            return (Effect::Deny, Reason::SelfDelegation);
        }
        conclude(status(&self.resource), status(&self.recipient), question.routing)
    }

    /// Whether D4 and D5 come to ALLOW; it stops at the first side or object that does not.
    pub(crate) fn allows(
        &self,
        snapshot: &Snapshot,
        who: &Who<'_>,
        question: &DelegationQuestion<'_>,
    ) -> bool {
        let held = |asked: &[Asked]| {
            let mut each = asked.iter();
            !asked.is_empty() && each.all(|asked| asked.status(snapshot, who) == Status::Held)
        };
        held(&self.recipient)
            && held(&self.resource)
            && !self.is_self_delegation(snapshot, who, question)
    }

    /// D4: the recipient is something that the delegator, or the delegating account's owner,
    /// counts as.
    pub(crate) fn is_self_delegation(
        &self,
        snapshot: &Snapshot,
        who: &Who<'_>,
        question: &DelegationQuestion<'_>,
    ) -> bool {
        if question.action != DelegationAction::Grant {
            return false;
        }
        if let (Recipient::Actor(recipient), RecipientRef::Account(id)) =
            (self.who, question.recipient)
            && recipient == snapshot.besides.actor
        {
            // All accounts besides the policy share a row: their names tell them apart.
            return question.delegator == SubjectRef::Account(id);
        }
        let owner = snapshot.subjects[who.subject].owner;
        self.who.reached_by(snapshot, who)
            || owner.is_some_and(|owner| {
                self.who.reached_by(snapshot, &Who::new(snapshot, owner, who.t))
            })
    }
}

/// D5.
pub(super) fn conclude(resource: Status, recipient: Status, routing: bool) -> (Effect, Reason) {
    let reason = match (resource, recipient) {
        (Status::Denied, _) | (_, Status::Denied) => return (Effect::Deny, Reason::ExplicitDeny),
        (Status::Held, Status::Held) => return (Effect::Allow, Reason::Granted),
        (Status::Missing, Status::Held) => Reason::MissingOnResource,
        (Status::Held, Status::Missing) => Reason::MissingOnRecipient,
        (Status::Missing, Status::Missing) => Reason::MissingOnBoth,
    };
    (if routing { Effect::RequiresApproval } else { Effect::Deny }, reason)
}

impl Asked {
    /// D3 for one object.
    pub(crate) fn status(&self, snapshot: &Snapshot, who: &Who<'_>) -> Status {
        let said = self.operations.iter().filter_map(|(_, permission)| {
            let permission = (*permission)?;
            match self.of {
                Of::Object(object) => strongest(snapshot, who, Target { object, permission }),
                Of::TypeAt(kind, at) => strongest_at(snapshot, who, (kind, at), permission),
            }
        });
        match said.max() {
            Some(Qualifier::Denied) => Status::Denied,
            Some(Qualifier::Allowed) => Status::Held,
            Some(Qualifier::Disabled | Qualifier::Unassigned) | None => Status::Missing,
        }
    }
}

impl Recipient {
    fn reached_by(self, snapshot: &Snapshot, who: &Who<'_>) -> bool {
        match self {
            Self::Actor(actor) => who.is(actor),
            // A pair that nothing names has no handle of its own, so positions tell (A5).
            Self::Pair(role, location) => who.all().any(|actor| {
                open(&snapshot.positions[actor], who.t).any(|held| {
                    snapshot.climbs_to(held.location, location)
                        && std::iter::successors(Some(held.role), |at| snapshot.cold.roles[*at].1)
                            .any(|above| above == role)
                })
            }),
        }
    }
}
