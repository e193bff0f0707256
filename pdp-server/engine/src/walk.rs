//! The one walk behind every answer: from a subject and an object to the assignments that apply.
//!
//! `check` and `explain` differ only in what they do with the grants that the walk finds.

mod relation;

use std::ops::ControlFlow;

pub(crate) use relation::Relations;

use crate::arena::{
    ActorIx, Filter, Handle, Keyed, LocationIx, PermissionIx, ResourceIx, Run, ShardIx, TypeIx,
};
use crate::level::Relative;
use crate::query::SubjectRef;
use crate::session::{self, OpenSession};
use crate::snapshot::{Grant, Snapshot, Timed};
use crate::time::Timestamp;

/// What a walk does with the grants it finds.
pub(crate) trait Visit {
    /// Takes one grant whose assignee the subject counts as and whose scope covers the object;
    /// whether its own window is open is for the visitor to ask.
    fn grant(&mut self, grant: &Grant, via: Via) -> ControlFlow<()>;

    /// The permission, if grants that say nothing of it need not be shown.
    fn asks(&self) -> Option<PermissionIx>;
}

/// How a grant came to cover the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    Direct,
    Location(ShardIx),
    /// A grant of a small shard; its assignment tells the location.
    Merged,
    /// A grant below the location that is asked of: only its denials count (D1).
    Below(ShardIx),
    Relative(Relative),
}

/// Shows `visitor` every grant that applies to the subject and the object, but for the grants' own
/// windows; what says nothing of what it asks ([`Visit::asks`]) may be left out. A grant is shown once for each of the subject's [`Part`]s.
pub(crate) fn walk(
    snapshot: &Snapshot,
    who: &Who<'_>,
    object: ResourceIx,
    visitor: &mut impl Visit,
) -> ControlFlow<()> {
    let (subject, t) = (who.subject, who.t);
    let row = &snapshot.resources[object];
    who.meet_run(snapshot.direct.run(object), |grant| visitor.grant(grant, Via::Direct))?;
    who.meet_run(snapshot.merged.run(row.cover), |grant| visitor.grant(grant, Via::Merged))?;
    let asks = visitor.asks();
    let covers = &snapshot.covers[row.cover];
    if !covers.is_empty() {
        let filter = asks.map_or(Filter::NONE, |asks| snapshot.unions.of(row.cover, asks));
        let lists = Together { shards: &snapshot.shards, lists: covers, filter };
        who.meet_together(lists, |grant, shard| visitor.grant(grant, Via::Location(shard)))?;
    }
    let mut last = None;
    for shard in &snapshot.covers_timed[row.cover] {
        // Sorted by shard: several windows may be open, and one is enough.
        if shard.window.contains(t) && last != Some(shard.item) {
            last = Some(shard.item);
            let via = Via::Location(shard.item);
            who.meet_run(snapshot.shards.run(shard.item), |grant| visitor.grant(grant, via))?;
        }
    }
    let relative = snapshot.relative.run(row.kind);
    if relative.keys.is_empty() || !who.is_person {
        return ControlFlow::Continue(());
    }
    let mut relations = Relations::new(snapshot, (subject, *row), t);
    if relative.keys.len() > FEW_RELATIVES && !relations.any() {
        return ControlFlow::Continue(());
    }
    let filter = asks.map_or(Filter::NONE, |asks| snapshot.relative_unions.of(row.kind, asks));
    let lists = Together { shards: &snapshot.relative, lists: &[row.kind], filter };
    who.meet_together(lists, |entry, _| {
        if relations.hold(entry.relative) {
            visitor.grant(&entry.grant, Via::Relative(entry.relative))?;
        }
        ControlFlow::Continue(())
    })
}

/// Shows `visitor` the location grants of a type that matter for the type at a location (D1):
/// those made at the location or above, and those made below, of which only denials count.
pub(crate) fn walk_location(
    snapshot: &Snapshot,
    who: &Who<'_>,
    kind: TypeIx,
    location: LocationIx,
    visitor: &mut impl Visit,
) -> ControlFlow<()> {
    let mut show = |shard: ShardIx, via: Via| {
        who.meet_run(snapshot.shards.run(shard), |grant| visitor.grant(grant, via))
    };
    for shard in shards_above(snapshot, kind, location) {
        show(shard, Via::Location(shard))?;
    }
    for (_, shard) in shards_below(snapshot, kind, location) {
        show(*shard, Via::Below(*shard))?;
    }
    ControlFlow::Continue(())
}

