//! WatchRevocations: who gets which work, and when it comes again.

use pdp_proto::v1::watch_revocations_response::Event;
use pdp_proto::v1::{self, RevocationState};
use prost_types::Duration;
use tokio_stream::StreamExt as _;
use tonic::{Code, Response, Status, Streaming};

use super::{
    HOUR, SECOND, acknowledge, after, ask, close, done, failed, folder, get, opened, request,
    set_clock,
};
use crate::errors::told;
use crate::served::Served;

type Watch = Streaming<v1::WatchRevocationsResponse>;

/// Begins to watch; the heartbeat that every watch begins with has come.
async fn watch(served: &Served, request: v1::WatchRevocationsRequest) -> Watch {
    let watch = served.sessions().watch_revocations(request).await.map(Response::into_inner);
    let mut watch = watch.unwrap();
    let first = watch.next().await.unwrap().unwrap().event.unwrap();
    assert_eq!(first, Event::Heartbeat(v1::WatchHeartbeat {}));
    watch
}

/// The next item of work.
async fn next(watch: &mut Watch) -> v1::Revocation {
    loop {
        match watch.next().await.expect("the watch has ended").unwrap().event.unwrap() {
            Event::Revocation(work) => return work,
            Event::Heartbeat(_) => {}
        }
    }
}

/// How the watch ends.
async fn end(mut watch: Watch) -> Status {
    loop {
        match watch.next().await.expect("a watch does not end well") {
            Ok(_) => {}
            Err(status) => return status,
        }
    }
}

/// A session on a computer that has been closed with one item of work; its id.
async fn work(served: &Served, key: &str, person: &str, computer: &str, level: &str) -> String {
    let answer = ask(served, request(key, person, computer, Some(level))).await.unwrap();
    let closed = close(served, &answer.session.unwrap().id).await.unwrap();
    closed.revocations.first().unwrap().id.clone()
}

fn all() -> v1::WatchRevocationsRequest {
    v1::WatchRevocationsRequest::default()
}

#[tokio::test]
async fn watchers_share_the_work_and_the_dead_leave_theirs_to_others() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let one = v1::WatchRevocationsRequest { max_outstanding: 1, ..all() };
    let (mut first, mut second) =
        (watch(&served, one.clone()).await, watch(&served, one.clone()).await);
    let due = [
        work(&served, "k-1", "bo", "own", "admin").await,
        work(&served, "k-2", "bo", "own", "operator").await,
    ];
    let (mine, theirs) = (next(&mut first).await, next(&mut second).await);
    let mut got = [mine.id.clone(), theirs.id.clone()];
    got.sort();
    let mut expected = due.clone();
    expected.sort();
    assert_eq!(got, expected, "each one of them");
    assert_eq!((mine.state(), mine.due), (RevocationState::Outstanding, Some(after(0))));
    // The first one goes without an answer: the second gets it once it has room.
    drop(first);
    acknowledge(&served, &theirs.id, done()).await.unwrap();
    assert_eq!(next(&mut second).await.id, mine.id);
    // Nothing comes twice while it is being done: the next item is another one.
    acknowledge(&served, &mine.id, done()).await.unwrap();
    let third = work(&served, "k-3", "ana", "keep", "admin").await;
    assert_eq!(next(&mut second).await.id, third);
    served.stop().await;
}

#[tokio::test]
async fn what_is_not_answered_within_the_lease_is_handed_out_again() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let due = work(&served, "k", "bo", "own", "admin").await;
    let lease = Some(Duration { seconds: 1, nanos: 0 });
    let mut first = watch(&served, v1::WatchRevocationsRequest { lease, ..all() }).await;
    assert_eq!(next(&mut first).await.id, due);
    // To whoever asks first, be it the same one.
    let mut second = watch(&served, all()).await;
    tokio::select! {
        again = next(&mut first) => assert_eq!(again.id, due),
        again = next(&mut second) => assert_eq!(again.id, due),
    }
    served.stop().await;
}

