//! `audit list` and `audit verify`.

mod session;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pdp_bundle::time::format_time;
use pdp_client::engine::key_from_wire;
use pdp_client::{
    AuditBreak, AuditEvent, AuditQuery, AuditRecord, AuditVerified, AuditedChangeSet,
};
use pdp_engine::time::Timestamp;
use serde_json::{Map, Value, json};

use crate::exit::Exit;
use crate::fact;
use crate::options::{Audit, Server};
use crate::problem::Problem;
use crate::screen::{BAD, FAINT, GOOD, STRONG, Screen, paint};

/// Does what the arguments say.
pub(crate) async fn run(
    server: &Server,
    task: Audit,
    screen: &mut Screen,
) -> Result<Exit, Problem> {
    match task {
        Audit::List { query, limit } => list(server, query, limit, Of::All, screen).await,
        Audit::Verify { of_server } => verify(server, of_server, screen).await,
    }
}

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    All,
    Sessions,
}

/// Prints the records that fit.
pub(crate) async fn list(
    server: &Server,
    query: AuditQuery,
    limit: usize,
    of: Of,
    screen: &mut Screen,
) -> Result<Exit, Problem> {
    let mut listed = server.connect_for_policy().await?.audit(query);
    let mut records = Vec::new();
    while records.len() < limit {
        let Some(record) = listed.next().await? else { break };
        if of == Of::All || matches!(record.event, AuditEvent::Session(_)) {
            records.push(record);
        }
    }
    screen.answer(
        || records.iter().map(in_lines).collect(),
        || json!({"records": records.iter().map(record_json).collect::<Vec<_>>()}),
    )?;
    Ok(Exit::Success)
}

async fn verify(server: &Server, of_server: bool, screen: &mut Screen) -> Result<Exit, Problem> {
    let client = server.connect_for_policy().await?;
    let verified = match of_server {
        true => client.verify_server_audit().await?,
        false => client.verify_audit().await?,
    };
    let AuditVerified { records, head, broken } = &verified;
    let text = || {
        let verdict = match broken {
            None => format!("{}: every record is as it was written", paint(GOOD, "intact")),
            Some(AuditBreak { sequence, problem }) => {
                format!("{}: record {sequence} {problem}", paint(BAD, "broken"))
            }
        };
        let good = counted(*records, "record");
        format!("{verdict}\n{}\n", paint(FAINT, &format!("{good} intact, head {head}")))
    };
    let json = || {
        let mut told = Map::new();
        told.insert("records".to_owned(), json!(records));
        told.insert("head".to_owned(), json!(head.to_string()));
        if let Some(AuditBreak { sequence, problem }) = broken {
            let broken = json!({"sequence": sequence, "problem": problem});
            told.insert("broken".to_owned(), broken);
        }
        Value::Object(told)
    };
    screen.answer(text, json)?;
    Ok(if broken.is_none() { Exit::Success } else { Exit::No })
}

/// A line for a record, and one for each fact that it names.
fn in_lines(record: &AuditRecord) -> String {
    let AuditRecord { sequence, at, revision, person, caller, hash: _, event } = record;
    let whose = person.as_ref().map(|person| format!(", on behalf of person:{person}"));
    let whose = whose.unwrap_or_default();
    let what = match event {
        AuditEvent::Began => format!("the audit began at revision {revision}"),
        AuditEvent::TenantCreated { tenant } => format!("created tenant `{tenant}`"),
        AuditEvent::TenantDeleted { tenant, records, head: _ } => {
            format!("deleted tenant `{tenant}`, with {}", counted(*records, "record"))
        }
        AuditEvent::PolicyChanged(set) => {
            let AuditedChangeSet { created, changed, removed, .. } = set;
            let request = set.request_id.as_ref().map(|id| format!(", request `{id}`"));
            let request = request.unwrap_or_default();
            format!(
                "revision {revision}: {created} created, {changed} changed, {removed} removed{whose}{request}"
            )
        }
        AuditEvent::Session(told) => session::in_words(told, person.as_deref()),
        _ => "something that this version does not know".to_owned(),
    };
    let (number, at) = (paint(FAINT, &sequence.to_string()), format_time(timestamp(*at)));
    let caller = caller.as_ref().map(|caller| format!(", by {}", caller.escape_debug()));
    let caller = caller.unwrap_or_default();
    let mut text = format!("{number}  {}  {what}{caller}\n", paint(STRONG, &at));
    let AuditEvent::PolicyChanged(set) = event else { return text };
    for (key, change) in &set.changes {
        let named = match key_from_wire(key.clone()) {
            Ok(key) => key.to_string(),
            Err(_) => "a fact that this version does not know".to_owned(),
        };
        text.push_str(&format!("   {} {named}\n", change.as_str()));
    }
    let listed = u64::try_from(set.changes.len()).unwrap_or(u64::MAX);
    let all = set.created.saturating_add(set.changed).saturating_add(set.removed);
    if let (Some(more @ 1..), 1..) = (all.checked_sub(listed), listed) {
        text.push_str(&format!("   and {more} more\n"));
    }
    text
}

