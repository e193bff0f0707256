//! What is named by something else cannot be deleted, whatever names it and wherever it is named: each fact here is
//! named in one place. Alone and beside others, as many deletes are looked for in another way than few.

#![expect(clippy::unwrap_used, reason = "a test file")]

use pdp_engine::facts::{
    Change, Delta, Fact, FactKey, FactKind, Facts, Problem, Rejected, Rejection,
};

/// Every fact whose id begins with `x-` is named by the one fact that its comment tells.
const BUNDLE: &str = r#"
resource_types:
  Report: {operations: [View]}
  Person: {operations: [Read]}
  UserAccount: {operations: [Read]}
  Group: {operations: [Read]}
  SetGroup: {operations: [Read]}
  BusinessRole: {operations: [Read]}
  Location: {operations: [Read]}
  ManagementRole: {operations: [Read]}
  ManagementRoleDefinition: {operations: [Read]}
  Computer: {operations: [Read]}
access_levels:
  - {type: Report, name: View}
  - {type: Person, name: Read}
  - {type: UserAccount, name: Read}
  - {type: Group, name: Read}
  - {type: SetGroup, name: Read}
  - {type: BusinessRole, name: Read}
  - {type: Location, name: Read}
  - {type: ManagementRole, name: Read}
  - {type: ManagementRoleDefinition, name: Read}
locations:
  - {id: x-parent}
  - {id: child, parent: x-parent}
  - {id: x-home}
  - {id: x-desk}
  - {id: x-account-place}
  - {id: x-resource-place}
  - {id: x-scope}
  - {id: x-object}
  - {id: x-eligible-place}
business_roles:
  - {id: x-above}
  - {id: below, parent: x-above}
  - {id: x-held}
  - {id: x-object}
people:
  - {id: ana}
  - {id: x-boss}
  - {id: report, manager: x-boss}
  - {id: placed, locations: [x-home]}
  - {id: holder, positions: [{business_role: x-held, location: x-desk}]}
  - {id: x-owner}
  - {id: x-member}
  - {id: x-in-set}
  - {id: x-in-role}
  - {id: x-given}
  - {id: x-object}
  - {id: x-shared}
  - {id: x-eligible}
  - {id: x-resource-owner}
accounts:
  - {id: owned, owner: x-owner}
  - {id: on-it, computer: x-machine}
  - {id: placed, locations: [x-account-place]}
  - {id: x-member}
  - {id: x-given}
  - {id: x-object}
groups:
  - {id: of-people, members: [person:x-member]}
  - {id: of-accounts, members: [account:x-member]}
  - {id: of-groups, members: [group:x-member]}
  - {id: x-member}
  - {id: x-in-set}
  - {id: x-in-role}
  - {id: x-given}
  - {id: x-object}
  - {id: x-shared}
  - {id: x-native}
set_groups:
  - {id: of-people, members: [person:x-in-set]}
  - {id: of-groups, members: [group:x-in-set]}
  - {id: x-given}
  - {id: x-object}
management_role_definitions:
  - {id: x-behind}
  - {id: x-given}
  - {id: x-object}
management_roles:
  - {id: of-people, definition: x-behind, members: [person:x-in-role]}
  - {id: of-groups, members: [group:x-in-role]}
  - {id: x-given}
  - {id: x-object}
resources:
  - {type: Report, id: x-on}
  - {type: Report, id: owned, owner: x-resource-owner}
  - {type: Report, id: placed, locations: [x-resource-place]}
  - {type: Report, id: x-above}
  - {type: Report, id: below, parent: "Report:x-above"}
  - {type: Report, id: x-shared}
  - {type: Report, id: x-in-tier}
  - {type: Computer, id: x-machine}
  - {type: Computer, id: x-run}
  - {type: Computer, id: x-eligible}
  - {type: Report, id: x-machine}
resource_groups:
  - {id: tier, members: ["Report:x-in-tier"]}
  - {id: x-shared}
permission_levels: [{id: x-offered}, {id: x-eligible}, {id: used}]
psm:
  - {computer: x-run, levels: {x-offered: "group:x-native"}}
