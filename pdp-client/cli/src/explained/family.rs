//! Explanations of vault actions, sessions and delegations as JSON.

use pdp_engine::delegate::{
    Alternative, AskedOf, DelegationExplanation, DelegationSide, ObjectSide,
};
use pdp_engine::session::{AppliedEligibility, SessionDecision, SessionExplanation};
use pdp_engine::share::Entity;
use pdp_engine::vault::{AppliedShare, Layer, Ruling, VaultExplanation};
use serde_json::{Map, Value, json};

use super::{entry, path, whole};
use crate::fact;
use crate::question::obligations_json;

pub(super) fn vault(told: &VaultExplanation) -> Value {
    let VaultExplanation { decision, evaluated_at, layers, ruling } = told;
    let layers: Vec<_> = layers.iter().map(layer).collect();
    let ruling = ruling.as_ref().map(self::ruling);
    whole(*decision, *evaluated_at, [("layers", Some(json!(layers))), ("ruling", ruling)])
}

fn layer(layer: &Layer) -> Value {
    let Layer { entities, shares } = layer;
    let share = |applied: &AppliedShare| {
        let AppliedShare { share, level, deciding, subject_path } = applied;
        let path = path(subject_path);
        json!({"share": fact::share(share, *level), "deciding": deciding, "subject_path": path})
    };
    json!({
        "entities": entities.iter().map(Entity::to_string).collect::<Vec<_>>(),
        "shares": shares.iter().map(share).collect::<Vec<_>>(),
    })
}

fn ruling(ruling: &Ruling) -> Value {
    let level = ruling.level().as_str();
    match ruling {
        Ruling::Owner(id) => {
            json!({"rule": "OWNER", "level": level, "owner": format!("person:{id}")})
        }
        Ruling::FullAnywhere => json!({"rule": "FULL_ANYWHERE", "level": level}),
        Ruling::NearestLayer { layer, personal, level: _ } => json!({
            "rule": "NEAREST_LAYER", "level": level, "layer": layer, "personal": personal,
        }),
    }
}

pub(super) fn session(told: &SessionExplanation) -> Value {
    let SessionExplanation { decided, evaluated_at, eligibilities, visible_levels } = told;
    let SessionDecision { decision, obligations } = decided;
    let eligibility = |applied: &AppliedEligibility| {
        let AppliedEligibility { to, kind, subject_path } = applied;
        json!({
            "to": to.to_string(), "kind": kind.as_str(), "subject_path": path(subject_path),
        })
    };
    let eligibilities: Vec<_> = eligibilities.iter().map(eligibility).collect();
    let visible: Vec<_> = visible_levels.iter().map(ToString::to_string).collect();
    whole(
        *decision,
        *evaluated_at,
        [
            ("obligations", obligations.as_ref().map(obligations_json)),
            ("eligibilities", Some(json!(eligibilities))),
            ("visible_levels", Some(json!(visible))),
        ],
    )
}

pub(super) fn delegation(told: &DelegationExplanation) -> Value {
    let DelegationExplanation { decision, evaluated_at, resource, recipient } = told;
    let sides =
        [("resource", resource.as_ref().map(side)), ("recipient", recipient.as_ref().map(side))];
    whole(*decision, *evaluated_at, sides)
}

fn side(side: &DelegationSide) -> Value {
    let DelegationSide { status, objects, omitted_objects } = side;
    let objects: Vec<_> = objects.iter().map(object).collect();
    json!({"status": status.as_str(), "objects": objects, "omitted_objects": omitted_objects})
}

fn object(object: &ObjectSide) -> Value {
    let ObjectSide { of, status, alternatives } = object;
    let mut map = Map::new();
    match of {
        AskedOf::Resource(resource) => {
            map.insert("resource".to_owned(), json!(resource.to_string()));
        }
        AskedOf::TypeAt(type_name, location) => {
            map.insert("type".to_owned(), json!(type_name.to_string()));
            map.insert("location".to_owned(), json!(location.to_string()));
        }
    }
    map.insert("status".to_owned(), json!(status.as_str()));
    let alternatives: Vec<_> = alternatives.iter().map(alternative).collect();
    map.insert("alternatives".to_owned(), json!(alternatives));
    Value::Object(map)
}

fn alternative(alternative: &Alternative) -> Value {
    let Alternative { operation, declared, outcome, entries, omitted_entries } = alternative;
    json!({
        "operation": operation,
        "declared": declared,
        "outcome": outcome.as_str(),
        "entries": entries.iter().map(entry).collect::<Vec<_>>(),
        "omitted_entries": omitted_entries,
    })
}
