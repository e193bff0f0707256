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

#[tokio::test]
async fn who_gains_and_who_loses_what_is_told() {
    let served = Served::start().await;
    let grant =
        "{assignments: [{id: a-9, to: person:bo, level: Report/Viewer, on: \"Report:absence\"}]}";
    let without = "{people: [{id: bo, enabled: false}]}";
    let with = "{people: [{id: bo}]}";
    assert_eq!(served.ctl_with(&["apply", "-"], grant).await.status, 0);
    // Bo comes and goes for as long as somebody watches: whenever the watch begins, it sees him do so.
    let watched = |arguments: &'static [&'static str]| {
        let served = &served;
        async move {
            let watching = served.ctl(arguments);
            tokio::pin!(watching);
            for bundle in [without, with].into_iter().cycle() {
                let applying = served.ctl_with(&["apply", "-"], bundle);
                tokio::select! {
                    ran = &mut watching => return ran,
                    applied = applying => assert_eq!(applied.status, 0, "{applied:?}"),
                }
            }
            panic!("it goes on for ever");
        }
    };
    let ran =
        watched(&["watch", "--resource", "Report:absence", "--permission", "View", "--count", "2"]);
    let ran = ran.await;
    assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{ran:?}");
    let told = lines(&ran);
    assert_eq!(told[0], "= person:ana holds operation:View on Report:absence", "{ran:?}");
    assert!(told.iter().any(|line| line.starts_with("2 permissions; revision ")
        || line.starts_with("1 permission; revision ")));
    let lost = "- person:bo lost operation:View on Report:absence (revision ";
    let gained = "+ person:bo gained operation:View on Report:absence (revision ";
    assert!(told.iter().any(|line| line.starts_with(lost)), "{ran:?}");
    assert!(told.iter().any(|line| line.starts_with(gained)), "{ran:?}");

    let ran = watched(&[
        "--output",
        "json",
        "watch",
        "--subject",
        "person:bo",
        "--type",
        "Report",
        "--count",
        "1",
    ]);
    let ran = ran.await;
    let events: Vec<Value> =
        lines(&ran).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0]["event"], json!("state"), "{ran:?}");
    let changed = events.iter().find(|event| event["event"] == json!("changed")).unwrap();
    let changes = changed["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 2, "{changed}");
    for (change, (kind, name)) in changes.iter().zip([("operation", "View"), ("right", "ReadData")])
    {
        let of = ["subject", "kind", "name", "resource"].map(|key| change[key].as_str().unwrap());
        assert_eq!(of, ["person:bo", kind, name, "Report:absence"]);
        assert_ne!(change["before"], change["after"]);
    }
    served.stop().await;
}

#[tokio::test]
async fn permissions_that_cannot_be_watched_are_an_error() {
    let served = Served::start().await;
    for (arguments, says) in [
        (&["watch", "--subject", "ana"][..], "--subject"),
        (&["watch", "--resource", "absence"], "--resource"),
        (&["watch", "--permission", "View"], "goes with --subject or --resource"),
        (&["watch", "--subject", "person:ana", "--after", "1"], "cannot be used with"),
        (
            &["watch", "--subject", "person:ana", "--resource", "Report:absence"],
            "cannot be used with",
        ),
        (&["watch", "--accounts"], "--resource"),
        (&["watch", "--subject", "person:ana", "--type", "1"], "--type"),
        (&["--tenant", "nix", "watch", "--subject", "person:ana"], "tenant `nix` does not exist"),
        (
            &["watch", "--subject", "person:ana", "--permission", "vault:look"],
            "permissions[0].vault_action",
        ),
    ] {
        let ran = served.ctl(arguments).await;
        assert!(ran.status == 2 && ran.err.contains(says), "{arguments:?}: {ran:?}");
    }
    served.stop().await;
}
