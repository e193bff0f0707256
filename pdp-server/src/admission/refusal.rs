//! When a refusal for want of time is told. To refuse a single Check costs as much as to answer it, and lets its sender
//! ask again: a thread that told all of them at once would have time for little else.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::{CHEAP, Load, nanos};

/// How long after the one before a refusal is told at the least, and in times that it costs, where there are many:
/// with this a thread spends about a tenth of its time on them, unless they are so many that the latest bounds the wait.
const PAUSE: Duration = Duration::from_micros(100);
const PAUSE_COSTS: u32 = 10;

/// The latest that one is told.
const LATEST: Duration = Duration::from_secs(4);

/// A refusal that has not been told, until it is dropped.
pub(crate) struct Untold<'a> {
    load: &'a Load,
    of_connection: &'a AtomicUsize,
    /// After how long it may be told.
    pause: Duration,
}

// === impl Load ===

impl Load {
    /// How long after the one before a refusal is told. To refuse what is cheap costs about what its turn takes: over many
    /// connections, where little is read and written at once, twice as much as over few. What is dearer is refused for
    /// the smaller a part of its turn.
    fn pause(&self) -> Duration {
        let (turn_ns, cheap_ns) = (self.turn_ns.load(Relaxed).max(1), nanos(CHEAP));
        let cost = Duration::from_nanos(turn_ns.min(cheap_ns * cheap_ns / turn_ns));
        PAUSE.max(cost.saturating_mul(PAUSE_COSTS))
    }
}

// === impl Untold ===

impl<'a> Untold<'a> {
    /// One more on this thread, of a connection that counts its own. Connections are told by turns: one that has many
    /// waits for all of them, and one that has a single one for one of each.
    pub(crate) fn new(load: &'a Load, of_connection: &'a AtomicUsize) -> Self {
        let before = of_connection.fetch_add(1, Relaxed);
        if before == 0 {
            load.refused_connections.fetch_add(1, Relaxed);
        }
        let turns = load.refused_connections.load(Relaxed).saturating_mul(before.saturating_add(1));
        let pause = load.pause().saturating_mul(u32::try_from(turns).unwrap_or(u32::MAX));
        // What is held is bounded as what is in flight is.
        let all = &load.all;
        let pause = match all.untold.load(Relaxed) > all.limits.requests {
            true => Duration::ZERO,
            false => pause.min(LATEST),
        };
        Self { load, of_connection, pause }
    }

    /// Returns once it may be told, after so long at most since its request arrived. Its turn counts from now: those that
    /// a thread has come to late would all be told at once.
    pub(crate) async fn turn(self, arrived: Instant, at_most: Duration) {
        if !self.pause.is_zero() {
            let left = at_most.saturating_sub(arrived.elapsed());
            tokio::time::sleep(self.pause.min(left)).await;
        }
    }
}

impl Drop for Untold<'_> {
    fn drop(&mut self) {
        if self.of_connection.fetch_sub(1, Relaxed) == 1 {
            self.load.refused_connections.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::Poll;

    use super::super::tests::unlimited;
    use super::*;

    async fn is_ready(mut future: Pin<&mut impl Future>) -> bool {
        std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await
    }

    #[test]
    fn connections_are_told_by_turns_and_nobody_waits_for_long() {
        let (load, [many, one]) = (unlimited(), [AtomicUsize::new(0), AtomicUsize::new(0)]);
        let mut held: Vec<_> = (0..100).map(|_| Untold::new(&load, &many)).collect();
        assert_eq!((held[0].pause, held[99].pause), (PAUSE, PAUSE * 100));
        let single = Untold::new(&load, &one);
        assert_eq!(single.pause, PAUSE * 2, "one of each");
        held.truncate(10);
        assert_eq!(Untold::new(&load, &many).pause, PAUSE * 22);
        drop((held, single));
        let of_all = [&many, &one, &load.refused_connections];
        assert_eq!(of_all.map(|count| count.load(Relaxed)), [0, 0, 0]);
        many.store(1_000_000, Relaxed);
        load.refused_connections.store(1_000_000, Relaxed);
        assert_eq!(Untold::new(&load, &many).pause, LATEST);
        load.all.untold.store(usize::MAX, Relaxed);
        assert_eq!(load.all.limits.requests, usize::MAX);
        assert_eq!(Untold::new(&load, &many).pause, LATEST);
    }

    #[test]
    fn dearer_turns_of_what_is_cheap_make_longer_pauses() {
        let load = unlimited();
        for (turn_us, pause_us) in
            [(0, 100), (8, 100), (19, 190), (49, 490), (50, 500), (100, 250), (900, 100)]
        {
            load.turn_ns.store(turn_us * 1_000, Relaxed);
            let own = AtomicUsize::new(0);
            let one = Untold::new(&load, &own);
            assert_eq!(one.pause, Duration::from_micros(pause_us), "{turn_us}");
        }
    }

    #[tokio::test]
    async fn one_is_told_when_its_time_has_come_or_its_callers() {
        let (load, own) = (unlimited(), AtomicUsize::new(19));
        load.refused_connections.store(1, Relaxed);
        let begun = Instant::now();
        let mut told = pin!(Untold::new(&load, &own).turn(begun, LATEST));
        assert!(!is_ready(told.as_mut()).await);
        told.await;
        assert!(begun.elapsed() >= PAUSE * 20);
        own.store(100_000, Relaxed);
        Untold::new(&load, &own).turn(Instant::now(), Duration::ZERO).await;
        assert_eq!(own.load(Relaxed), 100_000);
    }
}
