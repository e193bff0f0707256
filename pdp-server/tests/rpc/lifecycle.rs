//! How a server starts, tells what it is, and ends.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use pdp_proto::v1::{self, Effect};
use pdp_server::clock::Clock;
use pdp_server::config::Settings;
use pdp_server::store::StoreError;
use pdp_server::{Listeners, LoadError, RunError, run};
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1 as reflection, v1alpha as reflection_alpha};
use tonic_types::StatusExt as _;

use crate::errors::told;
use crate::served::{
    POLICY, Served, delete, folder, put, put_person, question, settings, status_of,
};

const SERVICES: [&str; 3] =
    ["pdp.v1.DecisionService", "pdp.v1.PolicyService", "pdp.v1.TenantService"];

#[tokio::test]
async fn reflection_lists_every_service_in_both_versions() {
    use reflection::server_reflection_client::ServerReflectionClient;
    use reflection::server_reflection_request::MessageRequest;
    use reflection::server_reflection_response::MessageResponse;
    let folder = folder();
    let served = Served::start(&folder).await;
    let ask = |message| reflection::ServerReflectionRequest {
        message_request: Some(message),
        ..Default::default()
    };
    let questions = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("pdp.v1.Explanation".into())),
    ];
    let mut client = ServerReflectionClient::new(served.channel.clone());
    let answers = client.server_reflection_info(tokio_stream::iter(questions)).await.unwrap();
    let answers: Vec<_> =
        answers.into_inner().map(|a| a.unwrap().message_response.unwrap()).collect().await;
    let MessageResponse::ListServicesResponse(listed) = &answers[0] else { panic!("{answers:?}") };
    let listed: Vec<_> = listed.service.iter().map(|service| service.name.as_str()).collect();
    for service in SERVICES.into_iter().chain(["grpc.health.v1.Health"]) {
        assert!(listed.contains(&service), "{listed:?}");
    }
    assert!(matches!(&answers[1], MessageResponse::FileDescriptorResponse(_)), "{answers:?}");

    use reflection_alpha::server_reflection_client::ServerReflectionClient as AlphaClient;
    use reflection_alpha::server_reflection_request::MessageRequest as AlphaRequest;
    let request = reflection_alpha::ServerReflectionRequest {
        message_request: Some(AlphaRequest::ListServices(String::new())),
        ..Default::default()
    };
    let mut client = AlphaClient::new(served.channel.clone());
    let answers = client.server_reflection_info(tokio_stream::iter([request])).await.unwrap();
    let answer = answers.into_inner().next().await.unwrap().unwrap();
    assert!(format!("{answer:?}").contains("pdp.v1.DecisionService"));
    served.stop().await;
}

#[tokio::test]
async fn health_serves_while_loaded_and_ends_with_not_serving() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let mut watches = Vec::new();
    for service in SERVICES.into_iter().chain([""]) {
        let mut watch = served.watch_health(service).await;
        assert_eq!(status_of(watch.next().await), ServingStatus::Serving, "{service}");
        watches.push(watch);
    }
    let request = HealthCheckRequest { service: "pdp.v1.Nothing".into() };
    let unknown = HealthClient::new(served.channel.clone()).check(request).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let ended = served.shut_down();
    for mut watch in watches {
        assert_eq!(status_of(watch.next().await), ServingStatus::NotServing);
        assert!(watch.next().await.is_none_or(|last| last.is_err()), "the watch ends");
    }
    ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn while_the_policy_is_loading_nothing_is_decided() {
    let folder = folder();
    // A pipe in place of the bundle: loading waits until somebody writes into it.
    let pipe = folder.path().join("pipe.yaml");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let piped = Settings { load: Some(pipe.clone()), ..settings(folder.path()) };
    let served = Served::begin(piped, Clock::system());
    let mut watch = served.watch_health("pdp.v1.DecisionService").await;
    assert_eq!(status_of(watch.next().await), ServingStatus::NotServing);
    assert!(fetch(served.http, "/healthz/ready").await.starts_with("HTTP/1.1 503"));
    assert!(fetch(served.http, "/healthz/live").await.starts_with("HTTP/1.1 200"));
    let request = v1::CheckRequest {
        question: Some(question("ana", "View", "absence")),
        ..Default::default()
    };
    let refused = served.decisions().check(request).await.unwrap_err();
    assert_eq!(told(&refused), (Code::Unavailable, "STARTING".to_owned(), Vec::new()));
    assert!(refused.get_error_details().retry_info().is_some());
    let refused = served.apply(vec![put_person("dee")]).await.unwrap_err();
    assert_eq!(told(&refused).1, "STARTING");

    tokio::task::spawn_blocking(move || std::fs::write(pipe, POLICY)).await.unwrap().unwrap();
    assert_eq!(status_of(watch.next().await), ServingStatus::Serving);
    assert!(fetch(served.http, "/healthz/ready").await.starts_with("HTTP/1.1 200"));
    assert_eq!(served.check(question("ana", "View", "absence")).await.effect(), Effect::Allow);
    served.stop().await;
}

