//! Random policies whose ids and texts are hard to write in YAML.

use std::collections::{BTreeMap, BTreeSet};

use pdp_engine::actor::{
    Account, ActorRef, BusinessRole, Group, ManagementRole, ManagementRoleDefinition, Membership,
    Person, Position, SetGroup,
};
use pdp_engine::facts::{Change, Fact, Facts};
use pdp_engine::id::{
    AccountId, AssignmentId, BusinessRoleId, GroupId, LevelName, LocationId,
    ManagementRoleDefinitionId, ManagementRoleId, ObjectId, PermissionLevelId, PermissionName,
    PersonId, ResourceGroupId, SetGroupId, TypeName,
};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Relative, Scope};
use pdp_engine::permission::{Pattern, Qualifier};
use pdp_engine::psm::{
    DEFAULT_MAX_SESSION_MICROS, Eligibility, EligibilityKey, EligibilityKind, EligibilityScope,
    Jit, PermissionLevel, Psm,
};
use pdp_engine::resource::{Location, Resource, ResourceRef, ResourceType};
use pdp_engine::share::{
    Entity, Grantee, ResourceGroup, Share, ShareKey, ShareLevel, VaultPrivilege,
};
use pdp_engine::time::{Timestamp, Window};
use proptest::prelude::*;

/// Pieces of ids that YAML parsers stumble over.
const PIECES: [&str; 56] = [
    "a",
    "Z",
    "yes",
    "No",
    "on",
    "null",
    "~",
    "true",
    "007",
    "1.0",
    "1e3",
    "0x1f",
    "12:30",
    ":",
    ": ",
    " #",
    "#",
    "-",
    "- ",
    "---",
    "...",
    "\"",
    "\\",
    "'",
    "{",
    "}",
    "[",
    "]",
    ",",
    ", ",
    "*",
    "&",
    "!",
    "%",
    "|",
    ">",
    "?",
    "? ",
    "=",
    "<<",
    " ",
    "  ",
    "`",
    "\u{2028}",
    "\u{a0}",
    "\u{feff}",
    "\u{301}",
    "\u{202e}",
    "é",
    "日本",
    "🙂",
    "\u{10ffff}",
    "\u{e000}",
    "/",
    "\\n",
    "2026-01-01T00:00:00Z",
];

/// Pieces that only display names and logins may hold.
const WILD: [&str; 7] = ["\n", "\t", "\r\n", "\0", "\u{7f}", "\u{85}", "\u{1b}[0m"];

/// A world is a deck of strings and a seed that says what refers to what.
#[derive(Debug)]
pub(crate) struct World {
    ids: Vec<String>,
    texts: Vec<String>,
    seed: u64,
}

impl World {
    fn roll(&mut self, sides: usize) -> usize {
        // splitmix64
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % sides as u64).unwrap()
    }

    fn chance(&mut self) -> bool {
        self.roll(2) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())].clone()
    }

    fn some<T: Clone>(&mut self, from: &[T]) -> Vec<T> {
        (0..self.roll(4)).map(|_| self.pick(from)).collect()
    }

    fn text(&mut self) -> Option<String> {
        let texts = self.texts.clone();
        self.chance().then(|| self.pick(&texts))
    }

    fn window(&mut self) -> Window {
        const MICROS: [i64; 5] =
            [-1, 0, 1_700_000_000_000_000, 1_700_000_000_123_400, 253_402_300_799_999_999];
        let from = self.roll(4);
        let bound = |index: usize| MICROS.get(index).map(|micros| Timestamp::from_micros(*micros));
        match self.roll(4) {
            0 => Window { from: bound(from), until: None },
            1 => Window { from: None, until: bound(from) },
            2 => Window { from: bound(from), until: bound(from + 1) },
            _ => Window::ALWAYS,
        }
    }
}

