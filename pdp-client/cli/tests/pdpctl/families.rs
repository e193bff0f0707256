//! Delegations, vault actions and sessions.

use serde_json::{Value, json};

use crate::served::{Ran, Served};

/// A policy with something of every family.
pub(crate) const FAMILIES: &str = r#"
resource_types:
  Report: {operations: [View, Edit, Delete, AddPersonToViewer, AddToViewerInLocation], rights: [ReadData]}
  Computer: {operations: [ApproveUse]}
  SshKey: {operations: [View]}
  Person: {operations: [View, AddPersonToResourceRole, AddPersonToResourceRoleAssignmentByLocation]}
access_levels:
  - {type: Report, name: Viewer, operations: {View: allowed}, rights: {ReadData: allowed}}
  - {type: Report, name: Assigner, operations: {AddPersonToViewer: allowed, AddToViewerInLocation: allowed}}
  - {type: Person, name: Assignable, operations: {View: allowed, AddPersonToResourceRole: allowed, AddPersonToResourceRoleAssignmentByLocation: allowed}}
  - {type: Computer, name: Approver, operations: {ApproveUse: allowed}}
locations: [{id: europe}, {id: zurich, parent: europe}]
people:
  - {id: ana, name: Ana, vault_privileges: [connection_user]}
  - {id: bo}
  - {id: cy}
accounts:
  - {id: corp/ana, owner: ana, computer: web-07}
groups:
  - {id: hr, members: [person:ana]}
  - {id: web-07/Administrators}
resources:
  - {type: Report, id: absence, locations: [zurich]}
  - {type: Computer, id: web-07, locations: [zurich], platform: windows, owner: bo}
  - {type: SshKey, id: deploy, parent: "Computer:web-07"}
resource_groups:
  - {id: web-tier, members: ["Computer:web-07"]}
assignments:
  - {id: a-1, to: group:hr, level: Report/Viewer, in: europe}
  - {id: a-2, to: person:ana, level: Report/Assigner, on: "Report:absence"}
  - {id: a-3, to: person:bo, level: Person/Assignable, on: "Person:cy"}
  - {id: a-4, to: person:bo, level: Report/Assigner, on: "Report:absence"}
  - {id: a-5, to: person:cy, level: Computer/Approver, on: "Computer:web-07"}
shares:
  - {to: person:ana, on: "Computer:web-07", level: view}
  - {to: group:hr, on: resource_group:web-tier, level: modify}
permission_levels:
  - {id: local-admin, name: Local Admin}
  - {id: domain-admin}
psm:
  - {computer: web-07, allow_unprivileged: true, max_session: 4h, max_concurrent: 2, levels: {local-admin: group:web-07/Administrators, domain-admin: null}}
eligibilities:
  - {to: group:hr, level: local-admin, on: Computer:web-07, kind: pre_approved}
  - {to: person:bo, level: local-admin, in: zurich, kind: eligible, valid_until: 2040-01-01T00:00:00Z}
"#;

fn asked(status: i32, out: &str) -> Ran {
    Ran { status, out: out.to_owned(), err: String::new() }
}