#[tokio::test]
async fn a_server_that_is_told_to_stop_while_loading_stops() {
    let folder = folder();
    let pipe = folder.path().join("pipe.yaml");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Open at both ends, so that nobody waits for it to be opened, whoever comes first.
    let held = std::fs::File::options().read(true).write(true).open(&pipe).unwrap();
    let piped = Settings { load: Some(pipe.clone()), ..settings(folder.path()) };
    let served = Served::begin(piped, Clock::system());
    // Loading waits for somebody to write into the pipe, and nobody does.
    served.shut_down().await.unwrap().unwrap();
    // Lets the thread that loads go, also where it has not come to the pipe yet.
    std::fs::remove_file(pipe).unwrap();
    drop(held);
}

#[tokio::test]
async fn the_first_policy_is_not_loaded_over_a_later_one() {
    let folder = folder();
    let served = Served::start(&folder).await;
    assert_eq!(served.check(question("ana", "View", "absence")).await.effect(), Effect::Allow);
    let key = v1::fact_key::Key::Person("ana".to_owned());
    let revoked = served.apply(vec![delete(key, true)]).await.unwrap().revision;
    served.stop().await;
    let served = Served::start(&folder).await;
    let decision = served.check(question("ana", "View", "absence")).await;
    assert_eq!(decision.reason(), v1::Reason::UnknownSubject);
    assert_eq!(decision.revision, revoked);
    served.stop().await;
}

/// Asks over a connection of its own, as a probe does.
pub(crate) async fn fetch(address: SocketAddr, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: pdp\r\nconnection: close\r\n\r\n");
    let ask = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    tokio::task::spawn_blocking(ask).await.unwrap()
}

