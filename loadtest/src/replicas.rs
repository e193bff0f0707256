//! Several servers that share a log in etcd: how long it takes until a change that one of them acknowledged
//! counts at another, what a policy takes in etcd, how long a server without anything needs to have it, and what
//! one, two and three of them answer.
//!
//! etcd has one member, and everything is on one machine: what is between machines comes on top.

mod process;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pdp_client::engine::change_to_wire;
use pdp_client::{Client, Import};
use pdp_proto::v1;
use pdp_proto::v1::decision_service_client::DecisionServiceClient;
use pdp_proto::v1::policy_service_client::PolicyServiceClient;
use pdp_proto::v1::{fact::Fact, fact_key::Key};
use tonic::transport::Channel;

use crate::drive::{Connection, DriveError, Script, Timing, closed_loop};
use crate::organisation::Organisation;
use crate::questions::{Ask, Workload as _};
use crate::random::{Dice, Purpose, Skew};
use crate::shape::{Shape, ShapeError};
use crate::tally::Latency;
use crate::targets::{Bound, Spread, TargetsError, served};
use crate::wire::Requests;
use process::{Etcd, PAUSE, Server, Start};

/// How many servers there are in the end.
pub const SERVERS: usize = 3;

/// The rounds over which throughput is a median.
pub const ROUNDS: usize = 5;

/// How long the policy may take to be there.
const IMPORT: Duration = Duration::from_secs(3_000);

/// After how many entries the last phase has a checkpoint written.
const CHECKPOINT: u64 = 8;

/// How long that may take.
const CHECKPOINT_PATIENCE: Duration = Duration::from_secs(600);

/// Within which time 99 of a hundred changes are to count at another server.
pub const SHOWN: Bound = Bound::AtMost(50.0);

/// Half of what etcd takes unless told otherwise: what a million assignments are to stay below.
pub const ROOM: Bound = Bound::AtMost(1024.0);

/// Names that no organisation has.
const PROBE: &str = "replicas-probe";

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How many assignments the policy has.
    pub size: u64,
    /// The seed of the policy and of the questions.
    pub seed: u64,
    /// How many changes are followed from one server to another.
    pub changes: u64,
    /// How long is waited between two of them.
    pub pause: Duration,
    /// How long so many servers are asked in a round.
    pub slice: Duration,
    /// How many connections ask, in all.
    pub connections: usize,
    /// How many requests are under way on each.
    pub in_flight: usize,
    /// How many questions there are.
    pub questions: u64,
    /// etcd's program.
    pub etcd: PathBuf,
    /// The server's.
    pub server: PathBuf,
    /// Below which folder everything is stored.
    pub folder: PathBuf,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Replicated {
    /// Until the policy was acknowledged, as one import, in milliseconds.
    pub import_ms: f64,
    /// What the server that took it has in memory then, in bytes.
    pub resident_bytes: Option<u64>,
    /// What etcd has with the policy in the log.
    pub log: Room,
    /// A server without anything that reads the log.
    pub from_log: CaughtUp,
    /// From sending a change until it is acknowledged.
    pub acknowledged: Latency,
    /// From then until it counts at another server.
    pub shown: Latency,
    /// What etcd has with the policy in a checkpoint, and the log made short.
    pub checkpoint: Room,
    /// A server without anything that takes the checkpoint over.
    pub from_checkpoint: CaughtUp,
    /// Answers a second of one server, of two and of three.
    pub answers: Vec<Spread>,
}

/// What etcd has, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Room {
    /// The size of its database, which its quota is about.
    pub bytes: u64,
    /// What of it is in use; the rest is used again.
    pub in_use_bytes: u64,
}

