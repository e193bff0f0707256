//! Stores that an earlier version wrote: each is made one of this version before it is used.

use pdp_engine::query::Revision;
use pdp_engine::time::Timestamp;
use prost::Message as _;
use redb::{ReadableTable as _, WriteTransaction};

use super::audit::{Start, append, tenant_of};
use super::journal::JOURNAL;
use super::record::TenantRecord;
use super::rows::{FORMAT_KEY, META, TENANTS};
use super::{CALLERLESS_FORMAT, FORMAT, Store, StoreError, UNAUDITED_FORMAT, UNJOURNALED_FORMAT};
use crate::audit::{Chain, Entry, Event};

// === impl Store ===

impl Store {
    /// Makes a store that an earlier version wrote one of this version. The audit of one without begins
    /// here: what came before is not in it. Where records named no callers, those that come do. The journal
    /// of one without begins here, too.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub(crate) fn upgrade(&self, at: Timestamp) -> Result<(), StoreError> {
        let unaudited = match self.format()? {
            Some(UNAUDITED_FORMAT) => true,
            Some(CALLERLESS_FORMAT | UNJOURNALED_FORMAT) => false,
            _ => return Ok(()),
        };
        self.transaction(|txn| {
            txn.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
            begin_journal(txn)?;
            if unaudited { begin_audit(txn, at) } else { Ok(()) }
        })
    }
}

fn begin_audit(txn: &WriteTransaction, at: Timestamp) -> Result<(), StoreError> {
    let began = |revision| {
        let (person, caller, event) = (None, None, Event::Began);
        [Entry { at, revision, person, caller, event }]
    };
    for row in txn.open_table(TENANTS)?.iter()? {
        let (name, record) = row?;
        let (chain, revision) = tenant_of(name.value(), record.value())?;
        append(txn, &chain, Start::New, &began(revision))?;
    }
    append(txn, &Chain::Server, Start::New, &began(Revision::ZERO))?;
    Ok(())
}

/// The change sets so far are in no journal.
fn begin_journal(txn: &WriteTransaction) -> Result<(), StoreError> {
    txn.open_table(JOURNAL)?;
    let mut tenants = txn.open_table(TENANTS)?;
    let mut begun = Vec::new();
    for row in tenants.iter()? {
        let (name, bytes) = row?;
        let record = TenantRecord::from_bytes(bytes.value()).map_err(|source| {
            let place = format!("tenant `{}`", name.value().escape_debug());
            StoreError::Record { place, source }
        })?;
        let record = TenantRecord { journal_from: record.revision, ..record };
        begun.push((name.value().to_owned(), record.encode_to_vec()));
    }
    for (name, record) in begun {
        tenants.insert(name.as_str(), record.as_slice())?;
    }
    Ok(())
}
