//! The log in etcd, as the publisher asks for it.

use std::future::Future;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use pdp_proto::etcd::etcdserverpb as wire;
use pdp_proto::etcd::mvccpb::KeyValue;
use prost::Message;
use prost::bytes::Bytes;
use wire::response_op::Response;

use super::Shared;
use super::checkpoint::CheckpointRecord;
use super::chunks::{CHUNK_BYTES, Fetched, Pointer, Staged};
use super::etcd::{deleting, deleting_key, exists, getting, getting_key, has, putting};
use crate::publish::{Behind, Draft, Log, LogError, Place, Standing, With};

/// How many entries are read at once.
const READ_ENTRIES: i64 = 16;

/// An entry as it lies in etcd.
#[derive(Clone, PartialEq, Message)]
struct Stored {
    #[prost(oneof = "Body", tags = "1, 2")]
    body: Option<Body>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Body {
    /// The entry itself.
    #[prost(bytes = "bytes", tag = "1")]
    Inline(Bytes),
    /// Where its chunks are.
    #[prost(message, tag = "2")]
    Chunks(Pointer),
}

// === impl Shared ===

impl Shared {
    /// Waits for etcd on a thread that may.
    pub(super) fn wait<T>(&self, asked: impl Future<Output = T>) -> T {
        self.there.block_on(asked)
    }

    /// Nothing is asked of an etcd that does not answer: nobody is to wait for it.
    fn reachable(&self) -> Result<(), LogError> {
        if self.state.standing().reachable {
            return Ok(());
        }
        Err(LogError::Unavailable("etcd does not answer".to_owned()))
    }

    /// What lies in etcd for an entry, and the name and lease of its chunks.
    fn stage(&self, draft: &Draft) -> Result<(Bytes, Option<(String, i64)>), LogError> {
        let encoded = |body| Bytes::from(Stored { body: Some(body) }.encode_to_vec());
        if draft.entry.len() <= CHUNK_BYTES {
            return Ok((encoded(Body::Inline(Bytes::copy_from_slice(&draft.entry))), None));
        }
        let mut staged = Staged::begin(self, draft.then.log, draft.then.entries)?;
        if let Err(error) = staged.write_all(&draft.entry) {
            let failure = staged.failure();
            return Err(failure.unwrap_or_else(|| LogError::Unavailable(error.to_string())));
        }
        let (pointer, lease) = staged.end()?;
        let id = pointer.id.clone();
        Ok((encoded(Body::Chunks(pointer)), Some((id, lease))))
    }

    fn body(&self, value: &Bytes) -> Result<Option<Vec<u8>>, LogError> {
        let unreadable = || LogError::Unusable("it has an entry of a newer version".to_owned());
        let stored = Stored::decode(value.clone()).map_err(|_| unreadable())?;
        match stored.body.ok_or_else(unreadable)? {
            Body::Inline(entry) => Ok(Some(entry.to_vec())),
            Body::Chunks(pointer) => Fetched::whole(self, pointer),
        }
    }

    /// The transaction that puts an entry behind its place.
    fn appending(&self, draft: &Draft, value: &Bytes, staged: Option<&str>) -> wire::TxnRequest {
        let Draft { at, then, with, .. } = draft;
        let (head, entry) = (self.keys.head(at.log), self.keys.entry(then.log, then.entries));
        let mut compare = vec![exists(&entry, false)];
        compare.push(match at.entries {
            // The server's own log has no head before its first entry.
            0 if at.log == 0 => exists(&head, false),
            _ => has(&head, &at.to_bytes()),
        });
        let mut success = vec![putting(&entry, value.clone(), 0)];
        success.push(putting(&head, then.to_bytes(), 0));
        if let Some(id) = staged {
            compare.push(exists(&self.keys.staging(id), true));
            success.push(putting(&self.keys.kept(id), Bytes::new(), 0));
            success.push(deleting_key(&self.keys.staging(id)));
        }
        match with {
            With::Nothing => {}
            With::Begin(place) => {
                success.push(putting(&self.keys.head(place.log), place.to_bytes(), 0));
            }
            With::End(place) => {
                compare.push(has(&self.keys.head(place.log), &place.to_bytes()));
                success.push(deleting_key(&self.keys.head(place.log)));
                success.extend(self.keys.of_entries(place.log, None).iter().map(deleting));
            }
        }
        let failure = vec![getting(getting_key(&entry)), getting(getting_key(&head))];
        wire::TxnRequest { compare, success, failure }
    }

    /// A watcher of this server, among those of all.
    fn holder(&self, watcher: u64) -> Bytes {
        format!("{}-{watcher}", self.name).into()
    }

