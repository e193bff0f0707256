//! The gRPC door's transport: from a socket to requests. One task takes connections and hands each
//! to the deciding thread that has the fewest; there it stays, so that all of its requests are served
//! without leaving the thread. Handing over is chosen above a listener for each thread
//! (`SO_REUSEPORT`): the kernel spreads connections by a hash, and gateways hold few of them for long,
//! so that one core would idle while another is busy; and a second server on the same port would be
//! given half of the callers instead of an error.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::try_join_all;
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::body::Body;
use tonic::codegen::StdError;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tower::Service;

use crate::RunError;
use crate::rpc::LastResortLayer;
use crate::tls::{Acceptor, Door, Io, Peer};

/// How large a window of each stream and of each connection is, in bytes: large batches and change
/// sets need not wait for their callers' acknowledgements.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// How many requests one connection may have in flight.
const MAX_CONCURRENT_STREAMS: u32 = 1_024;

/// How often a silent connection is asked whether anybody is there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// How many connections may wait to be taken over by their thread.
const WAITING_CONNECTIONS: usize = 64;

/// How long to wait after a connection could not be taken: what is short, such as descriptors, comes
/// back when others end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connection that was taken.
struct Connection {
    stream: Io,
    _place: Place,
}

/// A connection on its way to its thread.
struct HandedOver {
    stream: std::net::TcpStream,
    place: Place,
}

/// One more connection of a lane, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

/// A deciding thread, seen by who takes connections.
struct Lane {
    give: mpsc::Sender<HandedOver>,
    live: Arc<AtomicUsize>,
}

/// Serves gRPC on a socket until it is told to stop, then finishes the requests in flight. Each of
/// the lanes serves the connections that it is given.
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
    let in_clear = Acceptor::new(None, Door::Grpc);
    serve_taken((listener, in_clear), service, lanes, stopped).await
}

/// The same for connections that are taken in clear or with TLS.
pub(crate) async fn serve_taken<S>(
    (listener, acceptor): (std::net::TcpListener, Acceptor),
    service: S,
    lanes: Vec<Handle>,
    stopped: watch::Receiver<bool>,
) -> Result<(), RunError>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<StdError> + Send + 'static,
{
    let listener = adopt(listener)?;
    let (lanes, serving): (Vec<_>, Vec<_>) = lanes
        .into_iter()
        .map(|handle| {
            let (give, given) = mpsc::channel(WAITING_CONNECTIONS);
            let serving =
                serve_lane(incoming(given, acceptor.clone()), service.clone(), stopped.clone());
            (Lane { give, live: Arc::default() }, handle.spawn(serving))
        })
        .unzip();
    let ended = serving.into_iter().map(async |lane| {
        lane.await.map_err(|_| RunError::Panicked("a thread of the gRPC door"))?
    });
    let mut ended = std::pin::pin!(try_join_all(ended));
    tokio::select! {
        () = accept(listener, lanes) => {}
        ended = &mut ended => return ended.map(drop),
        () = told_to_stop(stopped) => {}
    }
    // The listener and the lanes' ends are gone: nothing comes any more.
    ended.await.map(drop)
}

/// Takes connections until a lane is gone.
async fn accept(listener: TcpListener, lanes: Vec<Lane>) {
    for turn in 0_usize.. {
        let taken = match listener.accept().await {
            Ok((stream, _)) => stream.into_std(),
            Err(error) => Err(error),
        };
        let stream = match taken {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection to the gRPC door was not taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(lane) = fewest(&lanes, turn, |lane| &lane.live) else { return };
        let handed = HandedOver { stream, place: Place::new(&lane.live) };
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

/// The connections of a lane, as they come: called on its thread. Whatever is to be agreed upon with
/// the peer before its first request is done here, and what came of it is what [`Connected`] tells
/// each request of the connection.
fn incoming(
    given: mpsc::Receiver<HandedOver>,
    acceptor: Acceptor,
) -> impl Stream<Item = io::Result<Connection>> {
    ReceiverStream::new(given).map(move |HandedOver { stream, place }| {
        let stream = TcpStream::from_std(stream)?;
        // Answers are short and wanted at once.
        stream.set_nodelay(true)?;
        Ok(Connection { stream: acceptor.accept(stream), _place: place })
    })
}

async fn serve_lane<S>(
    incoming: impl Stream<Item = io::Result<Connection>>,
    service: S,
    stopped: watch::Receiver<bool>,
) -> Result<(), RunError>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<StdError> + Send + 'static,
{
    let server = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .layer(LastResortLayer)
        .serve_with_incoming_shutdown(service, incoming, told_to_stop(stopped));
    Ok(server.await?)
}

/// Waits until the server is told to stop, or is gone.
pub(crate) async fn told_to_stop(mut stopped: watch::Receiver<bool>) {
    // An error is the end of `run`, too.
    stopped.wait_for(|stopped| *stopped).await.ok();
}

/// Takes a socket over into the runtime at hand.
pub(crate) fn adopt(listener: std::net::TcpListener) -> Result<TcpListener, RunError> {
    let system = |source| RunError::System { doing: "taking a socket over", source };
    listener.set_nonblocking(true).map_err(system)?;
    TcpListener::from_std(listener).map_err(system)
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

// === impl Connection ===

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
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
