//! Every refusal, with its code, its stable reason and its details.

use std::time::Duration;

use pdp_proto::v1::question::Permission;
use pdp_proto::v1::{self, fact::Fact, fact_key::Key};
use pdp_server::config::Settings;
use prost_types::Timestamp;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::served::{Served, delete, folder, object, person, put, put_person, question, settings};

/// Code, reason and the fields at fault.
pub(crate) fn told(status: &Status) -> (Code, String, Vec<String>) {
    let details = status.get_error_details();
    let info = details.error_info().expect("every error says why");
    assert_eq!(info.domain, "pdp");
    let fields = details.bad_request().map(|bad| &bad.field_violations);
    let fields = fields.into_iter().flatten().map(|violation| violation.field.clone()).collect();
    (status.code(), info.reason.clone(), fields)
}

/// A piece of the error's metadata.
pub(crate) fn metadata(status: &Status, name: &str) -> String {
    let details = status.get_error_details();
    details.error_info().and_then(|info| info.metadata.get(name)).cloned().unwrap_or_default()
}

fn malformed(field: &str) -> (Code, String, Vec<String>) {
    (Code::InvalidArgument, "MALFORMED".to_owned(), vec![field.to_owned()])
}

#[tokio::test]
async fn a_malformed_question_names_its_field() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let good = || question("ana", "View", "absence");
    let nobody = v1::Subject { subject: None };
    let right = Permission::Right("ReadData".to_owned());
    for (question, field) in [
        (None, "question"),
        (Some(v1::Question { subject: None, ..good() }), "question.subject"),
        (Some(v1::Question { subject: Some(nobody), ..good() }), "question.subject"),
        (Some(v1::Question { subject: Some(person("")), ..good() }), "question.subject"),
        (Some(v1::Question { subject: Some(person("a\nb")), ..good() }), "question.subject"),
        (Some(v1::Question { permission: None, ..good() }), "question.operation"),
        (Some(question("ana", &"x".repeat(257), "absence")), "question.operation"),
        (
            Some(v1::Question { permission: Some(Permission::Right(String::new())), ..good() }),
            "question.right",
        ),
        (Some(v1::Question { resource: None, ..good() }), "question.resource"),
        (Some(v1::Question { resource: Some(object("9", "a")), ..good() }), "question.resource"),
        (
            Some(v1::Question { counterpart: Some(object("Report", "")), ..good() }),
            "question.counterpart",
        ),
        (
            Some(v1::Question {
                permission: Some(right),
                counterpart: Some(object("Report", "absence")),
                ..good()
            }),
            "question.counterpart",
        ),
    ] {
        let request = v1::CheckRequest { question: question.clone(), ..Default::default() };
        let refused = served.decisions().check(request).await.unwrap_err();
        assert_eq!(told(&refused), malformed(field), "{question:?}");
        assert!(refused.message().starts_with(&format!("`{field}`: ")), "{refused}");
        let request = v1::ExplainRequest { question, ..Default::default() };
        let refused = served.decisions().explain(request).await.unwrap_err();
        assert_eq!(told(&refused), malformed(field));
    }
    served.stop().await;
}

#[tokio::test]
async fn an_unknown_tenant_is_not_found_and_a_malformed_one_is_malformed() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let unknown = (Code::NotFound, "UNKNOWN_TENANT".to_owned(), Vec::new());
    let tenant = || "acme".to_owned();
    let question = || Some(question("ana", "View", "absence"));
    let mut decisions = served.decisions();
    let mut policy = served.policy();
    let check = v1::CheckRequest { tenant: tenant(), question: question(), at_least: 9 };
    let explain = v1::ExplainRequest { tenant: tenant(), question: question(), at_least: 0 };
    let batch = v1::BatchCheckRequest { tenant: tenant(), ..Default::default() };
    let apply = v1::ApplyRequest { tenant: tenant(), ..Default::default() };
    let export = v1::ExportRequest { tenant: tenant() };
    let key = Some(v1::FactKey { key: Some(Key::Person("ana".to_owned())) });
    let get = v1::PolicyServiceGetRequest { tenant: tenant(), key };
    let kind = v1::FactKind::Person.into();
    let list = v1::PolicyServiceListRequest { tenant: tenant(), kind, ..Default::default() };
    let delete = v1::TenantServiceDeleteRequest { tenant: tenant() };
    let mut refusals = vec![
        decisions.check(check).await.unwrap_err(),
        decisions.explain(explain).await.unwrap_err(),
        decisions.batch_check(batch).await.unwrap_err(),
        policy.apply(apply).await.unwrap_err(),
        policy.get(get).await.unwrap_err(),
        policy.list(list).await.unwrap_err(),
        served.tenants().delete(delete).await.unwrap_err(),
    ];
    refusals.extend(policy.export(export).await.err());
    assert_eq!(refusals.len(), 8);
    for refused in &refusals {
        assert_eq!(told(refused), unknown);
        assert_eq!(metadata(refused, "tenant"), "acme");
    }
    let long = v1::CheckRequest { tenant: "t".repeat(257), question: question(), at_least: 0 };
    assert_eq!(told(&decisions.check(long).await.unwrap_err()), malformed("tenant"));
    served.stop().await;
}

