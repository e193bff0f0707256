//! One answer, whoever makes it: a sidecar says what its server says, with the same reason and the same revision,
//! through every change. Cut off, it says the same where the policy is enough, and nothing where it is not.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pdp_client::engine::change_to_wire;
use pdp_client::{ChangeSet, Client, Code, Decision, Question, Retries, Revision};
use pdp_engine::facts::{Change, FactKey, Facts};
use pdp_server::clock::Clock;
use pdp_server::config::{Settings, SidecarSettings};
use pdp_server::{Listeners, RunError, run};
use pdp_tests::door::apart::{is_for_the_server, questions};
use pdp_tests::door::{Door, Server};
use pdp_tests::http::{Http, Protocol};
use pdp_tests::proof::for_worlds;
use pdp_tests::world::NOON;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// How many worlds are asked, how many questions of each family each of them is asked, and how often each
/// of them changes meanwhile.
const WORLDS: u32 = 40;
const QUESTIONS: usize = 25;
const CHANGES: usize = 4;

/// A sidecar, and the ways to it and from it.
struct Beside {
    client: Client,
    http: SocketAddr,
    /// Whether the way to the server is cut.
    cut: watch::Sender<bool>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), RunError>>,
    ways: [JoinHandle<()>; 2],
    _folder: tempfile::TempDir,
}

/// Carries connections on until the way is cut.
async fn way<S>(
    listener: TcpListener,
    far: impl AsyncFn() -> std::io::Result<S>,
    cut: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    loop {
        let (mut near, _) = listener.accept().await.unwrap();
        near.set_nodelay(true).unwrap();
        if *cut.borrow() {
            continue;
        }
        let Ok(mut far) = far().await else { continue };
        let mut cut = cut.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => {}
                Ok(_) = cut.wait_for(|cut| *cut) => {}
            }
        });
    }
}

// === impl Beside ===

