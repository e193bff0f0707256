//! A connection of either door, from its first byte to its last: how its requests arrive, and when it
//! is ended from this side. Nothing that a caller does, or leaves undone, holds a connection for ever:
//! who says nothing, takes nothing or asks nothing for long is parted with, and everybody once the
//! connection is old, so that load balancers can spread callers anew.

mod arrived;
mod body;
mod patient;
mod places;
mod watch;

use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::{TowerToHyperService, TowerToHyperServiceFuture};
use tokio::sync::watch::Receiver;
use tokio::time::{MissedTickBehavior, interval};
use tower::Service;

use crate::admission::Shed;
use crate::telemetry::RefusedReason;
use crate::tls::Peer;
use arrived::Meter;
pub(crate) use arrived::{Arrived, IMPORT, Unread};
use body::{Open, Watched};
pub(crate) use patient::Patient;
pub(crate) use places::{Entrance, Entry};
pub(crate) use watch::Activity;
use watch::{Verdict, Watch};

/// How large the head of a request may be, in bytes: names, a token or two, and a trace. A larger one
/// is refused with 431.
pub(crate) const MAX_HEAD_BYTES: u32 = 32 << 10;

/// How many requests a peer may have taken back before they were looked at. One more, and the
/// connection is ended: who sends requests to take them back makes work for nothing.
pub(crate) const MAX_TAKEN_BACK: usize = 20;

/// How many streams may be ended from this side because of what the peer sent on them.
pub(crate) const MAX_FAULTS: usize = 256;

/// How long a connection beyond the limits may last: a probe or two, over a bad network.
const BRIEFLY: Duration = Duration::from_secs(5);

/// How long it may take to end.
const BRIEF_FAREWELL: Duration = Duration::from_secs(1);

/// What connections are held to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// How many there may be at a time.
    pub(crate) connections: usize,
    /// How many there may be of one address.
    pub(crate) address_connections: usize,
    /// How many requests each may have in flight.
    pub(crate) streams: u32,
    /// How long it may take to begin, and to take what it asked for.
    pub(crate) patience: Duration,
    /// How long nothing may be asked.
    pub(crate) idle: Duration,
    /// How old one becomes, a tenth more or less.
    pub(crate) age: Duration,
    /// How long requests may take to end on one that has become old.
    pub(crate) farewell: Duration,
    /// How it is noticed that the peer is gone.
    pub(crate) ping: Ping,
}

/// How it is noticed that a peer of HTTP/2 is gone that did not say so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ping {
    /// How often it is asked whether it is there, while it is silent.
    pub(crate) interval: Duration,
    /// How long it may take to answer.
    pub(crate) timeout: Duration,
}

// === impl Terms ===

impl Terms {
    /// What a connection is held to that was let in so.
    pub(crate) fn of(self, entry: &Entry) -> Self {
        if entry.shed().is_none() {
            return self;
        }
        Self {
            patience: self.patience.min(BRIEFLY),
            idle: self.idle.min(BRIEFLY),
            age: self.age.min(BRIEFLY),
            farewell: self.farewell.min(BRIEF_FAREWELL),
            ..self
        }
    }
}

/// A request as it arrived.
#[derive(Clone)]
pub(crate) struct Arrival {
    /// Who sent it.
    pub(crate) peer: Peer,
    /// When.
    pub(crate) at: Instant,
    /// That it is one too many, unless it is about health.
    pub(crate) shed: Option<Shed>,
}

/// Takes the requests of one connection.
pub(crate) struct Arriving<S> {
    service: TowerToHyperService<S>,
    peer: Peer,
}

// === impl Arriving ===

impl<S> Arriving<S> {
    /// Those that this peer sends, for the service.
    pub(crate) fn new(service: S, peer: Peer) -> Self
    where
        S: Clone,
    {
        Self { service: TowerToHyperService::new(service), peer }
    }
}

