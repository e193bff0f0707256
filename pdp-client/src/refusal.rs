//! What a server's error status says, taken apart.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::behalf::DelegationRefusal;

/// An error that the server answered with: the status and its details.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The gRPC status code.
    pub code: Code,
    /// The sentence.
    pub message: String,
    /// The stable reason (`ErrorInfo.reason`), such as `UNKNOWN_TENANT`; empty if the answer came
    /// from something else than the server itself, such as a proxy.
    pub reason: String,
    /// What goes with the reason, such as `expected` and `actual`.
    pub metadata: BTreeMap<String, String>,
    /// The fields of the request that are at fault.
    pub fields: Vec<FieldViolation>,
    /// Where a change set does not fit the policy.
    pub preconditions: Vec<PreconditionViolation>,
    /// How long to wait before trying again, where that may help.
    pub retry_delay: Option<Duration>,
    /// For `DELEGATION_REFUSED`: which changes the person on whose behalf a change set was to be
    /// applied may not make.
    pub delegation: Option<DelegationRefusal>,
}

/// A field of the request that is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// Its path, such as `question.subject`.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

/// One thing that does not fit the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreconditionViolation {
    /// The problem's stable code, such as `DANGLING_REFERENCE`.
    pub kind: String,
    /// The fact.
    pub subject: String,
    /// The sentence.
    pub description: String,
}

// === impl Refusal ===

impl Refusal {
    pub(crate) fn new(code: Code, message: String, reason: String) -> Self {
        Self {
            code,
            message,
            reason,
            metadata: BTreeMap::new(),
            fields: Vec::new(),
            preconditions: Vec::new(),
            retry_delay: None,
            delegation: None,
        }
    }

    pub(crate) fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let mut refusal = Self::new(status.code(), status.message().to_owned(), String::new());
        if let Some(info) = details.error_info() {
            refusal.reason.clone_from(&info.reason);
            let metadata = info.metadata.iter().map(|(key, value)| (key.clone(), value.clone()));
            refusal.metadata = metadata.collect();
        }
        if let Some(bad) = details.bad_request() {
            let fields = bad.field_violations.iter().map(|violation| FieldViolation {
                field: violation.field.clone(),
                description: violation.description.clone(),
            });
            refusal.fields = fields.collect();
        }
        if let Some(failure) = details.precondition_failure() {
            let violations = failure.violations.iter().map(|violation| PreconditionViolation {
                kind: violation.r#type.clone(),
                subject: violation.subject.clone(),
                description: violation.description.clone(),
            });
            refusal.preconditions = violations.collect();
        }
        refusal.retry_delay = details.retry_info().and_then(|info| info.retry_delay);
        refusal.delegation = DelegationRefusal::from_details(status.details());
        refusal
    }
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            write!(f, "the server answered {:?}", self.code)
        } else {
            f.write_str(&self.message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::{ErrorDetails, StatusExt};

    #[test]
    fn the_details_of_a_status_are_taken_apart() {
        let mut details = ErrorDetails::with_error_info(
            "REVISION_CONFLICT",
            "pdp",
            [("expected".to_owned(), "3".to_owned())],
        );
        details
            .add_bad_request_violation("question.subject", "is missing")
            .add_precondition_failure_violation("CYCLE", "location `a`", "makes a cycle")
            .set_retry_info(Some(Duration::from_millis(20)));
        let status = Status::with_error_details(Code::Aborted, "another came first", details);
        let refusal = Refusal::from_status(&status);
        assert_eq!((refusal.code, refusal.reason.as_str()), (Code::Aborted, "REVISION_CONFLICT"));
        assert_eq!(refusal.metadata.get("expected").map(String::as_str), Some("3"));
        assert_eq!(refusal.fields[0].field, "question.subject");
        assert_eq!(refusal.preconditions[0].kind, "CYCLE");
        assert_eq!(refusal.retry_delay, Some(Duration::from_millis(20)));
        assert_eq!(refusal.to_string(), "another came first");
    }

    #[test]
    fn a_status_without_details_is_still_an_error() {
        let refusal = Refusal::from_status(&Status::new(Code::Internal, ""));
        assert_eq!(refusal.to_string(), "the server answered Internal");
        assert_eq!(refusal.reason, "");
    }
}
