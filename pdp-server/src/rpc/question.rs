//! Questions as they arrive and decisions as they leave. A question borrows from the message, or from
//! the bytes, that it came in: asking copies nothing. Which family a question belongs to is decided here, once.

use pdp_engine::batch::check_batch;
use pdp_engine::check::check;
use pdp_engine::delegate::{DelegationAction, DelegationQuestion, RecipientRef, ScopeRef};
use pdp_engine::list::AnyPermission;
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::{
    Decision, Effect, Malformed as Refused, ObjectRef, PermissionRef, Question, Reason, SubjectRef,
};
use pdp_engine::session::{
    AccountMode, Obligations, Privileged, SessionDecision, SessionQuestion, check_session,
};
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;
use pdp_engine::vault::{VaultQuestion, check_vault};
use pdp_proto::v1;

use super::malformed::{Malformed, required, value_of};
use super::{borrowed, inbound, outbound};

/// The last instant that a message can say: 9999-12-31T23:59:59.999999Z. A session that may last
/// longer is told to end then.
const LAST_INSTANT: Timestamp = Timestamp::from_micros(253_402_300_799_999_999);

/// The instant, or the last one that a message can say.
pub(crate) fn last_instant(at: Timestamp) -> Timestamp {
    at.min(LAST_INSTANT)
}

/// A question of one of the families.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked<'a> {
    /// About Access Levels.
    Access(Question<'a>),
    /// About a vault action.
    Vault(VaultQuestion<'a>),
    /// About a session.
    Session(SessionQuestion<'a>),
}

// === impl Asked ===

impl<'a> Asked<'a> {
    /// The question of the permission's family. Whether its names can be names is the engine's to
    /// say.
    pub(crate) fn new(
        subject: SubjectRef<'a>,
        permission: AnyPermission<'a>,
        resource: ObjectRef<'a>,
        counterpart: Option<ObjectRef<'a>>,
        routing: bool,
    ) -> Result<Self, Malformed> {
        Ok(match permission {
            AnyPermission::Access(permission) => {
                Self::Access(Question { subject, permission, resource, counterpart, routing })
            }
            AnyPermission::Vault(_) | AnyPermission::Session(_) if counterpart.is_some() => {
                return Err(Malformed::new("counterpart", "goes with an operation only"));
            }
            AnyPermission::Vault(action) => {
                Self::Vault(VaultQuestion { subject, action, entity: resource })
            }
            AnyPermission::Session(level) => {
                Self::Session(SessionQuestion { subject, level, computer: resource, routing })
            }
        })
    }

    /// Decides.
    pub(crate) fn check(
        &self,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<SessionDecision, Malformed> {
        match self {
            Self::Access(question) => check(snapshot, question, now).map(plain),
            Self::Vault(question) => check_vault(snapshot, question, now).map(plain),
            Self::Session(question) => check_session(snapshot, question, now),
        }
        .map_err(|error| self.refused(&error))
    }

    /// What the engine refused to answer, by the field that the message calls it.
    pub(super) fn refused(&self, refused: &Refused) -> Malformed {
        let permission = match self {
            Self::Access(question) => AnyPermission::Access(question.permission),
            Self::Vault(question) => AnyPermission::Vault(question.action),
            Self::Session(question) => AnyPermission::Session(question.level),
        };
        self::refused(permission, refused)
    }
}

/// Decides many questions on one snapshot. The answers are in the order of the questions. Questions
/// about Access Levels that come one after the other are decided together, which takes less time.
pub(crate) fn check_all<'a>(
    asked: impl Iterator<Item = Result<Asked<'a>, Malformed>>,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Vec<Result<SessionDecision, Malformed>> {
    let mut answers = Vec::with_capacity(asked.size_hint().0);
    let mut together = Vec::with_capacity(asked.size_hint().0);
    for asked in asked {
        match asked {
            Ok(Asked::Access(question)) => together.push(question),
            other => {
                decide_together(&mut together, snapshot, now, &mut answers);
                answers.push(other.and_then(|asked| asked.check(snapshot, now)));
            }
        }
    }
    decide_together(&mut together, snapshot, now, &mut answers);
    answers
}

fn decide_together(
    questions: &mut Vec<Question<'_>>,
    snapshot: &Snapshot,
    now: Timestamp,
    answers: &mut Vec<Result<SessionDecision, Malformed>>,
) {
    check_batch(snapshot, questions, now, |question, answer| {
        let answer = answer.map(plain);
        answers.push(answer.map_err(|error| Asked::Access(*question).refused(&error)));
    });
    questions.clear();
}

/// A decision that nothing goes with.
fn plain(decision: Decision) -> SessionDecision {
    SessionDecision { decision, obligations: None }
}

/// The question of a message, as far as it holds one. Whether its names can be names is the
/// engine's to say.
pub(crate) fn question<'a>(
    wire: impl Into<borrowed::Question<'a>>,
) -> Result<Asked<'a>, Malformed> {
    use borrowed::Permission as Wire;
    let borrowed::Question { subject: who, permission, resource, counterpart, no_routing } =
        wire.into();
    let subject = subject("subject", who)?;
    let permission = match permission {
        None => return Err(no_permission()),
        Some(Wire::Operation(name)) => operation(name),
        Some(Wire::Right(name)) => right(name),
        Some(Wire::VaultAction(action)) => AnyPermission::Vault(action),
        Some(Wire::Session(level)) => AnyPermission::Session(level),
    };
    let resource = object(required("resource", resource)?);
    Asked::new(subject, permission, resource, counterpart.map(object), !no_routing)
}

