//! What privileged sessions cost, at a million assignments: how long `Open` takes with its durable
//! commit, and what ten thousand open sessions do to the checks of everybody else.
//!
//! Run with `cargo bench -p pdp-tests --bench sessions`. Checks with and without sessions are measured
//! by turns, in one process and on one policy; the figure to go by is the ratio. Beside the time of an
//! `Open` stands what the disk takes for one small durable write, measured between them.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a measurement"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::hint::black_box;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::time::{Duration, Instant};

use pdp_engine::actor::{ActorRef, Group, Membership, Person};
use pdp_engine::check::check;
use pdp_engine::facts::{Change, Fact};
use pdp_engine::id::{
    AssignmentId, GroupId, LocationId, ObjectId, PermissionLevelId, PersonId, SessionId, TenantId,
};
use pdp_engine::level::{AccessLevel, Assignment, LevelRef, Scope};
use pdp_engine::permission::{Pattern, PermissionKind, Qualifier};
use pdp_engine::psm::{
    Eligibility, EligibilityKey, EligibilityKind, EligibilityScope, Jit, LOCAL_WINDOWS_SERVER,
    PermissionLevel, Psm,
};
use pdp_engine::query::{ObjectRef, PermissionRef, Question, SubjectRef};
use pdp_engine::resource::{Location, Resource, ResourceRef, ResourceType};
use pdp_engine::session::OpenSessions;
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Window;
use pdp_server::clock::Clock;
use pdp_server::publish::{Apply, DEFAULT_TENANT, Publisher};
use pdp_server::session::{Open, Opened, RequestKey};
use pdp_server::store::Store;

const PEOPLE: usize = 100_000;
const GROUPS: usize = 20_000;
const LOCATIONS: usize = 5_000;
const COMPUTERS: usize = 1_000;
const RESOURCES: usize = 200_000;
const ASSIGNMENTS: usize = 1_000_000;
const SESSIONS: usize = 10_000;

/// Rounds of checks of each kind, by turns, and checks in a round.
const ROUNDS: usize = 9;
const CHECKS: usize = 200_000;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let publisher = Publisher::open(Store::open(folder.path()).unwrap(), Clock::system()).unwrap();
    let tenant = TenantId::new(DEFAULT_TENANT).unwrap();
    let changes = policy();
    let started = Instant::now();
    let apply = Apply {
        changes: &changes,
        expected: None,
        dry_run: false,
        request_id: None,
        on_behalf_of: None,
    };
    publisher.apply(&tenant, apply).unwrap();
    println!("facts                         {:>10}", changes.len());
    println!("applied in                    {:>10.1?}", started.elapsed());
    drop(changes);

    let mut opens = Vec::new();
    let mut writes = Vec::new();
    let mut file = File::create(folder.path().join("probe")).unwrap();
    let mut accounts = Vec::new();
    for number in 0..SESSIONS {
        let (key, id) = (format!("key-{number}"), format!("session-{number}"));
        let (person, computer) = (person(number * 7 % PEOPLE), computer(number % COMPUTERS));
        let key = RequestKey::new(key).unwrap();
        let request =
            Open { key: &key, person: &person, computer: &computer, level: Some("admin") };
        let started = Instant::now();
        let opened = publisher.open_session(&tenant, request, SessionId::new(id).unwrap()).unwrap();
        opens.push(started.elapsed());
        let Opened::New(session, ..) = opened else { panic!("{opened:?}") };
        accounts.push(session.privilege.clone().unwrap().account.to_string());
        if number % 10 == 0 {
            writes.push(durable_write(&mut file));
        }
    }
    println!("open sessions                 {:>10}", SESSIONS);
    show("open, all", &mut opens.clone());
    show("open, the last 1,000", &mut opens.split_off(SESSIONS - 1_000));
    show("one durable write of 4 KiB", &mut writes);

    let with = publisher.snapshot(DEFAULT_TENANT).unwrap();
    let without = with.with_sessions(OpenSessions::default());
    let people: Vec<_> = (0..PEOPLE).map(person).collect();
    let resources: Vec<_> = (0..RESOURCES).map(resource).collect();
    let (mut plain, mut beside, mut accountable) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        plain.push(checks(&without, round, SubjectRef::Person, &people, &resources));
        beside.push(checks(&with, round, SubjectRef::Person, &people, &resources));
        accountable.push(checks(&with, round, SubjectRef::Account, &accounts, &resources));
    }
    let median = |rounds: &mut Vec<f64>| {
        rounds.sort_by(f64::total_cmp);
        rounds[ROUNDS / 2]
    };
    let (plain, beside) = (median(&mut plain), median(&mut beside));
    println!("check without sessions        {plain:>10.0} ns");
    println!("check beside {SESSIONS} sessions  {beside:>10.0} ns");
    println!("ratio                         {:>10.3}", beside / plain);
    println!("check by an account in one    {:>10.0} ns", median(&mut accountable));
}

