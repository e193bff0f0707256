//! A server that knows its callers.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use pdp_engine::time::Timestamp;
use pdp_proto::v1;
use pdp_proto::v1::decision_service_client::DecisionServiceClient;
use pdp_server::callers::NewKey;
use pdp_server::clock::Clock;
use pdp_server::config::Settings;
use tempfile::TempDir;
use tokio_stream::StreamExt as _;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use crate::secrets::{Authority, Issued, Name, replace};
use crate::served::{self, Served, question, status_of};

/// How long something that was replaced may take to be noticed, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server, and the folder that its files are in.
pub(crate) struct Guarded {
    pub(crate) folder: TempDir,
    pub(crate) served: Served,
}

/// TLS for a server, and those who call it.
pub(crate) struct Tls {
    pub(crate) authority: Authority,
    pub(crate) ca: std::path::PathBuf,
    pub(crate) server: Issued,
}

// === impl Guarded ===

impl Guarded {
    /// With these callers.
    pub(crate) async fn start(callers: &str) -> Self {
        Self::with(served::folder(), callers, Settings::default()).await
    }

    pub(crate) async fn with(folder: TempDir, callers: &str, settings: Settings) -> Self {
        std::fs::write(folder.path().join("callers.yaml"), callers).unwrap();
        let own = Settings {
            callers: Some(folder.path().join("callers.yaml")),
            ..served::settings(folder.path())
        };
        let served = Served::with(settings.or(own)).await;
        Self { folder, served }
    }

    /// With TLS, which callers have to be let in by.
    pub(crate) async fn with_tls(
        folder: TempDir,
        callers: &str,
        settings: Settings,
        tls: &Tls,
        identity: &Issued,
    ) -> Self {
        std::fs::write(folder.path().join("callers.yaml"), callers).unwrap();
        let own = Settings {
            callers: Some(folder.path().join("callers.yaml")),
            ..served::settings(folder.path())
        };
        let now = Arc::new(AtomicI64::new(served::NOW));
        let told = Arc::clone(&now);
        let clock = Clock::from_fn(move || Timestamp::from_micros(told.load(Ordering::SeqCst)));
        let mut served = Served::begin(settings.or(own), clock);
        served.now = now;
        let channel = tls.connect(&served, Some(identity)).await.unwrap();
        let asked = HealthCheckRequest::default();
        let mut health = HealthClient::new(channel).watch(asked).await.unwrap().into_inner();
        while status_of(health.next().await) != ServingStatus::Serving {}
        Self { folder, served }
    }

    /// Replaces the callers.
    pub(crate) fn replace(&self, callers: &str) {
        replace(&self.folder.path().join("callers.yaml"), callers.as_bytes());
    }

    /// A question of the tenant, with these credentials: the reason of what comes of it.
    pub(crate) async fn ask(&self, authorization: Option<&str>, tenant: &str) -> String {
        outcome(&ask(&self.served.channel, authorization, tenant).await)
    }

    /// The metric of this name and these labels.
    pub(crate) async fn metric(&self, name: &str, authorization: &str) -> u64 {
        let headers = [("authorization", authorization)];
        let reply = crate::sent::send(self.served.http, "GET", "/metrics", &headers, "").await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let line = reply.body.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no metric {name}"));
        let value = line.rsplit_once(' ').unwrap().1;
        value.split('.').next().unwrap().parse().unwrap()
    }
}

/// Asks something that is allowed.
pub(crate) async fn ask(
    channel: &Channel,
    authorization: Option<&str>,
    tenant: &str,
) -> Result<v1::CheckResponse, Status> {
    let question = Some(question("ana", "View", "absence"));
    let message = v1::CheckRequest { tenant: tenant.to_owned(), question, at_least: 0 };
    let mut request = Request::new(message);
    if let Some(authorization) = authorization {
        request.metadata_mut().insert("authorization", authorization.parse().unwrap());
    }
    let asked = DecisionServiceClient::new(channel.clone()).check(request).await;
    asked.map(tonic::Response::into_inner)
}

/// What came of a question: the reason of the decision, or of the error.
pub(crate) fn outcome(asked: &Result<v1::CheckResponse, Status>) -> String {
    match asked {
        Ok(response) => {
            let reason = response.decision.as_ref().unwrap().reason;
            v1::Reason::try_from(reason).unwrap().as_str_name().to_owned()
        }
        Err(status) => reason(status),
    }
}

/// The stable reason of an error.
pub(crate) fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.map_or_else(|| format!("{status:?}"), |info| info.reason)
}

/// Looks until it is so.
pub(crate) async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !look().await {
        assert!(started.elapsed() < PATIENCE, "not in time: {what}");
        tokio::task::yield_now().await;
    }
}

/// A key and what a file says of it.
pub(crate) fn key() -> (String, String) {
    let key = NewKey::draw().unwrap();
    (format!("Bearer {}", key.secret()), key.entry())
}

/// One caller with one key.
pub(crate) fn caller(name: &str, entry: &str, roles: &str) -> String {
    format!("  - {{name: {name}, keys: [{entry}], roles: {roles}}}\n")
}

// === impl Tls ===

impl Tls {
    pub(crate) fn new(folder: &Path) -> Self {
        let authority = Authority::new();
        let ca = authority.file(&folder.join("ca.pem"));
        let server = authority.issue(folder, "server", &[Name::Dns("pdp.example")], 2100);
        Self { authority, ca, server }
    }

    /// The settings of a server that asks callers for certificates.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            tls_cert: Some(self.server.cert.clone()),
            tls_key: Some(self.server.key.clone()),
            tls_client_ca: Some(self.ca.clone()),
            ..Settings::default()
        }
    }

    /// A new connection to a server, with or without a certificate.
    pub(crate) async fn connect(
        &self,
        served: &Served,
        identity: Option<&Issued>,
    ) -> Result<Channel, tonic::transport::Error> {
        let read = |path: &Path| std::fs::read(path).unwrap();
        let mut config = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read(&self.ca)))
            .domain_name("pdp.example");
        if let Some(Issued { cert, key }) = identity {
            config = config.identity(Identity::from_pem(read(cert), read(key)));
        }
        let endpoint = Endpoint::from_shared(format!("https://{}", served.grpc)).unwrap();
        endpoint.tls_config(config).unwrap().connect().await
    }
}
