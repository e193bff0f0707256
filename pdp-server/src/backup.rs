//! Backups from outside: of a server that is stopped, from its data folder, and of one that runs, over
//! its HTTP door. A backup has its name once it is whole and on the disk. And compacting the store of one
//! that runs.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use http::Method;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;

use crate::callers::{FetchError, connect};
use crate::store::{BackupError, Store, StoreError, verify_backup};

/// Where a server gives backups.
pub(crate) const ROUTE: &str = "/admin/backup";

/// Where a server compacts its store.
pub(crate) const COMPACT: &str = "/admin/compact";

/// How much of a refusal is told, in bytes.
const MAX_TOLD_BYTES: usize = 1 << 10;

/// Why there is no backup, or why nothing is compacted.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// The store gives none.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be written, or is not whole.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The file is there already.
    #[error("`{}` exists; nothing is overwritten", .0.display())]
    Exists(PathBuf),
    /// The file cannot be made.
    #[error("`{}` cannot be written: {source}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The address is none.
    #[error("`{0}` is not the address of a server's HTTP door, such as http://127.0.0.1:7071")]
    Address(String),
    /// Whoever listens on the way would have the key.
    #[error("`{0}` is not this machine, and a key is not sent there in clear; use https")]
    InClear(String),
    /// The server is not there, or went away.
    #[error("the server {0}")]
    Unreachable(String),
    /// The server does not do it.
    #[error("the server refuses with status {status}: {said}")]
    Refused {
        /// The status.
        status: u16,
        /// Its words.
        said: String,
    },
}

/// A server that runs, and what lets the caller in.
#[derive(Debug, Clone, Default)]
pub struct Running {
    /// The address of its HTTP door.
    pub server: String,
    /// A key or a token of a caller with the role `admin` everywhere.
    pub token: Option<String>,
    /// Who vouches for its certificate; the system's authorities if nobody is named.
    pub ca: Option<PathBuf>,
}

/// A file that gets its name once it is whole.
struct Unnamed {
    out: BufWriter<File>,
    half: PathBuf,
    file: PathBuf,
}

/// Takes a backup of a server that is stopped, and says how many rows it has.
///
/// # Errors
/// [`TakeError`].
pub fn of_stopped(data: &Path, file: &Path) -> Result<u64, TakeError> {
    let store = Store::open_existing(data)?;
    let mut unnamed = Unnamed::new(file)?;
    store.backup(&mut unnamed.out)?;
    unnamed.named()
}

/// Takes a backup of a server that runs, and says how many rows it has.
///
/// # Errors
/// [`TakeError`].
pub async fn of_running(running: &Running, file: &Path) -> Result<u64, TakeError> {
    running.is_safe()?;
    let mut unnamed = Unnamed::new(file)?;
    let (response, driven) = running.send(Method::GET, ROUTE).await?;
    let taken = take(response, &mut unnamed).await;
    driven.abort();
    taken?;
    unnamed.named()
}

/// Has a server that runs give back the room that its store's file has no use for, and says how many bytes that is.
///
/// # Errors
/// [`TakeError`].
pub async fn compact(running: &Running) -> Result<u64, TakeError> {
    running.is_safe()?;
    let (response, driven) = running.send(Method::POST, COMPACT).await?;
    let status = response.status().as_u16();
    let said = said(response.into_body()).await;
    driven.abort();
    match said.parse() {
        Ok(bytes) if status == 200 => Ok(bytes),
        _ => Err(TakeError::Refused { status, said }),
    }
}

// === impl Running ===

impl Running {
    fn address(&self) -> TakeError {
        TakeError::Address(self.server.clone())
    }

    fn uri(&self, route: &str) -> Result<http::Uri, TakeError> {
        let server = self.server.trim_end_matches('/');
        format!("{server}{route}").parse().map_err(|_| self.address())
    }

    /// Holds that nobody on the way reads what is sent there.
    fn is_safe(&self) -> Result<(), TakeError> {
        let uri = self.uri("/")?;
        let host = uri.host().ok_or_else(|| self.address())?;
        let here = host == "localhost"
            || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        match uri.scheme_str() {
            Some("https") => Ok(()),
            Some("http") if here || self.token.is_none() => Ok(()),
            Some("http") => Err(TakeError::InClear(self.server.clone())),
            Some(_) | None => Err(self.address()),
        }
    }

    /// Sends a request without a body: the answer, and what drives the connection.
    async fn send(
        &self,
        method: Method,
        route: &str,
    ) -> Result<(http::Response<Incoming>, JoinHandle<Result<(), hyper::Error>>), TakeError> {
        let uri = self.uri(route)?;
        let unreachable = |error: FetchError| TakeError::Unreachable(error.to_string());
        let stream = connect(&uri, self.ca.as_deref()).await.map_err(unreachable)?;
        let lost = |error: hyper::Error| TakeError::Unreachable(format!("went away: {error}"));
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        let driven = tokio::spawn(connection);
        let host = uri.authority().map_or("", |it| it.as_str());
        let mut request = http::Request::builder().method(method).uri(route);
        request = request.header(http::header::HOST, host);
        if let Some(token) = &self.token {
            request = request.header(http::header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|_| self.address())?;
        Ok((sender.send_request(request).await.map_err(lost)?, driven))
    }
}

/// The beginning of what a server says.
async fn said(body: Incoming) -> String {
    let said = Limited::new(body, MAX_TOLD_BYTES).collect().await;
    let said = said.map(|said| said.to_bytes()).unwrap_or_default();
    String::from_utf8_lossy(&said).trim().to_owned()
}

async fn take(response: http::Response<Incoming>, unnamed: &mut Unnamed) -> Result<(), TakeError> {
    let (head, mut body) = response.into_parts();
    if head.status != http::StatusCode::OK {
        let said = said(body).await;
        return Err(TakeError::Refused { status: head.status.as_u16(), said });
    }
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| TakeError::Unreachable(format!("went away: {error}")))?;
        if let Ok(piece) = frame.into_data() {
            unnamed.out.write_all(&piece).map_err(BackupError::Write)?;
        }
    }
    Ok(())
}

// === impl Unnamed ===

impl Unnamed {
    fn new(file: &Path) -> Result<Self, TakeError> {
        if file.exists() {
            return Err(TakeError::Exists(file.to_owned()));
        }
        let mut half = file.as_os_str().to_owned();
        half.push(".part");
        let half = PathBuf::from(half);
        let failed = |source| TakeError::File { file: half.clone(), source };
        // Nobody but its owner is to read a policy.
        let out = private(&half).map_err(failed)?;
        Ok(Self { out: BufWriter::new(out), half, file: file.to_owned() })
    }

    /// Holds that it is whole, and gives it its name.
    fn named(mut self) -> Result<u64, TakeError> {
        let failed = |source| TakeError::File { file: self.file.clone(), source };
        self.out.flush().and_then(|()| self.out.get_ref().sync_all()).map_err(failed)?;
        let rows = verify_backup(&self.half)?;
        std::fs::rename(&self.half, &self.file).map_err(failed)?;
        Ok(rows)
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        // Gone already where it has its name.
        std::fs::remove_file(&self.half).ok();
    }
}

#[cfg(unix)]
fn private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn private(path: &Path) -> io::Result<File> {
    File::create(path)
}
