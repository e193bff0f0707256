//! `tenant`.

use serde_json::json;

use crate::served::{Ran, Served};

#[tokio::test]
async fn tenants_come_and_go() {
    let served = Served::start().await;
    assert_eq!(
        served.ctl(&["tenant", "create", "acme"]).await,
        Ran::said("created tenant `acme` at revision 0\n")
    );
    assert_eq!(
        served.ctl(&["tenant", "list"]).await,
        Ran::said("acme     revision 0\ndefault  revision 1\n")
    );
    let tenants = json!([
        {"tenant": "acme", "revision": 0},
        {"tenant": "default", "revision": 1},
    ]);
    assert_eq!(served.json(&["tenant", "list"]).await, (0, json!({"tenants": tenants})));
    assert_eq!(
        served.ctl(&["tenant", "create", "acme"]).await,
        Ran::failed("error: tenant `acme` exists already\n")
    );
    assert_eq!(served.json(&["tenant", "delete", "acme"]).await, (0, json!({"tenant": "acme"})));
    let ran = served.ctl(&["tenant", "delete", "acme"]).await;
    assert!(ran.err.starts_with("error: tenant `acme` does not exist\n") && ran.status == 2);
    assert_eq!(
        served.ctl(&["tenant", "delete", "default"]).await,
        Ran::failed("error: tenant `default` cannot be deleted\n")
    );
    served.stop().await;
}
