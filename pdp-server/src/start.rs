//! From the data folder, and the log that servers share if there is one, to a policy that is served.

use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;

use crate::RunError;
use crate::clock::Clock;
use crate::config::Config;
use crate::load;
use crate::publish::{DEFAULT_TENANT, Publisher};
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
    let panicked = || RunError::Panicked("loading the policy");
    let opened = replica.clone();
    let opened = spawn_blocking(move || open(&data, clock, opened.as_ref()));
    let publisher = opened.await.map_err(|_| panicked())??;
    if let Some(replica) = replica {
        loop {
            let (replica, publisher) = (replica.clone(), publisher.clone());
            let has_policy = publisher.snapshot(DEFAULT_TENANT).is_some();
            let caught_up = spawn_blocking(move || replica.catch_up(&publisher));
            match caught_up.await.map_err(|_| panicked())?? {
                true => break,
                false if has_policy => {
                    tracing::warn!("etcd is out of reach; serving what is here");
                    break;
                }
                false => tracing::warn!("etcd is out of reach, and nothing is here; trying again"),
            }
        }
    }
    let Some(bundle) = bundle else { return Ok(publisher) };
    let loaded = publisher.clone();
    let loaded = spawn_blocking(move || load::apply(&loaded, &bundle));
    loaded.await.map_err(|_| panicked())??;
    Ok(publisher)
}

fn open(data: &Path, clock: Clock, replica: Option<&Replica>) -> Result<Publisher, RunError> {
    let began = std::time::Instant::now();
    let store = Store::open(data)?;
    tracing::info!(took_ms = began.elapsed().as_millis(), "store opened and verified");
    Ok(match replica {
        None => Publisher::open(store, clock)?,
        Some(replica) => Publisher::open_copy(store, clock, replica.log())?,
    })
}
