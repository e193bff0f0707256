//! Watching the policy: every change set once and in order, from wherever its watcher was, or a plain
//! word that there is no going on.

use std::collections::BTreeMap;

use pdp_proto::v1::change::Change;
use pdp_proto::v1::policy_service_watch_response::Event;
use pdp_proto::v1::{self, fact::Fact, fact_key::Key};
use prost::Message as _;
use tokio_stream::StreamExt as _;
use tonic::{Code, Status, Streaming};

use crate::errors::{metadata, told};
use crate::facts::one_of_each;
use crate::served::{Served, delete, folder, put, put_person, question};

type Messages = Streaming<v1::PolicyServiceWatchResponse>;

/// A policy that somebody keeps by watching: the bytes of each fact by the bytes of its key.
#[derive(Debug, Default, PartialEq)]
struct Followed {
    facts: BTreeMap<Vec<u8>, Vec<u8>>,
    position: Option<v1::PolicyPosition>,
}

impl Served {
    async fn watch_policy(
        &self,
        tenant: &str,
        after: Option<v1::PolicyPosition>,
    ) -> Result<Messages, Status> {
        let request = v1::PolicyServiceWatchRequest { tenant: tenant.to_owned(), after };
        self.policy().watch(request).await.map(tonic::Response::into_inner)
    }

    /// The policy as an export tells it.
    async fn exported(&self) -> Followed {
        let request = v1::ExportRequest::default();
        let mut parts = self.policy().export(request).await.unwrap().into_inner();
        let mut followed = Followed::default();
        while let Some(part) = parts.next().await {
            let v1::ExportResponse { revision, facts, position } = part.unwrap();
            assert_eq!(position.as_ref().map(|it| it.revision), Some(revision));
            followed.position = position;
            facts.into_iter().for_each(|fact| followed.put(fact));
        }
        followed
    }
}

impl Followed {
    fn put(&mut self, fact: v1::Fact) {
        let key = key_of(fact.fact.as_ref().unwrap());
        self.facts.insert(v1::FactKey { key: Some(key) }.encode_to_vec(), fact.encode_to_vec());
    }

    fn take(&mut self, set: v1::ChangeSet) {
        let position = set.position.unwrap();
        let before = self.position.as_ref().map_or(0, |it| it.revision);
        assert_eq!(position.revision, before + 1, "each once, and in order");
        for change in set.changes {
            match change.change.unwrap() {
                Change::Put(fact) => self.put(fact),
                Change::Delete(v1::Delete { key, cascade }) => {
                    assert!(!cascade, "what a cascade touched is told by itself");
                    let removed = self.facts.remove(&key.unwrap().encode_to_vec());
                    assert!(removed.is_some(), "only what is there is removed");
                }
            }
        }
        if !set.more {
            self.position = Some(position);
        }
    }
}

fn key_of(fact: &Fact) -> Key {
    match fact {
        Fact::ResourceType(it) => Key::ResourceType(it.name.clone()),
        Fact::Person(it) => Key::Person(it.id.clone()),
        Fact::Group(it) => Key::Group(it.id.clone()),
        Fact::Location(it) => Key::Location(it.id.clone()),
        Fact::Assignment(it) => Key::Assignment(it.id.clone()),
        Fact::AccessLevel(it) => Key::AccessLevel(it.name.clone().unwrap()),
        Fact::Resource(it) => Key::Resource(it.name.clone().unwrap()),
        other => panic!("not in the policy of these tests: {other:?}"),
    }
}

/// The next message, which must come.
async fn next(messages: &mut Messages) -> Result<Event, Status> {
    messages.next().await.expect("a watch has no end").map(|it| it.event.unwrap())
}

/// The next change set.
async fn set(messages: &mut Messages) -> v1::ChangeSet {
    loop {
        match next(messages).await.unwrap() {
            Event::ChangeSet(set) => return set,
            Event::Heartbeat(_) => {}
        }
    }
}

async fn heartbeat(messages: &mut Messages) -> v1::PolicyPosition {
    match next(messages).await.unwrap() {
        Event::Heartbeat(v1::PolicyHeartbeat { position, latest: _ }) => position.unwrap(),
        other @ Event::ChangeSet(_) => panic!("{other:?}"),
    }
}

