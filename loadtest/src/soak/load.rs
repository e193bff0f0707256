//! The mixed load of a soak. Each kind of work has a task of its own, goes at a pace that leaves the server room, and
//! takes a new connection after a while.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use pdp_client::{Client, Error, OpenRequest, Outcome, Watch};
use pdp_engine::actor::{ActorRef, Person};
use pdp_engine::facts::{Change, Fact, FactKey};
use pdp_engine::id::{AssignmentId, ObjectId, PermissionLevelId, PersonId, SessionId, TenantId};
use pdp_engine::psm::{Eligibility, EligibilityKey, EligibilityKind, EligibilityScope};
use pdp_engine::time::Window;
use pdp_server::publish::{DEFAULT_TENANT, Publisher, SessionError};
use pdp_server::session::{self as server, Open, RequestKey, RevocationId};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::drive::{Connection, LAST_ANSWERS, Script, Timing, is_clean, stream_loop};
use crate::organisation::Organisation;
use crate::questions::Ask;
use crate::targets::TargetsError;
use crate::wire::Requests;

/// How many questions a batch asks.
pub(super) const BATCH: usize = 100;

/// How many Checks are under way at once, and how many questions of a stream.
const AT_ONCE: u64 = 20;
const STREAMED_AT_ONCE: usize = 16;

/// How long a stream stays.
const STREAM: Duration = Duration::from_millis(100);

/// How many assignments come and go.
const WRITTEN: u64 = 500;

/// For how many turns a connection is kept.
const TURNS: u32 = 200;

/// Who opens sessions: somebody whom the organisation does not know.
const BROKER_S_PERSON: &str = "soak-person";

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Done {
    /// Questions in Checks.
    pub checks: u64,
    /// Questions in batches.
    pub batched: u64,
    /// Questions on streams.
    pub streamed: u64,
    /// Change sets.
    pub change_sets: u64,
    /// Sessions that were opened and ended, with their work done.
    pub sessions: u64,
    /// Watches of that work.
    pub watches: u64,
    /// Connections that asked once and went.
    pub visits: u64,
}

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Checks,
    Batches,
    Streams,
    Writes,
    Sessions,
    Watches,
    Visits,
}

/// Whoever opens sessions, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broker {
    person: PersonId,
    computer: ObjectId,
    level: PermissionLevelId,
}

/// What is sent, and what became of it.
#[derive(Debug)]
pub(super) struct Load {
    endpoint: String,
    broker: Broker,
    first: Vec<Ask>,
    checks: Requests,
    batches: Requests,
    streamed: Script,
    writes: Requests,
    done: [AtomicU64; Work::ALL.len()],
    errors: AtomicU64,
    first_error: Mutex<Option<String>>,
}

/// Load that stops when it is dropped.
#[derive(Debug)]
pub(super) struct AtWork(Vec<JoinHandle<()>>);

/// The policy of the organisation with somebody in it who may open sessions.
pub(super) fn policy(organisation: &Organisation) -> Result<(Vec<Change>, Broker), TargetsError> {
    let mut changes: Vec<Change> = organisation.changes().collect();
    let found = changes.iter().find_map(|change| match change {
        Change::Put(Fact::Psm(psm)) if psm.enabled => {
            Some((psm.computer.clone(), psm.levels.keys().next()?.clone()))
        }
        _ => None,
    });
    let none = || TargetsError::Rejected("no computer takes privileged sessions".to_owned());
    let (computer, level) = found.ok_or_else(none)?;
    let person = PersonId::new(BROKER_S_PERSON).map_err(rejected)?;
    let somebody = Person {
        id: person.clone(),
        name: None,
        login: None,
        enabled: true,
        manager: None,
        locations: Vec::new(),
        positions: Vec::new(),
        vault_privileges: std::collections::BTreeSet::default(),
    };
    let key = EligibilityKey {
        to: ActorRef::Person(person.clone()),
        level: level.clone(),
        scope: EligibilityScope::On(computer.clone()),
        kind: EligibilityKind::PreApproved,
    };
    changes.push(Change::Put(somebody.into()));
    changes.push(Change::Put(Eligibility { key, window: Window::ALWAYS }.into()));
    changes.extend(written(organisation)?.into_iter().filter(|it| matches!(it, Change::Put(_))));
    Ok((changes, Broker { person, computer, level }))
}

