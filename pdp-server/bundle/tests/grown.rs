//! A policy that grew change set by change set, or shrank, says what one that was compiled whole does, where there is a
//! way of its own to get there.

#![expect(clippy::unwrap_used, reason = "a test file")]

use pdp_engine::check::check;
use pdp_engine::compile::{compile, recompile};
use pdp_engine::facts::{Change, Fact, Facts};
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
    pdp_bundle::parse("bundle.yaml", bundle).unwrap().changes()
}

/// Deletes what these would put.
fn deletes(bundle: &str) -> Vec<Change> {
    let bundle = pdp_bundle::parse("bundle.yaml", bundle).unwrap();
    let delete = |fact: &Fact| Change::Delete { key: fact.key(), cascade: false };
    bundle.facts().map(delete).collect()
}

/// A policy with its facts, compiled whole at first and then by what changes.
#[derive(Clone)]
struct Grown {
    facts: Facts,
    snapshot: Snapshot,
}

impl Grown {
    fn new(bundle: &str) -> Self {
        let mut facts = Facts::default();
        facts.apply(&changes(bundle)).unwrap();
        let snapshot = compile(&facts, Revision::new(1));
        Self { facts, snapshot }
    }

    fn take(&mut self, changes: &[Change]) {
        let applied = self.facts.apply(changes).unwrap();
        let revision = self.snapshot.revision().next();
        self.snapshot = recompile(&self.snapshot, &self.facts, &applied.deltas, revision);
    }

    fn put(&mut self, bundle: &str) {
        self.take(&changes(bundle));
    }

    fn whole(&self) -> Snapshot {
        compile(&self.facts, self.snapshot.revision())
    }

    /// What Ana may view of a type.
    fn views(&self, type_name: &str) -> Vec<String> {
        views(&self.snapshot, type_name, NOW)
    }

    fn reason(&self, subject: SubjectRef<'_>, object: ObjectRef<'_>) -> Reason {
        let question = Question::new(subject, OPERATION, object);
        check(&self.snapshot, &question, NOW).unwrap().reason
    }
}

fn views(of: &Snapshot, type_name: &str, now: Timestamp) -> Vec<String> {
    let listed = list_resources(of, ANA, VIEW, type_name, now).unwrap();
    listed.iter().map(ToString::to_string).collect()
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
    let mut grown = Grown::new(FIRST);
    for change in changes(MORE) {
        grown.take(std::slice::from_ref(&change));
        let whole = grown.whole();
        assert_eq!(lists(&grown.snapshot), lists(&whole), "{change:?}");
        for id in ["d", "e", "r"] {
            let entity = ObjectRef { type_name: "Report", id };
            let question = VaultQuestion { subject: ANA, action: "view_password", entity };
            let told = [&grown.snapshot, &whole].map(|it| explain_vault(it, &question, NOW));
            assert_eq!(told[0], told[1], "{id}: {change:?}");
        }
    }
    let lists = lists(&grown.snapshot).map(|list| list.join(" "));
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
    let before = Grown::new(bundle);
    assert!(before.views("Location").is_empty());
    // Alone, and among others of its change set that ask for nothing new.
    for others in ["", "people: [{id: bo}]\n"] {
        let mut grown = before.clone();
        grown.put(&format!("{others}{assignment}"));
        assert_eq!(grown.views("Location"), ["swiss", "zurich"], "{others}");
        grown.put("groups: [{id: clerks, positions: [{business_role: clerk, location: zurich}]}]");
        assert!(grown.views("Location").is_empty(), "who has left the group");
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
    let mut grown = Grown::new(&bundle);
    for (kind, section) in types {
        for (place, seen) in [("basel", false), ("zurich", true), ("basel", false)] {
            grown.put(&put(kind, section, place));
            assert_eq!(!grown.views(kind).is_empty(), seen, "{kind} in {place}");
        }
        // What has gone is not known any more, under its name and as somebody who asks.
        grown.take(&deletes(&put(kind, section, "basel")));
        let reason = |subject| grown.reason(subject, ObjectRef { type_name: kind, id: "x" });
        assert_eq!(reason(ANA), Reason::UnknownResource, "{kind}");
        assert_eq!(reason(SubjectRef::Account("x")), Reason::UnknownSubject, "{kind}");
        assert_eq!(reason(SubjectRef::Person("x")), Reason::UnknownSubject, "{kind}");
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
    let mut grown = Grown::new(&bundle);
    let object = ObjectRef { type_name: "Report", id: "r" };
    let others = |member: &&String| *member != "person:p7000";
    let nearly = members.iter().filter(others).cloned().collect::<Vec<_>>().join(", ");
    for (group, seen) in [
        ("{id: all, members: ['group:staff']}", 20_100),
        (&format!("{{id: staff, members: [{nearly}]}}"), 20_099),
        (&format!("{{id: staff, members: [{staff}]}}"), 20_100),
        ("{id: all}", 0),
    ] {
        grown.put(&format!("groups: [{group}]"));
        let who = list_subjects(&grown.snapshot, VIEW, object, SubjectKinds::People, NOW);
        assert_eq!(who.unwrap().len(), seen);
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
    let before = Grown::new(first);
    let object = ObjectRef { type_name: "Report", id: "r" };
    assert_eq!(before.reason(ANA, object), Reason::Granted);
    for change in [denies, new] {
        let mut grown = before.clone();
        grown.put(change);
        assert_eq!(grown.reason(ANA, object), Reason::ExplicitDeny, "{change}");
        grown.put(first);
        let expected = if change == denies { Reason::Granted } else { Reason::ExplicitDeny };
        assert_eq!(grown.reason(ANA, object), expected, "{change}");
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
    let mut grown = Grown::new(first);
    // The first assignment there, and one more.
    for id in ["a1", "a2"] {
        let assignment = "to: 'person:ana', level: Person/Viewer, in: zurich";
        grown.put(&format!("assignments: [{{id: {id}, {assignment}}}]"));
        assert!(grown.views("Person").is_empty(), "{id}");
        let then = Timestamp::from_micros(2_000_000_000_000_000);
        assert_eq!(views(&grown.snapshot, "Person", then), ["x", "y"], "{id}");
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
    let mut grown = Grown::new(&bundle);
    let report = |id: &str| deletes(&format!("resources: [{{type: Report, id: {id}}}]"));
    let gone = ["r03", "r17", "r39"].map(report);
    let group = deletes("resource_groups: [{id: tier}]");
    let moved = changes("resources: [{type: Report, id: r20, locations: [basel]}]");
    for changes in gone.into_iter().chain([group, moved]) {
        grown.take(&changes);
        assert_eq!(grown.views("Report"), views(&grown.whole(), "Report", NOW), "{changes:?}");
    }
    assert_eq!(grown.views("Report").len(), 36);
    let entity = ObjectRef { type_name: Entity::GROUP_WORD, id: "tier" };
    let question = VaultQuestion { subject: ANA, action: "manage", entity };
    let decision = check_vault(&grown.snapshot, &question, NOW).unwrap();
    assert_eq!(decision.reason, Reason::UnknownResource);
}
