//! Callers with certificates, and the server's own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http_body_util::BodyExt as _;
use hyper::Request;
use hyper_util::rt::TokioIo;
use pdp_server::config::{ClientAuth, Settings};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::guarded::{Guarded, Tls, ask, outcome, until};
use crate::http::QUESTION;
use crate::secrets::{Authority, Issued, Name, replace};
use crate::served;

const CALLERS: &str = r#"callers:
  - {name: edge, certificates: ["spiffe://bank.example/edge"], roles: {default: [check]}}
  - {name: desk, certificates: [desk.bank.example], roles: {default: [explain], "*": [metrics]}}
"#;

/// 2100-01-01T00:00:01Z, in microseconds: when the certificates of these tests have ended.
const OVER: i64 = 4_102_444_801_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_says_who_calls() {
    let folder = served::folder();
    let tls = Tls::new(folder.path());
    let edge = Name::Uri("spiffe://bank.example/edge");
    let issue =
        |name: &str, names: &[Name<'_>]| tls.authority.issue(folder.path(), name, names, 2100);
    let by_uri = issue("uri", &[edge]);
    let by_dns = issue("dns", &[Name::Dns("Desk.bank.example")]);
    // A URI counts before a DNS name, wherever it stands.
    let edge = Name::Uri("spiffe://bank.example/edge");
    let both = issue("both", &[Name::Dns("desk.bank.example"), edge]);
    let unknown = issue("unknown", &[Name::Uri("spiffe://bank.example/edge/more")]);
    let edge = Name::Uri("spiffe://bank.example/edge");
    let foreign = Authority::new().issue(folder.path(), "foreign", &[edge], 2100);
    let edge = Name::Uri("spiffe://bank.example/edge");
    let ended = tls.authority.issue(folder.path(), "ended", &[edge], 2021);
    let guarded = Guarded::with_tls(folder, CALLERS, tls.settings(), &tls, &by_uri).await;

    for (identity, expected) in [
        (Some(&by_uri), "REASON_GRANTED"),
        (Some(&both), "REASON_GRANTED"),
        (Some(&by_dns), "ROLE_MISSING"),
        (Some(&unknown), "CREDENTIALS_INVALID"),
        (Some(&foreign), "no connection"),
        (Some(&ended), "no connection"),
        (None, "no connection"),
    ] {
        let who = identity.map(|it| it.cert.display().to_string());
        assert_eq!(asked(&guarded, &tls, identity).await, expected, "{who:?}");
    }
    let failed = "pdp_tls_handshake_failures_total{reason=\"failed\"}";
    until("the failures", async || metric(&guarded, &tls, &by_dns, failed).await >= 3).await;
    // A connection that outlives its certificate is worth nothing.
    let channel = tls.connect(&guarded.served, Some(&by_uri)).await.unwrap();
    guarded.served.now.store(OVER - 1, Ordering::SeqCst);
    // The grant of the policy has ended, and the certificate has not.
    assert_eq!(outcome(&ask(&channel, None, "").await), "REASON_NOT_GRANTED");
    guarded.served.now.store(OVER, Ordering::SeqCst);
    assert_eq!(outcome(&ask(&channel, None, "").await), "CREDENTIALS_EXPIRED");
}

/// What comes of a question over a new connection.
async fn asked(guarded: &Guarded, tls: &Tls, identity: Option<&Issued>) -> String {
    match tls.connect(&guarded.served, identity).await {
        Err(_) => "no connection".to_owned(),
        // With TLS 1.3 a client learns only from the first answer that its certificate is refused.
        Ok(channel) => match ask(&channel, None, "").await {
            Err(status)
                // The transport's own errors, depending on how far it came.
                if std::error::Error::source(&status).is_some() =>
            {
                "no connection".to_owned()
            }
            answer => outcome(&answer),
        },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_vouches_for_callers_is_replaced_without_a_restart() {
    let folder = served::folder();
    let tls = Tls::new(folder.path());
    let (before, after) = (Authority::new(), Authority::new());
    let authorities = before.file(&folder.path().join("callers-ca.pem"));
    let new_one = std::fs::read(after.file(&folder.path().join("new-ca.pem"))).unwrap();
    let edge = || Name::Uri("spiffe://bank.example/edge");
    let old = before.issue(folder.path(), "old", &[edge()], 2100);
    let new = after.issue(folder.path(), "new", &[edge()], 2100);
    let settings = Settings { tls_client_ca: Some(authorities.clone()), ..tls.settings() };
    let guarded = Guarded::with_tls(folder, CALLERS, settings, &tls, &old).await;
    assert_eq!(asked(&guarded, &tls, Some(&old)).await, "REASON_GRANTED");
    assert_eq!(asked(&guarded, &tls, Some(&new)).await, "no connection");
    // Both for a while, and then the new one alone.
    let both = [std::fs::read(&authorities).unwrap(), new_one.clone()].concat();
    replace(&authorities, &both);
    let is = async |identity, it| asked(&guarded, &tls, Some(identity)).await == it;
    until("the new authority", async || is(&new, "REASON_GRANTED").await).await;
    assert_eq!(asked(&guarded, &tls, Some(&old)).await, "REASON_GRANTED");
    replace(&authorities, &new_one);
    until("the old one's end", async || is(&old, "no connection").await).await;
    assert_eq!(asked(&guarded, &tls, Some(&new)).await, "REASON_GRANTED");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_certificates_are_optional_a_key_will_do() {
    let folder = served::folder();
    let tls = Tls::new(folder.path());
    let edge = Name::Uri("spiffe://bank.example/edge");
    let edge = tls.authority.issue(folder.path(), "edge", &[edge], 2100);
    let (key, entry) = crate::guarded::key();
    let callers =
        format!("{CALLERS}{}", crate::guarded::caller("keyed", &entry, "{default: [check]}"));
    let settings = Settings { tls_client_auth: Some(ClientAuth::Optional), ..tls.settings() };
    let guarded = Guarded::with_tls(folder, &callers, settings, &tls, &edge).await;
    let bare = tls.connect(&guarded.served, None).await.unwrap();
    assert_eq!(outcome(&ask(&bare, None, "").await), "CREDENTIALS_MISSING");
    assert_eq!(outcome(&ask(&bare, Some(&key), "").await), "REASON_GRANTED");
    let shown = tls.connect(&guarded.served, Some(&edge)).await.unwrap();
    assert_eq!(outcome(&ask(&shown, None, "").await), "REASON_GRANTED");
    // Who shows a key is who the key says, and a bad one is not mended by a certificate.
    assert_eq!(outcome(&ask(&shown, Some("Bearer pdp_"), "").await), "CREDENTIALS_INVALID");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_replaced_under_load_without_a_failed_request() {
    let folder = served::folder();
    let tls = Arc::new(Tls::new(folder.path()));
    let edge = Name::Uri("spiffe://bank.example/edge");
    let edge = Arc::new(tls.authority.issue(folder.path(), "edge", &[edge], 2100));
    let guarded = Guarded::with_tls(folder, CALLERS, tls.settings(), &tls, &edge).await;
    let guarded = Arc::new(guarded);
    let desk = [Name::Dns("desk.bank.example")];
    let desk = tls.authority.issue(guarded.folder.path(), "desk", &desk, 2100);
    let ends =
        async || metric(&guarded, &tls, &desk, "pdp_tls_certificate_not_after_seconds").await;
    // 2100-01-01T00:00:00Z is the last second that it is good for.
    assert_eq!(ends().await, 4_102_444_801);
    let first = shown(&guarded, &tls, &edge).await;

    // Some go on on the connection that they have, some connect anew with every request.
    let done = Arc::new(AtomicBool::new(false));
    let (asked, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|number| {
            let (guarded, tls, edge) = (Arc::clone(&guarded), Arc::clone(&tls), Arc::clone(&edge));
            let (done, asked, failed) =
                (Arc::clone(&done), Arc::clone(&asked), Arc::clone(&failed));
            tokio::spawn(async move {
                let mut channel = tls.connect(&guarded.served, Some(&edge)).await.unwrap();
                while !done.load(Ordering::SeqCst) {
                    if number % 2 == 1 {
                        match tls.connect(&guarded.served, Some(&edge)).await {
                            Ok(connected) => channel = connected,
                            Err(_) => drop(failed.fetch_add(1, Ordering::SeqCst)),
                        }
                    }
                    let answer = ask(&channel, None, "").await;
                    asked.fetch_add(1, Ordering::SeqCst);
                    if outcome(&answer) != "REASON_GRANTED" {
                        failed.fetch_add(1, Ordering::SeqCst);
                    }
                }
            })
        })
        .collect();

    // The certificate and its key come one after the other: between the two they do not go together.
    let folder = guarded.folder.path();
    let next = tls.authority.issue(folder, "next", &[Name::Dns("pdp.example")], 2101);
    replace(&tls.server.cert, &std::fs::read(&next.cert).unwrap());
    let at = asked.load(Ordering::SeqCst);
    until("requests", async || asked.load(Ordering::SeqCst) > at + 50).await;
    replace(&tls.server.key, &std::fs::read(&next.key).unwrap());
    until("the new certificate", async || shown(&guarded, &tls, &edge).await != first).await;
    let at = asked.load(Ordering::SeqCst);
    until("requests", async || asked.load(Ordering::SeqCst) > at + 50).await;
    done.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(failed.load(Ordering::SeqCst), 0);
    // A year later.
    assert_eq!(ends().await, 4_133_980_801);
    println!("certificate rotation: {} requests, none failed", asked.load(Ordering::SeqCst));
}

/// The certificate that the server shows to a new connection.
pub(crate) async fn shown(guarded: &Guarded, tls: &Tls, identity: &Issued) -> Vec<u8> {
    let stream = handshake(guarded.served.grpc, tls, identity, b"h2").await;
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

async fn handshake(
    address: SocketAddr,
    tls: &Tls,
    identity: &Issued,
    protocol: &[u8],
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&tls.ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_file(&identity.cert).unwrap()],
            PrivateKeyDer::from_pem_file(&identity.key).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("pdp.example").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// A metric, as the caller `desk` is told it.
async fn metric(guarded: &Guarded, tls: &Tls, desk: &Issued, name: &str) -> u64 {
    let stream = handshake(guarded.served.http, tls, desk, b"h2").await;
    let request = Request::get("https://pdp.example/metrics").body(String::new()).unwrap();
    let (status, body) = exchange(TokioIo::new(stream), b"h2", request).await;
    assert_eq!(status, 200, "{body}");
    let value = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

/// Sends one request over a connection of this protocol: the status and the body of the answer.
async fn exchange(
    stream: TokioIo<tokio_rustls::client::TlsStream<TcpStream>>,
    protocol: &[u8],
    request: Request<String>,
) -> (u16, String) {
    let answer = if protocol == b"h2" {
        let executor = hyper_util::rt::TokioExecutor::new();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(executor, stream).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let (mut head, body) = request.into_parts();
        head.headers.insert("host", "pdp.example".parse().unwrap());
        sender.send_request(Request::from_parts(head, body)).await.unwrap()
    };
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_http_port_speaks_both_protocols_and_knows_certificates() {
    let folder = served::folder();
    let tls = Tls::new(folder.path());
    let edge = Name::Uri("spiffe://bank.example/edge");
    let edge = tls.authority.issue(folder.path(), "edge", &[edge], 2100);
    let desk = Name::Dns("desk.bank.example");
    let desk = tls.authority.issue(folder.path(), "desk", &[desk], 2100);
    let guarded = Guarded::with_tls(folder, CALLERS, tls.settings(), &tls, &edge).await;
    let metrics = || Request::get("https://pdp.example/metrics").body(String::new()).unwrap();
    let evaluation = || {
        let request = Request::post("https://pdp.example/access/v1/evaluation");
        let request = request.header("content-type", "application/json");
        request.body(QUESTION.to_owned()).unwrap()
    };
    for (identity, scrape, decide) in [(&desk, 200, 403), (&edge, 403, 200)] {
        for protocol in [b"http/1.1".as_slice(), b"h2"] {
            for (request, status) in [(metrics(), scrape), (evaluation(), decide)] {
                let stream = handshake(guarded.served.http, &tls, identity, protocol).await;
                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
                let (found, body) = exchange(TokioIo::new(stream), protocol, request).await;
                assert_eq!(found, status, "{body}");
                assert_eq!(status == 200 && decide == 200, body.contains(r#""decision":true"#));
            }
        }
    }
    guarded.served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_shake_hands_loses_the_connection() {
    let folder = served::folder();
    let tls = Tls::new(folder.path());
    let edge = Name::Uri("spiffe://bank.example/edge");
    let edge = tls.authority.issue(folder.path(), "edge", &[edge], 2100);
    let guarded = Guarded::with_tls(folder, CALLERS, tls.settings(), &tls, &edge).await;
    for hello in [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0x16, 3, 1, 0xff, 0xff, 1]] {
        let mut stream = TcpStream::connect(guarded.served.grpc).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, hello).await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.ok();
        assert!(rest.len() < 64, "{rest:?}");
    }
    let channel = tls.connect(&guarded.served, Some(&edge)).await.unwrap();
    assert_eq!(outcome(&ask(&channel, None, "").await), "REASON_GRANTED");
}
