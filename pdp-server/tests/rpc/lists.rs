//! DecisionService: the lists, page by page.

use pdp_proto::v1::listed_permission::Permission as Listed;
use pdp_proto::v1::{self, Effect, Reason};
use tonic::{Code, Status};

use crate::errors::{metadata, told};
use crate::families::{delegation, folder, session};
use crate::served::{Served, object, person, put_person, question};

fn permissions(subject: &str, resource: v1::ResourceRef) -> v1::ListPermissionsRequest {
    let (subject, resource) = (Some(person(subject)), Some(resource));
    v1::ListPermissionsRequest { subject, resource, ..Default::default() }
}

fn viewable(subject: &str) -> v1::ListResourcesRequest {
    v1::ListResourcesRequest {
        subject: Some(person(subject)),
        permission: Some(v1::list_resources_request::Permission::Operation("View".into())),
        r#type: "Report".into(),
        ..Default::default()
    }
}

fn viewers(report: &str) -> v1::ListSubjectsRequest {
    v1::ListSubjectsRequest {
        permission: Some(v1::list_subjects_request::Permission::Operation("View".into())),
        resource: Some(object("Report", report)),
        accounts: true,
        ..Default::default()
    }
}

fn approvers(question: v1::list_approvers_request::Question) -> v1::ListApproversRequest {
    v1::ListApproversRequest { question: Some(question), ..Default::default() }
}

async fn resources(
    served: &Served,
    request: v1::ListResourcesRequest,
) -> Result<v1::ListResourcesResponse, Status> {
    served.decisions().list_resources(request).await.map(tonic::Response::into_inner)
}

fn ids(answer: &v1::ListResourcesResponse) -> Vec<&str> {
    answer.resources.iter().map(|listed| listed.id.as_str()).collect()
}

#[tokio::test]
async fn permissions_of_every_family_come_in_order_page_by_page() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let whole = permissions("bo", object("Computer", "web"));
    let vault = |action: &str| Listed::VaultAction(action.to_owned());
    let expected = [
        vault("manage"),
        vault("modify_password"),
        vault("share"),
        vault("view_password"),
        Listed::Session(session(Some("local-admin"))),
    ];
    for page_size in [0, 1, 2, 5, 1_000] {
        let mut request = v1::ListPermissionsRequest { page_size, ..whole.clone() };
        let mut listed = Vec::new();
        loop {
            let answer =
                served.decisions().list_permissions(request.clone()).await.unwrap().into_inner();
            assert_eq!(answer.revision, 1);
            listed.extend(answer.permissions.into_iter().map(|item| item.permission.unwrap()));
            if answer.next_page_token.is_empty() {
                break;
            }
            request.page_token = answer.next_page_token;
        }
        assert_eq!(listed, expected, "pages of {page_size}");
    }
    let request = permissions("ana", object("Report", "absence"));
    let answer = served.decisions().list_permissions(request).await.unwrap().into_inner();
    let listed: Vec<_> =
        answer.permissions.into_iter().filter_map(|item| item.permission).collect();
    let operation = |name: &str| Listed::Operation(name.to_owned());
    let right = Listed::Right("ReadData".to_owned());
    let names = ["AddPersonToViewer", "AddToViewer", "View"].map(operation);
    assert_eq!(listed, [names.to_vec(), vec![right]].concat());
    let request = permissions("bo", object("resource_group", "tier"));
    let answer = served.decisions().list_permissions(request).await.unwrap().into_inner();
    assert_eq!(answer.permissions.len(), 2);
    served.stop().await;
}

