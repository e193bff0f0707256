//! The facts about vault sharing (semantics, section 6): resource groups and shares.

use std::fmt;

use crate::actor::ActorRef;
use crate::id::{GroupId, PersonId, ResourceGroupId};
use crate::resource::{ResourceRef, ResourceRefError};

/// How much of an entity a share gives.
///
/// INVARIANT: declared in the order in which shares of the same kind on one layer are tried,
/// `full` apart (V4): view beats modify beats remote app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ShareLevel {
    /// Everything, managing and sharing included; wins on whatever layer it is found (V3).
    Full,
    /// Use remote apps and see passwords.
    View,
    /// Also change passwords.
    Modify,
    /// Use remote apps only.
    RemoteAppOnly,
}

impl ShareLevel {
    /// Every level.
    pub const ALL: [Self; 4] = [Self::Full, Self::View, Self::Modify, Self::RemoteAppOnly];

    /// The word that bundles use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::View => "view",
            Self::Modify => "modify",
            Self::RemoteAppOnly => "remote_app_only",
        }
    }

    /// The level of this word, if it is one.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == word)
    }

    /// Whether the level gives the action (V5).
    #[must_use]
    pub const fn gives(self, action: VaultAction) -> bool {
        match action {
            VaultAction::UseRemoteApp => true,
            VaultAction::ViewPassword => !matches!(self, Self::RemoteAppOnly),
            VaultAction::ModifyPassword => matches!(self, Self::Modify | Self::Full),
            VaultAction::Manage | VaultAction::Share => matches!(self, Self::Full),
        }
    }
}

/// What may be done with a vault entity (V5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VaultAction {
    /// Start a remote app with the account.
    UseRemoteApp,
    /// See or use the password.
    ViewPassword,
    /// Change the password.
    ModifyPassword,
    /// Change anything else about the entity.
    Manage,
    /// Share it with others.
    Share,
}

impl VaultAction {
    /// Every action.
    pub const ALL: [Self; 5] =
        [Self::UseRemoteApp, Self::ViewPassword, Self::ModifyPassword, Self::Manage, Self::Share];

    /// The action's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UseRemoteApp => "use_remote_app",
            Self::ViewPassword => "view_password",
            Self::ModifyPassword => "modify_password",
            Self::Manage => "manage",
            Self::Share => "share",
        }
    }

    /// The action of this name, if it is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == name)
    }
}

/// What lets a person use remote apps at all (V6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VaultPrivilege {
    /// May connect.
    ConnectionUser,
    /// May use remote apps.
    RemoteApp,
}

impl VaultPrivilege {
    /// Every privilege.
    pub const ALL: [Self; 2] = [Self::ConnectionUser, Self::RemoteApp];

    /// The word that bundles use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionUser => "connection_user",
            Self::RemoteApp => "remote_app",
        }
    }

    /// The privilege of this word, if it is one.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|privilege| privilege.as_str() == word)
    }
}

/// Platforms that remote apps run on (V1, V6).
pub const REMOTE_APP_PLATFORMS: [&str; 2] = ["windows", "windows_domain"];

/// A flat set of resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceGroup {
    /// Names the group; written `resource_group:ID`.
    pub id: ResourceGroupId,
    /// The resources; no vault accounts, no groups (V1).
    pub members: Vec<ResourceRef>,
    /// A default group cannot be shared with `full` (V1).
    pub default: bool,
}

/// Who something is shared with. Written `person:ID` or `group:ID`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grantee {
    /// A person.
    Person(PersonId),
    /// A group, with everything in it (A3).
    Group(GroupId),
}

impl Grantee {
    /// The grantee as an actor.
    #[must_use]
    pub fn actor(&self) -> ActorRef {
        match self {
            Self::Person(id) => ActorRef::Person(id.clone()),
            Self::Group(id) => ActorRef::Group(id.clone()),
        }
    }

    /// The actor as a grantee, if it is of one of the two kinds.
    #[must_use]
    pub fn from_actor(actor: &ActorRef) -> Option<Self> {
        match actor {
            ActorRef::Person(id) => Some(Self::Person(id.clone())),
            ActorRef::Group(id) => Some(Self::Group(id.clone())),
            ActorRef::Account(_)
            | ActorRef::SetGroup(_)
            | ActorRef::BusinessRoleLocation(..)
            | ActorRef::ManagementRole(_)
            | ActorRef::ManagementRoleDefinition(_) => None,
        }
    }
}

impl fmt::Display for Grantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.actor().fmt(f)
    }
}

/// What is shared. Written `Type:id` or `resource_group:ID`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entity {
    /// A resource or a vault account.
    Resource(ResourceRef),
    /// A resource group.
    Group(ResourceGroupId),
}

impl Entity {
    /// The word that stands for a type where the entity is a resource group.
    pub const GROUP_WORD: &'static str = "resource_group";

    /// Reads the written form.
    ///
    /// # Errors
    /// [`ResourceRefError`] says what was expected.
    pub fn parse(text: &str) -> Result<Self, ResourceRefError> {
        match text.strip_prefix("resource_group:") {
            Some(id) => Ok(Self::Group(ResourceGroupId::new(id)?)),
            None => Ok(Self::Resource(ResourceRef::parse(text)?)),
        }
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resource(resource) => resource.fmt(f),
            Self::Group(id) => write!(f, "resource_group:{id}"),
        }
    }
}

/// Names a share: there is at most one of an entity with a grantee.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShareKey {
    /// Who it is shared with.
    pub to: Grantee,
    /// What is shared.
    pub on: Entity,
}

impl fmt::Display for ShareKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {}", self.on, self.to)
    }
}

/// Shares an entity with a grantee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Who and what.
    pub key: ShareKey,
    /// How much.
    pub level: ShareLevel,
}
