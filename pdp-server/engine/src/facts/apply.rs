//! Applying a change set: all of it, or nothing.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;

use super::cascade::{Consequence, Referrers};
use super::rejection::{Problem, Rejected, Rejection};
use super::validate::resulting_state;
use super::{Change, Fact, FactKey, Facts};
use crate::resource::ResourceType;

/// What one change set did to one fact, from before it to after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// The fact's key.
    pub key: FactKey,
    /// The fact before; `None` if it was created.
    pub before: Option<Fact>,
    /// The fact after; `None` if it was removed.
    pub after: Option<Fact>,
}

/// An applied change set: its net effect, ordered by key. Facts that end as they began are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// One entry a fact that differs.
    pub deltas: Vec<Delta>,
}

/// What has been touched so far, with what it was before, and by which change.
#[derive(Default)]
pub(super) struct Journal {
    pub(super) touched: BTreeMap<FactKey, Touch>,
    /// Every fact counts as touched, and none was there before: they were loaded. `touched` is empty.
    pub(super) whole: bool,
    referrers: Option<Referrers>,
}

pub(super) struct Touch {
    pub(super) before: Option<Fact>,
    /// The last change that touched it.
    pub(super) change: usize,
    /// That change was a delete, and it said `cascade`.
    pub(super) cascade: bool,
}

impl Journal {
    fn note(&mut self, key: FactKey, before: Option<Fact>, change: usize, cascade: bool) {
        let touch = self.touched.entry(key).or_insert(Touch { before, change, cascade });
        touch.change = change;
        touch.cascade = cascade;
    }

    /// The last change that touched the fact of this key.
    pub(super) fn change(&self, key: &FactKey) -> Option<usize> {
        if self.whole {
            return Some(0);
        }
        self.touched.get(key).map(|touch| touch.change)
    }
}

// === impl Facts ===

impl Facts {
    /// Applies a change set: if every change can be made and the resulting state is valid, all of
    /// it is kept; otherwise the facts are as they were.
    ///
    /// # Errors
    /// [`Rejected`] lists what is wrong, each with the change that brought it about.
    pub fn apply(&mut self, changes: &[Change]) -> Result<Applied, Rejected> {
        let mut journal = Journal::default();
        let mut rejections = Vec::new();
        for (position, change) in changes.iter().enumerate() {
            if let Err(problem) = self.step(position, change, &mut journal) {
                rejections.push(Rejection { change: position, key: change.key(), problem });
            }
        }
        rejections.extend(resulting_state(self, &journal, NonZeroUsize::MIN));
        if !rejections.is_empty() {
            self.restore(journal.touched.into_iter().map(|(key, touch)| (key, touch.before)));
            return Err(Rejected::new(rejections));
        }
        let deltas = journal.touched.into_iter().filter_map(|(key, touch)| {
            let after = self.get(&key);
            (touch.before != after).then_some(Delta { key, before: touch.before, after })
        });
        Ok(Applied { deltas: deltas.collect() })
    }

    /// Takes back the change set that was applied last.
    pub fn undo(&mut self, applied: Applied) {
        self.restore(applied.deltas.into_iter().map(|delta| (delta.key, delta.before)));
    }

    /// The facts that a store gave back, checked like a change set of puts: a store that lost or
    /// changed something must not decide.
    ///
    /// # Errors
    /// [`Rejected`] lists what is wrong; each change position is the position of the fact in the
    /// order of an export.
    pub fn load(stored: impl IntoIterator<Item = Fact>) -> Result<Self, Rejected> {
        Self::load_on(NonZeroUsize::MIN, stored)
    }

    /// The same, checked by so many threads.
    ///
    /// # Errors
    /// As [`Facts::load`].
    pub fn load_on(
        threads: NonZeroUsize,
        stored: impl IntoIterator<Item = Fact>,
    ) -> Result<Self, Rejected> {
        let loaded = Self::gathered(stored);
        let journal = Journal { whole: true, ..Journal::default() };
        let mut rejections = resulting_state(&loaded, &journal, threads);
        if rejections.is_empty() {
            return Ok(loaded);
        }
        let positions: HashMap<FactKey, usize> =
            loaded.iter().enumerate().map(|(position, fact)| (fact.key(), position)).collect();
        for rejection in &mut rejections {
            rejection.change = positions.get(&rejection.key).copied().unwrap_or_default();
        }
        Err(Rejected::new(rejections))
    }

