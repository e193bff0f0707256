//! What is counted and noted of every decision, whatever door it was asked through.

use pdp_engine::permission::PermissionKind;
use pdp_engine::query::{Decision, PermissionRef, Question};
use pdp_engine::session::SessionQuestion;
use pdp_engine::time::Timestamp;
use pdp_engine::vault::VaultQuestion;
use tonic::metadata::MetadataMap;

use super::Door;
use super::question::Asked;
use crate::callers::Granted;
use crate::decision_id::DecisionId;
use crate::decision_log::{Asking, Noted, NotedPermission, TRACEPARENT, TraceId};
use crate::telemetry::DecisionRpc;

// === impl Door ===

impl Door {
    /// Who asks, for decisions of one request. What only the log needs is not looked for without one.
    pub(crate) fn asking<'a>(
        &self,
        rpc: DecisionRpc,
        granted: Granted<'a>,
        at: Timestamp,
        trace: impl FnOnce() -> Option<TraceId>,
    ) -> Asking<'a> {
        let trace = if self.log.is_on() { trace() } else { None };
        let (tenant, caller) = (granted.tenant(), granted.asker().name());
        Asking { rpc, tenant, caller, trace, at }
    }

    /// Counts a decision and notes it, under a name that was given already or a new one.
    pub(crate) fn noted<'q>(
        &self,
        asking: &Asking<'_>,
        decision: &Decision,
        id: Option<DecisionId>,
        question: impl FnOnce() -> Option<Noted<&'q str>>,
    ) {
        self.metrics.decided(asking.rpc, decision);
        self.log.note(asking, decision, || id.unwrap_or_else(|| self.decision_id()), question);
    }
}

/// The trace that a request says it belongs to.
pub(super) fn trace_of(metadata: &MetadataMap) -> Option<TraceId> {
    TraceId::of(metadata.get(TRACEPARENT)?.as_bytes())
}

// === impl Asked ===

impl<'a> Asked<'a> {
    /// The question as it is noted.
    pub(crate) fn noted(self) -> Noted<&'a str> {
        let (subject, permission, resource, counterpart, routing) = match self {
            Self::Access(Question { subject, permission, resource, counterpart, routing }) => {
                let permission = match permission {
                    PermissionRef { kind: PermissionKind::Operation, name } => {
                        NotedPermission::Operation(name)
                    }
                    PermissionRef { kind: PermissionKind::Right, name } => {
                        NotedPermission::Right(name)
                    }
                };
                (subject, permission, resource, counterpart, routing)
            }
            Self::Vault(VaultQuestion { subject, action, entity }) => {
                (subject, NotedPermission::Vault(action), entity, None, true)
            }
            Self::Session(SessionQuestion { subject, level, computer, routing }) => {
                (subject, NotedPermission::Session(level), computer, None, routing)
            }
        };
        Noted::Check {
            subject: subject.into(),
            permission,
            resource: resource.into(),
            counterpart: counterpart.map(Into::into),
            routing,
        }
    }
}
