//! Whether the state that a change set leaves is valid (semantics, sections 1 to 5 and 9).

mod forest;
mod level;
mod vault;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use super::apply::Journal;
use super::cascade::could_take;
use super::reference::{Existing, references};
use super::rejection::{Problem, Rejection};
use super::{
    FactKey, FactKind, FactRef, Facts, MAX_FACTS, MAX_PERMISSIONS_PER_TYPE, MAX_TEXT_BYTES,
};
use crate::actor::{ActorRef, Membership, Person, Position};
use crate::level::{Assignment, Scope};
use crate::psm::{Eligibility, EligibilityKind, EligibilityScope};
use crate::resource::BuiltInType;
use crate::time::Window;

/// How many referrers a refused delete names.
const LISTED_REFERRERS: usize = 5;

/// Up to how many facts that are gone are compared one by one.
const FEW: usize = 4;

/// From how many facts on it is of use to remember what exists.
const MANY: usize = 1 << 10;

/// How many facts a thread judges before it leaves as many to each of the others.
const STRETCH: usize = 1 << 10;

/// Everything wrong with the state, as far as the journal's changes could have made it so.
pub(super) fn resulting_state(
    facts: &Facts,
    journal: &Journal,
    threads: NonZeroUsize,
) -> Vec<Rejection> {
    let mut rejections = Vec::new();
    if facts.len() > MAX_FACTS {
        let last = journal.touched.last_key_value().map(|(key, _)| key.clone());
        let last = last.or_else(|| facts.iter().last().map(|fact| fact.key()));
        if let Some((key, change)) = last.and_then(|key| Some((key.clone(), journal.change(&key)?)))
        {
            let problem = Problem::TooManyFacts { actual: facts.len() };
            rejections.push(Rejection { change, key, problem });
        }
    }
    if journal.whole {
        every(facts, journal, threads, &mut rejections);
    } else {
        let touched = journal.touched.keys().filter_map(|key| facts.borrow(key));
        let mut existing = (journal.touched.len() > MANY).then(|| Existing::among(facts));
        touched.for_each(|fact| one(facts, journal, fact, &mut existing, &mut rejections));
        vault::vault(facts, journal, &mut rejections);
    }
    level::tokens(facts, journal, &mut rejections);
    level::shrunk_types(facts, journal, &mut rejections);
    forest::cycles_and_depths(facts, journal, &mut rejections);
    still_referenced(facts, journal, &mut rejections);
    rejections
}

/// Judges every fact by itself, and by what it refers to.
fn every(facts: &Facts, journal: &Journal, threads: NonZeroUsize, rejections: &mut Vec<Rejection>) {
    let part = |turn: usize| {
        let (mut rejections, mut existing) = (Vec::new(), Some(Existing::among(facts)));
        let all = FactKind::ALL.iter().flat_map(|kind| facts.borrowed(*kind)).enumerate();
        for (_, fact) in all.filter(|(index, _)| index / STRETCH % threads == turn) {
            one(facts, journal, fact, &mut existing, &mut rejections);
            vault::one(facts, journal, fact, &mut rejections);
        }
        rejections
    };
    if threads == NonZeroUsize::MIN {
        return rejections.append(&mut part(0));
    }
    std::thread::scope(|scope| {
        let begin = |turn| {
            let begun = std::thread::Builder::new().spawn_scoped(scope, move || part(turn));
            // Where the operating system gives no thread, it is this one's part.
            begun.map_err(|_| turn)
        };
        let parts: Vec<_> = (0..threads.get()).map(begin).collect();
        for begun in parts {
            match begun.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(mut part)) => rejections.append(&mut part),
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
                Err(turn) => rejections.append(&mut part(turn)),
            }
        }
    });
}

/// What is wrong with one fact.
fn one<'a>(
    facts: &'a Facts,
    journal: &Journal,
    fact: FactRef<'a>,
    existing: &mut Option<Existing<'a>>,
    rejections: &mut Vec<Rejection>,
) {
    let mut reject = |problem| {
        let key = fact.key();
        if let Some(change) = journal.change(&key) {
            rejections.push(Rejection { change, key, problem });
        }
    };
    references(fact, &mut |field, target| {
        let exists = match existing {
            Some(existing) => existing.has(target),
            None => target.exists(facts),
        };
        if !exists {
            reject(Problem::Dangling { field, target: target.key() });
        }
    });
    single(facts, fact, &mut reject);
}

