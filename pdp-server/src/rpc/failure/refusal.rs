//! A change set refused on behalf of a person, as its error tells it: a sentence, and a detail that
//! programs read. As much is told as fits into HTTP/2 trailers.

use pdp_proto::v1;
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::super::{outbound, question};
use super::rejected::{MAX_PROBLEM_BYTES, shortened};
use crate::publish::{Refusal, RefusedChange};

/// How large the detail may be, in bytes. It travels once, in base64.
const MAX_DETAIL_BYTES: usize = 4096;

/// How many of those who could make a change the sentence names.
const MAX_NAMED: usize = 3;

/// The sentence.
pub(super) fn sentence(refusal: &Refusal) -> String {
    let Refusal { person, revision: _, decision, refused, total } = refusal;
    if let Some(decision) = decision {
        return format!(
            "nothing can be applied on behalf of person `{person}`: {}",
            decision.reason.as_str()
        );
    }
    let mut text = format!("the change set may not be applied on behalf of person `{person}`");
    let mut told = 0;
    for change in refused {
        let next = shortened(clause(change));
        if told > 0 && text.len() + next.len() > MAX_PROBLEM_BYTES {
            break;
        }
        text.push_str("; ");
        text.push_str(&next);
        told += 1;
    }
    if *total > told {
        text.push_str(&format!("; and {} more", total - told));
    }
    text
}

fn clause(change: &RefusedChange) -> String {
    let RefusedChange { key, kind, position, decision, approvers } = change;
    let place = position.map(|position| format!("`changes[{position}]`: ")).unwrap_or_default();
    let what = format!("{place}{key} would be {}", kind.as_str());
    let Some(decision) = decision else {
        return format!(
            "{what}, and only assignments and shares can be changed on somebody's behalf"
        );
    };
    let (effect, reason) = (decision.effect.as_str(), decision.reason.as_str());
    let named: Vec<_> = approvers.iter().take(MAX_NAMED).map(|id| format!("`{id}`")).collect();
    let approvers = match (named.is_empty(), approvers.len() - named.len()) {
        (true, _) => String::new(),
        (false, 0) => format!("; approvers: {}", named.join(", ")),
        (false, more) => format!("; approvers: {} and {more} more", named.join(", ")),
    };
    format!("{what}: {effect} {reason}{approvers}")
}

/// The status, with the detail added to those of every error.
pub(super) fn status(refusal: &Refusal, message: String, details: ErrorDetails) -> Status {
    let plain = Status::with_error_details(Code::PermissionDenied, message, details);
    // INVARIANT: these are the bytes that were encoded a line ago. A detail less is still a refusal.
    let Ok(mut told) = tonic_types::Status::decode(plain.details()) else { return plain };
    told.details.push(prost_types::Any {
        type_url: "type.googleapis.com/pdp.v1.DelegationRefusal".to_owned(),
        value: detail(refusal).encode_to_vec(),
    });
    Status::with_details(plain.code(), plain.message(), told.encode_to_vec().into())
}

fn detail(refusal: &Refusal) -> v1::DelegationRefusal {
    let Refusal { person, revision, decision, refused, total } = refusal;
    let mut detail = v1::DelegationRefusal {
        on_behalf_of: person.to_string(),
        refused: Vec::new(),
        total_refused: u64::try_from(*total).unwrap_or(u64::MAX),
        revision: revision.get(),
        decision: decision.as_ref().map(question::decision),
    };
    let mut bytes = detail.encoded_len();
    for change in refused {
        let told = refused_change(change, MAX_DETAIL_BYTES.saturating_sub(bytes));
        let length = told.encoded_len();
        if bytes + length > MAX_DETAIL_BYTES && !detail.refused.is_empty() {
            break;
        }
        bytes += length;
        detail.refused.push(told);
    }
    detail
}

/// One change, with as many approvers as fit into so many bytes.
fn refused_change(change: &RefusedChange, room: usize) -> v1::RefusedChange {
    let RefusedChange { key, kind, position, decision, approvers } = change;
    let mut told = v1::RefusedChange {
        key: Some(outbound::key(key)),
        kind: outbound::change_kind(*kind).into(),
        decision: decision.as_ref().map(question::decision),
        approvers: Vec::new(),
        total_approvers: u64::try_from(approvers.len()).unwrap_or(u64::MAX),
        position: position.and_then(|position| u32::try_from(position).ok()),
    };
    let mut bytes = told.encoded_len();
    for approver in approvers {
        // A name, its length in two bytes and its tag in one.
        bytes += approver.as_str().len() + 3;
        if bytes > room {
            break;
        }
        told.approvers.push(approver.to_string());
    }
    told
}
