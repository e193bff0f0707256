//! Handlers that take their time. They run on the threads of everything else, whose pool has what blocks
//! in them; the thread that decides only passes the request and the answer on.

use std::convert::Infallible;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tower::{Layer, Service};

use super::authzen::Refused;
use crate::rpc::{Failure, Wanted};

/// Has a handler run there.
#[derive(Clone)]
pub(super) struct ElsewhereLayer(pub(super) Handle);

/// A handler that runs elsewhere.
#[derive(Clone)]
pub(super) struct Elsewhere<S> {
    handler: S,
    there: Handle,
}

// === impl ElsewhereLayer ===

impl<S> Layer<S> for ElsewhereLayer {
    type Service = Elsewhere<S>;

    fn layer(&self, handler: S) -> Elsewhere<S> {
        Elsewhere { handler, there: self.0.clone() }
    }
}

// === impl Elsewhere ===

impl<S> Service<Request> for Elsewhere<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.handler.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let mut work = Wanted(self.there.spawn(self.handler.call(request)));
        Box::pin(async move {
            match (&mut work.0).await {
                Ok(answer) => answer,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                // Its threads are gone.
                Err(_) => Ok(Refused::from(Failure::ShuttingDown).into_response()),
            }
        })
    }
}
