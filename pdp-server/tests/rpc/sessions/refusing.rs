//! Every wrong request, with its code, its reason and the field at fault.

use pdp_proto::v1::session_service_get_request::By;
use pdp_proto::v1::{self, fact::Fact};
use prost_types::Duration;
use tonic::Code;

use super::{acknowledge, ask, close, done, failed, folder, get, opened, renew, request};
use crate::errors::{metadata, told};
use crate::served::{Served, put, put_person};

type Told = (Code, String, Vec<String>);

fn malformed(field: &str) -> Told {
    (Code::InvalidArgument, "MALFORMED".to_owned(), vec![field.to_owned()])
}

fn limit(field: &str) -> Told {
    (Code::InvalidArgument, "LIMIT_EXCEEDED".to_owned(), vec![field.to_owned()])
}

fn unknown(reason: &str) -> Told {
    (Code::NotFound, reason.to_owned(), Vec::new())
}

#[tokio::test]
async fn wrong_requests_to_open_renew_close_and_get() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let good = || request("k", "ana", "web", Some("admin"));
    let long = "x".repeat(257);
    for (request, field) in [
        (request("", "ana", "web", None), "request_key"),
        (request(&"k".repeat(129), "ana", "web", None), "request_key"),
        (request("k\n", "ana", "web", None), "request_key"),
        (request("k", "", "web", None), "person"),
        (request("k", &long, "web", None), "person"),
        (request("k", "ana", "", None), "computer"),
        (request("k", "ana", "a\tb", None), "computer"),
        (request("k", "ana", "web", Some("")), "level"),
        (request("k", "ana", "web", Some(&long)), "level"),
        (v1::SessionServiceOpenRequest { tenant: "a\nb".into(), ..good() }, "tenant"),
    ] {
        let refused = ask(&served, request.clone()).await.unwrap_err();
        assert_eq!(told(&refused), malformed(field), "{request:?}");
        assert!(refused.message().starts_with(&format!("`{field}`: ")), "{refused}");
    }
    let longest = "k".repeat(128);
    assert!(ask(&served, request(&longest, "ana", "web", None)).await.unwrap().session.is_some());

    for id in ["", long.as_str(), "a\nb"] {
        assert_eq!(told(&renew(&served, id).await.unwrap_err()), malformed("session"));
        assert_eq!(told(&close(&served, id).await.unwrap_err()), malformed("session"));
        assert_eq!(told(&get(&served, id).await.unwrap_err()), malformed("session"));
    }
    for refused in [renew(&served, "x").await.map(|_| ()), close(&served, "x").await.map(|_| ())] {
        let refused = refused.unwrap_err();
        assert_eq!(told(&refused), unknown("UNKNOWN_SESSION"));
        assert_eq!(metadata(&refused, "session"), "x");
    }
    for (by, field) in [(None, "session"), (Some(By::RequestKey(String::new())), "request_key")] {
        let request = v1::SessionServiceGetRequest { by, ..Default::default() };
        let refused = served.sessions().get(request).await.unwrap_err();
        assert_eq!(told(&refused), malformed(field));
    }
    served.stop().await;
}

#[tokio::test]
async fn wrong_requests_to_end_list_and_watch() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let some = |text: &str| Some(text.to_owned());
    let end = v1::ForceEndRequest::default;
    for (request, expected) in [
        (end(), malformed("person")),
        (v1::ForceEndRequest { person: some(""), ..end() }, malformed("person")),
        (v1::ForceEndRequest { computer: some(""), ..end() }, malformed("computer")),
        (v1::ForceEndRequest { level: some(""), ..end() }, malformed("level")),
        (
            v1::ForceEndRequest { person: some("a"), note: "n".repeat(1_001), ..end() },
            limit("note"),
        ),
    ] {
        let refused = served.sessions().force_end(request).await.unwrap_err();
        assert_eq!(told(&refused), expected);
    }
    let list = v1::SessionServiceListRequest::default;
    for (request, expected) in [
        (v1::SessionServiceListRequest { person: some(""), ..list() }, malformed("person")),
        (v1::SessionServiceListRequest { computer: some(""), ..list() }, malformed("computer")),
        (v1::SessionServiceListRequest { state: 3, ..list() }, malformed("state")),
        (v1::SessionServiceListRequest { page_size: 1_001, ..list() }, limit("page_size")),
    ] {
        let refused = served.sessions().list(request).await.unwrap_err();
        assert_eq!(told(&refused), expected);
    }
    let watch = v1::WatchRevocationsRequest::default;
    let lease = |seconds, nanos| v1::WatchRevocationsRequest {
        lease: Some(Duration { seconds, nanos }),
        ..Default::default()
    };
    let computers = vec!["c".to_owned(); 10_001];
    for (request, expected) in [
        (lease(0, 999_999_999), malformed("lease")),
        (lease(0, 0), malformed("lease")),
        (lease(-5, 0), malformed("lease")),
        (lease(3_600, 1), malformed("lease")),
        (v1::WatchRevocationsRequest { computers, ..watch() }, limit("computers")),
        (
            v1::WatchRevocationsRequest { computers: vec!["a".into(), String::new()], ..watch() },
            malformed("computers[1]"),
        ),
        (
            v1::WatchRevocationsRequest { max_outstanding: 1_001, ..watch() },
            limit("max_outstanding"),
        ),
    ] {
        let refused = served.sessions().watch_revocations(request).await.unwrap_err();
        assert_eq!(told(&refused), expected);
    }
    served.stop().await;
}

