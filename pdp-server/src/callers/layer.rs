//! Where requests of both doors come in: what they need is looked up, who sent them is found out, and
//! the handler is handed both. What has no leave goes no further, and its body is not read.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::{BoxFuture, Either, Ready};
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::asker::{Asker, Forbidden};
use super::table::Need;
use super::{Denied, Found, Gate, Undecided};
use crate::admission::{Held, Shed};
use crate::connection::Arrival;
use crate::rpc::patience_of;

/// What the two doors do each in its own way.
pub(crate) trait Side: Clone + Send + 'static {
    /// What answers are made of.
    type Body;

    /// What a request needs; `None` if it is in no table.
    fn need<B>(request: &Request<B>) -> Option<Need>;

    /// The answer where that is so: as if there were nothing.
    fn unknown() -> Response<Self::Body>;

    /// The answer to somebody who did not prove who they are.
    fn denied(denied: Denied) -> Response<Self::Body>;

    /// The answer to somebody who may not do this.
    fn forbidden(forbidden: Forbidden) -> Response<Self::Body>;

    /// The answer where there is too much to do.
    fn shed(shed: Shed) -> Response<Self::Body>;
}

/// Puts a [`Gated`] around what a door serves.
pub(crate) struct GateLayer<D> {
    gate: Arc<Gate>,
    side: PhantomData<fn() -> D>,
}

/// Serves those who have leave.
pub(crate) struct Gated<S, D> {
    inner: S,
    gate: Arc<Gate>,
    side: PhantomData<fn() -> D>,
}

pin_project! {
    /// The answer to a request, which its caller is held to have in flight until it is there.
    pub(crate) struct Holding<F> {
        #[pin]
        answer: F,
        held: Option<Held>,
    }
}

// === impl GateLayer ===

impl<D> GateLayer<D> {
    pub(crate) const fn new(gate: Arc<Gate>) -> Self {
        Self { gate, side: PhantomData }
    }
}

impl<D> Clone for GateLayer<D> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.gate))
    }
}

impl<S, D> Layer<S> for GateLayer<D> {
    type Service = Gated<S, D>;

    fn layer(&self, inner: S) -> Self::Service {
        Gated { inner, gate: Arc::clone(&self.gate), side: PhantomData }
    }
}

// === impl Gated ===

impl<S: Clone, D> Clone for Gated<S, D> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), gate: Arc::clone(&self.gate), side: PhantomData }
    }
}

type Answered<D, E> = Result<Response<<D as Side>::Body>, E>;

impl<S, B, D> Service<Request<B>> for Gated<S, D>
where
    S: Service<Request<B>, Response = Response<D::Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Send + 'static,
    D: Side,
    D::Body: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<
        Holding<S::Future>,
        Either<Ready<Answered<D, S::Error>>, BoxFuture<'static, Answered<D, S::Error>>>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let no = |response| Either::Right(Either::Left(futures_util::future::ready(Ok(response))));
        let need = match D::need(&request) {
            // Whatever there is to do: health is told.
            Some(Need::Nothing) => {
                return Either::Left(Holding::new(self.inner.call(request), None));
            }
            Some(need) => need,
            None => return no(D::unknown()),
        };
        let arrival = request.extensions().get::<Arrival>();
        if let Some(shed) = arrival.and_then(|arrival| arrival.shed)
            && !need.is_never_shed()
        {
            let refused = refuse::<D>(arrival, shed);
            let Some(Arrival { peer, at, .. }) = arrival.filter(|_| shed.is_of_time()).cloned()
            else {
                return no(refused);
            };
            // Who is told after his deadline takes it for a server that says nothing.
            let at_most = patience_of(request.headers(), peer.load().all().limits().patience);
            // What comes of its body is not kept meanwhile.
            drop(request);
            return Either::Right(Either::Right(Box::pin(async move {
                peer.untold().turn(at, at_most).await;
                Ok(refused)
            })));
        }
        let found = self.gate.find(request.headers(), arrival.map(|arrival| &arrival.peer));
        match found {
            Ok(Found { known, .. }) => {
                match self.gate.hand_over::<B, D>(&mut request, Asker::new(known, need)) {
                    Ok(held) => Either::Left(Holding::new(self.inner.call(request), held)),
                    Err(response) => no(response),
                }
            }
            Err(Undecided::Denied(denied)) => no(self.gate.deny::<B, D>(&request, denied)),
            Err(Undecided::KeyOf(ring)) => {
                let gate = Arc::clone(&self.gate);
                // The one that is ready is used, and the clone is left for the next request.
                let clone = self.inner.clone();
                let mut inner = std::mem::replace(&mut self.inner, clone);
                Either::Right(Either::Right(Box::pin(async move {
                    let (parts, body) = request.into_parts();
                    let peer = parts.extensions.get::<Arrival>().map(|arrival| &arrival.peer);
                    let found = gate.find_anew(ring, &parts.headers, peer).await;
                    let mut request = Request::from_parts(parts, body);
                    let known = match found {
                        Ok(found) => found.known,
                        Err(denied) => return Ok(gate.deny::<B, D>(&request, denied)),
                    };
                    match gate.hand_over::<B, D>(&mut request, Asker::new(known, need)) {
                        Ok(held) => Holding::new(inner.call(request), held).await,
                        Err(response) => Ok(response),
                    }
                })))
            }
        }
    }
}

/// Refuses what there is too much of.
fn refuse<D: Side>(arrival: Option<&Arrival>, shed: Shed) -> Response<D::Body> {
    if let Some(arrival) = arrival {
        arrival.peer.load().all().shed(shed);
    }
    D::shed(shed)
}

// === impl Holding ===

impl<F> Holding<F> {
    const fn new(answer: F, held: Option<Held>) -> Self {
        Self { answer, held }
    }
}

impl<F: Future> Future for Holding<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let answered = ready!(this.answer.poll(context));
        *this.held = None;
        Poll::Ready(answered)
    }
}

// === impl Gate ===

impl Gate {
    fn hand_over<B, D: Side>(
        &self,
        request: &mut Request<B>,
        asker: Asker,
    ) -> Result<Option<Held>, Response<D::Body>> {
        if let Err(forbidden) = asker.could() {
            return Err(self.forbid::<B, D>(request, asker.name(), forbidden));
        }
        let arrival = request.extensions().get::<Arrival>();
        let arrival = arrival.filter(|_| !asker.is_never_shed());
        let held = arrival.map(|Arrival { peer, at, shed: _ }| {
            let quota = asker.quota().unwrap_or_else(|| peer.quota());
            quota.take(*at)
        });
        let held = held.transpose().map_err(D::shed)?;
        request.extensions_mut().insert(asker);
        Ok(held)
    }

    fn deny<B, D: Side>(&self, request: &Request<B>, denied: Denied) -> Response<D::Body> {
        let peer = request.extensions().get::<Arrival>().and_then(|arrival| arrival.peer.address());
        self.failures.refused(denied, request.uri().path(), peer);
        D::denied(denied)
    }

    fn forbid<B, D: Side>(
        &self,
        request: &Request<B>,
        caller: &str,
        forbidden: Forbidden,
    ) -> Response<D::Body> {
        self.failures.forbidden(caller, request.uri().path());
        D::forbidden(forbidden)
    }
}
