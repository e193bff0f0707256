//! The write side: everything the policy of one tenant holds, and how it changes.
//!
//! [`Facts`] keeps one ordered table per kind of fact. [`Facts::apply`] takes a change set, checks
//! the state that would result, and either keeps all of it or leaves the facts as they were
//! (semantics, section 9). The read side never looks in here: see [`crate::snapshot`].

mod apply;
mod cascade;
mod reference;
mod rejection;
mod validate;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use apply::{Applied, Delta};
pub use rejection::{Problem, Rejected, Rejection};

use crate::actor::{
    Account, BusinessRole, Group, ManagementRole, ManagementRoleDefinition, Person, SetGroup,
};
use crate::id::{
    AccountId, AssignmentId, BusinessRoleId, GroupId, LocationId, ManagementRoleDefinitionId,
    ManagementRoleId, ObjectId, PermissionLevelId, PersonId, ResourceGroupId, SetGroupId, TypeName,
};
use crate::level::{AccessLevel, Assignment, LevelRef};
use crate::psm::{Eligibility, EligibilityKey, PermissionLevel, Psm};
use crate::resource::{BuiltInType, Location, Resource, ResourceRef, ResourceType};
use crate::share::{ResourceGroup, Share, ShareKey};

/// How deep a tree of locations or business roles may be, in nodes from root to leaf. Every level
/// is walked for each position, and no organisation comes near it.
pub const MAX_TREE_DEPTH: usize = 128;

/// How many operations and rights one resource type may declare together. The compiled table of a
/// type is definitions times permissions.
pub const MAX_PERMISSIONS_PER_TYPE: usize = 10_000;

/// How many facts one policy may hold: handles are 32 bits wide, and half of them are kept free.
pub const MAX_FACTS: usize = 1 << 31;

/// How long a display name or a login may be, in bytes.
pub const MAX_TEXT_BYTES: usize = 1024;

