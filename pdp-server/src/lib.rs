//! The policy decision point: everything that touches the world.
//!
//! [`run`] is the only wiring: it opens the store, gives the policy to the publisher, and the
//! publisher to the doors. The rooms know as little of each other as they can: the doors ([`rpc`]
//! and HTTP) never see the store, and the publisher and the store know of no door.

#![forbid(unsafe_code)]

mod access;
mod admission;
pub mod audit;
pub mod backup;
pub mod callers;
pub mod clock;
pub mod config;
mod connection;
mod connector;
mod decision_id;
mod decision_log;
pub mod demo;
pub mod doors;
mod http;
mod load;
pub mod publish;
pub mod receipt;
mod reload;
pub mod replica;
pub mod rpc;
pub mod session;
mod sidecar;
mod socket;
mod start;
pub mod store;
mod sync;
pub mod telemetry;
pub mod threads;
mod tls;
pub mod transport;

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tower::Layer as _;

use access::Access;
use admission::{Admission, AdmissionLimits};
use callers::{Gate, GateLayer};
use clock::Clock;
use config::{Config, Overload};
use connection::{Ping, Terms};
use decision_id::DecisionIds;
use decision_log::DecisionLog;
pub use decision_log::LogError;
use http::{Ready, authzen};
pub use load::LoadError;
use publish::{Early, FollowError, PublishError, Unready};
use replica::ConnectError;
use rpc::{Door, Grpc, Health, ImportLimits, Limits, Noting, ReflectionError};
use socket::Socket;
pub use socket::SocketError;
use start::Source;
use store::StoreError;
use telemetry::{Metrics, Spans};
use threads::Threads;
use tls::Acceptor;
pub use tls::TlsError;
use transport::{Listening, Manner, adopt};

/// How often metrics are tidied up and what no decision looks at any more is dropped.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);

/// How long streams may take to tell their callers that they have been ended.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How long a write that is at work after everything else has ended may take.
const LAST_WRITE: Duration = Duration::from_secs(30);

/// The sockets that a server answers on. Whoever binds them knows the ports before it runs.
#[derive(Debug)]
pub struct Listeners {
    grpc: Listening,
    http: TcpListener,
}

