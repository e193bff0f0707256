//! What the last change sets of a tenant did, while somebody watches what comes of them.

use std::collections::VecDeque;
use std::sync::Arc;

use pdp_engine::facts::{Delta, Fact};
use pdp_engine::query::Revision;

/// How much the change sets that are kept may have changed together, in facts as they were and as they became
/// with what each of them lists: some megabytes, which a watcher who looks now and then goes through faster
/// than it works out anew what it watches.
const MAX_WEIGHT: usize = 65_536;

/// The last change sets, whole, one after the other.
pub(super) struct Recent {
    /// The revision behind which all of them are here.
    since: Revision,
    sets: VecDeque<(Revision, Arc<[Delta]>)>,
    weight: usize,
}

// === impl Recent ===

impl Recent {
    /// None yet.
    pub(super) fn since(revision: Revision) -> Self {
        Self { since: revision, sets: VecDeque::new(), weight: 0 }
    }

    /// Notes what led to a revision; `None` if that is not known, or if nobody watches.
    pub(super) fn note(&mut self, revision: Revision, deltas: Option<&[Delta]>) {
        let Some(deltas) = deltas.filter(|deltas| weight(deltas) <= MAX_WEIGHT) else {
            *self = Self::since(revision);
            return;
        };
        self.weight += weight(deltas);
        self.sets.push_back((revision, deltas.into()));
        while self.weight > MAX_WEIGHT
            && let Some((revision, deltas)) = self.sets.pop_front()
        {
            self.weight -= weight(&deltas);
            self.since = revision;
        }
    }

    /// Keeps nothing any more: nobody watches.
    pub(super) fn forget(&mut self) {
        *self = Self::since(self.sets.back().map_or(self.since, |(revision, _)| *revision));
    }

    /// What led from one revision to another; `None` if that is not all known any more.
    pub(super) fn between(&self, after: Revision, to: Revision) -> Option<Vec<Arc<[Delta]>>> {
        if after < self.since {
            return None;
        }
        let those = self.sets.iter().filter(|(revision, _)| after < *revision && *revision <= to);
        Some(those.map(|(_, deltas)| Arc::clone(deltas)).collect())
    }
}

/// How much deltas hold: each fact, and what it lists.
fn weight(deltas: &[Delta]) -> usize {
    let facts = |delta: &Delta| {
        let each = delta.before.iter().chain(&delta.after).map(|fact| 1 + listed(fact));
        each.sum::<usize>()
    };
    deltas.iter().map(|delta| 1 + facts(delta)).sum()
}

/// How many others a fact lists.
fn listed(fact: &Fact) -> usize {
    match fact {
        Fact::Person(it) => it.locations.len() + it.positions.len(),
        Fact::Account(it) => it.locations.len(),
        Fact::Group(it) => it.members.len() + it.positions.len() + it.locations.len(),
        Fact::SetGroup(it) => it.members.len() + it.locations.len(),
        Fact::ManagementRole(it) => it.members.len() + it.includes.len() + it.locations.len(),
        Fact::ManagementRoleDefinition(it) => it.locations.len(),
        Fact::BusinessRole(it) => it.locations.len(),
        Fact::Resource(it) => it.locations.len(),
        Fact::ResourceType(it) => it.operations.len() + it.rights.len(),
        Fact::ResourceGroup(it) => it.members.len(),
        Fact::AccessLevel(it) => it.operations.len() + it.rights.len(),
        Fact::Psm(it) => it.levels.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use pdp_engine::actor::{ActorRef, Group, Membership};
    use pdp_engine::facts::FactKey;
    use pdp_engine::id::{GroupId, PersonId};
    use pdp_engine::time::Window;

    use super::*;

    fn deltas(count: usize) -> Vec<Delta> {
        let key = FactKey::Person(PersonId::new("ana").unwrap());
        vec![Delta { key, before: None, after: None }; count]
    }

    #[test]
    fn what_is_not_all_known_is_not_told() {
        let at = Revision::new;
        let mut recent = Recent::since(at(4));
        let known = |recent: &Recent, after, to| {
            let sets = recent.between(at(after), at(to))?;
            Some(sets.iter().map(|set| set.len()).collect::<Vec<_>>())
        };
        recent.note(at(5), Some(&deltas(2)));
        recent.note(at(6), Some(&deltas(3)));
        assert_eq!(known(&recent, 3, 6), None);
        assert_eq!(known(&recent, 4, 6), Some(vec![2, 3]));
        assert_eq!(known(&recent, 5, 6), Some(vec![3]));
        assert_eq!(known(&recent, 4, 5), Some(vec![2]));
        assert_eq!(known(&recent, 6, 6), Some(vec![]));
        recent.note(at(7), Some(&deltas(MAX_WEIGHT - 3)));
        assert_eq!(known(&recent, 4, 7), None, "there is no room for so much");
        assert_eq!(known(&recent, 5, 7), Some(vec![3, MAX_WEIGHT - 3]));
        recent.note(at(8), Some(&deltas(MAX_WEIGHT + 1)));
        assert_eq!((known(&recent, 7, 8), known(&recent, 8, 8)), (None, Some(vec![])));
        recent.note(at(9), None);
        assert_eq!(known(&recent, 8, 9), None);
        recent.note(at(10), Some(&deltas(1)));
        recent.forget();
        assert_eq!((known(&recent, 9, 10), known(&recent, 10, 10)), (None, Some(vec![])));
    }

    #[test]
    fn a_fact_weighs_what_it_lists() {
        let of = ActorRef::Person(PersonId::new("ana").unwrap());
        let member = Membership { of, window: Window::ALWAYS };
        let id = GroupId::new("staff").unwrap();
        let group = Group {
            id: id.clone(),
            members: vec![member; MAX_WEIGHT / 2 - 2],
            positions: Vec::new(),
            default: false,
            locations: Vec::new(),
        };
        let group: Option<Fact> = Some(group.into());
        let delta = |before, after| [Delta { key: FactKey::Group(id.clone()), before, after }];
        let mut recent = Recent::since(Revision::new(1));
        recent.note(Revision::new(2), Some(&delta(None, group.clone())));
        assert!(recent.between(Revision::new(1), Revision::new(2)).is_some());
        recent.note(Revision::new(3), Some(&delta(group.clone(), group)));
        assert!(recent.between(Revision::new(1), Revision::new(3)).is_none());
        assert!(recent.between(Revision::new(2), Revision::new(3)).is_some());
    }
}
