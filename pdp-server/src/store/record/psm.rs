//! Disk records of permission levels, session settings and eligibilities.

use pdp_engine::id::{GroupId, LocationId, ObjectId, PermissionLevelId};
use pdp_engine::psm::{
    Eligibility, EligibilityKey, EligibilityKind, EligibilityScope, Jit, PermissionLevel, Psm,
};

use super::RecordError;
use super::actor::{ActorRecord, WindowRecord};

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PermissionLevelRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PsmRecord {
    #[prost(string, tag = "1")]
    computer: String,
    #[prost(bool, tag = "2")]
    enabled: bool,
    #[prost(bool, tag = "3")]
    allow_unprivileged: bool,
    #[prost(string, optional, tag = "4")]
    account_store: Option<String>,
    #[prost(int64, tag = "5")]
    max_session_micros: i64,
    #[prost(uint32, tag = "6")]
    max_concurrent: u32,
    #[prost(message, optional, tag = "7")]
    jit: Option<JitRecord>,
    #[prost(message, repeated, tag = "8")]
    levels: Vec<OfferedLevelRecord>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct JitRecord {
    #[prost(bool, tag = "1")]
    enabled: bool,
    #[prost(bool, tag = "2")]
    delete_on_end: bool,
    #[prost(bool, tag = "3")]
    reuse_existing: bool,
}

/// A permission level that is offered; no group: not mapped yet.
#[derive(Clone, PartialEq, prost::Message)]
struct OfferedLevelRecord {
    #[prost(string, tag = "1")]
    level: String,
    #[prost(string, optional, tag = "2")]
    group: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EligibilityRecord {
    #[prost(message, optional, tag = "1")]
    to: Option<ActorRecord>,
    #[prost(string, tag = "2")]
    level: String,
    #[prost(oneof = "EligibilityScopeRecord", tags = "3, 4")]
    scope: Option<EligibilityScopeRecord>,
    #[prost(enumeration = "EligibilityKindNumber", tag = "5")]
    kind: i32,
    #[prost(message, optional, tag = "6")]
    window: Option<WindowRecord>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum EligibilityScopeRecord {
    #[prost(string, tag = "3")]
    On(String),
    #[prost(string, tag = "4")]
    In(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
enum EligibilityKindNumber {
    Absent = 0,
    Eligible = 1,
    PreApproved = 2,
    Suggested = 3,
    Excluded = 4,
    Approved = 5,
}

// === impl PermissionLevelRecord ===

impl From<&PermissionLevel> for PermissionLevelRecord {
    fn from(fact: &PermissionLevel) -> Self {
        let PermissionLevel { id, name } = fact;
        Self { id: id.as_str().to_owned(), name: name.clone() }
    }
}

impl PermissionLevelRecord {
    pub(super) fn into_fact(self) -> Result<PermissionLevel, RecordError> {
        let Self { id, name } = self;
        Ok(PermissionLevel { id: PermissionLevelId::new(id)?, name })
    }
}

// === impl PsmRecord ===

impl From<&Psm> for PsmRecord {
    fn from(fact: &Psm) -> Self {
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
        let offered = |(level, group): (&PermissionLevelId, &Option<GroupId>)| OfferedLevelRecord {
            level: level.as_str().to_owned(),
            group: group.as_ref().map(|id| id.as_str().to_owned()),
        };
        Self {
            computer: computer.as_str().to_owned(),
            enabled: *enabled,
            allow_unprivileged: *allow_unprivileged,
            account_store: account_store.clone(),
            max_session_micros: *max_session_micros,
            max_concurrent: *max_concurrent,
            jit: Some(JitRecord {
                enabled: *jit_enabled,
                delete_on_end: *delete_on_end,
                reuse_existing: *reuse_existing,
            }),
            levels: levels.iter().map(offered).collect(),
        }
    }
}

impl PsmRecord {
    pub(super) fn into_fact(self) -> Result<Psm, RecordError> {
        let Self {
            computer,
            enabled,
            allow_unprivileged,
            account_store,
            max_session_micros,
            max_concurrent,
            jit,
            levels,
        } = self;
        let JitRecord { enabled: jit_enabled, delete_on_end, reuse_existing } =
            jit.ok_or(RecordError::Missing("jit"))?;
        Ok(Psm {
            computer: ObjectId::new(computer)?,
            enabled,
            allow_unprivileged,
            account_store,
            max_session_micros,
            max_concurrent,
            jit: Jit { enabled: jit_enabled, delete_on_end, reuse_existing },
            levels: levels
                .into_iter()
                .map(|OfferedLevelRecord { level, group }| {
                    Ok((PermissionLevelId::new(level)?, group.map(GroupId::new).transpose()?))
                })
                .collect::<Result<_, RecordError>>()?,
        })
    }
}

// === impl EligibilityRecord ===

impl From<&Eligibility> for EligibilityRecord {
    fn from(fact: &Eligibility) -> Self {
        let Eligibility { key: EligibilityKey { to, level, scope, kind }, window } = fact;
        Self {
            to: Some(to.into()),
            level: level.as_str().to_owned(),
            scope: Some(match scope {
                EligibilityScope::On(id) => EligibilityScopeRecord::On(id.as_str().to_owned()),
                EligibilityScope::In(id) => EligibilityScopeRecord::In(id.as_str().to_owned()),
            }),
            kind: match kind {
                EligibilityKind::Eligible => EligibilityKindNumber::Eligible,
                EligibilityKind::PreApproved => EligibilityKindNumber::PreApproved,
                EligibilityKind::Suggested => EligibilityKindNumber::Suggested,
                EligibilityKind::Excluded => EligibilityKindNumber::Excluded,
                EligibilityKind::Approved => EligibilityKindNumber::Approved,
            }
            .into(),
            window: WindowRecord::of(window),
        }
    }
}

impl EligibilityRecord {
    pub(super) fn into_fact(self) -> Result<Eligibility, RecordError> {
        let Self { to, level, scope, kind, window } = self;
        let scope = match scope.ok_or(RecordError::Missing("scope"))? {
            EligibilityScopeRecord::On(id) => EligibilityScope::On(ObjectId::new(id)?),
            EligibilityScopeRecord::In(id) => EligibilityScope::In(LocationId::new(id)?),
        };
        let kind = match EligibilityKindNumber::try_from(kind) {
            Ok(EligibilityKindNumber::Eligible) => EligibilityKind::Eligible,
            Ok(EligibilityKindNumber::PreApproved) => EligibilityKind::PreApproved,
            Ok(EligibilityKindNumber::Suggested) => EligibilityKind::Suggested,
            Ok(EligibilityKindNumber::Excluded) => EligibilityKind::Excluded,
            Ok(EligibilityKindNumber::Approved) => EligibilityKind::Approved,
            Ok(EligibilityKindNumber::Absent) | Err(_) => {
                let value = i64::from(kind);
                return Err(RecordError::UnknownNumber { field: "eligibility kind", value });
            }
        };
        Ok(Eligibility {
            key: EligibilityKey {
                to: to.ok_or(RecordError::Missing("to"))?.into_actor()?,
                level: PermissionLevelId::new(level)?,
                scope,
                kind,
            },
            window: WindowRecord::into_window(window),
        })
    }
}
