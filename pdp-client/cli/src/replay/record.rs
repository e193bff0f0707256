//! A line of a log of decisions. Its question has the keys of a check of a case file.

use pdp_bundle::question::{
    AnyQuestion, OwnedDelegation, OwnedObject, OwnedQuestion, OwnedRecipient, OwnedScope,
    OwnedSession, OwnedSubject, OwnedVault,
};
use pdp_bundle::time::parse_time;
use pdp_engine::delegate::DelegationAction;
use pdp_engine::level::Relative;
use pdp_engine::permission::PermissionKind;
use pdp_engine::time::Timestamp;
use serde_json::{Map, Value};

/// One decision of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) time: String,
    pub(super) at: Timestamp,
    pub(super) rpc: String,
    pub(super) tenant: String,
    pub(super) effect: String,
    pub(super) reason: String,
    pub(super) revision: u64,
    pub(super) question: Question,
}

/// What a record says of its question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Question {
    Whole(AnyQuestion),
    /// A part of it is not shown.
    Masked,
    /// A part of it is not whole.
    Cut,
    /// The subject was of a type that no subject has.
    NoSubject,
}

// === impl Record ===

impl Record {
    /// Reads a line.
    pub(super) fn read(line: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let Value::Object(record) = value else {
            return Err("is no object; a record was expected".to_owned());
        };
        let time = text(&record, "time")?.to_owned();
        let revision = record.get("revision").and_then(Value::as_u64);
        Ok(Self {
            id: text(&record, "id")?.to_owned(),
            at: parse_time(&time).map_err(|error| error.to_string())?,
            time,
            rpc: text(&record, "rpc")?.to_owned(),
            tenant: text(&record, "tenant")?.to_owned(),
            effect: text(&record, "effect")?.to_owned(),
            reason: text(&record, "reason")?.to_owned(),
            revision: revision.ok_or("`revision` is no number")?,
            question: question(&record)?,
        })
    }
}

fn question(record: &Map<String, Value>) -> Result<Question, String> {
    if record.get("masked").and_then(Value::as_array).is_some_and(|parts| !parts.is_empty()) {
        return Ok(Question::Masked);
    }
    if record.get("cut") == Some(&Value::Bool(true)) {
        return Ok(Question::Cut);
    }
    let asked = record.get("question").and_then(Value::as_object);
    let asked = asked.ok_or("`question` is no object")?;
    let who = if asked.contains_key("delegator") { "delegator" } else { "subject" };
    let Ok(subject) = OwnedSubject::parse(text(asked, who)?) else {
        return Ok(Question::NoSubject);
    };
    let routing = asked.get("routing") != Some(&Value::Bool(false));
    if who == "delegator" {
        return Ok(Question::Whole(delegation(asked, subject, routing)?.into()));
    }
    let resource = object(asked, "resource")?;
    let counterpart = asked.contains_key("counterpart").then(|| object(asked, "counterpart"));
    let counterpart = counterpart.transpose()?;
    let access = |kind, name: &str| {
        let (subject, resource) = (subject.clone(), resource.clone());
        let question = OwnedQuestion::new(subject, kind, name, resource);
        AnyQuestion::Access(OwnedQuestion { counterpart, routing, ..question })
    };
    let told = |key| asked.get(key).and_then(Value::as_str);
    Ok(Question::Whole(if let Some(name) = told("operation") {
        access(PermissionKind::Operation, name)
    } else if let Some(name) = told("right") {
        access(PermissionKind::Right, name)
    } else if let Some(action) = told("vault") {
        OwnedVault { subject, action: action.to_owned(), entity: resource, routing }.into()
    } else if let Some(level) = told("session") {
        let level = OwnedSession::parse_level(level);
        OwnedSession { subject, level, computer: resource, routing }.into()
    } else {
        return Err("`question` asks for nothing that this version knows".to_owned());
    }))
}

