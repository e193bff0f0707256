//! What a sidecar passes on, and whose credentials go along.

use pdp_proto::v1;
use pdp_server::config::{Settings, SidecarSettings};
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::beside::{Beside, with};
use crate::guarded::{Guarded, Tls, caller, key, reason};
use crate::secrets::{Name, replace};
use crate::served::{self, put_person, question};

/// A server that knows its callers: a sidecar, a desk that may read, and an edge that may ask.
async fn known() -> (Guarded, [String; 3]) {
    let keys = [key(), key(), key()];
    let callers = format!(
        "callers:\n{}{}{}",
        caller("sidecar", &keys[0].1, "{default: [explain, check]}"),
        caller("desk", &keys[1].1, "{default: [explain, write]}"),
        caller("edge", &keys[2].1, "{default: [check]}"),
    );
    let server = Guarded::start(&callers).await;
    (server, keys.map(|(key, _)| key))
}

fn sidecar(server: &Guarded, key: &str) -> SidecarSettings {
    let file = server.folder.path().join("sidecar-key");
    replace(&file, format!("{}\n", key.trim_start_matches("Bearer ")).as_bytes());
    SidecarSettings { follow_credentials: Some(file), ..Default::default() }
}

fn of_account() -> v1::Question {
    let subject = v1::subject::Subject::Account("ana-1".to_owned());
    let subject = Some(v1::Subject { subject: Some(subject) });
    v1::Question { subject, ..question("ana", "View", "absence") }
}

fn explain() -> v1::ExplainRequest {
    let question = Some(question("ana", "View", "absence"));
    v1::ExplainRequest { question, ..Default::default() }
}

fn told(status: &Status) -> (Code, String) {
    (status.code(), reason(status))
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_prove_themselves_and_the_sidecar_vouches_for_decisions_alone() {
    let (server, [own, desk, edge]) = known().await;
    let beside = Beside::with(server.served.grpc, sidecar(&server, &own)).ready().await;
    // Decisions, here and there, for whoever may open the socket.
    let here = beside.check(question("ana", "View", "absence"), 0).await.unwrap();
    assert_eq!(here.reason(), v1::Reason::Granted);
    let there = beside.check(of_account(), 0).await.unwrap();
    assert_eq!(there.reason(), v1::Reason::UnknownSubject);
    let questions = vec![of_account()];
    let batch = v1::BatchCheckRequest { questions, ..Default::default() };
    assert_eq!(beside.decisions().batch_check(batch).await.unwrap().into_inner().results.len(), 1);

    // The sidecar may explain and export. Whoever may open its socket may not.
    let missing = (Code::Unauthenticated, "CREDENTIALS_MISSING".to_owned());
    assert_eq!(told(&beside.decisions().explain(explain()).await.unwrap_err()), missing);
    let export = beside.policy().export(v1::ExportRequest::default()).await;
    assert_eq!(told(&export.map(drop).unwrap_err()), missing);
    let watch = beside.policy().watch(v1::PolicyServiceWatchRequest::default()).await;
    assert_eq!(told(&watch.map(drop).unwrap_err()), missing);
    let lists = v1::ListPermissionsRequest::default();
    assert_eq!(told(&beside.decisions().list_permissions(lists).await.unwrap_err()), missing);
    let apply = v1::ApplyRequest { changes: vec![put_person("eve")], ..Default::default() };
    assert_eq!(told(&beside.policy().apply(apply.clone()).await.unwrap_err()), missing);

    // Each caller has what is theirs, with the server's own words where that is nothing.
    let explained = beside.decisions().explain(with(&desk, explain())).await.unwrap();
    let direct =
        v1::decision_service_client::DecisionServiceClient::new(server.served.channel.clone());
    let direct = direct.clone().explain(with(&desk, explain())).await.unwrap();
    assert_eq!(explained.into_inner(), direct.into_inner());
    let refused = beside.decisions().explain(with(&edge, explain())).await.unwrap_err();
    assert_eq!(told(&refused), (Code::PermissionDenied, "ROLE_MISSING".to_owned()));
    assert_eq!(refused.get_details_error_info().unwrap().metadata["role"], "explain");
    let applied = beside.policy().apply(with(&desk, apply)).await.unwrap().into_inner();
    assert_eq!(applied.revision, 2);
    let mut export = beside.policy().export(with(&desk, v1::ExportRequest::default())).await;
    let mut facts = 0;
    while let Some(part) = export.as_mut().unwrap().get_mut().next().await {
        facts += part.unwrap().facts.len();
    }
    assert!(facts > 10);

    // Who has credentials is asked for on their own, and not vouched for.
    let wrong = v1::CheckRequest { question: Some(of_account()), ..Default::default() };
    let wrong = beside.decisions().check(with("Bearer nobody", wrong)).await.unwrap_err();
    assert_eq!(told(&wrong), (Code::Unauthenticated, "CREDENTIALS_INVALID".to_owned()));
    drop(export);
    beside.stop().await;
    server.served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_whose_token_comes_later_follows_then() {
    let (server, [own, _, edge]) = known().await;
    // Who may not read the policy is told so, and has every question asked.
    let settings = sidecar(&server, &edge);
    let beside = Beside::with(server.served.grpc, settings);
    let there = beside.check(question("ana", "View", "absence"), 0).await.unwrap();
    assert_eq!(there.reason(), v1::Reason::Granted);
    assert!(!beside.serves().await);
    sidecar(&server, &own);
    beside.ready().await.stop().await;
    server.served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_the_sidecar_vouches_for_decisions_alone() {
    let folder = served::folder();
    let tls = Tls::new(folder.path());
    let issue =
        |name: &str, of: &str| tls.authority.issue(folder.path(), name, &[Name::Dns(of)], 2100);
    let (server, own) = (issue("local", "localhost"), issue("own", "sidecar.bank.example"));
    let callers = "callers:\n  - {name: sidecar, certificates: [sidecar.bank.example], roles: {default: [explain, check]}}\n";
    std::fs::write(folder.path().join("callers.yaml"), callers).unwrap();
    let settings = Settings {
        tls_cert: Some(server.cert),
        tls_key: Some(server.key),
        callers: Some(folder.path().join("callers.yaml")),
        ..tls.settings()
    };
    let clock =
        pdp_server::clock::Clock::fixed(pdp_engine::time::Timestamp::from_micros(served::NOW));
    let served = served::Served::begin(settings.or(served::settings(folder.path())), clock);
    let sidecar = SidecarSettings {
        follow: format!("https://localhost:{}", served.grpc.port()).parse().ok(),
        follow_ca: Some(tls.ca.clone()),
        follow_cert: Some(own.cert),
        follow_key: Some(own.key),
        ..Default::default()
    };
    let beside = Beside::with(served.grpc, sidecar).ready().await;
    let there = beside.check(of_account(), 0).await.unwrap();
    assert_eq!(there.reason(), v1::Reason::UnknownSubject);
    // The connection would prove the sidecar.
    let refused = beside.decisions().explain(explain()).await.unwrap_err();
    assert_eq!(told(&refused), (Code::Unauthenticated, "CREDENTIALS_MISSING".to_owned()));
    let wrong = beside.decisions().explain(with("Bearer nobody", explain())).await.unwrap_err();
    assert_eq!(told(&wrong), (Code::Unauthenticated, "CREDENTIALS_INVALID".to_owned()));
    let export = beside.policy().export(v1::ExportRequest::default()).await;
    assert_eq!(told(&export.map(drop).unwrap_err()).1, "CREDENTIALS_MISSING");
    beside.stop().await;
    served.stop().await;
}
