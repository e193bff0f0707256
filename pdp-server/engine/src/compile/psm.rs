//! Computers that offer sessions, eligibilities by what they are for, and people's accounts on
//! computers (section 7).

use std::collections::HashMap;

use crate::actor::ActorRef;
use crate::arena::{ActorIx, Lists, NativeIx, Table};
use crate::facts::Facts;
use crate::id::GroupId;
use crate::psm::{EligibilityScope, LOCAL_WINDOWS_SERVER, Psm};
use crate::resource::ResourceRef;
use crate::snapshot::{Computer, Eligible, EligibleFor, EligibleOn, Offer, Sessions, Timed};

use super::names::Names;

/// The groups that permission levels map to, each once and in order.
pub(super) fn natives(facts: &Facts, names: &Names) -> Table<NativeIx, ActorIx> {
    let groups = facts.psm().flat_map(|psm| psm.levels.values().flatten());
    let mut groups: Vec<_> = groups.map(|group| actor(names, group)).collect();
    groups.sort_unstable();
    groups.dedup();
    groups.into_iter().collect()
}

pub(super) fn compile(
    facts: &Facts,
    names: &Names,
    native_group: Table<NativeIx, ActorIx>,
    native: Lists<NativeIx, ActorIx>,
    native_timed: Lists<NativeIx, Timed<ActorIx>>,
) -> Sessions {
    let natives = native_group.iter().map(|(native, group)| (*group, native)).collect();
    let native_of =
        native_group.iter().filter_map(|(native, group)| match &names.actor_rows[*group] {
            ActorRef::Group(id) => Some((id.to_shared(), native)),
            _ => None,
        });
    let native_of = native_of.collect();
    let mut sessions =
        Sessions { native, native_timed, native_group, native_of, ..Sessions::default() };
    for psm in facts.psm() {
        let computer = names.resources[&ResourceRef::computer(&psm.computer)];
        sessions.computers.insert(computer, self::computer(psm, names, &natives));
    }
    let mut eligible_for = Vec::new();
    for eligibility in facts.eligibilities() {
        let key = &eligibility.key;
        let eligible = Eligible {
            to: names.actors[&key.to],
            level: key.level.clone(),
            kind: key.kind,
            window: eligibility.window,
        };
        let (to, window) = (eligible.to, eligible.window);
        let on = match &key.scope {
            EligibilityScope::On(id) => {
                let computer = names.resources[&ResourceRef::computer(id)];
                sessions.on.entry(computer).or_default().push(eligible);
                EligibleOn::Computer(computer)
            }
            EligibilityScope::In(location) => {
                let location = names.locations[location];
                sessions.within.entry(location).or_default().push(eligible);
                EligibleOn::Within(location)
            }
        };
        if key.kind.makes_eligible() {
            eligible_for.push((to, EligibleFor { level: key.level.clone(), on, window }));
        }
    }
    eligible_for.sort_by(|(_, one), (_, other)| one.level.cmp(&other.level));
    sessions.eligible_for = Lists::from_pairs(names.actor_rows.len(), eligible_for);
    for list in sessions.on.values_mut().chain(sessions.within.values_mut()) {
        list.sort_by_key(|eligible| eligible.to);
    }
    // In the order of the account ids, so that the first of a computer is the least.
    let mut accounts = Vec::new();
    for account in facts.accounts().filter(|account| account.enabled) {
        if let (Some(owner), Some(computer)) = (&account.owner, &account.computer) {
            let owner = names.actors[&ActorRef::Person(owner.clone())];
            let computer = names.resources[&ResourceRef::computer(computer)];
            let account = names.actors[&ActorRef::Account(account.id.clone())];
            accounts.push((owner, (computer, account)));
        }
    }
    sessions.accounts = Lists::from_pairs(names.subjects, accounts);
    sessions
}

fn actor(names: &Names, group: &GroupId) -> ActorIx {
    names.actors[&ActorRef::Group(group.clone())]
}

fn computer(psm: &Psm, names: &Names, natives: &HashMap<ActorIx, NativeIx>) -> Computer {
    let makes_accounts = psm.account_store.as_deref() == Some(LOCAL_WINDOWS_SERVER);
    Computer {
        enabled: psm.enabled,
        allow_unprivileged: psm.allow_unprivileged,
        jit: (psm.jit.enabled && makes_accounts).then_some(psm.jit),
        max_session_micros: psm.max_session_micros,
        max_concurrent: psm.max_concurrent,
        offers: psm
            .levels
            .iter()
            .map(|(level, group)| {
                let native = |group: &GroupId| natives.get(&actor(names, group)).copied();
                let group = group.as_ref().and_then(|group| Some((group.clone(), native(group)?)));
                (level.to_shared(), Offer { level: level.clone(), group })
            })
            .collect(),
    }
}
