//! Everything that a request can fail with, and the one table from there to status codes and
//! `google.rpc` details. The table is documented for callers at the top of `decision.proto`.

mod published;
mod refusal;
mod rejected;

use std::collections::HashMap;
use std::time::Duration;

use pdp_engine::facts::{FactKey, Rejected};
use pdp_engine::id::{AccountId, TenantId};
use pdp_engine::query::Revision;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::malformed::Malformed;
use crate::admission::Shed;
use crate::callers::{Denied, Forbidden, Lost};
use crate::publish::{DEFAULT_TENANT, LogError, Refusal, RequestId, UnknownTenant, WatchError};
use crate::session::{MAX_ACCOUNTS, MAX_SESSIONS, MAX_SESSIONS_OF_ACCOUNT, StepError};

/// The domain of every `ErrorInfo`.
pub const ERROR_DOMAIN: &str = "pdp";

/// How long to wait before trying again where something is being started, ended or mended.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// How long to wait before asking again for a revision that had not arrived.
const REVISION_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Why a request has no answer. None of these is ever an ALLOW.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{}", .0.message)]
    Malformed(Malformed),
    #[error("`{field}` has {actual} {unit}; the limit is {maximum}")]
    Limit {
        /// The limit's name, for details.
        limit: &'static str,
        field: &'static str,
        unit: &'static str,
        maximum: usize,
        actual: usize,
    },
    #[error("{message}")]
    MessageTooLarge {
        /// The limit's name, for details.
        limit: &'static str,
        message: String,
    },
    #[error("{0}")]
    PolicyTooLarge(String),
    #[error("{live} streams are open already; the limit is {maximum}")]
    TooManyStreams { limit: &'static str, live: usize, maximum: usize },
    #[error("nothing has gone over the stream for {} s", .idle.as_secs_f64())]
    StreamIdle { idle: Duration },
    #[error("{maximum} lists are being made already, which is the limit; try again")]
    TooManyLists { maximum: usize },
    #[error("{maximum} imports are under way already, which is the limit; try again")]
    TooManyImports { maximum: usize },
    #[error("the import did not arrive within {} s; nothing was applied", .limit.as_secs_f64())]
    ImportTooSlow { limit: Duration },
    #[error("the import broke off, and nothing was applied: {}", .0.message())]
    Transport(Status),
    #[error(transparent)]
    Shed(#[from] Shed),
    #[error("the time that the request had was over before its turn came; nothing was done")]
    DeadlineExpired,
    #[error("there was no answer within {} s", .after.as_secs_f64())]
    DeadlineExceeded { after: Duration },
    #[error("nobody waits for the answer any more")]
    CallerGone,
    #[error("this is no page token of this server; start the list again")]
    PageTokenInvalid,
    #[error("the page token belongs to another list; start this list without one")]
    PageTokenMismatch,
    #[error(
        "the list was read from revision {token}, and the policy is at revision {actual} now; start the list again"
    )]
    PageTokenExpired { token: Revision, actual: Revision },
    #[error(transparent)]
    UnknownTenant(#[from] UnknownTenant),
    #[error("{0} does not exist")]
    UnknownFact(FactKey),
    #[error("tenant `{0}` exists already")]
    TenantExists(TenantId),
    #[error("tenant `{DEFAULT_TENANT}` cannot be deleted")]
    TenantProtected,
    #[error("request id `{0}` was used for another change set; give each change set its own")]
    RequestIdReused(RequestId),
    #[error(transparent)]
    Step(StepError),
    #[error("{0}")]
    TenantHasSessions(String),
    #[error("account `{0}` was made for a session; choose another id")]
    SessionAccount(AccountId),
    #[error("the change set was refused")]
    Rejected(Rejected),
    #[error("the change set was refused for person `{}`", .0.person)]
    Refused(Box<Refusal>),
    #[error("the policy is at revision {actual}, not {expected} as expected; read it again")]
    RevisionConflict { expected: Revision, actual: Revision },
    #[error("revision {at_least} has not arrived; the policy is at revision {actual}")]
    RevisionNotReached { at_least: Revision, actual: Revision },
    #[error(transparent)]
    PositionTooOld(Box<WatchError>),
    #[error(transparent)]
    PositionUnknown(Box<WatchError>),
    #[error("there is no such method")]
    UnknownMethod,
    #[error(transparent)]
    Unauthenticated(Denied),
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("{0}")]
    Store(String),
    #[error(transparent)]
    Log(LogError),
    #[error("the server that is followed cannot be reached: {0}")]
    Unreachable(String),
    #[error("the server is loading its policy")]
    Starting,
    #[error("the server is shutting down")]
    ShuttingDown,
    #[error("{0}")]
    Broken(String),
    #[error("an internal error; the server's log has the details")]
    Internal,
}