fn at(revision: u64) -> Option<v1::PolicyPosition> {
    Some(v1::PolicyPosition { revision, mark: Vec::new() })
}

#[tokio::test]
async fn a_follower_from_the_beginning_has_the_policy() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let mut messages = served.watch_policy("", at(0)).await.unwrap();
    assert_eq!(heartbeat(&mut messages).await, v1::PolicyPosition::default());
    let mut followed = Followed::default();
    let first = set(&mut messages).await;
    let at = first.committed_at.unwrap();
    assert_eq!((at.seconds, at.nanos), (crate::served::NOW / 1_000_000, 0));
    followed.take(first);
    assert_eq!(followed, served.exported().await);

    // What a cascade touched is told, and what is put again as it is is not.
    served.apply(vec![put_person("dan"), put_person("bo")]).await.unwrap();
    let made = set(&mut messages).await;
    assert_eq!(made.changes, [put_person("dan")]);
    followed.take(made);
    served.apply(vec![delete(Key::Person("ana".to_owned()), true)]).await.unwrap();
    let gone = set(&mut messages).await;
    assert!(gone.changes.len() > 1, "{gone:?}");
    // It is visible as soon as it is told.
    assert_eq!(served.check(question("ana", "View", "absence")).await.revision, 3);
    followed.take(gone);
    assert_eq!(followed, served.exported().await);
    // What changes nothing is no change set.
    served.apply(vec![put_person("dan")]).await.unwrap();
    served.apply(vec![put_person("eve")]).await.unwrap();
    followed.take(set(&mut messages).await);
    assert_eq!(followed, served.exported().await);
    served.stop().await;
}

#[tokio::test]
async fn a_follower_is_told_how_far_behind_it_is() {
    let folder = folder();
    let served = Served::start(&folder).await;
    served.apply(vec![put_person("dan")]).await.unwrap();
    let mut messages = served.watch_policy("", at(0)).await.unwrap();
    let Event::Heartbeat(first) = next(&mut messages).await.unwrap() else { panic!("at first") };
    assert_eq!((first.position.unwrap().revision, first.latest), (0, 2));
    for revision in [1, 2] {
        let set = set(&mut messages).await;
        assert_eq!((set.position.unwrap().revision, set.latest), (revision, 2));
    }
    served.stop().await;
}

#[tokio::test]
async fn every_kind_of_fact_is_told_as_it_was_written() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let mut messages = served.watch_policy("", None).await.unwrap();
    assert_eq!(heartbeat(&mut messages).await.revision, 1);
    let facts: Vec<Fact> = one_of_each().into_iter().map(|(_, fact)| fact).collect();
    served.apply(facts.iter().cloned().map(put).collect()).await.unwrap();
    let told = set(&mut messages).await;
    assert!(!told.more);
    for fact in facts {
        let change = put(fact);
        assert!(told.changes.contains(&change), "{change:?}");
    }
    served.stop().await;
}

#[tokio::test]
async fn export_and_watch_meet_while_others_write() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let mut writer = served.policy();
    let writing = tokio::spawn(async move {
        for number in 0..60 {
            let changes = vec![put_person(&format!("p{number}"))];
            let request = v1::ApplyRequest { changes, ..Default::default() };
            writer.apply(request).await.unwrap();
        }
    });
    let mut followed = served.exported().await;
    let mut messages = served.watch_policy("", followed.position.clone()).await.unwrap();
    assert_eq!(Some(heartbeat(&mut messages).await), followed.position);
    while followed.position.as_ref().is_none_or(|it| it.revision < 61) {
        followed.take(set(&mut messages).await);
    }
    writing.await.unwrap();
    assert_eq!(followed, served.exported().await);
    served.stop().await;
}

#[tokio::test]
async fn a_watcher_who_does_not_read_holds_up_nobody_and_misses_nothing() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let mut followed = served.exported().await;
    let mut messages = served.watch_policy("", followed.position.clone()).await.unwrap();
    let name = "n".repeat(200);
    for number in 0..20 {
        let person = |part: usize| {
            let id = format!("p{number}-{part}");
            put(Fact::Person(v1::Person { id, name: Some(name.clone()), ..Default::default() }))
        };
        served.apply((0..2_000).map(person).collect()).await.unwrap();
    }
    let mut parts = 0;
    while followed.position.as_ref().is_none_or(|it| it.revision < 21) {
        let set = set(&mut messages).await;
        parts += usize::from(set.more);
        followed.take(set);
    }
    assert!(parts > 20, "large change sets come in parts: {parts}");
    assert_eq!(followed, served.exported().await);
    served.stop().await;
}