#[tokio::test]
async fn what_is_too_much_is_refused_with_the_limit() {
    let folder = folder();
    let small = Settings { max_message_bytes: Some(100_000), ..settings(folder.path()) };
    let served = Served::with(small).await;
    let limit =
        |field: &str| (Code::InvalidArgument, "LIMIT_EXCEEDED".to_owned(), vec![field.to_owned()]);
    let numbers = |status: &Status| (metadata(status, "maximum"), metadata(status, "actual"));

    let questions = vec![v1::Question::default(); 1_001];
    let batch = v1::BatchCheckRequest { questions, ..Default::default() };
    let refused = served.decisions().batch_check(batch).await.unwrap_err();
    assert_eq!(told(&refused), limit("questions"));
    assert_eq!(numbers(&refused), ("1000".to_owned(), "1001".to_owned()));
    assert!(refused.message().contains("1001 questions; the limit is 1000"), "{refused}");

    let refused = served.apply(vec![v1::Change::default(); 10_001]).await.unwrap_err();
    assert_eq!(told(&refused), limit("changes"));
    assert_eq!(numbers(&refused), ("10000".to_owned(), "10001".to_owned()));

    let request = v1::ApplyRequest { request_id: "r".repeat(129), ..Default::default() };
    let refused = served.policy().apply(request).await.unwrap_err();
    assert_eq!(told(&refused), limit("request_id"));

    let request = v1::TenantServiceListRequest { page_size: 1_001, ..Default::default() };
    let refused = served.tenants().list(request).await.unwrap_err();
    assert_eq!(told(&refused), limit("page_size"));

    // A message that is too large is refused before it is read.
    let refused = served.apply(vec![put_person(&"x".repeat(100_001))]).await.unwrap_err();
    let (code, reason, _) = told(&refused);
    assert_eq!((code, reason.as_str()), (Code::InvalidArgument, "LIMIT_EXCEEDED"));
    assert_eq!(metadata(&refused, "limit"), "max_message_bytes");
    assert!(refused.message().contains("100000"), "{refused}");
    assert_eq!(served.apply(Vec::new()).await.unwrap().revision, 1);
    served.stop().await;
}

#[tokio::test]
async fn bytes_that_are_no_message_are_malformed() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let mut client = tonic::client::Grpc::new(served.channel.clone());
    client.ready().await.unwrap();
    // An empty string field in place of the question: `tenant` with a wrong wire type.
    let codec = tonic_prost::ProstCodec::<Vec<u8>, v1::CheckResponse>::default();
    let path = http::uri::PathAndQuery::from_static("/pdp.v1.DecisionService/Check");
    // As `bytes` in field 1, invalid UTF-8 where the tenant should be.
    let request = tonic::Request::new(vec![0xff, 0xfe]);
    let refused = client.unary(request, path, codec).await.unwrap_err();
    let (code, reason, _) = told(&refused);
    assert_eq!((code, reason.as_str()), (Code::InvalidArgument, "MALFORMED"));
    served.stop().await;
}

