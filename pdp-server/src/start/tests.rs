//! A door that decides upon an image while the policy is being loaded: decisions are made, of the same answers, and
//! everything else waits for the policy.

use std::path::Path;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, StatusCode};
use pdp_engine::id::{PersonId, TenantId};
use pdp_proto::v1;
use pdp_proto::v1::decision_service_client::DecisionServiceClient;
use pdp_proto::v1::policy_service_client::PolicyServiceClient;
use pdp_proto::v1::session_service_client::SessionServiceClient;
use tokio::runtime::Handle;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::{Layer as _, Service as _};

use super::*;
use crate::callers::GateLayer;
use crate::http::authzen::tests::{door_waiting, gate, options};
use crate::http::{Ready, Routes};
use crate::publish::Apply;
use crate::rpc::Grpc;
use crate::store::sample::{crowd, grant};

/// No test waits for so long.
const LONG: Duration = Duration::from_secs(3_600);

/// A store whose default tenant has enough people to be worth an image, and lets one of them view a report.
fn fill(dir: &Path) -> Publisher {
    let publisher = Publisher::open(Store::open(dir).unwrap(), Clock::system()).unwrap();
    let mut changes = crowd("p", 1 << 14);
    changes.extend(grant("ana"));
    let request = Apply {
        changes: &changes,
        expected: None,
        dry_run: false,
        request_id: None,
        on_behalf_of: None,
    };
    publisher.apply(&TenantId::new(DEFAULT_TENANT).unwrap(), request).unwrap();
    publisher
}