/// Opens so many sessions, one after the other, and ends each with its work done.
pub(super) fn come_and_go(
    publisher: &Publisher,
    broker: &Broker,
    count: usize,
) -> Result<(), TargetsError> {
    let tenant = TenantId::new(DEFAULT_TENANT).map_err(rejected)?;
    let told = |error: SessionError| TargetsError::Rejected(error.to_string());
    let Broker { person, computer, level } = broker;
    for n in 0..count {
        let name = format!("before-{n}");
        let key = RequestKey::new(&name).map_err(rejected)?;
        let id = SessionId::new(&name).map_err(rejected)?;
        let (person, computer) = (person.as_str(), computer.as_str());
        let request = Open { key: &key, person, computer, level: Some(level.as_str()) };
        publisher.open_session(&tenant, request, id).map_err(told)?;
        for work in &publisher.close_session(&tenant, &name).map_err(told)?.revocations {
            let id =
                RevocationId { session: SessionId::new(&name).map_err(rejected)?, kind: work.kind };
            publisher.acknowledge(&tenant, &id, server::Outcome::Done).map_err(told)?;
        }
    }
    Ok(())
}

/// Assignments that go and come again: each is there at first.
fn written(organisation: &Organisation) -> Result<Vec<Change>, TargetsError> {
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    for n in 0..WRITTEN {
        let mut assignment = organisation.grant(n % organisation.shape().assignments).assignment;
        assignment.id = AssignmentId::new(format!("soak-{n}")).map_err(rejected)?;
        let key = FactKey::Assignment(assignment.id.clone());
        gone.push(Change::Delete { key, cascade: false });
        come.push(Change::Put(assignment.into()));
    }
    Ok(gone.into_iter().chain(come).collect())
}

fn rejected(error: pdp_engine::id::IdError) -> TargetsError {
    TargetsError::Rejected(error.to_string())
}

// === impl Done ===

impl Done {
    /// Whether everything was done.
    pub(super) fn is_whole(&self) -> bool {
        let Self { checks, batched, streamed, change_sets, sessions, watches, visits } = *self;
        [checks, batched, streamed, change_sets, sessions, watches, visits].iter().all(|it| *it > 0)
    }

    /// What was done since then.
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            checks: self.checks - before.checks,
            batched: self.batched - before.batched,
            streamed: self.streamed - before.streamed,
            change_sets: self.change_sets - before.change_sets,
            sessions: self.sessions - before.sessions,
            watches: self.watches - before.watches,
            visits: self.visits - before.visits,
        }
    }
}

// === impl Work ===

impl Work {
    const ALL: [Self; 7] = [
        Self::Checks,
        Self::Batches,
        Self::Streams,
        Self::Writes,
        Self::Sessions,
        Self::Watches,
        Self::Visits,
    ];

    /// How often a turn is taken, unless the one before lasts longer.
    const fn every(self) -> Duration {
        Duration::from_millis(match self {
            Self::Checks => 10,
            Self::Batches => 50,
            Self::Streams => 250,
            Self::Writes | Self::Sessions | Self::Visits => 20,
            Self::Watches => 100,
        })
    }

    /// Works for ever.
    async fn run(self, load: Arc<Load>) {
        let mut pace = interval(self.every());
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut n = 0;
        loop {
            if let Err(said) = self.spell(&load, &mut pace, &mut n).await {
                load.failed(said);
                // A server that is gone is not asked in a tight loop.
                pace.tick().await;
            }
        }
    }

