//! How people and objects are related: what relative scopes are resolved by (C3).

use crate::arena::{ActorIx, LocationIx, ResourceIx};
use crate::level::Relative;
use crate::snapshot::{Is, Snapshot};
use crate::time::Timestamp;

use super::open;

/// Which relations hold between a person and an object, each worked out once.
pub(crate) struct Relations<'a> {
    snapshot: &'a Snapshot,
    between: (ActorIx, ResourceIx),
    t: Timestamp,
    /// A bit for each of [`Relative::ALL`] that is worked out, and for each of these that holds.
    known: u16,
    holding: u16,
}

// === impl Relations ===

impl<'a> Relations<'a> {
    pub(crate) fn new(
        snapshot: &'a Snapshot,
        between: (ActorIx, ResourceIx),
        t: Timestamp,
    ) -> Self {
        Self { snapshot, between, t, known: 0, holding: 0 }
    }

    /// Whether the relation holds.
    pub(crate) fn hold(&mut self, relative: Relative) -> bool {
        let bit = 1 << relative as u16;
        if self.known & bit == 0 {
            let (subject, object) = self.between;
            self.known |= bit;
            if relates(self.snapshot, relative, subject, object, self.t) {
                self.holding |= bit;
            }
        }
        self.holding & bit != 0
    }

    /// Whether any holds.
    pub(crate) fn any(&mut self) -> bool {
        let is = self.snapshot.resources[self.between.1].is;
        possible(is).iter().any(|relative| self.hold(*relative))
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

/// Whether an object stands in a relation to a person at `t` (C3).
fn relates(
    snapshot: &Snapshot,
    relative: Relative,
    subject: ActorIx,
    object: ResourceIx,
    t: Timestamp,
) -> bool {
    let row = &snapshot.resources[object];
    let manager_of = |actor: ActorIx| snapshot.subjects[actor].manager;
    let owner_of = |actor: ActorIx| snapshot.subjects[actor].owner;
    match (relative, row.is) {
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
        (Relative::InMyLocations, _) => open(&snapshot.positions[subject], t)
            .any(|held| placed_in(snapshot, object, held.location, t)),
        (Relative::InMyOrganization, _) => open(&snapshot.positions[subject], t)
            .filter_map(|held| snapshot.locations[held.location].organization)
            .any(|organization| placed_in(snapshot, object, organization, t)),
        (
            Relative::Myself
            | Relative::Manager
            | Relative::DirectReports
            | Relative::OwnAccounts
            | Relative::AccountsOfDirectReports
            | Relative::MyLocationsAndAbove
            | Relative::MyLocationsAndBelow,
            Is::Person(_)
            | Is::Account(_)
            | Is::Actor(_)
            | Is::BusinessRole(_)
            | Is::Location(_)
            | Is::Plain,
        ) => false,
    }
}

/// Whether the object is placed in a location or below it at `t`.
fn placed_in(snapshot: &Snapshot, object: ResourceIx, location: LocationIx, t: Timestamp) -> bool {
    snapshot.placements[snapshot.resources[object].cover].iter().any(|placement| {
        placement.window.contains(t) && snapshot.lies_in(placement.location, location)
    })
}
