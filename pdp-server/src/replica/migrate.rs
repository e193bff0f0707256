//! Beginning a log with what a store has: the checkpoint is all of it, and every head is where that ends.

use prost::Message as _;
use prost::bytes::Bytes;

use pdp_proto::etcd::etcdserverpb as wire;

use super::checkpoint::{CheckpointRecord, MAX_OPERATIONS};
use super::chunks::Staged;
use super::etcd::{deleting_key, exists, getting_key, putting};
use super::keys::CHECKPOINTS;
use super::{Replica, Shared};
use crate::publish::{LogError, Place};
use crate::store::{BackupError, SERVER_LOG, Store, StoreError};

/// Why no log was begun.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// There is one.
    #[error(
        "etcd has another policy below `{0}`; name another `etcd_prefix`, or an etcd that is empty"
    )]
    NotEmpty(String),
    /// The store does not give what it has.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nor its backup.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// etcd does not take it.
    #[error("etcd does not take the policy ({}), and nothing was changed", .0.detail())]
    Log(LogError),
    /// It may have taken it.
    #[error("whether etcd has taken the policy is not known ({}); run it again", .0.detail())]
    Unknown(LogError),
}

// === impl Replica ===

impl Replica {
    /// Begins the log with what a store has, which is a copy of it from then on, and says how many bytes that
    /// were: none if etcd has it already. A copy whose log is lost begins it anew. It blocks, and no server
    /// may have the store open.
    ///
    /// # Errors
    /// [`MigrateError`]; but for [`MigrateError::Unknown`] the store is what it was before.
    pub fn migrate(&self, store: &Store) -> Result<u64, MigrateError> {
        let shared = &*self.0;
        let head = shared.wait(shared.etcd.range(getting_key(&shared.keys.head(SERVER_LOG))));
        let head = head.map_err(MigrateError::Log)?.kvs.into_iter().next();
        let own = |places: &[Place]| places.iter().find(|it| it.log == SERVER_LOG).copied();
        if let Some(head) = head {
            let is_same = own(&store.places()?).is_some_and(|own| head.value == own.to_bytes());
            return if is_same { Ok(0) } else { Err(shared.not_empty()) };
        }
        let is_new = store.begin_log()?;
        let begun = shared.begin_with(store);
        if is_new && !matches!(begun, Ok(_) | Err(MigrateError::Unknown(_))) {
            store.leave_log()?;
        }
        begun
    }
}

// === impl Shared ===

impl Shared {
    fn not_empty(&self) -> MigrateError {
        MigrateError::NotEmpty(self.keys.prefix().to_owned())
    }

    fn begin_with(&self, store: &Store) -> Result<u64, MigrateError> {
        let places = store.places()?;
        let number = places.iter().map(|place| place.entries).sum();
        let mut staged = Staged::begin(self, CHECKPOINTS, number).map_err(MigrateError::Log)?;
        if let Err(error) = store.backup(&mut staged) {
            return Err(staged.failure().map_or(MigrateError::Backup(error), MigrateError::Log));
        }
        let (pointer, lease) = staged.end().map_err(MigrateError::Log)?;
        let (id, bytes) = (pointer.id.clone(), pointer.bytes);
        let record = CheckpointRecord::new(pointer, &places);
        // The head of the server's own log makes it a log, and comes last: the others mean nothing without it.
        let nothing =
            || [self.keys.head(SERVER_LOG), self.keys.checkpoint()].map(|key| exists(&key, false));
        let heads = places.iter().map(|it| putting(&self.keys.head(it.log), it.to_bytes(), 0));
        let (own, tenants): (Vec<_>, Vec<_>) =
            heads.zip(&places).partition(|(_, place)| place.log == SERVER_LOG);
        let tenants: Vec<_> = tenants.into_iter().map(|(put, _)| put).collect();
        for some in tenants.chunks(MAX_OPERATIONS) {
            let compare = nothing().to_vec();
            let txn = wire::TxnRequest { compare, success: some.to_vec(), failure: Vec::new() };
            let taken = self.wait(self.etcd.txn(txn)).map_err(MigrateError::Log)?;
            if !taken.succeeded {
                return Err(self.not_empty());
            }
        }
        let mut success: Vec<_> = own.into_iter().map(|(put, _)| put).collect();
        success.push(putting(&self.keys.checkpoint(), record.encode_to_vec(), 0));
        success.push(putting(&self.keys.kept(&id), Bytes::new(), 0));
        success.push(deleting_key(&self.keys.staging(&id)));
        let mut compare = nothing().to_vec();
        compare.push(exists(&self.keys.staging(&id), true));
        let failure = vec![super::etcd::getting(getting_key(&self.keys.checkpoint()))];
        let txn = wire::TxnRequest { compare, success, failure };
        let answer = self.wait(self.etcd.txn(txn)).map_err(MigrateError::Unknown)?;
        self.wait(self.etcd.revoke(lease)).ok();
        // An attempt whose answer did not come may have put it.
        let there = super::shared::found(answer.responses)[0].take();
        let is_mine = there.is_some_and(|there| there.value == record.encode_to_vec());
        if answer.succeeded || is_mine { Ok(bytes) } else { Err(self.not_empty()) }
    }
}
