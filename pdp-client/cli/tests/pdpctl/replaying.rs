//! `replay`: a log that a server wrote is asked again, of the same server, of one whose policy has
//! changed, and of bundles.

use std::path::{Path, PathBuf};

use pdp_server::config::{DecisionLogSettings, LogTarget};
use serde_json::{Value, json};

use crate::served::{Ran, Served, ctl};

/// The policy of these tests, and what is asked of it.
const POLICY: &str = "\
resource_types:
  Report: {operations: [View, AddPersonToViewer], rights: [ReadData]}
  Person: {operations: [AddPersonToViewer]}
  SshKey: {}
access_levels:
  - {type: Report, name: Viewer, operations: {View: allowed}, rights: {ReadData: allowed}}
people: [{id: ana}, {id: bo}]
groups: [{id: hr, members: [person:ana]}]
resources: [{type: Report, id: absence}, {type: SshKey, id: deploy, owner: bo}]
assignments:
  - {id: a-1, to: group:hr, level: Report/Viewer, on: Report:absence}
";

/// What is logged: three that are allowed, one that is not, and two that need an approval.
const ASKED: [&[&str]; 6] = [
    &["check", "person:ana", "View", "Report:absence"],
    &["check", "person:ana", "right:ReadData", "Report:absence"],
    &["check", "person:bo", "View", "Report:absence", "--no-routing"],
    &["check", "person:bo", "vault:manage", "SshKey:deploy"],
    &["check", "person:ana", "AddPersonToViewer", "Report:absence", "--counterpart", "Person:bo"],
    &[
        "delegation",
        "grant",
        "Report/Viewer",
        "--as",
        "person:ana",
        "--to",
        "person:bo",
        "--on",
        "Report:absence",
    ],
];

/// A server that logs, after it was asked.
async fn asked(log: DecisionLogSettings) -> (Served, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decisions.jsonl");
    let to = Some(LogTarget::File(path.clone()));
    let log = log.or(DecisionLogSettings { decision_log: to, ..Default::default() });
    let served = Served::start_logging(POLICY, folder, log).await;
    for question in ASKED {
        assert!([0, 1, 3].contains(&served.ctl(question).await.status), "{question:?}");
    }
    (served, path)
}

/// What is left of a server: its log.
async fn log_of(log: DecisionLogSettings) -> tempfile::TempDir {
    let (served, path) = asked(log).await;
    let kept = tempfile::tempdir().unwrap();
    let folder = served.stop_and_keep().await;
    std::fs::copy(&path, kept.path().join("log")).unwrap();
    drop(folder);
    std::fs::write(kept.path().join("policy.yaml"), POLICY).unwrap();
    kept
}

