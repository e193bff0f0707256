//! What may a subject do on one object?

use std::ops::ControlFlow;

use super::{AnyPermission, ListError, ListedPermission, Part, allows, wanted_to_the_end};
use crate::arena::{PermissionIx, Rows};
use crate::check::{object, subject};
use crate::permission::Qualifier;
use crate::query::{Malformed, ObjectRef, SubjectRef};
use crate::share::{Entity, VaultAction};
use crate::snapshot::{Grant, Snapshot};
use crate::time::Timestamp;
use crate::walk::{Via, Visit, Who, walk};

/// Everything that the subject may do on the object, in order: operations, rights, vault actions,
/// sessions. Empty for a subject or object that is not known.
///
/// # Errors
/// [`Malformed`] if a name could not name anything.
pub fn list_permissions(
    snapshot: &Snapshot,
    subject_ref: SubjectRef<'_>,
    object_ref: ObjectRef<'_>,
    now: Timestamp,
) -> Result<Vec<ListedPermission>, Malformed> {
    wanted_to_the_end(list_permissions_part(snapshot, subject_ref, object_ref, Part::whole(), now))
}

/// A part of [`list_permissions`]. All operations and rights are settled by one walk, whichever
/// part is wanted.
///
/// # Errors
/// [`ListError`] as for the whole, or if the part is not wanted any more.
pub fn list_permissions_part(
    snapshot: &Snapshot,
    subject_ref: SubjectRef<'_>,
    object_ref: ObjectRef<'_>,
    part: Part<'_, &ListedPermission>,
    now: Timestamp,
) -> Result<Vec<ListedPermission>, ListError> {
    let pace = part.pace();
    pace.step()?;
    let mut settled = Vec::new();
    let is_group = object_ref.type_name == Entity::GROUP_WORD;
    if !is_group {
        crate::list::subjects::validate(subject_ref, object_ref)?;
        settled.extend(of_access_levels(snapshot, subject_ref, object_ref, now));
    }
    let vault = VaultAction::ALL
        .into_iter()
        .filter(|action| !is_group || matches!(action, VaultAction::Manage | VaultAction::Share))
        .map(|action| ListedPermission::Vault(action.as_str().to_owned()));
    let computer = object(snapshot, object_ref).ok().and_then(|ix| snapshot.psm.computer(ix));
    let levels = computer.into_iter().flat_map(|computer| {
        let offers = computer.offers.keys().map(|level| Some(level.to_string()));
        std::iter::once(None).chain(offers).map(ListedPermission::Session)
    });
    let past = |candidate: &ListedPermission| part.after.is_none_or(|after| candidate > after);
    let settled = settled.into_iter().map(|listed| (listed, true));
    let open = vault.chain(levels).map(|candidate| (candidate, false));
    let mut candidates: Vec<_> =
        settled.chain(open).filter(|(candidate, _)| past(candidate)).collect();
    candidates.sort_unstable();
    // Asked about something, so that a question that is none is refused with nothing to list.
    let anything = AnyPermission::Vault(VaultAction::Manage.as_str());
    allows(snapshot, subject_ref, anything, object_ref, now)?;
    let mut listed = Vec::new();
    for (candidate, is_settled) in candidates {
        if listed.len() >= part.limit {
            break;
        }
        pace.step()?;
        let asked: AnyPermission<'_> = candidate.ask();
        if is_settled || allows(snapshot, subject_ref, asked, object_ref, now)? {
            listed.push(candidate);
        }
    }
    Ok(listed)
}

/// One walk for all operations and rights.
fn of_access_levels(
    snapshot: &Snapshot,
    subject_ref: SubjectRef<'_>,
    object_ref: ObjectRef<'_>,
    now: Timestamp,
) -> Vec<ListedPermission> {
    let (Ok(subject), Ok(object)) = (subject(snapshot, subject_ref), object(snapshot, object_ref))
    else {
        return Vec::new();
    };
    let kind = &snapshot.kinds[snapshot.resources[object].kind];
    let mut all =
        All { snapshot, now, strongest: (0..kind.deniable.len()).map(|_| None).collect() };
    let (ControlFlow::Continue(()) | ControlFlow::Break(())) =
        walk(snapshot, &Who::named(snapshot, subject, subject_ref, now), object, &mut all);
    let allowed = |ix: &PermissionIx| all.strongest[*ix] == Some(Qualifier::Allowed);
    let operations = kind.operations.iter().filter(|(_, ix)| allowed(ix));
    let rights = kind.rights.iter().filter(|(_, ix)| allowed(ix));
    operations
        .map(|(name, _)| ListedPermission::Operation(name.to_string()))
        .chain(rights.map(|(name, _)| ListedPermission::Right(name.to_string())))
        .collect()
}

/// Keeps the strongest qualifier of every permission.
struct All<'a> {
    snapshot: &'a Snapshot,
    now: Timestamp,
    strongest: Rows<PermissionIx, Option<Qualifier>>,
}

impl Visit for All<'_> {
    fn grant(&mut self, grant: &Grant, _via: Via) -> ControlFlow<()> {
        if self.snapshot.windows[grant.window].contains(self.now) {
            for (strongest, says) in self.strongest.iter_mut().zip(&self.snapshot.says[grant.level])
            {
                *strongest = (*strongest).max(*says);
            }
        }
        ControlFlow::Continue(())
    }

    fn asks(&self) -> Option<PermissionIx> {
        None
    }
}
