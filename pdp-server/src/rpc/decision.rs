//! DecisionService.

use std::sync::Arc;
use std::time::Instant;

use pdp_engine::delegate::{check_delegation, explain_delegation};
use pdp_engine::session::SessionDecision;
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;
use pdp_proto::v1;
use pdp_proto::v1::decision_service_server::DecisionService;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::explanation::explained;
use super::failure::Failure;
use super::list::Seen;
use super::malformed::{Malformed, required};
use super::patience::patience;
use super::question::{check_all, decided, delegation, question};
use super::{Door, explanation, list};
use crate::telemetry::{DecisionRpc, ListRpc, Rpc};

/// How many questions a batch may hold. They are answered in one go on one thread: on ordinary
/// policies in a millisecond or two, on one that is made to be slow in as many times what a check
/// takes there.
pub const MAX_BATCH: usize = 1_000;

/// The service.
pub(super) struct Service(pub(super) Arc<Door>);

#[tonic::async_trait]
impl DecisionService for Service {
    async fn check(
        &self,
        request: Request<v1::CheckRequest>,
    ) -> Result<Response<v1::CheckResponse>, Status> {
        let started = Instant::now();
        let answered = self.0.answer(Rpc::Check, self.decide(&request)).await;
        self.0.metrics.decision_took(DecisionRpc::Check, started.elapsed());
        answered
    }

    async fn batch_check(
        &self,
        request: Request<v1::BatchCheckRequest>,
    ) -> Result<Response<v1::BatchCheckResponse>, Status> {
        let started = Instant::now();
        let answered = self.0.answer(Rpc::BatchCheck, self.decide_all(&request)).await;
        self.0.metrics.decision_took(DecisionRpc::BatchCheck, started.elapsed());
        answered
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainResponse>, Status> {
        let started = Instant::now();
        let answered = self.0.answer(Rpc::Explain, self.explain_one(request)).await;
        self.0.metrics.decision_took(DecisionRpc::Explain, started.elapsed());
        answered
    }

    async fn check_delegation(
        &self,
        request: Request<v1::CheckDelegationRequest>,
    ) -> Result<Response<v1::CheckDelegationResponse>, Status> {
        let started = Instant::now();
        let answered = self.0.answer(Rpc::CheckDelegation, self.decide_delegation(&request)).await;
        self.0.metrics.decision_took(DecisionRpc::CheckDelegation, started.elapsed());
        answered
    }

    async fn explain_delegation(
        &self,
        request: Request<v1::ExplainDelegationRequest>,
    ) -> Result<Response<v1::ExplainDelegationResponse>, Status> {
        let started = Instant::now();
        let explained = self.explain_one_delegation(request);
        let answered = self.0.answer(Rpc::ExplainDelegation, explained).await;
        self.0.metrics.decision_took(DecisionRpc::ExplainDelegation, started.elapsed());
        answered
    }

    async fn list_permissions(
        &self,
        request: Request<v1::ListPermissionsRequest>,
    ) -> Result<Response<v1::ListPermissionsResponse>, Status> {
        let wanted =
            |request: &v1::ListPermissionsRequest| (request.tenant.clone(), request.at_least);
        self.list(Rpc::ListPermissions, ListRpc::Permissions, request, wanted, list::permissions)
            .await
    }

    async fn list_resources(
        &self,
        request: Request<v1::ListResourcesRequest>,
    ) -> Result<Response<v1::ListResourcesResponse>, Status> {
        let wanted =
            |request: &v1::ListResourcesRequest| (request.tenant.clone(), request.at_least);
        self.list(Rpc::ListResources, ListRpc::Resources, request, wanted, list::resources).await
    }

    async fn list_subjects(
        &self,
        request: Request<v1::ListSubjectsRequest>,
    ) -> Result<Response<v1::ListSubjectsResponse>, Status> {
        let wanted = |request: &v1::ListSubjectsRequest| (request.tenant.clone(), request.at_least);
        self.list(Rpc::ListSubjects, ListRpc::Subjects, request, wanted, list::subjects).await
    }

    async fn list_approvers(
        &self,
        request: Request<v1::ListApproversRequest>,
    ) -> Result<Response<v1::ListApproversResponse>, Status> {
        let wanted =
            |request: &v1::ListApproversRequest| (request.tenant.clone(), request.at_least);
        self.list(Rpc::ListApprovers, ListRpc::Approvers, request, wanted, list::approvers).await
    }
}

/// Which snapshot a request asks for.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    tenant: &'a str,
    at_least: u64,
    metadata: &'a MetadataMap,
}

