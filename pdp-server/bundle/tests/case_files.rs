//! Case files: what is read, what is refused, and how a check that fails is told.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test file")]

use pdp_bundle::BundleError;
use pdp_bundle::case::{Answer, CaseFile, Expectation, run_in_process};
use pdp_bundle::question::AnyQuestion;
use pdp_bundle::render::{Tone, render_explanation_with};
use pdp_bundle::time::parse_time;
use pdp_engine::compile::compile;
use pdp_engine::explain::explain;
use pdp_engine::facts::Facts;
use pdp_engine::query::{Effect, Reason, Revision};
use pdp_engine::time::Timestamp;

const CASE: &str = r#"
about: Ana reads what her role may read.
rules: [A5, Q2]
now: 2026-01-01T00:00:00Z
bundle:
  resource_types: {Report: {operations: [View, Edit, AddPersonToViewer], rights: [ReadData]}}
  access_levels:
    - {type: Report, name: Viewer, operations: {View: allowed}, rights: {ReadData: allowed}}
    - {type: Report, name: Frozen, operations: {"*": denied}}
  locations: [{id: europe}, {id: zurich, parent: europe}]
  business_roles: [{id: employee}, {id: teller, parent: employee}]
  people:
    - {id: ana, positions: [{business_role: teller, location: zurich, valid_until: 2027-01-01T00:00:00Z}]}
    - {id: bo}
  groups: [{id: hr, members: [{of: person:bo, valid_until: 2025-01-01T00:00:00Z}]}]
  resources: [{type: Report, id: absence, locations: [zurich]}, {type: Report, id: secret, locations: [zurich]}]
  assignments:
    - {id: europe-tellers, to: business_role:employee@europe, level: Report/Viewer, in: europe}
    - {id: hr-absence, to: group:hr, level: Report/Viewer, on: Report:absence}
    - {id: frozen, to: business_role:teller@zurich, level: Report/Frozen, on: Report:secret}
checks:
  - {name: ana reads, subject: person:ana, operation: View, resource: Report:absence, expect: allow}
  - {subject: person:ana, right: ReadData, resource: Report:absence, expect: {effect: allow, reason: GRANTED, deciding: [europe-tellers], masked: []}}
  - {subject: person:ana, operation: View, resource: Report:secret, expect: {effect: deny, reason: EXPLICIT_DENY, deciding: [frozen], masked: [europe-tellers]}}
  - {subject: person:bo, operation: View, resource: Report:absence, expect: {effect: deny, reason: NOT_GRANTED, deciding: []}}
  - {subject: person:bo, operation: AddPersonToViewer, resource: Report:absence, counterpart: Report:secret, expect: requires_approval}
  - {subject: person:bo, operation: AddPersonToViewer, resource: Report:absence, counterpart: Report:secret, routing: false, expect: {effect: deny, reason: MISSING_ON_BOTH}}
  - {subject: "person:", operation: View, resource: Report:absence, expect: {error: INVALID_ARGUMENT}}
  - {subject: "account:nobody", operation: View, resource: "Report:a:b", expect: {effect: deny, reason: UNKNOWN_SUBJECT}}
"#;

fn no_file(path: &str) -> Result<(String, String), String> {
    Err(format!("there is no `{path}`"))
}

