//! PolicyService.Apply on behalf of a person (D7).

use pdp_proto::v1::{self, ChangeKind, Effect, Reason, fact::Fact, fact_key::Key};
use prost::Message as _;
use tonic::{Code, Status};

use crate::errors::{metadata, told};
use crate::facts::actor;
use crate::families::folder;
use crate::served::{Served, object, put, put_person, question};

/// Gives a person `Viewer` on a report.
fn grant(id: &str, to: &str, report: &str) -> v1::Change {
    let scope = v1::scope::Scope::OnResource(object("Report", report));
    put(Fact::Assignment(v1::Assignment {
        id: id.into(),
        to: actor(v1::actor_ref::Actor::Person(to.into())),
        level: Some(v1::LevelRef { r#type: "Report".into(), name: "Viewer".into() }),
        scope: Some(v1::Scope { scope: Some(scope) }),
        window: None,
    }))
}

fn on_behalf_of(person: &str, changes: Vec<v1::Change>) -> v1::ApplyRequest {
    v1::ApplyRequest { changes, on_behalf_of: Some(person.into()), ..Default::default() }
}

async fn apply(served: &Served, request: v1::ApplyRequest) -> Result<v1::ApplyResponse, Status> {
    served.policy().apply(request).await.map(tonic::Response::into_inner)
}

/// The detail that says what was refused.
fn refusal(status: &Status) -> v1::DelegationRefusal {
    let refused = (Code::PermissionDenied, "DELEGATION_REFUSED".to_owned(), Vec::new());
    assert_eq!(told(status), refused);
    let details = tonic_types::Status::decode(status.details()).unwrap().details;
    let url = "type.googleapis.com/pdp.v1.DelegationRefusal";
    let detail = details.iter().find(|detail| detail.type_url == url).unwrap();
    v1::DelegationRefusal::decode(detail.value.as_slice()).unwrap()
}

#[tokio::test]
async fn what_the_person_may_hand_out_is_applied_once() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let set = vec![grant("n-1", "bo", "absence")];
    let request = v1::ApplyRequest { request_id: "r-1".into(), ..on_behalf_of("cy", set) };
    let first = apply(&served, request.clone()).await.unwrap();
    assert_eq!((first.revision, first.on_behalf_of.as_str(), first.replayed), (2, "cy", false));
    assert_eq!(served.check(question("bo", "View", "absence")).await.effect(), Effect::Allow);
    // A repetition is answered without a new decision; another person's is another request.
    let gone = crate::served::delete(Key::Assignment("d-2".into()), false);
    served.apply(vec![gone]).await.unwrap();
    let again = apply(&served, request.clone()).await.unwrap();
    assert_eq!(again, v1::ApplyResponse { replayed: true, ..first });
    for other in [Some("ana".to_owned()), None] {
        let other = v1::ApplyRequest { on_behalf_of: other, ..request.clone() };
        let status = apply(&served, other).await.unwrap_err();
        assert_eq!(told(&status).1, "REQUEST_ID_REUSED");
    }
    served.stop().await;
}

#[tokio::test]
async fn a_refusal_says_which_change_why_and_who_could() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let set = || vec![grant("n-1", "bo", "absence"), put_person("new")];
    for dry_run in [true, false] {
        let request = v1::ApplyRequest { dry_run, ..on_behalf_of("ana", set()) };
        let status = apply(&served, request).await.unwrap_err();
        let refusal = refusal(&status);
        assert_eq!((refusal.on_behalf_of.as_str(), refusal.revision), ("ana", 1));
        assert_eq!((refusal.total_refused, &refusal.decision), (2, &None));
        let [person, assignment] = refusal.refused.as_slice() else { panic!("{refusal:?}") };
        assert_eq!(person.key.clone().unwrap().key, Some(Key::Person("new".into())));
        assert_eq!((person.kind(), person.position), (ChangeKind::Created, Some(1)));
        assert_eq!(person.decision, None);
        let decision = assignment.decision.as_ref().unwrap();
        assert_eq!(decision.effect(), Effect::RequiresApproval);
        assert_eq!(decision.reason(), Reason::MissingOnRecipient);
        assert_eq!((assignment.position, assignment.total_approvers), (Some(0), 1));
        assert_eq!(assignment.approvers, ["cy"]);
        assert_eq!(metadata(&status, "on_behalf_of"), "ana");
        assert_eq!(
            (metadata(&status, "refused"), metadata(&status, "revision")),
            ("2".into(), "1".into())
        );
        let message = status.message();
        assert!(
            message.contains("REQUIRES_APPROVAL MISSING_ON_RECIPIENT; approvers: `cy`"),
            "{message}"
        );
    }
    let decision = served.check(question("new", "View", "absence")).await;
    assert_eq!((decision.reason(), decision.revision), (Reason::UnknownSubject, 1));
    served.stop().await;
}

#[tokio::test]
async fn nobody_and_the_disabled_are_refused() {
    let folder = folder();
    let served = Served::start(&folder).await;
    for (person, reason) in [("zoe", Reason::UnknownSubject), ("dee", Reason::SubjectDisabled)] {
        let request = on_behalf_of(person, vec![grant("n-1", "bo", "absence")]);
        let refusal = refusal(&apply(&served, request).await.unwrap_err());
        assert_eq!(refusal.decision.unwrap().reason(), reason);
        assert!(refusal.refused.is_empty());
    }
    served.stop().await;
}

#[tokio::test]
async fn a_person_without_a_name_is_malformed_and_not_nobody() {
    let folder = folder();
    let served = Served::start(&folder).await;
    for person in ["", "a\nb"] {
        let status = apply(&served, on_behalf_of(person, vec![put_person("new")])).await;
        let status = status.unwrap_err();
        let field = vec!["on_behalf_of".to_owned()];
        assert_eq!(told(&status), (Code::InvalidArgument, "MALFORMED".to_owned(), field));
    }
    let decision = served.check(question("new", "View", "absence")).await;
    assert_eq!((decision.reason(), decision.revision), (Reason::UnknownSubject, 1));
    served.stop().await;
}

#[tokio::test]
async fn an_approval_cannot_be_written_on_behalf_of_a_person() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let scope = v1::eligibility_scope::Scope::OnComputer("web".into());
    let name = v1::EligibilityKey {
        to: actor(v1::actor_ref::Actor::Person("ana".into())),
        level: "local-admin".into(),
        scope: Some(v1::EligibilityScope { scope: Some(scope) }),
        kind: v1::EligibilityKind::Approved.into(),
    };
    let valid_until = Some(prost_types::Timestamp { seconds: 1_900_000_000, nanos: 0 });
    let window = Some(v1::Window { valid_from: None, valid_until });
    let approval = put(Fact::Eligibility(v1::Eligibility { name: Some(name), window }));
    for person in ["ana", "cy"] {
        let request = on_behalf_of(person, vec![approval.clone()]);
        let refusal = refusal(&apply(&served, request).await.unwrap_err());
        assert_eq!(refusal.refused[0].decision, None, "no decision about it exists");
    }
    served.apply(vec![approval]).await.unwrap();
    served.stop().await;
}

#[tokio::test]
async fn a_refusal_of_very_many_changes_fits_into_its_trailers() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let id = |n: usize| format!("{n:04}{}", "é".repeat(120));
    let set = (0..2_000).map(|n| grant(&id(n), "bo", "budget")).collect();
    let refusal = refusal(&apply(&served, on_behalf_of("ana", set)).await.unwrap_err());
    assert_eq!(refusal.total_refused, 2_000);
    assert!((2..20).contains(&refusal.refused.len()), "{}", refusal.refused.len());
    served.stop().await;
}
