//! From the data folder, and the log that servers share if there is one, to a policy that is served.

use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;

use crate::RunError;
use crate::clock::Clock;
use crate::config::Config;
use crate::load;
use crate::publish::{DEFAULT_TENANT, PublishError, Publisher};
use crate::replica::Replica;
use crate::store::Store;

/// The policy, once it is loaded; `None` if the server is told to stop before that.
pub(crate) async fn loaded(
    config: &Config,
    clock: Clock,
    replica: Option<&Replica>,
    shutdown: impl Future<Output = ()>,
) -> Option<Result<Publisher, RunError>> {
    let (data, bundle) = (config.data.clone(), config.load.clone());
    tokio::select! {
        loaded = load(data, bundle, clock, replica.cloned()) => Some(loaded),
        () = shutdown => None,
    }
}

/// Opens the store, loads the policy, takes over what the log has, and applies the bundle that the settings
/// name.
async fn load(
    data: PathBuf,
    bundle: Option<PathBuf>,
    clock: Clock,
    replica: Option<Replica>,
) -> Result<Publisher, RunError> {
    let Some(replica) = replica else {
        return on_its_own(move || {
            let publisher = Publisher::open(open(&data)?, clock)?;
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
