//! Section 6: what a vault entity's shares, its owner and its platform come to, and which shares
//! may be written.

use pdp_engine::actor::{Account, ActorRef, Group};
use pdp_engine::facts::{Fact, Facts};
use pdp_engine::id::{PersonId, ResourceGroupId};
use pdp_engine::query::{Effect, Reason};
use pdp_engine::resource::{Resource, ResourceRef};
use pdp_engine::share::{Entity, Grantee, ResourceGroup, Share, ShareLevel, VaultAction};
use pdp_engine::vault::VaultQuestion;

use super::{Answer, Oracle, Refused, object, subject};

/// What the shares and the owner come to (V3, V4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The level.
    pub level: ShareLevel,
    /// The owner, if ownership gives it.
    pub owner: Option<PersonId>,
    /// The layer that decides, if one does.
    pub layer: Option<usize>,
    /// Whether the deciding shares are to the person.
    pub personal: bool,
    /// The shares that decide.
    pub deciding: Vec<Share>,
}

// === impl Oracle ===

impl Oracle<'_> {
    /// Q6, then V3 to V7.
    ///
    /// # Errors
    /// [`Refused`] where a name cannot be one, or the entity does not take the action.
    pub fn decide_vault(&self, question: &VaultQuestion<'_>) -> Result<Answer, Refused> {
        let asker = subject(question.subject)?;
        let entity = entity(question)?;
        let actions = VaultAction::ALL.into_iter();
        let action = actions.clone().find(|it| word(*it) == question.action).ok_or(Refused)?;
        let of_groups = matches!(action, VaultAction::Manage | VaultAction::Share);
        if matches!(entity, Entity::Group(_)) && !of_groups {
            return Err(Refused);
        }
        let deny = |reason| Ok((Effect::Deny, reason));
        if let Err(unknown) = self.know_subject(&asker) {
            return deny(unknown);
        }
        let known = match &entity {
            Entity::Resource(resource) => self.exists(resource),
            Entity::Group(id) => self.facts.resource_group(id).is_some(),
        };
        if !known {
            return deny(Reason::UnknownResource);
        }
        let Some(found) = self.found(&asker, &entity) else { return deny(Reason::NotShared) };
        if !gives(found.level).contains(&action) {
            return deny(Reason::LevelTooLow);
        }
        if action == VaultAction::UseRemoteApp {
            if !Holdings::of(self.facts).has_remote_apps(&entity) {
                return deny(Reason::RemoteAppUnsupported);
            }
            if !self.is_privileged(&asker) {
                return deny(Reason::RemoteAppNotPrivileged);
            }
        }
        Ok((Effect::Allow, Reason::Granted))
    }

    /// V2: nearest first. Empty for what is no vault entity.
    #[must_use]
    pub fn layers(&self, entity: &Entity) -> Vec<Vec<Entity>> {
        let groups_of = |resource: &ResourceRef| -> Vec<Entity> {
            let groups = self.facts.resource_groups().filter(|it| it.members.contains(resource));
            groups.map(|it| Entity::Group(it.id.clone())).collect()
        };
        let holdings = Holdings::of(self.facts);
        match entity {
            Entity::Group(_) => vec![vec![entity.clone()]],
            Entity::Resource(resource) => match holdings.parent_of(resource) {
                _ if !holdings.is_entity(resource) => Vec::new(),
                Some(parent) => {
                    vec![
                        vec![entity.clone()],
                        vec![Entity::Resource(parent.clone())],
                        groups_of(&parent),
                    ]
                }
                None => vec![vec![entity.clone()], groups_of(resource)],
            },
        }
    }

    /// The shares on an entity that apply to the subject.
    #[must_use]
    pub fn applying(&self, asker: &ActorRef, entity: &Entity) -> Vec<Share> {
        let counts_as = self.counts_as(asker);
        let on = self.facts.shares().filter(|share| share.key.on == *entity);
        let applies = |share: &&Share| match &share.key.to {
            Grantee::Person(id) => *asker == ActorRef::Person(id.clone()),
            Grantee::Group(id) => counts_as.contains(&ActorRef::Group(id.clone())),
        };
        on.filter(applies).cloned().collect()
    }

    /// V3 and V4.
    #[must_use]
    pub fn found(&self, asker: &ActorRef, entity: &Entity) -> Option<Found> {
        let layers: Vec<Vec<Share>> = self
            .layers(entity)
            .iter()
            .map(|layer| layer.iter().flat_map(|one| self.applying(asker, one)).collect())
            .collect();
        let full: Vec<Share> =
            layers.iter().flatten().filter(|it| it.level == ShareLevel::Full).cloned().collect();
        let owner =
            self.owner_of_entity(entity).filter(|it| ActorRef::Person(it.clone()) == *asker);
        if owner.is_some() || !full.is_empty() {
            let level = ShareLevel::Full;
            return Some(Found { level, owner, layer: None, personal: false, deciding: full });
        }
        let (at, nearest) = layers.into_iter().enumerate().find(|(_, it)| !it.is_empty())?;
        let to_person = |share: &Share| matches!(share.key.to, Grantee::Person(_));
        let personal = nearest.iter().any(to_person);
        let of_kind: Vec<Share> =
            nearest.into_iter().filter(|share| to_person(share) == personal).collect();
        let order = [ShareLevel::View, ShareLevel::Modify, ShareLevel::RemoteAppOnly];
        let level =
            order.into_iter().find(|level| of_kind.iter().any(|share| share.level == *level))?;
        let deciding = of_kind.into_iter().filter(|share| share.level == level).collect();
        Some(Found { level, owner: None, layer: Some(at), personal, deciding })
    }

    /// V3: the owner of the resource, or of the account's parent.
    fn owner_of_entity(&self, entity: &Entity) -> Option<PersonId> {
        let Entity::Resource(name) = entity else { return None };
        let holdings = Holdings::of(self.facts);
        let top = holdings.parent_of(name).unwrap_or_else(|| name.clone());
        holdings.resource(&top)?.owner.clone()
    }

    /// V6.
    fn is_privileged(&self, asker: &ActorRef) -> bool {
        let ActorRef::Person(id) = asker else { return false };
        // Either of the two privileges there are.
        self.facts.person(id).is_some_and(|person| !person.vault_privileges.is_empty())
    }
}

