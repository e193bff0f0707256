//! Section 6: what a vault entity's shares, its owner and its platform come to, and which shares
//! may be written.

use pdp_engine::actor::ActorRef;
use pdp_engine::facts::Facts;
use pdp_engine::id::{AccountId, ObjectId, PersonId, ResourceGroupId};
use pdp_engine::query::{Effect, Reason};
use pdp_engine::resource::{Resource, ResourceRef};
use pdp_engine::share::{Entity, Grantee, Share, ShareLevel, VaultAction};
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
            if !has_remote_apps(self.facts, &entity) {
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
        match entity {
            Entity::Group(_) => vec![vec![entity.clone()]],
            Entity::Resource(resource) => match parent_of(self.facts, resource) {
                _ if !is_entity(self.facts, resource) => Vec::new(),
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
        let owner = self.owner_of_entity(entity).filter(|it| ActorRef::Person(it.clone()) == *asker);
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
        let top = parent_of(self.facts, name).unwrap_or_else(|| name.clone());
        resource_of(self.facts, &top)?.owner.clone()
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

fn resource_of<'a>(facts: &'a Facts, name: &ResourceRef) -> Option<&'a Resource> {
    facts.resources().find(|resource| resource.name == *name)
}

/// The parent of a vault account: a resource's own, or the computer of an account.
fn parent_of(facts: &Facts, name: &ResourceRef) -> Option<ResourceRef> {
    if name.type_name.as_str() == "UserAccount" {
        let account = AccountId::new(name.id.as_str()).ok().and_then(|id| facts.account(&id))?;
        return account.computer.as_ref().map(computer);
    }
    resource_of(facts, name)?.parent.clone()
}

fn computer(id: &ObjectId) -> ResourceRef {
    ResourceRef::parse(&format!("Computer:{id}")).expect("a computer's id is a resource's")
}

/// A resource of a declared type, or an account with a computer.
fn is_entity(facts: &Facts, name: &ResourceRef) -> bool {
    resource_of(facts, name).is_some() || parent_of(facts, name).is_some()
}

/// The platform: the parent's for what has a parent.
fn platform(facts: &Facts, name: &ResourceRef) -> Option<String> {
    let of = parent_of(facts, name).unwrap_or_else(|| name.clone());
    resource_of(facts, &of)?.platform.clone()
}

fn has_remote_apps(facts: &Facts, entity: &Entity) -> bool {
    let Entity::Resource(name) = entity else { return false };
    matches!(platform(facts, name).as_deref(), Some("windows" | "windows_domain"))
}

/// Whether section 6 allows this state: V1, and what stands above it on parents and platforms.
#[must_use]
pub fn writable(facts: &Facts) -> bool {
    facts.shares().all(|share| may_share(facts, share))
        && facts.resource_groups().all(|group| {
            group.members.iter().all(|member| {
                resource_of(facts, member).is_some() && parent_of(facts, member).is_none()
            })
        })
        && facts.resources().all(|resource| {
            let Some(parent) = &resource.parent else { return true };
            let Some(parent) = resource_of(facts, parent) else { return false };
            let own = resource.platform.as_ref();
            parent.parent.is_none() && own.is_none_or(|own| parent.platform.as_ref() == Some(own))
        })
}

/// V1 for one share.
fn may_share(facts: &Facts, share: &Share) -> bool {
    let to_default = match &share.key.to {
        Grantee::Group(id) => facts.group(id).is_some_and(|group| group.default),
        Grantee::Person(_) => false,
    };
    let of_default = match &share.key.on {
        Entity::Group(id) => facts.resource_group(id).is_some_and(|group| group.default),
        Entity::Resource(_) => false,
    };
    let (entity, account) = match &share.key.on {
        Entity::Resource(name) => (is_entity(facts, name), parent_of(facts, name).is_some()),
        Entity::Group(_) => (true, false),
    };
    entity
        && match share.level {
            ShareLevel::Full => !account && !to_default && !of_default,
            ShareLevel::RemoteAppOnly => has_remote_apps(facts, &share.key.on),
            ShareLevel::View | ShareLevel::Modify => true,
        }
}