// === impl Service ===

impl Service {
    async fn decide(
        &self,
        request: &Request<v1::CheckRequest>,
    ) -> Result<v1::CheckResponse, Failure> {
        let v1::CheckRequest { tenant, question: wire, at_least } = request.get_ref();
        let wanted = Wanted { tenant, at_least: *at_least, metadata: request.metadata() };
        let decision = self
            .on_snapshot(wanted, |snapshot, now| {
                let wire = required("question", wire.as_ref())?;
                decide(snapshot, wire, now).map_err(|malformed| malformed.inside("question"))
            })
            .await??;
        self.0.metrics.decided(DecisionRpc::Check, &decision.decision);
        Ok(v1::CheckResponse { decision: Some(decided(&decision)) })
    }

    async fn decide_all(
        &self,
        request: &Request<v1::BatchCheckRequest>,
    ) -> Result<v1::BatchCheckResponse, Failure> {
        let v1::BatchCheckRequest { tenant, questions, at_least } = request.get_ref();
        if questions.len() > MAX_BATCH {
            return Err(Failure::Limit {
                limit: "max_batch",
                field: "questions",
                unit: "questions",
                maximum: MAX_BATCH,
                actual: questions.len(),
            });
        }
        let wanted = Wanted { tenant, at_least: *at_least, metadata: request.metadata() };
        self.on_snapshot(wanted, |snapshot, now| {
            let answers = check_all(questions.iter().map(question), snapshot, now);
            let result = |(index, answer)| v1::BatchCheckResult {
                result: Some(match answer {
                    Ok(decision) => {
                        self.0.metrics.decided(DecisionRpc::BatchCheck, &decision.decision);
                        v1::batch_check_result::Result::Decision(decided(&decision))
                    }
                    Err(malformed) => {
                        let malformed = malformed.inside(&format!("questions[{index}]"));
                        v1::batch_check_result::Result::Error(question_error(malformed))
                    }
                }),
            };
            v1::BatchCheckResponse {
                results: answers.into_iter().enumerate().map(result).collect(),
                revision: snapshot.revision().get(),
            }
        })
        .await
    }

