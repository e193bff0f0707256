//! `import`.

use std::fmt::Write as _;

use serde_json::json;

use crate::served::Served;

/// More people than a change set of `apply` may hold.
fn crowd() -> String {
    let mut text = String::from("people:\n");
    for number in 0..25_000 {
        writeln!(text, "  - {{id: p{number}}}").unwrap();
    }
    text
}

#[tokio::test]
async fn a_large_bundle_is_one_change_set() {
    let served = Served::start().await;
    served.file("crowd.yaml", &crowd());
    served.file("more.yaml", "groups: [{id: all, members: [person:p0, person:p24999]}]\n");
    let sent = "10000 of 25001 sent\n20000 of 25001 sent\n25001 sent; the server checks, compiles and stores them\n";
    let ran = served.ctl(&["import", "crowd.yaml", "more.yaml", "--dry-run"]).await;
    let would =
        "dry run: would be 25001 created, 0 changed, 0 removed; nothing was changed, revision 1\n";
    assert_eq!((ran.status, ran.out.as_str(), ran.err.as_str()), (0, would, sent));
    let import = ["import", "crowd.yaml", "more.yaml", "--request-id", "r-1"];
    let ran = served.ctl(&import).await;
    assert_eq!(ran.out, "25001 created, 0 changed, 0 removed; revision 2\n");
    let told = json!({
        "revision": 2, "dry_run": false, "replayed": true,
        "created": 25001, "changed": 0, "removed": 0,
    });
    assert_eq!(served.json(&import).await, (0, told));
    served.stop().await;
}

#[tokio::test]
async fn replacing_removes_what_the_bundle_does_not_name() {
    let served = Served::start().await;
    let path = served.file("crowd.yaml", &crowd());
    let ran = served.ctl(&["import", "--replace", "crowd.yaml"]).await;
    // Two types, two levels, two locations, two people, a group, a resource and two assignments; the
    // built-in type cannot go, and what was added to it can.
    assert_eq!(ran.out, "25000 created, 0 changed, 12 removed; revision 2\n", "{}", ran.err);
    let again = served.ctl(&["import", "--replace", "crowd.yaml"]).await;
    assert_eq!(again.out, "0 created, 0 changed, 0 removed; revision 2\n");
    let two = path.to_str().unwrap();
    let refused = served.ctl(&["import", "--replace", two, two]).await;
    assert_eq!(refused.status, 2);
    assert!(refused.err.contains("`--replace` takes one bundle"), "{}", refused.err);
    served.stop().await;
}

#[tokio::test]
async fn what_is_refused_changes_nothing() {
    let served = Served::start().await;
    served.file("bad.yaml", &(crowd() + "  - {id: q, manager: nobody}\n"));
    let ran = served.ctl(&["import", "bad.yaml"]).await;
    assert_eq!((ran.status, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("person `q`: `manager` names person `nobody`"), "{}", ran.err);
    let late = served.ctl(&["import", "bad.yaml", "--expected-revision", "7"]).await;
    assert!(late.err.contains("the policy is at revision 1, not 7"), "{}", late.err);
    served.stop().await;
}
