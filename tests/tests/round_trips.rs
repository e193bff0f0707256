//! Random worlds through everything that carries policies and answers: bundles, the wire, the
//! store. What comes out is what went in.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::sync::atomic::{AtomicUsize, Ordering};

use pdp_engine::compile::compile;
use pdp_engine::explain::explain;
use pdp_engine::facts::Facts;
use pdp_engine::id::TenantId;
use pdp_engine::query::Revision;
use pdp_server::publish::{Apply, DEFAULT_TENANT, Publisher};
use pdp_server::store::Store;
use pdp_tests::door::Server;
use pdp_tests::oracle::{Oracle, Refused};
use pdp_tests::proof::for_worlds;
use pdp_tests::world::NOON;

#[test]
fn a_bundle_reads_back_as_the_policy_it_was_written_from() {
    for_worlds(1_500, 0, |genome| {
        let facts = genome.facts();
        let text = pdp_bundle::export::export(&facts);
        let bundle = pdp_bundle::parse("export", &text).map_err(|error| error.to_string())?;
        let mut again = Facts::default();
        again.apply(&bundle.changes()).map_err(|error| error.to_string())?;
        match (again == facts, pdp_bundle::export::export(&again) == text) {
            (true, true) => Ok(()),
            (same, _) => Err(format!("same facts: {same}; the second export differs:\n{text}")),
        }
    });
}

#[test]
fn the_store_gives_back_what_was_acknowledged() {
    for_worlds(24, 0, |genome| {
        let folder = tempfile::tempdir().unwrap();
        let tenant = TenantId::new(DEFAULT_TENANT).unwrap();
        let changes = genome.changes();
        let open = || Publisher::open(Store::open(folder.path()).unwrap()).unwrap();
        let request = Apply {
            changes: &changes,
            expected: None,
            dry_run: false,
            request_id: None,
            on_behalf_of: None,
        };
        let receipt = open().apply(&tenant, request).map_err(|error| error.to_string())?;
        let held = open().read(&tenant, |revision, facts| (revision, facts.clone())).unwrap();
        match held == (receipt.revision, genome.facts()) {
            true => Ok(()),
            false => Err("the store gives back something else".to_owned()),
        }
    });
}

#[test]
fn the_wire_carries_policies_questions_and_explanations_whole() {
    let server = Server::start();
    server.set_clock(NOON);
    let (worlds, answers) = (AtomicUsize::new(0), AtomicUsize::new(0));
    for_worlds(96, 60, |genome| {
        let facts = genome.facts();
        let n = worlds.fetch_add(1, Ordering::Relaxed);
        let door = server
            .tenant(&format!("world-{n}"), &genome.changes())
            .map_err(|error| error.to_string())?;
        if door.export() != facts {
            return Err("what the server exports is not what was applied".to_owned());
        }
        let snapshot = compile(&facts, Revision::new(1));
        let oracle = Oracle::new(&facts, NOON);
        for (question, _) in genome.questions(&facts) {
            let asked = question.ask();
            let over_wire = door.explain(&question);
            let expected = oracle.decide(&asked);
            match (&over_wire, expected) {
                (Some(explanation), Ok(answer)) => {
                    let decision = explanation.decision;
                    if (decision.effect, decision.reason) != answer {
                        return Err(format!("{question}: {decision:?}, not {answer:?}"));
                    }
                }
                (None, Err(Refused)) => {}
                (other, answer) => return Err(format!("{question}: {other:?}, not {answer:?}")),
            }
            if over_wire != explain(&snapshot, &asked, NOON).ok() {
                return Err(format!("{question}: the explanation changed on the wire"));
            }
            answers.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    });
    println!("{answers:?} questions about {worlds:?} worlds over gRPC");
    server.stop();
}
