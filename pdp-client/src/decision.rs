//! Answers as a caller reads them. What is not understood is an error here, never an `ALLOW`.

use std::fmt;

use pdp_proto::v1;

use crate::attempt::Repeat;
use crate::balance::Subchannel;
use crate::call::Error;
use crate::client::Client;
use crate::obligation::Obligations;
use crate::question::{Permission, Question};
use crate::reason::Reason;
use crate::refusal::{FieldViolation, Refusal};

/// A tenant's policy counts its changes: 0 is the empty policy, then 1, 2, 3. As the consistency
/// token of a decision it goes into [`Client::at_least`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(u64);

/// What a decision comes to. Only [`Effect::Allow`] means: go ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Go ahead.
    Allow,
    /// Do not.
    Deny,
    /// Not yet: somebody else has to agree.
    RequiresApproval,
}

/// An answer: what it comes to, why, and the revision it was computed on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    /// What it comes to.
    pub effect: Effect,
    /// Why.
    pub reason: Reason,
    /// The policy revision it was computed on.
    pub revision: Revision,
    /// With an `ALLOW` of a session, what goes with it; `None` otherwise.
    pub obligations: Option<Obligations>,
}

/// Answers to many questions, all on one revision and at one instant.
#[derive(Debug)]
#[must_use]
pub struct Batch {
    /// One result a question, in the order of the questions. A question that is not well formed
    /// has an error of its own.
    pub results: Vec<Result<Decision, Refusal>>,
    /// The revision they were computed on.
    pub revision: Revision,
}

/// A decision with everything that led to it.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Explanation {
    /// The decision, the same that a check gives.
    pub decision: Decision,
    /// Everything, as it travelled.
    pub message: v1::Explanation,
}

// === impl Revision ===

impl Revision {
    /// The revision of this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl Effect ===

impl Effect {
    /// The effect's code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "ALLOW",
            Self::Deny => "DENY",
            Self::RequiresApproval => "REQUIRES_APPROVAL",
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Decision ===

impl Decision {
    /// Whether to go ahead: only `ALLOW` is.
    #[must_use]
    pub const fn is_allow(&self) -> bool {
        matches!(self.effect, Effect::Allow)
    }

    pub(crate) fn from_wire(
        decision: Option<v1::Decision>,
        at_least: Revision,
    ) -> Result<Self, Error> {
        let Some(v1::Decision { effect, reason, revision, obligations }) = decision else {
            return Err(Error::protocol("it holds no decision"));
        };
        let (reason, revision) = (Reason::from_wire(reason), Revision::new(revision));
        let effect = match v1::Effect::try_from(effect) {
            Ok(v1::Effect::Allow) => Effect::Allow,
            Ok(v1::Effect::Deny) => Effect::Deny,
            Ok(v1::Effect::RequiresApproval) => Effect::RequiresApproval,
            Ok(v1::Effect::Unspecified) | Err(_) => {
                return Err(Error::protocol(format!("its effect {effect} is not a known one")));
            }
        };
        if effect == Effect::Allow && reason != Reason::Granted {
            return Err(Error::protocol(format!("it allows with the reason {reason}")));
        }
        fresh_enough(revision, at_least)?;
        let obligations = obligations.map(Obligations::from_wire).transpose()?;
        if effect != Effect::Allow && obligations.is_some() {
            return Err(Error::protocol(format!("its {effect} carries obligations")));
        }
        Ok(Self { effect, reason, revision, obligations })
    }

