//! The fixed workload whose instructions are counted: a policy from a seed, questions by their
//! answer, and one function for each kind of work, which the counter is told to count in.
//!
//! `counted KIND`, with a kind of [`KINDS`], answers its questions once; nothing is printed.
//! `tests/tests/instructions.rs` runs it and holds the counts. It needs this crate alone, so that it
//! is built in no time. Names are kept under a key that is random in each process: what that
//! changes is how often a search in a table of names takes a second step, and over a thousand questions
//! it is nothing that can be seen.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::hint::black_box;

use pdp_engine::actor::{
    Account, ActorRef, BusinessRole, Group, ManagementRole, ManagementRoleDefinition, Membership,
    Person, Position,
};
use pdp_engine::check::check;
use pdp_engine::compile::compile;
use pdp_engine::explain::explain;
use pdp_engine::facts::{Change, Fact, Facts};
use pdp_engine::id::{
    AccountId, AssignmentId, BusinessRoleId, GroupId, IdError, LevelName, LocationId,
    ManagementRoleDefinitionId, ManagementRoleId, ObjectId, PermissionName, PersonId, TypeName,
};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Relative, Scope};
use pdp_engine::permission::{Pattern, PermissionKind, Qualifier};
use pdp_engine::query::{ObjectRef, PermissionRef, Question, Reason, Revision, SubjectRef};
use pdp_engine::resource::{Location, Resource, ResourceRef, ResourceType};
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::{Timestamp, Window};

/// What can be counted.
const KINDS: [&str; 4] = ["allowed", "denied", "not-granted", "explain"];

/// How many questions of each answer there are.
const QUESTIONS: usize = 1_000;

/// How many questions are drawn before there are none of an answer.
const TRIES: u64 = 1_000_000;

const LOCATIONS: u64 = 40;
const ROLES: u64 = 20;
const PEOPLE: u64 = 400;
const ACCOUNTS: u64 = 200;
const GROUPS: u64 = 84;
const FAMILY: u64 = 7;
const RESOURCES: u64 = 4_000;
const ASSIGNMENTS: u64 = 4_000;

const TYPES: [&str; 4] = ["Doc", "Sheet", "Plan", "Person"];
const OPERATIONS: [&str; 4] = ["View", "Edit", "Export", "Delete"];
const LEVELS: [(&str, &[(&str, Qualifier)]); 5] = [
    ("Viewer", &[("View", Qualifier::Allowed)]),
    ("Editor", &[("View", Qualifier::Allowed), ("Edit", Qualifier::Allowed)]),
    ("Owner", &[("*", Qualifier::Allowed)]),
    ("Paused", &[("Delete", Qualifier::Disabled)]),
    ("No Export", &[("Export", Qualifier::Denied), ("Edit", Qualifier::Denied)]),
];

const NOW: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);
const BEFORE: Timestamp = Timestamp::from_micros(1_600_000_000_000_000);

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A question that owns its names.
struct Asked {
    person: String,
    operation: &'static str,
    type_name: &'static str,
    id: String,
}

/// Numbers from a seed (SplitMix64).
struct Dice(u64);

fn main() -> Outcome<()> {
    let kind = std::env::args().nth(1).unwrap_or_default();
    let reason = match kind.as_str() {
        "allowed" | "explain" => Reason::Granted,
        "denied" => Reason::ExplicitDeny,
        "not-granted" => Reason::NotGranted,
        _ => return Err(format!("`{kind}` is none of {}", KINDS.join(", ")).into()),
    };
    let mut facts = Facts::default();
    facts.apply(&policy()?.into_iter().map(Change::Put).collect::<Vec<_>>())?;
    let snapshot = compile(&facts, Revision::new(1));
    let asked = questions(&snapshot, reason)?;
    match kind.as_str() {
        "explain" => counted_explanations(&snapshot, &asked),
        _ => counted_checks(&snapshot, &asked),
    }
    Ok(())
}

/// Instructions are counted in here.
#[inline(never)]
fn counted_checks(snapshot: &Snapshot, asked: &[Asked]) {
    for asked in asked {
        black_box(&check(snapshot, &asked.as_question(), NOW).is_ok());
    }
}

/// And in here.
#[inline(never)]
fn counted_explanations(snapshot: &Snapshot, asked: &[Asked]) {
    for asked in asked {
        black_box(&explain(snapshot, &asked.as_question(), NOW).is_ok());
    }
}

