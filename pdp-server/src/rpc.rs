//! The gRPC door. Wire types end here: what arrives is taken apart into the engine's types, what
//! leaves is put together from them, and no other room sees a message. Nothing here knows how the
//! policy is stored.
//!
//! A deciding RPC loads the snapshot once and answers from it on the thread that received it,
//! without a lock, a log line or a copy of the question. Everything that takes longer runs on other
//! threads, from the reading of its message to the bytes of its answer.

mod audit;
mod borrowed;
mod bounded;
mod check_stream;
mod deadline;
mod deciding;
mod decision;
mod elsewhere;
mod explanation;
mod ext_authz;
mod failure;
mod fresh;
mod health;
mod import;
mod inbound;
mod last_resort;
mod leave;
mod list;
mod malformed;
mod noted;
mod outbound;
mod page;
mod patience;
mod permissions;
mod policy;
mod question;
mod running;
mod session;
mod sidecar;
mod stream;
mod tenant;
mod watch;

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pdp_bundle::gateway::Gateway;
use pdp_engine::id::TenantId;
use pdp_proto::ext_authz::authorization_server::AuthorizationServer;
use pdp_proto::v1::audit_service_server::AuditServiceServer;
use pdp_proto::v1::decision_service_server::{DecisionService, DecisionServiceServer};
use pdp_proto::v1::policy_service_server::PolicyServiceServer;
use pdp_proto::v1::session_service_server::SessionServiceServer;
use pdp_proto::v1::tenant_service_server::TenantServiceServer;
use tokio::runtime::Handle;
use tonic::metadata::MetadataMap;
use tonic::service::{Routes, RoutesBuilder};
use tonic::{Code, Response, Status};

use crate::admission::Shed;
use crate::callers::{Denied, Everywhere, Forbidden, Gate, Granted, Need, Side, Standing};
use crate::clock::Clock;
use crate::decision_id::{DecisionId, DecisionIds};
use crate::decision_log::DecisionLog;
use crate::publish::{DEFAULT_TENANT, Early, Publisher};
use crate::telemetry::{Metrics, Rpc, Spans};
use bounded::{Bounded, HealthStreams};
use check_stream::OpenStreams;
pub(crate) use deadline::DeadlineLayer;
use deciding::Deciding;
pub use decision::MAX_BATCH;
use elsewhere::Elsewhere;
pub(crate) use elsewhere::Wanted;
pub use failure::ERROR_DOMAIN;
pub(crate) use failure::Failure;
pub(crate) use health::Health;
pub(crate) use import::ImportLimits;
use import::Imports;
pub(crate) use last_resort::LastResortLayer;
pub(crate) use leave::granted;
use leave::{Behind, tenant_of};
pub(crate) use list::first_account;
pub(crate) use malformed::Malformed;
pub use page::{MAX_EXPLAINED_PAGE_SIZE, MAX_PAGE_SIZE, PageSizes, read_back};
pub(crate) use patience::{patience_of, patience_within};
pub use policy::{MAX_CHANGES, MAX_REQUEST_ID_BYTES};
pub(crate) use question::{Asked, check_all, last_instant};
use running::{LONGEST_QUEUE, RunningLists};
pub(crate) use sidecar::{Following, Sidecar};
use stream::LiveStreams;

/// What every service shares.
pub(crate) struct Door {
    behind: Behind,
    /// What a sidecar has besides.
    sidecar: OnceLock<Sidecar>,
    clock: Clock,
    metrics: Arc<Metrics>,
    decision_ids: DecisionIds,
    log: DecisionLog,
    spans: Spans,
    streams: LiveStreams,
    check_streams: OpenStreams,
    health_streams: HealthStreams,
    gate: Arc<Gate>,
    lists: RunningLists,
    pages: PageSizes,
    imports: Imports,
    max_message_bytes: usize,
    max_batch: usize,
    max_changes: usize,
    max_wait: Duration,
}

/// What the gRPC door is told by the configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The largest message taken.
    pub(crate) max_message_bytes: usize,
    /// How many questions a batch may hold.
    pub(crate) max_batch: usize,
    /// How many changes a change set may hold.
    pub(crate) max_changes: usize,
    /// How many lists may be made at once.
    pub(crate) max_running_lists: usize,
    /// How many entries pages may hold.
    pub(crate) pages: PageSizes,
    /// The longest wait for a revision.
    pub(crate) max_wait: Duration,
    /// How many streams may be open.
    pub(crate) max_live_streams: usize,
    /// How many streams of checks may be open.
    pub(crate) max_check_streams: usize,
    /// How long nothing may go over one of them.
    pub(crate) check_stream_idle: Duration,
    /// How many streams of health and reflection may be open.
    pub(crate) max_health_streams: usize,
    /// How many of them may be open over one connection.
    pub(crate) max_connection_health_streams: usize,
    /// What imports may take.
    pub(crate) imports: ImportLimits,
}

/// Where decisions are told, besides to who asked.
pub(crate) struct Noting {
    pub(crate) decision_ids: DecisionIds,
    pub(crate) log: DecisionLog,
    pub(crate) spans: Spans,
}

