//! Traces leave the process: a real `pdp-server` is asked through each door, and sends to a collector the
//! spans of those requests whose callers record their traces, and no others.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use pdp_proto::ext_authz::attribute_context::{HttpRequest, Request as Envoys};
use pdp_proto::ext_authz::authorization_client::AuthorizationClient;
use pdp_proto::ext_authz::{AttributeContext, CheckRequest as EnvoyCheck};
use pdp_proto::v1;
use pdp_proto::v1::decision_service_client::DecisionServiceClient;
use pdp_proto::v1::policy_service_client::PolicyServiceClient;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};

const POLICY: &str = r#"
resource_types: {Report: {operations: [View]}}
access_levels: [{type: Report, name: Viewer, operations: {View: allowed}}]
people: [{id: ana}, {id: bo}]
resources: [{type: Report, id: absence}]
assignments: [{id: a-1, to: person:ana, level: Report/Viewer, on: "Report:absence"}]
"#;

const GATEWAY: &str = "subject: [{header: x-caller, as: 'person:{value}'}]\n\
    routes: [{path: '/reports/{id}', permission: View, resource: 'Report:{id}'}]\n";

/// The span of whoever asks.
const CALLER: &str = "b7ad6b7169203331";

struct Collector(mpsc::UnboundedSender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.send(request.into_inner()).unwrap();
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A server that sends its spans to a collector, and logs its decisions.
struct Traced {
    server: Running,
    folder: TempDir,
    channel: Channel,
    http: String,
    collector: JoinHandle<Result<(), tonic::transport::Error>>,
    received: mpsc::UnboundedReceiver<ExportTraceServiceRequest>,
}

/// What is left of one: its spans, and the records of its decisions.
struct Left {
    spans: Vec<Span>,
    records: Vec<serde_json::Value>,
}

// === impl Traced ===

impl Traced {
    /// One that begins traces for this share of the requests that belong to none.
    async fn start(ratio: &str) -> Self {
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let endpoint = format!("http://{}", incoming.local_addr().unwrap());
        let (sender, received) = mpsc::unbounded_channel();
        let collector = Server::builder().add_service(TraceServiceServer::new(Collector(sender)));
        let collector = tokio::spawn(collector.serve_with_incoming(incoming));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("policy.yaml"), POLICY).unwrap();
        std::fs::write(folder.path().join("gateway.yaml"), GATEWAY).unwrap();
        let mut server = Command::new(env!("CARGO_BIN_EXE_pdp-server"))
            .args(["serve", "--grace-ms", "0", "--log-format", "json", "--http", "127.0.0.1:0"])
            .args(["--grpc", "127.0.0.1:0", "--data", "data", "--load", "policy.yaml"])
            .args(["--gateway", "gateway.yaml", "--decision-log", "decisions.jsonl"])
            .args(["--max-queue-ms", "60000"])
            .args(["--otlp-endpoint", &endpoint, "--otlp-sample-ratio", ratio])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map(Running)
            .unwrap();
        let told = BufReader::new(server.0.stderr.take().unwrap());
        let mut lines = told.lines().map_while(Result::ok);
        let line = lines.find(|line| line.contains(r#""message":"serving""#)).unwrap();
        // Whatever else it says is read, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = |door: &str| said[door].as_str().unwrap().to_owned();
        let channel = Endpoint::from_shared(format!("http://{}", address("grpc"))).unwrap();
        let (channel, http) = (channel.connect_lazy(), address("http"));
        Self { server, folder, channel, http, collector, received }
    }

    fn decisions(&self) -> DecisionServiceClient<Channel> {
        DecisionServiceClient::new(self.channel.clone())
    }

    /// Asks over gRPC, as a part of this trace.
    async fn checks(&self, who: &str, traceparent: &str) -> Response<v1::CheckResponse> {
        let request = v1::CheckRequest { question: Some(question(who)), ..Default::default() };
        self.decisions().check(traced(request, traceparent)).await.unwrap()
    }

    /// Asks as a gateway: with a trace of its own, one of the request at the gateway, or both.
    async fn authorizes(&self, path: &str, own: &str, of_request: &str) {
        let headers = [("x-caller", "ana"), ("traceparent", of_request)];
        let headers = headers.into_iter().filter(|(_, value)| !value.is_empty());
        let headers = headers.map(|(name, value)| (name.to_owned(), value.into()));
        let http = HttpRequest {
            method: "GET".to_owned(),
            path: path.into(),
            headers: HashMap::from_iter(headers),
            ..Default::default()
        };
        let request = Some(Envoys { http: Some(http) });
        let attributes = Some(AttributeContext { request, ..Default::default() });
        let mut client = AuthorizationClient::new(self.channel.clone());
        client.check(traced(EnvoyCheck { attributes }, own)).await.unwrap();
    }

    /// Posts JSON over HTTP/1.1, and gives back what comes.
    async fn posts(&self, path: &str, traceparent: &str, body: &str) -> String {
        let trace = match traceparent {
            "" => String::new(),
            _ => format!("traceparent: {traceparent}\r\n"),
        };
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: pdp\r\nconnection: close\r\n{trace}\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let mut stream = TcpStream::connect(&self.http).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        reply
    }

    /// Has it stop: what waited is sent before the process ends.
    async fn stop(mut self) -> Left {
        let process = self.server.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &process]).status().unwrap().success());
        assert!(self.server.0.wait().unwrap().success());
        self.collector.abort();
        self.collector.await.ok();
        let mut spans = Vec::new();
        while let Ok(request) = self.received.try_recv() {
            let scopes = request.resource_spans.into_iter().flat_map(|it| it.scope_spans);
            spans.extend(scopes.flat_map(|scope| scope.spans));
        }
        let log = std::fs::read_to_string(self.folder.path().join("decisions.jsonl")).unwrap();
        let records = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Left { spans, records }
    }
}

