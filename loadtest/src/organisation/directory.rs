//! The directory and the inventory: places, people, accounts, groups, roles, resources. What is
//! needed to find somebody who counts as an actor is arithmetic on numbers, without looking back.

use std::collections::BTreeSet;

use pdp_engine::actor::{
    Account, ActorRef, BusinessRole, Group, ManagementRole, ManagementRoleDefinition, Membership,
    Person, Position, SetGroup,
};
use pdp_engine::id::{
    AccountId, BusinessRoleId, GroupId, LocationId, ManagementRoleDefinitionId, ManagementRoleId,
    ObjectId, PersonId, SetGroupId, TypeName,
};
use pdp_engine::resource::{Location, Resource, ResourceRef};
use pdp_engine::share::VaultPrivilege;
use pdp_engine::time::Window;

use super::{Organisation, REPORTS, named};
use crate::random::{Dice, Purpose};
use crate::shape::Shape;

/// An actor, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Person(u64),
    Account(u64),
    Group(u64),
    SetGroup(u64),
    /// A business role and a location.
    Pair(u64, u64),
    Role(u64),
    Definition(u64),
}

/// How many roles one is bundled of, at most: a role and the two below it, twice.
const BUNDLE: u64 = 7;

/// How many business roles are directly below one.
const ROLE_BRANCHING: u64 = 4;

/// How many computers share one native group.
const COMPUTERS_A_NATIVE: u64 = 50;

/// The longest chain of groups in groups that is followed.
const LONGEST: u32 = 16;

// === impl Organisation ===

impl Organisation {
    pub(super) fn business_roles(&self) -> u64 {
        (self.shape.roles / 20).clamp(4, 200)
    }

    pub(super) fn set_groups(&self) -> u64 {
        (self.shape.groups / 50).max(1)
    }

    pub(super) fn definitions(&self) -> u64 {
        (self.shape.roles / 10).max(1)
    }

    pub(super) fn natives(&self) -> u64 {
        self.shape.computers.div_ceil(COMPUTERS_A_NATIVE)
    }

    // --- names

    pub(super) fn person_id(&self, n: u64) -> PersonId {
        named(PersonId::new(self.name("p", n)))
    }

    pub(super) fn account_id(&self, n: u64) -> AccountId {
        named(AccountId::new(self.name("a", n)))
    }

    pub(super) fn group_id(&self, n: u64) -> GroupId {
        named(GroupId::new(self.name("g", n)))
    }

    pub(super) fn native_id(&self, n: u64) -> GroupId {
        named(GroupId::new(self.name("n", n)))
    }

    pub(super) fn location_id(&self, n: u64) -> LocationId {
        named(LocationId::new(self.name("l", n)))
    }

    pub(super) fn computer_id(&self, n: u64) -> ObjectId {
        named(ObjectId::new(self.name("c", n)))
    }

    fn business_role_id(&self, n: u64) -> BusinessRoleId {
        named(BusinessRoleId::new(self.name("b", n)))
    }

    fn set_group_id(&self, n: u64) -> SetGroupId {
        named(SetGroupId::new(self.name("s", n)))
    }

    fn role_id(&self, n: u64) -> ManagementRoleId {
        named(ManagementRoleId::new(self.name("m", n)))
    }

    fn definition_id(&self, n: u64) -> ManagementRoleDefinitionId {
        named(ManagementRoleDefinitionId::new(self.name("d", n)))
    }

    pub(super) fn actor(&self, who: Who) -> ActorRef {
        match who {
            Who::Person(n) => ActorRef::Person(self.person_id(n)),
            Who::Account(n) => ActorRef::Account(self.account_id(n)),
            Who::Group(n) => ActorRef::Group(self.group_id(n)),
            Who::SetGroup(n) => ActorRef::SetGroup(self.set_group_id(n)),
            Who::Pair(role, place) => {
                ActorRef::BusinessRoleLocation(self.business_role_id(role), self.location_id(place))
            }
            Who::Role(n) => ActorRef::ManagementRole(self.role_id(n)),
            Who::Definition(n) => ActorRef::ManagementRoleDefinition(self.definition_id(n)),
        }
    }

