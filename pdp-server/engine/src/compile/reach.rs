//! Whom a subject counts as: where the edges lead from it, always and at times (A1 to A9).

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use crate::arena::{ActorIx, Lists, Rows};
use crate::snapshot::{Edge, Timed};
use crate::time::Window;

use super::budget::{Budget, TooLarge};
use super::timeset::TimeSet;

/// Tells which actors have been reached.
pub(super) trait Marks {
    fn forget_all(&mut self);

    /// Marks an actor; whether it was not marked before.
    fn mark(&mut self, actor: ActorIx) -> bool;

    fn is_marked(&self, actor: ActorIx) -> bool;
}

/// Marks for many subjects one after the other: the round in which each actor was reached last.
pub(super) struct Rounds {
    seen: Rows<ActorIx, u32>,
    round: u32,
}

impl Rounds {
    pub(super) fn new(actors: usize) -> Self {
        Self { seen: (0..actors).map(|_| 0).collect(), round: 0 }
    }
}

impl Marks for Rounds {
    fn forget_all(&mut self) {
        self.round += 1;
    }

    fn mark(&mut self, actor: ActorIx) -> bool {
        let seen = &mut self.seen[actor];
        std::mem::replace(seen, self.round) != self.round
    }

    fn is_marked(&self, actor: ActorIx) -> bool {
        self.seen[actor] == self.round
    }
}

/// Marks for a few subjects.
impl Marks for HashSet<ActorIx> {
    fn forget_all(&mut self) {
        self.clear();
    }

    fn mark(&mut self, actor: ActorIx) -> bool {
        self.insert(actor)
    }

    fn is_marked(&self, actor: ActorIx) -> bool {
        self.contains(&actor)
    }
}

/// Follows the edges from one subject after another.
pub(super) struct Reach<'a, M> {
    edges: &'a Lists<ActorIx, Edge>,
    marks: M,
    /// What the present subject always counts as, sorted.
    pub(super) always: Vec<ActorIx>,
    /// What it counts as at some instants.
    sometimes: BTreeMap<ActorIx, TimeSet>,
}

impl<'a, M: Marks> Reach<'a, M> {
    pub(super) fn new(edges: &'a Lists<ActorIx, Edge>, marks: M) -> Self {
        Self { edges, marks, always: Vec::new(), sometimes: BTreeMap::new() }
    }

    /// Follows the edges from a subject; from nothing, if it counts as nobody.
    pub(super) fn follow(
        &mut self,
        subject: Option<ActorIx>,
        budget: &mut Budget,
    ) -> Result<(), TooLarge> {
        self.marks.forget_all();
        self.always.clear();
        self.sometimes.clear();
        let Some(subject) = subject else { return Ok(()) };
        self.marks.mark(subject);
        self.always.push(subject);
        let mut windowed = Vec::new();
        let mut next = 0;
        while let Some(actor) = self.always.get(next).copied() {
            next += 1;
            for edge in &self.edges[actor] {
                if !edge.window.is_always() {
                    windowed.push((edge.to, edge.window));
                } else if self.marks.mark(edge.to) {
                    self.always.push(edge.to);
                }
            }
        }
        self.always.sort_unstable();
        budget.closure(self.always.len())?;
        self.follow_windows(windowed, budget)
    }

    /// The least fixed point over sets of instants: it ends because every set only grows, and only
    /// by windows bounded by the finitely many instants that occur. An actor hands on its whole set
    /// at once, so that many windows along a long path cost their sum and not their product.
    fn follow_windows(
        &mut self,
        open: Vec<(ActorIx, Window)>,
        budget: &mut Budget,
    ) -> Result<(), TooLarge> {
        if open.is_empty() {
            return Ok(());
        }
        let mut arrived: BTreeMap<ActorIx, Vec<Window>> = BTreeMap::new();
        for (actor, window) in open {
            arrived.entry(actor).or_default().push(window);
        }
        let mut queue = VecDeque::new();
        let mut queued = BTreeSet::new();
        for (actor, windows) in arrived {
            if !self.marks.is_marked(actor) {
                budget.steps(windows.len())?;
                self.sometimes.entry(actor).or_default().add(&windows);
                queue.push_back(actor);
                queued.insert(actor);
            }
        }
        while let Some(actor) = queue.pop_front() {
            queued.remove(&actor);
            let Some(times) = self.sometimes.get(&actor).cloned() else { continue };
            for edge in &self.edges[actor] {
                if self.marks.is_marked(edge.to) {
                    continue;
                }
                let passed = times.within(edge.window);
                let reached = self.sometimes.entry(edge.to).or_default();
                budget.steps(times.windows().len() + reached.windows().len())?;
                if reached.add(&passed) && queued.insert(edge.to) {
                    queue.push_back(edge.to);
                }
            }
        }
        let windows = self.sometimes.values().map(|times| times.windows().len()).sum();
        budget.windows(windows)
    }

    /// What the present subject counts as at some instants, in order.
    pub(super) fn timed(&self) -> impl Iterator<Item = Timed<ActorIx>> + '_ {
        self.sometimes.iter().flat_map(|(actor, times)| {
            times.windows().iter().map(|window| Timed { item: *actor, window: *window })
        })
    }
}
