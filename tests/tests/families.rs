//! Delegations, vault actions and sessions are decided as the oracle decides them, and explained by
//! facts, on random worlds (semantics, sections 5 to 8).

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::fmt::Debug;
use std::sync::Mutex;

use pdp_engine::actor::ActorRef;
use pdp_engine::compile::compile;
use pdp_engine::delegate::{DelegationAction, check_delegation, explain_delegation};
use pdp_engine::level::Scope;
use pdp_engine::query::{Decision, Effect, Malformed, Reason, Revision, SubjectRef};
use pdp_engine::session::{AccountMode, Obligations, check_session, explain_session};
use pdp_engine::vault::{check_vault, explain_vault};
use pdp_tests::oracle::{Answer, Oracle, Refused};
use pdp_tests::proof::for_worlds;
use pdp_tests::tally::{DELEGATION_REASONS, FamilyTally, SESSION_REASONS, VAULT_REASONS};
use pdp_tests::verify::Verifier;
use pdp_tests::world::OwnedDelegation;

const REVISION: Revision = Revision::new(9);

/// What must be asked about at least this often, in per cent of the decisions.
const RAREST: f64 = 0.2;

/// The engine's answer; checking and explaining must agree on it, and name the revision.
fn agreed<T: PartialEq + Debug>(
    checked: Result<T, Malformed>,
    explained: Result<T, Malformed>,
    decision: impl Fn(&T) -> Decision,
) -> Result<Result<(Answer, T), Refused>, String> {
    if checked != explained {
        return Err(format!("the check says {checked:?}, the explanation {explained:?}"));
    }
    let Ok(decided) = checked else { return Ok(Err(Refused)) };
    let Decision { effect, reason, revision } = decision(&decided);
    if revision != REVISION {
        return Err(format!("the decision names revision {revision}"));
    }
    Ok(Ok(((effect, reason), decided)))
}

fn same<T: PartialEq + Debug>(expected: &T, actual: &T) -> Result<(), String> {
    if expected == actual {
        return Ok(());
    }
    Err(format!("the oracle says {expected:?}, the engine {actual:?}"))
}

#[test]
fn delegations_are_decided_as_the_oracle_does() {
    let total = Mutex::new(FamilyTally::default());
    for_worlds(6_000, 120, |genome| {
        let facts = genome.facts();
        let existing = genome.existing(&facts);
        let snapshot = compile(&facts, REVISION).with_sessions(existing.open());
        let mut tally = FamilyTally::default();
        for (question, now) in genome.delegations(&facts) {
            let asked = question.ask();
            let oracle = Oracle::new(&facts, now).beside(&existing);
            let expected = oracle.decide_delegation(&asked);
            let explanation = explain_delegation(&snapshot, &asked, now);
            let outcome = || -> Result<(), String> {
                let actual = agreed(
                    check_delegation(&snapshot, &asked, now),
                    explanation.as_ref().map(|it| it.decision).map_err(Clone::clone),
                    |decision| *decision,
                )?;
                same(&expected, &actual.map(|(answer, _)| answer))?;
                if let Ok(explanation) = &explanation {
                    Verifier::new(&facts, now).beside(&existing).delegation(&asked, explanation)?;
                }
                Ok(())
            };
            outcome().map_err(|why| {
                format!("{question:?} at {}: {why}\n{explanation:#?}", now.as_micros())
            })?;
            match expected {
                Ok((effect, reason)) => {
                    let roots = facts.locations().filter(|it| it.parent.is_none()).count();
                    tally.note(reason, about(&question, effect, reason, roots));
                }
                Err(Refused) => tally.note_refused(),
            }
        }
        total.lock().unwrap().add(&tally);
        Ok(())
    });
    let others = [
        "grant ALLOW on",
        "grant ALLOW in",
        "grant ALLOW relative",
        "revoke ALLOW on",
        "revoke ALLOW in",
        "revoke ALLOW relative",
        "unrouted",
        "ALLOW to person",
        "ALLOW to account",
        "ALLOW to group",
        "ALLOW to set_group",
        "ALLOW to business_role",
        "ALLOW to management_role",
        "ALLOW to management_role_definition",
        "ALLOW over several roots",
        "denied on",
        "denied in",
        "denied relative",
        "SELF_DELEGATION by an account",
    ];
    total.into_inner().unwrap().hold(&DELEGATION_REASONS, &others, RAREST);
}

fn about(question: &OwnedDelegation, effect: Effect, reason: Reason, roots: usize) -> Vec<String> {
    let action = match question.action {
        DelegationAction::Grant => "grant",
        DelegationAction::Revoke => "revoke",
    };
    let scope = match question.scope {
        Scope::On(_) => "on",
        Scope::In(_) => "in",
        Scope::Relative(_) => "relative",
    };
    let mut found = vec![format!("{action} {} {scope}", effect.as_str())];
    if effect == Effect::Allow {
        found.push(format!("ALLOW to {}", question.recipient.kind()));
        if roots > 1 && scope == "relative" {
            found.push("ALLOW over several roots".to_owned());
        }
    }
    if reason == Reason::ExplicitDeny {
        found.push(format!("denied {scope}"));
    }
    if reason == Reason::SelfDelegation
        && matches!(question.delegator.ask(), SubjectRef::Account(_))
    {
        found.push("SELF_DELEGATION by an account".to_owned());
    }
    let missing = [Reason::MissingOnBoth, Reason::MissingOnRecipient, Reason::MissingOnResource];
    if effect == Effect::Deny && missing.contains(&reason) {
        found.push("unrouted".to_owned());
    }
    found
}

