//! Filters for several lists that are looked into together, one for each thing that may be asked: whoever
//! looks for many keys in all of them looks once for each key, and not once for each key and list, and
//! passes by what says nothing of what is asked.
//!
//! INVARIANT: a filter is made from every key whose item says something, of the lists as they are then. Whoever
//! changes which lists belong together says so ([`Unions::forget`]), whoever changes what items say makes
//! all anew, and whoever looks for keys looks into lists that differ from the base's by themselves
//! ([`Keyed::changed`]).

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::marker::PhantomData;
use std::sync::Arc;

use super::filter::Filter;
use super::lists::start;
use super::{Handle, HasKey, Keyed, Lists, Spread, Table};

/// How many times as many keys as all lists have the filters may be made from: a list belongs to as many
/// unions as it likes, and a key to the filters of all that its item says something of.
const KEYS_A_KEY: usize = 18;

/// How many keys they may be made from however few the lists have.
const LEAST_KEYS: usize = 1 << 14;

/// How many keys share a word, and as how many one counts that has fewer.
const KEYS_A_WORD: usize = 8;

/// Filters for unions of lists, by what is asked. Cloning it copies a few pointers.
#[derive(Debug)]
pub(crate) struct Unions<H: Handle, A> {
    lie: Table<H, Lies>,
    /// Where the words of each filter begin, and at the end where the last one ends.
    starts: Arc<Vec<u32>>,
    words: Arc<Vec<u64>>,
    asked: PhantomData<fn(A)>,
}

/// What an item says, by what it is of.
#[derive(Debug)]
pub(crate) struct Said<L: Handle, A> {
    /// Of which it says something.
    pub(crate) of: Lists<L, A>,
    /// Of how many things it might.
    pub(crate) asked: Table<L, u32>,
}

/// Where the filters of a union lie among all: as many as things may be asked, or none if it tells nothing.
#[derive(Debug, Clone, Copy, Default)]
struct Lies {
    from: u32,
    count: u32,
}

// === impl Unions ===

impl<H: Handle, A: Handle> Unions<H, A> {
    /// For each of `unions` the filters of the lists that it names, those first that are looked into most
    /// often, while there is room. Unions that name the same lists share theirs. An item says something of
    /// whatever `said` has for the one that it is of (`of`).
    pub(crate) fn new<I: Handle, K: Handle, T: HasKey<K>, L: Handle>(
        unions: &Lists<H, I>,
        lists: &Keyed<I, K, T>,
        said: &Said<L, A>,
        of: impl Fn(&T) -> L,
        often: impl Fn(H) -> usize,
    ) -> Self {
        let mut number: HashMap<&[I], usize, BuildHasherDefault<Spread>> = HashMap::default();
        let mut distinct: Vec<(usize, &[I])> = Vec::new();
        let numbers: Vec<usize> = unions
            .handles()
            .map(|union| {
                let named = &unions[union];
                let number = *number.entry(named).or_insert_with(|| {
                    distinct.push((0, named));
                    distinct.len() - 1
                });
                if let Some((times, _)) = distinct.get_mut(number) {
                    *times += often(union);
                }
                number
            })
            .collect();
        let mut order: Vec<usize> = (0..distinct.len()).collect();
        order.sort_by_key(|number| Reverse(distinct.get(*number).map(|(times, _)| *times)));
        let mut lie = vec![Lies::default(); distinct.len()];
        let room = lists.total().saturating_mul(KEYS_A_KEY).saturating_add(LEAST_KEYS);
        let mut filling = Filling::new(said, room);
        for number in order {
            let (Some((_, named)), Some(lies)) = (distinct.get(number), lie.get_mut(number)) else {
                continue;
            };
            // Most say something of something: what has more keys than there is room is not counted.
            let keys: usize = named.iter().map(|list| lists.run(*list).keys.len()).sum();
            if keys > filling.room {
                continue;
            }
            // What is counted and finds no room has been for nothing: that has an end.
            let Some(rest) = filling.countable.checked_sub(keys) else { break };
            filling.countable = rest;
            let items = || named.iter().flat_map(|list| lists.run(*list).items);
            if let Some(filled) = filling.add(items, &of) {
                *lies = filled;
            }
        }
        let lie = numbers.into_iter().map(|number| lie.get(number).copied().unwrap_or_default());
        Self {
            lie: lie.collect(),
            starts: Arc::new(filling.starts),
            words: Arc::new(filling.words),
            asked: PhantomData,
        }
    }

