//! The AuthZEN door of a whole server: what becomes of questions of every family, of batches, pages,
//! tenants and approvals, and of requests that are none.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

mod hostile;

use pdp_bundle::case::CaseFile;
use pdp_engine::facts::{Change, Fact};
use pdp_engine::time::Timestamp;
use pdp_server::config::Settings;
use pdp_tests::door::Server;
use pdp_tests::door::authzen::told;
use pdp_tests::http::{Http, Protocol};
use pdp_tests::scenario;
use serde_json::{Value, json};

/// 2026-03-01T09:00:00Z, when the approvals of the scenario P6 are asked about.
const NOW: Timestamp = Timestamp::from_micros(1_772_355_600_000_000);

const EVALUATION: &str = "/access/v1/evaluation";
const EVALUATIONS: &str = "/access/v1/evaluations";

/// The policy of a scenario file.
fn policy(name: &str) -> CaseFile {
    CaseFile::open(&scenario::folder().join(name)).unwrap()
}

/// A server whose tenant `default` has the policy of a scenario file.
fn serving(name: &str, settings: Settings) -> Server {
    let server = Server::start_with(settings);
    server.set_clock(NOW);
    drop(server.default_tenant(&policy(name).bundle.changes()).unwrap());
    server
}

fn records() -> Server {
    serving("Q2-records-of-the-authzen-scenario.yaml", Settings::default())
}

/// Somebody whom nobody asked about.
fn newcomer() -> Change {
    let changes = policy("C1-direct.yaml").bundle.changes();
    let people = changes.into_iter().find(|it| matches!(it, Change::Put(Fact::Person(_))));
    people.unwrap()
}

fn entity(text: &str) -> Value {
    let (kind, id) = text.split_once(':').unwrap();
    json!({"type": kind, "id": id})
}

fn ask(who: &str, action: &str, resource: &str) -> Value {
    json!({"subject": entity(who), "action": {"name": action}, "resource": entity(resource)})
}

fn answered(http: &Http, path: &str, body: &Value) -> Value {
    let reply = http.post(path, body);
    assert_eq!(reply.status, 200, "{path} {body}: {}", reply.text());
    reply.json()
}

fn context(http: &Http, body: &Value) -> Value {
    answered(http, EVALUATION, body)["context"].clone()
}

#[test]
fn a_decision_says_why_and_a_permit_is_an_allow_only() {
    let server = records();
    let http = server.http(Protocol::Http1);
    for (who, action, reason, decision) in [
        ("user:alice", "read", "GRANTED", true),
        ("identity:alice", "operation:read", "GRANTED", true),
        ("person:alice", "read", "GRANTED", true),
        ("account:robot", "read", "GRANTED", true),
        ("user:robot", "read", "UNKNOWN_SUBJECT", false),
        ("spaceship:alice", "read", "UNKNOWN_SUBJECT", false),
        ("user:bob", "write", "NOT_GRANTED", false),
        ("user:alice", "right:read", "UNKNOWN_PERMISSION", false),
        ("user:alice", "vault:view_password", "NOT_SHARED", false),
        ("user:alice", "session:none", "PSM_DISABLED", false),
    ] {
        let answer = answered(&http, EVALUATION, &ask(who, action, "record:record-1"));
        assert_eq!(answer["decision"], json!(decision), "{who} {action}: {answer}");
        assert_eq!(answer["context"]["reason"], json!(reason), "{who} {action}: {answer}");
        assert_eq!(told(&answer).revision, 1);
    }
    // Two decisions are never called the same.
    let id = || context(&http, &ask("user:bob", "write", "record:record-1"))["decision_id"].clone();
    assert_ne!(id(), id());
    server.stop();
}

#[test]
fn subjects_are_called_what_the_setting_says() {
    let settings =
        Settings { person_types: Some("human, robot".parse().unwrap()), ..Settings::default() };
    let server = serving("Q2-records-of-the-authzen-scenario.yaml", settings);
    let http = server.http(Protocol::Http2);
    for (kind, decision) in [("human", true), ("robot", true), ("person", true), ("user", false)] {
        let answer =
            answered(&http, EVALUATION, &ask(&format!("{kind}:alice"), "read", "record:record-1"));
        assert_eq!(answer["decision"], json!(decision), "{kind}");
    }
    server.stop();
}

