//! Checks about delegation, vault sharing and sessions: read, run, and told when they fail.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test file")]

use pdp_bundle::case::{CaseFile, Report, run_in_process};
use pdp_bundle::question::AnyQuestion;
use pdp_bundle::render::{Tone, render_delegation_with, render_session_with, render_vault_with};
use pdp_engine::compile::compile;
use pdp_engine::delegate::explain_delegation;
use pdp_engine::facts::Facts;
use pdp_engine::query::Revision;
use pdp_engine::session::explain_session;
use pdp_engine::time::Timestamp;
use pdp_engine::vault::explain_vault;

const CASE: &str = r#"
now: 2026-01-01T00:00:00Z
bundle:
  resource_types:
    Report: {operations: [View, AddPersonToViewer, AddToViewer, AddToViewerInLocation]}
    Person: {operations: [AddPersonToViewer, AddPersonToResourceRoleAssignmentByLocation]}
    Computer: {operations: [ApproveUse]}
    Key: {}
  access_levels:
    - {type: Report, name: Viewer, operations: {View: allowed}}
    - {type: Report, name: Assigner, operations: {AddPersonToViewer: allowed, AddToViewerInLocation: allowed}}
    - {type: Report, name: Frozen, operations: {AddToViewer: denied}}
    - {type: Person, name: Assigner, operations: {AddPersonToViewer: allowed, AddPersonToResourceRoleAssignmentByLocation: allowed}}
    - {type: Computer, name: Session Approver, operations: {ApproveUse: allowed}}
  locations: [{id: switzerland}, {id: zurich, parent: switzerland}]
  people:
    - {id: ana, vault_privileges: [connection_user]}
    - {id: bo}
    - {id: eve}
  accounts:
    - {id: adm/bo, owner: bo, computer: web-07}
  groups:
    - {id: ops, members: [person:ana, {of: person:bo, valid_until: 2026-01-01T02:00:00Z}]}
    - {id: web-07/Administrators}
  resources:
    - {type: Report, id: absence, locations: [zurich]}
    - {type: Report, id: frozen}
    - {type: Computer, id: web-07, locations: [zurich], platform: windows, owner: eve}
    - {type: Computer, id: lab, platform: windows}
    - {type: Key, id: deploy, parent: "Computer:web-07"}
  resource_groups:
    - {id: web-tier, members: ["Computer:web-07"]}
  assignments:
    - {id: r-1, to: person:ana, level: Report/Assigner, on: "Report:absence"}
    - {id: r-2, to: person:ana, level: Report/Assigner, in: switzerland}
    - {id: r-3, to: person:eve, level: Report/Assigner, on: "Report:absence"}
    - {id: r-4, to: person:ana, level: Report/Frozen, on: "Report:frozen"}
    - {id: p-1, to: person:ana, level: Person/Assigner, on: "Person:bo"}
    - {id: p-2, to: person:eve, level: Person/Assigner, on: "Person:ana"}
    - {id: c-1, to: group:ops, level: Computer/Session Approver, on: "Computer:web-07"}
    - {id: c-2, to: person:eve, level: Computer/Session Approver, on: "Computer:web-07"}
  shares:
    - {to: person:ana, on: "Computer:web-07", level: view}
    - {to: group:ops, on: "Computer:web-07", level: modify}
    - {to: group:ops, on: "resource_group:web-tier", level: full}
    - {to: person:bo, on: "Key:deploy", level: remote_app_only}
    - {to: group:ops, on: "Computer:lab", level: modify}
    - {to: person:ana, on: "Computer:lab", level: remote_app_only}
  permission_levels: [{id: local-admin}, {id: domain-admin}]
  psm:
    - {computer: web-07, allow_unprivileged: true, max_session: 4h, levels: {local-admin: "group:web-07/Administrators", domain-admin: null}}
    - {computer: lab, account_store: local_windows_server, max_concurrent: 2, jit: {enabled: true, reuse_existing: true}, levels: {local-admin: "group:web-07/Administrators"}}
  eligibilities:
    - {to: group:ops, level: local-admin, in: switzerland, kind: pre_approved}
    - {to: person:eve, level: local-admin, on: "Computer:lab", kind: eligible}
    - {to: person:ana, level: local-admin, on: "Computer:lab", kind: pre_approved}
    - {to: person:bo, level: local-admin, on: "Computer:lab", kind: pre_approved}