#[expect(clippy::too_many_lines, reason = "one block a kind of fact")]
pub(crate) fn facts(mut world: World) -> Facts {
    let ids = std::mem::take(&mut world.ids);
    let permissions: Vec<_> = ids.iter().filter_map(|id| PermissionName::new(id).ok()).collect();
    let locations: Vec<_> = ids.iter().map(|id| LocationId::new(id).unwrap()).collect();
    let roles: Vec<_> =
        ids.iter().map(|id| BusinessRoleId::new(id.replace('@', "a")).unwrap()).collect();
    let people: Vec<_> = ids.iter().map(|id| PersonId::new(id).unwrap()).collect();
    let groups: Vec<_> = ids.iter().map(|id| GroupId::new(id).unwrap()).collect();
    let sets: Vec<_> = ids.iter().map(|id| SetGroupId::new(id).unwrap()).collect();
    let definitions: Vec<_> =
        ids.iter().map(|id| ManagementRoleDefinitionId::new(id).unwrap()).collect();
    let management: Vec<_> = ids.iter().map(|id| ManagementRoleId::new(id).unwrap()).collect();
    let accounts: Vec<_> = ids.iter().map(|id| AccountId::new(id).unwrap()).collect();
    let objects: Vec<_> = ids.iter().map(|id| ObjectId::new(id).unwrap()).collect();
    let types: Vec<_> = ["Report", "null", "Yes", "y", "Computer"]
        .map(|name| TypeName::new(name).unwrap())
        .to_vec();

    let mut all: Vec<Fact> = Vec::new();
    for name in &types {
        let mut operations: BTreeSet<_> = world.some(&permissions).into_iter().collect();
        operations.extend(permissions.first().cloned());
        let rights: BTreeSet<_> = permissions.first().cloned().into_iter().collect();
        all.push(ResourceType { name: name.clone(), operations, rights }.into());
    }
    let person_type = TypeName::new("Person").unwrap();
    all.push(
        ResourceType {
            name: person_type.clone(),
            operations: permissions.iter().cloned().collect(),
            rights: BTreeSet::new(),
        }
        .into(),
    );
    let mut levels = Vec::new();
    for (n, id) in ids.iter().enumerate() {
        let type_name = if n == 0 { person_type.clone() } else { world.pick(&types) };
        let short: String = id.chars().take(20).collect();
        let name = LevelName::new(format!("{short}l{n}x")).unwrap();
        let name = LevelRef { type_name, name };
        let qualifier = world.pick(&Qualifier::ALL);
        let mut operations = BTreeMap::from([(Pattern::All, qualifier)]);
        if let Some(first) = permissions.first() {
            operations.insert(Pattern::Name(first.clone()), world.pick(&Qualifier::ALL));
        }
        let rights =
            BTreeMap::from([(Pattern::All, world.pick(&[Qualifier::Allowed, Qualifier::Denied]))]);
        levels.push(name.clone());
        all.push(AccessLevel { name, operations, rights }.into());
    }
    for (n, id) in locations.iter().enumerate() {
        let parent = (n > 0 && world.chance()).then(|| locations[world.roll(n)].clone());
        let (organization, block_inheritance) = (world.chance(), world.chance());
        all.push(
            Location {
                id: id.clone(),
                parent: parent.filter(|p| p != id),
                organization,
                block_inheritance,
            }
            .into(),
        );
    }
    for (n, id) in roles.iter().enumerate() {
        let parent = (n > 0 && world.chance()).then(|| roles[world.roll(n)].clone());
        let places = world.some(&locations);
        // Ids may fall together once `@` is gone; a role is not its own parent.
        let parent = parent.filter(|_| !roles[..n].contains(id));
        all.push(BusinessRole { id: id.clone(), parent, locations: places }.into());
    }
    let position = |world: &mut World| Position {
        business_role: world.pick(&roles),
        location: world.pick(&locations),
        primary: world.chance(),
        window: world.window(),
    };
    let member = |world: &mut World, kinds: usize| Membership {
        of: match world.roll(kinds) {
            0 => ActorRef::Person(world.pick(&people)),
            1 => ActorRef::Account(world.pick(&accounts)),
            2 => ActorRef::Group(world.pick(&groups)),
            3 => ActorRef::SetGroup(world.pick(&sets)),
            _ => ActorRef::BusinessRoleLocation(world.pick(&roles), world.pick(&locations)),
        },
        window: world.window(),
    };
    for (n, id) in people.iter().enumerate() {
        all.push(
            Person {
                id: id.clone(),
                name: world.text(),
                login: world.text(),
                enabled: world.chance(),
                manager: (n > 0).then(|| people[n - 1].clone()).filter(|_| world.chance()),
                locations: world.some(&locations),
                positions: (0..world.roll(3)).map(|_| position(&mut world)).collect(),
                vault_privileges: world.some(&VaultPrivilege::ALL).into_iter().collect(),
            }
            .into(),
        );
        let owner = world.chance().then(|| world.pick(&people));
        let (enabled, places) = (world.chance(), world.some(&locations));
        let computer = world.chance().then(|| world.pick(&objects));
        let id = accounts[n].clone();
        all.push(Account { id, owner, enabled, computer, locations: places }.into());
        let members = (0..world.roll(4)).map(|_| member(&mut world, 3)).collect();
        let positions = (0..world.roll(3)).map(|_| position(&mut world)).collect();
        let (default, places) = (world.chance(), world.some(&locations));
        let id = groups[n].clone();
        all.push(Group { id, members, positions, default, locations: places }.into());
        let members = (0..world.roll(4)).map(|_| member(&mut world, 3)).collect();
        all.push(
            SetGroup { id: sets[n].clone(), members, locations: world.some(&locations) }.into(),
        );
        all.push(
            ManagementRoleDefinition {
                id: definitions[n].clone(),
                locations: world.some(&locations),
            }
            .into(),
        );
        all.push(
            ManagementRole {
                id: management[n].clone(),
                definition: world.chance().then(|| world.pick(&definitions)),
                members: (0..world.roll(4)).map(|_| member(&mut world, 5)).collect(),
                includes: if n > 0 { world.some(&management[..n]) } else { Vec::new() },
                locations: world.some(&locations),
            }
            .into(),
        );
    }
    for (n, id) in ids.iter().enumerate() {
        let name = ResourceRef {
            type_name: types[n % types.len()].clone(),
            id: ObjectId::new(id).unwrap(),
        };
        let locations_of_it = world.some(&locations);
        all.push(
            Resource {
                name: name.clone(),
                locations: locations_of_it,
                platform: world.text(),
                owner: world.chance().then(|| world.pick(&people)),
                parent: None,
            }
            .into(),
        );
        let to = match world.roll(3) {
            0 => ActorRef::ManagementRole(world.pick(&management)),
            1 => ActorRef::ManagementRoleDefinition(world.pick(&definitions)),
            _ => member(&mut world, 5).of,
        };
        let (level, scope) = match world.roll(3) {
            0 => (levels[0].clone(), Scope::Relative(Relative::DirectReports)),
            1 => (world.pick(&levels), Scope::In(world.pick(&locations))),
            _ => {
                let on = ResourceRef {
                    type_name: person_type.clone(),
                    id: ObjectId::new(people[n].as_str()).unwrap(),
                };
                (levels[0].clone(), Scope::On(on))
            }
        };
        let window = world.window();
        let id = if world.chance() {
            Assignment::derived_id(&to, &level, &scope, &window).unwrap()
        } else {
            AssignmentId::new(id).unwrap()
        };
        all.push(Assignment { id, to, level, scope, window }.into());
    }
    // Replaces some of the same name, which is as well.
    vault(&mut world, &ids, &mut all);
    sessions(&mut world, &ids, &mut all);
    let mut facts = Facts::default();
    let changes: Vec<_> = all.into_iter().map(Change::Put).collect();
    facts.apply(&changes).unwrap();
    facts
}

