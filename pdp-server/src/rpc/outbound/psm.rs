//! Permission levels, session settings and eligibilities as they leave.

use pdp_engine::id::{GroupId, PermissionLevelId};
use pdp_engine::psm::{
    Eligibility, EligibilityKey, EligibilityKind, EligibilityScope, Jit, PermissionLevel, Psm,
};
use pdp_proto::v1;

use super::{actor, window};

pub(super) fn permission_level(fact: &PermissionLevel) -> v1::PermissionLevel {
    let PermissionLevel { id, name } = fact;
    v1::PermissionLevel { id: id.to_string(), name: name.clone() }
}

pub(super) fn psm(fact: &Psm) -> v1::Psm {
    let Psm {
        computer,
        enabled,
        allow_unprivileged,
        account_store,
        max_session_micros,
        max_concurrent,
        jit: Jit { enabled: jit_enabled, delete_on_end, reuse_existing },
        levels,
    } = fact;
    let offered = |(level, group): (&PermissionLevelId, &Option<GroupId>)| v1::OfferedLevel {
        level: level.to_string(),
        group: group.as_ref().map(ToString::to_string),
    };
    v1::Psm {
        computer: computer.to_string(),
        enabled: *enabled,
        allow_unprivileged: *allow_unprivileged,
        account_store: account_store.clone(),
        max_session: Some(duration(*max_session_micros)),
        max_concurrent: *max_concurrent,
        jit: Some(v1::Jit {
            enabled: *jit_enabled,
            delete_on_end: *delete_on_end,
            reuse_existing: *reuse_existing,
        }),
        levels: levels.iter().map(offered).collect(),
    }
}

fn duration(micros: i64) -> prost_types::Duration {
    let within = micros % 1_000_000;
    prost_types::Duration {
        seconds: micros / 1_000_000,
        // INVARIANT: less than a million, so that a thousand times as much fits into 32 bits.
        nanos: i32::try_from(within).unwrap_or_default() * 1_000,
    }
}

pub(super) fn eligibility(fact: &Eligibility) -> v1::Eligibility {
    let Eligibility { key, window: open } = fact;
    v1::Eligibility { name: Some(eligibility_key(key)), window: window(open) }
}

pub(super) fn eligibility_key(key: &EligibilityKey) -> v1::EligibilityKey {
    use v1::eligibility_scope::Scope as Wire;
    let EligibilityKey { to, level, scope, kind } = key;
    let scope = match scope {
        EligibilityScope::On(computer) => Wire::OnComputer(computer.to_string()),
        EligibilityScope::In(location) => Wire::InLocation(location.to_string()),
    };
    v1::EligibilityKey {
        to: Some(actor(to)),
        level: level.to_string(),
        scope: Some(v1::EligibilityScope { scope: Some(scope) }),
        kind: eligibility_kind(*kind).into(),
    }
}

/// What an eligibility says.
pub(in crate::rpc) fn eligibility_kind(kind: EligibilityKind) -> v1::EligibilityKind {
    match kind {
        EligibilityKind::Eligible => v1::EligibilityKind::Eligible,
        EligibilityKind::PreApproved => v1::EligibilityKind::PreApproved,
        EligibilityKind::Suggested => v1::EligibilityKind::Suggested,
        EligibilityKind::Excluded => v1::EligibilityKind::Excluded,
        EligibilityKind::Approved => v1::EligibilityKind::Approved,
    }
}
