//! The audit's chains. A record is appended in the transaction of what it tells, so that neither is
//! ever there without the other. Its hash covers the hash before it and its own bytes; what the
//! first one builds upon is made of the chain's name.
//!
//! Whoever can write the file can write all of a chain anew: that nothing was changed is shown only
//! by a hash that was kept elsewhere.

#[cfg(test)]
mod tests;

use pdp_engine::id::TenantId;
use pdp_engine::query::Revision;
use pdp_engine::time::Timestamp;
use redb::{
    ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition, TableError,
    WriteTransaction,
};
use sha2::{Digest as _, Sha256};

use super::record::{Head, RecordError, TenantRecord, decode_entry, encode_entry};
use super::rows::TENANTS;
use super::{Store, StoreError, UNAUDITED_FORMAT};
use crate::audit::{
    Break, Chain, Digest, Entry, Event, Page, Problem, Query, Record, Stamp, Verified,
};

/// Chain and number.
pub(super) type Key = (&'static str, u64);
/// The hash and the bytes of a record.
pub(super) type Row = (&'static [u8; 32], &'static [u8]);

/// The records of every chain.
pub(super) const AUDIT: TableDefinition<Key, Row> = TableDefinition::new("audit");
/// Chain to its [`Head`].
pub(super) const AUDIT_HEADS: TableDefinition<&str, &[u8]> = TableDefinition::new("audit_heads");

/// How many records one page looks at: some hundredths of a second.
pub(crate) const MAX_SCANNED: usize = 100_000;

/// How large a page grows before it ends, in bytes. A record is never split.
pub(crate) const MAX_PAGE_BYTES: usize = 1 << 20;

/// Whether a chain has to exist already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// It exists.
    Exists,
    /// It does not.
    New,
}

/// Appends records to a chain, and says where it ends then.
pub(super) fn append(
    txn: &WriteTransaction,
    chain: &Chain,
    start: Start,
    entries: &[Entry],
) -> Result<Head, StoreError> {
    let name = chain.name();
    let mut heads = txn.open_table(AUDIT_HEADS)?;
    let stored = heads.get(name)?.map(|bytes| read_head(chain, bytes.value())).transpose()?;
    let mut head = match (stored, start) {
        (Some(head), Start::Exists) => head,
        (None, Start::New) => Head { records: 0, at: Timestamp::MIN, hash: genesis(chain) },
        (None, Start::Exists) => return Err(corrupt(chain, "is missing")),
        (Some(_), Start::New) => return Err(corrupt(chain, "is there before it begins")),
    };
    let mut records = txn.open_table(AUDIT)?;
    for entry in entries {
        let (bytes, then) = next(&head, entry);
        let row = (&then.hash.0, bytes.as_slice());
        if records.insert((name, then.records), row)?.is_some() {
            return Err(corrupt(chain, "goes on behind its end"));
        }
        head = then;
    }
    heads.insert(name, head.to_bytes().as_slice())?;
    Ok(head)
}

/// The bytes of the record behind an end, and the end that it makes.
fn next(head: &Head, entry: &Entry) -> (Vec<u8>, Head) {
    let (records, at) = (head.records + 1, entry.at.max(head.at));
    let bytes = encode_entry(records, &Entry { at, ..entry.clone() });
    let hash = link(&head.hash, &bytes);
    (bytes, Head { records, at, hash })
}

/// Where a chain would end with these records.
pub(super) fn link_all(head: &Head, entries: &[Entry]) -> Head {
    entries.iter().fold(*head, |head, entry| next(&head, entry).1)
}

/// The instant of the last record of a tenant's chain; the earliest of all without a chain.
pub(super) fn last_instant(
    txn: &ReadTransaction,
    tenant: &TenantId,
) -> Result<Timestamp, StoreError> {
    let chain = Chain::Tenant(tenant.clone());
    let heads = match txn.open_table(AUDIT_HEADS) {
        Ok(heads) => heads,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Timestamp::MIN),
        Err(error) => return Err(error.into()),
    };
    let head = heads.get(chain.name())?.map(|bytes| read_head(&chain, bytes.value()));
    Ok(head.transpose()?.map_or(Timestamp::MIN, |head| head.at))
}

