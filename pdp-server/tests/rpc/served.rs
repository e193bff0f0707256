//! A server of one's own for each test: on ports of its own, in a folder of its own, with a clock
//! that the test sets.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use pdp_engine::time::Timestamp;
use pdp_proto::v1::audit_service_client::AuditServiceClient;
use pdp_proto::v1::decision_service_client::DecisionServiceClient;
use pdp_proto::v1::policy_service_client::PolicyServiceClient;
use pdp_proto::v1::session_service_client::SessionServiceClient;
use pdp_proto::v1::tenant_service_client::TenantServiceClient;
use pdp_proto::v1::{self, question::Permission};
use pdp_server::clock::Clock;
use pdp_server::config::Settings;
use pdp_server::{Listeners, RunError, run};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// The policy that every server of these tests begins with: revision 1.
pub(crate) const POLICY: &str = r#"
resource_types:
  Report: {operations: [View, Edit, AddPersonToViewer], rights: [ReadData]}
  Person: {operations: [AddPersonToViewer]}
access_levels:
  - {type: Report, name: Viewer, operations: {View: allowed}, rights: {ReadData: allowed}}
  - {type: Report, name: Assigner, operations: {AddPersonToViewer: allowed}}
locations: [{id: zurich}]
people: [{id: ana}, {id: bo}, {id: cy, enabled: false}]
groups: [{id: hr, members: [person:ana]}]
resources: [{type: Report, id: absence, locations: [zurich]}, {type: Report, id: budget}]
assignments:
  - {id: a-1, to: group:hr, level: Report/Viewer, in: zurich, valid_until: 2030-01-01T00:00:00Z}
  - {id: a-2, to: person:ana, level: Report/Assigner, on: "Report:absence"}
"#;

/// The end of assignment `a-1`, in microseconds.
pub(crate) const A_1_ENDS: i64 = 1_893_456_000_000_000;

/// What the clock of a test says at first: 2026-01-01T00:00:00Z.
pub(crate) const NOW: i64 = 1_767_225_600_000_000;

/// A running server.
pub(crate) struct Served {
    pub(crate) channel: Channel,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) now: Arc<AtomicI64>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), RunError>>,
}

/// A folder with the policy in it.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policy.yaml"), POLICY).unwrap();
    folder
}

/// The settings of a server in that folder.
pub(crate) fn settings(folder: &Path) -> Settings {
    Settings {
        data: Some(folder.join("data")),
        load: Some(folder.join("policy.yaml")),
        grpc: Some("127.0.0.1:0".parse().unwrap()),
        http: Some("127.0.0.1:0".parse().unwrap()),
        grace_ms: Some(0),
        drain_ms: Some(10_000),
        // However busy the machine is.
        max_queue_ms: Some(60_000),
        ..Settings::default()
    }
}

// === impl Served ===

impl Served {
    /// A server with the usual settings.
    pub(crate) async fn start(folder: &TempDir) -> Self {
        Self::with(settings(folder.path())).await
    }

    /// A server with these settings.
    pub(crate) async fn with(settings: Settings) -> Self {
        let now = Arc::new(AtomicI64::new(NOW));
        let told = Arc::clone(&now);
        let tell = move || Timestamp::from_micros(told.load(Ordering::SeqCst));
        let mut served = Self::with_clock(settings, Clock::from_fn(tell)).await;
        served.now = now;
        served
    }

    /// A server with these settings and this clock.
    pub(crate) async fn with_clock(settings: Settings, clock: Clock) -> Self {
        let served = Self::begin(settings, clock);
        let mut health = served.watch_health("").await;
        loop {
            match health.next().await {
                Some(Ok(told)) if told.status() == ServingStatus::Serving => return served,
                Some(Ok(_)) => {}
                // It has ended before it was ready; its own error says why.
                gone => panic!("{gone:?}: {:?}", served.running.await),
            }
        }
    }

