//! One sorted set a handle: large sets of which a change set adds or removes a few.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::sync::Arc;

use super::{Handle, Lists, Patch};

/// How many items of a set may lie beside its base, at least, before the base is made anew.
const BESIDE_AT_LEAST: usize = 64;

/// The share of a base that may lie beside it, as a divisor.
const BESIDE_SHARE: usize = 256;

/// A sorted set. What was added and what was removed lie beside a base that is shared with the set of
/// the snapshot before.
#[derive(Debug, Clone)]
pub(crate) struct SortedSet<T> {
    base: Arc<[T]>,
    // Sorted; what is in `plus` is not in `base`, and what is in `minus` is.
    plus: Vec<T>,
    minus: Vec<T>,
}

/// A part of a sorted set.
#[derive(Debug)]
pub(crate) struct Slice<'a, T> {
    pub(crate) base: &'a [T],
    pub(crate) plus: &'a [T],
    pub(crate) minus: &'a [T],
}

impl<T> Clone for Slice<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Slice<'_, T> {}

// === impl SortedSet ===

impl<T: Copy + Ord> SortedSet<T> {
    pub(crate) fn insert(&mut self, item: T) {
        if let Ok(at) = self.minus.binary_search(&item) {
            self.minus.remove(at);
        } else if self.base.binary_search(&item).is_err()
            && let Err(at) = self.plus.binary_search(&item)
        {
            self.plus.insert(at, item);
        }
        self.settle();
    }

    pub(crate) fn remove(&mut self, item: T) {
        if let Ok(at) = self.plus.binary_search(&item) {
            self.plus.remove(at);
        } else if self.base.binary_search(&item).is_ok()
            && let Err(at) = self.minus.binary_search(&item)
        {
            self.minus.insert(at, item);
        }
        self.settle();
    }

    pub(crate) fn all(&self) -> Slice<'_, T> {
        Slice { base: &self.base, plus: &self.plus, minus: &self.minus }
    }

    fn settle(&mut self) {
        let beside = self.plus.len() + self.minus.len();
        if beside > BESIDE_AT_LEAST + self.base.len() / BESIDE_SHARE {
            *self = self.all().iter().collect();
        }
    }
}

impl<T> Default for SortedSet<T> {
    fn default() -> Self {
        std::iter::empty().collect()
    }
}

impl<T> FromIterator<T> for SortedSet<T> {
    /// INVARIANT: the items are sorted, and each comes once.
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self { base: items.into_iter().collect(), plus: Vec::new(), minus: Vec::new() }
    }
}

// === impl Slice ===

impl<'a, T> From<&'a [T]> for Slice<'a, T> {
    fn from(base: &'a [T]) -> Self {
        Self { base, plus: &[], minus: &[] }
    }
}

impl<'a, T: Copy + Ord> Slice<'a, T> {
    /// The items that come before none for which `before` holds, and before all for which it does not.
    pub(crate) fn past(self, before: impl Fn(&T) -> bool) -> Self {
        let past = |part: &'a [T]| part.get(part.partition_point(&before)..).unwrap_or_default();
        Self { base: past(self.base), plus: past(self.plus), minus: past(self.minus) }
    }

    /// The first items, as long as `within` holds.
    pub(crate) fn first(self, within: impl Fn(&T) -> bool) -> Self {
        let first = |part: &'a [T]| part.get(..part.partition_point(&within)).unwrap_or_default();
        Self { base: first(self.base), plus: first(self.plus), minus: first(self.minus) }
    }

    pub(crate) fn len(self) -> usize {
        self.base.len() + self.plus.len() - self.minus.len()
    }

    #[cfg(test)]
    fn contains(self, item: &T) -> bool {
        self.plus.binary_search(item).is_ok()
            || (self.base.binary_search(item).is_ok() && self.minus.binary_search(item).is_err())
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = T> + 'a {
        let mut minus = self.minus.iter().peekable();
        let kept = self.base.iter().filter(move |item| !passes(&mut minus, item));
        let (mut kept, mut plus) = (kept.peekable(), self.plus.iter().peekable());
        std::iter::from_fn(move || match (kept.peek(), plus.peek()) {
            (Some(one), Some(other)) if other < one => plus.next().copied(),
            (Some(_), _) => kept.next().copied(),
            (None, _) => plus.next().copied(),
        })
    }
}

/// Whether the item is the next of those that are removed, which come in the same order.
fn passes<'a, T: Ord + 'a>(removed: &mut Peekable<impl Iterator<Item = &'a T>>, item: &T) -> bool {
    while let Some(next) = removed.peek() {
        match (*next).cmp(item) {
            Ordering::Less => removed.next(),
            Ordering::Equal => return true,
            Ordering::Greater => return false,
        };
    }
    false
}

/// Sorted sets, all of the base end to end, and the sets that differ from them.
#[derive(Debug)]
pub(crate) struct Sets<H: Handle, T> {
    base: Lists<H, T>,
    patch: Patch<H, Arc<SortedSet<T>>>,
}