#[test]
fn vault_actions_are_decided_as_the_oracle_does() {
    let total = Mutex::new(FamilyTally::default());
    for_worlds(6_000, 120, |genome| {
        let facts = genome.facts();
        let existing = genome.existing(&facts);
        let snapshot = compile(&facts, REVISION).with_sessions(existing.open());
        let mut tally = FamilyTally::default();
        for (question, now) in genome.vault(&facts) {
            let asked = question.ask();
            let oracle = Oracle::new(&facts, now).beside(&existing);
            let expected = oracle.decide_vault(&asked);
            let explanation = explain_vault(&snapshot, &asked, now);
            let outcome = || -> Result<(), String> {
                let actual = agreed(
                    check_vault(&snapshot, &asked, now),
                    explanation.as_ref().map(|it| it.decision).map_err(Clone::clone),
                    |decision| *decision,
                )?;
                same(&expected, &actual.map(|(answer, _)| answer))?;
                if let Ok(explanation) = &explanation {
                    Verifier::new(&facts, now).beside(&existing).vault(&asked, explanation)?;
                }
                Ok(())
            };
            outcome().map_err(|why| {
                format!("{question:?} at {}: {why}\n{explanation:#?}", now.as_micros())
            })?;
            match (expected, explanation) {
                (Ok((_, reason)), Ok(explanation)) => {
                    let ruling = explanation.ruling.map(|ruling| {
                        use pdp_engine::vault::Ruling;
                        match ruling {
                            Ruling::Owner(_) => "ruling owner".to_owned(),
                            Ruling::FullAnywhere => "ruling full".to_owned(),
                            Ruling::NearestLayer { layer, personal, level } => {
                                let whose = if personal { "personal" } else { "groups" };
                                format!("ruling layer {layer} {whose} {}", level.as_str())
                            }
                        }
                    });
                    tally.note(reason, ruling);
                }
                _ => tally.note_refused(),
            }
        }
        total.lock().unwrap().add(&tally);
        Ok(())
    });
    let others = ["ruling owner", "ruling full", "ruling layer 2 groups view"];
    total.into_inner().unwrap().hold(&VAULT_REASONS, &others, RAREST);
}

#[test]
fn sessions_are_decided_as_the_oracle_does() {
    let total = Mutex::new(FamilyTally::default());
    for_worlds(6_000, 120, |genome| {
        let facts = genome.facts();
        let snapshot = compile(&facts, REVISION);
        let mut tally = FamilyTally::default();
        for (question, existing, now) in genome.sessions(&facts) {
            let asked = question.ask();
            let snapshot = snapshot.with_sessions(existing.open());
            let oracle = Oracle::new(&facts, now).beside(&existing);
            let expected = oracle.decide_session(&asked);
            let explanation = explain_session(&snapshot, &asked, now);
            let outcome = || -> Result<(), String> {
                let actual = agreed(
                    check_session(&snapshot, &asked, now),
                    explanation.as_ref().map(|it| it.decided.clone()).map_err(Clone::clone),
                    |decided| decided.decision,
                )?;
                let actual = actual.map(|(answer, decided)| (answer, decided.obligations));
                same(&expected, &actual)?;
                if let Ok(explanation) = &explanation {
                    Verifier::new(&facts, now).beside(&existing).session(&asked, explanation)?;
                }
                Ok(())
            };
            outcome().map_err(|why| {
                format!(
                    "{question:?} at {} with {existing}: {why}\n{explanation:#?}",
                    now.as_micros()
                )
            })?;
            match expected {
                Ok(((_, reason), obligations)) => {
                    tally.note(reason, obligations.iter().flat_map(|it| duties(it, now)));
                }
                Err(Refused) => tally.note_refused(),
            }
        }
        total.lock().unwrap().add(&tally);
        Ok(())
    });
    let others =
        ["EXISTING", "JIT_NEW", "JIT_REUSE", "deletes the account", "unprivileged", "cut short"];
    total.into_inner().unwrap().hold(&SESSION_REASONS, &others, RAREST);
}

fn duties(obligations: &Obligations, now: pdp_engine::time::Timestamp) -> Vec<String> {
    let mut found = Vec::new();
    match &obligations.privileged {
        None => found.push("unprivileged".to_owned()),
        Some(privileged) => {
            found.push(match privileged.account {
                AccountMode::Existing(_) => "EXISTING".to_owned(),
                AccountMode::JitNew => "JIT_NEW".to_owned(),
                AccountMode::JitReuse(_) => "JIT_REUSE".to_owned(),
            });
            if privileged.delete_account {
                found.push("deletes the account".to_owned());
            }
            // The lengths that computers set; anything else was an end of something in the policy.
            let lasts = obligations.not_after.as_micros().saturating_sub(now.as_micros());
            if ![1, 5, 11, 1_000, 8 * 3_600_000_000, 250_000_000_000_000_000].contains(&lasts) {
                found.push("cut short".to_owned());
            }
        }
    }
    found
}

/// Only people open sessions (P2), whatever an account is eligible for.
#[test]
fn an_account_opens_no_session() {
    for_worlds(200, 30, |genome| {
        let facts = genome.facts();
        let snapshot = compile(&facts, REVISION);
        for (mut question, existing, now) in genome.sessions(&facts) {
            let Some(account) = facts.accounts().next() else { continue };
            question.subject =
                pdp_tests::world::OwnedSubject::new(&ActorRef::Account(account.id.clone()));
            let snapshot = snapshot.with_sessions(existing.open());
            let decided = check_session(&snapshot, &question.ask(), now);
            if decided.is_ok_and(|it| it.decision.effect != Effect::Deny) {
                return Err(format!("{question:?} is not denied"));
            }
        }
        Ok(())
    });
}
