//! What explanations and lists tell, and what not: so many near misses of a kind, what is asked for and nothing else,
//! and nothing about names that are none.

#![expect(clippy::unwrap_used, reason = "a test file")]

use std::fmt::Write as _;

use pdp_engine::compile::compile;
use pdp_engine::delegate::{
    DelegationAction, DelegationQuestion, RecipientRef, ScopeRef, explain_delegation,
};
use pdp_engine::explain::{Gap, NearMiss, Standing, explain};
use pdp_engine::facts::Facts;
use pdp_engine::list::{
    About, AnyPermission, EffectivePart, ListedPermission, SubjectKinds, effective,
    list_permissions, list_subjects,
};
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::{Effect, ObjectRef, PermissionRef, Question, Revision, SubjectRef};
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;

const ANA: SubjectRef<'_> = SubjectRef::Person("ana");
const VIEW: PermissionRef<'_> = PermissionRef { kind: PermissionKind::Operation, name: "View" };

fn snapshot(bundle: &str) -> Snapshot {
    let bundle = pdp_bundle::parse("bundle.yaml", bundle).unwrap();
    let mut facts = Facts::default();
    facts.apply(&bundle.changes()).unwrap();
    compile(&facts, Revision::new(1))
}

const TYPES: &str = "
resource_types: {Report: {operations: [View]}, Computer: {operations: [View]}}
access_levels:
  - {type: Report, name: Viewer, operations: {View: allowed}}
resources: [{type: Report, id: r}, {type: Report, id: other}, {type: Computer, id: srv}]
";

fn near_misses(bundle: &str) -> Vec<NearMiss> {
    let object = ObjectRef { type_name: "Report", id: "r" };
    let question = Question::new(ANA, VIEW, object);
    let now = Timestamp::from_micros(1_000_000 * 86_400 * 365 * 30);
    let explanation = explain(&snapshot(bundle), &question, now).unwrap();
    explanation.sides.into_iter().flat_map(|side| side.near_misses).collect()
}

#[test]
fn so_many_near_misses_of_each_kind_are_told() {
    let level = "level: Report/Viewer";
    let past = "valid_until: 1999-01-01T00:00:00Z";
    for [windows, assignees, scopes] in [[7, 7, 7], [7, 2, 0], [2, 7, 3], [7, 0, 1], [0, 7, 0]] {
        let mut bundle = format!("{TYPES}people: [{{id: ana}}, {{id: bo}}]\nassignments:\n");
        let mut add = |count: usize, id: &str, rest: &str| {
            for number in 0..count {
                writeln!(bundle, "  - {{id: {id}{number}, {level}, {rest}}}").unwrap();
            }
        };
        add(windows, "a", &format!("to: 'person:ana', on: 'Report:r', {past}"));
        add(assignees, "b", "to: 'person:bo', on: 'Report:r'");
        add(scopes, "c", "to: 'person:ana', on: 'Report:other'");
        let told = near_misses(&bundle);
        let of = |gap: Gap| told.iter().filter(|miss| miss.gap == gap).count();
        let expected = [windows, assignees, scopes].map(|count| count.min(5));
        assert_eq!([Gap::Window, Gap::Assignee, Gap::Scope].map(of), expected);
        assert!(told.is_sorted_by_key(|miss| miss.gap), "nearest first");
    }
}

#[test]
fn so_many_ways_that_are_closed_now_are_told() {
    let member = "{of: 'person:ana', valid_until: 1999-01-01T00:00:00Z}";
    let mut bundle = format!("{TYPES}people: [{{id: ana}}]\n");
    writeln!(bundle, "groups: [{{id: old, members: [{member}]}}]\nassignments:").unwrap();
    for number in 0..7 {
        let to = "to: 'group:old', level: Report/Viewer, on: 'Report:r'";
        writeln!(bundle, "  - {{id: a{number}, {to}}}").unwrap();
    }
    assert_eq!(near_misses(&bundle).len(), 5);
}

#[test]
fn the_last_time_before_is_told_and_else_the_first_one_after() {
    let told = |members: &str| {
        let bundle = format!(
            "{TYPES}people: [{{id: ana}}]
groups:
  - {{id: all, members: [{{of: 'group:old'}}, {{of: 'group:late'}}, {{of: 'group:soon'}}, {{of: 'group:far'}}]}}
{members}
assignments:
  - {{id: a, to: 'group:all', level: Report/Viewer, on: 'Report:r'}}
"
        );
        let told = near_misses(&bundle);
        let [miss] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(miss.gap, Gap::Window);
        format!("{:?}", miss.subject_path.first().unwrap())
    };
    let group = |id: &str, window: &str| {
        format!("  - {{id: {id}, members: [{{of: 'person:ana'{window}}}]}}\n")
    };
    let old = group("old", ", valid_from: 1985-01-01T00:00:00Z, valid_until: 1990-01-01T00:00:00Z");
    let late =
        group("late", ", valid_from: 1995-01-01T00:00:00Z, valid_until: 1998-01-01T00:00:00Z");
    let soon = group("soon", ", valid_from: 2010-01-01T00:00:00Z");
    let far = group("far", ", valid_from: 2030-01-01T00:00:00Z");
    let none = |id: &str| format!("  - {{id: {id}}}\n");
    assert!(told(&format!("{old}{late}{soon}{far}")).contains("late"));
    assert!(told(&format!("{}{}{soon}{far}", none("old"), none("late"))).contains("soon"));
}

