//! From where a policy comes to one that is served: the data folder, and the log that servers share if there is
//! one; or the server that a sidecar follows.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::spawn_blocking;

use crate::RunError;
use crate::clock::Clock;
use crate::config::Config;
use crate::load;
use crate::publish::{DEFAULT_TENANT, Early, PublishError, Publisher};
use crate::replica::{self, Replica};
use crate::rpc::{self, Health, Sidecar};
use crate::store::{ImageReading, Store};

/// Where the policy comes from.
pub(crate) enum Source {
    /// The data folder.
    Store,
    /// The log that servers share, of which the data folder has a copy.
    Log(Replica),
    /// The server that is followed.
    Server(Sidecar),
}

/// That a policy follows its source.
pub(crate) enum Following {
    Log(replica::Following),
    Server(#[expect(dead_code, reason = "dropped, it ends")] rpc::Following),
}

// === impl Source ===

impl Source {
    /// What the settings name. Nothing is asked yet.
    pub(crate) fn of(
        config: &Config,
        stopped: &watch::Receiver<bool>,
        there: &Handle,
    ) -> Result<Self, RunError> {
        if let Some(settings) = &config.sidecar {
            return Ok(Self::Server(Sidecar::new(settings, stopped.clone(), there)?));
        }
        if config.etcd.endpoints.is_empty() {
            return Ok(Self::Store);
        }
        Ok(Self::Log(Replica::new(&config.etcd, there)?))
    }

    /// Whether the next start is this server's alone, and may decide upon what this one leaves.
    pub(crate) const fn leaves_image(&self) -> bool {
        matches!(self, Self::Store)
    }

    /// What a sidecar has besides.
    pub(crate) const fn sidecar(&self) -> Option<&Sidecar> {
        match self {
            Self::Server(sidecar) => Some(sidecar),
            Self::Store | Self::Log(_) => None,
        }
    }

    /// The policy, once it is loaded; `None` if the server is told to stop before that. That of a server that is
    /// followed comes later.
    ///
    /// `decide` is told what can be decided upon until then, if there is something.
    pub(crate) async fn loaded(
        &self,
        config: &Config,
        clock: Clock,
        shutdown: impl Future<Output = ()>,
        decide: impl AsyncFnOnce(Early),
    ) -> Option<Result<Publisher, RunError>> {
        let replica = match self {
            Self::Server(sidecar) => {
                let kept = Publisher::keeping(clock, sidecar.followed());
                return Some(kept.map_err(RunError::from));
            }
            Self::Log(replica) => Some(replica.clone()),
            Self::Store => None,
        };
        let (data, bundle) = (config.data.clone(), config.load.clone());
        let (tell, told) = oneshot::channel();
        let early = async {
            if let Ok(early) = told.await {
                decide(early).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            loaded = load(data, bundle, clock, replica, tell) => Some(loaded),
            () = shutdown => None,
            () = early => None,
        }
    }

    /// Begins to follow the source, if there is something to follow.
    pub(crate) fn begin(
        self,
        publisher: Publisher,
        health: &Health,
        there: &Handle,
    ) -> Option<Following> {
        match self {
            Self::Store => None,
            Self::Log(replica) => Some(Following::Log(replica.begin(publisher, there))),
            Self::Server(it) => Some(Following::Server(it.begin(publisher, health, there))),
        }
    }
}

// === impl Following ===

impl Following {
    /// Ends it, once what it has begun in the store is done.
    pub(crate) async fn end(self) {
        match self {
            Self::Log(following) => following.end().await,
            Self::Server(_) => {}
        }
    }
}

/// Opens the store, tells what can be decided upon at once, loads the policy, takes over what the log has, and
/// applies the bundle that the settings name.
async fn load(
    data: PathBuf,
    bundle: Option<PathBuf>,
    clock: Clock,
    replica: Option<Replica>,
    early: oneshot::Sender<Early>,
) -> Result<Publisher, RunError> {
    let Some(replica) = replica else {
        return on_its_own(move || {
            let image = ImageReading::begin(&data);
            let store = open(&data)?;
            if let Some(it) = Early::of(&store, image, &clock)? {
                early.send(it).ok();
            }
            let publisher = Publisher::open(store, clock)?;
            apply(&publisher, bundle.as_deref()).map(|()| publisher)
        })
        .await;
    };
    let log = replica.log();
    let dir = data.clone();
    let opened = on_its_own(move || Ok(Publisher::open_copy(open(&data)?, clock, log)?));
    let publisher = opened.await.map_err(|error| as_of_copy(dir, error))?;
    let has_policy = publisher.snapshot(DEFAULT_TENANT).is_some();
    loop {
        let (replica, copy) = (replica.clone(), publisher.clone());
        if on_its_own(move || Ok(replica.catch_up(&copy)?)).await? {
            break;
        }
        if has_policy {
            tracing::warn!("etcd is out of reach; serving what is here");
            break;
        }
        tracing::warn!("etcd is out of reach, and nothing is here; trying again");
    }
    on_its_own(move || apply(&publisher, bundle.as_deref()).map(|()| publisher)).await
}

/// What is wrong with what is stored, and that there is more than a backup to help where it is a copy.
fn as_of_copy(dir: PathBuf, error: RunError) -> RunError {
    match error {
        RunError::Store(source) | RunError::Publish(PublishError::Store(source))
            if source.is_damage() =>
        {
            RunError::DamagedCopy { dir, source: Box::new(source) }
        }
        other => other,
    }
}

/// Runs what waits for the disk, or for the log, where it may.
async fn on_its_own<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RunError> + Send + 'static,
) -> Result<T, RunError> {
    spawn_blocking(work).await.unwrap_or(Err(RunError::Panicked("loading the policy")))
}

fn open(data: &Path) -> Result<Store, RunError> {
    let began = std::time::Instant::now();
    let store = Store::open(data)?;
    tracing::info!(took_ms = began.elapsed().as_millis(), "store opened and verified");
    Ok(store)
}

fn apply(publisher: &Publisher, bundle: Option<&Path>) -> Result<(), RunError> {
    Ok(bundle.map_or(Ok(()), |bundle| load::apply(publisher, bundle))?)
}
