//! How a scope covers an object, hop by hop (C1 to C3).

use super::path::Paths;
use super::{Coverage, Hop, HopKind, Thing};
use crate::arena::{ActorIx, AssignmentIx, LocationIx, ResourceIx};
use crate::delegate::location;
use crate::level::{Relative, Scope};
use crate::snapshot::{Held, Is, PlacedBy, Snapshot, Timed};
use crate::time::{Timestamp, Window};
use crate::walk::Via;

/// The chains of a grant that the walk found by `via`.
pub(super) fn coverage(
    snapshot: &Snapshot,
    object: ResourceIx,
    (via, assignment): (Via, AssignmentIx),
    t: Timestamp,
    paths: &Paths<'_>,
) -> Coverage {
    let cover = Cover { snapshot, object, t, paths };
    match via {
        Via::Direct => Coverage::default(),
        // What is granted below a location is no part of it, so no chain leads there.
        Via::Below(_) => Coverage::default(),
        Via::Location(shard) => {
            let location = snapshot.cold.shard_location[shard];
            let placement = cover.placement(location).unwrap_or_default();
            Coverage { relation: Vec::new(), placement }
        }
        Via::Merged => {
            let placement = scope_location(snapshot, assignment).and_then(|at| cover.placement(at));
            Coverage { relation: Vec::new(), placement: placement.unwrap_or_default() }
        }
        Via::Relative(relative) => cover.relative(relative),
    }
}

/// How a location scope bears on a type at a location (D1): from the location asked of up to the
/// one granted at, or, for a denial below, from the one granted at up to the one asked of.
pub(super) fn location_coverage(snapshot: &Snapshot, asked: LocationIx, via: Via) -> Coverage {
    let placement = match via {
        Via::Location(shard) => climb(snapshot, asked, snapshot.cold.shard_location[shard]),
        Via::Below(shard) => climb(snapshot, snapshot.cold.shard_location[shard], asked),
        // INVARIANT: only location scopes are asked of a type at a location.
        Via::Direct | Via::Merged | Via::Relative(_) => Vec::new(),
    };
    Coverage { relation: Vec::new(), placement }
}

/// The location of an assignment by location.
fn scope_location(snapshot: &Snapshot, assignment: AssignmentIx) -> Option<LocationIx> {
    match &snapshot.cold.assignments[assignment].scope {
        Scope::In(id) => location(snapshot, id.as_str()),
        Scope::On(_) | Scope::Relative(_) => None,
    }
}

/// From a location up to one that it lies in.
fn climb(snapshot: &Snapshot, from: LocationIx, to: LocationIx) -> Vec<Hop> {
    let name = |at: LocationIx| Thing::Location(snapshot.cold.locations[at].clone());
    let mut hops = Vec::new();
    let mut at = from;
    while at != to
        && let Some(parent) = snapshot.locations[at].parent
    {
        let (kind, window) = (HopKind::LocationParent, Window::ALWAYS);
        hops.push(Hop { kind, from: name(at), to: name(parent), window });
        at = parent;
    }
    hops
}

struct Cover<'a> {
    snapshot: &'a Snapshot,
    object: ResourceIx,
    t: Timestamp,
    paths: &'a Paths<'a>,
}

