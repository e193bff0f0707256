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
mod folder;
mod load;
mod measure;
mod record;
mod rows;
mod session;

#[cfg(test)]
pub(crate) mod disk;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Instant;

use metrics::Histogram;
use pdp_engine::facts::{Change, Delta, Facts, Rejected};
use pdp_engine::id::TenantId;
use pdp_engine::query::Revision;
use pdp_engine::time::Timestamp;
use prost::Message;
use redb::{
    Builder, Database, DatabaseError, Durability, ReadableDatabase, StorageBackend, StorageError,
    WriteTransaction,
};

pub use backup::{BackupError, verify_backup};
use folder::sync_names;
pub(crate) use record::Remembered;
pub use record::{RecordError, read_back};

use crate::audit::{Digest, Entry, Stamp};
use crate::receipt::RequestId;
use crate::session::StoredSessions;
use audit::{AUDIT, AUDIT_HEADS, tenant_created, tenant_deleted};
use record::TenantRecord;
use rows::{FACTS, FORMAT_KEY, META, REQUEST_ORDER, REQUESTS, TENANTS, write_commit};

/// The name of the store's file in the data folder.
pub const FILE_NAME: &str = "pdp.redb";

/// The version of what is in the file, raised whenever an older server could misread it.
pub const FORMAT: u64 = 3;

/// The format before there was an audit: it is read, and raised when the audit begins. A server of
/// that time would change the policy without a record of it, so it must not open what has an audit.
const UNAUDITED_FORMAT: u64 = 1;

/// The format before records of the audit named callers: it is read, and raised when the policy is
/// loaded. A server of that time would call a record that names one broken.
const CALLERLESS_FORMAT: u64 = 2;

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
    db: Database,
    /// Where it is, unless in a back end of another kind.
    file: Option<PathBuf>,
    /// Why nothing is written any more, once that is so.
    stopped: OnceLock<String>,
    durability: Durability,
    /// Where it is noted how long commits take, once somebody wants to know.
    commit_seconds: OnceLock<Histogram>,
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

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data folder cannot be made or opened.
    #[error("the data folder `{}` cannot be used: {source}", .dir.display())]
    Folder {
        /// The data folder.
        dir: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The store's file is not to be used.
    #[error("`{}`: {source}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: Box<StoreError>,
    },
    /// A second server on one data folder.
    #[error(
        "another pdp-server has `{}` open; stop it, or give this one a data folder of its own",
        .dir.display()
    )]
    Locked {
        /// The data folder.
        dir: PathBuf,
    },
    /// Written by a newer version.
    #[error(
        "the store has format {found} and this server reads up to {FORMAT}; start the newer server that wrote it, or restore a backup of this one's"
    )]
    NewerFormat {
        /// The format in the file.
        found: u64,
    },
    /// A database file of another version of the database.
    #[error(
        "the file has database format {found}, which this server does not read; start the server that wrote it, or restore a backup of this one's"
    )]
    FileFormat {
        /// The database format of the file.
        found: u8,
    },
    /// A database, but not one of this server's.
    #[error(
        "the file is a database without the marks of a pdp-server store; name the right data folder, or move the file away to start empty"
    )]
    Foreign,
    /// The file is damaged.
    #[error(
        "the store is damaged ({detail}); restore a backup, or move the file away to start empty"
    )]
    Corrupt {
        /// What was noticed.
        detail: String,
    },
    /// A record that this version cannot read.
    #[error(
        "the store holds a record that cannot be read: {place}: {source}; restore a backup, or start the version that wrote it"
    )]
    Record {
        /// Where the record lies.
        place: String,
        /// What is wrong with it.
        source: RecordError,
    },
    /// The stored facts of a tenant do not hold together.
    #[error("the stored policy of tenant `{tenant}` is not valid ({source}); restore a backup")]
    Invalid {
        /// The tenant.
        tenant: TenantId,
        /// What is wrong.
        source: Box<Rejected>,
    },
    /// The database failed before anything was committed.
    #[error("the store failed, and nothing was changed: {0}")]
    Database(#[source] Box<redb::Error>),
    /// The database failed while committing.
    #[error(
        "the commit failed, and whether it reached the disk is known only after a restart; until then no writes are taken; then send it again with the same request id: {0}"
    )]
    OutcomeUnknown(#[source] Box<redb::Error>),
    /// An earlier failure has stopped the store.
    #[error(
        "the store takes no writes until the server is restarted, because of an earlier failure: {reason}"
    )]
    Stopped {
        /// The earlier failure.
        reason: String,
    },
    /// There is no audit to verify.
    #[error(
        "the store was written by a version without an audit; the audit begins when a server of this version starts on it"
    )]
    Unaudited,
    /// There is no store.
    #[error("there is no `{}`; name the data folder of a server", .file.display())]
    NoStore {
        /// The file that is not there.
        file: PathBuf,
    },
    /// The tenant is stored at another revision than its writer believes.
    #[error("tenant `{tenant}` is stored at revision {stored}, not {expected}")]
    Diverged {
        /// The tenant.
        tenant: TenantId,
        /// The revision in the store.
        stored: u64,
        /// The revision it should have.
        expected: Revision,
    },
    /// The tenant is not in the store.
    #[error("tenant `{0}` is not in the store")]
    NoTenant(TenantId),
}

