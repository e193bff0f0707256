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
use tonic::{Request, Response, Status};

use super::Door;
use super::borrowed::CheckStreamRequest;
use super::deciding::{decide_all, question_error};
use super::failure::Failure;
use super::last_resort::unreadable;
use super::leave::granted;
use super::malformed::{Malformed, required};
use super::noted::trace_of;
use super::patience::patience;
use crate::telemetry::{DecisionRpc, Rpc};
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
    let opened = door.started().and_then(|()| {
        door.check_streams.open(|closing| {
            let asked = Asked {
                door: Arc::clone(door),
                questions,
                closing,
                stopping: false,
                read,
                metadata,
                extensions,
                taken: VecDeque::new(),
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
    /// What was taken, in its order.
    taken: VecDeque<M>,
    /// Answers to what was taken before, in their order.
    made: VecDeque<v1::CheckStreamResponse>,
    /// Which revision, of which tenant, the first that was taken waits for.
    waits: Option<(String, Revision)>,
    /// How the stream ends once everything is answered. Nothing more is taken.
    end: Option<Result<(), Status>>,
    /// How many were answered since nothing was there to be taken.
    unpaused: usize,
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
            }
            if asked.taken.is_empty() {
                match asked.end.take() {
                    Some(Ok(())) => return None,
                    Some(Err(status)) => return Some((Err(status), None)),
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
        let Self { questions, closing, stopping, taken, end, .. } = self;
        let mut come = poll_fn(|context| {
            while taken.len() < BURST && end.is_none() {
                match Pin::new(&mut *questions).poll_next(context) {
                    Poll::Ready(Some(Ok(message))) => taken.push_back(message),
                    Poll::Ready(Some(Err(status))) => {
                        // What it sends and nobody can read is the caller's mistake.
                        *end = Some(Err(unreadable(&status).map_or(status, Status::from)));
                    }
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
    }

    /// Answers what was taken, up to a question that has to wait for its revision.
    fn answer(&mut self) {
        let started = Instant::now();
        let read: Vec<_> = self.taken.iter().map(self.read).collect();
        let made = self.made.len();
        for group in read.chunk_by(|one, next| same_tenant(one.as_ref(), next.as_ref())) {
            let from = Sender { metadata: &self.metadata, extensions: &self.extensions };
            if let Some(waits) = answer_group(&self.door, from, group, &mut self.made) {
                self.waits = Some(waits);
                break;
            }
        }
        let made = self.made.len() - made;
        drop(read);
        self.taken.drain(..made);
        if made > 0 {
            self.door.metrics.decision_took(DecisionRpc::CheckStream, started.elapsed());
        }
    }

    /// Waits for the revision of the first question; if it does not come, that is the answer.
    async fn wait(&mut self, tenant: &str, at_least: Revision) {
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
        let number = (self.read)(&message).map_or(0, |read| read.number);
        self.made.push_back(refused(&self.door, number, failure));
    }
}

/// Who sent a stream.
#[derive(Clone, Copy)]
struct Sender<'a> {
    metadata: &'a MetadataMap,
    extensions: &'a Extensions,
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
    let asking = door.asking(DecisionRpc::CheckStream, granted, now, || trace_of(from.metadata));
    for read in there {
        let decision = required("question", read.question).and_then(|wire| {
            let decided = required("question", decided.next())?;
            Ok((wire, decided.map_err(|it| it.inside("question"))?))
        });
        made.push_back(match decision {
            Ok((wire, decision)) => v1::CheckStreamResponse {
                number: read.number,
                result: Some(Outcome::Decision(door.told(&asking, wire, &decision))),
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
