//! The gRPC door's transport: from a socket to requests. One task takes connections and hands each
//! to the deciding thread that has the fewest; there it stays, so that all of its requests are served
//! without leaving the thread. Handing over is chosen above a listener for each thread
//! (`SO_REUSEPORT`): the kernel spreads connections by a hash, and gateways hold few of them for long,
//! so that one core would idle while another is busy; and a second server on the same port would be
//! given half of the callers instead of an error.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::try_join_all;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::StdError;
use tower::{Layer as _, Service};

use crate::RunError;
use crate::admission::{Admission, AdmissionLimits, Load};
use crate::config::DEFAULT_MAX_CONNECTION_REQUESTS;
use crate::connection::{
    Arrived, Arriving, Entrance, Entry, MAX_FAULTS, MAX_HEAD_BYTES, MAX_TAKEN_BACK, Patient, Ping,
    Terms, Unread, drive, told_to_stop,
};
use crate::rpc::{DeadlineLayer, Failure, LastResortLayer};
use crate::socket::{Socket, SocketFile};
use crate::telemetry::{Metrics, Port};
use crate::tls::{Acceptor, Door, Io};

/// How large a window of each stream and of each connection is, in bytes: large batches and change
/// sets need not wait for their callers' acknowledgements.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// How many connections may wait to be taken over by their thread.
const WAITING_CONNECTIONS: usize = 64;

/// How long to wait after a connection could not be taken: what is short, such as descriptors, comes
/// back when others end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What connections are held to where nobody has said.
const USUAL: Terms = Terms {
    connections: 4_096,
    address_connections: 4_096,
    streams: DEFAULT_MAX_CONNECTION_REQUESTS,
    patience: Duration::from_secs(30),
    idle: Duration::from_secs(900),
    age: Duration::from_secs(1_800),
    farewell: Duration::from_secs(10),
    ping: Ping { interval: Duration::from_secs(30), timeout: Duration::from_secs(20) },
};

/// What connections come to.
#[derive(Debug)]
pub(crate) enum Listening {
    /// A port.
    Port(std::net::TcpListener),
    /// A socket of this machine.
    Local(Socket),
}

