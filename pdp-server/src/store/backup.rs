//! Backups: every row of the store as of one instant, in a file of its own form. They are read under one
//! read transaction, so that a running server writes on meanwhile, and what is restored is one state,
//! without the holes that a database file has after years of changes.
//!
//! The file begins with a mark and the format of the rows. A row is the number of its table, the lengths
//! of key and value, and these. The end is a zero, the number of rows, and SHA-256 over everything
//! before it: half a backup is none.

mod restore;
mod taken;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use redb::{Key, ReadTransaction, TableDefinition, TableError, Value};
use redb::{ReadableTable as _, WriteTransaction};
use sha2::{Digest as _, Sha256};

use super::audit::{AUDIT, AUDIT_HEADS};
use super::journal::JOURNAL;
use super::log::PLACES;
use super::rows::{FACTS, META, REQUEST_ORDER, REQUESTS, TENANTS};
use super::session::{ACCOUNTS, NUMBERS, SESSIONS};
use super::{COPY_FORMAT, FORMAT, Store, StoreError};
use crate::audit::{Break, Chain};

/// What a backup begins with; the last byte is the version of its form.
const MARK: &[u8; 16] = b"pdp-server back\x01";

/// How long a key or a value may be, in bytes: many times the longest fact. What is longer was never
/// written.
const MAX_ROW_BYTES: u32 = 64 << 20;

/// How much is read at once, in bytes.
const BUFFER: usize = 1 << 20;

/// The number that ends the rows.
const END: u8 = 0;

/// Why there is no backup, or nothing is restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store does not give its rows, or does not take them.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The backup cannot be written.
    #[error("the backup cannot be written: {0}")]
    Write(#[source] io::Error),
    /// The backup cannot be read.
    #[error("`{}` cannot be read: {source}", .file.display())]
    Read {
        /// The backup.
        file: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file is none, or not whole.
    #[error("`{}` is not a whole backup: {detail}; nothing was restored", .file.display())]
    Damaged {
        /// The backup.
        file: PathBuf,
        /// What was noticed.
        detail: &'static str,
    },
    /// The backup is of a newer version.
    #[error(
        "`{}` has format {found} and this version reads up to {FORMAT}; restore it with the version that wrote it",
        .file.display()
    )]
    Newer {
        /// The backup.
        file: PathBuf,
        /// The format of its rows.
        found: u64,
    },
    /// A server could not go on with what is in the backup.
    #[error("what is in `{}` is of no use, and nothing was restored: {source}", .file.display())]
    Unusable {
        /// The backup.
        file: PathBuf,
        /// What a server would say.
        source: Box<StoreError>,
    },
    /// Somebody has changed the audit.
    #[error(
        "the audit of {chain} in `{}` is not as it was written ({problem}), and nothing was restored",
        .file.display()
    )]
    Audit {
        /// The backup.
        file: PathBuf,
        /// Whose audit it is.
        chain: Chain,
        /// What is wrong with it, and where.
        problem: Break,
    },
    /// There is something in the data folder.
    #[error(
        "`{}` is not empty; name a folder that is, or does not exist, or say `--replace`: nothing is overwritten",
        .0.display()
    )]
    NotEmpty(PathBuf),
    /// What an earlier restore replaced is still there.
    #[error(
        "`{}` is what was there before an earlier restore; move it away first: nothing is overwritten",
        .0.display()
    )]
    Kept(PathBuf),
    /// It is of a server that shares a log.
    #[error(
        "`{}` is a backup of a server that shares a log in etcd: the log says what the policy is, and nothing is restored over it",
        .0.display()
    )]
    OfCopy(PathBuf),
    /// The data folder cannot be made or written.
    #[error("the data folder `{}` cannot be used: {source}", .dir.display())]
    Folder {
        /// The data folder.
        dir: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

/// Something done to each table, whatever its types.
trait EachTable {
    fn table<K: Key + 'static, V: Value + 'static>(
        &mut self,
        number: u8,
        table: TableDefinition<'static, K, V>,
    ) -> Result<(), BackupError>;
}

/// Every table, under the number that it has in backups.
fn each(visit: &mut impl EachTable) -> Result<(), BackupError> {
    visit.table(1, META)?;
    visit.table(2, TENANTS)?;
    visit.table(3, FACTS)?;
    visit.table(4, REQUESTS)?;
    visit.table(5, REQUEST_ORDER)?;
    visit.table(6, AUDIT)?;
    visit.table(7, AUDIT_HEADS)?;
    visit.table(8, SESSIONS)?;
    visit.table(9, ACCOUNTS)?;
    visit.table(10, NUMBERS)?;
    visit.table(11, JOURNAL)?;
    visit.table(12, PLACES)
}

/// Writes rows, and adds up what it writes.
struct Dump<'a, W> {
    txn: ReadTransaction,
    out: Summed<'a, W>,
    rows: u64,
}

