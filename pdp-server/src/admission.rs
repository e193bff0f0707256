//! How much is taken on: requests are counted where they arrive, and what cannot be answered soon is
//! refused before it is read. A server that is asked more than it can do answers what it takes as
//! quickly as before, and tells the others to come again.
//!
//! Nothing here locks or allocates for a request. Each thread counts in cells of its own; what is
//! counted over all of them is one atomic number.

mod quota;
mod refusal;
mod shed;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::telemetry::Metrics;
use crate::threads::rested;
pub(crate) use quota::{Held, Quota, Quotas};
pub(crate) use refusal::Untold;
pub(crate) use shed::Shed;

/// For how long there has to be a queue before it counts as one that stays: a burst that is worked off
/// within that is no overload.
const STANDING: Duration = Duration::from_millis(100);

/// For how long after a refusal no burst is let in, as long as more comes than the thread can do. One that refuses most
/// of what comes has nothing to do now and then, and what comes next is the same overload.
const WARY: Duration = STANDING;

/// How many refusals that are not told make the queue of what is cheap half as long.
const HALVING: u64 = 50;

/// What a thread can do, in hundredths of itself, and how much of it makes it a busy one.
const ALL: u64 = 100;
const BUSY: u64 = 70;

/// How many times `max_queue_ms` those of a burst may wait, and what is cheap.
const BURST: u64 = 10;

/// What has its turn as quickly as that is answered with little more effort than it is refused. The more of it waits
/// the more is read and written at once, so that a short queue makes it dearer.
const CHEAP: Duration = Duration::from_micros(50);

/// Turns count together until they have taken so long: short ones come in bursts, between which the thread reads
/// and writes for all of them.
const TOGETHER: Duration = Duration::from_millis(1);

/// The share of the last turns in the mean of all: one in so many.
const WEIGHT: u64 = 16;

/// How many times the mean the last turns may count as, so that a thread that was set aside once does
/// not pass for one that is slow.
const MOST_OF_MEAN: u64 = 8;

/// What is taken on at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AdmissionLimits {
    /// Requests in flight on a thread that decides, at one door.
    pub(crate) thread_requests: usize,
    /// Requests in flight in all.
    pub(crate) requests: usize,
    /// How long a request may have to wait for its turn.
    pub(crate) queue: Duration,
    /// Requests in flight of one caller.
    pub(crate) caller_requests: usize,
    /// Requests a second of one caller.
    pub(crate) caller_rate: u64,
    /// Bytes of the bodies of requests that have no answer yet.
    pub(crate) buffered_bytes: usize,
    /// How long a refusal may wait to be told, so that it comes before the end of every deadline.
    pub(crate) patience: Duration,
}

/// What all threads count together.
pub(crate) struct Admission {
    limits: AdmissionLimits,
    in_flight: AtomicUsize,
    /// Those of them that are refused and have not been told.
    untold: AtomicUsize,
    buffered_bytes: AtomicUsize,
    /// Instants are counted from here.
    epoch: Instant,
    /// Every thread's. Added to when one begins, and looked at when metrics are read.
    loads: Mutex<Vec<Weak<Load>>>,
    metrics: Arc<Metrics>,
}

/// What one thread has taken on. Its numbers are written by that thread alone, unless requests are
/// served on shared threads; on a cache line of its own, so that threads do not disturb each other.
#[repr(align(128))]
pub(crate) struct Load {
    all: Arc<Admission>,
    in_flight: AtomicUsize,
    /// How many have arrived and not had their turn.
    queued: AtomicUsize,
    /// How many that this thread decides are not answered, be it that their bodies have not come.
    undecided: Undecided,
    demand: Demand,
    /// Until when no burst is let in, in nanoseconds.
    wary_until_ns: AtomicU64,
    /// When nobody waited last, in nanoseconds.
    idle_at_ns: AtomicU64,
    /// When the last one had its turn, in nanoseconds, and whether others waited then.
    turn_at_ns: AtomicU64,
    others_waited: AtomicBool,
    /// How long there is between two turns while there is something to do, in nanoseconds.
    turn_ns: AtomicU64,
    /// How many turns are not in that mean yet, and how long they took.
    last_turns: AtomicU64,
    last_turns_ns: AtomicU64,
    /// How many are refused for want of time and have not been told, and of how many connections.
    untold: AtomicUsize,
    refused_connections: AtomicUsize,
}

