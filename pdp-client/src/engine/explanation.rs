//! Explanations as they arrive, to the engine's own.

use pdp_engine::explain::{
    Coverage, Entry, Explanation, Gap, Hop, HopKind, NearMiss, Side, Standing, Thing,
};
use pdp_engine::id::{BusinessRoleId, LocationId};
use pdp_engine::level::Assignment;
use pdp_engine::query::{Decision, Effect, Reason, Revision};
use pdp_engine::time::Timestamp;

use super::inbound::{
    actor, assignment, instant, level, name, present, qualifier, resource_ref, unknown, window,
};
use crate::call::Error;
use crate::obligation::Obligations;
use crate::v1;

pub(super) fn explanation(wire: v1::Explanation) -> Result<Explanation, Error> {
    let v1::Explanation { decision: decided, evaluated_at, sides, vault, session } = wire;
    only("an operation or a right", vault.is_none() && session.is_none())?;
    Ok(Explanation {
        decision: decision(decided)?.0,
        evaluated_at: evaluated(evaluated_at)?,
        sides: sides.into_iter().map(side).collect::<Result<_, _>>()?,
    })
}

/// The decision, and the obligations that go with it.
pub(super) fn decision(
    wire: Option<v1::Decision>,
) -> Result<(Decision, Option<Obligations>), Error> {
    let decided = crate::Decision::from_wire(wire, crate::Revision::default())?;
    let crate::Decision { effect, reason: why, revision, obligations } = decided;
    let effect = match effect {
        crate::Effect::Allow => Effect::Allow,
        crate::Effect::Deny => Effect::Deny,
        crate::Effect::RequiresApproval => Effect::RequiresApproval,
    };
    let revision = Revision::new(revision.get());
    Ok((Decision { effect, reason: reason(why)?, revision }, obligations))
}

/// The instant of an explanation.
pub(super) fn evaluated(at: Option<prost_types::Timestamp>) -> Result<Timestamp, Error> {
    instant(present("the evaluation time", at)?)
}

/// An explanation of another family is an answer to another question.
pub(super) fn only(family: &str, only: bool) -> Result<(), Error> {
    if only {
        Ok(())
    } else {
        Err(Error::protocol(format!("it is not the explanation of {family}")))
    }
}

pub(super) fn reason(reason: crate::Reason) -> Result<Reason, Error> {
    use crate::Reason as Wire;
    Ok(match reason {
        Wire::Granted => Reason::Granted,
        Wire::ExplicitDeny => Reason::ExplicitDeny,
        Wire::Disabled => Reason::Disabled,
        Wire::NotGranted => Reason::NotGranted,
        Wire::UnknownSubject => Reason::UnknownSubject,
        Wire::SubjectDisabled => Reason::SubjectDisabled,
        Wire::UnknownResource => Reason::UnknownResource,
        Wire::UnknownPermission => Reason::UnknownPermission,
        Wire::MissingOnResource => Reason::MissingOnResource,
        Wire::MissingOnCounterpart => Reason::MissingOnCounterpart,
        Wire::MissingOnBoth => Reason::MissingOnBoth,
        Wire::SelfDelegation => Reason::SelfDelegation,
        Wire::UnknownLevel => Reason::UnknownLevel,
        Wire::UnknownLocation => Reason::UnknownLocation,
        Wire::UnknownRecipient => Reason::UnknownRecipient,
        Wire::MissingOnRecipient => Reason::MissingOnRecipient,
        Wire::NotShared => Reason::NotShared,
        Wire::LevelTooLow => Reason::LevelTooLow,
        Wire::RemoteAppUnsupported => Reason::RemoteAppUnsupported,
        Wire::RemoteAppNotPrivileged => Reason::RemoteAppNotPrivileged,
        Wire::PsmDisabled => Reason::PsmDisabled,
        Wire::LevelNotOffered => Reason::LevelNotOffered,
        Wire::LevelNotMapped => Reason::LevelNotMapped,
        Wire::Excluded => Reason::Excluded,
        Wire::NotEligible => Reason::NotEligible,
        Wire::NoAccount => Reason::NoAccount,
        Wire::SessionLimit => Reason::SessionLimit,
        Wire::NeedsApproval => Reason::NeedsApproval,
        Wire::UnprivilegedNotAllowed => Reason::UnprivilegedNotAllowed,
        Wire::Unrecognized(number) => return Err(unknown("reason", number)),
    })
}

fn side(wire: v1::ExplainedSide) -> Result<Side, Error> {
    let v1::ExplainedSide {
        object,
        outcome,
        entries,
        granting_levels,
        near_misses,
        omitted_entries,
    } = wire;
    let levels = granting_levels.into_iter().map(|wire| level(Some(wire)));
    Ok(Side {
        object: resource_ref(object)?,
        outcome: reason(crate::Reason::from_wire(outcome))?,
        entries: entries.into_iter().map(entry).collect::<Result<_, _>>()?,
        omitted_entries: usize::try_from(omitted_entries).unwrap_or(usize::MAX),
        granting_levels: levels.collect::<Result<_, _>>()?,
        near_misses: near_misses.into_iter().map(near_miss).collect::<Result<_, _>>()?,
    })
}

