//! A real `pdp-server` with sessions, killed again and again: whatever it acknowledged is there when it
//! comes back, and what it did not acknowledge is either not there or found by its key. `PDP_TEST_KILLS` is how
//! often it is killed: a real run has a thousand.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

#[path = "rpc/child.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod child;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pdp_proto::v1;
use pdp_proto::v1::audit_service_client::AuditServiceClient;
use pdp_proto::v1::decision_service_client::DecisionServiceClient;
use pdp_proto::v1::policy_service_client::PolicyServiceClient;
use pdp_proto::v1::session_service_client::SessionServiceClient;
use pdp_proto::v1::session_service_get_request::By;
use pdp_proto::v1::watch_revocations_response::Event;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;
use tonic::{Code, Status};

use child::Child;

/// How often the server is killed where `PDP_TEST_KILLS` does not say.
const KILLS: usize = 24;

/// How many sessions stay open and how much work is left undone; all beyond that is ended, or done.
const KEPT: usize = 16;

/// Every so many rounds all sessions are looked at, and not only those that have something to come.
const WHOLE: usize = 50;

/// Every session has an account of its own, so that each end makes two items of work due.
const POLICY: &str = r#"
resource_types:
  Report: {operations: [View]}
  Computer: {}
access_levels:
  - {type: Report, name: Viewer, operations: {View: allowed}}
people: [{id: ana}, {id: bo}]
groups: [{id: admins}]
resources: [{type: Computer, id: web}, {type: Report, id: absence}]
permission_levels: [{id: admin}]
psm:
  - {computer: web, enabled: true, account_store: local_windows_server, jit: {enabled: true, delete_on_end: true}, levels: {admin: group:admins}}
eligibilities:
  - {to: person:ana, level: admin, on: "Computer:web", kind: pre_approved}
  - {to: person:bo, level: admin, on: "Computer:web", kind: pre_approved}
assignments: [{id: a-1, to: group:admins, level: Report/Viewer, on: "Report:absence"}]
"#;

/// A server. Whoever drops it kills it: it has no last word.
struct Running(Child);

impl Running {
    fn start(folder: &Path) -> Self {
        Self(Child::start(folder, &["--load", "policy.yaml"]).unwrap())
    }

    fn sessions(&self) -> SessionServiceClient<Channel> {
        SessionServiceClient::new(self.0.channel())
    }

    async fn get(&self, key: &str) -> Option<v1::Session> {
        let by = Some(By::RequestKey(key.to_owned()));
        let request = v1::SessionServiceGetRequest { by, ..Default::default() };
        match self.sessions().get(request).await {
            Ok(response) => response.into_inner().session,
            Err(status) if status.code() == Code::NotFound => None,
            Err(status) => panic!("{status}"),
        }
    }

