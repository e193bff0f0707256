//! What came later is as if it had been there: lists are in the order of names, and what an assignment asks for that
//! none asked for before is known.

#![expect(clippy::unwrap_used, reason = "a test file")]

use pdp_engine::check::check;
use pdp_engine::compile::{compile, recompile};
use pdp_engine::facts::{Change, Facts};
use pdp_engine::list::{AnyPermission, SubjectKinds, list_resources, list_subjects};
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::{ObjectRef, PermissionRef, Question, Reason, Revision, SubjectRef};
use pdp_engine::share::{Entity, VaultAction};
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;
use pdp_engine::vault::{VaultQuestion, check_vault, explain_vault};

/// What is there at first; each of these lists is one by itself, as some give way to others.
const FIRST: &str = r#"
resource_types:
  Report: {operations: [View]}
access_levels:
  - {type: Report, name: Viewer, operations: {View: allowed}}
locations: [{id: zurich}, {id: basel}]
people: [{id: ana}, {id: bo}, {id: m}]
accounts: [{id: m, owner: m}]
groups: [{id: m, members: ["person:ana", "person:m"]}]
resources:
  - {type: Report, id: d, locations: [zurich]}
  - {type: Report, id: m, locations: [basel]}
  - {type: Report, id: r}
resource_groups:
  - {id: d, members: ["Report:d"]}
  - {id: m, members: ["Report:d", "Report:m"]}
assignments:
  - {id: a1, to: person:ana, level: Report/Viewer, in: zurich}
  - {id: a2, to: group:m, level: Report/Viewer, in: basel}
  - {id: a3, to: person:ana, level: Report/Viewer, on: "Report:r"}
  - {id: a4, to: person:bo, level: Report/Viewer, on: "Report:d"}
  - {id: a5, to: account:m, level: Report/Viewer, on: "Report:d"}
shares:
  - {to: person:ana, on: "resource_group:d", level: full}
  - {to: group:m, on: "resource_group:m", level: full}
"#;

/// What comes then, fact by fact: before, between and behind.
const MORE: &str = r#"
people: [{id: a}, {id: c}, {id: n}, {id: z}]
accounts: [{id: a, owner: a}, {id: z, owner: z}]
groups: [{id: a, members: ["person:ana", "person:z", "person:c"]}]
resources:
  - {type: Report, id: a, locations: [zurich]}
  - {type: Report, id: e, locations: [basel]}
  - {type: Report, id: n}
  - {type: Report, id: r, owner: ana}
  - {type: Report, id: z, locations: [zurich], owner: ana}
resource_groups:
  - {id: a, members: ["Report:d", "Report:e"]}
  - {id: e, members: ["Report:d"]}
  - {id: z, members: ["Report:d"]}
assignments:
  - {id: b1, to: group:a, level: Report/Viewer, on: "Report:n"}
  - {id: b2, to: person:z, level: Report/Viewer, on: "Report:d"}
  - {id: b3, to: person:a, level: Report/Viewer, on: "Report:d"}
  - {id: b4, to: person:n, level: Report/Viewer, on: "Report:d"}
  - {id: b5, to: account:a, level: Report/Viewer, on: "Report:d"}
  - {id: b6, to: account:z, level: Report/Viewer, on: "Report:d"}
shares:
  - {to: person:ana, on: "resource_group:z", level: full}
  - {to: person:ana, on: "resource_group:a", level: full}
  - {to: group:a, on: "resource_group:e", level: full}
"#;

const NOW: Timestamp = Timestamp::from_micros(1);
const ANA: SubjectRef<'_> = SubjectRef::Person("ana");
const OPERATION: PermissionRef<'_> =
    PermissionRef { kind: PermissionKind::Operation, name: "View" };
const VIEW: AnyPermission<'_> = AnyPermission::Access(OPERATION);
const PASSWORD: AnyPermission<'_> = AnyPermission::Vault(VaultAction::ViewPassword.as_str());
const MANAGE: AnyPermission<'_> = AnyPermission::Vault(VaultAction::Manage.as_str());

fn changes(bundle: &str) -> Vec<Change> {
    let bundle = pdp_bundle::parse("bundle.yaml", bundle).unwrap();
    bundle.facts().cloned().map(Change::Put).collect()
}