/// Something that is written or read, and its digest.
struct Summed<'a, T> {
    inner: &'a mut T,
    digest: Sha256,
}

// === impl Store ===

impl Store {
    /// Writes a backup of what the store holds at this instant, and says how many rows it has. Writers
    /// go on meanwhile.
    ///
    /// # Errors
    /// [`BackupError`] if the store does not give its rows, or `out` does not take them.
    pub fn backup(&self, out: &mut impl Write) -> Result<u64, BackupError> {
        let txn = self.begin_read().map_err(StoreError::from)?;
        let format = self.format()?.ok_or(StoreError::Foreign)?;
        let mut dump = Dump { txn, out: Summed { inner: out, digest: Sha256::new() }, rows: 0 };
        dump.out.write(MARK)?;
        dump.out.write(&format.to_le_bytes())?;
        each(&mut dump)?;
        dump.out.write(&[END])?;
        dump.out.write(&dump.rows.to_le_bytes())?;
        let Summed { inner, digest } = dump.out;
        inner.write_all(&digest.finalize()).map_err(BackupError::Write)?;
        inner.flush().map_err(BackupError::Write)?;
        Ok(dump.rows)
    }
}

/// Holds that a file is a whole backup of a format that this version reads, and says how many rows it
/// has.
///
/// # Errors
/// [`BackupError::Damaged`], [`BackupError::Newer`] or [`BackupError::Read`].
pub fn verify_backup(backup: &Path) -> Result<u64, BackupError> {
    let mut file = opened(backup)?;
    let mut rows = Rows::begin(backup, &mut file)?;
    while rows.next()? {}
    Ok(rows.count)
}

fn opened(backup: &Path) -> Result<BufReader<File>, BackupError> {
    let unread = |source| BackupError::Read { file: backup.to_owned(), source };
    Ok(BufReader::with_capacity(BUFFER, File::open(backup).map_err(unread)?))
}

/// Fills tables with the rows that come, which are in the order of the tables.
struct Fill<'a, 'b, R> {
    txn: &'a WriteTransaction,
    rows: &'a mut Rows<'b, R>,
}

impl<R: Read> EachTable for Fill<'_, '_, R> {
    fn table<K: Key + 'static, V: Value + 'static>(
        &mut self,
        number: u8,
        table: TableDefinition<'static, K, V>,
    ) -> Result<(), BackupError> {
        let mut open = self.txn.open_table(table).map_err(StoreError::from)?;
        while self.rows.table == number {
            let Rows { key, value, .. } = &*self.rows;
            // INVARIANT: these are bytes that the same types gave, as the digest says.
            open.insert(K::from_bytes(key), V::from_bytes(value)).map_err(StoreError::from)?;
            self.rows.next()?;
        }
        Ok(())
    }
}

/// The rows of a backup, one after the other. What they were counts only once the last was read.
struct Rows<'a, R> {
    backup: &'a Path,
    /// The format of the rows.
    format: u64,
    input: Summed<'a, R>,
    /// The row at hand: its table, [`END`] at the end.
    table: u8,
    key: Vec<u8>,
    value: Vec<u8>,
    count: u64,
}

// === impl Rows ===

