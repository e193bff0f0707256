//! What the audit tells of sessions.

use pdp_client::{AuditedSession, SessionEnd, SessionEvent};
use pdp_engine::psm::COMPUTER;
use serde_json::{Map, Value, json};

use super::time;
use crate::screen::harmless;

/// What happened to the session of this person, in one line.
pub(super) fn in_words(told: &AuditedSession, person: Option<&str>) -> String {
    let AuditedSession { session, computer, level, account, event } = told;
    let what = match event {
        SessionEvent::Opened { group, not_after } => {
            let with = match (level, account, group) {
                (Some(level), Some(account), Some(group)) => {
                    format!(", level {level}, account:{account} in group:{group}")
                }
                _ => ", without a level".to_owned(),
            };
            format!("opened{with}, until {}", time(*not_after))
        }
        SessionEvent::Renewed { not_after } => format!("renewed, until {}", time(*not_after)),
        SessionEvent::Ended { at, end, note } => {
            let note =
                if note.is_empty() { String::new() } else { format!(": {}", harmless(note)) };
            format!("ended at {} ({end}){note}", time(*at))
        }
        SessionEvent::RevocationDue(kind) => format!("{kind}{} is due", of(account.as_deref())),
        SessionEvent::RevocationDone(kind) => format!("{kind}{} is done", of(account.as_deref())),
        SessionEvent::RevocationSuperseded(kind) => {
            format!("{kind}{} is superseded", of(account.as_deref()))
        }
        SessionEvent::RevocationFailed { kind, message } => {
            format!("{kind}{} failed: {}", of(account.as_deref()), harmless(message))
        }
        _ => "something that this version does not know".to_owned(),
    };
    let person = person.map(|person| format!(" of person:{person}")).unwrap_or_default();
    format!("session {session}{person} on {COMPUTER}:{computer}: {what}")
}

pub(super) fn tell(told: &AuditedSession, map: &mut Map<String, Value>) {
    let AuditedSession { session, computer, level, account, event } = told;
    let mut tell = |key: &str, value: Value| {
        map.insert(key.to_owned(), value);
    };
    let kind = match event {
        SessionEvent::Opened { .. } => json!("session-opened"),
        SessionEvent::Renewed { .. } => json!("session-renewed"),
        SessionEvent::Ended { .. } => json!("session-ended"),
        SessionEvent::RevocationDue(_) => json!("revocation-due"),
        SessionEvent::RevocationDone(_) | SessionEvent::RevocationSuperseded(_) => {
            json!("revocation-settled")
        }
        SessionEvent::RevocationFailed { .. } => json!("revocation-failed"),
        _ => Value::Null,
    };
    tell("kind", kind);
    tell("session", json!(session));
    tell("computer", json!(computer));
    if let Some(level) = level {
        tell("level", json!(level));
    }
    if let Some(account) = account {
        tell("account", json!(account));
    }
    match event {
        SessionEvent::Opened { group, not_after } => {
            if let Some(group) = group {
                tell("group", json!(group));
            }
            tell("not_after", json!(time(*not_after)));
        }
        SessionEvent::Renewed { not_after } => tell("not_after", json!(time(*not_after))),
        SessionEvent::Ended { at, end, note } => {
            tell("ended", json!(time(*at)));
            tell("end", json!(end.as_str()));
            if let SessionEnd::Revoked(reason) = end {
                tell("revoked_by", json!(reason.to_string()));
            }
            if !note.is_empty() {
                tell("note", json!(note));
            }
        }
        SessionEvent::RevocationDue(work) => tell("work", json!(work.as_str())),
        SessionEvent::RevocationDone(work) => {
            tell("work", json!(work.as_str()));
            tell("state", json!("DONE"));
        }
        SessionEvent::RevocationSuperseded(work) => {
            tell("work", json!(work.as_str()));
            tell("state", json!("SUPERSEDED"));
        }
        SessionEvent::RevocationFailed { kind, message } => {
            tell("work", json!(kind.as_str()));
            tell("message", json!(message));
        }
        _ => {}
    }
}

fn of(account: Option<&str>) -> String {
    account.map(|account| format!(" of account:{account}")).unwrap_or_default()
}
