//! A server that does as the test tells it, can be cut off, and notes what it was asked.

use std::convert::Infallible;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use pdp_client::v1;
use pdp_client::v1::policy_service_watch_response::Event;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tonic_prost::ProstCodec;

/// What is done with requests.
#[derive(Clone)]
pub(crate) enum Mode {
    Allow,
    Deny,
    /// An answer that says nothing.
    Mumble,
    Fail(Status),
    /// No answer until the mode changes.
    Hang,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) with_token: bool,
    pub(crate) request_id: String,
}

/// The server. Its number is the revision that its answers are of.
#[derive(Clone)]
pub(crate) struct Server(Arc<Inner>);

struct Inner {
    number: u64,
    address: String,
    reads: watch::Sender<Mode>,
    writes: watch::Sender<Mode>,
    asked: watch::Sender<Vec<Asked>>,
    abandoned: watch::Sender<usize>,
    health: HealthReporter,
    connections: Mutex<Connections>,
}

#[derive(Default)]
struct Connections {
    cut_off: bool,
    open: Vec<std::net::TcpStream>,
}

// === impl Server ===

impl Server {
    /// Allows everything. It has no health.
    pub(crate) async fn start(number: u64) -> Self {
        Self::start_with(number, false).await
    }

    /// The same with health: it serves.
    pub(crate) async fn with_health(number: u64) -> Self {
        Self::start_with(number, true).await
    }

    async fn start_with(number: u64, with_health: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self(Arc::new(Inner {
            number,
            address: format!("http://{}", listener.local_addr().unwrap()),
            reads: watch::Sender::new(Mode::Allow),
            writes: watch::Sender::new(Mode::Allow),
            asked: watch::Sender::default(),
            abandoned: watch::Sender::default(),
            health: HealthReporter::new(),
            connections: Mutex::default(),
        }));
        server.serving(true).await;
        let (send, incoming) = mpsc::channel(8);
        let health = HealthService::from_health_reporter(server.0.health.clone());
        let router = tonic::transport::Server::builder()
            .add_service(Door::<0>(server.clone()))
            .add_service(Door::<1>(server.clone()))
            .add_service(Door::<2>(server.clone()))
            .add_optional_service(with_health.then(|| HealthServer::new(health)));
        tokio::spawn(router.serve_with_incoming(ReceiverStream::new(incoming)));
        tokio::spawn(accept(listener, send, server.clone()));
        server
    }

    pub(crate) fn number(&self) -> u64 {
        self.0.number
    }

    pub(crate) fn address(&self) -> String {
        self.0.address.clone()
    }

    /// What is done with what changes nothing.
    pub(crate) fn reads(&self, mode: Mode) {
        self.0.reads.send_replace(mode);
    }

    /// What is done with the rest.
    pub(crate) fn writes(&self, mode: Mode) {
        self.0.writes.send_replace(mode);
    }

    /// What its health says.
    pub(crate) async fn serving(&self, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        self.0.health.set_service_status("pdp.v1.DecisionService", status).await;
    }

