//! One list a handle.

use std::marker::PhantomData;
use std::ops::Index;
use std::sync::Arc;

use super::filter::{Filter, Filters};
use super::starts::{EndToEnd, Starts};
use super::{Handle, Patch};

/// Lists that are being put together, end to end.
#[derive(Debug)]
pub(crate) struct ListsBuilder<H, T> {
    starts: Vec<u32>,
    items: Vec<T>,
    handle: PhantomData<fn(H) -> T>,
}

impl<H: Handle, T> ListsBuilder<H, T> {
    pub(crate) fn with_capacity(lists: usize, items: usize) -> Self {
        let mut starts = Vec::with_capacity(lists + 1);
        starts.push(0);
        Self { starts, items: Vec::with_capacity(items), handle: PhantomData }
    }

    /// Appends the list of the next handle.
    pub(crate) fn push(&mut self, list: impl IntoIterator<Item = T>) -> H {
        self.items.extend(list);
        self.starts.push(start(self.items.len()));
        H::from_index(self.starts.len() - 2)
    }
}

impl<H: Handle, T: Copy> ListsBuilder<H, T> {
    #[expect(clippy::indexing_slicing, reason = "INVARIANT: the handles are below `handles`")]
    fn scattered<I: Iterator<Item = (H, T)>>(handles: usize, pairs: impl Fn() -> I) -> Self {
        let mut ends = vec![0_u32; handles + 1];
        let mut first = None;
        for (handle, item) in pairs() {
            ends[handle.index() + 1] += 1;
            first.get_or_insert(item);
        }
        let Some(first) = first else {
            return Self { starts: ends, items: Vec::new(), handle: PhantomData };
        };
        let mut total = 0;
        for end in &mut ends {
            total += *end;
            *end = total;
        }
        // `ends` is where each list begins, and moves to where it ends, as its items come.
        let mut next = ends.clone();
        let mut items = vec![first; total as usize];
        for (handle, item) in pairs() {
            let at = &mut next[handle.index()];
            items[*at as usize] = item;
            *at += 1;
        }
        Self { starts: ends, items, handle: PhantomData }
    }
}

impl<H, T> Default for ListsBuilder<H, T> {
    fn default() -> Self {
        Self { starts: vec![0], items: Vec::new(), handle: PhantomData }
    }
}

/// Where a list begins.
#[expect(
    clippy::cast_possible_truncation,
    reason = "INVARIANT: lists hold facts (facts::MAX_FACTS), or what the compile limits bound"
)]
pub(super) fn start(at: usize) -> u32 {
    debug_assert!(u32::try_from(at).is_ok());
    at as u32
}

/// Lists that are read, all of the base end to end, and the lists that differ from them. Cloning it copies
/// a few pointers.
#[derive(Debug)]
pub(crate) struct Lists<H: Handle, T> {
    starts: Starts,
    items: Arc<Vec<T>>,
    patch: Patch<H, Arc<[T]>>,
    /// How many handles there are. A handle that came later has an empty list until one is set.
    len: usize,
}

impl<H: Handle, T> Lists<H, T> {
    /// One list for each of the first `handles` handles, each in the order of `pairs`.
    pub(crate) fn from_pairs(handles: usize, mut pairs: Vec<(H, T)>) -> Self {
        pairs.sort_by_key(|(handle, _)| *handle);
        let mut lists = ListsBuilder::with_capacity(handles, pairs.len());
        let mut pairs = pairs.into_iter().peekable();
        for index in 0..handles {
            let handle = H::from_index(index);
            while let Some((_, item)) = pairs.next_if(|(of, _)| *of == handle) {
                lists.items.push(item);
            }
            lists.starts.push(start(lists.items.len()));
        }
        lists.into()
    }

    /// Lists that lie end to end, and where each begins and the last one ends; `None` where that does not fit.
    pub(crate) fn end_to_end(starts: Vec<u32>, items: Vec<T>) -> Option<Self> {
        let (first, last) = (starts.first()?, starts.last()?);
        let fits = *first == 0 && *last as usize == items.len() && starts.is_sorted();
        fits.then(|| ListsBuilder { starts, items, handle: PhantomData }.into())
    }

    /// How many items there are in all lists of the base.
    pub(crate) fn total(&self) -> usize {
        self.items.len()
    }

    /// Asks for where the list of a handle lies.
    #[inline]
    pub(crate) fn fetch(&self, handle: H) {
        self.starts.fetch(handle.index());
    }

    /// The handles that have a list.
    pub(crate) fn handles(&self) -> impl Iterator<Item = H> + Clone + use<H, T> {
        (0..self.len).map(H::from_index)
    }

    /// Puts a list in place of the one that the handle has.
    pub(crate) fn set(&mut self, handle: H, list: impl Into<Arc<[T]>>) {
        self.patch.set(handle, list.into());
    }