    /// What tells of a union which keys have something to say of what is asked; without any words it tells
    /// nothing.
    #[inline]
    pub(crate) fn of(&self, union: H, asked: A) -> Filter<'_> {
        Filter::new(self.find(union, asked).unwrap_or_default())
    }

    #[inline]
    fn find(&self, union: H, asked: A) -> Option<&[u64]> {
        let Lies { from, count } = self.lie[union];
        if asked.index() >= count as usize {
            return None;
        }
        let at = from as usize + asked.index();
        let (begin, end) = (*self.starts.get(at)?, *self.starts.get(at + 1)?);
        self.words.get(begin as usize..end as usize)
    }

    /// Asks for where a union's filters lie.
    #[inline]
    pub(crate) fn fetch(&self, union: H) {
        self.lie.fetch(union);
    }

    /// Lets a union tell nothing.
    pub(crate) fn forget(&mut self, union: H) {
        self.lie.set(union, Lies::default());
    }

    /// Adds a union that tells nothing.
    pub(crate) fn push(&mut self) -> H {
        self.lie.push(Lies::default())
    }

    /// The bytes of the filters, and of where they lie.
    pub(crate) fn bytes(&self) -> usize {
        let (starts, words) = (self.starts.as_slice(), self.words.as_slice());
        self.lie.bytes() + size_of_val(starts) + size_of_val(words)
    }

    /// Whether so many unions tell nothing, or came since, that all should be made anew.
    pub(crate) fn is_outgrown(&self) -> bool {
        self.lie.is_outgrown()
    }
}

impl<H: Handle, A> Clone for Unions<H, A> {
    fn clone(&self) -> Self {
        let Self { lie, starts, words, asked } = self;
        let (starts, words) = (Arc::clone(starts), Arc::clone(words));
        Self { lie: lie.clone(), starts, words, asked: *asked }
    }
}

impl<H: Handle, A> Default for Unions<H, A> {
    fn default() -> Self {
        let (starts, words) = (Arc::default(), Arc::default());
        Self { lie: Table::default(), starts, words, asked: PhantomData }
    }
}

/// Filters that are being made.
struct Filling<'a, L: Handle, A> {
    said: &'a Said<L, A>,
    starts: Vec<u32>,
    words: Vec<u64>,
    room: usize,
    /// How many more items may be counted.
    countable: usize,
    /// How many items of a union are of each, those that there are, and how many say something of what.
    items: Vec<usize>,
    there: Vec<L>,
    counts: Vec<usize>,
}

// === impl Filling ===

impl<'a, L: Handle, A: Handle> Filling<'a, L, A> {
    fn new(said: &'a Said<L, A>, room: usize) -> Self {
        let items = said.of.handles().map(|_| 0).collect();
        let (there, counts) = (Vec::new(), Vec::new());
        let (starts, words) = (vec![0], Vec::new());
        Self { said, starts, words, room, countable: room, items, there, counts }
    }