#[tokio::test]
async fn a_revision_that_does_not_come_is_unavailable_in_time() {
    let folder = folder();
    let impatient = Settings { max_wait_ms: Some(20), ..settings(folder.path()) };
    let served = Served::with(impatient).await;
    let request = v1::CheckRequest {
        question: Some(question("ana", "View", "absence")),
        at_least: 7,
        ..Default::default()
    };
    let refused = served.decisions().check(request.clone()).await.unwrap_err();
    let expected = (Code::Unavailable, "REVISION_NOT_REACHED".to_owned(), Vec::new());
    assert_eq!(told(&refused), expected);
    assert_eq!(
        (metadata(&refused, "at_least"), metadata(&refused, "actual")),
        ("7".into(), "1".into())
    );
    assert!(refused.get_error_details().retry_info().is_some_and(|i| i.retry_delay.is_some()));
    served.stop().await;

    // The caller's deadline is shorter than what the server would wait.
    let served = Served::start(&folder).await;
    let mut request = tonic::Request::new(request);
    request.set_timeout(Duration::from_secs(1));
    let refused = served.decisions().check(request).await.unwrap_err();
    assert_eq!(told(&refused), expected);
    served.stop().await;
}

/// Applies a good change and this one: the refusal names the path, and nothing is applied.
async fn refused_at(served: &Served, change: v1::Change, path: &str) {
    let refused = served.apply(vec![put_person("fine"), change]).await.unwrap_err();
    assert_eq!(told(&refused), malformed(&format!("changes[1]{path}")), "{refused}");
    assert_eq!(served.apply(Vec::new()).await.unwrap().revision, 1);
}

fn x() -> String {
    "x".to_owned()
}

#[tokio::test]
async fn a_malformed_change_names_its_path() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let change = |change| v1::Change { change: Some(change) };
    let person = |person| put(Fact::Person(person));
    for (change, path) in [
        (v1::Change::default(), ""),
        (change(v1::change::Change::Put(v1::Fact::default())), ".put"),
        (change(v1::change::Change::Delete(v1::Delete::default())), ".delete.key"),
        (delete(Key::Person(String::new()), false), ".delete.key.person"),
        (delete(Key::Resource(object("Report", "")), false), ".delete.key.resource.id"),
        (put_person(""), ".put.person.id"),
        (
            person(v1::Person { id: x(), manager: Some(String::new()), ..Default::default() }),
            ".put.person.manager",
        ),
        (
            person(v1::Person {
                id: x(),
                locations: vec![x(), String::new()],
                ..Default::default()
            }),
            ".put.person.locations[1]",
        ),
        (
            put(Fact::BusinessRole(v1::BusinessRole { id: "a@b".into(), ..Default::default() })),
            ".put.business_role.id",
        ),
    ] {
        refused_at(&served, change, path).await;
    }
    let request = v1::PolicyServiceGetRequest::default();
    assert_eq!(told(&served.policy().get(request).await.unwrap_err()), malformed("key"));
    for kind in [0, 99] {
        let request = v1::PolicyServiceListRequest { kind, ..Default::default() };
        assert_eq!(told(&served.policy().list(request).await.unwrap_err()), malformed("kind"));
    }
    let request = v1::ApplyRequest { request_id: "a\nb".to_owned(), ..Default::default() };
    assert_eq!(told(&served.policy().apply(request).await.unwrap_err()), malformed("request_id"));
    served.stop().await;
}

#[tokio::test]
async fn a_malformed_window_names_its_bound() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let ana = Some(v1::ActorRef { actor: Some(v1::actor_ref::Actor::Person("ana".to_owned())) });
    let listed = |of: &Option<v1::ActorRef>, window| {
        let members = vec![v1::Membership { of: of.clone(), window }];
        put(Fact::Group(v1::Group { id: x(), members, ..Default::default() }))
    };
    let from = |seconds, nanos| v1::Window {
        valid_from: Some(Timestamp { seconds, nanos }),
        valid_until: None,
    };
    let until = |seconds, nanos| v1::Window {
        valid_from: None,
        valid_until: Some(Timestamp { seconds, nanos }),
    };
    for (member, path) in [
        (listed(&None, None), "of"),
        (listed(&ana, Some(from(i64::MAX, 0))), "window.valid_from"),
        (listed(&ana, Some(from(-62_135_596_801, 0))), "window.valid_from"),
        (listed(&ana, Some(until(253_402_300_800, 0))), "window.valid_until"),
        (listed(&ana, Some(until(0, 1))), "window.valid_until"),
        (listed(&ana, Some(until(0, -1_000))), "window.valid_until"),
        (listed(&ana, Some(until(0, 1_000_000_000))), "window.valid_until"),
    ] {
        refused_at(&served, member, &format!(".put.group.members[0].{path}")).await;
    }
    served.stop().await;
}