    /// Works over one connection for a while.
    async fn spell(self, load: &Load, pace: &mut Interval, n: &mut u64) -> Result<(), String> {
        let mut connection = Connection::open(&load.endpoint).await.map_err(said)?;
        let client = Client::connect(load.endpoint.clone()).await.map_err(said)?;
        for _ in 0..TURNS {
            pace.tick().await;
            *n += 1;
            let done = match self {
                Self::Checks => load.check(&connection, *n).await?,
                Self::Batches => load.call(&mut connection, &load.batches, *n).await?,
                Self::Streams => load.stream(&connection).await?,
                Self::Writes => load.call(&mut connection, &load.writes, *n - 1).await?,
                Self::Sessions => load.session(&client, *n).await.map_err(said)?,
                Self::Watches => watch(&client).await.map_err(said)?,
                Self::Visits => {
                    let mut visitor = Connection::open(&load.endpoint).await.map_err(said)?;
                    load.call(&mut visitor, &load.checks, *n).await?
                }
            };
            if let Some(count) = load.done.get(self as usize) {
                count.fetch_add(done, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Begins a watch of work, waits for its first word, and goes.
async fn watch(client: &Client) -> Result<u64, Error> {
    // It lets go of what it was handed.
    client.sessions().watch_revocations(Watch::everything()).event().await.map(|_| 1)
}

// === impl Load ===

impl Load {
    pub(super) fn new(
        endpoint: &str,
        asks: &[Ask],
        organisation: &Organisation,
        broker: Broker,
    ) -> Result<Self, TargetsError> {
        Ok(Self {
            endpoint: endpoint.to_owned(),
            broker,
            first: asks.iter().take(1).cloned().collect(),
            // The policy changes meanwhile.
            checks: Requests::checks("", asks).unexpected(),
            batches: Requests::batches("", asks, BATCH).unexpected(),
            streamed: Script::of(Requests::streamed("", asks).unexpected()),
            writes: Requests::applies("", &written(organisation)?),
            done: Default::default(),
            errors: AtomicU64::new(0),
            first_error: Mutex::new(None),
        })
    }

    /// The first question.
    pub(super) fn first(&self) -> &[Ask] {
        &self.first
    }

    /// Puts everybody to work.
    pub(super) fn start(load: &Arc<Self>) -> AtWork {
        let runtime = Handle::current();
        AtWork(Work::ALL.map(|work| runtime.spawn(work.run(Arc::clone(load)))).into())
    }

    /// What was done so far.
    pub(super) fn done(&self) -> Done {
        let [checks, batched, streamed, change_sets, sessions, watches, visits] =
            self.done.each_ref().map(|count| count.load(Ordering::Relaxed));
        Done { checks, batched, streamed, change_sets, sessions, watches, visits }
    }

    /// Whether everything was answered.
    ///
    /// # Errors
    /// [`TargetsError::Unclean`] if not.
    pub(super) fn clean(&self) -> Result<(), TargetsError> {
        let errors = self.errors.load(Ordering::Relaxed);
        if errors == 0 {
            return Ok(());
        }
        let first = self.first_error.lock().unwrap_or_else(PoisonError::into_inner);
        let first = first.as_ref().map_or_else(String::new, |said| format!("; the first: {said}"));
        Err(TargetsError::Unclean { what: "the soak", errors, wrong: 0, unsent: 0, first })
    }

    fn failed(&self, said: String) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let mut first = self.first_error.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(said);
    }

    /// One request; how many questions it asked, or one.
    async fn call(
        &self,
        connection: &mut Connection,
        requests: &Requests,
        n: u64,
    ) -> Result<u64, String> {
        let prepared = requests.at(n).ok_or("there is nothing to send")?;
        let answer = connection.call(&requests.path, prepared.body.clone()).await.map_err(said)?;
        match requests.read(prepared, answer).errors {
            0 => Ok(u64::from(requests.questions.max(1))),
            errors => Err(format!("{errors} answers without a decision")),
        }
    }

    /// Checks, several at once.
    async fn check(&self, connection: &Connection, n: u64) -> Result<u64, String> {
        let each = (0..AT_ONCE).map(|at| {
            let mut connection = connection.clone();
            async move { self.call(&mut connection, &self.checks, n * AT_ONCE + at).await }
        });
        join_all(each).await.into_iter().sum()
    }

    /// A stream that stays for a moment.
    async fn stream(&self, connection: &Connection) -> Result<u64, String> {
        let timing =
            Timing { warm_up: Duration::ZERO, duration: STREAM, last_answers: LAST_ANSWERS };
        let connection = std::slice::from_ref(connection);
        let loops = stream_loop(connection, &self.streamed, STREAMED_AT_ONCE, timing).await;
        let summary = loops.map_err(said)?;
        match is_clean(&summary) {
            true => Ok(summary.requests),
            false => Err(format!("a stream: {:?}", summary.first_error)),
        }
    }

    /// Opens a session, closes it and says that the work that this makes due is done.
    async fn session(&self, client: &Client, n: u64) -> Result<u64, Error> {
        let (sessions, Broker { person, computer, level }) = (client.sessions(), &self.broker);
        let asked = OpenRequest::new(format!("soak {n}"), person.as_str(), computer.as_str());
        let opened = sessions.open(&asked.level(level.as_str())).await?;
        let Some(session) = opened.open() else {
            let message = "a session that is pre-approved was not opened".to_owned();
            return Err(Error::Setting { message });
        };
        let closed = sessions.close(&session.id).await?;
        for work in &closed.revocations {
            sessions.acknowledge(&work.id, &Outcome::Done).await?;
        }
        Ok(1)
    }
}

// === impl AtWork ===

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}
