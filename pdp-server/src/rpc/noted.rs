//! What is counted, noted and traced of every decision, whatever door it was asked through.

use std::sync::LazyLock;
use std::time::Instant;

use pdp_engine::permission::PermissionKind;
use pdp_engine::query::{Decision, PermissionRef, Question};
use pdp_engine::session::SessionQuestion;
use pdp_engine::time::Timestamp;
use pdp_engine::vault::VaultQuestion;
use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};
use tonic::{Response, Status};

use super::failure::Failure;
use super::question::Asked;
use super::{Door, code};
use crate::callers::Granted;
use crate::decision_id::DecisionId;
use crate::decision_log::{Asking, Noted, NotedPermission};
use crate::telemetry::{DecisionRpc, Parent, Rpc, TRACEPARENT, Traced};

/// Where an answer over gRPC has the name of its decision.
static DECISION_ID: LazyLock<MetadataKey<Ascii>> =
    LazyLock::new(|| MetadataKey::from_static("pdp-decision-id"));

// === impl Door ===

impl Door {
    /// How a request is traced. What it says of that is not looked at where nobody wants to know.
    pub(crate) fn traced(
        &self,
        name: &'static str,
        parent: impl FnOnce() -> Option<Parent>,
    ) -> Traced {
        if !self.spans.are_on() && !self.log.is_on() {
            return Traced::default();
        }
        self.spans.begin(name, parent())
    }

    /// The same for a request over gRPC.
    pub(super) fn traced_by(&self, rpc: Rpc, metadata: &MetadataMap) -> Traced {
        self.traced(rpc.as_str(), || parent_of(metadata))
    }

    /// Turns what came of a request that decides into its answer; its time and its span end here.
    pub(super) fn told_of<T>(
        &self,
        (rpc, decision_rpc): (Rpc, DecisionRpc),
        (started, traced): (Instant, Traced),
        answered: Result<Response<T>, Failure>,
    ) -> Result<Response<T>, Status> {
        let answered = answered.map_err(|failure| self.failed(rpc, failure).into());
        traced.end(code(&answered));
        self.metrics.decision_took(decision_rpc, started.elapsed());
        answered
    }

    /// Who asks, for decisions of one request.
    pub(crate) fn asking<'a>(
        &self,
        rpc: DecisionRpc,
        granted: Granted<'a>,
        at: Timestamp,
        traced: &'a Traced,
    ) -> Asking<'a> {
        let (tenant, caller) = (granted.tenant(), granted.asker().name());
        let span = traced.span();
        if let Some(span) = span {
            span.about(tenant, caller);
        }
        Asking { rpc, tenant, caller, trace: traced.trace(), span, at }
    }

    /// Counts a decision and notes it, under a name that was given already or a new one. A new one is told
    /// where it leads somewhere: to a record or a span.
    pub(crate) fn noted<'q>(
        &self,
        asking: &Asking<'_>,
        decision: &Decision,
        id: Option<DecisionId>,
        question: impl FnOnce() -> Option<Noted<&'q str>>,
    ) -> Option<DecisionId> {
        self.metrics.decided(asking.rpc, decision);
        if asking.span.is_none() && !self.log.is_on() {
            return id;
        }
        let name = id.unwrap_or_else(|| self.decision_id());
        if let Some(span) = asking.span {
            span.decided(decision, name);
        }
        let noted = self.log.note(asking, decision, name, question);
        id.or_else(|| (noted || asking.span.is_some()).then_some(name))
    }
}

/// What a request says of its trace.
pub(super) fn parent_of(metadata: &MetadataMap) -> Option<Parent> {
    Parent::of(metadata.get(TRACEPARENT)?.as_bytes())
}

/// An answer, with the name of its decision, if it has one.
pub(super) fn with_id<T>(answer: T, id: Option<DecisionId>) -> Response<T> {
    let mut response = Response::new(answer);
    let value = id.and_then(|id| MetadataValue::<Ascii>::try_from(id.digits().as_slice()).ok());
    if let Some(mut value) = value {
        // It comes once: no connection is to remember it for the answers that follow.
        value.set_sensitive(true);
        response.metadata_mut().insert(DECISION_ID.clone(), value);
    }
    response
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
