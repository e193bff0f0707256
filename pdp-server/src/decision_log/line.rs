//! A record as a line of JSON. The question has the keys of a check of a case file.
//!
//! It is put together by hand: there is one for every decision, and what serializes any value takes
//! several times as long.

use std::borrow::Cow;

use pdp_bundle::time::format_time;
use pdp_engine::delegate::DelegationAction;
use pdp_engine::time::Timestamp;

use super::mask::Masker;
use super::noted::{NotedObject, NotedPermission, NotedRecipient, NotedScope, NotedSubject};
use super::record::Read;
use super::{LogError, Noted};
use crate::config::{DecisionLog as Settings, Masked};

/// What stands for a session without a permission level.
const NO_LEVEL: &str = "none";

/// Makes lines of records.
#[derive(Debug)]
pub(super) struct Lines {
    masker: Masker,
    times: Times,
}

/// Writes instants as [`format_time`] does. Most are of the same second as the one before.
#[derive(Debug, Default)]
struct Times {
    second: Option<i64>,
    /// Its text.
    whole: String,
    text: String,
}

/// Puts a line together. What stands between two values is put at once.
struct Line<'a> {
    into: &'a mut Vec<u8>,
    masker: &'a Masker,
    tenant: &'a str,
}

// === impl Lines ===

impl Lines {
    pub(super) fn new(settings: &Settings) -> Result<Self, LogError> {
        Ok(Self { masker: Masker::new(settings)?, times: Times::default() })
    }

