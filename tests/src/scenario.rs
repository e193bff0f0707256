//! The scenario files: rules of the semantics as policies with questions and expected answers.
//!
//! `tests/scenarios/*.yaml` are case files. `tests/scenarios/rejected/*.yaml` hold, in place of
//! `checks`, a list `rejected`: one line `- {code: CODE, contains: "words"}` for each problem that
//! the bundle is refused for. `tests/scenarios/worlds` holds bundles that case files share.

use std::fs;
use std::path::{Path, PathBuf};

use pdp_bundle::case::{CaseFile, Report};
use pdp_engine::time::Timestamp;

/// The evaluation time of files that name none: 2026-01-01T12:00:00Z.
pub const DEFAULT_NOW: Timestamp = Timestamp::from_micros(1_767_268_800_000_000);

/// The folder of the scenario files.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// A policy that is refused.
#[derive(Debug, Clone)]
pub struct RejectedFile {
    /// Its bundle and rules; it has no checks.
    pub case: CaseFile,
    /// Code and part of the sentence of every problem.
    pub problems: Vec<(String, String)>,
}

/// Every case file, by name.
///
/// # Panics
/// If one cannot be read, or names no rule, or asks nothing.
#[must_use]
pub fn cases() -> Vec<CaseFile> {
    let cases: Vec<CaseFile> = yaml_files(&folder())
        .iter()
        .map(|path| CaseFile::open(path).unwrap_or_else(|error| panic!("{error}")))
        .collect();
    for case in &cases {
        assert!(!case.rules.is_empty(), "{} names no rule", case.source);
        assert!(!case.checks.is_empty(), "{} asks nothing", case.source);
    }
    cases
}

/// Every file of refused policies, by name.
///
/// # Panics
/// If one cannot be read, or names no rule, or no problem.
#[must_use]
pub fn rejected() -> Vec<RejectedFile> {
    yaml_files(&folder().join("rejected")).iter().map(|path| read_rejected(path)).collect()
}

fn read_rejected(path: &Path) -> RejectedFile {
    let source = path.display().to_string();
    let text = fs::read_to_string(path).unwrap();
    let Some((policy, list)) = text.split_once("\nrejected:\n") else {
        panic!("{source} has no list `rejected` at its end");
    };
    let case = CaseFile::parse(&source, &format!("{policy}\nchecks: []\n"), |_| {
        Err("a refused policy stands in its own file".to_owned())
    });
    let case = case.unwrap_or_else(|error| panic!("{error}"));
    let lines = list.lines().filter(|line| !line.trim().is_empty());
    let problems: Vec<(String, String)> = lines
        .map(|line| problem(line).unwrap_or_else(|| panic!("{source}: `{line}` is no problem")))
        .collect();
    assert!(!case.rules.is_empty() && !problems.is_empty(), "{source} names no rule or problem");
    RejectedFile { case, problems }
}

/// Reads `- {code: CODE, contains: "words"}`.
fn problem(line: &str) -> Option<(String, String)> {
    let inner = line.trim().strip_prefix("- {code: ")?.strip_suffix("\"}")?;
    let (code, words) = inner.split_once(", contains: \"")?;
    (!words.contains(['"', '\\'])).then(|| (code.to_owned(), words.to_owned()))
}

/// The YAML files directly in a folder, by name.
///
/// # Panics
/// If the folder cannot be read or has none.
#[must_use]
pub fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|it| it == "yaml")).collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds no scenario", folder.display());
    files
}

/// Runs the files, prints what there was, and fails with everything that does not hold.
///
/// # Panics
/// If something does not.
pub fn run_all(door: &str, cases: &[CaseFile], mut run: impl FnMut(usize, &CaseFile) -> Report) {
    let (mut passed, mut failures) = (0, String::new());
    for (n, case) in cases.iter().enumerate() {
        let report = run(n, case);
        assert_eq!(report.outcomes.len(), case.checks.len(), "{}", case.source);
        passed += report.passed();
        for outcome in &report.outcomes {
            let Some(failure) = &outcome.failure else { continue };
            failures.push_str(&format!(
                "{}:{}: {}\n  expected {}\n  but got  {}\n{}\n",
                case.source,
                outcome.place.line,
                outcome.question,
                failure.expected,
                failure.actual,
                failure.explanation.as_deref().unwrap_or_default(),
            ));
        }
    }
    println!("{door}: {} files, {passed} checks hold", cases.len());
    assert!(failures.is_empty(), "{door}:\n{failures}");
}

/// Holds that these are the expected problems, in any order, but for some that were left out.
///
/// # Panics
/// If they are not.
pub fn hold(
    source: &str,
    expected: &[(String, String)],
    actual: impl Iterator<Item = (String, String)>,
    left_out: usize,
) {
    let mut missing: Vec<_> = expected.iter().collect();
    for (code, text) in actual {
        let found = missing.iter().position(|(its, words)| *its == code && text.contains(words));
        let Some(found) = found else {
            panic!("{source}: not expected: {code} `{text}`; missing are {missing:#?}");
        };
        missing.remove(found);
    }
    assert_eq!(missing.len(), left_out, "{source}: missing are {missing:#?}");
}
