//! The HTTP door.

use pdp_server::config::Settings;
use serde_json::{Value, json};

use crate::guarded::{Guarded, caller, key};
use crate::sent::send;
use crate::served;

/// A question whose answer is a permit.
pub(crate) const QUESTION: &str = r#"{"subject": {"type": "user", "id": "ana"}, "action": {"name": "View"},
    "resource": {"type": "Report", "id": "absence"}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_leave_is_told_what_to_show() {
    let [(checks, one), (explains, two), (scrapes, three)] = [key(), key(), key()];
    let callers = ["callers:\n".to_owned()]
        .into_iter()
        .chain([
            caller("checks", &one, "{default: [check], other: [check, explain]}"),
            caller("explains", &two, "{default: [explain]}"),
            caller("scrapes", &three, "{\"*\": [metrics]}"),
        ])
        .collect::<String>();
    let guarded = Guarded::start(&callers).await;
    let evaluation = "/access/v1/evaluation";
    let subject = "/access/v1/search/subject";
    let plain = r#"Bearer realm="pdp""#;
    let invalid = r#"Bearer realm="pdp", error="invalid_token""#;
    let scope = r#"Bearer realm="pdp", error="insufficient_scope""#;
    let some = |text: &str| Some(text.to_owned());
    for (method, path, authorization, status, challenge) in [
        ("POST", evaluation, None, 401, plain),
        ("POST", evaluation, some("Basic YTpi"), 401, invalid),
        ("POST", evaluation, some("Bearer pdp_00000000_x"), 401, invalid),
        ("POST", evaluation, Some(checks.clone()), 200, ""),
        ("POST", "/t/default/access/v1/evaluation", Some(checks.clone()), 200, ""),
        // Whether there is a tenant is for those who have a role there.
        ("POST", "/t/nobodys/access/v1/evaluation", Some(checks.clone()), 403, scope),
        ("POST", "/t/other/access/v1/evaluation", Some(checks.clone()), 404, ""),
        ("POST", evaluation, Some(explains.clone()), 403, scope),
        ("POST", subject, Some(checks.clone()), 403, scope),
        ("POST", subject, Some(explains.clone()), 200, ""),
        ("GET", "/metrics", None, 401, plain),
        ("GET", "/metrics", Some(checks.clone()), 403, scope),
        ("GET", "/metrics", Some(scrapes.clone()), 200, ""),
        ("POST", evaluation, Some(scrapes.clone()), 403, scope),
        ("GET", "/admin/backup", None, 401, plain),
        ("GET", "/admin/backup", Some(checks.clone()), 403, scope),
        ("GET", "/admin/backup", Some(scrapes.clone()), 403, scope),
        ("POST", "/admin/compact", None, 401, plain),
        ("POST", "/admin/compact", Some(checks.clone()), 403, scope),
        ("GET", "/healthz/live", None, 200, ""),
        ("GET", "/healthz/ready", None, 200, ""),
        ("GET", "/elsewhere", None, 404, ""),
        ("GET", "/.well-known/authzen-configuration", None, 404, ""),
    ] {
        let headers: Vec<_> =
            authorization.iter().map(|it| ("authorization", it.as_str())).collect();
        let reply = send(guarded.served.http, method, path, &headers, QUESTION).await;
        let found = (reply.status, reply.challenge.as_str());
        assert_eq!(found, (status, challenge), "{method} {path}: {}", reply.body);
    }
    // What is refused is refused before anything of it is looked at.
    let reply = send(guarded.served.http, "POST", evaluation, &[], "no JSON").await;
    assert_eq!(reply.status, 401);
    guarded.served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_could_agree_is_told_to_those_who_may_see_it() {
    const POLICY: &str = r#"
resource_types:
  Report: {operations: [Share]}
  Person: {operations: [Share]}
access_levels:
  - {type: Report, name: Sharer, operations: {Share: allowed}}
  - {type: Person, name: Sharer, operations: {Share: allowed}}
people: [{id: ana}, {id: bo}, {id: cy}]
resources: [{type: Report, id: absence}]
assignments:
  - {id: a, to: person:ana, level: Report/Sharer, on: "Report:absence"}
  - {id: b, to: person:bo, level: Report/Sharer, on: "Report:absence"}
  - {id: c, to: person:bo, level: Person/Sharer, on: "Person:cy"}
"#;
    const ASKED: &str = r#"{"subject": {"type": "user", "id": "ana"}, "action": {"name": "Share"},
        "resource": {"type": "Report", "id": "absence"},
        "context": {"counterpart": {"type": "Person", "id": "cy"}}}"#;
    let [(checks, one), (sees, two)] = [key(), key()];
    let callers = format!(
        "callers:\n{}{}",
        caller("checks", &one, "{default: [check]}"),
        caller("sees", &two, "{default: [check, explain]}")
    );
    let folder = served::folder();
    std::fs::write(folder.path().join("policy.yaml"), POLICY).unwrap();
    let guarded = Guarded::with(folder, &callers, Settings::default()).await;
    let asked = async |authorization: &str, path: &str, body: &str| {
        let headers = [("authorization", authorization)];
        let path = format!("/access/v1/{path}");
        let reply = send(guarded.served.http, "POST", &path, &headers, body).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        serde_json::from_str::<Value>(&reply.body).unwrap()
    };
    let bo = json!([{"type": "person", "id": "bo"}]);
    let told = asked(&sees, "evaluation", ASKED).await;
    assert_eq!(told["context"]["effect"], "REQUIRES_APPROVAL");
    assert_eq!(told["context"]["approvers"], bo);
    let told = asked(&checks, "evaluation", ASKED).await;
    assert_eq!(told["context"]["effect"], "REQUIRES_APPROVAL");
    assert_eq!(told["context"].get("approvers"), None);

    // Of several, the first ten that are explained.
    let mut item: Value = serde_json::from_str(ASKED).unwrap();
    let plain = json!({"evaluations": [item]}).to_string();
    item["context"]["explain"] = json!(true);
    let explained = json!({"evaluations": vec![item; 12]}).to_string();
    let told = asked(&sees, "evaluations", &explained).await;
    for (n, answer) in told["evaluations"].as_array().unwrap().iter().enumerate() {
        assert_eq!(answer["context"]["effect"], "REQUIRES_APPROVAL");
        assert_eq!(answer["context"].get("approvers"), (n < 10).then_some(&bo), "{n}");
    }
    let told = asked(&checks, "evaluations", &explained).await;
    assert!(!told.to_string().contains("approvers"), "{told}");
    let told = asked(&sees, "evaluations", &plain).await;
    assert_eq!(told, json!({"evaluations": [{"decision": false}]}));
    guarded.served.stop().await;
}
