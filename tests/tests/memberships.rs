//! Accounts in sessions are decided about as the oracle does, in every family, and every situation of
//! P10 to P12 occurs; renewing a session says what the oracle says of it (semantics, section 7).

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Mutex;

use pdp_engine::actor::ActorRef;
use pdp_engine::check::check;
use pdp_engine::compile::compile;
use pdp_engine::delegate::check_delegation;
use pdp_engine::facts::Facts;
use pdp_engine::query::{Decision, Malformed, Reason, Revision, SubjectRef};
use pdp_engine::session::{OpenSessions, recheck};
use pdp_engine::time::Timestamp;
use pdp_engine::vault::check_vault;
use pdp_tests::oracle::{Answer, Existing, Oracle, Refused, subject};
use pdp_tests::proof::{for_worlds, least_seen};
use pdp_tests::situation::{SITUATIONS, of_asker};
use pdp_tests::world::{INSTANTS, at};

const REVISION: Revision = Revision::new(5);

/// How often each thing was seen.
#[derive(Default)]
struct Seen(Mutex<BTreeMap<String, u64>>);

impl Seen {
    fn note(&self, keys: impl IntoIterator<Item = String>) {
        let mut seen = self.0.lock().unwrap();
        keys.into_iter().for_each(|key| *seen.entry(key).or_default() += 1);
    }

    /// Each of these was seen, and often enough to mean something.
    fn hold(&self, keys: &[&str], least: u64) {
        let seen = self.0.lock().unwrap();
        for (key, count) in &*seen {
            println!("{key:<55} {count:>9}");
        }
        for key in keys {
            let count = seen.get(*key).copied().unwrap_or_default();
            assert!(count >= least_seen(least), "{key}: only {count}");
        }
    }
}

/// The answers with the sessions, and without any, of the oracle and of the engine.
struct Answers {
    family: &'static str,
    asker: Result<ActorRef, Refused>,
    oracle: [Result<Answer, Refused>; 2],
    engine: [Result<Decision, Malformed>; 2],
}

impl Answers {
    /// The engine says what the oracle says; what is seen of the account that asks.
    fn compared(
        self,
        facts: &Facts,
        existing: &Existing,
        now: Timestamp,
    ) -> Result<Vec<String>, String> {
        let Self { family, asker, oracle, engine } = self;
        let engine = engine.map(|it| it.map(|it| (it.effect, it.reason)).map_err(|_| Refused));
        if engine != oracle {
            return Err(format!("beside the sessions and alone: {oracle:?}, not {engine:?}"));
        }
        let Ok(asker) = asker else { return Ok(Vec::new()) };
        let mut found: Vec<String> = of_asker(facts, existing, now, &asker).into_iter().collect();
        let [beside, alone] = oracle;
        if beside != alone {
            let reason = beside.map(|(_, reason)| reason);
            let reason = reason.map_or("refused", Reason::as_str);
            let alone = alone.map_or("refused", |(_, reason)| reason.as_str());
            found.push(format!("{family}: {reason} in place of {alone}"));
        }
        // Nothing else changes for people: only that an account made for a session is known.
        let knows = [Reason::UnknownResource, Reason::UnknownRecipient];
        let learns = matches!(alone, Ok((_, reason)) if knows.contains(&reason));
        if matches!(asker, ActorRef::Person(_)) && beside != alone && !learns {
            return Err(format!("{asker} gets {beside:?} by a session, and else {alone:?}"));
        }
        Ok(found)
    }
}

