//! Case files: unit tests for a policy. A file is a policy, an instant, and questions with the
//! answers they should get; who answers them is up to the caller ([`CaseFile::run`]).

mod run;

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use pdp_engine::permission::PermissionKind;
use pdp_engine::query::{Effect, Reason};
use pdp_engine::time::Timestamp;

pub use run::{Answer, Failure, Outcome, Report, run_in_process};

use crate::bundle::Bundle;
use crate::diagnostic::{BundleError, Place};
use crate::question::{OwnedObject, OwnedQuestion, OwnedSubject};
use crate::read::{At, Fields, Sink};
use crate::time::parse_time;
use crate::yaml::{self, MAX_BYTES};

/// A case file as read.
#[derive(Debug, Clone)]
pub struct CaseFile {
    /// The file, as its reader named it.
    pub source: String,
    /// What the file shows, in words.
    pub about: Option<String>,
    /// The numbers of the rules that the file shows.
    pub rules: Vec<String>,
    /// The policy.
    pub bundle: Bundle,
    /// The evaluation time; `None` is the caller's choice.
    pub now: Option<Timestamp>,
    /// The questions.
    pub checks: Vec<Check>,
}

/// A question and the answer it should get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What the check is called, if it has a name.
    pub name: Option<String>,
    /// Where it stands in the file.
    pub place: Place,
    /// The question.
    pub question: OwnedQuestion,
    /// The answer it should get.
    pub expect: Expectation,
}

/// What a check expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expectation {
    /// A decision.
    Decision {
        /// Its effect.
        effect: Effect,
        /// Its reason; any if `None`.
        reason: Option<Reason>,
        /// The ids of exactly the assignments that decide; any if `None`.
        deciding: Option<BTreeSet<String>>,
        /// The ids of exactly the assignments that a deny masks; any if `None`.
        masked: Option<BTreeSet<String>>,
    },
    /// A refusal of the question, with this code.
    Error {
        /// The status code.
        code: ErrorCode,
    },
}

/// Why a question may be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorCode {
    /// The question is malformed.
    InvalidArgument,
}

const EFFECTS: [(&str, Effect); 3] = [
    ("allow", Effect::Allow),
    ("deny", Effect::Deny),
    ("requires_approval", Effect::RequiresApproval),
];

const ERRORS: [(&str, ErrorCode); 1] =
    [(ErrorCode::InvalidArgument.as_str(), ErrorCode::InvalidArgument)];

// === impl ErrorCode ===

impl ErrorCode {
    /// The status code's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
        }
    }
}

// === impl CaseFile ===

impl CaseFile {
    /// Reads a case file. `load` gives the text of the file that `bundle_file` names, or says why
    /// it cannot; what it is given is the path as written.
    ///
    /// # Errors
    /// [`BundleError`] lists what is wrong with the case file or its bundle.
    pub fn parse(
        source: &str,
        text: &str,
        load: impl FnOnce(&str) -> Result<(String, String), String>,
    ) -> Result<Self, BundleError> {
        let root = yaml::parse(text).map_err(|error| Sink::syntax(source, error))?;
        let Some(root) = root else {
            return Err(BundleError::whole_file(source, "the case file is empty"));
        };
        let sink = Sink::new(source);
        let at = At::top(&sink, &root);
        let mut bundle = Bundle::empty(source, text, Some("bundle"));
        let mut file = None;
        let case = read(&at, source, &mut bundle, &mut file);
        let mut case = sink.finish(case)?;
        case.bundle = match file {
            None => bundle,
            Some((place, path)) => {
                let (source, text) = load(&path).map_err(|message| {
                    let key = "bundle_file".to_owned();
                    let source = source.to_owned();
                    let place = Some(place);
                    BundleError::of(vec![crate::diagnostic::Problem {
                        source,
                        place,
                        key,
                        message,
                    }])
                })?;
                crate::bundle::parse(&source, &text)?
            }
        };
        Ok(case)
    }

    /// Reads a case file and the bundle file it names, if it names one, from the file system.
    ///
    /// # Errors
    /// [`BundleError`] says what cannot be read or is wrong.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let source = path.display().to_string();
        let text = read_file(path)?;
        Self::parse(&source, &text, |relative| {
            let path = path.parent().unwrap_or_else(|| Path::new("")).join(relative);
            let text = read_file(&path).map_err(|error| error.to_string())?;
            Ok((path.display().to_string(), text))
        })
    }
}

