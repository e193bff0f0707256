//! Applying a change set: validate, compile, commit, swap, acknowledge.

use std::num::NonZeroUsize;
use std::time::Instant;

use pdp_engine::compile::{CompileLimits, compile_within, recompile_within};
use pdp_engine::facts::{Applied, Change, Delta, FactKey, Facts};
use pdp_engine::id::{AccountId, PersonId, TenantId};
use pdp_engine::query::Revision;
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;

use super::log::{Proposed, Tried};
use super::sessions::Pace;
use super::tenant::Tenant;
use super::{
    Apply, ApplyError, ChangeKind, Counts, MAX_LISTED_CHANGES, Publisher, Receipt, RequestId,
    audit, delegated,
};
use crate::audit::{Chain, Digest};
use crate::store::{self, Commit, Remembered, Say, threads_for};
use crate::sync::MutexGuard;

// === impl Publisher ===

impl Publisher {
    /// Applies a change set: all of it, durable and visible to the next look at the snapshot when
    /// this returns, or none of it. It waits for the disk, and where several servers share a log for that:
    /// call it where blocking is allowed.
    ///
    /// A change set without net effect succeeds and makes no revision; its request id is
    /// remembered all the same, so that repeating it later still applies nothing.
    ///
    /// # Errors
    /// [`ApplyError`] says what the writer can do about it.
    pub fn apply(&self, tenant: &TenantId, request: Apply<'_>) -> Result<Receipt, ApplyError> {
        self.decided(tenant, || self.try_apply(tenant, request))
    }

    fn try_apply(
        &self,
        tenant: &TenantId,
        request: Apply<'_>,
    ) -> Result<Tried<Receipt>, ApplyError> {
        let Apply { changes, expected, dry_run, request_id, on_behalf_of: person } = request;
        let tenant = self.tenant(tenant)?;
        let writer = tenant.write()?;
        let now = self.0.clock.now();
        let request_id = request_id.filter(|_| !dry_run);
        if let Some(receipt) = self.repeated(&tenant.id, request_id, changes, person)? {
            return Ok(Tried::Done(receipt));
        }

        // Validate: the facts themselves change, and are taken back if anything below fails.
        let mut held = tenant.hold()?;
        let from = held.revision;
        if held.unshown {
            return Ok(Tried::Lost);
        }
        if let Some(expected) = expected.filter(|expected| *expected != from) {
            return Err(ApplyError::RevisionMismatch { expected, actual: from });
        }
        if let Some(person) = person {
            delegated::admit(person, &held.facts, from)?;
        }
        let applied = held.change().apply_on(threads_for(changes.len()), changes)?;
        if let Some(person) = person {
            // INVARIANT: it is this writer's turn, so that the snapshot shows the revision that the
            // change set builds upon and nothing comes in between.
            let snapshot = tenant.snapshot.load_full();
            let decided = delegated::decide(&snapshot, person, changes, &applied.deltas, now);
            if let Err(refused) = decided {
                held.change().undo(applied);
                // Looking for approvers takes its time: others may write meanwhile.
                drop((held, writer));
                return Err(refused.with_approvers().into());
            }
        }
        let effective = !applied.deltas.is_empty();
        let to = if effective && !dry_run { from.next() } else { from };
        let began = Instant::now();
        let (snapshot, turn) = match prepare(&tenant, &held.facts, &applied, to) {
            Ok(prepared) => {
                self.compiled(effective, began.elapsed());
                prepared
            }
            Err(error) => {
                self.not_compiled(&error);
                held.change().undo(applied);
                return Err(error);
            }
        };
        let receipt = receipt(to, &applied, dry_run, person);
        if dry_run || (!effective && request_id.is_none()) {
            held.change().undo(applied);
            return Ok(Tried::Unproven(receipt));
        }

        // Commit: from here on the change set and the record of it survive a crash.
        let request = Apply { request_id, ..request };
        match self.commit(&tenant.id, from, &applied, &receipt, request, now) {
            Ok(true) => {}
            Ok(false) => {
                held.change().undo(applied);
                return Ok(Tried::Lost);
            }
            Err(error) => {
                held.change().undo(applied);
                return Err(error);
            }
        }
        if let Some(snapshot) = snapshot {
            // Swap, acknowledge: every look at the snapshot from here on sees it.
            tenant.show_committed(held, &snapshot, (to, Some(&applied.deltas)));
        }
        drop(turn);
        Ok(Tried::Done(receipt))
    }