#[tokio::test]
async fn resources_and_subjects_are_those_that_the_check_allows() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let answer = resources(&served, viewable("ana")).await.unwrap();
    assert_eq!(ids(&answer), ["absence", "costs"]);
    assert_eq!(ids(&resources(&served, viewable("bo")).await.unwrap()), ["budget"]);
    assert!(ids(&resources(&served, viewable("nobody")).await.unwrap()).is_empty());
    let sessions = v1::ListResourcesRequest {
        permission: Some(v1::list_resources_request::Permission::Session(session(Some(
            "local-admin",
        )))),
        r#type: "Computer".into(),
        ..viewable("bo")
    };
    assert_eq!(ids(&resources(&served, sessions).await.unwrap()), ["web"]);
    let groups = v1::ListResourcesRequest {
        permission: Some(v1::list_resources_request::Permission::VaultAction("share".into())),
        r#type: "resource_group".into(),
        ..viewable("bo")
    };
    assert_eq!(ids(&resources(&served, groups).await.unwrap()), ["tier"]);

    let who = |answer: v1::ListSubjectsResponse| -> Vec<v1::Subject> {
        answer.subjects.into_iter().filter_map(|item| item.subject).collect()
    };
    let answer = served.decisions().list_subjects(viewers("absence")).await.unwrap().into_inner();
    let account = v1::subject::Subject::Account("corp/ana".into());
    assert_eq!(who(answer), [person("ana"), v1::Subject { subject: Some(account) }]);
    let first = v1::ListSubjectsRequest { page_size: 1, ..viewers("absence") };
    let first = served.decisions().list_subjects(first).await.unwrap().into_inner();
    assert_eq!(who(first.clone()), [person("ana")]);
    let page_token = first.next_page_token;
    let next = v1::ListSubjectsRequest { page_token, ..viewers("absence") };
    let next = served.decisions().list_subjects(next).await.unwrap().into_inner();
    assert_eq!((next.next_page_token.as_str(), next.subjects.len()), ("", 1));
    let people = v1::ListSubjectsRequest { accounts: false, ..viewers("absence") };
    let answer = served.decisions().list_subjects(people).await.unwrap().into_inner();
    assert_eq!(who(answer), [person("ana")]);
    let vault = v1::ListSubjectsRequest {
        permission: Some(v1::list_subjects_request::Permission::VaultAction("share".into())),
        resource: Some(object("Computer", "web")),
        ..Default::default()
    };
    let answer = served.decisions().list_subjects(vault).await.unwrap().into_inner();
    assert_eq!(who(answer), [person("bo"), person("cy")]);
    served.stop().await;
}

#[tokio::test]
async fn items_come_with_their_explanation_if_asked_for() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let request = v1::ListResourcesRequest { explain: true, ..viewable("ana") };
    for item in resources(&served, request).await.unwrap().resources {
        let explanation = item.explanation.unwrap();
        assert_eq!(explanation.decision.unwrap().reason(), Reason::Granted);
        assert_eq!(explanation.sides[0].entries[0].assignment.as_ref().unwrap().id, "v-1");
    }
    let request = v1::ListPermissionsRequest {
        explain: true,
        ..permissions("bo", object("Computer", "web"))
    };
    let answer = served.decisions().list_permissions(request).await.unwrap().into_inner();
    let told: Vec<_> = answer.permissions.iter().filter_map(|p| p.explanation.as_ref()).collect();
    assert_eq!(told.len(), 5);
    assert!(told[0].vault.is_some() && told[4].session.is_some());
    let request = v1::ListSubjectsRequest { explain: true, ..viewers("budget") };
    let answer = served.decisions().list_subjects(request).await.unwrap().into_inner();
    assert!(answer.subjects[0].explanation.is_some());
    let wanted = v1::list_approvers_request::Question::Delegation(delegation("ana", "absence"));
    let request = v1::ListApproversRequest { explain: true, ..approvers(wanted) };
    let answer = served.decisions().list_approvers(request).await.unwrap().into_inner();
    let Some(v1::listed_approver::Because::Delegation(because)) = &answer.approvers[0].because
    else {
        panic!("{answer:?}");
    };
    assert_eq!(because.decision.as_ref().unwrap().effect(), Effect::Allow);

    let many = v1::ListResourcesRequest { explain: true, page_size: 101, ..viewable("ana") };
    let refused = resources(&served, many).await.unwrap_err();
    assert_eq!(told_limit(&refused), ("max_explained_page_size".into(), "100".into()));
    served.stop().await;
}

