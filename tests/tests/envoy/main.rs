//! A real Envoy in front of an API, with the server deciding, all configured as `deploy/envoy` says:
//! what a client gets, and what reaches the API.
//!
//! Needs Envoy: `PDP_ENVOY` names its binary, and `tests/run` fetches one.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

mod behind;
mod caller;
mod mutual;
mod paths;
mod proxy;
mod sidecar;
mod tokens;
mod trouble;

use std::sync::LazyLock;

use pdp_client::engine::change_to_wire;
use pdp_client::{ChangeSet, Code};
use pdp_engine::facts::Change;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use behind::{Pdp, Served, api};
use caller::{Call, Caller};
use proxy::{DEPLOY, Deployed, Envoy};

/// The token of the demonstration's Ana, who owns a report, and of Bo, who may look at it.
static ANA: LazyLock<String> = LazyLock::new(|| token("ana"));
static BO: LazyLock<String> = LazyLock::new(|| token("bo"));

fn token(of: &str) -> String {
    std::fs::read_to_string(format!("{DEPLOY}/demo/{of}.jwt")).unwrap().trim().to_owned()
}

/// A gateway with everything behind it.
struct World {
    envoy: Envoy,
    pdp: Pdp,
    _api: Served,
}

// === impl World ===

impl World {
    /// Of the configurations as they stand.
    async fn start() -> Self {
        Self::with("envoy.yaml", 10000, "gateway.yaml", &[]).await
    }

    async fn with(file: &str, listens: u16, mapping: &str, changed: &[(&str, &str)]) -> Self {
        let (pdp, api) = (Pdp::start(mapping).await, api().await);
        let (decides, upstream) = (pdp.address, api.address);
        let deployed = Deployed { file, listens, pdp: decides, upstream, in_time: false, changed };
        Self { envoy: Envoy::start(&deployed).await, pdp, _api: api }
    }
}

