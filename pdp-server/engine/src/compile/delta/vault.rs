//! Resources as vault entities, resource groups and shares.

use crate::arena::{ActorIx, ResourceGroupIx, ResourceIx};
use crate::id::ResourceGroupId;
use crate::resource::Resource;
use crate::share::{Entity, ResourceGroup, Share};
use crate::snapshot::{Shared, VaultEntity};

use super::super::handles::{Handles, known};
use super::super::vault::{grantee, of_resource};
use super::draft::{Between, Draft};

// === impl Draft ===

impl Draft<'_> {
    pub(super) fn change_resource(&mut self, resource: Between<'_, Resource>) {
        let Some(either) = resource.either() else { return };
        let object = self.resource(&either.name);
        self.entity(object, resource.after.map(|resource| of_resource(resource, self)));
        if resource.differs(|resource| &resource.locations) {
            self.place(object, resource.after.map_or(&[], |resource| &resource.locations));
        }
    }

    /// Replaces what an object is as a vault entity.
    pub(super) fn entity(&mut self, object: ResourceIx, entity: Option<VaultEntity>) {
        let entity = entity.unwrap_or(VaultEntity::NONE);
        let vault = &mut self.policy.vault;
        let before = vault.entities[object];
        vault.entities.set(object, entity);
        if before.parent != entity.parent {
            if let Some(parent) = before.parent {
                vault.children.edit(parent, |children| children.retain(|child| *child != object));
            }
            if let Some(parent) = entity.parent {
                vault.children.edit(parent, |children| children.push(object));
            }
        }
        if before.owner != entity.owner {
            if let Some(owner) = before.owner {
                vault.owned.edit(owner, |owned| owned.retain(|other| *other != object));
            }
            if let Some(owner) = entity.owner {
                vault.owned.edit(owner, |owned| owned.push(object));
            }
        }
    }

    pub(super) fn name_group(&mut self, id: &ResourceGroupId) {
        let vault = &mut self.policy.vault;
        if !vault.groups.contains_key(id.as_str()) {
            let group = vault.group_names.push(id.clone());
            vault.groups.set(id.as_str(), Some(group));
            let groups = vault.group_names.len();
            vault.group_shares.grow(groups);
            vault.members.grow(groups);
        }
    }

    fn resource_group_named(&self, id: &ResourceGroupId) -> ResourceGroupIx {
        known(self.policy.vault.groups.get(id.as_str()).copied())
    }

    pub(super) fn change_resource_group(&mut self, group: Between<'_, ResourceGroup>) {
        let Some(either) = group.either() else { return };
        let handle = self.resource_group_named(&either.id);
        let members = group.after.map_or(&[][..], |group| &group.members);
        let members: Vec<ResourceIx> = members.iter().map(|member| self.resource(member)).collect();
        let before = self.policy.vault.members[handle].to_vec();
        let groups_of = &mut self.policy.vault.groups_of;
        for member in before.iter().filter(|member| !members.contains(member)) {
            groups_of.edit(*member, |groups| groups.retain(|other| *other != handle));
        }
        for member in members.iter().filter(|member| !before.contains(member)) {
            // By name, as explanations tell them.
            let mut groups = self.policy.vault.groups_of[*member].to_vec();
            let order = |other: &ResourceGroupIx| self.policy.group_order(*other, handle).is_lt();
            groups.insert(groups.partition_point(order), handle);
            self.policy.vault.groups_of.set(*member, groups);
        }
        self.policy.vault.members.set(handle, members);
    }

    pub(super) fn change_share(&mut self, share: Between<'_, Share>) {
        let Some(either) = share.either() else { return };
        let to = grantee(&either.key.to, self);
        match &either.key.on {
            Entity::Resource(resource) => {
                let object = self.resource(resource);
                let vault = &mut self.policy.vault;
                vault.shares.edit(object, |shares| replace(shares, to, share.after));
                vault.shared_with.edit(to, |objects| {
                    objects.retain(|other| *other != object);
                    objects.extend(share.after.map(|_| object));
                });
            }
            Entity::Group(id) => {
                let group = self.resource_group_named(id);
                let vault = &mut self.policy.vault;
                vault.group_shares.edit(group, |shares| replace(shares, to, share.after));
                vault.groups_shared_with.edit(to, |groups| {
                    groups.retain(|other| *other != group);
                    groups.extend(share.after.map(|_| group));
                });
            }
        }
    }
}

/// Replaces the share of a grantee among others that are sorted by grantee.
fn replace(shares: &mut Vec<Shared>, to: ActorIx, share: Option<&Share>) {
    let at = shares.partition_point(|other| other.to < to);
    if shares.get(at).is_some_and(|other| other.to == to) {
        shares.remove(at);
    }
    if let Some(share) = share {
        shares.insert(at, Shared { to, level: share.level });
    }
}