/// The shards of a type at a location and above, nearest first.
pub(crate) fn shards_above(
    snapshot: &Snapshot,
    kind: TypeIx,
    location: LocationIx,
) -> impl Iterator<Item = ShardIx> + '_ {
    let shards = &snapshot.cold.shards_of[kind];
    let at = |location: LocationIx| {
        let number = snapshot.locations[location].first;
        let index = shards.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        shards.get(index).map(|(_, shard)| *shard)
    };
    std::iter::successors(Some(location), |at| snapshot.locations[*at].parent).filter_map(at)
}

/// The shards of a type below a location.
fn shards_below(snapshot: &Snapshot, kind: TypeIx, location: LocationIx) -> &[(u32, ShardIx)] {
    let shards = &snapshot.cold.shards_of[kind];
    let place = snapshot.locations[location];
    let from = shards.partition_point(|(number, _)| *number <= place.first);
    let to = shards.partition_point(|(number, _)| *number < place.after);
    shards.get(from..to).unwrap_or_default()
}

/// How long a list of relative grants may be for whoever the subject counts as to be looked for in it
/// before it is known whether any relation holds. Mostly none does.
const FEW_RELATIVES: usize = 8;

/// Whom a subject counts as at one instant.
pub(crate) struct Who<'a> {
    pub(crate) subject: ActorIx,
    is_person: bool,
    /// What the policy says.
    own: Part<'a>,
    /// What open sessions add (P10): only accounts have any, so that for others this allocates
    /// nothing.
    pub(crate) by_session: Vec<Member<'a>>,
    pub(crate) t: Timestamp,
}

/// A membership of a native group that lasts as long as a session.
pub(crate) struct Member<'a> {
    pub(crate) session: &'a OpenSession,
    pub(crate) group: ActorIx,
    part: Part<'a>,
}

/// Actors that a subject counts as, sorted.
#[derive(Clone, Copy)]
struct Part<'a> {
    always: &'a [ActorIx],
    sometimes: &'a [Timed<ActorIx>],
    now: Now,
    t: Timestamp,
}

/// What of `sometimes` holds now, looked up once for all lists, if that is little.
#[derive(Clone, Copy)]
enum Now {
    Few([ActorIx; FEW_NOW], usize),
    Many,
}

/// How many actors that is at most.
const FEW_NOW: usize = 16;

/// How many actors are compared with a key one by one.
const FEW_ALWAYS: usize = 96;

// === impl Who ===

impl<'a> Who<'a> {
    /// What the policy says of a subject.
    pub(crate) fn new(snapshot: &'a Snapshot, subject: ActorIx, t: Timestamp) -> Self {
        Self::of(snapshot, subject, snapshot.subjects[subject].is_person, t)
    }

    #[inline]
    fn of(snapshot: &'a Snapshot, subject: ActorIx, is_person: bool, t: Timestamp) -> Self {
        let own = Part::new(&snapshot.closure[subject], &snapshot.closure_timed[subject], t);
        Self { subject, is_person, own, by_session: Vec::new(), t }
    }

    /// What the policy and the open sessions say of a subject; `named` is the subject's name.
    #[inline]
    pub(crate) fn named(
        snapshot: &'a Snapshot,
        subject: ActorIx,
        named: SubjectRef<'_>,
        t: Timestamp,
    ) -> Self {
        let by_session = match named {
            SubjectRef::Person(_) => Vec::new(),
            SubjectRef::Account(id) => memberships(snapshot, id, t),
        };
        let is_person = matches!(named, SubjectRef::Person(_));
        Self { by_session, ..Self::of(snapshot, subject, is_person, t) }
    }

    fn parts(&self) -> impl Iterator<Item = Part<'a>> + '_ {
        std::iter::once(self.own).chain(self.by_session.iter().map(|member| member.part))
    }