/// How much comes to a thread, taken on or not, against what it can do.
#[derive(Default)]
struct Demand {
    /// Since when it is counted, in nanoseconds, and how many have come since.
    since_ns: AtomicU64,
    come: AtomicU64,
    /// What would have to be done in the time before that, in hundredths of what can be.
    percent: AtomicU64,
}

/// Requests that a thread decides and that are not answered, by how long ago they came.
#[derive(Default)]
struct Undecided {
    /// Counts up each time that those of before have had their time.
    generation: AtomicU64,
    /// When that was last, in nanoseconds.
    since_ns: AtomicU64,
    /// Those that came since then, those that came in the generation before, and all that are older.
    new: AtomicUsize,
    old: AtomicUsize,
    late: AtomicUsize,
}

/// A request in flight, until it is dropped.
pub(crate) struct Counted {
    load: Arc<Load>,
    waits: bool,
    /// It is this thread's to decide; with the generation that it came in.
    decides: Option<u64>,
    /// It is refused for want of time.
    untold: bool,
    answered: bool,
}

// === impl Admission ===

impl Admission {
    /// Nothing is in flight yet.
    pub(crate) fn new(limits: AdmissionLimits, metrics: Arc<Metrics>) -> Arc<Self> {
        let [in_flight, untold, buffered_bytes] = [(); 3].map(|()| AtomicUsize::new(0));
        let (epoch, loads) = (Instant::now(), Mutex::default());
        Arc::new(Self { limits, in_flight, untold, buffered_bytes, epoch, loads, metrics })
    }

    /// How many requests are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// How many bytes of them are held.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.buffered_bytes.load(Relaxed)
    }

    /// How many requests wait for their first turn, on all threads.
    pub(crate) fn queued(&self) -> usize {
        let loads = self.loads.lock().unwrap_or_else(PoisonError::into_inner);
        loads.iter().filter_map(Weak::upgrade).map(|load| load.queued.load(Relaxed)).sum()
    }

    /// Takes so many more bytes of a request on.
    pub(crate) fn buffer(&self, bytes: usize) -> Result<(), Shed> {
        let maximum = self.limits.buffered_bytes;
        let before = self.buffered_bytes.fetch_add(bytes, Relaxed);
        if before.saturating_add(bytes) <= maximum {
            return Ok(());
        }
        self.let_go(bytes);
        let shed = Shed::Bytes { maximum };
        self.shed(shed);
        Err(shed)
    }

    /// So many bytes are held no more.
    pub(crate) fn let_go(&self, bytes: usize) {
        self.buffered_bytes.fetch_sub(bytes, Relaxed);
    }

    /// The metrics.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The limits.
    pub(crate) const fn limits(&self) -> &AdmissionLimits {
        &self.limits
    }

    /// Counts a request that is not taken on.
    pub(crate) fn shed(&self, shed: Shed) {
        self.shed_many(shed, 1);
    }

    /// Counts as many as that.
    pub(crate) fn shed_many(&self, shed: Shed, count: u64) {
        self.metrics.shed(shed.label(), count);
    }

    fn nanos(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.epoch))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

// === impl Load ===

