//! The server as a process: what it logs of callers, and what it prints.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use serde_json::json;
use tonic::transport::Endpoint;

use crate::guarded::{ask, caller, key};
use crate::secrets::{Signer, jwks};
use crate::sent::send;
use crate::served;

const SERVER: &str = env!("CARGO_BIN_EXE_pdp-server");

/// A server in a folder, and what it logs; up to the line that says where it serves.
#[expect(clippy::zombie_processes, reason = "whoever asked for it waits for it")]
fn serve(folder: &Path) -> (Child, BufReader<ChildStderr>, String, serde_json::Value) {
    let mut child = Command::new(SERVER)
        .arg("serve")
        .args(["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--log", "trace", "--grace-ms=0"])
        .args(["--log-format", "json", "--max-queue-ms", "60000"])
        .arg("--data")
        .arg(folder.join("data"))
        .arg("--load")
        .arg(folder.join("policy.yaml"))
        .arg("--callers")
        .arg(folder.join("callers.yaml"))
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut log = String::new();
    loop {
        let start = log.len();
        assert_ne!(lines.read_line(&mut log).unwrap(), 0, "{log}");
        let line: serde_json::Value = serde_json::from_str(&log[start..]).unwrap();
        if line["http"].is_string() {
            return (child, lines, log, line);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_ever_logged() {
    let [(good, one), (scrapes, two), (unknown, _)] = [key(), key(), key()];
    let signer = Signer::es256("k1");
    let folder = served::folder();
    std::fs::write(folder.path().join("jwks.json"), jwks(&[&signer])).unwrap();
    let callers = format!(
        "callers:\n{}{}issuers:\n  - issuer: https://i\n    audiences: [pdp]\n    algorithms: [ES256]\n    \
         jwks_file: jwks.json\n    grants: [{{claim: sub, is: a, roles: {{default: [check]}}}}]\n",
        caller("gateway", &one, "{default: [check]}"),
        caller("scraper", &two, "{\"*\": [metrics]}"),
    );
    std::fs::write(folder.path().join("callers.yaml"), callers).unwrap();
    let (mut child, mut lines, mut log, line) = serve(folder.path());
    let address = line["http"].as_str().unwrap().parse().unwrap();
    let grpc = line["grpc"].as_str().unwrap().to_owned();
    // What is logged is read on, so that the server never waits for it.
    let rest = std::thread::spawn(move || {
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        rest
    });
    let claims = json!({"iss": "https://i", "aud": "pdp", "sub": "a", "exp": 4_102_444_800_u64});
    let token = format!("Bearer {}", signer.token(&claims));
    let forged = format!("Bearer {}", Signer::es256("k1").token(&claims));
    let body = r#"{"subject": {"type": "user", "id": "ana"}, "action": {"name": "View"},
        "resource": {"type": "Report", "id": "absence"}}"#;
    let channel = Endpoint::from_shared(format!("http://{grpc}")).unwrap().connect_lazy();
    let mut secrets = Vec::new();
    for (authorization, status) in [
        // Those that are to be found in the log come first: only so many lines a second are.
        (scrapes, 403),
        (good.clone(), 200),
        (token, 200),
        (forged, 401),
        (unknown, 401),
        (format!("{good}x"), 401),
        ("Basic c2VjcmV0OnNlY3JldA==".to_owned(), 401),
    ] {
        let headers = [("authorization", authorization.as_str())];
        let reply = send(address, "POST", "/access/v1/evaluation", &headers, body).await;
        assert_eq!(reply.status, status, "{reply:?}");
        assert_eq!(ask(&channel, Some(&authorization), "").await.is_ok(), status == 200);
        let secret = authorization.split_once(' ').unwrap().1;
        // The end of it tells it from what may be known, such as the id of a key.
        secrets.push(secret[secret.len() - 16..].to_owned());
        assert!(!reply.body.contains(secret));
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    log.push_str(&rest.join().unwrap());
    for secret in &secrets {
        assert!(!log.contains(secret.as_str()), "{secret}");
    }
    for said in
        ["a caller was not let in", "SIGNATURE", "UNKNOWN_KEY", "a caller lacks a role", "scraper"]
    {
        assert!(log.contains(said), "{said}:\n{log}");
    }
}

#[test]
fn a_key_is_printed_once_with_its_entry() {
    let printed = Command::new(SERVER).arg("key").output().unwrap();
    assert!(printed.status.success());
    let text = String::from_utf8(printed.stdout).unwrap();
    let [key, entry] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert!(key.starts_with("pdp_") && key.len() == 77);
    let file = format!("callers: [{{name: a, roles: {{}}, keys: [{entry}]}}]");
    let callers = pdp_bundle::callers::Callers::parse("c", &file).unwrap();
    assert!(key.contains(&*callers.callers[0].keys[0].id));
    assert!(!entry.contains(&key[13..]));
}
