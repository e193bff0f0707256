//! Random worlds through everything that carries policies and answers: bundles, the wire, the
//! store. What comes out is what went in.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};

use pdp_engine::compile::compile;
use pdp_engine::delegate::{DelegationQuestion, explain_delegation};
use pdp_engine::explain::explain;
use pdp_engine::facts::Facts;
use pdp_engine::id::TenantId;
use pdp_engine::query::{Decision, Malformed, Question, Revision};
use pdp_engine::session::{Obligations, SessionQuestion, explain_session};
use pdp_engine::snapshot::Snapshot;
use pdp_engine::vault::{VaultQuestion, explain_vault};
use pdp_server::clock::Clock;
use pdp_server::publish::{Apply, DEFAULT_TENANT, Publisher};
use pdp_server::store::Store;
use pdp_tests::door::{self, Door, Server};
use pdp_tests::oracle::{self, Answer, Oracle};
use pdp_tests::proof::for_worlds;
use pdp_tests::world::NOON;

/// What the oracle says.
type Expected = Result<Answer, oracle::Refused>;

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
        let open =
            || Publisher::open(Store::open(folder.path()).unwrap(), Clock::system()).unwrap();
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
    let (worlds, answers) = (AtomicUsize::new(0), [const { AtomicUsize::new(0) }; 4]);
    for_worlds(96, 30, |genome| {
        let facts = genome.facts();
        let n = worlds.fetch_add(1, Ordering::Relaxed);
        let door = server
            .tenant(&format!("world-{n}"), &genome.changes())
            .map_err(|error| error.to_string())?;
        if door.export() != facts {
            return Err("what the server exports is not what was applied".to_owned());
        }
        let asked = Asked { door: &door, snapshot: &compile(&facts, Revision::new(1)) };
        let oracle = Oracle::new(&facts, NOON);
        let count = |family: usize| answers[family].fetch_add(1, Ordering::Relaxed);
        for (question, _) in genome.questions(&facts) {
            let expected = oracle.decide(&question.ask());
            asked.access(&question.ask(), expected).map_err(|why| format!("{question}: {why}"))?;
            count(0);
        }
        for (question, _) in genome.delegations(&facts) {
            let expected = oracle.decide_delegation(&question.ask());
            let outcome = asked.delegation(&question.ask(), expected);
            outcome.map_err(|why| format!("{question:?}: {why}"))?;
            count(1);
        }
        for (question, _) in genome.vault(&facts) {
            let expected = oracle.decide_vault(&question.ask());
            asked.vault(&question.ask(), expected).map_err(|why| format!("{question:?}: {why}"))?;
            count(2);
        }
        // A server is told of no sessions: the policy alone decides.
        for (question, _, _) in genome.sessions(&facts) {
            let expected = oracle.decide_session(&question.ask());
            let outcome = asked.session(&question.ask(), expected);
            outcome.map_err(|why| format!("{question:?}: {why}"))?;
            count(3);
        }
        Ok(())
    });
    println!("{answers:?} questions of each family about {worlds:?} worlds over gRPC");
    server.stop();
}

/// A world behind the door and in process.
struct Asked<'a> {
    door: &'a Door<'a>,
    snapshot: &'a Snapshot,
}

// === impl Asked ===

impl Asked<'_> {
    fn access(&self, question: &Question<'_>, expected: Expected) -> Result<(), String> {
        let told = self.door.explain(question);
        same(told, explain(self.snapshot, question, NOON), expected, |it| it.decision)
    }

    fn delegation(
        &self,
        question: &DelegationQuestion<'_>,
        expected: Expected,
    ) -> Result<(), String> {
        let told = self.door.explain_delegation(question);
        same(told, explain_delegation(self.snapshot, question, NOON), expected, |it| it.decision)
    }

    fn vault(&self, question: &VaultQuestion<'_>, expected: Expected) -> Result<(), String> {
        let told = self.door.explain_vault(question, true);
        same(told, explain_vault(self.snapshot, question, NOON), expected, |it| it.decision)
    }

    fn session(
        &self,
        question: &SessionQuestion<'_>,
        expected: Result<(Answer, Option<Obligations>), oracle::Refused>,
    ) -> Result<(), String> {
        let told = self.door.explain_session(question);
        let (expected, due) = match expected {
            Ok((answer, due)) => (Ok(answer), due),
            Err(refused) => (Err(refused), None),
        };
        let obligations = told.as_ref().ok().and_then(|it| it.decided.obligations.clone());
        if obligations != due {
            return Err(format!("{obligations:?}, not {due:?}"));
        }
        let here = explain_session(self.snapshot, question, NOON);
        same(told, here, expected, |it| it.decided.decision)
    }
}

/// What came over the wire is what the engine says in process, every part of it, and the oracle's
/// answer.
fn same<T: PartialEq + Debug>(
    told: Result<T, door::Refused>,
    here: Result<T, Malformed>,
    expected: Expected,
    decision: impl Fn(&T) -> Decision,
) -> Result<(), String> {
    match (&told, expected) {
        (Ok(told), Ok(answer)) => {
            let Decision { effect, reason, .. } = decision(told);
            if (effect, reason) != answer {
                return Err(format!("{effect:?} {reason:?}, not {answer:?}"));
            }
        }
        (Err(_), Err(oracle::Refused)) => {}
        (told, answer) => return Err(format!("{told:?}, not {answer:?}")),
    }
    if told.as_ref().ok() != here.as_ref().ok() {
        return Err(format!("the explanation changed on the wire: {told:#?}, not {here:#?}"));
    }
    Ok(())
}
