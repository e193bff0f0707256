//! Connections to the members of etcd: in clear, or with TLS by the same code as everything else.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use crate::callers::Wire;
use crate::config;
use crate::tls::{self, TlsError};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(1);

/// How often a connection is asked whether it still is one. A member takes it amiss below five seconds.
const ALIVE: Duration = Duration::from_secs(10);

/// Why a member cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Its address is none.
    #[error("`{0}` in `etcd_endpoints` is no address such as http://127.0.0.1:2379")]
    Address(String),
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Random(String),
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Makes channels to a member.
pub(super) type Connect = Box<dyn Fn() -> Channel + Send + Sync>;

/// How channels to a member are made, which connect once something is asked.
pub(super) fn connect(endpoint: &str, settings: &config::Etcd) -> Result<Connect, ConnectError> {
    let address = || ConnectError::Address(endpoint.to_owned());
    let uri: http::Uri = endpoint.parse().map_err(|_| address())?;
    let (host, authority) =
        (uri.host().ok_or_else(address)?, uri.authority().ok_or_else(address)?.clone());
    let host = host.trim_matches(['[', ']']).to_owned();
    let port = uri.port_u16().ok_or_else(address)?;
    let tls = match uri.scheme_str() {
        Some("http") => None,
        Some("https") => {
            let client =
                settings.client.as_ref().map(|(cert, key)| (cert.as_path(), key.as_path()));
            let mut config = tls::client_as(settings.ca.as_deref(), client)?;
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
