//! The doors of a server without its sockets. A server that an input may have changed is not asked again,
//! so that an input means the same wherever it comes.

use std::cell::RefCell;
use std::collections::HashMap;

use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use pdp_engine::facts::Facts;
use pdp_engine::id::TenantId;
use pdp_proto::ext_authz::attribute_context::{HttpRequest, Request as Attributes};
use pdp_proto::ext_authz::check_response::HttpResponse;
use pdp_proto::ext_authz::{AttributeContext, CheckRequest, CheckResponse};
use pdp_server::clock::Clock;
use pdp_server::config::{Config, Settings};
use pdp_server::doors::Doors;
use pdp_server::publish::{Apply, Publisher};
use pdp_server::store::Store;
use prost::Message as _;
use prost::bytes::{BufMut as _, Bytes, BytesMut};
use redb::backends::InMemoryBackend;
use tokio::runtime::{Builder, Runtime};

use crate::world::NOON;

/// The methods of the gRPC door; the first byte of an input says which. Only ever add at the end: the
/// corpora count on the order.
pub const METHODS: [&str; 32] = [
    "/pdp.v1.DecisionService/Check",
    "/pdp.v1.DecisionService/BatchCheck",
    "/pdp.v1.DecisionService/CheckStream",
    "/pdp.v1.DecisionService/Explain",
    "/pdp.v1.DecisionService/CheckDelegation",
    "/pdp.v1.DecisionService/ExplainDelegation",
    "/pdp.v1.DecisionService/ListPermissions",
    "/pdp.v1.DecisionService/ListResources",
    "/pdp.v1.DecisionService/ListSubjects",
    "/pdp.v1.DecisionService/ListApprovers",
    "/envoy.service.auth.v3.Authorization/Check",
    "/pdp.v1.PolicyService/Apply",
    "/pdp.v1.PolicyService/Import",
    "/pdp.v1.PolicyService/Export",
    "/pdp.v1.PolicyService/Get",
    "/pdp.v1.PolicyService/List",
    "/pdp.v1.SessionService/Open",
    "/pdp.v1.SessionService/Renew",
    "/pdp.v1.SessionService/Close",
    "/pdp.v1.SessionService/ForceEnd",
    "/pdp.v1.SessionService/Get",
    "/pdp.v1.SessionService/List",
    "/pdp.v1.SessionService/WatchRevocations",
    "/pdp.v1.SessionService/AcknowledgeRevocation",
    "/pdp.v1.TenantService/Create",
    "/pdp.v1.TenantService/Delete",
    "/pdp.v1.TenantService/List",
    "/pdp.v1.AuditService/List",
    "/pdp.v1.AuditService/Verify",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/pdp.v1.PolicyService/Watch",
    "/pdp.v1.DecisionService/WatchPermissions",
];

/// Those that leave everything as it was and end by themselves: the services of decisions and of Envoy.
const READING: usize = 11;

/// The methods whose answers go on until the server ends them.
const WATCHING: [usize; 3] = [22, 30, 31];

/// From this first byte on, the bytes are those of the frames, and not of one message.
const FRAMED: u8 = 128;

/// The paths of AuthZEN; the first byte of an input says which.
pub const HTTP_PATHS: [&str; 6] = [
    "/access/v1/evaluation",
    "/access/v1/evaluations",
    "/access/v1/search/subject",
    "/access/v1/search/resource",
    "/access/v1/search/action",
    "/t/default/access/v1/evaluation",
];

const BUNDLE: &str = include_str!("policy.yaml");

const GATEWAY: &str = "
subject:
- {header: x-person, as: 'person:{value}'}
routes:
- {path: '/files/{id...}', permission: 'operation:View', resource: 'Report:absence'}
- {path: '/reports/{id}', methods: [GET], permission: 'operation:View', resource: 'Report:{id}'}
";

