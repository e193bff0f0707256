//! A handle for everything that has a name.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Index;
use std::sync::Arc;

use crate::actor::{ActorRef, Person};
use crate::arena::{ActorIx, Handle, LevelIx, LocationIx, ResourceIx, RoleIx, Table, TypeIx};
use crate::facts::Facts;
use crate::id::{AccountId, BusinessRoleId, LocationId, ObjectId, TypeName};
use crate::level::LevelRef;
use crate::resource::{BuiltInType, ResourceRef};
use crate::snapshot::{Besides, Is, NameTable};

pub(super) struct Names {
    /// People first, then accounts, then what stands for the accounts besides the policy: those are the
    /// subjects. Then the others, and last the
    /// Business Role and Location pairs that something names.
    pub(super) actors: Numbered<ActorRef, ActorIx>,
    pub(super) actor_rows: Table<ActorIx, ActorRef>,
    /// How many actors can be subjects.
    pub(super) subjects: usize,
    /// The last of the subjects, and its object: what stands for every account besides the policy.
    pub(super) besides: Besides,
    pub(super) locations: Numbered<LocationId, LocationIx>,
    pub(super) roles: Numbered<BusinessRoleId, RoleIx>,
    pub(super) levels: Numbered<LevelRef, LevelIx>,
    pub(super) types: Numbered<TypeName, TypeIx>,
    pub(super) type_rows: Table<TypeIx, TypeName>,
    pub(super) resources: Numbered<ResourceRef, ResourceIx>,
    pub(super) resource_rows: Table<ResourceIx, ResourceRef>,
    pub(super) resource_is: Table<ResourceIx, Is>,
}

/// Handles by name. Looking up a name that is not there is a bug: see the compiler's INVARIANT.
pub(super) struct Numbered<K, H>(HashMap<K, H>);

impl<K: Eq + Hash, H: Handle> Numbered<K, H> {
    fn new(keys: impl Iterator<Item = K>) -> Self {
        Self(keys.enumerate().map(|(index, key)| (key, H::from_index(index))).collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, H)> {
        self.0.iter().map(|(key, handle)| (key, *handle))
    }
}

#[expect(clippy::indexing_slicing, reason = "INVARIANT: see the compiler's")]
impl<K: Eq + Hash, H> Index<&K> for Numbered<K, H> {
    type Output = H;

    fn index(&self, key: &K) -> &H {
        &self.0[key]
    }
}

impl Names {
    pub(super) fn new(facts: &Facts) -> Self {
        let (actor_rows, subjects) = actor_rows(facts);
        let actors = Numbered::new(actor_rows.iter().map(|(_, actor)| actor.clone()));
        let locations = Numbered::new(facts.locations().map(|location| location.id.clone()));
        let mut type_rows = Table::default();
        for built_in in BuiltInType::ALL {
            type_rows.push(built_in.type_name());
        }
        for declared in facts.resource_types() {
            if BuiltInType::from_name(declared.name.as_str()).is_none() {
                type_rows.push(declared.name.clone());
            }
        }
        let (resource_rows, resource_is) = resource_rows(facts, &actors, &locations);
        // The objects begin with those of the people and the accounts.
        let besides = Besides {
            actor: ActorIx::from_index(subjects - 1),
            object: ResourceIx::from_index(subjects - 1),
        };
        Self {
            subjects,
            besides,
            roles: Numbered::new(facts.business_roles().map(|role| role.id.clone())),
            levels: Numbered::new(facts.access_levels().map(|level| level.name.clone())),
            types: Numbered::new(type_rows.iter().map(|(_, name)| name.clone())),
            resources: Numbered::new(resource_rows.iter().map(|(_, name)| name.clone())),
            actors,
            actor_rows,
            locations,
            type_rows,
            resource_rows,
            resource_is,
        }
    }

    pub(super) fn people(&self, facts: &Facts) -> NameTable<ActorIx> {
        let named = facts.people().enumerate();
        named.map(|(index, p)| (p.id.to_shared(), ActorIx::from_index(index))).collect()
    }

    pub(super) fn logins(&self, facts: &Facts) -> HashMap<ActorIx, Arc<str>> {
        let named = facts.people().enumerate();
        let login = |(index, person): (usize, &Person)| {
            Some((ActorIx::from_index(index), Arc::from(person.login.as_deref()?)))
        };
        named.filter_map(login).collect()
    }

    pub(super) fn object_of(&self) -> Table<ActorIx, Option<ResourceIx>> {
        let mut objects: Table<ActorIx, Option<ResourceIx>> =
            self.actor_rows.iter().map(|_| None).collect();
        for (resource, is) in self.resource_is.iter() {
            if let Is::Person(actor) | Is::Account(actor) | Is::Actor(actor) = is {
                objects[*actor] = Some(resource);
            }
        }
        objects
    }