/// Why nothing is listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// An address.
    #[error(
        "cannot listen on {address} (`{setting}`): {source}; is another server running there? choose another address with `--{setting}`"
    )]
    Address {
        /// The setting that names it.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// A socket of this machine.
    #[error(transparent)]
    Socket(#[from] SocketError),
}

/// Why a server ended, or never began.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store does not open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored is damaged, and may be no more than a copy of a log.
    #[error(
        "{source}; if it is a copy of the log in etcd, empty the data folder `{}`: the server takes everything over again",
        .dir.display()
    )]
    DamagedCopy {
        /// The data folder.
        dir: PathBuf,
        /// What is wrong.
        source: Box<StoreError>,
    },
    /// The policy does not load.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The bundle of the setting `load` was not applied.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The certificate, its key or the certificates of those who vouch for callers cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The log that several servers share, or the server that is followed, cannot be asked.
    #[error(transparent)]
    Replica(#[from] ConnectError),
    /// What that log has cannot be taken over.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// Decisions cannot be logged.
    #[error(transparent)]
    DecisionLog(#[from] LogError),
    /// This build cannot describe itself.
    #[error(transparent)]
    Reflection(#[from] ReflectionError),
    /// The operating system gives no threads or takes a socket back.
    #[error("{doing}: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// A part of the server ended in a panic.
    #[error("{0} ended in an internal error")]
    Panicked(&'static str),
}

/// Serves until `shutdown` completes, then drains and closes the store. Everything that the server
/// has is gone when this returns.
///
/// Requests are answered on threads of their own ([`threads`]).
///
/// # Errors
/// [`RunError`] if the server cannot start, or a door fails.
pub async fn run(
    config: Config,
    listeners: Listeners,
    clock: Clock,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let (limits, grace, drain) = (limits(&config), config.grace, config.drain);
    let (metrics, options) = (Arc::new(Metrics::new()), authzen_options(&config));
    let admission = Admission::new(admission_limits(&config.overload), Arc::clone(&metrics));
    let (log, logging) = DecisionLog::start(&config.decision_log, &metrics)?;
    let access = Access::open(&config, &clock, &metrics, &admission)?;
    let asked = (clock.clone(), Arc::clone(&access.gate));
    let door = Door::new(asked, Arc::clone(&metrics), noting(&config, &log)?, limits);
    let (health, ready) = (Health::not_serving_yet().await, Ready::default());
    let Listeners { grpc, http } = listeners;
    let addresses = (grpc.shown(), http.local_addr());

    let threads = Threads::start_with(config.grpc_threads, move || log.join())
        .map_err(|source| RunError::System { doing: "starting threads", source })?;
    let (stop, stopped) = watch::channel(false);
    let source = Source::of(&config, &stopped, threads.rest())?;
    let manner = manner(&config, access.acceptor(tls::Door::Grpc), &admission);
    let gated = (&door, &access.gate);
    let mut serving =
        serve_grpc((grpc, manner), gated, (&config, &source, &health), &threads, stopped.clone())?;
    let options = source.sidecar().is_none().then_some(options);
    let routes = http::Routes::new(ready.clone(), &door, options, threads.rest());
    let routes = routes.behind(Arc::clone(&access.gate));
    let taken = (http, access.acceptor(tls::Door::Http));
    let terms = terms(&config, config.http_timeout);
    let http = serve_http(taken, routes, threads.lanes(), terms, admission, stopped);
    let mut http = threads.rest().spawn(http);
    let rereading = tokio::spawn(access.reread()).abort_handle();
    let (rest, resting) = oneshot::channel::<()>();
    let upkeep = tokio::spawn(upkeep(Arc::downgrade(&door), health.clone(), resting));

    let (started, mut shutdown, mut following) = (Instant::now(), pin!(shutdown), None);
    let leaves_image = source.leaves_image();
    let early = async |early| decide_upon(early, (&door, &ready, &health), started).await;
    let outcome = match source.loaded(&config, clock, shutdown.as_mut(), early).await {
        None => {
            // The loading thread cannot be stopped; it ends with the process.
            tracing::info!("told to stop before the policy was loaded");
            Ok(())
        }
        Some(Err(error)) => Err(error),
        Some(Ok(publisher)) => {
            door.metrics().loaded(started.elapsed(), &publisher);
            door.open(publisher.clone());
            ready.set(true);
            // Whoever follows tells health as soon as there is a policy: the door has to be open by then.
            following = source.begin(publisher, &health, threads.rest());
            health.up(door.publisher().and_then(publish::Publisher::unready)).await;
            announce(addresses, started);
            until_over(shutdown.as_mut(), &mut serving, &mut http).await
        }
    };

    let failed = outcome.is_err();
    ready.set(false);
    health.draining().await;
    if !failed {
        stay(grace).await;
    }
    stop.send(true).ok();
    health.end().await;
    door.end_watches();
    if !failed {
        finish(async { drop(tokio::join!(&mut serving, &mut http)) }, &door, drain).await;
    }
    rereading.abort();
    if let Some(following) = following {
        following.end().await;
    }
    // In this order: nobody asks any more, then the last holders of the policy go.
    threads.stop().await;
    at_rest((rest, upkeep), logging).await;
    leave_image(door, !failed && leaves_image).await;
    tracing::info!("stopped");
    outcome
}

/// Until the server is told to end, or a door has ended by itself.
async fn until_over(
    mut shutdown: Pin<&mut impl Future<Output = ()>>,
    serving: &mut JoinHandle<Result<(), RunError>>,
    http: &mut JoinHandle<Result<(), RunError>>,
) -> Result<(), RunError> {
    tokio::select! {
        () = &mut shutdown => Ok(()),
        ended = serving => ended.unwrap_or(Err(RunError::Panicked("the gRPC door"))),
        ended = http => ended.unwrap_or(Err(RunError::Panicked("the HTTP door"))),
    }
}

/// Health says that the server goes, and it answers for a while yet.
async fn stay(grace: Duration) {
    tracing::info!("shutting down");
    tokio::time::sleep(grace).await;
}

/// Says where it serves, and how long the start took.
fn announce(addresses: (std::io::Result<String>, std::io::Result<SocketAddr>), began: Instant) {
    if let (Ok(grpc), Ok(http)) = addresses {
        let took_ms = began.elapsed().as_millis();
        tracing::info!(%grpc, %http, took_ms, "serving");
    }
}

/// Has the upkeep rest, and waits for what it has begun, and for the last decisions to be logged.
async fn at_rest(
    (rest, upkeep): (oneshot::Sender<()>, JoinHandle<()>),
    logging: decision_log::Writing,
) {
    drop(rest);
    if tokio::time::timeout(LAST_WRITE, upkeep).await.is_err() {
        tracing::warn!("the upkeep did not end in time");
    }
    logging.finish().await;
}

/// Waits for the doors to finish what they have begun, and ends it once it has had its time.
async fn finish(ended: impl Future<Output = ()>, door: &Door, drain: Duration) {
    let mut ended = pin!(ended);
    if tokio::time::timeout(drain, &mut ended).await.is_err() {
        let streams = door.cancel_streams();
        tracing::warn!(streams, "the time for draining is over; ending what is still open");
        tokio::time::timeout(LAST_WORDS, &mut ended).await.ok();
    }
}

/// Decides upon an image of the policy until that is loaded.
async fn decide_upon(
    early: Early,
    (door, ready, health): (&Door, &Ready, &Health),
    started: Instant,
) {
    door.decide_upon(early);
    ready.set(true);
    health.up(Some(Unready::Loading)).await;
    let took_ms = started.elapsed().as_millis();
    tracing::info!(took_ms, "deciding; the rest of the policy is being loaded");
}

/// Leaves the next start, if that is wanted, what it can decide upon while it loads the policy; and the door with it.
async fn leave_image(door: Arc<Door>, wanted: bool) {
    let publisher = door.publisher().cloned();
    drop(door);
    let Some(publisher) = publisher.filter(|_| wanted) else { return };
    if tokio::task::spawn_blocking(move || publisher.leave_image()).await.is_err() {
        tracing::error!("writing the image of the policy failed");
    }
}

/// Serves the gRPC door, or that of a sidecar.
fn serve_grpc(
    taken: (Listening, Manner),
    (door, gate): (&Arc<Door>, &Arc<Gate>),
    (config, source, health): (&Config, &Source, &Health),
    threads: &Threads,
    stopped: watch::Receiver<bool>,
) -> Result<JoinHandle<Result<(), RunError>>, RunError> {
    let (gate, lanes, rest) =
        (GateLayer::<Grpc>::new(Arc::clone(gate)), threads.lanes(), threads.rest());
    if let Some(sidecar) = source.sidecar() {
        let gated = gate.layer(door.front(health, sidecar, rest)?);
        return Ok(rest.spawn(transport::serve_taken(taken, gated, lanes, stopped)));
    }
    let mapping = config.gateway.as_ref().map(|it| it.mapping.clone()).unwrap_or_default();
    let gated = gate.layer(door.routes(health, mapping, rest)?.prepare());
    Ok(rest.spawn(transport::serve_taken(taken, gated, lanes, stopped)))
}

async fn serve_http(
    (listener, acceptor): (TcpListener, Acceptor),
    routes: axum::Router,
    lanes: Vec<tokio::runtime::Handle>,
    terms: Terms,
    admission: Arc<Admission>,
    stopped: watch::Receiver<bool>,
) -> Result<(), RunError> {
    http::serve((adopt(listener)?, acceptor), routes, lanes, terms, &admission, stopped).await;
    Ok(())
}

/// How the gRPC door serves.
fn manner(config: &Config, acceptor: Acceptor, admission: &Arc<Admission>) -> Manner {
    let (terms, admission) = (terms(config, config.overload.grpc_timeout), Arc::clone(admission));
    Manner { acceptor, terms, admission, max_deadline: config.overload.max_deadline }
}

/// What the connections of a door are held to.
fn terms(config: &Config, patience: Duration) -> Terms {
    let overload = &config.overload;
    Terms {
        connections: overload.max_connections,
        address_connections: overload.max_address_connections,
        streams: overload.max_connection_requests,
        patience,
        idle: overload.connection_idle,
        age: overload.max_connection_age,
        farewell: overload.connection_farewell,
        ping: Ping { interval: overload.ping_interval, timeout: overload.ping_timeout },
    }
}

fn admission_limits(overload: &Overload) -> AdmissionLimits {
    AdmissionLimits {
        thread_requests: overload.max_thread_requests,
        requests: overload.max_requests,
        queue: overload.max_queue,
        caller_requests: overload.max_caller_requests,
        caller_rate: overload.max_caller_rate,
        buffered_bytes: overload.max_buffered_bytes,
        patience: rpc::patience_within(overload.max_deadline),
    }
}

fn limits(config: &Config) -> Limits {
    Limits {
        max_message_bytes: config.max_message_bytes,
        max_batch: config.overload.max_batch,
        max_changes: config.overload.max_changes,
        max_running_lists: config.overload.max_running_lists,
        pages: config.overload.pages,
        max_wait: config.max_wait,
        max_live_streams: config.max_live_streams,
        max_check_streams: config.max_check_streams,
        check_stream_idle: config.check_stream_idle,
        max_health_streams: config.overload.max_health_streams,
        max_connection_health_streams: config.overload.max_connection_health_streams,
        imports: ImportLimits {
            at_once: config.max_imports,
            bytes: config.max_import_bytes,
            time: config.max_import,
        },
    }
}

fn noting(config: &Config, log: &DecisionLog) -> Result<Noting, RunError> {
    let system = |source| RunError::System { doing: "drawing random numbers", source };
    let decision_ids = DecisionIds::new().map_err(system)?;
    Ok(Noting { decision_ids, log: log.clone(), spans: Spans::new(config) })
}

fn authzen_options(config: &Config) -> authzen::Options {
    authzen::Options {
        public_url: config.public_url.clone(),
        access_request_url: config.access_request_url.clone(),
        person_types: config.person_types.clone(),
        max_evaluations: config.max_evaluations,
        max_body_bytes: config.max_body_bytes,
        timeout: config.http_timeout,
    }
}

/// Looks after what nobody waits for, until it is told to rest.
async fn upkeep(door: std::sync::Weak<Door>, health: Health, mut resting: oneshot::Receiver<()>) {
    let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = &mut resting => return,
        }
        let Some(door) = door.upgrade() else { return };
        if let Some(publisher) = door.publisher() {
            health.up(publisher.unready()).await;
        }
        let tidy = move || {
            door.metrics().upkeep();
            door.sweep_streams(UPKEEP_INTERVAL);
            if let Some(publisher) = door.publisher() {
                // Whatever became of it, no decision honours what has run out or does not stand.
                if let Err(error) = publisher.sweep_sessions() {
                    tracing::error!(%error, "sessions that are over could not be ended");
                }
                door.metrics().sessions(publisher.session_counts());
                door.metrics().store(publisher.store_bytes());
                door.metrics().log(publisher.standing());
                publisher.sweep();
            }
        };
        // Dropping a large policy takes its time.
        if tokio::task::spawn_blocking(tidy).await.is_err() {
            tracing::error!("the upkeep failed");
        }
    }
}

// === impl Listeners ===

impl Listeners {
    /// Listens where the settings say: a sidecar on its socket in place of the gRPC door's address. Nothing is
    /// answered before [`run`].
    ///
    /// # Errors
    /// [`BindError`] names the setting and the address.
    pub fn bind(config: &Config) -> Result<Self, BindError> {
        let bind = |setting, address| {
            let failed = |source| BindError::Address { setting, address, source };
            TcpListener::bind(address).map_err(failed)
        };
        let grpc = match &config.sidecar {
            Some(sidecar) => Listening::Local(Socket::bind(&sidecar.socket, sidecar.mode)?),
            None => Listening::Port(bind("grpc", config.grpc)?),
        };
        Ok(Self { grpc, http: bind("http", config.http)? })
    }

    /// The address of the gRPC door.
    ///
    /// # Errors
    /// What the operating system says; that of a sidecar has none.
    pub fn grpc_address(&self) -> std::io::Result<SocketAddr> {
        match &self.grpc {
            Listening::Port(listener) => listener.local_addr(),
            Listening::Local(_) => Err(std::io::ErrorKind::Unsupported.into()),
        }
    }

    /// The address of the HTTP door.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn http_address(&self) -> std::io::Result<SocketAddr> {
        self.http.local_addr()
    }
}
