//! Exit statuses.

use std::process::ExitCode;

use pdp_engine::query::Effect;

/// What a run came to. Wrong usage ends with the status of [`Exit::Error`] too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or `ALLOW`.
    Success = 0,
    /// `DENY`, checks that do not hold, or a server that does not serve.
    No = 1,
    /// There is no answer.
    Error = 2,
    /// `REQUIRES_APPROVAL`.
    RequiresApproval = 3,
}

// === impl Exit ===

impl From<Effect> for Exit {
    fn from(effect: Effect) -> Self {
        match effect {
            Effect::Allow => Self::Success,
            Effect::Deny => Self::No,
            Effect::RequiresApproval => Self::RequiresApproval,
        }
    }
}

impl From<pdp_client::Effect> for Exit {
    fn from(effect: pdp_client::Effect) -> Self {
        match effect {
            pdp_client::Effect::Allow => Self::Success,
            pdp_client::Effect::Deny => Self::No,
            pdp_client::Effect::RequiresApproval => Self::RequiresApproval,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