assignments:
  - {id: to-person, to: person:x-given, level: Report/View, relative: in_my_locations}
  - {id: to-account, to: account:x-given, level: Report/View, relative: in_my_locations}
  - {id: to-group, to: group:x-given, level: Report/View, relative: in_my_locations}
  - {id: to-set-group, to: set_group:x-given, level: Report/View, relative: in_my_locations}
  - {id: to-role, to: management_role:x-given, level: Report/View, relative: in_my_locations}
  - {id: to-definition, to: management_role_definition:x-given, level: Report/View, relative: in_my_locations}
  - {id: on-resource, to: person:ana, level: Report/View, on: "Report:x-on"}
  - {id: in-location, to: person:ana, level: Report/View, in: x-scope}
  - {id: on-person, to: person:ana, level: Person/Read, on: "Person:x-object"}
  - {id: on-account, to: person:ana, level: UserAccount/Read, on: "UserAccount:x-object"}
  - {id: on-group, to: person:ana, level: Group/Read, on: "Group:x-object"}
  - {id: on-set-group, to: person:ana, level: SetGroup/Read, on: "SetGroup:x-object"}
  - {id: on-business-role, to: person:ana, level: BusinessRole/Read, on: "BusinessRole:x-object"}
  - {id: on-location, to: person:ana, level: Location/Read, on: "Location:x-object"}
  - {id: on-role, to: person:ana, level: ManagementRole/Read, on: "ManagementRole:x-object"}
  - {id: on-definition, to: person:ana, level: ManagementRoleDefinition/Read, on: "ManagementRoleDefinition:x-object"}
shares:
  - {to: person:x-shared, on: "Report:owned", level: view}
  - {to: group:x-shared, on: "Report:owned", level: view}
  - {to: person:ana, on: "Report:x-shared", level: view}
  - {to: person:ana, on: "resource_group:x-shared", level: view}
eligibilities:
  - {to: person:x-eligible, level: used, on: "Computer:x-run", kind: eligible}
  - {to: person:ana, level: x-eligible, on: "Computer:x-run", kind: eligible}
  - {to: person:ana, level: used, on: "Computer:x-eligible", kind: eligible}
  - {to: person:ana, level: used, in: x-eligible-place, kind: eligible}
"#;

/// What is named twice, or is a resource that only looks like the computer that is named.
const NOT_ONCE: [&str; 2] = ["resource `Computer:x-run`", "resource `Report:x-machine`"];

fn facts() -> (Facts, Vec<FactKey>) {
    let bundle = pdp_bundle::parse("bundle.yaml", BUNDLE).unwrap();
    let mut facts = Facts::default();
    facts.apply(&bundle.changes()).unwrap();
    let keys = bundle.facts().map(Fact::key);
    let named = keys.filter(|key| {
        !matches!(key.kind(), FactKind::Share | FactKind::Psm | FactKind::Eligibility)
            && key.name().rsplit(':').next().unwrap_or_default().starts_with("x-")
            && !NOT_ONCE.contains(&key.to_string().as_str())
    });
    let named = named.collect();
    (facts, named)
}

/// Who is said to name each, of what these deletes would leave.
fn referrers(facts: &Facts, gone: &[FactKey]) -> Vec<(FactKey, Vec<String>, usize)> {
    let deletes: Vec<Change> =
        gone.iter().map(|key| Change::Delete { key: key.clone(), cascade: false }).collect();
    let rejected = facts.clone().apply(&deletes).unwrap_err();
    let told = rejected.rejections.into_iter().map(|rejection| match rejection.problem {
        Problem::StillReferenced { referrers, total, .. } => {
            (rejection.key, referrers.iter().map(ToString::to_string).collect(), total)
        }
        other => (rejection.key, vec![format!("{other:?}")], 0),
    });
    told.collect()
}

#[test]
fn each_is_named_by_one_and_told_by_it() {
    let (facts, named) = facts();
    assert!(named.len() > 45, "{}", named.len());
    let mut by: Vec<String> = Vec::new();
    for key in &named {
        let told = referrers(&facts, std::slice::from_ref(key));
        let [(of, referrers, 1)] = told.as_slice() else { panic!("{key}: {told:?}") };
        assert!(of == key && referrers.len() == 1, "{key}: {told:?}");
        by.push(format!("{key} by {}", referrers.first().unwrap()));
    }
    by.sort();
    // All at once they are told alike.
    let mut at_once: Vec<String> = referrers(&facts, &named)
        .into_iter()
        .map(|(key, referrers, total)| {
            assert_eq!(total, 1, "{key}");
            format!("{key} by {}", referrers.first().unwrap())
        })
        .collect();
    at_once.sort();
    assert_eq!(by, at_once);
    for pair in [
        "account `x-object` by assignment `on-account`",
        "business role `x-held` by person `holder`",
        "location `x-desk` by person `holder`",
        "management role definition `x-behind` by management role `of-people`",
        "person `x-boss` by person `report`",
        "resource `Computer:x-machine` by account `on-it`",
        "resource `Report:x-above` by resource `Report:below`",
    ] {
        assert!(by.iter().any(|it| it == pair), "{pair} is not among:\n{}", by.join("\n"));
    }
}

#[test]
fn what_nobody_names_can_go() {
    let (mut facts, _) = facts();
    let unnamed = "resource `Report:x-machine`";
    let bundle = pdp_bundle::parse("bundle.yaml", BUNDLE).unwrap();
    let key = bundle.facts().map(Fact::key).find(|key| key.to_string() == unnamed).unwrap();
    facts.apply(&[Change::Delete { key, cascade: false }]).unwrap();
}

