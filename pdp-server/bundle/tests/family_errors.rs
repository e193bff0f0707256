//! Errors in the sections and checks about delegation, vault sharing and sessions: each names
//! file, line, column, key and what was expected.

#![expect(clippy::unwrap_used, reason = "a test file")]

use pdp_bundle::case::CaseFile;
use pdp_bundle::parse;
use pdp_engine::facts::Facts;

#[track_caller]
fn refused(text: &str, start: &str) {
    let error = parse("acme.yaml", text).map(|_| text).unwrap_err().to_string();
    assert!(error.starts_with(&format!("acme.yaml:{start}")), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

/// The message of a bundle that can be read and does not apply.
#[track_caller]
fn rejected(text: &str, start: &str) {
    let bundle = parse("acme.yaml", text).unwrap();
    let rejected = Facts::default().apply(&bundle.changes()).unwrap_err();
    let error = bundle.explain_rejection(&rejected).to_string();
    assert!(error.starts_with(&format!("acme.yaml:{start}")), "{error}");
}

#[track_caller]
fn refused_case(text: &str, start: &str) {
    let no_file = |path: &str| Err(format!("there is no `{path}`"));
    let case = CaseFile::parse("case.yaml", text, no_file);
    let error = case.map(|_| text).unwrap_err().to_string();
    assert!(error.starts_with(&format!("case.yaml:{start}")), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn vault_sections_say_what_they_expect() {
    for (text, start) in [
        (
            "people: [{id: a, vault_privileges: [connect]}]",
            "1:37: people[0].vault_privileges[0]: expected one of `connection_user`, `remote_app`, found `connect`",
        ),
        (
            "resources: [{type: T, id: a, parent: web}]",
            "1:38: resources[0].parent: `web` does not name a resource; write `Type:id`",
        ),
        (
            "resource_groups: [{id: g, members: [web]}]",
            "1:37: resource_groups[0].members[0]: `web` does not name a resource; write `Type:id`",
        ),
        (
            "resource_groups: [{id: g, members: [\"resource_group:h\"]}]",
            "1:37: resource_groups[0].members[0]: `resource_group` is not a resource type name",
        ),
        ("shares: [{on: 'T:r', level: view}]", "1:10: shares[0]: the key `to` is missing"),
        (
            "shares: [{to: 'account:a', on: 'T:r', level: view}]",
            "1:15: shares[0].to: `account:a` is nobody to share with; write `person:ID` or `group:ID`",
        ),
        (
            "shares: [{to: 'person:', on: 'T:r', level: view}]",
            "1:15: shares[0].to: an empty person id",
        ),
        (
            "shares: [{to: 'person:a', on: r, level: view}]",
            "1:31: shares[0].on: `r` does not name a resource; write `Type:id`",
        ),
        (
            "shares: [{to: 'person:a', on: 'resource_group:', level: view}]",
            "1:31: shares[0].on: an empty resource group id",
        ),
        (
            "shares: [{to: 'person:a', on: 'T:r', level: owner}]",
            "1:45: shares[0].level: expected one of `full`, `view`, `modify`, `remote_app_only`, found `owner`",
        ),
        (
            "shares:\n- {to: 'person:a', on: 'T:r', level: view}\n- {to: 'person:b', on: 'T:r', level: view}\n- {to: 'person:a', on: 'T:r', level: modify}",
            "4:3: shares[2]: share `T:r with person:a` stands twice: on line 2 and on line 4",
        ),
    ] {
        refused(text, start);
    }
}

#[test]
fn session_sections_say_what_they_expect() {
    for (text, start) in [
        (
            "permission_levels: [{id: none}]",
            "1:26: permission_levels[0].id: the permission level id `none` may not hold `none`",
        ),
        ("psm: [{enabled: true}]", "1:7: psm[0]: the key `computer` is missing"),
        (
            "psm: [{computer: c, max_session: 4}]",
            "1:34: psm[0].max_session: `4` is not a duration; write whole numbers with the units",
        ),
        (
            "psm: [{computer: c, max_session: 9999999999h}]",
            "1:34: psm[0].max_session: `9999999999h` is too long: the limit is 2562047788 hours",
        ),
        (
            "psm: [{computer: c, max_concurrent: -1}]",
            "1:37: psm[0].max_concurrent: expected a whole number from 0 to 4294967295, found `-1`",
        ),
        (
            "psm: [{computer: c, max_concurrent: 4294967296}]",
            "1:37: psm[0].max_concurrent: expected a whole number from 0 to 4294967295, found `4294967296`",
        ),
        (
            "psm: [{computer: c, jit: true}]",
            "1:26: psm[0].jit: expected a map with `enabled`, `delete_on_end`, `reuse_existing`, found `true`",
        ),
        (
            "psm: [{computer: c, levels: [admin]}]",
            "1:29: psm[0].levels: expected a map, found a list",
        ),
        (
            "psm: [{computer: c, levels: {admin: Administrators}}]",
            "1:37: psm[0].levels.admin: `Administrators` is no native group; write `group:ID`, or null",
        ),
        (
            "psm:\n- {computer: c}\n- {computer: c, enabled: false}",
            "3:3: psm[1]: psm settings `c` stands twice: on line 2 and on line 3",
        ),
        (
            "eligibilities: [{to: 'person:a', level: l, kind: eligible}]",
            "1:17: eligibilities[0]: expected exactly one of `on`, `in`",
        ),
        (
            "eligibilities: [{to: 'person:a', level: l, in: p, on: 'Computer:c', kind: eligible}]",
            "1:17: eligibilities[0]: expected exactly one of `on`, `in`",
        ),
        (
            "eligibilities: [{to: 'person:a', level: l, on: 'Report:r', kind: eligible}]",
            "1:48: eligibilities[0].on: `Report:r` is no computer; write `Computer:ID`",
        ),
        (
            "eligibilities: [{to: 'person:a', level: l, in: p, kind: allowed}]",
            "1:57: eligibilities[0].kind: expected one of `eligible`, `pre_approved`, `suggested`, `excluded`, `approved`",
        ),
        (
            "eligibilities:\n- {to: 'group:a', level: l, in: p, kind: eligible}\n- {to: 'group:a', level: l, in: p, kind: eligible, valid_until: 2027-01-01T00:00:00Z}",
            "3:3: eligibilities[1]: eligibility `eligible of group:a for l in p` stands twice: on line 2 and on line 3",
        ),
    ] {
        refused(text, start);
    }
}

const WORLD: &str = "\
resource_types: {Computer: {}, Key: {}}
people: [{id: a}]
groups: [{id: g, default: true}]
permission_levels: [{id: l}]
resources: [{type: Computer, id: w, platform: windows}, {type: Computer, id: x}, {type: Key, id: k, parent: 'Computer:w'}]
resource_groups: [{id: d, default: true}]
";

#[test]
fn what_the_engine_refuses_of_them_is_told_by_place() {
    for (text, start) in [
        (
            "shares: [{to: 'person:a', on: 'Key:k', level: full}]",
            "7:47: shares[0].level: share `Key:k with person:a`: `full` cannot be given on a vault account",
        ),
        (
            "shares: [{to: 'group:g', on: 'Computer:x', level: full}]",
            "7:51: shares[0].level: share `Computer:x with group:g`: `full` cannot be given to a default group",
        ),
        (
            "shares: [{to: 'person:a', on: 'resource_group:d', level: full}]",
            "7:58: shares[0].level: share `resource_group:d with person:a`: `full` cannot be given on a default",
        ),
        (
            "shares: [{to: 'person:a', on: 'Computer:x', level: remote_app_only}]",
            "7:52: shares[0].level: share `Computer:x with person:a`: `remote_app_only` needs the platform",
        ),
        (
            "shares: [{to: 'person:a', on: 'Person:a', level: view}]",
            "7:31: shares[0].on: share `Person:a with person:a`: `Person:a` is no vault entity",
        ),
        (
            "shares: [{to: 'person:b', on: 'Computer:x', level: view}]",
            "7:15: shares[0].to: share `Computer:x with person:b`: `to` names person `b`",
        ),
        (
            "shares: [{to: 'person:a', on: 'resource_group:e', level: view}]",
            "7:31: shares[0].on: share `resource_group:e with person:a`: `on` names resource group `e`",
        ),
        (
            "accounts: [{id: c, computer: y}]",
            "7:30: accounts[0].computer: account `c`: `computer` names resource `Computer:y`",
        ),
        (
            "psm: [{computer: w, max_session: 0s}]",
            "7:34: psm[0].max_session: psm settings `w`: `max_session` must be longer than nothing",
        ),
        (
            "psm: [{computer: w, levels: {l: 'group:g', m: null}}]",
            "7:44: psm[0].levels.m: psm settings `w`: `levels` names permission level `m`",
        ),
        (
            "psm: [{computer: w, levels: {l: 'group:h'}}]",
            "7:33: psm[0].levels.l: psm settings `w`: `levels` names group `h`",
        ),
        (
            "psm: [{computer: y}]",
            "7:18: psm[0].computer: psm settings `y`: `computer` names resource `Computer:y`",
        ),
        (
            "eligibilities: [{to: 'group:g', level: l, on: 'Computer:w', kind: approved, valid_until: 2027-01-01T00:00:00Z}]",
            "7:67: eligibilities[0].kind: eligibility `approved of group:g for l on Computer:w`: an `approved` eligibility needs a person",
        ),
        (
            "eligibilities: [{to: 'person:a', level: m, on: 'Computer:w', kind: eligible}]",
            "7:41: eligibilities[0].level: eligibility `eligible of person:a for m on Computer:w`: `level` names permission level `m`",
        ),
    ] {
        rejected(&format!("{WORLD}{text}\n"), start);
    }
}

#[test]
fn what_the_engine_refuses_of_vault_accounts_is_told_by_place() {
    for (text, start) in [
        (
            "resource_types: {T: {}}\nresources: [{type: T, id: a}, {type: T, id: b, parent: 'T:a'}, {type: T, id: c, parent: 'T:b'}]",
            "2:89: resources[2].parent: resource `T:c`: has the parent `T:b`, which has a parent itself",
        ),
        (
            "resource_types: {T: {}}\nresources: [{type: T, id: a}, {type: T, id: b, parent: 'T:a', platform: windows}]",
            "2:73: resources[1].platform: resource `T:b`: has the platform `windows`",
        ),
        (
            "resource_types: {T: {}}\nresources: [{type: T, id: a}, {type: T, id: b, parent: 'T:a'}]\nresource_groups: [{id: g, members: ['T:a', 'T:b']}]",
            "3:44: resource_groups[0].members[1]: resource group `g`: cannot have `T:b` as a member",
        ),
    ] {
        rejected(text, start);
    }
}

#[test]
fn what_replacing_would_remove_is_told_by_what_names_it() {
    for (sections, start) in [
        (
            "shares: [{to: 'person:a', on: 'resource_group:d', level: view}]",
            (
                "resource_groups: [{id: d, default: true}]\n",
                "6:31: shares[0].on: names resource group `d`, which",
            ),
        ),
        (
            "shares: [{to: 'group:g', on: 'Computer:w', level: view}]",
            ("groups: [{id: g, default: true}]\n", "6:15: shares[0].to: names group `g`, which"),
        ),
        (
            "psm: [{computer: w, levels: {l: 'group:g'}}]",
            ("groups: [{id: g, default: true}]\n", "6:33: psm[0].levels.l: names group `g`, which"),
        ),
        (
            "psm: [{computer: w, levels: {l: 'group:g'}}]",
            (
                "permission_levels: [{id: l}]\n",
                "6:30: psm[0].levels.l: names permission level `l`, which",
            ),
        ),
        (
            "eligibilities: [{to: 'person:a', level: l, on: 'Computer:w', kind: eligible}]",
            (
                "permission_levels: [{id: l}]\n",
                "6:41: eligibilities[0].level: names permission level `l`, which",
            ),
        ),
    ] {
        let (removed, start) = start;
        let before = format!("{WORLD}{sections}\n");
        let mut current = Facts::default();
        current.apply(&parse("before.yaml", &before).unwrap().changes()).unwrap();
        let bundle = parse("acme.yaml", &before.replace(removed, "")).unwrap();
        let rejected = current.apply(&bundle.replace(&current)).unwrap_err();
        let error = bundle.explain_rejection(&rejected).to_string();
        assert!(
            error.lines().any(|line| line.starts_with(&format!("acme.yaml:{start}"))),
            "{error}"
        );
    }
}

const WRONG_CHECKS: &[(&str, &str)] = &[
    (
        "{subject: person:a, vault: view_password, resource: r, expect: allow}",
        "3:55: checks[0].resource: `r` does not name a resource; write `Type:id`",
    ),
    (
        "{subject: person:a, vault: share, resource: 'T:r', counterpart: 'T:s', expect: allow}",
        "3:67: checks[0].counterpart: `counterpart` does not go with `vault`",
    ),
    (
        "{subject: person:a, session: none, resource: 'T:r', to: person:b, expect: allow}",
        "3:59: checks[0].to: `to` does not go with `session`",
    ),
    (
        "{subject: person:a, session: none, expect: allow}",
        "3:3: checks[0]: the key `resource` is missing",
    ),
    (
        "{delegator: group:a, grant: T/N, to: person:b, in: l, expect: allow}",
        "3:15: checks[0].delegator: `group:a` does not name a subject; write `person:ID` or `account:ID`",
    ),
    (
        "{grant: T/N, to: person:b, in: l, expect: allow}",
        "3:3: checks[0]: the key `delegator` is missing",
    ),
    (
        "{delegator: person:a, grant: N, to: person:b, in: l, expect: allow}",
        "3:32: checks[0].grant: `N` does not name an access level; write `Type/Name`",
    ),
    (
        "{delegator: person:a, grant: T/N, revoke: T/N, to: person:b, in: l, expect: allow}",
        "3:3: checks[0]: expected exactly one of `operation`, `right`, `vault`, `session`, `grant`, `revoke`",
    ),
    (
        "{delegator: person:a, subject: person:a, grant: T/N, to: person:b, in: l, expect: allow}",
        "3:34: checks[0].subject: `subject` does not go with `grant`",
    ),
    (
        "{delegator: person:a, revoke: T/N, to: b, in: l, expect: allow}",
        "3:42: checks[0].to: `b` does not name an actor; write one of `person:ID`",
    ),
    (
        "{delegator: person:a, revoke: T/N, to: 'business_role:r', in: l, expect: allow}",
        "3:42: checks[0].to: `business_role:r` names no location; write `business_role:ROLE@LOCATION`",
    ),
    (
        "{delegator: person:a, revoke: T/N, to: person:b, expect: allow}",
        "3:3: checks[0]: expected exactly one of `on`, `in`, `relative`",
    ),
    (
        "{delegator: person:a, revoke: T/N, to: person:b, relative: mine, expect: allow}",
        "3:62: checks[0].relative: expected one of `self`, `manager`",
    ),
    (
        "{delegator: person:a, grant: T/N, to: person:b, in: l, expect: {effect: allow, deciding: []}}",
        "3:92: checks[0].expect.deciding: only operations, rights and vault actions have",
    ),
    (
        "{subject: person:a, session: l, resource: 'T:r', expect: {effect: allow, masked: []}}",
        "3:84: checks[0].expect.masked: only operations and rights have",
    ),
    (
        "{subject: person:a, vault: share, resource: 'T:r', expect: {effect: allow, masked: []}}",
        "3:86: checks[0].expect.masked: only operations and rights have",
    ),
    (
        "{subject: person:a, vault: share, resource: 'T:r', expect: {effect: allow, deciding: [a-1]}}",
        "3:89: checks[0].expect.deciding[0]: `a-1` does not name a share; write `ENTITY with GRANTEE`",
    ),
    (
        "{subject: person:a, vault: share, resource: 'T:r', expect: {effect: deny, approvers: []}}",
        "3:88: checks[0].expect.approvers: only delegations, dual checks and sessions have approvers",
    ),
    (
        "{subject: person:a, operation: V, resource: 'T:r', expect: {effect: deny, approvers: []}}",
        "3:88: checks[0].expect.approvers: only delegations, dual checks and sessions have approvers",
    ),
    (
        "{subject: person:a, session: l, resource: 'T:r', expect: {effect: deny, approvers: [ana]}}",
        "3:87: checks[0].expect.approvers[0]: `ana` does not name a person; write `person:ID`",
    ),
    (
        "{subject: person:a, session: l, resource: 'T:r', expect: {effect: deny, obligations: {}}}",
        "3:88: checks[0].expect.obligations: only a session that is allowed has obligations",
    ),
    (
        "{subject: person:a, session: l, resource: 'T:r', expect: {effect: allow, obligations: {account: own}}}",
        "3:99: checks[0].expect.obligations.account: expected one of `existing`, `jit_new`, `jit_reuse`, found `own`",
    ),
    (
        "{subject: person:a, session: l, resource: 'T:r', expect: {effect: allow, obligations: {group: g}}}",
        "3:97: checks[0].expect.obligations.group: `g` does not name a group; write `group:ID`",
    ),
    (
        "{subject: person:a, session: l, resource: 'T:r', expect: {effect: allow, obligations: {not_after: 4h}}}",
        "3:101: checks[0].expect.obligations.not_after: `4h` is not a time",
    ),
    (
        "{subject: person:a, session: l, resource: 'T:r', expect: {effect: allow, obligations: {end: x}}}",
        "3:90: checks[0].expect.obligations.end: unknown key; expected one of `group`",
    ),
    (
        "{subject: person:a, session: l, resource: 'T:r', expect: {error: INVALID_ARGUMENT, approvers: []}}",
        "3:97: checks[0].expect.approvers: a refusal is no decision",
    ),
];

#[test]
fn what_a_check_may_not_say_is_refused_by_place() {
    for (check, start) in WRONG_CHECKS {
        refused_case(&format!("bundle: {{}}\nchecks:\n- {check}\n"), start);
    }
}

#[test]
fn open_sessions_are_held_to_the_policy() {
    const TIMES: &str = "opened: 2026-01-01T00:00:00Z, not_after: 2026-01-01T04:00:00Z";
    for (session, start) in [
        ("{id: s, computer: w, TIMES}", "9:3: open_sessions[0]: the key `person` is missing"),
        (
            "{id: s, person: a, computer: w, until: x, TIMES}",
            "9:35: open_sessions[0].until: unknown key; expected one of `id`, `person`",
        ),
        (
            "{id: s, person: b, computer: w, TIMES}",
            "9:19: open_sessions[0].person: names person `b`, which the bundle does not have",
        ),
        (
            "{id: s, person: a, computer: y, TIMES}",
            "9:32: open_sessions[0].computer: names resource `Computer:y`, which the bundle does not have",
        ),
        (
            "{id: s, person: a, computer: w, level: m, account: x, jit: true, TIMES}",
            "9:42: open_sessions[0].level: names permission level `m`, which the bundle does not have",
        ),
        (
            "{id: s, person: a, computer: w, level: l, account: x, TIMES}",
            "9:54: open_sessions[0].account: names account `x`, which the bundle does not have",
        ),
        (
            "{id: s, person: a, computer: w, level: l, TIMES}",
            "9:3: open_sessions[0]: a session with a level uses an account: the key `account` is missing",
        ),
        (
            "{id: s, person: a, computer: w, level: none, account: x, TIMES}",
            "9:3: open_sessions[0]: a session without a level uses no account: leave `account` out",
        ),
        (
            "{id: s, person: a, computer: w, level: l, group: g, account: x, TIMES}",
            "9:52: open_sessions[0].group: `g` is no native group; write `group:ID`",
        ),
        (
            "{id: s, person: a, computer: w, level: l, group: group:h, account: x, jit: true, TIMES}",
            "9:52: open_sessions[0].group: names group `h`, which the bundle does not have",
        ),
        (
            "{id: s, person: a, computer: w, group: group:g, TIMES}",
            "9:3: open_sessions[0]: `group` goes with a level: leave it out",
        ),
        (
            "{id: s, person: a, computer: w, jit: true, TIMES}",
            "9:3: open_sessions[0]: `jit` is about an account: leave it out",
        ),
        (
            "{id: s, person: a, computer: w, opened: 2026-01-01T00:00:00Z, not_after: 2026-01-01T00:00:00Z}",
            "9:76: open_sessions[0].not_after: `opened` must be before `not_after`",
        ),
        (
            "{id: s, person: a, computer: w, TIMES}\n- {id: s, person: a, computer: x, TIMES}",
            "10:3: open_sessions[1]: session `s` stands twice: on line 9 and on line 10",
        ),
    ] {
        let world: String = WORLD.lines().map(|line| format!("  {line}\n")).collect();
        let session = session.replace("TIMES", TIMES);
        let text = format!("bundle:\n{world}open_sessions:\n- {session}\nchecks: []\n");
        refused_case(&text, start);
    }
}
