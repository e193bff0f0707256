//! Questions as they arrive and decisions as they leave. A question borrows from the message it
//! came in: asking copies nothing.

use pdp_engine::permission::PermissionKind;
use pdp_engine::query::{
    Decision, Effect, Malformed as Refused, ObjectRef, PermissionRef, Question, Reason, SubjectRef,
};
use pdp_proto::v1;

use super::malformed::Malformed;

/// The question of a message, as far as it holds one. Whether its names can be names is the
/// engine's to say.
pub(crate) fn question(wire: &v1::Question) -> Result<Question<'_>, Malformed> {
    let v1::Question { subject, permission, resource, counterpart, no_routing } = wire;
    let subject = match subject {
        None => return Err(Malformed::new("subject", "is required")),
        Some(v1::Subject { subject: None }) => {
            return Err(Malformed::new("subject", "names neither a person nor an account"));
        }
        Some(v1::Subject { subject: Some(v1::subject::Subject::Person(id)) }) => {
            SubjectRef::Person(id)
        }
        Some(v1::Subject { subject: Some(v1::subject::Subject::Account(id)) }) => {
            SubjectRef::Account(id)
        }
    };
    let permission = match permission {
        None => {
            let message = "is required, or else `right`: what the subject would do";
            return Err(Malformed::new("operation", message));
        }
        Some(v1::question::Permission::Operation(name)) => {
            PermissionRef { kind: PermissionKind::Operation, name }
        }
        Some(v1::question::Permission::Right(name)) => {
            PermissionRef { kind: PermissionKind::Right, name }
        }
    };
    let resource = match resource {
        None => return Err(Malformed::new("resource", "is required")),
        Some(wire) => object(wire),
    };
    let counterpart = counterpart.as_ref().map(object);
    Ok(Question { subject, permission, resource, counterpart, routing: !no_routing })
}

fn object(wire: &v1::ResourceRef) -> ObjectRef<'_> {
    let v1::ResourceRef { r#type, id } = wire;
    ObjectRef { type_name: r#type, id }
}

/// What the engine refused to answer, by the field that the message calls it.
pub(crate) fn refused(question: &Question<'_>, refused: &Refused) -> Malformed {
    let field = match refused.field() {
        "permission" => question.permission.kind.as_str(),
        field => field,
    };
    Malformed::new(field, refused)
}

/// A decision.
pub(crate) fn decision(decision: &Decision) -> v1::Decision {
    let Decision { effect, reason, revision } = decision;
    v1::Decision {
        effect: self::effect(*effect).into(),
        reason: self::reason(*reason).into(),
        revision: revision.get(),
    }
}

fn effect(effect: Effect) -> v1::Effect {
    match effect {
        Effect::Allow => v1::Effect::Allow,
        Effect::Deny => v1::Effect::Deny,
        Effect::RequiresApproval => v1::Effect::RequiresApproval,
    }
}

/// A reason.
pub(super) fn reason(reason: Reason) -> v1::Reason {
    match reason {
        Reason::Granted => v1::Reason::Granted,
        Reason::ExplicitDeny => v1::Reason::ExplicitDeny,
        Reason::Disabled => v1::Reason::Disabled,
        Reason::NotGranted => v1::Reason::NotGranted,
        Reason::UnknownSubject => v1::Reason::UnknownSubject,
        Reason::SubjectDisabled => v1::Reason::SubjectDisabled,
        Reason::UnknownResource => v1::Reason::UnknownResource,
        Reason::UnknownPermission => v1::Reason::UnknownPermission,
        Reason::MissingOnResource => v1::Reason::MissingOnResource,
        Reason::MissingOnCounterpart => v1::Reason::MissingOnCounterpart,
        Reason::MissingOnBoth => v1::Reason::MissingOnBoth,
        Reason::SelfDelegation => v1::Reason::SelfDelegation,
    }
}