#[test]
fn what_needs_an_approval_is_told_where_it_is_asked_for() {
    let snapshot = snapshot(&format!(
        "{TYPES}people: [{{id: ana}}]
permission_levels: [{{id: admin}}]
groups: [{{id: admins}}]
psm: [{{computer: srv, enabled: true, account_store: local_windows_server, jit: {{enabled: true}}, levels: {{admin: 'group:admins'}}}}]
eligibilities:
  - {{to: 'person:ana', level: admin, on: 'Computer:srv', kind: eligible}}
assignments:
  - {{id: a, to: 'person:ana', level: Report/Viewer, on: 'Report:r'}}
"
    ));
    let told = |permissions: &[ListedPermission]| {
        let part = EffectivePart { permissions, limit: 10, wanted: &|| true };
        let about = About::Subject { subject: ANA, type_name: None };
        let told = effective(&snapshot, about, part, Timestamp::from_micros(1)).unwrap();
        told.into_iter().map(|((_, listed), effect)| (listed, effect)).collect::<Vec<_>>()
    };
    let view = (ListedPermission::Operation("View".to_owned()), Effect::Allow);
    let admin = ListedPermission::Session(Some("admin".to_owned()));
    let admin = (admin, Effect::RequiresApproval);
    assert_eq!(told(std::slice::from_ref(&view.0)), std::slice::from_ref(&view));
    assert_eq!(told(std::slice::from_ref(&admin.0)), std::slice::from_ref(&admin));
    assert_eq!(told(&[]).len(), 2);
}

#[test]
fn nothing_is_listed_of_names_that_are_none() {
    let snapshot = snapshot(&format!("{TYPES}people: [{{id: ana}}]\n"));
    let now = Timestamp::from_micros(1);
    let permissions = |subject, id| {
        let object = ObjectRef { type_name: "Report", id };
        list_permissions(&snapshot, subject, object, now).is_ok()
    };
    assert!(permissions(ANA, "r") && permissions(ANA, "nowhere"));
    assert!(!permissions(SubjectRef::Person(""), "r") && !permissions(ANA, ""));
    let subjects = |id| {
        let object = ObjectRef { type_name: "Report", id };
        let kinds = SubjectKinds::People;
        list_subjects(&snapshot, AnyPermission::Access(VIEW), object, kinds, now).is_ok()
    };
    assert!(subjects("r") && !subjects(""));
}

#[test]
fn a_denial_below_is_told_where_everything_in_a_place_is_handed_out() {
    let snapshot = snapshot(
        "
resource_types:
  Report: {operations: [View, AddToViewerInLocation]}
  Person: {operations: [AddPersonToResourceRoleAssignmentByLocation]}
access_levels:
  - {type: Report, name: Viewer, operations: {View: allowed}}
  - {type: Report, name: Steward, operations: {AddToViewerInLocation: allowed}}
  - {type: Report, name: Not Here, operations: {AddToViewerInLocation: denied}}
locations: [{id: swiss}, {id: zurich, parent: swiss}]
people: [{id: ana}, {id: kim}]
assignments:
  - {id: allow-below, to: 'person:ana', level: Report/Steward, in: zurich}
  - {id: allow, to: 'person:ana', level: Report/Steward, in: swiss}
  - {id: deny-below, to: 'person:ana', level: Report/Not Here, in: zurich}
",
    );
    let question = DelegationQuestion {
        delegator: ANA,
        action: DelegationAction::Grant,
        type_name: "Report",
        level: "Viewer",
        recipient: RecipientRef::Person("kim"),
        scope: ScopeRef::In("swiss"),
        routing: true,
    };
    let told = explain_delegation(&snapshot, &question, Timestamp::from_micros(1)).unwrap();
    let objects = told.resource.unwrap().objects;
    let entries = objects.iter().flat_map(|object| &object.alternatives).flat_map(|it| &it.entries);
    let told: Vec<_> = entries.map(|entry| (entry.assignment.as_str(), entry.standing)).collect();
    assert_eq!(told, [("allow", Standing::Masked), ("deny-below", Standing::Deciding)]);
}
