//! `apply --on-behalf-of`.

use serde_json::json;

use crate::families::FAMILIES;
use crate::served::{Ran, Served};

const GRANT: &str =
    "assignments: [{id: g-1, to: person:cy, level: Report/Viewer, on: 'Report:absence'}]";

const MIXED: &str = "\
people: [{id: dee}]
assignments:
  - {id: g-1, to: person:cy, level: Report/Viewer, on: 'Report:absence'}
  - {id: g-2, to: person:ana, level: Report/Viewer, on: 'Report:absence'}
shares: [{to: person:cy, on: 'Computer:web-07', level: view}]
";

#[tokio::test]
async fn what_the_person_may_hand_out_is_applied_for_them() {
    let served = Served::start_with(FAMILIES).await;
    let line = "+ assignment g-1  person:cy has Report/Viewer on Report:absence\n";
    let bo = ["apply", "-", "--on-behalf-of", "person:bo"];
    assert_eq!(
        served.ctl_with(&[&bo[..], &["--dry-run"]].concat(), GRANT).await,
        Ran::said(format!(
            "{line}dry run: would be 1 created, 0 changed, 0 removed, on behalf of person:bo; nothing was changed, revision 1\n"
        ))
    );
    assert_eq!(
        served.ctl_with(&bo, GRANT).await,
        Ran::said(format!(
            "{line}1 created, 0 changed, 0 removed, on behalf of person:bo; revision 2\n"
        ))
    );
    served.file("grant.yaml", GRANT);
    let (_, told) = served.json(&["apply", "grant.yaml", "--on-behalf-of", "person:bo"]).await;
    assert_eq!((&told["on_behalf_of"], &told["total_changes"]), (&json!("person:bo"), &json!(0)));
    let share = "shares: [{to: person:cy, on: 'Computer:web-07', level: view}]";
    let ran = served.ctl_with(&bo, share).await;
    assert!(ran.out.starts_with("+ share Computer:web-07 with person:cy  view\n"), "{ran:?}");
    served.stop().await;
}

#[tokio::test]
async fn what_the_person_may_not_change_is_told_one_by_one() {
    let served = Served::start_with(FAMILIES).await;
    let before = served.ctl(&["export"]).await;
    let ana = ["apply", "-", "--on-behalf-of", "person:ana"];
    assert_eq!(
        served.ctl_with(&ana, MIXED).await,
        Ran::failed(
            "\
error: person:ana may not make these changes, as of revision 1; nothing was changed
  person `dee`, created: only assignments and shares are changed on behalf of a person
  assignment `g-1`, created: REQUIRES_APPROVAL MISSING_ON_RECIPIENT; could be made by person:bo
  assignment `g-2`, created: DENY SELF_DELEGATION; nobody could make it
  share `Computer:web-07 with person:cy`, created: DENY LEVEL_TOO_LOW
hint: `pdpctl delegation ... --explain` says what the person lacks; who may approve can apply it themselves
"
        )
    );
    served.file("mixed.yaml", MIXED);
    let (status, told) =
        served.json(&["apply", "mixed.yaml", "--on-behalf-of", "person:ana"]).await;
    let error = &told["error"];
    assert_eq!((status, &error["code"]), (2, &json!("PERMISSION_DENIED")));
    assert_eq!(error["reason"], "DELEGATION_REFUSED");
    let refused = json!({
        "kind": "assignment", "name": "g-1", "change": "created", "effect": "REQUIRES_APPROVAL",
        "reason": "MISSING_ON_RECIPIENT", "approvers": ["person:bo"], "total_approvers": 1,
    });
    assert_eq!(error["refused"][1], refused);
    let told = "error: person:nobody may make no changes, as of revision 1: DENY UNKNOWN_SUBJECT; nothing was changed\n";
    let nobody = ["apply", "-", "--on-behalf-of", "person:nobody"];
    assert_eq!(served.ctl_with(&nobody, GRANT).await, Ran::failed(told));
    let (_, told) = served.json(&["apply", "mixed.yaml", "--on-behalf-of", "person:nobody"]).await;
    let decision = json!({"effect": "DENY", "reason": "UNKNOWN_SUBJECT"});
    assert_eq!(told["error"]["decision"], decision);
    assert_eq!(served.ctl(&["export"]).await, before);
    served.stop().await;
}
