//! Computers that offer sessions, eligibilities by what they are for, and people's accounts on
//! computers (section 7).

use crate::actor::ActorRef;
use crate::arena::Lists;
use crate::facts::Facts;
use crate::psm::{EligibilityScope, LOCAL_WINDOWS_SERVER, Psm};
use crate::resource::ResourceRef;
use crate::snapshot::{Computer, Eligible, EligibleFor, EligibleOn, Offer, Sessions};

use super::names::Names;

pub(super) fn compile(facts: &Facts, names: &Names) -> Sessions {
    let mut sessions = Sessions::default();
    for psm in facts.psm() {
        let computer = names.resources[&ResourceRef::computer(&psm.computer)];
        sessions.computers.insert(computer, self::computer(psm));
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

fn computer(psm: &Psm) -> Computer {
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
                (level.to_shared(), Offer { level: level.clone(), group: group.clone() })
            })
            .collect(),
    }
}
