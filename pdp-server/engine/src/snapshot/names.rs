//! Names to handles, for tables of a million names: one look at memory a look-up.
//!
//! A name is kept as a keyed 128-bit fingerprint and compared by all of it. The key is random and this
//! process's own, so that nobody who chooses names can make two of them meet, and two of a billion
//! names meet by chance less than once in 10^20 policies.

use std::hash::BuildHasher as _;
use std::hash::{Hasher as _, RandomState};
use std::sync::{Arc, LazyLock};

use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::arena::{Handle as _, Patch, TypeIx, fetch_first};

/// The process's key.
static KEY: LazyLock<(u64, u64)> = LazyLock::new(|| {
    let random = RandomState::new();
    (random.hash_one(0_u8), random.hash_one(1_u8))
});

/// A table of names, and the names that came or went since it was made. Cloning it copies two pointers.
#[derive(Debug)]
pub(crate) struct NameTable<H> {
    /// A power of two of places, at least a quarter of them free.
    places: Arc<Vec<Place<H>>>,
    patch: Patch<u128, Option<H>>,
}

/// A table of names that is being put together.
#[derive(Debug)]
pub(crate) struct NameTableBuilder<H> {
    places: Vec<Place<H>>,
    names: usize,
}

/// What a name is looked for by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fingerprint(u128);

/// A look-up that has begun: the first place that it looks at is read. Many of them can be under way
/// at once, and what they wait for then comes together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LookUp<H> {
    wanted: Fingerprint,
    /// `None` where the table has no places.
    first: Option<Place<H>>,
}

/// Two places are one cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
struct Place<H> {
    fingerprint: u128,
    /// `None` where the place is free.
    handle: Option<H>,
    /// What is read next of what has the name: to be asked for ahead, and for nothing else, as it may have
    /// become another one since.
    next: u32,
}

// === impl NameTable ===

impl<H> Default for NameTable<H> {
    fn default() -> Self {
        NameTableBuilder::default().into()
    }
}

impl<H> Clone for NameTable<H> {
    fn clone(&self) -> Self {
        Self { places: Arc::clone(&self.places), patch: self.patch.clone() }
    }
}

impl<H: Copy> NameTable<H> {
    /// The handle of a name.
    #[inline]
    pub(crate) fn get(&self, name: &str) -> Option<&H> {
        self.find(fingerprint(UNQUALIFIED, name))
    }

    /// The handle of a name of a type, in a table that holds those of several.
    #[inline]
    pub(crate) fn get_of(&self, kind: TypeIx, name: &str) -> Option<&H> {
        self.find(fingerprint(qualified(kind), name))
    }

    /// Whether the name has a handle.
    pub(crate) fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Gives a name a handle, or takes its handle away.
    pub(crate) fn set(&mut self, name: &str, handle: Option<H>) {
        self.patch.set(fingerprint(UNQUALIFIED, name), handle);
    }

    /// The same for a name of a type.
    pub(crate) fn set_of(&mut self, kind: TypeIx, name: &str, handle: Option<H>) {
        self.patch.set(fingerprint(qualified(kind), name), handle);
    }

    /// Notes what is read next of each name.
    pub(crate) fn foretell(&mut self, next: impl Fn(H) -> u32) {
        for place in Arc::make_mut(&mut self.places) {
            place.next = place.handle.map_or(0, &next);
        }
    }

    /// Makes the table anew once much differs from it; whether it has been.
    pub(crate) fn settle(&mut self) -> bool {
        let outgrown = self.patch.outgrows(self.places.len());
        if outgrown {
            let mut table = NameTableBuilder::with_capacity(self.places.len() / 2);
            self.entries().for_each(|(print, handle)| table.add(print, handle));
            *self = table.into();
        }
        outgrown
    }

    /// The handles of all names, in no order.
    pub(crate) fn handles(&self) -> impl Iterator<Item = H> {
        self.entries().map(|(_, handle)| handle)
    }

    fn entries(&self) -> impl Iterator<Item = (u128, H)> {
        let kept = self.places.iter().filter(|place| self.patch.get(&place.fingerprint).is_none());
        let kept = kept.filter_map(|place| Some((place.fingerprint, place.handle?)));
        kept.chain(self.patch.iter().filter_map(|(print, handle)| Some((*print, (*handle)?))))
    }

    /// The bytes of the table.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(self.places.as_slice())
    }

    #[inline]
    fn find(&self, wanted: u128) -> Option<&H> {
        if let Some(handle) = self.patch.get(&wanted) {
            return handle.as_ref();
        }
        let mask = self.places.len().checked_sub(1)?;
        let mut at = start(wanted, mask);
        loop {
            let place = self.places.get(at)?;
            match &place.handle {
                None => return None,
                found if place.fingerprint == wanted => return found.as_ref(),
                Some(_) => at = (at + 1) & mask,
            }
        }
    }
}

// === impl NameTable: look-ups in two steps ===

impl<H: Copy> NameTable<H> {
    /// Asks for the first place that a name is looked for at.
    #[inline]
    pub(crate) fn fetch(&self, wanted: Fingerprint) {
        let mask = self.places.len().wrapping_sub(1);
        fetch_first(self.places.get(start(wanted.0, mask)..).unwrap_or_default());
    }

    /// Begins to look for a name.
    #[inline]
    pub(crate) fn begin(&self, wanted: Fingerprint) -> LookUp<H> {
        let mask = self.places.len().wrapping_sub(1);
        LookUp { wanted, first: self.places.get(start(wanted.0, mask)).copied() }
    }

