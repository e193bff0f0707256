//! Lists, and lists that are searched by their keys.

use super::*;
use crate::arena::{ActorIx, TypeIx};

#[test]
fn lists_keep_their_order_and_may_be_empty() {
    let at = TypeIx::from_index;
    let lists = Lists::from_pairs(3, vec![(at(2), 'a'), (at(0), 'b'), (at(2), 'c')]);
    assert_eq!(
        (&lists[at(0)], &lists[at(1)], &lists[at(2)]),
        (&['b'][..], &[][..], &['a', 'c'][..])
    );
}

#[test]
fn scattered_lists_are_those_of_the_pairs() {
    let at = TypeIx::from_index;
    let pairs = [(at(2), 'b'), (at(0), 'x'), (at(2), 'a'), (at(2), 'c')];
    let lists = Lists::scattered(4, || pairs.into_iter());
    let all = |lists: &Lists<TypeIx, char>| {
        lists.handles().map(|h| lists[h].to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(all(&lists), [vec!['x'], vec![], vec!['b', 'a', 'c'], vec![]]);
    let sorted = Lists::sorted(4, &pairs, |letter| *letter);
    assert_eq!(all(&sorted), [vec!['x'], vec![], vec!['a', 'b', 'c'], vec![]]);
    assert_eq!(all(&Lists::scattered(1, std::iter::empty)), [vec![]]);
}

#[test]
fn lists_show_what_was_set_last() {
    let at = TypeIx::from_index;
    let mut lists = Lists::from_pairs(2, vec![(at(0), 1), (at(1), 2)]);
    let before = lists.clone();
    lists.edit(at(1), |list| list.push(3));
    lists.grow(4);
    assert_eq!(lists.push([5, 6]), at(4));
    for number in 0..5_000 {
        lists.push([number]);
        lists.settle();
    }
    assert_eq!((&lists[at(0)], &lists[at(1)]), (&[1][..], &[2, 3][..]));
    assert_eq!((&lists[at(3)], &lists[at(4)]), (&[][..], &[5, 6][..]));
    assert_eq!((&lists[at(5_004)], &before[at(1)]), (&[4_999][..], &[2][..]));
}

#[test]
fn the_base_is_made_anew_once_much_differs_from_it() {
    let at = TypeIx::from_index;
    let mut lists = Lists::from_pairs(2, vec![(at(0), 1_u16), (at(1), 2), (at(1), 3)]);
    // Where each of two lists begins and the last one ends, and three items.
    assert_eq!((lists.total(), lists.bytes()), (3, 3 * 4 + 3 * 2));
    for _ in 0..1_024 {
        lists.push([7]);
        lists.settle();
    }
    assert_eq!(lists.total(), 3, "so much may lie beside it");
    lists.push([8]);
    lists.settle();
    assert_eq!((lists.total(), lists.bytes()), (1_028, 1_028 * 4 + 1_028 * 2));
    assert_eq!((&lists[at(1)], &lists[at(1_026)]), (&[2, 3][..], &[8][..]));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Item(ActorIx, u32);

impl HasKey<ActorIx> for Item {
    fn key(&self) -> ActorIx {
        self.0
    }
}

#[test]
fn keys_lie_beside_their_items_and_stay_there() {
    let (at, key) = (TypeIx::from_index, ActorIx::from_index);
    let item = |n: usize| Item(key(n), 10);
    let pairs = (0..20).map(|n| (at(1), item(n))).collect();
    let mut lists: Keyed<TypeIx, ActorIx, Item> = Lists::from_pairs(2, pairs).into();
    // Three starts, twenty keys, two words of a filter and twenty items.
    assert_eq!(lists.bytes(), 3 * 4 + 20 * 4 + 2 * 8 + 20 * 8);
    assert_eq!(lists.push(vec![item(5)]), at(2));
    assert_eq!(lists.push(vec![item(6), item(8)]), at(3));
    lists.grow(6);
    lists.edit(at(5), |list| list.push(item(9)));
    let shown = |lists: &Keyed<TypeIx, ActorIx, Item>| {
        let keys = |n| lists.run(at(n)).keys.iter().map(|it| it.index()).collect::<Vec<_>>();
        assert!((0..6).all(|n| {
            lists.run(at(n)).items.iter().map(HasKey::key).eq(lists.run(at(n)).keys.to_vec())
        }));
        [0, 2, 3, 4, 5].map(keys)
    };
    let before = lists.bytes();
    lists.settle();
    assert_eq!(lists.bytes(), before, "so much may lie beside it");
    let told = [vec![], vec![5], vec![6, 8], vec![], vec![9]];
    assert_eq!(shown(&lists), told);
    for _ in 0..2_000 {
        lists.push(vec![item(4)]);
    }
    lists.settle();
    assert!(lists.bytes() > before + 2_000 * (4 + 4 + 8));
    assert_eq!(shown(&lists), told);
    assert_eq!(lists[at(2_005)], [item(4)]);
}
