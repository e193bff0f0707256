//! Handles that may belong into a list, in its order and each once, without putting them all
//! together first.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use crate::arena::{ActorIx, Handle, ResourceGroupIx, ResourceIx, Slice};
use crate::snapshot::Snapshot;

/// A handle of what lists are made of.
pub(super) trait Listed: Handle {
    /// From which handle on names came one by one: below, handles are in the order of the list.
    fn fresh(snapshot: &Snapshot) -> Self;

    /// The order of the list.
    fn order(snapshot: &Snapshot, one: Self, other: Self) -> Ordering;
}

impl Listed for ActorIx {
    fn fresh(snapshot: &Snapshot) -> Self {
        snapshot.cold.fresh.actor
    }

    fn order(snapshot: &Snapshot, one: Self, other: Self) -> Ordering {
        snapshot.actor_order(one, other)
    }
}

impl Listed for ResourceIx {
    fn fresh(snapshot: &Snapshot) -> Self {
        snapshot.cold.fresh.resource
    }

    fn order(snapshot: &Snapshot, one: Self, other: Self) -> Ordering {
        snapshot.resource_order(one, other)
    }
}

impl Listed for ResourceGroupIx {
    fn fresh(snapshot: &Snapshot) -> Self {
        snapshot.cold.fresh.group
    }

    fn order(snapshot: &Snapshot, one: Self, other: Self) -> Ordering {
        snapshot.group_order(one, other)
    }
}

/// Sorted runs of handles that are gone through as one.
pub(super) struct Candidates<'a, H> {
    snapshot: &'a Snapshot,
    runs: Vec<Run<'a, H>>,
    /// What comes in runs of its own, in any order.
    singles: Vec<H>,
}

/// A sorted run of handles in the order of the list.
struct Run<'a, H> {
    handles: &'a [H],
    /// What is in the run and does not count, in the same order.
    removed: &'a [H],
}

/// Goes through runs as one: on the heap lies the next handle of each run.
pub(super) struct Merged<'a, H> {
    snapshot: &'a Snapshot,
    runs: Vec<Run<'a, H>>,
    singles: std::vec::IntoIter<H>,
    next: BinaryHeap<Reverse<(H, usize)>>,
    /// What came after the policy was compiled as a whole, in the order of the list.
    fresh: std::iter::Peekable<std::vec::IntoIter<H>>,
    last: Option<H>,
}

// === impl Candidates ===

impl<'a, H: Listed> Candidates<'a, H> {
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, runs: Vec::new(), singles: Vec::new() }
    }

    /// Adds a sorted run.
    pub(super) fn run(&mut self, run: impl Into<Slice<'a, H>>) {
        let Slice { base, plus, minus } = run.into();
        let fresh = H::fresh(self.snapshot);
        let split = |part: &'a [H]| part.split_at(part.partition_point(|handle| *handle < fresh));
        let ((base, late), (plus, later)) = (split(base), split(plus));
        self.singles.extend(late.iter().filter(|handle| minus.binary_search(handle).is_err()));
        self.singles.extend(later);
        for (handles, removed) in [(base, minus), (plus, &[][..])] {
            match handles {
                [] => {}
                [single] if removed.is_empty() => self.singles.push(*single),
                handles => self.runs.push(Run { handles, removed }),
            }
        }
    }

    /// Adds what is in no order.
    pub(super) fn singles(&mut self, singles: impl IntoIterator<Item = H>) {
        self.singles.extend(singles);
    }

    /// Adds all of another.
    pub(super) fn append(&mut self, other: Self) {
        self.runs.extend(other.runs);
        self.singles.extend(other.singles);
    }

    /// How many there are at most.
    pub(super) fn upper_bound(&self) -> usize {
        self.singles.len() + self.runs.iter().map(|run| run.handles.len()).sum::<usize>()
    }

    /// Those that are not passed; what is passed comes before what is not.
    pub(super) fn past(self, passed: impl Fn(H) -> bool) -> Merged<'a, H> {
        let Self { snapshot, mut runs, mut singles } = self;
        for Run { handles, removed } in &mut runs {
            let at = handles.partition_point(|handle| passed(*handle));
            *handles = handles.get(at..).unwrap_or_default();
            let first = handles.first().copied();
            let at = removed.partition_point(|handle| first.is_some_and(|first| *handle < first));
            *removed = removed.get(at..).unwrap_or_default();
        }
        singles.retain(|handle| !passed(*handle));
        singles.sort_unstable();
        let fresh = H::fresh(snapshot);
        let mut late = singles.split_off(singles.partition_point(|handle| *handle < fresh));
        late.dedup();
        late.sort_unstable_by(|one, other| H::order(snapshot, *one, *other));
        let mut merged = Merged {
            snapshot,
            runs,
            singles: singles.into_iter(),
            next: BinaryHeap::new(),
            fresh: late.into_iter().peekable(),
            last: None,
        };
        // The singles stand behind the runs.
        let firsts: Vec<_> = (0..=merged.runs.len())
            .filter_map(|run| Some(Reverse((merged.pull(run)?, run))))
            .collect();
        merged.next = BinaryHeap::from(firsts);
        merged
    }
}

// === impl Run ===

impl<H: Handle> Iterator for Run<'_, H> {
    type Item = H;

    fn next(&mut self) -> Option<H> {
        loop {
            let (first, rest) = self.handles.split_first()?;
            self.handles = rest;
            match self.removed.split_first() {
                Some((removed, others)) if removed == first => self.removed = others,
                Some(_) | None => return Some(*first),
            }
        }
    }
}

// === impl Merged ===

impl<H: Listed> Merged<'_, H> {
    /// Takes the next handle from a run.
    fn pull(&mut self, run: usize) -> Option<H> {
        match self.runs.get_mut(run) {
            Some(run) => run.next(),
            None => self.singles.next(),
        }
    }

    /// The next handle of those that the policy was compiled with.
    fn old(&mut self) -> Option<H> {
        loop {
            let Reverse((handle, run)) = *self.next.peek()?;
            if self.last != Some(handle) {
                return Some(handle);
            }
            let following = self.pull(run);
            let mut top = self.next.peek_mut()?;
            match following {
                Some(following) => *top = Reverse((following, run)),
                None => {
                    PeekMut::pop(top);
                }
            }
        }
    }
}

impl<H: Listed> Iterator for Merged<'_, H> {
    type Item = H;

    fn next(&mut self) -> Option<H> {
        let old = self.old();
        let fresh = self.fresh.peek().copied();
        let old = match (old, fresh) {
            (Some(old), Some(fresh)) => {
                Some(old).filter(|old| H::order(self.snapshot, *old, fresh).is_lt())
            }
            (old, _) => old,
        };
        match old {
            Some(_) => self.last = old,
            None => return self.fresh.next(),
        }
        old
    }
}
