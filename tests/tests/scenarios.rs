//! Every scenario file through every door: the engine in process, and a whole server over gRPC,
//! AuthZEN and Envoy's external authorization. The oracle answers them too, so that it is held against the same expectations.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::collections::{BTreeMap, BTreeSet};

use pdp_bundle::case::{
    Answer, CaseFile, CaseSessions, Detail, Expectation, Report, Why, run_in_process,
};
use pdp_bundle::question::AnyQuestion;
use pdp_client::Error;
use pdp_engine::facts::Facts;
use pdp_engine::list::ApprovalQuestion;
use pdp_engine::query::{Question, Reason};
use pdp_engine::share::Entity;
use pdp_engine::time::Timestamp;
use pdp_server::config::Settings;
use pdp_tests::door::Server;
use pdp_tests::door::authzen::{AuthZen, written};
use pdp_tests::door::envoy::{Asked, Envoy, mapping};
use pdp_tests::door::sessions::{Unservable, unservable};
use pdp_tests::http::Protocol;
use pdp_tests::oracle::{Existing, Oracle, Refused, asked, strongest, subject};
use pdp_tests::scenario::{cases, rejected};
use pdp_tests::tally::reason_precedes_entries;

/// The evaluation time of files that name none: 2026-01-01T12:00:00Z.
const DEFAULT_NOW: Timestamp = Timestamp::from_micros(1_767_268_800_000_000);

/// How many checks are asked in process and of the oracle only, and why.
const IN_PROCESS_ONLY: [(Unservable, usize); 3] =
    [(Unservable::NotBegun, 7), (Unservable::Listed, 1), (Unservable::UntilSwept, 1)];

/// How many checks AuthZEN has no words for: delegations, and those without routing of what would be
/// routed.
const NOT_IN_AUTHZEN: usize = 256;

/// Runs the files, prints what there was, and fails with everything that does not hold.
fn run_all(door: &str, cases: &[CaseFile], mut run: impl FnMut(usize, &CaseFile) -> Report) {
    let (mut passed, mut failures) = (0, String::new());
    for (n, case) in cases.iter().enumerate() {
        let report = run(n, case);
        assert_eq!(report.outcomes.len(), case.checks.len(), "{}", case.source);
        passed += report.passed();
        for outcome in &report.outcomes {
            let Some(failure) = &outcome.failure else { continue };
            failures.push_str(&format!(
                "{}:{}: {}\n  expected {}\n  but got  {}\n{}\n",
                case.source,
                outcome.place.line,
                outcome.question,
                failure.expected,
                failure.actual,
                failure.explanation.as_deref().unwrap_or_default(),
            ));
        }
    }
    println!("{door}: {} files, {passed} checks hold", cases.len());
    assert!(failures.is_empty(), "{door}:\n{failures}");
}

#[test]
fn in_process() {
    run_all("in process", &cases(), |_, case| {
        run_in_process(case, DEFAULT_NOW).unwrap_or_else(|error| panic!("{error}"))
    });
}

/// What the oracle says, with what decides, the entries that a deny masks, and who could approve.
fn ask_oracle(
    oracle: &Oracle<'_>,
    question: &AnyQuestion,
    detail: Detail,
) -> Result<Answer, Refused> {
    let (mut due, mut why) = (None, Why::default());
    let ((effect, reason), approval) = match question {
        AnyQuestion::Access(question) => {
            let question = question.as_question();
            let answer = oracle.decide(&question)?;
            if !reason_precedes_entries(answer.1) {
                (why.deciding, why.masked) = entries(oracle, &question);
            }
            (answer, Some(ApprovalQuestion::Dual(question)))
        }
        AnyQuestion::Delegation(question) => {
            let question = question.as_question();
            let answer = oracle.decide_delegation(&question)?;
            (answer, Some(ApprovalQuestion::Delegation(question)))
        }
        AnyQuestion::Vault(question) => {
            let question = question.as_question();
            let answer = oracle.decide_vault(&question)?;
            if !reason_precedes_entries(answer.1) {
                let entity = Entity::parse(&question.entity.to_string()).unwrap();
                let found = oracle.found(&subject(question.subject)?, &entity);
                let shares = found.into_iter().flat_map(|found| found.deciding);
                why.deciding = shares.map(|share| share.key.to_string()).collect();
            }
            (answer, None)
        }
        AnyQuestion::Session(question) => {
            let question = question.as_question();
            let (answer, obligations) = oracle.decide_session(&question)?;
            due = obligations;
            (answer, Some(ApprovalQuestion::Session(question)))
        }
    };
    let mut answer = Answer::decided(effect, reason).with_obligations(due);
    if let Some(approval) = approval.filter(|_| detail.approvers) {
        answer = answer.with_approvers(oracle.approvers(&approval));
    }
    if let Answer::Decision { why: told, .. } = &mut answer {
        *told = Some(why);
    }
    Ok(answer)
}

