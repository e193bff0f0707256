//! Every scenario file through every door of a whole server: gRPC, AuthZEN and Envoy's external authorization.
//! `tests/scenarios.rs` asks in process.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::collections::BTreeMap;

use pdp_bundle::case::{CaseFile, Expectation};
use pdp_client::Error;
use pdp_server::config::Settings;
use pdp_tests::door::Server;
use pdp_tests::door::authzen::{AuthZen, written};
use pdp_tests::door::envoy::{Asked, Envoy, mapping};
use pdp_tests::door::sessions::{Unservable, unservable};
use pdp_tests::http::Protocol;
use pdp_tests::scenario::{DEFAULT_NOW, cases, hold, rejected, run_all};

/// How many checks are asked in process and of the oracle only, and why.
const IN_PROCESS_ONLY: [(Unservable, usize); 3] =
    [(Unservable::NotBegun, 7), (Unservable::Listed, 1), (Unservable::UntilSwept, 1)];

/// How many checks AuthZEN has no words for: delegations, and those without routing of what would be
/// routed.
const NOT_IN_AUTHZEN: usize = 264;

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
