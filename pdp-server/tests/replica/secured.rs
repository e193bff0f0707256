//! An etcd that is spoken with by TLS, and lets nobody in without a certificate.

use std::path::Path;

use pdp_proto::v1::Effect;
use pdp_server::clock::Clock;
use pdp_server::config::Settings;

use crate::etcd::{Etcd, Secured};
use crate::secrets::{Authority, Issued, Name};
use crate::served::{Served, folder};
use crate::{effect, expecting, reason, shared};

/// A server that vouches for etcd by this file, and shows this certificate.
async fn server(folder: &Path, etcd: &Etcd, ca: &Path, shown: Option<&Issued>) -> Served {
    let secured = Settings {
        etcd_endpoints: Some(etcd.secured_endpoint().parse().unwrap()),
        etcd_ca: Some(ca.to_owned()),
        etcd_cert: shown.map(|it| it.cert.clone()),
        etcd_key: shown.map(|it| it.key.clone()),
        load: Some(folder.join("policy.yaml")),
        ..Settings::default()
    };
    Served::with_clock(secured.or(shared(folder, etcd)), Clock::system()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_is_known_by_its_certificate_and_the_server_by_its_own() {
    let folder = folder();
    let (authority, another) = (Authority::new(), Authority::new());
    let ca = authority.file(&folder.path().join("ca.pem"));
    let anothers = another.file(&folder.path().join("another.pem"));
    let issue = |by: &Authority, name: &str| {
        by.issue(folder.path(), name, &[Name::Dns("localhost")], 2_100)
    };
    let etcd = Etcd::secured(Secured { server: issue(&authority, "etcd"), ca: ca.clone() }).await;
    let shown = issue(&authority, "server");
    let served = server(folder.path(), &etcd, &ca, Some(&shown)).await;
    assert_eq!(expecting(&served, "one", 1).await.unwrap(), 2);
    assert!(etcd.count("pdp").await > 0);
    served.stop().await;
    // None of these reaches etcd: each decides from its copy, and writes nothing.
    let forged = issue(&another, "forged");
    for (ca, shown) in [(&ca, None), (&ca, Some(&forged)), (&anothers, Some(&shown))] {
        let served = server(folder.path(), &etcd, ca, shown).await;
        assert_eq!(effect(&served, "ana", 2).await, (Effect::Allow, 2));
        let refused = expecting(&served, "two", 2).await.unwrap_err();
        assert_eq!(reason(&refused).1, "LOG_UNAVAILABLE", "{refused:?}");
        served.stop().await;
    }
    let served = server(folder.path(), &etcd, &ca, Some(&shown)).await;
    assert_eq!(expecting(&served, "two", 2).await.unwrap(), 3);
    served.stop().await;
}
