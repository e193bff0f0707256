//! Every list is exactly what asking about everything one by one gives, on random worlds (D6 and
//! the questions asked backwards).

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Mutex;

use pdp_engine::actor::ActorRef;
use pdp_engine::compile::compile;
use pdp_engine::list::{
    AnyPermission, ApprovalQuestion, ListError, ListedPermission, Part, SubjectKinds,
    list_approvers, list_approvers_part, list_permissions, list_permissions_part, list_resources,
    list_resources_part, list_subjects, list_subjects_part,
};
use pdp_engine::query::{ObjectRef, Revision, SubjectRef};
use pdp_engine::resource::ResourceRef;
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;
use pdp_tests::oracle::{Existing, Oracle, Refused};
use pdp_tests::proof::for_worlds;
use pdp_tests::world::Genome;

const REVISION: Revision = Revision::new(4);

/// How many questions of each family a world is listed for.
const EACH: usize = 3;

/// A question of any family, with its instant.
type Probe<'a> = (SubjectRef<'a>, AnyPermission<'a>, ObjectRef<'a>, Timestamp);

/// How many lists were compared and how many items they had.
#[derive(Default)]
struct Lengths(Mutex<BTreeMap<&'static str, (u64, u64, u64)>>);

impl Lengths {
    fn note(&self, key: &'static str, items: usize) {
        let mut counts = self.0.lock().unwrap();
        let (lists, full, all) = counts.entry(key).or_default();
        *lists += 1;
        *full += u64::from(items > 0);
        *all += items as u64;
    }

    /// Every kind of list was compared, and one in fifty at least had something in it.
    fn hold(&self, keys: &[&'static str]) {
        let counts = self.0.lock().unwrap();
        for key in keys {
            let (lists, full, all) = counts.get(key).copied().unwrap_or_default();
            println!("{key:<40} {lists:>8} lists, {full:>8} not empty, {all:>9} items");
            assert!(full * 50 > lists, "{key}: too few lists have anything in them");
        }
    }
}

fn same<T: PartialEq + Debug>(what: &str, expected: &T, actual: &T) -> Result<(), String> {
    if expected == actual {
        return Ok(());
    }
    Err(format!("{what}: the oracle lists {expected:?}, the engine {actual:?}"))
}

/// Hands questions of all families about a world to `property`.
fn for_probes(
    worlds: u32,
    property: impl Fn(&Snapshot, Oracle<'_>, Probe<'_>) -> Result<(), String> + Sync,
) {
    for_worlds(worlds, EACH, |genome: &Genome| {
        let facts = genome.facts();
        let snapshot = compile(&facts, REVISION);
        let check = |existing: &Existing, probe: Probe<'_>| {
            let snapshot = snapshot.with_sessions(existing.open());
            property(&snapshot, Oracle::new(&facts, probe.3).beside(existing), probe)
                .map_err(|why| format!("{probe:?} beside {existing}: {why}"))
        };
        let world = genome.existing(&facts);
        for (question, now) in genome.questions(&facts) {
            let it = question.ask();
            check(&world, (it.subject, AnyPermission::Access(it.permission), it.resource, now))?;
        }
        for (question, now) in genome.vault(&facts) {
            let it = question.ask();
            check(&world, (it.subject, AnyPermission::Vault(it.action), it.entity, now))?;
        }
        for (question, existing, now) in genome.sessions(&facts) {
            let it = question.ask();
            check(&existing, (it.subject, AnyPermission::Session(it.level), it.computer, now))?;
        }
        Ok(())
    });
}

/// A list that the engine refuses is one whose question the oracle refuses; nothing else is.
fn compared<T: PartialEq + Debug>(
    what: &str,
    asked: Result<bool, Refused>,
    expected: T,
    actual: Result<T, pdp_engine::query::Malformed>,
) -> Result<(), String> {
    match (asked, actual) {
        (_, Ok(actual)) => same(what, &expected, &actual),
        (Err(Refused), Err(_)) => Ok(()),
        (Ok(_), Err(refused)) => Err(format!("{what}: refused: {refused}")),
    }
}

/// Reads a list in parts of one and of three, and compares it with the whole.
fn in_parts<T: Clone + PartialEq + Debug>(
    what: &str,
    whole: &[T],
    part: impl Fn(Option<&T>, usize) -> Result<Vec<T>, ListError>,
) -> Result<(), String> {
    for limit in [1, 3] {
        let mut listed: Vec<T> = Vec::new();
        loop {
            let next = part(listed.last(), limit).map_err(|error| format!("{what}: {error}"))?;
            if next.is_empty() {
                break;
            }
            listed.extend(next);
            if listed.len() > whole.len() {
                break;
            }
        }
        if listed != whole {
            return Err(format!("{what} in parts of {limit}: {listed:?}, not {whole:?}"));
        }
    }
    Ok(())
}

fn some<T>(after: Option<T>, limit: usize) -> Part<'static, T> {
    Part { after, limit, wanted: &|| true }
}

