//! Explanations of delegations as they leave.

use pdp_engine::delegate::{
    Alternative, AskedOf, DelegationExplanation, DelegationSide, ObjectSide, Status,
};
use pdp_proto::v1;

use super::super::outbound;
use super::super::question::{decision, reason};
use super::entry;

/// An explanation of a delegation.
pub(in crate::rpc) fn delegation(explanation: &DelegationExplanation) -> v1::DelegationExplanation {
    let DelegationExplanation { decision: decided, evaluated_at, resource, recipient } =
        explanation;
    v1::DelegationExplanation {
        decision: Some(decision(decided)),
        evaluated_at: Some(outbound::instant(*evaluated_at)),
        resource: resource.as_ref().map(side),
        recipient: recipient.as_ref().map(side),
    }
}

fn side(side: &DelegationSide) -> v1::DelegationSide {
    let DelegationSide { status: comes_to, objects, omitted_objects } = side;
    v1::DelegationSide {
        status: status(*comes_to).into(),
        objects: objects.iter().map(object).collect(),
        omitted_objects: *omitted_objects as u64,
    }
}

fn object(object: &ObjectSide) -> v1::DelegationObject {
    use v1::delegation_object::Of;
    let ObjectSide { of, status: comes_to, alternatives } = object;
    let of = match of {
        AskedOf::Resource(name) => Of::Resource(outbound::resource_ref(name)),
        AskedOf::TypeAt(type_name, location) => Of::TypeAtLocation(v1::TypeAtLocation {
            r#type: type_name.to_string(),
            location: location.to_string(),
        }),
    };
    v1::DelegationObject {
        of: Some(of),
        status: status(*comes_to).into(),
        alternatives: alternatives.iter().map(alternative).collect(),
    }
}

fn alternative(alternative: &Alternative) -> v1::DelegationAlternative {
    let Alternative { operation, declared, outcome, entries, omitted_entries } = alternative;
    v1::DelegationAlternative {
        operation: operation.clone(),
        declared: *declared,
        outcome: reason(*outcome).into(),
        entries: entries.iter().map(entry).collect(),
        omitted_entries: *omitted_entries as u64,
    }
}

fn status(status: Status) -> v1::DelegationStatus {
    match status {
        Status::Denied => v1::DelegationStatus::Denied,
        Status::Held => v1::DelegationStatus::Held,
        Status::Missing => v1::DelegationStatus::Missing,
    }
}
