//! Who is asked.

use std::collections::HashMap;
use std::time::Duration;

use pdp_client::{
    ChangeSet, Client, Code, Ejection, Error, Import, Permission, PolicyEvent, Subject, v1,
};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

use super::server::{Mode, Server};
use super::{LONG, answerer, builder, question, soon, until_answered_by, until_only};

const AT_ONCE: Ejection = Ejection { base_time: Duration::ZERO, max_time: Duration::ZERO };

fn unavailable(reason: &str) -> Mode {
    let details = ErrorDetails::with_error_info(reason, "pdp", HashMap::new());
    Mode::Fail(Status::with_error_details(Code::Unavailable, "as told", details))
}

async fn two() -> [Server; 2] {
    [Server::start(1).await, Server::start(2).await]
}

async fn two_with_health() -> [Server; 2] {
    [Server::with_health(1).await, Server::with_health(2).await]
}

/// The calls that changed nothing.
fn checks(server: &Server) -> usize {
    server.asked().iter().filter(|asked| asked.method == "Check").count()
}

#[tokio::test]
async fn calls_are_spread() {
    let servers = [Server::start(1).await, Server::start(2).await, Server::start(3).await];
    let client = builder(&servers).connect().await.unwrap();
    for _ in 0..300 {
        answerer(&client).await;
    }
    let asked: Vec<usize> = servers.iter().map(checks).collect();
    assert_eq!(asked.iter().sum::<usize>(), 300);
    assert!(asked.iter().all(|asked| *asked > 0), "{asked:?}");
}

#[tokio::test]
async fn of_two_the_one_with_less_to_do_is_asked() {
    let servers = two().await;
    let client = builder(&servers).connect().await.unwrap();
    servers.iter().for_each(|server| server.reads(Mode::Hang));
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { answerer(&client).await }
    });
    let [one, other] = &servers;
    let (busy, idle) = soon(async {
        tokio::select! {
            () = one.until_asked(1) => (one, other),
            () = other.until_asked(1) => (other, one),
        }
    })
    .await;
    idle.reads(Mode::Allow);
    for _ in 0..50 {
        assert_eq!(answerer(&client).await, idle.number());
    }
    busy.reads(Mode::Allow);
    assert_eq!(soon(waiting).await.unwrap(), busy.number());
    until_answered_by(&client, busy).await;
}

#[tokio::test]
async fn what_is_unavailable_is_asked_elsewhere_and_left_out() {
    let [down, up] = two().await;
    down.reads(Mode::Fail(Status::unavailable("as told")));
    let client = builder([&down, &up]).connect().await.unwrap();
    for _ in 0..100 {
        assert_eq!(answerer(&client).await, up.number());
    }
    assert_eq!((checks(&down), checks(&up)), (1, 100));
}

