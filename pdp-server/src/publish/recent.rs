//! What the last change sets of a tenant did, while somebody watches what comes of them.

use std::collections::VecDeque;
use std::sync::Arc;

use pdp_engine::facts::Delta;
use pdp_engine::query::Revision;

/// How many facts the change sets that are kept may have changed together: what a watcher who looks now and
/// then goes through faster than it works out anew what it watches.
const MAX_FACTS: usize = 4_096;

/// The last change sets, whole, one after the other.
pub(super) struct Recent {
    /// The revision behind which all of them are here.
    since: Revision,
    sets: VecDeque<(Revision, Arc<[Delta]>)>,
    facts: usize,
}

// === impl Recent ===

impl Recent {
    /// None yet.
    pub(super) fn since(revision: Revision) -> Self {
        Self { since: revision, sets: VecDeque::new(), facts: 0 }
    }

    /// Notes what led to a revision; `None` if that is not known, or if nobody watches.
    pub(super) fn note(&mut self, revision: Revision, deltas: Option<&[Delta]>) {
        let Some(deltas) = deltas.filter(|deltas| deltas.len() <= MAX_FACTS) else {
            *self = Self::since(revision);
            return;
        };
        self.facts += deltas.len();
        self.sets.push_back((revision, deltas.into()));
        while self.facts > MAX_FACTS
            && let Some((revision, deltas)) = self.sets.pop_front()
        {
            self.facts -= deltas.len();
            self.since = revision;
        }
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

#[cfg(test)]
mod tests {
    use pdp_engine::facts::FactKey;
    use pdp_engine::id::PersonId;

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
        recent.note(at(7), Some(&deltas(MAX_FACTS - 3)));
        assert_eq!(known(&recent, 4, 7), None, "there is no room for so much");
        assert_eq!(known(&recent, 5, 7), Some(vec![3, MAX_FACTS - 3]));
        recent.note(at(8), Some(&deltas(MAX_FACTS + 1)));
        assert_eq!((known(&recent, 7, 8), known(&recent, 8, 8)), (None, Some(vec![])));
        recent.note(at(9), None);
        assert_eq!(known(&recent, 8, 9), None);
    }
}