/// Computers with vault accounts, groups of them, and shares of everything.
fn vault(world: &mut World, ids: &[String], all: &mut Vec<Fact>) {
    let key_type = TypeName::new("Key").unwrap();
    let operations = BTreeSet::new();
    let rights = BTreeSet::new();
    all.push(ResourceType { name: key_type.clone(), operations, rights }.into());
    let people: Vec<_> = ids.iter().map(|id| PersonId::new(id).unwrap()).collect();
    let groups: Vec<_> = ids.iter().map(|id| GroupId::new(id).unwrap()).collect();
    let computers: Vec<_> =
        ids.iter().map(|id| ResourceRef::computer(&ObjectId::new(id).unwrap())).collect();
    let mut entities = Vec::new();
    for (n, id) in ids.iter().enumerate() {
        let computer = Resource {
            name: computers[n].clone(),
            locations: Vec::new(),
            platform: Some("windows".to_owned()),
            owner: world.chance().then(|| world.pick(&people)),
            parent: None,
        };
        let name = ResourceRef { type_name: key_type.clone(), id: ObjectId::new(id).unwrap() };
        let key = Resource {
            name: name.clone(),
            locations: Vec::new(),
            platform: world.chance().then(|| "windows".to_owned()),
            owner: None,
            parent: Some(world.pick(&computers)),
        };
        let account = Account {
            id: AccountId::new(id).unwrap(),
            owner: world.chance().then(|| world.pick(&people)),
            enabled: true,
            computer: Some(computers[n].id.clone()),
            locations: Vec::new(),
        };
        let members = world.some(&computers);
        let group = ResourceGroup {
            id: ResourceGroupId::new(id).unwrap(),
            members,
            default: world.chance(),
        };
        let account_type = TypeName::new("UserAccount").unwrap();
        let account_name = ResourceRef { type_name: account_type, id: name.id.clone() };
        entities.push((Entity::Group(group.id.clone()), [ShareLevel::View, ShareLevel::Modify]));
        for object in [name, computers[n].clone(), account_name] {
            entities
                .push((Entity::Resource(object), [ShareLevel::RemoteAppOnly, ShareLevel::View]));
        }
        all.extend([computer.into(), key.into(), account.into(), group.into()]);
    }
    for _ in 0..world.roll(12) {
        let to = if world.chance() {
            Grantee::Person(world.pick(&people))
        } else {
            Grantee::Group(world.pick(&groups))
        };
        let (on, levels) = world.pick(&entities);
        let level = world.pick(&levels);
        all.push(Share { key: ShareKey { to, on }, level }.into());
    }
    // Full is for people, on what has no parent.
    for _ in 0..world.roll(4) {
        let on = Entity::Resource(world.pick(&computers));
        let to = Grantee::Person(world.pick(&people));
        all.push(Share { key: ShareKey { to, on }, level: ShareLevel::Full }.into());
    }
}

