//! Streams that outlast the leave of their caller, other than those of checks.

use std::sync::atomic::Ordering;

use pdp_proto::v1::fact::Fact;
use pdp_proto::v1::import_request::Part;
use pdp_proto::v1::watch_revocations_response::Event;
use pdp_proto::v1::{self, ImportRequest};
use pdp_server::config::Settings;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::guarded::{Guarded, caller, key, reason, until};
use crate::served::{Served, put, put_person};
use crate::{served, sessions};

/// The end of a key in these tests, in microseconds: a minute after the clock of a test begins.
const ENDS: i64 = served::NOW + 60_000_000;

/// The same for a file of callers.
const VALID_UNTIL: &str = ", valid_until: 2026-01-01T00:01:00Z}";

fn by<T>(authorization: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", authorization.parse().unwrap());
    request
}

/// Leaves an item of work after a session.
async fn work(served: &Served, broker: &str) {
    let open = v1::SessionServiceOpenRequest {
        request_key: "k".into(),
        person: "bo".into(),
        computer: "own".into(),
        level: Some("admin".into()),
        ..Default::default()
    };
    let opened = served.sessions().open(by(broker, open)).await.unwrap().into_inner();
    let session = opened.session.unwrap().id;
    let close = v1::SessionServiceCloseRequest { session, ..Default::default() };
    served.sessions().close(by(broker, close)).await.unwrap();
}

/// Watches work that comes again every second, as nobody acknowledges it.
async fn watch(served: &Served, broker: &str) -> Streaming<v1::WatchRevocationsResponse> {
    let lease = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    let all = v1::WatchRevocationsRequest { lease, ..Default::default() };
    let watch = served.sessions().watch_revocations(by(broker, all)).await;
    let mut watch = watch.unwrap().into_inner();
    loop {
        match watch.next().await.unwrap().unwrap().event.unwrap() {
            Event::Revocation(_) => return watch,
            Event::Heartbeat(_) => {}
        }
    }
}

