//! The image beside the store: what decisions read of every policy, compiled, so that the next start can decide
//! before it has read the facts ([`pdp_engine::image`]).
//!
//! An image holds for one state of one store: it names the revision of every tenant, and the hash that its audit
//! had with it, which stands for the whole history that led there. It is of the engine that compiled it, and
//! ends with a digest of all of it. Where anything of that differs it is passed over, and the start takes as long as
//! without one.

#[cfg(test)]
mod tests;

use std::fs::{File, rename};
use std::io::{self, BufWriter, Error, ErrorKind, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use pdp_engine::id::TenantId;
use pdp_engine::image::{self, ENGINE};
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
const WRITING: &str = "pdp.redb.image.writing";

/// How such a file begins: with what it is, and the version of what is around the policies.
const MAGIC: &[u8] = b"pdp image 1\n";

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

/// An image that is being read.
pub(crate) struct Reading(Option<JoinHandle<io::Result<Policies>>>);

/// Every tenant's policy, in the order of the names.
type Policies = Vec<(State, Snapshot)>;

/// Passes on what is written, and digests it.
struct Digesting<W> {
    to: W,
    digest: Sha256,
}

/// The blocks of a file, which somebody else reads and digests.
struct Blocks {
    blocks: Receiver<io::Result<Vec<u8>>>,
    block: Vec<u8>,
    at: usize,
}

// === impl Reading ===

impl Reading {
    /// Begins to read the image in a data folder, beside whatever else there is to do. It has to be the first
    /// thing that the process does with names: it takes over the key that they were hashed by.
    pub(crate) fn begin(dir: &Path) -> Self {
        let file = dir.join(IMAGE_NAME);
        let read = move || read(&file);
        let thread = std::thread::Builder::new().name("pdp-image".to_owned());
        Self(thread.spawn(read).ok())
    }

    /// What it has, if it can be used at all.
    fn end(self) -> Option<Policies> {
        match self.0?.join() {
            Ok(Ok(read)) => Some(read),
            Ok(Err(error)) if error.kind() == ErrorKind::NotFound => None,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the image of the policy is passed over");
                None
            }
            Err(_panicked) => None,
        }
    }
}

// === impl Store ===

impl Store {
    /// Every tenant's policy, to be decided upon, with what else is stored of the tenant; `None` where the image
    /// is not of what is stored.
    ///
    /// # Errors
    /// A record that cannot be read, or a database that does not answer.
    pub(crate) fn imaged(
        &self,
        reading: Reading,
    ) -> Result<Option<Vec<(StoredBeside, Snapshot)>>, StoreError> {
        let Some(read) = reading.end() else { return Ok(None) };
        // What is older is raised first, and a copy follows its log.
        let states = match self.format()? {
            Some(FORMAT) => self.states()?,
            _ => None,
        };
        let of_now = states.is_some_and(|states| states.iter().eq(read.iter().map(|(it, _)| it)));
        if !of_now {
            tracing::info!("the image is of an earlier state of the policy, and is passed over");
            return Ok(None);
        }
        let txn = self.begin_read()?;
        let with = |(State { tenant, .. }, policy)| Ok((load::beside(&txn, tenant)?, policy));
        read.into_iter().map(with).collect::<Result<_, _>>().map(Some)
    }

    /// Writes an image of these policies, if they are what is stored and there is none of them yet; how many
    /// bytes it has. Nothing may be committed meanwhile.
    ///
    /// # Errors
    /// The store does not say where it is, or the folder does not take the file.
    pub(crate) fn keep_image(
        &self,
        policies: &[(TenantId, Arc<Snapshot>)],
    ) -> Result<Option<u64>, StoreError> {
        let Some(dir) = self.file.as_deref().and_then(Path::parent) else { return Ok(None) };
        let Some(states) = self.states()? else { return Ok(None) };
        let shown = policies.iter().map(|(tenant, policy)| (tenant, policy.revision()));
        if !shown.eq(states.iter().map(|state| (&state.tenant, state.revision))) {
            return Ok(None);
        }
        let file = dir.join(IMAGE_NAME);
        if File::open(&file).and_then(|file| read_states(&mut io::BufReader::new(file))).ok()
            == Some(states.clone())
        {
            return Ok(None);
        }
        let unusable = |source| StoreError::Folder { dir: dir.to_owned(), source };
        let written = write(dir, &states, policies).inspect_err(|_| {
            // Half of one is of no use, and takes room.
            std::fs::remove_file(dir.join(WRITING)).ok();
        });
        written.map(Some).map_err(unusable)
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
    out.write_all(MAGIC)?;
    out.write_all(ENGINE.as_bytes())?;
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

/// Reads a whole image: one thread reads the file and digests it, this one makes policies of it.
fn read(file: &Path) -> io::Result<Policies> {
    let mut file = File::open(file)?;
    let bytes = file.metadata()?.len().checked_sub(DIGEST as u64).ok_or_else(damaged)?;
    let (give, blocks) = sync_channel(WAITING_BLOCKS);
    let reader = std::thread::Builder::new().name("pdp-image-blocks".to_owned());
    let intact = reader.spawn(move || -> io::Result<bool> {
        let (mut digest, mut left) = (Sha256::new(), bytes);
        while left > 0 {
            let mut block = vec![0; usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK))];
            let got = file.read_exact(&mut block);
            left -= block.len() as u64;
            digest.update(&block);
            let given = give.send(got.map(|()| block));
            if given.is_err() {
                return Ok(false);
            }
        }
        let mut expected = [0; DIGEST];
        file.read_exact(&mut expected)?;
        Ok(digest.finalize().as_slice() == expected)
    })?;
    let mut from = Blocks { blocks, block: Vec::new(), at: 0 };
    let states = read_states(&mut from)?;
    let mut all = Vec::with_capacity(states.len());
    for state in states {
        let policy = image::read(&mut from, bytes, state.revision)?;
        all.push((state, policy));
    }
    drop(from);
    match intact.join() {
        Ok(Ok(true)) => Ok(all),
        _ => Err(damaged()),
    }
}

fn read_states(from: &mut impl Read) -> io::Result<Vec<State>> {
    let mut begin = [0; MAGIC.len() + ENGINE.len()];
    from.read_exact(&mut begin)?;
    if begin != *[MAGIC, ENGINE.as_bytes()].concat() {
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