fn record_json(record: &AuditRecord) -> Value {
    let AuditRecord { sequence, at, revision, person, caller, hash, event } = record;
    let mut told = Map::new();
    let mut tell = |key: &str, value: Value| {
        told.insert(key.to_owned(), value);
    };
    tell("sequence", json!(sequence));
    tell("at", json!(format_time(timestamp(*at))));
    tell("revision", json!(revision.get()));
    if let Some(person) = person {
        tell("person", json!(format!("person:{person}")));
    }
    if let Some(caller) = caller {
        tell("caller", json!(caller));
    }
    tell("hash", json!(hash.to_string()));
    match event {
        AuditEvent::Began => tell("kind", json!("began")),
        AuditEvent::TenantCreated { tenant } => {
            tell("kind", json!("tenant-created"));
            tell("tenant", json!(tenant));
        }
        AuditEvent::TenantDeleted { tenant, records, head } => {
            tell("kind", json!("tenant-deleted"));
            tell("tenant", json!(tenant));
            tell("records", json!(records));
            tell("head", json!(head.to_string()));
        }
        AuditEvent::PolicyChanged(set) => {
            let AuditedChangeSet { created, changed, removed, digest, request_id, changes } = set;
            tell("kind", json!("policy-changed"));
            tell("created", json!(created));
            tell("changed", json!(changed));
            tell("removed", json!(removed));
            tell("digest", json!(digest.to_string()));
            if let Some(id) = request_id {
                tell("request_id", json!(id));
            }
            let changes: Vec<Value> = changes
                .iter()
                .map(|(key, change)| match key_from_wire(key.clone()) {
                    Ok(key) => json!({
                        "kind": fact::word(key.kind()),
                        "name": key.name(),
                        "change": change.as_str(),
                    }),
                    Err(_) => json!({"change": change.as_str()}),
                })
                .collect();
            tell("changes", json!(changes));
        }
        AuditEvent::Session(of) => session::tell(of, &mut told),
        _ => tell("kind", Value::Null),
    }
    Value::Object(told)
}

fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// An instant as the client takes it.
pub(crate) fn system_time(at: Timestamp) -> SystemTime {
    let length = Duration::from_micros(at.as_micros().unsigned_abs());
    let found = if at.as_micros() < 0 {
        UNIX_EPOCH.checked_sub(length)
    } else {
        UNIX_EPOCH.checked_add(length)
    };
    // INVARIANT: the years that can be written are within what the system can say.
    found.unwrap_or(UNIX_EPOCH)
}

/// An instant as text.
pub(crate) fn time(at: SystemTime) -> String {
    format_time(timestamp(at))
}

/// An instant as the engine takes it.
pub(crate) fn timestamp(at: SystemTime) -> Timestamp {
    let micros = |length: Duration| i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(match at.duration_since(UNIX_EPOCH) {
        Ok(since) => micros(since),
        Err(before) => -micros(before.duration()),
    })
}
