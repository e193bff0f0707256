//! Computers that offer sessions, eligibilities by what they are for, and people's accounts on
//! computers (section 7).

use std::collections::HashMap;
use std::sync::Arc;

use crate::arena::{ActorIx, Lists, LocationIx, NativeIx, Patch, ResourceIx, Rows, Sets};
use crate::facts::Facts;
use crate::psm::{Eligibility, EligibilityScope, LOCAL_WINDOWS_SERVER, Psm};
use crate::snapshot::{Computer, Eligible, EligibleFor, EligibleOn, Offer, Sessions, Timed};

use super::handles::Handles;
use super::names::Names;

/// The groups that permission levels map to, each once and in order.
pub(super) fn natives(facts: &Facts, names: &Names) -> Rows<NativeIx, ActorIx> {
    let groups = facts.psm().flat_map(|psm| psm.levels.values().flatten());
    let mut groups: Vec<_> = groups.map(|group| names.group(group)).collect();
    groups.sort_unstable();
    groups.dedup();
    groups.into_iter().collect()
}

pub(super) fn compile(
    facts: &Facts,
    names: &Names,
    native_group: Rows<NativeIx, ActorIx>,
    native: Lists<NativeIx, ActorIx>,
    native_timed: Lists<NativeIx, Timed<ActorIx>>,
    natives_of: Sets<ActorIx, NativeIx>,
) -> Sessions {
    let mut native_of = Patch::default();
    native_group.iter().for_each(|(native, group)| native_of.set(*group, native));
    let native_group = native_group.into();
    let mut sessions = Sessions {
        native,
        native_timed,
        native_group,
        native_of,
        natives_of,
        ..Sessions::default()
    };
    for psm in facts.psm() {
        let settings = computer(psm, names, &sessions.native_of);
        sessions.computers.set(names.computer(&psm.computer), Some(Arc::new(settings)));
    }
    let mut on: HashMap<ResourceIx, Vec<Eligible>> = HashMap::new();
    let mut within: HashMap<LocationIx, Vec<Eligible>> = HashMap::new();
    let mut eligible_for = Vec::new();
    for eligibility in facts.eligibilities() {
        let InHandles { eligible, scope } = in_handles(eligibility, names);
        if let Some(eligible_for_it) = eligible_for_it(&eligible, scope) {
            eligible_for.push((eligible.to, eligible_for_it));
        }
        match scope {
            EligibleOn::Computer(computer) => on.entry(computer).or_default().push(eligible),
            EligibleOn::Within(location) => within.entry(location).or_default().push(eligible),
        }
    }
    eligible_for.sort_by(|(_, one), (_, other)| one.level.cmp(&other.level));
    sessions.eligible_for = Lists::from_pairs(names.actor_rows.len(), eligible_for);
    for (computer, mut list) in on {
        list.sort_by_key(|eligible| eligible.to);
        sessions.on.set(computer, list.into());
    }
    for (location, mut list) in within {
        list.sort_by_key(|eligible| eligible.to);
        sessions.within.set(location, list.into());
    }
    // In the order of the account ids, so that the first of a computer is the least.
    let mut accounts = Vec::new();
    for account in facts.accounts().filter(|account| account.enabled) {
        if let (Some(owner), Some(computer)) = (&account.owner, &account.computer) {
            let at = (names.computer(computer), account.id.clone());
            accounts.push((names.person(owner), at));
        }
    }
    sessions.accounts = Lists::from_pairs(names.actor_rows.len(), accounts);
    sessions
}

/// An eligibility in handles.
pub(super) struct InHandles {
    pub(super) eligible: Eligible,
    pub(super) scope: EligibleOn,
}

pub(super) fn in_handles(eligibility: &Eligibility, handles: &impl Handles) -> InHandles {
    let key = &eligibility.key;
    let eligible = Eligible {
        to: handles.actor(&key.to),
        level: key.level.clone(),
        kind: key.kind,
        window: eligibility.window,
    };
    let scope = match &key.scope {
        EligibilityScope::On(id) => EligibleOn::Computer(handles.computer(id)),
        EligibilityScope::In(location) => EligibleOn::Within(handles.location(location)),
    };
    InHandles { eligible, scope }
}

/// What an eligibility makes its actor eligible for, if it does.
pub(super) fn eligible_for_it(eligible: &Eligible, on: EligibleOn) -> Option<EligibleFor> {
    let (level, window) = (eligible.level.clone(), eligible.window);
    eligible.kind.makes_eligible().then_some(EligibleFor { level, on, window })
}

/// A computer's settings; every group that it maps to is among the natives.
pub(super) fn computer(
    psm: &Psm,
    handles: &impl Handles,
    natives: &Patch<ActorIx, NativeIx>,
) -> Computer {
    let makes_accounts = psm.account_store.as_deref() == Some(LOCAL_WINDOWS_SERVER);
    let offers = psm.levels.iter().map(|(level, group)| {
        let native = |group| natives.get(&handles.group(group)).copied();
        let group = group.as_ref().and_then(|group| Some((group.clone(), native(group)?)));
        (level.to_shared(), Offer { level: level.clone(), group })
    });
    Computer {
        id: psm.computer.clone(),
        enabled: psm.enabled,
        allow_unprivileged: psm.allow_unprivileged,
        jit: (psm.jit.enabled && makes_accounts).then_some(psm.jit),
        max_session_micros: psm.max_session_micros,
        max_concurrent: psm.max_concurrent,
        offers: Arc::new(offers.collect()),
    }
}
