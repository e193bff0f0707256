//! DecisionService: delegations, vault actions and sessions.

use std::sync::atomic::Ordering;

use pdp_proto::v1::question::Permission;
use pdp_proto::v1::{self, DelegationAction, DelegationStatus, Effect, Reason};
use tempfile::TempDir;
use tonic::Code;

use crate::errors::told;
use crate::facts::actor;
use crate::served::{NOW, Served, object, person, question};

/// A policy with something of every family.
const POLICY: &str = r#"
resource_types:
  Report: {operations: [View, AddToViewer, AddPersonToViewer], rights: [ReadData]}
  Person: {operations: [AddPersonToViewer, AddPersonToResourceRole]}
  Computer: {operations: [ApproveUse]}
  SshKey: {}
access_levels:
  - {type: Report, name: Viewer, operations: {View: allowed}, rights: {ReadData: allowed}}
  - {type: Report, name: Admin, operations: {AddToViewer: allowed, AddPersonToViewer: allowed}}
  - {type: Person, name: Admin, operations: {AddPersonToResourceRole: allowed, AddPersonToViewer: allowed}}
  - {type: Computer, name: Approver, operations: {ApproveUse: allowed}}
locations: [{id: zurich}]
people:
  - {id: ana, vault_privileges: [connection_user]}
  - {id: bo}
  - {id: cy}
  - {id: dee, enabled: false}
accounts: [{id: web/bo, owner: bo, computer: web}, {id: corp/ana, owner: ana}]
groups: [{id: hr, members: [person:ana, account:corp/ana]}, {id: admins}]
resources:
  - {type: Report, id: absence, locations: [zurich]}
  - {type: Report, id: budget}
  - {type: Report, id: costs, locations: [zurich]}
  - {type: Computer, id: web, platform: windows, owner: cy}
  - {type: SshKey, id: deploy, parent: "Computer:web"}
resource_groups: [{id: tier, members: ["Computer:web"]}]
assignments:
  - {id: v-1, to: group:hr, level: Report/Viewer, in: zurich}
  - {id: v-2, to: person:bo, level: Report/Viewer, on: "Report:budget"}
  - {id: d-1, to: person:ana, level: Report/Admin, on: "Report:absence"}
  - {id: d-2, to: person:cy, level: Report/Admin, on: "Report:absence"}
  - {id: d-3, to: person:cy, level: Person/Admin, on: "Person:bo"}
  - {id: s-1, to: person:cy, level: Computer/Approver, on: "Computer:web"}
shares:
  - {to: group:hr, on: "Computer:web", level: view}
  - {to: person:bo, on: "resource_group:tier", level: full}
permission_levels: [{id: local-admin}, {id: domain-admin}]
psm:
  - {computer: web, enabled: true, max_session: 1h, levels: {local-admin: group:admins, domain-admin: null}}
eligibilities:
  - {to: person:bo, level: local-admin, on: "Computer:web", kind: pre_approved}
  - {to: person:ana, level: local-admin, on: "Computer:web", kind: eligible}
"#;

/// A folder with that policy in it.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policy.yaml"), POLICY).unwrap();
    folder
}

pub(crate) fn session(level: Option<&str>) -> v1::SessionPermission {
    v1::SessionPermission { level: level.map(str::to_owned) }
}

fn asked(subject: &str, permission: Permission, resource: v1::ResourceRef) -> v1::Question {
    v1::Question {
        subject: Some(person(subject)),
        permission: Some(permission),
        resource: Some(resource),
        counterpart: None,
        no_routing: false,
    }
}

fn vault(subject: &str, action: &str, resource: v1::ResourceRef) -> v1::Question {
    asked(subject, Permission::VaultAction(action.to_owned()), resource)
}

fn opening(subject: &str, level: Option<&str>) -> v1::Question {
    asked(subject, Permission::Session(session(level)), object("Computer", "web"))
}

