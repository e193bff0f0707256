//! What is too large for one request: it is put into etcd in chunks, under a name of its own, before the one
//! transaction that makes it real. A key with a lease says meanwhile that somebody is at it; chunks of which
//! neither that nor anything else is left are taken away.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use pdp_proto::etcd::etcdserverpb as wire;
use prost::Message;
use prost::bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::Shared;
use super::etcd::{deleting, exists, getting_key};
use crate::publish::LogError;

/// How large a chunk is, in bytes: with its key it fits into the 1.5 MiB that etcd takes in a request.
pub(super) const CHUNK_BYTES: usize = 1 << 20;

/// How long it may take to write all chunks of one thing.
const STAGING: Duration = Duration::from_secs(300);

/// Where chunks are.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Pointer {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(uint64, tag = "2")]
    pub(super) chunks: u64,
    #[prost(uint64, tag = "3")]
    pub(super) bytes: u64,
    /// SHA-256 over all of them.
    #[prost(bytes = "vec", tag = "4")]
    pub(super) digest: Vec<u8>,
}

/// Puts what is written into etcd, chunk by chunk.
pub(super) struct Staged<'a> {
    shared: &'a Shared,
    id: String,
    lease: i64,
    chunk: Vec<u8>,
    chunks: u64,
    bytes: u64,
    digest: Sha256,
    failed: Option<LogError>,
}

/// Reads chunks back.
pub(super) struct Fetched<'a> {
    shared: &'a Shared,
    pointer: Pointer,
    next: u64,
    chunk: io::Cursor<Bytes>,
}

// === impl Staged ===

impl<'a> Staged<'a> {
    /// Begins under the name of a log and a number in it.
    pub(super) fn begin(shared: &'a Shared, log: u64, number: u64) -> Result<Self, LogError> {
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce).map_err(|error| LogError::Unusable(error.to_string()))?;
        let nonce = u64::from_be_bytes(nonce);
        let id = format!("{log:016x}/{number:016x}-{nonce:016x}");
        let lease = shared.wait(async {
            let lease = shared.etcd.grant(STAGING).await?;
            shared.etcd.put(&shared.keys.staging(&id), Bytes::new(), lease).await?;
            Ok(lease)
        })?;
        let (chunk, digest) = (Vec::new(), Sha256::new());
        Ok(Self { shared, id, lease, chunk, chunks: 0, bytes: 0, digest, failed: None })
    }

    /// Where everything is that was written, and the lease of the key that says that somebody is at it.
    pub(super) fn end(mut self) -> Result<(Pointer, i64), LogError> {
        if !self.chunk.is_empty() {
            self.put()?;
        }
        let digest = self.digest.finalize().to_vec();
        Ok((Pointer { id: self.id, chunks: self.chunks, bytes: self.bytes, digest }, self.lease))
    }

    /// Why it was not written, where writing said so.
    pub(super) fn failure(&mut self) -> Option<LogError> {
        self.failed.take()
    }

    fn put(&mut self) -> Result<(), LogError> {
        let chunk = Bytes::from(std::mem::take(&mut self.chunk));
        self.digest.update(&chunk);
        self.bytes += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        let key = self.shared.keys.chunk(&self.id, self.chunks);
        self.chunks += 1;
        self.shared.wait(self.shared.etcd.put(&key, chunk, 0))
    }
}

impl Write for Staged<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = CHUNK_BYTES.saturating_sub(self.chunk.len());
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or(bytes);
        self.chunk.extend_from_slice(taken);
        if self.chunk.len() >= CHUNK_BYTES {
            self.put().map_err(|error| {
                self.failed = Some(error.clone());
                io::Error::other(error)
            })?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// === impl Fetched ===

impl<'a> Fetched<'a> {
    pub(super) fn new(shared: &'a Shared, pointer: Pointer) -> Self {
        Self { shared, pointer, next: 0, chunk: io::Cursor::new(Bytes::new()) }
    }

    /// Everything; `None` if some of it has been taken away.
    pub(super) fn whole(shared: &'a Shared, pointer: Pointer) -> Result<Option<Vec<u8>>, LogError> {
        let digest = pointer.digest.clone();
        let mut fetched = Self::new(shared, pointer);
        let mut all = Vec::new();
        while fetched.next < fetched.pointer.chunks {
            let Some(chunk) = fetched.chunk()? else { return Ok(None) };
            all.extend_from_slice(&chunk);
        }
        if Sha256::digest(&all).as_slice() != digest {
            return Err(LogError::Diverged(
                "the chunks of an entry are not what was put".to_owned(),
            ));
        }
        Ok(Some(all))
    }

    fn chunk(&mut self) -> Result<Option<Bytes>, LogError> {
        let key = self.shared.keys.chunk(&self.pointer.id, self.next);
        self.next += 1;
        let got = self.shared.wait(self.shared.etcd.range(getting_key(&key)))?;
        Ok(got.kvs.into_iter().next().map(|kv| kv.value))
    }
}

impl Read for Fetched<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.chunk.read(out)?;
        if read > 0 || out.is_empty() || self.next >= self.pointer.chunks {
            return Ok(read);
        }
        let chunk = self.chunk().map_err(io::Error::other)?;
        let gone =
            || io::Error::new(io::ErrorKind::NotFound, "a newer checkpoint has taken its place");
        self.chunk = io::Cursor::new(chunk.ok_or_else(gone)?);
        self.chunk.read(out)
    }
}

// === impl Shared ===

impl Shared {
    /// Takes chunks away that nobody writes and nothing has.
    pub(super) fn collect(self: &Arc<Self>) -> Result<(), LogError> {
        self.wait(async {
            let keys =
                wire::RangeRequest { keys_only: true, ..self.keys.all_chunks().to_request() };
            let found = self.etcd.range(keys).await?;
            let mut ids: Vec<String> = Vec::new();
            for kv in found.kvs {
                let key = String::from_utf8_lossy(&kv.key).into_owned();
                match self.keys.chunks_of(&key) {
                    Some(id) if ids.last().is_none_or(|last| last != id) => ids.push(id.to_owned()),
                    Some(_) | None => {}
                }
            }
            for id in ids {
                let compare = vec![
                    exists(&self.keys.staging(&id), false),
                    exists(&self.keys.kept(&id), false),
                ];
                let success = vec![deleting(&self.keys.chunks(&id))];
                let txn = wire::TxnRequest { compare, success, failure: Vec::new() };
                if self.etcd.txn(txn).await?.succeeded {
                    tracing::info!(id, "chunks that nobody finished are taken away");
                }
            }
            Ok(())
        })
    }
}
