//! Every command once, at a tiny size, as a user would start it. Nothing here depends on how fast
//! the machine is.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test code: a panic is a failed test"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use pdp_loadtest::questions;
use serde_json::Value;

fn loadtest(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadtest")).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

fn json(arguments: &[&str]) -> Value {
    let output = loadtest(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

const QUICK: [&str; 10] = [
    "--size",
    "200",
    "--seconds",
    "0.2",
    "--warm-up",
    "0.05",
    "--connections",
    "2",
    "--in-flight",
    "4",
];

fn run(more: &[&str]) -> Value {
    json(&[&["run", "--embedded", "--json"][..], &QUICK[..], &["--count", "400"], more].concat())
}

#[test]
fn generate_writes_the_same_bundle_and_questions_every_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let written = |bundle: &str, asked: &str, seed: &str| {
        let (out, asks) = (path(bundle), path(asked));
        let shape = ["--people", "60", "--assignments", "300", "--resources", "200"];
        let mix = ["--shares", "50", "--skew", "zipf", "--allow", "0.25", "--count", "400"];
        let files = ["generate", "--seed", seed, "--out", &out, "--questions", &asks];
        let output = loadtest(&[&files[..], &shape, &mix].concat());
        assert!(output.status.success(), "{}", said(&output));
        (fs::read(out).unwrap(), fs::read(asks).unwrap())
    };
    let one = written("one.yaml", "one.txt", "3");
    assert_eq!(one, written("two.yaml", "two.txt", "3"));
    let other = written("other.yaml", "other.txt", "4");
    assert!(one.0 != other.0 && one.1 != other.1);
    let asks = questions::read(one.1.as_slice()).unwrap();
    assert_eq!(asks.iter().filter(|ask| ask.to_line().starts_with("ALLOW")).count(), 100);
    assert!(pdp_bundle::parse("one.yaml", &String::from_utf8(one.0).unwrap()).is_ok());
}

#[test]
fn generate_takes_a_matrix() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("m.pairs.txt"), "u1 p1\nu2 p2\n").unwrap();
    let roles = "role: r0\npermissions: p1\nusers: u1\nrole: r1\npermissions: p2\nusers: u2\n";
    fs::write(path("m.roles.txt"), roles).unwrap();
    let (base, out) = (path("m"), path("out.yaml"));
    let output = loadtest(&["generate", "--from-matrix", &base, "--scale", "3", "--out", &out]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(fs::read_to_string(out).unwrap().matches("to: management_role:").count(), 6);
}

#[test]
fn run_measures_a_curve() {
    let report = run(&[]);
    let steps = report["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 7);
    for step in steps {
        let summary = &step["summary"];
        assert_eq!((&summary["errors"], &summary["wrong"]), (&0.into(), &0.into()), "{step}");
    }
}

#[test]
fn run_keeps_to_its_rates_and_draws_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (svg, out) = (path("plot.svg"), path("report.json"));
    let rates = ["--mode", "open", "--rate", "200,400"];
    let report = run(&[&rates[..], &["--svg", &svg, "--out", &out]].concat());
    let steps = report["steps"].as_array().unwrap();
    let count = |step: &Value, kind: &str| step["summary"][kind]["count"].as_u64().unwrap();
    for (step, sent) in steps.iter().zip([40, 80]) {
        // What is meant to be sent in the fifth of a second that is measured, however late it is.
        assert_eq!(count(step, "all"), sent, "{step}");
        assert_eq!(count(step, "allow") + count(step, "deny"), sent, "{step}");
        assert!(count(step, "allow") > 0 && count(step, "deny") > 0, "{step}");
        assert_eq!(step["summary"]["wrong"], 0, "{step}");
    }
    assert_eq!(steps.len(), 2);
    assert!(fs::read_to_string(svg).unwrap().starts_with("<svg"));
    let kept: Value = serde_json::from_str(&fs::read_to_string(out).unwrap()).unwrap();
    assert_eq!(kept, report);
}

#[test]
fn run_asks_batches_writes_and_ramps() {
    let report = run(&["--mode", "closed", "--batch", "10"]);
    let summary = &report["steps"][0]["summary"];
    assert!(summary["requests"].as_u64().unwrap() > 0, "{summary}");
    let each = |key: &str| summary[key].as_f64().unwrap();
    let questions = each("questions_per_second") / each("requests_per_second");
    assert!((questions - 10.0).abs() < 1e-6, "{summary}");

    let report = run(&["--mode", "closed", "--stream"]);
    let summary = &report["steps"][0]["summary"];
    assert!(summary["allow"]["count"].as_u64().unwrap() > 0, "{summary}");
    assert_eq!((&summary["errors"], &summary["wrong"]), (&0.into(), &0.into()), "{summary}");

    let ramp = ["--mode", "open", "--rate", "100", "--ramp-to", "300", "--writes", "0.1"];
    let report = run(&ramp);
    let summary = &report["steps"][0]["summary"];
    assert!(summary["write"]["count"].as_u64().unwrap() > 0, "{summary}");
    assert_eq!(summary["errors"], 0, "{summary}");
    // 200 a second on average, over a quarter of a second in all.
    assert!((30..=50).contains(&summary["requests"].as_u64().unwrap()), "{summary}");
}

#[test]
fn a_wrong_answer_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("asks.txt");
    fs::write(&file, "ALLOW\tperson:nobody\toperation:View\tDoc00:r1\n").unwrap();
    let asked = ["--questions", file.to_str().unwrap(), "--mode", "closed", "--json"];
    let output = loadtest(&[&["run", "--embedded"][..], &QUICK[..], &asked].concat());
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let summary = &report["steps"][0]["summary"];
    assert!(summary["wrong"].as_u64().unwrap() > 0, "{summary}");
}

