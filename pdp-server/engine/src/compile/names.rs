//! A handle for everything that has a name.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::actor::ActorRef;
use crate::arena::{
    ActorIx, Handle, LevelIx, Lists, LocationIx, ResourceGroupIx, ResourceIx, RoleIx, Rows, Table,
    TypeIx,
};
use crate::facts::Facts;
use crate::id::{AccountId, BusinessRoleId, LocationId, ObjectId, TypeName};
use crate::level::LevelRef;
use crate::resource::{BuiltInType, ResourceRef};
use crate::snapshot::{Besides, Fresh, Is, NameMap, NameTable, NameTableBuilder};

use super::handles::{Handles, type_of};

pub(super) struct Names {
    pub(super) people: NameTable<ActorIx>,
    pub(super) accounts: NameTable<ActorIx>,
    /// People first, then accounts, then what stands for the accounts besides the policy: those are the
    /// subjects. Then the others, and last the Business Role and Location pairs that something names.
    pub(super) actor_rows: Rows<ActorIx, ActorRef>,
    /// How many actors can be subjects.
    pub(super) subjects: usize,
    /// The last of the subjects, and its object: what stands for every account besides the policy.
    pub(super) besides: Besides,
    /// The pairs of each role, by location.
    pub(super) pairs_of: Lists<RoleIx, (LocationIx, ActorIx)>,
    pub(super) types: NameMap<TypeIx>,
    pub(super) type_rows: Rows<TypeIx, TypeName>,
    levels: HashMap<LevelRef, LevelIx>,
    /// Apart from all other objects, so that they stay in the caches: everything is placed somewhere.
    locations: NameTable<LocationIx>,
    pub(super) objects: NameTable<ResourceIx>,
    pub(super) resource_rows: Rows<ResourceIx, ResourceRef>,
    pub(super) resource_kind: Rows<ResourceIx, TypeIx>,
    pub(super) resource_is: Rows<ResourceIx, Is>,
}

// === impl Names ===

impl Handles for Names {
    fn find_type(&self, name: &str) -> Option<TypeIx> {
        self.types.get(name).copied()
    }

    fn find_object(&self, kind: TypeIx, id: &str) -> Option<ResourceIx> {
        self.objects.get_of(kind, id).copied()
    }

    fn find_person(&self, id: &str) -> Option<ActorIx> {
        self.people.get(id).copied()
    }

    fn find_account(&self, id: &str) -> Option<ActorIx> {
        self.accounts.get(id).copied()
    }

    fn find_level(&self, _: TypeIx, _: &str) -> Option<LevelIx> {
        None
    }

    fn find_pair(&self, role: RoleIx, location: LocationIx) -> Option<ActorIx> {
        pair_at(&self.pairs_of[role], location)
    }

    fn is(&self, object: ResourceIx) -> Is {
        self.resource_is[object]
    }

    fn location(&self, id: &LocationId) -> LocationIx {
        super::handles::known(self.locations.get(id.as_str()).copied())
    }

    fn level(&self, level: &LevelRef) -> LevelIx {
        super::handles::known(self.levels.get(level).copied())
    }
}

impl Names {
    pub(super) fn new(threads: NonZeroUsize, facts: &Facts) -> Self {
        let mut type_rows = Rows::default();
        for built_in in BuiltInType::ALL {
            type_rows.push(built_in.type_name());
        }
        for declared in facts.resource_types() {
            if BuiltInType::from_name(declared.name.as_str()).is_none() {
                type_rows.push(declared.name.clone());
            }
        }
        let types: NameMap<_> =
            type_rows.iter().map(|(ix, name): (_, &TypeName)| (name.to_shared(), ix)).collect();
        let mut subjects = facts.people().len() + facts.accounts().len();
        // The objects begin with those of the people and the accounts.
        let besides = Besides {
            actor: ActorIx::from_index(subjects),
            object: ResourceIx::from_index(subjects),
        };
        subjects += 1;
        let (objects, (actor_rows, people, accounts, locations, pairs)) = super::at_once(
            threads,
            || Objects::new(facts, &types, &type_rows, subjects),
            || {
                let (people, accounts) = (people(facts), accounts(facts));
                (actor_rows(facts), people, accounts, locations(facts), pairs(facts))
            },
        );
        let Objects { types: _, names: objects, rows, kind, is } = objects;
        let level = |(index, name)| (name, LevelIx::from_index(index));
        let levels = facts.access_levels().map(|level| level.name.clone());
        let mut names = Self {
            people,
            accounts,
            actor_rows,
            subjects,
            besides,
            pairs_of: Lists::default(),
            types,
            type_rows,
            levels: levels.enumerate().map(level).collect(),
            locations,
            objects: objects.into(),
            resource_rows: rows,
            resource_kind: kind,
            resource_is: is,
        };
        let mut pairs_of = Vec::new();
        for (role, location) in pairs {
            let pair = ActorRef::BusinessRoleLocation(role.clone(), location.clone());
            let actor = names.actor_rows.push(pair);
            pairs_of.push((names.role(role), (names.location(location), actor)));
        }
        names.pairs_of = Lists::from_pairs(facts.business_roles().len(), pairs_of);
        names
    }

