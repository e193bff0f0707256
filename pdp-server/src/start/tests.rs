//! A door that decides upon an image while the policy is being loaded: decisions are made, with the same answers, and
//! everything else waits for the policy.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, StatusCode};
use pdp_engine::facts::Change;
use pdp_engine::id::TenantId;
use pdp_proto::v1::decision_service_client::DecisionServiceClient;
use pdp_proto::v1::policy_service_client::PolicyServiceClient;
use pdp_proto::v1::session_service_client::SessionServiceClient;
use pdp_proto::v1::{self, Effect};
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
use crate::rpc::{Door, Grpc};
use crate::store::sample::{crowd, grant};

/// No test waits for so long.
const LONG: Duration = Duration::from_secs(3_600);

type Front = <GateLayer<Grpc> as tower::Layer<tonic::service::Routes>>::Service;

/// Doors to a store that has an image and is not loaded yet.
struct Starting {
    store: Store,
    early: Option<Early>,
    door: Arc<Door>,
    health: Health,
    ready: Ready,
    grpc: Front,
    http: Router,
}

fn apply(publisher: &Publisher, changes: &[Change]) {
    let request =
        Apply { changes, expected: None, dry_run: false, request_id: None, on_behalf_of: None };
    publisher.apply(&TenantId::new(DEFAULT_TENANT).unwrap(), request).unwrap();
}

fn open_on(dir: &Path) -> Publisher {
    Publisher::open(Store::open(dir).unwrap(), Clock::system()).unwrap()
}

/// Has the default tenant know enough people for an image; one of them may view a report.
fn fill(dir: &Path) -> Publisher {
    let publisher = open_on(dir);
    let mut changes = crowd("p", 1 << 14);
    changes.extend(grant("ana"));
    apply(&publisher, &changes);
    publisher
}

