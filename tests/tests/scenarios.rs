//! Every scenario file in process: the engine decides as it says, and so does the oracle, which is so held against
//! the same expectations. `tests/doors.rs` asks a whole server the same.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::collections::BTreeSet;

use pdp_bundle::case::{Answer, CaseSessions, Detail, Why, run_in_process};
use pdp_bundle::question::AnyQuestion;
use pdp_engine::facts::Facts;
use pdp_engine::list::ApprovalQuestion;
use pdp_engine::query::{Question, Reason};
use pdp_engine::share::Entity;
use pdp_tests::oracle::{Existing, Oracle, Refused, asked, strongest, subject};
use pdp_tests::scenario::{DEFAULT_NOW, cases, hold, rejected, run_all};
use pdp_tests::tally::reason_precedes_entries;

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
