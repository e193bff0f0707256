//! Trees without cycles and within the depth limit; included roles without cycles.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use super::super::apply::Journal;
use super::super::rejection::{Problem, Rejection};
use super::super::{Fact, FactKey, Facts, MAX_TREE_DEPTH};
use crate::id::ManagementRoleId;

pub(super) fn cycles_and_depths(facts: &Facts, journal: &Journal, out: &mut Vec<Rejection>) {
    let moved = |key: &FactKey, parent: Option<String>| {
        journal.touched.get(key).is_some_and(|touch| match &touch.before {
            Some(Fact::Location(before)) => {
                before.parent.as_ref().map(ToString::to_string) != parent
            }
            Some(Fact::BusinessRole(before)) => {
                before.parent.as_ref().map(ToString::to_string) != parent
            }
            _ => true,
        })
    };
    let locations: BTreeMap<_, _> =
        facts.locations().map(|location| (&location.id, location.parent.as_ref())).collect();
    forest(&locations, |id| FactKey::Location(id.clone()), &moved, journal, out);
    let roles: BTreeMap<_, _> =
        facts.business_roles().map(|role| (&role.id, role.parent.as_ref())).collect();
    forest(&roles, |id| FactKey::BusinessRole(id.clone()), &moved, journal, out);
    for key in journal.touched.keys() {
        if let FactKey::ManagementRole(role) = key
            && let Some(path) = include_cycle(facts, role)
        {
            reject(journal, key, Problem::Cycle { field: "includes", path }, out);
        }
    }
}

/// Walks up from every node, but only if some node was moved: an unmoved tree is as valid as before.
fn forest<I: Ord + Display>(
    parents: &BTreeMap<&I, Option<&I>>,
    key: impl Fn(&I) -> FactKey,
    moved: &dyn Fn(&FactKey, Option<String>) -> bool,
    journal: &Journal,
    out: &mut Vec<Rejection>,
) {
    let moved: BTreeSet<&I> = parents
        .iter()
        .filter(|(id, parent)| moved(&key(id), parent.map(ToString::to_string)))
        .map(|(id, _)| *id)
        .collect();
    if moved.is_empty() {
        return;
    }
    let mut blamed = BTreeSet::new();
    for start in parents.keys() {
        let mut path: Vec<&I> = vec![*start];
        let mut seen = BTreeSet::from([*start]);
        let mut cycle_from = None;
        while let Some(parent) = path.last().and_then(|last| parents.get(last)).copied().flatten() {
            if !seen.insert(parent) {
                cycle_from = path.iter().position(|id| *id == parent);
                break;
            }
            path.push(parent);
            if path.len() > MAX_TREE_DEPTH + parents.len() {
                break;
            }
        }
        // INVARIANT: the tree was valid before, so whatever is wrong has a moved node on it.
        let problem = match cycle_from {
            Some(from) => {
                let mut ids: Vec<_> = path.iter().skip(from).map(ToString::to_string).collect();
                ids.extend(ids.first().cloned());
                Problem::Cycle { field: "parent", path: ids }
            }
            None if path.len() > MAX_TREE_DEPTH => Problem::TooDeep { depth: path.len() },
            None => continue,
        };
        let on_path = path.iter().skip(cycle_from.unwrap_or(0)).find(|id| moved.contains(*id));
        if let Some(id) = on_path
            && blamed.insert(*id)
        {
            reject(journal, &key(id), problem, out);
        }
    }
}

/// A way from `start` through included roles back to `start`.
fn include_cycle(facts: &Facts, start: &ManagementRoleId) -> Option<Vec<String>> {
    let mut came_from: BTreeMap<&ManagementRoleId, &ManagementRoleId> = BTreeMap::new();
    let mut open = vec![start];
    while let Some(role) = open.pop() {
        for included in facts.management_role(role).map_or(&[][..], |role| &role.includes) {
            if included == start {
                let mut path = vec![start.to_string(), role.to_string()];
                let mut at = role;
                while let Some(before) = came_from.get(at) {
                    at = before;
                    path.push(at.to_string());
                }
                if role == start {
                    path.pop();
                }
                path.reverse();
                if path.first() != path.last() || path.len() == 1 {
                    path.push(start.to_string());
                }
                return Some(path);
            }
            if !came_from.contains_key(included) {
                came_from.insert(included, role);
                open.push(included);
            }
        }
    }
    None
}

fn reject(journal: &Journal, key: &FactKey, problem: Problem, out: &mut Vec<Rejection>) {
    if let Some(touch) = journal.touched.get(key) {
        out.push(Rejection { change: touch.change, key: key.clone(), problem });
    }
}
