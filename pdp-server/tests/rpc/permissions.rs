//! Watching effective permissions: the whole state first, then who gained and who lost what, by whatever it
//! came, and a plain word where there is too much or nothing to watch.

mod by_sessions;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use pdp_proto::v1::fact::Fact;
use pdp_proto::v1::fact_key::Key;
use pdp_proto::v1::watch_permissions_request::Watched;
use pdp_proto::v1::watch_permissions_response::Event;
use pdp_proto::v1::watched_permission::Permission;
use pdp_proto::v1::{self, Effect};
use pdp_server::config::Settings;
use tokio_stream::StreamExt as _;
use tonic::{Code, Request, Status, Streaming};

use crate::errors::{metadata, told};
use crate::facts::actor;
use crate::guarded::{Guarded, caller, key, reason};
use crate::served::{A_1_ENDS, NOW, Served, delete, folder, object, person, put, put_person};

type Messages = Streaming<v1::WatchPermissionsResponse>;

/// What a watcher holds: the effect of each permission, by `subject kind:name resource`.
#[derive(Debug, Default)]
struct Held {
    effects: BTreeMap<String, Effect>,
    revision: u64,
}

fn of(subject: v1::Subject) -> v1::WatchPermissionsRequest {
    let watched = Some(Watched::Subject(subject));
    v1::WatchPermissionsRequest { watched, ..Default::default() }
}

fn on(resource: v1::ResourceRef) -> v1::WatchPermissionsRequest {
    let watched = Some(Watched::Resource(resource));
    v1::WatchPermissionsRequest { watched, ..Default::default() }
}

fn only(permission: Permission) -> Vec<v1::WatchedPermission> {
    vec![v1::WatchedPermission { permission: Some(permission) }]
}

fn view() -> Permission {
    Permission::Operation("View".to_owned())
}

impl Served {
    async fn watch_permissions(
        &self,
        request: impl tonic::IntoRequest<v1::WatchPermissionsRequest>,
    ) -> Result<Messages, Status> {
        self.decisions().watch_permissions(request).await.map(tonic::Response::into_inner)
    }
}