impl<H: Handle, T: Copy + Ord> Sets<H, T> {
    /// The set of a handle.
    pub(crate) fn of(&self, handle: H) -> Slice<'_, T> {
        match self.patch.get(&handle) {
            Some(set) => set.all(),
            None => Slice::from(&self.base[handle]),
        }
    }

    /// Adds an item to the set of a handle.
    pub(crate) fn insert(&mut self, handle: H, item: T) {
        self.edit(handle, |set| set.insert(item));
    }

    pub(crate) fn remove(&mut self, handle: H, item: T) {
        self.edit(handle, |set| set.remove(item));
    }

    /// Makes room for handles that come later; their sets are empty.
    pub(crate) fn grow(&mut self, handles: usize) {
        self.base.grow(handles);
    }

    /// Makes the base anew once much differs from it.
    pub(crate) fn settle(&mut self) {
        if self.patch.outgrows(self.base.handles().count()) {
            *self = self.listed().into();
        }
    }

    /// The sets as lists.
    pub(crate) fn listed(&self) -> Lists<H, T> {
        let mut lists = super::ListsBuilder::default();
        for handle in self.base.handles() {
            lists.push(self.of(handle).iter());
        }
        lists.into()
    }

    /// The bytes of the base.
    pub(crate) fn bytes(&self) -> usize {
        self.base.bytes()
    }

    /// Changes the set of a handle.
    pub(crate) fn edit(&mut self, handle: H, edit: impl FnOnce(&mut SortedSet<T>)) {
        let mut set = match self.patch.get(&handle) {
            Some(set) => SortedSet::clone(set),
            None => self.base[handle].iter().copied().collect(),
        };
        edit(&mut set);
        self.patch.set(handle, Arc::new(set));
    }
}

impl<H: Handle, T> Clone for Sets<H, T> {
    fn clone(&self) -> Self {
        Self { base: self.base.clone(), patch: self.patch.clone() }
    }
}

impl<H: Handle, T> Default for Sets<H, T> {
    fn default() -> Self {
        Self { base: Lists::default(), patch: Patch::default() }
    }
}

impl<H: Handle, T> From<Lists<H, T>> for Sets<H, T> {
    /// INVARIANT: each list is sorted and holds an item once.
    fn from(base: Lists<H, T>) -> Self {
        Self { base, patch: Patch::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::arena::TypeIx;

    #[test]
    fn a_sorted_set_is_what_a_tree_of_the_same_history_is() {
        let mut set: SortedSet<u32> = (0..1_000).map(|n| n * 3).collect();
        let mut tree: BTreeSet<u32> = set.all().iter().collect();
        let mut draw = 1_u32;
        for step in 0..20_000 {
            draw = draw.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let item = (draw >> 8) % 3_100;
            if draw >> 31 == 0 {
                set.insert(item);
                tree.insert(item);
            } else {
                set.remove(item);
                tree.remove(&item);
            }
            assert_eq!(set.all().contains(&item), tree.contains(&item));
            if step % 97 == 0 {
                assert!(set.all().iter().eq(tree.iter().copied()), "{step}");
                assert_eq!(set.all().len(), tree.len());
                let part = set.all().past(|it| *it < item).first(|it| *it < item + 500);
                assert!(part.iter().eq(tree.range(item..item + 500).copied()));
                assert_eq!(part.len(), tree.range(item..item + 500).count());
            }
        }
    }

    #[test]
    fn little_lies_beside_a_base_and_much_is_put_into_it() {
        let mut set: SortedSet<u32> = (0..25_600).map(|n| n * 2).collect();
        // A hundred go with a base of so many, besides 64.
        for n in 0..82 {
            set.insert(n * 2 + 1);
            set.remove(n * 4);
        }
        assert_eq!((set.plus.len(), set.minus.len()), (82, 82));
        set.insert(999);
        assert_eq!((set.base.len(), set.plus.len(), set.minus.len()), (25_601, 0, 0));
        let mut few = SortedSet::default();
        (0..64).for_each(|n| few.insert(n));
        assert_eq!((few.base.len(), few.plus.len()), (0, 64));
        few.insert(64);
        assert_eq!((few.base.len(), few.plus.len()), (65, 0));
    }

    #[test]
    fn each_handle_has_a_set_of_its_own() {
        let at = TypeIx::from_index;
        let mut sets = Sets::from(Lists::from_pairs(2, vec![(at(0), 3_u32), (at(1), 4)]));
        assert_eq!(sets.bytes(), 3 * 4 + 2 * 4);
        let before = sets.clone();
        sets.insert(at(0), 1);
        sets.remove(at(1), 4);
        sets.grow(2_000);
        sets.insert(at(5), 9);
        let of = |sets: &Sets<TypeIx, u32>, n| sets.of(at(n)).iter().collect::<Vec<_>>();
        let told = [vec![1, 3], vec![], vec![9]];
        assert_eq!([0, 1, 5].map(|n| of(&sets, n)), told);
        assert_eq!((of(&before, 0), of(&before, 1)), (vec![3], vec![4]));
        (6..1_030).for_each(|n| sets.insert(at(n), 7));
        let bytes = sets.bytes();
        sets.settle();
        assert!(sets.bytes() > bytes + 1_024 * 4);
        assert_eq!([0, 1, 5].map(|n| of(&sets, n)), told);
    }
}
