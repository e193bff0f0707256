//! Actors: what each is as a subject, the edges between them, and for every subject where those lead.

use crate::actor::{Account, ActorRef, Membership, Person, Position};
use crate::arena::{ActorIx, Lists, ListsBuilder, LocationIx, NativeIx, RoleIx, Rows, Table};
use crate::facts::Facts;
use crate::snapshot::{Edge, EdgeKind, Held, Place, Subject, Timed};
use crate::time::Window;

use super::budget::{Budget, TooLarge};
use super::handles::Handles;
use super::names::{Names, pair_at};
use super::places::Places;
use super::reach::{Reach, Rounds};
use super::timeset::both;

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
    natives: &Rows<NativeIx, ActorIx>,
    budget: &mut Budget,
) -> Result<Actors, TooLarge> {
    let actors = names.actor_rows.len();
    let subjects = subjects(facts, names);
    let listed = facts.groups().map(|group| group.members.len());
    let listed = listed.chain(facts.set_groups().map(|group| group.members.len()));
    let listed = listed.chain(facts.management_roles().map(|role| role.members.len() + 1));
    let edges = Vec::with_capacity(facts.accounts().len() + listed.sum::<usize>());
    let mut edges = EdgeList { names, places, edges, budget };
    edges.collect(facts)?;
    let edges = Lists::sorted(actors, &edges.edges, |edge| *edge);
    let mut closure = ListsBuilder::with_capacity(actors, edges.total() + actors);
    let mut closure_timed = ListsBuilder::default();
    let mut reach = Reach::new(&edges, Rounds::new(actors));
    for (subject, row) in subjects.iter() {
        reach.follow(row.enabled.then_some(subject), budget)?;
        closure.push(reach.always.iter().copied());
        closure_timed.push(reach.timed());
    }
    let (mut native, mut native_timed) = (ListsBuilder::default(), ListsBuilder::default());
    for (_, group) in natives.iter() {
        reach.follow(Some(*group), budget)?;
        native.push(reach.always.iter().copied());
        native_timed.push(reach.timed());
    }
    Ok(Actors {
        positions: positions(facts, names),
        subjects,
        closure: closure.into(),
        closure_timed: closure_timed.into(),
        native: native.into(),
        native_timed: native_timed.into(),
        edges,
    })
}

/// What a person is as a subject.
pub(super) fn of_person(person: &Person, handles: &impl Handles) -> Subject {
    Subject {
        enabled: person.enabled,
        owner: None,
        manager: person.manager.as_ref().map(|id| handles.person(id)),
        is_person: true,
        remote_apps: !person.vault_privileges.is_empty(),
    }
}

/// What an account is as a subject (A8).
pub(super) fn of_account(account: &Account, facts: &Facts, handles: &impl Handles) -> Subject {
    let owner = account.owner.as_ref();
    let disabled_owner = owner.and_then(|id| facts.person(id)).is_some_and(|o| !o.enabled);
    Subject {
        enabled: account.enabled && !disabled_owner,
        owner: owner.map(|id| handles.person(id)),
        manager: None,
        is_person: false,
        remote_apps: false,
    }
}

/// What stands for the accounts besides the policy is enabled, and nobody's.
const BESIDES: Subject = Subject { enabled: true, ..Subject::NOBODY };

fn subjects(facts: &Facts, names: &Names) -> Table<ActorIx, Subject> {
    let people = facts.people().map(|person| of_person(person, names));
    let accounts = facts.accounts().map(|account| of_account(account, facts, names));
    let others = names.actor_rows.len() - names.subjects;
    let others = std::iter::repeat_n(Subject::NOBODY, others);
    people.chain(accounts).chain([BESIDES]).chain(others).collect()
}

/// Positions in handles.
pub(super) fn held<'a>(
    positions: &'a [Position],
    handles: &'a impl Handles,
) -> impl Iterator<Item = Timed<Held>> + 'a {
    positions.iter().map(|position| {
        let role = handles.role(&position.business_role);
        let location = handles.location(&position.location);
        Timed { item: Held { role, location }, window: position.window }
    })
}