    /// Adds a list with the next handle.
    pub(crate) fn push(&mut self, list: impl Into<Arc<[T]>>) -> H {
        let handle = H::from_index(self.len);
        self.len += 1;
        self.patch.set(handle, list.into());
        handle
    }

    /// Makes room for handles that come later; their lists are empty.
    pub(crate) fn grow(&mut self, handles: usize) {
        self.len = self.len.max(handles);
    }

    /// The bytes of the base.
    pub(crate) fn bytes(&self) -> usize {
        self.starts.bytes() + size_of_val(self.items.as_slice())
    }
}

impl<H: Handle, T: Copy> Lists<H, T> {
    /// One list for each of the first `handles` handles, each in the order of `pairs`, which are gone
    /// through twice: for many pairs, without putting them in order.
    pub(crate) fn scattered<I: Iterator<Item = (H, T)>>(
        handles: usize,
        pairs: impl Fn() -> I,
    ) -> Self {
        ListsBuilder::scattered(handles, pairs).into()
    }

    /// The same, each list in the order of a key.
    pub(crate) fn sorted<K: Ord>(handles: usize, pairs: &[(H, T)], key: impl Fn(&T) -> K) -> Self {
        let mut lists = ListsBuilder::scattered(handles, || pairs.iter().copied());
        let mut rest = lists.items.as_mut_slice();
        let (_, ends) = lists.starts.split_first().unwrap_or((&0, &[]));
        let mut begin = 0;
        for end in ends {
            let (list, behind) = rest.split_at_mut((end - begin) as usize);
            list.sort_by_key(&key);
            (rest, begin) = (behind, *end);
        }
        lists.into()
    }
}

impl<H: Handle, T: Clone> Lists<H, T> {
    /// Changes a list.
    pub(crate) fn edit(&mut self, handle: H, edit: impl FnOnce(&mut Vec<T>)) {
        let mut list = self[handle].to_vec();
        edit(&mut list);
        self.set(handle, list);
    }

    /// Makes the base anew once much differs from it.
    pub(crate) fn settle(&mut self) {
        if self.patch.outgrows(self.starts.rows()) {
            self.rebase();
        }
    }

    /// Makes the base anew.
    pub(crate) fn rebase(&mut self) {
        let mut lists = ListsBuilder::default();
        for handle in self.handles() {
            lists.push(self[handle].iter().cloned());
        }
        *self = lists.into();
    }
}

impl<H: Handle, T> Clone for Lists<H, T> {
    fn clone(&self) -> Self {
        let Self { starts, items, patch, len } = self;
        Self { starts: starts.clone(), items: Arc::clone(items), patch: patch.clone(), len: *len }
    }
}

impl<H: Handle, T> Default for Lists<H, T> {
    fn default() -> Self {
        ListsBuilder::default().into()
    }
}

impl<H: Handle, T> From<ListsBuilder<H, T>> for Lists<H, T> {
    fn from(ListsBuilder { starts, items, handle: _ }: ListsBuilder<H, T>) -> Self {
        let len = starts.len() - 1;
        Self { starts: starts.into(), items: Arc::new(items), patch: Patch::default(), len }
    }
}

impl<H: Handle, T> EndToEnd for Lists<H, T> {
    #[expect(private_interfaces, reason = "see the trait's")]
    fn starts(&mut self) -> &mut Starts {
        &mut self.starts
    }
}

#[expect(clippy::indexing_slicing, reason = "INVARIANT: see the arena's")]
impl<H: Handle, T> Index<H> for Lists<H, T> {
    type Output = [T];

    #[inline]
    fn index(&self, handle: H) -> &[T] {
        match self.patch.get(&handle) {
            Some(list) => list,
            None => &self.items[self.starts.bounds(handle.index(), self.len)],
        }
    }
}

/// Lists that are searched by one part of their items, which lies apart: a search touches little else.
#[derive(Debug)]
pub(crate) struct Keyed<H: Handle, K, T> {
    starts: Starts,
    keys: Arc<Vec<K>>,
    filters: Filters,
    items: Arc<Vec<T>>,
    patch: Patch<H, Arc<KeyedList<K, T>>>,
    len: usize,
}

/// A list that differs from the base's.
#[derive(Debug)]
struct KeyedList<K, T> {
    keys: Box<[K]>,
    filter: Filters,
    items: Box<[T]>,
}

/// One of those lists: the keys, which ones there may be, and the items beside them.
#[derive(Debug)]
pub(crate) struct Run<'a, K, T> {
    pub(crate) keys: &'a [K],
    pub(crate) filter: Filter<'a>,
    pub(crate) items: &'a [T],
}

impl<K, T> Clone for Run<'_, K, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, T> Copy for Run<'_, K, T> {}

/// An item that tells its key.
pub(crate) trait HasKey<K> {
    fn key(&self) -> K;
}