    /// Makes a change set durable, with what the audit says of it and what its request id stands for.
    /// `false` if another one came first in the log.
    fn commit(
        &self,
        tenant: &TenantId,
        from: Revision,
        applied: &Applied,
        receipt: &Receipt,
        request: Apply<'_>,
        now: Timestamp,
    ) -> Result<bool, ApplyError> {
        let Apply { changes, request_id, .. } = request;
        let effective = !applied.deltas.is_empty();
        let digest = store::digest(changes);
        let remembered = remembered(receipt, digest);
        let stamp = self.stamp(now);
        let record = effective.then(|| audit::entry(stamp, receipt, digest, request_id));
        let (to, deltas) = (receipt.revision, applied.deltas.as_slice());
        let request = request_id.map(|id| (id, &remembered));
        let said = Say::Policy { from, to, deltas, request };
        let audit = record.as_slice();
        let commit = Commit { tenant, from, to, deltas, request, audit };
        match self.propose(&Chain::Tenant(tenant.clone()), said, stamp, audit.to_vec())? {
            Proposed::Alone => self.0.store.commit(&commit)?,
            Proposed::Logged(draft) => {
                let commit = Commit { audit: &draft.audit, ..commit };
                self.0.store.copy_commit(&commit, &draft.then)?;
            }
            Proposed::Lost => return Ok(false),
        }
        Ok(true)
    }

    /// The first receipt of a request id that was used before.
    fn repeated(
        &self,
        tenant: &TenantId,
        request_id: Option<&RequestId>,
        changes: &[Change],
        person: Option<&PersonId>,
    ) -> Result<Option<Receipt>, ApplyError> {
        let Some(id) = request_id else { return Ok(None) };
        let Some(Remembered { digest, revision, changes: listed, counts, on_behalf_of }) =
            self.0.store.remembered(tenant, id)?
        else {
            return Ok(None);
        };
        if Digest(digest) != store::digest(changes) || on_behalf_of.as_ref() != person {
            return Err(ApplyError::RequestIdReused(id.clone()));
        }
        let (changes, replayed, dry_run) = (listed, true, false);
        Ok(Some(Receipt { revision, changes, counts, replayed, dry_run, on_behalf_of }))
    }
}

/// The policy compiled, if it changes; and the turn of the sessions where accounts are created: names of
/// accounts that were made for sessions stay theirs, and none is made meanwhile.
fn prepare<'a>(
    tenant: &'a Tenant,
    facts: &Facts,
    applied: &Applied,
    to: Revision,
) -> Result<(Option<Snapshot>, Option<MutexGuard<'a, Pace>>), ApplyError> {
    let snapshot = match applied.deltas.as_slice() {
        [] => None,
        deltas => {
            // INVARIANT: it is this writer's turn, so that the snapshot shows the policy that the change
            // set builds upon.
            let shown = tenant.snapshot.load_full();
            let limits = CompileLimits::DEFAULT;
            let threads = threads_for(facts.len());
            Some(match threads > NonZeroUsize::MIN && is_all_there_is(deltas, facts) {
                // Nobody is answered from it yet.
                true => compile_within(threads, facts, to, limits)?
                    .with_sessions(shown.sessions().clone()),
                false => recompile_within(&shown, facts, deltas, to, limits)?,
            })
        }
    };
    Ok((snapshot, tenant.sessions.keep_names(made(applied))?))
}

/// Whether a change set filled an empty policy.
fn is_all_there_is(deltas: &[Delta], facts: &Facts) -> bool {
    deltas.len() == facts.len() && deltas.iter().all(|delta| delta.before.is_none())
}

/// The accounts that a change set creates.
fn made(applied: &Applied) -> Vec<&AccountId> {
    let created = applied.deltas.iter().filter(|delta| delta.before.is_none());
    let key = created.filter_map(|delta| match &delta.key {
        FactKey::Account(id) => Some(id),
        _ => None,
    });
    key.collect()
}

fn receipt(
    revision: Revision,
    applied: &Applied,
    dry_run: bool,
    person: Option<&PersonId>,
) -> Receipt {
    let changes = applied.deltas.iter().map(|delta| (delta.key.clone(), ChangeKind::of(delta)));
    let changes = changes.take(MAX_LISTED_CHANGES).collect();
    let counts = Counts::of(applied.deltas.iter().map(ChangeKind::of));
    let on_behalf_of = person.cloned();
    Receipt { revision, changes, counts, replayed: false, dry_run, on_behalf_of }
}

fn remembered(receipt: &Receipt, Digest(digest): Digest) -> Remembered {
    let Receipt { revision, changes, counts, replayed: _, dry_run: _, on_behalf_of } = receipt;
    let (changes, on_behalf_of) = (changes.clone(), on_behalf_of.clone());
    Remembered { digest, revision: *revision, changes, counts: *counts, on_behalf_of }
}
