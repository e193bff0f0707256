//! TLS at both doors: 1.2 and later, with certificates that are read anew when their files change,
//! while connections that there are go on. A connection takes its handshake with its first read or
//! write, in the task that serves it: whoever accepts connections never waits for one.

mod certificate;
mod files;
mod io;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::net::{TcpStream, UnixStream};

pub(crate) use certificate::Certificate;
pub(crate) use files::{client, client_as, read_at_most};
pub(crate) use io::Io;

use crate::admission::{Load, Quota, Shed, Untold};
use crate::connection::{Activity, Entry};
use crate::telemetry::{Metrics, Reloaded};

/// Whether callers have to have a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// Without one there is no connection.
    #[default]
    Required,
    /// Who has none proves themselves in another way.
    Optional,
}

/// The files of a server's TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, with those between it and its root, in PEM.
    pub cert: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
    /// Who vouches for callers' certificates, in PEM, and whether callers need one.
    pub client_ca: Option<(PathBuf, ClientAuth)>,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: {message}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// What the files hold does not go together.
    #[error("the certificate `{}` and the key `{}` cannot be used: {source}", .cert.display(), .key.display())]
    Unusable {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// Which door a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// HTTP/2 alone.
    Grpc,
    /// HTTP/2 and HTTP/1.1.
    Http,
}

/// What makes connections secret.
pub(crate) struct Tls {
    files: TlsFiles,
    served: ArcSwap<Served>,
    /// How long a handshake may take, from the moment that the connection is there.
    patience: Duration,
    metrics: Arc<Metrics>,
}

/// What connections are taken with: the same certificate at both doors.
struct Served {
    grpc: Arc<ServerConfig>,
    http: Arc<ServerConfig>,
}

/// How one door takes connections: in clear, or with TLS.
#[derive(Clone)]
pub(crate) struct Acceptor {
    tls: Option<Arc<Tls>>,
    door: Door,
}

/// The other end of a connection, and what the server does for it.
#[derive(Clone)]
pub(crate) struct Peer(Arc<Inner>);

struct Inner {
    address: Option<SocketAddr>,
    /// Set by the handshake, if it showed one that somebody vouches for.
    certificate: OnceLock<Certificate>,
    /// That it is one too many, and is told about health only.
    beyond: Option<Shed>,
    /// What is taken on where the connection is served.
    load: Arc<Load>,
    /// Streams of health and reflection that are open.
    health_streams: AtomicUsize,
    /// Refusals for want of time that have not been told.
    untold: AtomicUsize,
    /// Where nobody is asked who they are, a connection is a caller.
    quota: Arc<Quota>,
    activity: Activity,
}

// === impl Tls ===

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] names the file.
    pub(crate) fn open(
        files: TlsFiles,
        patience: Duration,
        metrics: Arc<Metrics>,
    ) -> Result<Self, TlsError> {
        let (served, ends) = files::read(&files)?;
        metrics.certificate_ends(ends);
        Ok(Self { files, served: ArcSwap::from_pointee(served), patience, metrics })
    }

    /// The files, to be watched.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        let TlsFiles { cert, key, client_ca } = &self.files;
        let client_ca = client_ca.iter().map(|(path, _)| path.clone());
        [cert.clone(), key.clone()].into_iter().chain(client_ca).collect()
    }

    /// Reads the files anew. Where they cannot be used, new connections are taken as before.
    pub(crate) fn reload(&self) {
        match files::read(&self.files) {
            Ok((served, ends)) => {
                self.served.store(Arc::new(served));
                self.metrics.certificate_ends(ends);
                self.metrics.reloaded(Reloaded::Certificate, true);
                tracing::info!("the certificate was read");
            }
            Err(error) => {
                self.metrics.reloaded(Reloaded::Certificate, false);
                tracing::error!(%error, "the new certificate is refused; the one before it stays");
            }
        }
    }
}

// === impl Acceptor ===

impl Acceptor {
    /// Takes the connections of a door.
    pub(crate) const fn new(tls: Option<Arc<Tls>>, door: Door) -> Self {
        Self { tls, door }
    }

    /// A connection that was let in, whose handshake is still to come, to be served where that much is
    /// taken on.
    pub(crate) fn accept(&self, stream: TcpStream, load: &Arc<Load>, entry: &Entry) -> Io {
        let peer = Peer::new(stream.peer_addr().ok(), load, entry.shed());
        match &self.tls {
            None => Io::plain(stream, peer),
            Some(tls) => Io::tls(Arc::clone(tls), self.door, stream, peer),
        }
    }

    /// A connection of a program of this machine that was let in: in clear, as nobody else can read it.
    pub(crate) fn accept_local(stream: UnixStream, load: &Arc<Load>, entry: &Entry) -> Io {
        Io::local(stream, Peer::new(None, load, entry.shed()))
    }
}

// === impl Peer ===

impl Peer {
    fn new(address: Option<SocketAddr>, load: &Arc<Load>, beyond: Option<Shed>) -> Self {
        let (certificate, load) = (OnceLock::new(), Arc::clone(load));
        let (quota, activity) = (Quota::new(load.all()), Activity::default());
        let [health_streams, untold] = [(); 2].map(|()| AtomicUsize::new(0));
        Self(Arc::new(Inner {
            address,
            certificate,
            beyond,
            load,
            health_streams,
            untold,
            quota,
            activity,
        }))
    }

    /// Where it is.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.0.address
    }

    /// The certificate that it proved to have.
    pub(crate) fn certificate(&self) -> Option<&Certificate> {
        self.0.certificate.get()
    }

    /// That it is one too many, if so.
    pub(crate) fn beyond(&self) -> Option<Shed> {
        self.0.beyond
    }

    /// How many streams of health and reflection are open over it.
    pub(crate) fn health_streams(&self) -> &AtomicUsize {
        &self.0.health_streams
    }

    /// What is taken on where the connection is served.
    pub(crate) fn load(&self) -> &Arc<Load> {
        &self.0.load
    }

    /// A refusal of one of its requests for want of time, to be told in its turn.
    pub(crate) fn untold(&self) -> Untold<'_> {
        Untold::new(&self.0.load, &self.0.untold)
    }

    /// What the connection may take on.
    pub(crate) fn quota(&self) -> &Arc<Quota> {
        &self.0.quota
    }

    /// What goes over the connection.
    pub(crate) fn activity(&self) -> &Activity {
        &self.0.activity
    }

    fn showed(&self, certificate: Certificate) {
        self.0.certificate.set(certificate).ok();
    }
}

impl TlsError {
    fn file(path: &Path, message: impl std::fmt::Display) -> Self {
        Self::File { path: path.to_owned(), message: message.to_string() }
    }
}
