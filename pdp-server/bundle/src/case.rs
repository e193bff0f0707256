//! Case files: unit tests for a policy. A file is a policy, an instant, and questions with the
//! answers they should get; who answers them is up to the caller ([`CaseFile::run`]).

mod answer;
mod check;
mod expect;
mod run;
mod session;

use std::io::Read;
use std::path::Path;

use pdp_engine::time::Timestamp;

pub use answer::{Answer, Why};
pub use expect::{AccountWord, ErrorCode, Expectation, ExpectedObligations};
pub use run::{Detail, Failure, Outcome, Report, run_in_process};
pub use session::{CaseSession, CaseSessions};

use crate::bundle::Bundle;
use crate::diagnostic::{BundleError, Place, Problem};
use crate::question::AnyQuestion;
use crate::read::{At, Sink};
use crate::time::parse_time;
use crate::yaml::{self, MAX_BYTES};
use session::Mention;

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
    /// The sessions that exist besides the policy.
    pub open_sessions: Vec<CaseSession>,
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
    pub question: AnyQuestion,
    /// The answer it should get.
    pub expect: Expectation,
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
        let mut rest = Rest::default();
        let case = read(&at, source, &mut bundle, &mut rest);
        let mut case = sink.finish(case)?;
        case.bundle = match rest.file {
            None => bundle,
            Some((place, path)) => {
                let (bundle_source, text) = load(&path).map_err(|message| {
                    let key = "bundle_file".to_owned();
                    let source = source.to_owned();
                    BundleError::of(vec![Problem { source, place: Some(place), key, message }])
                })?;
                crate::bundle::parse(&bundle_source, &text)?
            }
        };
        let dangling = rest.mentions.into_iter().filter(|named| !case.bundle.has(&named.target));
        let dangling: Vec<_> = dangling
            .map(|Mention { place, key, target }| Problem {
                source: source.to_owned(),
                place: Some(place),
                key,
                message: format!("names {target}, which the bundle does not have"),
            })
            .collect();
        if dangling.is_empty() { Ok(case) } else { Err(BundleError::of(dangling)) }
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

/// What is left to do once a case file is read.
#[derive(Default)]
struct Rest {
    /// The place and the path of a bundle in another file.
    file: Option<(Place, String)>,
    mentions: Vec<Mention>,
}

/// Reads everything but the bundle file; `bundle` takes an inline bundle.
fn read(at: &At<'_>, source: &str, bundle: &mut Bundle, rest: &mut Rest) -> Option<CaseFile> {
    let fields =
        at.fields(&["about", "rules", "bundle", "bundle_file", "now", "open_sessions", "checks"])?;
    match (fields.get("bundle"), fields.get("bundle_file")) {
        (Some(inline), None) => bundle.read(&inline),
        (None, Some(path)) => rest.file = Some((path.node.place, path.text()?.to_owned())),
        (Some(_), Some(path)) => path.fail("a case file has `bundle` or `bundle_file`, not both"),
        (None, None) => at.fail("expected `bundle` or `bundle_file`"),
    }
    let checks = fields.required("checks");
    let open_sessions = fields.get("open_sessions");
    Some(CaseFile {
        source: source.to_owned(),
        about: fields.get("about").and_then(|at| at.text()).map(str::to_owned),
        rules: fields.list("rules", |at| at.text().map(str::to_owned)),
        bundle: Bundle::empty(source, "", None),
        now: fields.strict("now").and_then(|at| at.parsed(parse_time)),
        open_sessions: open_sessions
            .map_or_else(Vec::new, |list| session::sessions(&list, &mut rest.mentions)),
        checks: checks.map_or_else(Vec::new, |list| {
            list.items().filter_map(|at| check::check(&at)).collect()
        }),
    })
}