#[tokio::test]
async fn a_watch_is_narrowed_to_computers_and_takes_only_so_much_at_once() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let kept = work(&served, "k-1", "ana", "keep", "admin").await;
    let own = work(&served, "k-2", "bo", "own", "admin").await;
    let more = work(&served, "k-3", "bo", "own", "operator").await;
    let of_own = v1::WatchRevocationsRequest {
        computers: vec!["own".into(), "nowhere".into()],
        max_outstanding: 1,
        ..all()
    };
    let mut narrow = watch(&served, of_own).await;
    assert_eq!(next(&mut narrow).await.id, own);
    let mut rest = watch(&served, all()).await;
    let mut got = [next(&mut rest).await.id, next(&mut rest).await.id];
    got.sort();
    let mut expected = [kept.clone(), more.clone()];
    expected.sort();
    assert_eq!(got, expected, "the narrow one had no room, and one computer only");
    acknowledge(&served, &own, done()).await.unwrap();
    let next_own = work(&served, "k-4", "bo", "own", "admin").await;
    tokio::select! {
        work = next(&mut narrow) => assert_eq!(work.id, next_own),
        work = next(&mut rest) => assert_eq!(work.id, next_own),
    }
    served.stop().await;
}

#[tokio::test]
async fn a_failure_stays_visible_and_comes_again_by_the_servers_clock() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let due = work(&served, "k", "bo", "own", "admin").await;
    let mut watch = watch(&served, all()).await;
    let mut now = 0;
    for (failures, wait) in [(1, 1), (2, 2), (3, 4)] {
        let handed = next(&mut watch).await;
        assert_eq!((handed.id.as_str(), handed.failures), (due.as_str(), failures - 1));
        let told = acknowledge(&served, &due, failed("no answer")).await.unwrap();
        assert_eq!((told.failures, told.last_failure.as_str()), (failures, "no answer"));
        assert_eq!(told.state(), RevocationState::Outstanding);
        assert_eq!(told.not_before, Some(after(now + wait * SECOND)));
        // Sent again, as the answer was lost: it failed once.
        assert_eq!(acknowledge(&served, &due, failed("no answer")).await.unwrap(), told);
        let shown = get(&served, due.split(':').next().unwrap()).await.unwrap();
        assert_eq!(shown.revocations, [told]);
        // A microsecond before, it is not handed out: what comes first is another item.
        set_clock(&served, now + wait * SECOND - 1);
        let key = format!("k-{failures}");
        let other = work(&served, &key, "bo", "own", "operator").await;
        assert_eq!(next(&mut watch).await.id, other);
        acknowledge(&served, &other, done()).await.unwrap();
        now += wait * SECOND;
        set_clock(&served, now);
    }
    let handed = next(&mut watch).await;
    assert_eq!((handed.id.as_str(), handed.last_failure.as_str()), (due.as_str(), "no answer"));
    let told = acknowledge(&served, &due, done()).await.unwrap();
    assert_eq!((told.state(), told.settled), (RevocationState::Done, Some(after(now))));
    set_clock(&served, now + SECOND);
    assert_eq!(acknowledge(&served, &due, done()).await.unwrap(), told, "it was done then");
    assert_eq!(acknowledge(&served, &due, failed("late")).await.unwrap(), told);
    served.stop().await;
}

#[tokio::test]
async fn superseded_work_is_not_handed_out() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let first = work(&served, "k-1", "bo", "own", "admin").await;
    let second = opened(&served, "bo", "own", "admin").await;
    let other = work(&served, "k-2", "bo", "own", "operator").await;
    let mut watch = watch(&served, all()).await;
    assert_eq!(next(&mut watch).await.id, other);
    let told = acknowledge(&served, &first, done()).await.unwrap();
    assert_eq!(told.state(), RevocationState::Superseded);
    let due = close(&served, &second.id).await.unwrap().revocations[0].id.clone();
    assert_eq!(next(&mut watch).await.id, due);
    served.stop().await;
}

