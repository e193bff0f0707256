//! A whole server in this process, and its gRPC door as callers use it: the client library.
//!
//! The server is the one that ships, wired by its own `run`, on loopback ports that the system
//! chooses, with its store in a temporary folder and a clock that tests set.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use pdp_bundle::case::Answer;
use pdp_bundle::question::{OwnedObject, OwnedQuestion, OwnedSubject};
use pdp_client::engine::{change_to_wire, explanation_from_wire, fact_from_wire};
use pdp_client::{
    ChangeSet, Client, Code, Decision, Error, Permission, Question, Resource, Subject,
};
use pdp_engine::explain::Explanation;
use pdp_engine::facts::{Change, Facts};
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::{Effect, Reason};
use pdp_engine::time::Timestamp;
use pdp_server::clock::Clock;
use pdp_server::config::Settings;
use pdp_server::{Listeners, RunError, run};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How many changes one request may hold.
pub const MAX_CHANGES: usize = 10_000;

/// How many questions one batch may hold.
pub const MAX_BATCH: usize = 1_000;

/// A running server.
pub struct Server {
    runtime: Runtime,
    client: Client,
    clock: Arc<AtomicI64>,
    shutdown: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), RunError>>,
    folder: TempDir,
}

// === impl Server ===

impl Server {
    /// Starts one with an empty store.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let any_port = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let settings = Settings {
            data: Some(folder.path().to_path_buf()),
            grpc: any_port,
            http: any_port,
            grace_ms: Some(0),
            ..Settings::default()
        };
        let config = settings.into_config(None).unwrap();
        let listeners = Listeners::bind(&config).unwrap();
        let endpoint = format!("http://{}", listeners.grpc_address().unwrap());
        let time = Arc::new(AtomicI64::new(0));
        let shown = Arc::clone(&time);
        let clock = Clock::from_fn(move || Timestamp::from_micros(shown.load(Ordering::SeqCst)));
        let (shutdown, stop) = oneshot::channel::<()>();
        let stopped = async move { drop(stop.await) };
        let serving = runtime.spawn(run(config, listeners, clock, stopped));
        let deadline = Duration::from_secs(60);
        let client = runtime.block_on(async {
            let client = Client::builder(endpoint).deadline(deadline).connect().await.unwrap();
            // Retried until the policy is loaded.
            client.list_tenants().collect().await.unwrap();
            client
        });
        Self { runtime, client, clock: time, shutdown, serving, folder }
    }

    /// Sets the evaluation time.
    pub fn set_clock(&self, now: Timestamp) {
        self.clock.store(now.as_micros(), Ordering::SeqCst);
    }

    /// A new tenant with this policy, applied in change sets of at most [`MAX_CHANGES`].
    ///
    /// # Errors
    /// What the server says to a change set.
    ///
    /// # Panics
    /// If the tenant is not created.
    pub fn tenant(&self, id: &str, changes: &[Change]) -> Result<Door<'_>, Error> {
        self.runtime.block_on(async {
            self.client.create_tenant(id).await.unwrap();
            let client = self.client.for_tenant(id);
            let mut revision = pdp_client::Revision::new(0);
            for part in changes.chunks(MAX_CHANGES) {
                let set = ChangeSet::new(part.iter().map(change_to_wire).collect());
                revision = client.apply(set.expecting(revision)).await?.revision;
            }
            Ok(Door { runtime: &self.runtime, client: client.at_least(revision) })
        })
    }

    /// Stops it, and holds that it ends well.
    ///
    /// # Panics
    /// If it ends with an error.
    pub fn stop(self) {
        let Self { runtime, client, shutdown, serving, folder, .. } = self;
        drop(client);
        shutdown.send(()).unwrap();
        runtime.block_on(serving).unwrap().unwrap();
        folder.close().unwrap();
    }
}

/// One tenant's policy behind the gRPC door.
pub struct Door<'s> {
    runtime: &'s Runtime,
    client: Client,
}

// === impl Door ===

