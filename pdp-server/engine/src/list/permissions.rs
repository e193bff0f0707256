//! What may a subject do on one object?

use std::ops::ControlFlow;

use super::{AnyPermission, ListedPermission, allows};
use crate::arena::{PermissionIx, Table};
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
    let mut listed = Vec::new();
    let is_group = object_ref.type_name == Entity::GROUP_WORD;
    if !is_group {
        crate::list::subjects::validate(subject_ref, object_ref)?;
        listed.extend(of_access_levels(snapshot, subject_ref, object_ref, now));
    }
    let vault = VaultAction::ALL
        .into_iter()
        .filter(|action| !is_group || matches!(action, VaultAction::Manage | VaultAction::Share))
        .map(|action| ListedPermission::Vault(action.as_str().to_owned()));
    let computer = object(snapshot, object_ref).ok().and_then(|ix| snapshot.psm.computers.get(&ix));
    let levels = computer.into_iter().flat_map(|computer| {
        let offers = computer.offers.keys().map(|level| Some(level.to_string()));
        std::iter::once(None).chain(offers).map(ListedPermission::Session)
    });
    for candidate in vault.chain(levels) {
        let asked: AnyPermission<'_> = candidate.ask();
        if allows(snapshot, subject_ref, asked, object_ref, now)? {
            listed.push(candidate);
        }
    }
    listed.sort();
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
    strongest: Table<PermissionIx, Option<Qualifier>>,
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
}
