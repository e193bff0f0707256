//! `session`.

use serde_json::{Value, json};

use crate::families::FAMILIES;
use crate::served::{Ran, Served};

const OPEN: [&str; 7] =
    ["session", "open", "person:ana", "local-admin", "Computer:web-07", "--key", "k-1"];

/// A server with the policy of the families, whose computer makes no accounts.
async fn served() -> Served {
    Served::start_with(FAMILIES).await
}

/// Opens the session, and says its id.
async fn opened(served: &Served) -> String {
    let (status, told) = served.json(&OPEN).await;
    assert_eq!(status, 0, "{told:#}");
    told.pointer("/session/id").unwrap().as_str().unwrap().to_owned()
}

fn lines(ran: &Ran) -> Vec<String> {
    ran.out.lines().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_session_lives_from_opening_to_closing() {
    let served = served().await;
    let ran = served.ctl(&OPEN).await;
    let told = lines(&ran);
    let decision = "ALLOW GRANTED  person:ana, session local-admin, Computer:web-07  revision 1";
    assert_eq!((ran.status, told[0].as_str(), told.len()), (0, decision, 6), "{ran:?}");
    assert!(told[1].starts_with("  session    ") && told[2].starts_with("  not after  "));
    let rest = [
        "  group      group:web-07/Administrators",
        "  account    account:corp/ana (EXISTING)",
        "  on end     REMOVE_FROM_GROUP",
    ];
    assert_eq!(told[3..], rest);

    let again = served.ctl(&OPEN).await;
    assert_eq!(lines(&again)[..6], told, "the same session");
    assert!(again.out.ends_with("  the session was opened before, with the same key\n"));
    let (_, by_key) = served.json(&["session", "get", "--key", "k-1"]).await;
    let session = &by_key["session"];
    let id = session["id"].as_str().unwrap();
    assert_eq!(told[1], format!("  session    {id}"));
    for (key, value) in [
        ("state", json!("OPEN")),
        ("person", json!("ana")),
        ("computer", json!("web-07")),
        ("level", json!("local-admin")),
        ("group", json!("web-07/Administrators")),
        ("account", json!("corp/ana")),
        ("account_mode", json!("EXISTING")),
        ("jit", json!(false)),
        ("delete_account", json!(false)),
        ("request_key", json!("k-1")),
        ("revocations", json!([])),
    ] {
        assert_eq!(session[key], value, "{key}");
    }
    assert_eq!(served.json(&["session", "get", id]).await, (0, by_key.clone()));

    let renewed = served.ctl(&["session", "renew", id]).await;
    let decision = format!("ALLOW GRANTED  session {id}  revision 1");
    assert_eq!((renewed.status, &lines(&renewed)[0]), (0, &decision));

    let closed = served.ctl(&["session", "close", id]).await;
    assert!(closed.out.starts_with(&format!("session {id}  ENDED\n")), "{closed:?}");
    assert!(closed.out.contains("(CLOSED)\n") && closed.out.contains("  OUTSTANDING\n"));
    let (status, told) = served.json(&["session", "renew", id]).await;
    assert_eq!((status, told.get("effect"), &told["session"]["end"]), (1, None, &json!("CLOSED")));
    let late = served.ctl(&OPEN).await;
    assert_eq!(late.status, 1, "the key is used up: {late:?}");
    assert!(late.out.contains("(CLOSED)\n"), "{late:?}");
    served.stop().await;
}

#[tokio::test]
async fn what_opens_nothing_says_why_by_its_status() {
    let served = served().await;
    let open =
        |person, level, key| ["session", "open", person, level, "Computer:web-07", "--key", key];
    let ran = served.ctl(&open("person:cy", "local-admin", "k")).await;
    let told = "DENY NOT_ELIGIBLE  person:cy, session local-admin, Computer:web-07  revision 1\n";
    assert_eq!((ran.status, ran.out.as_str()), (1, told));
    let (status, told) = served.json(&open("person:ana", "domain-admin", "k")).await;
    let denied = json!({
        "effect": "DENY", "reason": "LEVEL_NOT_MAPPED", "revision": 1, "replayed": false,
    });
    assert_eq!((status, told), (1, denied));
    served.file("owns.yaml", "accounts: [{id: corp/bo, owner: bo, computer: web-07}]");
    assert_eq!(served.ctl(&["apply", "owns.yaml"]).await.status, 0);
    let ran = served.ctl(&open("person:bo", "local-admin", "k")).await;
    assert_eq!(ran.status, 3, "{ran:?}");
    assert!(ran.out.starts_with("REQUIRES_APPROVAL NEEDS_APPROVAL  person:bo"), "{ran:?}");
    let ran = served.ctl(&open("person:cy", "none", "k")).await;
    assert_eq!(
        (ran.status, lines(&ran).len()),
        (0, 3),
        "what was denied left the key free: {ran:?}"
    );
    served.stop().await;
}

#[tokio::test]
async fn wrong_input_is_an_error_with_a_reason() {
    let served = served().await;
    opened(&served).await;
    let other = ["session", "open", "person:cy", "none", "Computer:web-07", "--key", "k-1"];
    let (status, told) = served.json(&other).await;
    assert_eq!((status, &told["error"]["reason"]), (2, &json!("REQUEST_KEY_REUSED")));
    let ran = served.ctl(&["session", "close", "nix"]).await;
    assert!(ran.err.starts_with("error: ") && ran.err.contains("`nix`"), "{ran:?}");
    assert!(ran.err.contains("\nhint: `pdpctl session list` shows"), "{ran:?}");
    for line in [
        &["session", "renew", "nix"][..],
        &["session", "get", "nix"],
        &["session", "get", "--key", "nix"],
    ] {
        let (status, told) = served.json(line).await;
        assert_eq!((status, &told["error"]["reason"]), (2, &json!("UNKNOWN_SESSION")), "{line:?}");
    }
    let keyless = ["session", "open", "person:ana", "none", "Computer:web-07"];
    let ran = served.ctl(&keyless).await;
    assert!(ran.status == 2 && ran.err.contains("--key <KEY>"), "{ran:?}");
    let ran = served.ctl(&[
        "session",
        "open",
        "account:corp/ana",
        "none",
        "Computer:web-07",
        "--key",
        "k",
    ]);
    let told = "error: PERSON: `account:corp/ana` is no person; write `person:ID`\n";
    assert_eq!(ran.await, Ran::failed(told));
    let ran = served.ctl(&["session", "end", "--note", "why"]).await;
    assert!(ran.status == 2 && ran.err.contains("required arguments"), "{ran:?}");
    let nowhere = ["session", "list", "--tenant", "nix"];
    let (status, told) = served.json(&nowhere).await;
    assert_eq!((status, &told["error"]["reason"]), (2, &json!("UNKNOWN_TENANT")));
    let ran = served.ctl(&["session", "watch", "--count", "1", "--tenant", "nix"]).await;
    assert!(ran.status == 2 && ran.err.contains("tenant `nix` does not exist"), "{ran:?}");
    served.stop().await;
}

#[tokio::test]
async fn sessions_are_listed_and_ended() {
    let served = served().await;
    let id = opened(&served).await;
    let plain = ["session", "open", "person:bo", "none", "Computer:web-07", "--key", "k-2"];
    assert_eq!(served.ctl(&plain).await.status, 0);
    let listed = served.ctl(&["session", "list"]).await;
    let told = lines(&listed);
    assert_eq!(told.len(), 2, "{listed:?}");
    let first = format!("{id}  person:ana  local-admin  Computer:web-07  OPEN  until ");
    assert!(told[0].starts_with(&first), "{listed:?}");
    assert!(told[1].contains("  person:bo   none         Computer:web-07  OPEN  until "));
    let (_, told) = served.json(&["session", "list", "--person", "person:bo"]).await;
    assert_eq!(told["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(told["sessions"][0]["person"], "bo");
    let elsewhere = ["session", "list", "--computer", "Computer:db-01"];
    assert_eq!(served.json(&elsewhere).await, (0, json!({"sessions": []})));

    let end = ["session", "end", "--level", "local-admin", "--computer", "Computer:web-07"];
    let with_note = [&end[..], &["--note", "a drill"]].concat();
    assert_eq!(served.ctl(&with_note).await, Ran::said("ended 1 session\n"));
    assert_eq!(served.json(&end).await, (0, json!({"ended": 0})));
    let outstanding = served.ctl(&["session", "list", "--state", "ended", "--outstanding"]).await;
    assert!(outstanding.out.starts_with(&format!("{id}  ")), "{outstanding:?}");
    assert!(
        outstanding.out.contains("  FORCED  at ") && outstanding.out.ends_with("  1 outstanding\n")
    );
    let (_, open) = served.json(&["session", "list", "--state", "open"]).await;
    assert_eq!(open["sessions"][0]["person"], "bo");

    let history = served.ctl(&["session", "history", &id]).await;
    let told: Vec<_> = lines(&history).iter().map(|line| what(line)).collect();
    assert_eq!(told.len(), 3, "{history:?}");
    assert!(told[0].starts_with("opened, level local-admin, account:corp/ana in group:web-07/"));
    assert!(told[1].starts_with("ended at ") && told[1].ends_with(" (FORCED): a drill"));
    assert_eq!(told[2], "REMOVE_FROM_GROUP of account:corp/ana is due");
    served.stop().await;
}

/// What a line of the history says of its session.
fn what(line: &str) -> String {
    line.split_once(" on Computer:web-07: ").unwrap().1.to_owned()
}

#[tokio::test]
async fn the_history_holds_sessions_only() {
    let served = served().await;
    let id = opened(&served).await;
    let (status, told) = served.json(&["session", "history"]).await;
    let records = told["records"].as_array().unwrap();
    assert_eq!((status, records.len()), (0, 1), "{told:#}");
    for (key, value) in [
        ("person", json!("person:ana")),
        ("kind", json!("session-opened")),
        ("session", json!(id)),
        ("computer", json!("web-07")),
        ("level", json!("local-admin")),
        ("account", json!("corp/ana")),
        ("group", json!("web-07/Administrators")),
    ] {
        assert_eq!(records[0][key], value, "{key}");
    }
    let of = |option, value| ["session", "history", option, value];
    for narrowed in [of("--person", "person:ana"), of("--computer", "Computer:web-07")] {
        assert_eq!(served.json(&narrowed).await.1, told);
    }
    for other in [
        of("--person", "person:bo"),
        of("--computer", "Computer:db-01"),
        of("--from", "9999-01-01T00:00:00Z"),
        of("--until", "2020-01-01T00:00:00Z"),
    ] {
        assert_eq!(served.json(&other).await.1, json!({"records": []}), "{other:?}");
    }
    let opened = ["audit", "list", "--kind", "session-opened"];
    assert_eq!(served.json(&opened).await.1, told);
    served.stop().await;
}

/// A program that a watch may run.
#[cfg(unix)]
fn program(served: &Served, name: &str, script: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let path = served.file(name, &format!("#!/bin/sh\n{script}"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[cfg(unix)]
#[tokio::test]
async fn work_is_done_by_a_program_until_it_succeeds() {
    let served = served().await;
    let id = opened(&served).await;
    assert_eq!(served.ctl(&["session", "close", &id]).await.status, 0);
    let script = "\
echo \"$PDP_KIND $PDP_ACCOUNT $PDP_GROUP $PDP_COMPUTER $PDP_SESSION $# $PDP_SERVER [$PDP_TENANT]\"
if [ \"$PDP_FAILURES\" = 0 ]; then echo trying >&2; echo 'no; rm -rf $HOME' >&2; exit 3; fi
";
    let program = program(&served, "work.sh", script);
    let watch = ["session", "watch", "--exec", &program, "--ack", "--count"];
    let ran = served.ctl(&[&watch[..], &["1"]].concat()).await;
    let told = lines(&ran);
    let item =
        format!("{id}:group  REMOVE_FROM_GROUP account:corp/ana group:web-07/Administrators");
    assert_eq!((ran.status, told.len()), (1, 2), "{ran:?}");
    assert_eq!(told[0], format!("{item}  Computer:web-07  session {id}"));
    let failed = format!("{program}: exit status: 3: no; rm -rf $HOME");
    assert_eq!(told[1], format!("{id}:group  FAILED: {failed}"));
    let variables = format!(
        "REMOVE_FROM_GROUP corp/ana web-07/Administrators web-07 {id} 0 {} []\n",
        served.address()
    );
    assert_eq!(ran.err, variables);

    let (_, told) = served.json(&["session", "get", &id]).await;
    let item = &told["session"]["revocations"][0];
    assert_eq!((&item["failures"], &item["last_failure"]), (&json!(1), &json!(failed)));
    assert!(item["not_before"].is_string(), "{item}");

    let again = [&["--output", "json"], &watch[..], &["1"]].concat();
    let ran = served.ctl(&again).await;
    let events: Vec<Value> =
        lines(&ran).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((ran.status, events.len()), (0, 2), "{ran:?}");
    assert_eq!(
        (&events[0]["event"], &events[0]["revocation"]["failures"]),
        (&json!("work"), &json!(1))
    );
    let done = json!({"event": "outcome", "revocation": format!("{id}:group"), "outcome": "DONE"});
    assert_eq!(events[1], done);
    let (_, told) = served.json(&["session", "get", &id]).await;
    assert_eq!(told["session"]["revocations"][0]["state"], "DONE");

    let history = served.ctl(&["session", "history", &id]).await;
    let told: Vec<_> = lines(&history).iter().map(|line| what(line)).collect();
    let work = "REMOVE_FROM_GROUP of account:corp/ana";
    let rest =
        [format!("{work} is due"), format!("{work} failed: {failed}"), format!("{work} is done")];
    assert_eq!(told[2..], rest);
    served.stop().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_program_that_cannot_be_used_leaves_the_work_outstanding() {
    let served = served().await;
    let id = opened(&served).await;
    assert_eq!(served.ctl(&["session", "close", &id]).await.status, 0);
    let missing = ["session", "watch", "--exec", "./missing", "--ack"];
    let ran = served.ctl(&missing).await;
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(ran.err.starts_with("error: --exec: the program cannot be started: "), "{ran:?}");
    let endless = program(&served, "endless.sh", "exec tail -f /dev/null");
    let watch = ["session", "watch", "--exec", &endless, "--ack", "--count", "1", "--lease", "1s"];
    let ran = served.ctl(&watch).await;
    let killed = format!("FAILED: {endless}: did not end within 0.9 s and was killed");
    assert!(ran.status == 1 && ran.out.contains(&killed), "{ran:?}");
    let (_, told) = served.json(&["session", "get", &id]).await;
    let item = &told["session"]["revocations"][0];
    assert_eq!((&item["state"], &item["failures"]), (&json!("OUTSTANDING"), &json!(2)), "{item}");
    served.stop().await;
}
