//! Who counts as whom: the edges between actors, and for every subject where they lead (A1 to A9).

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use crate::actor::{ActorRef, Membership, Position};
use crate::arena::{ActorIx, Handle, Lists, LocationIx, NativeIx, RoleIx, Table};
use crate::facts::Facts;
use crate::snapshot::{Edge, EdgeKind, Held, Subject, Timed};
use crate::time::Window;

use super::budget::{Budget, TooLarge};
use super::names::Names;
use super::places::Places;
use super::timeset::{TimeSet, both};

pub(super) struct Actors {
    pub(super) subjects: Table<ActorIx, Subject>,
    pub(super) edges: Lists<ActorIx, Edge>,
    pub(super) positions: Lists<ActorIx, Timed<Held>>,
    pub(super) closure: Lists<ActorIx, ActorIx>,
    pub(super) closure_timed: Lists<ActorIx, Timed<ActorIx>>,
    pub(super) native: Lists<NativeIx, ActorIx>,
    pub(super) native_timed: Lists<NativeIx, Timed<ActorIx>>,
}

pub(super) fn compile(
    facts: &Facts,
    names: &Names,
    places: &Places,
    natives: &Table<NativeIx, ActorIx>,
    budget: &mut Budget,
) -> Result<Actors, TooLarge> {
    let subjects = subjects(facts, names);
    let pairs = pairs_by_role(names);
    let mut edges = EdgeList { names, places, pairs, edges: Vec::new(), budget };
    edges.collect(facts)?;
    let edges = Lists::from_pairs(names.actor_rows.len(), edges.edges);
    let mut closure = Lists::default();
    let mut closure_timed = Lists::default();
    let mut reach = Reach::new(&edges, names.actor_rows.len());
    for (subject, row) in subjects.iter() {
        reach.follow(row.enabled.then_some(subject), budget)?;
        closure.push(reach.always.iter().copied());
        closure_timed.push(reach.timed());
    }
    let (mut native, mut native_timed) = (Lists::default(), Lists::default());
    for (_, group) in natives.iter() {
        reach.follow(Some(*group), budget)?;
        native.push(reach.always.iter().copied());
        native_timed.push(reach.timed());
    }
    let positions = positions(facts, names);
    Ok(Actors { subjects, edges, positions, closure, closure_timed, native, native_timed })
}

fn subjects(facts: &Facts, names: &Names) -> Table<ActorIx, Subject> {
    let person_of = |id: &crate::id::PersonId| names.actors[&ActorRef::Person(id.clone())];
    let people = facts.people().map(|person| Subject {
        enabled: person.enabled,
        owner: None,
        manager: person.manager.as_ref().map(person_of),
        is_person: true,
        remote_apps: !person.vault_privileges.is_empty(),
    });
    let accounts = facts.accounts().map(|account| {
        let owner = account.owner.as_ref();
        let disabled_owner = owner.and_then(|id| facts.person(id)).is_some_and(|o| !o.enabled);
        Subject {
            enabled: account.enabled && !disabled_owner,
            owner: owner.map(person_of),
            manager: None,
            is_person: false,
            remote_apps: false,
        }
    });
    let besides =
        Subject { enabled: true, owner: None, manager: None, is_person: false, remote_apps: false };
    people.chain(accounts).chain([besides]).collect()
}

fn positions(facts: &Facts, names: &Names) -> Lists<ActorIx, Timed<Held>> {
    let people = facts.people().map(|p| (ActorRef::Person(p.id.clone()), &p.positions));
    let groups = facts.groups().map(|g| (ActorRef::Group(g.id.clone()), &g.positions));
    let mut pairs = Vec::new();
    for (holder, held) in people.chain(groups) {
        let holder = names.actors[&holder];
        pairs.extend(held.iter().map(|position| {
            let role = names.roles[&position.business_role];
            let location = names.locations[&position.location];
            (holder, Timed { item: Held { role, location }, window: position.window })
        }));
    }
    Lists::from_pairs(names.actor_rows.len(), pairs)
}

