//! Sessions and what they change: who may open one, the room on a computer, and what an account gets.

use super::*;
use crate::sessions;

#[tokio::test]
async fn sessions_are_told_with_their_approvals_their_room_and_what_they_give() {
    let folder = sessions::folder();
    let served = Served::start(&folder).await;
    let sessions = |level: &str| {
        only(Permission::Session(v1::SessionPermission { level: Some(level.to_owned()) }))
    };
    let web = v1::WatchPermissionsRequest {
        permissions: sessions("operator"),
        ..on(object("Computer", "web"))
    };
    let mut on_web = served.watch_permissions(web).await.unwrap();
    let (on_web, _) = Held::begin(&mut on_web).await;
    let [ana, bo] = ["ana", "bo"].map(|id| format!("person:{id} session:operator Computer:web"));
    let expected = BTreeMap::from([(ana, Effect::RequiresApproval), (bo, Effect::Allow)]);
    assert_eq!(on_web.effects, expected);

    let one = v1::WatchPermissionsRequest {
        permissions: sessions("admin"),
        r#type: "Computer".to_owned(),
        ..of(person("bo"))
    };
    let mut of_bo = served.watch_permissions(one).await.unwrap();
    let (mut bo, _) = Held::begin(&mut of_bo).await;
    let mut readers =
        v1::WatchPermissionsRequest { accounts: true, ..on(object("Database", "orders")) };
    readers.permissions = only(Permission::Operation("Read".to_owned()));
    let mut of_orders = served.watch_permissions(readers).await.unwrap();
    let (mut orders, _) = Held::begin(&mut of_orders).await;
    assert!(orders.effects.is_empty());

    // Ana takes the one place there is.
    let open = v1::SessionServiceOpenRequest {
        request_key: "k".into(),
        person: "ana".into(),
        computer: "one".into(),
        level: Some("admin".into()),
        ..Default::default()
    };
    let opened = served.sessions().open(open).await.unwrap().into_inner().session.unwrap();
    assert_eq!(bo.change(&mut of_bo).await, ["- person:bo session:admin Computer:one"]);
    let account = opened.account.unwrap();
    let reads = format!("account:{account} operation:Read Database:orders");
    assert_eq!(orders.change(&mut of_orders).await, [format!("+ {reads}")]);
    let close = v1::SessionServiceCloseRequest { session: opened.id, ..Default::default() };
    served.sessions().close(close).await.unwrap();
    assert_eq!(bo.change(&mut of_bo).await, ["+ person:bo session:admin Computer:one"]);
    assert_eq!(orders.change(&mut of_orders).await, [format!("- {reads}")]);
    served.stop().await;
}
