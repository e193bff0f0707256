//! Vault sharing: resource groups, shares, and why an action is allowed or not; both ways.

use std::collections::BTreeSet;

use pdp_engine::id::{GroupId, PersonId, ResourceGroupId};
use pdp_engine::resource::ResourceRef;
use pdp_engine::share::{
    Entity, Grantee, ResourceGroup, Share, ShareKey, ShareLevel, VaultPrivilege,
};
use pdp_engine::vault::{AppliedShare, Layer, Ruling, VaultExplanation};

use super::explanation::{decision, evaluated, only, path};
use super::inbound::{name, present, resource_ref, unknown};
use super::outbound;
use crate::call::Error;
use crate::v1;

/// A resource group that arrived.
pub(super) fn resource_group(wire: v1::ResourceGroup) -> Result<ResourceGroup, Error> {
    let v1::ResourceGroup { id, members, default } = wire;
    let members = members.into_iter().map(|member| resource_ref(Some(member)));
    Ok(ResourceGroup {
        id: name(&id, ResourceGroupId::new)?,
        members: members.collect::<Result<_, _>>()?,
        default,
    })
}

/// A resource group to send.
pub(super) fn resource_group_to_wire(fact: &ResourceGroup) -> v1::ResourceGroup {
    let ResourceGroup { id, members, default } = fact;
    let members = members.iter().map(|member: &ResourceRef| outbound::resource_ref(member));
    v1::ResourceGroup { id: id.to_string(), members: members.collect(), default: *default }
}

/// A share that arrived.
pub(super) fn share(wire: v1::Share) -> Result<Share, Error> {
    let v1::Share { name, level } = wire;
    Ok(Share { key: share_key(name)?, level: share_level(level)? })
}

/// A share to send.
pub(super) fn share_to_wire(fact: &Share) -> v1::Share {
    let Share { key, level } = fact;
    let level = match level {
        ShareLevel::Full => v1::ShareLevel::Full,
        ShareLevel::View => v1::ShareLevel::View,
        ShareLevel::Modify => v1::ShareLevel::Modify,
        ShareLevel::RemoteAppOnly => v1::ShareLevel::RemoteAppOnly,
    };
    v1::Share { name: Some(share_key_to_wire(key)), level: level.into() }
}

/// The name of a share that arrived.
pub(super) fn share_key(wire: Option<v1::ShareKey>) -> Result<ShareKey, Error> {
    use v1::grantee::Grantee as Wire;
    let v1::ShareKey { to, on } = present("a share's name", wire)?;
    let v1::Grantee { grantee } = present("a grantee", to)?;
    let to = match present("a grantee's kind", grantee)? {
        Wire::Person(id) => Grantee::Person(name(&id, PersonId::new)?),
        Wire::Group(id) => Grantee::Group(name(&id, GroupId::new)?),
    };
    Ok(ShareKey { to, on: entity(present("a vault entity", on)?)? })
}

/// The name of a share to send.
pub(super) fn share_key_to_wire(key: &ShareKey) -> v1::ShareKey {
    let ShareKey { to, on } = key;
    let grantee = match to {
        Grantee::Person(id) => v1::grantee::Grantee::Person(id.to_string()),
        Grantee::Group(id) => v1::grantee::Grantee::Group(id.to_string()),
    };
    let entity = match on {
        Entity::Resource(name) => v1::vault_entity::Entity::Resource(outbound::resource_ref(name)),
        Entity::Group(id) => v1::vault_entity::Entity::ResourceGroup(id.to_string()),
    };
    v1::ShareKey {
        to: Some(v1::Grantee { grantee: Some(grantee) }),
        on: Some(v1::VaultEntity { entity: Some(entity) }),
    }
}

/// A person's privileges that arrived.
pub(super) fn privileges(numbers: Vec<i32>) -> Result<BTreeSet<VaultPrivilege>, Error> {
    let privilege = |number| match v1::VaultPrivilege::try_from(number) {
        Ok(v1::VaultPrivilege::ConnectionUser) => Ok(VaultPrivilege::ConnectionUser),
        Ok(v1::VaultPrivilege::RemoteApp) => Ok(VaultPrivilege::RemoteApp),
        Ok(v1::VaultPrivilege::Unspecified) | Err(_) => Err(unknown("vault privilege", number)),
    };
    numbers.into_iter().map(privilege).collect()
}