#[tokio::test]
async fn a_watch_goes_on_behind_a_restart() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let mut followed = served.exported().await;
    let mut messages = served.watch_policy("", followed.position.clone()).await.unwrap();
    served.apply(vec![put_person("dan")]).await.unwrap();
    followed.take(set(&mut messages).await);
    served.apply(vec![put_person("eve")]).await.unwrap();
    served.stop().await;
    let ended = loop {
        match next(&mut messages).await {
            Ok(_) => {}
            Err(status) => break status,
        }
    };
    assert_eq!(told(&ended), (Code::Unavailable, "SHUTTING_DOWN".to_owned(), vec![]));

    let served = Served::start(&folder).await;
    let mut messages = served.watch_policy("", followed.position.clone()).await.unwrap();
    followed.take(set(&mut messages).await);
    assert_eq!(followed, served.exported().await);
    served.stop().await;
}

#[tokio::test]
async fn what_cannot_be_gone_on_from_is_told_at_once() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let position = served.exported().await.position.unwrap();
    let refused = |after| {
        let served = &served;
        async move { served.watch_policy("", Some(after)).await.unwrap_err() }
    };
    let of = |mark: Vec<u8>| v1::PolicyPosition { mark, ..position.clone() };

    let ahead = refused(v1::PolicyPosition { revision: 2, ..Default::default() }).await;
    assert_eq!(told(&ahead), (Code::OutOfRange, "POSITION_UNKNOWN".to_owned(), vec![]));
    let [after, actual] = ["after", "actual"].map(|name| metadata(&ahead, name));
    assert_eq!((after.as_str(), actual.as_str()), ("2", "1"));
    // Another history was at the same revision.
    let other = refused(of(vec![7; 32])).await;
    assert_eq!(told(&other), (Code::OutOfRange, "POSITION_UNKNOWN".to_owned(), vec![]));
    // The empty policy has no mark: nobody knows of which history this one is.
    let unknown = refused(v1::PolicyPosition { revision: 0, mark: vec![7; 32] }).await;
    assert_eq!(told(&unknown), (Code::OutOfRange, "POSITION_TOO_OLD".to_owned(), vec![]));
    let malformed = refused(of(vec![7; 31])).await;
    let fields = vec!["after.mark".to_owned()];
    assert_eq!(told(&malformed), (Code::InvalidArgument, "MALFORMED".to_owned(), fields));
    let nowhere = served.watch_policy("nix", None).await.unwrap_err();
    assert_eq!(told(&nowhere), (Code::NotFound, "UNKNOWN_TENANT".to_owned(), vec![]));
    served.stop().await;
}

#[tokio::test]
async fn a_tenant_that_is_deleted_ends_its_watches_and_a_new_one_has_another_history() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let create = || v1::TenantServiceCreateRequest { tenant: "acme".to_owned() };
    served.tenants().create(create()).await.unwrap();
    let mut messages = served.watch_policy("acme", None).await.unwrap();
    let apply = |person: &str| {
        let (tenant, changes) = ("acme".to_owned(), vec![put_person(person)]);
        let request = v1::ApplyRequest { tenant, changes, ..Default::default() };
        let mut policy = served.policy();
        async move { policy.apply(request).await.unwrap() }
    };
    apply("ana").await;
    let position = set(&mut messages).await.position;
    let request = v1::TenantServiceDeleteRequest { tenant: "acme".to_owned() };
    served.tenants().delete(request).await.unwrap();
    let ended = next(&mut messages).await.unwrap_err();
    assert_eq!(told(&ended), (Code::NotFound, "UNKNOWN_TENANT".to_owned(), vec![]));

    served.now.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    served.tenants().create(create()).await.unwrap();
    apply("ana").await;
    let other = served.watch_policy("acme", position).await.unwrap_err();
    assert_eq!(told(&other), (Code::OutOfRange, "POSITION_UNKNOWN".to_owned(), vec![]));
    served.stop().await;
}