/// What can be wrong with one fact besides its references.
fn single(facts: &Facts, fact: FactRef<'_>, reject: &mut dyn FnMut(Problem)) {
    match fact {
        FactRef::ResourceType(declared) => {
            let actual = declared.operations.len() + declared.rights.len();
            if actual > MAX_PERMISSIONS_PER_TYPE {
                reject(Problem::TooManyPermissions { actual });
            }
        }
        FactRef::AccessLevel(access_level) => level::definition(facts, access_level, reject),
        FactRef::Person(person) => self::person(person, reject),
        FactRef::Group(group) => {
            members(&group.members, Takes::PeopleAccountsGroups, reject);
            positions(&group.positions, reject);
        }
        FactRef::SetGroup(group) => members(&group.members, Takes::PeopleAccountsGroups, reject),
        FactRef::ManagementRole(role) => {
            members(&role.members, Takes::AllButManagementRoles, reject);
        }
        FactRef::Resource(resource) => {
            if let Some(built_in) = BuiltInType::from_name(resource.name.type_name.as_str()) {
                let (type_name, objects) = (built_in.as_str(), built_in.objects());
                reject(Problem::BuiltInResource { type_name, objects });
            }
            text("platform", resource.platform.as_deref(), reject);
        }
        FactRef::Assignment(assignment) => self::assignment(assignment, reject),
        FactRef::PermissionLevel(level) => text("name", level.name.as_deref(), reject),
        FactRef::Psm(psm) => {
            text("account_store", psm.account_store.as_deref(), reject);
            if psm.max_session_micros <= 0 {
                reject(Problem::MaxSession);
            }
        }
        FactRef::Eligibility(eligibility) => self::eligibility(eligibility, reject),
        FactRef::Location(_)
        | FactRef::BusinessRole(_)
        | FactRef::Account(_)
        | FactRef::ResourceGroup(_)
        | FactRef::Share(_)
        | FactRef::ManagementRoleDefinition(_) => {}
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
    let mut gone: BTreeMap<FactKey, Found> = journal
        .touched
        .keys()
        .filter(|key| is_named(key.kind()) && facts.borrow(key).is_none())
        .map(|key| (key.clone(), Found { referrers: Vec::new(), total: 0, cascadable: true }))
        .collect();
    if gone.is_empty() {
        return;
    }
    let (mut named, few) = (Vec::new(), gone.len() <= FEW);
    for fact in FactKind::ALL.iter().flat_map(|kind| facts.borrowed(*kind)) {
        references(fact, &mut |_, target| {
            if few {
                named.extend(gone.keys().find(|key| target.is(key)).cloned());
            } else {
                named.extend(Some(target.key()).filter(|key| gone.contains_key(key)));
            }
        });
        if named.is_empty() {
            continue;
        }
        named.sort();
        named.dedup();
        let referrer = fact.key();
        let untouched = !journal.touched.contains_key(&referrer);
        for target in named.drain(..).filter(|_| untouched) {
            let Some(found) = gone.get_mut(&target) else { continue };
            found.total += 1;
            let deleted = journal.touched.get(&target).and_then(|touch| touch.before.as_ref());
            let taken = |deleted| {
                facts.get(&referrer).is_some_and(|referrer| could_take(facts, &referrer, deleted))
            };
            found.cascadable &= deleted.is_some_and(taken);
            if found.referrers.len() < LISTED_REFERRERS {
                found.referrers.push(referrer.clone());
            }
        }
    }
    for (key, Found { referrers, total, cascadable }) in gone {
        let Some(touch) = journal.touched.get(&key).filter(|_| total > 0) else { continue };
        let cascadable = cascadable && !touch.cascade;
        let problem = Problem::StillReferenced { referrers, total, cascadable };
        rejections.push(Rejection { change: touch.change, key, problem });
    }
}

/// Whether facts of the kind can be named by others.
const fn is_named(kind: FactKind) -> bool {
    match kind {
        FactKind::ResourceType
        | FactKind::Location
        | FactKind::BusinessRole
        | FactKind::AccessLevel
        | FactKind::Person
        | FactKind::Account
        | FactKind::Group
        | FactKind::SetGroup
        | FactKind::ManagementRoleDefinition
        | FactKind::ManagementRole
        | FactKind::Resource
        | FactKind::ResourceGroup
        | FactKind::PermissionLevel => true,
        FactKind::Assignment | FactKind::Share | FactKind::Psm | FactKind::Eligibility => false,
    }
}
