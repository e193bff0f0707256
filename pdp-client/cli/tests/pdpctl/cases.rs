//! `test`, which needs no server.

use std::path::Path;

use serde_json::{Value, json};

use crate::served::{Ran, ctl};

const BUNDLE: &str = "\
resource_types: {Report: {operations: [View]}}
access_levels: [{type: Report, name: Viewer, operations: {View: allowed}}]
people: [{id: ana}, {id: bo}]
resources: [{type: Report, id: absence}]
assignments: [{id: a-1, to: person:ana, level: Report/Viewer, on: Report:absence, valid_until: 2026-01-01T00:00:00Z}]
";

const HOLDS: &str = "\
bundle_file: acme.yaml
now: 2025-12-31T00:00:00Z
checks:
  - {subject: person:ana, operation: View, resource: Report:absence, expect: {effect: allow, deciding: [a-1]}}
";

const FAILS: &str = "\
bundle_file: ../acme.yaml
checks:
  - {name: expired, subject: person:ana, operation: View, resource: Report:absence, expect: allow}
  - {subject: person:bo, operation: View, resource: Report:absence, expect: deny}
";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir(folder.path().join("more")).unwrap();
    write("acme.yaml", BUNDLE);
    write("holds.yaml", HOLDS);
    write("more/fails.yml", FAILS);
    write("more/notes.txt", "not a case file");
    folder
}

fn json_of(folder: &Path, arguments: &[&str]) -> (i32, Value) {
    let ran = ctl(folder, &[&["-o", "json", "test"], arguments].concat());
    (ran.status, serde_json::from_str(&ran.out).unwrap())
}

#[test]
fn checks_that_hold_end_well() {
    let folder = folder();
    assert_eq!(
        ctl(folder.path(), &["test", "holds.yaml"]),
        Ran::said("ok      holds.yaml  1 check\n1 check passed in 1 case file\n")
    );
    let file =
        json!({"file": "holds.yaml", "now": "2025-12-31T00:00:00Z", "checks": 1, "failures": []});
    let whole = json!({"checks": 1, "failed": 0, "unusable": 0, "files": [file]});
    assert_eq!(json_of(folder.path(), &["holds.yaml"]), (0, whole));
}

#[test]
fn a_directory_is_searched_and_a_check_that_does_not_hold_is_told() {
    let folder = folder();
    let ran = ctl(folder.path(), &["test", ".", "--now", "2026-01-01T00:00:00Z"]);
    assert_eq!((ran.status, ran.err.as_str()), (1, ""));
    let told = "\
bundle  ./acme.yaml
ok      ./holds.yaml  1 check
FAILED  ./more/fails.yml  1 of 2 checks failed at 2026-01-01T00:00:00Z
        ./more/fails.yml:3:5: expired: person:ana, operation View, Report:absence
          expected  ALLOW
          actual    DENY NOT_GRANTED
";
    assert!(ran.out.starts_with(told), "{}", ran.out);
    assert!(ran.out.contains("near miss: `a-1`"), "{}", ran.out);
    let last = "1 of 3 checks failed in 2 case files; 1 policy bundle left alone\n";
    assert!(ran.out.ends_with(last), "{}", ran.out);

    let (status, told) = json_of(folder.path(), &["more", "--now", "2025-06-01T00:00:00Z"]);
    assert_eq!((status, &told["failed"]), (0, &json!(0)));
    let (status, told) = json_of(folder.path(), &["more", "--now", "2026-06-01T00:00:00Z"]);
    let failure = &told["files"][0]["failures"][0];
    assert_eq!((status, &failure["line"], &failure["name"]), (1, &json!(3), &json!("expired")));
    assert_eq!(
        (&failure["expected"], &failure["actual"]),
        (&json!("ALLOW"), &json!("DENY NOT_GRANTED"))
    );
    assert!(failure["explanation"].is_string());
}

#[test]
fn an_unusable_file_is_an_error_and_the_others_still_run() {
    let folder = folder();
    let bad = "bundle: {people: [{id: ana, manager: bo}]}\nchecks: []\n";
    std::fs::write(folder.path().join("bad.yaml"), bad).unwrap();
    let ran = ctl(folder.path(), &["test", "bad.yaml", "holds.yaml", "acme.yaml", "nix.yaml"]);
    assert_eq!(ran.status, 2);
    assert!(ran.out.starts_with("error   bad.yaml\n        bad.yaml:1:38: "), "{}", ran.out);
    assert!(ran.out.contains("ok      holds.yaml  1 check\n"));
    assert!(ran.out.contains("        nix.yaml: cannot be read"));
    assert!(ran.out.ends_with("1 check passed in 1 case file; 3 files cannot be used\n"));
    let (status, told) = json_of(folder.path(), &["bad.yaml"]);
    assert_eq!((status, &told["unusable"]), (2, &json!(1)));
    assert!(told["files"][0]["problems"][0].as_str().unwrap().starts_with("bad.yaml:1:38: "));
}

#[test]
fn a_run_that_checks_nothing_shows_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let ran = ctl(folder.path(), &["test", "."]);
    assert_eq!(ran, Ran::failed("error: PATH: `.` holds no .yaml, .yml or .json file\n"));
    std::fs::write(folder.path().join("acme.yaml"), BUNDLE).unwrap();
    let ran = ctl(folder.path(), &["test", "."]);
    let told = "bundle  ./acme.yaml\nnothing was checked; 1 policy bundle left alone\n";
    assert_eq!((ran.status, ran.out.as_str()), (2, told));
    let ran = ctl(folder.path(), &["test", "acme.yaml", "--now", "yesterday"]);
    assert!(ran.err.contains("`yesterday` is not a time; write it by RFC 3339"));
}
