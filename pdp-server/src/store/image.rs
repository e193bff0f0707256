//! The image beside the store: what decisions read of every policy, compiled, so that the next start can decide
//! before it has read the facts ([`pdp_engine::image`]).
//!
//! An image holds for one state of one store: it names the revision of every tenant, and the hash that its audit
//! had with it, which stands for the whole history that led there. It is of the sources that made it, and
//! ends with a digest of all of it. Where anything of that differs the start is as without one. A start uses it up.

#[cfg(test)]
mod tests;

use std::fs::{File, rename};
use std::io::{self, BufWriter, Error, ErrorKind, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use pdp_engine::id::TenantId;
use pdp_engine::image;
use pdp_engine::query::Revision;
use pdp_engine::snapshot::Snapshot;
use redb::ReadableTable as _;
use sha2::{Digest as _, Sha256};

use super::folder::sync_names;
use super::load::{self, StoredBeside};
use super::record::TenantRecord;
use super::rows::TENANTS;
use super::{FORMAT, Store, StoreError};
use crate::audit::Digest;

/// The name of the image of the policy in the data folder, beside the store.
pub const IMAGE_NAME: &str = "pdp.redb.image";

/// The name of one that is being written.
pub(super) const WRITING: &str = "pdp.redb.image.writing";

/// How such a file begins: what it is, and a digest of the sources that made it, of what is around the policies and
/// of the policies.
const BEGIN: &str = concat!("pdp image ", env!("SOURCES_DIGEST"), "\n");

/// How many bytes a digest has.
const DIGEST: usize = 32;

/// How many bytes are read at a time, and how many times as many may wait to be decoded.
const BLOCK: usize = 1 << 20;
const WAITING_BLOCKS: usize = 4;

/// The longest table of states that is read, in tenants and in bytes of a name.
const MAX_TENANTS: u32 = 1 << 20;
const MAX_NAME: u32 = 1 << 10;

/// The state of a tenant that an image holds for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    tenant: TenantId,
    revision: Revision,
    /// Of the history that led to the revision; of none at revision 0.
    mark: Digest,
}

/// An image that is being read, for as long as somebody waits for it.
pub(crate) struct Reading {
    /// Where there are threads for it.
    begun: Option<Begun>,
    /// That nobody waits any more.
    unwanted: Arc<AtomicBool>,
}

struct Begun {
    /// What it is of, which comes first.
    states: Receiver<Vec<State>>,
    policies: JoinHandle<io::Result<Vec<Snapshot>>>,
}

/// Passes on what is written, and digests it.
struct Digesting<W> {
    to: W,
    digest: Sha256,
}

/// The blocks of a file, which somebody else reads and digests.
struct Blocks {
    blocks: Receiver<io::Result<Vec<u8>>>,
    unwanted: Arc<AtomicBool>,
    block: Vec<u8>,
    at: usize,
}

// === impl Reading ===

impl Reading {
    /// Begins to read the image in a data folder, beside whatever else there is to do.
    pub(crate) fn begin(dir: &Path) -> Self {
        let file = dir.join(IMAGE_NAME);
        let (tell, states) = sync_channel(1);
        let unwanted = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&unwanted);
        let thread = std::thread::Builder::new().name("pdp-image".to_owned());
        let policies = thread.spawn(move || read(&file, &tell, stop)).ok();
        Self { begun: policies.map(|policies| Begun { states, policies }), unwanted }
    }

    /// The policies, if it is of these states.
    fn end(mut self, wanted: Option<&[State]>) -> io::Result<Vec<Snapshot>> {
        let Some(Begun { states, policies }) = self.begun.take() else {
            return Err(Error::other("there is no thread to read it"));
        };
        // Where it has no states, whoever reads it says why.
        if states.recv().is_ok_and(|states| wanted != Some(states.as_slice())) {
            return Err(Error::other("it is of another state of the policy"));
        }
        let read = policies.join();
        read.unwrap_or_else(|_| Err(Error::other("reading it ended in an internal error")))
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.unwanted.store(true, Ordering::Relaxed);
    }
}

// === impl Store ===