/// A person's privileges to send.
pub(super) fn privileges_to_wire(privileges: &BTreeSet<VaultPrivilege>) -> Vec<i32> {
    let privilege = |privilege: &VaultPrivilege| match privilege {
        VaultPrivilege::ConnectionUser => v1::VaultPrivilege::ConnectionUser.into(),
        VaultPrivilege::RemoteApp => v1::VaultPrivilege::RemoteApp.into(),
    };
    privileges.iter().map(privilege).collect()
}

/// An explanation that arrived.
pub(super) fn explanation(wire: v1::Explanation) -> Result<VaultExplanation, Error> {
    let v1::Explanation { decision: decided, evaluated_at, sides, vault, session } = wire;
    only("a vault action", sides.is_empty() && session.is_none())?;
    let v1::VaultFindings { layers, ruling: rule } = present("what was found", vault)?;
    let layers = layers.into_iter().map(layer).collect::<Result<Vec<_>, _>>()?;
    let ruling = rule.map(|rule| ruling(rule, &layers)).transpose()?;
    let evaluated_at = evaluated(evaluated_at)?;
    Ok(VaultExplanation { decision: decision(decided)?.0, evaluated_at, layers, ruling })
}

fn layer(wire: v1::VaultLayer) -> Result<Layer, Error> {
    let v1::VaultLayer { entities, shares } = wire;
    Ok(Layer {
        entities: entities.into_iter().map(entity).collect::<Result<_, _>>()?,
        shares: shares.into_iter().map(applied).collect::<Result<_, _>>()?,
    })
}

fn applied(wire: v1::AppliedShare) -> Result<AppliedShare, Error> {
    let v1::AppliedShare { share: of, deciding, subject_path } = wire;
    let Share { key, level } = share(present("a share", of)?)?;
    Ok(AppliedShare { share: key, level, deciding, subject_path: path(subject_path)? })
}

fn ruling(wire: v1::VaultRuling, layers: &[Layer]) -> Result<Ruling, Error> {
    use v1::vault_ruling::Rule as Wire;
    let v1::VaultRuling { level, rule } = wire;
    let level = share_level(level)?;
    let ruling = match present("the rule that gave a level", rule)? {
        Wire::Owner(id) => Ruling::Owner(name(&id, PersonId::new)?),
        Wire::FullAnywhere(v1::FullAnywhere {}) => Ruling::FullAnywhere,
        Wire::NearestLayer(v1::NearestLayer { layer, personal }) => {
            let number = usize::try_from(layer).ok().filter(|number| *number < layers.len());
            let layer =
                number.ok_or_else(|| Error::protocol(format!("it has no layer {layer}")))?;
            Ruling::NearestLayer { layer, personal, level }
        }
    };
    if ruling.level() != level {
        return Err(Error::protocol("the rule that decided gives another level"));
    }
    Ok(ruling)
}

fn entity(wire: v1::VaultEntity) -> Result<Entity, Error> {
    use v1::vault_entity::Entity as Wire;
    let v1::VaultEntity { entity } = wire;
    Ok(match present("a vault entity's kind", entity)? {
        Wire::Resource(wire) => Entity::Resource(resource_ref(Some(wire))?),
        Wire::ResourceGroup(id) => Entity::Group(name(&id, ResourceGroupId::new)?),
    })
}

fn share_level(number: i32) -> Result<ShareLevel, Error> {
    Ok(match v1::ShareLevel::try_from(number) {
        Ok(v1::ShareLevel::RemoteAppOnly) => ShareLevel::RemoteAppOnly,
        Ok(v1::ShareLevel::View) => ShareLevel::View,
        Ok(v1::ShareLevel::Modify) => ShareLevel::Modify,
        Ok(v1::ShareLevel::Full) => ShareLevel::Full,
        Ok(v1::ShareLevel::Unspecified) | Err(_) => return Err(unknown("share level", number)),
    })
}
