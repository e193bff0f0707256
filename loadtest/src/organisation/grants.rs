//! Who is given what: assignments, shares of the vault, eligibilities. An assignment is made from
//! somebody and something that it covers, so that questions it answers are known with it.

use std::collections::BTreeMap;

use pdp_engine::id::{AssignmentId, PermissionLevelId, TypeName};
use pdp_engine::level::{Assignment, Relative, Scope};
use pdp_engine::psm::{
    DEFAULT_MAX_SESSION_MICROS, Eligibility, EligibilityKey, EligibilityKind, EligibilityScope,
    Jit, LOCAL_WINDOWS_SERVER, PermissionLevel, Psm,
};
use pdp_engine::resource::BuiltInType;
use pdp_engine::share::{Entity, Grantee, Share, ShareKey, ShareLevel};

use super::catalogue::Level;
use super::directory::Who;
use super::{Organisation, named};
use crate::questions::Ask;
use crate::random::{Dice, Purpose};

/// What an assignment is, for whoever counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GrantClass {
    /// To people, accounts and groups on one resource.
    Direct,
    /// To people, groups and set groups in a location.
    Location,
    /// To management roles, definitions and business roles at places.
    Role,
    /// Relative to whoever asks.
    Relative,
}

/// An assignment with what it was made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    /// The assignment.
    pub assignment: Assignment,
    /// What it is.
    pub class: GrantClass,
    /// Whether its assignee is a group with groups in it.
    pub nested: bool,
    /// Whether its definition denies something.
    pub denies: bool,
    /// Somebody who counts as the assignee: an account, and the id.
    subject: (bool, String),
    /// Something that the scope covers for them: type and id.
    object: (String, String),
    level: Level,
}

impl PartialEq for Level {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// The only permission level for sessions.
const ADMIN: &str = "admin";

use Relative::{
    AccountsOfDirectReports, DirectReports, InMyLocations, InMyOrganization, Manager,
    MyLocationsAndAbove, MyLocationsAndBelow, Myself, OwnAccounts,
};

const RELATIVES: [(f64, Relative); 9] = [
    (0.30, InMyLocations),
    (0.20, InMyOrganization),
    (0.10, Myself),
    (0.05, Manager),
    (0.10, DirectReports),
    (0.10, OwnAccounts),
    (0.05, AccountsOfDirectReports),
    (0.05, MyLocationsAndAbove),
    (0.05, MyLocationsAndBelow),
];

// === impl Grant ===

impl Grant {
    /// A question that the assignment speaks to, by any number.
    #[must_use]
    pub fn ask(&self, pick: u64) -> Ask {
        let ((account, subject), (type_name, id)) = (self.subject.clone(), self.object.clone());
        Ask::new(account, subject, self.level.ask(pick), type_name, id)
    }
}

// === impl Organisation ===

impl Organisation {
    /// An assignment.
    #[must_use]
    pub fn grant(&self, n: u64) -> Grant {
        let mut dice = self.dice(Purpose::Assignment, n);
        let shape = &self.shape;
        let class = dice.weighted(&[
            (shape.share_direct, GrantClass::Direct),
            (shape.share_location, GrantClass::Location),
            (shape.share_role, GrantClass::Role),
            (shape.share_relative, GrantClass::Relative),
        ]);
        let class = class.unwrap_or(GrantClass::Direct);
        let (who, person) = self.assignee(class, &mut dice);
        let denies = dice.chance(shape.denies);
        let level = Level::draw(&mut dice, denies);
        let (scope, type_name, object) = self.scope(class, person, &mut dice);
        let nested = matches!(who, Who::Group(n) if self.groups_in(n).next().is_some());
        let subject = match who {
            Who::Account(n) => (true, self.name("a", n)),
            _ => (false, self.name("p", person)),
        };
        let type_name = named(TypeName::new(type_name));
        Grant {
            class,
            nested,
            denies,
            subject,
            object: (type_name.as_str().to_owned(), object),
            level,
            assignment: Assignment {
                id: named(AssignmentId::new(self.name("x", n))),
                to: self.actor(who),
                level: level.of(type_name),
                scope,
                window: self.window(&mut dice),
            },
        }
    }

    /// An actor, and a person who counts as it.
    fn assignee(&self, class: GrantClass, dice: &mut Dice) -> (Who, u64) {
        let shape = &self.shape;
        let anybody = dice.below(shape.people);
        let who = if dice.chance(shape.nested) {
            Who::Group(self.nested(dice))
        } else {
            let group = Who::Group(dice.below(shape.groups));
            let role = Who::Role(dice.below(shape.roles));
            let drawn = match class {
                GrantClass::Direct => {
                    let account = Who::Account(dice.below(shape.accounts));
                    dice.weighted(&[(0.4, Who::Person(anybody)), (0.1, account), (0.5, group)])
                }
                GrantClass::Location => {
                    let set_group = Who::SetGroup(dice.below(self.set_groups()));
                    dice.weighted(&[(0.1, Who::Person(anybody)), (0.05, set_group), (0.85, group)])
                }
                GrantClass::Role => {
                    let definition = Who::Definition(dice.below(self.definitions()));
                    let pair = self.pair_of(anybody, dice);
                    dice.weighted(&[(0.6, role), (0.15, definition), (0.25, pair)])
                }
                GrantClass::Relative => dice.weighted(&[(0.7, group), (0.3, role)]),
            };
            drawn.unwrap_or(group)
        };
        let person = self.somebody(who, dice).unwrap_or(anybody);
        (who, person)
    }