fn show(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |part: usize| times[times.len() * part / 1_000];
    println!("{what:<28}  p50 {:>9.2?}  p90 {:>9.2?}  p99 {:>9.2?}", at(500), at(900), at(990));
}

fn durable_write(file: &mut File) -> Duration {
    let started = Instant::now();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.write_all(&[7; 4096]).unwrap();
    file.sync_data().unwrap();
    started.elapsed()
}

/// Nanoseconds a check, over questions without pattern.
fn checks<'a>(
    snapshot: &Snapshot,
    round: usize,
    subject: fn(&'a str) -> SubjectRef<'a>,
    subjects: &'a [String],
    resources: &'a [String],
) -> f64 {
    let now = Clock::system().now();
    let permission = PermissionRef { kind: PermissionKind::Operation, name: "View" };
    let started = Instant::now();
    for n in 0..CHECKS {
        let wild = (n + round * CHECKS).wrapping_mul(2_654_435_761);
        let object =
            ObjectRef { type_name: "Server", id: &resources[(wild >> 7) % resources.len()] };
        let subject = subject(&subjects[wild % subjects.len()]);
        black_box(check(snapshot, &Question::new(subject, permission, object), now).unwrap());
    }
    started.elapsed().as_nanos() as f64 / CHECKS as f64
}

fn person(number: usize) -> String {
    format!("person-{number}")
}

fn computer(number: usize) -> String {
    format!("computer-{number}")
}

fn resource(number: usize) -> String {
    format!("server-{number}")
}

fn location(number: usize) -> LocationId {
    LocationId::new(format!("location-{number}")).unwrap()
}

fn group(number: usize) -> GroupId {
    GroupId::new(format!("group-{number}")).unwrap()
}

/// People in nested groups, resources in locations, a million assignments by each scope, and computers
/// that everybody may open sessions on.
fn policy() -> Vec<Change> {
    let mut facts: Vec<Fact> = Vec::new();
    for number in 0..LOCATIONS {
        let parent = (number > 0).then(|| location((number - 1) / 8));
        let (organization, block_inheritance) = (number < 9, false);
        facts.push(
            Location { id: location(number), parent, organization, block_inheritance }.into(),
        );
    }
    for number in 0..PEOPLE {
        facts.push(
            Person {
                id: PersonId::new(person(number)).unwrap(),
                name: None,
                login: None,
                enabled: true,
                manager: None,
                locations: Vec::new(),
                positions: Vec::new(),
                vault_privileges: BTreeSet::new(),
            }
            .into(),
        );
    }
    for number in 0..GROUPS {
        let people = (0..10).map(|n| {
            ActorRef::Person(PersonId::new(person((number * 31 + n * 7_919) % PEOPLE)).unwrap())
        });
        let nested = (number >= GROUPS / 2).then(|| ActorRef::Group(group(number - GROUPS / 2)));
        let members = people.chain(nested).map(|of| Membership { of, window: Window::ALWAYS });
        facts.push(a_group(group(number), members.collect()).into());
    }
    let server = pdp_engine::id::TypeName::new("Server").unwrap();
    let names = |names: &[&str]| {
        names.iter().map(|name| pdp_engine::id::PermissionName::new(name).unwrap()).collect()
    };
    facts.push(
        ResourceType {
            name: server.clone(),
            operations: names(&["View", "Edit"]),
            rights: names(&[]),
        }
        .into(),
    );
    let level = |name: &str, qualifier| {
        let operations: BTreeMap<Pattern, Qualifier> = [(Pattern::All, qualifier)].into();
        let name = LevelRef::parse(&format!("Server/{name}")).unwrap();
        AccessLevel { name, operations, rights: BTreeMap::new() }
    };
    facts.push(level("Viewer", Qualifier::Allowed).into());
    facts.push(level("Barred", Qualifier::Denied).into());
    for number in 0..RESOURCES {
        facts.push(a_resource("Server", &resource(number), location(number % LOCATIONS)).into());
    }
    facts.extend(assignments());
    facts.extend(sessions());
    facts.into_iter().map(Change::Put).collect()
}

