//! An outage is not multiplied.

use std::time::Duration;

use pdp_client::{Code, RetryBudget};
use tonic::Status;

use super::server::{Mode, Server};
use super::{builder, question};

/// Nothing fades within the test.
const BUDGET: RetryBudget =
    RetryBudget { percent: 20, floor: 5, window: Duration::from_secs(1_000_000) };

fn failing() -> Mode {
    Mode::Fail(Status::unavailable("as told"))
}

#[tokio::test]
async fn retries_are_a_share_of_the_calls_however_long_an_outage_is() {
    for count in 1..=3 {
        let mut servers = Vec::new();
        for number in 1..=count {
            servers.push(Server::start(number).await);
        }
        servers.iter().for_each(|server| server.reads(failing()));
        let client = builder(&servers).retry_budget(BUDGET).connect().await.unwrap();
        for _ in 0..100 {
            let error = client.clone().check(&question()).await.unwrap_err();
            assert_eq!(error.code(), Code::Unavailable);
        }
        let sent: usize = servers.iter().map(|server| server.asked().len()).sum();
        // The floor, and a fifth; what fades may be a part of one.
        assert!((124..=125).contains(&sent), "{sent} for 100 calls to {count} servers");
    }
}

#[tokio::test]
async fn without_a_budget_nothing_is_sent_twice() {
    let server = Server::start(1).await;
    server.reads(failing());
    let client = builder([&server]).retry_budget(RetryBudget::NONE).connect().await.unwrap();
    for _ in 0..20 {
        assert!(client.check(&question()).await.is_err());
    }
    assert_eq!(server.asked().len(), 20);
}
