//! Single calls: what is retried, and what of an answer is believed.

use std::time::{Duration, UNIX_EPOCH};

use pdp_client::{
    Client, Code, Decision, Error, ForceEnd, OpenRequest, Outcome, Reason, Revision, SessionEnd,
    SessionState, v1,
};

use crate::scripted::{Answer, Seen, allow, at, closed, deny, removal, serve, session};

fn request() -> OpenRequest {
    OpenRequest::new("k-1", "ana", "web-07").level("root")
}

fn opened() -> v1::SessionServiceOpenResponse {
    v1::SessionServiceOpenResponse {
        decision: Some(allow()),
        session: Some(session()),
        replayed: false,
    }
}

fn unusable<T: std::fmt::Debug>(answer: Result<T, Error>) -> String {
    match answer {
        Err(Error::Protocol { message }) => message,
        other => panic!("{other:?}"),
    }
}

async fn answered(answer: Answer) -> Client {
    serve([answer]).await.1
}

#[tokio::test]
async fn opening_is_retried_under_its_key() {
    let script = [
        Answer::Fail(Code::Unavailable),
        Answer::Fail(Code::Unavailable),
        Answer::Open(v1::SessionServiceOpenResponse { replayed: true, ..opened() }),
    ];
    let (server, client) = serve(script).await;
    let told = client.at_least(Revision::new(4)).sessions().open(&request()).await.unwrap();
    assert!(told.replayed && told.decision.as_ref().is_some_and(Decision::is_allow));
    let open = told.open().unwrap();
    assert_eq!((open.id.as_str(), open.not_after), ("s-1", UNIX_EPOCH + Duration::from_secs(20)));
    let sent = Seen::Open(v1::SessionServiceOpenRequest {
        tenant: "acme".into(),
        request_key: "k-1".into(),
        person: "ana".into(),
        computer: "web-07".into(),
        level: Some("root".into()),
        at_least: 4,
    });
    assert_eq!(server.seen(), [sent.clone(), sent.clone(), sent]);
}

#[tokio::test]
async fn nothing_is_opened_without_a_key_and_nothing_else_is_retried() {
    let (server, client) = serve([Answer::Fail(Code::ResourceExhausted)]).await;
    let keyless = OpenRequest { request_key: String::new(), ..request() };
    let error = client.sessions().open(&keyless).await.unwrap_err();
    assert!(matches!(error, Error::Setting { .. }), "{error:?}");
    assert!(server.seen().is_empty());
    let error = client.sessions().open(&request()).await.unwrap_err();
    assert_eq!((error.code(), server.seen().len()), (Code::ResourceExhausted, 1));
}

#[tokio::test]
async fn a_denial_opens_nothing_and_an_ended_session_is_not_open() {
    let denied =
        v1::SessionServiceOpenResponse { decision: Some(deny(24)), session: None, replayed: false };
    let told = answered(Answer::Open(denied)).await.sessions().open(&request()).await.unwrap();
    assert_eq!(told.open(), None);
    assert_eq!(told.decision.unwrap().reason, Reason::Excluded);

    let replayed = |decision, session| {
        let session = Some(session);
        Answer::Open(v1::SessionServiceOpenResponse { decision, session, replayed: true })
    };
    let client = answered(replayed(None, closed())).await;
    let told = client.sessions().open(&request()).await.unwrap();
    assert!(told.decision.is_none() && told.session.is_some());
    assert_eq!(told.open(), None, "it has ended");
    let client = answered(replayed(Some(deny(24)), session())).await;
    let told = client.sessions().open(&request()).await.unwrap();
    assert!(told.session.as_ref().is_some_and(pdp_client::Session::is_open));
    assert_eq!(told.open(), None, "it is open, and does not stand any more");
    let client = answered(replayed(Some(allow()), closed())).await;
    assert_eq!(client.sessions().open(&request()).await.unwrap().open(), None);

    let plain = v1::Session {
        level: None,
        account: None,
        group: None,
        jit: false,
        delete_account: false,
        account_mode: 0,
        ..session()
    };
    let due = v1::Obligations { not_after: at(20), privileged: None };
    let unprivileged = v1::SessionServiceOpenResponse {
        decision: Some(v1::Decision { obligations: Some(due), ..allow() }),
        session: Some(plain),
        replayed: false,
    };
    let client = answered(Answer::Open(unprivileged)).await;
    let told = client.sessions().open(&OpenRequest::new("k-1", "ana", "web-07")).await.unwrap();
    assert!(told.open().is_some_and(|session| session.privileges.is_none()));
}