fn positions(facts: &Facts, names: &Names) -> Lists<ActorIx, Timed<Held>> {
    let people = facts.people().filter(|person| !person.positions.is_empty());
    let people = people.map(|p| (names.person(&p.id), &p.positions));
    let groups = facts.groups().filter(|group| !group.positions.is_empty());
    let groups = groups.map(|g| (names.group(&g.id), &g.positions));
    let held = people.chain(groups).flat_map(|(holder, positions)| {
        self::held(positions, names).map(move |position| (holder, position))
    });
    Lists::from_pairs(names.actor_rows.len(), held.collect())
}

struct EdgeList<'a> {
    names: &'a Names,
    places: &'a Places,
    edges: Vec<(ActorIx, Edge)>,
    budget: &'a mut Budget,
}

impl EdgeList<'_> {
    fn collect(&mut self, facts: &Facts) -> Result<(), TooLarge> {
        let names = self.names;
        for account in facts.accounts().filter(|account| account.enabled) {
            if let Some(owner) = &account.owner {
                // A2; a disabled owner is no subject, so the edge is never followed (A8).
                let to = names.account(&account.id);
                self.always(names.person(owner), to, EdgeKind::Owns);
            }
        }
        for person in facts.people().filter(|person| !person.positions.is_empty()) {
            self.positions(names.person(&person.id), &person.positions)?;
        }
        for group in facts.groups() {
            let actor = names.group(&group.id);
            self.members(actor, &group.members);
            self.positions(actor, &group.positions)?;
        }
        for group in facts.set_groups() {
            self.members(names.actor(&ActorRef::SetGroup(group.id.clone())), &group.members);
        }
        for role in facts.management_roles() {
            let actor = names.actor(&ActorRef::ManagementRole(role.id.clone()));
            self.members(actor, &role.members);
            for included in &role.includes {
                let to = names.actor(&ActorRef::ManagementRole(included.clone()));
                self.always(actor, to, EdgeKind::Includes);
            }
            if let Some(definition) = &role.definition {
                let to = ActorRef::ManagementRoleDefinition(definition.clone());
                self.always(actor, names.actor(&to), EdgeKind::MadeFrom);
            }
        }
        Ok(())
    }

    fn members(&mut self, container: ActorIx, members: &[Membership]) {
        for member in members {
            let edge = Edge { to: container, window: member.window, by: EdgeKind::MemberOf };
            self.edges.push((self.names.actor(&member.of), edge));
        }
    }

    fn positions(&mut self, holder: ActorIx, positions: &[Position]) -> Result<(), TooLarge> {
        let places = self.places;
        let above = |role: RoleIx| places.roles[role].1;
        let place = |location: LocationIx| places.places[location];
        for position in held(positions, self.names) {
            let edges = position_edges(position, &self.names.pairs_of, above, place);
            for edge in edges {
                self.budget.edges(1)?;
                self.edges.push((holder, edge));
            }
        }
        Ok(())
    }

    fn always(&mut self, from: ActorIx, to: ActorIx, by: EdgeKind) {
        self.edges.push((from, Edge { to, window: Window::ALWAYS, by }));
    }
}

/// A position makes an edge to every pair above it that something names, so that what few facts
/// say can be many edges (A5).
pub(super) fn position_edges<'a>(
    position: Timed<Held>,
    pairs_of: &'a Lists<RoleIx, (LocationIx, ActorIx)>,
    above: impl Fn(RoleIx) -> Option<RoleIx> + 'a,
    place: impl Fn(LocationIx) -> Place,
) -> impl Iterator<Item = Edge> + 'a {
    let Timed { item: Held { role, location }, window } = position;
    let by = EdgeKind::Position(role, location);
    let top = place(location).top;
    let parent = |at: &LocationIx| place(*at).parent.filter(|_| *at != top);
    let up: Vec<LocationIx> = std::iter::successors(Some(location), parent).collect();
    std::iter::successors(Some(role), move |role| above(*role))
        .flat_map(move |role| on_the_way(&pairs_of[role], &up))
        .map(move |pair| Edge { to: pair, window, by })
}

