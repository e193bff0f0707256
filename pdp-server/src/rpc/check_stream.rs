//! CheckStream: questions as they come, answers in their order. Nothing runs beside the stream: an
//! answer is made when the connection has room for one, and a question is taken when its answer is next.
//! So whoever does not read is not read from, and what a stream keeps is one burst.

mod open;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use futures_util::future::{Either, select};
use futures_util::stream::unfold;
use http::Extensions;
use pdp_engine::query::Revision;
use pdp_proto::v1;
use pdp_proto::v1::check_stream_response::Result as Outcome;
use tokio::sync::watch;
use tokio_stream::Stream;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};

use super::Door;
use super::borrowed::CheckStreamRequest;
use super::deciding::{decide_all, question_error};
use super::failure::Failure;
use super::last_resort::unreadable;
use super::leave::granted;
use super::malformed::{Malformed, required};
use super::patience::patience;
use super::sidecar::{Sidecar, answer_group as answer_here, by_itself};
use crate::admission::{Held, Quota, Shed};
use crate::callers::Standing;
use crate::connection::Arrival;
use crate::telemetry::{DecisionRpc, RefusedReason, Rpc, Traced};
pub(super) use open::{OpenStream, OpenStreams};

/// How many questions that have come are answered in one go.
const BURST: usize = 64;

/// After how many answers without a pause the others of the thread have their turn.
const TURN: usize = 512;

/// How a question is read from its message.
type Read<M> = fn(&M) -> Result<CheckStreamRequest<'_>, Malformed>;

/// Answers a stream, whatever form its messages have.
pub(super) fn check_stream<S, M>(
    door: &Arc<Door>,
    request: Request<S>,
    read: Read<M>,
) -> Result<Response<OpenStream>, Status>
where
    S: Stream<Item = Result<M, Status>> + Unpin + Send + 'static,
    M: Send + Sync + 'static,
{
    let (metadata, extensions, questions) = request.into_parts();
    let begun = door.started().and_then(|()| {
        let standing = door.standing(&metadata, &extensions, Rpc::CheckStream)?;
        let of_connection = || Some(extensions.get::<Arrival>()?.peer.quota());
        let quota = standing.asker().quota().or_else(of_connection).cloned();
        Ok((standing, quota))
    });
    let opened = begun.and_then(|(standing, quota)| {
        door.check_streams.open(|closing| {
            let asked = Asked {
                door: Arc::clone(door),
                questions,
                closing,
                stopping: false,
                read,
                traced: door.traced_by(Rpc::CheckStream, &metadata),
                metadata,
                extensions,
                standing,
                quota,
                taken: VecDeque::new(),
                charged: Charged::default(),
                made: VecDeque::new(),
                waits: None,
                end: None,
                unpaused: 0,
            };
            Box::pin(answers(asked))
        })
    });
    door.answered(Rpc::CheckStream, opened)
}

/// What was asked over a stream and is not answered yet.
struct Asked<S, M> {
    door: Arc<Door>,
    questions: S,
    /// Changes once the server stops.
    closing: watch::Receiver<bool>,
    /// It stops.
    stopping: bool,
    read: Read<M>,
    metadata: MetadataMap,
    /// Who asks.
    extensions: Extensions,
    standing: Standing,
    /// How much they may ask.
    quota: Option<Arc<Quota>>,
    /// How the stream as a whole is traced.
    traced: Traced,
    /// What was taken, in its order.
    taken: VecDeque<M>,
    charged: Charged,
    /// Answers to what was taken before, in their order.
    made: VecDeque<v1::CheckStreamResponse>,
    /// Which revision, of which tenant, the first that was taken waits for; of a sidecar, that the server has to be
    /// asked.
    waits: Option<(String, Revision)>,
    /// How the stream ends once everything is answered. Nothing more is taken.
    end: Option<Result<(), Status>>,
    /// How many were answered since nothing was there to be taken.
    unpaused: usize,
}

/// What the questions that were taken count as in their caller's quota.
#[derive(Default)]
struct Charged {
    /// How many are to be answered; those behind them are not.
    left: usize,
    /// Why they are not.
    shed: Option<Shed>,
    /// They are in flight until they are answered.
    _held: Option<Held>,
}

fn answers<S, M>(
    asked: Asked<S, M>,
) -> impl Stream<Item = Result<v1::CheckStreamResponse, Status>> + Send
where
    S: Stream<Item = Result<M, Status>> + Unpin + Send,
    M: Send + Sync,
{
    unfold(Some(Box::new(asked)), async |asked| {
        let mut asked = asked?;
        loop {
            if let Some(answer) = asked.made.pop_front() {
                return Some((Ok(answer), Some(asked)));
            }
            if let Some((tenant, at_least)) = asked.waits.take() {
                asked.wait(&tenant, at_least).await;
                // What it waited for in vain has its answer by now, which comes before the end.
                continue;
            }
            if asked.taken.is_empty() {
                match asked.end.take() {
                    Some(Ok(())) => {
                        asked.traced.end(Code::Ok);
                        return None;
                    }
                    Some(Err(status)) => {
                        asked.traced.end(status.code());
                        return Some((Err(status), None));
                    }
                    None => asked.take().await,
                }
            }
            asked.answer();
        }
    })
}

