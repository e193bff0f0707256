//! What somebody may do anywhere, or what everybody may do on one object, at one instant: the effective
//! permissions of whoever, or whatever, is watched.
//!
//! It is what the lists and the checks of all families say, put together: candidates are found once for all
//! permissions, and each is then asked about as `list_permissions` does. A session that needs an approval
//! first is told, too, and told apart.

use std::collections::{BTreeMap, BTreeSet};

use super::candidates::Candidates;
use super::permissions::list_permissions_part;
use super::resources::{Search, group_candidates, of_vault};
use super::subjects::{
    Sought, SubjectKinds, actor, allows_anything, assignees, counting_as, holders_with,
    in_sessions, merged, session_candidates, subject_ref, vault_grantees,
};
use super::{AnyPermission, ListError, ListedPermission, Pace, Part as ListPart, allows};
use crate::actor::ActorRef;
use crate::arena::{ResourceIx, TypeIx};
use crate::check::{object, subject};
use crate::psm::COMPUTER;
use crate::query::{Effect, Malformed, ObjectRef, SubjectRef};
use crate::resource::BuiltInType;
use crate::session::{SessionQuestion, session_effect};
use crate::share::{Entity, VaultAction};
use crate::snapshot::{Computer, Snapshot};
use crate::time::Timestamp;
use crate::walk::Who;

/// Whose effective permissions, or those on what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About<'a> {
    /// What a subject may do.
    Subject {
        /// Who.
        subject: SubjectRef<'a>,
        /// Only on resources of this type, `resource_group` for resource groups; `None` for all.
        type_name: Option<&'a str>,
    },
    /// What everybody may do on one resource, or on one resource group.
    Resource {
        /// On what.
        resource: ObjectRef<'a>,
        /// Who is told.
        kinds: SubjectKinds,
    },
}

/// The other end of a permission: the resource, where a subject is watched, and the subject, where a
/// resource is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Other {
    /// Who may.
    Subject(ActorRef),
    /// On what.
    Resource(Entity),
}

/// What is held: `Allow`, or `RequiresApproval` of a session that somebody has to agree to first. What is
/// denied is left out.
pub type Effective = BTreeMap<(Other, ListedPermission), Effect>;

/// Which of the effective permissions are wanted, and by whom.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    /// Only these; all of them if there are none here.
    pub permissions: &'a [ListedPermission],
    /// At most so many.
    pub limit: usize,
    /// Whether they are still wanted; asked as often as for a list.
    pub wanted: &'a dyn Fn() -> bool,
}

/// Why there are no effective permissions to tell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EffectiveError {
    /// As of a list.
    #[error(transparent)]
    List(#[from] ListError),
    /// There are more than [`Part::limit`].
    #[error("there are more effective permissions than the limit")]
    TooMany,
}

/// Everything that is held at an instant.
///
/// # Errors
/// [`EffectiveError`] if the question is none, if it is not wanted any more, or if there is too much.
pub fn effective(
    snapshot: &Snapshot,
    about: About<'_>,
    part: Part<'_>,
    now: Timestamp,
) -> Result<Effective, EffectiveError> {
    let pace = ListPart::<()> { after: None, limit: usize::MAX, wanted: part.wanted };
    let pace = pace.pace();
    pace.step()?;
    let manage = AnyPermission::Vault(VaultAction::Manage.as_str());
    is_question(snapshot, about, manage, now).map_err(ListError::from)?;
    let mut held = Collected { snapshot, part, now, held: Effective::new() };
    match about {
        About::Subject { subject, type_name } => {
            of_subject(snapshot, (subject, type_name), &pace, &mut held)?;
        }
        About::Resource { resource, kinds } => {
            on_resource(snapshot, (resource, kinds), &pace, &mut held)?;
        }
    }
    Ok(held.held)
}

/// Whether a permission could be asked of what is watched.
///
/// # Errors
/// [`Malformed`] if a part could not name anything.
pub fn is_question(
    snapshot: &Snapshot,
    about: About<'_>,
    permission: AnyPermission<'_>,
    now: Timestamp,
) -> Result<(), Malformed> {
    // Asked of somebody and about something, whatever there is.
    let (subject, object) = match about {
        About::Subject { subject, type_name } => {
            let type_name = type_name.unwrap_or(BuiltInType::Person.as_str());
            (subject, ObjectRef { type_name, id: "?" })
        }
        About::Resource { resource, kinds: _ } => (SubjectRef::Person("?"), resource),
    };
    allows(snapshot, subject, permission, object, now).map(drop)
}

/// What has been found so far.
struct Collected<'a> {
    snapshot: &'a Snapshot,
    part: Part<'a>,
    now: Timestamp,
    held: Effective,
}

// === impl Collected ===

impl Collected<'_> {
    /// Everything that one subject may do on one object.
    fn take(
        &mut self,
        subject: SubjectRef<'_>,
        object: ObjectRef<'_>,
        other: &Other,
    ) -> Result<(), EffectiveError> {
        let Part { permissions, limit, wanted } = self.part;
        let (snapshot, now) = (self.snapshot, self.now);
        let is_asked =
            |listed: &ListedPermission| permissions.is_empty() || permissions.contains(listed);
        let part = ListPart { after: None, limit: usize::MAX, wanted };
        let allowed = list_permissions_part(snapshot, subject, object, part, now)?;
        for listed in allowed.into_iter().filter(is_asked) {
            self.held.insert((other.clone(), listed), Effect::Allow);
        }
        for level in levels(computer(snapshot, object)) {
            let listed = ListedPermission::Session(level.map(str::to_owned));
            let key = (other.clone(), listed);
            if !is_asked(&key.1) || self.held.contains_key(&key) {
                continue;
            }
            let question = SessionQuestion { subject, level, computer: object, routing: true };
            let effect = session_effect(snapshot, &question, now).map_err(ListError::from)?;
            if effect == Effect::RequiresApproval {
                self.held.insert(key, effect);
            }
        }
        if self.held.len() > limit { Err(EffectiveError::TooMany) } else { Ok(()) }
    }
}