/// The same, in a runtime.
enum Accepting {
    Port(TcpListener),
    Local(UnixListener, #[expect(dead_code, reason = "dropped, it is removed")] SocketFile),
}

/// A connection that belongs to no runtime.
enum Wire {
    Port(std::net::TcpStream),
    Local(std::os::unix::net::UnixStream),
}

/// A connection on its way to its thread.
struct HandedOver {
    stream: Wire,
    entry: Entry,
    place: Place,
}

/// One more connection of a lane, until it is dropped.
pub(crate) struct Place(Arc<AtomicUsize>);

/// A deciding thread, seen by who takes connections.
struct Lane {
    give: mpsc::Sender<HandedOver>,
    live: Arc<AtomicUsize>,
}

/// How a door serves.
#[derive(Clone)]
pub(crate) struct Manner {
    /// How connections are taken.
    pub(crate) acceptor: Acceptor,
    /// What they are held to.
    pub(crate) terms: Terms,
    /// What is taken on.
    pub(crate) admission: Arc<Admission>,
    /// How long a request may take.
    pub(crate) max_deadline: Duration,
}

/// Gives a service the requests of a connection.
#[derive(Clone)]
struct Received<S>(S);

/// Serves gRPC on a socket until it is told to stop, then finishes the requests in flight. Each of
/// the lanes serves the connections that it is given. Whatever comes is taken on.
///
/// # Errors
/// [`RunError`] if the socket cannot be taken over, or a lane has failed.
pub async fn serve<S>(
    listener: std::net::TcpListener,
    service: S,
    lanes: Vec<Handle>,
    stopped: watch::Receiver<bool>,
) -> Result<(), RunError>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<StdError> + Send + 'static,
{
    let everything = AdmissionLimits {
        thread_requests: usize::MAX,
        requests: usize::MAX,
        queue: Duration::MAX,
        caller_requests: usize::MAX,
        caller_rate: 1_000_000_000,
        buffered_bytes: usize::MAX,
        patience: Duration::MAX,
    };
    let manner = Manner {
        acceptor: Acceptor::new(None, Door::Grpc),
        terms: USUAL,
        admission: Admission::new(everything, Arc::new(Metrics::new())),
        max_deadline: Duration::from_secs(3_600),
    };
    serve_taken((Listening::Port(listener), manner), service, lanes, stopped).await
}

/// The same in the manner of a configuration.
pub(crate) async fn serve_taken<S>(
    (listener, manner): (Listening, Manner),
    service: S,
    lanes: Vec<Handle>,
    stopped: watch::Receiver<bool>,
) -> Result<(), RunError>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<StdError> + Send + 'static,
{
    let listener = Accepting::adopt(listener)?;
    let service = DeadlineLayer::new(manner.max_deadline).layer(service);
    let service = Received(LastResortLayer.layer(service));
    let (lanes, serving): (Vec<_>, Vec<_>) = lanes
        .into_iter()
        .map(|handle| {
            let (give, given) = mpsc::channel(WAITING_CONNECTIONS);
            let serving = serve_lane(given, manner.clone(), service.clone(), stopped.clone());
            (Lane { give, live: Arc::default() }, handle.spawn(serving))
        })
        .unzip();
    let ended = serving
        .into_iter()
        .map(async |lane| lane.await.map_err(|_| RunError::Panicked("a thread of the gRPC door")));
    let mut ended = std::pin::pin!(try_join_all(ended));
    let connections = manner.admission.metrics().connections(Port::Grpc);
    let entrance = Entrance::new(&manner.terms, connections);
    tokio::select! {
        () = accept(listener, lanes, entrance) => {}
        ended = &mut ended => return ended.map(drop),
        () = told_to_stop(stopped) => {}
    }
    // The listener and the lanes' ends are gone: nothing comes any more.
    ended.await.map(drop)
}

/// Takes connections until a lane is gone.
async fn accept(listener: Accepting, lanes: Vec<Lane>, mut entrance: Entrance) {
    for turn in 0_usize.. {
        let (stream, address) = match listener.accept().await {
            Ok(taken) => taken,
            Err(error) => {
                tracing::warn!(%error, "a connection to the gRPC door was not taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(lane) = fewest(&lanes, turn, |lane| &lane.live) else { return };
        let entry = entrance.admit(address);
        let handed = HandedOver { stream, entry, place: Place::new(&lane.live) };
        if lane.give.send(handed).await.is_err() {
            return;
        }
    }
}

/// The lane that has the fewest connections; of those that have equally few, the next in turn.
pub(crate) fn fewest<L>(lanes: &[L], turn: usize, live: impl Fn(&L) -> &AtomicUsize) -> Option<&L> {
    let (before, after) = lanes.split_at(turn % lanes.len().max(1));
    after.iter().chain(before).min_by_key(|lane| live(lane).load(Ordering::Relaxed))
}

/// Serves the connections that a lane is given, on its thread, and returns when the last has ended.
async fn serve_lane<S>(
    mut given: mpsc::Receiver<HandedOver>,
    manner: Manner,
    service: Received<S>,
    stopped: watch::Receiver<bool>,
) where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<StdError> + Send + 'static,
{
    let Manner { acceptor, terms, admission, max_deadline: _ } = manner;
    let (load, connections) = (Load::new(&admission), connections(&terms));
    let (live, mut gone) = mpsc::channel::<()>(1);
    let mut stop = std::pin::pin!(told_to_stop(stopped.clone()));
    loop {
        let handed = tokio::select! {
            handed = given.recv() => handed,
            () = &mut stop => None,
        };
        let Some(HandedOver { stream, entry, place }) = handed else { break };
        let stream = match stream.begun(&acceptor, &load, &entry) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(%error, "a connection was gone before it was served");
                continue;
            }
        };
        let terms = terms.of(&entry);
        let peer = stream.peer().clone();
        let arriving = Arriving::new(service.clone(), peer.clone());
        let stream = TokioIo::new(Patient::new(stream, terms.patience));
        let connection = connections.serve_connection(stream, arriving).into_owned();
        let (stopped, live) = (stopped.clone(), live.clone());
        tokio::spawn(async move {
            drive(connection, (peer, entry), terms, stopped).await;
            drop((place, live));
        });
    }
    drop((given, live));
    // Nothing is ever sent: it ends when nobody could.
    gone.recv().await;
}

/// Answers are short and wanted at once.
fn prompt(stream: std::net::TcpStream) -> std::io::Result<TcpStream> {
    let stream = TcpStream::from_std(stream)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn connections(terms: &Terms) -> Builder<TokioExecutor> {
    let mut connections = Builder::new(TokioExecutor::new()).http2_only();
    connections
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(terms.streams)
        .max_header_list_size(MAX_HEAD_BYTES)
        .max_pending_accept_reset_streams(MAX_TAKEN_BACK)
        .max_local_error_reset_streams(MAX_FAULTS)
        .keep_alive_interval(terms.ping.interval)
        .keep_alive_timeout(terms.ping.timeout);
    connections
}

/// Takes a socket over into the runtime at hand.
pub(crate) fn adopt(listener: std::net::TcpListener) -> Result<TcpListener, RunError> {
    listener.set_nonblocking(true).map_err(not_taken_over)?;
    TcpListener::from_std(listener).map_err(not_taken_over)
}

fn not_taken_over(source: std::io::Error) -> RunError {
    RunError::System { doing: "taking a socket over", source }
}

// === impl Listening ===

impl Listening {
    /// Where it is, for people.
    pub(crate) fn shown(&self) -> std::io::Result<String> {
        Ok(match self {
            Self::Port(listener) => listener.local_addr()?.to_string(),
            Self::Local(socket) => format!("unix:{}", socket.path().display()),
        })
    }
}

// === impl Accepting ===

impl Accepting {
    /// Takes it over into the runtime at hand.
    fn adopt(listening: Listening) -> Result<Self, RunError> {
        match listening {
            Listening::Port(listener) => adopt(listener).map(Self::Port),
            Listening::Local(socket) => {
                let (listener, file) = socket.into_parts();
                listener.set_nonblocking(true).map_err(not_taken_over)?;
                let listener = UnixListener::from_std(listener).map_err(not_taken_over)?;
                Ok(Self::Local(listener, file))
            }
        }
    }

    /// The next connection, and the address that it is from, if it is from one.
    async fn accept(&self) -> std::io::Result<(Wire, Option<IpAddr>)> {
        match self {
            Self::Port(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((Wire::Port(stream.into_std()?), Some(address.ip())))
            }
            Self::Local(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok((Wire::Local(stream.into_std()?), None))
            }
        }
    }
}

// === impl Wire ===

impl Wire {
    /// Takes it over into the runtime at hand, to be served.
    fn begun(self, acceptor: &Acceptor, load: &Arc<Load>, entry: &Entry) -> std::io::Result<Io> {
        Ok(match self {
            Self::Port(stream) => acceptor.accept(prompt(stream)?, load, entry),
            Self::Local(stream) => {
                Acceptor::accept_local(UnixStream::from_std(stream)?, load, entry)
            }
        })
    }
}

// === impl Place ===

impl Place {
    /// One of the lane that counts here.
    pub(crate) fn new(live: &Arc<AtomicUsize>) -> Self {
        live.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(live))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Received ===

impl<S> Service<Request<Arrived>> for Received<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: Into<StdError>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Arrived>) -> Self::Future {
        self.0.call(request.map(|body| Body::new(body.map_err(told))))
    }
}

/// Why a message was not read, as its caller is told.
fn told(unread: Unread) -> Status {
    match unread {
        Unread::Connection(error) => Status::from_error(Box::new(error)),
        Unread::Shed(shed) => Failure::from(shed).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;
    use std::future::{Ready, ready};

    use tonic::codegen::BoxFuture;
    use tonic::server::UnaryService;
    use tonic::transport::{Channel, Endpoint};
    use tonic_prost::ProstCodec;

    use super::*;
    use crate::threads::{GrpcThreads, Threads};

    /// Tells the thread that serves it.
    #[derive(Clone)]
    struct Told;

    impl Service<Request<Body>> for Told {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = BoxFuture<Response<Body>, Infallible>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            let codec = ProstCodec::<String, ()>::default();
            Box::pin(async { Ok(tonic::server::Grpc::new(codec).unary(Self, request).await) })
        }
    }

    impl UnaryService<()> for Told {
        type Response = String;
        type Future = Ready<Result<tonic::Response<String>, tonic::Status>>;

        fn call(&mut self, _: tonic::Request<()>) -> Self::Future {
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            ready(Ok(tonic::Response::new(name)))
        }
    }

    async fn ask(channel: &Channel) -> String {
        let mut client = tonic::client::Grpc::new(channel.clone());
        client.ready().await.unwrap();
        let (path, codec) = ("/a.B/C".parse().unwrap(), ProstCodec::<(), String>::default());
        client.unary(tonic::Request::new(()), path, codec).await.unwrap().into_inner()
    }

    #[tokio::test]
    async fn connections_are_spread_evenly_and_stay_with_their_thread() {
        let threads = Threads::start(GrpcThreads::Count(2.try_into().unwrap())).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = watch::channel(false);
        let serving = threads.rest().spawn(serve(listener, Told, threads.lanes(), stopped));
        let mut connections = Vec::new();
        let mut of_thread = BTreeMap::<String, usize>::new();
        for _ in 0..6 {
            let endpoint = Endpoint::from_shared(address.clone()).unwrap();
            let channel = endpoint.connect().await.unwrap();
            let thread = ask(&channel).await;
            assert_eq!(ask(&channel).await, thread);
            *of_thread.entry(thread).or_default() += 1;
            connections.push(channel);
        }
        assert_eq!(of_thread.into_values().collect::<Vec<_>>(), [3, 3]);
        stop.send(true).unwrap();
        drop(connections);
        serving.await.unwrap().unwrap();
        threads.stop().await;
    }
}
