//! Handles and the tables they index.
//!
//! INVARIANT: a handle is only ever used with the snapshot whose compilation made it, so it is
//! always in range. An index that is not is a bug, and stops that one request rather than reading
//! an empty list: an empty list could hide a deny.

use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

/// A 32-bit index of one kind of thing.
pub(crate) trait Handle: Copy + Eq + Ord {
    fn from_index(index: usize) -> Self;
    fn index(self) -> usize;
}

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) struct $name(u32);

        impl Handle for $name {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "INVARIANT: a policy holds fewer than 2^31 facts (facts::MAX_FACTS)"
            )]
            fn from_index(index: usize) -> Self {
                debug_assert!(u32::try_from(index).is_ok());
                Self(index as u32)
            }

            fn index(self) -> usize {
                self.0 as usize
            }
        }
    )+};
}

handles! {
    /// An actor: person, account, group, set group, management role, definition or pair.
    ActorIx;
    /// A resource, of a built-in or a declared type.
    ResourceIx;
    /// A location.
    LocationIx;
    /// A business role.
    RoleIx;
    /// A resource type.
    TypeIx;
    /// An operation or right within its type: operations first.
    PermissionIx;
    /// An Access Level Definition.
    LevelIx;
    /// An assignment.
    AssignmentIx;
    /// A distinct window; 0 is always open.
    WindowIx;
    /// The assignments of one type made at one location.
    ShardIx;
    /// A distinct set of placements of resources of one type.
    CoverIx;
    /// A resource group.
    ResourceGroupIx;
    /// A group that some computer's permission level maps to.
    NativeIx;
}

/// One row a handle.
#[derive(Debug)]
pub(crate) struct Table<H, T> {
    rows: Vec<T>,
    handle: PhantomData<fn(H) -> T>,
}

impl<H: Handle, T> Table<H, T> {
    pub(crate) fn push(&mut self, row: T) -> H {
        self.rows.push(row);
        H::from_index(self.rows.len() - 1)
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.rows.iter_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (H, &T)> {
        self.rows.iter().enumerate().map(|(index, row)| (H::from_index(index), row))
    }
}

impl<H, T> Default for Table<H, T> {
    fn default() -> Self {
        Self { rows: Vec::new(), handle: PhantomData }
    }
}

impl<H: Handle, T> FromIterator<T> for Table<H, T> {
    fn from_iter<I: IntoIterator<Item = T>>(rows: I) -> Self {
        Self { rows: rows.into_iter().collect(), handle: PhantomData }
    }
}

#[expect(clippy::indexing_slicing, reason = "INVARIANT: see the module's")]
impl<H: Handle, T> Index<H> for Table<H, T> {
    type Output = T;

    fn index(&self, handle: H) -> &T {
        &self.rows[handle.index()]
    }
}

#[expect(clippy::indexing_slicing, reason = "INVARIANT: see the module's")]
impl<H: Handle, T> IndexMut<H> for Table<H, T> {
    fn index_mut(&mut self, handle: H) -> &mut T {
        &mut self.rows[handle.index()]
    }
}

/// One list a handle, all lists end to end.
#[derive(Debug)]
pub(crate) struct Lists<H, T> {
    /// Where each list begins, and at the end where the last one ends. Half as wide as a pointer, so
    /// that twice as many are in the caches.
    starts: Vec<u32>,
    items: Vec<T>,
    handle: PhantomData<fn(H) -> T>,
}

impl<H: Handle, T> Lists<H, T> {
    /// Appends the list of the next handle.
    pub(crate) fn push(&mut self, list: impl IntoIterator<Item = T>) -> H {
        self.items.extend(list);
        self.starts.push(start(self.items.len()));
        H::from_index(self.starts.len() - 2)
    }

    /// One list for each of the first `handles` handles, each in the order of `pairs`.
    pub(crate) fn from_pairs(handles: usize, mut pairs: Vec<(H, T)>) -> Self {
        pairs.sort_by_key(|(handle, _)| *handle);
        let mut pairs = pairs.into_iter().peekable();
        let mut lists = Self::default();
        for index in 0..handles {
            let handle = H::from_index(index);
            while let Some((_, item)) = pairs.next_if(|(of, _)| *of == handle) {
                lists.items.push(item);
            }
            lists.starts.push(start(lists.items.len()));
        }
        lists
    }

    /// How many items there are in all lists.
    pub(crate) fn total(&self) -> usize {
        self.items.len()
    }

    /// The handles that have a list.
    pub(crate) fn handles(&self) -> impl Iterator<Item = H> + use<H, T> {
        (0..self.starts.len().saturating_sub(1)).map(H::from_index)
    }
}

/// Where a list begins.
#[expect(
    clippy::cast_possible_truncation,
    reason = "INVARIANT: lists hold facts (facts::MAX_FACTS), or what the compile limits bound"
)]
fn start(at: usize) -> u32 {
    debug_assert!(u32::try_from(at).is_ok());
    at as u32
}

impl<H, T> Default for Lists<H, T> {
    fn default() -> Self {
        Self { starts: vec![0], items: Vec::new(), handle: PhantomData }
    }
}

#[expect(clippy::indexing_slicing, reason = "INVARIANT: see the module's")]
impl<H: Handle, T> Index<H> for Lists<H, T> {
    type Output = [T];

    fn index(&self, handle: H) -> &[T] {
        let (from, to) = (self.starts[handle.index()], self.starts[handle.index() + 1]);
        &self.items[from as usize..to as usize]
    }
}

/// Lists that are searched by one part of their items, which lies apart: a search touches little else.
#[derive(Debug)]
pub(crate) struct Keyed<H, K, T> {
    keys: Lists<H, K>,
    items: Vec<T>,
}

/// One of those lists: the keys, and the items beside them.
#[derive(Debug)]
pub(crate) struct Run<'a, K, T> {
    pub(crate) keys: &'a [K],
    pub(crate) items: &'a [T],
}

impl<K, T> Clone for Run<'_, K, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, T> Copy for Run<'_, K, T> {}

impl<H: Handle, K: Copy, T> Keyed<H, K, T> {
    /// Lists with the keys that `key` tells.
    pub(crate) fn new(lists: Lists<H, T>, key: impl Fn(&T) -> K) -> Self {
        let Lists { starts, items, handle: _ } = lists;
        let keys = items.iter().map(key).collect();
        let keys = Lists { starts, items: keys, handle: PhantomData };
        Self { keys, items }
    }

    /// The list of a handle.
    #[expect(clippy::indexing_slicing, reason = "INVARIANT: see the module's")]
    pub(crate) fn run(&self, handle: H) -> Run<'_, K, T> {
        let starts = &self.keys.starts;
        let (from, to) = (starts[handle.index()] as usize, starts[handle.index() + 1] as usize);
        Run { keys: &self.keys.items[from..to], items: &self.items[from..to] }
    }
}

#[expect(clippy::indexing_slicing, reason = "INVARIANT: see the module's")]
impl<H: Handle, K: Copy, T> Index<H> for Keyed<H, K, T> {
    type Output = [T];

    fn index(&self, handle: H) -> &[T] {
        let starts = &self.keys.starts;
        &self.items[starts[handle.index()] as usize..starts[handle.index() + 1] as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_keep_their_order_and_may_be_empty() {
        let at = TypeIx::from_index;
        let lists = Lists::from_pairs(3, vec![(at(2), 'a'), (at(0), 'b'), (at(2), 'c')]);
        assert_eq!(
            (&lists[at(0)], &lists[at(1)], &lists[at(2)]),
            (&['b'][..], &[][..], &['a', 'c'][..])
        );
    }
}
