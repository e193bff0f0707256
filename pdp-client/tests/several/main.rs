//! Several servers behind one client: who is asked, when again, and what happens where nobody answers.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

mod balance;
mod budget;
mod fail_open;
mod hedging;
mod server;

use std::time::Duration;

use pdp_client::{
    Builder, Client, Ejection, Permission, Question, Resource, Retries, RetryBudget, Subject,
};
use tokio::time::timeout;

use self::server::Server;

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(3_600);

/// Retries at once and as often as may be, and leaves out for good.
fn builder<'a>(servers: impl IntoIterator<Item = &'a Server>) -> Builder {
    let mut addresses = servers.into_iter().map(Server::address);
    Client::builder(addresses.next().unwrap())
        .endpoints(addresses)
        .retries(Retries { first_backoff: Duration::ZERO, ..Retries::default() })
        .retry_budget(RetryBudget { percent: 100, floor: 100, window: LONG })
        .ejection(Ejection { base_time: LONG, max_time: LONG })
        .deadline(Duration::from_secs(60))
}

fn question() -> Question {
    let (person, view) = (Subject::person("ana"), Permission::operation("View"));
    Question::new(person, view, Resource::new("Report", "absence"))
}

/// Which server answered.
async fn answerer(client: &Client) -> u64 {
    client.check(&question()).await.unwrap().revision.get()
}

/// Waits for what has to happen, and not for ever.
async fn soon<T>(awaited: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), awaited).await.expect("it has not happened")
}

/// Asks until this server answers.
async fn until_answered_by(client: &Client, server: &Server) {
    soon(async { while answerer(client).await != server.number() {} }).await;
}

/// Asks until nobody else has answered for long.
async fn until_only(client: &Client, server: &Server) {
    soon(async {
        let mut in_a_row = 0;
        while in_a_row < 60 {
            in_a_row = if answerer(client).await == server.number() { in_a_row + 1 } else { 0 };
        }
    })
    .await;
}
