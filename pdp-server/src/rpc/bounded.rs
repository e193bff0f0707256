//! Watches of health and streams of reflection. They cost little and may last for as long as their
//! connection, and who opens them nobody knows: so many in all, and so many over a connection.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::{Frame, SizeHint};
use metrics::Gauge;
use prost::bytes::Bytes;
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower::Service;

use super::failure::Failure;
use crate::connection::Arrival;
use crate::telemetry::{Metrics, Rpc};
use crate::tls::Peer;

/// The streams that are open.
#[derive(Clone)]
pub(super) struct HealthStreams(Arc<Registry>);

struct Registry {
    open: AtomicUsize,
    most: usize,
    most_of_connection: usize,
    gauge: Gauge,
    metrics: Arc<Metrics>,
}

/// A service whose streams are bounded.
#[derive(Clone)]
pub(super) struct Bounded<S> {
    service: S,
    streams: HealthStreams,
}

/// An open stream's place, given back when it is dropped.
struct Place {
    registry: Arc<Registry>,
    peer: Option<Peer>,
}

/// The answers of a stream.
struct Kept {
    body: Body,
    _place: Place,
}

/// Which of the RPCs are streams.
fn streaming(path: &str) -> Option<Rpc> {
    let (_, method) = path.rsplit_once('/')?;
    match method {
        "Watch" => Some(Rpc::HealthWatch),
        "ServerReflectionInfo" => Some(Rpc::Reflection),
        _ => None,
    }
}

// === impl HealthStreams ===

impl HealthStreams {
    /// None yet.
    pub(super) fn new(most: usize, most_of_connection: usize, metrics: &Arc<Metrics>) -> Self {
        let (open, gauge) = (AtomicUsize::new(0), metrics.health_streams());
        let metrics = Arc::clone(metrics);
        Self(Arc::new(Registry { open, most, most_of_connection, gauge, metrics }))
    }

    /// A place for one more.
    fn place(&self, peer: Option<&Peer>) -> Result<Place, Failure> {
        let registry = &self.0;
        let refused = |limit, live, maximum| Failure::TooManyStreams { limit, live, maximum };
        // Counted first, so that those that come together do not all see the last place.
        let live = registry.open.fetch_add(1, Relaxed);
        let of_connection = peer.map_or(0, |peer| peer.health_streams().fetch_add(1, Relaxed));
        registry.gauge.increment(1.0);
        let place = Place { registry: Arc::clone(registry), peer: peer.cloned() };
        if live >= registry.most {
            return Err(refused("max_health_streams", live, registry.most));
        }
        let most = registry.most_of_connection;
        if of_connection >= most {
            return Err(refused("max_connection_health_streams", of_connection, most));
        }
        Ok(place)
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.open.fetch_sub(1, Relaxed);
        self.registry.gauge.decrement(1.0);
        if let Some(peer) = &self.peer {
            peer.health_streams().fetch_sub(1, Relaxed);
        }
    }
}

// === impl Bounded ===

impl<S> Bounded<S> {
    /// A service whose streams are counted among these.
    pub(super) fn new(service: S, streams: &HealthStreams) -> Self {
        Self { service, streams: streams.clone() }
    }
}

impl<S: NamedService> NamedService for Bounded<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Bounded<S>
where
    S: Service<
            Request<Body>,
            Response = Response<Body>,
            Error = Infallible,
            Future = BoxFuture<Response<Body>, Infallible>,
        >,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Some(rpc) = streaming(request.uri().path()) else { return self.service.call(request) };
        let peer = request.extensions().get::<Arrival>().map(|arrival| &arrival.peer);
        let place = match self.streams.place(peer) {
            Ok(place) => place,
            Err(failure) => {
                self.streams.0.metrics.failed(rpc, Code::ResourceExhausted);
                return Box::pin(async { Ok(Status::from(failure).into_http()) });
            }
        };
        let answered = self.service.call(request);
        Box::pin(async move {
            let Ok(response) = answered.await;
            Ok(response.map(|body| Body::new(Kept { body, _place: place })))
        })
    }
}

// === impl Kept ===

impl http_body::Body for Kept {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
