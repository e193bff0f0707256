//! Section 2: who the subject counts as.

use std::collections::BTreeSet;

use pdp_engine::actor::{ActorRef, Membership, Position};
use pdp_engine::id::{BusinessRoleId, LocationId};

use super::Oracle;

// === impl Oracle ===

impl Oracle<'_> {
    /// A8: a disabled person or account, or an account whose owner is disabled.
    pub(super) fn is_disabled(&self, subject: &ActorRef) -> bool {
        match subject {
            ActorRef::Person(id) => self.facts.person(id).is_some_and(|person| !person.enabled),
            ActorRef::Account(id) => self.facts.account(id).is_some_and(|account| {
                let owner = account.owner.as_ref().and_then(|owner| self.facts.person(owner));
                !account.enabled || owner.is_some_and(|owner| !owner.enabled)
            }),
            _ => false,
        }
    }

    /// The least set that A1 to A7 and A9 allow: the rules are applied until nothing is new.
    pub(super) fn closure(&self, subject: &ActorRef) -> BTreeSet<ActorRef> {
        let mut set = BTreeSet::from([subject.clone()]); // A1
        if let ActorRef::Account(id) = subject {
            // P10: only where the account itself is the subject.
            let memberships = self.memberships(id).into_iter();
            set.extend(memberships.map(|(_, group)| ActorRef::Group(group)));
        }
        loop {
            let before = set.len();
            self.owned_accounts(subject, &mut set);
            self.groups(&mut set);
            self.pairs(&mut set);
            self.management_roles(&mut set);
            if set.len() == before {
                return set;
            }
        }
    }

    /// A2: only a person subject counts as accounts, and only as the enabled ones.
    fn owned_accounts(&self, subject: &ActorRef, set: &mut BTreeSet<ActorRef>) {
        let ActorRef::Person(person) = subject else { return };
        for account in self.facts.accounts() {
            if account.enabled && account.owner.as_ref() == Some(person) {
                set.insert(ActorRef::Account(account.id.clone()));
            }
        }
    }

    /// A3 and A4.
    fn groups(&self, set: &mut BTreeSet<ActorRef>) {
        for group in self.facts.groups() {
            if self.has_member(&group.members, set) {
                set.insert(ActorRef::Group(group.id.clone()));
            }
        }
        for set_group in self.facts.set_groups() {
            if self.has_member(&set_group.members, set) {
                set.insert(ActorRef::SetGroup(set_group.id.clone()));
            }
        }
    }

    /// A5: every pair of the role or an ancestor with a location on `up`.
    fn pairs(&self, set: &mut BTreeSet<ActorRef>) {
        for position in self.positions_held_by(set) {
            for role in self.role_and_ancestors(&position.business_role) {
                for location in self.up(&position.location) {
                    set.insert(ActorRef::BusinessRoleLocation(role.clone(), location));
                }
            }
        }
    }

    /// A6 and A7.
    fn management_roles(&self, set: &mut BTreeSet<ActorRef>) {
        for role in self.facts.management_roles() {
            if self.has_member(&role.members, set) {
                set.insert(ActorRef::ManagementRole(role.id.clone()));
            }
            if !set.contains(&ActorRef::ManagementRole(role.id.clone())) {
                continue;
            }
            for included in &role.includes {
                set.insert(ActorRef::ManagementRole(included.clone()));
            }
            if let Some(definition) = &role.definition {
                set.insert(ActorRef::ManagementRoleDefinition(definition.clone()));
            }
        }
    }

    fn has_member(&self, members: &[Membership], set: &BTreeSet<ActorRef>) -> bool {
        members.iter().any(|member| self.open(&member.window) && set.contains(&member.of))
    }

    /// The positions, open now, of every person and group in the set.
    pub(super) fn positions_held_by(&self, set: &BTreeSet<ActorRef>) -> Vec<&Position> {
        let of_people = self
            .facts
            .people()
            .filter(|person| set.contains(&ActorRef::Person(person.id.clone())))
            .flat_map(|person| &person.positions);
        let of_groups = self
            .facts
            .groups()
            .filter(|group| set.contains(&ActorRef::Group(group.id.clone())))
            .flat_map(|group| &group.positions);
        of_people.chain(of_groups).filter(|position| self.open(&position.window)).collect()
    }

    fn role_and_ancestors(&self, role: &BusinessRoleId) -> Vec<BusinessRoleId> {
        let mut chain = vec![role.clone()];
        if let Some(parent) = self.facts.business_role(role).and_then(|role| role.parent.as_ref()) {
            chain.extend(self.role_and_ancestors(parent));
        }
        chain
    }

    /// A5: the location, then its ancestors nearest first, up to and with the first that blocks.
    pub(super) fn up(&self, location: &LocationId) -> Vec<LocationId> {
        let mut chain = vec![location.clone()];
        if let Some(here) = self.facts.location(location)
            && !here.block_inheritance
            && let Some(parent) = &here.parent
        {
            chain.extend(self.up(parent));
        }
        chain
    }
}
