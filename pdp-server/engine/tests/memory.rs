//! How much memory a policy takes is told by what is in it.

#![expect(clippy::unwrap_used, reason = "a test that cannot build its world has failed")]

use pdp_engine::actor::{ActorRef, Person};
use pdp_engine::compile::compile;
use pdp_engine::facts::{Change, Fact, Facts};
use pdp_engine::id::{AssignmentId, PersonId, TypeName};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Scope};
use pdp_engine::query::Revision;
use pdp_engine::resource::{Resource, ResourceRef, ResourceType};
use pdp_engine::snapshot::Memory;
use pdp_engine::time::Window;

/// How many of each thing there are.
const MANY: usize = 1_000;

fn person(n: usize) -> Fact {
    Person {
        id: PersonId::new(format!("p{n}")).unwrap(),
        name: None,
        login: None,
        enabled: true,
        manager: None,
        locations: vec![],
        positions: vec![],
        vault_privileges: [].into(),
    }
    .into()
}

fn report(n: usize) -> Fact {
    Resource {
        name: ResourceRef::parse(&format!("Report:r{n}")).unwrap(),
        locations: vec![],
        platform: None,
        owner: None,
        parent: None,
    }
    .into()
}

fn assignment(n: usize) -> Fact {
    Assignment {
        id: AssignmentId::new(format!("a{n}")).unwrap(),
        to: ActorRef::parse(&format!("person:p{n}")).unwrap(),
        level: LevelRef::parse("Report/Reader").unwrap(),
        scope: Scope::On(ResourceRef::parse(&format!("Report:r{n}")).unwrap()),
        window: Window::ALWAYS,
    }
    .into()
}

fn memory(facts: impl IntoIterator<Item = Fact>) -> Memory {
    let kind = ResourceType {
        name: TypeName::new("Report").unwrap(),
        operations: [].into(),
        rights: [].into(),
    };
    let level = AccessLevel {
        name: LevelRef::parse("Report/Reader").unwrap(),
        operations: [].into(),
        rights: [].into(),
    };
    let all = [kind.into(), level.into()].into_iter().chain(facts);
    let changes: Vec<Change> = all.map(Change::Put).collect();
    let mut facts = Facts::default();
    facts.apply(&changes).unwrap();
    compile(&facts, Revision::new(1)).memory()
}

#[test]
fn every_part_grows_with_what_is_in_it() {
    let things = || (0..MANY).flat_map(|n| [person(n), report(n)]);
    let (nothing, alone) = (memory([]), memory(things()));
    let granted = memory(things().chain((0..MANY).map(assignment)));
    // A fingerprint and a handle for each name at least, in tables that are half full at least; people are
    // objects, too.
    let names = alone.names - nothing.names;
    assert!((3 * MANY * 20..=3 * MANY * 128).contains(&names), "{names}");
    assert_eq!(granted.names, alone.names, "assignments are not looked up by name");
    // A key, a grant and what tells which keys there may be.
    let grants = granted.hot - alone.hot;
    assert!((MANY * 16..=MANY * 64).contains(&grants), "{grants}");
    let rows = alone.hot - nothing.hot;
    assert!((MANY * 64..=MANY * 512).contains(&rows), "{rows}");
    assert!(granted.cold >= alone.cold + MANY * 16 && alone.cold >= nothing.cold + MANY * 32);
}