fn questions(snapshot: &Snapshot, reason: Reason) -> Outcome<Vec<Asked>> {
    let (mut dice, mut found) = (Dice(7), Vec::with_capacity(QUESTIONS));
    for _ in 0..TRIES {
        let asked = Asked {
            person: format!("p{}", dice.below(PEOPLE)),
            operation: pick(&OPERATIONS, &mut dice),
            type_name: "Doc",
            id: String::new(),
        };
        let (type_name, id) = match dice.below(20) {
            0 => ("Person", format!("p{}", dice.below(PEOPLE))),
            _ => {
                let resource = dice.below(RESOURCES);
                (type_of(resource), format!("r{resource}"))
            }
        };
        let asked = Asked { type_name, id, ..asked };
        if check(snapshot, &asked.as_question(), NOW)?.reason == reason {
            found.push(asked);
        }
        if found.len() == QUESTIONS {
            return Ok(found);
        }
    }
    Err(format!("{} questions with the answer {reason:?}", found.len()).into())
}

/// Every kind of assignee and scope, with denies, windows, nesting and relative scopes.
fn policy() -> Outcome<Vec<Fact>> {
    let mut dice = Dice(1);
    let mut facts = catalogue()?;
    for n in 0..LOCATIONS {
        let parent = n.checked_sub(1).map(|before| location(before / 3)).transpose()?;
        let organization = (1..=3).contains(&n);
        let block_inheritance = n % 13 == 12;
        facts.push(Location { id: location(n)?, parent, organization, block_inheritance }.into());
    }
    for n in 0..4_u64 {
        let parent = n.checked_sub(1).map(|before| business_role(before / 2)).transpose()?;
        facts.push(BusinessRole { id: business_role(n)?, parent, locations: vec![] }.into());
    }
    for n in 0..PEOPLE {
        facts.push(person(n, &mut dice)?.into());
    }
    for n in 0..ACCOUNTS {
        let owner = Some(PersonId::new(format!("p{}", n * 2))?);
        let (id, locations) = (AccountId::new(format!("a{n}"))?, vec![]);
        facts.push(Account { id, owner, enabled: true, computer: None, locations }.into());
    }
    for n in 0..GROUPS {
        facts.push(group(n, &mut dice)?.into());
    }
    let definition = |n: u64| ManagementRoleDefinitionId::new(format!("d{}", n % 4));
    for n in 0..4 {
        facts.push(ManagementRoleDefinition { id: definition(n)?, locations: vec![] }.into());
    }
    for n in 0..ROLES {
        let below = (n + 1 < ROLES && n % 4 == 0).then(|| role(n + 1)).transpose()?;
        let members = (0..6).map(|_| member("person", 'p', dice.below(PEOPLE), &mut dice));
        let mut members = members.collect::<Outcome<Vec<_>>>()?;
        members.push(member("group", 'g', dice.below(GROUPS), &mut dice)?);
        facts.push(
            ManagementRole {
                id: role(n)?,
                definition: Some(definition(n)?),
                members,
                includes: below.into_iter().collect(),
                locations: vec![],
            }
            .into(),
        );
    }
    for n in 0..RESOURCES {
        let name = resource(n)?;
        let locations = vec![location(n % LOCATIONS)?];
        facts.push(Resource { name, locations, platform: None, owner: None, parent: None }.into());
    }
    for n in 0..ASSIGNMENTS {
        facts.push(assignment(n, &mut dice)?.into());
    }
    Ok(facts)
}

fn catalogue() -> Outcome<Vec<Fact>> {
    let mut facts = Vec::new();
    for type_name in TYPES {
        let name = TypeName::new(type_name)?;
        let operations: Result<BTreeSet<_>, IdError> =
            OPERATIONS.iter().map(|name| PermissionName::new(*name)).collect();
        let (operations, rights) = (operations?, BTreeSet::new());
        facts.push(ResourceType { name, operations, rights }.into());
    }
    for type_name in TYPES {
        for (level_name, says) in LEVELS {
            let mut operations = BTreeMap::new();
            for (operation, qualifier) in says {
                let pattern = match *operation {
                    "*" => Pattern::All,
                    name => Pattern::Name(PermissionName::new(name)?),
                };
                operations.insert(pattern, *qualifier);
            }
            let (name, rights) = (level(type_name, level_name)?, BTreeMap::new());
            facts.push(AccessLevel { name, operations, rights }.into());
        }
    }
    Ok(facts)
}

fn person(n: u64, dice: &mut Dice) -> Outcome<Person> {
    let position = Position {
        business_role: business_role(dice.below(4))?,
        location: location(dice.below(LOCATIONS))?,
        primary: true,
        window: Window::ALWAYS,
    };
    let manager = n.checked_sub(1).map(|before| PersonId::new(format!("p{}", before / 8)));
    Ok(Person {
        id: PersonId::new(format!("p{n}"))?,
        name: None,
        login: None,
        enabled: n % 100 != 99,
        manager: manager.transpose()?,
        locations: vec![],
        positions: vec![position],
        vault_privileges: BTreeSet::new(),
    })
}

