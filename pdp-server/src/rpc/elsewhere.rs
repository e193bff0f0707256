//! RPCs that are not for the deciding threads. Reading their messages, the work, and making the bytes
//! of their answers all happen on the threads of everything else; a deciding thread only passes the
//! bytes on, so that an export or a large list costs it no more than their copying.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::response::Parts;
use http::{HeaderMap, Request, Response};
use http_body::{Body as _, Frame};
use prost::bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tonic::server::NamedService;
use tower::Service;

use super::Door;
use super::failure::Failure;
use super::patience::patience_of;

/// How many frames of an answer may wait for a slow caller before the one who makes them waits too.
const WAITING_FRAMES: usize = 2;

/// A service that runs elsewhere.
#[derive(Clone)]
pub(super) struct Elsewhere<S> {
    service: S,
    there: Handle,
    /// The door whose policy is waited for, where only decisions are made yet.
    door: Option<Arc<Door>>,
}

/// An answer that is being made elsewhere.
struct Passed {
    frames: mpsc::Receiver<Passing>,
    ended: bool,
    _work: Wanted<()>,
}

enum Passing {
    Frame(Result<Frame<Bytes>, Status>),
    /// Nothing is missing.
    End,
}

/// Work that ends when nobody waits for it.
pub(crate) struct Wanted<T>(pub(crate) tokio::task::JoinHandle<T>);

// === impl Elsewhere ===

impl<S> Elsewhere<S> {
    /// A service that runs there.
    pub(super) fn new(service: S, there: &Handle) -> Self {
        Self { service, there: there.clone(), door: None }
    }

    /// The same for a service that needs more of the policy than decisions do: it waits for that, as long as a
    /// request may.
    pub(super) fn once_loaded(door: &Arc<Door>, service: S, there: &Handle) -> Self {
        Self { service, there: there.clone(), door: Some(Arc::clone(door)) }
    }
}

impl<S: NamedService> NamedService for Elsewhere<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Elsewhere<S>
where
    S: Service<
            Request<Body>,
            Response = Response<Body>,
            Error = Infallible,
            Future = BoxFuture<Response<Body>, Infallible>,
        > + Clone
        + Send
        + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (begin, begun) = oneshot::channel();
        let loaded = self.door.clone().map(|door| loaded(door, request.headers()));
        let work = self.service.call(request);
        let work = self.there.spawn(async move {
            let starting = match loaded {
                Some(loaded) => loaded.await.err(),
                None => None,
            };
            let response = match starting {
                Some(starting) => Status::from(starting).into_http(),
                None => {
                    let Ok(response) = work.await;
                    response
                }
            };
            pass(response, begin).await;
        });
        let mut work = Wanted(work);
        Box::pin(async move {
            if let Ok((head, frames)) = begun.await {
                let body = Passed { frames, ended: false, _work: work };
                return Ok(Response::from_parts(head, Body::new(body)));
            }
            // There is no answer: the work has panicked, or its threads are gone.
            match (&mut work.0).await {
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) | Ok(()) => Ok(Status::from(Failure::ShuttingDown).into_http()),
            }
        })
    }
}

/// Waits for the policy where only decisions are made yet, as long as a request with these headers may.
fn loaded(
    door: Arc<Door>,
    headers: &HeaderMap,
) -> impl Future<Output = Result<(), Failure>> + use<> {
    let patience = patience_of(headers, door.max_wait);
    async move {
        tokio::time::timeout(patience, door.loaded()).await.map_err(|_elapsed| Failure::Starting)
    }
}

/// Passes an answer on, piece by piece, as its caller takes it.
async fn pass(response: Response<Body>, begin: oneshot::Sender<(Parts, mpsc::Receiver<Passing>)>) {
    let (head, mut body) = response.into_parts();
    let (pass, frames) = mpsc::channel(WAITING_FRAMES);
    if begin.send((head, frames)).is_err() {
        return;
    }
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if pass.send(Passing::Frame(frame)).await.is_err() {
            return;
        }
    }
    pass.send(Passing::End).await.ok();
}

// === impl Passed ===

impl http_body::Body for Passed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let passing = ready!(self.frames.poll_recv(context));
        if let Some(Passing::Frame(frame)) = passing {
            return Poll::Ready(Some(frame));
        }
        self.ended = true;
        // Whoever makes it has panicked: a part of an answer is no answer.
        let cut = passing.is_none().then(|| Err(Failure::Internal.into()));
        Poll::Ready(cut)
    }
}

// === impl Wanted ===

impl<T> Drop for Wanted<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, StreamBody};
    use tokio_stream::StreamExt as _;

    use super::*;

    /// Answers with the name of the thread that made the answer, or otherwise by its path.
    #[derive(Clone)]
    struct Told(Arc<()>);

    impl Service<Request<Body>> for Told {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = BoxFuture<Response<Body>, Infallible>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            let held = Arc::clone(&self.0);
            let path = request.uri().path().to_owned();
            let piece = move |n: u32| {
                let _held = &held;
                let thread = std::thread::current().name().unwrap_or_default().to_owned();
                assert!(n < 1 || path != "/cut", "told to");
                Ok::<_, Status>(Frame::data(Bytes::from(thread)))
            };
            let path = request.uri().path().to_owned();
            Box::pin(async move {
                assert!(path != "/panics", "told to");
                let many = if path == "/endless" { u32::MAX } else { 2 };
                let pieces = tokio_stream::iter(0..many).map(piece);
                Ok(Response::new(Body::new(StreamBody::new(pieces))))
            })
        }
    }

    async fn ask(service: &Told, path: &str) -> Response<Body> {
        let there = Handle::current();
        let mut service = Elsewhere::new(service.clone(), &there);
        let request = Request::get(path).body(Body::empty()).unwrap();
        service.call(request).await.unwrap()
    }

    /// Runs on a runtime whose threads are not the one that asks.
    fn beside<T>(ask: impl Future<Output = T>) -> T {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).thread_name("there").build().unwrap().block_on(ask)
    }

    #[test]
    fn an_answer_is_made_elsewhere() {
        beside(async {
            let told = Told(Arc::default());
            let text = ask(&told, "/goes").await.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(text, "therethere");
        });
    }

    #[test]
    fn an_answer_that_is_cut_short_is_an_error() {
        beside(async {
            let told = Told(Arc::default());
            let cut = ask(&told, "/cut").await.into_body().collect().await;
            assert_eq!(cut.unwrap_err().code(), tonic::Code::Internal);
        });
    }

    #[test]
    #[should_panic(expected = "told to")]
    fn a_panic_comes_back_to_who_asked() {
        beside(async {
            drop(ask(&Told(Arc::default()), "/panics").await);
        });
    }

    #[test]
    fn work_that_nobody_waits_for_ends() {
        beside(async {
            let told = Told(Arc::default());
            let mut endless = ask(&told, "/endless").await.into_body();
            endless.frame().await.unwrap().unwrap();
            assert_eq!(Arc::strong_count(&told.0), 2);
            drop(endless);
            while Arc::strong_count(&told.0) > 1 {
                tokio::task::yield_now().await;
            }
        });
    }
}
