//! No answer is not a yes: a server that is gone, and one that takes its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::behind::{api, silent};
use crate::caller::{Call, Caller};
use crate::proxy::{Deployed, Envoy};
use crate::{ANA, World};

/// How often a slow server is asked until a question reaches it.
const MOST_TRIES: u32 = 100;

#[tokio::test(flavor = "multi_thread")]
async fn without_the_server_nothing_passes() {
    let World { envoy, pdp, _api: api } = World::start().await;
    let clients = [Caller::http_1(), Caller::http_2()];
    for client in &clients {
        let before = client.send(envoy.address, Call::get("/reports/budget", Some(&ANA))).await;
        assert_eq!(before.status, 200);
    }
    pdp.stop().await;
    for client in &clients {
        for path in ["/reports/budget", "/reports/salaries", "/healthz"] {
            let reply = client.send(envoy.address, Call::get(path, Some(&ANA))).await;
            assert_eq!((reply.status, reply.body.as_str()), (503, ""), "{path}");
        }
        // Who has no good token does not get as far.
        let forged = Call::get("/healthz", Some(crate::tokens::FORGED));
        assert_eq!(client.send(envoy.address, forged).await.status, 401);
    }
    drop(api);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_server_is_no_yes() {
    let asked = Arc::new(AtomicU32::new(0));
    let (silent, api) = (silent(Arc::clone(&asked)).await, api().await);
    let deployed = Deployed {
        file: "envoy.yaml",
        listens: 10000,
        pdp: silent.address,
        upstream: api.address,
        in_time: true,
        changed: &[],
    };
    let envoy = Envoy::start(&deployed).await;
    for client in [Caller::http_1(), Caller::http_2()] {
        // Envoy's own time limit ends the request: the answer never comes. On a busy machine it may
        // end before the question has got through.
        let before = asked.load(Ordering::SeqCst);
        for _ in 0..MOST_TRIES {
            let reply = client.send(envoy.address, Call::get("/reports/budget", Some(&ANA))).await;
            assert_eq!((reply.status, reply.body.as_str()), (503, ""));
            if asked.load(Ordering::SeqCst) > before {
                break;
            }
        }
        assert!(asked.load(Ordering::SeqCst) > before, "the server was never asked");
    }
}
