//! Watching for work: through heartbeats, broken streams and silence.

use std::time::Duration;

use pdp_client::{Client, Code, Error, Watch, WatchEvent, Watched, v1};
use tokio::sync::mpsc;
use tonic::Status;

use crate::scripted::{Answer, Message, Scripted, Seen, at, deletion, removal, serve};

fn work(revocation: v1::Revocation) -> Message {
    let event = v1::watch_revocations_response::Event::Revocation(revocation);
    Ok(v1::WatchRevocationsResponse { event: Some(event) })
}

fn heartbeat() -> Message {
    let event = v1::watch_revocations_response::Event::Heartbeat(v1::WatchHeartbeat {});
    Ok(v1::WatchRevocationsResponse { event: Some(event) })
}

fn promptly(client: &Client) -> Watched {
    let pause = Duration::from_millis(1);
    client.sessions().watch_revocations(Watch::everything().backoff(pause, pause))
}

/// A stream that sends this and ends.
fn ending(messages: impl IntoIterator<Item = Message>) -> Answer {
    let (sender, receiver) = mpsc::channel(16);
    for message in messages {
        sender.try_send(message).unwrap();
    }
    Answer::Watch(receiver)
}

/// A stream that goes on as the test does.
async fn watching() -> (Scripted, Client, mpsc::Sender<Message>) {
    let (sender, receiver) = mpsc::channel(16);
    let (server, client) = serve([Answer::Watch(receiver)]).await;
    (server, client, sender)
}

#[tokio::test]
async fn work_is_told_as_it_becomes_due() {
    let (server, client, sender) = watching().await;
    let watch = Watch::of_computers(["web-07"]).unwrap();
    let watch = watch.lease(Duration::from_secs(90)).max_outstanding(7);
    let mut watched = client.sessions().watch_revocations(watch);
    sender.send(heartbeat()).await.unwrap();
    assert!(matches!(watched.event().await.unwrap(), WatchEvent::Idle));
    sender.send(work(removal("r-1"))).await.unwrap();
    sender.send(heartbeat()).await.unwrap();
    sender.send(work(deletion("r-2"))).await.unwrap();
    assert_eq!(watched.next().await.unwrap().id, "r-1");
    let item = watched.next().await.unwrap();
    assert_eq!((item.id.as_str(), item.task.kind().as_str()), ("r-2", "DELETE_ACCOUNT"));
    let sent = v1::WatchRevocationsRequest {
        tenant: "acme".into(),
        computers: vec!["web-07".into()],
        lease: Some(prost_types::Duration { seconds: 90, nanos: 0 }),
        max_outstanding: 7,
    };
    assert_eq!(server.seen(), [Seen::Watch(sent, false)], "and the stream has no deadline");
}

#[tokio::test]
async fn a_broken_stream_is_made_again() {
    let script = [
        ending([heartbeat(), work(removal("r-1"))]),
        Answer::Fail(Code::Unavailable),
        Answer::Fail(Code::ResourceExhausted),
        ending([work(removal("r-1")), Err(Status::unavailable("going away"))]),
        ending([work(deletion("r-2"))]),
    ];
    let (server, client) = serve(script).await;
    let mut watched = promptly(&client);
    let mut told = Vec::new();
    while told.last().is_none_or(|last| last != "r-2") {
        told.push(match watched.event().await.unwrap() {
            WatchEvent::Work(item) => item.id,
            WatchEvent::Idle => "idle".to_owned(),
            WatchEvent::Lost { error, .. } => error.to_string(),
        });
    }
    let ended = format!("cannot reach {}: the server ended the watch", client.endpoint());
    let expected = ["idle", "r-1", &ended, "as told", "as told", "r-1", "going away", "r-2"];
    assert_eq!(told, expected);
    assert_eq!(server.seen().len(), 5);
}

#[tokio::test]
async fn a_stream_that_falls_silent_counts_as_broken() {
    let (silent, receiver) = mpsc::channel(1);
    // However slow the machine is, one of the many later streams is in time.
    let later = (0..500).map(|_| ending([work(removal("r-1"))]));
    let (server, client) = serve(std::iter::once(Answer::Watch(receiver)).chain(later)).await;
    let pause = Duration::from_millis(1);
    let watch = Watch::everything().silence(Duration::from_millis(50)).backoff(pause, pause);
    let mut watched = client.sessions().watch_revocations(watch);
    let WatchEvent::Lost { error, .. } = watched.event().await.unwrap() else { panic!("work") };
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.to_string().ends_with("it has fallen silent"), "{error}");
    assert_eq!(watched.next().await.unwrap().id, "r-1");
    assert!(server.seen().len() >= 2);
    silent.closed().await;
}

#[tokio::test]
async fn an_item_that_is_not_understood_is_told_and_the_watch_goes_on() {
    let (server, client, sender) = watching().await;
    let mut watched = promptly(&client);
    let unknown = v1::Revocation { kind: 9, ..removal("r-1") };
    let done = v1::Revocation { state: 2, settled: at(16), ..removal("r-2") };
    let over = v1::Revocation { state: 3, settled: at(16), ..removal("r-3") };
    for revocation in [unknown, done, over] {
        sender.send(work(revocation)).await.unwrap();
    }
    sender.send(Ok(v1::WatchRevocationsResponse { event: None })).await.unwrap();
    sender.send(work(removal("r-4"))).await.unwrap();
    for why in [
        "revocation `r-1`: what is due at the end of the session, 9, is not known",
        "revocation `r-2` is handed out and DONE",
        "revocation `r-3` is handed out and SUPERSEDED",
        "a message of the watch is empty",
    ] {
        match watched.next().await {
            Err(Error::Protocol { message }) => assert_eq!(message, why),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(watched.next().await.unwrap().id, "r-4");
    assert_eq!(server.seen().len(), 1, "it is the same stream");
}

#[tokio::test]
async fn a_watch_that_the_server_refuses_is_an_error_each_time() {
    let script = [
        Answer::Fail(Code::NotFound),
        Answer::Fail(Code::PermissionDenied),
        ending([work(removal("r-1"))]),
    ];
    let (_server, client) = serve(script).await;
    let mut watched = promptly(&client);
    assert_eq!(watched.next().await.unwrap_err().code(), Code::NotFound);
    assert_eq!(watched.next().await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(watched.next().await.unwrap().id, "r-1");
    let long = Watch::everything().lease(Duration::MAX);
    let error = client.sessions().watch_revocations(long).next().await.unwrap_err();
    assert!(matches!(error, Error::Setting { .. }), "{error:?}");
}

#[tokio::test]
async fn waiting_may_be_given_up_and_taken_up_again() {
    let (server, client, sender) = watching().await;
    let mut watched = promptly(&client);
    for _ in 0..20 {
        tokio::select! {
            biased;
            item = watched.next() => panic!("{item:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
    sender.send(work(removal("r-1"))).await.unwrap();
    assert_eq!(watched.next().await.unwrap().id, "r-1");
    assert_eq!(server.seen().len(), 1, "and there was one stream only");
    drop(watched);
    sender.closed().await;
}

#[tokio::test]
async fn a_watch_may_move_to_another_thread() {
    let (_server, client, sender) = watching().await;
    sender.send(work(removal("r-1"))).await.unwrap();
    let mut watched = promptly(&client);
    let item = tokio::spawn(async move { watched.next().await }).await.unwrap();
    assert_eq!(item.unwrap().id, "r-1");
}
