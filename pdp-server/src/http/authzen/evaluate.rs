//! One evaluation, and several.

use std::sync::Arc;

use axum::response::Response;
use pdp_bundle::callers::Role;
use pdp_engine::query::{Decision, Effect, Reason};
use pdp_engine::session::SessionDecision;
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;
use pdp_proto::v1;
use serde::Serialize;

use super::super::json::{Json, Object};
use super::answer::Answer;
use super::approval::{Approvers, MAX_ITEMS_TOLD, approvable};
use super::request::{Read, Tuple, optional_object, text, told};
use super::{Options, Refused, json};
use crate::callers::Granted;
use crate::decision_id::DecisionId;
use crate::rpc::{Door, Failure, Malformed, check_all};
use crate::telemetry::{DecisionRpc, Traced};

/// Asks for one request.
pub(super) struct Asker<'a> {
    pub(super) options: &'a Options,
    pub(super) door: &'a Arc<Door>,
    pub(super) granted: Granted<'a>,
    pub(super) rpc: DecisionRpc,
    /// How the request is traced.
    pub(super) traced: &'a Traced,
}

/// A decision and its name.
type Named = (SessionDecision, DecisionId);

/// Which of several evaluations are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Semantic {
    ExecuteAll,
    DenyOnFirstDeny,
    PermitOnFirstPermit,
}

/// How many evaluations are made together at most: enough for their waiting to overlap.
const TOGETHER: usize = 64;

/// Evaluations that somebody could agree to: which of the request's, and what was asked.
type Unapproved = Vec<(usize, v1::Question)>;

#[derive(Serialize)]
struct Answers<'a> {
    evaluations: Vec<Answer<'a>>,
}

// === impl Asker ===

