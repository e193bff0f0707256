//! A policy as the other engines are given it: names, who counts as whom, where things lie, and what
//! is granted, all as it is at one instant.
//!
//! None of these engines has windows on memberships, and none has a subject that is disabled: both are
//! resolved here, when the data are loaded, at no cost to them. In use the data would have to be
//! made anew at each instant at which a window opens or closes. What is left (nesting, roles at
//! places, locations, denies, relative scopes) is theirs to decide.

use std::collections::{BTreeMap, BTreeSet};

use pdp_engine::actor::{Account, ActorRef, Membership, Position};
use pdp_engine::facts::Facts;
use pdp_engine::id::{GroupId, PersonId};
use pdp_engine::level::{AccessLevel, Relative, Scope};
use pdp_engine::permission::{Pattern, PermissionKind, Qualifier};
use pdp_engine::resource::BuiltInType;
use pdp_engine::time::Timestamp;
use pdp_loadtest::questions::Ask;

mod places;

pub(crate) use places::Places;

/// Permissions, written `operation:NAME` and `right:NAME`.
pub(crate) type Permissions = BTreeSet<String>;

/// Actors, written `kind:id`.
pub(crate) type Actors = BTreeSet<String>;

/// What a definition allows and denies.
#[derive(Debug, Default, Clone)]
pub(crate) struct Says {
    pub(crate) allow: Permissions,
    pub(crate) deny: Permissions,
}

/// What an assignment covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Covers {
    /// One object, by id.
    One(String),
    /// All in or below a location.
    In(String),
    /// What stands in a relation to whoever asks.
    Relative(Relative),
}

/// An assignment whose window is open, to somebody who is not disabled.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) to: String,
    pub(crate) type_name: String,
    /// The definition's name within the type.
    pub(crate) level: String,
    pub(crate) covers: Covers,
}

/// A person, as whoever asks.
#[derive(Debug, Default, Clone)]
pub(crate) struct Person {
    pub(crate) manager: Option<String>,
    /// Where the person's own positions are.
    pub(crate) homes: BTreeSet<String>,
    /// The organisations around those.
    pub(crate) organizations: BTreeSet<String>,
    /// Where positions are of all that the person counts as, and what is above those.
    pub(crate) reached: BTreeSet<String>,
    pub(crate) above: BTreeSet<String>,
}

/// Something that is asked about.
#[derive(Debug, Default, Clone)]
pub(crate) struct Object {
    pub(crate) places: BTreeSet<String>,
    /// The owner of an account, a person's id.
    pub(crate) owner: Option<String>,
}

/// A policy at an instant.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// Whom an actor counts as directly.
    pub(crate) parents: BTreeMap<String, Actors>,
    /// By id.
    pub(crate) people: BTreeMap<String, Person>,
    /// By type and id, those of built-in types too.
    pub(crate) objects: BTreeMap<(String, String), Object>,
    pub(crate) places: Places,
    /// By type and name.
    pub(crate) levels: BTreeMap<(String, String), Says>,
    pub(crate) given: Vec<Given>,
}

/// Who asks, as an actor.
pub(crate) fn subject(ask: &Ask) -> String {
    let kind = if ask.account { "account" } else { "person" };
    format!("{kind}:{}", ask.subject)
}

/// What is asked, as a permission.
pub(crate) fn permission(ask: &Ask) -> String {
    format!("{}:{}", ask.kind.as_str(), ask.permission)
}

// === impl World ===

impl World {
    /// The policy at this instant.
    pub(crate) fn at(facts: &Facts, now: Timestamp) -> Self {
        let mut world = Self { places: Places::of(facts), ..Self::default() };
        world.take_levels(facts);
        world.take_given(facts, now);
        world.take_actors(facts, now);
        world.take_people(facts, now);
        world.take_objects(facts, now);
        world
    }

    /// What the definition of an assignment says.
    pub(crate) fn says(&self, given: &Given) -> Says {
        let name = (given.type_name.clone(), given.level.clone());
        self.levels.get(&name).cloned().unwrap_or_default()
    }