fn name(
    subject: Option<v1::Subject>,
    permission: Option<v1::WatchedPermission>,
    resource: Option<v1::ResourceRef>,
) -> String {
    use v1::subject::Subject as Who;
    let who = match subject.unwrap().subject.unwrap() {
        Who::Person(id) => format!("person:{id}"),
        Who::Account(id) => format!("account:{id}"),
    };
    let what = match permission.unwrap().permission.unwrap() {
        Permission::Operation(name) => format!("operation:{name}"),
        Permission::Right(name) => format!("right:{name}"),
        Permission::VaultAction(name) => format!("vault:{name}"),
        Permission::Session(it) => format!("session:{}", it.level.unwrap_or("none".to_owned())),
    };
    let v1::ResourceRef { r#type, id } = resource.unwrap();
    format!("{who} {what} {type}:{id}")
}

/// The next message, which must come.
async fn next(messages: &mut Messages) -> Result<Event, Status> {
    messages.next().await.expect("a watch has no end").map(|it| it.event.unwrap())
}

/// How a watch ends.
async fn end(messages: &mut Messages) -> Status {
    loop {
        if let Err(status) = next(messages).await {
            return status;
        }
    }
}

impl Held {
    /// The state that a watch begins with, and how many messages it came in.
    async fn begin(messages: &mut Messages) -> (Self, usize) {
        let (mut held, mut parts) = (Self::default(), 0);
        loop {
            let Event::State(state) = next(messages).await.unwrap() else {
                panic!("a state first")
            };
            let v1::PermissionState { revision, at, permissions, more } = state;
            assert!(at.is_some() && permissions.len() <= 1_000);
            held.revision = revision;
            parts += 1;
            for it in permissions {
                let effect = it.effect();
                assert_ne!(effect, Effect::Deny);
                let before =
                    held.effects.insert(name(it.subject, it.permission, it.resource), effect);
                assert_eq!(before, None, "each once");
            }
            if !more {
                return (held, parts);
            }
        }
    }

    /// Takes the next changes, and tells them as `+ what` and `- what`, or `~ what`.
    async fn change(&mut self, messages: &mut Messages) -> Vec<String> {
        let mut told = Vec::new();
        loop {
            let changes = match next(messages).await.unwrap() {
                Event::Changes(changes) => changes,
                Event::Heartbeat(v1::PermissionHeartbeat { revision, at }) => {
                    assert!(revision >= self.revision && at.is_some());
                    continue;
                }
                Event::State(state) => panic!("{state:?} once only"),
            };
            let v1::PermissionChanges { revision, at, changes, more } = changes;
            assert!(revision >= self.revision && at.is_some() && !changes.is_empty());
            self.revision = revision;
            for it in changes {
                let (before, after) = (it.before(), it.after());
                let name = name(it.subject, it.permission, it.resource);
                let held = self.effects.get(&name).copied().unwrap_or(Effect::Deny);
                assert_eq!(held, before, "it fits what was told: {name}");
                assert_ne!(before, after);
                let sign = match (before, after) {
                    (Effect::Deny, _) => "+",
                    (_, Effect::Deny) => "-",
                    _ => "~",
                };
                told.push(format!("{sign} {name}"));
                match after {
                    Effect::Deny => self.effects.remove(&name),
                    _ => self.effects.insert(name, after),
                };
            }
            if !more {
                return told;
            }
        }
    }

    fn names(&self) -> Vec<&str> {
        self.effects.keys().map(String::as_str).collect()
    }
}

/// Everybody in human resources.
fn hr(members: &[&str]) -> v1::Change {
    let member = |id: &&str| v1::Membership {
        of: actor(v1::actor_ref::Actor::Person((*id).to_owned())),
        ..Default::default()
    };
    let members = members.iter().map(member).collect();
    put(Fact::Group(v1::Group { id: "hr".to_owned(), members, ..Default::default() }))
}

#[tokio::test]
async fn what_everybody_may_do_with_a_resource_is_told_and_kept() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let mut messages = served.watch_permissions(on(object("Report", "absence"))).await.unwrap();
    let (mut held, parts) = Held::begin(&mut messages).await;
    assert_eq!((held.revision, parts), (1, 1));
    let ana = [
        "person:ana operation:AddPersonToViewer Report:absence",
        "person:ana operation:View Report:absence",
        "person:ana right:ReadData Report:absence",
    ];
    assert_eq!(held.names(), ana);

    // What does not touch it is passed over, and with what does the revision is told.
    served.apply(vec![put_person("dan")]).await.unwrap();
    served.apply(vec![hr(&["ana", "bo"])]).await.unwrap();
    let gained = held.change(&mut messages).await;
    let bo =
        ["+ person:bo operation:View Report:absence", "+ person:bo right:ReadData Report:absence"];
    assert_eq!((gained, held.revision), (bo.map(str::to_owned).to_vec(), 3));
    // It is visible as soon as it is told.
    let decision = served.check(crate::served::question("bo", "View", "absence")).await;
    assert_eq!((decision.effect(), decision.revision), (Effect::Allow, 3));
    served.apply(vec![hr(&["bo"])]).await.unwrap();
    let lost = held.change(&mut messages).await;
    assert_eq!(lost, ana.into_iter().skip(1).map(|it| format!("- {it}")).collect::<Vec<_>>());
    served.apply(vec![delete(Key::Assignment("a-1".to_owned()), false)]).await.unwrap();
    assert_eq!(held.change(&mut messages).await.len(), 2);
    assert_eq!(held.names(), &ana[..1]);
    served.stop().await;
}

