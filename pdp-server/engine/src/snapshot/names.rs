//! Names to handles, for tables of a million names: one look at memory a look-up.
//!
//! A name is kept as a keyed 128-bit fingerprint and compared by all of it. The key is random and this
//! process's own, so that nobody who chooses names can make two of them meet, and two of a billion
//! names meet by chance less than once in 10^20 policies.

use std::hash::BuildHasher as _;
use std::hash::{Hasher as _, RandomState};
use std::sync::{Arc, LazyLock};

use siphasher::sip128::{Hasher128 as _, SipHasher13};

/// The process's key.
static KEY: LazyLock<(u64, u64)> = LazyLock::new(|| {
    let random = RandomState::new();
    (random.hash_one(0_u8), random.hash_one(1_u8))
});

/// A table of names.
#[derive(Debug)]
pub(crate) struct NameTable<H> {
    /// A power of two of places, at least a quarter of them free.
    places: Vec<Place<H>>,
    names: usize,
}

/// Two places are one cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
struct Place<H> {
    fingerprint: u128,
    /// `None` where the place is free.
    handle: Option<H>,
}

// === impl NameTable ===

impl<H> Default for NameTable<H> {
    fn default() -> Self {
        Self { places: Vec::new(), names: 0 }
    }
}

impl<H: Copy> NameTable<H> {
    /// The handle of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&H> {
        let wanted = fingerprint(name);
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

    /// Whether the name has a handle.
    pub(crate) fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Adds a name that is not in the table.
    pub(crate) fn insert(&mut self, name: &str, handle: H) {
        if (self.names + 1) * 4 > self.places.len() * 3 {
            let grown = (self.places.len() * 2).max(4);
            let free = Place { fingerprint: 0, handle: None };
            let before = std::mem::replace(&mut self.places, vec![free; grown]);
            for Place { fingerprint, handle } in before {
                if let Some(handle) = handle {
                    self.put(fingerprint, handle);
                }
            }
        }
        self.put(fingerprint(name), handle);
        self.names += 1;
    }

    fn put(&mut self, fingerprint: u128, handle: H) {
        let mask = self.places.len().wrapping_sub(1);
        let mut at = start(fingerprint, mask);
        while let Some(place) = self.places.get_mut(at) {
            if place.handle.is_none() {
                *place = Place { fingerprint, handle: Some(handle) };
                return;
            }
            at = (at + 1) & mask;
        }
    }
}

impl<H: Copy> FromIterator<(Arc<str>, H)> for NameTable<H> {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, H)>>(names: I) -> Self {
        let mut table = Self::default();
        names.into_iter().for_each(|(name, handle)| table.insert(&name, handle));
        table
    }
}

fn fingerprint(name: &str) -> u128 {
    let (first, second) = *KEY;
    let mut hasher = SipHasher13::new_with_keys(first, second);
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
    use crate::arena::{ActorIx, Handle as _};

    #[test]
    fn every_name_is_found_and_no_other() {
        let name = |number: usize| Arc::from(format!("name-{number}"));
        for count in [0, 1, 3, 4, 100, 5_000] {
            let handles = (0..count).map(|number| (name(number), ActorIx::from_index(number)));
            let table: NameTable<ActorIx> = handles.collect();
            for number in 0..count {
                assert_eq!(table.get(&name(number)), Some(&ActorIx::from_index(number)));
            }
            assert!(!table.contains_key(&name(count)) && !table.contains_key(""));
        }
    }
}
