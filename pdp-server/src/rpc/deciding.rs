//! The RPCs that a deciding thread answers itself: Check, BatchCheck and CheckStream. Their messages
//! are borrowed from the bytes that were received ([`borrowed`]), and where the revision that is asked
//! for is there, which is nearly always, the answer is made without waiting for anything.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::future::{BoxFuture, Either};
use http::{Extensions, Request as HttpRequest};
use pdp_engine::query::Revision;
use pdp_engine::session::SessionDecision;
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;
use pdp_proto::v1;
use pdp_proto::v1::decision_service_server::SERVICE_NAME;
use prost::Message;
use prost::bytes::{Buf as _, Bytes};
use tonic::body::Body;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, NamedService, StreamingService, UnaryService};
use tonic::{Request, Response, Status, Streaming};
use tower::Service;

use super::Door;
use super::borrowed::{self, BatchCheckRequest, CheckRequest, CheckStreamRequest};
use super::check_stream::{OpenStream, check_stream};
use super::decision::MAX_BATCH;
use super::failure::Failure;
use super::leave::granted;
use super::malformed::{Malformed, required};
use super::noted::with_id;
use super::question::{check_all, decided, question};
use crate::callers::Granted;
use crate::decision_id::DecisionId;
use crate::decision_log::Asking;
use crate::telemetry::{DecisionRpc, Rpc, Traced};

/// The paths of the RPCs.
pub(super) const CHECK: &str = "/pdp.v1.DecisionService/Check";
pub(super) const BATCH_CHECK: &str = "/pdp.v1.DecisionService/BatchCheck";
pub(super) const CHECK_STREAM: &str = "/pdp.v1.DecisionService/CheckStream";

/// How much memory a short message gets at first, in bytes: a question or a decision fits.
const SHORT: usize = 256;

/// How large a question of a stream may be, in bytes: one with the longest names fits. A stream keeps a
/// burst of them.
const MAX_QUESTION_BYTES: usize = 16 << 10;

/// How many bytes of a long answer are sent at once.
const LONG: usize = 32 << 10;

/// Answers these RPCs, and has another service answer the others of the same name.
#[derive(Clone)]
pub(super) struct Deciding<S> {
    door: Arc<Door>,
    others: S,
}

/// An answer: mostly there already.
type Answering<T> = Either<Ready<Answered<T>>, BoxFuture<'static, Answered<T>>>;
type Answered<T> = Result<Response<T>, Status>;

/// What a first attempt comes to.
enum Attempt<T> {
    Answered(T),
    /// The revision that was asked for is not there yet.
    Waits {
        tenant: String,
        at_least: Revision,
    },
}

/// What an attempt is made at.
struct Received<'a, M> {
    extensions: &'a Extensions,
    traced: &'a Traced,
    message: &'a M,
}

/// Leaves messages in the bytes that they came in, and writes answers.
struct AsReceived<T>(PhantomData<T>);

/// Answers a request of one of the RPCs.
struct Answer<'a, T>(&'a Arc<Door>, fn(&Arc<Door>, Request<Bytes>) -> Answering<T>);

/// Answers a CheckStream.
struct Answers<'a>(&'a Arc<Door>);

// === impl Deciding ===

impl<S> Deciding<S> {
    /// In front of a service that answers the others.
    pub(super) fn new(door: &Arc<Door>, others: S) -> Self {
        Self { door: Arc::clone(door), others }
    }
}

impl<S> NamedService for Deciding<S> {
    const NAME: &'static str = SERVICE_NAME;
}

impl<S> Service<HttpRequest<Body>> for Deciding<S>
where
    S: Service<
            HttpRequest<Body>,
            Response = http::Response<Body>,
            Error = Infallible,
            Future = tonic::codegen::BoxFuture<http::Response<Body>, Infallible>,
        >,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = tonic::codegen::BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.others.poll_ready(context)
    }

    fn call(&mut self, request: HttpRequest<Body>) -> Self::Future {
        let door = Arc::clone(&self.door);
        match request.uri().path() {
            CHECK => Box::pin(async move {
                let answer = Answer(&door, |door, request| {
                    check(door, request, |bytes| CheckRequest::read(bytes))
                });
                Ok(door.grpc().unary(answer, request).await)
            }),
            BATCH_CHECK => Box::pin(async move {
                let answer = Answer(&door, |door, request| {
                    batch_check(door, request, |bytes| BatchCheckRequest::read(bytes, MAX_BATCH))
                });
                Ok(door.grpc().unary(answer, request).await)
            }),
            CHECK_STREAM => Box::pin(async move {
                let answers = Answers(&door);
                let mut grpc = door.grpc().max_decoding_message_size(MAX_QUESTION_BYTES);
                Ok(grpc.streaming(answers, request).await)
            }),
            _ => self.others.call(request),
        }
    }
}