/// What to say where no permission is named.
pub(super) fn no_permission() -> Malformed {
    let message =
        "is required, or else `right`, `vault_action` or `session`: what the subject would do";
    Malformed::new("operation", message)
}

/// An operation.
pub(super) fn operation(name: &str) -> AnyPermission<'_> {
    AnyPermission::Access(PermissionRef { kind: PermissionKind::Operation, name })
}

/// A native right.
pub(super) fn right(name: &str) -> AnyPermission<'_> {
    AnyPermission::Access(PermissionRef { kind: PermissionKind::Right, name })
}

/// A session.
pub(super) fn session(wire: &v1::SessionPermission) -> AnyPermission<'_> {
    let v1::SessionPermission { level } = wire;
    AnyPermission::Session(level.as_deref())
}

/// Who asks.
pub(super) fn subject<'a>(
    field: &str,
    wire: Option<impl Into<borrowed::Subject<'a>>>,
) -> Result<SubjectRef<'a>, Malformed> {
    let borrowed::Subject(who) = required(field, wire)?.into();
    match who {
        None => Err(Malformed::new(field, "names neither a person nor an account")),
        Some(borrowed::Who::Person(id)) => Ok(SubjectRef::Person(id)),
        Some(borrowed::Who::Account(id)) => Ok(SubjectRef::Account(id)),
    }
}

/// The question about a delegation in a message.
pub(super) fn delegation(
    wire: &v1::DelegationQuestion,
) -> Result<DelegationQuestion<'_>, Malformed> {
    let v1::DelegationQuestion { delegator, action, level, recipient, scope, no_routing } = wire;
    let v1::LevelRef { r#type: type_name, name: level } = required("level", level.as_ref())?;
    Ok(DelegationQuestion {
        delegator: subject("delegator", delegator.as_ref())?,
        action: match value_of("action", *action)? {
            v1::DelegationAction::Unspecified => {
                return Err(Malformed::new("action", "is required"));
            }
            v1::DelegationAction::Grant => DelegationAction::Grant,
            v1::DelegationAction::Revoke => DelegationAction::Revoke,
        },
        type_name,
        level,
        recipient: self::recipient(required("recipient", recipient.as_ref())?)?,
        scope: self::scope(required("scope", scope.as_ref())?)?,
        routing: !no_routing,
    })
}

fn recipient(wire: &v1::ActorRef) -> Result<RecipientRef<'_>, Malformed> {
    use v1::actor_ref::Actor as Wire;
    let v1::ActorRef { actor } = wire;
    let actor = actor.as_ref().ok_or_else(|| Malformed::new("recipient", "names no actor"))?;
    Ok(match actor {
        Wire::Person(id) => RecipientRef::Person(id),
        Wire::Account(id) => RecipientRef::Account(id),
        Wire::Group(id) => RecipientRef::Group(id),
        Wire::SetGroup(id) => RecipientRef::SetGroup(id),
        Wire::BusinessRoleLocation(v1::BusinessRoleLocation { business_role, location }) => {
            RecipientRef::BusinessRoleLocation(business_role, location)
        }
        Wire::ManagementRole(id) => RecipientRef::ManagementRole(id),
        Wire::ManagementRoleDefinition(id) => RecipientRef::ManagementRoleDefinition(id),
    })
}

