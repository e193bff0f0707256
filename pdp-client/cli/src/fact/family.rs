//! The facts of vault sharing and of privileged sessions, as they stand in a bundle.

use pdp_bundle::duration::format_duration;
use pdp_engine::psm::{
    DEFAULT_MAX_SESSION_MICROS, Eligibility, EligibilityKey, EligibilityScope, Jit, Psm,
};
use pdp_engine::resource::ResourceRef;
use pdp_engine::share::{ResourceGroup, ShareKey, ShareLevel};
use serde_json::{Map, Value, json};

use super::{flag, list, text, window};

pub(super) fn resource_group(map: &mut Map<String, Value>, group: &ResourceGroup) {
    let ResourceGroup { id, members, default } = group;
    text(map, "id", Some(id));
    list(map, "members", members.iter().map(ToString::to_string));
    flag(map, "default", *default, false);
}

pub(super) fn share(map: &mut Map<String, Value>, key: &ShareKey, level: ShareLevel) {
    let ShareKey { to, on } = key;
    text(map, "to", Some(to));
    text(map, "on", Some(on));
    text(map, "level", Some(&level.as_str()));
}

pub(super) fn psm(map: &mut Map<String, Value>, psm: &Psm) {
    let Psm {
        computer,
        enabled,
        allow_unprivileged,
        account_store,
        max_session_micros,
        max_concurrent,
        jit,
        levels,
    } = psm;
    text(map, "computer", Some(computer));
    flag(map, "enabled", *enabled, true);
    flag(map, "allow_unprivileged", *allow_unprivileged, false);
    text(map, "account_store", account_store.as_ref());
    if *max_session_micros != DEFAULT_MAX_SESSION_MICROS {
        text(map, "max_session", Some(&format_duration(*max_session_micros)));
    }
    if *max_concurrent != 0 {
        map.insert("max_concurrent".to_owned(), json!(max_concurrent));
    }
    if *jit != Jit::default() {
        let Jit { enabled, delete_on_end, reuse_existing } = *jit;
        let mut inner = Map::new();
        flag(&mut inner, "enabled", enabled, false);
        flag(&mut inner, "delete_on_end", delete_on_end, false);
        flag(&mut inner, "reuse_existing", reuse_existing, false);
        map.insert("jit".to_owned(), Value::Object(inner));
    }
    if !levels.is_empty() {
        let offered = levels.iter().map(|(level, group)| {
            (level.to_string(), json!(group.as_ref().map(|group| format!("group:{group}"))))
        });
        map.insert("levels".to_owned(), Value::Object(offered.collect()));
    }
}

pub(super) fn eligibility(map: &mut Map<String, Value>, eligibility: &Eligibility) {
    let Eligibility { key: EligibilityKey { to, level, scope, kind }, window: open } = eligibility;
    text(map, "to", Some(to));
    text(map, "level", Some(level));
    match scope {
        EligibilityScope::On(computer) => text(map, "on", Some(&ResourceRef::computer(computer))),
        EligibilityScope::In(location) => text(map, "in", Some(location)),
    }
    text(map, "kind", Some(&kind.as_str()));
    window(map, open);
}