/// Begins a tenant's chain with its creation, and tells the server's chain. Says with which hashes they end.
pub(super) fn tenant_created(
    txn: &WriteTransaction,
    tenant: &TenantId,
    stamp: Stamp<'_>,
) -> Result<(Digest, Digest), StoreError> {
    // The first tenant of all begins the server's chain, too.
    let first = txn.open_table(AUDIT_HEADS)?.is_empty()?;
    let event = Event::TenantCreated(tenant.clone());
    let entry = [of_server(stamp, event)];
    let own = append(txn, &Chain::Tenant(tenant.clone()), Start::New, &entry)?;
    let start = if first { Start::New } else { Start::Exists };
    let server = append(txn, &Chain::Server, start, &entry)?;
    Ok((own.hash, server.hash))
}

/// Removes a tenant's chain, and tells the server's chain where it ended, unless that is `told`. Says with
/// which hash the server's ends.
pub(super) fn tenant_deleted(
    txn: &WriteTransaction,
    tenant: &TenantId,
    stamp: Stamp<'_>,
    told: Option<&Entry>,
) -> Result<Digest, StoreError> {
    let chain = Chain::Tenant(tenant.clone());
    let name = chain.name();
    let head = txn.open_table(AUDIT_HEADS)?.remove(name)?.map(|bytes| bytes.value().to_vec());
    let Some(head) = head else { return Err(corrupt(&chain, "is missing")) };
    let Head { records, at: _, hash: head } = read_head(&chain, &head)?;
    txn.open_table(AUDIT)?.retain_in((name, 0)..=(name, u64::MAX), |_, _| false)?;
    let event = Event::TenantDeleted { tenant: tenant.clone(), records, head };
    let entry = told.cloned().unwrap_or_else(|| of_server(stamp, event));
    Ok(append(txn, &Chain::Server, Start::Exists, &[entry])?.hash)
}

/// What happens to a tenant as such.
pub(super) fn of_server(Stamp { at, caller }: Stamp<'_>, event: Event) -> Entry {
    Entry { at, revision: Revision::ZERO, person: None, caller: caller.cloned(), event }
}

// === impl Store ===

impl Store {
    /// Some records of a chain, those behind the number `after`. It looks at [`MAX_SCANNED`] at
    /// most.
    ///
    /// # Errors
    /// [`StoreError::NoTenant`], or a record that is missing or cannot be read.
    pub(crate) fn audit_page(
        &self,
        chain: &Chain,
        query: &Query,
        after: u64,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let txn = self.begin_read()?;
        exists(&txn, chain)?;
        let (name, table) = (chain.name(), txn.open_table(AUDIT)?);
        let last = match txn.open_table(AUDIT_HEADS)?.get(name)? {
            Some(bytes) => read_head(chain, bytes.value())?.records,
            None => return Err(corrupt(chain, "is missing")),
        };
        let first = match query.from {
            Some(from) => first_at(&table, chain, from, last)?,
            None => 1,
        };
        let mut page = Page { records: Vec::new(), next: None };
        let (mut scanned, mut bytes) = (0, 0);
        for row in table.range((name, first.max(after.saturating_add(1)))..=(name, last))? {
            let (key, value) = row?;
            let sequence = key.value().1;
            let record = read_record(chain, sequence, value.value())?;
            if query.until.is_some_and(|until| record.entry.at >= until) {
                return Ok(page);
            }
            if page.records.len() >= limit || scanned >= MAX_SCANNED || bytes >= MAX_PAGE_BYTES {
                page.next = Some(sequence - 1);
                return Ok(page);
            }
            scanned += 1;
            if query.selects(&record.entry) {
                bytes += value.value().1.len();
                page.records.push(record);
            }
        }
        Ok(page)
    }

