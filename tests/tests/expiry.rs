//! A window ends exactly at its end and begins exactly at its beginning, on one snapshot (A9).

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test"
)]

use std::collections::{BTreeMap, BTreeSet};

use pdp_engine::actor::{
    Account, ActorRef, BusinessRole, Group, ManagementRole, ManagementRoleDefinition, Membership,
    Person, Position, SetGroup,
};
use pdp_engine::check::check;
use pdp_engine::compile::compile;
use pdp_engine::facts::{Change, Fact, Facts};
use pdp_engine::id::{
    AccountId, AssignmentId, BusinessRoleId, GroupId, LocationId, ManagementRoleDefinitionId,
    ManagementRoleId, PermissionName, PersonId, SetGroupId, TypeName,
};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Scope};
use pdp_engine::permission::{Pattern, PermissionKind, Qualifier};
use pdp_engine::query::{ObjectRef, PermissionRef, Question, Reason, Revision, SubjectRef};
use pdp_engine::resource::{Location, Resource, ResourceRef, ResourceType};
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::{Timestamp, Window};
use proptest::prelude::{ProptestConfig, Strategy, any, proptest};

/// The links that may carry a window, one a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Assignment,
    MemberOfGroup,
    GroupInGroup,
    AccountInGroup,
    MemberOfSetGroup,
    GroupInSetGroup,
    MemberOfManagementRole,
    SetGroupInManagementRole,
    PairInManagementRole,
    PositionOfPerson,
    PositionOfGroup,
    PlaceOfPerson,
    InMyLocations,
    MyLocationsAndAbove,
    MyLocationsAndBelow,
    InMyOrganization,
}

impl Link {
    const ALL: [Self; 16] = [
        Self::Assignment,
        Self::MemberOfGroup,
        Self::GroupInGroup,
        Self::AccountInGroup,
        Self::MemberOfSetGroup,
        Self::GroupInSetGroup,
        Self::MemberOfManagementRole,
        Self::SetGroupInManagementRole,
        Self::PairInManagementRole,
        Self::PositionOfPerson,
        Self::PositionOfGroup,
        Self::PlaceOfPerson,
        Self::InMyLocations,
        Self::MyLocationsAndAbove,
        Self::MyLocationsAndBelow,
        Self::InMyOrganization,
    ];

    /// Who is given the level, what it covers, and the object that is asked about.
    const fn grant(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Assignment => ("person:ana", "on Report:r", "Report:r"),
            Self::MemberOfGroup => ("group:inner", "on Report:r", "Report:r"),
            Self::GroupInGroup | Self::AccountInGroup => ("group:outer", "on Report:r", "Report:r"),
            Self::MemberOfSetGroup | Self::GroupInSetGroup => {
                ("set_group:set", "on Report:r", "Report:r")
            }
            Self::MemberOfManagementRole
            | Self::SetGroupInManagementRole
            | Self::PairInManagementRole => {
                ("management_role_definition:desk", "on Report:r", "Report:r")
            }
            Self::PositionOfPerson | Self::PositionOfGroup => {
                ("business_role:employee@europe", "on Report:r", "Report:r")
            }
            Self::PlaceOfPerson => ("person:ana", "in europe", "Person:ana"),
            Self::InMyLocations => ("person:ana", "in_my_locations", "Report:r"),
            Self::MyLocationsAndAbove => {
                ("person:ana", "my_locations_and_above", "Location:europe")
            }
            Self::MyLocationsAndBelow => {
                ("person:ana", "my_locations_and_below", "Location:zurich")
            }
            Self::InMyOrganization => ("person:ana", "in_my_organization", "Report:r"),
        }
    }

    /// The windows of a link: those of the case if it is the one on trial.
    fn listings(self, on_trial: Self, windows: &[Window], otherwise: bool) -> Vec<Window> {
        match (self == on_trial, otherwise) {
            (true, _) => windows.to_vec(),
            (false, true) => vec![Window::ALWAYS],
            (false, false) => Vec::new(),
        }
    }
}

