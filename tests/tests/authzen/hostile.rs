//! Requests that are none, clients that are slow, and a server that shuts down.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use pdp_server::config::Settings;
use pdp_tests::http::Protocol;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{EVALUATION, answered, ask, records, serving};

/// What else takes a body.
const OTHERS: [&str; 4] = [
    "/access/v1/evaluations",
    "/access/v1/search/subject",
    "/access/v1/search/resource",
    "/access/v1/search/action",
];

/// What is no body for any of them.
const READ_BY_ALL: [&str; 9] = [
    "a member twice",
    "a member twice in what nobody knows",
    "nested beyond the limit",
    "nested without end",
    "objects without end",
    "not UTF-8",
    "two values",
    "compressed",
    "too large",
];

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
            for path in OTHERS {
                // What is wrong with one evaluation only is no wrong in a search.
                if READ_BY_ALL.contains(&what) {
                    let reply = server.http(protocol).send("POST", path, &json, body.clone());
                    assert_eq!(reply.status, status, "{what} to {path}: {}", reply.text());
                }
            }
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

/// How long a server waits for who is slow on purpose: far longer than a busy machine lets those wait
/// who are not.
const PATIENCE_MS: u64 = 2_000;

/// How long a server that was told to may take to shut its door.
const MOST_FOR_SHUTDOWN: Duration = Duration::from_secs(60);

#[test]
fn whoever_is_slow_loses_the_connection() {
    let settings = Settings { http_timeout_ms: Some(PATIENCE_MS), ..Settings::default() };
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
        let begun = Instant::now();
        while std::net::TcpStream::connect(address).is_ok() {
            assert!(begun.elapsed() < MOST_FOR_SHUTDOWN, "the server still lets clients in");
            std::thread::yield_now();
        }
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

#[test]
fn a_search_looks_past_what_it_searches_for() {
    let server = records();
    let any = [json!(5), json!(null), json!(["x"]), json!({"x": 1}), json!("no-such-thing")];
    for protocol in Protocol::ALL {
        let http = server.http(protocol);
        let whole = ask("user:alice", "read", "record:record-1");
        for (searched, member, path) in [
            ("subject", "id", "/access/v1/search/subject"),
            ("resource", "id", "/access/v1/search/resource"),
            ("action", "name", "/access/v1/search/action"),
        ] {
            let expected = answered(&http, path, &whole);
            assert_ne!(expected["results"], json!([]), "{path}");
            for value in &any {
                let mut body = whole.clone();
                body[searched][member] = value.clone();
                assert_eq!(answered(&http, path, &body), expected, "{path}: {body}");
            }
        }
        for value in any.iter().chain([&json!("x")]) {
            let mut body = whole.clone();
            body["action"] = value.clone();
            let path = "/access/v1/search/action";
            assert_eq!(answered(&http, path, &body), answered(&http, path, &whole), "{body}");
        }
        // What is given has to be right.
        let mut body = whole.clone();
        body["resource"]["id"] = json!(5);
        assert_eq!(http.post("/access/v1/search/subject", &body).status, 400);
    }
    server.stop();
}

#[test]
fn what_is_said_twice_or_wrongly_is_refused_where_nothing_depends_on_it_too() {
    let server = records();
    for protocol in Protocol::ALL {
        let http = server.http(protocol);
        let body = ask("user:alice", "read", "record:record-1");
        for path in OTHERS.into_iter().chain([EVALUATION]) {
            for second in ["text/plain", "application/json"] {
                let twice = [("content-type", "application/json"), ("content-type", second)];
                let reply = http.send("POST", path, &twice, body.to_string().into_bytes());
                assert_eq!(reply.status, 400, "{path}: {}", reply.text());
            }
            let reply = http.send("POST", path, &[], body.to_string().into_bytes());
            assert_eq!(reply.status, 400, "{path}: {}", reply.text());
        }
        for options in [json!(5), json!([]), json!({"evaluations_semantic": 5})] {
            for evaluations in [json!(null), json!([])] {
                let mut body = body.clone();
                (body["options"], body["evaluations"]) = (options.clone(), evaluations);
                assert_eq!(http.post(OTHERS[0], &body).status, 400, "{body}");
            }
        }
    }
    server.stop();
}
