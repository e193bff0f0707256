//! Where lists begin that lie end to end.

use std::ops::Range;
use std::sync::Arc;

use super::fetch_first;

/// Where each list begins, and at the end where the last one ends. Half as wide as a pointer, so that
/// twice as many are in the caches. Cloning it copies a pointer.
#[derive(Debug, Clone)]
pub(super) struct Starts {
    words: Arc<Vec<u32>>,
    /// How many words lie between one of them and the next, and before the first: those of other
    /// lists that are read with these ([`side_by_side`]).
    stride: usize,
    before: usize,
}

/// Lists that lie end to end.
pub(crate) trait EndToEnd {
    #[expect(private_interfaces, reason = "for `side_by_side` alone")]
    fn starts(&mut self) -> &mut Starts;
}

/// Puts side by side where lists of the same handles begin, so that whoever reads all lists of a handle
/// waits for memory once.
///
/// INVARIANT: all have as many lists, and have just been made.
pub(crate) fn side_by_side<const N: usize>(lists: [&mut dyn EndToEnd; N]) {
    assert!(try_side_by_side(lists), "lists of different handles");
}

/// The same where they may not be as many; whether they are.
pub(crate) fn try_side_by_side<const N: usize>(mut lists: [&mut dyn EndToEnd; N]) -> bool {
    let each = lists.each_mut().map(|lists| lists.starts().clone());
    let rows = each.first().map_or(0, Starts::rows);
    if each.iter().any(|starts| starts.rows() != rows) {
        return false;
    }
    let mut words = Vec::with_capacity((rows + 1) * N);
    for row in 0..=rows {
        words.extend(each.iter().map(|starts| starts.at(row)));
    }
    let words = Arc::new(words);
    for (before, lists) in lists.into_iter().enumerate() {
        *lists.starts() = Starts { words: Arc::clone(&words), stride: N, before };
    }
    true
}

// === impl Starts ===

impl Starts {
    /// How many lists there are.
    pub(super) fn rows(&self) -> usize {
        (self.words.len() / self.stride).saturating_sub(1)
    }

    /// The bytes of these lists' words.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.words.as_slice()) / self.stride
    }

    /// Where the list of an index lies among the items; empty for one that came later, which is below
    /// `len`.
    #[expect(clippy::indexing_slicing, reason = "INVARIANT: see the arena's")]
    #[inline]
    pub(super) fn bounds(&self, index: usize, len: usize) -> Range<usize> {
        let word = index * self.stride + self.before;
        match self.words.get(word + self.stride) {
            Some(end) => self.words[word] as usize..*end as usize,
            None => {
                assert!(index < len, "a handle of another snapshot");
                0..0
            }
        }
    }

    /// Asks for where the list of an index lies.
    #[inline]
    pub(super) fn fetch(&self, index: usize) {
        // From those of all lists that begin side by side to those of the next index.
        let from = index * self.stride;
        for word in [from, from + 2 * self.stride - 1] {
            fetch_first(self.words.get(word..).unwrap_or_default());
        }
    }

    /// Where each list lies.
    pub(super) fn all(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        (0..self.rows()).map(|row| self.at(row) as usize..self.at(row + 1) as usize)
    }

    fn at(&self, row: usize) -> u32 {
        self.words.get(row * self.stride + self.before).copied().unwrap_or_default()
    }
}

impl From<Vec<u32>> for Starts {
    fn from(words: Vec<u32>) -> Self {
        Self { words: Arc::new(words), stride: 1, before: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Handle as _, Lists, LocationIx};
    use super::*;

    #[test]
    fn lists_are_the_same_side_by_side() {
        let at = LocationIx::from_index;
        let (some, other) = (vec![(at(0), 'a'), (at(2), 'b')], vec![(at(1), 1), (at(1), 2)]);
        let mut some = Lists::from_pairs(3, some);
        let mut other = Lists::from_pairs(3, other);
        let apart = (some.clone(), other.clone());
        side_by_side([&mut some, &mut other]);
        for handle in some.handles() {
            assert_eq!((&some[handle], &other[handle]), (&apart.0[handle], &apart.1[handle]));
        }
        assert_eq!((some.bytes(), other.bytes()), (4 * 4 + 2 * 4, 4 * 4 + 2 * 4));
        assert!(Arc::ptr_eq(&some.starts().words, &other.starts().words));
        assert_eq!((some.starts().rows(), some.starts().all().count()), (3, 3));
        assert!(other.starts().all().eq([0..0, 0..2, 2..2]));
        some.grow(4);
        assert_eq!(some[at(3)], []);
        other.edit(at(1), |list| list.push(3));
        other.rebase();
        assert_eq!((&other[at(1)], &some[at(2)]), (&[1, 2, 3][..], &['b'][..]));
    }

    #[test]
    #[should_panic(expected = "a handle of another snapshot")]
    fn a_handle_that_no_list_has_is_none() {
        let mut lists: [Lists<LocationIx, char>; 2] =
            [Lists::from_pairs(2, vec![]), Lists::from_pairs(2, vec![])];
        let [one, other] = &mut lists;
        side_by_side([one, other]);
        let _none = &lists[1][LocationIx::from_index(2)];
    }
}