    /// An explanation is as long as it is, so that it is made where taking one's time is allowed.
    async fn explain_one(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<v1::ExplainResponse, Failure> {
        let (metadata, _, v1::ExplainRequest { tenant, question: wire, at_least }) =
            request.into_parts();
        let wanted = Wanted { tenant: &tenant, at_least, metadata: &metadata };
        let wire = required("question", wire)?;
        let (snapshot, now) =
            self.on_snapshot(wanted, |snapshot, now| (Arc::clone(snapshot), now)).await?;
        let (decision, explanation) = self
            .0
            .blocking(move |_| {
                let explained = question(&wire).and_then(|asked| explained(&snapshot, &asked, now));
                Ok(explained.map_err(|malformed| malformed.inside("question"))?)
            })
            .await?;
        self.0.metrics.decided(DecisionRpc::Explain, &decision);
        Ok(v1::ExplainResponse { explanation: Some(explanation) })
    }

    async fn decide_delegation(
        &self,
        request: &Request<v1::CheckDelegationRequest>,
    ) -> Result<v1::CheckDelegationResponse, Failure> {
        let v1::CheckDelegationRequest { tenant, question: wire, at_least } = request.get_ref();
        let wanted = Wanted { tenant, at_least: *at_least, metadata: request.metadata() };
        let decision = self
            .on_snapshot(wanted, |snapshot, now| {
                let asked = delegation(required("question", wire.as_ref())?);
                asked
                    .and_then(|asked| {
                        check_delegation(snapshot, &asked, now)
                            .map_err(|error| Malformed::new(error.field(), error))
                    })
                    .map_err(|malformed| malformed.inside("question"))
            })
            .await??;
        self.0.metrics.decided(DecisionRpc::CheckDelegation, &decision);
        Ok(v1::CheckDelegationResponse { decision: Some(super::question::decision(&decision)) })
    }

    async fn explain_one_delegation(
        &self,
        request: Request<v1::ExplainDelegationRequest>,
    ) -> Result<v1::ExplainDelegationResponse, Failure> {
        let (metadata, _, v1::ExplainDelegationRequest { tenant, question: wire, at_least }) =
            request.into_parts();
        let wanted = Wanted { tenant: &tenant, at_least, metadata: &metadata };
        let wire = required("question", wire)?;
        let (snapshot, now) =
            self.on_snapshot(wanted, |snapshot, now| (Arc::clone(snapshot), now)).await?;
        let explained = self
            .0
            .blocking(move |_| {
                let explained = delegation(&wire).and_then(|asked| {
                    explain_delegation(&snapshot, &asked, now)
                        .map_err(|error| Malformed::new(error.field(), error))
                });
                Ok(explained.map_err(|malformed| malformed.inside("question"))?)
            })
            .await?;
        self.0.metrics.decided(DecisionRpc::ExplainDelegation, &explained.decision);
        let explanation = Some(explanation::delegation(&explained));
        Ok(v1::ExplainDelegationResponse { explanation })
    }

    /// A list is as long as it is, so that it is made where taking one's time is allowed.
    async fn list<Q: Send + Sync + 'static, A: Send + 'static>(
        &self,
        rpc: Rpc,
        list_rpc: ListRpc,
        request: Request<Q>,
        wanted: impl Fn(&Q) -> (String, u64) + Send,
        list: fn(Seen<'_>, Q) -> Result<A, Failure>,
    ) -> Result<Response<A>, Status> {
        let started = Instant::now();
        let listed = async {
            let (metadata, _, request) = request.into_parts();
            let (tenant, at_least) = wanted(&request);
            let wanted = Wanted { tenant: &tenant, at_least, metadata: &metadata };
            let patience = patience(&metadata, self.0.max_wait);
            let (snapshot, now) =
                self.on_snapshot(wanted, |snapshot, now| (Arc::clone(snapshot), now)).await?;
            self.0
                .listing(patience, move |wanted| {
                    list(Seen { snapshot: &snapshot, now, wanted }, request)
                })
                .await
        };
        let answered = self.0.answer(rpc, listed).await;
        self.0.metrics.list_took(list_rpc, started.elapsed());
        answered
    }

    /// Loads the snapshot once, waiting first if it is not as fresh as wanted, and reads it.
    async fn on_snapshot<R>(
        &self,
        wanted: Wanted<'_>,
        read: impl FnOnce(&Arc<Snapshot>, Timestamp) -> R,
    ) -> Result<R, Failure> {
        let Wanted { tenant, at_least, metadata } = wanted;
        let snapshot = self.0.fresh(tenant, at_least, metadata).await?;
        Ok(read(&snapshot, self.0.clock.now()))
    }
}

fn decide(
    snapshot: &Snapshot,
    wire: &v1::Question,
    now: Timestamp,
) -> Result<SessionDecision, Malformed> {
    question(wire)?.check(snapshot, now)
}

fn question_error(malformed: Malformed) -> v1::QuestionError {
    let field = malformed.path.clone();
    let failure = Failure::from(malformed);
    v1::QuestionError {
        code: failure.code().into(),
        message: failure.to_string(),
        reason: failure.reason().to_owned(),
        field,
    }
}