#[test]
fn accounts_in_sessions_are_decided_about_as_the_oracle_does() {
    let seen = Seen::default();
    for_worlds(4_000, 40, |genome| {
        let facts = genome.facts();
        let existing = genome.existing(&facts);
        let alone = compile(&facts, REVISION);
        let beside = alone.with_sessions(existing.open());
        let oracles = |now| [Oracle::new(&facts, now).beside(&existing), Oracle::new(&facts, now)];
        let hold = |question: &dyn Debug, now: Timestamp, answers: Answers| {
            let found = answers.compared(&facts, &existing, now).map_err(|why| {
                format!("{question:?} at {} beside {existing}: {why}", now.as_micros())
            })?;
            seen.note(found);
            Ok::<(), String>(())
        };
        for (question, now) in genome.questions(&facts) {
            let asked = question.ask();
            let answers = Answers {
                family: "access",
                asker: subject(asked.subject),
                oracle: oracles(now).map(|oracle| oracle.decide(&asked)),
                engine: [&beside, &alone].map(|it| check(it, &asked, now)),
            };
            hold(&question, now, answers)?;
        }
        for (question, now) in genome.delegations(&facts) {
            let asked = question.ask();
            let answers = Answers {
                family: "delegation",
                asker: subject(asked.delegator),
                oracle: oracles(now).map(|oracle| oracle.decide_delegation(&asked)),
                engine: [&beside, &alone].map(|it| check_delegation(it, &asked, now)),
            };
            hold(&question, now, answers)?;
        }
        for (question, now) in genome.vault(&facts) {
            let asked = question.ask();
            let answers = Answers {
                family: "vault",
                asker: subject(asked.subject),
                oracle: oracles(now).map(|oracle| oracle.decide_vault(&asked)),
                engine: [&beside, &alone].map(|it| check_vault(it, &asked, now)),
            };
            hold(&question, now, answers)?;
        }
        Ok(())
    });
    seen.hold(&SITUATIONS, 10);
    let decided = [
        "access: GRANTED in place of NOT_GRANTED",
        "access: EXPLICIT_DENY in place of UNKNOWN_SUBJECT",
        "access: DISABLED in place of NOT_GRANTED",
        "access: GRANTED in place of UNKNOWN_SUBJECT",
        "delegation: GRANTED in place of UNKNOWN_SUBJECT",
        "delegation: SELF_DELEGATION in place of UNKNOWN_SUBJECT",
        "vault: GRANTED in place of NOT_SHARED",
        "vault: GRANTED in place of UNKNOWN_SUBJECT",
        "vault: NOT_SHARED in place of UNKNOWN_RESOURCE",
    ];
    seen.hold(&decided, 5);
}

/// P12: whether each session still stands, and until when.
#[test]
fn a_session_stands_as_long_as_the_oracle_says() {
    let seen = Seen::default();
    for_worlds(4_000, 0, |genome| {
        let facts = genome.facts();
        let existing = genome.existing(&facts);
        let snapshot = compile(&facts, REVISION).with_sessions(existing.open());
        for session in &existing.sessions {
            for now in INSTANTS.map(at) {
                let oracle = Oracle::new(&facts, now).beside(&existing);
                let expected = oracle.fate(session).map(|()| oracle.stands_until(session));
                let actual = recheck(&snapshot, session, now);
                if expected != actual {
                    let at = now.as_micros();
                    return Err(format!("{session:?} at {at}: {expected:?}, not {actual:?}"));
                }
                let key = match (expected, &session.level) {
                    (Err(reason), _) => format!("ends {}", reason.as_str()),
                    (Ok(_), None) => "stands without a level".to_owned(),
                    (Ok(_), Some(_)) => "stands".to_owned(),
                };
                seen.note([key]);
            }
        }
        Ok(())
    });
    let all = [
        "stands",
        "stands without a level",
        "ends SUBJECT_DISABLED",
        "ends PSM_DISABLED",
        "ends LEVEL_NOT_OFFERED",
        "ends LEVEL_NOT_MAPPED",
        "ends EXCLUDED",
        "ends NOT_ELIGIBLE",
        "ends NO_ACCOUNT",
        "ends NEEDS_APPROVAL",
        "ends UNPRIVILEGED_NOT_ALLOWED",
    ];
    seen.hold(&all, 50);
}

/// Opening and ending sessions one by one leaves what making the set at once makes.
#[test]
fn sessions_opened_and_ended_one_by_one_decide_as_those_made_at_once() {
    let seen = Seen::default();
    for_worlds(1_500, 30, |genome| {
        let facts = genome.facts();
        let all = genome.existing(&facts);
        let policy = compile(&facts, REVISION);
        let (mut open, mut left) = (OpenSessions::default(), all.clone());
        all.accounts.iter().for_each(|account| open.keep(account.clone()));
        all.sessions.iter().for_each(|session| open.open(session.clone()));
        let before = policy.with_sessions(open.clone());
        // Every other one ends, and what was made for it goes with it.
        for session in all.sessions.iter().step_by(2) {
            open.end(session);
            left.sessions.retain(|it| it.id != session.id);
            if let Some(account) = &session.account {
                open.drop_account(account);
                left.accounts.retain(|it| it.id != *account);
            }
        }
        let after = policy.with_sessions(open);
        for (question, now) in genome.questions(&facts) {
            let asked = question.ask();
            for (snapshot, existing) in [(&before, &all), (&after, &left)] {
                let oracle = Oracle::new(&facts, now).beside(existing).decide(&asked);
                let engine = check(snapshot, &asked, now);
                let engine = engine.map(|it| (it.effect, it.reason)).map_err(|_| Refused);
                if oracle != engine {
                    return Err(format!(
                        "{question} beside {existing}: {oracle:?}, not {engine:?}"
                    ));
                }
            }
            if matches!(asked.subject, SubjectRef::Account(_)) {
                seen.note(["by an account".to_owned()]);
            }
        }
        Ok(())
    });
    seen.hold(&["by an account"], 1_000);
}