#[test]
fn a_batch_ends_where_its_semantic_says() {
    let server = records();
    let http = server.http(Protocol::Http1);
    let items = json!([
        ask("user:alice", "read", "record:record-1"),
        ask("user:bob", "write", "record:record-1"),
        ask("user:alice", "write", "record:record-1"),
        {"subject": {"type": "user", "id": 7}},
    ]);
    let decisions = |semantic: Option<&str>, items: &Value| -> Vec<bool> {
        let mut body = json!({"evaluations": items, "options": {"another_option": 1}});
        if let Some(semantic) = semantic {
            body["options"]["evaluations_semantic"] = json!(semantic);
        }
        let answer = answered(&http, EVALUATIONS, &body);
        let items = answer["evaluations"].as_array().unwrap();
        items.iter().map(|item| item["decision"].as_bool().unwrap()).collect()
    };
    for semantic in [None, Some("execute_all")] {
        assert_eq!(decisions(semantic, &items), [true, false, true, false]);
    }
    assert_eq!(decisions(Some("deny_on_first_deny"), &items), [true, false]);
    assert_eq!(decisions(Some("permit_on_first_permit"), &items), [true]);
    // An item that is none denies.
    let bad_first = json!([{}, ask("user:alice", "read", "record:record-1"), 5]);
    assert_eq!(decisions(Some("deny_on_first_deny"), &bad_first), [false]);
    assert_eq!(decisions(Some("permit_on_first_permit"), &bad_first), [false, true]);
    let body = json!({"evaluations": items, "options": {"evaluations_semantic": "first"}});
    assert_eq!(http.post(EVALUATIONS, &body).status, 400);
    server.stop();
}

#[test]
fn a_batch_explains_where_it_is_asked_to() {
    let server = records();
    let http = server.http(Protocol::Http2);
    let mut body = json!({
        "subject": entity("user:alice"),
        "resource": entity("record:record-1"),
        "evaluations": [{"action": {"name": "read"}}, {"action": {"name": "fly"}, "context": {}}],
    });
    let bare = json!({"evaluations": [{"decision": true}, {"decision": false}]});
    assert_eq!(answered(&http, EVALUATIONS, &body), bare);
    for not_true in [json!(false), json!("true"), json!(1)] {
        body["context"] = json!({"explain": not_true});
        assert_eq!(answered(&http, EVALUATIONS, &body), bare);
    }
    body["context"] = json!({"explain": true});
    let answer = answered(&http, EVALUATIONS, &body);
    let reasons: Vec<_> = (0..2).map(|n| told(&answer["evaluations"][n]).reason.as_str()).collect();
    assert_eq!(reasons, ["GRANTED", "UNKNOWN_PERMISSION"]);
    body["context"] = json!({});
    body["evaluations"][1]["context"] = json!({"explain": true});
    let answer = answered(&http, EVALUATIONS, &body);
    assert_eq!(answer["evaluations"][0], json!({"decision": true}));
    assert_eq!(told(&answer["evaluations"][1]).reason.as_str(), "UNKNOWN_PERMISSION");
    server.stop();
}

#[test]
fn a_batch_has_a_limit_and_one_revision() {
    let settings = Settings { max_evaluations: Some(3), ..Settings::default() };
    let server = serving("Q2-records-of-the-authzen-scenario.yaml", settings);
    let http = server.http(Protocol::Http1);
    let item = ask("user:alice", "read", "record:record-1");
    let body = |count: usize| json!({"evaluations": vec![item.clone(); count]});
    assert_eq!(answered(&http, EVALUATIONS, &body(3))["evaluations"].as_array().unwrap().len(), 3);
    let reply = http.post(EVALUATIONS, &body(4));
    let said = "`evaluations` has 4 items; the limit is 3\n";
    assert_eq!((reply.status, reply.text().as_str()), (400, said));
    server.stop();
}

