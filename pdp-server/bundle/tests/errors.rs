//! Every error names file, line, column, key and what was expected.

#![expect(clippy::unwrap_used, reason = "a test file")]

use pdp_bundle::diagnostic::MAX_LISTED;
use pdp_bundle::parse;
use pdp_engine::facts::{Fact, Facts};

/// The messages of a bundle that cannot be read.
fn problems(text: &str) -> Vec<String> {
    let error = parse("acme.yaml", text).map(|_| text).unwrap_err();
    error.problems.iter().map(ToString::to_string).collect()
}

/// The one message of a bundle that cannot be read.
fn problem(text: &str) -> String {
    let mut problems = problems(text);
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.remove(0)
}

/// The messages of a bundle that can be read and does not apply.
fn rejected(text: &str) -> Vec<String> {
    let bundle = parse("acme.yaml", text).unwrap();
    let rejected = Facts::default().apply(&bundle.changes()).unwrap_err();
    bundle.explain_rejection(&rejected).problems.iter().map(ToString::to_string).collect()
}

#[test]
fn unknown_keys_are_named_with_what_was_expected() {
    assert_eq!(
        problem("people:\n- id: ana\n  manger: bo\n"),
        "acme.yaml:3:3: people[0].manger: unknown key; did you mean `manager`? expected one of `id`, \
         `name`, `login`, `enabled`, `manager`, `locations`, `positions`, `vault_privileges`"
    );
    assert!(
        problem("peple: []")
            .starts_with("acme.yaml:1:1: peple: unknown key; did you mean `people`?")
    );
    for (text, start) in [
        ("resource_types: {Report: {ops: []}}", "1:27: resource_types.Report.ops"),
        ("access_levels: [{type: T, name: N, allow: {}}]", "1:36: access_levels[0].allow"),
        ("locations: [{id: a, kind: b}]", "1:21: locations[0].kind"),
        ("business_roles: [{id: a, kind: b}]", "1:26: business_roles[0].kind"),
        ("accounts: [{id: a, platform: b}]", "1:20: accounts[0].platform"),
        ("groups: [{id: a, flat: true}]", "1:18: groups[0].flat"),
        (
            "groups: [{id: a, members: [{of: person:a, till: b}]}]",
            "1:43: groups[0].members[0].till",
        ),
        ("set_groups: [{id: a, positions: []}]", "1:22: set_groups[0].positions"),
        (
            "management_role_definitions: [{id: a, members: []}]",
            "1:39: management_role_definitions[0].members",
        ),
        ("management_roles: [{id: a, role: b}]", "1:28: management_roles[0].role"),
        ("resources: [{type: T, id: a, computer: b}]", "1:30: resources[0].computer"),
        ("people: [{id: a, vault: []}]", "1:18: people[0].vault"),
        (
            "people: [{id: a, positions: [{role: x, business_role: a, location: b}]}]",
            "1:31: people[0].positions[0].role",
        ),
        ("assignments: [{who: a, to: person:a, level: T/N, in: a}]", "1:16: assignments[0].who"),
        ("resource_groups: [{id: a, groups: []}]", "1:27: resource_groups[0].groups"),
        (
            "shares: [{to: person:a, on: T:r, level: view, valid_until: x}]",
            "1:47: shares[0].valid_until",
        ),
        ("permission_levels: [{id: a, group: g}]", "1:29: permission_levels[0].group"),
        ("psm: [{computer: c, limit: 2}]", "1:21: psm[0].limit"),
        ("psm: [{computer: c, jit: {delete: true}}]", "1:27: psm[0].jit.delete"),
        (
            "eligibilities: [{to: person:a, level: l, in: p, kind: eligible, relative: self}]",
            "1:65: eligibilities[0].relative",
        ),
    ] {
        let message = problem(text);
        assert!(message.starts_with(&format!("acme.yaml:{start}: unknown key; ")), "{message}");
    }
}

