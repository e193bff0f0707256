//! The server that a sidecar follows, as it is asked: what callers send is passed on as it came.

use std::convert::Infallible;
use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::header::{AUTHORIZATION, HOST};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request as HttpRequest, Response as HttpResponse, Uri};
use http_body::{Frame, SizeHint};
use pdp_proto::v1::policy_service_client::PolicyServiceClient;
use prost::bytes::Bytes;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codegen::BoxFuture;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, TimeoutExpired};
use tower::Service;

use super::super::deciding::{BATCH_CHECK, CHECK, CHECK_STREAM};
use super::super::failure::Failure;
use super::super::patience::timeout;
use super::AsBytes;
use crate::callers::Denied;
use crate::config;
use crate::connection::told_to_stop;
use crate::connector::{ConnectError, Trust, connect};
use crate::reload::{LOOK_INTERVAL, Watched};
use crate::tls::read_at_most;

/// Where a decision is asked for: the sidecar vouches for those who have no credentials.
const VOUCHED_FOR: [&str; 4] =
    [CHECK, BATCH_CHECK, CHECK_STREAM, "/envoy.service.auth.v3.Authorization/Check"];

/// What goes on for as long as it is let, and ends when the sidecar stops.
const ENDLESS: [&str; 3] = [
    "/pdp.v1.DecisionService/WatchPermissions",
    "/pdp.v1.PolicyService/Watch",
    "/pdp.v1.SessionService/WatchRevocations",
];

/// How large an answer of the server may be, in bytes: what `max_message_bytes` may be there.
const MAX_ANSWER_BYTES: usize = 1 << 30;

/// How large the file of a token may be, in bytes.
const MAX_TOKEN_BYTES: usize = 64 << 10;

/// The server.
#[derive(Clone)]
pub(super) struct Server {
    /// What callers send goes over connections of its own, so that one who does not read keeps nobody else
    /// waiting for long: decisions over one, everything else over another.
    decisions: Channel,
    rest: Channel,
    /// What the sidecar follows.
    follows: Channel,
    own: Arc<Own>,
    stopped: watch::Receiver<bool>,
}

/// What proves the sidecar itself.
struct Own {
    /// The connection shows a certificate, which proves whatever is sent over it without a token.
    certificate: bool,
    file: Option<PathBuf>,
    token: ArcSwapOption<HeaderValue>,
}

/// An answer that ends when the sidecar stops.
struct Ending {
    body: Body,
    stop: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    ended: bool,
}

// === impl Server ===

impl Server {
    /// Connects once something is asked. A token that cannot be read now is there later, or never.
    pub(super) fn new(
        settings: &config::Sidecar,
        stopped: watch::Receiver<bool>,
    ) -> Result<Self, ConnectError> {
        let client = settings.client.as_ref().map(|(cert, key)| (cert.as_path(), key.as_path()));
        let trust = Trust { ca: settings.ca.as_deref(), client };
        let connect = connect(("follow", &settings.follow), trust)?;
        let own = Own {
            certificate: settings.client.is_some(),
            file: settings.token_file.clone(),
            token: ArcSwapOption::empty(),
        };
        let (decisions, rest, follows) = (connect(), connect(), connect());
        let server = Self { decisions, rest, follows, own: Arc::new(own), stopped };
        // The first question is not to go without it.
        server.own.file.iter().for_each(|file| server.read_token(file));
        Ok(server)
    }