    /// From where on handles come one by one.
    pub(super) fn fresh(&self, facts: &Facts) -> Fresh {
        Fresh {
            actor: ActorIx::from_index(self.actor_rows.len()),
            resource: ResourceIx::from_index(self.resource_rows.len()),
            group: ResourceGroupIx::from_index(facts.resource_groups().len()),
        }
    }

    pub(super) fn logins(&self, facts: &Facts) -> Table<ActorIx, Option<Arc<str>>> {
        let logins = facts.people().map(|person| person.login.as_deref().map(Arc::from));
        let others = self.actor_rows.len() - facts.people().len();
        logins.chain(std::iter::repeat_n(None, others)).collect()
    }

    pub(super) fn object_of(&self) -> Rows<ActorIx, Option<ResourceIx>> {
        let mut objects: Rows<ActorIx, Option<ResourceIx>> =
            self.actor_rows.iter().map(|_| None).collect();
        for (resource, is) in self.resource_is.iter() {
            if let Is::Person(actor) | Is::Account(actor) | Is::Actor(actor) = is {
                objects[*actor] = Some(resource);
            }
        }
        objects
    }
}

/// The pair at a location among those of a role.
pub(super) fn pair_at(pairs: &[(LocationIx, ActorIx)], location: LocationIx) -> Option<ActorIx> {
    let at = pairs.binary_search_by_key(&location, |(location, _)| *location).ok()?;
    pairs.get(at).map(|(_, pair)| *pair)
}

fn people(facts: &Facts) -> NameTable<ActorIx> {
    let mut table = NameTableBuilder::with_capacity(facts.people().len());
    for (index, person) in facts.people().enumerate() {
        table.insert(person.id.as_str(), ActorIx::from_index(index));
    }
    table.into()
}

fn locations(facts: &Facts) -> NameTable<LocationIx> {
    let mut table = NameTableBuilder::with_capacity(facts.locations().len());
    for (index, location) in facts.locations().enumerate() {
        table.insert(location.id.as_str(), LocationIx::from_index(index));
    }
    table.into()
}

fn accounts(facts: &Facts) -> NameTable<ActorIx> {
    let mut table = NameTableBuilder::with_capacity(facts.accounts().len());
    for (index, account) in (facts.people().len()..).zip(facts.accounts()) {
        table.insert(account.id.as_str(), ActorIx::from_index(index));
    }
    table.into()
}

/// Every actor but the pairs.
fn actor_rows(facts: &Facts) -> Rows<ActorIx, ActorRef> {
    let people = facts.people().map(|person| ActorRef::Person(person.id.clone()));
    let accounts = facts.accounts().map(|account| ActorRef::Account(account.id.clone()));
    let besides = ActorRef::Account(AccountId::besides_the_policy());
    let groups = facts.groups().map(|group| ActorRef::Group(group.id.clone()));
    let set_groups = facts.set_groups().map(|group| ActorRef::SetGroup(group.id.clone()));
    let roles = facts.management_roles().map(|role| ActorRef::ManagementRole(role.id.clone()));
    let definitions = facts
        .management_role_definitions()
        .map(|definition| ActorRef::ManagementRoleDefinition(definition.id.clone()));
    let rows = people.chain(accounts).chain([besides]);
    rows.chain(groups).chain(set_groups).chain(roles).chain(definitions).collect()
}