    /// A scope, the type it is for, and the id of something that it covers for the person.
    fn scope(&self, class: GrantClass, person: u64, dice: &mut Dice) -> (Scope, String, String) {
        let resource = dice.below(self.shape.resources);
        let by_location = match class {
            GrantClass::Direct => false,
            GrantClass::Location => true,
            GrantClass::Role => dice.chance(0.5),
            GrantClass::Relative => return self.relative(person, dice),
        };
        let (type_name, id) = (self.type_of(resource), self.name("r", resource));
        if !by_location {
            return (Scope::On(self.resource_ref(resource)), type_name, id);
        }
        let mut place = self.place_of(resource);
        while dice.chance(0.25) {
            let Some(around) = self.around(place) else { break };
            place = around;
        }
        (Scope::In(self.location_id(place)), type_name, id)
    }

    fn relative(&self, person: u64, dice: &mut Dice) -> (Scope, String, String) {
        let relative = dice.weighted(&RELATIVES).unwrap_or(InMyLocations);
        let report = self.report(person, dice);
        let account = |owner: u64| self.name("a", owner.min(self.shape.accounts - 1));
        let id = match relative {
            Myself => self.name("p", person),
            Manager => self.name("p", self.manager(person).unwrap_or(person)),
            DirectReports => self.name("p", report),
            OwnAccounts => account(person),
            AccountsOfDirectReports => account(report),
            MyLocationsAndAbove | MyLocationsAndBelow => self.name("l", self.home(person)),
            InMyLocations | InMyOrganization => {
                let resource = self.resource_in(self.home(person), dice);
                let (type_name, id) = (self.type_of(resource), self.name("r", resource));
                return (Scope::Relative(relative), type_name, id);
            }
        };
        let type_name = relative.needs().map_or("Person", BuiltInType::as_str);
        (Scope::Relative(relative), type_name.to_owned(), id)
    }

    /// A share of the vault: one for a resource and a grantee.
    pub(super) fn share(&self, n: u64) -> Share {
        let (resource, round) = (n % self.shape.resources, n / self.shape.resources);
        let mut dice = self.dice(Purpose::Share, resource);
        let (start, person) = (dice.number() >> 1, dice.chance(0.5));
        let to = if person {
            Grantee::Person(self.person_id((start + round) % self.shape.people))
        } else {
            Grantee::Group(self.group_id((start + round) % self.shape.groups))
        };
        let mut dice = self.dice(Purpose::Share, n | 1 << 62);
        let levels = [(0.6, ShareLevel::View), (0.3, ShareLevel::Modify), (0.1, ShareLevel::Full)];
        Share {
            key: ShareKey { to, on: Entity::Resource(self.resource_ref(resource)) },
            level: dice.weighted(&levels).unwrap_or(ShareLevel::View),
        }
    }

    fn admin() -> PermissionLevelId {
        named(PermissionLevelId::new(ADMIN))
    }

    pub(super) fn permission_level(&self) -> PermissionLevel {
        PermissionLevel { id: Self::admin(), name: None }
    }

    pub(super) fn psm(&self, computer: u64) -> Psm {
        let native = self.native_id(computer % self.natives());
        Psm {
            computer: self.computer_id(computer),
            enabled: true,
            allow_unprivileged: computer.is_multiple_of(3),
            account_store: Some(LOCAL_WINDOWS_SERVER.to_owned()),
            max_session_micros: DEFAULT_MAX_SESSION_MICROS,
            max_concurrent: 0,
            jit: Jit { enabled: true, delete_on_end: true, reuse_existing: false },
            levels: BTreeMap::from([(Self::admin(), Some(native))]),
        }
    }

    /// An eligibility: one for a group and a computer.
    pub(super) fn eligibility(&self, n: u64) -> Eligibility {
        let (computer, round) = (n % self.shape.computers, n / self.shape.computers);
        let group = self.dice(Purpose::Eligibility, computer).number() >> 1;
        let mut dice = self.dice(Purpose::Eligibility, n | 1 << 62);
        let kinds = [
            (0.70, EligibilityKind::Eligible),
            (0.15, EligibilityKind::PreApproved),
            (0.10, EligibilityKind::Suggested),
            (0.05, EligibilityKind::Excluded),
        ];
        Eligibility {
            key: EligibilityKey {
                to: self.actor(Who::Group((group + round) % self.shape.groups)),
                level: Self::admin(),
                scope: EligibilityScope::On(self.computer_id(computer)),
                kind: dice.weighted(&kinds).unwrap_or(EligibilityKind::Eligible),
            },
            window: self.window(&mut dice),
        }
    }
}
