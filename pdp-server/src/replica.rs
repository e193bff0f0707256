//! One of several servers that share a log in etcd. The log is what is true; the store of each server is a
//! copy, from which it starts and goes on deciding where etcd is out of reach.
//!
//! The publisher decides what is written and what an entry means; here it is put into etcd, fetched, and
//! kept short. Nothing here knows what a policy is, and nobody else knows of etcd.

mod checkpoint;
mod chunks;
mod etcd;
mod following;
mod keys;
mod migrate;
mod shared;
mod standing;

use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;

use crate::config;
pub use crate::connector::ConnectError;
use crate::publish::Log;
use checkpoint::CheckpointRecord;
use etcd::Etcd;
pub use following::Following;
use keys::Keys;
pub use migrate::MigrateError;
use standing::State;

/// A server's side of the log.
#[derive(Clone)]
pub struct Replica(Arc<Shared>);

/// What the parts share.
struct Shared {
    etcd: Arc<Etcd>,
    keys: Keys,
    state: State,
    /// After how many entries, and bytes of them, a checkpoint is written.
    entries: u64,
    bytes: u64,
    /// What tells this server from the others, and from itself before a restart.
    name: String,
    /// Where etcd is asked; those who wait for its answers do so on threads that may block.
    there: Handle,
    /// The newest checkpoint that was seen.
    checkpoint: Mutex<CheckpointRecord>,
}

// === impl Replica ===

impl Replica {
    /// Of the settings; nothing is asked yet.
    ///
    /// # Errors
    /// [`ConnectError`] if an endpoint cannot be asked at all.
    pub fn new(settings: &config::Etcd, there: &Handle) -> Result<Self, ConnectError> {
        let _entered = there.enter();
        Ok(Self(Arc::new(Shared {
            etcd: Arc::new(Etcd::new(settings)?),
            name: name()?,
            keys: Keys::new(&settings.prefix),
            state: State::new(settings.max_stale),
            entries: settings.checkpoint_entries,
            bytes: settings.checkpoint_bytes,
            there: there.clone(),
            checkpoint: Mutex::default(),
        })))
    }

    /// The log, for the publisher.
    #[must_use]
    pub fn log(&self) -> Arc<dyn Log> {
        Arc::clone(&self.0) as Arc<dyn Log>
    }
}

fn name() -> Result<String, ConnectError> {
    let mut drawn = [0; 8];
    getrandom::fill(&mut drawn).map_err(|error| ConnectError::Random(error.to_string()))?;
    Ok(format!("{:016x}", u64::from_be_bytes(drawn)))
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replica").finish_non_exhaustive()
    }
}
