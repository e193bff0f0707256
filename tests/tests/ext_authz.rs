//! One answer through every door: the questions of random worlds, asked as Envoy would, get the
//! decisions that Check gives, with the same reason and revision, whoever names the subject.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use pdp_client::{Code, Decision, Question, Refusal};
use pdp_engine::list::AnyPermission;
use pdp_server::config::Settings;
use pdp_tests::door::envoy::{Asked, Envoy, Teller, Told, mapping};
use pdp_tests::door::{Door, Server, wire};
use pdp_tests::proof::for_worlds;
use pdp_tests::world::{Genome, NOON};

/// How many worlds are asked, and how many questions of each family each of them is asked.
const WORLDS: u32 = 160;
const QUESTIONS: usize = 60;

/// Every question of a world that a gateway can ask is compared: what is not the same, if anything.
fn compare(
    genome: &Genome,
    mut same: impl FnMut(Question, Asked<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let facts = genome.facts();
    for (question, _) in genome.questions(&facts) {
        let mut it = question.ask();
        it.routing = true;
        let permission = AnyPermission::Access(it.permission);
        let (subject, resource, counterpart) = (it.subject, it.resource, it.counterpart);
        same(wire::access(&it), Asked { subject, permission, resource, counterpart })?;
    }
    for (question, _) in genome.vault(&facts) {
        let it = question.ask();
        let permission = AnyPermission::Vault(it.action);
        let (subject, resource) = (it.subject, it.entity);
        same(wire::vault(&it), Asked { subject, permission, resource, counterpart: None })?;
    }
    for (question, ..) in genome.sessions(&facts) {
        let mut it = question.ask();
        it.routing = true;
        // No level can be called so, and `none` is how a gateway asks about none.
        if it.level == Some("none") {
            continue;
        }
        let permission = AnyPermission::Session(it.level);
        let (subject, resource) = (it.subject, it.computer);
        same(wire::session(&it), Asked { subject, permission, resource, counterpart: None })?;
    }
    Ok(())
}

/// Effect, reason and revision as Check gives them; `None` where it refuses the question.
fn checked(door: &Door<'_>, question: &Question) -> Option<(String, String, u64)> {
    let batch = door.block_on(door.client().batch_check(std::slice::from_ref(question))).unwrap();
    let refused = |refusal: &Refusal| assert_eq!(refusal.code, Code::InvalidArgument);
    let result = batch.results.into_iter().next().unwrap().inspect_err(refused).ok();
    result.map(|Decision { effect, reason, revision, obligations: _ }| {
        (effect.as_str().to_owned(), reason.as_str().to_owned(), revision.get())
    })
}

#[test]
fn every_world_gives_one_answer() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), mapping()).unwrap();
    let gateway = Some(file.path().to_path_buf());
    let server = Server::start_with(Settings { gateway, ..Settings::default() });
    server.set_clock(NOON);
    let (tenants, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // Without a counterpart and with one.
    let by_path = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let reasons: Mutex<BTreeMap<String, u64>> = Mutex::default();
    for_worlds(WORLDS, QUESTIONS, |genome| {
        let tenant = format!("world-{}", tenants.fetch_add(1, Ordering::Relaxed));
        let door = server.tenant(&tenant, &genome.changes()).map_err(|error| error.to_string())?;
        let envoy = Envoy::new(&server, &tenant);
        let mut tellers = Teller::ALL.into_iter().cycle();
        compare(genome, |question, asked| {
            let expected = checked(&door, &question);
            let teller = tellers.next().unwrap();
            if teller == Teller::Path && asked.path().is_some() {
                let counted = &by_path[usize::from(asked.counterpart.is_some())];
                counted.fetch_add(1, Ordering::Relaxed);
            }
            let told = envoy.ask(&asked, teller);
            let actual = told.map(|Told { effect, reason, revision }| {
                (effect.as_str().to_owned(), reason.as_str().to_owned(), revision)
            });
            if expected != actual {
                return Err(format!("{question}: Check says {expected:?}, Envoy {actual:?}"));
            }
            match expected {
                Some((_, reason, _)) => *reasons.lock().unwrap().entry(reason).or_default() += 1,
                None => drop(refused.fetch_add(1, Ordering::Relaxed)),
            }
            Ok(())
        })
    });
    let reasons = reasons.into_inner().unwrap();
    let decided: u64 = reasons.values().sum();
    println!("{decided} decisions and {} refusals are the same: {reasons:?}", refused.into_inner());
    let by_path = by_path.map(AtomicUsize::into_inner);
    println!("by a path: {by_path:?}, without a counterpart and with one");
    assert!(by_path.iter().all(|count| *count > QUESTIONS), "{by_path:?}");
    let least = u64::from(WORLDS) * u64::try_from(QUESTIONS).unwrap();
    assert!(decided > least, "only {decided} decisions");
    assert!(reasons.len() >= 20, "{} reasons only: {reasons:?}", reasons.len());
    server.stop();
}
