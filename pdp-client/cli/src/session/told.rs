//! Sessions and their work, as text and as JSON.

use pdp_client::{
    Decision, Effect, Privileges, Revocation, RevocationState, Session, SessionEnd, SessionState,
};
use pdp_engine::psm::COMPUTER;
use serde_json::{Map, Value, json};

use crate::audit::time;
use crate::screen::{BAD, FAINT, GOOD, MIDDLING, STRONG, harmless, paint, table};

/// A line about a decision.
pub(super) fn decision(decision: &Decision, about: &str) -> String {
    let Decision { effect, reason, revision, obligations: _ } = decision;
    let style = match effect {
        Effect::Allow => GOOD,
        Effect::Deny => BAD,
        Effect::RequiresApproval => MIDDLING,
    };
    let decision = paint(style, &format!("{effect} {reason}"));
    let revision = paint(FAINT, &format!("revision {revision}"));
    format!("{decision}  {about}  {revision}\n")
}

pub(super) fn decision_json(decision: &Decision) -> Map<String, Value> {
    let Decision { effect, reason, revision, obligations: _ } = decision;
    let mut map = Map::new();
    map.insert("effect".to_owned(), json!(effect.as_str()));
    map.insert("reason".to_owned(), json!(reason.to_string()));
    map.insert("revision".to_owned(), json!(revision.get()));
    map
}

/// Everything about a session.
pub(super) fn session(session: &Session) -> String {
    let style = if session.is_open() { GOOD } else { FAINT };
    let state = paint(style, session.state.as_str());
    let title = paint(STRONG, &format!("session {}", session.id));
    let row = |name: &str, value: String| vec![format!("  {name}"), value];
    let mut rows = vec![
        row("person", format!("person:{}", session.person)),
        row("computer", format!("{COMPUTER}:{}", session.computer)),
        row("level", level(session).to_owned()),
        row("key", session.request_key.clone()),
        row("opened", time(session.opened)),
    ];
    rows.extend(rows_of(session));
    format!("{title}  {state}\n{}", table(&rows, &[FAINT]))
}

/// What follows the line about a decision.
pub(super) fn session_rows(session: &Session) -> String {
    let mut rows = vec![vec!["  session".to_owned(), session.id.clone()]];
    rows.extend(rows_of(session));
    table(&rows, &[FAINT])
}

fn rows_of(session: &Session) -> Vec<Vec<String>> {
    let row = |name: &str, value: String| vec![format!("  {name}"), value];
    let mut rows = vec![row("not after", time(session.not_after))];
    if let SessionState::Ended { at, end } = session.state {
        rows.push(row("ended", format!("{} ({end})", time(at))));
    }
    if let Some(Privileges { level: _, group, account, mode, jit: _, delete_account }) =
        &session.privileges
    {
        rows.push(row("group", format!("group:{group}")));
        rows.push(row("account", format!("account:{account} ({})", mode.as_str())));
        let deleted = if *delete_account { ", DELETE_ACCOUNT" } else { "" };
        rows.push(row("on end", format!("REMOVE_FROM_GROUP{deleted}")));
    }
    for item in &session.revocations {
        rows.push(row("work", format!("{}  {}", work(item), state(item))));
    }
    rows
}

/// One line a session.
pub(super) fn sessions(sessions: &[Session]) -> String {
    let row = |session: &Session| {
        let (state, when) = match session.state {
            SessionState::Open => ("OPEN".to_owned(), format!("until {}", time(session.not_after))),
            SessionState::Ended { at, end } => (end.to_string(), format!("at {}", time(at))),
        };
        let outstanding = session.revocations.iter().filter(|item| item.is_outstanding()).count();
        let left = match outstanding {
            0 => String::new(),
            count => format!("{count} outstanding"),
        };
        let (person, computer) = (&session.person, &session.computer);
        let (person, computer) = (format!("person:{person}"), format!("{COMPUTER}:{computer}"));
        let level = level(session).to_owned();
        vec![session.id.clone(), person, level, computer, state, when, left]
    };
    table(&sessions.iter().map(row).collect::<Vec<_>>(), &[STRONG])
}

