//! Both doors without a socket: for fuzzing, and for the tests that go through its corpora. A request goes
//! the way of one that came over a connection, from the gate to the last byte of its answer; what
//! connections are held to plays no part.

use std::sync::Arc;

use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use prost::bytes::Bytes;
use tokio::runtime::Handle;
use tonic::service::Routes;
use tower::{Layer as _, ServiceExt as _};

use crate::access::Access;
use crate::admission::Admission;
use crate::callers::GateLayer;
use crate::clock::Clock;
use crate::config::Config;
use crate::decision_log::DecisionLog;
use crate::http::{self as http_door, Ready};
use crate::publish::Publisher;
use crate::rpc::{Door, Grpc, Health, LastResortLayer};
use crate::telemetry::Metrics;
use crate::{RunError, admission_limits, authzen_options, limits, noting};

/// The doors of a policy.
pub struct Doors {
    /// What the routes lead to lives as long as this.
    door: Arc<Door>,
    grpc: <GateLayer<Grpc> as tower::Layer<Routes>>::Service,
    http: axum::Router,
}

// === impl Doors ===

impl Doors {
    /// Opens both to a policy. What may take its time runs on `rest`.
    ///
    /// # Errors
    /// Those of a start, but for what has to do with the disk and the network.
    pub async fn open(
        config: &Config,
        clock: Clock,
        publisher: Publisher,
        rest: &Handle,
    ) -> Result<Self, RunError> {
        let metrics = Arc::new(Metrics::new());
        let admission = Admission::new(admission_limits(&config.overload), Arc::clone(&metrics));
        let (log, _) = DecisionLog::start(&config.decision_log, &metrics)?;
        let access = Access::open(config, &clock, &metrics, &admission)?;
        let (asked, noting) = ((clock, Arc::clone(&access.gate)), noting(config, &log)?);
        let door = Door::new(asked, Arc::clone(&metrics), noting, limits(config));
        let health = Health::not_serving_yet().await;
        health.up(None).await;
        let mapping = config.gateway.as_ref().map(|it| it.mapping.clone()).unwrap_or_default();
        let routes = door.routes(&health, mapping, rest)?.prepare();
        let grpc = GateLayer::<Grpc>::new(Arc::clone(&access.gate)).layer(routes);
        let ready = Ready::default();
        let options = Some(authzen_options(config));
        let routes = http_door::Routes::new(ready.clone(), &door, options, rest);
        let http = routes.behind(Arc::clone(&access.gate));
        door.open(publisher);
        ready.set(true);
        Ok(Self { door, grpc, http })
    }

    /// Ends what would go on for ever.
    pub fn end_watches(&self) {
        self.door.end_watches();
    }

    /// What the gRPC door answers.
    pub async fn grpc(&self, request: Request<Bytes>) -> Response<tonic::body::Body> {
        let request = request.map(|body| tonic::body::Body::new(Full::new(body)));
        match LastResortLayer.layer(self.grpc.clone()).oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// What the HTTP door answers, whole.
    pub async fn http(&self, request: Request<Bytes>) -> Response<Bytes> {
        let request = request.map(axum::body::Body::from);
        let response = match self.http.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let (head, body) = response.into_parts();
        // A body that breaks off is shorter than its head says.
        let body = body.collect().await.map(|it| it.to_bytes()).unwrap_or_default();
        Response::from_parts(head, body)
    }
}
