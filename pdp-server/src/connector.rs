//! Connections to what this server asks itself, the members of etcd or the server that a sidecar follows: in
//! clear, or with TLS by the same code as everything else.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use crate::callers::Wire;
use crate::tls::{self, TlsError};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(1);

/// How often a connection is asked whether it still is one. A member of etcd takes it amiss below five
/// seconds.
const ALIVE: Duration = Duration::from_secs(10);

/// Why nothing can be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address is none.
    #[error("`{address}` in `{setting}` is no address such as http://127.0.0.1:2379")]
    Address {
        /// The setting that names it.
        setting: &'static str,
        /// The address.
        address: String,
    },
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Random(String),
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Makes channels.
pub(crate) type Connect = Box<dyn Fn() -> Channel + Send + Sync>;

/// Who vouches for the other end, and what it is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trust<'a> {
    /// Who vouches for its certificate; the system's authorities if nobody is named.
    pub(crate) ca: Option<&'a Path>,
    /// The certificate that it is shown, and its key.
    pub(crate) client: Option<(&'a Path, &'a Path)>,
}

/// How channels to an address are made that a setting names. They connect once something is asked.
pub(crate) fn connect(
    (setting, endpoint): (&'static str, &str),
    Trust { ca, client }: Trust<'_>,
) -> Result<Connect, ConnectError> {
    let address = || ConnectError::Address { setting, address: endpoint.to_owned() };
    let uri: http::Uri = endpoint.parse().map_err(|_| address())?;
    let (host, authority) =
        (uri.host().ok_or_else(address)?, uri.authority().ok_or_else(address)?.clone());
    let host = host.trim_matches(['[', ']']).to_owned();
    let port = uri.port_u16().ok_or_else(address)?;
    let tls = match uri.scheme_str() {
        Some("http") => None,
        Some("https") => {
            let mut config = tls::client_as(ca, client)?;
            config.alpn_protocols = vec![b"h2".to_vec()];
            let name = ServerName::try_from(host.clone()).map_err(|_| address())?;
            Some((TlsConnector::from(Arc::new(config)), name))
        }
        Some(_) | None => return Err(address()),
    };
    // The connector does what `https` asks for, and knows where to.
    let connector = tower::service_fn(move |_: http::Uri| {
        let (host, tls) = (host.clone(), tls.clone());
        async move {
            let stream = TcpStream::connect((host.as_str(), port)).await?;
            stream.set_nodelay(true)?;
            let wire: Box<dyn Wire> = match tls {
                None => Box::new(stream),
                Some((connector, name)) => Box::new(connector.connect(name, stream).await?),
            };
            Ok::<_, std::io::Error>(TokioIo::new(wire))
        }
    });
    let endpoint = Endpoint::from_shared(format!("http://{authority}")).map_err(|_| address())?;
    let endpoint = endpoint
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(ALIVE)
        .keep_alive_timeout(CONNECT * 3)
        .keep_alive_while_idle(true);
    Ok(Box::new(move || endpoint.connect_with_connector_lazy(connector.clone())))
}
