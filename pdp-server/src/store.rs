//! The store: every tenant's facts, revision, remembered requests and audit, in one redb file.
//!
//! A commit is one transaction with immediate durability: when it returns, the change set is on
//! disk, whole. Nothing here knows what a fact means; the disk's types are
//! declared in `record` and go no further.
//!
//! A change of the policy is committed in two phases, so that a damaged newest state is reported as
//! damage: with one phase it could pass for a commit that a crash had cut short, and be rolled back.
//! A step of a session is committed in one phase, because a broker waits for it with somebody in front
//! of it; the next change of the policy covers it, too.

mod audit;
mod backup;
mod compact;
mod failure;
mod folder;
mod image;
mod journal;
mod load;
mod log;
mod measure;
mod record;
mod rows;
mod session;
mod upgrade;

#[cfg(test)]
pub(crate) mod disk;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant;

use pdp_engine::facts::{Change, Delta, Facts};
use pdp_engine::id::TenantId;
use pdp_engine::query::Revision;
use pdp_engine::time::Timestamp;
use prost::Message;
use redb::{
    Builder, Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase,
    StorageBackend, StorageError, TransactionError, WriteTransaction,
};

pub use backup::{BackupError, verify_backup};
pub use failure::StoreError;
use failure::is_damage;
use folder::{NEXT, REPLACED, RESTORING, claim, sync_names};
pub use image::IMAGE_NAME;
pub use journal::{Journaled, Position};
pub(crate) use load::threads_for;
pub use log::{Draft, Place, With};
pub(crate) use log::{Logged, PolicyEntry, SERVER_LOG};
pub(crate) use measure::Commits;
pub use record::{RecordError, read_back};
pub(crate) use record::{Remembered, Say, decode_logged};
pub(crate) use {image::Reading as ImageReading, journal::Cursor};

use crate::audit::{Chain, Digest, Entry, Stamp};
use crate::receipt::RequestId;
use crate::session::StoredSessions;
use audit::{AUDIT, AUDIT_HEADS, tenant_created, tenant_deleted};
use journal::{JOURNAL, RETAINED_CHANGES};
use record::TenantRecord;
use rows::{FACTS, FORMAT_KEY, META, REQUEST_ORDER, REQUESTS, TENANTS, write_commit};

/// The name of the store's file in the data folder.
pub const FILE_NAME: &str = "pdp.redb";

/// The version of what is in the file, raised whenever an older server could misread it.
pub const FORMAT: u64 = 4;

/// The format of a store that is a copy of a log which several servers share. A server that knows of no
/// such log would change the copy alone, so it must not open it.
pub const COPY_FORMAT: u64 = 1_000 + FORMAT;

/// The format before there was an audit: it is read, and raised when the audit begins. A server of
/// that time would change the policy without a record of it, so it must not open what has an audit.
const UNAUDITED_FORMAT: u64 = 1;

/// The format before records of the audit named callers: it is read, and raised when the policy is
/// loaded. A server of that time would call a record that names one broken.
const CALLERLESS_FORMAT: u64 = 2;

/// The format before there was a journal: it is read, and raised when the policy is loaded. A server of
/// that time would change the policy without the journal, and somebody would miss changes.
const UNJOURNALED_FORMAT: u64 = 3;

/// How many requests of a tenant are remembered; an older one is forgotten for each new one. A
/// writer retries within minutes, and this outlasts 10 change sets a second for a quarter of an
/// hour.
pub const RETAINED_REQUESTS: u64 = 10_000;

/// How much of the file is kept in memory, in bytes. Everything is read once, at the start; after
/// that only commits read, along the paths to what they change.
const CACHE_BYTES: usize = 64 << 20;

/// The store of one server.
#[derive(Debug)]
pub struct Store {
    /// Taken for itself by whoever makes the file shorter; a transaction is begun under the lock.
    db: RwLock<Database>,
    /// Where it is, unless in a back end of another kind.
    file: Option<PathBuf>,
    /// Why nothing is written any more, once that is so.
    stopped: OnceLock<String>,
    durability: Durability,
    /// How many changes of a tenant the journal keeps.
    retained_changes: u64,
    /// Where it is noted how commits go, once somebody wants to know.
    commits: OnceLock<Commits>,
}

/// In how many phases a transaction is committed. Both survive a crash whole or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phases {
    /// One wait for the disk.
    One,
    /// Two, and in return a damaged newest state is known to be damage.
    Two,
}

