//! A server with TLS that asks who calls.

use std::path::Path;

use pdp_client::Client;
use pdp_server::callers::NewKey;
use pdp_server::clock::Clock;
use pdp_server::config::{ClientAuth, Settings};
use pdp_server::{Listeners, run};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use tokio::sync::oneshot;

use crate::served::ctl;

/// Makes an authority, and certificates of a server and of a caller.
fn certificates(folder: &Path) {
    let path = |name: &str| folder.join(name);
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(path("ca.pem"), authority.pem()).unwrap();
    for (name, san) in [
        ("server", SanType::DnsName("localhost".try_into().unwrap())),
        ("desk", SanType::URI("spiffe://bank.example/desk".try_into().unwrap())),
    ] {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![san];
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &authority).unwrap();
        std::fs::write(path(&format!("{name}.pem")), cert.pem()).unwrap();
        std::fs::write(path(&format!("{name}-key.pem")), key.serialize_pem()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_calls_is_said_with_a_token_or_a_certificate_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    certificates(folder.path());
    let key = NewKey::draw().unwrap();
    let callers = format!(
        "callers:\n- {{name: gateway, keys: [{}], roles: {{default: [check]}}}}\n\
         - {{name: desk, certificates: [\"spiffe://bank.example/desk\"], roles: {{\"*\": [admin]}}}}\n",
        key.entry()
    );
    std::fs::write(path("callers.yaml"), callers).unwrap();
    std::fs::write(path("token"), format!("{}\n", key.secret())).unwrap();
    let any_port = Some("127.0.0.1:0".parse().unwrap());
    let settings = Settings {
        data: Some(path("data")),
        callers: Some(path("callers.yaml")),
        tls_cert: Some(path("server.pem")),
        tls_key: Some(path("server-key.pem")),
        tls_client_ca: Some(path("ca.pem")),
        tls_client_auth: Some(ClientAuth::Optional),
        grpc: any_port,
        http: any_port,
        grace_ms: Some(0),
        max_queue_ms: Some(60_000),
        ..Settings::default()
    };
    let config = settings.into_config(None).unwrap();
    let listeners = Listeners::bind(&config).unwrap();
    let address = format!("https://localhost:{}", listeners.grpc_address().unwrap().port());
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async move { drop(stopped.await) };
    let running = tokio::spawn(run(config, listeners, Clock::system(), shutdown));
    let client = Client::builder(address.as_str()).ca(path("ca.pem")).connect().await.unwrap();
    client.wait_until_serving("").await.unwrap();

    let check = ["check", "person:ana", "View", "Report:absence"];
    let asked = async |options: &[&str], command: &[&str]| {
        let all: Vec<String> = ["--server", &address, "--ca", "ca.pem"]
            .iter()
            .chain(options)
            .chain(command)
            .map(ToString::to_string)
            .collect();
        let folder = folder.path().to_owned();
        let ran = tokio::task::spawn_blocking(move || {
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            ctl(&folder, &all)
        });
        let ran = ran.await.unwrap();
        let said = format!("{}{}", ran.out, ran.err);
        assert!(!said.contains(&key.secret()[13..]), "{said}");
        (ran.status, said)
    };
    let denied = asked(&[], &check).await;
    assert_eq!(denied.0, 2);
    assert!(denied.1.contains("no credentials"), "{}", denied.1);
    for options in [["--token", key.secret()], ["--token-file", "token"]] {
        let (status, said) = asked(&options, &check).await;
        assert_eq!(status, 1, "{said}");
        assert!(said.starts_with("DENY UNKNOWN_SUBJECT"), "{said}");
        let (status, said) = asked(&options, &["tenant", "list"]).await;
        assert_eq!(status, 2, "{said}");
        assert!(said.contains("this takes the role `admin`"), "{said}");
    }
    let identity = ["--cert", "desk.pem", "--cert-key", "desk-key.pem"];
    let (status, said) = asked(&identity, &["tenant", "list"]).await;
    assert_eq!((status, said.as_str()), (0, "default  revision 0\n"));
    // Without the authority nobody vouches for the server.
    let all = ["--server", address.as_str(), "--token-file", "token", "health"];
    let ran = tokio::task::block_in_place(|| ctl(folder.path(), &all));
    assert_eq!(ran.status, 2, "{ran:?}");
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
}