fn told_limit(status: &Status) -> (String, String) {
    assert_eq!(told(status).1, "LIMIT_EXCEEDED");
    (metadata(status, "limit"), metadata(status, "maximum"))
}

#[tokio::test]
async fn approvers_of_delegations_dual_checks_and_sessions() {
    use v1::list_approvers_request::Question as Wanted;
    let folder = folder();
    let served = Served::start(&folder).await;
    let dual = |subject| v1::Question {
        counterpart: Some(object("Person", "bo")),
        ..question(subject, "AddPersonToViewer", "absence")
    };
    let opening = v1::Question {
        permission: Some(v1::question::Permission::Session(session(Some("local-admin")))),
        resource: Some(object("Computer", "web")),
        ..question("ana", "", "")
    };
    for (wanted, expected) in [
        (Wanted::Delegation(delegation("ana", "absence")), vec!["cy"]),
        (Wanted::Delegation(delegation("cy", "absence")), vec![]),
        (Wanted::Delegation(delegation("ana", "budget")), vec![]),
        (Wanted::Check(dual("ana")), vec!["cy"]),
        (Wanted::Check(opening), vec!["cy"]),
    ] {
        let answer = served.decisions().list_approvers(approvers(wanted)).await.unwrap();
        let answer = answer.into_inner();
        let people: Vec<_> = answer.approvers.iter().map(|item| item.person.as_str()).collect();
        assert_eq!(people, expected);
        assert_eq!((answer.next_page_token.as_str(), answer.revision), ("", 1));
    }
    served.stop().await;
}

#[tokio::test]
async fn a_page_token_belongs_to_its_question_tenant_and_revision() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let first = resources(&served, v1::ListResourcesRequest { page_size: 1, ..viewable("ana") });
    let first = first.await.unwrap();
    assert_eq!(ids(&first), ["absence"]);
    let page_token = first.next_page_token;
    assert!(!page_token.is_empty());
    let next = v1::ListResourcesRequest { page_token: page_token.clone(), ..viewable("ana") };
    // The size of pages, the name of the default tenant and explanations are no part of the list.
    let named =
        v1::ListResourcesRequest { tenant: "default".into(), explain: true, ..next.clone() };
    for request in [next.clone(), named] {
        let answer = resources(&served, request).await.unwrap();
        assert_eq!((ids(&answer), answer.next_page_token.as_str()), (vec!["costs"], ""));
    }
    let create = v1::TenantServiceCreateRequest { tenant: "acme".into() };
    served.tenants().create(create).await.unwrap();
    let mismatches = [
        v1::ListResourcesRequest { subject: Some(person("bo")), ..next.clone() },
        v1::ListResourcesRequest { r#type: "Person".into(), ..next.clone() },
        v1::ListResourcesRequest { tenant: "acme".into(), ..next.clone() },
        v1::ListResourcesRequest {
            permission: Some(v1::list_resources_request::Permission::Right("View".into())),
            ..next.clone()
        },
    ];
    let refused =
        |reason: &str| (Code::InvalidArgument, reason.to_owned(), vec!["page_token".to_owned()]);
    for request in mismatches {
        let status = resources(&served, request).await.unwrap_err();
        assert_eq!(told(&status), refused("PAGE_TOKEN_MISMATCH"));
    }
    let subjects = v1::ListSubjectsRequest { page_token: page_token.clone(), ..viewers("absence") };
    let status = served.decisions().list_subjects(subjects).await.unwrap_err();
    assert_eq!(told(&status), refused("PAGE_TOKEN_MISMATCH"));
    for forged in ["x", "00", "zz", &page_token[1..]] {
        let request = v1::ListResourcesRequest { page_token: forged.into(), ..viewable("ana") };
        let status = resources(&served, request).await.unwrap_err();
        assert_eq!(told(&status), refused("PAGE_TOKEN_INVALID"), "{forged}");
    }
    served.apply(vec![put_person("new")]).await.unwrap();
    let status = resources(&served, next).await.unwrap_err();
    assert_eq!(told(&status), refused("PAGE_TOKEN_EXPIRED"));
    assert_eq!((metadata(&status, "token"), metadata(&status, "actual")), ("1".into(), "2".into()));
    served.stop().await;
}