/// The question's entity.
fn entity(question: &VaultQuestion<'_>) -> Result<Entity, Refused> {
    if question.entity.type_name == "resource_group" {
        return ResourceGroupId::new(question.entity.id).map(Entity::Group).map_err(|_| Refused);
    }
    object(question.entity).map(Entity::Resource)
}

const fn word(action: VaultAction) -> &'static str {
    match action {
        VaultAction::UseRemoteApp => "use_remote_app",
        VaultAction::ViewPassword => "view_password",
        VaultAction::ModifyPassword => "modify_password",
        VaultAction::Manage => "manage",
        VaultAction::Share => "share",
    }
}

/// V5.
fn gives(level: ShareLevel) -> Vec<VaultAction> {
    use VaultAction::{Manage, ModifyPassword, Share, UseRemoteApp, ViewPassword};
    match level {
        ShareLevel::RemoteAppOnly => vec![UseRemoteApp],
        ShareLevel::View => vec![UseRemoteApp, ViewPassword],
        ShareLevel::Modify => vec![UseRemoteApp, ViewPassword, ModifyPassword],
        ShareLevel::Full => vec![UseRemoteApp, ViewPassword, ModifyPassword, Manage, Share],
    }
}

/// Everything that section 6 looks at: of a policy, or of one that is proposed.
#[derive(Debug, Clone)]
pub struct Holdings<'a> {
    resources: Vec<&'a Resource>,
    accounts: Vec<&'a Account>,
    groups: Vec<&'a Group>,
    resource_groups: Vec<&'a ResourceGroup>,
    shares: Vec<&'a Share>,
}

// === impl Holdings ===

impl<'a> Holdings<'a> {
    /// Of the policy.
    #[must_use]
    pub fn of(facts: &'a Facts) -> Self {
        Self {
            resources: facts.resources().collect(),
            accounts: facts.accounts().collect(),
            groups: facts.groups().collect(),
            resource_groups: facts.resource_groups().collect(),
            shares: facts.shares().collect(),
        }
    }