/// Why reflection cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("the descriptor set of this build cannot be read: {0}")]
pub struct ReflectionError(#[from] tonic_reflection::server::Error);

// === impl Door ===

impl Door {
    /// A door to a policy that is still being loaded, for those whom the gate lets in.
    pub(crate) fn new(
        (clock, gate): (Clock, Arc<Gate>),
        metrics: Arc<Metrics>,
        Noting { decision_ids, log, spans }: Noting,
        limits: Limits,
    ) -> Arc<Self> {
        let Limits {
            max_message_bytes,
            max_batch,
            max_changes,
            max_running_lists,
            pages,
            max_wait,
            max_live_streams,
            max_check_streams,
            check_stream_idle,
            max_health_streams,
            max_connection_health_streams,
            imports,
        } = limits;
        let imports = Imports::new(imports);
        let streams = LiveStreams::new(max_live_streams, metrics.live_streams());
        let gauge = metrics.check_streams();
        let check_streams = OpenStreams::new(max_check_streams, check_stream_idle, gauge);
        let health_streams =
            HealthStreams::new(max_health_streams, max_connection_health_streams, &metrics);
        let lists = RunningLists::new(max_running_lists);
        Arc::new(Self {
            behind: Behind::default(),
            sidecar: OnceLock::new(),
            clock,
            metrics,
            decision_ids,
            log,
            spans,
            streams,
            check_streams,
            health_streams,
            gate,
            lists,
            pages,
            imports,
            max_message_bytes,
            max_batch,
            max_changes,
            max_wait,
        })
    }

    /// Opens the door: from here on requests are answered.
    pub(crate) fn open(&self, publisher: Publisher) {
        self.behind.open(publisher);
    }

    /// The publisher, once the policy is loaded, for what is no caller's.
    pub(crate) fn publisher(&self) -> Option<&Publisher> {
        self.behind.by_nobody()
    }

    /// The publisher, for a caller with leave for every tenant.
    pub(crate) fn everywhere(&self, asked: &http::Extensions) -> Result<&Publisher, Failure> {
        self.behind.by_everywhere(leave::everywhere(asked)?)
    }

    /// Decides upon this until it is open; everything else waits, each request as long as it may.
    pub(crate) fn decide_upon(&self, early: Early) {
        self.behind.decide_upon(early);
    }

    /// Whether decisions are made, and nothing else yet.
    pub(crate) fn is_early(&self) -> bool {
        self.behind.is_early()
    }

    /// Whether decisions are made.
    pub(crate) fn decides(&self) -> bool {
        // In this order: what it decides upon goes once the policy is there.
        self.behind.is_early() || self.publisher().is_some()
    }

    /// That decisions are made.
    fn started(&self) -> Result<(), Failure> {
        self.decides().then_some(()).ok_or(Failure::Starting)
    }

    /// The metrics.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// How many entries pages may hold.
    pub(crate) fn pages(&self) -> PageSizes {
        self.pages
    }

    /// How many lists wait for their turn.
    pub(crate) fn waiting_lists(&self) -> usize {
        self.lists.waiting()
    }

    /// Ends the streams that would go on for ever; streams of checks once what they have taken is
    /// answered.
    pub(crate) fn end_watches(&self) {
        self.streams.cancel_endless();
        self.check_streams.close();
    }

    /// Ends the streams of checks that nothing goes over, where this is asked so often.
    pub(crate) fn sweep_streams(&self, every: Duration) {
        self.check_streams.sweep(every);
    }

    /// Ends every stream.
    pub(crate) fn cancel_streams(&self) -> usize {
        let live = self.streams.len();
        self.streams.cancel_all();
        live + self.check_streams.cancel()
    }

    /// Every service, with health and reflection. What may take its time runs on `rest`.
    pub(crate) fn routes(
        self: &Arc<Self>,
        health: &Health,
        gateway: Gateway,
        rest: &Handle,
    ) -> Result<Routes, ReflectionError> {
        let decisions = DecisionServiceServer::new(decision::Service(Arc::clone(self)))
            .max_decoding_message_size(self.max_message_bytes);
        let policies = PolicyServiceServer::new(policy::Service(Arc::clone(self)))
            .max_decoding_message_size(self.max_message_bytes);
        let tenants = TenantServiceServer::new(tenant::Service(Arc::clone(self)))
            .max_decoding_message_size(self.max_message_bytes);
        let audits = AuditServiceServer::new(audit::Service(Arc::clone(self)))
            .max_decoding_message_size(self.max_message_bytes);
        let sessions = SessionServiceServer::new(session::Service(Arc::clone(self)))
            .max_decoding_message_size(self.max_message_bytes);
        let authorization = ext_authz::Service { door: Arc::clone(self), gateway };
        let authorization = AuthorizationServer::new(authorization)
            .max_decoding_message_size(self.max_message_bytes);
        let mut routes = Routes::builder();
        routes.add_service(Deciding::new(self, Elsewhere::once_loaded(self, decisions, rest)));
        routes.add_service(authorization);
        routes.add_service(Elsewhere::once_loaded(self, policies, rest));
        routes.add_service(Elsewhere::once_loaded(self, tenants, rest));
        routes.add_service(Elsewhere::once_loaded(self, audits, rest));
        routes.add_service(Elsewhere::once_loaded(self, sessions, rest));
        self.add_health_and_reflection(&mut routes, health, rest)?;
        Ok(routes.routes())
    }

    fn add_health_and_reflection(
        &self,
        routes: &mut RoutesBuilder,
        health: &Health,
        rest: &Handle,
    ) -> Result<(), ReflectionError> {
        let describe = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(pdp_proto::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let bounds = &self.health_streams;
        routes.add_service(Bounded::new(health.service(), bounds));
        let (current, alpha) = (describe().build_v1()?, describe().build_v1alpha()?);
        routes.add_service(Bounded::new(Elsewhere::new(current, rest), bounds));
        routes.add_service(Bounded::new(Elsewhere::new(alpha, rest), bounds));
        Ok(())
    }

    /// What every RPC that decides or lists is answered by, for doors that translate to it.
    pub(crate) fn decisions(self: &Arc<Self>) -> impl DecisionService + use<> {
        decision::Service(Arc::clone(self))
    }

    /// What whoever sent a request proved, for a stream that comes of it.
    fn standing(
        &self,
        metadata: &MetadataMap,
        extensions: &http::Extensions,
        rpc: Rpc,
    ) -> Result<Standing, Failure> {
        Ok(Standing::new(&self.gate, metadata.as_ref(), extensions, rpc.as_str())?)
    }

    /// The name of the next decision.
    pub(crate) fn decision_id(&self) -> DecisionId {
        self.decision_ids.next()
    }

    /// Runs work on a tenant's policy that blocks or takes its time.
    async fn blocking<T: Send + 'static>(
        &self,
        granted: Granted<'_>,
        work: impl FnOnce(&Publisher, &TenantId) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let publisher = self.behind.by(granted)?.called_by(granted.asker().audited());
        let tenant = tenant_of(granted)?;
        granted.asker().record();
        self.aside(move || work(&publisher, &tenant)).await
    }

    /// The same for work that is of no one tenant.
    async fn blocking_everywhere<T: Send + 'static>(
        &self,
        granted: Everywhere<'_>,
        work: impl FnOnce(&Publisher) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let publisher = self.behind.by_everywhere(granted)?.called_by(granted.asker().audited());
        granted.asker().record();
        self.aside(move || work(&publisher)).await
    }

    /// Runs work away from the threads that decide.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let span = tracing::Span::current();
        let work = move || span.in_scope(work);
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
            tracing::error!(%error, "work for a request did not end");
            Err(Failure::Internal)
        })
    }

    /// Makes a list, when it has its turn. `work` is told how to ask whether somebody still waits
    /// for it: whoever drops the future does not.
    async fn listing<T: Send + 'static>(
        &self,
        patience: Duration,
        work: impl FnOnce(&dyn Fn() -> bool) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (turn, _caller) = self.lists.turn(patience.min(LONGEST_QUEUE)).await?;
        self.aside(move || work(&|| turn.is_wanted())).await
    }

    /// Turns what came of a request into an answer.
    async fn answer<T>(
        &self,
        rpc: Rpc,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<Response<T>, Status> {
        self.answered(rpc, work.await)
    }

    /// The same, once it is there.
    fn answered<T>(&self, rpc: Rpc, answered: Result<T, Failure>) -> Result<Response<T>, Status> {
        answered.map(Response::new).map_err(|failure| self.failed(rpc, failure).into())
    }

    /// Counts a failure, and tells operators of one that is for them.
    fn failed(&self, rpc: Rpc, failure: Failure) -> Failure {
        self.metrics.failed(rpc, failure.code());
        if failure.is_for_operators() {
            tracing::error!(rpc = rpc.as_str(), %failure, "a request failed");
        }
        failure
    }
}

/// The code of an answer.
fn code<T>(answered: &Result<T, Status>) -> Code {
    answered.as_ref().map_or_else(Status::code, |_| Code::Ok)
}

/// The tenant that a request names; `default` if it names none.
fn named(tenant: &str) -> &str {
    if tenant.is_empty() { DEFAULT_TENANT } else { tenant }
}

/// How this door says that a caller has no leave.
#[derive(Clone)]
pub(crate) enum Grpc {}

impl Side for Grpc {
    type Body = tonic::body::Body;

    fn need<B>(request: &http::Request<B>) -> Option<Need> {
        Need::of_method(request.uri().path())
    }

    fn unknown() -> http::Response<Self::Body> {
        Status::from(Failure::UnknownMethod).into_http()
    }

    fn denied(denied: Denied) -> http::Response<Self::Body> {
        Status::from(Failure::Unauthenticated(denied)).into_http()
    }

    fn forbidden(forbidden: Forbidden) -> http::Response<Self::Body> {
        Status::from(Failure::Forbidden(forbidden)).into_http()
    }

    fn shed(shed: Shed) -> http::Response<Self::Body> {
        Status::from(Failure::Shed(shed)).into_http()
    }
}