open_sessions:
  - {id: s-1, person: ana, computer: lab, level: local-admin, account: lab/ana_2, jit: true, opened: 2025-12-31T20:00:00Z, not_after: 2026-01-01T00:00:00Z}
  - {id: s-2, person: ana, computer: lab, level: local-admin, account: lab/ana_1, jit: true, opened: 2025-12-31T10:00:00Z, not_after: 2025-12-31T12:00:00Z}
  - {id: s-3, person: ana, computer: lab, level: local-admin, account: lab/ana_1, jit: true, opened: 2025-12-31T23:00:00Z, not_after: 2026-01-01T01:00:00Z}
  - {id: s-4, person: bo, computer: web-07, opened: 2025-12-31T23:00:00Z, not_after: 2026-01-01T01:00:00Z}
checks:
  - {delegator: person:ana, grant: Report/Viewer, to: person:bo, on: "Report:absence", expect: {effect: allow, reason: GRANTED, approvers: []}}
  - {delegator: person:ana, grant: Report/Viewer, to: person:bo, in: zurich, expect: allow}
  - {delegator: person:ana, grant: Report/Viewer, to: person:bo, relative: in_my_locations, expect: {effect: requires_approval, reason: MISSING_ON_BOTH}}
  - {delegator: person:bo, grant: Report/Viewer, to: person:ana, on: "Report:absence", expect: {effect: requires_approval, reason: MISSING_ON_BOTH, approvers: [person:eve]}}
  - {delegator: person:bo, grant: Report/Viewer, to: person:ana, on: "Report:absence", routing: false, expect: {effect: deny, reason: MISSING_ON_BOTH}}
  - {delegator: person:ana, grant: Report/Viewer, to: person:bo, on: "Report:frozen", expect: {effect: deny, reason: EXPLICIT_DENY}}
  - {delegator: person:ana, grant: Report/Viewer, to: group:ops, on: "Report:absence", expect: {effect: deny, reason: SELF_DELEGATION}}
  - {delegator: person:ana, revoke: Report/Viewer, to: group:ops, on: "Report:absence", expect: requires_approval}
  - {delegator: person:ana, grant: Report/None, to: person:bo, on: "Report:absence", expect: {effect: deny, reason: UNKNOWN_LEVEL}}
  - {delegator: person:ana, grant: Report/Viewer, to: person:bo, on: "Computer:lab", expect: {error: INVALID_ARGUMENT}}
  - {delegator: person:ana, grant: Report/, to: "person:", on: "Report:absence", expect: {error: INVALID_ARGUMENT}}
  - {subject: person:ana, vault: view_password, resource: "Computer:web-07", expect: {effect: allow, deciding: ["resource_group:web-tier with group:ops"]}}
  - {subject: person:ana, vault: modify_password, resource: "Computer:lab", expect: {effect: deny, reason: LEVEL_TOO_LOW, deciding: ["Computer:lab with person:ana"]}}
  - {subject: person:ana, vault: use_remote_app, resource: "Computer:lab", expect: allow, routing: false}
  - {subject: person:bo, vault: modify_password, resource: "Computer:lab", expect: {effect: allow, reason: GRANTED}}
  - {subject: person:eve, vault: share, resource: "Computer:web-07", expect: {effect: allow, reason: GRANTED, deciding: []}}
  - {subject: person:eve, vault: share, resource: "resource_group:web-tier", expect: {effect: deny, reason: NOT_SHARED}}
  - {subject: person:eve, vault: view, resource: "Computer:web-07", expect: {error: INVALID_ARGUMENT}}
  - {subject: person:eve, vault: view_password, resource: "resource_group:web-tier", expect: {error: INVALID_ARGUMENT}}
  - {subject: person:bo, session: local-admin, resource: "Computer:web-07", expect: {effect: allow, reason: GRANTED, approvers: [person:eve, person:ana],
     obligations: {group: "group:web-07/Administrators", account: existing, account_id: adm/bo, delete_account: false, not_after: 2026-01-01T02:00:00Z}}}
  - {subject: person:ana, session: local-admin, resource: "Computer:web-07", expect: {effect: deny, reason: NO_ACCOUNT}}
  - {subject: person:ana, session: domain-admin, resource: "Computer:web-07", expect: {effect: deny, reason: LEVEL_NOT_MAPPED}}
  - {subject: person:ana, session: none, resource: "Computer:web-07", expect: {effect: allow, obligations: {not_after: 2026-01-01T04:00:00Z}}}
  - {subject: person:ana, session: none, resource: "Computer:lab", expect: {effect: deny, reason: UNPRIVILEGED_NOT_ALLOWED}}
  - {subject: person:ana, session: local-admin, resource: "Computer:lab", expect: {effect: allow, obligations: {account: jit_reuse, account_id: lab/ana_2, not_after: 2026-01-01T08:00:00Z}}}
  - {subject: person:bo, session: local-admin, resource: "Computer:lab", expect: {effect: allow, obligations: {account: jit_new}}}
  - {subject: person:eve, session: local-admin, resource: "Computer:lab", expect: {effect: requires_approval, reason: NEEDS_APPROVAL, approvers: []}}
  - {subject: person:eve, session: local-admin, resource: "Computer:lab", routing: false, expect: {effect: deny, reason: NEEDS_APPROVAL}}
  - {subject: person:ana, session: "", resource: "Computer:lab", expect: {error: INVALID_ARGUMENT}}
  - {subject: person:bo, operation: AddPersonToViewer, resource: "Report:absence", counterpart: "Person:ana", expect: {effect: requires_approval, reason: MISSING_ON_BOTH, approvers: [person:eve]}}
