//! Grants in the shape that Cedar and Rego answer from at their best: each thing knows, for each
//! permission, the short list of keys of which one suffices, and each actor knows the keys that it has.
//!
//! A direct assignment puts the assignee itself on the list of its object. An assignment by location
//! or relative to whoever asks is a *holding*: a key of its own for the scope, the type and the definition, which
//! the assignee has. So an object's list has a few keys for each location above it, however many
//! assignments there are, and none of it depends on who asks.

use std::collections::{BTreeMap, BTreeSet};

use pdp_engine::level::Relative;

use crate::world::{Covers, Object, World};

/// The keys of which one suffices, by permission.
#[derive(Debug, Default, Clone)]
pub(crate) struct Keys {
    pub(crate) allow: BTreeMap<String, BTreeSet<String>>,
    pub(crate) deny: BTreeMap<String, BTreeSet<String>>,
}

/// All grants, by what they cover.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    /// By type and id.
    direct: BTreeMap<(String, String), Keys>,
    /// By location and type.
    at: BTreeMap<(String, String), Keys>,
    /// By type and relation.
    pub(crate) relative: BTreeMap<(String, Relative), Keys>,
    /// The holdings that an actor has.
    pub(crate) holdings: BTreeMap<String, BTreeSet<String>>,
}

/// What stands on the lists for an assignment by location or relative to whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lists {
    /// A holding of the assignee's.
    Holdings,
    /// The assignee.
    Assignees,
}

/// How a holding's key begins; no actor's does.
pub(crate) const HOLDING: &str = "holding";

// === impl Keys ===

impl Keys {
    /// Whether nothing is on any list.
    pub(crate) fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    fn add(&mut self, other: &Self) {
        for (own, more) in [(&mut self.allow, &other.allow), (&mut self.deny, &other.deny)] {
            for (permission, keys) in more {
                own.entry(permission.clone()).or_default().extend(keys.iter().cloned());
            }
        }
    }
}

// === impl Grants ===

impl Grants {
    /// Those of the policy.
    pub(crate) fn of(world: &World, lists: Lists) -> Self {
        let mut grants = Self::default();
        for given in &world.given {
            let type_name = given.type_name.clone();
            let says = world.says(given);
            let holding = |scope: &str| match lists {
                Lists::Holdings => format!("{HOLDING}:{scope}/{type_name}/{}", given.level),
                Lists::Assignees => given.to.clone(),
            };
            let (keys, key) = match &given.covers {
                Covers::One(id) => {
                    let keys = grants.direct.entry((type_name, id.clone())).or_default();
                    (keys, given.to.clone())
                }
                Covers::In(location) => {
                    let key = holding(location);
                    (grants.at.entry((location.clone(), type_name)).or_default(), key)
                }
                Covers::Relative(relative) => {
                    let key = holding(relative.as_str());
                    (grants.relative.entry((type_name, *relative)).or_default(), key)
                }
            };
            if key.starts_with(HOLDING) {
                grants.holdings.entry(given.to.clone()).or_default().insert(key.clone());
            }
            for permission in says.allow {
                keys.allow.entry(permission).or_default().insert(key.clone());
            }
            for permission in says.deny {
                keys.deny.entry(permission).or_default().insert(key.clone());
            }
        }
        grants
    }

    /// The keys of an object: its own, and those of every location that it lies in or below.
    pub(crate) fn of_object(
        &self,
        world: &World,
        name: &(String, String),
        object: &Object,
    ) -> Keys {
        let mut keys = self.direct.get(name).cloned().unwrap_or_default();
        let around = object.places.iter().flat_map(|place| world.places.around(place));
        for location in around.collect::<BTreeSet<String>>() {
            if let Some(more) = self.at.get(&(location, name.0.clone())) {
                keys.add(more);
            }
        }
        keys
    }

    /// The keys that an actor has: all that it counts as, and the holdings of those.
    pub(crate) fn keys_of(&self, world: &World, actor: &str) -> BTreeSet<String> {
        let mut keys = world.counts_as(actor);
        let holdings = keys.iter().filter_map(|actor| self.holdings.get(actor)).flatten();
        let holdings: Vec<String> = holdings.cloned().collect();
        keys.extend(holdings);
        keys
    }
}
