//! PolicyService.Import: one change set in parts, whole or not at all, and what it may take.

use pdp_proto::v1::import_request::Part;
use pdp_proto::v1::{self, Reason, fact::Fact, fact_key::Key};
use pdp_server::config::Settings;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use crate::errors::{metadata, told};
use crate::served::{Served, delete, folder, put, put_person, question, settings};

type Answer = Result<v1::ImportResponse, Status>;

/// An import that is being sent.
struct Sending {
    parts: mpsc::Sender<v1::ImportRequest>,
    answer: JoinHandle<Answer>,
}

impl Sending {
    fn begin(served: &Served) -> Self {
        let (parts, arriving) = mpsc::channel(1);
        let mut policy = served.policy();
        let call = async move {
            policy.import(ReceiverStream::new(arriving)).await.map(tonic::Response::into_inner)
        };
        Self { parts, answer: tokio::spawn(call) }
    }

    /// Sends a part; one that the server does not wait for any more is lost.
    async fn send(&self, part: Part) {
        self.parts.send(v1::ImportRequest { part: Some(part) }).await.ok();
    }

    async fn ended(self) -> Answer {
        drop(self.parts);
        self.answer.await.unwrap()
    }
}

fn header(request_id: &str) -> Part {
    Part::Header(v1::ImportHeader { request_id: request_id.to_owned(), ..Default::default() })
}

fn part(changes: Vec<v1::Change>) -> Part {
    Part::Changes(v1::ImportChanges { changes })
}

fn commit(changes: u64) -> Part {
    Part::Commit(v1::ImportCommit { changes })
}

async fn import(served: &Served, parts: Vec<Part>) -> Answer {
    let sending = Sending::begin(served);
    for part in parts {
        sending.send(part).await;
    }
    sending.ended().await
}

fn crowd(prefix: &str, count: usize) -> Vec<v1::Change> {
    (0..count).map(|n| put_person(&format!("{prefix}{n}"))).collect()
}

async fn knows(served: &Served, person: &str) -> bool {
    let decision = served.check(question(person, "View", "absence")).await;
    decision.reason() != Reason::UnknownSubject
}

async fn revision(served: &Served) -> u64 {
    served.check(question("ana", "View", "absence")).await.revision
}

#[tokio::test]
async fn an_import_of_many_parts_is_one_change_set() {
    const COUNT: usize = 25_000;
    let folder = folder();
    let served = Served::start(&folder).await;
    let people = crowd("p", COUNT);
    let mut parts = vec![header("r-1")];
    parts.extend(people.chunks(1_000).map(|some| part(some.to_vec())));
    let named = v1::Person { id: "bo".into(), name: Some("Bo".into()), ..Default::default() };
    parts.push(part(vec![put(Fact::Person(named)), delete(Key::Assignment("a-2".into()), false)]));
    parts.push(commit(COUNT as u64 + 2));
    let answer = import(&served, parts.clone()).await.unwrap();
    let expected = v1::ImportResponse {
        revision: 2,
        created: COUNT as u64,
        changed: 1,
        removed: 1,
        replayed: false,
    };
    assert_eq!(answer, expected);
    assert!(knows(&served, "p24999").await);
    // One record of the audit says all of it.
    let listed = served.audit().list(v1::AuditServiceListRequest::default()).await.unwrap();
    let records = listed.into_inner().records;
    let of_import: Vec<_> = records.iter().filter(|record| record.revision == 2).collect();
    assert_eq!(of_import.len(), 1);
    let verified =
        served.audit().verify(v1::AuditServiceVerifyRequest::default()).await.unwrap().into_inner();
    assert_eq!(verified.broken, None);
    served.stop().await;

    // What was answered is remembered, in other parts and after a restart too.
    let served = Served::start(&folder).await;
    let merged = vec![
        header("r-1"),
        part(parts.iter().filter_map(changes_of).flatten().collect()),
        commit(COUNT as u64 + 2),
    ];
    let again = import(&served, merged).await.unwrap();
    assert_eq!(again, v1::ImportResponse { replayed: true, ..expected });
    let other = import(&served, vec![header("r-1"), part(crowd("q", 1)), commit(1)]).await;
    assert_eq!(told(&other.unwrap_err()).1, "REQUEST_ID_REUSED");
    assert_eq!(revision(&served).await, 2);
    served.stop().await;
}

fn changes_of(part: &Part) -> Option<Vec<v1::Change>> {
    match part {
        Part::Changes(part) => Some(part.changes.clone()),
        Part::Header(_) | Part::Commit(_) => None,
    }
}

#[tokio::test]
async fn a_bad_last_part_leaves_nothing_and_is_named_by_its_position() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let with = |last: v1::Change| {
        vec![header(""), part(crowd("p", 3)), part(crowd("q", 2)), part(vec![last]), commit(6)]
    };
    let malformed = import(&served, with(put_person("a\nb"))).await.unwrap_err();
    let (code, reason, fields) = told(&malformed);
    assert_eq!((code, reason.as_str()), (Code::InvalidArgument, "MALFORMED"));
    assert!(fields.iter().any(|field| field.starts_with("changes[5].put.person")), "{fields:?}");
    let orphan =
        v1::Person { id: "o".into(), manager: Some("nobody".into()), ..Default::default() };
    let dangling = import(&served, with(put(Fact::Person(orphan)))).await.unwrap_err();
    let (code, reason, fields) = told(&dangling);
    assert_eq!((code, reason.as_str()), (Code::FailedPrecondition, "CHANGE_SET_REJECTED"));
    assert!(fields.iter().any(|field| field == "changes[5]"), "{fields:?}");
    assert!(!knows(&served, "p0").await);
    assert_eq!(revision(&served).await, 1);
    served.stop().await;
}

