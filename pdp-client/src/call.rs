//! One call: its deadline, and what became of it.

use std::error::Error as StdError;
use std::future::Future;
use std::time::Duration;

use h2::Reason;
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Status};

use crate::refusal::Refusal;

/// The reasons with which a server that cannot be asked says `UNAVAILABLE`. With any other it can, and says that
/// it could not do this: the revision has not arrived, the store takes no writes, somebody floods it with
/// credentials. Without a reason it was something on the way that answered.
const AWAY: [&str; 3] = ["", "STARTING", "SHUTTING_DOWN"];

/// Why a call has no result. Never a decision: neither an `ALLOW` nor a `DENY`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address, or another setting of the client, cannot be used.
    #[error("{message}")]
    Setting {
        /// What is wrong and what was expected.
        message: String,
    },
    /// The server cannot be reached, or the connection to it broke.
    #[error("cannot reach {endpoint}: {message}")]
    Unreachable {
        /// The server's address.
        endpoint: String,
        /// Why, in the words of the operating system or the transport.
        message: String,
    },
    /// There was no answer in time. A change set may have been applied, and a session opened,
    /// nevertheless: sending it again with the same request id, or key, is safe.
    #[error("{endpoint} did not answer within {}", shown(*.deadline))]
    DeadlineExceeded {
        /// The server's address.
        endpoint: String,
        /// How long was waited.
        deadline: Duration,
    },
    /// The server answered with an error.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// The server answered something that does not follow the protocol, or that this version of
    /// the client does not know.
    #[error("the server's answer cannot be used: {message}")]
    Protocol {
        /// What is wrong with it.
        message: String,
    },
    /// The operating system gave no random numbers for a request id.
    #[error("cannot make a request id: {message}")]
    NoRandomness {
        /// Its message.
        message: String,
    },
}

// === impl Error ===

impl Error {
    pub(crate) fn protocol(message: impl Into<String>) -> Self {
        Self::Protocol { message: message.into() }
    }

    /// The gRPC status code: the server's, or the one that fits what happened here.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Setting { .. } => Code::InvalidArgument,
            Self::Unreachable { .. } => Code::Unavailable,
            Self::DeadlineExceeded { .. } => Code::DeadlineExceeded,
            Self::Refused(refusal) => refusal.code,
            Self::Protocol { .. } | Self::NoRandomness { .. } => Code::Internal,
        }
    }

    /// What the server said, if it was the server that refused.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// The server's stable reason, such as `UNKNOWN_TENANT`, if it gave one.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.refusal().map(|refusal| refusal.reason.as_str()).filter(|reason| !reason.is_empty())
    }

    /// How long the server asks to wait before trying again, if it does.
    #[must_use]
    pub fn retry_delay(&self) -> Option<Duration> {
        self.refusal().and_then(|refusal| refusal.retry_delay)
    }

    /// The connection broke, in these words.
    pub(crate) fn lost(endpoint: &str, message: &str) -> Self {
        Self::Unreachable { endpoint: endpoint.to_owned(), message: message.to_owned() }
    }

    /// What a status means: the server's own word, or something that happened on the way.
    pub(crate) fn from_status(endpoint: &str, status: &Status) -> Self {
        // Only a status that was made here has a source.
        let Some(cause) = causes(status).last() else {
            return Self::Refused(Box::new(Refusal::from_status(status)));
        };
        let said = cause_in_words(cause);
        let ended = causes(status).find_map(|cause| cause.downcast_ref()).and_then(code_of);
        match (ended.unwrap_or(status.code()), ended) {
            (Code::Unavailable | Code::Unknown | Code::Cancelled, _) => Self::lost(endpoint, &said),
            (Code::Internal, Some(_)) => Self::protocol(said),
            (code, Some(_)) => Self::Refused(Box::new(Refusal::new(code, said, String::new()))),
            (_, None) => Self::Refused(Box::new(Refusal::from_status(status))),
        }
    }

    /// Whether there was no server to ask: its connection failed, or it begins or ends.
    pub(crate) fn is_away(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused(refusal) => {
                refusal.code == Code::Unavailable && AWAY.contains(&refusal.reason.as_str())
            }
            _ => false,
        }
    }

    /// Whether no server said anything: there was none to ask, or none answered in time.
    pub(crate) fn is_silence(&self) -> bool {
        self.is_away() || matches!(self, Self::DeadlineExceeded { .. })
    }

    /// Whether a new attempt would be told the same.
    pub(crate) fn is_final(&self) -> bool {
        matches!(
            self.code(),
            Code::InvalidArgument
                | Code::NotFound
                | Code::AlreadyExists
                | Code::PermissionDenied
                | Code::FailedPrecondition
                | Code::OutOfRange
                | Code::Unimplemented
                | Code::Unauthenticated
        )
    }
}

