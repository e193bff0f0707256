//! When the passing of time alone may next change what is held.

use std::collections::BTreeSet;

use super::effective::About;
use super::subjects::{SubjectKinds, native_named, vault_grantees};
use crate::arena::{ActorIx, LocationIx, ResourceIx};
use crate::check::{object, subject};
use crate::level::Scope;
use crate::psm::COMPUTER;
use crate::query::{ObjectRef, SubjectRef};
use crate::resource::BuiltInType;
use crate::session::OpenSession;
use crate::snapshot::{Eligible, Grant, Snapshot};
use crate::time::{Timestamp, Window};

/// The next instant after `now` at which a window opens or closes, or a session begins or runs out, that
/// could change what is watched; `None` if there is none. What is watched may turn out as it was; before that
/// instant it does not change while policy and sessions stay as they are.
#[must_use]
pub fn next_instant(snapshot: &Snapshot, about: About<'_>, now: Timestamp) -> Option<Timestamp> {
    let mut nearest = Nearest { snapshot, now, found: None };
    match about {
        About::Subject { subject, type_name: _ } => nearest.of_subject(subject),
        About::Resource { resource, kinds } => nearest.on_resource(resource, kinds),
    }
    nearest.found
}

/// The nearest instant that was met.
struct Nearest<'a> {
    snapshot: &'a Snapshot,
    now: Timestamp,
    found: Option<Timestamp>,
}

// === impl Nearest ===