    /// Everybody an actor counts as, itself first of all.
    pub(crate) fn counts_as(&self, actor: &str) -> Actors {
        let (mut found, mut next) = (Actors::new(), vec![actor.to_owned()]);
        while let Some(actor) = next.pop() {
            if !found.contains(&actor) {
                next.extend(self.parents.get(&actor).into_iter().flatten().cloned());
                found.insert(actor);
            }
        }
        found
    }

    fn take_levels(&mut self, facts: &Facts) {
        for level in facts.access_levels() {
            let declared = facts.resource_type(&level.name.type_name);
            let mut says = Says::default();
            for kind in [PermissionKind::Operation, PermissionKind::Right] {
                let names = declared.map(|it| match kind {
                    PermissionKind::Operation => &it.operations,
                    PermissionKind::Right => &it.rights,
                });
                for name in names.into_iter().flatten() {
                    let permission = format!("{}:{name}", kind.as_str());
                    match said(level, kind, name.as_str()) {
                        Some(Qualifier::Allowed) => says.allow.insert(permission),
                        Some(Qualifier::Denied) => says.deny.insert(permission),
                        // What is disabled is not allowed, and that is all an effect tells.
                        Some(Qualifier::Disabled | Qualifier::Unassigned) | None => false,
                    };
                }
            }
            let (type_name, name) = (level.name.type_name.to_string(), level.name.name.to_string());
            self.levels.insert((type_name, name), says);
        }
    }

    fn take_given(&mut self, facts: &Facts, now: Timestamp) {
        let to_somebody = |to: &ActorRef| match to {
            ActorRef::Person(id) => !is_disabled(facts, id),
            ActorRef::Account(id) => facts.account(id).is_some_and(|it| counts(facts, it)),
            _ => true,
        };
        let open = facts.assignments().filter(|it| it.window.contains(now) && to_somebody(&it.to));
        self.given.extend(open.map(|assignment| Given {
            to: assignment.to.to_string(),
            type_name: assignment.level.type_name.to_string(),
            level: assignment.level.name.to_string(),
            covers: match &assignment.scope {
                Scope::On(resource) => Covers::One(resource.id.to_string()),
                Scope::In(location) => Covers::In(location.to_string()),
                Scope::Relative(relative) => Covers::Relative(*relative),
            },
        }));
    }

    fn counts(&mut self, actor: String, as_actor: String) {
        self.parents.entry(actor).or_default().insert(as_actor);
    }

    fn take_members(&mut self, of: &ActorRef, members: &[Membership], now: Timestamp) {
        for member in members.iter().filter(|it| it.window.contains(now)) {
            self.counts(member.of.to_string(), of.to_string());
        }
    }

    /// Who counts as whom (A2 to A8).
    fn take_actors(&mut self, facts: &Facts, now: Timestamp) {
        for group in facts.groups() {
            self.take_members(&ActorRef::Group(group.id.clone()), &group.members, now);
        }
        for group in facts.set_groups() {
            self.take_members(&ActorRef::SetGroup(group.id.clone()), &group.members, now);
        }
        for role in facts.management_roles() {
            let actor = ActorRef::ManagementRole(role.id.clone());
            self.take_members(&actor, &role.members, now);
            for included in &role.includes {
                self.counts(
                    actor.to_string(),
                    ActorRef::ManagementRole(included.clone()).to_string(),
                );
            }
            if let Some(definition) = &role.definition {
                let definition = ActorRef::ManagementRoleDefinition(definition.clone());
                self.counts(actor.to_string(), definition.to_string());
            }
        }
        // Of all the pairs above a position those that are named somewhere are enough.
        let named = self.given.iter().map(|given| given.to.clone());
        let pairs: Actors = named
            .chain(self.parents.keys().cloned())
            .filter(|actor| actor.starts_with("business_role:"))
            .collect();
        let holders = facts.people().map(|it| (ActorRef::Person(it.id.clone()), &it.positions));
        let groups = facts.groups().map(|it| (ActorRef::Group(it.id.clone()), &it.positions));
        for (holder, positions) in holders.chain(groups) {
            for pair in self.places.pairs(facts, open(positions, now)) {
                if pairs.contains(&pair) {
                    self.counts(holder.to_string(), pair);
                }
            }
        }
        for account in facts.accounts().filter(|it| it.enabled) {
            let actor = ActorRef::Account(account.id.clone()).to_string();
            if let Some(owner) = &account.owner {
                self.counts(ActorRef::Person(owner.clone()).to_string(), actor);
            }
        }
        for person in facts.people().filter(|it| !it.enabled) {
            self.parents.remove(&format!("person:{}", person.id));
        }
        for account in facts.accounts().filter(|it| !counts(facts, it)) {
            self.parents.remove(&format!("account:{}", account.id));
        }
    }

