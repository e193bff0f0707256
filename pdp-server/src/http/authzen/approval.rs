//! Who could agree to what needs an approval, for callers who may see who has access. The list is that
//! of the gRPC door, asked through its own service, so that it is bounded, counted and ended as there.

use std::time::Duration;

use pdp_engine::list::AnyPermission;
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::{ObjectRef, PermissionRef, Question, SubjectRef};
use pdp_engine::session::SessionQuestion;
use pdp_proto::v1;
use pdp_proto::v1::decision_service_server::DecisionService as _;
use serde::Serialize;

use super::evaluate::Asker;
use super::with;
use crate::rpc::Asked;

/// How many approvers an evaluation tells, in the order of their ids: more than anybody asks. All of
/// them are in `ListApprovers`.
const MAX_TOLD: u32 = 20;

/// How many evaluations of a request tell them: each is a list of its own.
pub(super) const MAX_ITEMS_TOLD: usize = 10;

/// How long a decision waits for them: it is worth more than they are.
const PATIENCE: Duration = Duration::from_millis(500);

/// Somebody who could agree, as an AuthZEN subject.
#[derive(Debug, Serialize)]
pub(super) struct Approver {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
}

/// Those who could agree.
#[derive(Debug, Serialize)]
pub(super) struct Approvers {
    approvers: Vec<Approver>,
    /// There are more than are told.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more_approvers: bool,
}

// === impl Approvers ===

impl Approvers {
    /// Those who could agree now. `None` if the list cannot be made now; the decision stands without.
    pub(super) async fn list(asker: &Asker<'_>, question: v1::Question) -> Option<Self> {
        use v1::list_approvers_request::Question as Wire;
        let request = v1::ListApproversRequest {
            tenant: asker.granted.tenant().to_owned(),
            question: Some(Wire::Check(question)),
            page_size: MAX_TOLD,
            ..Default::default()
        };
        let service = asker.door.decisions();
        let listed = service.list_approvers(with(asker.granted, request));
        let listed = tokio::time::timeout(PATIENCE, listed).await.ok()?.ok()?.into_inner();
        let approver = |listed: v1::ListedApprover| Approver { kind: "person", id: listed.person };
        Some(Self {
            approvers: listed.approvers.into_iter().map(approver).collect(),
            more_approvers: !listed.next_page_token.is_empty(),
        })
    }
}

/// The question as the gRPC door is asked it; `None` for one that nobody is asked to agree to.
pub(super) fn approvable(asked: &Asked<'_>) -> Option<v1::Question> {
    let (subject, permission, resource, counterpart, routing) = match *asked {
        Asked::Access(Question { subject, permission, resource, counterpart, routing }) => {
            (subject, AnyPermission::Access(permission), resource, Some(counterpart?), routing)
        }
        Asked::Session(SessionQuestion { subject, level, computer, routing }) => {
            (subject, AnyPermission::Session(level), computer, None, routing)
        }
        Asked::Vault(_) => return None,
    };
    Some(v1::Question {
        subject: Some(self::subject(subject)),
        permission: Some(self::permission(permission)?),
        resource: Some(object(resource)),
        counterpart: counterpart.map(object),
        no_routing: !routing,
    })
}

fn subject(subject: SubjectRef<'_>) -> v1::Subject {
    use v1::subject::Subject as Wire;
    let wire = match subject {
        SubjectRef::Person(id) => Wire::Person(id.to_owned()),
        SubjectRef::Account(id) => Wire::Account(id.to_owned()),
    };
    v1::Subject { subject: Some(wire) }
}

fn permission(permission: AnyPermission<'_>) -> Option<v1::question::Permission> {
    use v1::question::Permission as Wire;
    Some(match permission {
        AnyPermission::Access(PermissionRef { kind: PermissionKind::Operation, name }) => {
            Wire::Operation(name.to_owned())
        }
        AnyPermission::Access(PermissionRef { kind: PermissionKind::Right, name }) => {
            Wire::Right(name.to_owned())
        }
        AnyPermission::Session(level) => {
            Wire::Session(v1::SessionPermission { level: level.map(str::to_owned) })
        }
        AnyPermission::Vault(_) => return None,
    })
}

fn object(object: ObjectRef<'_>) -> v1::ResourceRef {
    v1::ResourceRef { r#type: object.type_name.to_owned(), id: object.id.to_owned() }
}
