//! One answer through every door: random worlds asked over gRPC and over AuthZEN say the same, with
//! the same reason, the same revision and the same obligations; and the searches find what the lists
//! of gRPC list.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use pdp_bundle::question::WrittenPermission;
use pdp_client::engine::obligations_to_engine;
use pdp_client::{Code, Decision, Error, Permission, Question, Refusal};
use pdp_engine::facts::Facts;
use pdp_engine::list::{AnyPermission, SubjectKinds};
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::{Effect, ObjectRef, PermissionRef, Reason, SubjectRef};
use pdp_tests::door::authzen::{AuthZen, Told, evaluation, is_sayable, object, subject};
use pdp_tests::door::page::Wanted;
use pdp_tests::door::{Door, Server, wire};
use pdp_tests::http::Protocol;
use pdp_tests::proof::for_worlds;
use pdp_tests::world::{Genome, NOON};
use serde_json::{Value, json};
use tonic::Status;

/// How many worlds are asked, and how many questions of each family each of them is asked.
const WORLDS: u32 = 480;
const QUESTIONS: usize = 60;

/// One in so many is asked by itself as well.
const ALONE: usize = 8;

/// How many worlds are searched, and for how many questions of each family.
const SEARCHED: u32 = 96;
const SEARCHES: usize = 4;

/// Every question of a world that AuthZEN has words for, as each door asks it.
fn both(genome: &Genome, facts: &Facts) -> Vec<(Question, Value)> {
    let mut asked = Vec::new();
    for (question, _) in genome.questions(facts) {
        let mut it = question.ask();
        it.routing = true;
        let permission = AnyPermission::Access(it.permission);
        let written = evaluation(it.subject, permission, it.resource, it.counterpart);
        asked.push((wire::access(&it), written));
    }
    for (question, _) in genome.vault(facts) {
        let it = question.ask();
        let permission = AnyPermission::Vault(it.action);
        asked.push((wire::vault(&it), evaluation(it.subject, permission, it.entity, None)));
    }
    for (question, ..) in genome.sessions(facts) {
        let mut it = question.ask();
        it.routing = true;
        if !is_sayable(it.level) {
            continue;
        }
        let permission = AnyPermission::Session(it.level);
        asked.push((wire::session(&it), evaluation(it.subject, permission, it.computer, None)));
    }
    asked
}

fn told_by_grpc(decision: Decision) -> Told {
    let Decision { effect, reason, revision, obligations } = decision;
    let (effect, reason) = (effect.as_str(), reason.as_str());
    Told {
        effect: Effect::ALL.into_iter().find(|it| it.as_str() == effect).unwrap(),
        reason: Reason::ALL.into_iter().find(|it| it.as_str() == reason).unwrap(),
        revision: revision.get(),
        obligations: obligations.map(|it| obligations_to_engine(it).unwrap()),
    }
}

/// What gRPC says to every question; `None` where it refuses it.
fn over_grpc(door: &Door<'_>, questions: &[Question]) -> Vec<Option<Told>> {
    let batch = door.block_on(door.client().batch_check(questions)).unwrap();
    let results = batch.results.into_iter();
    let refused = |refusal: &Refusal| assert_eq!(refusal.code, Code::InvalidArgument);
    results.map(|result| result.inspect_err(refused).ok().map(told_by_grpc)).collect()
}

/// What `Check` and a single evaluation say to a question.
fn alone(
    door: &Door<'_>,
    authzen: &AuthZen,
    (question, evaluation): (&Question, &Value),
) -> [Option<Told>; 2] {
    let checked = match door.block_on(door.client().check(question)) {
        Ok(decision) => Some(told_by_grpc(decision)),
        Err(Error::Refused(refusal)) if refusal.code == Code::InvalidArgument => None,
        Err(error) => panic!("{question}: {error}"),
    };
    [checked, authzen.ask_one(evaluation)]
}