impl Load {
    /// Of one more thread.
    pub(crate) fn new(all: &Arc<Admission>) -> Arc<Self> {
        let load = Arc::new(Self {
            all: Arc::clone(all),
            in_flight: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            undecided: Undecided::default(),
            demand: Demand::default(),
            wary_until_ns: AtomicU64::default(),
            idle_at_ns: AtomicU64::default(),
            turn_at_ns: AtomicU64::default(),
            others_waited: AtomicBool::default(),
            turn_ns: AtomicU64::default(),
            last_turns: AtomicU64::default(),
            last_turns_ns: AtomicU64::default(),
            untold: AtomicUsize::default(),
            refused_connections: AtomicUsize::default(),
        });
        all.loads.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&load));
        load
    }

    /// What all threads count together.
    pub(crate) const fn all(&self) -> &Arc<Admission> {
        &self.all
    }

    /// Counts a request that has arrived, and says whether it is one too many; `decides` says that the whole
    /// answer is this thread's work. What else it asks for is not known here: health is answered all the same.
    pub(crate) fn arrive(self: &Arc<Self>, now: Instant, decides: bool) -> (Counted, Option<Shed>) {
        let now_ns = self.all.nanos(now);
        let shed = self.too_many(now_ns);
        self.in_flight.fetch_add(1, Relaxed);
        self.all.in_flight.fetch_add(1, Relaxed);
        let untold = shed.is_some_and(Shed::is_of_time);
        if untold {
            self.untold.fetch_add(1, Relaxed);
            self.all.untold.fetch_add(1, Relaxed);
        }
        // Nobody waits for the turn of a refusal.
        let waits = shed.is_none();
        if waits {
            self.queued.fetch_add(1, Relaxed);
        }
        let decides = (waits && decides).then(|| self.undecided.came());
        (Counted { load: Arc::clone(self), waits, decides, untold, answered: false }, shed)
    }

    fn too_many(&self, now_ns: u64) -> Option<Shed> {
        let limits = &self.all.limits;
        let turn_ns = self.turn_ns.load(Relaxed);
        let demand = self.demand.came(now_ns, turn_ns);
        let queued = u64::try_from(self.queued.load(Relaxed)).unwrap_or(u64::MAX);
        if queued == 0 {
            self.idle_at_ns.store(now_ns, Relaxed);
        }
        // Those that are refused and wait to be told are no work, and take no place of others.
        let untold = self.untold.load(Relaxed);
        if self.in_flight.load(Relaxed).saturating_sub(untold) >= limits.thread_requests {
            return Some(Shed::Thread { maximum: limits.thread_requests });
        }
        let untold_in_all = self.all.untold.load(Relaxed);
        if self.all.in_flight.load(Relaxed).saturating_sub(untold_in_all) >= limits.requests {
            return Some(Shed::All { maximum: limits.requests });
        }
        let rested_ns = self.rested_ns();
        let idle_at_ns = rested_ns.unwrap_or_else(|| self.idle_at_ns.load(Relaxed));
        let stands = now_ns.saturating_sub(idle_at_ns) > nanos(STANDING)
            || (demand > ALL && now_ns < self.wary_until_ns.load(Relaxed));
        // Bodies that have not come wait for this thread, too, where there has been a queue.
        if let Some(rested_ns) = rested_ns {
            self.undecided.age(now_ns, rested_ns, nanos(limits.queue).saturating_add(turn_ns));
        }
        let coming = self.undecided.coming();
        let waiting = if stands { queued.max(coming) } else { queued };
        let queue_ns = nanos(limits.queue);
        let burst_ns = queue_ns.saturating_mul(BURST);
        let most = if turn_ns < nanos(CHEAP) && demand > BUSY {
            // Whoever waits to be refused does not come again meanwhile: how many do says how much more comes.
            (burst_ns / (HALVING + untold as u64) * HALVING).max(queue_ns / 3)
        } else if stands && turn_ns >= nanos(CHEAP) {
            // The more comes the sooner the next one is there, and the shorter is a queue that keeps the thread busy.
            // By the root: with a queue of a fifth at five times, small batches were read and refused one by one.
            queue_ns / demand.max(ALL).isqrt() * ALL.isqrt()
        } else {
            burst_ns
        };
        if waiting.saturating_mul(turn_ns) <= most {
            return None;
        }
        if waiting == 1 && (rested_ns.is_none() || coming == 0) {
            // Nobody waits behind another any more, and none is decided that could tell how long a turn is: what
            // was measured in a bad moment wears off.
            self.turn_ns.store(turn_ns - turn_ns.div_ceil(WEIGHT), Relaxed);
        }
        self.wary_until_ns.store(now_ns.saturating_add(nanos(WARY)), Relaxed);
        Some(Shed::Queue { maximum: limits.queue })
    }

    /// One that waited has its turn.
    fn turn(&self, now_ns: u64) {
        let left = self.queued.fetch_sub(1, Relaxed).saturating_sub(1);
        let before_ns = self.turn_at_ns.swap(now_ns, Relaxed);
        let rested = self.rested_ns().is_some_and(|rested_ns| rested_ns > before_ns);
        // Where others waited since, what has passed was spent on the one before and what came with it.
        if self.others_waited.swap(left > 0, Relaxed) && !rested {
            self.measured(now_ns.saturating_sub(before_ns));
        }
    }

    /// One of a generation was decided, if it was `answered`, or given up.
    fn decided(&self, generation: u64, answered: bool) {
        let others_waited = self.others_waited.swap(self.undecided.went(generation), Relaxed);
        if !answered {
            return;
        }
        let now_ns = self.all.nanos(Instant::now());
        let before_ns = self.turn_at_ns.swap(now_ns, Relaxed);
        match self.rested_ns() {
            // Since then there was always something to do: this one, and what came with it.
            Some(rested_ns) => self.measured(now_ns.saturating_sub(before_ns.max(rested_ns))),
            None if others_waited => self.measured(now_ns.saturating_sub(before_ns)),
            None => {}
        }
    }

    /// When this thread had nothing to do last.
    fn rested_ns(&self) -> Option<u64> {
        rested().map(|rested| self.all.nanos(rested))
    }

    /// So long it was from one turn to the next.
    fn measured(&self, took_ns: u64) {
        let turns = self.last_turns.fetch_add(1, Relaxed).saturating_add(1);
        let took_ns = self.last_turns_ns.fetch_add(took_ns, Relaxed).saturating_add(took_ns);
        if took_ns < nanos(TOGETHER) {
            return;
        }
        self.last_turns.store(0, Relaxed);
        self.last_turns_ns.store(0, Relaxed);
        let took_ns = took_ns / turns;
        let mean_ns = self.turn_ns.load(Relaxed);
        let mean_ns = match mean_ns {
            0 => took_ns.min(nanos(self.all.limits.queue).saturating_mul(BURST)),
            _ => {
                let took_ns = took_ns.min(mean_ns.saturating_mul(MOST_OF_MEAN));
                mean_ns - mean_ns / WEIGHT + took_ns.div_ceil(WEIGHT)
            }
        };
        self.turn_ns.store(mean_ns, Relaxed);
    }
}

