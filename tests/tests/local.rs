//! One answer, wherever it is made: a client that keeps the policy and decides in process says what the
//! server says, with the same reason and the same revision, through every change; and what it cannot know it
//! leaves to the server.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pdp_client::engine::change_to_wire;
use pdp_client::{
    ChangeSet, LocalClient, LocalOptions, Permission, Question, Reason, Resource, Revision, Subject,
};
use pdp_engine::facts::{Change, FactKey, Facts};
use pdp_tests::door::apart::{is_for_the_server, questions};
use pdp_tests::door::{Door, Server};
use pdp_tests::proof::for_worlds;
use pdp_tests::world::NOON;

/// How many worlds are asked, how many questions of each family each of them is asked, and how often each
/// of them changes meanwhile.
const WORLDS: u32 = 120;
const QUESTIONS: usize = 40;
const CHANGES: usize = 6;

/// However busy the machine is.
const PATIENT: LocalOptions = LocalOptions::with_staleness(Duration::from_secs(3_600));

fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(NOON.as_micros()).unwrap())
}

/// Holds that both say the same, and says how many decisions were made in process, by reason.
fn compare(
    door: &Door<'_>,
    local: &LocalClient,
    questions: &[Question],
    reasons: &Mutex<BTreeMap<&'static str, u64>>,
) -> Result<(), String> {
    let batch = door.block_on(door.client().batch_check(questions)).unwrap();
    for (question, said) in questions.iter().zip(batch.results) {
        let said = said.ok();
        let decided = local.decide_at(question, noon());
        if is_for_the_server(question, said.as_ref()) {
            assert_eq!(decided, None, "{question}");
            continue;
        }
        if decided != said {
            return Err(format!("{question}: the server says {said:?}, the client {decided:?}"));
        }
        let reason = said.map_or("", |said| said.reason.as_str());
        *reasons.lock().unwrap().entry(reason).or_default() += 1;
    }
    Ok(())
}

/// Takes facts of the policy away, a few at a time.
fn shrink(facts: &mut Facts, step: usize) -> Vec<Change> {
    let assignments = facts.assignments().skip(step).step_by(CHANGES).take(3);
    let keys: Vec<_> = assignments.map(|it| FactKey::Assignment(it.id.clone())).collect();
    let shares = facts.shares().skip(step).step_by(CHANGES).take(2);
    let shares = shares.map(|it| FactKey::Share(it.key.clone()));
    let people = facts.people().skip(step).take(1).map(|it| FactKey::Person(it.id.clone()));
    let keys = keys.into_iter().chain(shares.collect::<Vec<_>>()).chain(people);
    let changes: Vec<_> = keys.map(|key| Change::Delete { key, cascade: true }).collect();
    // What the policy still names stays.
    changes.into_iter().filter(|change| facts.apply(std::slice::from_ref(change)).is_ok()).collect()
}

#[test]
fn a_client_that_follows_says_what_the_server_says() {
    let server = Server::start();
    server.set_clock(NOON);
    let (tenants, changed) = (AtomicUsize::new(0), AtomicU64::new(0));
    let reasons: Mutex<BTreeMap<&'static str, u64>> = Mutex::default();
    for_worlds(WORLDS, QUESTIONS, |genome| {
        let mut facts = genome.facts();
        let tenant = format!("world-{}", tenants.fetch_add(1, Ordering::Relaxed));
        let door = server.tenant(&tenant, &genome.changes()).map_err(|error| error.to_string())?;
        let questions = questions(genome, &facts);
        let client = door.client().at_least(Revision::default());
        let local = door.block_on(async { client.follow(PATIENT) });
        door.block_on(local.wait_for(Revision::new(1)));
        compare(&door, &local, &questions, &reasons)?;
        for step in 0..CHANGES {
            let changes: Vec<_> = shrink(&mut facts, step).iter().map(change_to_wire).collect();
            let applied = door.block_on(client.apply(ChangeSet::new(changes)));
            let revision = applied.map_err(|error| error.to_string())?.revision;
            door.block_on(local.wait_for(revision));
            compare(&door, &local, &questions, &reasons)?;
            changed.fetch_add(1, Ordering::Relaxed);
        }
        drop(local);
        server.forget(&tenant);
        Ok(())
    });
    let reasons = reasons.into_inner().unwrap();
    let decided: u64 = reasons.values().sum();
    let changed = changed.into_inner();
    println!("{decided} decisions in process are the server's, {changed} changes: {reasons:?}");
    assert!(decided > u64::from(WORLDS) * QUESTIONS as u64 && reasons.len() >= 12, "{reasons:?}");
    server.stop();
}