#[test]
fn every_world_gives_one_answer() {
    let server = Server::start();
    server.set_clock(NOON);
    let (tenants, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let reasons: Mutex<BTreeMap<&str, u64>> = Mutex::default();
    for_worlds(WORLDS, QUESTIONS, |genome| {
        let facts = genome.facts();
        let n = tenants.fetch_add(1, Ordering::Relaxed);
        let tenant = format!("world-{n}");
        let door = server.tenant(&tenant, &genome.changes()).map_err(|error| error.to_string())?;
        let authzen = AuthZen::new(&server, &tenant, Protocol::ALL[n % 2]);
        let (questions, evaluations): (Vec<_>, Vec<_>) = both(genome, &facts).into_iter().unzip();
        let expected = over_grpc(&door, &questions);
        let actual = authzen.ask_all(&evaluations);
        // Some of them one by one, too: each by turns over the worlds.
        for at in (n % ALONE..questions.len()).step_by(ALONE) {
            let (question, said) = (&questions[at], &expected[at]);
            let one_by_one = alone(&door, &authzen, (question, &evaluations[at]));
            if one_by_one.iter().any(|one| one != said) {
                return Err(format!("{question}: {said:?} in a batch, alone {one_by_one:?}"));
            }
        }
        server.forget(&tenant);
        for ((question, expected), actual) in questions.iter().zip(expected).zip(actual) {
            if expected != actual {
                return Err(format!("{question}: gRPC says {expected:?}, AuthZEN {actual:?}"));
            }
            match expected {
                Some(told) => {
                    *reasons.lock().unwrap().entry(told.reason.as_str()).or_default() += 1
                }
                None => drop(refused.fetch_add(1, Ordering::Relaxed)),
            }
        }
        Ok(())
    });
    let reasons = reasons.into_inner().unwrap();
    let decided: u64 = reasons.values().sum();
    println!("{decided} decisions and {} refusals are the same: {reasons:?}", refused.into_inner());
    assert!(decided > u64::from(WORLDS) * QUESTIONS as u64, "only {decided} decisions");
    // What AuthZEN asks can have any reason but those of delegations and of open sessions.
    assert!(reasons.len() >= 20, "{} reasons only: {reasons:?}", reasons.len());
    server.stop();
}

/// A search of these worlds, and the list that it must find.
struct Sought<'a> {
    path: &'static str,
    body: Value,
    list: Wanted<'a>,
}

/// What a list's items are called in results.
fn results(sought: &Sought<'_>, items: &[String]) -> Vec<Value> {
    let one = |item: &String| match sought.list {
        Wanted::Resources(_, _, kind) => Some(json!({"type": kind, "id": item})),
        Wanted::Subjects(_, _, kinds) => {
            let (kind, id) = item.split_once(':').unwrap();
            let wanted = match kinds {
                SubjectKinds::People => "person",
                SubjectKinds::PeopleAndAccounts => "account",
            };
            (kind == wanted).then(|| json!({"type": kind, "id": id}))
        }
        Wanted::Permissions(..) | Wanted::Approvers(_) => None,
    };
    items.iter().filter_map(one).collect()
}

/// Everything that a search finds, page by page, each follow-up with the token alone or with all.
fn found(authzen: &AuthZen, sought: &Sought<'_>, limit: usize) -> Vec<Value> {
    let mut body = sought.body.clone();
    body["page"] = json!({"limit": limit});
    let mut found = Vec::new();
    loop {
        let reply = authzen.post(sought.path, &body);
        assert_eq!(reply.status, 200, "{body}: {}", reply.text());
        let answer = reply.json();
        let results = answer["results"].as_array().unwrap();
        assert_eq!(answer["page"]["count"], json!(results.len()));
        assert!(results.len() <= limit);
        found.extend(results.iter().cloned());
        let token = answer["page"]["next_token"].clone();
        if token == json!("") {
            return found;
        }
        assert_eq!(results.len(), limit, "a page that is not the last is full");
        body = if found.len() % 2 == 0 { json!({}) } else { sought.body.clone() };
        body["page"] = json!({"token": token});
    }
}