#[test]
fn a_tenant_is_a_prefix() {
    let server = records();
    let other = policy("Q2-records-of-the-authzen-scenario.yaml").bundle.changes();
    // The other tenant knows the things, and grants nothing.
    let grants = |change: &&Change| matches!(change, Change::Put(Fact::Assignment(_)));
    let things: Vec<Change> = other.iter().filter(|it| !grants(it)).cloned().collect();
    drop(server.tenant("sub/sidiary ü", &things).unwrap());
    let http = server.http(Protocol::Http2);
    let body = ask("user:alice", "read", "record:record-1");
    let decided =
        |prefix: &str| answered(&http, &format!("{prefix}{EVALUATION}"), &body)["decision"].clone();
    assert_eq!(decided(""), json!(true));
    assert_eq!(decided("/t/default"), json!(true));
    assert_eq!(decided("/t/sub%2Fsidiary%20%C3%BC"), json!(false));
    for (prefix, status) in [("/t/nowhere", 404), ("/t/%FF", 400), ("/t/a%00", 400), ("/t/", 400)] {
        for path in [EVALUATION, EVALUATIONS, "/access/v1/search/subject"] {
            let reply = http.post(&format!("{prefix}{path}"), &body);
            assert_eq!(reply.status, status, "{prefix}{path}: {}", reply.text());
        }
    }
    server.stop();
}

/// The server of the scenario about approvals, which tells where to ask for them.
fn approvals() -> Server {
    let settings = Settings {
        public_url: Some("https://pdp.example.com/pdp/".parse().unwrap()),
        access_request_url: Some("https://requests.example.com/new".parse().unwrap()),
        ..Settings::default()
    };
    serving("P6-approvals.yaml", settings)
}

#[test]
fn what_needs_approval_is_denied_with_where_to_ask() {
    let server = approvals();
    let http = server.http(Protocol::Http1);
    let answer = answered(&http, EVALUATION, &ask("user:asks", "session:admin", "Computer:a"));
    let decision_id = &answer["context"]["decision_id"];
    let expected = json!({
        "decision": false,
        "context": {
            "effect": "REQUIRES_APPROVAL",
            "reason": "NEEDS_APPROVAL",
            "revision": 1,
            "decision_id": decision_id,
            "evaluation_id": decision_id,
            "evaluated_at": "2026-03-01T09:00:00Z",
            "access_request": {
                "endpoint": "https://requests.example.com/new",
                "expires_at": "2026-03-01T09:10:00Z",
            },
            // Nobody holds what it takes (D6).
            "approvers": [],
        },
    });
    assert_eq!(answer, expected);
    // A denial that no approval would turn says nothing of one, and nor does a batch unasked.
    let denied = context(&http, &ask("user:nobody", "session:admin", "Computer:a"));
    assert!(denied.get("access_request").is_none() && denied.get("evaluation_id").is_none());
    let body = json!({"evaluations": [ask("user:asks", "session:admin", "Computer:a")]});
    assert_eq!(answered(&http, EVALUATIONS, &body), json!({"evaluations": [{"decision": false}]}));
    server.stop();
    // Without the setting there is nowhere to ask.
    let server = serving("P6-approvals.yaml", Settings::default());
    let http = server.http(Protocol::Http1);
    let told = context(&http, &ask("user:asks", "session:admin", "Computer:a"));
    assert_eq!(told["effect"], json!("REQUIRES_APPROVAL"));
    assert!(told.get("access_request").is_none(), "{told}");
    server.stop();
}

#[test]
fn what_a_permit_depends_on_is_always_told() {
    let server = approvals();
    let http = server.http(Protocol::Http2);
    let allowed = ask("user:approved", "session:admin", "Computer:a");
    let obligations = json!([
        {
            "type": "custom", "id": "end-session", "properties": {
                "vendor": "pdp", "action": "end_session", "not_after": "2026-03-01T12:00:00Z",
            },
        },
        {
            "type": "custom", "id": "add-to-group", "properties": {
                "vendor": "pdp", "action": "add_to_group",
                "group": "admins", "account_mode": "JIT_NEW",
            },
        },
        {
            "type": "custom", "id": "on-end", "properties": {
                "vendor": "pdp", "action": "on_end", "steps": ["REMOVE_FROM_GROUP"],
            },
        },
    ]);
    assert_eq!(context(&http, &allowed)["obligations"], obligations);
    let body = json!({"evaluations": [allowed]});
    let item = json!({"decision": true, "context": {"obligations": obligations}});
    assert_eq!(answered(&http, EVALUATIONS, &body), json!({"evaluations": [item]}));
    server.stop();
}