fn subject_of(actor: &ActorRef) -> SubjectRef<'_> {
    match actor {
        ActorRef::Person(id) => SubjectRef::Person(id.as_str()),
        ActorRef::Account(id) => SubjectRef::Account(id.as_str()),
        other => panic!("{other} is listed"),
    }
}

const fn family(permission: AnyPermission<'_>, of: [&'static str; 3]) -> &'static str {
    match permission {
        AnyPermission::Access(_) => of[0],
        AnyPermission::Vault(_) => of[1],
        AnyPermission::Session(_) => of[2],
    }
}

#[test]
fn permissions_are_those_that_each_check_allows() {
    const KINDS: [&str; 4] = [
        "permissions: operations",
        "permissions: rights",
        "permissions: vault actions",
        "permissions: sessions",
    ];
    let lengths = Lengths::default();
    for_probes(2_400, |snapshot, oracle, (subject, permission, object, now)| {
        let expected = oracle.permissions(subject, object);
        let kind = |listed: &ListedPermission| match listed {
            ListedPermission::Operation(_) => KINDS[0],
            ListedPermission::Right(_) => KINDS[1],
            ListedPermission::Vault(_) => KINDS[2],
            ListedPermission::Session(_) => KINDS[3],
        };
        for listed in &expected {
            lengths.note(kind(listed), 1);
        }
        let asked = oracle.allows(subject, permission, object);
        let whole = list_permissions(snapshot, subject, object, now);
        if let Ok(whole) = &whole {
            in_parts("permissions", whole, |last, limit| {
                list_permissions_part(snapshot, subject, object, some(last, limit), now)
            })?;
        }
        let actual = whole.map(|listed| {
            let kinds: Vec<&str> = listed.iter().map(kind).collect();
            let distinct: BTreeSet<&ListedPermission> = listed.iter().collect();
            assert_eq!(distinct.len(), listed.len(), "something is listed twice");
            let place = |it: &&str| KINDS.iter().position(|kind| kind == it);
            assert!(kinds.is_sorted_by_key(place), "the kinds are mixed");
            let is_name = |it: &&ListedPermission| {
                matches!(it, ListedPermission::Operation(_) | ListedPermission::Right(_))
            };
            assert!(listed.iter().filter(is_name).is_sorted(), "the names are not in order");
            distinct.into_iter().cloned().collect::<Vec<_>>()
        });
        compared("permissions", asked, expected, actual)
    });
    lengths.hold(&KINDS);
}

#[test]
fn resources_are_those_that_each_check_allows() {
    const KEYS: [&str; 3] = ["resources: access", "resources: vault", "resources: session"];
    let lengths = Lengths::default();
    for_probes(6_000, |snapshot, oracle, (subject, permission, object, now)| {
        let expected = oracle.resources(subject, permission, object.type_name);
        lengths.note(family(permission, KEYS), expected.len());
        let asked = oracle.allows(subject, permission, object);
        let actual = list_resources(snapshot, subject, permission, object.type_name, now);
        if let Ok(whole) = &actual {
            in_parts("resources", whole, |last, limit| {
                let part = some(last.map(|id| id.as_str()), limit);
                let type_name = object.type_name;
                list_resources_part(snapshot, subject, permission, type_name, part, now)
            })?;
        }
        compared("resources", asked, expected, actual)
    });
    lengths.hold(&KEYS);
}