pub(super) fn entry(wire: v1::ExplainedEntry) -> Result<Entry, Error> {
    let v1::ExplainedEntry { assignment: of, qualifier: says, standing, subject_path, coverage } =
        wire;
    let Assignment { id, to, level, scope, window } = assignment(of)?;
    let standing = match v1::Standing::try_from(standing) {
        Ok(v1::Standing::Deciding) => Standing::Deciding,
        Ok(v1::Standing::Masked) => Standing::Masked,
        Ok(v1::Standing::Outweighed) => Standing::Outweighed,
        Ok(v1::Standing::Unspecified) | Err(_) => return Err(unknown("standing", standing)),
    };
    let v1::Coverage { relation, placement } = present("a coverage", coverage)?;
    Ok(Entry {
        assignment: id,
        to,
        level,
        scope,
        window,
        qualifier: qualifier(says)?,
        standing,
        subject_path: path(subject_path)?,
        coverage: Coverage { relation: path(relation)?, placement: path(placement)? },
    })
}

fn near_miss(wire: v1::NearMiss) -> Result<NearMiss, Error> {
    let v1::NearMiss { assignment: of, gap, subject_path } = wire;
    let Assignment { id, to, level, scope, window } = assignment(of)?;
    let gap = match v1::Gap::try_from(gap) {
        Ok(v1::Gap::Window) => Gap::Window,
        Ok(v1::Gap::Assignee) => Gap::Assignee,
        Ok(v1::Gap::Scope) => Gap::Scope,
        Ok(v1::Gap::Unspecified) | Err(_) => return Err(unknown("gap", gap)),
    };
    let subject_path = path(subject_path)?;
    Ok(NearMiss { assignment: id, to, level, scope, window, gap, subject_path })
}

pub(super) fn path(wires: Vec<v1::Hop>) -> Result<Vec<Hop>, Error> {
    let hop = |wire: v1::Hop| {
        let v1::Hop { kind, from, to, window: open } = wire;
        let kind = hop_kind(kind)?;
        Ok(Hop { kind, from: thing(from)?, to: thing(to)?, window: window(open)? })
    };
    wires.into_iter().map(hop).collect()
}

fn hop_kind(number: i32) -> Result<HopKind, Error> {
    use v1::HopKind as Wire;
    Ok(match Wire::try_from(number) {
        Ok(Wire::Owns) => HopKind::Owns,
        Ok(Wire::MemberOf) => HopKind::MemberOf,
        Ok(Wire::HoldsPosition) => HopKind::HoldsPosition,
        Ok(Wire::RoleParent) => HopKind::RoleParent,
        Ok(Wire::LocationParent) => HopKind::LocationParent,
        Ok(Wire::Includes) => HopKind::Includes,
        Ok(Wire::MadeFrom) => HopKind::MadeFrom,
        Ok(Wire::PlacedIn) => HopKind::PlacedIn,
        Ok(Wire::PlacedByPosition) => HopKind::PlacedByPosition,
        Ok(Wire::PlacedInItself) => HopKind::PlacedInItself,
        Ok(Wire::Is) => HopKind::Is,
        Ok(Wire::ReportsTo) => HopKind::ReportsTo,
        Ok(Wire::Manages) => HopKind::Manages,
        Ok(Wire::MemberBySession) => HopKind::MemberBySession,
        Ok(Wire::Unspecified) | Err(_) => return Err(unknown("kind of hop", number)),
    })
}

fn thing(wire: Option<v1::Thing>) -> Result<Thing, Error> {
    use v1::thing::Thing as Wire;
    let v1::Thing { thing } = present("an end of a hop", wire)?;
    Ok(match present("the kind of an end of a hop", thing)? {
        Wire::Actor(wire) => Thing::Actor(actor(Some(wire))?),
        Wire::Resource(wire) => Thing::Resource(resource_ref(Some(wire))?),
        Wire::Location(id) => Thing::Location(name(&id, LocationId::new)?),
        Wire::BusinessRole(id) => Thing::BusinessRole(name(&id, BusinessRoleId::new)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_hop_is_known_and_no_other() {
        let known = (1..=14).map(|number| hop_kind(number).unwrap());
        let named: std::collections::HashSet<_> = known.map(|kind| format!("{kind:?}")).collect();
        assert_eq!(named.len(), 14);
        assert!(named.contains("MemberBySession"));
        assert!(v1::HopKind::try_from(15).is_err());
        assert!(hop_kind(0).is_err() && hop_kind(15).is_err());
    }
}