    /// What the policy makes the subject count as at some instants.
    pub(crate) fn sometimes(&self) -> &'a [Timed<ActorIx>] {
        self.own.sometimes
    }

    /// Everything the subject counts as; what several sessions make it count as comes several times.
    pub(crate) fn all(&self) -> impl Iterator<Item = ActorIx> + '_ {
        let open = |part: Part<'a>| open(part.sometimes, part.t);
        self.parts().flat_map(move |part| part.always.iter().copied().chain(open(part)))
    }

    /// Whether the subject counts as the actor.
    pub(crate) fn is(&self, actor: ActorIx) -> bool {
        self.parts().any(|part| part.is(actor))
    }

    /// Calls `f` with everything in `sorted` whose assignee the subject counts as.
    ///
    /// INVARIANT: `sorted` is sorted by `assignee`.
    pub(crate) fn meet<T>(
        &self,
        sorted: &[T],
        assignee: impl Fn(&T) -> ActorIx,
        mut f: impl FnMut(&T) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.own.meet(sorted, &assignee, &mut f)?;
        self.by_session.iter().try_for_each(|member| member.part.meet(sorted, &assignee, &mut f))
    }

    /// The same for a list whose keys lie apart.
    pub(crate) fn meet_run<T>(
        &self,
        run: Run<'_, ActorIx, T>,
        mut f: impl FnMut(&T) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if run.keys.is_empty() {
            return ControlFlow::Continue(());
        }
        self.own.meet_run(run, &mut f)?;
        self.by_session.iter().try_for_each(|member| member.part.meet_run(run, &mut f))
    }

    /// Calls `f` with everything in lists that are looked into together whose assignee the subject counts
    /// as; their filter may leave out what says nothing.
    fn meet_together<H: Handle, T>(
        &self,
        Together { shards, lists, filter }: Together<'_, H, T>,
        mut f: impl FnMut(&T, H) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let has_changed = shards.has_changed();
        let alone = |list: H| !filter.tells() || (has_changed && shards.changed(list).is_some());
        for list in lists.iter().filter(|list| alone(**list)) {
            self.meet_run(shards.run(*list), |item| f(item, *list))?;
        }
        if !filter.tells() {
            return ControlFlow::Continue(());
        }
        for part in self.parts() {
            part.each(filter, |actor| {
                for list in lists.iter().filter(|list| !alone(**list)) {
                    let run = shards.base(*list);
                    if run.filter.may_hold(actor) {
                        same_key(run, 0, actor, &mut |item: &T| f(item, *list))?;
                    }
                }
                ControlFlow::Continue(())
            })?;
        }
        ControlFlow::Continue(())
    }
}

/// Lists that are looked into together, and what tells whom they may have.
struct Together<'a, H: Handle, T> {
    shards: &'a Keyed<H, ActorIx, T>,
    lists: &'a [H],
    filter: Filter<'a>,
}

/// The memberships that an account's open sessions give it (P10).
fn memberships<'a>(snapshot: &'a Snapshot, account: &str, t: Timestamp) -> Vec<Member<'a>> {
    let mut members: Vec<Member<'a>> = Vec::new();
    for session in snapshot.sessions().of_account(account) {
        // Several sessions may put it into one group.
        let known = members.iter().any(|it| it.session.group == session.group);
        if !known && let Some(native) = session::membership(snapshot, session, t) {
            let always = &snapshot.psm.native[native];
            let sometimes = &snapshot.psm.native_timed[native];
            let group = snapshot.psm.native_group[native];
            members.push(Member { session, group, part: Part::new(always, sometimes, t) });
        }
    }
    members
}

// === impl Part ===

impl<'a> Part<'a> {
    #[inline]
    fn new(always: &'a [ActorIx], sometimes: &'a [Timed<ActorIx>], t: Timestamp) -> Self {
        Self { always, sometimes, now: Now::at(sometimes, t), t }
    }

    fn is(&self, actor: ActorIx) -> bool {
        self.always.binary_search(&actor).is_ok() || self.is_now(actor)
    }

    fn is_now(&self, actor: ActorIx) -> bool {
        let listed = run(self.sometimes, |timed| timed.item, actor);
        listed.iter().any(|timed| timed.window.contains(self.t))
    }

