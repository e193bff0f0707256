//! `audit list` and `audit verify`.

use serde_json::json;

use crate::families::FAMILIES;
use crate::served::{Ran, Served};

#[tokio::test]
async fn what_was_changed_is_listed_and_verified() {
    let served = Served::start_with(FAMILIES).await;
    assert_eq!(served.ctl_with(&["apply", "-"], "people: [{id: new}]").await.status, 0);
    let share = "shares: [{to: \"person:new\", on: \"Computer:web-07\", level: view}]";
    let owner = "resources: [{type: Computer, id: web-07, owner: bo, platform: windows}]";
    assert_eq!(served.ctl_with(&["apply", "-"], owner).await.status, 0);
    let apply = ["apply", "-", "--on-behalf-of", "person:bo", "--request-id", "r-1"];
    let ran = served.ctl_with(&apply, share).await;
    assert_eq!(ran.status, 0, "{ran:?}");

    let listed = served.ctl(&["audit", "list"]).await;
    let lines: Vec<_> = listed.out.lines().collect();
    assert_eq!((listed.status, lines.len()), (0, 6), "{listed:?}");
    assert!(lines[0].starts_with("1  ") && lines[0].ends_with("Z  created tenant `default`"));
    assert!(lines[2].contains("revision 2: 1 created, 0 changed, 0 removed, request `"));
    let on_behalf =
        "revision 4: 1 created, 0 changed, 0 removed, on behalf of person:bo, request `r-1`";
    assert!(lines[4].ends_with(on_behalf), "{listed:?}");
    assert_eq!(lines[5], "   created share `Computer:web-07 with person:new`");

    let (status, told) = served.json(&["audit", "list", "--person", "person:bo"]).await;
    let [record] = told["records"].as_array().unwrap().as_slice() else { panic!("{told}") };
    assert_eq!((status, &record["sequence"], &record["revision"]), (0, &json!(5), &json!(4)));
    assert_eq!(
        (&record["person"], &record["kind"]),
        (&json!("person:bo"), &json!("policy-changed"))
    );
    let change =
        json!({"kind": "share", "name": "Computer:web-07 with person:new", "change": "created"});
    assert_eq!(record["changes"], json!([change]));

    let (_, first) = served.json(&["audit", "list", "--limit", "1"]).await;
    let [record] = first["records"].as_array().unwrap().as_slice() else { panic!("{first}") };
    let (kind, tenant) = (&record["kind"], &record["tenant"]);
    assert_eq!((kind, tenant), (&json!("tenant-created"), &json!("default")));
    let at = record["at"].as_str().unwrap();
    let (_, none) = served.json(&["audit", "list", "--until", at]).await;
    assert_eq!(none, json!({"records": []}));
    let (_, created) = served.json(&["audit", "list", "--kind", "tenant-created"]).await;
    assert_eq!(created, first);
    let later = ["audit", "list", "--from", "9999-01-01T00:00:00Z"];
    assert_eq!(served.ctl(&later).await, Ran::said(""));

    let (status, told) = served.json(&["audit", "verify"]).await;
    assert_eq!((status, &told["records"], told.get("broken")), (0, &json!(5), None));
    let head = told["head"].as_str().unwrap();
    assert_eq!(
        served.ctl(&["audit", "verify"]).await,
        Ran::said(format!(
            "intact: every record is as it was written\n5 records intact, head {head}\n"
        ))
    );
    let (_, told) = served.json(&["audit", "list"]).await;
    assert_eq!(told["records"][4]["hash"], head);
    served.stop().await;
}

#[tokio::test]
async fn the_server_s_own_audit_says_what_became_of_tenants() {
    let served = Served::start().await;
    for task in ["create", "delete"] {
        assert_eq!(served.ctl(&["tenant", task, "acme"]).await.status, 0);
    }
    let listed = served.ctl(&["audit", "list", "--of-server"]).await.out;
    let told: Vec<_> = listed.lines().map(|line| line.split("Z  ").nth(1).unwrap()).collect();
    let deleted = "deleted tenant `acme`, with 1 record";
    assert_eq!(told, ["created tenant `default`", "created tenant `acme`", deleted]);
    let (status, told) = served.json(&["audit", "verify", "--of-server"]).await;
    assert_eq!((status, &told["records"]), (0, &json!(3)));
    let gone = served.ctl(&["audit", "verify", "--tenant", "acme"]).await;
    assert!(gone.status == 2 && gone.err.contains("tenant `acme` does not exist"), "{gone:?}");
    let nobody = served.ctl(&["audit", "list", "--person", "account:a"]).await;
    assert!(nobody.err.contains("--person: `account:a` is no person"), "{nobody:?}");
    served.stop().await;
}
