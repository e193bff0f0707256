//! Which keys a list may hold, told in one byte a key: whoever looks for many keys in a long list
//! searches it only for those that may be there, and touches little else.
//!
//! INVARIANT: a filter is made from the keys of its list, or from those that it speaks of
//! ([`super::Unions`]), and each of them is always said to be there. One that is not is said to be
//! there once in twenty times or less, which costs a search and changes nothing.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use super::Handle;

/// How many keys are looked for together.
const LOOKS: usize = 64;

/// How many keys share a word. With three bits a key, three in eight of its bits are set.
const KEYS_A_WORD: usize = 8;

/// Says which keys a list may hold; without any words, that it may hold every key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filter<'a>(&'a [u64]);

/// The filters of lists whose keys lie end to end. Cloning it copies a pointer.
#[derive(Debug, Clone)]
pub(super) struct Filters(Arc<[u64]>);

// === impl Filter ===

impl<'a> Filter<'a> {
    /// Tells nothing.
    pub(crate) const NONE: Self = Self(&[]);

    /// One of those words.
    #[inline]
    pub(super) fn new(words: &'a [u64]) -> Self {
        Self(words)
    }

    /// Says in a filter's words that a key is there.
    pub(super) fn put(key: impl Handle, words: &mut [u64]) {
        let (word, bits) = place(key, words.len());
        if let Some(word) = words.get_mut(word) {
            *word |= bits;
        }
    }

    /// Whether it tells anything.
    #[inline]
    pub(crate) fn tells(self) -> bool {
        !self.0.is_empty()
    }

    /// Whether the list may hold the key.
    #[inline]
    pub(crate) fn may_hold(self, key: impl Handle) -> bool {
        let (word, bits) = place(key, self.0.len());
        self.0.get(word).is_none_or(|word| word & bits == bits)
    }

    /// Calls `f` with each of the keys that the list may hold.
    #[inline]
    pub(crate) fn passing<K: Handle>(
        self,
        keys: &[K],
        mut f: impl FnMut(K) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for some in keys.chunks(LOOKS) {
            // All are looked for before anything is done about one, so that nothing has to be foretold.
            let mut passing = 0_u64;
            for key in some.iter().rev() {
                passing = passing << 1 | u64::from(self.may_hold(*key));
            }
            while passing != 0 {
                if let Some(key) = some.get(passing.trailing_zeros() as usize) {
                    f(*key)?;
                }
                passing &= passing - 1;
            }
        }
        ControlFlow::Continue(())
    }

    /// Its words.
    #[inline]
    pub(crate) fn words(self) -> &'a [u64] {
        self.0
    }
}

// === impl Filters ===

impl Filters {
    /// Of lists whose keys lie there, end to end.
    pub(super) fn new<K: Handle>(
        lists: impl IntoIterator<Item = Range<usize>>,
        keys: &[K],
    ) -> Self {
        let mut all = vec![0; keys.len() / KEYS_A_WORD];
        for lies in lists {
            let words = all.get_mut(words(lies.clone())).unwrap_or_default();
            keys.get(lies).unwrap_or_default().iter().for_each(|key| Filter::put(*key, words));
        }
        Self(all.into())
    }

    /// The bytes of all of them.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.0)
    }

    /// The filter of the list whose keys lie there.
    #[inline]
    pub(super) fn of(&self, keys: Range<usize>) -> Filter<'_> {
        Filter(self.0.get(words(keys)).unwrap_or_default())
    }
}

/// The words that belong to the list whose keys lie there, and to no other list: those that would lie
/// beside its keys, were they as long.
#[inline]
fn words(keys: Range<usize>) -> Range<usize> {
    let from = keys.start.div_ceil(KEYS_A_WORD);
    from..(keys.end / KEYS_A_WORD).max(from)
}

/// An odd number without pattern: handles are dense, and its multiples spread evenly.
const SPREADING: u64 = 0x9e37_79b9_7f4a_7c15;

/// The word of a key among so many, and its bits.
#[inline]
fn place(key: impl Handle, words: usize) -> (usize, u64) {
    let spread = (key.index() as u64).wrapping_mul(SPREADING);
    let word = ((spread >> 32) * words as u64) >> 32;
    let bit = |shift: u32| 1_u64 << ((spread >> shift) % u64::from(u64::BITS));
    (word as usize, bit(12) | bit(18) | bit(24))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::ActorIx;

    #[test]
    fn every_key_is_said_to_be_there_and_few_others() {
        for (from, count, step) in [(0, 40, 1), (3, 41, 64), (9, 1_000, 3), (1, 30_000, 17)] {
            let keys: Vec<_> = (0..count).map(|n| ActorIx::from_index(n * step)).collect();
            // Beside it lie lists of what is not in it.
            let before = (0..from).map(|n| ActorIx::from_index(n * step + 7));
            let all: Vec<_> =
                before.chain(keys.clone()).chain([ActorIx::from_index(1); 5]).collect();
            let lists = [0..from, from..from + count, from + count..from + count + 5];
            let filters = Filters::new(lists, &all);
            assert_eq!(filters.bytes(), all.len() / KEYS_A_WORD * 8);
            let filter = filters.of(from..from + count);
            assert!(filter.tells() && keys.iter().all(|key| filter.may_hold(*key)));
            let others = (1..=10_000).map(|n| ActorIx::from_index(count * step + n * 5));
            let said = others.filter(|key| filter.may_hold(*key)).count();
            assert!(said < 10_000 / 12, "{said} of 10,000 beside {count}");
        }
    }

    #[test]
    fn without_words_everything_may_be_there() {
        let filters = Filters::new([0..2, 2..6], &[ActorIx::from_index(3); 6]);
        let filter = filters.of(2..6);
        assert!(!filter.tells() && filter.may_hold(ActorIx::from_index(5)));
    }
}