/// The reports and the groups that Ana may do something with, and who may view a report.
fn lists(snapshot: &Snapshot) -> [Vec<String>; 4] {
    let resources = |permission, type_name| {
        let listed = list_resources(snapshot, ANA, permission, type_name, NOW).unwrap();
        listed.iter().map(ToString::to_string).collect()
    };
    let report = ObjectRef { type_name: "Report", id: "d" };
    let kinds = SubjectKinds::PeopleAndAccounts;
    let who = list_subjects(snapshot, VIEW, report, kinds, NOW).unwrap();
    [
        resources(VIEW, "Report"),
        resources(PASSWORD, "Report"),
        resources(MANAGE, Entity::GROUP_WORD),
        who.iter().map(ToString::to_string).collect(),
    ]
}

#[test]
fn lists_of_what_came_one_by_one_are_in_order() {
    let mut facts = Facts::default();
    facts.apply(&changes(FIRST)).unwrap();
    let mut grown = compile(&facts, Revision::new(1));
    for change in changes(MORE) {
        let applied = facts.apply(&[change]).unwrap();
        grown = recompile(&grown, &facts, &applied.deltas, grown.revision().next());
        let whole = compile(&facts, grown.revision());
        assert_eq!(lists(&grown), lists(&whole), "{:?}", applied.deltas);
        for id in ["d", "e", "r"] {
            let entity = ObjectRef { type_name: "Report", id };
            let question = VaultQuestion { subject: ANA, action: "view_password", entity };
            let [one, other] = [&grown, &whole].map(|it| explain_vault(it, &question, NOW));
            assert_eq!(one, other, "{id}: {:?}", applied.deltas);
        }
    }
    let lists = lists(&grown).map(|list| list.join(" "));
    assert_eq!(
        lists,
        [
            "a d e m n r z",
            "d e m r z",
            "a d e m z",
            "person:a person:ana person:bo person:m person:n person:z account:a account:m account:z"
        ]
    );
}

#[test]
fn the_first_that_asks_for_positions_of_groups_finds_them() {
    let bundle = r#"
resource_types:
  Location: {operations: [View]}
access_levels:
  - {type: Location, name: Viewer, operations: {View: allowed}}
locations: [{id: swiss}, {id: zurich, parent: swiss}]
business_roles: [{id: clerk}]
people: [{id: ana}]
groups: [{id: clerks, members: ["person:ana"], positions: [{business_role: clerk, location: zurich}]}]
"#;
    let assignment = "assignments: [{id: a, to: person:ana, level: Location/Viewer, relative: my_locations_and_above}]";
    let mut facts = Facts::default();
    facts.apply(&changes(bundle)).unwrap();
    let before = compile(&facts, Revision::new(1));
    let locations = |of: &Snapshot| list_resources(of, ANA, VIEW, "Location", NOW).unwrap().len();
    assert_eq!(locations(&before), 0);
    // Alone, and among others of its change set that ask for nothing new.
    for others in ["", "people: [{id: bo}]\n"] {
        let mut facts = facts.clone();
        let applied = facts.apply(&changes(&format!("{others}{assignment}"))).unwrap();
        let grown = recompile(&before, &facts, &applied.deltas, Revision::new(2));
        assert_eq!(locations(&grown), 2, "{others}");
        let left = "groups: [{id: clerks, positions: [{business_role: clerk, location: zurich}]}]";
        let applied = facts.apply(&changes(left)).unwrap();
        let grown = recompile(&grown, &facts, &applied.deltas, Revision::new(3));
        assert_eq!(locations(&grown), 0, "who has left the group");
    }
}

