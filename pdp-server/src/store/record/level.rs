//! Disk records of Access Level Definitions and assignments.

use std::collections::BTreeMap;

use pdp_engine::id::{AssignmentId, LevelName, LocationId, PermissionName, TypeName};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Relative, Scope};
use pdp_engine::permission::{Pattern, Qualifier};

use super::RecordError;
use super::actor::{ActorRecord, WindowRecord};
use super::resource::ResourceRefRecord;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AccessLevelRecord {
    #[prost(message, optional, tag = "1")]
    name: Option<LevelRefRecord>,
    #[prost(message, repeated, tag = "2")]
    operations: Vec<QualifiedRecord>,
    #[prost(message, repeated, tag = "3")]
    rights: Vec<QualifiedRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LevelRefRecord {
    #[prost(string, tag = "1")]
    type_name: String,
    #[prost(string, tag = "2")]
    name: String,
}

/// One line of a definition; no name stands for `*`.
#[derive(Clone, PartialEq, prost::Message)]
struct QualifiedRecord {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(enumeration = "QualifierNumber", tag = "2")]
    qualifier: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
enum QualifierNumber {
    Absent = 0,
    Unassigned = 1,
    Disabled = 2,
    Allowed = 3,
    Denied = 4,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AssignmentRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, optional, tag = "2")]
    to: Option<ActorRecord>,
    #[prost(message, optional, tag = "3")]
    level: Option<LevelRefRecord>,
    #[prost(oneof = "ScopeRecord", tags = "4, 5, 6")]
    scope: Option<ScopeRecord>,
    #[prost(message, optional, tag = "7")]
    window: Option<WindowRecord>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum ScopeRecord {
    #[prost(message, tag = "4")]
    On(ResourceRefRecord),
    #[prost(string, tag = "5")]
    In(String),
    #[prost(enumeration = "RelativeNumber", tag = "6")]
    Relative(i32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
enum RelativeNumber {
    Absent = 0,
    Myself = 1,
    Manager = 2,
    DirectReports = 3,
    OwnAccounts = 4,
    AccountsOfDirectReports = 5,
    InMyLocations = 6,
    MyLocationsAndAbove = 7,
    MyLocationsAndBelow = 8,
    InMyOrganization = 9,
}

// === impl AccessLevelRecord ===

impl From<&AccessLevel> for AccessLevelRecord {
    fn from(fact: &AccessLevel) -> Self {
        let AccessLevel { name, operations, rights } = fact;
        Self { name: Some(name.into()), operations: lines(operations), rights: lines(rights) }
    }
}

impl AccessLevelRecord {
    pub(super) fn into_fact(self) -> Result<AccessLevel, RecordError> {
        let Self { name, operations, rights } = self;
        Ok(AccessLevel {
            name: name.ok_or(RecordError::Missing("name"))?.into_name()?,
            operations: into_lines(operations)?,
            rights: into_lines(rights)?,
        })
    }
}

fn lines(qualifiers: &BTreeMap<Pattern, Qualifier>) -> Vec<QualifiedRecord> {
    let line = |(pattern, qualifier): (&Pattern, &Qualifier)| QualifiedRecord {
        name: match pattern {
            Pattern::All => None,
            Pattern::Name(name) => Some(name.as_str().to_owned()),
        },
        qualifier: QualifierNumber::from(*qualifier).into(),
    };
    qualifiers.iter().map(line).collect()
}

fn into_lines(lines: Vec<QualifiedRecord>) -> Result<BTreeMap<Pattern, Qualifier>, RecordError> {
    let mut qualifiers = BTreeMap::new();
    for QualifiedRecord { name, qualifier } in lines {
        let pattern = match name {
            None => Pattern::All,
            Some(name) => Pattern::Name(PermissionName::new(name)?),
        };
        qualifiers.insert(pattern, qualifier_of(qualifier)?);
    }
    Ok(qualifiers)
}

impl From<Qualifier> for QualifierNumber {
    fn from(qualifier: Qualifier) -> Self {
        match qualifier {
            Qualifier::Unassigned => Self::Unassigned,
            Qualifier::Disabled => Self::Disabled,
            Qualifier::Allowed => Self::Allowed,
            Qualifier::Denied => Self::Denied,
        }
    }
}

fn qualifier_of(number: i32) -> Result<Qualifier, RecordError> {
    let unknown = RecordError::UnknownNumber { field: "qualifier", value: i64::from(number) };
    match QualifierNumber::try_from(number) {
        Ok(QualifierNumber::Unassigned) => Ok(Qualifier::Unassigned),
        Ok(QualifierNumber::Disabled) => Ok(Qualifier::Disabled),
        Ok(QualifierNumber::Allowed) => Ok(Qualifier::Allowed),
        Ok(QualifierNumber::Denied) => Ok(Qualifier::Denied),
        Ok(QualifierNumber::Absent) | Err(_) => Err(unknown),
    }
}

// === impl LevelRefRecord ===

impl From<&LevelRef> for LevelRefRecord {
    fn from(level: &LevelRef) -> Self {
        let LevelRef { type_name, name } = level;
        Self { type_name: type_name.as_str().to_owned(), name: name.as_str().to_owned() }
    }
}

impl LevelRefRecord {
    fn into_name(self) -> Result<LevelRef, RecordError> {
        let Self { type_name, name } = self;
        Ok(LevelRef { type_name: TypeName::new(type_name)?, name: LevelName::new(name)? })
    }
}

// === impl AssignmentRecord ===

impl From<&Assignment> for AssignmentRecord {
    fn from(fact: &Assignment) -> Self {
        let Assignment { id, to, level, scope, window } = fact;
        Self {
            id: id.as_str().to_owned(),
            to: Some(to.into()),
            level: Some(level.into()),
            scope: Some(scope.into()),
            window: WindowRecord::of(window),
        }
    }
}

impl AssignmentRecord {
    pub(super) fn into_fact(self) -> Result<Assignment, RecordError> {
        let Self { id, to, level, scope, window } = self;
        Ok(Assignment {
            id: AssignmentId::new(id)?,
            to: to.ok_or(RecordError::Missing("to"))?.into_actor()?,
            level: level.ok_or(RecordError::Missing("level"))?.into_name()?,
            scope: scope.ok_or(RecordError::Missing("scope"))?.into_scope()?,
            window: WindowRecord::into_window(window),
        })
    }
}

// === impl ScopeRecord ===

impl From<&Scope> for ScopeRecord {
    fn from(scope: &Scope) -> Self {
        match scope {
            Scope::On(resource) => Self::On(resource.into()),
            Scope::In(location) => Self::In(location.as_str().to_owned()),
            Scope::Relative(relative) => Self::Relative(RelativeNumber::from(*relative).into()),
        }
    }
}

impl ScopeRecord {
    fn into_scope(self) -> Result<Scope, RecordError> {
        Ok(match self {
            Self::On(resource) => Scope::On(resource.into_name()?),
            Self::In(location) => Scope::In(LocationId::new(location)?),
            Self::Relative(number) => Scope::Relative(relative_of(number)?),
        })
    }
}

impl From<Relative> for RelativeNumber {
    fn from(relative: Relative) -> Self {
        match relative {
            Relative::Myself => Self::Myself,
            Relative::Manager => Self::Manager,
            Relative::DirectReports => Self::DirectReports,
            Relative::OwnAccounts => Self::OwnAccounts,
            Relative::AccountsOfDirectReports => Self::AccountsOfDirectReports,
            Relative::InMyLocations => Self::InMyLocations,
            Relative::MyLocationsAndAbove => Self::MyLocationsAndAbove,
            Relative::MyLocationsAndBelow => Self::MyLocationsAndBelow,
            Relative::InMyOrganization => Self::InMyOrganization,
        }
    }
}

pub(super) fn relative_of(number: i32) -> Result<Relative, RecordError> {
    let unknown = RecordError::UnknownNumber { field: "relative", value: i64::from(number) };
    match RelativeNumber::try_from(number) {
        Ok(RelativeNumber::Myself) => Ok(Relative::Myself),
        Ok(RelativeNumber::Manager) => Ok(Relative::Manager),
        Ok(RelativeNumber::DirectReports) => Ok(Relative::DirectReports),
        Ok(RelativeNumber::OwnAccounts) => Ok(Relative::OwnAccounts),
        Ok(RelativeNumber::AccountsOfDirectReports) => Ok(Relative::AccountsOfDirectReports),
        Ok(RelativeNumber::InMyLocations) => Ok(Relative::InMyLocations),
        Ok(RelativeNumber::MyLocationsAndAbove) => Ok(Relative::MyLocationsAndAbove),
        Ok(RelativeNumber::MyLocationsAndBelow) => Ok(Relative::MyLocationsAndBelow),
        Ok(RelativeNumber::InMyOrganization) => Ok(Relative::InMyOrganization),
        Ok(RelativeNumber::Absent) | Err(_) => Err(unknown),
    }
}