/// Reads a bundle or case file as text, at most [`MAX_BYTES`] of it.
///
/// # Errors
/// [`BundleError`] says why it cannot be read.
pub fn read_file(path: &Path) -> Result<String, BundleError> {
    let fail = |message: String| BundleError::whole_file(path.display().to_string(), message);
    let unreadable = |error: std::io::Error| fail(format!("cannot be read: {error}"));
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > MAX_BYTES {
        return Err(fail(format!("has more than {MAX_BYTES} bytes, which is the limit")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        fail(format!("is not UTF-8 text: byte {valid} begins no character"))
    })
}

/// Reads everything but the bundle file; `bundle` takes an inline bundle, `file` the place and the
/// path of another.
fn read(
    at: &At<'_>,
    source: &str,
    bundle: &mut Bundle,
    file: &mut Option<(Place, String)>,
) -> Option<CaseFile> {
    let fields = at.fields(&["about", "rules", "bundle", "bundle_file", "now", "checks"])?;
    match (fields.get("bundle"), fields.get("bundle_file")) {
        (Some(inline), None) => bundle.read(&inline),
        (None, Some(path)) => *file = Some((path.node.place, path.text()?.to_owned())),
        (Some(_), Some(path)) => path.fail("a case file has `bundle` or `bundle_file`, not both"),
        (None, None) => at.fail("expected `bundle` or `bundle_file`"),
    }
    let checks = fields.required("checks");
    Some(CaseFile {
        source: source.to_owned(),
        about: fields.get("about").and_then(|at| at.text()).map(str::to_owned),
        rules: fields.list("rules", |at| at.text().map(str::to_owned)),
        bundle: Bundle::empty(source, "", None),
        now: fields.strict("now").and_then(|at| at.parsed(parse_time)),
        checks: checks
            .map_or_else(Vec::new, |list| list.items().filter_map(|at| check(&at)).collect()),
    })
}

fn check(at: &At<'_>) -> Option<Check> {
    let fields = at.fields(&[
        "name",
        "subject",
        "operation",
        "right",
        "resource",
        "counterpart",
        "routing",
        "expect",
    ])?;
    let subject = fields.required("subject").and_then(|at| at.parsed(OwnedSubject::parse));
    let permission = permission(&fields);
    let resource = fields.required("resource").and_then(|at| at.parsed(OwnedObject::parse));
    let counterpart = fields.get("counterpart").map(|at| at.parsed(OwnedObject::parse));
    let expect = fields.required("expect").and_then(|at| expectation(&at));
    let (kind, permission) = permission?;
    Some(Check {
        name: fields.get("name").and_then(|at| at.text()).map(str::to_owned),
        place: at.node.place,
        question: OwnedQuestion {
            subject: subject?,
            kind,
            permission,
            resource: resource?,
            counterpart: match counterpart {
                Some(counterpart) => Some(counterpart?),
                None => None,
            },
            routing: fields.flag("routing", true),
        },
        expect: expect?,
    })
}

fn permission(fields: &Fields<'_>) -> Option<(PermissionKind, String)> {
    match (fields.get("operation"), fields.get("right")) {
        (Some(name), None) => Some((PermissionKind::Operation, name.text()?.to_owned())),
        (None, Some(name)) => Some((PermissionKind::Right, name.text()?.to_owned())),
        (None, None) | (Some(_), Some(_)) => {
            fields.at().fail("expected exactly one of `operation`, `right`");
            None
        }
    }
}

fn expectation(at: &At<'_>) -> Option<Expectation> {
    if matches!(at.node.value, yaml::Value::Scalar { .. }) {
        let effect = at.word(&EFFECTS)?;
        return Some(Expectation::Decision { effect, reason: None, deciding: None, masked: None });
    }
    let fields = at.fields(&["effect", "reason", "deciding", "masked", "error"])?;
    if let Some(error) = fields.get("error") {
        for key in ["effect", "reason", "deciding", "masked"] {
            if let Some(other) = fields.get(key) {
                other.fail("a refusal is no decision: leave this out beside `error`");
            }
        }
        return Some(Expectation::Error { code: error.word(&ERRORS)? });
    }
    let effect = fields.required("effect").and_then(|at| at.word(&EFFECTS));
    let reasons = Reason::ALL.map(|reason| (reason.as_str(), reason));
    let reason = fields.strict("reason").map(|at| at.word(&reasons));
    let ids = |key: &str| {
        let list = fields.strict(key)?;
        Some(list.items().filter_map(|at| at.text().map(str::to_owned)).collect())
    };
    Some(Expectation::Decision {
        effect: effect?,
        reason: match reason {
            Some(reason) => Some(reason?),
            None => None,
        },
        deciding: ids("deciding"),
        masked: ids("masked"),
    })
}
