//! Which of several servers is asked: one that can be reached, and of two such that are drawn the one with
//! fewer calls in flight. Nothing here knows what is asked.

mod ejection;
mod health_watch;
mod subchannel;

pub use ejection::Ejection;
pub(crate) use subchannel::Subchannel;

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::call::Error;
use crate::credentials::Authorization;

/// How many servers a client has at most: which of them are healthy is one word of the machine.
pub const MAX_ENDPOINTS: usize = 64;

/// What is added to the state of the draws for each, as SplitMix64 does.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The servers of a client.
#[derive(Debug)]
pub(crate) struct Balancer {
    first: Arc<Subchannel>,
    all: Box<[Arc<Subchannel>]>,
    ejection: Ejection,
    begun: Instant,
    draws: AtomicU64,
    watches: Vec<AbortHandle>,
}

/// What a server is wanted for. The two are balanced apart: a stream may be idle for hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    Call,
    Stream,
}

/// Which servers were asked already.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tried(u64);

/// The server that the pages of a list come from: a page token is of one revision, and another server may not
/// have come to it. Shared by those who read the list.
#[derive(Debug, Clone)]
pub(crate) struct Stay(Arc<AtomicUsize>);

/// A server that was picked. It counts as in use until this is dropped.
#[derive(Debug)]
pub(crate) struct Picked {
    subchannel: Arc<Subchannel>,
    index: usize,
    load: Load,
    /// What becomes of it matters for the next pick; `None` where there is no other.
    ejection: Option<(Ejection, Instant)>,
}

// === impl Balancer ===

impl Balancer {
    /// Of one server or more.
    pub(crate) fn new(first: Subchannel, others: Vec<Subchannel>, ejection: Ejection) -> Self {
        let first = Arc::new(first);
        let all = std::iter::once(Arc::clone(&first)).chain(others.into_iter().map(Arc::new));
        Self {
            all: all.collect(),
            first,
            ejection,
            begun: Instant::now(),
            // Without randomness clients begin with the same server, and go on apart.
            draws: AtomicU64::new(getrandom::u64().unwrap_or_default()),
            watches: Vec::new(),
        }
    }

    /// Begins to watch the health of each server, where there are several.
    pub(crate) fn watch_health(&mut self, authorization: &Arc<Authorization>) {
        if self.all.len() < 2 {
            return;
        }
        let watches = self.all.iter().map(|subchannel| {
            let (subchannel, authorization) = (Arc::clone(subchannel), Arc::clone(authorization));
            let watch = health_watch::watch(subchannel, authorization, self.ejection);
            tokio::spawn(watch).abort_handle()
        });
        self.watches = watches.collect();
    }

    /// The servers, in the order in which they were named.
    pub(crate) fn subchannels(&self) -> &[Arc<Subchannel>] {
        &self.all
    }

    /// A server to ask: one that is healthy and was not asked yet, where there is such a one. Where none is
    /// healthy, any: what is known of them may be old.
    pub(crate) fn pick(&self, load: Load, tried: &mut Tried, stay: Option<&Stay>) -> Picked {
        if self.all.len() == 1 {
            return self.picked(0, load, tried);
        }
        let everything = u64::MAX >> (MAX_ENDPOINTS - self.all.len());
        if everything & !tried.0 == 0 {
            *tried = Tried::default();
        }
        let (healthy, fresh) = (self.healthy(), everything & !tried.0);
        let index = stay
            .and_then(|stay| self.admitted_one(stay.0.load(Ordering::Relaxed), healthy & fresh))
            .or_else(|| self.admitted(healthy & fresh, load))
            .or_else(|| self.admitted(healthy, load))
            .or_else(|| self.drawn(fresh, load));
        self.picked(index.unwrap_or(0), load, tried)
    }

    /// Every server.
    pub(crate) fn each(&self, load: Load) -> impl Iterator<Item = Picked> {
        (0..self.all.len()).map(move |index| self.picked(index, load, &mut Tried::default()))
    }

    /// A healthy server that was not asked yet, if there is one.
    pub(crate) fn pick_another(&self, load: Load, tried: &mut Tried) -> Option<Picked> {
        let index = self.admitted(self.healthy() & !tried.0, load)?;
        Some(self.picked(index, load, tried))
    }

    /// Whether there is a healthy server that was not asked yet.
    pub(crate) fn has_another(&self, tried: Tried) -> bool {
        self.all.len() > 1 && self.healthy() & !tried.0 != 0
    }