/// The assignments that decide, and those that a deny masks.
fn entries(oracle: &Oracle<'_>, question: &Question<'_>) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut deciding, mut masked) = (BTreeSet::new(), BTreeSet::new());
    for object in [Some(question.resource), question.counterpart].into_iter().flatten() {
        let asked = asked(question.subject, question.permission, object).unwrap();
        let entries = oracle.entries(&asked);
        let outcome = strongest(entries.iter().map(|(_, qualifier)| *qualifier));
        for (assignment, qualifier) in entries {
            let id = assignment.id.to_string();
            match (outcome, strongest([qualifier])) {
                (Reason::NotGranted, _) => {}
                (outcome, its) if outcome == its => drop(deciding.insert(id)),
                (Reason::ExplicitDeny, Reason::Granted) => drop(masked.insert(id)),
                _ => {}
            }
        }
    }
    (deciding, masked)
}

#[test]
fn by_the_oracle() {
    run_all("the oracle", &cases(), |_, case| {
        let mut facts = Facts::default();
        facts.apply(&case.bundle.changes()).unwrap();
        let now = case.now.unwrap_or(DEFAULT_NOW);
        let CaseSessions { sessions, accounts } = case.sessions_at(&facts, now);
        let existing = Existing { sessions, accounts };
        let oracle = Oracle::new(&facts, now).beside(&existing);
        case.run(DEFAULT_NOW, |question, _, detail| {
            let answer = ask_oracle(&oracle, question, detail);
            answer.unwrap_or_else(|Refused| {
                let (code, message) = ("INVALID_ARGUMENT".to_owned(), String::new());
                Answer::Error { code, message }
            })
        })
    });
}

/// The files without what a server cannot be asked.
fn servable() -> Vec<CaseFile> {
    let mut cases = cases();
    let (mut beside, mut left_out) = (0, BTreeMap::<Unservable, usize>::new());
    for case in cases.iter_mut().filter(|case| !case.open_sessions.is_empty()) {
        let now = case.now.unwrap_or(DEFAULT_NOW);
        let found: Vec<_> = case.checks.iter().map(|it| unservable(case, now, it)).collect();
        for reason in found.iter().flatten() {
            *left_out.entry(*reason).or_default() += 1;
        }
        let mut found = found.into_iter();
        case.checks.retain(|_| found.next() == Some(None));
        beside += case.checks.len();
        if case.checks.is_empty() {
            case.open_sessions.clear();
        }
    }
    println!("{beside} checks are asked beside open sessions; in process only: {left_out:?}");
    let expected = BTreeMap::from(IN_PROCESS_ONLY);
    assert_eq!(left_out, expected, "checks are asked in process only");
    cases
}

#[test]
fn over_grpc() {
    let server = Server::start();
    let cases = servable();
    run_all("gRPC (checks, batches, explanations and approvers)", &cases, |n, case| {
        let now = case.now.unwrap_or(DEFAULT_NOW);
        let door = server.case(&format!("case-{n}"), case, now);
        let door = door.unwrap_or_else(|error| panic!("{}: {error}", case.source));
        case.run(now, |question, _, detail| door.ask(question, detail))
    });
    server.stop();
}

#[test]
fn over_authzen() {
    let server = Server::start();
    let mut cases = servable();
    let mut left_out = 0;
    for case in &mut cases {
        let all = case.checks.len();
        case.checks.retain(|check| written(&check.question).is_some());
        left_out += all - case.checks.len();
        // A decision comes with what goes with it and without its explanation.
        for check in &mut case.checks {
            if let Expectation::Decision { deciding, masked, approvers, .. } = &mut check.expect {
                (*deciding, *masked, *approvers) = (None, None, None);
            }
        }
    }
    println!("{left_out} checks are not asked, as AuthZEN has no words for them");
    assert_eq!(left_out, NOT_IN_AUTHZEN, "checks are not asked over AuthZEN");
    let mut turn = Protocol::ALL.into_iter().cycle();
    run_all("AuthZEN (evaluations, HTTP/1.1 and HTTP/2 by turns)", &cases, |n, case| {
        let now = case.now.unwrap_or(DEFAULT_NOW);
        let tenant = format!("case-{n}");
        let applied = server.case(&tenant, case, now);
        drop(applied.unwrap_or_else(|error| panic!("{}: {error}", case.source)));
        let door = AuthZen::new(&server, &tenant, turn.next().unwrap());
        case.run(now, |question, _, _| door.ask(question).unwrap())
    });
    server.stop();
}

