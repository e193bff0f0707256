//! Change sets: all or nothing, referential checks, cascades (semantics, section 9).

#![expect(clippy::unwrap_used, reason = "a test that cannot build its world has failed")]

use pdp_engine::actor::{
    Account, ActorRef, BusinessRole, Group, ManagementRole, Membership, Person, Position,
};
use pdp_engine::facts::{Change, Fact, FactKey, Facts, Rejected};
use pdp_engine::id::{
    AccountId, AssignmentId, BusinessRoleId, GroupId, LocationId, ManagementRoleId, PermissionName,
    PersonId, TypeName,
};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Relative, Scope};
use pdp_engine::permission::{Pattern, Qualifier};
use pdp_engine::resource::{Location, Resource, ResourceRef, ResourceType};
use pdp_engine::time::{Timestamp, Window};

fn person(id: &str) -> Person {
    Person {
        id: PersonId::new(id).unwrap(),
        name: None,
        login: None,
        enabled: true,
        manager: None,
        locations: vec![],
        positions: vec![],
        vault_privileges: [].into(),
    }
}

fn location(id: &str, parent: Option<&str>) -> Location {
    Location {
        id: LocationId::new(id).unwrap(),
        parent: parent.map(|id| LocationId::new(id).unwrap()),
        organization: false,
        block_inheritance: false,
    }
}

fn role(id: &str) -> BusinessRole {
    BusinessRole { id: BusinessRoleId::new(id).unwrap(), parent: None, locations: vec![] }
}

fn group(id: &str, members: &[&str]) -> Group {
    let of = |text: &&str| Membership { of: actor(text), window: Window::ALWAYS };
    Group {
        id: GroupId::new(id).unwrap(),
        members: members.iter().map(of).collect(),
        positions: vec![],
        default: false,
        locations: vec![],
    }
}

fn management_role(id: &str, includes: &[&str]) -> ManagementRole {
    ManagementRole {
        id: ManagementRoleId::new(id).unwrap(),
        definition: None,
        members: vec![],
        includes: includes.iter().map(|id| ManagementRoleId::new(id).unwrap()).collect(),
        locations: vec![],
    }
}

fn report_type(operations: &[&str]) -> ResourceType {
    let name = |name: &&str| PermissionName::new(name).unwrap();
    ResourceType {
        name: TypeName::new("Report").unwrap(),
        operations: operations.iter().map(name).collect(),
        rights: [PermissionName::new("ReadData").unwrap()].into(),
    }
}

fn report(id: &str) -> Resource {
    resource(&format!("Report:{id}"))
}

fn resource(name: &str) -> Resource {
    Resource {
        name: ResourceRef::parse(name).unwrap(),
        locations: vec![],
        platform: None,
        owner: None,
        parent: None,
    }
}

fn level(name: &str, operation: &str, qualifier: Qualifier) -> AccessLevel {
    let pattern = Pattern::Name(PermissionName::new(operation).unwrap());
    AccessLevel {
        name: LevelRef::parse(name).unwrap(),
        operations: [(pattern, qualifier)].into(),
        rights: [].into(),
    }
}

fn assignment(id: &str, to: &str, level: &str, scope: Scope) -> Assignment {
    Assignment {
        id: AssignmentId::new(id).unwrap(),
        to: actor(to),
        level: LevelRef::parse(level).unwrap(),
        scope,
        window: Window::ALWAYS,
    }
}

fn actor(text: &str) -> ActorRef {
    ActorRef::parse(text).unwrap()
}

fn on(resource: &str) -> Scope {
    Scope::On(ResourceRef::parse(resource).unwrap())
}

fn put(fact: impl Into<Fact>) -> Change {
    Change::Put(fact.into())
}

fn delete(key: FactKey, cascade: bool) -> Change {
    Change::Delete { key, cascade }
}

fn person_key(id: &str) -> FactKey {
    FactKey::Person(PersonId::new(id).unwrap())
}

fn location_key(id: &str) -> FactKey {
    FactKey::Location(LocationId::new(id).unwrap())
}