    /// What relative scopes are resolved by (C3).
    fn take_people(&mut self, facts: &Facts, now: Timestamp) {
        let of_group = |actor: &str| {
            let id = actor.strip_prefix("group:").and_then(|id| GroupId::new(id).ok());
            id.and_then(|id| facts.group(&id)).map(|it| it.positions.as_slice())
        };
        for person in facts.people() {
            let own = open(&person.positions, now);
            let homes: BTreeSet<String> = own.map(|it| it.location.to_string()).collect();
            let mut reached = homes.clone();
            for actor in self.counts_as(&format!("person:{}", person.id)) {
                let positions = open(of_group(&actor).unwrap_or_default(), now);
                reached.extend(positions.map(|it| it.location.to_string()));
            }
            let above = reached.iter().flat_map(|place| self.places.up(place)).collect();
            let organizations = homes.iter().filter_map(|it| self.places.organization(it));
            let organizations = organizations.collect();
            let manager = person.manager.as_ref().map(ToString::to_string);
            let known = Person { manager, homes, organizations, reached, above };
            self.people.insert(person.id.to_string(), known);
        }
    }

    /// Where everything lies (C2).
    fn take_objects(&mut self, facts: &Facts, now: Timestamp) {
        let texts = |places: &[_]| places.iter().map(ToString::to_string).collect();
        let mut put = |kind: &str, id: String, object: Object| {
            self.objects.insert((kind.to_owned(), id), object);
        };
        for resource in facts.resources() {
            let places = texts(&resource.locations);
            let (kind, id) = (resource.name.type_name.as_str(), resource.name.id.to_string());
            put(kind, id, Object { places, owner: None });
        }
        for person in facts.people() {
            let mut places: BTreeSet<String> = texts(&person.locations);
            places.extend(open(&person.positions, now).map(|it| it.location.to_string()));
            let object = Object { places, owner: None };
            put(BuiltInType::Person.as_str(), person.id.to_string(), object);
        }
        for account in facts.accounts() {
            let owner = account.owner.as_ref().map(ToString::to_string);
            let object = Object { places: texts(&account.locations), owner };
            put(BuiltInType::UserAccount.as_str(), account.id.to_string(), object);
        }
        for location in facts.locations() {
            let id = location.id.to_string();
            let object = Object { places: BTreeSet::from([id.clone()]), owner: None };
            put(BuiltInType::Location.as_str(), id, object);
        }
    }
}

/// A disabled person counts as nobody (A8).
fn is_disabled(facts: &Facts, id: &PersonId) -> bool {
    facts.person(id).is_none_or(|it| !it.enabled)
}

/// Nor does a disabled account, or one of a disabled owner.
fn counts(facts: &Facts, account: &Account) -> bool {
    account.enabled && !account.owner.as_ref().is_some_and(|owner| is_disabled(facts, owner))
}

fn open(positions: &[Position], now: Timestamp) -> impl Iterator<Item = &Position> {
    positions.iter().filter(move |it| it.window.contains(now))
}

/// What a definition says about a permission: an exact name overrides `*`.
fn said(level: &AccessLevel, kind: PermissionKind, name: &str) -> Option<Qualifier> {
    let lines = level.qualifiers(kind);
    let exact = lines.iter().find_map(|(pattern, qualifier)| match pattern {
        Pattern::Name(named) if named.as_str() == name => Some(*qualifier),
        Pattern::Name(_) | Pattern::All => None,
    });
    exact.or_else(|| lines.get(&Pattern::All).copied())
}
