//! Resource groups and shares as they arrive.

use std::collections::BTreeSet;

use pdp_engine::id::{GroupId, PersonId, ResourceGroupId};
use pdp_engine::share::{
    Entity, Grantee, ResourceGroup, Share, ShareKey, ShareLevel, VaultPrivilege,
};
use pdp_proto::v1;

use super::super::malformed::{Malformed, all, name, one, value_of};
use super::resource_ref;

pub(super) fn resource_group(wire: v1::ResourceGroup) -> Result<ResourceGroup, Malformed> {
    let v1::ResourceGroup { id, members, default } = wire;
    Ok(ResourceGroup {
        id: name("id", &id, ResourceGroupId::new)?,
        members: all("members", members, resource_ref)?,
        default,
    })
}

pub(super) fn share(wire: v1::Share) -> Result<Share, Malformed> {
    let v1::Share { name, level } = wire;
    Ok(Share { key: one("name", name, share_key)?, level: share_level("level", level)? })
}

pub(super) fn share_key(wire: v1::ShareKey) -> Result<ShareKey, Malformed> {
    let v1::ShareKey { to, on } = wire;
    Ok(ShareKey { to: one("to", to, grantee)?, on: one("on", on, entity)? })
}

fn grantee(wire: v1::Grantee) -> Result<Grantee, Malformed> {
    use v1::grantee::Grantee as Wire;
    let v1::Grantee { grantee } = wire;
    Ok(match grantee.ok_or_else(|| Malformed::new("", "names neither a person nor a group"))? {
        Wire::Person(id) => Grantee::Person(name("person", &id, PersonId::new)?),
        Wire::Group(id) => Grantee::Group(name("group", &id, GroupId::new)?),
    })
}

fn entity(wire: v1::VaultEntity) -> Result<Entity, Malformed> {
    use v1::vault_entity::Entity as Wire;
    let v1::VaultEntity { entity } = wire;
    Ok(match entity.ok_or_else(|| Malformed::new("", "names nothing that can be shared"))? {
        Wire::Resource(wire) => Entity::Resource(one("resource", Some(wire), resource_ref)?),
        Wire::ResourceGroup(id) => {
            Entity::Group(name("resource_group", &id, ResourceGroupId::new)?)
        }
    })
}

fn share_level(field: &str, number: i32) -> Result<ShareLevel, Malformed> {
    Ok(match value_of(field, number)? {
        v1::ShareLevel::Unspecified => return Err(Malformed::new(field, "is required")),
        v1::ShareLevel::RemoteAppOnly => ShareLevel::RemoteAppOnly,
        v1::ShareLevel::View => ShareLevel::View,
        v1::ShareLevel::Modify => ShareLevel::Modify,
        v1::ShareLevel::Full => ShareLevel::Full,
    })
}

pub(super) fn vault_privileges(wires: Vec<i32>) -> Result<BTreeSet<VaultPrivilege>, Malformed> {
    let privilege = |(index, number)| {
        let field = format!("vault_privileges[{index}]");
        Ok(match value_of(&field, number)? {
            v1::VaultPrivilege::Unspecified => return Err(Malformed::new(field, "is required")),
            v1::VaultPrivilege::ConnectionUser => VaultPrivilege::ConnectionUser,
            v1::VaultPrivilege::RemoteApp => VaultPrivilege::RemoteApp,
        })
    };
    wires.into_iter().enumerate().map(privilege).collect()
}
