//! Applying a change set: all of it, or nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;

use super::cascade::{Consequence, Referrers, consequences, naming};
use super::rejection::{Problem, Rejected, Rejection};
use super::validate::resulting_state;
use super::{Change, Fact, FactKey, Facts};
use crate::resource::ResourceType;

/// From how many changes on it is worth trying to fill an empty policy in one go.
const WORTH_GATHERING: usize = 1 << 12;

/// How many cascades of a change set look through the policy, before who names whom is noted.
const FEW_CASCADES: usize = 4;

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
    /// How many cascades there were.
    cascades: usize,
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
        self.apply_on(NonZeroUsize::MIN, changes)
    }

    /// The same, where a first change set may be checked by so many threads.
    ///
    /// # Errors
    /// As [`Facts::apply`].
    pub fn apply_on(
        &mut self,
        threads: NonZeroUsize,
        changes: &[Change],
    ) -> Result<Applied, Rejected> {
        if self.is_empty() && changes.len() > WORTH_GATHERING {
            // Whatever is wrong, going step by step says of which change.
            if let Some(applied) = self.fill(threads, changes) {
                return Ok(applied);
            }
        }
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

    /// Applies a first change set in one go, if it does nothing but put facts that fit together.
    fn fill(&mut self, threads: NonZeroUsize, changes: &[Change]) -> Option<Applied> {
        let mut types = BTreeSet::new();
        let mut facts = Vec::with_capacity(changes.len());
        for change in changes {
            let Change::Put(fact) = change else { return None };
            // One that is declared twice adds to itself.
            if let Fact::ResourceType(declared) = fact
                && !types.insert(&declared.name)
            {
                return None;
            }
            facts.push(normalized(fact.clone()));
        }
        let filled = Self::gathered(facts);
        let journal = Journal { whole: true, ..Journal::default() };
        if !resulting_state(&filled, &journal, threads).is_empty() {
            return None;
        }
        *self = filled;
        let created = |fact: Fact| Delta { key: fact.key(), before: None, after: Some(fact) };
        Some(Applied { deltas: self.iter().map(created).collect() })
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
        let key = deleted.key();
        journal.cascades += 1;
        let consequences = if journal.cascades <= FEW_CASCADES {
            consequences(self, deleted, naming(self, &key).iter())
        } else {
            let referrers = journal.referrers.get_or_insert_with(|| Referrers::new(self));
            consequences(self, deleted, referrers.of(&key))
        };
        for (referrer, consequence) in consequences {
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

/// Lists that mean the same are stored the same: sorted, without repetitions. A fact whose lists are so
/// already stays shared with whoever gave it.
fn normalized(mut fact: Fact) -> Fact {
    match &mut fact {
        Fact::Person(person) => {
            tidy(person, |it| &it.locations, |it| &mut it.locations);
            tidy(person, |it| &it.positions, |it| &mut it.positions);
        }
        Fact::Account(account) => tidy(account, |it| &it.locations, |it| &mut it.locations),
        Fact::Group(group) => {
            tidy(group, |it| &it.members, |it| &mut it.members);
            tidy(group, |it| &it.positions, |it| &mut it.positions);
            tidy(group, |it| &it.locations, |it| &mut it.locations);
        }
        Fact::SetGroup(group) => {
            tidy(group, |it| &it.members, |it| &mut it.members);
            tidy(group, |it| &it.locations, |it| &mut it.locations);
        }
        Fact::ManagementRoleDefinition(definition) => {
            tidy(definition, |it| &it.locations, |it| &mut it.locations);
        }
        Fact::ManagementRole(role) => {
            tidy(role, |it| &it.members, |it| &mut it.members);
            tidy(role, |it| &it.includes, |it| &mut it.includes);
            tidy(role, |it| &it.locations, |it| &mut it.locations);
        }
        Fact::BusinessRole(role) => tidy(role, |it| &it.locations, |it| &mut it.locations),
        Fact::Resource(resource) => tidy(resource, |it| &it.locations, |it| &mut it.locations),
        Fact::ResourceGroup(group) => tidy(group, |it| &it.members, |it| &mut it.members),
        Fact::ResourceType(_)
        | Fact::Location(_)
        | Fact::AccessLevel(_)
        | Fact::Share(_)
        | Fact::PermissionLevel(_)
        | Fact::Psm(_)
        | Fact::Eligibility(_)
        | Fact::Assignment(_) => {}
    }
    fact
}

fn tidy<F: Clone, T: Ord>(
    fact: &mut Arc<F>,
    list: impl Fn(&F) -> &Vec<T>,
    list_mut: impl Fn(&mut F) -> &mut Vec<T>,
) {
    if !list(fact).is_sorted_by(|one, next| one < next) {
        let list = list_mut(Arc::make_mut(fact));
        list.sort();
        list.dedup();
    }
}
