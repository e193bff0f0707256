//! Streams that the server sends: counted, limited, and ended when the server shuts down. Health
//! and reflection keep their own.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use dashmap::DashMap;
use metrics::Gauge;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::Stream;
use tonic::Status;

use super::failure::Failure;
use super::leave::Lasting;

/// How many messages may wait for a slow caller before the one who makes them waits too.
const WAITING_MESSAGES: usize = 2;

/// The streams that are open. One caller gets half of the places, so that nobody keeps all others from theirs.
#[derive(Clone)]
pub(crate) struct LiveStreams(Arc<Registry>);

struct Registry {
    next: AtomicU64,
    /// How to end each of them.
    open: DashMap<u64, Open>,
    /// Streams without an end are not opened any more.
    closing: AtomicBool,
    maximum: usize,
    gauge: Gauge,
}

struct Open {
    /// Whose it is; empty where nobody is asked who they are.
    caller: Box<str>,
    /// Dropping it ends the stream.
    _end: oneshot::Sender<()>,
    /// It would never end by itself.
    endless: bool,
}

/// One open stream. It ends well only if its maker said so: if the maker is gone without a word,
/// the caller gets an error and not a short answer.
pub(crate) struct LiveStream<T> {
    messages: mpsc::Receiver<Message<T>>,
    cancelled: oneshot::Receiver<()>,
    /// Looked at with each message.
    leave: Option<Lasting>,
    ended: bool,
    _place: Place,
}

/// The maker's end.
pub(crate) struct Sender<T>(mpsc::Sender<Message<T>>);

enum Message<T> {
    Next(T),
    Failed(Failure),
    End,
}

/// A stream's place in the registry, given back when the stream is dropped.
struct Place {
    id: u64,
    registry: Arc<Registry>,
}

/// The caller has gone, or the server is shutting down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

// === impl LiveStreams ===

impl LiveStreams {
    /// No streams yet.
    pub(crate) fn new(maximum: usize, gauge: Gauge) -> Self {
        let next = AtomicU64::new(0);
        let (open, closing) = (DashMap::new(), AtomicBool::new(false));
        Self(Arc::new(Registry { next, open, closing, maximum, gauge }))
    }

    /// Opens a stream that ends by itself.
    pub(crate) fn open<T>(&self, caller: &str) -> Result<(Sender<T>, LiveStream<T>), Failure> {
        self.add(caller, false)
    }

    /// Opens a stream that goes on until its caller leaves or the server shuts down.
    pub(crate) fn open_endless<T>(
        &self,
        caller: &str,
    ) -> Result<(Sender<T>, LiveStream<T>), Failure> {
        let opened = self.add(caller, true)?;
        // Looked at once it is among those that are ended.
        if self.0.closing.load(Ordering::SeqCst) {
            return Err(Failure::ShuttingDown);
        }
        Ok(opened)
    }

    fn add<T>(&self, caller: &str, endless: bool) -> Result<(Sender<T>, LiveStream<T>), Failure> {
        let registry = &self.0;
        let refused =
            |live, maximum| Failure::TooManyStreams { limit: "max_live_streams", live, maximum };
        let live = registry.open.len();
        if live >= registry.maximum {
            return Err(refused(live, registry.maximum));
        }
        let share = registry.maximum.div_ceil(2);
        let its = registry.open.iter().filter(|open| *open.caller == *caller).count();
        if !caller.is_empty() && its >= share {
            return Err(refused(its, share));
        }
        let (sender, messages) = mpsc::channel(WAITING_MESSAGES);
        let (end, cancelled) = oneshot::channel();
        let id = registry.next.fetch_add(1, Ordering::Relaxed);
        registry.open.insert(id, Open { caller: caller.into(), _end: end, endless });
        registry.gauge.increment(1.0);
        let place = Place { id, registry: Arc::clone(registry) };
        Ok((
            Sender(sender),
            LiveStream { messages, cancelled, leave: None, ended: false, _place: place },
        ))
    }

    /// Ends the streams that would never end by themselves, and opens no more of them: nobody waits for
    /// them when the server shuts down. Their callers get `UNAVAILABLE`.
    pub(crate) fn cancel_endless(&self) {
        self.0.closing.store(true, Ordering::SeqCst);
        self.0.open.retain(|_, open| !open.endless);
    }

    /// Ends every stream: their callers get `UNAVAILABLE`.
    pub(crate) fn cancel_all(&self) {
        // Dropping the sender is the signal; the place itself is given back by the stream.
        self.0.open.clear();
    }

    /// How many streams are open.
    pub(crate) fn len(&self) -> usize {
        self.0.open.len()
    }
}

// === impl Sender ===

impl<T> Sender<T> {
    /// Sends a message; waits where the caller is slow, so call it where blocking is allowed.
    pub(crate) fn send(&self, message: T) -> Result<(), Gone> {
        self.0.blocking_send(Message::Next(message)).map_err(|_| Gone)
    }

    /// Sends a message; waits where the caller is slow, without keeping a thread.
    pub(crate) async fn pass(&self, message: T) -> Result<(), Gone> {
        self.0.send(Message::Next(message)).await.map_err(|_| Gone)
    }