/// What is to be done, and to what.
pub(super) fn work(item: &Revocation) -> String {
    let kind = item.task.kind();
    let group = item.task.group().map(|group| format!(" group:{group}")).unwrap_or_default();
    format!("{}  {kind} account:{}{group}", item.id, item.account)
}

/// How it stands.
pub(super) fn state(item: &Revocation) -> String {
    let word = item.state.as_str();
    let mut text = match item.state {
        RevocationState::Outstanding { not_before: Some(at) } => {
            format!("{word}, not before {}", time(at))
        }
        RevocationState::Outstanding { not_before: None } => word.to_owned(),
        RevocationState::Done { at } | RevocationState::Superseded { at } => {
            format!("{word} at {}", time(at))
        }
    };
    if let Some(failure) = failures(item) {
        text.push_str(&format!("; {failure}"));
    }
    text
}

/// How often it failed, and how the last time.
pub(super) fn failures(item: &Revocation) -> Option<String> {
    let times = match item.failures {
        0 => return None,
        1 => "failed once".to_owned(),
        times => format!("failed {times} times"),
    };
    let last = item.last_failure.as_ref();
    Some(last.map_or_else(|| times.clone(), |last| format!("{times}, lastly: {}", harmless(last))))
}

pub(super) fn session_json(session: &Session) -> Value {
    let Session {
        id,
        person,
        computer,
        privileges,
        opened,
        not_after,
        state,
        request_key,
        revocations,
    } = session;
    let mut map = Map::new();
    let mut tell = |key: &str, value: Value| {
        map.insert(key.to_owned(), value);
    };
    tell("id", json!(id));
    tell("state", json!(state.as_str()));
    tell("person", json!(person));
    tell("computer", json!(computer));
    if let Some(Privileges { level, group, account, mode, jit: _, delete_account: _ }) = privileges
    {
        tell("level", json!(level));
        tell("group", json!(group));
        tell("account", json!(account));
        tell("account_mode", json!(mode.as_str()));
    }
    let privileges = privileges.as_ref();
    tell("jit", json!(privileges.is_some_and(|given| given.jit)));
    tell("delete_account", json!(privileges.is_some_and(|given| given.delete_account)));
    tell("opened", json!(time(*opened)));
    tell("not_after", json!(time(*not_after)));
    if let SessionState::Ended { at, end } = state {
        tell("ended", json!(time(*at)));
        tell("end", json!(end.as_str()));
        if let SessionEnd::Revoked(reason) = end {
            tell("revoked_by", json!(reason.to_string()));
        }
    }
    tell("request_key", json!(request_key));
    tell("revocations", revocations.iter().map(revocation_json).collect());
    Value::Object(map)
}

pub(super) fn revocation_json(item: &Revocation) -> Value {
    let Revocation { id, session, computer, account, task, due, state, failures, last_failure } =
        item;
    let mut map = Map::new();
    let mut tell = |key: &str, value: Value| {
        map.insert(key.to_owned(), value);
    };
    tell("id", json!(id));
    tell("state", json!(state.as_str()));
    tell("kind", json!(task.kind().as_str()));
    tell("session", json!(session));
    tell("computer", json!(computer));
    tell("account", json!(account));
    if let Some(group) = task.group() {
        tell("group", json!(group));
    }
    tell("due", json!(time(*due)));
    match state {
        RevocationState::Outstanding { not_before: Some(at) } => {
            tell("not_before", json!(time(*at)))
        }
        RevocationState::Outstanding { not_before: None } => {}
        RevocationState::Done { at } | RevocationState::Superseded { at } => {
            tell("settled", json!(time(*at)));
        }
    }
    tell("failures", json!(failures));
    if let Some(failure) = last_failure {
        tell("last_failure", json!(failure));
    }
    Value::Object(map)
}

fn level(session: &Session) -> &str {
    session.privileges.as_ref().map_or("none", |given| given.level.as_str())
}
