//! What settings make of the log.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};

use pdp_proto::v1;
use pdp_server::clock::Clock;
use pdp_server::config::{DecisionLogSettings, LogTarget, Settings};
use pdp_server::{Listeners, run};
use serde_json::{Value, json};

use crate::logged::{Logged, log_in, records};
use crate::served::{self, question};

fn masked(parts: &str) -> DecisionLogSettings {
    DecisionLogSettings { decision_log_mask: Some(parts.parse().unwrap()), ..Default::default() }
}

#[tokio::test]
async fn what_is_masked_is_not_in_the_file_and_is_told_apart() {
    let log = masked("subject,resource,permission");
    let logged = Logged::start(log, Settings::default()).await;
    for (who, report) in [("bo", "absence"), ("bo", "budget"), ("cy", "absence")] {
        logged.asks(who, report).await;
    }
    let (folder, records) = logged.stop().await;
    let text = std::fs::read_to_string(log_in(folder.path())).unwrap();
    for shown in ["person:bo", "person:cy", "absence", "budget", "View"] {
        assert!(!text.contains(shown), "{shown}: {text}");
    }
    let of = |record: usize, key: &str| records[record]["question"][key].as_str().unwrap();
    assert!(of(0, "subject").starts_with("person:hmac-"), "{text}");
    assert_eq!(of(0, "subject").len(), "person:hmac-".len() + 32);
    assert!(of(0, "resource").starts_with("Report:hmac-"), "{text}");
    assert_eq!(of(0, "subject"), of(1, "subject"));
    assert_ne!(of(0, "subject"), of(2, "subject"));
    assert_ne!(of(0, "resource"), of(1, "resource"));
    assert_eq!(of(0, "resource"), of(2, "resource"));
    assert_eq!(of(0, "operation"), of(2, "operation"));
    assert_eq!(records[0]["masked"], json!(["subject", "resource", "permission"]));
    assert_eq!(records[0]["reason"], json!("NOT_GRANTED"));
}

#[tokio::test]
async fn a_key_of_ones_own_makes_the_same_hashes_after_a_restart() {
    let (folder, keys) = (served::folder(), tempfile::tempdir().unwrap());
    let key = keys.path().join("key");
    let with_key = |key: Option<&std::path::PathBuf>| DecisionLogSettings {
        decision_log_mask_key: key.cloned(),
        ..masked("subject")
    };
    std::fs::write(&key, "0123456789abcdef0123456789abcdef\n").unwrap();
    let mut folder = folder;
    for key in [Some(&key), Some(&key), None] {
        let logged = Logged::start_in(folder, with_key(key), Settings::default()).await;
        logged.asks("bo", "absence").await;
        folder = logged.stop().await.0;
    }
    // What was there is appended to.
    let subjects: Vec<_> = records(&log_in(folder.path()))
        .iter()
        .map(|record| record["question"]["subject"].clone())
        .collect();
    assert_eq!(subjects[0], subjects[1]);
    assert_ne!(subjects[0], subjects[2]);
    assert!(!std::fs::read_to_string(log_in(folder.path())).unwrap().contains("0123456789"));

    std::fs::write(&key, "short").unwrap();
    let log = DecisionLogSettings {
        decision_log: Some(LogTarget::File(log_in(folder.path()))),
        ..with_key(Some(&key))
    };
    let refused = refused(log).await;
    assert!(refused.starts_with("`decision_log_mask_key` names "), "{refused}");
    assert!(refused.contains("it has 5 bytes"), "{refused}");
}

/// What a server says that does not start.
async fn refused(log: DecisionLogSettings) -> String {
    let folder = served::folder();
    let settings = Settings { decision_log: log, ..served::settings(folder.path()) };
    let config = settings.into_config(None).unwrap();
    let listeners = Listeners::bind(&config).unwrap();
    let clock = Clock::system();
    run(config, listeners, clock, std::future::pending()).await.unwrap_err().to_string()
}

#[tokio::test]
async fn denials_are_always_logged_and_allows_by_their_share() {
    for (share, least, most) in [("0", 0, 0), ("1", 1_000, 1_000), ("0.5", 350, 650)] {
        let log = DecisionLogSettings {
            decision_log_allows: Some(share.parse().unwrap()),
            ..Default::default()
        };
        let logged = Logged::start(log, Settings::default()).await;
        logged.asks_many("ana", 1_000).await;
        logged.asks_many("bo", 1_000).await;
        let (_folder, records) = logged.stop().await;
        let (allowed, denied): (Vec<_>, Vec<_>) =
            records.iter().partition(|record| record["effect"] == "ALLOW");
        assert_eq!(denied.len(), 1_000);
        assert!((least..=most).contains(&allowed.len()), "{share}: {}", allowed.len());
        // Whether one is among the share can be told from its id.
        let half = |record: &&Value| record["id"].as_str().unwrap().as_bytes()[16] < b'8';
        assert!(share != "0.5" || allowed.iter().all(half));
    }
}

