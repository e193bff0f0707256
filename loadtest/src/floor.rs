//! The floor: a server that answers without doing anything, on the real server's own transport (its
//! threads, its settings, its layers), asked by the same client. What a real server is slower by is its
//! own.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use pdp_proto::v1;
use pdp_server::config::GrpcThreads;
use pdp_server::threads::Threads;
use pdp_server::transport::serve;
use prost::Message as _;
use prost::bytes::Bytes;
use tokio::sync::watch;
use tokio_stream::{Stream, StreamExt as _};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, StreamingService, UnaryService};
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use crate::wire::Raw;

/// The path of the empty echo: nothing is sent, and nothing comes back.
pub const EMPTY: &str = "/pdp.loadtest.Floor/Empty";

/// The path that answers whatever it is sent with one constant decision.
pub const ONE: &str = "/pdp.loadtest.Floor/One";

/// The path that answers whatever it is sent with [`BATCH`] constant decisions.
pub const MANY: &str = "/pdp.loadtest.Floor/Many";

/// How many decisions the batch floor answers.
pub const BATCH: usize = 100;

/// The path of the stream that answers whatever it is sent with constant decisions.
pub const STREAM: &str = "/pdp.loadtest.Floor/Stream";

/// Why there is no floor.
#[derive(Debug, thiserror::Error)]
#[error("the floor's server does not start")]
pub struct FloorError(#[from] std::io::Error);

/// A running floor. It ends when it is dropped.
#[derive(Debug)]
pub struct Floor {
    endpoint: String,
    stop: watch::Sender<bool>,
    /// Ends what runs on them.
    _threads: Threads,
}

/// The service.
#[derive(Debug, Clone)]
struct Service {
    one: Bytes,
    many: Bytes,
    streamed: Bytes,
}

/// Answers with what it holds.
#[derive(Debug, Clone)]
struct Constant(Bytes);

// === impl Floor ===

impl Floor {
    /// Starts one on loopback, on threads of its own: as many as the server has for this setting.
    ///
    /// # Errors
    /// [`FloorError`] if the operating system gives no threads or no port.
    pub fn start(threads: GrpcThreads) -> Result<Self, FloorError> {
        let listener = std::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let threads = Threads::start(threads)?;
        let (stop, stopped) = watch::channel(false);
        let routes = Routes::new(Service::new()).prepare();
        // An error is an end, too, and whoever asks notices.
        threads.rest().spawn(serve(listener, routes, threads.lanes(), stopped));
        Ok(Self { endpoint, stop, _threads: threads })
    }

    /// Its address.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.stop.send(true).ok();
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
            result: Some(v1::batch_check_result::Result::Decision(decision.clone())),
        };
        let many = v1::BatchCheckResponse { results: vec![result; BATCH], revision: 1 };
        let result = Some(v1::check_stream_response::Result::Decision(decision));
        let streamed = v1::CheckStreamResponse { number: 1, result };
        let [one, many, streamed] =
            [one.encode_to_vec(), many.encode_to_vec(), streamed.encode_to_vec()].map(Bytes::from);
        Self { one, many, streamed }
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
            STREAM => {
                let constant = Constant(self.streamed.clone());
                return Box::pin(
                    async move { Ok(Grpc::new(Raw).streaming(constant, request).await) },
                );
            }
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

impl StreamingService<Bytes> for Constant {
    type Response = Bytes;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let answer = self.0.clone();
        let answers = request.into_inner().map(move |asked| asked.map(|_| answer.clone()));
        ready(Ok(Response::new(Box::pin(answers))))
    }
}
