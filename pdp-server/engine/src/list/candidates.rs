//! Handles that may belong into a list, in its order and each once, without putting them all
//! together first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use crate::arena::Handle;

/// Sorted runs of handles that are gone through as one.
pub(super) struct Candidates<'a, H> {
    /// INVARIANT: each is sorted.
    runs: Vec<&'a [H]>,
    /// What comes in runs of its own, in any order.
    singles: Vec<H>,
}

/// Goes through runs as one: on the heap lies the next handle of each run.
pub(super) struct Merged<'a, H> {
    runs: Vec<&'a [H]>,
    singles: std::vec::IntoIter<H>,
    next: BinaryHeap<Reverse<(H, usize)>>,
    last: Option<H>,
}

// === impl Candidates ===

impl<H> Default for Candidates<'_, H> {
    fn default() -> Self {
        Self { runs: Vec::new(), singles: Vec::new() }
    }
}

impl<'a, H: Handle> Candidates<'a, H> {
    /// Adds a sorted run.
    pub(super) fn run(&mut self, run: &'a [H]) {
        match run {
            [] => {}
            [single] => self.singles.push(*single),
            several => self.runs.push(several),
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
        self.singles.len() + self.runs.iter().map(|run| run.len()).sum::<usize>()
    }

    /// Those that are not passed; what is passed comes before what is not.
    pub(super) fn past(self, passed: impl Fn(H) -> bool) -> Merged<'a, H> {
        let Self { mut runs, mut singles } = self;
        for run in &mut runs {
            let at = run.partition_point(|handle| passed(*handle));
            *run = run.get(at..).unwrap_or_default();
        }
        singles.retain(|handle| !passed(*handle));
        singles.sort_unstable();
        let mut merged =
            Merged { runs, singles: singles.into_iter(), next: BinaryHeap::new(), last: None };
        // The singles stand behind the runs.
        let firsts: Vec<_> = (0..=merged.runs.len())
            .filter_map(|run| Some(Reverse((merged.pull(run)?, run))))
            .collect();
        merged.next = BinaryHeap::from(firsts);
        merged
    }
}

// === impl Merged ===

impl<H: Handle> Merged<'_, H> {
    /// Takes the next handle from a run.
    fn pull(&mut self, run: usize) -> Option<H> {
        let Some(run) = self.runs.get_mut(run) else { return self.singles.next() };
        let (first, rest) = run.split_first()?;
        *run = rest;
        Some(*first)
    }
}

impl<H: Handle> Iterator for Merged<'_, H> {
    type Item = H;

    fn next(&mut self) -> Option<H> {
        loop {
            let Reverse((handle, run)) = *self.next.peek()?;
            let following = self.pull(run);
            let mut top = self.next.peek_mut()?;
            match following {
                Some(following) => *top = Reverse((following, run)),
                None => {
                    PeekMut::pop(top);
                }
            }
            if self.last.replace(handle) != Some(handle) {
                return Some(handle);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::ActorIx;

    #[test]
    fn runs_and_singles_are_one_sorted_list_without_doubles() {
        let at = ActorIx::from_index;
        let runs: [Vec<ActorIx>; 4] = [vec![1, 4, 7], vec![], vec![2], vec![4, 5, 7, 9]]
            .map(|run| run.into_iter().map(at).collect());
        let all = |past: usize| {
            let mut candidates = Candidates::default();
            runs.iter().for_each(|run| candidates.run(run));
            candidates.singles([8, 0, 8, 5].map(at));
            assert_eq!(candidates.upper_bound(), 12);
            candidates.past(|handle| handle < at(past)).map(Handle::index).collect::<Vec<_>>()
        };
        assert_eq!(all(0), [0, 1, 2, 4, 5, 7, 8, 9]);
        assert_eq!(all(5), [5, 7, 8, 9]);
        assert_eq!(all(10), Vec::<usize>::new());
    }
}
