//! The floor: a server that answers without doing anything, over the same transport with the same
//! settings, asked by the same client. What a real server is slower by is its own.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use pdp_proto::v1;
use prost::Message as _;
use prost::bytes::Bytes;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::wire::Raw;

/// The path of the empty echo: nothing is sent, and nothing comes back.
pub const EMPTY: &str = "/pdp.loadtest.Floor/Empty";

/// The path that answers whatever it is sent with one constant decision.
pub const ONE: &str = "/pdp.loadtest.Floor/One";

/// The path that answers whatever it is sent with [`BATCH`] constant decisions.
pub const MANY: &str = "/pdp.loadtest.Floor/Many";

/// How many decisions the batch floor answers.
pub const BATCH: usize = 100;

/// As in the server, so that both have the same transport.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
const MAX_CONCURRENT_STREAMS: u32 = 1_024;

/// Why there is no floor.
#[derive(Debug, thiserror::Error)]
#[error("the floor's server does not start")]
pub struct FloorError(#[from] std::io::Error);

/// A running floor. It ends when it is dropped.
#[derive(Debug)]
pub struct Floor {
    endpoint: String,
    stop: Option<oneshot::Sender<()>>,
    runtime: Option<Runtime>,
}

/// The service.
#[derive(Debug, Clone)]
struct Service {
    one: Bytes,
    many: Bytes,
}

/// Answers with what it holds.
#[derive(Debug, Clone)]
struct Constant(Bytes);

// === impl Floor ===

impl Floor {
    /// Starts one on loopback, on threads of its own: the transport's defaults, as the server's.
    ///
    /// # Errors
    /// [`FloorError`] if the operating system gives no threads or no port.
    pub fn start() -> Result<Self, FloorError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("loadtest-floor")
            .enable_all()
            .build()?;
        let listener = std::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        listener.set_nonblocking(true)?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let (stop, stopped) = oneshot::channel::<()>();
        let listener = runtime.block_on(async { tokio::net::TcpListener::from_std(listener) })?;
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        runtime.spawn(async move {
            // An error is an end, too, and whoever asks notices.
            tonic::transport::Server::builder()
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
                .add_service(Service::new())
                .serve_with_incoming_shutdown(incoming, async {
                    stopped.await.ok();
                })
                .await
                .ok();
        });
        Ok(Self { endpoint, stop: Some(stop), runtime: Some(runtime) })
    }

    /// Its address.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).ok();
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

// === impl Service ===

impl Service {
    fn new() -> Self {
        let decision = v1::Decision {
            effect: v1::Effect::Deny.into(),
            reason: v1::Reason::NotGranted.into(),
            revision: 1,
            obligations: None,
        };
        let one = v1::CheckResponse { decision: Some(decision.clone()) };
        let result = v1::BatchCheckResult {
            result: Some(v1::batch_check_result::Result::Decision(decision)),
        };
        let many = v1::BatchCheckResponse { results: vec![result; BATCH], revision: 1 };
        Self { one: one.encode_to_vec().into(), many: many.encode_to_vec().into() }
    }
}

impl NamedService for Service {
    const NAME: &'static str = "pdp.loadtest.Floor";
}

impl tower::Service<http::Request<Body>> for Service {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answer = match request.uri().path() {
            EMPTY => Bytes::new(),
            ONE => self.one.clone(),
            MANY => self.many.clone(),
            _ => return Box::pin(ready(Ok(Status::unimplemented("no such floor").into_http()))),
        };
        Box::pin(async move { Ok(Grpc::new(Raw).unary(Constant(answer), request).await) })
    }
}

impl UnaryService<Bytes> for Constant {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        ready(Ok(Response::new(self.0.clone())))
    }
}
