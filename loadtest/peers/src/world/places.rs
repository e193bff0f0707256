//! The forest of locations, and the pairs of business roles and locations above a position.

use std::collections::BTreeMap;

use pdp_engine::actor::Position;
use pdp_engine::facts::Facts;

/// The forest, by id.
#[derive(Debug, Default)]
pub(crate) struct Places {
    places: BTreeMap<String, Place>,
}

#[derive(Debug)]
struct Place {
    parent: Option<String>,
    organization: bool,
    blocks: bool,
}

// === impl Places ===

impl Places {
    pub(super) fn of(facts: &Facts) -> Self {
        let place = |it: &pdp_engine::resource::Location| {
            let parent = it.parent.as_ref().map(ToString::to_string);
            let (organization, blocks) = (it.organization, it.block_inheritance);
            (it.id.to_string(), Place { parent, organization, blocks })
        };
        Self { places: facts.locations().map(place).collect() }
    }

    /// Each location with the one around it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, Option<&String>)> {
        self.places.iter().map(|(id, place)| (id, place.parent.as_ref()))
    }

    /// A location and all around it.
    pub(crate) fn around(&self, place: &str) -> Vec<String> {
        self.climb(place, false)
    }

    /// A location and those around it, up to the first that blocks (A5).
    pub(super) fn up(&self, place: &str) -> Vec<String> {
        self.climb(place, true)
    }

    fn climb(&self, place: &str, stops: bool) -> Vec<String> {
        let (mut found, mut next) = (Vec::new(), Some(place.to_owned()));
        while let Some((id, here)) = next.and_then(|id| Some((id.clone(), self.places.get(&id)?))) {
            found.push(id);
            next = here.parent.clone().filter(|_| !(stops && here.blocks));
        }
        found
    }

    /// The first organisation on the way up (C3).
    pub(super) fn organization(&self, place: &str) -> Option<String> {
        let is_one = |id: &String| self.places.get(id).is_some_and(|it| it.organization);
        self.up(place).into_iter().find(is_one)
    }

    /// The pairs that whoever holds these positions counts as (A5), as actors.
    pub(super) fn pairs<'a>(
        &self,
        facts: &Facts,
        positions: impl Iterator<Item = &'a Position>,
    ) -> Vec<String> {
        let mut found = Vec::new();
        for position in positions {
            let mut role = Some(position.business_role.clone());
            while let Some(id) = role {
                let above = self.up(position.location.as_str());
                found.extend(above.iter().map(|place| format!("business_role:{id}@{place}")));
                role = facts.business_role(&id).and_then(|it| it.parent.clone());
            }
        }
        found
    }
}
