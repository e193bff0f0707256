//! The sidecar: what a route asks stands in Envoy's own configuration.

use crate::{ANA, BO, Case, World, hold, tokens};

#[tokio::test(flavor = "multi_thread")]
async fn a_route_of_envoys_own_says_what_it_asks() {
    let world = World::with("sidecar.yaml", 10001, "sidecar-gateway.yaml", &[]).await;
    let (ana, bo) = (Some(ANA.as_str()), Some(BO.as_str()));
    let cases: &[Case<'_>] = &[
        ("GET", "/healthz", None, (200, "GET /healthz")),
        ("GET", "/plan", ana, (200, "GET /plan")),
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