/// The settings of a computer, where an object is one that has any.
fn computer<'a>(snapshot: &'a Snapshot, named: ObjectRef<'_>) -> Option<&'a Computer> {
    snapshot.psm.computer(object(snapshot, named).ok()?)
}

/// The levels of sessions that a computer offers, and none.
fn levels(computer: Option<&Computer>) -> impl Iterator<Item = Option<&str>> {
    computer.into_iter().flat_map(|computer| {
        std::iter::once(None).chain(computer.offers.keys().map(|level| Some(&**level)))
    })
}

fn of_subject(
    snapshot: &Snapshot,
    (named, type_name): (SubjectRef<'_>, Option<&str>),
    pace: &Pace<'_>,
    held: &mut Collected<'_>,
) -> Result<(), EffectiveError> {
    let Ok(subject) = subject(snapshot, named) else { return Ok(()) };
    let who = Who::named(snapshot, subject, named, held.now);
    let is_asked = |name: &str| type_name.is_none_or(|asked| asked == name);
    let mut found = objects(snapshot, &who, type_name, pace)?;
    found.sort_unstable();
    found.dedup();
    for resource in found {
        let name = snapshot.cold.resources[resource].clone();
        if is_asked(name.type_name.as_str()) {
            pace.step()?;
            let other = Other::Resource(Entity::Resource(name.clone()));
            let object = ObjectRef { type_name: name.type_name.as_str(), id: name.id.as_str() };
            held.take(named, object, &other)?;
        }
    }
    if is_asked(Entity::GROUP_WORD) {
        let groups: BTreeSet<_> = group_candidates(snapshot, &who).into_iter().collect();
        for group in groups {
            pace.step()?;
            let id = snapshot.vault.group_names[group].clone();
            let object = ObjectRef { type_name: Entity::GROUP_WORD, id: id.as_str() };
            held.take(named, object, &Other::Resource(Entity::Group(id.clone())))?;
        }
    }
    Ok(())
}

/// Every object on which the subject may be allowed something, of any type or of one; some come twice.
fn objects(
    snapshot: &Snapshot,
    who: &Who<'_>,
    type_name: Option<&str>,
    pace: &Pace<'_>,
) -> Result<Vec<ResourceIx>, ListError> {
    let mut kinds: BTreeSet<TypeIx> = BTreeSet::new();
    for grant in who.all().flat_map(|actor| &snapshot.cold.grants_of[actor]) {
        pace.step()?;
        kinds.insert(snapshot.cold.level_kind[grant.level]);
    }
    let computers = snapshot.types.get(COMPUTER).copied();
    if let Some(name) = type_name {
        let asked = snapshot.types.get(name).copied();
        kinds.retain(|kind| Some(*kind) == asked);
    }
    let mut found = Vec::new();
    for kind in kinds {
        let mut search = Search::new(snapshot, who, kind, pace);
        search.of_grants(|level| allows_anything(snapshot, level))?;
        found.extend(search.found()?);
    }
    found.extend(of_vault(snapshot, who, pace)?);
    if let Some(computers) = computers.filter(|_| type_name.is_none_or(|name| name == COMPUTER))
        && snapshot.subjects[who.subject].is_person
    {
        let mut search = Search::new(snapshot, who, computers, pace);
        search.of_eligibilities(who.all().flat_map(|actor| &snapshot.psm.eligible_for[actor]))?;
        found.extend(search.found()?);
        // Eligibility plays no part in a session without a level (P8).
        let open =
            snapshot.psm.all_computers().filter(|(_, it)| it.enabled && it.allow_unprivileged);
        found.extend(open.map(|(computer, _)| computer));
    }
    Ok(found)
}

fn on_resource(
    snapshot: &Snapshot,
    (named, kinds): (ObjectRef<'_>, SubjectKinds),
    pace: &Pace<'_>,
    held: &mut Collected<'_>,
) -> Result<(), EffectiveError> {
    let now = held.now;
    let mut found = Candidates::new(snapshot);
    let mut grantees = Vec::new();
    if let Ok(object) = object(snapshot, named) {
        let sought = Sought { object, permission: None };
        grantees = assignees(snapshot, sought, now, pace)?;
        found.append(holders_with(snapshot, &grantees, sought, now, pace)?);
        for level in levels(snapshot.psm.computer(object)) {
            found.append(session_candidates(snapshot, named, level, now));
        }
    }
    let mut shared = Vec::new();
    found.singles(vault_grantees(snapshot, named, |_| true, &mut shared));
    found.append(counting_as(snapshot, shared.clone()));
    grantees.extend(shared);
    let besides = match kinds {
        SubjectKinds::People => Vec::new(),
        SubjectKinds::PeopleAndAccounts => in_sessions(snapshot, grantees, &mut found),
    };
    let is_asked = |subject: &SubjectRef<'_>| {
        kinds == SubjectKinds::PeopleAndAccounts || matches!(subject, SubjectRef::Person(_))
    };
    let in_policy = found.past(|_| false).map_while(|actor| subject_ref(snapshot, actor));
    let besides = besides.iter().map(|id| SubjectRef::Account(id.as_str()));
    for subject in merged(in_policy.take_while(is_asked), besides) {
        pace.step()?;
        if let Some(actor) = actor(snapshot, subject) {
            held.take(subject, named, &Other::Subject(actor))?;
        }
    }
    Ok(())
}
