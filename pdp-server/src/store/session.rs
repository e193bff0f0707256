//! The rows of sessions. A turn is written whole, with what the audit says of it, or not at all.

#[cfg(test)]
mod tests;

use pdp_engine::id::TenantId;
use pdp_engine::query::Revision;
use redb::{ReadTransaction, ReadableTable, TableDefinition, TableError, WriteTransaction};

use super::audit::{Start, append};
use super::record::{
    RecordError, TenantRecord, decode_account, decode_session, encode_account, encode_session,
};
use super::rows::TENANTS;
use super::{Phases, Place, Store, StoreError, log};
use crate::audit::{Chain, Digest, Entry, Stamp};
use crate::session::{Numbers, StoredSessions, Turn};

/// Tenant and number to a session.
pub(super) const SESSIONS: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("sessions");
/// Tenant and name to an account that was made for a session.
pub(super) const ACCOUNTS: TableDefinition<(&str, &str), &[u8]> =
    TableDefinition::new("session_accounts");
/// Tenant to the numbers that its next session and its next account get.
pub(super) const NUMBERS: TableDefinition<&str, (u64, u64)> =
    TableDefinition::new("session_numbers");

/// What is stored of a tenant's sessions.
pub(super) fn load(txn: &ReadTransaction, tenant: &TenantId) -> Result<StoredSessions, StoreError> {
    let name = tenant.as_str();
    let mut stored = StoredSessions::default();
    let unreadable = |what: String| {
        move |source: RecordError| StoreError::Record {
            place: format!("{what} of tenant `{tenant}`"),
            source,
        }
    };
    let sessions = match txn.open_table(SESSIONS) {
        Ok(sessions) => sessions,
        // Written before there were sessions.
        Err(TableError::TableDoesNotExist(_)) => return Ok(stored),
        Err(error) => return Err(error.into()),
    };
    for row in sessions.range((name, 0)..=(name, u64::MAX))? {
        let (key, bytes) = row?;
        let number = key.value().1;
        let session = decode_session(number, bytes.value());
        stored.sessions.push(session.map_err(unreadable(format!("session {number}")))?);
    }
    for row in txn.open_table(ACCOUNTS)?.range((name, "")..(format!("{name}\0").as_str(), ""))? {
        let (key, bytes) = row?;
        let id = key.value().1;
        let account = decode_account(id, bytes.value());
        let what = format!("session account `{}`", id.escape_debug());
        stored.accounts.push(account.map_err(unreadable(what))?);
    }
    if let Some(numbers) = txn.open_table(NUMBERS)?.get(name)? {
        let (session, account) = numbers.value();
        stored.next = Numbers { session, account };
    }
    if let Some(last) = stored.sessions.last().filter(|last| last.number >= stored.next.session) {
        let (last, next) = (last.number, stored.next.session);
        let detail =
            format!("session {last} of tenant `{tenant}` is there, and {next} is the next");
        return Err(StoreError::Corrupt { detail });
    }
    Ok(stored)
}

/// Makes sure that the tables are there.
pub(super) fn create(txn: &WriteTransaction) -> Result<(), StoreError> {
    txn.open_table(SESSIONS)?;
    txn.open_table(ACCOUNTS)?;
    txn.open_table(NUMBERS)?;
    Ok(())
}

/// Removes everything of a tenant.
pub(super) fn remove(txn: &WriteTransaction, tenant: &str) -> Result<(), StoreError> {
    let after = format!("{tenant}\0");
    txn.open_table(SESSIONS)?.retain_in((tenant, 0)..=(tenant, u64::MAX), |_, _| false)?;
    txn.open_table(ACCOUNTS)?.retain_in((tenant, "")..(after.as_str(), ""), |_, _| false)?;
    txn.open_table(NUMBERS)?.remove(tenant)?;
    Ok(())
}

// === impl Store ===

impl Store {
    /// Makes a step of sessions durable: the sessions, the accounts, the numbers given, and the
    /// records of the audit, all or nothing.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub(crate) fn commit_sessions<'a>(
        &self,
        tenant: &TenantId,
        turn: &Turn,
        stamp: impl Into<Stamp<'a>>,
    ) -> Result<(), StoreError> {
        let stamp = stamp.into();
        // Somebody waits for what is opened; what has ended must not come back, whatever befalls the file.
        let phases = if turn.ends() { Phases::Two } else { Phases::One };
        self.transaction_in(phases, |txn| {
            let entries = turn.entries(revision_of(&txn.open_table(TENANTS)?, tenant)?, stamp);
            write(txn, tenant, turn, &entries).map(|_| ())
        })
    }

    /// The same for a copy, whose log has the step at a place, with what the audit says of it.
    ///
    /// # Errors
    /// As [`Store::commit`], and [`StoreError::Unchained`].
    pub(crate) fn copy_sessions(
        &self,
        tenant: &TenantId,
        turn: &Turn,
        audit: &[Entry],
        then: &Place,
    ) -> Result<(), StoreError> {
        // The log has it, and gives it again where a crash takes it away.
        self.transaction_in(Phases::One, |txn| {
            let mark = write(txn, tenant, turn, audit)?;
            log::note(txn, &Chain::Tenant(tenant.clone()), mark, then)
        })
    }
}

/// What the audit is to say of a turn, on the revision that is stored.
pub(super) fn turn_entries(
    txn: &ReadTransaction,
    tenant: &TenantId,
    turn: &Turn,
    stamp: Stamp<'_>,
) -> Result<Vec<Entry>, StoreError> {
    Ok(turn.entries(revision_of(&txn.open_table(TENANTS)?, tenant)?, stamp))
}

fn revision_of(
    tenants: &impl ReadableTable<&'static str, &'static [u8]>,
    tenant: &TenantId,
) -> Result<Revision, StoreError> {
    let record = match tenants.get(tenant.as_str())? {
        Some(bytes) => TenantRecord::from_bytes(bytes.value())
            .map_err(|source| StoreError::Record { place: format!("tenant `{tenant}`"), source })?,
        None => return Err(StoreError::NoTenant(tenant.clone())),
    };
    Ok(Revision::new(record.revision))
}

fn write(
    txn: &WriteTransaction,
    tenant: &TenantId,
    turn: &Turn,
    audit: &[Entry],
) -> Result<Digest, StoreError> {
    let Turn { sessions, forgotten, accounts, next, events: _ } = turn;
    let name = tenant.as_str();
    let mut table = txn.open_table(SESSIONS)?;
    for session in sessions {
        table.insert((name, session.number), encode_session(session).as_slice())?;
    }
    for number in forgotten {
        table.remove((name, *number))?;
    }
    let mut table = txn.open_table(ACCOUNTS)?;
    for (id, account) in accounts {
        match account {
            Some(account) => {
                table.insert((name, id.as_str()), encode_account(account).as_slice())?;
            }
            None => {
                table.remove((name, id.as_str()))?;
            }
        }
    }
    if let Some(Numbers { session, account }) = next {
        txn.open_table(NUMBERS)?.insert(name, (*session, *account))?;
    }
    Ok(append(txn, &Chain::Tenant(tenant.clone()), Start::Exists, audit)?.hash)
}