#[test]
fn missing_keys_are_named() {
    for (text, message) in [
        ("people: [{name: Ana}]", "1:10: people[0]: the key `id` is missing"),
        ("access_levels:\n- {type: Report}", "2:3: access_levels[0]: the key `name` is missing"),
        ("access_levels:\n- {name: Viewer}", "2:3: access_levels[0]: the key `type` is missing"),
        ("resources: [{type: Report}]", "1:13: resources[0]: the key `id` is missing"),
        (
            "groups: [{id: g, members: [{valid_until: 2027-01-01T00:00:00Z}]}]",
            "1:28: groups[0].members[0]: the key `of` is missing",
        ),
        (
            "people: [{id: a, positions: [{location: l}]}]",
            "1:30: people[0].positions[0]: the key `business_role` is missing",
        ),
        ("assignments: [{level: T/N, in: l}]", "1:15: assignments[0]: the key `to` is missing"),
        (
            "assignments: [{to: person:a, level: T/N}]",
            "1:15: assignments[0]: expected exactly one of `on`, `in`, `relative`",
        ),
        (
            "assignments: [{to: person:a, level: T/N, in: l, relative: self}]",
            "1:15: assignments[0]: expected exactly one of `on`, `in`, `relative`",
        ),
    ] {
        assert_eq!(problem(text), format!("acme.yaml:{message}"));
    }
}

const WRONG_FORMS: &[(&str, &str)] = &[
    ("people: ana", "1:9: people: expected a list, found `ana`"),
    ("resource_types: []", "1:17: resource_types: expected a map, found a list"),
    ("[]", "1:1: expected a map with `resource_types`, `library`"),
    ("people: [ana]", "1:10: people[0]: expected a map with `id`"),
    ("people: [{id: [a]}]", "1:15: people[0].id: expected a string, found a list"),
    ("people: [{id: {a: b}}]", "1:15: people[0].id: expected a string, found a map"),
    ("people: [{id: }]", "1:13: people[0].id: an empty person id"),
    ("people: [{id: \"\"}]", "1:15: people[0].id: an empty person id"),
    (
        "people: [{id: \"a\\tb\"}]",
        "1:15: people[0].id: the person id `a\\tb` holds a control character",
    ),
    (
        "people: [{id: a, enabled: \"true\"}]",
        "1:27: people[0].enabled: expected true or false, found the string `true`; leave the quotes out",
    ),
    (
        "people: [{id: a, enabled: yes}]",
        "1:27: people[0].enabled: expected true or false, found `yes`",
    ),
    (
        "people: [{id: a, enabled: [true]}]",
        "1:27: people[0].enabled: expected true or false, found a list",
    ),
    (
        "people: [{id: a, locations: zurich}]",
        "1:29: people[0].locations: expected a list, found `zurich`",
    ),
    (
        "business_roles: [{id: a@b}]",
        "1:23: business_roles[0].id: the business role id `a@b` may not hold `@`",
    ),
    ("resource_types: {9: {}}", "1:18: resource_types.9: `9` is not a resource type name"),
    (
        "resource_types: {T: {operations: [\"*\"]}}",
        "1:35: resource_types.T.operations[0]: the operation or right name `*` may not hold `*`",
    ),
    (
        "access_levels: [{type: T, name: N, operations: {View: allow}}]",
        "1:55: access_levels[0].operations.View: expected one of `allowed`, `denied`, `disabled`, `unassigned`, found `allow`",
    ),
    (
        "groups: [{id: g, members: [ana]}]",
        "1:28: groups[0].members[0]: `ana` does not name an actor; write one of `person:ID`",
    ),
    (
        "set_groups: [{id: g, members: [business_role:x]}]",
        "1:32: set_groups[0].members[0]: `business_role:x` names no location; write `business_role:ROLE@LOCATION`",
    ),
    (
        "assignments: [{to: person:a, level: Viewer, in: l}]",
        "1:37: assignments[0].level: `Viewer` does not name an access level; write `Type/Name`",
    ),
    (
        "assignments: [{to: person:a, level: T/N, on: r}]",
        "1:46: assignments[0].on: `r` does not name a resource; write `Type:id`",
    ),
    (
        "assignments: [{to: person:a, level: T/N, relative: myself}]",
        "1:52: assignments[0].relative: expected one of `self`, `manager`",
    ),
    (
        "assignments: [{to: person:a, level: T/N, in: l, valid_until: 2027-01-01}]",
        "1:62: assignments[0].valid_until: `2027-01-01` is not a time; write it by RFC 3339",
    ),
    (
        "assignments: [{to: person:a, level: T/N, in: l, valid_from: 2027-02-30T00:00:00Z}]",
        "1:61: assignments[0].valid_from: there is no time `2027-02-30T00:00:00Z`",
    ),
    ("library: [other]", "1:11: library[0]: expected one of `default`, found `other`"),
];

