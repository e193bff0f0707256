//! The threat model and the page of guarantees: every test that they name is there.

use std::path::Path;

use pdp_tests::fuzz::TARGETS;
use pdp_tests::tree::{rust_files, text};

/// Holds that the files and tests are there that a page names; how many it names.
fn hold_to_tests(page: &str) -> usize {
    let page = text(Path::new(page));
    let mut named = 0;
    for span in page.split('`').skip(1).step_by(2) {
        let (path, test) = match span.split_once("::") {
            Some((path, test)) => (path, Some(test)),
            None => (span, None),
        };
        if !path.ends_with(".rs") {
            continue;
        }
        let code = text(Path::new(path));
        assert!(!code.is_empty(), "there is no {path}");
        if let Some(test) = test {
            assert!(code.contains(&format!("fn {test}(")), "{path} has no {test}");
        }
        named += 1;
    }
    named
}

#[test]
fn every_test_that_the_threat_model_names_is_there() {
    let named = hold_to_tests("docs/threat-model.md");
    assert!(named > 30, "only {named} tests are named");
}

#[test]
fn every_test_that_the_guarantees_name_is_there() {
    let named = hold_to_tests("docs/guarantees.md");
    assert!(named > 40, "only {named} tests are named");
    let page = text(Path::new("docs/guarantees.md"));
    for (target, _) in TARGETS {
        assert!(page.contains(&format!("| `{target}` |")), "the page has no fuzz target {target}");
    }
}

#[test]
fn every_hostile_client_is_told_of_with_its_test() {
    hold_to_tests("docs/operation.md");
    let page = text(Path::new("docs/operation.md"));
    let mut tests = 0;
    for path in rust_files("pdp-server/tests/hostile") {
        let code = text(&path);
        let tested = code.split("#[tokio::test").skip(1);
        for test in tested.map(|it| it.split("fn ").nth(1).unwrap().split('(').next().unwrap()) {
            let named = format!("`{}::{test}`", path.display());
            assert!(page.contains(&named), "docs/operation.md does not name {named}");
            tests += 1;
        }
    }
    assert!(tests > 30, "only {tests} tests found");
}

#[test]
fn every_guarantee_names_what_upholds_it_and_a_command() {
    let page = text(Path::new("docs/guarantees.md"));
    let mut promises = 0;
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if line != "| promise | upheld by | again |" {
            continue;
        }
        for row in lines.by_ref().skip(1).take_while(|row| row.starts_with("| ")) {
            let cells: Vec<&str> = row.split(" | ").collect();
            assert_eq!(cells.len(), 3, "{row}");
            assert!(cells[1].contains(".rs"), "no test shows this: {row}");
            assert!(cells[2].contains("cargo ") || cells[2].starts_with("as above"), "{row}");
            promises += 1;
        }
    }
    assert!(promises > 20, "only {promises} promises");
}

#[test]
fn every_threat_has_a_test_or_is_admitted() {
    let page = text(Path::new("docs/threat-model.md"));
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| threat "));
    let rows: Vec<_> = rows.collect();
    assert!(rows.len() > 20, "only {} threats", rows.len());
    let silent = rows.iter().filter(|row| !row.contains(".rs") && !row.contains("nothing here"));
    let silent: Vec<_> = silent.collect();
    assert!(silent.is_empty(), "no test shows these, and the page does not say so: {silent:#?}");
}
