//! From files in PEM to what connections are taken and made with. One provider of cryptography, chosen
//! here: `ring`.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use pdp_engine::time::Timestamp;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::certificate::Certificate;
use super::{ClientAuth, Served, TlsError, TlsFiles};

/// How large a file of certificates may be, in bytes: a system's whole collection.
const MAX_PEM_BYTES: usize = 1 << 20;

/// The protocols, as ALPN names them (RFC 7301; RFC 9113, section 3.2).
const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Reads a server's files; and when its certificate ends.
pub(super) fn read(files: &TlsFiles) -> Result<(Served, Timestamp), TlsError> {
    let TlsFiles { cert, key, client_ca } = files;
    let chain = certificates(cert)?;
    let leaf = chain.first().map(|leaf| Certificate::parse(leaf));
    let leaf = leaf.transpose().map_err(|message| TlsError::file(cert, message))?;
    let ends = leaf.map_or(Timestamp::from_micros(0), |leaf| leaf.valid_until);
    let secret = secret(key)?;
    let unusable = |source| TlsError::Unusable { cert: cert.clone(), key: key.clone(), source };
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some((path, auth)) => builder.with_client_cert_verifier(verifier(path, *auth)?),
    };
    let mut grpc = builder.with_single_cert(chain, secret).map_err(unusable)?;
    let mut http = grpc.clone();
    grpc.alpn_protocols = vec![HTTP_2.to_vec()];
    http.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
    Ok((Served { grpc: Arc::new(grpc), http: Arc::new(http) }, ends))
}

fn verifier(path: &Path, auth: ClientAuth) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let roots = Arc::new(roots(path)?);
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
    let builder = match auth {
        ClientAuth::Required => builder,
        ClientAuth::Optional => builder.allow_unauthenticated(),
    };
    builder.build().map_err(|error| TlsError::file(path, error))
}

/// How to connect to a server that these certificates vouch for, or the system's.
pub(crate) fn client(ca: Option<&Path>) -> Result<ClientConfig, TlsError> {
    client_as(ca, None)
}

/// The same as somebody who has a certificate and its key, where one is named.
pub(crate) fn client_as(
    ca: Option<&Path>,
    own: Option<(&Path, &Path)>,
) -> Result<ClientConfig, TlsError> {
    let roots = match ca {
        Some(path) => roots(path)?,
        None => {
            let mut roots = RootCertStore::empty();
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            roots
        }
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::file(ca.unwrap_or(Path::new("")), error))?;
    let builder = builder.with_root_certificates(roots);
    let Some((cert, key)) = own else { return Ok(builder.with_no_client_auth()) };
    let unusable = |source| TlsError::Unusable { cert: cert.into(), key: key.into(), source };
    builder.with_client_auth_cert(certificates(cert)?, secret(key)?).map_err(unusable)
}

fn secret(key: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    // What is wrong with it may show some of it.
    let unread = |_| TlsError::file(key, "not a private key in PEM");
    PrivateKeyDer::from_pem_slice(&pem(key)?).map_err(unread)
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| TlsError::file(path, error))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = pem(path)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let read = read.map_err(|error| TlsError::file(path, error))?;
    if read.is_empty() {
        return Err(TlsError::file(path, "no certificate in PEM"));
    }
    Ok(read)
}

fn pem(path: &Path) -> Result<Vec<u8>, TlsError> {
    let read = read_at_most(path, MAX_PEM_BYTES).map_err(|error| TlsError::file(path, error))?;
    let message = || format!("more than {MAX_PEM_BYTES} bytes, which is the limit");
    read.ok_or_else(|| TlsError::file(path, message()))
}

/// A file's bytes; `None` if there are more than so many.
pub(crate) fn read_at_most(path: &Path, most: usize) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    std::fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= most).then_some(bytes))
}
