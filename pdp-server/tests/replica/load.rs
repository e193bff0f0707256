//! Writers and readers on every server at once, which put down what they are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pdp_proto::v1::{self, fact::Fact, fact_key::Key};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tonic::{Code, Status};

use crate::history::{History, Seen, Write};
use crate::process::{PEOPLE, Process};
use crate::reason;
use crate::served::{delete, put};

/// The pace of a writer, and that of a reader.
const WRITES: Duration = Duration::from_millis(10);
const READS: Duration = Duration::from_millis(5);

/// Longer than any fault of these tests lasts.
const TOO_LONG: Duration = Duration::from_secs(60);

/// The reasons of refusals that end when the fault does.
const PASSING: [&str; 4] = ["LOG_UNAVAILABLE", "LOG_FULL", "STARTING", "SHUTTING_DOWN"];

/// The load on some servers.
pub(crate) struct Load {
    servers: Vec<Arc<Process>>,
    history: Arc<History>,
    enough: watch::Sender<bool>,
    told: Vec<Arc<Told>>,
    tasks: Vec<JoinHandle<()>>,
}

/// What was heard of one server.
#[derive(Default)]
struct Told {
    floor: AtomicU64,
    writes: watch::Sender<u64>,
    answers: watch::Sender<u64>,
    refused: watch::Sender<u64>,
}

// === impl Load ===

impl Load {
    /// Begins, on servers that have the same log and nothing in it but the policy.
    pub(crate) fn begin(servers: &[&Arc<Process>]) -> Self {
        let servers: Vec<_> = servers.iter().map(|server| Arc::clone(server)).collect();
        let (history, enough) = (Arc::<History>::default(), watch::Sender::new(false));
        let mut load = Self { servers, history, enough, told: Vec::new(), tasks: Vec::new() };
        for (at, server) in load.servers.iter().enumerate() {
            let (told, history) = (Arc::<Told>::default(), Arc::clone(&load.history));
            let (server, enough) = (Arc::clone(server), load.enough.subscribe());
            let all = (at, load.servers.len());
            let kept = (Arc::clone(&history), Arc::clone(&server), Arc::clone(&told));
            load.tasks.push(tokio::spawn(write(all, kept, enough.clone())));
            load.tasks.push(tokio::spawn(read(at, (history, server, told.clone()), enough)));
            load.told.push(told);
        }
        load
    }

    /// Waits until a server has acknowledged so many writes more.
    pub(crate) async fn writes(&self, at: usize, more: u64) {
        self.until(&self.told[at].writes, more).await;
    }

    /// Waits until a server has given so many answers more.
    pub(crate) async fn answers(&self, at: usize, more: u64) {
        self.until(&self.told[at].answers, more).await;
    }

    /// Waits until a server has refused a write once more.
    pub(crate) async fn refusal(&self, at: usize) {
        self.until(&self.told[at].refused, 1).await;
    }

    /// Waits until a server is where the others are now.
    pub(crate) async fn level(&self, at: usize) {
        let last = self.history.last();
        let server = &self.servers[at];
        let level = async { while server.answer(last).await.is_none() {} };
        tokio::time::timeout(TOO_LONG, level).await.expect("it stays behind");
    }

    async fn until(&self, count: &watch::Sender<u64>, more: u64) {
        let mut counted = count.subscribe();
        let enough = *counted.borrow() + more;
        let there = counted.wait_for(|count| *count >= enough);
        if tokio::time::timeout(TOO_LONG, there).await.is_err() {
            let ended = self.tasks.iter().any(JoinHandle::is_finished);
            panic!("it does not come; whether somebody gave up: {ended}");
        }
    }

