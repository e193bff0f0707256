//! The two forests: which location lies in which, how far `up` reaches, which role is above which.

use crate::arena::{Handle, LocationIx, RoleIx, Rows};
use crate::facts::Facts;
use crate::id::BusinessRoleId;
use crate::snapshot::Place;

use super::handles::Handles;
use super::names::Names;

pub(super) struct Places {
    pub(super) places: Rows<LocationIx, Place>,
    pub(super) roles: Rows<RoleIx, (BusinessRoleId, Option<RoleIx>)>,
}

pub(super) fn compile(facts: &Facts, names: &Names) -> Places {
    let roles = facts
        .business_roles()
        .map(|role| (role.id.clone(), role.parent.as_ref().map(|parent| names.role(parent))))
        .collect();
    Places { places: places(facts, names), roles }
}

fn places(facts: &Facts, names: &Names) -> Rows<LocationIx, Place> {
    let mut places: Rows<LocationIx, Place> = facts
        .locations()
        .map(|location| {
            let at = names.location(&location.id);
            let parent = location.parent.as_ref().map(|parent| names.location(parent));
            Place { parent, first: 0, after: 0, top: at, organization: None }
        })
        .collect();
    let flags: Rows<LocationIx, (bool, bool)> =
        facts.locations().map(|l| (l.block_inheritance, l.organization)).collect();
    let mut children: Rows<LocationIx, Vec<LocationIx>> =
        facts.locations().map(|_| Vec::new()).collect();
    let mut open = Vec::new();
    for index in 0..places.len() {
        let at = LocationIx::from_index(index);
        match places[at].parent {
            Some(parent) => children[parent].push(at),
            None => open.push((at, false)),
        }
    }
    // A walk of the forest, parents before children: what lies below gets the numbers in between.
    let mut number = 0;
    while let Some((at, done)) = open.pop() {
        if done {
            places[at].after = number;
            continue;
        }
        let above = places[at].parent.map(|parent| places[parent]);
        let (blocks, is_organization) = flags[at];
        let place = &mut places[at];
        place.first = number;
        number += 1;
        // `up` stops after the first location that blocks, this one included (A5).
        let above = above.filter(|_| !blocks);
        place.top = above.map_or(at, |above| above.top);
        place.organization =
            if is_organization { Some(at) } else { above.and_then(|above| above.organization) };
        open.push((at, true));
        open.extend(children[at].iter().map(|child| (*child, false)));
    }
    places
}