/// The pairs that something names, in order. A pair is an actor only where something names it: nobody
/// else can tell that it exists.
fn pairs(facts: &Facts) -> Vec<(&BusinessRoleId, &LocationId)> {
    let assignees = facts.assignments().map(|assignment| &assignment.to);
    let members = facts.management_roles().flat_map(|role| role.members.iter().map(|m| &m.of));
    let eligible = facts.eligibilities().map(|eligibility| &eligibility.key.to);
    let named = assignees.chain(members).chain(eligible);
    let mut pairs: Vec<_> = named
        .filter_map(|actor| match actor {
            ActorRef::BusinessRoleLocation(role, location) => Some((role, location)),
            _ => None,
        })
        .collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

/// The objects of the built-in types, then the resources.
struct Objects<'a> {
    types: &'a Rows<TypeIx, TypeName>,
    names: NameTableBuilder<ResourceIx>,
    rows: Rows<ResourceIx, ResourceRef>,
    kind: Rows<ResourceIx, TypeIx>,
    is: Rows<ResourceIx, Is>,
}

// === impl Objects ===

impl<'a> Objects<'a> {
    /// INVARIANT: actors have their handles in the order in which they come here.
    fn new(
        facts: &Facts,
        types: &NameMap<TypeIx>,
        type_rows: &'a Rows<TypeIx, TypeName>,
        subjects: usize,
    ) -> Self {
        let others = facts.groups().len() + facts.set_groups().len();
        let roles = facts.management_roles().len() + facts.management_role_definitions().len();
        let places = facts.locations().len() + facts.business_roles().len();
        let all = subjects + others + roles + places + facts.resources().len();
        let mut objects = Self {
            types: type_rows,
            names: NameTableBuilder::with_capacity(all),
            rows: Rows::with_capacity(all),
            kind: Rows::with_capacity(all),
            is: Rows::with_capacity(all),
        };
        let mut actors = (0..).map(ActorIx::from_index);
        let mut next = || super::handles::known(actors.next());
        for person in facts.people() {
            objects.add(BuiltInType::Person, person.id.to_shared(), Is::Person(next()));
        }
        for account in facts.accounts() {
            objects.add(BuiltInType::UserAccount, account.id.to_shared(), Is::Account(next()));
        }
        // Nobody finds by name what has none.
        let kind = type_of(BuiltInType::UserAccount);
        let id = ObjectId::from_shared(AccountId::besides_the_policy().to_shared());
        let name = ResourceRef { type_name: type_rows[kind].clone(), id };
        objects.row(name, kind, Is::Account(next()));
        for (index, location) in facts.locations().enumerate() {
            let is = Is::Location(LocationIx::from_index(index));
            objects.add(BuiltInType::Location, location.id.to_shared(), is);
        }
        for group in facts.groups() {
            objects.add(BuiltInType::Group, group.id.to_shared(), Is::Actor(next()));
        }
        for group in facts.set_groups() {
            objects.add(BuiltInType::SetGroup, group.id.to_shared(), Is::Actor(next()));
        }
        for (index, role) in facts.business_roles().enumerate() {
            let is = Is::BusinessRole(RoleIx::from_index(index));
            objects.add(BuiltInType::BusinessRole, role.id.to_shared(), is);
        }
        for role in facts.management_roles() {
            objects.add(BuiltInType::ManagementRole, role.id.to_shared(), Is::Actor(next()));
        }
        for definition in facts.management_role_definitions() {
            let (kind, id) = (BuiltInType::ManagementRoleDefinition, definition.id.to_shared());
            objects.add(kind, id, Is::Actor(next()));
        }
        // The resources of a type come one after the other.
        let mut last: Option<(&TypeName, TypeIx)> = None;
        for resource in facts.resources() {
            let name = &resource.name;
            let kind = match last {
                Some((of, kind)) if *of == name.type_name => kind,
                _ => super::handles::known(types.get(name.type_name.as_str()).copied()),
            };
            last = Some((&name.type_name, kind));
            let object = objects.row(name.clone(), kind, Is::Plain);
            objects.names.insert_of(kind, name.id.as_str(), object);
        }
        objects
    }

    fn add(&mut self, built_in: BuiltInType, id: Arc<str>, is: Is) {
        let kind = type_of(built_in);
        let object = ResourceIx::from_index(self.rows.len());
        self.names.insert_of(kind, &id, object);
        let type_name = self.types[kind].clone();
        let name = ResourceRef { type_name, id: ObjectId::from_shared(id) };
        self.row(name, kind, is);
    }

    fn row(&mut self, name: ResourceRef, kind: TypeIx, is: Is) -> ResourceIx {
        self.kind.push(kind);
        self.is.push(is);
        self.rows.push(name)
    }
}