fn question(person: &str) -> v1::Question {
    v1::Question {
        subject: Some(v1::Subject {
            subject: Some(v1::subject::Subject::Person(person.to_owned())),
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

// === impl Starting ===

impl Starting {
    async fn on(dir: &Path) -> Self {
        let publisher = fill(dir);
        publisher.leave_image();
        drop(publisher);
        let image = ImageReading::begin(dir);
        let store = Store::open(dir).unwrap();
        let early = Early::of(&store, image, &Clock::system()).unwrap();
        let (door, health, ready) =
            (door_waiting(LONG), Health::not_serving_yet().await, Ready::default());
        let here = Handle::current();
        let routes = door.routes(&health, Default::default(), &here).unwrap().prepare();
        let grpc = GateLayer::<Grpc>::new(gate()).layer(routes);
        let http = Routes::new(ready.clone(), &door, Some(options()), &here).behind(gate());
        Self { store, early, door, health, ready, grpc, http }
    }

    /// Decides upon the image.
    async fn decide(&mut self) {
        let early = self.early.take().unwrap();
        crate::decide_upon(early, (&self.door, &self.ready, &self.health), Instant::now()).await;
    }

    /// Loads the policy.
    fn load(self) -> Publisher {
        let publisher = Publisher::open(self.store, Clock::system()).unwrap();
        self.door.open(publisher.clone());
        publisher
    }

    async fn is_ready(&self) -> bool {
        let request = Request::get("/healthz/ready").body(Body::empty()).unwrap();
        self.http.clone().call(request).await.unwrap().status() == StatusCode::OK
    }

    async fn serves(&self, service: &str) -> bool {
        let request = HealthCheckRequest { service: service.to_owned() };
        let told = HealthClient::new(self.grpc.clone()).check(request).await.unwrap();
        told.into_inner().status() == ServingStatus::Serving
    }

    fn decisions(&self) -> DecisionServiceClient<Front> {
        DecisionServiceClient::new(self.grpc.clone())
    }

    async fn effect(&self, person: &str) -> (Effect, u64) {
        let checked = self.decisions().check(check(person)).await.unwrap();
        let decision = checked.into_inner().decision.unwrap();
        (decision.effect(), decision.revision)
    }
}

#[tokio::test]
async fn it_is_ready_and_healthy_for_decisions_once_there_is_an_image() {
    let dir = tempfile::tempdir().unwrap();
    let mut starting = Starting::on(dir.path()).await;
    let refused = starting.decisions().check(check("ana")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(!starting.is_ready().await && !starting.serves("").await);
    starting.decide().await;
    assert!(starting.is_ready().await && starting.door.publisher().is_none());
    assert!(starting.serves("").await && starting.serves("pdp.v1.DecisionService").await);
    for service in ["pdp.v1.PolicyService", "pdp.v1.AuditService", "pdp.v1.SessionService"] {
        assert!(!starting.serves(service).await, "{service}");
    }
}

#[tokio::test]
async fn every_door_decides_upon_an_image() {
    let dir = tempfile::tempdir().unwrap();
    let mut starting = Starting::on(dir.path()).await;
    starting.decide().await;
    assert_eq!(starting.effect("ana").await, (Effect::Allow, 1));
    assert_eq!(starting.effect("p-0000003").await, (Effect::Deny, 1));
    let mut decisions = starting.decisions();
    let questions = vec![question("ana"), question("nobody")];
    let batch = v1::BatchCheckRequest { questions, ..Default::default() };
    let batch = decisions.batch_check(batch).await.unwrap().into_inner();
    assert_eq!((batch.results.len(), batch.revision), (2, 1));

    let question = Some(question("ana"));
    let asked = v1::CheckStreamRequest { number: 7, question, ..Default::default() };
    let mut stream =
        decisions.check_stream(tokio_stream::iter([asked])).await.unwrap().into_inner();
    let v1::CheckStreamResponse { number, result } = stream.message().await.unwrap().unwrap();
    let Some(v1::check_stream_response::Result::Decision(decided)) = result else { panic!() };
    assert_eq!((number, decided.effect()), (7, Effect::Allow));

    let evaluation = r#"{"subject": {"type": "user", "id": "ana"}, "action": {"name": "View"},
        "resource": {"type": "Report", "id": "absence"}}"#;
    let request = Request::post("/access/v1/evaluation")
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(evaluation))
        .unwrap();
    let answer = starting.http.clone().call(request).await.unwrap().into_body();
    let answer = to_bytes(answer, 1 << 20).await.unwrap();
    assert!(answer.starts_with(br#"{"decision":true"#), "{answer:?}");

    let elsewhere = v1::CheckRequest { tenant: "other".to_owned(), ..check("ana") };
    let unknown = decisions.check(elsewhere).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert_eq!(unknown.message(), "tenant `other` does not exist");
}

#[tokio::test]
async fn what_needs_more_than_an_image_waits_for_the_policy() {
    let dir = tempfile::tempdir().unwrap();
    let mut starting = Starting::on(dir.path()).await;
    let early = starting.early.as_ref().and_then(|early| early.snapshot(DEFAULT_TENANT)).unwrap();
    let early = Arc::downgrade(early);
    starting.decide().await;
    let explain = v1::ExplainRequest { question: Some(question("ana")), ..Default::default() };
    let list = v1::PolicyServiceListRequest { kind: 5, page_size: 1, ..Default::default() };
    let later = v1::CheckRequest { at_least: 2, ..check("ana") };
    let open = v1::SessionServiceOpenRequest {
        request_key: "k".to_owned(),
        person: "ana".to_owned(),
        computer: "c".to_owned(),
        ..Default::default()
    };
    let (mut one, mut other) = (starting.decisions(), starting.decisions());
    let mut policies = PolicyServiceClient::new(starting.grpc.clone());
    let mut sessions = SessionServiceClient::new(starting.grpc.clone());
    let explained = tokio::spawn(async move { one.explain(explain).await });
    let decided = tokio::spawn(async move { other.check(later).await });
    let listed = tokio::spawn(async move { policies.list(list).await });
    let opened = tokio::spawn(async move { sessions.open(open).await });
    // One that has no time to wait is told so.
    let mut hurried = tonic::Request::new(v1::ExplainRequest::default());
    hurried.set_timeout(Duration::from_millis(1));
    let refused = starting.decisions().explain(hurried).await.unwrap_err();
    assert_eq!(refused.message(), "the server is loading its policy");
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    let ended = [explained.is_finished(), decided.is_finished(), listed.is_finished()];
    assert!(!ended.contains(&true) && !opened.is_finished());

    let door = Arc::clone(&starting.door);
    let publisher = starting.load();
    publisher.sweep();
    assert!(early.upgrade().is_none(), "nothing of it is kept");
    let explained = explained.await.unwrap().unwrap().into_inner().explanation.unwrap();
    assert_eq!(explained.decision.unwrap().effect(), Effect::Allow);
    assert_eq!(listed.await.unwrap().unwrap().into_inner().facts.len(), 1);
    let opened = opened.await.unwrap().unwrap().into_inner().decision.unwrap();
    assert_eq!(opened.effect(), Effect::Deny);
    assert!(!decided.is_finished(), "its revision has not come");
    apply(&publisher, &crowd("q", 1));
    let decided = decided.await.unwrap().unwrap().into_inner().decision.unwrap();
    assert_eq!((decided.effect(), decided.revision), (Effect::Allow, 2));
    assert!(door.decides() && !door.is_early());
}

#[test]
fn an_image_is_left_where_loading_would_take_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let files = || std::fs::read_dir(dir.path()).unwrap().count();
    let publisher = open_on(dir.path());
    publisher.leave_image();
    assert_eq!(files(), 1, "there is nothing to load");
    drop(publisher);
    let publisher = fill(dir.path());
    publisher.leave_image();
    assert_eq!(files(), 2);
}