fn delegation(
    asked: &Map<String, Value>,
    delegator: OwnedSubject,
    routing: bool,
) -> Result<OwnedDelegation, String> {
    let (action, level) = if asked.contains_key("grant") {
        (DelegationAction::Grant, text(asked, "grant")?)
    } else {
        (DelegationAction::Revoke, text(asked, "revoke")?)
    };
    let (type_name, level) =
        OwnedDelegation::parse_level(level).map_err(|error| error.to_string())?;
    let scope = if asked.contains_key("on") {
        OwnedScope::On(object(asked, "on")?)
    } else if asked.contains_key("in") {
        OwnedScope::In(text(asked, "in")?.to_owned())
    } else {
        let word = text(asked, "relative")?;
        let relative = Relative::from_word(word);
        OwnedScope::Relative(relative.ok_or_else(|| format!("`{word}` is no relation"))?)
    };
    let recipient = OwnedRecipient::parse(text(asked, "to")?).map_err(|error| error.to_string())?;
    Ok(OwnedDelegation { delegator, action, type_name, level, recipient, scope, routing })
}

fn text<'a>(from: &'a Map<String, Value>, key: &str) -> Result<&'a str, String> {
    from.get(key).and_then(Value::as_str).ok_or_else(|| format!("`{key}` is no text"))
}

fn object(from: &Map<String, Value>, key: &str) -> Result<OwnedObject, String> {
    OwnedObject::parse(text(from, key)?).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(question: &str, more: &str) -> String {
        format!(
            r#"{{"id":"0a","time":"2026-01-01T00:00:00Z","rpc":"Check","tenant":"default",
            "question":{question},"effect":"DENY","reason":"NOT_GRANTED","revision":7{more}}}"#
        )
    }

    fn words(question: &str) -> String {
        match Record::read(line(question, "").as_bytes()).unwrap().question {
            Question::Whole(question) => question.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn every_kind_of_question_is_read() {
        for (question, expected) in [
            (
                r#"{"subject":"person:ana","operation":"View","resource":"Report:a"}"#,
                "person:ana, operation View, Report:a",
            ),
            (
                r#"{"subject":"account:a","operation":"Add","resource":"Report:a","counterpart":"Person:b","routing":false}"#,
                "account:a, operation Add, Report:a, counterpart Person:b, without routing",
            ),
            (
                r#"{"subject":"person:ana","right":"ReadData","resource":"Report:a"}"#,
                "person:ana, right ReadData, Report:a",
            ),
            (
                r#"{"subject":"person:ana","vault":"share","resource":"resource_group:web"}"#,
                "person:ana, vault share, resource_group:web",
            ),
            (
                r#"{"subject":"person:ana","session":"none","resource":"Computer:web-07"}"#,
                "person:ana, session none, Computer:web-07",
            ),
            (
                r#"{"delegator":"person:ana","grant":"Report/Viewer","to":"group:hr","on":"Report:a"}"#,
                "person:ana, grant Report/Viewer on Report:a, to group:hr",
            ),
            (
                r#"{"delegator":"person:ana","revoke":"Report/Viewer","to":"business_role:t@z","in":"zurich"}"#,
                "person:ana, revoke Report/Viewer in zurich, from business_role:t@z",
            ),
            (r#"{"subject":"robot:r","operation":"View","resource":"Report:a"}"#, "NoSubject"),
        ] {
            assert_eq!(words(question), expected);
        }
    }

    #[test]
    fn what_cannot_be_asked_again_is_told_apart_and_what_is_no_record_is_refused() {
        let question = r#"{"subject":"person:ana"}"#;
        let read = |more| Record::read(line(question, more).as_bytes()).map(|it| it.question);
        assert_eq!(read(r#","masked":["subject"]"#), Ok(Question::Masked));
        assert_eq!(read(r#","cut":true"#), Ok(Question::Cut));
        assert_eq!(read(r#","masked":[]"#), Err("`resource` is no text".to_owned()));
        for (text, told) in [
            ("", "EOF while parsing"),
            ("[]", "is no object"),
            ("{}", "`time` is no text"),
            (r#"{"id": "0", "time": "now"}"#, "`now` is not a time"),
        ] {
            let error = Record::read(text.as_bytes()).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