    /// Calls `f` with every actor that it counts as and the filter lets pass.
    fn each(
        &self,
        filter: Filter<'_>,
        mut f: impl FnMut(ActorIx) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        filter.passing(self.always, &mut f)?;
        match &self.now {
            Now::Few(actors, count) => {
                filter.passing(actors.get(..*count).unwrap_or_default(), f)?;
            }
            Now::Many => {
                // An actor with several windows stands there as often, one after the other.
                for timed in self.sometimes.chunk_by(|one, other| one.item == other.item) {
                    let Some(first) = timed.first() else { continue };
                    let is_now = || timed.iter().any(|timed| timed.window.contains(self.t));
                    if filter.may_hold(first.item) && is_now() {
                        f(first.item)?;
                    }
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// [`Part::meet`] for a list whose keys lie apart.
    fn meet_run<T>(
        &self,
        run: Run<'_, ActorIx, T>,
        f: &mut impl FnMut(&T) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Run { keys, filter, items } = run;
        // A look at the filter takes a third of the time of a search.
        let filtered = filter.tells() && keys.len() * 2 > self.always.len();
        if filtered {
            for actor in self.always {
                if filter.may_hold(*actor) {
                    same_key(run, 0, *actor, f)?;
                }
            }
        } else if keys.len() <= self.always.len() {
            let few = self.always.len() <= FEW_ALWAYS;
            let is_always = |key| match few {
                true => is_among(self.always, key),
                false => self.always.binary_search(&key).is_ok(),
            };
            for (key, item) in keys.iter().zip(items) {
                if is_always(*key) {
                    f(item)?;
                }
            }
        } else {
            let mut from = 0;
            for actor in self.always {
                from = same_key(run, from, *actor, f)?;
            }
        }
        match &self.now {
            Now::Few(actors, count) if keys.len() <= FEW_NOW && *count > 0 => {
                let actors = actors.get(..*count).unwrap_or_default();
                for (key, item) in keys.iter().zip(items) {
                    if is_among(actors, *key) {
                        f(item)?;
                    }
                }
                ControlFlow::Continue(())
            }
            Now::Few(actors, count) => {
                for actor in actors.iter().take(*count) {
                    if !filtered || filter.may_hold(*actor) {
                        same_key(run, 0, *actor, f)?;
                    }
                }
                ControlFlow::Continue(())
            }
            Now::Many if keys.len() < self.sometimes.len() => {
                let met = keys.iter().zip(items).filter(|(key, _)| self.is_now(**key));
                met.map(|(_, item)| item).try_for_each(f)
            }
            Now::Many => {
                for timed in self.sometimes {
                    if filter.may_hold(timed.item) && timed.window.contains(self.t) {
                        same_key(run, 0, timed.item, f)?;
                    }
                }
                ControlFlow::Continue(())
            }
        }
    }

    /// The shorter of the two sides is gone through, the longer one searched.
    fn meet<T>(
        &self,
        sorted: &[T],
        assignee: impl Fn(&T) -> ActorIx,
        mut f: impl FnMut(&T) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if sorted.len() <= self.always.len() {
            for item in sorted {
                if self.always.binary_search(&assignee(item)).is_ok() {
                    f(item)?;
                }
            }
        } else {
            let mut rest = sorted;
            for actor in self.always {
                let skip = rest.partition_point(|item| assignee(item) < *actor);
                rest = rest.get(skip..).unwrap_or_default();
                for item in rest.iter().take_while(|item| assignee(item) == *actor) {
                    f(item)?;
                }
            }
        }
        if sorted.len() < self.sometimes.len() {
            return sorted.iter().filter(|item| self.is_now(assignee(item))).try_for_each(&mut f);
        }
        for timed in self.sometimes {
            if timed.window.contains(self.t) {
                run(sorted, &assignee, timed.item).iter().try_for_each(&mut f)?;
            }
        }
        ControlFlow::Continue(())
    }
}

// === impl Now ===

impl Now {
    #[inline]
    fn at(sometimes: &[Timed<ActorIx>], t: Timestamp) -> Self {
        let (mut actors, mut count) = ([ActorIx::from_index(0); FEW_NOW], 0);
        for actor in open(sometimes, t) {
            let Some(place) = actors.get_mut(count) else { return Self::Many };
            *place = actor;
            count += 1;
        }
        Self::Few(actors, count)
    }
}

/// Whether an actor is one of a few: all are compared, as that costs less than foretelling which.
fn is_among(actors: &[ActorIx], wanted: ActorIx) -> bool {
    actors.iter().fold(false, |found, actor| found | (*actor == wanted))
}

/// Calls `f` with the items of a key, which is looked for behind `from`; where the next key begins.
fn same_key<T>(
    run: Run<'_, ActorIx, T>,
    from: usize,
    key: ActorIx,
    f: &mut impl FnMut(&T) -> ControlFlow<()>,
) -> ControlFlow<(), usize> {
    let Run { keys, items, filter: _ } = run;
    let rest = keys.get(from..).unwrap_or_default();
    let mut at = from + rest.partition_point(|other| *other < key);
    while keys.get(at) == Some(&key)
        && let Some(item) = items.get(at)
    {
        f(item)?;
        at += 1;
    }
    ControlFlow::Continue(at)
}

/// The part of a sorted slice whose keys equal `key`.
pub(crate) fn run<T, K: Ord>(sorted: &[T], of: impl Fn(&T) -> K, key: K) -> &[T] {
    let from = sorted.partition_point(|item| of(item) < key);
    let rest = sorted.get(from..).unwrap_or_default();
    let length = rest.partition_point(|item| of(item) <= key);
    rest.get(..length).unwrap_or_default()
}

/// The items whose windows are open at `t`.
pub(crate) fn open<T: Copy>(timed: &[Timed<T>], t: Timestamp) -> impl Iterator<Item = T> + '_ {
    timed.iter().filter(move |timed| timed.window.contains(t)).map(|timed| timed.item)
}
