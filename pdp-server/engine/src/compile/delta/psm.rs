//! Computers that offer sessions, eligibilities, and people's accounts on computers.

use std::sync::Arc;

use crate::actor::ActorRef;
use crate::arena::{ActorIx, Patch};
use crate::id::{GroupId, PersonId};
use crate::psm::{Eligibility, Psm};
use crate::snapshot::{Eligible, EligibleOn};

use super::super::handles::Handles;
use super::super::psm::{InHandles, computer, eligible_for_it, in_handles};
use super::draft::{Between, Draft};

// === impl Draft ===

impl Draft<'_> {
    pub(super) fn change_psm(&mut self, psm: Between<'_, Psm>) {
        let Some(either) = psm.either() else { return };
        let object = self.computer(&either.computer);
        if let Some(after) = psm.after {
            after.levels.values().flatten().for_each(|group| self.name_native(group));
        }
        let settings =
            psm.after.map(|psm| Arc::new(computer(psm, self, &self.policy.psm.native_of)));
        self.policy.psm.computers.set(object, settings);
    }

    /// A native group keeps its handle even when no level maps to it any more.
    fn name_native(&mut self, group: &GroupId) {
        let actor = self.group(group);
        let psm = &mut self.policy.psm;
        if psm.native_of.get(&actor).is_none() {
            let native = psm.native_group.push(actor);
            psm.native_of.set(actor, native);
            psm.native.push(Vec::new());
            psm.native_timed.push(Vec::new());
            self.new_natives.insert(native);
        }
    }

    pub(super) fn change_eligibility(&mut self, eligibility: Between<'_, Eligibility>) {
        let Some(either) = eligibility.either() else { return };
        let InHandles { eligible, scope } = in_handles(either, self);
        let psm = &mut self.policy.psm;
        let after = eligibility.after.map(|_| eligible.clone());
        match scope {
            EligibleOn::Computer(computer) => {
                replace(&mut psm.on, computer, &eligible, after);
            }
            EligibleOn::Within(location) => {
                replace(&mut psm.within, location, &eligible, after);
            }
        }
        // Of one actor, level and scope there may be one of each kind, each with its window.
        let mut list = psm.eligible_for[eligible.to].to_vec();
        if let Some(before) = eligibility.before {
            let is_it = |(level, on, window)| {
                (level, on, window) == (&eligible.level, scope, before.window)
            };
            let gone = list.iter().position(|it| is_it((&it.level, it.on, it.window)));
            if let Some(gone) = gone.filter(|_| eligible.kind.makes_eligible()) {
                list.remove(gone);
            }
        }
        if let Some(it) = eligibility.after.and_then(|_| eligible_for_it(&eligible, scope)) {
            let at = list.partition_point(|other| other.level <= it.level);
            list.insert(at, it);
        }
        psm.eligible_for.set(eligible.to, list);
    }

    /// The enabled accounts that a person owns on computers, by account id.
    pub(super) fn accounts_of(&mut self, owner: &PersonId) {
        let owner = self.person(owner);
        let accounts = self.policy.cold.owned.of(owner).iter().filter_map(|account| {
            let ActorRef::Account(id) = &self.policy.cold.actors[account] else { return None };
            let fact = self.facts.account(id).filter(|fact| fact.enabled)?;
            Some((self.computer(fact.computer.as_ref()?), id.clone()))
        });
        let mut accounts: Vec<_> = accounts.collect();
        accounts.sort_by(|(_, one), (_, other)| one.cmp(other));
        self.policy.psm.accounts.set(owner, accounts);
    }
}

/// Replaces an eligibility among others that are sorted by actor.
fn replace<H: Eq + std::hash::Hash>(
    lists: &mut Patch<H, Arc<[Eligible]>>,
    at: H,
    before: &Eligible,
    after: Option<Eligible>,
) {
    let mut list = lists.get(&at).map(|list| list.to_vec()).unwrap_or_default();
    let key = |it: &Eligible| (it.to, it.level.clone(), it.kind);
    let wanted: (ActorIx, _, _) = key(before);
    list.retain(|it| key(it) != wanted);
    if let Some(after) = after {
        let at = list.partition_point(|other| other.to <= after.to);
        list.insert(at, after);
    }
    lists.set(at, list.into());
}