#[tokio::test]
async fn what_a_subject_may_do_is_told_by_type_and_by_permission() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let mut all = served.watch_permissions(of(person("ana"))).await.unwrap();
    assert_eq!(Held::begin(&mut all).await.0.effects.len(), 3);
    let typed = v1::WatchPermissionsRequest { r#type: "Person".into(), ..of(person("ana")) };
    let mut typed = served.watch_permissions(typed).await.unwrap();
    let (mut of_type, parts) = Held::begin(&mut typed).await;
    assert_eq!((of_type.effects.len(), parts), (0, 1), "an empty state is told as well");
    let some = v1::WatchPermissionsRequest { permissions: only(view()), ..of(person("ana")) };
    let mut some = served.watch_permissions(some).await.unwrap();
    let (viewing, _) = Held::begin(&mut some).await;
    assert_eq!(viewing.names(), ["person:ana operation:View Report:absence"]);
    // Whoever does not exist yet may be watched, and comes.
    let mut later = served.watch_permissions(of(person("zoe"))).await.unwrap();
    let (mut zoe, _) = Held::begin(&mut later).await;
    assert!(zoe.effects.is_empty());

    let level = v1::LevelRef { r#type: "Person".to_owned(), name: "Assigner".to_owned() };
    let operations = vec![v1::QualifiedPermission {
        name: "AddPersonToViewer".to_owned(),
        qualifier: v1::Qualifier::Allowed.into(),
    }];
    let assigner = v1::AccessLevel { name: Some(level.clone()), operations, ..Default::default() };
    let scope = v1::scope::Scope::OnResource(object("Person", "bo"));
    let to = |id: &str| actor(v1::actor_ref::Actor::Person(id.to_owned()));
    let grant = |id: &str, who: &str| {
        put(Fact::Assignment(v1::Assignment {
            id: id.to_owned(),
            to: to(who),
            level: Some(level.clone()),
            scope: Some(v1::Scope { scope: Some(scope.clone()) }),
            ..Default::default()
        }))
    };
    served.apply(vec![put(Fact::AccessLevel(assigner)), grant("g-1", "ana")]).await.unwrap();
    let told = of_type.change(&mut typed).await;
    assert_eq!(told, ["+ person:ana operation:AddPersonToViewer Person:bo"]);
    served.apply(vec![put_person("zoe"), grant("g-2", "zoe")]).await.unwrap();
    let told = zoe.change(&mut later).await;
    assert_eq!(told, ["+ person:zoe operation:AddPersonToViewer Person:bo"]);
    served.apply(vec![delete(Key::Person("zoe".to_owned()), true)]).await.unwrap();
    let told = zoe.change(&mut later).await;
    assert_eq!(told, ["- person:zoe operation:AddPersonToViewer Person:bo"]);
    served.stop().await;
}

#[tokio::test]
async fn a_window_that_closes_is_told_without_anybody_writing() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let request = v1::WatchPermissionsRequest {
        permissions: only(view()),
        ..on(object("Report", "absence"))
    };
    // The clock stands just before the end of the assignment, so that it is looked at until it comes.
    served.now.store(A_1_ENDS - 1, Ordering::SeqCst);
    let mut messages = served.watch_permissions(request).await.unwrap();
    let (mut held, _) = Held::begin(&mut messages).await;
    assert_eq!(held.names(), ["person:ana operation:View Report:absence"]);
    served.now.store(A_1_ENDS, Ordering::SeqCst);
    assert_eq!(held.change(&mut messages).await, ["- person:ana operation:View Report:absence"]);
    assert_eq!(held.revision, 1, "nobody wrote anything");
    served.stop().await;
}

#[tokio::test]
async fn a_clock_that_is_set_forward_is_noticed_with_the_next_change() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let mut messages = served.watch_permissions(of(person("ana"))).await.unwrap();
    let (mut held, _) = Held::begin(&mut messages).await;
    served.now.store(A_1_ENDS, Ordering::SeqCst);
    served.apply(vec![put_person("dan")]).await.unwrap();
    assert_eq!(held.change(&mut messages).await.len(), 2);
    assert_eq!(held.revision, 2);
    served.stop().await;
}

#[tokio::test]
async fn whoever_reads_slowly_holds_up_nobody_and_ends_with_the_same() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let mut messages = served.watch_permissions(on(object("Report", "absence"))).await.unwrap();
    let (mut held, _) = Held::begin(&mut messages).await;
    for round in 0..40 {
        let members: &[&str] = if round % 2 == 0 { &["ana", "bo"] } else { &["bo"] };
        served.apply(vec![hr(members)]).await.unwrap();
    }
    served.apply(vec![hr(&["ana", "bo", "cy"])]).await.unwrap();
    while held.revision < 42 {
        held.change(&mut messages).await;
    }
    let mut anew = served.watch_permissions(on(object("Report", "absence"))).await.unwrap();
    let (anew, _) = Held::begin(&mut anew).await;
    assert_eq!((held.effects, anew.revision), (anew.effects, 42));
    served.stop().await;
}