/// A report that ana may view and bo may not, both in zurich.
fn world() -> Facts {
    let mut facts = Facts::default();
    let mut ana = person("ana");
    ana.positions.push(Position {
        business_role: BusinessRoleId::new("teller").unwrap(),
        location: LocationId::new("zurich").unwrap(),
        primary: true,
        window: Window::ALWAYS,
    });
    ana.manager = Some(PersonId::new("bo").unwrap());
    let account = Account {
        id: AccountId::new("corp/bo").unwrap(),
        owner: Some(PersonId::new("bo").unwrap()),
        enabled: true,
        computer: None,
        locations: vec![LocationId::new("zurich").unwrap()],
    };
    facts
        .apply(&[
            put(report_type(&["View", "Edit"])),
            put(location("europe", None)),
            put(location("zurich", Some("europe"))),
            put(role("teller")),
            put(ana),
            put(person("bo")),
            put(account),
            put(group("hr", &["person:ana", "person:bo"])),
            put(report("absence")),
            put(level("Report/Viewer", "View", Qualifier::Allowed)),
            put(level("Report/Barred", "View", Qualifier::Denied)),
            put(assignment("a-1", "person:ana", "Report/Viewer", on("Report:absence"))),
            put(assignment("a-2", "person:bo", "Report/Barred", on("Report:absence"))),
        ])
        .unwrap();
    facts
}

