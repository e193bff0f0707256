//! A door that decides upon an image while the policy is being loaded: decisions are made, of the same answers, and
//! everything else waits for the policy.

use std::path::Path;
use std::time::Duration;

use pdp_engine::id::PersonId;
use pdp_proto::v1;
use pdp_proto::v1::decision_service_client::DecisionServiceClient;
use pdp_proto::v1::policy_service_client::PolicyServiceClient;
use tokio::runtime::Handle;
use tonic::Code;
use tower::Layer as _;

use super::super::{Gateway, Grpc, Health};
use super::*;
use crate::callers::GateLayer;
use crate::clock::Clock;
use crate::http::authzen::tests::{door_waiting, gate};
use crate::publish::{Apply, DEFAULT_TENANT, Early};
use crate::store::sample::{crowd, grant};
use crate::store::{ImageReading, Store};

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
    let routes = door.routes(&health, Gateway::default(), &here).unwrap().prepare();
    let routes = GateLayer::<Grpc>::new(gate()).layer(routes);
    let mut decisions = DecisionServiceClient::new(routes.clone());
    let mut policies = PolicyServiceClient::new(routes);

    let starting = decisions.check(check("ana")).await.unwrap_err();
    assert_eq!(starting.code(), Code::Unavailable);
    assert!(!door.decides());

    door.decide_upon(early);
    assert!(door.decides() && door.publisher().is_none());
    for (person, effect) in [("ana", v1::Effect::Allow), ("p-0000003", v1::Effect::Deny)] {
        let decided = decisions.check(check(person)).await.unwrap().into_inner().decision.unwrap();
        assert_eq!((decided.effect(), decided.revision), (effect, 1), "{person}");
    }
    let questions = vec![question("ana"), question("nobody")];
    let batch = v1::BatchCheckRequest { questions, ..Default::default() };
    let batch = decisions.batch_check(batch).await.unwrap().into_inner();
    assert_eq!((batch.results.len(), batch.revision), (2, 1));
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
    assert!(door.decides() && !door.behind.is_early());
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
