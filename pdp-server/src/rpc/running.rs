//! Lists that are being made: so many at a time, and none for a caller who has gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::failure::Failure;

/// How long a list waits for its turn, within its deadline.
pub(crate) const LONGEST_QUEUE: Duration = Duration::from_secs(2);

/// The lists that are being made.
#[derive(Clone)]
pub(crate) struct RunningLists {
    maximum: usize,
    places: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

/// One that waits for its turn.
struct Waiting<'a>(&'a AtomicUsize);

/// A list's place among them. Whoever makes it keeps it, and gives it back when done.
pub(crate) struct Turn {
    gone: Arc<AtomicBool>,
    _place: OwnedSemaphorePermit,
}

/// The caller's end: dropped when the answer is not waited for any more, because the call was
/// cancelled, its deadline has passed or its connection is lost.
pub(crate) struct Caller(Arc<AtomicBool>);

// === impl RunningLists ===

impl RunningLists {
    /// None yet.
    pub(crate) fn new(maximum: usize) -> Self {
        Self { maximum, places: Arc::new(Semaphore::new(maximum)), waiting: Arc::default() }
    }

    /// How many wait for a turn.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Waits for a turn.
    pub(crate) async fn turn(&self, patience: Duration) -> Result<(Turn, Caller), Failure> {
        let _waiting = Waiting::new(&self.waiting);
        let place = tokio::time::timeout(patience, Arc::clone(&self.places).acquire_owned());
        // The semaphore is never closed.
        let Ok(Ok(place)) = place.await else {
            return Err(Failure::TooManyLists { maximum: self.maximum });
        };
        let gone = Arc::new(AtomicBool::new(false));
        Ok((Turn { gone: Arc::clone(&gone), _place: place }, Caller(gone)))
    }
}

// === impl Waiting ===

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Turn ===

impl Turn {
    /// Whether somebody still waits for the answer.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.gone.load(Ordering::Relaxed)
    }
}

// === impl Caller ===

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_list_waits_for_its_turn_and_no_longer_than_told() {
        let lists = RunningLists::new(1);
        let (turn, caller) = lists.turn(Duration::ZERO).await.unwrap();
        let refused = lists.turn(Duration::ZERO).await;
        assert!(matches!(refused, Err(Failure::TooManyLists { .. })));
        // Whether the caller waits or not, the place is taken until the work ends.
        assert!(turn.is_wanted());
        drop(caller);
        assert!(!turn.is_wanted());
        assert!(lists.turn(Duration::ZERO).await.is_err());
        let (next, ()) = tokio::join!(lists.turn(LONGEST_QUEUE), async {
            assert_eq!(lists.waiting(), 1);
            drop(turn);
        });
        assert_eq!(lists.waiting(), 0);
        assert!(next.is_ok_and(|(turn, _caller)| !lists.is_free() && turn.is_wanted()));
        assert!(lists.is_free());
    }

    #[tokio::test]
    async fn a_list_whose_caller_goes_ends() {
        let lists = RunningLists::new(1);
        let (turn, caller) = lists.turn(Duration::ZERO).await.unwrap();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let making = tokio::task::spawn_blocking(move || {
            begun.send(()).unwrap();
            while turn.is_wanted() {
                std::thread::yield_now();
            }
        });
        begins.await.unwrap();
        drop(caller);
        making.await.unwrap();
        assert!(lists.is_free());
    }

    impl RunningLists {
        fn is_free(&self) -> bool {
            self.places.available_permits() > 0
        }
    }
}
