//! Connections of the HTTP door: HTTP/1.1 and HTTP/2 with prior knowledge on one port, within
//! limits, told to go away when the server shuts down. What all answers have in common is done here:
//! the request's id is in them, and a handler that panics gives one.

use std::any::Any;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
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
use tokio::sync::{Semaphore, mpsc, watch};
use tower::Service;

use crate::admission::Load;
use crate::connection::{
    Arriving, KEEPALIVE, MAX_FAULTS, MAX_HEAD_BYTES, MAX_TAKEN_BACK, Patient, Terms, drive,
    told_to_stop,
};
use crate::tls::Acceptor;

/// How long to wait after a connection could not be taken: what is short, such as descriptors, comes
/// back when others end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Names a request for its caller.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Serves until it is told to stop, then finishes the requests in flight. One connection more than
/// there may be waits to be taken until another ends.
pub(crate) async fn serve(
    (listener, acceptor): (TcpListener, Acceptor),
    routes: Router,
    terms: Terms,
    load: Arc<Load>,
    stopped: watch::Receiver<bool>,
) {
    let connections = connections(&terms);
    let service = Answering(routes);
    let free = Arc::new(Semaphore::new(terms.connections));
    let (live, mut gone) = mpsc::channel::<()>(1);
    let accept = async || {
        // Never closed.
        let place = Arc::clone(&free).acquire_owned().await.ok();
        listener.accept().await.map(|(stream, _)| (stream, place))
    };
    let mut stop = std::pin::pin!(told_to_stop(stopped.clone()));
    loop {
        let accepted = tokio::select! {
            accepted = accept() => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, place)) => {
                let stream = acceptor.accept(prompt(stream), &load);
                let peer = stream.peer().clone();
                let arriving = Arriving::new(service.clone(), peer.clone());
                let stream = TokioIo::new(Patient::new(stream, terms.patience));
                let connection = connections.serve_connection(stream, arriving).into_owned();
                let (stopped, live) = (stopped.clone(), live.clone());
                tokio::spawn(async move {
                    drive(connection, peer, terms, stopped).await;
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

fn connections(terms: &Terms) -> Builder<TokioExecutor> {
    let mut connections = Builder::new(TokioExecutor::new());
    connections
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(terms.patience)
        .max_buf_size(usize::try_from(MAX_HEAD_BYTES).unwrap_or(usize::MAX))
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(terms.patience.min(KEEPALIVE))
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

    #[tokio::test]
    async fn connections_beyond_the_limit_wait_for_others_to_end() {
        use std::sync::atomic::{AtomicUsize, Ordering};

        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        const MOST: usize = 2;
        let (now, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let highest = Arc::clone(&peak);
        let busy = move || async move {
            highest.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // Long enough for every other connection to come in, if it may.
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
            now.fetch_sub(1, Ordering::SeqCst);
            "done"
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().route("/", get(busy));
        let (stop, stopped) = watch::channel(false);
        let minute = Duration::from_secs(60);
        let terms = Terms {
            connections: MOST,
            streams: 1,
            patience: minute,
            idle: minute,
            age: minute,
            farewell: minute,
        };
        let plain = (listener, Acceptor::new(None, crate::tls::Door::Http));
        let load = crate::admission::tests::unlimited();
        let server = tokio::spawn(serve(plain, routes, terms, load, stopped));
        let ask = |_| async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            stream.write_all(request).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.ends_with("done"), "{answer}");
        };
        futures_util::future::join_all((0..8).map(ask)).await;
        assert_eq!(peak.load(Ordering::SeqCst), MOST);
        drop(stop);
        server.await.unwrap();
    }
}
