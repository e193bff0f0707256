//! Envoy's external authorization: a request at a gateway becomes a question by the mapping of the
//! configuration, and the decision becomes what Envoy does with the request.
//!
//! INVARIANT: every response has a status. To Envoy a response without one is an ALLOW.

mod answer;
mod caller;

use std::sync::Arc;
use std::time::Instant;

use pdp_bundle::gateway::{Asked as Question, Gateway, Mapped, Unmapped};
use pdp_bundle::question::OwnedSubject;
use pdp_proto::ext_authz::authorization_server::Authorization;
use pdp_proto::ext_authz::{AttributeContext, CheckRequest, CheckResponse};
use tonic::{Request, Response, Status};

use super::failure::Failure;
use super::leave::granted;
use super::malformed::{Malformed, required};
use super::noted::parent_of;
use super::question::Asked;
use super::{Door, code};
use crate::callers::Granted;
use crate::telemetry::{DecisionRpc, Parent, Rpc, Traced, Unasked};
use answer::{Answer, Refusal};
use caller::Envoy;

/// The service.
pub(super) struct Service {
    pub(super) door: Arc<Door>,
    pub(super) gateway: Gateway,
}

#[tonic::async_trait]
impl Authorization for Service {
    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        let started = Instant::now();
        let traced = self.door.traced(Rpc::ExtAuthz.as_str(), || parent(&request));
        let answered = self.door.answered(Rpc::ExtAuthz, self.respond(&request, &traced));
        traced.end(code(&answered));
        self.door.metrics.decision_took(DecisionRpc::ExtAuthz, started.elapsed());
        answered
    }
}

/// What the gateway itself says of its trace, and otherwise the request that it asks for.
fn parent(request: &Request<CheckRequest>) -> Option<Parent> {
    let of_request = || Envoy(request.get_ref().attributes.as_ref()?).trace();
    parent_of(request.metadata()).or_else(of_request)
}

// === impl Service ===

impl Service {
    fn respond(
        &self,
        request: &Request<CheckRequest>,
        traced: &Traced,
    ) -> Result<CheckResponse, Failure> {
        let CheckRequest { attributes } = request.get_ref();
        let attributes = required("attributes", attributes.as_ref())?;
        let caller = Envoy(attributes);
        let answer = Answer { id: self.door.decision_id(), gateway: &self.gateway };
        let refused = |refusal, unasked| {
            self.door.metrics.unasked(unasked);
            Ok(answer.refuse(refusal))
        };
        match self.gateway.map(&caller) {
            Ok(Mapped::Asked(asked)) => {
                let granted = granted(request.extensions(), asked.tenant)?;
                self.decide(&asked, (granted, traced), &answer, attributes)
            }
            Ok(Mapped::Public(_)) => {
                self.door.metrics.unasked(Unasked::Public);
                Ok(answer.pass(attributes))
            }
            Err(Unmapped::Path(_)) => refused(Refusal::BadPath, Unasked::BadPath),
            Err(Unmapped::NoRoute) => refused(Refusal::NoRoute, Unasked::NoRoute),
            Err(Unmapped::NoSubject) => refused(Refusal::NoSubject, Unasked::NoSubject),
            Err(Unmapped::Extension(error)) => {
                Err(Malformed::new("attributes.context_extensions", error).into())
            }
        }
    }

    fn decide(
        &self,
        question: &Question<'_>,
        (granted, traced): (Granted<'_>, &Traced),
        answer: &Answer<'_>,
        attributes: &AttributeContext,
    ) -> Result<CheckResponse, Failure> {
        let Question { route: _, tenant: _, subject, permission, resource, counterpart, source: _ } =
            question;
        let counterpart = counterpart.as_ref().map(|object| object.as_ref());
        let (who, resource) = (OwnedSubject::as_ref(subject), resource.as_ref());
        let asked = Asked::new(who, *permission, resource, counterpart, true)?;
        let (decided, now) = {
            let (snapshot, now) = self.door.snapshot(granted)?;
            (asked.check(&snapshot, now), now)
        };
        match decided {
            Ok(decided) => {
                let asking = self.door.asking(DecisionRpc::ExtAuthz, granted, now, traced);
                let noted = || Some(asked.noted());
                self.door.noted(&asking, &decided.decision, Some(answer.id), noted);
                Ok(answer.decided(&decided, subject, attributes))
            }
            // What a client named is its mistake; what the gateway's configuration named is not.
            Err(malformed) if question.is_of_request(&malformed.path) => {
                self.door.metrics.unasked(Unasked::Malformed);
                Ok(answer.refuse(Refusal::Malformed))
            }
            Err(malformed) => Err(malformed.into()),
        }
    }
}
