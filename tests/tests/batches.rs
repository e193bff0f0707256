//! Questions asked together are answered as each of them is by itself, on random worlds: all families'
//! accounts, open sessions, dual checks, unknown names and what is no question at all.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test"
)]

use std::sync::Mutex;

use pdp_engine::batch::check_batch;
use pdp_engine::check::check;
use pdp_engine::compile::compile;
use pdp_engine::query::{Decision, Effect, Malformed, Question, Reason, Revision};
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;
use pdp_tests::proof::{for_worlds, for_worlds_of_size, least_seen};
use pdp_tests::world::{Genome, OwnedQuestion};

/// How many questions a batch has: none, one, about as many as are decided in one step, and many.
const SIZES: [usize; 8] = [0, 1, 2, 15, 16, 17, 33, 1_000];

type Answer = Result<Decision, Malformed>;

fn in_batch(snapshot: &Snapshot, questions: &[Question<'_>], now: Timestamp) -> Vec<Answer> {
    let mut answers = Vec::new();
    check_batch(snapshot, questions, now, |question, answer| {
        assert_eq!(*question, questions[answers.len()], "the answers are in order");
        answers.push(answer);
    });
    answers
}

/// Asks all of a world's questions at one instant, in batches of every size; a batch that is larger
/// than the world has questions asks them again.
fn hold_to_check(
    snapshot: &Snapshot,
    questions: &[OwnedQuestion],
    now: Timestamp,
    seen: &mut Vec<Answer>,
) -> Result<(), String> {
    let alone: Vec<Answer> = questions.iter().map(|it| check(snapshot, &it.ask(), now)).collect();
    for size in SIZES {
        let turn = (0..questions.len()).cycle().skip(size).take(size);
        let (asked, expected): (Vec<Question<'_>>, Vec<Answer>) =
            turn.map(|at| (questions[at].ask(), alone[at].clone())).unzip();
        let together = in_batch(snapshot, &asked, now);
        if together != expected {
            let differs = together.iter().zip(&expected).position(|(one, other)| one != other);
            return Err(format!("a batch of {size} at {now:?} differs at {differs:?}"));
        }
    }
    seen.extend(alone);
    Ok(())
}

fn hold(genome: &Genome, total: &Mutex<Vec<Answer>>) -> Result<(), String> {
    let facts = genome.facts();
    let existing = genome.existing(&facts);
    let snapshot = compile(&facts, Revision::new(7)).with_sessions(existing.open());
    let (questions, instants): (Vec<OwnedQuestion>, Vec<Timestamp>) =
        genome.questions(&facts).into_iter().unzip();
    let mut seen = Vec::new();
    for now in instants.first().into_iter().chain(instants.last()) {
        hold_to_check(&snapshot, &questions, *now, &mut seen)?;
    }
    total.lock().unwrap().extend(seen);
    Ok(())
}

#[test]
fn a_batch_is_answered_as_its_questions_are() {
    let total = Mutex::new(Vec::new());
    for_worlds(400, 60, |genome| hold(genome, &total));
    let total = total.into_inner().unwrap();
    for reason in [
        Reason::Granted,
        Reason::ExplicitDeny,
        Reason::Disabled,
        Reason::NotGranted,
        Reason::UnknownSubject,
        Reason::SubjectDisabled,
        Reason::UnknownResource,
        Reason::UnknownPermission,
        Reason::MissingOnResource,
        Reason::MissingOnCounterpart,
        Reason::MissingOnBoth,
        Reason::SelfDelegation,
    ] {
        let given = total.iter().flatten().filter(|decision| decision.reason == reason).count();
        assert!(given as u64 > least_seen(10), "{reason:?} was answered {given} times");
    }
    let routed = total.iter().flatten().filter(|it| it.effect == Effect::RequiresApproval).count();
    let refused = total.iter().filter(|answer| answer.is_err()).count();
    assert!(
        [routed, refused].iter().all(|it| *it as u64 > least_seen(10)),
        "{routed} routed, {refused} refused"
    );
}

#[test]
fn it_is_in_large_worlds_too() {
    let total = Mutex::new(Vec::new());
    for_worlds_of_size(24, 7, 60, |genome| hold(genome, &total));
    assert!(total.into_inner().unwrap().len() as u64 > least_seen(500));
}
