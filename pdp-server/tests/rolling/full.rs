//! A store that takes no writes any more: the server says so, and goes on deciding.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use pdp_proto::v1;
use pdp_proto::v1::decision_service_client::DecisionServiceClient;
use pdp_proto::v1::policy_service_client::PolicyServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::balancer::probe;
use crate::served::{folder, put, question};

/// How large a file of the server may become, in blocks of 512 bytes: 4 MiB.
const BLOCKS: u32 = 8 << 10;

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A change set of about a megabyte.
fn large(number: usize) -> v1::ApplyRequest {
    let named = |n| v1::Person {
        id: format!("p-{number}-{n}"),
        name: Some("n".repeat(1_024)),
        ..Default::default()
    };
    let changes = (0..1_000).map(|n| put(v1::fact::Fact::Person(named(n)))).collect();
    v1::ApplyRequest { changes, ..Default::default() }
}

async fn health(channel: &Channel, service: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: service.to_owned() };
    let told = HealthClient::new(channel.clone()).check(request).await.unwrap();
    told.into_inner().status()
}

#[tokio::test]
async fn a_full_disk_ends_readiness_and_decisions_go_on() {
    let folder = folder();
    // A limit on the size of files is as good as a full disk, if the signal that comes with it is not taken.
    let shell = format!("trap '' XFSZ; ulimit -f {BLOCKS}; exec \"$0\" \"$@\"");
    let mut process = Command::new("sh")
        .args(["-c", &shell, env!("CARGO_BIN_EXE_pdp-server"), "serve", "--log-format", "json"])
        .args(["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--grace-ms", "0"])
        .args(["--load", "policy.yaml", "--data", "data", "--max-queue-ms", "60000"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let told = BufReader::new(process.stderr.take().unwrap());
    let _running = Running(process);
    let mut lines = told.lines().map_while(Result::ok);
    let line = lines.find(|line| line.contains(r#""message":"serving""#)).unwrap();
    std::thread::spawn(move || lines.for_each(drop));
    let address = |name: &str| {
        let rest = line.split(&format!("\"{name}\":\"")).nth(1).unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    let http = address("http").parse().unwrap();
    let channel =
        Endpoint::from_shared(format!("http://{}", address("grpc"))).unwrap().connect_lazy();
    assert_eq!(probe(http, "/healthz/ready").await.unwrap().0, 200);
    let mut policy = PolicyServiceClient::new(channel.clone());
    let mut number = 0;
    while policy.apply(large(number)).await.is_ok() {
        number += 1;
        assert!(number < 100, "there is room for everything");
    }
    let (status, said) = probe(http, "/healthz/ready").await.unwrap();
    assert_eq!(status, 503);
    assert!(said.contains("the store takes no writes"), "{said}");
    assert_eq!(probe(http, "/healthz/live").await.unwrap().0, 200);
    let (_, metrics) = probe(http, "/metrics").await.unwrap();
    assert!(metrics.contains("\npdp_commit_failures_total 1\n"), "{metrics}");
    for service in ["", "pdp.v1.PolicyService", "pdp.v1.SessionService", "pdp.v1.TenantService"] {
        while health(&channel, service).await != ServingStatus::NotServing {}
    }
    for service in ["pdp.v1.DecisionService", "envoy.service.auth.v3.Authorization"] {
        assert_eq!(health(&channel, service).await, ServingStatus::Serving, "{service}");
    }
    let request = v1::CheckRequest {
        question: Some(question("ana", "View", "absence")),
        ..Default::default()
    };
    let decided = DecisionServiceClient::new(channel).check(request).await.unwrap().into_inner();
    assert_eq!(decided.decision.unwrap().effect(), v1::Effect::Allow);
}
