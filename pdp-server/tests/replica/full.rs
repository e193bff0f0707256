//! An etcd that has no room left: writes are refused and say so, decisions go on, and once there is room again
//! and the alarm is off, writes go on as well.

use std::sync::Arc;
use std::time::Instant;

use pdp_proto::etcd::etcdserverpb as wire;
use pdp_proto::v1;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;

use crate::etcd::Etcd;
use crate::load::{Load, change};
use crate::process::Process;
use crate::reason;

/// The room that etcd has, in bytes, and how much is put there at once.
const ROOM: &str = "16777216";
const PIECE: usize = 1 << 20;

/// Asks a member what it does not take by the messages that servers have.
async fn post(etcd: &Etcd, path: &str, body: &str) -> String {
    let port = etcd.ports()[0];
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: etcd\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}

/// Puts what is no server's there until nothing more is taken.
async fn fill(etcd: &Etcd) {
    for n in 0.. {
        let (key, value) = (format!("other/{n}").into(), vec![0; PIECE].into());
        let put = wire::PutRequest { key, value, ..Default::default() };
        if let Err(status) = etcd.kv(0).put(put).await {
            assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
            return;
        }
    }
}

/// Takes it away, and has etcd give the room back and forget that there was none.
async fn empty(etcd: &Etcd) {
    let (key, range_end) = ("other/".into(), "other0".into());
    let delete = wire::DeleteRangeRequest { key, range_end };
    let deleted = etcd.kv(0).delete_range(delete).await.unwrap().into_inner();
    let revision = deleted.header.unwrap().revision;
    let compact = wire::CompactionRequest { revision, physical: true };
    etcd.kv(0).compact(compact).await.unwrap();
    post(etcd, "/v3/maintenance/defragment", "{}").await;
    let member = etcd.member_id(0).await;
    let disarm =
        format!(r#"{{"action": "DEACTIVATE", "alarm": "NOSPACE", "memberID": "{member}"}}"#);
    post(etcd, "/v3/maintenance/alarm", &disarm).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_writes_are_refused_and_go_on_once_there_is_some() {
    let etcd = Etcd::with(1, &["--quota-backend-bytes", ROOM]).await;
    let one = Process::start(&etcd.endpoints(), &["--load", "policy.yaml"]).await;
    let other = Process::start(&etcd.endpoints(), &[]).await;
    let (one, other) = (Arc::new(one), Arc::new(other));
    let load = Load::begin(&[&one, &other]);
    tokio::join!(load.writes(0, 20), load.writes(1, 20));
    fill(&etcd).await;
    tokio::join!(load.refusal(0), load.refusal(1));
    // A dry run is decided and asks for no room; what would be written is refused at once.
    let request = |dry_run| v1::ApplyRequest {
        changes: vec![crate::served::put_person("dee")],
        dry_run,
        ..Default::default()
    };
    one.policy().unwrap().apply(request(true)).await.unwrap();
    let began = Instant::now();
    let refused = one.policy().unwrap().apply(request(false)).await.unwrap_err();
    println!("without room: refused after {} ms", began.elapsed().as_millis());
    assert_eq!(reason(&refused), (Code::Unavailable, "LOG_FULL".to_owned(), true), "{refused}");
    tokio::join!(load.answers(0, 20), load.answers(1, 20));
    empty(&etcd).await;
    let began = Instant::now();
    tokio::join!(load.writes(0, 1), load.writes(1, 1));
    println!("room again: both write after {} ms", began.elapsed().as_millis());
    tokio::join!(load.writes(0, 20), load.writes(1, 20));
    load.end().await;
}

/// What is changed before the load begins would be no part of its history.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_refused_for_room_is_applied_once_when_it_is_sent_again() {
    let etcd = Etcd::with(1, &["--quota-backend-bytes", ROOM]).await;
    let one = Process::start(&etcd.endpoints(), &["--load", "policy.yaml"]).await;
    fill(&etcd).await;
    let request = v1::ApplyRequest {
        changes: vec![change(0, true)],
        request_id: "again".to_owned(),
        ..Default::default()
    };
    let refused = one.policy().unwrap().apply(request.clone()).await.unwrap_err();
    assert_eq!(reason(&refused).1, "LOG_FULL");
    empty(&etcd).await;
    for replayed in [false, true] {
        let answer = one.policy().unwrap().apply(request.clone()).await.unwrap().into_inner();
        assert_eq!((answer.revision, answer.replayed), (2, replayed));
    }
    assert_eq!(one.answer(2).await, Some((2, 1)));
}
