//! Section 3: what a scope covers.

use std::collections::BTreeSet;

use pdp_engine::actor::{ActorRef, Person};
use pdp_engine::id::{
    AccountId, BusinessRoleId, GroupId, LocationId, ManagementRoleDefinitionId, ManagementRoleId,
    PersonId, SetGroupId,
};
use pdp_engine::level::{Assignment, Relative, Scope};
use pdp_engine::resource::ResourceRef;

use super::Oracle;

// === impl Oracle ===

impl Oracle<'_> {
    /// Whether the assignment's type is the object's and its scope covers the object.
    #[must_use]
    pub fn covers(
        &self,
        assignment: &Assignment,
        subject: &ActorRef,
        object: &ResourceRef,
    ) -> bool {
        assignment.level.type_name == object.type_name
            && match &assignment.scope {
                Scope::On(covered) => covered == object,
                Scope::In(location) => self.is_placed_below(object, location),
                Scope::Relative(relative) => match subject {
                    ActorRef::Person(id) => self
                        .facts
                        .person(id)
                        .is_some_and(|person| self.relates(*relative, person, object)),
                    _ => false,
                },
            }
    }

    /// C3, with `me` the subject person.
    fn relates(&self, relative: Relative, me: &Person, object: &ResourceRef) -> bool {
        let own = || me.positions.iter().filter(|position| self.open(&position.window));
        match relative {
            Relative::Myself => is_person(object, &me.id),
            Relative::Manager => me.manager.as_ref().is_some_and(|id| is_person(object, id)),
            Relative::DirectReports => self
                .facts
                .people()
                .any(|other| reports_to(other, me) && is_person(object, &other.id)),
            Relative::OwnAccounts => self.owns(&me.id, object),
            Relative::AccountsOfDirectReports => self
                .facts
                .people()
                .any(|other| reports_to(other, me) && self.owns(&other.id, object)),
            Relative::InMyLocations => {
                own().any(|position| self.is_placed_below(object, &position.location))
            }
            Relative::MyLocationsAndAbove => self
                .my_locations(me)
                .iter()
                .any(|location| self.up(location).iter().any(|above| is_location(object, above))),
            Relative::MyLocationsAndBelow => self.facts.locations().any(|candidate| {
                is_location(object, &candidate.id)
                    && self.my_locations(me).iter().any(|mine| self.lies_in(&candidate.id, mine))
            }),
            Relative::InMyOrganization => own().any(|position| {
                self.up(&position.location)
                    .into_iter()
                    .find(|id| self.facts.location(id).is_some_and(|above| above.organization))
                    .is_some_and(|organization| self.is_placed_below(object, &organization))
            }),
        }
    }

    /// The locations of the positions held by any x in A(s).
    fn my_locations(&self, me: &Person) -> BTreeSet<LocationId> {
        let counts_as = self.counts_as(&ActorRef::Person(me.id.clone()));
        self.positions_held_by(&counts_as).iter().map(|held| held.location.clone()).collect()
    }

    fn owns(&self, owner: &PersonId, object: &ResourceRef) -> bool {
        object.type_name.as_str() == "UserAccount"
            && self.facts.accounts().any(|account| {
                account.id.as_str() == object.id.as_str() && account.owner.as_ref() == Some(owner)
            })
    }

    /// C2: placed in the location or below it.
    pub(super) fn is_placed_below(&self, object: &ResourceRef, location: &LocationId) -> bool {
        self.places(object).iter().any(|place| self.lies_in(place, location))
    }

    /// Whether the location is `top` or somewhere below it; `block_inheritance` plays no part.
    pub(super) fn lies_in(&self, location: &LocationId, top: &LocationId) -> bool {
        location == top
            || self
                .facts
                .location(location)
                .and_then(|here| here.parent.as_ref())
                .is_some_and(|parent| self.lies_in(parent, top))
    }

    /// C2: where the object is placed.
    fn places(&self, object: &ResourceRef) -> Vec<LocationId> {
        let (facts, id) = (self.facts, object.id.as_str());
        let listed = match object.type_name.as_str() {
            "Location" => return LocationId::new(id).into_iter().collect(),
            "Person" => {
                let person = PersonId::new(id).ok().and_then(|id| facts.person(&id));
                let Some(person) = person else { return Vec::new() };
                let held = person.positions.iter().filter(|position| self.open(&position.window));
                let by_position = held.map(|position| position.location.clone());
                return person.locations.iter().cloned().chain(by_position).collect();
            }
            "UserAccount" => {
                AccountId::new(id).ok().and_then(|id| facts.account(&id)).map(|it| &it.locations)
            }
            "Group" => {
                GroupId::new(id).ok().and_then(|id| facts.group(&id)).map(|it| &it.locations)
            }
            "SetGroup" => {
                SetGroupId::new(id).ok().and_then(|id| facts.set_group(&id)).map(|it| &it.locations)
            }
            "BusinessRole" => BusinessRoleId::new(id)
                .ok()
                .and_then(|id| facts.business_role(&id))
                .map(|it| &it.locations),
            "ManagementRole" => ManagementRoleId::new(id)
                .ok()
                .and_then(|id| facts.management_role(&id))
                .map(|it| &it.locations),
            "ManagementRoleDefinition" => ManagementRoleDefinitionId::new(id)
                .ok()
                .and_then(|id| facts.management_role_definition(&id))
                .map(|it| &it.locations),
            _ => facts.resources().find(|found| found.name == *object).map(|it| &it.locations),
        };
        listed.cloned().unwrap_or_default()
    }
}

fn reports_to(other: &Person, manager: &Person) -> bool {
    other.manager.as_ref() == Some(&manager.id)
}

fn is_person(object: &ResourceRef, id: &PersonId) -> bool {
    object.type_name.as_str() == "Person" && object.id.as_str() == id.as_str()
}

fn is_location(object: &ResourceRef, id: &LocationId) -> bool {
    object.type_name.as_str() == "Location" && object.id.as_str() == id.as_str()
}