/// Something with so many operations, all of which these people may do.
fn much(operations: usize, people: usize) -> Vec<v1::Change> {
    let named = (0..operations).map(|n| format!("op-{n}")).collect();
    let declared =
        v1::ResourceType { name: "Much".to_owned(), operations: named, ..Default::default() };
    let level = v1::LevelRef { r#type: "Much".to_owned(), name: "All".to_owned() };
    let all = vec![v1::QualifiedPermission {
        name: "*".to_owned(),
        qualifier: v1::Qualifier::Allowed.into(),
    }];
    let all = v1::AccessLevel { name: Some(level.clone()), operations: all, ..Default::default() };
    let it = v1::Resource { name: Some(object("Much", "it")), ..Default::default() };
    let mut changes = vec![
        put(Fact::ResourceType(declared)),
        put(Fact::AccessLevel(all)),
        put(Fact::Resource(it)),
    ];
    for n in 0..people {
        let id = format!("p-{n}");
        changes.push(put_person(&id));
        let scope = Some(v1::scope::Scope::OnResource(object("Much", "it")));
        changes.push(put(Fact::Assignment(v1::Assignment {
            id: format!("m-{n}"),
            to: actor(v1::actor_ref::Actor::Person(id)),
            level: Some(level.clone()),
            scope: Some(v1::Scope { scope }),
            ..Default::default()
        })));
    }
    changes
}

#[tokio::test]
async fn much_comes_in_parts_and_too_much_is_refused() {
    let folder = folder();
    let served = Served::start(&folder).await;
    served.apply(much(9_000, 5)).await.unwrap();
    let mut messages = served.watch_permissions(on(object("Much", "it"))).await.unwrap();
    let (held, parts) = Held::begin(&mut messages).await;
    assert_eq!((held.effects.len(), parts), (45_000, 45));
    // It grows beyond what a watch may hold, and ends.
    served.apply(much(0, 6)).await.unwrap();
    let ended = end(&mut messages).await;
    let limit = (Code::InvalidArgument, "LIMIT_EXCEEDED".to_owned(), vec!["resource".to_owned()]);
    assert_eq!(told(&ended), limit);
    assert_eq!(metadata(&ended, "limit"), "max_watched_permissions");
    assert_eq!(metadata(&ended, "maximum"), "50000");
    let refused = served.watch_permissions(on(object("Much", "it"))).await.unwrap_err();
    assert_eq!(told(&refused), limit);
    // With some of the permissions it is not too much.
    let some = Permission::Operation("op-7".to_owned());
    let some = v1::WatchPermissionsRequest { permissions: only(some), ..on(object("Much", "it")) };
    let mut some = served.watch_permissions(some).await.unwrap();
    assert_eq!(Held::begin(&mut some).await.0.effects.len(), 6);
    served.stop().await;
}

#[tokio::test]
async fn what_cannot_be_watched_names_its_field() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let look = Permission::VaultAction("look".to_owned());
    let nameless = Permission::Operation(String::new());
    let ana = || of(person("ana"));
    let narrowed = |permissions, request| v1::WatchPermissionsRequest { permissions, ..request };
    for (request, field) in [
        (v1::WatchPermissionsRequest::default(), "subject"),
        (of(v1::Subject::default()), "subject"),
        (of(person("")), "subject"),
        (on(object("Report", "")), "resource"),
        (on(object("1", "it")), "resource"),
        (v1::WatchPermissionsRequest { r#type: "1".to_owned(), ..ana() }, "type"),
        (v1::WatchPermissionsRequest { accounts: true, ..ana() }, "accounts"),
        (
            v1::WatchPermissionsRequest { r#type: "Report".into(), ..on(object("Report", "a")) },
            "type",
        ),
        (narrowed(only(look), ana()), "permissions[0].vault_action"),
        (narrowed(only(nameless), on(object("Report", "a"))), "permissions[0].operation"),
        (narrowed(vec![v1::WatchedPermission::default()], ana()), "permissions[0].operation"),
        (v1::WatchPermissionsRequest { tenant: "\u{1}".to_owned(), ..ana() }, "tenant"),
    ] {
        let refused = served.watch_permissions(request.clone()).await.unwrap_err();
        let expected = (Code::InvalidArgument, "MALFORMED".to_owned(), vec![field.to_owned()]);
        assert_eq!(told(&refused), expected, "{request:?}");
    }
    let many = narrowed(vec![only(view()).remove(0); 101], ana());
    let refused = served.watch_permissions(many).await.unwrap_err();
    assert_eq!(metadata(&refused, "limit"), "max_named_permissions");
    let nowhere = v1::WatchPermissionsRequest { tenant: "nix".to_owned(), ..ana() };
    let refused = served.watch_permissions(nowhere).await.unwrap_err();
    assert_eq!(told(&refused), (Code::NotFound, "UNKNOWN_TENANT".to_owned(), vec![]));
    let mut late = Request::new(v1::WatchPermissionsRequest { at_least: 9, ..ana() });
    late.set_timeout(std::time::Duration::from_millis(200));
    let refused = served.watch_permissions(late).await.unwrap_err();
    assert_eq!(told(&refused), (Code::Unavailable, "REVISION_NOT_REACHED".to_owned(), vec![]));
    served.stop().await;
}

#[tokio::test]
async fn a_watch_ends_with_its_tenant_and_with_the_server() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let create = v1::TenantServiceCreateRequest { tenant: "acme".to_owned() };
    served.tenants().create(create).await.unwrap();
    let of_acme = v1::WatchPermissionsRequest { tenant: "acme".to_owned(), ..of(person("ana")) };
    let mut messages = served.watch_permissions(of_acme).await.unwrap();
    Held::begin(&mut messages).await;
    let gone = v1::TenantServiceDeleteRequest { tenant: "acme".to_owned() };
    served.tenants().delete(gone).await.unwrap();
    let ended = end(&mut messages).await;
    assert_eq!(told(&ended), (Code::NotFound, "UNKNOWN_TENANT".to_owned(), vec![]));
    let mut messages = served.watch_permissions(of(person("ana"))).await.unwrap();
    Held::begin(&mut messages).await;
    served.stop().await;
    let ended = end(&mut messages).await;
    assert_eq!(told(&ended), (Code::Unavailable, "SHUTTING_DOWN".to_owned(), vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_needs_the_role_that_shows_the_access_of_others_and_ends_with_it() {
    let [(asker, one), (reader, two), (writer, three)] = [key(), key(), key()];
    let two = two.replace('}', ", valid_until: 2026-01-01T00:01:00Z}");
    let callers = format!(
        "callers:\n{}{}{}",
        caller("asker", &one, "{default: [check]}"),
        caller("reader", &two, "{default: [explain]}"),
        caller("writer", &three, "{default: [write]}"),
    );
    let guarded = Guarded::with(folder(), &callers, Settings::default()).await;
    let served = &guarded.served;
    let by = |authorization: &str| {
        let mut request = Request::new(of(person("ana")));
        request.metadata_mut().insert("authorization", authorization.parse().unwrap());
        request
    };
    let refused = served.watch_permissions(by(&asker)).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::PermissionDenied, "ROLE_MISSING".into()));
    let mut messages = served.watch_permissions(by(&reader)).await.unwrap();
    let (held, _) = Held::begin(&mut messages).await;
    assert_eq!(held.effects.len(), 3);
    served.now.store(NOW + 60_000_000, Ordering::SeqCst);
    let changes = vec![hr(&["bo"])];
    let mut apply = Request::new(v1::ApplyRequest { changes, ..Default::default() });
    apply.metadata_mut().insert("authorization", writer.parse().unwrap());
    served.policy().apply(apply).await.unwrap();
    let ended = end(&mut messages).await;
    let expected = (Code::Unauthenticated, "CREDENTIALS_EXPIRED".to_owned());
    assert_eq!((ended.code(), reason(&ended)), expected);
    guarded.served.stop().await;
}