/// Name and value of a piece of metadata.
type Fact = (&'static str, String);

// === impl Failure ===

impl Failure {
    /// A message has more than `max_message_bytes`.
    pub(super) fn message_too_large(message: &str) -> Self {
        Self::MessageTooLarge { limit: "max_message_bytes", message: message.to_owned() }
    }

    /// The gRPC status code.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Malformed(_)
            | Self::Limit { .. }
            | Self::MessageTooLarge { .. }
            | Self::PolicyTooLarge(_)
            | Self::PageTokenInvalid
            | Self::PageTokenMismatch
            | Self::PageTokenExpired { .. } => Code::InvalidArgument,
            Self::UnknownTenant(_) | Self::UnknownFact(_) => Code::NotFound,
            Self::TenantExists(_) | Self::RequestIdReused(_) => Code::AlreadyExists,
            Self::Rejected(_)
            | Self::TenantProtected
            | Self::TenantHasSessions(_)
            | Self::SessionAccount(_) => Code::FailedPrecondition,
            Self::Step(error) => match error {
                StepError::Malformed(_) | StepError::AccountName(_) => Code::InvalidArgument,
                StepError::KeyReused(_) => Code::AlreadyExists,
                StepError::TooMany(_)
                | StepError::TooManyOfAccount(_)
                | StepError::TooManyAccounts(_) => Code::ResourceExhausted,
                StepError::UnknownSession(_) | StepError::UnknownRevocation(_) => Code::NotFound,
            },
            Self::UnknownMethod => Code::Unimplemented,
            Self::Refused(_) | Self::Forbidden(_) => Code::PermissionDenied,
            Self::Unauthenticated(Denied::Busy) => Code::Unavailable,
            Self::Unauthenticated(_) => Code::Unauthenticated,
            Self::RevisionConflict { .. } => Code::Aborted,
            Self::PositionTooOld(_) | Self::PositionUnknown(_) => Code::OutOfRange,
            Self::Shed(_)
            | Self::TooManyStreams { .. }
            | Self::TooManyLists { .. }
            | Self::TooManyImports { .. } => Code::ResourceExhausted,
            Self::ImportTooSlow { .. } | Self::DeadlineExpired | Self::DeadlineExceeded { .. } => {
                Code::DeadlineExceeded
            }
            Self::Transport(status) => status.code(),
            Self::CallerGone => Code::Cancelled,
            Self::RevisionNotReached { .. }
            | Self::StreamIdle { .. }
            | Self::Store(_)
            | Self::Log(_)
            | Self::Unreachable(_)
            | Self::Starting
            | Self::ShuttingDown => Code::Unavailable,
            Self::Broken(_) | Self::Internal => Code::Internal,
        }
    }

    /// The stable reason.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "MALFORMED",
            Self::Limit { .. } | Self::MessageTooLarge { .. } | Self::PolicyTooLarge(_) => {
                "LIMIT_EXCEEDED"
            }
            Self::TooManyStreams { .. } => "TOO_MANY_STREAMS",
            Self::StreamIdle { .. } => "STREAM_IDLE",
            Self::TooManyLists { .. } => "TOO_MANY_LISTS",
            Self::TooManyImports { .. } => "TOO_MANY_IMPORTS",
            Self::ImportTooSlow { .. } => "IMPORT_TOO_SLOW",
            Self::Transport(_) => "IMPORT_BROKEN_OFF",
            Self::Shed(Shed::Queue { .. }) => "OVERLOADED",
            Self::Shed(Shed::Rate { .. }) => "RATE_LIMITED",
            Self::Shed(Shed::Connections { .. } | Shed::AddressConnections { .. }) => {
                "TOO_MANY_CONNECTIONS"
            }
            Self::Shed(_) => "TOO_MANY_REQUESTS",
            Self::DeadlineExpired => "DEADLINE_EXPIRED",
            Self::DeadlineExceeded { .. } => "DEADLINE_EXCEEDED",
            Self::CallerGone => "CALLER_GONE",
            Self::PageTokenInvalid => "PAGE_TOKEN_INVALID",
            Self::PageTokenMismatch => "PAGE_TOKEN_MISMATCH",
            Self::PageTokenExpired { .. } => "PAGE_TOKEN_EXPIRED",
            Self::UnknownTenant(_) => "UNKNOWN_TENANT",
            Self::UnknownFact(_) => "UNKNOWN_FACT",
            Self::TenantExists(_) => "TENANT_EXISTS",
            Self::TenantProtected => "TENANT_PROTECTED",
            Self::RequestIdReused(_) => "REQUEST_ID_REUSED",
            Self::TenantHasSessions(_) => "TENANT_HAS_SESSIONS",
            Self::SessionAccount(_) => "SESSION_ACCOUNT",
            Self::Step(error) => match error {
                StepError::Malformed(_) => "MALFORMED",
                StepError::AccountName(_) => "ACCOUNT_NAME_TOO_LONG",
                StepError::KeyReused(_) => "REQUEST_KEY_REUSED",
                StepError::TooMany(_) | StepError::TooManyOfAccount(_) => "TOO_MANY_SESSIONS",
                StepError::TooManyAccounts(_) => "TOO_MANY_ACCOUNTS",
                StepError::UnknownSession(_) => "UNKNOWN_SESSION",
                StepError::UnknownRevocation(_) => "UNKNOWN_REVOCATION",
            },
            Self::Rejected(_) => "CHANGE_SET_REJECTED",
            Self::Refused(_) => "DELEGATION_REFUSED",
            Self::RevisionConflict { .. } => "REVISION_CONFLICT",
            Self::RevisionNotReached { .. } => "REVISION_NOT_REACHED",
            Self::PositionTooOld(_) => "POSITION_TOO_OLD",
            Self::PositionUnknown(_) => "POSITION_UNKNOWN",
            Self::Unauthenticated(denied) => match denied {
                Denied::Missing => "CREDENTIALS_MISSING",
                Denied::ExpiredKey | Denied::ExpiredCertificate | Denied::ExpiredToken => {
                    "CREDENTIALS_EXPIRED"
                }
                Denied::Busy => "AUTHENTICATION_BUSY",
                // Which part of them is wrong helps nobody who has good ones.
                _ => "CREDENTIALS_INVALID",
            },
            Self::UnknownMethod => "UNKNOWN_METHOD",
            Self::Forbidden(_) => "ROLE_MISSING",
            Self::Store(_) => "STORE_UNAVAILABLE",
            Self::Log(LogError::Unavailable(_)) => "LOG_UNAVAILABLE",
            Self::Log(LogError::Full(_)) => "LOG_FULL",
            Self::Log(_) => "LOG_UNUSABLE",
            Self::Unreachable(_) => "SERVER_UNREACHABLE",
            Self::Starting => "STARTING",
            Self::ShuttingDown => "SHUTTING_DOWN",
            Self::Broken(_) | Self::Internal => "INTERNAL",
        }
    }

    /// Whether something is wrong here that operators should look at.
    pub(crate) const fn is_for_operators(&self) -> bool {
        matches!(self, Self::Store(_) | Self::Log(_) | Self::Broken(_) | Self::Internal)
    }

    /// What a program needs to know besides the reason.
    fn metadata(&self) -> Vec<Fact> {
        match self {
            Self::Limit { limit, maximum, actual, .. } => vec![
                ("limit", (*limit).to_owned()),
                ("maximum", maximum.to_string()),
                ("actual", actual.to_string()),
            ],
            Self::MessageTooLarge { limit, .. } => vec![("limit", (*limit).to_owned())],
            Self::PolicyTooLarge(_) => vec![("limit", "compiled_policy".to_owned())],
            Self::TooManyStreams { limit, live, maximum } => vec![
                ("limit", (*limit).to_owned()),
                ("maximum", maximum.to_string()),
                ("actual", live.to_string()),
            ],
            Self::TooManyLists { maximum } => of_limit(("max_running_lists", maximum.to_string())),
            Self::TooManyImports { maximum } => of_limit(("max_imports", maximum.to_string())),
            Self::ImportTooSlow { limit } => vec![("limit_ms", limit.as_millis().to_string())],
            Self::Shed(shed) => of_limit(shed.limit()),
            Self::DeadlineExceeded { after } => vec![("after_ms", after.as_millis().to_string())],
            Self::PageTokenExpired { token, actual } => {
                vec![("token", token.to_string()), ("actual", actual.to_string())]
            }
            Self::UnknownTenant(UnknownTenant(tenant)) => vec![("tenant", tenant.clone())],
            Self::UnknownFact(key) => {
                vec![("kind", key.kind().as_str().to_owned()), ("name", key.name())]
            }
            Self::TenantExists(tenant) => vec![("tenant", tenant.to_string())],
            Self::TenantProtected => vec![("tenant", DEFAULT_TENANT.to_owned())],
            Self::RequestIdReused(id) => vec![("request_id", id.to_string())],
            Self::Rejected(Rejected { rejections }) => {
                vec![("problems", rejections.len().to_string())]
            }
            Self::Refused(refusal) => vec![
                ("on_behalf_of", refusal.person.to_string()),
                ("refused", refusal.total.to_string()),
                ("revision", refusal.revision.to_string()),
            ],
            Self::RevisionConflict { expected, actual } => {
                vec![("expected", expected.to_string()), ("actual", actual.to_string())]
            }
            Self::RevisionNotReached { at_least, actual } => {
                vec![("at_least", at_least.to_string()), ("actual", actual.to_string())]
            }
            Self::PositionTooOld(it) | Self::PositionUnknown(it) => published::of_position(it),
            Self::Step(error) => of_step(error),
            Self::SessionAccount(account) => vec![("account", account.to_string())],
            Self::Forbidden(Forbidden::Role { role, tenant }) => {
                vec![("role", role.to_string()), ("tenant", tenant.to_string())]
            }
            Self::Forbidden(Forbidden::Everywhere(role) | Forbidden::Nowhere(role)) => {
                vec![("role", role.to_string())]
            }
            Self::Forbidden(Forbidden::NoRole)
            | Self::UnknownMethod
            | Self::Unauthenticated(_)
            | Self::Malformed(_)
            | Self::StreamIdle { .. }
            | Self::TenantHasSessions(_)
            | Self::DeadlineExpired
            | Self::CallerGone
            | Self::Transport(_)
            | Self::PageTokenInvalid
            | Self::PageTokenMismatch
            | Self::Store(_)
            | Self::Log(_)
            | Self::Unreachable(_)
            | Self::Starting
            | Self::ShuttingDown
            | Self::Broken(_)
            | Self::Internal => Vec::new(),
        }
    }

    /// How long to wait before trying again, where that helps.
    pub(super) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RevisionNotReached { .. } => Some(REVISION_RETRY_DELAY),
            Self::Shed(Shed::Rate { after, maximum: _ }) => Some(*after),
            Self::Shed(_)
            | Self::TooManyStreams { .. }
            | Self::TooManyLists { .. }
            | Self::TooManyImports { .. }
            | Self::Step(StepError::TooMany(_))
            | Self::Unauthenticated(Denied::Busy)
            | Self::Store(_)
            | Self::Log(_)
            | Self::Unreachable(_)
            | Self::Starting
            | Self::ShuttingDown => Some(RETRY_DELAY),
            Self::Malformed(_)
            | Self::StreamIdle { .. }
            | Self::Limit { .. }
            | Self::MessageTooLarge { .. }
            | Self::PolicyTooLarge(_)
            | Self::DeadlineExpired
            | Self::DeadlineExceeded { .. }
            | Self::CallerGone
            | Self::ImportTooSlow { .. }
            | Self::Transport(_)
            | Self::PageTokenInvalid
            | Self::PageTokenMismatch
            | Self::PageTokenExpired { .. }
            | Self::UnknownTenant(_)
            | Self::UnknownFact(_)
            | Self::TenantExists(_)
            | Self::TenantProtected
            | Self::RequestIdReused(_)
            | Self::Step(_)
            | Self::TenantHasSessions(_)
            | Self::SessionAccount(_)
            | Self::UnknownMethod
            | Self::Unauthenticated(_)
            | Self::Forbidden(_)
            | Self::Rejected(_)
            | Self::Refused(_)
            | Self::RevisionConflict { .. }
            | Self::PositionTooOld(_)
            | Self::PositionUnknown(_)
            | Self::Broken(_)
            | Self::Internal => None,
        }
    }

    /// The sentence and the details that name fields.
    fn describe(&self, details: &mut ErrorDetails) -> String {
        match self {
            Self::Malformed(Malformed { path, message }) => {
                details.add_bad_request_violation(path, message);
                if path.is_empty() { message.clone() } else { format!("`{path}`: {message}") }
            }
            Self::Limit { field, .. } => {
                details.add_bad_request_violation(*field, self.to_string());
                self.to_string()
            }
            Self::PageTokenInvalid | Self::PageTokenMismatch | Self::PageTokenExpired { .. } => {
                details.add_bad_request_violation("page_token", self.to_string());
                self.to_string()
            }
            Self::Rejected(rejected) => rejected::describe(rejected, details),
            Self::Refused(refusal) => refusal::sentence(refusal),
            _ => self.to_string(),
        }
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let mut details = ErrorDetails::new();
        let metadata: HashMap<String, String> =
            failure.metadata().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        details.set_error_info(failure.reason(), ERROR_DOMAIN, metadata);
        if let Some(delay) = failure.retry_after() {
            details.set_retry_info(Some(delay));
        }
        let message = failure.describe(&mut details);
        match &failure {
            Failure::Refused(refusal) => refusal::status(refusal, message, details),
            _ => Self::with_error_details(failure.code(), message, details),
        }
    }
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<Lost> for Failure {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Denied(denied) => Self::Unauthenticated(denied),
            Lost::Forbidden(forbidden) => Self::Forbidden(forbidden),
        }
    }
}

