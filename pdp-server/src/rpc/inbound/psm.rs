//! Permission levels, session settings and eligibilities as they arrive.

use std::collections::BTreeMap;

use pdp_engine::id::{GroupId, LocationId, ObjectId, PermissionLevelId};
use pdp_engine::psm::{
    DEFAULT_MAX_SESSION_MICROS, Eligibility, EligibilityKey, EligibilityKind, EligibilityScope,
    Jit, PermissionLevel, Psm,
};
use pdp_proto::v1;

use super::super::malformed::{Malformed, name, one, optional_name, value_of};
use super::{actor, window};

pub(super) fn permission_level(wire: v1::PermissionLevel) -> Result<PermissionLevel, Malformed> {
    let v1::PermissionLevel { id, name: display } = wire;
    Ok(PermissionLevel { id: name("id", &id, PermissionLevelId::new)?, name: display })
}

pub(super) fn psm(wire: v1::Psm) -> Result<Psm, Malformed> {
    let v1::Psm {
        computer,
        enabled,
        allow_unprivileged,
        account_store,
        max_session,
        max_concurrent,
        jit: jit_wire,
        levels,
    } = wire;
    let max_session_micros = match max_session {
        None => DEFAULT_MAX_SESSION_MICROS,
        Some(wire) => micros("max_session", wire)?,
    };
    Ok(Psm {
        computer: name("computer", &computer, ObjectId::new)?,
        enabled,
        allow_unprivileged,
        account_store,
        max_session_micros,
        max_concurrent,
        jit: jit_wire.map(jit).unwrap_or_default(),
        levels: offered(levels)?,
    })
}

fn jit(wire: v1::Jit) -> Jit {
    let v1::Jit { enabled, delete_on_end, reuse_existing } = wire;
    Jit { enabled, delete_on_end, reuse_existing }
}

fn offered(
    wires: Vec<v1::OfferedLevel>,
) -> Result<BTreeMap<PermissionLevelId, Option<GroupId>>, Malformed> {
    let mut levels = BTreeMap::new();
    for (index, v1::OfferedLevel { level, group }) in wires.into_iter().enumerate() {
        let outside = |malformed: Malformed| malformed.inside(&format!("levels[{index}]"));
        let id = name("level", &level, PermissionLevelId::new).map_err(outside)?;
        let group = optional_name("group", group.as_deref(), GroupId::new).map_err(outside)?;
        if levels.insert(id, group).is_some() {
            let message = format_args!("`{level}` stands in the list already");
            return Err(outside(Malformed::new("level", message)));
        }
    }
    Ok(levels)
}

/// The longest duration that `google.protobuf.Duration` can say, in seconds.
const MOST_SECONDS: i64 = 315_576_000_000;

/// Whether it is longer than nothing is for the policy to say.
fn micros(field: &str, wire: prost_types::Duration) -> Result<i64, Malformed> {
    let prost_types::Duration { seconds, nanos } = wire;
    let wrong = |message: &str| Malformed::new(field, message);
    let disagree = (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0);
    if disagree || !(-999_999_999..=999_999_999).contains(&nanos) {
        return Err(wrong("has nanoseconds that do not go with its seconds"));
    }
    if nanos % 1_000 != 0 {
        return Err(wrong("is finer than a microsecond"));
    }
    if !(-MOST_SECONDS..=MOST_SECONDS).contains(&seconds) {
        return Err(wrong("is longer than 10,000 years"));
    }
    // INVARIANT: the range above keeps this far within 64 bits.
    Ok(seconds * 1_000_000 + i64::from(nanos / 1_000))
}

pub(super) fn eligibility(wire: v1::Eligibility) -> Result<Eligibility, Malformed> {
    let v1::Eligibility { name, window: window_wire } = wire;
    Ok(Eligibility { key: one("name", name, eligibility_key)?, window: window(window_wire)? })
}

pub(super) fn eligibility_key(wire: v1::EligibilityKey) -> Result<EligibilityKey, Malformed> {
    let v1::EligibilityKey { to, level, scope: scope_wire, kind: number } = wire;
    Ok(EligibilityKey {
        to: one("to", to, actor)?,
        level: name("level", &level, PermissionLevelId::new)?,
        scope: one("scope", scope_wire, scope)?,
        kind: kind("kind", number)?,
    })
}

fn scope(wire: v1::EligibilityScope) -> Result<EligibilityScope, Malformed> {
    use v1::eligibility_scope::Scope as Wire;
    let v1::EligibilityScope { scope } = wire;
    Ok(match scope.ok_or_else(|| Malformed::new("", "covers nothing"))? {
        Wire::OnComputer(id) => EligibilityScope::On(name("on_computer", &id, ObjectId::new)?),
        Wire::InLocation(id) => EligibilityScope::In(name("in_location", &id, LocationId::new)?),
    })
}

fn kind(field: &str, number: i32) -> Result<EligibilityKind, Malformed> {
    Ok(match value_of(field, number)? {
        v1::EligibilityKind::Unspecified => return Err(Malformed::new(field, "is required")),
        v1::EligibilityKind::Eligible => EligibilityKind::Eligible,
        v1::EligibilityKind::PreApproved => EligibilityKind::PreApproved,
        v1::EligibilityKind::Suggested => EligibilityKind::Suggested,
        v1::EligibilityKind::Excluded => EligibilityKind::Excluded,
        v1::EligibilityKind::Approved => EligibilityKind::Approved,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_whole_microseconds_that_fit() {
        let of = |seconds, nanos| {
            micros("max_session", prost_types::Duration { seconds, nanos })
                .map_err(|malformed| malformed.message)
        };
        assert_eq!(of(2, 500_000_000), Ok(2_500_000));
        assert_eq!(of(0, 0), Ok(0));
        assert_eq!(of(-1, -1_000), Ok(-1_000_001));
        assert_eq!(of(1, 1), Err("is finer than a microsecond".to_owned()));
        let disagree = "has nanoseconds that do not go with its seconds".to_owned();
        assert_eq!(of(1, -1_000), Err(disagree.clone()));
        assert_eq!(of(-1, 1_000), Err(disagree.clone()));
        assert_eq!(of(1, 1_000_000_000), Err(disagree));
        assert_eq!(of(MOST_SECONDS, 0), Ok(MOST_SECONDS * 1_000_000));
        for seconds in [MOST_SECONDS + 1, i64::MAX, i64::MIN] {
            assert_eq!(of(seconds, 0), Err("is longer than 10,000 years".to_owned()));
        }
    }
}
