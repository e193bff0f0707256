//! Memory that a check is going to read, read ahead of it: for many questions at once, so that what
//! they wait for comes together. Each step reads what the step before has told the place of. It
//! decides nothing, and what it reads is only looked at to have it read.

use std::hint::black_box;

use crate::arena::{ActorIx, Filter, Handle as _, Run, ShardIx};
use crate::check::Asked;
use crate::snapshot::{Grant, Held, Placement, Snapshot, Timed};

/// How many keys lie in a line of memory.
const KEYS_A_LINE: usize = 16;

/// How many words of a filter do.
const WORDS_A_LINE: usize = 8;

/// How many of the lists of grants by location are read ahead.
const SHARDS: usize = 4;

/// From how many keys on a list is looked at by its filter, about: few subjects count as more than
/// twice as many actors.
const FILTERED: usize = 24;

type Grants<'a> = Run<'a, ActorIx, Grant>;

/// Where the rows of a question's subject and object say that their lists are.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    always: &'a [ActorIx],
    sometimes: &'a [Timed<ActorIx>],
    positions: &'a [Timed<Held>],
    direct: Grants<'a>,
    merged: Grants<'a>,
    covers: &'a [ShardIx],
    placements: &'a [Placement],
}

/// Where the lists of grants by location are.
#[derive(Clone, Copy)]
pub(crate) struct Shards<'a>([Option<Grants<'a>>; SHARDS]);

// === impl Rows ===

impl<'a> Rows<'a> {
    /// Reads the rows.
    #[inline]
    pub(crate) fn read(snapshot: &'a Snapshot, asked: &Asked) -> Self {
        let (subject, object) = (asked.subject, asked.resource.object);
        let cover = snapshot.resources[object].cover;
        Self {
            always: &snapshot.closure[subject],
            sometimes: &snapshot.closure_timed[subject],
            positions: &snapshot.positions[subject],
            direct: snapshot.direct.run(object),
            merged: snapshot.merged.run(cover),
            covers: &snapshot.covers[cover],
            placements: &snapshot.placements[cover],
        }
    }

    /// Reads the lists that they name.
    #[inline]
    pub(crate) fn lists(self, snapshot: &'a Snapshot) -> Shards<'a> {
        let mut seen = 0;
        for keys in [self.always, self.direct.keys, self.merged.keys] {
            seen ^= lines(keys);
        }
        for timed in self.sometimes {
            seen ^= timed.item.index();
        }
        seen ^= self.positions.first().map_or(0, |held| held.item.location.index());
        seen ^= self.placements.first().map_or(0, |placement| placement.location.index());
        black_box(seen);
        let mut shards = self.covers.iter();
        Shards(std::array::from_fn(|_| Some(snapshot.shards.run(*shards.next()?))))
    }
}

// === impl Shards ===

impl Shards<'_> {
    /// Reads the lists.
    #[inline]
    pub(crate) fn lists(self) {
        let mut seen = 0;
        for Run { keys, filter, items: _ } in self.0.into_iter().flatten() {
            seen ^= if keys.len() < FILTERED { lines(keys) } else { words(filter) };
        }
        black_box(seen);
    }
}

/// Something of each line of memory that the keys take.
#[inline]
fn lines(keys: &[ActorIx]) -> usize {
    keys.iter().step_by(KEYS_A_LINE).fold(0, |seen, key| seen ^ key.index())
}

/// Something of each line of memory that a filter takes.
#[inline]
fn words(filter: Filter<'_>) -> usize {
    filter.words().iter().step_by(WORDS_A_LINE).fold(0, |seen, word| seen ^ *word as usize)
}