#[test]
fn values_of_the_wrong_form_say_what_was_expected() {
    for (text, message) in WRONG_FORMS {
        let found = problem(text);
        assert!(found.starts_with(&format!("acme.yaml:{message}")), "{found}");
    }
    let long = problem(&format!("people: [{{id: {}}}]", "é".repeat(129)));
    assert_eq!(long, "acme.yaml:1:15: people[0].id: a person id of 258 bytes; the limit is 256");
}

#[test]
fn duplicates_name_both_lines() {
    assert_eq!(
        problem("people:\n- {id: ana}\n- {id: bo}\n- {id: ana}\n"),
        "acme.yaml:4:3: people[2]: person `ana` stands twice: on line 2 and on line 4"
    );
    assert_eq!(
        problem("resource_types:\n  Report: {}\n  Report: {}\n"),
        "acme.yaml:3:3: the key `Report` stands twice in this map; the first is on line 2"
    );
    assert_eq!(
        problem("people: []\nlocations: []\npeople: []\n"),
        "acme.yaml:3:1: the key `people` stands twice in this map; the first is on line 1"
    );
    // Two assignments without ids that say the same have the same id.
    let same = problem(
        "assignments:\n- {to: person:a, level: T/N, in: l}\n- {to: person:a, level: T/N, in: l}\n",
    );
    assert!(same.starts_with("acme.yaml:3:3: assignments[1]: assignment `auto-"), "{same}");
    assert!(same.ends_with("` stands twice: on line 2 and on line 3"), "{same}");
    // A map of many keys finds its duplicates too.
    let mut many: String = (0..40).map(|n| format!("  T{n}: {{}}\n")).collect();
    many.push_str("  T7: {}\n");
    assert_eq!(
        problem(&format!("resource_types:\n{many}")),
        "acme.yaml:42:3: the key `T7` stands twice in this map; the first is on line 9"
    );
}

#[test]
fn several_problems_are_told_at_once_in_the_order_of_the_file() {
    let found = problems(
        "people:\n- {id: ana, enabled: maybe, manger: bo}\n- {nme: bo}\nlocations: [{id: ''}]\n",
    );
    let places: Vec<_> = found.iter().map(|text| text.split(": ").next().unwrap()).collect();
    assert_eq!(
        places,
        ["acme.yaml:2:22", "acme.yaml:2:29", "acme.yaml:3:3", "acme.yaml:3:4", "acme.yaml:4:18"]
    );
    let many = "people:\n".to_owned() + &"- {}\n".repeat(1000);
    let error = parse("acme.yaml", &many).unwrap_err();
    assert_eq!((error.problems.len(), error.omitted), (MAX_LISTED, 1000 - MAX_LISTED));
    assert!(error.to_string().ends_with("\nand 950 more"));
}