fn a_group(id: GroupId, members: Vec<Membership>) -> Group {
    Group { id, members, positions: Vec::new(), default: false, locations: Vec::new() }
}

fn a_resource(type_name: &str, id: &str, at: LocationId) -> Resource {
    let name = ResourceRef {
        type_name: pdp_engine::id::TypeName::new(type_name).unwrap(),
        id: ObjectId::new(id).unwrap(),
    };
    Resource { name, locations: vec![at], platform: None, owner: None, parent: None }
}

fn assignments() -> impl Iterator<Item = Fact> {
    let name = |name: &str| LevelRef::parse(&format!("Server/{name}")).unwrap();
    let (viewer, barred) = (name("Viewer"), name("Barred"));
    (0..ASSIGNMENTS).map(move |number| {
        let wild = number.wrapping_mul(2_654_435_761);
        let to = match number % 4 {
            0 => ActorRef::Person(PersonId::new(person(wild % PEOPLE)).unwrap()),
            _ => ActorRef::Group(group(wild % GROUPS)),
        };
        let scope = match number % 5 {
            0 => Scope::In(location(wild / 7 % LOCATIONS)),
            _ => Scope::On(ResourceRef {
                type_name: pdp_engine::id::TypeName::new("Server").unwrap(),
                id: ObjectId::new(resource(wild / 11 % RESOURCES)).unwrap(),
            }),
        };
        let level = if number % 20 == 0 { barred.clone() } else { viewer.clone() };
        let id = AssignmentId::new(format!("assignment-{number}")).unwrap();
        Assignment { id, to, level, scope, window: Window::ALWAYS }.into()
    })
}

fn sessions() -> Vec<Fact> {
    let admin = PermissionLevelId::new("admin").unwrap();
    let everybody = GroupId::new("everybody").unwrap();
    let members = (0..PEOPLE).map(|number| Membership {
        of: ActorRef::Person(PersonId::new(person(number)).unwrap()),
        window: Window::ALWAYS,
    });
    let mut facts: Vec<Fact> = vec![
        PermissionLevel { id: admin.clone(), name: None }.into(),
        a_group(everybody.clone(), members.collect()).into(),
        Eligibility {
            key: EligibilityKey {
                to: ActorRef::Group(everybody),
                level: admin.clone(),
                scope: EligibilityScope::In(location(0)),
                kind: EligibilityKind::PreApproved,
            },
            window: Window::ALWAYS,
        }
        .into(),
    ];
    for number in 0..COMPUTERS {
        let native = GroupId::new(format!("{}/Administrators", computer(number))).unwrap();
        facts.push(a_resource("Computer", &computer(number), location(number)).into());
        facts.push(a_group(native.clone(), Vec::new()).into());
        facts.push(
            Psm {
                computer: ObjectId::new(computer(number)).unwrap(),
                enabled: true,
                allow_unprivileged: false,
                account_store: Some(LOCAL_WINDOWS_SERVER.to_owned()),
                max_session_micros: 8 * 3_600 * 1_000_000,
                max_concurrent: 0,
                jit: Jit { enabled: true, delete_on_end: true, reuse_existing: false },
                levels: [(admin.clone(), Some(native))].into(),
            }
            .into(),
        );
    }
    let name = pdp_engine::id::TypeName::new("Computer").unwrap();
    let operations = BTreeSet::new();
    facts.push(ResourceType { name, operations, rights: BTreeSet::new() }.into());
    facts
}