/// The server with a tenant of one report, which Ana may view, and the question whether she may.
fn one_report(server: &Server) -> (Door<'_>, Question) {
    let bundle = "
resource_types: {Report: {operations: [View]}}
access_levels: [{type: Report, name: Viewer, operations: {View: allowed}}]
people: [{id: ana}]
accounts: [{id: ana-1, owner: ana}]
resources: [{type: Report, id: r}]
assignments: [{id: a-1, to: person:ana, level: Report/Viewer, on: Report:r}]
";
    let changes = pdp_bundle::parse("bundle", bundle).unwrap().changes();
    let door = server.tenant("acme", &changes).unwrap();
    let resource = Resource::new("Report", "r");
    (door, Question::new(Subject::person("ana"), Permission::operation("View"), resource))
}

fn put_person(id: &str) -> ChangeSet {
    let bundle = pdp_bundle::parse("bundle", &format!("people: [{{id: {id}}}]")).unwrap();
    ChangeSet::new(bundle.changes().iter().map(change_to_wire).collect())
}

#[test]
fn what_is_not_here_or_stale_is_asked_of_the_server() {
    let server = Server::start();
    let (door, question) = one_report(&server);
    let client = door.client().clone();
    door.block_on(async {
        let local = client.follow(PATIENT);
        local.wait_for(Revision::new(1)).await;
        assert!(local.decide(&question).unwrap().is_allow());
        assert!(local.staleness().is_some());
        // An account may be in a session.
        let account = Question { subject: Subject::account("ana-1"), ..question.clone() };
        assert_eq!(local.decide(&account), None);
        assert_eq!(local.check(&account).await.unwrap().reason, Reason::NotGranted);
        // A revision that has not arrived is waited for by the server.
        let ahead = client.at_least(Revision::new(2)).follow(PATIENT);
        ahead.wait_for(Revision::new(1)).await;
        assert_eq!(ahead.decide(&question), None);
        client.apply(put_person("bo")).await.unwrap();
        assert_eq!(ahead.check(&question).await.unwrap().revision, Revision::new(2));
        ahead.wait_for(Revision::new(2)).await;
        assert!(ahead.decide(&question).unwrap().is_allow());

        let impatient = client.follow(LocalOptions::with_staleness(Duration::ZERO));
        impatient.wait_for(Revision::new(2)).await;
        while impatient.staleness() == Some(Duration::ZERO) {
            std::hint::spin_loop();
        }
        assert_eq!(impatient.decide(&question), None);
        assert!(impatient.check(&question).await.unwrap().is_allow());
    });
    server.stop();
}

#[test]
fn a_policy_of_another_history_is_read_anew() {
    let server = Server::start();
    let (door, question) = one_report(&server);
    let client = door.client().at_least(Revision::default());
    let local = door.block_on(async { client.follow(PATIENT) });
    door.block_on(local.wait_for(Revision::new(1)));
    assert!(local.decide(&question).unwrap().is_allow());

    server.forget("acme");
    let changes = pdp_bundle::parse("bundle", "people: [{id: ana}, {id: cy}]").unwrap().changes();
    let door = server.tenant("acme", &changes).unwrap();
    door.block_on(async {
        for person in ["dan", "eve"] {
            client.apply(put_person(person)).await.unwrap();
        }
        local.wait_for(Revision::new(3)).await;
    });
    assert_eq!(local.decide(&question).unwrap().reason, Reason::UnknownResource);
    server.stop();
}

#[test]
fn without_a_server_it_decides_for_as_long_as_it_may_and_then_fails_closed() {
    let server = Server::start();
    let (door, question) = one_report(&server);
    let client = door.client().clone();
    let (local, strict) = door.block_on(async {
        let local = client.follow(PATIENT);
        local.wait_for(Revision::new(1)).await;
        let strict = client.follow(LocalOptions::with_staleness(Duration::ZERO));
        strict.wait_for(Revision::new(1)).await;
        (local, strict)
    });
    let runtime = server.stop();
    assert!(local.decide(&question).unwrap().is_allow());
    runtime.block_on(async {
        assert!(local.check(&question).await.unwrap().is_allow());
        assert!(strict.check(&question).await.is_err());
    });
    drop((local, strict));
}