/// The pairs that something names, by their role.
fn pairs_by_role(names: &Names) -> HashMap<RoleIx, Vec<(LocationIx, ActorIx)>> {
    let mut pairs: HashMap<RoleIx, Vec<(LocationIx, ActorIx)>> = HashMap::new();
    for (actor, name) in names.actor_rows.iter() {
        if let ActorRef::BusinessRoleLocation(role, location) = name {
            let entry = (names.locations[location], actor);
            pairs.entry(names.roles[role]).or_default().push(entry);
        }
    }
    pairs
}

struct EdgeList<'a> {
    names: &'a Names,
    places: &'a Places,
    pairs: HashMap<RoleIx, Vec<(LocationIx, ActorIx)>>,
    edges: Vec<(ActorIx, Edge)>,
    budget: &'a mut Budget,
}

impl EdgeList<'_> {
    fn collect(&mut self, facts: &Facts) -> Result<(), TooLarge> {
        for account in facts.accounts().filter(|account| account.enabled) {
            if let Some(owner) = &account.owner {
                // A2; a disabled owner is no subject, so the edge is never followed (A8).
                let from = ActorRef::Person(owner.clone());
                let to = ActorRef::Account(account.id.clone());
                self.edge(&from, &to, Window::ALWAYS, EdgeKind::Owns);
            }
        }
        for person in facts.people() {
            self.positions(&ActorRef::Person(person.id.clone()), &person.positions)?;
        }
        for group in facts.groups() {
            let actor = ActorRef::Group(group.id.clone());
            self.members(&actor, &group.members);
            self.positions(&actor, &group.positions)?;
        }
        for group in facts.set_groups() {
            self.members(&ActorRef::SetGroup(group.id.clone()), &group.members);
        }
        for role in facts.management_roles() {
            let actor = ActorRef::ManagementRole(role.id.clone());
            self.members(&actor, &role.members);
            for included in &role.includes {
                let to = ActorRef::ManagementRole(included.clone());
                self.edge(&actor, &to, Window::ALWAYS, EdgeKind::Includes);
            }
            if let Some(definition) = &role.definition {
                let to = ActorRef::ManagementRoleDefinition(definition.clone());
                self.edge(&actor, &to, Window::ALWAYS, EdgeKind::MadeFrom);
            }
        }
        Ok(())
    }

    fn members(&mut self, container: &ActorRef, members: &[Membership]) {
        for member in members {
            self.edge(&member.of, container, member.window, EdgeKind::MemberOf);
        }
    }

    /// A position makes an edge to every pair above it that something names, so that what few facts
    /// say can be many edges.
    fn positions(&mut self, holder: &ActorRef, positions: &[Position]) -> Result<(), TooLarge> {
        let from = self.names.actors[holder];
        for position in positions {
            let role = self.names.roles[&position.business_role];
            let at = self.names.locations[&position.location];
            let by = EdgeKind::Position(role, at);
            for role in self.places.role_and_above(role) {
                for (location, pair) in self.pairs.get(&role).into_iter().flatten() {
                    if self.places.climbs_to(at, *location) {
                        let edge = Edge { to: *pair, window: position.window, by };
                        self.budget.edges(1)?;
                        self.edges.push((from, edge));
                    }
                }
            }
        }
        Ok(())
    }

    fn edge(&mut self, from: &ActorRef, to: &ActorRef, window: Window, by: EdgeKind) {
        let (from, to) = (self.names.actors[from], self.names.actors[to]);
        self.edges.push((from, Edge { to, window, by }));
    }
}

/// Follows the edges from one subject after another.
struct Reach<'a> {
    edges: &'a Lists<ActorIx, Edge>,
    /// Which subject last reached the actor without passing a window.
    seen: Table<ActorIx, usize>,
    round: usize,
    /// What the present subject always counts as, sorted.
    always: Vec<ActorIx>,
    /// What it counts as at some instants.
    sometimes: BTreeMap<ActorIx, TimeSet>,
}

impl<'a> Reach<'a> {
    fn new(edges: &'a Lists<ActorIx, Edge>, actors: usize) -> Self {
        let seen = (0..actors).map(|_| 0).collect();
        Self { edges, seen, round: 0, always: Vec::new(), sometimes: BTreeMap::new() }
    }