    /// Reads a chain and says whether it is as it was written. It takes as long as the chain does.
    ///
    /// # Errors
    /// [`StoreError::NoTenant`], or a database that does not answer.
    pub(crate) fn verify_audit(&self, chain: &Chain) -> Result<Verified, StoreError> {
        let txn = self.begin_read()?;
        let revision = exists(&txn, chain)?;
        verify(&txn, chain, revision)
    }

    /// Verifies every chain: the server's, then the tenants'.
    ///
    /// # Errors
    /// [`StoreError::Unaudited`], records that belong to no tenant, or a database that does not
    /// answer.
    pub fn verify_audits(&self) -> Result<Vec<(Chain, Verified)>, StoreError> {
        if self.format()? == Some(UNAUDITED_FORMAT) {
            return Err(StoreError::Unaudited);
        }
        let txn = self.begin_read()?;
        let mut chains = vec![(Chain::Server, None)];
        for row in txn.open_table(TENANTS)?.iter()? {
            let (name, record) = row?;
            let (chain, revision) = tenant_of(name.value(), record.value())?;
            chains.push((chain, Some(revision)));
        }
        let known = |name: &str| chains.iter().any(|(chain, _)| chain.name() == name);
        for row in txn.open_table(AUDIT_HEADS)?.iter()? {
            let (name, _) = row?;
            if !known(name.value()) {
                let name = name.value().escape_debug();
                let detail = format!("it holds an audit of `{name}`, which is no tenant");
                return Err(StoreError::Corrupt { detail });
            }
        }
        let (mut verified, mut records) = (Vec::new(), 0);
        for (chain, revision) in chains {
            let one = verify(&txn, &chain, revision)?;
            records += one.records;
            verified.push((chain, one));
        }
        // Rows of no chain at all; where a chain is broken, that is told already.
        let stored = txn.open_table(AUDIT)?.len()?;
        if stored != records && verified.iter().all(|(_, one)| one.broken.is_none()) {
            let detail = format!("{stored} audit records are stored, and {records} are of a chain");
            return Err(StoreError::Corrupt { detail });
        }
        Ok(verified)
    }
}

/// The tenant's revision; `None` for the server's chain.
fn exists(txn: &ReadTransaction, chain: &Chain) -> Result<Option<Revision>, StoreError> {
    let Chain::Tenant(tenant) = chain else { return Ok(None) };
    match txn.open_table(TENANTS)?.get(tenant.as_str())? {
        Some(record) => Ok(Some(tenant_of(tenant.as_str(), record.value())?.1)),
        None => Err(StoreError::NoTenant(tenant.clone())),
    }
}

pub(super) fn tenant_of(name: &str, record: &[u8]) -> Result<(Chain, Revision), StoreError> {
    let unreadable = |source| {
        let place = format!("tenant `{}`", name.escape_debug());
        StoreError::Record { place, source }
    };
    let id = TenantId::new(name).map_err(|error| unreadable(error.into()))?;
    let record = TenantRecord::from_bytes(record).map_err(unreadable)?;
    Ok((Chain::Tenant(id), Revision::new(record.revision)))
}