impl Nearest<'_> {
    fn instant(&mut self, at: Timestamp) {
        if self.now < at && self.found.is_none_or(|found| at < found) {
            self.found = Some(at);
        }
    }

    fn window(&mut self, window: Window) {
        [window.from, window.until].into_iter().flatten().for_each(|at| self.instant(at));
    }

    fn windows(&mut self, windows: impl Iterator<Item = Window>) {
        windows.for_each(|window| self.window(window));
    }

    fn of_subject(&mut self, named: SubjectRef<'_>) {
        let snapshot = self.snapshot;
        // Whoever is unknown or disabled stays so, whatever time it is.
        let Ok(subject) = subject(snapshot, named) else { return };
        let mut actors: BTreeSet<ActorIx> = snapshot.closure[subject].iter().copied().collect();
        actors.insert(subject);
        for timed in &snapshot.closure_timed[subject] {
            self.window(timed.window);
            actors.insert(timed.item);
        }
        if let SubjectRef::Account(id) = named {
            for session in snapshot.sessions().of_account(id) {
                self.of_session(session, &mut actors);
            }
        }
        let people = snapshot.types.get(BuiltInType::Person.as_str()).copied();
        let mut places_people = false;
        for grant in actors.iter().flat_map(|actor| &snapshot.cold.grants_of[*actor]) {
            self.window(snapshot.windows[grant.window]);
            let scope = &snapshot.cold.assignments[grant.assignment].scope;
            places_people |= Some(snapshot.cold.level_kind[grant.level]) == people
                && !matches!(scope, Scope::On(_));
        }
        if places_people && let Some(people) = people {
            // Only people are placed at times, by their positions (C2).
            for (_, cover) in snapshot.cold.covers_placed.of(people).iter() {
                self.windows(snapshot.placements[cover].iter().map(|it| it.window));
            }
        }
        self.windows(snapshot.positions[subject].iter().map(|it| it.window));
        self.windows(snapshot.reached_positions[subject].iter().map(|it| it.window));
        if snapshot.subjects[subject].is_person {
            self.of_eligibilities(&actors);
        }
    }

    /// The eligibilities of whatever somebody counts as, and the room on the computers (P5).
    fn of_eligibilities(&mut self, actors: &BTreeSet<ActorIx>) {
        let psm = &self.snapshot.psm;
        let on = psm.on.iter().map(|(_, list)| list);
        let within = psm.within.iter().map(|(_, list)| list);
        for eligible in on.chain(within).flat_map(|list| list.iter()) {
            if actors.contains(&eligible.to) {
                self.window(eligible.window);
            }
        }
        for (computer, settings) in psm.all_computers() {
            if settings.max_concurrent > 0 {
                self.room(computer);
            }
        }
    }

    fn room(&mut self, computer: ResourceIx) {
        let snapshot = self.snapshot;
        let id = snapshot.cold.resources[computer].id.as_str();
        for session in snapshot.sessions().on_computer(id) {
            self.instant(session.opened);
            self.instant(session.not_after);
        }
    }

    /// Everything that a session's membership of its native group depends on (P11, P12); what the account
    /// counts as by it goes to the actors.
    fn of_session(&mut self, session: &OpenSession, actors: &mut BTreeSet<ActorIx>) {
        let snapshot = self.snapshot;
        self.instant(session.opened);
        self.instant(session.not_after);
        if let Some(person) = snapshot.people.get(session.person.as_str()) {
            self.windows(snapshot.closure_timed[*person].iter().map(|it| it.window));
        }
        let named = ObjectRef { type_name: COMPUTER, id: session.computer.as_str() };
        if let Ok(computer) = object(snapshot, named) {
            self.windows(covering(snapshot, computer).map(|it| it.window));
        }
        let native = session.group.as_ref().and_then(|group| native_named(snapshot, group));
        if let Some(native) = native {
            actors.extend(&snapshot.psm.native[native]);
            for timed in &snapshot.psm.native_timed[native] {
                self.window(timed.window);
                actors.insert(timed.item);
            }
        }
    }

    fn on_resource(&mut self, named: ObjectRef<'_>, kinds: SubjectKinds) {
        let snapshot = self.snapshot;
        let mut actors = BTreeSet::new();
        if let Ok(object) = object(snapshot, named) {
            let row = snapshot.resources[object];
            for grant in grants_on(snapshot, object) {
                self.window(snapshot.windows[grant.window]);
                actors.insert(grant.assignee);
            }
            self.windows(snapshot.covers_timed[row.cover].iter().map(|it| it.window));
            self.windows(snapshot.placements[row.cover].iter().map(|it| it.window));
            if !snapshot.relative.run(row.kind).items.is_empty() {
                // Where somebody stands to the object may depend on anybody's position.
                for holder in snapshot.positions.handles() {
                    self.windows(snapshot.positions[holder].iter().map(|it| it.window));
                    self.windows(snapshot.reached_positions[holder].iter().map(|it| it.window));
                }
            }
            for eligible in covering(snapshot, object) {
                self.window(eligible.window);
                actors.insert(eligible.to);
            }
            if snapshot.psm.computer(object).is_some() {
                self.room(object);
            }
        }
        let mut shared = Vec::new();
        actors.extend(vault_grantees(snapshot, named, |_| true, &mut shared));
        actors.extend(shared);
        if kinds == SubjectKinds::PeopleAndAccounts {
            let accounts = snapshot.sessions().groups().flat_map(|(_, accounts)| accounts.iter());
            for account in accounts {
                for session in snapshot.sessions().of_account(account.as_str()) {
                    self.of_session(session, &mut BTreeSet::new());
                }
            }
        }
        for subject in actors.iter().flat_map(|actor| snapshot.cold.subjects_of.of(*actor).iter()) {
            let timed = snapshot.closure_timed[subject].iter();
            self.windows(timed.filter(|it| actors.contains(&it.item)).map(|it| it.window));
        }
    }
}

/// Every grant that covers an object at some time, those with relative scopes included, whoever stands in
/// the relation.
pub(crate) fn grants_on(snapshot: &Snapshot, object: ResourceIx) -> impl Iterator<Item = &Grant> {
    let row = &snapshot.resources[object];
    let always = snapshot.covers[row.cover].iter().copied();
    let timed = snapshot.covers_timed[row.cover].iter().map(|it| it.item);
    let placed = always.chain(timed).flat_map(|shard| &snapshot.shards[shard]);
    let relative = snapshot.relative[row.kind].iter().map(|it| &it.grant);
    let merged = &snapshot.merged[row.cover];
    snapshot.direct[object].iter().chain(merged).chain(placed).chain(relative)
}

/// Every eligibility that covers a computer.
pub(crate) fn covering(
    snapshot: &Snapshot,
    computer: ResourceIx,
) -> impl Iterator<Item = &Eligible> {
    let places = snapshot.placements[snapshot.resources[computer].cover].iter();
    let places = places.flat_map(|placement| {
        std::iter::successors(Some(placement.location), |at| snapshot.locations[*at].parent)
    });
    let places: BTreeSet<LocationIx> = places.collect();
    let within = places.into_iter().filter_map(|at| snapshot.psm.within.get(&at));
    snapshot.psm.on.get(&computer).into_iter().chain(within).flat_map(|list| list.iter())
}