    /// Ends the stream with an error; a caller who has gone does not hear it.
    pub(crate) async fn fail(self, failure: Failure) {
        self.0.send(Message::Failed(failure)).await.ok();
    }

    /// Waits until the caller has gone.
    pub(crate) async fn closed(&self) {
        self.0.closed().await;
    }

    /// Says that all has been sent.
    pub(crate) fn finish(self) -> Result<(), Gone> {
        self.0.blocking_send(Message::End).map_err(|_| Gone)
    }
}

// === impl LiveStream ===

impl<T> LiveStream<T> {
    /// The same stream, which ends once its caller has the leave no more.
    pub(super) fn by(self, leave: Lasting) -> Self {
        Self { leave: Some(leave), ..self }
    }
}

impl<T: Unpin> Stream for LiveStream<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if Pin::new(&mut self.cancelled).poll(context).is_ready() {
            self.ended = true;
            return Poll::Ready(Some(Err(Failure::ShuttingDown.into())));
        }
        let Poll::Ready(message) = self.messages.poll_recv(context) else { return Poll::Pending };
        match message {
            Some(Message::Next(message)) => {
                let lost = self.leave.as_mut().and_then(|leave| leave.still().err());
                self.ended = lost.is_some();
                Poll::Ready(Some(lost.map_or(Ok(message), |failure| Err(failure.into()))))
            }
            Some(Message::Failed(failure)) => {
                self.ended = true;
                Poll::Ready(Some(Err(failure.into())))
            }
            Some(Message::End) => {
                self.ended = true;
                Poll::Ready(None)
            }
            None => {
                self.ended = true;
                Poll::Ready(Some(Err(Failure::Internal.into())))
            }
        }
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.open.remove(&self.id);
        self.registry.gauge.decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt as _;
    use tonic::Code;

    use super::*;

    async fn sent(
        sender: Sender<u32>,
        make: impl FnOnce(Sender<u32>) + Send + 'static,
        stream: LiveStream<u32>,
    ) -> Vec<Result<u32, Code>> {
        let maker = tokio::task::spawn_blocking(move || make(sender));
        let items = stream.map(|item| item.map_err(|status| status.code())).collect().await;
        maker.await.ok();
        items
    }

    #[tokio::test]
    async fn a_stream_ends_well_only_if_its_maker_says_so() {
        let streams = LiveStreams::new(4, Gauge::noop());
        let (sender, stream) = streams.add("", false).unwrap();
        let whole = |sender: Sender<u32>| {
            (0..5).try_for_each(|n| sender.send(n)).and_then(|()| sender.finish()).unwrap();
        };
        assert_eq!(sent(sender, whole, stream).await, (0..5).map(Ok).collect::<Vec<_>>());
        let (sender, stream) = streams.add("", false).unwrap();
        let short = |sender: Sender<u32>| sender.send(0).unwrap();
        assert_eq!(sent(sender, short, stream).await, [Ok(0), Err(Code::Internal)]);
        assert_eq!(streams.len(), 0);
    }

    #[tokio::test]
    async fn shutting_down_ends_streams_and_their_makers() {
        let streams = LiveStreams::new(1, Gauge::noop());
        let (sender, stream) = streams.add("", false).unwrap();
        assert!(matches!(
            streams.add::<u32>("", false),
            Err(Failure::TooManyStreams { limit: _, live: 1, maximum: 1 })
        ));
        streams.cancel_all();
        let endless = |sender: Sender<u32>| while sender.send(0).is_ok() {};
        assert_eq!(sent(sender, endless, stream).await, [Err(Code::Unavailable)]);
        assert!(streams.add::<u32>("", false).is_ok());
    }

    #[tokio::test]
    async fn streams_without_an_end_are_ended_first_and_not_opened_again() {
        let streams = LiveStreams::new(4, Gauge::noop());
        let (whole, whole_stream) = streams.add("", false).unwrap();
        let (sender, stream) = streams.add("", true).unwrap();
        streams.cancel_endless();
        let endless = |sender: Sender<u32>| while sender.send(0).is_ok() {};
        assert_eq!(sent(sender, endless, stream).await, [Err(Code::Unavailable)]);
        assert!(matches!(streams.open_endless::<u32>(""), Err(Failure::ShuttingDown)));
        let one = |sender: Sender<u32>| sender.send(0).and_then(|()| sender.finish()).unwrap();
        assert_eq!(sent(whole, one, whole_stream).await, [Ok(0)], "it is finished");
        assert_eq!(streams.len(), 0);
    }

    #[tokio::test]
    async fn one_caller_gets_half_of_the_places() {
        let streams = LiveStreams::new(3, Gauge::noop());
        let open = |caller| streams.add::<u32>(caller, true);
        let (_one, mine) = open("greedy").unwrap();
        let _two = open("greedy").unwrap();
        let refused = open("greedy");
        assert!(matches!(refused, Err(Failure::TooManyStreams { live: 2, maximum: 2, .. })));
        let _other = open("other").unwrap();
        let refused = open("third");
        assert!(matches!(refused, Err(Failure::TooManyStreams { live: 3, maximum: 3, .. })));
        drop(mine);
        open("greedy").unwrap();
    }
}
