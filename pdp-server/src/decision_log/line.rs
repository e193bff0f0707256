//! A record as a line of JSON. The question has the keys of a check of a case file.

use pdp_bundle::time::format_time;
use pdp_engine::delegate::DelegationAction;
use serde::Serialize;

use super::Noted;
use super::mask::Masker;
use super::noted::{NotedObject, NotedPermission, NotedRecipient, NotedScope, NotedSubject};
use super::record::Read;
use crate::config::Masked;

/// What stands for a session without a permission level.
const NO_LEVEL: &str = "none";

/// The line.
#[derive(Debug, Serialize)]
struct Line<'a> {
    id: String,
    time: String,
    rpc: &'static str,
    tenant: &'a str,
    question: Question,
    effect: &'static str,
    reason: &'static str,
    revision: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    caller: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    masked: Vec<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
}

/// What was asked; each kind of question has some of these.
#[derive(Debug, Default, Serialize)]
struct Question {
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    right: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vault: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counterpart: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delegator: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoke: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "in")]
    location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    relative: Option<&'static str>,
    /// Told where it is not as usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    routing: Option<bool>,
}

/// Writes the texts of one record.
struct Writer<'a> {
    masker: &'a Masker,
    tenant: &'a str,
}

/// Appends the line of a record, with its end.
pub(super) fn write(
    record: &Read<'_>,
    masker: &Masker,
    into: &mut Vec<u8>,
) -> Result<(), serde_json::Error> {
    let Read { id, at, rpc, effect, reason, revision, trace, tenant, question, caller, cut } =
        *record;
    let parts = [Masked::Subject, Masked::Resource, Masked::Permission].into_iter();
    let line = Line {
        id: id.to_string(),
        time: format_time(at),
        rpc: rpc.as_str(),
        tenant,
        question: Writer { masker, tenant }.question(question),
        effect: effect.as_str(),
        reason: reason.as_str(),
        revision: revision.get(),
        caller,
        trace_id: trace.map(|trace| trace.to_string()),
        masked: parts.filter(|part| masker.hides(*part)).map(Masked::word).collect(),
        cut,
    };
    serde_json::to_writer(&mut *into, &line)?;
    into.push(b'\n');
    Ok(())
}

// === impl Writer ===

impl Writer<'_> {
    fn question(&self, asked: Noted<&str>) -> Question {
        let unusual = |routing: bool| (!routing).then_some(false);
        match asked {
            Noted::Check { subject, permission, resource, counterpart, routing } => {
                let question = Question {
                    subject: Some(self.subject(subject)),
                    resource: Some(self.object(resource)),
                    counterpart: counterpart.map(|object| self.object(object)),
                    routing: unusual(routing),
                    ..Question::default()
                };
                let name = |kind: &str, name: &str| Some(self.permission(kind, name));
                match permission {
                    NotedPermission::Operation(it) => {
                        Question { operation: name("operation", it), ..question }
                    }
                    NotedPermission::Right(it) => Question { right: name("right", it), ..question },
                    NotedPermission::Vault(it) => Question { vault: name("vault", it), ..question },
                    NotedPermission::Session(it) => {
                        let session = name("session", it.unwrap_or(NO_LEVEL));
                        Question { session, ..question }
                    }
                }
            }
            Noted::Delegation {
                delegator,
                action,
                type_name,
                level,
                recipient,
                scope,
                routing,
            } => {
                let level = format!("{type_name}/{}", self.permission(type_name, level));
                let (grant, revoke) = match action {
                    DelegationAction::Grant => (Some(level), None),
                    DelegationAction::Revoke => (None, Some(level)),
                };
                let question = Question {
                    delegator: Some(self.subject(delegator)),
                    grant,
                    revoke,
                    to: Some(self.recipient(recipient)),
                    routing: unusual(routing),
                    ..Question::default()
                };
                match scope {
                    NotedScope::On(object) => {
                        Question { on: Some(self.object(object)), ..question }
                    }
                    NotedScope::In(id) => Question { location: Some(id.to_owned()), ..question },
                    NotedScope::Relative(relative) => {
                        Question { relative: Some(relative.as_str()), ..question }
                    }
                }
            }
        }
    }

    fn subject(&self, subject: NotedSubject<&str>) -> String {
        let (kind, id) = match subject {
            NotedSubject::Person(id) => ("person", id),
            NotedSubject::Account(id) => ("account", id),
            NotedSubject::Nobody(kind, id) => (kind, id),
        };
        self.actor(kind, id)
    }

    fn recipient(&self, recipient: NotedRecipient<&str>) -> String {
        match recipient {
            NotedRecipient::One(kind, id) => self.actor(kind, id),
            NotedRecipient::Pair(role, location) => {
                self.actor("business_role", &format!("{role}@{location}"))
            }
        }
    }

    fn actor(&self, kind: &str, id: &str) -> String {
        format!("{kind}:{}", self.masker.shown(Masked::Subject, self.tenant, kind, id))
    }

    fn object(&self, object: NotedObject<&str>) -> String {
        let NotedObject { type_name, id } = object;
        format!("{type_name}:{}", self.masker.shown(Masked::Resource, self.tenant, type_name, id))
    }

    fn permission(&self, kind: &str, name: &str) -> String {
        self.masker.shown(Masked::Permission, self.tenant, kind, name)
    }
}