    /// Asks about the policy, as the sidecar itself.
    pub(super) fn policies(&self) -> PolicyServiceClient<Channel> {
        PolicyServiceClient::new(self.follows.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// A request of the sidecar's own.
    pub(super) fn own<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = self.own.token.load().as_deref() {
            let mut headers = request.metadata().clone().into_headers();
            headers.insert(AUTHORIZATION, token.clone());
            *request.metadata_mut() = tonic::metadata::MetadataMap::from_headers(headers);
        }
        request
    }

    /// Asks what a caller asked, in the bytes that it came in.
    pub(super) async fn ask(
        &self,
        path: &'static str,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Status> {
        let (metadata, _, message) = request.into_parts();
        let request = Request::from_parts(metadata, http::Extensions::new(), message);
        let mut grpc = Grpc::new(self.clone()).max_decoding_message_size(MAX_ANSWER_BYTES);
        let answered = grpc.unary(request, PathAndQuery::from_static(path), AsBytes).await;
        answered.map_err(|status| match status.source() {
            // What the server says has none: the answer broke off.
            Some(_) => unreachable(&status).into(),
            None => status,
        })
    }

    /// Passes a request on, with what proves its caller, and the answer back.
    async fn pass_on(self, mut request: HttpRequest<Body>) -> HttpResponse<Body> {
        let path = request.uri().path().to_owned();
        if !request.headers().contains_key(AUTHORIZATION) {
            if VOUCHED_FOR.contains(&path.as_str()) {
                if let Some(token) = self.own.token.load().as_deref() {
                    request.headers_mut().insert(AUTHORIZATION, token.clone());
                }
            } else if self.own.certificate {
                return Status::from(Failure::Unauthenticated(Denied::Missing)).into_http();
            }
        }
        let patience = timeout(request.headers());
        request.headers_mut().remove(HOST);
        request.extensions_mut().clear();
        // Where it goes to the channel knows.
        let to = request.uri().path_and_query().cloned();
        *request.uri_mut() = to.map(Uri::from).unwrap_or_default();
        let unary = [CHECK, BATCH_CHECK].contains(&path.as_str());
        let mut channel = if unary { self.decisions } else { self.rest };
        let sent = async {
            poll_fn(|context| channel.poll_ready(context)).await?;
            channel.call(request).await
        };
        match sent.await {
            Ok(response) if ENDLESS.contains(&path.as_str()) => {
                let stop: Pin<Box<dyn Future<Output = ()> + Send>> =
                    Box::pin(told_to_stop(self.stopped));
                response.map(|body| Body::new(Ending { body, stop: Some(stop), ended: false }))
            }
            Ok(response) => response,
            Err(error) => Status::from(unanswered(&error, patience)).into_http(),
        }
    }

    /// Reads the sidecar's token, and again whenever its file changes, for as long as it is polled.
    pub(super) async fn reread(self) {
        let Some(file) = self.own.file.clone() else { return };
        let mut watched = Watched::new(vec![file.clone()]);
        let mut ticks = tokio::time::interval(LOOK_INTERVAL);
        loop {
            ticks.tick().await;
            if watched.changed() {
                self.read_token(&file);
            }
        }
    }

    /// Reads the sidecar's token. Where there is none the one before it stays.
    fn read_token(&self, file: &Path) {
        match token_in(file) {
            Ok(token) => self.own.token.store(Some(Arc::new(token))),
            Err(problem) => {
                tracing::error!(file = %file.display(), problem, "the token of the sidecar is not read");
            }
        }
    }
}

impl Service<HttpRequest<Body>> for Server {
    type Response = HttpResponse<Body>;
    type Error = Infallible;
    type Future = BoxFuture<HttpResponse<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The channel is waited for with the request, so that a server that is gone is told as what it is.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<Body>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move { Ok(server.pass_on(request).await) })
    }
}

/// The header that a token makes. What the file holds is told nobody.
fn token_in(file: &Path) -> Result<HeaderValue, &'static str> {
    let text = read_at_most(file, MAX_TOKEN_BYTES).map_err(|_| "it cannot be read")?;
    let text = text.ok_or("it has more than 64 KiB")?;
    let text = std::str::from_utf8(&text).map_err(|_| "it is no text")?.trim();
    if text.is_empty() {
        return Err("it is empty");
    }
    let value = HeaderValue::try_from(format!("Bearer {text}"));
    let mut value = value.map_err(|_| "it is no token")?;
    value.set_sensitive(true);
    Ok(value)
}

/// Why there is no answer: its caller has no more time, or there is no way to the server.
fn unanswered(error: &(dyn std::error::Error + 'static), patience: Option<Duration>) -> Failure {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let (true, Some(after)) = (error.is::<TimeoutExpired>(), patience) {
            return Failure::DeadlineExceeded { after };
        }
        cause = error.source();
    }
    unreachable(error)
}

fn unreachable(error: &dyn std::error::Error) -> Failure {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    Failure::Unreachable(text)
}

// === impl Ending ===

impl http_body::Body for Ending {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.stop.as_mut().is_some_and(|stop| stop.as_mut().poll(context).is_ready()) {
            (self.stop, self.ended) = (None, true);
            let mut trailers = http::HeaderMap::new();
            // The headers of an answer have gone before, so that this is what its caller is told.
            Status::from(Failure::ShuttingDown).add_header(&mut trailers).ok();
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
