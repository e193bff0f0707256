//! Disk records of resource groups and shares.

use pdp_engine::id::{GroupId, PersonId, ResourceGroupId};
use pdp_engine::share::{
    Entity, Grantee, ResourceGroup, Share, ShareKey, ShareLevel, VaultPrivilege,
};

use super::RecordError;
use super::resource::ResourceRefRecord;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ResourceGroupRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, repeated, tag = "2")]
    members: Vec<ResourceRefRecord>,
    #[prost(bool, tag = "3")]
    default: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ShareRecord {
    #[prost(oneof = "GranteeRecord", tags = "1, 2")]
    to: Option<GranteeRecord>,
    #[prost(oneof = "EntityRecord", tags = "3, 4")]
    on: Option<EntityRecord>,
    #[prost(enumeration = "ShareLevelNumber", tag = "5")]
    level: i32,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum GranteeRecord {
    #[prost(string, tag = "1")]
    Person(String),
    #[prost(string, tag = "2")]
    Group(String),
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum EntityRecord {
    #[prost(message, tag = "3")]
    Resource(ResourceRefRecord),
    #[prost(string, tag = "4")]
    Group(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
enum ShareLevelNumber {
    Absent = 0,
    RemoteAppOnly = 1,
    View = 2,
    Modify = 3,
    Full = 4,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum VaultPrivilegeNumber {
    Absent = 0,
    ConnectionUser = 1,
    RemoteApp = 2,
}

// === impl ResourceGroupRecord ===

impl From<&ResourceGroup> for ResourceGroupRecord {
    fn from(fact: &ResourceGroup) -> Self {
        let ResourceGroup { id, members, default } = fact;
        Self {
            id: id.as_str().to_owned(),
            members: members.iter().map(Into::into).collect(),
            default: *default,
        }
    }
}

impl ResourceGroupRecord {
    pub(super) fn into_fact(self) -> Result<ResourceGroup, RecordError> {
        let Self { id, members, default } = self;
        Ok(ResourceGroup {
            id: ResourceGroupId::new(id)?,
            members: members
                .into_iter()
                .map(ResourceRefRecord::into_name)
                .collect::<Result<_, _>>()?,
            default,
        })
    }
}

// === impl ShareRecord ===

impl From<&Share> for ShareRecord {
    fn from(fact: &Share) -> Self {
        let Share { key: ShareKey { to, on }, level } = fact;
        Self {
            to: Some(match to {
                Grantee::Person(id) => GranteeRecord::Person(id.as_str().to_owned()),
                Grantee::Group(id) => GranteeRecord::Group(id.as_str().to_owned()),
            }),
            on: Some(match on {
                Entity::Resource(name) => EntityRecord::Resource(name.into()),
                Entity::Group(id) => EntityRecord::Group(id.as_str().to_owned()),
            }),
            level: match level {
                ShareLevel::RemoteAppOnly => ShareLevelNumber::RemoteAppOnly,
                ShareLevel::View => ShareLevelNumber::View,
                ShareLevel::Modify => ShareLevelNumber::Modify,
                ShareLevel::Full => ShareLevelNumber::Full,
            }
            .into(),
        }
    }
}

impl ShareRecord {
    pub(super) fn into_fact(self) -> Result<Share, RecordError> {
        let Self { to, on, level } = self;
        let to = match to.ok_or(RecordError::Missing("grantee"))? {
            GranteeRecord::Person(id) => Grantee::Person(PersonId::new(id)?),
            GranteeRecord::Group(id) => Grantee::Group(GroupId::new(id)?),
        };
        let on = match on.ok_or(RecordError::Missing("entity"))? {
            EntityRecord::Resource(name) => Entity::Resource(name.into_name()?),
            EntityRecord::Group(id) => Entity::Group(ResourceGroupId::new(id)?),
        };
        let level = match ShareLevelNumber::try_from(level) {
            Ok(ShareLevelNumber::RemoteAppOnly) => ShareLevel::RemoteAppOnly,
            Ok(ShareLevelNumber::View) => ShareLevel::View,
            Ok(ShareLevelNumber::Modify) => ShareLevel::Modify,
            Ok(ShareLevelNumber::Full) => ShareLevel::Full,
            Ok(ShareLevelNumber::Absent) | Err(_) => {
                let value = i64::from(level);
                return Err(RecordError::UnknownNumber { field: "share level", value });
            }
        };
        Ok(Share { key: ShareKey { to, on }, level })
    }
}

// === impl VaultPrivilegeNumber ===

impl From<VaultPrivilege> for VaultPrivilegeNumber {
    fn from(privilege: VaultPrivilege) -> Self {
        match privilege {
            VaultPrivilege::ConnectionUser => Self::ConnectionUser,
            VaultPrivilege::RemoteApp => Self::RemoteApp,
        }
    }
}

pub(super) fn privilege_of(number: i32) -> Result<VaultPrivilege, RecordError> {
    let field = "vault privilege";
    match VaultPrivilegeNumber::try_from(number) {
        Ok(VaultPrivilegeNumber::ConnectionUser) => Ok(VaultPrivilege::ConnectionUser),
        Ok(VaultPrivilegeNumber::RemoteApp) => Ok(VaultPrivilege::RemoteApp),
        Ok(VaultPrivilegeNumber::Absent) | Err(_) => {
            Err(RecordError::UnknownNumber { field, value: i64::from(number) })
        }
    }
}
