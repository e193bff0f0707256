//! Privileged sessions: permission levels, what computers offer, eligibilities, and why a session
//! can be opened or not; both ways.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use pdp_engine::id::{AccountId, GroupId, LocationId, ObjectId, PermissionLevelId};
use pdp_engine::psm::{
    DEFAULT_MAX_SESSION_MICROS, Eligibility, EligibilityKey, EligibilityKind, EligibilityScope,
    Jit, PermissionLevel, Psm,
};
use pdp_engine::session::{
    AccountMode, AppliedEligibility, Obligations, Privileged, SessionDecision, SessionExplanation,
};
use pdp_engine::time::Timestamp;

use super::explanation::{decision, evaluated, only, path};
use super::inbound::{actor, name, optional_name, present, unknown, window};
use super::outbound;
use crate::call::Error;
use crate::obligation::{self, OnEnd};
use crate::v1;

/// A permission level that arrived.
pub(super) fn permission_level(wire: v1::PermissionLevel) -> Result<PermissionLevel, Error> {
    let v1::PermissionLevel { id, name: display } = wire;
    Ok(PermissionLevel { id: name(&id, PermissionLevelId::new)?, name: display })
}

/// A permission level to send.
pub(super) fn permission_level_to_wire(fact: &PermissionLevel) -> v1::PermissionLevel {
    let PermissionLevel { id, name } = fact;
    v1::PermissionLevel { id: id.to_string(), name: name.clone() }
}

/// A computer's settings that arrived.
pub(super) fn settings(wire: v1::Psm) -> Result<Psm, Error> {
    let v1::Psm {
        computer,
        enabled,
        allow_unprivileged,
        account_store,
        max_session,
        max_concurrent,
        jit,
        levels: offered,
    } = wire;
    let jit = match jit {
        Some(v1::Jit { enabled, delete_on_end, reuse_existing }) => {
            Jit { enabled, delete_on_end, reuse_existing }
        }
        None => Jit::default(),
    };
    let max_session = max_session.map_or(Ok(DEFAULT_MAX_SESSION_MICROS), micros)?;
    let mut levels = BTreeMap::new();
    for v1::OfferedLevel { level, group } in offered {
        let id = name(&level, PermissionLevelId::new)?;
        let group = optional_name(group.as_deref(), GroupId::new)?;
        if levels.insert(id, group).is_some() {
            return Err(Error::protocol(format!("a computer offers `{level}` twice")));
        }
    }
    Ok(Psm {
        computer: name(&computer, ObjectId::new)?,
        enabled,
        allow_unprivileged,
        account_store,
        max_session_micros: max_session,
        max_concurrent,
        jit,
        levels,
    })
}

/// A computer's settings to send.
pub(super) fn settings_to_wire(fact: &Psm) -> v1::Psm {
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
    let within = max_session_micros.rem_euclid(1_000_000);
    v1::Psm {
        computer: computer.to_string(),
        enabled: *enabled,
        allow_unprivileged: *allow_unprivileged,
        account_store: account_store.clone(),
        max_session: Some(prost_types::Duration {
            seconds: max_session_micros.div_euclid(1_000_000),
            // INVARIANT: less than a million, so that a thousand times as much fits into 32 bits.
            nanos: i32::try_from(within).unwrap_or_default() * 1_000,
        }),
        max_concurrent: *max_concurrent,
        jit: Some(v1::Jit {
            enabled: *jit_enabled,
            delete_on_end: *delete_on_end,
            reuse_existing: *reuse_existing,
        }),
        levels: levels.iter().map(offered).collect(),
    }
}

/// An eligibility that arrived.
pub(super) fn eligibility(wire: v1::Eligibility) -> Result<Eligibility, Error> {
    let v1::Eligibility { name, window: open } = wire;
    Ok(Eligibility { key: eligibility_key(name)?, window: window(open)? })
}

/// An eligibility to send.
pub(super) fn eligibility_to_wire(fact: &Eligibility) -> v1::Eligibility {
    let Eligibility { key, window } = fact;
    v1::Eligibility { name: Some(eligibility_key_to_wire(key)), window: outbound::window(window) }
}

/// The name of an eligibility that arrived.
pub(super) fn eligibility_key(wire: Option<v1::EligibilityKey>) -> Result<EligibilityKey, Error> {
    use v1::eligibility_scope::Scope as Wire;
    let v1::EligibilityKey { to, level, scope, kind } = present("an eligibility's name", wire)?;
    let v1::EligibilityScope { scope } = present("an eligibility's scope", scope)?;
    let scope = match present("an eligibility's kind of scope", scope)? {
        Wire::OnComputer(id) => EligibilityScope::On(name(&id, ObjectId::new)?),
        Wire::InLocation(id) => EligibilityScope::In(name(&id, LocationId::new)?),
    };
    Ok(EligibilityKey {
        to: actor(to)?,
        level: name(&level, PermissionLevelId::new)?,
        scope,
        kind: eligibility_kind(kind)?,
    })
}

