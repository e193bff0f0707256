//! Keeping the policy: an export, then every change set behind it; another export where there is no going
//! on.

use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use pdp_engine::compile::{CompileLimits, compile_within, recompile_within};
use pdp_engine::facts::{Change, Facts};
use pdp_engine::query;
use pdp_engine::snapshot::Snapshot;
use tokio::time::{Instant, sleep};

use super::Kept;
use crate::call::{Error, random_part};
use crate::client::Client;
use crate::decision::Revision;
use crate::engine::{change_from_wire, fact_from_wire};
use crate::policy::Exported;
use crate::reconnect::BACKOFF;
use crate::watch::{CommittedSet, PolicyEvent, PolicyWatch, Position};

/// The policy as it was followed so far.
struct Followed {
    facts: Facts,
    snapshot: Arc<Snapshot>,
    /// Snapshots that were replaced: they are dropped here, and never by somebody who decides.
    replaced: Vec<Arc<Snapshot>>,
}

/// Why the policy has to be read anew: what was kept does not go on.
struct Astray;

/// Follows the policy for as long as somebody keeps it.
pub(super) async fn follow(client: Client, kept: Arc<Kept>) {
    let mut failures = 0_u32;
    loop {
        let begun = Instant::now();
        let mut shown = false;
        let asked = match begin(&client).await {
            Ok((followed, position)) => {
                shown = true;
                // What was the policy when it was read is as old as the question.
                kept.hear(begun);
                kept.show(&followed.snapshot);
                let watch = client.watch_policy(Some(position));
                go_on(watch, followed, &kept).await;
                // It may be the policy of another history.
                kept.forget();
                None
            }
            Err(error) => error.and_then(|error| error.retry_delay()),
        };
        // Only what was kept for long is none of a row: a large policy takes long to be read in vain, too.
        let lasted = shown && begun.elapsed() >= BACKOFF.max_backoff;
        failures = if lasted { 1 } else { failures.saturating_add(1) };
        sleep(BACKOFF.pause(failures, random_part(), asked)).await;
    }
}

/// Reads the policy. Without an error of the call, what came cannot be used.
async fn begin(client: &Client) -> Result<(Followed, Position), Option<Error>> {
    let Exported { revision, position, facts } = client.export().await?.collect().await?;
    let load = move || {
        let facts = facts.into_iter().map(fact_from_wire).collect::<Result<Vec<_>, _>>()?;
        let facts = Facts::load(facts).map_err(|_| None)?;
        let revision = query::Revision::new(revision.get());
        let snapshot = compile_within(NonZeroUsize::MIN, &facts, revision, CompileLimits::DEFAULT);
        let snapshot = Arc::new(snapshot.map_err(|_| None)?);
        Ok::<_, Option<Error>>(Followed { facts, snapshot, replaced: Vec::new() })
    };
    let followed = tokio::task::spawn_blocking(load).await.map_err(|_| None)??;
    Ok((followed, position))
}

/// Takes change set after change set, until there is no going on.
async fn go_on(mut watch: PolicyWatch, mut followed: Followed, kept: &Kept) {
    loop {
        let looked = Instant::now();
        let event = match already(watch.event()) {
            Some(event) => event,
            None => {
                // Nothing has come that was not taken, and nothing more was there when the last of it was sent. What
                // came before it is no sign that the policy is as new: it may have been sent long ago.
                if watch.is_current() {
                    kept.hear(looked);
                }
                watch.event().await
            }
        };
        match event {
            // How long that lasts is what counts.
            Ok(PolicyEvent::Current(_) | PolicyEvent::Lost { .. }) => {}
            Ok(PolicyEvent::Committed(set)) => {
                let taken = tokio::task::spawn_blocking(move || followed.take(set)).await;
                match taken {
                    Ok(Ok(next)) => followed = next,
                    Ok(Err(Astray)) | Err(_) => return,
                }
                kept.show(&followed.snapshot);
            }
            // There is no going on from here, or the policy is not this client's to have.
            Err(_) => return,
        }
    }
}

/// What is there without waiting.
fn already<T>(waited: impl Future<Output = T>) -> Option<T> {
    match pin!(waited).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(there) => Some(there),
        Poll::Pending => None,
    }
}

// === impl Followed ===

impl Followed {
    /// The policy with a change set. What does not come to the same here as it did on the server is not
    /// built upon.
    fn take(mut self, set: CommittedSet) -> Result<Self, Astray> {
        let CommittedSet { position, committed_at: _, changes } = set;
        let changes: Result<Vec<Change>, Error> =
            changes.into_iter().map(change_from_wire).collect();
        let changes = changes.map_err(|_| Astray)?;
        let applied = self.facts.apply(&changes).map_err(|_| Astray)?;
        if applied.deltas.len() != changes.len() {
            return Err(Astray);
        }
        let revision = query::Revision::new(position.revision.get());
        let limits = CompileLimits::DEFAULT;
        let next = recompile_within(&self.snapshot, &self.facts, &applied.deltas, revision, limits);
        let next = Arc::new(next.map_err(|_| Astray)?);
        self.replaced.push(std::mem::replace(&mut self.snapshot, next));
        // One that somebody is looking at stays until they have looked away.
        self.replaced.retain(|snapshot| Arc::strong_count(snapshot) > 1);
        Ok(self)
    }
}

// === impl Kept ===

impl Kept {
    /// Has decisions made on this policy.
    fn show(&self, snapshot: &Arc<Snapshot>) {
        self.snapshot.store(Some(Arc::clone(snapshot)));
        self.revision.send_replace(Some(Revision::new(snapshot.revision().get())));
    }

    /// Has the server asked until there is another policy.
    fn forget(&self) {
        self.snapshot.store(None);
        self.revision.send_replace(None);
    }
}