fn scope(wire: &v1::Scope) -> Result<ScopeRef<'_>, Malformed> {
    use v1::scope::Scope as Wire;
    let v1::Scope { scope } = wire;
    Ok(match scope.as_ref().ok_or_else(|| Malformed::new("scope", "covers nothing"))? {
        Wire::OnResource(name) => ScopeRef::On(object(name)),
        Wire::InLocation(id) => ScopeRef::In(id),
        Wire::Relative(number) => {
            let relative = inbound::relative(*number);
            ScopeRef::Relative(relative.map_err(|malformed| malformed.inside("scope"))?)
        }
    })
}

/// A resource's name.
pub(super) fn object<'a>(wire: impl Into<borrowed::ResourceRef<'a>>) -> ObjectRef<'a> {
    let borrowed::ResourceRef { type_name, id } = wire.into();
    ObjectRef { type_name, id }
}

/// What the engine refused to answer, by the field that the message calls it.
pub(super) fn refused(permission: AnyPermission<'_>, refused: &Refused) -> Malformed {
    let field = match (refused.field(), permission) {
        ("permission", AnyPermission::Access(permission)) => permission.kind.as_str(),
        ("permission", AnyPermission::Vault(_)) => "vault_action",
        ("permission", AnyPermission::Session(_)) => "session.level",
        (field, _) => field,
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
        obligations: None,
    }
}

/// A decision with what goes with it.
pub(super) fn decided(decided: &SessionDecision) -> v1::Decision {
    let SessionDecision { decision, obligations } = decided;
    let obligations = obligations.as_ref().map(self::obligations);
    v1::Decision { obligations, ..self::decision(decision) }
}

fn obligations(obligations: &Obligations) -> v1::Obligations {
    let Obligations { privileged, not_after } = obligations;
    v1::Obligations {
        not_after: Some(outbound::instant(last_instant(*not_after))),
        privileged: privileged.as_ref().map(self::privileged),
    }
}

fn privileged(privileged: &Privileged) -> v1::PrivilegedObligations {
    let Privileged { group, account, delete_account } = privileged;
    let (mode, account) = match account {
        AccountMode::Existing(id) => (v1::AccountMode::Existing, Some(id.to_string())),
        AccountMode::JitNew => (v1::AccountMode::JitNew, None),
        AccountMode::JitReuse(id) => (v1::AccountMode::JitReuse, Some(id.to_string())),
    };
    let delete = delete_account.then_some(v1::OnEnd::DeleteAccount);
    let on_end = std::iter::once(v1::OnEnd::RemoveFromGroup).chain(delete);
    v1::PrivilegedObligations {
        group: group.to_string(),
        account_mode: mode.into(),
        account,
        on_end: on_end.map(i32::from).collect(),
    }
}

/// What a decision comes to.
pub(super) fn effect(effect: Effect) -> v1::Effect {
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
        Reason::UnknownLevel => v1::Reason::UnknownLevel,
        Reason::UnknownLocation => v1::Reason::UnknownLocation,
        Reason::UnknownRecipient => v1::Reason::UnknownRecipient,
        Reason::MissingOnRecipient => v1::Reason::MissingOnRecipient,
        Reason::NotShared => v1::Reason::NotShared,
        Reason::LevelTooLow => v1::Reason::LevelTooLow,
        Reason::RemoteAppUnsupported => v1::Reason::RemoteAppUnsupported,
        Reason::RemoteAppNotPrivileged => v1::Reason::RemoteAppNotPrivileged,
        Reason::PsmDisabled => v1::Reason::PsmDisabled,
        Reason::LevelNotOffered => v1::Reason::LevelNotOffered,
        Reason::LevelNotMapped => v1::Reason::LevelNotMapped,
        Reason::Excluded => v1::Reason::Excluded,
        Reason::NotEligible => v1::Reason::NotEligible,
        Reason::NoAccount => v1::Reason::NoAccount,
        Reason::SessionLimit => v1::Reason::SessionLimit,
        Reason::NeedsApproval => v1::Reason::NeedsApproval,
        Reason::UnprivilegedNotAllowed => v1::Reason::UnprivilegedNotAllowed,
    }
}