"#;

const CHECKS: usize = 30;

fn case(text: &str) -> CaseFile {
    let no_file = |path: &str| Err(format!("there is no `{path}`"));
    CaseFile::parse("case.yaml", text, no_file).unwrap_or_else(|error| panic!("{error}"))
}

fn run(text: &str) -> Report {
    run_in_process(&case(text), Timestamp::MIN).unwrap()
}

/// The text of the one check that fails once `from` has become `to`.
#[track_caller]
fn failing(from: &str, to: &str) -> String {
    assert!(CASE.contains(from), "{from}");
    let report = run(&CASE.replacen(from, to, 1));
    assert_eq!(report.failed(), 1, "{report}");
    report.to_string()
}

#[test]
fn checks_of_every_family_hold() {
    let report = run(CASE);
    assert!(report.holds(), "{report}");
    assert_eq!(report.passed(), CHECKS);
}

#[test]
fn open_sessions_count_and_their_accounts_are_kept() {
    // Two are open at once: the limit.
    let full = CASE.replace(
        "opened: 2025-12-31T20:00:00Z, not_after: 2026-01-01T00:00:00Z",
        "opened: 2025-12-31T20:00:00Z, not_after: 2026-01-01T00:00:01Z",
    );
    let report = run(&full).to_string();
    assert!(report.contains("actual    DENY SESSION_LIMIT, no obligations"), "{report}");
    // Without sessions nothing is kept and nothing counts.
    let begin = CASE.find("open_sessions:").unwrap();
    let none = format!("{}{}", &CASE[..begin], &CASE[CASE.find("checks:").unwrap()..]);
    let report = run(&none).to_string();
    assert!(
        report.contains(
            "  expected  ALLOW, obligations {account: jit_reuse, account_id: lab/ana_2, not_after: 2026-01-01T08:00:00Z}\n  \
             actual    ALLOW GRANTED, obligations {group: group:web-07/Administrators, account: jit_new, \
             delete_account: false, not_after: 2026-01-01T08:00:00Z}\n"
        ),
        "{report}"
    );
}