    // --- places

    pub(super) const fn around(&self, location: u64) -> Option<u64> {
        match location {
            0 => None,
            n => Some((n - 1) / self.branching),
        }
    }

    const fn blocks(n: u64) -> bool {
        n % 50 == 49
    }

    pub(super) fn location(&self, n: u64) -> Location {
        Location {
            id: self.location_id(n),
            parent: self.around(n).map(|n| self.location_id(n)),
            organization: self.around(n) == Some(0) || self.shape.locations == 1,
            block_inheritance: Self::blocks(n),
        }
    }

    pub(super) fn business_role(&self, n: u64) -> BusinessRole {
        let parent = n.checked_sub(1).map(|before| self.business_role_id(before / ROLE_BRANCHING));
        BusinessRole { id: self.business_role_id(n), parent, locations: Vec::new() }
    }

    // --- people and accounts

    /// The role and the location of a person's position.
    fn position(&self, person: u64) -> (u64, u64) {
        let mut dice = self.dice(Purpose::Person, person);
        let place = dice.below(self.shape.locations);
        (dice.below(self.business_roles()), place)
    }

    pub(super) fn home(&self, person: u64) -> u64 {
        self.position(person).1
    }

    /// A pair that the person counts as: the role or the one above it, at home or further up.
    pub(super) fn pair_of(&self, person: u64, dice: &mut Dice) -> Who {
        let (mut role, mut place) = self.position(person);
        if role > 0 && dice.chance(0.3) {
            role = (role - 1) / ROLE_BRANCHING;
        }
        while !Self::blocks(place) && dice.chance(0.4) {
            let Some(around) = self.around(place) else { break };
            place = around;
        }
        Who::Pair(role, place)
    }

    pub(super) fn manager(&self, person: u64) -> Option<u64> {
        Some(person.checked_sub(1)? / REPORTS)
    }

    /// Somebody who reports to the person, if anybody does.
    pub(super) fn report(&self, person: u64, dice: &mut Dice) -> u64 {
        let report = person * REPORTS + 1 + dice.below(REPORTS);
        if report < self.shape.people { report } else { person }
    }

    pub(super) fn person(&self, n: u64) -> Person {
        let (role, place) = self.position(n);
        let mut dice = self.dice(Purpose::Person, n ^ (1 << 63));
        let position = Position {
            business_role: self.business_role_id(role),
            location: self.location_id(place),
            primary: true,
            window: Window::ALWAYS,
        };
        let privileges = [VaultPrivilege::ConnectionUser];
        Person {
            id: self.person_id(n),
            name: None,
            login: None,
            enabled: !dice.chance(0.01),
            manager: self.manager(n).map(|n| self.person_id(n)),
            locations: Vec::new(),
            positions: vec![position],
            vault_privileges: privileges.into_iter().filter(|_| dice.chance(0.1)).collect(),
        }
    }

    pub(super) const fn owner(&self, account: u64) -> u64 {
        account % self.shape.people
    }

    pub(super) fn account(&self, n: u64) -> Account {
        let owner = self.owner(n);
        // Every tenth is an account on a computer.
        let computer = (n % 10 == 9).then(|| self.computer_id(n / 10 % self.shape.computers));
        Account {
            id: self.account_id(n),
            owner: Some(self.person_id(owner)),
            enabled: true,
            computer,
            locations: vec![self.location_id(self.home(owner))],
        }
    }

    // --- groups and roles

    /// The groups in a group.
    pub(super) fn groups_in(&self, group: u64) -> impl Iterator<Item = u64> + use<> {
        let place = group % self.family;
        let nests = group < self.families * self.family;
        let family = self.family;
        [2 * place + 1, 2 * place + 2]
            .into_iter()
            .filter(move |child| nests && *child < family)
            .map(move |child| group - place + child)
    }