fn name(text: &str) -> PermissionName {
    PermissionName::new(text).unwrap()
}

/// A policy that grants `View` through the link on trial and through nothing else.
fn policy(trial: Link, windows: &[Window]) -> Snapshot {
    let mut facts = Facts::default();
    let mut changes: Vec<Change> = Vec::new();
    let mut put = |fact: Fact| changes.push(Change::Put(fact));
    let (to, scope, object) = trial.grant();
    let object = ResourceRef::parse(object).unwrap();
    for type_name in ["Report", "Person", "Location"] {
        let (name, operations) =
            (TypeName::new(type_name).unwrap(), BTreeSet::from([name("View")]));
        put(ResourceType { name, operations, rights: BTreeSet::new() }.into());
    }
    let level = LevelRef::parse(&format!("{}/Viewer", object.type_name)).unwrap();
    let operations = BTreeMap::from([(Pattern::Name(name("View")), Qualifier::Allowed)]);
    put(AccessLevel { name: level.clone(), operations, rights: BTreeMap::new() }.into());
    let listings = |link: Link, otherwise| link.listings(trial, windows, otherwise);
    for fact in places().into_iter().chain(actors(trial, &listings)) {
        put(fact);
    }
    let scope = match scope.split_once(' ') {
        Some(("on", resource)) => Scope::On(ResourceRef::parse(resource).unwrap()),
        Some((_, location)) => Scope::In(LocationId::new(location).unwrap()),
        None => Scope::Relative(pdp_engine::level::Relative::from_word(scope).unwrap()),
    };
    for (n, window) in listings(Link::Assignment, true).into_iter().enumerate() {
        let id = AssignmentId::new(format!("a{n}")).unwrap();
        let (to, level, scope) = (ActorRef::parse(to).unwrap(), level.clone(), scope.clone());
        put(Assignment { id, to, level, scope, window }.into());
    }
    facts.apply(&changes).unwrap();
    compile(&facts, Revision::new(1))
}

fn places() -> Vec<Fact> {
    let location = |id: &str, parent: Option<&str>| Location {
        id: LocationId::new(id).unwrap(),
        parent: parent.map(|parent| LocationId::new(parent).unwrap()),
        organization: parent.is_none(),
        block_inheritance: false,
    };
    let role = |id: &str, parent: Option<&str>| BusinessRole {
        id: BusinessRoleId::new(id).unwrap(),
        parent: parent.map(|parent| BusinessRoleId::new(parent).unwrap()),
        locations: Vec::new(),
    };
    vec![
        location("europe", None).into(),
        location("zurich", Some("europe")).into(),
        role("employee", None).into(),
        role("teller", Some("employee")).into(),
        Resource {
            name: ResourceRef::parse("Report:r").unwrap(),
            locations: vec![LocationId::new("zurich").unwrap()],
            platform: None,
            owner: None,
            parent: None,
        }
        .into(),
    ]
}

fn members(of: &str, windows: Vec<Window>) -> Vec<Membership> {
    let of = ActorRef::parse(of).unwrap();
    windows.into_iter().map(|window| Membership { of: of.clone(), window }).collect()
}

fn positions(windows: Vec<Window>) -> Vec<Position> {
    let position = |window| Position {
        business_role: BusinessRoleId::new("teller").unwrap(),
        location: LocationId::new("zurich").unwrap(),
        primary: true,
        window,
    };
    windows.into_iter().map(position).collect()
}

