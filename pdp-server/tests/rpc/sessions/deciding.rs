//! What a session does to decisions, and when: nothing waits for a sweep.

use pdp_proto::v1::question::Permission;
use pdp_proto::v1::{self, DelegationAction, Effect, Reason};

use super::{
    HOUR, SECOND, account, acknowledge, close, done, exclude, folder, opened, question,
    reading_orders, reason, renew, set_clock,
};
use crate::served::{Served, object, person};

/// What Check, BatchCheck, Explain, the lists and CheckDelegation say of an account that reads the
/// orders only by its session; they must agree.
async fn privileged(served: &Served, id: &str) -> bool {
    let asked = reading_orders(account(id));
    let decision = served.check(asked.clone()).await;
    let request = v1::BatchCheckRequest { questions: vec![asked.clone()], ..Default::default() };
    let batch = served.decisions().batch_check(request).await.unwrap().into_inner();
    let batched = batch.results.first().unwrap().result.clone().unwrap();
    assert_eq!(batched, v1::batch_check_result::Result::Decision(decision.clone()));
    let request = v1::ExplainRequest { question: Some(asked), ..Default::default() };
    let explained = served.decisions().explain(request).await.unwrap().into_inner();
    assert_eq!(explained.explanation.unwrap().decision, Some(decision.clone()));
    let allowed = decision.effect() == Effect::Allow;
    assert_eq!(decision.effect() == Effect::Deny, !allowed);

    let orders = object("Database", "orders");
    let request = v1::ListPermissionsRequest {
        subject: Some(account(id)),
        resource: Some(orders.clone()),
        ..Default::default()
    };
    let listed = served.decisions().list_permissions(request).await.unwrap().into_inner();
    assert_eq!(listed.permissions.len(), if allowed { 2 } else { 0 });
    let request = v1::ListResourcesRequest {
        subject: Some(account(id)),
        permission: Some(v1::list_resources_request::Permission::Operation("Read".into())),
        r#type: "Database".into(),
        ..Default::default()
    };
    let listed = served.decisions().list_resources(request).await.unwrap().into_inner();
    assert_eq!(listed.resources.len(), usize::from(allowed));
    let request = v1::ListSubjectsRequest {
        permission: Some(v1::list_subjects_request::Permission::Operation("Read".into())),
        resource: Some(orders.clone()),
        accounts: true,
        ..Default::default()
    };
    let listed = served.decisions().list_subjects(request).await.unwrap().into_inner();
    let listed = listed.subjects.into_iter().filter_map(|item| item.subject);
    assert_eq!(listed.filter(|subject| *subject == account(id)).count(), usize::from(allowed));

    let scope = v1::scope::Scope::OnResource(orders);
    let delegation = v1::DelegationQuestion {
        delegator: Some(account(id)),
        action: DelegationAction::Grant.into(),
        level: Some(v1::LevelRef { r#type: "Database".into(), name: "Reader".into() }),
        recipient: crate::facts::actor(v1::actor_ref::Actor::Person("eve".into())),
        scope: Some(v1::Scope { scope: Some(scope) }),
        no_routing: true,
    };
    let request = v1::CheckDelegationRequest { question: Some(delegation), ..Default::default() };
    let delegated = served.decisions().check_delegation(request).await.unwrap().into_inner();
    assert_eq!(delegated.decision.unwrap().effect() == Effect::Allow, allowed);
    allowed
}

#[tokio::test]
async fn an_account_is_privileged_from_the_opening_to_the_last_instant() {
    let folder = folder();
    let served = Served::start(&folder).await;
    assert!(!privileged(&served, "own/bo").await);
    let session = opened(&served, "bo", "own", "admin").await;
    assert!(privileged(&served, "own/bo").await);
    assert!(!privileged(&served, "own/bo-2").await, "another account of the same person");
    assert_eq!(reason(&served, reading_orders(person("bo"))).await, Reason::NotGranted, "nor they");
    set_clock(&served, HOUR - 1);
    assert!(privileged(&served, "own/bo").await);
    set_clock(&served, HOUR);
    assert!(!privileged(&served, "own/bo").await, "from `not_after` on, whoever has swept");
    assert!(renew(&served, &session.id).await.unwrap().decision.is_none());
    assert!(!privileged(&served, "own/bo").await);

    let session = opened(&served, "bo", "own", "operator").await;
    assert_eq!(reason(&served, reading_orders(account("own/bo"))).await, Reason::Granted);
    close(&served, &session.id).await.unwrap();
    assert!(!privileged(&served, "own/bo").await, "closed");
    served.stop().await;
}

#[tokio::test]
async fn an_account_made_for_a_session_is_subject_and_resource_until_it_is_deleted() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let id = "web/ana_000000000001";
    let viewed = || {
        let view = Permission::Operation("View".into());
        question(person("eve"), view, object("UserAccount", id))
    };
    assert_eq!(reason(&served, reading_orders(account(id))).await, Reason::UnknownSubject);
    assert_eq!(reason(&served, viewed()).await, Reason::UnknownResource);
    let session = opened(&served, "ana", "web", "admin").await;
    assert_eq!(session.account.as_deref(), Some(id));
    assert!(privileged(&served, id).await);
    assert_eq!(reason(&served, reading_orders(person("ana"))).await, Reason::NotGranted);
    assert_eq!(reason(&served, viewed()).await, Reason::NotGranted);
    // It is as durable as the answer.
    served.stop().await;
    let served = Served::start(&folder).await;
    assert!(privileged(&served, id).await);
    let closed = close(&served, &session.id).await.unwrap();
    assert!(!privileged(&served, id).await);
    assert_eq!(reason(&served, reading_orders(account(id))).await, Reason::NotGranted);
    assert_eq!(reason(&served, viewed()).await, Reason::NotGranted);
    for work in &closed.revocations {
        acknowledge(&served, &work.id, done()).await.unwrap();
    }
    assert_eq!(reason(&served, reading_orders(account(id))).await, Reason::UnknownSubject);
    assert_eq!(reason(&served, viewed()).await, Reason::UnknownResource);
    // One that is kept stays, without any right.
    let kept = opened(&served, "ana", "keep", "admin").await;
    let id = kept.account.clone().unwrap();
    assert!(privileged(&served, &id).await);
    let closed = close(&served, &kept.id).await.unwrap();
    acknowledge(&served, &closed.revocations[0].id, done()).await.unwrap();
    assert_eq!(reason(&served, reading_orders(account(&id))).await, Reason::NotGranted);
    served.stop().await;
}

#[tokio::test]
async fn what_takes_the_right_away_counts_for_the_next_decision() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let session = opened(&served, "bo", "own", "admin").await;
    opened(&served, "ana", "web", "admin").await;
    set_clock(&served, SECOND);
    assert!(privileged(&served, "own/bo").await);
    let revision = exclude(&served, "bo", "own", "admin").await;
    // Whether or not the sweep has been: no decision on this revision honours the session.
    let decision = served.check(reading_orders(account("own/bo"))).await;
    assert_eq!((decision.reason(), decision.revision), (Reason::NotGranted, revision));
    assert!(!privileged(&served, "own/bo").await);
    assert!(privileged(&served, "web/ana_000000000001").await, "nobody else loses anything");
    // Taking the exclusion back gives nothing back that has ended.
    renew(&served, &session.id).await.unwrap();
    let key = v1::fact_key::Key::Eligibility(super::exclusion("bo", "own", "admin"));
    served.apply(vec![crate::served::delete(key, false)]).await.unwrap();
    assert!(!privileged(&served, "own/bo").await);
    served.stop().await;
}
