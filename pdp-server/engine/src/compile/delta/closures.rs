//! Whom subjects and native groups count as, followed anew from where edges changed.

use std::collections::{BTreeSet, HashSet};

use crate::arena::{ActorIx, Handle, NativeIx, Sets};
use crate::snapshot::{Spent, Timed};

use super::super::actors::reached;
use super::super::budget::TooLarge;
use super::super::reach::Reach;
use super::draft::Draft;

/// How many subjects may count otherwise, at least, before it is cheaper to compile the whole policy.
const MANY_SUBJECTS: usize = 20_000;

/// The share of the actors that may count otherwise before it is cheaper to compile the whole policy, as a
/// divisor.
const SUBJECTS_SHARE: usize = 4;

/// Who counts as an actor, or does not any more: the actor, then who, then whether.
type Turn<H> = (ActorIx, H, bool);

// === impl Draft ===

impl Draft<'_> {
    /// Follows the edges anew from every subject and native group that reached, or was, something whose
    /// edges changed: whoever is to count otherwise reached the first changed edge before, too. `false` if
    /// those are too many.
    pub(super) fn count_anew(&mut self) -> Result<bool, TooLarge> {
        let mut subjects = std::mem::take(&mut self.recounted);
        let mut natives = std::mem::take(&mut self.new_natives);
        let limit = MANY_SUBJECTS.max(self.policy.subjects.len() / SUBJECTS_SHARE);
        for actor in std::mem::take(&mut self.turned) {
            subjects.extend(self.policy.cold.subjects_of.of(actor).iter());
            natives.extend(self.policy.psm.natives_of.of(actor).iter());
            if subjects.len() > limit {
                return Ok(false);
            }
        }
        if !subjects.is_empty() {
            self.count_subjects(&subjects)?;
        }
        if !natives.is_empty() {
            self.count_natives(&natives)?;
        }
        Ok(true)
    }

    fn count_subjects(&mut self, subjects: &BTreeSet<ActorIx>) -> Result<(), TooLarge> {
        let policy = &mut self.policy;
        let asks = policy.cold.asks_reached_positions;
        let mut reach = Reach::new(&policy.cold.edges, HashSet::new());
        let mut turns = Vec::new();
        for subject in subjects {
            let subject = *subject;
            let row = policy.subjects[subject];
            let before = (&policy.closure[subject], &policy.closure_timed[subject]);
            let reached_before = policy.reached_positions[subject].len();
            self.budget.give_back(Spent {
                closure: before.0.len() + reached_before,
                windows: before.1.len(),
                ..Spent::default()
            });
            reach.follow(row.enabled.then_some(subject), &mut self.budget)?;
            let timed: Vec<Timed<ActorIx>> = reach.timed().collect();
            turn(subject, before, (&reach.always, &timed), &mut turns);
            let at = match asks && row.is_person {
                true => reached(&policy.positions, &reach.always, &timed),
                false => Vec::new(),
            };
            self.budget.closure(at.len())?;
            if !at.is_empty() || reached_before > 0 {
                policy.reached_positions.set(subject, at);
            }
            if before.0 != reach.always {
                policy.closure.set(subject, reach.always.as_slice());
            }
            if policy.closure_timed[subject] != timed {
                policy.closure_timed.set(subject, timed);
            }
        }
        take_turns(&mut policy.cold.subjects_of, turns);
        Ok(())
    }

    fn count_natives(&mut self, natives: &BTreeSet<NativeIx>) -> Result<(), TooLarge> {
        let policy = &mut self.policy;
        let mut reach = Reach::new(&policy.cold.edges, HashSet::new());
        let mut turns = Vec::new();
        for native in natives {
            let native = *native;
            let before = (&policy.psm.native[native], &policy.psm.native_timed[native]);
            let (closure, windows) = (before.0.len(), before.1.len());
            self.budget.give_back(Spent { closure, windows, ..Spent::default() });
            reach.follow(Some(policy.psm.native_group[native]), &mut self.budget)?;
            let timed: Vec<Timed<ActorIx>> = reach.timed().collect();
            turn(native, before, (&reach.always, &timed), &mut turns);
            policy.psm.native.set(native, reach.always.as_slice());
            policy.psm.native_timed.set(native, timed);
        }
        take_turns(&mut policy.psm.natives_of, turns);
        Ok(())
    }
}

/// What a subject or a native group counts as: always, and at times.
type Closure<'a> = (&'a [ActorIx], &'a [Timed<ActorIx>]);

/// Tells as what somebody counts and did not before, and the other way round.
fn turn<H: Handle>(who: H, before: Closure<'_>, after: Closure<'_>, turns: &mut Vec<Turn<H>>) {
    if before == after {
        return;
    }
    let [before, after] = [before, after].map(|(always, timed)| {
        let all = always.iter().copied().chain(timed.iter().map(|timed| timed.item));
        all.collect::<BTreeSet<ActorIx>>()
    });
    turns.extend(before.difference(&after).map(|actor| (*actor, who, false)));
    turns.extend(after.difference(&before).map(|actor| (*actor, who, true)));
}

fn take_turns<H: Handle>(sets: &mut Sets<ActorIx, H>, mut turns: Vec<Turn<H>>) {
    turns.sort_unstable();
    for turns in turns.chunk_by(|one, other| one.0 == other.0) {
        let Some((actor, _, _)) = turns.first() else { continue };
        sets.edit(*actor, |set| {
            for (_, who, counts) in turns {
                match counts {
                    true => set.insert(*who),
                    false => set.remove(*who),
                }
            }
        });
    }
}