fn actors(trial: Link, listings: &dyn Fn(Link, bool) -> Vec<Window>) -> Vec<Fact> {
    let own = match trial {
        Link::PlaceOfPerson
        | Link::InMyLocations
        | Link::MyLocationsAndAbove
        | Link::MyLocationsAndBelow
        | Link::InMyOrganization => trial,
        _ => Link::PositionOfPerson,
    };
    let ana = PersonId::new("ana").unwrap();
    let account = Account {
        computer: None,
        id: AccountId::new("ana").unwrap(),
        owner: Some(ana.clone()),
        enabled: true,
        locations: Vec::new(),
    };
    let person = Person {
        vault_privileges: BTreeSet::new(),
        id: ana,
        name: None,
        login: None,
        enabled: true,
        manager: None,
        locations: Vec::new(),
        positions: positions(listings(own, trial == Link::PairInManagementRole)),
    };
    let group = |id: &str, members, positions| Group {
        default: false,
        id: GroupId::new(id).unwrap(),
        members,
        positions,
        locations: Vec::new(),
    };
    let inner = listings(Link::MemberOfGroup, trial != Link::AccountInGroup);
    let outer = [
        members("group:inner", listings(Link::GroupInGroup, true)),
        members("account:ana", listings(Link::AccountInGroup, false)),
    ];
    let held_by_group = positions(listings(Link::PositionOfGroup, false));
    let mut facts: Vec<Fact> = vec![
        person.into(),
        account.into(),
        group("inner", members("person:ana", inner), Vec::new()).into(),
        group("outer", outer.concat(), held_by_group).into(),
    ];
    facts.extend(wider(trial, listings));
    facts
}

fn wider(trial: Link, listings: &dyn Fn(Link, bool) -> Vec<Window>) -> [Fact; 3] {
    let set = [
        members("person:ana", listings(Link::MemberOfSetGroup, trial != Link::GroupInSetGroup)),
        members("group:outer", listings(Link::GroupInSetGroup, false)),
    ];
    let role = [
        members("person:ana", listings(Link::MemberOfManagementRole, false)),
        members("set_group:set", listings(Link::SetGroupInManagementRole, false)),
        members("business_role:employee@europe", listings(Link::PairInManagementRole, false)),
    ];
    let definition = ManagementRoleDefinitionId::new("desk").unwrap();
    [
        SetGroup {
            id: SetGroupId::new("set").unwrap(),
            members: set.concat(),
            locations: Vec::new(),
        }
        .into(),
        ManagementRoleDefinition { id: definition.clone(), locations: Vec::new() }.into(),
        ManagementRole {
            id: ManagementRoleId::new("desk-zurich").unwrap(),
            definition: Some(definition),
            members: role.concat(),
            includes: Vec::new(),
            locations: Vec::new(),
        }
        .into(),
    ]
}

fn decide(snapshot: &Snapshot, trial: Link, now: i64) -> Reason {
    let (_, _, object) = trial.grant();
    let (type_name, id) = object.split_once(':').unwrap();
    let permission = PermissionRef { kind: PermissionKind::Operation, name: "View" };
    let object = ObjectRef { type_name, id };
    let question = Question::new(SubjectRef::Person("ana"), permission, object);
    check(snapshot, &question, Timestamp::from_micros(now)).unwrap().reason
}

/// Instants of all sizes, with a neighbour on both sides.
fn instants() -> impl Strategy<Value = i64> {
    (any::<i64>(), 0..60u32)
        .prop_map(|(wide, bits)| (wide >> bits).clamp(i64::MIN + 9, i64::MAX - 9))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_window_ends_and_begins_to_the_microsecond(at in instants()) {
        let instant = Some(Timestamp::from_micros(at));
        let until = Window { from: None, until: instant };
        let from = Window { from: instant, until: None };
        let only = Window { until: Some(Timestamp::from_micros(at + 1)), ..from };
        let (yes, no) = (Reason::Granted, Reason::NotGranted);
        for link in Link::ALL {
            let cases = [
                (vec![until], [yes, no, no]),
                (vec![from], [no, yes, yes]),
                (vec![only], [no, yes, no]),
                (vec![until, from], [yes, yes, yes]),
                (vec![until, only], [yes, yes, no]),
            ];
            for (windows, expected) in cases {
                // One snapshot answers before, at and after the boundary.
                let snapshot = policy(link, &windows);
                let actual = [at - 1, at, at + 1].map(|now| decide(&snapshot, link, now));
                assert_eq!(actual, expected, "{link:?} with {windows:?}");
            }
        }
    }
}