impl Asker<'_> {
    /// One evaluation.
    pub(super) async fn one(&self, request: &Object<'_>) -> Result<Response, Refused> {
        let asked = Tuple::read(request)?;
        let ((decided, id), now) = {
            let (snapshot, now) = self.door.snapshot(self.granted)?;
            (self.decide(asked, &snapshot, now)?, now)
        };
        let mut answer = Answer::told(&decided, id, self.options, now);
        if let Some(question) = self.unapproved(&decided, Some(&asked)) {
            answer.approved_by(Approvers::list(self, question).await);
        }
        Ok(written(&answer)?)
    }

    /// Several, or one where the request holds no others.
    pub(super) async fn many(&self, request: &Object<'_>) -> Result<Response, Refused> {
        let semantic = Semantic::read(request)?;
        match request.get("evaluations") {
            None | Some(Json::Null) => self.one(request).await,
            Some(Json::List(items)) if items.is_empty() => self.one(request).await,
            Some(items) => {
                let (mut evaluations, unapproved) = self.every(request, items, semantic)?;
                for (at, question) in unapproved {
                    if let Some(answer) = evaluations.get_mut(at) {
                        answer.approved_by(Approvers::list(self, question).await);
                    }
                }
                Ok(written(&Answers { evaluations })?)
            }
        }
    }

    /// The answers of several, and which of them are to say who could agree.
    fn every(
        &self,
        request: &Object<'_>,
        items: &Json<'_>,
        semantic: Semantic,
    ) -> Result<(Vec<Answer<'_>>, Unapproved), Failure> {
        let items = match items {
            Json::List(items) => items,
            other => {
                let message = format_args!("is {}; expected an array", other.kind());
                return Err(Malformed::new("evaluations", message).into());
            }
        };
        let maximum = self.options.max_evaluations;
        if items.len() > maximum {
            return Err(Failure::Limit {
                limit: "max_evaluations",
                field: "evaluations",
                unit: "items",
                maximum,
                actual: items.len(),
            });
        }
        let defaults = Tuple::read(request)?;
        let (snapshot, now) = self.door.snapshot(self.granted)?;
        let (mut evaluations, mut unapproved) = (Vec::with_capacity(items.len()), Vec::new());
        for part in items.chunks(semantic.together()) {
            let asked = part.iter().map(|item| item_of(item).map(|item| item.or(defaults)));
            let asked: Vec<_> = asked.collect();
            for (asked, decided) in asked.iter().zip(self.decide_all(&asked, &snapshot, now)) {
                let explain = defaults.wants_explanation()
                    || asked.as_ref().is_ok_and(|asked| asked.wants_explanation());
                evaluations.push(match decided {
                    Ok((decided, id)) if explain => {
                        if let Some(question) = self.unapproved(&decided, asked.as_ref().ok())
                            && unapproved.len() < MAX_ITEMS_TOLD
                        {
                            unapproved.push((evaluations.len(), question));
                        }
                        Answer::told(&decided, id, self.options, now)
                    }
                    Ok((decided, _)) => Answer::bare(&decided),
                    Err(malformed) => Answer::error(sentence(malformed)),
                });
            }
            if evaluations.last().is_some_and(|last| semantic.ends_with(last.permits())) {
                break;
            }
        }
        Ok((evaluations, unapproved))
    }

    /// The question that somebody could agree to, if the caller may be told who.
    fn unapproved(
        &self,
        decided: &SessionDecision,
        asked: Option<&Tuple<'_>>,
    ) -> Option<v1::Question> {
        // A list has to wait for the policy, and no decision waits for a list.
        let requires = decided.decision.effect == Effect::RequiresApproval && !self.door.is_early();
        if !requires || !self.granted.asker().has(Role::Explain, self.granted.tenant()) {
            return None;
        }
        approvable(&asked?.question(&self.options.person_types).ok()?.asked)
    }

    fn decide(
        &self,
        asked: Tuple<'_>,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<Named, Malformed> {
        let read = asked.question(&self.options.person_types)?;
        self.decided(&read, read.asked.check(snapshot, now), snapshot, now)
    }

    /// Decides several that have no influence on each other, in their order.
    fn decide_all(
        &self,
        asked: &[Result<Tuple<'_>, Malformed>],
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Vec<Result<Named, Malformed>> {
        let read = asked.iter().map(|asked| match asked {
            Ok(asked) => asked.question(&self.options.person_types),
            Err(malformed) => Err(malformed.clone()),
        });
        let read: Vec<_> = read.collect();
        let questions = read.iter().filter_map(|read| Some(Ok(read.as_ref().ok()?.asked)));
        let mut answers = check_all(questions, snapshot, now).into_iter();
        let decided = |read: Result<Read<'_>, Malformed>| {
            let read = read?;
            let answer = answers.next().unwrap_or_else(|| read.asked.check(snapshot, now));
            self.decided(&read, answer, snapshot, now)
        };
        read.into_iter().map(decided).collect()
    }

    /// What a question's answer comes to as the answer to an evaluation.
    fn decided(
        &self,
        read: &Read<'_>,
        answer: Result<SessionDecision, Malformed>,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<Named, Malformed> {
        let mut decided = answer.map_err(told)?;
        if read.nobody.is_some() {
            // Asked, so that a question that is none is refused first (Q6).
            let revision = snapshot.revision();
            let decision =
                Decision { effect: Effect::Deny, reason: Reason::UnknownSubject, revision };
            decided = SessionDecision { decision, obligations: None };
        }
        let id = self.door.decision_id();
        let asking = self.door.asking(self.rpc, self.granted, now, self.traced);
        self.door.noted(&asking, &decided.decision, Some(id), || Some(read.noted()));
        Ok((decided, id))
    }
}

fn item_of<'a>(item: &'a Json<'a>) -> Result<Tuple<'a>, Malformed> {
    match item {
        Json::Object(item) => Tuple::read(item),
        other => Err(Malformed::new("", format_args!("is {}; expected an object", other.kind()))),
    }
}

fn sentence(malformed: Malformed) -> String {
    let Malformed { path, message } = malformed;
    if path.is_empty() { message } else { format!("`{path}`: {message}") }
}

fn written(answer: &impl Serialize) -> Result<Response, Failure> {
    serde_json::to_vec(answer).map(json).map_err(|_| Failure::Internal)
}

// === impl Semantic ===

impl Semantic {
    fn read(request: &Object<'_>) -> Result<Self, Malformed> {
        let Some(options) = optional_object(request, "options")? else {
            return Ok(Self::ExecuteAll);
        };
        let said = text(options, "evaluations_semantic").map_err(|it| it.inside("options"))?;
        match said {
            None | Some("execute_all") => Ok(Self::ExecuteAll),
            Some("deny_on_first_deny") => Ok(Self::DenyOnFirstDeny),
            Some("permit_on_first_permit") => Ok(Self::PermitOnFirstPermit),
            Some(_) => Err(Malformed::new(
                "options.evaluations_semantic",
                "must be `execute_all`, `deny_on_first_deny` or `permit_on_first_permit`",
            )),
        }
    }

    /// How many evaluations are made together: where one may be the last, each by itself.
    const fn together(self) -> usize {
        match self {
            Self::ExecuteAll => TOGETHER,
            Self::DenyOnFirstDeny | Self::PermitOnFirstPermit => 1,
        }
    }

    /// Whether nothing is asked after an evaluation that permits, or does not.
    const fn ends_with(self, permits: bool) -> bool {
        match self {
            Self::ExecuteAll => false,
            Self::DenyOnFirstDeny => !permits,
            Self::PermitOnFirstPermit => permits,
        }
    }
}
