//! May this person open a privileged session? The names may be anything.

use std::fmt;

use pdp_engine::session::SessionQuestion;

use super::{OwnedObject, OwnedSubject, routed};

/// What stands for a session without a permission level.
pub(super) const NO_LEVEL: &str = "none";

/// A question about a privileged session.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnedSession {
    /// Who.
    pub subject: OwnedSubject,
    /// The permission level, or none.
    pub level: Option<String>,
    /// The computer.
    pub computer: OwnedObject,
    /// Whether the answer may be `REQUIRES_APPROVAL`.
    pub routing: bool,
}

// === impl OwnedSession ===

impl OwnedSession {
    /// Reads a permission level; `none` is no level. The id may be malformed.
    #[must_use]
    pub fn parse_level(text: &str) -> Option<String> {
        Self::level_named(text).map(str::to_owned)
    }

    /// The same, without a copy.
    pub(crate) fn level_named(text: &str) -> Option<&str> {
        (text != NO_LEVEL).then_some(text)
    }

    /// The question as the engine takes it.
    #[must_use]
    pub fn as_question(&self) -> SessionQuestion<'_> {
        let Self { subject, level, computer, routing } = self;
        SessionQuestion {
            subject: subject.as_ref(),
            level: level.as_deref(),
            computer: computer.as_ref(),
            routing: *routing,
        }
    }
}

/// `person:ana, session local-admin, Computer:web-07`.
impl fmt::Display for OwnedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, level, computer, routing } = self;
        let level = level.as_deref().unwrap_or(NO_LEVEL);
        write!(f, "{subject}, session {level}, {computer}{}", routed(*routing))
    }
}
