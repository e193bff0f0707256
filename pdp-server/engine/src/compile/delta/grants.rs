//! Access Level Definitions and assignments.

use std::sync::Arc;

use crate::arena::{AssignmentIx, CoverIx, Handle as _, LocationIx, ShardIx, TypeIx, WindowIx};
use crate::facts::{Delta, Fact};
use crate::level::{AccessLevel, Assignment, LevelRef, Scope};
use crate::snapshot::{Cold, Grant, Kind, RelativeGrant};
use crate::time::Window;

use super::super::covers::{FEW_COVERS, SMALL_SHARD};
use super::super::handles::Handles;
use super::super::levels::{deniable, said_by};
use super::draft::{Between, Draft};

/// How many handles of assignments are kept to be used again.
const SPARE_ASSIGNMENTS: usize = 1_024;

/// How much larger than small a merged shard may grow before it stays by itself, as a factor: one that
/// is about as large as may be is not taken apart and put together time and again.
const GROWN: usize = 2;

// === impl Draft ===

impl Draft<'_> {
    pub(super) fn name_level(&mut self, name: &LevelRef) {
        let kind = self.kind(&name.type_name);
        if self.find_level(kind, name.name.as_str()).is_some() {
            return;
        }
        let policy = &mut self.policy;
        let level = policy.cold.levels.push(name.clone());
        policy.cold.level_kind.push(kind);
        policy.says.push(Vec::new());
        let mut row: Kind = policy.kinds[kind].clone();
        Arc::make_mut(&mut row.levels).insert(name.name.to_shared(), level);
        policy.kinds.set(kind, row);
        let Cold { levels, levels_of, .. } = &mut *policy.cold;
        levels_of.edit(kind, |of| {
            let at = of.partition_point(|other| levels[*other].name < name.name);
            of.insert(at, level);
        });
    }

    pub(super) fn change_access_level(&mut self, level: Between<'_, AccessLevel>) {
        let Some(after) = level.after else { return };
        let kind = self.kind(&after.name.type_name);
        let handle = self.level(&after.name);
        self.policy.says.set(handle, said_by(after, self.facts));
        self.levels_changed(kind);
    }

    pub(super) fn forget_level(&mut self, name: &LevelRef) {
        let (kind, level) = (self.kind(&name.type_name), self.level(name));
        let policy = &mut self.policy;
        let mut row: Kind = policy.kinds[kind].clone();
        Arc::make_mut(&mut row.levels).remove(name.name.as_str());
        policy.kinds.set(kind, row);
        policy.cold.levels_of.edit(kind, |of| of.retain(|other| *other != level));
        policy.cold.spare.garbage += 1;
        self.levels_changed(kind);
    }

    /// What a type's levels say has changed.
    fn levels_changed(&mut self, kind: TypeIx) {
        let policy = &mut self.policy;
        let mut row: Kind = policy.kinds[kind].clone();
        row.deniable = deniable(&policy.says, &policy.cold.levels_of[kind], row.deniable.len());
        policy.kinds.set(kind, row);
        self.says_otherwise = true;
    }

    pub(super) fn change_assignment(&mut self, delta: &Delta) {
        if let Some(Fact::Assignment(before)) = &delta.before {
            self.revoke(before);
        }
        if let Some(Fact::Assignment(after)) = &delta.after {
            self.grant(after);
        }
    }

    fn grant(&mut self, assignment: &Arc<Assignment>) {
        let (assignee, level) = (self.actor(&assignment.to), self.level(&assignment.level));
        let window = self.window(assignment.window);
        let Cold { assignments, spare, .. } = &mut *self.policy.cold;
        let handle = match spare.assignments.pop() {
            Some(handle) => {
                assignments.set(handle, Arc::clone(assignment));
                handle
            }
            None => assignments.push(Arc::clone(assignment)),
        };
        let grant = Grant { assignee, level, window, assignment: handle };
        self.policy.cold.grants_of.edit(assignee, |grants| grants.push(grant));
        let kind = self.policy.cold.level_kind[level];
        match &assignment.scope {
            Scope::On(resource) => {
                let object = self.resource(resource);
                self.policy.direct.edit(object, |grants| put(grants, grant));
            }
            Scope::In(location) => {
                let location = self.location(location);
                let shard = match self.shard_at(kind, location) {
                    Some(shard) => shard,
                    None => self.add_shard(kind, location),
                };
                self.grant_in(kind, location, shard, grant);
            }
            Scope::Relative(relative) => {
                let entry = RelativeGrant { relative: *relative, grant };
                self.policy.relative.edit(kind, |entries| {
                    let at = entries.partition_point(|other| other.grant.assignee <= assignee);
                    entries.insert(at, entry);
                });
            }
        }
    }

    fn revoke(&mut self, assignment: &Assignment) {
        let (assignee, level) = (self.actor(&assignment.to), self.level(&assignment.level));
        let kind = self.policy.cold.level_kind[level];
        let assignments = self.policy.cold.assignments.clone();
        let is_it = |grant: &Grant| {
            grant.assignee == assignee && assignments[grant.assignment].id == assignment.id
        };
        let mut gone: Option<AssignmentIx> = None;
        let mut drop_from = |grants: &mut Vec<Grant>| {
            if let Some(at) = grants.iter().position(is_it) {
                gone = Some(grants.remove(at).assignment);
            }
        };
        match &assignment.scope {
            Scope::On(resource) => {
                let object = self.resource(resource);
                self.policy.direct.edit(object, &mut drop_from);
            }
            Scope::In(location) => {
                let location = self.location(location);
                if let Some(shard) = self.shard_at(kind, location) {
                    self.policy.shards.edit(shard, &mut drop_from);
                    if self.policy.cold.shard_merged[shard] {
                        for cover in always(self.covers_below(kind, location)) {
                            self.policy.merged.edit(cover, &mut drop_from);
                        }
                    }
                }
            }
            Scope::Relative(_) => self.policy.relative.edit(kind, |entries| {
                if let Some(at) = entries.iter().position(|entry| is_it(&entry.grant)) {
                    gone = Some(entries.remove(at).grant.assignment);
                }
            }),
        }
        let Some(gone) = gone else { return };
        self.policy.cold.grants_of.edit(assignee, |grants| {
            grants.retain(|grant| grant.assignment != gone);
        });
        let spare = &mut self.policy.cold.spare;
        match spare.assignments.len() < SPARE_ASSIGNMENTS {
            true => spare.assignments.push(gone),
            false => spare.garbage += 1,
        }
    }

    /// A window of the policy. One that came before the policy was compiled as a whole may come again.
    fn window(&mut self, window: Window) -> WindowIx {
        if window.is_always() {
            return WindowIx::from_index(0);
        }
        if let Some(known) = self.policy.cold.spare.windows.get(&window) {
            return *known;
        }
        let handle = self.policy.windows.push(window);
        let spare = &mut self.policy.cold.spare;
        spare.windows.set(window, handle);
        // Nobody tells when it is used no more.
        spare.garbage += 1;
        handle
    }

    /// A shard for the first assignment of a type at a location.
    fn add_shard(&mut self, kind: TypeIx, location: LocationIx) -> ShardIx {
        let below = self.covers_below(kind, location);
        let merged = below.len() <= FEW_COVERS;
        let number = self.policy.locations[location].first;
        let shard = self.policy.shards.push(Vec::new());
        self.policy.cold.shard_location.push(location);
        self.policy.cold.shard_merged.push(merged);
        self.policy.cold.shards_of.edit(kind, |shards| {
            let at = shards.partition_point(|(at, _)| *at < number);
            shards.insert(at, (number, shard));
        });
        for (cover, is_always) in below {
            match (is_always, merged) {
                (false, _) => self.cover_anew(kind, cover),
                (true, false) => {
                    self.policy.covers.edit(cover, |shards| shards.push(shard));
                    self.policy.unions.forget(cover);
                }
                // It has no grants yet.
                (true, true) => {}
            }
        }
        shard
    }

    fn grant_in(&mut self, kind: TypeIx, location: LocationIx, shard: ShardIx, grant: Grant) {
        self.policy.shards.edit(shard, |grants| put(grants, grant));
        if !self.policy.cold.shard_merged[shard] {
            return;
        }
        let covers = self.covers_below(kind, location);
        let has_grown = self.policy.shards[shard].len() > SMALL_SHARD * GROWN;
        if has_grown || covers.len() > FEW_COVERS * GROWN {
            self.policy.cold.shard_merged.set(shard, false);
            covers.into_iter().for_each(|(cover, _)| self.cover_anew(kind, cover));
            return;
        }
        for cover in always(covers) {
            self.policy.merged.edit(cover, |grants| put(grants, grant));
        }
    }
}

/// The covers that are always placed there.
fn always(covers: Vec<(CoverIx, bool)>) -> impl Iterator<Item = CoverIx> {
    covers.into_iter().filter(|(_, always)| *always).map(|(cover, _)| cover)
}

/// Puts a grant among others that are sorted by assignee.
fn put(grants: &mut Vec<Grant>, grant: Grant) {
    let at = grants.partition_point(|other| other.assignee <= grant.assignee);
    grants.insert(at, grant);
}
