//! Sessions on several servers: a limit counts those of all, what one opens the other knows and ends, and
//! what is done with the work after a session is known to all.

use pdp_proto::v1::{self, watch_revocations_response::Event};
use pdp_server::clock::Clock;
use pdp_server::config::Settings;
use tokio_stream::StreamExt as _;

use crate::etcd::Etcd;
use crate::served::Served;
use crate::{inner, replica, shared};

const POLICY: &str = r#"
resource_types: {Computer: {}}
people: [{id: ana}, {id: bo}]
groups: [{id: admins}]
resources: [{type: Computer, id: one}]
permission_levels: [{id: admin}]
psm:
  - {computer: one, enabled: true, account_store: local_windows_server, max_concurrent: 1, jit: {enabled: true, delete_on_end: true}, levels: {admin: group:admins}}
eligibilities:
  - {to: person:ana, level: admin, on: "Computer:one", kind: pre_approved}
  - {to: person:bo, level: admin, on: "Computer:one", kind: pre_approved}
"#;

async fn open(served: &Served, person: &str) -> v1::SessionServiceOpenResponse {
    let request = v1::SessionServiceOpenRequest {
        request_key: format!("key-{person}"),
        person: person.to_owned(),
        computer: "one".to_owned(),
        level: Some("admin".to_owned()),
        ..Default::default()
    };
    inner(served.sessions().open(request).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_a_session_of_every_server() {
    let etcd = Etcd::start(1).await;
    let (one_folder, other_folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let policy = one_folder.path().join("policy.yaml");
    std::fs::write(&policy, POLICY).unwrap();
    let loads = Settings { load: Some(policy), ..shared(one_folder.path(), &etcd) };
    let one = Served::with_clock(loads, Clock::system()).await;
    let other = replica(&other_folder, &etcd).await;

    let session = open(&one, "ana").await.session.expect("there is room for one");
    let refused = open(&other, "bo").await;
    assert_eq!(refused.session, None, "the limit counts the sessions of all");
    let again = open(&other, "ana").await;
    assert!(again.replayed, "the same key, whoever is asked");
    assert_eq!(again.session.unwrap().id, session.id);

    let request =
        v1::SessionServiceCloseRequest { session: session.id.clone(), ..Default::default() };
    other.sessions().close(request).await.unwrap();
    let watch = v1::WatchRevocationsRequest { max_outstanding: 10, ..Default::default() };
    let mut work = inner(one.sessions().watch_revocations(watch).await.unwrap());
    let mut due = Vec::new();
    while due.len() < 2 {
        if let Some(Event::Revocation(revocation)) = work.next().await.unwrap().unwrap().event {
            due.push(revocation.id);
        }
    }
    for revocation in due {
        let outcome = v1::acknowledge_revocation_request::Outcome::Done(v1::RevocationDone {});
        let request = v1::AcknowledgeRevocationRequest {
            revocation,
            outcome: Some(outcome),
            ..Default::default()
        };
        let answer = inner(other.sessions().acknowledge_revocation(request).await.unwrap());
        assert!(answer.revocation.is_some());
    }
    assert!(open(&other, "bo").await.session.is_some(), "there is room again");
    drop(work);
    one.stop().await;
    other.stop().await;
}