/// One tenant as it was stored.
#[derive(Debug)]
pub(crate) struct StoredTenant {
    pub(crate) id: TenantId,
    pub(crate) revision: Revision,
    pub(crate) facts: Facts,
    pub(crate) sessions: StoredSessions,
    /// The instant of the last record of its audit: time had come that far.
    pub(crate) seen: Timestamp,
}

/// One change set to be made durable.
pub(crate) struct Commit<'a> {
    pub(crate) tenant: &'a TenantId,
    /// The revision that the tenant is stored at.
    pub(crate) from: Revision,
    /// The revision that the tenant will be stored at.
    pub(crate) to: Revision,
    pub(crate) deltas: &'a [Delta],
    /// The request id and what is to be answered if it comes again.
    pub(crate) request: Option<(&'a RequestId, &'a Remembered)>,
    /// What the audit of the tenant is to say about it, in order.
    pub(crate) audit: &'a [Entry],
}

// === impl Store ===

impl Store {
    /// Opens the store in a data folder, making both if they do not exist. Every page of the file
    /// is verified.
    ///
    /// # Errors
    /// [`StoreError`] says what to do: the folder is in use or unusable, or the file is damaged,
    /// foreign or of a newer format.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let folder = |source| StoreError::Folder { dir: dir.to_owned(), source };
        let is_new = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let new_folders = dir.ancestors().take_while(is_new).count();
        std::fs::create_dir_all(dir).map_err(folder)?;
        let file = dir.join(FILE_NAME);
        let named = |source| StoreError::File { file: file.clone(), source: Box::new(source) };
        // Until the file is locked by itself.
        let _held = claim(dir)?;
        let unfinished = dir.join(RESTORING);
        if !file.exists() && unfinished.exists() {
            return Err(StoreError::Unfinished { file: unfinished });
        }
        load::read_ahead(&file);
        let db = builder().create(&file).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::Locked { dir: dir.to_owned() },
            DatabaseError::Storage(StorageError::Io(source)) if !is_damage(&source) => {
                folder(source)
            }
            other => named(other.into()),
        })?;
        sync_names(dir, new_folders).map_err(folder)?;
        let store = Self::prepare(db).map_err(named)?;
        Ok(Self { file: Some(file), ..store })
    }

    /// Opens the store of a server that has been started before.
    ///
    /// # Errors
    /// As [`Store::open`], and [`StoreError::NoStore`].
    pub fn open_existing(dir: &Path) -> Result<Self, StoreError> {
        let file = dir.join(FILE_NAME);
        if !file.is_file() && !dir.join(NEXT).is_file() {
            return Err(StoreError::NoStore { file });
        }
        Self::open(dir)
    }

    /// Why nothing is written any more, once that is so.
    pub(crate) fn stopped(&self) -> Option<&str> {
        self.stopped.get().map(String::as_str)
    }

    /// Opens the store in a storage back end, such as one in memory.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn with_backend(backend: impl StorageBackend) -> Result<Self, StoreError> {
        Self::prepare(builder().create_with_backend(backend)?)
    }

    /// A store that is gone with its server.
    ///
    /// # Errors
    /// None in practice.
    pub(crate) fn in_memory() -> Result<Self, StoreError> {
        Self::with_backend(redb::backends::InMemoryBackend::new())
    }

    /// Every tenant with its facts.
    ///
    /// # Errors
    /// A record that cannot be read, or facts that are missing.
    pub(crate) fn load(&self) -> Result<Vec<StoredTenant>, StoreError> {
        load::tenants(&self.database()).map_err(|error| match &self.file {
            Some(file) => StoreError::File { file: file.clone(), source: Box::new(error) },
            None => error,
        })
    }

    /// What was answered to a request id, if it is remembered.
    ///
    /// # Errors
    /// A record that cannot be read, or a database that does not answer.
    pub(crate) fn remembered(
        &self,
        tenant: &TenantId,
        request: &RequestId,
    ) -> Result<Option<Remembered>, StoreError> {
        let table = self.begin_read()?.open_table(REQUESTS)?;
        let Some(bytes) = table.get((tenant.as_str(), request.as_str()))? else {
            return Ok(None);
        };
        let place = || format!("request `{request}` of tenant `{tenant}`");
        Remembered::from_bytes(bytes.value())
            .map(Some)
            .map_err(|source| StoreError::Record { place: place(), source })
    }

    /// Makes a change set durable: the facts it changed, the tenant's new revision, the request's
    /// answer and the records of the audit, all or nothing.
    ///
    /// # Errors
    /// [`StoreError::OutcomeUnknown`] if the commit itself failed; after any other error nothing
    /// was committed.
    pub(crate) fn commit(&self, commit: &Commit<'_>) -> Result<(), StoreError> {
        self.transaction(|txn| write_commit(txn, commit, self.retained_changes).map(|_| ()))
    }

    /// The same for a copy, whose log has the change set at a place.
    ///
    /// # Errors
    /// As [`Store::commit`], and [`StoreError::Unchained`].
    pub(crate) fn copy_commit(&self, commit: &Commit<'_>, then: &Place) -> Result<(), StoreError> {
        let chain = Chain::Tenant(commit.tenant.clone());
        self.transaction(|txn| {
            let mark = write_commit(txn, commit, self.retained_changes)?;
            log::note(txn, &chain, mark.unwrap_or(then.mark), then)
        })
    }

    /// Adds a tenant at revision 0 without facts.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub(crate) fn create_tenant<'a>(
        &self,
        tenant: &TenantId,
        stamp: impl Into<Stamp<'a>>,
    ) -> Result<(), StoreError> {
        self.transaction(|txn| insert_tenant(txn, tenant, stamp.into()).map(|_| ()))
    }

    /// The same for a copy, whose log has it at a place, with what the audit says of it.
    ///
    /// # Errors
    /// As [`Store::commit`], and [`StoreError::Unchained`].
    pub(crate) fn copy_tenant(
        &self,
        tenant: &TenantId,
        Entry { at, caller, .. }: &Entry,
        then: &Place,
    ) -> Result<(), StoreError> {
        let stamp = Stamp { at: *at, caller: caller.as_ref() };
        self.transaction(|txn| {
            let (own, server) = insert_tenant(txn, tenant, stamp)?;
            log::begin(txn, &Chain::Tenant(tenant.clone()), own, then.entries)?;
            log::note(txn, &Chain::Server, server, then)
        })
    }

    /// Removes a tenant and everything of it.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub(crate) fn delete_tenant<'a>(
        &self,
        tenant: &TenantId,
        stamp: impl Into<Stamp<'a>>,
    ) -> Result<(), StoreError> {
        let stamp = stamp.into();
        self.transaction(|txn| {
            remove_tenant(txn, tenant)?;
            tenant_deleted(txn, tenant, stamp, None).map(|_| ())
        })
    }

    /// The same for a copy, whose log has it at a place, with what the audit says of it.
    ///
    /// # Errors
    /// As [`Store::commit`], and [`StoreError::Unchained`].
    pub(crate) fn copy_deletion(
        &self,
        tenant: &TenantId,
        entry: &Entry,
        then: &Place,
    ) -> Result<(), StoreError> {
        let stamp = Stamp { at: entry.at, caller: None };
        self.transaction(|txn| {
            remove_tenant(txn, tenant)?;
            let server = tenant_deleted(txn, tenant, stamp, Some(entry))?;
            log::end(txn, &Chain::Tenant(tenant.clone()))?;
            log::note(txn, &Chain::Server, server, then)
        })
    }

    /// Runs one transaction to its durable end.
    ///
    /// After a failed commit, memory and disk may differ, and after any I/O error redb itself
    /// refuses to go on: in both cases nothing more is written until a restart has read what the
    /// disk holds.
    fn transaction(
        &self,
        write: impl FnOnce(&WriteTransaction) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.transaction_in(Phases::Two, write)
    }

    fn transaction_in(
        &self,
        phases: Phases,
        write: impl FnOnce(&WriteTransaction) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if let Some(reason) = self.stopped.get() {
            return Err(StoreError::Stopped { reason: reason.clone() });
        }
        let stop = |error: StoreError| {
            self.commit_failed();
            self.stopped.get_or_init(|| error.to_string());
            error
        };
        let began = Instant::now();
        let db = self.database();
        let mut txn = db.begin_write().map_err(|error| stop(error.into()))?;
        txn.set_durability(self.durability).map_err(|error| stop(error.into()))?;
        txn.set_two_phase_commit(phases == Phases::Two);
        match write(&txn) {
            Ok(()) => {
                let committed = txn.commit().map_err(|error| Box::new(error.into()));
                committed.map_err(|error| stop(StoreError::OutcomeUnknown(error)))?;
                self.committed(began.elapsed());
                Ok(())
            }
            Err(
                error @ (StoreError::Diverged { .. }
                | StoreError::NoTenant(_)
                | StoreError::Unchained { .. }
                | StoreError::Checkpoint(_)
                | StoreError::Superseded),
            ) => {
                txn.abort().map_err(|error| stop(error.into()))?;
                Err(error)
            }
            Err(error) => Err(stop(error)),
        }
    }

    /// A store that commits as `durability` says, to show what the tests of durability are worth.
    #[cfg(test)]
    pub(crate) fn with_durability(
        backend: impl StorageBackend,
        durability: Durability,
    ) -> Result<Self, StoreError> {
        Ok(Self { durability, ..Self::with_backend(backend)? })
    }

    /// A store whose journal keeps so many changes.
    #[cfg(test)]
    pub(crate) fn with_retained(self, retained_changes: u64) -> Self {
        Self { retained_changes, ..self }
    }

    /// Checks the format of what was opened, and writes it into what is new.
    fn prepare(db: Database) -> Result<Self, StoreError> {
        let store = Self {
            db: RwLock::new(db),
            file: None,
            stopped: OnceLock::new(),
            durability: Durability::Immediate,
            retained_changes: RETAINED_CHANGES,
            commits: OnceLock::new(),
        };
        if store.begin_read()?.list_tables()?.next().is_none() {
            store.transaction(|txn| {
                txn.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
                txn.open_table(TENANTS)?;
                txn.open_table(FACTS)?;
                txn.open_table(REQUESTS)?;
                txn.open_table(REQUEST_ORDER)?;
                txn.open_table(AUDIT)?;
                txn.open_table(AUDIT_HEADS)?;
                txn.open_table(JOURNAL)?;
                session::create(txn)?;
                Ok(())
            })?;
        }
        match store.format()? {
            Some(
                FORMAT | COPY_FORMAT | UNJOURNALED_FORMAT | CALLERLESS_FORMAT | UNAUDITED_FORMAT,
            ) => Ok(store),
            Some(found) if found > FORMAT => Err(StoreError::NewerFormat { found }),
            Some(_) | None => Err(StoreError::Foreign),
        }
    }

    /// The database. Waits while it is compacted.
    fn database(&self) -> RwLockReadGuard<'_, Database> {
        // What was under way in a panic the database undoes itself.
        self.db.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at what there is now.
    fn begin_read(&self) -> Result<ReadTransaction, TransactionError> {
        self.database().begin_read()
    }

    /// The format that is written in the file.
    fn format(&self) -> Result<Option<u64>, StoreError> {
        match self.begin_read()?.open_table(META) {
            Ok(meta) => Ok(meta.get(FORMAT_KEY)?.map(|found| found.value())),
            Err(redb::TableError::Storage(error)) => Err(error.into()),
            Err(_) => Err(StoreError::Foreign),
        }
    }
}

