//! What differs from a base: a persistent map, so that the next snapshot shares most of it.

use std::hash::{BuildHasherDefault, Hash, Hasher};

use rpds::{HashTrieMap, HashTrieMapSync};

/// From how many rows on a base is made anew, at least: below, looking beside the base costs less than copying.
const SETTLE_AT_LEAST: usize = 1_024;

/// The share of a base that may differ before it is made anew, as a divisor.
const SETTLE_SHARE: usize = 16;

/// Values that stand in place of those of a base.
#[derive(Debug)]
pub(crate) struct Patch<K: Eq + Hash, V>(
    /// `None` where nothing differs, which costs a reader one comparison.
    Option<HashTrieMapSync<K, V, BuildHasherDefault<Spread>>>,
);

// === impl Patch ===

impl<K: Eq + Hash, V> Patch<K, V> {
    /// What stands in place of the base's value, if it differs.
    #[inline]
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.0.as_ref()?.get(key)
    }

    pub(crate) fn set(&mut self, key: K, value: V) {
        let map = self.0.get_or_insert_with(|| {
            HashTrieMap::new_with_hasher_and_ptr_kind(BuildHasherDefault::default())
        });
        map.insert_mut(key, value);
    }

    /// How many values differ.
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, HashTrieMap::size)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether so much differs from a base of this size that it should be made anew.
    pub(crate) fn outgrows(&self, base: usize) -> bool {
        self.len() > SETTLE_AT_LEAST.max(base / SETTLE_SHARE)
    }

    /// What differs, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().flat_map(HashTrieMap::iter)
    }
}

impl<K: Eq + Hash, V> Clone for Patch<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Eq + Hash, V> Default for Patch<K, V> {
    fn default() -> Self {
        Self(None)
    }
}

/// An odd number without pattern.
const SPREADING: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads handles, which are dense, and passes on fingerprints, which are hashes already.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spread(u64);

// === impl Spread ===

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
        self.0 = self.0.wrapping_mul(SPREADING).rotate_left(32);
    }

    fn write_u32(&mut self, handle: u32) {
        let mixed = (self.0 ^ u64::from(handle)).wrapping_mul(SPREADING);
        self.0 = mixed.rotate_left(32);
    }

    #[expect(clippy::cast_possible_truncation, reason = "any 64 bits of a keyed hash will do")]
    fn write_u128(&mut self, fingerprint: u128) {
        self.0 = fingerprint as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::arena::{Handle as _, TypeIx};

    #[test]
    fn a_base_is_outgrown_by_a_share_of_it_and_not_by_little() {
        let mut patch: Patch<TypeIx, u8> = Patch::default();
        assert!(patch.is_empty() && patch.iter().next().is_none());
        let mut outgrown = [None; 3];
        for n in 0..3_000 {
            patch.set(TypeIx::from_index(n), 0);
            for (outgrown, base) in outgrown.iter_mut().zip([0, 16 * 1_024, 32_000]) {
                if outgrown.is_none() && patch.outgrows(base) {
                    *outgrown = Some(patch.len());
                }
            }
        }
        assert!(!patch.is_empty());
        assert_eq!(outgrown, [Some(1_025), Some(1_025), Some(2_001)]);
    }

    #[test]
    fn what_is_hashed_is_spread() {
        let of = |write: &dyn Fn(&mut Spread)| {
            let mut hasher = Spread::default();
            write(&mut hasher);
            hasher.finish()
        };
        // Maps look at few bits, the lowest and the highest.
        let places = |hashes: Vec<u64>| {
            let low: HashSet<u64> = hashes.iter().map(|hash| hash % 4_096).collect();
            let high: HashSet<u64> = hashes.iter().map(|hash| hash >> 52).collect();
            low.len().min(high.len())
        };
        let dense = (0..4_096_u32).map(|n| of(&|hasher| hasher.write_u32(n))).collect();
        assert!(places(dense) > 1_000);
        let pairs = (0..4_096_u32).map(|n| {
            of(&|hasher| {
                hasher.write_u32(n % 64);
                hasher.write_u32(n / 64);
            })
        });
        assert!(places(pairs.collect()) > 1_000);
        let bytes = (0..4_096_u16).map(|n| of(&|hasher| hasher.write(&n.to_le_bytes())));
        assert!(places(bytes.collect()) > 1_000);
        assert_eq!(of(&|hasher| hasher.write_u128(7 << 64 | 5)), 5);
    }
}