#[tokio::test]
async fn a_malformed_level_or_assignment_names_its_field() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let level = || Some(v1::LevelRef { r#type: "Report".to_owned(), name: "Viewer".to_owned() });
    let to = || Some(v1::ActorRef { actor: Some(v1::actor_ref::Actor::Person("ana".to_owned())) });
    let says = |name: &str, qualifier| v1::QualifiedPermission { name: name.to_owned(), qualifier };
    let access_level = |operations| {
        let rights = Vec::new();
        put(Fact::AccessLevel(v1::AccessLevel { name: level(), operations, rights }))
    };
    let assignment = |scope| {
        let assignment = v1::Assignment { to: to(), level: level(), scope, ..Default::default() };
        put(Fact::Assignment(assignment))
    };
    let relative = |number| Some(v1::Scope { scope: Some(v1::scope::Scope::Relative(number)) });
    let star = v1::ResourceType { name: x(), operations: vec!["*".to_owned()], rights: Vec::new() };
    for (change, path) in [
        (put(Fact::ResourceType(star)), ".put.resource_type.operations[0]"),
        (access_level(vec![says("View", 0)]), ".put.access_level.operations[0].qualifier"),
        (access_level(vec![says("View", 99)]), ".put.access_level.operations[0].qualifier"),
        (access_level(vec![says("*", 3), says("*", 3)]), ".put.access_level.operations[1].name"),
        (assignment(None), ".put.assignment.scope"),
        (assignment(relative(0)), ".put.assignment.scope.relative"),
        (assignment(relative(77)), ".put.assignment.scope.relative"),
    ] {
        refused_at(&served, change, path).await;
    }
    served.stop().await;
}

#[tokio::test]
async fn a_change_set_that_does_not_fit_the_policy_lists_its_problems() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let homeless = |id: &str| {
        let manager = Some("nobody".to_owned());
        put(Fact::Person(v1::Person { id: id.to_owned(), manager, ..Default::default() }))
    };
    let hr = delete(Key::Group("hr".to_owned()), false);
    let refused = served.apply(vec![put_person("dee"), homeless("eve"), hr]).await.unwrap_err();
    let fields = vec!["changes[1]".to_owned(), "changes[2]".to_owned()];
    let expected = (Code::FailedPrecondition, "CHANGE_SET_REJECTED".to_owned(), fields);
    assert_eq!(told(&refused), expected);
    let details = refused.get_error_details();
    let violations = &details.precondition_failure().unwrap().violations;
    let types: Vec<_> = violations.iter().map(|violation| violation.r#type.as_str()).collect();
    assert_eq!(types, ["DANGLING_REFERENCE", "STILL_REFERENCED"]);
    assert_eq!(violations[0].subject, "person `eve`");
    assert!(violations[1].description.contains("assignment `a-1`"), "{violations:?}");
    assert!(
        refused.message().contains("`changes[1]`: person `eve`: `manager` names person `nobody`")
    );

    // However much is wrong, the answer arrives.
    let changes = (0..200).map(|n| homeless(&format!("{n}{}", "é".repeat(120)))).collect();
    let refused = served.apply(changes).await.unwrap_err();
    let (code, reason, fields) = told(&refused);
    assert_eq!((code, reason.as_str()), (Code::FailedPrecondition, "CHANGE_SET_REJECTED"));
    assert_eq!(fields[0], "changes[0]");
    assert!(refused.message().contains("more"), "{refused}");
    let role = |n: usize| {
        let parent = Some(format!("{}{}", (n + 1) % 120, "é".repeat(120)));
        let id = format!("{n}{}", "é".repeat(120));
        put(Fact::BusinessRole(v1::BusinessRole { id, parent, ..Default::default() }))
    };
    let refused = served.apply((0..120).map(role).collect()).await.unwrap_err();
    assert_eq!(told(&refused).1, "CHANGE_SET_REJECTED");
    assert_eq!(served.apply(Vec::new()).await.unwrap().revision, 1, "nothing was applied");
    served.stop().await;
}
