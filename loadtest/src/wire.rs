//! What goes over the wire, made in advance: a measured client only sends bytes and looks at the
//! effect that comes back, for the server and for the floors alike.

use http::uri::PathAndQuery;
use pdp_client::engine::change_to_wire;
use pdp_engine::facts::Change;
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::Effect;
use pdp_proto::v1;
use prost::Message as _;
use prost::bytes::{Buf as _, BufMut as _, Bytes};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use crate::questions::Ask;

/// The path of Check.
pub const CHECK: &str = "/pdp.v1.DecisionService/Check";

/// The path of BatchCheck.
pub const BATCH_CHECK: &str = "/pdp.v1.DecisionService/BatchCheck";

/// The path of CheckStream.
pub const CHECK_STREAM: &str = "/pdp.v1.DecisionService/CheckStream";

/// The path of Apply.
pub const APPLY: &str = "/pdp.v1.PolicyService/Apply";

/// The path of AuthZEN's evaluations.
pub const EVALUATIONS: &str = "/access/v1/evaluations";

/// The most questions that a server takes in a batch.
pub const MAX_BATCH: usize = 1_000;

/// A codec that leaves bytes as they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Raw;

/// A request that is ready to be sent, and what is expected back.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The message.
    pub body: Bytes,
    /// The answers, one a question; empty where the answers are not held against anything.
    pub expected: Vec<Effect>,
}

/// How an answer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// One decision.
    Check,
    /// Many decisions.
    Batch,
    /// Many decisions, as JSON.
    Evaluations,
    /// One decision of a stream, with the number of its question.
    Stream,
    /// The outcome of a change set.
    Apply,
    /// Nothing: a floor.
    Nothing,
}

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Answered {
    /// How many ALLOW.
    pub allows: u32,
    /// How many DENY and REQUIRES_APPROVAL.
    pub denies: u32,
    /// How many were not what was expected.
    pub wrong: u32,
    /// How many have no decision.
    pub errors: u32,
}

/// Requests of one kind, to be sent over and over.
#[derive(Debug, Clone)]
pub struct Requests {
    /// Where to.
    pub path: PathAndQuery,
    /// How answers are read.
    pub reads: Reads,
    /// How many questions each asks; a floor's request counts as one.
    pub questions: u32,
    /// What is sent.
    pub prepared: Vec<Prepared>,
}

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = from.remaining();
        Ok(Some(from.copy_to_bytes(length)))
    }
}

// === impl Requests ===

impl Requests {
    /// A Check for each question.
    #[must_use]
    pub fn checks(tenant: &str, asks: &[Ask]) -> Self {
        let prepared = asks.iter().map(|ask| {
            let (tenant, question) = (tenant.to_owned(), Some(question(ask)));
            let message = v1::CheckRequest { tenant, question, at_least: 0 };
            Prepared { body: message.encode_to_vec().into(), expected: vec![ask.expected] }
        });
        let path = PathAndQuery::from_static(CHECK);
        Self { path, reads: Reads::Check, questions: 1, prepared: prepared.collect() }
    }

    /// A question on a stream for each; their numbers are their places.
    #[must_use]
    pub fn streamed(tenant: &str, asks: &[Ask]) -> Self {
        let prepared = asks.iter().zip(0_u64..).map(|(ask, number)| {
            let (tenant, question) = (tenant.to_owned(), Some(question(ask)));
            let message = v1::CheckStreamRequest { number, tenant, question, at_least: 0 };
            Prepared { body: message.encode_to_vec().into(), expected: vec![ask.expected] }
        });
        let path = PathAndQuery::from_static(CHECK_STREAM);
        Self { path, reads: Reads::Stream, questions: 1, prepared: prepared.collect() }
    }

    /// A BatchCheck for each `size` questions; what is left over is not asked. A size that no
    /// server takes is cut to [`MAX_BATCH`].
    #[must_use]
    pub fn batches(tenant: &str, asks: &[Ask], size: usize) -> Self {
        let size = size.clamp(1, MAX_BATCH);
        let prepared = asks.chunks_exact(size).map(|asks| {
            let questions = asks.iter().map(question).collect();
            let message =
                v1::BatchCheckRequest { tenant: tenant.to_owned(), questions, at_least: 0 };
            let expected = asks.iter().map(|ask| ask.expected).collect();
            Prepared { body: message.encode_to_vec().into(), expected }
        });
        let path = PathAndQuery::from_static(BATCH_CHECK);
        let questions = u32::try_from(size).unwrap_or(u32::MAX);
        Self { path, reads: Reads::Batch, questions, prepared: prepared.collect() }
    }

    /// AuthZEN's evaluations of `size` questions, as [`Requests::batches`].
    #[must_use]
    pub fn evaluations(asks: &[Ask], size: usize) -> Self {
        let size = size.clamp(1, MAX_BATCH);
        let prepared = asks.chunks_exact(size).map(|asks| {
            let evaluations: Vec<_> = asks.iter().map(evaluation).collect();
            let body = serde_json::json!({ "evaluations": evaluations }).to_string();
            let expected = asks.iter().map(|ask| ask.expected).collect();
            Prepared { body: body.into(), expected }
        });
        let path = PathAndQuery::from_static(EVALUATIONS);
        let questions = u32::try_from(size).unwrap_or(u32::MAX);
        Self { path, reads: Reads::Evaluations, questions, prepared: prepared.collect() }
    }

