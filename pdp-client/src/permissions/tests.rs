use v1::watch_permissions_response::Event;
use v1::watched_permission::Permission as Wire;

use super::*;

const ALLOW: i32 = v1::Effect::Allow as i32;
const DENY: i32 = v1::Effect::Deny as i32;
const APPROVAL: i32 = v1::Effect::RequiresApproval as i32;

fn watch() -> PermissionWatch {
    let client = Client::builder("http://127.0.0.1:1").connect_lazy().unwrap();
    client.watch_permissions(PermissionQuery::on(Resource::new("Doc", "42")))
}

fn sides(
    name: &str,
) -> (Option<v1::Subject>, Option<v1::ResourceRef>, Option<v1::WatchedPermission>) {
    let (subject, resource) = (Subject::person(name), Resource::new("Doc", "42"));
    let permission = Some(Wire::Operation("View".to_owned()));
    let permission = v1::WatchedPermission { permission };
    (Some(subject.to_wire()), Some(resource.to_wire()), Some(permission))
}

fn held(name: &str) -> Held {
    let (subject, resource) = (Subject::person(name), Resource::new("Doc", "42"));
    Held { subject, permission: Permission::operation("View"), resource }
}

fn state(revision: u64, names: &[&str], more: bool) -> v1::WatchPermissionsResponse {
    let permissions = names.iter().map(|name| {
        let (subject, resource, permission) = sides(name);
        v1::HeldPermission { subject, resource, permission, effect: ALLOW }
    });
    let (at, permissions) = (Some(prost_types::Timestamp::default()), permissions.collect());
    let state = v1::PermissionState { revision, at, permissions, more };
    v1::WatchPermissionsResponse { event: Some(Event::State(state)) }
}

fn changes(told: &[(&str, i32, i32)], more: bool) -> v1::WatchPermissionsResponse {
    let changes = told.iter().map(|(name, before, after)| {
        let (subject, resource, permission) = sides(name);
        let (before, after) = (*before, *after);
        v1::PermissionChange { subject, resource, permission, before, after }
    });
    let (at, changes) = (Some(prost_types::Timestamp::default()), changes.collect());
    let changes = v1::PermissionChanges { revision: 9, at, changes, more };
    v1::WatchPermissionsResponse { event: Some(Event::Changes(changes)) }
}

fn heartbeat() -> v1::WatchPermissionsResponse {
    let at = Some(prost_types::Timestamp::default());
    let event = Event::Heartbeat(v1::PermissionHeartbeat { revision: 9, at });
    v1::WatchPermissionsResponse { event: Some(event) }
}

fn changed(event: Option<PermissionEvent>) -> Vec<(String, Effect, Effect)> {
    let Some(PermissionEvent::Changed { seen: _, changes }) = event else { panic!("{event:?}") };
    let told = changes.into_iter().map(|it| (it.held.subject.to_string(), it.before, it.after));
    told.collect()
}

#[tokio::test]
async fn a_state_is_told_once_and_then_what_differs() {
    let mut watch = watch();
    assert_eq!(watch.effect(&held("ana")), None);
    assert!(watch.heard(heartbeat()).unwrap().is_none(), "nothing has been told yet");
    assert!(watch.heard(state(4, &["ana"], true)).unwrap().is_none(), "half a state is none");
    let Some(PermissionEvent::State { seen, held: told }) =
        watch.heard(state(4, &["bo"], false)).unwrap()
    else {
        panic!("it is whole")
    };
    assert_eq!((seen.revision, told.len()), (Revision::new(4), 2));
    let of = |watch: &PermissionWatch, name: &str| watch.effect(&held(name)).unwrap();
    assert_eq!(of(&watch, "ana"), Effect::Allow);
    assert_eq!(of(&watch, "cy"), Effect::Deny);
    assert!(matches!(watch.heard(heartbeat()), Ok(Some(PermissionEvent::Current(_)))));

    assert!(watch.heard(changes(&[("ana", ALLOW, DENY)], true)).unwrap().is_none());
    let told = changed(watch.heard(changes(&[("cy", DENY, APPROVAL)], false)).unwrap());
    let lost = ("person:ana".to_owned(), Effect::Allow, Effect::Deny);
    assert_eq!(told, [lost, ("person:cy".to_owned(), Effect::Deny, Effect::RequiresApproval)]);
    assert_eq!((of(&watch, "ana"), of(&watch, "cy")), (Effect::Deny, Effect::RequiresApproval));

    // The connection is lost, and made again: the caller hears of the difference only.
    watch.forget_parts();
    let told = changed(watch.heard(state(5, &["cy", "dan"], false)).unwrap());
    let expected = [
        ("person:cy", Effect::RequiresApproval, Effect::Allow),
        ("person:dan", Effect::Deny, Effect::Allow),
        ("person:bo", Effect::Allow, Effect::Deny),
    ];
    assert_eq!(told, expected.map(|(name, before, after)| (name.to_owned(), before, after)));
    watch.forget_parts();
    let same = watch.heard(state(5, &["cy", "dan"], false)).unwrap();
    assert!(matches!(same, Some(PermissionEvent::Current(_))), "{same:?}");
}

#[tokio::test]
async fn what_is_not_understood_is_not_passed_over() {
    let refused = |message| {
        let mut watch = watch();
        watch.heard(state(4, &["ana"], false)).unwrap();
        let refused = watch.heard(message);
        assert!(matches!(refused, Err(Error::Protocol { .. })), "{refused:?}");
        assert_eq!(watch.effect(&held("ana")), Some(Effect::Allow), "what was told stays");
    };
    refused(v1::WatchPermissionsResponse::default());
    refused(state(4, &["ana"], false));
    refused(changes(&[("ana", DENY, ALLOW)], false));
    refused(changes(&[("bo", ALLOW, DENY)], false));
    refused(changes(&[("ana", ALLOW, ALLOW)], false));
    refused(changes(&[("ana", ALLOW, 0)], false));
    refused(changes(&[("ana", ALLOW, 7)], false));
    let mut early = watch();
    assert!(early.heard(changes(&[("ana", DENY, ALLOW)], false)).is_err());

    let client = Client::builder("http://127.0.0.1:1").connect_lazy().unwrap();
    let other = PermissionQuery::of(Subject::person("bo"));
    let mut other = client.watch_permissions(other);
    assert!(other.heard(state(4, &["ana"], false)).is_err(), "it is of somebody else");
}