/// How a watch ends.
async fn end(mut watch: Streaming<v1::WatchRevocationsResponse>) -> (Code, String) {
    loop {
        match watch.next().await.expect("a watch does not end well") {
            Ok(_) => {}
            Err(status) => return (status.code(), reason(&status)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_when_its_key_is_taken_back_or_its_role() {
    let [(lost, one), (moved, two)] = [key(), key()];
    let (lost_one, role) = (caller("lost", &one, "{default: [session]}"), "{default: [session]}");
    let callers = format!("callers:\n{lost_one}{}", caller("moved", &two, role));
    let guarded = Guarded::with(sessions::folder(), &callers, Settings::default()).await;
    work(&guarded.served, &lost).await;
    let watched = watch(&guarded.served, &lost).await;
    guarded.replace(&format!("callers:\n{}", caller("moved", &two, role)));
    assert_eq!(end(watched).await, (Code::Unauthenticated, "CREDENTIALS_INVALID".to_owned()));
    let watched = watch(&guarded.served, &moved).await;
    guarded.replace(&format!("callers:\n{}", caller("moved", &two, "{other: [session]}")));
    assert_eq!(end(watched).await, (Code::PermissionDenied, "ROLE_MISSING".to_owned()));
    guarded.served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_with_its_key() {
    let (broker, entry) = key();
    let entry = entry.replace('}', VALID_UNTIL);
    let callers = format!("callers:\n{}", caller("broker", &entry, "{default: [session]}"));
    let guarded = Guarded::with(sessions::folder(), &callers, Settings::default()).await;
    work(&guarded.served, &broker).await;
    let watched = watch(&guarded.served, &broker).await;
    guarded.served.now.store(ENDS, Ordering::SeqCst);
    assert_eq!(end(watched).await, (Code::Unauthenticated, "CREDENTIALS_EXPIRED".to_owned()));
    guarded.served.stop().await;
}

async fn import(
    served: &Served,
    writer: &str,
    parts: mpsc::Receiver<ImportRequest>,
) -> Result<v1::ImportResponse, Status> {
    let parts = by(writer, ReceiverStream::new(parts));
    served.policy().import(parts).await.map(Response::into_inner)
}

/// Sends the whole of an import, with the end of its key before its last part, once it has the
/// one place; stops where it was refused that place.
async fn outlive(served: &Served, other: &str, parts: &mpsc::Sender<ImportRequest>) {
    let send = async |part| {
        // The answer says why where the import is over.
        let _ = parts.send(ImportRequest { part: Some(part) }).await;
    };
    send(Part::Header(v1::ImportHeader::default())).await;
    send(Part::Changes(v1::ImportChanges { changes: vec![put_person("dee")] })).await;
    until("the import has begun", async || {
        let (none, nothing) = mpsc::channel(1);
        drop(none);
        let refused = import(served, other, nothing).await;
        parts.is_closed() || refused.is_err_and(|it| reason(&it) == "TOO_MANY_IMPORTS")
    })
    .await;
    if !parts.is_closed() {
        served.now.store(ENDS, Ordering::SeqCst);
        send(Part::Commit(v1::ImportCommit { changes: 1 })).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_whose_key_has_ended_on_the_way_is_not_applied() {
    let [(writer, one), (other, two)] = [key(), key()];
    let one = one.replace('}', VALID_UNTIL);
    let role = "{default: [write, check]}";
    let callers =
        format!("callers:\n{}{}", caller("writer", &one, role), caller("other", &two, role));
    let one_at_once = Settings { max_imports: Some(1), ..Settings::default() };
    let guarded = Guarded::with(served::folder(), &callers, one_at_once).await;
    let served = &guarded.served;
    // The look takes the one place as well, and may come first.
    let refused = loop {
        let (parts, arriving) = mpsc::channel(8);
        let (answer, ()) =
            tokio::join!(import(served, &writer, arriving), outlive(served, &other, &parts));
        let refused = answer.unwrap_err();
        if reason(&refused) != "TOO_MANY_IMPORTS" {
            break refused;
        }
    };
    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::Unauthenticated, "CREDENTIALS_EXPIRED".into())
    );
    let asked = crate::guarded::ask(&served.channel, Some(&other), "").await.unwrap();
    assert_eq!(asked.decision.unwrap().revision, 1, "nothing was applied");
    guarded.served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_cut_where_its_key_ends() {
    let [(reader, one), (writer, two)] = [key(), key()];
    let one = one.replace('}', VALID_UNTIL);
    let callers = format!(
        "callers:\n{}{}",
        caller("reader", &one, "{default: [explain]}"),
        caller("writer", &two, "{default: [write]}")
    );
    let guarded = Guarded::with(served::folder(), &callers, Settings::default()).await;
    let served = &guarded.served;
    // More than is under way between a server and a client that does not read.
    for part in 0..2 {
        let named = |n| v1::Person {
            id: format!("p-{part}-{n}"),
            name: Some("n".repeat(1_024)),
            login: Some("l".repeat(1_024)),
            ..Default::default()
        };
        let changes = (0..6_000).map(|n| put(Fact::Person(named(n)))).collect();
        let apply = v1::ApplyRequest { changes, ..Default::default() };
        served.policy().apply(by(&writer, apply)).await.unwrap();
    }
    let export = served.policy().export(by(&reader, v1::ExportRequest::default())).await;
    let mut export = export.unwrap().into_inner();
    export.next().await.unwrap().unwrap();
    served.now.store(ENDS, Ordering::SeqCst);
    let end = loop {
        match export.next().await.expect("a cut export does not end well") {
            Ok(_) => {}
            Err(status) => break (status.code(), reason(&status)),
        }
    };
    assert_eq!(end, (Code::Unauthenticated, "CREDENTIALS_EXPIRED".to_owned()));
    guarded.served.stop().await;
}
