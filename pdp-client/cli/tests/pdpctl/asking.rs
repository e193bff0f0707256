//! `check`, `explain`, `health`, and servers that are not there.

use serde_json::json;

use crate::served::{Ran, Served, ctl};

#[tokio::test]
async fn the_exit_status_tells_the_effect() {
    let served = Served::start().await;
    let asked = |status, out: &str| Ran { status, out: out.to_owned(), err: String::new() };
    assert_eq!(
        served.ctl(&["check", "person:ana", "View", "Report:absence"]).await,
        asked(0, "ALLOW GRANTED  person:ana, operation View, Report:absence  revision 1\n")
    );
    assert_eq!(
        served.ctl(&["check", "person:ana", "Delete", "Report:absence"]).await,
        asked(1, "DENY EXPLICIT_DENY  person:ana, operation Delete, Report:absence  revision 1\n")
    );
    assert_eq!(
        served.ctl(&["check", "person:nobody", "right:ReadData", "Report:absence"]).await,
        asked(
            1,
            "DENY UNKNOWN_SUBJECT  person:nobody, right ReadData, Report:absence  revision 1\n"
        )
    );
    let dual = ["check", "person:ana", "View", "Report:absence", "--counterpart", "Person:bo"];
    assert_eq!(
        served.ctl(&dual).await,
        asked(
            3,
            "REQUIRES_APPROVAL MISSING_ON_COUNTERPART  person:ana, operation View, Report:absence, \
             counterpart Person:bo  revision 1\n"
        )
    );
    assert_eq!(served.ctl(&[&dual[..], &["--no-routing"]].concat()).await.status, 1);
    assert_eq!(
        served.json(&["check", "person:ana", "--right", "ReadData", "Report:absence"]).await,
        (0, json!({"effect": "ALLOW", "reason": "GRANTED", "revision": 1}))
    );
    served.stop().await;
}

#[tokio::test]
async fn an_explanation_is_a_tree() {
    let served = Served::start().await;
    let ran = served.ctl(&["explain", "person:ana", "View", "Report:absence"]).await;
    let tree = ran.out.split_once("\n\n").unwrap().1;
    assert_eq!(
        tree,
        "\
Report:absence  GRANTED
└─ decides: `a-1` allows it: group:hr has Report/Viewer in europe
   ├─ subject: person:ana counts as group:hr
   │  └─ person:ana is a member of group:hr
   └─ scope: Report:absence is placed in or below europe
      ├─ Report:absence is placed in location:zurich
      └─ location:zurich lies in location:europe
"
    );
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    assert!(ran.out.starts_with("ALLOW GRANTED  person:ana, operation View, Report:absence\n"));

    let coloured = ["--color", "always", "explain", "person:ana", "Delete", "Report:absence"];
    let ran = served.ctl(&coloured).await;
    assert_eq!(ran.status, 1);
    assert!(ran.out.starts_with("\u{1b}[1m\u{1b}[31mDENY EXPLICIT_DENY\u{1b}[0m"), "{}", ran.out);
    served.stop().await;
}

#[tokio::test]
async fn an_explanation_as_json_names_every_fact() {
    let served = Served::start().await;
    let (status, mut told) =
        served.json(&["explain", "person:ana", "View", "Report:absence"]).await;
    assert!(told["evaluated_at"].take().is_string());
    let entry = json!({
        "assignment": {"id": "a-1", "to": "group:hr", "level": "Report/Viewer", "in": "europe"},
        "qualifier": "allowed",
        "standing": "DECIDING",
        "subject_path": [{"kind": "MEMBER_OF", "from": "person:ana", "to": "group:hr"}],
        "coverage": {
            "relation": [],
            "placement": [
                {"kind": "PLACED_IN", "from": "Report:absence", "to": "location:zurich"},
                {"kind": "LOCATION_PARENT", "from": "location:zurich", "to": "location:europe"},
            ],
        },
    });
    let side = json!({
        "object": "Report:absence",
        "outcome": "GRANTED",
        "entries": [entry],
        "omitted_entries": 0,
        "granting_levels": [],
        "near_misses": [],
    });
    let whole = json!({
        "effect": "ALLOW", "reason": "GRANTED", "revision": 1, "evaluated_at": null, "sides": [side],
    });
    assert_eq!((status, told), (0, whole));

    let (status, told) = served.json(&["explain", "person:bo", "View", "Report:absence"]).await;
    let miss = json!({
        "assignment": {"id": "a-1", "to": "group:hr", "level": "Report/Viewer", "in": "europe"},
        "gap": "ASSIGNEE",
        "subject_path": [],
    });
    assert_eq!((status, &told["sides"][0]["near_misses"]), (1, &json!([miss])));
    assert_eq!(told["sides"][0]["granting_levels"], json!(["Report/Viewer"]));
    served.stop().await;
}