/// Permission levels, what computers offer, and who is eligible.
fn sessions(world: &mut World, ids: &[String], all: &mut Vec<Fact>) {
    let levels: Vec<_> = ids.iter().filter_map(|id| PermissionLevelId::new(id).ok()).collect();
    let groups: Vec<_> = ids.iter().map(|id| GroupId::new(id).unwrap()).collect();
    for level in &levels {
        all.push(PermissionLevel { id: level.clone(), name: world.text() }.into());
    }
    for id in ids {
        let computer = ObjectId::new(id).unwrap();
        let offered = world.some(&levels);
        let offered = offered
            .into_iter()
            .map(|level| (level, world.chance().then(|| world.pick(&groups))))
            .collect();
        const LONGEST: [i64; 6] =
            [DEFAULT_MAX_SESSION_MICROS, 1, 5_400_000_000, 45_000_000, 3_661_001_001, i64::MAX];
        let jit = Jit {
            enabled: world.chance(),
            delete_on_end: world.chance(),
            reuse_existing: world.chance(),
        };
        let psm = Psm {
            computer: computer.clone(),
            enabled: world.chance(),
            allow_unprivileged: world.chance(),
            account_store: world.text(),
            max_session_micros: world.pick(&LONGEST),
            max_concurrent: world.pick(&[0, 1, u32::MAX]),
            jit,
            levels: offered,
        };
        if world.chance() {
            all.push(psm.into());
        }
        let kind = world.pick(&EligibilityKind::ALL);
        let approved = kind == EligibilityKind::Approved;
        let to = if approved || world.chance() {
            ActorRef::Person(PersonId::new(id).unwrap())
        } else {
            ActorRef::Group(world.pick(&groups))
        };
        let scope = if approved || world.chance() {
            EligibilityScope::On(computer)
        } else {
            EligibilityScope::In(LocationId::new(id).unwrap())
        };
        let until = Some(Timestamp::from_micros(1_800_000_000_000_000));
        let window = if approved { Window { from: None, until } } else { world.window() };
        let key = EligibilityKey { to, level: world.pick(&levels), scope, kind };
        all.push(Eligibility { key, window }.into());
    }
}

pub(crate) fn world() -> impl Strategy<Value = World> {
    let pieces = proptest::collection::vec(proptest::sample::select(PIECES.to_vec()), 1..6);
    let id = prop_oneof![
        4 => pieces.prop_map(|pieces| pieces.concat()),
        1 => "\\PC{1,40}".prop_filter("not a name", |id| PersonId::new(id).is_ok()),
    ];
    let ids = proptest::collection::btree_set(id, 2..7);
    let wild = [&PIECES[..], &WILD[..]].concat();
    let text = proptest::collection::vec(proptest::sample::select(wild), 0..5);
    let texts = proptest::collection::vec(text.prop_map(|pieces| pieces.concat()), 1..4);
    (ids, texts, any::<u64>()).prop_map(|(ids, texts, seed)| World {
        ids: ids.into_iter().collect(),
        texts,
        seed,
    })
}
