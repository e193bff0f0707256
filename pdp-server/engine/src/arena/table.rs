//! One row a handle.

use std::marker::PhantomData;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

use super::{Handle, Patch, fetch_first};

/// Rows that are being put together.
#[derive(Debug)]
pub(crate) struct Rows<H, T> {
    rows: Vec<T>,
    handle: PhantomData<fn(H) -> T>,
}

impl<H: Handle, T> Rows<H, T> {
    pub(crate) fn push(&mut self, row: T) -> H {
        self.rows.push(row);
        H::from_index(self.rows.len() - 1)
    }

    pub(crate) fn with_capacity(rows: usize) -> Self {
        Self { rows: Vec::with_capacity(rows), handle: PhantomData }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.rows.iter_mut()
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (H, &T)> {
        self.rows.iter().enumerate().map(|(index, row)| (H::from_index(index), row))
    }
}

impl<H, T> Default for Rows<H, T> {
    fn default() -> Self {
        Self { rows: Vec::new(), handle: PhantomData }
    }
}

impl<H: Handle, T> FromIterator<T> for Rows<H, T> {
    fn from_iter<I: IntoIterator<Item = T>>(rows: I) -> Self {
        Self { rows: rows.into_iter().collect(), handle: PhantomData }
    }
}

#[expect(clippy::indexing_slicing, reason = "INVARIANT: see the arena's")]
impl<H: Handle, T> Index<H> for Rows<H, T> {
    type Output = T;

    fn index(&self, handle: H) -> &T {
        &self.rows[handle.index()]
    }
}

#[expect(clippy::indexing_slicing, reason = "INVARIANT: see the arena's")]
impl<H: Handle, T> IndexMut<H> for Rows<H, T> {
    fn index_mut(&mut self, handle: H) -> &mut T {
        &mut self.rows[handle.index()]
    }
}

/// Rows that are read, and the rows that differ from them. Cloning it copies two pointers.
#[derive(Debug)]
pub(crate) struct Table<H: Handle, T> {
    base: Arc<Vec<T>>,
    patch: Patch<H, T>,
    /// How many handles there are: those of the base, then those that came later.
    len: usize,
}

impl<H: Handle, T> Table<H, T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Asks for a handle's row.
    #[inline]
    pub(crate) fn fetch(&self, handle: H) {
        fetch_first(self.base.get(handle.index()..).unwrap_or_default());
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (H, &T)> {
        (0..self.len).map(|index| {
            let handle = H::from_index(index);
            (handle, &self[handle])
        })
    }

    /// Whether so much differs from the base that it should be made anew.
    pub(crate) fn is_outgrown(&self) -> bool {
        self.patch.outgrows(self.base.len())
    }

    /// Puts a row in place of the one that the handle has.
    pub(crate) fn set(&mut self, handle: H, row: T) {
        self.patch.set(handle, row);
    }

    /// Adds a row with the next handle.
    pub(crate) fn push(&mut self, row: T) -> H {
        let handle = H::from_index(self.len);
        self.len += 1;
        self.patch.set(handle, row);
        handle
    }

    /// The bytes of the rows.
    pub(crate) fn bytes(&self) -> usize {
        self.len * size_of::<T>()
    }
}

impl<H: Handle, T: Clone> Table<H, T> {
    /// Makes the base anew once much differs from it.
    pub(crate) fn settle(&mut self) {
        if self.is_outgrown() {
            self.rebase();
        }
    }

    /// Makes the base anew.
    pub(crate) fn rebase(&mut self) {
        self.base = Arc::new(self.iter().map(|(_, row)| row.clone()).collect());
        self.patch = Patch::default();
    }
}

impl<H: Handle, T> Clone for Table<H, T> {
    fn clone(&self) -> Self {
        Self { base: Arc::clone(&self.base), patch: self.patch.clone(), len: self.len }
    }
}

impl<H: Handle, T> Default for Table<H, T> {
    fn default() -> Self {
        std::iter::empty().collect()
    }
}

impl<H: Handle, T> From<Rows<H, T>> for Table<H, T> {
    fn from(Rows { rows, handle: _ }: Rows<H, T>) -> Self {
        let len = rows.len();
        Self { base: Arc::new(rows), patch: Patch::default(), len }
    }
}

impl<H: Handle, T> FromIterator<T> for Table<H, T> {
    fn from_iter<I: IntoIterator<Item = T>>(rows: I) -> Self {
        Rows::from_iter(rows).into()
    }
}

#[expect(clippy::indexing_slicing, reason = "INVARIANT: see the arena's")]
impl<H: Handle, T> Index<H> for Table<H, T> {
    type Output = T;

    #[inline]
    fn index(&self, handle: H) -> &T {
        match self.patch.get(&handle) {
            Some(row) => row,
            None => &self.base[handle.index()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::TypeIx;

    #[test]
    fn a_table_shows_what_was_set_last_and_its_copies_what_they_were_copied_with() {
        let at = TypeIx::from_index;
        let mut table: Table<TypeIx, usize> = (0..10).collect();
        let before = table.clone();
        assert_eq!(table.bytes(), 10 * size_of::<usize>());
        table.set(at(3), 30);
        assert_eq!(table.push(100), at(10));
        let rows =
            |table: &Table<TypeIx, usize>| table.iter().map(|(_, row)| *row).collect::<Vec<_>>();
        assert_eq!(rows(&table), [0, 1, 2, 30, 4, 5, 6, 7, 8, 9, 100]);
        assert_eq!(rows(&before), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        for row in 0..5_000 {
            table.push(row);
            table.settle();
        }
        assert!(table.base.len() > 4_000 && table.len() == 5_011);
        assert_eq!((table[at(3)], table[at(10)], table[at(5_010)]), (30, 100, 4_999));
    }
}
