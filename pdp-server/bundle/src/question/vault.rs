//! May this subject do this with a vault entity? The names may be anything.

use std::fmt;

use pdp_engine::vault::VaultQuestion;

use super::{OwnedObject, OwnedSubject, routed};

/// A question about an action on a vault entity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnedVault {
    /// Who.
    pub subject: OwnedSubject,
    /// The action's name.
    pub action: String,
    /// With what: a resource, or a resource group where the type is `resource_group`.
    pub entity: OwnedObject,
    /// As asked. No vault decision is an approval's, so it never matters.
    pub routing: bool,
}

// === impl OwnedVault ===

impl OwnedVault {
    /// The question as the engine takes it.
    #[must_use]
    pub fn as_question(&self) -> VaultQuestion<'_> {
        let Self { subject, action, entity, routing: _ } = self;
        VaultQuestion { subject: subject.as_ref(), action, entity: entity.as_ref() }
    }
}

/// `person:ana, vault view_password, Computer:web-07`.
impl fmt::Display for OwnedVault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, action, entity, routing } = self;
        write!(f, "{subject}, vault {action}, {entity}{}", routed(*routing))
    }
}