/// Which limit there are as many for as there may be.
fn of_limit((limit, maximum): (&'static str, String)) -> Vec<Fact> {
    vec![("limit", limit.to_owned()), ("maximum", maximum)]
}

/// What a program needs to know of a step of a session that was not taken.
fn of_step(error: &StepError) -> Vec<Fact> {
    match error {
        StepError::KeyReused(key) => vec![("request_key", key.to_string())],
        StepError::TooMany(actual) => vec![
            ("limit", "max_sessions".to_owned()),
            ("maximum", MAX_SESSIONS.to_string()),
            ("actual", actual.to_string()),
        ],
        StepError::TooManyOfAccount(account) => vec![
            ("limit", "max_sessions_of_account".to_owned()),
            ("maximum", MAX_SESSIONS_OF_ACCOUNT.to_string()),
            ("account", account.to_string()),
        ],
        StepError::TooManyAccounts(actual) => vec![
            ("limit", "max_session_accounts".to_owned()),
            ("maximum", MAX_ACCOUNTS.to_string()),
            ("actual", actual.to_string()),
        ],
        StepError::UnknownSession(id) => vec![("session", id.clone())],
        StepError::UnknownRevocation(id) => vec![("revocation", id.clone())],
        StepError::Malformed(_) | StepError::AccountName(_) => Vec::new(),
    }
}