#[tokio::test]
async fn wrong_requests_to_acknowledge() {
    let folder = folder();
    let served = Served::start(&folder).await;
    for (id, outcome, expected) in [
        ("", done(), malformed("revocation")),
        ("a\nb:group", done(), malformed("revocation")),
        ("x", done(), unknown("UNKNOWN_REVOCATION")),
        ("x:nothing", done(), unknown("UNKNOWN_REVOCATION")),
        ("x:group", done(), unknown("UNKNOWN_REVOCATION")),
        ("x:group", failed(&"m".repeat(1_001)), limit("failed.message")),
    ] {
        let refused = acknowledge(&served, id, outcome).await.unwrap_err();
        assert_eq!(told(&refused), expected, "{id}");
        if expected.0 == Code::NotFound {
            assert_eq!(metadata(&refused, "revocation"), id);
        }
    }
    let request =
        v1::AcknowledgeRevocationRequest { revocation: "x:group".into(), ..Default::default() };
    let refused = served.sessions().acknowledge_revocation(request).await.unwrap_err();
    assert_eq!(told(&refused), malformed("done"));
    // Work that is not due is none: an open session, or one whose account is not deleted.
    let session = opened(&served, "bo", "own", "admin").await;
    let of_group = format!("{}:group", session.id);
    let refused = acknowledge(&served, &of_group, done()).await.unwrap_err();
    assert_eq!(told(&refused), unknown("UNKNOWN_REVOCATION"));
    close(&served, &session.id).await.unwrap();
    acknowledge(&served, &of_group, failed(&"m".repeat(1_000))).await.unwrap();
    let of_account = format!("{}:account", session.id);
    let refused = acknowledge(&served, &of_account, done()).await.unwrap_err();
    assert_eq!(told(&refused), unknown("UNKNOWN_REVOCATION"));
    served.stop().await;
}

#[tokio::test]
async fn an_unknown_tenant_is_unknown_to_every_call() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let tenant = || "acme".to_owned();
    let mut sessions = served.sessions();
    let open =
        v1::SessionServiceOpenRequest { tenant: tenant(), ..request("k", "ana", "web", None) };
    let id = || "x".to_owned();
    let renew =
        v1::SessionServiceRenewRequest { tenant: tenant(), session: id(), ..Default::default() };
    let close = v1::SessionServiceCloseRequest { tenant: tenant(), session: id() };
    let end = v1::ForceEndRequest { tenant: tenant(), person: Some(id()), ..Default::default() };
    let get = v1::SessionServiceGetRequest { tenant: tenant(), by: Some(By::Session(id())) };
    let list = v1::SessionServiceListRequest { tenant: tenant(), ..Default::default() };
    let watch = v1::WatchRevocationsRequest { tenant: tenant(), ..Default::default() };
    let acknowledge = v1::AcknowledgeRevocationRequest {
        tenant: tenant(),
        revocation: "x:group".into(),
        outcome: Some(done()),
    };
    for refused in [
        sessions.open(open).await.unwrap_err(),
        sessions.renew(renew).await.unwrap_err(),
        sessions.close(close).await.unwrap_err(),
        sessions.force_end(end).await.unwrap_err(),
        sessions.get(get).await.unwrap_err(),
        sessions.list(list).await.unwrap_err(),
        sessions.watch_revocations(watch).await.unwrap_err(),
        sessions.acknowledge_revocation(acknowledge).await.unwrap_err(),
    ] {
        assert_eq!(told(&refused), unknown("UNKNOWN_TENANT"));
        assert_eq!(metadata(&refused, "tenant"), "acme");
    }
    served.stop().await;
}

#[tokio::test]
async fn the_names_of_made_accounts_stay_theirs_and_have_to_be_names() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let account =
        |id: &str| put(Fact::Account(v1::Account { id: id.into(), ..Default::default() }));
    // A name that the policy has is passed over.
    served.apply(vec![account("web/ana_000000000001")]).await.unwrap();
    let session = opened(&served, "ana", "web", "admin").await;
    let made = session.account.unwrap();
    assert_eq!(made, "web/ana_000000000002");
    let refused = served.apply(vec![put_person("zoe"), account(&made)]).await.unwrap_err();
    let expected = (Code::FailedPrecondition, "SESSION_ACCOUNT".to_owned(), Vec::new());
    assert_eq!(told(&refused), expected);
    assert_eq!(metadata(&refused, "account"), made);
    assert_eq!(served.apply(Vec::new()).await.unwrap().revision, 2, "all or nothing");
    let changes = vec![account(&made)];
    let dry = v1::ApplyRequest { changes, dry_run: true, ..Default::default() };
    let refused = served.policy().apply(dry).await.unwrap_err();
    assert_eq!(told(&refused), expected, "a rehearsal says the same");

    let long = "p".repeat(250);
    let to = crate::facts::actor(v1::actor_ref::Actor::Person(long.clone()));
    let name = v1::EligibilityKey {
        to,
        kind: v1::EligibilityKind::PreApproved.into(),
        ..super::exclusion("", "web", "admin")
    };
    let eligible = put(Fact::Eligibility(v1::Eligibility { name: Some(name), window: None }));
    served.apply(vec![put_person(&long), eligible]).await.unwrap();
    let refused = ask(&served, request("k", &long, "web", Some("admin"))).await.unwrap_err();
    let (code, reason, _) = told(&refused);
    assert_eq!((code, reason.as_str()), (Code::InvalidArgument, "ACCOUNT_NAME_TOO_LONG"));
    let by = Some(By::RequestKey("k".into()));
    let request = v1::SessionServiceGetRequest { by, ..Default::default() };
    let refused = served.sessions().get(request).await.unwrap_err();
    assert_eq!(told(&refused), unknown("UNKNOWN_SESSION"), "nothing was opened");
    served.stop().await;
}