#[test]
fn over_ext_authz() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), mapping()).unwrap();
    let gateway = Some(file.path().to_path_buf());
    let server = Server::start_with(Settings { gateway, ..Settings::default() });
    let mut cases = servable();
    let mut left_out = 0;
    for case in &mut cases {
        let all = case.checks.len();
        case.checks.retain(|check| Asked::new(&check.question).is_some());
        left_out += all - case.checks.len();
        // Envoy is told the decision and nothing that goes with it.
        for check in &mut case.checks {
            if let Expectation::Decision { effect, reason, .. } = &check.expect {
                let (effect, reason) = (*effect, *reason);
                let (deciding, masked, obligations, approvers) = (None, None, None, None);
                check.expect = Expectation::Decision {
                    effect,
                    reason,
                    deciding,
                    masked,
                    obligations,
                    approvers,
                };
            }
        }
    }
    // The same as over AuthZEN.
    assert_eq!(left_out, NOT_IN_AUTHZEN, "checks are not asked as Envoy would");
    run_all(
        "ext_authz (a subject by claim, certificate, header and route; a question by route and path)",
        &cases,
        |n, case| {
            let now = case.now.unwrap_or(DEFAULT_NOW);
            let tenant = format!("case-{n}");
            let applied = server.case(&tenant, case, now);
            drop(applied.unwrap_or_else(|error| panic!("{}: {error}", case.source)));
            let envoy = Envoy::new(&server, &tenant);
            case.run(now, |question, _, _| envoy.answer(question).unwrap())
        },
    );
    server.stop();
}

/// Holds that these are the expected problems, in any order, but for some that were left out.
fn hold(
    source: &str,
    expected: &[(String, String)],
    actual: impl Iterator<Item = (String, String)>,
    left_out: usize,
) {
    let mut missing: Vec<_> = expected.iter().collect();
    for (code, text) in actual {
        let found = missing.iter().position(|(its, words)| *its == code && text.contains(words));
        let Some(found) = found else {
            panic!("{source}: not expected: {code} `{text}`; missing are {missing:#?}");
        };
        missing.remove(found);
    }
    assert_eq!(missing.len(), left_out, "{source}: missing are {missing:#?}");
}

#[test]
fn refused_in_process() {
    let files = rejected();
    for file in &files {
        let mut facts = Facts::default();
        let refused = facts.apply(&file.case.bundle.changes()).unwrap_err();
        assert_eq!(facts, Facts::default(), "{} left something", file.case.source);
        let actual = refused.rejections.iter();
        let actual = actual.map(|it| (it.problem.code().to_owned(), it.to_string()));
        hold(&file.case.source, &file.problems, actual, 0);
    }
    println!("in process: {} policies refused as they should be", files.len());
}

#[test]
fn refused_over_grpc() {
    let server = Server::start();
    let files = rejected();
    for (n, file) in files.iter().enumerate() {
        let source = &file.case.source;
        let refusal = match server.tenant(&format!("refused-{n}"), &file.case.bundle.changes()) {
            Err(Error::Refused(refusal)) => refusal,
            Err(other) => panic!("{source}: {other}"),
            Ok(_) => panic!("{source}: was applied"),
        };
        assert_eq!(refusal.reason, "CHANGE_SET_REJECTED", "{source}: {refusal}");
        let actual = refusal.preconditions.into_iter();
        // A status is short: what does not fit is counted at the end of its message.
        let words: Vec<&str> = refusal.message.split(' ').collect();
        let left_out = match words[..] {
            [.., "and", count, "more"] => count.parse().unwrap(),
            _ => 0,
        };
        hold(source, &file.problems, actual.map(|it| (it.kind, it.description)), left_out);
    }
    println!("gRPC: {} policies refused as they should be", files.len());
    server.stop();
}
