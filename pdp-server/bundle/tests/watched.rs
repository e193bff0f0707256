//! Who watches something hears of what changes it, whatever kind it is of, and not of its neighbours.

#![expect(clippy::unwrap_used, reason = "a test file")]

use pdp_engine::compile::{compile, recompile, touches};
use pdp_engine::facts::{Change, Facts};
use pdp_engine::list::{About, SubjectKinds};
use pdp_engine::query::{ObjectRef, Revision, SubjectRef};

const BUNDLE: &str = "
resource_types:
  Report: {operations: [View]}
  Computer: {operations: [View]}
access_levels:
  - {type: Report, name: Viewer, operations: {View: allowed}}
locations: [{id: zurich}, {id: basel}]
business_roles: [{id: clerk}]
permission_levels: [{id: admin}]
people: [{id: ana}, {id: x}, {id: y}]
accounts: [{id: x}, {id: y}]
groups: [{id: x}, {id: y}, {id: staff, members: ['person:ana']}, {id: natives}]
set_groups: [{id: x}, {id: y}]
management_roles: [{id: x}, {id: y}, {id: desk, members: ['person:ana']}]
management_role_definitions: [{id: x}, {id: y}]
resources:
  - {type: Report, id: x, locations: [zurich]}
  - {type: Report, id: y, locations: [zurich]}
  - {type: Report, id: z}
  - {type: Computer, id: x, platform: windows, locations: [zurich]}
  - {type: Computer, id: y, platform: windows}
resource_groups: [{id: x}, {id: y}]
assignments:
  - {id: to-pair, to: 'business_role:clerk@zurich', level: Report/Viewer, on: 'Report:z'}
";

/// Each kind of object, twice.
const KINDS: [&str; 9] = [
    "Person",
    "UserAccount",
    "Group",
    "SetGroup",
    "ManagementRole",
    "ManagementRoleDefinition",
    "Report",
    "Computer",
    "resource_group",
];

fn changes(bundle: &str) -> Vec<Change> {
    let bundle = pdp_bundle::parse("bundle.yaml", bundle).unwrap();
    bundle.changes()
}

/// Which objects, and whether Ana, hear of it.
fn hear(changes: &[Change]) -> String {
    hear_of(BUNDLE, changes, Some("Report"))
}

fn hear_of(bundle: &str, changes: &[Change], type_name: Option<&str>) -> String {
    let mut facts = Facts::default();
    facts.apply(&self::changes(bundle)).unwrap();
    let before = compile(&facts, Revision::new(1));
    let applied = facts.apply(changes).unwrap();
    let after = recompile(&before, &facts, &applied.deltas, Revision::new(2));
    let mut told = Vec::new();
    for type_name in KINDS {
        for id in ["x", "y"] {
            let resource = ObjectRef { type_name, id };
            let about = About::Resource { resource, kinds: SubjectKinds::People };
            if touches(&applied.deltas, &after, about) {
                told.push(format!("{type_name}:{id}"));
            }
        }
    }
    let ana = About::Subject { subject: SubjectRef::Person("ana"), type_name };
    told.extend(touches(&applied.deltas, &after, ana).then(|| "ana".to_owned()));
    told.join(" ")
}

#[test]
fn each_kind_hears_of_itself() {
    let cases = [
        ("people: [{id: x, locations: [basel]}]", "Person:x"),
        ("accounts: [{id: x, locations: [basel]}]", "UserAccount:x"),
        ("groups: [{id: x, locations: [basel]}]", "Group:x"),
        ("set_groups: [{id: x, locations: [basel]}]", "SetGroup:x"),
        ("management_roles: [{id: x, locations: [basel]}]", "ManagementRole:x"),
        (
            "management_role_definitions: [{id: x, locations: [basel]}]",
            "ManagementRoleDefinition:x",
        ),
        ("resources: [{type: Report, id: x, locations: [basel]}]", "Report:x"),
        ("resource_groups: [{id: x, members: ['Report:y']}]", "Report:y resource_group:x"),
        ("psm: [{computer: x, levels: {admin: 'group:natives'}}]", "Computer:x"),
        (
            "shares: [{to: 'group:natives', on: 'resource_group:x', level: view}]",
            "resource_group:x",
        ),
        (
            "eligibilities: [{to: 'group:natives', level: admin, in: zurich, kind: eligible}]",
            "Computer:x",
        ),
    ];
    for (bundle, told) in cases {
        assert_eq!(hear(&changes(bundle)), told, "{bundle}");
    }
}