    /// Whether the account counts as a member of the group.
    async fn is_member(&self, account: &str) -> bool {
        let subject = v1::subject::Subject::Account(account.to_owned());
        let question = v1::Question {
            subject: Some(v1::Subject { subject: Some(subject) }),
            permission: Some(v1::question::Permission::Operation("View".to_owned())),
            resource: Some(v1::ResourceRef { r#type: "Report".into(), id: "absence".into() }),
            ..Default::default()
        };
        let request = v1::CheckRequest { question: Some(question), ..Default::default() };
        let mut client = DecisionServiceClient::new(self.0.channel());
        let decision = client.check(request).await.unwrap().into_inner().decision.unwrap();
        decision.effect() == v1::Effect::Allow
    }

    /// Takes work until all of this was handed out.
    async fn handed_out(&self, mut expected: BTreeSet<String>) -> BTreeSet<String> {
        let request = v1::WatchRevocationsRequest { max_outstanding: 1_000, ..Default::default() };
        let mut work = self.sessions().watch_revocations(request).await.unwrap().into_inner();
        let mut handed = BTreeSet::new();
        while !expected.is_empty() {
            match work.next().await.unwrap().unwrap().event.unwrap() {
                Event::Revocation(revocation) => {
                    expected.remove(&revocation.id);
                    assert!(handed.insert(revocation.id), "to one watcher once");
                }
                Event::Heartbeat(_) => {}
            }
        }
        handed
    }
}

/// What the brokers know.
#[derive(Default)]
struct Known {
    /// The sessions that were opened, by key.
    opened: BTreeMap<String, v1::Session>,
    /// The keys of requests that were not answered.
    asked: BTreeSet<String>,
    /// The keys of sessions whose end was acknowledged, and of those where it was only asked for.
    closed: BTreeSet<String>,
    closing: BTreeSet<String>,
    /// The work that is done, and that which may be.
    done: BTreeSet<String>,
    doing: BTreeSet<String>,
    /// The keys of sessions that have nothing more to come.
    settled: BTreeSet<String>,
    /// Change sets that were acknowledged, and those that were not answered.
    written: BTreeSet<String>,
    writing: BTreeSet<String>,
    keys: usize,
}

/// What was seen, and how often.
type Tally = BTreeMap<&'static str, usize>;

/// What was sent, and what became of it.
enum Sent {
    Open(String, Result<Box<v1::Session>, Status>),
    Close(String, Result<(), Status>),
    Done(String, Result<(), Status>),
    Write(String, Result<(), Status>),
}

impl Known {
    fn next_key(&mut self) -> String {
        self.keys += 1;
        format!("key {}", self.keys)
    }

    /// Sends requests all at once: sessions to be opened and to be closed, work that is done, changes of the policy.
    fn send(&mut self, server: &Running, work: &BTreeSet<String>) -> JoinSet<Sent> {
        let mut sent = JoinSet::new();
        for person in ["ana", "bo", "ana", "bo"] {
            let (key, mut client) = (self.next_key(), server.sessions());
            self.asked.insert(key.clone());
            sent.spawn(async move {
                Sent::Open(key.clone(), open(&mut client, &key, person).await.map(Box::new))
            });
        }
        let open = self.opened.keys().filter(|key| !self.closing.contains(*key));
        let open: Vec<_> = open.cloned().collect();
        let many = open.len().saturating_sub(KEPT).max(2);
        let closing: Vec<_> = open.into_iter().take(many).collect();
        for key in closing {
            let (session, mut client) = (self.opened[&key].id.clone(), server.sessions());
            self.closing.insert(key.clone());
            sent.spawn(async move {
                let request = v1::SessionServiceCloseRequest { session, ..Default::default() };
                Sent::Close(key, client.close(request).await.map(drop))
            });
        }
        for id in work.iter().take(work.len().saturating_sub(KEPT).max(2)).cloned() {
            let mut client = server.sessions();
            self.doing.insert(id.clone());
            sent.spawn(async move {
                let outcome = v1::acknowledge_revocation_request::Outcome::Done;
                let request = v1::AcknowledgeRevocationRequest {
                    revocation: id.clone(),
                    outcome: Some(outcome(v1::RevocationDone {})),
                    ..Default::default()
                };
                Sent::Done(id, client.acknowledge_revocation(request).await.map(drop))
            });
        }
        for _ in 0..2 {
            let (id, channel) = (self.next_key(), server.0.channel());
            self.writing.insert(id.clone());
            sent.spawn(async move { Sent::Write(id.clone(), write(channel, &id).await.map(drop)) });
        }
        sent
    }

    /// Takes an answer; whether it is one.
    fn learn(&mut self, sent: Sent) -> bool {
        match sent {
            Sent::Open(key, Ok(session)) => {
                self.asked.remove(&key);
                self.opened.insert(key, *session);
                true
            }
            Sent::Close(key, Ok(())) => self.closed.insert(key),
            Sent::Done(id, Ok(())) => self.done.insert(id),
            Sent::Write(id, Ok(())) => {
                self.writing.remove(&id);
                self.written.insert(id)
            }
            Sent::Open(_, Err(status))
            | Sent::Close(_, Err(status))
            | Sent::Done(_, Err(status))
            | Sent::Write(_, Err(status)) => {
                let gone = [Code::Unavailable, Code::Cancelled, Code::Unknown, Code::Internal];
                assert!(gone.contains(&status.code()), "{status}");
                false
            }
        }
    }

    /// Holds the changes of the policy against what is known: each there as a whole, or not at all.
    async fn verify_written(&mut self, server: &Running, tally: &mut Tally) {
        let mut count = |what| *tally.entry(what).or_insert(0) += 1;
        let people = people(server).await;
        for id in &self.written {
            let there = pair(id).iter().filter(|person| people.contains(*person)).count();
            assert_eq!(there, 2, "change set {id} was acknowledged");
            count("acknowledged change sets looked at");
        }
        for id in std::mem::take(&mut self.writing) {
            let there = pair(&id).iter().filter(|person| people.contains(*person)).count();
            assert!([0, 2].contains(&there), "half of change set {id} is there");
            count(match there {
                0 => "change sets without an answer, and not there",
                _ => "change sets without an answer, and there as a whole",
            });
            // Whoever has no answer sends it again.
            let answer = write(server.0.channel(), &id).await.unwrap();
            assert_eq!(answer.replayed, there == 2, "{id}");
            self.written.insert(id);
        }
    }

    /// Holds what the server says of sessions after a restart against what is known.
    async fn verify(&mut self, server: &Running, whole: bool, tally: &mut Tally) {
        let mut count = |what| *tally.entry(what).or_insert(0) += 1;
        for key in std::mem::take(&mut self.asked) {
            match server.get(&key).await {
                None => count("opened without an answer, and not there"),
                Some(found) => {
                    count("opened without an answer, and found by the key");
                    let person = found.person.clone();
                    let replayed = open(&mut server.sessions(), &key, &person).await.unwrap();
                    assert_eq!(replayed.id, found.id, "asking again opens no second one");
                    self.opened.insert(key, found);
                }
            }
        }
        let settled = if whole { BTreeSet::new() } else { self.settled.clone() };
        for (key, opened) in self.opened.iter().filter(|(key, _)| !settled.contains(*key)) {
            let found = server.get(key).await.unwrap();
            assert_eq!((&found.id, &found.account), (&opened.id, &opened.account));
            let ended = found.state() == v1::SessionState::Ended;
            match (self.closed.contains(key), self.closing.contains(key)) {
                (true, _) => assert!(ended, "{key} was closed"),
                (false, true) if ended => {
                    count("closed without an answer, and ended");
                    self.closed.insert(key.clone());
                }
                (false, true) => {
                    count("closed without an answer, and still open");
                    self.closing.remove(key);
                }
                (false, false) => assert!(!ended, "{key} was acknowledged"),
            }
            let is_member = server.is_member(opened.account.as_ref().unwrap()).await;
            assert_eq!(is_member, !ended, "{key}");
            count(if ended { "ended sessions looked at" } else { "open sessions looked at" });
            assert_eq!(found.revocations.len(), if ended { 2 } else { 0 });
            for work in &found.revocations {
                match work.state() {
                    v1::RevocationState::Done => {
                        assert!(self.doing.contains(&work.id), "{} was never done", work.id);
                        self.done.insert(work.id.clone());
                    }
                    v1::RevocationState::Outstanding => {
                        assert!(!self.done.contains(&work.id), "{} was done", work.id);
                        self.doing.remove(&work.id);
                    }
                    other => panic!("{other:?}"),
                }
            }
            if ended && found.revocations.iter().all(|work| self.done.contains(&work.id)) {
                self.settled.insert(key.clone());
            }
        }
    }

    /// The work that is to be done.
    fn outstanding(&self) -> BTreeSet<String> {
        let of = |key: &String| {
            ["group", "account"].map(|kind| format!("{}:{kind}", self.opened[key].id))
        };
        let all = self.closed.iter().flat_map(of);
        all.filter(|id| !self.done.contains(id)).collect()
    }
}

async fn open(
    client: &mut SessionServiceClient<Channel>,
    key: &str,
    person: &str,
) -> Result<v1::Session, Status> {
    let request = v1::SessionServiceOpenRequest {
        request_key: key.to_owned(),
        person: person.to_owned(),
        computer: "web".to_owned(),
        level: Some("admin".to_owned()),
        ..Default::default()
    };
    client.open(request).await.map(|response| response.into_inner().session.unwrap())
}

/// The people that a change set brings.
fn pair(id: &str) -> [String; 2] {
    ["one", "other"].map(|half| format!("{half} of {id}"))
}

/// Sends the change set of this name.
async fn write(channel: Channel, id: &str) -> Result<v1::ApplyResponse, Status> {
    let put = |id: String| {
        let person = v1::Person { id, ..Default::default() };
        let fact = v1::Fact { fact: Some(v1::fact::Fact::Person(person)) };
        v1::Change { change: Some(v1::change::Change::Put(fact)) }
    };
    let changes = pair(id).map(put).to_vec();
    let request = v1::ApplyRequest { changes, request_id: id.to_owned(), ..Default::default() };
    PolicyServiceClient::new(channel).apply(request).await.map(tonic::Response::into_inner)
}

/// The ids of all people.
async fn people(server: &Running) -> BTreeSet<String> {
    let mut client = PolicyServiceClient::new(server.0.channel());
    let export = client.export(v1::ExportRequest::default()).await.unwrap().into_inner();
    let parts: Vec<_> = export.map(Result::unwrap).collect().await;
    let facts = parts.into_iter().flat_map(|part| part.facts);
    let person = |fact: v1::Fact| match fact.fact {
        Some(v1::fact::Fact::Person(person)) => Some(person.id),
        _ => None,
    };
    facts.filter_map(person).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_keeps_what_it_acknowledged() {
    let kills = std::env::var("PDP_TEST_KILLS").map_or(KILLS, |count| count.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policy.yaml"), POLICY).unwrap();
    let (mut known, mut tally) = (Known::default(), Tally::new());
    for round in 0..=kills {
        let server = Running::start(folder.path());
        known.verify(&server, round % WHOLE == 0 || round == kills, &mut tally).await;
        known.verify_written(&server, &mut tally).await;
        let outstanding = known.outstanding();
        let handed = server.handed_out(outstanding.clone()).await;
        assert_eq!(handed, outstanding);
        *tally.entry("work handed out").or_insert(0) += handed.len();
        if round == kills {
            let mut client = AuditServiceClient::new(server.0.channel());
            let verified = client.verify(v1::AuditServiceVerifyRequest::default()).await.unwrap();
            assert!(verified.into_inner().broken.is_none());
            break;
        }
        // The connection is made, so that what is sent is sent.
        let key = known.next_key();
        let session = open(&mut server.sessions(), &key, "ana").await.unwrap();
        known.opened.insert(key, session);
        let mut sent = known.send(&server, &handed);
        let all = sent.len();
        // Right after sending, or after some of the answers.
        let mut answered = 0;
        while answered < round % (all + 1) {
            answered += usize::from(known.learn(sent.join_next().await.unwrap().unwrap()));
        }
        drop(server);
        *tally.entry("kills").or_insert(0) += 1;
        while let Some(outcome) = sent.join_next().await {
            answered += usize::from(known.learn(outcome.unwrap()));
        }
        *tally.entry("answers").or_insert(0) += answered + 1;
        *tally.entry("requests without an answer").or_insert(0) += all - answered;
    }
    println!("{tally:#?}");
    assert_eq!(tally["kills"], kills);
    assert!(tally["answers"] >= kills && known.opened.len() >= kills);
    assert!(tally["work handed out"] > 0 && tally["open sessions looked at"] > kills);
}

/// How many people each import of the test brings, and in how many parts.
const IMPORTED: usize = 2_000;
const PARTS: usize = 4;

/// The parts of the import of this name, the word to commit last.
fn import_parts(name: &str) -> Vec<v1::ImportRequest> {
    use v1::import_request::Part;
    let put = |n: usize| {
        let person = v1::Person { id: format!("{name}-{n}"), ..Default::default() };
        let fact = v1::Fact { fact: Some(v1::fact::Fact::Person(person)) };
        v1::Change { change: Some(v1::change::Change::Put(fact)) }
    };
    let header = v1::ImportHeader { request_id: name.to_owned(), ..Default::default() };
    let people: Vec<_> = (0..IMPORTED).map(put).collect();
    let changes = people.chunks(IMPORTED / PARTS);
    let changes = changes.map(|some| Part::Changes(v1::ImportChanges { changes: some.to_vec() }));
    let commit = Part::Commit(v1::ImportCommit { changes: IMPORTED as u64 });
    let parts = std::iter::once(Part::Header(header)).chain(changes).chain([commit]);
    parts.map(|part| v1::ImportRequest { part: Some(part) }).collect()
}

async fn import(server: &Running, parts: Vec<v1::ImportRequest>) -> Result<bool, Status> {
    let mut client = PolicyServiceClient::new(server.0.channel());
    let answer = client.import(tokio_stream::iter(parts)).await?.into_inner();
    assert_eq!(answer.created, IMPORTED as u64);
    Ok(answer.replayed)
}

/// How many of the people of the import of this name there are.
async fn arrived(server: &Running, name: &str) -> usize {
    let start = format!("{name}-");
    people(server).await.iter().filter(|id| id.starts_with(&start)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_is_there_whole_or_not_at_all_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policy.yaml"), POLICY).unwrap();
    let mut lasting = 0;
    for round in 0..=PARTS + 4 {
        let name = format!("import{round}");
        let server = Running::start(folder.path());
        let (parts, mut sent) = (import_parts(&name), 0);
        let (sender, arriving) = tokio::sync::mpsc::channel(1);
        let mut client = PolicyServiceClient::new(server.0.channel());
        let stream = tokio_stream::wrappers::ReceiverStream::new(arriving);
        let mut call = tokio::spawn(async move { client.import(stream).await });
        for part in parts.iter().take(round + 1) {
            sender.send(part.clone()).await.unwrap();
            sent += 1;
        }
        drop(sender);
        // Every other import that is whole is waited for; the others are killed at work.
        let acknowledged = sent == parts.len() && round % 2 == 0;
        if acknowledged {
            (&mut call).await.unwrap().unwrap();
        }
        drop(server);
        if !acknowledged {
            call.await.ok();
        }
        let server = Running::start(folder.path());
        let found = arrived(&server, &name).await;
        assert!([0, IMPORTED].contains(&found), "{found} of {IMPORTED} after {sent} parts");
        assert!(found == IMPORTED || !acknowledged, "it was acknowledged");
        assert!(found == 0 || sent == parts.len(), "nobody said that it was whole");
        // Whoever has no answer sends it again.
        let replayed = import(&server, parts).await.unwrap();
        assert_eq!(replayed, found == IMPORTED);
        assert_eq!(arrived(&server, &name).await, IMPORTED);
        lasting += usize::from(acknowledged);
    }
    assert!(lasting > 0);
}