impl Store {
    /// Every tenant's policy, to be decided upon, with what else is stored of the tenant; `None` where there is no
    /// image of what is stored. Whatever there is goes.
    ///
    /// # Errors
    /// A record that cannot be read, or a database that does not answer.
    pub(crate) fn imaged(
        &self,
        reading: Reading,
    ) -> Result<Option<Vec<(StoredBeside, Snapshot)>>, StoreError> {
        // What is older is raised first, and a copy follows its log.
        let states = match self.format()? {
            Some(FORMAT) => self.states()?,
            _ => None,
        };
        let read = reading.end(states.as_deref());
        // It is used once: a start that does not come to its end is not begun the same way again.
        self.remove_image();
        match read {
            Ok(policies) => {
                let txn = self.begin_read()?;
                let tenants = states.into_iter().flatten().map(|state| state.tenant);
                let with = |(tenant, policy)| Ok((load::beside(&txn, tenant)?, policy));
                tenants.zip(policies).map(with).collect::<Result<_, _>>().map(Some)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => {
                tracing::warn!(%error, "the image of the policy is not used");
                Ok(None)
            }
        }
    }

    /// Writes an image of these policies, if they are what is stored; how many bytes it has.
    ///
    /// # Errors
    /// The store does not say what it has, or the folder does not take the file.
    pub(crate) fn keep_image(
        &self,
        policies: impl FnOnce() -> Vec<(TenantId, Arc<Snapshot>)>,
    ) -> Result<Option<u64>, StoreError> {
        let Some(dir) = self.folder() else { return Ok(None) };
        let Some(states) = self.states()? else { return Ok(None) };
        let policies = policies();
        let shown = policies.iter().map(|(tenant, policy)| (tenant, policy.revision()));
        if !shown.eq(states.iter().map(|state| (&state.tenant, state.revision))) {
            return Ok(None);
        }
        let written = write(dir, &states, &policies);
        // What was committed meanwhile may have come before the policies were looked at.
        let counts = written.is_ok() && self.states()?.as_ref() == Some(&states);
        if !counts {
            self.remove_image();
        }
        let unusable = |source| StoreError::Folder { dir: dir.to_owned(), source };
        written.map(|bytes| counts.then_some(bytes)).map_err(unusable)
    }

    /// Removes the image, and what is left of one that was being written.
    pub(crate) fn remove_image(&self) {
        for name in [IMAGE_NAME, WRITING] {
            if let Some(dir) = self.folder() {
                std::fs::remove_file(dir.join(name)).ok();
            }
        }
    }

    fn folder(&self) -> Option<&Path> {
        self.file.as_deref()?.parent()
    }

    /// The state of every tenant, in the order of the names; `None` where a history is not known.
    fn states(&self) -> Result<Option<Vec<State>>, StoreError> {
        let mut states = Vec::new();
        for row in self.begin_read()?.open_table(TENANTS)?.iter()? {
            let (name, record) = row?;
            let place = || format!("tenant `{}`", name.value().escape_debug());
            let unreadable = |source| StoreError::Record { place: place(), source };
            let tenant = TenantId::new(name.value()).map_err(|error| unreadable(error.into()))?;
            let record = TenantRecord::from_bytes(record.value()).map_err(unreadable)?;
            let revision = Revision::new(record.revision);
            let mark = match revision {
                Revision::ZERO => Some(Digest([0; DIGEST])),
                revision => self.mark(&tenant, revision)?,
            };
            let Some(mark) = mark else { return Ok(None) };
            states.push(State { tenant, revision, mark });
        }
        Ok(Some(states))
    }
}

fn write(dir: &Path, states: &[State], policies: &[(TenantId, Arc<Snapshot>)]) -> io::Result<u64> {
    let writing = dir.join(WRITING);
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = Digesting {
        to: BufWriter::with_capacity(BLOCK, options.open(&writing)?),
        digest: Sha256::new(),
    };
    write_states(states, &mut out)?;
    for (_, policy) in policies {
        image::write(policy, &mut out)?;
    }
    let Digesting { mut to, digest } = out;
    to.write_all(&digest.finalize())?;
    let file = to.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    rename(&writing, dir.join(IMAGE_NAME))?;
    sync_names(dir, 0)?;
    Ok(file.metadata()?.len())
}

fn write_states(states: &[State], out: &mut impl Write) -> io::Result<()> {
    out.write_all(BEGIN.as_bytes())?;
    out.write_all(&length(states.len())?)?;
    for State { tenant, revision, mark } in states {
        out.write_all(&length(tenant.as_str().len())?)?;
        out.write_all(tenant.as_str().as_bytes())?;
        out.write_all(&revision.get().to_le_bytes())?;
        out.write_all(&mark.0)?;
    }
    Ok(())
}

fn length(length: usize) -> io::Result<[u8; 4]> {
    Ok(u32::try_from(length).map_err(|_| damaged())?.to_le_bytes())
}

/// Reads a whole image, and tells first what it is of: one thread reads the file and digests it, this one makes
/// policies of it.
fn read(
    file: &Path,
    tell: &SyncSender<Vec<State>>,
    unwanted: Arc<AtomicBool>,
) -> io::Result<Vec<Snapshot>> {
    let mut file = File::open(file)?;
    let bytes = file.metadata()?.len().checked_sub(DIGEST as u64).ok_or_else(damaged)?;
    let (give, blocks) = sync_channel(WAITING_BLOCKS);
    let reader = std::thread::Builder::new().name("pdp-image-blocks".to_owned());
    let intact = reader.spawn(move || is_intact(&mut file, bytes, &give))?;
    let mut from = Blocks { blocks, unwanted, block: Vec::new(), at: 0 };
    let states = read_states(&mut from)?;
    tell.send(states.clone()).ok();
    let policy = |state: &State| image::read(&mut from, bytes, state.revision);
    let policies = states.iter().map(policy).collect::<io::Result<_>>()?;
    drop(from);
    match intact.join() {
        Ok(Ok(true)) => Ok(policies),
        _ => Err(damaged()),
    }
}

/// Gives so many bytes, block by block, and says whether the digest behind them is theirs.
fn is_intact(
    file: &mut File,
    bytes: u64,
    give: &SyncSender<io::Result<Vec<u8>>>,
) -> io::Result<bool> {
    let (mut digest, mut left) = (Sha256::new(), bytes);
    while left > 0 {
        let mut block = vec![0; usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK))];
        let got = file.read_exact(&mut block);
        left -= block.len() as u64;
        digest.update(&block);
        if give.send(got.map(|()| block)).is_err() {
            return Ok(false);
        }
    }
    let mut expected = [0; DIGEST];
    file.read_exact(&mut expected)?;
    Ok(digest.finalize().as_slice() == expected)
}

