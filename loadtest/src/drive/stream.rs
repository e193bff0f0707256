//! A closed loop over streams: each connection has one, so many of its questions are unanswered, and
//! answers send the next.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use prost::bytes::Bytes;
use tokio_stream::Stream;
use tonic::{Request, Status, Streaming};

use super::closed::{STRIDE, said, unanswered};
use super::{Connection, DriveError, MAX_CONNECTIONS, MAX_UNDER_WAY, Script, Timing, bounds, gone};
use crate::tally::{Summary, Tally};
use crate::wire::{Raw, Requests};

/// Drives a closed loop over one stream on each of these connections, with so many questions unanswered
/// on each.
///
/// # Errors
/// [`DriveError`] if the load has no bounds, there is nothing to send, or a stream is not opened. An
/// error that is an answer is counted.
pub async fn stream_loop(
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
    let mut running = Vec::new();
    for (connection, at) in connections.iter().zip(0_u64..) {
        let requests = Arc::clone(&script.requests);
        let asking = Arc::new(Mutex::new(Asking::new(at.wrapping_mul(STRIDE), in_flight)));
        let questions = Questions { asking: Arc::clone(&asking), requests: Arc::clone(&requests) };
        let answers = connection.clone().stream(&requests.path, questions).await;
        let answers = answers.map_err(|status| DriveError::Refused(Box::new(status)))?;
        let one = One { asking, requests, begin, end };
        running.push(tokio::spawn(one.run(answers, timing)));
    }
    let (mut whole, mut last) = (Tally::new(), end);
    for one in running {
        let (tally, ended) = one.await.map_err(|_| DriveError::Panicked)?;
        whole.merge(tally);
        last = last.max(ended);
    }
    Ok(whole.summary(last - begin, 0))
}

/// What one stream has asked.
struct Asking {
    next: u64,
    /// What is not answered, and since when.
    unanswered: VecDeque<(u64, Instant)>,
    most: usize,
    over: bool,
    waker: Option<Waker>,
}

/// The questions of one stream.
struct Questions {
    asking: Arc<Mutex<Asking>>,
    requests: Arc<Requests>,
}

/// One connection's part.
struct One {
    asking: Arc<Mutex<Asking>>,
    requests: Arc<Requests>,
    begin: Instant,
    end: Instant,
}

// === impl Connection ===

impl Connection {
    /// Opens a stream.
    ///
    /// # Errors
    /// The status that came instead.
    async fn stream(
        mut self,
        path: &http::uri::PathAndQuery,
        questions: Questions,
    ) -> Result<Streaming<Bytes>, Status> {
        self.grpc.ready().await.map_err(gone)?;
        Ok(self.grpc.streaming(Request::new(questions), path.clone(), Raw).await?.into_inner())
    }
}

// === impl Asking ===

impl Asking {
    fn new(next: u64, most: usize) -> Self {
        Self { next, unanswered: VecDeque::with_capacity(most), most, over: false, waker: None }
    }

    /// Which question is answered; questions are sent again once half of those that may be unanswered are
    /// answered, so that they go together.
    fn answered(&mut self) -> Option<(u64, Instant)> {
        let first = self.unanswered.pop_front();
        if self.unanswered.len() <= self.most / 2 {
            self.wake();
        }
        first
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

// === impl Questions ===

impl Stream for Questions {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut asking = held(&self.asking);
        if asking.over {
            return Poll::Ready(None);
        }
        if asking.unanswered.len() >= asking.most {
            asking.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        let n = asking.next;
        asking.next += 1;
        asking.unanswered.push_back((n, Instant::now()));
        Poll::Ready(self.requests.at(n).map(|prepared| prepared.body.clone()))
    }
}

// === impl One ===

impl One {
    /// What was measured, and until when.
    async fn run(self, answers: Streaming<Bytes>, timing: Timing) -> (Tally, Instant) {
        let mut tally = Tally::new();
        let mut ended = self.end;
        let deadline = tokio::time::Instant::from_std(self.end) + timing.last_answers;
        let work = self.take_down(answers, &mut tally, &mut ended);
        let late = tokio::time::timeout_at(deadline, work).await.is_err();
        let mut asking = held(&self.asking);
        asking.over = true;
        asking.wake();
        for _ in 0..asking.unanswered.len() {
            tally.failed(|| match late {
                true => unanswered(timing.last_answers),
                false => "the stream ended without an answer".to_owned(),
            });
        }
        drop(asking);
        (tally, ended)
    }

    async fn take_down(
        &self,
        mut answers: Streaming<Bytes>,
        tally: &mut Tally,
        ended: &mut Instant,
    ) {
        loop {
            let answer = match answers.message().await {
                Ok(Some(answer)) => answer,
                Ok(None) => return,
                Err(status) => {
                    tally.failed(|| said(&status));
                    return;
                }
            };
            let now = Instant::now();
            let answered = {
                let mut asking = held(&self.asking);
                if now >= self.end && !tally.is_empty() && !asking.over {
                    asking.over = true;
                    asking.wake();
                }
                asking.answered()
            };
            let Some((n, sent)) = answered else {
                tally.failed(|| "an answer to nothing".to_owned());
                return;
            };
            if now >= self.begin
                && (now < self.end || tally.is_empty())
                && let Some(prepared) = self.requests.at(n)
            {
                tally.answered(&self.requests, self.requests.read(prepared, answer), now - sent);
                *ended = (*ended).max(now);
            }
        }
    }
}

/// Nothing that is done with the lock panics.
fn held(asking: &Mutex<Asking>) -> MutexGuard<'_, Asking> {
    asking.lock().unwrap_or_else(PoisonError::into_inner)
}
