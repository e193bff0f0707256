//! DecisionService: what it answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pdp_engine::time::Timestamp;
use pdp_proto::v1::question::Permission;
use pdp_proto::v1::{self, Effect, Reason};
use pdp_server::clock::Clock;
use tonic::Code;

use crate::served::{A_1_ENDS, NOW, Served, folder, object, put_person, question, settings};

fn said(decision: &v1::Decision) -> (Effect, Reason) {
    (decision.effect(), decision.reason())
}

#[tokio::test]
async fn check_decides_with_effect_reason_and_revision() {
    let folder = folder();
    let served = Served::start(&folder).await;
    for (subject, operation, report, expected) in [
        ("ana", "View", "absence", (Effect::Allow, Reason::Granted)),
        ("bo", "View", "absence", (Effect::Deny, Reason::NotGranted)),
        ("ana", "View", "budget", (Effect::Deny, Reason::NotGranted)),
        ("nobody", "View", "absence", (Effect::Deny, Reason::UnknownSubject)),
        ("cy", "View", "absence", (Effect::Deny, Reason::SubjectDisabled)),
        ("ana", "View", "nothing", (Effect::Deny, Reason::UnknownResource)),
        ("ana", "Fly", "absence", (Effect::Deny, Reason::UnknownPermission)),
    ] {
        let decision = served.check(question(subject, operation, report)).await;
        assert_eq!(said(&decision), expected, "{subject} {operation} {report}");
        assert_eq!(decision.revision, 1);
    }
    let right = v1::Question {
        permission: Some(Permission::Right("ReadData".to_owned())),
        ..question("ana", "", "absence")
    };
    assert_eq!(said(&served.check(right).await), (Effect::Allow, Reason::Granted));
    served.stop().await;
}

#[tokio::test]
async fn a_dual_check_routes_unless_told_not_to() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let dual = v1::Question {
        counterpart: Some(object("Person", "bo")),
        ..question("ana", "AddPersonToViewer", "absence")
    };
    let decision = served.check(dual.clone()).await;
    assert_eq!(said(&decision), (Effect::RequiresApproval, Reason::MissingOnCounterpart));
    let decision = served.check(v1::Question { no_routing: true, ..dual }).await;
    assert_eq!(said(&decision), (Effect::Deny, Reason::MissingOnCounterpart));
    served.stop().await;
}

#[tokio::test]
async fn an_empty_tenant_is_the_default_one() {
    let folder = folder();
    let served = Served::start(&folder).await;
    for tenant in ["", "default"] {
        let request = v1::CheckRequest {
            tenant: tenant.to_owned(),
            question: Some(question("ana", "View", "absence")),
            at_least: 0,
        };
        let decision = served.decisions().check(request).await.unwrap().into_inner().decision;
        assert_eq!(decision.unwrap().effect(), Effect::Allow);
    }
    served.stop().await;
}

#[tokio::test]
async fn a_grant_ends_at_its_instant_without_a_write() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let asked = || question("ana", "View", "absence");
    served.now.store(A_1_ENDS - 1, Ordering::SeqCst);
    assert_eq!(served.check(asked()).await.reason(), Reason::Granted);
    served.now.store(A_1_ENDS, Ordering::SeqCst);
    let decision = served.check(asked()).await;
    assert_eq!((decision.reason(), decision.revision), (Reason::NotGranted, 1));
    served.stop().await;
}

#[tokio::test]
async fn a_batch_answers_in_order_on_one_revision_with_errors_of_their_own() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let questions = vec![
        question("ana", "View", "absence"),
        v1::Question { subject: None, ..question("ana", "View", "absence") },
        question("bo", "View", "absence"),
        question("ana", &"x".repeat(257), "absence"),
    ];
    let request = v1::BatchCheckRequest { questions, ..Default::default() };
    let answer = served.decisions().batch_check(request).await.unwrap().into_inner();
    assert_eq!(answer.revision, 1);
    let results: Vec<_> = answer.results.into_iter().map(|r| r.result.unwrap()).collect();
    let decided = |result: &v1::batch_check_result::Result| match result {
        v1::batch_check_result::Result::Decision(decision) => Ok(said(decision)),
        v1::batch_check_result::Result::Error(error) => {
            Err((error.code, error.reason.clone(), error.field.clone()))
        }
    };
    let malformed = |field: &str| {
        Err((i32::from(Code::InvalidArgument), "MALFORMED".to_owned(), field.to_owned()))
    };
    assert_eq!(results.len(), 4);
    assert_eq!(decided(&results[0]), Ok((Effect::Allow, Reason::Granted)));
    assert_eq!(decided(&results[1]), malformed("questions[1].subject"));
    assert_eq!(decided(&results[2]), Ok((Effect::Deny, Reason::NotGranted)));
    assert_eq!(decided(&results[3]), malformed("questions[3].operation"));

    let none = served.decisions().batch_check(v1::BatchCheckRequest::default()).await.unwrap();
    assert_eq!(none.into_inner(), v1::BatchCheckResponse { results: Vec::new(), revision: 1 });
    served.stop().await;
}

