//! What an account that asks has to do with sessions, in words, so that a rule which no random question
//! is about is noticed (P10 to P12).

use std::collections::BTreeSet;

use pdp_engine::actor::ActorRef;
use pdp_engine::facts::Facts;
use pdp_engine::id::AccountId;
use pdp_engine::query::Reason;
use pdp_engine::time::Timestamp;

use crate::oracle::{Existing, Oracle};

/// Everything that must occur where accounts ask beside sessions.
pub const SITUATIONS: [&str; 22] = [
    "P10 an account of the policy",
    "P10 a made account",
    "P10 by several sessions at once",
    "P11 at the instant it was opened",
    "P11 at the instant it ends",
    "P11 not opened yet",
    "P11 run out",
    "P11 an account whose session was closed",
    "P11 a kept account in no session",
    "P12 SUBJECT_DISABLED",
    "P12 PSM_DISABLED",
    "P12 LEVEL_NOT_OFFERED",
    "P12 LEVEL_NOT_MAPPED",
    "P12 EXCLUDED",
    "P12 NOT_ELIGIBLE",
    "P12 NO_ACCOUNT",
    "P12 NEEDS_APPROVAL",
    "P12 mapped to another group since",
    "P12 an account that is somebody else's by now",
    "P12 an account that is disabled by now",
    "P12 an account that was deleted",
    "P12 a name that the policy has taken",
];

/// What the account's sessions come to at an instant.
#[must_use]
pub fn situations(
    facts: &Facts,
    existing: &Existing,
    now: Timestamp,
    account: &AccountId,
) -> BTreeSet<String> {
    let oracle = Oracle::new(facts, now).beside(existing);
    let of_policy = facts.account(account);
    let is_made = existing.accounts.iter().any(|it| it.id == *account);
    let theirs: Vec<_> =
        existing.sessions.iter().filter(|it| it.account.as_ref() == Some(account)).collect();
    let mut found = BTreeSet::new();
    let mut note = |what: &str| {
        found.insert(what.to_owned());
    };
    let counting = oracle.memberships(account);
    if counting.len() > 1 {
        note("P10 by several sessions at once");
    }
    if !counting.is_empty() {
        let made = of_policy.is_none();
        note(if made { "P10 a made account" } else { "P10 an account of the policy" });
    }
    if is_made && theirs.is_empty() {
        note("P11 an account whose session was closed");
    }
    if is_made && of_policy.is_none() && !theirs.iter().any(|it| oracle.is_open(it)) {
        note("P11 a kept account in no session");
    }
    for session in theirs {
        let fate = oracle.fate(session);
        if fate == Ok(()) {
            if now == session.opened && session.opened < session.not_after {
                note("P11 at the instant it was opened");
            }
            if now == session.not_after {
                note("P11 at the instant it ends");
            } else if now > session.not_after {
                note("P11 run out");
            } else if now < session.opened {
                note("P11 not opened yet");
            }
        }
        let Some(reason) = fate.err().filter(|_| oracle.is_open(session)) else { continue };
        note(&format!("P12 {}", reason.as_str()));
        let psm = facts.psm().find(|psm| psm.computer == session.computer);
        let mapped = psm.zip(session.level.as_ref()).and_then(|(psm, level)| psm.levels.get(level));
        if reason == Reason::LevelNotMapped && mapped.is_some_and(Option::is_some) {
            note("P12 mapped to another group since");
        }
        if reason != Reason::NoAccount {
            continue;
        }
        match of_policy {
            Some(_) if is_made => note("P12 a name that the policy has taken"),
            Some(account) if account.owner.as_ref() != Some(&session.person) => {
                note("P12 an account that is somebody else's by now");
            }
            Some(account) if !account.enabled => note("P12 an account that is disabled by now"),
            None if !is_made => note("P12 an account that was deleted"),
            _ => {}
        }
    }
    found
}

/// The situations of whoever asks, if it is an account.
#[must_use]
pub fn of_asker(
    facts: &Facts,
    existing: &Existing,
    now: Timestamp,
    asker: &ActorRef,
) -> BTreeSet<String> {
    match asker {
        ActorRef::Account(id) => situations(facts, existing, now, id),
        _ => BTreeSet::new(),
    }
}
