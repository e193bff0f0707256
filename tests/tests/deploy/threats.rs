//! The threat model: every test that it names is there.

use std::path::Path;

use pdp_tests::tree::text;

#[test]
fn every_test_that_the_threat_model_names_is_there() {
    let page = text(Path::new("docs/threat-model.md"));
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
    assert!(named > 30, "only {named} tests are named");
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
