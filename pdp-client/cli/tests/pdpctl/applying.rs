//! `apply`, `export`, `get` and `list`.

use serde_json::json;

use crate::served::{Ran, Served};

/// The first policy with a person more, one renamed, one gone, and a level that says more.
const NEXT: &str = "\
resource_types:
  Report: {operations: [View, Edit, Delete], rights: [ReadData]}
  Person: {operations: [View]}
access_levels:
  - {type: Report, name: Viewer, operations: {View: allowed, Edit: allowed}}
locations: [{id: europe}, {id: zurich, parent: europe}]
people: [{id: ana, name: Anna, enabled: false}, {id: cy}]
groups: [{id: hr, members: [person:ana, person:cy]}]
resources: [{type: Report, id: absence, locations: [zurich]}]
assignments:
  - {id: a-1, to: group:hr, level: Report/Viewer, in: europe}
";

#[tokio::test]
async fn applying_shows_the_difference_and_again_shows_none() {
    let served = Served::start().await;
    served.file("next.yaml", NEXT);
    let lines = "\
~ access level Report/Viewer
~ person ana
+ person cy
~ group hr
";
    assert_eq!(
        served.ctl(&["apply", "next.yaml", "--dry-run"]).await,
        Ran::said(format!(
            "{lines}dry run: would be 1 created, 3 changed, 0 removed; nothing was changed, revision 1\n"
        ))
    );
    assert_eq!(
        served.ctl_with(&["apply", "-"], NEXT).await,
        Ran::said(format!("{lines}1 created, 3 changed, 0 removed; revision 2\n"))
    );
    assert_eq!(
        served.ctl(&["apply", "next.yaml"]).await,
        Ran::said("nothing to change: the policy is so already, at revision 2\n")
    );
    served.stop().await;
}

#[tokio::test]
async fn replacing_makes_the_policy_equal_to_the_bundle() {
    let served = Served::start().await;
    served.file("next.yaml", NEXT);
    let (status, told) = served.json(&["apply", "next.yaml", "--replace", "--dry-run"]).await;
    let change = |kind, name, change| json!({"kind": kind, "name": name, "change": change});
    let changes = json!([
        change("access_level", "Report/No Deletes", "removed"),
        change("access_level", "Report/Viewer", "changed"),
        change("person", "ana", "changed"),
        change("person", "bo", "removed"),
        change("person", "cy", "created"),
        change("group", "hr", "changed"),
        change("assignment", "a-2", "removed"),
    ]);
    let whole = json!({
        "revision": 1, "dry_run": true, "replayed": false, "total_changes": 7, "changes": changes,
    });
    assert_eq!((status, told), (0, whole));
    assert_eq!(
        served.ctl(&["apply", "next.yaml", "--replace"]).await,
        Ran::said(
            "\
- access level Report/No Deletes
~ access level Report/Viewer  operations: +Edit: allowed; rights: -ReadData: allowed
~ person ana  name: Ana -> Anna; enabled: true -> false
- person bo
+ person cy
~ group hr  members: +person:cy
- assignment a-2  person:ana has Report/No Deletes on Report:absence
1 created, 3 changed, 3 removed; revision 2
"
        )
    );
    let exported = served.ctl(&["export"]).await;
    served.file("exported.yaml", &exported.out);
    let same = Ran::said("nothing to change: the policy is so already, at revision 2\n");
    assert_eq!(served.ctl(&["apply", "exported.yaml", "--replace"]).await, same);
    assert_eq!(served.ctl(&["export"]).await, exported);
    served.stop().await;
}

#[tokio::test]
async fn an_export_applies_back_as_yaml_and_as_json() {
    let served = Served::start().await;
    let yaml = served.ctl(&["export"]).await;
    let (_, told) = served.json(&["export"]).await;
    assert_eq!(told["revision"], 1);
    served.file("policy.json", &told["bundle"].to_string());
    let same = Ran::said("nothing to change: the policy is so already, at revision 1\n");
    assert_eq!(served.ctl(&["apply", "policy.json", "--replace"]).await, same);
    served.ctl(&["tenant", "create", "copy"]).await;
    served.file("policy.yaml", &yaml.out);
    assert_eq!(served.ctl(&["--tenant", "copy", "apply", "policy.yaml"]).await.status, 0);
    assert_eq!(served.ctl(&["--tenant", "copy", "export"]).await, yaml);
    served.stop().await;
}

