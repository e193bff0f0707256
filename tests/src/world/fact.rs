//! From genes to facts.

use std::collections::{BTreeMap, BTreeSet};

use pdp_engine::actor::{
    Account, ActorRef, BusinessRole, Group, ManagementRole, ManagementRoleDefinition, Membership,
    Person, Position, SetGroup,
};
use pdp_engine::facts::Fact;
use pdp_engine::id::{
    AccountId, AssignmentId, BusinessRoleId, GroupId, LevelName, LocationId,
    ManagementRoleDefinitionId, ManagementRoleId, ObjectId, PermissionName, PersonId,
    ResourceGroupId, SetGroupId, TypeName,
};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Relative, Scope};
use pdp_engine::permission::{Pattern, Qualifier};
use pdp_engine::resource::{BuiltInType, Location, ResourceRef, ResourceType};

use super::delegation::{Declared, delegations, of_computers, plans};
use super::session::sessions;
use super::vault::{is_default, privileges, resources, sharing};
use super::{Genome, Reader};
use crate::oracle::Delegation;

/// The declared types; everything else is built in.
const DECLARED: [&str; 3] = ["Report", "Door", "Computer"];

/// Types by how often a level is of them: those that more scopes fit come more than once.
const LEVEL_TYPES: [&str; 17] = [
    "Report",
    "Report",
    "Door",
    "Person",
    "Person",
    "Person",
    "Person",
    "UserAccount",
    "UserAccount",
    "UserAccount",
    "Location",
    "Location",
    "Group",
    "SetGroup",
    "BusinessRole",
    "ManagementRole",
    "ManagementRoleDefinition",
];

/// All operations that types declare; `Add` begins the self-delegation rule (Q7).
pub(super) const OPERATIONS: [&str; 3] = ["View", "AddPart", "Edit"];

/// All rights that types declare; `View` is an operation too (Q5).
pub(super) const RIGHTS: [&str; 2] = ["View", "Read"];

/// The same ids for every kind of thing.
fn id(n: usize) -> String {
    format!("x{n}")
}

/// Everything that choices are made from.
pub(super) struct Cast {
    pub(super) locations: Vec<LocationId>,
    pub(super) roles: Vec<BusinessRoleId>,
    pub(super) people: Vec<PersonId>,
    pub(super) accounts: Vec<AccountId>,
    pub(super) groups: Vec<GroupId>,
    pub(super) set_groups: Vec<SetGroupId>,
    pub(super) definitions: Vec<ManagementRoleDefinitionId>,
    pub(super) management_roles: Vec<ManagementRoleId>,
    /// Computers come last.
    pub(super) resources: Vec<ResourceRef>,
    pub(super) computers: Vec<ObjectId>,
    pub(super) resource_groups: Vec<ResourceGroupId>,
}

pub(super) fn facts_of(genome: &Genome) -> Vec<Fact> {
    let cast = Cast::new(genome);
    let mut facts = trees(genome, &cast);
    facts.extend(people_and_accounts(genome, &cast));
    facts.extend(containers(genome, &cast));
    facts.extend(resources(genome, &cast).into_iter().map(Fact::from));
    facts.extend(sharing(genome, &cast, &facts));
    facts.extend(sessions(genome, &cast));
    let levels = levels(genome);
    facts.extend(levels.values().cloned().map(Fact::from));
    let names: Vec<LevelRef> = levels.into_keys().collect();
    facts.extend(assignments(genome, &cast, &names));
    let (given, declared) = delegations(genome, &cast, &names, &facts);
    facts.extend(given);
    facts.extend(types(declared).map(Fact::from));
    facts
}

/// The delegations that the world is made for.
pub(super) fn plans_of(genome: &Genome) -> Vec<Delegation> {
    let names: Vec<LevelRef> = levels(genome).into_keys().collect();
    plans(genome, &Cast::new(genome), &names)
}

// === impl Cast ===

impl Cast {
    fn new(genome: &Genome) -> Self {
        fn ids<T, E: std::fmt::Debug>(
            count: usize,
            new: impl Fn(String) -> Result<T, E>,
        ) -> Vec<T> {
            (0..count).map(|n| new(id(n)).unwrap()).collect()
        }
        let resources = genome.resources.iter().enumerate().map(|(n, gene)| ResourceRef {
            type_name: TypeName::new(DECLARED[Reader::new(gene).byte() % 2]).unwrap(),
            id: ObjectId::new(id(n)).unwrap(),
        });
        let computers: Vec<ObjectId> = ids(genome.computers.len(), ObjectId::new);
        Self {
            locations: ids(genome.locations.len(), LocationId::new),
            roles: ids(genome.business_roles.len(), BusinessRoleId::new),
            people: ids(genome.people.len(), PersonId::new),
            accounts: ids(genome.accounts.len(), AccountId::new),
            groups: ids(genome.groups.len(), GroupId::new),
            set_groups: ids(genome.set_groups.len(), SetGroupId::new),
            definitions: ids(genome.definitions.len(), ManagementRoleDefinitionId::new),
            management_roles: ids(genome.management_roles.len(), ManagementRoleId::new),
            resources: resources.chain(computers.iter().map(ResourceRef::computer)).collect(),
            computers,
            resource_groups: ids(genome.resource_groups.len(), ResourceGroupId::new),
        }
    }

