//! Every door's records.

use std::collections::HashMap;

use pdp_proto::ext_authz::attribute_context::{HttpRequest, Request as Envoys};
use pdp_proto::ext_authz::authorization_client::AuthorizationClient;
use pdp_proto::ext_authz::{AttributeContext, CheckRequest as EnvoyCheck};
use pdp_proto::v1;
use pdp_server::callers::NewKey;
use pdp_server::config::{DecisionLogSettings, Settings};
use serde_json::{Value, json};
use tokio_stream::StreamExt as _;
use tonic::Request;

use crate::logged::Logged;
use crate::served::{folder, object, person, question};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn traced<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    request.metadata_mut().insert("traceparent", parent.parse().unwrap());
    request
}

fn delegation(recipient: &str) -> v1::DelegationQuestion {
    let to = v1::actor_ref::Actor::Group(recipient.to_owned());
    let scope = v1::scope::Scope::OnResource(object("Report", "absence"));
    v1::DelegationQuestion {
        delegator: Some(person("ana")),
        action: v1::DelegationAction::Grant.into(),
        level: Some(v1::LevelRef { r#type: "Report".into(), name: "Viewer".into() }),
        recipient: Some(v1::ActorRef { actor: Some(to) }),
        scope: Some(v1::Scope { scope: Some(scope) }),
        no_routing: true,
    }
}

/// What records say, without what differs from run to run.
fn said(records: &[Value]) -> Vec<Value> {
    let plain = |record: &Value| {
        let mut record = record.clone();
        let id = record.as_object_mut().unwrap().remove("id").unwrap();
        assert_eq!(id.as_str().unwrap().len(), 32);
        record
    };
    records.iter().map(plain).collect()
}

/// A record of the questions here.
fn record(rpc: &str, question: Value, effect: &str, reason: &str) -> Value {
    json!({
        "time": "2026-01-01T00:00:00Z", "rpc": rpc, "tenant": "default", "question": question,
        "effect": effect, "reason": reason, "revision": 1,
    })
}

fn with(mut record: Value, key: &str, value: Value) -> Value {
    record.as_object_mut().unwrap().insert(key.to_owned(), value);
    record
}

fn view(who: &str) -> Value {
    json!({"subject": format!("person:{who}"), "operation": "View", "resource": "Report:absence"})
}

#[tokio::test]
async fn every_rpc_writes_what_it_decides() {
    let logged = Logged::start(DecisionLogSettings::default(), Settings::default()).await;
    let mut decisions = logged.served.decisions();
    let asked = |who: &str| Some(question(who, "View", "absence"));
    let check = v1::CheckRequest { question: asked("ana"), ..Default::default() };
    decisions.check(traced(check)).await.unwrap();
    // One that is no question has no decision, and so no record.
    let questions = vec![asked("bo").unwrap(), v1::Question::default(), asked("ana").unwrap()];
    let batch = v1::BatchCheckRequest { questions, ..Default::default() };
    decisions.batch_check(batch).await.unwrap();
    let streamed = ["ana", "cy"]
        .map(|who| v1::CheckStreamRequest { question: asked(who), ..Default::default() });
    let answers = decisions.check_stream(tokio_stream::iter(streamed)).await.unwrap();
    assert_eq!(answers.into_inner().collect::<Vec<_>>().await.len(), 2);
    let explain = v1::ExplainRequest { question: asked("bo"), ..Default::default() };
    decisions.explain(explain).await.unwrap();
    let ask = Some(delegation("hr"));
    let request = v1::CheckDelegationRequest { question: ask.clone(), ..Default::default() };
    decisions.check_delegation(traced(request)).await.unwrap();
    let request = v1::ExplainDelegationRequest { question: ask, ..Default::default() };
    decisions.explain_delegation(request).await.unwrap();
    let mut rest = question("ana", "AddPersonToViewer", "absence");
    rest.counterpart = Some(object("Person", "bo"));
    rest.no_routing = true;
    logged.served.check(rest).await;
    let (_folder, records) = logged.stop().await;

    let allow = |rpc, who: &str| record(rpc, view(who), "ALLOW", "GRANTED");
    let deny = |rpc, who: &str, reason| record(rpc, view(who), "DENY", reason);
    let handed = json!({
        "delegator": "person:ana", "grant": "Report/Viewer", "to": "group:hr",
        "on": "Report:absence", "routing": false,
    });
    let handed = |rpc| record(rpc, handed.clone(), "DENY", "SELF_DELEGATION");
    let trace = |record| with(record, "trace_id", json!(TRACE));
    let dual = json!({
        "subject": "person:ana", "operation": "AddPersonToViewer", "resource": "Report:absence",
        "counterpart": "Person:bo", "routing": false,
    });
    let mut expected = vec![
        trace(allow("Check", "ana")),
        deny("BatchCheck", "bo", "NOT_GRANTED"),
        allow("BatchCheck", "ana"),
        allow("CheckStream", "ana"),
        deny("CheckStream", "cy", "SUBJECT_DISABLED"),
        deny("Explain", "bo", "NOT_GRANTED"),
        trace(handed("CheckDelegation")),
        handed("ExplainDelegation"),
        record("Check", dual, "DENY", "MISSING_ON_COUNTERPART"),
    ];
    // The order is that of each thread by itself.
    let mut found = said(&records);
    let place = |record: &Value| (record["rpc"].to_string(), record["question"].to_string());
    expected.sort_by_key(place);
    found.sort_by_key(place);
    assert_eq!(found, expected);
}

#[tokio::test]
async fn gateways_and_evaluations_write_the_id_that_they_tell() {
    let folder = folder();
    let mapping = folder.path().join("gateway.yaml");
    let routes = "subject: [{header: x-caller, as: 'person:{value}'}]\n\
                  routes: [{path: '/reports/{id}', permission: View, resource: 'Report:{id}'}]\n";
    std::fs::write(&mapping, routes).unwrap();
    let settings = Settings { gateway: Some(mapping), ..Settings::default() };
    let logged = Logged::start_in(folder, DecisionLogSettings::default(), settings).await;
    let traceparent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let headers = [("x-caller", "bo"), ("traceparent", traceparent.as_str())];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    for path in ["/reports/absence", "/elsewhere"] {
        let http = HttpRequest {
            method: "GET".to_owned(),
            headers: HashMap::from(headers.clone()),
            path: path.as_bytes().to_vec(),
            ..Default::default()
        };
        let request = Some(Envoys { http: Some(http) });
        let attributes = Some(AttributeContext { request, ..Default::default() });
        let mut client = AuthorizationClient::new(logged.served.channel.clone());
        client.check(EnvoyCheck { attributes }).await.unwrap();
    }
    let subject =
        |kind: &str, id: &str| format!(r#""subject": {{"type": "{kind}", "id": "{id}"}}"#);
    let rest = r#""action": {"name": "View"}, "resource": {"type": "Report", "id": "absence"}"#;
    let body = format!("{{{}, {rest}}}", subject("user", "ana"));
    let trace = format!("traceparent: {traceparent}\r\n");
    let told = logged.posts("/access/v1/evaluation", &trace, &body).await;
    let body = format!(
        r#"{{{rest}, "evaluations": [{{{}}}, {{{}}}, {{}}]}}"#,
        subject("person", "bo"),
        subject("robot", "r-2")
    );
    logged.posts("/access/v1/evaluations", "", &body).await;
    let (_folder, records) = logged.stop().await;
    let of = |rpc: &str| records.iter().filter(|it| it["rpc"] == rpc).cloned().collect::<Vec<_>>();

    // A path that no route takes asks nothing.
    let envoys =
        with(record("ext_authz", view("bo"), "DENY", "NOT_GRANTED"), "trace_id", json!(TRACE));
    assert_eq!(said(&of("ext_authz")), [envoys]);
    let one = of("evaluation");
    let allowed = record("evaluation", view("ana"), "ALLOW", "GRANTED");
    assert_eq!(said(&one), [with(allowed, "trace_id", json!(TRACE))]);
    assert!(told.contains(one[0]["id"].as_str().unwrap()), "{told}");
    let mut robot = view("ana");
    robot["subject"] = json!("robot:r-2");
    assert_eq!(
        said(&of("evaluations")),
        [
            record("evaluations", view("bo"), "DENY", "NOT_GRANTED"),
            record("evaluations", robot, "DENY", "UNKNOWN_SUBJECT"),
        ]
    );
    assert_eq!(records.len(), 4);
}

#[tokio::test]
async fn a_caller_is_named() {
    let folder = folder();
    let key = NewKey::draw().unwrap();
    let callers = folder.path().join("callers.yaml");
    let entry = key.entry();
    let text = format!("callers: [{{name: edge, keys: [{entry}], roles: {{default: [check]}}}}]\n");
    std::fs::write(&callers, text).unwrap();
    let settings = Settings { callers: Some(callers), ..Settings::default() };
    let logged = Logged::start_in(folder, DecisionLogSettings::default(), settings).await;
    let asked = Some(question("ana", "View", "absence"));
    let mut request = Request::new(v1::CheckRequest { question: asked, ..Default::default() });
    // Who has no leave gets no decision, and none is written.
    logged.served.decisions().check(v1::CheckRequest::default()).await.unwrap_err();
    let authorization = format!("Bearer {}", key.secret());
    request.metadata_mut().insert("authorization", authorization.parse().unwrap());
    logged.served.decisions().check(request).await.unwrap();
    let authorization = format!("authorization: Bearer {}\r\n", key.secret());
    let body = r#"{"subject": {"type": "user", "id": "ana"}, "action": {"name": "View"},
        "resource": {"type": "Report", "id": "absence"}}"#;
    logged.posts("/access/v1/evaluation", &authorization, body).await;
    let (_folder, records) = logged.stop().await;
    let callers: Vec<_> = records.iter().map(|record| record["caller"].clone()).collect();
    assert_eq!(callers, [json!("edge"), json!("edge")]);
    let text = records.iter().map(Value::to_string).collect::<String>();
    assert!(!text.contains(key.secret()), "{text}");
}