#[test]
fn what_goes_is_heard_of() {
    let sections = [
        ("people: [{id: x}]", "Person:x"),
        ("accounts: [{id: x}]", "UserAccount:x"),
        ("groups: [{id: x}]", "Group:x"),
        ("set_groups: [{id: x}]", "SetGroup:x"),
        ("management_roles: [{id: x}]", "ManagementRole:x"),
        ("management_role_definitions: [{id: x}]", "ManagementRoleDefinition:x"),
        ("resources: [{type: Report, id: x}]", "Report:x"),
        ("resource_groups: [{id: x}]", "resource_group:x"),
    ];
    for (bundle, told) in sections {
        let deletes = changes(bundle).into_iter().filter_map(|change| match change {
            Change::Put(fact) => Some(Change::Delete { key: fact.key(), cascade: false }),
            Change::Delete { .. } => None,
        });
        let heard = hear(&deletes.collect::<Vec<_>>());
        assert!(heard.split(' ').any(|it| it == told), "{bundle}: {heard}");
        // Of an actor that is gone nobody knows who counted as it: everybody hears.
        assert_eq!(heard.contains(":y"), !bundle.starts_with("resource"), "{bundle}: {heard}");
    }
}

#[test]
fn who_counts_as_a_group_hears_of_its_positions() {
    let position = "positions: [{business_role: clerk, location: zurich}]";
    let staff = format!("groups: [{{id: staff, members: ['person:ana'], {position}}}]");
    assert_eq!(hear(&changes(&staff)), "ana");
    assert_eq!(hear(&changes(&format!("groups: [{{id: natives, {position}}}]"))), "");
    let includes =
        |id| format!("management_roles: [{{id: {id}, members: ['person:ana'], includes: [y]}}]");
    assert_eq!(hear(&changes(&includes("desk"))), "ana");
    assert_eq!(hear(&changes("management_roles: [{id: x, includes: [y]}]")), "ManagementRole:x");
}

#[test]
fn who_may_do_something_with_one_of_a_kind_hears_of_it() {
    let mut bundle = BUNDLE.to_owned();
    let mut add = |section: &str, line: &str| {
        let at = bundle.find(&format!("{section}:\n")).unwrap() + section.len() + 2;
        bundle.insert_str(at, &format!("  {line}\n"));
    };
    let kinds = &KINDS[..6];
    for kind in kinds {
        add("resource_types", &format!("{kind}: {{operations: [View]}}"));
        add("access_levels", &format!("- {{type: {kind}, name: Viewer}}"));
        let to = format!("id: {kind}, to: 'person:ana', level: {kind}/Viewer");
        add("assignments", &format!("- {{{to}, on: '{kind}:x'}}"));
    }
    let sections = [
        "people",
        "accounts",
        "groups",
        "set_groups",
        "management_roles",
        "management_role_definitions",
    ];
    for (section, kind) in sections.iter().zip(kinds) {
        let moves = |id| changes(&format!("{section}: [{{id: {id}, locations: [basel]}}]"));
        assert_eq!(hear_of(&bundle, &moves("x"), None), format!("{kind}:x ana"));
        assert_eq!(hear_of(&bundle, &moves("y"), None), format!("{kind}:y"));
    }
}

#[test]
fn who_owned_something_hears_that_it_is_theirs_no_more() {
    let owned = BUNDLE.replace("{type: Report, id: z}", "{type: Report, id: z, owner: ana}");
    let given = |to: &str| changes(&format!("resources: [{{type: Report, id: z, owner: {to}}}]"));
    assert!(hear_of(&owned, &given("x"), None).contains("ana"));
    assert!(hear_of(BUNDLE, &given("ana"), None).contains("ana"));
    assert!(!hear_of(BUNDLE, &given("x"), None).contains("ana"));
}

#[test]
fn who_is_eligible_hears_of_computers() {
    let eligible = "psm: [{computer: x, levels: {admin: 'group:natives'}}]
eligibilities: [{to: 'person:ana', level: admin, in: zurich, kind: eligible}]
";
    let eligible = format!("{BUNDLE}{eligible}");
    let moved =
        |kind| changes(&format!("resources: [{{type: {kind}, id: x, locations: [basel]}}]"));
    assert_eq!(hear_of(&eligible, &moved("Computer"), None), "Computer:x ana");
    assert_eq!(hear_of(&eligible, &moved("Report"), None), "Report:x");
}