    fn picked(&self, index: usize, load: Load, tried: &mut Tried) -> Picked {
        tried.0 |= 1 << index;
        let subchannel = Arc::clone(self.all.get(index).unwrap_or(&self.first));
        subchannel.in_use(load).fetch_add(1, Ordering::Relaxed);
        let ejection = (self.all.len() > 1).then_some((self.ejection, self.begun));
        Picked { subchannel, index, load, ejection }
    }

    /// A bit for each server that may be asked.
    fn healthy(&self) -> u64 {
        let now = self.begun.elapsed();
        let healthy = |mask: u64, (index, subchannel): (usize, &Arc<Subchannel>)| {
            mask | u64::from(subchannel.is_healthy(now)) << index
        };
        self.all.iter().enumerate().fold(0, healthy)
    }

    /// One of these, unless others try those that were left out.
    fn admitted(&self, mut among: u64, load: Load) -> Option<usize> {
        loop {
            let index = self.drawn(among, load)?;
            if self.admitted_one(index, among).is_some() {
                return Some(index);
            }
            among &= !(1 << index);
        }
    }

    fn admitted_one(&self, index: usize, among: u64) -> Option<usize> {
        let among = index < MAX_ENDPOINTS && among & 1 << index != 0;
        let subchannel = self.all.get(index).filter(|_| among)?;
        let (now, part) = (self.begun.elapsed(), self.part());
        subchannel.admit(now, |failures| self.ejection.pause(failures, part)).then_some(index)
    }

    /// The power of two choices: of two that are drawn, the one with less to do.
    fn drawn(&self, among: u64, load: Load) -> Option<usize> {
        let count = among.count_ones();
        if count < 2 {
            return nth(among, 0);
        }
        let draw = self.draw();
        let one = nth(among, below(draw, count))?;
        let other = nth(among & !(1 << one), below(draw >> 32, count - 1))?;
        let in_use = |index: usize| {
            let subchannel = self.all.get(index).unwrap_or(&self.first);
            subchannel.in_use(load).load(Ordering::Relaxed)
        };
        Some(if in_use(other) < in_use(one) { other } else { one })
    }

    /// A number from 0 to 1.
    fn part(&self) -> f64 {
        f64::from(low(self.draw())) / f64::from(u32::MAX)
    }

    /// The next of the numbers that SplitMix64 gives. They decide about load only.
    fn draw(&self) -> u64 {
        let state = self.draws.fetch_add(GOLDEN, Ordering::Relaxed);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        for watch in &self.watches {
            watch.abort();
        }
    }
}

// === impl Stay ===

impl Stay {
    /// Nowhere yet.
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicUsize::new(usize::MAX)))
    }

    /// The next page is asked for here, too.
    pub(crate) fn at(&self, picked: &Picked) {
        self.0.store(picked.index, Ordering::Relaxed);
    }
}

// === impl Picked ===

impl Picked {
    /// Notes what became of a call: a server that cannot be reached is left out for a while.
    pub(crate) fn note<T>(&self, result: Result<&T, &Error>) {
        let Some((ejection, begun)) = self.ejection else { return };
        match result {
            Err(error) if error.is_away() => {
                let part = crate::call::random_part();
                let pause = |failures| ejection.pause(failures, part);
                self.subchannel.eject(begun.elapsed(), pause, error.retry_delay());
            }
            // Says nothing of the server.
            Err(Error::DeadlineExceeded { .. } | Error::Setting { .. }) => {}
            Ok(_) | Err(_) => self.subchannel.answered(),
        }
    }
}

impl Deref for Picked {
    type Target = Subchannel;

    fn deref(&self) -> &Subchannel {
        &self.subchannel
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        self.subchannel.in_use(self.load).fetch_sub(1, Ordering::Relaxed);
    }
}

/// The number of the bit that is set and has this many others below it.
fn nth(mut mask: u64, n: u32) -> Option<usize> {
    for _ in 0..n {
        mask &= mask.wrapping_sub(1);
    }
    usize::try_from(mask.trailing_zeros()).ok().filter(|_| mask != 0)
}

/// A number below this one, of 32 bits that were drawn.
fn below(drawn: u64, count: u32) -> u32 {
    low((u64::from(low(drawn)) * u64::from(count)) >> 32)
}

fn low(word: u64) -> u32 {
    u32::try_from(word & u64::from(u32::MAX)).unwrap_or_default()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
