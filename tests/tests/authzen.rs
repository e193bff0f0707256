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

use std::io::{Read as _, Write as _};

use pdp_bundle::case::CaseFile;
use pdp_engine::facts::{Change, Fact};
use pdp_engine::time::Timestamp;
use pdp_server::config::Settings;
use pdp_tests::door::authzen::told;
use pdp_tests::door::{Door, Server};
use pdp_tests::http::{Http, Protocol};
use pdp_tests::scenario;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

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
            "type": "custom", "id": "end-session", "vendor": "pdp",
            "action": "end_session", "not_after": "2026-03-01T12:00:00Z",
        },
        {
            "type": "custom", "id": "add-to-group", "vendor": "pdp",
            "action": "add_to_group", "group": "admins", "account_mode": "JIT_NEW",
        },
        {
            "type": "custom", "id": "on-end", "vendor": "pdp",
            "action": "on_end", "steps": ["REMOVE_FROM_GROUP"],
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
    // The policy has moved on: what was begun on another revision is begun anew.
    let door: Door<'_> =
        server.tenant("other", &policy("C1-direct.yaml").bundle.changes()).unwrap();
    assert_eq!(follow_up("", json!(null)).status, 200, "another tenant is nothing to this one");
    drop(door);
    for limit in [json!(-1), json!(1.5), json!("1")] {
        let mut body = search.clone();
        body["page"] = json!({"limit": limit});
        assert_eq!(next(&body).status, 400, "{limit}");
    }
    let mut body = search.clone();
    body["page"] = json!({"limit": 0});
    let nothing = answered(&http, path, &body);
    assert_eq!(nothing["results"], json!([]));
    assert_ne!(nothing["page"]["next_token"], json!(""), "there is something to find");
    body["page"] = json!({"limit": 1_000_000_000_000_u64});
    assert_eq!(answered(&http, path, &body)["results"].as_array().unwrap().len(), 2);
    body["subject"] = json!({"type": "account"});
    body["action"] = json!({"name": "read"});
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
            "obligations_supported": ["custom"],
            "access_request_endpoint": "https://requests.example.com/new",
            "capabilities": ["urn:openid:authzen:capability:access-request"],
        });
        assert_eq!(reply.json(), expected, "{path}");
    }
    for path in ["/elsewhere", "/t/x", "/pdpx", "/pdp/x", "/pdp/t"] {
        let reply = http.get(&format!("/.well-known/authzen-configuration{path}"));
        assert_eq!(reply.status, 404, "{path}: {}", reply.text());
    }
    server.stop();
    let server = Server::start();
    let reply = server.http(Protocol::Http2).get("/.well-known/authzen-configuration");
    assert_eq!(reply.status, 404);
    assert!(reply.text().contains("`public_url`"), "{}", reply.text());
    server.stop();
}

/// Bodies that are none, with the status that they get.
fn hostile() -> Vec<(&'static str, Vec<u8>, u16)> {
    let good = ask("user:alice", "read", "record:record-1").to_string();
    let twice = good.replacen('{', "{\"action\": {\"name\": \"write\"}, ", 1);
    let twice_within = good.replace("\"id\":\"alice\"", "\"id\":\"alice\",\"\\u0069d\":\"bob\"");
    let twice_unknown = good.replacen('{', "{\"x\": {\"a\": 1, \"a\": 2}, ", 1);
    let deep = |depth: usize| {
        let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        good.replacen('{', &format!("{{\"x\": {nested}, "), 1).into_bytes()
    };
    let mut not_utf8 = good.clone().into_bytes();
    not_utf8[20] = 0xFF;
    let large = format!("{{\"x\": \"{}\"}}", "y".repeat(40_000));
    let half_a_pair = good.replace("alice", "\\ud800");
    vec![
        ("good", good.clone().into_bytes(), 200),
        ("a member twice", twice.into_bytes(), 400),
        ("a member twice within", twice_within.into_bytes(), 400),
        ("a member twice in what nobody knows", twice_unknown.into_bytes(), 400),
        ("nested to the limit", deep(31), 200),
        ("nested beyond the limit", deep(32), 400),
        ("nested without end", b"[".repeat(16_000), 400),
        ("objects without end", b"{\"a\":".repeat(3_000), 400),
        ("not UTF-8", not_utf8, 400),
        ("half a surrogate pair", half_a_pair.into_bytes(), 400),
        ("UTF-16", good.encode_utf16().flat_map(u16::to_be_bytes).collect(), 400),
        ("a byte order mark", [b"\xEF\xBB\xBF", good.as_bytes()].concat(), 400),
        ("two values", [good.as_bytes(), good.as_bytes()].concat(), 400),
        ("compressed", b"\x1f\x8b\x08\x00\x00".to_vec(), 400),
        ("an empty id", good.replace("alice", "").into_bytes(), 400),
        ("a control character", good.replace("alice", "a\\u0000").into_bytes(), 400),
        ("an id that is too long", good.replace("alice", &"a".repeat(257)).into_bytes(), 400),
        ("no type", good.replace("\"record\"", "\"a b\"").into_bytes(), 400),
        ("a number too large", good.replacen('{', "{\"x\": 1e999, ", 1).into_bytes(), 400),
        ("an unknown vault action", good.replace("\"read\"", "\"vault:fly\"").into_bytes(), 400),
        ("too large", large.into_bytes(), 413),
    ]
}