impl<'a, R: Read> Rows<'a, R> {
    fn begin(backup: &'a Path, inner: &'a mut R) -> Result<Self, BackupError> {
        let input = Summed { inner, digest: Sha256::new() };
        let (key, value) = (Vec::new(), Vec::new());
        let mut rows = Self { backup, format: 0, input, table: END, key, value, count: 0 };
        if rows.read::<16>()? != *MARK {
            return Err(rows.damaged("it does not begin as one"));
        }
        let found = u64::from_le_bytes(rows.read()?);
        if found > FORMAT && found != COPY_FORMAT {
            return Err(BackupError::Newer { file: backup.to_owned(), found });
        }
        rows.format = found;
        Ok(rows)
    }

    /// Goes to the next row; `false` at the end, which has been found to be the right one.
    fn next(&mut self) -> Result<bool, BackupError> {
        [self.table] = self.read()?;
        if self.table == END {
            self.end()?;
            return Ok(false);
        }
        let lengths: [[u8; 4]; 2] = [self.read()?, self.read()?];
        let [key_length, value_length] = lengths.map(u32::from_le_bytes);
        if key_length.max(value_length) > MAX_ROW_BYTES {
            return Err(self.damaged("a row is longer than any"));
        }
        let Self { input, key, value, .. } = self;
        let read = input.read_into(key, key_length);
        let read = read.and_then(|()| input.read_into(value, value_length));
        read.map_err(|source| self.unread(source))?;
        self.count += 1;
        Ok(true)
    }

    fn end(&mut self) -> Result<(), BackupError> {
        if u64::from_le_bytes(self.read()?) != self.count {
            return Err(self.damaged("rows are missing"));
        }
        let digest = self.input.digest.clone().finalize();
        if self.read::<32>()?.as_slice() != digest.as_slice() {
            return Err(self.damaged("its checksum does not fit"));
        }
        let more = self.input.inner.read(&mut [0]).map_err(|source| self.unread(source))?;
        if more > 0 {
            return Err(self.damaged("there is more after its end"));
        }
        Ok(())
    }

    fn read<const N: usize>(&mut self) -> Result<[u8; N], BackupError> {
        self.input.read().map_err(|source| self.unread(source))
    }

    fn unread(&self, source: io::Error) -> BackupError {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged("it ends too early"),
            _ => BackupError::Read { file: self.backup.to_owned(), source },
        }
    }

    fn damaged(&self, detail: &'static str) -> BackupError {
        BackupError::Damaged { file: self.backup.to_owned(), detail }
    }
}

// === impl Dump ===

impl<W: Write> EachTable for Dump<'_, W> {
    fn table<K: Key + 'static, V: Value + 'static>(
        &mut self,
        number: u8,
        table: TableDefinition<'static, K, V>,
    ) -> Result<(), BackupError> {
        let open = match self.txn.open_table(table) {
            Ok(open) => open,
            // A store that was written before there were such rows has none.
            Err(TableError::TableDoesNotExist(_)) => return Ok(()),
            Err(error) => return Err(StoreError::from(error).into()),
        };
        for row in open.iter().map_err(StoreError::from)? {
            let (key, value) = row.map_err(StoreError::from)?;
            let (key, value) = (key.value(), value.value());
            let (key, value) = (K::as_bytes(&key), V::as_bytes(&value));
            let (key, value) = (key.as_ref(), value.as_ref());
            self.out.write(&[number])?;
            for length in [key.len(), value.len()] {
                let length = u32::try_from(length).unwrap_or(u32::MAX);
                self.out.write(&length.to_le_bytes())?;
            }
            self.out.write(key)?;
            self.out.write(value)?;
            self.rows += 1;
        }
        Ok(())
    }
}

// === impl Summed ===

impl<W: Write> Summed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.digest.update(bytes);
        self.inner.write_all(bytes).map_err(BackupError::Write)
    }
}

impl<R: Read> Summed<'_, R> {
    fn read<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes)?;
        self.digest.update(bytes);
        Ok(bytes)
    }

    fn read_into(&mut self, bytes: &mut Vec<u8>, length: u32) -> io::Result<()> {
        bytes.clear();
        // What is promised and does not come is not made room for.
        let read = self.inner.by_ref().take(u64::from(length)).read_to_end(bytes)?;
        if u32::try_from(read).is_ok_and(|read| read == length) {
            self.digest.update(bytes);
            return Ok(());
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}