#[test]
fn the_floor_answers() {
    let report = json(&["floor", "--milliseconds", "50", "--connections", "2", "--json"]);
    for step in report["steps"].as_array().unwrap() {
        assert!(step["summary"]["requests"].as_u64().unwrap() > 0, "{step}");
        assert_eq!(step["summary"]["errors"], 0, "{step}");
    }
}

#[test]
fn targets_say_of_each_what_became_of_it() {
    let small = ["targets", "--size", "500", "--questions", "300", "--milliseconds", "40"];
    let less = ["--connections", "2", "--in-flight", "4", "--buffer-mib", "1", "--json"];
    let report = json(&[&small[..], &less].concat());
    let targets = report["targets"].as_array().unwrap();
    for number in 1..=14 {
        let of = |target: &&Value| target["number"] == number && !target["bound"].is_null();
        let found: Vec<&Value> = targets.iter().filter(of).collect();
        assert!(!found.is_empty(), "target {number}");
        let unmeasured = number == 6;
        let verdicts = ["met", "not met"].map(Value::from);
        assert_eq!(found.iter().all(|it| !verdicts.contains(&it["verdict"])), unmeasured);
    }
    for target in targets {
        let measured = target["verdict"] != "not measured";
        assert_eq!(target["value"].is_object(), measured, "{target}");
        assert!(!target["note"].as_str().unwrap().is_empty(), "{target}");
    }
}

#[test]
fn scale_measures_each_size_and_draws_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (svg, out) = (path("scale.svg"), path("scale.json"));
    let small = ["scale", "--sizes", "200,400", "--rounds", "2", "--questions", "200"];
    let more = ["--buffer-mib", "1", "--json", "--svg", &svg, "--out", &out];
    let report = json(&[&small[..], &more].concat());
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for (row, size) in rows.iter().zip([200, 400]) {
        assert_eq!(row["assignments"], size, "{row}");
        assert!(row["missing"].is_null(), "{row}");
        for figure in ["facts", "compile_ms", "hot_ns", "cold_ns", "miss_ns"] {
            assert!(row["policy"][figure].as_f64().unwrap() > 0.0, "{figure}: {row}");
        }
        assert!(row["store"]["file_bytes"].as_u64().unwrap() > 0, "{row}");
        assert_eq!(row["starts"].as_array().unwrap().len(), 2, "{row}");
    }
    assert!(fs::read_to_string(svg).unwrap().starts_with("<svg"));
    let kept: Value = serde_json::from_str(&fs::read_to_string(out).unwrap()).unwrap();
    assert_eq!(kept, report);
}