/// The name of an eligibility to send.
pub(super) fn eligibility_key_to_wire(key: &EligibilityKey) -> v1::EligibilityKey {
    let EligibilityKey { to, level, scope, kind } = key;
    let scope = match scope {
        EligibilityScope::On(id) => v1::eligibility_scope::Scope::OnComputer(id.to_string()),
        EligibilityScope::In(id) => v1::eligibility_scope::Scope::InLocation(id.to_string()),
    };
    let kind = match kind {
        EligibilityKind::Eligible => v1::EligibilityKind::Eligible,
        EligibilityKind::PreApproved => v1::EligibilityKind::PreApproved,
        EligibilityKind::Suggested => v1::EligibilityKind::Suggested,
        EligibilityKind::Excluded => v1::EligibilityKind::Excluded,
        EligibilityKind::Approved => v1::EligibilityKind::Approved,
    };
    v1::EligibilityKey {
        to: Some(outbound::actor(to)),
        level: level.to_string(),
        scope: Some(v1::EligibilityScope { scope: Some(scope) }),
        kind: kind.into(),
    }
}

/// An explanation that arrived.
pub(super) fn explanation(wire: v1::Explanation) -> Result<SessionExplanation, Error> {
    let v1::Explanation { decision: decided, evaluated_at, sides, vault, session } = wire;
    only("a session", sides.is_empty() && vault.is_none())?;
    let v1::SessionFindings { eligibilities, visible_levels } = present("what was found", session)?;
    let (decision, obligations) = decision(decided)?;
    let obligations = obligations.map(self::obligations).transpose()?;
    let levels = visible_levels.iter().map(|level| name(level, PermissionLevelId::new));
    Ok(SessionExplanation {
        decided: SessionDecision { decision, obligations },
        evaluated_at: evaluated(evaluated_at)?,
        eligibilities: eligibilities.into_iter().map(applied).collect::<Result<_, _>>()?,
        visible_levels: levels.collect::<Result<_, _>>()?,
    })
}

fn applied(wire: v1::AppliedEligibility) -> Result<AppliedEligibility, Error> {
    let v1::AppliedEligibility { to, kind, subject_path } = wire;
    Ok(AppliedEligibility {
        to: actor(to)?,
        kind: eligibility_kind(kind)?,
        subject_path: path(subject_path)?,
    })
}

/// What goes with an `ALLOW`.
pub(super) fn obligations(read: obligation::Obligations) -> Result<Obligations, Error> {
    let obligation::Obligations { not_after, privileged } = read;
    let privileged = privileged.map(|read| {
        let obligation::Privileged { group, account, on_end } = read;
        let account = match account {
            obligation::AccountMode::Existing(id) => {
                AccountMode::Existing(name(&id, AccountId::new)?)
            }
            obligation::AccountMode::JitNew => AccountMode::JitNew,
            obligation::AccountMode::JitReuse(id) => {
                AccountMode::JitReuse(name(&id, AccountId::new)?)
            }
        };
        // The engine knows no session that leaves its account in the group.
        if !on_end.contains(&OnEnd::RemoveFromGroup) {
            return Err(Error::protocol("its obligations leave the account in the native group"));
        }
        Ok::<_, Error>(Privileged {
            group: name(&group, GroupId::new)?,
            account,
            delete_account: on_end.contains(&OnEnd::DeleteAccount),
        })
    });
    Ok(Obligations { privileged: privileged.transpose()?, not_after: moment(not_after)? })
}

fn moment(at: SystemTime) -> Result<Timestamp, Error> {
    let micros = match at.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).ok(),
        Err(before) => i64::try_from(before.duration().as_micros()).ok().map(|micros| -micros),
    };
    micros
        .map(Timestamp::from_micros)
        .ok_or_else(|| Error::protocol("the end of the session is no time in microseconds"))
}

fn eligibility_kind(number: i32) -> Result<EligibilityKind, Error> {
    Ok(match v1::EligibilityKind::try_from(number) {
        Ok(v1::EligibilityKind::Eligible) => EligibilityKind::Eligible,
        Ok(v1::EligibilityKind::PreApproved) => EligibilityKind::PreApproved,
        Ok(v1::EligibilityKind::Suggested) => EligibilityKind::Suggested,
        Ok(v1::EligibilityKind::Excluded) => EligibilityKind::Excluded,
        Ok(v1::EligibilityKind::Approved) => EligibilityKind::Approved,
        Ok(v1::EligibilityKind::Unspecified) | Err(_) => {
            return Err(unknown("kind of eligibility", number));
        }
    })
}

fn micros(wire: prost_types::Duration) -> Result<i64, Error> {
    let prost_types::Duration { seconds, nanos } = wire;
    let micros = seconds
        .checked_mul(1_000_000)
        .filter(|_| (0..1_000_000_000).contains(&nanos) && nanos % 1_000 == 0)
        .and_then(|micros| micros.checked_add(i64::from(nanos / 1_000)))
        .filter(|micros| *micros > 0);
    micros.ok_or_else(|| {
        Error::protocol(format!("{seconds} s and {nanos} ns are no length in microseconds"))
    })
}
