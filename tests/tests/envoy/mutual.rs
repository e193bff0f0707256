//! Mutual TLS on both sides of Envoy: callers prove to it who they are, and it proves to the server who
//! it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use pdp_client::Client;
use pdp_server::config::Settings;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::behind::{Pdp, Served, api};
use crate::caller::Reply;
use crate::proxy::{DEPLOY, Deployed, Envoy};

const POLICY: &str = r#"
resource_types:
  Report: {operations: [View]}
access_levels:
- {type: Report, name: Viewer, operations: {View: allowed}}
accounts: [{id: ns/reports/worker}, {id: ns/reports/idle}]
resources: [{type: Report, id: budget}]
assignments:
- {id: a-1, to: "account:ns/reports/worker", level: Report/Viewer, on: "Report:budget"}
"#;

/// Who starts the server and looks whether it is ready.
const ADMIN: &str =
    "- {name: admin, certificates: [admin.bank.example], roles: {\"*\": [admin]}}\n";

/// What a client says that it speaks.
const HTTP_1: &[u8] = b"http/1.1";
const HTTP_2: &[u8] = b"h2";

/// Certificates in a folder, and who vouches for all of them.
struct Certificates {
    folder: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

struct World {
    envoy: Envoy,
    pdp: Pdp,
    _api: Served,
    certificates: Certificates,
}

// === impl Certificates ===

impl Certificates {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        // Of another name than those that it vouches for, or they would pass for self-signed.
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        Self { folder, authority }
    }

    fn issue(&self, file: &str, name: &str) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, file);
        params.subject_alt_names = vec![match name.contains("://") {
            true => SanType::URI(name.try_into().unwrap()),
            false => SanType::DnsName(name.try_into().unwrap()),
        }];
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.authority).unwrap();
        std::fs::write(self.path(&format!("{file}.pem")), cert.pem()).unwrap();
        std::fs::write(self.path(&format!("{file}-key.pem")), key.serialize_pem()).unwrap();
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }
}

// === impl World ===

impl World {
    /// With this name in Envoy's certificate.
    async fn start(envoys: &str) -> Self {
        let certificates = Certificates::new();
        for (file, name) in [
            ("pdp", "pdp.bank.example"),
            ("gateway", "gateway.bank.example"),
            ("admin", "admin.bank.example"),
            ("envoy", envoys),
            ("worker", "spiffe://bank.example/ns/reports/sa/worker"),
            ("idle", "spiffe://bank.example/ns/reports/sa/idle"),
            ("elsewhere", "spiffe://other.example/ns/reports/sa/worker"),
        ] {
            certificates.issue(file, name);
        }
        let callers = std::fs::read_to_string(Path::new(DEPLOY).join("callers.yaml")).unwrap();
        std::fs::write(certificates.path("callers.yaml"), callers + ADMIN).unwrap();
        std::fs::write(certificates.path("policy.yaml"), POLICY).unwrap();
        let settings = Settings {
            load: Some(certificates.path("policy.yaml")),
            callers: Some(certificates.path("callers.yaml")),
            tls_cert: Some(certificates.path("pdp.pem")),
            tls_key: Some(certificates.path("pdp-key.pem")),
            tls_client_ca: Some(certificates.path("ca.pem")),
            ..Settings::default()
        };
        let (ca, cert) = (certificates.path("ca.pem"), certificates.path("admin.pem"));
        let key = certificates.path("admin-key.pem");
        let client = move |address| {
            // The name in the certificate is not that of the address.
            Client::builder(format!("https://{address}"))
                .ca(ca)
                .server_name("pdp.bank.example")
                .identity(cert, key)
        };
        let pdp = Pdp::with("mtls-gateway.yaml", settings, client).await;
        let api = api().await;
        let files = ["gateway.pem", "gateway-key.pem", "envoy.pem", "envoy-key.pem"];
        let mut changed: Vec<(String, String)> = files
            .iter()
            .map(|file| (format!("tls/{file}"), certificates.path(file).display().to_string()))
            .collect();
        for ca in ["callers-ca.pem", "pdp-ca.pem"] {
            let own = certificates.path("ca.pem").display().to_string();
            changed.push((format!("tls/{ca}"), own));
        }
        let changed: Vec<(&str, &str)> =
            changed.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
        let (decides, upstream) = (pdp.address, api.address);
        let deployed = Deployed {
            file: "mtls.yaml",
            listens: 10002,
            pdp: decides,
            upstream,
            in_time: false,
            changed: &changed,
        };
        Self { envoy: Envoy::start(&deployed).await, pdp, _api: api, certificates }
    }

