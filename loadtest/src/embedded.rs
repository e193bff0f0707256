//! The real server in this process, on loopback: its library's `run`, its store in a folder that is
//! gone afterwards.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use pdp_engine::facts::Change;
use pdp_engine::id::{IdError, TenantId};
use pdp_server::clock::Clock;
use pdp_server::config::{ConfigError, GrpcThreads, Settings};
use pdp_server::publish::{Apply, ApplyError, DEFAULT_TENANT, PublishError, Publisher};
use pdp_server::store::{Store, StoreError};
use pdp_server::{BindError, Listeners, RunError, run};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The operating system gives no folder or no threads.
    #[error("the embedded server does not start")]
    System(#[from] std::io::Error),
    /// The store does not open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The policy does not load.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The policy is refused.
    #[error("the policy is refused")]
    Apply(#[source] Box<ApplyError>),
    /// The settings are none.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No port.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The default tenant has no name.
    #[error(transparent)]
    Name(#[from] IdError),
    /// It ended with an error.
    #[error("the embedded server failed")]
    Run(#[from] RunError),
    /// It ended in a panic.
    #[error("the embedded server ended in an internal error")]
    Panicked,
}

/// How long requests may wait in a server that is asked all that it can answer.
const MAX_QUEUE_MS: u64 = 60_000;

/// A store with a policy, in a folder that goes with it.
#[derive(Debug)]
pub struct Filled(TempDir);

/// Applies one change set.
///
/// # Errors
/// [`EmbeddedError`] if it is refused or the disk fails.
pub fn apply(
    publisher: &Publisher,
    tenant: &TenantId,
    changes: &[Change],
) -> Result<(), EmbeddedError> {
    let request =
        Apply { changes, expected: None, dry_run: false, request_id: None, on_behalf_of: None };
    match publisher.apply(tenant, request) {
        Ok(_) => Ok(()),
        Err(error) => Err(EmbeddedError::Apply(Box::new(error))),
    }
}

/// A running server. It ends when it is dropped, or with [`Embedded::stop`].
#[derive(Debug)]
pub struct Embedded {
    runtime: Option<Runtime>,
    endpoint: String,
    http: String,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<Result<(), RunError>>>,
}

/// Has the default tenant of the store in the folder hold these changes, in one change set.
///
/// # Errors
/// [`EmbeddedError`] if the policy is refused or the disk fails.
pub fn fill(folder: &Path, changes: &[Change]) -> Result<(), EmbeddedError> {
    let publisher = Publisher::open(Store::open(folder)?, Clock::system())?;
    apply(&publisher, &TenantId::new(DEFAULT_TENANT)?, changes)
}

// === impl Filled ===

impl Filled {
    /// A store whose default tenant holds these changes, in one change set.
    ///
    /// # Errors
    /// [`EmbeddedError`] if the policy is refused or the disk fails.
    pub fn with(changes: &[Change]) -> Result<Self, EmbeddedError> {
        let folder = tempfile::tempdir()?;
        fill(folder.path(), changes)?;
        Ok(Self(folder))
    }

    /// A publisher on the store, for as long as nothing else is.
    ///
    /// # Errors
    /// [`EmbeddedError`] if the store does not open.
    pub fn publisher(&self) -> Result<Publisher, EmbeddedError> {
        Ok(Publisher::open(Store::open(self.path())?, Clock::system())?)
    }

    /// Another store of the same content.
    ///
    /// # Errors
    /// [`EmbeddedError`] if the disk fails.
    pub fn copied(&self) -> Result<Self, EmbeddedError> {
        let folder = tempfile::tempdir()?;
        for file in std::fs::read_dir(self.path())? {
            let file = file?;
            std::fs::copy(file.path(), folder.path().join(file.file_name()))?;
        }
        Ok(Self(folder))
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

// === impl Embedded ===

impl Embedded {
    /// Starts a server on a store; whoever asks at once is told that it is not ready yet.
    ///
    /// # Errors
    /// [`EmbeddedError`] if there is no port or no thread.
    pub fn start(folder: &Path) -> Result<Self, EmbeddedError> {
        Self::start_on(folder, GrpcThreads::default())
    }

    /// The same, with these threads for gRPC.
    ///
    /// # Errors
    /// As [`Embedded::start`].
    pub fn start_on(folder: &Path, threads: GrpcThreads) -> Result<Self, EmbeddedError> {
        Self::start_with(folder, Settings { grpc_threads: Some(threads), ..Settings::default() })
    }

    /// The same, with these settings. Unless they say otherwise, a request may wait for long: a closed
    /// loop is there to see what the server can do, and nothing of it is to be refused.
    ///
    /// # Errors
    /// As [`Embedded::start`].
    pub fn start_with(folder: &Path, settings: Settings) -> Result<Self, EmbeddedError> {
        let any_port = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let usual = Settings {
            data: Some(folder.to_path_buf()),
            grpc: any_port,
            http: any_port,
            grace_ms: Some(0),
            max_queue_ms: Some(MAX_QUEUE_MS),
            ..Settings::default()
        };
        let config = settings.or(usual).into_config(None)?;
        let listeners = Listeners::bind(&config)?;
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let endpoint = format!("{scheme}://{}", listeners.grpc_address()?);
        let http = format!("{scheme}://{}", listeners.http_address()?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("loadtest-server")
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move { drop(stopped.await) };
        let serving = runtime.spawn(run(config, listeners, Clock::system(), stopped));
        let (stop, serving) = (Some(stop), Some(serving));
        Ok(Self { runtime: Some(runtime), endpoint, http, stop, serving })
    }

    /// Its address.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The address of its HTTP door.
    #[must_use]
    pub fn http(&self) -> &str {
        &self.http
    }

    /// Stops it and waits until it has closed its store. Not from within a runtime.
    ///
    /// # Errors
    /// [`EmbeddedError`] if it did not end well.
    pub fn stop(mut self) -> Result<(), EmbeddedError> {
        if let Some(stop) = self.stop.take() {
            stop.send(()).ok();
        }
        match (self.runtime.take(), self.serving.take()) {
            (Some(runtime), Some(serving)) => {
                let ended = runtime.block_on(serving).map_err(|_| EmbeddedError::Panicked)?;
                Ok(ended?)
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).ok();
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
