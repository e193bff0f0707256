//! PolicyService.Apply: what it does, and that it does it once.

use pdp_proto::v1::{self, ChangeKind, Effect, Reason, fact::Fact, fact_key::Key};
use tokio::task::JoinSet;
use tonic::Code;

use crate::errors::{metadata, told};
use crate::served::{Served, delete, folder, put, put_person, question};

fn changed(answer: &v1::ApplyResponse) -> Vec<(Key, ChangeKind)> {
    let changes = answer.changes.iter();
    changes.map(|c| (c.key.clone().unwrap().key.unwrap(), c.kind())).collect()
}

#[tokio::test]
async fn a_change_set_is_visible_to_the_next_check_and_says_what_it_did() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let named = v1::Person { id: "bo".into(), name: Some("Bo".into()), ..Default::default() };
    let changes = vec![
        delete(Key::Assignment("a-2".into()), false),
        put(Fact::Person(named)),
        put_person("dee"),
    ];
    let answer = served.apply(changes).await.unwrap();
    assert_eq!((answer.revision, answer.total_changes, answer.replayed), (2, 3, false));
    let expected = vec![
        (Key::Person("bo".into()), ChangeKind::Changed),
        (Key::Person("dee".into()), ChangeKind::Created),
        (Key::Assignment("a-2".into()), ChangeKind::Removed),
    ];
    assert_eq!(changed(&answer), expected);
    let decision = served.check(question("dee", "View", "absence")).await;
    assert_eq!((decision.reason(), decision.revision), (Reason::NotGranted, 2));

    let again = served.apply(vec![put_person("dee")]).await.unwrap();
    assert_eq!((again.revision, again.total_changes), (2, 0), "no effect, no revision");
    served.stop().await;
}

#[tokio::test]
async fn a_cascade_lists_everything_that_it_touched() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let answer = served.apply(vec![delete(Key::Person("ana".into()), true)]).await.unwrap();
    let expected = vec![
        (Key::Person("ana".into()), ChangeKind::Removed),
        (Key::Group("hr".into()), ChangeKind::Changed),
        (Key::Assignment("a-2".into()), ChangeKind::Removed),
    ];
    assert_eq!(changed(&answer), expected);
    let decision = served.check(question("ana", "View", "absence")).await;
    assert_eq!(decision.reason(), Reason::UnknownSubject);
    served.stop().await;
}

#[tokio::test]
async fn a_dry_run_says_the_same_and_changes_nothing() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let request = v1::ApplyRequest {
        changes: vec![put_person("dee")],
        dry_run: true,
        request_id: "r-1".into(),
        ..Default::default()
    };
    let answer = served.policy().apply(request.clone()).await.unwrap().into_inner();
    assert_eq!((answer.revision, answer.total_changes), (1, 1));
    assert_eq!(changed(&answer), [(Key::Person("dee".into()), ChangeKind::Created)]);
    let decision = served.check(question("dee", "View", "absence")).await;
    assert_eq!(decision.reason(), Reason::UnknownSubject);
    // The request id was not used up.
    let real = v1::ApplyRequest { dry_run: false, ..request };
    let answer = served.policy().apply(real).await.unwrap().into_inner();
    assert_eq!((answer.revision, answer.replayed), (2, false));
    served.stop().await;
}

#[tokio::test]
async fn of_writers_racing_on_one_revision_exactly_one_wins() {
    const WRITERS: usize = 16;
    let folder = folder();
    let served = Served::start(&folder).await;
    let mut writers = JoinSet::new();
    for n in 0..WRITERS {
        let mut policy = served.policy();
        writers.spawn(async move {
            let request = v1::ApplyRequest {
                changes: vec![put_person(&format!("writer-{n}"))],
                expected_revision: Some(1),
                ..Default::default()
            };
            policy.apply(request).await.map(|answer| (n, answer.into_inner().revision))
        });
    }
    let results = writers.join_all().await;
    let won: Vec<_> = results.iter().flatten().collect();
    assert!(matches!(won.as_slice(), [(_, 2)]), "{won:?}");
    for refused in results.iter().filter_map(|result| result.as_ref().err()) {
        let expected = (Code::Aborted, "REVISION_CONFLICT".to_owned(), Vec::new());
        assert_eq!(told(refused), expected);
        assert_eq!(
            (metadata(refused, "expected"), metadata(refused, "actual")),
            ("1".into(), "2".into())
        );
    }
    for n in 0..WRITERS {
        let decision = served.check(question(&format!("writer-{n}"), "View", "absence")).await;
        let known = decision.reason() == Reason::NotGranted;
        assert_eq!(known, won[0].0 == n, "writer {n}");
    }
    served.stop().await;
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer_even_after_a_restart() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let request = v1::ApplyRequest {
        changes: vec![put_person("dee")],
        expected_revision: Some(1),
        request_id: "r-1".into(),
        ..Default::default()
    };
    let first = served.policy().apply(request.clone()).await.unwrap().into_inner();
    assert_eq!((first.revision, first.replayed), (2, false));
    served.apply(vec![delete(Key::Person("dee".into()), false)]).await.unwrap();
    served.stop().await;

    let served = Served::start(&folder).await;
    let second = served.policy().apply(request.clone()).await.unwrap().into_inner();
    assert_eq!(second, v1::ApplyResponse { replayed: true, ..first });
    let decision = served.check(question("dee", "View", "absence")).await;
    assert_eq!((decision.effect(), decision.reason()), (Effect::Deny, Reason::UnknownSubject));

    let other = v1::ApplyRequest { changes: vec![put_person("eve")], ..request };
    let refused = served.policy().apply(other).await.unwrap_err();
    let expected = (Code::AlreadyExists, "REQUEST_ID_REUSED".to_owned(), Vec::new());
    assert_eq!(told(&refused), expected);
    assert_eq!(metadata(&refused, "request_id"), "r-1");
    served.stop().await;
}
