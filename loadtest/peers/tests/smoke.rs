//! Every command once, at a tiny size: every engine gives every answer. Nothing here depends on how fast the machine
//! is. The Cerbos binary is the one that `PDP_CERBOS` names, or is fetched with npm.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test code: a panic is a failed test"
)]

use std::process::Command;

use serde_json::Value;

fn report(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_peers")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn engines_agree_on_every_question() {
    let small = ["engines", "--size", "300", "--questions", "300", "--slow-questions", "20"];
    let report = report(&[&small[..], &["--json"]].concat());
    let lines = report["report"]["lines"].as_array().unwrap();
    let names: Vec<&str> = lines.iter().map(|line| line["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "pdp",
            "cedar, two policies",
            "cedar, two policies a permission",
            "regorus, compiled",
            "casbin",
            "cedar, a link an assignment",
        ]
    );
    for line in lines {
        assert!(line["p50_us"]["median"].as_f64().unwrap() > 0.0, "{line}");
    }
    // What some cannot express is there, and is told.
    assert!(report["report"]["relative"].as_f64().unwrap() > 0.0, "{report}");
    assert!(report["versions"].as_str().unwrap().starts_with("cedar-policy 4."), "{report}");
}

#[test]
fn published_applications_are_decided_alike() {
    let small = ["published", "--entities", "20", "--questions", "300", "--json"];
    let report = report(&small);
    let applications = report["report"]["applications"].as_array().unwrap();
    assert_eq!(applications.len(), 3);
    for application in applications {
        let allowed = application["allowed"].as_f64().unwrap();
        assert!((0.02..0.98).contains(&allowed), "{application}");
        assert_eq!(application["lines"].as_array().unwrap().len(), 2, "{application}");
    }
}

#[test]
fn cerbos_gives_every_answer() {
    let small = ["cerbos", "--size", "300", "--questions", "200", "--milliseconds", "100"];
    let report =
        report(&[&small[..], &["--connections", "2", "--in-flight", "2", "--json"]].concat());
    let lines = report["report"]["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 4);
    for line in lines {
        assert!(line["per_second"]["median"].as_f64().unwrap() > 0.0, "{line}");
    }
}
