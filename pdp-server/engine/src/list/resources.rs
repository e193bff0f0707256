//! On which resources of a type may a subject do something?

use std::cmp::Reverse;

use super::candidates::{Candidates, Listed};
use super::{AnyPermission, ListError, Pace, Part, allows, wanted_to_the_end};
use crate::arena::{ActorIx, LevelIx, LocationIx, ResourceGroupIx, ResourceIx, TypeIx};
use crate::check::subject;
use crate::delegate::location;
use crate::id::ObjectId;
use crate::level::{Relative, Scope};
use crate::permission::{PermissionKind, Qualifier};
use crate::psm::COMPUTER;
use crate::query::{Malformed, ObjectRef, PermissionRef, SubjectRef};
use crate::share::Entity;
use crate::snapshot::{Computer, EligibleFor, EligibleOn, Held, Snapshot};
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
    let whole = Part::whole();
    wanted_to_the_end(list_resources_part(snapshot, subject_ref, permission, type_name, whole, now))
}

/// A part of [`list_resources`].
///
/// # Errors
/// [`ListError`] as for the whole, or if the part is not wanted any more.
pub fn list_resources_part(
    snapshot: &Snapshot,
    subject_ref: SubjectRef<'_>,
    permission: AnyPermission<'_>,
    type_name: &str,
    part: Part<'_, &str>,
    now: Timestamp,
) -> Result<Vec<ObjectId>, ListError> {
    let pace = part.pace();
    pace.step()?;
    // Asked about something, so that a question that is none is refused with nothing to list.
    let anything = ObjectRef { type_name, id: "?" };
    allows(snapshot, subject_ref, permission, anything, now)?;
    let Ok(subject) = subject(snapshot, subject_ref) else { return Ok(Vec::new()) };
    let who = Who::named(snapshot, subject, subject_ref, now);
    let decide = |id: &ObjectId| {
        let object = ObjectRef { type_name, id: id.as_str() };
        allows(snapshot, subject_ref, permission, object, now)
    };
    if type_name == Entity::GROUP_WORD {
        let groups = group_candidates(snapshot, &who);
        let name = |group| ObjectId::from_shared(snapshot.vault.group_names[group].to_shared());
        return checked(snapshot, groups, name, part, &pace, decide);
    }
    let Some(kind) = snapshot.types.get(type_name).copied() else { return Ok(Vec::new()) };
    let mut search = Search::new(snapshot, &who, kind, &pace);
    match permission {
        AnyPermission::Access(permission) => search.of_access_levels(permission)?,
        AnyPermission::Vault(_) => search.of_vault()?,
        AnyPermission::Session(level) => search.of_sessions(type_name, level)?,
    }
    let found = search.found()?;
    checked(snapshot, found, |ix| snapshot.cold.resources[ix].id.clone(), part, &pace, decide)
}

/// Checks the candidates of the part until it is full.
fn checked<H: Listed>(
    snapshot: &Snapshot,
    found: Vec<H>,
    name: impl Fn(H) -> ObjectId,
    part: Part<'_, &str>,
    pace: &Pace<'_>,
    decide: impl Fn(&ObjectId) -> Result<bool, Malformed>,
) -> Result<Vec<ObjectId>, ListError> {
    let mut candidates = Candidates::new(snapshot);
    candidates.singles(found);
    let passed = |handle| part.after.is_some_and(|after| name(handle).as_str() <= after);
    let mut listed = Vec::new();
    for candidate in candidates.past(passed) {
        if listed.len() >= part.limit {
            break;
        }
        pace.step()?;
        let id = name(candidate);
        if decide(&id)? {
            listed.push(id);
        }
    }
    Ok(listed)
}

