//! How instances come and go while they are asked: two behind a balancer are restarted one after the
//! other, and no call of a client that tries again fails; and what a server says of itself when it is
//! not what it should be.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test"
)]

mod balancer;
#[path = "../rpc/child.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod child;
mod full;
mod images;
mod kept;
mod older;
mod processes;
#[path = "../rpc/served.rs"]
#[allow(dead_code, reason = "the other tests of servers use the rest of it")]
mod served;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pdp_client::{Client, Effect, Permission, Question, Resource, Subject};
use pdp_server::config::Settings;
use tempfile::TempDir;

use balancer::{Balancer, probe};
use served::{Served, folder, settings};

/// How many clients ask, each over a connection of its own.
const CLIENTS: usize = 4;

/// How many answers there are between two restarts, at least.
const BETWEEN: usize = 400;

/// What the clients have come to.
#[derive(Default)]
struct Asked {
    answers: AtomicUsize,
    enough: AtomicBool,
}

/// Clients that ask for as long as it takes.
pub(crate) struct Clients {
    asked: Arc<Asked>,
    asking: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

// === impl Clients ===

impl Clients {
    pub(crate) fn start(address: &str) -> Self {
        let asked = Arc::new(Asked::default());
        let client = |_| tokio::spawn(ask(address.to_owned(), Arc::clone(&asked)));
        Self { asking: (0..CLIENTS).map(client).collect(), asked }
    }

    /// Waits for more answers.
    pub(crate) async fn more(&self) {
        let before = self.asked.answers.load(Ordering::Relaxed);
        while self.asked.answers.load(Ordering::Relaxed) < before + BETWEEN {
            assert!(self.asking.iter().all(|client| !client.is_finished()));
            tokio::task::yield_now().await;
        }
    }

    /// Ends them: no call has failed.
    pub(crate) async fn end(self) {
        self.asked.enough.store(true, Ordering::Relaxed);
        for client in self.asking {
            assert_eq!(client.await.unwrap(), Vec::<String>::new());
        }
    }
}

async fn ask(address: String, asked: Arc<Asked>) -> Vec<String> {
    let client = Client::builder(address).connect_lazy().unwrap();
    let question = Question::new(
        Subject::person("ana"),
        Permission::operation("View"),
        Resource::new("Report", "absence"),
    );
    let mut failed = Vec::new();
    while !asked.enough.load(Ordering::Relaxed) {
        match client.check(&question).await {
            Ok(decision) if decision.effect == Effect::Allow => {
                asked.answers.fetch_add(1, Ordering::Relaxed);
            }
            other => failed.push(format!("{other:?}")),
        }
    }
    failed
}

/// An instance in this folder, as it is restarted by an orchestrator: it goes on for a while after it
/// has said that it goes.
async fn instance(folder: &TempDir) -> Served {
    let own = Settings { grace_ms: Some(200), ..settings(folder.path()) };
    Served::with_clock(own, pdp_server::clock::Clock::system()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_are_restarted_one_after_the_other_and_no_call_fails() {
    let folders = [folder(), folder()];
    let mut instances = Vec::new();
    for folder in &folders {
        instances.push(Some(instance(folder).await));
    }
    let addresses = |it: &Option<Served>| it.as_ref().map(|it| (it.grpc, it.http)).unwrap();
    let balancer = Balancer::start(instances.iter().map(addresses).collect()).await;
    let clients = Clients::start(&balancer.endpoint());
    for _ in 0..2 {
        for (at, folder) in folders.iter().enumerate() {
            clients.more().await;
            let gone = instances[at].take().unwrap();
            gone.stop().await;
            let new = instance(folder).await;
            balancer.replace(at, (new.grpc, new.http));
            instances[at] = Some(new);
        }
    }
    clients.more().await;
    clients.end().await;
    for instance in instances.into_iter().flatten() {
        instance.stop().await;
    }
}

#[tokio::test]
async fn a_server_that_goes_says_so_before_it_lets_nobody_in() {
    let folder = folder();
    let graceful = Settings { grace_ms: Some(1_000), ..settings(folder.path()) };
    let served = Served::with(graceful).await;
    let http = served.http;
    assert_eq!(probe(http, "/healthz/ready").await, Some((200, "ready\n".to_owned())));
    let channel = served.channel.clone();
    let ended = served.shut_down();
    let mut seen = probe(http, "/healthz/ready").await;
    while seen.as_ref().is_some_and(|(status, _)| *status == 200) {
        seen = probe(http, "/healthz/ready").await;
    }
    let (status, said) = seen.expect("it is asked within the grace period");
    assert_eq!((status, said.as_str()), (503, "not ready: the server is shutting down\n"));
    assert_eq!(probe(http, "/healthz/live").await, Some((200, "live\n".to_owned())));
    let mut decisions = pdp_proto::v1::decision_service_client::DecisionServiceClient::new(channel);
    let request = pdp_proto::v1::CheckRequest {
        question: Some(served::question("ana", "View", "absence")),
        ..Default::default()
    };
    decisions.check(request).await.expect("whoever has not heard yet is answered");
    ended.await.unwrap().unwrap();
    assert_eq!(probe(http, "/healthz/live").await, None);
}
