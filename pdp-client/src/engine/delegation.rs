//! Why a delegation is decided as it is, as it arrives.

use pdp_engine::delegate::{
    Alternative, AskedOf, DelegationExplanation, DelegationSide, ObjectSide, Status,
};
use pdp_engine::id::{LocationId, TypeName};

use super::explanation::{decision, entry, evaluated, reason};
use super::inbound::{name, present, resource_ref, unknown};
use crate::call::Error;
use crate::v1;

/// An explanation that arrived.
pub(super) fn explanation(wire: v1::DelegationExplanation) -> Result<DelegationExplanation, Error> {
    let v1::DelegationExplanation { decision: decided, evaluated_at, resource, recipient } = wire;
    let (decision, obligations) = decision(decided)?;
    if obligations.is_some() {
        return Err(Error::protocol("a delegation carries obligations"));
    }
    Ok(DelegationExplanation {
        decision,
        evaluated_at: evaluated(evaluated_at)?,
        resource: resource.map(side).transpose()?,
        recipient: recipient.map(side).transpose()?,
    })
}

fn side(wire: v1::DelegationSide) -> Result<DelegationSide, Error> {
    let v1::DelegationSide { status: of, objects, omitted_objects } = wire;
    Ok(DelegationSide {
        status: status(of)?,
        objects: objects.into_iter().map(object).collect::<Result<_, _>>()?,
        omitted_objects: usize::try_from(omitted_objects).unwrap_or(usize::MAX),
    })
}

fn object(wire: v1::DelegationObject) -> Result<ObjectSide, Error> {
    use v1::delegation_object::Of as Wire;
    let v1::DelegationObject { status: comes_to, alternatives, of } = wire;
    let of = match present("what a delegation is asked of", of)? {
        Wire::Resource(wire) => AskedOf::Resource(resource_ref(Some(wire))?),
        Wire::TypeAtLocation(v1::TypeAtLocation { r#type, location }) => {
            AskedOf::TypeAt(name(&r#type, TypeName::new)?, name(&location, LocationId::new)?)
        }
    };
    Ok(ObjectSide {
        of,
        status: status(comes_to)?,
        alternatives: alternatives.into_iter().map(alternative).collect::<Result<_, _>>()?,
    })
}

fn alternative(wire: v1::DelegationAlternative) -> Result<Alternative, Error> {
    let v1::DelegationAlternative { operation, declared, outcome, entries, omitted_entries } = wire;
    Ok(Alternative {
        operation,
        declared,
        outcome: reason(crate::Reason::from_wire(outcome))?,
        entries: entries.into_iter().map(entry).collect::<Result<_, _>>()?,
        omitted_entries: usize::try_from(omitted_entries).unwrap_or(usize::MAX),
    })
}

fn status(number: i32) -> Result<Status, Error> {
    Ok(match v1::DelegationStatus::try_from(number) {
        Ok(v1::DelegationStatus::Denied) => Status::Denied,
        Ok(v1::DelegationStatus::Held) => Status::Held,
        Ok(v1::DelegationStatus::Missing) => Status::Missing,
        Ok(v1::DelegationStatus::Unspecified) | Err(_) => {
            return Err(unknown("status of a delegation", number));
        }
    })
}
