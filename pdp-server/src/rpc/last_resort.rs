//! Errors that no handler has worded. A panic in a handler becomes `INTERNAL`: the caller learns
//! that there is no answer, and the connection and everybody else's requests live on. A message
//! that could not be read gets the code and the details that every other malformed request gets.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::{CatchUnwind, Map};
use http::{Request, Response};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::failure::Failure;
use super::malformed::Malformed;

/// The header that details travel in.
const DETAILS: &str = "grpc-status-details-bin";

/// Puts [`LastResort`] around a service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LastResortLayer;

/// Answers for a service that panics or gives a bare error.
#[derive(Debug, Clone)]
pub(crate) struct LastResort<S>(S);

type Caught<E> = Result<Result<Response<Body>, E>, Box<dyn Any + Send>>;

// === impl LastResortLayer ===

impl<S> Layer<S> for LastResortLayer {
    type Service = LastResort<S>;

    fn layer(&self, inner: S) -> Self::Service {
        LastResort(inner)
    }
}

// === impl LastResort ===

impl<S, B> Service<Request<B>> for LastResort<S>
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
    match caught {
        Ok(answered) => answered.map(|response| worded(&response).unwrap_or(response)),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            let panic = text.unwrap_or_else(|| "of an unknown kind".to_owned());
            tracing::error!(panic, "a handler panicked");
            Ok(Status::from(Failure::Internal).into_http())
        }
    }
}

/// The same error with details, if a response is an error that came from reading the message.
/// INVARIANT: every error of this server's own has details.
fn worded(response: &Response<Body>) -> Option<Response<Body>> {
    let headers = response.headers();
    if !headers.contains_key(Status::GRPC_STATUS) || headers.contains_key(DETAILS) {
        return None;
    }
    let status = Status::from_header_map(headers)?;
    Some(Status::from(unreadable(&status)?).into_http())
}

/// What an error that came from reading a message is: the caller's mistake. `None` for another error.
pub(super) fn unreadable(status: &Status) -> Option<Failure> {
    if !status.details().is_empty() {
        return None;
    }
    match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => {
            Some(Failure::MessageTooLarge(status.message().to_owned()))
        }
        Code::Internal => Some(Failure::Malformed(Malformed::new("", status.message()))),
        _ => None,
    }
}
