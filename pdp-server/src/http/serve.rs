//! Connections of the HTTP door: HTTP/1.1 and HTTP/2 with prior knowledge on one port, within
//! limits, told to go away when the server shuts down. Each is served by one deciding thread, as those
//! of the gRPC door are. What all answers have in common is done here: the request's id is in them,
//! and a handler that panics gives one.

use std::any::Any;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use axum::response::IntoResponse as _;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tower::Service;

use crate::admission::{Admission, Load};
use crate::connection::{
    Arriving, Entrance, Entry, MAX_FAULTS, MAX_HEAD_BYTES, MAX_TAKEN_BACK, Patient, Terms, drive,
    told_to_stop,
};
use crate::telemetry::Port;
use crate::tls::Acceptor;
use crate::transport::{Place, fewest};

/// How long to wait after a connection could not be taken: what is short, such as descriptors, comes
/// back when others end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Names a request for its caller.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What serves connections.
#[derive(Clone)]
struct Serving {
    connections: Builder<TokioExecutor>,
    acceptor: Acceptor,
    service: Answering,
    terms: Terms,
    stopped: watch::Receiver<bool>,
}

/// A thread that serves connections, seen by who takes them.
struct Lane {
    thread: Handle,
    live: Arc<AtomicUsize>,
    load: Arc<Load>,
}

/// Serves until it is told to stop, then finishes the requests in flight. Each of the lanes serves the
/// connections that it is given.
pub(crate) async fn serve(
    (listener, acceptor): (TcpListener, Acceptor),
    routes: Router,
    lanes: Vec<Handle>,
    terms: Terms,
    admission: &Arc<Admission>,
    stopped: watch::Receiver<bool>,
) {
    let lane = |thread| Lane { thread, live: Arc::default(), load: Load::new(admission) };
    let lanes: Vec<Lane> = lanes.into_iter().map(lane).collect();
    let (connections, service) = (connections(&terms), Answering(routes));
    let serving = Serving { connections, acceptor, service, terms, stopped };
    let mut entrance = Entrance::new(&terms, admission.metrics().connections(Port::Http));
    let (live, mut gone) = mpsc::channel::<()>(1);
    let mut stop = std::pin::pin!(told_to_stop(serving.stopped.clone()));
    let accept = async || {
        let (stream, address) = listener.accept().await?;
        Ok::<_, std::io::Error>((stream.into_std()?, address))
    };
    for turn in 0_usize.. {
        let accepted = tokio::select! {
            accepted = accept() => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, address)) => {
                let Some(lane) = fewest(&lanes, turn, |lane| &lane.live) else { break };
                let (entry, place) = (entrance.admit(Some(address.ip())), Place::new(&lane.live));
                let (serving, load, live) = (serving.clone(), Arc::clone(&lane.load), live.clone());
                lane.thread.spawn(async move {
                    serving.connection(stream, entry, &load).await;
                    drop((place, live));
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the HTTP door was not taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop((listener, live));
    // Nothing is ever sent: it ends when nobody could.
    gone.recv().await;
}

// === impl Serving ===

impl Serving {
    /// Serves one connection: called on its lane.
    async fn connection(self, stream: std::net::TcpStream, entry: Entry, load: &Arc<Load>) {
        // One that is gone already is its caller's to notice.
        let Ok(stream) = TcpStream::from_std(stream) else { return };
        let stream = self.acceptor.accept(prompt(stream), load, &entry);
        let terms = self.terms.of(&entry);
        let peer = stream.peer().clone();
        let arriving = Arriving::new(self.service, peer.clone());
        let stream = TokioIo::new(Patient::new(stream, terms.patience));
        let connection = self.connections.serve_connection(stream, arriving).into_owned();
        drive(connection, (peer, entry), terms, self.stopped).await;
    }
}

fn connections(terms: &Terms) -> Builder<TokioExecutor> {
    let mut connections = Builder::new(TokioExecutor::new());
    connections
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(terms.patience)
        .max_buf_size(usize::try_from(MAX_HEAD_BYTES).unwrap_or(usize::MAX))
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(terms.ping.interval)
        .keep_alive_timeout(terms.ping.timeout)
        .max_concurrent_streams(terms.streams)
        .max_header_list_size(MAX_HEAD_BYTES)
        .max_pending_accept_reset_streams(MAX_TAKEN_BACK)
        .max_local_error_reset_streams(MAX_FAULTS);
    connections
}

/// Answers are short and wanted at once.
fn prompt(stream: TcpStream) -> TcpStream {
    stream.set_nodelay(true).ok();
    stream
}

/// The routes, with what all answers have in common.
#[derive(Clone)]
struct Answering(Router);

// === impl Answering ===

impl<B> Service<Request<B>> for Answering
where
    B: axum::body::HttpBody<Data = axum::body::Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A router is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let id: Option<HeaderValue> = request.headers().get(REQUEST_ID).cloned();
        // A handler shares nothing that a panic could leave half-changed.
        let answered = AssertUnwindSafe(Service::call(&mut self.0, request)).catch_unwind();
        Box::pin(async move {
            let mut response = match answered.await {
                Ok(Ok(response)) => response,
                Err(panic) => panicked(panic.as_ref()),
            };
            if let Some(id) = id {
                response.headers_mut().insert(REQUEST_ID, id);
            }
            Ok(response)
        })
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Response<Body> {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("of an unknown kind"), "a handler panicked");
    let said = "an internal error; the server's log has the details\n";
    (StatusCode::INTERNAL_SERVER_ERROR, said).into_response()
}

#[cfg(test)]
mod tests {
    use axum::routing::get;

    use super::*;

    async fn answer(path: &str) -> Response<Body> {
        let boom = || async {
            assert!(path_is_fine(), "told to");
            "never"
        };
        let routes = Router::new().route("/panics", get(boom));
        let request = Request::get(path).header(REQUEST_ID, "r-1").body(Body::empty()).unwrap();
        Answering(routes).call(request).await.unwrap()
    }

    fn path_is_fine() -> bool {
        std::env::args().count() == usize::MAX
    }

    #[tokio::test]
    async fn a_panic_is_an_answer_and_every_answer_has_the_id() {
        for (path, status) in [("/panics", 500), ("/nowhere", 404)] {
            let response = answer(path).await;
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers().get(REQUEST_ID).unwrap(), "r-1");
        }
    }
}