#[test]
fn an_account_in_a_session_is_told_to_be_a_member_by_it() {
    let text = failing(
        "{subject: person:ana, vault: view_password, resource: \"Computer:web-07\", expect: {effect: allow, deciding",
        "{subject: account:lab/ana_1, operation: View, resource: \"Report:absence\", expect: allow}\n  - \
         {subject: person:ana, vault: view_password, resource: \"Computer:web-07\", expect: {effect: allow, deciding",
    );
    assert!(text.contains("NOT_GRANTED"), "{text}");
    let shared = CASE.replace(
        "    - {to: person:bo, on: \"Key:deploy\", level: remote_app_only}\n",
        "    - {to: person:bo, on: \"Key:deploy\", level: remote_app_only}\n    \
         - {to: \"group:web-07/Administrators\", on: \"Computer:web-07\", level: view}\n",
    );
    let ask = |account: &str, expect: &str| {
        let check = format!(
            "  - {{subject: \"account:lab/{account}\", vault: view_password, \
             resource: \"Computer:web-07\", expect: {expect}}}\n"
        );
        run(&format!("{shared}{check}")).to_string()
    };
    // The one in an open session, the one whose session is over, and one of no session.
    let text = ask("ana_1", "deny");
    let hop = "account:lab/ana_1 is by a session a member of group:web-07/Administrators \
               from 2025-12-31T23:00:00Z until 2026-01-01T01:00:00Z";
    assert!(text.contains(hop), "{text}");
    assert!(ask("ana_2", "{effect: deny, reason: NOT_SHARED}").contains("checks hold"), "kept");
    let text = ask("ana_3", "{effect: deny, reason: UNKNOWN_SUBJECT}");
    assert!(text.contains("checks hold"), "{text}");
}

#[test]
fn approvers_are_compared_whole() {
    let text = failing("approvers: [person:eve, person:ana]", "approvers: [person:eve]");
    assert!(text.contains("  expected  ALLOW GRANTED, obligations {"), "{text}");
    assert!(text.contains(", approvers [person:eve]\n"), "{text}");
    assert!(text.contains(", approvers [person:ana, person:eve]\n"), "{text}");
    let text = failing(
        "reason: NEEDS_APPROVAL, approvers: []",
        "reason: NEEDS_APPROVAL, approvers: [person:bo]",
    );
    assert!(
        text.contains("  actual    REQUIRES_APPROVAL NEEDS_APPROVAL, approvers []\n"),
        "{text}"
    );
}

#[test]
fn a_delegation_is_told_side_by_side() {
    let text = failing(
        "{effect: requires_approval, reason: MISSING_ON_BOTH, approvers: [person:eve]}}\n  - {delegator",
        "allow}\n  - {delegator",
    );
    assert_eq!(
        text,
        "\
case.yaml:67:5: person:bo, grant Report/Viewer on Report:absence, to person:ana
  expected  ALLOW
  actual    REQUIRES_APPROVAL MISSING_ON_BOTH
  REQUIRES_APPROVAL MISSING_ON_BOTH  person:bo, grant Report/Viewer on Report:absence, to person:ana
  it is held on neither side; decided for 2026-01-01T00:00:00Z on revision 1

  resource side  MISSING
  └─ Report:absence  MISSING
     ├─ AddPersonToViewer  NOT_GRANTED
     ├─ AddToViewer  NOT_GRANTED
     ├─ ManageAnyResourceRole  not declared
     └─ missing: one of AddPersonToViewer, AddToViewer of Report:absence

  recipient side  MISSING
  └─ Person:ana  MISSING
     ├─ AddPersonToViewer  NOT_GRANTED
     ├─ AddPersonToResourceRole  not declared
     └─ missing: AddPersonToViewer of Person:ana

case.yaml: 1 of 30 checks do not hold at 2026-01-01T00:00:00Z"
    );
}

#[test]
fn a_delegation_by_location_is_told_with_where_it_is_given() {
    let text = failing("in: zurich, expect: allow", "in: zurich, expect: deny");
    let tree = "\
  it is held on both sides; decided for 2026-01-01T00:00:00Z on revision 1

  resource side  HELD
  └─ every Report in zurich  HELD
     ├─ AddToViewerInLocation  GRANTED
     │  └─ decides: `r-2` allows it: person:ana has Report/Assigner in switzerland
     │     ├─ subject: person:ana is the assignee
     │     └─ scope: it is given in switzerland, which lies above zurich
     │        └─ location:zurich lies in location:switzerland
     └─ ManageAnyResourceRoleAssignmentByLocation  not declared

  recipient side  HELD
  └─ Person:bo  HELD
     └─ AddPersonToResourceRoleAssignmentByLocation  GRANTED
        └─ decides: `p-1` allows it: person:ana has Person/Assigner on Person:bo
           ├─ subject: person:ana is the assignee
           └─ scope: it names Person:bo
";
    assert!(text.contains(tree), "{text}");
}