#[test]
fn dangling_references_are_told_by_the_line_that_refers() {
    let text = "\
people:
- id: ana
  manager: nobody
  locations:
  - nowhere
  positions:
  - {business_role: teller, location: zurich}
groups:
- id: hr
  members:
  - person:ana
  - group:gone
management_roles:
- {id: m, definition: d, includes: [n], members: [{of: business_role:teller@zurich}]}
locations: [{id: zurich, parent: ch}]
resources: [{type: Report, id: r}]
assignments:
- id: a
  to: person:ana
  level: Report/Viewer
  on: Report:r
- {id: b, to: person:ana, level: Person/Use, on: Person:eve}
";
    let found = rejected(text);
    let mut places: Vec<_> = found
        .iter()
        .map(|text| text.splitn(3, ": ").take(2).collect::<Vec<_>>().join(": "))
        .collect();
    places.dedup();
    assert_eq!(
        places,
        [
            "acme.yaml:3:12: people[0].manager",
            "acme.yaml:5:5: people[0].locations[0]",
            "acme.yaml:7:5: people[0].positions[0]",
            "acme.yaml:12:5: groups[0].members[1]",
            "acme.yaml:14:23: management_roles[0].definition",
            "acme.yaml:14:37: management_roles[0].includes[0]",
            "acme.yaml:14:51: management_roles[0].members[0]",
            "acme.yaml:15:34: locations[0].parent",
            "acme.yaml:16:20: resources[0].type",
            "acme.yaml:20:10: assignments[0].level",
            "acme.yaml:22:34: assignments[1].level",
            "acme.yaml:22:50: assignments[1].on",
        ]
    );
    assert_eq!(
        found[0],
        "acme.yaml:3:12: people[0].manager: person `ana`: `manager` names person `nobody`, which does \
         not exist; create it in the same change set or correct the name"
    );
}

#[test]
fn what_the_engine_refuses_is_told_by_place() {
    for (text, start) in [
        (
            "people: [{id: a, manager: a}]",
            "1:27: people[0].manager: person `a`: `manager` names the person themselves",
        ),
        (
            "locations: [{id: a, parent: b}, {id: b, parent: a}]",
            "1:29: locations[0].parent: location `a`: `parent` makes a cycle: ",
        ),
        (
            "set_groups: [{id: s}, {id: t, members: [set_group:s]}]",
            "1:41: set_groups[1].members[0]: set group `t`: cannot have set_group:s as a member",
        ),
        (
            "people: [{id: a}]\ngroups:\n- id: g\n  members:\n  - person:a\n  - {of: person:a, valid_from: 2027-01-01T00:00:00Z, valid_until: 2026-01-01T00:00:00Z}",
            "6:5: groups[0].members[1]: group `g`: `members`: `valid_from` must be before `valid_until`",
        ),
        (
            "resource_types: {T: {operations: [View]}}\naccess_levels: [{type: T, name: N, operations: {View: allowed, Edit: allowed}}]",
            "2:64: access_levels[0].operations.Edit: access level `T/N`: `Edit` is no operation",
        ),
        (
            "resource_types: {T: {rights: [R]}}\naccess_levels: [{type: T, name: N, rights: {R: disabled}}]",
            "2:45: access_levels[0].rights.R: access level `T/N`: right `R` is qualified `disabled`",
        ),
        (
            "resource_types: {T: {}}\naccess_levels: [{type: T, name: '--'}]",
            "2:33: access_levels[0].name: access level `T/--`: its name gives the token ``",
        ),
        (
            "resources: [{type: Person, id: a}]",
            "1:20: resources[0].type: resource `Person:a`: `Person` is built in",
        ),
        (
            "resource_types: {T: {}}\npeople: [{id: a}]\naccess_levels: [{type: T, name: N}]\nassignments: [{id: x, to: person:a, level: T/N, relative: self}]",
            "4:59: assignments[0].relative: assignment `x`: ",
        ),
    ] {
        let found = rejected(text);
        assert!(found[0].starts_with(&format!("acme.yaml:{start}")), "{found:?}");
    }
    let long = rejected(&format!("people: [{{id: a, name: {}}}]", "x".repeat(1025)));
    assert!(
        long[0].starts_with("acme.yaml:1:24: people[0].name: person `a`: `name` has 1025 bytes"),
        "{long:?}"
    );
}