#[tokio::test]
async fn an_answer_that_does_not_fit_opens_nothing() {
    let of = |change: fn(&mut v1::Session)| {
        let mut changed = session();
        change(&mut changed);
        v1::SessionServiceOpenResponse { session: Some(changed), ..opened() }
    };
    let by = |decision: v1::Decision| v1::SessionServiceOpenResponse {
        decision: Some(decision),
        ..opened()
    };
    let existing = |account: &str| {
        let mut decision = allow();
        let due = decision.obligations.as_mut().unwrap().privileged.as_mut().unwrap();
        (due.account_mode, due.account) = (1, Some(account.to_owned()));
        decision
    };
    let another = "session `s-1` is not the one that was asked for";
    let otherwise = "session `s-1` is not what its obligations say";
    for (response, why) in [
        (v1::SessionServiceOpenResponse { decision: None, ..opened() }, "it holds no decision"),
        (
            v1::SessionServiceOpenResponse { session: None, ..opened() },
            "it allows a session and holds none",
        ),
        (by(deny(25)), "its DENY comes with a session"),
        (by(v1::Decision { effect: 4, ..allow() }), "its effect 4 is not a known one"),
        (
            by(v1::Decision { obligations: None, ..allow() }),
            "it allows a session without its obligations",
        ),
        (of(|session| session.person = "bo".into()), another),
        (of(|session| session.computer = "web-08".into()), another),
        (of(|session| session.request_key = "k-2".into()), another),
        (of(|session| session.level = Some("domain".into())), another),
        (of(|session| session.group = Some("web-07/Everybody".into())), otherwise),
        (
            of(|session| {
                (session.jit, session.delete_account, session.account_mode) = (false, false, 1);
            }),
            otherwise,
        ),
        (of(|session| session.account_mode = 3), otherwise),
        (
            v1::SessionServiceOpenResponse { decision: None, replayed: true, ..opened() },
            "it holds no decision",
        ),
        (
            v1::SessionServiceOpenResponse {
                decision: Some(deny(24)),
                session: None,
                replayed: true,
            },
            "it was answered before, and holds no session",
        ),
        (by(existing("web-07/ana")), otherwise),
        (by(existing("web-07/ana_000000000001")), otherwise),
        (of(|session| session.state = 7), "the state 7 of session `s-1` is not known"),
    ] {
        let client = answered(Answer::Open(response)).await;
        assert_eq!(unusable(client.sessions().open(&request()).await), why);
    }
}

#[tokio::test]
async fn a_renewal_says_how_the_session_stands() {
    let renewal = |decision, session| {
        Answer::Renew(v1::SessionServiceRenewResponse { decision, session: Some(session) })
    };
    let longer = v1::Session { not_after: at(40), ..session() };
    let renewed = v1::Decision { obligations: None, ..allow() };
    let script = [Answer::Fail(Code::Unavailable), renewal(Some(renewed), longer)];
    let (server, client) = serve(script).await;
    let told = client.sessions().renew("s-1").await.unwrap();
    assert_eq!(told.open().unwrap().not_after, UNIX_EPOCH + Duration::from_secs(40));
    assert_eq!(server.seen().len(), 2);

    let revoked = v1::Session { end: 4, revoked_by: 24, ..closed() };
    let client = answered(renewal(Some(deny(24)), revoked)).await;
    let told = client.sessions().renew("s-1").await.unwrap();
    let end = SessionEnd::Revoked(Reason::Excluded);
    assert_eq!(told.session.state, SessionState::Ended { at: ended_at(), end });
    assert_eq!(told.open(), None);

    let told = answered(renewal(None, closed())).await.sessions().renew("s-1").await.unwrap();
    assert!(told.decision.is_none() && told.open().is_none());

    for answer in [renewal(None, session()), renewal(Some(deny(24)), session())] {
        let why = unusable(answered(answer).await.sessions().renew("s-1").await);
        assert_eq!(why, "it does not renew session `s-1` and leaves it open");
    }
    let why = unusable(answered(renewal(None, closed())).await.sessions().renew("s-2").await);
    assert_eq!(why, "it is about session `s-1` and not about `s-2`");
}

fn ended_at() -> std::time::SystemTime {
    UNIX_EPOCH + Duration::from_secs(15)
}

#[tokio::test]
async fn a_closed_session_tells_what_is_due() {
    let script = [Answer::Fail(Code::Unavailable), Answer::Session(Some(closed()))];
    let (server, client) = serve(script).await;
    let told = client.sessions().close("s-1").await.unwrap();
    let due: Vec<_> = told.revocations.iter().map(|item| item.task.kind().as_str()).collect();
    assert_eq!(due, ["REMOVE_FROM_GROUP", "DELETE_ACCOUNT"]);
    assert_eq!(server.seen().len(), 2);
    let client = answered(Answer::Session(Some(session()))).await;
    assert!(unusable(client.sessions().close("s-1").await).ends_with("leaves it open"));
    let client = answered(Answer::Session(None)).await;
    assert_eq!(unusable(client.sessions().close("s-1").await), "it holds no session");
}

