//! What almost granted it: assignments that lack one thing.

use std::collections::BTreeSet;

use super::path::Paths;
use super::{Gap, Hop, NearMiss};
use crate::arena::ActorIx;
use crate::check::Target;
use crate::permission::Qualifier;
use crate::snapshot::{Grant, Snapshot};
use crate::time::{Timestamp, Window};
use crate::walk::{Relations, Who, open};

/// How many near misses of one kind an explanation names: enough to act on.
pub const MAX_NEAR_MISSES_PER_GAP: usize = 5;

/// How many grants are looked at for each kind of near miss, so that a policy with huge lists does
/// not make explanations slow.
const MAX_GRANTS_LOOKED_AT: usize = 10_000;

/// The near misses of a target that nothing grants, nearest first.
pub(super) fn near_misses(
    snapshot: &Snapshot,
    who: &Who<'_>,
    target: Target,
    paths: &Paths<'_>,
) -> Vec<NearMiss> {
    let (subject, now) = (who.subject, who.t);
    let search = Search { snapshot, subject, target, now, who };
    let (mut windows, mut assignees) = (Vec::new(), Vec::new());
    let covering = search.covering().filter(|grant| search.allows(grant));
    for grant in covering.take(MAX_GRANTS_LOOKED_AT) {
        if windows.len() >= MAX_NEAR_MISSES_PER_GAP && assignees.len() >= MAX_NEAR_MISSES_PER_GAP {
            break;
        }
        let full = |list: &Vec<NearMiss>| list.len() >= MAX_NEAR_MISSES_PER_GAP;
        match (who.is(grant.assignee), search.is_open(grant)) {
            (true, false) if !full(&windows) => {
                windows.push(search.miss(grant, Gap::Window, paths.to(grant.assignee)));
            }
            (false, true) => match search.other_time(grant.assignee) {
                Some(instant) if !full(&windows) => {
                    let then = Who::new(snapshot, subject, instant);
                    let path = Paths::new(snapshot, &then).to(grant.assignee);
                    windows.push(search.miss(grant, Gap::Window, path));
                }
                None if !full(&assignees) => {
                    assignees.push(search.miss(grant, Gap::Assignee, Vec::new()));
                }
                Some(_) | None => {}
            },
            // Granted after all, lacking two things, or one too many of its kind.
            (true, _) | (false, false) => {}
        }
    }
    // What several sessions make the subject count as comes several times.
    let mut seen = BTreeSet::new();
    let elsewhere = search.elsewhere().filter(|grant| seen.insert(grant.assignment));
    let elsewhere = elsewhere.map(|grant| search.miss(grant, Gap::Scope, Vec::new()));
    let elsewhere = elsewhere.take(MAX_NEAR_MISSES_PER_GAP);
    windows.into_iter().chain(assignees).chain(elsewhere).collect()
}

struct Search<'a> {
    snapshot: &'a Snapshot,
    subject: ActorIx,
    target: Target,
    now: Timestamp,
    who: &'a Who<'a>,
}

impl<'a> Search<'a> {
    /// Every grant whose scope covers the object for this subject, whoever the assignee is.
    fn covering(&self) -> impl Iterator<Item = &'a Grant> + '_ {
        let (snapshot, object) = (self.snapshot, self.target.object);
        let row = &snapshot.resources[object];
        let always = snapshot.covers[row.cover].iter().copied();
        let mut timed: Vec<_> = open(&snapshot.covers_timed[row.cover], self.now).collect();
        timed.dedup();
        let mut relations =
            Relations::new(snapshot, (self.subject, snapshot.resources[object]), self.now);
        let listed = &snapshot.relative[row.kind];
        let is_person = snapshot.subjects[self.subject].is_person;
        let relative = match !listed.is_empty() && is_person && relations.any() {
            true => listed,
            false => &[],
        };
        let relative = relative.iter().filter(move |entry| relations.hold(entry.relative));
        let placed = always.chain(timed).flat_map(|shard| &snapshot.shards[shard]);
        let merged = &snapshot.merged[row.cover];
        snapshot.direct[object]
            .iter()
            .chain(merged)
            .chain(placed)
            .chain(relative.map(|entry| &entry.grant))
    }

    /// Every grant to the subject of a level of the object's type that is in force and allows the
    /// permission. As the permission is not granted, none of them covers the object.
    fn elsewhere(&self) -> impl Iterator<Item = &'a Grant> + '_ {
        let snapshot = self.snapshot;
        let kind = snapshot.resources[self.target.object].kind;
        self.who
            .all()
            .flat_map(|actor| &snapshot.cold.grants_of[actor])
            .take(MAX_GRANTS_LOOKED_AT)
            .filter(move |grant| snapshot.cold.level_kind[grant.level] == kind)
            .filter(|grant| self.allows(grant) && self.is_open(grant))
    }

    fn allows(&self, grant: &Grant) -> bool {
        self.snapshot.says(grant.level, self.target.permission) == Some(Qualifier::Allowed)
    }

    fn is_open(&self, grant: &Grant) -> bool {
        self.snapshot.windows[grant.window].contains(self.now)
    }

    /// An instant at which the subject counts as the actor, for one it does not count as now: the
    /// last one before now, else the first one after.
    fn other_time(&self, actor: ActorIx) -> Option<Timestamp> {
        let windows = self.who.sometimes().iter().filter(|timed| timed.item == actor);
        let instant = |window: Window| match window.until {
            Some(until) if until <= self.now => {
                Some(Timestamp::from_micros(until.as_micros().saturating_sub(1)))
            }
            _ => window.from,
        };
        let (before, after): (Vec<_>, Vec<_>) = windows
            .filter_map(|timed| instant(timed.window))
            .partition(|instant| *instant < self.now);
        before.into_iter().max().or_else(|| after.into_iter().min())
    }

    fn miss(&self, grant: &Grant, gap: Gap, subject_path: Vec<Hop>) -> NearMiss {
        let assignment = &self.snapshot.cold.assignments[grant.assignment];
        NearMiss {
            assignment: assignment.id.clone(),
            to: assignment.to.clone(),
            level: assignment.level.clone(),
            scope: assignment.scope.clone(),
            window: assignment.window,
            gap,
            subject_path,
        }
    }
}
