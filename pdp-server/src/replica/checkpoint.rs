//! Keeping the log short: once it has grown by so much, one of the servers writes down what it has, and what
//! came before is taken away. A server that is further behind takes the checkpoint over.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use pdp_proto::etcd::etcdserverpb as wire;
use prost::Message;
use prost::bytes::Bytes;

use super::Shared;
use super::chunks::{Pointer, Staged};
use super::etcd::{deleting, deleting_key, exists, getting_key, has, putting};
use super::keys::CHECKPOINTS;
use crate::publish::{LogError, Place, Publisher};

/// How long one server may be at it before another tries. One that is cut off holds up the others for so
/// long; of two that are at it, one wins.
const TURN: Duration = Duration::from_secs(20);

/// Of how many entries one is kept for those who are a little behind.
const KEPT_SHARE: u64 = 8;

/// How many operations a transaction may have: fewer than etcd takes.
pub(super) const MAX_OPERATIONS: usize = 96;

/// What lies under the key of the checkpoint.
#[derive(Clone, PartialEq, Message)]
pub(super) struct CheckpointRecord {
    #[prost(message, optional, tag = "1")]
    pub(super) pointer: Option<Pointer>,
    /// How far it goes in each log, at least.
    #[prost(bytes = "vec", repeated, tag = "2")]
    places: Vec<Vec<u8>>,
}

// === impl CheckpointRecord ===

impl CheckpointRecord {
    /// Of a checkpoint that goes so far.
    pub(super) fn new(pointer: Pointer, places: &[Place]) -> Self {
        let places = places.iter().map(|place| place.to_bytes()).collect();
        Self { pointer: Some(pointer), places }
    }

    /// How far it goes in each log.
    fn places(&self) -> Vec<Place> {
        self.places.iter().filter_map(|bytes| Place::from_bytes(bytes).ok()).collect()
    }
}

// === impl Shared ===

impl Shared {
    /// Writes a checkpoint if it is time, and nobody else does. It blocks.
    pub(super) fn write_checkpoint(
        self: &Arc<Self>,
        publisher: &Publisher,
    ) -> Result<(), LogError> {
        let unreadable = |error: &dyn std::fmt::Display| LogError::Unusable(error.to_string());
        let places = publisher.places().map_err(|error| unreadable(&error))?;
        let known = self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !self.is_due(&places, &known) {
            return Ok(());
        }
        let there = self.wait(self.etcd.range(getting_key(&self.keys.checkpoint())))?;
        let there = there.kvs.into_iter().next().map(|kv| kv.value);
        let before = there.clone().map(CheckpointRecord::decode).transpose();
        let before = before.map_err(|error| unreadable(&error))?.unwrap_or_default();
        *self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner) = before.clone();
        if !self.is_due(&places, &before) {
            return Ok(());
        }
        let lease = self.wait(self.etcd.grant(TURN))?;
        let key = self.keys.checkpointing();
        let turn = wire::TxnRequest {
            compare: vec![exists(&key, false)],
            success: vec![putting(&key, Bytes::new(), lease)],
            failure: Vec::new(),
        };
        let mine = self.wait(self.etcd.txn(turn))?.succeeded;
        let written = if mine { self.written(publisher, &places, there, &before) } else { Ok(()) };
        self.wait(self.etcd.revoke(lease)).ok();
        written
    }

    /// Whether logs have grown enough since.
    pub(super) fn is_due(&self, places: &[Place], before: &CheckpointRecord) -> bool {
        let before = before.places();
        let (mut entries, mut bytes) = (0, 0);
        for place in places {
            let (more, larger) = grown(place, &before);
            entries += more;
            bytes += larger;
        }
        entries >= self.entries || bytes >= self.bytes
    }

    fn written(
        self: &Arc<Self>,
        publisher: &Publisher,
        places: &[Place],
        there: Option<Bytes>,
        before: &CheckpointRecord,
    ) -> Result<(), LogError> {
        let number = places.iter().map(|place| place.entries).sum();
        let mut staged = Staged::begin(self, CHECKPOINTS, number)?;
        // It has at least what `places` say: it is read afterwards.
        if let Err(error) = publisher.backup(&mut staged) {
            let failure = staged.failure();
            return Err(failure.unwrap_or_else(|| LogError::Unusable(error.to_string())));
        }
        let (pointer, lease) = staged.end()?;
        let (id, bytes) = (pointer.id.clone(), pointer.bytes);
        let record = CheckpointRecord::new(pointer, places);
        let key = self.keys.checkpoint();
        let unmoved = there.map_or_else(|| exists(&key, false), |value| has(&key, &value));
        let mut success = vec![
            putting(&key, record.encode_to_vec(), 0),
            putting(&self.keys.kept(&id), Bytes::new(), 0),
            deleting_key(&self.keys.staging(&id)),
        ];
        if let Some(Pointer { id, .. }) = &before.pointer {
            success.push(deleting(&self.keys.chunks(id)));
            success.push(deleting_key(&self.keys.kept(id)));
        }
        let compare = vec![unmoved, exists(&self.keys.staging(&id), true)];
        let txn = wire::TxnRequest { compare, success, failure: Vec::new() };
        let answer = self.wait(self.etcd.txn(txn))?;
        self.wait(self.etcd.revoke(lease)).ok();
        if !answer.succeeded {
            return Ok(());
        }
        let revision = answer.header.map_or(0, |header| header.revision);
        self.trim(places, &before.places())?;
        self.wait(self.etcd.compact(revision))?;
        self.collect()?;
        tracing::info!(bytes, "a checkpoint of the log is written");
        Ok(())
    }

    /// How many entries of a log are kept: an eighth of what a checkpoint is written after, in entries and, as
    /// large as the newer ones are on average, in bytes.
    fn kept(&self, place: &Place, before: &[Place]) -> u64 {
        let (entries, bytes) = grown(place, before);
        let each = (bytes / entries.max(1)).max(1);
        (self.entries / KEPT_SHARE).min(self.bytes / KEPT_SHARE / each)
    }

    /// Takes away what the checkpoint has, but for a few entries.
    fn trim(&self, places: &[Place], before: &[Place]) -> Result<(), LogError> {
        let trimmed = places.iter().filter_map(|place| {
            let end = place.entries.checked_sub(self.kept(place, before))?;
            (end > 0).then_some((place.log, end))
        });
        let operations: Vec<_> = trimmed
            .flat_map(|(log, end)| self.keys.of_entries(log, Some(end)))
            .map(|range| deleting(&range))
            .collect();
        for some in operations.chunks(MAX_OPERATIONS) {
            let success = some.to_vec();
            let txn = wire::TxnRequest { compare: Vec::new(), success, failure: Vec::new() };
            self.wait(self.etcd.txn(txn))?;
        }
        Ok(())
    }
}

/// By how many entries, and how many bytes, a log has grown since.
fn grown(place: &Place, before: &[Place]) -> (u64, u64) {
    let then = before.iter().find(|it| it.log == place.log);
    let entries = place.entries.saturating_sub(then.map_or(0, |it| it.entries));
    (entries, place.bytes.saturating_sub(then.map_or(0, |it| it.bytes)))
}