    /// Adds the filters of some items, if there is room.
    fn add<'i, K: Handle, T: HasKey<K> + 'i, I: Iterator<Item = &'i T>>(
        &mut self,
        items: impl Fn() -> I,
        of: impl Fn(&T) -> L,
    ) -> Option<Lies> {
        self.count(items().map(&of));
        // One without keys lets none pass, and has a word to say so.
        let words = |count: &usize| count.div_ceil(KEYS_A_WORD).max(1);
        let total: usize = self.counts.iter().map(words).sum();
        let room = self.room.checked_sub(total * KEYS_A_WORD)?;
        let begins = self.starts.len() - 1;
        let lies = Lies {
            from: u32::try_from(begins).ok()?,
            count: u32::try_from(self.counts.len()).ok()?,
        };
        let mut end = self.words.len();
        u32::try_from(end + total).ok()?;
        self.room = room;
        for count in &self.counts {
            end += words(count);
            self.starts.push(start(end));
        }
        self.words.resize(end, 0);
        let starts = self.starts.get(begins..).unwrap_or_default();
        for item in items() {
            let key = item.key();
            for asked in &self.said.of[of(item)] {
                if let Some([begin, end]) = starts.get(asked.index()..asked.index() + 2)
                    && let Some(words) = self.words.get_mut(*begin as usize..*end as usize)
                {
                    Filter::put(key, words);
                }
            }
        }
        Some(lies)
    }

    /// Counts how many items say something, by what is asked.
    fn count(&mut self, items: impl Iterator<Item = L>) {
        let Self { said, items: tally, there, counts, .. } = self;
        for of in items {
            if let Some(times) = tally.get_mut(of.index()) {
                if *times == 0 {
                    there.push(of);
                }
                *times += 1;
            }
        }
        counts.clear();
        for of in there.drain(..) {
            let times = tally.get_mut(of.index()).map(std::mem::take).unwrap_or_default();
            counts.resize(counts.len().max(said.asked[of] as usize), 0);
            for asked in &said.of[of] {
                if let Some(count) = counts.get_mut(asked.index()) {
                    *count += times;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ActorIx, CoverIx, LevelIx, PermissionIx, ShardIx};
    use super::*;

    /// An item of a key, and what it says of three things: a bit each.
    #[derive(Debug, Clone, Copy)]
    struct Item(ActorIx, u8);

    impl HasKey<ActorIx> for Item {
        fn key(&self) -> ActorIx {
            self.0
        }
    }

    /// What the bits are of.
    fn said() -> Said<LevelIx, PermissionIx> {
        let pair = |(of, asked)| (LevelIx::from_index(of), PermissionIx::from_index(asked));
        let of = Lists::from_pairs(4, [(1, 0), (2, 1), (3, 0), (3, 1)].map(pair).to_vec());
        Said { of, asked: [3; 4].into_iter().collect() }
    }

    fn of(item: &Item) -> LevelIx {
        LevelIx::from_index(usize::from(item.1))
    }

    fn key(n: usize) -> ActorIx {
        ActorIx::from_index(n)
    }

    /// Two lists of 600 keys each: what they say goes by threes.
    fn lists() -> Keyed<ShardIx, ActorIx, Item> {
        let at = ShardIx::from_index;
        let item = |n: usize| Item(key(n), (n % 3) as u8 + 1);
        Lists::from_pairs(2, (0..1_200).map(|n| (at(n % 2), item(n))).collect()).into()
    }

    fn unions(
        named: Vec<(usize, usize)>,
        often: impl Fn(CoverIx) -> usize,
    ) -> Unions<CoverIx, PermissionIx> {
        let pair = |(cover, shard)| (CoverIx::from_index(cover), ShardIx::from_index(shard));
        let named = Lists::from_pairs(4, named.into_iter().map(pair).collect());
        Unions::new(&named, &lists(), &said(), of, often)
    }

    #[test]
    fn a_filter_lets_pass_who_has_something_to_say_of_what_is_asked_and_few_others() {
        let (at, asked) = (CoverIx::from_index, PermissionIx::from_index);
        let unions = unions(vec![(0, 0), (1, 0), (1, 1), (2, 0)], |_| 1);
        for (cover, of) in [(0, [0, 0]), (1, [0, 1])] {
            for (permission, said) in [(0, [1, 3]), (1, [2, 3])] {
                let filter = unions.of(at(cover), asked(permission));
                let mut others = 0;
                for n in 0..12_000 {
                    let is_there =
                        n < 1_200 && of.contains(&(n % 2)) && said.contains(&(n % 3 + 1));
                    let passes = filter.may_hold(key(n));
                    assert!(passes || !is_there, "{n} of {cover}, asked {permission}");
                    others += usize::from(passes && !is_there);
                }
                assert!(others < 1_200, "{others}");
            }
            // Nobody says anything of the third, and that is told as well.
            let none = unions.of(at(cover), asked(2));
            assert!(none.tells() && (0..1_200).all(|n| !none.may_hold(key(n))));
        }
        // Those that name the same have the same filter, and who names nothing has none, nor has what
        // nobody could have asked when it was made.
        let [one, same] = [0, 2].map(|cover| unions.of(at(cover), asked(0)).words().as_ptr());
        assert_eq!(one, same);
        assert!(!unions.of(at(3), asked(0)).tells() && !unions.of(at(0), asked(3)).tells());
    }

    #[test]
    fn what_is_looked_into_most_often_has_filters_first() {
        // A cover of so many lists takes 800 each, 300 of 600 keys counting twice, and 8 for what nobody
        // says anything of; there is room for 37,984.
        let (at, shard) = (CoverIx::from_index, ShardIx::from_index);
        let all = (0..30).flat_map(|cover| (0..=cover).map(move |n| (at(cover), shard(n % 2))));
        let named = Lists::from_pairs(30, all.collect());
        let often = |cover: CoverIx| if cover == at(20) { 2 } else { 1 };
        let unions: Unions<_, PermissionIx> = Unions::new(&named, &lists(), &said(), of, often);
        let told = |n| unions.of(at(n), PermissionIx::from_index(0)).tells();
        assert_eq!([0, 1, 2, 5, 6, 19, 20].map(told), [true, true, true, true, false, false, true]);
    }

    #[test]
    fn what_nobody_says_anything_of_takes_its_room() {
        let (at, shard) = (CoverIx::from_index, ShardIx::from_index);
        let all = (0..100).flat_map(|cover| (0..=cover).map(move |n| (at(cover), shard(n % 2))));
        let named = Lists::from_pairs(100, all.collect());
        for (might, told) in [(100, 10), (1_000, 4), (10_000, 0)] {
            let said =
                Said { of: Lists::from_pairs(4, vec![]), asked: [might; 4].into_iter().collect() };
            let unions: Unions<CoverIx, PermissionIx> =
                Unions::new(&named, &lists(), &said, of, |_| 1);
            let tells = |n: &usize| unions.of(at(*n), PermissionIx::from_index(0)).tells();
            // Each takes as much as 800 keys, 8,000 or 80,000, of 37,984; and the first ten have 600,
            // 1,200 and so on, after which so many have been counted.
            assert_eq!((0..100).filter(tells).count(), told);
            assert!(unions.bytes() < 60_000, "{}", unions.bytes());
        }
    }

    #[test]
    fn a_union_that_changes_tells_nothing_any_more() {
        let (at, asked) = (CoverIx::from_index, PermissionIx::from_index(0));
        let mut unions = unions(vec![(0, 0), (1, 1)], |_| 1);
        let (before, bytes) = (unions.clone(), unions.bytes());
        unions.forget(at(0));
        assert_eq!(unions.push(), at(4));
        let tells = |unions: &Unions<_, _>, n| unions.of(at(n), asked).tells();
        assert_eq!([0, 1, 4].map(|n| tells(&unions, n)), [false, true, false]);
        assert!(tells(&before, 0) && !unions.is_outgrown());
        assert!(bytes > 2 * 800 && unions.bytes() > bytes);
        (0..2_000).for_each(|_| _ = unions.push());
        assert!(unions.is_outgrown());
    }
}