/// Whether a cascade would take along what still names it, as the refusal tells.
fn is_cascadable(refused: &Rejected) -> Option<bool> {
    match refused.rejections.as_slice() {
        [Rejection { problem: Problem::StillReferenced { cascadable, .. }, .. }] => {
            Some(*cascadable)
        }
        _ => None,
    }
}

/// Whether a cascade is said to do, and what becomes of the one that names it.
fn cascaded(facts: &Facts, key: &FactKey) -> (bool, String) {
    let delete = |cascade| [Change::Delete { key: key.clone(), cascade }];
    let told = is_cascadable(&facts.clone().apply(&delete(false)).unwrap_err()).unwrap();
    let line = match facts.clone().apply(&delete(true)) {
        Err(refused) => {
            assert_eq!(is_cascadable(&refused), Some(false), "{key}: not by what was refused");
            "stays".to_owned()
        }
        Ok(applied) => {
            let others = applied.deltas.iter().filter(|delta| delta.key != *key);
            let becomes = |delta: &Delta| match &delta.after {
                None => format!("{} goes", delta.key),
                Some(_) => format!("{} changes", delta.key),
            };
            others.map(becomes).collect::<Vec<_>>().join(", ")
        }
    };
    (told, format!("{key}: {line}"))
}

#[test]
fn a_cascade_takes_along_what_it_says() {
    let (facts, named) = facts();
    let (mut lines, mut gone, mut one_by_one) = (Vec::new(), Vec::new(), facts.clone());
    for key in &named {
        let (cascadable, line) = cascaded(&facts, key);
        assert_eq!(cascadable, !line.ends_with(": stays"), "{line}");
        lines.push(line);
        if cascadable {
            let delete = Change::Delete { key: key.clone(), cascade: true };
            one_by_one.apply(std::slice::from_ref(&delete)).unwrap();
            gone.push(delete);
        }
    }
    // What is looked for in another way where there are many.
    let mut at_once = facts;
    at_once.apply(&gone).unwrap();
    assert!(gone.len() > 30 && at_once == one_by_one);
    let ends = |end: &str| lines.iter().filter(|line| line.ends_with(end)).count();
    assert_eq!([ends("stays"), ends("goes"), ends("changes")], [7, 24, 16], "{lines:#?}");
}

#[test]
fn a_cascade_finds_what_came_after_other_cascades() {
    let (mut facts, named) = facts();
    let key = |text: &str| named.iter().find(|key| key.to_string() == text).unwrap().clone();
    let gone = |text: &str| Change::Delete { key: key(text), cascade: true };
    let first = ["x-home", "x-desk", "x-scope", "x-object", "x-account-place"];
    let mut changes: Vec<Change> = first.map(|id| gone(&format!("location `{id}`"))).into();
    let late = pdp_bundle::parse("late.yaml", "people: [{id: late, manager: x-boss}]").unwrap();
    changes.extend(late.changes());
    changes.push(gone("person `x-boss`"));
    facts.apply(&changes).unwrap();
    let mut people = facts.people();
    assert!(people.len() > 10 && people.all(|person| person.manager.is_none()));
}

#[test]
fn one_that_bars_keeps_the_whole_and_so_many_are_listed() {
    let mut bundle = "
resource_types: {Report: {operations: [View]}}
access_levels:
  - {type: Report, name: View, operations: {View: allowed}}
  - {type: Report, name: Not, operations: {View: denied}}
locations: [{id: zurich}, {id: basel}]
people: [{id: ana}]
assignments:
  - {id: a0, to: person:ana, level: Report/Not, in: zurich}
  - {id: a9, to: person:ana, level: Report/Not, in: basel}
"
    .to_owned();
    for number in 1..=6 {
        let to = "to: person:ana, level: Report/View";
        bundle += &format!("  - {{id: a{number}, {to}, in: zurich}}\n");
        bundle += &format!("  - {{id: b{number}, {to}, in: basel}}\n");
    }
    let bundle = pdp_bundle::parse("bundle.yaml", &bundle).unwrap();
    let mut facts = Facts::default();
    facts.apply(&bundle.changes()).unwrap();
    let keys = bundle.facts().map(Fact::key).filter(|key| key.kind() == FactKind::Location);
    let deletes = keys.map(|key| Change::Delete { key, cascade: false });
    let rejected = facts.apply(&deletes.collect::<Vec<_>>()).unwrap_err();
    for rejection in &rejected.rejections {
        let Problem::StillReferenced { referrers, total, cascadable } = &rejection.problem else {
            panic!("{rejection}")
        };
        assert_eq!((referrers.len(), *total, *cascadable), (5, 7, false), "{rejection}");
    }
    let text = rejected.to_string();
    assert!(text.starts_with("location `zurich`") && text.contains("; location `basel`"), "{text}");
    assert_eq!(text.matches("and 2 more").count(), 2, "{text}");
}
