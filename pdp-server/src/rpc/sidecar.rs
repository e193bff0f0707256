//! The gRPC door of a sidecar. What it can decide on the policy that it keeps it decides, as the server would;
//! everything else is passed on to the server, and its answer passed back, byte by byte.
//!
//! A sidecar asks nobody who they are: whoever may open its socket is answered. So what is passed on proves no
//! more than its caller did, with one exception: who has no credentials is vouched for by those of the sidecar
//! where a decision is asked for, and nowhere else. They are good for reading the whole policy.

mod follow;
mod here;
mod server;
mod stream;

use std::convert::Infallible;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Request as HttpRequest;
use prost::Message;
use prost::bytes::{Buf as _, BufMut as _, Bytes};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::BoxFuture;
use tonic::server::{Grpc, UnaryService};
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tower::Service;

use super::deciding::{BATCH_CHECK, CHECK, CHECK_STREAM, Deciding};
use super::{Door, Health, ReflectionError};
use crate::config;
use crate::connector::ConnectError;
use crate::publish::Publisher;
use crate::sidecar::Followed;
pub(crate) use follow::Following;
pub(super) use here::answer_group;
use server::Server;
pub(super) use stream::by_itself;

/// What is a sidecar's own: its health, and the descriptions of what it knows of.
const OWN: [&str; 2] = ["/grpc.health.v1.", "/grpc.reflection."];

/// What a sidecar has that a server has not.
#[derive(Clone)]
pub(crate) struct Sidecar {
    followed: Arc<Followed>,
    server: Server,
}

/// Answers requests of all services.
#[derive(Clone)]
pub(crate) struct Front {
    door: Arc<Door>,
    sidecar: Sidecar,
    /// Streams of checks, whose questions are decided one by one.
    streams: Deciding<Server>,
    own: Routes,
}

/// An answer that was made here, or is the server's.
enum Answer<T> {
    Made(T),
    Passed(Bytes),
}

/// Leaves messages in the bytes that they came in, and writes answers.
struct Either<T>(PhantomData<T>);

/// The same where there is nothing but bytes.
struct AsBytes;

/// Decides what it can; `None` where the server has to be asked.
type Here<T> = fn(&Door, &Sidecar, &Request<Bytes>) -> Option<Response<T>>;

/// Answers a request of one of the RPCs that decide.
struct Asked<'a, T> {
    front: &'a Front,
    path: &'static str,
    here: Here<T>,
}

// === impl Sidecar ===

impl Sidecar {
    /// Of the settings. Nothing is asked yet; what is begun goes on until the sidecar stops.
    pub(crate) fn new(
        settings: &config::Sidecar,
        stopped: watch::Receiver<bool>,
        there: &Handle,
    ) -> Result<Self, ConnectError> {
        let followed = Arc::new(Followed::new(&settings.tenants, settings.max_stale));
        // What connects does so on the threads that follow, and on no thread that decides.
        let _entered = there.enter();
        Ok(Self { followed, server: Server::new(settings, stopped)? })
    }

    /// What is known of the server, for the publisher.
    pub(crate) fn followed(&self) -> Arc<Followed> {
        Arc::clone(&self.followed)
    }

    /// Begins to follow.
    pub(crate) fn begin(&self, publisher: Publisher, health: &Health, there: &Handle) -> Following {
        Following::begin(self, publisher, health, there)
    }
}

// === impl Door ===

impl Door {
    /// The services of a sidecar, with health and reflection. What may take its time runs on `rest`.
    pub(crate) fn front(
        self: &Arc<Self>,
        health: &Health,
        sidecar: &Sidecar,
        rest: &Handle,
    ) -> Result<Front, ReflectionError> {
        // Streams look for it there.
        self.sidecar.set(sidecar.clone()).ok();
        let mut routes = Routes::builder();
        self.add_health_and_reflection(&mut routes, health, rest)?;
        Ok(Front {
            door: Arc::clone(self),
            sidecar: sidecar.clone(),
            streams: Deciding::new(self, sidecar.server.clone()),
            own: routes.routes().prepare(),
        })
    }
}

// === impl Front ===

impl Front {
    async fn unary<T: Message + 'static>(
        &self,
        request: HttpRequest<Body>,
        path: &'static str,
        here: Here<T>,
    ) -> http::Response<Body> {
        let mut grpc =
            Grpc::new(Either(PhantomData)).max_decoding_message_size(self.door.max_message_bytes);
        grpc.unary(Asked { front: self, path, here }, request).await
    }
}

impl Service<HttpRequest<Body>> for Front {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // What is passed on waits for its connection where it is passed on.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<Body>) -> Self::Future {
        match request.uri().path() {
            CHECK => {
                let front = self.clone();
                Box::pin(async move { Ok(front.unary(request, CHECK, here::check).await) })
            }
            BATCH_CHECK => {
                let front = self.clone();
                let batch = here::batch_check;
                Box::pin(async move { Ok(front.unary(request, BATCH_CHECK, batch).await) })
            }
            CHECK_STREAM => self.streams.call(request),
            path if OWN.iter().any(|own| path.starts_with(own)) => {
                let mut own = self.own.clone();
                Box::pin(async move { own.call(request).await })
            }
            _ => self.sidecar.server.call(request),
        }
    }
}

impl<T: Send + 'static> UnaryService<Bytes> for Asked<'_, T> {
    type Response = Answer<T>;
    type Future = BoxFuture<Response<Answer<T>>, Status>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let Front { door, sidecar, .. } = self.front;
        if let Some(made) = (self.here)(door, sidecar, &request) {
            return Box::pin(std::future::ready(Ok(made.map(Answer::Made))));
        }
        let (server, path) = (sidecar.server.clone(), self.path);
        Box::pin(async move { Ok(server.ask(path, request).await?.map(Answer::Passed)) })
    }
}

// === impl Either ===

impl<T: Message + 'static> Codec for Either<T> {
    type Encode = Answer<T>;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = AsBytes;

    fn encoder(&mut self) -> Self {
        Self(PhantomData)
    }

    fn decoder(&mut self) -> AsBytes {
        AsBytes
    }
}

impl<T: Message + 'static> Encoder for Either<T> {
    type Item = Answer<T>;
    type Error = Status;

    fn encode(&mut self, item: Answer<T>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        match item {
            // It grows as is needed.
            Answer::Made(made) => {
                made.encode(into).map_err(|error| Status::internal(error.to_string()))
            }
            Answer::Passed(bytes) => {
                into.put(bytes);
                Ok(())
            }
        }
    }
}

// === impl AsBytes ===

impl Codec for AsBytes {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for AsBytes {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for AsBytes {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = from.remaining();
        Ok(Some(from.copy_to_bytes(length)))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}