// One line a kind of fact: what it is called, its payload, its key, its table, its look-up. The
// order is that of exports: what is referred to stands before what refers to it.
macro_rules! fact_kinds {
    ($($(#[$doc:meta])* $kind:ident($payload:ty, $key:ty, $of:expr), $word:literal, $table:ident, $get:ident;)+) => {
        /// The kinds of facts.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FactKind { $($(#[$doc])* $kind,)+ }

        impl FactKind {
            /// Every kind, in the order of an export.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// The kind's name in messages.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $word,)+ }
            }

            /// The kind of this name, if it is one.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
            }
        }

        /// Names one fact. Within a kind, keys order byte by byte.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FactKey { $($(#[$doc])* $kind($key),)+ }

        impl FactKey {
            /// The kind of fact it names.
            #[must_use]
            pub const fn kind(&self) -> FactKind {
                match self { $(Self::$kind(_) => FactKind::$kind,)+ }
            }

            /// The name within the kind.
            #[must_use]
            pub fn name(&self) -> String {
                match self { $(Self::$kind(key) => key.to_string(),)+ }
            }
        }

        impl fmt::Display for FactKey {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $(Self::$kind(key) => write!(f, concat!($word, " `{}`"), key),)+ }
            }
        }

        /// One fact, shared: cloning it copies a pointer.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Fact { $($(#[$doc])* $kind(Arc<$payload>),)+ }

        impl Fact {
            /// What names this fact.
            #[must_use]
            pub fn key(&self) -> FactKey {
                match self { $(Self::$kind(fact) => {
                    let of: fn(&$payload) -> $key = $of;
                    FactKey::$kind(of(fact))
                })+ }
            }
        }

        $(impl From<$payload> for Fact {
            fn from(fact: $payload) -> Self { Self::$kind(Arc::new(fact)) }
        })+

        impl Fact {
            /// Its kind.
            #[must_use]
            pub const fn kind(&self) -> FactKind {
                match self { $(Self::$kind(_) => FactKind::$kind,)+ }
            }

            fn borrowed(&self) -> FactRef<'_> {
                match self { $(Self::$kind(fact) => FactRef::$kind(fact),)+ }
            }
        }

        /// One fact, borrowed: what looks at every fact shares none.
        #[derive(Debug, Clone, Copy)]
        enum FactRef<'a> { $($kind(&'a $payload),)+ }

        impl FactRef<'_> {
            fn key(self) -> FactKey {
                match self { $(Self::$kind(fact) => {
                    let of: fn(&$payload) -> $key = $of;
                    FactKey::$kind(of(fact))
                })+ }
            }
        }

        /// Everything one tenant's policy holds.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Facts { $($table: BTreeMap<$key, Arc<$payload>>,)+ }

        impl Facts {
            $(
                /// Every fact of this kind, in the order of the keys.
                pub fn $table(&self) -> impl ExactSizeIterator<Item = &$payload> + Clone {
                    self.$table.values().map(|fact| &**fact)
                }

                /// The fact of this kind and key.
                #[must_use]
                pub fn $get(&self, key: &$key) -> Option<&$payload> {
                    self.$table.get(key).map(|fact| &**fact)
                }
            )+

            /// The fact of this key.
            #[must_use]
            pub fn get(&self, key: &FactKey) -> Option<Fact> {
                match key { $(FactKey::$kind(key) => {
                    self.$table.get(key).map(|fact| Fact::$kind(Arc::clone(fact)))
                })+ }
            }

            /// Every fact, kind by kind in the order of an export, each kind by its keys.
            pub fn iter(&self) -> impl Iterator<Item = Fact> + '_ {
                FactKind::ALL.iter().flat_map(|kind| self.of_kind(*kind))
            }

            /// Every fact of a kind, in the order of the keys.
            #[must_use]
            pub fn of_kind(&self, kind: FactKind) -> Box<dyn Iterator<Item = Fact> + '_> {
                match kind { $(FactKind::$kind => Box::new(
                    self.$table.values().map(|fact| Fact::$kind(Arc::clone(fact))),
                ),)+ }
            }

            /// Every fact of a kind, borrowed, in the order of the keys.
            fn borrowed(&self, kind: FactKind) -> Box<dyn Iterator<Item = FactRef<'_>> + '_> {
                match kind { $(FactKind::$kind => Box::new(
                    self.$table.values().map(|fact| FactRef::$kind(fact)),
                ),)+ }
            }

            /// The fact of this key, borrowed.
            fn borrow(&self, key: &FactKey) -> Option<FactRef<'_>> {
                match key { $(FactKey::$kind(key) => {
                    self.$table.get(key).map(|fact| FactRef::$kind(fact))
                })+ }
            }

            /// How many facts there are.
            #[must_use]
            pub fn len(&self) -> usize {
                0 $(+ self.$table.len())+
            }

            fn insert(&mut self, fact: Fact) -> Option<Fact> {
                let key = fact.key();
                match (key, fact) {
                    $((FactKey::$kind(key), Fact::$kind(fact)) => {
                        self.$table.insert(key, fact).map(Fact::$kind)
                    })+
                    // A fact's key is of the fact's own kind.
                    (_, _) => None,
                }
            }

            fn remove(&mut self, key: &FactKey) -> Option<Fact> {
                match key { $(FactKey::$kind(key) => self.$table.remove(key).map(Fact::$kind),)+ }
            }

            /// Tables built in one go, which takes a fraction of inserting facts one by one. Of two
            /// facts of one key the last one counts.
            fn gathered(facts: impl IntoIterator<Item = Fact>) -> Self {
                struct Rows { $($table: Vec<($key, Arc<$payload>)>,)+ }
                let mut rows = Rows { $($table: Vec::new(),)+ };
                for fact in facts {
                    match fact { $(Fact::$kind(fact) => {
                        let of: fn(&$payload) -> $key = $of;
                        rows.$table.push((of(&fact), fact));
                    })+ }
                }
                Self { $($table: rows.$table.into_iter().collect(),)+ }
            }
        }
    };
}