impl Beside {
    /// One that keeps the policy of this tenant, by this server's runtime.
    async fn start(server: SocketAddr, tenant: &str) -> Self {
        let (cut, is_cut) = watch::channel(false);
        let port = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (out, back) = (port().await, port().await);
        let (follow, endpoint) = (out.local_addr().unwrap(), back.local_addr().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("pdp.sock");
        let sidecar = SidecarSettings {
            follow: format!("http://{follow}").parse().ok(),
            follow_tenants: tenant.parse().ok(),
            // However busy the machine is.
            follow_max_stale_ms: Some(3_600_000),
            socket: Some(socket.clone()),
            ..SidecarSettings::default()
        };
        let settings = Settings {
            http: Some("127.0.0.1:0".parse().unwrap()),
            grpc_threads: Some("1".parse().unwrap()),
            grace_ms: Some(0),
            max_queue_ms: Some(60_000),
            sidecar,
            ..Settings::default()
        };
        let config = settings.into_config(None).unwrap();
        let listeners = Listeners::bind(&config).unwrap();
        let http = listeners.http_address().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move { drop(stopped.await) };
        let running = tokio::spawn(run(config, listeners, Clock::fixed(NOON), shutdown));
        let connect = async move || {
            let stream = TcpStream::connect(server).await?;
            stream.set_nodelay(true).map(|()| stream)
        };
        let to_server = way(out, connect, is_cut.clone());
        let to_sidecar = way(back, async move || UnixStream::connect(&socket).await, is_uncut());
        let ways = [tokio::spawn(to_server), tokio::spawn(to_sidecar)];
        let client = Client::builder(format!("http://{endpoint}"))
            .tenant(tenant)
            .deadline(Duration::from_secs(60))
            // What has no answer has none.
            .retries(Retries { max_attempts: 1, ..Retries::default() })
            .connect_lazy()
            .unwrap();
        Self { client, http, cut, stop, running, ways, _folder: folder }
    }

    /// Waits until it keeps this revision.
    fn keeps(&self, handle: &Handle, tenant: &str, revision: u64) {
        let http = Http::new(handle.clone(), self.http, Protocol::Http1);
        let line = format!("pdp_snapshot_revision{{tenant=\"{tenant}\"}} {revision}");
        while !http.get("/metrics").text().lines().any(|it| it == line) {
            std::thread::yield_now();
        }
    }

    async fn stop(self) {
        self.stop.send(()).ok();
        drop(self.client);
        self.ways.iter().for_each(JoinHandle::abort);
        self.running.await.unwrap().unwrap();
    }
}

/// A way that is never cut.
fn is_uncut() -> watch::Receiver<bool> {
    watch::channel(false).1
}

/// What came of each question, in words.
fn told(results: &[Result<Decision, impl std::fmt::Debug>]) -> Vec<String> {
    results.iter().map(|result| format!("{result:?}")).collect()
}

/// Holds that both say the same: of a batch, of each question, and over a stream.
async fn compare(
    server: &Client,
    sidecar: &Client,
    questions: &[Question],
) -> Result<Vec<Option<Decision>>, String> {
    let direct = server.batch_check(questions).await.unwrap();
    let passed = sidecar.batch_check(questions).await.unwrap();
    if (told(&direct.results), direct.revision) != (told(&passed.results), passed.revision) {
        return Err(format!("the server says {direct:?}, the sidecar {passed:?}"));
    }
    let (mut ask, mut answers) = sidecar.check_stream().await.unwrap();
    for question in questions {
        ask.ask(question).await.unwrap();
    }
    let mut decisions = Vec::new();
    for (question, said) in questions.iter().zip(direct.results) {
        let said = said.ok();
        let one = sidecar.check(question).await.ok();
        let streamed = answers.next().await.unwrap().ok();
        if one != said || streamed != said {
            return Err(format!("{question}: {said:?} of the server, {one:?}, {streamed:?}"));
        }
        decisions.push(said);
    }
    Ok(decisions)
}

/// Holds that a sidecar that is cut off says what the server said where the policy is enough, and nothing else.
async fn compare_cut_off(
    sidecar: &Client,
    questions: &[Question],
    said: &[Option<Decision>],
    reasons: &Mutex<BTreeMap<&'static str, u64>>,
) -> Result<(), String> {
    for (question, said) in questions.iter().zip(said) {
        let answer = sidecar.check(question).await;
        if is_for_the_server(question, said.as_ref()) {
            match answer {
                Err(error) if error.code() == Code::Unavailable => continue,
                other => return Err(format!("{question}: {other:?}, cut off")),
            }
        }
        if answer.as_ref().ok() != said.as_ref() {
            return Err(format!("{question}: {said:?} of the server, {answer:?}, cut off"));
        }
        let reason = said.as_ref().map_or("", |said| said.reason.as_str());
        *reasons.lock().unwrap().entry(reason).or_default() += 1;
    }
    Ok(())
}

/// Takes facts of the policy away, a few at a time.
fn shrink(facts: &mut Facts, step: usize) -> Vec<Change> {
    let assignments = facts.assignments().skip(step).step_by(CHANGES).take(3);
    let keys: Vec<_> = assignments.map(|it| FactKey::Assignment(it.id.clone())).collect();
    let shares = facts.shares().skip(step).step_by(CHANGES).take(2);
    let shares: Vec<_> = shares.map(|it| FactKey::Share(it.key.clone())).collect();
    let people = facts.people().skip(step).take(1).map(|it| FactKey::Person(it.id.clone()));
    let keys = keys.into_iter().chain(shares).chain(people);
    let changes: Vec<_> = keys.map(|key| Change::Delete { key, cascade: true }).collect();
    // What the policy still names stays.
    changes.into_iter().filter(|change| facts.apply(std::slice::from_ref(change)).is_ok()).collect()
}

#[test]
fn a_sidecar_says_what_its_server_says() {
    let server = Server::start();
    server.set_clock(NOON);
    let handle = server.block_on(async { Handle::current() });
    let tenants = AtomicUsize::new(0);
    let reasons: Mutex<BTreeMap<&'static str, u64>> = Mutex::default();
    for_worlds(WORLDS, QUESTIONS, |genome| {
        let mut facts = genome.facts();
        let tenant = format!("world-{}", tenants.fetch_add(1, Ordering::Relaxed));
        let door: Door<'_> =
            server.tenant(&tenant, &genome.changes()).map_err(|error| error.to_string())?;
        let questions = questions(genome, &facts);
        let client = door.client().at_least(Revision::default());
        let mut revision = door.block_on(client.batch_check(&questions)).unwrap().revision;
        let beside = door.block_on(Beside::start(server.grpc_address(), &tenant));
        beside.keeps(&handle, &tenant, revision.get());
        door.block_on(compare(&client, &beside.client, &questions))?;
        for step in 0..CHANGES {
            let changes: Vec<_> = shrink(&mut facts, step).iter().map(change_to_wire).collect();
            let applied = door.block_on(client.apply(ChangeSet::new(changes)));
            revision = applied.map_err(|error| error.to_string())?.revision;
            let fresh = beside.client.at_least(revision);
            door.block_on(compare(&client, &fresh, &questions))?;
        }
        beside.keeps(&handle, &tenant, revision.get());
        let said = door.block_on(compare(&client, &beside.client, &questions))?;
        beside.cut.send(true).unwrap();
        door.block_on(compare_cut_off(&beside.client, &questions, &said, &reasons))?;
        door.block_on(beside.stop());
        server.forget(&tenant);
        Ok(())
    });
    let reasons = reasons.into_inner().unwrap();
    let decided: u64 = reasons.values().sum();
    println!("{decided} decisions of sidecars that were cut off are the server's: {reasons:?}");
    assert!(decided > u64::from(WORLDS) * QUESTIONS as u64 && reasons.len() >= 10, "{reasons:?}");
    server.stop();
}
