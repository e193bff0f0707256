//! Export and parse are inverse: whatever the ids, an exported policy applies back to itself.

#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test file")]

use std::collections::{BTreeMap, BTreeSet};

use pdp_bundle::{export, parse};
use pdp_engine::actor::{
    Account, ActorRef, BusinessRole, Group, ManagementRole, ManagementRoleDefinition, Membership,
    Person, Position, SetGroup,
};
use pdp_engine::facts::{Change, Fact, FactKind, Facts};
use pdp_engine::id::{
    AccountId, AssignmentId, BusinessRoleId, GroupId, LevelName, LocationId,
    ManagementRoleDefinitionId, ManagementRoleId, ObjectId, PermissionName, PersonId, SetGroupId,
    TypeName,
};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Relative, Scope};
use pdp_engine::permission::{Pattern, Qualifier};
use pdp_engine::resource::{Location, Resource, ResourceRef, ResourceType};
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
struct World {
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
fn facts(mut world: World) -> Facts {
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
    let types: Vec<_> =
        ["Report", "null", "Yes", "y"].map(|name| TypeName::new(name).unwrap()).to_vec();

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
            }
            .into(),
        );
        let owner = world.chance().then(|| world.pick(&people));
        let (enabled, places) = (world.chance(), world.some(&locations));
        all.push(Account { id: accounts[n].clone(), owner, enabled, locations: places }.into());
        let members = (0..world.roll(4)).map(|_| member(&mut world, 3)).collect();
        let positions = (0..world.roll(3)).map(|_| position(&mut world)).collect();
        all.push(
            Group { id: groups[n].clone(), members, positions, locations: world.some(&locations) }
                .into(),
        );
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
        all.push(Resource { name: name.clone(), locations: world.some(&locations) }.into());
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
    let mut facts = Facts::default();
    let changes: Vec<_> = all.into_iter().map(Change::Put).collect();
    facts.apply(&changes).unwrap();
    facts
}

fn world() -> impl Strategy<Value = World> {
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

fn applied(text: &str) -> Facts {
    let bundle = parse("export.yaml", text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut facts = Facts::default();
    facts
        .apply(&bundle.changes())
        .unwrap_or_else(|error| panic!("{}\n{text}", bundle.explain_rejection(&error)));
    facts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_export_applies_back_to_the_same_facts(world in world()) {
        let facts = facts(world);
        let text = export::export(&facts);
        let again = applied(&text);
        prop_assert_eq!(&again, &facts);
        prop_assert_eq!(export::export(&again), text.clone());
        prop_assert_eq!(export::chunks(&facts).collect::<String>(), text.clone());
        let mut written = String::new();
        export::write(&facts, &mut written).unwrap();
        prop_assert_eq!(written, text);
    }

    #[test]
    fn replacing_makes_any_policy_equal_to_the_bundle(before in world(), after in world()) {
        let (mut policy, wanted) = (facts(before), facts(after));
        let text = export::export(&wanted);
        let bundle = parse("wanted.yaml", &text).unwrap();
        let changes = bundle.replace(&policy);
        policy.apply(&changes).unwrap();
        prop_assert_eq!(&policy, &wanted);
        prop_assert!(bundle.replace(&policy).is_empty());
    }
}

#[test]
fn the_empty_policy_exports_and_applies() {
    assert_eq!(export::export(&Facts::default()), "{}\n");
    assert!(applied("{}\n").is_empty());
    assert!(applied("").is_empty());
}

#[test]
fn an_export_is_one_line_a_fact_in_the_order_of_the_format() {
    let facts = applied(EXPORTED);
    assert_eq!(export::export(&facts), EXPORTED);
    assert_eq!(FactKind::ALL.len(), EXPORTED.lines().filter(|line| !line.starts_with(' ')).count());
}

const EXPORTED: &str = r#"resource_types:
  Person: {operations: [Badge]}
  Report: {operations: [Delete, View], rights: [ReadData]}
access_levels:
  - {type: Person, name: Badge Desk, operations: {"*": allowed}}
  - {type: Report, name: Viewer, operations: {Delete: denied, View: allowed}, rights: {ReadData: allowed}}
locations:
  - {id: europe, organization: true}
  - {id: zurich, parent: europe, block_inheritance: true}
business_roles:
  - {id: employee}
  - {id: teller, parent: employee, locations: [zurich]}
people:
  - {id: ana, name: Ana, login: "007", enabled: false, manager: bo, locations: [zurich], positions: [{business_role: teller, location: zurich, primary: true, valid_until: 2027-01-01T00:00:00Z}]}
  - {id: bo}
accounts:
  - {id: corp/ana, owner: ana}
groups:
  - {id: hr, members: [person:ana, {of: account:corp/ana, valid_from: 2026-01-01T00:00:00.5Z}]}
set_groups:
  - {id: all-staff, members: [group:hr]}
management_role_definitions:
  - {id: helpdesk}
management_roles:
  - {id: badge-desk, definition: helpdesk}
  - {id: helpdesk-zurich, definition: helpdesk, members: [set_group:all-staff, business_role:teller@zurich], includes: [badge-desk]}
resources:
  - {type: Report, id: absence, locations: [europe, zurich]}
assignments:
  - {id: a-1, to: person:ana, level: Report/Viewer, "on": Report:absence}
  - {to: group:hr, level: Report/Viewer, in: zurich, valid_until: 2027-01-01T00:00:00Z}
  - {to: management_role_definition:helpdesk, level: Person/Badge Desk, relative: direct_reports}
"#;

#[test]
fn a_long_fact_is_cut_into_bounded_chunks() {
    let mut text = String::from("people:\n");
    let mut members = Vec::new();
    for n in 0..20_000 {
        text.push_str(&format!("- {{id: \"日本-{n}\"}}\n"));
        members.push(format!("\"person:日本-{n}\""));
    }
    text.push_str(&format!("groups: [{{id: all, members: [{}]}}]\n", members.join(", ")));
    let facts = applied(&text);
    let chunks: Vec<String> = export::chunks(&facts).collect();
    assert!(chunks.len() > 10);
    assert!(chunks.iter().all(|chunk| chunk.len() <= export::CHUNK_BYTES));
    assert_eq!(chunks.concat(), export::export(&facts));
    assert_eq!(applied(&chunks.concat()), facts);
}
