//! One document over HTTP, within bounds: so many bytes, so much time, from the address that was
//! configured and from no other. A redirect is not followed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::tls;

/// How long it may take, from connecting to the last byte.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// How large a document may be, in bytes: a hundred times a set of keys.
pub(super) const MAX_BYTES: usize = 256 << 10;

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("{}: {source}", .path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{}: more than {MAX_BYTES} bytes, which is the limit", .0.display())]
    LargeFile(PathBuf),
    #[error("`{0}` is not an address")]
    Address(Box<str>),
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Slow,
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    #[error("the answer has the status {0}; redirects are not followed")]
    Status(u16),
    #[error("the answer does not arrive whole within {MAX_BYTES} bytes: {0}")]
    Body(String),
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, FetchError> {
    let bounded = tls::read_at_most(path, MAX_BYTES);
    let bytes = bounded.map_err(|source| FetchError::File { path: path.to_owned(), source })?;
    bytes.ok_or_else(|| FetchError::LargeFile(path.to_owned()))
}

/// Fetches a document.
pub(super) async fn get(url: &str, ca: Option<&Path>) -> Result<Vec<u8>, FetchError> {
    let fetched = tokio::time::timeout(TIMEOUT, exchange(url, ca)).await;
    fetched.unwrap_or(Err(FetchError::Slow))
}

async fn exchange(url: &str, ca: Option<&Path>) -> Result<Vec<u8>, FetchError> {
    let uri: http::Uri = url.parse().map_err(|_| FetchError::Address(url.into()))?;
    ask(open(&uri, ca).await?, &uri).await
}

/// A connection, in clear or with TLS.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Wire for S {}

/// Connects to where an address says.
pub(crate) async fn connect(
    uri: &http::Uri,
    ca: Option<&Path>,
) -> Result<Box<dyn Wire>, FetchError> {
    let opened = tokio::time::timeout(TIMEOUT, open(uri, ca)).await;
    opened.unwrap_or(Err(FetchError::Slow))
}

async fn open(uri: &http::Uri, ca: Option<&Path>) -> Result<Box<dyn Wire>, FetchError> {
    let address = || FetchError::Address(uri.to_string().into());
    let host = uri.host().ok_or_else(address)?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let unreachable = |error: std::io::Error| FetchError::Unreachable(error.to_string());
    let stream = TcpStream::connect((bare, port)).await.map_err(unreachable)?;
    if !secure {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(bare.to_owned()).map_err(|_| address())?;
    let ca = ca.map(Path::to_owned);
    // The system's certificates are files, too.
    let config = tokio::task::spawn_blocking(move || tls::client(ca.as_deref())).await;
    let config = config.map_err(|error| FetchError::Unreachable(error.to_string()))??;
    let connector = TlsConnector::from(Arc::new(config));
    Ok(Box::new(connector.connect(name, stream).await.map_err(unreachable)?))
}

async fn ask(stream: Box<dyn Wire>, uri: &http::Uri) -> Result<Vec<u8>, FetchError> {
    let unreachable = |error: hyper::Error| FetchError::Unreachable(error.to_string());
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(unreachable)?;
    let driven = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let request = http::Request::get(path)
        .header(http::header::HOST, authority)
        .header(http::header::ACCEPT, "application/jwk-set+json, application/json")
        .body(Empty::<Bytes>::new())
        .map_err(|_| FetchError::Address(path.into()))?;
    let answered = async {
        let response = sender.send_request(request).await.map_err(unreachable)?;
        if response.status() != http::StatusCode::OK {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let body = Limited::new(response.into_body(), MAX_BYTES).collect().await;
        let body = body.map_err(|error| FetchError::Body(error.to_string()))?;
        Ok(body.to_bytes().to_vec())
    };
    let answered = answered.await;
    driven.abort();
    answered
}