/// The policy that is asked.
pub(super) fn policy() -> Facts {
    let bundle = pdp_bundle::parse("policy", BUNDLE).unwrap_or_else(|error| panic!("{error}"));
    let mut facts = Facts::default();
    facts.apply(&bundle.changes()).unwrap_or_else(|error| panic!("{error}"));
    facts
}

struct Inside {
    runtime: Runtime,
    config: Config,
    doors: Option<Doors>,
}

thread_local! {
    static INSIDE: RefCell<Inside> = RefCell::new(Inside::new());
}

// === impl Inside ===

impl Inside {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let gateway = folder.path().join("gateway.yaml");
        std::fs::write(&gateway, GATEWAY).unwrap();
        let settings = Settings {
            data: Some(folder.path().to_path_buf()),
            gateway: Some(gateway),
            // A revision that is not there is not waited for.
            max_wait_ms: Some(0),
            ..Settings::default()
        };
        // The mapping is in the configuration, and the folder is not used.
        Self { runtime, config: settings.into_config(None).unwrap(), doors: None }
    }

    /// The doors of a server at the same revision of the same policy.
    fn doors(&mut self) -> (&Runtime, &Doors) {
        let Self { runtime, config, doors } = self;
        let doors = doors.get_or_insert_with(|| {
            let store = Store::with_backend(InMemoryBackend::new()).unwrap();
            let publisher = Publisher::open(store, Clock::fixed(NOON)).unwrap();
            let changes: Vec<_> = policy().iter().map(pdp_engine::facts::Change::Put).collect();
            let apply = Apply {
                changes: &changes,
                expected: None,
                dry_run: false,
                request_id: None,
                on_behalf_of: None,
            };
            publisher.apply(&TenantId::new("default").unwrap(), apply).unwrap();
            let rest = runtime.handle();
            let opened = Doors::open(config, Clock::fixed(NOON), publisher, rest);
            runtime.block_on(opened).unwrap()
        });
        (runtime, doors)
    }

    /// What a method answers: the code, and what came before it.
    fn call(&mut self, method: usize, body: Bytes) -> (String, Bytes) {
        let (runtime, doors) = self.doors();
        let request = Request::builder()
            .method(Method::POST)
            .uri(METHODS[method])
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(body)
            .unwrap();
        let told = runtime.block_on(async {
            let response = doors.grpc(request).await;
            if WATCHING.contains(&method) {
                doors.end_watches();
            }
            let head = response.headers().get("grpc-status").cloned();
            let body = response.into_body().collect().await;
            // A stream that breaks off has its code as an error.
            let body = match body {
                Ok(body) => body,
                Err(status) => return (i32::from(status.code()).to_string(), Bytes::new()),
            };
            let end = body.trailers().and_then(|it| it.get("grpc-status")).cloned();
            let code =
                head.or(end).unwrap_or_else(|| panic!("{} ended in no code", METHODS[method]));
            (code.to_str().unwrap().to_owned(), body.to_bytes())
        });
        // What was refused has changed nothing.
        if WATCHING.contains(&method) || (method >= READING && told.0 == "0") {
            self.doors = None;
        }
        told
    }
}

/// A message as a frame of gRPC.
fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put_slice(message);
    frame.freeze()
}

/// No answer may be `UNKNOWN`, `INTERNAL` or `DATA_LOSS`: those are ours, whatever was sent.
fn answered(what: &str, code: &str) {
    assert!(!["2", "13", "15"].contains(&code), "{what} ended in the code {code}");
}

/// How a request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// The method or path.
    pub of: &'static str,
    /// Without an error.
    pub good: bool,
}

/// A request to one of [`METHODS`].
pub(super) fn asked_over_grpc(data: &[u8]) -> Option<Answered> {
    let (first, rest) = data.split_first()?;
    let method = usize::from(first % FRAMED) % METHODS.len();
    let body = if *first >= FRAMED { Bytes::copy_from_slice(rest) } else { frame(rest) };
    let (code, _) = INSIDE.with_borrow_mut(|inside| inside.call(method, body));
    answered(METHODS[method], &code);
    Some(Answered { of: METHODS[method], good: code == "0" })
}