#[test]
fn a_counterpart_makes_a_dual_check() {
    let server = serving("Q7-dual-check.yaml", Settings::default());
    let http = server.http(Protocol::Http1);
    let case = policy("Q7-dual-check.yaml");
    let asked = case.checks.iter().filter_map(|check| {
        let written = pdp_tests::door::authzen::written(&check.question)?;
        written.get("context").is_some().then_some(written)
    });
    let mut seen = 0;
    for body in asked {
        let reply = http.post(EVALUATION, &body);
        seen += usize::from(reply.status == 200);
        // A counterpart that cannot be understood is never looked past.
        for wrong in [json!(null), json!("Person:x"), json!([]), json!({"type": "Person"})] {
            let mut body = body.clone();
            body["context"]["counterpart"] = wrong;
            assert_eq!(http.post(EVALUATION, &body).status, 400, "{body}");
            let batch = answered(&http, EVALUATIONS, &json!({"evaluations": [body]}));
            assert_eq!(batch["evaluations"][0]["decision"], json!(false));
        }
        let search = json!({
            "subject": body["subject"], "resource": body["resource"], "context": body["context"],
        });
        assert_eq!(http.post("/access/v1/search/action", &search).status, 400);
    }
    assert!(seen > 3, "{seen} dual checks were decided");
    server.stop();
}

#[test]
fn a_search_for_nothing_tells_whether_there_is_something() {
    let server = records();
    let http = server.http(Protocol::Http2);
    let mut body = json!({
        "subject": {"type": "user"},
        "action": {"name": "read"},
        "resource": entity("record:record-1"),
    });
    let path = "/access/v1/search/subject";
    let next = |body: &Value| http.post(path, body);
    body["page"] = json!({"limit": 0});
    let nothing = answered(&http, path, &body);
    assert_eq!(nothing["results"], json!([]));
    // There is something to find, and following the token finds it and comes to an end.
    let mut token = nothing["page"]["next_token"].clone();
    assert_ne!(token, json!(""));
    let counted = answered(&http, path, &json!({"page": {"token": token, "limit": 2}}));
    assert_eq!(counted["results"].as_array().unwrap().len(), 2);
    assert_eq!(next(&json!({"page": {"token": token, "limit": 0}})).status, 400);
    let mut found = 0;
    for _ in 0..3 {
        let page = answered(&http, path, &json!({"page": {"token": token}}));
        found += page["results"].as_array().unwrap().len();
        token = page["page"]["next_token"].clone();
        if token == json!("") {
            break;
        }
    }
    assert_eq!((found, token), (2, json!("")));
    for limit in [json!(-1), json!(1.5), json!("1")] {
        body["page"] = json!({"limit": limit});
        assert_eq!(next(&body).status, 400, "{limit}");
    }
    server.stop();
}

