//! The HTTP door: OpenID AuthZEN for enforcement points, health for orchestrators and metrics for
//! Prometheus.

pub(crate) mod authzen;
mod json;
mod patient;
mod serve;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::rpc::Door;
pub(crate) use serve::serve;

/// Whether requests should come here: true between the load of the policy and the shutdown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ready(Arc<AtomicBool>);

/// What the routes look at. The door is not kept open by a connection that lingers.
#[derive(Clone)]
struct Shared {
    ready: Ready,
    door: Weak<Door>,
}

// === impl Ready ===

impl Ready {
    /// Says whether requests should come here.
    pub(crate) fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Every route.
pub(crate) fn routes(ready: Ready, door: &Arc<Door>, options: authzen::Options) -> Router {
    let own = Router::new()
        .route("/healthz/live", get(live))
        .route("/healthz/ready", get(is_ready))
        .route("/metrics", get(metrics))
        .with_state(Shared { ready, door: Arc::downgrade(door) });
    authzen::routes(door, options).merge(own)
}

async fn live() -> &'static str {
    "live\n"
}

async fn is_ready(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    if shared.ready.get() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn metrics(State(shared): State<Shared>) -> impl IntoResponse {
    let Some(door) = shared.door.upgrade() else {
        return Err((StatusCode::SERVICE_UNAVAILABLE, "shutting down\n"));
    };
    let tenants = door.publisher().map(|publisher| publisher.tenants()).unwrap_or_default();
    let tenants: Vec<_> = tenants.iter().map(|(id, at)| (id.as_str(), *at)).collect();
    let text = door.metrics().render(&tenants);
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
}
