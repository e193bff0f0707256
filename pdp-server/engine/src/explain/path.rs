//! How a subject counts as an actor: a shortest way along the facts that hold at an instant.

use std::collections::{HashMap, VecDeque};

use super::{Hop, HopKind, Thing};
use crate::actor::ActorRef;
use crate::arena::{ActorIx, LocationIx, RoleIx};
use crate::session::OpenSession;
use crate::snapshot::{Edge, EdgeKind, Snapshot};
use crate::time::Window;
use crate::walk::Who;

/// Shortest ways from one subject to everything it counts as at one instant.
pub(crate) struct Paths<'a> {
    snapshot: &'a Snapshot,
    pub(super) subject: ActorIx,
    came_by: HashMap<ActorIx, (ActorIx, Step<'a>)>,
}

/// What leads from one actor to the next.
#[derive(Clone, Copy)]
enum Step<'a> {
    Edge(&'a Edge),
    /// From the account of a session to its native group (P10).
    Session(&'a OpenSession),
}

impl<'a> Paths<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot, who: &Who<'a>) -> Self {
        let (subject, t) = (who.subject, who.t);
        let mut came_by: HashMap<ActorIx, (ActorIx, Step<'_>)> = HashMap::new();
        let mut open = VecDeque::from([subject]);
        for member in &who.by_session {
            came_by.entry(member.group).or_insert_with(|| {
                open.push_back(member.group);
                (subject, Step::Session(member.session))
            });
        }
        while let Some(actor) = open.pop_front() {
            for edge in &snapshot.cold.edges[actor] {
                let known = edge.to == subject || came_by.contains_key(&edge.to);
                if !known && edge.window.contains(t) {
                    came_by.insert(edge.to, (actor, Step::Edge(edge)));
                    open.push_back(edge.to);
                }
            }
        }
        Self { snapshot, subject, came_by }
    }

    /// Everything the subject counts as, the subject first, the rest in the order of lists.
    pub(super) fn all_reached(&self) -> Vec<ActorIx> {
        let mut reached: Vec<_> = self.came_by.keys().copied().collect();
        reached.sort_unstable_by(|one, other| self.snapshot.actor_order(*one, *other));
        reached.insert(0, self.subject);
        reached
    }

    /// The hops from the subject to an actor that it counts as.
    pub(crate) fn to(&self, actor: ActorIx) -> Vec<Hop> {
        let mut edges = Vec::new();
        let mut at = actor;
        while let Some((from, step)) = self.came_by.get(&at) {
            edges.push((*from, at, *step));
            at = *from;
        }
        let hops = edges.iter().rev().flat_map(|(from, to, step)| match step {
            Step::Edge(edge) => self.hops(*from, edge),
            Step::Session(session) => self.by_session(*to, session).into_iter().collect(),
        });
        hops.collect()
    }

    fn by_session(&self, group: ActorIx, session: &OpenSession) -> Option<Hop> {
        let from = Thing::Actor(ActorRef::Account(session.account.clone()?));
        let to = Thing::Actor(self.snapshot.cold.actors[group].clone());
        let window = Window { from: Some(session.opened), until: Some(session.not_after) };
        Some(Hop { kind: HopKind::MemberBySession, from, to, window })
    }

    fn hops(&self, from: ActorIx, edge: &Edge) -> Vec<Hop> {
        let names = &self.snapshot.cold.actors;
        let (start, end) = (names[from].clone(), names[edge.to].clone());
        let kind = match edge.by {
            EdgeKind::Position(role, location) => {
                return self.position(start, &end, (role, location), edge.window);
            }
            EdgeKind::Owns => HopKind::Owns,
            EdgeKind::MemberOf => HopKind::MemberOf,
            EdgeKind::Includes => HopKind::Includes,
            EdgeKind::MadeFrom => HopKind::MadeFrom,
        };
        let (from, to) = (Thing::Actor(start), Thing::Actor(end));
        vec![Hop { kind, from, to, window: edge.window }]
    }

    /// From the holder to the pair as held, up the roles, then up the locations (A5).
    fn position(
        &self,
        holder: ActorRef,
        pair: &ActorRef,
        held: (RoleIx, LocationIx),
        window: Window,
    ) -> Vec<Hop> {
        let ActorRef::BusinessRoleLocation(role_above, location_above) = pair else {
            // INVARIANT: a position leads to a pair.
            return Vec::new();
        };
        let cold = &self.snapshot.cold;
        let (mut role, mut location) = held;
        let pair_of = |role: RoleIx, location: LocationIx| {
            Thing::Actor(ActorRef::BusinessRoleLocation(
                cold.roles[role].0.clone(),
                cold.locations[location].clone(),
            ))
        };
        let mut at = pair_of(role, location);
        let kind = HopKind::HoldsPosition;
        let mut hops = vec![Hop { kind, from: Thing::Actor(holder), to: at.clone(), window }];
        let mut step = |kind: HopKind, to: Thing| {
            let from = std::mem::replace(&mut at, to.clone());
            hops.push(Hop { kind, from, to, window: Window::ALWAYS });
        };
        while cold.roles[role].0 != *role_above
            && let Some(parent) = cold.roles[role].1
        {
            role = parent;
            step(HopKind::RoleParent, pair_of(role, location));
        }
        while cold.locations[location] != *location_above
            && let Some(parent) = self.snapshot.locations[location].parent
        {
            location = parent;
            step(HopKind::LocationParent, pair_of(role, location));
        }
        hops
    }
}