#[tokio::test]
async fn a_check_is_told_the_name_of_what_has_a_record_and_no_other() {
    let log = DecisionLogSettings {
        decision_log_allows: Some("0".parse().unwrap()),
        ..Default::default()
    };
    let logged = Logged::start(log, Settings::default()).await;
    let mut decisions = logged.served.decisions();
    let mut told = Vec::new();
    for _ in 0..300 {
        for who in ["ana", "bo"] {
            let question = Some(question(who, "View", "absence"));
            let request = v1::CheckRequest { question, ..Default::default() };
            let answer = decisions.check(request).await.unwrap();
            let name = answer.metadata().get("pdp-decision-id").cloned();
            assert_eq!(name.is_some(), who == "bo");
            told.extend(name.map(|name| name.to_str().unwrap().to_owned()));
        }
    }
    let (_folder, records) = logged.stop().await;
    let mut written: Vec<_> = records.iter().map(|it| it["id"].as_str().unwrap()).collect();
    written.sort_unstable();
    told.sort_unstable();
    assert_eq!((told.len(), written), (300, told.iter().map(String::as_str).collect()));
}

#[tokio::test]
async fn what_a_full_ring_does_not_take_is_counted_and_no_decision_waits() {
    let log = DecisionLogSettings { decision_log_ring: Some(1), ..Default::default() };
    let logged = Logged::start(log, Settings::default()).await;
    // They are decided on one thread without a pause, and the ring has room for one.
    for _ in 0..20 {
        logged.asks_many("bo", 1_000).await;
    }
    let dropped = logged.metric("pdp_decision_log_dropped_total{reason=\"full\"} ").await;
    assert_eq!(logged.metric("pdp_decision_log_dropped_total{reason=\"failed\"} ").await, 0);
    let (_folder, records) = logged.stop().await;
    assert!(dropped > 0 && !records.is_empty(), "{dropped}");
    assert_eq!(u64::try_from(records.len()).unwrap() + dropped, 20_000);
}

#[tokio::test]
async fn full_files_are_put_aside_and_the_oldest_go() {
    let log = DecisionLogSettings {
        decision_log_max_bytes: Some(16 << 10),
        decision_log_keep: Some(2),
        ..Default::default()
    };
    let logged = Logged::start(log, Settings::default()).await;
    for _ in 0..4 {
        logged.asks_many("bo", 200).await;
    }
    let (folder, newest) = logged.stop().await;
    let path = log_in(folder.path());
    let named = |number: usize| path.with_file_name(format!("decisions.jsonl.{number}"));
    for number in [1, 2] {
        assert!(!records(&named(number)).is_empty());
        let length = std::fs::metadata(named(number)).unwrap().len();
        assert!((15 << 10..=16 << 10).contains(&length), "{length}");
    }
    assert!(!named(3).exists() && !newest.is_empty());
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_told_at_the_start() {
    let folder = served::folder();
    let nowhere = folder.path().join("nowhere").join("log");
    let log = DecisionLogSettings {
        decision_log: Some(nowhere.to_str().unwrap().parse().unwrap()),
        ..Default::default()
    };
    let refused = refused(log).await;
    assert!(refused.starts_with("`decision_log` names "), "{refused}");
}

/// A process, as standard output is shared by all tests of one.
#[test]
fn standard_output_has_records_and_nothing_else_has() {
    let folder = served::folder();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pdp-server"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PDP_")) {
        command.env_remove(name);
    }
    let mut server = command
        .args(["serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--grace-ms", "0"])
        .args(["--decision-log", "stdout", "--load", "policy.yaml", "--log-format", "json"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines().map(Result::unwrap);
    let serving = lines.find(|line| line.contains("\"serving\"")).unwrap();
    let serving: Value = serde_json::from_str(&serving).unwrap();
    let body = r#"{"subject": {"type": "user", "id": "bo"}, "action": {"name": "View"},
        "resource": {"type": "Report", "id": "absence"}}"#;
    let mut stream = std::net::TcpStream::connect(serving["http"].as_str().unwrap()).unwrap();
    let length = body.len();
    let head = "POST /access/v1/evaluation HTTP/1.1\r\nhost: pdp\r\nconnection: close";
    let sent = format!(
        "{head}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(sent.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    let ended = Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap();
    assert!(ended.success());
    let mut out = String::new();
    server.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert!(server.wait().unwrap().success(), "{:?}", lines.collect::<Vec<_>>());
    let record: Value = serde_json::from_str(out.trim_end()).unwrap();
    assert_eq!(record["question"]["subject"], json!("person:bo"));
    assert_eq!(record["effect"], json!("DENY"));
}
