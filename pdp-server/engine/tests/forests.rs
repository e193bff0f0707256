//! Trees without cycles and within their depth, included roles without cycles (section 1, A6).

#![expect(clippy::unwrap_used, reason = "a test that cannot build its world has failed")]

use pdp_engine::actor::ManagementRole;
use pdp_engine::facts::{Change, Fact, Facts, MAX_TREE_DEPTH, Rejected};
use pdp_engine::id::{LocationId, ManagementRoleId};
use pdp_engine::resource::Location;

fn location(id: &str, parent: Option<&str>) -> Location {
    Location {
        id: LocationId::new(id).unwrap(),
        parent: parent.map(|id| LocationId::new(id).unwrap()),
        organization: false,
        block_inheritance: false,
    }
}

fn management_role(id: &str, includes: &[&str]) -> ManagementRole {
    ManagementRole {
        id: ManagementRoleId::new(id).unwrap(),
        definition: None,
        members: vec![],
        includes: includes.iter().map(|id| ManagementRoleId::new(id).unwrap()).collect(),
        locations: vec![],
    }
}

fn put(fact: impl Into<Fact>) -> Change {
    Change::Put(fact.into())
}

/// Zurich lies in Europe.
fn world() -> Facts {
    let mut facts = Facts::default();
    let places = [put(location("europe", None)), put(location("zurich", Some("europe")))];
    facts.apply(&places).unwrap();
    facts
}

/// Applies what must be refused; checks that nothing changed; returns codes and message.
fn refused(facts: &mut Facts, changes: &[Change]) -> (Vec<(usize, &'static str)>, String) {
    let before = facts.clone();
    let rejected: Rejected = facts.apply(changes).unwrap_err();
    assert_eq!(*facts, before, "a refused change set changed something");
    let codes = rejected.rejections.iter().map(|r| (r.change, r.problem.code())).collect();
    (codes, rejected.to_string())
}

#[test]
fn cycles_are_named() {
    let mut facts = world();
    let (codes, message) = refused(&mut facts, &[put(location("europe", Some("zurich")))]);
    assert_eq!(codes, [(0, "CYCLE")]);
    assert!(message.contains("`parent` makes a cycle: "), "{message}");
    assert!(message.contains("europe -> zurich -> europe"), "{message}");
    let (codes, _) = refused(&mut facts, &[put(location("self", Some("self")))]);
    assert_eq!(codes, [(0, "CYCLE")]);
    let roles = [
        put(management_role("a", &["b"])),
        put(management_role("b", &["c"])),
        put(management_role("c", &["a"])),
        put(management_role("d", &["a"])),
    ];
    let (codes, message) = refused(&mut facts, &roles);
    assert_eq!(codes, [(0, "CYCLE")]);
    assert!(message.contains("`includes` makes a cycle: a -> b -> c -> a"), "{message}");
    let (_, message) = refused(&mut facts, &[put(management_role("s", &["s"]))]);
    assert!(message.contains("cycle: s -> s"), "{message}");
}

#[test]
fn a_ring_of_thousands_is_one_short_refusal() {
    let mut facts = Facts::default();
    let id = |n: usize| format!("l{:04}", n % 9_000);
    let ring: Vec<_> = (0..9_000).map(|n| put(location(&id(n), Some(&id(n + 1))))).collect();
    let (codes, message) = refused(&mut facts, &ring);
    assert_eq!(codes, [(0, "CYCLE")]);
    assert!(message.contains("l0000 -> l0001 -> "), "{message}");
    assert!(message.contains(" -> ... 8992 more -> l0000"), "{message}");
    let id = |n: usize| format!("r{:04}", n % 9_000);
    let role = |n| put(management_role(&id(n), &[&id(n + 1)]));
    let (codes, message) = refused(&mut facts, &(0..9_000).map(role).collect::<Vec<_>>());
    assert_eq!(codes, [(0, "CYCLE")]);
    assert!(message.len() < 500, "{message}");
}

#[test]
fn trees_have_a_depth_limit() {
    let mut facts = Facts::default();
    let id = |depth: usize| format!("l{depth}");
    let chain: Vec<_> = (1..=MAX_TREE_DEPTH)
        .map(|depth| put(location(&id(depth), (depth > 1).then(|| id(depth - 1)).as_deref())))
        .collect();
    facts.apply(&chain).unwrap();
    let (codes, _) = refused(&mut facts, &[put(location("deep", Some(&id(MAX_TREE_DEPTH))))]);
    assert_eq!(codes, [(0, "TREE_TOO_DEEP")]);
    // Moving the root below another one pushes its leaves over the limit.
    let (codes, message) =
        refused(&mut facts, &[put(location("top", None)), put(location("l1", Some("top")))]);
    assert_eq!(codes, [(1, "TREE_TOO_DEEP")]);
    assert!(message.contains("stands 129 levels deep; the limit is 128"), "{message}");
}
