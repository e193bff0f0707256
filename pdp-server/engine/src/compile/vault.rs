//! Vault entities with their layers and shares (section 6).

use crate::actor::{Account, ActorRef};
use crate::arena::ActorIx;
use crate::arena::{Handle, Lists, ResourceGroupIx, ResourceIx, Rows, Table};
use crate::facts::Facts;
use crate::resource::Resource;
use crate::share::{Entity, Grantee, REMOTE_APP_PLATFORMS};
use crate::snapshot::{NameTableBuilder, Shared, Vault, VaultEntity};

use super::handles::{Handles, known};
use super::names::Names;

pub(super) fn compile(facts: &Facts, names: &Names) -> Vault {
    let group_names: Table<ResourceGroupIx, _> =
        facts.resource_groups().map(|group| group.id.clone()).collect();
    let mut groups = NameTableBuilder::with_capacity(group_names.len());
    group_names.iter().for_each(|(ix, id)| groups.insert(id.as_str(), ix));
    let groups = crate::snapshot::NameTable::from(groups);
    let (mut shares, mut group_shares) = (Vec::new(), Vec::new());
    for share in facts.shares() {
        let shared = Shared { to: grantee(&share.key.to, names), level: share.level };
        match &share.key.on {
            Entity::Resource(resource) => shares.push((names.resource(resource), shared)),
            Entity::Group(id) => {
                group_shares.push((known(groups.get(id.as_str()).copied()), shared));
            }
        }
    }
    shares.sort_by_key(|(_, shared): &(ResourceIx, Shared)| shared.to);
    group_shares.sort_by_key(|(_, shared): &(ResourceGroupIx, Shared)| shared.to);
    let mut groups_of = Vec::new();
    for (index, group) in facts.resource_groups().enumerate() {
        let ix = ResourceGroupIx::from_index(index);
        groups_of.extend(group.members.iter().map(|member| (names.resource(member), ix)));
    }
    let resources = names.resource_rows.len();
    let entities = entities(facts, names);
    let owned = || entities.iter().filter_map(|(ix, entity)| Some((entity.owner?, ix)));
    let children = || entities.iter().filter_map(|(ix, entity)| Some((entity.parent?, ix)));
    let actors = names.actor_rows.len();
    let groups_with = group_shares.iter().map(|(of, shared): &(_, Shared)| (shared.to, *of));
    Vault {
        members: Lists::from_pairs(
            group_names.len(),
            groups_of.iter().map(|(resource, group)| (*group, *resource)).collect(),
        ),
        shared_with: Lists::scattered(actors, || {
            shares.iter().map(|(of, shared)| (shared.to, *of))
        }),
        groups_shared_with: Lists::from_pairs(actors, groups_with.collect()),
        owned: Lists::scattered(actors, owned),
        children: Lists::scattered(resources, children),
        entities: entities.into(),
        shares: Lists::scattered(resources, || shares.iter().copied()),
        groups_of: Lists::scattered(resources, || groups_of.iter().copied()),
        group_shares: Lists::from_pairs(group_names.len(), group_shares),
        groups,
        group_names,
    }
}

/// A grantee as an actor.
pub(super) fn grantee(grantee: &Grantee, handles: &impl Handles) -> ActorIx {
    match grantee {
        Grantee::Person(id) => handles.person(id),
        Grantee::Group(id) => handles.group(id),
    }
}

/// Every object as an entity. The resources come last among the objects, in the order of the facts.
fn entities(facts: &Facts, names: &Names) -> Rows<ResourceIx, VaultEntity> {
    let before = names.resource_rows.len() - facts.resources().len();
    let mut entities: Rows<ResourceIx, VaultEntity> =
        std::iter::repeat_n(VaultEntity::NONE, before).collect();
    for account in facts.accounts().filter(|account| account.computer.is_some()) {
        let name = ActorRef::Account(account.id.clone());
        // The objects begin with those of the people and the accounts.
        let object = ResourceIx::from_index(names.actor(&name).index());
        entities[object] = of_account(account, names);
    }
    facts.resources().for_each(|resource| {
        entities.push(of_resource(resource, names));
    });
    entities
}

/// An account on a computer is an entity, and the computer its parent; never its own owner (V3).
pub(super) fn of_account(account: &Account, handles: &impl Handles) -> VaultEntity {
    let parent = account.computer.as_ref().map(|id| handles.computer(id));
    VaultEntity { is_entity: parent.is_some(), parent, ..VaultEntity::NONE }
}

pub(super) fn of_resource(resource: &Resource, handles: &impl Handles) -> VaultEntity {
    let parent = resource.parent.as_ref().map(|parent| handles.resource(parent));
    let owner = resource.owner.as_ref().filter(|_| parent.is_none());
    VaultEntity {
        is_entity: true,
        parent,
        owner: owner.map(|id| handles.person(id)),
        remote_apps: resource
            .platform
            .as_deref()
            .is_some_and(|platform| REMOTE_APP_PLATFORMS.contains(&platform)),
    }
}
