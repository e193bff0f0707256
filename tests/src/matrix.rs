//! Access matrices: who may use what, as a table of users and permissions with its roles.
//!
//! As a policy each user is a person, each role a management role with those members, each
//! permission a resource, and each (role, permission) an assignment of one level. Every cell of
//! the table must then be decided as the pairs say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Instant;

use pdp_engine::actor::{ActorRef, ManagementRole, Membership, Person};
use pdp_engine::check::check;
use pdp_engine::facts::{Change, Fact};
use pdp_engine::id::{
    AssignmentId, ManagementRoleId, PermissionName, PersonId, TenantId, TypeName,
};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Scope};
use pdp_engine::permission::{Pattern, PermissionKind, Qualifier};
use pdp_engine::query::{Effect, ObjectRef, PermissionRef, Question, Reason, SubjectRef};
use pdp_engine::resource::{Resource, ResourceRef, ResourceType};
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::{Timestamp, Window};
use pdp_server::clock::Clock;
use pdp_server::publish::{Apply, DEFAULT_TENANT, Publisher};
use pdp_server::store::Store;
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

use crate::door::MAX_CHANGES;

/// The operation that is asked.
pub const OPERATION: PermissionRef<'static> =
    PermissionRef { kind: PermissionKind::Operation, name: "Use" };

/// The type of the resources.
pub const TYPE: &str = "Permission";

/// One access matrix.
#[derive(Debug, Clone)]
pub struct Matrix {
    /// What the set is called.
    pub name: String,
    /// Every user, in order.
    pub users: Vec<String>,
    /// Every permission, in order.
    pub permissions: Vec<String>,
    /// The pairs that are allowed: for each user the positions of the permissions.
    pub allowed: Vec<BTreeSet<usize>>,
    /// An exact decomposition into roles.
    pub roles: Vec<Role>,
}

/// A role: all of its users may use all of its permissions.
#[derive(Debug, Clone, Default)]
pub struct Role {
    /// Its users.
    pub users: Vec<String>,
    /// Its permissions.
    pub permissions: Vec<String>,
}

/// What deciding every cell came to.
#[derive(Debug, Clone)]
pub struct Decided {
    /// How many cells were allowed.
    pub allows: usize,
    /// How many cells were denied.
    pub denies: usize,
    /// Nanoseconds a decision: the median over the users.
    pub median_ns: f64,
}

// === impl Matrix ===

