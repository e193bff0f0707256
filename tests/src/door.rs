//! A whole server in this process, and its doors as callers use them: gRPC with the client library,
//! and AuthZEN with an HTTP client.
//!
//! The server is the one that ships, wired by its own `run`, on loopback ports that the system
//! chooses, with its store in a temporary folder and a clock that tests set.

pub mod apart;
pub mod authzen;
pub mod envoy;
pub mod page;
pub mod sessions;
pub mod wire;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use pdp_bundle::case::{Answer, Detail};
use pdp_bundle::question::AnyQuestion;
use pdp_client::engine::{
    change_to_wire, delegation_explanation_from_wire, explanation_from_wire, fact_from_wire,
    session_explanation_from_wire, vault_explanation_from_wire,
};
use pdp_client::{ChangeSet, Client, Code, Error, Question, v1};
use pdp_engine::delegate::{self, DelegationExplanation};
use pdp_engine::explain::Explanation;
use pdp_engine::facts::{Change, Facts};
use pdp_engine::id::PersonId;
use pdp_engine::list::ApprovalQuestion;
use pdp_engine::query;
use pdp_engine::session::{SessionExplanation, SessionQuestion};
use pdp_engine::time::Timestamp;
use pdp_engine::vault::{VaultExplanation, VaultQuestion};
use pdp_proto::ext_authz::authorization_client::AuthorizationClient;
use pdp_proto::v1::decision_service_client::DecisionServiceClient;
use pdp_server::clock::Clock;
use pdp_server::config::Settings;
use pdp_server::{Listeners, RunError, run};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};

use crate::http::{Http, Protocol};

/// How many changes one request may hold.
pub const MAX_CHANGES: usize = 10_000;

/// How many questions one batch may hold.
pub const MAX_BATCH: usize = 1_000;

/// A running server.
pub struct Server {
    runtime: Runtime,
    client: Client,
    channel: Channel,
    decisions: DecisionServiceClient<Channel>,
    grpc: SocketAddr,
    http: SocketAddr,
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
        Self::start_with(Settings::default())
    }

    /// The same, with settings of its own beside the folder, the ports and no grace.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_with(settings: Settings) -> Self {
        let runtime = Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let any_port = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let settings = Settings {
            data: Some(folder.path().to_path_buf()),
            grpc: any_port,
            http: any_port,
            grace_ms: Some(0),
            // However busy the machine is.
            max_queue_ms: settings.max_queue_ms.or(Some(60_000)),
            ..settings
        };
        let config = settings.into_config(None).unwrap();
        let listeners = Listeners::bind(&config).unwrap();
        let grpc = listeners.grpc_address().unwrap();
        let endpoint = format!("http://{grpc}");
        let http = listeners.http_address().unwrap();
        let time = Arc::new(AtomicI64::new(0));
        let shown = Arc::clone(&time);
        let clock = Clock::from_fn(move || Timestamp::from_micros(shown.load(Ordering::SeqCst)));
        let (shutdown, stop) = oneshot::channel::<()>();
        let stopped = async move { drop(stop.await) };
        let serving = runtime.spawn(run(config, listeners, clock, stopped));
        let deadline = Duration::from_secs(60);
        let (client, channel) = runtime.block_on(async {
            let channel = Endpoint::from_shared(endpoint.clone()).unwrap().connect_lazy();
            let client = Client::builder(endpoint).deadline(deadline).connect().await.unwrap();
            // Retried until the policy is loaded.
            client.list_tenants().collect().await.unwrap();
            (client, channel)
        });
        let decisions = DecisionServiceClient::new(channel.clone());
        let clock = time;
        Self { runtime, client, channel, decisions, grpc, http, clock, shutdown, serving, folder }
    }

    /// External authorization, as Envoy asks for it.
    #[must_use]
    pub fn authorization(&self) -> AuthorizationClient<Channel> {
        AuthorizationClient::new(self.channel.clone())
    }

    /// Sets the evaluation time.
    pub fn set_clock(&self, now: Timestamp) {
        self.clock.store(now.as_micros(), Ordering::SeqCst);
    }

    /// The address of the gRPC door.
    #[must_use]
    pub const fn grpc_address(&self) -> SocketAddr {
        self.grpc
    }

    /// The address of the HTTP door.
    #[must_use]
    pub const fn http_address(&self) -> SocketAddr {
        self.http
    }

    /// A client of the HTTP door.
    #[must_use]
    pub fn http(&self, protocol: Protocol) -> Http {
        Http::new(self.runtime.handle().clone(), self.http, protocol)
    }

    /// Runs something of a test's own.
    pub fn block_on<F: Future>(&self, work: F) -> F::Output {
        self.runtime.block_on(work)
    }

    /// Applies change sets of at most [`MAX_CHANGES`] to the tenant `default`, which must be empty.
    ///
    /// # Errors
    /// What the server says to a change set.
    pub fn default_tenant(&self, changes: &[Change]) -> Result<Door<'_>, Error> {
        self.default_tenant_at(0, changes)
    }

    /// The same, where it is at this revision.
    ///
    /// # Errors
    /// What the server says to a change set.
    pub fn default_tenant_at(&self, revision: u64, changes: &[Change]) -> Result<Door<'_>, Error> {
        self.runtime.block_on(self.applied(self.client.clone(), revision, changes))
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
            self.applied(self.client.for_tenant(id), 0, changes).await
        })
    }

    /// Deletes a tenant.
    ///
    /// # Panics
    /// If it does not exist.
    pub fn forget(&self, id: &str) {
        self.runtime.block_on(self.client.delete_tenant(id)).unwrap();
    }

    async fn applied(
        &self,
        client: Client,
        revision: u64,
        changes: &[Change],
    ) -> Result<Door<'_>, Error> {
        let mut revision = pdp_client::Revision::new(revision);
        for part in changes.chunks(MAX_CHANGES) {
            let set = ChangeSet::new(part.iter().map(change_to_wire).collect());
            revision = client.apply(set.expecting(revision)).await?.revision;
        }
        let (runtime, decisions) = (&self.runtime, self.decisions.clone());
        Ok(Door { runtime, client: client.at_least(revision), decisions })
    }

    /// Stops it, and holds that it ends well. What it ran on is left for clients without a server.
    ///
    /// # Panics
    /// If it ends with an error.
    pub fn stop(self) -> Runtime {
        let Self { runtime, client, channel, decisions, shutdown, serving, folder, .. } = self;
        drop((client, channel, decisions));
        shutdown.send(()).unwrap();
        runtime.block_on(serving).unwrap().unwrap();
        folder.close().unwrap();
        runtime
    }
}

