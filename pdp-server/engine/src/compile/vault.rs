//! Vault entities with their layers and shares (section 6).

use crate::actor::ActorRef;
use crate::arena::{Handle, Lists, ResourceGroupIx, ResourceIx, Table};
use crate::facts::Facts;
use crate::resource::{BuiltInType, Resource, ResourceRef};
use crate::share::{Entity, REMOTE_APP_PLATFORMS};
use crate::snapshot::{Shared, Vault, VaultEntity};

use super::names::Names;

pub(super) fn compile(facts: &Facts, names: &Names) -> Vault {
    let group_names: Table<ResourceGroupIx, _> =
        facts.resource_groups().map(|group| group.id.clone()).collect();
    let groups: std::collections::HashMap<_, _> =
        group_names.iter().map(|(ix, id)| (id.to_shared(), ix)).collect();
    let (mut shares, mut group_shares) = (Vec::new(), Vec::new());
    for share in facts.shares() {
        let shared = Shared { to: names.actors[&share.key.to.actor()], level: share.level };
        match &share.key.on {
            Entity::Resource(resource) => shares.push((names.resources[resource], shared)),
            Entity::Group(id) => {
                group_shares.extend(groups.get(id.as_str()).map(|ix| (*ix, shared)))
            }
        }
    }
    shares.sort_by_key(|(_, shared): &(ResourceIx, Shared)| shared.to);
    group_shares.sort_by_key(|(_, shared): &(ResourceGroupIx, Shared)| shared.to);
    let mut groups_of = Vec::new();
    for (index, group) in facts.resource_groups().enumerate() {
        let ix = ResourceGroupIx::from_index(index);
        groups_of.extend(group.members.iter().map(|member| (names.resources[member], ix)));
    }
    let resources = names.resource_rows.len();
    let entities: Table<ResourceIx, VaultEntity> =
        names.resource_rows.iter().map(|(_, name)| entity(facts, names, name)).collect();
    let turned = |pairs: &[(ResourceIx, Shared)]| {
        pairs.iter().map(|(of, shared)| (shared.to, *of)).collect()
    };
    let owned = entities.iter().filter_map(|(ix, entity)| Some((entity.owner?, ix))).collect();
    let children = entities.iter().filter_map(|(ix, entity)| Some((entity.parent?, ix))).collect();
    let actors = names.actor_rows.len();
    let groups_with = group_shares.iter().map(|(of, shared): &(_, Shared)| (shared.to, *of));
    Vault {
        members: Lists::from_pairs(
            group_names.len(),
            groups_of.iter().map(|(resource, group)| (*group, *resource)).collect(),
        ),
        shared_with: Lists::from_pairs(actors, turned(&shares)),
        groups_shared_with: Lists::from_pairs(actors, groups_with.collect()),
        owned: Lists::from_pairs(actors, owned),
        children: Lists::from_pairs(resources, children),
        entities,
        shares: Lists::from_pairs(resources, shares),
        groups_of: Lists::from_pairs(resources, groups_of),
        group_shares: Lists::from_pairs(group_names.len(), group_shares),
        groups,
        group_names,
    }
}

fn entity(facts: &Facts, names: &Names, name: &ResourceRef) -> VaultEntity {
    match BuiltInType::from_name(name.type_name.as_str()) {
        None => {
            facts.resource(name).map_or(VaultEntity::NONE, |resource| of_resource(names, resource))
        }
        Some(BuiltInType::UserAccount) => {
            let account = crate::id::AccountId::new(name.id.as_str()).ok();
            let account = account.as_ref().and_then(|id| facts.account(id));
            let computer = account.and_then(|account| account.computer.as_ref());
            // Never an account's own owner (V3).
            let parent = computer.map(|id| names.resources[&ResourceRef::computer(id)]);
            VaultEntity { is_entity: parent.is_some(), parent, ..VaultEntity::NONE }
        }
        Some(_) => VaultEntity::NONE,
    }
}

fn of_resource(names: &Names, resource: &Resource) -> VaultEntity {
    let parent: Option<ResourceIx> = resource.parent.as_ref().map(|parent| names.resources[parent]);
    let owner = resource.owner.as_ref().filter(|_| parent.is_none());
    VaultEntity {
        is_entity: true,
        parent,
        owner: owner.map(|id| names.actors[&ActorRef::Person(id.clone())]),
        remote_apps: resource
            .platform
            .as_deref()
            .is_some_and(|platform| REMOTE_APP_PLATFORMS.contains(&platform)),
    }
}