    /// The decision, if it can be the answer to a question about this. An `ALLOW` of a session is
    /// none without its obligations: whoever opened the session would not know when to end it.
    pub(crate) fn about(self, permission: &Permission) -> Result<Self, Error> {
        if self.effect != Effect::Allow {
            return Ok(self);
        }
        let missing = match (permission, &self.obligations) {
            (Permission::Session(_), None) => true,
            (Permission::Session(Some(_)), Some(due)) => due.privileged.is_none(),
            _ => false,
        };
        if missing {
            return Err(Error::protocol("it allows a session without its obligations"));
        }
        Ok(self)
    }
}

pub(crate) fn fresh_enough(revision: Revision, at_least: Revision) -> Result<(), Error> {
    if revision < at_least {
        let message = format!("it is of revision {revision}, and {at_least} was asked for");
        return Err(Error::protocol(message));
    }
    Ok(())
}

// === impl Client ===

impl Client {
    /// Decides one question.
    ///
    /// An unknown subject, resource or permission is a decision (`DENY`) and not an error.
    ///
    /// # Errors
    /// [`Error`] if there is no decision: treat it as neither `ALLOW` nor `DENY`.
    pub async fn check(&self, question: &Question) -> Result<Decision, Error> {
        let request = || v1::CheckRequest {
            tenant: self.tenant().to_owned(),
            question: Some(question.to_wire()),
            at_least: self.oldest().get(),
        };
        let send = |server: &Subchannel, request| {
            let mut service = server.decisions();
            async move { service.check(request).await }
        };
        let v1::CheckResponse { decision } = self.unary(Repeat::Read, request, send).await?;
        Decision::from_wire(decision, self.oldest())?.about(&question.permission)
    }

    /// Decides up to 1,000 questions on one revision and at one instant.
    ///
    /// # Errors
    /// [`Error`] if there are no results. A question that is not well formed is an error of its
    /// own among the results and leaves the others alone.
    pub async fn batch_check(&self, questions: &[Question]) -> Result<Batch, Error> {
        let request = || v1::BatchCheckRequest {
            tenant: self.tenant().to_owned(),
            questions: questions.iter().map(Question::to_wire).collect(),
            at_least: self.oldest().get(),
        };
        let send = |server: &Subchannel, request| {
            let mut service = server.decisions();
            async move { service.batch_check(request).await }
        };
        let v1::BatchCheckResponse { results, revision } =
            self.unary(Repeat::Read, request, send).await?;
        let revision = Revision::new(revision);
        fresh_enough(revision, self.oldest())?;
        if results.len() != questions.len() {
            let (got, asked) = (results.len(), questions.len());
            return Err(Error::protocol(format!("it holds {got} results for {asked} questions")));
        }
        let results = results
            .into_iter()
            .zip(questions)
            .map(|(item, question)| item_from_wire(item, question, revision));
        Ok(Batch { results: results.collect::<Result<_, _>>()?, revision })
    }