#[test]
fn searches_find_what_lists_list() {
    let server = Server::start();
    server.set_clock(NOON);
    let tenants = AtomicUsize::new(0);
    let counts: Mutex<BTreeMap<String, (u64, u64)>> = Mutex::default();
    for_worlds(SEARCHED, SEARCHES, |genome| {
        let facts = genome.facts();
        let n = tenants.fetch_add(1, Ordering::Relaxed);
        let tenant = format!("searched-{n}");
        let door = server.tenant(&tenant, &genome.changes()).map_err(|error| error.to_string())?;
        let authzen = AuthZen::new(&server, &tenant, Protocol::ALL[n % 2]);
        for_searches(genome, &facts, |sought| {
            let list = match listed(&door, &sought.list) {
                // A name that nothing can have is found nowhere.
                Err(status) if status.code() == tonic::Code::InvalidArgument => Vec::new(),
                other => other.map_err(|status| status.to_string())?,
            };
            let expected = results(sought, &list);
            for limit in [1, 2, 1_000] {
                let actual = found(&authzen, sought, limit);
                if actual != expected {
                    let (path, body) = (sought.path, &sought.body);
                    return Err(format!("{path} {body}: {actual:?}, not {expected:?}"));
                }
            }
            let mut counts = counts.lock().unwrap();
            let key = format!("{} for {}", sought.path, sought.body["subject"]["type"]);
            let (all, some) = counts.entry(key).or_default();
            (*all, *some) = (*all + 1, *some + u64::from(!expected.is_empty()));
            Ok(())
        })?;
        for (question, _) in genome.questions(&facts) {
            let it = question.ask();
            let (names, expected) = actions(&door, &authzen, it.subject, it.resource)?;
            if names != expected {
                return Err(format!("{question}: actions are {names:?}, not {expected:?}"));
            }
        }
        server.forget(&tenant);
        Ok(())
    });
    let counts = counts.into_inner().unwrap();
    println!("searches, and how many found something: {counts:?}");
    assert!(counts.len() >= 4 && counts.values().all(|(_, some)| *some > 4), "{counts:?}");
    server.stop();
}

fn listed(door: &Door<'_>, wanted: &Wanted<'_>) -> Result<Vec<String>, Status> {
    Ok(door.pages(wanted, 1_000)?.into_iter().flat_map(|page| page.items).collect())
}

/// Hands every search that is about a world's questions to `compare`.
fn for_searches(
    genome: &Genome,
    facts: &Facts,
    mut compare: impl FnMut(&Sought<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let mut about = |who: SubjectRef<'_>, permission: AnyPermission<'_>, on: ObjectRef<'_>| {
        let action = json!({"name": WrittenPermission(permission).to_string()});
        let subjects = |kind: &str, kinds| Sought {
            path: "search/subject",
            body: json!({"subject": {"type": kind}, "action": action, "resource": object(on)}),
            list: Wanted::Subjects(permission, on, kinds),
        };
        compare(&subjects("person", SubjectKinds::People))?;
        compare(&subjects("account", SubjectKinds::PeopleAndAccounts))?;
        let resource = json!({"type": on.type_name});
        compare(&Sought {
            path: "search/resource",
            body: json!({"subject": subject(who), "action": action, "resource": resource}),
            list: Wanted::Resources(who, permission, on.type_name),
        })
    };
    for (question, _) in genome.questions(facts) {
        let it = question.ask();
        about(it.subject, AnyPermission::Access(it.permission), it.resource)?;
    }
    for (question, _) in genome.vault(facts) {
        let it = question.ask();
        about(it.subject, AnyPermission::Vault(it.action), it.entity)?;
    }
    for (question, ..) in genome.sessions(facts) {
        let it = question.ask();
        if is_sayable(it.level) {
            about(it.subject, AnyPermission::Session(it.level), it.computer)?;
        }
    }
    Ok(())
}

/// The actions that a search finds, and those that gRPC lists.
fn actions(
    door: &Door<'_>,
    authzen: &AuthZen,
    who: SubjectRef<'_>,
    on: ObjectRef<'_>,
) -> Result<(BTreeSet<String>, BTreeSet<String>), String> {
    let body = json!({"subject": subject(who), "resource": object(on)});
    let reply = authzen.post("search/action", &body);
    assert_eq!(reply.status, 200, "{body}: {}", reply.text());
    let results = reply.json()["results"].as_array().unwrap().clone();
    let names = results.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect();
    let listed = match door
        .block_on(door.client().list_permissions(wire::subject(who), wire::object(on)).collect())
    {
        Ok(listed) => listed.items,
        Err(error) if error.code() == Code::InvalidArgument => return Ok((names, BTreeSet::new())),
        Err(error) => return Err(error.to_string()),
    };
    let access = |kind, name| AnyPermission::Access(PermissionRef { kind, name });
    let written = listed.iter().map(|listed| {
        let permission = match &listed.value {
            Permission::Operation(name) => access(PermissionKind::Operation, name.as_str()),
            Permission::Right(name) => access(PermissionKind::Right, name.as_str()),
            Permission::VaultAction(action) => AnyPermission::Vault(action.as_str()),
            Permission::Session(level) => AnyPermission::Session(level.as_deref()),
        };
        WrittenPermission(permission).to_string()
    });
    Ok((names, written.collect()))
}
