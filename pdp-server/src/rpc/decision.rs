//! DecisionService.

use std::sync::Arc;
use std::time::Instant;

use pdp_bundle::callers::Role;
use pdp_engine::delegate::{check_delegation, explain_delegation};
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;
use pdp_proto::v1;
use pdp_proto::v1::decision_service_server::DecisionService;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::check_stream::{OpenStream, check_stream};
use super::deciding::{batch_check, check};
use super::explanation::explained;
use super::failure::Failure;
use super::leave::granted;
use super::list::Seen;
use super::malformed::{Malformed, required};
use super::noted::with_id;
use super::patience::patience;
use super::question::{delegation, question};
use super::stream::LiveStream;
use super::{Door, code, explanation, list, permissions};
use crate::callers::Granted;
use crate::telemetry::{DecisionRpc, Inner, ListRpc, Rpc, Traced};

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
        check(&self.0, request, |message| Ok(message.into())).await
    }

    async fn batch_check(
        &self,
        request: Request<v1::BatchCheckRequest>,
    ) -> Result<Response<v1::BatchCheckResponse>, Status> {
        batch_check(&self.0, request, |message| Ok(message.into())).await
    }

    type CheckStreamStream = OpenStream;

    async fn check_stream(
        &self,
        request: Request<Streaming<v1::CheckStreamRequest>>,
    ) -> Result<Response<OpenStream>, Status> {
        check_stream(&self.0, request, |message| Ok(message.into()))
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainResponse>, Status> {
        let rpc = (Rpc::Explain, DecisionRpc::Explain);
        let (started, traced) = self.begin(rpc.0, &request);
        let explained = self.explain_one(request, &traced).await;
        self.0.told_of(rpc, (started, traced), explained)
    }

    async fn check_delegation(
        &self,
        request: Request<v1::CheckDelegationRequest>,
    ) -> Result<Response<v1::CheckDelegationResponse>, Status> {
        let rpc = (Rpc::CheckDelegation, DecisionRpc::CheckDelegation);
        let (started, traced) = self.begin(rpc.0, &request);
        let decided = self.decide_delegation(&request, &traced).await;
        self.0.told_of(rpc, (started, traced), decided)
    }

    async fn explain_delegation(
        &self,
        request: Request<v1::ExplainDelegationRequest>,
    ) -> Result<Response<v1::ExplainDelegationResponse>, Status> {
        let rpc = (Rpc::ExplainDelegation, DecisionRpc::ExplainDelegation);
        let (started, traced) = self.begin(rpc.0, &request);
        let explained = self.explain_one_delegation(request, &traced).await;
        self.0.told_of(rpc, (started, traced), explained)
    }

    async fn list_permissions(
        &self,
        request: Request<v1::ListPermissionsRequest>,
    ) -> Result<Response<v1::ListPermissionsResponse>, Status> {
        let wanted = |request: &v1::ListPermissionsRequest| Asking {
            tenant: request.tenant.clone(),
            at_least: request.at_least,
            explain: request.explain,
        };
        self.list(Rpc::ListPermissions, ListRpc::Permissions, request, wanted, list::permissions)
            .await
    }

    async fn list_resources(
        &self,
        request: Request<v1::ListResourcesRequest>,
    ) -> Result<Response<v1::ListResourcesResponse>, Status> {
        let wanted = |request: &v1::ListResourcesRequest| Asking {
            tenant: request.tenant.clone(),
            at_least: request.at_least,
            explain: request.explain,
        };
        self.list(Rpc::ListResources, ListRpc::Resources, request, wanted, list::resources).await
    }

    async fn list_subjects(
        &self,
        request: Request<v1::ListSubjectsRequest>,
    ) -> Result<Response<v1::ListSubjectsResponse>, Status> {
        let wanted = |request: &v1::ListSubjectsRequest| Asking {
            tenant: request.tenant.clone(),
            at_least: request.at_least,
            explain: request.explain,
        };
        self.list(Rpc::ListSubjects, ListRpc::Subjects, request, wanted, list::subjects).await
    }

    async fn list_approvers(
        &self,
        request: Request<v1::ListApproversRequest>,
    ) -> Result<Response<v1::ListApproversResponse>, Status> {
        let wanted = |request: &v1::ListApproversRequest| Asking {
            tenant: request.tenant.clone(),
            at_least: request.at_least,
            explain: request.explain,
        };
        self.list(Rpc::ListApprovers, ListRpc::Approvers, request, wanted, list::approvers).await
    }

    type WatchPermissionsStream = LiveStream<v1::WatchPermissionsResponse>;

    async fn watch_permissions(
        &self,
        request: Request<v1::WatchPermissionsRequest>,
    ) -> Result<Response<Self::WatchPermissionsStream>, Status> {
        self.0.answer(Rpc::WatchPermissions, permissions::begin(&self.0, request)).await
    }
}

/// Which snapshot a request asks for.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    granted: Granted<'a>,
    at_least: u64,
    metadata: &'a MetadataMap,
}

/// What every list says besides what is listed.
struct Asking {
    tenant: String,
    at_least: u64,
    explain: bool,
}

// === impl Service ===

impl Service {
    /// Begins the time and the span of a request. What is a part of another request is in that one's.
    fn begin<T>(&self, rpc: Rpc, request: &Request<T>) -> (Instant, Traced) {
        let started = Instant::now();
        let traced = match request.extensions().get::<Inner>() {
            Some(Inner) => Traced::default(),
            None => self.0.traced_by(rpc, request.metadata()),
        };
        (started, traced)
    }