#[tokio::test]
async fn work_outlives_watches_and_servers_until_it_is_done() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let ana = opened(&served, "ana", "web", "admin").await;
    let bo = opened(&served, "bo", "own", "admin").await;
    let due = close(&served, &ana.id).await.unwrap().revocations;
    for _ in 0..2 {
        let mut watch = watch(&served, all()).await;
        assert_eq!([next(&mut watch).await, next(&mut watch).await], due[..]);
    }
    served.stop().await;
    let served = Served::start(&folder).await;
    let mut after_restart = watch(&served, all()).await;
    assert_eq!([next(&mut after_restart).await, next(&mut after_restart).await], due[..]);
    for work in &due {
        acknowledge(&served, &work.id, done()).await.unwrap();
    }
    // What runs out is handed out without anybody asking, also where the server was down then.
    served.stop().await;
    let served = Served::start(&folder).await;
    let mut watch = watch(&served, all()).await;
    set_clock(&served, HOUR);
    let expired = next(&mut watch).await;
    assert_eq!((expired.session, expired.due), (bo.id, Some(after(HOUR))));
    served.stop().await;
}

#[tokio::test]
async fn a_watch_ends_with_the_server() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let (waiting, mut busy) = (watch(&served, all()).await, watch(&served, all()).await);
    let due = work(&served, "k", "bo", "own", "admin").await;
    tokio::select! {
        biased;
        work = next(&mut busy) => assert_eq!(work.id, due),
        // Whoever has it: both are told that the server goes.
        () = std::future::ready(()) => {}
    }
    let ended = served.shut_down();
    for watch in [waiting, busy] {
        let status = end(watch).await;
        assert_eq!(told(&status), (Code::Unavailable, "SHUTTING_DOWN".to_owned(), Vec::new()));
    }
    ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_tenant_stays_while_it_has_sessions_or_work_and_its_watches_end_with_it() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let create = v1::TenantServiceCreateRequest { tenant: "acme".into() };
    served.tenants().create(create).await.unwrap();
    let export = v1::ExportRequest::default();
    let exported = served.policy().export(export).await.unwrap().into_inner();
    let facts: Vec<_> = exported.map(|part| part.unwrap().facts).collect().await;
    let changes = facts
        .into_iter()
        .flatten()
        .map(|fact| v1::Change { change: Some(v1::change::Change::Put(fact)) });
    let changes = changes.collect();
    let apply = v1::ApplyRequest { tenant: "acme".into(), changes, ..Default::default() };
    served.policy().apply(apply).await.unwrap();

    let acme = || "acme".to_owned();
    let watch = watch(&served, v1::WatchRevocationsRequest { tenant: acme(), ..all() }).await;
    let asked = v1::SessionServiceOpenRequest {
        tenant: acme(),
        ..request("k", "bo", "own", Some("admin"))
    };
    let session = ask(&served, asked).await.unwrap().session.unwrap();
    let delete =
        async || served.tenants().delete(v1::TenantServiceDeleteRequest { tenant: acme() }).await;
    let kept = (Code::FailedPrecondition, "TENANT_HAS_SESSIONS".to_owned(), Vec::new());
    assert_eq!(told(&delete().await.unwrap_err()), kept);
    let refused = get(&served, &session.id).await.unwrap_err();
    assert_eq!(told(&refused).1, "UNKNOWN_SESSION", "tenants share nothing");
    let request = v1::SessionServiceCloseRequest { tenant: acme(), session: session.id };
    let closed = served.sessions().close(request).await.unwrap().into_inner().session.unwrap();
    assert_eq!(told(&delete().await.unwrap_err()), kept, "its work is outstanding");
    let request = v1::AcknowledgeRevocationRequest {
        tenant: acme(),
        revocation: closed.revocations[0].id.clone(),
        outcome: Some(done()),
    };
    served.sessions().acknowledge_revocation(request).await.unwrap();
    delete().await.unwrap();
    let status = end(watch).await;
    assert_eq!(told(&status), (Code::NotFound, "UNKNOWN_TENANT".to_owned(), Vec::new()));
    served.stop().await;
}
