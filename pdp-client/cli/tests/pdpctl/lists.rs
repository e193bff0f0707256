//! `list permissions`, `list resources`, `list subjects` and `list approvers`.

use serde_json::json;

use crate::families::FAMILIES;
use crate::served::{Ran, Served};

#[tokio::test]
async fn what_may_somebody_do_here_and_where_may_they_do_it() {
    let served = Served::start_with(FAMILIES).await;
    assert_eq!(
        served.ctl(&["list", "permissions", "person:ana", "Report:absence"]).await,
        Ran::said(
            "AddPersonToViewer\nAddToViewerInLocation\nView\nright:ReadData\n4 permissions; revision 1\n"
        )
    );
    let (status, told) =
        served.json(&["list", "permissions", "person:ana", "Computer:web-07"]).await;
    let item = |kind, name| json!({"kind": kind, "name": name});
    let permissions = json!([
        item("vault", "use_remote_app"),
        item("vault", "view_password"),
        item("session", "none"),
        item("session", "local-admin"),
    ]);
    assert_eq!((status, told), (0, json!({"revision": 1, "permissions": permissions})));
    assert_eq!(
        served.ctl(&["list", "resources", "person:ana", "vault:view_password", "SshKey"]).await,
        Ran::said("SshKey:deploy\n1 resource; revision 1\n")
    );
    assert_eq!(
        served.ctl(&["list", "resources", "person:ana", "vault:share", "resource_group"]).await,
        Ran::said("no resources; revision 1\n")
    );
    let explain = ["list", "permissions", "person:ana", "Computer:web-07", "--explain"];
    let told = served.ctl(&explain).await;
    let session = "\nsession:local-admin\n  ALLOW GRANTED  person:ana, session local-admin, Computer:web-07\n";
    assert!(told.out.contains(session), "{}", told.out);
    let (_, told) = served.json(&explain).await;
    let explained = told["permissions"].as_array().unwrap();
    assert!(explained.iter().all(|item| item["explanation"]["effect"] == "ALLOW"));
    assert_eq!(explained[0]["explanation"]["ruling"]["level"], "view");
    served.stop().await;
}

#[tokio::test]
async fn who_may_do_it_and_who_could_agree() {
    let served = Served::start_with(FAMILIES).await;
    let subjects = ["list", "subjects", "session:local-admin", "Computer:web-07"];
    assert_eq!(served.ctl(&subjects).await, Ran::said("person:ana\n1 person; revision 1\n"));
    let members = "groups: [{id: hr, members: [person:ana, account:corp/ana]}]";
    assert_eq!(served.ctl_with(&["apply", "-"], members).await.status, 0);
    assert_eq!(
        served.ctl(&["list", "subjects", "View", "Report:absence", "--accounts"]).await,
        Ran::said("person:ana\naccount:corp/ana\n2 people and accounts; revision 2\n")
    );
    let approvers =
        ["list", "approvers", "check", "person:bo", "session:local-admin", "Computer:web-07"];
    assert_eq!(served.ctl(&approvers).await, Ran::said("person:cy\n1 approver; revision 2\n"));
    let (_, told) = served.json(&[&approvers[..], &["--explain"]].concat()).await;
    let approver = &told["approvers"][0];
    assert_eq!(approver["approver"], "person:cy");
    assert_eq!(approver["explanation"]["sides"][0]["entries"][0]["assignment"]["id"], "a-5");
    let of = ["list", "approvers", "delegation", "grant", "Report/Viewer", "--to", "person:cy"];
    let of = [&of[..], &["--on", "Report:absence", "--as"]].concat();
    assert_eq!(
        served.ctl(&[&of[..], &["person:ana"]].concat()).await,
        Ran::said("person:bo\n1 approver; revision 2\n")
    );
    assert_eq!(
        served.ctl(&[&of[..], &["person:bo"]].concat()).await,
        Ran::said("no approvers; revision 2\n")
    );
    let told = served.ctl(&[&of[..], &["person:ana", "--explain"]].concat()).await;
    let first = "person:bo\n  ALLOW GRANTED  person:bo, grant Report/Viewer on Report:absence, to person:cy\n";
    assert!(told.out.starts_with(first), "{}", told.out);
    let told = served
        .ctl(&["list", "approvers", "check", "person:bo", "vault:share", "Computer:web-07"])
        .await;
    assert_eq!((told.status, told.out.as_str()), (2, ""));
    assert!(told.err.contains("nobody is asked to agree to a vault action"), "{}", told.err);
    served.stop().await;
}

#[tokio::test]
async fn a_list_of_more_than_a_page_is_whole() {
    use std::fmt::Write as _;
    let mut bundle = String::from(
        "resource_types: {Report: {operations: [View]}}\n\
         access_levels: [{type: Report, name: Viewer, operations: {View: allowed}}]\n\
         locations: [{id: zurich}]\npeople: [{id: ana}]\n\
         assignments: [{to: person:ana, level: Report/Viewer, in: zurich}]\nresources:\n",
    );
    for number in 0..1_203 {
        writeln!(bundle, "  - {{type: Report, id: r-{number:04}, locations: [zurich]}}").unwrap();
    }
    let served = Served::start_with(&bundle).await;
    let list = ["list", "resources", "person:ana", "View", "Report"];
    let told = served.ctl(&list).await.out;
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.len(), 1_204);
    assert_eq!((lines[0], lines[1_202]), ("Report:r-0000", "Report:r-1202"));
    assert_eq!(lines[1_203], "1203 resources; revision 1");
    assert!(lines[..1_203].is_sorted());
    let (_, told) = served.json(&[&list[..], &["--explain"]].concat()).await;
    let items = told["resources"].as_array().unwrap();
    assert_eq!(items.len(), 1_203);
    assert!(items.iter().all(|item| item["explanation"]["reason"] == "GRANTED"));
    served.stop().await;
}
