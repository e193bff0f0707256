//! Traces leave the process: a real `pdp-server` sends the span of a write to a collector.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use pdp_proto::v1;
use pdp_proto::v1::policy_service_client::PolicyServiceClient;
use tokio::sync::mpsc;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status};

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
    }
}

/// The address that a server says it serves on, once it does.
fn address(server: &mut Running) -> String {
    let told = BufReader::new(server.0.stderr.take().unwrap());
    let mut lines = told.lines().map(Result::unwrap);
    let line = lines.find(|line| line.contains(r#""message":"serving""#)).unwrap();
    let rest = line.split(r#""grpc":""#).nth(1).unwrap();
    // Whatever else it says is read, so that it never waits for a reader.
    std::thread::spawn(move || lines.for_each(drop));
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_span_of_a_write_reaches_the_collector_under_its_caller_s_trace() {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let endpoint = format!("http://{}", incoming.local_addr().unwrap());
    let (sender, mut received) = mpsc::unbounded_channel();
    let collector = Server::builder().add_service(TraceServiceServer::new(Collector(sender)));
    let collector = tokio::spawn(collector.serve_with_incoming(incoming));

    let folder = tempfile::tempdir().unwrap();
    let mut server = Command::new(env!("CARGO_BIN_EXE_pdp-server"))
        .args(["serve", "--grace-ms", "0", "--log-format", "json", "--http", "127.0.0.1:0"])
        .args(["--grpc", "127.0.0.1:0", "--otlp-endpoint", &endpoint, "--data"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map(Running)
        .unwrap();
    let grpc = format!("http://{}", address(&mut server));
    let channel = Endpoint::from_shared(grpc).unwrap().connect_lazy();
    let mut request = Request::new(v1::ApplyRequest::default());
    let caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    request.metadata_mut().insert("traceparent", caller.parse().unwrap());
    let applied = PolicyServiceClient::new(channel).apply(request).await.unwrap();
    assert_eq!(applied.into_inner().revision, 0);
    let process = server.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &process]).status().unwrap().success());
    assert!(server.0.wait().unwrap().success());

    // What waited was sent before the process ended.
    let request = received.recv().await.unwrap();
    let spans = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    let mut spans = spans.flat_map(|scope| &scope.spans);
    let span = spans.find(|span| span.name == "PolicyService/Apply").unwrap();
    let trace_id: String = span.trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(trace_id, "0af7651916cd43dd8448eb211c80319c");
    collector.abort();
}
