//! The sidecar: what a route asks stands in Envoy's own configuration.

use crate::caller::{Call, Caller};
use crate::{ANA, BO, Case, World, hold, tokens};

#[tokio::test(flavor = "multi_thread")]
async fn a_route_of_envoys_own_says_what_it_asks() {
    let world = World::with("sidecar.yaml", 10001, "sidecar-gateway.yaml", &[]).await;
    let (ana, bo) = (Some(ANA.as_str()), Some(BO.as_str()));
    let cases: &[Case<'_>] = &[
        ("GET", "/healthz", None, (200, "GET /healthz")),
        ("HEAD", "/healthz", None, (200, "")),
        ("DELETE", "/healthz", None, (403, "NO_ROUTE")),
        ("GET", "/plan", ana, (200, "GET /plan")),
        ("HEAD", "/plan", ana, (200, "")),
        // Who may read may not do everything else.
        ("DELETE", "/plan", ana, (403, "NO_ROUTE")),
        ("PUT", "/plan", ana, (403, "NO_ROUTE")),
        ("DELETE", "/budget", ana, (403, "NO_ROUTE")),
        ("GET", "/plan", bo, (403, "NOT_GRANTED")),
        ("GET", "/plan", None, (401, "NO_SUBJECT")),
        ("POST", "/budget", ana, (200, "POST /budget")),
        ("POST", "/budget", bo, (403, "NOT_GRANTED")),
        ("POST", "/budget", Some(tokens::FORGED), (401, "Jwt verification fails")),
        // A mistake of the configuration is not for clients to know.
        ("GET", "/elsewhere", ana, (503, "")),
        ("GET", "/other", ana, (403, "NO_ROUTE")),
        ("GET", "/other", None, (403, "NO_ROUTE")),
    ];
    hold(&world, "sidecar", cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_without_a_question_brings_nothing_under_our_names() {
    let world = World::with("sidecar.yaml", 10001, "sidecar-gateway.yaml", &[]).await;
    let smuggled = [("x-pdp-subject", "person:root"), ("x-pdp-revision", "9"), ("x-mine", "stays")];
    for client in [Caller::http_1(), Caller::http_2()] {
        let call = Call { headers: &smuggled, ..Call::get("/healthz", None) };
        let reply = client.send(world.envoy.address, call).await;
        assert_eq!((reply.status, reply.said()), (200, "GET /healthz"));
        assert!(reply.arrived("x-pdp-subject").is_empty(), "{reply:?}");
        assert!(reply.arrived("x-pdp-revision").is_empty(), "{reply:?}");
        assert_eq!(reply.arrived("x-mine"), ["stays"]);
    }
}