/// A request, and the status and reason, or the line that reached the API, that come of it.
type Case<'a> = (&'a str, &'a str, Option<&'a str>, (u16, &'a str));

/// Sends every case over HTTP/1.1 and HTTP/2.
async fn hold(world: &World, name: &str, cases: &[Case<'_>]) {
    for client in [Caller::http_1(), Caller::http_2()] {
        for (method, path, token, (status, said)) in cases {
            let call = Call { method, path, token: *token, headers: &[] };
            let reply = client.send(world.envoy.address, call).await;
            assert_eq!((reply.status, reply.said()), (*status, *said), "{method} {path} {reply:?}");
            let refused = reply.header("content-type") == ["application/json"];
            assert_eq!(refused, reply.body.starts_with(r#"{"effect":""#), "{reply:?}");
        }
    }
    println!("envoy: {name}: {} cases hold, over HTTP/1.1 and HTTP/2", cases.len() * 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_request_gets_its_answer() {
    let world = World::start().await;
    let (ana, bo) = (Some(ANA.as_str()), Some(BO.as_str()));
    let cases: &[Case<'_>] = &[
        // Allowed, in every family.
        ("GET", "/reports/budget", ana, (200, "GET /reports/budget")),
        ("GET", "/reports/budget?deep=../x%2f", ana, (200, "GET /reports/budget")),
        ("GET", "/reports/budget", bo, (200, "GET /reports/budget")),
        ("PUT", "/reports/budget", ana, (200, "PUT /reports/budget")),
        ("PUT", "/reports/budget/viewers/bo", ana, (200, "PUT /reports/budget/viewers/bo")),
        ("GET", "/files/share/plan.txt", ana, (200, "GET /files/share/plan.txt")),
        ("GET", "/vault/web-07/password", ana, (200, "GET /vault/web-07/password")),
        ("POST", "/computers/web-07/sessions", ana, (200, "POST /computers/web-07/sessions")),
        ("GET", "/healthz", None, (200, "GET /healthz")),
        ("GET", "/healthz", Some(tokens::LEA), (200, "GET /healthz")),
        // Denied.
        ("PUT", "/reports/budget", bo, (403, "NOT_GRANTED")),
        ("GET", "/reports/salaries", ana, (403, "NOT_GRANTED")),
        ("GET", "/reports/nothing", ana, (403, "UNKNOWN_RESOURCE")),
        ("GET", "/reports/budget", Some(tokens::LEA), (403, "NOT_GRANTED")),
        ("GET", "/reports/budget", Some(tokens::NOBODY), (403, "UNKNOWN_SUBJECT")),
        ("GET", "/files/share/other.txt", ana, (403, "UNKNOWN_RESOURCE")),
        ("GET", "/vault/web-07/password", bo, (403, "NOT_SHARED")),
        ("GET", "/vault/web-08/password", ana, (403, "UNKNOWN_RESOURCE")),
        ("POST", "/computers/web-08/sessions", ana, (403, "UNKNOWN_RESOURCE")),
        // Somebody has to agree.
        ("PUT", "/reports/budget/viewers/lea", ana, (403, "MISSING_ON_COUNTERPART")),
        // Nobody asks; the first is the server's word, the others are Envoy's.
        ("GET", "/reports/budget", None, (401, "NO_SUBJECT")),
        ("GET", "/reports/budget", Some(tokens::UNNAMED), (401, "NO_SUBJECT")),
        ("GET", "/reports/budget", Some(tokens::FORGED), (401, "Jwt verification fails")),
        ("GET", "/reports/budget", Some(tokens::EXPIRED), (401, "Jwt is expired")),
        (
            "GET",
            "/reports/budget",
            Some(tokens::ELSEWHERE),
            (403, "Audiences in Jwt are not allowed"),
        ),
        // No route takes it.
        ("GET", "/", ana, (403, "NO_ROUTE")),
        ("GET", "/reports/budget/", ana, (403, "NO_ROUTE")),
        ("GET", "/Reports/budget", ana, (403, "NO_ROUTE")),
        ("DELETE", "/reports/budget", ana, (403, "NO_ROUTE")),
        ("POST", "/healthz", None, (403, "NO_ROUTE")),
        ("GET", "/elsewhere", None, (403, "NO_ROUTE")),
    ];
    hold(&world, "requests", cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_what_to_do_and_an_access_log_why() {
    let world = World::start().await;
    for client in [Caller::http_1(), Caller::http_2()] {
        let ask = |call| client.send(world.envoy.address, call);
        let lea = Call { method: "PUT", ..Call::get("/reports/budget/viewers/lea", Some(&ANA)) };
        let reply = ask(lea).await;
        assert_eq!(reply.header("x-pdp-approval"), ["https://access.bank.example/requests"]);
        assert!(reply.body.starts_with(r#"{"effect":"REQUIRES_APPROVAL","#), "{reply:?}");
        let nobody = ask(Call::get("/reports/budget", None)).await;
        assert_eq!(nobody.header("www-authenticate"), [r#"Bearer realm="bank""#]);
        assert!(nobody.header("x-pdp-approval").is_empty());

        let denied = ask(Call::get("/reports/salaries", Some(&ANA))).await;
        let id = denied.body.split_once(r#""decision_id":""#).unwrap().1;
        let id = id.strip_suffix("\"}").unwrap();
        let said = r#"{"effect":"DENY","reason":"NOT_GRANTED","revision":1,"decision_id":"#;
        assert_eq!(denied.body, format!(r#"{said}"{id}"}}"#));
        let line = world.envoy.logged(id);
        for part in [r#""effect":"DENY""#, r#""reason":"NOT_GRANTED""#, r#""revision":"1""#] {
            assert!(line.contains(part), "{line}");
        }
        let allowed = ask(Call::get("/reports/budget", Some(&ANA))).await;
        let [id] = allowed.arrived("x-pdp-decision")[..] else { panic!("{allowed:?}") };
        let line = world.envoy.logged(id);
        assert!(line.contains(r#""effect":"ALLOW""#) && line.contains("GRANTED"), "{line}");
        assert!(!line.contains("not_after"), "{line}");

        // What a session depends on is told beside the decision.
        let open = Call { method: "POST", ..Call::get("/computers/web-07/sessions", Some(&ANA)) };
        let opened = ask(open).await;
        let [id] = opened.arrived("x-pdp-decision")[..] else { panic!("{opened:?}") };
        let line = world.envoy.logged(id);
        assert!(line.contains(r#""obligations":{"not_after":""#), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_sends_under_our_names_does_not_arrive() {
    let world = World::start().await;
    let smuggled = [
        ("x-pdp-subject", "person:root"),
        ("x-pdp-subject", "person:other"),
        ("X-PDP-Decision", "mine"),
        ("x-pdp-revision", "99"),
        ("x-pdp-other", "1"),
        ("x-pdp-approval", "1"),
        ("x-mine", "stays"),
    ];
    for client in [Caller::http_1(), Caller::http_2()] {
        let asked = Call { headers: &smuggled, ..Call::get("/reports/budget", Some(&ANA)) };
        let reply = client.send(world.envoy.address, asked).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.arrived("x-pdp-subject"), ["person:ana"]);
        assert_eq!(reply.arrived("x-pdp-revision"), ["1"]);
        let [decision] = reply.arrived("x-pdp-decision")[..] else { panic!("{reply:?}") };
        assert_eq!(decision.len(), 32);
        let ours = reply.body.lines().filter(|line| line.starts_with("x-pdp-")).count();
        assert_eq!(ours, 3, "{reply:?}");
        assert_eq!(reply.arrived("x-mine"), ["stays"]);

        // On a public route nobody has decided, so that nothing says who asked.
        let public = Call { headers: &smuggled, ..Call::get("/healthz", None) };
        let reply = client.send(world.envoy.address, public).await;
        let ours: Vec<_> = reply.body.lines().filter(|line| line.starts_with("x-pdp-")).collect();
        assert!(matches!(ours[..], [line] if line.starts_with("x-pdp-decision: ")), "{reply:?}");
        assert_ne!(reply.arrived("x-pdp-decision"), ["mine"]);

        let under = [("x_pdp_subject", "person:root")];
        let under = Call { headers: &under, ..Call::get("/reports/budget", Some(&ANA)) };
        // Over HTTP/2 Envoy ends the stream.
        let cut_off = client.try_send(world.envoy.address, under).await;
        assert!(cut_off.is_none_or(|reply| reply.status == 400));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_decided_about_is_what_the_api_is_asked() {
    for (file, listens, mapping) in
        [("envoy.yaml", 10000, "gateway.yaml"), ("sidecar.yaml", 10001, "sidecar-gateway.yaml")]
    {
        let world = World::with(file, listens, mapping, &[]).await;
        // Frameworks exist that take these for the path and the method.
        let others = [
            ("x-original-url", "/reports/salaries"),
            ("x-rewrite-url", "/reports/salaries"),
            ("x-http-method", "DELETE"),
            ("x-http-method-override", "DELETE"),
            ("x-method-override", "DELETE"),
        ];
        let call = Call { headers: &others, ..Call::get("/healthz", None) };
        for client in [Caller::http_1(), Caller::http_2()] {
            let reply = client.send(world.envoy.address, call).await;
            assert_eq!(reply.status, 200, "{file}: {reply:?}");
            for (name, _) in others {
                assert!(reply.arrived(name).is_empty(), "{file}: {reply:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_a_query_names_nobody_and_no_query_is_logged() {
    let world = World::start().await;
    for client in [Caller::http_1(), Caller::http_2()] {
        let path = format!("/reports/budget?access_token={}", *ANA);
        let reply = client.send(world.envoy.address, Call::get(&path, None)).await;
        assert_eq!((reply.status, reply.said()), (401, "NO_SUBJECT"));
        let line = world.envoy.logged("NO_SUBJECT");
        assert!(line.contains(r#""path":"/reports/budget""#), "{line}");
        assert!(!line.contains("access_token"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_policy_holds_for_the_next_request() {
    let world = World::start().await;
    let mut revision = 1;
    for client in [Caller::http_1(), Caller::http_2()] {
        let ask = || client.send(world.envoy.address, Call::get("/reports/salaries", Some(&ANA)));
        assert_eq!(ask().await.said(), "NOT_GRANTED");
        let bundle = "groups: [{id: audit, members: ['person:ana', 'person:bo']}]";
        revision += 1;
        assert_eq!(world.apply(bundle).await, revision);
        let reply = ask().await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.arrived("x-pdp-revision"), [revision.to_string()]);
        revision += 1;
        assert_eq!(world.apply("groups: [{id: audit, members: ['person:bo']}]").await, revision);
        assert_eq!(ask().await.said(), "NOT_GRANTED");
    }
}

impl World {
    /// Applies the facts of a bundle: the revision after it.
    async fn apply(&self, bundle: &str) -> u64 {
        let bundle = pdp_bundle::parse("bundle.yaml", bundle).unwrap();
        let changes = bundle.facts().cloned().map(Change::Put);
        let set = ChangeSet::new(changes.map(|change| change_to_wire(&change)).collect());
        self.pdp.client.apply(set).await.unwrap().revision.get()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_goes_through_when_it_may() {
    let world = World::start().await;
    let endpoint = Endpoint::from_shared(format!("http://{}", world.envoy.address)).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let ask = async |token: Option<&str>| {
        let mut request = tonic::Request::new(HealthCheckRequest::default());
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        HealthClient::new(channel.clone()).check(request).await.map(drop).map_err(|it| it.code())
    };
    assert_eq!(ask(Some(&ANA)).await, Ok(()));
    assert_eq!(ask(Some(&BO)).await, Ok(()));
    assert_eq!(ask(Some(tokens::LEA)).await, Err(Code::PermissionDenied));
    assert_eq!(ask(None).await, Err(Code::Unauthenticated));
    assert_eq!(ask(Some(tokens::FORGED)).await, Err(Code::Unauthenticated));
}