#[test]
fn what_moves_is_covered_where_it_is_and_what_goes_is_not_known() {
    let types = [
        ("Person", "people"),
        ("UserAccount", "accounts"),
        ("Group", "groups"),
        ("SetGroup", "set_groups"),
        ("ManagementRole", "management_roles"),
        ("ManagementRoleDefinition", "management_role_definitions"),
        ("Report", ""),
    ];
    let put = |kind: &str, section: &str, place: &str| match kind {
        "Report" => format!("resources: [{{type: Report, id: x, locations: [{place}]}}]"),
        _ => format!("{section}: [{{id: x, locations: [{place}]}}]"),
    };
    let mut bundle = String::from("locations: [{id: zurich}, {id: basel}]\n");
    let each = |text: &dyn Fn(&str) -> String| types.map(|(kind, _)| text(kind)).join("");
    bundle += "resource_types:\n";
    bundle += &each(&|kind| format!("  {kind}: {{operations: [View]}}\n"));
    bundle += "access_levels:\n";
    bundle += &each(&|kind| {
        format!("  - {{type: {kind}, name: Viewer, operations: {{View: allowed}}}}\n")
    });
    bundle += "people: [{id: ana}]\nassignments:\n";
    bundle += &each(&|kind| {
        format!("  - {{id: {kind}, to: person:ana, level: {kind}/Viewer, in: zurich}}\n")
    });
    let mut facts = Facts::default();
    facts.apply(&changes(&bundle)).unwrap();
    let mut grown = compile(&facts, Revision::new(1));
    for (kind, section) in types {
        for (place, seen) in [("basel", 0), ("zurich", 1), ("basel", 0)] {
            let moved = changes(&put(kind, section, place));
            let applied = facts.apply(&moved).unwrap();
            grown = recompile(&grown, &facts, &applied.deltas, grown.revision().next());
            let listed = list_resources(&grown, ANA, VIEW, kind, NOW).unwrap();
            assert_eq!(listed.len(), seen, "{kind} in {place}");
        }
        // What has gone is not known any more, under its name and as somebody who asks.
        let key =
            changes(&put(kind, section, "basel")).into_iter().find_map(|change| match change {
                Change::Put(fact) => Some(fact.key()),
                Change::Delete { .. } => None,
            });
        let delete = Change::Delete { key: key.unwrap(), cascade: false };
        let applied = facts.apply(&[delete]).unwrap();
        grown = recompile(&grown, &facts, &applied.deltas, grown.revision().next());
        let asked = |subject| {
            let object = ObjectRef { type_name: kind, id: "x" };
            check(&grown, &Question::new(subject, OPERATION, object), NOW).unwrap().reason
        };
        assert_eq!(asked(ANA), Reason::UnknownResource, "{kind}");
        assert_eq!(asked(SubjectRef::Account("x")), Reason::UnknownSubject, "{kind}");
        assert_eq!(asked(SubjectRef::Person("x")), Reason::UnknownSubject, "{kind}");
    }
}

#[test]
fn who_are_many_count_otherwise_all_of_them() {
    let mut bundle = String::from(
        "resource_types: {Report: {operations: [View]}}
access_levels: [{type: Report, name: Viewer, operations: {View: allowed}}]
resources: [{type: Report, id: r}]
assignments: [{id: a, to: group:all, level: Report/Viewer, on: 'Report:r'}]
people:
",
    );
    let many = 0..20_100;
    many.clone().for_each(|number| bundle += &format!("  - {{id: p{number}}}\n"));
    let members: Vec<String> = many.map(|number| format!("person:p{number}")).collect();
    let staff = members.join(", ");
    bundle += &format!("groups: [{{id: staff, members: [{staff}]}}, {{id: all}}]\n");
    let mut facts = Facts::default();
    facts.apply(&changes(&bundle)).unwrap();
    let mut grown = compile(&facts, Revision::new(1));
    let object = ObjectRef { type_name: "Report", id: "r" };
    let listed =
        |of: &Snapshot| list_subjects(of, VIEW, object, SubjectKinds::People, NOW).unwrap();
    for (all, seen) in [("{id: all, members: ['group:staff']}", 20_100), ("{id: all}", 0)] {
        let applied = facts.apply(&changes(&format!("groups: [{all}]"))).unwrap();
        grown = recompile(&grown, &facts, &applied.deltas, grown.revision().next());
        assert_eq!(listed(&grown).len(), seen);
    }
}

#[test]
fn the_first_level_that_denies_is_heard() {
    let first = "
resource_types: {Report: {operations: [View]}}
access_levels:
  - {type: Report, name: Viewer, operations: {View: allowed}}
  - {type: Report, name: Other}
locations: [{id: zurich}]
people: [{id: ana}]
groups: [{id: staff, members: ['person:ana']}]
resources: [{type: Report, id: r, locations: [zurich]}]
assignments:
  - {id: allow, to: 'person:ana', level: Report/Viewer, on: 'Report:r'}
  - {id: allow-too, to: 'group:staff', level: Report/Viewer, in: zurich}
  - {id: other, to: 'person:ana', level: Report/Other, in: zurich}
";
    let denies = "access_levels: [{type: Report, name: Other, operations: {View: denied}}]";
    let new = "
access_levels: [{type: Report, name: New, operations: {View: denied}}]
assignments: [{id: z, to: 'group:staff', level: Report/New, in: zurich}]
";
    let mut facts = Facts::default();
    facts.apply(&changes(first)).unwrap();
    let before = compile(&facts, Revision::new(1));
    let object = ObjectRef { type_name: "Report", id: "r" };
    let reason =
        |of: &Snapshot| check(of, &Question::new(ANA, OPERATION, object), NOW).unwrap().reason;
    assert_eq!(reason(&before), Reason::Granted);
    for change in [denies, new] {
        let mut facts = facts.clone();
        let applied = facts.apply(&changes(change)).unwrap();
        let grown = recompile(&before, &facts, &applied.deltas, Revision::new(2));
        assert_eq!(reason(&grown), Reason::ExplicitDeny, "{change}");
        let applied = facts.apply(&changes(first)).unwrap();
        let again = recompile(&grown, &facts, &applied.deltas, Revision::new(3));
        let expected = if change == denies { Reason::Granted } else { Reason::ExplicitDeny };
        assert_eq!(reason(&again), expected, "{change}");
    }
}