    /// Every object of a type.
    pub(super) fn objects(&self, type_name: &str) -> Vec<ResourceRef> {
        let count = match type_name {
            "Person" => self.people.len(),
            "UserAccount" => self.accounts.len(),
            "Group" => self.groups.len(),
            "SetGroup" => self.set_groups.len(),
            "BusinessRole" => self.roles.len(),
            "Location" => self.locations.len(),
            "ManagementRole" => self.management_roles.len(),
            "ManagementRoleDefinition" => self.definitions.len(),
            _ => {
                let of_type = |name: &&ResourceRef| name.type_name.as_str() == type_name;
                return self.resources.iter().filter(of_type).cloned().collect();
            }
        };
        let name = |n| ResourceRef {
            type_name: TypeName::new(type_name).unwrap(),
            id: ObjectId::new(id(n)).unwrap(),
        };
        (0..count).map(name).collect()
    }

    /// An actor of one of the kinds that `kind` picks from.
    pub(super) fn actor(&self, kinds: &[u8], reader: &mut Reader<'_>) -> Option<ActorRef> {
        match reader.of(kinds)? {
            b'p' => reader.of(&self.people).map(ActorRef::Person),
            b'a' => reader.of(&self.accounts).map(ActorRef::Account),
            b'g' => reader.of(&self.groups).map(ActorRef::Group),
            b's' => reader.of(&self.set_groups).map(ActorRef::SetGroup),
            b'b' => {
                let role = reader.of(&self.roles)?;
                Some(ActorRef::BusinessRoleLocation(role, reader.of(&self.locations)?))
            }
            b'm' => reader.of(&self.management_roles).map(ActorRef::ManagementRole),
            _ => reader.of(&self.definitions).map(ActorRef::ManagementRoleDefinition),
        }
    }
}

/// The operations and rights of a type: not all declare everything (Q6).
fn declared(type_name: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match type_name {
        "Door" => (&OPERATIONS[..2], &RIGHTS[1..]),
        "SetGroup" => (&OPERATIONS[..1], &[]),
        _ => (&OPERATIONS, &RIGHTS),
    }
}

fn types(mut also: Declared) -> impl Iterator<Item = ResourceType> {
    let (computer, approve) = of_computers();
    also.entry(computer).or_default().insert(approve);
    let names = |names: &[&str]| -> BTreeSet<PermissionName> {
        names.iter().map(|name| PermissionName::new(name).unwrap()).collect()
    };
    let built_in = BuiltInType::ALL.into_iter().map(BuiltInType::as_str);
    built_in.chain(DECLARED).map(move |name| {
        let (operations, rights) = declared(name);
        let (name, mut operations) = (TypeName::new(name).unwrap(), names(operations));
        operations.extend(also.get(&name).into_iter().flatten().cloned());
        ResourceType { name, operations, rights: names(rights) }
    })
}

/// A parent among those before: a forest, often deep.
fn parent<T: Clone>(reader: &mut Reader<'_>, n: usize, all: &[T]) -> Option<T> {
    let deep = reader.chance(150);
    let pick = reader.below(n + 1);
    if deep { n.checked_sub(1) } else { pick.filter(|at| *at < n) }.map(|at| all[at].clone())
}

fn trees(genome: &Genome, cast: &Cast) -> Vec<Fact> {
    let mut facts: Vec<Fact> = Vec::new();
    for (n, gene) in genome.locations.iter().enumerate() {
        let reader = &mut Reader::new(gene);
        facts.push(
            Location {
                id: cast.locations[n].clone(),
                parent: parent(reader, n, &cast.locations),
                organization: reader.chance(100),
                block_inheritance: reader.chance(60),
            }
            .into(),
        );
    }
    for (n, gene) in genome.business_roles.iter().enumerate() {
        let id = cast.roles[n].clone();
        let locations = placements(genome, cast, &format!("BusinessRole:{id}"));
        let parent = parent(&mut Reader::new(gene), n, &cast.roles);
        facts.push(BusinessRole { id, parent, locations }.into());
    }
    facts
}

