//! Whether the state that a change set leaves is valid (semantics, sections 1 to 5 and 9).

mod forest;
mod level;
mod vault;

use std::collections::BTreeMap;

use super::apply::Journal;
use super::cascade::could_take;
use super::reference::references;
use super::rejection::{Problem, Rejection};
use super::{Fact, FactKey, Facts, MAX_FACTS, MAX_PERMISSIONS_PER_TYPE, MAX_TEXT_BYTES};
use crate::actor::{ActorRef, Membership, Person, Position};
use crate::level::{Assignment, Scope};
use crate::psm::{Eligibility, EligibilityKind, EligibilityScope};
use crate::resource::BuiltInType;
use crate::time::Window;

/// How many referrers a refused delete names.
const LISTED_REFERRERS: usize = 5;

/// Everything wrong with the state, as far as the journal's changes could have made it so.
pub(super) fn resulting_state(facts: &Facts, journal: &Journal) -> Vec<Rejection> {
    let mut rejections = Vec::new();
    if facts.len() > MAX_FACTS
        && let Some((key, touch)) = journal.touched.last_key_value()
    {
        let problem = Problem::TooManyFacts { actual: facts.len() };
        rejections.push(Rejection { change: touch.change, key: key.clone(), problem });
    }
    for (key, touch) in &journal.touched {
        let Some(fact) = facts.get(key) else { continue };
        let mut reject = |problem| {
            rejections.push(Rejection { change: touch.change, key: key.clone(), problem });
        };
        references(&fact, &mut |field, target| {
            if facts.get(&target).is_none() {
                reject(Problem::Dangling { field, target });
            }
        });
        single(facts, &fact, &mut reject);
    }
    level::tokens(facts, journal, &mut rejections);
    level::shrunk_types(facts, journal, &mut rejections);
    vault::vault(facts, journal, &mut rejections);
    forest::cycles_and_depths(facts, journal, &mut rejections);
    still_referenced(facts, journal, &mut rejections);
    rejections
}

/// What can be wrong with one fact besides its references.
fn single(facts: &Facts, fact: &Fact, reject: &mut dyn FnMut(Problem)) {
    match fact {
        Fact::ResourceType(declared) => {
            let actual = declared.operations.len() + declared.rights.len();
            if actual > MAX_PERMISSIONS_PER_TYPE {
                reject(Problem::TooManyPermissions { actual });
            }
        }
        Fact::AccessLevel(access_level) => level::definition(facts, access_level, reject),
        Fact::Person(person) => self::person(person, reject),
        Fact::Group(group) => {
            members(&group.members, Takes::PeopleAccountsGroups, reject);
            positions(&group.positions, reject);
        }
        Fact::SetGroup(group) => members(&group.members, Takes::PeopleAccountsGroups, reject),
        Fact::ManagementRole(role) => members(&role.members, Takes::AllButManagementRoles, reject),
        Fact::Resource(resource) => {
            if let Some(built_in) = BuiltInType::from_name(resource.name.type_name.as_str()) {
                let (type_name, objects) = (built_in.as_str(), built_in.objects());
                reject(Problem::BuiltInResource { type_name, objects });
            }
            text("platform", resource.platform.as_deref(), reject);
        }
        Fact::Assignment(assignment) => self::assignment(assignment, reject),
        Fact::PermissionLevel(level) => text("name", level.name.as_deref(), reject),
        Fact::Psm(psm) => {
            text("account_store", psm.account_store.as_deref(), reject);
            if psm.max_session_micros <= 0 {
                reject(Problem::MaxSession);
            }
        }
        Fact::Eligibility(eligibility) => self::eligibility(eligibility, reject),
        Fact::Location(_)
        | Fact::BusinessRole(_)
        | Fact::Account(_)
        | Fact::ResourceGroup(_)
        | Fact::Share(_)
        | Fact::ManagementRoleDefinition(_) => {}
    }
}

fn person(person: &Person, reject: &mut dyn FnMut(Problem)) {
    if person.manager.as_ref() == Some(&person.id) {
        reject(Problem::OwnManager);
    }
    text("name", person.name.as_deref(), reject);
    text("login", person.login.as_deref(), reject);
    positions(&person.positions, reject);
}

fn text(field: &'static str, text: Option<&str>, reject: &mut dyn FnMut(Problem)) {
    let actual = text.map_or(0, str::len);
    if actual > MAX_TEXT_BYTES {
        reject(Problem::TextTooLong { field, actual });
    }
}

