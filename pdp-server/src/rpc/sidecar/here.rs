//! What a sidecar decides itself: what depends on the policy alone, while the policy is fresh and of the
//! revision that is asked for. The client library leaves the same to the server (`pdp-client`, `local`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use pdp_engine::query::{ObjectRef, Question, Reason, Revision, SubjectRef};
use pdp_engine::resource::BuiltInType;
use pdp_engine::session::SessionDecision;
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;
use pdp_engine::vault::VaultQuestion;
use pdp_proto::v1;
use pdp_proto::v1::check_stream_response::Result as Outcome;
use prost::bytes::Bytes;
use tonic::{Request, Response};

use super::super::borrowed::{self, BatchCheckRequest, CheckRequest, CheckStreamRequest};
use super::super::check_stream::Sender;
use super::super::decision::MAX_BATCH;
use super::super::leave::granted;
use super::super::noted::with_id;
use super::super::question::{Asked, check_all, question};
use super::super::{Door, Failure};
use super::Sidecar;
use crate::callers::Granted;
use crate::sync::Guard;
use crate::telemetry::{DecisionRpc, Rpc};

/// Answers a Check.
pub(super) fn check(
    door: &Door,
    sidecar: &Sidecar,
    request: &Request<Bytes>,
) -> Option<Response<v1::CheckResponse>> {
    let started = Instant::now();
    let CheckRequest { tenant, question, at_least } = CheckRequest::read(request.get_ref()).ok()?;
    let granted = granted(request.extensions(), tenant).ok()?;
    let (snapshot, now) = sidecar.kept(door, granted, at_least)?;
    let wire = question?;
    let decided = decide(&snapshot, wire, now)?;
    let traced = door.traced_by(Rpc::Check, request.metadata());
    let asking = door.asking(DecisionRpc::Check, granted, now, &traced);
    let (decision, id) = door.told(&asking, wire, &decided);
    let answer = with_id(v1::CheckResponse { decision: Some(decision) }, id);
    let rpc = (Rpc::Check, DecisionRpc::Check);
    door.told_of(rpc, (started, traced), Ok(answer)).ok()
}

/// Answers a BatchCheck: all of it, as its decisions are of one revision.
pub(super) fn batch_check(
    door: &Door,
    sidecar: &Sidecar,
    request: &Request<Bytes>,
) -> Option<Response<v1::BatchCheckResponse>> {
    let started = Instant::now();
    let read = BatchCheckRequest::read(request.get_ref(), MAX_BATCH).ok()?;
    let BatchCheckRequest { tenant, questions, count, at_least } = read;
    if count > door.max_batch.min(MAX_BATCH) {
        return None;
    }
    let granted = granted(request.extensions(), tenant).ok()?;
    let (snapshot, now) = sidecar.kept(door, granted, at_least)?;
    let asked = questions.iter().map(|wire| asked(*wire)).collect::<Option<Vec<_>>>()?;
    let decided = check_all(asked.iter().map(|asked| Ok(*asked)), &snapshot, now);
    let decided = asked.iter().zip(decided).map(|(asked, decided)| settled(asked, decided.ok()?));
    let decided = decided.collect::<Option<Vec<_>>>()?;
    let traced = door.traced_by(Rpc::BatchCheck, request.metadata());
    let asking = door.asking(DecisionRpc::BatchCheck, granted, now, &traced);
    let results = questions.iter().zip(&decided).map(|(wire, decided)| {
        let decision = door.told(&asking, *wire, decided).0;
        let result = Some(v1::batch_check_result::Result::Decision(decision));
        v1::BatchCheckResult { result }
    });
    let results = results.collect();
    let answer = v1::BatchCheckResponse { results, revision: snapshot.revision().get() };
    let rpc = (Rpc::BatchCheck, DecisionRpc::BatchCheck);
    door.told_of(rpc, (started, traced), Ok(Response::new(answer))).ok()
}

/// Answers questions of a stream that are about one tenant, up to one that the server has to be asked.
pub(in crate::rpc) fn answer_group(
    door: &Door,
    sidecar: &Sidecar,
    from: Sender<'_>,
    group: &[&CheckStreamRequest<'_>],
    made: &mut VecDeque<v1::CheckStreamResponse>,
) -> Option<(String, Revision)> {
    let asks = |it: &CheckStreamRequest<'_>| (it.tenant.to_owned(), Revision::new(it.at_least));
    let first = group.first()?;
    let kept = granted(from.extensions, first.tenant).ok();
    let kept = kept.and_then(|granted| Some((granted, sidecar.kept(door, granted, 0)?)));
    let Some((granted, (snapshot, now))) = kept else { return Some(asks(first)) };
    let asking = door.asking(DecisionRpc::CheckStream, granted, now, from.traced);
    for read in group {
        let is_there = read.at_least <= snapshot.revision().get();
        let wire = read.question.filter(|_| is_there);
        let decided = wire.and_then(|wire| Some((wire, decide(&snapshot, wire, now)?)));
        let Some((wire, decided)) = decided else { return Some(asks(read)) };
        made.push_back(v1::CheckStreamResponse {
            number: read.number,
            result: Some(Outcome::Decision(door.told(&asking, wire, &decided).0)),
        });
    }
    None
}

/// Decides a question, if it depends on nothing but the policy. What is wrong with one is for the server to
/// say.
fn decide(
    snapshot: &Snapshot,
    wire: borrowed::Question<'_>,
    now: Timestamp,
) -> Option<SessionDecision> {
    let asked = asked(wire)?;
    settled(&asked, asked.check(snapshot, now).ok()?)
}

/// A question that may depend on nothing but the policy: what an account counts as depends on the sessions
/// that use it, and so do sessions (P10).
fn asked(wire: borrowed::Question<'_>) -> Option<Asked<'_>> {
    let asked = question(wire).ok()?;
    let subject = match &asked {
        Asked::Access(Question { subject, .. }) | Asked::Vault(VaultQuestion { subject, .. }) => {
            subject
        }
        Asked::Session(_) => return None,
    };
    matches!(subject, SubjectRef::Person(_)).then_some(asked)
}

/// The decision, unless it is about an account that may have been made for a session: no policy names it (P10).
fn settled(asked: &Asked<'_>, decided: SessionDecision) -> Option<SessionDecision> {
    let of_session = |object: &ObjectRef<'_>| object.type_name == BuiltInType::UserAccount.as_str();
    let may_be = match asked {
        Asked::Access(Question { resource, counterpart, .. }) => {
            of_session(resource) || counterpart.as_ref().is_some_and(of_session)
        }
        Asked::Vault(VaultQuestion { entity, .. }) => of_session(entity),
        Asked::Session(_) => true,
    };
    (decided.decision.reason != Reason::UnknownResource || !may_be).then_some(decided)
}

// === impl Sidecar ===

impl Sidecar {
    /// What is kept of the tenant's policy, if it may be decided on and is as fresh as wanted, loaded once; and the
    /// instant to decide for.
    fn kept(
        &self,
        door: &Door,
        granted: Granted<'_>,
        at_least: u64,
    ) -> Option<(Guard<Arc<Snapshot>>, Timestamp)> {
        if !self.followed.is_fresh(granted.tenant()) {
            return None;
        }
        // Without one, another history has just taken its place.
        let (snapshot, now) = door.snapshot(granted).map_err(|_: Failure| ()).ok()?;
        (snapshot.revision() >= Revision::new(at_least)).then_some((snapshot, now))
    }
}
