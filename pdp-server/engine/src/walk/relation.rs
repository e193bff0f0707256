//! How people and objects are related: what relative scopes are resolved by (C3).

use crate::arena::{ActorIx, CoverIx};
use crate::level::Relative;
use crate::snapshot::{Is, Object, Snapshot};
use crate::time::Timestamp;

use super::open;

/// Which relations hold between a person and an object, each worked out once.
pub(crate) struct Relations<'a> {
    snapshot: &'a Snapshot,
    subject: ActorIx,
    object: Object,
    t: Timestamp,
    /// A bit for each of [`Relative::ALL`] that is worked out, and for each of these that holds.
    known: u16,
    holding: u16,
}

// === impl Relations ===

impl<'a> Relations<'a> {
    pub(crate) fn new(
        snapshot: &'a Snapshot,
        (subject, object): (ActorIx, Object),
        t: Timestamp,
    ) -> Self {
        Self { snapshot, subject, object, t, known: 0, holding: 0 }
    }

    /// Whether the relation holds.
    #[inline]
    pub(crate) fn hold(&mut self, relative: Relative) -> bool {
        if self.known & bit(relative) == 0 {
            self.work_out(relative);
        }
        self.holding & bit(relative) != 0
    }

    fn work_out(&mut self, relative: Relative) {
        let Self { snapshot, subject, object, t, known: _, holding: _ } = *self;
        if matches!(relative, Relative::InMyLocations | Relative::InMyOrganization) {
            // Whoever asks for one of them asks for the other, too.
            let [location, organization] = placed_in(snapshot, subject, object.cover, t);
            self.note(Relative::InMyLocations, location);
            self.note(Relative::InMyOrganization, organization);
        } else {
            self.note(relative, relates(snapshot, relative, subject, object.is, t));
        }
    }

    fn note(&mut self, relative: Relative, holds: bool) {
        self.known |= bit(relative);
        if holds {
            self.holding |= bit(relative);
        }
    }

    /// Whether any holds.
    pub(crate) fn any(&mut self) -> bool {
        possible(self.object.is).iter().any(|relative| self.hold(*relative))
    }
}

/// The relations in which such an object may stand to a person.
const fn possible(is: Is) -> &'static [Relative] {
    use Relative::{
        AccountsOfDirectReports, DirectReports, InMyLocations, InMyOrganization, Manager,
        MyLocationsAndAbove, MyLocationsAndBelow, Myself, OwnAccounts,
    };
    match is {
        Is::Person(_) => &[Myself, Manager, DirectReports, InMyLocations, InMyOrganization],
        Is::Account(_) => &[OwnAccounts, AccountsOfDirectReports, InMyLocations, InMyOrganization],
        Is::Location(_) => {
            &[MyLocationsAndAbove, MyLocationsAndBelow, InMyLocations, InMyOrganization]
        }
        Is::Actor(_) | Is::BusinessRole(_) | Is::Plain => &[InMyLocations, InMyOrganization],
    }
}

/// The bit of a relation.
const fn bit(relative: Relative) -> u16 {
    1 << relative as u16
}

/// Whether an object stands in a relation to a person at `t` (C3), other than by where it is placed.
fn relates(
    snapshot: &Snapshot,
    relative: Relative,
    subject: ActorIx,
    is: Is,
    t: Timestamp,
) -> bool {
    let manager_of = |actor: ActorIx| snapshot.subjects[actor].manager;
    let owner_of = |actor: ActorIx| snapshot.subjects[actor].owner;
    match (relative, is) {
        (Relative::Myself, Is::Person(person)) => person == subject,
        (Relative::Manager, Is::Person(person)) => manager_of(subject) == Some(person),
        (Relative::DirectReports, Is::Person(person)) => manager_of(person) == Some(subject),
        (Relative::OwnAccounts, Is::Account(account)) => owner_of(account) == Some(subject),
        (Relative::AccountsOfDirectReports, Is::Account(account)) => {
            owner_of(account).and_then(manager_of) == Some(subject)
        }
        (Relative::MyLocationsAndAbove, Is::Location(place)) => {
            open(&snapshot.reached_positions[subject], t).any(|at| snapshot.climbs_to(at, place))
        }
        (Relative::MyLocationsAndBelow, Is::Location(place)) => {
            open(&snapshot.reached_positions[subject], t).any(|at| snapshot.lies_in(place, at))
        }
        (
            Relative::Myself
            | Relative::Manager
            | Relative::DirectReports
            | Relative::OwnAccounts
            | Relative::AccountsOfDirectReports
            | Relative::MyLocationsAndAbove
            | Relative::MyLocationsAndBelow
            | Relative::InMyLocations
            | Relative::InMyOrganization,
            Is::Person(_)
            | Is::Account(_)
            | Is::Actor(_)
            | Is::BusinessRole(_)
            | Is::Location(_)
            | Is::Plain,
        ) => false,
    }
}

/// Whether what has a cover is placed, at `t`, in a location where a person holds a position or below it, and
/// whether in that location's organization or below it.
fn placed_in(snapshot: &Snapshot, person: ActorIx, cover: CoverIx, t: Timestamp) -> [bool; 2] {
    let mut placed = [false; 2];
    for held in open(&snapshot.positions[person], t) {
        let location = &snapshot.locations[held.location];
        let organization = location.organization.map(|at| &snapshot.locations[at]);
        for placement in &snapshot.placements[cover] {
            let at = snapshot.locations[placement.location].first;
            let is_open = placement.window.contains(t);
            placed[0] |= is_open && location.holds(at);
            placed[1] |= is_open && organization.is_some_and(|place| place.holds(at));
        }
    }
    placed
}
