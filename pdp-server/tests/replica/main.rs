//! Several servers that share a log in a real etcd: what any of them takes, all of them have, in one order;
//! and what becomes of that where etcd, or one of them, or what it has stored, is gone.
//!
//! Needs etcd: `PDP_ETCD` names its binary, and `tests/run` fetches one.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test"
)]

#[path = "../rolling/balancer.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod balancer;
#[path = "../rpc/child.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod child;
mod cluster;
mod damaged;
mod etcd;
mod faults;
mod full;
mod history;
mod load;
mod migrated;
mod process;
#[path = "../callers/secrets.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod secrets;
mod secured;
#[path = "../rpc/served.rs"]
#[allow(dead_code, reason = "the other tests of servers use the rest of it")]
mod served;
mod sessions;
mod wire;

use std::path::Path;

use pdp_proto::v1::decision_service_server::SERVICE_NAME as DECISION;
use pdp_proto::v1::policy_service_server::SERVICE_NAME as POLICY;
use pdp_proto::v1::{self, Effect};
use pdp_server::clock::Clock;
use pdp_server::config::Settings;
use tempfile::TempDir;
use tonic::{Code, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use balancer::probe;
use etcd::Etcd;
use served::{Served, put_person, question};

/// The settings of a server that shares the log of this etcd.
fn shared(folder: &Path, etcd: &Etcd) -> Settings {
    Settings {
        load: None,
        etcd_endpoints: Some(etcd.endpoints().parse().unwrap()),
        ..served::settings(folder)
    }
}

async fn replica(folder: &TempDir, etcd: &Etcd) -> Served {
    Served::with_clock(shared(folder.path(), etcd), Clock::system()).await
}

/// The server again, without anything that it had stored.
async fn anew(served: Served, folder: &TempDir, etcd: &Etcd) -> Served {
    served.stop().await;
    std::fs::remove_dir_all(folder.path().join("data")).unwrap();
    replica(folder, etcd).await
}

/// Servers that share a log which begins with the usual policy.
async fn replicas(etcd: &Etcd) -> [(TempDir, Served); 2] {
    let (one, other) = (served::folder(), served::folder());
    let load = Some(one.path().join("policy.yaml"));
    let first = Settings { load, ..shared(one.path(), etcd) };
    let first = Served::with_clock(first, Clock::system()).await;
    let second = replica(&other, etcd).await;
    [(one, first), (other, second)]
}

/// Whether somebody may view the report, from a revision on; and at which one.
async fn effect(served: &Served, person: &str, at_least: u64) -> (Effect, u64) {
    let question = Some(question(person, "View", "absence"));
    let request = v1::CheckRequest { question, at_least, ..Default::default() };
    let decision = served.decisions().check(request).await.unwrap().into_inner().decision.unwrap();
    (decision.effect(), decision.revision)
}

/// The end of an audit, whole: how many records, and the hash of the last.
async fn audit(served: &Served, of_server: bool) -> (u64, Vec<u8>) {
    let request = v1::AuditServiceVerifyRequest { of_server, ..Default::default() };
    let verified = served.audit().verify(request).await.unwrap().into_inner();
    assert_eq!(verified.broken, None);
    (verified.records, verified.head)
}

/// Holds that two servers have the same history, once both are at a revision.
async fn agree(one: &Served, other: &Served, at_least: u64) {
    for served in [one, other] {
        assert!(effect(served, "ana", at_least).await.1 >= at_least);
    }
    for of_server in [false, true] {
        assert_eq!(audit(one, of_server).await, audit(other, of_server).await);
    }
}

async fn expecting(served: &Served, id: &str, expected: u64) -> Result<u64, Status> {
    let request = v1::ApplyRequest {
        changes: vec![put_person(id)],
        expected_revision: Some(expected),
        ..Default::default()
    };
    served.policy().apply(request).await.map(|answer| answer.into_inner().revision)
}

fn reason(status: &Status) -> (Code, String, bool) {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
    (status.code(), reason, details.retry_info().is_some())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_any_server_takes_all_have_and_restarts_lose_nothing() {
    let etcd = Etcd::start(1).await;
    let [(one_folder, one), (other_folder, other)] = replicas(&etcd).await;
    assert_eq!(effect(&other, "ana", 1).await, (Effect::Allow, 1));
    let made = one.apply(vec![put_person("dee")]).await.unwrap().revision;
    assert_eq!(effect(&other, "ana", made).await.1, 2);
    let made = other.apply(vec![put_person("eve")]).await.unwrap().revision;
    assert_eq!(made, 3);
    agree(&one, &other, 3).await;

    // A tenant that one makes and the other deletes.
    let tenant = || "acme".to_owned();
    let create = v1::TenantServiceCreateRequest { tenant: tenant() };
    one.tenants().create(create.clone()).await.unwrap();
    assert_eq!(other.tenants().create(create).await.unwrap_err().code(), Code::AlreadyExists);
    let delete = v1::TenantServiceDeleteRequest { tenant: tenant() };
    other.tenants().delete(delete).await.unwrap();

    // One of them restarts and has missed something; then both at once.
    one.stop().await;
    let made = other.apply(vec![put_person("finn")]).await.unwrap().revision;
    let one = replica(&one_folder, &etcd).await;
    agree(&one, &other, made).await;
    one.stop().await;
    other.stop().await;
    let (one, other) = (replica(&one_folder, &etcd).await, replica(&other_folder, &etcd).await);
    let made = one.apply(vec![put_person("gus")]).await.unwrap().revision;
    assert_eq!(made, 5);
    agree(&one, &other, made).await;

    // What is stored of one is lost: it has everything again.
    let one = anew(one, &one_folder, &etcd).await;
    agree(&one, &other, made).await;
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_writers_on_one_revision_one_wins_whatever_server_they_ask() {
    let etcd = Etcd::start(1).await;
    let [(_one_folder, one), (_other_folder, other)] = replicas(&etcd).await;
    for round in 1..=20 {
        let names = (format!("a-{round}"), format!("b-{round}"));
        let (first, second) =
            tokio::join!(expecting(&one, &names.0, round), expecting(&other, &names.1, round));
        let outcomes = [first, second].map(|it| it.map_err(|error| error.code()));
        let mut sorted = outcomes.to_vec();
        sorted.sort_by_key(Result::is_err);
        assert_eq!(sorted, [Ok(round + 1), Err(Code::Aborted)]);
    }
    // Without expectations nobody loses.
    let write = async |served: &Served, of: &str| {
        for n in 0..20 {
            served.apply(vec![put_person(&format!("{of}-{n}"))]).await.unwrap();
        }
    };
    tokio::join!(write(&one, "c"), write(&other, "d"));
    agree(&one, &other, 61).await;
    assert_eq!(effect(&one, "ana", 0).await.1, 61);
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_etcd_decisions_go_on_and_writes_are_refused_until_it_is_back() {
    let mut etcd = Etcd::start(1).await;
    let [(one_folder, one), (_other_folder, other)] = replicas(&etcd).await;
    etcd.kill(0);
    let error = one.apply(vec![put_person("dee")]).await.unwrap_err();
    assert_eq!(reason(&error), (Code::Unavailable, "LOG_UNAVAILABLE".to_owned(), true));
    assert_eq!(effect(&one, "ana", 1).await, (Effect::Allow, 1));
    one.stop().await;

    // A server starts with what it has, and says that it is not to be asked where that is too old.
    let stale = Settings { max_stale_ms: Some(1), ..shared(one_folder.path(), &etcd) };
    let one = Served::begin(stale, Clock::system());
    unready(&one, "max_stale_ms").await;
    assert_eq!(effect(&one, "ana", 1).await, (Effect::Allow, 1));
    for service in ["", DECISION, POLICY] {
        while health(&one, service).await != ServingStatus::NotServing {}
    }
    one.stop().await;
    let one = replica(&one_folder, &etcd).await;
    assert_eq!(probe(one.http, "/healthz/ready").await.unwrap().0, 200);

    etcd.begin(0);
    etcd.answers().await;
    let made = loop {
        match one.apply(vec![put_person("dee")]).await {
            Ok(answer) => break answer.revision,
            Err(error) => assert_eq!(reason(&error).1, "LOG_UNAVAILABLE"),
        }
    };
    assert_eq!(made, 2, "what was refused was not written");
    agree(&one, &other, made).await;
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_for_one_request_comes_whole() {
    let etcd = Etcd::start(1).await;
    let [(_one_folder, one), (other_folder, other)] = replicas(&etcd).await;
    let long = "x".repeat(200);
    let many = (0..9_000).map(|n| put_person(&format!("{n}-{long}"))).collect();
    let made = one.apply(many).await.unwrap().revision;
    agree(&one, &other, made).await;
    assert!(etcd.count("pdp/chunk").await > 1);
    assert_eq!(etcd.count("pdp/kept").await, 1);
    assert_eq!(etcd.count("pdp/staging").await, 0);
    let other = anew(other, &other_folder, &etcd).await;
    agree(&one, &other, made).await;
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_stays_short_and_who_is_far_behind_takes_the_checkpoint() {
    stays_short(Settings { etcd_checkpoint_entries: Some(8), ..Settings::default() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_stays_short_in_bytes_too() {
    stays_short(Settings { etcd_checkpoint_bytes: Some(2_048), ..Settings::default() }).await;
}

/// With what makes it short after some ten entries.
async fn stays_short(short: Settings) {
    let etcd = Etcd::start(1).await;
    let [(one_folder, one), (other_folder, other)] = replicas(&etcd).await;
    one.stop().await;
    let short = short.or(shared(one_folder.path(), &etcd));
    let one = Served::with_clock(short, Clock::system()).await;
    // The other is away, and what it has missed is trimmed and compacted.
    other.stop().await;
    let mut made = 0;
    while made < 40 || etcd.count("pdp/entry").await > 20 {
        made = one.apply(vec![put_person(&format!("p-{made}"))]).await.unwrap().revision;
    }
    assert!(etcd.count("pdp/chunk").await > 0, "there is a checkpoint");
    let other = replica(&other_folder, &etcd).await;
    agree(&one, &other, made).await;
    let made = other.apply(vec![put_person("dee")]).await.unwrap().revision;
    agree(&one, &other, made).await;
    let other = anew(other, &other_folder, &etcd).await;
    agree(&one, &other, made).await;
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_another_history_decides_alone_and_says_so() {
    let mut etcd = Etcd::start(1).await;
    let [(_one_folder, one), (other_folder, other)] = replicas(&etcd).await;
    one.stop().await;
    other.stop().await;
    etcd.kill(0);
    // An etcd that somebody emptied.
    let etcd = Etcd::start(1).await;
    let other = Served::begin(shared(other_folder.path(), &etcd), Clock::system());
    unready(&other, "different histories").await;
    assert_eq!(effect(&other, "ana", 1).await, (Effect::Allow, 1));
    let error = other.apply(vec![put_person("dee")]).await.unwrap_err();
    assert_eq!(reason(&error).1, "LOG_UNUSABLE");
    for service in ["", POLICY] {
        while health(&other, service).await != ServingStatus::NotServing {}
    }
    assert_eq!(health(&other, DECISION).await, ServingStatus::Serving, "it decides");
    other.stop().await;
    assert_eq!(etcd.count("pdp").await, 0, "nothing was written");
}

/// Waits until the server has its policy and says why it is not ready.
async fn unready(served: &Served, why: &str) {
    loop {
        let (status, said) = probe(served.http, "/healthz/ready").await.unwrap();
        if status == 503 && said.contains(why) {
            return;
        }
    }
}

/// What is told of a service.
async fn health(served: &Served, service: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: service.to_owned() };
    let told = HealthClient::new(served.channel.clone()).check(request).await.unwrap();
    inner(told).status()
}

/// The body of an answer.
fn inner<T>(answer: Response<T>) -> T {
    answer.into_inner()
}