#[test]
fn hostile_guests_are_at_work_and_nobody_gets_a_wrong_answer() {
    let small = ["hostile", "--size", "500", "--questions", "1000", "--milliseconds", "150"];
    let report = json(&[&small[..], &["--connections", "2", "--load", "0.05", "--json"]].concat());
    let felt = report["evening"]["felt"].as_array().unwrap();
    assert_eq!(felt.len(), 6);
    for felt in felt {
        assert!(felt["done"].as_u64().unwrap() > 0, "{felt}");
        assert!(felt["ratio"]["median"].as_f64().unwrap() > 0.0, "{felt}");
    }
}

#[test]
fn overload_is_four_figures_and_health_is_told() {
    for how in [&["--batch", "1"][..], &["--batch", "20"], &["--batch", "20", "--http"]] {
        overload(how);
    }
}

fn overload(how: &[&str]) {
    let small = ["overload", "--size", "500", "--questions", "1000", "--milliseconds", "100"];
    let rest = ["--connections", "2", "--json"];
    let report = json(&[&small[..], &rest, how].concat());
    let overloaded = &report["overloaded"];
    let figures = overloaded["figures"].as_array().unwrap();
    assert_eq!(figures.iter().filter(|figure| !figure["bound"].is_null()).count(), 4);
    for figure in figures.iter().filter(|figure| !figure["value"].is_null()) {
        assert!(figure["value"]["least"].as_f64().unwrap() >= 0.0, "{figure}");
    }
    let can =
        figures.iter().find(|figure| figure["name"] == "requests a second that it can answer");
    assert!(can.unwrap()["value"]["least"].as_f64().unwrap() > 0.0, "{overloaded}");
    assert!(overloaded["health"]["told"].as_u64().unwrap() > 0, "{overloaded}");
}

#[test]
fn a_soak_does_everything_and_has_its_slopes() {
    let small = ["soak", "--size", "500", "--questions", "1000", "--sessions-before", "20"];
    let report = json(&[&small[..], &["--warm-up", "0", "--seconds", "3", "--json"]].concat());
    let soaked = &report["soaked"];
    for (what, count) in soaked["done"].as_object().unwrap() {
        assert!(count.as_u64().unwrap() > 0, "{what}: {soaked}");
    }
    let grown = soaked["grown"].as_array().unwrap();
    assert_eq!(grown.len(), 2);
    for grown in grown {
        assert!(grown["an_hour"].is_f64() && grown["least"].as_f64().unwrap() > 0.0, "{grown}");
    }
    assert!(soaked["looks"].as_array().unwrap().len() > 1);
}

#[test]
fn what_cannot_be_is_refused_in_a_line() {
    for (arguments, why) in [
        (&["generate", "--people", "1", "--out", "x"][..], "`people` is 1"),
        (&["targets", "--rounds", "2"], "`rounds` is 2; it must be 5 to"),
        (&["scale", "--sizes", "500,400"], "must grow"),
        (&["scale", "--sizes", "5"], "`size` is 5"),
        (&["hostile", "--load", "7"], "`load, in thousandths` is 7000"),
        (&["run", "--embedded", "--size", "50", "--seconds=-1"], "`seconds` is -1"),
        (&["run", "--embedded", "--writes", "2"], "`writes` is 2"),
        (&["run", "--server", "nowhere", "--size", "50", "--count", "9"], "`nowhere`"),
        (&["soak", "--seconds", "1"], "`seconds` is 1; it must be 2 to"),
        (&["run"], "--server"),
        (&["run", "--embedded", "--stream"], "`stream` goes with `--mode closed`"),
        (&["run", "--embedded", "--rate", "5"], "`rate` goes with `--mode open`"),
        (&["run", "--embedded", "--mode", "open", "--rate=-0"], "a rate is -0"),
        (&["run", "--embedded", "--questions", "x", "--count", "5"], "cannot be used with"),
        (&["generate", "--size", "5", "--people", "9", "--out", "x"], "cannot be used with"),
    ] {
        let output = loadtest(arguments);
        assert!(!output.status.success());
        assert!(said(&output).contains(why), "{arguments:?}: {}", said(&output));
        assert!(!Path::new("x").exists());
    }
}
