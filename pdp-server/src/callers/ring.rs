//! The keys of one issuer, kept fresh: fetched at the start, from time to time, and when a token names
//! a key that is not among them. That a token makes the server fetch is limited: anybody can send one
//! that names a key of their own invention.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use pdp_bundle::callers::KeySource;
use tokio::sync::{Notify, watch};

use super::fetch::{self, FetchError};
use super::jwks::{KeySet, KeySetError};
use super::standing;
use crate::reload::Stamp;
use crate::telemetry::{Metrics, Reloaded};

/// How often keys are fetched although nobody misses one: a key that was taken back is good no longer
/// than that.
const FETCH_INTERVAL: Duration = Duration::from_secs(300);

/// How often a file of keys is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How long keys are good that could not be fetched anew: a day in which somebody mends it.
const MAX_AGE: Duration = Duration::from_secs(24 * 3_600);

/// How often keys may be fetched because one was missing: so often at once, and then once in
/// [`MISSING_INTERVAL`].
const MISSING_BURST: u32 = 4;
const MISSING_INTERVAL: Duration = Duration::from_secs(10);

/// The keys of an issuer.
pub(super) struct KeyRing {
    source: KeySource,
    set: ArcSwap<Fetched>,
    /// Wakes whoever fetches.
    wanted: Arc<Notify>,
    /// The number of the last fetch that has ended, well or not.
    ended: watch::Sender<u64>,
    allowance: Mutex<Allowance>,
    metrics: Arc<Metrics>,
}

/// A set of keys, and what tells it from every other set there was in this process.
pub(super) struct Fetched {
    pub(super) generation: u64,
    pub(super) keys: KeySet,
    at: Instant,
}

/// How many fetches for a missing key there may be now.
struct Allowance {
    left: u32,
    since: Instant,
    /// One was asked for and has not begun.
    asked: bool,
    /// How many have begun.
    begun: u64,
}

#[derive(Debug, thiserror::Error)]
enum RingError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Set(#[from] KeySetError),
}

/// A number that nothing in this process had before.
pub(super) fn next_generation() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

// === impl KeyRing ===

impl KeyRing {
    /// The keys at a place. They are fetched by a task of the runtime at hand for as long as the ring
    /// is there.
    pub(super) fn keep(source: KeySource, metrics: Arc<Metrics>) -> Arc<Self> {
        let now = Instant::now();
        let none = Fetched { generation: next_generation(), keys: KeySet::default(), at: now };
        let ring = Arc::new(Self {
            source,
            set: ArcSwap::from_pointee(none),
            wanted: Arc::default(),
            ended: watch::Sender::new(0),
            allowance: Mutex::new(Allowance::new(now)),
            metrics,
        });
        tokio::spawn(fetch_on(Arc::downgrade(&ring)));
        ring
    }

    /// Where the keys come from.
    pub(super) const fn source(&self) -> &KeySource {
        &self.source
    }

    /// The keys. None are too old.
    pub(super) fn keys(&self) -> Option<arc_swap::Guard<Arc<Fetched>>> {
        let set = self.set.load();
        (set.at.elapsed() < MAX_AGE).then_some(set)
    }

    /// Which set it is.
    pub(super) fn generation(&self) -> u64 {
        self.set.load().generation
    }

    /// Has the keys fetched because one is missing, and waits for that. `false`, at once, where that
    /// has happened too often.
    pub(super) async fn look_again(&self) -> bool {
        let Some(number) = self.allowance().ask() else { return false };
        let mut ended = self.ended.subscribe();
        self.wanted.notify_one();
        // A fetch that is under way may have begun before the key was there: the one behind it counts.
        let enough = ended.wait_for(|ended| *ended >= number);
        tokio::time::timeout(2 * fetch::TIMEOUT, enough).await.is_ok_and(|ended| ended.is_ok())
    }

