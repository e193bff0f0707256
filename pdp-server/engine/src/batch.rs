//! Many questions at once. A check waits for memory most of the time, one access after the other,
//! as each tells where the next one is; questions have nothing to do with each other, so that the
//! accesses of many can be waited for together. The decisions are those of [`check`], made by it.

use crate::ahead::{Rows, Shards};
use crate::check::{Asked, Looked, Named, Resolved, check, decide};
use crate::query::{Decision, Malformed, Question};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

/// How many questions go through a step together: as many accesses as a core has under way at once,
/// and few enough for what they read to stay in its first cache.
const STAGE: usize = 16;

/// Decides questions at the instant `now`. `out` is given each question with its answer, in their
/// order; the answer is what [`check`] answers. Nothing is allocated.
pub fn check_batch(
    snapshot: &Snapshot,
    questions: &[Question<'_>],
    now: Timestamp,
    mut out: impl FnMut(&Question<'_>, Result<Decision, Malformed>),
) {
    for stage in questions.chunks(STAGE) {
        match stage {
            // Alone, a question has nothing to wait with.
            [question] => out(question, check(snapshot, question, now)),
            _ => decide_stage(snapshot, stage, now, &mut out),
        }
    }
}

fn decide_stage(
    snapshot: &Snapshot,
    stage: &[Question<'_>],
    now: Timestamp,
    out: &mut impl FnMut(&Question<'_>, Result<Decision, Malformed>),
) {
    let named: [Option<Named>; STAGE] =
        std::array::from_fn(|at| Some(Named::new(snapshot, stage.get(at)?)));
    let looked: [Option<Looked>; STAGE] =
        std::array::from_fn(|at| Some(named.get(at).copied()??.look(snapshot, stage.get(at)?)));
    let found: [Option<Result<Resolved, Malformed>>; STAGE] =
        std::array::from_fn(|at| Some(looked.get(at).copied()??.found(snapshot, stage.get(at)?)));
    let rows: [Option<Rows<'_>>; STAGE] =
        std::array::from_fn(|at| Some(Rows::read(snapshot, asked(found.get(at)?)?)));
    let shards: [Option<Shards<'_>>; STAGE] = rows.map(|rows| Some(rows?.lists(snapshot)));
    shards.into_iter().flatten().for_each(Shards::lists);
    for (question, found) in stage.iter().zip(found.into_iter().flatten()) {
        let answer = found.map(|resolved| decide(snapshot, question, &resolved, now));
        out(question, answer);
    }
}

/// The question, if there is one and it has to be looked into.
fn asked(found: &Option<Result<Resolved, Malformed>>) -> Option<&Asked> {
    match found {
        Some(Ok(Resolved::Asked(asked))) => Some(asked),
        Some(Ok(Resolved::Settled(_)) | Err(_)) | None => None,
    }
}
