//! Change sets for tests: a fixed small organisation, and random ones.

mod family;

use std::collections::{BTreeMap, BTreeSet};

use pdp_engine::actor::{
    Account, ActorRef, BusinessRole, Group, ManagementRole, ManagementRoleDefinition, Membership,
    Person, Position, SetGroup,
};
use pdp_engine::facts::{Change, Fact, FactKey};
use pdp_engine::id::{
    AccountId, AssignmentId, BusinessRoleId, GroupId, LocationId, ManagementRoleDefinitionId,
    ManagementRoleId, PermissionName, PersonId, SetGroupId, TypeName,
};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Relative, Scope};
use pdp_engine::permission::{Pattern, Qualifier};
use pdp_engine::resource::{Location, Resource, ResourceRef, ResourceType};
use pdp_engine::time::{Timestamp, Window};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use family::{computer, family_fact, vault_privileges};

/// A person of this name.
pub(crate) fn person(id: &str) -> Fact {
    Person {
        id: PersonId::new(id).unwrap(),
        name: Some(format!("{id} the Person")),
        login: None,
        enabled: true,
        manager: None,
        locations: Vec::new(),
        positions: Vec::new(),
        vault_privileges: BTreeSet::new(),
    }
    .into()
}

/// Puts a person of this name.
pub(crate) fn put(id: &str) -> Change {
    Change::Put(person(id))
}

/// Deletes the person of this name.
pub(crate) fn delete(id: &str) -> Change {
    Change::Delete { key: FactKey::Person(PersonId::new(id).unwrap()), cascade: false }
}

/// Puts `count` people whose names begin with `prefix`.
pub(crate) fn crowd(prefix: &str, count: usize) -> Vec<Change> {
    (0..count).map(|n| put(&format!("{prefix}-{n:07}"))).collect()
}

/// Puts `count` people who take a thousand bytes each.
pub(crate) fn bulk(count: usize) -> Vec<Change> {
    let person = |n: usize| Person {
        id: PersonId::new(format!("bulk-{n:07}")).unwrap(),
        name: Some("n".repeat(1_000)),
        login: None,
        enabled: true,
        manager: None,
        locations: Vec::new(),
        positions: Vec::new(),
        vault_privileges: BTreeSet::new(),
    };
    (0..count).map(|n| Change::Put(person(n).into())).collect()
}

/// A type, a level on it, a report, and an assignment of the level on it to a person.
pub(crate) fn grant(to: &str) -> Vec<Change> {
    let view = PermissionName::new("View").unwrap();
    let report = ResourceRef::parse("Report:absence").unwrap();
    let level = LevelRef::parse("Report/Viewer").unwrap();
    let facts: [Fact; 5] = [
        ResourceType {
            name: TypeName::new("Report").unwrap(),
            operations: BTreeSet::from([view.clone()]),
            rights: BTreeSet::new(),
        }
        .into(),
        AccessLevel {
            name: level.clone(),
            operations: BTreeMap::from([(Pattern::Name(view), Qualifier::Allowed)]),
            rights: BTreeMap::new(),
        }
        .into(),
        Resource {
            name: report.clone(),
            locations: Vec::new(),
            platform: None,
            owner: None,
            parent: None,
        }
        .into(),
        person(to),
        Assignment {
            id: AssignmentId::new(format!("{to}-views")).unwrap(),
            to: ActorRef::Person(PersonId::new(to).unwrap()),
            level,
            scope: Scope::On(report),
            window: Window::ALWAYS,
        }
        .into(),
    ];
    facts.map(Change::Put).to_vec()
}

// === random facts ===
//
// Few names, so that references often resolve and change sets often meet.

fn name() -> impl Strategy<Value = String> {
    select(vec!["a", "b", "c", "zürich/é:@\u{1F600}"]).prop_map(str::to_owned)
}

fn plain() -> impl Strategy<Value = String> {
    select(vec!["a", "b", "c"]).prop_map(str::to_owned)
}

fn text() -> impl Strategy<Value = Option<String>> {
    option::of(select(vec!["", "Ana", "Änne"]).prop_map(str::to_owned))
}

fn person_id() -> impl Strategy<Value = PersonId> {
    name().prop_map(|id| PersonId::new(id).unwrap())
}

fn group_id() -> impl Strategy<Value = GroupId> {
    name().prop_map(|id| GroupId::new(id).unwrap())
}

fn role_id() -> impl Strategy<Value = BusinessRoleId> {
    plain().prop_map(|id| BusinessRoleId::new(id).unwrap())
}

fn location_id() -> impl Strategy<Value = LocationId> {
    name().prop_map(|id| LocationId::new(id).unwrap())
}

fn locations() -> impl Strategy<Value = Vec<LocationId>> {
    vec(location_id(), 0..3)
}

fn permission() -> impl Strategy<Value = PermissionName> {
    name().prop_map(|id| PermissionName::new(id).unwrap())
}

fn type_name() -> impl Strategy<Value = TypeName> {
    select(vec!["T", "U", "Person", "Location"]).prop_map(|id| TypeName::new(id).unwrap())
}

fn level_ref() -> impl Strategy<Value = LevelRef> {
    (type_name(), plain())
        .prop_map(|(type_name, name)| LevelRef::parse(&format!("{type_name}/{name}")).unwrap())
}

fn resource_ref() -> impl Strategy<Value = ResourceRef> {
    (type_name(), name())
        .prop_map(|(type_name, id)| ResourceRef::parse(&format!("{type_name}:{id}")).unwrap())
}

fn window() -> impl Strategy<Value = Window> {
    let bound = || option::of(select(vec![i64::MIN, -1, 0, 5, i64::MAX]));
    (bound(), bound()).prop_map(|(from, until)| Window {
        from: from.map(Timestamp::from_micros),
        until: until.map(Timestamp::from_micros),
    })
}