impl<S> Clone for Arriving<S>
where
    S: Clone,
{
    fn clone(&self) -> Self {
        Self { service: self.service.clone(), peer: self.peer.clone() }
    }
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Arriving<S>
where
    S: Service<Request<Arrived>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Send + 'static,
    S::Future: Send,
    TowerToHyperServiceFuture<S, Request<Arrived>>: Send,
    B: http_body::Body + Send + 'static,
{
    type Response = Response<Watched<B>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    /// Called for each request as it is read, before any of those read with it is begun: what waits is
    /// known here.
    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (peer, at) = (self.peer.clone(), Instant::now());
        let (mut counted, shed) = peer.load().arrive(at, is_decided_here(request.uri().path()));
        let (open, meter) = (Open::new(&peer), Meter::of(&request, &peer));
        let mut request = request.map(|body| Arrived::new(body, meter.clone()));
        let shed = peer.beyond().or(shed);
        request.extensions_mut().insert(Arrival { peer, at, shed });
        let answered = hyper::service::Service::call(&self.service, request);
        Box::pin(async move {
            counted.begin();
            let response = answered.await?;
            if is_success(&response) {
                counted.answered();
            } else {
                drop(counted);
            }
            if let Some(meter) = meter {
                meter.answered();
            }
            if let Some(refused) = response.extensions().get::<RefusedReason>() {
                open.peer().load().all().metrics().refused(*refused);
            }
            Ok(response.map(|body| Watched::new(body, open)))
        })
    }
}

/// Whether it is an answer to the question, and no error: those of gRPC stand in the head.
fn is_success<B>(response: &Response<B>) -> bool {
    response.status().is_success() && !response.headers().contains_key("grpc-status")
}

/// Whether the thread that a request has come to answers all of it. Health is among the rest: it costs next to
/// nothing.
fn is_decided_here(path: &str) -> bool {
    const METHODS: [&str; 3] = [
        "/pdp.v1.DecisionService/Check",
        "/envoy.service.auth.v3.Authorization/Check",
        "/pdp.v1.DecisionService/BatchCheck",
    ];
    METHODS.contains(&path)
        || path.ends_with("/access/v1/evaluation")
        || path.ends_with("/access/v1/evaluations")
}

/// Serves a connection to its end. It is told to go away when the server stops, and when it is old or
/// idle; it is cut where it stands still, and where it has to make room.
pub(crate) async fn drive<C>(
    connection: C,
    (peer, mut entry): (Peer, Entry),
    terms: Terms,
    stopped: Receiver<bool>,
) where
    C: GracefulConnection,
{
    let mut connection = pin!(connection);
    let mut stop = pin!(told_to_stop(stopped));
    let mut makes_room = pin!(entry.makes_room());
    let mut watch = Watch::begin(terms, Instant::now(), drawn());
    let mut looks = interval(watch.every());
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut leaving = false;
    loop {
        tokio::select! {
            biased;
            // One that breaks is its caller's to notice.
            _ = connection.as_mut() => return,
            () = &mut makes_room => return,
            () = &mut stop, if !leaving => {
                leaving = true;
                connection.as_mut().graceful_shutdown();
            }
            _ = looks.tick() => match watch.look(Instant::now(), peer.activity()) {
                Verdict::Stays => {}
                Verdict::Leaves => {
                    leaving = true;
                    connection.as_mut().graceful_shutdown();
                }
                Verdict::Cut => {
                    tracing::debug!(peer = ?peer.address(), "a connection was cut");
                    return;
                }
            },
        }
    }
}

/// Waits until the server is told to stop, or is gone.
pub(crate) async fn told_to_stop(mut stopped: Receiver<bool>) {
    // An error is the end of `run`, too.
    stopped.wait_for(|stopped| *stopped).await.ok();
}

/// A number from 0 to 1. Without randomness the middle: connections that began together end together.
fn drawn() -> f64 {
    getrandom::u32().map_or(0.5, |drawn| f64::from(drawn) / f64::from(u32::MAX))
}