fn shown(deadline: Duration) -> String {
    format!("{} s", deadline.as_secs_f64())
}

/// The deadline of one call, for all of its attempts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    length: Duration,
    end: Instant,
}

// === impl Deadline ===

impl Deadline {
    /// It begins now.
    pub(crate) fn of(length: Duration) -> Self {
        Self { length, end: Instant::now() + length }
    }

    /// What is left of it.
    pub(crate) fn remaining(self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// Waits for one answer, no longer than this.
    pub(crate) async fn wait<T>(
        self,
        endpoint: &str,
        answer: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Error> {
        match timeout_at(self.end, answer).await {
            Ok(answer) => answer.map_err(|status| self.error(endpoint, &status)),
            Err(_elapsed) => Err(self.exceeded(endpoint)),
        }
    }

    pub(crate) fn exceeded(self, endpoint: &str) -> Error {
        Error::DeadlineExceeded { endpoint: endpoint.to_owned(), deadline: self.length }
    }

    /// [`Error::from_status`], where the status may be that this is over.
    pub(crate) fn error(self, endpoint: &str, status: &Status) -> Error {
        let timed_out = causes(status).any(|cause| cause.is::<tonic::TimeoutExpired>());
        if timed_out || status.code() == Code::DeadlineExceeded {
            return self.exceeded(endpoint);
        }
        Error::from_status(endpoint, status)
    }
}

fn causes(status: &Status) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(status.source(), |&cause| cause.source())
}

/// What HTTP/2 says of a request that it has ended, as a code. Which code tonic has for that depends on how it is
/// built.
fn code_of(error: &h2::Error) -> Option<Code> {
    Some(match error.reason()? {
        // Who goes away without an error has not taken the request on (RFC 9113, section 6.8).
        Reason::NO_ERROR if error.is_go_away() => Code::Unavailable,
        Reason::REFUSED_STREAM
        | Reason::STREAM_CLOSED
        | Reason::CANCEL
        | Reason::HTTP_1_1_REQUIRED => Code::Unavailable,
        Reason::ENHANCE_YOUR_CALM => Code::ResourceExhausted,
        Reason::INADEQUATE_SECURITY => Code::PermissionDenied,
        _ => Code::Internal,
    })
}

/// The first cause of a failure, which says most; without the number of the operating system.
pub(crate) fn cause_in_words(cause: &(dyn StdError + 'static)) -> String {
    let first = std::iter::successors(Some(cause), |&cause| cause.source()).last();
    let text = first.unwrap_or(cause).to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// A number from 0 to 1. Without randomness the whole: the longest pause is a correct one.
pub(crate) fn random_part() -> f64 {
    getrandom::u32().map_or(1.0, |drawn| f64::from(drawn) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_from_the_server_is_its_own_word() {
        let deadline = Deadline { length: Duration::from_millis(1500), end: Instant::now() };
        let error = deadline.error("http://pdp", &Status::unavailable("shutting down"));
        assert_eq!(error.to_string(), "shutting down");
        assert_eq!((error.code(), error.reason()), (Code::Unavailable, None));
        let error = deadline.error("http://pdp", &Status::deadline_exceeded("late"));
        assert_eq!(error.to_string(), "http://pdp did not answer within 1.5 s");
    }

    #[test]
    fn a_server_is_away_only_where_it_cannot_be_asked() {
        let refused = |code, reason: &str| {
            Error::Refused(Box::new(Refusal::new(code, String::new(), reason.to_owned())))
        };
        for reason in ["", "STARTING", "SHUTTING_DOWN"] {
            assert!(refused(Code::Unavailable, reason).is_away(), "{reason}");
            assert!(!refused(Code::Internal, reason).is_away(), "{reason}");
        }
        for reason in ["REVISION_NOT_REACHED", "STORE_UNAVAILABLE", "AUTHENTICATION_BUSY", "NEW"] {
            assert!(!refused(Code::Unavailable, reason).is_away(), "{reason}");
        }
        assert!(Error::lost("http://pdp", "it is gone").is_away());
        assert!(!Deadline::of(Duration::ZERO).exceeded("http://pdp").is_away());
    }

    #[test]
    fn a_broken_connection_names_the_server_and_the_first_cause() {
        let deadline = Deadline { length: Duration::from_secs(1), end: Instant::now() };
        let broken = std::io::Error::other(std::io::Error::from_raw_os_error(111));
        let error = deadline.error("http://pdp", &Status::from_error(Box::new(broken)));
        assert_eq!(error.to_string(), "cannot reach http://pdp: connection refused");
        assert_eq!(error.code(), Code::Unavailable);
    }
}