// === impl Asked ===

impl<S, M> Asked<S, M>
where
    S: Stream<Item = Result<M, Status>> + Unpin + Send,
    M: Send + Sync,
{
    /// Takes what has come, up to a burst; waits where nothing has.
    async fn take(&mut self) {
        if self.unpaused >= TURN {
            self.unpaused = 0;
            tokio::task::yield_now().await;
        }
        let Self { door, questions, closing, stopping, taken, end, .. } = self;
        let mut come = poll_fn(|context| {
            while taken.len() < BURST && end.is_none() {
                match Pin::new(&mut *questions).poll_next(context) {
                    Poll::Ready(Some(Ok(message))) => taken.push_back(message),
                    Poll::Ready(Some(Err(status))) => *end = Some(Err(unread(door, status))),
                    Poll::Ready(None) => *end = Some(Ok(())),
                    Poll::Pending if taken.is_empty() => return Poll::Pending,
                    Poll::Pending => break,
                }
            }
            Poll::Ready(())
        });
        // An error is the end of the server, too.
        if !*stopping {
            *stopping = match closing.has_changed() {
                Ok(false) => {
                    let stops = std::pin::pin!(closing.changed());
                    matches!(select(&mut come, stops).await, Either::Right(_))
                }
                Ok(true) | Err(_) => true,
            };
        }
        if *stopping {
            // What has come by now was taken by the connection.
            let now = poll_fn(|context| Poll::Ready(Pin::new(&mut come).poll(context)));
            let _ = now.await;
        }
        self.unpaused = if self.taken.len() < BURST { 0 } else { self.unpaused + BURST };
        if self.stopping && self.taken.len() < BURST && self.end.is_none() {
            self.end = Some(Err(Failure::ShuttingDown.into()));
        }
        self.charge();
    }

    /// Counts what was taken in its caller's quota: each as much as a request of its own.
    fn charge(&mut self) {
        let count = self.taken.len();
        self.charged = match &self.quota {
            Some(quota) => {
                let (held, shed) = quota.take_some(count, Instant::now());
                Charged { left: held.count(), shed, _held: Some(held) }
            }
            None => Charged { left: count, ..Charged::default() },
        };
    }

    /// Looks whether the caller may still ask. If not, the stream ends, and nothing more is answered.
    fn may_ask(&mut self) {
        match self.standing.look() {
            Ok(false) => {}
            Ok(true) => drop(self.extensions.insert(self.standing.asker().clone())),
            Err(lost) => {
                self.taken.clear();
                self.charged = Charged::default();
                self.end = Some(Err(self.door.failed(Rpc::CheckStream, lost.into()).into()));
            }
        }
    }

    /// Answers what was taken, up to a question that has to wait for its revision.
    fn answer(&mut self) {
        if !self.taken.is_empty() {
            self.may_ask();
        }
        let started = Instant::now();
        let read: Vec<_> = self.taken.iter().take(self.charged.left).map(self.read).collect();
        let made = self.made.len();
        for group in read.chunk_by(|one, next| same_tenant(one.as_ref(), next.as_ref())) {
            let from = Sender { extensions: &self.extensions, traced: &self.traced };
            if let Some(waits) = answer_group(&self.door, from, group, &mut self.made) {
                self.waits = Some(waits);
                break;
            }
        }
        let made = self.made.len() - made;
        drop(read);
        self.taken.drain(..made);
        self.charged.left -= made;
        if made > 0 {
            self.door.metrics.decision_took(DecisionRpc::CheckStream, started.elapsed());
        }
        if self.waits.is_none() {
            self.settle();
        }
    }

    /// What was to be answered is: the others are refused.
    fn settle(&mut self) {
        let Charged { left: _, shed, _held: _ } = std::mem::take(&mut self.charged);
        let Some(shed) = shed else { return };
        for message in self.taken.drain(..) {
            let number = (self.read)(&message).map_or(0, |read| read.number);
            self.made.push_back(refused(&self.door, number, shed.into()));
        }
    }

    /// Waits for the revision of the first question; if it does not come, that is the answer.
    async fn wait(&mut self, tenant: &str, at_least: Revision) {
        if let Some(sidecar) = self.door.sidecar.get().cloned() {
            return self.ask(&sidecar).await;
        }
        let patience = patience(&self.metadata, self.door.max_wait);
        let there = match granted(&self.extensions, tenant) {
            Ok(granted) => self.door.wait(granted, at_least, patience).await.and_then(|()| {
                self.door.snapshot(granted).map(|(it, _)| it.revision() >= at_least)
            }),
            Err(failure) => Err(failure),
        };
        let failure = match there {
            Ok(true) => return,
            Ok(false) => self.door.not_reached(tenant, at_least),
            Err(failure) => failure,
        };
        let Some(message) = self.taken.pop_front() else { return };
        self.charged.left -= 1;
        let number = (self.read)(&message).map_or(0, |read| read.number);
        self.made.push_back(refused(&self.door, number, failure));
    }

    /// Asks the server that is followed the first question.
    async fn ask(&mut self, sidecar: &Sidecar) {
        let Some(message) = self.taken.pop_front() else { return };
        self.charged.left -= 1;
        let answer = match (self.read)(&message) {
            Ok(read) => {
                let (number, question) = (read.number, by_itself(&read));
                let result = match sidecar.asked(&self.metadata, question).await {
                    Ok(decision) => Outcome::Decision(decision),
                    Err(error) => Outcome::Error(error),
                };
                v1::CheckStreamResponse { number, result: Some(result) }
            }
            Err(malformed) => refused(&self.door, 0, malformed.into()),
        };
        self.made.push_back(answer);
    }
}

