//! Hostile but valid policies: compiled in bounded time and space or refused, explained in bounded
//! size.

#![expect(clippy::unwrap_used, reason = "a test that cannot build its world has failed")]

use std::num::NonZeroUsize;

use pdp_engine::actor::{ActorRef, Group, Membership, Person};
use pdp_engine::check::check;
use pdp_engine::compile::{CompileLimits, compile, compile_within};
use pdp_engine::explain::{MAX_ENTRIES, MAX_HOPS, Standing, explain};
use pdp_engine::facts::{Change, Fact, Facts};
use pdp_engine::id::{AssignmentId, GroupId, PermissionName, PersonId, TypeName};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Scope};
use pdp_engine::permission::{Pattern, PermissionKind, Qualifier};
use pdp_engine::query::{ObjectRef, PermissionRef, Question, Reason, Revision, SubjectRef};
use pdp_engine::resource::{Resource, ResourceRef, ResourceType};
use pdp_engine::time::{Timestamp, Window};

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn listing(of: &str, window: Window) -> Membership {
    Membership { of: ActorRef::parse(of).unwrap(), window }
}

fn group(id: &str, members: Vec<Membership>) -> Fact {
    let id = GroupId::new(id).unwrap();
    Group { id, members, positions: vec![], default: false, locations: vec![] }.into()
}

fn ana() -> Fact {
    Person {
        id: PersonId::new("ana").unwrap(),
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

/// A report with levels that allow and deny viewing it.
fn report() -> Vec<Fact> {
    let view = PermissionName::new("View").unwrap();
    let level = |name: &str, qualifier| AccessLevel {
        name: LevelRef::parse(name).unwrap(),
        operations: [(Pattern::Name(view.clone()), qualifier)].into(),
        rights: [].into(),
    };
    let type_name = TypeName::new("Report").unwrap();
    vec![
        ResourceType { name: type_name, operations: [view.clone()].into(), rights: [].into() }
            .into(),
        level("Report/Viewer", Qualifier::Allowed).into(),
        level("Report/Barred", Qualifier::Denied).into(),
        Resource {
            name: ResourceRef::parse("Report:r").unwrap(),
            locations: vec![],
            platform: None,
            owner: None,
            parent: None,
        }
        .into(),
    ]
}

fn assignment(id: &str, to: &str, level: &str) -> Fact {
    Assignment {
        id: AssignmentId::new(id).unwrap(),
        to: ActorRef::parse(to).unwrap(),
        level: LevelRef::parse(level).unwrap(),
        scope: Scope::On(ResourceRef::parse("Report:r").unwrap()),
        window: Window::ALWAYS,
    }
    .into()
}

fn facts(list: impl IntoIterator<Item = Fact>) -> Facts {
    let mut facts = Facts::default();
    facts.apply(&list.into_iter().map(Change::Put).collect::<Vec<_>>()).unwrap();
    facts
}

const QUESTION: Question<'static> = Question::new(
    SubjectRef::Person("ana"),
    PermissionRef { kind: PermissionKind::Operation, name: "View" },
    ObjectRef { type_name: "Report", id: "r" },
);

/// A person in the first of a chain of groups, at many separate times.
fn windows_along_a_chain(windows: i64, groups: usize) -> Facts {
    let open = |n: i64| Window { from: Some(at(10 * n)), until: Some(at(10 * n + 5)) };
    let first = (0..windows).map(|n| listing("person:ana", open(n))).collect();
    let mut list = vec![ana(), group("g0", first)];
    for n in 1..groups {
        let inner = format!("group:g{}", n - 1);
        list.push(group(&format!("g{n}"), vec![listing(&inner, Window::ALWAYS)]));
    }
    list.extend(report());
    list.push(assignment("a", &format!("group:g{}", groups - 1), "Report/Viewer"));
    facts(list)
}

#[test]
fn many_windows_along_a_long_path_are_decided_exactly() {
    let snapshot = compile(&windows_along_a_chain(1_000, 1_000), Revision::ZERO);
    for n in [0, 1, 500, 999] {
        for (instant, reason) in [
            (10 * n - 1, Reason::NotGranted),
            (10 * n, Reason::Granted),
            (10 * n + 4, Reason::Granted),
            (10 * n + 5, Reason::NotGranted),
        ] {
            let decision = check(&snapshot, &QUESTION, at(instant)).unwrap();
            assert_eq!(decision.reason, reason, "{instant}");
        }
    }
}

#[test]
fn a_policy_over_a_limit_is_refused_with_the_limit() {
    let facts = windows_along_a_chain(10, 10);
    let refused = |limits| {
        compile_within(NonZeroUsize::MIN, &facts, Revision::ZERO, limits).unwrap_err().to_string()
    };
    let none = CompileLimits::NONE;
    let windows = refused(CompileLimits { windows: 99, ..none });
    assert!(windows.contains("more than 99 closure windows"), "{windows}");
    let steps = refused(CompileLimits { steps: 50, ..none });
    assert!(steps.contains("more than 50 steps through windows"), "{steps}");
    let closure = refused(CompileLimits { closure: 0, ..none });
    assert!(closure.contains("more than 0 closure entries"), "{closure}");
    // The subject itself, and what stands for the accounts besides the policy.
    let fits = CompileLimits { windows: 100, closure: 2, ..none };
    assert!(compile_within(NonZeroUsize::MIN, &facts, Revision::ZERO, fits).is_ok());
}

#[test]
fn an_explanation_lists_so_many_entries_and_counts_the_rest() {
    let mut list = vec![ana(), assignment("zz-deny", "person:ana", "Report/Barred")];
    list.extend(report());
    list.extend(
        (0..MAX_ENTRIES + 9)
            .map(|n| assignment(&format!("a-{n:05}"), "person:ana", "Report/Viewer")),
    );
    let snapshot = compile(&facts(list), Revision::ZERO);
    let explained = explain(&snapshot, &QUESTION, at(0)).unwrap();
    let side = explained.sides.first().unwrap();
    assert_eq!((side.entries.len(), side.omitted_entries), (MAX_ENTRIES, 10));
    let deciding: Vec<_> =
        side.entries.iter().filter(|entry| entry.standing == Standing::Deciding).collect();
    assert_eq!(deciding.first().unwrap().assignment.as_str(), "zz-deny");
    assert!(side.entries.is_sorted_by_key(|entry| entry.assignment.clone()));
}

#[test]
fn an_explanation_has_so_many_hops() {
    let groups = 500;
    let mut list = vec![ana(), group("g0", vec![listing("person:ana", Window::ALWAYS)])];
    for n in 1..groups {
        let inner = format!("group:g{}", n - 1);
        list.push(group(&format!("g{n}"), vec![listing(&inner, Window::ALWAYS)]));
    }
    list.extend(report());
    let outermost = format!("group:g{}", groups - 1);
    list.extend((0..100).map(|n| assignment(&format!("a-{n}"), &outermost, "Report/Viewer")));
    let snapshot = compile(&facts(list), Revision::ZERO);
    let explained = explain(&snapshot, &QUESTION, at(0)).unwrap();
    let side = explained.sides.first().unwrap();
    assert_eq!((side.entries.len(), side.omitted_entries), (MAX_HOPS / groups, 60));
    assert_eq!(explained.decision.reason, Reason::Granted);
}
