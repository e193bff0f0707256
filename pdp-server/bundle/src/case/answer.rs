//! What came back for a question, from whoever answered it.

use std::collections::BTreeSet;

use pdp_engine::delegate::DelegationExplanation;
use pdp_engine::explain::{Explanation, Standing};
use pdp_engine::id::PersonId;
use pdp_engine::query::{Effect, Reason};
use pdp_engine::session::{Obligations, SessionExplanation};
use pdp_engine::vault::VaultExplanation;

use crate::question::{OwnedDelegation, OwnedQuestion, OwnedSession, OwnedVault};
use crate::render;

/// What came back for one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A decision.
    Decision {
        /// Its effect.
        effect: Effect,
        /// Its reason.
        reason: Reason,
        /// What goes with it, for a session that is allowed.
        obligations: Option<Obligations>,
        /// Who could approve, by id, if it was asked for.
        approvers: Option<Vec<PersonId>>,
        /// The rest, if it was asked for.
        why: Option<Why>,
    },
    /// A refusal.
    Error {
        /// The status code's name, as `INVALID_ARGUMENT`.
        code: String,
        /// What was said.
        message: String,
    },
}

/// What an explanation adds to a decision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Why {
    /// What decided: the ids of assignments, and for vault actions shares as
    /// `ENTITY with GRANTEE`. Delegations and sessions have none.
    pub deciding: BTreeSet<String>,
    /// The ids of the assignments that a deny masked.
    pub masked: BTreeSet<String>,
    /// The explanation, as a text of several lines.
    pub text: String,
}

// === impl Answer ===

impl Answer {
    /// A decision and nothing else.
    #[must_use]
    pub const fn decided(effect: Effect, reason: Reason) -> Self {
        Self::Decision { effect, reason, obligations: None, approvers: None, why: None }
    }

    /// The answer that an explanation of the engine gives.
    #[must_use]
    pub fn explained(explanation: &Explanation, question: &OwnedQuestion) -> Self {
        let of = |standing: Standing| {
            let entries = explanation.sides.iter().flat_map(|side| &side.entries);
            let entries = entries.filter(|entry| entry.standing == standing);
            entries.map(|entry| entry.assignment.to_string()).collect()
        };
        let why = Why {
            deciding: of(Standing::Deciding),
            masked: of(Standing::Masked),
            text: render::render_explanation(explanation, question),
        };
        let decision = explanation.decision;
        Self::decided(decision.effect, decision.reason).with_why(why)
    }

    /// The answer that an explanation of a delegation gives.
    #[must_use]
    pub fn explained_delegation(
        explanation: &DelegationExplanation,
        question: &OwnedDelegation,
    ) -> Self {
        let text = render::render_delegation(explanation, question);
        let decision = explanation.decision;
        Self::decided(decision.effect, decision.reason).with_why(Why { text, ..Why::default() })
    }

    /// The answer that an explanation of a vault decision gives.
    #[must_use]
    pub fn explained_vault(explanation: &VaultExplanation, question: &OwnedVault) -> Self {
        let shares = explanation.layers.iter().flat_map(|layer| &layer.shares);
        let why = Why {
            deciding: shares
                .filter(|applied| applied.deciding)
                .map(|applied| applied.share.to_string())
                .collect(),
            masked: BTreeSet::new(),
            text: render::render_vault(explanation, question),
        };
        let decision = explanation.decision;
        Self::decided(decision.effect, decision.reason).with_why(why)
    }

    /// The answer that an explanation of a session gives.
    #[must_use]
    pub fn explained_session(explanation: &SessionExplanation, question: &OwnedSession) -> Self {
        let text = render::render_session(explanation, question);
        let decision = explanation.decided.decision;
        Self::decided(decision.effect, decision.reason)
            .with_obligations(explanation.decided.obligations.clone())
            .with_why(Why { text, ..Why::default() })
    }

    /// A decision with what goes with it; a refusal stays what it is.
    #[must_use]
    pub fn with_obligations(mut self, given: Option<Obligations>) -> Self {
        if let Self::Decision { obligations, .. } = &mut self {
            *obligations = given;
        }
        self
    }

    /// A decision with those who could approve it, by id; a refusal stays what it is.
    #[must_use]
    pub fn with_approvers(mut self, people: Vec<PersonId>) -> Self {
        if let Self::Decision { approvers, .. } = &mut self {
            *approvers = Some(people);
        }
        self
    }

    fn with_why(mut self, told: Why) -> Self {
        if let Self::Decision { why, .. } = &mut self {
            *why = Some(told);
        }
        self
    }
}