#[tokio::test]
async fn parts_out_of_their_order_are_refused() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let people = || part(crowd("p", 2));
    for (parts, said) in [
        (vec![], "`commit`: ended without"),
        (vec![header(""), people()], "`commit`: ended without"),
        (vec![people(), commit(2)], "`header`: is missing"),
        (vec![header(""), people(), header("")], "`header`: was sent already"),
        (vec![header(""), people(), commit(3)], "says 3 changes, and 2 arrived"),
    ] {
        let refused = import(&served, parts).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(said), "{}", refused.message());
    }
    let tenant = "nowhere".to_owned();
    let nowhere = Part::Header(v1::ImportHeader { tenant, ..Default::default() });
    let refused = import(&served, vec![nowhere]).await.unwrap_err();
    assert_eq!(told(&refused).1, "UNKNOWN_TENANT");
    assert!(!knows(&served, "p0").await);
    served.stop().await;
}

#[tokio::test]
async fn a_dry_run_counts_and_changes_nothing() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let dry = Part::Header(v1::ImportHeader { dry_run: true, ..Default::default() });
    let answer = import(&served, vec![dry, part(crowd("p", 3)), commit(3)]).await.unwrap();
    assert_eq!((answer.revision, answer.created), (1, 3));
    assert!(!knows(&served, "p0").await);
    served.stop().await;
}

#[tokio::test]
async fn others_write_while_an_import_arrives() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let expecting = |expected| {
        let expected_revision = Some(expected);
        Part::Header(v1::ImportHeader { expected_revision, ..Default::default() })
    };
    let (one, other) = (Sending::begin(&served), Sending::begin(&served));
    one.send(expecting(1)).await;
    other.send(header("")).await;
    for sending in [&one, &other] {
        sending.send(part(crowd("p", 1_000))).await;
    }
    let applied = served.apply(vec![put_person("dee")]).await.unwrap();
    assert_eq!(applied.revision, 2, "nobody waits for what is only arriving");
    one.send(commit(1_000)).await;
    let refused = one.ended().await.unwrap_err();
    assert_eq!(told(&refused).1, "REVISION_CONFLICT");
    other.send(commit(1_000)).await;
    assert_eq!(other.ended().await.unwrap().revision, 3);
    // It is looked at before anything is sent, too.
    let refused = import(&served, vec![expecting(1)]).await.unwrap_err();
    assert_eq!(told(&refused).1, "REVISION_CONFLICT");
    served.stop().await;
}

#[tokio::test]
async fn an_import_that_is_broken_off_gives_its_place_back_and_leaves_nothing() {
    let folder = folder();
    let settings = Settings { max_imports: Some(1), ..settings(folder.path()) };
    let served = Served::with(settings).await;
    let dry = || Part::Header(v1::ImportHeader { dry_run: true, ..Default::default() });
    // Whether it has its place yet shows where another one is refused.
    let (first, refused) = loop {
        let first = Sending::begin(&served);
        first.send(header("")).await;
        first.send(part(crowd("p", 10))).await;
        match import(&served, vec![dry(), part(crowd("s", 1)), commit(1)]).await {
            Err(refused) => break (first, refused),
            Ok(_) => first.answer.abort(),
        }
    };
    assert_eq!(told(&refused).0, Code::ResourceExhausted);
    assert_eq!(told(&refused).1, "TOO_MANY_IMPORTS");
    assert_eq!(metadata(&refused, "maximum"), "1");
    first.answer.abort();
    loop {
        match import(&served, vec![header(""), part(crowd("s", 1)), commit(1)]).await {
            Ok(answer) => break assert_eq!((answer.revision, answer.created), (2, 1)),
            Err(status) => assert_eq!(told(&status).1, "TOO_MANY_IMPORTS"),
        }
    }
    assert!(!knows(&served, "p0").await);
    served.stop().await;
}

#[tokio::test]
async fn an_import_has_its_limits() {
    let folder = folder();
    let settings = Settings {
        max_import_bytes: Some(16 << 10),
        max_import_ms: Some(300),
        ..settings(folder.path())
    };
    let served = Served::with(settings).await;
    let parts = vec![header(""), part(crowd("p", 1_000)), part(crowd("q", 1_000)), commit(2_000)];
    let refused = import(&served, parts).await.unwrap_err();
    assert_eq!(told(&refused).1, "LIMIT_EXCEEDED");
    assert_eq!(metadata(&refused, "limit"), "max_import_bytes");
    let slow = Sending::begin(&served);
    slow.send(header("")).await;
    let answer = slow.answer.await.unwrap().unwrap_err();
    assert_eq!(told(&answer).0, Code::DeadlineExceeded);
    assert_eq!(told(&answer).1, "IMPORT_TOO_SLOW");
    served.stop().await;
}