impl<T> UnaryService<Bytes> for Answer<'_, T> {
    type Response = T;
    type Future = Answering<T>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        (self.1)(self.0, request)
    }
}

impl StreamingService<Bytes> for Answers<'_> {
    type Response = v1::CheckStreamResponse;
    type ResponseStream = OpenStream;
    type Future = Ready<Answered<OpenStream>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        ready(check_stream(self.0, request, |bytes| CheckStreamRequest::read(bytes)))
    }
}

/// Answers a Check, whatever form its message has.
pub(super) fn check<M: Send + Sync + 'static>(
    door: &Arc<Door>,
    request: Request<M>,
    read: fn(&M) -> Result<CheckRequest<'_>, Malformed>,
) -> Answering<v1::CheckResponse> {
    let rpc = (Rpc::Check, DecisionRpc::Check);
    answer(door, request, rpc, move |door: &Door, received: Received<'_, M>| {
        let CheckRequest { tenant, question, at_least } = read(received.message)?;
        let granted = granted(received.extensions, tenant)?;
        door.attempt(granted, at_least, |snapshot, now| {
            let wire = required("question", question)?;
            let decided = decide(snapshot, wire, now);
            let decided = decided.map_err(|malformed| malformed.inside("question"))?;
            let asking = door.asking(DecisionRpc::Check, granted, now, received.traced);
            let (decision, id) = door.told(&asking, wire, &decided);
            Ok(with_id(v1::CheckResponse { decision: Some(decision) }, id))
        })
    })
}

/// Answers a BatchCheck, whatever form its message has.
pub(super) fn batch_check<M: Send + Sync + 'static>(
    door: &Arc<Door>,
    request: Request<M>,
    read: fn(&M) -> Result<BatchCheckRequest<'_>, Malformed>,
) -> Answering<v1::BatchCheckResponse> {
    let rpc = (Rpc::BatchCheck, DecisionRpc::BatchCheck);
    answer(door, request, rpc, move |door: &Door, received: Received<'_, M>| {
        let BatchCheckRequest { tenant, questions, count, at_least } = read(received.message)?;
        if count > door.max_batch {
            return Err(Failure::Limit {
                limit: "max_batch",
                field: "questions",
                unit: "questions",
                maximum: door.max_batch,
                actual: count,
            });
        }
        let granted = granted(received.extensions, tenant)?;
        door.attempt(granted, at_least, |snapshot, now| {
            let asking = door.asking(DecisionRpc::BatchCheck, granted, now, received.traced);
            let decided = decide_all(snapshot, &questions, now).into_iter();
            let results = questions.iter().zip(decided).enumerate();
            let results = results.map(|(index, (wire, decided))| v1::BatchCheckResult {
                result: Some(match decided {
                    Ok(decided) => v1::batch_check_result::Result::Decision(
                        door.told(&asking, *wire, &decided).0,
                    ),
                    Err(malformed) => {
                        let malformed = malformed.inside(&format!("questions[{index}]"));
                        v1::batch_check_result::Result::Error(question_error(malformed.into()))
                    }
                }),
            });
            Ok(Response::new(v1::BatchCheckResponse {
                results: results.collect(),
                revision: snapshot.revision().get(),
            }))
        })
    })
}