/// Looks for resources of one type.
pub(super) struct Search<'a> {
    snapshot: &'a Snapshot,
    who: &'a Who<'a>,
    kind: TypeIx,
    pace: &'a Pace<'a>,
    one_by_one: Vec<ResourceIx>,
    /// Everything placed there or below.
    places: Vec<LocationIx>,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        snapshot: &'a Snapshot,
        who: &'a Who<'a>,
        kind: TypeIx,
        pace: &'a Pace<'a>,
    ) -> Self {
        let (one_by_one, places) = (Vec::new(), Vec::new());
        Self { snapshot, who, kind, pace, one_by_one, places }
    }

    /// Everything that was found, in no order. Places that lie in each other are gone through once.
    pub(super) fn found(self) -> Result<Vec<ResourceIx>, ListError> {
        let Self { snapshot, kind, pace, one_by_one: mut found, places, .. } = self;
        let numbers = |at: &LocationIx| {
            let place = &snapshot.locations[*at];
            (place.first, place.after)
        };
        let mut spans: Vec<(u32, u32)> = places.iter().map(numbers).collect();
        // The widest of those that begin together comes first.
        spans.sort_unstable_by_key(|(first, after)| (*first, Reverse(*after)));
        let placed = snapshot.cold.placed.of(kind);
        let mut done = 0;
        for (first, after) in spans {
            if after <= done {
                continue;
            }
            done = after;
            let within = placed.past(|(number, _)| *number < first);
            for (_, resource) in within.first(|(number, _)| *number < after).iter() {
                pace.step()?;
                found.push(resource);
            }
        }
        Ok(found)
    }

    fn of_access_levels(&mut self, permission: PermissionRef<'_>) -> Result<(), ListError> {
        let snapshot = self.snapshot;
        let names = &snapshot.kinds[self.kind];
        let names = match permission.kind {
            PermissionKind::Operation => &names.operations,
            PermissionKind::Right => &names.rights,
        };
        let Some(permission) = names.get(permission.name).copied() else { return Ok(()) };
        self.of_grants(|level| snapshot.says(level, permission) == Some(Qualifier::Allowed))
    }

    /// What is covered by grants of the type whose levels allow what is asked.
    pub(super) fn of_grants(&mut self, allows: impl Fn(LevelIx) -> bool) -> Result<(), ListError> {
        let (snapshot, who) = (self.snapshot, self.who);
        for grant in who.all().flat_map(|actor| &snapshot.cold.grants_of[actor]) {
            self.pace.step()?;
            if snapshot.cold.level_kind[grant.level] != self.kind
                || !allows(grant.level)
                || !snapshot.windows[grant.window].contains(self.who.t)
            {
                continue;
            }
            match &snapshot.cold.assignments[grant.assignment].scope {
                Scope::On(resource) => {
                    self.one_by_one.extend(snapshot.object(self.kind, resource.id.as_str()));
                }
                Scope::In(id) => {
                    self.places.extend(location(snapshot, id.as_str()));
                }
                Scope::Relative(relative) => self.related(*relative),
            }
        }
        Ok(())
    }

    fn related(&mut self, relative: Relative) {
        let (snapshot, subject) = (self.snapshot, self.who.subject);
        let row = &snapshot.subjects[subject];
        if !row.is_person {
            return;
        }
        let object = |actor: ActorIx| snapshot.cold.object_of[actor];
        let cold = &snapshot.cold;
        let own = open(&snapshot.positions[subject], self.who.t);
        let reached = open(&snapshot.reached_positions[subject], self.who.t);
        let found = &mut self.one_by_one;
        match relative {
            Relative::Myself => found.extend(object(subject)),
            Relative::Manager => found.extend(row.manager.and_then(object)),
            Relative::DirectReports => {
                found.extend(cold.reports.of(subject).iter().filter_map(object));
            }
            Relative::OwnAccounts => found.extend(cold.owned.of(subject).iter().filter_map(object)),
            Relative::AccountsOfDirectReports => {
                let reports = cold.reports.of(subject).iter();
                let accounts = reports.flat_map(|report| cold.owned.of(report).iter());
                found.extend(accounts.filter_map(object));
            }
            Relative::InMyLocations => self.places.extend(own.map(|held| held.location)),
            Relative::InMyOrganization => {
                let organization = |held: Held| snapshot.locations[held.location].organization;
                self.places.extend(own.filter_map(organization));
            }
            Relative::MyLocationsAndBelow => self.places.extend(reached),
            Relative::MyLocationsAndAbove => {
                for at in reached {
                    let above =
                        std::iter::successors(Some(at), |at| snapshot.locations[*at].parent);
                    for above in above.filter(|above| snapshot.climbs_to(at, *above)) {
                        found.extend(snapshot.object(self.kind, cold.locations[above].as_str()));
                    }
                }
            }
        }
    }

    fn of_vault(&mut self) -> Result<(), ListError> {
        let found = of_vault(self.snapshot, self.who, self.pace)?.into_iter();
        let kind = |resource: &ResourceIx| self.snapshot.resources[*resource].kind;
        self.one_by_one.extend(found.filter(|resource| kind(resource) == self.kind));
        Ok(())
    }

    fn of_sessions(&mut self, type_name: &str, level: Option<&str>) -> Result<(), ListError> {
        let psm = &self.snapshot.psm;
        if type_name != COMPUTER || !self.snapshot.subjects[self.who.subject].is_person {
            return Ok(());
        }
        let Some(level) = level else {
            // Eligibility plays no part (P8), so every computer that takes such sessions does.
            let takes = |computer: &Computer| computer.enabled && computer.allow_unprivileged;
            let open = psm.all_computers().filter(|(_, settings)| takes(settings));
            self.one_by_one.extend(open.map(|(computer, _)| computer));
            return Ok(());
        };
        for actor in self.who.all() {
            let all = &psm.eligible_for[actor];
            let from = all.partition_point(|it| it.level.as_str() < level);
            let rest = all.get(from..).unwrap_or_default().iter();
            self.of_eligibilities(rest.take_while(|it| it.level.as_str() == level))?;
        }
        Ok(())
    }

    /// The computers of eligibilities that count now.
    pub(super) fn of_eligibilities<'e>(
        &mut self,
        all: impl Iterator<Item = &'e EligibleFor>,
    ) -> Result<(), ListError> {
        for eligible in all {
            self.pace.step()?;
            if !eligible.window.contains(self.who.t) {
                continue;
            }
            match eligible.on {
                EligibleOn::Computer(computer) => self.one_by_one.push(computer),
                EligibleOn::Within(location) => self.places.push(location),
            }
        }
        Ok(())
    }
}

/// Everything of the vault that is owned or shared, on whatever layer, with what the subject counts as.
pub(super) fn of_vault(
    snapshot: &Snapshot,
    who: &Who<'_>,
    pace: &Pace<'_>,
) -> Result<Vec<ResourceIx>, ListError> {
    let vault = &snapshot.vault;
    let mut roots: Vec<ResourceIx> = Vec::new();
    roots.extend(&vault.owned[who.subject]);
    for actor in who.all() {
        roots.extend(&vault.shared_with[actor]);
        let groups = vault.groups_shared_with[actor].iter();
        roots.extend(groups.flat_map(|group| &vault.members[*group]));
    }
    let mut found = Vec::new();
    for root in roots {
        let children = vault.children[root].iter().copied();
        for resource in std::iter::once(root).chain(children) {
            pace.step()?;
            found.push(resource);
        }
    }
    Ok(found)
}

pub(super) fn group_candidates(snapshot: &Snapshot, who: &Who<'_>) -> Vec<ResourceGroupIx> {
    who.all().flat_map(|actor| snapshot.vault.groups_shared_with[actor].iter().copied()).collect()
}
