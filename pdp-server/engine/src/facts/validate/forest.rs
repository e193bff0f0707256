//! Trees without cycles and within the depth limit; included roles without cycles. Each check looks
//! at every node once, whatever the shape: hostile policies are refused as fast as others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use super::super::apply::Journal;
use super::super::rejection::{Problem, Rejection};
use super::super::{Fact, FactKey, FactKind, Facts, MAX_TREE_DEPTH};
use crate::id::{BusinessRoleId, LocationId, ManagementRoleId};

/// How many names of a cycle a refusal shows.
const SHOWN_NAMES: usize = 8;

pub(super) fn cycles_and_depths(facts: &Facts, journal: &Journal, out: &mut Vec<Rejection>) {
    // What was not touched was not moved, and a forest can be large.
    let touched = |kind| journal.whole || journal.touched.keys().any(|key| key.kind() == kind);
    if touched(FactKind::Location) {
        let locations: BTreeMap<_, _> =
            facts.locations().map(|location| (&location.id, location.parent.as_ref())).collect();
        let moved = |before: &Fact, parent: Option<&LocationId>| match before {
            Fact::Location(before) => before.parent.as_ref() != parent,
            _ => true,
        };
        forest(&locations, |id| FactKey::Location(id.clone()), moved, journal, out);
    }
    if touched(FactKind::BusinessRole) {
        let roles: BTreeMap<_, _> =
            facts.business_roles().map(|role| (&role.id, role.parent.as_ref())).collect();
        let moved = |before: &Fact, parent: Option<&BusinessRoleId>| match before {
            Fact::BusinessRole(before) => before.parent.as_ref() != parent,
            _ => true,
        };
        forest(&roles, |id| FactKey::BusinessRole(id.clone()), moved, journal, out);
    }
    include_cycles(facts, journal, out);
}

/// Where a node stands: its depth from 1 at the root, and the nearest moved node from it upwards.
/// A node on or below a cycle has no depth.
struct Standing<'a, I> {
    depth: Option<usize>,
    moved: Option<&'a I>,
}

impl<I> Clone for Standing<'_, I> {
    fn clone(&self) -> Self {
        *self
    }
}

// Derived, it would ask for names that are `Copy`.
impl<I> Copy for Standing<'_, I> {}

/// Walks up from every node to the first one that is known, but only if some node was moved: an
/// unmoved tree is as valid as before.
fn forest<I: Ord + Display>(
    parents: &BTreeMap<&I, Option<&I>>,
    key: impl Fn(&I) -> FactKey,
    differs: impl Fn(&Fact, Option<&I>) -> bool,
    journal: &Journal,
    out: &mut Vec<Rejection>,
) {
    let is_moved = |id: &I, parent: Option<&I>| {
        let touch = journal.touched.get(&key(id));
        let moved = |fact| differs(fact, parent);
        journal.whole || touch.is_some_and(|touch| touch.before.as_ref().is_none_or(moved))
    };
    let moved: BTreeSet<&I> =
        parents.iter().filter(|(id, parent)| is_moved(id, **parent)).map(|(id, _)| *id).collect();
    if moved.is_empty() {
        return;
    }
    let mut known: BTreeMap<&I, Standing<'_, I>> = BTreeMap::new();
    let mut blamed = BTreeSet::new();
    for start in parents.keys() {
        let (mut path, mut on_path): (Vec<&I>, BTreeSet<&I>) = (Vec::new(), BTreeSet::new());
        let mut next = Some(*start);
        while let Some(id) = next.filter(|id| !known.contains_key(id) && on_path.insert(*id)) {
            path.push(id);
            next = parents.get(id).copied().flatten();
        }
        let mut above = match next {
            None => Standing { depth: Some(0), moved: None },
            Some(id) => match known.get(id) {
                Some(standing) => *standing,
                None => {
                    // INVARIANT: the tree was valid before, so a cycle has a moved node on it.
                    let cycle: Vec<&I> = path.iter().copied().skip_while(|on| *on != id).collect();
                    if let Some(first) = cycle.iter().position(|id| moved.contains(id))
                        && let Some(id) = cycle.get(first)
                    {
                        let problem =
                            Problem::Cycle { field: "parent", path: shown(&cycle, first) };
                        reject(journal, &key(id), problem, out);
                    }
                    Standing { depth: None, moved: None }
                }
            },
        };
        for id in path.into_iter().rev() {
            let depth = above.depth.map(|depth| depth + 1);
            above = Standing { depth, moved: moved.get(id).copied().or(above.moved) };
            known.insert(id, above);
            if let (Some(depth), Some(moved)) = (depth.filter(|d| *d > MAX_TREE_DEPTH), above.moved)
                && blamed.insert(moved)
            {
                reject(journal, &key(moved), Problem::TooDeep { depth }, out);
            }
        }
    }
}

/// Follows the included roles from every touched one, each role once.
fn include_cycles(facts: &Facts, journal: &Journal, out: &mut Vec<Rejection>) {
    let included = |role: &ManagementRoleId| {
        facts.management_role(role).map_or(&[][..], |role| &role.includes)
    };
    let touched =
        |role: &ManagementRoleId| journal.change(&FactKey::ManagementRole(role.clone())).is_some();
    let mut done: BTreeSet<&ManagementRoleId> = BTreeSet::new();
    let loaded = facts.management_roles().map(|role| &role.id).filter(|_| journal.whole);
    for start in loaded.chain(journal.touched.keys().filter_map(management_role)) {
        // The roles from `start` to the one looked at, each with how many included ones are done.
        let mut path: Vec<(&ManagementRoleId, usize)> = vec![(start, 0)];
        let mut on_path: BTreeSet<&ManagementRoleId> = BTreeSet::from([start]);
        while let Some((role, next)) = path.last_mut() {
            let Some(onward) = included(role).get(*next) else {
                done.insert(role);
                on_path.remove(role);
                path.pop();
                continue;
            };
            *next += 1;
            if done.contains(onward) {
                continue;
            }
            if on_path.insert(onward) {
                path.push((onward, 0));
                continue;
            }
            let roles = path.iter().map(|(role, _)| *role);
            let cycle: Vec<_> = roles.skip_while(|role| *role != onward).collect();
            if let Some(first) = cycle.iter().position(|role| touched(role))
                && let Some(role) = cycle.get(first)
            {
                let problem = Problem::Cycle { field: "includes", path: shown(&cycle, first) };
                reject(journal, &FactKey::ManagementRole((*role).clone()), problem, out);
            }
        }
    }
}

fn management_role(key: &FactKey) -> Option<&ManagementRoleId> {
    match key {
        FactKey::ManagementRole(role) => Some(role),
        _ => None,
    }
}

/// The names along a cycle from its `first` one and back to it; of a long cycle the first few.
fn shown<I: Display>(cycle: &[&I], first: usize) -> Vec<String> {
    let around = cycle.iter().cycle().skip(first).take(cycle.len());
    let mut names: Vec<String> = around.take(SHOWN_NAMES).map(ToString::to_string).collect();
    if cycle.len() > SHOWN_NAMES {
        names.push(format!("... {} more", cycle.len() - SHOWN_NAMES));
    }
    names.extend(names.first().cloned());
    names
}

fn reject(journal: &Journal, key: &FactKey, problem: Problem, out: &mut Vec<Rejection>) {
    if let Some(change) = journal.change(key) {
        out.push(Rejection { change, key: key.clone(), problem });
    }
}
