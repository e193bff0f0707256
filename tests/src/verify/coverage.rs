//! How a scope covers an object (section 3): two chains that end at the same thing.

use pdp_engine::actor::ActorRef;
use pdp_engine::explain::{Coverage, Hop, HopKind, Thing};
use pdp_engine::id::LocationId;
use pdp_engine::level::{Relative, Scope};
use pdp_engine::resource::ResourceRef;

use super::chain::{always, follow, shown};
use super::{Verdict, Verifier, hold, same};
use crate::oracle::Asked;

// === impl Verifier ===

impl Verifier<'_> {
    pub(super) fn coverage(&self, asked: &Asked, scope: &Scope, coverage: &Coverage) -> Verdict {
        for hop in coverage.relation.iter().chain(&coverage.placement) {
            self.is_open(hop)?;
        }
        match scope {
            Scope::On(covered) => {
                same("covered object", covered, &asked.object)?;
                same("chains of a direct scope", coverage, &Coverage::default())
            }
            Scope::In(location) => {
                same("relation", &coverage.relation, &Vec::new())?;
                let end = self.placement(&asked.object, &coverage.placement)?;
                same("end of the placement", &end, &Thing::Location(location.clone()))
            }
            Scope::Relative(relative) => {
                let meets = self.relation(asked, *relative, &coverage.relation)?;
                if meets == Thing::Resource(asked.object.clone()) && coverage.placement.is_empty() {
                    return Ok(());
                }
                let at_place = matches!(meets, Thing::Location(_));
                hold(at_place, format!("the relation ends at {meets}, not at the object"))?;
                let end = self.placement(&asked.object, &coverage.placement)?;
                same("end of the placement", &end, &meets)
            }
        }
    }

    /// C2: where the object is placed, then upwards, blocked by nothing.
    fn placement(&self, object: &ResourceRef, hops: &[Hop]) -> Result<Thing, String> {
        let start = Thing::Resource(object.clone());
        let end = follow(&start, hops)?;
        for (step, hop) in hops.iter().enumerate() {
            let fact = if step == 0 { self.placed(object, hop) } else { self.lies_in(hop) };
            hold(fact, format!("{}: is not a placement", shown(hop)))?;
        }
        Ok(end)
    }

    fn placed(&self, object: &ResourceRef, hop: &Hop) -> bool {
        let Thing::Location(place) = &hop.to else { return false };
        match hop.kind {
            HopKind::PlacedInItself => {
                object.type_name.as_str() == "Location"
                    && object.id.as_str() == place.as_str()
                    && always(hop)
            }
            HopKind::PlacedByPosition => {
                let person = actor_of(object).filter(|it| matches!(it, ActorRef::Person(_)));
                person.is_some_and(|person| self.holds(&person, place, hop))
            }
            HopKind::PlacedIn => self.listed(object).contains(place) && always(hop),
            _ => false,
        }
    }

    /// The locations that the object's own fact lists.
    fn listed(&self, object: &ResourceRef) -> Vec<LocationId> {
        let key = format!("{}:{}", object.type_name, object.id);
        let named = |type_name: &str, id: &str| format!("{type_name}:{id}") == key;
        let facts = self.facts;
        let mut found: Vec<&Vec<LocationId>> = Vec::new();
        found.extend(
            facts.people().filter(|it| named("Person", it.id.as_str())).map(|it| &it.locations),
        );
        found.extend(
            facts
                .accounts()
                .filter(|it| named("UserAccount", it.id.as_str()))
                .map(|it| &it.locations),
        );
        found.extend(
            facts.groups().filter(|it| named("Group", it.id.as_str())).map(|it| &it.locations),
        );
        found.extend(
            facts
                .set_groups()
                .filter(|it| named("SetGroup", it.id.as_str()))
                .map(|it| &it.locations),
        );
        found.extend(
            facts
                .business_roles()
                .filter(|it| named("BusinessRole", it.id.as_str()))
                .map(|it| &it.locations),
        );
        found.extend(
            facts
                .management_roles()
                .filter(|it| named("ManagementRole", it.id.as_str()))
                .map(|it| &it.locations),
        );
        found.extend(
            facts
                .management_role_definitions()
                .filter(|it| named("ManagementRoleDefinition", it.id.as_str()))
                .map(|it| &it.locations),
        );
        found.extend(facts.resources().filter(|it| it.name == *object).map(|it| &it.locations));
        found.into_iter().flatten().cloned().collect()
    }

    fn lies_in(&self, hop: &Hop) -> bool {
        let (Thing::Location(from), Thing::Location(to)) = (&hop.from, &hop.to) else {
            return false;
        };
        let parent = self.facts.location(from).and_then(|it| it.parent.as_ref());
        hop.kind == HopKind::LocationParent && parent == Some(to) && always(hop)
    }

    fn holds(&self, holder: &ActorRef, place: &LocationId, hop: &Hop) -> bool {
        let held = self.positions_of(holder);
        held.iter().any(|it| it.location == *place && it.window == hop.window)
    }

    /// C3: the subject's side; gives the thing where it meets the object.
    fn relation(&self, asked: &Asked, relative: Relative, hops: &[Hop]) -> Result<Thing, String> {
        let start = Thing::Actor(asked.subject.clone());
        hold(matches!(asked.subject, ActorRef::Person(_)), "only people have relative scopes")?;
        let end = follow_loosely(&start, hops)?;
        let kinds: Vec<HopKind> = hops.iter().map(|hop| hop.kind).collect();
        match relative {
            Relative::Myself => same("relation", &kinds, &vec![HopKind::Is])?,
            Relative::Manager => same("relation", &kinds, &vec![HopKind::ReportsTo])?,
            Relative::DirectReports => same("relation", &kinds, &vec![HopKind::Manages])?,
            Relative::OwnAccounts => same("relation", &kinds, &vec![HopKind::Owns])?,
            Relative::AccountsOfDirectReports => {
                same("relation", &kinds, &vec![HopKind::Manages, HopKind::Owns])?;
            }
            Relative::InMyLocations => same("relation", &kinds, &vec![HopKind::HoldsPosition])?,
            Relative::MyLocationsAndBelow | Relative::MyLocationsAndAbove => {
                return self.my_locations(asked, relative, hops, end);
            }
            Relative::InMyOrganization => {
                let climb = kinds.split_first().map(|(first, climb)| (*first, climb));
                let shaped = climb.is_some_and(|(first, climb)| {
                    first == HopKind::HoldsPosition
                        && climb.iter().all(|kind| *kind == HopKind::LocationParent)
                });
                hold(shaped, format!("the relation is {kinds:?}"))?;
                self.first_organization(hops)?;
            }
        }
        for hop in hops {
            hold(self.relation_hop(hop), format!("{}: is not a fact", shown(hop)))?;
        }
        Ok(end)
    }

    /// Actor hops to some x in A(s), the position of x, and for `above` a climb.
    fn my_locations(
        &self,
        asked: &Asked,
        relative: Relative,
        hops: &[Hop],
        end: Thing,
    ) -> Result<Thing, String> {
        let last = hops.iter().position(|hop| matches!(hop.to, Thing::Location(_)));
        let at = last.ok_or("no hop leads to a location")?;
        for hop in &hops[..at] {
            self.actor_hop(hop, &asked.subject).map_err(|why| format!("{}: {why}", shown(hop)))?;
        }
        hold(hops[at].kind == HopKind::HoldsPosition, "no position leads to the location")?;
        for hop in &hops[at..] {
            hold(self.relation_hop(hop), format!("{}: is not a fact", shown(hop)))?;
        }
        let climbs = hops.len() > at + 1;
        let above = relative == Relative::MyLocationsAndAbove;
        hold(!climbs || above, "`my_locations_and_below` climbs")?;
        let object = Thing::Resource(asked.object.clone());
        hold(!above || same_thing(&end, &object), "the climb does not end at the object")?;
        Ok(end)
    }

    fn first_organization(&self, hops: &[Hop]) -> Verdict {
        let flagged = |thing: &Thing| match thing {
            Thing::Location(id) => self.facts.location(id).is_some_and(|it| it.organization),
            _ => false,
        };
        let first = hops.iter().position(|hop| flagged(&hop.to));
        hold(first == Some(hops.len() - 1), "does not end at the first organization")
    }

    /// One step of a relation.
    fn relation_hop(&self, hop: &Hop) -> bool {
        let (from, to) = (actor(&hop.from), actor(&hop.to));
        let manager_of = |person: &ActorRef| match person {
            ActorRef::Person(id) => self.facts.person(id).and_then(|it| it.manager.clone()),
            _ => None,
        };
        match (hop.kind, from, to) {
            (HopKind::HoldsPosition, Some(holder), _) => match &hop.to {
                Thing::Location(place) => self.holds(&holder, place, hop),
                _ => false,
            },
            (HopKind::LocationParent, ..) => match (&hop.from, &hop.to) {
                (Thing::Location(from), Thing::Location(to)) => {
                    self.climbs(from, to) && always(hop)
                }
                _ => false,
            },
            (HopKind::Is, Some(from), Some(to)) => from == to && always(hop),
            (HopKind::ReportsTo, Some(from), Some(ActorRef::Person(to))) => {
                manager_of(&from) == Some(to) && always(hop)
            }
            (HopKind::Manages, Some(ActorRef::Person(from)), Some(to)) => {
                manager_of(&to) == Some(from) && always(hop)
            }
            (HopKind::Owns, Some(ActorRef::Person(from)), Some(ActorRef::Account(to))) => {
                let owner = self.facts.account(&to).and_then(|it| it.owner.as_ref());
                owner == Some(&from) && always(hop)
            }
            _ => false,
        }
    }
}