#[tokio::test]
async fn vault_actions_are_asked_and_explained() {
    let served = Served::start_with(FAMILIES).await;
    assert_eq!(
        served.ctl(&["check", "person:ana", "vault:view_password", "Computer:web-07"]).await,
        asked(0, "ALLOW GRANTED  person:ana, vault view_password, Computer:web-07  revision 1\n")
    );
    assert_eq!(
        served.ctl(&["check", "person:bo", "--vault", "share", "SshKey:deploy"]).await,
        asked(0, "ALLOW GRANTED  person:bo, vault share, SshKey:deploy  revision 1\n")
    );
    assert_eq!(
        served.ctl(&["check", "person:cy", "vault:manage", "resource_group:web-tier"]).await,
        asked(1, "DENY NOT_SHARED  person:cy, vault manage, resource_group:web-tier  revision 1\n")
    );
    let question = ["explain", "person:ana", "vault:modify_password", "Computer:web-07"];
    let told = served.ctl(&question).await;
    assert_eq!(told.status, 1);
    assert!(told.out.contains("layer 2: resource_group:web-tier"), "{}", told.out);
    let (status, told) = served.json(&question).await;
    let share = json!({"to": "person:ana", "on": "Computer:web-07", "level": "view"});
    let layer = json!({
        "entities": ["Computer:web-07"], "shares": [{"share": share, "deciding": true, "subject_path": []}],
    });
    assert_eq!((status, &told["reason"]), (1, &json!("LEVEL_TOO_LOW")));
    assert_eq!(told["layers"][0], layer);
    let ruling = json!({"rule": "NEAREST_LAYER", "level": "view", "layer": 0, "personal": true});
    assert_eq!(told["ruling"], ruling);
    let (_, told) = served.json(&["explain", "person:bo", "vault:share", "SshKey:deploy"]).await;
    assert_eq!(told["ruling"], json!({"rule": "OWNER", "level": "full", "owner": "person:bo"}));
    let ran = served.ctl(&["check", "person:ana", "vault:fly", "Computer:web-07"]).await;
    assert_eq!(
        ran,
        Ran::failed(
            "error: `question.vault_action`: `fly` is not an action on a vault entity; those are `use_remote_app`, `view_password`, `modify_password`, `manage` and `share`\n"
        )
    );
    served.stop().await;
}

#[tokio::test]
async fn an_allowed_session_tells_its_obligations() {
    let served = Served::start_with(FAMILIES).await;
    let ran = served.ctl(&["check", "person:ana", "session:local-admin", "Computer:web-07"]).await;
    let mut lines = ran.out.lines();
    let decision = "ALLOW GRANTED  person:ana, session local-admin, Computer:web-07  revision 1";
    assert_eq!((ran.status, lines.next()), (0, Some(decision)));
    assert!(lines.next().is_some_and(|line| line.starts_with("  not after  ")), "{}", ran.out);
    let rest: Vec<_> = lines.collect();
    assert_eq!(
        rest,
        [
            "  group      group:web-07/Administrators",
            "  account    account:corp/ana (EXISTING)",
            "  on end     REMOVE_FROM_GROUP",
        ]
    );
    let (status, mut told) =
        served.json(&["check", "person:ana", "--session", "local-admin", "Computer:web-07"]).await;
    assert!(told["obligations"]["not_after"].take().is_string());
    let due = json!({
        "not_after": Value::Null, "group": "web-07/Administrators", "account_mode": "EXISTING",
        "account": "corp/ana", "on_end": ["REMOVE_FROM_GROUP"],
    });
    assert_eq!((status, &told["obligations"]), (0, &due));
    let (_, told) = served.json(&["check", "person:ana", "session:none", "Computer:web-07"]).await;
    let due = told["obligations"].as_object().unwrap();
    assert_eq!(due.keys().collect::<Vec<_>>(), ["not_after"]);
    assert_eq!(
        served.ctl(&["check", "person:bo", "session:local-admin", "Computer:web-07"]).await,
        asked(1, "DENY NO_ACCOUNT  person:bo, session local-admin, Computer:web-07  revision 1\n")
    );
    let (status, told) =
        served.json(&["explain", "person:ana", "session:local-admin", "Computer:web-07"]).await;
    assert_eq!((status, &told["visible_levels"]), (0, &json!(["local-admin"])));
    assert_eq!(told["eligibilities"][0]["subject_path"][0]["kind"], "MEMBER_OF");
    assert_eq!(told["obligations"]["account"], "corp/ana");
    served.stop().await;
}

