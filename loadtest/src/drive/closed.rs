//! A closed loop: on each connection so many requests are under way, and each answer sends the next.
//! It finds what a server can do; latencies at a given load are the open loop's.

use std::time::Instant;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use prost::bytes::Bytes;
use tonic::Status;

use super::{Connection, DriveError, LAST_ANSWERS, Load, Script};
use crate::tally::{Summary, Tally};

/// How far apart connections begin in the requests: a prime, so that they do not follow each other.
const STRIDE: u64 = 7_919;

/// Drives a closed loop over these connections.
///
/// # Errors
/// [`DriveError`] if the load has no bounds or there is nothing to send. A request that fails is no
/// error of the run, but counted in it.
pub async fn closed_loop(
    connections: &[Connection],
    script: &Script,
    load: Load,
) -> Result<Summary, DriveError> {
    let load = Load { connections: connections.len(), ..load };
    load.check()?;
    script.check()?;
    let begin = Instant::now() + load.warm_up;
    let end = begin + load.duration;
    let each = connections.iter().zip(0_u64..).map(|(connection, at)| {
        let one = One { connection: connection.clone(), script: script.clone(), begin, end };
        tokio::spawn(one.run(at.wrapping_mul(STRIDE), load.in_flight))
    });
    let mut whole = Tally::new();
    for one in each.collect::<Vec<_>>() {
        whole.merge(one.await.map_err(|_| DriveError::Panicked)?);
    }
    Ok(whole.summary(load.duration, 0))
}

/// One connection's part.
struct One {
    connection: Connection,
    script: Script,
    begin: Instant,
    end: Instant,
}

// === impl One ===

impl One {
    async fn run(self, start: u64, in_flight: usize) -> Tally {
        let mut tally = Tally::new();
        let deadline = tokio::time::Instant::from_std(self.end) + LAST_ANSWERS;
        let mut under_way = in_flight;
        let work = self.ask(start, in_flight, &mut tally, &mut under_way);
        if tokio::time::timeout_at(deadline, work).await.is_err() {
            for _ in 0..under_way {
                tally.failed(|| format!("no answer {} s after the end", LAST_ANSWERS.as_secs()));
            }
        }
        tally
    }

    async fn ask(&self, start: u64, in_flight: usize, tally: &mut Tally, under_way: &mut usize) {
        let mut next = start;
        let mut asked = FuturesUnordered::new();
        for _ in 0..in_flight {
            asked.push(self.send(self.connection.clone(), next));
            next += 1;
        }
        while let Some((connection, n, sent, answer)) = asked.next().await {
            let now = Instant::now();
            if now >= self.begin && now < self.end {
                self.take_down(n, answer, now - sent, tally);
            }
            if now < self.end {
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
        latency: std::time::Duration,
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

/// A status in words.
pub(super) fn said(status: &Status) -> String {
    format!("{}: {}", status.code(), status.message())
}