/// The pairs of a role at the locations of a way up.
fn on_the_way(pairs: &[(LocationIx, ActorIx)], up: &[LocationIx]) -> Vec<ActorIx> {
    if pairs.len() < up.len() {
        let on_it = pairs.iter().filter(|(location, _)| up.contains(location));
        return on_it.map(|(_, pair)| *pair).collect();
    }
    up.iter().filter_map(|location| pair_at(pairs, *location)).collect()
}

/// The positions of everything that a subject counts as: where they are held, and when it counts.
pub(super) fn reached(
    positions: &Lists<ActorIx, Timed<Held>>,
    closure: &[ActorIx],
    closure_timed: &[Timed<ActorIx>],
) -> Vec<Timed<LocationIx>> {
    let mut reached: Vec<Timed<LocationIx>> = Vec::new();
    for actor in closure {
        let at = |held: &Timed<Held>| Timed { item: held.item.location, window: held.window };
        reached.extend(positions[*actor].iter().map(at));
    }
    for actor in closure_timed {
        reached.extend(positions[actor.item].iter().filter_map(|position| {
            let window = both(position.window, actor.window)?;
            Some(Timed { item: position.item.location, window })
        }));
    }
    reached.sort_unstable();
    reached.dedup();
    reached
}

impl Actors {
    /// The subjects turned round: for each person those that name them.
    pub(super) fn by(
        &self,
        named: impl Fn(&Subject) -> Option<ActorIx>,
    ) -> Lists<ActorIx, ActorIx> {
        let pairs: Vec<_> =
            self.subjects.iter().filter_map(|(ix, row)| Some((named(row)?, ix))).collect();
        Lists::scattered(self.subjects.len(), || pairs.iter().copied())
    }

    /// The positions turned round: who holds one where, in the order of a walk of the forest.
    pub(super) fn held_at(&self, places: &Places) -> Vec<(u32, ActorIx)> {
        let mut held: Vec<(u32, ActorIx)> = Vec::new();
        for actor in self.positions.handles() {
            let at = |position: &Timed<Held>| places.places[position.item.location].first;
            held.extend(self.positions[actor].iter().map(|position| (at(position), actor)));
        }
        held.sort_unstable();
        held.dedup();
        held
    }

    /// For every actor the subjects that count as it, always or at times.
    pub(super) fn subjects_of(&self) -> Lists<ActorIx, ActorIx> {
        turned(self.subjects.len(), &self.closure, &self.closure_timed)
    }

    /// For every actor the native groups that count as it, always or at times.
    pub(super) fn natives_of(&self) -> Lists<ActorIx, NativeIx> {
        turned(self.subjects.len(), &self.native, &self.native_timed)
    }

    /// For every subject the positions of everything that it counts as; empty unless asked for.
    pub(super) fn reached_positions(
        &self,
        asked: bool,
        budget: &mut Budget,
    ) -> Result<Lists<ActorIx, Timed<LocationIx>>, TooLarge> {
        let mut lists = ListsBuilder::default();
        for (subject, row) in self.subjects.iter() {
            let reached = match asked && row.is_person {
                true => {
                    reached(&self.positions, &self.closure[subject], &self.closure_timed[subject])
                }
                false => Vec::new(),
            };
            budget.closure(reached.len())?;
            lists.push(reached);
        }
        Ok(lists.into())
    }
}

/// Closures turned round.
fn turned<H: crate::arena::Handle>(
    actors: usize,
    closure: &Lists<H, ActorIx>,
    closure_timed: &Lists<H, Timed<ActorIx>>,
) -> Lists<ActorIx, H> {
    let pairs = || {
        closure.handles().flat_map(|from| {
            let always = closure[from].iter().map(move |actor| (*actor, from));
            // An actor with several windows stands in the list as often, one after the other.
            let timed = closure_timed[from].chunk_by(|one, other| one.item == other.item);
            always.chain(timed.filter_map(move |windows| Some((windows.first()?.item, from))))
        })
    };
    Lists::scattered(actors, pairs)
}
