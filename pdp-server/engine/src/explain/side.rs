//! Putting an explanation together: the walk with a recorder, then the paths of what it found.

use std::cmp::Reverse;
use std::ops::ControlFlow;

use super::coverage::{coverage, location_coverage};
use super::near::near_misses;
use super::path::Paths;
use super::{Coverage, Entry, Explanation, Side, Standing};
use crate::arena::{ActorIx, AssignmentIx, PermissionIx, ResourceIx};
use crate::check::{Resolved, Target, conclude, outcome_of, resolve};
use crate::delegate::Of;
use crate::id::ObjectId;
use crate::permission::Qualifier;
use crate::query::{Decision, Effect, Malformed, ObjectRef, Question, Reason};
use crate::resource::ResourceRef;
use crate::snapshot::{Grant, Snapshot};
use crate::time::Timestamp;
use crate::walk::{Via, Visit, Who, walk};

/// Decides a question at the instant `now` and says why: the decision is the one that
/// [`crate::check::check`] gives.
///
/// # Errors
/// [`Malformed`] if a part of the question could not name anything; that is no decision (Q6).
pub fn explain(
    snapshot: &Snapshot,
    question: &Question<'_>,
    now: Timestamp,
) -> Result<Explanation, Malformed> {
    let (effect, reason, sides) = match resolve(snapshot, question)? {
        Resolved::Settled(reason) => (Effect::Deny, reason, Vec::new()),
        Resolved::Asked(asked) => {
            let who = Who::named(snapshot, asked.subject, question.subject, now);
            let paths = Paths::new(snapshot, &who);
            let told = |target, named| side(snapshot, &who, (target, named), &paths);
            let resource = told(asked.resource, question.resource);
            let counterpart = asked.counterpart.zip(question.counterpart);
            let counterpart = counterpart.map(|(target, named)| told(target, named));
            let other = counterpart.as_ref().map(|side| side.outcome);
            let (effect, reason) = conclude(snapshot, question, &asked, resource.outcome, other);
            (effect, reason, std::iter::once(resource).chain(counterpart).collect())
        }
    };
    let decision = Decision { effect, reason, revision: snapshot.revision() };
    Ok(Explanation { decision, evaluated_at: now, sides })
}