// === impl Left ===

impl Left {
    /// Holds that one span is of this trace, is a child of the caller's and has this name; its
    /// attributes.
    fn only(&self, trace: u64, name: &str) -> BTreeMap<String, String> {
        let mut of_trace = self.spans.iter().filter(|span| hex(&span.trace_id) == id(trace));
        let (Some(span), None) = (of_trace.next(), of_trace.next()) else {
            panic!("trace {trace}: {:#?}", self.spans)
        };
        assert_eq!((span.name.as_str(), hex(&span.parent_span_id).as_str()), (name, CALLER));
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
        attributes(span)
    }

    /// The records of a trace.
    fn logged(&self, trace: &str) -> Vec<&serde_json::Value> {
        self.records.iter().filter(|record| record["trace_id"] == trace).collect()
    }
}

fn attributes(span: &Span) -> BTreeMap<String, String> {
    let said = span.attributes.iter().map(|attribute| {
        let text = match attribute.value.clone().unwrap().value.unwrap() {
            Value::StringValue(text) => text,
            Value::IntValue(number) => number.to_string(),
            other => panic!("{other:?}"),
        };
        (attribute.key.clone(), text)
    });
    said.collect()
}

/// What a test names a trace by, as it is written.
fn id(trace: u64) -> String {
    format!("0af7651916cd43dd{trace:016x}")
}

fn sampled(trace: u64) -> String {
    format!("00-{}-{CALLER}-01", id(trace))
}