/// Answers at once if the revision is there, and otherwise when it has come.
fn answer<M: Send + Sync + 'static, T: Send + 'static>(
    door: &Arc<Door>,
    request: Request<M>,
    rpc: (Rpc, DecisionRpc),
    attempt: impl Fn(&Door, Received<'_, M>) -> Result<Attempt<Response<T>>, Failure> + Send + 'static,
) -> Answering<T> {
    let started = Instant::now();
    let traced = door.traced_by(rpc.0, request.metadata());
    let tell = move |door: &Door, traced, answered| door.told_of(rpc, (started, traced), answered);
    let received =
        Received { extensions: request.extensions(), traced: &traced, message: request.get_ref() };
    let (tenant, at_least) = match attempt(door, received) {
        Ok(Attempt::Answered(answer)) => {
            return Either::Left(ready(tell(door, traced, Ok(answer))));
        }
        Err(failure) => return Either::Left(ready(tell(door, traced, Err(failure)))),
        Ok(Attempt::Waits { tenant, at_least }) => (tenant, at_least),
    };
    let door = Arc::clone(door);
    Either::Right(Box::pin(async move {
        let (metadata, extensions, message) = request.into_parts();
        let patience = super::patience::patience(&metadata, door.max_wait);
        let waited = match granted(&extensions, &tenant) {
            Ok(granted) => door.wait(granted, at_least, patience).await,
            Err(failure) => Err(failure),
        };
        let received = Received { extensions: &extensions, traced: &traced, message: &message };
        let answered = waited.and_then(|()| match attempt(&door, received)? {
            Attempt::Answered(answer) => Ok(answer),
            Attempt::Waits { tenant, at_least } => Err(door.not_reached(&tenant, at_least)),
        });
        tell(&door, traced, answered)
    }))
}

/// Decides many questions on one snapshot. The results are in the order of the questions.
pub(super) fn decide_all(
    snapshot: &Snapshot,
    questions: &[borrowed::Question<'_>],
    now: Timestamp,
) -> Vec<Result<SessionDecision, Malformed>> {
    check_all(questions.iter().map(|wire| question(*wire)), snapshot, now)
}

/// Decides one question.
fn decide(
    snapshot: &Snapshot,
    wire: borrowed::Question<'_>,
    now: Timestamp,
) -> Result<SessionDecision, Malformed> {
    question(wire)?.check(snapshot, now)
}

/// Why a question among others has no decision.
pub(super) fn question_error(failure: Failure) -> v1::QuestionError {
    let field = match &failure {
        Failure::Malformed(malformed) => malformed.path.clone(),
        _ => String::new(),
    };
    v1::QuestionError {
        code: failure.code().into(),
        message: failure.to_string(),
        reason: failure.reason().to_owned(),
        field,
        retry_delay: failure.retry_after().and_then(|delay| delay.try_into().ok()),
    }
}

// === impl Door ===

impl Door {
    fn grpc<T: Message + 'static>(&self) -> Grpc<AsReceived<T>> {
        Grpc::new(AsReceived(PhantomData)).max_decoding_message_size(self.max_message_bytes)
    }

    /// Reads the tenant's snapshot, if it is as fresh as wanted.
    fn attempt<T>(
        &self,
        granted: Granted<'_>,
        at_least: u64,
        read: impl FnOnce(&Snapshot, Timestamp) -> Result<T, Failure>,
    ) -> Result<Attempt<T>, Failure> {
        let at_least = Revision::new(at_least);
        let (snapshot, now) = self.snapshot(granted)?;
        if snapshot.revision() < at_least {
            return Ok(Attempt::Waits { tenant: granted.tenant().to_owned(), at_least });
        }
        read(&snapshot, now).map(Attempt::Answered)
    }

    /// Counts a decision, notes it and words it. It has a name where somebody could look for it.
    pub(super) fn told(
        &self,
        asking: &Asking<'_>,
        wire: borrowed::Question<'_>,
        decision: &SessionDecision,
    ) -> (v1::Decision, Option<DecisionId>) {
        let noted = || Some(question(wire).ok()?.noted());
        let id = self.noted(asking, &decision.decision, None, noted);
        (decided(decision), id)
    }
}

// === impl AsReceived ===

impl<T: Message + 'static> Codec for AsReceived<T> {
    type Encode = T;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self(PhantomData)
    }

    fn decoder(&mut self) -> Self {
        Self(PhantomData)
    }
}

impl<T: Message + 'static> Encoder for AsReceived<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        // It grows as is needed.
        item.encode(into).map_err(|error| Status::internal(error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(SHORT, LONG)
    }
}

impl<T: Send + 'static> Decoder for AsReceived<T> {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = from.remaining();
        Ok(Some(from.copy_to_bytes(length)))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(SHORT, LONG)
    }
}
