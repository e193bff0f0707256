//! Many questions at once. A check waits for memory most of the time, one access after the other,
//! as each tells where the next one is; questions have nothing to do with each other, so that the
//! accesses of many can be waited for together. The decisions are those of [`check`], made by it.

use crate::ahead;
use crate::check::{Looked, Named, Resolved, check, decide};
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
    let named: [Option<Named>; STAGE] = std::array::from_fn(|at| {
        let question = stage.get(at)?;
        let named = Named::new(snapshot, question);
        named.fetch(snapshot, question);
        Some(named)
    });
    let looked: [Option<Looked>; STAGE] = std::array::from_fn(|at| {
        let looked = named.get(at).copied()??.look(snapshot, stage.get(at)?);
        looked.fetch(snapshot);
        Some(looked)
    });
    let found: [Option<Result<Resolved, Malformed>>; STAGE] =
        std::array::from_fn(|at| Some(looked.get(at).copied()??.found(snapshot, stage.get(at)?)));
    for found in found.iter().flatten() {
        if let Ok(Resolved::Asked(asked)) = found {
            ahead::lists(snapshot, asked);
        }
    }
    for (question, found) in stage.iter().zip(found.into_iter().flatten()) {
        let answer = found.map(|resolved| decide(snapshot, question, &resolved, now));
        out(question, answer);
    }
}