    pub(super) fn accounts(&self, facts: &Facts) -> NameTable<ActorIx> {
        let named = (facts.people().len()..).zip(facts.accounts());
        named.map(|(index, a)| (a.id.to_shared(), ActorIx::from_index(index))).collect()
    }
}

fn actor_rows(facts: &Facts) -> (Table<ActorIx, ActorRef>, usize) {
    let people = facts.people().map(|person| ActorRef::Person(person.id.clone()));
    let accounts = facts.accounts().map(|account| ActorRef::Account(account.id.clone()));
    let besides = ActorRef::Account(AccountId::besides_the_policy());
    let groups = facts.groups().map(|group| ActorRef::Group(group.id.clone()));
    let set_groups = facts.set_groups().map(|group| ActorRef::SetGroup(group.id.clone()));
    let roles = facts.management_roles().map(|role| ActorRef::ManagementRole(role.id.clone()));
    let definitions = facts
        .management_role_definitions()
        .map(|definition| ActorRef::ManagementRoleDefinition(definition.id.clone()));
    // A pair is an actor only where something names it: nobody else can tell that it exists.
    let assignees = facts.assignments().map(|assignment| &assignment.to);
    let members = facts.management_roles().flat_map(|role| role.members.iter().map(|m| &m.of));
    let eligible = facts.eligibilities().map(|eligibility| &eligibility.key.to);
    let mut pairs: Vec<_> = assignees
        .chain(members)
        .chain(eligible)
        .filter(|actor| matches!(actor, ActorRef::BusinessRoleLocation(..)))
        .cloned()
        .collect();
    pairs.sort();
    pairs.dedup();
    let subjects = people.len() + accounts.len() + 1;
    let rows = people.chain(accounts).chain([besides]);
    let rows = rows.chain(groups).chain(set_groups).chain(roles).chain(definitions);
    (rows.chain(pairs).collect(), subjects)
}

type ResourceRows = (Table<ResourceIx, ResourceRef>, Table<ResourceIx, Is>);

/// The objects of the built-in types, then the resources.
fn resource_rows(
    facts: &Facts,
    actors: &Numbered<ActorRef, ActorIx>,
    locations: &Numbered<LocationId, LocationIx>,
) -> ResourceRows {
    let (mut names, mut is) = ResourceRows::default();
    let mut add = |built_in: BuiltInType, id: Arc<str>, what: Is| {
        let (type_name, id) = (built_in.type_name(), ObjectId::from_shared(id));
        names.push(ResourceRef { type_name, id });
        is.push(what);
    };
    for person in facts.people() {
        let what = Is::Person(actors[&ActorRef::Person(person.id.clone())]);
        add(BuiltInType::Person, person.id.to_shared(), what);
    }
    for account in facts.accounts() {
        let what = Is::Account(actors[&ActorRef::Account(account.id.clone())]);
        add(BuiltInType::UserAccount, account.id.to_shared(), what);
    }
    let besides = AccountId::besides_the_policy();
    let what = Is::Account(actors[&ActorRef::Account(besides.clone())]);
    add(BuiltInType::UserAccount, besides.to_shared(), what);
    for location in facts.locations() {
        let what = Is::Location(locations[&location.id]);
        add(BuiltInType::Location, location.id.to_shared(), what);
    }
    for group in facts.groups() {
        let what = Is::Actor(actors[&ActorRef::Group(group.id.clone())]);
        add(BuiltInType::Group, group.id.to_shared(), what);
    }
    for group in facts.set_groups() {
        let what = Is::Actor(actors[&ActorRef::SetGroup(group.id.clone())]);
        add(BuiltInType::SetGroup, group.id.to_shared(), what);
    }
    for (index, role) in facts.business_roles().enumerate() {
        let what = Is::BusinessRole(RoleIx::from_index(index));
        add(BuiltInType::BusinessRole, role.id.to_shared(), what);
    }
    for role in facts.management_roles() {
        let what = Is::Actor(actors[&ActorRef::ManagementRole(role.id.clone())]);
        add(BuiltInType::ManagementRole, role.id.to_shared(), what);
    }
    for definition in facts.management_role_definitions() {
        let actor = ActorRef::ManagementRoleDefinition(definition.id.clone());
        let what = Is::Actor(actors[&actor]);
        add(BuiltInType::ManagementRoleDefinition, definition.id.to_shared(), what);
    }
    for resource in facts.resources() {
        names.push(resource.name.clone());
        is.push(Is::Plain);
    }
    (names, is)
}
