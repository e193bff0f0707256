//! What a policy has besides its tables, made of them: the filters of what is looked into together, and
//! what is asked for ahead with the names of objects.

use super::{Grant, Policy, RelativeGrant};
use crate::arena::{
    CoverIx, Handle as _, LevelIx, Lists, ListsBuilder, PermissionIx, ResourceIx, Rows, Said,
    Unions,
};
use crate::permission::Qualifier;

// === impl Policy ===

impl Policy {
    /// Whether what the filters are made of names nothing that is not there, as what was read may.
    pub(crate) fn can_unite(&self) -> bool {
        let covers = self.covers.handles().count();
        let shards = self.shards.handles().count();
        let levels = self.says.handles().count();
        let known = |grant: &Grant| grant.level.index() < levels;
        let mut lists = self.covers.handles().map(|cover| &self.covers[cover]);
        self.resources.iter().all(|(_, object)| object.cover.index() < covers)
            && lists.all(|list| list.iter().all(|shard| shard.index() < shards))
            && self.shards.handles().all(|shard| self.shards[shard].iter().all(known))
            && self
                .relative
                .handles()
                .all(|kind| self.relative[kind].iter().all(|entry| known(&entry.grant)))
    }

    /// Makes the filters of what is looked into together, for the covers first that most resources have.
    pub(crate) fn unite(&mut self) {
        let said = self.said();
        let mut covered: Rows<CoverIx, usize> = self.covers.handles().map(|_| 0).collect();
        self.resources.iter().for_each(|(_, object)| covered[object.cover] += 1);
        let level = |grant: &Grant| grant.level;
        let often = |cover| covered[cover];
        self.unions = Unions::new(&self.covers, &self.shards, &said, level, often);
        let types = self.relative.handles();
        let each = types.clone().map(|kind| (kind, kind)).collect();
        let each = Lists::from_pairs(types.count(), each);
        let level = |entry: &RelativeGrant| entry.grant.level;
        self.relative_unions = Unions::new(&each, &self.relative, &said, level, |_| 1);
    }

    /// Of which permissions each level says something.
    #[expect(clippy::cast_possible_truncation, reason = "INVARIANT: handles are 32 bits wide")]
    fn said(&self) -> Said<LevelIx, PermissionIx> {
        let asked = |(index, said): (usize, &Option<Qualifier>)| {
            said.map(|_| PermissionIx::from_index(index))
        };
        let mut of = ListsBuilder::default();
        for level in self.says.handles() {
            of.push(self.says[level].iter().enumerate().filter_map(asked));
        }
        let asked = self.says.handles().map(|level| self.says[level].len() as u32);
        Said { of: of.into(), asked: asked.collect() }
    }

    /// Notes with the name of each object what covers it.
    #[expect(clippy::cast_possible_truncation, reason = "INVARIANT: handles are 32 bits wide")]
    pub(crate) fn foretell(&mut self) {
        let Self { objects, resources, .. } = self;
        let known = resources.len();
        let cover = |object: ResourceIx| resources[object].cover.index() as u32;
        objects.foretell(|object| if object.index() < known { cover(object) } else { 0 });
    }
}