#[test]
fn hostile_bodies_get_their_status_and_the_server_goes_on() {
    let settings = Settings { max_body_bytes: Some(16 << 10), ..Settings::default() };
    let server = serving("Q2-records-of-the-authzen-scenario.yaml", settings);
    let mut refused = 0;
    for protocol in Protocol::ALL {
        for (what, body, status) in hostile() {
            // A connection of its own: one whose body was not taken is closed.
            let http = server.http(protocol);
            let json = [("content-type", "application/json")];
            let reply = http.send("POST", EVALUATION, &json, body.clone());
            assert_eq!(reply.status, status, "{what} over {protocol:?}: {}", reply.text());
            if status == 200 {
                assert_eq!(reply.json()["decision"], json!(true), "{what}");
                continue;
            }
            assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"), "{what}");
            assert!(reply.text().ends_with('\n') && reply.body.len() < 1_000, "{}", reply.text());
            assert!(!reply.text().contains("ALLOW"), "{what}");
            let good = ask("user:alice", "read", "record:record-1");
            let http = server.http(protocol);
            assert_eq!(answered(&http, EVALUATION, &good)["decision"], json!(true), "after {what}");
            refused += 1;
        }
        let http = server.http(protocol);
        for (method, path, status) in [
            ("GET", EVALUATION, 405),
            ("DELETE", EVALUATION, 405),
            ("POST", "/.well-known/authzen-configuration", 405),
            ("POST", "/access/v1/nothing", 404),
            ("POST", "/access/v2/evaluation", 404),
        ] {
            let reply = http.send(method, path, &[("x-request-id", "r")], Vec::new());
            assert_eq!((reply.status, reply.header("x-request-id")), (status, Some("r")), "{path}");
        }
    }
    println!("{refused} hostile bodies were refused");
    let metrics = server.http(Protocol::Http1).get("/metrics").text();
    assert!(metrics.contains(r#"rpc="AuthZEN/evaluation""#), "{metrics}");
    server.stop();
}

#[test]
fn whoever_is_slow_loses_the_connection() {
    let settings = Settings { http_timeout_ms: Some(50), ..Settings::default() };
    let server = serving("Q2-records-of-the-authzen-scenario.yaml", settings);
    let post =
        "POST /access/v1/evaluation HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    for (what, begun, said) in [
        ("says nothing", String::new(), ""),
        ("does not say how it speaks", "PRI * HTT".to_owned(), ""),
        ("does not end its head", post.to_owned(), ""),
        ("does not send its body", format!("{post}content-length: 10\r\n\r\n{{"), "HTTP/1.1 408 "),
        (
            "announces too much",
            format!("{post}content-length: 9999999999\r\n\r\n"),
            "HTTP/1.1 413 ",
        ),
    ] {
        let answer = server.block_on(async {
            let mut stream = TcpStream::connect(server.http_address()).await.unwrap();
            stream.write_all(begun.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            // Ends when the server closes the connection, and not before.
            stream.read_to_end(&mut answer).await.unwrap();
            String::from_utf8(answer).unwrap()
        });
        assert!(answer.starts_with(said), "a client that {what}: {answer}");
        assert!(!said.is_empty() || answer.is_empty(), "a client that {what}: {answer}");
    }
    let good = ask("user:alice", "read", "record:record-1");
    assert_eq!(answered(&server.http(Protocol::Http1), EVALUATION, &good)["decision"], json!(true));
    server.stop();
}

#[test]
fn a_server_that_shuts_down_finishes_what_it_has_begun() {
    let server = records();
    let body = ask("user:alice", "read", "record:record-1").to_string();
    let head = format!(
        "POST /access/v1/evaluation HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nexpect: 100-continue\r\n\r\n",
        body.len()
    );
    let address = server.http_address();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    // The server waits for the body: the request has begun.
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    let client = std::thread::spawn(move || {
        // Nobody is let in any more once the server shuts down.
        while std::net::TcpStream::connect(address).is_ok() {}
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    server.stop();
    let answer = client.join().unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"decision\":true"),
        "{answer}"
    );
}
