//! What a person may not change, where a change set was to be applied on their behalf.

use pdp_client::engine::key_from_wire;
use pdp_client::{DelegationRefusal, RefusedChange};
use pdp_engine::facts::FactKey;
use serde_json::{Map, Value, json};

use crate::fact;

/// How many approvers are named.
const NAMED_APPROVERS: usize = 8;

/// A line for the whole and one for each refused change.
pub(crate) fn text(refusal: &DelegationRefusal) -> String {
    let DelegationRefusal { on_behalf_of, refused, total_refused, revision, decision } = refusal;
    if let Some(decision) = decision {
        let (effect, reason) = (decision.effect, decision.reason);
        return format!(
            "person:{on_behalf_of} may make no changes, as of revision {revision}: {effect} {reason}; nothing was changed"
        );
    }
    let mut text = format!(
        "person:{on_behalf_of} may not make these changes, as of revision {revision}; nothing was changed"
    );
    for change in refused {
        let named = match key(change) {
            Some(key) => key.to_string(),
            None => "a fact that this version does not know".to_owned(),
        };
        text.push_str(&format!("\n{named}, {}: {}", change.change.as_str(), why(change)));
    }
    let listed = u64::try_from(refused.len()).unwrap_or(u64::MAX);
    if let Some(more @ 1..) = total_refused.checked_sub(listed) {
        text.push_str(&format!("\nand {more} more"));
    }
    text
}

/// One refused change.
pub(crate) fn json(change: &RefusedChange) -> Value {
    let mut map = Map::new();
    if let Some(key) = key(change) {
        map.insert("kind".to_owned(), json!(fact::word(key.kind())));
        map.insert("name".to_owned(), json!(key.name()));
    }
    map.insert("change".to_owned(), json!(change.change.as_str()));
    if let Some(decision) = &change.decision {
        map.insert("effect".to_owned(), json!(decision.effect.as_str()));
        map.insert("reason".to_owned(), json!(decision.reason.to_string()));
    }
    let approvers: Vec<_> = change.approvers.iter().map(|id| format!("person:{id}")).collect();
    map.insert("approvers".to_owned(), json!(approvers));
    map.insert("total_approvers".to_owned(), json!(change.total_approvers));
    Value::Object(map)
}

fn key(change: &RefusedChange) -> Option<FactKey> {
    key_from_wire(change.key.clone()).ok()
}

fn why(change: &RefusedChange) -> String {
    let Some(decision) = &change.decision else {
        return "only assignments and shares are changed on behalf of a person".to_owned();
    };
    let decided = format!("{} {}", decision.effect, decision.reason);
    if !matches!(key(change), Some(FactKey::Assignment(_))) {
        return decided;
    }
    let named: Vec<_> =
        change.approvers.iter().take(NAMED_APPROVERS).map(|id| format!("person:{id}")).collect();
    let listed = u64::try_from(named.len()).unwrap_or(u64::MAX);
    let more = match change.total_approvers.checked_sub(listed) {
        Some(more @ 1..) => format!(" and {more} more"),
        _ => String::new(),
    };
    if named.is_empty() && more.is_empty() {
        return format!("{decided}; nobody could make it");
    }
    format!("{decided}; could be made by {}{more}", named.join(", "))
}