/// Adds a tenant; with which hashes its chain and the server's end.
fn insert_tenant(
    txn: &WriteTransaction,
    tenant: &TenantId,
    stamp: Stamp<'_>,
) -> Result<(Digest, Digest), StoreError> {
    let record = TenantRecord::default().encode_to_vec();
    txn.open_table(TENANTS)?.insert(tenant.as_str(), record.as_slice())?;
    tenant_created(txn, tenant, stamp)
}

/// Removes everything of a tenant but its audit.
fn remove_tenant(txn: &WriteTransaction, tenant: &TenantId) -> Result<(), StoreError> {
    let from = tenant.as_str();
    // No tenant's id holds a control character, so no other lies in between.
    let to = format!("{from}\0");
    let to = to.as_str();
    if txn.open_table(TENANTS)?.remove(from)?.is_none() {
        return Err(StoreError::NoTenant(tenant.clone()));
    }
    txn.open_table(FACTS)?.retain_in((from, 0, "")..(to, 0, ""), |_, _| false)?;
    txn.open_table(REQUESTS)?.retain_in((from, "")..(to, ""), |_, _| false)?;
    txn.open_table(REQUEST_ORDER)?.retain_in((from, 0)..(to, 0), |_, _| false)?;
    session::remove(txn, from)?;
    journal::remove(txn, from)
}

/// A digest of a change set, to tell a repeated request from another one with the same id.
pub(crate) fn digest(changes: &[Change]) -> Digest {
    Digest(record::digest(changes))
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}
