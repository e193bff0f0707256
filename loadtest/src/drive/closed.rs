//! A closed loop: on each connection so many requests are under way, and each answer sends the next.
//! It finds what a server can do; latencies at a given load are the open loop's.

use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use prost::bytes::Bytes;
use tonic::Status;

use super::{Connection, DriveError, MAX_CONNECTIONS, MAX_UNDER_WAY, Script, Timing, bounds};
use crate::tally::{Summary, Tally};

/// How far apart connections begin in the requests: a prime, so that they do not follow each other.
pub(super) const STRIDE: u64 = 7_919;

/// Drives a closed loop over these connections, with so many requests under way on each.
///
/// # Errors
/// [`DriveError`] if the load has no bounds or there is nothing to send. A request that fails is no
/// error of the run, but counted in it.
pub async fn closed_loop(
    connections: &[Connection],
    script: &Script,
    in_flight: usize,
    timing: Timing,
) -> Result<Summary, DriveError> {
    bounds("connections", connections.len() as u64, 1, MAX_CONNECTIONS as u64)?;
    let most = MAX_UNDER_WAY / connections.len();
    bounds("in-flight", in_flight as u64, 1, most as u64)?;
    timing.check()?;
    script.check()?;
    let begin = Instant::now() + timing.warm_up;
    let end = begin + timing.duration;
    let last_answers = timing.last_answers;
    let each = connections.iter().zip(0_u64..).map(|(connection, at)| {
        let (connection, script) = (connection.clone(), script.clone());
        let one = One { connection, script, begin, end, last_answers };
        tokio::spawn(one.run(at.wrapping_mul(STRIDE), in_flight))
    });
    let (mut whole, mut last) = (Tally::new(), end);
    for one in each.collect::<Vec<_>>() {
        let (tally, ended) = one.await.map_err(|_| DriveError::Panicked)?;
        whole.merge(tally);
        last = last.max(ended);
    }
    Ok(whole.summary(last - begin, 0))
}

/// One connection's part.
struct One {
    connection: Connection,
    script: Script,
    begin: Instant,
    end: Instant,
    last_answers: Duration,
}

// === impl One ===

impl One {
    /// What was measured, and until when.
    async fn run(self, start: u64, in_flight: usize) -> (Tally, Instant) {
        let mut tally = Tally::new();
        let mut ended = self.end;
        let deadline = tokio::time::Instant::from_std(self.end) + self.last_answers;
        let mut under_way = in_flight;
        let work = self.ask(start, in_flight, &mut tally, (&mut under_way, &mut ended));
        if tokio::time::timeout_at(deadline, work).await.is_err() {
            for _ in 0..under_way {
                tally.failed(|| unanswered(self.last_answers));
            }
        }
        (tally, ended)
    }

    async fn ask(
        &self,
        start: u64,
        in_flight: usize,
        tally: &mut Tally,
        (under_way, ended): (&mut usize, &mut Instant),
    ) {
        let mut next = start;
        let mut asked = FuturesUnordered::new();
        for _ in 0..in_flight {
            asked.push(self.send(self.connection.clone(), next));
            next += 1;
        }
        while let Some((connection, n, sent, answer)) = asked.next().await {
            let now = Instant::now();
            // However slow it is, a connection has one answer: no run says nothing.
            let goes_on = now < self.end || tally.is_empty();
            if now >= self.begin && goes_on {
                self.take_down(n, answer, now - sent, tally);
                *ended = (*ended).max(now);
            }
            if now < self.end || tally.is_empty() {
                asked.push(self.send(connection, next));
                next += 1;
            } else {
                *under_way -= 1;
            }
        }
    }

    async fn send(
        &self,
        mut connection: Connection,
        n: u64,
    ) -> (Connection, u64, Instant, Result<Bytes, Status>) {
        let sent = Instant::now();
        let answer = match self.script.at(n) {
            Some((requests, prepared)) => {
                connection.call(&requests.path, prepared.body.clone()).await
            }
            None => Err(Status::internal("there is nothing to send")),
        };
        (connection, n, sent, answer)
    }

    fn take_down(
        &self,
        n: u64,
        answer: Result<Bytes, Status>,
        latency: Duration,
        tally: &mut Tally,
    ) {
        match (answer, self.script.at(n)) {
            (Ok(answer), Some((requests, prepared))) => {
                tally.answered(requests, requests.read(prepared, answer), latency);
            }
            (Err(status), _) => tally.failed(|| said(&status)),
            (Ok(_), None) => tally.failed(|| "there is nothing to send".to_owned()),
        }
    }
}

/// That there was no answer, in words.
pub(super) fn unanswered(waited: Duration) -> String {
    format!("no answer {} s after the end", waited.as_secs_f64())
}

/// A status in words.
pub(super) fn said(status: &Status) -> String {
    format!("{}: {}", status.code(), status.message())
}