fn people_and_accounts(genome: &Genome, cast: &Cast) -> Vec<Fact> {
    let mut facts: Vec<Fact> = Vec::new();
    for (n, gene) in genome.people.iter().enumerate() {
        let id = cast.people[n].clone();
        let reader = &mut Reader::new(gene);
        let enabled = !reader.chance(20);
        let manager = if reader.chance(180) { reader.of(&cast.people) } else { None };
        let vault_privileges = privileges(reader);
        facts.push(
            Person {
                name: None,
                login: None,
                enabled,
                manager: manager.filter(|manager| *manager != id),
                locations: placements(genome, cast, &format!("Person:{id}")),
                positions: positions(genome, cast, &ActorRef::Person(id.clone())),
                id,
                vault_privileges,
            }
            .into(),
        );
    }
    for (n, gene) in genome.accounts.iter().enumerate() {
        let id = cast.accounts[n].clone();
        let reader = &mut Reader::new(gene);
        let enabled = !reader.chance(35);
        let owner = if reader.chance(210) { reader.of(&cast.people) } else { None };
        let locations = placements(genome, cast, &format!("UserAccount:{id}"));
        let computer = if reader.chance(190) { reader.of(&cast.computers) } else { None };
        facts.push(Account { id, owner, enabled, computer, locations }.into());
    }
    facts
}

fn containers(genome: &Genome, cast: &Cast) -> Vec<Fact> {
    let mut facts: Vec<Fact> = Vec::new();
    for (id, gene) in cast.groups.iter().zip(&genome.groups) {
        let actor = ActorRef::Group(id.clone());
        facts.push(
            Group {
                members: members(genome, cast, &actor),
                positions: positions(genome, cast, &actor),
                locations: placements(genome, cast, &format!("Group:{id}")),
                id: id.clone(),
                default: is_default(gene),
            }
            .into(),
        );
    }
    for id in &cast.set_groups {
        let members = members(genome, cast, &ActorRef::SetGroup(id.clone()));
        let locations = placements(genome, cast, &format!("SetGroup:{id}"));
        facts.push(SetGroup { id: id.clone(), members, locations }.into());
    }
    for id in &cast.definitions {
        let locations = placements(genome, cast, &format!("ManagementRoleDefinition:{id}"));
        facts.push(ManagementRoleDefinition { id: id.clone(), locations }.into());
    }
    for (n, gene) in genome.management_roles.iter().enumerate() {
        let id = cast.management_roles[n].clone();
        let reader = &mut Reader::new(gene);
        let definition = if reader.chance(180) { reader.of(&cast.definitions) } else { None };
        // Included roles come earlier, so that they make no cycle.
        let earlier = &cast.management_roles[..n];
        let mut includes = Vec::new();
        for _ in 0..2 {
            if reader.chance(110) {
                includes.extend(reader.of(earlier));
            }
        }
        let members = members(genome, cast, &ActorRef::ManagementRole(id.clone()));
        let locations = placements(genome, cast, &format!("ManagementRole:{id}"));
        facts.push(ManagementRole { id, definition, members, includes, locations }.into());
    }
    facts
}

/// The member genes whose container this is.
fn members(genome: &Genome, cast: &Cast, container: &ActorRef) -> Vec<Membership> {
    let mut found = Vec::new();
    for gene in &genome.members {
        let reader = &mut Reader::new(gene);
        if cast.actor(b"gggmmms", reader).as_ref() != Some(container) {
            continue;
        }
        let kinds: &[u8] = match container {
            ActorRef::ManagementRole(_) => b"ppagsbb",
            _ => b"ppaggg",
        };
        let Some(of) = cast.actor(kinds, reader) else { continue };
        found.push(Membership { of: of.clone(), window: reader.window() });
        if reader.chance(40) {
            found.push(Membership { of, window: reader.window() });
        }
    }
    found
}

/// The position genes whose holder this is.
fn positions(genome: &Genome, cast: &Cast, holder: &ActorRef) -> Vec<Position> {
    let mut found = Vec::new();
    for gene in &genome.positions {
        let reader = &mut Reader::new(gene);
        if cast.actor(b"pppg", reader).as_ref() != Some(holder) {
            continue;
        }
        let (role, location) = (reader.of(&cast.roles), reader.of(&cast.locations));
        let (Some(business_role), Some(location)) = (role, location) else { continue };
        let (primary, window) = (reader.chance(128), reader.window());
        found.push(Position { business_role, location, primary, window });
    }
    found
}