#[tokio::test]
async fn a_session_is_read_by_its_id_or_its_key() {
    let script = [Answer::Session(Some(session())), Answer::Session(Some(session()))];
    let (server, client) = serve(script).await;
    let by_id = client.sessions().get("s-1").await.unwrap();
    assert_eq!(client.sessions().get_by_key("k-1").await.unwrap(), by_id);
    let by = |by| Seen::Get(v1::SessionServiceGetRequest { tenant: "acme".into(), by: Some(by) });
    use v1::session_service_get_request::By;
    let sent = [by(By::Session("s-1".into())), by(By::RequestKey("k-1".into()))];
    assert_eq!(server.seen(), sent);
    let client = answered(Answer::Session(Some(session()))).await;
    let why = unusable(client.sessions().get_by_key("k-2").await);
    assert_eq!(why, "session `s-1` was opened under `k-1`, not `k-2`");
    let client = answered(Answer::Fail(Code::NotFound)).await;
    assert_eq!(client.sessions().get("s-9").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn sessions_are_listed_page_by_page() {
    let page = |id: &str, next: &str| {
        let sessions = vec![v1::Session { id: id.to_owned(), ..session() }];
        Answer::Page(v1::SessionServiceListResponse { sessions, next_page_token: next.to_owned() })
    };
    let (server, client) =
        serve([page("s-1", "t"), Answer::Fail(Code::Unavailable), page("s-2", "")]).await;
    let list = client.sessions().list().of_person("ana").on_computer("web-07").open();
    let listed = list.outstanding().collect().await.unwrap();
    let ids: Vec<_> = listed.iter().map(|session| session.id.as_str()).collect();
    assert_eq!(ids, ["s-1", "s-2"]);
    let Seen::List(sent) = &server.seen()[2] else { panic!("a list") };
    assert_eq!((sent.page_token.as_str(), sent.state, sent.outstanding), ("t", 1, true));
    assert_eq!((sent.person.as_deref(), sent.computer.as_deref()), (Some("ana"), Some("web-07")));

    let (_server, client) = serve([page("s-1", "t"), page("s-2", "t")]).await;
    let why = unusable(client.sessions().list().ended().collect().await);
    assert_eq!(why, "a page names itself as the next one");
    let broken = v1::Session { state: 0, ..session() };
    let broken = v1::SessionServiceListResponse { sessions: vec![broken], ..Default::default() };
    let client = answered(Answer::Page(broken)).await;
    unusable(client.sessions().list().collect().await);
}

#[tokio::test]
async fn sessions_are_ended_by_force() {
    let (server, client) = serve([Answer::Fail(Code::Unavailable), Answer::Ended(3)]).await;
    let which = ForceEnd::default().person("ana").level("root").note("stolen laptop");
    assert_eq!(client.sessions().force_end(&which).await.unwrap(), 3);
    let sent = v1::ForceEndRequest {
        tenant: "acme".into(),
        person: Some("ana".into()),
        computer: None,
        level: Some("root".into()),
        note: "stolen laptop".into(),
    };
    assert_eq!(server.seen()[1], Seen::ForceEnd(sent));
}

#[tokio::test]
async fn what_became_of_work_is_said_until_it_is_heard() {
    let settled = |state| v1::Revocation { state, settled: at(17), ..removal("r-1") };
    let script = [Answer::Fail(Code::Unavailable), Answer::Revocation(Some(settled(2)))];
    let (server, client) = serve(script).await;
    let told = client.sessions().acknowledge("r-1", &Outcome::Done).await.unwrap();
    assert_eq!((told.state.as_str(), server.seen().len()), ("DONE", 2));

    let failed = v1::Revocation {
        failures: 1,
        last_failure: "no route".into(),
        not_before: at(18),
        ..removal("r-1")
    };
    let (server, client) = serve([Answer::Revocation(Some(failed))]).await;
    let outcome = Outcome::failed("no route");
    let told = client.sessions().acknowledge("r-1", &outcome).await.unwrap();
    assert!(told.is_outstanding());
    use v1::acknowledge_revocation_request::Outcome as Wire;
    let Seen::Acknowledge(sent) = &server.seen()[0] else { panic!("an acknowledgement") };
    let message = "no route".to_owned();
    assert_eq!(sent.outcome, Some(Wire::Failed(v1::RevocationFailed { message })));

    let client = answered(Answer::Revocation(Some(settled(3)))).await;
    let told = client.sessions().acknowledge("r-1", &Outcome::Done).await.unwrap();
    assert_eq!(told.state.as_str(), "SUPERSEDED");

    let client = answered(Answer::Revocation(Some(removal("r-1")))).await;
    let why = unusable(client.sessions().acknowledge("r-1", &Outcome::Done).await);
    assert_eq!(why, "revocation `r-1` is done and stays outstanding");
    let client = answered(Answer::Revocation(Some(settled(2)))).await;
    let why = unusable(client.sessions().acknowledge("r-9", &Outcome::Done).await);
    assert_eq!(why, "it is about revocation `r-1` and not about `r-9`");
}