/// Like [`follow`], but a person or an account may stand as actor or as resource.
fn follow_loosely(start: &Thing, hops: &[Hop]) -> Result<Thing, String> {
    let mut here = start.clone();
    for hop in hops {
        hold(same_thing(&hop.from, &here), format!("{}: the chain is at {here}", shown(hop)))?;
        here = hop.to.clone();
    }
    Ok(here)
}

/// Whether both stand for the same person, account or location.
fn same_thing(one: &Thing, other: &Thing) -> bool {
    fn place(thing: &Thing) -> Option<&str> {
        match thing {
            Thing::Location(id) => Some(id.as_str()),
            Thing::Resource(name) if name.type_name.as_str() == "Location" => {
                Some(name.id.as_str())
            }
            _ => None,
        }
    }
    one == other
        || (actor(one).is_some() && actor(one) == actor(other))
        || (place(one).is_some() && place(one) == place(other))
}

fn actor(thing: &Thing) -> Option<ActorRef> {
    match thing {
        Thing::Actor(actor) => Some(actor.clone()),
        Thing::Resource(name) => actor_of(name),
        Thing::Location(_) | Thing::BusinessRole(_) => None,
    }
}

/// The person or account behind a resource.
fn actor_of(object: &ResourceRef) -> Option<ActorRef> {
    let kind = match object.type_name.as_str() {
        "Person" => "person",
        "UserAccount" => "account",
        _ => return None,
    };
    ActorRef::parse(&format!("{kind}:{}", object.id)).ok()
}