    /// A group that has groups in it.
    pub(super) fn nested(&self, dice: &mut Dice) -> u64 {
        dice.below(self.families) * self.family + dice.below(self.family / 2)
    }

    /// How many people and accounts a group lists: half of the groups are small, some are large.
    fn listed(&self, group: u64) -> u64 {
        let Shape { people, memberships, groups, .. } = self.shape;
        let usual = (people * memberships).div_ceil(groups);
        let size = match self.dice(Purpose::Group, group).below(20) {
            0..10 => usual / 2,
            10..16 => usual,
            16..19 => usual * 2,
            _ => usual * 5,
        };
        size.clamp(1, people)
    }

    /// The person or account that a group lists at a place; each is listed once.
    fn listed_at(&self, group: u64, place: u64, listed: u64) -> (Who, Window) {
        let mut dice = self.dice(Purpose::Group, (group + 1) << 24 | place);
        let people = u128::from(self.shape.people);
        let edge = |place: u64| (u128::from(place) * people / u128::from(listed)) as u64;
        let person = edge(place) + dice.below(edge(place + 1) - edge(place));
        let window = self.window(&mut dice);
        let account = dice.chance(0.05) && person < self.shape.accounts;
        (if account { Who::Account(person) } else { Who::Person(person) }, window)
    }

    /// Somebody who counts as the actor, unless a window is closed or somebody is disabled.
    pub(super) fn somebody(&self, who: Who, dice: &mut Dice) -> Option<u64> {
        self.somebody_within(who, dice, LONGEST)
    }

    fn somebody_within(&self, who: Who, dice: &mut Dice, longest: u32) -> Option<u64> {
        let longest = longest.checked_sub(1)?;
        match who {
            Who::Person(n) => Some(n),
            Who::Account(n) => Some(self.owner(n)),
            Who::Group(n) => {
                let child = self.groups_in(n).nth(dice.below(4) as usize);
                if let Some(child) = child {
                    return self.somebody_within(Who::Group(child), dice, longest);
                }
                let listed = self.listed(n);
                let (member, _) = self.listed_at(n, dice.below(listed), listed);
                self.somebody_within(member, dice, longest)
            }
            Who::SetGroup(n) => {
                let members = self.members_of_set(n);
                let (member, _) = *members.get(dice.below(members.len() as u64) as usize)?;
                self.somebody_within(member, dice, longest)
            }
            Who::Role(n) => {
                let members = self.members_of_role(n);
                let (member, _) = *members.get(dice.below(members.len() as u64) as usize)?;
                self.somebody_within(member, dice, longest)
            }
            Who::Definition(n) => {
                let roles = self.shape.roles.div_ceil(self.definitions()).max(1);
                let role = n + self.definitions() * dice.below(roles);
                self.somebody_within(Who::Role(role % self.shape.roles), dice, longest)
            }
            // Whoever names a pair knows of whom it was made.
            Who::Pair(..) => None,
        }
    }

    fn members_of_set(&self, n: u64) -> Vec<(Who, Window)> {
        let mut dice = self.dice(Purpose::SetGroup, n);
        let groups = [dice.below(self.shape.groups), dice.below(self.shape.groups)];
        let people: BTreeSet<u64> = (0..3).map(|_| dice.below(self.shape.people)).collect();
        let members = BTreeSet::from(groups).into_iter().map(Who::Group);
        members
            .chain(people.into_iter().map(Who::Person))
            .map(|who| (who, Window::ALWAYS))
            .collect()
    }

    fn members_of_role(&self, n: u64) -> Vec<(Who, Window)> {
        let Shape { people, roles, groups, .. } = self.shape;
        let mut dice = self.dice(Purpose::Role, n);
        let count = (people / roles / 2).clamp(2, 200);
        let listed: BTreeSet<u64> = (0..count).map(|_| dice.below(people)).collect();
        let mut members: Vec<Who> = listed.into_iter().map(Who::Person).collect();
        members.push(Who::Group(dice.below(groups)));
        if n.is_multiple_of(4) {
            members.push(Who::SetGroup(dice.below(self.set_groups())));
        }
        let one = dice.below(people);
        members.push(self.pair_of(one, &mut dice));
        members.into_iter().map(|who| (who, self.window(&mut dice))).collect()
    }