    fn allowance(&self) -> std::sync::MutexGuard<'_, Allowance> {
        self.allowance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(&self) {
        let number = self.allowance().begin();
        match self.fetched().await {
            Ok(keys) => {
                let count = keys.len();
                let generation = next_generation();
                self.set.store(Arc::new(Fetched { generation, keys, at: Instant::now() }));
                standing::changed();
                self.metrics.reloaded(Reloaded::IssuerKeys, true);
                tracing::debug!(source = ?self.source, count, "the keys of an issuer were read");
            }
            Err(error) => {
                self.metrics.reloaded(Reloaded::IssuerKeys, false);
                tracing::warn!(source = ?self.source, %error, "the keys of an issuer cannot be read; those that there are stay");
            }
        }
        self.ended.send_replace(number);
    }

    async fn fetched(&self) -> Result<KeySet, RingError> {
        let bytes = match &self.source {
            KeySource::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || fetch::read(&path)).await;
                read.unwrap_or(Err(FetchError::Slow))?
            }
            KeySource::Url { url, ca } => fetch::get(url, ca.as_deref()).await?,
        };
        Ok(KeySet::parse(&bytes)?)
    }
}

impl Drop for KeyRing {
    fn drop(&mut self) {
        // Whoever fetches finds nothing to fetch for.
        self.wanted.notify_one();
    }
}

// === impl Allowance ===

impl Allowance {
    const fn new(since: Instant) -> Self {
        Self { left: MISSING_BURST, since, asked: false, begun: 0 }
    }

    /// The number of the fetch that has what is there now, if there may be one.
    fn ask(&mut self) -> Option<u64> {
        let next = self.begun + 1;
        if self.asked {
            return Some(next);
        }
        let passed = self.since.elapsed().as_millis() / MISSING_INTERVAL.as_millis();
        let more = u32::try_from(passed).unwrap_or(u32::MAX);
        if more > 0 {
            self.left = self.left.saturating_add(more).min(MISSING_BURST);
            self.since = Instant::now();
        }
        self.left = self.left.checked_sub(1)?;
        self.asked = true;
        Some(next)
    }

    fn begin(&mut self) -> u64 {
        self.asked = false;
        self.begun += 1;
        self.begun
    }
}

/// Fetches at once, when a key is missing, and from time to time; a file when it has changed.
async fn fetch_on(ring: Weak<KeyRing>) {
    let mut stamp = None;
    let mut due = true;
    loop {
        let Some(ring) = ring.upgrade() else { return };
        if let KeySource::File(path) = &ring.source {
            let path = path.clone();
            let now = tokio::task::spawn_blocking(move || Stamp::of(&path)).await.ok();
            due |= now != stamp;
            stamp = now;
        }
        if due {
            ring.fetch().await;
        }
        let pause = match &ring.source {
            KeySource::File(_) => LOOK_INTERVAL,
            KeySource::Url { .. } => FETCH_INTERVAL,
        };
        let timed = matches!(ring.source, KeySource::Url { .. });
        let wanted = Arc::clone(&ring.wanted);
        // Nothing else keeps the ring.
        drop(ring);
        due = tokio::time::timeout(pause, wanted.notified()).await.is_ok() || timed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_missing_are_fetched_so_often_and_no_more() {
        let mut allowance = Allowance::new(Instant::now());
        // Whoever misses one while a fetch was asked for waits for that one.
        assert_eq!([allowance.ask(), allowance.ask()], [Some(1), Some(1)]);
        for number in 1..u64::from(MISSING_BURST) {
            assert_eq!(allowance.begin(), number);
            // One that is under way does not count.
            assert_eq!(allowance.ask(), Some(number + 1));
        }
        allowance.begin();
        assert_eq!(allowance.ask(), None);
        allowance.since = Instant::now().checked_sub(MISSING_INTERVAL).unwrap();
        assert!(allowance.ask().is_some());
        allowance.begin();
        assert_eq!(allowance.ask(), None);
    }
}