    /// A server that may still be loading its policy.
    pub(crate) fn begin(settings: Settings, clock: Clock) -> Self {
        let config = settings.into_config(None).unwrap();
        let listeners = Listeners::bind(&config).unwrap();
        let grpc = listeners.grpc_address().unwrap();
        let http = listeners.http_address().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            stopped.await.ok();
        };
        let running = tokio::spawn(run(config, listeners, clock, shutdown));
        let channel = Endpoint::from_shared(format!("http://{grpc}")).unwrap().connect_lazy();
        let now = Arc::default();
        Self { channel, http, grpc, now, stop, running }
    }

    /// Watches the health of a service.
    pub(crate) async fn watch_health(
        &self,
        service: &str,
    ) -> tonic::Streaming<HealthCheckResponse> {
        let request = HealthCheckRequest { service: service.to_owned() };
        HealthClient::new(self.channel.clone()).watch(request).await.unwrap().into_inner()
    }

    pub(crate) fn decisions(&self) -> DecisionServiceClient<Channel> {
        DecisionServiceClient::new(self.channel.clone())
    }

    pub(crate) fn policy(&self) -> PolicyServiceClient<Channel> {
        PolicyServiceClient::new(self.channel.clone()).max_decoding_message_size(64 << 20)
    }

    pub(crate) fn tenants(&self) -> TenantServiceClient<Channel> {
        TenantServiceClient::new(self.channel.clone())
    }

    pub(crate) fn sessions(&self) -> SessionServiceClient<Channel> {
        SessionServiceClient::new(self.channel.clone())
    }

    pub(crate) fn audit(&self) -> AuditServiceClient<Channel> {
        AuditServiceClient::new(self.channel.clone())
    }

    /// Asks one question of the default tenant.
    pub(crate) async fn check(&self, question: v1::Question) -> v1::Decision {
        let request = v1::CheckRequest { question: Some(question), ..Default::default() };
        self.decisions().check(request).await.unwrap().into_inner().decision.unwrap()
    }

    /// Applies changes to the default tenant.
    pub(crate) async fn apply(
        &self,
        changes: Vec<v1::Change>,
    ) -> Result<v1::ApplyResponse, tonic::Status> {
        let request = v1::ApplyRequest { changes, ..Default::default() };
        self.policy().apply(request).await.map(tonic::Response::into_inner)
    }

    /// Says that the server should end.
    pub(crate) fn shut_down(self) -> JoinHandle<Result<(), RunError>> {
        self.stop.send(()).ok();
        self.running
    }

    /// Ends the server and waits until it is gone.
    pub(crate) async fn stop(self) {
        self.shut_down().await.unwrap().unwrap();
    }
}

/// The status of a health message.
pub(crate) fn status_of(
    message: Option<Result<HealthCheckResponse, tonic::Status>>,
) -> ServingStatus {
    message.expect("the watch has ended").unwrap().status()
}

pub(crate) fn person(id: &str) -> v1::Subject {
    v1::Subject { subject: Some(v1::subject::Subject::Person(id.to_owned())) }
}

pub(crate) fn object(type_name: &str, id: &str) -> v1::ResourceRef {
    v1::ResourceRef { r#type: type_name.to_owned(), id: id.to_owned() }
}

/// May this person do this to this report?
pub(crate) fn question(subject: &str, operation: &str, report: &str) -> v1::Question {
    v1::Question {
        subject: Some(person(subject)),
        permission: Some(Permission::Operation(operation.to_owned())),
        resource: Some(object("Report", report)),
        counterpart: None,
        no_routing: false,
    }
}

pub(crate) fn put(fact: v1::fact::Fact) -> v1::Change {
    let fact = v1::Fact { fact: Some(fact) };
    v1::Change { change: Some(v1::change::Change::Put(fact)) }
}

pub(crate) fn delete(key: v1::fact_key::Key, cascade: bool) -> v1::Change {
    let key = Some(v1::FactKey { key: Some(key) });
    v1::Change { change: Some(v1::change::Change::Delete(v1::Delete { key, cascade })) }
}

/// A person with nothing but an id.
pub(crate) fn put_person(id: &str) -> v1::Change {
    put(v1::fact::Fact::Person(v1::Person { id: id.to_owned(), ..Default::default() }))
}