#[test]
fn subjects_are_those_that_each_check_allows() {
    const KEYS: [&str; 3] = ["subjects: access", "subjects: vault", "subjects: session"];
    let lengths = Lengths::default();
    for_probes(6_000, |snapshot, oracle, (subject, permission, object, now)| {
        for kinds in [SubjectKinds::People, SubjectKinds::PeopleAndAccounts] {
            let expected = oracle.subjects(permission, object, kinds);
            lengths.note(family(permission, KEYS), expected.len());
            let asked = oracle.allows(subject, permission, object);
            let actual = list_subjects(snapshot, permission, object, kinds, now);
            if let Ok(whole) = &actual {
                in_parts("subjects", whole, |last, limit| {
                    let part = some(last.map(subject_of), limit);
                    list_subjects_part(snapshot, permission, object, kinds, part, now)
                })?;
            }
            compared("subjects", asked, expected, actual)?;
        }
        Ok(())
    });
    lengths.hold(&KEYS);
}

#[test]
fn approvers_are_those_who_could_do_it_themselves() {
    let lengths = Lengths::default();
    for_worlds(6_000, 4 * EACH, |genome| {
        let facts = genome.facts();
        let world = genome.existing(&facts);
        let snapshot = compile(&facts, REVISION).with_sessions(world.open());
        let check = |key, question: ApprovalQuestion<'_>, now, refused| {
            let expected = Oracle::new(&facts, now).beside(&world).approvers(&question);
            lengths.note(key, expected.len());
            let asked = if refused { Err(Refused) } else { Ok(true) };
            let actual = list_approvers(&snapshot, &question, now);
            if let Ok(whole) = &actual {
                in_parts("approvers", whole, |last, limit| {
                    let part = some(last.map(|id| id.as_str()), limit);
                    list_approvers_part(&snapshot, &question, part, now)
                })?;
            }
            compared("approvers", asked, expected, actual)
                .map_err(|why| format!("{question:?} at {}: {why}", now.as_micros()))
        };
        for (question, now) in genome.delegations(&facts) {
            let it = question.ask();
            let refused = Oracle::new(&facts, now).beside(&world).decide_delegation(&it).is_err();
            check("approvers of delegations", ApprovalQuestion::Delegation(it), now, refused)?;
        }
        let everything: Vec<ResourceRef> = facts.resources().map(|it| it.name.clone()).collect();
        for (n, (question, now)) in genome.questions(&facts).into_iter().enumerate() {
            let mut it = question.ask();
            // Most questions have no counterpart; they get one here, so that they are dual checks:
            // the same object again, which somebody else often may, or any other.
            if it.counterpart.is_none() {
                let other = everything.get(n % everything.len().max(1)).filter(|_| n % 4 == 0);
                let other = other
                    .map(|it| ObjectRef { type_name: it.type_name.as_str(), id: it.id.as_str() });
                it.counterpart = other.or(Some(it.resource));
            }
            let refused = Oracle::new(&facts, now).beside(&world).decide(&it).is_err();
            check("approvers of dual checks", ApprovalQuestion::Dual(it), now, refused)?;
        }
        for (question, _, now) in genome.sessions(&facts) {
            let it = question.ask();
            let refused = Oracle::new(&facts, now).beside(&world).decide_session(&it).is_err();
            check("approvers of sessions", ApprovalQuestion::Session(it), now, refused)?;
        }
        Ok(())
    });
    lengths.hold(&[
        "approvers of delegations",
        "approvers of dual checks",
        "approvers of sessions",
    ]);
}
