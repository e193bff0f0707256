//! Memory that a check is going to read, asked for ahead of it, so that what it would wait for one after
//! the other comes together; and for many questions at once, all of theirs does. Each step asks for what
//! the step before has told the place of. It decides nothing.

use crate::arena::{ActorIx, CoverIx, ResourceIx, fetch, fetch_first};
use crate::check::Asked;
use crate::snapshot::Snapshot;

/// Asks for the rows of a subject, and of an object and of what probably covers it.
#[inline]
pub(crate) fn rows(
    snapshot: &Snapshot,
    subject: Option<ActorIx>,
    object: Option<(ResourceIx, CoverIx)>,
) {
    if let Some(subject) = subject {
        // Beside it lie where the other lists of a subject do.
        snapshot.closure.fetch(subject);
    }
    if let Some((object, cover)) = object {
        snapshot.resources.fetch(object);
        snapshot.direct.fetch(object);
        // Beside it lie where the other lists of a cover do.
        snapshot.merged.fetch(cover);
        snapshot.unions.fetch(cover);
    }
}

/// How many words of a filter are asked for at most.
const MOST_WORDS: usize = 128;

/// Asks for the lists that the rows name.
#[inline]
pub(crate) fn lists(snapshot: &Snapshot, asked: &Asked) {
    let (subject, object) = (asked.subject, asked.resource.object);
    let cover = snapshot.resources[object].cover;
    fetch(&snapshot.closure_timed[subject]);
    fetch(&snapshot.closure[subject]);
    let direct = snapshot.direct.run(object);
    fetch_first(direct.keys);
    fetch_first(direct.items);
    fetch(snapshot.merged.run(cover).keys);
    fetch_first(&snapshot.covers[cover]);
    let words = snapshot.unions.of(cover, asked.resource.permission).words();
    // Of more, each look reads a line of its own.
    if words.len() <= MOST_WORDS {
        fetch(words);
    }
    fetch_first(&snapshot.positions[subject]);
    fetch_first(&snapshot.placements[cover]);
}