/// May the delegator give Bo `Viewer` on this report?
pub(crate) fn delegation(delegator: &str, report: &str) -> v1::DelegationQuestion {
    let level = v1::LevelRef { r#type: "Report".into(), name: "Viewer".into() };
    let scope = v1::scope::Scope::OnResource(object("Report", report));
    v1::DelegationQuestion {
        delegator: Some(person(delegator)),
        action: DelegationAction::Grant.into(),
        level: Some(level),
        recipient: actor(v1::actor_ref::Actor::Person("bo".into())),
        scope: Some(v1::Scope { scope: Some(scope) }),
        no_routing: false,
    }
}

fn said(decision: &v1::Decision) -> (Effect, Reason) {
    (decision.effect(), decision.reason())
}

async fn delegate(
    served: &Served,
    question: v1::DelegationQuestion,
) -> Result<v1::Decision, tonic::Status> {
    let request = v1::CheckDelegationRequest { question: Some(question), ..Default::default() };
    let answer = served.decisions().check_delegation(request).await?;
    Ok(answer.into_inner().decision.unwrap())
}

async fn explain(served: &Served, question: v1::Question) -> v1::Explanation {
    let request = v1::ExplainRequest { question: Some(question), ..Default::default() };
    served.decisions().explain(request).await.unwrap().into_inner().explanation.unwrap()
}

#[tokio::test]
async fn vault_actions_are_decided_alike_by_check_batch_and_explain() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let key = || object("SshKey", "deploy");
    let group = || object("resource_group", "tier");
    let cases = [
        (vault("ana", "view_password", key()), Effect::Allow, Reason::Granted),
        (vault("ana", "modify_password", key()), Effect::Deny, Reason::LevelTooLow),
        (vault("ana", "use_remote_app", key()), Effect::Allow, Reason::Granted),
        (vault("bo", "use_remote_app", key()), Effect::Deny, Reason::RemoteAppNotPrivileged),
        (vault("cy", "share", key()), Effect::Allow, Reason::Granted),
        (vault("bo", "share", group()), Effect::Allow, Reason::Granted),
        (vault("ana", "manage", group()), Effect::Deny, Reason::NotShared),
        (vault("dee", "manage", group()), Effect::Deny, Reason::SubjectDisabled),
        (
            vault("ana", "manage", object("resource_group", "x")),
            Effect::Deny,
            Reason::UnknownResource,
        ),
    ];
    let questions = cases.iter().map(|(question, ..)| question.clone()).collect();
    let request = v1::BatchCheckRequest { questions, ..Default::default() };
    let batch = served.decisions().batch_check(request).await.unwrap().into_inner().results;
    for ((question, effect, reason), batched) in cases.into_iter().zip(batch) {
        let decision = served.check(question.clone()).await;
        assert_eq!(said(&decision), (effect, reason), "{question:?}");
        let batched = batched.result.unwrap();
        assert_eq!(batched, v1::batch_check_result::Result::Decision(decision.clone()));
        let explanation = explain(&served, question).await;
        assert_eq!(explanation.decision, Some(decision));
        assert!(explanation.vault.is_some() && explanation.sides.is_empty());
    }
    served.stop().await;
}

#[tokio::test]
async fn a_vault_explanation_tells_layers_and_ruling() {
    use v1::vault_ruling::Rule;
    let folder = folder();
    let served = Served::start(&folder).await;
    let key = || object("SshKey", "deploy");
    let found = explain(&served, vault("ana", "view_password", key())).await.vault.unwrap();
    assert_eq!(found.layers.len(), 3);
    let ruling = found.ruling.unwrap();
    assert_eq!(ruling.level(), v1::ShareLevel::View);
    let nearest = v1::NearestLayer { layer: 1, personal: false };
    assert_eq!(ruling.rule, Some(Rule::NearestLayer(nearest)));
    let deciding: Vec<_> = found
        .layers
        .iter()
        .map(|layer| layer.shares.iter().filter(|s| s.deciding).count())
        .collect();
    assert_eq!(deciding, [0, 1, 0]);
    let found = explain(&served, vault("cy", "share", key())).await.vault.unwrap();
    assert_eq!(found.ruling.unwrap().rule, Some(Rule::Owner("cy".into())));
    let found = explain(&served, vault("bo", "share", key())).await.vault.unwrap();
    assert_eq!(found.ruling.unwrap().rule, Some(Rule::FullAnywhere(v1::FullAnywhere {})));
    served.stop().await;
}

