//! Explanations as JSON.

use pdp_bundle::time::format_time;
use pdp_engine::explain::{Coverage, Entry, Explanation, Hop, HopKind, NearMiss, Side};
use pdp_engine::level::{Assignment, LevelRef};
use serde_json::{Map, Value, json};

use crate::fact;

/// The whole explanation.
pub(crate) fn explanation(explanation: &Explanation) -> Value {
    let Explanation { decision, evaluated_at, sides } = explanation;
    json!({
        "effect": decision.effect.as_str(),
        "reason": decision.reason.as_str(),
        "revision": decision.revision.get(),
        "evaluated_at": format_time(*evaluated_at),
        "sides": sides.iter().map(side).collect::<Vec<_>>(),
    })
}

fn side(side: &Side) -> Value {
    let Side { object, outcome, entries, granting_levels, near_misses } = side;
    json!({
        "object": object.to_string(),
        "outcome": outcome.as_str(),
        "entries": entries.iter().map(entry).collect::<Vec<_>>(),
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
    }
}
