//! Reading a tenant's facts back, at a start: by all processors, as somebody waits for it.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use pdp_engine::facts::{Fact, Facts};
use pdp_engine::id::{RecentNames, TenantId};
use pdp_engine::query::Revision;
use pdp_engine::time::Timestamp;
use redb::{
    Database, ReadTransaction, ReadableDatabase as _, ReadableTable, ReadableTableMetadata as _,
};

use super::record::{self, TenantRecord};
use super::rows::{FACTS, TENANTS};
use super::{StoreError, StoredTenant, audit, session};
use crate::session::StoredSessions;

/// How many rows a thread takes at a time: they are copied while the others wait, and decoded while
/// they do not.
const BATCH: usize = 1 << 10;

/// From how many facts on several threads are worth starting.
const WORTH_THREADS: usize = 1 << 14;

/// By how many threads so many facts are loaded and compiled where somebody waits for it.
pub(crate) fn threads_for(facts: usize) -> NonZeroUsize {
    if facts < WORTH_THREADS {
        return NonZeroUsize::MIN;
    }
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

type Key = (&'static str, u8, &'static str);
type Range<'a> = redb::Range<'a, Key, &'static [u8]>;

/// What is stored of a tenant besides its policy.
pub(crate) struct StoredBeside {
    pub(crate) id: TenantId,
    pub(crate) sessions: StoredSessions,
    /// The instant of the last record of its audit: time had come that far.
    pub(crate) seen: Timestamp,
}

/// Reads what is stored of a tenant besides its policy.
pub(super) fn beside(txn: &ReadTransaction, id: TenantId) -> Result<StoredBeside, StoreError> {
    let sessions = session::load(txn, &id)?;
    let seen = audit::last_instant(txn, &id)?;
    Ok(StoredBeside { id, sessions, seen })
}

/// Every tenant with its facts.
pub(super) fn tenants(db: &Database) -> Result<Vec<StoredTenant>, StoreError> {
    let txn = db.begin_read()?;
    let facts = txn.open_table(FACTS)?;
    let mut tenants = Vec::new();
    let mut loaded = 0;
    for row in txn.open_table(TENANTS)?.iter()? {
        let (name, record) = row?;
        let mut tenant = load_tenant(name.value(), record.value(), &facts)?;
        loaded += tenant.facts.len() as u64;
        let StoredBeside { id: _, sessions, seen } = beside(&txn, tenant.id.clone())?;
        (tenant.sessions, tenant.seen) = (sessions, seen);
        tenants.push(tenant);
    }
    let stored = facts.len()?;
    if stored != loaded {
        let detail = format!("{stored} facts are stored and {loaded} belong to a tenant");
        return Err(StoreError::Corrupt { detail });
    }
    Ok(tenants)
}

/// One tenant with its facts.
fn load_tenant(
    name: &str,
    record: &[u8],
    facts: &impl ReadableTable<Key, &'static [u8]>,
) -> Result<StoredTenant, StoreError> {
    let place = || format!("tenant `{}`", name.escape_debug());
    let unreadable = |source| StoreError::Record { place: place(), source };
    let id = TenantId::new(name).map_err(|error| unreadable(error.into()))?;
    let record = TenantRecord::from_bytes(record).map_err(unreadable)?;
    let threads = threads_for(usize::try_from(record.facts).unwrap_or(usize::MAX));
    // No tenant's id holds a control character, so no other lies in between.
    let range = facts.range((name, 0, "")..(format!("{name}\0").as_str(), 0, ""))?;
    let batches = decode_all(&id, range, threads)?;
    let loaded: usize = batches.iter().map(Vec::len).sum();
    if loaded as u64 != record.facts {
        let detail = format!("{loaded} of {} facts of tenant `{id}`", record.facts);
        return Err(StoreError::Corrupt { detail });
    }
    match Facts::load_on(threads, batches.into_iter().flatten()) {
        Ok(facts) => Ok(StoredTenant {
            id,
            revision: Revision::new(record.revision),
            facts,
            sessions: StoredSessions::default(),
            seen: Timestamp::MIN,
        }),
        Err(source) => Err(StoreError::Invalid { tenant: id, source: Box::new(source) }),
    }
}

/// Asks the operating system to read a file, front to back, before it is read here and there: a disk
/// is several times faster that way. Whatever comes of it, the file is read.
pub(super) fn read_ahead(file: &Path) {
    #[cfg(target_os = "linux")]
    if let Ok(file) = std::fs::File::open(file) {
        let ahead = move || rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::WillNeed).ok();
        // It may wait for the disk, and nobody waits for it.
        std::thread::Builder::new().name("pdp-read-ahead".to_owned()).spawn(ahead).ok();
    }
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}

