//! Organisations from access matrices, scaled: `NAME.pairs.txt` has a line `user permission` for
//! each pair that is allowed, `NAME.roles.txt` an exact decomposition into roles of three lines,
//! `role:`, `permissions:` and `users:`, with commas between names. Each user is a person, each role
//! a management role, each permission a resource, each permission of a role an assignment; a scale
//! of K makes K such organisations beside each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use pdp_engine::actor::{ActorRef, ManagementRole, Membership, Person};
use pdp_engine::facts::Fact;
use pdp_engine::id::{
    AssignmentId, IdError, LevelName, ManagementRoleId, ObjectId, PermissionName, PersonId,
    TypeName,
};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Scope};
use pdp_engine::permission::{Pattern, PermissionKind, Qualifier};
use pdp_engine::resource::{Resource, ResourceRef, ResourceType};
use pdp_engine::time::Window;

use crate::questions::{Ask, Workload};
use crate::random::{Dice, Skew};

/// The type of the resources, and the operation that is asked.
const TYPE: &str = "Permission";
const OPERATION: &str = "Use";
const LEVEL: &str = "User";

/// The largest file that is read, in bytes: the largest of the real ones has some megabytes.
const MAX_BYTES: u64 = 1 << 30;

/// The largest scale.
const MAX_SCALE: u64 = 100_000;

/// An access matrix, some times over.
#[derive(Debug, Clone)]
pub struct ScaledMatrix {
    scale: u64,
    users: Vec<String>,
    permissions: Vec<String>,
    roles: Vec<Role>,
    type_name: TypeName,
    operation: PermissionName,
    level: LevelRef,
}

#[derive(Debug, Clone, Default)]
struct Role {
    users: Vec<String>,
    permissions: Vec<String>,
}

/// Why there is no matrix.
#[derive(Debug, thiserror::Error)]
pub enum MatrixError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// The file.
        path: String,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// A file that is too large.
    #[error("{path}: it has {actual} bytes; at most {MAX_BYTES} are read")]
    TooLarge {
        /// The file.
        path: String,
        /// Its size.
        actual: u64,
    },
    /// A line that is not of the form.
    #[error("{file}:{line}: {why}")]
    Line {
        /// The file's ending.
        file: &'static str,
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] IdError),
    /// A scale that is none.
    #[error("`scale` is {0}; it must be 1 to {MAX_SCALE}")]
    Scale(u64),
    /// There is nothing in it.
    #[error("the matrix has no users, no permissions or no roles")]
    Empty,
}

// === impl ScaledMatrix ===

impl ScaledMatrix {
    /// Reads the files of a matrix, `DIR/NAME`.
    ///
    /// # Errors
    /// [`MatrixError`] names the file and the line.
    pub fn read(base: &Path, scale: u64) -> Result<Self, MatrixError> {
        let read = |ending: &str| {
            let path = format!("{}.{ending}.txt", base.display());
            let told = |source| MatrixError::Io { path: path.clone(), source };
            let actual = fs::metadata(&path).map_err(told)?.len();
            if actual > MAX_BYTES {
                return Err(MatrixError::TooLarge { path, actual });
            }
            fs::read_to_string(&path).map_err(told)
        };
        Self::parse(&read("pairs")?, &read("roles")?, scale)
    }

    /// Reads the texts of both files.
    ///
    /// # Errors
    /// [`MatrixError`] names the line.
    pub fn parse(pairs: &str, roles: &str, scale: u64) -> Result<Self, MatrixError> {
        if !(1..=MAX_SCALE).contains(&scale) {
            return Err(MatrixError::Scale(scale));
        }
        let (mut users, mut permissions) = (BTreeSet::new(), BTreeSet::new());
        for (at, line) in pairs.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let mut words = line.split_whitespace();
            let (Some(user), Some(permission), None) = (words.next(), words.next(), words.next())
            else {
                let why = "a pair is a user and a permission";
                return Err(MatrixError::Line { file: "pairs", line: at + 1, why });
            };
            users.insert(user);
            permissions.insert(permission);
        }
        let roles = parse_roles(roles)?;
        for role in &roles {
            users.extend(role.users.iter().map(String::as_str));
            permissions.extend(role.permissions.iter().map(String::as_str));
        }
        let owned = |names: BTreeSet<&str>| names.into_iter().map(str::to_owned).collect();
        let (users, permissions): (Vec<String>, Vec<String>) = (owned(users), owned(permissions));
        let something = |role: &Role| !role.users.is_empty() && !role.permissions.is_empty();
        if users.is_empty() || permissions.is_empty() || !roles.iter().any(something) {
            return Err(MatrixError::Empty);
        }
        let type_name = TypeName::new(TYPE)?;
        let level = LevelRef { type_name: type_name.clone(), name: LevelName::new(LEVEL)? };
        let operation = PermissionName::new(OPERATION)?;
        let made = Self { scale, users, permissions, roles, type_name, operation, level };
        made.hold_names()?;
        Ok(made)
    }

    /// Whether every name is one in the longest form that it takes.
    fn hold_names(&self) -> Result<(), MatrixError> {
        let last = self.scale - 1;
        for user in &self.users {
            PersonId::new(copy(last, user))?;
        }
        for permission in &self.permissions {
            ObjectId::new(copy(last, permission))?;
            AssignmentId::new(copy(last, &format!("r{}-{permission}", self.roles.len())))?;
        }
        Ok(())
    }

    fn person(&self, n: u64, user: &str) -> Option<Person> {
        Some(Person {
            id: PersonId::new(copy(n, user)).ok()?,
            name: None,
            login: None,
            enabled: true,
            manager: None,
            locations: Vec::new(),
            positions: Vec::new(),
            vault_privileges: BTreeSet::new(),
        })
    }

    fn resource_ref(&self, n: u64, permission: &str) -> Option<ResourceRef> {
        let id = ObjectId::new(copy(n, permission)).ok()?;
        Some(ResourceRef { type_name: self.type_name.clone(), id })
    }

    fn resource(&self, n: u64, permission: &str) -> Option<Resource> {
        let name = self.resource_ref(n, permission)?;
        Some(Resource { name, locations: Vec::new(), platform: None, owner: None, parent: None })
    }

    fn role(&self, n: u64, at: usize, role: &Role) -> Option<ManagementRole> {
        let member = |user: &String| {
            let of = ActorRef::Person(PersonId::new(copy(n, user)).ok()?);
            Some(Membership { of, window: Window::ALWAYS })
        };
        Some(ManagementRole {
            id: ManagementRoleId::new(copy(n, &format!("r{at}"))).ok()?,
            definition: None,
            members: role.users.iter().filter_map(member).collect(),
            includes: Vec::new(),
            locations: Vec::new(),
        })
    }

    fn assignment(&self, n: u64, at: usize, permission: &str) -> Option<Assignment> {
        let role = copy(n, &format!("r{at}"));
        Some(Assignment {
            id: AssignmentId::new(format!("{role}-{permission}")).ok()?,
            to: ActorRef::ManagementRole(ManagementRoleId::new(&role).ok()?),
            level: self.level.clone(),
            scope: Scope::On(self.resource_ref(n, permission)?),
            window: Window::ALWAYS,
        })
    }

    fn ask(&self, n: u64, user: &str, permission: &str) -> Ask {
        let asked = (PermissionKind::Operation, OPERATION);
        Ask::new(false, copy(n, user), asked, TYPE.to_owned(), copy(n, permission))
    }
}