#[tokio::test]
async fn probes_and_metrics_are_served_over_http() {
    let folder = folder();
    let served = Served::start(&folder).await;
    served.check(question("ana", "View", "absence")).await;
    served.check(question("bo", "View", "absence")).await;
    served.apply(vec![put_person("dee")]).await.unwrap();
    let refused = v1::CheckRequest::default();
    served.decisions().check(refused).await.unwrap_err();
    for path in ["/healthz/live", "/healthz/ready"] {
        let answer = fetch(served.http, path).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert!(fetch(served.http, "/nothing").await.starts_with("HTTP/1.1 404"));
    let metrics = fetch(served.http, "/metrics").await;
    assert!(metrics.contains("content-type: text/plain; version=0.0.4"), "{metrics}");
    for line in [
        r#"pdp_decisions_total{rpc="Check",effect="ALLOW",reason="GRANTED"} 1"#,
        r#"pdp_decisions_total{rpc="Check",effect="DENY",reason="NOT_GRANTED"} 1"#,
        r#"pdp_decision_seconds_count{rpc="Check"} 3"#,
        r#"pdp_rpc_failures_total{rpc="DecisionService/Check",code="INVALID_ARGUMENT"} 1"#,
        r#"pdp_change_sets_total{outcome="applied"} 1"#,
        r#"pdp_apply_seconds_count 1"#,
        "pdp_compile_seconds_count 1",
        "pdp_commit_seconds_count ",
        "pdp_commit_failures_total 0",
        "pdp_compile_failures_total 0",
        r#"pdp_snapshot_facts{tenant="default"} "#,
        r#"pdp_snapshot_age_seconds{tenant="default"} "#,
        "pdp_log_followed 1",
        "pdp_log_age_seconds 0",
        r#"pdp_snapshot_revision{tenant="default"} 2"#,
        "pdp_live_streams 0",
        "pdp_load_seconds ",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    // It is looked at once a second.
    let bytes = std::fs::metadata(folder.path().join("data/pdp.redb")).unwrap().len();
    let told = format!("\npdp_store_bytes {bytes}\n");
    while !fetch(served.http, "/metrics").await.contains(&told) {}
    served.stop().await;
}

#[tokio::test]
async fn a_request_in_flight_gets_its_own_answer_before_the_end() {
    let folder = folder();
    let waiting = Settings { max_wait_ms: Some(300), ..settings(folder.path()) };
    let served = Served::with(waiting).await;
    let request = v1::CheckRequest {
        question: Some(question("ana", "View", "absence")),
        at_least: 2,
        ..Default::default()
    };
    let mut decisions = served.decisions();
    let mut asked = std::pin::pin!(decisions.check(request));
    // Sent later over the same connection: once this one is answered, the first one has arrived.
    tokio::select! {
        biased;
        answer = &mut asked => panic!("there is no revision 2: {answer:?}"),
        decision = served.check(question("ana", "View", "absence")) => assert_eq!(decision.revision, 1),
    }
    let ended = served.shut_down();
    assert_eq!(told(&asked.await.unwrap_err()).1, "REVISION_NOT_REACHED");
    ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_export_that_nobody_reads_is_ended_at_the_drain_deadline() {
    let folder = folder();
    let short =
        Settings { drain_ms: Some(50), max_live_streams: Some(1), ..settings(folder.path()) };
    let served = Served::with(short).await;
    for part in 0..2 {
        let named = |n| v1::Person {
            id: format!("p-{part}-{n}"),
            name: Some("n".repeat(1_024)),
            login: Some("l".repeat(1_024)),
            ..Default::default()
        };
        let changes = (0..6_000).map(|n| put(v1::fact::Fact::Person(named(n)))).collect();
        served.apply(changes).await.unwrap();
    }
    let request = v1::ExportRequest::default();
    let mut export = served.policy().export(request.clone()).await.unwrap().into_inner();
    let first = export.next().await.unwrap().unwrap();
    assert_eq!(first.revision, 3);
    let refused = served.policy().export(request).await.unwrap_err();
    assert_eq!(told(&refused).1, "TOO_MANY_STREAMS");
    assert!(fetch(served.http, "/metrics").await.contains("pdp_live_streams 1"));
    served.stop().await;
    let mut last = Ok(first);
    while let Some(next) = export.next().await {
        last = next;
        if last.is_err() {
            break;
        }
    }
    assert!(last.is_err(), "a cut export does not look like a whole one");
}

#[tokio::test]
async fn a_restart_shows_the_same_policy_at_the_same_revision() {
    let folder = folder();
    let served = Served::start(&folder).await;
    served.apply(vec![put_person("dee")]).await.unwrap();
    served.stop().await;
    let served = Served::start(&folder).await;
    let decision = served.check(question("ana", "View", "absence")).await;
    assert_eq!((decision.effect(), decision.revision), (Effect::Allow, 2));
    served.stop().await;
}

async fn refused_start(settings: Settings) -> RunError {
    let config = settings.into_config(None).unwrap();
    let listeners = Listeners::bind(&config).unwrap();
    run(config, listeners, Clock::system(), std::future::pending()).await.unwrap_err()
}

#[tokio::test]
async fn a_second_server_on_the_same_folder_is_refused() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let refused = refused_start(settings(folder.path())).await;
    assert!(matches!(refused, RunError::Store(StoreError::Locked { .. })), "{refused}");
    assert!(refused.to_string().contains("another pdp-server"), "{refused}");
    assert_eq!(served.check(question("ana", "View", "absence")).await.effect(), Effect::Allow);
    served.stop().await;
}

#[tokio::test]
async fn a_bundle_that_cannot_be_loaded_stops_the_start_with_its_line() {
    let folder = folder();
    let bundle = folder.path().join("policy.yaml");
    for (text, said) in [
        ("people:\n  - {id: ana, manager: nobody}\n", "policy.yaml:2:"),
        ("people:\n  - {id: ana, shoe: 42}\n", "policy.yaml:2:"),
        ("people: [\n", "policy.yaml:"),
    ] {
        std::fs::write(&bundle, text).unwrap();
        let refused = refused_start(settings(folder.path())).await;
        assert!(matches!(refused, RunError::Load(LoadError::Bundle(_))), "{refused}");
        assert!(refused.to_string().contains(said), "{refused}");
    }
    std::fs::remove_file(&bundle).unwrap();
    let refused = refused_start(settings(folder.path())).await;
    assert!(refused.to_string().contains("policy.yaml"), "{refused}");
}

#[tokio::test]
async fn a_taken_port_is_refused_with_the_setting() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let taken = Settings { grpc: Some(served.grpc), ..settings(folder.path()) };
    let refused = Listeners::bind(&taken.into_config(None).unwrap()).unwrap_err().to_string();
    assert!(refused.contains(&served.grpc.to_string()) && refused.contains("--grpc"), "{refused}");
    served.stop().await;
}