fn unsampled(trace: u64) -> String {
    format!("00-{}-{CALLER}-00", id(trace))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn traced<T>(message: T, traceparent: &str) -> Request<T> {
    let mut request = Request::new(message);
    if !traceparent.is_empty() {
        request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
    }
    request
}

fn question(who: &str) -> v1::Question {
    v1::Question {
        subject: Some(v1::Subject { subject: Some(v1::subject::Subject::Person(who.to_owned())) }),
        permission: Some(v1::question::Permission::Operation("View".to_owned())),
        resource: Some(v1::ResourceRef { r#type: "Report".to_owned(), id: "absence".to_owned() }),
        ..Default::default()
    }
}

const EVALUATION: &str = r#"{"subject": {"type": "person", "id": "bo"}, "action": {"name": "View"},
    "resource": {"type": "Report", "id": "absence"}}"#;

/// Asks through each door as a part of a trace of its own, from this number on, and as many without one.
async fn ask_everything(server: &Traced, parent: impl Fn(u64) -> String) {
    let mut client = server.decisions();
    let question = || Some(self::question("bo"));
    server.checks("bo", &parent(1)).await;
    let questions = ["ana", "bo", "bo"].map(self::question).to_vec();
    let request = v1::BatchCheckRequest { questions, ..Default::default() };
    client.batch_check(traced(request, &parent(2))).await.unwrap();
    let asked =
        |number| v1::CheckStreamRequest { number, question: question(), ..Default::default() };
    let asked = tokio_stream::iter([asked(1), asked(2)]);
    let mut answers = client.check_stream(traced(asked, &parent(3))).await.unwrap().into_inner();
    while answers.message().await.unwrap().is_some() {}
    let request = v1::ExplainRequest { question: question(), ..Default::default() };
    client.explain(traced(request, &parent(4))).await.unwrap();
    let request = v1::ListSubjectsRequest {
        permission: Some(v1::list_subjects_request::Permission::Operation("View".to_owned())),
        resource: question().unwrap().resource,
        ..Default::default()
    };
    client.list_subjects(traced(request, &parent(5))).await.unwrap();
    server.authorizes("/reports/absence", &parent(6), &unsampled(999)).await;
    server.authorizes("/reports/absence", "", &parent(7)).await;
    server.authorizes("/elsewhere", &parent(8), "").await;
    server.posts("/access/v1/evaluation", &parent(9), EVALUATION).await;
    let each = format!(r#"{{"evaluations": [{EVALUATION}, {EVALUATION}]}}"#);
    server.posts("/access/v1/evaluations", &parent(10), &each).await;
    let search = EVALUATION.replace(r#", "id": "bo""#, "");
    server.posts("/access/v1/search/subject", &parent(11), &search).await;
    // What is no question has a span, too, that says so.
    let request = v1::CheckRequest::default();
    client.check(traced(request, &parent(12))).await.unwrap_err();
    let applied = traced(v1::ApplyRequest::default(), &parent(13));
    PolicyServiceClient::new(server.channel.clone()).apply(applied).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_callers_record_is_recorded_here_through_every_door() {
    let server = Traced::start("0").await;
    let named = server.checks("ana", &sampled(20)).await;
    let named = named.metadata().get("pdp-decision-id").unwrap().to_str().unwrap().to_owned();
    ask_everything(&server, sampled).await;
    let left = server.stop().await;

    let span = left.only(20, "DecisionService/Check");
    let told = |name: &str| span[name].as_str();
    assert_eq!((told("tenant"), told("effect"), told("reason")), ("default", "ALLOW", "GRANTED"));
    assert_eq!((told("revision"), told("code")), ("1", "OK"));
    assert_eq!(told("decision_id"), named);
    assert_eq!(left.logged(&id(20))[0]["id"], named.as_str());
    for (trace, name) in [
        (1, "DecisionService/Check"),
        (4, "DecisionService/Explain"),
        (6, "Authorization/Check"),
        (7, "Authorization/Check"),
        (9, "AuthZEN/evaluation"),
    ] {
        let span = left.only(trace, name);
        let [record] = left.logged(&id(trace))[..] else { panic!("{trace}: {:#?}", left.records) };
        assert_eq!(record["id"], span["decision_id"].as_str());
        assert_eq!(record["effect"], span["effect"].as_str());
        assert_eq!(record["reason"], span["reason"].as_str());
    }
    // Of several decisions there are the numbers.
    for (trace, name, allowed, denied) in [
        (2, "DecisionService/BatchCheck", "1", "2"),
        (3, "DecisionService/CheckStream", "0", "2"),
        (10, "AuthZEN/evaluations", "0", "2"),
    ] {
        let span = left.only(trace, name);
        assert_eq!((span["allowed"].as_str(), span["denied"].as_str()), (allowed, denied));
        assert_eq!((span["approval_required"].as_str(), span["revision"].as_str()), ("0", "1"));
        assert!(!span.contains_key("decision_id"), "{span:?}");
        let decisions: u32 = allowed.parse::<u32>().unwrap() + denied.parse::<u32>().unwrap();
        assert_eq!(left.logged(&id(trace)).len(), usize::try_from(decisions).unwrap());
    }
    let listed = left.only(5, "DecisionService/ListSubjects");
    assert_eq!((listed["revision"].as_str(), listed["code"].as_str()), ("1", "OK"));
    // The list that answers a search is a part of it.
    assert_eq!(left.only(11, "AuthZEN/search/subject")["tenant"], "default");
    assert!(!left.only(8, "Authorization/Check").contains_key("effect"));
    assert_eq!(left.only(12, "DecisionService/Check")["code"], "INVALID_ARGUMENT");
    left.only(13, "PolicyService/Apply");
    assert_eq!(left.spans.len(), 14, "{:#?}", left.spans);
    // Nobody and nothing that was asked about is in a span.
    for span in &left.spans {
        let said = attributes(span);
        let about = ["ana", "bo", "absence", "person:ana", "Report:absence"];
        assert!(said.values().all(|value| !about.contains(&value.as_str())), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_callers_do_not_record_is_not_and_without_a_trace_the_ratio_decides() {
    // Whoever does not record a trace has no span of it, whatever the ratio.
    let server = Traced::start("1").await;
    ask_everything(&server, unsampled).await;
    let left = server.stop().await;
    // A write asks for no decision; everything else that was decided is logged under its trace.
    assert_eq!(left.spans.len(), 0, "{:#?}", left.spans);
    assert_eq!(left.logged(&id(2)).len(), 3);

    // What is not well formed is no trace: the ratio decides, of all or of nothing.
    let malformed = format!("00-{}-{CALLER}-0x", id(1));
    for (ratio, spans) in [("0", 0), ("1", 13)] {
        let server = Traced::start(ratio).await;
        ask_everything(&server, |_| String::new()).await;
        server.checks("bo", &malformed).await;
        let left = server.stop().await;
        // One request at the gateway brought its trace, which its client did not record.
        assert_eq!(left.spans.len(), spans, "{:#?}", left.spans);
        for span in &left.spans {
            assert_eq!(hex(&span.parent_span_id).trim_matches('0'), "", "{span:?}");
            assert_ne!(hex(&span.trace_id), id(1));
            // What is decided is logged under the trace that began here.
            let decided = attributes(span).contains_key("decision_id");
            assert_eq!(left.logged(&hex(&span.trace_id)).len() == 1, decided, "{span:?}");
        }
    }
}