    /// With this fact in place of the one of the same name.
    #[must_use]
    pub fn with(mut self, fact: &'a Fact) -> Self {
        match fact {
            Fact::Resource(new) => {
                self.resources.retain(|it| it.name != new.name);
                self.resources.push(new);
            }
            Fact::Account(new) => {
                self.accounts.retain(|it| it.id != new.id);
                self.accounts.push(new);
            }
            Fact::Group(new) => {
                self.groups.retain(|it| it.id != new.id);
                self.groups.push(new);
            }
            Fact::ResourceGroup(new) => {
                self.resource_groups.retain(|it| it.id != new.id);
                self.resource_groups.push(new);
            }
            Fact::Share(new) => {
                self.shares.retain(|it| it.key != new.key);
                self.shares.push(new);
            }
            _ => {}
        }
        self
    }

    fn resource(&self, name: &ResourceRef) -> Option<&'a Resource> {
        self.resources.iter().find(|resource| resource.name == *name).copied()
    }

    /// The parent of a vault account: a resource's own, or the computer of an account.
    fn parent_of(&self, name: &ResourceRef) -> Option<ResourceRef> {
        if name.type_name.as_str() == "UserAccount" {
            let mut accounts = self.accounts.iter();
            let account = accounts.find(|account| account.id.as_str() == name.id.as_str())?;
            return account.computer.as_ref().map(ResourceRef::computer);
        }
        self.resource(name)?.parent.clone()
    }

    /// A resource of a declared type, or an account with a computer.
    fn is_entity(&self, name: &ResourceRef) -> bool {
        self.resource(name).is_some() || self.parent_of(name).is_some()
    }

    /// The platform, which is the parent's for what has a parent, has remote apps.
    fn has_remote_apps(&self, entity: &Entity) -> bool {
        let Entity::Resource(name) = entity else { return false };
        let of = self.parent_of(name).unwrap_or_else(|| name.clone());
        let platform = self.resource(&of).and_then(|it| it.platform.as_deref());
        matches!(platform, Some("windows" | "windows_domain"))
    }

    /// Whether section 6 allows this state: V1, and what stands above it on parents and platforms.
    #[must_use]
    pub fn are_writable(&self) -> bool {
        let parents_are_parentless = (self.resources.iter().filter_map(|it| it.parent.clone()))
            .chain(
                self.accounts
                    .iter()
                    .filter_map(|it| it.computer.as_ref().map(ResourceRef::computer)),
            )
            .all(|parent| self.resource(&parent).is_some_and(|it| it.parent.is_none()));
        let platforms_agree = self.resources.iter().all(|child| {
            let parent = child.parent.as_ref().and_then(|parent| self.resource(parent));
            match (parent, &child.platform) {
                (Some(parent), Some(own)) => parent.platform.as_ref() == Some(own),
                _ => true,
            }
        });
        let groups_are_flat = self.resource_groups.iter().all(|group| {
            let mut members = group.members.iter();
            members.all(|it| self.resource(it).is_some() && self.parent_of(it).is_none())
        });
        parents_are_parentless
            && platforms_agree
            && groups_are_flat
            && self.shares.iter().all(|share| self.may_share(share))
    }

    /// V1 for one share.
    fn may_share(&self, share: &Share) -> bool {
        let to_default = match &share.key.to {
            Grantee::Group(id) => self.groups.iter().any(|it| it.id == *id && it.default),
            Grantee::Person(_) => false,
        };
        let of_default = match &share.key.on {
            Entity::Group(id) => self.resource_groups.iter().any(|it| it.id == *id && it.default),
            Entity::Resource(_) => false,
        };
        let (entity, account) = match &share.key.on {
            Entity::Resource(name) => (self.is_entity(name), self.parent_of(name).is_some()),
            Entity::Group(_) => (true, false),
        };
        entity
            && match share.level {
                ShareLevel::Full => !account && !to_default && !of_default,
                ShareLevel::RemoteAppOnly => self.has_remote_apps(&share.key.on),
                ShareLevel::View | ShareLevel::Modify => true,
            }
    }
}