impl Door<'_> {
    /// The client, for measurements of its own.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Runs what the client does.
    pub fn block_on<F: Future>(&self, work: F) -> F::Output {
        self.runtime.block_on(work)
    }

    /// Asks through Check, BatchCheck and Explain, which must agree.
    ///
    /// # Panics
    /// If the three do not agree, or the server refuses for another reason than a malformed
    /// question.
    #[must_use]
    pub fn ask(&self, question: &OwnedQuestion) -> Answer {
        let wire = to_wire(question);
        self.runtime.block_on(async {
            let one = self.client.check(&wire).await.map_err(|error| refused(&error));
            let batch = self.client.batch_check(std::slice::from_ref(&wire)).await.unwrap();
            let explained = self.client.explain(&wire).await.map_err(|error| refused(&error));
            match (one, explained, batch.results.into_iter().next().unwrap()) {
                (Ok(one), Ok(explained), Ok(in_batch)) => {
                    let expected = decided(&one);
                    assert_eq!(decided(&in_batch), expected, "BatchCheck and Check: {question}");
                    assert_eq!(decided(&explained.decision), expected, "Explain: {question}");
                    let explanation = explanation_from_wire(explained.message).unwrap();
                    Answer::explained(&explanation, question)
                }
                (Err((code, message)), Err((other, _)), Err(_)) => {
                    assert_eq!(code, other, "Explain and Check refuse differently: {question}");
                    Answer::Error { code, message }
                }
                (one, explained, in_batch) => panic!(
                    "the doors disagree on {question}: Check {one:?}, Explain {explained:?}, \
                     BatchCheck {in_batch:?}"
                ),
            }
        })
    }

    /// What Explain says, every part of it; `None` where the question is malformed.
    ///
    /// # Panics
    /// If the server refuses for another reason.
    #[must_use]
    pub fn explain(&self, question: &crate::world::OwnedQuestion) -> Option<Explanation> {
        let object = |(type_name, id): (String, String)| OwnedObject { type_name, id };
        let of = question.clone();
        let wire = to_wire(&OwnedQuestion {
            subject: match of.by_account {
                true => OwnedSubject::Account(of.subject),
                false => OwnedSubject::Person(of.subject),
            },
            kind: of.kind,
            permission: of.permission,
            resource: object(of.resource),
            counterpart: of.counterpart.map(object),
            routing: of.routing,
        });
        match self.runtime.block_on(self.client.explain(&wire)) {
            Ok(explained) => Some(explanation_from_wire(explained.message).unwrap()),
            Err(error) => {
                assert_eq!(error.code(), Code::InvalidArgument, "{question}: {error}");
                None
            }
        }
    }

    /// Everything the policy holds, as the server exports it.
    ///
    /// # Panics
    /// If the export does not come whole.
    #[must_use]
    pub fn export(&self) -> Facts {
        let exported = self
            .runtime
            .block_on(async { self.client.export().await.unwrap().collect().await.unwrap() });
        Facts::load(exported.facts.into_iter().map(|fact| fact_from_wire(fact).unwrap())).unwrap()
    }

    /// The effects of many questions, in batches.
    ///
    /// # Panics
    /// If the server refuses one.
    #[must_use]
    pub fn effects(&self, questions: &[Question]) -> Vec<pdp_client::Effect> {
        let mut effects = Vec::with_capacity(questions.len());
        for part in questions.chunks(MAX_BATCH) {
            let batch = self.runtime.block_on(self.client.batch_check(part)).unwrap();
            effects.extend(batch.results.into_iter().map(|result| result.unwrap().effect));
        }
        effects
    }
}

fn to_wire(question: &OwnedQuestion) -> Question {
    let OwnedQuestion { subject, kind, permission, resource, counterpart, routing } =
        question.clone();
    let object = |OwnedObject { type_name, id }| Resource { type_name, id };
    Question {
        subject: match subject {
            OwnedSubject::Person(id) => Subject::Person(id),
            OwnedSubject::Account(id) => Subject::Account(id),
        },
        permission: match kind {
            PermissionKind::Operation => Permission::Operation(permission),
            PermissionKind::Right => Permission::Right(permission),
        },
        resource: object(resource),
        counterpart: counterpart.map(object),
        routing,
    }
}

/// The decision in the engine's words.
fn decided(decision: &Decision) -> (Effect, Reason) {
    let (effect, reason) = (decision.effect.to_string(), decision.reason.to_string());
    let effect = Effect::ALL.into_iter().find(|it| it.as_str() == effect);
    let reason = Reason::ALL.into_iter().find(|it| it.as_str() == reason);
    (effect.unwrap(), reason.unwrap())
}

fn refused(error: &Error) -> (String, String) {
    let code = match error.code() {
        Code::InvalidArgument => "INVALID_ARGUMENT".to_owned(),
        other => format!("{other:?}"),
    };
    (code, error.to_string())
}