#[test]
fn a_denied_and_a_self_delegation_say_so() {
    let text = failing("reason: EXPLICIT_DENY", "reason: GRANTED");
    assert!(text.contains("one of the operations is denied, whatever else is held; "), "{text}");
    assert!(text.contains("├─ AddToViewer  EXPLICIT_DENY\n"), "{text}");
    assert!(text.contains("└─ decides: `r-4` denies it: "), "{text}");
    let text = failing("reason: SELF_DELEGATION", "reason: GRANTED");
    let line = "  person:ana counts as group:ops\n";
    assert!(text.contains(line), "{text}");
}

#[test]
fn a_vault_decision_is_told_layer_by_layer() {
    let text = failing(
        "reason: LEVEL_TOO_LOW, deciding: [\"Computer:lab with person:ana\"]",
        "reason: NOT_SHARED",
    );
    let tree = "\
  the share that decides does not give the action; decided for 2026-01-01T00:00:00Z on revision 1

  Computer:lab
  ├─ layer 1: Computer:lab
  │  ├─ decides: remote_app_only on Computer:lab with person:ana
  │  └─ outweighed: modify on Computer:lab with group:ops
  │     └─ person:ana is a member of group:ops
  ├─ layer 2: no resource groups
  ├─ wins: remote_app_only, on layer 1, the nearest with a share
  │  ├─ shares with person:ana beat those with groups
  │  └─ of the same kind view comes before modify before remote_app_only
  └─ remote_app_only gives use_remote_app
";
    assert!(text.contains(tree), "{text}");
}

#[test]
fn the_other_rules_of_the_vault_are_told_too() {
    let text = failing(
        "deciding: [\"resource_group:web-tier with group:ops\"]",
        "deciding: [\"Computer:web-07 with person:ana\"]",
    );
    assert!(
        text.contains(
            "  expected  ALLOW, deciding [Computer:web-07 with person:ana]\n  \
             actual    ALLOW GRANTED, deciding [resource_group:web-tier with group:ops]\n"
        ),
        "{text}"
    );
    let tree = "\
  what the subject has gives the action; decided for 2026-01-01T00:00:00Z on revision 1

  Computer:web-07
  ├─ layer 1: Computer:web-07
  │  ├─ outweighed: view on Computer:web-07 with person:ana
  │  └─ outweighed: modify on Computer:web-07 with group:ops
  │     └─ person:ana is a member of group:ops
  ├─ layer 2: resource_group:web-tier
  │  └─ decides: full on resource_group:web-tier with group:ops
  │     └─ person:ana is a member of group:ops
  ├─ wins: full, which wins on whatever layer it is found
  └─ full gives use_remote_app, view_password, modify_password, manage, share
";
    assert!(text.contains(tree), "{text}");
    let text = failing("reason: GRANTED, deciding: []", "reason: NOT_SHARED, deciding: []");
    assert!(text.contains("├─ wins: full, because person:eve is the owner\n"), "{text}");
    assert!(text.contains("  └─ nothing shared with person:eve\n"), "{text}");
    let text = failing("reason: NOT_SHARED}", "reason: GRANTED}");
    assert!(text.contains("└─ nothing is shared with person:eve on any layer\n"), "{text}");
    let text = failing(
        "resource: \"Computer:lab\", expect: {effect: allow, reason: GRANTED}",
        "resource: \"Computer:lab\", expect: {effect: deny, reason: GRANTED}",
    );
    let line = "no share on it is with person:bo, so those with groups count\n";
    assert!(text.contains(line), "{text}");
}

#[test]
fn a_session_is_told_with_its_eligibilities_and_obligations() {
    let text = failing(
        "account_id: adm/bo, delete_account: false",
        "account_id: adm/bo, delete_account: true",
    );
    let tree = "\
  every check holds; decided for 2026-01-01T00:00:00Z on revision 1

  Computer:web-07
  ├─ holds: the person and the computer are known, and sessions are enabled
  ├─ holds: the computer offers the level and maps it to a native group
  ├─ holds: the person is eligible and not excluded
  ├─ holds: there is an account
  ├─ holds: there is room for another session
  ├─ holds: it is approved, or needs no approval
  ├─ eligibilities for local-admin that apply
  │  └─ pre_approved: group:ops: person:bo counts as group:ops
  │     └─ person:bo is a member of group:ops until 2026-01-01T02:00:00Z
  ├─ obligations
  │  ├─ native group: group:web-07/Administrators
  │  ├─ account: account:adm/bo, the person's own
  │  ├─ on end: the account leaves the group
  │  └─ not after: 2026-01-01T02:00:00Z
  └─ levels that person:bo can choose: local-admin
";
    assert!(text.contains(tree), "{text}");
}