/// The placement genes whose resource this is, written `Type:id`.
pub(super) fn placements(genome: &Genome, cast: &Cast, resource: &str) -> Vec<LocationId> {
    const TYPES: [&str; 12] = [
        "Report",
        "Report",
        "Report",
        "Door",
        "Door",
        "Person",
        "UserAccount",
        "UserAccount",
        "Group",
        "SetGroup",
        "BusinessRole",
        "ManagementRole",
    ];
    let mut found = Vec::new();
    for gene in &genome.placements {
        let reader = &mut Reader::new(gene);
        let objects = reader.of(&TYPES).map(|type_name| cast.objects(type_name));
        if reader.of(&objects.unwrap_or_default()).is_some_and(|it| it.to_string() == resource) {
            found.extend(reader.of(&cast.locations));
        }
    }
    found
}

/// Names of every spelling, each with a token of its own (section 5).
fn level_name(n: usize) -> String {
    match n {
        0 => "Co-Owner".to_owned(),
        1 => "send as in mail".to_owned(),
        2 => "v2 l\u{e8}ve_X".to_owned(),
        _ => format!("L{n}"),
    }
}

fn levels(genome: &Genome) -> BTreeMap<LevelRef, AccessLevel> {
    const SAYS: [Qualifier; 10] = [
        Qualifier::Allowed,
        Qualifier::Allowed,
        Qualifier::Allowed,
        Qualifier::Allowed,
        Qualifier::Disabled,
        Qualifier::Disabled,
        Qualifier::Disabled,
        Qualifier::Unassigned,
        Qualifier::Denied,
        Qualifier::Allowed,
    ];
    let name = |name: &str| Pattern::Name(PermissionName::new(name).unwrap());
    let mut levels = BTreeMap::new();
    for (n, gene) in genome.levels.iter().enumerate() {
        let reader = &mut Reader::new(gene);
        let type_name = reader.of(&LEVEL_TYPES).unwrap();
        let (declared_operations, declared_rights) = declared(type_name);
        let type_name = TypeName::new(type_name).unwrap();
        let level = LevelRef { type_name, name: LevelName::new(level_name(n)).unwrap() };
        let mut operations = BTreeMap::new();
        if reader.chance(80) {
            operations.insert(Pattern::All, reader.of(&SAYS).unwrap());
        }
        for _ in 0..2 {
            let operation = reader.of(declared_operations).unwrap();
            operations.insert(name(operation), reader.of(&SAYS).unwrap());
        }
        let mut rights = BTreeMap::new();
        let right = reader.byte();
        let says = if right % 7 == 6 { Qualifier::Denied } else { Qualifier::Allowed };
        let one = declared_rights.get(right % 2).or(declared_rights.first()).copied().map(name);
        if matches!(right % 5, 1 | 2) {
            rights.insert(Pattern::All, if right % 5 == 1 { says } else { Qualifier::Denied });
        }
        if let (Some(one), 2..=4) = (one, right % 5) {
            rights.insert(one, says);
        }
        levels.insert(level.clone(), AccessLevel { name: level, operations, rights });
    }
    levels
}

fn assignments(genome: &Genome, cast: &Cast, levels: &[LevelRef]) -> Vec<Fact> {
    let mut facts = Vec::new();
    for (n, gene) in genome.assignments.iter().enumerate() {
        let reader = &mut Reader::new(gene);
        let Some(level) = reader.of(levels) else { continue };
        let Some(to) = cast.actor(b"ppaggsbbmmdd", reader) else { continue };
        let Some(scope) = scope(cast, level.type_name.as_str(), reader) else { continue };
        let id = AssignmentId::new(format!("n{n}")).unwrap();
        facts.push(Assignment { id, to, level, scope, window: reader.window() }.into());
    }
    facts
}

/// A scope that the type takes (C0).
pub(super) fn scope(cast: &Cast, type_name: &str, reader: &mut Reader<'_>) -> Option<Scope> {
    let relatives: &[Relative] = match type_name {
        "Person" => &[Relative::Myself, Relative::Manager, Relative::DirectReports],
        "UserAccount" => &[
            Relative::OwnAccounts,
            Relative::AccountsOfDirectReports,
            Relative::AccountsOfDirectReports,
        ],
        "Location" => &[Relative::MyLocationsAndAbove, Relative::MyLocationsAndBelow],
        _ => &[],
    };
    let anywhere = [Relative::InMyLocations, Relative::InMyOrganization];
    let relatives: Vec<Relative> = relatives.iter().copied().chain(anywhere).collect();
    match reader.byte() % 8 {
        0 | 1 => reader.of(&cast.objects(type_name)).map(Scope::On),
        2 | 3 => reader.of(&cast.locations).map(Scope::In),
        _ => reader.of(&relatives).map(Scope::Relative),
    }
}
