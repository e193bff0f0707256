//! On which resources of a type may a subject do something?

use super::{AnyPermission, allows};
use crate::arena::{ActorIx, LocationIx, ResourceIx, TypeIx};
use crate::check::subject;
use crate::delegate::location;
use crate::id::ObjectId;
use crate::level::{Relative, Scope};
use crate::permission::{PermissionKind, Qualifier};
use crate::psm::COMPUTER;
use crate::query::{Malformed, ObjectRef, PermissionRef, SubjectRef};
use crate::share::Entity;
use crate::snapshot::{Held, Snapshot};
use crate::time::Timestamp;
use crate::walk::{Who, open};

/// The ids of all resources of a type (or of all resource groups, for the type `resource_group`)
/// on which the subject may do something, in the order of their bytes. Empty for a subject, a type
/// or a permission that is not known.
///
/// # Errors
/// [`Malformed`] if a name could not name anything.
pub fn list_resources(
    snapshot: &Snapshot,
    subject_ref: SubjectRef<'_>,
    permission: AnyPermission<'_>,
    type_name: &str,
    now: Timestamp,
) -> Result<Vec<ObjectId>, Malformed> {
    // Asked about something, so that a question that is none is refused with nothing to list.
    let anything = ObjectRef { type_name, id: "?" };
    allows(snapshot, subject_ref, permission, anything, now)?;
    let Ok(subject) = subject(snapshot, subject_ref) else { return Ok(Vec::new()) };
    let mut ids = if type_name == Entity::GROUP_WORD {
        group_candidates(snapshot, &Who::named(snapshot, subject, subject_ref, now))
    } else {
        let Some(kind) = snapshot.types.get(type_name).copied() else { return Ok(Vec::new()) };
        let search = Search {
            snapshot,
            who: Who::named(snapshot, subject, subject_ref, now),
            subject,
            kind,
            now,
        };
        let found = match permission {
            AnyPermission::Access(permission) => search.of_access_levels(permission),
            AnyPermission::Vault(_) => search.of_vault(),
            AnyPermission::Session(level) => search.of_sessions(type_name, level),
        };
        found.into_iter().map(|ix| snapshot.cold.resources[ix].id.clone()).collect()
    };
    ids.sort_unstable();
    ids.dedup();
    let mut listed = Vec::with_capacity(ids.len());
    for id in ids {
        let object = ObjectRef { type_name, id: id.as_str() };
        if allows(snapshot, subject_ref, permission, object, now)? {
            listed.push(id);
        }
    }
    Ok(listed)
}

struct Search<'a> {
    snapshot: &'a Snapshot,
    who: Who<'a>,
    subject: ActorIx,
    kind: TypeIx,
    now: Timestamp,
}

