//! Reading one check of a case file: the question of whichever family, and what is expected.

use std::collections::BTreeSet;

use pdp_engine::delegate::DelegationAction;
use pdp_engine::level::Relative;
use pdp_engine::permission::PermissionKind;

use super::{Check, Expectation};
use crate::question::{
    AnyQuestion, OwnedDelegation, OwnedObject, OwnedQuestion, OwnedRecipient, OwnedScope,
    OwnedSession, OwnedSubject, OwnedVault,
};
use crate::read::{At, Fields};

const KEYS: [&str; 17] = [
    "name",
    "subject",
    "operation",
    "right",
    "vault",
    "session",
    "resource",
    "counterpart",
    "delegator",
    "grant",
    "revoke",
    "to",
    "on",
    "in",
    "relative",
    "routing",
    "expect",
];

/// The key that says what is asked, each with the keys that go with it.
const FAMILIES: [(&str, &[&str]); 6] = [
    ("operation", &["subject", "resource", "counterpart"]),
    ("right", &["subject", "resource", "counterpart"]),
    ("vault", &["subject", "resource"]),
    ("session", &["subject", "resource"]),
    ("grant", &["delegator", "to", "on", "in", "relative"]),
    ("revoke", &["delegator", "to", "on", "in", "relative"]),
];

pub(super) fn check(at: &At<'_>) -> Option<Check> {
    let fields = at.fields(&KEYS)?;
    let question = question(&fields);
    let expect = fields.required("expect").and_then(|at| Expectation::read(&at, question.as_ref()));
    Some(Check {
        name: fields.get("name").and_then(|at| at.text()).map(str::to_owned),
        place: at.node.place,
        question: question?,
        expect: expect?,
    })
}

fn question(fields: &Fields<'_>) -> Option<AnyQuestion> {
    let asked: Vec<_> =
        FAMILIES.iter().filter(|(family, _)| fields.get(family).is_some()).collect();
    let [(family, own)] = asked.as_slice() else {
        let families = crate::read::list(FAMILIES.iter().map(|(family, _)| *family));
        fields.at().fail(format_args!("expected exactly one of {families}"));
        return None;
    };
    let others: BTreeSet<&str> = FAMILIES.iter().flat_map(|(_, keys)| *keys).copied().collect();
    for key in others.iter().filter(|key| !own.contains(key)) {
        if let Some(other) = fields.get(key) {
            other.fail(format_args!("`{key}` does not go with `{family}`"));
        }
    }
    match *family {
        "operation" => access(fields, family, PermissionKind::Operation).map(AnyQuestion::from),
        "right" => access(fields, family, PermissionKind::Right).map(AnyQuestion::from),
        "vault" => vault(fields, family).map(AnyQuestion::from),
        "session" => session(fields, family).map(AnyQuestion::from),
        "grant" => delegation(fields, family, DelegationAction::Grant).map(AnyQuestion::from),
        _ => delegation(fields, family, DelegationAction::Revoke).map(AnyQuestion::from),
    }
}

fn access(fields: &Fields<'_>, family: &str, kind: PermissionKind) -> Option<OwnedQuestion> {
    let permission = text(fields, family);
    let (subject, resource) = (subject(fields, "subject"), resource(fields));
    let counterpart = fields.get("counterpart").map(|at| at.parsed(OwnedObject::parse));
    Some(OwnedQuestion {
        routing: fields.flag("routing", true),
        subject: subject?,
        kind,
        permission: permission?,
        resource: resource?,
        counterpart: match counterpart {
            Some(counterpart) => Some(counterpart?),
            None => None,
        },
    })
}

fn vault(fields: &Fields<'_>, family: &str) -> Option<OwnedVault> {
    let action = text(fields, family);
    let (subject, entity) = (subject(fields, "subject"), resource(fields));
    let routing = fields.flag("routing", true);
    Some(OwnedVault { subject: subject?, action: action?, entity: entity?, routing })
}

fn session(fields: &Fields<'_>, family: &str) -> Option<OwnedSession> {
    let level = text(fields, family);
    let (subject, computer) = (subject(fields, "subject"), resource(fields));
    let routing = fields.flag("routing", true);
    let level = OwnedSession::parse_level(&level?);
    Some(OwnedSession { subject: subject?, level, computer: computer?, routing })
}

fn delegation(
    fields: &Fields<'_>,
    family: &str,
    action: DelegationAction,
) -> Option<OwnedDelegation> {
    let level = fields.get(family).and_then(|at| at.parsed(OwnedDelegation::parse_level));
    let delegator = subject(fields, "delegator");
    let recipient = fields.required("to").and_then(|at| at.parsed(OwnedRecipient::parse));
    let (scope, routing) = (scope(fields), fields.flag("routing", true));
    let (type_name, level) = level?;
    let (delegator, recipient, scope) = (delegator?, recipient?, scope?);
    Some(OwnedDelegation { delegator, action, type_name, level, recipient, scope, routing })
}

fn scope(fields: &Fields<'_>) -> Option<OwnedScope> {
    match (fields.get("on"), fields.get("in"), fields.get("relative")) {
        (Some(on), None, None) => on.parsed(OwnedObject::parse).map(OwnedScope::On),
        (None, Some(place), None) => place.text().map(|id| OwnedScope::In(id.to_owned())),
        (None, None, Some(relative)) => {
            let words = Relative::ALL.map(|relative| (relative.as_str(), relative));
            relative.word(&words).map(OwnedScope::Relative)
        }
        _ => {
            fields.at().fail("expected exactly one of `on`, `in`, `relative`");
            None
        }
    }
}

fn text(fields: &Fields<'_>, key: &str) -> Option<String> {
    fields.get(key).and_then(|at| at.text()).map(str::to_owned)
}

fn subject(fields: &Fields<'_>, key: &str) -> Option<OwnedSubject> {
    fields.required(key).and_then(|at| at.parsed(OwnedSubject::parse))
}

fn resource(fields: &Fields<'_>) -> Option<OwnedObject> {
    fields.required("resource").and_then(|at| at.parsed(OwnedObject::parse))
}