    /// Appends the line of a record, with its end.
    pub(super) fn write(&mut self, record: &Read<'_>, into: &mut Vec<u8>) {
        let Self { masker, times } = self;
        let Read { id, at, rpc, effect, reason, revision, trace, tenant, question, caller, cut } =
            *record;
        let mut line = Line { into, masker, tenant };
        line.plain(r#"{"id":""#, &id.digits());
        line.plain(r#"","time":""#, times.text(at).as_bytes());
        line.plain(r#"","rpc":""#, rpc.as_str().as_bytes());
        line.text(r#"","tenant":""#, &[tenant]);
        line.put(r#"","question":{"#);
        line.question(question);
        line.plain(r#"},"effect":""#, effect.as_str().as_bytes());
        line.plain(r#"","reason":""#, reason.as_str().as_bytes());
        line.plain(r#"","revision":"#, revision.get().to_string().as_bytes());
        if !caller.is_empty() {
            line.text(r#","caller":""#, &[caller]);
            line.put("\"");
        }
        if let Some(trace) = trace {
            line.plain(r#","trace_id":""#, trace.to_string().as_bytes());
            line.put("\"");
        }
        if !masker.hidden().is_empty() {
            line.plain(r#","masked":[""#, masker.hidden().join("\",\"").as_bytes());
            line.put("\"]");
        }
        line.put(if cut { ",\"cut\":true}\n" } else { "}\n" });
    }
}

// === impl Times ===

impl Times {
    const MICROS: i64 = 1_000_000;

    fn text(&mut self, at: Timestamp) -> &str {
        let Self { second, whole, text } = self;
        let micros = at.as_micros();
        let (of, fraction) = (micros.div_euclid(Self::MICROS), micros.rem_euclid(Self::MICROS));
        if *second != Some(of) {
            *second = Some(of);
            *whole = format_time(Timestamp::from_micros(of.saturating_mul(Self::MICROS)));
        }
        text.clear();
        match whole.strip_suffix('Z') {
            Some(before) if fraction != 0 => {
                text.push_str(before);
                text.push('.');
                let (mut rest, mut unit) = (fraction, Self::MICROS / 10);
                while rest > 0 {
                    text.extend(
                        u32::try_from(rest / unit).ok().and_then(|it| char::from_digit(it, 10)),
                    );
                    (rest, unit) = (rest % unit, unit / 10);
                }
                text.push('Z');
            }
            Some(_) => text.push_str(whole),
            None => text.push_str(&format_time(at)),
        }
        text
    }
}

// === impl Line ===

impl Line<'_> {
    /// What was asked; each kind of question has some of these fields.
    fn question(&mut self, asked: Noted<&str>) {
        let routing = match asked {
            Noted::Check { subject, permission, resource, counterpart, routing } => {
                self.subject(r#""subject":""#, subject);
                let (head, kind, name) = match permission {
                    NotedPermission::Operation(name) => (r#"","operation":""#, "operation", name),
                    NotedPermission::Right(name) => (r#"","right":""#, "right", name),
                    NotedPermission::Vault(name) => (r#"","vault":""#, "vault", name),
                    NotedPermission::Session(level) => {
                        (r#"","session":""#, "session", level.unwrap_or(NO_LEVEL))
                    }
                };
                self.text(head, &[&self.shown(Masked::Permission, kind, name)]);
                self.object(r#"","resource":""#, resource);
                if let Some(counterpart) = counterpart {
                    self.object(r#"","counterpart":""#, counterpart);
                }
                routing
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
                self.subject(r#""delegator":""#, delegator);
                let head = match action {
                    DelegationAction::Grant => r#"","grant":""#,
                    DelegationAction::Revoke => r#"","revoke":""#,
                };
                let level = self.shown(Masked::Permission, type_name, level);
                self.text(head, &[type_name, "/", &level]);
                self.recipient(r#"","to":""#, recipient);
                match scope {
                    NotedScope::On(object) => self.object(r#"","on":""#, object),
                    NotedScope::In(id) => self.text(r#"","in":""#, &[id]),
                    NotedScope::Relative(relative) => {
                        self.text(r#"","relative":""#, &[relative.as_str()]);
                    }
                }
                routing
            }
        };
        // Told where it is not as usual.
        self.put(if routing { "\"" } else { r#"","routing":false"# });
    }

    fn subject(&mut self, head: &str, subject: NotedSubject<&str>) {
        let (kind, id) = match subject {
            NotedSubject::Person(id) => ("person", id),
            NotedSubject::Account(id) => ("account", id),
            NotedSubject::Nobody(kind, id) => (kind, id),
        };
        self.thing(head, Masked::Subject, kind, id);
    }

    fn recipient(&mut self, head: &str, recipient: NotedRecipient<&str>) {
        match recipient {
            NotedRecipient::One(kind, id) => self.thing(head, Masked::Subject, kind, id),
            NotedRecipient::Pair(role, location) => {
                let pair = format!("{role}@{location}");
                self.thing(head, Masked::Subject, "business_role", &pair);
            }
        }
    }

    fn object(&mut self, head: &str, NotedObject { type_name, id }: NotedObject<&str>) {
        self.thing(head, Masked::Resource, type_name, id);
    }

    fn thing(&mut self, head: &str, part: Masked, kind: &str, name: &str) {
        self.text(head, &[kind, ":", &self.shown(part, kind, name)]);
    }

    fn shown<'t>(&self, part: Masked, kind: &str, text: &'t str) -> Cow<'t, str> {
        self.masker.shown(part, self.tenant, kind, text)
    }

    /// What is before a text, and the text up to the quote that ends it: that begins what is next.
    fn text(&mut self, head: &str, parts: &[&str]) {
        self.put(head);
        for part in parts {
            escape(part, self.into);
        }
    }

    /// The same with what stands in JSON as it is.
    #[inline]
    fn plain(&mut self, head: &str, value: &[u8]) {
        self.put(head);
        self.into.extend_from_slice(value);
    }

    #[inline]
    fn put(&mut self, json: &str) {
        self.into.extend_from_slice(json.as_bytes());
    }
}

/// Appends a text as it stands between the quotes of JSON (RFC 8259 section 7).
fn escape(text: &str, into: &mut Vec<u8>) {
    let special = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    // All bytes are looked at, so that several are at once.
    if !text.bytes().fold(false, |found, byte| found | special(byte)) {
        return into.extend_from_slice(text.as_bytes());
    }
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => into.extend_from_slice(&[b'\\', byte]),
            0..b' ' => into.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => into.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use pdp_engine::level::Relative;
    use pdp_engine::query::{Decision, Effect, Reason, Revision};
    use serde_json::{Value, json};

    use super::super::Asking;
    use super::super::record::{Record, Texts};
    use super::*;
    use crate::config::{DecisionLogSettings, Settings as Given};
    use crate::decision_id::DecisionIds;
    use crate::telemetry::{DecisionRpc, Parent, TraceId};

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    /// What a line says, that is JSON on one line of its own.
    fn said(mask: &str, question: Noted<&str>, caller: &str, trace: Option<TraceId>) -> Value {
        let log = DecisionLogSettings {
            decision_log_mask: Some(mask.parse().unwrap()),
            ..DecisionLogSettings::default()
        };
        let config = Given { decision_log: log, ..Given::default() }.into_config(None).unwrap();
        let mut lines = Lines::new(&config.decision_log).unwrap();
        let (rpc, at) = (DecisionRpc::Check, Timestamp::from_micros(1_500_000));
        let asking = Asking { rpc, tenant: "acme", caller, trace, span: None, at };
        let (effect, reason) = (Effect::Deny, Reason::NotGranted);
        let decision = Decision { effect, reason, revision: Revision::new(3) };
        let id = DecisionIds::new().unwrap().next();
        let mut texts = Texts::new();
        let record = Record::new(id, &asking, question, &decision, &mut texts);
        let mut line = b"before\n".to_vec();
        lines.write(&record.read(texts.bytes()), &mut line);
        let line = String::from_utf8(line).unwrap();
        let line = line.strip_prefix("before\n").unwrap().strip_suffix('\n').unwrap();
        assert!(!line.contains('\n'));
        let mut said: Value = serde_json::from_str(line).unwrap();
        let fields = said.as_object_mut().unwrap();
        let always = ["id", "time", "rpc", "tenant", "effect", "reason", "revision"];
        let values = always.map(|field| fields.remove(field).unwrap());
        let time = "1970-01-01T00:00:01.5Z";
        let told = json!([id.to_string(), time, "Check", "acme", "DENY", "NOT_GRANTED", 3]);
        assert_eq!(Value::from(values.to_vec()), told);
        said
    }

    fn check<'t>(
        subject: NotedSubject<&'t str>,
        permission: NotedPermission<&'t str>,
        counterpart: Option<NotedObject<&'t str>>,
    ) -> Noted<&'t str> {
        let resource = NotedObject { type_name: "T", id: "r" };
        Noted::Check { subject, permission, resource, counterpart, routing: counterpart.is_none() }
    }

    fn delegation<'t>(
        action: DelegationAction,
        recipient: NotedRecipient<&'t str>,
        scope: NotedScope<&'t str>,
    ) -> Noted<&'t str> {
        let (delegator, routing) = (NotedSubject::Account("a"), action == DelegationAction::Grant);
        Noted::Delegation {
            delegator,
            action,
            type_name: "T",
            level: "L",
            recipient,
            scope,
            routing,
        }
    }

    #[test]
    fn every_kind_of_question_is_an_object_with_its_fields() {
        let ana = NotedSubject::Person("ana");
        let other = Some(NotedObject { type_name: "Person", id: "bo" });
        let nobody = NotedSubject::Nobody("ro\"bot\\", "\u{1}\n");
        let (one, pair) = (NotedRecipient::One("group", "hr"), NotedRecipient::Pair("teller", "z"));
        let on = NotedScope::On(NotedObject { type_name: "T", id: "r" });
        let (grant, revoke) = (DelegationAction::Grant, DelegationAction::Revoke);
        let resource = "T:r";
        let (subject, delegator) = ("person:ana", "account:a");
        let shapes = [
            (
                check(ana, NotedPermission::Operation("a \"b\""), None),
                json!({"subject": subject, "operation": "a \"b\"", "resource": resource}),
            ),
            (
                check(NotedSubject::Account("x"), NotedPermission::Right("R"), other),
                json!({"subject": "account:x", "right": "R", "resource": resource,
                    "counterpart": "Person:bo", "routing": false}),
            ),
            (
                check(nobody, NotedPermission::Vault("View"), None),
                json!({"subject": "ro\"bot\\:\u{1}\n", "vault": "View", "resource": resource}),
            ),
            (
                check(ana, NotedPermission::Session(Some("root")), None),
                json!({"subject": subject, "session": "root", "resource": resource}),
            ),
            (
                check(ana, NotedPermission::Session(None), None),
                json!({"subject": subject, "session": "none", "resource": resource}),
            ),
            (
                delegation(grant, one, on),
                json!({"delegator": delegator, "grant": "T/L", "to": "group:hr", "on": resource}),
            ),
            (
                delegation(revoke, pair, NotedScope::In("z")),
                json!({"delegator": delegator, "revoke": "T/L", "to": "business_role:teller@z",
                    "in": "z", "routing": false}),
            ),
            (
                delegation(grant, one, NotedScope::Relative(Relative::Manager)),
                json!({"delegator": delegator, "grant": "T/L", "to": "group:hr",
                    "relative": Relative::Manager.as_str()}),
            ),
        ];
        for (question, expected) in shapes {
            assert_eq!(said("", question, "", None), json!({"question": expected}));
        }
    }

    #[test]
    fn what_is_there_at_times_stands_beside_the_question_and_alone() {
        let trace = Parent::of(format!("00-{TRACE}-b7ad6b7169203331-01").as_bytes()).unwrap();
        let long = "l".repeat(700);
        for (who, cut) in [("ana", false), (long.as_str(), true)] {
            let subject = NotedSubject::Person(who);
            let question = check(subject, NotedPermission::Operation("View"), None);
            for (mask, hidden) in [
                ("", vec![]),
                ("subject", vec!["subject"]),
                ("permission,resource", vec!["resource", "permission"]),
            ] {
                for caller in ["", "ed\"ge"] {
                    for trace in [None, Some(trace.trace())] {
                        let mut said = said(mask, question, caller, trace);
                        let fields = said.as_object_mut().unwrap();
                        assert_eq!(fields.remove("masked").unwrap_or(json!([])), json!(hidden));
                        assert_eq!(fields.remove("cut"), cut.then_some(json!(true)));
                        let told = (!caller.is_empty() && !cut).then(|| json!(caller));
                        assert_eq!(fields.remove("caller"), told);
                        assert_eq!(fields.remove("trace_id"), trace.map(|_| json!(TRACE)));
                        assert_eq!(fields.keys().collect::<Vec<_>>(), ["question"]);
                        let shown = fields["question"]["subject"].as_str().unwrap();
                        assert_eq!(shown.starts_with("person:hmac-"), mask == "subject");
                    }
                }
            }
        }
    }

    #[test]
    fn texts_are_those_of_json() {
        let every: String = (0..0x250).filter_map(char::from_u32).collect();
        for text in
            ["", "plain", "\"", "a\\b", "\u{0}\n\u{1f}\u{7f}", "\u{1f512} z\u{fc}rich", &every]
        {
            let mut written = vec![b'"'];
            escape(text, &mut written);
            written.push(b'"');
            let read: String = serde_json::from_slice(&written).unwrap();
            assert_eq!(read, text);
        }
    }

    #[test]
    fn times_are_written_as_everywhere() {
        let mut times = Times::default();
        for micros in [
            0,
            1,
            999_999,
            1_000_000,
            1_500_000,
            1_000_000,
            1_790_000_000_120_000,
            -1,
            -1_000_000,
            i64::MAX,
            i64::MAX,
            i64::MIN,
            7,
        ] {
            let at = Timestamp::from_micros(micros);
            assert_eq!(times.text(at), format_time(at));
        }
    }
}