impl Cover<'_> {
    fn relative(&self, relative: Relative) -> Coverage {
        let subject = self.paths.subject;
        let object = || Thing::Resource(self.snapshot.cold.resources[self.object].clone());
        let fact = |kind, from: ActorIx, to| self.hop(kind, self.actor(from), to, Window::ALWAYS);
        let relation = match relative {
            Relative::Myself => vec![fact(HopKind::Is, subject, object())],
            Relative::Manager => vec![fact(HopKind::ReportsTo, subject, object())],
            Relative::DirectReports => vec![fact(HopKind::Manages, subject, object())],
            Relative::OwnAccounts => vec![fact(HopKind::Owns, subject, object())],
            Relative::AccountsOfDirectReports => {
                let owner = match self.snapshot.resources[self.object].is {
                    Is::Account(account) => self.snapshot.subjects[account].owner,
                    _ => None,
                };
                let through = |owner| {
                    let manages = fact(HopKind::Manages, subject, self.actor(owner));
                    vec![manages, fact(HopKind::Owns, owner, object())]
                };
                owner.map(through).unwrap_or_default()
            }
            Relative::MyLocationsAndAbove
            | Relative::MyLocationsAndBelow
            | Relative::InMyLocations
            | Relative::InMyOrganization => return self.by_position(relative),
        };
        Coverage { relation, placement: Vec::new() }
    }

    /// The scopes that go by where a position is held.
    fn by_position(&self, relative: Relative) -> Coverage {
        let snapshot = self.snapshot;
        let place = match snapshot.resources[self.object].is {
            Is::Location(place) => Some(place),
            _ => None,
        };
        for (holder, position) in self.positions(relative) {
            let held_at = position.item.location;
            // Where subject and object meet.
            let meeting = match relative {
                Relative::MyLocationsAndAbove => {
                    place.filter(|place| snapshot.climbs_to(held_at, *place))
                }
                Relative::InMyOrganization => snapshot.locations[held_at].organization,
                _ => Some(held_at),
            };
            let Some(meeting) = meeting else { continue };
            let Some(placement) = self.placement(meeting) else { continue };
            let mut relation = self.paths.to(holder);
            let (from, to) = (self.actor(holder), self.location(held_at));
            relation.push(self.hop(HopKind::HoldsPosition, from, to, position.window));
            relation.extend(climb(self.snapshot, held_at, meeting));
            return Coverage { relation, placement };
        }
        // INVARIANT: the walk found a position, so the loop returns.
        Coverage::default()
    }

    /// The open positions that the scope goes by: the subject's own, or those of everything that
    /// the subject counts as.
    fn positions(&self, relative: Relative) -> Vec<(ActorIx, Timed<Held>)> {
        let holders = match relative {
            Relative::MyLocationsAndAbove | Relative::MyLocationsAndBelow => {
                self.paths.all_reached()
            }
            _ => vec![self.paths.subject],
        };
        let of = |holder: ActorIx| {
            self.snapshot.positions[holder].iter().map(move |position| (holder, *position))
        };
        let open = |(_, position): &(ActorIx, Timed<Held>)| position.window.contains(self.t);
        holders.into_iter().flat_map(of).filter(open).collect()
    }

    /// From the object to a location that it is placed in or below, by the shortest climb.
    fn placement(&self, location: LocationIx) -> Option<Vec<Hop>> {
        let cover = self.snapshot.resources[self.object].cover;
        let placements = self.snapshot.placements[cover].iter().filter(|placement| {
            placement.window.contains(self.t) && self.snapshot.lies_in(placement.location, location)
        });
        let chains = placements.map(|placement| {
            let kind = match placement.by {
                PlacedBy::Listing => HopKind::PlacedIn,
                PlacedBy::Position => HopKind::PlacedByPosition,
                PlacedBy::Itself => HopKind::PlacedInItself,
            };
            let from = Thing::Resource(self.snapshot.cold.resources[self.object].clone());
            let placed = self.hop(kind, from, self.location(placement.location), placement.window);
            let mut hops = vec![placed];
            hops.extend(climb(self.snapshot, placement.location, location));
            hops
        });
        chains.min_by_key(Vec::len)
    }

    fn hop(&self, kind: HopKind, from: Thing, to: Thing, window: Window) -> Hop {
        Hop { kind, from, to, window }
    }

    fn actor(&self, actor: ActorIx) -> Thing {
        Thing::Actor(self.snapshot.cold.actors[actor].clone())
    }

    fn location(&self, location: LocationIx) -> Thing {
        Thing::Location(self.snapshot.cold.locations[location].clone())
    }
}
