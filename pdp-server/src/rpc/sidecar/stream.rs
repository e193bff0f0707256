//! Questions of a stream that the server is asked, one by one: each as a Check.

use std::time::Duration;

use pdp_proto::v1;
use prost::Message as _;
use prost::bytes::Bytes;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use super::super::borrowed::{CheckStreamRequest, Permission, Question, ResourceRef, Subject, Who};
use super::super::deciding::{CHECK, question_error};
use super::super::failure::Failure;
use super::Sidecar;

/// How long an answer may take: longer than the server lets a question wait for its revision, unless set
/// otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

/// What goes along with each question of a stream: who asks, and for which trace.
const GOES_ALONG: [&str; 3] = ["authorization", "traceparent", "tracestate"];

// === impl Sidecar ===

impl Sidecar {
    /// The server's decision on a question of a stream, or why there is none.
    pub(in crate::rpc) async fn asked(
        &self,
        metadata: &MetadataMap,
        question: v1::CheckRequest,
    ) -> Result<v1::Decision, v1::QuestionError> {
        let mut request = Request::new(Bytes::from(question.encode_to_vec()));
        for name in GOES_ALONG {
            for value in metadata.get_all(name) {
                request.metadata_mut().append(name, value.clone());
            }
        }
        let asked = tokio::time::timeout(PATIENCE, self.server.ask(CHECK, request)).await;
        let asked = asked.unwrap_or_else(|_| {
            Err(Failure::Unreachable(format!("no answer in {} s", PATIENCE.as_secs())).into())
        });
        let answer = asked.map_err(|status| told(&status))?.into_inner();
        let decision = v1::CheckResponse::decode(answer).ok().and_then(|answer| answer.decision);
        decision.ok_or_else(|| question_error(Failure::Internal))
    }
}

/// A question of a stream as one by itself.
pub(in crate::rpc) fn by_itself(read: &CheckStreamRequest<'_>) -> v1::CheckRequest {
    let CheckStreamRequest { number: _, tenant, question, at_least } = *read;
    v1::CheckRequest { tenant: tenant.to_owned(), question: question.map(to_wire), at_least }
}

fn to_wire(question: Question<'_>) -> v1::Question {
    use v1::question::Permission as Wire;
    let Question { subject, permission, resource, counterpart, no_routing } = question;
    let text = str::to_owned;
    v1::Question {
        subject: subject.map(|Subject(who)| v1::Subject {
            subject: who.map(|who| match who {
                Who::Person(id) => v1::subject::Subject::Person(text(id)),
                Who::Account(id) => v1::subject::Subject::Account(text(id)),
            }),
        }),
        permission: permission.map(|permission| match permission {
            Permission::Operation(name) => Wire::Operation(text(name)),
            Permission::Right(name) => Wire::Right(text(name)),
            Permission::VaultAction(name) => Wire::VaultAction(text(name)),
            Permission::Session(level) => {
                Wire::Session(v1::SessionPermission { level: level.map(text) })
            }
        }),
        resource: resource.map(object),
        counterpart: counterpart.map(object),
        no_routing,
    }
}

fn object(ResourceRef { type_name, id }: ResourceRef<'_>) -> v1::ResourceRef {
    v1::ResourceRef { r#type: type_name.to_owned(), id: id.to_owned() }
}

/// What the server says of a question, as a stream says it.
fn told(status: &Status) -> v1::QuestionError {
    let details = status.get_error_details();
    let field = details.bad_request().and_then(|it| it.field_violations.first());
    let delay = details.retry_info().and_then(|it| it.retry_delay);
    let code = match status.code() {
        // It has no decision, whatever its status says.
        Code::Ok => Code::Internal,
        code => code,
    };
    v1::QuestionError {
        code: code.into(),
        message: status.message().to_owned(),
        reason: details.error_info().map(|it| it.reason.clone()).unwrap_or_default(),
        field: field.map(|it| it.field.clone()).unwrap_or_default(),
        retry_delay: delay.and_then(|delay| delay.try_into().ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_by_itself_is_the_question() {
        let question = |permission, who, counterpart: bool| v1::Question {
            subject: Some(v1::Subject { subject: who }),
            permission: Some(permission),
            resource: Some(v1::ResourceRef { r#type: "T".to_owned(), id: "r".to_owned() }),
            counterpart: counterpart.then(v1::ResourceRef::default),
            no_routing: counterpart,
        };
        let name = || "a".to_owned();
        for question in [
            question(
                v1::question::Permission::Operation(name()),
                Some(v1::subject::Subject::Person(name())),
                true,
            ),
            question(v1::question::Permission::Right(name()), None, false),
            question(
                v1::question::Permission::VaultAction(name()),
                Some(v1::subject::Subject::Account(name())),
                false,
            ),
            question(
                v1::question::Permission::Session(v1::SessionPermission { level: Some(name()) }),
                None,
                false,
            ),
        ] {
            let (tenant, question) = ("acme".to_owned(), Some(question));
            let streamed = v1::CheckStreamRequest { number: 4, tenant, question, at_least: 9 };
            let alone = by_itself(&CheckStreamRequest::from(&streamed));
            let v1::CheckStreamRequest { number: _, tenant, question, at_least } = streamed;
            assert_eq!(alone, v1::CheckRequest { tenant, question, at_least });
        }
    }

    #[test]
    fn what_the_server_says_is_kept() {
        let malformed = super::super::super::Malformed::new("question.subject", "is required");
        let (status, own) =
            (Status::from(Failure::from(malformed.clone())), Failure::from(malformed));
        let (said, own) = (told(&status), question_error(own));
        assert_eq!((said.code, &said.reason, &said.field), (own.code, &own.reason, &own.field));
        let starting = told(&Failure::Starting.into());
        assert_eq!(starting, question_error(Failure::Starting));
        assert_ne!(told(&Status::new(Code::Ok, "")).code, 0, "never a decision");
    }
}
