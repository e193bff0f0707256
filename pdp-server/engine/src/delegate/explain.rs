//! Why a delegation is decided as it is: both sides, the alternatives tried, and what is missing.

use std::ops::ControlFlow;

use super::sides::{Asked, Of, Status, conclude};
use super::{DelegationQuestion, ScopeRef, admit};
use crate::arena::PermissionIx;
use crate::explain::{Entry, Paths, Recorder, object_name};
use crate::id::{LocationId, TypeName};
use crate::query::{Decision, Effect, Malformed, ObjectRef, Reason};
use crate::resource::ResourceRef;
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::walk::{Who, walk, walk_location};

/// How many objects of a side an explanation tells: about as much as somebody can read. Only a
/// relative scope asks more, one for each root location.
pub const MAX_OBJECTS: usize = 100;

/// A decision about a delegation with everything that led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegationExplanation {
    /// The same decision that [`super::check_delegation`] gives.
    pub decision: Decision,
    /// The instant it was computed for.
    pub evaluated_at: Timestamp,
    /// What is asked of the thing that access is given to. `None` where the decision was made
    /// before any assignment was looked at (D0).
    pub resource: Option<DelegationSide>,
    /// What is asked of the recipient.
    pub recipient: Option<DelegationSide>,
}

/// One side of a delegation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegationSide {
    /// What the side comes to (D3).
    pub status: Status,
    /// The objects that are asked: all of them must be held (D1, D2). Up to [`MAX_OBJECTS`] are
    /// told; of more, those that decide come first: denied, else missing.
    pub objects: Vec<ObjectSide>,
    /// How many more are asked than are told.
    pub omitted_objects: usize,
}

/// One object of a side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSide {
    /// What is asked.
    pub of: AskedOf,
    /// What it comes to.
    pub status: Status,
    /// The operations of which one suffices.
    pub alternatives: Vec<Alternative>,
}

/// What an operation is asked of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskedOf {
    /// A resource.
    Resource(ResourceRef),
    /// A type at a location (D1).
    TypeAt(TypeName, LocationId),
}

impl std::fmt::Display for AskedOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Resource(resource) => resource.fmt(f),
            Self::TypeAt(type_name, location) => write!(f, "every {type_name} in {location}"),
        }
    }
}

/// One operation that would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternative {
    /// Its name.
    pub operation: String,
    /// Whether the type declares it; what is not declared is not held (D3).
    pub declared: bool,
    /// What Q1 to Q4 come to for it.
    pub outcome: Reason,
    /// Every applicable assignment whose definition mentions it, by assignment id; bounded as those
    /// of a [`crate::explain::Side`].
    pub entries: Vec<Entry>,
    /// How many more apply than are listed.
    pub omitted_entries: usize,
}

/// Decides a delegation at the instant `now` and says why.
///
/// # Errors
/// [`Malformed`] as for [`super::check_delegation`].
pub fn explain_delegation(
    snapshot: &Snapshot,
    question: &DelegationQuestion<'_>,
    now: Timestamp,
) -> Result<DelegationExplanation, Malformed> {
    question.validate()?;
    let explanation = |(effect, reason), resource, recipient| DelegationExplanation {
        decision: Decision { effect, reason, revision: snapshot.revision() },
        evaluated_at: now,
        resource,
        recipient,
    };
    let (delegator, delegation) = match admit(snapshot, question) {
        Ok(admitted) => admitted,
        Err(reason) => return Ok(explanation((Effect::Deny, reason), None, None)),
    };
    let who = Who::named(snapshot, delegator, question.delegator, now);
    let paths = Paths::new(snapshot, &who);
    let told = |asked: &[Asked], named| side(snapshot, &who, asked, named, &paths);
    let on = match question.scope {
        ScopeRef::On(object) => Some(object),
        ScopeRef::In(_) | ScopeRef::Relative(_) => None,
    };
    let resource = told(&delegation.resource, on);
    let recipient = told(&delegation.recipient, Some(question.recipient.objects().0));
    let decided = if delegation.is_self_delegation(snapshot, &who, question) {
        (Effect::Deny, Reason::SelfDelegation)
    } else {
        conclude(resource.status, recipient.status, question.routing)
    };
    Ok(explanation(decided, Some(resource), Some(recipient)))
}

fn side(
    snapshot: &Snapshot,
    who: &Who<'_>,
    asked: &[Asked],
    named: Option<ObjectRef<'_>>,
    paths: &Paths<'_>,
) -> DelegationSide {
    let mut all: Vec<(Status, &Asked)> =
        asked.iter().map(|asked| (asked.status(snapshot, who), asked)).collect();
    let status = Status::of_all(all.iter().map(|(status, _)| *status));
    let omitted_objects = all.len().saturating_sub(MAX_OBJECTS);
    if omitted_objects > 0 {
        // Stable, so that the order of the policy remains among those that come to the same.
        all.sort_by_key(|(status, _)| match status {
            Status::Denied => 0,
            Status::Missing => 1,
            Status::Held => 2,
        });
        all.truncate(MAX_OBJECTS);
    }
    let objects = all
        .into_iter()
        .map(|(status, asked)| {
            let tried = |(name, permission): &(String, Option<PermissionIx>)| {
                alternative(snapshot, who, asked.of, (name, *permission), paths)
            };
            let alternatives = asked.operations.iter().map(tried).collect();
            ObjectSide { of: asked_of(snapshot, asked.of, named), status, alternatives }
        })
        .collect();
    DelegationSide { status, objects, omitted_objects }
}

fn alternative(
    snapshot: &Snapshot,
    who: &Who<'_>,
    of: Of,
    (name, permission): (&str, Option<PermissionIx>),
    paths: &Paths<'_>,
) -> Alternative {
    let mut told = Alternative {
        operation: name.to_owned(),
        declared: permission.is_some(),
        outcome: Reason::NotGranted,
        entries: Vec::new(),
        omitted_entries: 0,
    };
    if let Some(permission) = permission {
        let mut recorder = Recorder::new(snapshot, permission, who.t);
        let (ControlFlow::Continue(()) | ControlFlow::Break(())) = match of {
            Of::Object(object) => walk(snapshot, who, object, &mut recorder),
            Of::TypeAt(kind, at) => walk_location(snapshot, who, kind, at, &mut recorder),
        };
        let heard = recorder.heard(of, paths);
        told.outcome = heard.outcome;
        (told.entries, told.omitted_entries) = (heard.entries, heard.omitted);
    }
    told
}

fn asked_of(snapshot: &Snapshot, of: Of, named: Option<ObjectRef<'_>>) -> AskedOf {
    match of {
        Of::Object(object) => AskedOf::Resource(object_name(snapshot, object, named)),
        Of::TypeAt(kind, at) => {
            let (types, locations) = (&snapshot.cold.types, &snapshot.cold.locations);
            AskedOf::TypeAt(types[kind].clone(), locations[at].clone())
        }
    }
}
