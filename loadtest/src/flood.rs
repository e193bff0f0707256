//! Load by a client that costs little: HTTP/2 written by hand, everything that is sent made in advance, one thread for
//! all connections. It can ask a server several times what it can do, also in Checks of one question each, where a
//! library's client has nothing left of its own core.
//!
//! As clients must, it has no more requests under way on a connection than the server says it takes
//! (`SETTINGS_MAX_CONCURRENT_STREAMS`, RFC 9113, 5.1.2). One that is due when none is free is **held back**: nothing is
//! sent, and whoever wanted to ask is told so at once, as gateways do. It is not sent later.

mod lane;

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

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

/// How many connections may have something at a time, until it is asked again.
const EVENTS: usize = 1_024;

/// How many bytes are read at a time.
const READ_BYTES: usize = 1 << 16;

/// One run.
struct Flood<'a> {
    requests: &'a Requests,
    start: Instant,
    timing: Timing,
    tally: Tally,
    held_back: u64,
}

/// What it goes over.
struct Wires {
    lanes: Vec<Lane>,
    poll: Poll,
    events: Events,
    /// What is read at a time.
    buffer: Vec<u8>,
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
    let wires = Wires::open(address, connections, requests)?;
    let (start, tally) = (Instant::now(), Tally::new());
    Flood { requests, start, timing, tally, held_back: 0 }.run(wires, pace)
}

// === impl Flood ===

impl Flood<'_> {
    fn run(mut self, mut wires: Wires, pace: Pace) -> Result<Flooded, DriveError> {
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
            let lanes = &mut wires.lanes;
            match (pace, due.as_mut()) {
                (Pace::Closed(each), _) if !ending => {
                    for lane in lanes {
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
            let idle = wires.lanes.iter().all(|lane| lane.under_way() == 0);
            if ending && (idle || now >= end + last_answers) {
                break;
            }
            wires.exchange(wait, |asked, outcome| self.told(asked, outcome))?;
        }
        for _ in 0..wires.lanes.iter().map(Lane::under_way).sum::<usize>() {
            self.tally.failed(|| "no answer".to_owned());
        }
        let Self { tally, held_back, .. } = self;
        Ok(Flooded { summary: tally.summary(duration, 0), held_back })
    }

    /// Sends a request that was meant to be sent at that time, unless it has to be held back.
    fn send(&self, lane: &mut Lane, number: usize, at: Duration) -> bool {
        lane.ask(self.requests, Asked { number: number % self.requests.prepared.len(), at })
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

// === impl Wires ===

impl Wires {
    fn open(address: &str, connections: usize, requests: &Requests) -> Result<Self, DriveError> {
        let poll = Poll::new().map_err(DriveError::System)?;
        let mut lanes = Vec::with_capacity(connections);
        for number in 0..connections {
            let lane = Lane::open(address, requests)?;
            lane.register(poll.registry(), Token(number))?;
            lanes.push(lane);
        }
        let (events, buffer) = (Events::with_capacity(EVENTS), vec![0; READ_BYTES]);
        Ok(Self { lanes, poll, events, buffer })
    }

    /// Sends what is to be sent, waits for so long at most, and takes what has come; `told` hears of each request that is
    /// done.
    fn exchange(
        &mut self,
        wait: Duration,
        mut told: impl FnMut(Asked, lane::Outcome),
    ) -> Result<(), DriveError> {
        for lane in &mut self.lanes {
            lane.flush()?;
        }
        // Part of a millisecond is not slept through: the operating system would make it a whole one.
        let wait = Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        match self.poll.poll(&mut self.events, Some(wait)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(DriveError::System(error)),
        }
        if self.events.is_empty() && wait.is_zero() {
            // Whoever asks for health meanwhile is on this core, too.
            std::thread::yield_now();
        }
        for event in &self.events {
            let Some(lane) = self.lanes.get_mut(event.token().0) else { continue };
            if event.is_writable() {
                lane.unblock();
            }
            if event.is_readable() {
                lane.receive(&mut self.buffer, &mut told)?;
            }
            if event.is_read_closed() {
                // What came last is read: this finds the end, of which nothing is told again.
                lane.receive(&mut self.buffer, &mut told)?;
            }
        }
        Ok(())
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
