//! Tables as bytes, in the order in which they are written and read.

use std::hash::Hash;
use std::io::{self, Error, ErrorKind, Read, Write};

use super::plain::Plain;
use crate::arena::{
    ActorIx, Handle, HasKey, Keyed, Lists, Patch, ResourceGroupIx, ResourceIx, Sets, Table, TypeIx,
};
use crate::id::{AccountId, ResourceGroupId};
use crate::snapshot::{EligibleFor, Kind};

/// How many bytes are put together before they are passed on.
const BLOCK: usize = 1 << 16;

/// Something that is written and read as a whole.
pub(super) trait Stored: Sized {
    fn write(&self, to: &mut Writer<'_>) -> io::Result<()>;
    fn read(from: &mut Reader<'_>) -> io::Result<Self>;
}

/// Where it is written to.
pub(super) struct Writer<'a> {
    to: &'a mut dyn Write,
    block: Vec<u8>,
}

/// Where it is read from.
pub(super) struct Reader<'a> {
    from: &'a mut dyn Read,
    /// How many bytes may still come: no more room is made than they fill.
    bytes: u64,
    block: Vec<u8>,
}

/// That the bytes are no image.
pub(super) fn damaged() -> Error {
    Error::new(ErrorKind::InvalidData, "these bytes are no image of a policy")
}

// === impl Writer ===

impl<'a> Writer<'a> {
    pub(super) fn new(to: &'a mut dyn Write) -> Self {
        Self { to, block: Vec::with_capacity(BLOCK * 2) }
    }

    pub(super) fn one(&mut self, it: &impl Plain) -> io::Result<()> {
        it.put(&mut self.block);
        self.pass(BLOCK)
    }

    pub(super) fn count(&mut self, count: usize) -> io::Result<()> {
        self.one(&(count as u64))
    }

    fn rows<'t, T: Plain + 't>(
        &mut self,
        count: usize,
        rows: impl Iterator<Item = &'t T>,
    ) -> io::Result<()> {
        self.count(count)?;
        rows.into_iter().try_for_each(|row| self.one(row))
    }

    pub(super) fn text(&mut self, text: &str) -> io::Result<()> {
        self.one(&u16::try_from(text.len()).map_err(|_| damaged())?)?;
        self.block.extend_from_slice(text.as_bytes());
        self.pass(BLOCK)
    }

    /// Writes how many there are, and each by itself.
    pub(super) fn each<I: ExactSizeIterator>(
        &mut self,
        all: I,
        mut write: impl FnMut(&mut Self, I::Item) -> io::Result<()>,
    ) -> io::Result<()> {
        self.count(all.len())?;
        for it in all {
            write(self, it)?;
        }
        Ok(())
    }

    /// Where lists begin, and their items.
    fn lists<'t, H: Handle, T: Plain + 't>(
        &mut self,
        handles: impl Iterator<Item = H> + Clone,
        list: impl Fn(H) -> &'t [T],
    ) -> io::Result<()> {
        let count = handles.clone().count();
        self.count(count + 1)?;
        let mut start = 0_u32;
        self.one(&start)?;
        for handle in handles.clone() {
            let length = u32::try_from(list(handle).len()).map_err(|_| damaged())?;
            start = start.checked_add(length).ok_or_else(damaged)?;
            self.one(&start)?;
        }
        self.rows(start as usize, handles.flat_map(list))
    }

    pub(super) fn end(mut self) -> io::Result<()> {
        self.pass(1)
    }

    fn pass(&mut self, from: usize) -> io::Result<()> {
        if self.block.len() >= from {
            self.to.write_all(&self.block)?;
            self.block.clear();
        }
        Ok(())
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    /// Reads no more than so many bytes.
    pub(super) fn new(from: &'a mut dyn Read, bytes: u64) -> Self {
        Self { from, bytes, block: Vec::new() }
    }

    fn fill(&mut self, length: usize) -> io::Result<()> {
        self.bytes = self.bytes.checked_sub(length as u64).ok_or_else(damaged)?;
        self.block.resize(length, 0);
        self.from.read_exact(&mut self.block)
    }

    pub(super) fn one<T: Plain>(&mut self) -> io::Result<T> {
        self.fill(T::BYTES)?;
        T::get(&mut self.block.as_slice()).ok_or_else(damaged)
    }

    /// How many there are of what takes so many bytes each, at least.
    pub(super) fn count(&mut self, each: usize) -> io::Result<usize> {
        let count: u64 = self.one()?;
        let bytes = count.checked_mul(each as u64).ok_or_else(damaged)?;
        if bytes > self.bytes {
            return Err(damaged());
        }
        usize::try_from(count).map_err(|_| damaged())
    }

    fn rows<T: Plain>(&mut self) -> io::Result<Vec<T>> {
        let mut left = self.count(T::BYTES)?;
        let mut rows = Vec::with_capacity(left);
        while left > 0 {
            let part = left.min(BLOCK / T::BYTES);
            self.fill(part * T::BYTES)?;
            let before = rows.len();
            rows.extend(self.block.chunks_exact(T::BYTES).map_while(|mut row| T::get(&mut row)));
            if rows.len() < before + part {
                return Err(damaged());
            }
            left -= part;
        }
        Ok(rows)
    }

    pub(super) fn text(&mut self) -> io::Result<&str> {
        let length: u16 = self.one()?;
        self.fill(usize::from(length))?;
        std::str::from_utf8(&self.block).map_err(|_| damaged())
    }

    /// Reads so many, each by itself.
    pub(super) fn each<C: FromIterator<T>, T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> io::Result<T>,
    ) -> io::Result<C> {
        let count = self.count(1)?;
        (0..count).map(|_| read(self)).collect()
    }
}

