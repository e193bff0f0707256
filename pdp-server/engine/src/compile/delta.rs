//! A change set to snapshot: what it touches is worked out anew, all else is shared with the snapshot before.
//!
//! It goes by steps, each of which leaves the draft whole: names come, facts change one by one, whom subjects
//! count as is followed anew from where edges changed, names go. What has no name any more keeps its handle,
//! which nothing reaches, until the policy is compiled as a whole again.

mod actors;
mod closures;
mod draft;
mod grants;
mod places;
mod psm;
mod vault;

use std::num::NonZeroUsize;

use crate::facts::{Delta, Fact, FactKind, Facts};
use crate::query::Revision;
use crate::snapshot::Snapshot;

use super::budget::{CompileLimits, TooLarge};
use super::{compile_within, grants::asks_reached_positions};
use draft::Draft;

/// How many facts may differ, at least, before it is cheaper to compile the whole policy.
const MANY_DELTAS: usize = 4_096;

/// The share of a policy that may differ before it is cheaper to compile the whole of it, as a divisor.
const MANY_SHARE: usize = 16;

/// Compiles a change set, however large the policy gets: `facts` are those that `deltas` lead to from the
/// ones that `before` was compiled from.
#[must_use]
#[expect(clippy::expect_used, reason = "INVARIANT: without limits nothing is over one")]
pub fn recompile(
    before: &Snapshot,
    facts: &Facts,
    deltas: &[Delta],
    revision: Revision,
) -> Snapshot {
    recompile_within(before, facts, deltas, revision, CompileLimits::NONE)
        .expect("there are no limits")
}

/// Compiles a change set: `facts` are those that `deltas` lead to from the ones that `before` was
/// compiled from. The sessions are those of `before`.
///
/// The cost grows with the change set and with how many subjects count as what it touches; where it changes what
/// levels say, the filters are made anew, once. The whole policy
/// is compiled where a type, a location or a business role changes, where a good part of the facts does, and
/// once much of what is in the snapshot is out of use.
///
/// # Errors
/// [`TooLarge`] if the policy would be more than the limits allow.
pub fn recompile_within(
    before: &Snapshot,
    facts: &Facts,
    deltas: &[Delta],
    revision: Revision,
    limits: CompileLimits,
) -> Result<Snapshot, TooLarge> {
    let compiled = match is_for_all(before, facts, deltas) {
        true => compile_within(NonZeroUsize::MIN, facts, revision, limits)?,
        false => match Draft::new(before, facts, limits).take(deltas, revision)? {
            Some(policy) => Snapshot::new(policy),
            None => compile_within(NonZeroUsize::MIN, facts, revision, limits)?,
        },
    };
    Ok(compiled.with_sessions(before.sessions().clone()))
}

/// Whether a change set calls for compiling the whole policy.
fn is_for_all(before: &Snapshot, facts: &Facts, deltas: &[Delta]) -> bool {
    let cold = &before.cold;
    let rows = cold.actors.len() + cold.resources.len() + cold.assignments.len();
    deltas.len() > MANY_DELTAS.max(facts.len() / MANY_SHARE)
        || cold.spare.garbage > MANY_DELTAS.max(rows / MANY_SHARE)
        || deltas.iter().any(|delta| match delta.key.kind() {
            // They number what everything else is placed by.
            FactKind::ResourceType | FactKind::Location | FactKind::BusinessRole => true,
            FactKind::Assignment => match &delta.after {
                Some(Fact::Assignment(assignment)) => {
                    !cold.asks_reached_positions && asks_reached_positions(assignment)
                }
                _ => false,
            },
            _ => false,
        })
}
