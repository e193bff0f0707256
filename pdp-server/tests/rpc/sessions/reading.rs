//! Get, List, and how many there are.

use pdp_proto::v1::session_service_get_request::By;
use pdp_proto::v1::{self, SessionEnd, SessionState};
use tonic::{Code, Response};

use super::{
    Answer, HOUR, acknowledge, after, ask, close, done, folder, get, opened, request, set_clock,
};
use crate::errors::{metadata, told};
use crate::lifecycle::fetch;
use crate::served::Served;

async fn list(
    served: &Served,
    request: v1::SessionServiceListRequest,
) -> Answer<v1::SessionServiceListResponse> {
    served.sessions().list(request).await.map(Response::into_inner)
}

/// The keys of all sessions of a list, page by page.
async fn keys(
    served: &Served,
    request: &v1::SessionServiceListRequest,
    page_size: u32,
) -> Vec<String> {
    let mut request = v1::SessionServiceListRequest { page_size, ..request.clone() };
    let mut keys = Vec::new();
    loop {
        let page = list(served, request.clone()).await.unwrap();
        keys.extend(page.sessions.into_iter().map(|session| session.request_key));
        if page.next_page_token.is_empty() {
            return keys;
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn a_session_is_found_by_its_id_and_by_its_key() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let session = opened(&served, "ana", "web", "admin").await;
    let find = async |by| {
        let request = v1::SessionServiceGetRequest { by: Some(by), ..Default::default() };
        let found = served.sessions().get(request).await;
        found.map(|answer| answer.into_inner().session.unwrap())
    };
    assert_eq!(find(By::Session(session.id.clone())).await.unwrap(), session);
    assert_eq!(find(By::RequestKey("ana web admin".into())).await.unwrap(), session);
    for by in [By::Session("ana web admin".into()), By::RequestKey(session.id.clone())] {
        let refused = find(by).await.unwrap_err();
        assert_eq!(told(&refused), (Code::NotFound, "UNKNOWN_SESSION".to_owned(), Vec::new()));
        assert!(!metadata(&refused, "session").is_empty());
    }
    served.stop().await;
    let served = Served::start(&folder).await;
    assert_eq!(get(&served, &session.id).await.unwrap(), session, "after a restart");
    // Its time is over at that very instant, whoever has noticed.
    set_clock(&served, HOUR - 1);
    assert_eq!(get(&served, &session.id).await.unwrap().state(), SessionState::Open);
    set_clock(&served, HOUR);
    let over = get(&served, &session.id).await.unwrap();
    assert_eq!((over.state(), over.end()), (SessionState::Ended, SessionEnd::Expired));
    assert_eq!(over.ended, Some(after(HOUR)));
    served.stop().await;
}

#[tokio::test]
async fn a_list_is_narrowed_and_comes_page_by_page() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let all = v1::SessionServiceListRequest::default;
    assert!(keys(&served, &all(), 0).await.is_empty());
    let early = opened(&served, "ana", "web", "admin").await;
    set_clock(&served, HOUR / 2);
    let own = opened(&served, "bo", "own", "admin").await;
    opened(&served, "bo", "web", "admin").await;
    ask(&served, request("plain", "ana", "web", None)).await.unwrap();
    let kept = opened(&served, "ana", "keep", "admin").await;
    let done_with = close(&served, &kept.id).await.unwrap();
    acknowledge(&served, &done_with.revocations[0].id, done()).await.unwrap();
    close(&served, &own.id).await.unwrap();
    set_clock(&served, HOUR);

    let some = |text: &str| Some(text.to_owned());
    let state = |state: SessionState| v1::SessionServiceListRequest {
        state: state.into(),
        ..Default::default()
    };
    let (first, of_own, of_web, plain, of_keep) =
        ("ana web admin", "bo own admin", "bo web admin", "plain", "ana keep admin");
    let cases = [
        (all(), vec![first, of_own, of_web, plain, of_keep]),
        (
            v1::SessionServiceListRequest { person: some("ana"), ..all() },
            vec![first, plain, of_keep],
        ),
        (v1::SessionServiceListRequest { person: some("zoe"), ..all() }, vec![]),
        (
            v1::SessionServiceListRequest { computer: some("web"), ..all() },
            vec![first, of_web, plain],
        ),
        (
            v1::SessionServiceListRequest {
                person: some("bo"),
                computer: some("web"),
                ..state(SessionState::Open)
            },
            vec![of_web],
        ),
        // The first one is over at this very instant, swept or not.
        (state(SessionState::Open), vec![of_web, plain]),
        (state(SessionState::Ended), vec![first, of_own, of_keep]),
        (
            v1::SessionServiceListRequest { outstanding: true, person: some("bo"), ..all() },
            vec![of_own],
        ),
    ];
    for (request, expected) in cases {
        for page_size in [0, 1, 2, 1_000] {
            assert_eq!(keys(&served, &request, page_size).await, expected, "{request:?}");
        }
    }
    let listed = list(&served, state(SessionState::Ended)).await.unwrap().sessions;
    assert_eq!((listed[0].id.as_str(), listed[0].ended), (early.id.as_str(), Some(after(HOUR))));
    assert!(listed.iter().all(|session| session.state() == SessionState::Ended));
    served.stop().await;
}

#[tokio::test]
async fn a_page_token_belongs_to_its_list() {
    let folder = folder();
    let served = Served::start(&folder).await;
    for key in ["k-1", "k-2", "k-3"] {
        ask(&served, request(key, "ana", "web", None)).await.unwrap();
    }
    let some = |text: &str| Some(text.to_owned());
    let page = v1::SessionServiceListRequest { page_size: 1, ..Default::default() };
    let token = list(&served, page).await.unwrap().next_page_token;
    let with = |page_token: &str| v1::SessionServiceListRequest {
        page_token: page_token.into(),
        ..Default::default()
    };
    assert_eq!(list(&served, with(&token)).await.unwrap().sessions.len(), 2);
    let tenant = v1::TenantServiceCreateRequest { tenant: "acme".into() };
    served.tenants().create(tenant).await.unwrap();
    let refused =
        |code: &str| (Code::InvalidArgument, code.to_owned(), vec!["page_token".to_owned()]);
    for other in [
        v1::SessionServiceListRequest { person: some("ana"), ..with(&token) },
        v1::SessionServiceListRequest { outstanding: true, ..with(&token) },
        v1::SessionServiceListRequest { state: 1, ..with(&token) },
        v1::SessionServiceListRequest { tenant: "acme".into(), ..with(&token) },
    ] {
        let status = list(&served, other).await.unwrap_err();
        assert_eq!(told(&status), refused("PAGE_TOKEN_MISMATCH"));
    }
    for forged in ["x", "00", &format!("{}7a", &token[..16])] {
        let status = list(&served, with(forged)).await.unwrap_err();
        assert_eq!(told(&status), refused("PAGE_TOKEN_INVALID"), "{forged}");
    }
    served.stop().await;
}

#[tokio::test]
async fn metrics_tell_how_many_are_open_and_how_much_is_to_be_done() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let shows = async |open: usize, work: usize| {
        let lines = [
            format!("\npdp_open_sessions {open}\n"),
            format!("\npdp_outstanding_revocations {work}\n"),
        ];
        // The upkeep counts them once a second.
        loop {
            let metrics = fetch(served.http, "/metrics").await;
            if lines.iter().all(|line| metrics.contains(line)) {
                return;
            }
        }
    };
    shows(0, 0).await;
    let session = opened(&served, "ana", "web", "admin").await;
    opened(&served, "bo", "own", "admin").await;
    shows(2, 0).await;
    let closed = close(&served, &session.id).await.unwrap();
    shows(1, 2).await;
    acknowledge(&served, &closed.revocations[0].id, done()).await.unwrap();
    shows(1, 1).await;
    served.stop().await;
}