    /// The handle of the name that has been looked for in this table.
    #[inline]
    pub(crate) fn end(
        &self,
        LookUp { wanted: Fingerprint(wanted), first }: LookUp<H>,
    ) -> Option<H> {
        match first {
            Some(place) if self.patch.is_empty() && place.fingerprint == wanted => place.handle,
            _ => self.find(wanted).copied(),
        }
    }
}

// === impl LookUp ===

impl<H> LookUp<H> {
    /// The handle that the first place has, which is mostly the one that is looked for.
    #[inline]
    pub(crate) fn first(self) -> Option<H> {
        self.first.and_then(|place| place.handle)
    }

    /// What is read next of it.
    #[inline]
    pub(crate) fn next(&self) -> u32 {
        self.first.as_ref().map_or(0, |place| place.next)
    }
}

// === impl Fingerprint ===

impl Fingerprint {
    /// Of a name in a table that holds one kind of things.
    #[inline]
    pub(crate) fn of(name: &str) -> Self {
        Self(fingerprint(UNQUALIFIED, name))
    }

    /// Of a name of a type in a table that holds those of several.
    #[inline]
    pub(crate) fn of_type(kind: TypeIx, name: &str) -> Self {
        Self(fingerprint(qualified(kind), name))
    }
}

// === impl NameTableBuilder ===

impl<H> Default for NameTableBuilder<H> {
    fn default() -> Self {
        Self { places: Vec::new(), names: 0 }
    }
}

impl<H: Copy> NameTableBuilder<H> {
    /// A table with room for so many names.
    pub(crate) fn with_capacity(names: usize) -> Self {
        let places = (names * 4 / 3 + 1).next_power_of_two().max(4);
        Self { places: vec![Place { fingerprint: 0, handle: None, next: 0 }; places], names: 0 }
    }

    /// Adds a name that is not in the table.
    pub(crate) fn insert(&mut self, name: &str, handle: H) {
        self.add(fingerprint(UNQUALIFIED, name), handle);
    }

    /// Adds a name of a type that is not in the table.
    pub(crate) fn insert_of(&mut self, kind: TypeIx, name: &str, handle: H) {
        self.add(fingerprint(qualified(kind), name), handle);
    }

    fn add(&mut self, fingerprint: u128, handle: H) {
        if (self.names + 1) * 4 > self.places.len() * 3 {
            let grown = (self.places.len() * 2).max(4);
            let free = Place { fingerprint: 0, handle: None, next: 0 };
            let before = std::mem::replace(&mut self.places, vec![free; grown]);
            for Place { fingerprint, handle, next: _ } in before {
                if let Some(handle) = handle {
                    self.put(fingerprint, handle);
                }
            }
        }
        self.put(fingerprint, handle);
        self.names += 1;
    }

    fn put(&mut self, fingerprint: u128, handle: H) {
        let mask = self.places.len().wrapping_sub(1);
        let mut at = start(fingerprint, mask);
        while let Some(place) = self.places.get_mut(at) {
            if place.handle.is_none() {
                *place = Place { fingerprint, handle: Some(handle), next: 0 };
                return;
            }
            at = (at + 1) & mask;
        }
    }
}

impl<H> From<NameTableBuilder<H>> for NameTable<H> {
    fn from(NameTableBuilder { places, names: _ }: NameTableBuilder<H>) -> Self {
        Self { places: Arc::new(places), patch: Patch::default() }
    }
}

/// What stands before a name whose table holds one kind of things.
const UNQUALIFIED: u32 = 0;

/// What stands before a name of a type in a table that holds those of several.
#[expect(clippy::cast_possible_truncation, reason = "INVARIANT: handles are 32 bits wide")]
fn qualified(kind: TypeIx) -> u32 {
    kind.index() as u32 + 1
}

fn fingerprint(qualifier: u32, name: &str) -> u128 {
    let (first, second) = *KEY;
    let mut hasher = SipHasher13::new_with_keys(first, second ^ u64::from(qualifier));
    hasher.write(name.as_bytes());
    hasher.finish128().as_u128()
}

/// Where the search for a fingerprint begins.
fn start(fingerprint: u128, mask: usize) -> usize {
    fingerprint as usize & mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::ActorIx;

    #[test]
    fn every_name_is_found_and_no_other() {
        let name = |number: usize| format!("name-{number}");
        for count in [0, 1, 3, 4, 100, 5_000] {
            let mut table = NameTableBuilder::default();
            (0..count).for_each(|number| table.insert(&name(number), ActorIx::from_index(number)));
            let table = NameTable::from(table);
            for number in 0..count {
                assert_eq!(table.get(&name(number)), Some(&ActorIx::from_index(number)));
            }
            assert!(!table.contains_key(&name(count)) && !table.contains_key(""));
        }
    }

    #[test]
    fn names_come_and_go_and_differ_by_their_types() {
        let (at, kind) = (ActorIx::from_index, TypeIx::from_index);
        let mut table = NameTableBuilder::with_capacity(2);
        table.insert_of(kind(0), "ana", at(0));
        table.insert_of(kind(1), "ana", at(1));
        let mut table = NameTable::from(table);
        let before = table.clone();
        table.set_of(kind(0), "ana", None);
        table.set_of(kind(2), "ana", Some(at(2)));
        for number in 0..5_000 {
            table.set_of(kind(3), &number.to_string(), Some(at(number)));
            table.settle();
        }
        let found = [0, 1, 2].map(|ix| table.get_of(kind(ix), "ana").copied());
        assert_eq!(found, [None, Some(at(1)), Some(at(2))]);
        assert_eq!(table.get_of(kind(3), "4999"), Some(&at(4_999)));
        assert_eq!((before.get_of(kind(0), "ana"), before.get("ana")), (Some(&at(0)), None));
    }
}