#[test]
fn who_is_in_a_place_at_times_is_covered_at_those_times() {
    let first = "
resource_types: {Person: {operations: [View]}}
access_levels: [{type: Person, name: Viewer, operations: {View: allowed}}]
locations: [{id: zurich}, {id: basel}]
business_roles: [{id: clerk}]
people:
  - {id: ana}
  - {id: x, positions: [{business_role: clerk, location: zurich, valid_from: 2030-01-01T00:00:00Z}]}
  - {id: y, locations: [basel], positions: [{business_role: clerk, location: zurich, valid_from: 2030-01-01T00:00:00Z}]}
";
    let mut facts = Facts::default();
    facts.apply(&changes(first)).unwrap();
    let mut grown = compile(&facts, Revision::new(1));
    let seen = |of: &Snapshot, seconds: i64| {
        let now = Timestamp::from_micros(seconds * 1_000_000);
        list_resources(of, ANA, VIEW, "Person", now).unwrap().len()
    };
    for number in 1..=2 {
        let assignment =
            format!("{{id: a{number}, to: 'person:ana', level: Person/Viewer, in: zurich}}");
        let applied = facts.apply(&changes(&format!("assignments: [{assignment}]"))).unwrap();
        grown = recompile(&grown, &facts, &applied.deltas, grown.revision().next());
        assert_eq!([seen(&grown, 1), seen(&grown, 2_000_000_000)], [0, 2], "{number}");
    }
}

#[test]
fn those_that_stay_are_listed_and_a_group_that_has_gone_is_not_known() {
    let mut bundle = "
resource_types: {Report: {operations: [View]}}
access_levels: [{type: Report, name: Viewer, operations: {View: allowed}}]
locations: [{id: zurich}, {id: basel}]
people: [{id: ana}]
groups: [{id: staff, members: ['person:ana']}]
assignments:
  - {id: a, to: 'person:ana', level: Report/Viewer, in: zurich}
  - {id: b, to: 'group:staff', level: Report/Viewer, on: 'Report:r00'}
resource_groups: [{id: tier}]
resources:
"
    .to_owned();
    (0..40).for_each(|number| {
        bundle += &format!("  - {{type: Report, id: r{number:02}, locations: [zurich]}}\n");
    });
    let mut facts = Facts::default();
    let all = changes(&bundle);
    facts.apply(&all).unwrap();
    let mut grown = compile(&facts, Revision::new(1));
    let key = |text: &str| {
        let keys = all.iter().filter_map(|change| match change {
            Change::Put(fact) => Some(fact.key()),
            Change::Delete { .. } => None,
        });
        keys.into_iter().find(|key| key.to_string() == text).unwrap()
    };
    let mut gone = vec![Change::Delete { key: key("resource group `tier`"), cascade: false }];
    for number in [3, 17, 39] {
        let key = key(&format!("resource `Report:r{number}`").replace("r3`", "r03`"));
        gone.push(Change::Delete { key, cascade: false });
    }
    let moved = changes("resources: [{type: Report, id: r20, locations: [basel]}]");
    for change in gone.into_iter().chain(moved) {
        let applied = facts.apply(&[change]).unwrap();
        grown = recompile(&grown, &facts, &applied.deltas, grown.revision().next());
        assert_eq!(lists_of_reports(&grown), lists_of_reports(&compile(&facts, grown.revision())));
    }
    assert_eq!(lists_of_reports(&grown), 36);
    let entity = ObjectRef { type_name: Entity::GROUP_WORD, id: "tier" };
    let question = VaultQuestion { subject: ANA, action: "manage", entity };
    assert_eq!(check_vault(&grown, &question, NOW).unwrap().reason, Reason::UnknownResource);
}

fn lists_of_reports(of: &Snapshot) -> usize {
    list_resources(of, ANA, VIEW, "Report", NOW).unwrap().len()
}
