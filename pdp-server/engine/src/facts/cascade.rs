//! What a cascading delete takes along (semantics, section 9), and what it leaves to refuse.

use std::collections::{BTreeSet, HashMap};

use super::reference::{actor_rests_on, object, references, refers};
use super::{Fact, FactKey, FactKind, FactRef, Facts};
use crate::actor::{Account, Membership, Position};
use crate::id::LocationId;
use crate::level::{AccessLevel, Assignment};
use crate::psm::{Eligibility, EligibilityKind};

/// What becomes of one referrer of a deleted fact.
pub(super) enum Consequence {
    /// It goes on without naming the deleted fact.
    Becomes(Fact),
    /// It goes too.
    Goes,
}

/// Who names whom, as far as a change set's cascades have to know: made at the first one, kept up
/// to date by the steps after it. It may list referrers that have changed since.
pub(super) struct Referrers(HashMap<FactKey, BTreeSet<FactKey>>);

impl Referrers {
    pub(super) fn new(facts: &Facts) -> Self {
        let mut referrers = Self(HashMap::new());
        FactKind::ALL
            .iter()
            .flat_map(|kind| facts.borrowed(*kind))
            .for_each(|fact| referrers.note(fact));
        referrers
    }

    pub(super) fn note(&mut self, fact: FactRef<'_>) {
        references(fact, &mut |_, target| {
            self.0.entry(target.key()).or_default().insert(fact.key());
        });
    }

    /// Who may name the fact of this key, in the order of the keys.
    pub(super) fn of(&self, key: &FactKey) -> impl Iterator<Item = &FactKey> {
        self.0.get(key).into_iter().flatten()
    }
}

/// Who names the fact of this key, in the order of the keys: for a cascade or two that is quicker than
/// noting who names whom.
pub(super) fn naming(facts: &Facts, key: &FactKey) -> Vec<FactKey> {
    let all = FactKind::ALL.iter().flat_map(|kind| facts.borrowed(*kind));
    all.filter(|fact| refers(*fact, key)).map(FactRef::key).collect()
}

/// The facts that a cascading delete changes, among those that may name it. A referrer that is not among
/// them still refuses the delete: child locations and roles, roles that include it, definitions and
/// resources of a deleted type, and assignments that deny something to another actor.
pub(super) fn consequences<'k>(
    facts: &Facts,
    deleted: &Fact,
    referrers: impl Iterator<Item = &'k FactKey>,
) -> Vec<(FactKey, Consequence)> {
    let key = &deleted.key();
    let still = referrers.filter_map(|referrer| facts.get(referrer));
    let still = still.filter(|fact| refers(fact.borrowed(), key));
    still.filter_map(|fact| Some((fact.key(), consequence(facts, &fact, deleted)?))).collect()
}

fn consequence(facts: &Facts, fact: &Fact, deleted: &Fact) -> Option<Consequence> {
    let key = &deleted.key();
    let becomes = |fact: Fact| Some(Consequence::Becomes(fact));
    match fact {
        Fact::Person(person) => {
            let mut person = (**person).clone();
            person.manager = person.manager.filter(|id| FactKey::Person(id.clone()) != *key);
            unplace(&mut person.locations, key);
            unseat(&mut person.positions, key);
            becomes(person.into())
        }
        Fact::Account(account) => self::account(account, key).map(Consequence::Becomes),
        Fact::Group(group) => {
            let mut group = (**group).clone();
            dismiss(&mut group.members, key);
            unseat(&mut group.positions, key);
            unplace(&mut group.locations, key);
            becomes(group.into())
        }
        Fact::SetGroup(group) => {
            let mut group = (**group).clone();
            dismiss(&mut group.members, key);
            unplace(&mut group.locations, key);
            becomes(group.into())
        }
        Fact::ManagementRole(role) => {
            let mut changed = (**role).clone();
            dismiss(&mut changed.members, key);
            unplace(&mut changed.locations, key);
            (changed != **role).then(|| Consequence::Becomes(changed.into()))
        }
        Fact::ManagementRoleDefinition(definition) => {
            let mut definition = (**definition).clone();
            unplace(&mut definition.locations, key);
            becomes(definition.into())
        }
        Fact::BusinessRole(role) => {
            let mut changed = (**role).clone();
            unplace(&mut changed.locations, key);
            (changed != **role).then(|| Consequence::Becomes(changed.into()))
        }
        Fact::Resource(resource) => {
            let mut changed = (**resource).clone();
            unplace(&mut changed.locations, key);
            changed.owner = changed.owner.filter(|id| FactKey::Person(id.clone()) != *key);
            (changed != **resource).then(|| Consequence::Becomes(changed.into()))
        }
        Fact::Assignment(assignment) => {
            (!protected(facts, assignment, deleted)).then_some(Consequence::Goes)
        }
        Fact::ResourceGroup(group) => {
            let mut group = (**group).clone();
            group.members.retain(|member| object(member) != *key);
            becomes(group.into())
        }
        Fact::Share(_) => Some(Consequence::Goes),
        Fact::Eligibility(eligibility) => {
            (!protected_exclusion(eligibility, key)).then_some(Consequence::Goes)
        }
        Fact::ResourceType(_)
        | Fact::Location(_)
        | Fact::AccessLevel(_)
        | Fact::PermissionLevel(_)
        | Fact::Psm(_) => None,
    }
}

/// An account that loses its owner is disabled; one that names the deleted computer refuses.
fn account(account: &Account, key: &FactKey) -> Option<Fact> {
    let mut changed = account.clone();
    if account.owner.as_ref().is_some_and(|id| FactKey::Person(id.clone()) == *key) {
        // An account without an owner is its own subject: it must not live on enabled.
        changed.owner = None;
        changed.enabled = false;
    }
    unplace(&mut changed.locations, key);
    (changed != *account).then(|| changed.into())
}

/// Whether removing the assignment could give access: its definition denies something, and its
/// assignee outlives the deleted fact.
fn protected(facts: &Facts, assignment: &Assignment, deleted: &Fact) -> bool {
    let denies = match deleted {
        // The definition itself is what goes, so it is no longer among the facts.
        Fact::AccessLevel(level) if level.name == assignment.level => level.denies(),
        _ => facts.access_level(&assignment.level).is_none_or(AccessLevel::denies),
    };
    denies && !actor_rests_on(&assignment.to, &deleted.key())
}

/// Whether removing the eligibility could give access: it excludes somebody who outlives the
/// deleted fact.
fn protected_exclusion(eligibility: &Eligibility, key: &FactKey) -> bool {
    eligibility.key.kind == EligibilityKind::Excluded && !actor_rests_on(&eligibility.key.to, key)
}

fn unplace(locations: &mut Vec<LocationId>, key: &FactKey) {
    locations.retain(|location| FactKey::Location(location.clone()) != *key);
}

fn unseat(positions: &mut Vec<Position>, key: &FactKey) {
    positions.retain(|position| {
        FactKey::BusinessRole(position.business_role.clone()) != *key
            && FactKey::Location(position.location.clone()) != *key
    });
}

fn dismiss(members: &mut Vec<Membership>, key: &FactKey) {
    members.retain(|member| !actor_rests_on(&member.of, key));
}

/// Whether a cascading delete would take this referrer's reference along.
pub(super) fn could_take(facts: &Facts, referrer: &Fact, deleted: &Fact) -> bool {
    match consequence(facts, referrer, deleted) {
        Some(Consequence::Goes) => true,
        Some(Consequence::Becomes(changed)) => !refers(changed.borrowed(), &deleted.key()),
        None => false,
    }
}