    /// An explanation is as long as it is, so that it is made where taking one's time is allowed.
    async fn explain_one(
        &self,
        request: Request<v1::ExplainRequest>,
        traced: &Traced,
    ) -> Result<Response<v1::ExplainResponse>, Failure> {
        let (metadata, extensions, v1::ExplainRequest { tenant, question: wire, at_least }) =
            request.into_parts();
        let granted = granted(&extensions, &tenant)?;
        let wanted = Wanted { granted, at_least, metadata: &metadata };
        let wire = required("question", wire)?;
        let (snapshot, now) =
            self.on_snapshot(wanted, |snapshot, now| (Arc::clone(snapshot), now)).await?;
        let ((decision, explanation), wire) = self
            .0
            .aside(move || {
                let explained = question(&wire).and_then(|asked| explained(&snapshot, &asked, now));
                let explained = explained.map_err(|malformed| malformed.inside("question"))?;
                Ok((explained, wire))
            })
            .await?;
        let asking = self.0.asking(DecisionRpc::Explain, granted, now, traced);
        let noted = || Some(question(&wire).ok()?.noted());
        let id = self.0.noted(&asking, &decision, None, noted);
        Ok(with_id(v1::ExplainResponse { explanation: Some(explanation) }, id))
    }

    async fn decide_delegation(
        &self,
        request: &Request<v1::CheckDelegationRequest>,
        traced: &Traced,
    ) -> Result<Response<v1::CheckDelegationResponse>, Failure> {
        let v1::CheckDelegationRequest { tenant, question: wire, at_least } = request.get_ref();
        let granted = granted(request.extensions(), tenant)?;
        let wanted = Wanted { granted, at_least: *at_least, metadata: request.metadata() };
        let (asked, decision, now) = self
            .on_snapshot(wanted, |snapshot, now| {
                let asked = delegation(required("question", wire.as_ref())?);
                asked
                    .and_then(|asked| {
                        check_delegation(snapshot, &asked, now)
                            .map(|decision| (asked, decision, now))
                            .map_err(|error| Malformed::new(error.field(), error))
                    })
                    .map_err(|malformed| malformed.inside("question"))
            })
            .await??;
        let asking = self.0.asking(DecisionRpc::CheckDelegation, granted, now, traced);
        let id = self.0.noted(&asking, &decision, None, || Some(asked.into()));
        let decision = Some(super::question::decision(&decision));
        Ok(with_id(v1::CheckDelegationResponse { decision }, id))
    }

    async fn explain_one_delegation(
        &self,
        request: Request<v1::ExplainDelegationRequest>,
        traced: &Traced,
    ) -> Result<Response<v1::ExplainDelegationResponse>, Failure> {
        let (
            metadata,
            extensions,
            v1::ExplainDelegationRequest { tenant, question: wire, at_least },
        ) = request.into_parts();
        let granted = granted(&extensions, &tenant)?;
        let wanted = Wanted { granted, at_least, metadata: &metadata };
        let wire = required("question", wire)?;
        let (snapshot, now) =
            self.on_snapshot(wanted, |snapshot, now| (Arc::clone(snapshot), now)).await?;
        let (explained, wire) = self
            .0
            .aside(move || {
                let explained = delegation(&wire).and_then(|asked| {
                    explain_delegation(&snapshot, &asked, now)
                        .map_err(|error| Malformed::new(error.field(), error))
                });
                let explained = explained.map_err(|malformed| malformed.inside("question"))?;
                Ok((explained, wire))
            })
            .await?;
        let asking = self.0.asking(DecisionRpc::ExplainDelegation, granted, now, traced);
        let noted = || Some(delegation(&wire).ok()?.into());
        let id = self.0.noted(&asking, &explained.decision, None, noted);
        let explanation = Some(explanation::delegation(&explained));
        Ok(with_id(v1::ExplainDelegationResponse { explanation }, id))
    }

    /// A list is as long as it is, so that it is made where taking one's time is allowed.
    async fn list<Q: Send + Sync + 'static, A: Send + 'static>(
        &self,
        rpc: Rpc,
        list_rpc: ListRpc,
        request: Request<Q>,
        wanted: impl Fn(&Q) -> Asking + Send,
        list: fn(Seen<'_>, Q) -> Result<A, Failure>,
    ) -> Result<Response<A>, Status> {
        let (started, traced) = self.begin(rpc, &request);
        let span = traced.span();
        let listed = async {
            let (metadata, extensions, request) = request.into_parts();
            let Asking { tenant, at_least, explain } = wanted(&request);
            let mut granted = granted(&extensions, &tenant)?;
            if explain {
                granted = granted.with(Role::Explain)?;
            }
            if let Some(span) = span {
                span.about(granted.tenant(), granted.asker().name());
            }
            let wanted = Wanted { granted, at_least, metadata: &metadata };
            let (patience, pages) = (patience(&metadata, self.0.max_wait), self.0.pages);
            let (snapshot, now) =
                self.on_snapshot(wanted, |snapshot, now| (Arc::clone(snapshot), now)).await?;
            if let Some(span) = span {
                span.answered_from(snapshot.revision());
            }
            self.0
                .listing(patience, move |wanted| {
                    list(Seen { snapshot: &snapshot, now, pages, wanted }, request)
                })
                .await
        };
        let answered = self.0.answer(rpc, listed).await;
        traced.end(code(&answered));
        self.0.metrics.list_took(list_rpc, started.elapsed());
        answered
    }

    /// Loads the snapshot once, waiting first if it is not as fresh as wanted, and reads it.
    async fn on_snapshot<R>(
        &self,
        wanted: Wanted<'_>,
        read: impl FnOnce(&Arc<Snapshot>, Timestamp) -> R,
    ) -> Result<R, Failure> {
        let Wanted { granted, at_least, metadata } = wanted;
        let snapshot = self.0.fresh(granted, at_least, metadata).await?;
        Ok(read(&snapshot, self.0.clock.now()))
    }
}
