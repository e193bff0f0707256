//! The journal: what the last change sets of each tenant changed, for those who follow the policy. It is
//! written in the transaction of the change set, and forgets from its old end.
//!
//! INVARIANT: revisions come one after the other, so that a change set that is not kept is noticed by
//! whoever asks for the next one.

#[cfg(test)]
mod tests;

use pdp_engine::facts::Change;
use pdp_engine::id::TenantId;
use pdp_engine::query::Revision;
use pdp_engine::time::Timestamp;
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use super::record::{Head, Heading, JournalPart, RecordError, TenantRecord, decode_part};
use super::{Commit, Store, StoreError};
use crate::audit::Digest;

type Key = (&'static str, u64, u32);

/// Tenant, revision and part: part 0 is the [`Heading`], the changes are in those behind it.
pub(super) const JOURNAL: TableDefinition<Key, &[u8]> = TableDefinition::new("journal");

/// How many changes of a tenant are kept: at ten a second, those of three hours. A change set is kept whole
/// or not at all.
pub(crate) const RETAINED_CHANGES: u64 = 100_000;

/// How large a part grows before the next one is begun, in bytes. A fact is never split.
const PART_BYTES: usize = 1 << 17;

/// How much is read at once, in bytes.
const READ_BYTES: usize = 1 << 19;

/// A place in the history of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The revision.
    pub revision: Revision,
    /// What tells it from the same revision of another history, where that is known.
    pub mark: Option<Digest>,
}

/// Where somebody who reads the journal goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    revision: Revision,
    part: u32,
}

/// A change set, or a part of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Journaled {
    /// Where the policy is with it.
    pub position: Position,
    /// When it was committed.
    pub at: Timestamp,
    /// What it changed.
    pub changes: Vec<Change>,
    /// Whether more of the same change set follows.
    pub more: bool,
}

/// Adds a change set, whose record in the audit is the last one, and forgets the oldest ones while more than
/// `retained` changes are kept.
pub(super) fn append(
    txn: &WriteTransaction,
    record: &mut TenantRecord,
    commit: &Commit<'_>,
    &Head { at, hash: mark, records: _ }: &Head,
    retained: u64,
) -> Result<(), StoreError> {
    let (name, to) = (commit.tenant.as_str(), commit.to.get());
    let changes = u64::try_from(commit.deltas.len()).unwrap_or(u64::MAX);
    let mut journal = txn.open_table(JOURNAL)?;
    let mut heading = Heading { at, mark, changes, parts: 0 };
    if changes > retained {
        journal.retain_in((name, 0, 0)..(name, to, 0), |_, _| false)?;
        journal.insert((name, to, 0), heading.to_bytes().as_slice())?;
        (record.journaled, record.journal_from) = (0, to);
        return Ok(());
    }
    let mut part = JournalPart::default();
    for (at, delta) in commit.deltas.iter().enumerate() {
        if part.add(delta) >= PART_BYTES || at + 1 == commit.deltas.len() {
            heading.parts += 1;
            let bytes = std::mem::take(&mut part).into_bytes();
            journal.insert((name, to, heading.parts), bytes.as_slice())?;
        }
    }
    journal.insert((name, to, 0), heading.to_bytes().as_slice())?;
    record.journaled += changes;
    while record.journaled > retained {
        // What the changes build upon keeps its heading, so that who is there is known.
        let oldest = record.journal_from + 1;
        let Some(heading) = heading_of(&journal, commit.tenant, oldest)? else {
            let detail = format!("the journal of tenant `{name}` lacks revision {oldest}");
            return Err(StoreError::Corrupt { detail });
        };
        for part in 1..=heading.parts {
            journal.remove((name, oldest, part))?;
        }
        journal.remove((name, record.journal_from, 0))?;
        record.journaled = record.journaled.saturating_sub(heading.changes);
        record.journal_from = oldest;
    }
    Ok(())
}

/// Removes everything of a tenant.
pub(super) fn remove(txn: &WriteTransaction, tenant: &str) -> Result<(), StoreError> {
    let all = (tenant, 0, 0)..=(tenant, u64::MAX, u32::MAX);
    txn.open_table(JOURNAL)?.retain_in(all, |_, _| false)?;
    Ok(())
}

fn heading_of(
    journal: &impl ReadableTable<Key, &'static [u8]>,
    tenant: &TenantId,
    revision: u64,
) -> Result<Option<Heading>, StoreError> {
    let Some(bytes) = journal.get((tenant.as_str(), revision, 0))? else { return Ok(None) };
    let heading = Heading::from_bytes(bytes.value());
    heading.map(Some).map_err(|source| unreadable(tenant, revision, source))
}

fn unreadable(tenant: &TenantId, revision: u64, source: RecordError) -> StoreError {
    let place = format!("revision {revision} in the journal of tenant `{tenant}`");
    StoreError::Record { place, source }
}

// === impl Store ===

impl Store {
    /// What tells a revision of a tenant from the same of another history, if it is still known.
    ///
    /// # Errors
    /// A record that cannot be read, or a database that does not answer.
    pub(crate) fn mark(
        &self,
        tenant: &TenantId,
        revision: Revision,
    ) -> Result<Option<Digest>, StoreError> {
        let journal = open(&self.begin_read()?)?;
        Ok(heading_of(&journal, tenant, revision.get())?.map(|heading| heading.mark))
    }

    /// The next change sets, up to the revision `to`, and where to go on behind them. `None` if the next one
    /// is not kept.
    ///
    /// # Errors
    /// A record that cannot be read, or a database that does not answer.
    pub(crate) fn journaled(
        &self,
        tenant: &TenantId,
        mut from: Cursor,
        to: Revision,
    ) -> Result<Option<(Vec<Journaled>, Cursor)>, StoreError> {
        let journal = open(&self.begin_read()?)?;
        let (mut read, mut bytes) = (Vec::new(), 0);
        while from.revision <= to && bytes < READ_BYTES {
            let Cursor { revision, part } = from;
            let Some(heading) = heading_of(&journal, tenant, revision.get())? else {
                return Ok(None);
            };
            let row = journal.get((tenant.as_str(), revision.get(), part))?;
            let Some(row) = row else { return Ok(None) };
            bytes += row.value().len();
            let changes = decode_part(row.value());
            let changes = changes.map_err(|source| unreadable(tenant, revision.get(), source))?;
            let more = part < heading.parts;
            let position = Position { revision, mark: Some(heading.mark) };
            read.push(Journaled { position, at: heading.at, changes, more });
            from =
                if more { Cursor { revision, part: part + 1 } } else { Cursor::behind(revision) };
        }
        Ok(Some((read, from)))
    }
}

fn open(
    txn: &ReadTransaction,
) -> Result<impl ReadableTable<Key, &'static [u8]> + use<>, StoreError> {
    Ok(txn.open_table(JOURNAL)?)
}

// === impl Cursor ===

impl Cursor {
    /// Behind the whole of a revision.
    pub(crate) fn behind(revision: Revision) -> Self {
        Self { revision: revision.next(), part: 1 }
    }
}