#[tokio::test]
async fn sessions_are_decided_with_their_obligations() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let decision = served.check(opening("bo", Some("local-admin"))).await;
    assert_eq!(said(&decision), (Effect::Allow, Reason::Granted));
    let obligations = decision.obligations.clone().unwrap();
    let hour = NOW / 1_000_000 + 3_600;
    assert_eq!(obligations.not_after, Some(prost_types::Timestamp { seconds: hour, nanos: 0 }));
    let privileged = obligations.privileged.unwrap();
    assert_eq!(privileged.group, "admins");
    assert_eq!(privileged.account_mode(), v1::AccountMode::Existing);
    assert_eq!(privileged.account.as_deref(), Some("web/bo"));
    assert_eq!(privileged.on_end().collect::<Vec<_>>(), [v1::OnEnd::RemoveFromGroup]);
    let explanation = explain(&served, opening("bo", Some("local-admin"))).await;
    assert_eq!(explanation.decision, Some(decision));
    let found = explanation.session.unwrap();
    assert_eq!(found.visible_levels, ["local-admin"]);
    assert_eq!(found.eligibilities[0].kind(), v1::EligibilityKind::PreApproved);
    for (subject, level, reason) in [
        ("ana", Some("local-admin"), Reason::NoAccount),
        ("cy", Some("local-admin"), Reason::NotEligible),
        ("bo", Some("domain-admin"), Reason::LevelNotMapped),
        ("bo", Some("other"), Reason::LevelNotOffered),
        ("bo", None, Reason::UnprivilegedNotAllowed),
    ] {
        let decision = served.check(opening(subject, level)).await;
        assert_eq!(said(&decision), (Effect::Deny, reason), "{subject} {level:?}");
        assert_eq!(decision.obligations, None);
    }
    let elsewhere = v1::Question {
        resource: Some(object("Report", "absence")),
        ..opening("bo", Some("local-admin"))
    };
    assert_eq!(served.check(elsewhere).await.reason(), Reason::PsmDisabled);
    served.stop().await;
}

#[tokio::test]
async fn questions_that_no_family_takes_name_their_field() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let counterpart = Some(object("Person", "bo"));
    let web = || object("Computer", "web");
    for (question, field) in [
        (vault("ana", "fly", web()), "question.vault_action"),
        (vault("ana", "view_password", object("resource_group", "tier")), "question.vault_action"),
        (vault("ana", "share", object("9", "x")), "question.resource"),
        (vault("", "share", web()), "question.subject"),
        (opening("bo", Some("")), "question.session.level"),
        (
            v1::Question { counterpart: counterpart.clone(), ..vault("ana", "share", web()) },
            "question.counterpart",
        ),
        (v1::Question { counterpart, ..opening("bo", None) }, "question.counterpart"),
    ] {
        let request = v1::CheckRequest { question: Some(question.clone()), ..Default::default() };
        let refused = served.decisions().check(request).await.unwrap_err();
        let expected = (Code::InvalidArgument, "MALFORMED".to_owned(), vec![field.to_owned()]);
        assert_eq!(told(&refused), expected, "{question:?}");
        let request = v1::ExplainRequest { question: Some(question), ..Default::default() };
        let refused = served.decisions().explain(request).await.unwrap_err();
        assert_eq!(told(&refused), expected);
    }
    served.stop().await;
}

