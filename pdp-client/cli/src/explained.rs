//! Explanations of every family, as text and as JSON.

mod family;

use pdp_bundle::question::AnyQuestion;
use pdp_bundle::render::{
    Tone, render_delegation_with, render_explanation_with, render_session_with, render_vault_with,
};
use pdp_bundle::time::format_time;
use pdp_client::engine::{
    delegation_explanation_from_wire, explanation_from_wire, session_explanation_from_wire,
    vault_explanation_from_wire,
};
use pdp_client::{Error, v1};
use pdp_engine::delegate::DelegationExplanation;
use pdp_engine::explain::{Coverage, Entry, Explanation, Hop, HopKind, NearMiss, Side};
use pdp_engine::level::{Assignment, LevelRef};
use pdp_engine::query::Decision;
use pdp_engine::session::SessionExplanation;
use pdp_engine::time::Timestamp;
use pdp_engine::vault::VaultExplanation;
use serde_json::{Map, Value, json};

use crate::fact;

/// A decision of whichever family, with everything that led to it.
pub(crate) enum Explained {
    Access(Explanation),
    Vault(VaultExplanation),
    Session(SessionExplanation),
    Delegation(DelegationExplanation),
}

// === impl Explained ===

impl Explained {
    /// The explanation of the answer to this question.
    pub(crate) fn check(told: v1::Explanation, question: &AnyQuestion) -> Result<Self, Error> {
        Ok(match question {
            AnyQuestion::Vault(_) => Self::Vault(vault_explanation_from_wire(told)?),
            AnyQuestion::Session(_) => Self::Session(session_explanation_from_wire(told)?),
            AnyQuestion::Access(_) | AnyQuestion::Delegation(_) => {
                Self::Access(explanation_from_wire(told)?)
            }
        })
    }

    pub(crate) fn delegation(told: v1::DelegationExplanation) -> Result<Self, Error> {
        Ok(Self::Delegation(delegation_explanation_from_wire(told)?))
    }

    /// As text for people. An explanation of another family than the question's is none.
    pub(crate) fn text(
        &self,
        question: &AnyQuestion,
        paint: &dyn Fn(Tone, &str) -> String,
    ) -> String {
        match (self, question) {
            (Self::Access(told), AnyQuestion::Access(asked)) => {
                render_explanation_with(told, asked, paint)
            }
            (Self::Vault(told), AnyQuestion::Vault(asked)) => render_vault_with(told, asked, paint),
            (Self::Session(told), AnyQuestion::Session(asked)) => {
                render_session_with(told, asked, paint)
            }
            (Self::Delegation(told), AnyQuestion::Delegation(asked)) => {
                render_delegation_with(told, asked, paint)
            }
            _ => String::new(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        match self {
            Self::Access(told) => {
                let Explanation { decision, evaluated_at, sides } = told;
                let sides: Vec<_> = sides.iter().map(side).collect();
                whole(*decision, *evaluated_at, [("sides", Some(json!(sides)))])
            }
            Self::Vault(told) => family::vault(told),
            Self::Session(told) => family::session(told),
            Self::Delegation(told) => family::delegation(told),
        }
    }
}

/// The decision, and what goes with it.
fn whole<'a>(
    decision: Decision,
    evaluated_at: Timestamp,
    rest: impl IntoIterator<Item = (&'a str, Option<Value>)>,
) -> Value {
    let Decision { effect, reason, revision } = decision;
    let mut map = Map::new();
    map.insert("effect".to_owned(), json!(effect.as_str()));
    map.insert("reason".to_owned(), json!(reason.as_str()));
    map.insert("revision".to_owned(), json!(revision.get()));
    map.insert("evaluated_at".to_owned(), json!(format_time(evaluated_at)));
    for (key, value) in rest {
        if let Some(value) = value {
            map.insert(key.to_owned(), value);
        }
    }
    Value::Object(map)
}

fn side(side: &Side) -> Value {
    let Side { object, outcome, entries, omitted_entries, granting_levels, near_misses } = side;
    json!({
        "object": object.to_string(),
        "outcome": outcome.as_str(),
        "entries": entries.iter().map(entry).collect::<Vec<_>>(),
        "omitted_entries": omitted_entries,
        "granting_levels": granting_levels.iter().map(LevelRef::to_string).collect::<Vec<_>>(),
        "near_misses": near_misses.iter().map(near_miss).collect::<Vec<_>>(),
    })
}

fn entry(entry: &Entry) -> Value {
    let Entry {
        assignment,
        to,
        level,
        scope,
        window,
        qualifier,
        standing,
        subject_path,
        coverage: Coverage { relation, placement },
    } = entry;
    let assignment = Assignment {
        id: assignment.clone(),
        to: to.clone(),
        level: level.clone(),
        scope: scope.clone(),
        window: *window,
    };
    json!({
        "assignment": fact::assignment(&assignment),
        "qualifier": qualifier.as_str(),
        "standing": standing.as_str(),
        "subject_path": path(subject_path),
        "coverage": {"relation": path(relation), "placement": path(placement)},
    })
}

fn near_miss(miss: &NearMiss) -> Value {
    let NearMiss { assignment, to, level, scope, window, gap, subject_path } = miss;
    let assignment = Assignment {
        id: assignment.clone(),
        to: to.clone(),
        level: level.clone(),
        scope: scope.clone(),
        window: *window,
    };
    json!({
        "assignment": fact::assignment(&assignment),
        "gap": gap.as_str(),
        "subject_path": path(subject_path),
    })
}

fn path(hops: &[Hop]) -> Vec<Value> {
    hops.iter().map(hop).collect()
}

fn hop(hop: &Hop) -> Value {
    let Hop { kind, from, to, window } = hop;
    let mut map = Map::new();
    map.insert("kind".to_owned(), json!(hop_code(*kind)));
    map.insert("from".to_owned(), json!(from.to_string()));
    map.insert("to".to_owned(), json!(to.to_string()));
    fact::window(&mut map, window);
    Value::Object(map)
}

/// The kind as the protocol writes it.
const fn hop_code(kind: HopKind) -> &'static str {
    match kind {
        HopKind::Owns => "OWNS",
        HopKind::MemberOf => "MEMBER_OF",
        HopKind::HoldsPosition => "HOLDS_POSITION",
        HopKind::RoleParent => "ROLE_PARENT",
        HopKind::LocationParent => "LOCATION_PARENT",
        HopKind::Includes => "INCLUDES",
        HopKind::MadeFrom => "MADE_FROM",
        HopKind::PlacedIn => "PLACED_IN",
        HopKind::PlacedByPosition => "PLACED_BY_POSITION",
        HopKind::PlacedInItself => "PLACED_IN_ITSELF",
        HopKind::Is => "IS",
        HopKind::ReportsTo => "REPORTS_TO",
        HopKind::Manages => "MANAGES",
        HopKind::MemberBySession => "MEMBER_BY_SESSION",
    }
}