impl Matrix {
    /// Reads `NAME.pairs.txt` and `NAME.roles.txt`.
    ///
    /// # Panics
    /// If the files are not there or not of their form.
    #[must_use]
    pub fn read(folder: &Path, name: &str) -> Self {
        let read = |ending: &str| {
            let path = folder.join(format!("{name}.{ending}.txt"));
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let pairs = read("pairs");
        let pairs: BTreeSet<(&str, &str)> = pairs
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| {
                let mut words = line.split_whitespace();
                match (words.next(), words.next(), words.next()) {
                    (Some(user), Some(permission), None) => (user, permission),
                    _ => panic!("{name}: `{line}` is not a pair"),
                }
            })
            .collect();
        let mut roles: Vec<Role> = Vec::new();
        for line in read("roles").lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (key, list) = line.split_once(':').unwrap_or_else(|| panic!("{name}: `{line}`"));
            let list = || list.split(',').map(|item| item.trim().to_owned()).collect();
            match (key, roles.last_mut()) {
                ("role", _) => roles.push(Role::default()),
                ("permissions", Some(role)) => role.permissions = list(),
                ("users", Some(role)) => role.users = list(),
                _ => panic!("{name}: `{line}` is neither a role nor part of one"),
            }
        }
        Self::new(name, &pairs, roles)
    }

    fn new(name: &str, pairs: &BTreeSet<(&str, &str)>, roles: Vec<Role>) -> Self {
        let sorted = |items: BTreeSet<&str>| items.into_iter().map(str::to_owned).collect();
        let users: Vec<String> = sorted(pairs.iter().map(|(user, _)| *user).collect());
        let permissions: Vec<String> = sorted(pairs.iter().map(|(_, it)| *it).collect());
        let at: BTreeMap<&str, usize> =
            permissions.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
        let allowed = users
            .iter()
            .map(|user| {
                let range = (user.as_str(), "")..;
                let own = pairs.range(range).take_while(|(other, _)| other == user);
                own.map(|(_, permission)| at[permission]).collect()
            })
            .collect();
        Self { name: name.to_owned(), users, permissions, allowed, roles }
    }

    /// A matrix of this shape from a seed: few large roles, many small ones, overlapping.
    #[must_use]
    pub fn synthetic(seed: u8, users: usize, permissions: usize, roles: usize) -> Self {
        let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let mut below = |count: usize| rng.next_u64() as usize % count;
        let mut pick = |prefix: char, count: usize, of: usize| -> Vec<String> {
            let picked: BTreeSet<usize> = (0..count).map(|_| below(of)).collect();
            picked.into_iter().map(|n| format!("{prefix}{n}")).collect()
        };
        let roles: Vec<Role> = (1..=roles)
            .map(|n| Role {
                users: pick('u', 3 + users / (n + 1), users),
                permissions: pick('p', 2 + permissions / (roles + 1 - n).max(4), permissions),
            })
            .collect();
        let pairs = roles.iter().flat_map(|role| {
            let of = |user| role.permissions.iter().map(move |it| (user, it.as_str()));
            role.users.iter().map(String::as_str).flat_map(of)
        });
        let pairs: BTreeSet<(&str, &str)> = pairs.collect();
        Self::new("synthetic", &pairs, roles.clone())
    }

    /// How many pairs are allowed.
    #[must_use]
    pub fn pairs(&self) -> usize {
        self.allowed.iter().map(BTreeSet::len).sum()
    }

    /// The policy.
    ///
    /// # Panics
    /// If a name of the matrix cannot be an id.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        let operation = PermissionName::new(OPERATION.name).unwrap();
        let type_name = TypeName::new(TYPE).unwrap();
        let level = LevelRef::parse(&format!("{TYPE}/User")).unwrap();
        let resource = |id: &str| ResourceRef::parse(&format!("{TYPE}:{id}")).unwrap();
        let mut facts: Vec<Fact> = vec![
            ResourceType {
                name: type_name,
                operations: BTreeSet::from([operation.clone()]),
                rights: BTreeSet::new(),
            }
            .into(),
            AccessLevel {
                name: level.clone(),
                operations: BTreeMap::from([(Pattern::Name(operation), Qualifier::Allowed)]),
                rights: BTreeMap::new(),
            }
            .into(),
        ];
        facts.extend(self.users.iter().map(|id| Fact::from(person(id))));
        facts.extend(self.permissions.iter().map(|id| Fact::from(plain(resource(id)))));
        for (n, role) in self.roles.iter().enumerate() {
            let id = ManagementRoleId::new(format!("r{n}")).unwrap();
            facts.push(management_role(&id, role).into());
            facts.extend(role.permissions.iter().map(|permission| {
                let (level, scope) = (level.clone(), Scope::On(resource(permission)));
                let to = ActorRef::ManagementRole(id.clone());
                let id = AssignmentId::new(format!("{id}-{permission}")).unwrap();
                Fact::from(Assignment { id, to, level, scope, window: Window::ALWAYS })
            }));
        }
        facts.into_iter().map(Change::Put).collect()
    }

    /// A publisher on a store in this folder that holds the policy, applied in change sets of at
    /// most [`MAX_CHANGES`].
    ///
    /// # Panics
    /// If the store or a change set is refused.
    #[must_use]
    pub fn publish(&self, folder: &Path) -> Publisher {
        let publisher = Publisher::open(Store::open(folder).unwrap(), Clock::system()).unwrap();
        let tenant = TenantId::new(DEFAULT_TENANT).unwrap();
        for changes in self.changes().chunks(MAX_CHANGES) {
            let request = Apply {
                changes,
                expected: None,
                dry_run: false,
                request_id: None,
                on_behalf_of: None,
            };
            publisher.apply(&tenant, request).unwrap();
        }
        publisher
    }

    /// The question of one cell.
    #[must_use]
    pub fn question(&self, user: usize, permission: usize) -> Question<'_> {
        let object = ObjectRef { type_name: TYPE, id: &self.permissions[permission] };
        Question::new(SubjectRef::Person(&self.users[user]), OPERATION, object)
    }

    /// Decides every cell.
    ///
    /// # Panics
    /// If one is not decided as the pairs say.
    #[must_use]
    pub fn decide_every_cell(&self, snapshot: &Snapshot, now: Timestamp) -> Decided {
        let (mut allows, mut denies) = (0, 0);
        let mut times = Vec::with_capacity(self.users.len());
        for (user, allowed) in self.allowed.iter().enumerate() {
            let begun = Instant::now();
            let decisions: Vec<_> = (0..self.permissions.len())
                .map(|permission| check(snapshot, &self.question(user, permission), now).unwrap())
                .collect();
            times.push(begun.elapsed().as_nanos() as f64 / decisions.len() as f64);
            for (permission, decision) in decisions.into_iter().enumerate() {
                let expected = match allowed.contains(&permission) {
                    true => (Effect::Allow, Reason::Granted),
                    false => (Effect::Deny, Reason::NotGranted),
                };
                let actual = (decision.effect, decision.reason);
                assert_eq!(actual, expected, "{:?}", self.question(user, permission));
                match decision.is_allow() {
                    true => allows += 1,
                    false => denies += 1,
                }
            }
        }
        times.sort_by(f64::total_cmp);
        Decided { allows, denies, median_ns: times[times.len() / 2] }
    }
}

fn person(id: &str) -> Person {
    Person {
        id: PersonId::new(id).unwrap(),
        name: None,
        login: None,
        enabled: true,
        manager: None,
        locations: Vec::new(),
        positions: Vec::new(),
        vault_privileges: BTreeSet::new(),
    }
}

fn plain(name: ResourceRef) -> Resource {
    Resource { name, locations: Vec::new(), platform: None, owner: None, parent: None }
}

fn management_role(id: &ManagementRoleId, role: &Role) -> ManagementRole {
    let member = |user: &String| Membership {
        of: ActorRef::Person(PersonId::new(user).unwrap()),
        window: Window::ALWAYS,
    };
    ManagementRole {
        id: id.clone(),
        definition: None,
        members: role.users.iter().map(member).collect(),
        includes: Vec::new(),
        locations: Vec::new(),
    }
}
