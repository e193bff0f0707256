//! External authorization as Envoy sees it, to the byte: what every kind of answer holds, and that
//! trouble is an error and never an answer.

use std::collections::HashMap;

use pdp_proto::ext_authz::attribute_context::{HttpRequest, Peer, Request};
use pdp_proto::ext_authz::authorization_client::AuthorizationClient;
use pdp_proto::ext_authz::check_response::HttpResponse;
use pdp_proto::ext_authz::{
    AttributeContext, CheckRequest, CheckResponse, HeaderMap, HeaderValue, HeaderValueOption,
};
use pdp_server::clock::Clock;
use pdp_server::config::{ConfigError, Settings};
use tempfile::TempDir;
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::StatusExt as _;

use crate::lifecycle::fetch;
use crate::served::{Served, folder, put_person, settings, status_of};

const MAPPING: &str = r"
challenge: Bearer realm=x
approval: {header: X-Ask, value: 'https://access.example'}
subject:
- {header: X-Caller, as: 'person:{value}'}
- {principal: 'spiffe://bank/{id...}', as: 'person:{id}'}
routes:
- {path: /open, public: true}
- {path: '/reports/{id}', hosts: [api.example], permission: View, resource: 'Report:{id}'}
- path: /reports/{id}/viewers/{who}
  permission: AddPersonToViewer
  resource: Report:{id}
  counterpart: Person:{who}
- {path: '/elsewhere/{id}', tenant: elsewhere, permission: View, resource: 'Report:{id}'}
";

async fn served(folder: &TempDir) -> Served {
    let mapping = folder.path().join("gateway.yaml");
    std::fs::write(&mapping, MAPPING).unwrap();
    Served::with(Settings { gateway: Some(mapping), ..settings(folder.path()) }).await
}

/// A GET of a path, of this caller.
fn get(path: &str, caller: &str) -> AttributeContext {
    let headers = [("x-caller", caller)].into_iter().filter(|(_, value)| !value.is_empty());
    let headers = headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    let http = HttpRequest {
        method: "GET".to_owned(),
        headers: headers.collect(),
        path: path.as_bytes().to_vec(),
        host: b"api.example:443".to_vec(),
        header_map: None,
    };
    AttributeContext { request: Some(Request { http: Some(http) }), ..Default::default() }
}

fn http(attributes: &mut AttributeContext) -> &mut HttpRequest {
    attributes.request.as_mut().unwrap().http.as_mut().unwrap()
}

async fn ask(served: &Served, attributes: AttributeContext) -> Result<CheckResponse, Status> {
    let mut client = AuthorizationClient::new(served.channel.clone());
    let request = CheckRequest { attributes: Some(attributes) };
    client.check(request).await.map(tonic::Response::into_inner)
}

/// Every header that is set overwrites, for Envoys of all ages.
fn set(headers: &[HeaderValueOption]) -> Vec<(String, String)> {
    let one = |option: &HeaderValueOption| {
        assert_eq!((option.append, option.append_action), (Some(false), 2));
        let header = option.header.clone().unwrap();
        assert!(header.raw_value.is_empty());
        (header.key, String::from_utf8(header.value).unwrap())
    };
    headers.iter().map(one).collect()
}

/// Status of gRPC and HTTP, headers set and removed, and the body.
fn parts(response: &CheckResponse) -> (i32, i32, Vec<(String, String)>, Vec<String>, String) {
    let status = response.status.clone().unwrap().code;
    match response.http_response.clone().unwrap() {
        HttpResponse::OkResponse(ok) => {
            (status, 200, set(&ok.headers), ok.headers_to_remove, String::new())
        }
        HttpResponse::DeniedResponse(it) => {
            (status, it.status.unwrap().code, set(&it.headers), Vec::new(), it.body)
        }
    }
}

/// Status of gRPC and HTTP, and the reason.
fn short(response: &CheckResponse) -> (i32, i32, String) {
    let (grpc, http, ..) = parts(response);
    (grpc, http, response.status.clone().unwrap().message)
}

