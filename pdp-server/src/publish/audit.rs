//! What the audit says of a write, and reading it back.

#[cfg(test)]
mod tests;

use super::{AuditError, Counts, Publisher, Receipt, RequestId};
use crate::audit::{
    Chain, Digest, Entry, Event, MAX_AUDITED_CHANGES, Page, PolicyChanged, Query, Stamp, Verified,
};

// === impl Publisher ===

impl Publisher {
    /// Some records of a chain: those behind the number `after`, at most `limit`. It reads the
    /// disk: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`AuditError`] if there is no such tenant, or a record cannot be read.
    pub fn audit(
        &self,
        chain: &Chain,
        query: &Query,
        after: u64,
        limit: usize,
    ) -> Result<Page, AuditError> {
        Ok(self.0.store.audit_page(chain, query, after, limit)?)
    }

    /// Reads a whole chain and says whether it is as it was written. It reads the disk for as long
    /// as the chain is: call it where blocking is allowed. Writers do not wait for it.
    ///
    /// # Errors
    /// [`AuditError`] if there is no such tenant, or the store does not answer.
    pub fn verify_audit(&self, chain: &Chain) -> Result<Verified, AuditError> {
        Ok(self.0.store.verify_audit(chain)?)
    }
}

/// The record of a change set that made a revision.
pub(super) fn entry(
    Stamp { at, caller }: Stamp<'_>,
    receipt: &Receipt,
    digest: Digest,
    request_id: Option<&RequestId>,
) -> Entry {
    let Receipt { revision, changes, counts, replayed: _, dry_run: _, on_behalf_of } = receipt;
    let Counts { created, changed, removed } = *counts;
    let named = on_behalf_of.as_ref().map_or(0, |_| MAX_AUDITED_CHANGES);
    let event = Event::PolicyChanged(PolicyChanged {
        created,
        changed,
        removed,
        digest,
        request_id: request_id.cloned(),
        changes: changes.iter().take(named).cloned().collect(),
    });
    let (person, caller) = (on_behalf_of.clone(), caller.cloned());
    Entry { at, revision: *revision, person, caller, event }
}