    /// Ends, and holds that what was told is one history, which every server has.
    pub(crate) async fn end(self) {
        self.enough.send_replace(true);
        for task in self.tasks {
            tokio::time::timeout(TOO_LONG, task).await.expect("a write is not taken").unwrap();
        }
        let (last, mut audits) = (self.history.last(), Vec::new());
        for (replica, server) in self.servers.iter().enumerate() {
            let floor = self.told[replica].floor.load(Ordering::SeqCst);
            let (revision, answer) = server.answer(last).await.unwrap();
            self.history.see(Seen { replica, floor, revision, answer });
            audits.push(server.audit().await);
        }
        let faults = self.history.faults(self.servers.len());
        assert!(faults.is_empty(), "{} faults, such as {:#?}", faults.len(), &faults[..1]);
        assert!(audits.iter().all(|audit| *audit == audits[0]), "{audits:?}");
        let (writes, answers) = self.history.len();
        println!("{writes} writes and {answers} answers are one history");
    }
}

// === impl Told ===

impl Told {
    fn of(&self, revision: u64) {
        self.floor.fetch_max(revision, Ordering::SeqCst);
    }
}

type Kept = (Arc<History>, Arc<Process>, Arc<Told>);

/// Sets and clears the bits of one writer until it is enough. What is not acknowledged is sent again.
async fn write(
    (at, of): (usize, usize),
    (history, server, told): Kept,
    enough: watch::Receiver<bool>,
) {
    let own = PEOPLE / u32::try_from(of).unwrap();
    let (mut pace, first) = (paced(WRITES), own * u32::try_from(at).unwrap());
    for n in 0.. {
        let (bit, on) = (first + n % own, (n / own).is_multiple_of(2));
        let request = v1::ApplyRequest {
            changes: vec![change(bit, on)],
            request_id: format!("{at}-{n}"),
            ..Default::default()
        };
        loop {
            pace.tick().await;
            let Some(mut client) = server.policy() else { continue };
            match client.apply(request.clone()).await {
                Ok(answer) => {
                    let revision = answer.into_inner().revision;
                    told.of(revision);
                    history.write(Write { bit, on, revision });
                    told.writes.send_modify(|count| *count += 1);
                    break;
                }
                Err(status) => {
                    hold_passing(&status);
                    told.refused.send_modify(|count| *count += 1);
                }
            }
        }
        if *enough.borrow() {
            return;
        }
    }
}

/// Asks until it is enough.
async fn read(replica: usize, (history, server, told): Kept, enough: watch::Receiver<bool>) {
    let mut pace = paced(READS);
    while !*enough.borrow() {
        pace.tick().await;
        let floor = told.floor.load(Ordering::SeqCst);
        let Some((revision, answer)) = server.answer(0).await else { continue };
        history.see(Seen { replica, floor, revision, answer });
        told.of(revision);
        told.answers.send_modify(|count| *count += 1);
    }
}

fn paced(pace: Duration) -> Interval {
    let mut paced = interval(pace);
    paced.set_missed_tick_behavior(MissedTickBehavior::Delay);
    paced
}

/// Holds that a refusal is one that passes: of a server that says so, or that is gone.
fn hold_passing(status: &Status) {
    let (code, reason, may_retry) = reason(status);
    if reason.is_empty() {
        let gone = [Code::Unavailable, Code::Unknown, Code::Cancelled, Code::Internal];
        assert!(gone.contains(&code), "{status}");
        return;
    }
    assert!(code == Code::Unavailable && may_retry, "{status}");
    assert!(PASSING.contains(&reason.as_str()), "{status}");
}

/// Lets a person view the report, or does not any longer.
pub(crate) fn change(person: u32, on: bool) -> v1::Change {
    let id = format!("s-{person}");
    if !on {
        return delete(Key::Assignment(id), false);
    }
    let to = v1::actor_ref::Actor::Person(format!("p-{person}"));
    let level = v1::LevelRef { r#type: "Report".to_owned(), name: "Viewer".to_owned() };
    let on = v1::scope::Scope::OnResource(crate::served::object("Report", "absence"));
    put(Fact::Assignment(v1::Assignment {
        id,
        to: Some(v1::ActorRef { actor: Some(to) }),
        level: Some(level),
        scope: Some(v1::Scope { scope: Some(on) }),
        window: None,
    }))
}