#[test]
fn pages_go_with_their_search() {
    let server = records();
    let http = server.http(Protocol::Http2);
    let search = json!({
        "subject": {"type": "user"},
        "action": {"name": "read"},
        "resource": entity("record:record-1"),
        "page": {"limit": 1},
    });
    let path = "/access/v1/search/subject";
    let first = answered(&http, path, &search);
    let token = first["page"]["next_token"].as_str().unwrap().to_owned();
    assert_eq!(first["results"], json!([{"type": "user", "id": "alice"}]));
    let next = |body: &Value| http.post(path, body);
    let follow_up = |name: &str, value: Value| {
        let mut body = search.clone();
        body["page"] = json!({"token": token});
        match name {
            "limit" => body["page"]["limit"] = value,
            "" => {}
            name => body[name] = value,
        }
        next(&body)
    };
    let alone = next(&json!({"page": {"token": token}}));
    for reply in [alone, follow_up("", json!(null)), follow_up("limit", json!(1))] {
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.json()["results"], json!([{"type": "user", "id": "bob"}]));
        assert_eq!(reply.json()["page"], json!({"next_token": "", "count": 1}));
    }
    for reply in [
        follow_up("limit", json!(2)),
        follow_up("action", json!({"name": "write"})),
        follow_up("subject", json!({"type": "person"})),
        follow_up("resource", entity("record:record-2")),
        next(&json!({"page": {"token": "5b5d"}})),
        next(&json!({"page": {"token": "what"}})),
        next(&json!({"page": {"token": 7}})),
        http.post("/access/v1/search/action", &json!({"page": {"token": token}})),
    ] {
        assert_eq!(reply.status, 400, "{}", reply.text());
    }
    // The token under the name that the answer gave it is no search begun anew.
    let renamed = next(&json!({"page": {"next_token": token}}));
    assert_eq!((renamed.status, renamed.json()["page"]["next_token"].clone()), (200, json!("")));
    let both = next(&json!({"page": {"token": token, "next_token": token}}));
    assert_eq!(both.status, 200);
    for wrong in [json!({"token": token, "next_token": "5b5d"}), json!({"next_token": 7})] {
        assert_eq!(next(&json!({"page": wrong})).status, 400, "{wrong}");
    }
    // What another tenant does is nothing to this one.
    drop(server.tenant("other", &policy("C1-direct.yaml").bundle.changes()).unwrap());
    assert_eq!(follow_up("", json!(null)).status, 200);
    let mut body = search.clone();
    body["page"] = json!({"limit": 1_000_000_000_000_u64});
    assert_eq!(answered(&http, path, &body)["results"].as_array().unwrap().len(), 2);
    body["subject"] = json!({"type": "account"});
    body["action"] = json!({"name": "read"});
    assert_eq!(
        answered(&http, path, &body)["results"],
        json!([{"type": "account", "id": "robot"}])
    );
    // What was begun on another revision of the policy is begun anew.
    drop(server.default_tenant_at(1, &[newcomer()]).unwrap());
    let expired = follow_up("", json!(null));
    assert_eq!(expired.status, 400);
    assert!(expired.text().contains("start the list again"), "{}", expired.text());
    assert_eq!(
        answered(&http, path, &body)["results"],
        json!([{"type": "account", "id": "robot"}])
    );
    server.stop();
}

#[test]
fn metadata_tells_the_public_address_and_nothing_of_tenants() {
    let server = approvals();
    let http = server.http(Protocol::Http1);
    let base = "https://pdp.example.com/pdp";
    for (path, point) in [
        ("/.well-known/authzen-configuration", base.to_owned()),
        ("/.well-known/authzen-configuration/pdp", base.to_owned()),
        (
            "/.well-known/authzen-configuration/pdp/t/sub%2Fsidiary",
            format!("{base}/t/sub%2Fsidiary"),
        ),
        ("/t/sub%2Fsidiary/.well-known/authzen-configuration", format!("{base}/t/sub%2Fsidiary")),
    ] {
        let reply = http.get(path);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        assert_eq!(reply.header("cache-control"), Some("max-age=3600"));
        let expected = json!({
            "policy_decision_point": point,
            "access_evaluation_endpoint": format!("{point}/access/v1/evaluation"),
            "access_evaluations_endpoint": format!("{point}/access/v1/evaluations"),
            "search_subject_endpoint": format!("{point}/access/v1/search/subject"),
            "search_resource_endpoint": format!("{point}/access/v1/search/resource"),
            "search_action_endpoint": format!("{point}/access/v1/search/action"),
            "supported_obligations": ["custom"],
            "access_request_endpoint": "https://requests.example.com/new",
            "capabilities": ["urn:openid:authzen:capability:access-request"],
        });
        assert_eq!(reply.json(), expected, "{path}");
    }
    for path in ["/elsewhere", "/t/x", "/pdpx", "/pdp/x", "/pdp/t", "/pdp/t/%2E%2E", "/pdp/t/%2e"] {
        let reply = http.get(&format!("/.well-known/authzen-configuration{path}"));
        assert_eq!(reply.status, 404, "{path}: {}", reply.text());
    }
    // Addresses with these in them would lead somewhere else.
    for tenant in ["%2E%2E", "%2e", ".%2E"] {
        let reply = http.get(&format!("/t/{tenant}/.well-known/authzen-configuration"));
        assert_eq!(reply.status, 404, "{tenant}: {}", reply.text());
    }
    server.stop();
    let server = Server::start();
    let reply = server.http(Protocol::Http2).get("/.well-known/authzen-configuration");
    assert_eq!(reply.status, 404);
    assert!(reply.text().contains("`public_url`"), "{}", reply.text());
    server.stop();
}