    fn restore(&mut self, entries: impl Iterator<Item = (FactKey, Option<Fact>)>) {
        for (key, before) in entries {
            match before {
                Some(fact) => self.insert(fact),
                None => self.remove(&key),
            };
        }
    }

    fn step(
        &mut self,
        position: usize,
        change: &Change,
        journal: &mut Journal,
    ) -> Result<(), Problem> {
        match change {
            Change::Put(fact) => self.put(fact.clone(), position, journal),
            Change::Delete { key, cascade } => {
                let Some(before) = self.remove(key) else {
                    return Err(Problem::NothingToDelete);
                };
                journal.note(key.clone(), Some(before.clone()), position, *cascade);
                if *cascade {
                    self.cascade(&before, position, journal);
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, fact: Fact, position: usize, journal: &mut Journal) {
        let fact = self.merged(normalized(fact));
        if let Some(referrers) = &mut journal.referrers {
            referrers.note(fact.borrowed());
        }
        let key = fact.key();
        let before = self.insert(fact);
        journal.note(key, before, position, false);
    }

    fn cascade(&mut self, deleted: &Fact, position: usize, journal: &mut Journal) {
        let referrers = journal.referrers.get_or_insert_with(|| Referrers::new(self));
        for (referrer, consequence) in referrers.consequences(self, deleted) {
            let before = match consequence {
                // It names less than before, so the referrers need no update.
                Consequence::Becomes(changed) => self.insert(changed),
                Consequence::Goes => self.remove(&referrer),
            };
            journal.note(referrer, before, position, true);
        }
    }

    /// A resource type declared again adds to what it declares; everything else replaces.
    fn merged(&self, fact: Fact) -> Fact {
        let Fact::ResourceType(declared) = &fact else { return fact };
        let Some(existing) = self.resource_type(&declared.name) else { return fact };
        ResourceType {
            name: declared.name.clone(),
            operations: existing.operations.union(&declared.operations).cloned().collect(),
            rights: existing.rights.union(&declared.rights).cloned().collect(),
        }
        .into()
    }
}

/// Lists that mean the same are stored the same: sorted, without repetitions.
fn normalized(fact: Fact) -> Fact {
    fn tidy<T: Ord>(list: &mut Vec<T>) {
        list.sort();
        list.dedup();
    }
    match fact {
        Fact::Person(mut person) => {
            let changed = Arc::make_mut(&mut person);
            tidy(&mut changed.locations);
            tidy(&mut changed.positions);
            Fact::Person(person)
        }
        Fact::Account(mut account) => {
            tidy(&mut Arc::make_mut(&mut account).locations);
            Fact::Account(account)
        }
        Fact::Group(mut group) => {
            let changed = Arc::make_mut(&mut group);
            tidy(&mut changed.members);
            tidy(&mut changed.positions);
            tidy(&mut changed.locations);
            Fact::Group(group)
        }
        Fact::SetGroup(mut group) => {
            let changed = Arc::make_mut(&mut group);
            tidy(&mut changed.members);
            tidy(&mut changed.locations);
            Fact::SetGroup(group)
        }
        Fact::ManagementRoleDefinition(mut definition) => {
            tidy(&mut Arc::make_mut(&mut definition).locations);
            Fact::ManagementRoleDefinition(definition)
        }
        Fact::ManagementRole(mut role) => {
            let changed = Arc::make_mut(&mut role);
            tidy(&mut changed.members);
            tidy(&mut changed.includes);
            tidy(&mut changed.locations);
            Fact::ManagementRole(role)
        }
        Fact::BusinessRole(mut role) => {
            tidy(&mut Arc::make_mut(&mut role).locations);
            Fact::BusinessRole(role)
        }
        Fact::Resource(mut resource) => {
            tidy(&mut Arc::make_mut(&mut resource).locations);
            Fact::Resource(resource)
        }
        Fact::ResourceGroup(mut group) => {
            tidy(&mut Arc::make_mut(&mut group).members);
            Fact::ResourceGroup(group)
        }
        unordered @ (Fact::ResourceType(_)
        | Fact::Location(_)
        | Fact::AccessLevel(_)
        | Fact::Share(_)
        | Fact::PermissionLevel(_)
        | Fact::Psm(_)
        | Fact::Eligibility(_)
        | Fact::Assignment(_)) => unordered,
    }
}
