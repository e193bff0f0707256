//! Resource groups and shares as they leave.

use pdp_engine::share::{
    Entity, Grantee, ResourceGroup, Share, ShareKey, ShareLevel, VaultPrivilege,
};
use pdp_proto::v1;

use super::resource_ref;

pub(super) fn resource_group(fact: &ResourceGroup) -> v1::ResourceGroup {
    let ResourceGroup { id, members, default } = fact;
    v1::ResourceGroup {
        id: id.to_string(),
        members: members.iter().map(resource_ref).collect(),
        default: *default,
    }
}

/// A share.
pub(in crate::rpc) fn share(fact: &Share) -> v1::Share {
    let Share { key, level } = fact;
    v1::Share { name: Some(share_key(key)), level: share_level(*level).into() }
}

pub(super) fn share_key(key: &ShareKey) -> v1::ShareKey {
    let ShareKey { to, on } = key;
    v1::ShareKey { to: Some(grantee(to)), on: Some(entity(on)) }
}

fn grantee(grantee: &Grantee) -> v1::Grantee {
    use v1::grantee::Grantee as Wire;
    v1::Grantee {
        grantee: Some(match grantee {
            Grantee::Person(id) => Wire::Person(id.to_string()),
            Grantee::Group(id) => Wire::Group(id.to_string()),
        }),
    }
}

/// A vault entity.
pub(in crate::rpc) fn entity(entity: &Entity) -> v1::VaultEntity {
    use v1::vault_entity::Entity as Wire;
    v1::VaultEntity {
        entity: Some(match entity {
            Entity::Resource(name) => Wire::Resource(resource_ref(name)),
            Entity::Group(id) => Wire::ResourceGroup(id.to_string()),
        }),
    }
}

/// How much a share gives.
pub(in crate::rpc) fn share_level(level: ShareLevel) -> v1::ShareLevel {
    match level {
        ShareLevel::RemoteAppOnly => v1::ShareLevel::RemoteAppOnly,
        ShareLevel::View => v1::ShareLevel::View,
        ShareLevel::Modify => v1::ShareLevel::Modify,
        ShareLevel::Full => v1::ShareLevel::Full,
    }
}

pub(super) fn vault_privilege(privilege: VaultPrivilege) -> v1::VaultPrivilege {
    match privilege {
        VaultPrivilege::ConnectionUser => v1::VaultPrivilege::ConnectionUser,
        VaultPrivilege::RemoteApp => v1::VaultPrivilege::RemoteApp,
    }
}
