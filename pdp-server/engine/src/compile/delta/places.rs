//! Where objects are placed, and the covers that tell what covers them there (C2).

use crate::actor::Person;
use crate::arena::{CoverIx, LocationIx, ResourceIx, ShardIx, TypeIx};
use crate::id::LocationId;
use crate::snapshot::{Object, Placement};

use super::super::covers::{CoverRows, Placing};
use super::draft::Draft;

// === impl Draft ===

impl Draft<'_> {
    /// Places a person where they are listed and hold positions; one that is gone is nowhere.
    pub(super) fn place_person(&mut self, object: ResourceIx, person: Option<&Person>) {
        let mut placing = Placing { handles: self, placed: Vec::new() };
        if let Some(person) = person {
            placing.person(person);
        }
        let placed = placing.placed;
        self.move_to(object, &placed);
    }

    /// Places an object where it is listed.
    pub(super) fn place(&mut self, object: ResourceIx, locations: &[LocationId]) {
        let mut placing = Placing { handles: self, placed: Vec::new() };
        placing.listed(locations);
        let placed = placing.placed;
        self.move_to(object, &placed);
    }

    fn move_to(&mut self, object: ResourceIx, placed: &[Placement]) {
        let Object { kind, cover: before, is } = self.policy.resources[object];
        let cover = self.cover_of(kind, placed);
        if cover == before {
            return;
        }
        let policy = &mut self.policy;
        for placement in &policy.placements[before] {
            let number = policy.locations[placement.location].first;
            policy.cold.placed.remove(kind, (number, object));
        }
        for placement in placed {
            let number = policy.locations[placement.location].first;
            policy.cold.placed.insert(kind, (number, object));
        }
        policy.resources.set(object, Object { kind, cover, is });
    }

    /// The cover of the objects of a type that are placed so.
    pub(super) fn cover_of(&mut self, kind: TypeIx, placed: &[Placement]) -> CoverIx {
        let policy = &self.policy;
        let found = match placed.first() {
            None => policy.cold.unplaced[kind],
            Some(placement) => {
                let number = policy.locations[placement.location].first;
                let here = policy.cold.covers_placed.of(kind).past(|(at, _)| *at < number);
                let mut here = here.first(|(at, _)| *at == number).iter();
                here.find(|(_, cover)| policy.placements[*cover] == *placed).map(|(_, cover)| cover)
            }
        };
        found.unwrap_or_else(|| self.add_cover(kind, placed))
    }

    fn add_cover(&mut self, kind: TypeIx, placed: &[Placement]) -> CoverIx {
        let rows = self.cover_rows(kind, placed);
        let policy = &mut self.policy;
        let is_merged = |shard| policy.cold.shard_merged[shard];
        let (merged, apart) = CoverRows::merge(&rows.always, &policy.shards, is_merged);
        let cover = policy.placements.push(placed);
        // Nobody tells when the last object leaves it.
        policy.cold.spare.garbage += 1;
        policy.covers.push(apart);
        policy.unions.push();
        policy.covers_timed.push(rows.timed);
        policy.merged.push(merged);
        if placed.is_empty() {
            policy.cold.unplaced.set(kind, Some(cover));
        }
        for placement in placed {
            let number = policy.locations[placement.location].first;
            policy.cold.covers_placed.insert(kind, (number, cover));
        }
        cover
    }

    /// Works out anew what covers the objects of a cover.
    pub(super) fn cover_anew(&mut self, kind: TypeIx, cover: CoverIx) {
        let rows = self.cover_rows(kind, &self.policy.placements[cover]);
        let policy = &mut self.policy;
        let is_merged = |shard| policy.cold.shard_merged[shard];
        let (merged, apart) = CoverRows::merge(&rows.always, &policy.shards, is_merged);
        policy.covers.set(cover, apart);
        policy.unions.forget(cover);
        policy.covers_timed.set(cover, rows.timed);
        policy.merged.set(cover, merged);
    }

    fn cover_rows(&self, kind: TypeIx, placed: &[Placement]) -> CoverRows {
        let parent = |at: LocationIx| self.policy.locations[at].parent;
        CoverRows::new(placed, parent, |at| self.shard_at(kind, at))
    }

    /// The shard of a type at a location, if there is one.
    pub(super) fn shard_at(&self, kind: TypeIx, location: LocationIx) -> Option<ShardIx> {
        let number = self.policy.locations[location].first;
        let shards = &self.policy.cold.shards_of[kind];
        let at = shards.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        shards.get(at).map(|(_, shard)| *shard)
    }

    /// The covers of a type that are placed in a location or below it, each once, with whether they
    /// always are.
    pub(super) fn covers_below(&self, kind: TypeIx, location: LocationIx) -> Vec<(CoverIx, bool)> {
        let place = self.policy.locations[location];
        let below = self.policy.cold.covers_placed.of(kind).past(|(at, _)| *at < place.first);
        let below = below.first(|(at, _)| *at < place.after);
        let mut covers: Vec<CoverIx> = below.iter().map(|(_, cover)| cover).collect();
        covers.sort_unstable();
        covers.dedup();
        let always = |cover: CoverIx| {
            let mut placements = self.policy.placements[cover].iter();
            placements.any(|it| it.window.is_always() && self.policy.lies_in(it.location, location))
        };
        covers.into_iter().map(|cover| (cover, always(cover))).collect()
    }
}
