//! `gateway explain`: which route takes a request, what that asks, and what comes of it.

use serde_json::json;

use crate::served::{Served, ctl};

const MAPPING: &str = "\
subject:
- {claim: sub, as: 'person:{value}'}
- {claim: [realm, user], payload: other, as: 'person:{value}'}
- {header: X-Caller, as: 'person:{value}'}
routes:
- {name: health, path: /healthz, public: true}
- name: look
  path: /reports/{report}
  methods: [GET]
  permission: View
  resource: 'Report:{report}'
- {path: '/files/{path...}', tenant: files, permission: 'right:ReadData', resource: 'Report:{path}'}
";

#[tokio::test]
async fn a_request_is_followed_to_its_decision() {
    let served = Served::start().await;
    let mapping = served.file("gateway.yaml", MAPPING).display().to_string();
    let explain = ["gateway", "explain", "--config", &mapping];
    let look = [&explain[..], &["--path", "/reports/absence?all", "--claim", "sub=ana"]].concat();
    let ran = served.ctl(&look).await;
    assert_eq!(
        (ran.status, ran.out.as_str()),
        (
            0,
            format!(
                "ALLOW GRANTED  person:ana, operation View, Report:absence  revision 1\n\
                 route       look, /reports/{{report}}, at {mapping}:7\n\
                 subject     person:ana\n\
                 source      claim sub\n\
                 permission  View\n\
                 resource    Report:absence\n"
            )
            .as_str()
        )
    );
    let by_header =
        [&explain[..], &["--path", "/reports/absence", "--header", "X-CALLER: bo"]].concat();
    assert_eq!(
        served.json(&by_header).await,
        (
            1,
            json!({
                "outcome": "ASKED",
                "status": 403,
                "route": {"name": "look", "file": mapping, "line": 7, "path": "/reports/{report}"},
                "subject": "person:bo",
                "source": "header x-caller",
                "permission": "View",
                "resource": "Report:absence",
                "decision": {"effect": "DENY", "reason": "NOT_GRANTED", "revision": 1},
            })
        )
    );
    // Without a tenant in the mapping the gateway asks about the default, whatever the options say.
    let ran = served.ctl(&[&look[..], &["--tenant", "nowhere"]].concat()).await;
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    // A name that can be none is the client's mistake.
    let long = format!("/reports/{}", "x".repeat(300));
    let long = [&explain[..], &["--path", &long, "--claim", "sub=ana"]].concat();
    let (status, said) = served.json(&long).await;
    assert_eq!((status, &said["outcome"], &said["status"]), (1, &json!("REFUSED"), &json!(400)));
    assert_eq!(said["reason"], json!("MALFORMED"));
    let of_operator = ["--path", "/reports/a", "--claim", "sub=ana", "--extension"];
    let long = format!("pdp.resource=Report:{}", "x".repeat(300));
    let ran = served.ctl(&[&explain[..], &of_operator, &[long.as_str()]].concat()).await;
    assert_eq!(ran.status, 2, "{}", ran.out);
    // The mapping's tenant is asked, and there is none of that name.
    let elsewhere = [&explain[..], &["--path", "/files/a/b", "--claim", "sub=ana"]].concat();
    let ran = served.ctl(&elsewhere).await;
    assert_eq!(ran.status, 2);
    assert!(ran.err.contains("`files`"), "{}", ran.err);
    served.stop().await;
}

#[test]
fn what_asks_nothing_needs_no_server() {
    let folder = tempfile::tempdir().unwrap();
    let mapping = folder.path().join("gateway.yaml");
    std::fs::write(&mapping, MAPPING).unwrap();
    let mapping = mapping.display().to_string();
    let explain = ["gateway", "explain", "--config", &mapping, "--path"];
    for (more, status, out) in [
        (&["/healthz"][..], 0, "PUBLIC  passes without a question\nroute  health"),
        (&["/reports/a"], 1, "REFUSED NO_SUBJECT  with status 401: nothing tells who asks\n"),
        (
            &["/reports/../a"],
            1,
            "REFUSED BAD_PATH  with status 400: the path holds a dot segment\n",
        ),
        (&["/reports/a", "--claim", "realm.user=ana"], 1, "REFUSED NO_SUBJECT"),
        (&["/reports/a", "--claim", "[realm, user]=ana"], 1, "REFUSED NO_SUBJECT"),
        (&["/reports/a", "--claim", "other:realm.user=ana"], 1, "REFUSED NO_SUBJECT"),
        (
            &["/reports/a", "--claim", "other:realm=ana", "--header", "x-caller: bo"],
            1,
            "REFUSED NO",
        ),
        (
            &["/reports/a", "--claim", "other:[realm, user]=ana", "--offline"],
            0,
            "ASKS  person:ana, operation View",
        ),
        (&["/reports/a", "--method", "PUT"], 1, "REFUSED NO_ROUTE  with status 403: no route"),
        (&["/reports/a", "--extension", "pdp.x=1"], 1, "REFUSED BAD_EXTENSION  with status 403"),
        (
            &["/files/a/b", "--claim", "sub=ana", "--offline"],
            0,
            "ASKS  person:ana, right ReadData, Report:a/b\nroute       /files/{path...}, at ",
        ),
    ] {
        let ran = ctl(folder.path(), &[&explain[..], more].concat());
        assert_eq!((ran.status, ran.err.as_str()), (status, ""), "{more:?} {}", ran.out);
        assert!(ran.out.starts_with(out), "{more:?} {}", ran.out);
    }
    std::fs::write(&mapping, "routes:\n- {path: x, public: true}\n").unwrap();
    let ran = ctl(folder.path(), &[&explain[..], &["/"]].concat());
    assert_eq!(ran.status, 2);
    assert!(ran.err.contains("gateway.yaml:2:10: routes[0].path: `x` is no path"), "{}", ran.err);
}
