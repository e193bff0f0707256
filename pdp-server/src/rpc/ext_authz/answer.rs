//! What Envoy is told to do. Headers and bodies hold codes and names only, and nothing that a client
//! sent under a name of ours reaches an upstream.

use std::collections::BTreeMap;

use pdp_bundle::gateway::Gateway;
use pdp_bundle::question::OwnedSubject;
use pdp_bundle::time::format_time;
use pdp_engine::query::{Decision, Effect};
use pdp_engine::session::{AccountMode, Obligations, Privileged, SessionDecision};
use pdp_proto::ext_authz::check_response::HttpResponse;
use pdp_proto::ext_authz::header_value_option::HeaderAppendAction;
use pdp_proto::ext_authz::{
    AttributeContext, CheckResponse, DeniedHttpResponse, HeaderValue, HeaderValueOption,
    HttpStatus, OkHttpResponse, Status,
};
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use tonic::Code;

use super::super::question::last_instant;
use super::caller::Envoy;
use crate::decision_id::DecisionId;

/// What begins the names of this server's headers.
const OURS: &str = "x-pdp-";

/// The name of the decision.
const DECISION: &str = "x-pdp-decision";

/// The revision that it was computed on.
const REVISION: &str = "x-pdp-revision";

/// Who asked.
const SUBJECT: &str = "x-pdp-subject";

/// What every answer to one request needs.
pub(super) struct Answer<'a> {
    pub(super) id: DecisionId,
    pub(super) gateway: &'a Gateway,
}

/// Why a request is turned down without a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Its path could be read two ways.
    BadPath,
    /// A name in it could name nothing.
    Malformed,
    /// No route takes it.
    NoRoute,
    /// Nobody asks.
    NoSubject,
}

/// What a response says, in codes.
struct Said<'a> {
    id: &'a str,
    effect: Effect,
    reason: &'static str,
    revision: Option<u64>,
    /// What an ALLOW of a session depends on.
    obligations: Option<&'a Obligations>,
}

// === impl Refusal ===

impl Refusal {
    const fn reason(self) -> &'static str {
        match self {
            Self::BadPath => "BAD_PATH",
            Self::Malformed => "MALFORMED",
            Self::NoRoute => "NO_ROUTE",
            Self::NoSubject => "NO_SUBJECT",
        }
    }

    /// Of gRPC and of HTTP.
    const fn codes(self) -> (Code, i32) {
        match self {
            Self::BadPath | Self::Malformed => (Code::InvalidArgument, 400),
            Self::NoRoute => (Code::PermissionDenied, 403),
            Self::NoSubject => (Code::Unauthenticated, 401),
        }
    }
}

// === impl Answer ===

impl Answer<'_> {
    /// Lets a request pass that asks nothing.
    pub(super) fn pass(&self, attributes: &AttributeContext) -> CheckResponse {
        let id = self.id.to_string();
        let said = Said {
            id: &id,
            effect: Effect::Allow,
            reason: "PUBLIC",
            revision: None,
            obligations: None,
        };
        allowed(&said, vec![overwrite(DECISION, id.clone())], attributes)
    }

    /// Turns a request down that asks nothing.
    pub(super) fn refuse(&self, refusal: Refusal) -> CheckResponse {
        let reason = refusal.reason();
        let id = self.id.to_string();
        let effect = Effect::Deny;
        let said = Said { id: &id, effect, reason, revision: None, obligations: None };
        let challenge = (refusal == Refusal::NoSubject)
            .then(|| overwrite("www-authenticate", self.gateway.challenge().to_owned()));
        denied(&said, refusal.codes(), challenge)
    }

    /// Does what a decision says.
    pub(super) fn decided(
        &self,
        decided: &SessionDecision,
        subject: &OwnedSubject,
        attributes: &AttributeContext,
    ) -> CheckResponse {
        let SessionDecision { decision, obligations } = decided;
        let Decision { effect, reason, revision } = *decision;
        let id = self.id.to_string();
        let revision = revision.get();
        let said = Said {
            id: &id,
            effect,
            reason: reason.as_str(),
            revision: Some(revision),
            obligations: obligations.as_ref(),
        };
        let refused = (Code::PermissionDenied, 403);
        match effect {
            Effect::Allow => {
                let headers = vec![
                    overwrite(DECISION, id.clone()),
                    overwrite(REVISION, revision.to_string()),
                    overwrite(SUBJECT, header_text(subject)),
                ];
                allowed(&said, headers, attributes)
            }
            Effect::Deny => denied(&said, refused, None),
            Effect::RequiresApproval => {
                let approval = self.gateway.approval();
                let header = approval.map(|(name, value)| overwrite(name, value.to_owned()));
                denied(&said, refused, header)
            }
        }
    }
}

fn allowed(
    said: &Said<'_>,
    headers: Vec<HeaderValueOption>,
    attributes: &AttributeContext,
) -> CheckResponse {
    let set = |name: &str| {
        let mut names = headers.iter().filter_map(|option| option.header.as_ref());
        names.any(|header| header.key == name)
    };
    // Envoy takes names off after it has set headers: one that is set here may not stand there.
    let sent = Envoy(attributes).headers().filter_map(|(name, _)| {
        let (begins, _) = name.as_bytes().split_at_checked(OURS.len())?;
        begins.eq_ignore_ascii_case(OURS.as_bytes()).then(|| name.to_ascii_lowercase())
    });
    let ours = [REVISION, SUBJECT].map(str::to_owned);
    let mut headers_to_remove: Vec<String> =
        ours.into_iter().chain(sent).filter(|name| !set(name)).collect();
    headers_to_remove.sort_unstable();
    headers_to_remove.dedup();
    CheckResponse {
        status: Some(Status { code: Code::Ok.into(), message: said.reason.to_owned() }),
        http_response: Some(HttpResponse::OkResponse(OkHttpResponse {
            headers,
            headers_to_remove,
        })),
        dynamic_metadata: Some(metadata(said)),
    }
}