fact_kinds! {
    /// A resource type.
    ResourceType(ResourceType, TypeName, |f| f.name.clone()), "resource type", resource_types, resource_type;
    /// A location.
    Location(Location, LocationId, |f| f.id.clone()), "location", locations, location;
    /// A business role.
    BusinessRole(BusinessRole, BusinessRoleId, |f| f.id.clone()), "business role", business_roles, business_role;
    /// An Access Level Definition.
    AccessLevel(AccessLevel, LevelRef, |f| f.name.clone()), "access level", access_levels, access_level;
    /// A person.
    Person(Person, PersonId, |f| f.id.clone()), "person", people, person;
    /// An account.
    Account(Account, AccountId, |f| f.id.clone()), "account", accounts, account;
    /// A group.
    Group(Group, GroupId, |f| f.id.clone()), "group", groups, group;
    /// A set group.
    SetGroup(SetGroup, SetGroupId, |f| f.id.clone()), "set group", set_groups, set_group;
    /// A management role definition.
    ManagementRoleDefinition(
        ManagementRoleDefinition, ManagementRoleDefinitionId, |f| f.id.clone()
    ), "management role definition", management_role_definitions, management_role_definition;
    /// A management role.
    ManagementRole(ManagementRole, ManagementRoleId, |f| f.id.clone()), "management role", management_roles, management_role;
    /// A resource of a declared type.
    Resource(Resource, ResourceRef, |f| f.name.clone()), "resource", resources, resource;
    /// A resource group.
    ResourceGroup(ResourceGroup, ResourceGroupId, |f| f.id.clone()), "resource group", resource_groups, resource_group;
    /// An assignment.
    Assignment(Assignment, AssignmentId, |f| f.id.clone()), "assignment", assignments, assignment;
    /// A share.
    Share(Share, ShareKey, |f| f.key.clone()), "share", shares, share;
    /// A permission level.
    PermissionLevel(PermissionLevel, PermissionLevelId, |f| f.id.clone()), "permission level", permission_levels, permission_level;
    /// A computer's settings for privileged sessions.
    Psm(Psm, ObjectId, |f| f.computer.clone()), "psm settings", psm, psm_of;
    /// An eligibility.
    Eligibility(Eligibility, EligibilityKey, |f| f.key.clone()), "eligibility", eligibilities, eligibility;
}

impl Facts {
    /// Every assignment, shared.
    pub(crate) fn shared_assignments(&self) -> impl Iterator<Item = &Arc<Assignment>> {
        self.assignments.values()
    }

    /// Every fact that the write rules of vault sharing are about.
    fn of_vault(&self) -> impl Iterator<Item = FactRef<'_>> {
        use FactKind::{Account, Resource, ResourceGroup, Share};
        [Account, Resource, ResourceGroup, Share].into_iter().flat_map(|kind| self.borrowed(kind))
    }

    /// Whether a built-in type has an object of this id.
    fn has_object(&self, built_in: BuiltInType, id: &str) -> bool {
        match built_in {
            BuiltInType::Person => self.people.contains_key(id),
            BuiltInType::UserAccount => self.accounts.contains_key(id),
            BuiltInType::Group => self.groups.contains_key(id),
            BuiltInType::SetGroup => self.set_groups.contains_key(id),
            BuiltInType::BusinessRole => self.business_roles.contains_key(id),
            BuiltInType::Location => self.locations.contains_key(id),
            BuiltInType::ManagementRole => self.management_roles.contains_key(id),
            BuiltInType::ManagementRoleDefinition => {
                self.management_role_definitions.contains_key(id)
            }
        }
    }

    /// Whether there are no facts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One step of a change set. Steps are taken in order; what is checked is the state after the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Creates the fact, or replaces the one of the same key whole. A resource type adds to what
    /// the type declares already.
    Put(Fact),
    /// Removes a fact. For a built-in resource type: what was added to it.
    Delete {
        /// Which fact.
        key: FactKey,
        /// Also removes the memberships, positions, placements and assignments that name it, and
        /// clears it as manager or owner; everything else that names it still refuses.
        cascade: bool,
    },
}

impl Change {
    /// The key of the fact it touches.
    #[must_use]
    pub fn key(&self) -> FactKey {
        match self {
            Self::Put(fact) => fact.key(),
            Self::Delete { key, .. } => key.clone(),
        }
    }
}
