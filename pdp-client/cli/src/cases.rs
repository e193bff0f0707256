//! `test`: case files run against the engine itself.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use pdp_bundle::case::{CaseFile, Outcome, Report, read_file, run_in_process};
use pdp_bundle::time::format_time;
use pdp_bundle::{BundleError, parse};
use pdp_engine::time::Timestamp;
use serde_json::{Map, Value, json};

use crate::exit::Exit;
use crate::problem::Problem;
use crate::screen::{BAD, FAINT, GOOD, STRONG, Screen, paint};

/// The extensions that a case file in a directory may have.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// How deep directories are searched.
const MAX_DIRECTORY_DEPTH: usize = 32;

/// What became of one file.
enum Ran {
    Report(Report),
    Unusable {
        file: String,
        error: BundleError,
    },
    /// Found in a directory and a policy bundle, such as one that case files name.
    Bundle {
        file: String,
    },
}

/// Runs every case file and prints what became of it.
pub(crate) fn test(
    paths: &[PathBuf],
    now: Option<Timestamp>,
    screen: &mut Screen,
) -> Result<Exit, Problem> {
    let now = now.unwrap_or_else(clock);
    let mut ran = Vec::new();
    for path in paths {
        if path.is_dir() {
            let mut files = Vec::new();
            collect(path, 0, &mut files)?;
            if files.is_empty() {
                let path = path.display();
                let message = format!("`{path}` holds no .yaml, .yml or .json file");
                return Err(Problem::argument("PATH", message));
            }
            files.sort();
            ran.extend(files.iter().map(|file| run(file, true, now)));
        } else {
            ran.push(run(path, false, now));
        }
    }
    let totals = Totals::of(&ran);
    screen.answer(|| text(&ran, &totals), || report_json(&ran, &totals))?;
    Ok(totals.exit())
}

fn run(path: &Path, in_directory: bool, now: Timestamp) -> Ran {
    let file = path.display().to_string();
    match CaseFile::open(path).and_then(|case| run_in_process(&case, now)) {
        Ok(report) => Ran::Report(report),
        Err(_) if in_directory && is_bundle(&file, path) => Ran::Bundle { file },
        Err(error) => Ran::Unusable { file, error },
    }
}

fn is_bundle(file: &str, path: &Path) -> bool {
    read_file(path).is_ok_and(|text| parse(file, &text).is_ok())
}

fn collect(directory: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), Problem> {
    let unreadable = |error: std::io::Error| {
        let directory = directory.display();
        Problem::argument("PATH", format!("`{directory}` cannot be read: {error}"))
    };
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path();
        // Links to directories are not followed: they may lead round in a circle.
        if entry.file_type().map_err(unreadable)?.is_dir() {
            if depth >= MAX_DIRECTORY_DEPTH {
                let directory = path.display();
                let message = format!("`{directory}` lies more than {MAX_DIRECTORY_DEPTH} deep");
                return Err(Problem::argument("PATH", message));
            }
            collect(&path, depth + 1, files)?;
        } else if path.extension().is_some_and(|e| EXTENSIONS.iter().any(|known| e == *known)) {
            files.push(path);
        }
    }
    Ok(())
}

/// The time on the clock of this machine.
fn clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

struct Totals {
    files: usize,
    checks: usize,
    failed: usize,
    unusable: usize,
    bundles: usize,
}

// === impl Totals ===

impl Totals {
    fn of(ran: &[Ran]) -> Self {
        let mut totals = Self { files: 0, checks: 0, failed: 0, unusable: 0, bundles: 0 };
        for ran in ran {
            match ran {
                Ran::Report(report) => {
                    totals.files += 1;
                    totals.checks += report.outcomes.len();
                    totals.failed += report.failed();
                }
                Ran::Unusable { .. } => totals.unusable += 1,
                Ran::Bundle { .. } => totals.bundles += 1,
            }
        }
        totals
    }

    /// A run that checked nothing has shown nothing.
    const fn exit(&self) -> Exit {
        if self.unusable > 0 || self.files == 0 {
            Exit::Error
        } else if self.failed > 0 {
            Exit::No
        } else {
            Exit::Success
        }
    }

