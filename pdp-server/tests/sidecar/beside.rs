//! A sidecar in this process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use pdp_engine::time::Timestamp;
use pdp_proto::v1;
use pdp_proto::v1::decision_service_client::DecisionServiceClient;
use pdp_proto::v1::policy_service_client::PolicyServiceClient;
use pdp_server::clock::Clock;
use pdp_server::config::{Settings, SidecarSettings};
use pdp_server::{Listeners, RunError, run};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::guarded::until;
use crate::served::{NOW, question, status_of};

/// A sidecar that runs.
pub(crate) struct Beside {
    pub(crate) channel: Channel,
    pub(crate) http: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), RunError>>,
    folder: TempDir,
}

// === impl Beside ===

impl Beside {
    /// One that is patient, of the server at this address.
    pub(crate) fn start(server: SocketAddr) -> Self {
        Self::with(server, SidecarSettings::default())
    }

    /// The same, with more settings of its own.
    pub(crate) fn with(server: SocketAddr, sidecar: SidecarSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("pdp.sock");
        let own = SidecarSettings {
            follow: format!("http://{server}").parse().ok(),
            socket: Some(socket.clone()),
            // However busy the machine is.
            follow_max_stale_ms: Some(3_600_000),
            ..SidecarSettings::default()
        };
        let settings = Settings {
            http: Some("127.0.0.1:0".parse().unwrap()),
            grpc_threads: Some("1".parse().unwrap()),
            grace_ms: Some(0),
            drain_ms: Some(60_000),
            max_queue_ms: Some(60_000),
            sidecar: sidecar.or(own),
            ..Settings::default()
        };
        let config = settings.into_config(None).unwrap();
        let listeners = Listeners::bind(&config).unwrap();
        let http = listeners.http_address().unwrap();
        let (stop, stopped) = oneshot::channel();
        let now = Arc::new(AtomicI64::new(NOW));
        let clock = Clock::from_fn(move || Timestamp::from_micros(now.load(Ordering::SeqCst)));
        let shutdown = async {
            stopped.await.ok();
        };
        let running = tokio::spawn(run(config, listeners, clock, shutdown));
        Self { channel: over(&socket), http, stop, running, folder }
    }

    /// Waits until it keeps a policy.
    pub(crate) async fn ready(self) -> Self {
        let request = HealthCheckRequest::default();
        let mut health = HealthClient::new(self.channel.clone());
        let mut told = health.watch(request).await.unwrap().into_inner();
        while status_of(told.next().await) != ServingStatus::Serving {}
        self
    }

    /// Whether it says that it should be asked.
    pub(crate) async fn serves(&self) -> bool {
        let mut health = HealthClient::new(self.channel.clone());
        let asked = health.check(HealthCheckRequest::default()).await;
        asked.unwrap().into_inner().status() == ServingStatus::Serving
    }

    pub(crate) fn decisions(&self) -> DecisionServiceClient<Channel> {
        DecisionServiceClient::new(self.channel.clone())
    }

    pub(crate) fn policy(&self) -> PolicyServiceClient<Channel> {
        PolicyServiceClient::new(self.channel.clone())
    }

    /// Asks one question, of this revision or a later one.
    pub(crate) async fn check(
        &self,
        question: v1::Question,
        at_least: u64,
    ) -> Result<v1::Decision, Status> {
        let question = Some(question);
        let request = v1::CheckRequest { question, at_least, ..Default::default() };
        let answer = self.decisions().check(request).await?;
        Ok(answer.into_inner().decision.unwrap())
    }

    /// Waits until it decides itself, on this revision or a later one: its server says no.
    pub(crate) async fn decides_at(&self, revision: u64) {
        until("it decides itself", async || {
            let decided = self.check(question("ana", "View", "absence"), revision).await;
            decided.is_ok_and(|decision| decision.reason() == v1::Reason::Granted)
        })
        .await;
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.send(()).ok();
        drop(self.channel);
        self.running.await.unwrap().unwrap();
        let left: Vec<_> = std::fs::read_dir(self.folder.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// Tells it to stop.
    pub(crate) fn shut_down(self) -> (JoinHandle<Result<(), RunError>>, TempDir) {
        self.stop.send(()).ok();
        (self.running, self.folder)
    }
}

/// A connection over a socket, as any program makes one.
pub(crate) fn over(socket: &std::path::Path) -> Channel {
    Endpoint::from_shared(format!("unix:{}", socket.display())).unwrap().connect_lazy()
}

/// A message, with these credentials.
pub(crate) fn with<T>(authorization: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", authorization.parse().unwrap());
    request
}