    fn entries(&self, at: &Place, kvs: Vec<KeyValue>) -> Result<Behind, LogError> {
        let mut entries = Vec::new();
        for (number, KeyValue { key, value, .. }) in (at.entries + 1..).zip(kvs) {
            if key != self.keys.entry(at.log, number).as_bytes() {
                break;
            }
            match self.body(&value)? {
                Some(entry) => entries.push(entry),
                None => break,
            }
        }
        Ok(if entries.is_empty() { Behind::Trimmed } else { Behind::Entries(entries) })
    }
}

impl Log for Shared {
    fn append(&self, draft: &Draft) -> Result<bool, LogError> {
        self.reachable()?;
        let (value, staged) = self.stage(draft)?;
        let txn = self.appending(draft, &value, staged.as_ref().map(|(id, _)| id.as_str()));
        let answer = self.wait(self.etcd.txn(txn))?;
        if let Some((_, lease)) = staged {
            // The key that it was for is gone; the lease would go by itself.
            self.wait(self.etcd.revoke(lease)).ok();
        }
        if answer.succeeded {
            return Ok(true);
        }
        let [there, head] = found(answer.responses);
        if there.is_some_and(|there| there.value == value) {
            // It was put by an attempt whose answer did not come.
            return Ok(true);
        }
        let unmoved = head.is_some_and(|head| head.value == draft.at.to_bytes());
        if unmoved && draft.with == With::Nothing {
            let detail = "its chunks took too long to be written";
            return Err(LogError::Unavailable(detail.to_owned()));
        }
        Ok(false)
    }

    fn read(&self, at: &Place) -> Result<Behind, LogError> {
        self.reachable()?;
        let entries = self.keys.entries_from(at.log, at.entries + 1).to_request();
        let entries = wire::RangeRequest { limit: READ_ENTRIES, ..entries };
        let success = vec![getting(getting_key(&self.keys.head(at.log))), getting(entries)];
        let txn = wire::TxnRequest { compare: Vec::new(), success, failure: Vec::new() };
        let mut answers = self.wait(self.etcd.txn(txn))?.responses.into_iter().map(kvs);
        let (head, entries) =
            (answers.next().unwrap_or_default(), answers.next().unwrap_or_default());
        let Some(head) = head.into_iter().next() else {
            return match (at.log, at.entries) {
                (0, 0) => Ok(Behind::Entries(Vec::new())),
                (0, _) => Err(LogError::Diverged("there is none".to_owned())),
                _ => Ok(Behind::Ended),
            };
        };
        let unreadable = |_| LogError::Unusable("its head cannot be read".to_owned());
        let head = Place::from_bytes(&head.value).map_err(unreadable)?;
        if head == *at {
            return Ok(Behind::Entries(Vec::new()));
        }
        if head.entries <= at.entries {
            let (log, here, there) = (at.log, at.entries, head.entries);
            return Err(LogError::Diverged(format!(
                "log {log} has {there} entries there, and {here} others here"
            )));
        }
        self.entries(at, entries)
    }

    fn checkpoint(&self) -> Result<Box<dyn std::io::Read + '_>, LogError> {
        let got = self.wait(self.etcd.range(getting_key(&self.keys.checkpoint())))?;
        let missing = || LogError::Unusable("its checkpoint is missing".to_owned());
        let value = got.kvs.into_iter().next().ok_or_else(missing)?.value;
        let record = CheckpointRecord::decode(value).map_err(|_| missing())?;
        Ok(Box::new(Fetched::new(self, record.pointer.ok_or_else(missing)?)))
    }

    fn claim(&self, log: u64, work: &str, watcher: u64, time: Duration) -> Result<bool, LogError> {
        self.reachable()?;
        let (key, holder) = (self.keys.claim(log, work), self.holder(watcher));
        self.wait(async {
            let lease = self.etcd.grant(time).await?;
            let txn = wire::TxnRequest {
                compare: vec![exists(&key, false)],
                success: vec![putting(&key, holder.clone(), lease)],
                failure: vec![getting(getting_key(&key))],
            };
            let answer = self.etcd.txn(txn).await?;
            let [there, _] = found(answer.responses);
            // An attempt whose answer did not come may have put it.
            let mine = answer.succeeded || there.is_some_and(|there| there.value == holder);
            if !mine {
                self.etcd.revoke(lease).await?;
            }
            Ok(mine)
        })
    }

    fn unclaim(&self, log: u64, work: &str, watcher: Option<u64>) {
        let key = self.keys.claim(log, work);
        let compare = watcher.map(|watcher| has(&key, &self.holder(watcher))).into_iter().collect();
        let success = vec![deleting_key(&key)];
        let txn = wire::TxnRequest { compare, success, failure: Vec::new() };
        let etcd = Arc::clone(&self.etcd);
        self.there.spawn(async move { etcd.txn(txn).await.ok() });
    }

    fn standing(&self) -> Standing {
        self.state.standing()
    }
}

/// The first key of each of two answers.
pub(super) fn found(responses: Vec<wire::ResponseOp>) -> [Option<KeyValue>; 2] {
    let mut answers = responses.into_iter().map(|answer| kvs(answer).into_iter().next());
    [answers.next().flatten(), answers.next().flatten()]
}

fn kvs(answer: wire::ResponseOp) -> Vec<KeyValue> {
    match answer.response {
        Some(Response::ResponseRange(range)) => range.kvs,
        _ => Vec::new(),
    }
}