    fn memberships(&self, members: impl IntoIterator<Item = (Who, Window)>) -> Vec<Membership> {
        let member = |(who, window)| Membership { of: self.actor(who), window };
        members.into_iter().map(member).collect()
    }

    pub(super) fn group(&self, n: u64) -> Group {
        let listed = self.listed(n);
        let people = (0..listed).map(|place| self.listed_at(n, place, listed));
        let groups = self.groups_in(n).map(|child| (Who::Group(child), Window::ALWAYS));
        Group {
            id: self.group_id(n),
            members: self.memberships(people.chain(groups)),
            positions: Vec::new(),
            default: false,
            locations: Vec::new(),
        }
    }

    /// A group that a permission level is mapped to on computers.
    pub(super) fn native(&self, n: u64) -> Group {
        Group {
            id: self.native_id(n),
            members: Vec::new(),
            positions: Vec::new(),
            default: false,
            locations: Vec::new(),
        }
    }

    pub(super) fn set_group(&self, n: u64) -> SetGroup {
        let members = self.memberships(self.members_of_set(n));
        SetGroup { id: self.set_group_id(n), members, locations: Vec::new() }
    }

    pub(super) fn definition(&self, n: u64) -> ManagementRoleDefinition {
        ManagementRoleDefinition { id: self.definition_id(n), locations: Vec::new() }
    }

    pub(super) fn role(&self, n: u64) -> ManagementRole {
        // The first three of ten roles are bundles of the next.
        let place = n % BUNDLE;
        let bundles = n - place + BUNDLE <= self.shape.roles * 3 / 10;
        let below = [2 * place + 1, 2 * place + 2].into_iter().filter(|it| bundles && *it < BUNDLE);
        ManagementRole {
            id: self.role_id(n),
            definition: Some(self.definition_id(n % self.definitions())),
            members: self.memberships(self.members_of_role(n)),
            includes: below.map(|it| self.role_id(n - place + it)).collect(),
            locations: Vec::new(),
        }
    }

    // --- resources

    /// Where a resource lies: in order, so that one in a place is found by arithmetic.
    pub(super) const fn place_of(&self, resource: u64) -> u64 {
        resource % self.shape.locations
    }

    pub(super) fn type_of(&self, resource: u64) -> String {
        super::catalogue::type_name(resource / self.shape.locations % self.shape.types)
    }

    /// A resource in this place, if there is one.
    pub(super) fn resource_in(&self, place: u64, dice: &mut Dice) -> u64 {
        let rounds = self.shape.resources / self.shape.locations;
        let resource = place + self.shape.locations * dice.below(rounds);
        resource.min(self.shape.resources - 1)
    }

    pub(super) fn resource_ref(&self, n: u64) -> ResourceRef {
        ResourceRef {
            type_name: named(TypeName::new(self.type_of(n))),
            id: named(ObjectId::new(self.name("r", n))),
        }
    }

    pub(super) fn resource(&self, n: u64) -> Resource {
        let mut dice = self.dice(Purpose::Resource, n);
        let mut places = BTreeSet::new();
        if !dice.chance(0.02) {
            places.insert(self.place_of(n));
            if dice.chance(0.1) {
                places.insert(dice.below(self.shape.locations));
            }
        }
        Resource {
            name: self.resource_ref(n),
            locations: places.into_iter().map(|n| self.location_id(n)).collect(),
            platform: None,
            owner: None,
            parent: None,
        }
    }

    pub(super) fn computer(&self, n: u64) -> Resource {
        let name = ResourceRef::computer(&self.computer_id(n));
        let platform = if n.is_multiple_of(2) { "windows" } else { "linux" };
        Resource {
            name,
            locations: vec![self.location_id(n % self.shape.locations)],
            platform: Some(platform.to_owned()),
            owner: None,
            parent: None,
        }
    }
}