#[tokio::test]
async fn delegations_are_decided_alike_by_check_and_explain() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let scoped = |scope| Some(v1::Scope { scope: Some(scope) });
    let cases = [
        (delegation("cy", "absence"), Effect::Allow, Reason::Granted),
        (delegation("ana", "absence"), Effect::RequiresApproval, Reason::MissingOnRecipient),
        (
            v1::DelegationQuestion { no_routing: true, ..delegation("ana", "absence") },
            Effect::Deny,
            Reason::MissingOnRecipient,
        ),
        (delegation("bo", "absence"), Effect::Deny, Reason::SelfDelegation),
        (delegation("cy", "nothing"), Effect::Deny, Reason::UnknownResource),
        (delegation("dee", "absence"), Effect::Deny, Reason::SubjectDisabled),
        (
            v1::DelegationQuestion {
                scope: scoped(v1::scope::Scope::InLocation("bern".into())),
                ..delegation("cy", "")
            },
            Effect::Deny,
            Reason::UnknownLocation,
        ),
        (
            v1::DelegationQuestion {
                action: DelegationAction::Revoke.into(),
                ..delegation("cy", "absence")
            },
            Effect::RequiresApproval,
            Reason::MissingOnBoth,
        ),
    ];
    for (question, effect, reason) in cases {
        let decision = delegate(&served, question.clone()).await.unwrap();
        assert_eq!(said(&decision), (effect, reason), "{question:?}");
        let request =
            v1::ExplainDelegationRequest { question: Some(question), ..Default::default() };
        let explained = served.decisions().explain_delegation(request).await.unwrap().into_inner();
        assert_eq!(explained.explanation.unwrap().decision, Some(decision));
    }
    let question = Some(delegation("ana", "absence"));
    let request = v1::ExplainDelegationRequest { question, ..Default::default() };
    let explained = served.decisions().explain_delegation(request).await.unwrap().into_inner();
    let explanation = explained.explanation.unwrap();
    let (resource, recipient) = (explanation.resource.unwrap(), explanation.recipient.unwrap());
    assert_eq!(resource.status(), DelegationStatus::Held);
    assert_eq!(recipient.status(), DelegationStatus::Missing);
    let operations: Vec<_> =
        recipient.objects[0].alternatives.iter().map(|a| &a.operation).collect();
    assert_eq!(operations, ["AddPersonToViewer", "AddPersonToResourceRole"]);
    served.stop().await;
}

#[tokio::test]
async fn a_malformed_delegation_names_its_field() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let good = || delegation("cy", "absence");
    let scoped = |scope| v1::DelegationQuestion { scope: Some(v1::Scope { scope }), ..good() };
    let relative = v1::scope::Scope::Relative(v1::RelativeScope::Self_.into());
    for (question, field) in [
        (v1::DelegationQuestion { delegator: None, ..good() }, "question.delegator"),
        (v1::DelegationQuestion { action: 0, ..good() }, "question.action"),
        (v1::DelegationQuestion { action: 9, ..good() }, "question.action"),
        (v1::DelegationQuestion { level: None, ..good() }, "question.level"),
        (v1::DelegationQuestion { recipient: None, ..good() }, "question.recipient"),
        (
            v1::DelegationQuestion { recipient: Some(v1::ActorRef { actor: None }), ..good() },
            "question.recipient",
        ),
        (v1::DelegationQuestion { scope: None, ..good() }, "question.scope"),
        (scoped(None), "question.scope"),
        (scoped(Some(v1::scope::Scope::Relative(0))), "question.scope.relative"),
        // C0: the scope goes with other types.
        (scoped(Some(relative)), "question.scope"),
        (scoped(Some(v1::scope::Scope::OnResource(object("Computer", "web")))), "question.scope"),
        (delegation("", "absence"), "question.delegator"),
    ] {
        let refused = delegate(&served, question.clone()).await.unwrap_err();
        let expected = (Code::InvalidArgument, "MALFORMED".to_owned(), vec![field.to_owned()]);
        assert_eq!(told(&refused), expected, "{question:?}");
        let request =
            v1::ExplainDelegationRequest { question: Some(question), ..Default::default() };
        let refused = served.decisions().explain_delegation(request).await.unwrap_err();
        assert_eq!(told(&refused), expected);
    }
    let none = v1::CheckDelegationRequest::default();
    let refused = served.decisions().check_delegation(none).await.unwrap_err();
    assert_eq!(told(&refused).2, ["question"]);
    served.stop().await;
}

#[tokio::test]
async fn the_new_rpcs_are_counted() {
    let folder = folder();
    let served = Served::start(&folder).await;
    served.now.store(NOW + 1, Ordering::SeqCst);
    delegate(&served, delegation("ana", "absence")).await.unwrap();
    served.check(question("ana", "View", "absence")).await;
    let list = v1::ListSubjectsRequest { page_size: 9_999, ..Default::default() };
    served.decisions().list_subjects(list).await.unwrap_err();
    let text = crate::lifecycle::fetch(served.http, "/metrics").await;
    for line in [
        r#"pdp_decisions_total{rpc="CheckDelegation",effect="REQUIRES_APPROVAL",reason="MISSING_ON_RECIPIENT"} 1"#,
        r#"pdp_rpc_failures_total{rpc="DecisionService/ListSubjects",code="INVALID_ARGUMENT"} 1"#,
        r#"pdp_list_seconds_count{rpc="ListSubjects"} 1"#,
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    served.stop().await;
}