#[tokio::test]
async fn what_cannot_be_asked_is_told_and_is_no_answer() {
    let served = Served::start().await;
    let revision = "error: revision 9 has not arrived; the policy is at revision 1\n";
    let question = ["check", "person:ana", "View", "Report:absence"];
    let late = [&question[..], &["--at-least", "9", "--timeout", "300ms"]].concat();
    let ran = served.ctl(&late).await;
    let gave_up = format!("error: {} did not answer within 0.3 s\n", served.address());
    assert!(ran.err == revision || ran.err.starts_with(&gave_up), "{ran:?}");
    assert_eq!((ran.status, ran.out.as_str()), (2, ""));

    assert_eq!(
        served.ctl(&[&question[..], &["--tenant", "nix"]].concat()).await,
        Ran::failed(
            "error: tenant `nix` does not exist\nhint: `pdpctl tenant list` shows the tenants\n"
        )
    );
    let (status, told) = served.json(&[&question[..], &["--tenant", "nix"]].concat()).await;
    let error = json!({"error": {
        "code": "NOT_FOUND",
        "message": "tenant `nix` does not exist",
        "reason": "UNKNOWN_TENANT",
        "metadata": {"tenant": "nix"},
    }});
    assert_eq!((status, told), (2, error));
    assert_eq!(
        served.ctl(&["check", "ana", "View", "Report:absence"]).await,
        Ran::failed(
            "error: SUBJECT: `ana` does not name a subject; write `person:ID` or `account:ID`\n"
        )
    );
    served.stop().await;
}

#[tokio::test]
async fn health_is_asked_of_the_server_and_its_services() {
    let served = Served::start().await;
    let address = served.address().to_owned();
    assert_eq!(served.ctl(&["health"]).await, Ran::said(format!("SERVING  {address}\n")));
    let service = "pdp.v1.PolicyService";
    assert_eq!(
        served.ctl(&["health", service, "--wait"]).await,
        Ran::said(format!("SERVING  {address} {service}\n"))
    );
    assert_eq!(served.json(&["health"]).await, (0, json!({"service": "", "status": "SERVING"})));
    assert_eq!(
        served.ctl(&["health", "nix"]).await,
        Ran::failed("error: SERVICE: the server has no service `nix`\n")
    );
    served.stop().await;
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let here = std::env::temp_dir();
    // A port that was just free: bound and let go again.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ran = ctl(&here, &["--server", &free.to_string(), "health"]);
    let first = format!("error: cannot reach http://{free}: connection refused");
    assert_eq!((ran.status, ran.err.lines().next()), (2, Some(first.as_str())));
    assert!(ran.err.contains("\nhint: start a server with"));
    let wait = ["--server", &free.to_string(), "--timeout", "200ms", "health", "--wait"];
    let ran = ctl(&here, &wait);
    assert_eq!((ran.status, ran.err.lines().next()), (2, Some(first.as_str())));

    let ran = ctl(&here, &["--server", "ftp://pdp:7070", "health"]);
    let first = "error: `ftp://pdp:7070` is not the address of a server: it does not begin with `http://` or `https://`; write it like `http://127.0.0.1:7070`\n";
    assert_eq!(ran, Ran::failed(first));
}

#[test]
fn wrong_usage_is_an_error_and_help_is_not() {
    let here = std::env::temp_dir();
    let ran = ctl(&here, &["check", "person:ana"]);
    assert_eq!(ran.status, 2);
    assert!(ran.err.contains("Usage: pdpctl check [OPTIONS] SUBJECT PERMISSION RESOURCE"));
    assert_eq!(ctl(&here, &["chekc"]).status, 2);
    let ran = ctl(&here, &["health", "--timeout", "soon"]);
    assert!(ran.err.contains("`soon` is not a time; write it like `500ms`, `10s` or `2m`"));
    let ran = ctl(&here, &["--help"]);
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    assert!(ran.out.contains("3  REQUIRES_APPROVAL"));
    assert_eq!(ctl(&here, &["--version"]).out, concat!("pdpctl ", env!("CARGO_PKG_VERSION"), "\n"));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = ctl(&here, &["completions", shell]);
        assert!(ran.status == 0 && ran.out.contains("explain"), "{shell}");
    }
}