fn side(
    snapshot: &Snapshot,
    who: &Who<'_>,
    (target, named): (Target, ObjectRef<'_>),
    paths: &Paths<'_>,
) -> Side {
    let mut recorder = Recorder::new(snapshot, target.permission, who.t);
    // The recorder never breaks off.
    let (ControlFlow::Continue(()) | ControlFlow::Break(())) =
        walk(snapshot, who, target.object, &mut recorder);
    let Heard { outcome, entries, omitted } = recorder.heard(Of::Object(target.object), paths);
    let missing = outcome == Reason::NotGranted;
    Side {
        object: object_name(snapshot, target.object, Some(named)),
        outcome,
        entries,
        omitted_entries: omitted,
        granting_levels: if missing { granting_levels(snapshot, target) } else { Vec::new() },
        near_misses: if missing { near_misses(snapshot, who, target, paths) } else { Vec::new() },
    }
}

/// The name of an object. Accounts besides the policy share one row: what they are called stands in the
/// question.
pub(crate) fn object_name(
    snapshot: &Snapshot,
    object: ResourceIx,
    named: Option<ObjectRef<'_>>,
) -> ResourceRef {
    let name = snapshot.cold.resources[object].clone();
    match named.and_then(|named| snapshot.sessions().jit_account(named.id)) {
        Some(account) if object == snapshot.besides.object => {
            ResourceRef { id: ObjectId::from_shared(account.id.to_shared()), ..name }
        }
        Some(_) | None => name,
    }
}

fn standing(qualifier: Qualifier, strongest: Option<Qualifier>) -> Standing {
    match (qualifier, strongest) {
        (Qualifier::Unassigned, _) => Standing::Outweighed,
        (qualifier, Some(strongest)) if qualifier == strongest => Standing::Deciding,
        (Qualifier::Allowed, Some(Qualifier::Denied)) => Standing::Masked,
        _ => Standing::Outweighed,
    }
}

fn granting_levels(snapshot: &Snapshot, target: Target) -> Vec<crate::level::LevelRef> {
    let kind = snapshot.resources[target.object].kind;
    snapshot.cold.levels_of[kind]
        .iter()
        .filter(|level| snapshot.says(**level, target.permission) == Some(Qualifier::Allowed))
        .map(|level| snapshot.cold.levels[*level].clone())
        .collect()
}

/// How many entries a side lists.
pub const MAX_ENTRIES: usize = 1_000;

/// How many hops the entries of a side have together: a path through thousands of nested groups is
/// as long as it is, and a thousand such paths would fill the memory.
pub const MAX_HOPS: usize = 20_000;

/// What a recorder found.
pub(crate) struct Heard {
    pub(crate) outcome: Reason,
    pub(crate) entries: Vec<Entry>,
    pub(crate) omitted: usize,
}

/// One applicable assignment that mentions the permission.
struct Found {
    assignment: AssignmentIx,
    assignee: ActorIx,
    qualifier: Qualifier,
    via: Via,
}

/// Keeps everything that applies.
pub(crate) struct Recorder<'a> {
    snapshot: &'a Snapshot,
    permission: PermissionIx,
    now: Timestamp,
    found: Vec<Found>,
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot, permission: PermissionIx, now: Timestamp) -> Self {
        Self { snapshot, permission, now, found: Vec::new() }
    }

    /// What was found, with its paths, and what it comes to (Q1 to Q4).
    pub(crate) fn heard(mut self, of: Of, paths: &Paths<'_>) -> Heard {
        let strongest = self.found.iter().map(|found| found.qualifier).max();
        // An account in several sessions counts as some actors several times over.
        self.found.sort_by_key(|found| found.assignment);
        self.found.dedup_by_key(|found| found.assignment);
        // The strongest first, so that what decided is listed before anything is left out.
        let order =
            |one: AssignmentIx, other: AssignmentIx| self.snapshot.assignment_order(one, other);
        self.found.sort_by(|one, other| {
            let strongest_first = Reverse(one.qualifier).cmp(&Reverse(other.qualifier));
            strongest_first.then_with(|| order(one.assignment, other.assignment))
        });
        let (mut entries, mut hops) = (Vec::new(), 0);
        for found in self.found.iter().take(MAX_ENTRIES) {
            let entry = self.entry(found, of, strongest, paths);
            let Coverage { relation, placement } = &entry.coverage;
            hops += entry.subject_path.len() + relation.len() + placement.len();
            if hops > MAX_HOPS {
                break;
            }
            entries.push((found.assignment, entry));
        }
        entries.sort_by(|(one, _), (other, _)| order(*one, *other));
        let omitted = self.found.len() - entries.len();
        let entries = entries.into_iter().map(|(_, entry)| entry).collect();
        Heard { outcome: outcome_of(strongest), entries, omitted }
    }

    fn entry(
        &self,
        found: &Found,
        of: Of,
        strongest: Option<Qualifier>,
        paths: &Paths<'_>,
    ) -> Entry {
        let assignment = &self.snapshot.cold.assignments[found.assignment];
        Entry {
            assignment: assignment.id.clone(),
            to: assignment.to.clone(),
            level: assignment.level.clone(),
            scope: assignment.scope.clone(),
            window: assignment.window,
            qualifier: found.qualifier,
            standing: standing(found.qualifier, strongest),
            subject_path: paths.to(found.assignee),
            coverage: match of {
                Of::Object(object) => {
                    let found = (found.via, found.assignment);
                    coverage(self.snapshot, object, found, self.now, paths)
                }
                Of::TypeAt(_, location) => location_coverage(self.snapshot, location, found.via),
            },
        }
    }
}

impl Visit for Recorder<'_> {
    fn grant(&mut self, grant: &Grant, via: Via) -> ControlFlow<()> {
        if let Some(qualifier) = self.snapshot.says(grant.level, self.permission)
            && self.snapshot.windows[grant.window].contains(self.now)
            && (qualifier == Qualifier::Denied || !matches!(via, Via::Below(_)))
        {
            let Grant { assignee, assignment, level: _, window: _ } = *grant;
            self.found.push(Found { assignment, assignee, qualifier, via });
        }
        ControlFlow::Continue(())
    }

    fn asks(&self) -> Option<PermissionIx> {
        Some(self.permission)
    }
}
