//! Chains of hops, and the facts behind those that lead from actor to actor (section 2).

use pdp_engine::actor::{ActorRef, Membership, Position};
use pdp_engine::explain::{Hop, HopKind, Thing};
use pdp_engine::id::LocationId;
use pdp_engine::time::Window;

use super::{Verdict, Verifier, hold};

// === impl Verifier ===

impl Verifier<'_> {
    /// How the subject counts as the assignee: a chain of A2 to A7, without detours.
    pub(super) fn subject_path(
        &self,
        subject: &ActorRef,
        path: &[Hop],
        to: &ActorRef,
        open_now: bool,
    ) -> Verdict {
        let end = follow(&Thing::Actor(subject.clone()), path)?;
        hold(end == Thing::Actor(to.clone()), format!("the subject path ends at {end}"))?;
        for hop in path {
            self.actor_hop(hop, subject).map_err(|why| format!("{}: {why}", shown(hop)))?;
            if open_now {
                self.is_open(hop)?;
            }
        }
        Ok(())
    }

    /// Whether one step between actors is a fact.
    pub(super) fn actor_hop(&self, hop: &Hop, subject: &ActorRef) -> Verdict {
        let (Thing::Actor(from), Thing::Actor(to)) = (&hop.from, &hop.to) else {
            return Err("does not lead from actor to actor".to_owned());
        };
        let found = match hop.kind {
            HopKind::Owns => self.owns_enabled(from, to) && from == subject && always(hop),
            HopKind::MemberOf => self.lists(to, from, &hop.window),
            HopKind::MemberBySession => {
                from == subject && self.is_by_session(from, to, &hop.window)
            }
            HopKind::HoldsPosition => match to {
                ActorRef::BusinessRoleLocation(role, location) => {
                    self.positions_of(from).iter().any(|held| {
                        held.business_role == *role
                            && held.location == *location
                            && held.window == hop.window
                    })
                }
                _ => false,
            },
            HopKind::RoleParent | HopKind::LocationParent => {
                self.pair_step(hop.kind, from, to) && always(hop)
            }
            HopKind::Includes | HopKind::MadeFrom => {
                self.management_step(hop.kind, from, to) && always(hop)
            }
            _ => false,
        };
        hold(found, "is not a fact")
    }

    fn owns_enabled(&self, from: &ActorRef, to: &ActorRef) -> bool {
        let (ActorRef::Person(owner), ActorRef::Account(account)) = (from, to) else {
            return false;
        };
        let account = self.facts.account(account);
        account.is_some_and(|account| account.enabled && account.owner.as_ref() == Some(owner))
    }

    /// P10: a session of the account, as long as that lasts, which counts now.
    fn is_by_session(&self, account: &ActorRef, group: &ActorRef, window: &Window) -> bool {
        let (ActorRef::Account(account), ActorRef::Group(group)) = (account, group) else {
            return false;
        };
        let mut memberships = self.oracle.memberships(account).into_iter();
        memberships.any(|(session, of)| {
            let lasts = Window { from: Some(session.opened), until: Some(session.not_after) };
            of == *group && lasts == *window
        })
    }

    fn lists(&self, container: &ActorRef, member: &ActorRef, window: &Window) -> bool {
        let members: &[Membership] = match container {
            ActorRef::Group(id) => self.facts.group(id).map_or(&[], |it| &it.members),
            ActorRef::SetGroup(id) => self.facts.set_group(id).map_or(&[], |it| &it.members),
            ActorRef::ManagementRole(id) => {
                self.facts.management_role(id).map_or(&[], |it| &it.members)
            }
            _ => &[],
        };
        members.iter().any(|listing| listing.of == *member && listing.window == *window)
    }

    pub(super) fn positions_of(&self, holder: &ActorRef) -> &[Position] {
        match holder {
            ActorRef::Person(id) => self.facts.person(id).map_or(&[], |it| &it.positions),
            ActorRef::Group(id) => self.facts.group(id).map_or(&[], |it| &it.positions),
            _ => &[],
        }
    }

    /// A5 in single steps: the parent role at the same place, or the same role one place up.
    fn pair_step(&self, kind: HopKind, from: &ActorRef, to: &ActorRef) -> bool {
        let (
            ActorRef::BusinessRoleLocation(role, location),
            ActorRef::BusinessRoleLocation(to_role, to_location),
        ) = (from, to)
        else {
            return false;
        };
        if kind == HopKind::RoleParent {
            let parent = self.facts.business_role(role).and_then(|it| it.parent.as_ref());
            return parent == Some(to_role) && location == to_location;
        }
        role == to_role && self.climbs(location, to_location)
    }

    /// One step of `up`: to the parent, unless the place blocks.
    pub(super) fn climbs(&self, from: &LocationId, to: &LocationId) -> bool {
        let here = self.facts.location(from);
        here.is_some_and(|here| !here.block_inheritance && here.parent.as_ref() == Some(to))
    }

    fn management_step(&self, kind: HopKind, from: &ActorRef, to: &ActorRef) -> bool {
        let ActorRef::ManagementRole(role) = from else { return false };
        let Some(role) = self.facts.management_role(role) else { return false };
        match (kind, to) {
            (HopKind::Includes, ActorRef::ManagementRole(to)) => role.includes.contains(to),
            (HopKind::MadeFrom, ActorRef::ManagementRoleDefinition(to)) => {
                role.definition.as_ref() == Some(to)
            }
            _ => false,
        }
    }

    pub(super) fn is_open(&self, hop: &Hop) -> Verdict {
        hold(hop.window.contains(self.now), format!("{}: its window is closed", shown(hop)))
    }
}

/// Follows a chain from its start; each hop begins where the last one ended, and none comes back.
pub(super) fn follow(start: &Thing, hops: &[Hop]) -> Result<Thing, String> {
    let mut seen = vec![start.clone()];
    for hop in hops {
        let here = &seen[seen.len() - 1];
        hold(hop.from == *here, format!("{}: the chain is at {here}", shown(hop)))?;
        hold(!seen.contains(&hop.to), format!("{}: the chain comes back", shown(hop)))?;
        seen.push(hop.to.clone());
    }
    Ok(seen.pop().unwrap_or_else(|| start.clone()))
}

pub(super) fn always(hop: &Hop) -> bool {
    hop.window.is_always()
}

pub(super) fn shown(hop: &Hop) -> String {
    format!("`{} {} {}`", hop.from, hop.kind.as_str(), hop.to)
}