fn denied(
    said: &Said<'_>,
    (code, status): (Code, i32),
    header: Option<HeaderValueOption>,
) -> CheckResponse {
    let content_type = overwrite("content-type", "application/json".to_owned());
    CheckResponse {
        status: Some(Status { code: code.into(), message: said.reason.to_owned() }),
        http_response: Some(HttpResponse::DeniedResponse(DeniedHttpResponse {
            status: Some(HttpStatus { code: status }),
            headers: std::iter::once(content_type).chain(header).collect(),
            body: body(said),
        })),
        dynamic_metadata: Some(metadata(said)),
    }
}

/// INVARIANT: nothing in it needs to be escaped.
fn body(said: &Said<'_>) -> String {
    let Said { id, effect, reason, revision, obligations: _ } = said;
    let effect = effect.as_str();
    let revision = revision.map(|number| format!(r#""revision":{number},"#)).unwrap_or_default();
    format!(r#"{{"effect":"{effect}","reason":"{reason}",{revision}"decision_id":"{id}"}}"#)
}

/// For access logs and the filters that follow. The revision is text, as numbers there have 53 bits.
fn metadata(said: &Said<'_>) -> Struct {
    let Said { id, effect, reason, revision, obligations } = said;
    let mut fields = BTreeMap::from([
        text("decision_id", id),
        text("effect", effect.as_str()),
        text("reason", reason),
    ]);
    fields.extend(revision.map(|number| text("revision", &number.to_string())));
    fields.extend(obligations.map(|obligations| {
        let due = Kind::StructValue(Struct { fields: due(obligations) });
        ("obligations".to_owned(), Value { kind: Some(due) })
    }));
    Struct { fields }
}

/// What has to be done for an allowed session.
fn due(obligations: &Obligations) -> BTreeMap<String, Value> {
    let Obligations { privileged, not_after } = obligations;
    let not_after = format_time(last_instant(*not_after));
    let mut due = BTreeMap::from([text("not_after", &not_after)]);
    let Some(Privileged { group, account, delete_account }) = privileged else { return due };
    due.extend([text("group", &group.to_string()), text("account_mode", account.as_str())]);
    match account {
        AccountMode::Existing(id) | AccountMode::JitReuse(id) => {
            due.extend([text("account", &id.to_string())]);
        }
        AccountMode::JitNew => {}
    }
    let step = |step: &str| Value { kind: Some(Kind::StringValue(step.to_owned())) };
    let delete = delete_account.then_some("DELETE_ACCOUNT");
    let values = std::iter::once("REMOVE_FROM_GROUP").chain(delete).map(step).collect();
    let on_end = Value { kind: Some(Kind::ListValue(ListValue { values })) };
    due.insert("on_end".to_owned(), on_end);
    due
}

fn text(name: &str, value: &str) -> (String, Value) {
    (name.to_owned(), Value { kind: Some(Kind::StringValue(value.to_owned())) })
}

/// A header that replaces what a client may have sent under its name.
fn overwrite(name: &str, value: String) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue {
            key: name.to_owned(),
            value: value.into_bytes(),
            raw_value: Vec::new(),
        }),
        append: Some(false),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
    }
}

/// `person:ana`, with `%` and everything but visible ASCII percent-encoded.
fn header_text(subject: &OwnedSubject) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let written = subject.to_string();
    let mut text = String::with_capacity(written.len());
    for byte in written.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            text.push(char::from(byte));
            continue;
        }
        text.push('%');
        for digit in [byte >> 4, byte & 0xf] {
            text.push(char::from(*HEX.get(usize::from(digit)).unwrap_or(&b'0')));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_for_a_session_is_told_to_the_filters_that_follow() {
        let not_after = pdp_engine::time::Timestamp::from_micros(0);
        let group = || pdp_engine::id::GroupId::new("web-07/Administrators").unwrap();
        let due = |privileged| {
            let fields = due(&Obligations { privileged, not_after });
            let word = |value: Value| match value.kind.unwrap() {
                Kind::StringValue(text) => text,
                Kind::ListValue(list) => list.values.len().to_string(),
                other => panic!("{other:?}"),
            };
            fields.into_iter().map(|(name, value)| (name, word(value))).collect::<Vec<_>>()
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let until = || pair("not_after", "1970-01-01T00:00:00Z");
        assert_eq!(due(None), [until()]);
        let in_group = || pair("group", "web-07/Administrators");
        let account = AccountMode::JitNew;
        assert_eq!(
            due(Some(Privileged { group: group(), account, delete_account: true })),
            [pair("account_mode", "JIT_NEW"), in_group(), until(), pair("on_end", "2")]
        );
        let account = AccountMode::Existing(pdp_engine::id::AccountId::new("ana-adm").unwrap());
        assert_eq!(
            due(Some(Privileged { group: group(), account, delete_account: false })),
            [
                pair("account", "ana-adm"),
                pair("account_mode", "EXISTING"),
                in_group(),
                until(),
                pair("on_end", "1")
            ]
        );
    }

    #[test]
    fn a_subject_fits_into_a_header() {
        let text = |id: &str| header_text(&OwnedSubject::Person(id.to_owned()));
        assert_eq!(text("ana"), "person:ana");
        assert_eq!(text("a b%\u{fc}"), "person:a%20b%25%C3%BC");
    }
}