    /// Decides one question as [`Client::check`] does, and tells everything that led to it.
    ///
    /// # Errors
    /// As [`Client::check`].
    pub async fn explain(&self, question: &Question) -> Result<Explanation, Error> {
        let request = || v1::ExplainRequest {
            tenant: self.tenant().to_owned(),
            question: Some(question.to_wire()),
            at_least: self.oldest().get(),
        };
        let send = |server: &Subchannel, request| {
            let mut service = server.decisions();
            async move { service.explain(request).await }
        };
        let v1::ExplainResponse { explanation } = self.unary(Repeat::Read, request, send).await?;
        let Some(message) = explanation else {
            return Err(Error::protocol("it holds no explanation"));
        };
        Explanation::from_wire(message, &question.permission, self.oldest())
    }
}

// === impl Explanation ===

impl Explanation {
    pub(crate) fn from_wire(
        message: v1::Explanation,
        permission: &Permission,
        at_least: Revision,
    ) -> Result<Self, Error> {
        let decision = Decision::from_wire(message.decision.clone(), at_least)?;
        Ok(Self { decision: decision.about(permission)?, message })
    }
}

/// One result of a batch; every decision must be of the batch's revision.
fn item_from_wire(
    item: v1::BatchCheckResult,
    question: &Question,
    revision: Revision,
) -> Result<Result<Decision, Refusal>, Error> {
    match item.result {
        Some(v1::batch_check_result::Result::Decision(decision)) => {
            let decision =
                Decision::from_wire(Some(decision), revision)?.about(&question.permission)?;
            if decision.revision != revision {
                return Err(Error::protocol("its decisions are of different revisions"));
            }
            Ok(Ok(decision))
        }
        Some(v1::batch_check_result::Result::Error(error)) => Ok(Err(refusal_from_wire(error))),
        None => Err(Error::protocol("one of its results is empty")),
    }
}

/// Why a question among others has no decision.
pub(crate) fn refusal_from_wire(error: v1::QuestionError) -> Refusal {
    let v1::QuestionError { code, message, reason, field, retry_delay } = error;
    let mut refusal = Refusal::new(code.into(), message.clone(), reason);
    refusal.retry_delay = retry_delay.and_then(|delay| delay.try_into().ok());
    if !field.is_empty() {
        refusal.fields.push(FieldViolation { field, description: message });
    }
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(effect: i32, reason: i32) -> Option<v1::Decision> {
        Some(v1::Decision { effect, reason, revision: 7, obligations: None })
    }

    #[test]
    fn what_is_not_understood_is_never_an_allow() {
        let read = |decision| Decision::from_wire(decision, Revision::new(7));
        assert!(read(wire(1, 1)).is_ok_and(|decision| decision.is_allow()));
        assert!(matches!(read(None), Err(Error::Protocol { .. })));
        for (effect, reason) in [(0, 1), (4, 1), (-1, 1), (1, 0), (1, 4), (1, 99)] {
            let read = read(wire(effect, reason));
            assert!(matches!(read, Err(Error::Protocol { .. })), "{effect} {reason}");
        }
        let unknown = read(wire(2, 99)).unwrap();
        assert_eq!((unknown.effect, unknown.reason), (Effect::Deny, Reason::Unrecognized(99)));
        assert_eq!(unknown.reason.to_string(), "UNRECOGNIZED(99)");
    }

    #[test]
    fn an_answer_older_than_asked_for_is_refused() {
        let stale = Decision::from_wire(wire(1, 1), Revision::new(8)).unwrap_err();
        assert_eq!(
            stale.to_string(),
            "the server's answer cannot be used: it is of revision 7, and 8 was asked for"
        );
    }

    #[test]
    fn a_session_is_allowed_with_its_obligations_only() {
        let read = |decision| Decision::from_wire(decision, Revision::new(7)).unwrap();
        let unprivileged = v1::Obligations {
            not_after: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
            privileged: None,
        };
        let due =
            |wire: v1::Decision| v1::Decision { obligations: Some(unprivileged.clone()), ..wire };
        let plain = wire(1, 1);
        let ending = plain.clone().map(due);
        let (none, level) = (Permission::unprivileged_session(), Permission::session("root"));
        assert!(read(plain.clone()).about(&Permission::operation("View")).is_ok());
        assert!(read(plain.clone()).about(&none).is_err());
        assert!(read(plain).about(&level).is_err());
        assert!(read(ending.clone()).about(&none).is_ok());
        assert!(read(ending).about(&level).is_err());
        assert!(read(wire(2, 22)).about(&level).is_ok());
        let denied = wire(2, 22).map(due);
        assert!(Decision::from_wire(denied, Revision::new(7)).is_err());
    }

    #[test]
    fn a_batch_item_is_a_decision_or_an_error() {
        let question = Question::new(
            crate::Subject::person("ana"),
            Permission::operation("View"),
            crate::Resource::new("Report", "absence"),
        );
        let item =
            |result| item_from_wire(v1::BatchCheckResult { result }, &question, Revision::new(7));
        assert!(item(None).is_err());
        let error = v1::QuestionError {
            code: 3,
            message: "an empty person id".into(),
            reason: "MALFORMED".into(),
            field: "questions[0].subject".into(),
            retry_delay: Some(prost_types::Duration { seconds: 2, nanos: 0 }),
        };
        let refusal =
            item(Some(v1::batch_check_result::Result::Error(error))).unwrap().unwrap_err();
        assert_eq!(refusal.code, tonic::Code::InvalidArgument);
        assert_eq!(refusal.fields[0].field, "questions[0].subject");
        assert_eq!(refusal.retry_delay, Some(std::time::Duration::from_secs(2)));
        let stray = v1::Decision { effect: 1, reason: 1, revision: 8, obligations: None };
        assert!(item(Some(v1::batch_check_result::Result::Decision(stray))).is_err());
    }
}