// === impl Demand ===

impl Demand {
    /// One more comes, where each takes so long; how much came lately.
    fn came(&self, now_ns: u64, turn_ns: u64) -> u64 {
        let come = self.come.fetch_add(1, Relaxed).saturating_add(1);
        let took_ns = now_ns.saturating_sub(self.since_ns.load(Relaxed));
        if took_ns < nanos(STANDING) {
            return self.percent.load(Relaxed);
        }
        let percent = come.saturating_mul(turn_ns).saturating_mul(ALL) / took_ns;
        self.percent.store(percent, Relaxed);
        self.come.store(0, Relaxed);
        self.since_ns.store(now_ns, Relaxed);
        percent
    }
}

// === impl Undecided ===

impl Undecided {
    /// One came; the generation that it belongs to.
    fn came(&self) -> u64 {
        self.new.fetch_add(1, Relaxed);
        self.generation.load(Relaxed)
    }

    /// One of a generation went; whether others are left.
    fn went(&self, generation: u64) -> bool {
        let its = match self.generation.load(Relaxed).saturating_sub(generation) {
            0 => &self.new,
            1 => &self.old,
            _ => &self.late,
        };
        its.fetch_sub(1, Relaxed);
        [&self.new, &self.old, &self.late].iter().any(|count| count.load(Relaxed) > 0)
    }

    /// Ends the generation if the thread had nothing to do so long after its beginning. What came in the one before
    /// and is not there yet is late: its sender is slow, or it waits for something else.
    fn age(&self, now_ns: u64, rested_ns: u64, patience_ns: u64) {
        if rested_ns > self.since_ns.load(Relaxed).saturating_add(patience_ns) {
            self.late.fetch_add(self.old.load(Relaxed), Relaxed);
            self.old.store(self.new.swap(0, Relaxed), Relaxed);
            self.generation.fetch_add(1, Relaxed);
            self.since_ns.store(now_ns, Relaxed);
        }
    }

    /// How many are the thread's work, also where their bodies have not come: all but those that are late, for which
    /// nobody need be refused. On threads that do not tell when they rested, none ever is.
    fn coming(&self) -> u64 {
        let coming = self.new.load(Relaxed).saturating_add(self.old.load(Relaxed));
        u64::try_from(coming).unwrap_or(u64::MAX)
    }
}

// === impl Counted ===

impl Counted {
    /// The request has its turn.
    pub(crate) fn begin(&mut self) {
        if !std::mem::take(&mut self.waits) {
            return;
        }
        if self.decides.is_some() {
            // How long it takes is known once it is answered.
            self.load.queued.fetch_sub(1, Relaxed);
        } else {
            self.load.turn(self.load.all.nanos(Instant::now()));
        }
    }

    /// The request has its answer, and tells how long a turn is; one that is dropped without tells nothing.
    pub(crate) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.waits {
            self.load.queued.fetch_sub(1, Relaxed);
        }
        if let Some(generation) = self.decides {
            self.load.decided(generation, self.answered);
        }
        if self.untold {
            self.load.untold.fetch_sub(1, Relaxed);
            self.load.all.untold.fetch_sub(1, Relaxed);
        }
        self.load.in_flight.fetch_sub(1, Relaxed);
        self.load.all.in_flight.fetch_sub(1, Relaxed);
    }
}