/// A server that had nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize)]
pub struct CaughtUp {
    /// Until it served, with everything, in milliseconds.
    pub ready_ms: f64,
    /// What it has in memory then, in bytes.
    pub resident_bytes: Option<u64>,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum ReplicasError {
    /// A program does not start.
    #[error("`{}` does not start: {source}", .program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// A program does not answer.
    #[error("`{}` does not answer", .program.display())]
    Silent {
        /// The program.
        program: PathBuf,
    },
    /// A server ended.
    #[error("`{}` ended: {said}", .program.display())]
    Ended {
        /// The program.
        program: PathBuf,
        /// What it said.
        said: String,
    },
    /// A change did not come to count.
    #[error(
        "a change of revision {revision} was acknowledged and does not count at another server"
    )]
    Lost {
        /// The revision.
        revision: u64,
    },
    /// No checkpoint.
    #[error("the log was not made shorter within {} s", CHECKPOINT_PATIENCE.as_secs())]
    NoCheckpoint,
    /// There are fewer connections than servers.
    #[error("`connections` is {0}; three servers need at least one each")]
    Connections(usize),
    /// An address is none.
    #[error(transparent)]
    Address(#[from] tonic::transport::Error),
    /// A server or etcd refused.
    #[error("{} ({})", .0.message(), .0.code())]
    Refused(Box<tonic::Status>),
    /// The policy was not taken.
    #[error(transparent)]
    Import(#[from] pdp_client::Error),
    /// The organisation cannot be made.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The load does not run.
    #[error(transparent)]
    Drive(#[from] DriveError),
    /// A server does not answer as it should.
    #[error(transparent)]
    Targets(#[from] TargetsError),
    /// The operating system gives no folder or no ports.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl From<tonic::Status> for ReplicasError {
    fn from(status: tonic::Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

// === impl Settings ===

impl Settings {
    /// Measures everything; `say` is told what is going on.
    ///
    /// # Errors
    /// [`ReplicasError`] if something does not start, or answers wrongly.
    pub async fn measure(&self, say: &mut dyn FnMut(&str)) -> Result<Replicated, ReplicasError> {
        if self.connections < SERVERS {
            return Err(ReplicasError::Connections(self.connections));
        }
        let folder = tempfile::tempdir_in(&self.folder)?;
        let data = |name: &str| folder.path().join(name);
        let [one, two, three, logged] = ["one", "two", "three", "etcd"].map(data);
        let etcd = Etcd::start(&self.etcd, &logged).await?;
        let start = |data, checkpoint| self.start(data, &etcd, checkpoint);

        say("the first server, and the policy");
        let first = start(&one, None)?;
        let import_ms = self.import(&first).await?;
        let resident_bytes = first.resident();
        let log = room(&etcd).await?;
        say("the second server, from the log");
        let second = start(&two, None)?;
        let from_log = CaughtUp::of(&second);
        say("changes on the first, followed to the second");
        let (acknowledged, shown) = self.followed(&first, &second).await?;

        say("a checkpoint");
        drop(first);
        let first = start(&one, Some(CHECKPOINT))?;
        until_short(&etcd).await?;
        let checkpoint = room(&etcd).await?;
        say("the third server, from the checkpoint");
        let third = start(&three, None)?;
        let from_checkpoint = CaughtUp::of(&third);
        say("one, two and three servers are asked");
        let answers = self.answers(&[first, second, third]).await?;
        Ok(Replicated {
            import_ms,
            resident_bytes,
            log,
            from_log,
            acknowledged,
            shown,
            checkpoint,
            from_checkpoint,
            answers,
        })
    }

    fn start(
        &self,
        data: &Path,
        etcd: &Etcd,
        checkpoint: Option<u64>,
    ) -> Result<Server, ReplicasError> {
        Server::start(Start { program: &self.server, data, etcd, checkpoint })
    }

    fn organisation(&self) -> Result<Organisation, ShapeError> {
        Organisation::new(Shape::sized(self.size), self.seed)
    }

    /// The policy as one import, and how long it took.
    async fn import(&self, server: &Server) -> Result<f64, ReplicasError> {
        let client = Client::builder(server.endpoint.clone()).deadline(IMPORT).connect_lazy()?;
        let organisation = self.organisation()?;
        let (sent, changes) = std::sync::mpsc::sync_channel(10_000);
        std::thread::spawn(move || {
            let mut changes = organisation.changes();
            // Where nobody takes them any more nobody needs them.
            while changes.next().is_some_and(|change| sent.send(change_to_wire(&change)).is_ok()) {}
        });
        let begun = Instant::now();
        client.import(Import::new(), changes).await?;
        Ok(ms(begun.elapsed()))
    }

    /// How long changes took to be acknowledged by one server, and from then to count at the other.
    async fn followed(
        &self,
        one: &Server,
        other: &Server,
    ) -> Result<(Latency, Latency), ReplicasError> {
        let mut writes = PolicyServiceClient::new(one.channel()?);
        let mut reads = DecisionServiceClient::new(other.channel()?);
        let (mut acknowledged, mut shown) = (Vec::new(), Vec::new());
        write(&mut writes, probe()).await?;
        for n in 0..self.changes {
            tokio::time::sleep(self.pause).await;
            let grant = n % 2 == 0;
            let sent = Instant::now();
            let revision = write(&mut writes, vec![granted(grant)]).await?;
            let told = Instant::now();
            let ask = v1::CheckRequest {
                question: Some(question()),
                at_least: revision,
                ..Default::default()
            };
            let decision = reads.check(ask).await?.into_inner().decision.unwrap_or_default();
            let counts = told.elapsed();
            if (decision.effect() == v1::Effect::Allow) != grant {
                return Err(ReplicasError::Lost { revision });
            }
            acknowledged.push(told - sent);
            shown.push(counts);
        }
        Ok((Latency::over(&acknowledged), Latency::over(&shown)))
    }

    /// What one, two and three servers answer in a second, by turns.
    async fn answers(&self, servers: &[Server]) -> Result<Vec<Spread>, ReplicasError> {
        let organisation = self.organisation()?;
        let ask = |n| -> Ask {
            let mut dice = Dice::at(self.seed, Purpose::Question, n);
            match n % 2 {
                0 => organisation.granted(&mut dice, Skew::Uniform),
                _ => organisation.any(&mut dice, Skew::Uniform),
            }
        };
        let asks: Vec<Ask> = (0..self.questions).map(ask).collect();
        let script = Script::of(Requests::checks("", &asks).unexpected());
        let mut all = Vec::new();
        for server in servers {
            let connections = Connection::open_many(&server.endpoint, self.connections).await?;
            all.push(connections);
        }
        let mut rates = vec![Vec::new(); servers.len()];
        let timing = Timing::new(self.slice / 5, self.slice);
        for _ in 0..ROUNDS {
            for (of, rates) in (1..).zip(&mut rates) {
                // As many connections whatever the number of servers, one after the other.
                let to: Vec<Connection> = (0..self.connections)
                    .filter_map(|n| all.get(n % of)?.get(n / of).cloned())
                    .collect();
                let summary = closed_loop(&to, &script, self.in_flight, timing).await?;
                rates.push(served::clean("checks", summary)?.questions_per_second);
            }
        }
        Ok(rates.iter().filter_map(|rates| Spread::of(rates)).collect())
    }
}

// === impl Replicated ===

impl Replicated {
    /// Whether a change counts at another server as soon as it should.
    #[must_use]
    pub fn is_shown_in_time(&self) -> bool {
        SHOWN.holds(self.shown.p99_us / 1e3)
    }

    /// Whether etcd has the policy in no more room than a million assignments should take.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let bytes = self.log.bytes.max(self.checkpoint.bytes);
        ROOM.holds(bytes as f64 / f64::from(1 << 20))
    }
}

// === impl CaughtUp ===

impl CaughtUp {
    fn of(server: &Server) -> Self {
        Self { ready_ms: ms(server.started), resident_bytes: server.resident() }
    }
}

async fn room(etcd: &Etcd) -> Result<Room, ReplicasError> {
    let (bytes, in_use_bytes) = etcd.bytes().await?;
    Ok(Room { bytes, in_use_bytes })
}

/// Waits until there is a checkpoint and the entries before it are gone: it is overdue.
async fn until_short(etcd: &Etcd) -> Result<(), ReplicasError> {
    let begun = Instant::now();
    while begun.elapsed() < CHECKPOINT_PATIENCE {
        let (entries, checkpoint) = etcd.log().await?;
        if checkpoint && entries <= CHECKPOINT.cast_signed() {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(ReplicasError::NoCheckpoint)
}

async fn write(
    client: &mut PolicyServiceClient<Channel>,
    changes: Vec<v1::Change>,
) -> Result<u64, ReplicasError> {
    let request = v1::ApplyRequest { changes, ..Default::default() };
    Ok(client.apply(request).await?.into_inner().revision)
}

/// Somebody and something that nobody has a right on.
fn probe() -> Vec<v1::Change> {
    let person = v1::Person { id: PROBE.to_owned(), ..Default::default() };
    let resource = v1::Resource { name: Some(object()), ..Default::default() };
    vec![put(Fact::Person(person)), put(Fact::Resource(resource))]
}

/// Gives them the right, or takes it away.
fn granted(grant: bool) -> v1::Change {
    if !grant {
        let key = Some(v1::FactKey { key: Some(Key::Assignment(PROBE.to_owned())) });
        let delete = v1::Delete { key, cascade: false };
        return v1::Change { change: Some(v1::change::Change::Delete(delete)) };
    }
    let to = v1::ActorRef { actor: Some(v1::actor_ref::Actor::Person(PROBE.to_owned())) };
    let level = v1::LevelRef { r#type: object().r#type, name: "Viewer".to_owned() };
    let scope = v1::Scope { scope: Some(v1::scope::Scope::OnResource(object())) };
    put(Fact::Assignment(v1::Assignment {
        id: PROBE.to_owned(),
        to: Some(to),
        level: Some(level),
        scope: Some(scope),
        window: None,
    }))
}

fn put(fact: Fact) -> v1::Change {
    v1::Change { change: Some(v1::change::Change::Put(v1::Fact { fact: Some(fact) })) }
}

fn object() -> v1::ResourceRef {
    v1::ResourceRef { r#type: "Doc00".to_owned(), id: PROBE.to_owned() }
}

fn question() -> v1::Question {
    let subject = v1::subject::Subject::Person(PROBE.to_owned());
    v1::Question {
        subject: Some(v1::Subject { subject: Some(subject) }),
        permission: Some(v1::question::Permission::Operation("View".to_owned())),
        resource: Some(object()),
        ..Default::default()
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