#[tokio::test]
async fn a_delegation_is_asked_and_explained() {
    let served = Served::start_with(FAMILIES).await;
    let tail = ["Report/Viewer", "--to", "person:cy", "--on", "Report:absence"];
    let grant = |who| [&["delegation", "grant", "--as", who][..], &tail].concat();
    assert_eq!(
        served.ctl(&grant("person:bo")).await,
        asked(
            0,
            "ALLOW GRANTED  person:bo, grant Report/Viewer on Report:absence, to person:cy  revision 1\n"
        )
    );
    assert_eq!(
        served.ctl(&grant("person:ana")).await,
        asked(
            3,
            "REQUIRES_APPROVAL MISSING_ON_RECIPIENT  person:ana, grant Report/Viewer on Report:absence, to person:cy  revision 1\n"
        )
    );
    let unrouted = [&grant("person:ana")[..], &["--no-routing"]].concat();
    assert_eq!(served.ctl(&unrouted).await.status, 1);
    let explained = [&grant("person:ana")[..], &["--explain"]].concat();
    let told = served.ctl(&explained).await;
    assert!(told.out.contains("missing: AddPersonToResourceRole of Person:cy"), "{}", told.out);
    let (status, told) = served.json(&explained).await;
    assert_eq!((status, &told["resource"]["status"]), (3, &json!("HELD")));
    let missing = &told["recipient"]["objects"][0];
    assert_eq!(
        (&missing["resource"], &missing["status"]),
        (&json!("Person:cy"), &json!("MISSING"))
    );
    let tried = json!({
        "operation": "AddPersonToResourceRole", "declared": true, "outcome": "NOT_GRANTED",
        "entries": [], "omitted_entries": 0,
    });
    assert_eq!(missing["alternatives"][1], tried);
    let (status, told) = served
        .json(&[
            "delegation",
            "revoke",
            "Report/Viewer",
            "--as",
            "person:bo",
            "--from",
            "person:cy",
            "--in",
            "zurich",
            "--explain",
        ])
        .await;
    let object = &told["resource"]["objects"][0];
    assert_eq!((&object["type"], &object["location"]), (&json!("Report"), &json!("zurich")));
    assert_eq!((status, &told["reason"]), (3, &json!("MISSING_ON_BOTH")));
    served.stop().await;
}

#[tokio::test]
async fn the_new_facts_are_read_changed_and_exported() {
    let served = Served::start_with(FAMILIES).await;
    assert_eq!(
        served.ctl(&["list", "facts", "shares"]).await,
        Ran::said(
            "Computer:web-07 with person:ana        view\n\
             resource_group:web-tier with group:hr  modify\n"
        )
    );
    assert_eq!(
        served.ctl(&["get", "share", "Computer:web-07 with person:ana"]).await,
        Ran::said(
            "share Computer:web-07 with person:ana  revision 1\n  to     person:ana\n  on     Computer:web-07\n  level  view\n"
        )
    );
    let eligible = "eligible of person:bo for local-admin in zurich";
    let (_, told) = served.json(&["get", "eligibility", eligible]).await;
    let fact = json!({
        "to": "person:bo", "level": "local-admin", "in": "zurich", "kind": "eligible",
        "valid_until": "2040-01-01T00:00:00Z",
    });
    assert_eq!((&told["name"], &told["fact"]), (&json!(eligible), &fact));
    let (_, told) = served.json(&["export"]).await;
    served.file("policy.json", &told["bundle"].to_string());
    let same = Ran::said("nothing to change: the policy is so already, at revision 1\n");
    assert_eq!(served.ctl(&["apply", "policy.json", "--replace"]).await, same);
    let changed = served.ctl(&["export"]).await.out;
    let changed = changed
        .replace("level: view}", "level: modify}")
        .replace("max_session: 4h", "max_session: 5h")
        .replace("default: true", "default: false");
    served.file("changed.yaml", &changed);
    assert_eq!(
        served.ctl(&["apply", "changed.yaml", "--replace"]).await,
        Ran::said(
            "\
~ share Computer:web-07 with person:ana  level: view -> modify
~ psm settings web-07  max_session: 4h -> 5h
0 created, 2 changed, 0 removed; revision 2
"
        )
    );
    served.stop().await;
}
