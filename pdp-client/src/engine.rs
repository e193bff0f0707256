//! Facts, changes and explanations as the types of `pdp-engine`, for programs that work with
//! policies themselves: that read and write bundles, or show explanations.
//!
//! What arrives and cannot be what it is, such as a value that a newer server knows, is
//! [`Error::Protocol`].

mod delegation;
mod explanation;
mod inbound;
mod outbound;
mod psm;
mod vault;

use pdp_engine::delegate::DelegationExplanation;
use pdp_engine::explain::Explanation;
use pdp_engine::facts::{Change, Fact, FactKey, FactKind};
use pdp_engine::session::SessionExplanation;
use pdp_engine::vault::VaultExplanation;

use crate::call::Error;
use crate::v1;

/// A step of a change set, as it travels.
#[must_use]
pub fn change_to_wire(change: &Change) -> v1::Change {
    outbound::change(change)
}

/// The name of a fact, as it travels.
#[must_use]
pub fn key_to_wire(key: &FactKey) -> v1::FactKey {
    outbound::key(key)
}

/// A kind of fact, as it travels.
#[must_use]
pub const fn kind_to_wire(kind: FactKind) -> v1::FactKind {
    match kind {
        FactKind::ResourceType => v1::FactKind::ResourceType,
        FactKind::Location => v1::FactKind::Location,
        FactKind::BusinessRole => v1::FactKind::BusinessRole,
        FactKind::AccessLevel => v1::FactKind::AccessLevel,
        FactKind::Person => v1::FactKind::Person,
        FactKind::Account => v1::FactKind::Account,
        FactKind::Group => v1::FactKind::Group,
        FactKind::SetGroup => v1::FactKind::SetGroup,
        FactKind::ManagementRoleDefinition => v1::FactKind::ManagementRoleDefinition,
        FactKind::ManagementRole => v1::FactKind::ManagementRole,
        FactKind::Resource => v1::FactKind::Resource,
        FactKind::ResourceGroup => v1::FactKind::ResourceGroup,
        FactKind::Assignment => v1::FactKind::Assignment,
        FactKind::Share => v1::FactKind::Share,
        FactKind::PermissionLevel => v1::FactKind::PermissionLevel,
        FactKind::Psm => v1::FactKind::Psm,
        FactKind::Eligibility => v1::FactKind::Eligibility,
    }
}

/// A fact that arrived.
///
/// # Errors
/// [`Error::Protocol`] if it is not one.
pub fn fact_from_wire(fact: v1::Fact) -> Result<Fact, Error> {
    inbound::fact(fact)
}

/// A step of a change set that arrived.
///
/// # Errors
/// [`Error::Protocol`] if it is not one.
pub fn change_from_wire(change: v1::Change) -> Result<Change, Error> {
    match change.change {
        Some(v1::change::Change::Put(fact)) => fact_from_wire(fact).map(Change::Put),
        Some(v1::change::Change::Delete(v1::Delete { key, cascade })) => {
            key_from_wire(key.unwrap_or_default()).map(|key| Change::Delete { key, cascade })
        }
        None => Err(Error::protocol("a change is neither `put` nor `delete`")),
    }
}

/// The name of a fact that arrived.
///
/// # Errors
/// [`Error::Protocol`] if it is not one.
pub fn key_from_wire(key: v1::FactKey) -> Result<FactKey, Error> {
    inbound::key(key)
}

/// An explanation that arrived, of an operation or a right.
///
/// # Errors
/// [`Error::Protocol`] if it is not one.
pub fn explanation_from_wire(explanation: v1::Explanation) -> Result<Explanation, Error> {
    explanation::explanation(explanation)
}

/// An explanation that arrived, of a vault action.
///
/// # Errors
/// [`Error::Protocol`] if it is not one.
pub fn vault_explanation_from_wire(
    explanation: v1::Explanation,
) -> Result<VaultExplanation, Error> {
    vault::explanation(explanation)
}

/// An explanation that arrived, of a session.
///
/// # Errors
/// [`Error::Protocol`] if it is not one.
pub fn session_explanation_from_wire(
    explanation: v1::Explanation,
) -> Result<SessionExplanation, Error> {
    psm::explanation(explanation)
}

/// The obligations of a decision.
///
/// # Errors
/// [`Error::Protocol`] if they name nothing.
pub fn obligations_to_engine(
    obligations: crate::Obligations,
) -> Result<pdp_engine::session::Obligations, Error> {
    psm::obligations(obligations)
}

/// An explanation that arrived, of a delegation.
///
/// # Errors
/// [`Error::Protocol`] if it is not one.
pub fn delegation_explanation_from_wire(
    explanation: v1::DelegationExplanation,
) -> Result<DelegationExplanation, Error> {
    delegation::explanation(explanation)
}

#[cfg(test)]
mod tests;
