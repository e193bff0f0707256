//! The text of the policies: what is granted by a list, and what by a relation.

use std::collections::BTreeSet;

use pdp_engine::level::Relative;

use super::{ByPermission, Effect, key, relation};

/// All policies.
pub(super) fn text(
    by: ByPermission,
    permissions: &BTreeSet<&str>,
    kinds: &BTreeSet<Relative>,
) -> String {
    let effects = [("permit", Effect::Allow), ("forbid", Effect::Deny)];
    let mut text = String::new();
    for (word, effect) in effects {
        match by {
            ByPermission::Tags => {
                let name = match effect {
                    Effect::Allow => "context.allow".to_owned(),
                    Effect::Deny => "context.deny".to_owned(),
                };
                let when = condition(&|of| tagged(of, &name), kinds);
                text += &format!("{word}(principal, action, resource) when {{ {when} }};\n");
            }
            ByPermission::Attributes => {
                for permission in permissions {
                    let name = key(effect, permission);
                    let when = condition(&|of| attributed(of, &name), kinds);
                    text += &format!(
                        "{word}(principal, action == Action::\"{permission}\", resource) when {{ {when} }};\n"
                    );
                }
            }
        }
    }
    text
}

fn tagged(of: &str, name: &str) -> String {
    format!("{of}.hasTag({name}) && principal in {of}.getTag({name})")
}

fn attributed(of: &str, name: &str) -> String {
    format!("{of} has {name} && principal in {of}.{name}")
}

/// What a relation is (C3), beside that somebody was given something by it.
fn holds(kind: Relative) -> &'static str {
    match kind {
        Relative::Myself => "principal == resource",
        Relative::Manager => "principal has manager && principal.manager == resource",
        Relative::DirectReports => "resource has manager && resource.manager == principal",
        Relative::OwnAccounts => "resource has owner && resource.owner == principal",
        Relative::AccountsOfDirectReports => {
            "resource has owner && resource.owner has manager && resource.owner.manager == principal"
        }
        Relative::InMyLocations => "resource in principal.homes",
        Relative::MyLocationsAndAbove => "principal.above.contains(resource)",
        Relative::MyLocationsAndBelow => "resource in principal.reached",
        Relative::InMyOrganization => "resource in principal.organizations",
    }
}

fn condition(granted: &dyn Fn(&str) -> String, kinds: &BTreeSet<Relative>) -> String {
    // The relations that go with one type only stand behind one look at the type.
    let groups = ["Person", "UserAccount", "Location", ""].map(|type_name| {
        let of_type = |kind: &&Relative| kind.needs().map_or("", |it| it.as_str()) == type_name;
        let all: Vec<String> = kinds
            .iter()
            .filter(of_type)
            .map(|kind| {
                let own = relation(*kind);
                let of = format!("resource.{own}");
                format!("(resource has {own} && {} && {})", granted(&of), holds(*kind))
            })
            .collect();
        let any = all.join(" || ");
        match (type_name, any.is_empty()) {
            (_, true) => String::new(),
            ("", false) => any,
            (type_name, false) => format!("(resource is {type_name} && ({any}))"),
        }
    });
    let groups: Vec<String> = groups.into_iter().filter(|it| !it.is_empty()).collect();
    let direct = granted("resource");
    match groups.is_empty() {
        true => direct,
        false => format!("({direct}) || (principal is Person && ({}))", groups.join(" || ")),
    }
}