impl Workload for ScaledMatrix {
    // INVARIANT: every name was held to be one, so no conversion leaves anything out.
    fn all(&self) -> Box<dyn Iterator<Item = Fact> + '_> {
        let declared = ResourceType {
            name: self.type_name.clone(),
            operations: BTreeSet::from([self.operation.clone()]),
            rights: BTreeSet::new(),
        };
        let level = AccessLevel {
            name: self.level.clone(),
            operations: BTreeMap::from([(
                Pattern::Name(self.operation.clone()),
                Qualifier::Allowed,
            )]),
            rights: BTreeMap::new(),
        };
        let copies = || 0..self.scale;
        let people = copies().flat_map(move |n| {
            self.users.iter().filter_map(move |it| Some(self.person(n, it)?.into()))
        });
        let roles = copies().flat_map(move |n| {
            let roles = self.roles.iter().enumerate();
            roles.filter_map(move |(at, it)| Some(self.role(n, at, it)?.into()))
        });
        let resources = copies().flat_map(move |n| {
            self.permissions.iter().filter_map(move |it| Some(self.resource(n, it)?.into()))
        });
        let assignments = copies().flat_map(move |n| {
            let roles = self.roles.iter().enumerate();
            roles.flat_map(move |(at, role)| {
                let of = move |it: &String| Some(self.assignment(n, at, it)?.into());
                role.permissions.iter().filter_map(of)
            })
        });
        let types = [Fact::from(declared), level.into()];
        Box::new(types.into_iter().chain(people).chain(roles).chain(resources).chain(assignments))
    }

    fn granted(&self, dice: &mut Dice, skew: Skew) -> Ask {
        let key = skew.key(dice, self.scale * self.roles.len() as u64);
        let (n, at) = (key % self.scale, key / self.scale);
        let mut pick = |names: &[String]| {
            names.get(dice.below(names.len() as u64) as usize).cloned().unwrap_or_default()
        };
        let role = self.roles.get(at as usize).filter(|role| !role.users.is_empty());
        let drawn = role.map(|role| (pick(&role.users), pick(&role.permissions)));
        match drawn.filter(|(_, permission)| !permission.is_empty()) {
            Some((user, permission)) => self.ask(n, &user, &permission),
            None => self.any(dice, skew),
        }
    }

    fn any(&self, dice: &mut Dice, skew: Skew) -> Ask {
        let n = dice.below(self.scale);
        let mut pick = |names: &[String]| {
            names.get(skew.key(dice, names.len() as u64) as usize).cloned().unwrap_or_default()
        };
        let (user, permission) = (pick(&self.users), pick(&self.permissions));
        self.ask(n, &user, &permission)
    }
}

/// The name of something in one of the copies.
fn copy(n: u64, name: &str) -> String {
    format!("k{n}-{name}")
}

fn parse_roles(text: &str) -> Result<Vec<Role>, MatrixError> {
    let mut roles: Vec<Role> = Vec::new();
    for (at, line) in text.lines().map(str::trim).enumerate().filter(|(_, it)| !it.is_empty()) {
        let wrong = |why| MatrixError::Line { file: "roles", line: at + 1, why };
        let (key, list) = line.split_once(':').ok_or_else(|| wrong("there is no colon"))?;
        let list = list.split(',').map(str::trim).filter(|name| !name.is_empty());
        // A role names each once, so that its assignments have different names.
        let list: BTreeSet<&str> = list.collect();
        let list = list.into_iter().map(str::to_owned).collect();
        match (key, roles.last_mut()) {
            ("role", _) => roles.push(Role::default()),
            ("permissions", Some(role)) => role.permissions = list,
            ("users", Some(role)) => role.users = list,
            _ => return Err(wrong("it is neither a role nor part of one")),
        }
    }
    Ok(roles)
}
