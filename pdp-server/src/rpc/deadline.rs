//! How long a request may take: what its caller says (`grpc-timeout`), and never longer than the
//! server lets it. What has had its time before its turn comes is refused unread. The time ends where
//! the answer begins; streams have limits of their own.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::failure::Failure;
use super::patience::timeout;
use crate::connection::{Arrival, IMPORT};
use crate::telemetry::RefusedReason;

/// Puts a [`Deadline`] around a service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeadlineLayer {
    maximum: Duration,
}

/// Ends what takes too long.
#[derive(Debug, Clone)]
pub(crate) struct Deadline<S> {
    inner: S,
    maximum: Duration,
}

pin_project! {
    /// An answer that is waited for.
    pub(crate) struct InTime<F> {
        // `None` where its time was over before it began.
        #[pin]
        answer: Option<F>,
        // When it is too late, and how long that is; `None` where something else says.
        end: Option<(Instant, Duration)>,
        // There once the answer was not there at once.
        alarm: Option<Pin<Box<tokio::time::Sleep>>>,
    }
}

// === impl DeadlineLayer ===

impl DeadlineLayer {
    /// Nothing takes longer.
    pub(crate) const fn new(maximum: Duration) -> Self {
        Self { maximum }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Deadline<S> {
        Deadline { inner, maximum: self.maximum }
    }
}

// === impl Deadline ===

impl<S, B> Service<Request<B>> for Deadline<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = InTime<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let given = timeout(request.headers());
        let now = Instant::now();
        let arrived = request.extensions().get::<Arrival>().map_or(now, |arrival| arrival.at);
        if given.is_some_and(|given| arrived + given <= now) {
            return InTime { answer: None, end: None, alarm: None };
        }
        // An import arrives within `max_import_ms`.
        let end = if request.uri().path() == IMPORT {
            given
        } else {
            Some(given.map_or(self.maximum, |given| given.min(self.maximum)))
        };
        let end = end.map(|length| (arrived + length, length));
        InTime { answer: Some(self.inner.call(request)), end, alarm: None }
    }
}

// === impl InTime ===

impl<F, E> Future for InTime<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let refused = |failure, reason: RefusedReason| {
            let mut response = Status::from(failure).into_http();
            // Counted where the request arrived.
            response.extensions_mut().insert(reason);
            Poll::Ready(Ok(response))
        };
        let this = self.project();
        let Some(answer) = this.answer.as_pin_mut() else {
            return refused(Failure::DeadlineExpired, RefusedReason::DeadlineExpired);
        };
        if let Poll::Ready(answered) = answer.poll(context) {
            return Poll::Ready(answered);
        }
        // Most are answered by now, and need no alarm.
        let Some((end, length)) = *this.end else { return Poll::Pending };
        let sleep = || Box::pin(tokio::time::sleep_until(end.into()));
        ready!(this.alarm.get_or_insert_with(sleep).as_mut().poll(context));
        refused(Failure::DeadlineExceeded { after: length }, RefusedReason::DeadlineExceeded)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{Ready, pending, ready};

    use futures_util::future::Either;
    use tonic::Code;
    use tonic_types::StatusExt as _;

    use super::*;

    /// Answers at once, or never.
    struct Told(bool);

    impl Service<Request<()>> for Told {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = Either<
            Ready<Result<Response<Body>, Infallible>>,
            std::future::Pending<Result<Response<Body>, Infallible>>,
        >;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<()>) -> Self::Future {
            if self.0 {
                Either::Left(ready(Ok(Response::new(Body::empty()))))
            } else {
                Either::Right(pending())
            }
        }
    }

    async fn ask(answers: bool, path: &str, timeout: Option<&str>) -> Option<Status> {
        let mut service = DeadlineLayer::new(Duration::from_millis(5)).layer(Told(answers));
        let mut request = Request::builder().uri(path);
        if let Some(timeout) = timeout {
            request = request.header("grpc-timeout", timeout);
        }
        let answered = service.call(request.body(()).unwrap()).await.unwrap();
        Status::from_header_map(answered.headers())
    }

    #[tokio::test]
    async fn what_is_there_in_time_is_let_through() {
        for timeout in [None, Some("1S"), Some("1H"), Some("nonsense")] {
            assert!(ask(true, "/a.B/C", timeout).await.is_none(), "{timeout:?}");
        }
    }

    #[tokio::test]
    async fn the_shorter_of_both_ends_the_wait() {
        for (timeout, after) in [(None, "5"), (Some("1H"), "5"), (Some("2m"), "2")] {
            let status = ask(false, "/a.B/C", timeout).await.unwrap();
            let info = status.get_details_error_info().unwrap();
            assert_eq!(status.code(), Code::DeadlineExceeded);
            assert_eq!(info.reason, "DEADLINE_EXCEEDED");
            assert_eq!(info.metadata.get("after_ms").map(String::as_str), Some(after));
        }
    }

    #[tokio::test]
    async fn what_is_over_before_it_begins_is_not_begun() {
        let status = ask(true, "/a.B/C", Some("0m")).await.unwrap();
        assert_eq!(status.get_details_error_info().unwrap().reason, "DEADLINE_EXPIRED");
    }

    #[tokio::test]
    async fn an_import_has_its_own_limit() {
        let import = std::pin::pin!(ask(false, IMPORT, None));
        let longer = tokio::time::timeout(Duration::from_millis(50), import).await;
        assert!(longer.is_err());
        assert!(ask(false, IMPORT, Some("2m")).await.is_some());
    }
}