#[test]
fn a_session_that_fails_is_told_with_the_check_that_failed() {
    let text = failing("reason: NO_ACCOUNT", "reason: PSM_DISABLED");
    let tree = "\
  ├─ holds: the person is eligible and not excluded
  ├─ fails: there is an account: NO_ACCOUNT
  ├─ eligibilities for local-admin that apply
  │  └─ pre_approved: group:ops: person:ana counts as group:ops
  │     └─ person:ana is a member of group:ops
  └─ levels that person:ana can choose: local-admin
";
    assert!(text.contains(tree), "{text}");
    let text = failing("reason: UNPRIVILEGED_NOT_ALLOWED", "reason: PSM_DISABLED");
    let tree = "\
  ├─ holds: the person and the computer are known, and sessions are enabled
  ├─ fails: sessions without a level are taken: UNPRIVILEGED_NOT_ALLOWED
  └─ levels that person:ana can choose: local-admin
";
    assert!(text.contains(tree), "{text}");
    let text = failing(
        "session: none, resource: \"Computer:lab\", expect: {effect: deny, reason: UNPRIVILEGED_NOT_ALLOWED}",
        "session: none, resource: \"Key:deploy\", expect: deny, name: a key}\n  - {subject: person:ana, session: x, resource: \"Key:deploy\", expect: allow",
    );
    let last = "sessions are enabled: PSM_DISABLED\n\ncase.yaml: 1 of 31";
    assert!(text.contains(last), "{text}");
}

#[test]
fn every_explanation_can_be_coloured() {
    let case = case(CASE);
    let mut facts = Facts::default();
    facts.apply(&case.bundle.changes()).unwrap();
    let now = case.now.unwrap();
    let sessions = case.sessions_at(&facts, now);
    let snapshot = compile(&facts, Revision::new(7)).with_sessions(sessions.open());
    let paint = |tone: Tone, text: &str| format!("<{tone:?}>{text}</>");
    let text = |wanted: &str| {
        let question = &case.checks.iter().find(|it| it.question.to_string() == wanted).unwrap();
        match &question.question {
            AnyQuestion::Access(question) => panic!("{question}"),
            AnyQuestion::Delegation(question) => {
                let told = explain_delegation(&snapshot, &question.as_question(), now).unwrap();
                render_delegation_with(&told, question, &paint)
            }
            AnyQuestion::Vault(question) => {
                let told = explain_vault(&snapshot, &question.as_question(), now).unwrap();
                render_vault_with(&told, question, &paint)
            }
            AnyQuestion::Session(question) => {
                let told = explain_session(&snapshot, &question.as_question(), now).unwrap();
                render_session_with(&told, question, &paint)
            }
        }
    };
    let told = text("person:bo, grant Report/Viewer on Report:absence, to person:ana");
    assert!(
        told.starts_with("<Approval>REQUIRES_APPROVAL MISSING_ON_BOTH</>  person:bo, "),
        "{told}"
    );
    assert!(told.contains("\n<Heading>resource side  MISSING</>\n"), "{told}");
    assert!(told.contains("AddToViewer  <Faint>NOT_GRANTED</>\n"), "{told}");
    let told = text("person:ana, vault modify_password, Computer:lab");
    assert!(told.contains("├─ <Allow>decides</>: remote_app_only on "), "{told}");
    let told = text("person:eve, session local-admin, Computer:lab");
    assert!(told.contains("<Approval>fails</>: it is approved, or needs no approval: "), "{told}");
    assert!(told.contains("└─ <Approval>eligible</>: person:eve: person:eve is named\n"), "{told}");
    assert!(told.contains(" on revision 7\n"), "{told}");
}