/// The number of the first record of `from` or later: times never go back, so half of the rest is
/// left out at each step.
fn first_at(
    table: &impl ReadableTable<Key, Row>,
    chain: &Chain,
    from: Timestamp,
    last: u64,
) -> Result<u64, StoreError> {
    let (mut low, mut high) = (1, last.saturating_add(1));
    while low < high {
        let middle = low + (high - low) / 2;
        let Some(row) = table.get((chain.name(), middle))? else {
            return Err(corrupt(chain, &format!("has no record {middle}")));
        };
        if read_record(chain, middle, row.value())?.entry.at < from {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

fn read_record(chain: &Chain, at: u64, row: (&[u8; 32], &[u8])) -> Result<Record, StoreError> {
    let (hash, bytes) = row;
    let (sequence, entry) = decode_entry(bytes).map_err(|source| StoreError::Record {
        place: format!("audit record {at} of {chain}"),
        source,
    })?;
    if sequence != at {
        return Err(corrupt(chain, &format!("has record {sequence} in place of {at}")));
    }
    Ok(Record { sequence, entry, hash: Digest(*hash) })
}

pub(super) fn read_head(chain: &Chain, bytes: &[u8]) -> Result<Head, StoreError> {
    Head::from_bytes(bytes).map_err(|source| StoreError::Record {
        place: format!("end of the audit of {chain}"),
        source,
    })
}

fn corrupt(chain: &Chain, what: &str) -> StoreError {
    StoreError::Corrupt { detail: format!("the audit of {chain} {what}") }
}

/// What the first record of a chain builds upon.
pub(super) fn genesis(chain: &Chain) -> Digest {
    let hash = Sha256::new().chain_update(b"pdp audit\0").chain_update(chain.name());
    Digest(hash.finalize().into())
}

fn link(before: &Digest, bytes: &[u8]) -> Digest {
    Digest(Sha256::new().chain_update(before.0).chain_update(bytes).finalize().into())
}

/// A walk along a chain.
struct Walk {
    records: u64,
    head: Digest,
    at: Timestamp,
    /// Of the last record; `None` before the first.
    revision: Option<Revision>,
}

fn verify(
    txn: &ReadTransaction,
    chain: &Chain,
    stored: Option<Revision>,
) -> Result<Verified, StoreError> {
    let (name, table) = (chain.name(), txn.open_table(AUDIT)?);
    let mut walk = Walk { records: 0, head: genesis(chain), at: Timestamp::MIN, revision: None };
    let mut broken = None;
    for row in table.range((name, 0)..=(name, u64::MAX))? {
        let (key, value) = row?;
        if let Err(problem) = walk.step(key.value().1, value.value()) {
            broken = Some(Break { sequence: walk.records + 1, problem });
            break;
        }
    }
    if broken.is_none() {
        let head =
            txn.open_table(AUDIT_HEADS)?.get(name)?.map(|bytes| Head::from_bytes(bytes.value()));
        broken = walk.end(head, stored).err();
    }
    let Walk { records, head, .. } = walk;
    Ok(Verified { records, head, broken })
}

// === impl Walk ===

impl Walk {
    fn step(&mut self, number: u64, (hash, bytes): (&[u8; 32], &[u8])) -> Result<(), Problem> {
        let expected = self.records + 1;
        if number != expected {
            return Err(if number > expected { Problem::Missing } else { Problem::Surplus });
        }
        let head = link(&self.head, bytes);
        if head.0 != *hash {
            return Err(Problem::Altered);
        }
        let (sequence, entry) =
            decode_entry(bytes).map_err(|error| Problem::Unreadable(error.to_string()))?;
        if sequence != expected {
            return Err(Problem::Misplaced(sequence));
        }
        if entry.at < self.at {
            return Err(Problem::Earlier);
        }
        if let Some(before) = self.revision {
            let changes = matches!(entry.event, Event::PolicyChanged(_));
            let due = if changes { before.next() } else { before };
            if entry.revision != due {
                return Err(Problem::Revision { before, found: entry.revision });
            }
        }
        *self = Self { records: sequence, head, at: entry.at, revision: Some(entry.revision) };
        Ok(())
    }

    /// Compares the end of the walk with the end that was written down.
    fn end(
        &self,
        head: Option<Result<Head, RecordError>>,
        stored: Option<Revision>,
    ) -> Result<(), Break> {
        let next = self.records + 1;
        let wrong = |sequence, problem| Err(Break { sequence, problem });
        let Head { records, at, hash } = match head {
            None => return wrong(next, Problem::Missing),
            Some(Err(error)) => return wrong(next, Problem::Unreadable(error.to_string())),
            Some(Ok(head)) => head,
        };
        if records > self.records || records == 0 {
            return wrong(next, Problem::Missing);
        }
        if records < self.records {
            return wrong(records + 1, Problem::Surplus);
        }
        if (at, hash) != (self.at, self.head) {
            return wrong(records, Problem::Altered);
        }
        match (stored, self.revision) {
            (Some(stored), Some(last)) if stored != last => {
                wrong(next, Problem::Unrecorded { stored, last })
            }
            _ => Ok(()),
        }
    }
}
