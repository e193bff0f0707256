//! Load by a client that costs little: HTTP/2 written by hand, everything that is sent made in advance, one thread for
//! all connections. It can ask a server several times what it can do, also in Checks of one question each, where a
//! library's client has nothing left of its own core.
//!
//! As clients must, it has no more requests under way on a connection than the server says it takes
//! (`SETTINGS_MAX_CONCURRENT_STREAMS`, RFC 9113, 5.1.2). One that is due when none is free is **held back**: nothing is
//! sent, and whoever wanted to ask is told so at once, as gateways do. It is not sent later.

mod lane;

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::drive::{DriveError, MAX_CONNECTIONS, Timing, bounds};
use crate::pace::{Schedule, wake_up_in_time};
use crate::tally::{Summary, Tally};
use crate::wire::Requests;
use lane::{Asked, Lane};

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// So many are under way on each connection; each answer sends the next.
    Closed(usize),
    /// At their times, whatever became of those before.
    Open(Schedule),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Flooded {
    /// What was sent.
    pub summary: Summary,
    /// How many were held back.
    pub held_back: u64,
}

/// How long it waits at most for something to come, when nothing is to be sent.
const WAIT: Duration = Duration::from_millis(10);

/// One run.
struct Flood<'a> {
    requests: &'a Requests,
    start: Instant,
    timing: Timing,
    tally: Tally,
    held_back: u64,
}

/// Asks a server at the address, which is that of a door of gRPC, or of HTTP where that is where the requests go. It
/// keeps its thread until it is done.
///
/// # Errors
/// [`DriveError`] if there are no bounds, nothing to send, or the server does not keep to the protocol.
pub fn flood(
    address: &str,
    connections: usize,
    requests: &Requests,
    pace: Pace,
    timing: Timing,
) -> Result<Flooded, DriveError> {
    timing.check()?;
    bounds("connections", connections as u64, 1, MAX_CONNECTIONS as u64)?;
    if requests.prepared.is_empty() {
        return Err(DriveError::Nothing);
    }
    wake_up_in_time();
    let mut lanes = Vec::with_capacity(connections);
    for _ in 0..connections {
        lanes.push(Lane::open(address, requests)?);
    }
    let (start, tally) = (Instant::now(), Tally::new());
    Flood { requests, start, timing, tally, held_back: 0 }.run(lanes, pace)
}

// === impl Flood ===

impl Flood<'_> {
    fn run(mut self, mut lanes: Vec<Lane>, pace: Pace) -> Result<Flooded, DriveError> {
        let Timing { warm_up, duration, last_answers } = self.timing;
        let end = warm_up + duration;
        let mut due = match &pace {
            Pace::Open(schedule) => Some(schedule.times().enumerate().peekable()),
            Pace::Closed(_) => None,
        };
        let mut next = 0;
        loop {
            let now = self.start.elapsed();
            let ending = now >= end;
            let mut wait = WAIT;
            match (pace, due.as_mut()) {
                (Pace::Closed(each), _) if !ending => {
                    for lane in &mut lanes {
                        while lane.under_way() < each && self.send(lane, next, now) {
                            next += 1;
                        }
                    }
                }
                (_, Some(due)) => {
                    while let Some((n, at)) = due.next_if(|(_, at)| *at <= nanos(now)) {
                        let count = lanes.len();
                        let Some(lane) = lanes.get_mut(n % count) else { continue };
                        let at = Duration::from_nanos(at);
                        if !self.send(lane, n, at) && at >= warm_up {
                            self.held_back += 1;
                        }
                    }
                    if let Some((_, at)) = due.peek() {
                        let left = Duration::from_nanos(*at).saturating_sub(self.start.elapsed());
                        wait = wait.min(left);
                    }
                }
                (Pace::Closed(_) | Pace::Open(_), _) => {}
            }
            let idle = lanes.iter().all(|lane| lane.under_way() == 0);
            if ending && (idle || now >= end + last_answers) {
                break;
            }
            self.exchange(&mut lanes, wait)?;
        }
        for _ in 0..lanes.iter().map(Lane::under_way).sum::<usize>() {
            self.tally.failed(|| "no answer".to_owned());
        }
        let Self { tally, held_back, .. } = self;
        Ok(Flooded { summary: tally.summary(duration, 0), held_back })
    }

    /// Sends a request that was meant to be sent at that time, unless it has to be held back.
    fn send(&self, lane: &mut Lane, number: usize, at: Duration) -> bool {
        lane.ask(self.requests, Asked { number: number % self.requests.prepared.len(), at })
    }

    /// Sends what is to be sent, waits for so long at most, and takes what has come.
    fn exchange(&mut self, lanes: &mut [Lane], wait: Duration) -> Result<(), DriveError> {
        let mut ready = Vec::with_capacity(lanes.len());
        for lane in &mut *lanes {
            let flags = match lane.flush()? {
                true => PollFlags::IN,
                false => PollFlags::IN | PollFlags::OUT,
            };
            ready.push((lane.socket(), flags));
        }
        let mut ready: Vec<PollFd<'_>> =
            ready.iter().map(|(socket, flags)| PollFd::new(socket, *flags)).collect();
        let wait = Timespec::try_from(wait).ok();
        match poll(&mut ready, wait.as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(DriveError::System(error.into())),
        }
        let come: Vec<bool> = ready.iter().map(|it| !it.revents().is_empty()).collect();
        for (lane, _) in lanes.iter_mut().zip(come).filter(|(_, come)| *come) {
            lane.receive(|asked, outcome| self.told(asked, outcome))?;
        }
        Ok(())
    }

    /// Takes down what became of a request.
    fn told(&mut self, asked: Asked, outcome: lane::Outcome) {
        let Asked { number, at } = asked;
        if at < self.timing.warm_up {
            return;
        }
        match (outcome, self.requests.prepared.get(number)) {
            (lane::Outcome::Answer(message), Some(prepared)) => {
                let latency = self.start.elapsed().saturating_sub(at);
                let answered = self.requests.read(prepared, message);
                self.tally.answered(self.requests, answered, latency);
            }
            (lane::Outcome::Refused, _) => self.tally.refused(|| "too much to do".to_owned()),
            (lane::Outcome::Failed, _) | (_, None) => {
                self.tally.failed(|| "another status".to_owned());
            }
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