/// Groups nest in families, three levels deep.
fn group(n: u64, dice: &mut Dice) -> Outcome<Group> {
    let (place, family) = (n % FAMILY, n - n % FAMILY);
    let mut members = Vec::new();
    for child in [2 * place + 1, 2 * place + 2].into_iter().filter(|child| *child < FAMILY) {
        members.push(member("group", 'g', family + child, dice)?);
    }
    let listed: BTreeSet<u64> = (0..20).map(|_| dice.below(PEOPLE)).collect();
    for one in listed {
        members.push(member("person", 'p', one, dice)?);
    }
    members.push(member("account", 'a', dice.below(ACCOUNTS), dice)?);
    let (id, positions, locations) = (GroupId::new(format!("g{n}"))?, vec![], vec![]);
    Ok(Group { id, members, positions, default: false, locations })
}

fn assignment(n: u64, dice: &mut Dice) -> Outcome<Assignment> {
    let to = match dice.below(10) {
        0..2 => format!("person:p{}", dice.below(PEOPLE)),
        2 => format!("account:a{}", dice.below(ACCOUNTS)),
        3..7 => format!("group:g{}", dice.below(GROUPS)),
        7 => format!("business_role:b{}@l{}", dice.below(4), dice.below(LOCATIONS)),
        8 => format!("management_role_definition:d{}", dice.below(4)),
        _ => format!("management_role:m{}", dice.below(ROLES)),
    };
    let covered = dice.below(RESOURCES);
    let (scope, type_name) = match dice.below(10) {
        0..5 => (Scope::On(resource(covered)?), type_of(covered)),
        5..9 => (Scope::In(location(covered % LOCATIONS)?), type_of(covered)),
        _ => match dice.below(4) {
            0 => (Scope::Relative(Relative::InMyOrganization), type_of(covered)),
            1 => (Scope::Relative(Relative::Myself), "Person"),
            2 => (Scope::Relative(Relative::DirectReports), "Person"),
            _ => (Scope::Relative(Relative::InMyLocations), type_of(covered)),
        },
    };
    let (name, _) = match dice.below(100) {
        0..45 => LEVELS[0],
        45..70 => LEVELS[1],
        70..84 => LEVELS[2],
        84..90 => LEVELS[3],
        _ => LEVELS[4],
    };
    let level = level(type_name, name)?;
    let (id, window) = (AssignmentId::new(format!("x{n}"))?, window(dice));
    Ok(Assignment { id, to: ActorRef::parse(&to)?, level, scope, window })
}

/// One of ten has a window, and one of forty is closed.
fn window(dice: &mut Dice) -> Window {
    match dice.below(40) {
        0..3 => Window { from: Some(BEFORE), until: None },
        3 => Window { from: None, until: Some(BEFORE) },
        _ => Window::ALWAYS,
    }
}

fn member(kind: &str, letter: char, n: u64, dice: &mut Dice) -> Outcome<Membership> {
    Ok(Membership { of: ActorRef::parse(&format!("{kind}:{letter}{n}"))?, window: window(dice) })
}

fn location(n: u64) -> Result<LocationId, IdError> {
    LocationId::new(format!("l{n}"))
}

fn business_role(n: u64) -> Result<BusinessRoleId, IdError> {
    BusinessRoleId::new(format!("b{n}"))
}

fn role(n: u64) -> Result<ManagementRoleId, IdError> {
    ManagementRoleId::new(format!("m{n}"))
}

fn level(type_name: &str, name: &str) -> Result<LevelRef, IdError> {
    Ok(LevelRef { type_name: TypeName::new(type_name)?, name: LevelName::new(name)? })
}

/// The declared types by turns; the last one is built in and has no resources.
const fn type_of(resource: u64) -> &'static str {
    let [doc, sheet, plan, _] = TYPES;
    match resource % 3 {
        0 => doc,
        1 => sheet,
        _ => plan,
    }
}

fn resource(n: u64) -> Result<ResourceRef, IdError> {
    let type_name = TypeName::new(type_of(n))?;
    Ok(ResourceRef { type_name, id: ObjectId::new(format!("r{n}"))? })
}

fn pick<T: Copy>(from: &[T; 4], dice: &mut Dice) -> T {
    let [one, two, three, four] = *from;
    match dice.below(4) {
        0 => one,
        1 => two,
        2 => three,
        _ => four,
    }
}

// === impl Asked ===

impl Asked {
    fn as_question(&self) -> Question<'_> {
        let permission = PermissionRef { kind: PermissionKind::Operation, name: self.operation };
        let object = ObjectRef { type_name: self.type_name, id: &self.id };
        Question::new(SubjectRef::Person(&self.person), permission, object)
    }
}

// === impl Dice ===

impl Dice {
    fn below(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(z ^ (z >> 31)) * u128::from(count)) >> 64) as u64
    }
}
