//! The HTTP door: OpenID AuthZEN for enforcement points, health for orchestrators and metrics for
//! Prometheus.

pub(crate) mod authzen;
mod backup;
mod elsewhere;
mod json;
mod serve;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use axum::extract::{MatchedPath, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};
use tokio::sync::Semaphore;

use crate::admission::Shed;
use crate::backup::{COMPACT, ROUTE};
use tokio::runtime::Handle;

use crate::callers::{Denied, Forbidden, Gate, GateLayer, Need, Side};
use crate::connection::Arrival;
use crate::publish::Publisher;
use crate::rpc::{Door, Failure};
use crate::telemetry::Queue;
use elsewhere::ElsewhereLayer;
pub(crate) use serve::serve;

/// How many times metrics may be made at once: as many as look at them, and one scrape is cheap. They are
/// made however much there is to do.
const MAX_SCRAPES: usize = 4;

/// Whether requests should come here: true between the load of the policy and the shutdown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ready(Arc<AtomicBool>);

/// What the routes look at. The door is not kept open by a connection that lingers.
#[derive(Clone)]
struct Shared {
    ready: Ready,
    door: Weak<Door>,
    /// The one backup or compaction that may be under way.
    backups: Arc<Semaphore>,
    /// Those of metrics that are being made.
    scrapes: Arc<Semaphore>,
    /// What runs whatever may take its time.
    there: Handle,
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

/// Routes, and what they are called: what is served is known, so that a test can hold the table of
/// roles to it.
pub(crate) struct Routes {
    router: Router,
    elsewhere: ElsewhereLayer,
    paths: Vec<String>,
}

// === impl Routes ===

impl Routes {
    /// Every route; without options for decisions, health and metrics alone: a sidecar has nothing to be backed up,
    /// and decides over its socket. What may take its time runs `there`.
    pub(crate) fn new(
        ready: Ready,
        door: &Arc<Door>,
        options: Option<authzen::Options>,
        there: &Handle,
    ) -> Self {
        let [backups, scrapes] = [1, MAX_SCRAPES].map(|most| Arc::new(Semaphore::new(most)));
        let (there, elsewhere) = (there.clone(), ElsewhereLayer(there.clone()));
        let shared = Shared { ready, door: Arc::downgrade(door), backups, scrapes, there };
        let none = Self { router: Router::new(), elsewhere, paths: Vec::new() };
        let own = none
            .add("/healthz/live", get(live))
            .add("/healthz/ready", get(is_ready).with_state(shared.clone()))
            .add_slow("/metrics", get(metrics).with_state(shared.clone()));
        let Some(options) = options else { return own };
        let own = own
            .add_slow(ROUTE, get(backup::backup).with_state(shared.clone()))
            .add_slow(COMPACT, post(backup::compact).with_state(shared));
        authzen::add(own, door, options)
    }

    fn add(self, path: impl Into<String>, handler: MethodRouter) -> Self {
        let Self { router, elsewhere, mut paths } = self;
        let path = path.into();
        let router = router.route(&path, handler);
        paths.push(path);
        Self { router, elsewhere, paths }
    }

    /// A route that may take its time.
    fn add_slow(self, path: impl Into<String>, handler: MethodRouter) -> Self {
        let handler = handler.layer(self.elsewhere.clone());
        self.add(path, handler)
    }

    /// What they are called.
    #[cfg(test)]
    pub(crate) fn paths(&self) -> &[String] {
        &self.paths
    }

    /// The routes, for those whom the gate lets in.
    pub(crate) fn behind(self, gate: Arc<Gate>) -> Router {
        self.router.layer(GateLayer::<Http>::new(gate))
    }
}

/// How this door says that a caller has no leave.
#[derive(Clone)]
enum Http {}

impl Side for Http {
    type Body = axum::body::Body;

    fn need<B>(request: &axum::http::Request<B>) -> Option<Need> {
        match request.extensions().get::<MatchedPath>() {
            Some(path) => Need::of_route(path.as_str()),
            // There is nothing there, which anybody may know.
            None => Some(Need::Nothing),
        }
    }

    fn unknown() -> Response {
        StatusCode::NOT_FOUND.into_response()
    }

    fn denied(denied: Denied) -> Response {
        authzen::Refused::from(Failure::Unauthenticated(denied)).into_response()
    }

    fn forbidden(forbidden: Forbidden) -> Response {
        authzen::Refused::from(Failure::Forbidden(forbidden)).into_response()
    }

    fn shed(shed: Shed) -> Response {
        authzen::Refused::from(Failure::Shed(shed)).into_response()
    }
}

async fn live() -> &'static str {
    "live\n"
}

async fn is_ready(State(shared): State<Shared>) -> (StatusCode, String) {
    let not = |why| (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n"));
    let door = shared.door.upgrade();
    let Some(door) = door.filter(|door| door.decides()) else {
        return not("the policy is not loaded".to_owned());
    };
    if !shared.ready.get() {
        return not("the server is shutting down".to_owned());
    }
    match door.publisher().and_then(Publisher::unready) {
        Some(unready) => not(unready.to_string()),
        None => (StatusCode::OK, "ready\n".to_owned()),
    }
}

async fn metrics(
    State(shared): State<Shared>,
    arrival: Option<Extension<Arrival>>,
) -> impl IntoResponse {
    let Some(door) = shared.door.upgrade() else {
        return Err((StatusCode::SERVICE_UNAVAILABLE, "shutting down\n"));
    };
    let Ok(_turn) = shared.scrapes.try_acquire() else {
        return Err((StatusCode::SERVICE_UNAVAILABLE, "metrics are being read already\n"));
    };
    let told = door.metrics();
    if let Some(Extension(Arrival { peer, .. })) = arrival {
        let all = peer.load().all();
        told.in_flight(all.in_flight(), all.buffered_bytes());
        told.queued(Queue::Turns, all.queued());
    }
    told.queued(Queue::Lists, door.waiting_lists());
    told.queued(Queue::Work, shared.there.metrics().global_queue_depth());
    let policies = door.publisher().map(|publisher| publisher.policies()).unwrap_or_default();
    let text = door.metrics().render(&policies);
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::authzen::tests::door;

    #[tokio::test]
    async fn so_many_scrapes_are_made_at_once_and_no_more() {
        let door = door();
        let [backups, scrapes] = [1, MAX_SCRAPES].map(|most| Arc::new(Semaphore::new(most)));
        let there = Handle::current();
        let shared = Shared {
            ready: Ready::default(),
            door: Arc::downgrade(&door),
            backups,
            scrapes,
            there,
        };
        let scraped = async || metrics(State(shared.clone()), None).await.into_response().status();
        let mut made: Vec<_> = (1..MAX_SCRAPES).map(|_| shared.scrapes.try_acquire()).collect();
        assert_eq!(scraped().await, StatusCode::OK, "the fourth");
        made.push(shared.scrapes.try_acquire());
        assert!(made.iter().all(Result::is_ok));
        assert_eq!(scraped().await, StatusCode::SERVICE_UNAVAILABLE);
        drop(made);
        assert_eq!(scraped().await, StatusCode::OK);
    }
}
