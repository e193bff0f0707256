//! People, accounts, groups and roles: their rows, and the edges between them.

use std::cmp::Ordering;

use crate::actor::{
    Account, ActorRef, Group, ManagementRole, ManagementRoleDefinition, Membership, Person,
    Position, SetGroup,
};
use crate::arena::{ActorIx, LocationIx, RoleIx};
use crate::id::PersonId;
use crate::snapshot::{Edge, EdgeKind, Held, Subject, Timed};
use crate::time::Window;

use super::super::actors::{held, of_account, of_person, position_edges};
use super::super::budget::TooLarge;
use super::super::handles::Handles;
use super::super::vault;
use super::draft::{Between, Draft};
use crate::snapshot::Spent;

// === impl Draft ===

impl Draft<'_> {
    pub(super) fn change_person(&mut self, person: Between<'_, Person>) -> Result<(), TooLarge> {
        let Some(either) = person.either() else { return Ok(()) };
        let actor = self.person(&either.id);
        let row = person.after.map_or(Subject::NOBODY, |person| of_person(person, self));
        let before = self.policy.subjects[actor];
        self.policy.subjects.set(actor, row);
        if row.manager != before.manager {
            let reports = &mut self.policy.cold.reports;
            before.manager.into_iter().for_each(|manager| reports.remove(manager, actor));
            row.manager.into_iter().for_each(|manager| reports.insert(manager, actor));
        }
        if row.enabled != before.enabled || person.before.is_none() {
            self.recounted.insert(actor);
            // An account of a disabled owner counts as disabled (A8).
            let accounts: Vec<_> = self.policy.cold.owned.of(actor).iter().collect();
            accounts.into_iter().for_each(|account| self.recount_account(account));
        }
        if person.differs(|person| &person.login) {
            let login = person.after.and_then(|person| person.login.as_deref());
            self.policy.cold.logins.set(actor, login.map(Into::into));
        }
        if person.differs(|person| &person.positions) {
            self.positions(actor, person.after.map_or(&[], |person| &person.positions))?;
        }
        if person.differs(|person| (&person.positions, &person.locations)) {
            self.place_person(self.object_of(actor), person.after);
        }
        Ok(())
    }

    /// The row of an account whose owner is enabled otherwise than before. If the account itself is of the
    /// change set, or is gone with it, that is for its own delta to say.
    fn recount_account(&mut self, account: ActorIx) {
        let ActorRef::Account(id) = &self.policy.cold.actors[account] else { return };
        if let Some(fact) = self.facts.account(id)
            && fact.owner.as_ref().is_none_or(|owner| self.facts.person(owner).is_some())
        {
            let row = of_account(fact, self.facts, self);
            self.set_account(account, row);
        }
    }

    fn set_account(&mut self, account: ActorIx, row: Subject) {
        if row.enabled != self.policy.subjects[account].enabled {
            self.recounted.insert(account);
        }
        self.policy.subjects.set(account, row);
    }

    pub(super) fn change_account(&mut self, account: Between<'_, Account>) {
        let Some(either) = account.either() else { return };
        let actor = self.account(&either.id);
        let row = account.after.map_or(Subject::NOBODY, |it| of_account(it, self.facts, self));
        self.set_account(actor, row);
        if account.before.is_none() {
            self.recounted.insert(actor);
        }
        let owned_by = account.map(|account| account.owner.as_ref());
        let (before, after) = (owned_by.0.flatten(), owned_by.1.flatten());
        if before != after {
            let owner = |owner: Option<&PersonId>| owner.map(|id| self.person(id));
            let (before, after) = (owner(before), owner(after));
            let owned = &mut self.policy.cold.owned;
            before.into_iter().for_each(|owner| owned.remove(owner, actor));
            after.into_iter().for_each(|owner| owned.insert(owner, actor));
        }
        if account.differs(|account| (&account.owner, account.enabled)) {
            // A2; a disabled account is left out (A8).
            let edge = Edge { to: actor, window: Window::ALWAYS, by: EdgeKind::Owns };
            let owns = |account: &Account| account.owner.clone().filter(|_| account.enabled);
            let (before, after) = account.map(owns);
            if let Some(owner) = before.flatten() {
                self.remove_edge(self.person(&owner), edge);
            }
            if let Some(owner) = after.flatten() {
                self.add_edge(self.person(&owner), edge);
            }
        }
        if account.differs(|account| (&account.owner, account.enabled, &account.computer)) {
            for owner in [before, after].into_iter().flatten() {
                self.accounts_of(owner);
            }
        }
        let object = self.object_of(actor);
        if account.differs(|account| &account.computer) {
            let entity = account.after.map(|account| vault::of_account(account, self));
            self.entity(object, entity);
        }
        if account.differs(|account| &account.locations) {
            self.place(object, account.after.map_or(&[], |account| &account.locations));
        }
    }

    pub(super) fn change_group(&mut self, group: Between<'_, Group>) -> Result<(), TooLarge> {
        let Some(either) = group.either() else { return Ok(()) };
        let actor = self.group(&either.id);
        self.members(actor, group.map(|group| group.members.as_slice()));
        if group.differs(|group| &group.positions) {
            self.positions(actor, group.after.map_or(&[], |group| &group.positions))?;
        }
        if group.differs(|group| &group.locations) {
            self.place(self.object_of(actor), group.after.map_or(&[], |group| &group.locations));
        }
        Ok(())
    }

    pub(super) fn change_set_group(&mut self, group: Between<'_, SetGroup>) {
        let Some(either) = group.either() else { return };
        let actor = self.actor(&ActorRef::SetGroup(either.id.clone()));
        self.members(actor, group.map(|group| group.members.as_slice()));
        if group.differs(|group| &group.locations) {
            self.place(self.object_of(actor), group.after.map_or(&[], |group| &group.locations));
        }
    }

    pub(super) fn change_management_role(&mut self, role: Between<'_, ManagementRole>) {
        let Some(either) = role.either() else { return };
        let actor = self.actor(&ActorRef::ManagementRole(either.id.clone()));
        self.members(actor, role.map(|role| role.members.as_slice()));
        if role.differs(|role| (&role.includes, &role.definition)) {
            let edge = |to: ActorRef, by| Edge { to: self.actor(&to), window: Window::ALWAYS, by };
            let mut edges = Vec::new();
            if let Some(role) = role.after {
                edges.extend(role.includes.iter().map(|included| {
                    edge(ActorRef::ManagementRole(included.clone()), EdgeKind::Includes)
                }));
                edges.extend(role.definition.iter().map(|definition| {
                    let definition = ActorRef::ManagementRoleDefinition(definition.clone());
                    edge(definition, EdgeKind::MadeFrom)
                }));
            }
            // A role is a member of nothing, so that these are all its edges.
            edges.sort_by(|one, other| self.policy.edge_order(one, other));
            self.policy.cold.edges.set(actor, edges);
            self.turned.insert(actor);
        }
        if role.differs(|role| &role.locations) {
            self.place(self.object_of(actor), role.after.map_or(&[], |role| &role.locations));
        }
    }

    pub(super) fn change_definition(&mut self, definition: Between<'_, ManagementRoleDefinition>) {
        let Some(either) = definition.either() else { return };
        let actor = self.actor(&ActorRef::ManagementRoleDefinition(either.id.clone()));
        if definition.differs(|definition| &definition.locations) {
            let locations = definition.after.map_or(&[][..], |definition| &definition.locations);
            self.place(self.object_of(actor), locations);
        }
    }

    /// The listings of members that came and went; both lists are in order.
    fn members(
        &mut self,
        container: ActorIx,
        (before, after): (Option<&[Membership]>, Option<&[Membership]>),
    ) {
        let (mut before, mut after) = (before.unwrap_or_default(), after.unwrap_or_default());
        loop {
            let order = match (before.first(), after.first()) {
                (Some(one), Some(other)) => one.cmp(other),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return,
            };
            let edge = |member: &Membership| {
                let by = EdgeKind::MemberOf;
                (member.of.clone(), Edge { to: container, window: member.window, by })
            };
            if order.is_le()
                && let Some((member, rest)) = before.split_first()
            {
                if order.is_lt() {
                    let (member, edge) = edge(member);
                    self.remove_edge(self.actor(&member), edge);
                }
                before = rest;
            }
            if order.is_ge()
                && let Some((member, rest)) = after.split_first()
            {
                if order.is_gt() {
                    let (member, edge) = edge(member);
                    self.add_edge(self.actor(&member), edge);
                }
                after = rest;
            }
        }
    }

    /// Replaces the positions of a person or a group, and the edges that they make (A5).
    fn positions(&mut self, holder: ActorIx, positions: &[Position]) -> Result<(), TooLarge> {
        let positions: Vec<Timed<Held>> = held(positions, self).collect();
        let number = |policy: &crate::snapshot::Policy, position: &Timed<Held>| {
            policy.locations[position.item.location].first
        };
        let before = self.policy.positions[holder].to_vec();
        for position in &before {
            let number = number(&self.policy, position);
            self.policy.cold.held_at.remove((number, holder));
        }
        let mut edges = self.policy.cold.edges[holder].to_vec();
        let is_position = |edge: &Edge| matches!(edge.by, EdgeKind::Position(..));
        let freed = edges.extract_if(.., |edge| is_position(edge)).count();
        self.budget.give_back(Spent { edges: freed, ..Spent::default() });
        for position in &positions {
            let number = number(&self.policy, position);
            self.policy.cold.held_at.insert((number, holder));
            let made = self.edges_of(*position).collect::<Vec<_>>();
            self.budget.edges(made.len())?;
            edges.extend(made);
        }
        edges.sort_by(|one, other| self.policy.edge_order(one, other));
        self.policy.cold.edges.set(holder, edges);
        self.policy.positions.set(holder, positions);
        self.turned.insert(holder);
        Ok(())
    }

    fn edges_of(&self, position: Timed<Held>) -> impl Iterator<Item = Edge> + '_ {
        let policy = &self.policy;
        let above = |role: RoleIx| policy.cold.roles[role].1;
        let place = |location: LocationIx| policy.locations[location];
        position_edges(position, &policy.cold.pairs_of, above, place)
    }

    /// Gives a handle to a pair that nothing has named yet: those who hold a position below count as it.
    pub(super) fn name_pair(&mut self, actor: &ActorRef) -> Result<(), TooLarge> {
        let ActorRef::BusinessRoleLocation(role, location) = actor else { return Ok(()) };
        let (role, location) = (self.role(role), self.location(location));
        if self.find_pair(role, location).is_some() {
            return Ok(());
        }
        let pair = self.add_actor(actor.clone());
        self.policy.cold.pairs_of.edit(role, |pairs| {
            let at = pairs.partition_point(|(at, _)| *at < location);
            pairs.insert(at, (location, pair));
        });
        let place = self.policy.locations[location];
        let held_at = self.policy.cold.held_at.all().past(|(number, _)| *number < place.first);
        let below = held_at.first(|(number, _)| *number < place.after);
        let mut holders: Vec<ActorIx> = below.iter().map(|(_, holder)| holder).collect();
        holders.sort_unstable();
        holders.dedup();
        for holder in holders {
            let positions = &self.policy.positions[holder];
            let edges = positions.iter().flat_map(|position| self.edges_of(*position));
            let edges: Vec<Edge> = edges.filter(|edge| edge.to == pair).collect();
            self.budget.edges(edges.len())?;
            edges.into_iter().for_each(|edge| self.add_edge(holder, edge));
        }
        Ok(())
    }

    fn add_edge(&mut self, from: ActorIx, edge: Edge) {
        let mut edges = self.policy.cold.edges[from].to_vec();
        let at = edges.partition_point(|other| self.policy.edge_order(other, &edge).is_lt());
        edges.insert(at, edge);
        self.policy.cold.edges.set(from, edges);
        self.turned.insert(from);
    }

    fn remove_edge(&mut self, from: ActorIx, edge: Edge) {
        self.policy.cold.edges.edit(from, |edges| {
            if let Some(at) = edges.iter().position(|other| *other == edge) {
                edges.remove(at);
            }
        });
        self.turned.insert(from);
    }
}