/// The same.
pub(super) fn grpc(data: &[u8]) {
    asked_over_grpc(data);
}

/// A body for one of [`HTTP_PATHS`].
pub(super) fn asked_over_http(data: &[u8]) -> Option<Answered> {
    let (first, rest) = data.split_first()?;
    let path = HTTP_PATHS[usize::from(*first) % HTTP_PATHS.len()];
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("content-type", "application/json")
        .body(Bytes::copy_from_slice(rest))
        .unwrap();
    let response: Response<Bytes> = INSIDE.with_borrow_mut(|inside| {
        let (runtime, doors) = inside.doors();
        runtime.block_on(doors.http(request))
    });
    let (status, body) = (response.status(), response.into_body());
    assert!(!status.is_server_error(), "{path}: {status}");
    // A refusal is a sentence.
    let readable = match status.is_success() {
        true => serde_json::from_slice::<serde_json::Value>(&body).is_ok(),
        false => std::str::from_utf8(&body).is_ok_and(|text| !text.trim().is_empty()),
    };
    assert!(readable, "{path}: {status} with {body:?}");
    Some(Answered { of: path, good: status.is_success() })
}

/// The same.
pub(super) fn authzen(data: &[u8]) {
    asked_over_http(data);
}

/// What Envoy asks of a request: its method, host and path, a line each, then its headers.
pub(super) fn ext_authz(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
    let mut line = || lines.next().unwrap_or_default().to_vec();
    let (method, host, path) = (text(&line()), line(), line());
    let headers: HashMap<String, Vec<u8>> = lines
        .filter_map(|line| {
            let at = line.iter().position(|byte| *byte == b':')?;
            Some((text(&line[..at]), line[at + 1..].to_vec()))
        })
        .collect();
    let http = HttpRequest { method, host, path: path.clone(), headers, ..HttpRequest::default() };
    let attributes = AttributeContext {
        request: Some(Attributes { http: Some(http) }),
        ..AttributeContext::default()
    };
    let request = CheckRequest { attributes: Some(attributes) }.encode_to_vec();
    let envoy = METHODS.iter().position(|it| it.starts_with("/envoy")).unwrap();
    let (code, body) = INSIDE.with_borrow_mut(|inside| inside.call(envoy, frame(&request)));
    answered("external authorization", &code);
    if code != "0" {
        return;
    }
    let response = CheckResponse::decode(body.get(5..).unwrap_or_default()).unwrap();
    let passes = matches!(response.http_response, Some(HttpResponse::OkResponse(_)));
    let allowed = response.status.is_some_and(|status| status.code == 0);
    assert_eq!(passes, allowed, "the parts of an answer do not agree");
    assert!(!passes || is_plain(&path), "{:?} passes", String::from_utf8_lossy(&path));
}

/// Whether everybody reads a path alike, as crudely as that can be told.
fn is_plain(path: &[u8]) -> bool {
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    let text = String::from_utf8_lossy(path).to_lowercase();
    let dots = |segment: &str| matches!(segment.replace("%2e", ".").as_str(), "." | "..");
    let doubtful = ["%2f", "%5c", "%00", "//", "\\", ";", "#", "%3b", "%23", "%3f"];
    // What is decoded once must not be something that could be decoded again.
    let twice = text.split("%25").skip(1).any(begins_with_hex);
    text.starts_with('/')
        && !twice
        && !doubtful.iter().any(|it| text.contains(it))
        && !text.split('/').any(dots)
        && !path.iter().any(u8::is_ascii_control)
}

/// Whether two hexadecimal digits come first.
fn begins_with_hex(text: &str) -> bool {
    text.len() >= 2 && text.bytes().take(2).all(|byte| byte.is_ascii_hexdigit())
}