// === impl Stored ===

impl<H: Handle, T: Plain> Stored for Table<H, T> {
    fn write(&self, to: &mut Writer<'_>) -> io::Result<()> {
        to.rows(self.len(), self.iter().map(|(_, row)| row))
    }

    fn read(from: &mut Reader<'_>) -> io::Result<Self> {
        Ok(from.rows()?.into_iter().collect())
    }
}

impl<H: Handle, T: Plain> Stored for Lists<H, T> {
    fn write(&self, to: &mut Writer<'_>) -> io::Result<()> {
        to.lists(self.handles(), |handle| &self[handle])
    }

    fn read(from: &mut Reader<'_>) -> io::Result<Self> {
        let (starts, items) = (from.rows()?, from.rows()?);
        Self::end_to_end(starts, items).ok_or_else(damaged)
    }
}

impl<H: Handle, K: Handle, T: Plain + HasKey<K>> Stored for Keyed<H, K, T> {
    fn write(&self, to: &mut Writer<'_>) -> io::Result<()> {
        to.lists(self.handles(), |handle| &self[handle])
    }

    fn read(from: &mut Reader<'_>) -> io::Result<Self> {
        Lists::read(from).map(Self::from)
    }
}

impl<H: Handle, T: Plain + Copy + Ord> Stored for Sets<H, T> {
    fn write(&self, to: &mut Writer<'_>) -> io::Result<()> {
        self.listed().write(to)
    }

    fn read(from: &mut Reader<'_>) -> io::Result<Self> {
        Lists::read(from).map(Self::from)
    }
}

/// Rows that are not all as long.
macro_rules! rows_apart {
    ($(Table<$handle:ty, $row:ty>)+) => {$(
        impl Stored for Table<$handle, $row> {
            fn write(&self, to: &mut Writer<'_>) -> io::Result<()> {
                to.count(self.len())?;
                self.iter().try_for_each(|(_, row)| row.write(to))
            }

            fn read(from: &mut Reader<'_>) -> io::Result<Self> {
                from.each(<$row>::read)
            }
        }
    )+};
}

rows_apart! {
    Table<TypeIx, Kind>
    Table<ResourceGroupIx, ResourceGroupId>
}

/// Lists of what is not all as long, of which most are empty: how many there may be, and the items with their
/// handles.
macro_rules! items_apart {
    ($(Lists<$handle:ty, $item:ty>)+) => {$(
        impl Stored for Lists<$handle, $item> {
            fn write(&self, to: &mut Writer<'_>) -> io::Result<()> {
                to.count(self.handles().count())?;
                to.count(self.handles().map(|handle| self[handle].len()).sum())?;
                for handle in self.handles() {
                    for item in &self[handle] {
                        to.one(&handle)?;
                        item.write(to)?;
                    }
                }
                Ok(())
            }

            fn read(from: &mut Reader<'_>) -> io::Result<Self> {
                // INVARIANT: other tables of as many handles, of a byte or more each, stand behind this one.
                let handles = from.count(1)?;
                let pairs: Vec<($handle, $item)> =
                    from.each(|from| Ok((from.one()?, <$item>::read(from)?)))?;
                let is_none = |(handle, _): &($handle, $item)| handle.index() >= handles;
                if pairs.iter().any(is_none) {
                    return Err(damaged());
                }
                Ok(Self::from_pairs(handles, pairs))
            }
        }
    )+};
}

items_apart! {
    Lists<ActorIx, (ResourceIx, AccountId)>
    Lists<ActorIx, EligibleFor>
}

/// What lies beside no base: each key with its value.
impl<K: Plain + Eq + Hash, V: Stored> Stored for Patch<K, V> {
    fn write(&self, to: &mut Writer<'_>) -> io::Result<()> {
        to.count(self.len())?;
        self.iter().try_for_each(|(key, value)| {
            to.one(key)?;
            value.write(to)
        })
    }

    fn read(from: &mut Reader<'_>) -> io::Result<Self> {
        let mut patch = Self::default();
        for _ in 0..from.count(K::BYTES)? {
            let key = from.one()?;
            patch.set(key, V::read(from)?);
        }
        Ok(patch)
    }
}