/// What is told of a message that could not be read, and counted.
fn unread(door: &Door, status: Status) -> Status {
    if status.code() != Code::OutOfRange {
        // What it sends and nobody can read is the caller's mistake.
        let Some((failure, reason)) = unreadable(&status) else { return status };
        door.metrics.refused(reason);
        return failure.into();
    }
    door.metrics.refused(RefusedReason::MessageTooLarge);
    let (limit, message) = ("max_question_bytes", status.message().to_owned());
    Failure::MessageTooLarge { limit, message }.into()
}

/// Who sent a stream.
#[derive(Clone, Copy)]
pub(super) struct Sender<'a> {
    pub(super) extensions: &'a Extensions,
    pub(super) traced: &'a Traced,
}

/// One that was read, or what is wrong with it.
type OneRead<'a> = Result<CheckStreamRequest<'a>, Malformed>;

fn same_tenant(
    one: Result<&CheckStreamRequest<'_>, &Malformed>,
    next: Result<&CheckStreamRequest<'_>, &Malformed>,
) -> bool {
    matches!((one, next), (Ok(one), Ok(next)) if one.tenant == next.tenant)
}

/// Answers questions about one tenant from one snapshot, up to one that waits for its revision.
fn answer_group(
    door: &Door,
    from: Sender<'_>,
    group: &[OneRead<'_>],
    made: &mut VecDeque<v1::CheckStreamResponse>,
) -> Option<(String, Revision)> {
    let mut readable = Vec::with_capacity(group.len());
    for read in group {
        match read {
            Ok(read) => readable.push(read),
            // It is a group of its own.
            Err(malformed) => made.push_back(refused(door, 0, malformed.clone().into())),
        }
    }
    if let Some(sidecar) = door.sidecar.get() {
        return answer_here(door, sidecar, from, &readable, made);
    }
    let tenant = readable.first()?.tenant;
    let current = || {
        let granted = granted(from.extensions, tenant)?;
        Ok::<_, Failure>((granted, door.snapshot(granted)?))
    };
    let Ok((granted, (snapshot, now))) = current() else {
        // The failure is worded for each anew.
        let each = readable.iter();
        made.extend(each.filter_map(|it| Some(refused(door, it.number, current().err()?))));
        return None;
    };
    let is_there = |read: &&&CheckStreamRequest<'_>| read.at_least <= snapshot.revision().get();
    let there = readable.iter().take_while(is_there).count();
    let (there, waiting) = readable.split_at(there);
    let questions: Vec<_> = there.iter().filter_map(|read| read.question).collect();
    let mut decided = decide_all(&snapshot, &questions, now).into_iter();
    let asking = door.asking(DecisionRpc::CheckStream, granted, now, from.traced);
    for read in there {
        let decision = required("question", read.question).and_then(|wire| {
            let decided = required("question", decided.next())?;
            Ok((wire, decided.map_err(|it| it.inside("question"))?))
        });
        made.push_back(match decision {
            Ok((wire, decision)) => v1::CheckStreamResponse {
                number: read.number,
                result: Some(Outcome::Decision(door.told(&asking, wire, &decision).0)),
            },
            Err(malformed) => refused(door, read.number, malformed.into()),
        });
    }
    let first = waiting.first()?;
    Some((first.tenant.to_owned(), Revision::new(first.at_least)))
}

/// That a question has no decision, and why.
fn refused(door: &Door, number: u64, failure: Failure) -> v1::CheckStreamResponse {
    let failure = door.failed(Rpc::CheckStream, failure);
    v1::CheckStreamResponse { number, result: Some(Outcome::Error(question_error(failure))) }
}
