//! Disk records of resource types, resources and locations.

use pdp_engine::id::{LocationId, ObjectId, PermissionName, PersonId, TypeName};
use pdp_engine::resource::{Location, Resource, ResourceRef, ResourceType};

use super::RecordError;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ResourceTypeRecord {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, repeated, tag = "2")]
    operations: Vec<String>,
    #[prost(string, repeated, tag = "3")]
    rights: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LocationRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, optional, tag = "2")]
    parent: Option<String>,
    #[prost(bool, tag = "3")]
    organization: bool,
    #[prost(bool, tag = "4")]
    block_inheritance: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ResourceRecord {
    #[prost(message, optional, tag = "1")]
    name: Option<ResourceRefRecord>,
    #[prost(string, repeated, tag = "2")]
    locations: Vec<String>,
    #[prost(string, optional, tag = "3")]
    platform: Option<String>,
    #[prost(string, optional, tag = "4")]
    owner: Option<String>,
    #[prost(message, optional, tag = "5")]
    parent: Option<ResourceRefRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ResourceRefRecord {
    #[prost(string, tag = "1")]
    type_name: String,
    #[prost(string, tag = "2")]
    id: String,
}

// === impl ResourceTypeRecord ===

impl From<&ResourceType> for ResourceTypeRecord {
    fn from(fact: &ResourceType) -> Self {
        let ResourceType { name, operations, rights } = fact;
        let text = |name: &PermissionName| name.as_str().to_owned();
        Self {
            name: name.as_str().to_owned(),
            operations: operations.iter().map(text).collect(),
            rights: rights.iter().map(text).collect(),
        }
    }
}

impl ResourceTypeRecord {
    pub(super) fn into_fact(self) -> Result<ResourceType, RecordError> {
        let Self { name, operations, rights } = self;
        Ok(ResourceType {
            name: TypeName::new(name)?,
            operations: operations.iter().map(PermissionName::new).collect::<Result<_, _>>()?,
            rights: rights.iter().map(PermissionName::new).collect::<Result<_, _>>()?,
        })
    }
}

// === impl LocationRecord ===

impl From<&Location> for LocationRecord {
    fn from(fact: &Location) -> Self {
        let Location { id, parent, organization, block_inheritance } = fact;
        Self {
            id: id.as_str().to_owned(),
            parent: parent.as_ref().map(|id| id.as_str().to_owned()),
            organization: *organization,
            block_inheritance: *block_inheritance,
        }
    }
}

impl LocationRecord {
    pub(super) fn into_fact(self) -> Result<Location, RecordError> {
        let Self { id, parent, organization, block_inheritance } = self;
        Ok(Location {
            id: LocationId::new(id)?,
            parent: parent.map(LocationId::new).transpose()?,
            organization,
            block_inheritance,
        })
    }
}

// === impl ResourceRecord ===

impl From<&Resource> for ResourceRecord {
    fn from(fact: &Resource) -> Self {
        let Resource { name, locations, platform, owner, parent } = fact;
        Self {
            name: Some(name.into()),
            locations: places(locations),
            platform: platform.clone(),
            owner: owner.as_ref().map(|id| id.as_str().to_owned()),
            parent: parent.as_ref().map(Into::into),
        }
    }
}

impl ResourceRecord {
    pub(super) fn into_fact(self) -> Result<Resource, RecordError> {
        let Self { name, locations, platform, owner, parent } = self;
        Ok(Resource {
            name: name.ok_or(RecordError::Missing("name"))?.into_name()?,
            locations: into_places(locations)?,
            platform,
            owner: owner.map(PersonId::new).transpose()?,
            parent: parent.map(ResourceRefRecord::into_name).transpose()?,
        })
    }
}

// === impl ResourceRefRecord ===

impl From<&ResourceRef> for ResourceRefRecord {
    fn from(name: &ResourceRef) -> Self {
        let ResourceRef { type_name, id } = name;
        Self { type_name: type_name.as_str().to_owned(), id: id.as_str().to_owned() }
    }
}

impl ResourceRefRecord {
    pub(super) fn into_name(self) -> Result<ResourceRef, RecordError> {
        let Self { type_name, id } = self;
        Ok(ResourceRef { type_name: TypeName::new(type_name)?, id: ObjectId::new(id)? })
    }
}

// === places ===

pub(super) fn places(locations: &[LocationId]) -> Vec<String> {
    locations.iter().map(|id| id.as_str().to_owned()).collect()
}

pub(super) fn into_places(locations: Vec<String>) -> Result<Vec<LocationId>, RecordError> {
    Ok(locations.into_iter().map(LocationId::new).collect::<Result<_, _>>()?)
}