/// Applies what must be refused; checks that nothing changed; returns codes and message.
fn refused(facts: &mut Facts, changes: &[Change]) -> (Vec<(usize, &'static str)>, String) {
    let before = facts.clone();
    let rejected: Rejected = facts.apply(changes).unwrap_err();
    assert_eq!(*facts, before, "a refused change set changed something");
    let codes = rejected.rejections.iter().map(|r| (r.change, r.problem.code())).collect();
    (codes, rejected.to_string())
}

#[test]
fn a_change_set_is_all_or_nothing() {
    let mut facts = world();
    let mut carl = person("carl");
    carl.manager = Some(PersonId::new("nobody").unwrap());
    let (codes, message) = refused(&mut facts, &[put(person("dora")), put(carl)]);
    assert_eq!(codes, [(1, "DANGLING_REFERENCE")]);
    assert_eq!(
        message,
        "person `carl`: `manager` names person `nobody`, which does not exist; create it in the \
         same change set or correct the name"
    );
}

#[test]
fn references_need_to_resolve_only_in_the_end() {
    let mut facts = Facts::default();
    let applied =
        facts.apply(&[put(location("zurich", Some("europe"))), put(location("europe", None))]);
    assert_eq!(applied.unwrap().deltas.len(), 2);
}

#[test]
fn undo_takes_everything_back() {
    let mut facts = world();
    let before = facts.clone();
    let applied = facts
        .apply(&[delete(person_key("bo"), true), put(person("carl")), put(report_type(&["Print"]))])
        .unwrap();
    assert_ne!(facts, before);
    facts.undo(applied);
    assert_eq!(facts, before);
}

#[test]
fn applying_the_same_again_has_no_effect() {
    let mut facts = world();
    assert!(
        facts.apply(&[put(person("bo")), put(report_type(&["View"]))]).unwrap().deltas.is_empty()
    );
    let create_and_delete = [put(person("carl")), delete(person_key("carl"), false)];
    assert!(facts.apply(&create_and_delete).unwrap().deltas.is_empty());
}

#[test]
fn declaring_a_type_again_adds_and_deleting_it_first_replaces() {
    let mut facts = world();
    let report = TypeName::new("Report").unwrap();
    facts.apply(&[put(report_type(&["Print"]))]).unwrap();
    assert_eq!(facts.resource_type(&report).unwrap().operations.len(), 3);
    let key = FactKey::ResourceType(report.clone());
    facts.apply(&[delete(key.clone(), false), put(report_type(&["View"]))]).unwrap();
    assert_eq!(facts.resource_type(&report).unwrap().operations.len(), 1);
    let (codes, message) =
        refused(&mut facts, &[delete(key.clone(), false), put(report_type(&["Print"]))]);
    assert_eq!(codes, [(1, "UNDECLARED_PERMISSION"), (1, "UNDECLARED_PERMISSION")]);
    assert!(message.contains("access level `Report/Barred`: `View` is no operation"), "{message}");
    let (codes, message) = refused(&mut facts, &[delete(key, true)]);
    assert!(codes.contains(&(0, "STILL_REFERENCED")), "{message}");
}

#[test]
fn what_was_added_to_a_built_in_type_can_be_deleted() {
    let mut facts = world();
    let mut badge = report_type(&["Badge"]);
    badge.name = TypeName::new("Person").unwrap();
    facts.apply(&[put(badge.clone())]).unwrap();
    facts.apply(&[delete(FactKey::ResourceType(badge.name.clone()), false)]).unwrap();
    assert_eq!(facts.resource_type(&badge.name), None);
}

#[test]
fn deleting_what_is_referenced_names_the_referrers() {
    let mut facts = world();
    let (codes, message) = refused(&mut facts, &[delete(location_key("zurich"), false)]);
    assert_eq!(codes, [(0, "STILL_REFERENCED")]);
    assert_eq!(
        message,
        "location `zurich`: is still named by person `ana`, account `corp/bo`; change those first, \
         or delete with cascade"
    );
    let (codes, message) = refused(&mut facts, &[delete(person_key("carl"), false)]);
    assert_eq!(
        (codes, message.as_str()),
        (vec![(0, "NOT_FOUND")], "person `carl`: does not exist, so it cannot be deleted")
    );
}

#[test]
fn cascade_removes_what_names_the_deleted_thing() {
    let mut facts = world();
    let applied = facts.apply(&[delete(person_key("bo"), true)]).unwrap();
    let touched: Vec<_> = applied.deltas.iter().map(|delta| delta.key.to_string()).collect();
    assert_eq!(
        touched,
        ["person `ana`", "person `bo`", "account `corp/bo`", "group `hr`", "assignment `a-2`"]
    );
    let account = facts.account(&AccountId::new("corp/bo").unwrap()).unwrap();
    assert_eq!((account.owner.clone(), account.enabled), (None, false));
    let ana = facts.person(&PersonId::new("ana").unwrap()).unwrap();
    assert_eq!(ana.manager, None);
    let hr = facts.group(&GroupId::new("hr").unwrap()).unwrap();
    assert_eq!(hr.members, [Membership { of: actor("person:ana"), window: Window::ALWAYS }]);
}

#[test]
fn cascade_removes_places_and_positions_but_not_child_locations() {
    let mut facts = world();
    facts.apply(&[delete(location_key("zurich"), true)]).unwrap();
    assert!(facts.person(&PersonId::new("ana").unwrap()).unwrap().positions.is_empty());
    assert!(facts.account(&AccountId::new("corp/bo").unwrap()).unwrap().locations.is_empty());
    let mut facts = world();
    let (codes, message) = refused(&mut facts, &[delete(location_key("europe"), true)]);
    assert_eq!(codes, [(0, "STILL_REFERENCED")]);
    assert!(message.contains("still named by location `zurich`; change those first"), "{message}");
    assert!(!message.contains("cascade"), "{message}");
}

#[test]
fn cascade_never_removes_a_deny_to_somebody_else() {
    let mut facts = world();
    let report = FactKey::Resource(ResourceRef::parse("Report:absence").unwrap());
    let (codes, message) = refused(&mut facts, &[delete(report.clone(), true)]);
    assert_eq!(codes, [(0, "STILL_REFERENCED")]);
    assert!(message.contains("still named by assignment `a-2`"), "{message}");
    let deny = FactKey::Assignment(AssignmentId::new("a-2").unwrap());
    facts.apply(&[delete(deny, false), delete(report, true)]).unwrap();
    assert_eq!(facts.assignments().len(), 0);
    // A deny to the deleted actor goes with the actor.
    world().apply(&[delete(person_key("bo"), true)]).unwrap();
}

#[test]
fn cascade_takes_the_assignments_of_a_deleted_definition_that_denies_nothing() {
    let mut facts = world();
    let level = |name| FactKey::AccessLevel(LevelRef::parse(name).unwrap());
    facts.apply(&[delete(level("Report/Viewer"), true)]).unwrap();
    assert_eq!(facts.assignments().len(), 1);
    let (codes, message) = refused(&mut facts, &[delete(level("Report/Barred"), true)]);
    assert_eq!(codes, [(0, "STILL_REFERENCED")]);
    assert!(message.contains("still named by assignment `a-2`"), "{message}");
}

#[test]
fn cascades_after_other_steps_see_what_those_did() {
    let mut facts = world();
    facts
        .apply(&[
            put(person("carl")),
            put(person("dora")),
            delete(person_key("carl"), true),
            put(group("hr", &["person:dora", "person:ana"])),
            delete(person_key("dora"), true),
        ])
        .unwrap();
    let hr = facts.group(&GroupId::new("hr").unwrap()).unwrap();
    assert_eq!(hr.members, [Membership { of: actor("person:ana"), window: Window::ALWAYS }]);
}

#[test]
fn cascade_leaves_included_roles_to_refuse() {
    let mut facts = world();
    facts
        .apply(&[put(management_role("desk", &["badge"])), put(management_role("badge", &[]))])
        .unwrap();
    let badge = FactKey::ManagementRole(ManagementRoleId::new("badge").unwrap());
    let (codes, _) = refused(&mut facts, &[delete(badge, true)]);
    assert_eq!(codes, [(0, "STILL_REFERENCED")]);
}

#[test]
fn members_are_of_the_kinds_the_container_takes() {
    let mut facts = world();
    let (codes, message) =
        refused(&mut facts, &[put(group("g", &["business_role:teller@zurich"]))]);
    assert_eq!(codes, [(0, "MEMBER_KIND")]);
    assert!(message.contains("cannot have business_role:teller@zurich as a member"), "{message}");
    let mut role = management_role("desk", &[]);
    role.members = vec![Membership { of: actor("management_role:desk"), window: Window::ALWAYS }];
    let (codes, _) = refused(&mut facts, &[put(role)]);
    assert_eq!(codes, [(0, "MEMBER_KIND")]);
}

#[test]
fn scopes_fit_the_type_of_the_level() {
    let mut facts = world();
    let wrong = [
        assignment("x1", "person:ana", "Report/Viewer", on("Person:ana")),
        assignment("x2", "person:ana", "Report/Viewer", Scope::Relative(Relative::Manager)),
        assignment("x3", "person:ana", "Report/Viewer", Scope::Relative(Relative::OwnAccounts)),
        assignment(
            "x4",
            "person:ana",
            "Report/Viewer",
            Scope::Relative(Relative::MyLocationsAndAbove),
        ),
    ];
    let (codes, message) = refused(&mut facts, &wrong.map(put));
    assert_eq!(codes, [0, 1, 2, 3].map(|change| (change, "SCOPE_TYPE")));
    assert!(
        message.contains(
            "`relative manager` needs a level of type `Person`, and this level's type is `Report`"
        ),
        "{message}"
    );
    for relative in [Relative::InMyLocations, Relative::InMyOrganization] {
        let fits = assignment("ok", "person:ana", "Report/Viewer", Scope::Relative(relative));
        facts.apply(&[put(fits)]).unwrap();
    }
}

#[test]
fn windows_start_before_they_end_and_nobody_manages_themselves() {
    let mut facts = world();
    let instant = Some(Timestamp::from_micros(5));
    let mut never = assignment("x", "person:ana", "Report/Viewer", on("Report:absence"));
    never.window = Window { from: instant, until: instant };
    let mut own = person("own");
    own.manager = Some(own.id.clone());
    let (codes, _) = refused(&mut facts, &[put(never), put(own)]);
    assert_eq!(codes, [(0, "EMPTY_WINDOW"), (1, "OWN_MANAGER")]);
}

#[test]
fn definitions_name_declared_permissions_and_have_distinct_tokens() {
    let mut facts = world();
    let mut right = level("Report/Reader", "View", Qualifier::Allowed);
    let read = Pattern::Name(PermissionName::new("ReadData").unwrap());
    right.rights = [(read, Qualifier::Disabled)].into();
    let (codes, message) = refused(
        &mut facts,
        &[
            put(level("Report/A", "Print", Qualifier::Allowed)),
            put(level("Report/viewer", "View", Qualifier::Allowed)),
            put(level("Report/Desk InLocation", "View", Qualifier::Allowed)),
            put(level("Report/--", "View", Qualifier::Allowed)),
            put(level("Report/management Role", "View", Qualifier::Allowed)),
            put(right),
        ],
    );
    let expected = [
        (0, "UNDECLARED_PERMISSION"),
        (1, "LEVEL_TOKEN"),
        (2, "LEVEL_TOKEN"),
        (3, "LEVEL_TOKEN"),
        (4, "LEVEL_TOKEN"),
        (5, "RIGHT_QUALIFIER"),
    ];
    assert_eq!(codes, expected, "{message}");
    assert!(message.contains("`Viewer`, which is also that of `Report/Viewer`"), "{message}");
}

#[test]
fn built_in_types_have_no_resources_of_their_own() {
    let mut facts = world();
    let (codes, message) = refused(&mut facts, &[put(resource("Person:ana"))]);
    assert_eq!(codes, [(0, "BUILT_IN_RESOURCE_TYPE")]);
    assert!(message.contains("its objects are the people, so create one of those"), "{message}");
}

#[test]
fn lists_are_stored_sorted_and_without_repetitions() {
    let mut facts = world();
    let members = ["person:bo", "group:hr", "person:ana", "person:bo"];
    facts.apply(&[put(group("all", &members))]).unwrap();
    let all = facts.group(&GroupId::new("all").unwrap()).unwrap();
    let names: Vec<_> = all.members.iter().map(|member| member.of.to_string()).collect();
    assert_eq!(names, ["person:ana", "person:bo", "group:hr"]);
}

#[test]
fn a_store_that_lost_something_does_not_load() {
    let facts = world();
    assert_eq!(Facts::load(facts.iter()).unwrap(), facts);
    let without = facts.iter().filter(|fact| fact.key() != location_key("zurich"));
    assert!(Facts::load(without).unwrap_err().to_string().contains("names location `zurich`"));
}

/// A large first change set is applied in one go: nobody can tell.
#[test]
fn a_large_first_change_set_is_as_any_other() {
    const CROWD: usize = 5_000;
    let person = |n: usize| put_text(&format!("p{n:05}"), None);
    let mut changes: Vec<Change> = (0..CROWD).map(person).collect();
    changes.push(put(group("all", &["person:p00001", "person:p00000", "person:p00001"])));
    // The last word counts.
    changes.push(put_text("p00000", Some("p04999")));
    let mut one_by_one = Facts::default();
    for change in &changes {
        one_by_one.apply(std::slice::from_ref(change)).unwrap();
    }
    let mut whole = Facts::default();
    let applied = whole.apply(&changes).unwrap();
    assert_eq!(whole, one_by_one);
    assert_eq!(applied.deltas.len(), CROWD + 1);
    assert!(applied.deltas.is_sorted_by(|one, next| one.key < next.key));
    assert!(
        applied
            .deltas
            .iter()
            .all(|delta| delta.before.is_none() && delta.after == whole.get(&delta.key))
    );
    whole.undo(applied);
    assert!(whole.is_empty());
    // What is wrong is told by its position.
    changes.push(put_text("q", Some("nobody")));
    let rejected = whole.apply(&changes).unwrap_err();
    assert_eq!(rejected.rejections.iter().map(|it| it.change).collect::<Vec<_>>(), [CROWD + 2]);
    assert!(whole.is_empty());
}

fn put_text(id: &str, manager: Option<&str>) -> Change {
    let mut changed = person(id);
    changed.manager = manager.map(|id| PersonId::new(id).unwrap());
    put(changed)
}