#[tokio::test]
async fn a_server_that_says_no_to_one_thing_is_not_left_out() {
    let [behind, up] = two().await;
    behind.reads(unavailable("REVISION_NOT_REACHED"));
    let client = builder([&behind, &up]).connect().await.unwrap();
    soon(async {
        while checks(&behind) < 5 {
            assert_eq!(answerer(&client).await, up.number());
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_dies_is_left_out_and_comes_back() {
    let [mortal, other] = two().await;
    let client = builder([&mortal, &other]).ejection(AT_ONCE).connect().await.unwrap();
    until_answered_by(&client, &mortal).await;
    mortal.cut_off();
    for _ in 0..50 {
        assert_eq!(answerer(&client).await, other.number());
    }
    mortal.back();
    until_answered_by(&client, &mortal).await;
}

#[tokio::test]
async fn a_server_that_drains_is_left_before_it_goes() {
    let [draining, other] = two_with_health().await;
    let client = builder([&draining, &other]).connect().await.unwrap();
    until_answered_by(&client, &draining).await;
    draining.serving(false).await;
    until_only(&client, &other).await;
    draining.serving(true).await;
    until_answered_by(&client, &draining).await;
}

#[tokio::test]
async fn watching_its_health_brings_a_server_back() {
    let [mortal, other] = two_with_health().await;
    let client = builder([&mortal, &other]).ejection(AT_ONCE).connect().await.unwrap();
    until_answered_by(&client, &mortal).await;
    mortal.cut_off();
    until_only(&client, &other).await;
    mortal.back();
    until_answered_by(&client, &mortal).await;
}

#[tokio::test]
async fn where_no_server_is_healthy_all_are_asked() {
    let servers = two_with_health().await;
    for server in &servers {
        server.serving(false).await;
    }
    let client = builder(&servers).connect().await.unwrap();
    for server in &servers {
        until_answered_by(&client, server).await;
    }
}

#[tokio::test]
async fn one_server_that_serves_is_enough_to_begin() {
    let [starting, up] = two_with_health().await;
    starting.serving(false).await;
    for _ in 0..10 {
        let client = builder([&starting, &up]).connect_lazy().unwrap();
        soon(client.wait_until_serving("pdp.v1.DecisionService")).await.unwrap();
    }
    up.serving(false).await;
    let client = builder([&starting, &up]).deadline(Duration::from_millis(20)).connect_lazy();
    let error = client.unwrap().wait_until_serving("pdp.v1.DecisionService").await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn what_one_server_asks_for_is_no_reason_to_wait_for_another() {
    let [asking, up] = two().await;
    let mut details = ErrorDetails::with_retry_info(Some(LONG));
    details.set_error_info("STARTING", "pdp", HashMap::new());
    let starting = Status::with_error_details(Code::Unavailable, "as told", details);
    asking.reads(Mode::Fail(starting));
    let client = builder([&asking, &up]).ejection(AT_ONCE).connect().await.unwrap();
    soon(async {
        while checks(&asking) == 0 {
            assert_eq!(answerer(&client).await, up.number());
        }
    })
    .await;
    for _ in 0..50 {
        assert_eq!(answerer(&client).await, up.number());
    }
    assert_eq!(checks(&asking), 1, "it has the time that it asked for");
    let alone = builder([&asking]).connect().await.unwrap();
    let error = alone.check(&question()).await.unwrap_err();
    assert_eq!((error.retry_delay(), checks(&asking)), (Some(LONG), 2));
}

#[tokio::test]
async fn a_write_goes_elsewhere_under_the_same_request_id() {
    let [down, up] = two().await;
    down.writes(Mode::Fail(Status::unavailable("as told")));
    let client = builder([&down, &up]).connect().await.unwrap();
    soon(async {
        while down.asked().is_empty() {
            let applied = client.apply(ChangeSet::new(Vec::new())).await.unwrap();
            assert_eq!(applied.revision.get(), up.number());
        }
    })
    .await;
    let (refused, applied) = (down.asked().remove(0), up.asked().pop().unwrap());
    assert_eq!(refused.request_id.len(), 32);
    assert_eq!(refused, applied);
}

#[tokio::test]
async fn the_pages_of_a_list_come_from_one_server() {
    let servers = two().await;
    let client = builder(&servers).connect().await.unwrap();
    let list =
        || client.list_resources(Subject::person("ana"), Permission::operation("View"), "Report");
    for _ in 0..30 {
        assert_eq!(list().collect().await.unwrap().items.len(), 3);
    }
    let asked = servers.each_ref().map(|server| server.asked().len());
    assert!(asked.iter().all(|asked| *asked > 0 && asked % 3 == 0), "{asked:?}");
}

#[tokio::test]
async fn a_stream_stays_where_it_is_until_that_ends() {
    let servers = two().await;
    let client = builder(&servers).connect().await.unwrap();
    let mut watch = client.watch_policy(None);
    assert!(matches!(soon(watch.event()).await, Ok(PolicyEvent::Current(_))));
    let [one, other] = &servers;
    let (first, second) = if one.asked().is_empty() { (other, one) } else { (one, other) };
    assert!(second.asked().is_empty());
    first.cut_off();
    let lost = soon(watch.event()).await.unwrap();
    let PolicyEvent::Lost { error, .. } = lost else { panic!("the connection was cut: {lost:?}") };
    assert!(error.to_string().contains(&first.address()), "{error}");
    assert!(matches!(soon(watch.event()).await, Ok(PolicyEvent::Current(_))));
    assert_eq!(second.asked().len(), 1);
}

#[tokio::test]
async fn one_server_that_is_there_is_enough_to_connect() {
    let [down, up] = two().await;
    down.cut_off();
    let client = builder([&down, &up]).connect().await.unwrap();
    for _ in 0..20 {
        assert_eq!(answerer(&client).await, up.number());
    }
    let addresses: Vec<&str> = client.endpoints().collect();
    assert_eq!(addresses, [down.address(), up.address()]);
    assert_eq!(client.endpoint(), down.address());
}

#[tokio::test]
async fn nobody_anywhere_is_told_with_the_first_address() {
    // Ports that were just free: bound and let go again.
    let free = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        (format!("http://{}", listener.local_addr().unwrap()), listener)
    };
    let ((one, first), (other, second)) = (free(), free());
    drop((first, second));
    let error = Client::builder(one.clone()).endpoint(other).connect().await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot reach {one}: connection refused"));
}

#[tokio::test]
async fn endpoints_that_cannot_be_meant_are_refused() {
    let message = |addresses: &[String]| {
        let builder = Client::builder("http://pdp").endpoints(addresses);
        builder.connect_lazy().unwrap_err().to_string()
    };
    let twice = message(&["http://pdp-2".into(), "http://pdp".into()]);
    assert_eq!(twice, "the endpoint `http://pdp` is named twice");
    let many: Vec<String> = (0..64).map(|n| format!("http://pdp-{n}")).collect();
    assert_eq!(message(&many), "a client has up to 64 endpoints, and these are 65");
    assert!(message(&["pdp:7070".into()]).starts_with("`pdp:7070` is not the address"));
    let both = Client::builder("https://pdp").endpoint("http://pdp").token("abc").connect_lazy();
    assert!(both.unwrap_err().to_string().starts_with("a token would be sent to http://pdp/"));
}

#[tokio::test]
async fn everything_that_is_sent_says_who_calls() {
    let server = Server::start(1).await;
    let client = builder([&server]).token("abc").connect().await.unwrap();
    assert!(client.check(&question()).await.is_ok());
    let unknown = |error: Error| error.code() == Code::Unimplemented;
    assert!(unknown(client.check_stream().await.unwrap_err()));
    assert!(unknown(client.import(Import::new(), Vec::<v1::Change>::new()).await.unwrap_err()));
    assert!(unknown(client.export().await.unwrap_err()));
    assert!(client.watch_policy(None).event().await.is_ok());
    let asked = server.asked();
    assert_eq!(asked.len(), 5);
    assert!(asked.iter().all(|asked| asked.with_token), "{asked:?}");
}
