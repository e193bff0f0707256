//! A panic in a handler becomes `INTERNAL`: the caller learns that there is no answer, and the
//! connection and everybody else's requests live on.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::{CatchUnwind, Map};
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::failure::Failure;

/// Puts [`CatchPanic`] around a service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CatchPanicLayer;

/// Answers for a service that panics.
#[derive(Debug, Clone)]
pub(crate) struct CatchPanic<S>(S);

type Caught<E> = Result<Result<Response<Body>, E>, Box<dyn Any + Send>>;

// === impl CatchPanicLayer ===

impl<S> Layer<S> for CatchPanicLayer {
    type Service = CatchPanic<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CatchPanic(inner)
    }
}

// === impl CatchPanic ===

impl<S, B> Service<Request<B>> for CatchPanic<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Map<
        CatchUnwind<AssertUnwindSafe<S::Future>>,
        fn(Caught<S::Error>) -> Result<Response<Body>, S::Error>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // A handler shares nothing that a panic could leave half-changed but the publisher, which
        // refuses to build upon such a state itself.
        AssertUnwindSafe(self.0.call(request)).catch_unwind().map(answer::<S::Error>)
    }
}

fn answer<E>(caught: Caught<E>) -> Result<Response<Body>, E> {
    caught.unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "of an unknown kind".to_owned());
        tracing::error!(panic = message, "a handler panicked");
        Ok(Status::from(Failure::Internal).into_http())
    })
}