impl Search<'_> {
    fn of_access_levels(&self, permission: PermissionRef<'_>) -> Vec<ResourceIx> {
        let snapshot = self.snapshot;
        let names = &snapshot.kinds[self.kind];
        let names = match permission.kind {
            PermissionKind::Operation => &names.operations,
            PermissionKind::Right => &names.rights,
        };
        let Some(permission) = names.get(permission.name).copied() else { return Vec::new() };
        let mut found = Vec::new();
        for grant in self.who.all().flat_map(|actor| &snapshot.cold.grants_of[actor]) {
            if snapshot.cold.level_kind[grant.level] != self.kind
                || snapshot.says(grant.level, permission) != Some(Qualifier::Allowed)
                || !snapshot.windows[grant.window].contains(self.now)
            {
                continue;
            }
            match &snapshot.cold.assignments[grant.assignment].scope {
                Scope::On(resource) => {
                    let kind = &snapshot.kinds[self.kind];
                    found.extend(kind.objects.get(resource.id.as_str()));
                }
                Scope::In(id) => {
                    if let Some(location) = location(snapshot, id.as_str()) {
                        self.placed_in(location, &mut found);
                    }
                }
                Scope::Relative(relative) => self.related(*relative, &mut found),
            }
        }
        found
    }

    /// The resources of the type that are placed in a location or below it.
    fn placed_in(&self, location: LocationIx, found: &mut Vec<ResourceIx>) {
        let place = self.snapshot.locations[location];
        let placed = &self.snapshot.cold.placed[self.kind];
        let from = placed.partition_point(|(number, _)| *number < place.first);
        let to = placed.partition_point(|(number, _)| *number < place.after);
        found.extend(placed.get(from..to).unwrap_or_default().iter().map(|(_, ix)| *ix));
    }

    fn related(&self, relative: Relative, found: &mut Vec<ResourceIx>) {
        let (snapshot, subject) = (self.snapshot, self.subject);
        let row = &snapshot.subjects[subject];
        if !row.is_person {
            return;
        }
        let object = |actor: &ActorIx| snapshot.cold.object_of[*actor];
        let cold = &snapshot.cold;
        let own: Vec<Held> = open(&snapshot.positions[subject], self.now).collect();
        let reached = open(&snapshot.reached_positions[subject], self.now);
        match relative {
            Relative::Myself => found.extend(object(&subject)),
            Relative::Manager => found.extend(row.manager.as_ref().and_then(object)),
            Relative::DirectReports => {
                found.extend(cold.reports[subject].iter().filter_map(object));
            }
            Relative::OwnAccounts => found.extend(cold.owned[subject].iter().filter_map(object)),
            Relative::AccountsOfDirectReports => {
                let reports = cold.reports[subject].iter();
                let accounts = reports.flat_map(|report| &cold.owned[*report]);
                found.extend(accounts.filter_map(object));
            }
            Relative::InMyLocations => {
                own.iter().for_each(|held| self.placed_in(held.location, found));
            }
            Relative::InMyOrganization => own
                .iter()
                .filter_map(|held| snapshot.locations[held.location].organization)
                .for_each(|organization| self.placed_in(organization, found)),
            Relative::MyLocationsAndBelow => reached.for_each(|at| self.placed_in(at, found)),
            Relative::MyLocationsAndAbove => {
                let objects = &snapshot.kinds[self.kind].objects;
                for at in reached {
                    let above =
                        std::iter::successors(Some(at), |at| snapshot.locations[*at].parent);
                    for above in above.filter(|above| snapshot.climbs_to(at, *above)) {
                        found.extend(objects.get(cold.locations[above].as_str()));
                    }
                }
            }
        }
    }

    fn of_vault(&self) -> Vec<ResourceIx> {
        let vault = &self.snapshot.vault;
        let mut roots: Vec<ResourceIx> = Vec::new();
        roots.extend(&vault.owned[self.subject]);
        for actor in self.who.all() {
            roots.extend(&vault.shared_with[actor]);
            let groups = vault.groups_shared_with[actor].iter();
            roots.extend(groups.flat_map(|group| &vault.members[*group]));
        }
        let mut found = Vec::new();
        for root in roots {
            let children = vault.children[root].iter().copied();
            found.extend(
                std::iter::once(root)
                    .chain(children)
                    .filter(|ix| self.snapshot.resources[*ix].kind == self.kind),
            );
        }
        found
    }

    fn of_sessions(&self, type_name: &str, level: Option<&str>) -> Vec<ResourceIx> {
        let snapshot = self.snapshot;
        let psm = &snapshot.psm;
        if type_name != COMPUTER {
            return Vec::new();
        }
        let Some(level) = level else {
            let open = psm.computers.iter().filter(|(_, settings)| settings.allow_unprivileged);
            return open.map(|(computer, _)| *computer).collect();
        };
        let mine = |eligible: &crate::snapshot::Eligible| {
            eligible.level.as_str() == level && self.who.is(eligible.to)
        };
        let mut found: Vec<_> = psm
            .on
            .iter()
            .filter(|(_, list)| list.iter().any(mine))
            .map(|(computer, _)| *computer)
            .collect();
        for (location, list) in &psm.within {
            if list.iter().any(mine) {
                self.placed_in(*location, &mut found);
            }
        }
        found
    }
}

fn group_candidates(snapshot: &Snapshot, who: &Who<'_>) -> Vec<ObjectId> {
    let vault = &snapshot.vault;
    let groups = who
        .all()
        .flat_map(|actor| &vault.groups_shared_with[actor])
        .map(|group| ObjectId::from_shared(vault.group_names[*group].to_shared()));
    groups.collect()
}