#[test]
fn a_removal_that_replacing_brings_about_is_told_by_what_still_refers() {
    let mut current = Facts::default();
    let before = parse("before.yaml", "people: [{id: a}, {id: b, manager: a}]").unwrap();
    current.apply(&before.changes()).unwrap();
    let bundle = parse("acme.yaml", "people: [{id: b, manager: a}]").unwrap();
    let rejected = current.apply(&bundle.replace(&current)).unwrap_err();
    let message = bundle.explain_rejection(&rejected).to_string();
    assert_eq!(
        message,
        "acme.yaml:1:27: people[0].manager: names person `a`, which the bundle does not have"
    );
}

#[test]
fn plain_scalars_are_the_text_as_written_where_a_string_is_expected() {
    let bundle = parse(
        "acme.yaml",
        "people: [{id: 007}, {id: true}, {id: null}, {id: 1.0}, {id: 0x1F}, {id: ~}, {id: 2026-01-01}]\n\
         groups: [{id: no, members: [person:007, person:null]}]\n\
         locations: [{id: null, parent: null}]\n\
         resources: [{type: yes, id: 1e3, locations: [null]}]\n",
    )
    .unwrap();
    let ids: Vec<_> = bundle.facts().map(|fact| fact.key().name()).collect();
    assert_eq!(
        ids,
        ["null", "007", "true", "null", "1.0", "0x1F", "~", "2026-01-01", "no", "yes:1e3"]
    );
    let location = bundle.facts().next().unwrap();
    assert!(matches!(location, Fact::Location(location) if location.parent.is_none()));
    // A quoted null is a name like any other.
    let quoted = parse("acme.yaml", "locations: [{id: a, parent: \"null\"}]").unwrap();
    assert!(quoted.facts().any(|fact| matches!(fact, Fact::Location(l) if l.parent.is_some())));
}

#[test]
fn empty_and_null_sections_are_as_absent() {
    for text in [
        "",
        "# nothing\n",
        "---\n",
        "~",
        "{}",
        "people:\n",
        "people: null\ngroups: ~\nlibrary:\n",
        "people: []\nresource_types: {}\n",
        "\u{feff}people: []",
    ] {
        let bundle = parse("acme.yaml", text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(bundle.facts().len(), 0, "{text:?}");
    }
}

#[test]
fn a_value_forgotten_after_its_key_does_not_widen_access() {
    for (text, message) in [
        (
            "people: [{id: a, enabled: null}]",
            "1:27: people[0].enabled: expected true or false, found `null`",
        ),
        (
            "people:\n- id: a\n  enabled:\n",
            "3:10: people[0].enabled: expected true or false, found nothing",
        ),
        (
            "locations:\n- {id: a, block_inheritance: ~}\n",
            "2:30: locations[0].block_inheritance: expected true or false, found `~`",
        ),
        (
            "assignments: [{to: person:a, level: T/N, in: l, valid_until: null}]",
            "1:62: assignments[0].valid_until: `null` is not a time",
        ),
        (
            "groups: [{id: g, members: [{of: person:a, valid_until: }]}]",
            "1:54: groups[0].members[0].valid_until: `` is not a time",
        ),
    ] {
        let found = problem(text);
        assert!(found.starts_with(&format!("acme.yaml:{message}")), "{found}");
    }
}

#[test]
fn json_is_accepted() {
    let json = r#"{"people": [{"id": "ana", "enabled": false, "manager": null}],
        "resource_types": {"Report": {"operations": ["View"]}},
        "access_levels": [{"type": "Report", "name": "All", "operations": {"*": "allowed"}}]}"#;
    let bundle = parse("acme.json", json).unwrap();
    assert_eq!(bundle.facts().len(), 3);
    Facts::default().apply(&bundle.changes()).unwrap();
}