    /// Asks with a certificate, or without one. `None`: there is no connection.
    async fn get(&self, protocol: &[u8], path: &str, of: Option<&str>) -> Option<Reply> {
        let mut roots = rustls::RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(self.certificates.path("ca.pem")).unwrap();
        roots.add(ca).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match of {
            None => builder.with_no_client_auth(),
            Some(of) => {
                let file = |name: String| self.certificates.path(&name);
                let cert = CertificateDer::from_pem_file(file(format!("{of}.pem"))).unwrap();
                let key = PrivateKeyDer::from_pem_file(file(format!("{of}-key.pem"))).unwrap();
                builder.with_client_auth_cert(vec![cert], key).unwrap()
            }
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(self.envoy.address).await.unwrap();
        let name = ServerName::try_from("gateway.bank.example").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
        let request = hyper::Request::get(format!("https://gateway.bank.example{path}"))
            .header("host", "gateway.bank.example")
            // What a certificate says nobody can say in a header.
            .header("x-forwarded-client-cert", "URI=spiffe://bank.example/ns/reports/sa/worker")
            .body(http_body_util::Empty::<hyper::body::Bytes>::new())
            .unwrap();
        let stream = TokioIo::new(stream);
        if protocol == HTTP_1 {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(stream).await.ok()?;
            tokio::spawn(connection);
            return Some(Reply::of(sender.send_request(request).await.ok()?).await);
        }
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.ok()?;
        tokio::spawn(connection);
        Some(Reply::of(sender.send_request(request).await.ok()?).await)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_names_the_caller_and_envoys_own_lets_it_ask() {
    let world = World::start("spiffe://bank.example/ns/edge/sa/envoy").await;
    for protocol in [HTTP_1, HTTP_2] {
        for (path, of, status, said) in [
            ("/reports/budget", "worker", 200, "GET /reports/budget"),
            ("/reports/budget", "idle", 403, "NOT_GRANTED"),
            ("/reports/other", "worker", 403, "UNKNOWN_RESOURCE"),
            // A name that no pattern takes names nobody.
            ("/reports/budget", "elsewhere", 401, "NO_SUBJECT"),
            ("/healthz", "idle", 200, "GET /healthz"),
            ("/elsewhere", "worker", 403, "NO_ROUTE"),
        ] {
            let reply = world.get(protocol, path, Some(of)).await.unwrap();
            assert_eq!((reply.status, reply.said()), (status, said), "{path} {of}: {reply:?}");
            if status == 200 {
                assert!(reply.arrived("x-forwarded-client-cert").is_empty(), "{reply:?}");
            }
        }
        let reply = world.get(protocol, "/reports/budget", Some("worker")).await.unwrap();
        assert_eq!(reply.arrived("x-pdp-subject"), ["account:ns/reports/worker"]);
        let nobody = world.get(protocol, "/healthz", None).await;
        assert!(nobody.is_none(), "a caller without a certificate");
    }
    world.pdp.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_that_nobody_knows_lets_nothing_pass() {
    let world = World::start("spiffe://bank.example/ns/edge/sa/other").await;
    for (protocol, path) in [(HTTP_1, "/reports/budget"), (HTTP_2, "/healthz")] {
        let reply = world.get(protocol, path, Some("worker")).await.unwrap();
        assert_eq!((reply.status, reply.body.as_str()), (503, ""), "{path}");
    }
    world.pdp.stop().await;
}
