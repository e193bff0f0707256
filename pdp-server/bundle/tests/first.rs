//! A first change set that is large is checked in another way than others, and is refused for the same.

#![expect(clippy::unwrap_used, reason = "a test file")]

use std::fmt::Write as _;

use pdp_engine::facts::{Facts, MAX_PERMISSIONS_PER_TYPE, Rejected};

/// What is wrong in each is one thing.
const WRONG: [(&str, &str); 12] = [
    ("DANGLING_REFERENCE", "accounts: [{id: a, owner: nobody}]"),
    ("CYCLE", "locations: [{id: a, parent: b}, {id: b, parent: a}]"),
    ("CYCLE", "business_roles: [{id: a, parent: b}, {id: b, parent: a}]"),
    ("CYCLE", "management_roles: [{id: a, includes: [b]}, {id: b, includes: [a]}]"),
    (
        "LEVEL_TOKEN",
        "resource_types: {Report: {operations: [View]}}
access_levels: [{type: Report, name: A b}, {type: Report, name: A B}]",
    ),
    ("DANGLING_REFERENCE", "access_levels: [{type: Report, name: A}]"),
    (
        "SHARE_LEVEL",
        "resource_types: {Computer: {operations: [View]}}
resources: [{type: Computer, id: c, platform: linux}]
groups: [{id: g}]
shares: [{to: 'group:g', on: 'Computer:c', level: remote_app_only}]",
    ),
    (
        "PARENT_HAS_PARENT",
        "resource_types: {Computer: {}, SshKey: {}}
resources:
  - {type: Computer, id: c, platform: windows}
  - {type: SshKey, id: d, parent: 'Computer:c'}
  - {type: SshKey, id: e, parent: 'SshKey:d'}",
    ),
    (
        "RESOURCE_GROUP_MEMBER",
        "resource_types: {Person: {operations: [View]}}
resource_groups: [{id: g, members: ['Person:p1']}]",
    ),
    (
        "SCOPE_TYPE",
        "resource_types: {Report: {operations: [View]}}
access_levels: [{type: Report, name: A}]
assignments: [{id: a, to: 'person:p1', level: Report/A, relative: my_locations_and_above}]",
    ),
    ("DANGLING_REFERENCE", "resource_groups: [{id: g, members: ['Report:nothing']}]"),
    ("DANGLING_REFERENCE", "groups: [{id: g, members: ['person:nobody']}]"),
];

fn refused(bundle: &str) -> Rejected {
    let bundle = pdp_bundle::parse("bundle.yaml", bundle).unwrap();
    Facts::default().apply(&bundle.changes()).unwrap_err()
}

#[test]
fn what_is_wrong_in_a_little_is_wrong_in_much() {
    for (code, wrong) in WRONG {
        let people = |count: usize| {
            let mut bundle = format!("{wrong}\npeople:\n");
            (0..count).for_each(|number| writeln!(bundle, "  - {{id: p{number}}}").unwrap());
            bundle
        };
        let few = refused(&people(2));
        let codes: Vec<_> = few.rejections.iter().map(|it| it.problem.code()).collect();
        assert_eq!(codes.first(), Some(&code), "{few}");
        let told = |refused: Rejected| {
            let told = refused.rejections.into_iter().map(|it| (it.key, it.problem));
            told.collect::<Vec<_>>()
        };
        assert_eq!(told(refused(&people(5_000))), told(few), "{wrong}");
    }
}

#[test]
fn a_role_that_is_moved_below_itself_is_refused_with_the_way_round() {
    let mut bundle = "business_roles:\n  - {id: r1}\n".to_owned();
    (2..=8).for_each(|number| {
        writeln!(bundle, "  - {{id: r{number}, parent: r{}}}", number - 1).unwrap();
    });
    let parse = |text: &str| pdp_bundle::parse("bundle.yaml", text).unwrap().changes();
    let mut facts = Facts::default();
    facts.apply(&parse(&bundle)).unwrap();
    let round = |parent| format!("business_roles: [{{id: r1, parent: {parent}}}]");
    let told = facts.clone().apply(&parse(&round("r8"))).unwrap_err().to_string();
    assert!(told.contains("r1") && told.contains("r8") && !told.contains("more"), "{told}");
    let longer = "business_roles: [{id: r1, parent: r9}, {id: r9, parent: r8}]";
    let told = facts.apply(&parse(longer)).unwrap_err().to_string();
    assert!(told.contains("1 more"), "{told}");
}

#[test]
fn a_type_declares_so_many_and_no_more() {
    let declares = |count: usize| {
        let names: Vec<String> = (0..count).map(|number| format!("O{number}")).collect();
        let text = format!("resource_types: {{Report: {{operations: [{}]}}}}", names.join(", "));
        let bundle = pdp_bundle::parse("bundle.yaml", &text).unwrap();
        Facts::default().apply(&bundle.changes()).is_ok()
    };
    assert!(declares(MAX_PERMISSIONS_PER_TYPE) && !declares(MAX_PERMISSIONS_PER_TYPE + 1));
}