fn position() -> impl Strategy<Value = Position> {
    (role_id(), location_id(), any::<bool>(), window()).prop_map(
        |(business_role, location, primary, window)| Position {
            business_role,
            location,
            primary,
            window,
        },
    )
}

fn actor() -> impl Strategy<Value = ActorRef> {
    prop_oneof![
        person_id().prop_map(ActorRef::Person),
        name().prop_map(|id| ActorRef::Account(AccountId::new(id).unwrap())),
        group_id().prop_map(ActorRef::Group),
        name().prop_map(|id| ActorRef::SetGroup(SetGroupId::new(id).unwrap())),
        (role_id(), location_id()).prop_map(|(r, l)| ActorRef::BusinessRoleLocation(r, l)),
        name().prop_map(|id| ActorRef::ManagementRole(ManagementRoleId::new(id).unwrap())),
        name().prop_map(|id| {
            ActorRef::ManagementRoleDefinition(ManagementRoleDefinitionId::new(id).unwrap())
        }),
    ]
}

fn members() -> impl Strategy<Value = Vec<Membership>> {
    vec((actor(), window()).prop_map(|(of, window)| Membership { of, window }), 0..3)
}

fn qualifiers() -> impl Strategy<Value = BTreeMap<Pattern, Qualifier>> {
    let pattern = prop_oneof![Just(Pattern::All), permission().prop_map(Pattern::Name)];
    btree_map(pattern, select(Qualifier::ALL.to_vec()), 0..3)
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        resource_ref().prop_map(Scope::On),
        location_id().prop_map(Scope::In),
        select(Relative::ALL.to_vec()).prop_map(Scope::Relative),
    ]
}

fn actor_fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        (
            person_id(),
            text(),
            text(),
            any::<bool>(),
            option::of(person_id()),
            locations(),
            vec(position(), 0..3),
            vault_privileges()
        )
            .prop_map(
                |(id, name, login, enabled, manager, locations, positions, privileges)| {
                    let vault_privileges = privileges;
                    Person {
                        id,
                        name,
                        login,
                        enabled,
                        manager,
                        locations,
                        positions,
                        vault_privileges,
                    }
                    .into()
                }
            ),
        (name(), option::of(person_id()), any::<bool>(), option::of(computer()), locations())
            .prop_map(|(id, owner, enabled, computer, locations)| {
                let id = AccountId::new(id).unwrap();
                Account { id, owner, enabled, computer, locations }.into()
            }),
        (group_id(), members(), vec(position(), 0..3), any::<bool>(), locations()).prop_map(
            |(id, members, positions, default, locations)| {
                Group { id, members, positions, default, locations }.into()
            }
        ),
        (name(), members(), locations()).prop_map(|(id, members, locations)| {
            SetGroup { id: SetGroupId::new(id).unwrap(), members, locations }.into()
        }),
        (role_id(), option::of(role_id()), locations())
            .prop_map(|(id, parent, locations)| BusinessRole { id, parent, locations }.into()),
        (name(), locations()).prop_map(|(id, locations)| {
            let id = ManagementRoleDefinitionId::new(id).unwrap();
            ManagementRoleDefinition { id, locations }.into()
        }),
        (name(), option::of(name()), members(), vec(name(), 0..3), locations()).prop_map(
            |(id, definition, members, includes, locations)| {
                ManagementRole {
                    id: ManagementRoleId::new(id).unwrap(),
                    definition: definition.map(|id| ManagementRoleDefinitionId::new(id).unwrap()),
                    members,
                    includes: includes
                        .iter()
                        .map(|id| ManagementRoleId::new(id).unwrap())
                        .collect(),
                    locations,
                }
                .into()
            }
        ),
    ]
}

fn other_fact() -> impl Strategy<Value = Fact> {
    let permissions = || btree_set(permission(), 0..3);
    prop_oneof![
        (type_name(), permissions(), permissions()).prop_map(|(name, operations, rights)| {
            ResourceType { name, operations, rights }.into()
        }),
        (location_id(), option::of(location_id()), any::<bool>(), any::<bool>()).prop_map(
            |(id, parent, organization, block_inheritance)| {
                Location { id, parent, organization, block_inheritance }.into()
            }
        ),
        (level_ref(), qualifiers(), qualifiers()).prop_map(|(name, operations, rights)| {
            AccessLevel { name, operations, rights }.into()
        }),
        (resource_ref(), locations(), text(), option::of(person_id()), option::of(resource_ref()))
            .prop_map(|(name, locations, platform, owner, parent)| {
                Resource { name, locations, platform, owner, parent }.into()
            }),
        (name(), actor(), level_ref(), scope(), window()).prop_map(
            |(id, to, level, scope, window)| {
                let id = AssignmentId::new(id).unwrap();
                Assignment { id, to, level, scope, window }.into()
            }
        ),
    ]
}

/// Any well-formed fact of any kind, whether or not what it refers to exists.
pub(crate) fn fact() -> impl Strategy<Value = Fact> {
    prop_oneof![actor_fact(), other_fact(), family_fact()]
}

/// A change set. Most are valid: a fact comes with the facts that it is likely to refer to.
pub(crate) fn change_set() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        6 => fact().prop_map(Change::Put),
        2 => select(vec!["a", "b", "c", "d"]).prop_map(put),
        2 => (fact(), any::<bool>())
            .prop_map(|(fact, cascade)| Change::Delete { key: fact.key(), cascade }),
        1 => select(vec!["a", "b", "d"]).prop_map(delete),
    ];
    vec(change, 0..4)
}
