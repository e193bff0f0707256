//! The part of a snapshot that vault decisions read (semantics, section 6).

use super::NameTable;
use crate::arena::{ActorIx, Lists, ResourceGroupIx, ResourceIx, Table};
use crate::id::ResourceGroupId;
use crate::share::ShareLevel;

/// Entities, what they are in, and who they are shared with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vault {
    pub(crate) entities: Table<ResourceIx, VaultEntity>,
    /// Sorted by grantee, as those of groups are.
    pub(crate) shares: Lists<ResourceIx, Shared>,
    pub(crate) groups_of: Lists<ResourceIx, ResourceGroupIx>,
    pub(crate) groups: NameTable<ResourceGroupIx>,
    pub(crate) group_shares: Lists<ResourceGroupIx, Shared>,
    pub(crate) group_names: Table<ResourceGroupIx, ResourceGroupId>,

    // Turned round, for lists.
    pub(crate) members: Lists<ResourceGroupIx, ResourceIx>,
    pub(crate) shared_with: Lists<ActorIx, ResourceIx>,
    pub(crate) groups_shared_with: Lists<ActorIx, ResourceGroupIx>,
    pub(crate) owned: Lists<ActorIx, ResourceIx>,
    pub(crate) children: Lists<ResourceIx, ResourceIx>,
}

// === impl Vault ===

impl Vault {
    pub(super) fn settle(&mut self) {
        let Self {
            entities,
            shares,
            groups_of,
            groups,
            group_shares,
            group_names,
            members,
            shared_with,
            groups_shared_with,
            owned,
            children,
        } = self;
        entities.settle();
        shares.settle();
        groups_of.settle();
        groups.settle();
        group_shares.settle();
        group_names.settle();
        members.settle();
        shared_with.settle();
        groups_shared_with.settle();
        owned.settle();
        children.settle();
    }
}

/// A resource as a vault entity.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VaultEntity {
    /// An object of a built-in type that is no account on a computer is none.
    pub(crate) is_entity: bool,
    /// A vault account's parent.
    pub(crate) parent: Option<ResourceIx>,
    pub(crate) owner: Option<ActorIx>,
    /// Its own platform has remote apps (V6); a vault account goes by its parent's.
    pub(crate) remote_apps: bool,
}

/// One share, seen from what is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shared {
    pub(crate) to: ActorIx,
    pub(crate) level: ShareLevel,
}

impl VaultEntity {
    /// What is no entity.
    pub(crate) const NONE: Self =
        Self { is_entity: false, parent: None, owner: None, remote_apps: false };
}
