//! Streams of checks that are open: counted, limited, ended when nothing goes over them for long, and
//! told when the server stops.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use dashmap::DashMap;
use metrics::Gauge;
use pdp_proto::v1;
use tokio::sync::watch;
use tokio_stream::Stream;
use tonic::Status;

use super::super::failure::Failure;

/// The answers of a stream.
pub(crate) type Answers =
    Pin<Box<dyn Stream<Item = Result<v1::CheckStreamResponse, Status>> + Send>>;

/// The streams that are open.
pub(crate) struct OpenStreams(Arc<Registry>);

struct Registry {
    next: AtomicU64,
    open: DashMap<u64, Weak<Shared>>,
    maximum: usize,
    /// How long nothing may go over a stream.
    idle: Duration,
    closing: watch::Sender<bool>,
    gauge: Gauge,
}

/// One open stream.
pub(crate) struct OpenStream(Arc<Shared>);

struct Shared {
    id: u64,
    registry: Arc<Registry>,
    stream: Mutex<State>,
    /// For how many microseconds nothing has gone over it, as far as that was looked at.
    quiet_us: AtomicU64,
}

enum State {
    /// Whoever waits for the next answer is woken when the stream is ended from outside.
    Open(Answers, Option<Waker>),
    /// Ended from outside, which is not told yet.
    Ended(Failure),
    Over,
}

// === impl OpenStreams ===

impl OpenStreams {
    /// None yet.
    pub(crate) fn new(maximum: usize, idle: Duration, gauge: Gauge) -> Self {
        let (next, open, closing) = (AtomicU64::new(0), DashMap::new(), watch::Sender::new(false));
        Self(Arc::new(Registry { next, open, maximum, idle, closing, gauge }))
    }

    /// Opens a stream, unless there are as many as there may be.
    pub(super) fn open(
        &self,
        answers: impl FnOnce(watch::Receiver<bool>) -> Answers,
    ) -> Result<OpenStream, Failure> {
        let registry = &self.0;
        let (live, maximum) = (registry.open.len(), registry.maximum);
        if live >= maximum {
            return Err(Failure::TooManyStreams { limit: "max_check_streams", live, maximum });
        }
        let closing = registry.closing.subscribe();
        if *closing.borrow() {
            return Err(Failure::ShuttingDown);
        }
        let id = registry.next.fetch_add(1, Ordering::Relaxed);
        let stream = Mutex::new(State::Open(answers(closing), None));
        let registry = Arc::clone(registry);
        let shared = Arc::new(Shared { id, registry, stream, quiet_us: AtomicU64::new(0) });
        self.0.open.insert(id, Arc::downgrade(&shared));
        self.0.gauge.increment(1.0);
        Ok(OpenStream(shared))
    }

    /// Has every stream end once what it has taken is answered, and opens no more.
    pub(crate) fn close(&self) {
        self.0.closing.send_replace(true);
    }

    /// Ends every stream now.
    pub(crate) fn cancel(&self) -> usize {
        self.end(|_| Some(Failure::ShuttingDown))
    }

    /// Ends the streams that nothing goes over, where this is asked so often.
    pub(crate) fn sweep(&self, every: Duration) {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let (every, idle) = (micros(every), micros(self.0.idle));
        self.end(|shared| {
            let quiet = shared.quiet_us.fetch_add(every, Ordering::Relaxed);
            (quiet >= idle).then_some(Failure::StreamIdle { idle: self.0.idle })
        });
    }

    fn end(&self, why: impl Fn(&Shared) -> Option<Failure>) -> usize {
        let live = self.0.open.iter().filter_map(|entry| entry.value().upgrade());
        let ended = live.collect::<Vec<_>>().into_iter().filter(|shared| {
            let why = why(shared);
            let ends = why.is_some();
            why.into_iter().for_each(|why| shared.end(why));
            ends
        });
        ended.count()
    }
}

// === impl OpenStream ===

impl Stream for OpenStream {
    type Item = Result<v1::CheckStreamResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.quiet_us.store(0, Ordering::Relaxed);
        let mut state = self.0.lock();
        let next = match &mut *state {
            State::Open(answers, waker) => {
                let next = answers.as_mut().poll_next(context);
                if next.is_pending()
                    && !waker.as_ref().is_some_and(|it| it.will_wake(context.waker()))
                {
                    *waker = Some(context.waker().clone());
                }
                ready!(next)
            }
            State::Ended(_) | State::Over => match std::mem::replace(&mut *state, State::Over) {
                State::Ended(why) => Some(Err(why.into())),
                State::Open(..) | State::Over => None,
            },
        };
        if !matches!(next, Some(Ok(_))) {
            *state = State::Over;
        }
        Poll::Ready(next)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.leave();
    }
}

// === impl Shared ===

impl Shared {
    /// Ends it, and gives back what it holds, whether its caller still reads or not.
    fn end(&self, why: Failure) {
        let mut state = self.lock();
        if !matches!(*state, State::Open(..)) {
            return;
        }
        let open = std::mem::replace(&mut *state, State::Ended(why));
        drop(state);
        self.leave();
        if let State::Open(answers, Some(waker)) = open {
            drop(answers);
            waker.wake();
        }
    }

    fn leave(&self) {
        if self.registry.open.remove(&self.id).is_some() {
            self.registry.gauge.decrement(1.0);
        }
    }

    /// It goes on where somebody panicked with the lock: what was being answered is gone, and said to be.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.stream.lock().unwrap_or_else(|poisoned| {
            self.stream.clear_poison();
            let mut state = PoisonError::into_inner(poisoned);
            *state = State::Ended(Failure::Internal);
            state
        })
    }
}