    /// An Apply of each change alone.
    #[must_use]
    pub fn applies(tenant: &str, changes: &[Change]) -> Self {
        let prepared = changes.iter().map(|change| {
            let message = v1::ApplyRequest {
                tenant: tenant.to_owned(),
                changes: vec![change_to_wire(change)],
                expected_revision: None,
                dry_run: false,
                request_id: String::new(),
                on_behalf_of: None,
            };
            Prepared { body: message.encode_to_vec().into(), expected: Vec::new() }
        });
        let path = PathAndQuery::from_static(APPLY);
        Self { path, reads: Reads::Apply, questions: 0, prepared: prepared.collect() }
    }

    /// The same message over and over, whose answer is not read.
    #[must_use]
    pub fn floor(path: &'static str, body: Bytes, questions: u32) -> Self {
        let prepared = vec![Prepared { body, expected: Vec::new() }];
        let path = PathAndQuery::from_static(path);
        Self { path, reads: Reads::Nothing, questions, prepared }
    }

    /// The same requests without holding the answers against anything: the policy changes meanwhile.
    #[must_use]
    pub fn unexpected(mut self) -> Self {
        for prepared in &mut self.prepared {
            prepared.expected.clear();
        }
        self
    }

    /// The n-th request; they begin anew after the last. `None` if there are none.
    #[must_use]
    pub fn at(&self, n: u64) -> Option<&Prepared> {
        let n = n.checked_rem(self.prepared.len() as u64)?;
        self.prepared.get(n as usize)
    }

    /// What an answer says.
    #[must_use]
    pub fn read(&self, prepared: &Prepared, answer: Bytes) -> Answered {
        let mut answered = Answered::default();
        match self.reads {
            Reads::Check => match v1::CheckResponse::decode(answer) {
                Ok(message) => answered.add(message.decision.as_ref(), prepared.expected.first()),
                Err(_) => answered.errors += 1,
            },
            Reads::Batch => match v1::BatchCheckResponse::decode(answer) {
                Ok(message) if message.results.len() == self.questions as usize => {
                    for (at, result) in message.results.iter().enumerate() {
                        let decision = match &result.result {
                            Some(v1::batch_check_result::Result::Decision(it)) => Some(it),
                            Some(v1::batch_check_result::Result::Error(_)) | None => None,
                        };
                        answered.add(decision, prepared.expected.get(at));
                    }
                }
                Ok(_) | Err(_) => answered.errors += self.questions,
            },
            Reads::Evaluations => match serde_json::from_slice::<Evaluations>(&answer) {
                Ok(Evaluations { evaluations }) if evaluations.len() == self.questions as usize => {
                    for (at, Evaluation { decision }) in evaluations.into_iter().enumerate() {
                        // JSON has no more than yes and no.
                        let expected = prepared.expected.get(at).map(|it| *it == Effect::Allow);
                        answered.allows += u32::from(decision);
                        answered.denies += u32::from(!decision);
                        answered.wrong += u32::from(expected.is_some_and(|it| it != decision));
                    }
                }
                Ok(_) | Err(_) => answered.errors += self.questions,
            },
            Reads::Stream => {
                use v1::check_stream_response::Result as Outcome;
                match v1::CheckStreamResponse::decode(answer).map(|message| message.result) {
                    Ok(Some(Outcome::Decision(decision))) => {
                        answered.add(Some(&decision), prepared.expected.first());
                    }
                    Ok(Some(Outcome::Error(_)) | None) | Err(_) => answered.errors += 1,
                }
            }
            Reads::Apply | Reads::Nothing => {}
        }
        answered
    }
}

// === impl Answered ===

impl Answered {
    fn add(&mut self, decision: Option<&v1::Decision>, expected: Option<&Effect>) {
        let effect = match decision.map(v1::Decision::effect) {
            Some(v1::Effect::Allow) => Effect::Allow,
            Some(v1::Effect::Deny) => Effect::Deny,
            Some(v1::Effect::RequiresApproval) => Effect::RequiresApproval,
            Some(v1::Effect::Unspecified) | None => {
                self.errors += 1;
                return;
            }
        };
        let allow = effect == Effect::Allow;
        self.allows += u32::from(allow);
        self.denies += u32::from(!allow);
        self.wrong += u32::from(expected.is_some_and(|expected| *expected != effect));
    }
}

/// An answer to [`EVALUATIONS`], as far as it is read.
#[derive(serde::Deserialize)]
struct Evaluations {
    evaluations: Vec<Evaluation>,
}

#[derive(serde::Deserialize)]
struct Evaluation {
    decision: bool,
}

fn evaluation(ask: &Ask) -> serde_json::Value {
    let Ask { account, subject, kind, permission, type_name, id, expected: _ } = ask;
    let subject_type = if *account { "account" } else { "person" };
    let action = match kind {
        PermissionKind::Operation => format!("operation:{permission}"),
        PermissionKind::Right => format!("right:{permission}"),
    };
    serde_json::json!({
        "subject": { "type": subject_type, "id": subject },
        "action": { "name": action },
        "resource": { "type": type_name, "id": id },
    })
}

fn question(ask: &Ask) -> v1::Question {
    let Ask { account, subject, kind, permission, type_name, id, expected: _ } = ask;
    let subject = match account {
        true => v1::subject::Subject::Account(subject.clone()),
        false => v1::subject::Subject::Person(subject.clone()),
    };
    let permission = match kind {
        PermissionKind::Operation => v1::question::Permission::Operation(permission.clone()),
        PermissionKind::Right => v1::question::Permission::Right(permission.clone()),
    };
    v1::Question {
        subject: Some(v1::Subject { subject: Some(subject) }),
        permission: Some(permission),
        resource: Some(v1::ResourceRef { r#type: type_name.clone(), id: id.clone() }),
        counterpart: None,
        no_routing: false,
    }
}
