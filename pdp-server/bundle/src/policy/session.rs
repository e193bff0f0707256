//! The sections about privileged sessions: permission levels, what computers offer, eligibilities.

use std::collections::BTreeMap;

use pdp_engine::actor::ActorRef;
use pdp_engine::id::{GroupId, LocationId, ObjectId, PermissionLevelId};
use pdp_engine::psm::{
    COMPUTER, DEFAULT_MAX_SESSION_MICROS, Eligibility, EligibilityKey, EligibilityKind,
    EligibilityScope, Jit, PermissionLevel, Psm,
};

use super::window;
use crate::diagnostic::shown;
use crate::duration::parse_duration;
use crate::read::{At, Fields};

pub(super) fn permission_level(at: &At<'_>) -> Option<PermissionLevel> {
    let fields = at.fields(&["id", "name"])?;
    let id = fields.required("id").and_then(|at| at.parsed(PermissionLevelId::new));
    let name = fields.get("name").and_then(|at| at.text()).map(str::to_owned);
    Some(PermissionLevel { id: id?, name })
}

/// Left out, the settings are enabled, take nobody without a level, make no accounts, and end
/// sessions after 8 hours.
pub(super) fn psm(at: &At<'_>) -> Option<Psm> {
    let fields = at.fields(&[
        "computer",
        "enabled",
        "allow_unprivileged",
        "account_store",
        "max_session",
        "max_concurrent",
        "jit",
        "levels",
    ])?;
    let computer = fields.required("computer").and_then(|at| at.parsed(ObjectId::new));
    let max_session = fields.get("max_session").and_then(|at| at.parsed(parse_duration));
    Some(Psm {
        enabled: fields.flag("enabled", true),
        allow_unprivileged: fields.flag("allow_unprivileged", false),
        account_store: fields.get("account_store").and_then(|at| at.text()).map(str::to_owned),
        max_session_micros: max_session.unwrap_or(DEFAULT_MAX_SESSION_MICROS),
        max_concurrent: fields.get("max_concurrent").and_then(|at| at.number()).unwrap_or(0),
        jit: fields.get("jit").and_then(|at| jit(&at)).unwrap_or_default(),
        levels: fields.get("levels").map_or_else(BTreeMap::new, |at| levels(&at)),
        computer: computer?,
    })
}

/// Every flag is false if left out.
fn jit(at: &At<'_>) -> Option<Jit> {
    let fields = at.fields(&["enabled", "delete_on_end", "reuse_existing"])?;
    Some(Jit {
        enabled: fields.flag("enabled", false),
        delete_on_end: fields.flag("delete_on_end", false),
        reuse_existing: fields.flag("reuse_existing", false),
    })
}

/// The levels offered; a null is a level that is not mapped yet.
fn levels(at: &At<'_>) -> BTreeMap<PermissionLevelId, Option<GroupId>> {
    let mut levels = BTreeMap::new();
    for (name, value) in at.entries() {
        let level = name.parsed(PermissionLevelId::new);
        let group =
            if value.node.is_null() { Some(None) } else { value.parsed(native_group).map(Some) };
        if let (Some(level), Some(group)) = (level, group) {
            levels.insert(level, group);
        }
    }
    levels
}

pub(crate) fn native_group(text: &str) -> Result<GroupId, String> {
    let id = text.strip_prefix("group:").ok_or_else(|| {
        format!("`{}` is no native group; write `group:ID`, or null for none yet", shown(text))
    })?;
    GroupId::new(id).map_err(|error| error.to_string())
}

pub(super) fn eligibility(at: &At<'_>) -> Option<Eligibility> {
    let fields = at.fields(&["to", "level", "on", "in", "kind", "valid_from", "valid_until"])?;
    let to = fields.required("to").and_then(|at| at.parsed(ActorRef::parse));
    let level = fields.required("level").and_then(|at| at.parsed(PermissionLevelId::new));
    let words = EligibilityKind::ALL.map(|kind| (kind.as_str(), kind));
    let kind = fields.required("kind").and_then(|at| at.word(&words));
    let (scope, window) = (scope(&fields), window(&fields));
    let key = EligibilityKey { to: to?, level: level?, scope: scope?, kind: kind? };
    Some(Eligibility { key, window })
}

fn scope(fields: &Fields<'_>) -> Option<EligibilityScope> {
    match (fields.get("on"), fields.get("in")) {
        (Some(on), None) => on.parsed(computer).map(EligibilityScope::On),
        (None, Some(place)) => place.parsed(LocationId::new).map(EligibilityScope::In),
        (None, None) | (Some(_), Some(_)) => {
            fields.at().fail("expected exactly one of `on`, `in`");
            None
        }
    }
}

fn computer(text: &str) -> Result<ObjectId, String> {
    match text.split_once(':') {
        Some((COMPUTER, id)) => ObjectId::new(id).map_err(|error| error.to_string()),
        _ => Err(format!("`{}` is no computer; write `{COMPUTER}:ID`", shown(text))),
    }
}
