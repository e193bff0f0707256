//! What went wrong, in a line or a few, and what to do about it.

use std::fmt;
use std::io;

use pdp_bundle::BundleError;
use pdp_client::{Code, Error, Refusal};
use serde_json::{Value, json};

use crate::behalf;
use crate::screen::{BAD, FAINT, paint};

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Problem {
    /// An argument cannot be used.
    Argument { name: &'static str, message: String },
    /// The server could not be asked, or refused.
    Server(Error),
    /// A file is unusable, or, with a headline, the change set made of it was refused.
    File { headline: Option<String>, error: BundleError },
    /// Something else.
    Message(String),
    /// Standard output cannot be written.
    Write(io::Error),
}

// === impl Problem ===

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Server(error)
    }
}

impl From<BundleError> for Problem {
    fn from(error: BundleError) -> Self {
        Self::File { headline: None, error }
    }
}

impl Problem {
    pub(crate) fn argument(name: &'static str, message: String) -> Self {
        Self::Argument { name, message }
    }

    /// The lines for a terminal. What a server or a file says cannot steer the terminal.
    pub(crate) fn painted(&self) -> String {
        let mut text = String::new();
        let harmless = |c: char| if c.is_control() && c != '\n' { '\u{fffd}' } else { c };
        let told: String = self.to_string().chars().map(harmless).collect();
        let mut lines = told.lines();
        let first = lines.next().unwrap_or_default();
        text.push_str(&format!("{} {first}\n", paint(BAD, "error:")));
        for line in lines {
            text.push_str(&format!("  {line}\n"));
        }
        if let Some(hint) = self.hint() {
            text.push_str(&format!("{} {hint}\n", paint(FAINT, "hint:")));
        }
        text
    }

    /// `{"error": {"code", "message", "argument"?, "reason"?, "metadata"?, "fields"?, "problems"?,
    /// "refused"?, "decision"?, "retry_after_ms"?}}`.
    pub(crate) fn json(&self) -> Value {
        let mut error = json!({"code": code_name(self.code()), "message": self.to_string()});
        let refusal = match self {
            Self::Server(error) => error.refusal(),
            Self::Argument { .. } | Self::File { .. } | Self::Message(_) | Self::Write(_) => None,
        };
        let mut add = |key: &str, value: Value| {
            if let Some(map) = error.as_object_mut() {
                map.insert(key.to_owned(), value);
            }
        };
        if let Self::Argument { name, .. } = self {
            add("argument", json!(name));
        }
        if let Self::File { headline: Some(_), .. } = self {
            add("reason", json!("CHANGE_SET_REJECTED"));
        }
        if let Self::File { error, .. } = self {
            add("problems", json!(lines_of(error)));
        }
        if let Some(refusal) = refusal {
            if !refusal.reason.is_empty() {
                add("reason", json!(refusal.reason));
            }
            if !refusal.metadata.is_empty() {
                add("metadata", json!(refusal.metadata));
            }
            let fields = refusal.fields.iter().map(
                |violation| json!({"field": violation.field, "description": violation.description}),
            );
            if !refusal.fields.is_empty() {
                add("fields", fields.collect());
            }
            if let Some(delegation) = &refusal.delegation {
                if let Some(decision) = &delegation.decision {
                    let (effect, reason) = (decision.effect.as_str(), decision.reason.to_string());
                    add("decision", json!({"effect": effect, "reason": reason}));
                } else {
                    add("refused", delegation.refused.iter().map(behalf::json).collect());
                }
            }
            if let Some(delay) = refusal.retry_delay {
                add("retry_after_ms", json!(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)));
            }
        }
        json!({ "error": error })
    }

    fn code(&self) -> Code {
        match self {
            Self::Argument { .. } => Code::InvalidArgument,
            Self::File { headline: None, .. } => Code::InvalidArgument,
            Self::File { headline: Some(_), .. } => Code::FailedPrecondition,
            Self::Server(error) => error.code(),
            Self::Message(_) => Code::FailedPrecondition,
            Self::Write(_) => Code::Internal,
        }
    }

    /// What to do about it, where that is not in the message.
    fn hint(&self) -> Option<&'static str> {
        let Self::Server(error) = self else { return None };
        match (error, error.reason()) {
            (Error::Unreachable { .. }, _) => Some(
                "start a server with `pdp-server demo` or `pdp-server serve`, or name another with --server or PDP_SERVER",
            ),
            (Error::DeadlineExceeded { .. }, _) => Some("give it longer with --timeout"),
            (_, Some("UNKNOWN_TENANT")) => Some("`pdpctl tenant list` shows the tenants"),
            (Error::Refused(refusal), Some("DELEGATION_REFUSED"))
                if refusal.delegation.as_ref().is_none_or(|why| why.decision.is_none()) =>
            {
                Some(
                    "`pdpctl delegation ... --explain` says what the person lacks; who may approve can apply it themselves",
                )
            }
            (_, Some("UNKNOWN_SESSION")) => Some(
                "`pdpctl session list` shows those that are open, and those that have ended as long as they are remembered",
            ),
            (_, Some("REQUEST_KEY_REUSED")) => {
                Some("`pdpctl session get --key KEY` shows what was opened with it")
            }
            (_, Some("REVISION_CONFLICT")) => Some(
                "somebody else changed the policy first; look at `pdpctl export` and apply again",
            ),
            // The server itself always gives a reason, and so do its services.
            (Error::Refused(refusal), None) if refusal.code != Code::NotFound => Some(
                "this is not the answer of a policy decision point; --server must be its gRPC address",
            ),
            _ => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument { name, message } => write!(f, "{name}: {message}"),
            Self::Server(Error::Refused(refusal)) => refused(f, refusal),
            Self::Server(error) => write!(f, "{error}"),
            Self::File { headline, error } => {
                match (headline, error.problems.as_slice()) {
                    (Some(headline), _) => writeln!(f, "{headline}")?,
                    (None, [first, _, ..]) => {
                        let count = error.problems.len() + error.omitted;
                        writeln!(f, "{} has {count} problems", first.source)?;
                    }
                    (None, _) => {}
                }
                write!(f, "{error}")
            }
            Self::Message(message) => f.write_str(message),
            Self::Write(error) => write!(f, "cannot write to standard output: {error}"),
        }
    }
}

/// The server's sentence. Where it lists several problems, each has a line instead.
fn refused(f: &mut fmt::Formatter<'_>, refusal: &Refusal) -> fmt::Result {
    if let Some(delegation) = &refusal.delegation {
        return f.write_str(&behalf::text(delegation));
    }
    if refusal.preconditions.is_empty() {
        return write!(f, "{refusal}");
    }
    f.write_str("the change set was refused; nothing was changed")?;
    for violation in &refusal.preconditions {
        write!(f, "\n{}: {}", violation.subject, violation.description)?;
    }
    let listed = refusal.preconditions.len();
    let all = refusal.metadata.get("problems").and_then(|count| count.parse::<usize>().ok());
    match all.and_then(|all| all.checked_sub(listed)) {
        Some(0) | None => Ok(()),
        Some(more) => write!(f, "\nand {more} more"),
    }
}

fn lines_of(error: &BundleError) -> Vec<String> {
    error.problems.iter().map(ToString::to_string).collect()
}

/// The code as the protocol writes it.
const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