    fn follow(&mut self, subject: Option<ActorIx>, budget: &mut Budget) -> Result<(), TooLarge> {
        self.round += 1;
        self.always.clear();
        self.sometimes.clear();
        let Some(subject) = subject else { return Ok(()) };
        self.seen[subject] = self.round;
        self.always.push(subject);
        let mut windowed = Vec::new();
        let mut next = 0;
        while let Some(actor) = self.always.get(next).copied() {
            next += 1;
            for edge in &self.edges[actor] {
                if !edge.window.is_always() {
                    windowed.push((edge.to, edge.window));
                } else if self.seen[edge.to] != self.round {
                    self.seen[edge.to] = self.round;
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
        let mut arrived: BTreeMap<ActorIx, Vec<Window>> = BTreeMap::new();
        for (actor, window) in open {
            arrived.entry(actor).or_default().push(window);
        }
        let mut queue = VecDeque::new();
        let mut queued = BTreeSet::new();
        for (actor, windows) in arrived {
            if self.seen[actor] != self.round {
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
                if self.seen[edge.to] == self.round {
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

    fn timed(&self) -> impl Iterator<Item = Timed<ActorIx>> + '_ {
        self.sometimes.iter().flat_map(|(actor, times)| {
            times.windows().iter().map(|window| Timed { item: *actor, window: *window })
        })
    }
}

impl Actors {
    /// The subjects turned round: for each person those that name them.
    pub(super) fn by(
        &self,
        named: impl Fn(&Subject) -> Option<ActorIx>,
    ) -> Lists<ActorIx, ActorIx> {
        let pairs = self.subjects.iter().filter_map(|(ix, row)| Some((named(row)?, ix)));
        Lists::from_pairs(self.subjects.len(), pairs.collect())
    }

    /// The positions turned round: who holds one where, in the order of a walk of the forest.
    pub(super) fn held_at(&self, names: &Names, places: &Places) -> Vec<(u32, ActorIx)> {
        let mut held: Vec<(u32, ActorIx)> = Vec::new();
        for (actor, _) in names.actor_rows.iter() {
            let at = |position: &Timed<Held>| places.places[position.item.location].first;
            held.extend(self.positions[actor].iter().map(|position| (at(position), actor)));
        }
        held.sort_unstable();
        held.dedup();
        held
    }

    /// For every actor the subjects that count as it, always or at times.
    pub(super) fn subjects_of(&self, names: &Names) -> Lists<ActorIx, ActorIx> {
        let mut pairs = Vec::new();
        for (subject, _) in self.subjects.iter() {
            let always = self.closure[subject].iter().copied();
            let sometimes = self.closure_timed[subject].iter().map(|timed| timed.item);
            pairs.extend(always.chain(sometimes).map(|actor| (actor, subject)));
            // An actor with several windows stands in the list as often, one after the other.
        }
        pairs.dedup();
        Lists::from_pairs(names.actor_rows.len(), pairs)
    }

    /// For every subject the positions of everything that it counts as; empty unless asked for.
    pub(super) fn reached_positions(
        &self,
        names: &Names,
        asked: bool,
        budget: &mut Budget,
    ) -> Result<Lists<ActorIx, Timed<LocationIx>>, TooLarge> {
        let mut lists = Lists::default();
        for index in 0..names.subjects {
            let subject = ActorIx::from_index(index);
            let mut reached: Vec<Timed<LocationIx>> = Vec::new();
            if asked && self.subjects[subject].is_person {
                for actor in &self.closure[subject] {
                    reached.extend(self.positions[*actor].iter().map(|position| Timed {
                        item: position.item.location,
                        window: position.window,
                    }));
                }
                for actor in &self.closure_timed[subject] {
                    reached.extend(self.positions[actor.item].iter().filter_map(|position| {
                        let window = both(position.window, actor.window)?;
                        Some(Timed { item: position.item.location, window })
                    }));
                }
                reached.sort_unstable();
                reached.dedup();
            }
            budget.closure(reached.len())?;
            lists.push(reached);
        }
        Ok(lists)
    }
}
