//! `watch`: change sets as they are committed.

use serde_json::{Value, json};

use crate::served::{Ran, Served};

fn lines(ran: &Ran) -> Vec<&str> {
    ran.out.lines().collect()
}

#[tokio::test]
async fn change_sets_are_told_from_a_position_on() {
    let served = Served::start().await;
    let (_, exported) = served.json(&["export"]).await;
    let position = exported["position"].as_str().unwrap().to_owned();
    assert!(position.starts_with("1:") && position.len() == 2 + 64, "{position}");
    let bundle = "{people: [{id: cy}], assignments: [{id: a-3, to: person:cy, level: Report/Viewer, in: zurich}]}";
    assert_eq!(served.ctl_with(&["apply", "-"], bundle).await.status, 0);
    let smaller = "{people: [{id: ana, name: Ana}]}";
    let replaced = served.ctl_with(&["apply", "--replace", "-"], smaller).await;
    assert_eq!(replaced.status, 0, "{replaced:?}");

    let ran = served.ctl(&["watch", "--after", &position, "--count", "2"]).await;
    assert_eq!((ran.status, ran.err.as_str()), (0, "watching from revision 1\n"), "{ran:?}");
    let told = lines(&ran);
    assert!(told[0].starts_with("revision 2  20"), "{ran:?}");
    assert_eq!(
        told[1..3],
        ["= person cy", "= assignment a-3  person:cy has Report/Viewer in zurich"]
    );
    assert!(told[3].starts_with("revision 3  20"), "{ran:?}");
    assert!(told.contains(&"- person cy") && told.contains(&"- assignment a-1"), "{ran:?}");

    let watch = ["--output", "json", "watch", "--after", &position, "--count", "1"];
    let ran = served.ctl(&watch).await;
    let events: Vec<Value> =
        lines(&ran).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0], json!({"event": "current", "revision": 1, "position": position}));
    let committed = &events[1];
    assert_eq!((&committed["event"], &committed["revision"]), (&json!("committed"), &json!(2)));
    assert_eq!(
        committed["changes"][0],
        json!({"kind": "person", "name": "cy", "change": "put", "fact": {"id": "cy"}})
    );
    // What it tells as a position is gone on from.
    let ran = served
        .ctl(&["watch", "--count", "1", "--after", committed["position"].as_str().unwrap()])
        .await;
    assert!(lines(&ran)[0].starts_with("revision 3"), "{ran:?}");
    served.stop().await;
}

#[tokio::test]
async fn what_cannot_be_watched_is_an_error() {
    let served = Served::start().await;
    let ran = served.ctl(&["watch", "--after", "9"]).await;
    assert_eq!(ran.status, 2);
    assert!(
        ran.err.contains("the policy is at revision 1 and has not been at this revision 9"),
        "{ran:?}"
    );
    let ran = served.ctl(&["watch", "--after", "soon"]).await;
    assert!(ran.status == 2 && ran.err.contains("a position is a revision"), "{ran:?}");
    let ran = served.ctl(&["--tenant", "nix", "watch"]).await;
    assert!(ran.status == 2 && ran.err.contains("tenant `nix` does not exist"), "{ran:?}");
    served.stop().await;
}