#[tokio::test]
async fn an_explanation_holds_the_decision_and_every_hop() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let explain = async |question| {
        let request = v1::ExplainRequest { question: Some(question), ..Default::default() };
        served.decisions().explain(request).await.unwrap().into_inner().explanation.unwrap()
    };
    let granted = explain(question("ana", "View", "absence")).await;
    let decision = served.check(question("ana", "View", "absence")).await;
    assert_eq!(granted.decision, Some(decision));
    let evaluated_at = prost_types::Timestamp { seconds: NOW / 1_000_000, nanos: 0 };
    assert_eq!(granted.evaluated_at, Some(evaluated_at));
    let side = &granted.sides[0];
    assert_eq!(side.object, Some(object("Report", "absence")));
    let entry = &side.entries[0];
    let assignment = entry.assignment.as_ref().unwrap();
    assert_eq!(assignment.id, "a-1");
    assert!(assignment.window.is_some() && assignment.level.is_some() && assignment.to.is_some());
    assert_eq!(entry.standing(), v1::Standing::Deciding);
    assert_eq!(entry.qualifier(), v1::Qualifier::Allowed);
    assert_eq!(entry.subject_path[0].kind(), v1::HopKind::MemberOf);
    let placement = &entry.coverage.as_ref().unwrap().placement;
    assert_eq!(placement[0].kind(), v1::HopKind::PlacedIn);
    let zurich = v1::thing::Thing::Location("zurich".to_owned());
    assert_eq!(placement[0].to.as_ref().unwrap().thing, Some(zurich));

    let missed = explain(question("bo", "View", "absence")).await;
    let side = &missed.sides[0];
    assert_eq!(side.outcome(), Reason::NotGranted);
    assert_eq!(side.granting_levels[0].name, "Viewer");
    assert_eq!(side.near_misses[0].gap(), v1::Gap::Assignee);
    served.stop().await;
}

#[tokio::test]
async fn at_least_waits_until_the_revision_is_there() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let request = v1::CheckRequest {
        question: Some(question("dee", "View", "absence")),
        at_least: 2,
        ..Default::default()
    };
    let (mut first, mut second) = (served.decisions(), served.decisions());
    let batch = v1::BatchCheckRequest {
        questions: vec![question("dee", "View", "absence")],
        at_least: 2,
        ..Default::default()
    };
    let (answer, batched, applied) = tokio::join!(
        first.check(request.clone()),
        second.batch_check(batch),
        served.apply(vec![put_person("dee")])
    );
    assert_eq!(applied.unwrap().revision, 2);
    let decision = answer.unwrap().into_inner().decision.unwrap();
    assert_eq!((decision.reason(), decision.revision), (Reason::NotGranted, 2));
    assert_eq!(batched.unwrap().into_inner().revision, 2);
    served.stop().await;
}

#[tokio::test]
async fn a_panic_is_an_internal_error_and_the_server_lives_on() {
    let folder = folder();
    let broken = Arc::new(AtomicBool::new(false));
    let breaks = Arc::clone(&broken);
    let clock = Clock::from_fn(move || {
        assert!(!breaks.swap(false, Ordering::SeqCst), "this clock is broken");
        Timestamp::from_micros(NOW)
    });
    let served = Served::with_clock(settings(folder.path()), clock).await;
    // Loading the policy reads the clock, too, and a panic there ends the server.
    broken.store(true, Ordering::SeqCst);
    let request = v1::CheckRequest {
        question: Some(question("ana", "View", "absence")),
        ..Default::default()
    };
    let refused = served.decisions().check(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Internal);
    assert!(!refused.message().contains("clock"), "{refused}");
    assert_eq!(served.check(question("ana", "View", "absence")).await.effect(), Effect::Allow);
    served.stop().await;
}
