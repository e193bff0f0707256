//! What a sidecar decides itself, and what it leaves to its server.

use std::sync::atomic::Ordering;

use pdp_proto::v1::check_stream_response::Result as Outcome;
use pdp_proto::v1::{self, batch_check_result, question::Permission};
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::beside::Beside;
use crate::guarded::reason;
use crate::served::{self, A_1_ENDS, Served, object, put_person, question};

/// A server for whom the grant of the policy has ended, and its sidecar, for which it has not.
async fn two(folder: &tempfile::TempDir) -> (Served, Beside) {
    let served = Served::start(folder).await;
    served.now.store(A_1_ENDS, Ordering::SeqCst);
    let beside = Beside::start(served.grpc).ready().await;
    (served, beside)
}

/// What only the server can tell.
fn of_account() -> v1::Question {
    let subject = v1::subject::Subject::Account("ana-1".to_owned());
    let subject = Some(v1::Subject { subject: Some(subject) });
    v1::Question { subject, ..question("ana", "View", "absence") }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_depends_on_the_policy_alone_is_decided_here() {
    let folder = served::folder();
    let (served, beside) = two(&folder).await;
    let asked = question("ana", "View", "absence");
    assert_eq!(served.check(asked.clone()).await.reason(), v1::Reason::NotGranted);
    let decided = beside.check(asked.clone(), 0).await.unwrap();
    assert_eq!((decided.reason(), decided.revision), (v1::Reason::Granted, 1));
    assert_eq!(decided.effect(), v1::Effect::Allow);
    // A person that the policy does not name, and a resource.
    for (subject, report, reason) in [
        ("nobody", "absence", v1::Reason::UnknownSubject),
        ("ana", "nothing", v1::Reason::UnknownResource),
        ("cy", "absence", v1::Reason::SubjectDisabled),
    ] {
        let decided = beside.check(question(subject, "View", report), 0).await.unwrap();
        assert_eq!(decided.reason(), reason);
    }

    let batch = v1::BatchCheckRequest {
        questions: vec![asked.clone(), question("bo", "View", "absence")],
        ..Default::default()
    };
    let answer = beside.decisions().batch_check(batch).await.unwrap().into_inner();
    assert_eq!(
        (reasons(&answer), answer.revision),
        (vec![v1::Reason::Granted, v1::Reason::NotGranted], 1)
    );
    beside.stop().await;
    served.stop().await;
}

fn reasons(answer: &v1::BatchCheckResponse) -> Vec<v1::Reason> {
    let reason = |result: &v1::BatchCheckResult| match result.result.as_ref().unwrap() {
        batch_check_result::Result::Decision(decision) => decision.reason(),
        batch_check_result::Result::Error(error) => panic!("{error:?}"),
    };
    answer.results.iter().map(reason).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_depends_on_more_is_left_to_the_server() {
    let folder = served::folder();
    let (served, beside) = two(&folder).await;
    let asked = question("ana", "View", "absence");
    let session = Some(Permission::Session(v1::SessionPermission::default()));
    let session = v1::Question { permission: session, ..asked.clone() };
    let account = v1::Question { resource: Some(object("UserAccount", "jit-1")), ..asked.clone() };
    for question in [of_account(), session, account] {
        let request = v1::CheckRequest { question: Some(question.clone()), ..Default::default() };
        let direct = served.decisions().check(request).await.map(|it| it.into_inner().decision);
        let passed = beside.check(question.clone(), 0).await.map(Some);
        match (direct, passed) {
            (Ok(direct), Ok(passed)) => assert_eq!(direct, passed),
            (direct, passed) => panic!("{direct:?} {passed:?}"),
        }
        // One of a batch, and the batch is the server's: its decisions are of one revision and one instant.
        let questions = vec![asked.clone(), question];
        let batch = v1::BatchCheckRequest { questions, ..Default::default() };
        let answer = beside.decisions().batch_check(batch).await.unwrap().into_inner();
        assert_eq!(reasons(&answer)[0], v1::Reason::NotGranted);
    }

    // Of another tenant, and what is no question: the server says what is wrong.
    let request = v1::CheckRequest {
        tenant: "other".to_owned(),
        question: Some(asked.clone()),
        ..Default::default()
    };
    let unknown = beside.decisions().check(request).await.unwrap_err();
    assert_eq!((unknown.code(), reason(&unknown).as_str()), (Code::NotFound, "UNKNOWN_TENANT"));
    let nothing = v1::CheckRequest::default();
    let direct = served.decisions().check(nothing.clone()).await.unwrap_err();
    let passed = beside.decisions().check(nothing).await.unwrap_err();
    assert_eq!(
        (passed.code(), passed.message(), passed.details()),
        (direct.code(), direct.message(), direct.details())
    );
    assert_eq!(passed.get_details_bad_request().unwrap().field_violations[0].field, "question");
    beside.stop().await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_answered_in_its_order_whoever_decides() {
    let folder = served::folder();
    let (served, beside) = two(&folder).await;
    let asked = question("ana", "View", "absence");
    let questions = (0..200).map(|number| {
        let (tenant, question) = match number % 4 {
            0 => ("", Some(of_account())),
            1 => ("other", Some(asked.clone())),
            _ => ("default", Some(asked.clone())),
        };
        v1::CheckStreamRequest { number, tenant: tenant.to_owned(), question, at_least: 0 }
    });
    let questions: Vec<_> = questions.collect();
    let stream = beside.decisions().check_stream(tokio_stream::iter(questions)).await.unwrap();
    let mut answers = stream.into_inner();
    for expected in 0..200 {
        let v1::CheckStreamResponse { number, result } = answers.next().await.unwrap().unwrap();
        assert_eq!(number, expected);
        match (number % 4, result.unwrap()) {
            (0, Outcome::Decision(it)) => assert_eq!(it.reason(), v1::Reason::UnknownSubject),
            (1, Outcome::Error(error)) => {
                assert_eq!((error.code, error.reason.as_str()), (5, "UNKNOWN_TENANT"));
            }
            (_, Outcome::Decision(it)) => assert_eq!(it.reason(), v1::Reason::Granted),
            (_, other) => panic!("{number}: {other:?}"),
        }
    }
    assert!(answers.next().await.is_none());
    beside.stop().await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_arrives_and_a_revision_that_has_not_is_asked_for() {
    let folder = served::folder();
    let (served, beside) = two(&folder).await;
    for revision in 2..12 {
        let applied = served.apply(vec![put_person(&format!("p{revision}"))]).await.unwrap();
        assert_eq!(applied.revision, revision);
        let asked = question(&format!("p{revision}"), "View", "absence");
        let decided = beside.check(asked, revision).await.unwrap();
        assert!(decided.revision >= revision);
        assert_eq!(decided.reason(), v1::Reason::NotGranted, "and not unknown");
    }
    beside.decides_at(11).await;
    // One that does not come is the server's to wait for.
    let mut request = tonic::Request::new(v1::CheckRequest {
        question: Some(question("ana", "View", "absence")),
        at_least: 99,
        ..Default::default()
    });
    request.set_timeout(std::time::Duration::from_millis(200));
    let late = beside.decisions().check(request).await.unwrap_err();
    assert!(
        matches!(late.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled),
        "{late:?}"
    );
    beside.stop().await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_kept_that_are_named_and_no_others() {
    let folder = served::folder();
    let served = Served::start(&folder).await;
    let id = "acme".to_owned();
    served.tenants().create(v1::TenantServiceCreateRequest { tenant: id }).await.unwrap();
    let apply = v1::ApplyRequest {
        tenant: "acme".to_owned(),
        changes: vec![put_person("ana")],
        ..Default::default()
    };
    served.policy().apply(apply).await.unwrap();
    let sidecar = pdp_server::config::SidecarSettings {
        follow_tenants: "acme".parse().ok(),
        ..Default::default()
    };
    let beside = Beside::with(served.grpc, sidecar).ready().await;
    served.now.store(A_1_ENDS, Ordering::SeqCst);
    let of = async |tenant: &str| {
        let question = Some(question("ana", "View", "absence"));
        let request = v1::CheckRequest { tenant: tenant.to_owned(), question, at_least: 0 };
        beside.decisions().check(request).await.unwrap().into_inner().decision.unwrap().reason()
    };
    assert_eq!(of("acme").await, v1::Reason::UnknownResource);
    assert_eq!(of("default").await, v1::Reason::NotGranted, "by the server");
    let metrics = crate::sent::send(beside.http, "GET", "/metrics", &[], "").await;
    assert!(metrics.body.contains("tenant=\"acme\""), "{}", metrics.body);
    assert!(!metrics.body.contains("tenant=\"default\""));
    beside.stop().await;
    served.stop().await;
}