#[tokio::test]
async fn a_refused_bundle_is_told_by_file_and_line_and_changes_nothing() {
    let served = Served::start().await;
    served.file(
        "bad.yaml",
        "people:\n  - {id: cy, manager: nobody}\ngroups:\n  - id: it\n    members:\n      - person:cy\n      - person:dee\n",
    );
    for arguments in [&["apply", "bad.yaml"][..], &["apply", "bad.yaml", "--replace"]] {
        let ran = served.ctl(arguments).await;
        assert_eq!(
            ran,
            Ran::failed(
                "\
error: the change set was refused; nothing was changed
  bad.yaml:2:23: people[0].manager: person `cy`: `manager` names person `nobody`, which does not exist; create it in the same change set or correct the name
  bad.yaml:7:9: groups[0].members[1]: group `it`: `members` names person `dee`, which does not exist; create it in the same change set or correct the name
"
            )
        );
    }
    let (status, told) = served.json(&["apply", "bad.yaml"]).await;
    assert_eq!((status, &told["error"]["reason"]), (2, &json!("CHANGE_SET_REJECTED")));
    assert_eq!(told["error"]["problems"].as_array().map(Vec::len), Some(2));
    assert!(served.ctl(&["health"]).await.status == 0);
    assert_eq!(served.ctl(&["list", "facts", "group"]).await, Ran::said("hr\n"));
    served.stop().await;
}

#[tokio::test]
async fn a_wrong_file_never_reaches_the_server() {
    let served = Served::start().await;
    served.file("typo.yaml", "people:\n  - {id: cy, manger: bo}\n");
    let ran = served.ctl(&["apply", "typo.yaml"]).await;
    assert!(ran.err.starts_with("error: typo.yaml:2:14: people[0].manger: unknown key"), "{ran:?}");
    assert_eq!(ran.status, 2);
    let ran = served.ctl(&["apply", "nofile.yaml"]).await;
    assert!(ran.err.starts_with("error: nofile.yaml: cannot be read"), "{ran:?}");
    let ran = served.ctl_with(&["apply", "-"], "people: [").await;
    assert!(ran.err.starts_with("error: standard input:1:"), "{ran:?}");
    assert_eq!(ran.status, 2);
    served.stop().await;
}

#[tokio::test]
async fn a_writer_that_comes_second_is_told() {
    let served = Served::start().await;
    served.file("next.yaml", NEXT);
    let ran = served.ctl(&["apply", "next.yaml", "--expected-revision", "0"]).await;
    let first = "error: the policy is at revision 1, not 0 as expected";
    assert!(ran.err.starts_with(first) && ran.status == 2, "{ran:?}");
    let named = ["apply", "next.yaml", "--request-id", "r-1"];
    assert!(served.ctl(&named).await.out.ends_with("; revision 2\n"));
    let again = served.ctl(&named).await;
    let last = "this request was applied before, as revision 2; nothing was applied now\n";
    assert!(again.out.ends_with(last) && again.status == 0, "{again:?}");
    served.file("other.yaml", "people: [{id: dee}]");
    let ran = served.ctl(&["apply", "other.yaml", "--request-id", "r-1"]).await;
    assert!(ran.err.starts_with("error: request id `r-1` was used for another change set"));
    served.stop().await;
}

#[tokio::test]
async fn facts_are_read_one_by_one_and_by_kind() {
    let served = Served::start().await;
    assert_eq!(
        served.ctl(&["get", "person", "ana"]).await,
        Ran::said("person ana  revision 1\n  id    ana\n  name  Ana\n")
    );
    let whole = json!({
        "revision": 1,
        "kind": "resource",
        "name": "Report:absence",
        "fact": {"type": "Report", "id": "absence", "locations": ["zurich"]},
    });
    assert_eq!(served.json(&["get", "resource", "Report:absence"]).await, (0, whole));
    assert_eq!(
        served.ctl(&["get", "group", "nix"]).await,
        Ran::failed("error: group `nix` does not exist\n")
    );
    assert_eq!(
        served.ctl(&["list", "facts", "assignments"]).await,
        Ran::said(
            "a-1  group:hr has Report/Viewer in europe\n\
             a-2  person:ana has Report/No Deletes on Report:absence\n"
        )
    );
    let (_, told) = served.json(&["list", "facts", "location"]).await;
    let facts = json!([
        {"name": "europe", "fact": {"id": "europe"}},
        {"name": "zurich", "fact": {"id": "zurich", "parent": "europe"}},
    ]);
    assert_eq!(told, json!({"revision": 1, "kind": "location", "facts": facts}));
    let ran = served.ctl(&["list", "facts", "persn"]).await;
    assert!(ran.err.starts_with("error: KIND: `persn` is no kind of fact; write `resource_type`"));
    served.stop().await;
}
