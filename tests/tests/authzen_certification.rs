//! The certification scenario of OpenID AuthZEN Authorization API 1.0, levels Basic, Batch, Search
//! and Discovery at the Core level: every numbered case, over HTTP/1.1 and over HTTP/2, at a whole
//! server. Cases that need `properties` to be evaluated are of another level and not here; those of
//! them that also hold by ids are asked as such.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::collections::BTreeSet;

use pdp_bundle::case::CaseFile;
use pdp_server::config::Settings;
use pdp_tests::door::Server;
use pdp_tests::http::{Http, Protocol, Reply};
use pdp_tests::scenario;
use serde_json::{Value, json};

/// Where the server is said to be.
const PUBLIC_URL: &str = "https://pdp.example.com";

const EVALUATION: &str = "/access/v1/evaluation";
const EVALUATIONS: &str = "/access/v1/evaluations";
const SUBJECT: &str = "/access/v1/search/subject";
const RESOURCE: &str = "/access/v1/search/resource";
const ACTION: &str = "/access/v1/search/action";

/// One numbered case: its number in the scenario, and what holds it.
type Case = (&'static str, fn(&Http));

/// Basic Core, and the transport requirements.
const BASIC: [Case; 20] = [
    ("2.2.1", |http| decides(http, &ask("alice", "read"), true)),
    ("2.2.2", |http| decides(http, &ask("bob", "write"), false)),
    ("2.2.3", |http| {
        let context = json!({"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"});
        decides(http, &with(ask("alice", "read"), "context", context), true);
    }),
    ("2.2.8", |http| {
        let body = json!({
            "subject": {
                "type": "user",
                "id": "alice",
                "properties": {"department": "Sales", "role": "manager"},
            },
            "action": {"name": "read", "properties": {"method": "GET"}},
            "resource": {
                "type": "record",
                "id": "record-1",
                "properties": {"status": "active", "owner": "bob"},
            },
        });
        decides(http, &body, true);
    }),
    ("2.2.9", |http| {
        let body = with(ask("alice", "read"), "foo", json!("bar"));
        decides(http, &with(body, "futureField", json!({"nested": true})), true);
    }),
    ("2.3.1", |http| {
        for (who, action) in [("alice", "read"), ("nobody", "read"), ("bob", "fly")] {
            assert!(answered(http, EVALUATION, &ask(who, action))["decision"].is_boolean());
        }
    }),
    ("2.3.2", |http| {
        assert!(answered(http, EVALUATION, &ask("alice", "read"))["context"].is_object());
    }),
    ("2.4.1 subject", |http| bad(http, EVALUATION, &without(ask("alice", "read"), "subject"))),
    ("2.4.1 action", |http| bad(http, EVALUATION, &without(ask("alice", "read"), "action"))),
    ("2.4.1 resource", |http| bad(http, EVALUATION, &without(ask("alice", "read"), "resource"))),
    ("2.4.2", |http| {
        let parts = [
            ("subject", json!({"id": "alice"})),
            ("subject", json!({"type": "user"})),
            ("action", json!({})),
            ("resource", json!({"id": "record-1"})),
            ("resource", json!({"type": "record"})),
        ];
        for (name, part) in parts {
            bad(http, EVALUATION, &with(ask("alice", "read"), name, part));
        }
    }),
    ("2.4.3", |http| {
        for kind in ["text/plain", "application/xml", "application/jsonx", ""] {
            let body = ask("alice", "read").to_string().into_bytes();
            let reply = http.send("POST", EVALUATION, &[("content-type", kind)], body.clone());
            assert_eq!(reply.status, 400, "{kind:?}: {}", reply.text());
            assert_eq!(http.send("POST", EVALUATION, &[], body).status, 400);
        }
    }),
    ("2.4.4", |http| {
        for text in ["{", "not json", "{\"subject\":", "[]", "\"alice\"", "null"] {
            assert_eq!(sent(http, text).status, 400, "{text}");
        }
    }),
    ("2.4.5", |http| assert_eq!(sent(http, "").status, 400)),
    ("2.4.6", |http| {
        bad(http, EVALUATION, &with(ask("alice", "read"), "subject", json!("alice")));
        bad(http, EVALUATION, &with(ask("alice", "read"), "action", json!({"name": 123})));
    }),
    ("2.5.1", |http| {
        let id = "bfe9eb29-ab87-4ca3-be83-a1d5d8305716";
        for (body, status) in [(ask("alice", "read").to_string(), 200), ("{".to_owned(), 400)] {
            let headers = [("content-type", "application/json"), ("x-request-id", id)];
            let reply = http.send("POST", EVALUATION, &headers, body.into_bytes());
            assert_eq!((reply.status, reply.header("x-request-id")), (status, Some(id)));
        }
    }),
    ("2.5.2", |http| assert_eq!(http.post(EVALUATION, &ask("alice", "read")).status, 200)),
    ("2.6", |http| {
        for _ in 0..5 {
            decides(http, &ask("alice", "read"), true);
            decides(http, &ask("bob", "write"), false);
        }
    }),
    ("5.1", |http| {
        for kind in ["application/json; charset=utf-8", "Application/JSON"] {
            let body = ask("alice", "read").to_string().into_bytes();
            let reply = http.send("POST", EVALUATION, &[("content-type", kind)], body);
            assert_eq!(reply.status, 200, "{kind}");
        }
    }),
    ("5.2", |http| {
        let search = without(ask("alice", "read"), "action");
        for (path, body) in [(EVALUATION, ask("alice", "read")), (ACTION, search)] {
            let reply = http.post(path, &body);
            assert_eq!(reply.header("content-type"), Some("application/json"), "{path}");
        }
    }),
];

/// Batch Core, and of Batch Properties what holds by ids.
const BATCH: [Case; 13] = [
    ("3.2.1", |http| {
        let body = json!({
            "subject": user("alice"),
            "action": {"name": "read"},
            "evaluations": [{"resource": record("record-1")}, {"resource": record("record-2")}],
        });
        assert_eq!(decisions(http, &body), [true, true]);
    }),
    ("3.2.2", |http| {
        let body = json!({
            "subject": user("bob"),
            "resource": record("record-1"),
            "evaluations": [{"action": {"name": "read"}}, {"action": {"name": "write"}}],
        });
        // Compared literally: an item is its decision and nothing else.
        let expected = json!({"evaluations": [{"decision": true}, {"decision": false}]});
        assert_eq!(answered(http, EVALUATIONS, &body), expected);
    }),
    ("3.2.3 by ids", |http| {
        let body = json!({
            "subject": user("alice"),
            "action": {"name": "write"},
            "evaluations": [{"resource": record("record-1")}, {"resource": record("record-2")}],
        });
        assert_eq!(decisions(http, &body), [true, false]);
    }),
    ("3.2.4 by ids", |http| {
        let body = json!({
            "action": {"name": "write"},
            "resource": record("record-2"),
            "evaluations": [{"subject": user("alice")}, {"subject": user("bob")}],
        });
        assert_eq!(decisions(http, &body), [false, true]);
    }),
    ("3.2.5", |http| {
        let body = json!({"evaluations": [ask("alice", "read"), ask("bob", "write")]});
        assert_eq!(decisions(http, &body), [true, false]);
    }),
    ("3.2.6", |http| {
        let body = json!({
            "subject": user("alice"),
            "action": {"name": "read"},
            "context": {"time": "2025-06-27T18:03-07:00"},
            "evaluations": [
                {"resource": record("record-1")},
                {
                    "resource": record("record-2"),
                    "context": {"time": "2025-06-27T19:00-07:00", "source": "batch-override"},
                },
            ],
        });
        assert_eq!(decisions(http, &body).len(), 2);
    }),
    ("3.2.7 by ids", |http| {
        let body = json!({
            "subject": user("alice"),
            "action": {"name": "write"},
            "resource": {"type": "record"},
            "evaluations": [
                {"resource": {"id": "record-1", "properties": {"status": "active"}}},
                {"resource": {"type": "record", "id": "record-2"}},
            ],
        });
        assert_eq!(decisions(http, &body), [true, false]);
    }),
    ("3.3.1 and 3.3.2", |http| {
        let items: Vec<Value> = (0..40)
            .map(|n| if n % 3 == 0 { ask("bob", "write") } else { ask("alice", "read") })
            .collect();
        let expected: Vec<bool> = (0..40).map(|n| n % 3 != 0).collect();
        assert_eq!(decisions(http, &json!({"evaluations": items})), expected);
    }),
    ("3.3.3 and 3.3.4", |http| {
        let body = json!({"evaluations": [ask("alice", "read"), {}]});
        let answer = answered(http, EVALUATIONS, &body);
        assert!(answer.get("decision").is_none(), "{answer}");
        assert!(
            answer["evaluations"].as_array().unwrap().iter().all(|it| it["decision"].is_boolean())
        );
    }),
    ("3.4.1", |http| {
        let body = json!({
            "subject": user("alice"),
            "action": {"name": "read"},
            "evaluations": [{"resource": record("record-1")}, {}],
        });
        let answer = answered(http, EVALUATIONS, &body);
        let items = answer["evaluations"].as_array().unwrap();
        assert_eq!(items[0], json!({"decision": true}));
        assert_eq!(items[1]["decision"], json!(false));
        assert_eq!(items[1]["context"]["error"]["status"], json!(400), "{answer}");
        assert_eq!(items.len(), 2);
    }),
    ("3.4.1 whole payload", |http| {
        let reply =
            http.send("POST", EVALUATIONS, &[("content-type", "application/json")], b"{".into());
        assert_eq!(reply.status, 400);
    }),
    ("3.4.2", |http| {
        let answer = answered(http, EVALUATIONS, &ask("alice", "read"));
        assert_eq!((&answer["decision"], answer.get("evaluations")), (&json!(true), None));
    }),
    ("3.4.3", |http| {
        let body = with(ask("alice", "read"), "evaluations", json!([]));
        let answer = answered(http, EVALUATIONS, &body);
        assert_eq!((&answer["decision"], answer.get("evaluations")), (&json!(true), None));
    }),
];

/// Search Core.
const SEARCH: [Case; 16] = [
    ("4.2.1", |http| {
        let found = entities(http, SUBJECT, &who_reads());
        assert_eq!(found, set(&[("user", "alice"), ("user", "bob")]));
    }),
    ("4.2.2", |http| {
        let body = with(who_reads(), "context", json!({"time": "2024-10-26T01:22-07:00"}));
        assert!(!entities(http, SUBJECT, &body).is_empty());
    }),
    ("4.2.3", |http| {
        let body = with(who_reads(), "subject", user("bob"));
        assert_eq!(entities(http, SUBJECT, &body), set(&[("user", "alice"), ("user", "bob")]));
    }),
    ("4.3.1", |http| {
        let found = entities(http, RESOURCE, &what_alice_reads());
        assert_eq!(found, set(&[("record", "record-1"), ("record", "record-2")]));
    }),
    ("4.3.2", |http| {
        let body = with(what_alice_reads(), "resource", record("record-2"));
        assert!(entities(http, RESOURCE, &body).contains(&("record".into(), "record-1".into())));
    }),
    ("4.4.1", |http| {
        let body = without(ask("alice", "read"), "action");
        assert_eq!(names(http, &body), ["read", "write"]);
    }),
    ("4.4.2", |http| {
        let body = with(without(ask("alice", "read"), "action"), "context", json!({"time": "now"}));
        assert_eq!(names(http, &body), ["read", "write"]);
    }),
    ("4.5.1", |http| {
        let answer = answered(http, SUBJECT, &with(who_reads(), "page", json!({"limit": 1})));
        assert_eq!(answer["results"].as_array().unwrap().len(), 1);
        assert!(answer["page"].is_object() && answer["page"]["next_token"].is_string());
    }),
    ("4.5.2", |http| {
        let first = answered(http, SUBJECT, &with(who_reads(), "page", json!({"limit": 1})));
        let token = &first["page"]["next_token"];
        assert!(token.as_str().is_some_and(|token| !token.is_empty()), "{first}");
        let next = answered(http, SUBJECT, &with(who_reads(), "page", json!({"token": token})));
        assert_eq!(next["results"].as_array().unwrap().len(), 1);
        assert_ne!(first["results"], next["results"]);
        assert_eq!(next["page"]["next_token"], json!(""));
    }),
    ("4.5.3", |http| {
        for body in [who_reads(), with(who_reads(), "page", json!({}))] {
            let answer = answered(http, SUBJECT, &body);
            assert_eq!(answer["page"], json!({"next_token": "", "count": 2}));
        }
    }),
    ("4.6.1", |http| {
        let body = without(ask("nonexistent-user", "read"), "action");
        assert!(names(http, &body).is_empty());
    }),
    ("4.6.2", |http| {
        let body = with(who_reads(), "subject", json!({"type": "spaceship"}));
        assert!(entities(http, SUBJECT, &body).is_empty());
        let body = with(what_alice_reads(), "resource", json!({"type": "spaceship"}));
        assert!(entities(http, RESOURCE, &body).is_empty());
        let body = with(what_alice_reads(), "subject", json!({"type": "spaceship", "id": "x"}));
        assert!(entities(http, RESOURCE, &body).is_empty());
    }),
    ("4.7.1", |http| {
        bad(http, SUBJECT, &without(who_reads(), "action"));
        bad(http, RESOURCE, &without(what_alice_reads(), "subject"));
        bad(http, ACTION, &json!({"subject": user("alice")}));
    }),
    ("4.7.2", |http| {
        bad(http, SUBJECT, &with(who_reads(), "resource", json!({"type": "record"})));
        bad(http, RESOURCE, &with(what_alice_reads(), "subject", json!({"type": "user"})));
    }),
    ("5.4 in searches", |http| {
        let headers = [("content-type", "application/json"), ("x-request-id", "r 1")];
        let body = who_reads().to_string().into_bytes();
        let reply = http.send("POST", SUBJECT, &headers, body);
        assert_eq!(reply.header("x-request-id"), Some("r 1"));
    }),
    ("5.5 in searches", |http| {
        let body = with(who_reads(), "futureField", json!([1, {"x": null}]));
        assert_eq!(entities(http, SUBJECT, &body).len(), 2);
    }),
];

/// Discovery.
const DISCOVERY: [Case; 6] = [
    ("6.1", |http| assert_eq!(metadata(http).status, 200)),
    ("6.2", |http| {
        assert_eq!(metadata(http).header("content-type"), Some("application/json"));
    }),
    ("6.3", |http| {
        let document = metadata(http).json();
        assert_eq!(document["policy_decision_point"], json!(PUBLIC_URL));
        assert_eq!(
            document["access_evaluation_endpoint"],
            json!(format!("{PUBLIC_URL}{EVALUATION}"))
        );
    }),
    ("6.4", |http| {
        let document = metadata(http).json();
        for (name, path) in [
            ("access_evaluations_endpoint", EVALUATIONS),
            ("search_subject_endpoint", SUBJECT),
            ("search_resource_endpoint", RESOURCE),
            ("search_action_endpoint", ACTION),
        ] {
            assert_eq!(document[name], json!(format!("{PUBLIC_URL}{path}")));
        }
    }),
    ("6.5", |http| {
        // Whatever the request says of hosts.
        let headers = [("x-forwarded-host", "evil.example"), ("forwarded", "host=evil.example")];
        let reply = http.send("GET", "/.well-known/authzen-configuration", &headers, Vec::new());
        assert_eq!(reply.json(), metadata(http).json());
        assert!(!reply.text().contains("evil"));
    }),
    ("6.6", |http| {
        // The default paths are those of the document.
        for path in [EVALUATION, EVALUATIONS, SUBJECT, RESOURCE, ACTION] {
            assert_eq!(http.post(path, &json!({})).status, 400, "{path}");
        }
    }),
];

#[test]
fn every_case_of_the_core_levels_holds() {
    let settings =
        Settings { public_url: Some(PUBLIC_URL.parse().unwrap()), ..Settings::default() };
    let server = Server::start_with(settings);
    let case = CaseFile::open(&scenario::folder().join("Q2-records-of-the-authzen-scenario.yaml"))
        .unwrap();
    drop(server.default_tenant(&case.bundle.changes()).unwrap());
    let mut numbers = BTreeSet::new();
    for protocol in Protocol::ALL {
        let http = server.http(protocol);
        let levels: [(&str, &[Case]); 4] = [
            ("Basic Core", &BASIC),
            ("Batch Core", &BATCH),
            ("Search Core", &SEARCH),
            ("Discovery", &DISCOVERY),
        ];
        for (level, cases) in levels {
            for (number, hold) in cases {
                let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hold(&http)));
                assert!(held.is_ok(), "{level} {number} over {protocol:?}");
                numbers.insert(*number);
            }
            println!("{level}: {} cases hold over {protocol:?}", cases.len());
        }
    }
    assert_eq!(numbers.len(), 55, "a number stands for two cases");
    server.stop();
}