fn read_states(from: &mut impl Read) -> io::Result<Vec<State>> {
    let mut begin = [0; BEGIN.len()];
    from.read_exact(&mut begin)?;
    if begin != BEGIN.as_bytes() {
        return Err(Error::new(ErrorKind::InvalidData, "another version has written it"));
    }
    let count = read_length(from, MAX_TENANTS)?;
    (0..count)
        .map(|_| {
            let mut name = vec![0; read_length(from, MAX_NAME)? as usize];
            from.read_exact(&mut name)?;
            let (mut revision, mut mark) = ([0; 8], [0; DIGEST]);
            from.read_exact(&mut revision)?;
            from.read_exact(&mut mark)?;
            let name = String::from_utf8(name).map_err(|_| damaged())?;
            let tenant = TenantId::new(name).map_err(|_| damaged())?;
            let revision = Revision::new(u64::from_le_bytes(revision));
            Ok(State { tenant, revision, mark: Digest(mark) })
        })
        .collect()
}

fn read_length(from: &mut impl Read, most: u32) -> io::Result<u32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    Some(u32::from_le_bytes(bytes)).filter(|length| *length <= most).ok_or_else(damaged)
}

fn damaged() -> Error {
    Error::new(ErrorKind::InvalidData, "it is damaged")
}

// === impl Digesting ===

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.digest.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

// === impl Blocks ===

impl Read for Blocks {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.at == self.block.len() {
            if self.unwanted.load(Ordering::Relaxed) {
                return Err(Error::other("nobody waits for it"));
            }
            match self.blocks.recv() {
                Ok(block) => (self.block, self.at) = (block?, 0),
                Err(_ended) => return Ok(0),
            }
        }
        let length = self.block.get(self.at..).unwrap_or_default().read(to)?;
        self.at += length;
        Ok(length)
    }
}
