//! An open loop: requests are sent when they are meant to be, whatever became of those before, and
//! a latency is counted from the intended time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tonic::Code;

use super::closed::{said, unanswered};
use super::{Connection, DriveError, MAX_UNDER_WAY, Script, Timing};
use crate::pace::{Clock as _, Schedule, Since, dispatch, wake_up_in_time};
use crate::tally::{Summary, Tally};

/// How long the dispatcher may be behind its schedule before the rest is given up.
const BEHIND: Duration = Duration::from_secs(5);

/// Sends by a schedule over these connections. What is meant to be sent within the warm-up is not
/// measured. At most [`MAX_UNDER_WAY`] requests are under way; beyond it sending waits,
/// and the latencies grow by the wait.
///
/// # Errors
/// [`DriveError`] if there are no bounds or nothing to send.
pub async fn open_loop(
    connections: &[Connection],
    script: &Script,
    schedule: Schedule,
    timing: Timing,
) -> Result<Summary, DriveError> {
    timing.check()?;
    let Timing { warm_up, duration, last_answers } = timing;
    script.check()?;
    if connections.is_empty() {
        return Err(DriveError::Nothing);
    }
    let each = connections.iter().map(|connection| Arc::new(Lane::new(connection, script)));
    let lanes: Vec<Arc<Lane>> = each.collect();
    let under_way = Arc::new(AtomicUsize::new(0));
    let runtime = Handle::current();
    let start = Instant::now();
    let (lanes_too, under_way_too) = (lanes.clone(), Arc::clone(&under_way));
    // A thread of its own, which waits to the microsecond.
    let sending = tokio::task::spawn_blocking(move || {
        wake_up_in_time();
        let clock = Since(start);
        let until = u64::try_from((warm_up + duration + BEHIND).as_nanos()).unwrap_or(u64::MAX);
        let measured = u64::try_from(warm_up.as_nanos()).unwrap_or(u64::MAX);
        let sent = dispatch(&clock, &schedule, until, |n, at_ns| {
            while under_way_too.load(Ordering::Acquire) >= MAX_UNDER_WAY && clock.now_ns() < until {
                std::thread::yield_now();
            }
            let Some(lane) = lanes_too.get((n % lanes_too.len() as u64) as usize) else { return };
            under_way_too.fetch_add(1, Ordering::AcqRel);
            let (lane, done) = (Arc::clone(lane), Done(Arc::clone(&under_way_too)));
            let intended = start + Duration::from_nanos(at_ns);
            runtime.spawn(async move {
                lane.ask(n, intended, at_ns >= measured).await;
                drop(done);
            });
        });
        schedule.count() - sent
    });
    let unsent = sending.await.map_err(|_| DriveError::Panicked)?;
    let waited = Instant::now();
    while under_way.load(Ordering::Acquire) > 0 && waited.elapsed() < last_answers {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut whole = Tally::new();
    for lane in lanes {
        whole.merge(lane.tally.lock().unwrap_or_else(PoisonError::into_inner).clone());
    }
    for _ in 0..under_way.load(Ordering::Acquire) {
        whole.failed(|| unanswered(last_answers));
    }
    Ok(whole.summary(duration, unsent))
}

/// Counts a request as done, whatever became of it.
struct Done(Arc<AtomicUsize>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A connection and what came back over it.
struct Lane {
    connection: Connection,
    script: Script,
    tally: Mutex<Tally>,
}

// === impl Lane ===

impl Lane {
    fn new(connection: &Connection, script: &Script) -> Self {
        let (connection, script) = (connection.clone(), script.clone());
        Self { connection, script, tally: Mutex::new(Tally::new()) }
    }

    async fn ask(&self, n: u64, intended: Instant, measured: bool) {
        let Some((requests, prepared)) = self.script.at(n) else { return };
        let answer = self.connection.clone().call(&requests.path, prepared.body.clone()).await;
        let latency = intended.elapsed();
        if !measured {
            return;
        }
        let answered = answer.map(|answer| requests.read(prepared, answer));
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        match answered {
            Ok(answered) => tally.answered(requests, answered, latency),
            Err(status) if status.code() == Code::ResourceExhausted => {
                tally.refused(|| said(&status));
            }
            Err(status) => tally.failed(|| said(&status)),
        }
    }
}