/// An approval is of one person, on one computer, until some time (section 7).
fn eligibility(eligibility: &Eligibility, reject: &mut dyn FnMut(Problem)) {
    window("valid_from", &eligibility.window, reject);
    if eligibility.key.kind != EligibilityKind::Approved {
        return;
    }
    if !matches!(eligibility.key.to, ActorRef::Person(_)) {
        reject(Problem::Approval { needs: "a person in `to`" });
    }
    if !matches!(eligibility.key.scope, EligibilityScope::On(_)) {
        reject(Problem::Approval { needs: "a computer in `on`" });
    }
    if eligibility.window.until.is_none() {
        reject(Problem::Approval { needs: "`valid_until`" });
    }
}

fn positions(positions: &[Position], reject: &mut dyn FnMut(Problem)) {
    for position in positions {
        window("positions", &position.window, reject);
    }
}

#[derive(Clone, Copy)]
enum Takes {
    PeopleAccountsGroups,
    AllButManagementRoles,
}

fn members(members: &[Membership], takes: Takes, reject: &mut dyn FnMut(Problem)) {
    for member in members {
        window("members", &member.window, reject);
        let fits = match (&member.of, takes) {
            (ActorRef::Person(_) | ActorRef::Account(_) | ActorRef::Group(_), _) => true,
            (ActorRef::SetGroup(_) | ActorRef::BusinessRoleLocation(..), takes) => {
                matches!(takes, Takes::AllButManagementRoles)
            }
            (ActorRef::ManagementRole(_) | ActorRef::ManagementRoleDefinition(_), _) => false,
        };
        if !fits {
            let takes = match takes {
                Takes::PeopleAccountsGroups => "people, accounts and groups",
                Takes::AllButManagementRoles => {
                    "people, accounts, groups, set groups and business role pairs \
                     (a role that goes with this one belongs under `includes`)"
                }
            };
            reject(Problem::MemberKind { member: member.of.to_string(), takes });
        }
    }
}

fn window(field: &'static str, window: &Window, reject: &mut dyn FnMut(Problem)) {
    if !window.is_ordered() {
        reject(Problem::EmptyWindow { field });
    }
}

/// C0: `on` is of the definition's type, and some relative scopes need a definition of one type.
fn assignment(assignment: &Assignment, reject: &mut dyn FnMut(Problem)) {
    window("valid_from", &assignment.window, reject);
    let type_name = assignment.level.type_name.as_str();
    let needs = match &assignment.scope {
        Scope::On(resource) => resource.type_name.as_str(),
        Scope::In(_) => return,
        Scope::Relative(relative) => match relative.needs() {
            Some(built_in) => built_in.as_str(),
            None => return,
        },
    };
    if needs != type_name {
        reject(Problem::ScopeType {
            scope: format!("`{}`", assignment.scope),
            needs: format!("`{needs}`"),
            type_name: type_name.to_owned(),
        });
    }
}

/// Facts that are gone and still named by facts that this change set left alone.
fn still_referenced(facts: &Facts, journal: &Journal, rejections: &mut Vec<Rejection>) {
    struct Found {
        referrers: Vec<FactKey>,
        total: usize,
        cascadable: bool,
    }
    let mut gone: BTreeMap<&FactKey, Found> = journal
        .touched
        .keys()
        .filter(|key| facts.get(key).is_none())
        .map(|key| (key, Found { referrers: Vec::new(), total: 0, cascadable: true }))
        .collect();
    if gone.is_empty() {
        return;
    }
    for fact in facts.iter() {
        let referrer = fact.key();
        if journal.touched.contains_key(&referrer) {
            continue;
        }
        let mut named = Vec::new();
        references(&fact, &mut |_, target| named.push(target));
        named.sort();
        named.dedup();
        for target in named {
            let Some(found) = gone.get_mut(&target) else { continue };
            found.total += 1;
            let deleted = journal.touched.get(&target).and_then(|touch| touch.before.as_ref());
            found.cascadable &= deleted.is_some_and(|deleted| could_take(facts, &fact, deleted));
            if found.referrers.len() < LISTED_REFERRERS {
                found.referrers.push(referrer.clone());
            }
        }
    }
    for (key, Found { referrers, total, cascadable }) in gone {
        let Some(touch) = journal.touched.get(key).filter(|_| total > 0) else { continue };
        let cascadable = cascadable && !touch.cascade;
        let problem = Problem::StillReferenced { referrers, total, cascadable };
        rejections.push(Rejection { change: touch.change, key: key.clone(), problem });
    }
}
