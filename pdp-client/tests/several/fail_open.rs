//! What goes on where no server can be reached: what is listed, and nothing else.

use std::collections::HashMap;
use std::time::Duration;

use pdp_client::{
    Answer, Client, Code, Effect, Error, FailOpen, Permission, Question, Reason, Resource, Revision,
};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

use super::server::{Mode, Server};
use super::{builder, question};

fn listed() -> FailOpen {
    FailOpen::none().with("Report", Permission::operation("View"))
}

async fn served(mode: Mode) -> (Server, Client) {
    let server = Server::start(1).await;
    server.reads(mode);
    let client = builder([&server]).fail_open(listed()).connect().await.unwrap();
    (server, client)
}

fn opened(answer: Result<Answer, Error>) -> Error {
    match answer {
        Ok(answer @ Answer::FailedOpen { .. }) if answer.decision().is_some() => {
            panic!("it is no decision: {answer:?}")
        }
        Ok(Answer::FailedOpen { error }) => error,
        other => panic!("it did not open: {other:?}"),
    }
}

#[tokio::test]
async fn a_listed_permission_opens_where_no_server_is_reached() {
    let servers = [Server::start(1).await, Server::start(2).await];
    let client = builder(&servers).fail_open(listed()).connect().await.unwrap();
    servers.iter().for_each(Server::cut_off);
    let error = opened(client.check_or_fail_open(&question()).await);
    assert_eq!(error.code(), Code::Unavailable);
    assert!(client.check_or_fail_open(&question()).await.unwrap().is_allow());
    let closed = client.check(&question()).await.unwrap_err();
    assert_eq!(closed.code(), Code::Unavailable, "a check is a check");
    for other in [
        Question { permission: Permission::operation("Edit"), ..question() },
        Question { resource: Resource::new("Page", "absence"), ..question() },
        question().with_counterpart(Resource::new("Report", "payroll")),
    ] {
        let error = client.check_or_fail_open(&other).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
    }
    servers[1].back();
    let answer = client.check_or_fail_open(&question()).await.unwrap();
    assert_eq!(answer.decision().map(|decision| decision.revision), Some(Revision::new(2)));
}

#[tokio::test]
async fn nothing_opens_unless_it_is_listed() {
    let server = Server::start(1).await;
    let client = builder([&server]).connect().await.unwrap();
    server.cut_off();
    let error = client.check_or_fail_open(&question()).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_decision_that_came_holds() {
    let (server, client) = served(Mode::Deny).await;
    let Answer::Decided(decision) = client.check_or_fail_open(&question()).await.unwrap() else {
        panic!("the server decided")
    };
    assert_eq!((decision.effect, decision.reason), (Effect::Deny, Reason::ExplicitDeny));
    server.reads(Mode::Allow);
    assert!(!client.check_or_fail_open(&question()).await.unwrap().is_failed_open());
    server.reads(Mode::Mumble);
    let error = client.check_or_fail_open(&question()).await.unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
}

#[tokio::test]
async fn what_a_server_refuses_stays_refused() {
    let (server, client) = served(Mode::Allow).await;
    for code in (1..=16).map(Code::from_i32) {
        if matches!(code, Code::Unavailable | Code::DeadlineExceeded) {
            continue;
        }
        server.reads(Mode::Fail(Status::new(code, "as told")));
        let error = client.check_or_fail_open(&question()).await.unwrap_err();
        assert_eq!(error.code(), code);
    }
    for reason in ["REVISION_NOT_REACHED", "AUTHENTICATION_BUSY", "STORE_UNAVAILABLE"] {
        let details = ErrorDetails::with_error_info(reason, "pdp", HashMap::new());
        let status = Status::with_error_details(Code::Unavailable, "as told", details);
        server.reads(Mode::Fail(status));
        let error = client.check_or_fail_open(&question()).await.unwrap_err();
        assert_eq!(error.reason(), Some(reason));
    }
}

#[tokio::test]
async fn what_one_server_said_holds_where_the_others_are_gone() {
    let details = ErrorDetails::with_error_info("AUTHENTICATION_BUSY", "pdp", HashMap::new());
    let busy = Status::with_error_details(Code::Unavailable, "as told", details);
    let [there, gone] = [Server::start(1).await, Server::start(2).await];
    there.reads(Mode::Fail(busy));
    for hedged in [false, true] {
        for _ in 0..20 {
            let mut builder = builder([&there, &gone]).fail_open(listed());
            if hedged {
                builder = builder.hedge_after(Duration::ZERO);
            }
            let client = builder.connect().await.unwrap();
            gone.cut_off();
            let error = client.check_or_fail_open(&question()).await.unwrap_err();
            assert_eq!(error.reason(), Some("AUTHENTICATION_BUSY"));
            gone.back();
        }
    }
}

#[tokio::test]
async fn a_deadline_opens_unless_a_revision_is_waited_for() {
    let (_server, client) = served(Mode::Hang).await;
    let hurried = client.with_deadline(Duration::from_millis(20));
    let error = opened(hurried.check_or_fail_open(&question()).await);
    assert!(matches!(error, Error::DeadlineExceeded { .. }), "{error:?}");
    let waiting = hurried.at_least(Revision::new(9));
    let error = waiting.check_or_fail_open(&question()).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_session_cannot_be_listed() {
    let list = listed().with("Computer", Permission::session("root"));
    let error = Client::builder("http://pdp").fail_open(list).connect_lazy().unwrap_err();
    assert!(matches!(error, Error::Setting { .. }), "{error:?}");
}