    /// Cuts its connections, and takes no more.
    pub(crate) fn cut_off(&self) {
        let mut connections = self.0.connections.lock().unwrap();
        connections.cut_off = true;
        for connection in connections.open.drain(..) {
            // The client may have been quicker.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Takes connections again.
    pub(crate) fn back(&self) {
        self.0.connections.lock().unwrap().cut_off = false;
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.0.asked.borrow().clone()
    }

    /// Waits until so much was asked.
    pub(crate) async fn until_asked(&self, times: usize) {
        self.0.asked.subscribe().wait_for(|asked| asked.len() >= times).await.unwrap();
    }

    /// Waits until so many requests were taken back before they were answered.
    pub(crate) async fn until_abandoned(&self, times: usize) {
        self.0.abandoned.subscribe().wait_for(|abandoned| *abandoned >= times).await.unwrap();
    }

    async fn play(self, mode: fn(&Inner) -> &watch::Sender<Mode>) -> Result<Mode, Status> {
        let mut mode = mode(&self.0).subscribe();
        let mode = mode.wait_for(|mode| !matches!(mode, Mode::Hang)).await.unwrap().clone();
        match mode {
            Mode::Fail(status) => Err(status),
            mode => Ok(mode),
        }
    }

    async fn check(self, _: v1::CheckRequest) -> Result<v1::CheckResponse, Status> {
        let revision = self.0.number;
        let (effect, reason) = match self.play(|server| &server.reads).await? {
            Mode::Allow => (1, 1),
            Mode::Deny => (2, 2),
            _ => (0, 0),
        };
        let decision = Some(v1::Decision { effect, reason, revision, obligations: None });
        Ok(v1::CheckResponse { decision })
    }

    /// Three pages, of which this server knows its own only.
    async fn list(
        self,
        request: v1::ListResourcesRequest,
    ) -> Result<v1::ListResourcesResponse, Status> {
        let number = self.0.number;
        self.play(|server| &server.reads).await?;
        let page = match request.page_token.split_once(':') {
            None => 1,
            Some((of, page)) if of == number.to_string() => page.parse().unwrap(),
            Some(_) => return Err(Status::invalid_argument("a token of another server")),
        };
        let next_page_token =
            if page < 3 { format!("{number}:{}", page + 1) } else { String::new() };
        let resources = vec![v1::ListedResource { id: page.to_string(), explanation: None }];
        Ok(v1::ListResourcesResponse { resources, next_page_token, revision: number })
    }

    async fn apply(self, request: v1::ApplyRequest) -> Result<v1::ApplyResponse, Status> {
        self.0.asked.send_modify(|asked| asked.last_mut().unwrap().request_id = request.request_id);
        let revision = self.0.number;
        self.play(|server| &server.writes).await?;
        Ok(v1::ApplyResponse { revision, ..Default::default() })
    }

    async fn close(
        self,
        _: v1::SessionServiceCloseRequest,
    ) -> Result<v1::SessionServiceCloseResponse, Status> {
        self.play(|server| &server.writes).await?;
        Ok(v1::SessionServiceCloseResponse { session: None })
    }
}

async fn accept(
    listener: TcpListener,
    send: mpsc::Sender<Result<TcpStream, std::io::Error>>,
    server: Server,
) {
    loop {
        let stream = listener.accept().await.unwrap().0.into_std().unwrap();
        {
            let mut connections = server.0.connections.lock().unwrap();
            if connections.cut_off {
                continue;
            }
            connections.open.push(stream.try_clone().unwrap());
        }
        if send.send(TcpStream::from_std(stream)).await.is_err() {
            return;
        }
    }
}

/// Notes a request that ends before it is answered.
struct Unanswered(Option<Server>);

impl Unanswered {
    /// It is answered.
    fn end(&mut self) {
        self.0 = None;
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(server) = &self.0 {
            server.0.abandoned.send_modify(|abandoned| *abandoned += 1);
        }
    }
}

/// One of the server's services.
#[derive(Clone)]
struct Door<const N: usize>(Server);

impl<const N: usize> NamedService for Door<N> {
    const NAME: &'static str = match N {
        0 => "pdp.v1.DecisionService",
        1 => "pdp.v1.PolicyService",
        _ => "pdp.v1.SessionService",
    };
}

impl<const N: usize> Service<http::Request<Body>> for Door<N> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let server = self.0.clone();
        let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
        let with_token = request.headers().contains_key("authorization");
        let asked = Asked { method: method.clone(), with_token, request_id: String::new() };
        server.0.asked.send_modify(|all| all.push(asked));
        let mut unanswered = Unanswered(Some(server.clone()));
        Box::pin(async move {
            let answer = match method.as_str() {
                "Check" => unary(request, move |asked| server.clone().check(asked)).await,
                "ListResources" => unary(request, move |asked| server.clone().list(asked)).await,
                "Apply" => unary(request, move |asked| server.clone().apply(asked)).await,
                "Close" => unary(request, move |asked| server.clone().close(asked)).await,
                "Watch" => {
                    Grpc::new(ProstCodec::default()).server_streaming(Watching, request).await
                }
                _ => Status::unimplemented("there is no such method").into_http(),
            };
            unanswered.end();
            Ok(answer)
        })
    }
}

/// An answer to one message.
struct Answering<F>(F);

impl<Req, Res, F, Sent> UnaryService<Req> for Answering<F>
where
    F: FnMut(Req) -> Sent,
    Sent: Future<Output = Result<Res, Status>> + Send + 'static,
{
    type Response = Res;
    type Future = BoxFuture<Response<Res>, Status>;

    fn call(&mut self, request: Request<Req>) -> Self::Future {
        let answer = (self.0)(request.into_inner());
        Box::pin(async move { answer.await.map(Response::new) })
    }
}

async fn unary<Req, Res, Sent>(
    request: http::Request<Body>,
    answer: impl FnMut(Req) -> Sent,
) -> http::Response<Body>
where
    Req: prost::Message + Default + Send + 'static,
    Res: prost::Message + Send + 'static,
    Sent: Future<Output = Result<Res, Status>> + Send + 'static,
{
    Grpc::new(ProstCodec::default()).unary(Answering(answer), request).await
}

/// Says where the policy is, and then nothing more.
struct Watching;

impl ServerStreamingService<v1::PolicyServiceWatchRequest> for Watching {
    type Response = v1::PolicyServiceWatchResponse;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<Self::Response, Status>> + Send>>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, _: Request<v1::PolicyServiceWatchRequest>) -> Self::Future {
        let position = Some(v1::PolicyPosition { revision: 7, mark: Vec::new() });
        let event = Some(Event::Heartbeat(v1::PolicyHeartbeat { position, latest: 7 }));
        let told = tokio_stream::once(Ok(v1::PolicyServiceWatchResponse { event }));
        let messages: Self::ResponseStream = Box::pin(told.chain(tokio_stream::pending()));
        Box::pin(async move { Ok(Response::new(messages)) })
    }
}
