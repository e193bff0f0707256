//! Why the store does not give or take what it is asked to, and what to do about it.

use std::io::ErrorKind;
use std::path::PathBuf;

use pdp_engine::facts::Rejected;
use pdp_engine::id::TenantId;
use pdp_engine::query::Revision;

use super::{FORMAT, RecordError};

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
    /// A backup was being restored, and has not got its name.
    #[error(
        "a restore into `{}` did not end; run it again, or take the file away to start empty",
        .file.display()
    )]
    Unfinished {
        /// What there is of it.
        file: PathBuf,
    },
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
    /// The store follows a log, and is not to be written without it.
    #[error(
        "the data folder is a copy of a log in etcd; start with `--etcd-endpoints`, or make it a store of its own with `pdp-server leave`"
    )]
    Copy,
    /// The store has a policy of its own, and is to follow a log.
    #[error(
        "the data folder holds a policy of its own and is no copy of a log in etcd; name an empty folder"
    )]
    NotACopy,
    /// The store follows no log.
    #[error("the data folder is no copy of a log in etcd; there is nothing to leave")]
    NoCopy,
    /// What the log says is not what follows upon what is stored.
    #[error(
        "entry {entry} of the log of {chain} does not follow upon what is stored: this copy and the log have different histories"
    )]
    Unchained {
        /// Whose log.
        chain: crate::audit::Chain,
        /// The number of the entry.
        entry: u64,
    },
    /// A checkpoint of the log cannot be taken over.
    #[error("the checkpoint cannot be taken over, and nothing was changed: {0}")]
    Checkpoint(String),
    /// A checkpoint was taken away while it was read.
    #[error(
        "a newer checkpoint has taken the place of the one that was read, and nothing was changed"
    )]
    Superseded,
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Random(String),
    /// The tenant is not in the store.
    #[error("tenant `{0}` is not in the store")]
    NoTenant(TenantId),
}

// === impl StoreError ===

impl StoreError {
    /// Whether what is stored is not what was written, or not all of it.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::File { source, .. } => source.is_damage(),
            Self::Foreign
            | Self::Corrupt { .. }
            | Self::Record { .. }
            | Self::Invalid { .. }
            | Self::Unfinished { .. } => true,
            _ => false,
        }
    }
}

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

/// Whether an I/O error says that the file is not what was written, rather than out of reach.
pub(super) fn is_damage(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
}