fn question(person: &str) -> v1::Question {
    v1::Question {
        subject: Some(v1::Subject {
            subject: Some(v1::subject::Subject::Person(PersonId::new(person).unwrap().to_string())),
        }),
        permission: Some(v1::question::Permission::Operation("View".to_owned())),
        resource: Some(v1::ResourceRef { r#type: "Report".to_owned(), id: "absence".to_owned() }),
        counterpart: None,
        no_routing: false,
    }
}

fn check(person: &str) -> v1::CheckRequest {
    v1::CheckRequest { question: Some(question(person)), ..Default::default() }
}

async fn got(http: &axum::Router, path: &str) -> StatusCode {
    http.clone().call(Request::get(path).body(Body::empty()).unwrap()).await.unwrap().status()
}

#[tokio::test]
async fn decisions_are_made_before_the_policy_is_loaded_and_the_rest_waits() {
    let dir = tempfile::tempdir().unwrap();
    let publisher = fill(dir.path());
    publisher.leave_image();
    drop(publisher);

    let image = ImageReading::begin(dir.path());
    let store = Store::open(dir.path()).unwrap();
    let early = Early::of(&store, image, &Clock::system()).unwrap().unwrap();
    let door = door_waiting(LONG);
    let health = Health::not_serving_yet().await;
    let here = Handle::current();
    let routes = door.routes(&health, Default::default(), &here).unwrap().prepare();
    let routes = GateLayer::<Grpc>::new(gate()).layer(routes);
    let mut decisions = DecisionServiceClient::new(routes.clone());
    let mut sessions = SessionServiceClient::new(routes.clone());
    let mut policies = PolicyServiceClient::new(routes.clone());
    let mut probes = HealthClient::new(routes);
    let ready = Ready::default();
    let http = Routes::new(ready.clone(), &door, Some(options()), &here).behind(gate());

    let starting = decisions.check(check("ana")).await.unwrap_err();
    assert_eq!(starting.code(), Code::Unavailable);
    assert!(!door.decides());
    assert_eq!(got(&http, "/healthz/ready").await, StatusCode::SERVICE_UNAVAILABLE);

    crate::decide_upon(early, (&door, &ready, &health), Instant::now()).await;
    assert_eq!(got(&http, "/healthz/ready").await, StatusCode::OK);
    let mut serves = async |service: &str| {
        let request = HealthCheckRequest { service: service.to_owned() };
        probes.check(request).await.unwrap().into_inner().status() == ServingStatus::Serving
    };
    assert!(serves("").await && serves("pdp.v1.DecisionService").await);
    assert!(!serves("pdp.v1.PolicyService").await && !serves("pdp.v1.AuditService").await);
    assert!(door.decides() && door.publisher().is_none());
    for (person, effect) in [("ana", v1::Effect::Allow), ("p-0000003", v1::Effect::Deny)] {
        let decided = decisions.check(check(person)).await.unwrap().into_inner().decision.unwrap();
        assert_eq!((decided.effect(), decided.revision), (effect, 1), "{person}");
    }
    let questions = vec![question("ana"), question("nobody")];
    let batch = v1::BatchCheckRequest { questions, ..Default::default() };
    let batch = decisions.batch_check(batch).await.unwrap().into_inner();
    assert_eq!((batch.results.len(), batch.revision), (2, 1));
    let stream = tokio_stream::iter([v1::CheckStreamRequest {
        number: 7,
        question: Some(question("ana")),
        ..Default::default()
    }]);
    let mut stream = decisions.check_stream(stream).await.unwrap().into_inner();
    let v1::CheckStreamResponse { number, result } = stream.message().await.unwrap().unwrap();
    let Some(v1::check_stream_response::Result::Decision(decided)) = result else { panic!() };
    assert_eq!((number, decided.effect()), (7, v1::Effect::Allow));
    let evaluation = r#"{"subject": {"type": "user", "id": "ana"}, "action": {"name": "View"},
        "resource": {"type": "Report", "id": "absence"}}"#;
    let request = Request::post("/access/v1/evaluation")
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(evaluation))
        .unwrap();
    let answer = http.clone().call(request).await.unwrap().into_body();
    let answer = to_bytes(answer, 1 << 20).await.unwrap();
    assert!(answer.starts_with(br#"{"decision":true"#), "{answer:?}");
    let elsewhere = v1::CheckRequest { tenant: "other".to_owned(), ..check("ana") };
    let unknown = decisions.check(elsewhere).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert_eq!(unknown.message(), "tenant `other` does not exist");

    // All of these need more than there is.
    let explain = v1::ExplainRequest { question: Some(question("ana")), ..Default::default() };
    let list = v1::PolicyServiceListRequest { kind: 5, page_size: 1, ..Default::default() };
    let later = v1::CheckRequest { at_least: 2, ..check("ana") };
    let mut asked = (decisions.clone(), decisions.clone());
    let explained = tokio::spawn(async move { asked.0.explain(explain).await });
    let decided = tokio::spawn(async move { asked.1.check(later).await });
    let listed = tokio::spawn(async move { policies.list(list).await });
    let open = v1::SessionServiceOpenRequest {
        request_key: "k".to_owned(),
        person: "ana".to_owned(),
        computer: "c".to_owned(),
        ..Default::default()
    };
    let opened = tokio::spawn(async move { sessions.open(open).await });
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert!(
        ![explained.is_finished(), decided.is_finished(), listed.is_finished()].contains(&true)
    );

    let publisher = Publisher::open(store, Clock::system()).unwrap();
    door.open(publisher.clone());
    let explained = explained.await.unwrap().unwrap().into_inner().explanation.unwrap();
    assert_eq!(explained.decision.unwrap().effect(), v1::Effect::Allow);
    assert_eq!(listed.await.unwrap().unwrap().into_inner().facts.len(), 1);
    assert_eq!(
        opened.await.unwrap().unwrap().into_inner().decision.unwrap().effect(),
        v1::Effect::Deny
    );
    assert!(!decided.is_finished(), "its revision has not come");
    let changes = crowd("q", 1);
    let request = Apply {
        changes: &changes,
        expected: None,
        dry_run: false,
        request_id: None,
        on_behalf_of: None,
    };
    publisher.apply(&TenantId::new(DEFAULT_TENANT).unwrap(), request).unwrap();
    let decided = decided.await.unwrap().unwrap().into_inner().decision.unwrap();
    assert_eq!((decided.effect(), decided.revision), (v1::Effect::Allow, 2));
    assert!(door.decides() && !door.is_early());
}

#[test]
fn an_image_is_left_where_loading_would_take_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let files = || std::fs::read_dir(dir.path()).unwrap().count();
    let publisher = Publisher::open(Store::open(dir.path()).unwrap(), Clock::system()).unwrap();
    publisher.leave_image();
    assert_eq!(files(), 1, "there is nothing to load");
    drop(publisher);
    let publisher = fill(dir.path());
    publisher.leave_image();
    assert_eq!(files(), 2);
}