    fn line(&self) -> String {
        let Self { files, checks, failed, unusable, bundles } = self;
        let mut text = match (files, failed) {
            (0, _) => paint(BAD, "nothing was checked"),
            (_, 0) => paint(GOOD, &format!("{} passed", counted(*checks, "check"))),
            _ => paint(BAD, &format!("{failed} of {} failed", counted(*checks, "check"))),
        };
        if *files > 0 {
            text.push_str(&format!(" in {}", counted(*files, "case file")));
        }
        if *unusable > 0 {
            let unusable = format!("{} cannot be used", counted(*unusable, "file"));
            text.push_str(&format!("; {}", paint(BAD, &unusable)));
        }
        if *bundles > 0 {
            text.push_str(&format!("; {} left alone", counted(*bundles, "policy bundle")));
        }
        text.push('\n');
        text
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn text(ran: &[Ran], totals: &Totals) -> String {
    let mut text = String::new();
    for ran in ran {
        match ran {
            Ran::Report(report) => push_report(&mut text, report),
            Ran::Unusable { file, error } => {
                text.push_str(&format!("{}  {file}\n", paint(BAD, "error ")));
                for line in error.to_string().lines() {
                    text.push_str(&format!("        {line}\n"));
                }
            }
            Ran::Bundle { file } => {
                text.push_str(&paint(FAINT, &format!("bundle  {file}")));
                text.push('\n');
            }
        }
    }
    text.push_str(&totals.line());
    text
}

fn push_report(text: &mut String, report: &Report) {
    let (total, failed) = (counted(report.outcomes.len(), "check"), report.failed());
    let source = &report.source;
    if failed == 0 {
        let total = paint(FAINT, &total);
        text.push_str(&format!("{}  {source}  {total}\n", paint(GOOD, "ok    ")));
        return;
    }
    let failing = format!("{failed} of {total} failed at {}", format_time(report.now));
    text.push_str(&format!("{}  {source}  {failing}\n", paint(BAD, "FAILED")));
    for outcome in &report.outcomes {
        let Outcome { name, place, question, failure: Some(failure) } = outcome else { continue };
        let name = name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        let title = format!("{source}:{}:{}", place.line, place.column);
        text.push_str(&format!("        {}: {name}{question}\n", paint(STRONG, &title)));
        let (expected, actual) = (&failure.expected, &failure.actual);
        text.push_str(&format!("          expected  {}\n", paint(GOOD, expected)));
        text.push_str(&format!("          actual    {}\n", paint(BAD, actual)));
        for line in failure.explanation.iter().flat_map(|text| text.lines()) {
            text.push_str(&paint(FAINT, &format!("          {line}")));
            text.push('\n');
        }
    }
}

fn report_json(ran: &[Ran], totals: &Totals) -> Value {
    let file = |ran: &Ran| match ran {
        Ran::Report(report) => Some(json!({
            "file": report.source,
            "now": format_time(report.now),
            "checks": report.outcomes.len(),
            "failures": report.outcomes.iter().filter_map(failure_json).collect::<Vec<_>>(),
        })),
        Ran::Unusable { file, error } => {
            let problems: Vec<_> = error.problems.iter().map(ToString::to_string).collect();
            Some(json!({"file": file, "problems": problems}))
        }
        Ran::Bundle { .. } => None,
    };
    json!({
        "checks": totals.checks,
        "failed": totals.failed,
        "unusable": totals.unusable,
        "files": ran.iter().filter_map(file).collect::<Vec<_>>(),
    })
}

fn failure_json(outcome: &Outcome) -> Option<Value> {
    let Outcome { name, place, question, failure } = outcome;
    let failure = failure.as_ref()?;
    let mut map = Map::new();
    let mut add = |key: &str, value: Value| map.insert(key.to_owned(), value);
    add("line", json!(place.line));
    add("column", json!(place.column));
    if let Some(name) = name {
        add("name", json!(name));
    }
    add("question", json!(question));
    add("expected", json!(failure.expected));
    add("actual", json!(failure.actual));
    if let Some(explanation) = &failure.explanation {
        add("explanation", json!(explanation));
    }
    Some(Value::Object(map))
}
