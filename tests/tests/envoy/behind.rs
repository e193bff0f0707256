//! What stands behind the gateway: the server that decides, as it ships, and an API that tells what
//! reached it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::extract::Request;
use pdp_client::{Builder, Client};
use pdp_proto::ext_authz::authorization_server::{Authorization, AuthorizationServer};
use pdp_proto::ext_authz::{CheckRequest, CheckResponse};
use pdp_server::clock::Clock;
use pdp_server::config::Settings;
use pdp_server::{Listeners, RunError, run};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic_health::pb::health_server::HealthServer;

use crate::proxy::DEPLOY;

/// The server that decides.
pub(crate) struct Pdp {
    pub(crate) address: SocketAddr,
    pub(crate) client: Client,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), RunError>>,
    _folder: TempDir,
}

/// A part of the test that ends with it.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

// === impl Pdp ===

impl Pdp {
    /// With the demonstration's policy and this mapping.
    pub(crate) async fn start(mapping: &str) -> Self {
        let client = |address| Client::builder(format!("http://{address}"));
        Self::with(mapping, Settings::default(), client).await
    }

    /// With other settings, and a client that knows how to call.
    pub(crate) async fn with(
        mapping: &str,
        settings: Settings,
        client: impl FnOnce(SocketAddr) -> Builder,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let any_port = Some("127.0.0.1:0".parse().unwrap());
        let own = Settings {
            data: Some(folder.path().to_path_buf()),
            load: Some(Path::new(DEPLOY).join("demo/policy.yaml")),
            gateway: Some(Path::new(DEPLOY).join(mapping)),
            grpc: any_port,
            http: any_port,
            grace_ms: Some(0),
            // However busy the machine is.
            max_queue_ms: Some(60_000),
            ..Settings::default()
        };
        let config = settings.or(own).into_config(None).unwrap();
        let listeners = Listeners::bind(&config).unwrap();
        let address = listeners.grpc_address().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move { drop(stopped.await) };
        let running = tokio::spawn(run(config, listeners, Clock::system(), shutdown));
        let client = client(address).connect().await.unwrap();
        // Retried until the policy is loaded.
        client.list_tenants().collect().await.unwrap();
        Self { address, client, stop, running, _folder: folder }
    }

    /// Ends it; nothing answers at its address any more.
    pub(crate) async fn stop(self) {
        let Self { stop, running, client, .. } = self;
        drop(client);
        stop.send(()).unwrap();
        running.await.unwrap().unwrap();
    }
}

/// An API that answers everything with the request as it came: a line with method and path, then its
/// headers. Its gRPC health is a service of its own.
pub(crate) async fn api() -> Served {
    let (_, health) = tonic_health::server::health_reporter();
    let health: HealthServer<_> = health;
    let routes = Router::new().route_service("/grpc.health.v1.Health/{method}", health).fallback(
        async |request: Request| {
            let mut told = format!("{} {}\n", request.method(), request.uri().path());
            for (name, value) in request.headers() {
                told.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
            }
            told
        },
    );
    serve(routes).await
}

/// A server that takes questions, counts them, and never answers.
pub(crate) async fn silent(asked: Arc<AtomicU32>) -> Served {
    struct Silent(Arc<AtomicU32>);

    #[tonic::async_trait]
    impl Authorization for Silent {
        async fn check(
            &self,
            _: tonic::Request<CheckRequest>,
        ) -> Result<tonic::Response<CheckResponse>, tonic::Status> {
            self.0.fetch_add(1, Ordering::SeqCst);
            std::future::pending().await
        }
    }

    let service = AuthorizationServer::new(Silent(asked));
    serve(Router::new().route_service("/envoy.service.auth.v3.Authorization/Check", service)).await
}

async fn serve(routes: Router) -> Served {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    Served { address, task }
}

// === impl Served ===

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}