/// One tenant's policy behind the gRPC door.
pub struct Door<'s> {
    runtime: &'s Runtime,
    client: Client,
    decisions: DecisionServiceClient<Channel>,
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

    /// Asks through every call of the question's family, which must agree.
    ///
    /// # Panics
    /// If they do not agree, or the server refuses for another reason than a malformed question.
    #[must_use]
    pub fn ask(&self, question: &AnyQuestion, detail: Detail) -> Answer {
        let (answered, approval) = match question {
            AnyQuestion::Access(it) => {
                let asked = it.as_question();
                let explained = self.explain(&asked);
                let answer = explained.map(|told| Answer::explained(&told, it));
                (answer, Some(ApprovalQuestion::Dual(asked)))
            }
            AnyQuestion::Delegation(it) => {
                let asked = it.as_question();
                let explained = self.explain_delegation(&asked);
                let answer = explained.map(|told| Answer::explained_delegation(&told, it));
                (answer, Some(ApprovalQuestion::Delegation(asked)))
            }
            AnyQuestion::Vault(it) => {
                let explained = self.explain_vault(&it.as_question(), it.routing);
                (explained.map(|told| Answer::explained_vault(&told, it)), None)
            }
            AnyQuestion::Session(it) => {
                let asked = it.as_question();
                let explained = self.explain_session(&asked);
                let answer = explained.map(|told| Answer::explained_session(&told, it));
                (answer, Some(ApprovalQuestion::Session(asked)))
            }
        };
        match (answered, approval.filter(|_| detail.approvers)) {
            (Ok(answer), Some(approval)) => {
                let listed = self.client.list_approvers(wire::approval(&approval)).collect();
                let listed = self.runtime.block_on(listed).unwrap().items.into_iter();
                answer.with_approvers(listed.map(|it| PersonId::new(it.value).unwrap()).collect())
            }
            (Ok(answer), None) => answer,
            (Err(Refused { code, message }), _) => Answer::Error { code, message },
        }
    }

    /// What Check, BatchCheck, CheckStream and Explain say of an operation or a right; they must agree.
    ///
    /// # Errors
    /// [`Refused`] by all of them.
    pub fn explain(&self, question: &query::Question<'_>) -> Result<Explanation, Refused> {
        let told = self.told(&wire::access(question))?;
        Ok(explanation_from_wire(told).unwrap())
    }

    /// The same of a vault action.
    ///
    /// # Errors
    /// [`Refused`] by all of them.
    pub fn explain_vault(
        &self,
        question: &VaultQuestion<'_>,
        routing: bool,
    ) -> Result<VaultExplanation, Refused> {
        let told = self.told(&Question { routing, ..wire::vault(question) })?;
        Ok(vault_explanation_from_wire(told).unwrap())
    }

    /// The same of a session.
    ///
    /// # Errors
    /// [`Refused`] by all of them.
    pub fn explain_session(
        &self,
        question: &SessionQuestion<'_>,
    ) -> Result<SessionExplanation, Refused> {
        let told = self.told(&wire::session(question))?;
        Ok(session_explanation_from_wire(told).unwrap())
    }

    /// What CheckDelegation and ExplainDelegation say; they must agree.
    ///
    /// # Errors
    /// [`Refused`] by both.
    pub fn explain_delegation(
        &self,
        question: &delegate::DelegationQuestion<'_>,
    ) -> Result<DelegationExplanation, Refused> {
        let wire = wire::delegation(question);
        let (checked, explained) = self.runtime.block_on(async {
            (
                self.client.check_delegation(&wire).await.map_err(Refused::from),
                self.client.explain_delegation(&wire).await.map_err(Refused::from),
            )
        });
        match (checked, explained) {
            (Ok(checked), Ok(explained)) => {
                assert_eq!(explained.decision, checked, "CheckDelegation: {wire}");
                Ok(delegation_explanation_from_wire(explained.message).unwrap())
            }
            (Err(checked), Err(explained)) => {
                assert_eq!(explained, checked, "CheckDelegation: {wire}");
                Err(checked)
            }
            (checked, explained) => panic!(
                "the doors disagree on {wire}: CheckDelegation {checked:?}, \
                 ExplainDelegation {explained:?}"
            ),
        }
    }

    /// What CheckStream answers, with another question before it and behind it.
    async fn stream(&self, wire: &Question) -> Result<pdp_client::Decision, Error> {
        let (mut ask, mut answers) = self.client.check_stream().await.unwrap();
        let unreadable = Question::new(
            pdp_client::Subject::person(""),
            pdp_client::Permission::operation("View"),
            pdp_client::Resource::new("Report", "absence"),
        );
        for question in [&unreadable, wire, &unreadable] {
            ask.ask(question).await.unwrap();
        }
        drop(ask);
        let mut told = Vec::new();
        while let Some(answer) = answers.next().await {
            told.push(answer);
        }
        assert_eq!(told.len(), 3, "{wire}");
        let (after, answer) = (told.pop().unwrap(), told.pop().unwrap());
        for other in [told.pop().unwrap(), after] {
            assert_eq!(other.unwrap_err().reason(), Some("MALFORMED"), "{wire}");
        }
        answer
    }

    /// What Explain says, whose decision Check, BatchCheck and CheckStream must give too, obligations
    /// and all.
    fn told(&self, wire: &Question) -> Result<v1::Explanation, Refused> {
        let (one, batch, explained, streamed) = self.runtime.block_on(async {
            let batch = self.client.batch_check(std::slice::from_ref(wire)).await.unwrap();
            (
                self.client.check(wire).await.map_err(Refused::from),
                batch.results.into_iter().next().unwrap(),
                self.client.explain(wire).await.map_err(Refused::from),
                self.stream(wire).await,
            )
        });
        match (&one, &streamed) {
            (Ok(one), Ok(streamed)) => assert_eq!(streamed, one, "CheckStream and Check: {wire}"),
            (Err(one), Err(streamed)) => {
                let streamed = streamed.refusal().unwrap();
                assert_eq!(streamed.code, Code::InvalidArgument, "CheckStream: {wire}");
                // The path is a detail here, and in Check it is in the sentence too.
                assert!(one.message.ends_with(&streamed.message), "{one:?} {streamed:?}");
                let field = streamed.fields.first().map(|it| format!("`{}`: ", it.field));
                assert!(one.message.starts_with(&field.unwrap()), "{one:?} {streamed:?}");
            }
            _ => panic!("Check says {one:?} and CheckStream {streamed:?} to {wire}"),
        }
        match (one, batch, explained) {
            (Ok(one), Ok(in_batch), Ok(explained)) => {
                assert_eq!(in_batch, one, "BatchCheck and Check: {wire}");
                assert_eq!(explained.decision, one, "Explain and Check: {wire}");
                Ok(explained.message)
            }
            (Err(one), Err(in_batch), Err(explained)) => {
                assert_eq!(explained, one, "Explain and Check refuse differently: {wire}");
                assert_eq!(in_batch.code, Code::InvalidArgument, "BatchCheck: {wire}");
                Err(one)
            }
            (one, in_batch, explained) => panic!(
                "the doors disagree on {wire}: Check {one:?}, BatchCheck {in_batch:?}, \
                 Explain {explained:?}"
            ),
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

/// What the server says to a question that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// `INVALID_ARGUMENT`.
    pub code: String,
    /// Why.
    pub message: String,
}

// === impl Refused ===

impl From<Error> for Refused {
    /// Anything but a malformed question is a failure of the test.
    fn from(error: Error) -> Self {
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        Self { code: "INVALID_ARGUMENT".to_owned(), message: error.to_string() }
    }
}