#[tokio::test]
async fn malformed_lists_name_their_field() {
    use v1::list_approvers_request::Question as Wanted;
    let folder = folder();
    let served = Served::start(&folder).await;
    let malformed =
        |field: &str| (Code::InvalidArgument, "MALFORMED".to_owned(), vec![field.to_owned()]);
    let web = || object("Computer", "web");
    for (request, field) in [
        (v1::ListPermissionsRequest { subject: None, ..permissions("", web()) }, "subject"),
        (v1::ListPermissionsRequest { resource: None, ..permissions("ana", web()) }, "resource"),
        (permissions("", web()), "subject"),
        (permissions("ana", object("9", "x")), "resource"),
        (permissions("ana", object("resource_group", "")), "resource"),
    ] {
        let status = served.decisions().list_permissions(request.clone()).await.unwrap_err();
        assert_eq!(told(&status), malformed(field), "{request:?}");
    }
    let fly = v1::list_resources_request::Permission::VaultAction("fly".into());
    for (request, field) in [
        (v1::ListResourcesRequest { permission: None, ..viewable("ana") }, "operation"),
        (v1::ListResourcesRequest { permission: Some(fly), ..viewable("ana") }, "vault_action"),
        (v1::ListResourcesRequest { r#type: String::new(), ..viewable("ana") }, "type"),
        (viewable(""), "subject"),
    ] {
        let status = resources(&served, request.clone()).await.unwrap_err();
        assert_eq!(told(&status), malformed(field), "{request:?}");
    }
    let right = v1::list_subjects_request::Permission::Right(String::new());
    for (request, field) in [
        (v1::ListSubjectsRequest { permission: None, ..viewers("x") }, "operation"),
        (v1::ListSubjectsRequest { permission: Some(right), ..viewers("x") }, "right"),
        (v1::ListSubjectsRequest { resource: None, ..viewers("x") }, "resource"),
    ] {
        let status = served.decisions().list_subjects(request.clone()).await.unwrap_err();
        assert_eq!(told(&status), malformed(field), "{request:?}");
    }
    let check = |question| approvers(Wanted::Check(question));
    let vault = v1::Question {
        permission: Some(v1::question::Permission::VaultAction("share".into())),
        ..question("ana", "", "absence")
    };
    for (request, field) in [
        (v1::ListApproversRequest::default(), "delegation"),
        (check(question("ana", "View", "absence")), "check.counterpart"),
        (check(vault), "check.vault_action"),
        (approvers(Wanted::Delegation(delegation("", "absence"))), "delegation.delegator"),
    ] {
        let status = served.decisions().list_approvers(request.clone()).await.unwrap_err();
        assert_eq!(told(&status), malformed(field), "{request:?}");
    }
    let many = v1::ListSubjectsRequest { page_size: 1_001, ..viewers("absence") };
    let status = served.decisions().list_subjects(many).await.unwrap_err();
    assert_eq!(told_limit(&status), ("max_page_size".into(), "1000".into()));
    let nowhere = v1::ListResourcesRequest { tenant: "acme".into(), ..viewable("ana") };
    assert_eq!(told(&resources(&served, nowhere).await.unwrap_err()).1, "UNKNOWN_TENANT");
    served.stop().await;
}
