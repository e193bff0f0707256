//! Paths that could be read two ways, with the settings of `deploy/envoy` and without them: whatever
//! Envoy leaves to the server is refused by it.

use crate::caller::{Caller, send_raw, send_raw_2};
use crate::{ANA, Case, World, hold};

/// What brings paths into one form before anybody looks at them.
const AS_THEY_COME: [(&str, &str); 3] = [
    ("normalize_path: true", "normalize_path: false"),
    ("merge_slashes: true", "merge_slashes: false"),
    (
        "path_with_escaped_slashes_action: REJECT_REQUEST",
        "path_with_escaped_slashes_action: KEEP_UNCHANGED",
    ),
];

/// Bytes that no client sends.
const RAW: [&[u8]; 3] =
    [b"/reports/bud\xffget", b"/reports/\xc0\xae\xc0\xae/budget", b"/reports/bud#get"];

#[tokio::test(flavor = "multi_thread")]
async fn envoy_brings_a_path_into_one_form_or_refuses_it() {
    let world = World::start().await;
    let ana = Some(ANA.as_str());
    let cases: &[Case<'_>] = &[
        // What the server decides about is what the API gets.
        ("GET", "/reports/salaries/../budget", ana, (200, "GET /reports/budget")),
        ("GET", "/reports/./budget", ana, (200, "GET /reports/budget")),
        ("GET", "//reports//budget", ana, (200, "GET /reports/budget")),
        ("GET", "/reports/budget/../salaries", ana, (403, "NOT_GRANTED")),
        ("GET", "/healthz/../reports/salaries", None, (401, "NO_SUBJECT")),
        ("GET", "/reports/%2e%2e/reports/salaries", ana, (403, "NOT_GRANTED")),
        ("GET", "/reports%2fbudget", ana, (400, "")),
        ("GET", "/reports%2Fbudget", ana, (400, "")),
        ("GET", "/reports%5cbudget", ana, (400, "")),
        ("GET", "/reports/%252e%252e/x", ana, (400, "BAD_PATH")),
        ("GET", "/reports/x/..;/budget", ana, (200, "GET /reports/budget")),
        ("GET", "/reports;x/budget", ana, (400, "BAD_PATH")),
        ("GET", "/reports%3Bx/budget", ana, (400, "BAD_PATH")),
        ("GET", "/reports./budget", ana, (400, "BAD_PATH")),
        ("GET", "/reports%20/budget", ana, (400, "BAD_PATH")),
        ("GET", "/reports/budget/..;x=1/salaries", ana, (403, "NOT_GRANTED")),
        ("GET", "/reports/b%zz", ana, (400, "BAD_PATH")),
        ("GET", "/reports/b%ff", ana, (400, "BAD_PATH")),
        ("GET", "/reports/b%0a", ana, (400, "BAD_PATH")),
    ];
    hold(&world, "paths", cases).await;
    for path in RAW {
        let reply = send_raw(world.envoy.address, path, &ANA);
        assert_eq!(reply.status, 400, "{}: {reply:?}", path.escape_ascii());
        let status = send_raw_2(world.envoy.address, path, &ANA);
        assert!(matches!(status, None | Some(400)), "{}: {status:?}", path.escape_ascii());
    }
    // Envoy makes it a slash, for the server and for the API.
    let backslash = send_raw(world.envoy.address, b"/reports\\budget", &ANA);
    assert_eq!((backslash.status, backslash.said()), (200, "GET /reports/budget"));
    assert_eq!(send_raw_2(world.envoy.address, b"/reports\\budget", &ANA), Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_refuses_by_itself_what_envoy_leaves_to_it() {
    let world = World::with("envoy.yaml", 10000, "gateway.yaml", &AS_THEY_COME).await;
    let ana = Some(ANA.as_str());
    let bad = (400, "BAD_PATH");
    let cases: &[Case<'_>] = &[
        ("GET", "/reports/budget", ana, (200, "GET /reports/budget")),
        ("GET", "/reports/bu%64get", ana, (200, "GET /reports/bu%64get")),
        ("GET", "/reports/salaries/../budget", ana, bad),
        ("GET", "/healthz/../reports/salaries", None, bad),
        ("GET", "/reports/%2e%2e/healthz", None, bad),
        ("GET", "/reports/./budget", ana, bad),
        ("GET", "//reports/budget", ana, bad),
        ("GET", "/reports//budget", ana, bad),
        ("GET", "/reports%2fbudget", ana, bad),
        ("GET", "/reports%2Fbudget", ana, bad),
        ("GET", "/reports/..%2fbudget", ana, bad),
        ("GET", "/reports%5cbudget", ana, bad),
        ("GET", "/reports/x/..;/budget", ana, bad),
        ("GET", "/reports;x/budget", ana, bad),
        ("GET", "/healthz;x", None, bad),
        ("GET", "/reports./budget", ana, bad),
        ("GET", "/reports/bud%23get", ana, bad),
        ("GET", "/reports/bud%3Fget", ana, bad),
        ("GET", "/reports/%252e%252e/x", ana, bad),
    ];
    hold(&world, "paths as they come", cases).await;
    for path in RAW {
        let reply = send_raw(world.envoy.address, path, &ANA);
        assert_eq!(reply.status, 400, "{}: {reply:?}", path.escape_ascii());
        let status = send_raw_2(world.envoy.address, path, &ANA);
        assert!(matches!(status, None | Some(400)), "{}: {status:?}", path.escape_ascii());
    }
    let backslash = send_raw(world.envoy.address, b"/reports\\budget", &ANA);
    assert_eq!((backslash.status, backslash.said()), bad);
    assert_eq!(send_raw_2(world.envoy.address, b"/reports\\budget", &ANA), Some(400));
    // NUL: Envoy's own parser takes no such header.
    assert_eq!(send_raw(world.envoy.address, b"/reports/b\0", &ANA).status, 400);
    assert!(matches!(send_raw_2(world.envoy.address, b"/reports/b\0", &ANA), None | Some(400)));
    for client in [Caller::http_1(), Caller::http_2()] {
        let nul = client.try_get(world.envoy.address, "/reports/b%00").await.unwrap();
        assert_eq!((nul.status, nul.said()), bad);
    }
}