#[tokio::test]
async fn every_answer_has_a_status_and_overwrites_what_it_sets() {
    let folder = folder();
    let served = served(&folder).await;
    let mut allowed = get("/reports/absence?x=1", "ana");
    for name in ["x-pdp-subject", "X-Pdp-Revision", "x-pdp-mine", "x-pdpish"] {
        http(&mut allowed).headers.insert(name.to_owned(), b"smuggled".to_vec());
    }
    let response = ask(&served, allowed).await.unwrap();
    let (grpc, status, headers, removed, _) = parts(&response);
    assert_eq!((grpc, status), (0, 200));
    let [(decision, id), revision, subject] = &headers[..] else { panic!("{headers:?}") };
    assert_eq!((decision.as_str(), id.len()), ("x-pdp-decision", 32));
    assert_eq!(*revision, ("x-pdp-revision".to_owned(), "1".to_owned()));
    assert_eq!(*subject, ("x-pdp-subject".to_owned(), "person:ana".to_owned()));
    // Nothing that is set is taken off again.
    assert_eq!(removed, ["x-pdp-mine"]);

    // As many as there are, each once.
    let mut many = get("/open", "");
    let header = |key: String| HeaderValue { key, value: b"1".to_vec(), raw_value: Vec::new() };
    let names = (0..20_000).map(|number| header(format!("X-Pdp-{:05}", number / 2)));
    http(&mut many).header_map = Some(HeaderMap { headers: names.collect() });
    let (_, _, _, removed, _) = parts(&ask(&served, many).await.unwrap());
    assert_eq!(removed.len(), 10_002);
    assert!(removed.is_sorted() && removed.contains(&"x-pdp-00007".to_owned()));

    let response = ask(&served, get("/open", "")).await.unwrap();
    let (grpc, status, headers, removed, _) = parts(&response);
    assert_eq!((grpc, status, headers.len()), (0, 200, 1));
    assert_eq!(removed, ["x-pdp-revision", "x-pdp-subject"]);

    let json = ("content-type".to_owned(), "application/json".to_owned());
    let response = ask(&served, get("/reports/absence", "bo")).await.unwrap();
    let (grpc, status, headers, _, body) = parts(&response);
    assert_eq!((grpc, status, headers), (7, 403, vec![json.clone()]));
    let told = r#"{"effect":"DENY","reason":"NOT_GRANTED","revision":1,"decision_id":""#;
    assert!(body.starts_with(told), "{body}");

    let response = ask(&served, get("/reports/absence/viewers/bo", "ana")).await.unwrap();
    let (grpc, status, headers, _, body) = parts(&response);
    let where_to_ask = ("x-ask".to_owned(), "https://access.example".to_owned());
    assert_eq!((grpc, status, headers), (7, 403, vec![json.clone(), where_to_ask]));
    assert!(body.contains(r#""effect":"REQUIRES_APPROVAL","reason":"MISSING_ON_COUNTERPART""#));

    let response = ask(&served, get("/reports/absence", "")).await.unwrap();
    let (grpc, status, headers, _, body) = parts(&response);
    let challenge = ("www-authenticate".to_owned(), "Bearer realm=x".to_owned());
    assert_eq!((grpc, status, headers), (16, 401, vec![json, challenge]));
    assert!(body.starts_with(r#"{"effect":"DENY","reason":"NO_SUBJECT","decision_id":""#));
    served.stop().await;
}

#[tokio::test]
async fn headers_are_read_in_either_form() {
    let folder = folder();
    let served = served(&folder).await;
    let header = |key: &str, raw: &[u8]| HeaderValue {
        key: key.to_owned(),
        value: Vec::new(),
        raw_value: raw.to_vec(),
    };
    let raw = |headers: Vec<HeaderValue>| {
        let mut attributes = get("/reports/absence", "");
        http(&mut attributes).header_map = Some(HeaderMap { headers });
        attributes
    };
    let ana = header("x-caller", b"ana");
    let no_subject = (16, 401, "NO_SUBJECT".to_owned());
    for (attributes, said) in [
        (raw(vec![ana.clone()]), (0, 200, "GRANTED".to_owned())),
        // What is not asked for may be anything.
        (raw(vec![header("x-other", b"\xff"), ana.clone()]), (0, 200, "GRANTED".to_owned())),
        (raw(vec![header("x-caller", b"\xff")]), no_subject.clone()),
        // Two are no proof of either.
        (raw(vec![ana.clone(), header("X-Caller", b"bo")]), no_subject.clone()),
        (raw(vec![ana.clone(), ana.clone()]), no_subject.clone()),
        (
            raw(vec![header(":path", b"/reports/absence"), ana.clone()]),
            (0, 200, "GRANTED".to_owned()),
        ),
        (raw(vec![header(":path", b"/open"), ana]), (3, 400, "BAD_PATH".to_owned())),
        (get("/reports/absence", "a,b"), (7, 403, "UNKNOWN_SUBJECT".to_owned())),
    ] {
        assert_eq!(short(&ask(&served, attributes).await.unwrap()), said);
    }
    let by_certificate = |principal: &str| AttributeContext {
        source: Some(Peer { principal: principal.to_owned() }),
        ..get("/reports/absence", "")
    };
    let granted = ask(&served, by_certificate("spiffe://bank/ana")).await.unwrap();
    assert_eq!(short(&granted), (0, 200, "GRANTED".to_owned()));
    let other = ask(&served, by_certificate("spiffe://other/ana")).await.unwrap();
    assert_eq!(short(&other), no_subject);
    served.stop().await;
}

#[tokio::test]
async fn what_a_client_garbles_is_its_own_mistake() {
    let folder = folder();
    let served = served(&folder).await;
    let long = format!("/reports/{}", "x".repeat(300));
    for (path, caller, said) in [
        ("/reports/../open", "ana", (3, 400, "BAD_PATH")),
        ("/reports/a%2fb", "ana", (3, 400, "BAD_PATH")),
        ("", "ana", (3, 400, "BAD_PATH")),
        // These could name nothing at all.
        (&long, "ana", (3, 400, "MALFORMED")),
        ("/reports/absence", &long, (3, 400, "MALFORMED")),
        ("/reports/%C2%85", "ana", (3, 400, "MALFORMED")),
        ("/nowhere", "ana", (7, 403, "NO_ROUTE")),
    ] {
        let (grpc, status, reason) = said;
        let response = ask(&served, get(path, caller)).await.unwrap();
        assert_eq!(short(&response), (grpc, status, reason.to_owned()), "{path}");
    }
    let mut attributes = get("/", "ana");
    http(&mut attributes).path = b"/reports/\xff".to_vec();
    let response = ask(&served, attributes).await.unwrap();
    assert_eq!(short(&response), (3, 400, "BAD_PATH".to_owned()));

    let metrics = fetch(served.http, "/metrics").await;
    for line in [
        r#"pdp_gateway_unasked_total{reason="BAD_PATH"} 4"#,
        r#"pdp_gateway_unasked_total{reason="MALFORMED"} 3"#,
        r#"pdp_gateway_unasked_total{reason="NO_ROUTE"} 1"#,
        r#"pdp_decision_seconds_count{rpc="ext_authz"} 8"#,
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    served.stop().await;
}

#[tokio::test]
async fn trouble_is_an_error_and_no_answer() {
    let folder = folder();
    let served = served(&folder).await;
    let with = |extensions: &[(&str, &str)]| AttributeContext {
        context_extensions: extensions
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<HashMap<_, _>>(),
        ..get("/reports/absence", "ana")
    };
    for (attributes, code, reason) in [
        (get("/elsewhere/a", "ana"), Code::NotFound, "UNKNOWN_TENANT"),
        (with(&[("pdp.tenant", "")]), Code::Ok, ""),
        (with(&[("pdp.tenant", "a\u{1}")]), Code::InvalidArgument, "MALFORMED"),
        (with(&[("pdp.typo", "x")]), Code::InvalidArgument, "MALFORMED"),
        (with(&[("pdp.operation", "")]), Code::InvalidArgument, "MALFORMED"),
        (with(&[("pdp.vault_action", "look")]), Code::InvalidArgument, "MALFORMED"),
    ] {
        let answered = ask(&served, attributes).await.map(|response| short(&response).1);
        let Err(status) = answered else {
            assert_eq!((answered.unwrap(), code), (200, Code::Ok));
            continue;
        };
        let details = status.get_error_details();
        let told = details.error_info().unwrap();
        assert_eq!((status.code(), told.reason.as_str()), (code, reason), "{status:?}");
    }
    // Whose name it is that can be none tells whose mistake it is, with a route and without.
    let long = "x".repeat(300);
    let said = &[("pdp.operation", "View"), ("pdp.resource", "Report:absence")][..];
    let context_extensions = with(said).context_extensions;
    let of_client = AttributeContext { context_extensions, ..get("/no/route", &long) };
    let of_client = ask(&served, of_client).await.unwrap();
    assert_eq!(short(&of_client), (3, 400, "MALFORMED".to_owned()));
    let of_operator = ask(&served, with(&[("pdp.resource", &format!("Report:{long}"))])).await;
    assert_eq!(of_operator.unwrap_err().code(), Code::InvalidArgument);
    let mut client = AuthorizationClient::new(served.channel.clone());
    let nothing = client.check(CheckRequest { attributes: None }).await.unwrap_err();
    assert_eq!(nothing.code(), Code::InvalidArgument);
    let line = r#"pdp_rpc_failures_total{rpc="Authorization/Check",code="INVALID_ARGUMENT"} 6"#;
    let metrics = fetch(served.http, "/metrics").await;
    assert!(metrics.contains(line), "{metrics}");
    let mut health = served.watch_health("envoy.service.auth.v3.Authorization").await;
    let status = status_of(tokio_stream::StreamExt::next(&mut health).await);
    assert_eq!(status, ServingStatus::Serving);
    drop(health);
    served.stop().await;
}

#[tokio::test]
async fn a_server_without_a_mapping_lets_nothing_pass() {
    let folder = folder();
    let served = Served::with_clock(settings(folder.path()), Clock::system()).await;
    for path in ["/", "/reports/absence", "/open"] {
        let response = ask(&served, get(path, "ana")).await.unwrap();
        assert_eq!(short(&response), (7, 403, "NO_ROUTE".to_owned()));
    }
    served.apply(vec![put_person("eve")]).await.unwrap();
    let mut asked = get("/any", "ana");
    for (name, value) in [
        ("pdp.subject", "person:eve"),
        ("pdp.operation", "View"),
        ("pdp.resource", "Report:absence"),
    ] {
        asked.context_extensions.insert(name.to_owned(), value.to_owned());
    }
    let response = ask(&served, asked).await.unwrap();
    assert_eq!(short(&response), (7, 403, "NOT_GRANTED".to_owned()));
    served.stop().await;
}

#[test]
fn a_wrong_mapping_is_told_before_the_start_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let mapping = folder.path().join("gateway.yaml");
    std::fs::write(&mapping, "routes:\n- {path: '/a/{x}', permission: View}\n").unwrap();
    let given = Settings { gateway: Some(mapping.clone()), ..settings(folder.path()) };
    let refused = given.clone().into_config(None).unwrap_err();
    assert!(matches!(refused, ConfigError::Gateway(_)), "{refused:?}");
    let said = format!("{}:2:3: routes[0]: the key `resource` is missing", mapping.display());
    assert_eq!(refused.to_string(), said);
    std::fs::remove_file(&mapping).unwrap();
    let missing = given.clone().into_config(None).unwrap_err().to_string();
    assert!(missing.starts_with(&mapping.display().to_string()), "{missing}");
    std::fs::write(&mapping, MAPPING).unwrap();
    let config = given.into_config(None).unwrap();
    let written = format!("gateway: {:?}\n", mapping.display().to_string());
    assert!(config.to_string().contains(&written), "{config}");
}