/// The facts in the rows, in batches, in the order of the rows.
fn decode_all(
    tenant: &TenantId,
    range: Range<'_>,
    threads: NonZeroUsize,
) -> Result<Vec<Vec<Fact>>, StoreError> {
    let source = Mutex::new(Source { range, next: 0 });
    let work = || -> Result<Vec<(usize, Vec<Fact>)>, StoreError> {
        let (mut recent, mut batch) = (RecentNames::default(), Batch::default());
        let mut decoded = Vec::new();
        loop {
            // INVARIANT: whoever panicked with the lock has the start fail.
            let taken = source.lock().unwrap_or_else(PoisonError::into_inner).take(&mut batch)?;
            let Some(number) = taken else { return Ok(decoded) };
            decoded.push((number, batch.decode(tenant, &mut recent)?));
        }
    };
    let mut decoded = match threads {
        NonZeroUsize::MIN => work()?,
        threads => std::thread::scope(|scope| {
            let parts: Vec<_> = (0..threads.get()).map(|_| scope.spawn(work)).collect();
            let mut decoded = Vec::new();
            for part in parts {
                match part.join() {
                    Ok(part) => decoded.append(&mut part?),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            Ok::<_, StoreError>(decoded)
        })?,
    };
    decoded.sort_unstable_by_key(|(number, _)| *number);
    Ok(decoded.into_iter().map(|(_, facts)| facts).collect())
}

/// Rows that are still to be taken.
struct Source<'a> {
    range: Range<'a>,
    /// The number of the next batch.
    next: usize,
}

/// Rows that were copied out.
#[derive(Default)]
struct Batch {
    /// Name and record of each row, one after the other.
    bytes: Vec<u8>,
    rows: Vec<Row>,
}

struct Row {
    kind: u8,
    name: usize,
    record: usize,
}

// === impl Source ===

impl Source<'_> {
    /// Copies the next rows into `batch` and says which batch it is; `None` when there are no more.
    fn take(&mut self, batch: &mut Batch) -> Result<Option<usize>, StoreError> {
        batch.bytes.clear();
        batch.rows.clear();
        for row in self.range.by_ref().take(BATCH) {
            let (key, record) = row?;
            let ((_, kind, name), record) = (key.value(), record.value());
            batch.bytes.extend_from_slice(name.as_bytes());
            batch.bytes.extend_from_slice(record);
            batch.rows.push(Row { kind, name: name.len(), record: record.len() });
        }
        let number = self.next;
        self.next += 1;
        Ok((!batch.rows.is_empty()).then_some(number))
    }
}

// === impl Batch ===

impl Batch {
    fn decode(&self, tenant: &TenantId, recent: &mut RecentNames) -> Result<Vec<Fact>, StoreError> {
        let mut facts = Vec::with_capacity(self.rows.len());
        let mut rest = self.bytes.as_slice();
        for Row { kind, name, record } in &self.rows {
            let (name, behind) = rest.split_at_checked(*name).unwrap_or_default();
            let (bytes, behind) = behind.split_at_checked(*record).unwrap_or_default();
            rest = behind;
            // INVARIANT: it was text when it was copied.
            let name = std::str::from_utf8(name).unwrap_or_default();
            facts.push(record::decode(*kind, name, bytes, recent).map_err(|source| {
                let place = format!("fact `{}` of tenant `{tenant}`", name.escape_debug());
                StoreError::Record { place, source }
            })?);
        }
        Ok(facts)
    }
}