fn case(text: &str) -> CaseFile {
    CaseFile::parse("case.yaml", text, no_file).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(text: &str) -> String {
    CaseFile::parse("case.yaml", text, no_file).map(|case| case.checks).unwrap_err().to_string()
}

/// Never the time of a check here: every file has its own.
const NO_TIME: Timestamp = Timestamp::MIN;

#[test]
fn a_file_whose_checks_hold_says_so() {
    let case = case(CASE);
    assert_eq!(case.about.as_deref(), Some("Ana reads what her role may read."));
    assert_eq!(case.rules, ["A5", "Q2"]);
    assert_eq!(case.checks[0].name.as_deref(), Some("ana reads"));
    let report = run_in_process(&case, NO_TIME).unwrap();
    assert!(report.holds(), "{report}");
    assert_eq!((report.passed(), report.failed()), (8, 0));
    assert_eq!(report.to_string(), "case.yaml: 8 checks hold at 2026-01-01T00:00:00Z");
}

#[test]
fn the_time_is_the_files_or_else_the_callers() {
    let open = CASE.replace("now: 2026-01-01T00:00:00Z\n", "");
    let late = parse_time("2027-01-01T00:00:00Z").unwrap();
    let report = run_in_process(&case(&open), late).unwrap();
    assert_eq!((report.now, report.failed()), (late, 3));
    assert!(report.to_string().ends_with("3 of 8 checks do not hold at 2027-01-01T00:00:00Z"));
}

#[test]
fn a_check_that_fails_is_told_with_its_explanation() {
    let wrong = CASE.replace(
        "expect: {effect: deny, reason: EXPLICIT_DENY, deciding: [frozen], masked: [europe-tellers]}",
        "expect: {effect: allow, deciding: [europe-tellers]}",
    );
    let report = run_in_process(&case(&wrong), NO_TIME).unwrap();
    assert_eq!(
        report.to_string(),
        "\
case.yaml:24:5: person:ana, operation View, Report:secret
  expected  ALLOW, deciding [europe-tellers]
  actual    DENY EXPLICIT_DENY, deciding [frozen], masked [europe-tellers]
  DENY EXPLICIT_DENY  person:ana, operation View, Report:secret
  something denies it, whatever else allows it; decided for 2026-01-01T00:00:00Z on revision 1

  Report:secret  EXPLICIT_DENY
  ├─ decides: `frozen` denies it: business_role:teller@zurich has Report/Frozen on Report:secret
  │  ├─ subject: person:ana counts as business_role:teller@zurich
  │  │  └─ person:ana holds a position at business_role:teller@zurich until 2027-01-01T00:00:00Z
  │  └─ scope: it names Report:secret
  └─ masked by the deny: `europe-tellers` allows it: business_role:employee@europe has Report/Viewer in europe
     ├─ subject: person:ana counts as business_role:employee@europe
     │  ├─ person:ana holds a position at business_role:teller@zurich until 2027-01-01T00:00:00Z
     │  ├─ business_role:teller@zurich counts as its parent role, business_role:employee@zurich
     │  └─ business_role:employee@zurich counts in the location above, business_role:employee@europe
     └─ scope: Report:secret is placed in or below europe
        ├─ Report:secret is placed in location:zurich
        └─ location:zurich lies in location:europe

case.yaml: 1 of 8 checks do not hold at 2026-01-01T00:00:00Z"
    );
}

#[test]
fn what_is_not_granted_is_told_with_what_would_grant_it() {
    let wrong = CASE.replace("reason: NOT_GRANTED, deciding: []}", "reason: DISABLED}");
    let report = run_in_process(&case(&wrong), NO_TIME).unwrap();
    let text = report.to_string();
    assert!(text.contains("  expected  DENY DISABLED\n  actual    DENY NOT_GRANTED\n"), "{text}");
    for line in [
        "├─ nothing that person:bo has here allows operation View",
        "├─ levels that would: Report/Viewer",
        "near miss: `hr-absence`: group:hr has Report/Viewer on Report:absence",
        "a membership or position on the way from person:bo to group:hr is out of its window",
        "person:bo is a member of group:hr until 2025-01-01T00:00:00Z",
        "repair: extend that window, or assign Report/Viewer on Report:absence to person:bo",
        "near miss: `europe-tellers`: business_role:employee@europe has Report/Viewer in europe",
        "it grants this here, and person:bo does not count as business_role:employee@europe",
        "repair: assign Report/Viewer in europe to person:bo, or let person:bo count as business_role:employee@europe",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn a_refusal_and_a_decision_are_told_apart() {
    let wrong = CASE.replace("expect: {error: INVALID_ARGUMENT}", "expect: deny").replace(
        "expect: {effect: deny, reason: UNKNOWN_SUBJECT}",
        "expect: {error: INVALID_ARGUMENT}",
    );
    let text = run_in_process(&case(&wrong), NO_TIME).unwrap().to_string();
    assert!(
        text.contains("  expected  DENY\n  actual    error INVALID_ARGUMENT: an empty person id"),
        "{text}"
    );
    assert!(
        text.contains("  expected  error INVALID_ARGUMENT\n  actual    DENY UNKNOWN_SUBJECT\n"),
        "{text}"
    );
    assert!(text.contains("the policy knows no such subject"), "{text}");
}

#[test]
fn the_runner_asks_for_explanations_only_where_they_are_needed() {
    let case = case(CASE);
    let mut asked = Vec::new();
    let report = case.run(NO_TIME, |question, now, detail| {
        let AnyQuestion::Access(question) = question else { panic!("{question}") };
        asked.push((question.permission.clone(), detail.explanation));
        assert!(!detail.approvers);
        assert_eq!(Some(now), case.now);
        Answer::decided(Effect::Allow, Reason::Granted)
    });
    // The answers without explanation do not meet an expectation that needs one.
    assert_eq!(report.failed(), 7);
    assert_eq!(asked[0], ("View".to_owned(), false));
    assert_eq!(asked[1], ("ReadData".to_owned(), true));
    assert_eq!(asked.len(), 1 + 7 * 2);
    assert!(matches!(case.checks[6].expect, Expectation::Error { .. }));
}

const REFUSED_CHECKS: &[(&str, &str)] = &[
    (
        "{subject: person:a, operation: V, resource: T:r, vault: view, expect: allow}",
        "3:3: checks[0]: expected exactly one of `operation`, `right`, `vault`, `session`, `grant`, `revoke`",
    ),
    (
        "{subject: person:a, operation: V, resource: T:r, approvers: [], expect: allow}",
        "3:52: checks[0].approvers: unknown key; ",
    ),
    (
        "{subject: person:a, operation: V, resource: T:r}",
        "3:3: checks[0]: the key `expect` is missing",
    ),
    (
        "{subject: person:a, resource: T:r, expect: allow}",
        "3:3: checks[0]: expected exactly one of `operation`, `right`",
    ),
    (
        "{subject: person:a, operation: V, right: R, resource: T:r, expect: allow}",
        "3:3: checks[0]: expected exactly one of `operation`, `right`",
    ),
    (
        "{subject: group:a, operation: V, resource: T:r, expect: allow}",
        "3:13: checks[0].subject: `group:a` does not name a subject; write `person:ID` or `account:ID`",
    ),
    (
        "{subject: person:a, operation: V, resource: r, expect: allow}",
        "3:47: checks[0].resource: `r` does not name a resource; write `Type:id`",
    ),
    (
        "{subject: person:a, operation: V, resource: T:r, counterpart: r, expect: allow}",
        "3:65: checks[0].counterpart: `r` does not name a resource",
    ),
    (
        "{subject: person:a, operation: V, resource: T:r, expect: yes}",
        "3:60: checks[0].expect: expected one of `allow`, `deny`, `requires_approval`, found `yes`",
    ),
    (
        "{subject: person:a, operation: V, resource: T:r, expect: {reason: GRANTED}}",
        "3:60: checks[0].expect: the key `effect` is missing",
    ),
    (
        "{subject: person:a, operation: V, resource: T:r, expect: {effect: deny, reason: NO}}",
        "3:83: checks[0].expect.reason: expected one of `GRANTED`",
    ),
    (
        "{subject: person:a, operation: V, resource: T:r, expect: {error: NOT_FOUND}}",
        "3:68: checks[0].expect.error: expected one of `INVALID_ARGUMENT`",
    ),
    (
        "{subject: person:a, operation: V, resource: T:r, expect: {error: INVALID_ARGUMENT, effect: deny}}",
        "3:94: checks[0].expect.effect: a refusal is no decision",
    ),
    (
        "{subject: person:a, operation: V, resource: T:r, expect: {effect: allow, obligations: {}}}",
        "3:89: checks[0].expect.obligations: only a session that is allowed has obligations",
    ),
    (
        "{subject: person:a, operation: V, resource: T:r, routing: maybe, expect: allow}",
        "3:61: checks[0].routing: expected true or false, found `maybe`",
    ),
];

#[test]
fn what_a_check_may_not_say_is_refused_by_place() {
    let check = |check: &str| refused(&format!("bundle: {{}}\nchecks:\n- {check}\n"));
    for (text, start) in REFUSED_CHECKS {
        let message = check(text);
        assert!(
            message.lines().any(|line| line.starts_with(&format!("case.yaml:{start}"))),
            "{message}"
        );
    }
}

#[test]
fn what_a_file_may_not_say_is_refused_by_place() {
    for (text, start) in [
        ("", "case.yaml: the case file is empty"),
        ("checks: []", "case.yaml:1:1: expected `bundle` or `bundle_file`"),
        ("bundle: {}", "case.yaml:1:1: the key `checks` is missing"),
        (
            "bundle: {}\nbundle_file: a.yaml\nchecks: []",
            "case.yaml:2:14: bundle_file: a case file has `bundle` or `bundle_file`, not both",
        ),
        (
            "bundle: {peple: []}\nchecks: []",
            "case.yaml:1:10: bundle.peple: unknown key; did you mean `people`?",
        ),
        (
            "bundle: {people: [{id: a}, {id: a}]}\nchecks: []",
            "case.yaml:1:28: bundle.people[1]: person `a` stands twice",
        ),
        (
            "bundle: {}\nnow: 2026-01-01\nchecks: []",
            "case.yaml:2:6: now: `2026-01-01` is not a time",
        ),
        ("bundle_file: a.yaml\nchecks: []", "case.yaml:1:14: bundle_file: there is no `a.yaml`"),
    ] {
        let message = refused(text);
        assert!(message.starts_with(start), "{message}");
    }
}

#[test]
fn a_policy_that_does_not_apply_is_told_by_place() {
    let case = case("checks: []\nbundle:\n  people:\n  - id: a\n    manager: b\n");
    let error: BundleError =
        run_in_process(&case, NO_TIME).map(|report| report.to_string()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "case.yaml:5:14: bundle.people[0].manager: person `a`: `manager` names person `b`, which does not \
         exist; create it in the same change set or correct the name"
    );
}

#[test]
fn a_bundle_file_is_found_beside_the_case_file() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir(folder.path().join("cases")).unwrap();
    write("acme.yaml", b"people: [{id: ana}]\nresource_types: {Report: {operations: [View]}}\n");
    write("cases/one.yaml", b"bundle_file: ../acme.yaml\nchecks:\n- {subject: person:ana, operation: View, resource: Report:r, expect: {effect: deny, reason: UNKNOWN_RESOURCE}}\n");
    let case = CaseFile::open(&folder.path().join("cases/one.yaml")).unwrap();
    assert!(case.bundle.source().ends_with("acme.yaml"));
    assert!(run_in_process(&case, NO_TIME).unwrap().holds());

    write("acme.yaml", b"people: [{id: ana, age: 7}]\n");
    let error =
        CaseFile::open(&folder.path().join("cases/one.yaml")).map(|case| case.checks).unwrap_err();
    assert!(error.to_string().contains("acme.yaml:1:20: people[0].age: unknown key"), "{error}");
    write("acme.yaml", b"people: [\xff]\n");
    let error =
        CaseFile::open(&folder.path().join("cases/one.yaml")).map(|case| case.checks).unwrap_err();
    assert!(
        error.to_string().ends_with("acme.yaml: is not UTF-8 text: byte 9 begins no character"),
        "{error}"
    );
    let error =
        CaseFile::open(&folder.path().join("none.yaml")).map(|case| case.checks).unwrap_err();
    assert!(error.to_string().contains("none.yaml: cannot be read: "), "{error}");
}

#[test]
fn an_explanation_can_be_coloured() {
    let case = case(CASE);
    let mut facts = Facts::default();
    facts.apply(&case.bundle.changes()).unwrap();
    let snapshot = compile(&facts, Revision::new(3));
    let AnyQuestion::Access(question) = &case.checks[2].question else { panic!("no access") };
    let explanation = explain(&snapshot, &question.as_question(), case.now.unwrap()).unwrap();
    let text = render_explanation_with(&explanation, question, &|tone, text| match tone {
        Tone::Deny => format!("<deny>{text}</deny>"),
        Tone::Faint => format!("<faint>{text}</faint>"),
        Tone::Heading => format!("<b>{text}</b>"),
        Tone::Allow | Tone::Approval => text.to_owned(),
    });
    assert!(text.starts_with("<deny>DENY EXPLICIT_DENY</deny>  person:ana, "), "{text}");
    assert!(
        text.contains("\n<b>Report:secret  EXPLICIT_DENY</b>\n├─ <deny>decides</deny>: "),
        "{text}"
    );
    assert!(text.contains("└─ <faint>masked by the deny</faint>: "), "{text}");
    assert!(text.contains(" on revision 3\n"), "{text}");
}