impl<H: Handle, K: Handle, T: HasKey<K>> Keyed<H, K, T> {
    /// Puts a list in place of the one that the handle has.
    pub(crate) fn set(&mut self, handle: H, list: Vec<T>) {
        let keys: Box<[K]> = list.iter().map(HasKey::key).collect();
        let filter = Filters::new(std::iter::once(0..keys.len()), &keys);
        self.patch.set(handle, Arc::new(KeyedList { keys, filter, items: list.into() }));
    }

    /// Adds a list with the next handle.
    pub(crate) fn push(&mut self, list: Vec<T>) -> H {
        let handle = H::from_index(self.len);
        self.len += 1;
        self.set(handle, list);
        handle
    }
}

impl<H: Handle, K, T> Keyed<H, K, T> {
    /// Asks for where the list of a handle lies.
    #[inline]
    pub(crate) fn fetch(&self, handle: H) {
        self.starts.fetch(handle.index());
    }

    /// The handles that have a list.
    pub(crate) fn handles(&self) -> impl Iterator<Item = H> + Clone + use<H, K, T> {
        (0..self.len).map(H::from_index)
    }

    /// Makes room for handles that come later; their lists are empty.
    pub(crate) fn grow(&mut self, handles: usize) {
        self.len = self.len.max(handles);
    }

    /// The bytes of the base.
    pub(crate) fn bytes(&self) -> usize {
        let (keys, items) = (size_of_val(self.keys.as_slice()), size_of_val(self.items.as_slice()));
        [self.starts.bytes(), keys, self.filters.bytes(), items].into_iter().sum()
    }

    /// How many items there are in all lists of the base.
    pub(crate) fn total(&self) -> usize {
        self.items.len()
    }

    /// The list of a handle.
    #[inline]
    pub(crate) fn run(&self, handle: H) -> Run<'_, K, T> {
        self.changed(handle).unwrap_or_else(|| self.base(handle))
    }

    /// The list of a handle, if it differs from the base's.
    #[inline]
    pub(crate) fn changed(&self, handle: H) -> Option<Run<'_, K, T>> {
        let KeyedList { keys, filter, items } = &**self.patch.get(&handle)?;
        Some(Run { keys, filter: filter.of(0..keys.len()), items })
    }

    /// Whether any list may differ from the base's.
    #[inline]
    pub(crate) fn has_changed(&self) -> bool {
        !self.patch.is_empty()
    }

    /// The list that the base has.
    #[expect(clippy::indexing_slicing, reason = "INVARIANT: see the arena's")]
    #[inline]
    pub(crate) fn base(&self, handle: H) -> Run<'_, K, T> {
        let at = self.starts.bounds(handle.index(), self.len);
        let filter = self.filters.of(at.clone());
        Run { keys: &self.keys[at.clone()], filter, items: &self.items[at] }
    }
}

impl<H: Handle, K: Handle, T: HasKey<K> + Clone> Keyed<H, K, T> {
    /// Changes a list.
    pub(crate) fn edit(&mut self, handle: H, edit: impl FnOnce(&mut Vec<T>)) {
        let mut list = self[handle].to_vec();
        edit(&mut list);
        self.set(handle, list);
    }

    /// Makes the base anew once much differs from it; whether it has been.
    pub(crate) fn settle(&mut self) -> bool {
        let outgrown = self.patch.outgrows(self.starts.rows());
        if outgrown {
            let mut lists = ListsBuilder::default();
            for index in 0..self.len {
                lists.push(self[H::from_index(index)].iter().cloned());
            }
            *self = Lists::from(lists).into();
        }
        outgrown
    }
}

impl<H: Handle, K: Handle, T: HasKey<K>> From<Lists<H, T>> for Keyed<H, K, T> {
    /// INVARIANT: the lists have just been made.
    fn from(Lists { starts, items, patch, len }: Lists<H, T>) -> Self {
        debug_assert!(patch.is_empty());
        let keys: Arc<Vec<K>> = Arc::new(items.iter().map(HasKey::key).collect());
        let filters = Filters::new(starts.all(), &keys);
        Self { starts, keys, filters, items, patch: Patch::default(), len }
    }
}

impl<H: Handle, K, T> EndToEnd for Keyed<H, K, T> {
    #[expect(private_interfaces, reason = "see the trait's")]
    fn starts(&mut self) -> &mut Starts {
        &mut self.starts
    }
}

impl<H: Handle, K, T> Clone for Keyed<H, K, T> {
    fn clone(&self) -> Self {
        let Self { starts, keys, filters, items, patch, len } = self;
        Self {
            starts: starts.clone(),
            keys: Arc::clone(keys),
            filters: filters.clone(),
            items: Arc::clone(items),
            patch: patch.clone(),
            len: *len,
        }
    }
}

impl<H: Handle, K, T> Index<H> for Keyed<H, K, T> {
    type Output = [T];

    fn index(&self, handle: H) -> &[T] {
        self.run(handle).items
    }
}

#[cfg(test)]
mod tests;