fn user(id: &str) -> Value {
    json!({"type": "user", "id": id})
}

fn record(id: &str) -> Value {
    json!({"type": "record", "id": id})
}

/// May this user do this with the first record?
fn ask(who: &str, action: &str) -> Value {
    json!({"subject": user(who), "action": {"name": action}, "resource": record("record-1")})
}

fn who_reads() -> Value {
    with(ask("", "read"), "subject", json!({"type": "user"}))
}

fn what_alice_reads() -> Value {
    with(ask("alice", "read"), "resource", json!({"type": "record"}))
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

fn without(mut body: Value, name: &str) -> Value {
    body.as_object_mut().unwrap().remove(name).unwrap();
    body
}

fn answered(http: &Http, path: &str, body: &Value) -> Value {
    let reply = http.post(path, body);
    assert_eq!(reply.status, 200, "{path} {body}: {}", reply.text());
    reply.json()
}

fn decides(http: &Http, body: &Value, decision: bool) {
    assert_eq!(answered(http, EVALUATION, body)["decision"], json!(decision), "{body}");
}

fn bad(http: &Http, path: &str, body: &Value) {
    let reply = http.post(path, body);
    assert_eq!(reply.status, 400, "{path} {body}: {}", reply.text());
    assert!(!reply.body.is_empty(), "an error says why");
}

fn sent(http: &Http, text: &str) -> Reply {
    http.send("POST", EVALUATION, &[("content-type", "application/json")], text.into())
}

fn decisions(http: &Http, body: &Value) -> Vec<bool> {
    let answer = answered(http, EVALUATIONS, body);
    let items = answer["evaluations"].as_array().unwrap();
    items.iter().map(|item| item["decision"].as_bool().unwrap()).collect()
}

fn set(entities: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    entities.iter().map(|(kind, id)| ((*kind).to_owned(), (*id).to_owned())).collect()
}

fn entities(http: &Http, path: &str, body: &Value) -> BTreeSet<(String, String)> {
    let answer = answered(http, path, body);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let results = answer["results"].as_array().unwrap();
    results.iter().map(|it| (text(&it["type"]), text(&it["id"]))).collect()
}

fn names(http: &Http, body: &Value) -> Vec<String> {
    let answer = answered(http, ACTION, body);
    let results = answer["results"].as_array().unwrap();
    results.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
}

fn metadata(http: &Http) -> Reply {
    http.get("/.well-known/authzen-configuration")
}