// === impl StoreError ===

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        match error.into() {
            redb::Error::Corrupted(detail) => Self::Corrupt { detail },
            redb::Error::Io(error) if is_damage(&error) => {
                Self::Corrupt { detail: error.to_string() }
            }
            redb::Error::UpgradeRequired(found) => Self::FileFormat { found },
            other => Self::Database(Box::new(other)),
        }
    }
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
        if !file.is_file() {
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

    /// Every tenant with its facts.
    ///
    /// # Errors
    /// A record that cannot be read, or facts that are missing.
    pub(crate) fn load(&self) -> Result<Vec<StoredTenant>, StoreError> {
        load::tenants(&self.db).map_err(|error| match &self.file {
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
        let table = self.db.begin_read()?.open_table(REQUESTS)?;
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
        self.transaction(|txn| write_commit(txn, commit))
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
        let stamp = stamp.into();
        self.transaction(|txn| {
            let record = TenantRecord::default().encode_to_vec();
            txn.open_table(TENANTS)?.insert(tenant.as_str(), record.as_slice())?;
            tenant_created(txn, tenant, stamp)
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
            tenant_deleted(txn, tenant, stamp)
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
            self.stopped.get_or_init(|| error.to_string());
            error
        };
        let began = Instant::now();
        let mut txn = self.db.begin_write().map_err(|error| stop(error.into()))?;
        txn.set_durability(self.durability).map_err(|error| stop(error.into()))?;
        txn.set_two_phase_commit(phases == Phases::Two);
        match write(&txn) {
            Ok(()) => {
                let committed = txn.commit().map_err(|error| Box::new(error.into()));
                committed.map_err(|error| stop(StoreError::OutcomeUnknown(error)))?;
                self.committed(began.elapsed());
                Ok(())
            }
            Err(error @ (StoreError::Diverged { .. } | StoreError::NoTenant(_))) => {
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

    /// Checks the format of what was opened, and writes it into what is new.
    fn prepare(db: Database) -> Result<Self, StoreError> {
        let (stopped, durability) = (OnceLock::new(), Durability::Immediate);
        let store = Self { db, file: None, stopped, durability, commit_seconds: OnceLock::new() };
        if store.db.begin_read()?.list_tables()?.next().is_none() {
            store.transaction(|txn| {
                txn.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
                txn.open_table(TENANTS)?;
                txn.open_table(FACTS)?;
                txn.open_table(REQUESTS)?;
                txn.open_table(REQUEST_ORDER)?;
                txn.open_table(AUDIT)?;
                txn.open_table(AUDIT_HEADS)?;
                session::create(txn)?;
                Ok(())
            })?;
        }
        match store.format()? {
            Some(FORMAT | CALLERLESS_FORMAT | UNAUDITED_FORMAT) => Ok(store),
            Some(found) if found > FORMAT => Err(StoreError::NewerFormat { found }),
            Some(_) | None => Err(StoreError::Foreign),
        }
    }

    /// The format that is written in the file.
    fn format(&self) -> Result<Option<u64>, StoreError> {
        match self.db.begin_read()?.open_table(META) {
            Ok(meta) => Ok(meta.get(FORMAT_KEY)?.map(|found| found.value())),
            Err(redb::TableError::Storage(error)) => Err(error.into()),
            Err(_) => Err(StoreError::Foreign),
        }
    }
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

/// Whether an I/O error says that the file is not what was written, rather than out of reach.
fn is_damage(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
}
