//! Every small world there is: nothing is drawn, every combination is asked of engine and oracle. Each
//! world is compiled whole and grown out of the one before it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use pdp_bundle::question::{AnyQuestion, OwnedObject, OwnedQuestion, OwnedSession, OwnedSubject};
use pdp_engine::compile::{compile, recompile};
use pdp_engine::facts::{Change, Facts};
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::Revision;
use pdp_engine::snapshot::Snapshot;
use pdp_tests::asked::Asked;
use pdp_tests::oracle::Oracle;
use pdp_tests::world::NOON;

/// A policy as facts.
fn policy(text: &str) -> Facts {
    let bundle = pdp_bundle::parse("world", text).unwrap_or_else(|error| panic!("{error}"));
    let mut facts = Facts::default();
    facts.apply(&bundle.changes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    facts
}

/// Asks everything of the world, compiled whole and grown out of `before`; returns what it has grown to.
fn hold(facts: &Facts, before: &(Facts, Snapshot), questions: &[AnyQuestion]) -> Snapshot {
    let (old, grown) = before;
    let mut changed = old.clone();
    let gone = old.iter().map(|fact| fact.key()).filter(|key| facts.get(key).is_none());
    let mut changes: Vec<Change> = gone.map(|key| Change::Delete { key, cascade: false }).collect();
    let new = facts.iter().filter(|fact| old.get(&fact.key()).as_ref() != Some(fact));
    changes.extend(new.map(Change::Put));
    let applied = changed.apply(&changes).unwrap();
    assert_eq!(changed, *facts);
    let grown = recompile(grown, facts, &applied.deltas, grown.revision().next());
    let whole = compile(facts, Revision::new(1));
    let oracle = Oracle::new(facts, NOON);
    for question in questions {
        let asked = Asked::of(question);
        let expected = asked.put_to(&oracle);
        let told = [&whole, &grown].map(|snapshot| asked.decide(snapshot, NOON));
        assert!(
            told.iter().all(|it| *it == expected),
            "{question}: the oracle says {expected:?}, the engine {told:?}\n{}",
            pdp_bundle::export::export(facts)
        );
    }
    grown
}

/// Every way to choose one of `choices` for each of `places`.
fn combinations(choices: usize, places: u32) -> impl Iterator<Item = Vec<usize>> {
    (0..choices.pow(places)).map(move |mut number| {
        let chosen = (0..places).map(|_| {
            let choice = number % choices;
            number /= choices;
            choice
        });
        chosen.collect()
    })
}

const QUALIFIERS: [&str; 5] = ["", "allowed", "denied", "disabled", "unassigned"];

/// Two people, one in a group; a location in another; two resources; one operation. Whom, on what and in
/// which way an assignment speaks: each of six has every qualifier or is not there.
#[test]
fn every_combination_of_six_assignments() {
    let slots = [
        ("person:ana", "on: 'Report:r'"),
        ("person:ana", "in: child"),
        ("person:ana", "in: top"),
        ("group:g", "on: 'Report:r'"),
        ("group:g", "in: child"),
        ("group:g", "in: top"),
    ];
    let object = |id: &str| OwnedObject { type_name: "Report".to_owned(), id: id.to_owned() };
    let mut questions: Vec<AnyQuestion> = Vec::new();
    for person in ["ana", "bo"] {
        for (resource, counterpart) in [("r", None), ("s", None), ("r", Some("s"))] {
            let subject = OwnedSubject::Person(person.to_owned());
            let question =
                OwnedQuestion::new(subject, PermissionKind::Operation, "View", object(resource));
            let counterpart = counterpart.map(object);
            questions.push(OwnedQuestion { counterpart, ..question }.into());
        }
    }
    let levels: String = QUALIFIERS[1..]
        .iter()
        .map(|it| format!("  - {{type: Report, name: {it}, operations: {{View: {it}}}}}\n"))
        .collect();
    let mut worlds = 0;
    for member in ["person:ana", "person:bo"] {
        let base = format!(
            "resource_types: {{Report: {{operations: [View]}}}}\naccess_levels:\n{levels}\
             locations: [{{id: top}}, {{id: child, parent: top}}]\npeople: [{{id: ana}}, {{id: bo}}]\n\
             groups: [{{id: g, members: [{member}]}}]\nresources:\n  - {{type: Report, id: r, locations: [child]}}\n  \
             - {{type: Report, id: s, locations: [top]}}\n"
        );
        let facts = policy(&base);
        let mut before = (facts.clone(), compile(&facts, Revision::new(1)));
        for chosen in combinations(QUALIFIERS.len(), 6) {
            let puts: Vec<Change> = slots
                .iter()
                .zip(chosen)
                .enumerate()
                .filter(|(_, (_, choice))| *choice > 0)
                .map(|(n, ((to, scope), choice))| {
                    let level = QUALIFIERS[choice];
                    ((n, *to), *scope, level)
                })
                .map(|((n, to), scope, level)| Change::Put(assignment(n, to, level, scope)))
                .collect();
            let mut world = facts.clone();
            world.apply(&puts).unwrap();
            let grown = hold(&world, &before, &questions);
            before = (world, grown);
            worlds += 1;
        }
    }
    println!("{worlds} worlds, {} checks", worlds * questions.len());
    assert_eq!(worlds, 2 * 5_usize.pow(6));
}

fn assignment(n: usize, to: &str, level: &str, scope: &str) -> pdp_engine::facts::Fact {
    use pdp_engine::level::{Assignment, LevelRef, Scope};
    use pdp_engine::resource::ResourceRef;
    let scope = match scope.strip_prefix("in: ") {
        Some(place) => Scope::In(pdp_engine::id::LocationId::new(place).unwrap()),
        None => Scope::On(ResourceRef::parse("Report:r").unwrap()),
    };
    Assignment {
        id: pdp_engine::id::AssignmentId::new(format!("a{n}")).unwrap(),
        to: pdp_engine::actor::ActorRef::parse(to).unwrap(),
        level: LevelRef::parse(&format!("Report/{level}")).unwrap(),
        scope,
        window: pdp_engine::time::Window::ALWAYS,
    }
    .into()
}

/// One person, one computer, one level: every set of kinds of eligibility, and every setting that a
/// session depends on, on or off.
#[test]
fn every_combination_of_what_a_session_needs() {
    let kinds = ["eligible", "pre_approved", "suggested", "excluded", "approved"];
    let computer = || OwnedObject { type_name: "Computer".to_owned(), id: "c".to_owned() };
    let mut questions: Vec<AnyQuestion> = Vec::new();
    for level in [Some("admin"), None] {
        for routing in [true, false] {
            let subject = OwnedSubject::Person("ana".to_owned());
            let level = level.map(str::to_owned);
            questions.push(OwnedSession { subject, level, computer: computer(), routing }.into());
        }
    }
    let start = policy("people: [{id: ana}]\n");
    let mut before = (start.clone(), compile(&start, Revision::new(1)));
    let mut worlds = 0;
    for on in combinations(2, 11) {
        let [enabled, plain, store, jit, offered, mapped, ..] =
            [0, 1, 2, 3, 4, 5].map(|n| on[n] == 1);
        let level = match (offered, mapped) {
            (false, false) => String::new(),
            (false, true) => continue,
            (true, false) => "admin: null".to_owned(),
            (true, true) => "admin: group:admins".to_owned(),
        };
        let store = if store { "local_windows_server" } else { "directory" };
        let mut lines = String::new();
        for (n, kind) in kinds.iter().enumerate().filter(|(n, _)| on[6 + n] == 1) {
            let end = if n == 4 { ", valid_until: 2027-01-01T00:00:00Z" } else { "" };
            lines.push_str(&format!(
                "  - {{to: person:ana, level: admin, on: 'Computer:c', kind: {kind}{end}}}\n"
            ));
        }
        let lines = if lines.is_empty() { lines } else { format!("eligibilities:\n{lines}") };
        for account in ["", "accounts: [{id: a, owner: ana, computer: c}]\n"] {
            let text = format!(
                "resource_types: {{Computer: {{operations: [Use]}}}}\npeople: [{{id: ana}}]\n\
                 {account}groups: [{{id: admins}}]\n\
                 resources: [{{type: Computer, id: c}}]\npermission_levels: [{{id: admin}}]\n\
                 psm:\n  - {{computer: c, enabled: {enabled}, allow_unprivileged: {plain}, \
                 account_store: {store}, jit: {{enabled: {jit}}}, levels: {{{level}}}}}\n{lines}"
            );
            let world = policy(&text);
            let grown = hold(&world, &before, &questions);
            before = (world, grown);
            worlds += 1;
        }
    }
    println!("{worlds} worlds, {} checks", worlds * questions.len());
    assert_eq!(worlds, 3 * (1 << 9) * 2);
}