fn lines(ran: &Ran) -> Vec<Value> {
    ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn summary(replayed: u64, changed: u64) -> Value {
    json!({
        "event": "summary", "replayed": replayed, "same": replayed - changed, "changed": changed,
        "masked": 0, "cut": 0, "no_subject": 0, "other_tenant": 0, "unreadable": 0,
    })
}

#[tokio::test]
async fn the_same_server_decides_the_same_and_another_policy_exactly_what_it_changes() {
    let kept = log_of(DecisionLogSettings::default()).await;
    let log = kept.path().join("log");
    let log = log.to_str().unwrap();
    let served = Served::start_with(POLICY).await;
    let same = served.ctl(&["replay", log]).await;
    assert_eq!(same, Ran::said("6 decisions replayed, and none differs\n"));

    let change = "people: [{id: bo, enabled: false}]\n";
    let change = served.file("change.yaml", change);
    assert_eq!(served.ctl(&["apply", change.to_str().unwrap()]).await.status, 0);
    let ran = served.ctl(&["--output", "json", "replay", log]).await;
    assert_eq!(ran.status, 1, "{ran:?}");
    // Records of several threads come in any order.
    let mut told = lines(&ran);
    told.sort_by_key(|line| line["question"].as_str().map(str::to_owned));
    let [last, view, vault] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(view["question"], "person:bo, operation View, Report:absence, without routing");
    assert_eq!(view["was"], json!({"effect": "DENY", "reason": "NOT_GRANTED", "revision": 1}));
    assert_eq!(view["now"], json!({"effect": "DENY", "reason": "SUBJECT_DISABLED", "revision": 2}));
    assert_eq!(vault["question"], "person:bo, vault manage, SshKey:deploy");
    assert_eq!(vault["was"]["effect"], "ALLOW");
    assert_eq!((&vault["rpc"], &vault["tenant"]), (&json!("Check"), &json!("default")));
    assert_eq!(*last, summary(6, 2));
    served.stop().await;
}

#[tokio::test]
async fn a_bundle_is_asked_without_a_server() {
    let kept = log_of(DecisionLogSettings::default()).await;
    let same = ctl(kept.path(), &["replay", "log", "--bundle", "policy.yaml"]);
    assert_eq!(same, Ran::said("6 decisions replayed, and none differs\n"));
    let without = POLICY.replace("members: [person:ana]", "members: []");
    std::fs::write(kept.path().join("next.yaml"), without).unwrap();
    let ran = ctl(kept.path(), &["replay", "log", "--bundle", "next.yaml"]);
    assert_eq!(ran.status, 1);
    let said = "person:ana, operation View, Report:absence\n";
    assert!(ran.out.contains(said), "{ran:?}");
    assert!(
        ran.out.contains("  was  ALLOW GRANTED  revision 1\n  now  DENY NOT_GRANTED\n"),
        "{ran:?}"
    );
    assert!(ran.out.ends_with("2 of 6 decisions differ, 4 do not\n"), "{ran:?}");

    // Twice the same log is twice as much; another tenant's is not asked.
    let ran = ctl(kept.path(), &["replay", "log", "log", "--bundle", "policy.yaml"]);
    assert_eq!(ran, Ran::said("12 decisions replayed, and none differs\n"));
    let tenant = ["replay", "log", "--bundle", "policy.yaml", "--tenant", "acme"];
    let ran = ctl(kept.path(), &tenant);
    assert_eq!(ran.status, 2);
    assert_eq!(ran.out, "nothing was replayed; 6 of other tenants\n");
}

#[tokio::test]
async fn a_decision_is_made_anew_for_its_own_time() {
    let folder = tempfile::tempdir().unwrap();
    let ending = POLICY
        .replace("on: Report:absence}", "on: Report:absence, valid_until: 2026-02-01T00:00:00Z}");
    std::fs::write(folder.path().join("policy.yaml"), ending).unwrap();
    let record = |time: &str| {
        json!({
            "id": "00", "time": time, "rpc": "Check", "tenant": "default",
            "question": {"subject": "person:ana", "operation": "View", "resource": "Report:absence"},
            "effect": "ALLOW", "reason": "GRANTED", "revision": 1,
        })
    };
    let log = format!("{}\n{}\n", record("2026-01-31T23:59:59Z"), record("2026-02-01T00:00:00Z"));
    std::fs::write(folder.path().join("log"), log).unwrap();
    let ran = ctl(folder.path(), &["replay", "log", "--bundle", "policy.yaml"]);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.out.ends_with("1 of 2 decisions differ, 1 do not\n"), "{ran:?}");
    assert!(ran.out.contains("  2026-02-01T00:00:00Z  Check"), "{ran:?}");
}

#[tokio::test]
async fn what_is_masked_cannot_be_asked_again_and_what_is_no_record_is_an_error() {
    let mask = Some("subject".parse().unwrap());
    let kept = log_of(DecisionLogSettings { decision_log_mask: mask, ..Default::default() }).await;
    let masked = ctl(kept.path(), &["replay", "log", "--bundle", "policy.yaml"]);
    assert_eq!((masked.status, masked.out.as_str()), (2, "nothing was replayed; 6 masked\n"));

    let plain = r#"{"id":"00","time":"2026-01-01T00:00:00Z","rpc":"Check","tenant":"default","question":{"subject":"person:bo","operation":"View","resource":"Report:absence"},"effect":"DENY","reason":"NOT_GRANTED","revision":1}"#;
    let robot = plain.replace("person:bo", "robot:r");
    let cut = plain.replace(r#""revision":1"#, r#""revision":1,"cut":true"#);
    let log = format!("{plain}\n{robot}\n{cut}\n{}\n{plain}\n", &plain[..50]);
    std::fs::write(kept.path().join("mixed"), log).unwrap();
    let ran = ctl(kept.path(), &["replay", "mixed", "--bundle", "policy.yaml"]);
    assert_eq!(ran.status, 2);
    let counted =
        "2 decisions replayed, and none differs; 1 cut; 1 of what is no subject; 1 not readable\n";
    assert_eq!(ran.out, counted);
    assert!(ran.err.starts_with("error: mixed:4: EOF while parsing"), "{ran:?}");
    let ran = ctl(kept.path(), &["replay", "nowhere", "--bundle", "policy.yaml"]);
    assert!(ran.err.contains("`nowhere` cannot be read"), "{ran:?}");
    assert_eq!(ran.status, 2);
    let refused = refused(kept.path());
    assert!(refused.out.contains("now  no decision: "), "{refused:?}");
}

/// A name that this version does not take any more is a difference, too.
fn refused(folder: &Path) -> Ran {
    let record = r#"{"id":"00","time":"2026-01-01T00:00:00Z","rpc":"Check","tenant":"default","question":{"subject":"person:bo","vault":"borrow","resource":"SshKey:deploy"},"effect":"DENY","reason":"NOT_SHARED","revision":1}"#;
    std::fs::write(folder.join("old"), format!("{record}\n")).unwrap();
    let ran = ctl(folder, &["replay", "old", "--bundle", "policy.yaml"]);
    assert_eq!(ran.status, 1, "{ran:?}");
    ran
}
