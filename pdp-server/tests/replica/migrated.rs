//! From a store of its own to a log that servers share, to another etcd, and back.

use std::path::Path;

use pdp_proto::v1::{self, Effect};
use pdp_server::clock::Clock;
use tempfile::TempDir;

use crate::child::pdp_server;
use crate::etcd::Etcd;
use crate::served::{Served, folder, put_person, settings};
use crate::{agree, audit, effect, replica};

/// Runs a command on a data folder: what it said, or complained of.
fn run(command: &str, folder: &Path, etcd: Option<&Etcd>) -> Result<String, String> {
    let mut program = pdp_server();
    program.arg(command).arg("--data").arg(folder.join("data"));
    if let Some(etcd) = etcd {
        program.args(["--etcd-endpoints", &etcd.endpoints()]);
    }
    let output = program.output().unwrap();
    let said = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(said(output.stdout)) } else { Err(said(output.stderr)) }
}

/// A server that shares no log.
async fn alone(folder: &TempDir) -> Served {
    Served::with_clock(settings(folder.path()), Clock::system()).await
}

/// The end of the audit of another tenant.
async fn audit_of(served: &Served, tenant: &str) -> (u64, Vec<u8>) {
    let request = v1::AuditServiceVerifyRequest { tenant: tenant.into(), of_server: false };
    let verified = served.audit().verify(request).await.unwrap().into_inner();
    assert_eq!(verified.broken, None);
    (verified.records, verified.head)
}

async fn create(served: &Served, tenant: &str) {
    let request = v1::TenantServiceCreateRequest { tenant: tenant.to_owned() };
    served.tenants().create(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_its_own_begins_a_log_with_all_of_its_history_and_leaves_with_it() {
    let (one, other) = (folder(), folder());
    let served = alone(&one).await;
    create(&served, "acme").await;
    let request = v1::ApplyRequest {
        tenant: "acme".into(),
        changes: vec![put_person("eve")],
        ..Default::default()
    };
    served.policy().apply(request).await.unwrap();
    let request = v1::ApplyRequest {
        changes: vec![put_person("dee")],
        request_id: "once".into(),
        ..Default::default()
    };
    let revision = served.policy().apply(request.clone()).await.unwrap().into_inner().revision;
    let before =
        (audit(&served, false).await, audit(&served, true).await, audit_of(&served, "acme").await);
    let mut etcd = Etcd::start(1).await;
    let refused = run("migrate", one.path(), Some(&etcd)).unwrap_err();
    assert!(refused.contains("another pdp-server has"), "{refused}");
    served.stop().await;
    let refused = run("migrate", one.path(), None).unwrap_err();
    assert!(refused.contains("--etcd-endpoints"), "{refused}");

    let said = run("migrate", one.path(), Some(&etcd)).unwrap();
    assert!(said.contains("below `pdp`: ") && said.ends_with(" bytes\n"), "{said}");
    let said = run("migrate", one.path(), Some(&etcd)).unwrap();
    assert!(said.ends_with("below `pdp` already\n"), "{said}");
    // Nothing is lost: revisions, audits, remembered requests; and an empty server gets it all.
    let (first, second) = (replica(&one, &etcd).await, replica(&other, &etcd).await);
    for served in [&first, &second] {
        let after =
            (audit(served, false).await, audit(served, true).await, audit_of(served, "acme").await);
        assert_eq!(after, before);
    }
    let again = second.policy().apply(request).await.unwrap().into_inner();
    assert_eq!((again.revision, again.replayed), (revision, true));
    create(&second, "later").await;
    let made = second.apply(vec![put_person("flo")]).await.unwrap().revision;
    assert_eq!(made, revision + 1);
    agree(&first, &second, made).await;
    let made = first.apply(vec![put_person("gus")]).await.unwrap().revision;
    agree(&first, &second, made).await;
    first.stop().await;
    second.stop().await;

    // What has a policy is not written over, and who is refused stays as it was.
    let third = folder();
    alone(&third).await.stop().await;
    let refused = run("migrate", third.path(), Some(&etcd)).unwrap_err();
    assert!(refused.contains("etcd has another policy below `pdp`"), "{refused}");
    let served = alone(&third).await;
    assert_eq!(effect(&served, "ana", 1).await, (Effect::Allow, 1));
    served.stop().await;

    // Where etcd is lost, a copy begins the log anew.
    etcd.kill(0);
    let refused = run("migrate", third.path(), Some(&etcd)).unwrap_err();
    assert!(refused.contains("etcd does not take the policy ("), "{refused}");
    let etcd = Etcd::start(1).await;
    run("migrate", other.path(), Some(&etcd)).unwrap();
    let (first, second) = (replica(&one, &etcd).await, replica(&other, &etcd).await);
    let made = first.apply(vec![put_person("hal")]).await.unwrap().revision;
    agree(&first, &second, made).await;
    let before = audit(&first, false).await;
    first.stop().await;
    second.stop().await;

    run("leave", one.path(), None).unwrap();
    let served = alone(&one).await;
    assert_eq!(audit(&served, false).await, before);
    served.stop().await;
}
