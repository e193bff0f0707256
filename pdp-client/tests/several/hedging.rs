//! Reads that are sent to a second server while the first is silent.

use std::time::Duration;

use pdp_client::{ChangeSet, Client, Code, RetryBudget};
use tonic::Status;

use super::server::{Mode, Server};
use super::{answerer, builder, question, soon};

async fn two() -> [Server; 2] {
    let servers = [Server::start(1).await, Server::start(2).await];
    servers.iter().for_each(|server| server.reads(Mode::Hang));
    servers
}

/// How often both were asked together.
fn asked(servers: &[Server; 2]) -> usize {
    servers.iter().map(|server| server.asked().len()).sum()
}

/// Waits until one of them was asked so often.
async fn until_either(servers: &[Server; 2], times: usize) {
    let [one, other] = servers;
    soon(async {
        tokio::select! {
            () = one.until_asked(times) => {}
            () = other.until_asked(times) => {}
        }
    })
    .await;
}

async fn hedging(servers: &[Server; 2]) -> Client {
    builder(servers).hedge_after(Duration::ZERO).connect().await.unwrap()
}

#[tokio::test]
async fn a_late_read_is_asked_elsewhere_and_the_loser_is_told() {
    let servers = two().await;
    let client = hedging(&servers).await;
    let waiting = tokio::spawn(async move { answerer(&client).await });
    let [silent, quick] = &servers;
    soon(async { tokio::join!(silent.until_asked(1), quick.until_asked(1)) }).await;
    quick.reads(Mode::Allow);
    assert_eq!(soon(waiting).await.unwrap(), quick.number());
    soon(silent.until_abandoned(1)).await;
    assert_eq!(asked(&servers), 2);
}

#[tokio::test]
async fn nothing_is_hedged_unless_it_is_asked_for() {
    let servers = two().await;
    let client = builder(&servers).connect().await.unwrap();
    let waiting = tokio::spawn(async move { answerer(&client).await });
    until_either(&servers, 1).await;
    servers.iter().for_each(|server| server.reads(Mode::Allow));
    soon(waiting).await.unwrap();
    assert_eq!(asked(&servers), 1);
}

#[tokio::test]
async fn what_changes_something_is_sent_to_one_server() {
    let servers = two().await;
    for server in &servers {
        server.writes(Mode::Hang);
        server.reads(Mode::Allow);
    }
    let client = hedging(&servers).await;
    let writing = tokio::spawn({
        let client = client.clone();
        async move { client.apply(ChangeSet::new(Vec::new())).await }
    });
    until_either(&servers, 1).await;
    let closing = tokio::spawn({
        let client = client.clone();
        async move { client.sessions().close("s-1").await }
    });
    soon(async {
        while writes(&servers) < 2 {
            answerer(&client).await;
        }
    })
    .await;
    // Long enough for a read to be hedged, many times over.
    for _ in 0..50 {
        answerer(&client).await;
    }
    servers.iter().for_each(|server| server.writes(Mode::Allow));
    assert!(soon(writing).await.unwrap().is_ok());
    assert!(soon(closing).await.unwrap().is_err(), "the answer holds no session");
    assert_eq!(writes(&servers), 2);
}

fn writes(servers: &[Server; 2]) -> usize {
    let of = |server: &Server| server.asked().iter().filter(|it| it.method != "Check").count();
    servers.iter().map(of).sum()
}

#[tokio::test]
async fn hedges_are_of_the_budget() {
    let servers = two().await;
    let budget = RetryBudget { percent: 0, floor: 1, window: Duration::from_secs(1_000_000) };
    let builder = builder(&servers).hedge_after(Duration::ZERO).retry_budget(budget);
    let client = builder.connect().await.unwrap();
    let check = || {
        let client = client.clone();
        tokio::spawn(async move { answerer(&client).await })
    };
    let first = check();
    let [one, other] = &servers;
    soon(async { tokio::join!(one.until_asked(1), other.until_asked(1)) }).await;
    let second = check();
    until_either(&servers, 2).await;
    servers.iter().for_each(|server| server.reads(Mode::Allow));
    let answered = soon(async { tokio::join!(first, second) }).await;
    assert!(answered.0.is_ok() && answered.1.is_ok());
    assert_eq!(asked(&servers), 3, "there was one to spend");
}

#[tokio::test]
async fn a_hedge_that_fails_leaves_the_first_alone() {
    let servers = two().await;
    let [slow, failing] = &servers;
    failing.reads(Mode::Fail(Status::internal("as told")));
    for _ in 0..20 {
        let client = hedging(&servers).await;
        let before = (slow.asked().len(), failing.asked().len());
        let waiting = tokio::spawn(async move { client.check(&question()).await });
        soon(failing.until_asked(before.1 + 1)).await;
        slow.reads(Mode::Allow);
        match soon(waiting).await.unwrap() {
            Ok(decision) => assert_eq!(decision.revision.get(), slow.number()),
            // It was asked first, and answered before there was a hedge; or before the other.
            Err(error) => assert_eq!(error.code(), Code::Internal),
        }
        slow.reads(Mode::Hang);
    }
}

#[tokio::test]
async fn an_error_that_any_server_would_give_is_an_answer() {
    let servers = two().await;
    let [slow, refusing] = &servers;
    refusing.reads(Mode::Fail(Status::permission_denied("as told")));
    for _ in 0..20 {
        let client = hedging(&servers).await;
        let error = soon(client.check(&question())).await.unwrap_err();
        assert_eq!(error.code(), Code::PermissionDenied);
    }
    // Where it was asked first, nobody waits for it any more.
    soon(slow.until_abandoned(slow.asked().len())).await;
}
