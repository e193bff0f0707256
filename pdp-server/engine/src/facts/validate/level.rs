//! Whether an Access Level Definition is valid: Q8, and the tokens of section 5.

use std::collections::{BTreeMap, BTreeSet};

use super::super::apply::Journal;
use super::super::rejection::{Problem, Rejection};
use super::super::{Fact, FactKey, Facts};
use crate::id::TypeName;
use crate::level::{AccessLevel, LevelRef};
use crate::permission::{Pattern, PermissionKind, Qualifier};

/// Endings that a token may not have: with them a delegation operation could be read two ways.
const RESERVED_ENDINGS: [&str; 4] =
    ["ResourceRole", "InLocation", "InRelativeResource", "AssignmentByLocation"];

/// The token that stands for any role in the two `ManageAny` operations' neighbours.
const RESERVED_TOKEN: &str = "ManagementRole";

pub(super) fn definition(facts: &Facts, level: &AccessLevel, reject: &mut dyn FnMut(Problem)) {
    undeclared(facts, level, reject);
    for (pattern, qualifier) in &level.rights {
        if !matches!(qualifier, Qualifier::Allowed | Qualifier::Denied) {
            let name = pattern.to_string();
            reject(Problem::RightQualifier { name, qualifier: qualifier.as_str() });
        }
    }
    let token = level.name.token();
    if let Some(why) = token_problem(&token) {
        reject(Problem::Token { token, why });
    }
}

/// Q8: a definition names only what its type declares.
fn undeclared(facts: &Facts, level: &AccessLevel, reject: &mut dyn FnMut(Problem)) {
    let type_name = &level.name.type_name;
    for kind in [PermissionKind::Operation, PermissionKind::Right] {
        for pattern in level.qualifiers(kind).keys() {
            let Pattern::Name(name) = pattern else { continue };
            let declared = facts.resource_type(type_name).is_some_and(|declared| match kind {
                PermissionKind::Operation => declared.operations.contains(name),
                PermissionKind::Right => declared.rights.contains(name),
            });
            if !declared {
                reject(Problem::UndeclaredPermission {
                    kind,
                    name: name.to_string(),
                    type_name: type_name.to_string(),
                });
            }
        }
    }
}

fn token_problem(token: &str) -> Option<String> {
    if token.is_empty() {
        return Some("is empty: the name has no ASCII letter or digit".to_owned());
    }
    if token == RESERVED_TOKEN {
        return Some("is reserved".to_owned());
    }
    let ending = RESERVED_ENDINGS.into_iter().find(|ending| token.ends_with(ending))?;
    Some(format!("ends in the reserved `{ending}`"))
}

/// Touched definitions whose token is also that of another definition of the type (section 5).
pub(super) fn tokens(facts: &Facts, journal: &Journal, rejections: &mut Vec<Rejection>) {
    let touched: BTreeSet<&TypeName> = journal
        .touched
        .keys()
        .filter_map(|key| match key {
            FactKey::AccessLevel(name) => Some(&name.type_name),
            _ => None,
        })
        .collect();
    if touched.is_empty() && !journal.whole {
        return;
    }
    let of_touched =
        |level: &&AccessLevel| journal.whole || touched.contains(&level.name.type_name);
    let mut by_token: BTreeMap<(&TypeName, String), Vec<&LevelRef>> = BTreeMap::new();
    for level in facts.access_levels().filter(of_touched) {
        by_token.entry((&level.name.type_name, level.name.token())).or_default().push(&level.name);
    }
    for ((_, token), names) in by_token.into_iter().filter(|(_, names)| names.len() > 1) {
        for name in &names {
            let key = FactKey::AccessLevel((*name).clone());
            let Some(change) = journal.change(&key) else { continue };
            let Some(other) = names.iter().find(|other| *other != name) else { continue };
            let problem =
                Problem::Token { token: token.clone(), why: format!("is also that of `{other}`") };
            rejections.push(Rejection { change, key, problem });
        }
    }
}

fn levels_of<'a>(facts: &'a Facts, of: &TypeName) -> impl Iterator<Item = &'a AccessLevel> {
    facts.access_levels().filter(move |level| level.name.type_name == *of)
}

/// Types that declare less than before, under definitions that were left alone.
pub(super) fn shrunk_types(facts: &Facts, journal: &Journal, rejections: &mut Vec<Rejection>) {
    for (key, touch) in &journal.touched {
        let (FactKey::ResourceType(name), Some(Fact::ResourceType(before))) = (key, &touch.before)
        else {
            continue;
        };
        let shrunk = facts.resource_type(name).is_none_or(|after| {
            !before.operations.is_subset(&after.operations)
                || !before.rights.is_subset(&after.rights)
        });
        if !shrunk {
            continue;
        }
        for level in levels_of(facts, name) {
            let level_key = FactKey::AccessLevel(level.name.clone());
            if !journal.touched.contains_key(&level_key) {
                undeclared(facts, level, &mut |problem| {
                    let (change, key) = (touch.change, level_key.clone());
                    rejections.push(Rejection { change, key, problem });
                });
            }
        }
    }
}
